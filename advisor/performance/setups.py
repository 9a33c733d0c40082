"""Deployment from a set-up as people and tables name it, or the reason why nothing can be said of it.

Everything that is left empty gets a default: all accelerators in one tensor-parallel replica, the checkpoint's own
precision, the catalog's preferred engine.
"""

from advisor.candidates.engines import adapter_shortfall, server_on, serves_file
from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.processors import CPU, hardware_named
from advisor.catalog.values import Accelerator, EngineSupport, Support
from advisor.demand.values import Pictures, Unit
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
from advisor.performance.constants import engine_class
from advisor.performance.deployments import peak_flops, with_pictures
from advisor.performance.values import Deployment, DraftModel, adapter_load, head_draft, model_draft
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
