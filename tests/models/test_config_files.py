"""Reading a ``config.json``: where it may be, what it may lack, and what an error says."""

import json
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.config import model_from_config
from advisor.models.model import Scope
from models.architectures import model_of

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
}


def written(directory: Path, values: object) -> Path:
    """A ``config.json`` in *directory*."""
    path = directory / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def test_file_and_directory_are_the_same_model(tmp_path: Path):
    """A model is found by the path of its configuration or of the directory that holds it."""
    path = written(tmp_path, LLAMA)

    assert find_model(str(path)).parameters_total == find_model(str(tmp_path)).parameters_total > 0


@pytest.mark.parametrize(
    ("changes", "family"), [({}, "llama3"), ({"vocab_size": 128512}, "llama"), ({"num_hidden_layers": 31}, "llama")]
)
def test_a_file_built_like_a_catalogued_model_is_of_its_family(tmp_path: Path, changes: dict[str, int], family: str):
    """Llama-3.1-8B under a name of one's own has its measurements; another vocabulary or depth has not."""
    config = {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    }  # fmt: skip
    catalogued = find_model("meta-llama/Llama-3.1-8B")

    own = find_model(str(written(tmp_path, config | changes)))
    assert own.family == family
    assert (own.layers == catalogued.layers and own.parameters_total == catalogued.parameters_total) == (not changes)


@pytest.mark.parametrize("name", ["hidden_size", "intermediate_size", "vocab_size", "num_attention_heads"])
def test_missing_field_is_named(name: str):
    """A field that decides a size is asked for by its name when it is missing."""
    values = {key: value for key, value in LLAMA.items() if key != name}

    with pytest.raises(InputError, match=f"field '{name}'"):
        model_from_config(values, name="m", where="m/config.json")


def test_missing_layers_are_named():
    """The number of layers has no default."""
    with pytest.raises(InputError, match="num_hidden_layers"):
        model_of(num_hidden_layers=None)


def test_unknown_architecture_is_named_with_the_nearest():
    """An architecture without a reader is an error that names it and what comes near."""
    with pytest.raises(InputError, match="'llamma'") as raised:
        model_of(model_type="llamma")

    assert "llama" in raised.value.hint


def test_missing_model_type():
    """Without ``model_type`` nothing is guessed."""
    with pytest.raises(InputError, match="'model_type' is missing"):
        model_of(model_type=None)


@pytest.mark.parametrize("value", ["many", 2.5, True, -4, 0, {}, []])
def test_size_that_is_no_positive_whole_number(value: object):
    """A size must be a positive whole number; the remedy is said."""
    with pytest.raises(InputError, match="hidden_size") as raised:
        model_of(hidden_size=value)
    assert raised.value.hint == "use the config.json of the model's repository unchanged"


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00"])
def test_file_that_is_no_json_object(tmp_path: Path, content: str):
    """A file that holds no JSON object is refused with its path."""
    path = written(tmp_path, content)

    with pytest.raises(InputError) as raised:
        find_model(str(path))
    assert str(path) in str(raised.value)


def test_file_that_is_not_there(tmp_path: Path):
    """A path that leads nowhere is refused with the system's reason."""
    with pytest.raises(InputError, match="cannot read"):
        find_model(str(tmp_path / "config.json"))


def test_unknown_layer_kind():
    """A layer kind that is not known is refused, with those that are."""
    with pytest.raises(InputError, match="'quantum'"):
        model_of(layer_types=["quantum"] * 4)


def test_text_model_inside_a_model_that_sees():
    """The language model is read from ``text_config``, and the tower of ``vision_config`` is a component."""
    text = dict(LLAMA, model_type="gemma3_text", head_dim=8, tie_word_embeddings=True)
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "patch_size": 14, "image_size": 56}
    model = model_from_config(
        {"model_type": "gemma3", "text_config": text, "vision_config": vision}, name="m", where="m"
    )

    assert model.task == "vlm"
    assert model.components["towers"] > 2 * (4 * 32 * 32 + 2 * 32 * 64)


@pytest.mark.parametrize(
    ("quantization", "precision", "scope"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", Scope.ALL),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4", Scope.ALL),
        ({"quant_method": "gptq", "bits": 8}, "int8", Scope.ALL),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", Scope.ALL),
        (
            {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
            "mxfp4",
            Scope.NOT_ATTENTION,
        ),
        ({"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}, "nvfp4", Scope.ALL),
        (
            {"config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}, "format": "float-quantized"},
            "fp8",
            Scope.ALL,
        ),
        (
            {
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
                "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*"],
            },
            "int4",
            Scope.EXPERTS,
        ),
    ],
)
def test_quantised_checkpoint(quantization: dict[str, object], precision: str, scope: Scope):
    """``quantization_config`` says in what precision the weights are stored, and which of them."""
    checkpoint = model_of(quantization_config=quantization).checkpoint

    assert (checkpoint.precision, checkpoint.scope) == (precision, scope)


@pytest.mark.parametrize(
    ("quantization", "side"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 128),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "float", "block_structure": [64, 64]}}
                },
            },
            64,
        ),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, 0),
        ({"quant_method": "fp8", "config_groups": {"group_0": {"weights": "8 bit"}}}, 0),
        ({"quant_method": "fp8", "weight_block_size": None}, 0),
        ({"quant_method": "fp8", "weight_block_size": []}, 0),
        ({"quant_method": "fp8", "weight_block_size": ["128", 128]}, 0),
        ({"quant_method": "fp8", "weight_block_size": [-128, 128]}, 0),
    ],
)
def test_blocks_that_share_a_scale(quantization: dict[str, object], side: int):
    """DeepSeek and compressed-tensors name the sides of a block each in their own way."""
    assert model_of(quantization_config=quantization).checkpoint.block == side


def test_notes_of_the_quantiser_beside_the_configuration(tmp_path: Path):
    """``hf_quant_config.json`` stands in for a missing ``quantization_config``."""
    written(tmp_path, LLAMA)
    notes = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(notes), encoding="utf-8")

    checkpoint = find_model(str(tmp_path)).checkpoint

    assert (checkpoint.precision, checkpoint.kv_precision) == ("fp8", "fp8")
