"""Relaxations of a conflict, each tried by the planner itself: solved and replayed with that one limit changed."""

import math
from collections.abc import Callable
from typing import Any

from advisor.plan.choosing import recommended_fleet
from advisor.plan.market import Market
from advisor.plan.problem.constraints import uses
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Infeasible, Problem, Relaxation
from advisor.plan.replay.groups import Confirmed
from advisor.plan.solve.optimise import relative_change
from advisor.records import replace
from advisor.workload.values import Survive

MOST_BISECTIONS = 4
"""Limits that are tried between one that does not hold and one that does."""
FINE_STEPS_PER_UNIT = 1e4
"""Steps in which limits are named that are no whole numbers."""
OF_A_STEP = 1e-3
"""Part of a step by which what a fleet takes may exceed it: arithmetic, not another step."""

Trial = Callable[[float], float | None]
"""Limit that the fleet needs which is confirmed with a limit of so much; None: no fleet is."""


def tried(market: Market, infeasible: Infeasible) -> Infeasible:
    """A conflict whose relaxations each give a fleet that its replay confirms; others are left out.

    A budget is left as it is: it is what a confirmed fleet costs already.
    """
    relaxations = [relaxed for relaxation in infeasible.relaxations if (relaxed := _tried(market, relaxation))]
    given_up = tuple(constraint for constraint in infeasible.given_up if _holds_without(market, constraint))
    return Infeasible(infeasible.conflict, tuple(sorted(relaxations, key=relative_change)), given_up)


def _tried(market: Market, relaxation: Relaxation) -> Relaxation | None:
    """The relaxation, or the least that holds of some between it and no limit; None: it alone does not suffice."""
    if relaxation.constraint is Constraint.BUDGET:
        return relaxation

    problem = market.formulation.problem

    def trial(limit: float) -> float | None:
        fleet = _confirmed(market, _with_limit(problem, relaxation, limit))
        return None if fleet is None else _taken(fleet, problem, relaxation, limit)

    if trial(relaxation.needed) is not None:
        return relaxation
    holding = trial(relaxation.constraint.row.loosest)
    return None if holding is None else replace(relaxation, needed=_least_that_holds(trial, relaxation, holding))


def _least_that_holds(trial: Trial, relaxation: Relaxation, holding: float) -> float:
    """Bisection between a limit that does not hold and one that does, in the steps in which it is stated."""
    failing, is_whole = relaxation.needed, _is_whole(relaxation)
    for _ in range(MOST_BISECTIONS):
        middle = (failing + holding) / 2
        middle = float(math.floor(middle)) if is_whole else round(middle * FINE_STEPS_PER_UNIT) / FINE_STEPS_PER_UNIT
        if middle in (failing, holding):
            break
        taken = trial(middle)
        if taken is None:
            failing = middle
        else:
            holding = min(taken, middle, key=lambda limit: abs(limit - failing))
    return holding


def _is_whole(relaxation: Relaxation) -> bool:
    return isinstance(relaxation.limit, int) or relaxation.constraint.is_whole


def _taken(fleet: Confirmed, stated: Problem, relaxation: Relaxation, limit: float) -> float:
    """Limit that a fleet needs, in the steps in which it is stated: what it takes of a cap, else the limit itself."""
    if relaxation.constraint.row.is_floor:
        return limit
    if relaxation.constraint is Constraint.MAX_REGIONS:
        return len({allocation.pool.region for allocation in fleet.solution.allocations})
    own = replace(fleet.formulation.problem, limits=stated.limits, quota_limits=stated.quota_limits)
    used = max(
        use.used
        for use in uses(own, fleet.solution)
        if use.name == relaxation.constraint and use.detail.startswith(relaxation.detail)
    )
    steps = 1.0 if _is_whole(relaxation) else FINE_STEPS_PER_UNIT
    return math.ceil(used * steps - OF_A_STEP) / steps


def _with_limit(problem: Problem, relaxation: Relaxation, limit: float) -> Problem:
    """A problem with another value of the limit that a relaxation is of; infinite: without it."""
    name = relaxation.constraint
    if name is Constraint.QUOTA:
        quotas = {
            key: limit if (key[0], most) == (relaxation.detail, relaxation.limit) else most
            for key, most in problem.quota_limits.items()
        }
        return replace(problem, quota_limits={key: most for key, most in quotas.items() if math.isfinite(most)})
    value = None if math.isinf(limit) else int(limit) if _is_whole(relaxation) else limit
    changes: dict[str, Any] = {name.field: value}
    limits = replace(problem.limits, **changes)
    return (
        replace(problem, limits=limits, **changes)
        if name is Constraint.MAX_REGIONS
        else replace(problem, limits=limits)
    )


def _holds_without(market: Market, constraint: Constraint) -> bool:
    """Whether a fleet holds where a limit that is not a number is given up."""
    return _confirmed(market, _without(market.formulation.problem, constraint)) is not None


def _without(problem: Problem, constraint: Constraint) -> Problem:
    if constraint is Constraint.SURVIVE:
        return replace(problem, limits=replace(problem.limits, survive=Survive.NOTHING))
    return replace(problem, low_band=False, limits=replace(problem.limits, commit_beyond_forecast=True))


def _confirmed(market: Market, problem: Problem) -> Confirmed | None:
    """The fleet that a plan recommends for a problem, if its whole replay confirms it."""
    formulation = replace(market.formulation, problem=problem)
    validator = market.validator.within(formulation, market.context)
    fleet = recommended_fleet(replace(market, formulation=formulation, validator=validator))
    if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached:
        return None
    whole = validator.in_full(fleet)
    return whole if whole.confirmation.reached else None
