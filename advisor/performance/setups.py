"""Questions about deployments as people and tables name them, their answers, or the reason why there is none.

Everything that is left empty gets a default: all accelerators in one tensor-parallel replica, the precision of the
checkpoint, the preferred engine of the catalog.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.candidates.engines import adapter_shortfall, server_on, serves_file
from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.processors import CPU, hardware_named
from advisor.catalog.values import Accelerator, EngineSupport, Support
from advisor.demand.values import Pictures, Unit
from advisor.errors import InputError
from advisor.models import (
    FitRequest,
    Model,
    find_model,
    fit_memory,
    kv_bytes_per_token,
    kv_cache_precision,
    parse_kv_precision,
    parse_precision,
    serving_shape,
    weight_bytes,
)
from advisor.models.adapters import with_adapters
from advisor.models.model import Adapters
from advisor.models.values import ServingShape
from advisor.models.weights import loaded_by
from advisor.performance import Deployment, DraftModel, Evidence, Scenario, adapter_load, head_draft, model_draft
from advisor.performance.constants import engine_class
from advisor.performance.deployments import peak_flops, with_pictures
from advisor.performance.physics import FloatLike, Floats
from advisor.records import dataclass, replace
from advisor.units import gib_to_bytes
from advisor.workload.kinds import LLAMA_CPP, UNITS

MEMORY_UTILIZATION = 0.95
"""Share of the memory given to the engine: published measurements are tuned to the part, not run with the default."""
PROBE_CONTEXT_TOKENS = 128
"""Context at which the memory beside weights and cache is worked out; the lengths asked for must fit what is left."""
EIGHT_BIT_CACHE = ("fp8", "nvfp4")
"""Weight precisions whose published measurements run with an 8-bit cache unless they say otherwise. Where an engine is
stated and no cache, that is what is meant; where neither is, all is as in a plan."""
LOOK_UP = "ngram"
"""Drafts by looking the last words up in the text, which costs nothing."""
CORES_AS_RANKS = ("aws", "google")
"""Vendors whose software counts the cores of a chip as ranks, and pads heads that do not divide."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A model on accelerators, by name; None and "" for what is left to the default."""

    model: str
    accelerator: str
    accelerator_count: int
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    expert_parallel: int | None = None
    data_parallel: int | None = None
    precision: str = ""
    kv_precision: str = ""
    engine: str = ""
    engine_version: str = ""
    max_batched_tokens: int | None = None
    draft_tokens: int | None = None
    draft_acceptance: float | None = None
    draft_model: str = ""
    """What drafts: "" for a head on the model itself, ``ngram`` for a look-up in the text."""
    adapters: Adapters | None = None
    """LoRA adapters on the model; None: those of its file, if any."""
    pictures: Pictures | None = None
    """Images of each request; None: none."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The deployment of one replica, and how many there are."""

    model: Model
    deployment: Deployment
    replicas: int
    """Replicas that share the load; accelerators beyond the last whole replica are idle."""
    kv_precision: str = ""
    """Precision of the KV cache, as understood."""
    server: OnePassEngine | None = None
    """Server of a model that answers in one pass, whose batches are predicted; None: batches of any size."""
    picture_tokens: float = 0.0
    """Tokens that the images of a request become, beside those of its text."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """Why nothing is predicted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Split of the accelerators."""

    tensor_parallel: int
    pipeline_parallel: int
    attention_data_parallel: int
    replicas: int


@dataclass(frozen=True, slots=True)
class _Precisions:
    weights: str
    cache: str
    arithmetic: str


def resolve(setup: Setup, catalog: Catalog) -> Resolved | Abstention:
    """Look everything up. Raises InputError for a name or a precision that nothing is known by."""
    model = find_model(setup.model)
    if setup.adapters is not None:
        model = with_adapters(replace(model, adapters=None), setup.adapters)
    deployed = _resolve(setup, model, catalog)
    return deployed if isinstance(deployed, Abstention) else _with_requests(deployed, setup, catalog)


def _resolve(setup: Setup, model: Model, catalog: Catalog) -> Resolved | Abstention:
    """A model on accelerators, whatever requests hold beside text."""
    hardware = hardware_named(catalog, setup.accelerator)
    accelerator, machine = hardware
    on_cores = machine is not None and not UNITS.get(model.task, Unit.TOKENS).is_one_pass
    if on_cores:
        if setup.engine and catalog.engine_named(setup.engine) != LLAMA_CPP:
            return Abstention(f"language models are predicted on processors with {LLAMA_CPP}, not with {setup.engine}")
        setup = replace(setup, engine=LLAMA_CPP)
    takes_file = setup.accelerator_count == 1 and (not setup.engine or catalog.engine_named(setup.engine) == LLAMA_CPP)
    if takes_file and serves_file(model, accelerator, _stored(setup, model), catalog):
        setup = replace(setup, engine=LLAMA_CPP)
    layout = lay_out(setup, model, accelerator)
    if isinstance(layout, Abstention):
        return layout
    server = server_on(hardware, model, _stored(setup, model), catalog, setup.engine)
    engine = None if on_cores else _engine(setup, accelerator, model, catalog, server)
    if isinstance(engine, Abstention):
        return engine
    precisions = _precisions(setup, model, accelerator, engine)
    if isinstance(precisions, Abstention):
        return precisions
    deployed = _deploy(setup, model, accelerator, (layout, engine, precisions))
    if isinstance(deployed, Abstention):
        return deployed
    slots = catalog.token_server(LLAMA_CPP, accelerator.vendor) if setup.engine == LLAMA_CPP else None
    return replace(deployed, server=server) if slots is None else _with_slots(deployed, slots)


def _with_requests(deployed: Resolved, setup: Setup, catalog: Catalog) -> Resolved | Abstention:
    """A deployment under requests for adapters and with images, as plans have it; or why its engine takes none."""
    if setup.adapters is not None:
        deployment = deployed.deployment
        name = catalog.engine_named(deployment.engine)
        refused = adapter_shortfall(name, deployment.accelerator.name, setup.adapters)
        if refused is not None:
            return Abstention(refused.reason)
        slots = (deployment.max_sequences, setup.adapters.most_sequences)
        most = min((number for number in slots if number is not None), default=None)
        deployed = replace(deployed, deployment=replace(deployment, max_sequences=most))
    return deployed if setup.pictures is None else _with_pictures(deployed, setup.pictures)


def _with_pictures(deployed: Resolved, shown: Pictures) -> Resolved | Abstention:
    """A deployment under requests with images, which become tokens of the prompt."""
    tower = deployed.model.vision
    if tower is None:
        return Abstention(f"how many tokens an image becomes is not known of {deployed.model.name}")
    if deployed.deployment.engine == LLAMA_CPP:
        return Abstention(f"{LLAMA_CPP} is planned without images: it reads them by a second file alone")
    tokens = float(shown.count * tower.encoded(shown.width, shown.height).tokens)
    return replace(deployed, deployment=with_pictures(deployed.deployment, tower, shown), picture_tokens=tokens)


def _with_slots(deployed: Resolved, server: OnePassEngine) -> Resolved:
    """A deployment with the slots and the steps that code starts the server with."""
    slots, tokens = server.max_batch_items, server.max_batch_tokens
    return replace(deployed, deployment=replace(deployed.deployment, max_sequences=slots, max_batched_tokens=tokens))


def lay_out(setup: Setup, model: Model, accelerator: Accelerator) -> Layout | Abstention:
    """Split the accelerators: what is not stated is tensor parallel."""
    count = setup.accelerator_count
    stages, groups = setup.pipeline_parallel or 1, setup.data_parallel or 1
    ranks = setup.tensor_parallel or max(count // (stages * groups), 1)
    if not model.is_generative:
        return Layout(1, 1, 1, count)
    if engine_class(setup.engine) == "llamacpp":
        return Layout(count, 1, 1, 1)
    counts_cores = accelerator.vendor.lower() in CORES_AS_RANKS
    if counts_cores:
        ranks = min(ranks, max(count // (stages * groups), 1))
    if ranks * stages * groups > count:
        return Abstention(
            f"tensor parallel {ranks} × pipeline parallel {stages} × data parallel {groups} needs "
            f"{ranks * stages * groups} accelerators, there are {count}"
        )
    if model.n_heads % ranks and not counts_cores:
        return Abstention(f"{model.n_heads} attention heads cannot be split over {ranks} accelerators")
    shared = groups if model.has_experts else 1
    return Layout(ranks, stages, shared, max(count // (ranks * stages * shared), 1))


def _stored(setup: Setup, model: Model) -> str:
    return parse_precision(setup.precision) if setup.precision else model.checkpoint.precision


def _engine(
    setup: Setup, accelerator: Accelerator, model: Model, catalog: Catalog, server: OnePassEngine | None
) -> EngineSupport | Abstention | None:  # fmt: skip
    """The catalog's row for the engine, or its preferred one; None for an engine that it does not list.

    Of a model that answers in one pass it is that of the server, with the precision that weights are cast to.
    """
    precision = _stored(setup, model)
    if server is not None:
        return replace(server.support(accelerator, precision), engine_version=server.release)
    rows = catalog.engine_support_at(accelerator.name, precision, setup.engine_version)
    if setup.engine:
        wanted = engine_class(setup.engine)
        rows = tuple(row for row in rows if engine_class(row.engine) == wanted and wanted)
    serving = [row for row in rows if row.support is not Support.NO]
    if serving or not rows:
        return serving[0] if serving else None
    default_falls_back = not setup.precision and precision == "bf16"
    older_release = bool(setup.engine) and peak_flops(accelerator, precision) is not None
    if default_falls_back or older_release or not model.is_generative:
        return None
    return Abstention(f"{rows[0].engine} does not serve {precision} on {accelerator.name}: {rows[0].detail}")


def _precisions(
    setup: Setup, model: Model, accelerator: Accelerator, engine: EngineSupport | None
) -> _Precisions | Abstention:  # fmt: skip
    """Precision of weights, cache and arithmetic; weights that the part has no arithmetic for are widened.

    AWS's compiler casts the products of fp32 models to bf16, which Inferentia1 has no alternative to.
    """
    weights = _stored(setup, model)
    cache = parse_kv_precision(setup.kv_precision)
    if setup.engine and not setup.kv_precision.strip() and weights in EIGHT_BIT_CACHE:
        cache = "fp8"
    if engine is not None and not model.is_generative:
        weights = engine.precision
    arithmetic = engine.compute_precision if engine and engine.compute_precision else weights
    if "tf32" in setup.precision.lower() and peak_flops(accelerator, "tf32"):
        arithmetic = "tf32"
    if accelerator.vendor == CPU and engine is None and model.is_generative:
        return _Precisions(weights, cache, arithmetic)
    is_unknown = peak_flops(accelerator, arithmetic) is None and not model.is_forest
    if is_unknown and (arithmetic != "fp32" or accelerator.vendor == "aws"):
        arithmetic = "bf16"
    # Answers token by token need the peak of attention too, trees none.
    computed_in = () if model.is_forest else (arithmetic, "bf16") if model.is_generative else (arithmetic,)
    unknown = next((needed for needed in computed_in if peak_flops(accelerator, needed) is None), None)
    if unknown is not None:
        return Abstention(f"the {unknown} peak of {accelerator.name} is not known")
    return _Precisions(weights, cache, arithmetic)


def _draft(setup: Setup, shape: ServingShape) -> DraftModel | None:
    if setup.draft_tokens is None or setup.draft_acceptance is None:
        return None
    if setup.draft_model.lower() == LOOK_UP:
        return DraftModel(setup.draft_tokens, setup.draft_acceptance)
    if setup.draft_model:
        return model_draft(serving_shape(find_model(setup.draft_model)), setup.draft_tokens, setup.draft_acceptance)
    return head_draft(shape, setup.draft_tokens, setup.draft_acceptance)


def _deploy(
    setup: Setup, model: Model, accelerator: Accelerator, parts: tuple[Layout, EngineSupport | None, _Precisions]
) -> Resolved | Abstention:  # fmt: skip
    layout, engine, precisions = parts
    name = setup.engine or (engine.engine if engine else "")
    if name == LLAMA_CPP:
        model = loaded_by(model, name, precisions.weights)
    version = setup.engine_version or (engine.engine_version if engine and not setup.engine else "")
    groups = layout.attention_data_parallel
    held_on = accelerator if model.is_generative else replace(accelerator, cores=1)
    fit = fit_memory(
        model,
        FitRequest(
            accelerator_memory_gib=held_on.rank_memory_gib,
            accelerator_count=held_on.ranks(setup.accelerator_count),
            tensor_parallel=held_on.ranks(layout.tensor_parallel * groups),
            pipeline_parallel=layout.pipeline_parallel,
            precision=precisions.weights,
            kv_precision=precisions.cache,
            engine=engine.engine if engine else name,
            engine_version=version,
            context_tokens=PROBE_CONTEXT_TOKENS,
            memory_utilization=MEMORY_UTILIZATION,
            accelerator=accelerator.name,
        ),
    )
    if not fit.fits:
        return Abstention(f"does not fit: {fit.reason}")
    shape = serving_shape(model)
    elements = max(shape.kv_elements_per_token, 1.0)
    deployment = Deployment(
        shape=shape,
        accelerator=accelerator,
        weight_bytes=weight_bytes(model, precisions.weights),
        compute_precision=precisions.arithmetic,
        kv_bytes_per_element=kv_bytes_per_token(model, precisions.cache) / elements,
        kv_cache_bytes=gib_to_bytes(fit.kv_cache_gib_available),
        engine=name,
        engine_version=version,
        family=model.family,
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        attention_data_parallel=groups,
        expert_parallel=setup.expert_parallel or 1,
        max_batched_tokens=setup.max_batched_tokens,
        draft=_draft(setup, shape),
        adapters=adapter_load(model, engine.engine if engine else name, layout.tensor_parallel * groups),
    )
    cache = kv_cache_precision(precisions.cache, precisions.weights, model.checkpoint.kv_precision)
    return Resolved(model, deployment, layout.replicas, cache)


REQUIRED_COLUMNS = ("model", "accelerator")
NAME_COLUMNS = ("model", "accelerator", "precision", "kv_precision", "engine", "engine_version")
COUNT_COLUMNS = ("accelerator_count", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
SERVING_COLUMNS = ("max_batched_tokens", "draft_tokens", "draft_acceptance", "draft_model")
REQUEST_COLUMNS = ("adapters", "adapter_rank", "images", "image_width", "image_height")
"""Contents of requests beside their text."""
SETUP_COLUMNS = (*NAME_COLUMNS, *COUNT_COLUMNS, *SERVING_COLUMNS)


def setup_from(cells: Mapping[str, str]) -> Setup:
    """Set-up of named cells. Raises InputError if a count is no whole number of at least 1, or a name is missing."""
    for column in REQUIRED_COLUMNS:
        if not cells.get(column, "").strip():
            raise InputError(f"{column} is empty")
    values: dict[str, Any] = {column: cells.get(column, "").strip() for column in (*NAME_COLUMNS, "draft_model")}
    for column in (*COUNT_COLUMNS, "max_batched_tokens", "draft_tokens"):
        values[column] = _count(column, cells.get(column, ""))
    values["accelerator_count"] = values["accelerator_count"] or 1
    adapters, rank = _all_or_none(cells, REQUEST_COLUMNS[:2], "LoRA adapters")
    images, width, height = _all_or_none(cells, REQUEST_COLUMNS[2:], "images")
    return Setup(
        **values,
        draft_acceptance=_acceptance(cells),
        adapters=Adapters(adapters, rank) if adapters and rank else None,
        pictures=Pictures(float(images), width, height) if images and width and height else None,
    )


def _all_or_none(cells: Mapping[str, str], columns: Sequence[str], what: str) -> tuple[int | None, ...]:
    """Counts that make sense together alone."""
    counts = tuple([_count(column, cells.get(column, "")) for column in columns])
    if None in counts and any(count is not None for count in counts):
        raise InputError(f"{what} need {' and '.join(columns)}", hint="give all of them, or none")
    return counts


def _acceptance(cells: Mapping[str, str]) -> float | None:
    """The acceptance of drafted tokens; None without speculation."""
    tokens, acceptance, model = (cells.get(column, "").strip() for column in SERVING_COLUMNS[1:])
    if not (tokens or acceptance or model):
        return None
    if not (tokens and acceptance):
        raise InputError("speculation needs draft_tokens and draft_acceptance", hint="give both, or neither")
    number = finite_number("draft_acceptance", acceptance)
    if not 0 <= number <= 1:
        raise InputError(f"draft_acceptance must be between 0 and 1, not {acceptance}")
    return number


def finite_number(column: str, cell: str) -> float:
    """The number of a cell. Raises InputError if it is none, or not finite."""
    try:
        number = float(cell)
    except ValueError:
        raise InputError(f"{column}: '{cell}' is not a number") from None
    if not math.isfinite(number):
        raise InputError(f"{column}: '{cell}' is not a finite number")
    return number


def one_line(error: InputError) -> str:
    """An error for a cell of a table."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _count(column: str, cell: str) -> int | None:
    """A whole number of at least 1 (``8`` or ``8.0``), or None for an empty cell."""
    if not cell.strip():
        return None
    number = finite_number(column, cell)
    if number < 1 or number != int(number):
        raise InputError(f"{column} must be a whole number of at least 1, not {cell}")
    return int(number)


SCENARIOS = tuple(Scenario)
SAMPLES = "samples_per_second"
"""The quantity of models that answer in one pass; the others are of models that generate tokens."""
QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "total_tokens_per_second", SAMPLES)

Indices = npt.NDArray[np.intp]
Numbers = tuple[Floats, Floats, Floats]
"""Value, low and high end."""


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """One entry per question; NaN where a number is not given."""

    setup: Indices
    """Position of the question's set-up."""
    scenario: Indices
    """Position in :data:`SCENARIOS`."""
    concurrency: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_cache_hit_ratio: FloatLike = 0.0

    def take(self, index: Indices) -> "Questions":
        """The questions at the given positions."""
        columns = (np.broadcast_to(getattr(self, name), self.setup.shape)[index] for name in self.__slots__)
        return Questions(*columns)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One entry per question: NaN where there is no such number."""

    value: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    evidence: list[str]
    reason: list[str]
    """Why nothing is said of a question; "" where something is."""
    missing: list[str]
    """Which number is missing beside others that are said, and why; "" where none is."""

    @classmethod
    def empty(cls, size: int) -> "Answers":
        """Nothing answered yet."""
        value, low, high = ({name: np.full(size, np.nan) for name in QUANTITIES} for _ in range(3))
        return cls(value, low, high, [Evidence.NONE.value] * size, [""] * size, [""] * size)

    def store(self, name: str, rows: Indices, numbers: Numbers) -> None:
        """Set one quantity of some questions."""
        for column, entries in zip((self.value, self.low, self.high), numbers, strict=True):
            column[name][rows] = entries

    def mark(self, rows: Indices, evidence: Sequence[str]) -> None:
        """Say what the numbers of some questions rest on."""
        for at, word in zip(rows.tolist(), evidence, strict=True):
            self.evidence[at] = word

    def silence(self, at: int, reason: str) -> None:
        """Take back whatever was said of a question, and give the reason instead."""
        for part in (self.value, self.low, self.high):
            for column in part.values():
                column[at] = np.nan
        self.evidence[at], self.reason[at], self.missing[at] = Evidence.NONE.value, reason, ""

    def told(self, at: int) -> str:
        """Why nothing is said of a question, or which of its numbers is missing; "" where all are there."""
        return self.reason[at] or self.missing[at]


@dataclass(slots=True, eq=False)
class Sieve:
    """Questions still standing; those that fall get their reason."""

    questions: Questions
    answers: Answers
    standing: Indices

    def drop(self, bad: npt.NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        """Drop the standing questions that are bad, with a reason worked out from their position."""
        for at in self.standing[bad].tolist():
            self.answers.reason[at] = reason(at)
        self.standing = self.standing[~bad]
