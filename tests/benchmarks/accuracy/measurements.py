"""Published measurements as questions to ``advisor predict``, each with what was measured."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = ("calibration.csv", "calibration_concurrency.csv")
SCENARIOS = ("fixed_concurrency", "fixed_batch", "saturated", "single_stream")
"""Regimes that the program predicts; the others depend on an arrival rate or measure one phase only."""
LEFT_OUT = ("spec_decode", "anomalous", "near the bo", "no scaling", "repeats", "suspected", "implausible")
"""Quality flags of rows that are no measurement of what their columns say."""


@dataclass(frozen=True)
class Measurement:
    """One measured row."""

    cells: dict[str, str]
    """As the columns of ``advisor predict --batch``."""
    task: str
    file: str
    measured: dict[str, float]
    """By result column; only what was published, or follows from it."""


def read_measurements(directory: Path) -> Iterator[Measurement]:
    """Every row of a predicted regime that nothing is wrong with."""
    for name in FILES:
        with (directory / name).open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                flagged = any(word in row["quality_flag"] for word in LEFT_OUT)
                if row["regime"] in SCENARIOS and not flagged:
                    yield Measurement(_question(row), row["task"], name, _measured(row))


def _question(row: dict[str, str]) -> dict[str, str]:
    shared = ("id", "model", "accelerator", "accelerator_count", "tensor_parallel", "pipeline_parallel", "engine")
    cells = {name: row[name] for name in (*shared, "engine_version", "input_tokens", "output_tokens")}
    return cells | {
        "expert_parallel": row.get("expert_parallel", ""),
        "data_parallel": row.get("data_parallel", ""),
        "precision": row["precision_weights"],
        "kv_precision": row.get("precision_kv", ""),
        "scenario": row["regime"],
        "concurrency": row.get("concurrency") or row.get("concurrency_or_batch", ""),
    }


def _measured(row: dict[str, str]) -> dict[str, float]:
    """Published numbers; throughput from latencies, and samples per second from a latency, where only those are given."""

    def number(column: str) -> float | None:
        return float(row[column]) if row.get(column) else None

    ttft, tpot, e2e = number("ttft_ms"), number("tpot_ms"), number("e2e_latency_ms")
    users, answer = number("concurrency") or number("concurrency_or_batch"), number("output_tokens")
    output, samples = number("throughput_output_tok_s"), number("samples_per_s")
    if output is None and users and answer:
        if ttft and tpot and row["regime"] == "fixed_concurrency":
            output = 1000 * users * answer / (ttft + (answer - 1) * tpot)
        elif e2e and row["regime"] == "fixed_batch" and row["task"] == "llm":
            output = 1000 * users * answer / e2e
    if samples is None and e2e and row["task"] != "llm":
        samples = 1000 * (users or 1.0) / e2e
    found = {
        "ttft_ms": ttft,
        "tpot_ms": tpot,
        "output_tokens_per_second": output,
        "samples_per_second": samples if row["task"] != "llm" else None,
    }
    return {name: value for name, value in found.items() if value}
