"""Limits that are said to help where no fleet holds with the least excess over them."""

import math
from types import SimpleNamespace

import pytest

from advisor.plan import relaxing
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, Relaxation
from advisor.workload.values import Limits
from plan.fleet.problems import QUOTA, pool_of, problem_of

KEY = (QUOTA, "on_demand")
POOLS = tuple(pool_of(f"p{at}", type_in_region=f"here/r{at}/p{at}", quotas={KEY: 2.0}) for at in range(4))


def taking(problem, *instances):
    """A fleet of so many instances of each pool, found for a question with limits of its own."""
    allocations = tuple(
        Allocation(pool, pool.tariffs[0], (count,)) for pool, count in zip(POOLS, instances, strict=False)
    )
    solution = FleetSolution(allocations, {}, 0.0, 0.0, proven=True)
    return SimpleNamespace(formulation=SimpleNamespace(problem=problem), solution=solution)


@pytest.mark.parametrize(
    ("relaxation", "problem", "needed"),
    [
        (
            Relaxation(Constraint.QUOTA, QUOTA, 2.0, 4.0, "units"),
            problem_of(*POOLS, quota_limits={KEY: 2.0}, limits=Limits(max_regions=4), max_regions=4),
            6.0,
        ),
        (
            Relaxation(Constraint.MAX_REGIONS, "", 1, 2, "regions"),
            problem_of(*POOLS, limits=Limits(max_regions=1), max_regions=1),
            3,
        ),
    ],
    ids=["quota", "regions"],
)
def test_the_least_limit_that_holds_is_named_where_only_none_at_all_is_known_to(
    monkeypatch, relaxation, problem, needed
):  # fmt: skip
    """Three instances in as many regions hold, of two units of the quota each; the least excess is of two."""

    def confirmed(_market, asked):
        units = asked.quota_limits.get(KEY, math.inf)
        return taking(asked, 1, 1, 1) if units >= 6 and (asked.max_regions or math.inf) >= 3 else None

    monkeypatch.setattr(relaxing, "_confirmed", confirmed)
    market = SimpleNamespace(formulation=SimpleNamespace(problem=problem))

    tried = relaxing.tried(market, Infeasible((relaxation.constraint,), (relaxation,)))

    assert [relaxed.needed for relaxed in tried.relaxations] == [needed]
