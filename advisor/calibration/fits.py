"""Fits of the constants of the physics and of the learned residual, and how far predictions are off without a part.

Rasmussen and Williams 2006: kernels 4.2, inducing points 8.3.1; pivoted Cholesky as in Fine and Scheinberg 2001.

Rows leave together that tell of each other: all of a cell (architecture × accelerator), of an accelerator, of a source;
or, for what was measured, all rows of one set-up under one load. Random rows would flatter.

Each held-out row gets the class that it would have had for a user: where its very set-up was measured elsewhere, where
accelerator and family were, or neither. A class is as wide as the rows of its own kind were off.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.optimize import least_squares
from sklearn.gaussian_process.kernels import Matern

from advisor.calibration.observations import (
    GROUPS,
    QUANTITIES,
    SCENARIO_OF,
    Indices,
    Observations,
    Strings,
    seconds_of,
    targets,
)
from advisor.performance import Evidence, Scenario
from advisor.performance.calibration import (
    FEATURES,
    NODES,
    TARGETS,
    Calibration,
    Floats32,
    Group,
    Reals,
    Residual,
    Spread,
    SpreadKey,
    features,
    features_of,
    scaled_features,
)
from advisor.performance.constants import ENGINES, STACK_GROUPS, STACKS, TABLE, ConstantTable, Quantity
from advisor.performance.constants import GROUPS as MULTIPLIED
from advisor.performance.deployments import TRAITS, Packed, classes_of
from advisor.performance.evidence import CLASSES, PredictionEvidence
from advisor.performance.model import PerformanceModel, physics_timing
from advisor.performance.physics import Floats
from advisor.performance.regimes import MeasuredCoverage, Timing, setup_key
from advisor.records import dataclass


def crowd_weights(observed: Observations, rows: Indices) -> Floats:
    """1 ÷ √(rows of the same cell and engine) of some rows, of mean 1."""
    names = observed.crowds()[rows].tolist()
    crowds = Counter(names)
    weights = np.array([crowds[name] ** -0.5 for name in names])
    return weights / weights.mean() if weights.size else weights


USUAL_SPREAD = {"ttft": 0.4, "tpot": 0.15, "whole": 0.2, "token": 0.2}
"""Standard deviation of log(measured ÷ physics) that a target is weighted by."""
BASE_FREEDOM = 0.7
"""How far, in log, a constant may leave its usual value before that counts as much as one row."""
MULTIPLIER_FREEDOM = 0.5
HOLD = 2.0
"""Weight of being held to the usual values, in rows."""
ROWS_PER_CROWD = 10
"""Rows of one cell, engine and target that the fit looks at: more tell nothing new."""
ROUNDS = 10
DIGITS = 4
"""Significant digits kept of a fitted value."""


def usual_constants() -> ConstantTable:
    """The values that the fit starts from."""
    return ConstantTable({constant.name: constant.usual for constant in TABLE}, {})


def fit_constants(observed: Observations) -> ConstantTable:
    """Fit base values, and multipliers by engine and by vendor stack, to weighted log ratios of seconds by target."""
    base = observed.packed(usual_constants())
    classes = [classes_of(deployment) for deployment in observed.deployments]
    parts: list[tuple[Group, str, Packed, Observations, Floats, Floats, list[tuple[str, str]]]] = []
    for group, target in targets():
        rows = observed.of_group(group)
        measured = rows[np.isfinite(observed.measured_seconds(group, target)[rows])]
        compared = _few_of_each(observed, measured)
        if compared.size:
            some = observed.take(compared)
            seconds = np.log(some.measured_seconds(group, target))
            weight = np.sqrt(crowd_weights(observed, measured)[np.isin(measured, compared)])
            names = [classes[at] for at in some.place.tolist()]
            parts.append((group, target, base.take(compared), some, seconds, weight, names))
    start = np.zeros(len(TABLE) + len(ENGINES) * len(MULTIPLIED) + len(STACKS) * len(STACK_GROUPS))
    freedom = np.where(np.arange(start.size) < len(TABLE), BASE_FREEDOM, MULTIPLIER_FREEDOM)

    def misses(logs: Floats) -> Floats:
        table = _table(logs)
        ratios = []
        for group, target, packed, some, seconds, weight, names in parts:
            timing = physics_timing(SCENARIO_OF[group], packed.replicas, table.constants_for(names), some.load)
            ratios.append(weight * (np.log(seconds_of(target, timing)) - seconds) / USUAL_SPREAD[target])
        return np.concatenate([*ratios, HOLD * logs / freedom])

    return _table(least_squares(misses, start, loss="soft_l1", max_nfev=ROUNDS, x_scale=freedom).x, DIGITS)


def _few_of_each(observed: Observations, rows: Indices) -> Indices:
    """Rows thinned to at most so many of one cell and engine, spread evenly over the order in which they are listed."""
    names = observed.crowds()[rows]
    kept: list[int] = []
    for name in np.unique(names):
        members = rows[names == name]
        step = np.linspace(0, members.size - 1, min(members.size, ROWS_PER_CROWD)).round().astype(np.intp)
        kept += members[step].tolist()
    return np.array(sorted(kept), dtype=np.intp)


def _table(logs: Floats, digits: int | None = None) -> ConstantTable:
    """Constants from the logarithms of their ratio to the usual ones."""

    def rounded(value: float) -> float:
        return value if digits is None else float(f"{value:.{digits}g}")

    factors = np.exp(logs)
    base = {constant.name: rounded(constant.usual * factors[at]) for at, constant in enumerate(TABLE)}
    multipliers: dict[str, dict[str, float]] = {}
    at = len(TABLE)
    for names, groups in ((ENGINES, tuple(MULTIPLIED)), (STACKS, STACK_GROUPS)):
        for name in names:
            multipliers[name] = {group: rounded(factors[at + place]) for place, group in enumerate(groups)}
            at += len(groups)
    return ConstantTable(base, multipliers)


LENGTH = 5.0
"""Of the kernel, in standard deviations of all features together."""
TRAIT_RELEVANCE = 0.7
"""Kinds of engine and hardware against numbers."""
AMPLITUDE = 0.35
"""Standard deviation, in log, of what features explain by nearness."""
SLOPE = 0.0577
"""Standard deviation of the slope along a feature, in units of the kernel's length."""
LEVEL = 0.1
"""Standard deviation of what is the same everywhere."""
NOISE = 0.1
"""Standard deviation of a row of weight 1."""
USERS_LENGTH = 1.5
"""Of the kernel over log users."""
SHARED = 0.3
"""Share of the residual that does not depend on the users."""
CLIP_LOG = 2.0
"""Residuals beyond this are taken as this: they are another experiment."""
MIN_DEVIATION = 1e-3
POINTS = {Group.LOOP: 420, Group.BATCH: 640, Group.STREAM: 200, Group.SATURATED: 320}
NEAR = Matern(length_scale=np.sqrt(3.0), nu=1.5)
"""Over scaled features, whose unit holds √3 ÷ length already."""
ALIKE = Matern(length_scale=USERS_LENGTH, nu=1.5)
DECIMALS = 4
JITTER = 1e-6
TIES = 9
"""Decimals in which what rows leave unexplained is compared: of equals the first, on every processor."""


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Scaled features and log users of some rows."""

    scaled: Floats
    log_users: Floats

    def take(self, index: Indices) -> "_Inputs":
        """The rows at the given positions."""
        return _Inputs(self.scaled[index], self.log_users[index])


def fit_residual(observed: Observations, table: ConstantTable, group: Group) -> Residual:
    """Fit all targets of a group on the rows that have them."""
    observed = observed.take(observed.of_group(group))
    packed = observed.packed(table)
    raw = features(packed, observed.load)
    mean = raw.mean(axis=0).round(DECIMALS)
    deviation = np.maximum(raw.std(axis=0), MIN_DEVIATION).round(DECIMALS)
    relevance = np.array([TRAIT_RELEVANCE if name in TRAITS else 1.0 for name in FEATURES], dtype=np.float32)
    relevance = (relevance * np.float32(np.sqrt(3) / LENGTH)).round(DECIMALS)

    def inputs_of(values: Floats32) -> _Inputs:
        scaled = scaled_features(values, mean, deviation, relevance).astype(np.float64).round(DECIMALS)
        return _Inputs(scaled, np.log(np.maximum(observed.load.concurrency, 1.0)).round(DECIMALS))

    inputs = inputs_of(raw)
    points = inputs.take(inducing(inputs, POINTS[group]))
    timing = physics_timing(SCENARIO_OF[group], packed.replicas, packed.constants, observed.load)
    nodes = NODES if len(TARGETS[group]) > 1 else NODES[:1]
    columns = []
    for target in TARGETS[group]:
        logs = np.log(observed.measured_seconds(group, target) / seconds_of(target, timing))
        columns.append(_solve(observed, inputs_of(features_of(target, packed, observed.load)), points, logs))
    return _as_residual(group, nodes, (mean, deviation, relevance), points, columns)


def kernel(a: _Inputs, b: _Inputs) -> Floats:
    """Covariance of all pairs of rows."""
    near: Floats = AMPLITUDE**2 * NEAR(a.scaled, b.scaled) + SLOPE**2 * (a.scaled @ b.scaled.T)
    return near * users_kernel(a.log_users, b.log_users) + LEVEL**2


def users_kernel(a: Floats, b: Floats) -> Floats:
    """Share of the covariance that is left between two numbers of users."""
    share: Floats = SHARED + (1 - SHARED) * ALIKE(a[:, None], b[:, None])
    return share


def inducing(inputs: _Inputs, count: int) -> Indices:
    """Positions of the rows that, one after the other, are least explained by those before."""
    size = inputs.log_users.size
    left = (AMPLITUDE**2 + SLOPE**2 * (inputs.scaled**2).sum(axis=1)) + LEVEL**2
    basis = np.zeros((min(count, size), size))
    chosen: list[int] = []
    for at in range(basis.shape[0]):
        pivot = int(np.argmax(left.round(TIES)))
        if left[pivot] < JITTER:
            break
        row = kernel(inputs.take(np.array([pivot])), inputs)[0] - basis[:at, pivot] @ basis[:at]
        basis[at] = row / np.sqrt(left[pivot])
        left = np.maximum(left - basis[at] ** 2, 0.0)
        chosen.append(pivot)
    return np.array(sorted(chosen), dtype=np.intp)


def _solve(observed: Observations, inputs: _Inputs, points: _Inputs, logs: Floats) -> tuple[float, Floats]:
    """Mean residual, and weight of each inducing point."""
    rows = np.flatnonzero(np.isfinite(logs))
    if not rows.size:
        return 0.0, np.zeros(points.log_users.size)
    weights = crowd_weights(observed, rows)
    clipped = np.clip(logs[rows], -CLIP_LOG, CLIP_LOG)
    level = float(np.average(clipped, weights=weights))
    cross = kernel(inputs.take(rows), points)
    precision = weights / NOISE**2
    system = np.asarray(kernel(points, points) + (cross.T * precision) @ cross, dtype=np.float64)
    system[np.diag_indices_from(system)] += JITTER
    solution = np.linalg.solve(system, cross.T @ (precision * (clipped - level)))
    return level, np.asarray(solution, dtype=np.float64)


def _as_residual(
    group: Group,
    nodes: Floats,
    scaling: tuple[Reals, Reals, Reals],
    points: _Inputs,
    columns: list[tuple[float, Floats]],
) -> Residual:
    """Fold the users axis into one weight for each node."""
    share = users_kernel(points.log_users, np.log(nodes))
    weights = np.concatenate([share * column[:, None] for _, column in columns], axis=1)
    offset = np.concatenate([np.full(nodes.size, level + LEVEL**2 * column.sum()) for level, column in columns])

    def plain(values: Reals) -> Floats32:
        return values.round(DECIMALS).astype(np.float32)

    return Residual(
        targets=TARGETS[group],
        nodes=nodes,
        mean=plain(scaling[0]),
        deviation=plain(scaling[1]),
        relevance=plain(scaling[2]),
        points=plain(points.scaled),
        weights=plain(AMPLITUDE**2 * weights),
        linear=plain(SLOPE**2 * points.scaled.T @ weights),
        offset=plain(offset),
    )


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
ERROR_DIGITS = 4


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
    model, prediction_evidence = PerformanceModel(calibration), PredictionEvidence(observed.deployments, calibration)
    predicted, physics = ({quantity: np.full(observed.size, np.nan) for quantity in QUANTITIES} for _ in range(2))
    evidence = np.zeros(observed.size, dtype=np.intp)
    for group, scenario in SCENARIO_OF.items():
        rows = observed.of_group(group)
        if not rows.size:
            continue
        some = observed.take(rows)
        packed = some.packed(calibration.constants)
        evidence[rows] = prediction_evidence.evidence(scenario, some.place, some.load)
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
    return Spread(*(float(f"{end:.{ERROR_DIGITS}g}") for end in ((1 / high, 1 / low) if inverted else (low, high))))


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
