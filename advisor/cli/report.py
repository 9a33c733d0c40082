"""``advisor report``: a plan as one page for people."""

from pathlib import Path

import click

from advisor.cli.output import deliver


@click.command(name="report")
@click.argument("plan", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="PLAN.json")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page to this file instead of stdout.",
)
def command(plan: Path, output: Path | None) -> None:
    """Write a PLAN (JSON of `advisor recommend`; - for standard input) as one HTML page.

    It holds the verdict, the ladder, cost by kind, the week, every option with its latency, the replay, why everything
    else was rejected, and the sources; of an estate.json the sums and the tables. The page loads nothing from
    elsewhere, so it can be mailed and opened offline.
    """
    from advisor.plan.document import plan_from_json, why_not_as_made  # noqa: PLC0415 - help shows without them
    from advisor.plan.estate.document import estate_from_json, is_estate  # noqa: PLC0415
    from advisor.reading import read_text  # noqa: PLC0415
    from advisor.report.pages import estate_page, plan_page  # noqa: PLC0415

    text = read_text(plan, "plan")
    if is_estate(text, str(plan)):
        deliver(estate_page(estate_from_json(text, str(plan))), output)
        return
    document = plan_from_json(text, where=str(plan))
    reason = why_not_as_made(text, str(plan))
    if reason:
        click.echo(f"warning: {plan}: {reason}", err=True)
    deliver(plan_page(document), output)
