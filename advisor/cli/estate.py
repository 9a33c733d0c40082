"""``advisor recommend DIRECTORY``: many workload files, one estate."""

from collections.abc import Mapping
from pathlib import Path

import click

from advisor.atomic_files import make_directory, write_text
from advisor.cli.progress import Progress
from advisor.errors import InputError, NothingFeasible
from advisor.estate import plan_estate
from advisor.plan.estate.document import estate_to_json
from advisor.plan.estate.spread import Spread
from advisor.plan.estate.values import Estate
from advisor.report.estate_table import estate_markdown, estate_table, obstacles, totals

ESTATE_FILE = "estate.json"


def recommend_estate(
    directory: Path, output_format: str, output: Path | None, calibration: Path | None, spread: Spread
) -> None:  # fmt: skip
    """Plan a directory, show the estate, and write its plans.

    Raises:
        InputError: some files have to be mended.
        NothingFeasible: some workloads, or all of them together, cannot be served within their limits.
    """
    if output is not None and output.is_file():
        raise InputError("a directory of workloads gives a directory of plans", where=str(output))
    with Progress("workloads") as progress:
        planned = plan_estate(directory, spread, calibration=calibration, watch=progress.watch)
    estate = planned.estate
    if output is not None:
        _write(estate, planned.plans, output)
        click.echo(f"wrote {estate.totals.workloads - estate.totals.failed} plans and {output / ESTATE_FILE}", err=True)
    if output is None and output_format == "json":
        click.echo(estate_to_json(estate, planned.plans), nl=False)
    else:
        render = estate_markdown if output_format == "markdown" else estate_table
        click.echo(render(estate), nl=False)
    _complain(estate, directory)


def _write(estate: Estate, plans: Mapping[str, str], output: Path) -> None:
    for file, text in plans.items():
        path = (output / file).with_suffix(".plan.json")
        make_directory(path.parent)
        if text:
            write_text(path, text)
    write_text(output / ESTATE_FILE, estate_to_json(estate))


def _complain(estate: Estate, directory: Path) -> None:
    """Exit with what stands against plans, after everything else was shown."""
    sums = estate.totals
    listed = "\n    ".join(obstacles(estate))
    if sums.failed:
        raise InputError(
            f"{sums.failed} of {sums.workloads} files have to be mended", where=str(directory), hint=f"\n    {listed}"
        )  # fmt: skip
    if sums.infeasible:
        raise NothingFeasible(
            f"{sums.infeasible} of {sums.workloads} workloads cannot be served within their limits",
            where=str(directory),
            hint=f"\n    {listed}",
        )
    if estate.conflict:
        lines = totals(estate)[-len(estate.conflict) :]
        raise NothingFeasible(
            "not all workloads together keep to what they share", where=str(directory), hint="; ".join(lines)
        )  # fmt: skip
