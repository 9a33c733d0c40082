"""From a plan to the replicas that are replayed: the deployment is made again from the question that the plan holds."""

from dataclasses import dataclass

from advisor.candidates import Candidate, judge
from advisor.catalog import Catalog
from advisor.errors import InputError
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import deployment_of
from advisor.performance.steps import step_times
from advisor.plan.question import read_question, requirements_of
from advisor.plan.replay.values import Billing, ReplayGroup
from advisor.plan.values import Option, Plan, PlanProvenance
from advisor.requirements import Requirements
from advisor.workload.values import Slo

_PAID_BY_USE = ("on_demand", "spot")
_AGAIN = "make the plan again with `advisor recommend … --format json -o plan.json`"


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """What a plan sets up, and the targets it was made for."""

    title: str
    groups: tuple[ReplayGroup, ...]
    slo: Slo
    notes: tuple[str, ...]
    """Where the plan was made from something else than it is replayed with."""


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
    option = _option(plan, rank, where)
    question = read_question(plan.question, where)
    requirements = requirements_of(question, catalog)
    candidate = _candidate(option, requirements, catalog, where)
    return Planned(
        title=f"{option.instances} × {option.instance_type} {option.purchase} in {option.region} ({option.precision})",
        groups=(_group(option, candidate, requirements, model),),
        slo=question.workload.slo,
        notes=tuple(_differences(plan.provenance, catalog, model)),
    )


def _option(plan: Plan, rank: int | None, where: str) -> Option:
    if rank is None and plan.recommended is not None:
        return plan.recommended
    found = next((option for option in plan.options if option.rank == rank), None)
    if found is None:
        known = f"1 to {plan.options[-1].rank}" if plan.options else "none at all"
        what = "the plan recommends nothing" if rank is None else f"the plan has no option {rank}"
        raise InputError(what, where=where, hint=f"its options: {known}")
    return found


def _candidate(option: Option, requirements: Requirements, catalog: Catalog, where: str) -> Candidate:
    """The replica that the option stands for, as the catalog judges it today."""
    key = (option.provider, option.instance_type)
    wanted = (option.precision, option.tensor_parallel, option.engine, option.partition)
    if key in catalog.instance_types:
        for one in judge(catalog.instance_types[key], requirements, catalog):
            if isinstance(one, Candidate) and wanted == (
                one.precision, one.tensor_parallel, one.engine, one.partition,
            ):  # fmt: skip
                return one
    named = f"{option.instance_type} in {option.precision} on {option.engine}, tensor parallel {option.tensor_parallel}"
    raise InputError(f"the catalog no longer has {named}", where=where, hint=_AGAIN)


def _group(option: Option, candidate: Candidate, requirements: Requirements, model: PerformanceModel) -> ReplayGroup:
    """As many instances in every hour; whole instances are filled with replicas, as far as the plan allows."""
    deployment = deployment_of(candidate, requirements.model)
    return ReplayGroup(
        name=f"{option.instance_type} {option.purchase}",
        steps=step_times(deployment, model, requirements.demand.tokens, option.context_tokens),
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
