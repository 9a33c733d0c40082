"""The constants of the physics, by robust least squares on the logarithm of all measured seconds at once."""

from collections import Counter

import numpy as np
from scipy.optimize import least_squares

from advisor.calibration.observations import SCENARIO_OF, Indices, Observations, seconds_of, targets
from advisor.performance.calibration import Group
from advisor.performance.constants import ENGINES, STACK_GROUPS, STACKS, TABLE, ConstantTable
from advisor.performance.constants import GROUPS as MULTIPLIED
from advisor.performance.deployments import Packed, classes_of
from advisor.performance.model import physics_timing
from advisor.performance.physics import Floats


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
    """Fit base values, and multipliers by engine and by vendor stack."""
    rows = _Rows(observed)
    start = np.zeros(len(TABLE) + len(ENGINES) * len(MULTIPLIED) + len(STACKS) * len(STACK_GROUPS))
    freedom = np.where(np.arange(start.size) < len(TABLE), BASE_FREEDOM, MULTIPLIER_FREEDOM)

    def misses(logs: Floats) -> Floats:
        return np.concatenate([*rows.misses(_table(logs)), HOLD * logs / freedom])

    return _table(least_squares(misses, start, loss="soft_l1", max_nfev=ROUNDS, x_scale=freedom).x, DIGITS)


class _Rows:
    """Rows that the fit compares, gathered once."""

    def __init__(self, observed: Observations) -> None:
        base = observed.packed(usual_constants())
        classes = [classes_of(deployment) for deployment in observed.deployments]
        self._classes = [classes[at] for at in observed.place.tolist()]
        self._parts: list[tuple[Group, str, Packed, Observations, Floats, Floats, list[tuple[str, str]]]] = []
        for group, target in targets():
            known = _known(observed, group, target)
            rows = _few_of_each(observed, known)
            if rows.size:
                some = observed.take(rows)
                seconds = np.log(some.measured_seconds(group, target))
                weight = np.sqrt(crowd_weights(observed, known)[np.isin(known, rows)])
                names = [self._classes[at] for at in rows.tolist()]
                self._parts.append((group, target, base.take(rows), some, seconds, weight, names))

    def misses(self, table: ConstantTable) -> list[Floats]:
        """Weighted log ratios of predicted to measured seconds, by target."""
        found = []
        for group, target, packed, some, seconds, weight, names in self._parts:
            timing = physics_timing(SCENARIO_OF[group], packed.replicas, table.constants_for(names), some.load)
            found.append(weight * (np.log(seconds_of(target, timing)) - seconds) / USUAL_SPREAD[target])
        return found


def _known(observed: Observations, group: Group, target: str) -> Indices:
    """Rows of a group whose target was measured."""
    rows = observed.of_group(group)
    return rows[np.isfinite(observed.measured_seconds(group, target)[rows])]


def _few_of_each(observed: Observations, known: Indices) -> Indices:
    """Rows thinned to at most so many of one cell and engine, spread evenly over the order in which they are listed."""
    names = observed.crowds()[known]
    kept: list[int] = []
    for name in np.unique(names):
        members = known[names == name]
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
