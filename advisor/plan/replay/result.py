"""Result of a replay: percentiles of its latencies, the share of requests within their targets, and cost."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.trace_columns import Requests
from advisor.demand.values import Unit
from advisor.plan.fleet.chosen import QUANTILES, LatencyDistribution
from advisor.plan.replay.early import Estimate
from advisor.plan.replay.sessions import Session, Window, billed_hours
from advisor.plan.replay.values import GroupResult, Outcome, ReplayGroup, ReplayResult
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MONTH
from advisor.workload.values import Slo

Floats = npt.NDArray[np.float64]

_PERCENTILE = 0.95
_HALF = 0.5
Flags = npt.NDArray[np.bool_]


def latencies_s(outcome: Outcome, requests: Requests) -> Mapping[str, Floats]:
    """Seconds of the requests that were answered, by latency.

    ``ttft`` and ``e2e`` are of every answer, ``tpot`` (seconds ÷ tokens after the first) of those with any.
    """
    answered = outcome.group >= 0
    steps = np.maximum(requests.output_tokens, 1) - 1
    several = answered & (steps > 0) & (outcome.decode_s > 0)
    return {
        "ttft": outcome.ttft_s[answered],
        "tpot": outcome.decode_s[several] / steps[several],
        "e2e": (outcome.ttft_s + outcome.decode_s)[answered],
    }


def p95_ms(seconds: Floats) -> float | None:
    """95th percentile of seconds in ms; None where there are none.

    That of :func:`numpy.quantile`, which takes several times as long for it: every replay asks for two.
    """
    if not seconds.size:
        return None
    place = (seconds.size - 1) * _PERCENTILE
    low = int(place)
    high = min(low + 1, seconds.size - 1)
    ordered = np.partition(seconds, (low, high))
    below, above, part = float(ordered[low]), float(ordered[high]), place - low
    between = above - below
    percentile = below + between * part if part < _HALF else above - between * (1 - part)
    return percentile * MS_PER_SECOND


def distributions(latencies: Mapping[str, Floats], slo: Slo, unit: Unit) -> Iterator[LatencyDistribution]:
    """Percentiles of each latency; answers of one pass have ``latency`` alone.

    Args:
        latencies: seconds, as :func:`latencies_s` gives them.
        slo: the targets.
        unit: of the requests.
    """
    named = (
        {"latency": ("ttft", slo.latency_ms)}
        if unit.is_one_pass
        else {"ttft": ("ttft", slo.ttft_p95_ms), "tpot": ("tpot", slo.tpot_p95_ms), "e2e": ("e2e", slo.e2e_p95_ms)}
    )
    for name, (source, target_ms) in named.items():
        milliseconds = latencies[source] * MS_PER_SECOND
        if milliseconds.size:
            within = None if target_ms is None else float((milliseconds <= target_ms).mean())
            quantiles = np.quantile(milliseconds, list(QUANTILES.values())).tolist()
            yield LatencyDistribution(name, milliseconds.size, within, **dict(zip(QUANTILES, quantiles, strict=True)))


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
