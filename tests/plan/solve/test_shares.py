"""Weights: one set for the plan, the replay and the generated code."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, PurchaseOption, Tariff
from advisor.plan.solve.objective import answering, transfer_usd_per_month
from advisor.plan.solve.optimise import as_routed
from advisor.plan.solve.shares import (
    counted_instances,
    depends_on_routing,
    planned_rates,
    request_shares,
    sends_anywhere,
    targets,
    weights,
)
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import hours_of, limited, optimise, pool_of, problem_of, problems

ON_DEMAND = Tariff(PurchaseOption.ON_DEMAND, 1.0)
SPOT = Tariff(PurchaseOption.SPOT, 0.3)
few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def fleet_of(*groups, shares=None):
    """A fleet of (pool, instances in each hour class), each on demand unless it says how it is paid."""
    allocations = tuple(Allocation(pool, paid[0] if paid else ON_DEMAND, counts) for pool, counts, *paid in groups)
    return FleetSolution(allocations, shares or {}, 0.0, 0.0, proven=True)


def utilisations(problem, fleet):
    """Busy share of each pool in the busiest hours, from the shares of each place and bucket."""
    of_target, target_of = weights(problem, fleet), targets(fleet)
    buckets = problem.bucket_shares if len(problem.bucket_shares) else np.ones(1)
    found = {}
    for target in set(target_of.values()):
        pools = [one.pool for one in fleet.allocations if target_of[one.pool.key] == target]
        count = sum(one.instances[-1] for one in fleet.allocations if target_of[one.pool.key] == target)
        rates = pools[0].rates if pools[0].rates.size else pools[0].mix_rates[:, None]
        requests = of_target[target] * problem.place_shares[:, None] * buckets * problem.hours[-1].planned_rate
        work = np.divide(requests, rates, out=np.zeros(requests.shape), where=rates > 0).sum()
        found[target] = work / count if count else 0.0
    return found


@few
@given(problems())
def test_shares_are_of_all_requests_wherever_anything_runs(problem):
    """In every hour class with instances the shares of each bucket add up to one, and none is negative."""
    fleet = optimise(problem)
    if isinstance(fleet, Infeasible):
        return
    shares = request_shares(problem, fleet)
    up = np.sum([one.instances for one in fleet.allocations], axis=0) > 0

    assert (np.sum(list(shares.values()), axis=0)[up] == pytest.approx(1.0, abs=1e-6)) or not up.any()
    assert all((share >= 0).all() for share in shares.values())


@few
@given(problems(places=(1,), buckets=(0,)))
def test_the_busiest_hours_are_split_by_capacity_where_requests_are_alike(problem):
    """With one place, no buckets, one price of transfer and nothing to survive every instance is equally busy."""
    pools = tuple(replace(pool, usd_per_request=0.0) for pool in problem.pools)
    problem = replace(problem, pools=pools, limits=replace(problem.limits, fault_tolerant_ratio=1.0))
    fleet = optimise(problem)
    if isinstance(fleet, Infeasible) or not any(one.instances[-1] for one in fleet.allocations):
        return
    busy = [one for target, one in utilisations(problem, fleet).items()]

    assert max(busy) - min(one for one in busy if one > 0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("short", "is_alike"), [((1.6, 0.4), True), ((4.0, 0.4), False)])
def test_prompts_of_all_lengths_have_the_weights_of_the_mix_where_no_other_load_is_more_even(short, is_alike):
    """Where none is faster for some lengths than for the mix, weights follow capacity, the same for every length."""
    small = pool_of("a/r/small", 1.6, rates=[short], type_in_region="a/r/small")
    large = pool_of("a/r/large", 3.9, rates=[(3.9, 3.9)], type_in_region="a/r/large")
    fleet = fleet_of((small, (1,)), (large, (3,)))
    problem = problem_of(small, large, planned=(8.0,), buckets=(0.5, 0.5))
    plain = problem_of(small, large, planned=(8.0,))

    assert sends_anywhere(problem, fleet) is is_alike
    if is_alike:
        (alike,) = {weights(plain, fleet)["a/r/small"].item()}
        assert weights(problem, fleet)["a/r/small"].tolist() == [[alike, alike]]


def test_what_a_failed_instance_leaves_of_its_target_is_as_busy_as_what_any_other_leaves():
    """Three large machines and 21 small ones: a router sends the two that are left what 20 small ones can keep up with."""
    large, small = (
        pool_of("a/r/large", 6.0, type_in_region="a/r/large"),
        pool_of("a/s/small", 0.9, type_in_region="a/s/small"),
    )
    fleet = fleet_of((large, (3,)), (small, (21,)))
    problem = problem_of(large, small, planned=(30.0,), limits=Limits(min_replicas=3))

    of_target = weights(problem, fleet)

    assert of_target["a/r/large"].item() == pytest.approx(2 * 6 / (2 * 6 + 20 * 0.9))
    assert sum(share.item() for share in of_target.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(), (4.0, 1.0)),
        (Limits(survive=Survive.INSTANCE), (3.0, 1.0)),
        (Limits(survive=Survive.ZONE), (2.0, 1.0)),
        (Limits(survive=Survive.NOTHING, min_replicas=2), (4.0, 1.0)),
        (Limits(survive=Survive.NOTHING, zones=3), (3.0, 1.0)),
    ],
)
def test_weights_count_on_what_has_to_be_left(limits, left):
    """One of four, or one of two zones; of a single machine all of it counts, which others stand in for.

    Where only two thirds of the load have to be left, two of four that are have room for three.
    """
    several = pool_of("a/r/several", 2.0, type_in_region="a/r/several", zones=2)
    single = pool_of("a/r/single", 5.0, type_in_region="a/r/single", zones=2)
    fleet = fleet_of((several, (4,)), (single, (1,)))

    kept = counted_instances(problem_of(several, single, planned=(5.0,), limits=limits), fleet)

    assert (kept["a/r/several"].item(), kept["a/r/single"].item()) == pytest.approx(left)


@few
@given(problems(places=(1,), buckets=(0,)))
def test_a_failure_hits_every_target_alike(problem):
    """Each target of several instances is as loaded after the loss of one as any other, whatever the headroom."""
    pools = tuple(replace(pool, usd_per_request=0.0) for pool in problem.pools)
    limits = Limits(survive=Survive.INSTANCE)
    problem = replace(problem, pools=pools, limits=limits)
    fleet = optimise(problem)
    if isinstance(fleet, Infeasible) or not any(group.instances[-1] for group in fleet.allocations):
        return
    of_target, target_of = weights(problem, fleet), targets(fleet)
    rates = {target_of[group.pool.key]: group.pool.mix_rates.item() for group in fleet.allocations}
    count = dict.fromkeys(of_target, 0)
    for group in fleet.allocations:
        count[target_of[group.pool.key]] += group.instances[-1]
    left = {target: (count[target] - 1 or count[target]) * rate for target, rate in rates.items() if count[target]}
    after = [of_target[target].item() / carried for target, carried in left.items()]

    assert max(after) == pytest.approx(min(after))
    slower = replace(problem, pools=tuple(pool.slower(1.3) for pool in problem.pools))
    groups = tuple(replace(group, pool=group.pool.slower(1.3)) for group in fleet.allocations)
    with_headroom = weights(slower, replace(fleet, allocations=groups))
    assert all(share.item() == pytest.approx(with_headroom[target].item()) for target, share in of_target.items())


def highest_after_a_failure(rates, counts):
    """Busy share of the busiest instance without one of each target in turn, at the highest planned rate of 1."""
    pools = [pool_of(f"{at}", rate) for at, rate in enumerate(rates)]
    problem = problem_of(*pools, planned=(1.0,), limits=Limits(survive=Survive.INSTANCE))
    fleet = fleet_of(*((pool, (count,)) for pool, count in zip(pools, counts, strict=True)))
    shares = [weights(problem, fleet)[pool.key].item() for pool in pools]
    highest = 0.0
    for lost in range(len(counts)):
        left = [count - (at == lost) for at, count in enumerate(counts)]
        sent = sum(share for share, count in zip(shares, left, strict=True) if count)
        busy = [share / sent / count / rate for share, count, rate in zip(shares, left, rates, strict=True) if count]
        highest = max(highest, *busy)
    return highest


@few
@given(
    rates=st.lists(st.floats(1, 10), min_size=2, max_size=3, unique=True),
    counts=st.lists(st.integers(2, 5), min_size=3, max_size=3),
    raised=st.integers(0, 1),
)
def test_an_instance_more_leaves_none_busier_after_a_failure(rates, counts, raised):
    """Where no target has one instance alone, whose part the others would take."""
    counts = counts[: len(rates)]
    more = [count + (at == raised) for at, count in enumerate(counts)]

    assert highest_after_a_failure(rates, more) <= highest_after_a_failure(rates, counts) * (1 + 1e-9)


def test_a_second_machine_of_a_target_takes_no_more_from_others_than_the_first():
    """Two targets of one machine count in full, since others take the part of either; two machines of one count as one.

    If one of two large machines fails, the other keeps 80% of all requests beside two small ones of a kind, and 71%
    beside one of them and a weaker one.
    """
    limits = Limits(survive=Survive.INSTANCE)
    small, weak, large = pool_of("small", 1.0), pool_of("weak", 0.6), pool_of("large", 4.0)
    problem = problem_of(small, weak, large, planned=(1.0,), limits=limits)

    of_large = [
        weights(problem, fleet_of(*others, (large, (2,))))["large"].item()
        for others in ([(small, (1,))], [(small, (2,))], [(small, (1,)), (weak, (1,))])
    ]

    assert of_large == pytest.approx([0.8, 0.8, 4 / 5.6])


def test_balancers_that_split_by_what_is_up_count_on_all_instances():
    """Google Cloud's groups take over for each other; hosts that are nodes of a cluster there keep their weights."""
    few, many = pool_of("few", 6.0, type_in_region="gcp/r/few"), pool_of("many", 0.9, type_in_region="gcp/r/many")
    problem = problem_of(few, many, planned=(30.0,), limits=Limits(min_replicas=3))

    assert counted_instances(problem, fleet_of((few, (3,)), (many, (21,))))["few"].item() == 3
    few, many = (replace(pool, on_nodes=True) for pool in (few, many))
    assert counted_instances(problem, fleet_of((few, (3,)), (many, (21,))))["few"].item() == 2


def test_answers_cost_what_the_weights_send_to_each_region():
    """A fleet whose program sent all quiet hours to the cheap region pays for the dear one's part of them."""
    cheap, dear = (
        pool_of("a/r/x", 2.0, type_in_region="a/r/x"),
        pool_of("a/s/x", 2.0, type_in_region="a/s/x", usd_per_request=1e-5),
    )
    problem = problem_of(cheap, dear, planned=(2.0, 4.0))
    sent = {"a/r/x": np.array([1.0, 0.5]), "a/s/x": np.array([0.0, 0.5])}
    fleet = fleet_of((cheap, (1, 1)), (dear, (1, 1)), shares={key: share[:, None, None] for key, share in sent.items()})
    hours = 365
    seconds = 3600 * hours

    routed = as_routed(problem, fleet)

    assert transfer_usd_per_month(problem, fleet.allocations, fleet.shares) == round(1e-5 * 0.5 * 2.8 * seconds, 2)
    assert [routed.shares["a/s/x"][at].item() for at in (0, 1)] == pytest.approx([0.5, 0.5])
    assert transfer_usd_per_month(problem, fleet.allocations, routed.shares) == round(1e-5 * 0.5 * 4.2 * seconds, 2)
    assert not routed.proven
    assert as_routed(problem, fleet_of((cheap, (1, 1)))).proven


def test_pools_that_serve_alike_are_one_target_whatever_is_paid():
    """Sizes of machine and ways of paying do not matter to a load balancer; rates and regions do."""
    small, large = (
        pool_of("a/r/small", 2.0, type_in_region="a/r/small"),
        pool_of("a/r/large", 2.0, type_in_region="a/r/large"),
    )
    fast, away = (
        pool_of("a/r/fast", 4.0, type_in_region="a/r/fast"),
        pool_of("a/s/small", 2.0, type_in_region="a/s/small"),
    )
    fleet = fleet_of((small, (1,)), (small, (3,), SPOT), (large, (1,)), (fast, (1,)), (away, (1,)))
    problem = problem_of(small, large, fast, away, planned=(8.0,))

    assert targets(fleet)["a/r/large"] == "a/r/small"
    assert len(set(targets(fleet).values())) == 3
    shares = request_shares(problem, fleet)
    left = 2.0 * (5 - 1), 4.0, 2.0  # one on spot is interrupted
    assert shares["a/r/small"][0, 0] == pytest.approx(4 / 5 * left[0] / sum(left))
    assert shares["a/r/large"][0, 0] == pytest.approx(1 / 5 * left[0] / sum(left))


@pytest.mark.parametrize(
    ("limits", "paid", "share"),
    [
        (Limits(survive=Survive.NOTHING), (SPOT, SPOT), 12 / 30),
        (Limits(survive=Survive.NOTHING), (SPOT, ON_DEMAND), 12 / 30.9),  # what is on demand is not interrupted
        (Limits(survive=Survive.NOTHING), (ON_DEMAND, ON_DEMAND), 18 / 36.9),
        (Limits(survive=Survive.NOTHING, fault_tolerant_ratio=1.0), (SPOT, SPOT), 18 / 36.9),  # all may wait
        (Limits(survive=Survive.INSTANCE), (SPOT, SPOT), 12 / 30),
    ],
)
def test_weights_follow_what_an_interruption_of_spot_leaves(limits, paid, share):
    """Two large machines could not keep up with what three are sent, whether that is asked of every instance or not."""
    large, small = pool_of("large", 6.0, type_in_region="a/r/large"), pool_of("small", 0.9, type_in_region="a/r/small")
    fleet = fleet_of((large, (3,), paid[0]), (small, (21,), paid[1]))

    found = weights(problem_of(large, small, planned=(25.0,), limits=limits), fleet)

    assert found["large"][0, 0] == pytest.approx(share)


def test_weights_stay_the_same_as_instances_come_and_go():
    """A router has one weight for each target: half of the instances away leave the share of their target."""
    one, other, third = (
        pool_of(name, rate, type_in_region=f"a/r/{name}") for name, rate in (("x", 2.0), ("y", 3.0), ("z", 5.0))
    )
    fleet = fleet_of((one, (2, 2, 2)), (other, (0, 1, 2)), (third, (0, 0, 1)))
    problem = problem_of(one, other, third, planned=(3.0, 6.0, 14.0))

    shares = request_shares(problem, fleet)

    assert shares["x"][:, 0] == pytest.approx([1.0, 4 / 10, 4 / 15])
    assert shares["y"][:, 0] == pytest.approx([0.0, 6 / 10, 6 / 15])
    assert shares["z"][:, 0] == pytest.approx([0.0, 0.0, 5 / 15])


def test_no_paid_group_is_without_load_where_places_differ():
    """What stands by for a failure takes its part too: the least busy is as busy as it can be."""
    near, far = pool_of("n", (4.0, 2.0), type_in_region="a/n/t"), pool_of("f", (2.0, 4.0), type_in_region="a/f/t")
    problem = problem_of(near, far, planned=(4.0,), places=(0.5, 0.5))
    lazy = {"n": np.array([[[1.0], [1.0]]])}
    fleet = fleet_of((near, (2,)), (far, (2,)), shares=lazy)

    busy = utilisations(problem, fleet)

    assert busy["n"] == pytest.approx(0.25)
    assert busy["f"] == pytest.approx(0.25)


def test_a_pool_that_is_too_slow_for_a_place_gets_none_of_it():
    """Requests go only where they can be served in time."""
    near, far = pool_of("n", (4.0, 0.0), type_in_region="a/n/t"), pool_of("f", (0.0, 4.0), type_in_region="a/f/t")
    problem = problem_of(near, far, planned=(4.0,), places=(0.75, 0.25))
    fleet = fleet_of((near, (1,)), (far, (1,)), shares={})

    found = weights(problem, fleet)

    assert found["n"][:, 0] == pytest.approx([1.0, 0.0])
    assert found["f"][:, 0] == pytest.approx([0.0, 1.0])


@few
@given(problems(places=(2,), buckets=(0, 2)))
def test_even_shares_cost_no_more_transfer(problem):
    """Evening out never sends more answers the dear way than the optimiser does in the busiest hours."""
    fleet = optimise(limited(problem))
    if isinstance(fleet, Infeasible) or len({one.pool.key for one in fleet.allocations}) < 2:
        return
    of_target, target_of = weights(problem, fleet), targets(fleet)
    if len(set(target_of.values())) < len(target_of):
        return
    even = {key: np.repeat(of_target[key][None], len(problem.hours), axis=0) for key in target_of}
    busiest = replace(problem, hours=problem.hours[-1:])
    spent, known = (
        transfer_usd_per_month(busiest, fleet.allocations, {key: share[-1:] for key, share in shares.items()})
        for shares in (even, fleet.shares)
    )

    assert spent <= known + 0.02
    assert all(share.min() >= 0 for share in of_target.values())


def test_a_pool_of_all_prompts_is_planned_at_the_rate_of_their_mix():
    """5.5 of each length alone, 3 of the mix: with one kind of instance the router can keep no length to itself."""
    alone = pool_of("n", (3.0,), rates=((5.5, 5.5),))
    problem = problem_of(alone, planned=(8.0,), buckets=(0.5, 0.5))
    fleet = fleet_of((alone, (3,)), shares={"n": np.ones((1, 1, 2))})

    assert planned_rates(problem, fleet) == {"n": pytest.approx(3.0)}


def test_a_pool_of_short_prompts_is_planned_at_their_rate():
    """Each carries its own length alone; no instance is planned at less than the router sends it."""
    short, long = pool_of("s", (0.1,), rates=((4.0, 0.0),)), pool_of("l", (2.0,), rates=((2.0, 3.0),))
    problem = problem_of(short, long, planned=(6.0,), buckets=(0.5, 0.5))
    fleet = fleet_of((short, (1,)), (long, (2,)), shares={})

    rates, sent = planned_rates(problem, fleet), weights(problem, fleet)

    assert rates["s"] == pytest.approx(4.0)
    received = {key: 6.0 * (share @ problem.bucket_shares).item() for key, share in sent.items()}
    assert received["s"] <= rates["s"] * (1 + 1e-6)
    assert received["l"] <= 2 * rates["l"] * (1 + 1e-6)


@few
@given(problems(places=(1, 2), buckets=(0, 2)))
def test_no_instance_is_sent_more_than_it_is_planned_to_carry(problem):
    """In the busiest hours of any fleet; together the instances carry the planned rate."""
    fleet = optimise(limited(problem))
    if isinstance(fleet, Infeasible) or problem.hours[-1].planned_rate == 0:
        return
    rates, sent = planned_rates(problem, fleet), request_shares(problem, fleet)
    counts = {key: sum(one.instances[-1] for one in fleet.allocations if one.pool.key == key) for key in sent}
    for key, share in sent.items():
        received = problem.hours[-1].planned_rate * float(share[-1] @ problem.parts)
        assert received <= counts[key] * rates[key] * (1 + 1e-6) + 1e-6

    assert sum(counts[key] * rates[key] for key in sent) >= problem.hours[-1].planned_rate * (1 - 1e-6)


def test_what_instances_are_planned_to_carry_covers_the_planned_rate():
    """The sum over running instances is no less than the busiest minute."""
    near, far = pool_of("n", (4.0, 2.0), type_in_region="a/n/t"), pool_of("f", (2.0, 4.0), type_in_region="a/f/t")
    problem = problem_of(near, far, hours=hours_of(3.0, 11.0), places=(0.5, 0.5))
    fleet = optimise(problem)

    rates = planned_rates(problem, fleet)

    assert sum(one.instances[-1] * rates[one.pool.key] for one in fleet.allocations) >= 11.0 - 1e-6


def test_hours_in_which_no_weighted_target_runs_are_split_by_capacity():
    """At night two machines run that stand still in the busiest hours: 2 × 2 and 1 × 6 of ten requests."""
    one, other, day = (
        pool_of(name, rate, type_in_region=f"a/r/{name}") for name, rate in (("x", 2.0), ("y", 6.0), ("z", 5.0))
    )
    fleet = fleet_of((one, (2, 0)), (other, (1, 0)), (day, (0, 3)))
    shares = request_shares(problem_of(one, other, day, planned=(3.0, 14.0)), fleet)

    assert shares["x"][:, 0] == pytest.approx([0.4, 0.0])
    assert shares["y"][:, 0] == pytest.approx([0.6, 0.0])
    assert shares["z"][:, 0] == pytest.approx([0.0, 1.0])


def test_targets_of_quieter_hours_weigh_what_they_carry_there():
    """Two machines of the night of 2 beside three of the day of 5: 4 parts and 15, of which each takes all in turn."""
    night, day = (pool_of(name, rate, type_in_region=f"a/r/{name}") for name, rate in (("x", 2.0), ("z", 5.0)))
    fleet = fleet_of((night, (2, 0)), (day, (0, 3)))
    problem = problem_of(night, day, planned=(3.0, 14.0))
    of_target = weights(problem, fleet)

    assert [float(of_target[key][0, 0]) for key in ("x", "z")] == pytest.approx([4 / 19, 15 / 19])
    assert request_shares(problem, fleet)["x"][:, 0] == pytest.approx([1.0, 0.0])


def test_a_pool_that_receives_nothing_is_planned_at_its_mix():
    """Nothing is sent to what is down in the busiest hours; another carries two lengths of prompts."""
    night, day = pool_of("n", (3.0,), rates=((4.0, 2.0),)), pool_of("d", (2.0,), rates=((2.0, 3.0),))
    problem = problem_of(night, day, planned=(1.0, 6.0), buckets=(0.5, 0.5))
    fleet = fleet_of((night, (1, 0)), (day, (0, 4)), shares={})

    assert planned_rates(problem, fleet)["n"] == pytest.approx(3.0)


def test_an_instance_is_planned_for_what_it_receives_where_that_is_more():
    """Two machines for a quarter and three quarters of the places: each is planned for no less than its part of six."""
    near, far = pool_of("n", (4.0, 0.0), type_in_region="a/n/t"), pool_of("f", (0.0, 4.0), type_in_region="a/f/t")
    problem = problem_of(near, far, planned=(6.0,), places=(0.75, 0.25))
    rates = planned_rates(problem, fleet_of((near, (1,)), (far, (1,)), shares={}))

    assert rates == {"n": pytest.approx(4.5), "f": pytest.approx(4.0)}


def test_without_a_load_weights_are_by_capacity():
    """Places and lengths make no difference to requests that are not there."""
    near, far = pool_of("n", (4.0, 1.0), type_in_region="a/n/t"), pool_of("f", (1.0, 4.0), type_in_region="a/f/t")
    fleet = fleet_of((near, (3,)), (far, (1,)), shares={})
    for planned, alike in ((0.0, True), (0.5, False)):
        sent = weights(problem_of(near, far, planned=(planned,), places=(0.5, 0.5)), fleet)
        assert (sent["n"][:, 0] == pytest.approx([0.75, 0.75])) is alike


@pytest.mark.parametrize(
    ("regions", "charges", "depends"),
    [
        (("r",), {"a/r": 1}, False),
        (("r", "s"), {"a/r": 1}, True),
        (("r", "s"), {}, False),
        (("r", "s", "t"), {"a/s": 1}, True),
    ],
)
def test_cost_depends_on_routing_where_regions_charge(regions, charges, depends):
    """What one region charges for requests, another may not; in one region all of them are charged alike."""
    pools = [pool_of(region, 2.0, type_in_region=f"a/{region}/t") for region in regions]
    problem = problem_of(*pools, charges=charges)
    assert depends_on_routing(problem, fleet_of(*((pool, (1,)) for pool in pools))) is depends


@pytest.mark.parametrize("part", [0.0, 0.04841, 0.25, 0.5, 1.0])
def test_answers_of_one_region_cost_the_same_however_they_are_split(part):
    """They leave it at one price: their bytes are rounded to the cent once."""
    small = pool_of("a/r/x", 1.0, type_in_region="a/r/x", usd_per_request=1.7e-6)
    large = pool_of("a/r/y", 8.0, type_in_region="a/r/y", usd_per_request=1.7e-6)
    problem = problem_of(small, large, planned=(20.16,))
    shares = {"a/r/x": np.full((1, 1, 1), part), "a/r/y": np.full((1, 1, 1), 1 - part)}
    allocations = fleet_of((small, (1,)), (large, (3,)), shares=shares).allocations
    whole = fleet_of((large, (3,)), shares={"a/r/y": np.ones((1, 1, 1))})

    assert [len(pools) for pools in answering(allocations, shares)] == [2]
    assert transfer_usd_per_month(problem, allocations, shares) == transfer_usd_per_month(
        problem, whole.allocations, whole.shares
    )
