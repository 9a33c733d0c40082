"""Diffusion transformers: FLUX, Stable Diffusion 3, PixArt; one step for one latent image of *side* × *side*."""

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.networks.work import Attended, Work, attention, feed_forward, linear, norm, scores, table

_FLUX_TOKENS, _SD3_TOKENS, _PIXART_TOKENS = 512, 333, 300
"""Tokens of a prompt: T5's of FLUX; CLIP's 77 and T5's 256 of Stable Diffusion 3; T5's of PixArt-Sigma."""
_STEP_WIDTH = 256


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
    width, head, patch = (
        _width(fields),
        fields.integer("attention_head_dim"),
        fields.integer_or(2, "patch_size", least=1),
    )
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
