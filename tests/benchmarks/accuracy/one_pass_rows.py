"""Samples per second of models that answer in one pass, predicted without what leaves together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from errors import Errors, percent, table
from one_pass_held_out import evaluate_one_pass

from advisor.calibration.observations import Measurement
from advisor.calibration.one_pass import Case, cases_of
from advisor.catalog import load_catalog
from advisor.performance.physics import Floats

SPLITS: dict[str, Callable[[Case], str]] = {
    "cell": lambda case: case.cell,
    "accelerator": lambda case: case.labels.accelerator,
    "source": lambda case: case.measurement.source,
}
TARGETS = {"cell": "≤ 15 %", "accelerator": "≤ 20 %"}
"""Median over cells, of every kind that has no target of its own."""
TARGETS_OF_KINDS = {("cell", "diffusion"): "≤ 20 %"}


@dataclass(frozen=True, slots=True, eq=False)
class OnePass:
    """One entry per row that was left out."""

    where: np.ndarray
    value: Floats
    low: Floats
    high: Floats


def predict_one_pass(measurements: Sequence[Measurement], split: str, folds: int) -> OnePass:
    """Samples per second and the 80 % interval of every row, from a fit without its fold."""
    catalog = load_catalog()
    names = {case.measurement.where: SPLITS[split](case) for case in cases_of(measurements, catalog)}
    found = evaluate_one_pass(measurements, catalog, lambda one: names[one.where], folds)
    numbers = np.array([entry[1:] for entry in found], dtype=np.float64).T
    return OnePass(np.array([entry[0].where for entry in found]), *numbers)


def one_pass_table(measurements: Sequence[Measurement], found: OnePass, split: str) -> str:
    """Errors by kind of model."""
    cases = {case.measurement.where: case for case in cases_of(measurements, load_catalog())}
    rows = [cases[where] for where in found.where.tolist()]
    rates = np.array([case.used * case.batch / case.seconds for case in rows])
    error, inside = np.abs(found.value / rates - 1), (found.low <= rates) & (rates <= found.high)
    kinds = np.array([case.labels.kind for case in rows])
    lines = []
    for kind in ("all", *sorted(set(kinds.tolist()))):
        some = np.flatnonzero((kinds == kind) | (kind == "all"))
        numbers = Errors.of(error[some], [rows[at].cell for at in some.tolist()]).cells_of_table()
        lines.append(
            [
                kind,
                *numbers,
                percent(float(inside[some].mean())),
                TARGETS_OF_KINDS.get((split, kind), TARGETS.get(split, "")),
            ]
        )
    header = (
        "kind",
        "rows",
        "cells",
        "median, rows",
        "p90, rows",
        "median, cells",
        "p90, cells",
        "held",
        "target, cells",
    )
    return table(header, lines)
