"""The accuracy benchmark prints a table for each split, and scores the shipped calibration on any directory."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advisor.calibration.observations import QUANTITIES, load_measurements, observe
from advisor.catalog import load_catalog

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "accuracy"
COLUMNS = (
    "id", "task", "model", "precision_weights", "precision_kv", "engine", "engine_version", "accelerator",
    "accelerator_count", "tensor_parallel", "pipeline_parallel", "concurrency_or_batch", "input_tokens", "output_tokens",
    "throughput_output_tok_s", "samples_per_s", "ttft_ms", "tpot_ms", "e2e_latency_ms", "regime", "quality_flag",
)  # fmt: skip
ROW = {
    "id": "a", "task": "llm", "model": "meta-llama/Meta-Llama-3.1-8B", "precision_weights": "fp8", "engine": "vLLM",
    "accelerator": "H100-SXM", "concurrency_or_batch": "16", "input_tokens": "1024", "output_tokens": "256",
    "regime": "fixed_concurrency",
}  # fmt: skip


def run(*arguments):
    """The program on its own, without a directory from the environment."""
    kept = {name: value for name, value in os.environ.items() if name != "ADVISOR_BENCHMARK_DATA"}
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=kept)


def cells_of(line):
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip("|\n").split("|")]


@pytest.fixture
def measurements(tmp_path):
    """One measured row, one of a model that nobody knows, one that is flagged."""
    rows = [
        ROW | {"tpot_ms": "7.0", "ttft_ms": "100"},
        ROW | {"id": "b", "model": "nobody/knows", "tpot_ms": "7.0"},
        ROW | {"id": "c", "tpot_ms": "0.1", "quality_flag": "spec_decode"},
    ]
    for name in ("calibration.csv", "calibration_concurrency.csv"):
        with (tmp_path / name).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows if name == "calibration.csv" else [])
    return tmp_path


@pytest.fixture(scope="module")
def observed():
    """The catalog's own measurements of token models."""
    return observe(load_measurements().measurements, load_catalog())[0]


def write_predictions(path, observed, *, factor, where=None):
    """Kept predictions of one split: every value is *factor* times what was measured."""
    arrays = {
        "folds": np.array(4),
        "cell/where": np.array(where or observed.where),
        "cell/evidence": np.ones(observed.size, dtype=int),
    }
    for quantity in QUANTITIES:
        arrays[f"cell/predicted/{quantity}"] = factor * observed.measured(quantity)
        arrays[f"cell/physics/{quantity}"] = 2 * factor * observed.measured(quantity)
    np.savez(path, **arrays)
    return path


def test_errors_of_a_directory_are_printed_by_evidence_and_abstentions_by_reason(measurements):
    """The good row is scored, the unknown model is counted as abstained, the flagged row is left out."""
    done = run(measurements)
    assert done.returncode == 0, done.stderr
    lines = [cells_of(line) for line in done.stdout.splitlines() if "tpot_ms" in line]
    assert [line[0] for line in lines] == ["tpot_ms", "tpot_ms"]
    assert "all" in {line[1] for line in lines}
    assert {tuple(line[2:4]) for line in lines} == {("1", "1")}
    assert "abstained: 1 of 2 rows" in done.stdout


def test_kept_predictions_are_printed_as_errors_of_rows_and_of_cells(tmp_path, observed):
    """Predictions that are all a quarter too large err by 25 % in every row and cell, and rank every set rightly."""
    kept = write_predictions(tmp_path / "kept.npz", observed, factor=1.25)
    done = run("--load", kept, "--split", "cell")
    assert done.returncode == 0, done.stderr
    lines = [cells_of(line) for line in done.stdout.splitlines() if line.startswith("|")]
    tpot = next(line for line in lines if line[:2] == ["fixed_concurrency", "tpot"])
    assert tpot[4:9] == ["150.0 %", *["25.0 %"] * 4]
    ranked = [line for line in lines if line[0] == "accelerator-time"]
    assert ranked
    assert {line[4] for line in ranked} == {"100.0 %"}
    assert {line[9] for line in ranked} == {"0.0 %"}
    for title in ("Parameter counts", "Differences between two measurements", "What became of the measurements"):
        assert title in done.stdout


def test_predictions_of_other_measurements_are_refused(tmp_path, observed):
    """Kept predictions are only printed beside the rows that they were made for."""
    others = ["elsewhere", *observed.where[1:]]
    done = run("--load", write_predictions(tmp_path / "kept.npz", observed, factor=1.0, where=others))
    assert done.returncode == 1
    assert "other measurements" in done.stderr
