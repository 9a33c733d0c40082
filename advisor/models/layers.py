"""Parts of a layer, reduced to the numbers that decide memory and work.

A layer is a mixer (what exchanges information between tokens: attention, a recurrence, a convolution) followed by a
feed-forward network, either of which may be absent. Parameters are split into those of matrices (which quantisation
shrinks) and all others (norms, biases, convolutions, decay rates: always 16 bit or more).
"""

from enum import StrEnum

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

GATED_MATRICES = 3
"""Matrices of a gated feed-forward network: gate, up and down."""


class MixerKind(StrEnum):
    """Way in which a mixer remembers earlier tokens."""

    ATTENTION = "attention"
    """Keys and values of every head, sharded over tensor-parallel ranks."""
    LATENT = "latent"
    """One compressed vector per token, replicated on every rank (multi-head latent attention)."""
    RECURRENT = "recurrent"
    """A state of fixed size per sequence (state space, linear attention, short convolution)."""


@dataclass(frozen=True, slots=True)
class Mixer:
    """The part of a layer that looks at other tokens."""

    kind: MixerKind
    matrix_parameters: int
    other_parameters: int
    cache_elements: float = 0
    """Elements added to the KV cache by one token."""
    window_tokens: int = 0
    """Only so many last tokens are kept; 0: all."""
    state_elements: int = 0
    """Elements of the recurrent state of one sequence."""
    state_element_bytes: int = 4
    convolution_elements: int = 0
    """Last inputs of a short convolution that a sequence keeps, in 16 bit."""
    width: int = 0
    """Heads × head dimension: attention costs 4 × this FLOPs per pair of tokens."""
    kv_heads: int = 0
    kv_parameters: int = 0
    """Of the matrices behind keys and values: repeated where there are more ranks than key-value heads."""
    replicated_parameters: int = 0
    """Of matrices that every tensor-parallel rank holds whole."""

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.matrix_parameters + self.other_parameters

    @property
    def state_bytes(self) -> int:
        """Bytes that a sequence keeps, however long it is."""
        return self.state_elements * self.state_element_bytes + self.convolution_elements * 2


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The part of a layer that works on each token alone; routed experts are counted one by one."""

    matrix_parameters: int
    """Of what every token passes through: the dense network and the shared experts."""
    other_parameters: int
    router_parameters: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_matrix_parameters: int = 0
    """Of one routed expert."""
    expert_other_parameters: int = 0
    expert_intermediate: int = 0
    hidden: int = 0
    matrices: int = field(default=GATED_MATRICES, metadata=OMITTED_AT_DEFAULT)
    """Of a decoder's network, and of an expert: gate, up and down, or two without a gate."""
    intermediate: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """Width of the dense network, or of the shared experts together; 0: none, or not known."""

    @property
    def expert_parameters(self) -> int:
        """Parameters of one routed expert."""
        return self.expert_matrix_parameters + self.expert_other_parameters

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.parameters_active + (self.experts - self.experts_per_token) * self.expert_parameters

    @property
    def parameters_active(self) -> int:
        """Parameters that one token meets."""
        shared = self.matrix_parameters + self.other_parameters + self.router_parameters
        return shared + self.experts_per_token * self.expert_parameters


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a model."""

    mixer: Mixer | None
    feed_forward: FeedForward | None
    norm_parameters: int
    extra_parameters: int = 0
    """Matrices that belong to neither part: cross attention, per-layer embeddings' projections, ..."""

    @property
    def split_widths(self) -> tuple[int, ...]:
        """Widths of what output and down projections take in, which tensor parallelism divides, without experts'.

        Those of latent attention and recurrences are left out.
        """
        mixer, network = self.mixer, self.feed_forward
        attended = mixer.width if mixer is not None and mixer.kind is MixerKind.ATTENTION else 0
        return tuple(width for width in (attended, network.intermediate if network else 0) if width)

    @property
    def parameters(self) -> int:
        """All parameters of the layer."""
        return self._outside_feed_forward + (self.feed_forward.parameters if self.feed_forward else 0)

    @property
    def parameters_active(self) -> int:
        """Parameters that one token meets."""
        return self._outside_feed_forward + (self.feed_forward.parameters_active if self.feed_forward else 0)

    @property
    def _outside_feed_forward(self) -> int:
        return self.norm_parameters + self.extra_parameters + (self.mixer.parameters if self.mixer else 0)


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of an attention layer."""

    count: int
    kv_count: int
    dim: int
    value_dim: int

    @property
    def query_width(self) -> int:
        """Width of the queries of all heads."""
        return self.count * self.dim

    @property
    def key_width(self) -> int:
        """Width of the keys of all heads."""
        return self.kv_count * self.dim

    @property
    def value_width(self) -> int:
        """Width of the values of all heads."""
        return self.kv_count * self.value_dim

    @property
    def output_width(self) -> int:
        """Width of what the heads hand on."""
        return self.count * self.value_dim


@dataclass(frozen=True, slots=True)
class AttentionOptions:
    """Differences between attention layers of equal shape."""

    qkv_bias: bool = False
    output_bias: bool = False
    norm_parameters: int = 0
    """Of the norms on queries and keys."""
    output_gate: bool = False
    """A gate per output element, made by a query projection of twice the width."""
    sinks: bool = False
    """One learned logit per head."""
    values_are_keys: bool = False
    """No value projection; keys and values are still cached both."""
    borrows_cache: bool = False
    """Keys and values of an earlier layer are used: none computed, none cached."""
    extra_parameters: int = 0
    """Further matrices, such as a head-wise gate or a sparse-attention indexer."""
    extra_cache_elements: int = 0
    """What the indexer caches for each token."""
    window_tokens: int = 0


def attention(hidden: int, heads: Heads, options: AttentionOptions) -> Mixer:
    """Attention with as many key-value heads as *heads* says (multi-head, grouped-query or multi-query)."""
    queries = heads.query_width * (2 if options.output_gate else 1)
    keys = 0 if options.borrows_cache else heads.key_width
    values = 0 if options.borrows_cache or options.values_are_keys else heads.value_width
    biases = (queries + keys + values) * options.qkv_bias + hidden * options.output_bias
    cached = 0 if options.borrows_cache else heads.key_width + heads.value_width + options.extra_cache_elements
    return Mixer(
        kind=MixerKind.ATTENTION,
        matrix_parameters=hidden * (queries + keys + values + heads.output_width) + options.extra_parameters,
        other_parameters=biases + options.norm_parameters + heads.count * options.sinks,
        cache_elements=cached,
        window_tokens=options.window_tokens,
        width=(heads.query_width + heads.output_width) // 2,
        kv_heads=heads.kv_count,
        kv_parameters=hidden * (keys + values),
    )


@dataclass(frozen=True, slots=True)
class LatentHeads:
    """The shape of multi-head latent attention."""

    count: int
    query_rank: int
    """0: queries are projected directly."""
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int


def latent_attention(hidden: int, heads: LatentHeads, options: AttentionOptions) -> Mixer:
    """Latent attention: what is cached is one vector of ``kv_rank + rope_dim`` for all heads together."""
    query_dim = heads.count * (heads.nope_dim + heads.rope_dim)
    queries = heads.query_rank * (hidden + query_dim) if heads.query_rank else hidden * query_dim
    compressed = heads.kv_rank + heads.rope_dim
    keys_values = hidden * compressed + heads.kv_rank * heads.count * (heads.nope_dim + heads.value_dim)
    output = heads.count * heads.value_dim * hidden
    biases = (heads.query_rank + compressed) * options.qkv_bias + hidden * options.output_bias
    return Mixer(
        kind=MixerKind.LATENT,
        matrix_parameters=queries + keys_values + output + options.extra_parameters,
        other_parameters=heads.query_rank + heads.kv_rank + biases + options.norm_parameters,
        cache_elements=compressed + options.extra_cache_elements,
        window_tokens=options.window_tokens,
        width=heads.count * (heads.nope_dim + heads.rope_dim + heads.value_dim) // 2,
        kv_heads=1,
        replicated_parameters=hidden * (heads.query_rank + compressed) + options.extra_parameters,
    )


def dense(hidden: int, intermediate: int, matrices: int, *, bias: bool = False) -> FeedForward:
    """A dense feed-forward network of two matrices, or of three when it is gated."""
    biases = ((matrices - 1) * intermediate + hidden) * bias
    return FeedForward(
        matrix_parameters=matrices * hidden * intermediate,
        other_parameters=biases,
        hidden=hidden,
        intermediate=intermediate,
    )
