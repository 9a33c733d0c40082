"""``advisor programme``: thirty days of work from findings, levers and plans."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from advisor.cli.options import FILE, MOST_USD_PER_HOUR, Above, wide_option
from advisor.cli.output import deliver, json_or_page, output_option, page_format_option, read_plan, report_width
from advisor.levers import LeverReport
from advisor.names import suggestion
from advisor.programme.build import LEVERS, Inputs, programme_of
from advisor.programme.rules import OWNERS
from advisor.programme.values import billed_month
from advisor.report.bill_documents import read_audit
from advisor.report.programme import programme_json, programme_sections
from advisor.report.text_table import sections_as


def _owners(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Names of a team's own, by owner tag."""
    owners = {}
    for value in values:
        tag, _, name = value.partition("=")
        if not name:
            raise click.BadParameter(f"'{value}' is not a TAG=NAME, such as platform=team-infra")
        if tag not in OWNERS:
            raise click.BadParameter(f"no item has the owner tag '{tag}'; {suggestion(tag, OWNERS)}")
        owners[tag] = name
    return owners


def _levers(path: Path) -> LeverReport:
    """Levers of a document; a workload's file that is not found from here is the one beside the document."""
    report = LEVERS.read(path)
    beside = path.parent / report.path
    is_elsewhere = bool(report.path) and not Path(report.path).exists() and beside.is_file()
    return replace(report, path=str(beside)) if is_elsewhere else report


@click.command(name="programme")
@click.option("--audit", type=FILE, help="Findings: JSON of `advisor audit`.")
@click.option("--levers", multiple=True, type=FILE, help="Levers: JSON of `advisor levers`. (repeatable)")
@click.option("--plan", "plans", multiple=True, type=FILE, help="Plan to deploy. (repeatable)")
@click.option(
    "--workload",
    "workload_path",
    default="workload.yaml",
    show_default=True,
    help="Workload file, where levers do not name theirs.",
)
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DATE", help="First day, such as 2026-12-01."
)
@click.option(
    "--hourly-rate",
    "hourly_rate_usd",
    type=Above("work is not free; give what an hour of it costs, such as 100", MOST_USD_PER_HOUR),
    required=True,
    metavar="USD",
    help="Cost of an hour of work.",
)
@click.option(
    "--max-payback",
    "max_payback_months",
    type=Above("give months, such as 6"),
    default=12.0,
    show_default=True,
    metavar="MONTHS",
    help="Leave out what is paid back later.",
)
@click.option(
    "--owner", "owners", multiple=True, callback=_owners, metavar="TAG=NAME", help="Own name of an owner tag."
)
@wide_option
@page_format_option
@output_option
def command(
    audit: Path | None,
    levers: tuple[Path, ...],
    plans: tuple[Path, ...],
    start: dt.datetime,
    wide: bool,
    output_format: str,
    output: Path | None,
    **stated: Any,  # noqa: ANN401 - fields of the inputs
) -> None:
    """Plan thirty days: week 1 assess and instrument, weeks 2 and 3 quick wins, week 4 strategic.

    Each item has an owner, the command, the expected saving, effort, payback and a check. Levers of a workload count as
    the one plan that they make together; findings about the same money are not added. The JSON has an issue for each
    item, and is what `advisor review` compares the bill with.
    """
    if not (audit or levers or plans):
        raise click.UsageError("give --audit, --levers or --plan: a programme is made of them")
    audited = None if audit is None else read_audit(audit)
    inputs = Inputs(
        start=start.date(),
        findings=() if audited is None else tuple(audited.findings),
        billed=None if audited is None else billed_month(audited),
        levers=tuple(map(_levers, levers)),
        plans={str(path): read_plan(path) for path in plans},
        **stated,
    )
    programme = programme_of(inputs)
    if output_format in ("json", "html"):
        deliver(json_or_page(programme_json(programme), output_format), output)
        return
    width = report_width(output, wide=wide)
    deliver(sections_as(output_format, programme_sections(programme), width, whole=True), output)
