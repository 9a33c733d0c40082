"""Predictions per second: ``python tests/benchmarks/bench_predict.py [ROWS]``; prints, asserts nothing.

The rows ask about 240 set-ups in random order. The baseline of the ratio is one pass of the csv module over the same
text.
"""

import csv
import io
import itertools
import sys
import time

import numpy as np

from advisor.catalog import load_catalog
from advisor.cli.predict import predict_table
from advisor.cli.predict_rows import answer_rows
from advisor.performance.predictions import predict
from advisor.performance.questions import Questions
from advisor.performance.setups import Setup, resolve

ROWS = 100_000
MODELS = ("meta-llama/Meta-Llama-3.1-8B", "Qwen/Qwen3-32B", "mistralai/Mixtral-8x7B-v0.1")
ACCELERATORS = ("L4", "L40S", "A100-80GB-SXM", "H100-SXM", "H200", "B200", "MI300X", "Gaudi3", "TPU-v6e", "A10G")
PRECISIONS = ("bf16", "fp8")
COUNTS = (1, 2, 4, 8)


def table(rows: int) -> str:
    """A table of random questions."""
    rng = np.random.default_rng(1)
    setups = list(itertools.product(MODELS, ACCELERATORS, PRECISIONS, COUNTS))
    lines = ["id,model,accelerator,precision,accelerator_count,input_tokens,output_tokens,concurrency"]
    for at, pick in enumerate(rng.integers(len(setups), size=rows).tolist()):
        cells = ",".join(map(str, setups[pick]))
        lines.append(f"{at},{cells},{128 * (1 + at % 16)},{64 * (1 + at % 8)},{1 << at % 9}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print one line for each stage."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    text = table(rows)
    started = time.perf_counter()
    read = list(csv.DictReader(io.StringIO(text)))
    reading = time.perf_counter() - started
    catalog = load_catalog()
    for name, work in (
        ("prediction of arrays", _arrays(rows)),
        ("rows that were read", lambda: answer_rows(read, catalog)),
        ("table to table", lambda: predict_table(text, "rows")),
    ):
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        sys.stdout.write(
            f"{name:>22}: {rows / seconds:>11,.0f} rows/s, {seconds / reading:5.1f} times reading the CSV\n"
        )


def _arrays(rows: int):
    """Predict ready-made arrays."""
    catalog = load_catalog()
    names = itertools.product(MODELS, ACCELERATORS, PRECISIONS, COUNTS)
    setups = [
        resolve(Setup(model, part, count, precision=precision), catalog) for model, part, precision, count in names
    ]
    at = np.arange(rows)
    numbers = (2.0 ** (at % 9), 128.0 * (1 + at % 16), 64.0 * (1 + at % 8))
    questions = Questions(at % len(setups), np.zeros(rows, dtype=np.intp), *numbers)
    return lambda: predict(setups, questions)


if __name__ == "__main__":
    main()
