"""Confirmed fleets as a plan shows them: the recommended one in short, options of one type, and rungs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from advisor.candidates import Candidate
from advisor.catalog.processors import CPU
from advisor.demand.values import Forecast
from advisor.performance.evidence import LoadLatency
from advisor.performance.groups import limit_words
from advisor.performance.stage import latencies_at_load
from advisor.plan.cold_start import weights_of
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.fleet.describe import cost_of, layout_of, obligation_of, turns_of
from advisor.plan.options import Ranking, Single
from advisor.plan.problem.charges import provider_of
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import (
    Allocation,
    PurchaseOption,
)
from advisor.plan.replay.below import at_need
from advisor.plan.replay.groups import name_of
from advisor.plan.replay.validator import Confirmed
from advisor.plan.rungs import RungScope
from advisor.plan.scaling import minutes_of
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.plan.spot import interruption_words
from advisor.plan.values import CurrentCost, Option, OptionCost, Predicted, Rung, RungGroup
from advisor.plan.words import CLUSTERS, today_short_words
from advisor.records import fields, replace
from advisor.units import A_CENT, ratio_words
from advisor.workload.values import Survive

_PARTS = tuple(part.name for part in fields(FleetCost))
_NAMED = (PurchaseOption.COMMITMENT, PurchaseOption.MANAGED, PurchaseOption.SERVERLESS)
"""Ways of paying with a name of their own: of the commitment, or of the service."""
_EVIDENCE = ("measured", "calibrated", "roofline")
"""The strongest first."""


def options_of(
    ranking: Ranking, formulation: Formulation, context: PlanningContext, expected: Forecast, fleet: Fleet
) -> tuple[Option, ...]:  # fmt: skip
    """The ranked options as values of a plan."""
    formulation = ranking.with_sources(formulation)
    candidates = [formulation.pool_set.sources[single.pool.key].served.candidate for single in ranking.singles]
    loads = [_load_of_replica(formulation, single.solution.allocations[0], 1.0) for single in ranking.singles]
    latencies = latencies_at_load(candidates, loads, context.requirements, context.model)
    options: list[Option] = []
    for number, (single, latency) in enumerate(zip(ranking.singles, latencies, strict=True), start=1):
        confirmation = single.confirmed.confirmation if single.confirmed else None
        cost = cost_of(formulation, single.solution, context, expected)
        why_not = _why_not(single, candidates[number - 1].precision, fleet)
        ranked = {"rank": number, "confirmed": confirmation, "not_recommended": why_not}
        options.append(_option(formulation, single.solution.allocations[0], context, latency, cost, ranked))
    return tuple(options)


def recommended(confirmed: Confirmed, context: PlanningContext, fleet: Fleet, options: Sequence[Option]) -> Option:
    """The fleet in short, named by the group that serves most in the busiest hours; ranked where it is an option."""
    confirmed = at_need(confirmed)
    formulation = confirmed.formulation
    shares = {group.name: group.request_shares[-1] for group in fleet.groups}
    main = max(
        confirmed.solution.allocations,
        key=lambda allocation: (shares[name_of(allocation)], allocation.instances[-1], name_of(allocation)),
    )
    candidate = formulation.pool_set.sources[main.pool.key].served.candidate
    load = _load_of_replica(formulation, main, shares[name_of(main)] or 1.0)
    (latency,) = latencies_at_load([candidate], [load], context.requirements, context.model)
    option = _option(formulation, main, context, latency, fleet.cost, {"rank": 0})
    same = next((other for other in options if _alike(other, option)), option) if len(fleet.groups) == 1 else option
    planned = confirmed.planned_rates()[name_of(main)]
    return replace(
        option,
        rank=same.rank,
        predicted=same.predicted,
        confirmed=fleet.confirmed,
        groups=len(fleet.groups),
        planned_requests_per_second_per_instance=planned,
        limited_by=limit_words(candidate, planned, context.requirements),
    )


def _load_of_replica(formulation: Formulation, allocation: Allocation, share: float) -> float:
    """Requests per second that a replica receives of a share of the busiest hours' planned rate.

    No more than it sustains of the whole mix, where it is kept to requests that are easier.
    """
    replicas = max(allocation.instances[-1] * allocation.pool.replicas, 1)
    sustained = formulation.pool_set.sources[allocation.pool.key].served.requests_per_second_per_replica.value
    return min(formulation.problem.hours[-1].planned_rate * share / replicas, sustained)


def _alike(option: Option, other: Option) -> bool:
    """Whether two options are the same instances, paid for alike."""
    return all(
        getattr(option, name) == getattr(other, name)
        for name in (
            "type_in_region",
            "purchase",
            "precision",
            "tensor_parallel",
            "partition",
            "engine",
            "instances_by_class",
        )
    )


def _option(
    formulation: Formulation,
    allocation: Allocation,
    context: PlanningContext,
    latency: LoadLatency,
    cost: FleetCost,
    ranked: Mapping[str, Any],
) -> Option:
    """An option with what is known of it beside the others: its rank, and its replay."""
    pool, tariff = allocation.pool, allocation.tariff
    served = formulation.pool_set.sources[pool.key].served
    scheduled = len(set(allocation.instances)) > 1
    planned = mix_rate(formulation.problem, pool)
    return Option(
        **layout_of(formulation, allocation, context),
        **ranked,
        commitment=tariff.label if tariff.paid in _NAMED else "",
        instances=allocation.instances[-1],
        replicas=allocation.instances[-1] * pool.replicas,
        instances_by_class=allocation.instances,
        minutes_ahead=minutes_of(pool.lead_hours) if scheduled else 0,
        minutes_after=minutes_of(tariff.stop_hours) if scheduled else 0,
        planned_requests_per_second_per_instance=planned,
        limited_by=limit_words(served.candidate, planned, context.requirements),
        predicted=Predicted(
            ttft_p95_ms=latency.ttft_p95_ms,
            tpot_p95_ms=latency.tpot_p95_ms,
            e2e_p95_ms=latency.e2e_p95_ms,
            requests_per_second_per_replica=served.requests_per_second_per_replica,
        ),
        evidence=served.evidence.value,
        cost=OptionCost(
            **{name: getattr(cost, name) for name in _PARTS},
            instance_usd_per_hour=tariff.usd_per_hour,
            price_source=tariff.source,
            price_as_of=tariff.as_of,
            price_quality=tariff.quality,
        ),
    )


def _why_not(single: Single, precision: str, fleet: Fleet) -> str:
    """Why an option that costs less than the fleet is not recommended: no fleet has fewer backends or types."""
    if single.usd_per_month >= fleet.cost.total_usd_per_month - A_CENT:
        return ""
    if single.confirmed is None:
        return "not replayed: options as cheap were refused by their replay"
    return f"{precision} loses more quality for less than limits.simplicity"


def rung_of(scope: RungScope, confirmed: Confirmed, context: PlanningContext, current: CurrentCost | None) -> Rung:
    """A confirmed fleet as a rung."""
    usd = confirmed.usd_per_month
    words = _Words(confirmed, context)
    evidence = {
        confirmed.formulation.pool_set.sources[allocation.pool.key].served.evidence.value
        for allocation in confirmed.solution.allocations
    }
    return Rung(
        rung=scope.step.value,
        total_usd_per_month=usd,
        saving_ratio=saved_ratio(usd, current),
        groups=tuple(groups_of(confirmed, context)),
        risks=tuple(words.risks()),
        requires=tuple(words.requires()),
        evidence=max(evidence, key=_EVIDENCE.index),
        within_slo_ratio=confirmed.confirmation.within_slo_ratio,
        beyond_stated=scope.beyond_stated,
        where=scope.where,
    )


def saved_ratio(usd_per_month: float, current: CurrentCost | None) -> float | None:
    """Share of today's cost that is saved; None where none is paid for now, or the total lacks parts."""
    if current is None or current.machines_alone or current.total_usd_per_month <= 0:
        return None
    return 1 - usd_per_month / current.total_usd_per_month


def as_is(current: CurrentCost | None, scope: RungScope, survival: Survive, within_ratio: float) -> Rung:
    """Today's instances, where they keep the SLO and the limits, and the workload allows them."""
    if current is None:
        return no_rung(scope)
    needed, kept = current.instances_needed, current.within_slo_ratio
    why = scope.why_none or _why_not_enough(current, survival, within_ratio)
    if why:
        return replace(no_rung(scope), why_none=why, within_slo_ratio=kept)
    spare = current.instances - (needed or 0)
    by = " by predictions that users do not get" if current.slower else ""
    risks = [f"{spare} more than the demand takes{by}"] if spare else []
    if current.not_generated:
        risks.append(f"no code is generated for it: {current.not_generated}")
    return replace(
        no_rung(scope), total_usd_per_month=current.total_usd_per_month, saving_ratio=0.0, risks=tuple(risks),
        within_slo_ratio=kept,
    )  # fmt: skip


def _why_not_enough(current: CurrentCost, survival: Survive, within_ratio: float) -> str:
    needed, kept = current.instances_needed, current.within_slo_ratio
    if needed is None or kept is None:
        return current.not_judged
    if current.instances >= needed and not current.not_judged:
        return ""
    verb = "keeps" if current.instances == 1 else "keep"
    covered = "" if survival is Survive.NOTHING else " with failures covered"
    why = current.not_judged or today_short_words(current, within_ratio, covered)
    running = f"{current.instances} × {current.instance_type} {verb} {ratio_words(kept)} of the replayed requests"
    return f"{running} within the SLO; {why}"


def no_rung(scope: RungScope) -> Rung:
    """A rung without a fleet."""
    return Rung(
        scope.step.value, None, None, (), (), (), "", scope.why_none,
        beyond_stated=scope.beyond_stated, where=scope.where,
    )  # fmt: skip


def as_today(rung: Rung, today: Rung, current: CurrentCost | None) -> Rung:
    """The rung at today's cost where it is today's machines: how these run the model, so their disks, is unknown."""
    if current is None or today.total_usd_per_month is None or rung.total_usd_per_month is None:
        return rung
    running = (current.region, current.instance_type, current.purchase, current.instances)
    same = [(group.region, group.instance_type, group.purchase, group.instances) for group in rung.groups] == [running]
    if not same or rung.total_usd_per_month <= today.total_usd_per_month:
        return rung
    return replace(rung, total_usd_per_month=today.total_usd_per_month, saving_ratio=today.saving_ratio)


def groups_of(confirmed: Confirmed, context: PlanningContext) -> Iterator[RungGroup]:
    """The groups of a fleet in short."""
    for allocation, turn in zip(confirmed.solution.allocations, turns_of(confirmed), strict=True):
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
            running_hours=turn,
            instances_by_class=allocation.instances if len(set(allocation.instances)) > 1 else (),
        )


class _Words:
    """Risks of a fleet, and what it takes beyond what runs today; without that, beyond what the workload states."""

    def __init__(self, confirmed: Confirmed, context: PlanningContext) -> None:
        """Tell what is there: today's region and accelerator, or all that is stated; and the stated clouds."""
        stated, catalog = context.requirements.workload, context.catalog
        current = stated.current
        self._confirmed, self._context, self._catalog = confirmed, context, catalog
        self._model, self._providers = context.requirements.model.name, set(stated.providers)
        self._regions: Collection[str] = stated.regions
        self._accelerators: Collection[str] = stated.accelerators
        self._instance_types: Collection[str] = stated.instance_types
        self._precisions: Collection[str] = stated.precisions
        self._today = current.provider if current is not None else ""
        if current is not None:
            self._providers.add(current.provider)
            self._regions = (current.region,)
            self._instance_types = ()
            self._accelerators = (catalog.instance_type(current.provider, current.instance_type).accelerator,)
            self._precisions = stated.precisions[:1]

    def risks(self) -> Iterator[str]:
        """Interruptions, weak evidence, answers of several precisions and obligations."""
        for allocation in self._confirmed.solution.allocations:
            source = self._confirmed.formulation.pool_set.sources[allocation.pool.key]
            if allocation.tariff.paid is PurchaseOption.SPOT:
                yield f"spot {source.offer.instance_type}: {interruption_words(self._catalog.spot_risk(source.offer))}"
            if source.served.evidence.value == "roofline":
                yield f"{source.offer.instance_type}: {_weak_evidence(source.served.candidate)}"
        precisions = dict.fromkeys(group.precision for group in groups_of(self._confirmed, self._context))
        if len(precisions) > 1:
            yield f"{' and '.join(precisions)} side by side: equal requests may be answered differently"
        usd, until = obligation_of(self._confirmed.solution.allocations, self._context)
        if until is not None:
            is_dated = self._context.requirements.workload.as_of is not None
            yield f"obliges to ${usd:,.0f} {f'until {until}' if is_dated else self._term_words()}"

    def _term_words(self) -> str:
        """``over 1 year``: a term that begins on no stated day has no date of its end."""
        terms = {
            allocation.tariff.term_years
            for allocation in self._confirmed.solution.allocations
            if allocation.tariff.paid is PurchaseOption.COMMITMENT
        }
        return f"over {'' if len(terms) == 1 else 'up to '}{max(terms):g} year{'' if max(terms) == 1 else 's'}"

    def requires(self) -> Iterator[str]:
        """Cloud, region, cluster, accelerator, engine, checkpoint."""
        groups = list(groups_of(self._confirmed, self._context))
        new = {group.provider: None for group in groups if group.provider not in self._providers}
        yield from (f"an account on {provider}" for provider in new)
        others = dict.fromkeys(group.provider for group in groups if group.provider not in (self._today, *new))
        yield from (f"moving from {self._today} to {provider}" for provider in others if self._today)
        yield from dict.fromkeys(
            f"region {group.region}"
            for group in groups
            if group.provider not in new and self._regions and group.region not in self._regions
        )
        yield from self._clusters()
        yield from dict.fromkeys(
            f"driver and image for {group.accelerator} ({group.engine})"
            for group in groups
            if (self._accelerators and group.accelerator not in self._accelerators)
            or (self._instance_types and group.instance_type not in self._instance_types)
        )
        weights = (
            weights_of(self._catalog, self._model, group.precision, group.engine)
            for group in groups
            if group.precision not in self._precisions
        )
        yield from dict.fromkeys(weight.words for weight in weights if not weight.is_published)

    def _clusters(self) -> Iterator[str]:
        """Clusters that code starts nodes of, each with what leads requests to it."""
        pools = [allocation.pool for allocation in self._confirmed.solution.allocations if allocation.tariff.on_hosts]
        is_there = self._context.requirements.workload.existing_cluster
        nodes = dict.fromkeys(provider_of(pool.region) for pool in pools if pool.on_nodes and not is_there)
        yield from (f"{CLUSTERS[provider]} with a Gateway" for provider in nodes if provider in CLUSTERS)


def _weak_evidence(candidate: Candidate) -> str:
    """Basis of a prediction that rests on no run of its accelerator."""
    is_of_tokens = candidate.batcher is None and candidate.accelerator.vendor == CPU
    return "predicted from runs on its like" if is_of_tokens else "predicted from its data sheet alone"
