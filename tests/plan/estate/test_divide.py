"""Dividing what several workloads want."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.plan.estate.divide import contention_of, divide
from advisor.plan.estate.terms import rows_of
from advisor.plan.problem.values import FleetSolution, Problem, PurchaseOption, Tariff
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.scopes import cheapest
from plan.fleet.problems import optimise, pool_of, problem_of

KEY = ("aws/here/G", "on_demand")
QUOTA = ("quota", "aws/here/G (on demand)")
OWNED = ("owned", "aws/here/small")
CENT = 0.011


def asks(rate, cheap=1.0, dear=3.0, *, units=1.0, owned=0, regions=None) -> Problem:
    """A workload with a cheap type under the quota, a dear one elsewhere, and perhaps owned instances."""
    tariffs = (Tariff(PurchaseOption.ON_DEMAND, cheap), *((Tariff(PurchaseOption.OWNED, 0.0),) if owned else ()))
    here = pool_of("small", 1.0, tariffs=tariffs, type_in_region=OWNED[1], quotas={KEY: units})
    there = pool_of("large", 2.0, dear, type_in_region="aws/there/large")
    return problem_of(
        here, there, planned=(rate / 2, rate), quota_limits={KEY: 1000.0}, owned={OWNED[1]: owned} if owned else {},
        max_regions=regions,
    )  # fmt: skip


def alone(problem):
    """What a workload takes and pays when everything is its own."""
    found = cheapest(problem)
    used = sum(one.instances[-1] * one.pool.quotas.get(KEY, 0.0) for one in found.allocations)
    owned = sum(one.instances[-1] for one in found.allocations if one.tariff.paid is PurchaseOption.OWNED)
    return {name: count for name, count in ((QUOTA, used), (OWNED, owned)) if count}, found.objective_usd_per_month


def divided(problems, **limits):
    """The division of named workloads under limits of the quota and the owned instances."""
    known = {QUOTA: limits.get("quota", 1e6), OWNED: limits.get("owned", 0)}
    uses = {name: alone(problem)[0] for name, problem in problems.items()}
    contentions = {name: contention_of(problem, known) for name, problem in problems.items() if uses[name]}
    return divide({name: uses[name] for name in contentions}, contentions, known, map)


def under(problem, quota, owned=0) -> float:
    """The least a workload pays with so much of the quota and of the owned instances."""
    tight = replace(problem, quota_limits={KEY: quota}, owned={OWNED[1]: owned})
    if not owned:
        pools = tuple(
            replace(pool, tariffs=tuple(one for one in pool.tariffs if one.paid is not PurchaseOption.OWNED))
            for pool in tight.pools
        )
        tight = replace(tight, pools=pools, owned={})
    found = cheapest(tight)
    return found.objective_usd_per_month if isinstance(found, FleetSolution) else float("inf")


def test_what_suffices_for_all_is_left_as_it_is():
    """Where the quota holds what all workloads take by themselves, nobody is planned again."""
    found = divided({"a": asks(2), "b": asks(3)}, quota=5)

    assert found.together == ()
    assert {name: used[QUOTA] for name, used in found.uses.items()} == {"a": 2, "b": 3}


def test_a_short_quota_goes_to_whoever_saves_most_by_it():
    """Of two workloads that want the same quota, the one whose alternative is dearer gets it."""
    found = divided({"poor": asks(4, dear=2.5), "rich": asks(4, dear=9.0)}, quota=4)

    assert found.uses["rich"] == {QUOTA: 4}
    assert found.uses["poor"] == {}
    assert set(found.together) == {"poor", "rich"}
    assert found.gap_ratio == 0


def test_owned_instances_go_where_they_save_most():
    """Of owned instances that two want, the one that would pay more otherwise gets them."""
    found = divided({"low": asks(3, cheap=0.5, owned=3), "high": asks(3, cheap=2.0, owned=3)}, owned=3)

    assert found.uses["high"][OWNED] == 3
    assert OWNED not in found.uses["low"]


def test_too_small_a_quota_names_the_least_that_would_do():
    """Where nobody can go elsewhere, the excess is what the quota lacks."""
    stuck = {name: replace(asks(rate), pools=asks(rate).pools[:1]) for name, rate in (("a", 3), ("b", 4))}

    short = divided(stuck, quota=5)
    enough = divided(stuck, quota=5 + short.excess[QUOTA])

    assert short.excess == {QUOTA: pytest.approx(2)}
    assert enough.excess == {}


def test_whoever_is_driven_on_draws_in_the_others():
    """A workload that loses one quota and moves under a second contests that with those who had it."""
    second = ("aws/there/G", "on_demand")
    detail = ("quota", "aws/there/G (on demand)")

    def both(cheap, dear, price_elsewhere):
        pools = (
            pool_of("one", 1.0, cheap, type_in_region="aws/here/one", quotas={KEY: 1.0}),
            pool_of("two", 1.0, dear, type_in_region="aws/there/two", quotas={second: 1.0}),
            pool_of("three", 1.0, price_elsewhere, type_in_region="aws/far/three"),
        )
        return problem_of(*pools, planned=(2.0,), quota_limits={KEY: 100.0, second: 100.0})

    problems = {"first": both(1.0, 9.0, 20.0), "driven": both(1.0, 2.0, 9.0), "there": both(9.0, 1.0, 3.0)}
    limits = {QUOTA: 2.0, detail: 2.0}
    uses = {"first": {QUOTA: 2.0}, "driven": {QUOTA: 2.0}, "there": {detail: 2.0}}
    contentions = {name: contention_of(problem, limits) for name, problem in problems.items()}

    found = divide(uses, contentions, limits, map)

    assert set(found.together) == {"first", "driven", "there"}
    assert found.uses == {"first": {QUOTA: 2.0}, "driven": {detail: 2.0}, "there": {}}
    assert found.usd_per_month == pytest.approx((1 + 2 + 3) * 2 * 730, abs=CENT)


rates = st.integers(1, 5)
prices = st.integers(20, 300).map(lambda cents: cents / 100)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(rates, prices, prices, st.sampled_from([1.0, 2.0, 3.0])), min_size=2, max_size=3),
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from([None, 1]),
)
def test_a_division_costs_as_little_as_any(asked, quota, owned, regions):
    """No way to hand out the quota and the owned instances costs less, and the bound is below all of them."""
    problems = {
        str(at): asks(rate, cheap, cheap + dear, units=units, owned=owned, regions=regions)
        for at, (rate, cheap, dear, units) in enumerate(asked)
    }
    found = divided(problems, quota=quota, owned=owned)
    if not found.together:
        return

    levels = list(itertools.product(range(quota + 1), range(owned + 1)))
    usd = [{share: under(problem, *share) for share in levels} for problem in problems.values()]
    least = min(
        sum(each[share] for each, share in zip(usd, shares, strict=True))
        for shares in itertools.product(levels, repeat=len(problems))
        if sum(units for units, _ in shares) <= quota and sum(count for _, count in shares) <= owned
    )
    outside = sum(alone(problems[name])[1] for name in problems if name not in found.together)
    assert found.usd_per_month + outside == pytest.approx(least, abs=0.05)
    assert found.bound_usd_per_month + outside <= least + CENT
    for name, limit in ((QUOTA, quota), (OWNED, owned)):
        assert sum(used.get(name, 0.0) for used in found.uses.values()) <= limit + 1e-6


def test_planned_again_with_its_share_a_workload_costs_what_the_division_says():
    """The sum of the workloads' own optima under their shares is the cost of the division."""
    problems = {"a": asks(4, dear=2.5), "b": asks(3, dear=4.0), "c": asks(5, dear=3.1)}
    found = divided(problems, quota=6)

    again = sum(under(problems[name], found.uses[name].get(QUOTA, 0.0)) for name in problems)

    assert again == pytest.approx(found.usd_per_month, abs=0.03)


def test_a_program_knows_what_its_fleet_takes():
    """The rows of a workload add up to the units and the owned instances of its busiest hours."""
    problem = replace(asks(4, units=2.0, owned=1), pools=asks(4, units=2.0, owned=1).pools[:1])
    program = FleetProgram(problem).build()
    values = program.program.solve().values
    taken = {name: sum(units * values[at] for at, units in row) for name, row in rows_of(problem, program).items()}

    assert taken == {QUOTA: pytest.approx(8), OWNED: pytest.approx(1)}
    assert isinstance(optimise(problem), FleetSolution)
