"""A fleet of one pool in closed form: what the program finds for that pool and tariff alone."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, PurchaseOption, Tariff
from advisor.plan.solve.alone import ROUNDING, Missed, alone, cheapest_counts
from advisor.plan.solve.neighbours import keeps_to_all
from advisor.plan.solve.scopes import cheapest
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.problems import LIMITS, everything, hours_of, optimise, pool_of, problem_of, problems

NEARLY = 1 - 1e-6
"""A load is carried but for the rounding of its sum."""
CENTS = 0.06
"""Every part is rounded to the cent, and the search stops half a cent before the end."""
MANAGED = (("small", 1.0), ("large", 4.0))
"""Instances of an endpoint, with their requests per second and USD an hour."""
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def may_be_kept_busy(problem, pool):
    """Whether routing by length would sustain less: the program alone commits to more by keeping instances busy so."""
    with np.errstate(divide="ignore"):
        apart = (problem.bucket_shares / pool.rates).sum(axis=1) if pool.rates.size else np.zeros(1)
        return bool((apart > 1 / pool.mix_rates + ROUNDING).any())


def check(problem):
    """Each pool and tariff alone costs what the program says of it, or is infeasible there too."""
    for pool in problem.pools:
        for tariff in pool.tariffs:
            if tariff.paid is PurchaseOption.OWNED or (
                tariff.paid is PurchaseOption.COMMITMENT and may_be_kept_busy(problem, pool)
            ):
                continue
            only = replace(problem, pools=(replace(pool, tariffs=(tariff,)),))
            found, expected = alone(problem, pool, tariff), optimise(only)
            assert isinstance(found, FleetSolution) == isinstance(expected, FleetSolution), (pool, tariff, found)
            if isinstance(found, FleetSolution) and isinstance(expected, FleetSolution):
                assert abs(found.objective_usd_per_month - expected.objective_usd_per_month) <= CENTS
                assert not isinstance(found, Missed)


def test_a_commitment_that_is_used_too_little_is_refused_with_whole_instances():
    """What the low edge of the forecast keeps busy for long enough is a number of instances that could be committed."""
    tariff = Tariff(PurchaseOption.COMMITMENT, 1.0, break_even_ratio=0.85)
    pool = pool_of(rate=1.0, tariffs=(tariff,))
    for planned, allowed in (((1.0, 4.0), 2.0), ((0.1, 4.0), 1.0), ((8.0, 16.0), 8.0)):
        missed = alone(problem_of(pool, planned=planned), pool, tariff)
        assert isinstance(missed, Missed)
        assert (missed.needed, missed.available) == (max(planned), allowed), planned


def test_a_managed_endpoint_keeps_an_instance_where_nothing_has_to_run():
    """Machines stop without requests where that is allowed; a variant of an endpoint has one at all hours."""
    for paid, instances in ((PurchaseOption.ON_DEMAND, (0, 4)), (PurchaseOption.MANAGED, (1, 4))):
        pool = pool_of(tariffs=(Tariff(paid, 1.0),))
        problem = problem_of(pool, planned=(0.0, 4.0), scaling=Scaling(scale_to_zero=True))
        for fleet in (alone(problem, pool, pool.tariffs[0]), optimise(problem), cheapest(problem)):
            assert [group.instances for group in fleet.allocations] == [instances]


def test_each_group_of_a_managed_endpoint_keeps_an_instance():
    """Beside others too: a cheaper mix with a group that starts for the busy hours alone is no endpoint."""
    small, large = (pool_of(name, rate, tariffs=(Tariff(PurchaseOption.MANAGED, rate),)) for name, rate in MANAGED)
    problem = problem_of(small, large, planned=(1.0, 5.0))
    for fleet in (optimise(problem), cheapest(problem)):
        assert all(min(group.instances) for group in fleet.allocations)
        assert fleet.objective_usd_per_month == pytest.approx(optimise(problem).objective_usd_per_month)
    gone = FleetSolution(
        (Allocation(small, small.tariffs[0], (1, 1)), Allocation(large, large.tariffs[0], (0, 1))),
        {},
        0.0,
        0.0,
        proven=False,
    )
    assert not keeps_to_all(problem, gone)


@pytest.mark.parametrize("rate", [1.0, 1e6, 1e12])
def test_the_smallest_load_has_an_instance_beside_the_one_that_may_fail(rate):
    """However little of an instance a load takes, one that is left alone does not survive."""
    tariff = Tariff(PurchaseOption.ON_DEMAND, 1.0)
    pool = pool_of(rate=rate, tariffs=(tariff,))
    fleet = alone(problem_of(pool, planned=(0.05, 0.1), limits=Limits(survive=Survive.INSTANCE)), pool, tariff)
    assert fleet.allocations[0].instances == (2, 2)


@many
@given(data=st.data())
def test_equals_the_program_under_each_limit(data):
    """Whatever the limit, the closed form gives the optimum of the pool alone."""
    family = data.draw(st.sampled_from(sorted(LIMITS)))
    check(data.draw(problems(LIMITS[family])))


@many
@given(problems(everything))
def test_equals_the_program_under_all_limits(problem):
    """All limits together."""
    check(problem)


@many
@given(problems(everything, paid=(PurchaseOption.ON_DEMAND, PurchaseOption.SERVERLESS)), st.sampled_from((0.1, 0.5)))
def test_a_service_equals_the_program_too(problem, active):
    """What is paid for the share of the time in which it runs, with hours without requests."""
    ratios = tuple(active * (at + 1) / len(problem.hours) for at in range(len(problem.hours)))
    pools = tuple(
        replace(
            pool,
            tariffs=tuple(
                replace(one, active_ratios=ratios) if one.paid is PurchaseOption.SERVERLESS else one
                for one in pool.tariffs
            ),
        )
        for pool in problem.pools
    )
    check(replace(problem, pools=pools))


def least_by_trying(limits, pool, paid, planned):
    """Instances that keep to limits at a rate, one more tried at a time; None: no number does."""
    survival = limits.survival
    without_machine = max(1 - 1 / limits.min_replicas, survival is not Survive.NOTHING)
    without_zone = max(1 - 1 / limits.zones, survival is Survive.ZONE)
    without_supply = 1 - limits.fault_tolerant_ratio if paid is PurchaseOption.SPOT else 0
    spread = max(without_zone, without_supply)
    if (paid is PurchaseOption.SPOT and limits.on_demand_base_ratio) or (spread and pool.zones < max(limits.zones, 2)):
        return None
    (rate,) = pool.mix_rates

    def holds(count):
        left_of_zones = count - -(-count // pool.zones)
        return (
            count * rate >= planned * NEARLY
            and count >= limits.zones
            and count * pool.replicas >= limits.min_replicas
            and (count - 1) * rate >= without_machine * planned * NEARLY
            and (not spread or left_of_zones * rate >= spread * planned * NEARLY)
        )

    return next(filter(holds, range(1, 1000)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_counts_are_the_least_that_keep_to_every_limit(data):
    """However a pool may fail, no class has an instance more than trying one after the other finds."""
    limits = Limits(
        min_replicas=data.draw(st.integers(1, 5)),
        zones=data.draw(st.integers(1, 3)),
        survive=data.draw(st.sampled_from([None, *Survive])),
        fault_tolerant_ratio=data.draw(st.sampled_from([0.0, 0.25, 1.0])),
        on_demand_base_ratio=data.draw(st.sampled_from([0.0, 0.5])),
        max_replicas=data.draw(st.sampled_from([None, 6])),
    )
    paid = data.draw(st.sampled_from([PurchaseOption.ON_DEMAND, PurchaseOption.SPOT]))
    tariff = Tariff(paid, 1.0)
    pool = pool_of(
        rate=data.draw(st.sampled_from([0.7, 1.0, 3.0])), tariffs=(tariff,), replicas=data.draw(st.integers(1, 3)),
        zones=data.draw(st.integers(1, 4)),
    )  # fmt: skip
    planned = sorted(data.draw(st.lists(st.sampled_from([1e-8, 0.4, 1.0, 2.0, 5.5, 9.0]), min_size=1, max_size=3)))
    counts = [least_by_trying(limits, pool, paid, rate) for rate in planned]

    fleet = alone(problem_of(pool, planned=planned, limits=limits), pool, tariff)

    if (
        limits.max_replicas is not None
        and planned[-1] / pool.mix_rates[0] * pool.replicas > limits.max_replicas / NEARLY
    ):
        assert fleet.constraint in (
            Constraint.MAX_REPLICAS,
            Constraint.ON_DEMAND_BASE,
            Constraint.ZONES,
            Constraint.SPOT_REROUTE,
        )
        assert fleet.needed > fleet.available or fleet.constraint is Constraint.ON_DEMAND_BASE
    elif None in counts:
        assert isinstance(fleet, Missed)
        assert (fleet.needed, fleet.available) in (
            (max(limits.zones, 2), pool.zones), (limits.on_demand_base_ratio, 0.0),
        )  # fmt: skip
    else:
        assert fleet.allocations[0].instances == tuple(counts)


@settings(max_examples=300, deadline=None)
@given(classes=st.lists(st.tuples(st.integers(0, 4), st.floats(-5, 5)), min_size=1, max_size=4))
def test_counts_cost_as_little_as_any_that_never_fall(classes):
    """Where running may be worth money, the cheapest counts that never fall are those that trying all of them finds."""
    fewest, usd = zip(*classes, strict=True)
    levels = sorted(set(fewest))
    allowed = [
        counts
        for counts in itertools.combinations_with_replacement(levels, len(fewest))
        if all(count >= least for count, least in zip(counts, fewest, strict=True))
    ]

    counts = cheapest_counts(fewest, usd)

    assert counts in allowed
    cost = sum(count * each for count, each in zip(counts, usd, strict=True))
    assert cost <= min(sum(c * each for c, each in zip(other, usd, strict=True)) for other in allowed) + 1e-9


def commitment(planned, low, min_replicas, break_even=0.5, **more):
    """What a commitment for a pool of one request per second comes to, with a low edge of that share of the load."""
    tariff = Tariff(PurchaseOption.COMMITMENT, 1.0, break_even_ratio=break_even)
    pool = pool_of(rate=1.0, tariffs=(tariff,))
    limits = Limits(min_replicas=min_replicas, survive=Survive.NOTHING)
    return alone(problem_of(pool, hours=hours_of(*planned, low=low), limits=limits, **more), pool, tariff)


@pytest.mark.parametrize(
    ("load", "count"),
    [
        (1.0, 2),  # one is spare, the other in use
        (1.0, 5),  # one is spare, and three beyond twice the load
        (1.2, 4),  # one and one beyond 2.4: two are in use for 1.2, which keeps a second one busy for a part
        (1.2, 5),
        (4.0, 5),
    ],
)
def test_what_is_spare_at_any_load_may_be_committed(load, count):
    """One, and what runs beyond twice the load of the busiest hours, is there whether the forecast holds or not."""
    fleet = commitment((load, load), 1.0, count, break_even=1.0)
    assert isinstance(fleet, FleetSolution)
    assert fleet.allocations[0].instances == (count, count)
    assert fleet.proven


@pytest.mark.parametrize(
    ("load", "low", "count", "allowed"),
    [
        (2.2, 1.0, 6, 4),  # spare: one, and one beyond 4.4; four are left for 2.2, which keeps three busy
        (2.2, 1.0, 5, 4),  # spare: one
        (2.2, 0.5, 4, 2),  # the fourth is spare, the third is not: 1.1 keeps two busy
        (4.0, 0.0, 4, 0),
        (4.0, 0.25, 4, 1),  # nothing is spare: one request per second keeps one busy
    ],
)
def test_what_the_low_edge_keeps_idle_may_not_be_committed(load, low, count, allowed):
    """Beyond the spare, no more is committed than is busy in the busiest hours at the low edge of the forecast."""
    missed = commitment((load, load), low, count)
    assert missed == Missed(Constraint.COMMITMENT_LOW_BAND, float(count), float(allowed), "instances")
    assert isinstance(commitment((load, load), low, count, low_band=False), FleetSolution)


@pytest.mark.parametrize(("break_even", "refused"), [(0.74, False), (0.76, True)])
def test_a_commitment_is_used_for_its_break_even_time(break_even, refused):
    """Two beyond no spare: both in busy hours, one in quiet ones, which is three quarters of all their hours."""
    fleet = commitment((1e-7, 2.0), 1.0, 1, break_even)
    assert isinstance(fleet, Missed) is refused


def test_a_pool_that_is_too_far_for_some_users_is_no_fleet():
    """Nothing of the load of those who are too far is carried."""
    pool = pool_of(rate=(1.0, 0.0))
    assert alone(problem_of(pool, planned=(2.0, 3.0), places=(0.5, 0.5)), pool, pool.tariffs[0]) == Missed(
        Constraint.DEMAND, 2.0, 0.0, "requests/s"
    )


@pytest.mark.parametrize(("scaling", "counts"), [(Scaling(scale_to_zero=True), (0, 1, 4)), (Scaling(), (1, 1, 4))])
def test_hours_without_requests_are_empty_where_they_may_be(scaling, counts):
    """However few requests other hours have, something runs in them."""
    pool = pool_of(rate=1.0)
    fleet = alone(problem_of(pool, planned=(0.0, 0.5, 4.0), scaling=scaling), pool, pool.tariffs[0])
    assert fleet.allocations[0].instances == counts


def test_replicas_that_are_too_many_are_told_in_whole_ones():
    """A load of 2.5 machines of three replicas takes 7.5 of them; a millionth of a replica is none."""
    pool = pool_of(rate=2.0, replicas=3)
    missed = alone(problem_of(pool, planned=(5.0,), limits=Limits(max_replicas=7)), pool, pool.tariffs[0])
    assert missed == Missed(Constraint.MAX_REPLICAS, 8, 7, "replicas")
    single = pool_of(rate=1.0)
    limits = Limits(max_replicas=5)
    for planned, allowed in ((5 + ROUNDING, True), (5 + 2 * ROUNDING, False)):
        fleet = alone(problem_of(single, planned=(planned,), limits=limits), single, single.tariffs[0])
        assert isinstance(fleet, FleetSolution) is allowed


@pytest.mark.parametrize(("load", "count"), [(3.0, 3), (3 + 0.5e-6, 3), (3 + 1.5e-6, 4), (0.5e-6, 1)])
def test_no_more_than_a_millionth_of_an_instance_is_rounding(load, count):
    """The error of a sum takes no instance, a load however small does."""
    pool = pool_of(rate=1.0)
    fleet = alone(problem_of(pool, planned=(load,)), pool, pool.tariffs[0])
    assert fleet.allocations[0].instances == (count,)


@pytest.mark.parametrize(
    ("paid", "limits", "lost"),
    [
        (PurchaseOption.ON_DEMAND, {"zones": 2}, Constraint.ZONES),
        (PurchaseOption.SPOT, {"zones": 2}, Constraint.SPOT_REROUTE),  # all of a supply, half of a zone
        (PurchaseOption.SPOT, {"survive": Survive.ZONE}, Constraint.SPOT_REROUTE),  # all of either
        (PurchaseOption.SPOT, {"survive": Survive.ZONE, "fault_tolerant_ratio": 0.5}, Constraint.ZONES),
        (PurchaseOption.ON_DEMAND, {"survive": Survive.ZONE, "fault_tolerant_ratio": 0.5}, Constraint.ZONES),
    ],
)
def test_a_type_of_one_zone_misses_the_limit_that_asks_most(paid, limits, lost):
    """Where both ask for as much it is the one of the supply."""
    tariff = Tariff(paid, 1.0)
    pool = pool_of(tariffs=(tariff,), zones=1)
    missed = alone(problem_of(pool, planned=(4.0,), limits=Limits(**limits)), pool, tariff)
    assert missed == Missed(lost, 2.0, 1.0, "zones")


def test_spot_carries_no_base_and_needs_none_without_a_load():
    """A share of nothing is nothing."""
    tariff = Tariff(PurchaseOption.SPOT, 1.0)
    pool, limits = pool_of(tariffs=(tariff,), zones=2), Limits(on_demand_base_ratio=0.5)
    idle, busy = (alone(problem_of(pool, planned=(rate,), limits=limits), pool, tariff) for rate in (0.0, 0.5))
    assert isinstance(idle, FleetSolution)
    assert busy == Missed(Constraint.ON_DEMAND_BASE, 0.5, 0.0, "share of requests")


def test_the_base_is_counted_at_the_rate_of_the_mix():
    """Routing by length halves the instances for three requests a second; those of the base are not routed."""
    pool = pool_of(rate=1.0, rates=[[2.0, 2.0]])
    for ratio, count in ((0.5, 2), (0.9, 3)):
        limits = Limits(on_demand_base_ratio=ratio)
        fleet = alone(problem_of(pool, planned=(3.0,), buckets=(0.5, 0.5), limits=limits), pool, pool.tariffs[0])
        assert fleet.allocations[0].instances == (count,)


@pytest.mark.parametrize(("kw", "allowed"), [(2.0, True), (2.0 + 0.5e-6, True), (2.1, False)])
def test_a_cap_is_kept_to_a_millionth(kw, allowed):
    """Four machines of half that power, against 4 kW."""
    pool = pool_of(takes={Constraint.POWER: kw / 2})
    fleet = alone(problem_of(pool, planned=(4.0,), limits=Limits(max_kw=4.0)), pool, pool.tariffs[0])
    if allowed:
        assert isinstance(fleet, FleetSolution)
    else:
        assert fleet == Missed(Constraint.POWER, pytest.approx(2 * kw), 4.0, "kW")
