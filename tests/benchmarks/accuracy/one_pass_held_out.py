"""Samples per second of models that answer in one pass, predicted without a part of the rows."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from advisor.calibration.observations import Measurement
from advisor.calibration.one_pass import (
    FOLDS,
    SPLITS,
    Case,
    Held,
    _hold_out_pairs,
    _spreads,
    cases_of,
    fold_of,
    hold_out,
)
from advisor.catalog import Catalog
from advisor.performance.one_pass.servers import NOVELTIES, spread_keys


def evaluate_one_pass(
    measurements: Sequence[Measurement], catalog: Catalog, split: Callable[[Measurement], str], folds: int
) -> list[tuple[Measurement, float, float, float]]:
    """Measurement, predicted samples per second, low and high, each without the others of its part of the split.

    Intervals come from errors of rows outside the fold (cross-conformal).
    """
    cases = cases_of(measurements, catalog)

    def by_measurement(case: Case) -> str:
        return split(case.measurement)

    own = hold_out(cases, by_measurement, folds)
    pool = [*own, *(entry for other in SPLITS for entry in hold_out(cases, other, FOLDS)), *_hold_out_pairs(cases)]
    results = []
    for fold in range(folds):
        inside = [entry for entry in own if fold_of(by_measurement(entry.case), folds) == fold]
        outside = [entry for entry in pool if fold_of(by_measurement(entry.case), folds) != fold]
        results += _with_intervals(inside, _spreads(outside))
    return results


def _with_intervals(
    held: Held, spreads: Mapping[str, tuple[float, float]]
) -> list[tuple[Measurement, float, float, float]]:  # fmt: skip
    results = []
    for entry in held:
        case = entry.case
        predicted = case.used * case.batch / case.seconds / float(np.exp(entry.log_error))
        groups = (*spread_keys(entry.novelty, case.labels), f"{NOVELTIES[-1]}||")
        low, high = next(spreads[group] for group in groups if group in spreads)
        results.append((case.measurement, predicted, predicted * low, predicted * high))
    return results
