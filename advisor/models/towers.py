"""Parameters of the vision and audio encoders of models that also see or hear.

Towers are transformers of their own: patches in, a projector to the width of the language model out. They are loaded
with the model and take memory, but add nothing to the KV cache.
"""

from advisor.models.config_fields import ConfigFields

_PIXEL_CHANNELS = 3


def tower_parameters(fields: ConfigFields, hidden: int) -> int:
    """Parameters of the tower that ``vision_config`` describes, projector included; 0 where there is none.

    Args:
        fields: the outer configuration.
        hidden: width of the language model, which the projector ends in.
    """
    vision = fields.section("vision_config")
    if not vision.values:
        return 0
    width = vision.integer("hidden_size", "embed_dim", "vt_hidden_size")
    depth = vision.integer("num_hidden_layers", "depth", "vt_num_hidden_layers")
    inner = vision.integer_or(4 * width, "intermediate_size", "vt_intermediate_size")
    gated = vision.text("", "model_type") in ("pixtral", "qwen2_5_vl")
    layer = 4 * width * width + (3 if gated else 2) * width * inner
    biases = 0 if gated else 4 * width + inner + 5 * width
    return depth * (layer + biases) + _patches(vision, width) + _projector(vision, width, hidden)


def _patches(vision: ConfigFields, width: int) -> int:
    """The patch projection and the learned positions."""
    patch = vision.integer_or(14, "patch_size")
    frames = vision.integer_or(1, "temporal_patch_size")
    positions = vision.integer_or(0, "num_position_embeddings")
    if not positions and vision.has("image_size") and vision.text("", "model_type") != "pixtral":
        positions = (vision.integer("image_size") // patch) ** 2
    return _PIXEL_CHANNELS * patch * patch * frames * width + positions * width


def _projector(vision: ConfigFields, width: int, hidden: int) -> int:
    """Parameters from (merged) patches to the language model's width."""
    merge = vision.integer_or(1, "spatial_merge_size") ** 2
    merged = width * merge
    if merge == 1:
        return width * hidden
    return (merged * merged + merged * hidden) * (1 + len(vision.items("deepstack_visual_indexes")))
