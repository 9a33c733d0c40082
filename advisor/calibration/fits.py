"""Fits of the constants of the physics, and of the learned residual, by the subset of regressors on inducing points.

Rasmussen and Williams 2006: kernels 4.2, inducing points 8.3.1; pivoted Cholesky as in Fine and Scheinberg 2001.
"""

from collections import Counter

import numpy as np
from scipy.optimize import least_squares
from sklearn.gaussian_process.kernels import Matern

from advisor.calibration.observations import SCENARIO_OF, Indices, Observations, seconds_of, targets
from advisor.performance.calibration import (
    FEATURES,
    NODES,
    TARGETS,
    Floats32,
    Group,
    Reals,
    Residual,
    features,
    features_of,
    scaled_features,
)
from advisor.performance.constants import ENGINES, STACK_GROUPS, STACKS, TABLE, ConstantTable
from advisor.performance.constants import GROUPS as MULTIPLIED
from advisor.performance.deployments import TRAITS, Packed, classes_of
from advisor.performance.model import physics_timing
from advisor.performance.physics import Floats
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
