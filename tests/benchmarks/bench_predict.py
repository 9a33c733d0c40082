"""Predictions per second on one core: ``python tests/benchmarks/bench_predict.py [ROWS]``; prints, asserts nothing.

Seconds are processor time, the least of a few runs. Each line is also given as a multiple of the physics alone, without
learned factors and intervals, for the same questions in the same run: machines differ, the ratio hardly does.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: one core

import csv
import io
import itertools
import sys
import time

import numpy as np

from advisor.catalog import load_catalog
from advisor.cli.predict import predict_table
from advisor.performance import Scenario
from advisor.performance.calibration import shipped
from advisor.performance.deployments import pack
from advisor.performance.explain import predict
from advisor.performance.model import physics_timing
from advisor.performance.regimes import Load
from advisor.performance.setups import Questions, Resolved, Setup, resolve

ROWS = 100_000
RUNS = 5
SWEEP = 100
"""Numbers of users that each set-up and pair of lengths is asked about."""
MODELS = ("meta-llama/Meta-Llama-3.1-8B", "Qwen/Qwen3-32B", "mistralai/Mixtral-8x7B-v0.1")
COLUMNS = ("model", "accelerator", "accelerator_count", "precision", "input_tokens", "output_tokens", "concurrency")
PRECISIONS = ("bf16", "fp8")
COUNTS = (1, 2, 4, 8)


def working(models):
    """Every set-up of some models that works: accelerators of the catalog × precisions × counts; named and resolved."""
    catalog = load_catalog()
    product = itertools.product(models, catalog.accelerators, COUNTS, PRECISIONS)
    named = [Setup(model, part, count, precision=bits) for model, part, count, bits in product]
    found = ((setup, resolve(setup, catalog)) for setup in named)
    return zip(*((setup, one) for setup, one in found if isinstance(one, Resolved)), strict=True)


def questions(setup, users, prompt, answer):
    """Closed loops."""
    return Questions(
        setup, np.zeros(setup.size, dtype=np.intp), *(np.asarray(x, float) for x in (users, prompt, answer))
    )


def distinct(rows, setups):
    """No two questions share set-up and lengths."""
    at = np.arange(rows)
    lengths = np.random.default_rng(1).integers(16, 2048, (2, rows)) + at / rows
    return questions(at % setups, 2.0 ** (at % 9), *lengths)


def sweeps(rows, setups):
    """A hundred numbers of users for each set-up and pair of lengths."""
    lengths = np.random.default_rng(1).integers(16, 2048, (2, rows // SWEEP + 1))
    kind, step = np.divmod(np.arange(rows), SWEEP)
    return questions(kind % setups, (1.0 + step) ** 1.2, *lengths[:, kind])


def physics(setups, asked):
    """The same questions by the physics alone."""
    packed = pack([setup.deployment for setup in setups], shipped().constants).take(asked.setup)
    load = Load(asked.concurrency, asked.input_tokens, asked.output_tokens)
    return physics_timing(Scenario.FIXED_CONCURRENCY, packed.replicas, packed.constants, load)


def table(named, asked):
    """The same questions as a table."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    numbers = zip(asked.setup.tolist(), asked.input_tokens, asked.output_tokens, asked.concurrency, strict=True)
    for at, *lengths in numbers:
        one = named[at]
        writer.writerow([one.model, one.accelerator, one.accelerator_count, one.precision, *lengths])
    return written.getvalue()


def best_of(work):
    """Seconds of the fastest run, after one to warm up."""
    work()
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def report(name, asked, setups, work):
    """One line."""
    seconds, baseline = best_of(work), best_of(lambda: physics(setups, asked))
    sys.stdout.write(
        f"{name:>34}: {asked.setup.size / seconds:>9,.0f} predictions/s, {seconds * 1e3:8.1f} ms, "
        f"{seconds / baseline:5.1f} times the physics alone\n"
    )


def main() -> None:
    """Print one line for each kind of questions."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    named, setups = working(MODELS)
    for name, asked in (("all distinct", distinct(rows, len(setups))), ("sweeps of users", sweeps(rows, len(setups)))):
        report(name, asked, setups, lambda asked=asked: predict(setups, asked))
    text = table(named, asked)
    report("the same, table to table", asked, setups, lambda: predict_table(text, "rows"))
    named, fleet = working(MODELS[:1])
    asked = questions(np.arange(len(fleet)), *(np.full(len(fleet), number) for number in (16.0, 1024.0, 256.0)))
    report(f"the whole catalog ({len(fleet)} set-ups)", asked, fleet, lambda: predict(fleet, asked))
    catalog = load_catalog()
    report(
        "the same, set-ups looked up", asked, fleet, lambda: predict([resolve(one, catalog) for one in named], asked)
    )


if __name__ == "__main__":
    main()
