"""How far predictions are off for what the calibration has not seen: fitted without a part, predicted there.

Rows leave together that tell of each other: all of a cell (architecture × accelerator), of an accelerator, of a source;
or, for what was measured, all rows of one set-up under one load. Random rows would flatter.

Each held-out row gets the class that it would have had for a user: where its very set-up was measured elsewhere, where
accelerator and family were, or neither. A class is as wide as the rows of its own kind were off.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from advisor.calibration.fits import fit_constants, fit_residual
from advisor.calibration.observations import GROUPS, QUANTITIES, SCENARIO_OF, Indices, Observations, Strings
from advisor.performance.calibration import Calibration, Group, Spread, SpreadKey
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES, PredictionEvidence
from advisor.performance.model import PerformanceModel, physics_timing
from advisor.performance.physics import Floats
from advisor.performance.regimes import MeasuredCoverage, Timing, setup_key
from advisor.performance.values import Evidence, Scenario
from advisor.records import dataclass

FOLDS = 12
TAIL = 0.1
"""Share of measurements beyond each end."""
FEWEST = 30
"""Rows below which a class borrows the rows of the others; a scenario without any borrows those of all scenarios."""
FEWEST_CELLS = 10
"""Cells below which a split counts less than the others."""
LIKE = {
    (Scenario.SINGLE_STREAM, Quantity.TTFT): (Scenario.FIXED_BATCH, Quantity.TTFT),
    (Scenario.SATURATED, Quantity.TTFT): (Scenario.FIXED_BATCH, Quantity.TTFT),
    (Scenario.SINGLE_STREAM, Quantity.TPOT): (Scenario.SINGLE_STREAM, Quantity.THROUGHPUT),
    (Scenario.SATURATED, Quantity.TPOT): (Scenario.SATURATED, Quantity.THROUGHPUT),
}
"""What was hardly measured under a load errs as its counterpart does; a time as the inverse of a rate."""
DIGITS = 4


def points_of(observed: Observations) -> Strings:
    """Set-up and load of each row."""
    setups = np.array(["/".join(map(str, setup_key(deployment))) for deployment in observed.deployments])
    columns = (observed.load.concurrency, observed.load.input_tokens, observed.load.output_tokens)
    loads = [",".join(f"{number:.3g}" for number in load) for load in zip(*columns, strict=True)]
    return np.char.add(setups[observed.place], np.array(loads))


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


@dataclass(frozen=True, slots=True, eq=False)
class Misses:
    """Every held-out row of every split: how far it was off, in log, and in which class."""

    log_miss: Floats
    evidence: Indices
    scenario: Indices
    """Position in the scenarios."""
    quantity: Indices
    cells: Strings
    split: Indices
    """Which split left the row out."""

    @classmethod
    def of(cls, held_outs: Iterable[HeldOut]) -> "Misses":
        """Gather those that were measured."""
        parts = [_part(held, split, quantity) for split, held in enumerate(held_outs) for quantity in QUANTITIES]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def take(self, chosen: Indices) -> "Misses":
        """Some of the rows."""
        return Misses(*(getattr(self, name)[chosen] for name in self.__slots__))


def _part(
    held: HeldOut, split: int, quantity: Quantity
) -> tuple[Floats, Indices, Indices, Indices, Strings, Indices]:  # fmt: skip
    misses = log_misses(held, quantity)
    rows = np.flatnonzero(np.isfinite(misses))
    observed = held.observed
    scenarios = [list(Scenario).index(SCENARIO_OF[group]) for group in GROUPS]
    scenario = np.array(scenarios, dtype=np.intp)[observed.group[rows]]
    at, split_of = (np.full(rows.size, number, dtype=np.intp) for number in (QUANTITIES.index(quantity), split))
    return misses[rows], held.evidence[rows], scenario, at, observed.cells()[rows], split_of


def spreads_of(misses: Misses) -> dict[SpreadKey, Spread]:
    """Factors for every class, scenario and quantity."""
    return {
        (evidence, scenario, quantity): _spread(misses, evidence, scenario, quantity)
        for evidence in CLASSES
        for scenario in Scenario
        for quantity in QUANTITIES
    }


def _spread(misses: Misses, evidence: Evidence, scenario: Scenario, quantity: Quantity) -> Spread:
    like = LIKE.get((scenario, quantity), (scenario, quantity))
    asked = misses.scenario == list(Scenario).index(like[0])
    alike = misses.quantity == QUANTITIES.index(like[1])
    rows = np.flatnonzero(asked & alike if (asked & alike).any() else alike)
    own = rows[misses.evidence[rows] == CLASSES.index(evidence)]
    low, high = ends(misses, own if own.size >= FEWEST else rows)
    inverted = (quantity is Quantity.THROUGHPUT) != (like[1] is Quantity.THROUGHPUT)
    return Spread(*(float(f"{end:.{DIGITS}g}") for end in ((1 / high, 1 / low) if inverted else (low, high))))


def ends(misses: Misses, rows: Indices) -> tuple[float, float]:
    """Factors between which 80 % of the rows lie; crowded cells are weighted down, and splits count alike.

    What is asked is of another cell, another accelerator or another client, and nobody knows which; the largest split
    must not speak for the others. One of a few cells counts less.
    """
    names = list(zip(misses.split[rows].tolist(), misses.cells[rows].tolist(), strict=True))
    crowds = Counter(names)
    weights = np.array([crowds[name] ** -0.5 for name in names])
    for split in np.unique(misses.split[rows]):
        mine = misses.split[rows] == split
        cells = np.unique(misses.cells[rows[mine]]).size
        weights[mine] *= min(1.0, cells / FEWEST_CELLS) / weights[mine].sum()
    values = misses.log_miss[rows]
    return (
        min(float(np.exp(weighted_quantile(values, weights, TAIL))), 1.0),
        max(float(np.exp(weighted_quantile(values, weights, 1 - TAIL))), 1.0),
    )
