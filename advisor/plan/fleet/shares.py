"""How requests are split over the pools of a fleet: the weights that are planned, replayed and generated.

Pools of one region whose instances serve alike are one *target*: a load balancer splits what a target receives evenly
over its instances. A router has one weight for each target, the same in every hour; where a target has no instance up,
the others take its part in proportion to their own weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from advisor.plan.fleet.formulas import mix_rate, requests_per_month
from advisor.plan.fleet.solver import Outcome, Program
from advisor.plan.fleet.values import Allocation, FleetSolution, Floats, HourClass, Pool, Problem

Terms = list[tuple[int, float]]
ROUNDING = 1e-9
ROOM = 1e-7
"""Relative slack of a bound that one linear program hands to the next."""


def targets(solution: FleetSolution) -> Mapping[str, str]:
    """Target of each pool of a fleet, named after the first pool that serves like it."""
    first: dict[tuple[object, ...], str] = {}
    return {
        one.pool.key: first.setdefault(
            (one.pool.region, one.pool.replicas, one.pool.mix_rates.tobytes(), one.pool.rates.tobytes()), one.pool.key
        )
        for one in solution.allocations
    }


def weights(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each place's bucket that each target receives: (places, buckets or 1), by target.

    In proportion to capacity where requests are alike to the router and cost the same to answer from anywhere.
    Otherwise the fleet is loaded as evenly as its rates allow: the highest utilisation of a pool in the busiest hours
    is the least possible, then the lowest is the highest possible, at no more data transfer than the optimiser found.
    """
    shape = (len(problem.place_shares), max(len(problem.bucket_shares), 1))
    counts = _instances(solution)
    if _alike(problem, solution):
        of_pool = {
            one.key: np.full(shape, counts[one.key][-1] * mix_rate(problem, one)) for one in _pools(solution)
        }  # fmt: skip
    else:
        of_pool = dict(_Even(problem, solution, counts).shares())
    found: dict[str, Floats] = {}
    for key, target in targets(solution).items():
        if key in of_pool:
            found[target] = found.get(target, np.zeros(shape)) + of_pool[key]
    whole = np.sum(list(found.values()), axis=0)
    return {target: np.divide(share, whole, out=np.zeros(shape), where=whole > 0) for target, share in found.items()}


def request_shares(problem: Problem, solution: FleetSolution) -> Mapping[str, Floats]:
    """Share of each bucket's requests (of all without buckets), over all places: (classes, buckets or 1), by pool.

    What the :func:`weights` of the targets come to with the instances that are up in each hour class.
    """
    of_target, counts, target_of = weights(problem, solution), _instances(solution), targets(solution)
    rates = {one.key: mix_rate(problem, one) for one in _pools(solution)}
    up = {
        target: np.sum([counts[key] for key in counts if target_of[key] == target], axis=0)
        for target in dict.fromkeys(target_of.values())
    }
    split = {target: (up[target] > 0)[:, None, None] * of_target[target] for target in up}
    whole = np.sum(list(split.values()), axis=0)
    spare = {target: (up[target] * rates[target])[:, None, None] + np.zeros_like(whole) for target in up}
    all_spare = np.sum(list(spare.values()), axis=0)
    found: dict[str, Floats] = {}
    for key, target in target_of.items():
        share = np.where(whole > 0, _ratio(split[target], whole), _ratio(spare[target], all_spare))
        own = _ratio(counts[key], up[target])[:, None, None] * share
        found[key] = np.einsum("hpb,p->hb", own, problem.place_shares)
    return found


def planned_rates(problem: Problem, solution: FleetSolution) -> Mapping[str, float]:
    """Requests per second that an instance of each pool is planned to carry, of the requests that it is sent.

    What all instances of the busiest hours are planned to carry together is no less than the planned rate.
    """
    usual = {one.key: mix_rate(problem, one) for one in _pools(solution)}
    if _alike(problem, solution):
        return usual
    busy = _Even(problem, solution, _instances(solution)).rates()
    return usual | busy


def group_part(solution: FleetSolution, allocation: Allocation) -> Floats:
    """Share of its pool's instances that a group has, in each hour class."""
    return _ratio(np.array(allocation.instances, dtype=np.float64), _instances(solution)[allocation.pool.key])


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)


def _pools(solution: FleetSolution) -> list[Pool]:
    return list({one.pool.key: one.pool for one in solution.allocations}.values())


def _instances(solution: FleetSolution) -> dict[str, Floats]:
    """Instances of each pool in each hour class, however they are paid for."""
    found: dict[str, Floats] = {}
    for one in solution.allocations:
        own = np.array(one.instances, dtype=np.float64)
        found[one.pool.key] = found.get(one.pool.key, np.zeros(own.size)) + own
    return found


def _alike(problem: Problem, solution: FleetSolution) -> bool:
    """Whether it makes no difference to the router which request a pool receives, nor to the cost."""
    transfer = {one.usd_per_request for one in _pools(solution)}
    one_kind = len(problem.place_shares) == 1 and not len(problem.bucket_shares)
    return (one_kind and len(transfer) == 1) or problem.hours[-1].planned_rate == 0


@dataclass(slots=True, eq=False)
class _Even:
    """The most even shares of the busiest hours, as two linear programs."""

    problem: Problem
    solution: FleetSolution
    counts: Mapping[str, Floats]

    def shares(self) -> Iterator[tuple[str, Floats]]:
        """Of each pool: (places, buckets or 1); those of the optimiser where there are no others."""
        pools = [one for one in _pools(self.solution) if self.counts[one.key][-1] > 0]
        highest = self._solved(pools, None)
        level = None if highest is None else highest[0][0] * (1 + ROOM) + ROUNDING
        even = None if level is None else self._solved(pools, level)
        if even is None:
            yield from ((key, share[-1]) for key, share in self.solution.shares.items())
            return
        values, parts = even
        for pool, terms in zip(pools, parts, strict=True):
            share = np.zeros((len(self.problem.place_shares), max(len(self.problem.bucket_shares), 1)))
            for p, b, variable in terms:
                share[p, b] += max(values[variable], 0.0)
            yield pool.key, share

    def rates(self) -> dict[str, float]:
        """Requests per second at which an instance of each pool that receives any is just busy."""
        buckets = self.problem.bucket_shares if len(self.problem.bucket_shares) else np.ones(1)
        found: dict[str, float] = {}
        for pool in _pools(self.solution):
            share = self.solution.shares.get(pool.key)
            if share is None:
                continue
            parts = share[-1] * self.problem.place_shares[:, None] * buckets
            rates = pool.rates if pool.rates.size else pool.mix_rates[:, None]
            work = np.divide(parts, rates, out=np.zeros(parts.shape), where=rates > 0).sum()
            if work > 0:
                found[pool.key] = float(parts.sum() / work)
        return found

    def _solved(
        self, pools: list[Pool], level: float | None
    ) -> tuple[Floats, list[list[tuple[int, int | slice, int]]]] | None:
        """Least highest utilisation (variable 0); with a level that it may have, highest lowest one (variable 1)."""
        program = Program()
        high, low = program.variable(upper=np.inf if level is None else level), program.variable()
        program.add_cost(high if level is None else low, 1.0 if level is None else -1.0)
        parts = [self._variables(program, pool) for pool in pools]
        self._demand(program, parts)
        for pool, terms in zip(pools, parts, strict=True):
            load = [(variable, self._load(pool, p, b)) for p, b, variable in terms]
            count = float(self.counts[pool.key][-1])
            program.row("highest", [*load, (high, -count)], upper=0.0)
            if terms:
                program.row("lowest", [*load, (low, -count)], lower=0.0)
        self._transfer(program, pools, parts)
        found = program.solve(whole=False)
        return (found.values, parts) if found.outcome is Outcome.OPTIMAL else None

    def _variables(self, program: Program, pool: Pool) -> list[tuple[int, int | slice, int]]:
        """(place, bucket or all of them, variable) of every share that the pool can take."""
        found: list[tuple[int, int | slice, int]] = []
        for p in range(len(self.problem.place_shares)):
            if pool.mix_rates[p] > 0:
                found.append((p, slice(None), program.variable(upper=1.0)))
            for b in range(len(self.problem.bucket_shares)):
                if pool.rates[p, b] > 0:
                    found.append((p, b, program.variable(upper=1.0)))
        return found

    def _demand(self, program: Program, parts: list[list[tuple[int, int | slice, int]]]) -> None:
        for p in range(len(self.problem.place_shares)):
            for b in range(max(len(self.problem.bucket_shares), 1)):
                terms: Terms = [
                    (variable, 1.0) for of in parts for place, at, variable in of if place == p and at in (b, slice(None))
                ]
                program.row("demand", terms, lower=1.0, upper=1.0)

    def _load(self, pool: Pool, p: int, b: int | slice) -> float:
        """Instances that all of these requests keep busy."""
        rate = self.problem.hours[-1].planned_rate * self._part(p, b)
        return float(rate / (pool.mix_rates[p] if isinstance(b, slice) else pool.rates[p, b]))

    def _part(self, p: int, b: int | slice) -> float:
        bucket = 1.0 if isinstance(b, slice) else float(self.problem.bucket_shares[b])
        return float(self.problem.place_shares[p]) * bucket

    def _transfer(
        self, program: Program, pools: list[Pool], parts: list[list[tuple[int, int | slice, int]]]
    ) -> None:  # fmt: skip
        """No more for data transfer than the shares of the optimiser take in these hours."""
        hour: HourClass = self.problem.hours[-1]
        buckets = self.problem.bucket_shares if len(self.problem.bucket_shares) else np.ones(1)
        known = sum(
            pool.usd_per_request * float(self.solution.shares[pool.key][-1].T @ self.problem.place_shares @ buckets)
            for pool in pools
            if pool.key in self.solution.shares
        )
        terms: Terms = [
            (variable, pool.usd_per_request * self._part(p, b))
            for pool, of in zip(pools, parts, strict=True)
            for p, b, variable in of
        ]
        scale = requests_per_month(hour)
        spent = [(variable, usd * scale) for variable, usd in terms if usd]
        if spent:
            program.row("transfer", spent, upper=known * scale * (1 + ROOM) + ROUNDING)
