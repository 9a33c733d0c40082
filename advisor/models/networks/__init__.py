"""Networks that give their whole answer in one pass, from their ``config.json``: parameters and FLOPs of a sample.

Totals of declared models are taken as published; what else is known (layers, heads, cache, work per sample) comes from
the same row.
"""

from collections.abc import Callable, Mapping
from math import ceil, prod

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.layers import FeedForward, Layer, Mixer, MixerKind
from advisor.models.model import Checkpoint, Model, Surroundings
from advisor.models.values import (
    Attended,
    Network,
    Work,
    attention,
    convolution,
    depthwise,
    feed_forward,
    linear,
    norm,
    scores,
    table,
    transformer_layer,
)
from advisor.records import replace

_CLASSES = 1000
"""Of ImageNet, where a configuration lists none."""


def vision_transformer(fields: ConfigFields) -> Network:
    """ViT, DeiT, DINOv2 (with registers too)."""
    width, side, patch = fields.integer("hidden_size"), _side(fields), fields.integer_or(16, "patch_size", least=1)
    kind = fields.text("vit", "model_type")
    patches = (side // patch) ** 2
    distilled, dino = kind == "deit", kind.startswith("dinov2")
    registers = fields.integer_or(4, "num_register_tokens") if kind == "dinov2_with_registers" else 0
    positions = patches + 1 + distilled + registers
    body = _layers(fields, positions, extra=2 * width if dino else 0)
    body += convolution(_channels(fields), width, patch * patch, patches) + norm(width)
    body += table(patches + 1 + distilled, width) + Work((1 + distilled + dino + registers) * width)
    return Network(body + _vision_head(fields, width, doubled=dino), "vision", _image(side))


def _layers(fields: ConfigFields, positions: int, *, extra: int = 0) -> Work:
    """The layers of a transformer with biases; DINOv2 scales what each half adds, and may gate its feed-forward."""
    width, count = fields.integer("hidden_size"), fields.integer("num_hidden_layers", most=MOST_LAYERS)
    inner = fields.integer_or(fields.integer_or(4, "mlp_ratio", least=1) * width, "intermediate_size", least=1)
    layer = transformer_layer(width, inner, positions)
    if fields.flag("use_swiglu_ffn", default=False):
        gated = -(-int(inner * 2 / 3) // 8) * 8
        network = linear(width, 2 * gated, positions) + linear(gated, width, positions)
        layer = attention(width, positions) + network + norm(width).times(2)
    elif not fields.flag("qkv_bias", default=True):
        layer += Work(-3 * width)
    return (layer + Work(extra)).times(count)


def _vision_head(fields: ConfigFields, width: int, *, doubled: bool = False) -> Work:
    """Classifier or pooler, as the class that the configuration names has it."""
    classes = " ".join(map(str, fields.items("architectures")))
    heads = 2 if "WithTeacher" in classes else 1
    if "ForImageClassification" in classes:
        return linear(width * (1 + doubled), labels(fields)).times(heads)
    has_pooler = fields.text("", "model_type") in ("vit", "deit") and "For" not in classes
    return linear(width, width) if has_pooler else Work()


def labels(fields: ConfigFields) -> int:
    """Classes that a classifier tells apart."""
    listed = fields.values.get("id2label")
    return len(listed) if isinstance(listed, dict) and listed else fields.integer_or(_CLASSES, "num_labels", least=1)


def swin(fields: ConfigFields) -> Network:
    """Swin: windows of attention over ever fewer and wider patches."""
    width, side, patch = fields.integer("embed_dim"), _side(fields), fields.integer_or(4, "patch_size", least=1)
    depths, heads = sizes(fields, "depths"), sizes(fields, "num_heads")
    window, ratio = fields.integer_or(7, "window_size", least=1), fields.integer_or(4, "mlp_ratio", least=1)
    positions = float((side // patch) ** 2)
    total = convolution(_channels(fields), width, patch * patch, positions) + norm(width)
    for stage, (depth, count) in enumerate(zip(depths, heads, strict=False)):
        layer = attention(width, positions) + feed_forward(width, ratio * width, positions) + norm(width).times(2)
        within = scores(width, positions, window**2).flop - scores(width, positions, positions).flop
        total += (layer + Work((2 * window - 1) ** 2 * count, within)).times(depth)
        if stage < len(depths) - 1:
            positions /= 4
            total += linear(4 * width, 2 * width, positions, bias=False) + norm(4 * width)
            width *= 2
    return Network(total + norm(width) + _classifier(fields, width), "vision", _image(side))


def convnext(fields: ConfigFields) -> Network:
    """ConvNeXt: wide depthwise filters, each followed by a feed-forward network."""
    side, patch = _side(fields), fields.integer_or(4, "patch_size", least=1)
    widths, depths = sizes(fields, "hidden_sizes"), sizes(fields, "depths")
    positions = float((side // patch) ** 2)
    second = fields.text("", "model_type") == "convnextv2"
    total = convolution(_channels(fields), widths[0], patch * patch, positions) + norm(widths[0])
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=False)):
        if stage:
            positions /= 4
            total += convolution(widths[stage - 1], width, 4, positions) + norm(widths[stage - 1])
        scale = norm(4 * width) if second else Work(width)
        block = depthwise(width, 49, positions) + norm(width) + feed_forward(width, 4 * width, positions) + scale
        total += block.times(depth)
    return Network(total + norm(widths[-1]) + _classifier(fields, widths[-1]), "vision", _image(side))


def resnet(fields: ConfigFields) -> Network:
    """ResNet, with two or three convolutions a block; strides as in version 1.5."""
    side = _side(fields)
    widths, depths = sizes(fields, "hidden_sizes"), sizes(fields, "depths")
    bottleneck = fields.text("bottleneck", "layer_type") == "bottleneck"
    stem, positions = fields.integer_or(64, "embedding_size", least=1), (side / 2) ** 2
    total = _normed(_channels(fields), stem, 49, positions)
    positions /= 4
    inputs = stem
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=False)):
        before = positions
        positions /= 4 if stage else 1
        for block in range(min(depth, MOST_LAYERS)):
            if block == 0 and (inputs != width or stage):
                total += _normed(inputs, width, 1, positions)
            narrow = width // 4
            if bottleneck:
                total += _normed(inputs, narrow, 1, positions if block else before)
                total += _normed(narrow, narrow, 9, positions) + _normed(narrow, width, 1, positions)
            else:
                total += _normed(inputs, width, 9, positions) + _normed(width, width, 9, positions)
            inputs = width
    return Network(total + _classifier(fields, inputs), "vision", _image(side))


def _normed(inputs: int, outputs: int, kernel: int, positions: float) -> Work:
    """A convolution without bias and the batch norm behind it."""
    return convolution(inputs, outputs, kernel, positions, bias=False) + norm(outputs)


def _classifier(fields: ConfigFields, width: int) -> Work:
    is_headless = fields.items("architectures") and "ForImageClassification" not in str(fields.items("architectures"))
    return Work() if is_headless else linear(width, labels(fields))


def clip(fields: ConfigFields) -> Network:
    """CLIP: a vision tower and a text tower that meet in a projection."""
    joint = fields.integer_or(512, "projection_dim", least=1)
    seen, texts = fields.section("vision_config"), fields.section("text_config")
    image, text = clip_vision(seen).work, clip_text(texts).work
    together = linear(width_of(seen, 768), joint, bias=False) + linear(width_of(texts, 512), joint, bias=False)
    tokens = texts.integer_or(77, "max_position_embeddings", least=1)
    sample = f"{_image(_side(seen))} and one text of {tokens} tokens"
    return Network(image + text + together + Work(1), "vision", sample)


def clip_vision(fields: ConfigFields) -> Network:
    """The vision tower of CLIP, or with a projection of its own."""
    width, side, patch = width_of(fields, 768), _side(fields), fields.integer_or(32, "patch_size", least=1)
    patches = (side // patch) ** 2
    body = _tower(fields, width, 3072, patches + 1)
    body += convolution(_channels(fields), width, patch * patch, patches, bias=False) + norm(width).times(2)
    return Network(body + table(patches + 2, width) + _projection(fields, width), "vision", _image(side))


def clip_text(fields: ConfigFields) -> Network:
    """The text tower of CLIP, which diffusion models read prompts with."""
    width, tokens = width_of(fields, 512), fields.integer_or(77, "max_position_embeddings", least=1)
    body = _tower(fields, width, 2048, tokens) + norm(width)
    body += table(fields.integer_or(49408, "vocab_size") + tokens, width)
    return Network(body + _projection(fields, width), "encoder", f"one text of {tokens} tokens")


def _tower(fields: ConfigFields, width: int, usual_inner: int, positions: int) -> Work:
    """Layers of a transformer, twelve where nothing is said."""
    inner, count = (
        fields.integer_or(usual_inner, "intermediate_size", least=1),
        fields.integer_or(12, "num_hidden_layers"),
    )
    return transformer_layer(width, inner, positions).times(min(count, MOST_LAYERS))


def _projection(fields: ConfigFields, width: int) -> Work:
    has_projection = "WithProjection" in str(fields.items("architectures"))
    return linear(width, fields.integer_or(512, "projection_dim"), bias=False) if has_projection else Work()


def siglip(fields: ConfigFields) -> Network:
    """SigLIP: CLIP with a pooled head on images and a linear one on texts."""
    seen, texts = fields.section("vision_config"), fields.section("text_config")
    width, tokens = width_of(texts, 768), texts.integer_or(64, "max_position_embeddings", least=1)
    text = _tower(texts, width, 3072, tokens) + norm(width)
    text += table(texts.integer_or(32_000, "vocab_size") + tokens, width) + linear(width, width)
    sample = f"{_image(_side(seen))} and one text of {tokens} tokens"
    return Network(siglip_vision(seen).work + text + Work(2), "vision", sample)


def siglip_vision(fields: ConfigFields) -> Network:
    """The vision tower of SigLIP with its pooling head."""
    width, side, patch = width_of(fields, 768), _side(fields), fields.integer_or(16, "patch_size", least=1)
    patches = (side // patch) ** 2
    inner = fields.integer_or(3072, "intermediate_size", least=1)
    body = _tower(fields, width, 3072, patches)
    body += convolution(_channels(fields), width, patch * patch, patches) + norm(width) + table(patches, width)
    pooling = linear(width, width, patches).times(2) + linear(width, width).times(2) + feed_forward(width, inner, 1)
    pooling += scores(width, 1, patches)
    return Network(body + pooling + norm(width) + Work(width), "vision", _image(side))


_MOST_STAGES = 16


def width_of(fields: ConfigFields, default: int) -> int:
    """Width of the hidden state."""
    return fields.integer_or(default, "hidden_size", least=1)


def sizes(fields: ConfigFields, name: str) -> list[int]:
    """Whole numbers of a list, one for each of at most :data:`_MOST_STAGES` stages. Raises InputError otherwise."""
    listed = fields.items(name)
    if not 1 <= len(listed) <= _MOST_STAGES or prod(isinstance(size, int) for size in listed) == 0:
        raise fields.missing((name,))
    return [ConfigFields({name: size}, fields.where).integer(name) for size in listed]


def _side(fields: ConfigFields) -> int:
    """Pixels of a side of the image, which may be given as a pair of equal ones."""
    return fields.integer_or(224, "image_size", least=1)


def _channels(fields: ConfigFields) -> int:
    return fields.integer_or(3, "num_channels", least=1)


def _image(side: int) -> str:
    return f"one image of {side} × {side}"


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
    head = 0 if tied else table
    body = max(total - table - head, 0)
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
        surroundings=Surroundings(embeddings=table, head=head, other=body - body // count * count),
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
_ANSWERED = f"a sequence of {INPUT_TOKENS} tokens answered with {OUTPUT_TOKENS}"
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
    crossed = attention(width, 1, over=Attended(1, heard, width))
    layer = attention(width, 1) + crossed + feed_forward(width, inner, 1) + norm(width).times(3)
    decoder = layer.times(count) + norm(width) + table(written, width)
    decoder += linear(width, fields.integer("vocab_size"), bias=False)
    own_keys = Work(-(2 * count + _count(fields, "encoder_layers")) * width)  # keys have no bias in Whisper
    flop = (encoder.flop + keys.flop) / TRANSCRIPT_TOKENS + (decoder.flop - keys.flop)
    total = Work(encoder.parameters + decoder.parameters + own_keys.parameters, flop)
    return Network(total, "asr", "one token of the transcript, with its share of encoding 30 s")


def wav2vec(fields: ConfigFields) -> Network:
    """wav2vec 2.0 and HuBERT: convolutions over the samples, then a transformer."""
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    positions = float(_SPEECH_SECONDS * _SAMPLES_PER_SECOND)
    filters, bias = sizes(fields, "conv_dim"), fields.flag("conv_bias", default=False)
    layered = fields.text("group", "feat_extract_norm") == "layer"
    body, inputs = Work(), 1
    stages = zip(filters, sizes(fields, "conv_kernel"), sizes(fields, "conv_stride"), strict=False)
    for stage, (width_here, kernel, stride) in enumerate(stages):
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
    over = Attended(OUTPUT_TOKENS, INPUT_TOKENS, width)
    decoder = stack(OUTPUT_TOKENS, over, fields.integer_or(count, "num_decoder_layers"))
    head = linear(width, vocab, OUTPUT_TOKENS, bias=False)
    tied = Work(-head.parameters) if fields.flag("tie_word_embeddings", default=True) else Work()
    return Network(encoder + decoder + head + tied, "encoder-decoder", _ANSWERED)


def bart(fields: ConfigFields) -> Network:
    """BART, mBART, Marian, M2M-100, Pegasus: biases everywhere; positions are learned or computed."""
    width, vocab = fields.integer("d_model"), fields.integer("vocab_size")
    kind = fields.text("bart", "model_type")
    encoder = transformer_layer(width, fields.integer("encoder_ffn_dim"), INPUT_TOKENS)
    encoder = encoder.times(_count(fields, "encoder_layers"))
    over = Attended(OUTPUT_TOKENS, INPUT_TOKENS, width)
    layer = transformer_layer(width, fields.integer("decoder_ffn_dim"), OUTPUT_TOKENS)
    layer += attention(width, OUTPUT_TOKENS, over=over) + norm(width)
    decoder = layer.times(_count(fields, "decoder_layers"))
    norms, rows = BART_SURROUNDINGS[kind]
    positions = 0 if rows is None else fields.integer_or(1024, "max_position_embeddings") + rows
    around = table(vocab + 2 * positions, width) + norm(width).times(norms)
    head = Work(0, linear(width, vocab, OUTPUT_TOKENS).flop)
    return Network(encoder + decoder + around + head, "encoder-decoder", _ANSWERED)


BART_SURROUNDINGS = {"bart": (2, 2), "mbart": (4, 2), "m2m_100": (2, None), "pegasus": (2, 0), "marian": (0, 0)}
"""Norms outside the layers, and rows of the two tables of positions beyond the longest text; None: no such table."""


def _count(fields: ConfigFields, name: str) -> int:
    return fields.integer(name, most=MOST_LAYERS)


NETWORKS: Mapping[str, Callable[[ConfigFields], Network]] = {
    **dict.fromkeys(("vit", "deit", "dinov2", "dinov2_with_registers"), vision_transformer),
    **dict.fromkeys(("convnext", "convnextv2"), convnext),
    **dict.fromkeys(("wav2vec2", "hubert"), wav2vec),
    **dict.fromkeys(("t5", "mt5", "umt5"), t5),
    **dict.fromkeys(tuple(BART_SURROUNDINGS), bart),
    "swin": swin,
    "resnet": resnet,
    "clip": clip,
    "clip_vision_model": clip_vision,
    "clip_text_model": clip_text,
    "siglip": siglip,
    "siglip_vision_model": siglip_vision,
    "whisper": whisper,
}
"""Readers by ``model_type``."""


def whole_model(network: Network, family: str, name: str, checkpoint: Checkpoint) -> Model:
    """A model of which totals count and no layer: nothing of it is split or cached."""
    model = read_declared(ConfigFields({"parameters_total": network.work.parameters}, name), name, checkpoint)
    flop = network.work.flop or None
    return replace(model, family=family, task=network.task, flop_per_sample=flop, sample=network.sample)
