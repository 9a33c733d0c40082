"""Synthetic requests, modelled on a demand: as many in each minute, as bursty, as long; the same ones every time.

Of more of the same demand they are the same requests and some more: every number that is drawn belongs to a request of
a minute.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from advisor.demand.spread import MONDAY_SECONDS, hours_of_week, on_the_calendar
from advisor.demand.tally import PER_SECOND, bin_edges, poisson, token_bin, uniforms
from advisor.demand.values import Demand, DemandProfile, Dispersion, Floats, Requests
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_WEEK, MINUTES_PER_HOUR, ROUNDING, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST_REQUESTS = 8_000
"""So many show 99 % to within 0.22 points (two standard errors of a share); of several classes of hours, whose requests
stand for more or fewer of a week, to within about 0.3."""
DECLARED_MINUTES = 20
"""Shortest busiest stretch of a demand of which nothing but numbers is known: as long as half of the requests take."""
MOST_IN_A_MINUTE = 3
"""Times the requests that are asked for: of a demand with more in its busiest minute a share is rehearsed."""
STEADY_MINUTES = 20
"""So long at the mean rate of the busiest hours: several times as long as a queue takes to show an overload."""
SETTLING_RATIO = 0.25
"""Share of a longer time in which replicas that were empty fill up with requests."""
CHANGE_MINUTES = 30
"""So long at most before and after an hour change."""
_WINDOWS = (6, 10, 10)
"""Ten seconds in a minute, single seconds in those, tenths of a second in those."""
_LEAST_CONCENTRATION = 1e-3
_COUNTS, _SECONDS, _LENGTHS, _WHOLES, _SPLITS = 1, 2, 3, 6, 10
"""Streams of random numbers, of which lengths have three and each split of minutes has two."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Expected demand in the hours of a week, in groups of hours that are planned alike."""

    schedule: tuple[int, ...]
    """Class of each hour of the week, from Monday 00:00 UTC."""
    mean_rates: tuple[float, ...]
    """Requests per second expected in the hours of each class."""
    added_rates: tuple[float, ...] = ()
    """Requests per second among them that batch work adds to the demand in each hour of the week; empty: none."""

    def times(self, scale: float) -> Self:
        """A share of the same demand."""
        mean_rates, added_rates = (
            tuple(scale * rate for rate in rates) for rates in (self.mean_rates, self.added_rates)
        )
        return replace(self, mean_rates=mean_rates, added_rates=added_rates)

    def requests_of_week(self) -> Floats:
        """Requests expected in a week in the hours of each class, (classes,)."""
        hours = np.bincount(self.schedule, minlength=len(self.mean_rates))
        requests: Floats = SECONDS_PER_HOUR * hours * np.array(self.mean_rates)
        return requests

    def most_added(self) -> Floats:
        """Most requests per second that batch work adds in an hour of each class, (classes,)."""
        most = np.zeros(len(self.mean_rates))
        if self.added_rates:
            np.maximum.at(most, np.array(self.schedule), np.array(self.added_rates))
        return most


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTrace:
    """Requests of a sample of the week, and what they were made after."""

    requests: Requests
    busiest: slice
    """Those of the busiest stretch."""
    busiest_seconds: float
    """Middle of the busiest minute, since 1970, UTC."""
    minutes: float
    words: str
    scale: float = 1.0
    """Share of the demand that these requests are; a fleet is replayed with that share of its instances."""
    filling: int = 0
    """Number of requests before the stretches, of weight 0, with which replicas that were empty fill up."""

    @property
    def judged(self) -> int:
        """Number of the requests that are judged."""
        return self.requests.seconds.size - self.filling


def rehearse(
    demand: Demand,
    most_requests: int = MOST_REQUESTS,
    calendar: Calendar | None = None,
    scale: float | None = None,
    filling_minutes: int = 0,
) -> SyntheticTrace:
    """A sample of a demand, request by request: its busiest stretch, and an hour change of every other class of hours.

    Each request stands for those of a week in its class of hours: what is expected of the class ÷ what the sample has.

    Minutes are as counted; within a minute requests fall into windows of ten seconds, one second and a tenth of one as
    unevenly as the measured dispersion says (a Dirichlet-multinomial split), and anywhere within the last. Hours of a
    class that was never observed have random arrivals at the rate that is expected of them. Of a demand that is larger
    the same requests come at the same moments, and others beside them. *most_requests*: about so many at most; half of
    them for the other classes, in proportion to what each has in a week, as far as those have so many. *calendar*:
    classes of the hours; the busiest stretch alone without, or with one class. *scale*: share of the demand; without,
    as much as has three times so many requests in its busiest minute, or in as many such minutes as replicas fill up
    in. *filling_minutes*: so many minutes come before each stretch, in which replicas that were empty fill up; their
    requests stand for none.
    """
    whole = _minutes(demand, most_requests, calendar)
    if scale is None:
        busiest_minute = max(float(np.nanmax(whole.requests_per_minute)), 1.0)
        scale = min(MOST_IN_A_MINUTE * most_requests / (busiest_minute * max(filling_minutes, 1)), 1.0)
    profile = whole.times(scale)
    week = calendar
    if calendar is not None:
        calendar = _at_its_peak(demand, calendar).times(scale)
    classes = len(calendar.mean_rates) if calendar else 1
    others = list(_hour_changes(profile, calendar, most_requests // 2)) if calendar and classes > 1 else []
    in_others = sum(int(other.requests_per_minute.sum()) for other in others)
    busiest = _busiest(profile, most_requests - in_others) if demand.profile else profile
    moved = _moved_minutes(demand, calendar)
    first, *others = (_filled(profile, stretch, filling_minutes, moved) for stretch in (busiest, *others))
    stretches = [first, *_after(first, others)]
    requests = _requests(demand, stretches, moved)
    is_filling = _is_filling(requests.seconds, stretches, filling_minutes)
    requests = replace(requests, weights=_weights(week, requests.seconds, is_filling))
    peak = busiest.start_seconds + SECONDS_PER_MINUTE * (int(np.argmax(busiest.requests_per_minute)) + 0.5)
    minutes = float(sum(stretch.requests_per_minute.size - filling_minutes for stretch in stretches))
    count = int(np.searchsorted(requests.seconds, _end_of(busiest)))
    length = busiest.requests_per_minute.size
    words = f"synthetic: random arrivals (Poisson) at the stated peak for {length} min"
    if demand.profile is not None:
        more = f" and an hour change of each of {len(others)} other kinds of hours" if others else ""
        more += ", weighted by the requests of a week" if requests.weights is not None else ""
        words = f"synthetic, modelled on the busiest {length} min of the demand{more}, as bursty as measured"
    words += f", at a scale of {scale:.2g}" if scale < 1 else ""
    words += f", after {filling_minutes:,} min in which replicas fill up" if filling_minutes else ""
    return SyntheticTrace(requests, slice(0, count), peak, minutes, words, scale, int(np.count_nonzero(is_filling)))


class Stress(NamedTuple):
    """Ratios to a demand as it is."""

    peak_ratio: float = 1.0
    """Requests of a minute ÷ those of the demand; below 1 whole numbers of them that are as many on the mean."""
    dispersion_ratio: float = 1.0
    """Index of dispersion ÷ that of the demand."""


UNSTRESSED = Stress()


def stressed(
    demand: Demand,
    most_requests: int,
    scale: float,
    calendar: Calendar | None = None,
    stress: Stress = UNSTRESSED,
    filling_minutes: int = 0,
) -> Requests:
    """The busiest stretch with more requests in each minute, or with more uneven arrivals.

    The minutes are those of a rehearsal of so many requests, whatever the ratios. More of the same requests come in
    the same bursts: the excess of the index of dispersion over 1 grows with the number. *most_requests*: about so many
    at ratio 1. *filling_minutes*: minutes before it in which replicas fill up.
    """
    peak_ratio, dispersion_ratio = stress
    thinned = _minutes(demand, most_requests, calendar).times(scale)
    stretch = _busiest(thinned, most_requests) if demand.profile else thinned
    moved = _moved_minutes(demand, calendar)
    more = _filled(thinned, stretch, filling_minutes, moved).times(peak_ratio)
    if peak_ratio < 1:
        more = replace(more, requests_per_minute=_whole_requests(more))
    ten_seconds, one_second, tenth_second = (index * dispersion_ratio for index in _indices(more.dispersion))
    more = replace(more, dispersion=Dispersion(one_second, ten_seconds, tenth_second))
    requests = _requests(demand, [more], moved)
    is_filling = _is_filling(requests.seconds, [more], filling_minutes)
    return replace(requests, weights=_weights(None, requests.seconds, is_filling))


def busiest_rate(demand: Demand, calendar: Calendar) -> float:
    """Requests per second in the busiest minute of the busiest stretch, with the items of batch work in it."""
    added = np.array(calendar.added_rates)
    if not added.any():
        return demand.requests_per_second.peak
    if demand.profile is None:
        hour = _declared_hour(demand, added, of_one_class=len(calendar.mean_rates) == 1)
        return demand.requests_per_second.peak + float(added[hour])
    return float(np.nanmax(_minutes(demand, MOST_REQUESTS, calendar).requests_per_minute)) / SECONDS_PER_MINUTE


@lru_cache(maxsize=64)
def sustained_ratio(profile: DemandProfile, minutes: int = STEADY_MINUTES) -> float:
    """Mean rate of so many minutes about the busiest one ÷ that minute's own, above 0 to 1."""
    counts = np.nan_to_num(profile.requests_per_minute)
    peak = int(np.argmax(counts))
    first = min(max(peak - minutes // 2, 0), max(counts.size - minutes, 0))
    return float(counts[first : first + minutes].mean() / max(counts[peak], 1.0))


def classes_of(calendar: Calendar, seconds: Floats) -> Integers:
    """Class of the hour that each moment falls in, (n,), n ≥ 1; seconds since 1970, UTC."""
    hours = (seconds // SECONDS_PER_HOUR).astype(np.int64)
    first = int(hours.min())
    of_week = hours_of_week(first, int(hours.max()) - first + 1)[hours - first]
    return np.array(calendar.schedule)[of_week]


def _weights(calendar: Calendar | None, seconds: Floats, is_filling: Flags) -> Floats | None:
    """Requests of a week that each of a sample stands for, 1 on their mean, (n,); None: all stand for as many."""
    if not is_filling.any():
        return _weights_in_a_week(calendar, seconds) if calendar else None
    weights = np.where(is_filling, 0.0, 1.0)
    in_a_week = _weights_in_a_week(calendar, seconds[~is_filling]) if calendar else None
    if in_a_week is not None:
        weights[~is_filling] = in_a_week
    return weights


def _weights_in_a_week(calendar: Calendar, seconds: Floats) -> Floats | None:
    """The same of requests that all stand for some: of their class expected ÷ in the sample."""
    expected, classes = calendar.requests_of_week(), classes_of(calendar, seconds)
    sampled = np.bincount(classes, minlength=expected.size)
    weights = np.divide(expected, sampled, out=np.zeros_like(expected), where=sampled > 0)[classes]
    whole = weights.sum()
    return None if not whole or np.ptp(weights) <= ROUNDING * whole else weights * (weights.size / whole)


def steady(
    demand: Demand,
    requests_per_second: float,
    start_seconds: float,
    most_requests: int,
    long_minutes: int = STEADY_MINUTES,
) -> Requests:
    """Random arrivals (Poisson) at one rate for 20 minutes, as long as those of the demand; at least one.

    Where it takes longer until replicas are as full as they stay, the first ones stand for none. They start so many
    seconds after 1970, UTC. *most_requests*: about so many at most in the 20 minutes, in whole minutes: the more a
    replica serves, the sooner its queue shows. *long_minutes*: so long instead, whatever the number, where it is more.
    """
    per_minute = requests_per_second * SECONDS_PER_MINUTE
    minutes = min(max(int(most_requests / max(per_minute, 1e-9)), 1), STEADY_MINUTES)
    is_long = long_minutes > STEADY_MINUTES
    counts = _random_counts(_minute_of(start_seconds), np.full(long_minutes if is_long else minutes, per_minute))
    if not counts[len(counts) // 2 :].any():
        counts[-1] = 1
    requests = _requests(demand, [DemandProfile(start_seconds, counts)])
    if not is_long:
        return requests
    settled_seconds = start_seconds + SETTLING_RATIO * long_minutes * SECONDS_PER_MINUTE
    return replace(requests, weights=np.where(requests.seconds < settled_seconds, 0.0, 1.0))


def _minutes(demand: Demand, most_requests: int, calendar: Calendar | None) -> DemandProfile:
    """Requests of each minute with those of batch work: as observed, or the busiest stretch of a declared demand.

    Batch work comes at random, at the rate that it adds to the hour.
    """
    added = np.array(calendar.added_rates) if calendar and calendar.added_rates else np.zeros(HOURS_PER_WEEK)
    profile = demand.profile
    if profile is None:
        return _declared(demand, most_requests, added, of_one_class=calendar is None or len(calendar.mean_rates) == 1)
    if not added.any():
        return profile
    start = on_the_calendar(profile.start_seconds)
    hours = (_minute_of(start) + np.arange(profile.requests_per_minute.size)) // MINUTES_PER_HOUR
    of_week = hours_of_week(int(hours[0]), int(hours[-1] - hours[0]) + 1)[hours - hours[0]]
    items = _random_counts(_minute_of(start), added[of_week] * SECONDS_PER_MINUTE)
    return replace(profile, requests_per_minute=profile.requests_per_minute + items)


def _at_its_peak(demand: Demand, calendar: Calendar) -> Calendar:
    """Classes with the stated peak in the hours to which batch work adds, of a demand that is the same at all hours."""
    if demand.profile is not None or not calendar.added_rates:
        return calendar
    peak, most = demand.requests_per_second.peak, calendar.most_added().tolist()
    rates = (max(rate, peak + more) if more else rate for rate, more in zip(calendar.mean_rates, most, strict=True))
    return replace(calendar, mean_rates=tuple(rates))


def _declared_hour(demand: Demand, added: Floats, *, of_one_class: bool) -> int:
    """Hour of the week of the busiest stretch of a declared demand: one not open to batch work, where there is any.

    Where all hours are planned alike, or all are open, the one to which batch work adds most.
    """
    closed = None if of_one_class and added.any() else _closed_hour(demand)
    return int(np.argmax(added)) if closed is None else closed


def _closed_hour(demand: Demand) -> int | None:
    """First hour of the week that is not open to batch work; None without any."""
    run = None if demand.beside is None else demand.beside.run
    is_open = set() if run is None else set(run.hours_of_week(len(run.open_hours)))
    return next((hour for hour in range(HOURS_PER_WEEK) if hour not in is_open), None)


def _declared(demand: Demand, most_requests: int, added: Floats, *, of_one_class: bool) -> DemandProfile:
    """Random arrivals at the stated peak in some hour, with what batch work adds to it."""
    hour = _declared_hour(demand, added, of_one_class=of_one_class)
    per_minute = (demand.requests_per_second.peak + float(added[hour])) * SECONDS_PER_MINUTE
    minutes = max(DECLARED_MINUTES, min(math.ceil(most_requests / 2 / max(per_minute, 1e-9)), 24 * 60))
    count = min(minutes, max(int(most_requests / max(per_minute, 1e-9)), 1))
    start = MONDAY_SECONDS + hour * SECONDS_PER_HOUR
    moved = 0 if added.any() else hour * MINUTES_PER_HOUR
    counts = _random_counts(_minute_of(start) - moved, np.full(count, per_minute))
    if not counts.any():
        counts[0] = 1
    return DemandProfile(start, counts)


def _random_counts(first: int, per_minute: Floats) -> Floats:
    """Requests of each minute with random arrivals at so many a minute, (minutes,); *first*: key of the first."""
    numbers = uniforms(_COUNTS, first + np.arange(per_minute.size))
    counts = np.zeros(per_minute.size)
    for mean in sorted(set(per_minute[per_minute > 0].tolist())):
        here = per_minute == mean
        counts[here] = poisson(mean, numbers[here])
    return counts


def _whole_requests(profile: DemandProfile) -> Floats:
    """Requests of each minute, rounded up or down at random so that their mean stays, (minutes,)."""
    counts = np.nan_to_num(profile.requests_per_minute)
    numbers = uniforms(_WHOLES, _minute_of(profile.start_seconds) + np.arange(counts.size))
    whole: Floats = np.floor(counts + numbers)
    return whole


def _minute_of(seconds: float) -> int:
    return round(seconds / SECONDS_PER_MINUTE)


def _moved_minutes(demand: Demand, calendar: Calendar | None) -> int:
    """Minutes by which batch work moves the stretch of a declared demand that is rehearsed without it.

    Its arrivals stay: a fleet that holds the requests by themselves holds them beside the hours of batch work too.
    """
    if demand.profile is not None or (calendar and any(calendar.added_rates)):
        return 0
    return (_closed_hour(demand) or 0) * MINUTES_PER_HOUR


def with_lengths(demand: Demand, seconds: Floats, numbers: Floats) -> Requests:
    """Arrivals, ascending, (n,), with lengths like those of the demand, by random numbers in [0, 1), (3, n)."""
    chances = demand.tokens.probability.cumsum()
    cells = np.searchsorted(chances, numbers[0] * chances[-1], side="right")
    lengths = [demand.tokens.input_tokens[cells], demand.tokens.output_tokens[cells]]
    if demand.requests is not None:
        lengths = [_anywhere_in_its_bin(*of_bin) for of_bin in zip(lengths, numbers[1:], strict=True)]
        lengths[0] = np.minimum(lengths[0], demand.longest_request_tokens - np.ceil(lengths[1]))
    inputs, outputs = (np.round(tokens).astype(np.int32) for tokens in lengths)
    return Requests(seconds, inputs, outputs)


def _filled(profile: DemandProfile, stretch: DemandProfile, minutes: int, moved_minutes: int) -> DemandProfile:
    """A stretch with so many minutes before it: as in the profile, at random at its mean rate where it has none."""
    if not minutes:
        return stretch
    counts, start = profile.requests_per_minute, stretch.start_seconds - minutes * SECONDS_PER_MINUTE
    at = _minute_of(start - on_the_calendar(profile.start_seconds)) + np.arange(minutes)
    before = np.where((at >= 0) & (at < counts.size), counts[np.clip(at, 0, counts.size - 1)], np.nan)
    usual = _random_counts(_minute_of(start) - moved_minutes, np.full(minutes, float(np.nanmean(counts))))
    before = np.where(np.isnan(before), usual, before)
    return replace(
        stretch, start_seconds=start, requests_per_minute=np.concatenate([before, stretch.requests_per_minute])
    )


def _is_filling(seconds: Floats, stretches: Sequence[DemandProfile], minutes: int) -> Flags:
    """Whether each request comes in the first so many minutes of a stretch, (n,)."""
    starts = np.array([stretch.start_seconds for stretch in stretches])
    begun = starts[np.searchsorted(starts, seconds, side="right") - 1]
    is_filling: Flags = seconds < begun + minutes * SECONDS_PER_MINUTE
    return is_filling


def _end_of(profile: DemandProfile) -> float:
    return profile.start_seconds + SECONDS_PER_MINUTE * profile.requests_per_minute.size


def _hour_changes(
    profile: DemandProfile, calendar: Calendar, most_requests: int
) -> Iterator[DemandProfile]:  # fmt: skip
    """The minutes about the start of an hour of each class but that of the busiest minute: the median one observed."""
    counts = np.nan_to_num(profile.requests_per_minute)
    start = on_the_calendar(profile.start_seconds)
    first = math.ceil((start + CHANGE_MINUTES * SECONDS_PER_MINUTE) / SECONDS_PER_HOUR)
    last = int((start + (counts.size - CHANGE_MINUTES) * SECONDS_PER_MINUTE) // SECONDS_PER_HOUR)
    hours = np.arange(first, max(last + 1, first))
    schedule = np.array(calendar.schedule)
    classes = schedule[hours_of_week(first, hours.size)]
    begins = schedule[hours_of_week(first - 1, hours.size)] != classes
    minutes = ((hours * SECONDS_PER_HOUR - start) // SECONDS_PER_MINUTE).astype(np.intp)
    busiest_hour = int((start + SECONDS_PER_MINUTE * int(np.argmax(counts))) // SECONDS_PER_HOUR)
    own = schedule[hours_of_week(busiest_hour, 1)[0]]
    expected = calendar.requests_of_week()
    most = most_requests * expected / max(expected.sum() - expected[own], 1.0)
    for number in range(len(calendar.mean_rates)):
        if number == own:
            continue
        here = np.flatnonzero((classes == number) & begins)
        here = here if here.size else np.flatnonzero(classes == number)
        if not here.size:
            yield _expected(calendar, number, most[number])
            continue
        totals = np.array([counts[at : at + CHANGE_MINUTES].sum() for at in minutes[here]])
        median = here[np.argsort(totals, kind="stable")[here.size // 2]]
        yield _about(counts, int(minutes[median]), most[number], start, profile.dispersion)


def _about(counts: Floats, centre: int, most_requests: float, start: float, dispersion: Dispersion) -> DemandProfile:
    """Profile of as many minutes before a minute as from it on, as many as hold so many requests."""
    reach = 1
    while reach < CHANGE_MINUTES and counts[centre - reach - 1 : centre + reach + 1].sum() <= most_requests:
        reach += 1
    low = centre - reach
    return DemandProfile(start + low * SECONDS_PER_MINUTE, counts[low : centre + reach], dispersion)


def _expected(calendar: Calendar, number: int, most_requests: float) -> DemandProfile:
    """An hour change of a class that was not observed, with random arrivals at the expected rates."""
    schedule = np.array(calendar.schedule)
    here = np.flatnonzero(schedule == number)
    begins = here[schedule[here - 1] != number]
    hour = int(begins[0] if begins.size else here[0])
    rates = np.array([calendar.mean_rates[schedule[hour - 1]], calendar.mean_rates[number]])
    start = MONDAY_SECONDS + hour * SECONDS_PER_HOUR - CHANGE_MINUTES * SECONDS_PER_MINUTE
    counts = _random_counts(_minute_of(start), np.repeat(rates * SECONDS_PER_MINUTE, CHANGE_MINUTES))
    return _about(counts, CHANGE_MINUTES, most_requests, start, Dispersion())


def _after(busiest: DemandProfile, others: Sequence[DemandProfile]) -> list[DemandProfile]:
    """Stretches at their hours of the week, in the first week after the busiest stretch, in order."""
    end, week = _end_of(busiest), HOURS_PER_WEEK * SECONDS_PER_HOUR
    moved = [
        replace(other, start_seconds=other.start_seconds + math.ceil((end - other.start_seconds) / week) * week)
        for other in others
    ]
    return sorted(moved, key=lambda demand_profile: demand_profile.start_seconds)


def _anywhere_in_its_bin(means: Floats, numbers: Floats) -> Floats:
    """Lengths of which only the mean of their bin is known, spread over the bin about that mean by random numbers."""
    low, high = bin_edges(token_bin(means.astype(np.int64)))
    reach = np.minimum(means - low, high - means)
    spread: Floats = means + np.maximum(reach, 0.0) * (2 * numbers - 1)
    return spread


def _busiest(profile: DemandProfile, most_requests: int) -> DemandProfile:
    """The minutes around the busiest one, as many as hold so many requests; unknown ones count as empty."""
    counts = np.nan_to_num(profile.requests_per_minute)
    peak = int(np.argmax(counts))
    low, high, total = peak, peak + 1, float(counts[peak])
    while total < most_requests and (low > 0 or high < counts.size):
        before = counts[low - 1] if low > 0 else -1.0
        after = counts[high] if high < counts.size else -1.0
        low, high = (low - 1, high) if before > after else (low, high + 1)
        total += max(float(before), float(after))
    start = on_the_calendar(profile.start_seconds) + low * SECONDS_PER_MINUTE
    return DemandProfile(start, counts[low:high], profile.dispersion)


def _requests(demand: Demand, stretches: Sequence[DemandProfile], moved_minutes: int = 0) -> Requests:
    """Requests of stretches that follow each other, as if they began so many minutes sooner."""
    parts = [_arrivals(stretch, _minute_of(stretch.start_seconds) - moved_minutes) for stretch in stretches]
    seconds, *lengths = np.concatenate(parts, axis=1)
    return with_lengths(demand, seconds, np.array(lengths))


def _arrivals(profile: DemandProfile, first: int) -> Floats:
    """Ascending arrival times, and three random numbers for the lengths of each request, (4, n).

    *first*: key of the first minute.
    """
    counts = np.round(profile.requests_per_minute).astype(np.int64)
    minutes, numbers = np.repeat(np.arange(counts.size), counts), _turns(counts)
    keys = first + np.arange(counts.size), numbers, counts
    cells = minutes
    for stream, (windows, index) in enumerate(zip(_WINDOWS, _indices(profile.dispersion), strict=True)):
        copied, placed = (uniforms(_SPLITS + 2 * stream + which, *keys) for which in (0, 1))
        cells = cells * windows + (placed * windows).astype(np.int64)[_sources(cells, index, copied)]
    seconds = profile.start_seconds + (cells + uniforms(_SECONDS, *keys)) / PER_SECOND
    lengths = (uniforms(_LENGTHS + which, *keys) for which in range(3))
    arrivals: Floats = np.array([seconds, *lengths])[:, np.argsort(seconds, kind="stable")]
    return arrivals


def _indices(dispersion: Dispersion) -> list[float]:
    """Index of dispersion in ten seconds, in one and in a tenth of one; that of random arrivals where unknown."""
    indices = dispersion.ten_seconds, dispersion.one_second, dispersion.tenth_second
    return [max(index or 1.0, 1.0) for index in indices]


def _turns(counts: Integers) -> Integers:
    """Number of each request among those of its cell, from 0 on, (n,), for the counts of cells in order."""
    before = counts.cumsum() - counts
    turns: Integers = np.arange(counts.sum()) - np.repeat(before, counts)
    return turns


def _sources(cells: Integers, index: float, numbers: Floats) -> Integers:
    """Position of the request into whose window each one falls, its own where that is any of them: (n,).

    A Dirichlet-multinomial split of n with total concentration A has the variance of a multinomial one times
    ``(n + A) / (1 + A)``, so ``A = (n - I) / (I - 1)`` gives an index of dispersion I (Mosimann 1962). As an urn, the
    k-th request goes where any of the k before it went with chance ``k / (k + A)`` (Blackwell and MacQueen 1973).
    Requests of one cell stand in the order of their *numbers*, random ones from 0 to below 1; *index* is I.
    """
    own = np.arange(cells.size)
    if index <= 1:
        return own
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells, minlength=1)
    turns = _turns(counts)
    total = np.repeat(counts, counts)
    concentration = np.maximum((total - index) / (index - 1), _LEAST_CONCENTRATION)
    at = numbers[order] * (turns + concentration)
    sources = np.where(at < turns, own - turns + at.astype(np.int64), own)
    while (sources != (further := sources[sources])).any():
        sources = further
    positions = np.empty_like(own)
    positions[order] = order[sources]
    return positions
