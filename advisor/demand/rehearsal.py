"""Requests made up after a demand: as many in each minute, as bursty, as long; the same ones every time."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.arrivals import Requests
from advisor.demand.clock import MONDAY_SECONDS, on_the_calendar
from advisor.demand.tally import bin_edges, token_bin
from advisor.demand.values import Demand, DemandProfile, Dispersion, Floats
from advisor.units import SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]

MOST_REQUESTS = 20_000
"""So many show 99 % to within 0.15 points (two standard errors of a share)."""
DECLARED_MINUTES = 20
"""Length of the busiest stretch of a demand of which nothing but numbers is known."""
SEED = 20_230_101
_WINDOWS = (6, 10)
"""Ten seconds in a minute, single seconds in those."""


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Requests of the busiest stretch, and what they were made after."""

    requests: Requests
    minutes: float
    words: str


def rehearse(demand: Demand, most_requests: int = MOST_REQUESTS) -> Rehearsal:
    """The busiest stretch of a demand, request by request.

    Minutes are as counted; within a minute requests fall into windows of ten seconds and of one second as unevenly as
    the measured dispersion says (a Dirichlet-multinomial split), and anywhere within a second.
    """
    generator = np.random.default_rng(SEED)
    if demand.profile is None:
        per_minute = demand.requests_per_second.peak * SECONDS_PER_MINUTE
        minutes = max(DECLARED_MINUTES, min(math.ceil(most_requests / max(per_minute, 1e-9) / 10), 24 * 60))
        counts = generator.poisson(per_minute, min(minutes, max(int(most_requests / max(per_minute, 1e-9)), 1)))
        if not counts.any():
            counts[0] = 1
        profile = DemandProfile(MONDAY_SECONDS, counts.astype(np.float64))
        words = f"made up at random (Poisson) at the stated peak for {len(counts)} min"
    else:
        profile = _busiest(demand.profile, most_requests)
        words = f"made up after the busiest {profile.requests_per_minute.size} min of the demand, as bursty as measured"
    seconds = _arrivals(profile, generator)
    cells = generator.choice(demand.tokens.probability.size, seconds.size, p=demand.tokens.probability)
    lengths = [demand.tokens.input_tokens[cells], demand.tokens.output_tokens[cells]]
    if demand.requests is not None:
        lengths = [_anywhere_in_its_bin(tokens, generator) for tokens in lengths]
        lengths[0] = np.minimum(lengths[0], demand.longest_request_tokens - np.ceil(lengths[1]))
    inputs, outputs = (np.round(tokens).astype(np.int32) for tokens in lengths)
    return Rehearsal(Requests(seconds, inputs, outputs), float(profile.requests_per_minute.size), words)


def _anywhere_in_its_bin(means: Floats, generator: np.random.Generator) -> Floats:
    """Lengths of which only the mean of their bin is known, spread over the bin about that mean."""
    low, high = bin_edges(token_bin(means.astype(np.int64)))
    reach = np.minimum(means - low, high - means)
    spread: Floats = means + np.maximum(reach, 0.0) * (2 * generator.random(means.size) - 1)
    return spread


def _busiest(profile: DemandProfile, most_requests: int) -> DemandProfile:
    """The minutes around the busiest one, as many as hold so many requests; unknown ones count as empty."""
    counts = np.nan_to_num(profile.requests_per_minute)
    peak = int(np.argmax(counts))
    low, high, total = peak, peak + 1, float(counts[peak])
    while total < most_requests and (low > 0 or high < counts.size):
        before = counts[low - 1] if low > 0 else -1.0
        after = counts[high] if high < counts.size else -1.0
        low, high = (low - 1, high) if before > after else (low, high + 1)
        total += max(float(before), float(after))
    start = on_the_calendar(profile.start_seconds) + low * SECONDS_PER_MINUTE
    return DemandProfile(start, counts[low:high], profile.dispersion)


def _arrivals(profile: DemandProfile, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Ascending arrival times."""
    counts = np.round(profile.requests_per_minute).astype(np.int64)
    for windows, index in zip(_WINDOWS, _indices(profile.dispersion), strict=True):
        counts = _split(counts, windows, index, generator).ravel()
    second = np.repeat(np.arange(counts.size), counts)
    seconds: npt.NDArray[np.float64] = profile.start_seconds + second + generator.random(second.size)
    return np.sort(seconds)


def _indices(dispersion: Dispersion) -> tuple[float, float]:
    """Index of dispersion in ten seconds and in one; that of random arrivals where unknown."""
    return max(dispersion.ten_seconds or 1.0, 1.0), max(dispersion.one_second or 1.0, 1.0)


def _split(counts: Integers, windows: int, index: float, generator: np.random.Generator) -> Integers:
    """Counts of equal windows that add up to each count: (counts, windows).

    A Dirichlet-multinomial split of n with total concentration A has the variance of a multinomial one times
    ``(n + A) / (1 + A)``, so ``A = (n - I) / (I - 1)`` gives an index of dispersion I (Mosimann 1962).
    """
    total = np.maximum(counts, 1).astype(np.float64)
    if index <= 1:
        shares = np.full((counts.size, windows), 1 / windows)
    else:
        concentration = np.maximum((total - index) / (index - 1), 1e-3) / windows
        drawn = generator.standard_gamma(np.repeat(concentration[:, None], windows, axis=1)) + 1e-12
        shares = drawn / drawn.sum(axis=1, keepdims=True)
    found: Integers = generator.multinomial(counts, shares)
    return found
