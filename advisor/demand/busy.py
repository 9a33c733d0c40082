"""Demand from accelerators alone: weak evidence, so every number has an interval, and it stands in the headline."""

from collections.abc import Sequence

import numpy as np

from advisor.demand.lengths import one_size_demand
from advisor.demand.spread import on_the_calendar
from advisor.demand.values import ArrivalRate, Demand, DemandInterval, DemandProfile, Floats
from advisor.errors import InputError
from advisor.percentiles import percentiles
from advisor.records import dataclass, replace
from advisor.units import MINUTES_PER_HOUR, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class BusySecond:
    """Requests that one fully busy accelerator serves in a second."""

    alone: float
    """While a single request runs: the least that busy can mean."""
    saturated: float
    """At its capacity: the most."""


def demand_interval(
    busy: Floats, saturated: Floats, serves: BusySecond, stated_mean: float | None = None
) -> DemandInterval:  # fmt: skip
    """Bounds of the request rate on average and in the busiest window.

    An accelerator counts as busy while any kernel runs, so a busy second served at least what it serves while a
    single request runs, and at most what it serves when saturated. For b busy and s saturated accelerators::

        low = b × alone        high = max(s × saturated, low)

    s is b where nothing narrows it. With profiling signals it is the least of b, SM active ÷ 0.8 (a saturated
    accelerator has that much) and the greater of DRAM active ÷ 0.6 and tensor active ÷ 0.5 (a saturated one is bound
    by either); these quotients are as good as their limits, so a plan is still made for b. Both edges grow with b.
    They are usually a factor of 10 to 100 apart: batching is what they differ in. That is what samples of
    accelerators alone can say. *busy*: busy accelerators in each window, shape ``(windows,)``, NaN where unknown; at
    least one is known. *saturated*: the same, narrowed by SM, DRAM and tensor activity where those are known.
    *stated_mean*: requests per second that are stated, to be held against the bounds.
    """
    is_observed = ~np.isnan(busy)
    narrowed = np.where(np.isnan(saturated), busy, np.minimum(saturated, busy))[is_observed]
    low = busy[is_observed] * serves.alone
    high = np.maximum(narrowed * serves.saturated, low)
    bounds = DemandInterval(float(low.mean()), float(high.mean()), float(low.max()), float(high.max()))
    if stated_mean is None or bounds.mean_low <= stated_mean <= bounds.mean_high:
        return bounds
    if stated_mean > bounds.mean_high:
        bound = f"above what the busy accelerators can have served ({bounds.mean_high:.3g})"
        remedy = "check requests_per_day, the lengths and `current`"
    else:
        bound = f"below what the busy accelerators serve even one at a time ({bounds.mean_low:.3g})"
        remedy = "something else ran there, or requests_per_day is too low"
    return replace(bounds, contradiction=f"the stated volume ({stated_mean:.3g} requests/s) is {bound}: {remedy}")


_HOURS = (1, 6, 24, 72, 168, 336)
_TYPICAL = (1.5, 1.9, 2.9, 4.0, 4.7, 5.8)
_BURSTY = (3.6, 4.9, 6.7, 13.0, 22.0, 22.0)
"""Busiest minute ÷ mean within so many hours: the median service, and what three of four services stay within.

From the ServeGen language clients (Alibaba, Apache-2.0) of at least 1 request/s and the two Azure LLM traces of 2023
(CC-BY-4.0), each service weighing alike; ``tests/benchmarks/bench_bursts.py`` makes the table.
"""
_MOST_BUSY = 0.99
"""Share of a minute; what is busier says only that at least so much was served."""
_SHAPED = 0.9
"""Share of the minutes in which profiling signals have to be known to give the shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Busy accelerators over time; arrays of shape ``(windows,)``, NaN where unknown."""

    busy: Floats
    """Busy accelerators."""
    saturated: Floats
    """The same, narrowed by SM, DRAM and tensor activity where those are known."""
    present: Floats
    """Accelerators that were there."""
    window_seconds: float
    """Whole minutes."""
    start_seconds: float | None
    """Of the first window, since 1970; None: unknown."""


def demand_from_busy(
    seen: Busy, serves: BusySecond | InputError, requests_per_day: float | None, tokens: tuple[float, float]
) -> Demand:  # fmt: skip
    """Demand whose shape over time is that of how busy the accelerators were, with what it may be at least and at most.

    Without a volume the level is what saturated accelerators serve: an upper bound, since an accelerator counts as busy
    while any kernel runs. With a volume the mean is known, and the busiest minute is not: busy says which minutes had
    more requests, and where it saturates not how many. It is taken to be that of the median of comparable services.

    *serves*: what a busy second of the current deployment can have served, or why that is not known.
    *requests_per_day*: known volume, or None. *tokens*: (prompt, generated) of a request. Raises InputError if nothing
    was observed or ever busy, or neither volume nor deployment is known.
    """
    observed = seen.busy[np.isfinite(seen.busy)]
    if not observed.size or observed.max() <= 0:
        raise InputError(
            "the samples show no busy accelerator in any whole minute",
            hint="sample while traffic is served: `advisor agent run` for at least some minutes",
        )
    if requests_per_day is None:
        if isinstance(serves, InputError):
            raise serves
        return _bounded(seen, serves, tokens)
    mean = requests_per_day / SECONDS_PER_DAY
    shape = _load_shape(seen)
    seen_ratio = float(np.nanmax(seen.busy) / np.nanmean(seen.busy))
    shape_ratio = float(np.nanmax(shape) / np.nanmean(shape))
    typical, bursty = (_burst_ratio(table, mean, _hours(shape, seen)) for table in (_TYPICAL, _BURSTY))
    peak_ratio = max(typical, shape_ratio)
    interval = DemandInterval(mean, mean, mean * seen_ratio, mean * max(bursty, peak_ratio))
    busier = "which minutes were busier is what the accelerators show, scaled to the stated volume"
    services = f"of comparable services half stay within {typical:.2g}, three of four within {bursty:.2g}"
    busiest = f"the busiest is taken to be {peak_ratio:.2g} × the mean ({services})"
    notes = [f"{busier}; {busiest}, and accelerators alone allow {interval.words()}"]
    if isinstance(serves, BusySecond):
        notes += [words] if (words := demand_interval(seen.busy, seen.saturated, serves, mean).contradiction) else []
    rates = _with_bursts(shape / np.nanmean(shape), seen.window_seconds, peak_ratio) * mean
    minutes = replace(seen, window_seconds=SECONDS_PER_MINUTE)
    return _demand(minutes, rates, tokens, interval, tuple(notes))


def _bounded(seen: Busy, serves: BusySecond, tokens: tuple[float, float]) -> Demand:
    """Level unknown: what the accelerators serve when saturated is planned for."""
    served = demand_interval(seen.busy, seen.saturated, serves)
    interval = _with_waiting(served, seen)
    bound = "request rates are an upper bound: a busy accelerator is taken to be saturated"
    remedy = "state requests_per_day, watch the engines, or give a trace, for less"
    why = "a busy accelerator serves one request at a time, or all that it can hold"
    if interval != served:
        why += "; where all were busy requests may have waited, and three of four services stay within the upper edge"
    notes = (f"{bound}; {remedy}", f"accelerators alone allow {interval.words()}: {why}")
    return _demand(seen, seen.busy * serves.saturated, tokens, interval, notes)


def _with_waiting(interval: DemandInterval, seen: Busy) -> DemandInterval:
    """Interval with the demand of the busiest minute, where that was more than could be served.

    In a window in which every accelerator was busy requests may have waited: what was served is no upper bound of what
    came. Of comparable services three of four stay within the ratio of the busiest minute to the mean.
    """
    if np.nanmax(_share_of_present(seen, np.fmin(seen.saturated, seen.busy))) < _MOST_BUSY:
        return interval
    most = interval.mean_high * _burst_ratio(_BURSTY, interval.mean_high, _hours(seen.busy, seen))
    return replace(interval, peak_high=max(interval.peak_high, most))


def _share_of_present(seen: Busy, busy: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(busy / np.maximum(seen.present, busy))


def _hours(values: Floats, seen: Busy) -> float:
    """Hours of known values."""
    return float(np.count_nonzero(~np.isnan(values)) * seen.window_seconds / SECONDS_PER_HOUR)


def _load_shape(seen: Busy) -> Floats:
    """Values proportional to the load, one for each window.

    An accelerator that serves any number of requests at once is busy for 1 - exp(-load) of the time when they arrive at
    random (M/G/∞), so that busy grows ever more slowly than load; profiling signals grow with it.
    """
    shaped = ~np.isnan(seen.saturated)
    if np.count_nonzero(shaped) >= _SHAPED * seen.busy.size and np.nansum(seen.saturated) < np.nansum(seen.busy):
        return np.where(shaped, seen.saturated, np.nan)
    share = np.clip(_share_of_present(seen, seen.busy), 0.0, _MOST_BUSY)
    return np.asarray(-np.log1p(-np.where(seen.busy == 0, 0.0, share)) * np.maximum(seen.present, seen.busy))


def _burst_ratio(table: Sequence[float], mean: float, hours: float) -> float:
    """Busiest minute ÷ mean of services within some hours.

    Chance adds √(2 ln n ÷ requests in it) where a minute holds few requests, for n minutes.
    """
    ratio = float(np.interp(np.log(max(hours, 1)), np.log(_HOURS), table))
    in_it = ratio * mean * SECONDS_PER_MINUTE
    return ratio * (1 + float(np.sqrt(2 * np.log(max(hours, 1) * MINUTES_PER_HOUR) / in_it)))


def _with_bursts(shape: Floats, window_seconds: float, peak_ratio: float) -> Floats:
    """Minutes of a shape with mean 1, one in each hour raised so far that the busiest has the given ratio to the mean.

    The others of its hour are lowered by as much, so that every hour keeps its mean.
    """
    minutes = np.repeat(shape, round(window_seconds / SECONDS_PER_MINUTE))
    factor = peak_ratio / float(np.nanmax(minutes))
    for first in range(0, minutes.size, MINUTES_PER_HOUR):
        hour = minutes[first : first + MINUTES_PER_HOUR]
        total = float(np.nansum(hour))
        if np.count_nonzero(~np.isnan(hour)) < 2 or total <= 0:
            continue
        busiest = int(np.nanargmax(hour))
        raised = min(hour[busiest] * factor, total)
        rest = total - float(hour[busiest])
        hour *= (total - raised) / rest if rest > 0 else 1.0
        hour[busiest] = raised if rest > 0 else total
    return np.asarray(minutes)


def _demand(
    seen: Busy, rates: Floats, tokens: tuple[float, float], interval: DemandInterval, notes: tuple[str, ...]
) -> Demand:  # fmt: skip
    """Demand of known rates in each window."""
    finite = rates[np.isfinite(rates)]
    p50, p95, p99 = percentiles(finite, (0.5, 0.95, 0.99))
    rate = ArrivalRate(float(finite.mean()), p50, p95, p99, float(finite.max()))
    coverage = finite.size / rates.size
    if coverage < 0.95:
        notes = (*notes, f"only {coverage:.0%} of the minutes were observed; the others are unknown, not idle")
    per_minute = np.repeat(rates, round(seen.window_seconds / SECONDS_PER_MINUTE)) * SECONDS_PER_MINUTE
    profile = DemandProfile(on_the_calendar(seen.start_seconds or 0.0), per_minute)
    observed = float(finite.size * seen.window_seconds)
    demand = one_size_demand(rate, tokens, "accelerator samples", notes, observed, profile)
    return replace(demand, interval=interval)
