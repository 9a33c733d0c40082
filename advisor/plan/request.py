"""The question that a plan answers, as JSON: a plan can be made again, or asked something else, from its file alone."""

import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from advisor.catalog import Catalog
from advisor.catalog.processors import CPU, MOST_VCPUS, fastest_bytes_per_second, with_processors
from advisor.demand.values import Demand, Unit
from advisor.errors import InputError
from advisor.models import weight_bytes
from advisor.models.model import Model
from advisor.models.weights import loaded_by
from advisor.performance.constants import Weights, least_seconds
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.plain_values import from_plain, to_plain
from advisor.records import dataclass, replace
from advisor.requirements import Requirements, require
from advisor.units import BYTES_PER_GIB, MS_PER_SECOND
from advisor.workload.closed_loop import at_rate_of_users
from advisor.workload.kinds import LLAMA_CPP, UNITS, takes_llama_cpp, takes_processors
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

    def of_workload(self, workload: Workload) -> Self:
        """The question of another workload, concurrent users at the rate that its targets give them.

        Raises InputError as :func:`at_rate_of_users` does.
        """
        return replace(self, workload=workload, demand=at_rate_of_users(self.demand, self.workload, workload))


def catalog_for(
    workload: Workload, model: Model, catalog: Catalog, named: Collection[str] = (), demand: Demand | None = None
) -> Catalog:  # fmt: skip
    """The catalog that a question is answered from: with processors where its model could run on them.

    *catalog*: without processors, or this catalog itself. *named*: instance types that are in it wherever they are
    sold, beside those that the workload names. *demand*: what small language models are judged by; None: it is not read
    yet.
    """
    if UNITS.get(model.task, Unit.TOKENS).is_one_pass:
        weights_gib = weight_bytes(model, model.checkpoint.precision) / BYTES_PER_GIB
    else:
        served_bytes = _least_bytes(workload, model)
        if not _runs_on_processors(_with_engines_named(workload, catalog), model, served_bytes, catalog, demand):
            return catalog
        weights_gib = served_bytes / BYTES_PER_GIB
    current = (workload.current.instance_type,) if workload.current is not None else ()
    kept = frozenset((*workload.instance_types, *current, *named))
    return with_processors(catalog, _WITH_PROCESSORS, weights_gib + _BESIDE_WEIGHTS_GIB, kept)


def _least_bytes(workload: Workload, model: Model) -> float:
    """Fewest bytes that a language model is planned in; of a file its own, where no precision is named."""
    if model.file is not None and "precisions" not in workload.lines:
        return weight_bytes(model, model.checkpoint.precision)
    return min(weight_bytes(loaded_by(model, LLAMA_CPP, name), name) for name in workload.precisions)


def _runs_on_processors(
    workload: Workload, model: Model, served_bytes: float, catalog: Catalog, demand: Demand | None
) -> bool:  # fmt: skip
    """Whether processors could keep the time per token of a language model that is planned with llama.cpp.

    None reads the weights that a token uses faster than the largest machine that is planned, at the most memory
    traffic that the cores of any generation have. Where neither engine nor machine is named, that machine has to
    serve the busiest minute of a small model by itself, too: where several are needed, accelerators cost less.
    """
    is_asked = takes_llama_cpp(workload, model, Unit.TOKENS)
    if not is_asked and not takes_processors(workload, model, catalog):
        return False
    used = Weights(served_bytes * model.parameters_active / model.parameters_total, model.parameters_active)
    target_ms = workload.slo.tpot_p95_ms
    if target_ms is not None and used.bytes / fastest_bytes_per_second(catalog) * MS_PER_SECOND > target_ms:
        return False
    if is_asked or _names_processors(workload, catalog):
        return True
    return demand is not None and _serves_rate(used, demand, catalog)


def _names_processors(workload: Workload, catalog: Catalog) -> bool:
    """Whether a workload names machines without an accelerator."""
    named = (*workload.instance_types, *workload.exclude.instance_types)
    return any((provider, name) in catalog.cpu_instances for name in named for provider in workload.providers)


def _serves_rate(used: Weights, demand: Demand, catalog: Catalog) -> bool:
    """Whether the largest machine could serve all requests of the busiest minute by itself."""
    server = catalog.token_server(LLAMA_CPP, CPU)
    if server is None or server.max_batch_items is None or demand.pictures is not None or demand.batch is not None:
        return False
    tokens = demand.tokens
    prompt = tokens.mean_input_tokens() * (1 - tokens.prefix_cache_hit_ratio)
    seconds = least_seconds(used, prompt, tokens.mean_output_tokens(), cores=MOST_VCPUS, slots=server.max_batch_items)
    return demand.requests_per_second.peak * seconds <= 1


def _with_engines_named(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with engines as the catalog names them."""
    engines, excluded = (
        tuple(catalog.engine_named(name) for name in names) for names in (workload.engines, workload.exclude.engines)
    )
    return replace(workload, engines=engines, exclude=replace(workload.exclude, engines=excluded))


def catalog_of_fleet(question: PlanRequest, fleet: Fleet | None, catalog: Catalog) -> Catalog:
    """The catalog that a plan is held against: that of its question, with what its fleet uses."""
    groups = fleet.groups if fleet else ()
    return catalog_of_question(question, catalog, {group.instance_type for group in groups})


def catalog_of_question(question: PlanRequest, catalog: Catalog, named: Collection[str] = ()) -> Catalog:
    """The catalog that a question is answered from; see :func:`catalog_for`."""
    return catalog_for(question.workload, question.model, catalog, named, question.demand)


def requirements_of(question: PlanRequest, catalog: Catalog) -> Requirements:
    """Requirements for the offers of a catalog; see :func:`advisor.requirements.require`."""
    workload = question.workload
    demand = question.demand.with_prefix_cache(workload.prefix_cache_hit_ratio)
    return require(workload, question.model, demand.with_response_cache(workload.answered_ratio), catalog)


def question_document(requirements: Requirements) -> dict[str, Any]:
    """The question as plain JSON, to the last bit, its demand as it was measured.

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
    document = to_plain(PlanRequest(told, requirements.model, requirements.demand.as_measured()))
    return typing.cast("dict[str, Any]", document)


def read_question(document: Mapping[str, Any] | None, where: str = "plan") -> PlanRequest:
    """The question of a plan. Raises InputError if there is none, or it is not of this version."""
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
