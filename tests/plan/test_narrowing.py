"""Which measurement would settle a close decision."""

from dataclasses import replace

import pytest

from advisor.performance import Interval
from advisor.pipeline import plan_for
from advisor.plan.build import measure_first
from advisor.plan.values import CurrentCost
from advisor.workload.values import Limits, Survive
from builders import catalog_of, offer, workload

RATE = 100.0
"""Requests per second of the busiest hours, which ten instances carry."""
CATALOG = catalog_of(offer())
"""In which no second option is."""


@pytest.fixture(scope="module")
def two_options():
    """Two options of one plan, on other accelerators and at the same total."""
    options = plan_for(workload(), CATALOG).options
    first = options[0]
    second = replace(first, rank=2, accelerator="MI300X", instance_type="other")
    return first, second


def changed(option, *, usd=1000.0, spread=0.0, hourly=1.0, evidence="roofline"):
    """An option at a total, whose rate may be so much higher or lower."""
    rate = Interval(10.0, 10.0 * (1 - spread), 10.0 * (1 + spread))
    cost = replace(option.cost, total_usd_per_month=usd, instance_usd_per_hour=hourly)
    predicted = replace(option.predicted, requests_per_second_per_replica=rate)
    return replace(
        option, instances=10, cost=cost, predicted=predicted, evidence=evidence,
        planned_requests_per_second_per_instance=RATE / 10,
    )  # fmt: skip


def compared(*options):
    """The measurement to make where the first of the options is recommended."""
    return measure_first(options[0], options, Limits(), RATE, CATALOG)


def test_options_far_apart_need_no_measurement(two_options):
    """A rival that is dearer at its best than the recommendation at its worst changes nothing."""
    first, second = two_options
    assert compared(changed(first, spread=0.2), changed(second, usd=2000.0, spread=0.2)) is None


def test_the_cheaper_machine_is_measured(two_options):
    """Of two options too close to call the one that costs less by the hour is put under load."""
    first, second = two_options
    found = compared(changed(first, spread=0.3, hourly=3.0), changed(second, usd=1200.0, spread=0.3, hourly=2.0))
    assert (found.rank, found.rival_rank, found.usd) == (2, 2, 2.0)
    assert found.rival_usd_per_month_low < found.recommended_usd_per_month_high


@pytest.mark.parametrize("purchase", ["commitment", "spot", "on_demand", "owned"])
def test_a_machine_is_rented_on_demand_for_the_measurement(two_options, purchase):
    """A commitment is not bought for an hour, nor a measurement left to interruptions; an own machine costs nothing."""
    first, second = (replace(changed(option, spread=0.3, hourly=0.01), purchase=purchase) for option in two_options)
    on_demand = CATALOG.offers[0].on_demand.usd_per_hour
    is_rented = purchase in ("commitment", "spot")

    assert compared(first, replace(second, evidence="measured")).usd == round(on_demand if is_rented else 0.01, 2)


def test_data_transfer_is_the_same_for_any_number_of_instances(two_options):
    """A rival of half the machines saves half of what machines cost, and nothing of what is sent to the users."""
    first, second = (changed(option, usd=10_000.0, spread=0.3) for option in two_options)
    second = replace(second, cost=replace(second.cost, transfer_usd_per_month=9000.0, standing_usd_per_month=500.0))
    found = compared(first, second)
    assert found.rival_usd_per_month_low == pytest.approx(9500 + 500 * 8 / 10)


def test_no_measurement_is_named_where_none_would_tell(two_options):
    """Of a model that answers in one pass the closest rival is told, without an option to put under load."""
    close = [changed(option, spread=0.3) for option in two_options]
    told = measure_first(close[0], close, Limits(), RATE, None)
    assert (told.rank, told.hours, told.usd, told.rival_rank) == (None, None, None, 2)


@pytest.mark.parametrize("limits", [Limits(), Limits(min_replicas=2, survive=Survive.INSTANCE)])
def test_one_instance_is_the_least_and_the_spare_one_stays(two_options, limits):
    """However fast a replica may be, a fleet has whole instances, and as many as failures ask for."""
    first, second = two_options
    few = 1 if limits.survive is None else 2
    pair = [replace(changed(one, usd=usd, spread=0.3), instances=few) for one, usd in ((first, 1000), (second, 1200))]
    measurement = measure_first(pair[0], pair, limits, RATE * 0.1, CATALOG)
    assert measurement is None or measurement.rival_usd_per_month_low == 1200


def test_what_was_measured_is_not_measured_again(two_options):
    """The one whose own set-up was measured stands; with both measured there is nothing to do."""
    first, second = two_options
    pair = [changed(first, spread=0.3, hourly=3.0), changed(second, spread=0.3, hourly=2.0, evidence="measured")]
    assert compared(*pair).rank == 1
    assert compared(*(replace(one, evidence="measured") for one in pair)) is None


def test_another_machine_with_the_same_accelerator_is_no_rival(two_options):
    """One accelerator in one precision is one measurement, whatever machine it sits in."""
    first, second = two_options
    same = replace(second, accelerator=first.accelerator)
    assert compared(changed(first, spread=0.3), changed(same, spread=0.3)) is None
    assert measure_first(None, [], Limits(), RATE, CATALOG) is None


@pytest.mark.parametrize("decisive", [0, 1])
def test_the_one_whose_bounds_decide_is_measured(two_options, decisive):
    """A fleet whose cost no rate changes is not worth a measurement, however cheap an hour of it is."""
    pair = [changed(option, usd=usd, spread=0.3) for option, usd in zip(two_options, (1000.0, 1100.0), strict=True)]
    fixed = pair[1 - decisive].cost
    fixed = replace(fixed, standing_usd_per_month=fixed.total_usd_per_month, transfer_usd_per_month=0.0)
    pair[1 - decisive] = replace(pair[1 - decisive], cost=replace(fixed, instance_usd_per_hour=0.5))
    measurement = compared(*pair)

    assert (measurement.rank, measurement.usd) == (pair[decisive].rank, 1.0)


def test_a_measurement_of_what_runs_today_costs_nothing(two_options):
    """Of two that decide it is the one to take, whatever its price."""
    first, second = (changed(each, spread=0.3, hourly=usd) for each, usd in zip(two_options, (1, 9), strict=True))
    current = CurrentCost(second.provider, second.region, second.instance_type, "on_demand", 3, 9.0, 20_000.0)
    measurement = measure_first(first, (first, second), Limits(), RATE, CATALOG, current)
    elsewhere = replace(current, region="elsewhere")

    assert (measurement.rank, measurement.usd) == (2, 0.0)
    assert measure_first(first, (first, second), Limits(), RATE, CATALOG, elsewhere).rank == 1


def test_a_mix_is_measured_by_its_main_type(two_options):
    """Rank 0 is the main type of a recommended mix, which no option of the table stands for."""
    first, second = two_options
    mix = replace(changed(first, spread=0.3), rank=0, groups=2)
    measurement = measure_first(mix, [changed(second, usd=1200.0, spread=0.3, hourly=2.0)], Limits(), RATE, CATALOG)
    assert (measurement.rank, measurement.rival_rank) == (0, 2)


def test_a_rival_on_spot_keeps_what_takes_over_where_spot_is_withdrawn(two_options):
    """However fast a replica may be, no rival of one instance: what is withdrawn in a zone leaves nothing."""
    first, second = (changed(option, usd=10_000.0, spread=0.95) for option in two_options)
    cost = replace(second.cost, transfer_usd_per_month=0.0, standing_usd_per_month=0.0)
    one, spot = (replace(second, zones=3, purchase=paid, cost=cost) for paid in ("on_demand", "spot"))

    assert measure_first(first, (first, one), Limits(), 10.0, CATALOG).rival_usd_per_month_low == 1000.0
    assert measure_first(first, (first, spot), Limits(), 10.0, CATALOG).rival_usd_per_month_low == 2000.0
    survives = Limits(survive=Survive.ZONE)
    assert measure_first(first, (first, one), survives, 10.0, CATALOG).rival_usd_per_month_low == 2000.0
