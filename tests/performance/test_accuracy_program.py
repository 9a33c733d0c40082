"""The accuracy benchmark reads measurement files and prints a table."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(directory, **environment):
    """The program on a directory of measurements."""
    command = [sys.executable, str(PROGRAM), *([str(directory)] if directory else [])]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment or None)


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


def test_errors_are_printed_by_regime_and_abstentions_by_reason(measurements):
    """The good row is scored, the unknown model is counted as abstained, the flagged row is left out."""
    done = run(measurements)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "tpot_ms" in line)
    assert line.split()[1:3] == ["1", "1"]
    assert "abstained: 1 of 2 rows" in done.stdout


def test_without_a_directory_it_says_what_to_give():
    """No path is built in."""
    done = run(None, PATH="")
    assert done.returncode == 1
    assert "ADVISOR_BENCHMARK_DATA" in done.stderr
