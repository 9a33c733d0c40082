"""Bytes of the KV cache by hand, and the blocks that vLLM divides it into."""

import pytest

from advisor.models import find_model, kv_bytes_per_token, serving_shape
from advisor.models.layer_kinds import cache_layout
from models.architectures import model_of
from models.cache_bytes import kv_cache_bytes


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("meta-llama/Llama-3.1-8B", 32 * 2 * 8 * 128),
        ("deepseek-ai/DeepSeek-R1", 61 * (512 + 64)),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 12 * 2 * 2 * 256),
        ("google/gemma-3-12b-it", 48 * 2 * 8 * 256),
        ("google/gemma-4-31B-it", 50 * 2 * 16 * 256 + 10 * 2 * 4 * 512),
        ("tiiuae/falcon-7b", 32 * 2 * 64),
        ("tiiuae/falcon-mamba-7b", 0),
        ("google-bert/bert-base-uncased", 0),
    ],
)
def test_elements_per_token(name: str, elements: int):
    """A token adds keys and values of every head, one latent vector, or nothing."""
    assert kv_bytes_per_token(find_model(name), "bf16") == 2 * elements
    assert serving_shape(find_model(name)).kv_elements_per_token == elements


@pytest.mark.parametrize(("kv_precision", "size"), [("auto", 2), ("bf16", 2), ("fp8", 1), ("fp32", 4)])
def test_precision_of_the_cache(kv_precision: str, size: int):
    """``auto`` is 16 bit, fp8 half of it."""
    assert kv_bytes_per_token(model_of(), kv_precision) == 4 * 2 * 4 * 8 * size


def test_auto_follows_a_checkpoint_that_asks_for_eight_bit():
    """Some quantised repositories have the engine keep its cache in 8 bit."""
    asking = find_model("nvidia/Llama-3.3-70B-Instruct-FP8")

    assert kv_bytes_per_token(asking, "auto") == kv_bytes_per_token(asking, "bf16") / 2


def test_window_stops_growing():
    """A windowed layer keeps no more than its window."""
    model = model_of(model_type="mistral", sliding_window=1024)

    assert kv_cache_bytes(model, "bf16", 512) < kv_cache_bytes(model, "bf16", 1024)
    assert kv_cache_bytes(model, "bf16", 1024) == kv_cache_bytes(model, "bf16", 4096)


def test_recurrent_state_does_not_grow():
    """A recurrent layer keeps its state, however long the sequence."""
    model = find_model("state-spaces/mamba-130m-hf")

    assert kv_cache_bytes(model, "bf16", 1) == kv_cache_bytes(model, "bf16", 2000)
    assert kv_cache_bytes(model, "bf16", 1) == 24 * (4 * 1536 * 16 + 2 * 1536 * 3)


def test_latent_cache_is_replicated():
    """Four ranks hold a quarter of the heads each, but the whole latent vector."""
    llama, deepseek = find_model("meta-llama/Llama-3.1-8B"), find_model("deepseek-ai/DeepSeek-R1")
    one, four = (cache_layout(llama, 2, ranks, 1) for ranks in (1, 4))
    latent_one, latent_four = (cache_layout(deepseek, 2, ranks, 1) for ranks in (1, 4))

    assert one.block_bytes == 4 * four.block_bytes
    assert latent_one.block_bytes == latent_four.block_bytes


def test_groups_of_gemma():
    """5 full layers and 29 windowed ones make seven groups of five, one layer's worth of them empty."""
    layout = cache_layout(find_model("google/gemma-3-4b-it"), 2, 1, 1)

    assert layout.copies == 7
    assert layout.block_bytes == 5 * 16 * 2 * 4 * 256 * 2
    assert layout.blocks_of_request(8192, 8192) == 512 + 6 * 513


@pytest.mark.parametrize(
    ("name", "ranks", "kv_bytes", "tokens"),
    [
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 2, 2, 544),
        ("Qwen/Qwen3.5-4B", 1, 2, 528),
        ("Qwen/Qwen3.5-27B", 1, 2, 784),
        ("Qwen/Qwen3.6-35B-A3B", 2, 1, 2096),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", 1, 1, 8320),
    ],
)
def test_blocks_of_hybrid_models(name: str, ranks: int, kv_bytes: int, tokens: int):
    """A block of attention is as long as makes it no smaller than a recurrent state, in steps of 16, as vLLM prints."""
    assert cache_layout(find_model(name), kv_bytes, ranks, 1).block_tokens == tokens


def test_states_kept_of_a_hybrid_sequence():
    """Qwen3.6-35B at 262,144 tokens: 126 blocks of attention, and one block for each state of three groups."""
    layout = cache_layout(find_model("Qwen/Qwen3.6-35B-A3B"), 1, 2, 1)

    assert layout.copies == 4
    assert layout.blocks_of_request(262144, 2048, states=1) == 126 + 3
    assert layout.blocks_of_request(262144, 2048, states=2) == 126 + 6


def test_chunked_attention_keeps_a_chunk_and_a_step():
    """Llama 4 at 131,072 tokens: 3 of 4 layers keep their chunk of 8,192 and the step, the others everything."""
    layout = cache_layout(find_model("meta-llama/Llama-4-Scout-17B-16E-Instruct"), 2, 8, 1)

    assert layout.copies == 4
    assert layout.blocks_of_request(131072, 8192) == pytest.approx(131072 / 16 + 3 * (8192 + 8192) / 16, abs=3)


def test_shape_of_a_windowed_model():
    """The share of windowed layers is the share of their cache elements."""
    shape = serving_shape(find_model("openai/gpt-oss-20b"))

    assert (shape.window_tokens, shape.window_kv_share) == (128, 0.5)
    assert (shape.n_experts, shape.experts_per_token, shape.moe_layers) == (32, 4, 24)
    assert shape.expert_params == 3 * 2880 * 2880 + 2 * 2880 + 2880


def test_shape_of_a_dense_model():
    """A dense model has no experts, and its attention width is heads × head dimension × layers."""
    shape = serving_shape(find_model("meta-llama/Llama-3.1-8B"))

    assert (shape.n_experts, shape.moe_layers, shape.window_tokens, shape.is_mla) == (0, 0, 0, False)
    assert shape.attention_width == 32 * 4096
    assert shape.flop_per_sample is None
