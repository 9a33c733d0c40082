"""The same question with more and more allowed: what each step from today's machines saves, risks and takes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from advisor.candidates import Rejection, judge
from advisor.deployable import NOT_GENERATED
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.market import Market
from advisor.plan.options import rank
from advisor.plan.problem.values import Infeasible, PurchaseOption
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.rung_values import as_is, as_today, groups_of, no_rung, rung_of
from advisor.plan.rungs import RungScope, Step, with_regions
from advisor.plan.solve.simple import preference
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.values import CurrentCost, Rung
from advisor.units import A_CENT, ratio_words
from advisor.workload.scope import allows
from advisor.workload.values import Workload

_UNLISTED = (PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
"""Ways of paying that no workload lists: what is owned, and services that scale to zero."""
_AS_STATED = RungScope(Step.AS_STATED, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Reached:
    """The cheapest confirmed fleet of a rung."""

    found: Confirmed
    context: PlanningContext

    @property
    def usd_per_month(self) -> float:
        return self.found.usd_per_month


_Answer = _Reached | str
"""The fleet of a rung, or why it has none."""


class Stretch(StrEnum):
    """Stretches of the ladder, each worked out by itself."""

    BELOW = "below"
    """Rungs that allow no more than is stated."""
    BEYOND = "beyond"
    """Rungs that allow more."""


@dataclass(frozen=True, slots=True)
class Climb:
    """Rungs of a stretch, without a process's memory: they can be sent to another one."""

    rungs: Mapping[Step, Rung]
    cheaper_usd: float
    """USD a month of the cheapest fleet to recommend in place of the recommended one; infinite where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """The ladder, as far as it goes."""

    rungs: tuple[Rung, ...]
    as_stated: Rung
    """The recommendation as a rung."""
    cheaper: Confirmed | None
    """Fleet of a rung within what is stated that costs less than the recommendation, which is no simpler."""


class Ladder:
    """Climbs from rung to rung with one planner: every fleet is solved and replayed as the recommended one is."""

    def __init__(
        self, market: Market, scopes: Sequence[RungScope], recommended: Confirmed, current: CurrentCost | None
    ) -> None:
        """Begin each stretch with what replays have shown so far.

        Args:
            market: the question, with the supply of the widest rung.
            scopes: what each rung allows.
            recommended: the fleet within what the workload states, which all rungs beyond it may have too.
            current: what runs today, judged.
        """
        self._setting, self._supply, self._week, self._current = market.context, market.supply, market.week, current
        order = market.workload.precisions
        self._scopes = [
            scope if current is None else scope.with_precision(current.precision, order) for scope in scopes
        ]
        self._recommended = _Reached(recommended, market.context)
        self._stated = self._recommended if recommended.confirmation.reached else None
        self._validators = {stretch: market.validator.apart() for stretch in Stretch}
        self._answers: dict[Stretch, Mapping[Step, _Answer]] = {}

    def climb(self, stretch: Stretch) -> Climb:
        """The rungs of a stretch, each with its fleet, or why it has none."""
        answers, stated = self._answers_of(stretch), self._stated
        rungs = {}
        for scope in self._of(stretch):
            answer = answers[scope.step]
            if stretch is Stretch.BELOW and stated is not None and _costs_less(answer, stated):
                answer = _why_dearer(answer, stated)
            rungs[scope.step] = self._described(scope, answer)
        return Climb(rungs, min((fleet.usd_per_month for fleet in self._preferable(answers)), default=math.inf))

    def joined(self, climbs: Mapping[Stretch, Climb], fleet: Fleet) -> Climbed:
        """Every rung, and the recommendation; none costs more than the one before.

        Args:
            climbs: of every stretch.
            fleet: the recommended one as values of a plan.
        """
        first = as_is(self._current, self._scopes[0])
        rungs = {step: rung for climb in climbs.values() for step, rung in climb.rungs.items()}
        others = (as_today(rungs[scope.step], first, self._current) for scope in self._scopes[1:])
        as_stated = replace(self._described(_AS_STATED, self._recommended), recommended=True)
        cheapest = min(climbs, key=lambda stretch: climbs[stretch].cheaper_usd)
        found: list[_Reached] = []
        if climbs[cheapest].cheaper_usd < math.inf:  # worked out once more where another process did
            found = self._preferable(self._answers_of(cheapest))
        best = min((answer.found for answer in found), key=lambda fleet: fleet.usd_per_month, default=None)
        return Climbed(tuple(_marked([first, *others], fleet)), as_stated, best)

    def _of(self, stretch: Stretch) -> list[RungScope]:
        return [scope for scope in self._scopes if scope.beyond_stated == (stretch is Stretch.BEYOND)]

    def _answers_of(self, stretch: Stretch) -> Mapping[Step, _Answer]:
        if stretch not in self._answers:
            find = self._below if stretch is Stretch.BELOW else self._beyond
            self._answers[stretch] = find(self._of(stretch), self._stated)
        return self._answers[stretch]

    def _preferable(self, answers: Mapping[Step, _Answer]) -> list[_Reached]:
        """Fleets to recommend in place of the recommended one."""
        if self._stated is None:
            return []
        return [answer for answer in answers.values() if _is_preferable(answer, self._stated)]

    def _below(self, scopes: Sequence[RungScope], stated: _Reached | None) -> dict[Step, _Answer]:
        """The rungs that allow no more than is stated, from the first on: each knows the fleet of the one before."""
        answers: dict[Step, _Answer] = {}
        before: RungScope | None = None
        below: _Reached | None = None
        for scope in scopes:
            answer = self._less_allowed(scope, before, below, stated)
            answers[scope.step] = answer
            if isinstance(answer, _Reached):
                before, below = scope, answer
        return answers

    def _less_allowed(
        self, scope: RungScope, before: RungScope | None, below: _Reached | None, stated: _Reached | None
    ) -> _Answer:  # fmt: skip
        workload = scope.workload
        if workload is None:
            return scope.why_none
        if stated is not None and is_allowed(workload, stated.found):
            return below if below is not None and _costs_less(below, stated) else stated
        if below is not None and before is not None and before.workload == workload:
            return below
        return _cheaper(self._solved(workload, below, self._validators[Stretch.BELOW]), below)

    def _beyond(self, scopes: Sequence[RungScope], stated: _Reached | None) -> dict[Step, _Answer]:
        """The rungs that allow more than is stated, from the last on: a fleet that the one before allows is its too."""
        answers: dict[Step, _Answer] = {scope.step: scope.why_none for scope in scopes}
        allowed = [(scope, scope.workload) for scope in scopes if scope.workload is not None]
        answer: _Answer = ""
        for scope, workload in reversed(allowed):
            if not (isinstance(answer, _Reached) and is_allowed(workload, answer.found)):
                validator = self._validators[Stretch.BEYOND]
                answer = _cheaper(self._solved(workload, stated, validator, lossier_only=scope.lossier_only), stated)
            answers[scope.step] = answer
        below = stated
        for scope, _ in allowed:
            answers[scope.step] = answer = _cheaper(answers[scope.step], below)
            below = answer if isinstance(answer, _Reached) else below
        return answers

    def _solved(
        self, workload: Workload, below: _Reached | None, validator: ReplayValidator, *, lossier_only: bool = False
    ) -> _Answer:
        """The cheapest fleet that a workload allows; that of the rung below where none is preferred to it.

        Fleets in a precision that loses more quality are preferred only from ``limits.simplicity`` below it on.
        """
        context = replace(
            self._setting,
            requirements=replace(self._setting.requirements, workload=workload),
            effort=replace(self._setting.effort, holds_up_to=False, in_full=False, options=1),
        )
        formulation = formulate(context, narrowed(self._supply, workload), self._week)
        if not formulation.problem.pools:
            return _why_no_pool(formulation, context)
        validator = validator.within(formulation, context)
        confirmed = None if below is None else below.found
        if confirmed is not None and lossier_only:
            confirmed = confirmed.as_if_at(confirmed.usd_per_month / (1 + workload.limits.simplicity))
        single = rank(formulation, validator, context, None, 1).cheapest_confirmed
        is_better = single is not None and (confirmed is None or single.usd_per_month < confirmed.usd_per_month)
        found = validator.confirmed(known=single if is_better else confirmed, refined=True)
        if isinstance(found, Infeasible):
            limits = " and ".join(constraint.value for constraint in found.conflict)
            return f"no fleet keeps to {limits or 'the demand'} with what this rung allows"
        if below is not None and found.solution.allocations is below.found.solution.allocations:
            return below
        if not found.confirmation.reached:
            ratio = found.confirmation.within_slo_ratio
            return f"the best fleet keeps {ratio_words(ratio)} of the requests within the SLO"
        return _Reached(validator.simplest(found), context)

    def _described(self, scope: RungScope, answer: _Answer) -> Rung:
        if not isinstance(answer, _Reached):
            return replace(no_rung(scope), why_none=answer)
        return rung_of(scope, answer.found, self._setting, self._current)


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


def _cheaper(answer: _Answer, below: _Reached | None) -> _Answer:
    """The fleet of a rung; or that of the rung below, where it costs no more, or little more and is preferred."""
    if below is None:
        return answer
    if not isinstance(answer, _Reached) or answer.usd_per_month > below.usd_per_month:
        return below
    limits = answer.context.requirements.workload.limits
    limit = (answer.found.cheapest or answer.found).usd_per_month * (1 + limits.simplicity)
    is_preferred = preference(below.found.solution) < preference(answer.found.solution)
    return below if is_preferred and below.usd_per_month <= limit else answer


def _costs_less(answer: _Answer, stated: _Reached) -> TypeGuard[_Reached]:
    """Whether a rung has a fleet that is cheaper than the recommendation."""
    return isinstance(answer, _Reached) and answer.usd_per_month < stated.usd_per_month - A_CENT


def _is_preferable(answer: _Answer, stated: _Reached) -> TypeGuard[_Reached]:
    """Whether a rung has a fleet within what is stated that is cheaper than the recommendation, which is no simpler."""
    return (
        _costs_less(answer, stated)
        and is_allowed(with_regions(stated.context.requirements.workload, stated.context.catalog), answer.found)
        and not _is_simpler(stated, answer)
    )


def _is_simpler(stated: _Reached, reached: _Reached) -> bool:
    """Whether the recommendation is preferred to a cheaper fleet: it is simpler, and costs little more."""
    theirs, ours = map(preference, (stated.found.solution, reached.found.solution))
    most_usd = reached.usd_per_month * (1 + reached.context.requirements.workload.limits.simplicity)
    return theirs < ours and stated.usd_per_month <= most_usd + A_CENT


def _why_dearer(reached: _Reached, stated: _Reached) -> str:
    """Fleet of a rung that allows less, and why a dearer one is recommended."""
    fleet = " + ".join(
        f"{group.instances} × {group.instance_type} {group.purchase.replace('_', ' ')}"
        for group in groups_of(reached.found, reached.context)
    )
    why = "a simpler fleet is (limits.simplicity)" if _is_simpler(stated, reached) else "it does not hold in full"
    saved = stated.usd_per_month - reached.usd_per_month
    return f"{fleet} would save ${saved:,.2f} a month on what is recommended: {why}"


def _marked(rungs: Sequence[Rung], fleet: Fleet) -> Iterator[Rung]:
    """The rungs, the first one with the recommended fleet marked."""
    usd = fleet.cost.total_usd_per_month
    wanted = sorted((group.stand, group.purchase, group.precision, max(group.instances)) for group in fleet.groups)
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
