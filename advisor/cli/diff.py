"""``advisor diff``: what changes between two plans or estates, for a person, a comment or a program."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.options import PATH, wide_option
from advisor.cli.output import deliver, output_option, plan_of_text, report_format_option, report_width
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.plan.values import Plan

_ESTATE_FILE = "estate.json"


@click.command(name="diff")
@click.argument("before", type=PATH, metavar="OLD.json")
@click.argument("after", type=PATH, metavar="NEW.json")
@report_format_option
@wide_option
@output_option
def command(before: Path, after: Path, output_format: str, wide: bool, output: Path | None) -> None:
    """Compare two plans: fleet, USD a month, margin to the SLO, risk, evidence, and what their code replaces.

    The Markdown fits a comment of 60 lines; `advisor comment` posts it. Plans of different workloads are compared
    too, and the first line says so. Two estates (estate.json, or the directory that holds it) are compared by workload.

    Exit code 4: the later plan has no fleet, or none that its replay confirms; the comparison is printed all the same.
    """
    from advisor.cli.served import check_served  # noqa: PLC0415 - help shows without it
    from advisor.plan.estate.document import is_estate  # noqa: PLC0415
    from advisor.reading import read_text  # noqa: PLC0415

    texts = {str(path): read_text(path, "plan") for path in (_file(before), _file(after))}
    old, new = str(_file(before)), str(_file(after))
    estates = [where for where in (old, new) if is_estate(texts[where], where)]
    if len(estates) == 1:
        raise InputError("an estate and a plan have nothing to compare", where=estates[0], hint="give two of a kind")
    width = report_width(output, wide=wide)
    if estates:
        deliver(_estates((old, texts[old]), (new, texts[new]), output_format, width), output)
        return
    before_plan, after_plan = plan_of_text(texts[old], old), plan_of_text(texts[new], new)
    deliver(_plans(before_plan, after_plan, output_format, width), output)
    check_served(after_plan, new)


def _file(path: Path) -> Path:
    """The estate of a directory of plans."""
    return path / _ESTATE_FILE if path.is_dir() else path


def _plans(old: "Plan", new: "Plan", output_format: str, width: int | None) -> str:
    from advisor.catalog import load_catalog  # noqa: PLC0415 - help shows without them
    from advisor.codegen import Language  # noqa: PLC0415
    from advisor.codegen.replacement import replacement  # noqa: PLC0415
    from advisor.report.plan_diff import diff_json, diff_markdown, diff_table, plan_diff  # noqa: PLC0415

    diff, code = plan_diff(old, new), replacement(old, new, Language.TERRAFORM, load_catalog())
    if output_format == "json":
        return diff_json(diff, asdict(code))
    return diff_markdown(diff, code.lines) if output_format == "markdown" else diff_table(diff, code.lines, width)


def _estates(before: tuple[str, str], after: tuple[str, str], output_format: str, width: int | None) -> str:
    """Difference of two estates; each is a file's name and its text."""
    from advisor.plan.estate.document import estate_from_json  # noqa: PLC0415 - help shows without them
    from advisor.report.plan_diff import (  # noqa: PLC0415
        estate_diff,
        estate_diff_json,
        estate_diff_markdown,
        estate_diff_table,
    )

    diff = estate_diff(*(estate_from_json(text, where) for where, text in (before, after)))
    if output_format == "json":
        return estate_diff_json(diff)
    return estate_diff_markdown(diff) if output_format == "markdown" else estate_diff_table(diff, width)
