"""``advisor diff``: what changes between two plans, for a person, a comment or a program."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.output import deliver, format_option, output_option, report_width

if TYPE_CHECKING:
    from advisor.plan.values import Plan


@click.command(name="diff")
@click.argument("before", type=click.Path(dir_okay=False, path_type=Path), metavar="OLD.json")
@click.argument("after", type=click.Path(dir_okay=False, path_type=Path), metavar="NEW.json")
@format_option
@click.option("--wide", is_flag=True, help="Tables and lines as wide as they get, whatever the terminal's width.")
@output_option
def command(before: Path, after: Path, output_format: str, wide: bool, output: Path | None) -> None:
    """Compare two plans: fleet, USD a month, margin to the SLO, risk, evidence, and what their code replaces.

    The Markdown fits a comment of 60 lines; `advisor comment` posts it. Plans of different workloads are compared
    too, and that is said.
    """
    from advisor.catalog import load_catalog  # noqa: PLC0415 - help shows without them
    from advisor.codegen import Language  # noqa: PLC0415
    from advisor.codegen.replacement import replacement  # noqa: PLC0415
    from advisor.report.plan_diff import plan_diff  # noqa: PLC0415
    from advisor.report.plan_diff_words import diff_json, diff_markdown, diff_table  # noqa: PLC0415

    old, new = _read(before), _read(after)
    diff, code = plan_diff(old, new), replacement(old, new, Language.TERRAFORM, load_catalog())
    if output_format == "json":
        text = diff_json(diff, asdict(code))
    elif output_format == "markdown":
        text = diff_markdown(diff, code.lines)
    else:
        text = diff_table(diff, code.lines, report_width(output, wide=wide))
    deliver(text, output)


def _read(path: Path) -> "Plan":
    """A plan; one that was edited by hand is compared all the same, and that is said."""
    from advisor.plan.document import plan_from_json, why_not_as_made  # noqa: PLC0415 - help shows without it
    from advisor.reading import read_text  # noqa: PLC0415

    text = read_text(path, "plan")
    plan = plan_from_json(text, where=str(path))
    reason = why_not_as_made(text, str(path))
    if reason:
        click.echo(f"warning: {path}: {reason}", err=True)
    return plan
