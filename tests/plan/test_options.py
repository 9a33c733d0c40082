"""Options: fleets of one type and way of paying, by the planner of the fleet; how many instances, at what total."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.pipeline import plan_for, recommend
from advisor.plan.doubts import is_refused
from advisor.plan.options import Ranking, Single, _headroom_shown, _of_each_offer
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.groups import Confirmed, closer
from advisor.plan.replay.validator import ReplayValidator
from advisor.workload.measured_demand import SampleDemand
from advisor.workload.values import DeclaredDemand, Deployment, Limits, Purchase, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.described import HELD
from plan.fleet.posing import posed_of
from samples.records import row
from samples.stores import store

EXAMPLES = Path(__file__).parents[2] / "examples"


def plan_with(*offers, **changes):
    """A plan over a few offers."""
    return plan_for(workload(**changes), catalog_of(*offers))


def test_instances_follow_the_busiest_minute():
    """Instances are the peak over what one is planned to carry, rounded up: a reader can check it by hand."""
    for peak in (40, 80):
        plan = plan_with(offer("g6e.xlarge"), demand=DeclaredDemand(5, peak, 800, 200))
        for one in (plan.recommended, *plan.options):
            planned = one.planned_requests_per_second_per_instance
            assert one.instances == math.ceil(plan.fleet.hour_classes[-1].planned_requests_per_second / planned)
            sustained = one.predicted.requests_per_second_per_replica.value * one.replicas_per_instance
            assert planned <= sustained / min(one.confirmed.headroom_factor, 1) * 1.0001


def test_a_replay_shows_the_load_that_it_carried():
    """Six instances that hold at 30 requests/s carry 5 each: no more is shown of their kind than 4 ÷ 5, and no less."""
    formulation, _ = posed_of(workload(), catalog_of(offer("g6e.xlarge")))
    pool = formulation.problem.pools[0]
    planned = sum(hour.planned_rate for hour in formulation.problem.hours)
    pool = replace(pool, mix_rates=np.array([4.0]) * planned / 30)
    fleet = FleetSolution((Allocation(pool, pool.tariffs[0], (6,)),), {}, 1.0, 1.0, proven=False)

    def shown(factor):
        confirmation = SimpleNamespace(headroom_factor=factor)
        return _headroom_shown(formulation, pool, SimpleNamespace(solution=fleet, confirmation=confirmation))

    assert shown(0.2) == pytest.approx(0.8)
    assert shown(0.9) == 0.9
    assert shown(1.3) == 1.3


def test_no_headroom_takes_a_pool_beyond_its_chips():
    """A pool of 4 requests/s whose chips do 5 is taken to sustain 5, not 32; with more headroom it sustains less."""
    formulation, _ = posed_of(workload(), catalog_of(offer("g6e.xlarge")))
    pool = formulation.problem.pools[0]
    pool = replace(pool, mix_rates=np.array([4.0]), most_rate=5.0)

    assert pool.slower(0.125).mix_rates == [5.0]
    assert pool.slower(2.0).mix_rates == [2.0]


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


@pytest.mark.parametrize(("simplicity", "chosen"), [(0.0, "other"), (0.02, "preferred")])
def test_an_offer_is_shown_in_the_layout_that_a_fleet_is_preferred_in(simplicity, chosen):
    """The preferred engine where it costs little more, as the rungs of the ladder have it."""
    formulation, _ = posed_of(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    pool = formulation.problem.pools[0]
    tariff = pool.tariffs[0]
    singles = [
        Single(own, tariff, FleetSolution((Allocation(own, tariff, (1,)),), {}, usd, usd, proven=False))
        for own, usd in ((replace(pool, key="other", is_beside=True), 100.0), (replace(pool, key="preferred"), 101.0))
    ]

    assert [single.pool.key for single in _of_each_offer(singles, simplicity)] == [chosen]


def test_no_layout_of_an_offer_is_dearer_than_another_that_holds():
    """A replay asks for a third machine in int4, which the closed form prefers: two in bf16 hold, and are the option."""
    catalog = catalog_of(offer("p5.4xlarge", on_demand=4.0, spot=2.0), offer("p4d.24xlarge", on_demand=21.0, spot=10.0))
    asked = workload(
        model="Qwen/Qwen2.5-32B-Instruct", precisions=("bf16", "fp8", "int4"), purchase=(Purchase.SPOT,),
        slo=Slo(ttft_p95_ms=2500, tpot_p95_ms=45, e2e_p95_ms=25_000), context_tokens=None,
        demand=DeclaredDemand(None, None, 2500, 500, concurrent_users=160, think_time_seconds=40),
        limits=Limits(simplicity=0.0, survive=Survive.INSTANCE, max_kw=12.0),
    )  # fmt: skip
    option = next(each for each in plan_for(asked, catalog).options if each.instance_type == "p4d.24xlarge")
    alone = plan_for(replace(asked, instance_types=("p4d.24xlarge",)), catalog).fleet

    assert (option.precision, option.instances) == ("bf16", 2)
    assert option.cost.total_usd_per_month == pytest.approx(alone.cost.total_usd_per_month)


@pytest.mark.parametrize(("other_type", "options"), [(True, [90.0, 101.0]), (False, [101.0])])
def test_the_cheapest_fleet_that_another_is_preferred_to_is_an_option(other_type, options):
    """Where it is of another type: of its own an offer is shown as it is recommended."""
    formulation, _ = posed_of(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    pool = formulation.problem.pools[0]
    source = formulation.pool_set.sources[pool.key]
    sources = dict.fromkeys(("preferred", "lossy", "dearer"), source)
    formulation = replace(formulation, pool_set=replace(formulation.pool_set, sources=sources))

    def single(own, usd):
        solution = FleetSolution((Allocation(own, own.tariffs[0], (1,)),), {}, usd, usd, proven=False)
        return Single(own, own.tariffs[0], solution, Confirmed(solution, formulation, HELD))

    type_in_region = "aws/us-east-1/g6.xlarge" if other_type else pool.type_in_region
    lossy = replace(pool, key="lossy", type_in_region=type_in_region)
    cheapest = single(lossy, 90.0).confirmed
    dearer = single(replace(lossy, key="dearer"), 95.0)
    best = replace(single(replace(pool, key="preferred"), 101.0).confirmed, cheapest=cheapest)
    ranking = Ranking((dearer,) if other_type else (), ()).with_fleet(best)

    assert [each.usd_per_month for each in ranking.singles] == options


def test_current_is_priced_the_same_way():
    """Both totals are compute, disks, traffic and what the region charges by the same formulas; savings are their difference."""
    today = Deployment("aws", "us-east-1", "p4d.24xlarge", 2, Purchase.ON_DEMAND)
    plan = plan_with(offer("g6e.xlarge", on_demand=2.0), offer("p4d.24xlarge", on_demand=20.0), current=today)

    beside = plan.current.total_usd_per_month - 2 * 20 * 730
    fleet = plan.fleet.cost
    assert beside == pytest.approx(
        fleet.transfer_usd_per_month
        + fleet.standing_usd_per_month
        + fleet.disks_usd_per_month / plan.recommended.instances * 2,
        rel=0.2,
    )
    assert plan.savings.usd_per_month == pytest.approx(
        plan.current.total_usd_per_month - plan.fleet.cost.total_usd_per_month
    )
    assert plan.savings.ratio == pytest.approx(plan.savings.usd_per_month / plan.current.total_usd_per_month)


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
    store(tmp_path, [row(number, busy_ratio=0.5) for number in range(1, 13)])
    demand = SampleDemand((str(tmp_path),), None, 800, 200)
    today = Deployment("aws", "us-east-1", "p4d.24xlarge", 1, Purchase.ON_DEMAND)
    offers = (offer("g6e.xlarge", on_demand=2.0), offer("p4d.24xlarge", on_demand=20.0))
    plan = plan_with(*offers, demand=demand, current=today)

    assert plan.demand["requests_per_second"]["mean"] > 1
    assert any("upper bound" in note for note in plan.notes)
    with pytest.raises(InputError, match="requests_per_day"):
        plan_with(*offers, demand=demand)


OFFERS = (
    offer("g6.xlarge", on_demand=0.8, spot=0.35),
    offer("g6e.xlarge", on_demand=1.86, spot=0.9),
    offer("g5.xlarge", region="us-west-2", on_demand=1.0),
    offer("p5.48xlarge", on_demand=55.0),
)


def test_the_recommendation_is_the_fleet():
    """What is recommended in short costs what the fleet costs, to the bit, and is its main group."""
    plan = plan_with(*OFFERS)

    assert plan.recommended.cost.total_usd_per_month == plan.fleet.cost.total_usd_per_month
    assert plan.recommended.confirmed == plan.fleet.confirmed
    main = max(plan.fleet.groups, key=lambda group: group.request_shares[-1])
    assert (plan.recommended.type_in_region, plan.recommended.purchase) == (main.type_in_region, main.purchase)
    assert plan.recommended.groups == len(plan.fleet.groups)


def test_an_option_that_is_the_fleet_has_its_numbers():
    """The recommended fleet of one type stands in the table at its rank, with the same cost and replay."""
    plan = plan_with(offer("g6e.xlarge", on_demand=2.0), offer("p5.48xlarge", on_demand=55.0))

    option = plan.options[plan.recommended.rank - 1]
    assert plan.recommended.rank > 0
    assert option.cost.total_usd_per_month == plan.fleet.cost.total_usd_per_month
    assert option.planned_requests_per_second_per_instance == pytest.approx(
        plan.recommended.planned_requests_per_second_per_instance
    )


def test_shown_options_are_replayed():
    """The five cheapest carry their replay, and each keeps the share of requests that is asked."""
    plan = plan_with(*OFFERS, purchase=(Purchase.ON_DEMAND, Purchase.SPOT))

    for one in plan.options[:5]:
        assert one.confirmed is not None
        assert one.confirmed.within_slo_ratio >= 0.99


@pytest.mark.sampled(2)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.floats(0.5, 40),
    st.lists(st.sampled_from(OFFERS), min_size=1, max_size=4, unique=True),
    st.sampled_from((Limits(), Limits(min_replicas=2, zones=2), Limits(simplicity=0.0), Limits(max_replicas=30))),
)
def test_no_option_is_cheaper_without_saying_why(rate, offers, limits):
    """An option below the recommendation's cost says in its own row why it is not recommended; no other does."""
    plan = plan_with(*offers, demand=DeclaredDemand(rate, rate * 1.6, 800, 200), limits=limits)
    if plan.fleet is None:
        return
    for one in plan.options:
        cheaper = one.cost.total_usd_per_month < plan.fleet.cost.total_usd_per_month - 0.01
        assert bool(one.not_recommended) == cheaper
        assert one.confirmed is None or not cheaper or one.not_recommended.startswith(one.precision)
        assert one.replicas >= limits.min_replicas


def test_options_carry_what_replicas_of_the_fleet_carry():
    """With a target near an idle replica's, the machine of the fleet is no dearer option for a careful closed form."""
    others = [offer(f"g6e.{size}xlarge", on_demand=4.5) for size in ("", 2, 4, 8, 16)]
    sold = (offer("g6.xlarge", on_demand=0.8, spot=0.6), *others)
    plan = plan_with(
        *sold, demand=DeclaredDemand(12.6, 16, 40, 20), precisions=("fp8",), slo=Slo(1000.0, 37.0),
        purchase=(Purchase.ON_DEMAND, Purchase.SPOT), limits=Limits(min_replicas=2, on_demand_base_ratio=0.5),
    )  # fmt: skip
    (planned,) = {group.planned_requests_per_second_per_instance for group in plan.fleet.groups}
    (option,) = [one for one in plan.options if (one.instance_type, one.purchase) == ("g6.xlarge", "on_demand")]

    assert plan.fleet.confirmed.headroom_factor < 1
    assert len(plan.fleet.groups) > 1
    assert option.planned_requests_per_second_per_instance > planned / 2
    assert option.instances <= sum(group.instances[-1] for group in plan.fleet.groups)


def test_redundancy_is_capacity_for_options_too():
    """With two replicas asked, an option without any one of its machines still carries the planned load."""
    plan = plan_with(*OFFERS, limits=Limits(min_replicas=2), demand=DeclaredDemand(10, 30, 800, 200))

    for one in plan.options:
        planned = one.planned_requests_per_second_per_instance
        assert (one.instances - 1) * planned >= plan.fleet.hour_classes[-1].planned_requests_per_second * (1 - 1e-6)


def test_an_option_in_a_precision_that_others_outdo_keeps_its_source():
    """Published weights may be preferred whose layout is no pool of the question: its option is described all the same."""
    asked = workload(demand=DeclaredDemand(2.0, 4.0, 800, 200), precisions=("bf16", "fp8"))
    formulation, context = posed_of(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86)), None)
    found = ReplayValidator(formulation, context).confirmed()
    (one,) = found.solution.allocations
    ranking = Ranking((Single(one.pool, one.tariff, found.solution, found),), ())
    without = replace(formulation, pool_set=replace(formulation.pool_set, sources={}))

    assert one.pool.key in ranking.with_sources(without).pool_set.sources
    (beyond,) = ranking.within(single_usd(ranking) / 2, without).rejections
    assert beyond.code == "budget"


def single_usd(ranking):
    """Cost of the only option, a month."""
    return ranking.singles[0].usd_per_month


def test_the_closest_of_refused_fleets_is_as_close_as_every_option(tmp_path):
    """Options that the search for a mix never came by count: none of those that their replays refuse keeps more."""
    (tmp_path / "demand.json").write_text((EXAMPLES / "chat/demand.json").read_text())
    (tmp_path / "workload.yaml").write_text(
        "name: hasty\nmodel: meta-llama/Llama-3.1-8B-Instruct\n"
        "slo: {ttft_p95: 70ms, tpot_p95: 50ms, within_ratio: 0.9995}\n"
        "demand: {summary: demand.json}\nproviders: [aws]\nregions: [us-east-1]\n"
    )
    plan = recommend(tmp_path / "workload.yaml")
    refused = [rejection for rejection in plan.rejected if rejection.code == "replay"]

    assert is_refused(plan)
    assert refused
    assert plan.fleet.confirmed.within_slo_ratio >= max(rejection.available for rejection in refused) - 2e-4
    assert plan.fleet.cost.total_usd_per_month < 100_000


def test_of_two_fleets_as_close_the_cheaper_is_the_closest():
    """To a hundredth of a percent; more of the requests within the SLO comes first."""

    def fleet(kept, usd):
        confirmation = replace(HELD, within_slo_ratio=kept, busiest_within_slo_ratio=kept)
        return SimpleNamespace(usd_per_month=usd, confirmation=confirmation)

    cheap, dear, better = fleet(0.96, 100.0), fleet(0.96004, 200.0), fleet(0.97, 300.0)

    assert closer(None, dear) is dear
    assert closer(dear, cheap) is cheap
    assert closer(cheap, dear) is cheap
    assert closer(cheap, better) is better
