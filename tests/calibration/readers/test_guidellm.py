"""Reports of GuideLLM."""

from advisor.performance import Scenario


def test_every_benchmark_of_the_older_layout_is_a_measurement(sample):
    """GuideLLM 0.2 has the strategy under ``args`` and the model under ``worker``; a lone user is a single stream."""
    alone, full, arrivals = sample("guidellm_0.2.json").measurements

    assert (alone.scenario, alone.setup.model) == (Scenario.SINGLE_STREAM, "meta-llama/Llama-3.1-8B-Instruct")
    assert (alone.input_tokens, alone.output_tokens) == (512, 256)
    assert (alone.ttft_ms, alone.tpot_ms, alone.output_tokens_per_second) == (25.5, 7.75, 127.5)
    assert alone.where.endswith("guidellm_0.2.json#0")
    assert (full.scenario, full.concurrency, full.output_tokens_per_second) == (Scenario.SATURATED, None, 3800)
    assert (arrivals.scenario, arrivals.concurrency) == (Scenario.FIXED_CONCURRENCY, 11.25)


def test_what_no_load_can_be_given_to_is_left_out_with_its_numbers(sample):
    """Arrivals without a measured concurrency, and the first-token time of a full queue, are left out and said so."""
    queue, arrivals = sample("guidellm_0.2.json").left_out

    assert queue.where.endswith("#1: ttft_ms")
    assert "9,000 ms" in queue.reason
    assert arrivals.where.endswith("#3")
    assert "poisson 6/s" in arrivals.reason


def test_the_newer_layout_has_streams_and_one_model_for_all(sample):
    """GuideLLM 0.4 has the strategy under ``config`` and the model under ``args``; without a mean the median is taken."""
    reading = sample("guidellm_0.4.json")
    (kept,) = reading.measurements

    assert (kept.scenario, kept.concurrency) == (Scenario.FIXED_CONCURRENCY, 16)
    assert kept.setup.model == "meta-llama/Llama-3.1-8B-Instruct"
    assert (kept.ttft_ms, kept.tpot_ms) == (150, 10.5)


def test_a_benchmark_with_many_failures_is_left_out(sample):
    """A fifth of the requests failed: the load that was served is not the one that was offered."""
    (failed,) = sample("guidellm_0.4.json").left_out

    assert failed.reason == "100 of 500 requests failed (20%), at most 10% may"
