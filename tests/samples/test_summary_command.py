"""`advisor samples summary`: what it asks of a backend, and what it prints of the answer."""

import json
from datetime import timedelta

import pytest

from advisor.cli.samples import render_summary
from advisor.errors import InputError
from advisor.samples.query import Accelerator
from samples.query.in_memory import InMemory

ROW_US = 15_000_000
GPU = Accelerator("host-a", 0, None, "GPU-0", "NVIDIA H100 80GB HBM3")
SLICE = Accelerator("host-a", 1, 2, None, None)
ENGINE = Accelerator("host-a", 0, None, "http://localhost:8000/metrics", "a-model")


def backend(notes=()):
    """Four rows of an accelerator, two of a MIG instance, four of an engine."""
    busy = [(GPU, "busy_ratio", row * ROW_US, 0.1 * row, 0.1 * row + 0.05) for row in range(1, 5)]
    energy = [(GPU, "energy_joules", row * ROW_US, 1e6 * row, None) for row in range(1, 5)]
    memory = [(SLICE, "memory_used_bytes", row * ROW_US, 2.0**33, None) for row in (1, 2)]
    kv = [(ENGINE, "kv_cache_used_ratio", row * ROW_US, 0.5, 0.75) for row in range(1, 5)]
    return InMemory([*busy, *energy, *memory, *kv], notes=notes)


def test_the_json_has_the_keys_that_other_programs_read_first():
    """One object for each accelerator and metric: the eight agreed keys in order, then what else is known."""
    text, _ = render_summary(backend(), "samples", None, "json")
    entries = json.loads(text)
    assert list(entries[0])[:8] == ["host", "accelerator", "metric", "p50", "p95", "max", "mean", "coverage_ratio"]
    busy = next(entry for entry in entries if entry["metric"] == "busy_ratio")
    assert busy == pytest.approx({
        "host": "host-a", "accelerator": 0, "metric": "busy_ratio", "p50": 0.25, "p95": 0.385, "max": 0.45,
        "mean": 0.25, "coverage_ratio": 1.0, "mig_index": None, "uuid": "GPU-0",
        "product": "NVIDIA H100 80GB HBM3", "rows": 4, "unit": "ratio",
    })  # fmt: skip
    assert [(entry["metric"], entry["mig_index"], entry["coverage_ratio"]) for entry in entries] == [
        ("busy_ratio", None, 1.0), ("kv_cache_used_ratio", None, 1.0), ("memory_used_bytes", 2, 0.5),
    ]  # fmt: skip


def test_counters_are_not_summarised():
    """The level of a counter says nothing, so no quantiles of it are printed."""
    text, _ = render_summary(backend(), "samples", None, "json")
    assert "energy_joules" not in text


def test_a_window_ends_with_the_newest_sample():
    """The last thirty seconds hold the last two rows; a window longer than what there is holds all."""
    text, _ = render_summary(backend(), "samples", timedelta(seconds=30), "json")
    (busy,) = [entry for entry in json.loads(text) if entry["metric"] == "busy_ratio"]
    assert (busy["rows"], busy["coverage_ratio"]) == (2, 1.0)
    assert busy["mean"] == pytest.approx(0.35)
    assert render_summary(backend(), "samples", timedelta(days=14), "json") == render_summary(
        backend(), "samples", None, "json"
    )


def test_the_table_lines_up_and_the_notes_are_given():
    """A row for each accelerator and metric, MIG instances by both numbers, and the notes of the backend."""
    text, notes = render_summary(backend(notes=["names were inferred"]), "samples", None, "table")
    assert text.splitlines()[0].split()[:5] == ["host", "#", "of", "metric", "unit"]
    assert any(
        line.startswith("host-a  1.2") and "memory_used_bytes" in line and "50.0%" in line for line in text.splitlines()
    )
    assert any("a-model at localhost:8000 " in line and "kv_cache_used_ratio" in line for line in text.splitlines())
    assert notes == ("names were inferred",)
    assert render_summary(backend(), "samples", None, "markdown")[0].startswith("| host | # | of | metric |")


def test_nothing_to_summarise_is_an_error_that_says_what_to_do():
    """A place without samples is named, with the command that collects some."""
    with pytest.raises(InputError, match="no samples here") as caught:
        render_summary(InMemory([]), "empty/", None, "json")
    assert caught.value.where == "empty/"
    assert "advisor agent run" in caught.value.hint
