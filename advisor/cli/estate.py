"""``advisor recommend DIRECTORY``: many workload files, one estate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from advisor.atomic_files import make_directory, write_outputs
from advisor.cli.output import STDOUT, Progress, deliver, report_width, tell
from advisor.cli.served import tell_age, warn_of_holdings, warn_of_layers
from advisor.errors import InputError, NothingFeasible
from advisor.estate import plan_estate
from advisor.plan.document import PLAN_SUFFIX
from advisor.plan.estate.document import estate_to_json
from advisor.plan.estate.values import Estate
from advisor.processes import Spread
from advisor.records import astuple, replace
from advisor.report.estate_table import BEYOND_SHARED, conflicts, estate_markdown, estate_table, obstacles
from advisor.report.price_age import PriceUsed, check_age
from advisor.units import counted

ESTATE_FILE = "estate.json"
_DOCUMENTS = (".json", ".md", ".html", ".txt")
"""Suffixes of a file for one document of all plans; any other name is that of a directory."""


def recommend_estate(
    directory: Path, output_format: str, output: Path | None, calibration: Path | None, spread: Spread,
    max_price_age: int | None, *, wide: bool,
) -> None:  # fmt: skip
    """Plan a directory, show the estate, and write its plans into a directory, or into one document of that name.

    Raises InputError if some files have to be fixed, or a price is older than *max_price_age* days, and NothingFeasible
    if some workloads, or all of them together, cannot be served within their limits.
    """
    if output_format == "csv":
        raise click.UsageError("csv is of one workload file: a directory has table, json, markdown and html")
    document = output is None or output == STDOUT or (output.suffix.lower() in _DOCUMENTS and not output.is_dir())
    if output is not None and not document and output.is_file():
        hint = f"give a folder for them, or a name for one document: {', '.join(_DOCUMENTS)}"
        raise InputError("a directory of workloads gives a directory of plans", where=str(output), hint=hint)
    with Progress("workloads") as progress:
        planned = plan_estate(directory, spread, calibration=calibration, watch=progress.watch)
    estate = replace(planned.estate, name=directory.resolve().name)
    warn_of_layers()
    warn_of_holdings()
    used = [PriceUsed(*astuple(price)) for workload in estate.workloads for price in workload.prices]
    if max_price_age is not None:
        check_age(used, datetime.now(UTC).date(), max_price_age)
    tell_age(used)
    if output is not None and not document:
        _write(output, planned.plans, estate_to_json(estate, beside=planned.plans))
        tell(f"wrote {sum(map(bool, planned.plans.values()))} plans and {output / ESTATE_FILE}")
        click.echo(_shown(estate, output_format, report_width(None, wide=wide)), nl=False)
    elif output_format == "json":
        deliver(estate_to_json(estate, planned.plans), output)
    else:
        deliver(_shown(estate, output_format, report_width(output, wide=wide)), output)
    _complain(estate, directory)


def _write(folder: Path, plans: Mapping[str, str], estate: str) -> None:
    """Write the plans of a run and its estate, which comes last: all of one run, or none."""
    texts = {(folder / file).with_suffix(PLAN_SUFFIX): text for file, text in plans.items()}
    for path in texts:
        make_directory(path.parent)
    texts[folder / ESTATE_FILE] = estate
    write_outputs({path: text.encode() for path, text in texts.items() if text})


def _shown(estate: Estate, output_format: str, width: int | None) -> str:
    if output_format == "html":
        from advisor.report.pages import estate_page  # noqa: PLC0415 - other formats do without templates

        return estate_page(estate)
    return estate_markdown(estate) if output_format == "markdown" else estate_table(estate, width)


def _complain(estate: Estate, directory: Path) -> None:
    """Exit with what stands against plans, after everything else was shown."""
    sums = estate.totals
    listed = "\n        ".join(obstacles(estate))
    if sums.failed:
        unserved = f", and {counted(sums.infeasible, 'workload')} cannot be served" if sums.infeasible else ""
        message = f"{sums.failed} of {sums.workloads} files have to be fixed{unserved}"
        raise InputError(message, where=str(directory), hint=listed)
    if sums.infeasible:
        raise NothingFeasible(
            f"{sums.infeasible} of {sums.workloads} workloads cannot be served within their limits",
            where=str(directory),
            hint=listed,
        )
    if estate.conflict:
        raise NothingFeasible(BEYOND_SHARED, where=str(directory), hint="; ".join(conflicts(estate)))  # fmt: skip
