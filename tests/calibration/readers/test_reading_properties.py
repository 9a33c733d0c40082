"""What must hold for every measurement and every file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.calibration.observations import Measurement
from advisor.calibration.readers import read_measurements, write_own_csv
from advisor.errors import InputError
from advisor.performance import Scenario
from advisor.performance.setups import Setup

SAMPLES = Path(__file__).parent / "samples"
TOLD = {"accelerator": "H100-SXM", "model": "meta-llama/Llama-3.1-8B-Instruct", "concurrency": "8"}
TOLD |= {"input_tokens": "512", "output_tokens": "128"}
writes = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

counts = st.none() | st.integers(1, 64)
positive = st.floats(1e-6, 1e9)
setups = st.builds(
    Setup,
    model=st.sampled_from(("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B")),
    accelerator=st.sampled_from(("H100-SXM", "L4")),
    accelerator_count=st.integers(1, 64),
    tensor_parallel=counts,
    pipeline_parallel=counts,
    expert_parallel=counts,
    data_parallel=counts,
    precision=st.sampled_from(("", "fp8", "int8,fp16")),
    kv_precision=st.sampled_from(("", "fp8")),
    engine=st.sampled_from(("", "vLLM", 'an "engine"')),
    engine_version=st.sampled_from(("", "0.11.0")),
    max_batched_tokens=counts,
    draft_tokens=st.just(3),
    draft_acceptance=st.floats(0, 1),
    draft_model=st.sampled_from(("", "ngram")),
)
measurements = st.builds(
    Measurement,
    where=st.just(""),
    setup=setups,
    scenario=st.sampled_from((Scenario.FIXED_CONCURRENCY, Scenario.FIXED_BATCH)),
    concurrency=st.floats(1, 1e5),
    input_tokens=st.floats(0, 1e4),
    output_tokens=st.floats(1, 1e4),
    ttft_ms=st.none() | positive,
    tpot_ms=positive,
    output_tokens_per_second=st.none() | positive,
    samples_per_second=st.none() | positive,
    prefix_cache_hit_ratio=st.none() | st.floats(0, 0.99),
    source=st.sampled_from(("", "a report, page 3", "line one\nline two")),
)


@writes
@given(st.lists(measurements, min_size=1, max_size=5, unique_by=lambda one: replace(one, source="")))
def test_a_table_that_is_written_reads_back_the_same(tmp_path, written):
    """Measurements to a table and back are the same measurements, and the table of those is the same text."""
    path = tmp_path / "own.csv"
    text = write_own_csv(written)
    path.write_text(text, encoding="utf-8", newline="")
    reading = read_measurements(path)

    assert [replace(one, where="") for one in reading.measurements] == written
    assert reading.left_out == ()
    assert write_own_csv(reading.measurements) == text


def places(node, path=()):
    """Every place in a document."""
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def spoilt(node, path, value):
    """The document with something else at one place."""
    if not path:
        return value
    head, *tail = path
    children = dict(node) if isinstance(node, dict) else list(node)
    children[head] = spoilt(children[head], tail, value)
    return children


junk = st.sampled_from(
    (None, True, "", "x", "1,5", -1, 0, 10**400, float("nan"), float("inf"), [], [1, None], {}, {"avg": "x"})
)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.json")))
@writes
@given(data=st.data())
def test_no_field_can_make_a_reader_fail_otherwise(tmp_path, name, data):
    """Whatever stands in a field, the outcome is a reading or an error that a user understands."""
    document = json.loads((SAMPLES / name).read_text())
    path = data.draw(st.sampled_from(list(places(document))))
    (tmp_path / name).write_text(json.dumps(spoilt(document, path, data.draw(junk))))
    try:
        reading = read_measurements(tmp_path / name, TOLD)
    except InputError:
        return

    assert reading.measurements or reading.left_out


@pytest.mark.parametrize("name", ["vllm_metrics.prom", "own.csv", "aiperf_0.2.csv", "vllm_serve_0.12.jsonl"])
@writes
@given(at=st.integers(0, 5000), junk=st.text(max_size=5))
def test_no_text_can_make_a_reader_fail_otherwise(tmp_path, name, at, junk):
    """A file spoilt in one place is read, left out, or refused in words."""
    text = (SAMPLES / name).read_text()
    (tmp_path / name).write_text(text[: at % len(text)] + junk + text[at % len(text) + len(junk) :], encoding="utf-8")
    try:
        reading = read_measurements(tmp_path / name, TOLD)
    except InputError:
        return

    assert reading.measurements or reading.left_out
