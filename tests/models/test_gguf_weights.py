"""Bytes of a GGUF that llama.cpp makes of a model, against files that others published."""

import pytest

from advisor.models import find_model, weight_bytes
from advisor.models.weights import gguf_bytes, loaded_by

PUBLISHED = [
    ("meta-llama/Llama-3.2-1B-Instruct", "Q4_K_M", 0.81),
    ("meta-llama/Llama-3.2-1B-Instruct", "Q8_0", 1.32),
    ("meta-llama/Llama-3.1-8B-Instruct", "Q4_K_M", 4.92),
    ("meta-llama/Llama-3.1-8B-Instruct", "Q8_0", 8.54),
    ("meta-llama/Llama-3.1-70B-Instruct", "Q4_K_M", 42.52),
    ("meta-llama/Llama-3.1-70B-Instruct", "Q8_0", 74.98),
]
"""GB as the repositories of bartowski on the hub list their files, which hold the vocabulary too."""


@pytest.mark.parametrize(("name", "quantisation", "gigabytes"), PUBLISHED)
def test_files_are_as_large_as_published_ones(name, quantisation, gigabytes):
    """Within 2 %, of which the vocabulary of a small model is most."""
    assert gguf_bytes(find_model(name), quantisation) == pytest.approx(gigabytes * 1e9, rel=0.02)


def test_rows_that_no_block_divides_are_wider():
    """896 is no multiple of 256: matrices are Q5_0, the head Q8_0, and down projections keep their blocks (4864)."""
    model = find_model("Qwen/Qwen2.5-0.5B-Instruct")
    assert 8 * gguf_bytes(model, "Q4_K_M") / model.parameters_total > 6.3


def test_engines_load_what_they_read():
    """llama.cpp holds blocks of its own, and what it serves in 16 bit as published; vLLM an AWQ checkpoint."""
    model = find_model("meta-llama/Llama-3.2-1B-Instruct")
    assert loaded_by(model, "vLLM", "int4") is model
    assert loaded_by(model, "llama.cpp server", "bf16") is model
    loaded = loaded_by(model, "llama.cpp server", "int4")
    assert loaded.checkpoint.quantisation == "Q4_K_M"
    assert weight_bytes(loaded, "int4") == pytest.approx(gguf_bytes(model, "Q4_K_M"), abs=1)
    assert weight_bytes(loaded, "int4") < 0.8 * weight_bytes(model, "int4")
