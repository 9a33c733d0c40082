"""Networks that take one image: vision transformers, Swin, ConvNeXt, ResNet, and CLIP and SigLIP with their texts."""

from math import prod

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.values import (
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
    inner, count = fields.integer_or(3072, "intermediate_size", least=1), fields.integer_or(12, "num_hidden_layers")
    body = transformer_layer(width, inner, patches + 1).times(min(count, MOST_LAYERS))
    body += convolution(_channels(fields), width, patch * patch, patches, bias=False) + norm(width).times(2)
    return Network(body + table(patches + 2, width) + _projection(fields, width), "vision", _image(side))


def clip_text(fields: ConfigFields) -> Network:
    """The text tower of CLIP, which diffusion models read prompts with."""
    width, tokens = width_of(fields, 512), fields.integer_or(77, "max_position_embeddings", least=1)
    inner, count = fields.integer_or(2048, "intermediate_size", least=1), fields.integer_or(12, "num_hidden_layers")
    body = transformer_layer(width, inner, tokens).times(min(count, MOST_LAYERS)) + norm(width)
    body += table(fields.integer_or(49408, "vocab_size") + tokens, width)
    return Network(body + _projection(fields, width), "encoder", f"one text of {tokens} tokens")


def _projection(fields: ConfigFields, width: int) -> Work:
    has_projection = "WithProjection" in str(fields.items("architectures"))
    return linear(width, fields.integer_or(512, "projection_dim"), bias=False) if has_projection else Work()


def siglip(fields: ConfigFields) -> Network:
    """SigLIP: CLIP with a pooled head on images and a linear one on texts."""
    seen, texts = fields.section("vision_config"), fields.section("text_config")
    width, tokens = width_of(texts, 768), texts.integer_or(64, "max_position_embeddings", least=1)
    inner, count = texts.integer_or(3072, "intermediate_size", least=1), texts.integer_or(12, "num_hidden_layers")
    text = transformer_layer(width, inner, tokens).times(min(count, MOST_LAYERS)) + norm(width)
    text += table(texts.integer_or(32_000, "vocab_size") + tokens, width) + linear(width, width)
    sample = f"{_image(_side(seen))} and one text of {tokens} tokens"
    return Network(siglip_vision(seen).work + text + Work(2), "vision", sample)


def siglip_vision(fields: ConfigFields) -> Network:
    """The vision tower of SigLIP with its pooling head."""
    width, side, patch = width_of(fields, 768), _side(fields), fields.integer_or(16, "patch_size", least=1)
    patches = (side // patch) ** 2
    inner, count = fields.integer_or(3072, "intermediate_size", least=1), fields.integer_or(12, "num_hidden_layers")
    body = transformer_layer(width, inner, patches).times(min(count, MOST_LAYERS))
    body += convolution(_channels(fields), width, patch * patch, patches) + norm(width) + table(patches, width)
    pooling = linear(width, width, patches).times(2) + linear(width, width).times(2) + feed_forward(width, inner, 1)
    pooling += scores(width, 1, patches)
    return Network(body + pooling + norm(width) + Work(width), "vision", _image(side))


def width_of(fields: ConfigFields, default: int) -> int:
    """Width of the hidden state."""
    return fields.integer_or(default, "hidden_size", least=1)


def sizes(fields: ConfigFields, name: str, most: int = 16) -> list[int]:
    """Whole numbers of a list, one for each of at most *most* stages.

    Raises:
        InputError: there are none, or they are no sizes.
    """
    listed = fields.items(name)
    if not 1 <= len(listed) <= most or prod(isinstance(size, int) for size in listed) == 0:
        raise fields.missing((name,))
    return [ConfigFields({name: size}, fields.where).integer(name) for size in listed]


def _side(fields: ConfigFields) -> int:
    """Pixels of a side of the image, which may be given as a pair of equal ones."""
    return fields.integer_or(224, "image_size", least=1)


def _channels(fields: ConfigFields) -> int:
    return fields.integer_or(3, "num_channels", least=1)


def _image(side: int) -> str:
    return f"one image of {side} × {side}"
