"""The same question with more and more allowed: what each step from today's machines saves, risks and takes."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from advisor.candidates import Rejection, judge
from advisor.deployable import NOT_GENERATED
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.describe import obligation_of
from advisor.plan.options import rank
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import Supply
from advisor.plan.problem.values import Allocation, Infeasible, PurchaseOption
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.rungs import RungScope, Step, with_regions
from advisor.plan.solve.simple import preference
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.spot import hazard
from advisor.plan.values import CurrentCost, Rung, RungGroup
from advisor.plan.weights import weights_of
from advisor.units import A_CENT, HOURS_PER_DAY, ratio_words
from advisor.workload.scope import allows
from advisor.workload.values import Workload

_EVIDENCE = ("measured", "calibrated", "roofline")
"""The strongest first."""


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

    def __init__(self, context: PlanningContext, supply: Supply, week: Week, validator: ReplayValidator) -> None:
        """Take what all rungs share: the supply of the widest of them, and a confirmer that remembers its replays."""
        self._setting, self._supply, self._week, self._confirmer = context, supply, week, validator

    def climb(
        self, scopes: Sequence[RungScope], recommended: Confirmed, current: CurrentCost | None, fleet: Fleet
    ) -> "Climbed":
        """Every rung with its fleet, or why it has none, and the recommendation; none costs more than the one before.

        Args:
            scopes: what each rung allows.
            recommended: the fleet within what the workload states, which all rungs beyond it may have too.
            current: what runs today, judged.
            fleet: the same as values of a plan.
        """
        if current is not None:
            order = self._setting.requirements.workload.precisions
            scopes = [scope.with_precision(current.precision, order) for scope in scopes]
        stated = _Reached(recommended, self._setting)
        reached = stated if recommended.confirmation.reached else None
        answers = {
            **self._below([scope for scope in scopes if not scope.beyond_stated], reached),
            **self._beyond([scope for scope in scopes if scope.beyond_stated], reached),
        }
        rungs = [_as_is(current, scopes[0])]
        for scope in scopes[1:]:
            answer = answers[scope.step]
            if reached is not None and not scope.beyond_stated and _costs_less(answer, reached):
                answer = _why_dearer(answer, reached)
            rungs.append(_as_today(self._described(scope, answer, current), rungs[0], current))
        as_stated = replace(self._described(_AS_STATED, stated, current), recommended=True)
        cheaper = [] if reached is None else [fleet for fleet in answers.values() if _is_preferable(fleet, reached)]
        best = min((fleet.found for fleet in cheaper), key=lambda fleet: fleet.usd_per_month, default=None)
        return Climbed(tuple(_marked(rungs, fleet)), as_stated, best)

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
        return _cheaper(self._solved(workload, below), below)

    def _beyond(self, scopes: Sequence[RungScope], stated: _Reached | None) -> dict[Step, _Answer]:
        """The rungs that allow more than is stated, from the last on: a fleet that the one before allows is its too."""
        answers: dict[Step, _Answer] = {scope.step: scope.why_none for scope in scopes}
        allowed = [(scope, scope.workload) for scope in scopes if scope.workload is not None]
        answer: _Answer = ""
        for scope, workload in reversed(allowed):
            if not (isinstance(answer, _Reached) and is_allowed(workload, answer.found)):
                answer = _cheaper(self._solved(workload, stated, lossier_only=scope.lossier_only), stated)
            answers[scope.step] = answer
        below = stated
        for scope, _ in allowed:
            answers[scope.step] = answer = _cheaper(answers[scope.step], below)
            below = answer if isinstance(answer, _Reached) else below
        return answers

    def _solved(self, workload: Workload, below: _Reached | None, *, lossier_only: bool = False) -> _Answer:
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
        validator = self._confirmer.within(formulation, context)
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

    def _described(self, scope: RungScope, answer: _Answer, current: CurrentCost | None) -> Rung:
        if not isinstance(answer, _Reached):
            return replace(_none(scope), why_none=answer)
        return rung_of(scope, answer.found, self._setting, current)


def rung_of(scope: RungScope, confirmed: Confirmed, context: PlanningContext, current: CurrentCost | None) -> Rung:
    """A confirmed fleet as a rung.

    Args:
        scope: what it was chosen within.
        confirmed: the fleet.
        context: the question beside which it risks and requires something.
        current: what runs today, for the share that is saved.
    """
    usd = confirmed.usd_per_month
    words = _Words(confirmed, context)
    evidence = {
        confirmed.formulation.pool_set.sources[allocation.pool.key].served.evidence.value
        for allocation in _used(confirmed)
    }
    return Rung(
        rung=scope.step.value,
        total_usd_per_month=usd,
        saving_ratio=saved_ratio(usd, current),
        groups=tuple(_groups(confirmed, context)),
        risks=tuple(words.risks()),
        requires=tuple(words.requires()),
        evidence=max(evidence, key=_EVIDENCE.index),
        within_slo_ratio=confirmed.confirmation.within_slo_ratio,
        beyond_stated=scope.beyond_stated,
        where=scope.where,
    )


def saved_ratio(usd_per_month: float, current: CurrentCost | None) -> float | None:
    """Share of today's cost that is saved; None where nothing runs, or all that runs is paid for already."""
    if current is None or current.total_usd_per_month <= 0:
        return None
    return 1 - usd_per_month / current.total_usd_per_month


def is_allowed(workload: Workload, fleet: Confirmed) -> bool:
    """Whether a fleet of the stated workload is one of a workload that allows less."""
    for allocation in _used(fleet):
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
        for group in _groups(reached.found, reached.context)
    )
    why = "a simpler fleet is (limits.simplicity)" if _is_simpler(stated, reached) else "it does not hold in full"
    saved = stated.usd_per_month - reached.usd_per_month
    return f"{fleet} would save ${saved:,.2f} a month on what is recommended: {why}"


def _as_is(current: CurrentCost | None, scope: RungScope) -> Rung:
    """Today's instances, where they keep the SLO and the limits, and the workload allows them."""
    if current is None:
        return _none(scope)
    needed, kept = current.instances_needed, current.within_slo_ratio
    why = scope.why_none or _why_not_enough(current)
    if why:
        return replace(_none(scope), why_none=why, within_slo_ratio=kept)
    spare = current.instances - (needed or 0)
    by = " by predictions that users do not get" if current.slower else ""
    risks = [f"{spare} more than the demand takes{by}"] if spare else []
    if current.not_generated:
        risks.append(f"no code is generated for it: {current.not_generated}")
    return replace(
        _none(scope), total_usd_per_month=current.total_usd_per_month, saving_ratio=0.0, risks=tuple(risks),
        within_slo_ratio=kept,
    )  # fmt: skip


def _why_not_enough(current: CurrentCost) -> str:
    needed, kept = current.instances_needed, current.within_slo_ratio
    if needed is None or kept is None:
        return current.not_judged
    if current.instances >= needed:
        return ""
    verb = "keeps" if current.instances == 1 else "keep"
    return (
        f"{current.instances} × {current.instance_type} {verb} {ratio_words(kept)} of the requests within the SLO; "
        f"{needed} are needed with failures covered"
    )


def _none(scope: RungScope) -> Rung:
    """A rung without a fleet."""
    return Rung(
        scope.step.value, None, None, (), (), (), "", scope.why_none,
        beyond_stated=scope.beyond_stated, where=scope.where,
    )  # fmt: skip


def _as_today(rung: Rung, today: Rung, current: CurrentCost | None) -> Rung:
    """The rung at today's cost where it is today's machines: how these run the model, so their disks, is unknown."""
    if current is None or today.total_usd_per_month is None or rung.total_usd_per_month is None:
        return rung
    running = (current.region, current.instance_type, current.purchase, current.instances)
    same = [(group.region, group.instance_type, group.purchase, group.instances) for group in rung.groups] == [running]
    if not same or rung.total_usd_per_month <= today.total_usd_per_month:
        return rung
    return replace(rung, total_usd_per_month=today.total_usd_per_month, saving_ratio=today.saving_ratio)


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


def _used(confirmed: Confirmed) -> tuple[Allocation, ...]:
    return confirmed.solution.allocations


def _groups(confirmed: Confirmed, context: PlanningContext) -> Iterator[RungGroup]:
    """The groups of a fleet in short."""
    for allocation in _used(confirmed):
        source = confirmed.formulation.pool_set.sources[allocation.pool.key]
        candidate, offer, tariff = source.served.candidate, source.offer, allocation.tariff
        model = context.requirements.model.name
        yield RungGroup(
            provider=offer.provider,
            region=offer.region,
            instance_type=offer.instance_type,
            accelerator=candidate.instance_type.accelerator,
            purchase=tariff.paid.value,
            commitment=tariff.label if tariff.paid is PurchaseOption.COMMITMENT else "",
            precision=candidate.precision,
            tensor_parallel=candidate.tensor_parallel,
            engine=candidate.engine,
            instances=max(allocation.instances),
            weights=weights_of(context.catalog, model, candidate.precision, candidate.engine).repository,
        )


class _Words:
    """Risks of a fleet, and what it takes beyond what runs today; without that, beyond what the workload states."""

    def __init__(self, confirmed: Confirmed, context: PlanningContext) -> None:
        """Tell what is there: today's region and accelerator, or all that is stated; and the stated clouds."""
        stated, catalog = context.requirements.workload, context.catalog
        current = stated.current
        self._found, self._setting, self._catalog = confirmed, context, catalog
        self._model, self._providers = context.requirements.model.name, set(stated.providers)
        self._regions: Collection[str] = stated.regions
        self._accelerators: Collection[str] = stated.accelerators
        self._precisions: Collection[str] = stated.precisions
        self._today = current.provider if current is not None else ""
        if current is not None:
            self._providers.add(current.provider)
            self._regions = (current.region,)
            self._accelerators = (catalog.instance_type(current.provider, current.instance_type).accelerator,)
            self._precisions = stated.precisions[:1]

    def risks(self) -> Iterator[str]:
        """Interruptions, weak evidence, answers of several precisions and obligations."""
        for allocation in _used(self._found):
            source = self._found.formulation.pool_set.sources[allocation.pool.key]
            if allocation.tariff.paid is PurchaseOption.SPOT:
                per_hour = hazard(self._catalog.spot_risk(source.offer)).per_hour.value
                days = 1 / per_hour / HOURS_PER_DAY if per_hour > 0 else math.inf
                yield f"spot {source.offer.instance_type}: an instance is interrupted every {days:,.0f} days"
            if source.served.evidence.value == "roofline":
                yield f"{source.offer.instance_type}: predicted from its data sheet alone"
        precisions = dict.fromkeys(group.precision for group in _groups(self._found, self._setting))
        if len(precisions) > 1:
            yield f"{' and '.join(precisions)} side by side: equal prompts may be answered differently"
        usd, until = obligation_of(_used(self._found), self._setting)
        if until is not None:
            yield f"obliges to ${usd:,.0f} until {until}"

    def requires(self) -> Iterator[str]:
        """Cloud, region, accelerator, engine, checkpoint."""
        groups = list(_groups(self._found, self._setting))
        new = {group.provider: None for group in groups if group.provider not in self._providers}
        yield from (f"an account on {provider}" for provider in new)
        others = dict.fromkeys(group.provider for group in groups if group.provider not in (self._today, *new))
        yield from (f"moving from {self._today} to {provider}" for provider in others if self._today)
        yield from dict.fromkeys(
            f"region {group.region}"
            for group in groups
            if group.provider not in new and self._regions and group.region not in self._regions
        )
        yield from dict.fromkeys(
            f"driver and image for {group.accelerator} ({group.engine})"
            for group in groups
            if self._accelerators and group.accelerator not in self._accelerators
        )
        weights = (
            weights_of(self._catalog, self._model, group.precision, group.engine)
            for group in groups
            if group.precision not in self._precisions
        )
        yield from dict.fromkeys(weight.words for weight in weights if not weight.is_published)
