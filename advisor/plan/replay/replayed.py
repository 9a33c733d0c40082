"""Fleets of one question and what their replays show; what is costly to prepare is kept between them."""

import copy
import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple, Self, TypeGuard

import numpy as np

from advisor.plan.fleet.chosen import Confirmation, HoldsUpTo, ReplayGap
from advisor.plan.problem.constraints import NEARLY, most_headroom
from advisor.plan.problem.formulas import mix_rate
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
from advisor.plan.replay.batch_trials import BatchTrials
from advisor.plan.replay.groups import (
    Confirmed,
    instances_of,
    usd_of,
    worst_share,
)
from advisor.plan.replay.headroom import (
    LEAST_HEADROOM,
    MOST_HEADROOM,
    ROUNDED,
    Bracket,
    FleetLoads,
    Kind,
    bracket_of,
    kind_of,
    loads_of,
    narrowed,
    worthwhile,
)
from advisor.plan.replay.trials import Trial, Trials
from advisor.plan.solve.alone import whole_shares
from advisor.plan.solve.neighbours import keeps_to_all, loaded_by_capacity
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.optimise import as_optimum, as_routed
from advisor.plan.solve.scopes import (
    any_below,
    cheapest,
)
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import replace, with_own_memory
from advisor.units import SECONDS_PER_HOUR
from advisor.watched_steps import step_done
from advisor.workload.values import Slo

NO_HEADROOM: Mapping[Kind, float] = {}
SPLITS_TRIED = 3
"""Other splits of the requests over the kinds of a fleet that narrowly fails."""
SPLIT_STEP = 1.15
"""Factor by which kinds that are late are planned to carry less, at first."""
NEARLY_HOLDS = 0.9
"""Share of the requests within the SLO from which on other splits are tried."""
CLOSE_FACTOR = 1.5
"""Times as many late requests as may be, up to which splits halfway between those are tried too."""
MOST_RAISED = 6
"""Steps by which a fleet that is late in some hours has more instances there: one, then two, then four."""
BASES_TRIED = 16
"""Kinds of which it is looked for what they carry by themselves of what is not on spot."""
_BASES = (PurchaseOption.ON_DEMAND, PurchaseOption.COMMITMENT, PurchaseOption.OWNED)
"""Ways of paying for it."""


class _Attempt(NamedTuple):
    """A fleet and its replay at one split of the requests."""

    fleet: Confirmed
    headroom: Mapping[Kind, float]
    late: frozenset[Kind]
    """Kinds whose requests are late too often; all of them where none stands out."""

    @property
    def holds(self) -> bool:
        """Whether the replay confirms it."""
        return self.fleet.confirmation.reached


class ReplayedFleets:
    """Fleets of one question, the cheapest with some headroom, each replayed; none is solved or replayed twice."""

    def __init__(self, formulation: Formulation, context: PlanningContext) -> None:
        """Make up the requests that every fleet is tried with."""
        self._effort = context.effort
        self._context = context
        self._precisions = context.requirements.workload.precisions
        self._sources = dict(formulation.pool_set.sources)
        run = context.requirements.demand.batch
        self._trials = Trials(formulation, context) if run is None else BatchTrials(formulation, context, run)
        self._kinds: dict[str, Kind] = {}
        self._brackets: dict[Kind, Bracket] = {}
        self._solved: dict[tuple[object, ...], FleetSolution | Infeasible | None] = {}
        """None: no fleet is cheaper than the given one."""
        self._cheap: dict[tuple[object, ...], FleetSolution | None] = {}
        """A fleet below a cost; None: there is none."""
        self._holding: dict[tuple[object, ...], Confirmed] = {}
        """Every fleet of any question that a replay confirms."""
        self._late: dict[tuple[object, ...], FleetLoads] = {}
        """Loads of every fleet that failed, by limits and loads."""
        self._unsplit: dict[tuple[object, ...], None] = {}
        """Fleets that were seen to fail at every split."""
        self._base: dict[tuple[Kind, float], float] = {}
        """Headroom with which each kind carries a share of the load by itself."""
        self._alone: dict[Kind, float] = {}
        """Headroom with which fleets of each kind alone hold that are not on spot."""
        self._formulation = self._with_base(formulation)

    def within(self, formulation: Formulation, context: PlanningContext) -> Self:
        """The same for another question about the same demand: what replays have shown of replicas is kept."""
        other = copy.copy(self)
        other.__dict__ |= {
            "_formulation": self._with_base(formulation),
            "_context": context,
            "_effort": context.effort,
            "_precisions": context.requirements.workload.precisions,
            "_sources": {**self._sources, **formulation.pool_set.sources},
            "_brackets": {kind: bracket for kind, bracket in self._brackets.items() if bracket.least == bracket.held},
        }
        return other

    def apart(self) -> Self:
        """The same with a memory of its own: what either finds from here on is not known to the other."""
        other = with_own_memory(self)
        other._trials = self._trials.apart()  # noqa: SLF001 - of its own class
        return other

    def learn(self, other: Self) -> None:
        """Keep what another question about the same demand has shown of replicas."""
        self._brackets |= other._brackets
        self._sources |= other._sources

    def with_known_headroom(self, formulation: Formulation) -> Formulation:
        """A question with what replays have shown so far of each kind of replica."""
        self._sources |= formulation.pool_set.sources
        return self._with_headroom(formulation, {kind: bracket.held for kind, bracket in self._brackets.items()})

    @property
    def problem(self) -> Problem:
        """Problem that fleets are chosen from."""
        return self._formulation.problem

    def kind_of(self, key: str) -> Kind:
        """Kind of the replicas of a pool, by its key."""
        if key not in self._kinds:
            self._kinds[key] = kind_of(self._sources[key].served.candidate)
        return self._kinds[key]

    def replayed(self, formulation: Formulation, solution: FleetSolution) -> Confirmation:
        """Confirmation of a given fleet by a replay."""
        return self._confirmation(self._trial(formulation, solution, whole=True), 1.0)

    def carried_beyond(self, confirmed: Confirmed) -> Mapping[Kind, float]:
        """Headroom below 1 of each kind of a confirmed fleet that carries more than the closed form says."""
        factor, sources = confirmed.confirmation.headroom_factor, confirmed.formulation.pool_set.sources
        kinds = {kind_of(sources[group.pool.key].served.candidate) for group in confirmed.solution.allocations}
        return dict.fromkeys(kinds, factor) if confirmed.confirmation.reached and factor < 1 else {}

    def in_full(self, confirmed: Confirmed) -> Confirmed:
        """The fleet with all that its replays show: of one that fails, shares are estimates before."""
        self._sources |= confirmed.formulation.pool_set.sources
        return self._in_full(confirmed)

    def holds_up_to(self, confirmed: Confirmed) -> HoldsUpTo | None:
        """How far a fleet holds; None where that is not asked for, or its replays do not confirm it."""
        if not (self._effort.holds_up_to and confirmed.confirmation.reached):
            return None
        return self._trials.holds_up_to(confirmed.formulation, confirmed.solution)

    def as_shown(self, confirmed: Confirmed) -> Confirmed:
        """The fleet with its shares after every failure and without any, as exact as they are known."""
        return self._in_full(confirmed, whole=False)

    def _in_full(self, confirmed: Confirmed, *, whole: bool = True) -> Confirmed:
        """The fleet with all that its replays show: the search stops as soon as too many requests are late."""
        whole = whole and self._effort.in_full
        factor = confirmed.confirmation.headroom_factor
        trial = self._trial(confirmed.formulation, confirmed.solution, every=True, whole=whole)
        return replace(confirmed, confirmation=self._confirmation(trial, factor), latencies=trial.latencies)

    def _planned_evenly(self, solution: FleetSolution) -> Confirmed:
        """A fleet whose pools are planned to carry the busiest hour together, each in proportion to its capacity.

        What any failure leaves carries its share of that hour too. Where that narrowly fails, kinds that are late are
        planned to carry less and the others more.
        """
        evenly = self._at_split(solution, self._no_shift(solution))
        key = (constraints_of(self.problem), instances_of(solution))
        is_near = self.problem.all_alike and worst_share(evenly.fleet) >= NEARLY_HOLDS and key not in self._unsplit
        others = self._at_other_splits(solution, evenly) if is_near and not evenly.holds else ()
        holding = evenly if evenly.holds else next((attempt for attempt in others if attempt.holds), None)
        if holding is not None and (holding is evenly or _keeps_its_limits(holding)):
            return self._noted(holding)
        self._unsplit[key] = None
        return self._noted(evenly)

    def _no_shift(self, solution: FleetSolution) -> dict[Kind, float]:
        """Weights of the kinds of a fleet that leave each its part by capacity."""
        return dict.fromkeys((self.kind_of(group.pool.key) for group in solution.allocations), 1.0)

    def _at_other_splits(self, solution: FleetSolution, evenly: _Attempt) -> Iterator[_Attempt]:
        """A fleet that fails by capacity at other splits: what is late carries less and less, then halfway between.

        Halfway only where some split comes close: replays hold in a narrow range of splits then.
        """
        weights, last, step = self._no_shift(solution), evenly, SPLIT_STEP
        tried = [(weights, evenly)]
        for _ in range(SPLITS_TRIED):
            shifted = weights | {kind: weights[kind] * step for kind in last.late}
            if last.late == weights.keys() or self._room_at(solution, shifted) <= 0:
                break
            attempt = self._at_split(solution, shifted)
            yield attempt
            if worst_share(attempt.fleet) == worst_share(last.fleet):  # what is late then is not split
                return
            tried.append((shifted, attempt))
            is_too_far = attempt.late != last.late
            step = math.sqrt(step) if is_too_far else step
            if not is_too_far or worst_share(attempt.fleet) > worst_share(last.fleet):
                last, weights = attempt, shifted
        if max(worst_share(attempt.fleet) for _, attempt in tried) >= self._close_share(evenly):
            for (fewer, _), (more, _) in itertools.pairwise(tried):
                yield self._at_split(solution, {kind: math.sqrt(fewer[kind] * more[kind]) for kind in fewer})

    def _close_share(self, attempt: _Attempt) -> float:
        """Share of the requests within the SLO from which on a fleet fails most narrowly."""
        unavoidable_ratio = attempt.fleet.confirmation.unavoidable_late_ratio
        wanted = self._context.requirements.workload.slo.rehearsed_ratio_beside(unavoidable_ratio)
        return 1 - CLOSE_FACTOR * (1 - wanted)

    def _at_split(self, solution: FleetSolution, weights: Mapping[Kind, float]) -> _Attempt:
        """A fleet whose instances carry the busiest hour together, those of each kind so many times less than usual."""
        room = self._room_at(solution, weights)
        headroom = {kind: weight * room for kind, weight in weights.items()}
        formulation = self._with_headroom(self._formulation, headroom)
        fleet = loaded_by_capacity(formulation.problem, _in_pools(formulation, solution))
        return self._attempt(formulation, fleet, headroom)

    def _room_at(self, solution: FleetSolution, weights: Mapping[Kind, float]) -> float:
        """Factor by which all instances may sustain less yet; 0 where a limit is broken however much they do."""
        usual = {pool.key: pool for pool in self.problem.pools}
        groups = tuple(
            replace(group, pool=usual[group.pool.key].slower(weights[self.kind_of(group.pool.key)]))
            for group in solution.allocations
        )
        return most_headroom(self.problem, replace(solution, allocations=groups))

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
            confirmed = self._optimum(
                formulation, {kind: factor_of_kind * factor for kind, factor_of_kind in least.items()}
            )
            if isinstance(confirmed, Infeasible) or confirmed.usd_per_month >= limit:
                return None
            tried[factor] = confirmed
            return confirmed.confirmation.reached

        first = holds(1.0)
        if first is None:
            return self._why_none(formulation, least), None
        if first:
            return tried[1.0], Bracket(1.0, 1.0)
        if len(least) > 1 and not worthwhile(limit, tried[1.0]):
            return tried[1.0], Bracket(MOST_HEADROOM, math.inf)
        if len(least) == 1 and not self._trials.hold_idle(formulation, tried[1.0].solution):
            return tried[1.0], self._bracket_of_late(*least)
        outer = bracket_of(holds, hint, limit / tried[1.0].usd_per_month)
        bracket = narrowed(outer, holds, tried, limit, exact=len(least) == 1)
        fleet = tried.get(bracket.held)
        if fleet is not None:
            fleet = self._one_by_one(formulation, fleet, tried.get(bracket.failed))
        return self._or_more_at_times(formulation, tried, fleet, bracket, limit)

    def _bracket_of_late(self, kind: Kind) -> Bracket:
        """Bracket of a kind whose idle replicas are late too often: no mix has it, unless it is in time elsewhere.

        Requests of a length or place by themselves may be in time.
        """
        pools = (pool for pool in self.problem.pools if self.kind_of(pool.key) == kind)
        is_late = self.problem.all_alike and not any(map(self._holds_idle, pools))
        return Bracket(math.inf if is_late else MOST_HEADROOM, math.inf)

    def _holds_idle(self, pool: Pool) -> bool:
        """Whether idle replicas of a pool keep enough of the requests in time."""
        instances = Allocation(pool, pool.tariffs[0], (1,) * len(self.problem.hours))
        solution = FleetSolution((instances,), whole_shares(self.problem, pool), 0.0, 0.0, proven=False)
        return self._trials.hold_idle(self._formulation, solution)

    def _or_more_at_times(
        self,
        formulation: Formulation,
        tried: Mapping[float, Confirmed],
        fleet: Confirmed | None,
        bracket: Bracket,
        limit_usd: float,
    ) -> tuple[Confirmed, Bracket]:
        """A fleet of a bisection, or a cheaper one with more instances in some hours than one that fails.

        The bracket of such a one begins with what that one is planned to carry. The closest of all where none holds.

        Args:
            formulation: what it is chosen from.
            tried: fleets by their headroom.
            fleet: that holds; None without any.
            bracket: of its headroom.
            limit_usd: USD a month; nothing from there on is of interest.
        """
        for start in sorted({1.0, bracket.failed} & tried.keys()):
            more = self._more_at_times(formulation, tried[start], min(limit_usd, usd_of(fleet)))
            if more is not None:
                fleet, bracket = more, Bracket(min(bracket.failed, start), bracket.held)
        return fleet or max(tried.values(), key=worst_share), bracket

    def _more_at_times(self, formulation: Formulation, failing: Confirmed, limit_usd: float) -> Confirmed | None:
        """A fleet of one group that fails, with more instances in late hours, or with as many at all hours.

        None where none of these holds below a cost.
        """
        start, classes = failing, len(formulation.problem.hours)
        if classes == 1 or len(start.solution.allocations) > 1 or start.solution.allocations[0].tariff.paid.always:
            return None
        raised = Counter[int]()
        for _ in range(MOST_RAISED):
            (group,) = failing.solution.allocations
            late = self._trial(failing.formulation, failing.solution).late_class
            if late is None or group.instances[late] >= max(group.instances):
                break
            most = min(group.instances[late] + 2 ** raised[late], max(group.instances))
            raised[late] += 1
            counts = (*group.instances[:late], *(max(count, most) for count in group.instances[late:]))
            more = self._with_counts(formulation, failing, counts, limit_usd)
            if more is None or more.confirmation.reached:
                return more
            failing = more
        (group,) = start.solution.allocations
        constant = self._with_counts(formulation, start, (max(group.instances),) * classes, limit_usd)
        return constant if constant is not None and constant.confirmation.reached else None

    def _with_counts(
        self, formulation: Formulation, confirmed: Confirmed, counts: tuple[int, ...], limit_usd: float = math.inf
    ) -> Confirmed | None:
        """A fleet of one group with other numbers of instances, replayed; None where limits or a cost exclude it.

        Its replicas are planned to carry no more than the planned rates ask of them.
        """
        problem = formulation.problem
        (group,) = confirmed.solution.allocations
        usual = next(pool for pool in problem.pools if pool.key == group.pool.key)
        fleet = replace(confirmed.solution, allocations=(replace(group, pool=usual, instances=counts),))
        room = most_headroom(problem, fleet) / ROUNDED
        if room <= 0:
            return None
        headroom = {self.kind_of(usual.key): room}
        roomier = self._with_headroom(formulation, headroom)
        groups = (replace(group, pool=usual.slower(room), instances=counts),)
        usd = objective_usd_per_month(roomier.problem, groups, fleet.shares)
        solution = FleetSolution(groups, fleet.shares, usd, usd, proven=False)
        if usd >= limit_usd or not keeps_to_all(roomier.problem, solution):
            return None
        return self._confirmed(roomier, solution, headroom)

    def _one_by_one(self, formulation: Formulation, holding: Confirmed, failing: Confirmed | None) -> Confirmed:
        """A fleet of one group that holds, or one of fewer instances that does, yet more than one that fails has.

        No headroom asks for those numbers where one instance more leaves nothing more without a zone.
        """
        while failing is not None and (fewer := _one_fewer(holding, failing)) is not None:
            fleet = self._with_counts(formulation, holding, fewer.instances)
            if fleet is None or not fleet.confirmation.reached:
                break
            holding = fleet
        return holding

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

        Weights follow what replicas are planned to carry (with the headroom of each kind, or as the closed form has it)
        and what regions charge for answers (as little as that can be, or whatever the load by capacity comes to).
        A known fleet where none is cheaper.
        """
        roomier = self._with_headroom(formulation, headroom)
        solution = self._solve(roomier, confirmed, roughly=roughly)
        if isinstance(solution, Infeasible):
            return solution
        if confirmed is not None and solution.allocations is confirmed.solution.allocations:
            return confirmed
        attempt = self._attempt(roomier, solution, headroom)
        pools = {group.pool.key: group.pool for group in solution.allocations}
        splits = {(self.kind_of(key), pool.usd_per_request) for key, pool in pools.items()}
        if attempt.holds or len(splits) == 1 or not pools.keys() <= {pool.key for pool in self.problem.pools}:
            return self._noted(attempt)
        other = self._planned_evenly(solution)
        return other if other.confirmation.reached else attempt.fleet

    def _solve(
        self, formulation: Formulation, confirmed: Confirmed | None = None, *, roughly: bool = False
    ) -> FleetSolution | Infeasible:  # fmt: skip
        """The cheapest fleet; what was solved before, for this question or another, is not solved again.

        That of the given one where none is cheaper: another of the same cost may have been given before.
        """
        if not formulation.problem.pools:
            return Infeasible((), ())
        key = (roughly, usd_of(confirmed), *content(formulation.problem))
        if key not in self._solved:
            limit = None if confirmed is None else as_optimum(confirmed.solution)
            self._solved[key] = _unless_given(cheapest(formulation.problem, limit, roughly=roughly), limit)
        solution = self._solved[key]
        if solution is None and confirmed is not None:
            return confirmed.solution
        return solution or Infeasible((), ())

    def _any_below(
        self, headroom: Mapping[Kind, float], formulation: Formulation, most_usd: float
    ) -> FleetSolution | None:
        """A fleet with some headroom that costs less than an amount; what was looked for before is not again."""
        problem = self._with_headroom(formulation, headroom).problem
        key = (most_usd, *content(problem))
        if key not in self._cheap:
            self._cheap[key] = any_below(problem, most_usd)
        return self._cheap[key]

    def _confirmed(
        self, formulation: Formulation, solution: FleetSolution, headroom: Mapping[Kind, float]
    ) -> Confirmed:
        return self._noted(self._attempt(formulation, solution, headroom))

    def _attempt(self, formulation: Formulation, solution: FleetSolution, headroom: Mapping[Kind, float]) -> _Attempt:
        """A fleet, replayed at one split of the requests."""
        solution = as_routed(formulation.problem, solution)
        kinds = [self.kind_of(allocation.pool.key) for allocation in solution.allocations]
        factors = [headroom.get(kind, 1.0) for kind in kinds]
        trial = self._trial(formulation, solution)
        fleet = Confirmed(solution, formulation, self._confirmation(trial, max(factors)))
        return _Attempt(fleet, headroom, frozenset(kinds[at] for at in trial.late))

    def _noted(self, attempt: _Attempt) -> Confirmed:
        """The fleet of an attempt; from here on it is known to hold, or to fail at any split."""
        fleet, problem = attempt.fleet, attempt.fleet.formulation.problem
        if fleet.confirmation.reached:
            self._holding[*constraints_of(problem), instances_of(fleet.solution)] = fleet
        else:
            loads = self._loads(fleet.formulation, fleet.solution, attempt.headroom)
            self._late[problem.limits, *sorted(loads.by_machine.items())] = loads
        return fleet

    def _held(self) -> Iterator[Confirmed]:
        """Every fleet of any question in the same classes of hours that a replay confirms."""
        hours = tuple(hour.planned_rate for hour in self.problem.hours)
        yield from (fleet for (*_, rates, _), fleet in self._holding.items() if rates == hours)

    def _loads(
        self, formulation: Formulation, solution: FleetSolution, headroom: Mapping[Kind, float] = NO_HEADROOM
    ) -> FleetLoads:
        """Loads of a fleet whose replicas are taken to sustain less than the closed form says."""
        formulation, solution = formulation.by_hours(solution)
        kinds = ((self.kind_of(group.pool.key), group) for group in solution.allocations)
        return loads_of(formulation.problem, ((kind, group, headroom.get(kind, 1.0)) for kind, group in kinds))

    def _usual_loads(self, solution: FleetSolution) -> FleetLoads:
        """Loads of a fleet of the question's pools, at the rates that the closed form has for them."""
        usual = {pool.key: pool for pool in self._formulation.problem.pools}
        groups = tuple(replace(group, pool=usual[group.pool.key]) for group in solution.allocations)
        return self._loads(self._formulation, replace(solution, allocations=groups))

    def _late_so_far(self) -> list[FleetLoads]:
        """Loads of every fleet that failed under the question's limits."""
        limits = self._formulation.problem.limits
        return [loads for (held_to, *_), loads in self._late.items() if held_to is limits or held_to == limits]

    def _confirmation(self, trial: Trial, factor: float) -> Confirmation:
        rehearsal = trial.rehearsal
        confirmation = Confirmation(
            requests=trial.requests,
            minutes=rehearsal.minutes,
            within_slo_ratio=trial.within_slo_ratio,
            busiest_within_slo_ratio=trial.busiest_ratio,
            without_one_within_slo_ratio=trial.without_one_ratio,
            without_part_within_slo_ratio=trial.without_part_ratio,
            ttft_p95_ms=trial.ttft_p95_ms,
            tpot_p95_ms=trial.tpot_p95_ms,
            real_time_factor_p95=trial.real_time_factor_p95,
            headroom_factor=factor,
            reached=trial.reached,
            arrivals=rehearsal.words,
            unavoidable_late_ratio=trial.unavoidable_late_ratio,
            finished_hours=None if trial.finished_s is None else trial.finished_s / SECONDS_PER_HOUR,
        )
        requirements = self._context.requirements
        if trial.reached or requirements.demand.batch is not None:
            return confirmation
        slo, unavoidable = requirements.workload.slo, trial.unavoidable_late_ratio
        return replace(confirmation, short=gap_of(confirmation.least[0], slo, unavoidable) or ReplayGap.MARGIN)

    def _with_headroom(self, formulation: Formulation, headroom: Mapping[Kind, float]) -> Formulation:
        """The question with what each kind of replica is taken to sustain; without those that never hold."""
        return formulation.of(
            pool.slower(factor) if factor != 1 else pool
            for pool in formulation.problem.pools
            for factor in (headroom.get(self.kind_of(pool.key), 1.0),)
            if math.isfinite(factor)
        )

    def _with_base(self, formulation: Formulation) -> Formulation:
        """The question with what instances carry of ``limits.on_demand_base_ratio`` by the replays of their kind alone.

        Of the kinds whose base costs least; of others it is what the closed form says.
        """
        problem, ratio = formulation.problem, formulation.problem.limits.on_demand_base_ratio
        paid = {tariff.paid for pool in problem.pools for tariff in pool.tariffs}
        if ratio <= 0 or PurchaseOption.SPOT not in paid or self._context.requirements.demand.batch is not None:
            return formulation
        self._sources |= formulation.pool_set.sources
        for kind, (_, allocation) in itertools.islice(self._cheapest_bases(problem), BASES_TRIED):
            if (kind, ratio) not in self._base:
                self._base[kind, ratio] = self._headroom_of_base(formulation, allocation)
        headroom = {pool.key: self._base.get((self.kind_of(pool.key), ratio), 1.0) for pool in problem.pools}
        return formulation.of(
            replace(pool, base_rates=np.minimum(pool.mix_rates / headroom[pool.key], pool.most_rate))
            if headroom[pool.key] < 1
            else pool
            for pool in problem.pools
        )

    def _cheapest_bases(self, problem: Problem) -> Iterator[tuple[Kind, tuple[float, Allocation]]]:
        """USD an hour and the instances of the cheapest base of each kind by the closed form, the cheapest first."""
        needed = problem.limits.on_demand_base_ratio * problem.hours[-1].planned_rate
        bases: dict[Kind, tuple[float, Allocation]] = {}
        for pool in problem.pools:
            for tariff in pool.tariffs if pool.serves_all_places else ():
                if tariff.paid in _BASES:
                    count = math.ceil(needed / mix_rate(problem, pool))
                    base = count * tariff.all_usd_per_hour, Allocation(pool, tariff, (count,) * len(problem.hours))
                    kind = self.kind_of(pool.key)
                    bases[kind] = min(bases.get(kind, base), base, key=itemgetter(0))
        yield from sorted(bases.items(), key=lambda item: (item[1][0], item[0]))

    def _headroom_of_base(self, formulation: Formulation, allocation: Allocation) -> float:
        """Headroom of what a kind carries of a base by itself: that of the fewest instances whose replay holds."""
        problem, most = formulation.problem, max(allocation.instances)
        needed = problem.limits.on_demand_base_ratio * problem.hours[-1].planned_rate

        def holds(count: int) -> bool:
            fewer = replace(allocation, instances=(count,) * len(problem.hours))
            solution = FleetSolution((fewer,), whole_shares(problem, fewer.pool), 0.0, 0.0, proven=False)
            return self._trials.without_spot(formulation, solution)[1]

        counts = range(max(math.ceil(most * LEAST_HEADROOM), 1), most)
        fewest = counts.start + bisect_left(counts, x=True, key=holds)
        return min(fewest * mix_rate(problem, allocation.pool) / needed, 1.0)

    def _trial(
        self, formulation: Formulation, solution: FleetSolution, *, every: bool = False, whole: bool = False
    ) -> Trial:  # fmt: skip
        """A fleet with its failures, and without all that is on spot where something has to be carried then."""
        trial = self._trials.of(formulation, solution, every=every, whole=whole)
        step_done()
        limits, allocations = formulation.problem.limits, solution.allocations
        steady = tuple(at for at, group in enumerate(allocations) if group.tariff.paid is not PurchaseOption.SPOT)
        if not trial.reached or not limits.on_demand_base_ratio or len(steady) in (0, len(allocations)):
            return trial
        if isinstance(self._trials, BatchTrials):  # its closed form counts every item
            return trial
        share, is_enough = self._trials.without_spot(formulation, solution)
        if is_enough or self._carry_base_alone([allocations[at] for at in steady]):
            return trial
        least = min(share, 1.0 if trial.without_one_ratio is None else trial.without_one_ratio)
        return replace(trial, reached=False, late=steady, without_one_ratio=least)

    def _carry_base_alone(self, steady: Sequence[Allocation]) -> bool:
        """Whether instances that are not on spot carry the base at the rates that a replay of each kind confirms."""
        problem, usual = self._formulation.problem, {pool.key: pool for pool in self._formulation.problem.pools}
        if any(group.pool.key not in usual for group in steady):
            return False
        groups = [replace(group, pool=usual[group.pool.key]) for group in steady]
        for at, hour in enumerate(problem.hours):
            needed = problem.limits.on_demand_base_ratio * hour.planned_rate * (1 - NEARLY)
            rates = [group.instances[at] * mix_rate(problem, group.pool) for group in groups]
            if sum(rates) < needed:
                return False
            headroom = (self._headroom_alone(group) for group in groups)
            if sum(rate / factor for rate, factor in zip(rates, headroom, strict=True)) < needed:
                return False
        return True

    def _headroom_alone(self, group: Allocation) -> float:
        """Headroom with which a fleet of a group's kind alone, paid for as it is, holds; infinite where none does."""
        kind = self.kind_of(group.pool.key)
        bracket = self._brackets.get(kind)
        if bracket is not None and math.isfinite(bracket.held):
            return bracket.held
        if kind not in self._alone:
            formulation = self._formulation.of([replace(group.pool, tariffs=(group.tariff,))])
            _, bracket = self._bisected(formulation, {kind: 1.0}, None)
            self._alone[kind] = math.inf if bracket is None else bracket.held
        return self._alone[kind]

    def _is_allowed(self, confirmed: Confirmed | Infeasible) -> TypeGuard[Confirmed]:
        """Whether a fleet of another question is one of this question too."""
        if isinstance(confirmed, Infeasible):
            return False
        tariffs = {pool.key: pool.tariffs for pool in self._formulation.problem.pools}
        return all(
            allocation.tariff in tariffs.get(allocation.pool.key, ()) for allocation in confirmed.solution.allocations
        )


def _keeps_its_limits(attempt: _Attempt) -> bool:
    """Whether the fleet of an attempt keeps to every limit at its split."""
    return keeps_to_all(attempt.fleet.formulation.problem, attempt.fleet.solution)


def _in_pools(formulation: Formulation, solution: FleetSolution) -> FleetSolution:
    """The same instances in the pools of a question."""
    pools = {pool.key: pool for pool in formulation.problem.pools}
    groups = tuple(replace(group, pool=pools[group.pool.key]) for group in solution.allocations)
    return replace(solution, allocations=groups)


def gap_of(least_ratio: float, slo: Slo, unavoidable_late_ratio: float = 0.0) -> ReplayGap:
    """Limit that the least share of a replay is below."""
    if least_ratio >= slo.rehearsed_ratio_beside(unavoidable_late_ratio):
        return ReplayGap.NONE
    return ReplayGap.MARGIN if least_ratio >= slo.within_ratio else ReplayGap.SLO


def _one_fewer(holding: Confirmed, failing: Confirmed) -> Allocation | None:
    """Group of a fleet with one instance fewer, no fewer than that of a fleet that fails; None where that is it."""
    (group, *others), (fewest, *_) = holding.solution.allocations, failing.solution.allocations
    if others or (fewest.pool.key, fewest.tariff.paid) != (group.pool.key, group.tariff.paid):
        return None
    counts = tuple(max(count - 1, least) for count, least in zip(group.instances, fewest.instances, strict=True))
    return None if counts in (fewest.instances, group.instances) else replace(group, instances=counts)


def _unless_given(
    solution: FleetSolution | Infeasible, given: FleetSolution | None
) -> FleetSolution | Infeasible | None:  # fmt: skip
    """A solution; None where it is the given one."""
    same = given is not None and isinstance(solution, FleetSolution) and solution.allocations is given.allocations
    return None if same else solution
