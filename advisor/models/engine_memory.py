"""Memory that a serving engine takes beside weights and cache, by engine and version.

An engine measures at start how much memory one full step takes (the workspace), sets that, its weights and its
runtime aside, and gives all the rest of its share to the KV cache. The constants stand in ``memory_engines.csv``;
``tests/benchmarks/accuracy/memory_fit.py`` fits them on published start-up logs.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from advisor.data_files import data_dir
from advisor.models.layers import FeedForward
from advisor.models.model import Model, TextAnswer
from advisor.records import dataclass
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
    """Driver context and libraries, of one accelerator alone."""
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
    two buffers of vLLM's fused expert kernels; those for MXFP4 keep none). Sparse encoders: :func:`_terms_gib`.
    """
    vector = step.tokens * _BYTES_16_BIT / BYTES_PER_GIB
    towers = model.surroundings.towers > 0
    logits = min(step.sequences, step.tokens) * model.vocab / BYTES_PER_GIB if model.is_generative else 0.0
    wider_logits = _BYTES_16_BIT * logits if precision == "fp32" else 0.0
    return StepMemory(
        forward_gib=vector * _VECTORS_PER_STEP * (model.hidden + _step_width(model) / ranks)
        + _terms_gib(model, precision),
        kept_gib=vector * model.hidden * (2 if towers else 1) + wider_logits,
        experts_gib=0.0 if precision == "mxfp4" else vector * _expert_buffers(model, ranks),
        logits_gib=logits,
        towers=towers,
        graph_layers=model.n_layers if model.is_generative else 0,
        graph_expert_layers=_expert_layers(model) if model.is_generative else 0,
        graph_share=1.0 if step.large else _SMALL_GRAPHS,
    )


def _terms_gib(model: Model, precision: str) -> float:
    """Weights of the vocabulary for each token of a sparse encoder's batch: ``2 · T · vocabulary · bytes``; else 0."""
    if model.answer is not TextAnswer.TERMS:
        return 0.0
    number = 2 * _BYTES_16_BIT if precision == "fp32" else _BYTES_16_BIT
    return _TERM_COPIES * _TERM_TOKENS * model.vocab * number / BYTES_PER_GIB


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
    return max(fitting, key=_version) if fitting else min(rows, key=_version)


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of the first version in *text* (``0.14.0rc2.dev160+g5ef``); the newest where there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else _NEWEST


def engine_of(row: Row) -> EngineMemory:
    """A row of ``memory_engines.csv``."""
    return Record(_TABLE, 1, row).value(EngineMemory, version_from=parse_version(row["version_from"]))


FITTED = (
    "sampler_bytes_per_logit", "workspace_base_gib", "tower_gib", "runtime_gib", "runtime_parallel_gib",
    "runtime_parallel_large_gib", "graph_base_gib", "graph_layer_gib", "graph_expert_layer_gib",
)  # fmt: skip
"""The constants that start-up logs decide."""


@lru_cache(maxsize=1)
def _table() -> tuple[EngineMemory, ...]:
    return tuple(map(engine_of, read_rows(data_dir("instance_catalog") / _TABLE)))


def _version(row: EngineMemory) -> tuple[int, int]:
    return row.version_from


@lru_cache(maxsize=4096)
def _step_width(model: Model) -> int:
    """Width of the feed-forward values that one token makes, over the experts that it is sent to."""
    return max((_width(layer.feed_forward) for layer, _ in model.layers if layer.feed_forward), default=0)


def _width(network: FeedForward) -> int:
    matrices = 3 * network.hidden or 1
    return network.matrix_parameters // matrices + network.experts_per_token * network.expert_intermediate


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
