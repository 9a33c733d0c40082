"""Replicas of a plan that are replayed: the deployment is made again from the question that the plan holds."""

import math
from collections.abc import Iterator

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import Catalog
from advisor.demand.values import SizeColumns
from advisor.errors import InputError
from advisor.performance.groups import with_measured_engines
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import times_of
from advisor.plan.fleet.chosen import Fleet, FleetGroup, Layout
from advisor.plan.measured import compared
from advisor.plan.replay.engine import Times
from advisor.plan.replay.values import Billing, ReplayGroup, Route
from advisor.plan.request import catalog_of_question, read_question, requirements_of
from advisor.plan.values import Option, Plan, PlanProvenance
from advisor.plan.words import fleet_turns, group_count_words
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import SECONDS_PER_MINUTE
from advisor.workload.kinds import trace_columns
from advisor.workload.values import Slo

_PAID_BY_USE = ("on_demand", "spot", "managed")
_AGAIN = "make the plan again with `advisor recommend … --format json -o plan.json`"


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Set-up of a plan, and the targets it was made for."""

    title: str
    groups: tuple[ReplayGroup, ...]
    slo: Slo
    notes: tuple[str, ...]
    """Where the plan was made from something else than it is replayed with."""
    routes: tuple[Route, ...]
    """Where prompts of each length go: the weights of the plan."""
    columns: SizeColumns
    """Columns of a trace that is replayed, in the unit of the model."""


def planned(plan: Plan, catalog: Catalog, model: PerformanceModel, rank: int | None = None, where: str = "") -> Planned:
    """The fleet of a plan.

    Args:
        plan: the plan.
        catalog: the hardware it runs on.
        model: how fast that is.
        rank: of an option; the recommended one without.
        where: the plan's file name, for error messages.

    Raises:
        InputError: there is no such option, or the catalog no longer has it.
    """
    question = read_question(plan.question, where)
    used = {layout.instance_type for layout in (*plan.options, *(plan.fleet.groups if plan.fleet else ()))}
    catalog = catalog_of_question(question, catalog, used)
    requirements = with_measured_engines(requirements_of(question, catalog), model, catalog)
    model = compared(model, requirements, catalog).model
    notes = tuple(_differences(plan.provenance, catalog, model))
    slo = question.workload.slo
    columns = trace_columns(question.model, requirements.demand.unit)
    if rank is None and plan.fleet is not None:
        groups = [_fleet_group(plan.fleet, group, requirements, catalog, model) for group in plan.fleet.groups]
        title = ", ".join(
            f"{max(group.instances)} × {group.instance_type} {group.purchase}{turn and f' {turn}'}"
            for group, turn in zip(plan.fleet.groups, fleet_turns(plan.fleet), strict=True)
        )
        return Planned(title, tuple(groups), slo, notes, tuple(_routes(plan.fleet)), columns)
    option = _option(plan, rank, where)
    candidate = candidate_of(option, requirements, catalog, where)
    count = group_count_words(option)
    title = f"{count} × {option.instance_type} {option.purchase} in {option.region} ({option.precision})"
    return Planned(title, (_group(option, candidate, requirements, model),), slo, notes, (), columns)


def _fleet_group(
    fleet: Fleet, group: FleetGroup, requirements: Requirements, catalog: Catalog, model: PerformanceModel
) -> ReplayGroup:
    candidate = candidate_of(group, requirements, catalog, "")
    cold = group.cold_start_seconds
    after = {each.name: each.stopped_minutes_after for each in fleet.scaling.schedule}
    return ReplayGroup(
        name=group.name,
        steps=_times(group, candidate, requirements, model),
        instances_by_hour=tuple(group.instances[at] for at in fleet.schedule),
        usd_per_hour=group.instance_usd_per_hour,
        replicas_per_instance=group.replicas_per_instance,
        billing=Billing.USED if group.purchase in _PAID_BY_USE else Billing.ALWAYS,
        weight=group.requests_per_second_per_replica.value,
        lead_seconds=cold.high if cold is not None else 0.0,
        stop_seconds=after.get(group.name, 0) * SECONDS_PER_MINUTE,
        interruptions_per_instance_hour=group.interruptions_per_instance_hour,
        target=target_of(group.region, candidate),
    )


def target_of(region: str, candidate: Candidate) -> str:
    """Replicas of one region that serve alike: what a load balancer takes for one target, whatever is paid for them."""
    machine = candidate.instance_type
    return (
        f"{machine.provider}/{region}/{machine.accelerator_count:g}x{machine.accelerator}/{candidate.precision}/"
        f"tp{candidate.tensor_parallel}pp{candidate.pipeline_parallel}x{candidate.replicas_per_instance}/"
        f"{candidate.engine}"
    )


def _routes(fleet: Fleet) -> Iterator[Route]:
    """Routes of the prompts of each bucket: the weights that the generated code writes."""
    if not fleet.bucket_max_input_tokens:
        yield Route(math.inf, fleet.router_weights)
    last = len(fleet.bucket_max_input_tokens) - 1
    for bucket, longest in enumerate(fleet.bucket_max_input_tokens):
        shares = {group.name: group.bucket_shares[bucket] for group in fleet.groups if group.bucket_shares[bucket] > 0}
        yield Route(math.inf if bucket == last else longest, shares)


def _option(plan: Plan, rank: int | None, where: str) -> Option:
    if rank is None and plan.recommended is not None:
        return plan.recommended
    chosen = next((option for option in plan.options if option.rank == rank), None)
    if chosen is None:
        ranks = f"1 to {plan.options[-1].rank}" if plan.options else "none at all"
        what = "the plan recommends nothing" if rank is None else f"the plan has no option {rank}"
        raise InputError(what, where=where, hint=f"its options: {ranks}")
    return chosen


def candidate_of(option: Layout, requirements: Requirements, catalog: Catalog, where: str) -> Candidate:
    """The replica that the option stands for, as the catalog judges it today."""
    key = (option.provider, option.instance_type)
    wanted = (option.precision, option.tensor_parallel, option.engine, option.partition)
    if key in catalog.instance_types:
        for candidate in judge_hardware(catalog.instance_types[key], requirements, catalog):
            if isinstance(candidate, Candidate) and wanted == (
                candidate.precision, candidate.tensor_parallel, candidate.engine, candidate.partition,
            ):  # fmt: skip
                return candidate
    named = f"{option.instance_type} in {option.precision} on {option.engine}, tensor parallel {option.tensor_parallel}"
    raise InputError(f"the catalog no longer has {named}", where=where, hint=_AGAIN)


def _times(
    layout: Option | FleetGroup, candidate: Candidate, requirements: Requirements, model: PerformanceModel
) -> Times:
    """Times of the replica with as many requests at a time as the plan lets it run."""
    return times_of(candidate, requirements, model, (layout.max_concurrency, layout.context_tokens))


def _group(option: Option, candidate: Candidate, requirements: Requirements, model: PerformanceModel) -> ReplayGroup:
    """Group of equal size in every hour; whole instances are filled with replicas, as far as the plan allows."""
    return ReplayGroup(
        name=f"{option.instance_type} {option.purchase}",
        steps=_times(option, candidate, requirements, model),
        instances_by_hour=(option.instances,),
        usd_per_hour=option.cost.instance_usd_per_hour,
        replicas_per_instance=max(option.replicas // option.instances, 1),
        billing=Billing.USED if option.purchase in _PAID_BY_USE else Billing.ALWAYS,
    )


def _differences(made: PlanProvenance, catalog: Catalog, model: PerformanceModel) -> list[str]:
    """Notes on what has changed since the plan was made."""
    now = {
        "catalog": (made.catalog_hash, catalog.content_hash),
        "calibration": (made.calibration_version, model.calibration.version),
    }
    return [f"the plan was made with another {what} ({old})" for what, (old, new) in now.items() if old != new]
