"""Random numbers by their place, not by their turn: what is drawn for a request stays when others come or go.

Demands that differ by a little then have traces that differ by a little, so that two plans differ by what was asked and
not by chance (common random numbers). The numbers are the mixed bits of their keys (SplitMix64: Steele, Lea and Flood
2014), as counter-based generators have them (Salmon et al. 2011).
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SEED = 20_230_101
NORMAL_REACH = 10.0
"""Standard deviations about its mean in which a Poisson number is looked for."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_BITS = 53


def uniforms(stream: int, first: Integers, second: Integers | int = 0, counts: Integers | int = 1) -> Floats:
    """Independent numbers from 0 to below 1, one for each pair of keys: (n,).

    Args:
        stream: what they are for; those of other streams are independent.
        first: first keys, (m,).
        second: second key of each pair, those of one first key side by side, (n,).
        counts: pairs of each first key, (m,).
    """
    state = _mixed(np.array([SEED], dtype=np.uint64) ^ np.array([stream], dtype=np.uint64))
    state = np.repeat(_mixed(state ^ first.astype(np.uint64)), counts)
    state = _mixed(state ^ np.asarray(second).astype(np.uint64))
    return (state >> np.uint64(64 - _BITS)) / 2.0**_BITS


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + _GOLDEN
    for shift, factor in _MIXERS:
        state = (state ^ (state >> np.uint64(shift))) * factor
    return state ^ (state >> np.uint64(31))


def poisson(mean: float, draws: Floats) -> Floats:
    """Poisson numbers with a mean above 0, by the inverse of their distribution: more where the mean is more.

    Args:
        mean: of each.
        draws: from 0 to below 1.
    """
    mode, reach = int(mean), int(NORMAL_REACH * np.sqrt(mean) + NORMAL_REACH)
    low = max(mode - reach, 0)
    numbers = np.arange(low, mode + reach + 1)
    ratios = np.log(mean) - np.log(np.maximum(numbers, 1))
    logs = np.concatenate([[0.0], np.cumsum(ratios[1:])])
    chances = np.exp(logs - logs.max()).cumsum()
    drawn: Floats = numbers[np.searchsorted(chances, draws * chances[-1], side="right")].astype(np.float64)
    return drawn
