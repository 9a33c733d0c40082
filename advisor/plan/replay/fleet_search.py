"""Search for the cheapest fleet that its replay confirms.

A fleet is replayed; kinds of replicas that are late are taken to sustain less, as little as holds.

A kind of replica has a *headroom*: by how much less it is taken to sustain than the closed form says. By bisection over
replays of the cheapest fleet of that kind alone it lies in a bracket: the largest headroom that was seen to fail, and
the smallest that was seen to hold. The optimum with every kind at the lower end of its bracket is a bound on what any
fleet that carries the planned rates costs; where its own replay holds it is the answer, unless a cheaper one holds that
carries less by the closed form.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Self

from advisor.plan.problem.hours import CLASS_HOURS
from advisor.plan.problem.values import FleetSolution, Infeasible, constraints_of
from advisor.plan.replay.below import BelowClosedForm, asks_for_rate_alone, unlimited
from advisor.plan.replay.exchanges import Exchanges, cheapest_nearby, has_room, with_fewer
from advisor.plan.replay.few import cheaper_few
from advisor.plan.replay.groups import (
    Confirmed,
    bounded,
    cheaper,
    closer,
    held_to,
    instances_of,
    unproven,
    usd_of,
)
from advisor.plan.replay.headroom import (
    MOST_HEADROOM,
    WORTH_RATIO,
    Bracket,
    Kind,
    worthwhile,
)
from advisor.plan.replay.pairs import cheaper_pairs
from advisor.plan.replay.replayed import NO_HEADROOM, ReplayedFleets
from advisor.plan.solve.by_hours import by_hours
from advisor.plan.solve.neighbours import fewer_at_times, keeps_at_need, keeps_to_all
from advisor.plan.solve.objective import least_usd, objective_usd_per_month
from advisor.plan.solve.scopes import (
    Singles,
    scopes,
    usd_alone,
    without_dominated_anywhere,
)
from advisor.plan.solve.simple import complexity
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Formulation, PlanningContext, in_precisions
from advisor.records import dataclass, replace
from advisor.units import A_CENT

MOST_BY_HOURS = 6
"""Fleets with other machines in quieter hours whose replay may fail before the search ends."""
MOST_THINNED_FAILED = 2 * len(CLASS_HOURS)
"""Replays that may fail before no fewer instances in quieter hours are tried: an eighth and one fewer in each class."""
CHEAP_KINDS = 3
"""Kinds that are tried by themselves where a confirmed mix leaves room for a cheaper fleet."""


@dataclass(frozen=True, slots=True, eq=False)
class _Alone:
    """Result of the search for a pool by itself."""

    fleet: Confirmed | Infeasible
    bracket: Bracket
    failing: FleetSolution | Infeasible
    """At the lower end of the bracket."""
    limit_usd: float
    """Nothing was looked for from there on."""

    def settles(self, limit_usd: float) -> bool:
        """Whether a search up to another limit would find the same."""
        holds = isinstance(self.fleet, Confirmed) and self.fleet.confirmation.reached
        return holds or limit_usd <= self.limit_usd


class FleetSearch(ReplayedFleets):
    """Finds the cheapest fleets of one question that their replays confirm."""

    def __init__(self, formulation: Formulation, context: PlanningContext) -> None:
        """Begin with nothing known of any kind."""
        super().__init__(formulation, context)
        self._failing: dict[Kind, FleetSolution] = {}
        """Fleets of one kind at the lower ends of their brackets."""
        self._known: dict[tuple[object, ...], Confirmed | Infeasible] = {}
        self._found_alone: dict[tuple[object, ...], _Alone] = {}
        self._fewest_of: dict[frozenset[Kind], Bracket] = {}
        """Headroom below 1 with which fleets of some kinds were last seen to fail and to hold."""
        self._refused: dict[tuple[object, ...], float] = {}
        """USD a month below which no fleet of a kind holds that carries less than the planned rates."""
        self._singles: dict[tuple[object, ...], Callable[[float], Singles]] = {}

    def within(self, formulation: Formulation, context: PlanningContext) -> Self:
        """The same for another question about the same demand: what replays have shown of replicas is kept."""
        other = super().within(formulation, context)
        other._failing = {}  # noqa: SLF001 - of its own class
        return other

    def _at_all_hours(self, formulation: Formulation) -> Self:
        """The search of the same question with the same instances at all hours; itself where hours are alike."""
        if len(formulation.problem.hours) == 1 or self._context.requirements.demand.batch is not None:
            return self
        search = self.within(formulation.at_all_hours(), self._context)
        search.__dict__ |= {"_brackets": {}, "_fewest_of": {}, "_alone": {}}
        return search

    def alone_at_all_hours(self, formulation: Formulation) -> Confirmed | Infeasible:
        """The same as :meth:`alone` with as many instances at all hours, in one class of hours."""
        search = self._at_all_hours(formulation)
        return search.alone(formulation if search is self else formulation.at_all_hours())

    def _constant_fleet(self, best: Confirmed | None) -> Confirmed | None:
        """The cheapest fleet with the same instances at all hours.

        It is cheaper than the best one with its highest counts at all hours: with fewer of them in quieter hours it may
        cost less. None where none holds that limits allow.
        """
        search = self._at_all_hours(self._formulation)
        if search is self:
            return None
        limit = None if best is None else _at_highest_counts(best)
        fleet = search.confirmed(limit, refined=limit is not None)
        if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached or fleet.is_limit:
            return None
        self._sources |= search._sources  # noqa: SLF001 - of its own class
        formulation, solution = fleet.formulation.by_hours(fleet.solution)
        usd = objective_usd_per_month(formulation.problem, solution.allocations, solution.shares)
        solution = replace(solution, objective_usd_per_month=usd, bound_usd_per_month=usd, proven=False)
        if not keeps_to_all(formulation.problem, solution):
            return None
        kinds = {self.kind_of(group.pool.key) for group in solution.allocations}
        constant = self._confirmed(formulation, solution, dict.fromkeys(kinds, fleet.confirmation.headroom_factor))
        return constant if constant.confirmation.reached else None

    def _thinned_constant(self, best: Confirmed) -> Confirmed:
        """A fleet, or one of other machines at all hours that is cheaper with fewer of them in quieter hours."""
        constant = self._constant_fleet(best)
        if constant is None:
            return best
        types, others = ({group.pool.key for group in fleet.solution.allocations} for fleet in (best, constant))
        if types == others and constant.usd_per_month >= best.usd_per_month:
            return best
        return min((best, self._fewer_at_times(unproven(bounded(constant, best)))), key=usd_of)

    def _constant_instead(self, failing: Confirmed) -> Confirmed:
        """The cheapest fleet with the same instances at all hours that holds, in place of one that does not."""
        fleet = self._constant_fleet(None)
        return failing if fleet is None else unproven(held_to(fleet, self._least_usd()))

    def confirmed(
        self, start: Confirmed | None = None, *, refined: bool = False, least_usd: float | None = None
    ) -> Confirmed | Infeasible:
        """The cheapest fleet that its replay confirms, to 2 %; where none is found, the one that came closest.

        Args:
            start: a confirmed fleet of a part of the question, which is the answer where none is found that is cheaper
                by 1 %, or the bound is no lower by that than it was for the part.
            refined: whether cheaper fleets are looked for near the start too, where that is what is found.
            least_usd: USD a month that no fleet of the question costs less than, where that will do for a bound; None:
                not known, or not close enough.
        """
        starts = [start]
        first = refined and self._effort.every_kind and self._effort.in_full
        if start is not None and first and self._is_allowed(start):
            start = self._below_closed_form().cheaper(start, mixed=False)
        fleet = self._search(start)
        if self._effort.every_kind and (isinstance(fleet, Infeasible) or not fleet.confirmation.reached):
            fleet = self._below_closed_form().cheaper(None) or fleet
        if isinstance(fleet, Confirmed) and not fleet.confirmation.reached:
            fleet = self._constant_instead(fleet)
        if isinstance(fleet, Infeasible):
            return fleet
        if not refined and start is not None and fleet.solution.allocations is start.solution.allocations:
            return start
        return self._in_full(self._refined(fleet, [*starts, start], least_usd))

    def _refined(
        self, confirmed: Confirmed, starts: Sequence[Confirmed | None], least_usd: float | None = None
    ) -> Confirmed:
        """The search's fleet with a bound that holds, or the cheapest fleet below the closed form and near it.

        Near other fleets too that the search started from: a dearer one may have cheaper neighbours.
        """
        if self._effort.in_full:
            confirmed = self._held_to_the_closed_form(confirmed, least_usd)
        if not confirmed.confirmation.reached:
            return confirmed
        others = {instances_of(fleet.solution): fleet for fleet in starts if fleet is not None and not fleet.is_limit}
        others.pop(instances_of(confirmed.solution), None)
        near = (self._nearby(bounded(fleet, confirmed)) for fleet in others.values() if self._is_allowed(fleet))
        confirmed = min((self._nearby(confirmed), *near), key=usd_of)
        confirmed = self._with_fewer(self._formulation, confirmed) if self._is_allowed(confirmed) else confirmed
        # Mixes over several classes of hours are programs of their own: rungs do without them, which compare alone.
        mixed = self._effort.in_full or len(self.problem.hours) == 1
        below = self._below_closed_form().cheaper(confirmed, mixed=mixed) if self._effort.every_kind else None
        confirmed = unproven(confirmed) if below is None else held_to(below, confirmed.solution.bound_usd_per_month)
        if not any(start is not None and start.is_limit for start in starts):
            confirmed = self._by_hours(self._fewer_at_times(self._exchanged(confirmed)))
            if self._effort.in_full and not confirmed.solution.proven:
                confirmed = self._thinned_constant(confirmed)
        return self._in_preferred_precision(confirmed)

    def alone(self, formulation: Formulation) -> Confirmed | Infeasible:
        """The cheapest confirmed fleet of a question with one kind of replica, by bisection of its headroom.

        Where no headroom helps it is the fleet that came closest; why there is none at all where limits conflict.
        """
        pools = sorted((pool.key, pool.tariffs) for pool in formulation.problem.pools)
        key = (constraints_of(formulation.problem), *pools)
        if key not in self._known:
            self._sources |= formulation.pool_set.sources
            kinds = {self.kind_of(pool.key) for pool in formulation.problem.pools}
            hint = self._brackets.get(next(iter(kinds))) if len(kinds) == 1 else None
            fleet, bracket = self._bisected(formulation, dict.fromkeys(kinds, 1.0), hint)
            if isinstance(fleet, Confirmed) and fleet.confirmation.reached:
                fleet = self._with_fewer(formulation, fleet)
            self._known[key] = self.as_shown(fleet) if isinstance(fleet, Confirmed) else fleet
            if len(kinds) == 1 and hint is None and bracket is not None:
                self._brackets[kinds.pop()] = bracket
        return self._known[key]

    def _search(self, confirmed: Confirmed | None) -> Confirmed | Infeasible:
        """Optima at the lower ends of the brackets, each replayed, until one holds or none can be cheaper."""
        best = confirmed
        worth = None if confirmed is None else _worth_less_than(confirmed)
        closest: Confirmed | None = None
        tested: list[Kind] = []
        while True:
            bound = self._optimum(self._formulation, self._least_headroom(), worth if best is confirmed else confirmed)
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
                fleet = self._bracketed(kind, best)
                best = cheaper(best, fleet)
                closest = closer(closest, fleet) if isinstance(fleet, Confirmed) else closest

    def _least_headroom(self) -> Mapping[Kind, float]:
        """Least headroom of each kind that is known; of a question whose idle replicas are all late none.

        The fleet that comes closest is told then.
        """
        least = {kind: bracket.least for kind, bracket in self._brackets.items()}
        is_late = all(math.isinf(least.get(self.kind_of(pool.key), 1.0)) for pool in self.problem.pools)
        return NO_HEADROOM if is_late else least

    def _held_to_the_closed_form(self, confirmed: Confirmed, least_usd: float | None) -> Confirmed:
        """A fleet with a bound that holds in every hour, place and failure.

        The lower end of a bracket says what a kind carries where it carries least. In other hours, for other places, or
        after a failure it may carry more, so where there are several a bound takes every kind as the closed form does.
        Of a fleet that is not proven a bound that is known will do.
        """
        if asks_for_rate_alone(self._formulation.problem) or all(
            bracket.least <= 1 for bracket in self._brackets.values()
        ):
            return confirmed
        if least_usd is None or confirmed.solution.proven:
            least_usd = self._least_usd()
        return held_to(confirmed, least_usd)

    def _least_usd(self) -> float:
        """Bound on what any fleet costs that carries the planned rates by the closed form."""
        plain = self._solve(self._formulation)
        return plain.bound_usd_per_month if isinstance(plain, FleetSolution) else 0.0

    def _suffices(self, best: Confirmed, bound: Confirmed) -> bool:
        """Whether nothing is worth looking for below a fleet: nothing much cheaper, or nothing that would be preferred.

        Where only the answer counts, and not how cheap the cheapest is, that is so of the simplest fleets that cost
        little more than the bound.
        """
        if not worthwhile(best.usd_per_month, bound):
            return True
        if best.is_limit:
            return False
        most = bound.usd_per_month * (1 + self._formulation.problem.limits.simplicity)
        return not self._effort.in_full and is_simplest(best) and best.usd_per_month <= most

    def _not_known(self, failed: Confirmed) -> list[Kind]:
        """Kinds that are late in a fleet and not known by themselves yet."""
        trial = self._trials.of(failed.formulation, failed.solution, every=len(failed.solution.allocations) > 1)
        late = dict.fromkeys(self.kind_of(failed.solution.allocations[at].pool.key) for at in trial.late)
        return [kind for kind in late if kind not in self._brackets]

    def _bracketed(self, kind: Kind, best: Confirmed | None) -> Confirmed | Infeasible:
        """Find the bracket of a kind by its cheapest pool at the planned load, below the cost of the best fleet."""
        problem = self._formulation.problem
        pools = tuple(pool for pool in problem.pools if self.kind_of(pool.key) == kind)
        usd = usd_alone(replace(problem, pools=pools))
        first = min(pools, key=lambda pool: usd[pool.key])
        key = (first.key, first.tariffs, *constraints_of(problem))
        alone = self._found_alone.get(key)
        if alone is None or not alone.settles(usd_of(best)):
            formulation = self._formulation.of([first])
            fleet, bracket = self._bisected(formulation, {kind: 1.0}, None, usd_of(best))
            if bracket is None and formulation.problem.quota_limits:
                _, bracket = self._bisected(unlimited(formulation), {kind: 1.0}, None)
            bracket = bracket or Bracket(1.0, 1.0)
            failing = self._solve(self._with_headroom(formulation, {kind: bracket.failed}))
            alone = self._found_alone[key] = _Alone(fleet, bracket, failing, usd_of(best))
        self._brackets[kind] = alone.bracket
        if isinstance(alone.failing, FleetSolution):
            self._failing[kind] = alone.failing
        return alone.fleet

    def _raised_together(self, bound: Confirmed, best: Confirmed | None, closest: Confirmed) -> Confirmed:
        """Mix whose kinds hold by themselves but not together: all of them with more headroom, by bisection.

        Of a rung only where no kind holds by itself: mixes near the best fleet are looked for in any case.
        """
        seen = {self.kind_of(allocation.pool.key) for allocation in bound.solution.allocations} | self._brackets.keys()
        fewer = self._formulation.of(pool for pool in self._formulation.problem.pools if self.kind_of(pool.key) in seen)
        least = dict.fromkeys(seen, 1.0) | {kind: bracket.least for kind, bracket in self._brackets.items()}
        if (self._effort.in_full or best is None) and not self._none_holds(seen):
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

    def _none_holds(self, kinds: Iterable[Kind]) -> bool:
        """Whether each of these kinds fails with any headroom: a mix keeps no more requests in time than its best one.

        Requests of each length or place may go to the kind that keeps them, so that a mix may hold where they differ.
        """
        brackets = [self._brackets.get(kind) for kind in kinds]
        return self._formulation.problem.all_alike and all(
            bracket is not None and bracket.failed >= MOST_HEADROOM and math.isinf(bracket.held) for bracket in brackets
        )

    def _cheap_kinds(self, best: Confirmed) -> list[Kind]:
        """Kinds not tried by themselves whose cheapest pool would cost less than a fleet, the cheapest first."""
        prices = dict[Kind, float]()
        for key, usd in usd_alone(self._formulation.problem).items():
            kind = self.kind_of(key)
            if kind not in self._brackets and usd < min(prices.get(kind, math.inf), best.usd_per_month):
                prices[kind] = usd
        return sorted(prices, key=lambda kind: (prices[kind], kind))[:CHEAP_KINDS]

    def _nearby(self, best: Confirmed) -> Confirmed:
        """The cheapest fleet near a confirmed one; one that is known from other pools than these stays as it is."""
        if not self._is_allowed(best):
            return best
        return cheapest_nearby(self._formulation.problem, best, self._failing.values(), self._unless_late)

    def _unless_late(self, solution: FleetSolution) -> Confirmed | None:
        """A fleet of the question's pools, replayed; None where one of no fewer of the same machines failed."""
        if self._usual_loads(solution).are_within_any(self._late_so_far()):
            return None
        return self._planned_evenly(solution) if keeps_to_all(self._formulation.problem, solution) else None

    def near_in_cost(self, best: Confirmed, dearer_ratio: float) -> Confirmed | None:
        """The fleet that the whole search comes to, or one below the closed form alone where that is far dearer.

        None where none holds, or none that is below the closed form is cheaper than a fleet.

        Args:
            best: the fleet to beat.
            dearer_ratio: how many times as dear a fleet is that comes of a search in haste and is looked at in full.
        """
        # Mixes of kinds that hold by themselves take the longest, and are looked for near what is found.
        quick = self.within(self._formulation, replace(self._context, effort=replace(self._effort, in_full=False)))
        fleet = quick._search(best.as_if_at(best.usd_per_month * dearer_ratio))  # noqa: SLF001 - of its own class
        self.learn(quick)
        if isinstance(fleet, Confirmed) and fleet.confirmation.reached and not fleet.is_limit:
            return self._refined(fleet, [])
        below = self._below_closed_form().cheaper(best.as_if_at(best.usd_per_month))
        return None if below is None or below.is_limit else below

    def _exchanged(self, best: Confirmed) -> Confirmed:
        """The cheapest fleet by exchange, or of two groups or a few instances where there is no haste.

        One that is proven, or known from other pools than these, stays as it is.
        """
        if best.solution.proven or not self._is_allowed(best):
            return best
        search = Exchanges(
            problem=self._formulation.problem,
            kind_of=self.kind_of,
            loads_of=self._usual_loads,
            late=self._late_so_far,
            replay=self._planned_evenly,
        )
        best = search.cheaper(best)
        return cheaper_few(search, cheaper_pairs(search, best)) if self._effort.in_full else best

    def _fewer_at_times(self, best: Confirmed) -> Confirmed:
        """A confirmed fleet with as few instances in quieter hours as its replays confirm, taken one by one.

        The closed form is as careful in all hours, and others may hold with less. One that is proven, or known from
        other pools than these, stays as it is.
        """
        problem, left = self._formulation.problem, MOST_THINNED_FAILED
        if len(problem.hours) == 1 or best.solution.proven or not self._is_allowed(best):
            return best
        while left:
            fewer = (fleet for fleet in fewer_at_times(problem, best.solution) if self._may_hold_below(fleet, best))
            fleets = (self._planned_evenly(solution) for solution in fewer)
            fleet, failed = _first_to_hold(islice(fleets, left))
            if fleet is None or fleet.usd_per_month >= best.usd_per_month - A_CENT:
                break
            best, left = unproven(bounded(fleet, best)), left - failed
        return best

    def _may_hold_below(self, solution: FleetSolution, best: Confirmed) -> bool:
        """Whether a fleet is cheaper than the best one, keeps to all limits, and no fleet with as much failed."""
        if solution.objective_usd_per_month >= best.usd_per_month - A_CENT:
            return False
        is_late = self._usual_loads(solution).are_within_any(self._late_so_far())
        return not is_late and keeps_at_need(self._formulation.problem, solution)

    def _by_hours(self, best: Confirmed) -> Confirmed:
        """A confirmed fleet, or a cheaper one of a part for the quieter hours and a part for the busier ones.

        With as few instances as its replays confirm: the closed form says how many it begins with.
        """
        problem = self._formulation.problem
        is_least = best.solution.proven and not problem.scaling.take_turns
        if is_least or not self._effort.in_full or not self._is_allowed(best):
            return best
        rising = replace(problem, scaling=replace(problem.scaling, take_turns=False))
        best = self._first_by_hours(best, by_hours(rising, best.solution))
        if not problem.scaling.take_turns:
            return best
        constant = self._constant_fleet(None)
        others = [constant.solution] if constant is not None and self._is_allowed(constant) else []
        in_turns = self._first_by_hours(best, by_hours(problem, best.solution, others))
        return best if in_turns is best else held_to(in_turns, self._least_in_turns())

    def cheaper_of(self, fleets: Sequence[FleetSolution], best: Confirmed) -> Confirmed | None:
        """The cheapest of some fleets whose replay confirms it, with as few instances in quieter hours as hold.

        None where none is cheaper than the best one.
        """
        cheap_first = sorted(fleets, key=lambda solution: solution.objective_usd_per_month)
        able = (solution for solution in cheap_first if self._may_hold_below(solution, best))
        fleet, _ = _first_to_hold(map(self._planned_evenly, able))
        return None if fleet is None else self._fewer_at_times(unproven(bounded(fleet, best)))

    def _first_by_hours(self, best: Confirmed, fleets: Sequence[FleetSolution]) -> Confirmed:
        """A confirmed fleet, or the first of some that holds, with as few instances as do; clearly cheaper."""
        limit_usd = best.usd_per_month * (1 - WORTH_RATIO)
        cheaper = takewhile(lambda solution: solution.objective_usd_per_month < limit_usd, fleets)
        able = (solution for solution in cheaper if self._may_hold_below(solution, best))
        fleet, _ = _first_to_hold(self._planned_evenly(solution) for solution in islice(able, MOST_BY_HOURS))
        if fleet is None or fleet.usd_per_month >= limit_usd:
            return best
        return self._fewer_at_times(unproven(bounded(fleet, best)))

    def _least_in_turns(self) -> float:
        """USD a month below which no fleet carries the planned rates, whichever groups shrink as the load rises.

        What each class of hours costs at least by itself: the optimum is of fleets whose groups never shrink.
        """
        most = {kind: min(bracket.least, 1.0) for kind, bracket in self._brackets.items()}
        return min(map(least_usd, scopes(self._with_headroom(self._formulation, most).problem)))

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
            formulation=self._formulation,
            kind_of=self.kind_of,
            mix=lambda formulation, headroom, best: self._optimum(formulation, headroom, best, roughly=True),
            optimum=self._optimum,
            solved=lambda headroom, formulation, best: self._solve(self._with_headroom(formulation, headroom), best),
            any_below=self._any_below,
            alone=self.alone,
            fewest=self._fewest,
            refused=self._refused,
            singles=self._singles,
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
                replace(confirmed.formulation, problem=self._formulation.problem), confirmed.solution, order[:count]
            )
            if fewer is None:
                continue
            self._sources |= fewer.pool_set.sources
            kinds = {self.kind_of(pool.key) for pool in fewer.problem.pools}
            headroom = {kind: self._brackets[kind].held if kind in self._brackets else usual for kind in kinds}
            roomier = self._with_headroom(fewer, headroom)
            solution = self._solve(roomier) if roomier.problem.pools else None
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


def is_simplest(confirmed: Confirmed) -> bool:
    """Whether no fleet has fewer backends or types."""
    return complexity(confirmed.solution)[:2] == (1, 1)


def _at_highest_counts(confirmed: Confirmed) -> Confirmed:
    """A fleet as one of the question with the same instances at all hours: at all of them as in those with most."""
    solution = confirmed.solution
    groups = tuple(replace(group, instances=(max(group.instances),)) for group in solution.allocations)
    shares = {key: share[-1:] for key, share in solution.shares.items()}
    formulation = confirmed.formulation.at_all_hours()
    usd = objective_usd_per_month(formulation.problem, groups, shares)
    constant = replace(
        solution, allocations=groups, shares=shares, objective_usd_per_month=usd, bound_usd_per_month=usd
    )
    return replace(confirmed, solution=constant, formulation=formulation, is_limit=True)


def _worth_less_than(confirmed: Confirmed) -> Confirmed:
    """A fleet at the cost that others have to be below, to leave more to be found than was left where it comes from."""
    return confirmed.as_if_at((1 - WORTH_RATIO) * min(confirmed.usd_per_month, confirmed.solution.bound_usd_per_month))


def _first_to_hold(fleets: Iterable[Confirmed]) -> tuple[Confirmed | None, int]:
    """The first fleet that its replay confirms, and how many fail before it."""
    failed = 0
    for fleet in fleets:
        if fleet.confirmation.reached:
            return fleet, failed
        failed += 1
    return None, failed
