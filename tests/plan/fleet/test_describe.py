"""A fleet that is chosen by hand, as a plan tells of it: every number worked out from instances, prices and rates."""

import math
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from advisor.catalog.deployment import DeploymentFacts
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.fleet.chosen import StaticPeak
from advisor.plan.fleet.describe import cost_of, obligation_of
from advisor.plan.problem.values import Allocation, PurchaseOption, Tariff
from advisor.workload.values import QuotaLimit, ResponseCache
from plan.fleet.described import ASKED, allocated, described, posed, solved

PRICES = {"g6e.xlarge": 1.86, "g5.xlarge": 1.0, "inf2.8xlarge": 1.97}
HOURS = 730


def test_groups_tell_how_they_are_paid_for():
    """Each way of paying has its own fields, and the others have none of them."""
    formulation, context = posed()
    steady = allocated(formulation, "inf2.8xlarge", "on_demand", (1,))
    bought = replace(steady.tariff, paid=PurchaseOption.OWNED, usd_per_hour=0.0, label="owned")
    owned = replace(steady, tariff=bought)
    fleet = described(
        formulation, context, ("g6e.xlarge", "on_demand", (1,)), ("g6e.xlarge", "spot", (2,)),
        ("g5.xlarge", "commitment", (3,), 1.0), owned,
    )  # fmt: skip
    steady, spot, committed, paid = fleet.groups

    assert [group.purchase for group in fleet.groups] == ["on_demand", "spot", "commitment", "owned"]
    assert [bool(group.commitment) for group in fleet.groups] == [False, False, True, False]
    assert [group.break_even_ratio for group in fleet.groups] == [None, None, pytest.approx(0.63378), None]
    assert [group.interruptions_per_instance_hour > 0 for group in fleet.groups] == [False, True, False, False]
    assert [bool(group.interruptions_source) for group in fleet.groups] == [False, True, False, False]
    assert (steady.interruptions_per_instance_hour, committed.interruptions_per_instance_hour) == (0.0, 0.0)
    assert steady.compute_usd_per_month == pytest.approx(1.86 * HOURS)
    assert spot.compute_usd_per_month == pytest.approx(2 * 0.7 * HOURS)
    assert paid.compute_usd_per_month == 0
    assert spot.interruptions_usd_per_month > 0 == steady.interruptions_usd_per_month
    for group in fleet.groups:
        assert group.cold_start_seconds.value > 60
        assert group.bucket_shares == ()


def test_requests_are_shared_by_capacity_and_by_instances_within_a_pool():
    """A pool's groups have its share in proportion to their instances, whatever is paid; all shares come to one."""
    formulation, context = posed(weekly=True)
    classes = len(formulation.problem.hours)
    rising = tuple(range(1, classes + 1))
    fleet = described(
        formulation, context, ("g6e.xlarge", "on_demand", rising), ("g6e.xlarge", "spot", (2,) * classes),
        ("g5.xlarge", "on_demand", (3,) * classes),
    )  # fmt: skip
    steady, spot, other = (np.array(group.request_shares) for group in fleet.groups)

    assert classes > 3
    assert steady + spot + other == pytest.approx(np.ones(classes))
    assert steady / spot == pytest.approx(np.array(rising) / 2)
    busiest = (classes + 2) * 6.4659 / (3 * 0.60298)  # the router's weights are those of the busiest hours in all
    assert (steady + spot) / other == pytest.approx(np.full(classes, busiest), rel=1e-3)
    assert [group.instances for group in fleet.groups] == [rising, (2,) * classes, (3,) * classes]


def test_shares_of_buckets_are_those_of_the_busiest_hours():
    """Of each length of prompts, a group receives its pool's share of it times its part of the pool's instances."""
    formulation, context = posed()
    lengths = np.array([0.75, 0.25])
    pools = tuple(
        replace(pool, rates=pool.mix_rates[:, None] * np.array([[2.0, 0.5]])) for pool in formulation.problem.pools
    )
    problem = replace(formulation.problem, pools=pools, bucket_shares=lengths)
    routed = replace(formulation, problem=problem, bucket_edges=(1000.0, 4000.0))
    fleet = described(
        routed, context, ("g6e.xlarge", "on_demand", (1,)), ("g6e.xlarge", "spot", (3,)), ("g5.xlarge", "on_demand", (9,))
    )  # fmt: skip

    assert sum(np.array(group.bucket_shares) for group in fleet.groups) == pytest.approx([1.0, 1.0])
    steady, spot, _ = fleet.groups
    assert np.array(spot.bucket_shares) == pytest.approx(3 * np.array(steady.bucket_shares))
    for group in fleet.groups:
        assert group.request_shares[-1] == pytest.approx(np.array(group.bucket_shares) @ lengths)


@pytest.mark.parametrize(("counts", "zones"), [((1,), 1), ((2,), 2), ((4,), 4), ((9,), 4), ((0,), 1)])
def test_instances_are_spread_over_as_many_zones_as_there_are(counts, zones):
    """No more than sell the type, no more than there are instances, and one at least."""
    formulation, context = posed()
    fleet = described(formulation, context, ("g5.xlarge", "on_demand", (9,)), ("g6e.xlarge", "on_demand", counts))
    assert fleet.groups[1].zones == zones


def test_a_processor_has_no_accelerators():
    """Where a catalog states none there are 0."""
    formulation, context = posed()
    allocation = allocated(formulation, "g6e.xlarge", "on_demand", (2,))
    source = formulation.pool_set.sources[allocation.pool.key]
    machine = replace(source.served.candidate.instance_type, accelerator_count=None)
    bare = replace(
        source, served=replace(source.served, candidate=replace(source.served.candidate, instance_type=machine))
    )
    sources = {**formulation.pool_set.sources, allocation.pool.key: bare}
    changed = replace(formulation, pool_set=replace(formulation.pool_set, sources=sources))

    assert described(changed, context, allocation).groups[0].accelerator_count == 0.0
    assert described(formulation, context, allocation).groups[0].accelerator_count == 1.0


def test_quotas_are_counted_by_market_with_what_a_replacement_starts():
    """Four processors a machine: on demand and committed count together, spot apart; a quarter is replaced at a time."""
    limits = replace(ASKED.limits, quotas=(QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 96),))
    formulation, context = posed(limits)
    fleet = described(
        formulation, context, ("g6e.xlarge", "on_demand", (2,)), ("g5.xlarge", "on_demand", (8,)),
        ("g5.xlarge", "commitment", (3,), 3.0), ("g6e.xlarge", "spot", (5,)), ("inf2.8xlarge", "on_demand", (1,)),
    )  # fmt: skip
    told = {need.code: need for need in fleet.quotas}

    steady, spot = told["L-DB2E81BA"], told["L-3819A6DF"]
    assert (steady.needed, steady.account_limit, steady.unit) == ((2 + 8 + 3) * 4, 96, "vCPUs")
    assert steady.needed_while_replaced == ((2 + 1) + (8 + 2) + (3 + 1)) * 4
    assert (spot.needed, spot.needed_while_replaced, spot.account_limit) == (5 * 4, (5 + 2) * 4, None)
    assert sorted(need.needed for need in fleet.quotas) == [20, 32, 52]


def test_an_endpoint_counts_against_no_quota_of_machines():
    """A service has limits of its own."""
    formulation, context = posed()
    pool = allocated(formulation, "g6e.xlarge", "on_demand", (1,)).pool
    managed = Allocation(pool, Tariff(PurchaseOption.MANAGED, 2.5), (3,))
    assert described(formulation, context, managed).quotas == ()


@pytest.mark.parametrize(
    ("chosen", "lossy"), [(("inf2.8xlarge", "on_demand", (12,)), ("fp8",)), (("g6e.xlarge", "on_demand", (3,)), ())]
)
def test_the_cheapest_fleet_is_told_where_a_simpler_one_is_taken(chosen, lossy):
    """In words, with what it costs less, what it is made of, and the precisions that lose more than the one taken."""
    formulation, context = posed()
    cheapest = solved(
        formulation, ("g6e.xlarge", "spot", (2,)), ("g5.xlarge", "commitment", (4,), 1.0), ("g6e.xlarge", "on_demand", (1,)),
        usd=4321.987,
    )  # fmt: skip
    told = described(formulation, context, chosen, cheapest=cheapest, usd=5000.0).cheapest

    assert told.groups == ("2 × g6e.xlarge spot", "4 × g5.xlarge commitment", "1 × g6e.xlarge on demand")
    assert (told.total_usd_per_month, told.usd_per_month_more) == (4321.987, 678.01)
    assert (told.backends, told.lossy_precisions) == (2, lossy)
    assert described(formulation, context, chosen).cheapest is None


@pytest.mark.parametrize("both", [False, True])
def test_engines_that_are_not_preferred_are_told_of_the_cheapest_fleet_alone(both):
    """Where the recommended fleet has as many of them, they are no reason to prefer it."""
    formulation, context = posed()
    fleet = solved(formulation, ("g6e.xlarge", "spot", (2,)), usd=4321.0)
    (group,) = fleet.allocations
    beside = replace(group, pool=replace(group.pool, is_beside=True))
    cheapest = replace(fleet, allocations=(beside,))
    kept = Allocation(replace(group.pool, is_beside=both), group.tariff, (3,))
    told = described(formulation, context, kept, cheapest=cheapest, usd=5000.0).cheapest

    assert told.other_engines == (() if both else ("vLLM",))


def test_the_same_machines_in_another_precision_are_no_cheaper_fleet():
    """What they cost less is a part of a download."""
    formulation, context = posed()
    chosen = ("g6e.xlarge", "on_demand", (3,))
    cheapest = solved(formulation, chosen, usd=4999.34)
    fewer = solved(formulation, ("g6e.xlarge", "on_demand", (2,)), usd=4999.34)

    assert described(formulation, context, chosen, cheapest=cheapest, usd=5000.0).cheapest is None
    assert described(formulation, context, chosen, cheapest=fewer, usd=5000.0).cheapest is not None


def test_commitments_oblige_for_their_terms():
    """Instances × price × hours of their years, until the last one ends."""
    formulation, context = posed()
    short = allocated(formulation, "g6e.xlarge", "commitment", (2,), years=1.0)
    long = allocated(formulation, "g5.xlarge", "commitment", (3,), years=3.0)
    steady = allocated(formulation, "g5.xlarge", "on_demand", (9,))

    assert obligation_of((steady,), context) == (0.0, None)
    assert obligation_of((short, steady), context) == (round(2 * 1.17243 * 8760, 2), "2027-11-01")
    usd = 2 * short.tariff.usd_per_hour * 8760 + 3 * long.tariff.usd_per_hour * 3 * 8760
    assert obligation_of((long, short), context) == (round(usd, 2), "2029-10-31")  # 2028 has a day more


@pytest.mark.parametrize(("large", "small"), [(1, 2), (4, 0), (0, 1), (0, 3)])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_what_half_of_the_load_leaves_idle_of_commitments_is_told(large, small, scale):
    """Each hour of the week, a part of a commitment is kept busy by all of its load, and not by half of it."""
    formulation, context = posed(weekly=True)
    hours = tuple(replace(hour, planned_rate=hour.planned_rate * scale) for hour in formulation.problem.hours)
    posed_so = replace(formulation, problem=replace(formulation.problem, hours=hours))
    fewer = (0,) * (len(hours) - 1)  # what is committed is paid for at all hours
    solution = solved(
        posed_so, ("g5.xlarge", "commitment", (*fewer, small), 1.0), ("g6e.xlarge", "commitment", (*fewer, large), 1.0)
    )
    rate, usd_per_hour = large * 6.4659 + small * 0.60298, large * 1.17243 + small * 0.63378
    busy = [[min(hour.planned_rate * part / rate, 1) for hour in hours] for part in (1.0, 0.5)]
    weights = [hour.hours_per_week / 168 * HOURS for hour in hours]
    idle = sum((whole - half) * weight for whole, half, weight in zip(*busy, weights, strict=True))

    cost = cost_of(posed_so, solution, context, forecast_of(context.requirements))

    assert cost.regret_usd_per_month == pytest.approx(usd_per_hour * idle, rel=1e-4, abs=0.01)
    assert cost.regret_usd_per_month == round(cost.regret_usd_per_month, 2)
    assert cost.obligation_usd == pytest.approx(usd_per_hour * 8760, abs=0.01)


def test_without_commitments_there_is_nothing_to_regret():
    """Nothing is obliged to, and no sum of it is told."""
    formulation, context = posed()
    solution = solved(formulation, ("g6e.xlarge", "on_demand", (2,)))
    cost = cost_of(formulation, solution, context, forecast_of(context.requirements))
    assert (cost.regret_usd_per_month, cost.obligation_usd, cost.obligation_until) == (None, 0.0, None)


def test_parts_of_the_cost_are_summed_to_the_cent():
    """Five requests a second on average, each of 200 tokens out, at $5,000 a month."""
    formulation, context = posed()
    solution = solved(formulation, ("g6e.xlarge", "on_demand", (2,)), ("g5.xlarge", "spot", (3,)))
    cost = cost_of(formulation, solution, context, forecast_of(context.requirements))
    requests = 5 * 3600 * HOURS

    assert cost.compute_usd_per_month == round(2 * 1.86 * HOURS + 3 * 0.4 * HOURS, 2)
    assert cost.usd_per_1000_requests == pytest.approx(5000 / requests * 1000)
    assert cost.usd_per_million_output_tokens == pytest.approx(5000 / requests / 200 * 1e6)
    assert cost.total_usd_per_month == 5000.0


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        # eight a second take two of 6.47, fourteen of 0.6; the committed ones serve most
        ((("g6e.xlarge", "commitment", (2,), 1.0), ("g5.xlarge", "on_demand", (3,))), ("g6e.xlarge", 2)),
        ((("g6e.xlarge", "spot", (1,)), ("g5.xlarge", "on_demand", (9,))), ("g6e.xlarge", 2)),
        ((("g6e.xlarge", "spot", (1,)), ("g5.xlarge", "on_demand", (12,))), ("g5.xlarge", 14)),
    ],
)
def test_the_static_peak_is_the_main_type_around_the_clock(chosen, expected):
    """On demand, as many as carry the busiest hours, and what the fleet saves of their price."""
    formulation, context = posed()
    fleet = described(formulation, context, *chosen)
    name, count = expected
    usd = count * PRICES[name] * HOURS

    assert fleet.static_peak == StaticPeak(
        name, "us-east-1", count, pytest.approx(usd), pytest.approx(1 - fleet.cost.compute_usd_per_month / usd)
    )


def test_the_static_peak_is_that_of_the_busiest_hours():
    """Around the clock there are as many as at noon, where the fleet has one at night."""
    formulation, context = posed(weekly=True)
    hours = formulation.problem.hours
    most = math.ceil(hours[-1].planned_rate / 6.4659)
    rising = (1,) * (len(hours) - 1) + (most,)
    fleet = described(formulation, context, ("g6e.xlarge", "on_demand", rising))

    assert fleet.static_peak.instances == most > 1
    assert fleet.static_peak.compute_usd_per_month == pytest.approx(most * 1.86 * HOURS)


def test_a_price_that_rounds_to_nothing_gives_no_static_peak():
    """A cost below half a cent a month has no share that a fleet could save."""
    formulation, context = posed()
    chosen = ("g6e.xlarge", "spot", (2,))
    key = allocated(formulation, *chosen).pool.key
    source = formulation.pool_set.sources[key]
    next_to_nothing = replace(source.offer.on_demand, usd_per_hour=1e-7)
    cheap = replace(source, offer=replace(source.offer, on_demand=next_to_nothing))
    formulation = replace(
        formulation, pool_set=replace(formulation.pool_set, sources=formulation.pool_set.sources | {key: cheap})
    )

    assert described(formulation, context, chosen).static_peak is None


def test_without_a_price_or_a_fleet_there_is_no_static_peak():
    """Nobody sells the type on demand; a limit on power leaves room for fewer; endpoints have no price as such."""
    formulation, context = posed()
    chosen = ("g6e.xlarge", "spot", (2,))
    allocation = allocated(formulation, *chosen)
    source = formulation.pool_set.sources[allocation.pool.key]
    unsold = {
        **formulation.pool_set.sources,
        allocation.pool.key: replace(source, offer=replace(source.offer, on_demand=None)),
    }
    limited = replace(formulation, problem=replace(formulation.problem, limits=replace(ASKED.limits, max_replicas=1)))

    assert described(formulation, context, chosen).static_peak is not None
    assert (
        described(
            replace(formulation, pool_set=replace(formulation.pool_set, sources=unsold)), context, chosen
        ).static_peak
        is None
    )
    assert described(limited, context, chosen).static_peak is None
    managed = Allocation(allocation.pool, Tariff(PurchaseOption.MANAGED, 2.5), (3,))
    assert described(formulation, context, managed).static_peak is None
    assert described(formulation, context, managed, chosen).static_peak.instances == 2


def test_a_fleet_of_intervals_is_not_proven():
    """A bound is one of the demand as stated; where that has an interval, nothing is proven of it."""
    formulation, context = posed()
    chosen = ("g6e.xlarge", "on_demand", (2,))
    demand = replace(context.requirements.demand, interval=(0.9, 1.1))
    uncertain = replace(context, requirements=replace(context.requirements, demand=demand))

    assert described(formulation, context, chosen).proven
    assert not described(formulation, context, chosen, proven=False).proven
    assert not described(formulation, uncertain, chosen).proven
    assert described(formulation, context, chosen).gap_ratio == 0
    open_fleet = described(formulation, context, chosen, proven=False)
    assert open_fleet.gap_ratio is None
    assert open_fleet.planned_gap_ratio == pytest.approx(1 - 4900 / open_fleet.cost.total_usd_per_month)


def test_a_registry_holds_the_largest_image():
    """CUDA's and Neuron's are of different sizes; the line beside the total is of the larger one."""
    formulation, context = posed()
    facts = context.catalog.cold_start
    images = {name: facts[f"image_vllm_{name}"].value for name in ("cuda", "neuron")}
    fleet = described(formulation, context, ("g6e.xlarge", "on_demand", (1,)), ("inf2.8xlarge", "on_demand", (1,)))

    (line,) = (line for line in fleet.cost_lines if line.item == "registry_storage")
    assert line.quantity == max(images.values()) > min(images.values())


def test_failures_are_told_of_every_part():
    """A machine, a zone and a supply, each with what it leaves of eight a second; both groups may stand in one zone."""
    formulation, context = posed()
    fleet = described(formulation, context, ("g6e.xlarge", "on_demand", (1,)), ("g6e.xlarge", "spot", (1,)))
    left = {failure.of.partition(" of ")[0]: failure.left_ratio for failure in fleet.failures}

    assert left == {
        "one instance": pytest.approx(6.4659 / 8, rel=1e-3), "one zone": 0.0, "spot": pytest.approx(6.4659 / 8, rel=1e-3)
    }  # fmt: skip


def test_work_that_interruptions_lose_has_the_source_of_their_number():
    """Of spot alone: nothing is lost on demand, and nobody is quoted for it."""
    formulation, context = posed()
    fleet = described(formulation, context, ("g6e.xlarge", "on_demand", (1,)), ("g6e.xlarge", "spot", (2,)))

    (line,) = (line for line in fleet.cost_lines if line.item == "lost_work")
    assert line.place.endswith("/spot")
    assert line.price_source == fleet.groups[1].interruptions_source != ""


def test_the_cache_of_answers_is_told_where_the_workload_has_one():
    """Two GiB are one of the smallest nodes; without one there is nothing to tell."""
    formulation, context = posed()
    cached = replace(context.requirements.workload, response_cache=ResponseCache(0.5, 2.0, 3600.0))
    answering = replace(context, requirements=replace(context.requirements, workload=cached))
    chosen = ("g6e.xlarge", "on_demand", (2,))

    assert described(formulation, context, chosen).response_cache is None
    cache = described(formulation, answering, chosen).response_cache
    assert (cache.node, cache.nodes) == ("cache.t4g.medium", 1)


def test_quotas_and_zones_are_of_the_busiest_hours():
    """As many as run there, however few run at night."""
    formulation, context = posed(weekly=True)
    rising = tuple(range(1, len(formulation.problem.hours) + 1))
    fleet = described(formulation, context, ("g6e.xlarge", "on_demand", rising))
    assert [need.needed for need in fleet.quotas] == [rising[-1] * 4]
    assert fleet.groups[0].zones == 4 < rising[-1]


def test_a_type_that_is_not_started_on_demand_has_no_static_peak():
    """Nobody could run that fleet, whatever the price list says."""
    formulation, context = posed()
    chosen = ("g6e.xlarge", "spot", (2,))

    assert described(formulation, context, chosen).static_peak is not None
    with patch.object(DeploymentFacts, "refusal", lambda _, *asked: asked if asked[2] == "on_demand" else None):
        assert described(formulation, context, chosen).static_peak is None
