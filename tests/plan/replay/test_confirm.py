"""Fleets that their replays confirm, against every fleet of few instances, each replayed."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog.values import Purchase
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import Dispersion, Requests
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.groups import name_of, routes_of
from advisor.plan.replay.trials import Trials, largest
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.simple import complexity
from advisor.workload.values import DeclaredDemand, Limits, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of, with_pools
from plan.fleet.problems import optimise
from plan.fleet.test_choose import week_of_days
from plan.replay.reference import make_steps

ON_DEMAND = (Purchase.ON_DEMAND,)
MOST = 5
CATALOG = catalog_of(
    offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8), offer("p5.4xlarge", on_demand=6.9),
    offer("g5.xlarge", on_demand=1.0),
)  # fmt: skip
SHORT = {"rehearsed_requests": 3_000, "holds_up_to": False}


def asked_of(rate=8.0, ttft_ms=700, **changes):
    """A chat workload on demand in one precision, so that there are few pools."""
    default = {
        "purchase": ON_DEMAND,
        "precisions": ("fp8", "bf16"),
        "slo": Slo(ttft_p95_ms=ttft_ms, tpot_p95_ms=60),
        "demand": DeclaredDemand(rate, rate, 1200, 200),
    }
    return workload(**(default | changes))


def flat(rate, dispersion, minutes=60):
    """A profile of equal minutes, as bursty as said."""
    profile = week_of_days(rate)
    return replace(profile, requests_per_minute=np.full(minutes, round(rate * 60.0)), dispersion=dispersion)


def fleet(problem, counts):
    """A fleet of so many instances of each pool, on demand, at all hours, loaded by capacity."""
    allocations = tuple(
        Allocation(pool, pool.tariffs[0], (count,) * len(problem.hours))
        for pool, count in zip(problem.pools, counts, strict=True)
        if count
    )
    whole = sum(mix_rate(problem, one.pool) * one.instances[-1] for one in allocations)
    shares = {
        one.pool.key: np.full((len(problem.hours), 1, 1), mix_rate(problem, one.pool) * one.instances[-1] / whole)
        for one in allocations
    }
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, usd, proven=True)


def carries(problem, counts):
    """Whether the closed form lets such a fleet carry the busiest minute, without any one instance where one may fail."""
    rates = [mix_rate(problem, pool) for pool in problem.pools]
    planned = problem.hours[-1].planned_rate
    lost = max(rate for rate, count in zip(rates, counts, strict=True) if count)
    spare = lost if problem.limits.survival is Survive.INSTANCE else 0.0
    return sum(rate * count for rate, count in zip(rates, counts, strict=True)) - spare >= planned * (1 - 1e-9)


def cheapest_by_replay(formulation, context, below):
    """The cheapest fleet below a cost that carries the load and whose replay holds; infinite if there is none."""
    trials, problem = Trials(formulation, context), formulation.problem
    fleets = [counts for counts in itertools.product(range(MOST + 1), repeat=len(problem.pools)) if any(counts)]
    priced = sorted((fleet(problem, counts).objective_usd_per_month, counts) for counts in fleets)
    for usd, counts in priced:
        if usd >= below:
            break
        enough = carries(problem, counts) and sum(counts) >= problem.limits.min_replicas
        if enough and trials.of(formulation, fleet(problem, counts)).reached:
            return usd
    return math.inf


def few_pools(formulation, most=4):
    """The question with its pools that are cheapest for what they carry: one of each type and precision."""
    order = sorted(
        formulation.problem.pools,
        key=lambda pool: min(one.all_usd_per_hour for one in pool.tariffs) / mix_rate(formulation.problem, pool),
    )
    kept = {pool.key for pool in order[:most]}
    return with_pools(formulation, lambda pool: pool.key in kept)


CASES = {
    "smooth": (6.0, Dispersion(), Limits()),
    "bursty": (6.0, Dispersion(6.0, 20.0), Limits()),
    "n + 1": (6.0, Dispersion(3.0, 6.0), Limits(min_replicas=2)),
    "small": (1.5, Dispersion(4.0, 8.0), Limits()),
    "large": (14.0, Dispersion(4.0, 8.0), Limits()),
    "in sharp bursts": (9.0, Dispersion(12.0, 30.0), Limits()),
    "in sharper bursts": (14.0, Dispersion(20.0, 60.0), Limits()),
    "in bursts of minutes, n + 1": (20.0, Dispersion(8.0, 200.0), Limits(min_replicas=2)),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", CASES)
def test_no_fleet_that_its_replay_confirms_is_cheaper_by_more_than_2_percent(case):
    """Every fleet of few instances is priced and replayed: none that holds costs less than 98 % of the answer."""
    rate, dispersion, limits = CASES[case]
    formulation, context = posed_of(asked_of(rate, limits=limits), CATALOG, flat(rate, dispersion), **SHORT)
    formulation = few_pools(formulation)

    found = ReplayValidator(formulation, context).confirmed()

    assert isinstance(found, Confirmed)
    assert found.confirmation.reached
    cheapest = cheapest_by_replay(formulation, context, 0.98 * found.usd_per_month)
    assert cheapest == math.inf
    assert found.solution.bound_usd_per_month <= found.usd_per_month
    if found.solution.proven:
        assert found.solution.bound_usd_per_month == pytest.approx(found.usd_per_month, abs=0.01)


def confirmed_of(rate, dispersion, **changes):
    """The confirmed fleet of a chat workload with flat bursty demand, its question and its confirmer."""
    effort = {"holds_up_to": changes.pop("holds_up_to", False)}
    formulation, context = posed_of(asked_of(rate, **changes), CATALOG, flat(rate, dispersion), **(SHORT | effort))
    validator = ReplayValidator(formulation, context)
    return validator.confirmed(), formulation, validator


def test_what_is_proven_is_the_confirmed_problem():
    """A fleet dearer than what the closed form alone would take is proven only if the cheaper ones fail their replays."""
    found, formulation, validator = confirmed_of(14.0, Dispersion(20.0, 60.0))
    plain = optimise(formulation.problem)

    assert found.confirmation.headroom_factor > 1
    assert plain.objective_usd_per_month < found.usd_per_month
    assert not validator.replayed(formulation, plain).reached
    assert plain.objective_usd_per_month <= found.solution.bound_usd_per_month <= found.usd_per_month
    assert found.solution.proven == (found.solution.bound_usd_per_month >= found.usd_per_month - 0.005)


def test_one_kind_by_itself_has_as_few_instances_as_hold():
    """The fleet of one type holds, and with one instance fewer it does not."""
    _, formulation, validator = confirmed_of(14.0, Dispersion(20.0, 60.0))
    alone = with_pools(formulation, lambda pool: pool.key == "aws/us-east-1/g6e.xlarge/fp8/tp1")

    found = validator.alone(alone)
    (group,) = found.solution.allocations
    fewer = replace(group, instances=tuple(count - 1 for count in group.instances))

    assert found.confirmation.reached
    assert not validator.replayed(alone, replace(found.solution, allocations=(fewer,))).reached
    assert validator.alone(alone) is found


def test_a_kind_that_no_fleet_can_be_of_says_why():
    """A budget that one type cannot keep to is a conflict, for its fleet alone."""
    _, formulation, validator = confirmed_of(6.0, Dispersion(), limits=Limits(max_usd_per_month=3_000.0))
    alone = with_pools(formulation, lambda pool: "p5.4xlarge" in pool.key)

    found = validator.alone(alone)

    assert isinstance(found, Infeasible)
    assert found.conflict == (Constraint.BUDGET,)


def test_a_fleet_that_one_machine_may_leave_is_replayed_without_it():
    """Where an instance may fail, the fleet holds without one of its machines too."""
    found, _, _ = confirmed_of(6.0, Dispersion(3.0, 6.0), limits=Limits(min_replicas=2))
    careless, formulation, validator = confirmed_of(6.0, Dispersion(3.0, 6.0))
    strict = replace(formulation, problem=replace(formulation.problem, limits=Limits(survive=Survive.INSTANCE)))

    assert found.confirmation.without_one_within_slo_ratio >= 0.995
    assert careless.confirmation.without_one_within_slo_ratio is None
    assert careless.usd_per_month <= found.usd_per_month
    assert validator.replayed(strict, careless.solution).without_one_within_slo_ratio < 0.995


def test_it_says_how_far_a_fleet_holds():
    """At the multiples that are told the replay still holds; a larger fleet holds further."""
    found, formulation, validator = confirmed_of(6.0, Dispersion(3.0, 6.0), holds_up_to=True)
    told = validator.holds_up_to(found)
    (group,) = found.solution.allocations
    twice = replace(found.solution, allocations=(replace(group, instances=tuple(2 * n for n in group.instances)),))
    _, context = posed_of(asked_of(6.0), CATALOG, flat(6.0, Dispersion(3.0, 6.0)), **SHORT)

    more = Trials(formulation, context).holds_up_to(found.formulation, twice)

    assert 1 <= told.peak_ratio < more.peak_ratio <= 4
    assert 1 <= told.dispersion_ratio <= more.dispersion_ratio <= 4


@pytest.mark.parametrize("edge", [0.5, 1.0, 1.3, 2.9, 4.0, 9.0])
def test_the_largest_ratio_that_holds_is_found_from_below(edge):
    """By bisection between 1 and 4, to 5 %, never above what holds."""
    found = largest(lambda ratio: ratio <= edge)

    assert 1 <= found <= max(edge, 1.0)
    assert found >= min(edge, 4.0) / 1.05


def test_a_spot_instance_is_lost_in_the_busiest_minute():
    """On spot the rest carries the load while one instance is replaced; where requests may wait nothing is lost."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=None, spot=0.7))
    asked = asked_of(6.0, purchase=(Purchase.SPOT,), ttft_ms=1000)
    formulation, context = posed_of(asked, catalog, flat(6.0, Dispersion()), **SHORT)
    patient = replace(formulation, problem=replace(formulation.problem, limits=Limits(fault_tolerant_ratio=1.0)))
    (pool,) = [one for one in formulation.problem.pools if one.key.endswith("fp8/tp1")]
    validator = ReplayValidator(formulation, context)

    shares = [
        validator.replayed(
            question, FleetSolution((Allocation(pool, pool.tariffs[0], (count,)),), {}, 0.0, 0.0, proven=True)
        )
        for question in (formulation, patient)
        for count in (2, 6)
    ]

    few, many, few_waiting, many_waiting = (one.within_slo_ratio for one in shares)
    assert few < many
    assert few < few_waiting
    assert many == pytest.approx(many_waiting, abs=0.01)


def test_requests_of_each_place_are_served_over_the_network_to_their_region():
    """Users far from the only region see its distance; with a region at each of them they do not."""
    far = catalog_of(offer("g6e.xlarge", "us-east-1", on_demand=1.0))
    both = catalog_of(
        offer("g6e.xlarge", "us-east-1", on_demand=1.0), offer("g6e.xlarge", "eu-central-1", on_demand=1.0)
    )
    users = (("US-east", 0.5), ("DE", 0.5))
    near_slo, loose = Slo(ttft_p95_ms=190, tpot_p95_ms=60), Slo(ttft_p95_ms=5000, tpot_p95_ms=60)

    alone, spread = (
        ReplayValidator(*posed_of(asked_of(6.0, users=users, slo=slo), catalog, None, **SHORT)).confirmed()
        for catalog, slo in ((far, loose), (both, near_slo))
    )

    assert {one.pool.region for one in spread.solution.allocations} == {"aws/us-east-1", "aws/eu-central-1"}
    assert spread.confirmation.reached
    assert alone.confirmation.ttft_p95_ms > 100
    assert spread.confirmation.ttft_p95_ms < alone.confirmation.ttft_p95_ms


def test_what_each_instance_is_planned_to_carry_covers_the_busiest_hour():
    """After the headroom that the replay asked for, the sum over all instances is at least the planned rate."""
    found, formulation, _ = confirmed_of(14.0, Dispersion(20.0, 60.0))

    rates = found.planned_rates()
    carried = sum(max(one.instances) * rates[name_of(one)] for one in found.solution.allocations)

    assert carried >= formulation.problem.hours[-1].planned_rate * (1 - 1e-9)
    predicted = {one.pool.key: mix_rate(formulation.problem, one.pool) for one in found.solution.allocations}
    usual = {pool.key: mix_rate(formulation.problem, pool) for pool in formulation.problem.pools}
    assert all(rate <= usual[key] for key, rate in predicted.items())


@pytest.mark.parametrize("counts", [((45,), (7,)), ((2,), (1,)), ((4, 45), (1, 7)), ((30, 90), (50, 50))])
def test_a_large_fleet_is_replayed_at_a_scale_with_the_load_of_each_instance(counts):
    """A share of the instances of each hour, under as many requests as keep each of them as busy as in the whole."""
    formulation, context = posed_of(asked_of(4_000, ttft_ms=1000), CATALOG, None, **SHORT)
    groups = [ReplayGroup(name, make_steps(), count, 1.0) for name, count in zip("ab", counts, strict=True)]

    small = Trials(formulation, context)._small(groups, (Route(math.inf, {"a": 0.8, "b": 0.2}),))

    assert small.share <= 1
    requests = small.rehearsal.requests.seconds.size * small.share
    whole = small.rehearsal.requests.seconds.size / small.rehearsal.scale
    for group, part, share in zip(groups, small.groups, (0.8, 0.2), strict=True):
        sent = small.routes[0].shares[group.name] / sum(small.routes[0].shares.values())
        for count, kept in zip(group.instances_by_hour, part.instances_by_hour, strict=True):
            assert sent * requests / kept == pytest.approx(share * whole / count, rel=0.15)
            assert kept <= count


@pytest.mark.parametrize("rate", [700.0, 3_000.0])
def test_a_large_mixed_fleet_holds_under_the_whole_demand(rate):
    """What is confirmed at a scale holds request by request too, with spot of few large instances among it."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("p5.48xlarge", on_demand=55.0, spot=15.0),
        offer("g6.xlarge", on_demand=0.8, spot=0.3),
    )  # fmt: skip
    asked = asked_of(rate, ttft_ms=1000, purchase=(Purchase.ON_DEMAND, Purchase.SPOT))
    formulation, context = posed_of(asked, catalog, None, **SHORT)
    found = ReplayValidator(formulation, context).confirmed()
    generator = np.random.default_rng(3)
    seconds = MONDAY_SECONDS + np.sort(generator.random(int(rate * 30))) * 30
    requests = Requests(seconds, *(np.full(seconds.size, tokens, dtype=np.int32) for tokens in (1200, 200)))

    groups = Trials(formulation, context)._groups(found.formulation, found.solution)
    whole = replay(groups, requests, asked.slo, routes=tuple(routes_of(found.formulation, found.solution)))

    assert found.confirmation.reached
    assert whole.within_slo_ratio >= 0.99


def test_a_very_large_demand_is_confirmed_in_little_time():
    """Ten thousand requests a second: a share of them on a share of the instances."""
    formulation, context = posed_of(asked_of(1e4, ttft_ms=1000), CATALOG, None, **SHORT)

    found = ReplayValidator(formulation, context).confirmed()

    assert found.confirmation.requests < 20_000
    assert "at a scale of" in found.confirmation.arrivals
    assert found.confirmation.reached


def test_a_fleet_that_carries_less_by_the_closed_form_is_taken_where_its_replay_holds():
    """With a target near what an idle replica takes the closed form is careful; one instance fewer still fails."""
    formulation, context = posed_of(
        asked_of(8.68, ttft_ms=713), catalog_of(offer("g5.xlarge", on_demand=1.0)), flat(8.68, Dispersion()), **SHORT
    )
    validator = ReplayValidator(formulation, context)

    found = validator.confirmed()

    (group,) = found.solution.allocations
    planned = optimise(formulation.problem)
    assert found.confirmation.headroom_factor < 1
    assert group.instances[-1] < 0.6 * sum(one.instances[-1] for one in planned.allocations)
    few = fleet(replace(formulation.problem, pools=(group.pool,)), [group.instances[-1] - 1])
    assert not validator.replayed(found.formulation, few).reached


def test_of_confirmed_fleets_that_cost_about_the_same_the_simplest_is_taken():
    """One backend in place of two for little more, confirmed as well; the cheapest is kept beside it."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.6))
    limits = Limits(simplicity=0.3)
    formulation, context = posed_of(asked_of(5.0, limits=limits), catalog, flat(5.0, Dispersion()), **SHORT)
    validator = ReplayValidator(formulation, context)
    cheapest = validator.confirmed()

    found = validator.simplest(cheapest)

    assert complexity(cheapest.solution)[:2] == (2, 2)
    assert complexity(found.solution)[:2] == (1, 1)
    assert found.confirmation.reached
    assert found.usd_per_month <= 1.3 * cheapest.usd_per_month
    assert found.cheapest is cheapest
    assert found.solution.bound_usd_per_month <= cheapest.usd_per_month
    assert validator.simplest(found) is found


@pytest.mark.parametrize(
    ("precisions", "simplicity", "kept"),
    [(("bf16", "fp8"), 1.0, "bf16"), (("bf16", "fp8"), 0.05, "fp8"), (("fp8", "bf16"), 1.0, "fp8")],
    ids=["little dearer", "much dearer", "fp8 named first"],
)
def test_published_weights_are_preferred_to_a_lower_precision_that_saves_little(precisions, simplicity, kept):
    """FP8 is taken where it saves more than simplicity is worth, or where the workload names it before bf16."""
    limits = Limits(simplicity=simplicity)
    question = asked_of(12.0, limits=limits, precisions=precisions)
    formulation, context = posed_of(
        question, catalog_of(offer("g6e.xlarge", on_demand=1.86)), flat(12.0, Dispersion()), **SHORT
    )
    validator = ReplayValidator(formulation, context)
    cheapest = validator.confirmed()

    found = validator.simplest(cheapest)

    used = {
        found.formulation.pool_set.sources[one.pool.key].served.candidate.precision
        for one in found.solution.allocations
    }
    assert used == {kept}
    assert {one.pool.key.split("/")[3] for one in cheapest.solution.allocations} == {"fp8"}
    assert found.confirmation.reached
    if kept == "bf16":
        assert found.cheapest is cheapest
        assert cheapest.usd_per_month < found.usd_per_month <= 2 * cheapest.usd_per_month
        assert not found.solution.proven


def test_one_machine_that_nothing_undercuts_is_proven():
    """No machine is cheaper than it, so no fleet is."""
    found, formulation, _ = confirmed_of(0.2, Dispersion())
    cheapest = min(tariff.all_usd_per_hour for pool in formulation.problem.pools for tariff in pool.tariffs)

    assert [one.instances for one in found.solution.allocations] == [(1,)]
    assert found.solution.allocations[0].tariff.all_usd_per_hour == cheapest
    assert found.solution.proven


@pytest.mark.parametrize(
    ("running", "kept"),
    [
        ({}, "aws/g6e.xlarge"),
        ({"g6e.xlarge": 9, "g6.xlarge": 99}, "aws/g6e.xlarge"),
        ({"g6.xlarge": 99}, "aws/g6.xlarge"),
    ],
    ids=["nothing", "both", "one"],
)
def test_what_runs_is_not_left_for_a_fleet_that_costs_more(running, kept):
    """Published weights are worth a little more, but no other machines."""
    offers = [offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.2)]
    question = asked_of(
        5.0,
        limits=Limits(simplicity=3.0),
        precisions=("bf16", "fp8"),
        running=tuple(((f"aws/{offers[0].region}/{kind}", "on_demand"), count) for kind, count in running.items()),
    )
    formulation, context = posed_of(question, catalog_of(*offers), flat(5.0, Dispersion()), **SHORT)
    validator = ReplayValidator(formulation, context)
    cheapest = validator.confirmed()

    found = validator.simplest(cheapest)

    assert {group.pool.instance_type for group in cheapest.solution.allocations} == {"aws/g6.xlarge"}
    assert {group.pool.instance_type for group in found.solution.allocations} == {kept}
