"""A model: its layers, what stands before and after them, and how its published weights are stored.

LoRA adapters as a workload states them, and what follows from their number and shares alone.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from math import exp

from advisor.models.layers import Layer, MixerKind
from advisor.models.pictures import VisionTower
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

ALL = "all"
"""Every linear module of the layers, as PEFT's ``all-linear``."""
MOST_RANK = 8192
"""Largest rank that is read: that of a matrix of a large model."""
MOST_ADAPTERS = 10_000
_SEARCH_STEPS = 200
_LONGEST_TIME = 1e12
_MOST_SEQUENCES = 2**14


@dataclass(frozen=True, slots=True)
class NamedAdapter:
    """One adapter: where its weights are, and its part of the requests."""

    id: str
    """Name on the hub, or of the folder below the weights' own; "" where it is not known."""
    rank: int
    target_modules: tuple[str, ...] = (ALL,)
    share: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests; None: as many as each other that states none."""
    parameters: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """Bytes of its file, as its header counts them; 0: by rank and shapes."""
    base: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Model that it was trained on, as its configuration says; "": not known."""
    on_hub: bool = field(default=True, metadata=OMITTED_AT_DEFAULT)
    """Whether the hub has it by that name."""

    @property
    def served_name(self) -> str:
        """Name that requests give."""
        return self.id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Adapters:
    """LoRA adapters that are served on one base."""

    count: int
    rank: int
    """The largest."""
    target_modules: tuple[str, ...] = (ALL,)
    """Of all adapters together."""
    active: int | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Most of them on the accelerators at a time, as stated; None: all."""
    named: tuple[NamedAdapter, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Each of them, where the workload names them."""

    @property
    def slots(self) -> int:
        """Adapters on the accelerators at a time."""
        return self.count if self.active is None else min(self.active, self.count)

    @property
    def shares(self) -> tuple[float, ...]:
        """Part of each adapter in the requests; what none takes goes to the base."""
        stated = [adapter.share for adapter in self.named]
        if not stated:
            return (1.0 / self.count,) * self.count
        rest = max(1.0 - sum(share for share in stated if share is not None), 0.0)
        each = rest / max(stated.count(None), 1)
        return tuple(each if share is None else share for share in stated)

    @property
    def miss_ratio(self) -> float:
        """Share of the requests whose adapter is in host memory when they come, under least-recently-used eviction.

        Che et al. 2002: an adapter of share p is there with probability 1 - exp(-p t), where t makes these sum to the
        slots. Equal shares give 1 - slots ÷ count.
        """
        if self.slots >= self.count:
            return 0.0
        shares = self.shares
        if min(shares) == max(shares):
            return (1 - self.slots / self.count) * sum(shares)
        low, high = 0.0, 1.0
        while sum(1 - exp(-share * high) for share in shares) < self.slots and high < _LONGEST_TIME:
            high *= 2
        for _ in range(_SEARCH_STEPS):
            middle = (low + high) / 2
            held = sum(1 - exp(-share * middle) for share in shares)
            low, high = (middle, high) if held < self.slots else (low, middle)
        return sum(share * exp(-share * high) for share in shares)

    @property
    def most_sequences(self) -> int | None:
        """Requests at a time whose adapters have slots on average; None: every adapter has one.

        n requests are for Σ 1 - (1 - p)ⁿ different adapters of share p. Engines let no request for another adapter into
        a step whose slots are taken.
        """
        if self.slots >= self.count:
            return None
        shares = self.shares
        most = self.slots
        while sum(1 - (1 - share) ** (most + 1) for share in shares) <= self.slots and most < _MOST_SEQUENCES:
            most += 1
        return most


FORMATS = (
    "config.json, model_index.json, ONNX, safetensors, GGUF, XGBoost JSON or UBJSON, LightGBM text, treelite "
    "checkpoint, skops"
)
ONNX_GRAPH, ONNX_TREES = "onnx", "trees"
"""Families of ONNX files: networks, and trees."""
ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM = "linear", "svm", "radial_svm"
"""Families of ONNX files that hold linear models, and support vector machines, which with radial kernels are slower."""
OF_COEFFICIENTS = (ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM)
OF_ROWS_IN_ONNX = (ONNX_GRAPH, ONNX_TREES, *OF_COEFFICIENTS)
ENDINGS = (".json", ".onnx", ".safetensors", ".gguf", ".ubj", ".txt", ".tl", ".skops")
"""Ends of names that are paths of models and no names of the catalog."""
SERVES_GGUF = "llama.cpp"
"""Beginning of the name of the engine that serves the weights of a GGUF file as they are stored."""


class Scope(StrEnum):
    """Matrices of a checkpoint that are quantised; embeddings, output head, router and towers never are."""

    ALL = "all"
    """Every matrix of the layers."""
    NOT_ATTENTION = "not_attention"
    """The feed-forward networks."""
    EXPERTS = "experts"
    """The routed experts only."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Storage of a repository's weights."""

    precision: str = "bf16"
    scope: Scope = Scope.ALL
    kv_precision: str = "auto"
    """What the repository asks the engine to keep the KV cache in; ``auto``: as the computation."""
    file_bytes: int = 0
    """Bytes of the tensors of a file, where they were counted; 0: as the precision says."""
    quantisation: str = ""
    """Name that files and tags of the hub have for it in GGUF (Q5_K_M); "": another format."""
    architecture: str = ""
    """Name that llama.cpp has for it in GGUF; "": another format, or none is stated."""
    block: int = 0
    """Side of the square blocks of weights that share a scale; 0: scales are of rows or matrices."""


@dataclass(frozen=True, slots=True)
class Rotary:
    """The table of rotary angles that engines keep beside the weights."""

    positions: int = 0
    dim: int = 0
    tables: int = 0

    @property
    def elements(self) -> int:
        """Sines and cosines of all tables."""
        return self.positions * self.dim * self.tables


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything of a model that is not one of its layers, in parameters."""

    embeddings: int = 0
    """Token embeddings, read one row per token."""
    layer_embeddings: int = 0
    """Further embeddings that every layer reads (Gemma 3n and 4 E): tables, not work."""
    positions: int = 0
    """Learned positions and segment types."""
    head: int = 0
    """Output projection over the vocabulary; 0 when it is the embeddings again."""
    norms: int = 0
    towers: int = 0
    """Vision and audio encoders with their projectors."""
    other: int = 0
    """Poolers and other small parts."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A tensor that the graph of a model takes or puts out."""

    name: str
    type: str
    """Of its numbers: fp32, fp16, int64, ..."""
    shape: tuple[int | None, ...]
    """Of one item, without the batch; None: the tokens of a text."""


class TextAnswer(StrEnum):
    """Answer of a text encoder for one text."""

    VECTOR = "vector"
    """One dense vector, or what is not known to be anything else."""
    SCORE = "score"
    """One number: a cross-encoder."""
    LABELS = "labels"
    """A number for each label."""
    VECTORS = "vectors"
    """A vector for each token, compared by late interaction (ColBERT)."""
    TERMS = "terms"
    """Weights of terms of the vocabulary, nearly all of them zero (SPLADE)."""
    WORDS = "words"
    """Words for masked tokens; whoever takes vectors or weights of terms from it does more than the file says."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """File that a model was read from, wherever it lies."""

    name: str
    bytes: int
    sha256: str
    """Of its content; "": it is too large to be read whole."""
    quantisation: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Name that files and tags of the hub have for it in GGUF (Q5_K_M); "": another format."""
    precision: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Precision that a GGUF counts as; "": of another format."""

    @property
    def is_gguf(self) -> bool:
        """Whether it holds weights for llama.cpp."""
        return self.name.casefold().endswith(".gguf")


@dataclass(frozen=True, eq=False)
class Model:
    """A model as sizing sees it. Compared by identity: each is made once and kept."""

    name: str
    family: str
    """Family of the catalog; for a ``config.json`` its ``model_type``."""
    task: str
    """llm, vlm, encoder, embedding, encoder-decoder, asr, vision, diffusion or tabular."""
    hidden: int
    vocab: int
    n_heads: int
    n_kv_heads: int
    intermediate: int
    """Of a dense feed-forward network, or of one expert."""
    tied_embeddings: bool
    surroundings: Surroundings
    layers: tuple[tuple[Layer, int], ...]
    """Layers of one kind, and how many there are of it."""
    max_context_tokens: int | None
    checkpoint: Checkpoint = Checkpoint()
    rotary: Rotary = Rotary()
    declared_parameters_active: int | None = None
    """The publisher's figure, where it was counted otherwise or the architecture is known only in part."""
    layer_repeats: int = 1
    """How often the layers run: ALBERT has one set of weights for all of them."""
    flop_per_sample: float | None = None
    sample: str = ""
    """One sample of a model that answers in one pass, or why its FLOPs are not known; "" where ``source`` says it."""
    sample_size: float | None = None
    """Pixels × denoising steps of that sample, or columns of a row; None: where a table says it, or for models of
    another kind."""
    estimate_factor: float = 1.0
    """Factor within which FLOPs and cache that were estimated from tensor shapes lie; 1: counted."""
    source: str = ""
    inputs: tuple[ModelInput, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Of its graph in ONNX, by the file or by the convention of exporters; empty: not known."""
    outputs: tuple[ModelInput, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """The same of what it puts out; empty: not known."""
    answer: TextAnswer = field(default=TextAnswer.VECTOR, metadata=OMITTED_AT_DEFAULT)
    """Answer of a text encoder to each text."""
    answer_type: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """``model_type`` of an encoder that answers vectors or terms, by which servers load it; "" of all others."""
    token_numbers: int | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Numbers of the vector of each token; None: not known, or of models that answer none."""
    file: ModelFile | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """File that it was read from; None: the catalog's."""
    vision: VisionTower | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Encoder of pictures; None: it sees none, or what a picture takes there is not known."""
    moved_bytes_per_sample: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Bytes that a sample reads and writes in a graph without products of matrices; 0: in all others."""
    overflows_half: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether its hidden states are beyond the range of fp16, so that engines compute it in bf16 or fp32 alone."""
    adapters: Adapters | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """LoRA adapters that are served on it; None: none."""

    @property
    def answer_matrix_parameters(self) -> int:
        """Parameters of the matrices that every token meets behind the last layer of an encoder.

        Of a sparse encoder ``width² + width × vocabulary`` (transform and decoder of a masked language model), of late
        interaction ``width × numbers of a token's vector``.
        """
        if self.answer is TextAnswer.TERMS:
            return self.hidden * (self.hidden + self.vocab)
        return self.hidden * (self.token_numbers or 0)

    @cached_property
    def n_layers(self) -> int:
        """Layers, all kinds together."""
        return sum(count for _, count in self.layers) * self.layer_repeats

    @cached_property
    def components(self) -> Mapping[str, int]:
        """Parameters by component; the values add up to ``parameters_total``."""
        around = self.surroundings
        parts = {
            "embeddings": around.embeddings,
            "layer_embeddings": around.layer_embeddings,
            "positions": around.positions,
            **dict.fromkeys(("attention", "recurrent", "feed_forward", "router", "experts"), 0),
            "norms": around.norms,
            "lm_head": around.head,
            "towers": around.towers,
            "other": around.other,
        }
        for layer, count in self.layers:
            parts["norms"] += layer.norm_parameters * count
            parts["other"] += layer.extra_parameters * count
            if layer.mixer:
                kind = "recurrent" if layer.mixer.kind is MixerKind.RECURRENT else "attention"
                parts[kind] += layer.mixer.parameters * count
            if network := layer.feed_forward:
                parts["feed_forward"] += (network.matrix_parameters + network.other_parameters) * count
                parts["router"] += network.router_parameters * count
                parts["experts"] += network.experts * network.expert_parameters * count
        return parts

    @cached_property
    def parameters_total(self) -> int:
        """Every parameter, towers included, heads of multi-token prediction not."""
        return sum(self.components.values())

    @cached_property
    def parameters_active(self) -> int:
        """Parameters that a token of text meets: not the other experts, per-layer embedding tables or towers."""
        if self.declared_parameters_active is not None:
            return self.declared_parameters_active
        idle = sum((layer.parameters - layer.parameters_active) * count for layer, count in self.layers)
        return self.parameters_total - idle - self.surroundings.layer_embeddings - self.surroundings.towers

    @cached_property
    def is_generative(self) -> bool:
        """Whether it answers token by token out of a cache or a recurrent state."""
        return any(layer.mixer and (layer.mixer.cache_elements or layer.mixer.state_bytes) for layer, _ in self.layers)

    @property
    def is_forest(self) -> bool:
        """Whether it is trees whose columns are known."""
        is_of_rows = self.task == "tabular" and self.sample_size is not None
        return is_of_rows and self.family not in (ONNX_GRAPH, *OF_COEFFICIENTS)

    @cached_property
    def is_latent(self) -> bool:
        """Whether the cache is latent: the same on every tensor-parallel rank."""
        return any(layer.mixer and layer.mixer.kind is MixerKind.LATENT for layer, _ in self.layers)

    @cached_property
    def has_experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return any(layer.feed_forward and layer.feed_forward.experts for layer, _ in self.layers)
