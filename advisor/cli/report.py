"""``advisor report``: a plan, or another document, as one page for people."""

from pathlib import Path

import click

from advisor.cli.options import FILE, FILE_OR_STDIN
from advisor.cli.output import ResultOption, deliver, format_named, quiet_option


@click.command(name="report")
@click.argument("document", type=FILE_OR_STDIN, metavar="PLAN.json")
@click.option("-o", "--output", cls=ResultOption, type=FILE, help="Write the page to this file instead of stdout.")
@quiet_option
def command(document: Path, output: Path | None) -> None:
    """Write a PLAN (JSON of `advisor recommend`; - for standard input) as one HTML page.

    It holds the verdict, the ladder, cost by kind, the week, every option with its latency, the replay, why everything
    else was rejected, and the sources. Also takes estate.json and the JSON of `advisor levers`, `advisor audit`,
    `advisor programme` and `advisor review`. The page loads nothing from elsewhere, so it can be mailed and opened
    offline.
    """
    from advisor.plan.document import why_not_as_made  # noqa: PLC0415 - help shows without them
    from advisor.reading import read_text  # noqa: PLC0415
    from advisor.report.pages import PLAN, kind_of, page_of  # noqa: PLC0415

    if output is not None and format_named(output) not in ("", "html"):
        raise click.UsageError(
            f"{output}: the report is a page; name it .html, or ask the command that made {document} for another format"
        )
    text, where = read_text(document, "document"), str(document)
    page = page_of(text, where)
    reason = why_not_as_made(text, where) if kind_of(text, where) == PLAN else ""
    if reason:
        click.echo(f"warning: {where}: {reason}", err=True)
    deliver(page, output)
