"""Memory of engines beside weights and cache: rows, steps and graphs, by hand."""

from dataclasses import replace

import pytest

from advisor.models import find_model
from advisor.models.memory import (
    choose,
    engine_memory,
    engine_of,
    graphs_gib,
    runtime_gib,
    step_memory,
    step_size,
    workspace_gib,
)

GIB = 2**30
ENGINE = replace(
    engine_memory("vLLM", "0.19"), sequences=256, sequences_large=1024, step_tokens=2048, step_tokens_large=8192,
    step_is_context=False, sampler_bytes_per_logit=40.0, workspace_base_gib=0.5, tower_gib=0.25, graph_base_gib=0.5,
    graph_layer_gib=0.125, graph_expert_layer_gib=0.0625, runtime_gib=0.3, runtime_parallel_gib=0.4,
    runtime_parallel_large_gib=0.6,
)  # fmt: skip
LLAMA, MOE, ENCODER = (
    find_model(name) for name in ("meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V2-Lite", "google-bert/bert-base-uncased")
)  # fmt: skip


@pytest.mark.parametrize(
    ("memory_gib", "accelerator", "large"),
    [(69.9, "H100", False), (70.0, "H100", True), (80.0, "A100-80GB-SXM", False), (192.0, "MI300X", True)],
)
def test_accelerators_of_70_gib_and_more_take_large_steps(memory_gib, accelerator, large):
    """But A100s, however much memory they have."""
    step = step_size(ENGINE, memory_gib, accelerator, 1000)
    assert (step.sequences, step.tokens, step.large) == ((1024, 8192, True) if large else (256, 2048, False))
    assert step_size(replace(ENGINE, step_is_context=True), memory_gib, accelerator, 32_000).tokens == 32_000


def test_runtime_is_that_of_one_alone_or_of_several_by_size():
    """0.3 alone on any accelerator; together 0.4 on small ones and 0.6 on large ones."""
    small, large = (step_size(ENGINE, gib, "H100", 1000) for gib in (24.0, 80.0))
    assert [runtime_gib(ENGINE, step, ranks) for step in (small, large) for ranks in (1, 2)] == [0.3, 0.4, 0.3, 0.6]


def test_a_step_of_a_dense_model_by_hand():
    """2,048 tokens of 4,096 hidden values and 14,336 of the network, over two ranks; 256 sequences of 128,256 logits."""
    step = step_memory(LLAMA, step_size(ENGINE, 24.0, "L4", 1000), 2, "bf16")

    assert step.forward_gib == pytest.approx(2048 * 2 * 3 * (4096 + 14_336 / 2) / GIB)
    assert step.kept_gib == pytest.approx(2048 * 2 * 4096 / GIB)
    assert step.logits_gib == pytest.approx(256 * 128_256 / GIB)
    assert (step.experts_gib, step.towers, step.graph_layers, step.graph_expert_layers) == (0.0, False, 32, 0)
    assert step.graph_share == 0.5
    wide = step_memory(LLAMA, step_size(ENGINE, 24.0, "L4", 1000), 2, "fp32")
    assert wide.kept_gib - step.kept_gib == pytest.approx(2 * 256 * 128_256 / GIB)


def test_a_step_of_a_model_with_experts_by_hand():
    """Width: the first layer is dense, 10,944; the others send a token to six of 1,408 and to two shared ones."""
    step = step_memory(MOE, step_size(ENGINE, 80.0, "H100", 1000), 1, "bf16")

    assert step.forward_gib == pytest.approx(8192 * 2 * 3 * (2048 + max(10_944, 8 * 1408)) / GIB)
    assert step.experts_gib == pytest.approx(8192 * 2 * 6 * (2048 + 2 * 1408) / GIB)
    assert (step.graph_layers, step.graph_expert_layers, step.graph_share) == (27, 26, 1.0)
    assert step_memory(MOE, step_size(ENGINE, 80.0, "H100", 1000), 1, "mxfp4").experts_gib == 0.0


def test_a_step_without_feed_forward_networks_keeps_hidden_states_alone():
    """Falcon-mamba mixes tokens and does nothing else: 4,096 values three times."""
    step = step_memory(find_model("tiiuae/falcon-mamba-7b"), step_size(ENGINE, 24.0, "L4", 1000), 1, "bf16")
    assert step.forward_gib == 2048 * 2 * 3 * 4096 / GIB


def test_an_encoder_captures_no_graphs_and_samples_nothing():
    """What generates no text has neither."""
    step = step_memory(ENCODER, step_size(ENGINE, 24.0, "L4", 512), 1, "bf16")
    assert (step.graph_layers, step.graph_expert_layers, step.logits_gib) == (0, 0, 0.0)
    assert graphs_gib(ENGINE, step) == 0.0


@pytest.mark.parametrize(("precision", "number"), [("fp16", 2), ("fp32", 4)])
def test_a_sparse_encoder_holds_the_vocabulary_for_each_token_of_a_batch(precision, number):
    """16,384 tokens of the server's batches, 30,522 weights each, and their logarithms."""
    size = step_size(ENGINE, 24.0, "L4", 512)
    sparse, dense = (
        step_memory(find_model(name), size, 1, precision).forward_gib
        for name in ("naver/splade-v3", "google-bert/bert-base-uncased")
    )
    assert sparse - dense == pytest.approx(2 * 16_384 * 30_522 * number / GIB)


def test_workspace_by_hand():
    """The larger of a step and of sampling, with the towers of a model that sees, and graphs where they count."""
    step = step_memory(MOE, step_size(ENGINE, 24.0, "L4", 1000), 1, "bf16")
    graphs = (0.5 + 27 * 0.125 + 26 * 0.0625) * 0.5
    sampling = step.kept_gib + 40 * step.logits_gib
    counted, uncounted = replace(ENGINE, graphs_counted=True), replace(ENGINE, graphs_counted=False)

    assert graphs_gib(ENGINE, step) == pytest.approx(graphs)
    usual = 0.5 + max(step.forward_gib, sampling) + step.experts_gib
    assert workspace_gib(uncounted, step) == pytest.approx(usual)
    assert workspace_gib(counted, step) == pytest.approx(usual + graphs)
    assert workspace_gib(uncounted, replace(step, towers=True)) == pytest.approx(usual + 0.25)
    assert workspace_gib(uncounted, replace(step, forward_gib=99.0)) == pytest.approx(99.5 + step.experts_gib)


def test_a_version_has_the_row_before_it_and_the_oldest_has_the_first():
    """Newest of those that are not newer; the oldest row where the version is older than all."""
    rows = [replace(ENGINE, version_from=version) for version in ((0, 9), (0, 6), (1, 0))]
    chosen = {
        version: choose(rows, "VLLM ", version).version_from
        for version in ("0.5", "0.6", "0.8", "0.9", "0.99", "2.0", "")
    }
    assert chosen == {
        "0.5": (0, 6),
        "0.6": (0, 6),
        "0.8": (0, 6),
        "0.9": (0, 9),
        "0.99": (0, 9),
        "2.0": (1, 0),
        "": (1, 0),
    }


@pytest.mark.parametrize(
    ("version", "runs", "words"),
    [
        ((0, 8), 3, "calibrated: 3 start-up logs of vLLM from 0.8 on"),
        ((1, 0), 3, "calibrated: 3 start-up logs of vLLM from 1.0 on"),
        ((0, 0), 3, "calibrated: 3 start-up logs of vLLM"),
        ((0, 8), 0, "assumed: no log of vLLM from 0.8 on"),
    ],
)
def test_evidence_says_from_which_version_on(version, runs, words):
    """All versions are none that is named."""
    assert replace(ENGINE, version_from=version, runs=runs).evidence == words


def test_flags_of_a_row_are_read_one_by_one():
    """``yes`` is true, all else is not."""
    flags = ("step_is_context", "graphs_counted", "hybrid_tokens_per_request", "quantises_by_layer")
    numbers = {name: "1" for name in ENGINE.__dataclass_fields__ if name not in flags} | {
        "engine": "vLLM",
        "version_from": "0.8",
    }
    for true in flags:
        row = engine_of(numbers | {name: "yes" if name == true else "no" for name in flags})
        assert [name for name in flags if getattr(row, name)] == [true]
