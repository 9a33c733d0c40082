"""Fleets of a few instances that are counted out where a limit on changes leaves room for no more."""

from dataclasses import replace

import pytest

from advisor.demand.values import Dispersion
from advisor.plan.problem.constraints import changed_by
from advisor.plan.problem.values import Allocation
from advisor.plan.replay.exchanges import Exchanges
from advisor.plan.replay.few import MOST_INSTANCES, _Few, _ways, cheaper_few
from advisor.plan.replay.headroom import left_by_kind, loads_of
from advisor.plan.replay.pairs import MOST_FAILED, usd_per_month
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.workload.values import Limits, Survive
from builders import catalog_of, offer
from plan.fleet.posing import posed_of
from plan.replay.test_confirm import SHORT, asked_of, flat, fleet

MOST_CHANGED = 7


def posed(most_changed=MOST_CHANGED, survive=Survive.NOTHING):
    """Bursty chat on three kinds of machines, one of which runs today."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", on_demand=1.0)
    )
    limits = Limits(max_changed_instances=most_changed, survive=survive)
    formulation, context = posed_of(asked_of(4.0, limits=limits), catalog, flat(4.0, Dispersion(4.0, 8.0)), **SHORT)
    running = next(pool.type_in_region for pool in formulation.problem.pools if "g5" in pool.key)
    formulation = replace(formulation, problem=replace(formulation.problem, running={running: 3}))
    return formulation, ReplayValidator(formulation, context)


def counted(problem, most_usd=1e6):
    """Every fleet that is counted out, and the loads that a failure leaves of each."""
    for ways in _ways(problem, most_usd):
        few = _Few(problem, ways)
        counts = few.within(most_usd)
        for row, left in zip(counts, few.left_loads(counts), strict=True):
            groups = [(way, int(count)) for way, count in zip(ways, row, strict=True) if count]
            hours = len(problem.hours)
            allocations = tuple(Allocation(way.pool, way.tariff, (count,) * hours) for way, count in groups)
            yield allocations, left


@pytest.mark.parametrize("survive", [Survive.NOTHING, Survive.INSTANCE])
def test_those_counted_out_change_few_and_leave_what_is_said(survive):
    """Changes as a limit counts them, and loads as a failure leaves them; every number of machines that it allows."""
    formulation, validator = posed(survive=survive)
    problem = formulation.problem

    fleets = list(counted(problem))

    assert len({tuple((group.pool.key, group.instances) for group in groups) for groups, _ in fleets}) == len(fleets)
    assert max(sum(group.instances[-1] for group in groups) for groups, _ in fleets) == MOST_INSTANCES
    for groups, left in fleets:
        loads = loads_of(problem, [(validator.kind_of(group.pool.key), group, 1.0) for group in groups])
        changed = changed_by(problem, loaded_fleet(problem, groups))
        assert changed <= MOST_CHANGED
        parts = left_by_kind(loads.parts, loses_any=survive is Survive.INSTANCE)
        assert sum(parts.values()) == pytest.approx(left)


def test_all_that_a_cost_and_few_changes_allow_are_counted():
    """With room for one more machine than today's, no fleet has two others; all cost less than an amount."""
    problem = posed(most_changed=1)[0].problem
    dear = max(usd_per_month(problem, way) for ways in _ways(problem, 1e6) for way in ways)

    fleets = [groups for groups, _ in counted(problem)]

    others = [sum(group.instances[-1] for group in groups if "g5" not in group.pool.key) for groups in fleets]
    assert max(others) == 1
    assert not [groups for groups, _ in counted(problem, 0.5 * dear) if any("g6e" in g.pool.key for g in groups)]


def searched(most_changed=MOST_CHANGED):
    """The search from a fleet that is far too large, and every fleet that it replays."""
    formulation, validator = posed(most_changed)
    problem, replayed = formulation.problem, []
    start = validator._planned_evenly(fleet(problem, [2 for _ in problem.pools]))
    bound = replace(start.solution, bound_usd_per_month=0.1 * start.usd_per_month, proven=False)
    start = replace(start, solution=bound)

    def replay(solution):
        replayed.append(validator._planned_evenly(solution))
        return replayed[-1]

    def loads(solution):
        return loads_of(problem, [(validator.kind_of(group.pool.key), group, 1.0) for group in solution.allocations])

    return start, cheaper_few(Exchanges(problem, validator.kind_of, loads, list, replay), start), replayed, problem


def test_fleets_of_few_are_cheaper_each_time_and_keep_to_changes():
    """From a fleet that is far too large, until a few have failed."""
    start, best, replayed, problem = searched()

    assert best.usd_per_month < start.usd_per_month
    assert best.confirmation.reached
    assert not best.solution.proven
    costs = [confirmed.usd_per_month for confirmed in replayed if confirmed.confirmation.reached]
    assert costs == sorted(costs, reverse=True)
    assert sum(not confirmed.confirmation.reached for confirmed in replayed) <= MOST_FAILED
    assert all(changed_by(problem, confirmed.solution) <= MOST_CHANGED for confirmed in replayed)


def test_nothing_is_counted_out_without_a_limit_on_changes():
    """The search of other questions takes no longer."""
    start, best, replayed, _ = searched(None)

    assert best is start
    assert not replayed
