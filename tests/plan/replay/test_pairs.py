"""Fleets of two groups that are counted out, and what failures leave of them."""

import pytest

from advisor.demand.values import Dispersion
from advisor.plan.replay.exchanges import Exchanges
from advisor.plan.replay.headroom import Part, left_after_each, loads_of
from advisor.plan.replay.pairs import MOST_FAILED, cheaper_pairs
from advisor.plan.replay.validator import ReplayValidator
from advisor.workload.values import Limits, Survive
from builders import catalog_of, offer
from plan.fleet.posing import posed_of
from plan.replay.test_confirm import SHORT, asked_of, flat, fleet

LARGE, ON_SPOT = (("H100",), False), (("L4",), True)
LIMITS = Limits(fault_tolerant_ratio=0.5, survive=Survive.NOTHING)


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(fault_tolerant_ratio=1.0), [(1.0, 0.8), (1.0, 0.6)]),
        (LIMITS, [(1.0, 0.8), (1.0, 0.6), (2.0, 0.8)]),
        (Limits(fault_tolerant_ratio=1.0, survive=Survive.INSTANCE), [(1.0, 0.8), (0.5, 0.8), (1.0, 0.6)]),
        (
            Limits(fault_tolerant_ratio=1.0, survive=Survive.ZONE, zones=2),
            [(1.0, 0.8), (0.5, 0.8), (1.0, 0.6), (0.5, 0.4)],
        ),
    ],
)
def test_each_failure_leaves_its_share(limits, left):
    """With all machines; without one, as far as any may fail; without a zone; and without one on spot of a zone."""
    parts = [Part(LARGE, 0.5, 2, "h100", "r", 2), Part(ON_SPOT, 0.2, 4, "l4", "r", 2)]

    loads = [tuple(load[way] for way in (LARGE, ON_SPOT)) for load in left_after_each(parts, limits)]

    assert loads == [pytest.approx(pair) for pair in left]


def test_pairs_are_cheaper_each_time_and_end_after_a_few_that_fail():
    """From a fleet that is far too large; every fleet that is replayed keeps to the limits and costs less."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8))
    formulation, context = posed_of(asked_of(9.0), catalog, flat(9.0, Dispersion(4.0, 8.0)), **SHORT)
    validator, problem = ReplayValidator(formulation, context), formulation.problem
    start = validator._planned_evenly(fleet(problem, [6 for _ in problem.pools]))
    replayed = []

    def replay(solution):
        confirmed = validator._planned_evenly(solution)
        replayed.append(confirmed)
        return confirmed

    def loads(solution):
        return loads_of(problem, [(validator.kind_of(group.pool.key), group, 1.0) for group in solution.allocations])

    best = cheaper_pairs(Exchanges(problem, validator.kind_of, loads, list, replay), start)

    assert best.usd_per_month < start.usd_per_month
    assert best.confirmation.reached
    assert not best.solution.proven
    costs = [confirmed.usd_per_month for confirmed in replayed if confirmed.confirmation.reached]
    assert costs == sorted(costs, reverse=True)
    assert sum(not confirmed.confirmation.reached for confirmed in replayed) <= MOST_FAILED
    assert all(len(confirmed.solution.allocations) <= 2 for confirmed in replayed)
