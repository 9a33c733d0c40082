"""The learned residual: log(measured ÷ physics) as a kernel regression over features and the number of users.

Gaussian-process regression (Rasmussen and Williams 2006, 2.2) with the kernel (a² Matérn-3/2 over features + b² linear)
× (share + (1 - share) Matérn-3/2 over log users), reduced to a few inducing points (subset of regressors, 8.3.1). Far
from every measurement it returns to the mean residual. What is kept are the points and, for each target and each node
of the users axis, one weight a point: evaluating it is one distance matrix and one product.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.performance.physics import Floats
from advisor.records import dataclass

Floats32 = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating[Any]]
"""In whichever precision: single when predicting, double when fitting."""

NODES: Floats = np.array([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])
"""Users at which the residual is evaluated; between them it is interpolated in their logarithm."""
CLIP = 4.0
"""Standard deviations beyond which a feature makes no more difference."""
MIN_RISE = 1e-12
"""Difference of two places below which they are taken as one."""
CHUNK_ROWS = 512
"""Rows worked on at a time: their distances stay in the cache of one core."""


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """One regression for targets that share features; see the module."""

    targets: tuple[str, ...]
    nodes: Floats
    mean: Floats32
    """Of each feature."""
    deviation: Floats32
    """Standard deviation of each feature."""
    relevance: Floats32
    """Of each feature: √3 ÷ length of the kernel along it."""
    points: Floats32
    """Inducing points, scaled, (m, features)."""
    weights: Floats32
    """(m, targets × nodes)."""
    linear: Floats32
    """(features, targets × nodes)."""
    offset: Floats32
    """(targets × nodes)."""

    def at_nodes(self, features: Floats32) -> Floats:
        """Log factors, shape (n, targets, nodes)."""
        found = np.empty((features.shape[0], self.offset.size), dtype=np.float32)
        for start in range(0, features.shape[0], CHUNK_ROWS):
            scaled = scaled_features(features[start : start + CHUNK_ROWS], self.mean, self.deviation, self.relevance)
            near = matern(scaled, self.points)
            found[start : start + CHUNK_ROWS] = near @ self.weights + scaled @ self.linear + self.offset
        return found.astype(np.float64).reshape(-1, len(self.targets), self.nodes.size)


def scaled_features(features: Reals, mean: Reals, deviation: Reals, relevance: Reals) -> Reals:
    """Features in units of the kernel's length; outliers are drawn in."""
    scaled: Reals = np.clip((features - mean) / deviation, -CLIP, CLIP) * relevance
    return scaled


def matern(a: Reals, b: Reals) -> Reals:
    """Matérn-3/2 of all pairs: (1 + q) exp(-q), with the distance q in units that hold √3 ÷ length."""
    q: Reals = (-2 * a) @ b.T
    q += (a * a).sum(1)[:, None]
    q += (b * b).sum(1)
    np.sqrt(np.maximum(q, 0, out=q), out=q)
    near: Reals = np.exp(-q)
    near *= 1 + q
    return near


def monotone(rows: Floats) -> Floats:
    """Each row made non-decreasing: the mean of its running maximum and of its running minimum from the right.

    A row that rises everywhere stays as it is; of two rows the larger one stays the larger.
    """
    upper = np.maximum.accumulate(rows, axis=1)
    lower = np.minimum.accumulate(rows[:, ::-1], axis=1)[:, ::-1]
    result: Floats = (upper + lower) / 2
    return result


def monotone_from(rows: Floats) -> Floats:
    """The same with the first entry of each row left as it is, and no later one below it."""
    rest = np.maximum(monotone(rows[:, 1:]), rows[:, :1])
    return np.concatenate([rows[:, :1], rest], axis=1)


def along(at: Floats, places: Floats, values: Floats) -> Floats:
    """Value of each row at its place, linear between the row's own places, with slope 1 beyond the ends."""
    segment = np.clip((places <= at[:, None]).sum(axis=1) - 1, 0, places.shape[1] - 2)
    row = np.arange(at.size)
    start, width = places[row, segment], places[row, segment + 1] - places[row, segment]
    share = np.clip((at - start) / np.maximum(width, MIN_RISE), 0.0, 1.0)
    inside = values[row, segment] * (1 - share) + values[row, segment + 1] * share
    result: Floats = inside + np.maximum(at - places[:, -1], 0.0) + np.minimum(at - places[:, 0], 0.0)
    return result
