"""Facts of a model that sizing and prediction need, as plain numbers.

A multiplication with its addition counts as two FLOPs; norms, activations and softmax count as none, as usual.
"""

from functools import lru_cache

from advisor.models.layer_kinds import cache_kinds, kv_elements_per_token
from advisor.models.model import Model
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Parameters of a part, and what one sample takes there."""

    parameters: int = 0
    flop: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.parameters + other.parameters, self.flop + other.flop)

    def times(self, count: int) -> "Work":
        """Equal parts, each with weights of its own."""
        return Work(self.parameters * count, self.flop * count)

    def run(self, passes: float) -> "Work":
        """The same weights, run so often."""
        return Work(self.parameters, self.flop * passes)


def linear(inputs: int, outputs: int, positions: float = 1, *, bias: bool = True) -> Work:
    """A matrix applied at each position: 2 · inputs · outputs FLOPs there."""
    return Work(inputs * outputs + outputs * bias, 2.0 * inputs * outputs * positions)


def convolution(inputs: int, outputs: int, kernel: int, positions: float, *, bias: bool = True) -> Work:
    """Filters of *kernel* taps over all inputs, at *positions* of the output."""
    return linear(inputs * kernel, outputs, positions, bias=bias)


def depthwise(channels: int, kernel: int, positions: float) -> Work:
    """One filter of *kernel* taps for each channel, with its bias."""
    return Work(channels * (kernel + 1), 2.0 * channels * kernel * positions)


def table(rows: int, width: int) -> Work:
    """Embeddings: looked up, not computed."""
    return Work(rows * width)


def norm(width: int, vectors: int = 2) -> Work:
    """Scale, and shift where there are two vectors."""
    return Work(width * vectors)


def scores(width: int, queries: float, keys: float) -> Work:
    """Attention itself: 4 · width FLOPs for each pair of a query and a key."""
    return Work(0, 4.0 * width * queries * keys)


@dataclass(frozen=True, slots=True)
class Attended:
    """Positions that ask, positions that are asked, and the width of the latter."""

    queries: float
    keys: float
    width: int


def attention(width: int, positions: float, *, bias: int = 4, over: Attended | None = None, inner: int = 0) -> Work:
    """Projections of queries, keys, values and output, and the scores between them.

    Args:
        width: of the hidden state.
        positions: that attend to each other.
        bias: of the four matrices, how many have one; the output's first.
        over: attention over other positions (cross-attention) in place of *positions* themselves.
        inner: heads × head dimension, where it is not *width*.
    """
    seen = over or Attended(positions, positions, width)
    inner = inner or width
    biases = Work(min(bias, 1) * width + max(bias - 1, 0) * inner)
    queries = linear(width, inner, seen.queries, bias=False) + linear(inner, width, seen.queries, bias=False)
    return (
        queries
        + linear(seen.width, inner, seen.keys, bias=False).times(2)
        + biases
        + scores(inner, seen.queries, seen.keys)
    )


def feed_forward(width: int, inner: int, positions: float, *, matrices: int = 2, bias: bool = True) -> Work:
    """Two matrices, or three where the first is gated."""
    return linear(width, inner, positions, bias=bias).times(matrices - 1) + linear(inner, width, positions, bias=bias)


def transformer_layer(width: int, inner: int, positions: float) -> Work:
    """Attention and feed-forward network with biases and a norm before each: what BERT, ViT and Whisper are made of."""
    return attention(width, positions) + feed_forward(width, inner, positions) + norm(width).times(2)


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters, FLOPs and kind of a network."""

    work: Work
    task: str
    sample: str
    """What the FLOPs are for: an image of a size, seconds of audio, a sequence."""


@dataclass(frozen=True, slots=True)
class ServingShape:
    """A model reduced to the numbers that decide memory traffic, FLOPs and communication.

    For decoder language models every field is set. For encoders, vision, speech and diffusion models the
    fields of the KV cache and of the experts are 0 and ``flop_per_sample`` says what one sample costs
    (None: unknown, and no throughput can be predicted).
    """

    params_total: float
    params_active: float
    """Parameters that take part in the computation of one token."""
    n_layers: int
    hidden: int
    vocab: int
    tied_embeddings: bool
    n_heads: int
    n_kv_heads: int
    n_experts: int
    """Routed experts of one MoE layer; 0 for a dense model."""
    experts_per_token: int
    expert_params: float
    """Parameters of one routed expert in one layer."""
    moe_layers: int
    is_mla: bool
    """The latent KV cache is replicated over tensor-parallel ranks."""
    kv_elements_per_token: float
    """Elements that one token adds to the cache over all layers, windowed layers included."""
    window_tokens: int
    """Length of the sliding window or attention chunk; 0 for none."""
    window_kv_share: float
    """Share of ``kv_elements_per_token`` that belongs to windowed layers (0..1)."""
    attention_width: float
    """Sum over attention layers of heads × head dimension: FLOPs of attention per token pair are 4 × this."""
    max_context_tokens: int | None
    flop_per_sample: float | None
    """FLOPs of one sample (image, utterance second, sequence at its usual length); None when unknown."""


@lru_cache(maxsize=4096)
def serving_shape(model: Model) -> ServingShape:
    """Reduce *model* to the numbers that decide memory traffic, FLOPs and communication."""
    elements = kv_elements_per_token(model)
    windowed = [kind for kind in cache_kinds(model) if kind.window_tokens]
    windowed_elements = sum(kind.layers * kind.elements_per_token for kind in windowed)
    mixtures = [(layer.feed_forward, count) for layer, count in model.layers if layer.feed_forward]
    mixtures = [(network, count) for network, count in mixtures if network.experts]
    largest = max((network for network, _ in mixtures), key=lambda network: network.expert_parameters, default=None)
    return ServingShape(
        params_total=float(model.parameters_total),
        params_active=float(model.parameters_active),
        n_layers=model.n_layers,
        hidden=model.hidden,
        vocab=model.vocab,
        tied_embeddings=model.tied_embeddings,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        n_experts=largest.experts if largest else 0,
        experts_per_token=largest.experts_per_token if largest else 0,
        expert_params=float(largest.expert_parameters) if largest else 0.0,
        moe_layers=sum(count for _, count in mixtures),
        is_mla=model.is_latent,
        kv_elements_per_token=elements,
        window_tokens=max((kind.window_tokens for kind in windowed), default=0),
        window_kv_share=windowed_elements / elements if elements else 0.0,
        attention_width=float(_attention_width(model)),
        max_context_tokens=model.max_context_tokens,
        flop_per_sample=model.flop_per_sample,
    )


def _attention_width(model: Model) -> int:
    """Sum of heads × head dimension over the layers whose work grows with the context."""
    return sum(
        layer.mixer.width * count for layer, count in model.layers if layer.mixer and not layer.mixer.state_bytes
    )
