"""Exports of AIPerf and genai-perf."""

import json
from pathlib import Path

import pytest

from advisor.calibration.readers.load_generators import read_aiperf_table
from advisor.errors import InputError
from advisor.performance import Scenario

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_the_configured_users_are_the_concurrency(sample):
    """AIPerf 0.2 writes them under ``loadgen``."""
    (one,) = sample("aiperf_0.2.json").measurements

    assert (one.scenario, one.concurrency, one.setup.model) == (Scenario.FIXED_CONCURRENCY, 16, MODEL)
    assert (one.input_tokens, one.output_tokens) == (550, 256)
    assert (one.ttft_ms, one.tpot_ms, one.output_tokens_per_second) == (140, 12, 1280)


def test_units_are_read_and_arrivals_are_counted(sample):
    """AIPerf 0.8 writes phases: warm-up does not count, and the users of a rate are rate × latency."""
    (one,) = sample("aiperf_0.8.json").measurements

    assert one.concurrency == pytest.approx(4 * 3.0)
    assert one.ttft_ms == pytest.approx(95)
    assert one.tpot_ms == pytest.approx(11.4)


def test_a_cell_that_is_too_long_is_named_by_its_line():
    """CSV cells end at 128 KiB: the line is told in place of an internal error."""
    with pytest.raises(InputError, match="not a CSV table: field larger") as refused:
        list(read_aiperf_table(f"Metric,avg\nRequest Latency (ms),{'1' * 200_000}\n", Path("t.csv"), {}))

    assert refused.value.where == "t.csv:2"


def test_genai_perf_is_read_alike(sample):
    """genai-perf 0.0.8 writes its arguments as they were given."""
    (one,) = sample("genai_perf_0.0.8.json").measurements

    assert (one.concurrency, one.setup.model, one.output_tokens_per_second) == (4, MODEL, 320)


def test_the_table_needs_model_and_users(sample):
    """The CSV export of AIPerf 0.2 has thousands separators, and states neither model nor users."""
    (one,) = sample("aiperf_0.2.csv", model=MODEL, concurrency="25").measurements
    (without,) = sample("aiperf_0.2.csv", model=MODEL).left_out

    assert (one.concurrency, one.ttft_ms, one.tpot_ms) == (25, 2343.22, 27.76)
    assert "--concurrency" in without.reason


def test_the_table_of_genai_perf_states_no_unit_of_tokens(read_text):
    """genai-perf 0.0.8 writes rates as ``per sec`` and leaves ``tokens`` out."""
    text = (
        "Metric,avg,min,max,p99,p95,p90,p75,p50,p25\n"
        'Time To First Token (ms),"1,008.00",7.00,9.00,8.98,8.90,8.80,8.50,8.00,7.50\n'
        "Inter Token Latency (ms),11.00,10.00,12.00,11.98,11.90,11.80,11.50,11.00,10.50\n"
        "Output Sequence Length,100.00,1.00,3.00,2.98,2.90,2.80,2.50,2.00,1.50\n"
        "Input Sequence Length,600.00,N/A,7.00,6.98,6.90,6.80,6.50,6.00,5.50\n"
        "\nMetric,Value\nOutput Token Throughput (per sec),456.00\nRequest Throughput (per sec),4.56\n"
    )
    (one,) = read_text(text, model=MODEL, accelerator="L4", concurrency="8").measurements

    assert (one.ttft_ms, one.input_tokens, one.output_tokens_per_second) == (1008, 600, 456)


def test_a_unit_that_is_not_known_is_named(read_text):
    """A time in fortnights is left out with its unit, the rest is used."""
    document = {
        "request_throughput": {"unit": "requests/sec", "avg": 1.0},
        "request_latency": {"unit": "ms", "avg": 100.0},
        "time_to_first_token": {"unit": "fortnights", "avg": 0.5},
        "inter_token_latency": {"unit": "ms", "avg": 10.0},
        "output_sequence_length": {"unit": "tokens", "avg": 10.0},
        "input_sequence_length": {"unit": "tokens", "avg": 10.0},
        "input_config": {"endpoint": {"model_names": [MODEL]}, "loadgen": {"concurrency": 2}},
    }
    reading = read_text(json.dumps(document), "profile_export_aiperf.json", accelerator="L4")

    assert reading.measurements[0].ttft_ms is None
    assert reading.left_out[0].reason == "0.5 has the unit 'fortnights', which is not known"
