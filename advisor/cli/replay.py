"""``advisor replay``: a plan under a trace, request by request."""

import json
from pathlib import Path

import click

from advisor.cli.options import FILE, wide_option
from advisor.cli.output import (
    Progress,
    calibration_option,
    deliver,
    output_option,
    read_plan,
    report_width,
    table_or_json_option,
    tell,
)


@click.command(name="replay")
@click.argument("plan", type=FILE, metavar="PLAN.json")
@click.argument("trace", type=FILE, metavar="TRACE.csv")
@table_or_json_option
@click.option("--option", "rank", type=click.IntRange(min=1), metavar="RANK", help="Option of the plan, by its rank.")
@calibration_option
@wide_option
@output_option
def command(
    plan: Path, trace: Path, output_format: str, rank: int | None, calibration: Path | None, wide: bool,
    output: Path | None,
) -> None:  # fmt: skip
    """Cost that TRACE.csv would have had on PLAN.json, and the share of its requests within the targets.

    Every request is sent through a simulation of continuous batching on the planned replicas: admission, chunked
    prefill, a paged cache, preemption. Requests longer than what the plan serves are refused, and count as late. Models
    that answer in one pass are served in batches; the trace then has the columns of their kind (docs/kinds.md).
    """
    from advisor.catalog import load_catalog  # noqa: PLC0415 - help shows without them
    from advisor.demand.trace import read_requests  # noqa: PLC0415
    from advisor.performance.model import load_model  # noqa: PLC0415
    from advisor.plan.document import plain  # noqa: PLC0415
    from advisor.plan.replay.fleet import replay  # noqa: PLC0415
    from advisor.plan.replay.from_plan import planned  # noqa: PLC0415
    from advisor.plan.replay.steady import with_filling  # noqa: PLC0415
    from advisor.report.plan_words import filling_words, replay_table  # noqa: PLC0415

    document = read_plan(plan)
    fleet = planned(document, load_catalog(), load_model(calibration), rank, where=str(plan))
    requests = read_requests(trace, fleet.columns)
    for note in (*fleet.notes, *requests.notes):
        tell(f"note: {note}")
    filled, minutes = with_filling(requests, fleet.groups)
    if minutes:
        tell(f"note: {filling_words(minutes)}")
    with Progress("requests replayed") as progress:
        result = replay(fleet.groups, filled, fleet.slo, routes=fleet.routes, progress=progress)
    if output_format == "json":
        text = json.dumps(plain(result, "replay"), indent=1, ensure_ascii=False) + "\n"
    else:
        text = replay_table(fleet.title, result, fleet.slo, report_width(output, wide=wide))
    deliver(text, output)
