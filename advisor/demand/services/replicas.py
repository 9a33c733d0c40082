"""Replicas: each engine process once, however many observers read it, with its requests in each minute."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.demand.services.readings import Booleans, Floats, Readings, allowance, growth, replicas_at
from advisor.demand.services.views import EngineView
from advisor.units import SECONDS_PER_MINUTE

SPREAD_SECONDS = 300.0
"""What an engine counted between two readings no further apart is laid evenly over the time between them."""
_LEAST_COVERAGE = 0.9
"""Share of the replicas' time in a step that has to be known."""
_MISTAKEN = 0.05
"""Share of a growth that another replica's reading may make."""
_FINE = 2
"""Readings in a step from which on its ends are interpolated."""


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """An engine at one place, over its restarts."""

    view: EngineView
    readings: Readings
    takes_turns: bool
    """Whether its address answers for others too, so that it is read now and then only."""

    @property
    def there_seconds(self) -> tuple[float, float]:
        """First and last second it was there: where others answer at its address too, as long as any of them did."""
        mine, all_there = self.readings.seconds, self.view.readings.seconds
        begin = mine[0] if not self.takes_turns or mine[0] - all_there[0] < SPREAD_SECONDS else all_there[0]
        end = mine[-1] if not self.takes_turns or all_there[-1] - mine[-1] < SPREAD_SECONDS else all_there[-1]
        return float(begin), float(end)

    def growth(self) -> tuple[Floats, Booleans]:
        """Requests from each reading to the next, and where it was started anew between them."""
        return growth(self.readings, takes_turns=self.takes_turns)


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """Requests of several replicas together, in steps of whole minutes."""

    start_seconds: float
    step_seconds: float
    requests: Floats
    """In each step; NaN: too few of the replicas are known."""


def replicas_of(view: EngineView) -> list[Replica]:
    """The replicas that answer at an engine's address: one, or as many as its counters jump between."""
    chains = replicas_at(view.readings)
    if len(chains) == 1:
        is_whole = chains[0].size == view.readings.seconds.size
        return [Replica(view, view.readings if is_whole else view.readings.at(chains[0]), takes_turns=False)]
    readings = [view.readings.at(chain) for chain in chains]
    apart_seconds = max(_open_seconds(reading) for reading in readings)
    return [Replica(view, _every(reading, apart_seconds), takes_turns=True) for reading in readings]


def _open_seconds(readings: Readings) -> float:
    """Seconds between readings of a replica whose counters cross those of others; 0: each as it is.

    Whose a reading is stays open until counters part: as long as the counter takes to grow by twenty times what it was
    ever mistaken by, and five minutes at least.
    """
    grown, is_start = growth(readings, takes_turns=True)
    mistaken = -float(np.where(is_start, 0.0, grown).min(initial=0.0))
    whole = float(grown.sum())
    if not mistaken or whole <= 0:
        return 0.0
    return max(SPREAD_SECONDS, mistaken / (_MISTAKEN * whole) * float(np.ptp(readings.seconds)))


def _every(readings: Readings, seconds: float) -> Readings:
    """The first reading and the last in each stretch of so long; all of them where it is 0."""
    if not seconds:
        return readings
    is_kept = np.append(np.diff(np.floor(readings.seconds / seconds)) > 0, True)
    is_kept[0] = True
    return readings.at(np.flatnonzero(is_kept))


def minutes_of(
    replicas: Sequence[Replica], spread_seconds: float = SPREAD_SECONDS, *, with_starts: bool = False
) -> Minutes | None:  # fmt: skip
    """Requests in each step that lies wholly in the observed time; None where there is none.

    A step counts where nine tenths of the time of the replicas that were there are known, and is scaled up by the rest.

    Args:
        replicas: of one service.
        spread_seconds: growth is laid evenly over gaps up to so long.
        with_starts: whether what a process counted since it started is all that came since the last reading.
    """
    step = _step_seconds(replicas)
    lags = [_lag(replica.readings, step) for replica in replicas]
    begins = min(replica.readings.seconds[0] + lag for replica, lag in zip(replicas, lags, strict=True))
    ends = max(replica.readings.seconds[-1] + lag for replica, lag in zip(replicas, lags, strict=True))
    first, last = int(np.ceil(round(begins / step, 6))), int(np.floor(round(ends / step, 6)))
    if last <= first:
        return None
    marks: Floats = step * np.arange(first, last + 1, dtype=np.float64)
    pairs = zip(replicas, lags, strict=True)
    parts = (_laid(replica, marks - lag, spread_seconds, with_starts=with_starts) for replica, lag in pairs)
    counted, known, present = sum(parts, np.zeros((3, last - first)))
    coverage = np.divide(known, present, out=np.zeros(last - first), where=present > 0)
    requests = np.divide(counted, coverage, out=np.full(last - first, np.nan), where=coverage >= _LEAST_COVERAGE)
    return Minutes(first * step, step, requests)


def _step_seconds(replicas: Sequence[Replica]) -> float:
    """A minute, or as many as the rarest reading takes."""
    slowest = max((replica.readings.interval_seconds for replica in replicas if not replica.takes_turns), default=0.0)
    return SECONDS_PER_MINUTE * max(float(np.ceil(round(slowest / SECONDS_PER_MINUTE, 1))), 1.0)


def _lag(readings: Readings, step: float) -> float:
    """Usual seconds from the last reading of a step to its end: with few readings steps end where these do.

    Between readings that are closer together what was counted is interpolated.
    """
    if readings.interval_seconds <= step / _FINE:
        return 0.0
    number = np.ceil(np.round(readings.seconds / step, 9))
    is_last = np.append(np.diff(number) > 0, True)
    return float(np.median(number[is_last] * step - readings.seconds[is_last]))


def _laid(replica: Replica, marks: Floats, spread_seconds: float, *, with_starts: bool) -> Floats:
    """Requests, seconds that are known and seconds in which the replica was there, between consecutive marks.

    Shape ``(3, marks - 1)``.
    """
    seconds, elapsed = replica.readings.seconds, np.diff(replica.readings.seconds)
    grown, is_start = replica.growth()
    is_long = elapsed > max(SPREAD_SECONDS, 2 * replica.readings.interval_seconds)
    was_down = is_start & is_long
    if was_down.any():
        usual = allowance(seconds, replica.readings.requests).after(np.full(grown.size, SPREAD_SECONDS))
        was_down &= grown <= usual
    is_known = ~(is_start & (is_long | (not with_starts)))
    if np.isfinite(spread_seconds) and not replica.takes_turns:
        is_known &= ~is_long
    parts = (np.where(is_known, grown, 0.0), np.where(is_known, elapsed, 0.0), np.where(was_down, elapsed, 0.0))
    counted, known, away = (np.diff(np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))) for part in parts)
    return np.array([counted, known, np.diff(np.clip(marks, *replica.there_seconds)) - away])


def restarts(replica: Replica) -> int:
    """Number of restarts."""
    return int(np.count_nonzero(replica.growth()[1]))


def begun(replicas: Sequence[Replica]) -> list[Replica]:
    """Replicas that came after the others began at nothing: what they counted before their first reading is theirs."""
    first = min(replica.readings.seconds[0] for replica in replicas)
    return [
        _with_start(replica) if replica.readings.seconds[0] > first + SPREAD_SECONDS else replica
        for replica in replicas
    ]


def _with_start(replica: Replica) -> Replica:
    readings = replica.readings
    interval = readings.interval_seconds
    usual = allowance(readings.seconds, readings.requests).after(np.array([interval]))
    if replica.takes_turns or not interval or readings.requests[0] > usual[0]:
        return replica
    first = readings.at(np.array([0]))
    start = Readings(first.seconds - interval, 0.0 * first.requests, 0.0 * first.tokens, 0.0 * first.in_flight)
    return replace(replica, readings=readings.with_more(start))
