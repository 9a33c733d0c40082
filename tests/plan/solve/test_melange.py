"""Mixed fleets against the published baseline and against one type alone, on the same rates and prices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.plan.solve.dominance import without_dominated
from advisor.workload.values import Limits, Routing
from plan.fleet.catalogued import example, formulation
from plan.fleet.melange import melange_usd_per_month, single_usd_per_month
from plan.fleet.problems import optimise, pool_of, problem_of

CENTS = 0.02
SHARES = (0.5, 0.3, 0.15, 0.05)


def table(seed: int, types: int, rate: float):
    """Types of all sizes; the rate of an instance depends on the lengths of the prompts, differently for each."""
    draw = np.random.default_rng(seed)
    pools = []
    for at in range(types):
        usd = draw.uniform(0.4, 12)
        rates = usd * draw.uniform(0.5, 1.5) * np.sort(draw.uniform(0.2, 3, len(SHARES)))[::-1]
        rates *= draw.uniform(size=len(SHARES)) > 0.1
        mix = 0.0 if (rates == 0).any() else draw.uniform(0.9, 1.0) / (np.array(SHARES) / rates).sum()
        pools.append(pool_of(f"p{at}", mix, usd, rates=[rates]))
    return problem_of(*pools, planned=(rate,), buckets=SHARES)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(0.3, 40))
def test_never_dearer_than_slices_of_buckets_or_one_type(seed, types, rate):
    """On the same table of rates and prices the fleet never costs more than Mélange's mix, nor than one type."""
    problem = table(seed, types, rate)
    found = optimise(problem)
    best = min(melange_usd_per_month(problem.pools, SHARES, rate), single_usd_per_month(problem.pools, rate))
    assert getattr(found, "objective_usd_per_month", float("inf")) <= best + CENTS


@pytest.mark.parametrize("scale", [0.2, 3.0, 30.0])
def test_never_dearer_over_the_catalog(scale):
    """Nor do its machines with the catalog's prices and the predicted rates of a real workload."""
    workload = example(
        "chat", routing=Routing.BY_PROMPT_LENGTH, purchase=(Purchase.ON_DEMAND,), limits=Limits()
    )  # fmt: skip
    problem = without_dominated(replace(formulation(workload, scale).problem, charges={}))
    problem = replace(problem, pools=tuple(replace(pool, usd_per_request=0.0) for pool in problem.pools))
    rate = problem.hours[-1].planned_rate
    found = optimise(problem)
    assert found.proven
    assert found.objective_usd_per_month <= single_usd_per_month(problem.pools, rate) + CENTS
    assert (
        found.objective_usd_per_month <= melange_usd_per_month(problem.pools, problem.bucket_shares, rate, 5.0) + CENTS
    )
