"""``advisor replay``: a plan under a trace, request by request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from advisor.demand.values import Requests
    from advisor.plan.values import Plan

UNLIKE_RATIO = 1.5
"""Times a number of the plan's demand, or a part of it, from which on a trace is told to be another demand."""


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
    for note in (*fleet.notes, *requests.notes, *_unlike_the_plan(requests, document)):
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


def _unlike_the_plan(requests: "Requests", plan: "Plan") -> Iterator[str]:
    """Numbers of a trace that differ much from those of the demand that a plan is for; none where all are alike."""
    import numpy as np  # noqa: PLC0415 - help shows without it

    from advisor.units import SECONDS_PER_MINUTE, rounded  # noqa: PLC0415

    demand, minutes = plan.demand, (requests.seconds // SECONDS_PER_MINUTE).astype(np.int64)
    busiest = int(np.bincount(minutes - minutes.min()).max()) / SECONDS_PER_MINUTE
    numbers = {"requests/s in the busiest minute": (busiest, demand["requests_per_second"]["peak"])}
    if "unit" not in demand:
        numbers["tokens a prompt"] = (float(requests.input_tokens.mean()), demand["input_tokens"]["mean"])
        numbers["tokens an answer"] = (float(requests.output_tokens.mean()), demand["output_tokens"]["mean"])
    told = [
        f"{rounded(own)} {name}, {rounded(planned)} planned"
        for name, (own, planned) in numbers.items()
        if planned and not 1 / UNLIKE_RATIO <= own / planned <= UNLIKE_RATIO
    ]
    if told:
        yield f"this trace is not the demand of the plan: {'; '.join(told)}"
