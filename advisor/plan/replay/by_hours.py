"""Instances of each class of hours by itself: what several replays of the same machines show together.

One headroom for all hours has a fleet as late as it may be in one class of hours, and no cheaper in the others. Hours
of different classes hardly meet in a replay: the requests of one are as late beside any number of machines in another.
So every replayed fleet of one machine tells how many requests so many instances leave late in each class of hours, and
the cheapest combination that leaves few enough late is told before it is replayed.

The sample of a replay has more requests of the busiest hours than a week has. A combination has to keep what the SLO
asks of the week's requests too, each class with its part of them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from advisor.demand.arrivals import Requests
from advisor.demand.clock import MONDAY_SECONDS
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import FleetSolution, HourClass, Pool, Problem, PurchaseOption
from advisor.plan.replay.headroom import Kind
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_WEEK, SECONDS_PER_HOUR

MOST_STEPS = 5_000
"""Combinations of the quieter classes that are looked at."""
_ROUNDING = 1e-6

Flags = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.intp]
Counts = tuple[int, ...]
"""Instances in each class of hours, the quietest first."""


class Late(NamedTuple):
    """Late requests of a class of hours ÷ all that may be late; NaN where none was simulated."""

    sample: float
    busiest: float
    """Of those of the busiest stretch."""
    week: float
    """Of those of a week."""

    def with_those(self, other: "Late") -> "Late":
        """Late requests of two classes."""
        return Late(self.sample + other.sample, self.busiest + other.busiest, self.week + other.week)


NONE = Late(0.0, 0.0, 0.0)
Lateness = tuple[Late, ...]
"""Of each class, the quietest first."""


class Machine(NamedTuple):
    """Group of like instances, whose replays are comparable."""

    kind: Kind
    region: str
    replicas: int
    is_on_spot: bool


class _Choice(NamedTuple):
    """Instances in a class of hours, or instance hours of several, and what is late there."""

    instances: float
    late: Late


@dataclass(frozen=True, slots=True, eq=False)
class HoursOfRequests:
    """Classes of hours, and how many of their requests may be late."""

    schedule: tuple[int, ...]
    """Class of each hour of the week, from Monday 00:00 UTC."""
    shares: tuple[float, ...]
    """Of a week's requests in each class."""
    most_late_of_sample: float
    """Share of the sample's requests, and of those of its busiest stretch."""
    most_late_of_week: float

    def lateness(self, requests: Requests, kept: Flags, judged: Flags, busiest: int) -> Lateness:
        """Late requests of each class, from those that were simulated.

        Args:
            requests: a sample.
            kept: whether each is within the targets.
            judged: whether it was simulated.
            busiest: so many of the first are the busiest stretch.
        """
        classes, count = self._classes(requests), len(self.shares)
        parts = (slice(0, busiest), slice(busiest, None))
        sent = np.array([np.bincount(classes[part], minlength=count) for part in parts])
        seen = np.array([np.bincount(classes[part][judged[part]], minlength=count) for part in parts])
        late = judged & ~kept
        failed = np.array([np.bincount(classes[part][late[part]], minlength=count) for part in parts])
        ratios = np.where(seen > 0, failed / np.maximum(seen, 1), np.where(sent > 0, math.nan, 0.0))
        numbers = ratios * sent
        whole = numbers.sum(axis=0)
        of_class = whole / np.maximum(sent.sum(axis=0), 1)
        parts_late = (
            (whole / max(classes.size, 1), self.most_late_of_sample),
            (numbers[0] / max(busiest, 1), self.most_late_of_sample),
            (of_class * np.array(self.shares), self.most_late_of_week),
        )
        return tuple(map(Late, *(_ratios(late_share, most) for late_share, most in parts_late)))

    def _classes(self, requests: Requests) -> Classes:
        hours = ((requests.seconds - MONDAY_SECONDS) // SECONDS_PER_HOUR).astype(np.intp) % HOURS_PER_WEEK
        classes: Classes = np.array(self.schedule, dtype=np.intp)[hours]
        return classes


def shares_of_week(hours: Sequence[HourClass]) -> tuple[float, ...]:
    """Share of a week's requests that each class of hours has."""
    requests = [hour.hours_per_week * hour.mean_rate for hour in hours]
    return tuple(number / (math.fsum(requests) or 1.0) for number in requests)


def machine_of(kinds: Sequence[Kind], solution: FleetSolution) -> Machine | None:
    """Machine of a fleet; None where it has several.

    Args:
        kinds: of the groups.
        solution: the fleet.
    """
    machines = {
        Machine(kind, group.pool.region, group.pool.replicas, group.tariff.paid is PurchaseOption.SPOT)
        for kind, group in zip(kinds, solution.allocations, strict=True)
    }
    return machines.pop() if len(machines) == 1 else None


def counts_of(solution: FleetSolution) -> Counts:
    """Instances of all groups in each class of hours."""
    return tuple(map(sum, zip(*(group.instances for group in solution.allocations), strict=True)))


def is_few(late: Late) -> bool:
    """Whether no more requests are late than may be."""
    return max(late) <= 1


def cheapest_counts(shown: Mapping[Counts, Lateness], hours: Sequence[float], below: float) -> Counts | None:
    """The fewest instance hours of a week with which replays show that few enough requests are late; None: none below.

    A busier class has no fewer instances than a quieter one.

    Args:
        shown: late requests of the fleets that were replayed.
        hours: of a week in each class.
        below: instance hours that are too many.
    """
    choices = [list(_choices(shown, at)) for at in range(len(hours))]
    if not all(choices):
        return None
    least = [_least(choices[at:], hours[at:]) for at in range(len(hours) + 1)]
    best: tuple[float, Counts | None] = (below, None)
    steps = MOST_STEPS

    def descend(counts: Counts, used: float, late: Late) -> None:
        nonlocal best, steps
        at, steps = len(counts), steps - 1
        more = least[at]
        if steps < 0 or used + more.instances >= best[0] or not is_few(late.with_those(more.late)):
            return
        if at == len(hours):
            best = used, counts
        for choice in choices[at] if at < len(hours) else ():
            if not counts or choice.instances >= counts[-1]:
                now = used + hours[at] * choice.instances
                descend((*counts, int(choice.instances)), now, late.with_those(choice.late))

    descend((), 0.0, NONE)
    return best[1]


def _least(choices: Sequence[Sequence[_Choice]], hours: Sequence[float]) -> _Choice:
    """The fewest instance hours of some classes, and the fewest late requests."""
    used = sum(count * of_class[0].instances for count, of_class in zip(hours, choices, strict=True))
    return _Choice(used, Late(*map(math.fsum, zip(NONE, *(of_class[-1].late for of_class in choices), strict=True))))


def _choices(shown: Mapping[Counts, Lateness], at: int) -> Iterator[_Choice]:
    """Numbers of instances of a class that were replayed, the fewest first, none later than those before.

    Of several replays with as many what is late in the worst of them.
    """
    by_count: dict[int, Late] = {}
    for counts, lateness in shown.items():
        if not any(map(math.isnan, lateness[at])):
            before = by_count.get(counts[at], NONE)
            by_count[counts[at]] = Late(*map(max, before, lateness[at]))
    least = Late(math.inf, math.inf, math.inf)
    for count, late in sorted(by_count.items()):
        least = Late(*map(min, least, late))
        yield _Choice(count, least)


def asking_for(problem: Problem, pool: Pool, counts: Counts) -> Problem:
    """The question whose hours ask for so many instances of a pool, and no other pool."""
    rate = mix_rate(problem, pool) * (1 - _ROUNDING)
    hours = (
        replace(hour, planned_rate=count * rate) if hour.planned_rate > 0 else hour
        for hour, count in zip(problem.hours, counts, strict=True)
    )
    return replace(problem, hours=tuple(hours), pools=(pool,))


def _ratios(late: npt.NDArray[np.float64], most: float) -> list[float]:
    """Late shares ÷ the most that may be; infinite where none may."""
    return [share / most if most > 0 or math.isnan(share) else math.inf if share else 0.0 for share in late.tolist()]
