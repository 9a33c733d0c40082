"""How many instances, at what total, in what order."""

import pytest

from advisor.errors import InputError
from advisor.pipeline import plan_for
from advisor.workload.values import DeclaredDemand, Deployment, Limits, Purchase, SampleDemand, Slo
from builders import catalog_of, offer, workload
from samples.building import sample, write


def plan_with(*offers, **changes):
    """A plan over a few offers."""
    return plan_for(workload(**changes), catalog_of(*offers))


def test_instances_follow_the_busiest_minute():
    """Replicas are the peak over what one sustains, rounded up; twice the peak needs about twice as many."""
    once = plan_with(offer("g6e.xlarge"), demand=DeclaredDemand(5, 40, 800, 200)).recommended
    twice = plan_with(offer("g6e.xlarge"), demand=DeclaredDemand(5, 80, 800, 200)).recommended

    capacity = once.predicted.requests_per_second_per_replica.value
    assert once.instances == -(-40 // capacity)
    assert twice.instances == -(-80 // capacity)


def test_zones_and_replicas_are_kept():
    """Three zones take three instances although one would do; whole machines are filled with replicas."""
    calm = DeclaredDemand(0.1, 0.1, 800, 200)
    zones = plan_with(offer("g6e.xlarge"), demand=calm, limits=Limits(zones=3)).recommended
    filled = plan_with(offer("g6.48xlarge"), demand=calm, precisions=("fp8",)).recommended

    assert (zones.instances, zones.replicas) == (3, 3)
    assert filled.instances == 1
    assert filled.replicas == filled.replicas_per_instance


def test_of_equally_cheap_ones_the_precision_named_first_wins():
    """One instance is enough in either precision: the order in the workload decides."""
    calm = DeclaredDemand(0.1, 0.1, 100, 20)
    first = plan_with(offer("g6e.xlarge"), demand=calm, precisions=("bf16", "fp8")).recommended
    second = plan_with(offer("g6e.xlarge"), demand=calm, precisions=("fp8", "bf16")).recommended

    assert (first.precision, second.precision) == ("bf16", "fp8")
    assert first.cost.total_usd_per_month == second.cost.total_usd_per_month


def test_the_best_of_each_offer_is_ranked_by_total():
    """One option for each region and purchase option, the cheapest first, ranks from 1."""
    plan = plan_with(
        offer("g6e.xlarge", "us-east-1", 2.0, 0.9), offer("g6e.xlarge", "us-west-2", 1.9, None), offer("g6.xlarge", "us-east-1", 0.1)
    )  # fmt: skip

    totals = [one.cost.total_usd_per_month for one in plan.options]
    assert totals == sorted(totals)
    assert [one.rank for one in plan.options] == list(range(1, len(totals) + 1))
    assert len({(one.region, one.instance_type, one.purchase) for one in plan.options}) == len(totals)


def test_current_is_priced_the_same_way():
    """Savings are the difference of two totals made by the same formula."""
    today = Deployment("aws", "us-east-1", "p4d.24xlarge", 2, Purchase.ON_DEMAND)
    plan = plan_with(offer("g6e.xlarge", on_demand=2.0), offer("p4d.24xlarge", on_demand=20.0), current=today)

    assert plan.current.total_usd_per_month == 2 * 20 * 730
    assert plan.savings.usd_per_month == pytest.approx(29_200 - plan.recommended.cost.total_usd_per_month)
    assert plan.savings.ratio == pytest.approx(plan.savings.usd_per_month / 29_200)


def test_an_unknown_current_price_is_said():
    """A current deployment that cannot be priced is an error, not a saving of everything."""
    today = Deployment("aws", "us-east-1", "p4d.24xlarge", 2, Purchase.SPOT)

    with pytest.raises(InputError, match="no spot price for p4d"):
        plan_with(offer("g6e.xlarge"), offer("p4d.24xlarge", on_demand=20.0), current=today)


def test_a_budget_rejects_with_both_totals():
    """What costs more than the budget is rejected with what it costs and what is allowed."""
    plan = plan_with(offer("g6e.xlarge", on_demand=2.0), limits=Limits(max_usd_per_month=100))

    assert plan.recommended is None
    miss = plan.nearest_misses[0]
    assert (miss.code, miss.available, miss.region) == ("budget", 100, "us-east-1")
    assert miss.needed >= 1460


def test_a_target_below_the_floor_rejects_with_both_latencies():
    """A target that even a lone request misses is rejected with the target and the floor."""
    plan = plan_with(offer("g6e.xlarge"), slo=Slo(tpot_p95_ms=1.0), precisions=("bf16",))

    (rejection,) = [one for one in plan.rejected if one.code == "slo_tpot"]
    assert rejection.needed == 1.0
    assert rejection.available > 15


def test_samples_without_a_volume_bound_the_demand(tmp_path):
    """With nothing but utilisation the capacity of the current machines turns busy time into requests."""
    write(tmp_path, [sample(second, busy_ratio=0.5) for second in range(1, 181)])
    demand = SampleDemand(tmp_path, None, 800, 200)
    today = Deployment("aws", "us-east-1", "p4d.24xlarge", 1, Purchase.ON_DEMAND)
    offers = (offer("g6e.xlarge", on_demand=2.0), offer("p4d.24xlarge", on_demand=20.0))
    plan = plan_with(*offers, demand=demand, current=today)

    assert plan.demand["requests_per_second"]["mean"] > 1
    assert any("upper bound" in note for note in plan.notes)
    with pytest.raises(InputError, match="requests_per_day"):
        plan_with(*offers, demand=demand)
