"""Predictions of what the calibration has not seen, for every split, kept in one file so that tables are quick."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from one_pass_rows import SPLITS as ONE_PASS_SPLITS
from one_pass_rows import OnePass, predict_one_pass

from advisor.calibration.fits import HeldOut, hold_out
from advisor.calibration.observations import QUANTITIES, Measurement, Observations

SPLITS = ("cell", "accelerator", "source", "point")
"""What leaves together; the last, one set-up under one load, is for evidence that is measured itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Held-out predictions by split, and the number of folds that gave them."""

    folds: int
    held: Mapping[str, HeldOut]
    one_pass: Mapping[str, OnePass]


def predict(
    measurements: Sequence[Measurement],
    observed: Observations,
    splits: Iterable[str],
    folds: int,
    tell: Callable[[str], None],
) -> Run:
    """Fit without each fold of each split, and predict it: minutes a split."""
    held, one_pass = {}, {}
    for split in splits:
        tell(f"predicting what was left out, by {split}")
        held[split] = hold_out(observed, split, folds)
        if split in ONE_PASS_SPLITS:
            one_pass[split] = predict_one_pass(measurements, split, folds)
    return Run(folds, held, one_pass)


def save(run: Run, path: Path) -> None:
    """Write the predictions as plain arrays."""
    arrays = {"folds": np.array(run.folds)}
    for split, held in run.held.items():
        arrays[f"{split}/where"] = np.array(held.observed.where)
        arrays[f"{split}/evidence"] = held.evidence
        for quantity in QUANTITIES:
            arrays[f"{split}/predicted/{quantity}"] = held.predicted[quantity]
            arrays[f"{split}/physics/{quantity}"] = held.physics[quantity]
    for split, rows in run.one_pass.items():
        arrays |= {f"{split}/one_pass/{name}": getattr(rows, name) for name in OnePass.__slots__}
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load(path: Path, observed: Observations, wanted: Iterable[str]) -> Run:
    """Read predictions that were saved.

    Raises:
        SystemExit: they are of other measurements.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    held, one_pass = {}, {}
    for split in wanted:
        if f"{split}/where" not in arrays:
            continue
        if tuple(arrays[f"{split}/where"].tolist()) != observed.where:
            raise SystemExit(f"{path} holds predictions of other measurements")
        predicted, physics = (
            {quantity: arrays[f"{split}/{kind}/{quantity}"] for quantity in QUANTITIES}
            for kind in ("predicted", "physics")
        )
        held[split] = HeldOut(observed, predicted, physics, arrays[f"{split}/evidence"])
        if f"{split}/one_pass/where" in arrays:
            one_pass[split] = OnePass(*(arrays[f"{split}/one_pass/{name}"] for name in OnePass.__slots__))
    return Run(int(arrays["folds"]), held, one_pass)
