"""Pictures in the prompts of language models: tokens as servers counted them, patches and FLOPs by hand."""

import json

import pytest

from advisor.models import find_model
from advisor.models.pictures import Encoded, picture_rules

TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "patch_size": 14}


def model(tmp_path, vision, **outer):
    """A small language model with a tower."""
    text = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    text |= {"intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 4096}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text, "vision_config": TOWER | vision} | outer))
    return find_model(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        ("Qwen/Qwen2.5-VL-72B-Instruct", (1280, 720), 1198),  # sgl-cookbook: 23,960 of twenty
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", (1280, 720), 882),  # sgl-cookbook: 17,640 of twenty
        ("google/gemma-4-31B-it", (1280, 720), 267),  # sgl-cookbook: 5,340 of twenty
        ("google/gemma-3-4b-it", (1280, 720), 256 + 4),
        ("google/gemma-3-4b-it", (64, 64), 256 + 4),
        ("Qwen/Qwen2.5-VL-7B-Instruct", (28, 28), 4 + 2),
        ("Qwen/Qwen2.5-VL-7B-Instruct", (9000, 9000), 128 * 128 + 2),
        ("mistralai/Pixtral-12B-2409", (2048, 1024), 64 * 32 + 32),
    ],
)
def test_tokens_of_a_picture(name, size, tokens):
    """As published runs counted them, and as the limits of each family's rule leave them."""
    assert find_model(name).vision.encoded(*size).tokens == tokens


def test_flops_by_hand(tmp_path):
    """Sixteen patches, four tokens: 2 FLOPs a parameter and patch, and attention of each patch to all."""
    tower = model(tmp_path, {"model_type": "qwen2_vl", "spatial_merge_size": 2}).vision
    assert tower.encoded(56, 56) == Encoded(1, 16, 4 + 2)
    layer, projection, projector = 4 * 32**2 + 2 * 32 * 64, 3 * 14 * 14 * 32, 128 * 128 + 128 * 64
    by_hand = 16 * (2 * (2 * layer + projection) + 4 * 32 * 2 * 16) + 2 * projector * 4
    assert tower.flop(56, 56) == by_hand


def test_layers_with_windows_see_less(tmp_path):
    """Of two layers one sees four patches in place of all sixteen."""
    vision = {"model_type": "qwen2_5_vl", "spatial_merge_size": 2}
    windows = vision | {"window_size": 28, "fullatt_block_indexes": [1]}
    places = [tmp_path / name for name in ("whole", "windowed")]
    for place in places:
        place.mkdir()
    towers = [model(*of).vision for of in zip(places, (vision, windows), strict=True)]
    whole, windowed = (tower.flop(56, 56) for tower in towers)
    assert whole - windowed == 16 * 4 * 32 * (16 - 4)


@pytest.mark.parametrize(
    ("size", "parts"),
    [((448, 448), 1), ((896, 448), 3), ((896, 896), 5), ((1344, 896), 7), ((4000, 300), 13)],
)
def test_tiles_fit_the_shape_of_a_picture(tmp_path, size, parts):
    """The grid of up to twelve that is nearest in shape, and the whole once more; 256 tokens each."""
    tower = model(tmp_path, {"model_type": "intern_vit_6b", "image_size": 448}).vision
    assert tower.encoded(*size) == Encoded(parts, 1024, parts * 256 + 2)


def test_a_tower_without_a_rule_has_parameters_alone(tmp_path):
    """What its pictures take is not known; nothing is made up."""
    unknown = model(tmp_path, {"model_type": "of_another_kind"})
    assert unknown.vision is None
    assert unknown.components["towers"] > 0
    assert "of_another_kind" not in picture_rules()
