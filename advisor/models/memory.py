"""Whether a model fits, how many requests at a time, and what a serving engine takes beside weights and cache.

``needed = weights + adapters + workspace + runtime + KV cache of the requests`` must stay within
``memory_utilization × memory``, summed over the ranks of one replica: its accelerators, or their cores where serving
software counts those. What is left of that share beside weights, slots for LoRA adapters, workspace and runtime is the
KV cache.

An engine measures at start how much memory one full step takes (the workspace), sets that, its weights and its
runtime aside, and gives all the rest of its share to the KV cache. The constants stand in ``memory_engines.csv``;
``tests/benchmarks/accuracy/memory_fit.py`` fits them on published start-up logs.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.adapters import adapter_engine, rank_bytes, stored_bytes
from advisor.models.layer_kinds import cache_layout, kv_elements_per_token
from advisor.models.model import Model, TextAnswer
from advisor.models.weights import (
    Split,
    is_wide,
    kv_bytes_per_element,
    loading_bytes,
    rank_weight_bytes,
    replica_weight_bytes,
    weight_bytes,
)
from advisor.records import dataclass, replace
from advisor.tables import Record, Row, read_rows
from advisor.units import BYTES_PER_GIB

_LARGE_MEMORY_GIB = 70
_SMALL_STEPS = ("A100",)
"""vLLM plans smaller steps on these although they are large."""
_BYTES_16_BIT = 2
_VECTORS_PER_STEP = 3
"""Hidden states and feed-forward values of a step that are alive together: gate, up, their product."""
_TERM_TOKENS = 16_384
"""Tokens of a batch of sparse encoders: of Text Embeddings Inference, which alone serves them (engines.csv)."""
_TERM_COPIES = 2
"""Weights of the vocabulary that are alive together: those of the decoder, and their logarithm."""
_SMALL_GRAPHS = 0.5
"""Half as many batch sizes are captured where steps are small."""
_DEFAULT_ENGINE = "other"
_NEWEST = (9999, 0)
_TABLE = Path("memory_engines.csv")


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """The constants of one engine from one version on."""

    engine: str
    version_from: tuple[int, int]
    sequences: int
    """Requests in one step that the start-up measurement assumes."""
    sequences_large: int
    """The same on accelerators of 70 GiB and more."""
    step_tokens: int
    step_tokens_large: int
    step_is_context: bool
    """A whole prompt is computed in one step (vLLM before 0.8)."""
    graphs_counted: bool
    """CUDA graphs are inside the engine's share of the memory."""
    expert_multiple: int
    """What its MXFP4 kernels round the width of an expert up to, on each rank."""
    hybrid_tokens_per_request: bool
    """Cache tokens of hybrid models are printed as concurrency × context instead of blocks × block size."""
    recurrent_states: int
    """Recurrent states kept of each sequence: a second one where prefixes are cached."""
    sampler_bytes_per_logit: float
    workspace_base_gib: float
    tower_gib: float
    """Dummy images or sounds of the start-up measurement."""
    runtime_gib: float
    """Driver context and libraries, of one rank alone."""
    runtime_parallel_gib: float
    """The same when several work together."""
    runtime_parallel_large_gib: float
    graph_base_gib: float
    graph_layer_gib: float
    graph_expert_layer_gib: float
    """More for a layer with experts."""
    quantises_by_layer: bool
    """16-bit weights are quantised layer by layer as they are read; otherwise once all are on the accelerator."""
    runs: int
    """Start-up logs that the constants were fitted on."""
    overhead_low: float
    """Workspace and runtime are at least this much of the prediction in nine cases of ten,"""
    overhead_high: float
    """and at most this much."""

    @property
    def evidence(self) -> str:
        """Evidence for the constants, in words."""
        major, minor = self.version_from
        versions = f"{self.engine} from {major}.{minor} on" if major or minor else self.engine
        return f"calibrated: {self.runs} start-up logs of {versions}" if self.runs else f"assumed: no log of {versions}"


@dataclass(frozen=True, slots=True)
class StepSize:
    """The largest step that the engine prepares for."""

    sequences: int
    tokens: int
    large: bool


@dataclass(frozen=True, slots=True)
class StepMemory:
    """Memory of the largest step on one rank by the model's own sizes, before any fitted constant."""

    forward_gib: float
    """Hidden states and feed-forward values."""
    kept_gib: float
    """Hidden states of the step, and the embedded images beside them, that stay while it is sampled from."""
    experts_gib: float
    """What the expert kernels sort their inputs into and keep for the next step."""
    logits_gib: float
    """Sampling takes this for each byte per logit."""
    towers: bool
    graph_layers: int
    graph_expert_layers: int
    graph_share: float


def step_size(engine: EngineMemory, memory_gib: float, accelerator: str, context_tokens: int) -> StepSize:
    """Requests and tokens of the largest step on an accelerator of *memory_gib*."""
    large = memory_gib >= _LARGE_MEMORY_GIB and not accelerator.startswith(_SMALL_STEPS)
    tokens = engine.step_tokens_large if large else engine.step_tokens
    if engine.step_is_context:
        tokens = max(tokens, context_tokens)
    return StepSize(engine.sequences_large if large else engine.sequences, tokens, large)


def step_memory(model: Model, step: StepSize, ranks: int, precision: str) -> StepMemory:
    """The sizes of one step.

    With T tokens and 2 bytes a value: forward = T · 3 · (hidden + feed-forward width / ranks); kept = T · hidden, twice
    with towers; experts = T · experts per token · (max(width, hidden) + max(2 · width, hidden)), width on one rank (the
    two buffers of vLLM's fused expert kernels; those for MXFP4 keep none). Sparse encoders: and 2 · T · vocabulary
    numbers, of a batch of their own.
    """
    vector = step.tokens * _BYTES_16_BIT / BYTES_PER_GIB
    towers = model.surroundings.towers > 0
    logits = min(step.sequences, step.tokens) * model.vocab / BYTES_PER_GIB if model.is_generative else 0.0
    wider_logits = _BYTES_16_BIT * logits if precision == "fp32" else 0.0
    terms = _TERM_COPIES * _TERM_TOKENS * model.vocab if model.answer is TextAnswer.TERMS else 0
    terms_gib = terms * (2 * _BYTES_16_BIT if precision == "fp32" else _BYTES_16_BIT) / BYTES_PER_GIB
    return StepMemory(
        forward_gib=vector * _VECTORS_PER_STEP * (model.hidden + _step_width(model) / ranks) + terms_gib,
        kept_gib=vector * model.hidden * (2 if towers else 1) + wider_logits,
        experts_gib=0.0 if precision == "mxfp4" else vector * _expert_buffers(model, ranks),
        logits_gib=logits,
        towers=towers,
        graph_layers=model.n_layers if model.is_generative else 0,
        graph_expert_layers=_expert_layers(model) if model.is_generative else 0,
        graph_share=1.0 if step.large else _SMALL_GRAPHS,
    )


def workspace_gib(engine: EngineMemory, step: StepMemory) -> float:
    """Working memory of one rank: the larger of a forward step and of sampling, and CUDA graphs where they count."""
    sampling = step.kept_gib + engine.sampler_bytes_per_logit * step.logits_gib
    towers = engine.tower_gib if step.towers else 0.0
    graphs = graphs_gib(engine, step) if engine.graphs_counted else 0.0
    return engine.workspace_base_gib + max(step.forward_gib, sampling) + step.experts_gib + towers + graphs


def graphs_gib(engine: EngineMemory, step: StepMemory) -> float:
    """CUDA graphs of one rank."""
    layers = engine.graph_layer_gib * step.graph_layers + engine.graph_expert_layer_gib * step.graph_expert_layers
    return (engine.graph_base_gib + layers) * step.graph_share if step.graph_layers else 0.0


def runtime_gib(engine: EngineMemory, step: StepSize, ranks: int) -> float:
    """Memory of one rank that is neither weights, workspace nor cache."""
    if ranks == 1:
        return engine.runtime_gib
    return engine.runtime_parallel_large_gib if step.large else engine.runtime_parallel_gib


@lru_cache(maxsize=256)
def engine_memory(engine: str, version: str) -> EngineMemory:
    """The shipped constants for an engine in a version."""
    return choose(_table(), engine, version)


def choose(table: Iterable[EngineMemory], engine: str, version: str) -> EngineMemory:
    """The row of *table* that holds for an engine in a version.

    That is the newest row that is not newer than the version, or the oldest; an empty version is the newest, an unknown
    engine ``other``.
    """
    wanted = parse_version(version)
    rows = [row for row in table if row.engine.lower() == engine.strip().lower()]
    rows = rows or [row for row in table if row.engine == _DEFAULT_ENGINE]
    fitting = [row for row in rows if row.version_from <= wanted]
    version_from = attrgetter("version_from")
    return max(fitting, key=version_from) if fitting else min(rows, key=version_from)


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of the first version in *text* (``0.14.0rc2.dev160+g5ef``); the newest where there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else _NEWEST


def engine_of(row: Row) -> EngineMemory:
    """A row of ``memory_engines.csv``."""
    return Record(_TABLE, 1, row).value(EngineMemory, version_from=parse_version(row["version_from"]))


@lru_cache(maxsize=1)
def _table() -> tuple[EngineMemory, ...]:
    return tuple(map(engine_of, read_rows(data_dir("instance_catalog") / _TABLE)))


@lru_cache(maxsize=4096)
def _step_width(model: Model) -> int:
    """Width of the feed-forward values that one token makes, over the experts that it is sent to."""
    widths = [0]
    for network in (layer.feed_forward for layer, _ in model.layers if layer.feed_forward):
        dense = network.matrix_parameters // (3 * network.hidden or 1)
        widths.append(dense + network.experts_per_token * network.expert_intermediate)
    return max(widths)


@lru_cache(maxsize=4096)
def _expert_buffers(model: Model, ranks: int) -> float:
    """Values that a token takes in the buffers of the expert kernels, see :func:`step_memory`."""
    networks = [layer.feed_forward for layer, _ in model.layers if layer.feed_forward and layer.feed_forward.experts]
    if not networks:
        return 0.0
    network = networks[-1]
    width = network.expert_intermediate / ranks
    return network.experts_per_token * (max(width, model.hidden) + max(2 * width, model.hidden))


@lru_cache(maxsize=4096)
def _expert_layers(model: Model) -> int:
    return sum(count for layer, count in model.layers if layer.feed_forward and layer.feed_forward.experts)


_UNSTATED_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class FitRequest:
    """One replica: a model's weights in a precision, served by an engine on ranks (accelerators or their cores)."""

    accelerator_memory_gib: float
    """Memory that a rank has, as the driver reports it (H100: 79.2, not 80)."""
    accelerator_count: int
    """Ranks that there are."""
    tensor_parallel: int
    pipeline_parallel: int = 1
    precision: str = "bf16"
    kv_precision: str = "auto"
    engine: str = "vLLM"
    engine_version: str = ""
    """Empty: the newest known."""
    context_tokens: int | None = None
    """Prompt and answer of one request; None: the longest the model takes."""
    concurrency: int = 1
    memory_utilization: float = 0.90
    made_while_loading: bool = False
    """The engine quantises published weights while it loads them; otherwise they are stored in their precision."""
    accelerator: str = ""
    """Name of the accelerator; engines plan smaller steps on some. Empty: decided by its memory."""


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """The memory of one replica, in GiB summed over its ranks."""

    fits: bool
    parameters_total: int
    parameters_active: int
    weights_gib: float
    """As loaded: parts that every rank holds are counted as often."""
    checkpoint_gib: float
    """What is downloaded: published weights where the engine quantises or casts them, else as served."""
    loading_gib: float
    """Most that the fullest rank holds while weights are loaded, driver and libraries included."""
    workspace_gib: float
    runtime_gib: float
    kv_cache_gib_available: float
    kv_bytes_per_token: float
    """Over all layers, each key-value head counted once; windowed layers as long as their window lasts."""
    kv_cache_tokens: int | None
    """Tokens that the KV cache holds; None: the model has no cache, and memory limits no number of requests."""
    max_concurrency: int | None
    """Whole requests of ``context_tokens`` that the KV cache holds; None as above."""
    needed_gib: float
    """For the requests asked for."""
    usable_gib: float
    reason: str
    """Why it does not fit, with the numbers; empty when it does."""
    adapters_gib: float = 0.0
    """Slots for LoRA adapters on all ranks."""
    adapters_host_gib: float = 0.0
    """All adapters in host memory, once for each rank's process."""


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """The 80 % range of what the KV cache holds, and what it rests on."""

    kv_cache_tokens_low: int | None
    kv_cache_tokens_high: int | None
    max_concurrency_low: int | None
    max_concurrency_high: int | None
    """None of all four: the model has no cache."""
    evidence: str


@dataclass(frozen=True, slots=True)
class _Budget:
    """Memory of one rank, the fullest of the replica."""

    usable_gib: float
    weights_gib: float
    workspace_gib: float
    runtime_gib: float
    adapters_gib: float

    @property
    def cache_gib(self) -> float:
        """GiB left for the KV cache; negative when the rest does not fit."""
        return self.usable_gib - self.weights_gib - self.workspace_gib - self.runtime_gib - self.adapters_gib


@dataclass(frozen=True, slots=True)
class _Cache:
    """Capacity of the KV cache, and the need of the requests asked for."""

    tokens: int
    concurrency: int
    needed_gib: float


@dataclass(frozen=True, slots=True)
class _Replica:
    """A model on one rank of a replica: what was asked, and what it takes there."""

    model: Model
    request: FitRequest
    engine: EngineMemory
    step: StepSize
    context_tokens: int
    budget: _Budget
    kv_bytes_per_element: float

    def cache(self, budget: _Budget) -> _Cache:
        """Capacity of the KV cache within *budget*: one rank filled with blocks."""
        request, context = self.request, self.context_tokens
        layout = cache_layout(self.model, self.kv_bytes_per_element, request.tensor_parallel, request.pipeline_parallel)
        if layout is None or not layout.block_bytes:
            return _Cache(tokens=0, concurrency=0, needed_gib=0.0)
        blocks = int(max(budget.cache_gib, 0.0) * BYTES_PER_GIB // layout.block_bytes)
        per_request = layout.blocks_of_request(context, self.step.tokens, self.engine.recurrent_states)
        if self.engine.hybrid_tokens_per_request and len(layout.groups) > 1:
            tokens = blocks * context // per_request
        else:
            tokens = blocks // layout.copies * layout.block_tokens
        needed = request.concurrency * per_request * layout.block_bytes / BYTES_PER_GIB
        return _Cache(tokens, blocks // per_request, needed)


def fit_memory(model: Model, request: FitRequest, engine: EngineMemory | None = None) -> MemoryFit:
    """Work out whether *model* fits as *request* says, and what is left for the KV cache.

    *engine* replaces the shipped constants. Raises InputError if the request makes no sense (more ranks than
    accelerators, no memory, an unknown precision).
    """
    replica = _replica(model, request, engine or engine_memory(request.engine, request.engine_version))
    budget, context = replica.budget, replica.context_tokens
    split = Split(request.tensor_parallel, request.pipeline_parallel, replica.engine.expert_multiple)
    ranks = split.tensor_parallel * split.pipeline_parallel
    cache = replica.cache(budget)
    needed = budget.usable_gib - budget.cache_gib + cache.needed_gib
    loading = rank_weight_bytes(model, request.precision, split)
    if request.made_while_loading:
        loading = loading_bytes(model, request.precision, split, by_layer=replica.engine.quantises_by_layer)
    published = model.checkpoint.precision
    is_published = request.made_while_loading or (is_wide(request.precision) and is_wide(published))
    return MemoryFit(
        fits=needed <= budget.usable_gib and not _too_long(model, context),
        parameters_total=model.parameters_total,
        parameters_active=model.parameters_active,
        weights_gib=replica_weight_bytes(model, request.precision, split) / BYTES_PER_GIB,
        checkpoint_gib=(weight_bytes(model, published if is_published else request.precision) + stored_bytes(model))
        / BYTES_PER_GIB,
        loading_gib=loading / BYTES_PER_GIB + budget.runtime_gib,
        workspace_gib=budget.workspace_gib * ranks,
        runtime_gib=budget.runtime_gib * ranks,
        kv_cache_gib_available=max(budget.cache_gib, 0.0) * ranks,
        kv_bytes_per_token=kv_elements_per_token(model) * replica.kv_bytes_per_element,
        kv_cache_tokens=cache.tokens if model.is_generative else None,
        max_concurrency=cache.concurrency if model.is_generative else None,
        needed_gib=needed * ranks,
        usable_gib=budget.usable_gib * ranks,
        reason=_reason(model, budget, cache, context, ranks),
        adapters_gib=budget.adapters_gib * ranks,
        adapters_host_gib=stored_bytes(model) / BYTES_PER_GIB * ranks,
    )


def memory_range(model: Model, request: FitRequest, engine: EngineMemory | None = None) -> MemoryRange:
    """Range of the KV cache's capacity in eight cases of ten.

    Weights and cache are exact to a percent; workspace and runtime are not, and are taken at the two ends of what
    start-up logs that the constants were not fitted on have shown. A cache that was estimated from tensor shapes holds
    as much more or less as the estimate is uncertain.
    """
    replica = _replica(model, request, engine or engine_memory(request.engine, request.engine_version))
    budget, shares = replica.budget, (replica.engine.overhead_low, replica.engine.overhead_high)
    most, least = (
        replica.cache(
            replace(budget, workspace_gib=budget.workspace_gib * share, runtime_gib=budget.runtime_gib * share)
        )
        for share in shares
    )
    factor, evidence = model.estimate_factor, replica.engine.evidence
    if not model.is_generative:
        return MemoryRange(None, None, None, None, evidence)
    return MemoryRange(
        kv_cache_tokens_low=int(least.tokens / factor),
        kv_cache_tokens_high=int(most.tokens * factor),
        max_concurrency_low=int(least.concurrency / factor),
        max_concurrency_high=int(most.concurrency * factor),
        evidence=evidence if factor == 1 else f"{evidence}; cache estimated from tensor shapes",
    )


def _replica(model: Model, request: FitRequest, engine: EngineMemory) -> _Replica:
    ranks = request.tensor_parallel * request.pipeline_parallel
    if ranks < 1 or ranks > request.accelerator_count:
        raise InputError(
            f"tensor parallelism {request.tensor_parallel} × pipeline parallelism {request.pipeline_parallel} "
            f"needs {ranks} accelerators, there are {request.accelerator_count}"
        )
    if not 0 < request.memory_utilization <= 1:
        raise InputError(f"memory utilisation must lie between 0 and 1, not {request.memory_utilization}")
    if request.accelerator_memory_gib <= 0 or request.concurrency < 1:
        raise InputError("memory and concurrency must be positive")
    context = request.context_tokens or model.max_context_tokens or _UNSTATED_CONTEXT
    split = Split(request.tensor_parallel, request.pipeline_parallel, engine.expert_multiple)
    step = step_size(engine, request.accelerator_memory_gib, request.accelerator, context)
    budget = _Budget(
        usable_gib=request.memory_utilization * request.accelerator_memory_gib,
        weights_gib=rank_weight_bytes(model, request.precision, split) / BYTES_PER_GIB,
        workspace_gib=workspace_gib(engine, step_memory(model, step, split.tensor_parallel, request.precision)),
        runtime_gib=runtime_gib(engine, step, split.tensor_parallel),
        adapters_gib=rank_bytes(model, adapter_engine(request.engine), split.tensor_parallel, split.pipeline_parallel)
        / BYTES_PER_GIB,
    )
    kv_bytes = kv_bytes_per_element(request.kv_precision, request.precision, model.checkpoint.kv_precision)
    return _Replica(model, request, engine, step, context, budget, kv_bytes)


def _too_long(model: Model, context: int) -> bool:
    return model.max_context_tokens is not None and context > model.max_context_tokens


def _reason(model: Model, budget: _Budget, cache: _Cache, context: int, ranks: int) -> str:
    """Why it does not fit; empty when it does."""
    if _too_long(model, context):
        return f"a context of {context:,} tokens is asked for, the model takes {model.max_context_tokens:,}"
    if cache.needed_gib <= budget.cache_gib:
        return ""
    parts = (budget.weights_gib, cache.needed_gib, budget.workspace_gib, budget.runtime_gib, budget.adapters_gib)
    weights, cached, workspace, runtime, adapters = (round(part * ranks, 1) for part in parts)
    total = sum(parts) * ranks
    slots = f" + adapters {adapters}" if model.adapters is not None else ""
    return (
        f"weights {weights}{slots} + KV {cached} + workspace {workspace} + runtime {runtime} = {total:.1f} GiB needed, "
        f"{budget.usable_gib * ranks:.1f} GiB usable"
    )


@lru_cache(maxsize=4096)
def kv_bytes_per_token(model: Model, kv_precision: str) -> float:
    """Bytes that one token adds to the cache, all layers together."""
    return kv_elements_per_token(model) * kv_bytes_per_element(kv_precision, "bf16", model.checkpoint.kv_precision)
