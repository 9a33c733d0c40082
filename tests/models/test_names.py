"""Finding a model by the names in use."""

import pytest

from advisor.errors import InputError
from advisor.models import find_model, model_names
from advisor.models.catalog import _aliases, _rows

LLAMA_8B = 8_030_261_248


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.1-8B-Instruct",
        "META-LLAMA/llama-3.1-8b",
        "Meta-Llama-3.1-8B-Instruct",
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16",
        "nvidia/Llama-3.1-8B-Instruct-FP8",
        "unsloth/Llama-3.1-8B-Instruct-GGUF",
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
    ],
)
def test_one_architecture_under_many_names(name: str):
    """Case, owner, and the marks of a repack do not change the architecture."""
    assert find_model(name).parameters_total == LLAMA_8B


@pytest.mark.parametrize(
    ("name", "precision", "kv_precision"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "bf16", "auto"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "fp8", "auto"),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "nvfp4", "fp8"),
        ("TheBloke/Llama-2-7b-Chat-AWQ", "int4", "auto"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "int8", "auto"),
        ("openai/gpt-oss-20b", "mxfp4", "auto"),
        ("unsloth/gpt-oss-20b-BF16", "bf16", "auto"),
        ("deepseek-ai/DeepSeek-R1", "fp8", "auto"),
    ],
)
def test_name_tells_the_precision_of_the_checkpoint(name: str, precision: str, kv_precision: str):
    """The precision of a repository is its own, or what its name says."""
    checkpoint = find_model(name).checkpoint

    assert (checkpoint.precision, checkpoint.kv_precision) == (precision, kv_precision)


def test_unknown_name_has_near_ones():
    """A misspelt name is answered with the nearest catalogued names."""
    with pytest.raises(InputError, match="is not known") as raised:
        find_model("Qwen/Qwen3-31B")

    assert "Qwen/Qwen3-32B" in raised.value.hint


def test_a_fine_tune_with_a_name_of_its_own_is_not_guessed():
    """A name that only begins like a known one is not taken for it."""
    with pytest.raises(InputError):
        find_model("somebody/Llama-3.1-8B-poetry")


@pytest.mark.parametrize("name", model_names())
def test_every_catalogued_model_can_be_built(name: str):
    """Each row gives a model of the published size, within a tenth of a percent."""
    model = find_model(name)
    published = _rows()[name.lower()]["published_parameters_total"]

    assert model.name == name
    assert model.parameters_total > 0
    assert 0 < model.parameters_active <= model.parameters_total
    if published:
        assert model.parameters_total == pytest.approx(int(published), rel=1e-3)


def test_aliases_lead_to_rows():
    """Every other name leads to a row, and hides none."""
    for alias, target in _aliases().items():
        assert target in _rows()
        assert alias not in _rows()
