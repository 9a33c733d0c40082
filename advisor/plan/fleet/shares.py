"""Which share of the requests each pool receives."""

from collections.abc import Mapping

import numpy as np

from advisor.plan.fleet.formulas import mix_rate
from advisor.plan.fleet.values import FleetSolution, Floats, Problem


def request_shares(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each bucket's requests (of all without buckets), over all places: (classes, buckets or 1), by pool.

    Where all requests are alike to the router, each pool receives its part of the fleet's capacity, which any fleet
    that carries the demand allows; otherwise the shares are those that the optimiser chose, none for what stands by.
    """
    if len(problem.place_shares) == 1 and not len(problem.bucket_shares):
        return _by_capacity(problem, solution)
    nothing = np.zeros((len(problem.hours), max(len(problem.bucket_shares), 1)))
    received = {key: np.einsum("hpb,p->hb", share, problem.place_shares) for key, share in solution.shares.items()}
    return {one.pool.key: nothing for one in solution.allocations} | received


def _by_capacity(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    rates: dict[str, Floats] = {}
    for one in solution.allocations:
        rate = np.array(one.instances, dtype=np.float64) * mix_rate(problem, one.pool)
        rates[one.pool.key] = rates.get(one.pool.key, 0.0) + rate
    whole = np.sum(list(rates.values()), axis=0)
    safe = np.where(whole > 0, whole, 1.0)
    return {key: (rate / safe)[:, None] for key, rate in rates.items()}
