"""One's own measurements on top of the shipped calibration: near them they count, far from them nothing changes.

A second regression of the same kernel, of zero mean and shorter reach, over log(measured ÷ shipped prediction). It has
the longest reach that helps on one's own cells and loads that it has not seen. Cells that others published and one has
not measured oneself keep their predictions to the last bit.
"""

import numpy as np

from advisor.calibration.fits import AMPLITUDE, LENGTH, NEAR, users_kernel, usual_constants
from advisor.calibration.observations import (
    GROUPS,
    QUANTITIES,
    SCENARIO_OF,
    LeftOut,
    Observations,
    Strings,
    seconds_of,
)
from advisor.calibration.validation import log_misses, points_of, predict_rows, reach_of
from advisor.performance.calibration import TARGETS, Calibration, Group, Residual, features, scaled_features
from advisor.performance.constants import Quantity
from advisor.performance.model import physics_timing
from advisor.performance.physics import Constants, Floats
from advisor.records import dataclass, fields, replace
from advisor.units import MS_PER_SECOND

IDEAL = {"weight_read": 1.0, "kv_read": 1.0, "gemm": 1.0, "moe_gemm": 1.0}
"""Peak bandwidth and peak arithmetic; everything else costs nothing."""
OVERLAP = 2 ** (1 / 3)
"""The physics' combination of memory and arithmetic time exceeds the larger of them by at most this factor."""
TOLERANCE = 0.97
"""Share of the bound that peaks as published may be off."""
REACHES = (4.0, 2.5, 1.5, 1.0, 0.6)
"""Lengths of the kernel that are tried, longest first."""
NOISE = 0.07
"""Standard deviation, in log, of one's own measurements."""
QUANTITY_OF = {"ttft": Quantity.TTFT, "tpot": Quantity.TPOT}
"""Of a target; the others are times of a throughput."""
Key = tuple[str, str]
"""Scenario and quantity."""


def impossible(observed: Observations) -> list[tuple[int, LeftOut]]:
    """Rows that are faster than the hardware, with the bound.

    It is that of replicas which read each expert that one token needs and no other, at their peaks.
    """
    usual = observed.packed(usual_constants())
    r = usual.replicas
    unread = r.moe_layers * np.maximum(r.experts - r.experts_per_token, 0.0) * r.expert_params
    read = np.maximum(r.params_total - unread, 1.0)
    least = replace(r, params_total=read, experts=np.minimum(r.experts, r.experts_per_token))
    constants = {field.name: np.full(observed.size, IDEAL.get(field.name, 0.0)) for field in fields(Constants)}
    ideal = replace(usual, replicas=least, constants=Constants(**constants))
    left_out: dict[int, LeftOut] = {}
    for group in Group:
        rows = observed.of_group(group)
        if not rows.size:
            continue
        some, packed = observed.take(rows), ideal.take(rows)
        timing = physics_timing(SCENARIO_OF[group], packed.replicas, packed.constants, some.load)
        for target in TARGETS[group]:
            bound = seconds_of(target, timing) / OVERLAP * TOLERANCE
            measured = some.measured_seconds(group, target)
            for at in np.flatnonzero(measured < bound).tolist():
                left_out.setdefault(int(rows[at]), LeftOut(some.where[at], _reason(target, measured[at], bound[at])))
    return sorted(left_out.items())


def _reason(target: str, measured: float, bound: float) -> str:
    words = {"ttft": "time to first token"}.get(target, "time per token")
    return (
        f"{words} of {measured * MS_PER_SECOND:.4g} ms is below {bound * MS_PER_SECOND:.4g} ms, the bound of memory "
        "bandwidth and peak arithmetic: check accelerator, precision, lengths, speculation and cached prompts"
    )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Median error of a quantity on one's own rows."""

    scenario: str
    quantity: str
    rows: int
    cells: int
    before: float
    """By the shipped calibration."""
    unseen_cell: float | None
    """Learned from the other cells only; None where there is one cell."""
    unseen_point: float | None
    """Learned from all rows of another set-up or load; None where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A calibration with one's own measurements, and what it is worth."""

    calibration: Calibration
    reach: float | None
    """None where nothing was learned, because nothing would have been better."""
    accuracy: tuple[Accuracy, ...]
    published: tuple[tuple[Key, float, float], ...]
    """Median error on published measurements of other cells, before and after."""


def learn(own: Observations, published: Observations, shipped: Calibration) -> Learned:
    """Learn from one's own rows; see the module."""
    others = published.take(np.flatnonzero(~np.isin(published.cells(), own.cells())))
    before = medians(shipped, others)
    measured = reach_of(own)
    reach = next((ratio for ratio in REACHES if _pays(own, shipped, ratio)), None)
    calibration = shipped.with_own(overlay(own, shipped, reach) if reach else {}, measured)
    after = medians(calibration, others)
    compared = tuple((key, before[key], after[key]) for key in before)
    return Learned(calibration, reach, _accuracy(own, shipped, reach), compared)


def _pays(own: Observations, shipped: Calibration, reach: float) -> bool:
    """Whether a reach helps, or does no harm, on one's own cells and loads that it has not seen."""
    groups = [names for names in (own.cells(), points_of(own)) if np.unique(names).size > 1]
    return all(_total(own, shipped, names, reach) <= _total(own, shipped, names, None) for names in groups)


def _total(own: Observations, shipped: Calibration, names: Strings, reach: float | None) -> float:
    """Sum of absolute log misses of rows predicted without what shares their name."""
    misses = held_out_misses(own, shipped, names, reach)
    return float(sum(np.nansum(np.abs(miss)) for miss in misses.values()))


def held_out_misses(
    own: Observations, shipped: Calibration, names: Strings, reach: float | None
) -> dict[Quantity, Floats]:  # fmt: skip
    """log(measured ÷ predicted) of each row, learned without those that share its name; as shipped without a reach."""
    if reach is None:
        held = predict_rows(shipped, own)
        return {quantity: log_misses(held, quantity) for quantity in QUANTITIES}
    misses = {quantity: np.full(own.size, np.nan) for quantity in QUANTITIES}
    measured = reach_of(own)
    for name in np.unique(names):
        left = np.flatnonzero(names == name)
        rest = own.take(np.flatnonzero(names != name))
        calibration = shipped.with_own(overlay(rest, shipped, reach), measured)
        held = predict_rows(calibration, own.take(left))
        for quantity in QUANTITIES:
            misses[quantity][left] = log_misses(held, quantity)
    return misses


def overlay(own: Observations, shipped: Calibration, reach: float) -> dict[Group, Residual]:
    """The second regression, on some rows."""
    held = predict_rows(shipped, own)
    misses = {quantity: log_misses(held, quantity) for quantity in QUANTITIES}
    arrays = {}
    for group in Group:
        rows = own.of_group(group)
        if rows.size:
            logs = [_target_misses(target, misses)[rows] for target in TARGETS[group]]
            arrays[group] = _fit(own.take(rows), shipped, group, (reach, logs))
    return arrays


def _target_misses(target: str, misses: dict[Quantity, Floats]) -> Floats:
    """Log misses of a target in seconds: a throughput too high is a time too short."""
    quantity = QUANTITY_OF.get(target)
    return misses[quantity] if quantity else -misses[Quantity.THROUGHPUT]


def _fit(own: Observations, shipped: Calibration, group: Group, asked: tuple[float, list[Floats]]) -> Residual:
    reach, logs = asked
    base = shipped.residuals[group]
    relevance = base.relevance * np.float32(LENGTH / reach)
    raw = features(own.packed(shipped.constants), own.load)
    points = scaled_features(raw, base.mean, base.deviation, relevance)
    log_users = np.log(np.maximum(own.load.concurrency, 1.0))
    covariance = AMPLITUDE**2 * NEAR(points.astype(np.float64)) * users_kernel(log_users, log_users)
    share = users_kernel(log_users, np.log(base.nodes))
    weights = np.concatenate([share * _weights(covariance, log)[:, None] for log in logs], axis=1)
    return replace(
        base,
        relevance=relevance,
        points=points.astype(np.float32),
        weights=(AMPLITUDE**2 * weights).astype(np.float32),
        linear=np.zeros_like(base.linear),
        offset=np.zeros_like(base.offset),
    )


def _weights(covariance: Floats, logs: Floats) -> Floats:
    """Weight of each row; 0 for those that were not measured."""
    finite = np.flatnonzero(np.isfinite(logs))
    weights = np.zeros(logs.size)
    if finite.size:
        system = covariance[np.ix_(finite, finite)] + NOISE**2 * np.eye(finite.size)
        weights[finite] = np.linalg.solve(system, logs[finite])
    return weights


def medians(calibration: Calibration, observed: Observations) -> dict[Key, float]:
    """Median error of each quantity in each scenario."""
    held = predict_rows(calibration, observed)
    by_key: dict[Key, float] = {}
    for group, scenario in SCENARIO_OF.items():
        rows = observed.of_group(group)
        for quantity in QUANTITIES:
            error = _errors(log_misses(held, quantity)[rows])
            if error.size:
                by_key[scenario.value, quantity.value] = float(np.median(error))
    return by_key


def _errors(misses: Floats) -> Floats:
    """|predicted ÷ measured - 1| of the rows that were measured."""
    error: Floats = np.abs(np.exp(-misses[np.isfinite(misses)]) - 1)
    return error


def _accuracy(own: Observations, shipped: Calibration, reach: float | None) -> tuple[Accuracy, ...]:
    cells, points = own.cells(), points_of(own)
    ways = [
        held_out_misses(own, shipped, cells, None),
        held_out_misses(own, shipped, cells, reach),
        held_out_misses(own, shipped, points, reach),
    ]
    lines = []
    for group, scenario in SCENARIO_OF.items():
        for quantity in QUANTITIES:
            rows = np.flatnonzero((own.group == GROUPS.index(group)) & np.isfinite(ways[0][quantity]))
            if rows.size:
                before, cell, point = (float(np.median(_errors(way[quantity][rows]))) for way in ways)
                several = [np.unique(names[rows]).size > 1 for names in (cells, points)]
                shown = (cell if several[0] else None, point if several[1] else None)
                count = int(np.unique(cells[rows]).size)
                lines.append(Accuracy(scenario.value, quantity.value, int(rows.size), count, before, *shown))
    return tuple(lines)
