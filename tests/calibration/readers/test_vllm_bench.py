"""Results of vLLM's and SGLang's benchmark clients."""

import json

import pytest

from advisor.performance import Scenario

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_a_limit_of_concurrent_requests_is_a_closed_loop(sample):
    """``benchmark_serving.py --save-result`` of vLLM 0.6, with ``--max-concurrency`` and no rate."""
    (one,) = sample("vllm_serve_0.6.json").measurements

    assert (one.scenario, one.concurrency) == (Scenario.FIXED_CONCURRENCY, 32)
    assert (one.input_tokens, one.output_tokens) == (1024, 128)
    assert (one.ttft_ms, one.tpot_ms, one.output_tokens_per_second) == (210, 29.5, 1024)
    assert one.setup.engine == "", "backend 'vllm' is a way to ask, other engines are asked through it too"


def test_every_line_of_appended_results_is_a_measurement(sample):
    """``vllm bench serve --append-result`` of vLLM 0.12, with ``--metadata`` in the names of our columns."""
    closed, arrivals, batch = sample("vllm_serve_0.12.jsonl", model=MODEL).measurements

    assert closed.where.endswith(".jsonl:1")
    assert (closed.setup.model, closed.setup.engine_version) == (MODEL, "0.12.0")
    assert (closed.setup.tensor_parallel, closed.setup.accelerator_count) == (2, 2)
    assert arrivals.concurrency == pytest.approx(4.75 * 4.4), "Little's law"
    assert (batch.scenario, batch.concurrency) == (Scenario.FIXED_BATCH, 64)


def test_unknown_concurrency_and_speculation_are_left_out(sample):
    """Arrivals without an end-to-end latency have no known concurrency, and speculation must be described."""
    arrivals, speculated = sample("vllm_serve_0.12.jsonl", model=MODEL).left_out

    assert arrivals.where.endswith(":3")
    assert "8/s" in arrivals.reason
    assert "--percentile-metrics" in arrivals.reason
    assert "2.42 tokens" in speculated.reason
    assert "--draft-tokens" in speculated.reason


def test_sglangs_client_names_its_engine(sample):
    """``sglang.bench_serving --output-file``: an infinite rate is written as a number, the model is not written."""
    (one,) = sample("sglang_bench_serving.jsonl", model=MODEL).measurements

    assert (one.setup.engine, one.concurrency, one.tpot_ms) == ("SGLang", 8, 12.2)


def test_the_throughput_benchmark_needs_the_length_of_the_answers(sample):
    """``vllm bench throughput`` counts prompt and answer together: 640 tokens a request, 128 of them the answer."""
    (one,) = sample("vllm_throughput.json", model=MODEL, output_tokens="128").measurements
    (without,) = sample("vllm_throughput.json", model=MODEL).left_out
    (other,) = sample("vllm_throughput.json", model=MODEL, output_tokens="128", input_tokens="1024").left_out

    assert (one.scenario, one.input_tokens, one.output_tokens) == (Scenario.SATURATED, 512, 128)
    assert one.output_tokens_per_second == 500 * 128 / 20
    assert "--output-tokens" in without.reason
    assert other.reason == "a request has 640 tokens in the file, not 1024 + 128 as given"


def test_the_latency_benchmark_needs_its_batch_and_lengths(sample):
    """``vllm bench latency`` states the seconds of a batch and nothing else."""
    told = {"model": MODEL, "concurrency": "16", "input_tokens": "512", "output_tokens": "128"}
    (one,) = sample("vllm_latency.json", **told).measurements
    (without,) = sample("vllm_latency.json", model=MODEL).left_out

    assert (one.scenario, one.concurrency, one.input_tokens) == (Scenario.FIXED_BATCH, 16, 512)
    assert one.output_tokens_per_second == 16 * 128 / 2.5
    assert "--concurrency" in without.reason


def test_a_model_that_answers_in_one_pass_has_samples(read_text):
    """``vllm bench serve --backend openai-embeddings`` of vLLM 0.12 counts no output tokens."""
    result = {"model_id": "BAAI/bge-base-en-v1.5", "num_prompts": 100, "completed": 100, "request_rate": "inf"}
    result |= {"max_concurrency": 8, "total_input_tokens": 25600, "request_throughput": 410.0, "mean_e2el_ms": 19.0}
    (one,) = read_text(json.dumps(result), "embed.json", accelerator="L4").measurements

    assert (one.samples_per_second, one.input_tokens, one.output_tokens) == (410, 256, None)


def test_requests_that_are_missing_have_failed(read_text):
    """Before 0.11 vLLM does not count failures: what was sent and not completed has failed."""
    result = {"model_id": MODEL, "num_prompts": 100, "completed": 80, "request_rate": "inf", "max_concurrency": 8}
    result |= {"request_throughput": 2.0, "total_input_tokens": 8000, "total_output_tokens": 8000, "mean_tpot_ms": 9.0}
    (left,) = read_text(json.dumps(result), "serve.json", accelerator="L4").left_out

    assert left.reason == "20 of 100 requests failed (20%), at most 10% may"
