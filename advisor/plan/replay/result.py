"""Result of a replay: latencies, share of requests within their targets, cost, and whether the fleet holds.

Where more requests are late than may be, the rest is not simulated. Replicas of a group that are up at the same time
receive requests in turn: of very many requests a sample of the replicas shows what all would, with their late requests
scaled up.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Requests, Unit
from advisor.percentiles import percentiles
from advisor.plan.fleet.chosen import QUANTILES, LatencyDistribution
from advisor.plan.replay.sessions import Session, Window, billed_hours
from advisor.plan.replay.values import Cutoff, GroupResult, Outcome, ReplayGroup, ReplayResult
from advisor.records import dataclass, replace
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MONTH
from advisor.workload.values import Slo

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate for all replicas from a part of them."""

    share: float
    """Of the requests within every target."""
    busiest_share: float
    """Of those that are judged by themselves; of all of them without."""
    holds: bool
    """No more are late than are allowed."""


class EarlyEnd:
    """Counts late requests, replica by replica, until too many are late."""

    def __init__(
        self,
        cutoff: Cutoff,
        sessions: Sequence[Session],
        members: Sequence[Sequence[Indices]],
        count: int,
        weights: Floats | None = None,
    ) -> None:
        """Know where requests were sent.

        Args:
            cutoff: how many may be late.
            sessions: in the order in which they are simulated.
            members: requests of each.
            count: of all requests.
            weights: requests that each stands for, (n,); None: all for as many.
        """
        self._weights, self._first = weights, cutoff.busiest
        self._stands: Flags | None = None if weights is None or weights.all() else weights > 0
        """Whether each stands for any; None: all do."""
        self._judged = np.array(self._counts(np.arange(count)), dtype=np.float64)
        self._allowed = cutoff.most_late_ratio * self._judged
        strata: dict[tuple[int, float], int] = {}
        self._stratum = [strata.setdefault((session.group, session.start), len(strata)) for session in sessions]
        self._late = np.zeros((2, len(strata)))
        self._sent = [(at, part) for at, parts in enumerate(members) for part in parts]
        self._served: list[tuple[int, Indices]] = []
        """Requests of the sessions that are simulated."""
        is_nowhere = np.ones(count, dtype=np.bool_)
        is_nowhere[np.concatenate([np.zeros(0, dtype=np.intp), *(part for _, part in self._sent)])] = False
        self._nowhere = self._counts(np.flatnonzero(is_nowhere))
        judged = count if weights is None else int(np.count_nonzero(weights))
        keep_every = _keep_every(judged, cutoff.most_served)
        self.positions = list(_sampled(sessions, self._stratum, members, keep_every))
        """Positions of sessions that are simulated."""
        self.is_whole = keep_every == 1
        """Whether these are all sessions."""

    def ends_with(self, at: int, served: Indices, late: Indices) -> bool:
        """Count the requests of one session and those of them that are late; whether too many are then."""
        self._served.append((at, served))
        if not late.size and len(self._served) > 1:
            return False
        self._late[:, self._stratum[at]] += self._counts(late)
        return self.is_too_late()

    def _counts(self, requests: Indices) -> tuple[float, float]:
        """Weight of these requests, and number of those among them that are judged by themselves."""
        weight = requests.size if self._weights is None else float(self._weights[requests].sum())
        if self._first is None:
            return weight, weight
        judged = requests if self._stands is None else requests[self._stands[requests]]
        return weight, int(np.count_nonzero(judged < self._first))

    def is_too_late(self, more: Indices | None = None) -> bool:
        """Whether more are late already than are allowed, with those of a session that is not counted yet."""
        late = self._late.sum(axis=1) + self._nowhere
        if more is not None:
            late += self._counts(more)
        return bool((late > self._allowed).any())

    def estimate(self) -> Estimate:
        """Estimate so far."""
        late = self._estimated()
        share, busiest_share = np.maximum(1 - late / np.maximum(self._judged, 1), 0.0).tolist()
        return Estimate(share, busiest_share, holds=bool((late <= self._allowed).all()))

    def _estimated(self) -> Floats:
        sent, served = map(self._by_stratum, (self._sent, self._served))
        per_served = np.divide(sent, served, out=np.ones_like(sent), where=served > 0)
        late: Floats = (self._late * np.maximum(per_served, 1.0)).sum(axis=1) + self._nowhere
        return late

    def _by_stratum(self, parts: Sequence[tuple[int, Indices]]) -> Floats:
        counts = np.zeros_like(self._late)
        for at, part in parts:
            counts[:, self._stratum[at]] += self._counts(part)
        return counts


def _keep_every(count: int, served: int | None) -> int:
    """Replicas of which one is simulated, so that about so many requests are: a power of two."""
    return 1 if served is None else 1 << int(math.log2(max(count / served, 1)))


def _sampled(
    sessions: Sequence[Session], strata: Sequence[int], members: Sequence[Sequence[Indices]], keep_every: int
) -> Iterator[int]:  # fmt: skip
    """Positions of every k-th replica of those alike, and of interrupted ones."""
    seen = Counter[int]()
    for at, session in enumerate(sessions):
        turn = 0
        if members[at] and not session.interrupted:
            turn = seen[strata[at]] % keep_every
            seen[strata[at]] += 1
        if turn == 0:
            yield at


_PERCENTILE = 0.95


class Latencies(NamedTuple):
    """A latency of several requests."""

    seconds: Floats
    weights: Floats | None
    """Requests that each stands for, none 0; None: all for as many."""


def latencies_s(outcome: Outcome, requests: Requests) -> Mapping[str, Latencies]:
    """Seconds of the requests that were answered and stand for any, by latency.

    ``ttft`` and ``e2e`` are of every answer, ``tpot`` (seconds ÷ tokens after the first) of those with any.
    """
    weights = requests.weights
    answered = outcome.group >= 0 if weights is None else (outcome.group >= 0) & (weights > 0)
    steps = np.maximum(requests.output_tokens, 1) - 1
    several = answered & (steps > 0) & (outcome.decode_s > 0)
    of_answered, of_several = (None if weights is None else weights[part] for part in (answered, several))
    return {
        "ttft": Latencies(outcome.ttft_s[answered], of_answered),
        "tpot": Latencies(outcome.decode_s[several] / steps[several], of_several),
        "e2e": Latencies((outcome.ttft_s + outcome.decode_s)[answered], of_answered),
    }


def real_time_factor_p95(outcome: Outcome, requests: Requests) -> float | None:
    """95th percentile of the real-time factors of the transcripts; None where there are none."""
    factors = _seconds_per_recorded_ms(outcome, requests.input_tokens, requests.output_tokens)
    return p95_ms(*latencies_s(replace(outcome, ttft_s=factors), requests)["ttft"])


def _seconds_per_recorded_ms(outcome: Outcome, input_tokens: Integers, output_tokens: Integers) -> Floats:
    """Seconds until transcripts ÷ ms of their recordings: times 1,000, the real-time factor."""
    factors: Floats = outcome.ttft_s / np.maximum(input_tokens * output_tokens, 1)
    return factors


def p95_ms(seconds: Floats, weights: Floats | None = None) -> float | None:
    """95th percentile of seconds in ms, each of some weight; None where there are none."""
    return percentiles(seconds, (_PERCENTILE,), weights)[0] * MS_PER_SECOND if seconds.size else None


def weighted_share(kept: Flags, judged: Flags, weights: Floats | None = None) -> float:
    """Share of the judged requests that is kept, each of some weight; 1 where none is judged."""
    counted = judged if weights is None else judged * weights
    whole = float(counted.sum())
    return float((counted * kept).sum()) / whole if whole else 1.0


def distributions(latencies: Mapping[str, Latencies], slo: Slo, unit: Unit) -> Iterator[LatencyDistribution]:
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
        seconds, weights = latencies[source]
        milliseconds = seconds * MS_PER_SECOND
        if milliseconds.size:
            judged = np.ones_like(milliseconds, dtype=np.bool_)
            within = None if target_ms is None else weighted_share(milliseconds <= target_ms, judged, weights)
            quantiles = percentiles(milliseconds, list(QUANTILES.values()), weights)
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
    """Put the result together; requests that stand for none do not count."""
    outcome, window = served.outcome, served.window
    kept = within(outcome, requests, slo)
    counted = np.ones(kept.size, dtype=np.bool_) if requests.weights is None else requests.weights > 0
    latencies = latencies_s(outcome, requests)
    by_group = tuple(_group(index, group, served, kept, counted) for index, group in enumerate(groups))
    cost = sum(group_result.cost_usd for group_result in by_group)
    return ReplayResult(
        requests=int(np.count_nonzero(counted)),
        within_slo_ratio=float(kept[counted].mean()),
        ttft_p95_ms=p95_ms(*latencies["ttft"]),
        tpot_p95_ms=p95_ms(*latencies["tpot"]),
        e2e_p95_ms=p95_ms(*latencies["e2e"]),
        refused=int(np.count_nonzero(counted & (outcome.group < 0))),
        preemptions=sum(served.preemptions),
        interruptions=sum(group_result.interruptions for group_result in by_group),
        cost_usd=cost,
        usd_per_month=round(cost / window.seconds * SECONDS_PER_MONTH, 2),  # as the compute of a plan
        window_seconds=window.seconds,
        hours=window.seconds / SECONDS_PER_HOUR,
        by_group=by_group,
    )


def within(outcome: Outcome, requests: Requests, slo: Slo) -> Flags:
    """Whether each request kept every target; see :func:`within_targets`."""
    return within_targets(outcome, requests.input_tokens, requests.output_tokens, slo)


def within_targets(outcome: Outcome, input_tokens: Integers, output_tokens: Integers, slo: Slo) -> Flags:
    """Whether requests of such sizes kept every target; one-token answers have no time per token to miss.

    Where no target limits its wait, its replica has to keep up (:mod:`advisor.plan.replay.fleet`).
    """
    kept = outcome.group >= 0
    limits: tuple[tuple[float | None, Callable[[], Floats]], ...] = (
        (slo.ttft_p95_ms, lambda: outcome.ttft_s),
        (slo.tpot_p95_ms, lambda: outcome.decode_s / np.maximum(output_tokens - 1, 1)),
        (slo.e2e_p95_ms, lambda: outcome.ttft_s + outcome.decode_s),
        (slo.latency_ms, lambda: outcome.ttft_s),
        (slo.real_time_factor, lambda: _seconds_per_recorded_ms(outcome, input_tokens, output_tokens)),
    )
    for limit_ms, seconds in limits:
        if limit_ms is not None:
            kept = kept & (seconds() * MS_PER_SECOND <= limit_ms)
    if slo.limits_waits or outcome.backlog_ratio is None:
        return kept
    return kept & (outcome.backlog_ratio <= 1)


def _group(index: int, group: ReplayGroup, served: Served, kept: Flags, counted: Flags) -> GroupResult:
    here = counted & (served.outcome.group == index)
    sessions = [session for session in served.sessions if session.group == index]
    lost = {
        (session.run, session.end) for session in sessions if session.interrupted and session.end >= served.window.start
    }
    busy = {run: until for (of, run), until in served.busy_until.items() if of == index}
    hours = billed_hours(group, sessions, busy, served.window)
    return GroupResult(
        name=group.name,
        requests=int(here.sum()),
        within_slo_ratio=float(kept[here].mean()) if here.any() else None,
        preemptions=served.preemptions[index],
        interruptions=len(lost),
        instance_hours=hours,
        cost_usd=hours * group.usd_per_hour,
    )
