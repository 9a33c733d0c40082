"""Whether a model fits, and how many requests at a time.

``needed = weights + adapters + workspace + runtime + KV cache of the requests`` must stay within
``memory_utilization × memory``, summed over the accelerators of one replica. What is left of that share beside weights,
slots for LoRA adapters, workspace and runtime is the KV cache.
"""

from functools import lru_cache

from advisor.errors import InputError
from advisor.models.adapters import adapter_engine, rank_bytes, stored_bytes
from advisor.models.engine_memory import (
    EngineMemory,
    StepSize,
    engine_memory,
    runtime_gib,
    step_memory,
    step_size,
    workspace_gib,
)
from advisor.models.layer_kinds import (
    CacheLayout,
    cache_kinds,
    cache_layout,
    kv_elements_per_token,
)
from advisor.models.model import Model
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
from advisor.units import BYTES_PER_GIB

_UNSTATED_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class FitRequest:
    """One replica: a model's weights in a precision, served by an engine on some accelerators."""

    accelerator_memory_gib: float
    """Of one accelerator, as its driver reports it (H100: 79.2, not 80)."""
    accelerator_count: int
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
    """The memory of one replica, in GiB summed over its accelerators."""

    fits: bool
    parameters_total: int
    parameters_active: int
    weights_gib: float
    """As loaded: parts that every rank holds are counted as often."""
    checkpoint_gib: float
    """What is downloaded: published weights where the engine quantises or casts them, else as served."""
    loading_gib: float
    """Most that the fullest accelerator holds while weights are loaded, driver and libraries included."""
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
    """Slots for LoRA adapters on all accelerators."""
    adapters_host_gib: float = 0.0
    """All adapters in host memory, once for each accelerator's process."""


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
    """Memory of one accelerator, the fullest of the replica."""

    usable_gib: float
    weights_gib: float
    workspace_gib: float
    runtime_gib: float
    adapters_gib: float

    @property
    def cache_gib(self) -> float:
        """GiB left for the KV cache; negative when the rest does not fit."""
        return self.usable_gib - self.weights_gib - self.workspace_gib - self.runtime_gib - self.adapters_gib

    def with_overhead(self, share: float) -> "_Budget":
        """The same with more or less workspace and runtime."""
        return replace(self, workspace_gib=self.workspace_gib * share, runtime_gib=self.runtime_gib * share)


@dataclass(frozen=True, slots=True)
class _Cache:
    """Capacity of the KV cache, and the need of the requests asked for."""

    tokens: int
    concurrency: int
    needed_gib: float


@dataclass(frozen=True, slots=True)
class _Replica:
    """A model on one accelerator of a replica: what was asked, and what it takes there."""

    model: Model
    request: FitRequest
    engine: EngineMemory
    step: StepSize
    context_tokens: int
    budget: _Budget
    kv_bytes_per_element: float

    def cache(self, budget: _Budget) -> _Cache:
        """Capacity of the KV cache within *budget*."""
        request = self.request
        layout = cache_layout(self.model, self.kv_bytes_per_element, request.tensor_parallel, request.pipeline_parallel)
        load = (self.context_tokens, self.step.tokens, request.concurrency)
        return _cache(layout, self.engine, budget.cache_gib, load)


def fit_memory(model: Model, request: FitRequest, engine: EngineMemory | None = None) -> MemoryFit:
    """Work out whether *model* fits as *request* says, and what is left for the KV cache.

    *engine* replaces the shipped constants.

    Raises:
        InputError: the request makes no sense (more ranks than accelerators, no memory, an unknown precision).
    """
    replica = _replica(model, request, engine or engine_memory(request.engine, request.engine_version))
    budget, context = replica.budget, replica.context_tokens
    split = Split(request.tensor_parallel, request.pipeline_parallel, replica.engine.expert_multiple)
    ranks = split.tensor_parallel * split.pipeline_parallel
    cache = replica.cache(budget)
    needed = budget.usable_gib - budget.cache_gib + cache.needed_gib
    return MemoryFit(
        fits=needed <= budget.usable_gib and not _too_long(model, context),
        parameters_total=model.parameters_total,
        parameters_active=model.parameters_active,
        weights_gib=replica_weight_bytes(model, request.precision, split) / BYTES_PER_GIB,
        checkpoint_gib=_checkpoint_bytes(model, request) / BYTES_PER_GIB,
        loading_gib=_loading_gib(model, request, split, replica.engine) + budget.runtime_gib,
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


def _checkpoint_bytes(model: Model, request: FitRequest) -> float:
    published = model.checkpoint.precision
    is_published = request.made_while_loading or (is_wide(request.precision) and is_wide(published))
    return weight_bytes(model, published if is_published else request.precision) + stored_bytes(model)


def _loading_gib(model: Model, request: FitRequest, split: Split, engine: EngineMemory) -> float:
    """Weights on the fullest accelerator while they are loaded."""
    if request.made_while_loading:
        return loading_bytes(model, request.precision, split, by_layer=engine.quantises_by_layer) / BYTES_PER_GIB
    return rank_weight_bytes(model, request.precision, split) / BYTES_PER_GIB


def memory_range(model: Model, request: FitRequest, engine: EngineMemory | None = None) -> MemoryRange:
    """Range of the KV cache's capacity in eight cases of ten.

    Weights and cache are exact to a percent; workspace and runtime are not, and are taken at the two ends of what
    start-up logs that the constants were not fitted on have shown. A cache that was estimated from tensor shapes holds
    as much more or less as the estimate is uncertain.
    """
    replica = _replica(model, request, engine or engine_memory(request.engine, request.engine_version))
    most, least = (
        replica.cache(replica.budget.with_overhead(share))
        for share in (replica.engine.overhead_low, replica.engine.overhead_high)
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
    _check(request)
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


def _check(request: FitRequest) -> None:
    """Refuse what no accelerator could do."""
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


def _cache(
    layout: CacheLayout | None, engine: EngineMemory, available_gib: float, load: tuple[int, int, int]
) -> _Cache:  # fmt: skip
    """Fill *available_gib* of one accelerator with blocks."""
    context, step_tokens, concurrency = load
    if layout is None or not layout.block_bytes:
        return _Cache(tokens=0, concurrency=0, needed_gib=0.0)
    blocks = int(max(available_gib, 0.0) * BYTES_PER_GIB // layout.block_bytes)
    per_request = layout.blocks_of_request(context, step_tokens, engine.recurrent_states)
    if engine.hybrid_tokens_per_request and len(layout.groups) > 1:
        tokens = blocks * context // per_request
    else:
        tokens = blocks // layout.copies * layout.block_tokens
    needed = concurrency * per_request * layout.block_bytes / BYTES_PER_GIB
    return _Cache(tokens, blocks // per_request, needed)


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


def kv_cache_bytes(model: Model, kv_precision: str, context_tokens: int) -> float:
    """Bytes that one sequence of *context_tokens* keeps, recurrent states included, on one accelerator, unpadded."""
    width = kv_bytes_per_element(kv_precision, "bf16", model.checkpoint.kv_precision)
    total = 0.0
    for kind in cache_kinds(model):
        kept = min(context_tokens, kind.window_tokens) if kind.window_tokens else context_tokens
        total += kind.layers * (kept * kind.elements_per_token * width + kind.state_bytes)
    return total
