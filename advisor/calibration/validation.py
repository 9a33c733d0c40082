"""How far predictions are off for what the calibration has not seen: fitted without a part, predicted there.

Rows leave together that tell of each other: all of a cell (architecture × accelerator), of an accelerator, of a source;
or, for what was measured, all rows of one set-up under one load. Random rows would flatter.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from advisor.calibration.observations import QUANTITIES, SCENARIO_OF, Indices, Observations, Strings
from advisor.calibration.physics_fit import fit_constants
from advisor.calibration.residual_fit import fit_residual
from advisor.performance.calibration import Calibration, Group
from advisor.performance.constants import Quantity
from advisor.performance.evidence import PredictionEvidence
from advisor.performance.measured_coverage import MeasuredCoverage, setup_key
from advisor.performance.model import PerformanceModel, physics_timing
from advisor.performance.physics import Floats
from advisor.performance.regimes import Timing

FOLDS = 12


def points_of(observed: Observations) -> Strings:
    """Set-up and load of each row."""
    setups = np.array(["/".join(map(str, setup_key(deployment))) for deployment in observed.deployments])[
        observed.place
    ]
    loads = [f"{users:.3g},{prompt:.3g},{answer:.3g}" for users, prompt, answer in zip(
        observed.load.concurrency, observed.load.input_tokens, observed.load.output_tokens, strict=True
    )]  # fmt: skip
    return np.char.add(setups, np.array(loads))


SPLITS: Mapping[str, Callable[[Observations], Strings]] = {
    "cell": Observations.cells,
    "accelerator": Observations.accelerators,
    "source": lambda observed: observed.sources,
    "point": points_of,
}
"""What leaves together, by name of the split."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions for rows that were no part of the fit, by quantity; and what they were thought to rest on."""

    observed: Observations
    predicted: Mapping[Quantity, Floats]
    physics: Mapping[Quantity, Floats]
    """The same by the physics alone."""
    evidence: Indices


def fit(observed: Observations) -> Calibration:
    """Everything but the intervals, which need predictions of what was left out."""
    table = fit_constants(observed)
    residuals = {group: fit_residual(observed, table, group) for group in Group if observed.of_group(group).size}
    return Calibration("unnamed", table, residuals, {}, reach_of(observed))


def reach_of(observed: Observations) -> MeasuredCoverage:
    """Coverage of what was measured."""
    entries = []
    keys = [setup_key(deployment) for deployment in observed.deployments]
    load = np.stack([observed.load.concurrency, observed.load.input_tokens, observed.load.output_tokens], axis=1)
    for at, place in enumerate(observed.place.tolist()):
        scenario = SCENARIO_OF[tuple(Group)[observed.group[at]]]
        entries.append((keys[place], observed.deployments[place].family, scenario, tuple(load[at].tolist())))
    return MeasuredCoverage.of(entries)


def hold_out(observed: Observations, split: str, folds: int = FOLDS) -> HeldOut:
    """Predict every row from a calibration fitted without its part of the split."""
    fold = folds_of(SPLITS[split](observed), folds)
    predicted, physics = ({quantity: np.full(observed.size, np.nan) for quantity in QUANTITIES} for _ in range(2))
    evidence = np.zeros(observed.size, dtype=np.intp)
    for at in range(folds):
        left = np.flatnonzero(fold == at)
        if not left.size:
            continue
        calibration = fit(observed.take(np.flatnonzero(fold != at)))
        held_out = predict_rows(calibration, observed.take(left))
        evidence[left] = held_out.evidence
        for quantity in QUANTITIES:
            predicted[quantity][left] = held_out.predicted[quantity]
            physics[quantity][left] = held_out.physics[quantity]
    return HeldOut(observed, predicted, physics, evidence)


def predict_rows(calibration: Calibration, observed: Observations) -> HeldOut:
    """Predictions of one calibration for some rows."""
    model, grounds = PerformanceModel(calibration), PredictionEvidence(observed.deployments, calibration)
    predicted, physics = ({quantity: np.full(observed.size, np.nan) for quantity in QUANTITIES} for _ in range(2))
    evidence = np.zeros(observed.size, dtype=np.intp)
    for group, scenario in SCENARIO_OF.items():
        rows = observed.of_group(group)
        if not rows.size:
            continue
        some = observed.take(rows)
        packed = some.packed(calibration.constants)
        evidence[rows] = grounds.evidence(scenario, some.place, some.load)
        _store(predicted, rows, model.timing(scenario, packed, some.load))
        _store(physics, rows, physics_timing(scenario, packed.replicas, packed.constants, some.load))
    return HeldOut(observed, predicted, physics, evidence)


def _store(into: Mapping[Quantity, Floats], rows: Indices, timing: Timing) -> None:
    into[Quantity.TTFT][rows] = timing.ttft_s
    into[Quantity.TPOT][rows] = timing.tpot_s
    into[Quantity.THROUGHPUT][rows] = timing.output_tokens_per_second


def folds_of(names: Strings, folds: int) -> Indices:
    """Fold of each row: what shares a name shares a fold, and folds are filled evenly."""
    place: dict[str, int] = {}
    sizes = [0] * folds
    for name, count in sorted(Counter(names.tolist()).items(), key=lambda item: (-item[1], item[0])):
        place[name] = sizes.index(min(sizes))
        sizes[place[name]] += count
    return np.array([place[name] for name in names.tolist()], dtype=np.intp)


def log_misses(held: HeldOut, quantity: Quantity) -> Floats:
    """log(measured ÷ predicted) of each row; NaN where it was not measured."""
    with np.errstate(invalid="ignore"):
        misses: Floats = np.log(held.observed.measured(quantity) / held.predicted[quantity])
    return misses


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """Smallest value below which at least ``share`` of the weight lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), values.size - 1)])
