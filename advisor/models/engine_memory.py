"""What a serving engine takes of the memory beside weights and cache, by engine and version.

An engine measures at start how much memory one full step takes (the workspace), sets that, its weights and its
runtime aside, and gives all the rest of its share to the KV cache. The constants were fitted on published start-up logs
and stand in ``memory_engines.csv``.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.layers import FeedForward
from advisor.models.model import Model
from advisor.tables import Row, read_rows
from advisor.units import BYTES_PER_GIB

_LARGE_MEMORY_GIB = 70
_SMALL_STEPS = ("A100",)
"""vLLM plans smaller steps on these although they are large."""
_BYTES_16_BIT = 2
_VECTORS_PER_STEP = 3
"""Hidden states and feed-forward values of a step that are alive together: gate, up, their product."""
_TOWER_GIB = 0.2
"""The dummy images of the start-up measurement (gemma-3: 0.2 to 0.25 GiB, Mistral-Small-3.1: 0.1)."""
_LATENT_GIB = 0.35
"""Keys and values that latent attention decompresses during prefill (DeepSeek-V2-Lite)."""
_GRAPH_BASE_GIB, _GRAPH_LAYER_GIB, _GRAPH_EXPERTS_GIB = 0.38, 0.0166, 0.6
"""CUDA graphs on H100 (vLLM 0.19): 0.51 GiB for 8 layers, 0.91 for 32, 1.7 for 80; 0.3 to 1 GiB more with experts."""
_SMALL_GRAPHS = 0.5
"""Half as many batch sizes are captured where steps are small."""
_DEFAULT_ENGINE = "other"
_NEWEST = (9999, 0)


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
    sampler_bytes_per_logit: float
    workspace_base_gib: float
    runtime_gib: float
    """Driver context and libraries, of one accelerator alone."""
    runtime_parallel_gib: float
    """The same when several work together."""
    runtime_parallel_large_gib: float
    graphs_counted: bool
    """CUDA graphs are inside the engine's share of the memory."""
    expert_multiple: int
    """What its MXFP4 kernels round the width of an expert up to, on each rank."""
    hybrid_tokens_per_request: bool
    """Cache tokens of hybrid models are printed as concurrency × context instead of blocks × block size."""


@dataclass(frozen=True, slots=True)
class StepSize:
    """The largest step that the engine prepares for."""

    sequences: int
    tokens: int
    large: bool


def step_size(engine: EngineMemory, memory_gib: float, accelerator: str, context_tokens: int) -> StepSize:
    """Requests and tokens of the largest step on an accelerator of *memory_gib*."""
    large = memory_gib >= _LARGE_MEMORY_GIB and not accelerator.startswith(_SMALL_STEPS)
    tokens = engine.step_tokens_large if large else engine.step_tokens
    if engine.step_is_context:
        tokens = max(tokens, context_tokens)
    return StepSize(engine.sequences_large if large else engine.sequences, tokens, large)


def workspace_gib(model: Model, engine: EngineMemory, step: StepSize, ranks: int, *, fp32: bool) -> float:
    """Working memory of one rank: the larger of a forward step and of sampling, and CUDA graphs where they count."""
    forward = step.tokens * _VECTORS_PER_STEP * (model.hidden + _step_width(model) / ranks) * _BYTES_16_BIT
    sampling = 0.0
    if model.is_generative:
        per_logit = engine.sampler_bytes_per_logit + (_BYTES_16_BIT if fp32 else 0)
        sampling = min(step.sequences, step.tokens) * model.vocab * per_logit
    towers = _TOWER_GIB if model.surroundings.towers else 0.0
    latent = _LATENT_GIB if model.is_latent else 0.0
    graphs = _graphs_gib(model, step) if engine.graphs_counted and model.is_generative else 0.0
    return engine.workspace_base_gib + max(forward, sampling) / BYTES_PER_GIB + towers + latent + graphs


def runtime_gib(engine: EngineMemory, step: StepSize, ranks: int) -> float:
    """Memory of one rank that is neither weights, workspace nor cache."""
    if ranks == 1:
        return engine.runtime_gib
    return engine.runtime_parallel_large_gib if step.large else engine.runtime_parallel_gib


@lru_cache(maxsize=256)
def engine_memory(engine: str, version: str) -> EngineMemory:
    """The constants for an engine in a version; an empty version is the newest, an unknown engine ``other``."""
    wanted = parse_version(version)
    rows = [row for row in _table() if row.engine.lower() == engine.strip().lower()]
    rows = rows or [row for row in _table() if row.engine == _DEFAULT_ENGINE]
    fitting = [row for row in rows if row.version_from <= wanted]
    return max(fitting or rows, key=lambda row: row.version_from)


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of the first version in *text* (``0.14.0rc2.dev160+g5ef``); the newest where there is none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else _NEWEST


@lru_cache(maxsize=1)
def _table() -> tuple[EngineMemory, ...]:
    return tuple(_engine_of(row) for row in read_rows(data_dir("instance_catalog") / "memory_engines.csv"))


def _engine_of(row: Row) -> EngineMemory:
    return EngineMemory(
        engine=row["engine"],
        version_from=parse_version(row["version_from"]),
        sequences=int(row["sequences"]),
        sequences_large=int(row["sequences_large"]),
        step_tokens=int(row["step_tokens"]),
        step_tokens_large=int(row["step_tokens_large"]),
        step_is_context=row["step_is_context"] == "yes",
        sampler_bytes_per_logit=float(row["sampler_bytes_per_logit"]),
        workspace_base_gib=float(row["workspace_base_gib"]),
        runtime_gib=float(row["runtime_gib"]),
        runtime_parallel_gib=float(row["runtime_parallel_gib"]),
        runtime_parallel_large_gib=float(row["runtime_parallel_large_gib"]),
        graphs_counted=row["graphs_counted"] == "yes",
        expert_multiple=int(row["expert_multiple"]),
        hybrid_tokens_per_request=row["hybrid_tokens_per_request"] == "yes",
    )


def _graphs_gib(model: Model, step: StepSize) -> float:
    size = _GRAPH_BASE_GIB + _GRAPH_LAYER_GIB * model.n_layers + (_GRAPH_EXPERTS_GIB if model.has_experts else 0.0)
    return size if step.large else size * _SMALL_GRAPHS


@lru_cache(maxsize=4096)
def _step_width(model: Model) -> int:
    """Width of the feed-forward values that one token makes, over the experts that it is sent to."""
    return max((_width(layer.feed_forward) for layer, _ in model.layers if layer.feed_forward), default=0)


def _width(network: FeedForward) -> int:
    matrices = 3 * network.hidden or 1
    return network.matrix_parameters // matrices + network.experts_per_token * network.expert_intermediate
