"""LoRA adapters: parameters against published counts, slots, and which of them are in when a request comes."""

import random

import pytest

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.models import FitRequest, find_model, fit_memory
from advisor.models.adapters import (
    MODULES,
    adapter_engine,
    adapter_parameters,
    rank_bytes,
    slot_bytes,
    stored_bytes,
    with_adapters,
)
from advisor.models.model import ALL, Adapters, NamedAdapter
from advisor.units import BYTES_PER_GIB

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
QUERY_VALUE = ("q_proj", "v_proj")
VLLM, SGLANG = adapter_engine("vLLM"), adapter_engine("SGLang")


@pytest.mark.parametrize(
    ("name", "rank", "targets", "parameters"),
    [
        # What print_trainable_parameters of PEFT shows in public notebooks and model cards.
        (LLAMA_8B, 16, (ALL,), 41_943_040),
        (LLAMA_8B, 16, MODULES, 41_943_040),
        (LLAMA_8B, 16, QUERY_VALUE, 6_815_744),
        (LLAMA_8B, 8, QUERY_VALUE, 3_407_872),
        ("meta-llama/Llama-3.1-70B-Instruct", 16, (ALL,), 207_093_760),
        ("mistralai/Mistral-7B-v0.1", 16, (ALL,), 41_943_040),
        ("Qwen/Qwen2.5-7B-Instruct", 16, (ALL,), 40_370_176),
        ("google/gemma-2-9b-it", 16, (ALL,), 54_018_048),
    ],
)
def test_parameters_are_those_that_peft_counts(name, rank, targets, parameters):
    """R × (in + out) of each target module and layer."""
    assert adapter_parameters(find_model(name), rank, targets) == parameters


def test_a_network_without_a_gate_has_two_matrices():
    """StarCoder2: up and down, and no gate."""
    model = find_model("bigcode/starcoder2-7b")
    up, gate = (adapter_parameters(model, 8, (module,)) for module in ("up_proj", "gate_proj"))

    assert gate == 0
    assert up == 8 * (model.hidden + 4 * model.hidden) * model.n_layers


def test_each_expert_has_an_adapter_of_its_own():
    """128 experts of three matrices in each of 48 layers."""
    model = find_model("Qwen/Qwen3-30B-A3B")

    assert adapter_parameters(model, 16, ("down_proj",)) == 48 * 128 * 16 * (768 + 2048)


def test_slots_are_of_the_rank_that_the_engine_is_started_for():
    """VLLM knows some ranks alone; SGLang takes any, and keeps the modules that the adapters have."""
    adapted = with_adapters(find_model(LLAMA_8B), Adapters(4, 20, QUERY_VALUE))

    assert VLLM.started_rank(20) == 32
    assert slot_bytes(adapted, VLLM, 1) == 2 * adapter_parameters(adapted, 32, (ALL,))
    assert slot_bytes(adapted, SGLANG, 1) == 2 * adapter_parameters(adapted, 20, ("q_proj", "k_proj", "v_proj"))
    assert rank_bytes(adapted, SGLANG, 1) == 5 * slot_bytes(adapted, SGLANG, 1)


def test_one_of_two_matrices_is_split_over_ranks():
    """Of a slot of Llama 3.1 8B at rank 16, a rank of four holds the halves that are not split whole."""
    adapted = with_adapters(find_model(LLAMA_8B), Adapters(1, 16))
    whole, of_four = (slot_bytes(adapted, VLLM, ranks) for ranks in (1, 4))
    by_outputs = 4096 * 5 + (4096 + 1024 + 1024 + 14336 + 14336) / 4  # of queries, keys, values, gate, up
    by_inputs = (4096 + 14336) / 4 + 4096 * 2  # of the attention's output, down

    assert of_four == 2 * 32 * 16 * (by_outputs + by_inputs)
    assert whole / 4 < of_four < whole


def test_slots_come_out_of_the_cache_and_adapters_out_of_the_disk():
    """24 adapters of Llama 3.1 8B: what they take on the accelerator is missing from the KV cache, to the byte."""
    model = find_model(LLAMA_8B)
    adapted = with_adapters(model, Adapters(24, 16))
    request = FitRequest(44.5, 1, 1, context_tokens=4096)
    without, fit = fit_memory(model, request), fit_memory(adapted, request)
    slots_gib = rank_bytes(adapted, VLLM, 1) / BYTES_PER_GIB

    assert slots_gib == pytest.approx(24 * (2 * 41_943_040 + 2 * 2 * 16 * (128_256 + 4096)) / BYTES_PER_GIB)
    assert without.kv_cache_gib_available - fit.kv_cache_gib_available == pytest.approx(slots_gib)
    assert fit.adapters_gib == pytest.approx(slots_gib)
    assert fit.checkpoint_gib - without.checkpoint_gib == pytest.approx(24 * 2 * 41_943_040 / BYTES_PER_GIB)
    assert fit.adapters_host_gib == pytest.approx(24 * 2 * 41_943_040 / BYTES_PER_GIB)
    assert without.adapters_gib == without.adapters_host_gib == 0


def test_a_full_accelerator_names_the_adapters():
    """The reason has their part of the sum."""
    adapted = with_adapters(find_model(LLAMA_8B), Adapters(400, 64))
    fit = fit_memory(adapted, FitRequest(44.5, 1, 1, context_tokens=4096))

    assert not fit.fits
    assert f"+ adapters {fit.adapters_gib:.1f} +" in fit.reason


def test_bytes_of_a_file_count_before_those_of_shapes():
    """Named adapters are as large as their headers say, the others by rank and shapes."""
    named = (NamedAdapter("a/x", 16, parameters=1_000_000), NamedAdapter("a/y", 8, QUERY_VALUE))
    adapted = with_adapters(find_model(LLAMA_8B), Adapters(2, 16, named=named))

    assert stored_bytes(adapted) == 2 * (1_000_000 + 3_407_872)


@pytest.mark.parametrize("shares", [(None,) * 12, (0.4, 0.2, 0.1, *(None,) * 9)])
def test_misses_are_those_of_a_simulated_cache(shares):
    """Least recently used eviction over 200,000 requests, with four slots for twelve adapters."""
    named = tuple(NamedAdapter(f"a/{at}", 8, share=share) for at, share in enumerate(shares))
    adapters = Adapters(12, 8, active=4, named=named)
    draw, held, missed = random.Random(1), [], 0
    asked = draw.choices(range(12), adapters.shares, k=200_000)
    for adapter in asked:
        if adapter in held:
            held.remove(adapter)
        else:
            missed += 1
        held = [*held, adapter][-4:]

    assert adapters.miss_ratio == pytest.approx(missed / len(asked), abs=0.01)


def test_requests_at_a_time_are_for_no_more_adapters_than_have_slots():
    """On average of random batches, and one more would be for more."""
    adapters = Adapters(24, 8, active=8)
    draw = random.Random(2)

    def different(batch):
        return sum(len(set(draw.choices(range(24), k=batch))) for _ in range(20_000)) / 20_000

    most = adapters.most_sequences
    assert different(most) <= 8 < different(most + 1)
    assert Adapters(24, 8).most_sequences is None
    assert Adapters(24, 8).miss_ratio == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [("BAAI/bge-m3", "answers in one pass"), ("deepseek-ai/DeepSeek-V3", "latent attention"), ("Qwen/Qwen3-Next-80B-A3B-Instruct", "recurrent layers")],
)  # fmt: skip
def test_models_without_known_modules_are_refused(name, words):
    """With what to do in place of it."""
    with pytest.raises(InputError, match=words) as refused:
        with_adapters(find_model(name), Adapters(1, 16))
    assert "merge" in refused.value.hint


def test_every_engine_of_the_catalog_has_a_row():
    """Whether it serves adapters, or why none are planned on it."""
    for name in load_catalog().generating_engines:
        engine = adapter_engine(name)
        assert engine.engine == name
        assert engine.is_supported != bool(engine.reason)
        assert engine.step_ratio >= 1
    assert not adapter_engine("other").is_supported
