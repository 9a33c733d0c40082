"""Networks that give their whole answer in one pass, from their ``config.json``: parameters and FLOPs of a sample.

Totals of declared models are taken as published; what else is known (layers, heads, cache, work per sample) comes from
the same row.
"""

from collections.abc import Callable, Mapping
from math import ceil

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.layers import FeedForward, Layer, Mixer, MixerKind
from advisor.models.model import Checkpoint, Model, Surroundings
from advisor.models.networks import vision
from advisor.models.networks.vision import sizes
from advisor.models.values import (
    Attended,
    Network,
    Work,
    attention,
    convolution,
    feed_forward,
    linear,
    norm,
    table,
    transformer_layer,
)
from advisor.records import replace

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


TRANSCRIPT_TOKENS = 110
"""Tokens of a transcript of 30 s: MLPerf's speech, as in models.csv."""
INPUT_TOKENS, OUTPUT_TOKENS = 128, 84
"""Tokens of a sequence and of its answer, as in models.csv."""
_SAMPLES_PER_SECOND = 16_000
_SPEECH_SECONDS = 10


def whisper(fields: ConfigFields) -> Network:
    """Whisper: an encoder over 30 s of audio, a decoder over the transcript.

    FLOPs are those of one token of the transcript: its share of encoding 30 s, cross-attention keys included, and one
    step of the decoder.
    """
    width, bins = fields.integer("d_model"), fields.integer_or(80, "num_mel_bins", least=1)
    heard, written = fields.integer_or(1500, "max_source_positions"), fields.integer_or(448, "max_target_positions")
    encoder = transformer_layer(width, fields.integer("encoder_ffn_dim"), heard).times(_count(fields, "encoder_layers"))
    encoder += convolution(bins, width, 3, 2 * heard) + convolution(width, width, 3, heard)
    encoder += norm(width) + table(heard, width)
    count, inner = _count(fields, "decoder_layers"), fields.integer("decoder_ffn_dim")
    keys = linear(width, width, heard, bias=False).times(2 * count)
    over = Attended(1, heard, width)
    crossed = attention(width, 1, over=over)
    layer = attention(width, 1) + crossed + feed_forward(width, inner, 1) + norm(width).times(3)
    decoder = layer.times(count) + norm(width) + table(written, width)
    vocab = fields.integer("vocab_size")
    decoder += linear(width, vocab, bias=False)
    own_keys = Work(-(2 * count + _count(fields, "encoder_layers")) * width)  # keys have no bias in Whisper
    step = decoder.flop - keys.flop
    total = Work(encoder.parameters + decoder.parameters + own_keys.parameters)
    return Network(
        total + Work(0, (encoder.flop + keys.flop) / TRANSCRIPT_TOKENS + step),
        "asr",
        "one token of the transcript, with its share of encoding 30 s",
    )


def wav2vec(fields: ConfigFields) -> Network:
    """wav2vec 2.0 and HuBERT: convolutions over the samples, then a transformer."""
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    positions = float(_SPEECH_SECONDS * _SAMPLES_PER_SECOND)
    filters, bias = sizes(fields, "conv_dim"), fields.flag("conv_bias", default=False)
    layered = fields.text("group", "feat_extract_norm") == "layer"
    body, inputs = Work(), 1
    for stage, (width_here, kernel, stride) in enumerate(
        zip(filters, sizes(fields, "conv_kernel"), sizes(fields, "conv_stride"), strict=False)
    ):
        positions = max((positions - kernel) // stride + 1, 1)
        body += convolution(inputs, width_here, kernel, positions, bias=bias)
        body += norm(width_here) if layered or stage == 0 else Work()
        inputs = width_here
    taps = fields.integer_or(128, "num_conv_pos_embeddings", least=1)
    groups = fields.integer_or(16, "num_conv_pos_embedding_groups", least=1)
    body += norm(inputs) + linear(inputs, width, positions) + norm(width)
    masks = bool(fields.values.get("mask_time_prob", 0.05) or fields.values.get("mask_feature_prob"))
    body += Work(width * masks)
    body += convolution(ceil(width / groups), width, taps, positions) + Work(taps)
    body += transformer_layer(width, inner, positions).times(_count(fields, "num_hidden_layers"))
    if "ForCTC" in str(fields.items("architectures")):
        body += linear(width, fields.integer("vocab_size"), positions)
    return Network(body, "asr", f"{_SPEECH_SECONDS} s of audio")


def t5(fields: ConfigFields) -> Network:
    """T5 and its kin: relative positions, no biases; the encoder alone where a class ends with EncoderModel."""
    width, inner = fields.integer("d_model"), fields.integer("d_ff")
    heads, count = fields.integer("num_heads"), _count(fields, "num_layers")
    projected, vocab = heads * fields.integer("d_kv"), fields.integer("vocab_size")
    matrices = 3 if fields.text("relu", "feed_forward_proj").startswith("gated") else 2
    alone = "EncoderModel" in str(fields.items("architectures"))
    tokens = fields.integer_or(512, "n_positions") if alone else INPUT_TOKENS
    every_layer = fields.text("", "model_type") == "umt5"
    buckets = Work(fields.integer_or(32, "relative_attention_num_buckets") * heads)

    def stack(positions: int, over: Attended | None, layers: int) -> Work:
        layer = attention(width, positions, bias=0, inner=projected) + norm(width, 1)
        if over:
            layer += attention(width, positions, bias=0, over=over, inner=projected) + norm(width, 1)
        layer += feed_forward(width, inner, positions, matrices=matrices, bias=False) + norm(width, 1)
        return layer.times(layers) + buckets.times(layers if every_layer else 1) + norm(width, 1)

    encoder = stack(tokens, None, count) + table(vocab, width)
    if alone:
        return Network(encoder, "encoder", f"one text of {tokens} tokens")
    decoder = stack(
        OUTPUT_TOKENS, Attended(OUTPUT_TOKENS, INPUT_TOKENS, width), fields.integer_or(count, "num_decoder_layers")
    )
    head = linear(width, vocab, OUTPUT_TOKENS, bias=False)
    tied = Work(-head.parameters) if fields.flag("tie_word_embeddings", default=True) else Work()
    return Network(encoder + decoder + head + tied, "encoder-decoder", _answered())


def bart(fields: ConfigFields) -> Network:
    """BART, mBART, Marian, M2M-100, Pegasus: biases everywhere; positions are learned or computed."""
    width, vocab = fields.integer("d_model"), fields.integer("vocab_size")
    kind = fields.text("bart", "model_type")
    encoder = transformer_layer(width, fields.integer("encoder_ffn_dim"), INPUT_TOKENS).times(
        _count(fields, "encoder_layers")
    )
    over = Attended(OUTPUT_TOKENS, INPUT_TOKENS, width)
    layer = transformer_layer(width, fields.integer("decoder_ffn_dim"), OUTPUT_TOKENS)
    layer += attention(width, OUTPUT_TOKENS, over=over) + norm(width)
    decoder = layer.times(_count(fields, "decoder_layers"))
    norms, rows = BART_SURROUNDINGS[kind]
    positions = 0 if rows is None else fields.integer_or(1024, "max_position_embeddings") + rows
    around = table(vocab + 2 * positions, width) + norm(width).times(norms)
    head = Work(0, linear(width, vocab, OUTPUT_TOKENS).flop)
    return Network(encoder + decoder + around + head, "encoder-decoder", _answered())


BART_SURROUNDINGS = {"bart": (2, 2), "mbart": (4, 2), "m2m_100": (2, None), "pegasus": (2, 0), "marian": (0, 0)}
"""Norms outside the layers, and rows of the two tables of positions beyond the longest text; None: no such table."""


def _count(fields: ConfigFields, name: str) -> int:
    return fields.integer(name, most=MOST_LAYERS)


def _answered() -> str:
    return f"a sequence of {INPUT_TOKENS} tokens answered with {OUTPUT_TOKENS}"


NETWORKS: Mapping[str, Callable[[ConfigFields], Network]] = {
    **dict.fromkeys(("vit", "deit", "dinov2", "dinov2_with_registers"), vision.vision_transformer),
    **dict.fromkeys(("convnext", "convnextv2"), vision.convnext),
    **dict.fromkeys(("wav2vec2", "hubert"), wav2vec),
    **dict.fromkeys(("t5", "mt5", "umt5"), t5),
    **dict.fromkeys(tuple(BART_SURROUNDINGS), bart),
    "swin": vision.swin,
    "resnet": vision.resnet,
    "clip": vision.clip,
    "clip_vision_model": vision.clip_vision,
    "clip_text_model": vision.clip_text,
    "siglip": vision.siglip,
    "siglip_vision_model": vision.siglip_vision,
    "whisper": whisper,
}
"""Readers by ``model_type``."""


def network_model(fields: ConfigFields, name: str, checkpoint: Checkpoint) -> Model:
    """A model of one of :data:`NETWORKS`.

    Raises:
        InputError: a field that decides a size is missing or makes no sense.
    """
    kind = fields.text("", "model_type")
    return whole_model(NETWORKS[kind](fields), kind, name, checkpoint)


def whole_model(network: Network, family: str, name: str, checkpoint: Checkpoint) -> Model:
    """A model of which totals count and no layer: nothing of it is split or cached."""
    model = read_declared(ConfigFields({"parameters_total": network.work.parameters}, name), name, checkpoint)
    flop = network.work.flop or None
    return replace(model, family=family, task=network.task, flop_per_sample=flop, sample=network.sample)
