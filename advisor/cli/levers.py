"""``advisor levers``: what else would cost less, every lever priced by the planner, alone and together."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import click

from advisor.catalog import load_catalog
from advisor.cli.options import FILE, MOST_USD_PER_HOUR, Above, wide_option
from advisor.cli.output import (
    Progress,
    answers_text,
    calibration_option,
    deliver,
    format_option,
    json_or_page,
    output_option,
    report_width,
)
from advisor.cli.served import warn_of_layers
from advisor.levers import LeverReport, LeverSettings, read_measured_cache
from advisor.levers.pricing import price_levers
from advisor.performance.model import load_model
from advisor.pipeline import market_of_requests, question_for, with_account
from advisor.plan.market import Market
from advisor.plan.replay.engine import Timelines
from advisor.plan.request import PlanRequest
from advisor.processes import usable_processors
from advisor.records import replace
from advisor.report.levers import lever_rows, lever_sections, levers_json
from advisor.report.text_table import sections_as
from advisor.workload.document import read_workload

_MOST_AT_A_TIME = 4
"""Plans at the same time, each in 200 MB of memory."""


def _efforts(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Hours by lever."""
    hours = {}
    for value in values:
        lever, _, text = value.partition("=")
        try:
            hours[lever] = float(text)
        except ValueError:
            raise click.BadParameter(f"'{value}' is not a LEVER=HOURS, such as spot=8") from None
        if not 0 <= hours[lever] < math.inf:
            raise click.BadParameter(f"'{value}': hours are 0 or more")
    return hours


@click.command(name="levers")
@click.argument("workload", type=FILE)
@click.option(
    "--quality-floor",
    type=Above("give the share of the benchmark scores to keep, such as 0.95", 1),
    metavar="SHARE",
    help="Least share of the benchmark scores, on average, that other precisions and models have to keep.",
)
@click.option(
    "--prompt-shorter",
    type=Above("give the share that goes, such as 0.2", 0.99),
    metavar="SHARE",
    help="Share by which prompts could be shorter.",
)
@click.option(
    "--hourly-rate",
    "hourly_rate_usd",
    type=Above("work is not free; leave it out to see hours alone", MOST_USD_PER_HOUR),
    metavar="USD",
    help="Cost of an hour of work: prices the effort, and says when it is paid back.",
)
@click.option(
    "--max-payback",
    "max_payback_months",
    type=Above("give months, such as 6"),
    metavar="MONTHS",
    help="With --hourly-rate: leave out levers that are paid back later.",
)
@click.option(
    "--cache",
    "cache_file",
    type=FILE,
    help="Replay of your own log by `advisor demand cache --format json`: prices caches of answers and vectors.",
)
@click.option(
    "--false-hits",
    "most_false_hits",
    type=Above("give the share of the hits that may be false, such as 0.01", 1),
    metavar="SHARE",
    help="With --cache: largest share of a semantic cache's hits that may answer another question.",
)
@click.option(
    "--effort",
    "effort_hours",
    multiple=True,
    callback=_efforts,
    metavar="LEVER=HOURS",
    help="Your own hours. Repeatable.",
)
@wide_option
@click.option("--verbose", is_flag=True, help="With what others measured or say of each lever.")
@format_option("table", "json", "ndjson", "csv", "markdown", "html", note="csv: a lever a row; html: `advisor report`")
@output_option
@calibration_option
def command(
    workload: Path,
    cache_file: Path | None,
    wide: bool,
    verbose: bool,
    output_format: str,
    output: Path | None,
    calibration: Path | None,
    **figures: Any,  # noqa: ANN401 - fields of the settings
) -> None:
    """Say what else would save for WORKLOAD (a YAML file), what each lever takes, and what all save together.

    A lever's saving is the difference of two plans as `advisor recommend` makes them. Claims of vendors and figures of
    second hand are shown with --verbose and never enter a price. Exit code 4 when nothing is feasible.
    """
    settings = LeverSettings(**figures)
    if settings.max_payback_months is not None and settings.hourly_rate_usd is None:
        raise click.UsageError("--max-payback needs --hourly-rate: without it no effort has a cost")
    if settings.most_false_hits is not None and cache_file is None:
        raise click.UsageError("--false-hits needs --cache: a replay says which hits are false")
    catalog, model = load_catalog(), load_model(calibration)
    stated = with_account(read_workload(workload), catalog)
    stated = replace(stated, as_of=stated.as_of or dt.datetime.now(dt.UTC).date())
    with Progress("requests read") as progress:
        question = question_for(stated, catalog, model, progress)
    warn_of_layers()

    timelines = Timelines()

    def posed(asked: PlanRequest) -> Market:
        return market_of_requests(asked, catalog, model, timelines).market

    settings = replace(settings, cache=None if cache_file is None else read_measured_cache(cache_file))
    at_a_time = min(usable_processors(), _MOST_AT_A_TIME)
    with Progress("fleets replayed") as progress, progress.fleets():
        report = price_levers(question, catalog, posed, settings, at_a_time=at_a_time)
    given = {
        "--quality-floor": settings.quality_floor,
        "--prompt-shorter": settings.prompt_shorter,
        "--cache": cache_file,
        "--false-hits": settings.most_false_hits,
    }
    pairs = [(name, f"{value}") for name, value in given.items() if value is not None]
    pairs += [("--effort", f"{lever}={hours:g}") for lever, hours in settings.effort_hours.items()]
    report = replace(report, options=tuple(word for pair in pairs for word in pair))
    deliver(_render(report, output_format, report_width(output, wide=wide), verbose=verbose), output)


def _render(report: LeverReport, output_format: str, width: int | None, *, verbose: bool) -> str:
    if output_format in ("json", "html"):
        return json_or_page(levers_json(report), output_format)
    if output_format in ("ndjson", "csv"):
        return answers_text(lever_rows(report), output_format)
    return sections_as(output_format, lever_sections(report, verbose=verbose), width)
