"""The question that a plan answers, as JSON: a plan can be made again, or asked something else, from its file alone."""

import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from advisor.catalog import Catalog
from advisor.catalog.processors import fastest_bytes_per_second, with_processors
from advisor.demand.values import Demand, Unit
from advisor.errors import InputError
from advisor.models import weight_bytes
from advisor.models.model import Model
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.plain_values import from_plain, to_plain
from advisor.requirements import Requirements, require
from advisor.units import BYTES_PER_GIB, MS_PER_SECOND
from advisor.workload.kinds import UNITS, takes_llama_cpp
from advisor.workload.measured_demand import CloudWatchDemand, PrometheusDemand, SampleDemand
from advisor.workload.values import DeclaredDemand, DemandSource, Workload

_WITH_PROCESSORS = ("aws", "azure", "gcp")
"""Providers whose machines without an accelerator are known."""
_BESIDE_WEIGHTS_GIB = 2.0
"""Memory of the system and the server on a machine without an accelerator."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanRequest:
    """Request for a plan: everything that it follows from, but for the catalog and the calibration."""

    workload: Workload
    model: Model
    demand: Demand


def catalog_for(workload: Workload, model: Model, catalog: Catalog, named: Collection[str] = ()) -> Catalog:
    """The catalog that a question is answered from: with processors where its model could run on them.

    Args:
        workload: what is asked.
        model: what is served.
        catalog: without processors, or this catalog itself.
        named: instance types that are in it wherever they are sold, beside those that the workload names.
    """
    precision = model.checkpoint.precision
    if not UNITS.get(model.task, Unit.TOKENS).is_one_pass:
        precision = _least_precision(workload, model)
        if not _runs_on_processors(workload, model, precision, catalog):
            return catalog
    weights_gib = weight_bytes(model, precision) / BYTES_PER_GIB
    current = (workload.current.instance_type,) if workload.current is not None else ()
    kept = frozenset((*workload.instance_types, *current, *named))
    return with_processors(catalog, _WITH_PROCESSORS, weights_gib + _BESIDE_WEIGHTS_GIB, kept)


def _least_precision(workload: Workload, model: Model) -> str:
    """Precision of the fewest bytes that a language model is planned in; of a file its own, where none is named."""
    if model.file is not None and "precisions" not in workload.lines:
        return model.checkpoint.precision
    return min(workload.precisions, key=lambda precision: weight_bytes(model, precision))


def _runs_on_processors(workload: Workload, model: Model, precision: str, catalog: Catalog) -> bool:
    """Whether processors could keep the time per token of a language model that is planned with llama.cpp.

    None reads the weights that a token uses faster than the largest machine that is planned, at the most memory
    traffic that the cores of any generation have.
    """
    if not takes_llama_cpp(_with_engines_named(workload, catalog), model, Unit.TOKENS):
        return False
    used = weight_bytes(model, precision) * model.parameters_active / model.parameters_total
    target_ms = workload.slo.tpot_p95_ms
    return target_ms is None or used / fastest_bytes_per_second(catalog) * MS_PER_SECOND <= target_ms


def _with_engines_named(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with engines as the catalog names them."""
    engines, excluded = (
        tuple(catalog.engine_named(name) for name in names) for names in (workload.engines, workload.exclude.engines)
    )
    return replace(workload, engines=engines, exclude=replace(workload.exclude, engines=excluded))


def catalog_of_fleet(question: PlanRequest, fleet: Fleet | None, catalog: Catalog) -> Catalog:
    """The catalog that a plan is held against: that of its question, with what its fleet uses."""
    groups = fleet.groups if fleet else ()
    return catalog_for(question.workload, question.model, catalog, {group.instance_type for group in groups})


def requirements_of(question: PlanRequest, catalog: Catalog) -> Requirements:
    """Requirements for the offers of a catalog; see :func:`advisor.requirements.require`."""
    workload = question.workload
    demand = question.demand.with_prefix_cache(workload.prefix_cache_hit_ratio)
    return require(workload, question.model, demand.with_response_cache(workload.answered_ratio), catalog)


def question_document(requirements: Requirements) -> dict[str, Any]:
    """The question as plain JSON, to the last bit.

    Paths are told from the workload file, wherever that is: the same question gives the same document everywhere.
    """
    workload = requirements.workload
    folder = workload.path.parent
    told = replace(
        workload,
        path=Path(workload.path.name),
        model=_told_model(folder, workload.model),
        demand=_told_from(folder, workload.demand),
    )
    document = to_plain(PlanRequest(told, requirements.model, requirements.demand))
    return typing.cast("dict[str, Any]", document)


def read_question(document: Mapping[str, Any] | None, where: str = "plan") -> PlanRequest:
    """The question of a plan.

    Args:
        document: what :func:`question_document` gave.
        where: the plan's file name, for error messages.

    Raises:
        InputError: there is none, or it is not of this version.
    """
    hint = "make the plan again with `advisor recommend … --format json -o plan.json`"
    if document is None:
        raise InputError("the plan does not hold the question it answers", where=where, hint=hint)
    try:
        return typing.cast("PlanRequest", from_plain(PlanRequest, document))
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise InputError(f"question: it cannot be read ({error})", where=where, hint=hint) from error


def _told_from(folder: Path, source: DemandSource) -> DemandSource:
    """A source of demand whose path is told from the workload file."""
    if isinstance(source, DeclaredDemand | PrometheusDemand | CloudWatchDemand):
        return source
    if isinstance(source, SampleDemand):
        return replace(source, places=tuple(_told_place(folder, place) for place in source.places))
    return replace(source, path=Path(_told_place(folder, str(source.path))))


def _told_model(folder: Path, model: str) -> str:
    """A model as the workload names it, of a file elsewhere on the machine its name alone."""
    told = Path(_told_place(folder, model))
    return told.name if told.is_absolute() or model.startswith("~") else model if told == Path(model) else str(told)


def _told_place(folder: Path, place: str) -> str:
    path = Path(place)
    return str(path.relative_to(folder)) if "://" not in place and path.is_relative_to(folder) else place
