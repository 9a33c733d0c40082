"""The optimum: compared with all fleets gone through one by one, and what it says when there is none."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.charges import standing_usd_per_month
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import FleetSolution, HourClass, Infeasible, PurchaseOption, Tariff
from advisor.plan.solve import scopes
from advisor.plan.solve.objective import allocation_parts, switching_usd_per_month, transfer_usd_per_month
from advisor.plan.solve.optimise import NEGOTIABLE
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.solver import Outcome
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.exhaustive import cheapest, cost_of, counts_of
from plan.fleet.problems import (
    BILLED,
    LIMITS,
    QUOTA,
    charges_of,
    daily,
    everything,
    limited,
    optimise,
    pool_of,
    problem_of,
    problems,
)

ROOT = Path(__file__).parents[3]
MOST = 3
"""Instances under one tariff, where every fleet is gone through."""
CENTS = 0.06
"""Every part is rounded to the cent, and the search stops half a cent before the end."""
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def check_against_all(problem):
    """The optimum keeps to everything, costs what it says, and no small fleet is cheaper."""
    found, best = optimise(problem), cheapest(problem, MOST)
    if isinstance(found, Infeasible):
        assert best is None
        return
    assert found.proven
    assert found.gap_ratio == 0
    cost = cost_of(problem, counts_of(problem, found))
    assert cost is not None
    assert math.isclose(cost, found.objective_usd_per_month, abs_tol=CENTS)
    assert best is None or found.objective_usd_per_month <= best + CENTS


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", LIMITS)
@few
@given(data=st.data())
def test_is_the_cheapest_of_all_fleets(family, data):
    """Whatever the limit, the optimum keeps to it and no fleet of few instances is cheaper."""
    held = family == "max_changed_instances"
    check_against_all(data.draw(problems(LIMITS[family], held=held)))


@few
@given(problems(everything, held=True))
def test_is_the_cheapest_of_all_fleets_within_all_limits_together(problem):
    """With all limits at once the optimum keeps to them and no fleet of few instances is cheaper."""
    check_against_all(problem)


@few
@given(problems(LIMITS["zones"], paid=(PurchaseOption.ON_DEMAND, PurchaseOption.OWNED, PurchaseOption.OWNED)))
def test_owned_instances_are_used_as_far_as_there_are_any(problem):
    """Owned instances cost nothing more and are never used beyond their number."""
    check_against_all(problem)


@few
@given(problems(paid=BILLED), st.integers(1, 8), st.integers(0, 8))
def test_is_the_cheapest_of_all_fleets_within_quotas(problem, on_demand, spot):
    """Quotas hold in each market by itself, and no fleet of few instances within them is cheaper."""
    limits = {(QUOTA, "on_demand"): float(on_demand), (QUOTA, "spot"): float(spot)}
    check_against_all(replace(problem, quota_limits=limits))


@few
@given(
    problems(paid=(PurchaseOption.ON_DEMAND, PurchaseOption.SERVERLESS)),
    st.sampled_from((0.1, 0.5, 1.0)),
    st.booleans(),
)
def test_is_the_cheapest_of_all_fleets_where_hours_may_be_empty(problem, active, allowed):
    """Hours without requests need nothing where zero is allowed, and serverless is paid for its active time."""
    hours = (HourClass(84, 0.0, 0.0, 0.0), replace(problem.hours[-1], hours_per_week=84))
    pools = tuple(replace(pool, tariffs=tuple(_active(one, active) for one in pool.tariffs)) for pool in problem.pools)
    scaling = Scaling(scale_to_zero=allowed)
    check_against_all(replace(problem, hours=hours, pools=pools, transitions=daily(2), scaling=scaling))


def test_a_service_of_quiet_hours_takes_what_its_region_charges():
    """A region in use at any hour is charged for, the busiest or not; so the service that is there serves both."""
    service = Tariff(PurchaseOption.SERVERLESS, 0.24, "functions", active_ratios=(0.0, 0.5))
    pools = (
        pool_of("service", 0.5, tariffs=(service,), type_in_region="here/r0/t0"),
        pool_of("hosts", 0.5, 0.2, type_in_region="here/r1/t0"),
    )
    charges = {"here/r0": charges_of("here/r0", (1.0, {"anyway": 30.0}))}
    problem = problem_of(*pools, planned=(0.5, 0.5), charges=charges)
    quiet = HourClass(84, 0.0, 0.0, 0.0)
    problem = replace(problem, hours=(quiet, replace(problem.hours[-1], hours_per_week=84)), transitions=daily(2))
    found = optimise(problem)

    assert [allocation.pool.key for allocation in found.allocations] == ["service"]
    assert math.isclose(found.objective_usd_per_month, 0.24 * 0.5 * 365 + 30)


@pytest.mark.parametrize("most", [None, 2])
def test_no_region_rests_while_another_serves(most):
    """Callers weigh regions alike at all hours: the dear one keeps its host at night, which the other could do alone."""
    pools = [
        pool_of(name, 1.0, usd, type_in_region=f"c/{name}/a", quotas={(name, "on_demand"): 1.0})
        for name, usd in (("cheap", 1.0), ("dear", 2.0))
    ]
    quotas = {(pool.key, "on_demand"): 1.0 for pool in pools}
    fleet = optimise(problem_of(*pools, planned=(0.5, 2.0), quota_limits=quotas, max_regions=most))

    assert {group.pool.key: group.instances for group in fleet.allocations} == {"cheap": (1, 1), "dear": (1, 1)}


def test_hosts_do_not_rest_while_a_service_serves():
    """Its address is another one, to which nobody moves their share: $693 where they did, and $730 of hosts alone."""
    functions = Tariff(PurchaseOption.SERVERLESS, 0.9, "functions", active_ratios=(1.0, 1.0))
    pools = (
        pool_of("hosts", 2.0, type_in_region="c/r/a"),
        pool_of("functions", 0.5, tariffs=(functions,), type_in_region="c/r/b"),
    )
    fleet = optimise(problem_of(*pools, planned=(0.5, 2.0)))

    assert {group.pool.key: group.instances for group in fleet.allocations} == {"hosts": (1, 1)}


def _active(tariff, active):
    return replace(tariff, active_ratios=(0.0, active)) if tariff.paid is PurchaseOption.SERVERLESS else tariff


@pytest.mark.sampled(3)
@few
@given(problems(held=True), st.booleans())
def test_is_the_cheapest_of_all_fleets_beyond_the_low_edge(problem, low_band):
    """Commitments are held to the low edge of the forecast unless that is given up."""
    check_against_all(replace(problem, low_band=low_band))


@few
@given(problems(everything, held=True))
def test_total_is_the_sum_of_its_printed_parts(problem):
    """The objective is the sum of all parts as they are printed, to the cent, and never above its bound."""
    found = optimise(problem)
    if isinstance(found, Infeasible):
        return
    parts = [
        *(part for one in found.allocations for part in allocation_parts(problem, one)),
        transfer_usd_per_month(problem, found.allocations, found.shares),
        switching_usd_per_month(problem, found.allocations),
        standing_usd_per_month(problem, found.allocations, found.shares),
    ]
    assert found.objective_usd_per_month == round(math.fsum(parts), 2)
    assert found.bound_usd_per_month <= found.objective_usd_per_month


@few
@given(problems(everything, held=True))
def test_every_request_has_a_pool(problem):
    """The shares of each place's bucket add up to one in every hour class, and no share goes where it is too slow."""
    found = optimise(problem)
    if isinstance(found, Infeasible):
        return
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-5)
    running = {one.pool.key: one.pool for one in found.allocations}
    for key, share in found.shares.items():
        for p, rate in enumerate(running[key].mix_rates if key in running else ()):
            assert rate > 0 or len(problem.bucket_shares) or share[:, p].max() < 1e-6


# --- no fleet

CONFLICTS = {
    "budget": (Limits(max_usd_per_month=100.0), {}),
    "budget_zones": (Limits(max_usd_per_month=1000.0, zones=8), {}),
    "replicas": (Limits(max_replicas=1), {}),
    "floor": (Limits(min_replicas=9, max_kw=4.0), {}),
    "types": (Limits(max_instance_types=1, min_replicas=3, max_kw=0.5), {}),
    "changed": (Limits(max_changed_instances=1), {"running": {"small": 1}}),
    "carbon": (Limits(max_kg_co2e_per_month=10.0), {}),
    "quota": (Limits(), {"quota_limits": {(QUOTA, "on_demand"): 1.0, (QUOTA, "spot"): 0.0}}),
    "quota_budget": (
        Limits(max_usd_per_month=1500.0),
        {"quota_limits": {(QUOTA, "on_demand"): 2.0, (QUOTA, "spot"): 5.0}},
    ),
    "survive": (Limits(survive=Survive.INSTANCE, max_kw=1.0), {}),
    "spot": (Limits(max_usd_per_month=1500.0), {}),
}


def case(name):
    """A small and a large type, on demand and on spot, and what is asked of them."""
    limits, more = CONFLICTS[name]
    quotas = {(QUOTA, market): 1.0 for market in ("on_demand", "spot")}
    common = {"quotas": quotas, "takes": {Constraint.CARBON: 0.4, Constraint.POWER: 0.5}}
    small = pool_of(
        "small", 1.0, tariffs=(Tariff(PurchaseOption.ON_DEMAND, 1.0), Tariff(PurchaseOption.SPOT, 0.3)), **common
    )
    large = pool_of(
        "large", 3.0, tariffs=(Tariff(PurchaseOption.ON_DEMAND, 4.0), Tariff(PurchaseOption.SPOT, 1.2)), **common
    )
    return problem_of(small, large, planned=(2.0, 5.0), limits=limits, **more)


def feasible(problem, left_out):
    """Whether a fleet keeps to everything but some constraints."""
    program = FleetProgram(problem, left_out=frozenset(left_out)).build().program
    return program.solve().outcome is Outcome.OPTIMAL


def relaxed(problem, relaxation):
    """The same problem with the limit that is said to help."""
    if relaxation.constraint == "quota":
        limits = {
            key: relaxation.needed if (key[0], limit) == (relaxation.detail, relaxation.limit) else limit
            for key, limit in problem.quota_limits.items()
        }
        return replace(problem, quota_limits=limits)
    name = {"spot_reroute": "fault_tolerant_ratio", "on_demand_base": "on_demand_base_ratio"}.get(
        relaxation.constraint, relaxation.constraint.value
    )
    whole = isinstance(getattr(problem.limits, name), int)
    needed = int(relaxation.needed) if whole else relaxation.needed
    assert needed == relaxation.needed
    return limited(problem, **{name: needed})


def check_conflict(problem, found):
    """The conflict holds without anything else, any of it left out resolves it, and each relaxation helps."""
    others = set(NEGOTIABLE) - set(found.conflict)
    assert not feasible(problem, others)
    for constraint in found.conflict:
        assert feasible(problem, others | {constraint}), constraint
    for relaxation in found.relaxations:
        assert isinstance(optimise(relaxed(problem, relaxation)), FleetSolution), relaxation


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflict_is_minimal_and_its_relaxations_help(name):
    """Where no fleet exists, each constraint named is needed for the conflict, and each relaxed limit resolves it."""
    problem = case(name)
    found = optimise(problem)
    assert isinstance(found, Infeasible)
    assert found.conflict
    assert found.relaxations
    check_conflict(problem, found)


@few
@given(problems(everything, held=True))
def test_any_conflict_is_minimal_and_its_relaxations_help(problem):
    """Whatever is asked together, the conflict named is minimal and each relaxation helps by itself."""
    found = optimise(problem)
    if isinstance(found, Infeasible) and found.conflict:
        check_conflict(problem, found)


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts_are_worked_out_where_they_are_told(name):
    """A refusal of the search says what the problem's own explanation does, and nothing before it is asked."""
    problem = case(name)
    refused = scopes.cheapest(problem)
    assert isinstance(refused, Infeasible)
    assert refused._explained is None

    told = optimise(problem)

    assert (refused.conflict, refused.given_up) == (told.conflict, told.given_up)
    for own, other in zip(refused.relaxations, told.relaxations, strict=True):
        assert (own.constraint, own.needed) == (other.constraint, pytest.approx(other.needed))


def test_demand_that_nothing_serves_is_no_conflict_of_limits():
    """Where no pool reaches a place, no limit is blamed."""
    found = optimise(problem_of(pool_of(rate=(1.0, 0.0)), places=(0.5, 0.5)))
    assert found.conflict == ()
    assert found.relaxations == ()


def test_cost_of_switching_remains_when_changes_are_not_limited_any_more():
    """A budget that the cost of switching exceeds is not blamed on the limit of changes."""
    pools = (pool_of("a", 1.0, 1.0), pool_of("b", 8.0, 1.0, switching_usd=500.0))
    limits = Limits(max_usd_per_month=1000.0, max_changed_instances=9)
    found = optimise(problem_of(*pools, planned=(4.0,), limits=limits, running={"a": 4}))
    assert [one.value for one in found.conflict] == ["max_usd_per_month"]
    assert found.relaxations[0].needed == 1230.0


# --- the same answer

FRESH = """
import sys
sys.path.insert(0, "tests")
from plan.fleet.problems import optimise
from plan.solve.test_optimise import many, told
print(told(optimise(many())))
"""


def many():
    """A problem with many equal fleets."""
    pools = [
        pool_of(f"p{at}", 2.0 + at % 3, 2.0 + at % 3, type_in_region=f"s{at // 2}", kind=f"t{at // 4}", lead_hours=0.1)
        for at in range(16)
    ]
    return problem_of(*pools, planned=(3.0, 11.0, 29.0), limits=Limits(zones=2, min_replicas=3))


def told(found):
    """Everything that decides a plan, to the last bit."""
    fleet = [(one.pool.key, one.tariff.paid.value, one.instances) for one in found.allocations]
    return repr((fleet, found.objective_usd_per_month, {key: one.tolist() for key, one in found.shares.items()}))


@pytest.mark.sampled(3)
def test_same_problem_same_fleet():
    """The same problem gives the same fleet to the last bit, in this process and in another one."""
    here = told(optimise(many()))
    assert told(optimise(many())) == here
    fresh = subprocess.run([sys.executable, "-c", FRESH], cwd=ROOT, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == here


def test_no_trifling_machine_stands_in_for_a_zone():
    """A machine of a thousandth of the load, and a second group of the same type, fill no zone: three of a kind do."""
    spot = Tariff(PurchaseOption.SPOT, 2.0)
    large = pool_of("large", 5.0, tariffs=(Tariff(PurchaseOption.ON_DEMAND, 5.0), spot), zones=6)
    trifle = pool_of("trifle", 0.004, 0.5, zones=6)
    limits = Limits(zones=3, on_demand_base_ratio=0.5, fault_tolerant_ratio=1.0)

    fleet = optimise(problem_of(large, trifle, planned=(4.0,), limits=limits))

    counts = {(group.pool.key, group.tariff.paid.value): group.instances for group in fleet.allocations}
    assert counts == {("large", "on_demand"): (1,), ("large", "spot"): (3,)}
