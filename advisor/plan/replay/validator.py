"""Does the fleet hold? It is replayed; kinds of replicas that are late are taken to sustain less, as little as holds.

A kind of replica has a *headroom*: by how much less it is taken to sustain than the closed form says. By bisection over
replays of the cheapest fleet of that kind alone it lies in a bracket: the largest headroom that was seen to fail, and
the smallest that was seen to hold. The optimum with every kind at the lower end of its bracket is a bound on what any
fleet that carries the planned rates costs; where its own replay holds it is the answer, unless a cheaper one holds that
carries less by the closed form.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from advisor.plan.fleet.chosen import Confirmation
from advisor.plan.problem.constraints import most_headroom
from advisor.plan.problem.values import FleetSolution, Infeasible, Problem, constraints_of, content
from advisor.plan.replay.below import BelowClosedForm, is_one_row
from advisor.plan.replay.confirmed import (
    Confirmed,
    bounded,
    cheaper,
    closer,
    held_to,
    instances_of,
    unproven,
    usd_of,
    worst_share,
)
from advisor.plan.replay.headroom import (
    MOST_HEADROOM,
    WORTH_RATIO,
    Bracket,
    Kind,
    bracket_of,
    kind_of,
    narrowed,
    worthwhile,
)
from advisor.plan.replay.nearby import (
    cheapest_nearby,
    has_room,
    with_fewer,
)
from advisor.plan.replay.trials import Trial, Trials
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.optimise import as_optimum, as_routed, optimise
from advisor.plan.solve.scopes import Singles, cheapest, lower_bound, scopes, usd_alone, without_dominated_anywhere
from advisor.plan.solve.simple import backend_of, complexity, loss_rank, simplest
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, in_precisions
from advisor.plan.solve.stage import narrowed as narrowed_supply

__all__ = ["Confirmed", "Kind", "ReplayValidator"]

CAREFUL = 1.2
"""By how much the closed form may ask for more than a replay confirms."""
BEYOND_LIMIT = 1.02
"""Cost up to which fleets within a limit are looked for: a search stops where less than a hundredth can be saved."""
CHEAP_KINDS = 3
"""Kinds that are tried by themselves where a confirmed mix leaves room for a cheaper fleet."""


@dataclass(frozen=True, slots=True, eq=False)
class _Alone:
    """Result of the search for a pool by itself."""

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


class ReplayValidator:
    """Finds fleets of one question that their replays confirm; what is costly to prepare is kept between them."""

    def __init__(self, formulation: Formulation, context: PlanningContext) -> None:
        """Make up the requests that every fleet is tried with."""
        self._posed = formulation
        self._effort = context.effort
        self._setting = context
        self._precisions = context.requirements.workload.precisions
        self._sources = dict(formulation.pool_set.sources)
        self._trials = Trials(formulation, context)
        self._brackets: dict[Kind, Bracket] = {}
        self._failing: dict[Kind, FleetSolution] = {}
        """Fleets of one kind at the lower ends of their brackets."""
        self._known: dict[tuple[object, ...], Confirmed | Infeasible] = {}
        self._solved: dict[tuple[object, ...], FleetSolution | Infeasible | None] = {}
        """None: no fleet is cheaper than the given one."""
        self._found_alone: dict[tuple[object, ...], _Alone] = {}
        self._holding: dict[tuple[object, ...], Confirmed] = {}
        """Every fleet of any question that a replay confirms."""
        self._fewest_of: dict[frozenset[Kind], Bracket] = {}
        """Headroom below 1 with which fleets of some kinds were last seen to fail and to hold."""
        self._refused: dict[tuple[object, ...], float] = {}
        """USD a month below which no fleet of a kind holds that carries less than the planned rates."""
        self._singles: dict[tuple[object, ...], Callable[[float], Singles]] = {}

    def within(self, formulation: Formulation, context: PlanningContext) -> "ReplayValidator":
        """The same for another question about the same demand: what replays have shown of replicas is kept."""
        other = copy.copy(self)
        other.__dict__ |= {
            "_posed": formulation,
            "_setting": context,
            "_effort": context.effort,
            "_precisions": context.requirements.workload.precisions,
            "_sources": {**self._sources, **formulation.pool_set.sources},
            "_brackets": {kind: bracket for kind, bracket in self._brackets.items() if bracket.least == bracket.held},
            "_failing": {},
        }
        return other

    def learn(self, other: "ReplayValidator") -> None:
        """Keep what another question about the same demand has shown of replicas."""
        self._brackets |= other._brackets  # noqa: SLF001 - of its own class
        self._sources |= other._sources  # noqa: SLF001 - as above

    def with_known_headroom(self, formulation: Formulation) -> Formulation:
        """A question with what replays have shown so far of each kind of replica."""
        self._sources |= formulation.pool_set.sources
        return self._with_headroom(formulation, {kind: bracket.held for kind, bracket in self._brackets.items()})

    def confirmed(self, known: Confirmed | None = None, *, refined: bool = False) -> Confirmed | Infeasible:
        """The cheapest fleet that its replay confirms, to 2 %; where none is found, the one that came closest.

        Args:
            known: a confirmed fleet of a part of the question, which is the answer where none is found that is cheaper
                by 1 %, or the bound is no lower by that than it was for the part.
            refined: whether cheaper fleets are looked for near a known one too, where that is what is found.
        """
        starts = [known]
        first = refined and self._effort.every_kind and self._effort.in_full
        if known is not None and first and self._is_allowed(known):
            known = self._below_closed_form().cheaper(known, mixed=False)
        found = self._search(known)
        if self._effort.every_kind and (isinstance(found, Infeasible) or not found.confirmation.reached):
            found = self._below_closed_form().cheaper(None) or found
        if isinstance(found, Infeasible):
            return found
        if not refined and known is not None and found.solution.allocations is known.solution.allocations:
            return known
        found = self._refined(found, [*starts, known])
        in_full = self._in_full(found)
        if self._trials.is_exact or in_full.confirmation.reached == found.confirmation.reached:
            return in_full
        self._trials.without_estimates()
        for kept in (self._brackets, self._failing, self._known, self._found_alone, self._holding, self._refused):
            kept.clear()
        return self.confirmed(self._still_holding(known), refined=refined)

    @property
    def is_exact(self) -> bool:
        """Whether every replay is whole from here on: an estimate was wrong."""
        return self._trials.is_exact

    def _still_holding(self, confirmed: Confirmed | None) -> Confirmed | None:
        """A known fleet that holds in a whole replay too; one of which only the cost counts as it is."""
        if confirmed is None or confirmed.is_limit:
            return confirmed
        whole = self._in_full(confirmed)
        return whole if whole.confirmation.reached else None

    def _refined(self, confirmed: Confirmed, starts: Sequence[Confirmed | None]) -> Confirmed:
        """The search's fleet with a bound that holds, or the cheapest fleet below the closed form and near it.

        Near other fleets too that the search started from: a dearer one may have cheaper neighbours.
        """
        if self._effort.in_full:
            confirmed = self._held_to_the_closed_form(confirmed)
        if not confirmed.confirmation.reached:
            return confirmed
        others = {instances_of(fleet.solution): fleet for fleet in starts if fleet is not None and not fleet.is_limit}
        others.pop(instances_of(confirmed.solution), None)
        near = (self._nearby(bounded(fleet, confirmed)) for fleet in others.values() if self._is_allowed(fleet))
        confirmed = min((self._nearby(confirmed), *near), key=usd_of)
        confirmed = self._with_fewer(self._posed, confirmed) if self._is_allowed(confirmed) else confirmed
        # Mixes over several classes of hours are programs of their own: rungs do without them, which compare alone.
        mixed = self._effort.in_full or len(self.problem.hours) == 1
        below = self._below_closed_form().cheaper(confirmed, mixed=mixed) if self._effort.every_kind else None
        confirmed = unproven(confirmed) if below is None else held_to(below, confirmed.solution.bound_usd_per_month)
        return self._in_preferred_precision(confirmed)

    def simplest(self, confirmed: Confirmed, most_usd: float = math.inf) -> Confirmed:
        """The fleet to prefer of all that cost no more than ``limits.simplicity`` above the cheapest confirmed one.

        One with the published weights comes first, then one in the precision that the workload names next; of those in
        the same precisions the simplest.

        Args:
            confirmed: the cheapest one; the answer where none is preferred to it.
            most_usd: USD a month that it may cost in any case.
        """
        simplicity = self._posed.problem.limits.simplicity
        if not confirmed.confirmation.reached or not simplicity:
            return confirmed
        limit = max(min(confirmed.usd_per_month * (1 + simplicity), most_usd), confirmed.usd_per_month)
        kept, rank = None, loss_rank(confirmed.solution)
        while rank and (less := self._within_rank(confirmed, rank - 1, limit)) is not None:
            kept, rank = less, loss_rank(less.solution)
        if kept is not None:
            return kept
        if _is_simplest(confirmed):
            return confirmed
        return self._of_rank(loss_rank(confirmed.solution)).simplest_within(confirmed, limit)

    def _within_rank(self, confirmed: Confirmed, rank: int, limit: float) -> Confirmed | None:
        """The fleet to prefer of those in precisions that lose less quality; None where none is within a cost."""
        other = self._of_rank(rank)
        cheapest = other.on_the_same_machines(confirmed, limit) or other.cheaper_than(confirmed, limit)
        return None if cheapest is None else _preferred(other.simplest_within(cheapest, limit), confirmed)

    def on_the_same_machines(self, confirmed: Confirmed, limit: float) -> Confirmed | None:
        """The cheapest confirmed fleet within a cost of the offers of another fleet; None where there is none."""
        stands = {allocation.pool.stand for allocation in confirmed.solution.allocations}
        pools = tuple(pool for pool in self.problem.pools if pool.stand in stands)
        if not pools or lower_bound(replace(self.problem, pools=pools)) > limit * CAREFUL:
            return None
        same = self.within(self._posed.of(pools), self._setting)
        fleet = same.confirmed(confirmed.as_if_at(limit * BEYOND_LIMIT))
        holds = isinstance(fleet, Confirmed) and fleet.confirmation.reached and fleet.usd_per_month <= limit
        return fleet if isinstance(fleet, Confirmed) and holds else None

    def cheaper_than(self, confirmed: Confirmed, limit: float) -> Confirmed | None:
        """The cheapest confirmed fleet below a cost; None where there is none.

        Args:
            confirmed: a fleet of another question, for its replay.
            limit: USD a month.
        """
        if not self.problem.pools or min(map(lower_bound, scopes(self.problem))) > limit:
            return None
        dearest = confirmed.as_if_at(limit)
        fleet = self.confirmed(dearest)
        holds = isinstance(fleet, Confirmed) and fleet.confirmation.reached and not fleet.is_limit
        return fleet if isinstance(fleet, Confirmed) and holds else None

    def _of_rank(self, rank: int) -> "ReplayValidator":
        """The same for the precisions up to a rank alone, whose layouts are no pools where others outdo them."""
        requirements = self._setting.requirements
        named = requirements.workload.precisions
        kept = tuple(one for one in named if requirements.loss_rank(one) <= rank)
        if kept == named:
            return self
        workload = replace(requirements.workload, precisions=kept)
        context = replace(self._setting, requirements=replace(requirements, workload=workload))
        formulation = formulate(context, narrowed_supply(self._posed.supply, workload), self._posed.week)
        stands = {pool.stand for pool in self.problem.pools}
        return self.within(formulation.of(pool for pool in formulation.problem.pools if pool.stand in stands), context)

    @property
    def problem(self) -> Problem:
        """Problem that fleets are chosen from."""
        return self._posed.problem

    def simplest_within(self, confirmed: Confirmed, limit: float) -> Confirmed:
        """The fleet of fewest backends, then types, within a cost.

        Kinds of a fleet that carries more than the closed form says are taken to carry as much in a simpler one.
        """
        headroom = {kind: bracket.held for kind, bracket in self._brackets.items()}
        headroom |= self.carried_beyond(confirmed)
        formulation = self._with_headroom(self._posed, headroom)
        solution = simplest(formulation.problem, confirmed.solution, most_usd=limit)
        if solution.allocations != confirmed.solution.allocations:
            fleet = self._confirmed(formulation, solution, headroom)
            if not fleet.confirmation.reached:
                self._raised_of_types(solution, headroom, limit)
        simpler = [
            fleet
            for fleet in self._holding.values()
            if fleet.usd_per_month <= limit
            and complexity(fleet.solution) < complexity(confirmed.solution)
            and self._keeps_to_limits(fleet)
        ]
        for fleet in sorted(simpler, key=lambda fleet: complexity(fleet.solution)):
            best = self._in_full(self._in_preferred_precision(fleet))
            if best.confirmation.reached:
                return _preferred(best, confirmed)
        return confirmed

    def _raised_of_types(self, failed: FleetSolution, headroom: Mapping[Kind, float], limit: float) -> None:
        """Look for fleets that hold of the backends and types of one that fails, with more headroom, below a cost."""
        kept = {(backend_of(group.pool), group.pool.instance_type) for group in failed.allocations}
        same = self._posed.of(pool for pool in self.problem.pools if (backend_of(pool), pool.instance_type) in kept)
        kinds = {self.kind_of(pool.key) for pool in same.problem.pools}
        least = {kind: headroom.get(kind, 1.0) for kind in kinds}
        self._bisected(same, {kind: factor for kind, factor in least.items() if math.isfinite(factor)}, None, limit)

    def _keeps_to_limits(self, confirmed: Confirmed) -> bool:
        """Whether a confirmed fleet of any question is one of this question too: in its pools, and under its limits."""
        return self._is_allowed(confirmed) and constraints_of(confirmed.formulation.problem) == constraints_of(
            self.problem
        )

    def _is_allowed(self, confirmed: Confirmed | Infeasible) -> TypeGuard[Confirmed]:
        """Whether a fleet of another question is one of this question too."""
        if isinstance(confirmed, Infeasible):
            return False
        tariffs = {pool.key: pool.tariffs for pool in self._posed.problem.pools}
        return all(
            allocation.tariff in tariffs.get(allocation.pool.key, ()) for allocation in confirmed.solution.allocations
        )

    def with_limits(self, confirmed: Confirmed) -> Confirmed:
        """The fleet with how far it holds, where that is asked for."""
        self._sources |= confirmed.formulation.pool_set.sources
        if not confirmed.confirmation.reached:
            return confirmed
        confirmed = self._in_full(confirmed)
        if not self._effort.holds_up_to:
            return confirmed
        return replace(confirmed, holds_up_to=self._trials.holds_up_to(confirmed.formulation, confirmed.solution))

    def as_shown(self, confirmed: Confirmed) -> Confirmed:
        """The fleet with its shares after every failure and without any, as exact as they are known."""
        return self._in_full(confirmed, whole=False)

    def _in_full(self, confirmed: Confirmed, *, whole: bool = True) -> Confirmed:
        """The fleet with all that its replays show: the search stops as soon as it is clear whether it holds."""
        whole = whole and self._effort.in_full
        factor = confirmed.confirmation.headroom_factor
        trial = self._trials.of(confirmed.formulation, confirmed.solution, every=True, whole=whole, parts=factor < 1)
        return replace(confirmed, confirmation=self._confirmation(trial, factor), latencies=trial.latencies)

    def alone(self, formulation: Formulation) -> Confirmed | Infeasible:
        """The cheapest confirmed fleet of a question with one kind of replica, by bisection of its headroom.

        Where no headroom helps it is the fleet that came closest; why there is none at all where limits conflict.
        """
        key = (formulation.problem.limits, *sorted((pool.key, pool.tariffs) for pool in formulation.problem.pools))
        if key not in self._known:
            self._sources |= formulation.pool_set.sources
            kinds = {self.kind_of(pool.key) for pool in formulation.problem.pools}
            hint = self._brackets.get(next(iter(kinds))) if len(kinds) == 1 else None
            found, bracket = self._bisected(formulation, dict.fromkeys(kinds, 1.0), hint)
            if isinstance(found, Confirmed) and found.confirmation.reached:
                found = self._with_fewer(formulation, found)
            self._known[key] = self.as_shown(found) if isinstance(found, Confirmed) else found
            if len(kinds) == 1 and hint is None and bracket is not None:
                self._brackets[kinds.pop()] = bracket
        return self._known[key]

    def carried_beyond(self, confirmed: Confirmed) -> Mapping[Kind, float]:
        """Headroom below 1 of each kind of a confirmed fleet that carries more than the closed form says."""
        factor = confirmed.confirmation.headroom_factor
        kinds = {self.kind_of(allocation.pool.key) for allocation in confirmed.solution.allocations}
        return dict.fromkeys(kinds, factor) if confirmed.confirmation.reached and factor < 1 else {}

    def replayed(self, formulation: Formulation, solution: FleetSolution) -> Confirmation:
        """Confirmation of a given fleet by a replay."""
        return self._confirmation(self._trials.of(formulation, solution, whole=True), 1.0)

    # --- the search

    def _search(self, confirmed: Confirmed | None) -> Confirmed | Infeasible:
        """Optima at the lower ends of the brackets, each replayed, until one holds or none can be cheaper."""
        best = confirmed
        worth = None if confirmed is None else _worth_less_than(confirmed)
        closest: Confirmed | None = None
        tested: list[Kind] = []
        while True:
            least = {kind: bracket.least for kind, bracket in self._brackets.items()}
            bound = self._optimum(self._posed, least, worth if best is confirmed else confirmed)
            if isinstance(bound, Infeasible):
                return best or closest or bound
            if confirmed is not None and bound is worth:
                return confirmed
            if best is not None and self._suffices(best, bound):
                return bounded(best, bound)
            if bound.confirmation.reached:
                return bound
            closest = closer(closest, bound)
            kinds = self._not_known(bound)[: self._effort.kinds_tried - len(tested)]
            if not kinds:
                return self._raised_together(bound, best, closest)
            tested += kinds
            for kind in kinds:
                best = cheaper(best, self._bracketed(kind, best))

    def _held_to_the_closed_form(self, confirmed: Confirmed) -> Confirmed:
        """A fleet with a bound that holds in every hour, place and failure.

        The lower end of a bracket says what a kind carries where it carries least. In other hours, for other places, or
        after a failure it may carry more, so where there are several a bound takes every kind as the closed form does.
        """
        if is_one_row(self._posed.problem) or all(bracket.least <= 1 for bracket in self._brackets.values()):
            return confirmed
        plain = self._solve(self._posed)
        least = plain.bound_usd_per_month if isinstance(plain, FleetSolution) else 0.0
        return held_to(confirmed, least)

    def _suffices(self, best: Confirmed, bound: Confirmed) -> bool:
        """Whether nothing is worth looking for below a fleet: nothing much cheaper, or nothing that would be preferred.

        Where only the answer counts, and not how cheap the cheapest is, that is so of the simplest fleets that cost
        little more than the bound.
        """
        if not worthwhile(best.usd_per_month, bound):
            return True
        if best.is_limit:
            return False
        most = bound.usd_per_month * (1 + self._posed.problem.limits.simplicity)
        return not self._effort.in_full and _is_simplest(best) and best.usd_per_month <= most

    def _not_known(self, failed: Confirmed) -> list[Kind]:
        """Kinds that are late in a fleet and not known by themselves yet."""
        trial = self._trials.of(failed.formulation, failed.solution, every=len(failed.solution.allocations) > 1)
        late = dict.fromkeys(self.kind_of(failed.solution.allocations[at].pool.key) for at in trial.late)
        return [one for one in late if one not in self._brackets]

    def _bracketed(self, kind: Kind, best: Confirmed | None) -> Confirmed | Infeasible:
        """Find the bracket of a kind by its cheapest pool at the planned load, below the cost of the best fleet."""
        problem = self._posed.problem
        pools = tuple(pool for pool in problem.pools if self.kind_of(pool.key) == kind)
        usd = usd_alone(replace(problem, pools=pools))
        first = min(pools, key=lambda pool: usd[pool.key])
        key = (first.key, first.tariffs, problem.limits, *sorted(problem.running.items()))
        alone = self._found_alone.get(key)
        if alone is None or not alone.settles(usd_of(best)):
            formulation = self._posed.of([first])
            found, bracket = self._bisected(formulation, {kind: 1.0}, None, usd_of(best))
            bracket = bracket or Bracket(1.0, 1.0)
            failing = self._solve(self._with_headroom(formulation, {kind: bracket.failed}))
            alone = self._found_alone[key] = _Alone(found, bracket, failing, usd_of(best))
        self._brackets[kind] = alone.bracket
        if isinstance(alone.failing, FleetSolution):
            self._failing[kind] = alone.failing
        return alone.found

    def _raised_together(self, bound: Confirmed, best: Confirmed | None, closest: Confirmed) -> Confirmed:
        """Mix whose kinds hold by themselves but not together: all of them with more headroom, by bisection.

        Of a rung only where no kind holds by itself: mixes near the best fleet are looked for in any case.
        """
        seen = {self.kind_of(allocation.pool.key) for allocation in bound.solution.allocations} | self._brackets.keys()
        fewer = self._posed.of(pool for pool in self._posed.problem.pools if self.kind_of(pool.key) in seen)
        least = dict.fromkeys(seen, 1.0) | {kind: bracket.least for kind, bracket in self._brackets.items()}
        if self._effort.in_full or best is None:
            confirmed, _ = self._bisected(fewer, least, None, usd_of(best))
            best = cheaper(best, confirmed)
            if isinstance(confirmed, Confirmed):
                closest = closer(closest, confirmed)
        if best is None:
            return bounded(closest, bound)
        best = bounded(best, bound)
        for kind in self._cheap_kinds(best) if has_room(best) else ():
            best = bounded(cheaper(best, self._bracketed(kind, best)) or best, bound)
        return best

    def _cheap_kinds(self, best: Confirmed) -> list[Kind]:
        """Kinds not tried by themselves whose cheapest pool would cost less than a fleet, the cheapest first."""
        prices = dict[Kind, float]()
        for key, usd in usd_alone(self._posed.problem).items():
            kind = self.kind_of(key)
            if kind not in self._brackets and usd < min(prices.get(kind, math.inf), best.usd_per_month):
                prices[kind] = usd
        return sorted(prices, key=lambda kind: (prices[kind], kind))[:CHEAP_KINDS]

    def _nearby(self, best: Confirmed) -> Confirmed:
        """The cheapest fleet near a confirmed one; one that is known from other pools than these stays as it is."""
        if not self._is_allowed(best):
            return best
        return cheapest_nearby(self._posed.problem, best, self._failing.values(), self._planned_evenly)

    def _with_fewer(self, formulation: Formulation, best: Confirmed) -> Confirmed:
        """A fleet of the same kinds with fewer instances; unless one needs more than the closed form asks for."""
        kinds = {self.kind_of(allocation.pool.key) for allocation in best.solution.allocations}
        needed = [self._brackets[kind].least for kind in kinds if kind in self._brackets]
        if max(best.confirmation.headroom_factor, *needed, 1.0) > 1:
            return best
        return self._fewest(
            formulation.of(pool for pool in formulation.problem.pools if self.kind_of(pool.key) in kinds), best
        )

    def _fewest(self, formulation: Formulation, best: Confirmed) -> Confirmed:
        """The fleet of a question whose kinds all need as little headroom as a replay confirms, from one that holds."""
        kinds = {self.kind_of(pool.key) for pool in formulation.problem.pools}
        few = replace(formulation, problem=without_dominated_anywhere(formulation.problem))
        fleet, self._fewest_of[frozenset(kinds)] = with_fewer(
            best,
            lambda headroom: self._optimum(few, dict.fromkeys(kinds, headroom)),
            self._in_full,
            self._fewest_of.get(frozenset(kinds)),
        )
        return fleet

    def _below_closed_form(self) -> BelowClosedForm:
        """The search among fleets that carry less than the planned rates."""
        return BelowClosedForm(
            formulation=self._posed,
            kind_of=self.kind_of,
            mix=lambda formulation, headroom, best: self._optimum(formulation, headroom, best, roughly=True),
            optimum=self._optimum,
            solved=lambda headroom, formulation, best: self._solve(self._with_headroom(formulation, headroom), best),
            fewest=self._fewest,
            refused=self._refused,
            singles=self._singles,
        )

    def _planned_evenly(self, solution: FleetSolution) -> Confirmed:
        """A fleet whose pools are planned to carry the busiest hour together, each in proportion to its capacity.

        What any failure leaves carries its share of that hour too.
        """
        usual = {pool.key: pool for pool in self._posed.problem.pools}
        plain = tuple(replace(allocation, pool=usual[allocation.pool.key]) for allocation in solution.allocations)
        room = most_headroom(self._posed.problem, replace(solution, allocations=plain))
        kinds = {self.kind_of(allocation.pool.key) for allocation in solution.allocations}
        headroom = dict.fromkeys(kinds, room)
        formulation = self._with_headroom(self._posed, headroom)
        pools = {pool.key: pool for pool in formulation.problem.pools}
        allocations = tuple(replace(allocation, pool=pools[allocation.pool.key]) for allocation in solution.allocations)
        return self._confirmed(formulation, replace(solution, allocations=allocations), headroom)

    def _bisected(
        self,
        formulation: Formulation,
        least: Mapping[Kind, float],
        hint: Bracket | None,
        limit: float = math.inf,
    ) -> tuple[Confirmed | Infeasible, Bracket | None]:
        """The fleet with the smallest headroom, as a multiple of the least of each kind, that its replay confirms.

        Args:
            formulation: what it is chosen from.
            least: headroom of each kind to begin with.
            hint: a bracket that is likely to be that of these pools.
            limit: USD a month; nothing from there on is of interest.
        """
        tried: dict[float, Confirmed] = {}

        def holds(factor: float) -> bool | None:
            """None where there is no fleet, or none below the limit."""
            confirmed = self._optimum(formulation, {kind: one * factor for kind, one in least.items()})
            if isinstance(confirmed, Infeasible) or confirmed.usd_per_month >= limit:
                return None
            tried[factor] = confirmed
            return confirmed.confirmation.reached

        first = holds(1.0)
        if first is None:
            return self._why_none(formulation, least), None
        if first:
            return tried[1.0], Bracket(1.0, 1.0)
        if not (
            worthwhile(limit, tried[1.0])
            if len(least) > 1
            else self._trials.hold_idle(formulation, tried[1.0].solution)
        ):
            return tried[1.0], Bracket(MOST_HEADROOM, math.inf)
        outer = bracket_of(holds, hint, limit / tried[1.0].usd_per_month)
        bracket = narrowed(outer, holds, tried, limit, exact=len(least) == 1)
        if bracket.held in tried:
            return tried[bracket.held], bracket
        return max(tried.values(), key=worst_share), bracket

    def _why_none(self, formulation: Formulation, least: Mapping[Kind, float]) -> Infeasible:
        infeasible = self._solve(self._with_headroom(formulation, least))
        return infeasible if isinstance(infeasible, Infeasible) else Infeasible((), ())

    def _optimum(
        self,
        formulation: Formulation,
        headroom: Mapping[Kind, float],
        confirmed: Confirmed | None = None,
        *,
        roughly: bool = False,
    ) -> Confirmed | Infeasible:
        """The cheapest fleet with some headroom, replayed; a mix that fails is tried once more with other weights.

        Weights follow what replicas are planned to carry: with the headroom of each kind, or as the closed form has it.
        A known fleet where none is cheaper.
        """
        roomier = self._with_headroom(formulation, headroom)
        solution = self._solve(roomier, confirmed, roughly=roughly)
        if isinstance(solution, Infeasible):
            return solution
        if confirmed is not None and solution.allocations is confirmed.solution.allocations:
            return confirmed
        found = self._confirmed(roomier, solution, headroom)
        kinds = {self.kind_of(allocation.pool.key) for allocation in solution.allocations}
        if found.confirmation.reached or len({headroom.get(kind, 1.0) for kind in kinds}) == 1:
            return found
        other = self._planned_evenly(solution)
        return other if other.confirmation.reached else found

    def _solve(
        self, formulation: Formulation, confirmed: Confirmed | None = None, *, roughly: bool = False
    ) -> FleetSolution | Infeasible:  # fmt: skip
        """The cheapest fleet; what was solved before, for this question or another, is not solved again.

        That of the given one where none is cheaper: another of the same cost may have been given before.
        """
        key = (roughly, usd_of(confirmed), *content(formulation.problem))
        if key not in self._solved:
            limit = None if confirmed is None else as_optimum(confirmed.solution)
            self._solved[key] = _unless_given(cheapest(formulation.problem, limit, roughly=roughly), limit)
        solution = self._solved[key]
        if solution is None and confirmed is not None:
            return confirmed.solution
        return solution or Infeasible((), ())

    def _confirmed(
        self, formulation: Formulation, solution: FleetSolution, headroom: Mapping[Kind, float]
    ) -> Confirmed:
        solution = as_routed(formulation.problem, solution)
        factor = max(headroom.get(self.kind_of(allocation.pool.key), 1.0) for allocation in solution.allocations)
        trial = self._trials.of(formulation, solution, parts=factor < 1)
        fleet = Confirmed(solution, formulation, self._confirmation(trial, factor))
        if fleet.confirmation.reached:
            self._holding[constraints_of(formulation.problem), instances_of(solution)] = fleet
        return fleet

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

    def _in_preferred_precision(self, confirmed: Confirmed) -> Confirmed:
        """The same offers in the precision named first with which they cost no more, in no more groups.

        As found where there is none. Replicas of other precisions are taken to carry as much beyond the closed form as
        those of the fleet.
        """
        order, sources = self._precisions, confirmed.formulation.pool_set.sources
        used = [
            sources[allocation.pool.key].served.candidate.rank_in(order)
            for allocation in confirmed.solution.allocations
        ]
        usual = min(confirmed.confirmation.headroom_factor, 1.0)
        for count in range(1, max(used) + 1):
            fewer = in_precisions(
                replace(confirmed.formulation, problem=self._posed.problem), confirmed.solution, order[:count]
            )
            if fewer is None:
                continue
            self._sources |= fewer.pool_set.sources
            kinds = {self.kind_of(pool.key) for pool in fewer.problem.pools}
            headroom = {kind: self._brackets[kind].held if kind in self._brackets else usual for kind in kinds}
            roomier = self._with_headroom(fewer, headroom)
            solution = optimise(without_dominated(roomier.problem)) if roomier.problem.pools else None
            if not isinstance(solution, FleetSolution) or (
                solution.objective_usd_per_month > confirmed.usd_per_month + HALF_A_CENT
                or len(solution.allocations) > len(used)
            ):  # fmt: skip
                continue
            again = self._confirmed(roomier, solution, headroom)
            if again.confirmation.reached:
                proof, usd = confirmed.solution, again.usd_per_month
                proven = proof.proven and proof.bound_usd_per_month <= usd + HALF_A_CENT
                bound = min(proof.bound_usd_per_month, usd)
                return replace(again, solution=replace(again.solution, proven=proven, bound_usd_per_month=bound))
        return confirmed

    def _with_headroom(self, formulation: Formulation, headroom: Mapping[Kind, float]) -> Formulation:
        """The question with what each kind of replica is taken to sustain; without those that never hold."""
        return formulation.of(
            pool.slower(factor) if factor != 1 else pool
            for pool in formulation.problem.pools
            for factor in (headroom.get(self.kind_of(pool.key), 1.0),)
            if math.isfinite(factor)
        )

    def kind_of(self, key: str) -> Kind:
        """Kind of the replicas of a pool, by its key."""
        return kind_of(self._sources[key].served.candidate)


def _unless_given(
    solution: FleetSolution | Infeasible, given: FleetSolution | None
) -> FleetSolution | Infeasible | None:  # fmt: skip
    """A solution; None where it is the given one."""
    same = given is not None and isinstance(solution, FleetSolution) and solution.allocations is given.allocations
    return None if same else solution


def _is_simplest(confirmed: Confirmed) -> bool:
    """Whether no fleet has fewer backends or types."""
    return complexity(confirmed.solution)[:2] == (1, 1)


def _preferred(best: Confirmed, cheapest: Confirmed) -> Confirmed:
    """A fleet that is recommended in place of the cheapest one, which it is itself where it costs no more."""
    if best.usd_per_month <= cheapest.usd_per_month:
        return bounded(unproven(best), cheapest)
    kept = replace(best.solution, proven=False, bound_usd_per_month=cheapest.solution.bound_usd_per_month)
    return replace(best, solution=kept, cheapest=cheapest)


def _worth_less_than(confirmed: Confirmed) -> Confirmed:
    """A fleet at the cost that others have to be below, to leave more to be found than was left where it comes from."""
    return confirmed.as_if_at((1 - WORTH_RATIO) * min(confirmed.usd_per_month, confirmed.solution.bound_usd_per_month))
