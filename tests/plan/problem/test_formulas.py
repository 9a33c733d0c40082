"""Hours, money, requests and failures of small fleets, beside numbers that were worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.plan.problem.formulas import (
    Part,
    asks_for_what_is_left,
    base_of,
    base_rate,
    billed_hours_per_month,
    busy_instances,
    instance_usd_per_month,
    least_instances,
    lost_with,
    mix_rate,
    ordered_as,
    paid_hours_per_month,
    quota_units,
    requests_per_month,
    running_as_ordered,
    share_without,
    start_usd_per_month,
    worst_without,
)
from advisor.plan.problem.values import Allocation, PurchaseOption, Tariff
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.problems import pool_of, problem_of

ON_DEMAND, SPOT = Tariff(PurchaseOption.ON_DEMAND, 2.0), Tariff(PurchaseOption.SPOT, 0.5)
STARTS = 365 / 12
"""A month has 365 ÷ 12 days, on each of which the busy hours begin once."""
HALF_OF_THE_HOURS = 365.0


@pytest.mark.parametrize(
    ("limits", "tariffs", "asked"),
    [
        ({}, (ON_DEMAND,), False),
        ({"min_replicas": 2, "survive": Survive.NOTHING}, (ON_DEMAND,), True),
        ({"zones": 2, "survive": Survive.NOTHING}, (ON_DEMAND,), True),
        ({"survive": Survive.INSTANCE}, (ON_DEMAND,), True),
        ({"fault_tolerant_ratio": 0.6}, (ON_DEMAND,), False),
        ({"fault_tolerant_ratio": 0.6}, (ON_DEMAND, SPOT), True),
        ({"fault_tolerant_ratio": 1.0}, (ON_DEMAND, SPOT), False),
        ({"on_demand_base_ratio": 0.3}, (ON_DEMAND,), True),
        ({"on_demand_base_ratio": 0.3, "survive": Survive.INSTANCE}, (ON_DEMAND,), True),
    ],
)
def test_something_is_asked_of_what_is_left_where_a_part_may_fail(limits, tariffs, asked):
    """A machine, a zone or, where anything may be on spot, a supply that has to leave a share of the load."""
    problem = problem_of(pool_of(tariffs=tariffs), limits=Limits(**limits))
    assert asks_for_what_is_left(problem) is asked


@given(
    planned=st.sampled_from([0.2, 1.0, 3.0, 3.1, 8.0]), rate=st.sampled_from([0.5, 1.0, 3.0]), zones=st.integers(1, 4),
    min_replicas=st.integers(1, 4), survive=st.sampled_from([None, *Survive]),
)  # fmt: skip
def test_least_instances_are_those_that_counting_up_finds(planned, rate, zones, min_replicas, survive):
    """All carry the load, all but one carry what has to be left, and there is one for each zone."""
    limits = Limits(zones=zones, min_replicas=min_replicas, survive=survive)
    left = share_without(limits, Part.MACHINE)
    tried = next(
        n
        for n in range(1, 100)
        if n * rate >= planned - 1e-6 and (n - 1) * rate >= left * planned - 1e-6 and n >= zones
    )

    least = least_instances(problem_of(pool_of(), limits=limits), np.array([planned]), np.array([rate]))

    assert least.tolist() == [[tried]]


def test_hours_without_load_are_empty_where_the_fleet_may_be():
    """Only at a rate of nothing, and only where the workload lets replicas go to none."""
    planned, rates = np.array([0.0, 0.5, 4.0]), np.array([2.0])
    pool = pool_of()
    assert least_instances(problem_of(pool), planned, rates).tolist() == [[1, 1, 2]]
    emptied = problem_of(pool, scaling=Scaling(scale_to_zero=True))
    assert least_instances(emptied, planned, rates).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("paid", "more", "hours", "downloads"),
    [
        (PurchaseOption.ON_DEMAND, {}, HALF_OF_THE_HOURS + STARTS * 0.25, 1),
        (PurchaseOption.SPOT, {}, HALF_OF_THE_HOURS + STARTS * 0.25, 1),
        (PurchaseOption.MANAGED, {}, HALF_OF_THE_HOURS + STARTS * 0.25, 1),
        (PurchaseOption.COMMITMENT, {}, HALF_OF_THE_HOURS, 0),
        (PurchaseOption.OWNED, {}, HALF_OF_THE_HOURS, 0),
        (PurchaseOption.SERVERLESS, {}, HALF_OF_THE_HOURS, 0),
        (PurchaseOption.SERVERLESS, {"active_ratios": (0.1, 0.4)}, HALF_OF_THE_HOURS * 0.4, 0),
    ],
)
def test_an_instance_of_the_busy_hours_is_paid_for_its_hours_and_starts(paid, more, hours, downloads):
    """A quarter of an hour ahead of each start, and a download of $3, where it is started at all."""
    tariff = Tariff(paid, 1.5, disk_parts_usd_per_hour=(0.25,), interruption_usd_per_hour=0.125, **more)
    pool = pool_of(tariffs=(tariff,), lead_hours=0.25, start_usd=3.0)
    problem = problem_of(pool, planned=(1.0, 4.0))

    assert billed_hours_per_month(problem, pool, tariff, 1) == pytest.approx(hours)
    assert start_usd_per_month(problem, pool, tariff, 1) == pytest.approx(downloads * STARTS * 3.0)
    assert instance_usd_per_month(problem, pool, tariff, 1) == pytest.approx(1.875 * hours + downloads * STARTS * 3.0)
    assert paid_hours_per_month(problem, Allocation(pool, tariff, (0, 3))) == pytest.approx(3 * hours)


def test_each_start_is_followed_by_a_stop_that_is_paid_for_too():
    """A cluster takes seventeen minutes to let a node go; what runs at all hours never stops."""
    for paid, stops in ((PurchaseOption.ON_DEMAND, STARTS), (PurchaseOption.SPOT, STARTS), (PurchaseOption.OWNED, 0)):
        tariff = Tariff(paid, 1.5, stop_hours=17 / 60)
        pool = pool_of(tariffs=(tariff,), lead_hours=0.25)
        problem = problem_of(pool, planned=(1.0, 4.0))
        hours = HALF_OF_THE_HOURS + stops * (0.25 + 17 / 60)

        assert billed_hours_per_month(problem, pool, tariff, 1) == pytest.approx(hours)
        assert paid_hours_per_month(problem, Allocation(pool, tariff, (0, 3))) == pytest.approx(3 * hours)


def test_requests_of_a_class_are_those_of_its_hours():
    """Five a second on average, in half of the hours of a month."""
    quiet, _ = problem_of(pool_of(), planned=(10.0, 20.0)).hours
    assert requests_per_month(quiet) == pytest.approx(7.0 * 3600 * 365)


@pytest.mark.parametrize(
    ("shares", "rates", "mixed"),
    [
        ((1.0,), (3.5,), 3.5),
        ((1.0,), (0.0,), 0.0),
        ((0.25, 0.75), (2.0, 6.0), 4.0),  # 1 ÷ (0.25 ÷ 2 + 0.75 ÷ 6)
        ((0.25, 0.75), (2.0, 0.0), 2.0),  # the second place is too far
        ((0.25, 0.75), (0.0, 0.0), 0.0),
        ((0.5, 0.5), (1.0, 0.5), 2 / 3),
    ],
)
def test_the_rate_of_a_mix_takes_the_time_of_each_place(shares, rates, mixed):
    """Requests of places take turns: the rate is one over the mean of their times, of the places that are served."""
    pool = pool_of(rate=rates)
    assert mix_rate(problem_of(pool, places=shares), pool) == pytest.approx(mixed)


@pytest.mark.parametrize(
    ("mix", "rates", "share", "busy"),
    [
        # 0.25 of all requests at 2 a second and 0.75 at 6: 0.125 + 0.125 where all come alike
        ((2.0, 6.0), [[], []], [[1.0], [1.0]], 0.25),
        ((2.0, 6.0), [[], []], [[0.5], [0.0]], 0.0625),
        # prompts alike up to a half, at 4 a second; the other half of the short ones, 0.75 × 0.5, at 8
        ((4.0,), [[8.0, 1.0]], [[1.0, 0.5]], 0.5 / 4 + 0.375 / 8),
        # of the long ones, 0.25 × 0.5, at 1
        ((4.0,), [[8.0, 1.0]], [[0.5, 1.0]], 0.5 / 4 + 0.125 / 1),
        # no mix is quick enough, but each length alone is
        ((0.0,), [[8.0, 1.0]], [[1.0, 1.0]], 0.75 / 8 + 0.25 / 1),
        ((0.0,), [[8.0, 0.0]], [[1.0, 0.0]], 0.75 / 8),
        # less than one a second: half of the short ones at 0.5, the others of them at 0.8
        ((0.5,), [[0.8, 0.0]], [[1.0, 0.5]], 0.5 / 0.5 + 0.375 / 0.8),
        # a quarter of the requests at 4 from one place; from the other three quarters of the long ones alone, at 2
        ((4.0, 2.0), [[8.0, 1.0], [3.0, 2.0]], [[1.0, 1.0], [0.0, 0.75]], 0.25 / 4 + 0.75 * 0.25 * 0.75 / 2),
    ],
)  # fmt: skip
def test_busy_instances_by_hand(mix, rates, share, busy):
    """At the rate of the mix as far as lengths come alike, at that of each length beyond."""
    pool = pool_of(rate=mix, rates=rates)
    places, buckets = (1.0,) if len(mix) == 1 else (0.25, 0.75), (0.75, 0.25) if rates[0] else ()
    problem = problem_of(pool, places=places, buckets=buckets)
    assert busy_instances(problem, pool, np.array(share)) == pytest.approx(busy)


def test_a_failure_takes_what_runs_there_in_its_worst_hours():
    """Two on demand and three on spot, in two zones, of which quiet hours run half; hours without load lose nothing."""
    pool = pool_of("x", 2.0, tariffs=(ON_DEMAND, SPOT), zones=2, type_in_region="a/r/x", supply="a/r/L4")
    other = pool_of("y", 1.0, tariffs=(ON_DEMAND,), zones=1, type_in_region="a/r/y")
    problem = problem_of(pool, other, planned=(0.0, 3.0, 10.0))
    allocations = (
        Allocation(pool, ON_DEMAND, (1, 1, 2)),
        Allocation(pool, SPOT, (0, 1, 3)),
        Allocation(other, ON_DEMAND, (0, 0, 1)),
    )

    assert lost_with(problem, allocations, Part.MACHINE, 2) == {"x": 2.0, "y": 1.0}
    assert lost_with(problem, allocations, Part.ZONE, 2) == {
        "a/r": (1 + 2) * 2.0 + 1.0
    }  # 2 and 3 over two zones, and 1
    assert lost_with(problem, allocations, Part.SUPPLY, 2) == {"a/r/L4": 2 * 2.0}  # 3 over two zones
    assert lost_with(problem, allocations, Part.SUPPLY, 0) == {}
    # whole: 2 × 2 = 4 of 3 in quiet hours, 5 × 2 + 1 = 11 of 10 in busy ones; two groups of one may share a zone
    assert worst_without(problem, allocations, Part.ZONE) == {"a/r": (0.0, (1,))}
    assert worst_without(problem, allocations, Part.MACHINE) == {
        "x": (pytest.approx(2 / 3), (1,)),
        "y": (pytest.approx(1.0), (2,)),
    }


def test_hours_that_a_failure_hits_alike_are_all_named():
    """The only machine leaves nothing in any hours with load; what differs by rounding alone is alike."""
    pool = pool_of("x", 0.1, tariffs=(ON_DEMAND,))
    problem = problem_of(pool, planned=(0.0, 0.1, 0.2, 0.3))
    alone, several = [Allocation(pool, ON_DEMAND, counts) for counts in ((1, 1, 1, 1), (9, 2, 4, 4))]

    assert worst_without(problem, [alone], Part.MACHINE) == {"x": (0.0, (1, 2, 3))}
    assert (4 * 0.1 - 0.1) / 0.3 != (2 * 0.1 - 0.1) / 0.1
    assert worst_without(problem, [several], Part.MACHINE) == {"x": (pytest.approx(1.0), (1, 3))}


@pytest.mark.parametrize(
    ("paid", "market", "units"),
    [
        (PurchaseOption.ON_DEMAND, "on_demand", 4.0),
        (PurchaseOption.COMMITMENT, "on_demand", 4.0),
        (PurchaseOption.SPOT, "on_demand", 0.0),
        (PurchaseOption.SPOT, "spot", 8.0),
        (PurchaseOption.MANAGED, "on_demand", 0.0),
    ],
)
def test_an_instance_counts_against_the_quota_of_its_market(paid, market, units):
    """Four units on demand, eight on spot, none of a quota that its family does not count against."""
    pool = pool_of(quotas={("G", "on_demand"): 4.0, ("G", "spot"): 8.0})
    assert quota_units(pool, Tariff(paid, 1.0), ("G", market)) == units
    assert quota_units(pool, Tariff(paid, 1.0), ("P", market)) == 0.0


def test_what_runs_counts_as_it_was_ordered():
    """What is committed was ordered on demand; where nobody says how it is paid for, only the type counts."""
    running = {("a/r/x", "on_demand"): 2, ("a/r/x", "commitment"): 3, ("a/r/x", "spot"): 4}
    pool = pool_of("x", type_in_region="a/r/x")
    told = problem_of(pool, running={"a/r/x": 9}, running_by_purchase=running)
    untold = problem_of(pool, running={"a/r/x": 9})

    assert running_as_ordered(told) == {("a/r/x", "on_demand"): 5, ("a/r/x", "spot"): 4}
    assert running_as_ordered(untold) == {("a/r/x", ""): 9}
    assert ordered_as(told, pool, Tariff(PurchaseOption.OWNED, 0.0)) == ("a/r/x", "on_demand")
    assert ordered_as(untold, pool, SPOT) == ("a/r/x", "")


@pytest.mark.parametrize(("headroom", "alone"), [(2.0, 2.0), (1.0, 4.0), (0.25, 4.0)])
def test_an_instance_carries_no_more_of_a_base_than_by_itself(headroom, alone):
    """Taken to sustain four times as much beside others, it is still one of four a second with all on spot gone."""
    pool = pool_of("a", 4.0, tariffs=(ON_DEMAND, SPOT)).slower(headroom)
    problem = problem_of(pool)

    def base(*counts):
        groups = zip(pool.tariffs, counts, strict=True)
        return base_of(problem, [Allocation(pool, tariff, (count,)) for tariff, count in groups], 0)

    assert base_rate(problem, pool) == alone
    assert base(3, 2) == 3 * alone
    assert base(3, 0) == 3 * mix_rate(problem, pool)  # nothing is on spot: its replay confirms all of it
    assert base(0, 2) == 0


def test_a_base_is_counted_at_what_instances_are_planned_with_up_to_what_a_replay_shows():
    """Places are weighed as for all requests."""
    pool = replace(pool_of("a", (4.0, 2.0), tariffs=(ON_DEMAND, SPOT)), base_rates=np.array([6.0, 3.0]))
    problem = problem_of(pool, places=(0.5, 0.5))
    assert base_rate(problem, pool) == mix_rate(problem, pool) == pytest.approx(8 / 3)  # 1 ÷ (½/4 + ½/2)
    assert base_rate(problem, pool.slower(0.2)) == pytest.approx(4.0)  # 1 ÷ (½/6 + ½/3)
