"""Fleets that hold although the closed form has them carry less than the planned rates: of every kind, then mixes."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import TypeGuard

import numpy as np

from advisor.plan.problem.constraints import most_headroom
from advisor.plan.problem.formulas import asks_for_what_is_left, mix_rate
from advisor.plan.problem.values import (
    Allocation,
    FleetSolution,
    Infeasible,
    Pool,
    Problem,
    PurchaseOption,
    constraints_of,
    content,
)
from advisor.plan.replay.groups import Confirmed, unproven, worst_share
from advisor.plan.replay.headroom import (
    EXACT,
    LEAST_HEADROOM,
    MANY,
    MOST_HEADROOM,
    TOLERANCE,
    WORTH_RATIO,
    Kind,
    kind_of,
)
from advisor.plan.solve.alone import Instances
from advisor.plan.solve.neighbours import keeps_to_all
from advisor.plan.solve.scopes import PoolsAlone, Singles, scope_of, usd_alone
from advisor.plan.solve.shares import request_shares
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Formulation
from advisor.records import dataclass, replace
from advisor.units import ROUNDING

MIXES_TRIED = 5
"""Headroom of a mix is looked for in so many steps."""
MIXED_KINDS = 4
"""Kinds that are mixed with each other."""

ALIKE = 1.1
"""Ways of paying for what a pool carries that differ by no more than this are alike."""
FINE = 1.005
"""Width of a bracket of the headroom of a mix."""
MIXES_ALIKE = 8
"""Kinds of which a mix is looked for that all carry as much beyond the closed form."""
NEAR_MISS = 0.9
"""Share of the requests within the SLO from which on a fleet on spot may fail for its interruption alone."""
LEAST_OF_A_MIX = 0.75
"""A mix that carries less of what the best fleet does is not looked for."""

LEAST_OF_A_KIND = 0.5
"""A kind is not mixed with others where its replicas would have to carry more than twice what the closed form says.

Nor is it tried by itself where many instances of it cost as much as the best fleet."""

Headroom = Mapping[Kind, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BelowClosedForm:
    """The search of one question."""

    formulation: Formulation
    kind_of: Callable[[str], Kind]
    """Of a pool, by its key."""
    optimum: Callable[[Formulation, Headroom], Confirmed | Infeasible]
    """The cheapest fleet with some headroom, replayed."""
    mix: Callable[[Formulation, Headroom, Confirmed], Confirmed | Infeasible]
    """About the cheapest fleet with some headroom, replayed; the given one where none is cheaper."""
    solved: Callable[[Headroom, Formulation, Confirmed], FleetSolution | Infeasible]
    """The cheapest fleet with some headroom; the given one where none is cheaper."""
    any_below: Callable[[Headroom, Formulation, float], FleetSolution | None]
    """A fleet with some headroom that costs less than an amount, about the cheapest; None where none is found."""
    alone: Callable[[Formulation], Confirmed | Infeasible]
    """The cheapest fleet of one kind that holds."""
    fewest: Callable[[Formulation, Confirmed], Confirmed]
    """The fleet of a question with as little headroom as holds, from one that holds."""
    refused: dict[tuple[object, ...], float]
    """USD a month below which no fleet of a kind holds, by its pools, of this and other questions."""
    singles: dict[tuple[object, ...], Callable[[float], Singles]]
    """Fleets of one pool by their headroom, by the pools of a kind, of this and other questions."""

    def cheaper(self, best: Confirmed | None, *, mixed: bool = True) -> Confirmed | None:
        """A fleet that costs less than a confirmed one and holds.

        Each kind is tried by itself with as many instances as cost less, then mixes: of kinds that all carry as much
        beyond the closed form, and of what each was not seen to fail to carry.

        Args:
            best: a confirmed fleet; proven where there is no cheaper mix, held by its replay or not. None: anything
                that holds will do.
            mixed: whether mixes are tried.
        """
        of_kinds = self._pools_of_kinds(self.formulation.problem)
        for pools in of_kinds:
            best = self._of_one_kind(pools, best)
        while best is not None and mixed:
            mix = self._mix_at_equal_headroom(best) or self._of_a_mix(best, of_kinds)
            if mix is None:
                return best if self._is_least(best, of_kinds) else unproven(best)
            best = mix
        return best

    def _of_one_kind(self, pools: tuple[Pool, ...], best: Confirmed | None) -> Confirmed | None:
        """A cheaper fleet of one kind, or the given one; what was refused before is not tried again."""
        limit, of_kind = self._limit(best), replace(self.formulation.problem, pools=pools)
        key = (constraints_of(of_kind), *((pool.key, pool.tariffs) for pool in pools))
        if limit <= self.refused.get(key, 0.0) or self._costs_more_at_half(of_kind, limit):
            return best
        closest = 0.0
        for ways in (self._tried, self._not_on_spot):
            for tried, headroom in ways(of_kind, limit):
                formulation = self.formulation.of(tried)
                fleet = self._alike(formulation, headroom)
                if _holds_below(fleet, limit):
                    return self._of_one_kind(pools, self.fewest(formulation, fleet))
                closest = max(closest, worst_share(fleet) if fleet else 0.0)
            if closest < NEAR_MISS:
                break
        self.refused[key] = limit
        return best

    def _mix_at_equal_headroom(self, best: Confirmed) -> Confirmed | None:
        """A cheaper mix that holds in which all kinds carry as little more than the closed form says as costs less."""
        least = best.confirmation.headroom_factor * LEAST_OF_A_MIX
        limit, pools = self._limit(best), self._near(best)
        formulation = self.formulation.of(pools)
        fleet = self._alike(formulation, self._below_in_a_mix(pools, least, limit))
        return self.fewest(formulation, fleet) if _holds_below(fleet, limit) else None

    def _alike(self, formulation: Formulation, headroom: float) -> Confirmed | None:
        """The cheapest fleet with a headroom, the same for all kinds; None where there is none."""
        kinds = {self.kind_of(pool.key) for pool in formulation.problem.pools}
        fleet = self.optimum(formulation, dict.fromkeys(kinds, headroom)) if headroom else None
        return fleet if isinstance(fleet, Confirmed) else None

    def _near(self, best: Confirmed) -> tuple[Pool, ...]:
        """The fleet's own pools, pools of its kinds, and of those that promise most where it may have further ones."""
        problem, sources = self.formulation.problem, best.formulation.pool_set.sources
        groups = [group.pool for group in best.solution.allocations]
        scopes = {scope_of(problem, pool) for pool in groups}
        near = replace(problem, pools=tuple(pool for pool in problem.pools if scope_of(problem, pool) in scopes))
        # Its pools are none of this formulation where a rung below has it.
        kinds = {kind_of(sources[pool.key].served.candidate) for pool in groups}
        of_kinds = sorted(self._pools_of_kinds(near), key=lambda pools: self.kind_of(pools[0].key) not in kinds)
        own = {pool.key for pool in groups}
        pools = {pool.key: pool for pool in near.pools if pool.key in own}
        for of_kind in of_kinds[:MIXES_ALIKE]:
            pools |= {pool.key: pool for pool in cheapest_by_payment(replace(problem, pools=of_kind))}
        return tuple(pools.values())

    def _tried(self, of_kind: Problem, limit_usd: float) -> Iterator[tuple[tuple[Pool, ...], float]]:
        """Pools of a kind with the headroom with which they cost just less than a limit: one pool, then several."""
        below, _ = self._headroom_below(of_kind, limit_usd)
        yield from self._single(of_kind, below)
        several = cheapest_by_payment(of_kind)
        payments = {tariff.paid for pool in several for tariff in pool.tariffs}
        if len(payments) > 1 and (asks_for_what_is_left(of_kind) or len(of_kind.hours) > 1):
            single = self._singles(of_kind)(below).cheapest if below else None
            own = {pool.key for pool in several}
            cheap = single if single is not None and single.allocations[0].pool.key in own else None
            yield several, self._below_in_a_mix(several, below, limit_usd, cheap)

    def _not_on_spot(self, of_kind: Problem, limit_usd: float) -> Iterator[tuple[tuple[Pool, ...], float]]:
        """The same in each way of paying that nothing interrupts: one on demand may hold where two on spot miss."""
        every = {tariff.paid: None for pool in of_kind.pools for tariff in pool.tariffs}
        for paid in (paid for paid in every if paid is not PurchaseOption.SPOT):
            only = tuple(
                replace(pool, tariffs=tuple(tariff for tariff in pool.tariffs if tariff.paid is paid))
                for pool in of_kind.pools
            )
            paid_so = replace(of_kind, pools=only)
            yield from self._single(paid_so, self._headroom_below(paid_so, limit_usd)[0])

    def _single(self, of_kind: Problem, headroom: float) -> Iterator[tuple[tuple[Pool, ...], float]]:
        """The pool of which a fleet with a headroom is the cheapest; nothing where there is none."""
        fleet = self._singles(of_kind)(headroom).cheapest if headroom else None
        if fleet is not None:
            key = fleet.allocations[0].pool.key
            yield tuple(pool for pool in of_kind.pools if pool.key == key), headroom

    def _costs_more_at_half(self, of_kind: Problem, limit_usd: float) -> bool:
        """Whether a kind costs more than a limit at twice what the closed form says, and has many instances for it."""
        fleet = self._singles(of_kind)(LEAST_OF_A_KIND).cheapest
        if fleet is None or fleet.objective_usd_per_month < limit_usd:
            return False
        return max(fleet.allocations[0].instances) * limit_usd >= MANY * fleet.objective_usd_per_month

    def _headroom_below(self, of_kind: Problem, limit_usd: float) -> tuple[float, float]:
        """Headroom with which a pool, paid for in one way, costs just less than a limit, and one with which none does.

        Args:
            of_kind: with pools of one kind.
            limit_usd: USD a month.

        Returns:
            Both from an eighth on; 0 and an eighth where no fleet costs less.
        """
        singles = self._singles(of_kind)

        def costs_less(headroom: float) -> bool:
            return singles(headroom).is_any_below(limit_usd)

        if not costs_less(LEAST_HEADROOM):
            return 0.0, LEAST_HEADROOM
        below, above = LEAST_HEADROOM, LEAST_HEADROOM
        while below == above and above < MOST_HEADROOM:
            above *= 2
            below = above if costs_less(above) else below
        while above > below * EXACT:
            middle = math.sqrt(below * above)
            below, above = (middle, above) if costs_less(middle) else (below, middle)
        return below, above

    def _singles(self, of_kind: Problem) -> Callable[[float], Singles]:
        """Fleets of one pool by their headroom; those of the same pools are computed once."""
        return self.singles.setdefault(content(of_kind), singles_by_headroom(of_kind))

    def _limit(self, best: Confirmed | None) -> float:
        """Cost that a fleet must undercut to be worth looking for: the best one's own where that may be proven."""
        if best is None:
            return math.inf
        may_be_proven = best.solution.proven and asks_for_rate_alone(self.formulation.problem)
        return best.usd_per_month - HALF_A_CENT if may_be_proven else best.usd_per_month * (1 - WORTH_RATIO)

    def _of_a_mix(self, best: Confirmed, of_kinds: Sequence[tuple[Pool, ...]]) -> Confirmed | None:
        """A cheaper mix that holds, in which each kind carries little more than it was seen to fail to carry alone."""
        limit = self._limit(best)
        every = ((pools, self._in_a_mix(pools, limit)) for pools in of_kinds)
        able = list(itertools.islice((able for able in every if LEAST_OF_A_KIND < able[1] < math.inf), MIXED_KINDS))
        formulation = self.formulation.of(pool for pools, _ in able for pool in self._first_of_quotas(pools))
        most = {self.kind_of(pools[0].key): above for pools, above in able}
        worth = best.as_if_at(limit)
        mix = self.mix(formulation, most, worth) if able else worth
        return None if isinstance(mix, Infeasible) or mix is worth else self._mix_below(worth, formulation, most, mix)

    def _in_a_mix(self, pools: tuple[Pool, ...], limit_usd: float) -> float:
        """Headroom of a kind to begin a mix with: where it costs about as much as a limit, which it does not hold with.

        Of a kind that a quota keeps from carrying the demand by itself it is the least that was seen to hold without.
        """
        if not all(map(self._quotas, pools)):
            return self._above(pools, limit_usd)
        fleet = self.alone(unlimited(self.formulation.of(pools[:1])))
        if not (isinstance(fleet, Confirmed) and fleet.confirmation.reached):
            return math.inf
        return fleet.confirmation.headroom_factor * most_headroom(fleet.formulation.problem, fleet.solution)

    def _above(self, pools: tuple[Pool, ...], limit_usd: float) -> float:
        """Headroom with which pools of one kind cost about as much as a limit; infinite where they always cost more."""
        below, above = self._headroom_below(replace(self.formulation.problem, pools=pools), limit_usd)
        return above if below else math.inf

    def _mix_below(
        self, worth: Confirmed, formulation: Formulation, most: Headroom, mix: Confirmed
    ) -> Confirmed | None:
        """The cheapest mix that holds below a limit, of a few with more headroom; None where none of them does."""
        failed, dear, solved_at = 1.0, worth.usd_per_month / mix.usd_per_month * TOLERANCE, 1.0
        holding = mix if mix.confirmation.reached else None
        for _ in range(MIXES_TRIED if holding is None else 0):
            if dear <= failed * TOLERANCE:
                break
            factor = math.sqrt(failed * dear)
            if with_less(formulation.problem, mix.solution, factor / solved_at):
                failed = factor
                continue
            other = self.mix(formulation, {kind: headroom * factor for kind, headroom in most.items()}, worth)
            if isinstance(other, Infeasible) or other is worth:
                dear = factor
            elif other.confirmation.reached:
                dear, holding, worth = factor, other, other.as_if_at(other.usd_per_month - HALF_A_CENT)
            else:
                failed, mix, solved_at = factor, other, factor
        return holding

    def _below_in_a_mix(
        self, pools: tuple[Pool, ...], least: float, limit_usd: float, cheap: FleetSolution | None = None
    ) -> float:
        """Headroom with which a mix costs less than a limit, to 0.5 %; 0 without any.

        Args:
            pools: what is mixed.
            least: headroom to begin with.
            limit_usd: USD a month.
            cheap: a fleet that costs less with that headroom; None: not known.
        """
        kinds = {self.kind_of(pool.key) for pool in pools}
        only, below = self.formulation.of(pools), 0.0
        headroom, above = max(least, LEAST_HEADROOM), MOST_HEADROOM
        while above > below * FINE:
            same = cheap and (with_less(only.problem, cheap, headroom / below) if below else cheap)
            fleet = same or self.any_below(dict.fromkeys(kinds, headroom), only, limit_usd)
            if fleet is not None:
                cheap, below, ratio = fleet, headroom, limit_usd / fleet.objective_usd_per_month
                headroom = min(headroom * max(ratio, TOLERANCE), math.sqrt(headroom * above))
            elif below:
                headroom, above = math.sqrt(below * headroom), headroom
            else:
                break
        return below

    def _is_least(self, best: Confirmed, of_kinds: Sequence[tuple[Pool, ...]]) -> bool:
        """Whether no mix is cheaper in which kinds that cost more by themselves carry eight times as much."""
        if not best.solution.proven or not asks_for_rate_alone(self.formulation.problem):
            return False
        limit = self._limit(best)
        least = {
            self.kind_of(pools[0].key): above if math.isfinite(above := self._above(pools, limit)) else LEAST_HEADROOM
            for pools in of_kinds
        }
        solution = self.solved(least, self.formulation, best)
        return isinstance(solution, FleetSolution) and solution.allocations is best.solution.allocations

    def _pools_of_kinds(self, problem: Problem) -> list[tuple[Pool, ...]]:
        """The cheapest pool of each kind, instance type and quota, those kinds first that would cost least."""
        usd = usd_alone(problem)
        pools: dict[Kind, dict[tuple[object, ...], Pool]] = {}
        for pool in sorted(problem.pools, key=lambda pool: (usd[pool.key], pool.key)):
            pools.setdefault(self.kind_of(pool.key), {}).setdefault((pool.instance_type, *self._quotas(pool)), pool)
        return [tuple(by_type.values()) for by_type in pools.values()]

    def _first_of_quotas(self, pools: tuple[Pool, ...]) -> tuple[Pool, ...]:
        """First pool of each set of quotas: those behind it are limited in the same way."""
        return tuple({self._quotas(pool): pool for pool in reversed(pools)}.values())

    def _quotas(self, pool: Pool) -> tuple[tuple[str, str], ...]:
        """Quotas that limit the instances of a pool."""
        return tuple(sorted(pool.quotas.keys() & self.formulation.problem.quota_limits.keys()))


def at_need(confirmed: Confirmed) -> Confirmed:
    """The same fleet, its replicas planned to carry what they need to: see :func:`_beyond` and :func:`_with_room`.

    The split of the requests stays as it was replayed.
    """
    problem, solution = confirmed.formulation.problem, confirmed.solution
    headroom = confirmed.confirmation.headroom_factor
    factors = _beyond(problem, solution, headroom) if headroom <= 1 else _with_room(confirmed.formulation, solution)
    if not factors:
        return confirmed
    planned = tuple(replace(group, pool=group.pool.slower(factors[group.pool.key])) for group in solution.allocations)
    fleet, shares = replace(solution, allocations=planned), request_shares(problem, solution)
    is_split_alike = all(np.allclose(share, shares[key]) for key, share in request_shares(problem, fleet).items())
    if not is_split_alike:
        return confirmed
    factor = headroom * min(factors.values())
    return replace(confirmed, solution=fleet, confirmation=replace(confirmed.confirmation, headroom_factor=factor))


def _beyond(problem: Problem, solution: FleetSolution, headroom: float) -> Mapping[str, float]:
    """Factor by which instances of each pool are planned to sustain less; empty where they stay as they are.

    Where fewer instances are not possible, a fleet is looked for with replicas that carry up to eight times as much:
    these carry no more than the planned rates ask for, where groups never run at the same time each by itself.
    """
    rooms = {
        group.pool.key: min(room * (1 - ROUNDING), 1 / headroom)
        for groups, room in _rooms(problem, solution)
        for group in groups
    }
    if max(rooms.values(), default=0.0) <= EXACT:
        return {}
    return {key: room if room > EXACT else 1.0 for key, room in rooms.items()}


def _with_room(formulation: Formulation, solution: FleetSolution) -> Mapping[str, float]:
    """The same of a fleet that was looked for with headroom, and may have more room than that it needs.

    Its replicas carry so much that one instance fewer would not carry the planned rates, or as much as by the closed
    form.
    """
    problem, usual = formulation.problem, {pool.key: pool for pool in formulation.pool_set.pools}
    groups = solution.allocations
    if any(group.pool.key not in usual for group in groups):
        return {}
    least = min(mix_rate(problem, usual[group.pool.key]) / mix_rate(problem, group.pool) for group in groups)
    factor = max(_room_of_fewer(problem, solution), 1 / least)
    return {group.pool.key: factor for group in groups} if factor < 1 / TOLERANCE else {}


def _room_of_fewer(problem: Problem, solution: FleetSolution) -> float:
    """Factor by which instances may sustain less with which a fleet with one fewer at some hours carries them all."""
    groups = solution.allocations
    served = [at for at, hour in enumerate(problem.hours) if hour.planned_rate > 0]
    fewer = (
        (*groups[:number], replace(group, instances=_one_fewer(group.instances, at)), *groups[number + 1 :])
        for number, group in enumerate(groups)
        for at in served
        if group.instances[at] and not group.tariff.paid.always
    )
    return max((most_headroom(problem, replace(solution, allocations=left)) for left in fewer), default=1.0)


def _one_fewer(instances: Sequence[int], at: int) -> tuple[int, ...]:
    """Counts with one fewer in a class of hours."""
    return (*instances[:at], instances[at] - 1, *instances[at + 1 :])


def _rooms(problem: Problem, solution: FleetSolution) -> Iterator[tuple[list[Allocation], float]]:
    """Groups that run together at some time, or with others that do, and how much less each of them may sustain."""
    for groups in _together(solution.allocations):
        hours = tuple(
            hour if any(group.instances[at] for group in groups) else replace(hour, planned_rate=0.0)
            for at, hour in enumerate(problem.hours)
        )
        own = replace(solution, allocations=tuple(groups))
        yield (
            groups,
            most_headroom(replace(problem, hours=hours) if len(groups) < len(solution.allocations) else problem, own),
        )


def _together(allocations: Sequence[Allocation]) -> list[list[Allocation]]:
    """Groups by those that run at the same time, or are of one pool."""
    parts: list[list[Allocation]] = []
    for allocation in allocations:
        joined = [part for part in parts if any(_meet(allocation, other) for other in part)]
        parts = [part for part in parts if part not in joined]
        parts.append([*itertools.chain.from_iterable(joined), allocation])
    return parts


def _meet(allocation: Allocation, other: Allocation) -> bool:
    return allocation.pool.key == other.pool.key or any(map(min, allocation.instances, other.instances))


def _holds_below(fleet: Confirmed | None, limit_usd: float) -> TypeGuard[Confirmed]:
    """Whether a replay confirms a fleet that costs less than a limit."""
    return fleet is not None and fleet.confirmation.reached and fleet.usd_per_month < limit_usd


def cheapest_by_payment(problem: Problem) -> tuple[Pool, ...]:
    """The first pool of a problem, and the two cheapest in its region for each way of paying.

    One for what it carries, and of those that cost little more for it the one whose instances are the cheapest: a large
    machine may cost as much by the accelerator as eight small ones, of which fewer may do.
    """
    first = problem.pools[0]
    by_payment: dict[PurchaseOption, list[tuple[float, float, Pool]]] = {}
    for pool in problem.pools:
        rate = mix_rate(problem, pool)
        for tariff in pool.tariffs if pool.region == first.region and rate > 0 else ():
            usd = tariff.all_usd_per_hour
            by_payment.setdefault(tariff.paid, []).append((usd / rate, usd, pool))
    cheapest = [first]
    for ways in by_payment.values():
        best = min(ways, key=_usd_per_request)
        alike = (way for way in ways if way[0] <= best[0] * ALIKE)
        cheapest += [best[2], min(alike, key=_usd_per_instance)[2]]
    return tuple({pool.key: pool for pool in cheapest}.values())


_usd_per_request, _usd_per_instance = itemgetter(0), itemgetter(1)


def asks_for_rate_alone(problem: Problem) -> bool:
    """Whether all that is asked of a fleet's rates is that they carry one rate."""
    return len(problem.hours) == 1 and problem.all_alike and not asks_for_what_is_left(problem)


def unlimited(formulation: Formulation) -> Formulation:
    """The question without the quotas that its pools use."""
    problem = formulation.problem
    used = {quota for pool in problem.pools for quota in pool.quotas}
    others = {quota: most for quota, most in problem.quota_limits.items() if quota not in used}
    return replace(formulation, problem=replace(problem, quota_limits=others))


def with_headroom(problem: Problem, headroom: float) -> Problem:
    """The problem with every pool taken to sustain so many times less."""
    return replace(problem, pools=tuple(pool.slower(headroom) for pool in problem.pools))


def singles_by_headroom(problem: Problem) -> Callable[[float], Singles]:
    """Fleets of one pool of a problem by headroom, each computed once; equal ones cost as much with any."""
    known_usd, pools = dict[Instances, float](), PoolsAlone(problem)
    return cache(lambda headroom: Singles(problem, known_usd, headroom, pools))


def with_less(problem: Problem, solution: FleetSolution, headroom: float) -> FleetSolution | None:
    """A fleet whose pools are taken to sustain so many times less; None where it then breaks a limit.

    Where it is the cheapest fleet with more it is so with less, but for what other routes of the requests cost.
    """
    pools = {group.pool.key: group.pool for group in solution.allocations}
    less = with_headroom(replace(problem, pools=tuple(pools.values())), headroom)
    slower = {pool.key: pool for pool in less.pools}
    groups = tuple(replace(group, pool=slower[group.pool.key]) for group in solution.allocations)
    fleet = replace(solution, allocations=groups)
    return fleet if keeps_to_all(less, fleet) else None
