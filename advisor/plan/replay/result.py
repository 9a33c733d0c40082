"""Shares, percentiles and costs from what happened to each request."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.trace_columns import Requests
from advisor.plan.replay.early import Estimate
from advisor.plan.replay.latencies import latencies_s, p95_ms
from advisor.plan.replay.sessions import Session, Window, billed_hours
from advisor.plan.replay.values import GroupResult, Outcome, ReplayGroup, ReplayResult
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MONTH
from advisor.workload.values import Slo

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Result of the simulation."""

    outcome: Outcome
    sessions: Sequence[Session]
    preemptions: Sequence[int]
    """Of each group."""
    busy_until: Mapping[tuple[int, tuple[int, int]], float]
    """End of the last answer, by group and run."""
    window: Window
    early: Estimate | None = None
    """What was clear where a cutoff ended before all was simulated."""


def result_of(groups: Sequence[ReplayGroup], requests: Requests, slo: Slo, served: Served) -> ReplayResult:
    """Put the result together."""
    outcome, window = served.outcome, served.window
    kept = within(outcome, requests, slo)
    latencies = latencies_s(outcome, requests)
    by_group = tuple(_group(index, group, served, kept) for index, group in enumerate(groups))
    cost = sum(group_result.cost_usd for group_result in by_group)
    return ReplayResult(
        requests=requests.seconds.size,
        within_slo_ratio=float(kept.mean()),
        ttft_p95_ms=p95_ms(latencies["ttft"]),
        tpot_p95_ms=p95_ms(latencies["tpot"]),
        e2e_p95_ms=p95_ms(latencies["e2e"]),
        refused=int(np.count_nonzero(outcome.group < 0)),
        preemptions=sum(served.preemptions),
        interruptions=sum(group_result.interruptions for group_result in by_group),
        cost_usd=cost,
        usd_per_month=cost / window.seconds * SECONDS_PER_MONTH,
        window_seconds=window.seconds,
        hours=window.seconds / SECONDS_PER_HOUR,
        by_group=by_group,
    )


def within(outcome: Outcome, requests: Requests, slo: Slo) -> Flags:
    """Whether each request kept every target that is given; one-token answers have no time per token to miss.

    Where no target limits its wait, its replica has to keep up (:mod:`advisor.plan.replay.fleet`).
    Sizes of recordings are in ms: seconds per ms, times 1,000, is the real-time factor.
    """
    steps = np.maximum(requests.output_tokens, 1) - 1
    kept = outcome.group >= 0
    limits = (
        (slo.ttft_p95_ms, outcome.ttft_s),
        (slo.tpot_p95_ms, outcome.decode_s / np.maximum(steps, 1)),
        (slo.e2e_p95_ms, outcome.ttft_s + outcome.decode_s),
        (slo.latency_ms, outcome.ttft_s),
        (slo.real_time_factor, outcome.ttft_s / np.maximum(requests.input_tokens * requests.output_tokens, 1)),
    )
    for limit_ms, seconds in limits:
        if limit_ms is not None:
            kept = kept & (seconds * MS_PER_SECOND <= limit_ms)
    if slo.limits_waits or outcome.backlog_ratio is None:
        return kept
    return kept & (outcome.backlog_ratio <= 1)


def _group(index: int, group: ReplayGroup, served: Served, kept: Flags) -> GroupResult:
    here = served.outcome.group == index
    sessions = [session for session in served.sessions if session.group == index]
    busy = {run: until for (of, run), until in served.busy_until.items() if of == index}
    hours = billed_hours(group, sessions, busy, served.window)
    return GroupResult(
        name=group.name,
        requests=int(here.sum()),
        within_slo_ratio=float(kept[here].mean()) if here.any() else None,
        preemptions=served.preemptions[index],
        interruptions=len({(session.run, session.end) for session in sessions if session.interrupted}),
        instance_hours=hours,
        cost_usd=hours * group.usd_per_hour,
    )
