"""Services that scale to zero beside instances: when they may serve, and at what price."""

import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import Demand, DemandProfile
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import plan_for
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.problem.hours import week_of
from advisor.plan.problem.serverless_pools import LONGEST_IDLE_S, _Load, duty_of_rate
from advisor.plan.problem.values import HourClass, PurchaseOption, Tariff
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.solve.scopes import cheapest
from advisor.plan.solve.stage import ExistingFleet, Formulation, PlanningContext, formulate, supply_of
from advisor.workload.values import DeclaredDemand, Limits, QuotaLimit, Scaling, Slo
from builders import workload
from plan.fleet.problems import optimise, pool_of, problem_of

CATALOG = load_catalog()
CLOUD_RUN = "gcp/us-central1/Cloud Run L4/fp8/tp1"
PRICE = 0.67212 + 6 * 0.0648 + 24 * 0.0072
"""Of a container that weights of 8 billion parameters in fp8 lie in: the GPU, 6 vCPUs and 24 GiB."""
PATIENT = Slo(tpot_p95_ms=100)
RARE = declared_demand(1 / 3600, 2 / 3600, 800, 200)


def formulation(demand: Demand = RARE, **changes) -> Formulation:
    """A question of one region that has Cloud Run, where nothing has to run between requests."""
    defaults = {
        "providers": ("gcp",),
        "regions": ("us-central1",),
        "purchase": (Purchase.ON_DEMAND,),
        "slo": PATIENT,
        "precisions": ("fp8",),
        "scaling": Scaling(scale_to_zero=True),
    }
    asked = workload(**{**defaults, **changes})
    requirements = requirements_of(PlanRequest(asked, find_model(asked.model), demand), CATALOG)
    matches = match(requirements, CATALOG)
    served, _ = serve(matches.candidates, requirements, shipped_model())
    context = PlanningContext(requirements, CATALOG, shipped_model(), ExistingFleet({}, {}))
    week = week_of(forecast_of(requirements), scheduled=asked.scaling.scheduled)
    return formulate(context, supply_of(context, served, matches.offers), week)


def services(found: Formulation) -> dict[str, Tariff]:
    """Tariffs of the serverless pools."""
    tariffs = {pool.key: pool.tariffs for pool in found.problem.pools}
    return {key: one[0] for key, one in tariffs.items() if one[0].paid is PurchaseOption.SERVERLESS}


def test_a_service_is_billed_for_the_time_in_which_it_runs():
    """One request an hour bills the share of time within 15 minutes of one, and the cold start; the rest is free."""
    found = formulation()
    tariff = services(found)[CLOUD_RUN]
    source = found.pool_set.sources[CLOUD_RUN]
    lasts_s = source.served.mean_concurrency / source.served.requests_per_second_per_replica.value
    start_s = source.cold_start.total_s.value
    expected = duty_of_rate(np.array([1 / 3600]), LONGEST_IDLE_S + lasts_s, start_s).billed_ratio[0]
    assert (tariff.usd_per_hour, tariff.label) == (pytest.approx(PRICE), "Cloud Run")
    assert tariff.active_ratios == pytest.approx((expected,))
    assert expected == pytest.approx(1 - math.exp(-(900 + lasts_s) / 3600) + start_s / 3600 * 0.78, rel=0.02)
    assert source.cold_start.image_s.value == 0


@pytest.mark.parametrize(
    ("precision", "vcpus", "gib"), [("int4", 4, 16), ("fp8", 6, 24), ("bf16", 6, 24)], ids=["int4", "fp8", "bf16"]
)
def test_it_costs_what_the_container_does_that_the_weights_lie_in(precision, vcpus, gib):
    """The size that code orders with weights from the hub, at its price by GPU, vCPU and GiB."""
    planned = formulation(precisions=(precision,))
    (tariff,) = [own for key, own in services(planned).items() if key.startswith("gcp/us-central1/Cloud Run L4/")]
    assert tariff.usd_per_hour == pytest.approx(0.67212 + vcpus * 0.0648 + gib * 0.0072)


def test_it_wins_where_the_duty_is_low():
    """For one request an hour the optimum is one container at its share of the time, far below any instance.

    Beside it the region has six alert conditions, an address and the gateway's 32nd for each hour of the container.
    """
    found = formulation()
    solution = cheapest(found.problem)
    (one,) = solution.allocations
    assert (one.pool.key, one.instances) == (CLOUD_RUN, (1,))
    ratio = services(found)[CLOUD_RUN].active_ratios[0]
    region = 6 * 0.10 + 730 * 0.005 + 730 * ratio * 0.0448 / 32
    assert solution.objective_usd_per_month == pytest.approx(730 * PRICE * ratio + region, abs=0.02)


def test_it_loses_where_it_would_always_run():
    """At a request every few seconds a container never stops, and an instance with the same accelerator is cheaper."""
    found = formulation(declared_demand(0.4, 0.6, 800, 200))
    assert services(found)[CLOUD_RUN].active_ratios == pytest.approx((1.0,))
    assert all(one.tariff.paid is PurchaseOption.ON_DEMAND for one in cheapest(found.problem).allocations)


@pytest.mark.parametrize(
    "changes",
    [
        {"scaling": Scaling()},
        {"purchase": (Purchase.SPOT,)},
        {"providers": ("aws",), "regions": ("us-east-1",)},
        {"regions": ("europe-west4",)},
    ],
)
def test_it_needs_leave_to_stop_and_to_be_paid_as_used(changes):
    """No service is a candidate without scale_to_zero, without on demand, or out of scope."""
    assert services(formulation(**changes)) == {}


@pytest.mark.parametrize("rate", [1 / 3600, 2.0], ids=["serves all", "loses"])
def test_every_service_is_an_option_or_rejected(rate):
    """Whether a service wins or loses, it is ranked at the fleet's own cost, or rejected with its reason."""
    asked = workload(
        providers=("gcp",), regions=("us-central1",), purchase=(Purchase.ON_DEMAND,), slo=PATIENT, precisions=("bf16",),
        demand=DeclaredDemand(rate, 2 * rate, 800, 200), scaling=Scaling(scale_to_zero=True),
    )  # fmt: skip
    plan = plan_for(asked, CATALOG)
    ranked = {one.instance_type for one in plan.options if one.purchase == "serverless"}
    rejected = {one.instance_type for one in plan.rejected}
    here = {
        f"{one.service} {one.accelerator}"
        for one in CATALOG.serverless
        if one.provider == "gcp" and "us-central1" in (one.regions or ("us-central1",))
    }

    assert here == {name for name in ranked | rejected if name.startswith("Cloud Run")}
    assert ranked
    assert (plan.recommended.purchase == "serverless") == (rate < 1)
    assert plan.recommended.rank == (1 if rate < 1 else plan.recommended.rank)
    assert all(one.commitment.startswith("Cloud Run") for one in plan.options if one.purchase == "serverless")


def test_cold_starts_break_a_target_with_both_shares():
    """With a target for the first token rare requests reject the service: most of them wait, one in twenty may."""
    found = formulation(slo=Slo(ttft_p95_ms=3000))
    rejected = [one for one in found.pool_set.rejections if one.code == "cold_start"]
    assert services(found) == {}
    assert {one.region for one in rejected} == {"us-central1"}
    assert all(one.needed == pytest.approx(0.05) and one.available > 0.5 for one in rejected)


def test_a_service_that_is_too_slow_says_so_like_an_instance():
    """Targets, memory and network reject a service with the same codes as an instance."""
    found = formulation(slo=Slo(tpot_p95_ms=1))
    of_service = [one for one in found.pool_set.rejections if one.instance_type.startswith("Cloud Run")]
    assert {one.code for one in of_service if one.region in ("*", "us-central1") and "RTX" not in one.message} == {
        "slo_tpot"
    }
    assert {one.code for one in of_service if "RTX" in one.message} == {"price_unknown"}


def test_observed_hours_count_as_observed():
    """Of two days with bursts at noon the noon hours are billed as seen, and hours never seen by the rate forecast."""
    minutes = np.zeros(2 * 24 * 60)
    minutes[[12 * 60, 12 * 60 + 1, 36 * 60]] = 30.0
    profile = DemandProfile(MONDAY_SECONDS, minutes)
    demand = replace(declared_demand(91 / 172_800, 0.5, 800, 200), profile=profile)
    found = formulation(demand)
    ratios = services(found)[CLOUD_RUN].active_ratios
    assert len(ratios) == len(found.week.classes)
    assert all(0 <= ratio <= 1 for ratio in ratios)
    noon, night = (found.week.schedule[hour] for hour in (12, 3))
    assert ratios[noon] > ratios[night]


def test_rare_bursts_meet_few_cold_starts():
    """Thirty requests a minute for eight hours a day: one in 14,400 waits, so even a short target is kept."""
    minutes = np.tile(np.repeat([0.0, 30.0, 0.0], 480), 14)
    rate = minutes / 60
    demand = declared_demand(float(rate.mean()), 0.5, 800, 200)
    found = formulation(replace(demand, profile=DemandProfile(MONDAY_SECONDS, minutes)), slo=Slo(ttft_p95_ms=3000))
    assert CLOUD_RUN in services(found)


def test_quotas_of_instances_do_not_bind_a_service():
    """A quota for the accelerator of an instance counts nothing of a service with the same accelerator."""
    machine = CATALOG.instance_type("gcp", "g2-standard-4")
    code = CATALOG.quota(machine, Purchase.ON_DEMAND).code
    found = formulation(limits=Limits(quotas=(QuotaLimit("gcp", "us-central1", code, 1),)))
    uses = {pool.key: sum(pool.quotas.values()) for pool in found.problem.pools}
    assert uses[CLOUD_RUN] == 0
    assert max(usage for key, usage in uses.items() if "g2-standard-4" in key) > 0


NIGHT = Tariff(PurchaseOption.SERVERLESS, 2.0, "functions", active_ratios=(0.1, 1.0))


def night_and_day(**limits):
    """Functions at 2 USD beside instances at 1 USD; at night functions run for a tenth of the time."""
    pools = (pool_of("instance", 1.0, 1.0), pool_of("functions", 1.0, tariffs=(NIGHT,)))
    return optimise(
        problem_of(*pools, planned=(1.0, 3.0), limits=Limits(**limits), scaling=Scaling(scale_to_zero=True))
    )


def test_functions_do_not_stand_in_at_night_for_instances_that_requests_are_sent_to():
    """Callers weigh the two addresses alike at all hours: 365 h of one instance and 365 h of three, as without functions."""
    fleet = night_and_day()
    assert {group.pool.key: group.instances for group in fleet.allocations} == {"instance": (1, 3)}
    assert fleet.objective_usd_per_month == pytest.approx(365 * 1 + 365 * 3)


def test_functions_of_any_hour_count_as_a_type():
    """With one type allowed instances serve the night too, although functions would do nothing in the busiest hours."""
    found = night_and_day(max_instance_types=1)
    assert {one.pool.key: one.instances for one in found.allocations} == {"instance": (1, 3)}


@pytest.mark.parametrize(("mean", "billed"), [(0.0, 0.1), (1.0, 1.0)], ids=["unexpected", "expected"])
def test_hours_that_are_planned_for_are_not_free(mean, billed):
    """Without a request that is expected, one hour in ten comes up to the upper edge that is planned for."""
    hours = (HourClass(100, 0.0, 0.0, 0.0), HourClass(2, mean, 0.4, 0.0), HourClass(66, 4.0, 6.0, 3.0))
    load = _Load([0] * 100 + [1] * 2 + [2] * 66, np.repeat([0.0, mean, 4.0], [100, 2, 66]), None, None, hours)
    assert load.duty(900.0, 60.0).billed_ratio == pytest.approx((0.0, billed, 1.0))


def test_as_few_containers_as_carry_the_planned_rate_serve_hours_without_expected_requests():
    """Three of one service, though nothing is expected; none where nothing is planned, even where that costs nothing."""
    rates = (0.0, 0.1)
    single, double = (
        pool_of(name, 0.16, tariffs=(Tariff(PurchaseOption.SERVERLESS, usd, name, active_ratios=rates),))
        for name, usd in (("single", 1.0), ("redundant", 1.4))
    )
    planned = problem_of(single, double, planned=(0.0, 0.4), scaling=Scaling(scale_to_zero=True))
    counts = {group.pool.key: group.instances for group in cheapest(planned).allocations}
    assert counts == {"single": (0, 3)}
