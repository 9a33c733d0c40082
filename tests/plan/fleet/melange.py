"""The mix of one load that Mélange finds (Griggs et al. 2024, section 5), and the cheapest single type."""

import math
from collections.abc import Sequence

from advisor.plan.problem.values import Pool
from advisor.plan.solve.solver import Outcome, Program
from advisor.units import HOURS_PER_MONTH

SLICES = 8
"""Parts of a bucket, each of which goes to one type as a whole."""


def melange_usd_per_month(pools: Sequence[Pool], shares: Sequence[float], rate: float, seconds: float = 20.0) -> float:
    """Cost of the cheapest mix on demand: slices of buckets to types, load of a type ≤ its instances.

    The slices of a bucket are alike, so their numbers are the variables: the same mixes without the symmetry.
    """
    program = Program()
    taken: list[list[tuple[int, float]]] = [[] for _ in shares]
    for pool in pools:
        count = program.variable(integer=True)
        program.add_cost(count, pool.tariffs[0].all_usd_per_hour * HOURS_PER_MONTH)
        load = [(count, -1.0)]
        for b, share in enumerate(shares):
            if pool.rates[0, b] > 0:
                slices = program.variable(upper=SLICES, integer=True)
                taken[b].append((slices, 1.0))
                load.append((slices, rate * share / SLICES / pool.rates[0, b]))
        program.row("load", load, upper=0.0)
    for slices_of_bucket in taken:
        program.row("bucket", slices_of_bucket, lower=SLICES, upper=SLICES)
    solution = program.solve(seconds)
    found = solution.outcome in {Outcome.OPTIMAL, Outcome.STOPPED}
    return solution.objective if found else math.inf


def single_usd_per_month(pools: Sequence[Pool], rate: float) -> float:
    """Cost of the cheapest single type on demand that takes all requests."""
    return min(
        (
            math.ceil(rate / pool.mix_rates[0] - 1e-9) * pool.tariffs[0].all_usd_per_hour * HOURS_PER_MONTH
            for pool in pools
            if pool.mix_rates[0] > 0
        ),
        default=math.inf,
    )
