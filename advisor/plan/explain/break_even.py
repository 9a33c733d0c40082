"""Values at which the answer turns: where a target or a price has another fleet recommended, all else equal."""

import math
from collections.abc import Callable, Sequence

from advisor.plan.problem.values import Pool
from advisor.plan.replay.groups import Confirmed
from advisor.plan.solve.objective import allocation_usd_per_month
from advisor.plan.solve.simple import preference
from advisor.records import dataclass

PARTS = 4
"""Equal in the logarithm, that the step of a turn is divided into."""

Outcome = Callable[[float], bool]
"""A factor → what is so at it."""


def lost_after(wins: Outcome, factor: float, steps: Sequence[float]) -> float | None:
    """The last factor at which it still wins; None: it wins as far as was looked."""
    same, lost = first_turn(lambda at: not wins(at), steps, factor)
    return None if lost is None else same


def first_turn(turns: Outcome, steps: Sequence[float], start: float = 1.0) -> tuple[float, float | None]:
    """The last factor as at *start* and the first that is not; None where there is none.

    Args:
        turns: whether the outcome is another one at a factor.
        steps: factors to look at, away from the start.
        start: where the outcome is as it is.
    """
    same, turned = _first(start, steps, turns)
    if turned is None:
        return same, None
    inner = [same * (turned / same) ** (part / PARTS) for part in range(1, PARTS)]
    same, nearer = _first(same, inner, turns)
    return same, turned if nearer is None else nearer


def _first(same: float, factors: Sequence[float], turns: Outcome) -> tuple[float, float | None]:
    for factor in factors:
        if turns(factor):
            return same, factor
        same = factor
    return same, None


@dataclass(frozen=True, slots=True)
class _Line:
    """USD a month that a fleet costs as the price of a type changes, all else equal."""

    usd: float
    """At today's price."""
    of_type_usd: float = 0.0
    """Of that the compute of the type, which changes with its price."""

    def times(self, factor: float) -> "_Line":
        """Line multiplied by *factor*."""
        return _Line(self.usd * factor, self.of_type_usd * factor)

    def ratio_below(self, other: "_Line") -> float:
        """The ratio to today's price from which on it is above another line; infinite where that rises as fast."""
        steeper = self.of_type_usd - other.of_type_usd
        return 1 + (other.usd - self.usd) / steeper if steeper > 0 else math.inf


def price_up_to(fleet: Confirmed, theirs: Confirmed, is_meant: Callable[[Pool], bool], *, wins: bool) -> float | None:
    """The price of a type ÷ today's up to which a fleet that uses it is recommended; None where it costs nothing.

    What is recommended today is so up to today's price at least: as long as it is within ``limits.simplicity`` of the
    cheapest fleet that uses the type, and its rival is not, or is not preferred to it.

    Args:
        fleet: the recommended fleet where the type wins, else the cheapest of the type alone.
        theirs: the fleet to prefer of all others.
        is_meant: whether a pool is of the type.
        wins: whether the fleet is the recommended one.
    """
    own = _line(fleet, is_meant)
    if own.of_type_usd <= 0:
        return None
    most = 1 + fleet.formulation.problem.limits.simplicity
    ratio = own.ratio_below(_Line(_most_usd(fleet, theirs, most)))
    if not wins:
        return max(ratio, 0.0)
    least = _line(fleet.cheapest or fleet, is_meant)
    if least.of_type_usd > 0:
        ratio = max(ratio, least.ratio_below(_Line(theirs.usd_per_month / most)))
    return max(min(ratio, own.ratio_below(least.times(most))), 1.0)


def _line(fleet: Confirmed, is_meant: Callable[[Pool], bool]) -> _Line:
    of_type = (allocation for allocation in fleet.solution.allocations if is_meant(allocation.pool))
    problem = fleet.formulation.problem
    return _Line(
        fleet.usd_per_month, math.fsum(allocation_usd_per_month(problem, allocation) for allocation in of_type)
    )


def _most_usd(fleet: Confirmed, rival: Confirmed, most: float) -> float:
    """Highest cost at which a fleet is preferred to a rival; a simpler one may cost *most* times the cheapest."""
    own, other = preference(fleet.solution), preference(rival.solution)
    if own < other:
        return (rival.cheapest or rival).usd_per_month * most
    return rival.usd_per_month if own == other else rival.usd_per_month / most
