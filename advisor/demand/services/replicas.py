"""Replicas: each engine process once, on one clock, with its requests in each minute."""

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.demand.services.readings import Booleans, EngineView, Floats, Readings, allowance, growth, replicas_at
from advisor.records import dataclass, replace
from advisor.samples.metrics import ROW_SECONDS
from advisor.units import SECONDS_PER_MINUTE

SPREAD_SECONDS = 300.0
"""What an engine counted between two readings no further apart is laid evenly over the time between them."""
_LEAST_COVERAGE = 0.9
"""Share of the replicas' time in a step that has to be known."""
_MISTAKEN = 0.05
"""Share of a growth that another replica's reading may make."""
_FINE = 2
"""Readings in a step from which on its ends are interpolated."""
_MOST_STEPS = 20_000
_FEWEST_STEPS = 40
_SLOW_STEPS = 41
"""What changes over ten minutes is the same at every shift."""
_SURE = 10.0
"""Standard errors by which a shift has to agree better than none."""
_BEYOND_STEPS = 2
"""So that a shift as far as clocks may be apart has neighbours."""
_LEAST_SECONDS = 5.0


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
    """The replicas that answer at an engine's address: one, or as many as its counters jump between.

    Whose a reading is stays open until counters part: as long as the counter takes to grow by twenty times what it was
    ever mistaken by, and five minutes at least. Of readings closer than that each first one and the last are kept.
    """
    chains = replicas_at(view.readings)
    if len(chains) == 1:
        is_whole = chains[0].size == view.readings.seconds.size
        return [Replica(view, view.readings if is_whole else view.readings.at(chains[0]), takes_turns=False)]
    all_readings = [view.readings.at(chain) for chain in chains]
    apart_seconds = 0.0
    for readings in all_readings:
        grown, is_start = growth(readings, takes_turns=True)
        mistaken, whole = -float(np.where(is_start, 0.0, grown).min(initial=0.0)), float(grown.sum())
        if mistaken and whole > 0:
            open_seconds = mistaken / (_MISTAKEN * whole) * float(np.ptp(readings.seconds))
            apart_seconds = max(apart_seconds, SPREAD_SECONDS, open_seconds)
    if not apart_seconds:
        return [Replica(view, readings, takes_turns=True) for readings in all_readings]
    replicas = []
    for readings in all_readings:
        is_kept = np.append(np.diff(np.floor(readings.seconds / apart_seconds)) > 0, True)
        is_kept[0] = True
        replicas.append(Replica(view, readings.at(np.flatnonzero(is_kept)), takes_turns=True))
    return replicas


def minutes_of(
    replicas: Sequence[Replica], spread_seconds: float = SPREAD_SECONDS, *, with_starts: bool = False
) -> Minutes | None:  # fmt: skip
    """Requests in each step that lies wholly in the observed time of a service's replicas; None where there is none.

    A step counts where nine tenths of the time of the replicas that were there are known, and is scaled up by the rest.
    Growth is laid evenly over gaps up to *spread_seconds*. *with_starts*: what a process counted since it started is
    all that came since the last reading.
    """
    slowest = max((replica.readings.interval_seconds for replica in replicas if not replica.takes_turns), default=0.0)
    step = SECONDS_PER_MINUTE * max(float(np.ceil(round(slowest / SECONDS_PER_MINUTE, 1))), 1.0)
    lags = [_lag(replica.readings, step) for replica in replicas]
    begins = min(replica.readings.seconds[0] + lag for replica, lag in zip(replicas, lags, strict=True))
    ends = max(replica.readings.seconds[-1] + lag for replica, lag in zip(replicas, lags, strict=True))
    first, last = int(np.ceil(round(begins / step, 6))), int(np.floor(round(ends / step, 6)))
    if last <= first:
        return None
    marks: Floats = step * np.arange(first, last + 1, dtype=np.float64)
    pairs = zip(replicas, lags, strict=True)
    parts = (_laid(replica, marks - lag, spread_seconds, with_starts=with_starts) for replica, lag in pairs)
    counted, observed, present = sum(parts, np.zeros((3, last - first)))
    coverage = np.divide(observed, present, out=np.zeros(last - first), where=present > 0)
    requests = np.divide(counted, coverage, out=np.full(last - first, np.nan), where=coverage >= _LEAST_COVERAGE)
    return Minutes(first * step, step, requests)


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
    """Requests, known seconds and seconds with the replica between consecutive marks, ``(3, marks - 1)``."""
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
    counted, observed, away = (np.diff(np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))) for part in parts)
    return np.array([counted, observed, np.diff(np.clip(marks, *replica.there_seconds)) - away])


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


def clock_shifts(replicas: Sequence[Replica]) -> dict[str, float]:
    """Seconds by which the clocks of hosts are ahead of most others', of those that are not with them.

    Requests in each 15 s, less their mean over ten minutes, are correlated between the busiest host and each other one,
    up to as far as clocks may be apart. Without bursts there is nothing to tell by, and nothing to be blurred.
    """
    counts = _counts_by_host(replicas)
    if len(counts) < 2:
        return {}
    busiest = max(counts, key=lambda host: float(np.nansum(counts[host])))
    reach = round(max(replica.view.skew_seconds for replica in replicas) / ROW_SECONDS) + _BEYOND_STEPS
    ahead = {host: _ahead_steps(counts[busiest], mine, reach) * ROW_SECONDS for host, mine in counts.items()}
    usual = float(np.median(list(ahead.values())))
    return {host: seconds - usual for host, seconds in ahead.items() if abs(seconds - usual) >= _LEAST_SECONDS}


def by_one_clock(replicas: Sequence[Replica], shifts: Mapping[str, float]) -> list[Replica]:
    """The replicas by the clock of most hosts."""
    shifted = []
    for replica in replicas:
        shift = 0.0 if replica.takes_turns else shifts.get(replica.view.host, 0.0)
        readings = replace(replica.readings, seconds=replica.readings.seconds - shift)
        shifted.append(replace(replica, readings=readings) if shift else replica)
    return shifted


def _counts_by_host(replicas: Sequence[Replica]) -> dict[str, Floats]:
    """Requests in each 15 s of hosts whose agents read that often; NaN where one of their replicas was not read."""
    told = [
        replica
        for replica in replicas
        if replica.view.skew_seconds
        and not (replica.takes_turns or replica.readings.is_thinned)
        and 0 < replica.readings.interval_seconds <= ROW_SECONDS
    ]
    if not told:
        return {}
    end = max(replica.readings.seconds[-1] for replica in told)
    begin = max(min(replica.readings.seconds[0] for replica in told), end - _MOST_STEPS * ROW_SECONDS)
    marks: Floats = np.arange(begin, end, ROW_SECONDS, dtype=np.float64)
    counts: dict[str, Floats] = {}
    for replica in told if marks.size > _FEWEST_STEPS else ():
        host = replica.view.host
        counts[host] = counts.get(host, 0.0) + _counts(replica, marks)
    return counts


def _counts(replica: Replica, marks: Floats) -> Floats:
    seconds = replica.readings.seconds
    grown, is_start = replica.growth()
    is_known = ~is_start & (np.diff(seconds) <= 2 * ROW_SECONDS)
    total, observed = (
        np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))
        for part in (grown, np.where(is_known, np.diff(seconds), 0.0))
    )
    return np.where(np.diff(observed) > 0.99 * ROW_SECONDS, np.diff(total), np.nan)


def _ahead_steps(reference: Floats, mine: Floats, reach: int) -> float:
    """Steps by which a host's clock is ahead of the reference's; 0 where bursts do not tell."""
    first, second = _bursts(reference), _bursts(mine)
    agreement = np.array([_agreement(first, second, lag) for lag in range(-reach, reach + 1)])
    best = int(np.argmax(agreement))
    if best in {0, 2 * reach} or agreement[best] < agreement[reach] + _SURE:
        return 0.0
    left, top, right = agreement[best - 1 : best + 2]
    return best - reach + float(0.5 * (left - right) / (left - 2 * top + right))


def _bursts(counts: Floats) -> Floats:
    """Deviations from the mean over ten minutes, in standard deviations of chance; 0 where unknown."""
    is_observed = ~np.isnan(counts)
    kernel = np.ones(_SLOW_STEPS)
    observed = np.maximum(np.convolve(is_observed, kernel, "same"), 1.0)
    mean = np.convolve(np.nan_to_num(counts), kernel, "same") / observed
    return np.where(is_observed & (mean > 0), (np.nan_to_num(counts) - mean) / np.sqrt(np.maximum(mean, 1e-9)), 0.0)


def _agreement(first: Floats, second: Floats, lag: int) -> float:
    """Correlation at a lag, in its standard errors."""
    early, late = (first[: first.size - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    size = float(np.sqrt((early**2).sum() * (late**2).sum()))
    return float(early @ late) / size * float(np.sqrt(early.size)) if size else 0.0
