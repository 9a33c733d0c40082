"""Our own table of measurements, and the units that others write into it."""

import pytest

from advisor.errors import InputError
from advisor.performance import Scenario

HEADER = "model,accelerator,input_tokens,output_tokens,concurrency"
ROW = "meta-llama/Llama-3.1-8B-Instruct,H100-SXM,1024,256,16"


def test_rows_are_measurements(sample):
    """Columns of ``advisor predict --batch`` with what was measured; other columns are kept out of it."""
    reading = sample("own.csv", accelerator="")
    loop, full, batch = reading.measurements

    assert (loop.setup.accelerator_count, loop.setup.precision, loop.source) == (2, "fp8", "bench")
    assert (loop.scenario, loop.concurrency, loop.ttft_ms) == (Scenario.FIXED_CONCURRENCY, 16, 95)
    assert (full.scenario, full.output_tokens_per_second) == (Scenario.SATURATED, 5200)
    assert (batch.samples_per_second, batch.output_tokens) == (850, None)
    assert loop.where.endswith("own.csv:2")
    assert reading.left_out == ()


@pytest.mark.parametrize(
    ("column", "cell", "quantity", "value"),
    [
        ("ttft_s", "0.095", "ttft_ms", 95),
        ("ttft_us", "95000", "ttft_ms", 95),
        ("tpot_seconds", "0.0085", "tpot_ms", 8.5),
        ("tpot_ns", "8.5e6", "tpot_ms", 8.5),
        ("output_tokens_per_minute", "6000", "output_tokens_per_second", 100),
        ("output_tokens_per_s", "100", "output_tokens_per_second", 100),
    ],
)
def test_units_that_are_certain_are_converted(read_text, column, cell, quantity, value):
    """A unit in the column's name is enough."""
    (one,) = read_text(f"{HEADER},{column}\n{ROW},{cell}\n").measurements

    assert getattr(one, quantity) == pytest.approx(value)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("ttft_fortnights", "the unit 'fortnights' is not known"),
        ("ttft", "no unit is stated"),
        ("itl_ms", "name it tpot_ms"),
        ("latency", "the column is not read"),
        ("total_tokens_per_second", "the column is not read"),
        ("e2el_s", "the column is not read"),
    ],
)
def test_columns_that_look_measured_are_listed(read_text, column, words):
    """What is not read is said, with the unit where there is one; a note is not."""
    reading = read_text(f"{HEADER},tpot_ms,{column},note\n{ROW},8.5,1,x\n")

    assert len(reading.measurements) == 1
    (left,) = reading.left_out
    assert left.where.endswith(f"measured.csv:1: {column}")
    assert words in left.reason


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (f"{HEADER},ttft", "no column has a measurement"),
        (f"{HEADER},tpot_ms,tpot_s", "'tpot_ms' is there twice"),
        (f"{HEADER},ttft_ms,ttft_ms_low,evidence", "these are predictions"),
    ],
)
def test_a_table_without_certain_measurements_is_refused(read_text, header, words):
    """Nothing to read, one quantity twice, or predictions in their place."""
    with pytest.raises(InputError, match=words):
        read_text(f"{header}\n{ROW}\n")


def test_a_row_that_cannot_be_read_stands_alone(read_text):
    """Other rows are used; the reason names line and cell."""
    rows = [
        f"{ROW},8.5",
        f"{ROW},fast",
        f"{ROW},8,9",
        ROW.replace("256", "-1") + ",8",
        ROW.replace("Llama", "Lama") + ",8",
    ]
    reading = read_text("\n".join([f"{HEADER},tpot_ms", *rows, ""]))

    assert len(reading.measurements) == 1
    reasons = {left.where.rpartition(":")[2]: left.reason for left in reading.left_out}
    assert reasons["3"] == "tpot_ms: 'fast' is not a number"
    assert reasons["4"] == "the row has 7 cells, the header 6"
    assert reasons["5"] == "output_tokens must not be negative: -1"
    assert "meta-llama/Lama-3.1-8B-Instruct" in reasons["6"]


def test_a_table_that_speaks_of_vllm_is_still_a_table(read_text):
    """Names that begin like an engine's metrics do not make a scrape of it."""
    reading = read_text(f"id,{HEADER},tpot_ms\nvllm_0.11 run,{ROW},8.5\nvllm:1,{ROW},8.6\n")

    assert [one.tpot_ms for one in reading.measurements] == [8.5, 8.6]
