"""Predictions of named set-ups: numbers where something sound can be said, a reason where not."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.performance import Scenario
from advisor.performance.calibration import Spread, shipped
from advisor.performance.explain import predict
from advisor.performance.model import PerformanceModel
from advisor.performance.setups import QUANTITIES, SCENARIOS, Abstention, Questions, Resolved, Setup, resolve

LLAMA_8B = "meta-llama/Meta-Llama-3.1-8B"
LLAMA_70B = "meta-llama/Meta-Llama-3.1-70B"
H100 = Setup(LLAMA_8B, "H100-SXM", 1, precision="fp8", engine="vLLM", engine_version="0.19.0")


def resolved(setup):
    """The set-up in the shipped catalog; a test that calls this expects it to work."""
    found = resolve(setup, load_catalog())
    assert isinstance(found, Resolved), found
    return found


def ask(setup, scenario=Scenario.FIXED_CONCURRENCY, concurrency=16.0, lengths=(1024.0, 256.0), model=None):
    """Answers to one question."""
    questions = Questions(
        np.array([0]),
        np.array([SCENARIOS.index(scenario)]),
        np.array([concurrency]),
        np.array([lengths[0]]),
        np.array([lengths[1]]),
    )
    return predict([resolve(setup, load_catalog())], questions, model)


def value(answers, quantity):
    """The predicted number of the only question."""
    return float(answers.value[quantity][0])


@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_scenario_gives_ordered_intervals(scenario):
    """Each number lies inside its range, throughput counts prompt and answer, and only batches of it were measured."""
    answers = ask(H100, scenario)
    assert answers.reason == [""]
    assert answers.evidence == ["measured" if scenario is Scenario.FIXED_BATCH else "calibrated"]
    names = [name for name in QUANTITIES if np.isfinite(value(answers, name))]
    assert {"tpot_ms", "output_tokens_per_second", "total_tokens_per_second"} <= set(names)
    for name in names:
        assert answers.low[name][0] < value(answers, name) < answers.high[name][0]
    ratio = value(answers, "total_tokens_per_second") / value(answers, "output_tokens_per_second")
    assert ratio == pytest.approx((1024 + 256) / 256)


def test_a_saturated_queue_has_no_time_to_first_token():
    """A request in an endless queue waits for ever: there is no such number, and it is not 0."""
    assert np.isnan(value(ask(H100, Scenario.SATURATED), "ttft_ms"))


def test_a_closed_loop_keeps_little_s_law():
    """Users = throughput ÷ answer length × (TTFT + (answer - 1) × TPOT)."""
    answers = ask(H100)
    seconds = (value(answers, "ttft_ms") + 255 * value(answers, "tpot_ms")) / 1000
    assert value(answers, "output_tokens_per_second") / 256 * seconds == pytest.approx(16.0)


def test_more_users_are_served_faster_together_and_slower_each():
    """From 1 to 256 users throughput and TPOT only grow, and saturation is no slower than any of them."""
    answers = [ask(H100, concurrency=float(users)) for users in (1, 4, 16, 64, 256)]
    throughput = [value(one, "output_tokens_per_second") for one in answers]
    tpot = [value(one, "tpot_ms") for one in answers]
    assert throughput == sorted(throughput)
    assert tpot == sorted(tpot)
    assert value(ask(H100, Scenario.SATURATED), "output_tokens_per_second") >= 0.9 * throughput[-1]


def test_replicas_share_the_load():
    """Two replicas with 32 users are two of one with 16: the same latency, twice the throughput."""
    pair = ask(replace(H100, accelerator_count=2, tensor_parallel=1), concurrency=32.0)
    alone = ask(H100, concurrency=16.0)
    assert value(pair, "tpot_ms") == pytest.approx(value(alone, "tpot_ms"))
    assert value(pair, "output_tokens_per_second") == pytest.approx(2 * value(alone, "output_tokens_per_second"))


def test_a_single_stream_needs_no_prompt():
    """Without a prompt length there is a time per token, but no time to first token."""
    answers = ask(H100, Scenario.SINGLE_STREAM, lengths=(np.nan, 256.0))
    assert value(answers, "tpot_ms") > 0
    assert np.isnan(value(answers, "ttft_ms"))
    assert np.isnan(value(answers, "total_tokens_per_second"))


def test_an_encoder_gives_samples_per_second():
    """A batch of 64 images of ResNet-50 is faster than one at a time and slower than an endless queue."""
    setup = Setup("resnet50-v1.5", "T4", 1, precision="int8")
    single, batch, endless = (
        value(ask(setup, scenario, users), "samples_per_second")
        for scenario, users in (
            (Scenario.SINGLE_STREAM, np.nan),
            (Scenario.FIXED_BATCH, 64.0),
            (Scenario.SATURATED, np.nan),
        )
    )
    assert single < batch < endless
    assert 2000 < endless < 13_000, "MLPerf Inference v0.7 Offline: 6,112 samples/s on one T4"


def test_longer_sequences_cost_an_encoder_more():
    """BERT at 384 tokens is slower than at 128."""
    setup = Setup("google-bert/bert-large-uncased", "A100-80GB-SXM", 1, precision="fp16")
    short, long = (
        value(ask(setup, Scenario.SATURATED, np.nan, (tokens, np.nan)), "samples_per_second")
        for tokens in (128.0, 384.0)
    )
    assert 2.5 < short / long < 4.5


@pytest.mark.parametrize(
    ("setup", "lengths", "concurrency", "reason"),
    [
        (Setup(LLAMA_70B, "H100-SXM", 1, precision="bf16"), (128.0, 128.0), 1.0, "does not fit: weights 131"),
        (H100, (131_000.0, 1000.0), 1.0, "prompt and answer are 132,000 tokens, the model takes 131,072"),
        (Setup(LLAMA_8B, "L4", 1, precision="bf16"), (100_000.0, 100.0), 1.0, "one request needs 12.2"),
        (Setup(LLAMA_8B, "H100-SXM", 3), (128.0, 128.0), 1.0, "32 attention heads cannot be split over 3"),
        (replace(H100, tensor_parallel=4), (128.0, 128.0), 1.0, "needs 4 accelerators, there are 1"),
        (
            Setup(LLAMA_8B, "A100-80GB-SXM", 1, precision="fp8", engine="TensorRT-LLM"),
            (8.0, 8.0),
            1.0,
            "does not serve fp8 on A100",
        ),
        (H100, (np.nan, 128.0), 1.0, "input_tokens and output_tokens are needed"),
        (H100, (128.0, 0.0), 1.0, "input_tokens and output_tokens are needed"),
        (H100, (128.0, 128.0), np.nan, "needs a concurrency"),
        (Setup("OpenPose", "T4", 1), (np.nan, np.nan), 1.0, "the FLOPs of one sample of OpenPose"),
    ],
    ids=["weights", "context", "cache", "heads", "ranks", "precision", "prompt", "answer", "users", "flops"],
)
def test_what_cannot_be_predicted_says_why(setup, lengths, concurrency, reason):
    """There is no number, the evidence is none, and the reason names the two quantities compared."""
    answers = ask(setup, Scenario.FIXED_CONCURRENCY, concurrency, lengths)
    assert reason in answers.reason[0]
    assert answers.evidence == ["none"]
    assert all(np.isnan(value(answers, name)) for name in QUANTITIES)


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (Setup(LLAMA_8B, "H100-SXM", 8), (8, 1, 1, 1)),
        (Setup(LLAMA_8B, "H100-SXM", 8, tensor_parallel=2), (2, 1, 1, 4)),
        (Setup(LLAMA_8B, "H100-SXM", 8, pipeline_parallel=2), (4, 2, 1, 1)),
        (Setup(LLAMA_8B, "H100-SXM", 8, data_parallel=4), (2, 1, 1, 4)),
        (Setup("deepseek-ai/DeepSeek-R1", "H200", 8, tensor_parallel=1, data_parallel=8), (1, 1, 8, 1)),
        (Setup(LLAMA_8B, "Trainium1", 4, tensor_parallel=8), (4, 1, 1, 1)),
    ],
    ids=[
        "all tensor parallel",
        "replicas",
        "pipeline",
        "data parallel replicas",
        "shared experts",
        "cores are no chips",
    ],
)
def test_accelerators_are_laid_out(setup, expected):
    """What is not stated is tensor parallel; data parallel groups share the experts of a mixture."""
    found = resolved(setup)
    layout = (
        found.deployment.tensor_parallel,
        found.deployment.pipeline_parallel,
        found.deployment.attention_data_parallel,
        found.replicas,
    )
    assert layout == expected


@pytest.mark.parametrize(
    ("precision", "accelerator", "arithmetic", "cache_bytes"),
    [
        ("", "H100-SXM", "bf16", 2.0),
        ("fp8", "H100-SXM", "fp8", 1.0),
        ("int4 AWQ", "H100-SXM", "bf16", 2.0),
        ("w4a16", "L4", "bf16", 2.0),
        ("fp4", "B200", "nvfp4", 1.0),
        ("fp8", "A100-80GB-SXM", "bf16", 1.0),
        ("int8,fp16", "T4", "int8", 2.0),
    ],
    ids=["own", "fp8", "awq", "w4a16", "fp4", "widened", "mixed"],
)
def test_precisions_are_understood(precision, accelerator, arithmetic, cache_bytes):
    """Weights in a precision that the part has no arithmetic for are widened; 8-bit weights come with an 8-bit cache."""
    deployment = resolved(Setup(LLAMA_8B, accelerator, 1, precision=precision, engine="vLLM")).deployment
    assert deployment.compute_precision.replace("fp16", "bf16") == arithmetic
    assert deployment.kv_bytes_per_element == cache_bytes


def test_unknown_names_are_errors_with_the_nearest_ones():
    """A misspelled accelerator is the user's to fix."""
    with pytest.raises(InputError, match="unknown accelerator") as error:
        resolve(replace(H100, accelerator="H100-SMX"), load_catalog())
    assert "H100" in error.value.hint


def test_another_calibration_can_take_the_place_of_the_shipped_one():
    """Whatever was fitted is data: with other intervals the same numbers get other ranges."""
    spreads = dict.fromkeys(shipped().spreads, Spread(0.1, 10.0))
    answers = ask(H100, model=PerformanceModel(replace(shipped(), spreads=spreads)))
    assert answers.low["tpot_ms"][0] == pytest.approx(0.1 * value(ask(H100), "tpot_ms"))
    assert value(answers, "tpot_ms") == value(ask(H100), "tpot_ms")


def test_set_ups_that_fell_do_not_disturb_the_others():
    """Three set-ups, the middle one impossible: the outer ones answer as they do alone."""
    catalog = load_catalog()
    large = replace(H100, model=LLAMA_70B, precision="bf16")
    setups = [resolve(one, catalog) for one in (H100, large, replace(H100, accelerator="L40S"))]
    assert isinstance(setups[1], Abstention)
    closed = SCENARIOS.index(Scenario.FIXED_CONCURRENCY)
    order = np.array([2, 1, 0, 1, 2])
    size = order.size
    questions = Questions(
        order, np.full(size, closed), np.full(size, 16.0), np.full(size, 1024.0), np.full(size, 256.0)
    )
    answers = predict(setups, questions)
    assert [bool(reason) for reason in answers.reason] == [False, True, False, True, False]
    assert answers.value["tpot_ms"][2] == pytest.approx(value(ask(H100), "tpot_ms"))
    assert answers.value["tpot_ms"][0] == answers.value["tpot_ms"][4] > answers.value["tpot_ms"][2]
