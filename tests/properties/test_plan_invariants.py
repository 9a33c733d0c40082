"""What must hold for every workload and every catalog."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.candidates import ANY
from advisor.catalog.values import Purchase
from advisor.pipeline import plan_for
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.workload.values import DeclaredDemand, Limits, Slo
from builders import catalog_of, offer, workload

TYPES = (
    "g4dn.xlarge",
    "g5.xlarge",
    "g5.12xlarge",
    "g6.xlarge",
    "g6e.xlarge",
    "p4d.24xlarge",
    "p5.48xlarge",
    "inf2.8xlarge",
)
prices = st.integers(10_000, 5_000_000).map(lambda parts: parts / 100_000)
offers = st.lists(
    st.builds(
        offer,
        instance_type=st.sampled_from(TYPES),
        region=st.sampled_from(("us-east-1", "us-west-2")),
        on_demand=st.none() | prices,
        spot=st.none() | prices,
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: (one.instance_type, one.region),
)
demands = st.builds(
    lambda mean, ratio, tokens_in, tokens_out: DeclaredDemand(mean, mean * ratio, tokens_in, tokens_out),
    st.floats(0.1, 60),
    st.floats(1, 4),
    st.integers(16, 1500),
    st.integers(4, 400),
)
slos = st.builds(
    Slo, st.none() | st.floats(100, 5000), st.none() | st.floats(8, 200), st.none() | st.floats(2000, 60_000)
)
limits = st.builds(Limits, min_replicas=st.integers(1, 3), zones=st.integers(1, 3), simplicity=st.just(0.0))
workloads = st.builds(lambda demand, slo, limit: workload(demand=demand, slo=slo, limits=limit), demands, slos, limits)

WITHIN = 1.02
"""The search ends within 2 % of the cheapest fleet that its replay confirms."""

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cost(plan) -> float:
    """Total of the fleet; infinite when there is none."""
    return plan.fleet.cost.total_usd_per_month if plan.fleet else float("inf")


@few
@given(workloads, offers, st.floats(0, 0.99))
def test_cached_prompts_never_make_the_plan_dearer(work, sold, hit_ratio):
    """A stated prefix-cache hit ratio lowers the total or leaves it, and the notes repeat it."""
    cached = plan_for(replace(work, prefix_cache_hit_ratio=hit_ratio), catalog_of(*sold))
    assert cost(cached) <= cost(plan_for(work, catalog_of(*sold))) * WITHIN
    assert any("prefix caches" in note for note in cached.notes) == (hit_ratio > 0)


@pytest.mark.sampled(3)
@few
@given(workloads, offers, st.integers(0, 5), st.floats(0.1, 1))
def test_a_cheaper_offer_never_makes_the_plan_dearer(work, sold, which, factor):
    """Lowering one price lowers the total or leaves it."""
    before = cost(plan_for(work, catalog_of(*sold)))
    chosen = sold[which % len(sold)]
    lowered = offer(
        chosen.instance_type,
        chosen.region,
        chosen.on_demand and chosen.on_demand.usd_per_hour * factor,
        chosen.spot and chosen.spot.usd_per_hour * factor,
    )

    after = cost(plan_for(work, catalog_of(*(lowered if one is chosen else one for one in sold))))

    assert after <= before * WITHIN


@pytest.mark.sampled(3)
@few
@given(workloads, offers)
def test_one_more_offer_never_makes_the_plan_worse(work, sold):
    """The whole catalog is at least as good as all of it but one offer."""
    assert cost(plan_for(work, catalog_of(*sold))) <= cost(plan_for(work, catalog_of(*sold[1:]))) * WITHIN


@few
@given(workloads, offers, st.floats(1, 5), st.floats(1, 2))
def test_more_demand_never_costs_less(work, sold, busier, longer_prompts):
    """More requests, or longer prompts, cost as much or more."""
    more = DeclaredDemand(
        work.demand.requests_per_second * busier,
        work.demand.peak_requests_per_second * busier,
        work.demand.input_tokens * longer_prompts,
        work.demand.output_tokens,
    )
    catalog = catalog_of(*sold)

    assert cost(plan_for(replace(work, demand=more), catalog)) * WITHIN >= cost(plan_for(work, catalog))


@pytest.mark.sampled(3)
@few
@given(workloads, offers, st.floats(1, 10), st.sampled_from(["ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms"]))
def test_a_looser_target_never_costs_more(work, sold, factor, target):
    """Relaxing any latency target keeps the total or lowers it."""
    strict = getattr(work.slo, target)
    looser = replace(work, slo=replace(work.slo, **{target: strict and strict * factor}))
    catalog = catalog_of(*sold)

    assert cost(plan_for(looser, catalog)) <= cost(plan_for(work, catalog)) * WITHIN


@pytest.mark.sampled(3)
@few
@given(workloads, offers)
def test_every_offer_is_an_option_or_rejected(work, sold):
    """Nothing disappears: each offer × purchase with a price is an option, or something says why not."""
    plan = plan_for(work, catalog_of(*sold))
    options = {(one.region, one.instance_type, one.purchase) for one in plan.options}

    for one in sold:
        reasons = [r for r in plan.rejected if r.instance_type == one.instance_type and r.region in (ANY, one.region)]
        for purchase in work.purchase:
            unpriced = one.price(purchase) is None and purchase is not Purchase.COMMITMENT
            assert (one.region, one.instance_type, purchase.value) in options or reasons or unpriced


@few
@given(workloads, offers)
def test_every_precision_and_parallelism_is_accounted_for(work, sold):
    """With every variant kept, precision, parallelism and slices are an option or a rejection, never both."""
    plan = plan_for(work, catalog_of(*sold), every_variant=True)
    options = {(one.instance_type, one.precision, one.tensor_parallel, one.partition) for one in plan.options}
    hardware = {
        (r.instance_type, r.precision, r.tensor_parallel, r.partition)
        for r in plan.rejected
        if r.region == ANY and r.tensor_parallel
    }

    assert not options & hardware
    for one in sold:
        for precision in work.precisions:
            named = [
                r for r in plan.rejected if r.instance_type == one.instance_type and r.precision in (ANY, precision)
            ]
            assert named or any(key[:2] == (one.instance_type, precision) for key in options)


@few
@given(workloads, offers)
def test_the_printed_total_is_the_minimised_one(work, sold):
    """Totals are sums of their parts to the cent, of an option as of the fleet; the recommendation's is the fleet's."""
    plan = plan_from_json(plan_to_json(plan_for(work, catalog_of(*sold))))
    totals = [one.cost.total_usd_per_month for one in plan.options]

    assert totals == sorted(totals)
    costs = [one.cost for one in plan.options] + ([plan.fleet.cost] if plan.fleet else [])
    for cost_of in costs:
        parts_usd = sum(cost_of.parts_usd_per_month.values())
        assert cost_of.total_usd_per_month == pytest.approx(parts_usd, abs=0.011)
    for one in plan.options:
        if len(set(one.instances_by_class)) == 1:
            compute = one.instances * one.cost.instance_usd_per_hour * 730
            assert one.cost.compute_usd_per_month == pytest.approx(compute, abs=0.011)
    if plan.fleet is not None:
        assert plan.recommended.cost.total_usd_per_month == plan.fleet.cost.total_usd_per_month


@few
@given(workloads, offers)
def test_options_keep_to_limits_and_targets(work, sold):
    """Each option has its replicas, zones and, at the planned load, its latency within the targets."""
    plan = plan_for(work, catalog_of(*sold))

    for one in plan.options:
        assert one.replicas >= work.limits.min_replicas
        assert one.instances >= work.limits.zones
        assert one.replicas == one.instances * one.replicas_per_instance
        predicted = one.predicted
        assert predicted.ttft_p95_ms.low <= predicted.ttft_p95_ms.value <= predicted.ttft_p95_ms.high
        if work.slo.ttft_p95_ms is not None:
            assert predicted.ttft_p95_ms.value <= work.slo.ttft_p95_ms * 1.000001
        if work.slo.tpot_p95_ms is not None:
            assert predicted.tpot_p95_ms.value <= work.slo.tpot_p95_ms * 1.000001
        if work.slo.e2e_p95_ms is not None:
            assert predicted.e2e_p95_ms.value <= work.slo.e2e_p95_ms * 1.000001


@pytest.mark.sampled(3)
@few
@given(workloads, offers)
def test_the_same_input_gives_the_same_bytes(work, sold):
    """Two runs print the same plan, and so does a plan that was read back."""
    text = plan_to_json(plan_for(work, catalog_of(*sold)))

    assert plan_to_json(plan_for(work, catalog_of(*sold))) == text
    assert plan_to_json(plan_from_json(text)) == text


@given(offers)
@few
def test_an_unknown_price_is_never_free(sold):
    """An offer without a price is no option, and the plan says that its price is not known."""
    unpriced = [offer(one.instance_type, one.region, None, None) for one in sold]
    plan = plan_for(workload(), catalog_of(*unpriced))

    assert plan.options == ()
    assert all(r.available is None for r in plan.rejected if r.code == "price_unknown")
