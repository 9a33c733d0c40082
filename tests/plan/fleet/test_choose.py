"""The fleet of a plan, from a workload and a catalog."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.cost import hourly_to_monthly
from advisor.cost.services import BYTES_PER_LOG_LINE, disk_usd_per_month
from advisor.demand.values import DemandProfile, Dispersion
from advisor.demand_sources import measure_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for, plan_for, plan_question, routed_as
from advisor.plan.alternatives import recommended
from advisor.plan.fleet.describe import fleet_of
from advisor.plan.planning import ANYWHERE_NOTE
from advisor.plan.replay.groups import Confirmed
from advisor.plan.request import PlanRequest, read_question, requirements_of
from advisor.plan.solve.scopes import cheapest
from advisor.plan.solve.stage import running_of, standing_of
from advisor.report.fleet_words import fleet_lines
from advisor.report.verdict import plan_table, verdict_lines
from advisor.units import BYTES_PER_GB, SECONDS_PER_MONTH
from advisor.workload.values import (
    DeclaredDemand,
    Deployment,
    Limits,
    OwnedCommitment,
    QuotaLimit,
    Routing,
    Scaling,
    Slo,
)
from builders import catalog_of, offer, workload
from plan.fleet.catalogued import example

MONDAY = 1_699_833_600.0
ON_DEMAND = (Purchase.ON_DEMAND,)
EVERY = (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT)


def week_of_days(rate=8.0, days=14, dispersion=None):
    """Busy days and quiet nights, minute by minute."""
    hours = np.arange(24 * days)
    shape = 0.2 + 0.8 * np.clip(np.sin(np.pi * ((hours % 24) - 6) / 15), 0, 1)
    return DemandProfile(MONDAY, np.repeat(rate * 60 * shape, 60).round(), dispersion or Dispersion())


def plan_of(asked, catalog, profile=None):
    """The plan, with the demand's profile where one is given."""
    model = find_model(asked.model_reference)
    demand = measure_demand(asked, model, catalog, None)
    return plan_question(PlanRequest(asked, model, replace(demand, profile=profile)), catalog)


def test_the_total_is_the_sum_of_its_parts():
    """Compute, disks, downloads, interruptions, transfer, switching and regions add up to the total, to the cent."""
    asked = workload(limits=Limits(fault_tolerant_ratio=1.0))
    cost = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.3))).fleet.cost

    parts = (
        cost.compute_usd_per_month, cost.interruptions_usd_per_month, cost.transfer_usd_per_month,
        cost.switching_usd_per_month, cost.disks_usd_per_month, cost.starts_usd_per_month,
        cost.standing_usd_per_month,
    )  # fmt: skip
    assert cost.total_usd_per_month == pytest.approx(sum(parts), abs=0.005)
    assert cost.interruptions_usd_per_month > 0
    assert cost.transfer_usd_per_month > 0
    assert cost.disks_usd_per_month > 0


@pytest.mark.parametrize(("instance_type", "gib"), [("g6e.xlarge", 140), ("inf2.8xlarge", 164)])
def test_the_disk_that_a_plan_names_is_the_one_it_prices(instance_type, gib):
    """Weights lie on the 250 GB of NVMe of one machine, and on the boot disk of the other, which has none."""
    catalog = catalog_of(offer(instance_type, on_demand=1.86))
    fleet = plan_for(workload(purchase=ON_DEMAND), catalog).fleet
    (group,) = fleet.groups
    priced = disk_usd_per_month(catalog, group.provider, group.region, group.disk_gib)
    assert group.disk_gib == gib
    assert fleet.cost.disks_usd_per_month == pytest.approx(priced * max(group.instances), abs=0.01)


def test_transfer_at_an_unknown_price_costs_what_the_dearest_known_does():
    """It is never free, and the plan says what is counted."""
    asked = workload(providers=("aws",), regions=("eu-central-2",))
    plan = plan_for(asked, catalog_of(offer("g6e.xlarge", "eu-central-2", on_demand=1.86)))

    assert plan.fleet.cost.transfer_usd_per_month > 0
    assert any(note.startswith("what data transfer from aws/eu-central-2 costs is not known") for note in plan.notes)


@pytest.mark.parametrize(("precision", "told"), [("fp32", True), ("bf16", False)])
def test_an_engine_that_nobody_documents_or_measured_is_told(precision, told):
    """A plan takes what is recalled, and says so; of what a document says there is no word."""
    plan = plan_for(workload(precisions=(precision,)), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    assert plan.fleet is not None
    expected = f"that vLLM 0.33.0 serves {precision} on L40S is recalled: "
    assert any(note.startswith(expected) for note in plan.notes) == told


def test_stated_growth_of_declared_demand_is_planned_for():
    """The peak grows to nine tenths of the horizon, the mean to half of it, and a note says so."""
    still = workload(horizon_days=365.0)
    grown = plan_for(replace(still, growth_per_year=1.0), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    (hours,) = grown.fleet.hour_classes

    assert hours.planned_requests_per_second == pytest.approx(8 * 2**0.9, abs=1e-4)
    assert hours.mean_requests_per_second == pytest.approx(5 * 2**0.5)
    assert "growth of 100% a year, as stated" in grown.notes
    assert grown.fleet.forecast.growth_ratio == pytest.approx(2**0.9)
    assert plan_for(still, catalog_of(offer("g6e.xlarge"))).fleet.hour_classes[0].planned_requests_per_second == 8


def test_growth_is_replayed_as_the_same_rates_declared_outright():
    """Five times as much in a year takes the machines that the grown peak takes when it is stated."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g7e.2xlarge", on_demand=3.36))
    small = workload(demand=DeclaredDemand(2, 4, 800, 200), horizon_days=365.0)
    peak = 4 * 6**0.9
    grown = plan_for(replace(small, growth_per_year=5.0), catalog).fleet
    stated = plan_for(replace(small, demand=DeclaredDemand(peak / 2, peak, 800, 200)), catalog).fleet

    assert [(group.instance_type, group.instances) for group in grown.groups] == [
        (group.instance_type, group.instances) for group in stated.groups
    ]
    assert grown.confirmed.requests == stated.confirmed.requests
    assert grown.confirmed.arrivals.endswith(f", grown to {6**0.9:.3g} times of today")
    assert grown.holds_up_to.peak_ratio >= 6**0.9


def test_shrinking_demand_is_planned_for_at_its_beginning():
    """Half in a year: the peak is that of a tenth of the horizon."""
    asked = workload(horizon_days=365.0, growth_per_year=-0.5)
    (hours,) = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86))).fleet.hour_classes

    assert hours.planned_requests_per_second == pytest.approx(8 * 0.5**0.1)
    assert hours.low_requests_per_second < hours.planned_requests_per_second


@pytest.mark.parametrize("rate", [1e-9, 1e-6, 1e-3])
def test_the_rarest_requests_get_one_replica(rate):
    """A request in years is planned for like one in minutes."""
    plan = plan_for(workload(demand=DeclaredDemand(rate, rate, 800, 200)), catalog_of(offer("g6e.xlarge")))

    assert [group.instances for group in plan.fleet.groups] == [(1,)]


def test_rates_that_no_replay_confirms_are_refused():
    """Field, both numbers, and into how many parts the workload can be split."""
    with pytest.raises(InputError, match="25,000 requests/s in the busiest minute are more than the 10,000") as caught:
        plan_for(workload(demand=DeclaredDemand(9e3, 25e3, 800, 200)), catalog_of(offer("g6e.xlarge")))

    assert caught.value.where.endswith("demand")
    assert caught.value.hint == "plan 3 equal workloads of 8,333.33 requests/s each"


@pytest.mark.parametrize(("growth", "expected"), [(1e9, "are more than the 10,000"), (-0.999999, "are fewer than")])
def test_growth_beyond_what_can_be_planned_is_refused(growth, expected):
    """A hundred years of it leave neither a rate nor a traceback."""
    with pytest.raises(InputError, match=expected) as caught:
        plan_for(workload(growth_per_year=growth, horizon_days=36_500.0), catalog_of(offer("g6e.xlarge")))

    assert caught.value.where.endswith("demand.growth_per_year")
    assert caught.value.hint.startswith("state less growth or a shorter horizon, or ")


def test_what_runs_is_told_apart_by_how_it_is_paid_for():
    """The current deployment by its purchase; a previous plan by that of each of its groups."""
    current = Deployment("aws", "us-east-1", "g6.xlarge", 3, Purchase.SPOT)
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8, spot=0.3))

    standing = standing_of(requirements_of(question_of(workload(current=current)), catalog), catalog)[0]
    assert standing.running == {"aws/us-east-1/g6.xlarge": 3}
    assert standing.running_by_purchase == {("aws/us-east-1/g6.xlarge", "spot"): 3}

    before = (("aws/us-east-1/g6.xlarge", "spot"), 1), (("aws/us-east-1/g6.xlarge", "on_demand"), 2)
    standing = standing_of(requirements_of(question_of(workload(running=before)), catalog), catalog)[0]
    assert standing.running == {"aws/us-east-1/g6.xlarge": 3}
    assert standing.running_by_purchase == dict(before)


def question_of(asked):
    """A workload with its model and demand."""
    model = find_model(asked.model_reference)
    return PlanRequest(asked, model, measure_demand(asked, model, None, None))


def test_standing_charges_are_in_the_total():
    """Load balancer, gateway, key, alarms and logs of the region are priced, and a part of what is minimised."""
    fleet = plan_for(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86))).fleet

    assert [one.item for one in fleet.standing] == [
        "load_balancer", "load_balancer_capacity", "log_ingest", "log_storage", "alarm", "kms_key", "nat_gateway",
        "public_ip",
    ]  # fmt: skip
    known = sum(one.usd_per_month for one in fleet.standing)
    assert fleet.cost.standing_usd_per_month == pytest.approx(known, abs=0.005) != 0
    assert fleet.cost.total_usd_per_month > fleet.cost.compute_usd_per_month + known
    told = " ".join(fleet_lines(fleet, 0.99))
    assert "in the total, whatever machines run: load balancer in us-east-1" in told


def test_a_cheaper_machine_does_not_pay_for_a_dearer_entrance():
    """Where a cloud's load balancer costs more than its cheaper machine saves, the other cloud's fleet is the plan."""
    offers = offer("g6.xlarge", on_demand=0.80), offer("g2-standard-8", "us-central1", provider="gcp")
    asked = workload(
        providers=("aws", "gcp"), regions=("us-east-1", "us-central1"), purchase=ON_DEMAND,
        demand=DeclaredDemand(0.5, 0.5, 300, 50),
    )  # fmt: skip

    def planned(google_usd):
        sold = (offers[0], replace(offers[1], on_demand=replace(offers[1].on_demand, usd_per_hour=google_usd)))
        return plan_for(asked, catalog_of(*sold)).fleet

    much_cheaper, a_little_cheaper = planned(0.70), planned(0.79)

    assert much_cheaper.groups[0].provider == "gcp"
    assert a_little_cheaper.groups[0].provider == "aws"
    assert a_little_cheaper.cost.compute_usd_per_month > hourly_to_monthly(0.79, 1)


def test_the_fleet_is_confirmed_and_nothing_cheaper_carries_the_planned_rates():
    """There is no gap, and the replay finds enough of the requests within the SLO."""
    fleet = plan_for(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86))).fleet

    assert fleet.gap_ratio == 0
    assert fleet.confirmed.reached
    assert fleet.confirmed.within_slo_ratio >= 0.99


def test_instances_follow_the_hours_of_the_week():
    """Quiet hours run fewer instances than busy ones, which costs less than the busiest hour around the clock."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    asked = workload(purchase=ON_DEMAND, demand=DeclaredDemand(20, 40, 800, 200))

    scheduled = plan_of(asked, catalog, week_of_days(40.0)).fleet
    static = plan_of(replace(asked, scaling=Scaling(scheduled=False)), catalog, week_of_days(40.0)).fleet

    assert list(scheduled.groups[0].instances) == sorted(scheduled.groups[0].instances)
    assert scheduled.groups[0].instances[0] < scheduled.groups[0].instances[-1]
    assert scheduled.cost.total_usd_per_month < 0.8 * static.cost.total_usd_per_month
    assert len(static.hour_classes) == 1
    assert scheduled.static_peak.saved_ratio > 0.29  # quieter hours hold at their planned rates too
    assert scheduled.static_peak.instances == max(scheduled.groups[0].instances)


def test_the_static_peak_keeps_to_the_limits_of_the_fleet():
    """What would run around the clock has the spare of the fleet too: nothing is saved where nothing differs."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    asked = workload(purchase=ON_DEMAND, demand=DeclaredDemand(5, 8, 800, 200), limits=Limits(min_replicas=2, zones=3))
    fleet = plan_of(asked, catalog, None).fleet

    assert fleet.static_peak.instances == fleet.groups[0].instances[-1]
    assert fleet.static_peak.saved_ratio == pytest.approx(0.0)


def test_base_load_is_committed_and_the_shoulder_is_not():
    """Instances of the quiet hours are bought on commitments, those of the busy ones on demand."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    asked = workload(purchase=(Purchase.ON_DEMAND, Purchase.COMMITMENT), demand=DeclaredDemand(20, 40, 800, 200))

    groups = {group.purchase: group for group in plan_of(asked, catalog, week_of_days(40.0)).fleet.groups}

    assert groups["commitment"].instances[0] == groups["commitment"].instances[-1] > 0
    assert 0 < groups["commitment"].break_even_ratio < 1
    assert groups["on_demand"].instances[-1] > groups["on_demand"].instances[0]


def test_a_fleet_whose_types_have_no_price_for_a_commitment_says_so():
    """Commitments are allowed, and others are known to cost less than on demand: only of these machines none is."""
    limits = Limits(commit_without_history=True)
    asked = workload(purchase=(Purchase.ON_DEMAND, Purchase.COMMITMENT), limits=limits)
    dear, cheap = offer("g6e.xlarge", on_demand=90.0), offer("p5.4xlarge", on_demand=1.0)

    noted = [note for note in plan_for(asked, catalog_of(dear, cheap)).notes if "commitment" in note]
    assert noted == ["no price for a commitment is known for p5.4xlarge in us-east-1: on demand is planned"]
    committed = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("p5.4xlarge", on_demand=90.0)))
    assert {group.purchase for group in committed.fleet.groups} == {"commitment"}
    assert not any("commitment" in note for note in committed.notes)


def test_spot_is_spread_so_that_one_pool_can_go():
    """Without any one spot stand's zone the rest still carries the busiest minute, unless requests may wait."""
    catalog = catalog_of(offer("g6e.xlarge", spot=0.7), offer("g5.12xlarge", spot=1.4, on_demand=5.67))
    asked = workload(purchase=EVERY, limits=Limits(zones=2))
    patient = replace(asked, limits=replace(asked.limits, fault_tolerant_ratio=1.0))

    fleet = plan_for(asked, catalog).fleet
    peak = fleet.hour_classes[-1].planned_requests_per_second
    rates = {
        group.name: group.instances[-1] * group.replicas_per_instance * group.requests_per_second_per_replica.value
        for group in fleet.groups
    }
    for group in fleet.groups:
        lost = rates[group.name] / 2 if group.purchase == "spot" else 0.0
        assert sum(rates.values()) - lost >= peak * 0.999
    assert plan_for(patient, catalog).fleet.cost.total_usd_per_month <= fleet.cost.total_usd_per_month


def test_owned_commitments_are_used_first_and_cost_nothing_more():
    """What is paid for already comes before anything that is not."""
    owned = OwnedCommitment("aws", "us-east-1", "g6e.xlarge", 1, dt.date(2027, 6, 1))
    asked = workload(purchase=ON_DEMAND, commitments=(owned,), as_of=dt.date(2026, 11, 24))

    plan = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.4)))

    group = next(group for group in plan.fleet.groups if group.purchase == "owned")
    assert group.instance_usd_per_hour == 0
    use = next(use for use in plan.fleet.constraints if use.name == "owned")
    assert (use.limit, use.used, use.binding) == (1, 1, True)


def test_an_expired_commitment_is_left_out_and_named():
    """A commitment that has run out counts for nothing, and the plan says so."""
    owned = OwnedCommitment("aws", "us-east-1", "g6e.xlarge", 2, dt.date(2026, 1, 1))
    asked = workload(commitments=(owned,), as_of=dt.date(2026, 11, 24))

    plan = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86)))

    assert all(group.purchase != "owned" for group in plan.fleet.groups)
    assert any("2026-01-01" in note for note in plan.notes)


def test_a_commitment_that_ends_within_the_horizon_is_planned_without():
    """The plan is what the fleet costs after it, and the verdict says until when it is paid for."""
    owned = OwnedCommitment("aws", "us-east-1", "g6e.xlarge", 2, dt.date(2026, 12, 10))
    asked = workload(purchase=ON_DEMAND, as_of=dt.date(2026, 12, 1), horizon_days=90)
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))

    plan, without = plan_for(replace(asked, commitments=(owned,)), catalog), plan_for(asked, catalog)

    assert plan.fleet.cost.total_usd_per_month == without.fleet.cost.total_usd_per_month
    (line,) = [line for line in verdict_lines(plan) if line.startswith("Commitment ends")]
    assert "2026-12-10 (10 of the 90 days of demand.horizon)" in line


def test_a_quota_that_is_too_small_is_named_with_what_it_would_have_to_be():
    """No fleet within the quota: the plan names it and the smallest quota that helps, and recommends nothing."""
    quota = QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 4)
    asked = workload(
        purchase=ON_DEMAND, demand=DeclaredDemand(20, 30, 800, 200), limits=Limits(quotas=(quota,))
    )  # fmt: skip

    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    plan = plan_for(asked, catalog)

    assert plan.fleet is None
    assert plan.recommended is None
    assert plan.conflict.constraints == ("quota",)
    (relaxed,) = plan.conflict.relaxations
    assert relaxed.needed > relaxed.limit == 4
    enough = replace(quota, limit=relaxed.needed)
    assert plan_for(replace(asked, limits=Limits(quotas=(enough,))), catalog).fleet is not None


def test_quotas_that_a_fleet_takes_are_counted():
    """Four processors for each g6e.xlarge of the busiest hours, under the code that the provider knows them by."""
    plan = plan_for(workload(purchase=ON_DEMAND), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    (need,) = plan.fleet.quotas

    assert (need.region, need.code, need.unit) == ("us-east-1", "L-DB2E81BA", "vCPUs")
    assert need.needed == 4 * max(plan.fleet.groups[0].instances)
    assert need.account_limit is None


def test_a_stated_quota_is_what_the_account_has():
    """One that is enough while instances are replaced is nothing to raise; one for what runs alone is."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    (need,) = plan_for(workload(purchase=ON_DEMAND), catalog).fleet.quotas

    for limit in (need.needed, need.needed_while_replaced):
        stated = Limits(quotas=(QuotaLimit(need.provider, need.region, need.code, limit),))
        plan = plan_for(workload(purchase=ON_DEMAND, limits=stated), catalog)
        (held,) = plan.fleet.quotas
        first = [line for line in plan_table(plan).splitlines() if "First: raise the quota" in line]

        assert (held.needed, held.most, held.account_limit) == (need.needed, need.needed_while_replaced, limit)
        assert bool(first) == (limit < need.needed_while_replaced)


def test_requests_stay_where_they_may_be_processed():
    """Regions outside the residency are rejected with the country, however cheap they are."""
    catalog = catalog_of(
        offer("g6e.xlarge", "us-east-1", on_demand=1.0), offer("g6e.xlarge", "eu-central-1", on_demand=2.5)
    )

    plan = plan_for(workload(purchase=ON_DEMAND, residency=("EU",)), catalog)

    assert {group.region for group in plan.fleet.groups} == {"eu-central-1"}
    assert any(one.code == "residency" and one.region == "us-east-1" for one in plan.rejected)


def test_users_far_away_are_served_from_near_them_when_the_target_is_tight():
    """With a loose target one cheap region serves everybody; with a tight one each place has its own."""
    catalog = catalog_of(
        offer("g6e.xlarge", "us-east-1", on_demand=1.0), offer("g6e.xlarge", "eu-central-1", on_demand=2.0)
    )
    asked = workload(purchase=ON_DEMAND, users=(("US-east", 0.5), ("DE", 0.5)))
    tight = replace(asked, slo=Slo(ttft_p95_ms=190, tpot_p95_ms=60))

    near_one = plan_for(replace(asked, slo=Slo(ttft_p95_ms=5000, tpot_p95_ms=60)), catalog).fleet
    near_both = plan_for(tight, catalog).fleet

    assert {group.region for group in near_one.groups} == {"us-east-1"}
    assert {group.region for group in near_both.groups} == {"us-east-1", "eu-central-1"}


def test_a_fleet_of_two_regions_pays_load_balancer_and_gateway_in_each_and_logs_once():
    """Parts and standing charges add up to the cent; requests are logged where they are served, and nowhere twice."""
    catalog = catalog_of(
        offer("g6e.xlarge", "us-east-1", on_demand=1.0), offer("g6e.xlarge", "eu-central-1", on_demand=2.0)
    )
    asked = workload(
        purchase=ON_DEMAND, users=(("US-east", 0.5), ("DE", 0.5)), slo=Slo(ttft_p95_ms=190, tpot_p95_ms=60)
    )

    fleet = plan_for(asked, catalog).fleet

    cost, items = fleet.cost, [one.item for one in fleet.standing]
    parts = (
        cost.compute_usd_per_month, cost.disks_usd_per_month, cost.starts_usd_per_month,
        cost.interruptions_usd_per_month, cost.transfer_usd_per_month, cost.switching_usd_per_month,
        cost.standing_usd_per_month,
    )  # fmt: skip
    rate = asked.demand.requests_per_second
    assert {one.region for one in fleet.standing} == {"us-east-1", "eu-central-1"}
    assert items.count("load_balancer") == items.count("log_ingest") == items.count("nat_gateway") == 2
    assert sum(one.quantity for one in fleet.standing if one.item == "log_ingest") == pytest.approx(
        rate * SECONDS_PER_MONTH * BYTES_PER_LOG_LINE / BYTES_PER_GB
    )
    assert round(math.fsum(parts), 2) == cost.total_usd_per_month
    assert round(math.fsum(one.usd_per_month for one in fleet.standing), 2) == cost.standing_usd_per_month


def test_containers_of_a_service_have_no_load_balancer():
    """Containers are reached through their service: no load balancer, disks or downloads, and a gateway while they run."""
    asked = workload(
        providers=("gcp",), regions=("us-central1",), purchase=ON_DEMAND, slo=Slo(tpot_p95_ms=100),
        demand=DeclaredDemand(1 / 3600, 2 / 3600, 800, 200), scaling=Scaling(scale_to_zero=True),
    )  # fmt: skip

    plan = plan_for(asked, load_catalog())
    fleet = plan.fleet

    assert {group.purchase for group in fleet.groups} == {"serverless"}
    assert any(note.startswith("scale_to_zero is used: no container of ") for note in plan.notes)
    assert [one.item for one in fleet.standing] == ["log_ingest", "alarm", "nat_gateway", "public_ip"]
    assert (fleet.cost.disks_usd_per_month, fleet.cost.starts_usd_per_month) == (0, 0)


@pytest.mark.parametrize(
    ("on_demand", "told", "less"),
    [
        (
            2.3,
            "not used: committed instances of g6e.xlarge run at all hours; without them it takes $",
            {"purchase": (Purchase.ON_DEMAND,)},
        ),
        (
            1.0,
            (
                "used: nothing runs in 105 hours a week, in which no request is expected; with instances at all hours, "
                "and commitments, it takes $"
            ),
            {"scaling": Scaling()},
        ),
    ],
)
def test_of_commitments_and_hours_of_nothing_the_cheaper_is_taken(on_demand, told, less):
    """Nine hours a day at $2.30, or all of them committed, which at $1 an hour saves too little.

    A note has the total that the plan has where the other alone is allowed.
    """
    profile = week_of_days(2.0)
    hours = np.arange(24 * 14) % 24
    profile = replace(profile, requests_per_minute=np.repeat(120.0 * ((hours >= 9) & (hours < 18)), 60))
    limits = Limits(commit_beyond_forecast=True, commitment_years=(1, 3))
    asked = workload(
        purchase=(Purchase.ON_DEMAND, Purchase.COMMITMENT), scaling=Scaling(scale_to_zero=True), limits=limits
    )  # fmt: skip
    catalog = catalog_of(offer("g6e.xlarge", on_demand=on_demand))

    plan, other = plan_of(asked, catalog, profile), plan_of(replace(asked, **less), catalog, profile)

    (note,) = (note for note in plan.notes if note.startswith("scale_to_zero"))
    assert note == f"scale_to_zero is {told}{other.fleet.cost.total_usd_per_month:,.2f} a month"
    assert plan.fleet.cost.total_usd_per_month < other.fleet.cost.total_usd_per_month


@pytest.mark.parametrize(("allowed", "told"), [(True, True), (False, False)])
def test_a_fleet_that_never_stops_says_why(allowed, told):
    """Where zero is allowed and a machine runs at all hours, a note gives the reason; otherwise none is due."""
    asked = workload(purchase=ON_DEMAND, scaling=Scaling(scale_to_zero=allowed))
    notes = plan_for(asked, catalog_of(offer("g6e.xlarge", on_demand=1.86))).notes

    expected = (
        "scale_to_zero is not used: requests are expected in every hour of the week, and no service that stops between "
        "requests can serve this"
    )
    assert (expected in notes) == told


def test_a_place_that_nobody_knows_is_refused():
    """An unknown place of users is an error with the nearest names."""
    with pytest.raises(InputError, match="unknown"):
        plan_for(workload(users=(("Atlantis", 1.0),)), catalog_of(offer("g6e.xlarge")))


def test_missing_spot_prices_are_said():
    """Spot was allowed, no price is known: the plan says so and buys on demand."""
    plan = plan_for(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=None)))

    assert {group.purchase for group in plan.fleet.groups} == {"on_demand"}
    assert any("spot" in note for note in plan.notes)


def test_a_carbon_cap_leaves_out_regions_whose_grid_is_not_known():
    """With a cap, a region without a known grid is rejected and never taken for clean."""
    limits = Limits(max_kg_co2e_per_month=1e6)
    catalog = catalog_of(offer("g6e.xlarge", "us-east-1"), offer("g6e.xlarge", "ap-southeast-5", on_demand=0.1))

    plan = plan_for(workload(limits=limits), catalog)

    assert {group.region for group in plan.fleet.groups} == {"us-east-1"}
    assert any(one.code == "carbon_unknown" and one.region == "ap-southeast-5" for one in plan.rejected)
    use = next(use for use in plan.fleet.constraints if use.name == "max_kg_co2e_per_month")
    assert 0 < use.used < 1e6


def test_bursts_need_more_than_their_minutes_show():
    """The replay of a bursty demand asks for headroom that the same demand without bursts does not need."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    asked = workload(purchase=ON_DEMAND, slo=Slo(ttft_p95_ms=700, tpot_p95_ms=60))

    smooth = plan_of(asked, catalog, week_of_days(8.0)).fleet
    bursty = plan_of(asked, catalog, week_of_days(8.0, dispersion=Dispersion(8.0, 40.0))).fleet

    assert bursty.confirmed.reached
    assert bursty.cost.total_usd_per_month > smooth.cost.total_usd_per_month


def test_routing_by_prompt_length_never_costs_more():
    """A router that knows prompt lengths may keep long prompts to some types, or not."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8), offer("p5.4xlarge", on_demand=6.9)
    )
    asked = workload(purchase=ON_DEMAND, demand=DeclaredDemand(5, 8, 800, 200))

    weighted = plan_for(asked, catalog).fleet
    routed = plan_for(replace(asked, routing=Routing.BY_PROMPT_LENGTH), catalog).fleet

    assert routed.cost.total_usd_per_month <= weighted.cost.total_usd_per_month


def test_no_group_is_sent_more_prompts_than_it_is_planned_to_carry():
    """Short prompts kept to a small type are planned at their own rate; the recommendation says what the fleet says."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g7e.2xlarge", on_demand=13.0))
    asked = example("code", routing=Routing.BY_PROMPT_LENGTH, providers=("aws",), regions=())

    served = find_model(asked.model_reference)
    demand = measure_demand(asked, served, None, None)
    question = PlanRequest(asked, served, replace(demand, profile=demand.profile.times(20)))
    market = market_for(question, catalog, shipped_model()).market
    solution = cheapest(market.formulation.problem)
    replayed = market.validator.replayed(market.formulation, solution)
    chosen = Confirmed(solution, market.formulation, replayed)

    fleet = fleet_of(chosen, market.context, market.expected, market.validator)
    groups, peak = fleet.groups, fleet.hour_classes[-1].planned_requests_per_second
    assert len({one.bucket_shares for one in groups}) > 1
    for one in groups:
        received = one.request_shares[-1] * peak / one.instances[-1]
        assert received <= one.planned_requests_per_second_per_instance
    main = max(groups, key=lambda one: one.request_shares[-1])
    best = recommended(chosen, market.context, fleet, ())
    assert best.planned_requests_per_second_per_instance == main.planned_requests_per_second_per_instance


@pytest.mark.parametrize("change", [0.95, 1.05])
def test_a_small_change_of_demand_does_not_flip_the_fleet(change):
    """Five percent more or less keep the stands of the fleet that runs, unless another saves more than it costs."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86), offer("g6e.xlarge", "us-west-2", on_demand=1.859),
        offer("g5.12xlarge", on_demand=5.67), offer("p5.4xlarge", on_demand=6.9),
    )  # fmt: skip
    before = plan_for(workload(purchase=ON_DEMAND), catalog)
    moved = workload(
        purchase=ON_DEMAND,
        demand=DeclaredDemand(5 * change, 8 * change, 800, 200),
        running=tuple(running_of(before).items()),
    )
    fresh = plan_for(replace(moved, running=()), catalog).fleet

    after = plan_for(moved, catalog).fleet

    types_in_region = {(group.region, group.instance_type) for group in after.groups}
    if types_in_region != {(group.region, group.instance_type) for group in before.fleet.groups}:
        assert after.cost.switching_usd_per_month > 0
    assert after.cost.total_usd_per_month - after.cost.switching_usd_per_month >= fresh.cost.total_usd_per_month - 0.01


def test_the_same_question_gives_the_same_fleet():
    """Twice the same question, twice the same fleet."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g5.12xlarge", on_demand=5.67, spot=1.5))

    assert plan_for(workload(purchase=EVERY), catalog).fleet == plan_for(workload(purchase=EVERY), catalog).fleet


def test_of_equally_cheap_precisions_the_first_named_is_taken():
    """Where one instance carries everything in any precision, the one that the workload names first is chosen."""
    small = workload(purchase=ON_DEMAND, demand=DeclaredDemand(0.2, 0.3, 800, 200))
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))

    precisions = [
        plan_for(replace(small, precisions=order), catalog).fleet.groups[0].precision
        for order in (("bf16", "fp8"), ("fp8", "bf16"))
    ]

    assert precisions == ["bf16", "fp8"]


def test_a_demand_without_a_request_is_refused():
    """A profile whose minutes are all zero is an error with its length, not a fleet for nothing."""
    asked = workload(horizon_days=30.0)
    profile = DemandProfile(MONDAY, np.zeros(2880))
    with pytest.raises(InputError, match="0 requests in its 2,880 minutes"):
        plan_of(asked, load_catalog(), profile)


@pytest.mark.sampled(4)
def test_prompts_go_anywhere_where_routing_them_by_length_costs_more():
    """A fleet for each length is dearer here: it is the weighted one that is planned, explained and generated."""
    weighted = example("code", regions=("us-east-1",), providers=("aws",), accelerators=("L40S",))
    by_length = plan_for(replace(weighted, routing=Routing.BY_PROMPT_LENGTH), load_catalog())
    plain = plan_for(weighted, load_catalog())

    assert by_length.fleet.cost.total_usd_per_month <= plain.fleet.cost.total_usd_per_month
    assert by_length.fleet.groups == plain.fleet.groups
    assert by_length.fleet.bucket_max_input_tokens == ()
    assert ANYWHERE_NOTE in by_length.notes
    assert ANYWHERE_NOTE not in plain.notes
    assert routed_as(by_length, read_question(by_length.question, "plan")).workload.routing is Routing.WEIGHTED


@pytest.mark.sampled(4)
def test_a_fleet_that_sends_prompts_of_all_lengths_alike_is_judged_as_one_of_weights():
    """One small and three large machines at one share of every length: no better by length than without."""
    weighted = example(
        "chat", regions=("us-east-1",), providers=("aws",), purchase=ON_DEMAND, precisions=("bf16",),
        instance_types=("g6e.xlarge", "g7e.2xlarge"), limits=Limits(min_replicas=2, simplicity=0.0),
    )  # fmt: skip
    by_length = plan_for(replace(weighted, routing=Routing.BY_PROMPT_LENGTH), load_catalog())
    plain = plan_for(weighted, load_catalog())

    assert by_length.fleet.groups == plain.fleet.groups
    assert by_length.fleet.confirmed == plain.fleet.confirmed
    assert by_length.fleet.bucket_max_input_tokens == ()


@pytest.mark.sampled(4)
def test_layouts_that_another_beats_in_closed_form_are_tried_where_a_replay_asks_for_more():
    """Ten machines of two replicas on pairs hold, by the replay; eight of four replicas do too, which the formula ranks lower."""
    asked = example(
        "code", regions=("us-east-1",), providers=("aws",), purchase=ON_DEMAND, precisions=("bf16",),
        instance_types=("g6e.12xlarge",), limits=Limits(zones=3, simplicity=0.0),
        slo=Slo(ttft_p95_ms=1000.0, tpot_p95_ms=50.0), model="meta-llama/Llama-3.1-8B-Instruct",
    )  # fmt: skip

    (group,) = plan_for(asked, load_catalog()).fleet.groups

    assert (group.tensor_parallel, group.instances) == (1, (8,))
