"""Engines that several observers read: told by their counters, and counted once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from advisor.demand.services.readings import Floats, Readings
from advisor.demand.services.replicas import Replica

_COMPARED = 300
"""Readings of one replica that are held against another's."""
_AGREES = 0.95
_SHIFT_SECONDS = 5.0
_COARSE = 64
_COARSE_AGREES = 0.8
_FEWEST = 3


def distinct(replicas: Sequence[Replica]) -> tuple[list[Replica], list[tuple[Replica, Replica]]]:
    """Each engine once, with all that any observer read of it; and which replicas were the same as which kept one.

    The clock of an agent on the engine's own host is kept where there is one, else that of whoever read it most often.
    """
    ordered = sorted(replicas, key=lambda one: (not one.view.is_local, -one.readings.seconds.size))
    kept: list[Replica] = []
    same: list[tuple[Replica, Replica]] = []
    coarse = _Coarse(ordered)
    places: list[int] = []
    for place, replica in enumerate(ordered):
        match = _twin(replica, [kept[k] for k in coarse.alike(place, places)])
        if match is None:
            kept.append(replica)
            places.append(place)
            continue
        twin, shift = match
        kept[next(k for k, one in enumerate(kept) if one is twin)] = _completed(twin, replica, shift)
        same.append((replica, twin))
    return kept, same


class _Coarse:
    """Counters at a few moments: which replicas may be the same at all."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.views = [one.view for one in replicas]
        begin = min((one.readings.seconds[0] for one in replicas), default=0.0)
        end = max((one.readings.seconds[-1] for one in replicas), default=0.0)
        moments = np.linspace(begin, end, _COARSE)
        self.low, self.high, self.value = (
            np.array([_requests_at(one, moments, sign * 2 * one.slack_seconds) for one in replicas])
            for sign in (-1, 1, 0)
        )

    def alike(self, place: int, others: Sequence[int]) -> Iterator[int]:
        """Which of the others' counters stand where that replica's do."""
        value = self.value[place]
        for number, other in enumerate(others):
            both = ~np.isnan(value) & ~np.isnan(self.value[other])
            within = (self.low[other] <= value) & (value <= self.high[other]) & both
            if self._may_be_one(place, other) and within.sum() >= _COARSE_AGREES * both.sum():
                yield number

    def _may_be_one(self, place: int, other: int) -> bool:
        """Different ranks are different engines, and so are replicas of one address, and local ones of two hosts."""
        mine, theirs = self.views[place], self.views[other]
        if mine is theirs or mine.rank != theirs.rank:
            return False
        return not (mine.is_local and theirs.is_local) or mine.host == theirs.host


def _requests_at(replica: Replica, moments: Floats, later_seconds: float) -> Floats:
    """Requests so much later than moments between its first and last reading; NaN outside."""
    seconds = replica.readings.seconds
    values = np.interp(moments + later_seconds, seconds, replica.readings.requests)
    return np.where((moments >= seconds[0]) & (moments <= seconds[-1]), values, np.nan)


def _twin(replica: Replica, others: Sequence[Replica]) -> tuple[Replica, float] | None:
    """The replica whose counters are those of this one, and by how much its clock is ahead."""
    for other in others:
        shift = _agreement(replica, other)
        if shift is not None:
            return other, shift
    return None


def _agreement(replica: Replica, other: Replica) -> float | None:
    """Seconds by which the other's clock is ahead where both read one engine; None: they are two.

    Each reading has to lie between what the other counted an interval before and an interval after it, requests and
    tokens alike. Two engines with the same load drift apart by the square root of their requests, and soon further.
    """
    mine, theirs = replica.readings, other.readings
    reach = replica.view.skew_seconds + other.view.skew_seconds
    is_inside = (mine.seconds >= theirs.seconds[0] - reach) & (mine.seconds <= theirs.seconds[-1] + reach)
    inside = np.flatnonzero(is_inside)
    if inside.size < _FEWEST:
        return None
    some = mine.at(inside[np.linspace(0, inside.size - 1, min(inside.size, _COMPARED)).astype(np.intp)])
    width = max(mine.interval_seconds, theirs.interval_seconds, 1.0)
    shifts = sorted(np.arange(-reach, reach + _SHIFT_SECONDS / 2, _SHIFT_SECONDS).tolist() if reach else [0.0], key=abs)
    shares = [_share_within(some, theirs, shift, width) for shift in shifts]
    best = int(np.argmax(shares))
    return shifts[best] if shares[best] >= _AGREES else None


def _share_within(some: Readings, theirs: Readings, shift: float, width: float) -> float:
    """Share of the readings that the other's counters can have had; only where it was read at about that time."""
    at = some.seconds + shift
    after = np.clip(np.searchsorted(theirs.seconds, at), 1, theirs.seconds.size - 1)
    is_read = (at >= theirs.seconds[0]) & (at <= theirs.seconds[-1])
    is_read &= theirs.seconds[after] - theirs.seconds[after - 1] <= 3 * width
    if np.count_nonzero(is_read) < _FEWEST:
        return 0.0
    agrees = np.ones(some.seconds.size, dtype=bool)
    for mine, other in ((some.requests, theirs.requests), (some.tokens, theirs.tokens)):
        low, high = (np.interp(at + sign * width, theirs.seconds, other) for sign in (-1, 1))
        is_unknown = np.isnan(mine) | np.isnan(low) | np.isnan(high)
        agrees &= is_unknown | ((mine >= low - 0.5) & (mine <= high + 0.5))
    return float(agrees[is_read].mean())


def _completed(kept: Replica, twin: Replica, shift: float) -> Replica:
    """The kept replica with what the other observer read while its own did not."""
    mine, more = kept.readings, replace(twin.readings, seconds=twin.readings.seconds + shift)
    after = np.searchsorted(mine.seconds, more.seconds)
    before = np.where(after > 0, mine.seconds[np.maximum(after - 1, 0)], -np.inf)
    following = np.where(after < mine.seconds.size, mine.seconds[np.minimum(after, mine.seconds.size - 1)], np.inf)
    distance = 2 * max(mine.interval_seconds, more.interval_seconds)
    missing = np.flatnonzero((more.seconds - before > distance) & (following - more.seconds > distance))
    if not missing.size:
        return kept
    extra = more.at(missing)
    order = np.argsort(np.concatenate((mine.seconds, extra.seconds)), kind="stable")
    columns = ((mine.seconds, extra.seconds), (mine.requests, extra.requests), (mine.tokens, extra.tokens))
    return replace(kept, readings=Readings(*(np.concatenate(pair)[order] for pair in columns)))
