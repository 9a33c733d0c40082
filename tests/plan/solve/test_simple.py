"""The simplest fleet that costs little more than the cheapest: compared with all choices of backends and types."""

from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import FleetSolution, Infeasible, PurchaseOption
from advisor.plan.solve.scopes import cheapest
from advisor.plan.solve.simple import backend_of, complexity, simplest
from advisor.workload.values import Limits
from plan.fleet.problems import alike, everything, limited, optimise, pool_of, problem_of, problems

CENTS = 0.12
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
NOT_SPOT = (PurchaseOption.ON_DEMAND, PurchaseOption.COMMITMENT)


def fewest(problem, most_usd) -> tuple[int, int]:
    """Backends and types of the simplest fleet within a cost, over all choices of (backend, type)."""
    kinds = sorted({(backend_of(pool), pool.instance_type) for pool in problem.pools})
    chosen = chain.from_iterable(combinations(kinds, count) for count in range(1, len(kinds) + 1))
    for some in sorted(
        chosen, key=lambda some: (len({backend for backend, _ in some}), len({kind for _, kind in some}))
    ):
        pools = tuple(pool for pool in problem.pools if (backend_of(pool), pool.instance_type) in some)
        found = optimise(replace(problem, pools=pools))
        if isinstance(found, FleetSolution) and found.objective_usd_per_month <= most_usd:
            return len({backend for backend, _ in some}), len({kind for _, kind in some})
    raise AssertionError("the cheapest fleet is one of them")


@few
@given(problems(everything, paid=NOT_SPOT, columns=5), st.sampled_from((0.0, 0.05, 0.2, 1.0)), st.booleans())
def test_is_as_simple_as_any_fleet_of_little_more_cost(problem, simplicity, plain):
    """No fleet of one backend within the limit is overlooked, and the answer is never dearer than the limit."""
    problem = limited(replace(alike(problem) if plain else problem, low_band=False), simplicity=simplicity)
    least = cheapest(problem)
    if isinstance(least, Infeasible):
        return
    most_usd = least.objective_usd_per_month * (1 + simplicity)
    found = simplest(problem, least)
    assert found.objective_usd_per_month <= most_usd + CENTS
    assert complexity(found)[:2] <= complexity(least)[:2]
    backends, types = fewest(problem, max(most_usd - CENTS, least.objective_usd_per_month))
    if (backends, types) == (1, 1) and simplicity:
        assert complexity(found)[:2] == (1, 1)
    if backends == 1 and simplicity:
        assert complexity(found)[0] == 1


def mixed():
    """An odd load that a large and a small instance carry a little cheaper than two large ones."""
    large = pool_of("large", 4.0, 4.0, type_in_region="a/r/large", backend="a/r/H100/vllm")
    small = pool_of("small", 1.0, 3.9, type_in_region="a/r/small", backend="a/r/L4/vllm")
    return problem_of(large, small, planned=(5.0,), limits=Limits())


def test_one_backend_is_preferred_within_its_price():
    """Two large instances cost 1.3 % more than a large and a small one, and are one backend."""
    problem = mixed()
    least = cheapest(problem)
    assert complexity(least) == (2, 2, pytest.approx(7.9 * 730))
    found = simplest(problem, least)
    assert complexity(found) == (1, 1, pytest.approx(8 * 730))
    assert found.proven
    assert found.bound_usd_per_month == least.bound_usd_per_month


@pytest.mark.parametrize("simplicity", [0.0, 0.01])
def test_the_cheapest_stays_where_simpler_costs_more(simplicity):
    """Beyond the share that simplicity is worth, the cheapest fleet is recommended."""
    problem = limited(mixed(), simplicity=simplicity)
    least = cheapest(problem)
    assert complexity(simplest(problem, least)) == complexity(least)


def test_limits_hold_for_the_simpler_fleet_too():
    """A fleet of one backend that no limit allows is not recommended."""
    problem = replace(mixed(), quota_limits={("q", "on_demand"): 1.0})
    pools = tuple(replace(pool, quotas={("q", "on_demand"): float(pool.key == "large")}) for pool in problem.pools)
    problem = replace(problem, pools=pools)
    least = cheapest(problem)
    assert complexity(simplest(problem, least))[:2] == (2, 2)
