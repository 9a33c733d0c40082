"""Facts of a model that sizing and prediction need, as plain numbers.

A multiplication with its addition counts as two FLOPs; norms, activations and softmax count as none, as usual.

Servers of text encoders that answer more than one vector: one for each token, or weights of terms.
"""

from collections.abc import Sequence
from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.layer_kinds import cache_kinds, kv_elements_per_token
from advisor.models.model import Model, TextAnswer
from advisor.records import dataclass, replace
from advisor.tables import read_records


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
    """Projections of queries, keys, values and output, and the scores between *positions* that attend to each other.

    *bias*: how many of the four matrices have one, the output's first. *over*: cross-attention over other positions.
    *inner*: heads × head dimension, where it is not *width*.
    """
    seen = over or Attended(positions, positions, width)
    inner = inner or width
    biases = Work(min(bias, 1) * width + max(bias - 1, 0) * inner)
    queries = linear(width, inner, seen.queries, bias=False) + linear(inner, width, seen.queries, bias=False)
    keys_values = linear(seen.width, inner, seen.keys, bias=False).times(2)
    return queries + keys_values + biases + scores(inner, seen.queries, seen.keys)


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
    mixers = [(layer.mixer, count) for layer, count in model.layers]
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
        attention_width=float(sum(mixer.width * count for mixer, count in mixers if mixer and not mixer.state_bytes)),
        max_context_tokens=model.max_context_tokens,
        flop_per_sample=model.flop_per_sample,
    )


@dataclass(frozen=True, slots=True)
class AnswerServer:
    """A server that gives one kind of answer of encoders of a type."""

    answer: TextAnswer
    model_type: str
    """``model_type`` of the encoder's configuration."""
    engine: str
    """Server as in engines.csv."""
    vendors: tuple[str, ...]
    """Vendors of accelerators on which it gives this answer."""
    option: str
    """Option of its command line that sets it up."""
    call: str
    """Path that clients ask for the answer, and what they send there."""


@lru_cache(maxsize=1)
def _answer_servers() -> Sequence[AnswerServer]:
    rows = read_records(data_dir("instance_catalog") / "encoder_answers.csv")
    return tuple(row.value(AnswerServer, answer=row.choice("answer", TextAnswer)) for row in rows)


def answering(model: Model, answer: TextAnswer, model_type: str, token_numbers: int | None = None) -> Model:
    """A text encoder with its answer, and the parameters that this takes behind its layers.

    Late interaction takes ``width × numbers of a token's vector``. A sparse encoder has the head of a masked language
    model in place of a pooler: ``width² + width`` of its transform, ``2 · width`` of its norm and a bias for each word,
    whose decoder is the embeddings again.
    """
    if not needs_own_server(answer):
        return replace(model, answer=answer)
    width, parts = model.hidden, model.surroundings
    parts = replace(parts, head=width * (token_numbers or 0))
    if answer is TextAnswer.TERMS:
        pooler = width * width + width
        other = parts.other - pooler if parts.other >= pooler else parts.other
        parts = replace(parts, head=width * width + 3 * width + model.vocab, other=other)
    return replace(model, answer=answer, answer_type=model_type, token_numbers=token_numbers, surroundings=parts)


def needs_own_server(answer: TextAnswer) -> bool:
    """Whether servers of embeddings do not give an answer by themselves."""
    return answer in (TextAnswer.VECTORS, TextAnswer.TERMS)


def answer_servers(answer: TextAnswer, model_type: str) -> Sequence[AnswerServer]:
    """Servers that give an answer of encoders of a type; empty: none is known."""
    return [server for server in _answer_servers() if (server.answer, server.model_type) == (answer, model_type)]


def planned_types(answer: TextAnswer) -> Sequence[str]:
    """Types of the encoders of which some server gives an answer."""
    return [server.model_type for server in _answer_servers() if server.answer is answer]


def gives_answer(engine: str, vendor: str, model: Model) -> bool:
    """Whether a server of models of texts gives the answer of one, on accelerators of a vendor."""
    servers = answer_servers(model.answer, model.answer_type)
    runs = any(server.engine == engine and vendor in server.vendors for server in servers)
    return runs or not needs_own_server(model.answer)


def answered_where(model: Model) -> str:
    """Vendors of accelerators on which servers give the answer of a model; "" where those of embeddings do."""
    servers = answer_servers(model.answer, model.answer_type)
    told = (f"{server.engine} answers {model.answer} of each text on {', '.join(server.vendors)}" for server in servers)
    parts = " and ".join(told)
    return parts and f"{parts} alone"


def answer_options(engine: str, answer: TextAnswer, model_type: str) -> tuple[str, ...]:
    """Options by which a server gives an answer; none where it gives that by itself."""
    return tuple(server.option for server in answer_servers(answer, model_type) if server.engine == engine)


def answer_call(answer: TextAnswer, model_type: str) -> str:
    """How clients ask for an answer; "" for one that every server of embeddings gives where embeddings are asked."""
    return next((server.call for server in answer_servers(answer, model_type)), "")
