"""Networks of latent diffusion: the UNet of Stable Diffusion, transformers, and the autoencoder that all share."""

from collections.abc import Sequence

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.networks import sizes
from advisor.models.values import Attended, Work, attention, convolution, feed_forward, linear, norm, scores, table
from advisor.records import dataclass, replace

_FLUX_TOKENS, _SD3_TOKENS, _PIXART_TOKENS = 512, 333, 300
"""Tokens of a prompt: T5's of FLUX; CLIP's 77 and T5's 256 of Stable Diffusion 3; T5's of PixArt-Sigma."""
_STEP_WIDTH = 256
_PROMPT_TOKENS = 77
_MOST_DEPTH = 100


def _width(fields: ConfigFields) -> int:
    return fields.integer("attention_head_dim") * fields.integer("num_attention_heads")


def _embedded(inputs: int, width: int) -> Work:
    """Two matrices that bring the step, the prompt or a size to the hidden width."""
    return linear(inputs, width) + linear(width, width)


def flux(fields: ConfigFields, side: int) -> Work:
    """FluxTransformer2DModel: blocks that keep image and prompt apart, then blocks over both."""
    width, head = _width(fields), fields.integer("attention_head_dim")
    image, text = (side // 2) ** 2, _FLUX_TOKENS
    channels = fields.integer_or(64, "in_channels", least=1)
    total = linear(channels, width, image) + linear(fields.integer_or(4096, "joint_attention_dim"), width, text)
    total += _embedded(_STEP_WIDTH, width).times(1 + fields.flag("guidance_embeds", default=False))
    total += _embedded(fields.integer_or(768, "pooled_projection_dim"), width)
    both = image + text
    double = linear(width, 6 * width).times(2) + norm(head).times(2) + scores(width, both, both)
    for positions in (image, text):
        double += linear(width, width, positions).times(4) + feed_forward(width, 4 * width, positions)
    single = linear(width, 3 * width) + linear(width, width, both).times(3) + norm(head) + scores(width, both, both)
    single += linear(width, 4 * width, both) + linear(5 * width, width, both)
    total += double.times(_count(fields, "num_layers", 19)) + single.times(_count(fields, "num_single_layers", 38))
    patch = fields.integer_or(1, "patch_size", least=1)
    out = fields.integer_or(channels, "out_channels") * patch * patch
    return total + linear(width, 2 * width) + linear(width, out, image)


def sd3(fields: ConfigFields, side: int) -> Work:
    """SD3Transformer2DModel: blocks that keep image and prompt apart; the last drops the prompt."""
    width, head = _width(fields), fields.integer("attention_head_dim")
    patch = fields.integer_or(2, "patch_size", least=1)
    image, text = (side // patch) ** 2, _SD3_TOKENS
    channels, count = fields.integer_or(16, "in_channels", least=1), _count(fields, "num_layers", 18)
    total = linear(channels * patch * patch, width, image)
    total += linear(fields.integer_or(4096, "joint_attention_dim"), width, text)
    total += _embedded(_STEP_WIDTH, width) + _embedded(fields.integer_or(2048, "pooled_projection_dim"), width)
    normed = norm(head).times(2) if fields.text("", "qk_norm") else Work()
    both = image + text
    ours = linear(width, 6 * width) + linear(width, width, image).times(4) + feed_forward(width, 4 * width, image)
    theirs = linear(width, 6 * width) + linear(width, width, text).times(4) + feed_forward(width, 4 * width, text)
    last = linear(width, 2 * width) + linear(width, width, text).times(3)
    total += (ours + normed + scores(width, both, both)).times(count) + theirs.times(count - 1) + last
    again = linear(width, 3 * width) + attention(width, image) + Work(normed.parameters // 2)
    total += again.times(len(fields.items("dual_attention_layers")[:MOST_LAYERS]))
    return total + linear(width, 2 * width) + linear(width, fields.integer_or(16, "out_channels") * patch**2, image)


def pixart(fields: ConfigFields, side: int) -> Work:
    """PixArtTransformer2DModel: a transformer over patches that looks at the prompt in each layer."""
    width, patch = _width(fields), fields.integer_or(2, "patch_size", least=1)
    image, text = (side // patch) ** 2, _PIXART_TOKENS
    total = linear(fields.integer_or(4, "in_channels", least=1) * patch**2, width, image)
    total += _embedded(_STEP_WIDTH, width) + linear(width, 6 * width)
    if fields.flag("use_additional_conditions", default=fields.integer_or(128, "sample_size") == 128):
        total += _embedded(_STEP_WIDTH, width // 3).times(2)
    total += linear(fields.integer_or(4096, "caption_channels"), width, text) + linear(width, width, text)
    layer = attention(width, image) + attention(width, image, over=Attended(image, text, width))
    layer += feed_forward(width, 4 * width, image) + table(6, width)
    total += layer.times(_count(fields, "num_layers", 28)) + table(2, width)
    return total + linear(width, fields.integer_or(8, "out_channels") * patch**2, image)


def _count(fields: ConfigFields, name: str, default: int) -> int:
    return min(fields.integer_or(default, name), MOST_LAYERS)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks at one resolution."""

    width: int
    layers: int
    depth: int
    """Transformer layers behind each block; 0: none."""
    context: int
    """Width of the prompt's hidden states."""
    positions: float


def unet(fields: ConfigFields, side: int) -> Work:
    """UNet2DConditionModel: one step for one latent image of *side* × *side*."""
    widths = sizes(fields, "block_out_channels")
    kinds = [str(kind) for kind in fields.items("down_block_types")]
    layers = _each(fields, "layers_per_block", 2, len(widths))
    depths = _each(fields, "transformer_layers_per_block", 1, len(widths))
    contexts = _each(fields, "cross_attention_dim", 1280, len(widths))
    stages = []
    for at, width in enumerate(widths):
        attends = "CrossAttn" in kinds[at] if at < len(kinds) else at < len(widths) - 1
        positions = (side / 2**at) ** 2
        stages.append(_Stage(width, layers[at], depths[at] if attends else 0, contexts[at], positions))
    time = 4 * widths[0]
    total = convolution(fields.integer_or(4, "in_channels", least=1), widths[0], 9, side * side)
    total += linear(widths[0], time) + linear(time, time)
    if fields.text("", "addition_embed_type") == "text_time":
        total += linear(fields.integer("projection_class_embeddings_input_dim"), time) + linear(time, time)
    inputs, skips = widths[0], [widths[0]]
    for number, stage in enumerate(stages):
        for _ in range(stage.layers):
            total += _residual(inputs, stage.width, time, stage.positions) + _attending(stage)
            inputs = stage.width
            skips.append(inputs)
        if number < len(stages) - 1:
            total += convolution(inputs, inputs, 9, stage.positions / 4)
            skips.append(inputs)
    last = stages[-1]
    middle = last if last.depth else replace(last, depth=depths[-1])
    total += _residual(inputs, inputs, time, last.positions).times(2) + _attending(middle)
    total += _upwards(stages, skips, time)
    return total + norm(widths[0]) + convolution(widths[0], fields.integer_or(4, "out_channels"), 9, side * side)


def _upwards(stages: Sequence[_Stage], skips: list[int], time: int) -> Work:
    """The way back: one block more at each resolution, each beside what the way down left."""
    total, inputs = Work(), stages[-1].width
    for number, stage in enumerate(reversed(stages)):
        for _ in range(stage.layers + 1):
            total += _residual(inputs + skips.pop(), stage.width, time, stage.positions) + _attending(stage)
            inputs = stage.width
        if number < len(stages) - 1:
            total += convolution(inputs, inputs, 9, stage.positions * 4)
    return total


def _residual(inputs: int, outputs: int, time: int, positions: float) -> Work:
    """Two convolutions, the step's embedding between them (none in an autoencoder), and a shortcut."""
    body = norm(inputs) + convolution(inputs, outputs, 9, positions) + norm(outputs)
    body += convolution(outputs, outputs, 9, positions) + (linear(time, outputs) if time else Work())
    return body + (linear(inputs, outputs, positions) if inputs != outputs else Work())


def _attending(stage: _Stage) -> Work:
    """A transformer over all positions, which also looks at the prompt."""
    if not stage.depth:
        return Work()
    width, positions = stage.width, stage.positions
    layer = attention(width, positions, bias=1) + norm(width).times(3)
    layer += attention(width, positions, bias=1, over=Attended(positions, _PROMPT_TOKENS, stage.context))
    layer += linear(width, 8 * width, positions) + linear(4 * width, width, positions)
    return layer.times(stage.depth) + norm(width) + linear(width, width, positions).times(2)


def _each(fields: ConfigFields, name: str, default: int, count: int) -> list[int]:
    """One number for each stage, however it is written."""
    listed = sizes(fields, name) if fields.items(name) else [fields.integer_or(default, name, least=1)]
    shown = (listed * count if len(listed) == 1 else listed + listed[-1:] * count)[:count]
    return [min(number, _MOST_DEPTH) if name != "cross_attention_dim" else number for number in shown]


def autoencoder(fields: ConfigFields, side: int) -> Work:
    """AutoencoderKL: parameters of both halves, FLOPs of decoding one image of *side* × *side*."""
    widths, layers = sizes(fields, "block_out_channels"), _each(fields, "layers_per_block", 1, 1)[0]
    latent, colours = fields.integer_or(4, "latent_channels", least=1), fields.integer_or(3, "out_channels", least=1)
    lowest = float((side >> (len(widths) - 1)) ** 2)
    encoder = _half(widths, layers, lowest * 4 ** (len(widths) - 1), 0.25)
    encoder += convolution(colours, widths[0], 9, 0) + convolution(widths[-1], 2 * latent, 9, 0) + norm(widths[-1])
    decoder = _half(widths[::-1], layers + 1, lowest, 4.0)
    decoder += convolution(latent, widths[-1], 9, lowest) + norm(widths[0])
    decoder += convolution(widths[0], colours, 9, lowest * 4 ** (len(widths) - 1))
    if fields.flag("use_quant_conv", default=True):
        encoder += linear(2 * latent, 2 * latent)
        decoder += linear(latent, latent, lowest)
    return Work(encoder.parameters) + decoder


def _half(widths: Sequence[int], layers: int, positions: float, growth: float) -> Work:
    """Blocks from one end to the other, resampled between them, with attention at the lowest resolution."""
    deepest = max(widths)
    lowest = positions if growth > 1 else positions * growth ** (len(widths) - 1)
    middle = _residual(deepest, deepest, 0, lowest).times(2) + attention(deepest, lowest) + norm(deepest)
    total, inputs = middle, widths[0]
    for number, width in enumerate(widths):
        for _ in range(layers):
            total += _residual(inputs, width, 0, positions)
            inputs = width
        if number < len(widths) - 1:
            positions *= growth
            total += convolution(width, width, 9, positions)
    return total
