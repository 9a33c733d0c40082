"""Choice among fleets on spot: no part of the question has a cheaper fleet than the whole of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from advisor.catalog.values import Purchase
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for, question_for
from advisor.plan.choosing import _without_main_type, recommended_fleet
from advisor.plan.problem.values import Allocation, PurchaseOption, Tariff
from advisor.plan.replay.groups import Confirmed
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.plan.solve.stage import Formulation
from advisor.units import A_CENT
from advisor.workload.document import read_workload
from advisor.workload.values import Limits
from builders import catalog_of, offer
from plan.fleet.problems import pool_of, problem_of
from plan.fleet.test_spare import confirmation_of

REGION = "eu-central-1"
CATALOG = catalog_of(
    offer("g5.xlarge", REGION, None, 0.5946),
    offer("g6.xlarge", REGION, None, 0.4086),
    offer("g6e.4xlarge", REGION, None, 1.314),
    offer("g6e.12xlarge", REGION, None, 4.092),
)
CALLS = """
name: calls
model: openai/whisper-large-v3
slo: {real_time_factor: 0.3}
demand:
  declared: {requests_per_second: 1.5, peak_requests_per_second: 4, audio_seconds: {p50: 60, p95: 400}}
providers: [aws]
regions: [eu-central-1]
purchase: [spot]
limits: {min_replicas: 2}
"""


def small_and_large(paid, bound_ratio):
    """A fleet of two small machines, the market that sells a large one for less, and the searches made in it."""
    small, large = (
        pool_of(name, rate, tariffs=(Tariff(paid, usd),))
        for name, rate, usd in (("small", 1.0, 1.0), ("large", 2.0, 1.5))
    )
    problem, searched = problem_of(small, large, planned=(2.0,), limits=Limits(fault_tolerant_ratio=1.0)), []

    def fleet_of(pool, count):
        solution = loaded_fleet(problem, (Allocation(pool, pool.tariffs[0], (count,)),))
        bound = solution.objective_usd_per_month * bound_ratio
        solution = replace(solution, bound_usd_per_month=bound)
        return Confirmed(solution, Formulation(problem, None, None, None, (), None), confirmation_of(1.0))

    def within(part, _):
        searched.append([pool.key for pool in part.problem.pools])
        return SimpleNamespace(confirmed=lambda **_: fleet_of(large, 1))

    market = SimpleNamespace(
        formulation=Formulation(problem, None, None, None, (), None),
        context=SimpleNamespace(effort=SimpleNamespace(in_full=True)),
        validator=SimpleNamespace(within=within),
    )
    return market, fleet_of(small, 2), searched


@pytest.mark.parametrize(
    ("paid", "bound_ratio", "kept", "searched"),
    [
        (PurchaseOption.SPOT, 0.7, "large", [["large"]]),
        (PurchaseOption.SPOT, 0.99, "small", []),
        (PurchaseOption.ON_DEMAND, 0.7, "small", []),
    ],
    ids=["on spot", "no room", "on demand"],
)
def test_a_spot_fleet_is_searched_without_the_type_that_most_is_spent_on(paid, bound_ratio, kept, searched):
    """Where the bound leaves room for a cheaper fleet; of what costs as much at least nothing is searched after that."""
    market, fleet, parts = small_and_large(paid, bound_ratio)
    best = _without_main_type(market, fleet)

    assert [group.pool.key for group in best.solution.allocations] == [kept]
    assert not best.solution.proven
    assert parts == searched


@pytest.mark.sampled(14)
def test_a_type_that_is_left_out_makes_no_spot_fleet_cheaper(tmp_path):
    """Six machines of one accelerator lose a zone's supply as two of four do, at other costs: the search sees both."""
    path = tmp_path / "calls.yaml"
    path.write_text(CALLS)
    asked = read_workload(path)

    def usd_per_month(*left_out):
        workload = replace(asked, exclude=replace(asked.exclude, instance_types=left_out))
        question = question_for(workload, CATALOG, shipped_model())
        fleet = recommended_fleet(market_for(question, CATALOG, shipped_model()).market)
        return (fleet.cheapest or fleet).usd_per_month

    assert asked.purchase == (Purchase.SPOT,)
    assert usd_per_month() <= usd_per_month("g6e.4xlarge") + A_CENT
