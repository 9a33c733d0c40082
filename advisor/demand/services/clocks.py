"""Clocks of hosts that are apart: told by bursts, which reach all replicas of a service at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from advisor.demand.services.readings import Floats
from advisor.demand.services.replicas import Replica
from advisor.samples.metrics import ROW_SECONDS

_MOST_STEPS = 20_000
_FEWEST_STEPS = 40
_SLOW_STEPS = 41
"""What changes over ten minutes is the same at every shift."""
_SURE = 10.0
"""Standard errors by which a shift has to agree better than none."""
_BEYOND_STEPS = 2
"""So that a shift as far as clocks may be apart has neighbours."""
_LEAST_SECONDS = 5.0


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
    return [
        _earlier(replica, shifts[replica.view.host])
        if replica.view.host in shifts and not replica.takes_turns
        else replica
        for replica in replicas
    ]


def _earlier(replica: Replica, seconds: float) -> Replica:
    return replace(replica, readings=replace(replica.readings, seconds=replica.readings.seconds - seconds))


def _counts_by_host(replicas: Sequence[Replica]) -> dict[str, Floats]:
    """Requests in each 15 s of hosts whose agents read that often; NaN where one of their replicas was not read."""
    told = [
        replica for replica in replicas if replica.view.skew_seconds and not replica.takes_turns and _is_fine(replica)
    ]
    if not told:
        return {}
    end = max(replica.readings.seconds[-1] for replica in told)
    begin = max(min(replica.readings.seconds[0] for replica in told), end - _MOST_STEPS * ROW_SECONDS)
    marks: Floats = np.arange(begin, end, ROW_SECONDS, dtype=np.float64)
    counts: dict[str, Floats] = {}
    for one in told if marks.size > _FEWEST_STEPS else ():
        counts[one.view.host] = counts.get(one.view.host, 0.0) + _counts(one, marks)
    return counts


def _is_fine(replica: Replica) -> bool:
    return not replica.readings.is_thinned and 0 < replica.readings.interval_seconds <= ROW_SECONDS


def _counts(replica: Replica, marks: Floats) -> Floats:
    seconds = replica.readings.seconds
    grown, is_start = replica.growth()
    is_known = ~is_start & (np.diff(seconds) <= 2 * ROW_SECONDS)
    total, known = (
        np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))
        for part in (grown, np.where(is_known, np.diff(seconds), 0.0))
    )
    return np.where(np.diff(known) > 0.99 * ROW_SECONDS, np.diff(total), np.nan)


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
    known = ~np.isnan(counts)
    kernel = np.ones(_SLOW_STEPS)
    mean = np.convolve(np.nan_to_num(counts), kernel, "same") / np.maximum(np.convolve(known, kernel, "same"), 1.0)
    return np.where(known & (mean > 0), (np.nan_to_num(counts) - mean) / np.sqrt(np.maximum(mean, 1e-9)), 0.0)


def _agreement(first: Floats, second: Floats, lag: int) -> float:
    """Correlation at a lag, in its standard errors."""
    one, other = (first[: first.size - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(one @ other) / size * float(np.sqrt(one.size)) if size else 0.0
