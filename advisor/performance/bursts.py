"""Arrivals in bursts, which thin out over replicas."""

from dataclasses import dataclass

import numpy as np

from advisor.performance.physics import FloatLike, Floats


@dataclass(frozen=True, slots=True)
class Bursts:
    """Burstiness of arrivals at a replica that is one of n: an index of dispersion of ``1 + (I - 1) / n``.

    A replica that receives the rate r is one of ``n = peak / r``, as few as carry the busiest minute so.
    """

    dispersion: float = 1.0
    """Variance over mean of all arrivals in short windows, I; 1 at random (Poisson)."""
    peak: float = 0.0
    """Requests per second of the busiest minute; 0: one replica receives all arrivals."""

    def seen_at(self, rate: Floats) -> FloatLike:
        """Index of dispersion of the arrivals at replicas that receive such rates, in requests per second: (n,)."""
        if self.dispersion == 1 or self.peak <= 0:
            return self.dispersion
        return 1 + (self.dispersion - 1) * np.minimum(rate / self.peak, 1.0)


RANDOM = Bursts()
