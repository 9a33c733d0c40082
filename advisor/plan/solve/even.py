"""The most even load of a fleet whose pools serve some requests faster than others: two linear programs."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from advisor.plan.problem.formulas import requests_per_month
from advisor.plan.problem.values import Allocation, FleetSolution, Floats, Pool, Problem
from advisor.plan.solve.solver import INFINITY, Outcome, Program
from advisor.records import dataclass

ROUNDING = 1e-9
ROOM = 1e-7
"""Relative slack of a bound that one program hands to the next."""


class _Server(NamedTuple):
    """Instances of a pool, as far as the split of requests depends on them."""

    mix_rates: tuple[float, ...]
    rates: tuple[tuple[float, ...], ...]
    usd_per_request: float
    instances: float


class _Requests(NamedTuple):
    """Requests of the busiest hours."""

    planned_rate: float
    per_month: float
    places: tuple[float, ...]
    buckets: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Places, and buckets or one."""
        return len(self.places), len(self.buckets) or 1


@dataclass(frozen=True, slots=True)
class _Part:
    """Requests that a pool may take a share of: all of a place, or those of one bucket."""

    pool: int
    place: int
    buckets: tuple[int, ...]
    variable: int
    load: float
    """Instances that all of them keep busy."""
    usd: float
    """Data transfer of all of them, USD a month at the rate of the busiest hours."""


def even_shares(
    problem: Problem, solution: FleetSolution, pools: Sequence[Pool], counts: Sequence[float]
) -> Mapping[str, Floats]:
    """Shares of the busiest hours that load a fleet as evenly as its rates allow: (places, buckets or 1), by pool.

    The highest utilisation is the least possible, then the lowest is the highest possible, at no more data transfer
    than the optimiser's own shares cost, which are the answer where there are no others.

    Args:
        problem: rates and the requests of each place and bucket.
        solution: the fleet.
        pools: those that have instances in the busiest hours.
        counts: how many.
    """
    transfer_usd = _transfer_usd(problem, solution, pools)
    requests, servers = _requests(problem), _servers(pools, counts)
    highest = _solved(requests, servers, None, transfer_usd)
    level = highest and float(highest[0][0]) * (1 + ROOM) + ROUNDING
    even = highest and _solved(requests, servers, level, transfer_usd)
    if not even:
        return {key: share[-1] for key, share in solution.shares.items()}
    values, parts = even
    split = {pool.key: np.zeros(requests.shape) for pool in pools}
    for part in parts:
        split[pools[part.pool].key][part.place, list(part.buckets)] += max(float(values[part.variable]), 0.0)
    return split


def can_carry(problem: Problem, allocations: Sequence[Allocation]) -> bool:
    """Whether the instances of the busiest hours carry their planned load, wherever its requests come from."""
    counts: dict[str, int] = {}
    for allocation in allocations:
        counts[allocation.pool.key] = counts.get(allocation.pool.key, 0) + allocation.instances[-1]
    pools = {allocation.pool.key: allocation.pool for allocation in allocations if counts[allocation.pool.key]}
    servers = _servers(list(pools.values()), [float(counts[key]) for key in pools])
    solved = _solved(_requests(problem), servers)
    return solved is not None and float(solved[0][0]) <= 1 + ROOM


def _requests(problem: Problem) -> _Requests:
    hour, places, buckets = problem.hours[-1], problem.place_shares.tolist(), problem.bucket_shares.tolist()
    return _Requests(hour.planned_rate, requests_per_month(hour), tuple(places), tuple(buckets))


def _servers(pools: Sequence[Pool], counts: Sequence[float]) -> tuple[_Server, ...]:
    return tuple(
        _Server(tuple(pool.mix_rates.tolist()), tuple(map(tuple, pool.rates.tolist())), pool.usd_per_request, count)
        for pool, count in zip(pools, counts, strict=True)
    )


@lru_cache(maxsize=1024)
def _solved(
    requests: _Requests, servers: tuple[_Server, ...], level: float | None = None, transfer_usd: float = INFINITY
) -> tuple[Floats, tuple[_Part, ...]] | None:
    """Least highest utilisation (variable 0); with a level that it may have, the highest lowest one (variable 1).

    The same fleet is asked for wherever its weights are read.
    """
    program = Program()
    high, low = program.variable(upper=INFINITY if level is None else level), program.variable()
    program.add_cost(high if level is None else low, 1.0 if level is None else -1.0)
    parts = tuple(part for at, server in enumerate(servers) for part in _parts(requests, program, at, server))
    for place, bucket in np.ndindex(requests.shape):
        terms = [(part.variable, 1.0) for part in parts if part.place == place and bucket in part.buckets]
        program.row("demand", terms, lower=1.0, upper=1.0)
    for at, server in enumerate(servers):
        load = [(part.variable, part.load) for part in parts if part.pool == at]
        program.row("highest", [*load, (high, -server.instances)], upper=0.0)
        program.row("lowest", [*load, (low, -server.instances)], lower=0.0)
    transfer = [(part.variable, part.usd) for part in parts if part.usd]
    if transfer and transfer_usd < INFINITY:
        program.row("transfer", transfer, upper=transfer_usd * (1 + ROOM) + ROUNDING)
    solution = program.solve(whole=False)
    return (solution.values, parts) if solution.outcome is Outcome.OPTIMAL else None


def _parts(requests: _Requests, program: Program, at: int, server: _Server) -> Iterator[_Part]:
    every = tuple(range(requests.shape[1]))
    for place, of_place in enumerate(requests.places):
        shares = [(every, of_place, server.mix_rates[place])]
        shares += [((b,), of_place * part, server.rates[place][b]) for b, part in enumerate(requests.buckets)]
        for buckets, share, rate in shares:
            if rate > 0:
                usd = server.usd_per_request * share * requests.per_month
                load = requests.planned_rate * share / rate
                yield _Part(at, place, buckets, program.variable(upper=1.0), load, usd)


def _transfer_usd(problem: Problem, solution: FleetSolution, pools: Sequence[Pool]) -> float:
    """Monthly transfer cost of the optimiser's shares in these hours."""
    buckets = problem.parts
    usd = [
        pool.usd_per_request * float(solution.shares[pool.key][-1].T @ problem.place_shares @ buckets)
        for pool in pools
        if pool.key in solution.shares
    ]
    return sum(usd) * requests_per_month(problem.hours[-1])
