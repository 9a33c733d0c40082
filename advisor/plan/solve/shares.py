"""Split of requests over the pools of a fleet: the weights that are planned, replayed and generated.

Pools of one region whose instances serve alike are one *target*: a load balancer splits what a target receives evenly
over its instances. A router has one weight for each target, the same in every hour; where a target has no instance up,
the others take its part in proportion to their own weights. It keeps its weight where one of its instances fails: what
a fleet has to survive is left out of the capacity that weights follow. Where pools serve some requests faster than
others, two linear programs find the most even load.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from advisor.plan.problem.charges import provider_of
from advisor.plan.problem.formulas import (
    Group,
    Part,
    busiest_class,
    busy_instances,
    group_key,
    mix_rate,
    ratio_of,
    requests_per_month,
    share_without,
)
from advisor.plan.problem.values import Allocation, FleetSolution, Floats, Pool, Problem, PurchaseOption
from advisor.plan.solve.solver import INFINITY, Outcome, Program
from advisor.records import dataclass, replace
from advisor.units import ROUNDING

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


def can_carry(problem: Problem, allocations: Sequence[Allocation], at: int = -1) -> bool:
    """Whether the instances of hour class *at* carry its planned load, wherever its requests come from."""
    counts: dict[str, int] = {}
    for allocation in allocations:
        counts[allocation.pool.key] = counts.get(allocation.pool.key, 0) + allocation.instances[at]
    pools = {allocation.pool.key: allocation.pool for allocation in allocations if counts[allocation.pool.key]}
    servers = _servers(list(pools.values()), [float(counts[key]) for key in pools])
    solved = _solved(_requests(problem, at), servers)
    return solved is not None and float(solved[0][0]) <= 1 + ROOM


def _requests(problem: Problem, at: int = -1) -> _Requests:
    hour, places, buckets = problem.hours[at], problem.place_shares.tolist(), problem.bucket_shares.tolist()
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


AS_EVEN = 1e-5
"""Excess of the highest load up to which one split is as even as another."""


def targets(solution: FleetSolution) -> Mapping[str, str]:
    """Target of each pool of a fleet, named after the first pool that serves like it."""
    first: dict[tuple[object, ...], str] = {}
    return {
        pool.key: first.setdefault(
            (pool.region, pool.replicas, pool.mix_rates.tobytes(), pool.rates.tobytes()), pool.key
        )
        for pool in _pools(solution)
    }  # fmt: skip


def weights(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each place's bucket that each target receives: (places, buckets or 1), by target.

    In proportion to the capacity that a failure leaves of each in the busiest hours in which it has any, where requests
    are alike to the router and cost the same to answer from anywhere; otherwise as even as the rates allow, and alike
    for prompts of all lengths where that is as even.
    """
    of_target = _weights(problem, solution)
    if not len(problem.bucket_shares) or not costs_the_same(solution):
        return of_target
    whole = {key: share @ problem.parts[:, None] for key, share in solution.shares.items()}
    anywhere = _weights(replace(problem, bucket_shares=np.zeros(0)), replace(solution, shares=whole))
    alike = {target: np.repeat(share, problem.parts.size, axis=1) for target, share in anywhere.items()}
    most = _highest_load(problem, solution, of_target) * (1 + AS_EVEN)
    return alike if _highest_load(problem, solution, alike) <= most else of_target


def _weights(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """The same, as even as the rates allow wherever requests differ."""
    shape = (len(problem.place_shares), problem.parts.size)
    counts, target_of = _instances(solution), targets(solution)
    counted = counted_instances(problem, solution)
    pools = [pool for pool in _pools(solution) if counts[pool.key][-1] > 0]
    if _alike(problem, solution):
        classes = {target: busiest_class(count) for target, count in _by_target(counts, target_of).items()}
        of_pool = {
            pool.key: np.full(shape, counted[pool.key][classes[target_of[pool.key]]] * mix_rate(problem, pool))
            for pool in _pools(solution)
        }
    else:
        of_pool = dict(even_shares(problem, solution, pools, [float(counted[pool.key][-1]) for pool in pools]))
    of_targets = {target: np.zeros(shape) for target in target_of.values()}
    for key, share in of_pool.items():
        of_targets[target_of[key]] = of_targets[target_of[key]] + share
    whole = np.sum(list(of_targets.values()), axis=0)
    return {target: ratio_of(share, whole) for target, share in of_targets.items()}


def _highest_load(problem: Problem, solution: FleetSolution, of_target: Mapping[str, Floats]) -> float:
    """Busy instances of the target that its weights load most ÷ those that they count on."""
    target_of, counted = targets(solution), _by_target(counted_instances(problem, solution), targets(solution))
    first = {target_of[pool.key]: pool for pool in reversed(_pools(solution))}
    loads = [
        float(ratio_of(np.array(busy_instances(problem, first[target], share)), counted[target][-1]))
        for target, share in of_target.items()
    ]
    return max(loads, default=0.0)


def sends_anywhere(problem: Problem, solution: FleetSolution) -> bool:
    """Whether prompts of all lengths are sent alike: each place's buckets have the same weights."""
    return all((share == share[:, :1]).all() for share in weights(problem, solution).values())


def counted_instances(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Instances of each pool that its target's weight counts on: (classes,), by pool.

    Where ``share`` of the load has to be sustained without a machine (on spot: while one is interrupted) or a zone, a
    target has room for what it has left then ÷ ``share``, and for no more than what all its instances carry. All of a
    target of which nothing would be left: others take its part. Balancers of Google Cloud's groups split what comes by
    the instances that are up, so all of theirs count.
    """
    counts, target_of = _instances(solution), targets(solution)
    if splits_by_what_is_up(solution):
        return counts
    up = _by_target(counts, target_of)
    in_zone = _by_target(_lost_in_zone(solution), target_of)
    without_machine = _shares_without_machine(problem, solution, target_of)
    without_zone = share_without(problem.limits, Part.ZONE)
    room = {
        target: np.minimum(
            _room(count, np.minimum(count, 1.0), without_machine[target]), _room(count, in_zone[target], without_zone)
        )
        for target, count in up.items()
    }
    return {key: ratio_of(count * room[target_of[key]], up[target_of[key]]) for key, count in counts.items()}


def _shares_without_machine(
    problem: Problem, solution: FleetSolution, target_of: Mapping[str, str]
) -> Mapping[str, float]:
    """Share of the load to be sustained without a machine of each target; on spot, also while one is interrupted."""
    asked, interrupted = (share_without(problem.limits, part) for part in (Part.MACHINE, Part.SUPPLY))
    shares = dict.fromkeys(target_of.values(), asked)
    for allocation in solution.allocations:
        if allocation.tariff.paid is PurchaseOption.SPOT:
            shares[target_of[allocation.pool.key]] = max(asked, interrupted)
    return shares


def _room(count: Floats, lost: Floats, share: float) -> Floats:
    """Instances that a weight may count on where those that are left have to sustain a share; all where none is."""
    left = count - lost
    return count if share <= 0 else np.minimum(count, np.where(left > 0, left / share, count))


def _lost_in_zone(solution: FleetSolution) -> Mapping[str, Floats]:
    """Instances of each pool that the loss of one zone takes, of each group by itself: (classes,), by pool."""
    groups: dict[Group, Floats] = {}
    for allocation in solution.allocations:
        key = group_key(allocation.pool, allocation.tariff)
        counts = np.array(allocation.instances, float)
        groups[key] = groups.get(key, np.zeros(counts.size)) + counts
    zones = {pool.key: pool.zones for pool in _pools(solution)}
    lost: dict[str, Floats] = {}
    for (name, _), count in groups.items():
        lost[name] = lost.get(name, np.zeros(count.size)) + np.ceil(count / zones[name])
    return lost


def splits_by_what_is_up(solution: FleetSolution) -> bool:
    """Whether a balancer splits the requests by the instances that are up, as Google Cloud's does over its groups."""
    return all(provider_of(pool.region) == "gcp" and not pool.on_nodes for pool in _pools(solution))


def _by_target(counts: Mapping[str, Floats], target_of: Mapping[str, str]) -> dict[str, Floats]:
    """Instances of all pools of each target."""
    of_targets: dict[str, Floats] = {}
    for key, count in counts.items():
        of_targets[target_of[key]] = of_targets.get(target_of[key], 0.0) + count
    return of_targets


def request_shares(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each bucket's requests (of all without buckets), over all places: (classes, buckets or 1), by pool.

    Those that its cost was counted with, where that depends on them.
    """
    shares = solution.shares if depends_on_routing(problem, solution) else routed_shares(problem, solution)
    return {key: np.einsum("hpb,p->hb", share, problem.place_shares) for key, share in shares.items()}


def routed_shares(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each place's bucket that each pool receives: (classes, places, buckets or 1).

    What the :func:`weights` of the targets come to with the instances that are up in each hour class; by capacity where
    none of those has a weight.
    """
    of_target, counts, target_of = weights(problem, solution), _instances(solution), targets(solution)
    rates = {pool.key: mix_rate(problem, pool) for pool in _pools(solution)}
    up = _by_target(counts, target_of)
    weighted = {target: (up[target] > 0)[:, None, None] * share for target, share in of_target.items()}
    usual = {target: (up[target] * rates[target])[:, None, None] for target in of_target}
    whole, capacity = (np.sum(list(of_targets.values()), axis=0) for of_targets in (weighted, usual))
    routed: dict[str, Floats] = {}
    for key, target in target_of.items():
        share = np.where(whole > 0, ratio_of(weighted[target], whole), ratio_of(usual[target], capacity))
        routed[key] = ratio_of(counts[key], up[target])[:, None, None] * share
    return routed


def planned_rates(problem: Problem, solution: FleetSolution) -> Mapping[str, float]:
    """Requests per second that an instance of each pool is planned to carry, of those that its :func:`weights` send it.

    At the rate of the mix as far as it receives prompts of all lengths alike, at that of each length beyond, and no
    less than it receives in the busiest hours: together the instances there carry no less than the planned rate.
    """
    if _alike(problem, solution):
        return {pool.key: mix_rate(problem, pool) for pool in _pools(solution)}
    of_target, counts, target_of = weights(problem, solution), _instances(solution), targets(solution)
    up = _by_target(counts, target_of)
    return {
        pool.key: _planned_rate(problem, pool, of_target[target_of[pool.key]], up[target_of[pool.key]][-1])
        for pool in _pools(solution)
    }


def _planned_rate(problem: Problem, pool: Pool, share: Floats, instances: float) -> float:
    """The same of a pool whose target receives a share of each place's bucket with so many instances."""
    requests = float((share * problem.place_shares[:, None] * problem.parts).sum())
    busy = busy_instances(problem, pool, share)
    if not busy > 0 or not instances:
        return mix_rate(problem, pool)
    received = problem.hours[-1].planned_rate * requests / instances
    return float(max(requests / busy, received))


def group_part(solution: FleetSolution, allocation: Allocation) -> Floats:
    """Share of its pool's instances that a group has, in each hour class."""
    return ratio_of(np.array(allocation.instances, dtype=np.float64), _instances(solution)[allocation.pool.key])


def _pools(solution: FleetSolution) -> list[Pool]:
    return list({allocation.pool.key: allocation.pool for allocation in solution.allocations}.values())


def _instances(solution: FleetSolution) -> dict[str, Floats]:
    """Instances of each pool in each hour class, however they are paid for."""
    counts: dict[str, Floats] = {}
    for allocation in solution.allocations:
        own = np.array(allocation.instances, dtype=np.float64)
        counts[allocation.pool.key] = counts.get(allocation.pool.key, np.zeros(own.size)) + own
    return counts


def _alike(problem: Problem, solution: FleetSolution) -> bool:
    """Whether it makes no difference to the router which request a pool receives, nor to the cost."""
    return (problem.all_alike and costs_the_same(solution)) or problem.hours[-1].planned_rate == 0


def costs_the_same(solution: FleetSolution) -> bool:
    """Whether an answer costs the same, whichever pool of a fleet gives it."""
    return len({allocation.pool.usd_per_request for allocation in solution.allocations}) == 1


def depends_on_routing(problem: Problem, solution: FleetSolution) -> bool:
    """Whether a fleet costs more or less by what its pools receive: for answers, or for what regions charge."""
    places = {
        (allocation.pool.region, allocation.tariff.on_hosts, allocation.pool.logs_requests)
        for allocation in solution.allocations
    }
    return not costs_the_same(solution) or (bool(problem.charges) and len(places) > 1)
