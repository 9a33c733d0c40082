"""``advisor review``: what a programme saved, by the bill."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import click

from advisor.cli.options import FILE, cost_option, rate_option, wide_option
from advisor.cli.output import (
    Progress,
    deliver,
    json_or_page,
    output_option,
    page_format_option,
    read_plan,
    report_width,
)

_DATE = "%Y-%m-%d"


def _applied(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, dt.date]:
    """Day on which each item was applied."""
    days = {}
    for value in values:
        item, _, text = value.rpartition("=")
        try:
            days[item] = dt.date.fromisoformat(text)
        except ValueError:
            raise click.BadParameter(f"'{value}' is not an ID=DATE, such as ADV101=2026-12-04") from None
    return days


@click.command(name="review")
@click.argument("bill", nargs=-1, required=True)
@click.option("--programme", "programme_file", type=FILE, required=True, help="JSON of `advisor programme`.")
@click.option("--since", type=click.DateTime([_DATE]), required=True, metavar="DATE", help="First day of the review.")
@click.option(
    "--applied", multiple=True, callback=_applied, metavar="ID=DATE", help="Item, and when it took effect. (repeatable)"
)
@click.option("--plan", "plans", multiple=True, type=FILE, help="Plan to hold against the bill. (repeatable)")
@click.option("--requests", multiple=True, metavar="LOG", help="Request log, as of `advisor audit`. (repeatable)")
@cost_option
@rate_option
@wide_option
@page_format_option
@output_option
def command(
    bill: tuple[str, ...],
    programme_file: Path,
    since: dt.datetime,
    applied: dict[str, dt.date],
    plans: tuple[Path, ...],
    requests: tuple[str, ...],
    cost: str,
    rates: dict[str, Decimal],
    wide: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Compare what a programme predicted with the BILL: files, folders and patterns, as of `advisor audit`.

    The bill has to reach back a week or more before the first item was applied; two weeks show trend and unusual days.
    """
    from advisor.audit import Basis  # noqa: PLC0415 - as above
    from advisor.audit.ledger import Question as Reading  # noqa: PLC0415 - help shows without the database
    from advisor.audit.run import Inputs, charges  # noqa: PLC0415 - as above
    from advisor.audit.traffic import read_traffic  # noqa: PLC0415 - as above
    from advisor.programme.review import Question, review_of  # noqa: PLC0415 - as above
    from advisor.programme.values import PROGRAMME  # noqa: PLC0415 - as above
    from advisor.report.programme import review_json, review_sections  # noqa: PLC0415 - as above
    from advisor.report.text_table import sections_as  # noqa: PLC0415 - as above

    read = {str(path): read_plan(path) for path in plans}
    question = Question(PROGRAMME.read(programme_file), since.date(), applied, read)
    inputs = Inputs(bill, question=Reading(Basis(cost), rates))
    with Progress("percent of the bill read") as progress, charges(inputs, progress.watch) as ledger:
        traffic = read_traffic(ledger.database, requests, ledger.bill) if requests else None
        review = review_of(question, ledger, traffic)
    if output_format in ("json", "html"):
        deliver(json_or_page(review_json(review), output_format), output)
        return
    sections = review_sections(review)
    deliver(sections_as(output_format, sections, report_width(output, wide=wide), whole=True), output)
