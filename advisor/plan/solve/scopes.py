"""One region, or one cloud: the parts of a problem in which a fleet may be, and the cheapest fleet of them all."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from advisor.plan.problem.charges import least_alone_usd_per_month, region_rates
from advisor.plan.problem.formulas import hours_per_month, least_instances, mix_rate
from advisor.plan.problem.values import FleetSolution, Floats, Infeasible, Pool, Problem, PurchaseOption
from advisor.plan.solve.alone import Missed, alone
from advisor.plan.solve.counted import counted, is_countable
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.objective import bound_with_spare, least_usd, lower_bound, planned_rates
from advisor.plan.solve.optimise import any_within, explain_conflict, fleet_if_any, improved, relative_change
from advisor.records import replace
from advisor.units import A_CENT

EXPLAINED = 3
"""Scopes without a fleet whose conflict is looked for, from the one that promises most on: each takes many solves."""
PROMISING = 4
"""Pools that are tried by themselves before any program is solved."""


def scopes(problem: Problem) -> tuple[Problem, ...]:
    """The problem in each region where a fleet has one, on each cloud where it has several; else as it is.

    Where all that limits regions is that there is one, no program has to choose between them.
    """
    if problem.max_regions != 1 and problem.mix_providers:
        return (problem,)
    return split(problem, lambda pool: scope_of(problem, pool))


def scope_of(problem: Problem, pool: Pool) -> str:
    """Name of the region, or cloud, that a fleet with a pool stays in; "" where it may go anywhere."""
    if problem.max_regions == 1:
        return pool.region
    return "" if problem.mix_providers else pool.region.split("/")[0]


def split(problem: Problem, key: Callable[[Pool], str]) -> tuple[Problem, ...]:
    """The problem by a property of its pools."""
    groups: dict[str, list[Pool]] = {}
    for pool in problem.pools:
        groups.setdefault(key(pool), []).append(pool)
    return tuple(replace(problem, pools=tuple(pools)) for pools in groups.values())


def without_dominated_anywhere(problem: Problem) -> Problem:
    """The problem without the pools that no cheapest fleet of any scope needs.

    The same pools are dominated where all sustain so many times more or less.
    """
    parts = map(without_dominated, scopes(problem))
    return replace(problem, pools=tuple(pool for part in parts for pool in part.pools))


def cheapest(
    problem: Problem, fleet_solution: FleetSolution | None = None, *, roughly: bool = False
) -> FleetSolution | Infeasible:
    """The cheapest fleet of all scopes, or why none of them has one.

    The scope with the cheapest single pool is searched first, then the others from the lowest bound on; one in which no
    fleet can be as cheap as one found elsewhere is not searched.

    Args:
        problem: with all scopes.
        fleet_solution: a fleet that is the answer where none is cheaper.
        roughly: whether a fleet that costs little more than the cheapest will do.
    """
    solution = _cheapest(problem, fleet_solution, roughly=roughly)
    if solution is fleet_solution or isinstance(solution, Infeasible):
        return solution
    return _bounded_without_further(problem, solution)


def any_below(problem: Problem, most_usd: float) -> FleetSolution | None:
    """A fleet of any scope that costs less than an amount; None where none is found soon."""
    for part in scopes(problem):
        if least_usd(part) < most_usd:
            fleet = counted(part) if is_countable(part) else any_within(_needed(part), most_usd)
            if fleet is not None and fleet.objective_usd_per_month < most_usd:
                return fleet
    return None


def _bounded_without_further(problem: Problem, solution: FleetSolution) -> FleetSolution:
    """A fleet whose bound leaves out what its regions charge for further groups and backends.

    Pools are left out for others that cost no more but for that, see :mod:`advisor.plan.solve.dominance`.
    """
    rates = region_rates(problem, solution.allocations, {})
    further = sum(
        rates[place].further.units(charges.further_usd) for place, charges in problem.charges.items() if place in rates
    )
    bound = min(solution.bound_usd_per_month, solution.objective_usd_per_month - further)
    return replace(solution, proven=solution.proven and not further, bound_usd_per_month=bound)


def _cheapest(
    problem: Problem, fleet_solution: FleetSolution | None, *, roughly: bool
) -> FleetSolution | Infeasible:  # fmt: skip
    parts = scopes(problem)
    if len(parts) == 1 and is_countable(parts[0]):
        return _cheaper(fleet_solution, counted(parts[0])) or explain_conflict(parts[0])
    single = cheapest_single(problem)
    if single is not None and fleet_solution is None and [len(pool.tariffs) for pool in problem.pools] == [1]:
        return single
    best = _cheaper(fleet_solution, single)
    if len(parts) == 1:
        return _improved(best, _needed(parts[0]), roughly=roughly) or explain_conflict(without_dominated(parts[0]))
    usd = _by_scope(problem, usd_alone(problem))
    singles = [usd[scope_of(problem, part.pools[0])] for part in parts]
    first = singles.index(min(singles))
    bounded = sorted((-math.inf if at == first else lower_bound(part), at) for at, part in enumerate(parts))
    without: list[Problem] = []
    for bound, at in bounded:
        if best is not None and bound > best.objective_usd_per_month + A_CENT:
            break
        searched = _as_searched(parts[at], best)
        if searched is not None:
            best = _improved(best, searched, roughly=roughly)
        if searched is not None and best is None:
            without.append(searched)
    return best or min((explain_conflict(part) for part in without[:EXPLAINED]), key=_distance)


def _as_searched(part: Problem, best: FleetSolution | None) -> Problem | None:
    """A scope without the pools that no cheapest fleet needs; None where none in it is cheaper than the best so far."""
    most_usd = math.inf if best is None else best.objective_usd_per_month + A_CENT
    if bound_with_spare(part) > most_usd:
        return None
    if is_countable(part):
        return part
    fewer = _needed(part)
    return None if least_usd(fewer) > most_usd else fewer


def _needed(part: Problem) -> Problem:
    """A scope without the pools that no cheapest fleet needs at the rates that they have."""
    return without_dominated(part, as_stated=True)


def _improved(best: FleetSolution | None, part: Problem, *, roughly: bool) -> FleetSolution | None:
    """The best fleet so far, or a cheaper one of a scope; None where there is neither."""
    if is_countable(part):
        return _cheaper(best, counted(part))
    return fleet_if_any(part) if best is None else improved(best, part, roughly=roughly)


def _cheaper(fleet_solution: FleetSolution | None, other: FleetSolution | None) -> FleetSolution | None:
    """The cheaper of two fleets, the first of equals."""
    return min((fleet for fleet in (fleet_solution, other) if fleet is not None), key=_usd, default=None)


def cheapest_single(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet of one pool paid for in one way, of the pools that promise most; None where none is one."""
    return Singles(problem).cheapest


class Singles:
    """Fleets of each pool that promises much, in each way of paying; each is computed when it is first asked for."""

    def __init__(self, problem: Problem) -> None:
        """Order the ways of paying by about what their pools cost."""
        able, usd = _each_alone(problem)
        self._problem = problem
        self._ways = [
            (float(usd[at]), able[at], tariff)
            for at in np.argsort(usd, kind="stable")[:PROMISING].tolist()
            for tariff in able[at].tariffs
            if tariff.paid not in (PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
        ]
        self._fleets: list[FleetSolution | Missed] = []

    @property
    def cheapest(self) -> FleetSolution | None:
        """The cheapest of them; None where there is none."""
        return min(self._up_to(math.inf), key=_usd, default=None)

    def is_any_below(self, usd_per_month: float) -> bool:
        """Whether one of them costs less than an amount."""
        return any(fleet.objective_usd_per_month < usd_per_month for fleet in self._up_to(usd_per_month))

    def _up_to(self, most_usd: float) -> Iterator[FleetSolution]:
        """The fleets but those that are bound to cost more than an amount."""
        for at, (about_usd, pool, tariff) in enumerate(self._ways):
            if about_usd > most_usd + A_CENT:
                return
            if at == len(self._fleets):
                self._fleets.append(alone(self._problem, pool, tariff))
            fleet = self._fleets[at]
            if isinstance(fleet, FleetSolution):
                yield fleet


def _usd(fleet: FleetSolution) -> float:
    return fleet.objective_usd_per_month


def _by_scope(problem: Problem, usd_by_pool: Mapping[str, float]) -> Mapping[str, float]:
    """The least of each scope."""
    usd: dict[str, float] = {}
    for pool in problem.pools:
        scope = scope_of(problem, pool)
        usd[scope] = min(usd.get(scope, math.inf), usd_by_pool[pool.key])
    return usd


def usd_alone(problem: Problem) -> Mapping[str, float]:
    """The same of each pool, by its key; infinite for those that do not serve everything."""
    able, usd = _each_alone(problem)
    return dict.fromkeys((pool.key for pool in problem.pools), math.inf) | dict(
        zip((pool.key for pool in able), usd.tolist(), strict=True)
    )


def _each_alone(problem: Problem) -> tuple[list[Pool], Floats]:
    """Pools that could serve everything, and about what each would cost a month, bought in its cheapest way."""
    able = [pool for pool in problem.pools if pool.tariffs and pool.serves_all_places]
    if not able:
        return [], np.zeros(0)
    rates = np.array([mix_rate(problem, pool) for pool in able])
    usd_per_hour = np.array([min(tariff.all_usd_per_hour for tariff in pool.tariffs) for pool in able])
    hours = np.array([hours_per_month(hour) for hour in problem.hours])
    usd: Floats = usd_per_hour * (least_instances(problem, planned_rates(problem), rates) * hours).sum(axis=1)
    usd += least_alone_usd_per_month(problem, able)
    return able, usd


def _distance(conflict: Infeasible) -> float:
    """Distance of the nearest relaxation of a conflict."""
    return min(map(relative_change, conflict.relaxations), default=math.inf)
