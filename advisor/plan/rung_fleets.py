"""Fleets of rungs: each the cheapest that a scope allows, replayed, with what the step to it saves, risks and takes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Self, TypeGuard

from advisor.candidates import Rejection, judge
from advisor.deployable import NOT_GENERATED
from advisor.plan.alternatives import as_is, as_today, no_rung, rung_of
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.market import Market
from advisor.plan.options import rank
from advisor.plan.problem.values import Infeasible, PurchaseOption
from advisor.plan.replay.validator import Confirmed, is_preferred
from advisor.plan.rungs import RungScope, Step, with_regions
from advisor.plan.solve.simple import preference
from advisor.plan.solve.solver import load_solver
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.values import CurrentCost, Rung
from advisor.plan.words import group_count_words, short_share_words
from advisor.processes import Items
from advisor.records import dataclass, replace
from advisor.units import A_CENT, usd
from advisor.workload.scope import allows, is_within
from advisor.workload.values import Workload

_UNLISTED = (PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
"""Ways of paying that no workload lists: what is owned, and services that scale to zero."""


@dataclass(frozen=True, slots=True, eq=False)
class ReachedRung:
    """The cheapest confirmed fleet of a rung."""

    fleet: Confirmed
    context: PlanningContext

    @property
    def usd_per_month(self) -> float:
        """USD a month of the fleet."""
        return self.fleet.usd_per_month


Reached = ReachedRung | str
"""The fleet of a rung, or why it has none."""


@dataclass(frozen=True, slots=True)
class RungFleet:
    """The cheapest confirmed fleet of a rung in short: what another process is told of it."""

    rung: Rung
    usd_per_month: float
    preference: tuple[int, int, int]
    is_stated: bool
    """Whether the workload as stated allows it."""


RungAnswer = RungFleet | str
"""The fleet of a rung in short, or why it has none."""


class _Part(NamedTuple):
    """Today's deployment, with one rung; the first part is today's alone."""

    current: CurrentCost | None
    answer: RungAnswer


class RungSolver:
    """Solves rungs as the question itself is solved, from what replays have shown when it was made."""

    def __init__(self, market: Market) -> None:
        """Take what all rungs share: the supply of the widest of them, and a copy of what is known."""
        self._market, self._validator = market, market.validator.apart()

    def cheapest(self, workload: Workload, below: ReachedRung | None, *, lossier_only: bool = False) -> Reached:
        """The cheapest fleet that a workload allows; that of the rung below where none is preferred to it.

        Fleets in a precision that loses more quality are preferred only from ``limits.simplicity`` below it on.
        """
        answer = self.reached(workload, below, lossier_only=lossier_only)
        if not isinstance(answer, Infeasible):
            return answer
        limits = " and ".join(constraint.value for constraint in answer.conflict)
        return f"no fleet that was found keeps to {limits or 'the demand'} with what this rung allows"

    def reached(
        self, workload: Workload, below: ReachedRung | None, *, lossier_only: bool = False
    ) -> Reached | Infeasible:  # fmt: skip
        """The same; where limits conflict, which ones is not worked out yet."""
        setting = self._market.context
        context = replace(
            setting,
            requirements=replace(setting.requirements, workload=workload),
            effort=replace(setting.effort, holds_up_to=False, in_full=False, options=1),
        )
        supply = narrowed(self._market.supply, workload)
        formulation = formulate(context, supply, self._market.week)
        if not formulation.problem.pools:
            return _why_no_pool(formulation, context)
        answer = self._among(formulation, context, below, lossier_only=lossier_only)
        if isinstance(answer, ReachedRung):
            return answer
        every = formulate(context, supply, self._market.week, every=True)
        if len(every.problem.pools) == len(formulation.problem.pools):
            return answer
        again = self._among(every, context, below, lossier_only=lossier_only)
        return again if isinstance(again, ReachedRung) else answer

    def _among(
        self, formulation: Formulation, context: PlanningContext, below: ReachedRung | None, *, lossier_only: bool
    ) -> Reached | Infeasible:
        """The same of the layouts of a question: those that no other beats by the closed form, or every one."""
        workload = context.requirements.workload
        validator = self._validator.within(formulation, context)
        confirmed = None if below is None else below.fleet
        if confirmed is not None and lossier_only:
            confirmed = confirmed.as_if_at(confirmed.usd_per_month / (1 + workload.limits.simplicity))
        single = rank(formulation, validator, context, None, 1).cheapest_confirmed
        is_better = single is not None and (confirmed is None or single.usd_per_month < confirmed.usd_per_month)
        fleet = validator.confirmed(start=single if is_better else confirmed, refined=True)
        if isinstance(fleet, Infeasible):
            return fleet
        if below is not None and fleet.solution.allocations is below.fleet.solution.allocations:
            return below
        if not fleet.confirmation.reached:
            return f"the best fleet keeps {short_share_words(fleet.confirmation, workload.slo)}"
        return ReachedRung(validator.simplest(fleet), context)


def first_beyond(market: Market, scopes: Sequence[RungScope]) -> Confirmed | None:
    """The fleet of the first rung that allows more than is stated and has one within every limit."""
    solver = RungSolver(market)
    for scope in scopes:
        if scope.workload is None or not scope.beyond_stated:
            continue
        answer = solver.reached(scope.workload, None)
        most_usd = scope.workload.limits.max_usd_per_month
        if isinstance(answer, ReachedRung) and (most_usd is None or answer.usd_per_month <= most_usd + A_CENT):
            return answer.fleet
    return None


class LowerRungs:
    """Rungs that allow no more than is stated: each knows the fleet of the one before, and none the recommendation.

    Where several processors may be used they are worked out ahead, beside the recommendation, after what runs today.
    """

    def __init__(
        self, market: Market, scopes: Sequence[RungScope], judged_today: Callable[[], CurrentCost | None] | None
    ) -> None:  # fmt: skip
        """Begin with them.

        *scopes*: what each rung allows, with those that allow more; empty: there is no ladder. *judged_today*: judges
        what runs today; None: that is not asked for.
        """
        self._given, self._judged_today = scopes, judged_today
        self._context, self._solver = market.context, RungSolver(market)
        self._stated = with_regions(market.workload, market.context.catalog)
        self._reached: dict[Step, ReachedRung] = {}
        is_ahead = market.context.effort.at_a_time > 1 and (scopes or judged_today is not None)
        if is_ahead and scopes and not market.context.requirements.demand.unit.is_one_pass:
            load_solver()  # fleets of other models are seldom cheap enough to be found without
        self._parts: Items[_Part] = Items(self._in_short, self._ahead if is_ahead else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """End what is worked out ahead."""
        self._parts.__exit__()

    @property
    def current(self) -> CurrentCost | None:
        """Today's deployment, judged; None where nothing runs, or nothing was asked of it."""
        return self._parts[0].current

    @property
    def every(self) -> list[RungScope]:
        """Scope of each rung, with those that allow more than is stated."""
        return self._scopes(self.current)

    def of(self, recommended: Confirmed | None) -> Iterator[tuple[RungScope, RungAnswer | None]]:
        """The fleet of each rung in short, or why it has none; None where it is the recommended one.

        *recommended*: the recommended fleet, where its replays confirm it.
        """
        below: RungFleet | None = None
        for at, scope in enumerate(_not_beyond(self.every), 1):
            if scope.workload is None:
                yield scope, scope.why_none
            elif recommended is None or not is_allowed(scope.workload, recommended):
                answer = self._parts[at].answer
                below = answer if isinstance(answer, RungFleet) else below
                yield scope, answer
            elif below is not None and below.usd_per_month < recommended.usd_per_month - A_CENT:
                rung = replace(below.rung, rung=scope.step.value, where=scope.where)
                yield scope, replace(below, rung=rung)
            else:
                yield scope, None

    def fleet(self, step: Step) -> Confirmed:
        """The fleet of a rung that has one; it is worked out once more where another process did."""
        if step not in self._reached:
            next(scope for scope, _ in self._each(self.current) if scope.step is step)
        return self._reached[step].fleet

    def _scopes(self, current: CurrentCost | None) -> list[RungScope]:
        """Scopes, with the precision of today's machines in each."""
        if current is None:
            return list(self._given)
        order = self._context.requirements.workload.precisions
        return [scope.with_precision(current.precision, order) for scope in self._given]

    def _ahead(self) -> Iterator[_Part]:
        """Today, and rungs up to the last that allows less than is stated; the others have the recommended fleet."""
        parts = self._in_short()
        today = next(parts)
        yield today
        scopes = enumerate(_not_beyond(self._scopes(today.current)), 1)
        yield from islice(parts, max((at for at, scope in scopes if self._is_narrower(scope.workload)), default=0))

    def _is_narrower(self, workload: Workload | None) -> bool:
        return workload is not None and not is_within(self._stated, workload)

    def _in_short(self) -> Iterator[_Part]:
        current = None if self._judged_today is None else self._judged_today()
        yield _Part(current, "")
        for scope, answer in self._each(current):
            if isinstance(answer, str):
                yield _Part(current, answer)
                continue
            fleet = RungFleet(
                rung_of(scope, answer.fleet, self._context, current),
                answer.usd_per_month,
                preference(answer.fleet.solution),
                is_allowed(self._stated, answer.fleet),
            )
            yield _Part(current, fleet)

    def _each(self, current: CurrentCost | None) -> Iterator[tuple[RungScope, Reached]]:
        before: Workload | None = None
        below: ReachedRung | None = None
        for scope in _not_beyond(self._scopes(current)):
            answer: Reached = scope.why_none
            if scope.workload is not None and below is not None and scope.workload == before:
                answer = below
            elif scope.workload is not None:
                answer = cheaper_of(self._solver.cheapest(scope.workload, below), below)
            if isinstance(answer, ReachedRung):
                self._reached[scope.step] = answer
                before, below = scope.workload, answer
            yield scope, answer


def _not_beyond(scopes: Iterable[RungScope]) -> list[RungScope]:
    """Scopes that allow no more than is stated."""
    return [scope for scope in scopes if not scope.beyond_stated]


def is_allowed(workload: Workload, fleet: Confirmed) -> bool:
    """Whether a fleet of the stated workload is one of a workload that allows less."""
    for allocation in fleet.solution.allocations:
        source = fleet.formulation.pool_set.sources[allocation.pool.key]
        paid = allocation.tariff.paid
        if not (
            allows(workload, source.served.candidate.instance_type)
            and source.offer.region in workload.regions
            and source.served.candidate.is_in(workload.precisions)
            and (paid in _UNLISTED or paid.value in workload.purchase)
        ):
            return False
    return True


def cheaper_of(answer: Reached, below: ReachedRung | None) -> Reached:
    """The fleet of a rung; or that of the rung below, where it costs no more, or little more and is preferred."""
    if below is None:
        return answer
    if not isinstance(answer, ReachedRung) or answer.usd_per_month > below.usd_per_month:
        return below
    limits = answer.context.requirements.workload.limits
    limit = (answer.fleet.cheapest or answer.fleet).usd_per_month * (1 + limits.simplicity)
    return below if below.usd_per_month <= limit and is_preferred(below.fleet, answer.fleet) else answer


def _why_no_pool(formulation: Formulation, context: PlanningContext) -> str:
    """Why nothing that a rung allows can be bought, deployed, or serves."""
    if formulation.pool_set.rejections:
        return formulation.pool_set.rejections[0].message
    machines = [context.catalog.instance_types[key] for key in formulation.supply.offers]
    outcomes = [outcome for machine in machines for outcome in judge(machine, context.requirements, context.catalog)]
    rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    if not rejections or len(rejections) < len(outcomes):
        return "nothing that it allows keeps the SLO"
    nearest = next((rejection for rejection in rejections if rejection.code == NOT_GENERATED), rejections[0])
    return f"nothing that it allows can be deployed: {nearest.message}"


_AS_STATED = RungScope(Step.AS_STATED, None)


@dataclass(frozen=True, slots=True)
class HigherRungs:
    """Rungs that allow more than is stated."""

    rungs: Mapping[Step, Rung]
    cheaper_usd: float
    """USD a month of the cheapest fleet to recommend in place of the recommended one; infinite where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """The ladder, as far as it goes."""

    rungs: tuple[Rung, ...]
    as_stated: Rung | None
    """The recommendation as a rung; None where no rung is asked for."""
    cheaper: Confirmed | None
    """Fleet of a rung within what is stated that costs less than the recommendation, which is no simpler."""


NOT_CLIMBED = Climbed((), None, None)


class Ladder:
    """Climbs from rung to rung with one planner: every fleet is solved and replayed as the recommended one is."""

    def __init__(self, market: Market, lower: LowerRungs, recommended: Confirmed) -> None:
        """Begin with what replays have shown so far.

        *recommended*: the fleet within what the workload states, which all rungs beyond it may have too.
        """
        self._context, self._lower, self._current = market.context, lower, lower.current
        self._higher = [scope for scope in lower.every if scope.beyond_stated]
        self._recommended = ReachedRung(recommended, market.context)
        self._stated = self._recommended if recommended.confirmation.reached else None
        self._solver = RungSolver(market)
        self._answers: Mapping[Step, Reached] | None = None

    def higher(self) -> Iterator[HigherRungs]:
        """Rungs that allow more than is stated, each with its fleet, or why it has none; a single item."""
        answers = self._higher_answers()
        rungs = {scope.step: self._described(scope, answers[scope.step]) for scope in self._higher}
        costs = (fleet.usd_per_month for fleet in self._preferable(answers))
        yield HigherRungs(rungs, min(costs, default=math.inf))

    def climbed(self, higher: HigherRungs, fleet: Fleet) -> Climbed:
        """Every rung, and the recommendation; none costs more than the one before."""
        rungs = dict(higher.rungs)
        cheaper: dict[Step, float] = {}
        for scope, answer in self._lower.of(None if self._stated is None else self._recommended.fleet):
            rungs[scope.step] = self._told(scope, answer)
            if isinstance(answer, RungFleet) and self._is_preferred(answer):
                cheaper[scope.step] = answer.usd_per_month
        stated = self._context.requirements.workload
        first = as_is(self._current, self._lower.every[0], stated.limits.survival, stated.slo.within_ratio)
        others = (as_today(rungs[scope.step], first, self._current) for scope in self._lower.every[1:])
        as_stated = replace(self._described(_AS_STATED, self._recommended), recommended=True)
        return Climbed(tuple(_marked([first, *others], fleet)), as_stated, self._cheapest(cheaper, higher.cheaper_usd))

    def _cheapest(self, lower_usd: Mapping[Step, float], higher_usd: float) -> Confirmed | None:
        """The cheapest fleet to recommend instead; it is worked out once more where another process did."""
        if higher_usd < min(lower_usd.values(), default=math.inf):
            fleets = (answer.fleet for answer in self._preferable(self._higher_answers()))
            return min(fleets, key=lambda fleet: fleet.usd_per_month)
        return self._lower.fleet(min(lower_usd, key=lambda step: lower_usd[step])) if lower_usd else None

    def _is_preferred(self, answer: RungFleet) -> bool:
        """Whether a fleet is to be recommended in place of the recommended one."""
        is_simpler = _is_simpler(self._recommended, answer.preference, answer.usd_per_month)
        return answer.is_stated and self._is_cheaper(answer) and not is_simpler

    def _is_cheaper(self, answer: RungFleet) -> bool:
        return self._stated is not None and answer.usd_per_month < self._stated.usd_per_month - A_CENT

    def _told(self, scope: RungScope, answer: RungAnswer | None) -> Rung:
        """A rung that allows no more than is stated; why a dearer fleet is recommended where its own costs less."""
        if answer is None:
            return self._described(scope, self._recommended)
        if isinstance(answer, str):
            return self._described(scope, answer)
        return (
            self._described(scope, _why_dearer(answer, self._recommended)) if self._is_cheaper(answer) else answer.rung
        )

    def _higher_answers(self) -> Mapping[Step, Reached]:
        if self._answers is None:
            self._answers = self._beyond(self._higher, self._stated)
        return self._answers

    def _preferable(self, answers: Mapping[Step, Reached]) -> list[ReachedRung]:
        """Fleets to recommend in place of the recommended one."""
        if self._stated is None:
            return []
        return [answer for answer in answers.values() if _is_preferable(answer, self._stated)]

    def _beyond(self, scopes: Sequence[RungScope], stated: ReachedRung | None) -> dict[Step, Reached]:
        """The rungs that allow more than is stated, from the last on: a fleet that the one before allows is its too."""
        answers: dict[Step, Reached] = {scope.step: scope.why_none for scope in scopes}
        allowed = [(scope, scope.workload) for scope in scopes if scope.workload is not None]
        answer: Reached = ""
        for scope, workload in reversed(allowed):
            if not (isinstance(answer, ReachedRung) and is_allowed(workload, answer.fleet)):
                cheapest = self._solver.cheapest(workload, stated, lossier_only=scope.lossier_only)
                answer = cheaper_of(cheapest, stated)
            answers[scope.step] = answer
        below = stated
        for scope, _ in allowed:
            answers[scope.step] = answer = cheaper_of(answers[scope.step], below)
            below = answer if isinstance(answer, ReachedRung) else below
        return answers

    def _described(self, scope: RungScope, answer: Reached) -> Rung:
        if not isinstance(answer, ReachedRung):
            return replace(no_rung(scope), why_none=answer)
        return rung_of(scope, answer.fleet, self._context, self._current)


def _is_preferable(answer: Reached, stated: ReachedRung) -> TypeGuard[ReachedRung]:
    """Whether a rung has a fleet within what is stated that is cheaper than the recommendation, which is no simpler."""
    return (
        isinstance(answer, ReachedRung)
        and answer.usd_per_month < stated.usd_per_month - A_CENT
        and is_allowed(with_regions(stated.context.requirements.workload, stated.context.catalog), answer.fleet)
        and not _is_simpler(stated, preference(answer.fleet.solution), answer.usd_per_month)
    )


def _is_simpler(stated: ReachedRung, theirs: tuple[int, int, int], usd_per_month: float) -> bool:
    """Whether the recommendation is preferred to a cheaper fleet: it is simpler, and costs little more."""
    most_usd = usd_per_month * (1 + stated.context.requirements.workload.limits.simplicity)
    return preference(stated.fleet.solution) < theirs and stated.usd_per_month <= most_usd + A_CENT


def _why_dearer(reached: RungFleet, stated: ReachedRung) -> str:
    """Fleet of a rung that allows less, and why a dearer one is recommended."""
    fleet = " + ".join(
        f"{group_count_words(group)} × {group.instance_type} {group.purchase.replace('_', ' ')}"
        for group in reached.rung.groups
    )
    is_simpler = _is_simpler(stated, reached.preference, reached.usd_per_month)
    why = "a simpler fleet is (limits.simplicity)" if is_simpler else "it does not hold in full"
    saved = stated.usd_per_month - reached.usd_per_month
    return f"{fleet} would save {usd(saved)} a month on what is recommended: {why}"


def _marked(rungs: Sequence[Rung], fleet: Fleet) -> Iterator[Rung]:
    """The rungs, the first one with the recommended fleet marked."""
    usd = fleet.cost.total_usd_per_month
    wanted = sorted(
        (group.type_in_region, group.purchase, group.precision, max(group.instances)) for group in fleet.groups
    )
    marked = False
    for rung in rungs:
        own = sorted(
            (f"{group.provider}/{group.region}/{group.instance_type}", group.purchase, group.precision, group.instances)
            for group in rung.groups
        )
        costs_as_much = rung.total_usd_per_month is not None and abs(rung.total_usd_per_month - usd) < A_CENT
        is_it = not marked and own == wanted and costs_as_much
        marked |= is_it
        yield replace(rung, recommended=is_it)
