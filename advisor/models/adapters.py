"""LoRA adapters beside the weights of their base: parameters by rank and shapes, and bytes that engines keep and read.

An adapter adds to a matrix of *in* × *out* two of *in* × r and r × *out* (Hu et al. 2021, section 4.1), in 16 bit.
Engines keep slots of one size on the accelerators, each as large as the largest rank that they are started for. Under
tensor parallelism one of the two is split, as the matrix is, and the other held by every rank (vLLM without
``--fully-sharded-loras``, SGLang).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.layers import FeedForward, Layer, MixerKind
from advisor.models.model import ALL, Adapters, Model
from advisor.records import dataclass, replace
from advisor.tables import Row, read_rows

_FALLBACK = "vLLM"
_EVERY_MODULE, _VOCABULARY, _BASE = "every_module", "vocabulary", "base"


@dataclass(frozen=True, slots=True)
class AdapterEngine:
    """An engine with adapters."""

    engine: str
    is_supported: bool
    ranks: tuple[int, ...]
    """Ranks that it can be started for, ascending; empty: any."""
    keeps_every_module: bool
    """Its slots hold every module of the model; otherwise those that the adapters have."""
    keeps_vocabulary: bool
    """They hold embeddings and output head too."""
    counts_base: bool
    """Requests for the base take a slot as those for an adapter do."""
    step_ratio: float
    """Time of a step with adapters ÷ without, beside the bytes and FLOPs of the adapters."""
    reason: str
    """Why no adapters are planned on it; "" where they are."""

    def started_rank(self, rank: int) -> int:
        """Rank that its slots are made for: the smallest that it can be started for and that holds *rank*."""
        return next((allowed for allowed in self.ranks if allowed >= rank), rank)

    def slots_for(self, adapters: int) -> int:
        """Slots in which so many adapters are at a time."""
        return adapters + self.counts_base

    @property
    def most_rank(self) -> int | None:
        """Largest rank; None: any."""
        return self.ranks[-1] if self.ranks else None


@lru_cache(maxsize=64)
def adapter_engine(name: str) -> AdapterEngine:
    """The row of an engine; of one that the table does not name that of vLLM, without support."""
    rows, reason = _rows(), f"whether {name} serves LoRA adapters is not known"
    return rows.get(name) or replace(rows[_FALLBACK], engine=name, is_supported=False, reason=reason)


@lru_cache(maxsize=1)
def _rows() -> dict[str, AdapterEngine]:
    return {row["engine"]: _engine(row) for row in read_rows(data_dir("instance_catalog") / "adapter_engines.csv")}


def _engine(row: Row) -> AdapterEngine:
    slots = row["slots"].split(";")
    return AdapterEngine(
        engine=row["engine"],
        is_supported=row["support"] == "yes",
        ranks=tuple(int(rank) for rank in row["ranks"].split(";") if rank),
        keeps_every_module=_EVERY_MODULE in slots,
        keeps_vocabulary=_VOCABULARY in slots,
        counts_base=_BASE in slots,
        step_ratio=float(row["step_ratio"]) if row["step_ratio"] else 1.0,
        reason=row["reason"],
    )


_MERGE = "merge the adapter into its weights (PEFT's merge_and_unload) and plan the merged model"
_BYTES = 2
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_NETWORK = ("gate_proj", "up_proj", "down_proj")
MODULES = (*_ATTENTION, *_NETWORK)
"""Modules of a layer whose shapes are known, as HuggingFace's configurations of Llama and its kin name them."""
_PACKED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Modules that engines load as one matrix: a slot of any of them is one of all."""
_ROW_SPLIT = ("o_proj", "down_proj")
"""Modules whose inputs are split over ranks; outputs of the others are."""


@dataclass(frozen=True, slots=True)
class _Module:
    """One linear module of a layer: sides of its matrix, and how many of it there are."""

    name: str
    inputs: int
    outputs: int
    copies: int = 1
    split: float = 1.0
    """Outputs of a rank × ranks ÷ outputs: keys and values are repeated where heads are few."""

    def parameters(self, rank: int) -> int:
        """Parameters of an adapter of a rank."""
        return self.copies * rank * (self.inputs + self.outputs)

    def of_a_rank(self, rank: int, ranks: int) -> float:
        """Parameters that one tensor-parallel rank holds of it."""
        if self.name in _ROW_SPLIT:
            return self.copies * rank * (self.inputs / ranks + self.outputs)
        return self.copies * rank * (self.inputs + self.outputs * max(self.split, 1.0) / ranks)


def with_adapters(model: Model, adapters: Adapters | None) -> Model:
    """The model with adapters. Raises InputError if it answers in one pass, or its modules' shapes are not known."""
    return model if adapters is None or adapters == model.adapters else _with_adapters(model, adapters)


@lru_cache(maxsize=256)
def _with_adapters(model: Model, adapters: Adapters) -> Model:
    if not model.is_generative:
        raise InputError(
            f"{model.name} answers in one pass, and adapters are planned for models that answer token by token alone",
            hint=_MERGE,
        )
    kinds = (layer.mixer.kind for layer, _ in model.layers if layer.mixer)
    other = next((kind for kind in kinds if kind is not MixerKind.ATTENTION), None)
    if other is not None:  # its modules have other shapes than those of attention over heads
        what = "latent attention" if other is MixerKind.LATENT else "recurrent layers"
        raise InputError(
            f"adapters of {model.name} are not planned: the shapes of the modules of its {what} are not known",
            hint=_MERGE,
        )
    return replace(model, adapters=adapters)


def adapter_parameters(model: Model, rank: int, target_modules: Sequence[str]) -> int:
    """Parameters of one adapter: r × (in + out) of each target module and layer."""
    return sum(
        module.parameters(rank) * count
        for layer, count in model.layers
        for module in _modules(layer, model, 1)
        if ALL in target_modules or module.name in target_modules
    )


def stored_bytes(model: Model) -> float:
    """Bytes of all adapters on disk, and in host memory; 0 where there are none."""
    adapters = model.adapters
    if adapters is None:
        return 0.0
    if not adapters.named:
        return float(adapters.count * adapter_parameters(model, adapters.rank, adapters.target_modules) * _BYTES)
    counted = (
        adapter.parameters or adapter_parameters(model, adapter.rank, adapter.target_modules)
        for adapter in adapters.named
    )
    return float(sum(counted) * _BYTES)


def slot_bytes(model: Model, engine: AdapterEngine, ranks: int) -> float:
    """Bytes that one accelerator holds and reads of one adapter: a slot of the rank that the engine is started for."""
    adapters = model.adapters
    if adapters is None:
        return 0.0
    targets = (ALL,) if engine.keeps_every_module else packed(adapters.target_modules)
    rank = engine.started_rank(adapters.rank)
    return _BYTES * sum(
        module.of_a_rank(rank, ranks) * count
        for layer, count in model.layers
        for module in _modules(layer, model, ranks)
        if ALL in targets or module.name in targets
    )


def rank_bytes(model: Model, engine: AdapterEngine, ranks: int, stages: int = 1) -> float:
    """Bytes of all slots on the fullest accelerator of a replica, those of embeddings and output head included."""
    adapters = model.adapters
    if adapters is None:
        return 0.0
    share = ceil(model.n_layers / stages) / model.n_layers if model.n_layers else 1.0
    rank = engine.started_rank(adapters.rank)
    vocabulary = 2 * _BYTES * rank * (model.vocab + model.hidden) if engine.keeps_vocabulary else 0
    return engine.slots_for(adapters.slots) * (slot_bytes(model, engine, ranks) * share + vocabulary)


def packed(targets: Sequence[str]) -> tuple[str, ...]:
    """Target modules with those that engines keep in one matrix with them."""
    beside = {name for group in _PACKED if set(group) & set(targets) for name in group}
    return tuple(sorted({*targets, *beside}))


def _modules(layer: Layer, model: Model, ranks: int) -> Iterator[_Module]:
    """Linear modules of a layer that adapters are known for."""
    if layer.mixer is not None and layer.mixer.kind is MixerKind.ATTENTION:
        hidden, keys = model.hidden, layer.mixer.kv_parameters // (2 * model.hidden)
        queries = layer.mixer.matrix_parameters // hidden - layer.mixer.width - 2 * keys
        split = ranks / layer.mixer.kv_heads if layer.mixer.kv_heads else 1.0
        yield _Module(
            "q_proj", hidden, 2 * layer.mixer.width if queries == 2 * layer.mixer.width else layer.mixer.width
        )
        if keys:
            yield _Module("k_proj", hidden, keys, split=split)
            yield _Module("v_proj", hidden, keys, split=split)
        yield _Module("o_proj", layer.mixer.width, hidden)
    if layer.feed_forward is not None:
        yield from _network_modules(layer.feed_forward, model)


def _network_modules(network: FeedForward, model: Model) -> Iterator[_Module]:
    """Modules of what every token passes through, and of each routed expert."""
    hidden = model.hidden
    dense = network.matrix_parameters // (network.matrices * hidden)
    for width, inner, copies in ((dense, hidden, 1), (network.expert_intermediate, network.hidden, network.experts)):
        if not (width and inner and copies):
            continue
        if network.matrices > 2:
            yield _Module("gate_proj", inner, width, copies)
        yield _Module("up_proj", inner, width, copies)
        yield _Module("down_proj", width, inner, copies)
