"""Scrapes of vLLM and SGLang."""

import pytest

from advisor.calibration.readers import read_measurements
from advisor.errors import InputError
from advisor.performance import Scenario

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
HERE = {"accelerator": "H100-SXM", "model": MODEL}


def scrape(seconds, tokens, requests=None, users=8, **more):
    """A scrape of a vLLM that answers with 100 tokens at 20 ms each."""
    requests = tokens / 100 if requests is None else requests
    totals = {"generation_tokens_total": tokens, "prompt_tokens_total": 5 * tokens, "num_requests_running": users}
    totals |= {"request_success_total": requests, "request_time_per_output_token_seconds_sum": requests * 0.02}
    totals |= {"request_time_per_output_token_seconds_count": requests, **more}
    lines = [f"vllm:{name} {value}" for name, value in totals.items()]
    return "\n".join([f"# scrape 2026-01-31T12:{seconds // 60:02}:{seconds % 60:02}Z", *lines, ""])


def test_the_difference_of_two_scrapes_is_a_measurement(sample):
    """For vLLM 0.11: 400 requests in 100 s, 2,080 request-seconds of latency, so 20.8 users on average."""
    (one,) = sample("vllm_metrics.prom").measurements

    assert (one.scenario, one.concurrency) == (Scenario.FIXED_CONCURRENCY, pytest.approx(20.8))
    assert (one.setup.model, one.setup.engine) == (MODEL, "vLLM")
    assert (one.input_tokens, one.output_tokens) == (1000, 250)
    assert (one.ttft_ms, one.tpot_ms) == (pytest.approx(120), pytest.approx(20))
    assert one.output_tokens_per_second == 1000


def test_gauges_give_the_users_where_latencies_do_not(sample):
    """SGLang 0.4: 8 users, then 12 running and 4 waiting; of 10,000 prompt tokens 6,000 were cached."""
    (one,) = sample("sglang_metrics.prom").measurements

    assert (one.setup.engine, one.concurrency, one.output_tokens_per_second) == ("SGLang", 12, 200)
    assert (one.ttft_ms, one.tpot_ms) == (pytest.approx(50), pytest.approx(20))
    assert one.prefix_cache_hit_ratio == 0.6


def test_a_restart_parts_the_series(read_text):
    """Counters that fall are a restart: what lies before and after is measured apart, never across."""
    text = scrape(0, 1000) + scrape(60, 7000) + scrape(120, 600) + scrape(180, 9600)
    reading = read_text(text, "metrics.prom", **HERE)

    assert [one.output_tokens_per_second for one in reading.measurements] == [100, 150]
    assert "generation_tokens_total fell from 7,000 to 600" in reading.left_out[0].reason


def test_an_idle_engine_is_no_measurement(read_text):
    """A mean of a third of a user, or no finished request at all, is left out with the numbers."""
    idle = read_text(scrape(0, 1000, users=0.3) + scrape(60, 7000, users=0.3), "idle.prom", **HERE)
    silent = read_text(scrape(0, 1000) + scrape(60, 1000), "silent.prom", **HERE)
    single = read_text(scrape(0, 1000), "single.prom", **HERE)

    assert "0.3 is below 1" in idle.left_out[0].reason
    assert silent.left_out[0].reason == "2 scrapes over 60 s, 0 requests were finished"
    assert single.left_out[0].reason == "1 scrapes over 0 s, 0 requests were finished"


def test_speculation_must_be_described(read_text):
    """Drafts that were made in the time are a set-up of their own."""
    text = scrape(0, 1000, spec_decode_num_drafts_total=0) + scrape(60, 7000, spec_decode_num_drafts_total=900)

    described = {"draft_tokens": "3", "draft_acceptance": "0.7"}

    assert "drafted 900 times" in read_text(text, "drafts.prom", **HERE).left_out[0].reason
    assert read_text(text, "drafts.prom", **HERE, **described).measurements[0].setup.draft_tokens == 3


def test_a_directory_of_scrapes_is_one_series(tmp_path):
    """Files with the time in their names are put in order and read together."""
    for seconds, tokens in ((0, 1000), (60, 7000)):
        text = scrape(seconds, tokens).partition("\n")[2]
        (tmp_path / f"vllm-20260131T12{seconds // 60:02}00Z.prom").write_text(text)
    (one,) = read_measurements(tmp_path, HERE).measurements

    assert (one.output_tokens_per_second, one.concurrency, one.tpot_ms) == (100, 8, pytest.approx(20))


def test_a_scrape_needs_a_time(read_text):
    """Without a time no rate can be worked out; the hint says where to put it."""
    with pytest.raises(InputError, match="has no time") as raised:
        read_text(scrape(0, 1000).partition("\n")[2], "metrics.prom", **HERE)

    assert "# scrape" in raised.value.hint


@pytest.mark.parametrize("line", ["vllm:prompt_tokens_total", "vllm:prompt_tokens_total twelve", "# scrape yesterday"])
def test_a_line_that_is_none_of_the_format_is_named(read_text, line):
    """The file and the line are told."""
    with pytest.raises(InputError) as raised:
        read_text(scrape(0, 1000) + line, "metrics.prom", **HERE)

    assert raised.value.where.endswith("metrics.prom:8")
