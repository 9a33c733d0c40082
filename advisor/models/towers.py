"""Vision and audio encoders of models that also see or hear: their parameters, and what a picture takes there.

Towers are transformers of their own: patches in, a projector to the width of the language model out. They are loaded
with the model and take memory, but add nothing to the KV cache.
"""

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.pictures import VisionTower, rule_of

_PIXEL_CHANNELS = 3
_PATCH = 14
"""Side of a patch in pixels, where a configuration does not say."""


def tower_parameters(fields: ConfigFields, hidden: int) -> int:
    """Parameters of the tower that ``vision_config`` describes, projector included; 0 where there is none.

    Args:
        fields: the outer configuration.
        hidden: width of the language model, which the projector ends in.
    """
    vision = fields.section("vision_config")
    if not vision.values:
        return 0
    width, depth = _width(vision), _layers(vision)
    inner = vision.integer_or(4 * width, "intermediate_size", "vt_intermediate_size")
    biases = 0 if _is_gated(vision) else 4 * width + inner + 5 * width
    patches = _patch_projection(vision, width) + _positions(vision) * width
    return depth * (_layer(vision, width) + biases) + patches + _projector(vision, width, hidden)


def vision_tower(fields: ConfigFields, hidden: int) -> VisionTower | None:
    """The tower that ``vision_config`` describes; None where there is none, or its family's rule is not known.

    Args:
        fields: the outer configuration.
        hidden: width of the language model, which the projector ends in.
    """
    vision, rule = fields.section("vision_config"), rule_of(fields)
    if not vision.values or rule is None:
        return None
    width, layers, patch = _width(vision), _layers(vision), vision.integer_or(_PATCH, "patch_size")
    windowed = vision.has("window_size") and vision.has("fullatt_block_indexes")
    return VisionTower(
        rule=rule,
        layers=layers,
        width=width,
        layer_parameters=_layer(vision, width),
        patch_parameters=_patch_projection(vision, width),
        projector_parameters=_projector(vision, width, hidden),
        patch_pixels=patch,
        merge=rule.merge or vision.integer_or(1, "spatial_merge_size"),
        side_pixels=vision.integer_or(0, "image_size"),
        window_patches=(vision.integer("window_size") // patch) ** 2 if windowed else 0,
        full_layers=len(vision.items("fullatt_block_indexes")) if windowed else layers,
    )


def _width(vision: ConfigFields) -> int:
    return vision.integer("hidden_size", "embed_dim", "vt_hidden_size")


def _layers(vision: ConfigFields) -> int:
    return vision.integer("num_hidden_layers", "depth", "vt_num_hidden_layers", most=MOST_LAYERS)


def _is_gated(vision: ConfigFields) -> bool:
    return vision.text("", "model_type") in ("pixtral", "qwen2_5_vl", "gemma4_vision")


def _layer(vision: ConfigFields, width: int) -> int:
    """Parameters of the matrices of one layer."""
    inner = vision.integer_or(4 * width, "intermediate_size", "vt_intermediate_size")
    return 4 * width * width + (3 if _is_gated(vision) else 2) * width * inner


def _patch_projection(vision: ConfigFields, width: int) -> int:
    patch, frames = vision.integer_or(_PATCH, "patch_size"), vision.integer_or(1, "temporal_patch_size")
    return _PIXEL_CHANNELS * patch * patch * frames * width


def _positions(vision: ConfigFields) -> int:
    """Learned positions."""
    if vision.has("position_embedding_size"):
        return 2 * vision.integer("position_embedding_size")  # of columns and of rows
    positions = vision.integer_or(0, "num_position_embeddings")
    if not positions and vision.has("image_size") and vision.text("", "model_type") != "pixtral":
        return (vision.integer("image_size") // vision.integer_or(_PATCH, "patch_size")) ** 2
    return positions


def _projector(vision: ConfigFields, width: int, hidden: int) -> int:
    """Parameters from (merged) patches to the language model's width."""
    merge = vision.integer_or(1, "spatial_merge_size") ** 2
    merged = width * merge
    if merge == 1:
        return width * hidden
    return (merged * merged + merged * hidden) * (1 + len(vision.items("deepstack_visual_indexes")))
