"""The price up to which a type stays recommended, held against the rule by which fleets are recommended."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.plan.explain.why import price_up_to
from advisor.plan.problem.values import Allocation, FleetSolution, Pool, PurchaseOption, Tariff
from advisor.plan.replay.groups import Confirmed
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.simple import preference
from advisor.plan.solve.stage import Formulation
from advisor.workload.values import Limits
from plan.fleet.problems import pool_of, problem_of

SIMPLICITY = 0.05
TYPE = pool_of("type", usd=1.0)
counts, dollars = st.integers(1, 20), st.integers(100, 3000).map(lambda cents: cents / 100)
with_type = st.tuples(counts, st.lists(dollars, max_size=3).map(tuple))
without_type = st.lists(dollars, min_size=1, max_size=4)


def is_type(pool: Pool) -> bool:
    """Whether a pool is of the type in question."""
    return pool.type_in_region == TYPE.type_in_region


def uses_type(fleet: Confirmed) -> bool:
    """Whether a fleet uses it."""
    return any(is_type(one.pool) for one in fleet.solution.allocations)


def fleet(of_type: int, others: list[float], ratio: float = 1.0) -> Confirmed:
    """So many instances of the type at so many times 1 USD per hour, beside others on backends of their own."""
    pools = [pool_of(f"other{at}", usd=usd) for at, usd in enumerate(others)]
    allocations = [Allocation(pool, pool.tariffs[0], (1,)) for pool in pools]
    if of_type:
        allocations.append(Allocation(TYPE, Tariff(PurchaseOption.ON_DEMAND, ratio), (of_type,)))
    problem = problem_of(TYPE, *pools, limits=Limits(simplicity=SIMPLICITY))
    usd = objective_usd_per_month(problem, allocations, {})
    solution = FleetSolution(tuple(allocations), {}, usd, usd, proven=True)
    return Confirmed(solution, Formulation(problem, None, None, None, (), None), None)


def recommended(fleets: list[Confirmed]) -> Confirmed:
    """The simplest within ``limits.simplicity`` of the cheapest, which is kept beside it."""
    cheapest = min(fleets, key=lambda one: one.usd_per_month)
    near = [one for one in fleets if one.usd_per_month <= cheapest.usd_per_month * (1 + SIMPLICITY)]
    best = min(near, key=lambda one: (*preference(one.solution), one.usd_per_month))
    return best if best is cheapest else replace(best, cheapest=cheapest)


@given(with_type, with_type, without_type, without_type)
def test_what_is_recommended_today_stays_so_up_to_the_price_named(own, own_too, other, other_too):
    """It, and the cheapest where it was taken in place of that, against two others: today, and just below the price."""
    ours, rivals = {own: fleet(*own), own_too: fleet(*own_too)}, [fleet(0, other), fleet(0, other_too)]
    best = recommended([*ours.values(), *rivals])
    assume(uses_type(best))
    told = (best.solution, (best.cheapest or best).solution)
    ratio = price_up_to(best, recommended(rivals), is_type, wins=True)
    just_below = 1 + (ratio - 1) * 0.999
    of_type = [fleet(*numbers, just_below) for numbers, one in ours.items() if one.solution in told]

    assert ratio >= 1
    assert uses_type(recommended([*of_type, *rivals]))


@given(with_type, without_type)
def test_a_rival_that_the_search_missed_names_no_price_below_todays(own, other):
    """What is recommended is so at today's price, whatever else is found later."""
    assert price_up_to(fleet(*own), fleet(0, other), is_type, wins=True) >= 1


@given(counts, without_type)
def test_a_type_that_does_not_win_would_from_the_price_named_on(count, other):
    """Alone against what is recommended: at a little less it is, at a little more it is not."""
    theirs = fleet(0, other)
    ratio = price_up_to(fleet(count, []), theirs, is_type, wins=False)
    cheaper, dearer = (recommended([fleet(count, [], ratio * factor), theirs]) for factor in (0.999, 1.001))

    assert uses_type(cheaper)
    assert not uses_type(dearer)
