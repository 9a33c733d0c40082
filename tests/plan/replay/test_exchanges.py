"""Fleets that are cheaper by an exchange, and what failed fleets tell of others."""

from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.values import Dispersion
from advisor.performance.model import shipped_model
from advisor.pipeline import Extent, answer, question_for
from advisor.plan.replay.exchanges import covered_share, needed_loads
from advisor.plan.replay.headroom import FleetLoads, Part, left_by_kind, loads_of
from advisor.plan.solve.neighbours import exchanged, exchanges
from advisor.workload.document import read_workload
from advisor.workload.values import DeclaredDemand, Limits, Slo
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of
from plan.fleet.test_choose import plan_of
from plan.replay.test_confirm import SHORT, asked_of, flat, fleet

ROOT = Path(__file__).parents[3]
LARGE, SMALL = ("L40S", False), ("L4", False)
ON_SPOT = ("L40S", True)


@pytest.mark.parametrize(
    ("parts", "loses_any", "left"),
    [
        ([Part(LARGE, 0.5, 3), Part(SMALL, 0.2, 2)], False, {LARGE: 1.5, SMALL: 0.4}),
        ([Part(LARGE, 0.5, 3), Part(SMALL, 0.2, 2)], True, {LARGE: 1.0, SMALL: 0.4}),
        ([Part(LARGE, 0.5, 3), Part(ON_SPOT, 0.2, 2)], False, {LARGE: 1.5, ON_SPOT: 0.2}),
        ([Part(LARGE, 0.5, 1), Part(SMALL, 0.2, 2)], True, {SMALL: 0.4}),
        ([Part(LARGE, 0.5, 0), Part(SMALL, 0.2, 2)], True, {SMALL: 0.2}),
    ],
)
def test_the_largest_instance_that_may_be_lost_carries_nothing(parts, loses_any, left):
    """On spot it always may; on demand where the limits ask for what its loss leaves."""
    assert left_by_kind(parts, loses_any=loses_any) == pytest.approx(left)


def test_a_kind_needs_more_than_it_failed_with():
    """Alone as much as it failed with; beside others at least what it failed to add to them, and no less than usual."""
    late = [{LARGE: 1.2}, {LARGE: 0.9}, {LARGE: 0.9, SMALL: 0.5}, {LARGE: 1.3, ON_SPOT: 0.1}]

    needed = needed_loads(late, usual=1.5)

    assert needed == pytest.approx({LARGE: 1.2, SMALL: 0.5 / (1 - 0.9 / 1.2)})
    assert covered_share({LARGE: 0.6, SMALL: 1.0, ON_SPOT: 0.3}, needed, 1.5) == pytest.approx(0.5 + 0.5 + 0.2)


def posed(**changes):
    """Bursty chat on two kinds of machines."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8))
    return posed_of(asked_of(9.0, **changes), catalog, flat(9.0, Dispersion(12.0, 30.0)), **SHORT)


def test_more_of_the_same_machines_never_keep_fewer_requests_in_time():
    """A fleet is within one that failed where that has as many of each machine, or more, in every class of hours."""
    formulation, _ = posed()
    problem = formulation.problem
    others = problem.pools[1:]

    def loads(*counts):
        solution = fleet(problem, (*counts, *(0 for _ in others[len(counts) - 1 :])))
        return loads_of(problem, [((group.pool.key,), group, 1.0) for group in solution.allocations])

    failed = [loads(3, 2)]
    assert loads(3, 2).are_within_any(failed)
    assert loads(2, 2).are_within_any(failed)
    assert loads(3, 0).are_within_any(failed)
    assert not loads(4, 1).are_within_any(failed)
    assert not loads(0, 3).are_within_any(failed)
    assert not loads(3, 2).are_within_any([])
    assert loads(1).are_within_any([FleetLoads(loads(1).by_machine, ())])


def test_an_exchange_buys_as_much_as_what_is_given_up_pays_for():
    """Every exchange ends below the amount, or just at it with no instance bought; none leaves the fleet as it was."""
    formulation, _ = posed()
    problem = formulation.problem
    start = fleet(problem, (3, *(1 for _ in problem.pools[1:])))
    below = 0.99 * start.objective_usd_per_month

    fleets = [(exchange, exchanged(problem, start, exchange)) for exchange in exchanges(problem, start, below)]

    assert fleets
    assert any(exchange.bought is not None for exchange, _ in fleets)
    for exchange, after in fleets:
        assert after.objective_usd_per_month < start.objective_usd_per_month
        given_up = exchange.given_up
        own = next(group for group in start.allocations if group.pool.key == given_up.pool.key)
        left = sum(group.instances[-1] for group in after.allocations if group.pool.key == given_up.pool.key)
        assert left == own.instances[-1] - exchange.given_up_count


def test_a_rung_costs_about_as_little_as_its_cheapest_region_alone():
    """Of many pools too, large machines on spot are exchanged for small ones, of which an interruption takes less.

    The closed form asks for spare instances for each supply, and so for more than a replay does.
    """
    model, catalog = shipped_model(), load_catalog()
    stated = read_workload(ROOT / "examples/code/workload.yaml")
    narrow = replace(
        stated, providers=("aws",), regions=("us-east-1",), purchase=(Purchase.ON_DEMAND, Purchase.SPOT), current=None
    )

    plans = [
        answer(question_for(asked, catalog, model), catalog, model, extent).plan
        for asked, extent in ((stated, Extent(replayed_options=1)), (narrow, Extent(has_ladder=False)))
    ]
    rung = next(rung for rung in plans[0].ladder if rung.rung == "spot")

    assert rung.total_usd_per_month <= 1.02 * plans[1].fleet.cost.total_usd_per_month


def test_a_mix_in_two_regions_is_loaded_evenly_whatever_their_answers_cost():
    """A cent of data transfer does not send the small machines of the cheaper region more than their part.

    Loaded so, four of them beside two large ones are late; loaded by capacity they hold, for $365 a month less than a
    third large one.
    """
    catalog = catalog_of(
        offer("g6.12xlarge", "ap-south-1", on_demand=2.5), offer("g5.xlarge", "ca-central-1", on_demand=0.45)
    )
    asked = workload(
        model="Qwen/Qwen-14B-Chat",
        precisions=("fp8",),
        slo=Slo(1500, 80, 60_000),
        demand=DeclaredDemand(3.29, 3.29, 800, 20),
        regions=("ca-central-1", "ap-south-1"),
        purchase=(Purchase.ON_DEMAND,),
        users=(("FR", 0.5), ("US-east", 0.5)),
        limits=Limits(simplicity=0.0),
    )

    found = plan_of(asked, catalog, flat(1.87, Dispersion(6.0, 30.0))).fleet

    assert found.confirmed.reached
    assert {group.instance_type: group.instances for group in found.groups} == {"g6.12xlarge": (2,), "g5.xlarge": (4,)}
    assert found.cost.total_usd_per_month < 5_300
