"""Models that no configuration describes: convolutional networks, diffusion models, architectures published in part.

Their totals are taken as published; what else is known (layers, heads, cache, work per sample) comes from the same row.
"""

from advisor.models.config_fields import ConfigFields
from advisor.models.layers import FeedForward, Layer, Mixer, MixerKind
from advisor.models.model import Checkpoint, Model, Surroundings

_MOST_PARAMETERS = 10**15
DECLARED = "declared"
"""In place of a ``model_type``."""


def read_declared(fields: ConfigFields, name: str, checkpoint: Checkpoint) -> Model:
    """Build a model of which only totals and a few dimensions are known."""
    total = fields.integer("parameters_total", most=_MOST_PARAMETERS)
    hidden, vocab = fields.integer_or(0, "hidden_size"), fields.integer_or(0, "vocab_size")
    count = fields.integer_or(1, "num_hidden_layers")
    tied = fields.flag("tie_word_embeddings", default=True)
    table = vocab * hidden
    surroundings = Surroundings(embeddings=table, head=0 if tied else table)
    body = max(total - surroundings.embeddings - surroundings.head, 0)
    return Model(
        name=name,
        family="",
        task="",
        hidden=hidden,
        vocab=vocab,
        n_heads=fields.integer_or(0, "num_attention_heads"),
        n_kv_heads=fields.integer_or(0, "num_key_value_heads"),
        intermediate=fields.integer_or(0, "moe_intermediate_size", "intermediate_size"),
        tied_embeddings=tied,
        surroundings=Surroundings(
            embeddings=surroundings.embeddings, head=surroundings.head, other=body - body // count * count
        ),
        layers=_declared_layers(fields, body // count, count),
        max_context_tokens=fields.integer_or(0, "max_position_embeddings") or None,
        checkpoint=checkpoint,
    )


def _declared_layers(fields: ConfigFields, parameters: int, count: int) -> tuple[tuple[Layer, int], ...]:
    """Equal shares of the body; the caching layers are told from the others."""
    experts = _experts(fields)
    outside = parameters - experts.parameters if experts else parameters
    network = experts or FeedForward(matrix_parameters=0, other_parameters=0)
    caching = fields.integer_or(count, "cache_layers")
    windowed = min(fields.integer_or(0, "window_layers"), caching)
    window = fields.integer_or(0, "sliding_window")
    kinds = ((caching - windowed, 0, True), (windowed, window, True), (count - caching, 0, False))
    return tuple(
        (Layer(_mixer(fields, max(outside, 0), tokens, caches=caches), network, 0), layers)
        for layers, tokens, caches in kinds
        if layers
    )


def _experts(fields: ConfigFields) -> FeedForward | None:
    """The routed experts, where their shape is known."""
    if not fields.has("num_experts"):
        return None
    width, hidden = fields.integer("moe_intermediate_size"), fields.integer("hidden_size")
    return FeedForward(
        matrix_parameters=0,
        other_parameters=0,
        experts=fields.integer("num_experts"),
        experts_per_token=fields.integer("num_experts_per_tok"),
        expert_matrix_parameters=3 * hidden * width,
        expert_intermediate=width,
        hidden=hidden,
    )


def _mixer(fields: ConfigFields, parameters: int, window: int, *, caches: bool) -> Mixer:
    """Everything of a layer but its experts, with the cache that the row states."""
    heads, kv_heads = fields.integer_or(0, "num_attention_heads"), fields.integer_or(0, "num_key_value_heads")
    dim = fields.integer_or(0, "head_dim")
    elements = fields.integer_or(2 * kv_heads * dim, "cache_elements_per_layer") if caches else 0
    return Mixer(
        kind=MixerKind.ATTENTION,
        matrix_parameters=parameters,
        other_parameters=0,
        cache_elements=elements,
        window_tokens=window,
        width=heads * dim,
        kv_heads=kv_heads,
    )
