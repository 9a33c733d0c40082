"""Does the fleet hold? It is replayed; kinds of replicas that are late are taken to sustain less, as little as holds.

A kind of replica has a *headroom*: by how much less it is taken to sustain than the closed form says. By bisection over
replays of the cheapest fleet of that kind alone it lies in a bracket: the largest headroom that was seen to fail, and
the smallest that was seen to hold. The optimum with every kind at the lower end of its bracket is a bound on what any
confirmed fleet costs; where its own replay holds it is the answer, and proven.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from advisor.candidates import Candidate
from advisor.plan.fleet.chosen import Confirmation, HoldsUpTo
from advisor.plan.fleet.dominance import without_dominated
from advisor.plan.fleet.formulas import mix_rate
from advisor.plan.fleet.neighbours import cheaper_neighbours, topped_up
from advisor.plan.fleet.optimise import optimise
from advisor.plan.fleet.scopes import cheapest_alone
from advisor.plan.fleet.shares import group_part, planned_rates
from advisor.plan.fleet.solver import DEFAULT_SECONDS, HALF_A_CENT
from advisor.plan.fleet.stage import Posed, Setting, in_precisions
from advisor.plan.fleet.stage import solve as solve_fleet
from advisor.plan.fleet.trials import Trial, Trials, name_of
from advisor.plan.fleet.values import FleetSolution, Infeasible, Problem

__all__ = ["Confirmed", "Confirmer", "group_part", "name_of"]

GROWTH = 1.5
"""Steps in which a headroom that holds is looked for, before the bisection."""
MOST_HEADROOM = 16.0
TOLERANCE = 1.02
"""Width of a bracket at which the bisection stops."""
EXACT = 1.0005
"""The same where no number of instances lies between its ends."""

Kind = tuple[str, str, str, str, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    """Its pools carry what they are planned to, after the headroom."""
    posed: Posed
    """With the headroom that was needed."""
    confirmation: Confirmation
    searched: Problem
    """All that it was chosen from, with the headroom; the question may hold less: the fleet's offers in a precision."""
    holds_up_to: HoldsUpTo | None = None
    """None where it was not looked for, or the fleet is not confirmed."""

    @property
    def usd_per_month(self) -> float:
        """What it costs."""
        return self.solution.objective_usd_per_month

    def planned_rates(self) -> Mapping[str, float]:
        """Requests per second that one instance of each group is planned to carry, by the group's name."""
        of_pool = planned_rates(self.posed.problem, self.solution)
        return {name_of(one): of_pool[one.pool.key] for one in self.solution.allocations}


@dataclass(frozen=True, slots=True)
class Bracket:
    """Headroom of a kind of replica."""

    failed: float
    """Largest that was seen to fail; 1 where none was."""
    held: float
    """Smallest that was seen to hold, or to cost too much; infinite where none was."""

    @property
    def least(self) -> float:
        """No fleet of the kind alone holds with less."""
        return self.held if self.held <= self.failed * EXACT else self.failed


@dataclass(frozen=True, slots=True, eq=False)
class _Alone:
    """What is known of a pool by itself."""

    found: Confirmed | Infeasible
    bracket: Bracket
    failing: FleetSolution | Infeasible
    """At the lower end of the bracket."""
    limit_usd: float
    """Nothing was looked for from there on."""

    def settles(self, limit_usd: float) -> bool:
        """Whether a search up to another limit would find the same."""
        holds = isinstance(self.found, Confirmed) and self.found.confirmation.reached
        return holds or limit_usd <= self.limit_usd


class Confirmer:
    """Finds fleets of one question that their replays confirm; what is costly to prepare is kept between them."""

    def __init__(self, posed: Posed, setting: Setting) -> None:
        """Make up the requests that every fleet is tried with."""
        self._posed = posed
        self._effort = setting.effort
        self._precisions = setting.requirements.workload.precisions
        self._sources = dict(posed.pool_set.sources)
        self._trials = Trials(posed, setting)
        self._brackets: dict[Kind, Bracket] = {}
        self._failing: dict[Kind, FleetSolution] = {}
        """Fleets of one kind at the lower ends of their brackets."""
        self._known: dict[frozenset[tuple[object, ...]], Confirmed | Infeasible] = {}
        self._found_alone: dict[tuple[object, ...], _Alone] = {}

    def within(self, posed: Posed, setting: Setting) -> "Confirmer":
        """The same for another question about the same demand: what replays have shown of replicas is kept."""
        other = copy.copy(self)
        other.__dict__ |= {
            "_posed": posed,
            "_effort": setting.effort,
            "_precisions": setting.requirements.workload.precisions,
            "_sources": {**self._sources, **posed.pool_set.sources},
            "_brackets": {kind: one for kind, one in self._brackets.items() if one.least == one.held},
            "_failing": {},
        }
        return other

    def with_known_headroom(self, posed: Posed) -> Posed:
        """A question with what replays have shown so far of each kind of replica."""
        self._sources |= posed.pool_set.sources
        return self._with_headroom(posed, {kind: one.held for kind, one in self._brackets.items()})

    def kind_of(self, pool: str) -> Kind:
        """Kind of the replicas of a pool, by its key."""
        return self._kind(pool)

    def confirmed(self, seconds: float = DEFAULT_SECONDS) -> Confirmed | Infeasible:
        """The cheapest fleet that its replay confirms, to 2 %; where none is found, the one that came closest."""
        found = self._search(seconds)
        if isinstance(found, Infeasible):
            return found
        if found.confirmation.reached:
            found = self._in_preferred_precision(found, seconds)
        found = self._in_full(found)
        if not self._effort.holds_up_to or not found.confirmation.reached:
            return found
        return replace(found, holds_up_to=self._trials.holds_up_to(found.posed, found.solution))

    def _in_full(self, found: Confirmed) -> Confirmed:
        """The fleet with all that its replays show: the search stops as soon as it is clear whether it holds."""
        trial = self._trials.of(found.posed, found.solution, whole=True)
        return replace(found, confirmation=self._confirmation(trial, found.confirmation.headroom_factor))

    def alone(self, posed: Posed, seconds: float = DEFAULT_SECONDS) -> Confirmed | Infeasible:
        """The cheapest confirmed fleet of a question with one kind of replica, by bisection of its headroom.

        Where no headroom helps it is the fleet that came closest; why there is none at all where limits conflict.
        """
        key = frozenset((pool.key, pool.tariffs) for pool in posed.problem.pools)
        if key not in self._known:
            self._sources |= posed.pool_set.sources
            kinds = {self._kind(pool.key) for pool in posed.problem.pools}
            hint = self._brackets.get(next(iter(kinds))) if len(kinds) == 1 else None
            found, bracket = self._bisected(posed, dict.fromkeys(kinds, 1.0), hint, seconds)
            self._known[key] = self._in_full(found) if isinstance(found, Confirmed) else found
            if len(kinds) == 1 and hint is None and bracket is not None:
                self._brackets[kinds.pop()] = bracket
        return self._known[key]

    def replayed(self, posed: Posed, solution: FleetSolution) -> Confirmation:
        """What a replay makes of a given fleet."""
        return self._confirmation(self._trials.of(posed, solution, whole=True), 1.0)

    # --- the search

    def _search(self, seconds: float) -> Confirmed | Infeasible:
        """Optima at the lower ends of the brackets, each replayed, until one holds or none can be cheaper."""
        best: Confirmed | None = None
        closest: Confirmed | None = None
        tested: list[Kind] = []
        while True:
            least = {kind: one.least for kind, one in self._brackets.items()}
            bound = self._optimum(self._posed, least, seconds)
            if isinstance(bound, Infeasible):
                return best or closest or bound
            if best is not None and best.usd_per_month <= bound.usd_per_month + HALF_A_CENT:
                return _bounded(best, bound)
            if bound.confirmation.reached:
                return bound
            closest = _closer(closest, bound)
            kinds = self._not_known(bound)[: self._effort.kinds_tried - len(tested)]
            if not kinds:
                return self._raised_together(bound, best, closest, seconds)
            tested += kinds
            for kind in kinds:
                best = _cheaper(best, self._bracketed(kind, best, seconds))

    def _not_known(self, failed: Confirmed) -> list[Kind]:
        """Kinds that are late in a fleet and not known by themselves yet."""
        trial = self._trials.of(failed.posed, failed.solution, whole=len(failed.solution.allocations) > 1)
        late = dict.fromkeys(self._kind(failed.solution.allocations[at].pool.key) for at in trial.late)
        return [one for one in late if one not in self._brackets]

    def _bracketed(self, kind: Kind, best: Confirmed | None, seconds: float) -> Confirmed | Infeasible:
        """Find the bracket of a kind by its cheapest pool at the planned load, below the cost of the best fleet."""
        problem = self._posed.problem
        pools = [pool for pool in problem.pools if self._kind(pool.key) == kind]
        first = min(pools, key=lambda pool: cheapest_alone(replace(problem, pools=(pool,))))
        key = (first.key, first.tariffs, problem.limits, *sorted(problem.running.items()))
        known = self._found_alone.get(key)
        if known is None or not known.settles(_limit(best)):
            posed = replace(self._posed, problem=replace(problem, pools=(first,)))
            found, bracket = self._bisected(posed, {kind: 1.0}, None, seconds, _limit(best))
            bracket = bracket or Bracket(1.0, 1.0)
            failing = solve_fleet(self._with_headroom(posed, {kind: bracket.failed}), seconds)
            known = self._found_alone[key] = _Alone(found, bracket, failing, _limit(best))
        self._brackets[kind] = known.bracket
        if isinstance(known.failing, FleetSolution):
            self._failing[kind] = known.failing
        return known.found

    def _raised_together(
        self, bound: Confirmed, best: Confirmed | None, closest: Confirmed, seconds: float
    ) -> Confirmed:
        """Where each kind holds by itself and their mix does not: all of them with more headroom, by bisection."""
        seen = {self._kind(one.pool.key) for one in bound.solution.allocations} | self._brackets.keys()
        pools = tuple(pool for pool in self._posed.problem.pools if self._kind(pool.key) in seen)
        fewer = replace(self._posed, problem=replace(self._posed.problem, pools=pools))
        least = dict.fromkeys(seen, 1.0) | {kind: one.least for kind, one in self._brackets.items()}
        found, _ = self._bisected(fewer, least, None, seconds, _limit(best))
        best = _cheaper(best, found)
        if isinstance(found, Confirmed):
            closest = _closer(closest, found)
        if best is None:
            return _bounded(closest, bound)
        return self._with_less(_bounded(best, bound), bound)

    def _with_less(self, best: Confirmed, bound: Confirmed) -> Confirmed:
        """Neighbours of a confirmed fleet, as long as one holds that is cheaper and the bound leaves room for it."""
        problem = self._posed.problem
        others = [one for each in self._failing.values() for one in topped_up(problem, each, best.usd_per_month)]
        while best.solution.gap_ratio > TOLERANCE - 1:
            others += cheaper_neighbours(problem, best.solution)
            tried = (self._planned_evenly(one) for one in others if one.objective_usd_per_month < best.usd_per_month)
            holding = next((one for one in tried if one.confirmation.reached), None)
            if holding is None:
                return best
            best, others = _bounded(holding, bound), []
        return best

    def _planned_evenly(self, solution: FleetSolution) -> Confirmed:
        """A fleet whose pools are planned to carry the busiest hour together, each in proportion to its capacity."""
        rates = {pool.key: mix_rate(self._posed.problem, pool) for pool in self._posed.problem.pools}
        spare = [
            sum(one.instances[at] * rates[one.pool.key] for one in solution.allocations) / hour.planned_rate
            for at, hour in enumerate(self._posed.problem.hours)
            if hour.planned_rate > 0
        ]
        kinds = {self._kind(one.pool.key) for one in solution.allocations}
        headroom = dict.fromkeys(kinds, max(min(spare, default=1.0), 1.0))
        posed = self._with_headroom(self._posed, headroom)
        pools = {pool.key: pool for pool in posed.problem.pools}
        allocations = tuple(replace(one, pool=pools[one.pool.key]) for one in solution.allocations)
        return self._confirmed(posed, replace(solution, allocations=allocations), headroom, posed.problem)

    def _bisected(
        self,
        posed: Posed,
        least: Mapping[Kind, float],
        hint: Bracket | None,
        seconds: float,
        limit: float = math.inf,
    ) -> tuple[Confirmed | Infeasible, Bracket | None]:
        """The fleet with the smallest headroom, as a multiple of the least of each kind, that its replay confirms.

        Args:
            posed: what it is chosen from.
            least: headroom of each kind to begin with.
            hint: a bracket that is likely to be that of these pools.
            seconds: time limit of each optimum.
            limit: USD a month; nothing from there on is of interest.
        """
        tried: dict[float, Confirmed] = {}

        def holds(factor: float) -> bool | None:
            """None where there is no fleet, or none below the limit."""
            found = self._optimum(posed, {kind: one * factor for kind, one in least.items()}, seconds)
            if isinstance(found, Infeasible) or found.usd_per_month >= limit:
                return None
            tried[factor] = found
            return found.confirmation.reached

        first = holds(1.0)
        if first is None:
            return self._why_none(posed, least, seconds), None
        if first:
            return tried[1.0], Bracket(1.0, 1.0)
        bracket = _narrowed(_bracket(holds, hint), holds, tried, exact=len(least) == 1)
        if bracket.held in tried:
            return tried[bracket.held], bracket
        return max(tried.values(), key=_worst), bracket

    def _why_none(self, posed: Posed, least: Mapping[Kind, float], seconds: float) -> Infeasible:
        found = solve_fleet(self._with_headroom(posed, least), seconds)
        return found if isinstance(found, Infeasible) else Infeasible((), ())

    def _optimum(self, posed: Posed, headroom: Mapping[Kind, float], seconds: float) -> Confirmed | Infeasible:
        """The cheapest fleet with some headroom, replayed; a mix that fails is tried once more with other weights.

        Weights follow what replicas are planned to carry: with the headroom of each kind, or as the closed form has it.
        """
        roomier = self._with_headroom(posed, headroom)
        solution = solve_fleet(roomier, seconds)
        if isinstance(solution, Infeasible):
            return solution
        found = self._confirmed(roomier, solution, headroom, roomier.problem)
        kinds = {self._kind(one.pool.key) for one in solution.allocations}
        if found.confirmation.reached or len({headroom.get(kind, 1.0) for kind in kinds}) == 1:
            return found
        other = self._planned_evenly(solution)
        return other if other.confirmation.reached else found

    def _confirmed(
        self, posed: Posed, solution: FleetSolution, headroom: Mapping[Kind, float], searched: Problem
    ) -> Confirmed:
        factor = max(headroom.get(self._kind(one.pool.key), 1.0) for one in solution.allocations)
        return Confirmed(solution, posed, self._confirmation(self._trials.of(posed, solution), factor), searched)

    def _confirmation(self, trial: Trial, factor: float) -> Confirmation:
        rehearsal = self._trials.rehearsal
        return Confirmation(
            requests=trial.requests,
            minutes=rehearsal.minutes,
            within_slo_ratio=trial.within_slo_ratio,
            busiest_within_slo_ratio=trial.busiest_ratio,
            without_one_within_slo_ratio=trial.without_one_ratio,
            ttft_p95_ms=trial.ttft_p95_ms,
            tpot_p95_ms=trial.tpot_p95_ms,
            headroom_factor=factor,
            reached=trial.reached,
            arrivals=rehearsal.words,
        )

    def _in_preferred_precision(self, found: Confirmed, seconds: float) -> Confirmed:
        """The same offers in the precision named first with which they cost no more; as found where there is none."""
        order, sources = self._precisions, found.posed.pool_set.sources
        used = [sources[one.pool.key].served.candidate.precision for one in found.solution.allocations]
        headroom = {kind: one.held for kind, one in self._brackets.items()}
        for count in range(1, max(order.index(one) for one in used) + 1):
            fewer = in_precisions(replace(found.posed, problem=self._posed.problem), found.solution, order[:count])
            if fewer is None:
                continue
            self._sources |= fewer.pool_set.sources
            roomier = self._with_headroom(fewer, headroom)
            solution = optimise(without_dominated(roomier.problem), seconds) if roomier.problem.pools else None
            if not isinstance(solution, FleetSolution) or (
                solution.objective_usd_per_month > found.usd_per_month + HALF_A_CENT
            ):  # fmt: skip
                continue
            again = self._confirmed(roomier, solution, headroom, found.searched)
            if again.confirmation.reached:
                proof = found.solution
                kept = replace(solution, proven=proof.proven, bound_usd_per_month=proof.bound_usd_per_month)
                return replace(again, solution=kept)
        return found

    def _with_headroom(self, posed: Posed, headroom: Mapping[Kind, float]) -> Posed:
        """The question with what each kind of replica is taken to sustain; without those that never hold."""
        pools = tuple(
            replace(pool, mix_rates=pool.mix_rates / factor, rates=pool.rates / factor) if factor != 1 else pool
            for pool in posed.problem.pools
            for factor in (headroom.get(self._kind(pool.key), 1.0),)
            if math.isfinite(factor)
        )
        return replace(posed, problem=replace(posed.problem, pools=pools))

    def _kind(self, key: str) -> Kind:
        return kind_of(self._sources[key].served.candidate)


def kind_of(candidate: Candidate) -> Kind:
    """What replicas are: those that are alike in this are equally fast anywhere."""
    layout = (candidate.tensor_parallel, candidate.pipeline_parallel)
    return candidate.accelerator.name, candidate.partition, candidate.precision, candidate.engine, *layout


def _bracket(holds: Callable[[float], bool | None], hint: Bracket | None) -> Bracket:
    """Between a headroom that fails and one that holds or is too much, in large steps; infinite where there is none."""
    failed = 1.0
    if hint is not None and math.isfinite(hint.held) and hint.failed > 1:
        failed = hint.failed if holds(hint.failed) is False else failed
        if holds(hint.held) is not False:
            return Bracket(failed, hint.held)
        failed = hint.held
    while failed < MOST_HEADROOM:
        if holds(failed * GROWTH) is not False:
            return Bracket(failed, failed * GROWTH)
        failed *= GROWTH
    return Bracket(failed, math.inf)


def _narrowed(
    bracket: Bracket, holds: Callable[[float], bool | None], tried: Mapping[float, Confirmed], *, exact: bool
) -> Bracket:
    """Bisect to 2 %; on to where the fleet changes, where it has to be exact and no other fleet lies between."""
    failed, held = bracket.failed, bracket.held
    while math.isfinite(held) and held > failed * (EXACT if exact else TOLERANCE):
        middle = math.sqrt(failed * held)
        kept = holds(middle)
        if held <= failed * TOLERANCE and kept is not None:
            exact = any(_same(tried[middle], tried[end]) for end in (failed, held) if end in tried)
        failed, held = (middle, held) if kept is False else (failed, middle)
    return Bracket(failed, held)


def _same(one: Confirmed, other: Confirmed) -> bool:
    """Whether two fleets have the same instances."""
    counts = [{name_of(each): each.instances for each in found.solution.allocations} for found in (one, other)]
    return counts[0] == counts[1]


def _worst(found: Confirmed) -> float:
    one = found.confirmation
    return min(one.within_slo_ratio, one.busiest_within_slo_ratio or 1.0, one.without_one_within_slo_ratio or 1.0)


def _closer(one: Confirmed | None, other: Confirmed) -> Confirmed:
    return other if one is None or _worst(other) > _worst(one) else one


def _limit(best: Confirmed | None) -> float:
    return math.inf if best is None else best.usd_per_month


def _cheaper(best: Confirmed | None, other: Confirmed | Infeasible) -> Confirmed | None:
    """The cheaper of two fleets, as far as they are confirmed."""
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return best
    return other if other.usd_per_month < _limit(best) else best


def _bounded(found: Confirmed, bound: Confirmed) -> Confirmed:
    """A fleet with the bound that the lower ends of all brackets give."""
    least = min(bound.solution.bound_usd_per_month, found.usd_per_month)
    proven = found.confirmation.reached and bound.solution.proven and found.usd_per_month <= least + HALF_A_CENT
    solution = replace(found.solution, bound_usd_per_month=least, proven=proven)
    return replace(found, solution=solution)
