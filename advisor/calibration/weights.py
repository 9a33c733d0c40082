"""How much a row counts: less in a crowd, so that no much measured set-up drowns the others."""

from collections import Counter

import numpy as np

from advisor.calibration.observations import Indices, Observations
from advisor.performance.physics import Floats


def crowd_weights(observed: Observations, rows: Indices) -> Floats:
    """1 ÷ √(rows of the same cell and engine) of some rows, of mean 1."""
    names = observed.crowds()[rows].tolist()
    crowds = Counter(names)
    weights = np.array([crowds[name] ** -0.5 for name in names])
    return weights / weights.mean() if weights.size else weights
