"""How far predictions are from published measurements that the fit has not seen: one table per split.

``python tests/benchmarks/accuracy`` fits the catalog's measurements without each part of each split and predicts it,
which takes minutes; ``--save`` keeps the predictions and ``--load`` prints the tables again in seconds.
``python tests/benchmarks/accuracy DIRECTORY`` (or ADVISOR_BENCHMARK_DATA) scores the shipped calibration instead, on
``calibration.csv`` and ``calibration_concurrency.csv`` of a directory.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import memory
from bias import common_table, worst_table
from counts import abstention_table, parameter_table
from directory import score
from errors import coverage_table, error_table, inside_intervals
from held_out import SPLITS, Run, load, predict, save
from noise import noise_table
from one_pass_rows import one_pass_table
from ranking import ranking_table

from advisor.calibration.observations import Measurement, load_measurements, observe
from advisor.catalog import load_catalog

FOLDS = 8
TITLES = {
    "cell": "Unseen cell (architecture × accelerator)",
    "accelerator": "Unseen accelerator",
    "source": "Unseen source",
    "point": "Unseen load of a set-up that was measured under others",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables that the options ask for."""
    options = _options(arguments)
    if options.directory:
        score(Path(options.directory))
        return
    reading = load_measurements()
    observed, left_out = observe(reading.measurements, load_catalog())
    splits = options.split or SPLITS
    if options.load:
        run = load(options.load, observed, splits)
    else:
        run = predict(reading.measurements, observed, splits, options.folds, _tell)
    if options.save:
        save(run, options.save)
    print_splits(run, reading.measurements)
    for split in memory.SPLITS:
        memory.print_table(f"Memory: {split}", memory.logs(memory.errors(split)))
    _print("Parameter counts", parameter_table())
    _print("Differences between two measurements of one set-up under one load", noise_table(observed))
    _print("What became of the measurements", abstention_table(reading, observed, left_out))


def print_splits(run: Run, measurements: Sequence[Measurement]) -> None:
    """Print what rests on held-out predictions."""
    inside = inside_intervals(run.held, run.folds)
    for split, held in run.held.items():
        _print(f"{TITLES[split]}, {run.folds} folds", error_table(split, held, inside))
        if split in run.one_pass:
            _print(f"{TITLES[split]}: samples per second", one_pass_table(measurements, run.one_pass[split], split))
    _print("Rows that the 80 % interval holds, all splits together", coverage_table(run.held, inside))
    if "cell" in run.held:
        title, held = TITLES["cell"], run.held["cell"]
        _print(f"Ranking of accelerators. {title}", ranking_table(held, load_catalog()))
        _print(f"What errors have in common. {title}", common_table(held))
        _print(f"Where errors are largest. {title}", worst_table(held))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="accuracy", description=__doc__.split("\n", maxsplit=1)[0])
    given = os.environ.get("ADVISOR_BENCHMARK_DATA", "")
    parser.add_argument("directory", nargs="?", default=given, help="score the shipped calibration on its measurements")
    parser.add_argument("--split", action="append", choices=SPLITS, help="only this split; may be repeated")
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"parts of a split ({FOLDS})")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the predictions")
    parser.add_argument("--load", type=Path, metavar="FILE", help="use predictions that were kept")
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(title: str, text: str) -> None:
    print(f"\n### {title}\n\n{text}", end="", flush=True)


if __name__ == "__main__":
    main()
