"""Arrivals in bursts, which thin out over replicas."""

import numpy as np

from advisor.demand.values import Demand
from advisor.performance.physics import FloatLike, Floats
from advisor.records import dataclass

LARGEST_DISPERSION = 10.0
"""Up to this index of dispersion the closed form was compared with the replay."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """Burstiness of arrivals at a replica that is one of n.

    A replica that receives the rate r is one of ``n = peak / r``, as few as carry the busiest minute so.
    """

    dispersion: float = 1.0
    """Variance over mean of all arrivals in short windows, I; 1 at random (Poisson)."""
    peak: float = 0.0
    """Requests per second of the busiest minute; 0: one replica receives all arrivals."""

    def seen_at(self, rate: Floats) -> FloatLike:
        """Index of dispersion at replicas that receive such rates of a random split, ``1 + (I - 1) / n``: (n,)."""
        if self.dispersion == 1 or self.peak <= 0:
            return self.dispersion
        return 1 + (self.dispersion - 1) * np.minimum(rate / self.peak, 1.0)

    def in_turn_at(self, rate: Floats) -> FloatLike:
        """Index of dispersion at replicas that receive such rates in turn, ``I / n``: every n-th request, (n,)."""
        return self.dispersion if self.peak <= 0 else self.dispersion * np.minimum(rate / self.peak, 1.0)


RANDOM = Bursts()


def bursts_of(demand: Demand) -> Bursts:
    """Burstiness at the scale of seconds, as far as the closed form is good for it; the replay finds the rest."""
    measured = demand.profile.dispersion.one_second if demand.profile else None
    dispersion = min(max(measured or 1.0, 1.0), LARGEST_DISPERSION)
    return Bursts(dispersion, demand.requests_per_second.peak)
