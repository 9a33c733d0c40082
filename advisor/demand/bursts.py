"""Burstiness of requests by the tenth of a second, and the random numbers of synthetic traces.

Demands that differ by a little then have traces that differ by a little, so that two plans differ by what was asked and
not by chance (common random numbers). The numbers are the mixed bits of their keys (SplitMix64: Steele, Lea and Flood
2014), as counter-based generators have them (Salmon et al. 2011).
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Dispersion, Floats
from advisor.records import dataclass, field
from advisor.units import SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]
SEED = 20_230_101
NORMAL_REACH = 10.0
"""Standard deviations about its mean in which a Poisson number is looked for."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_BITS = 53


def uniforms(stream: int, first: Integers, second: Integers | int = 0, counts: Integers | int = 1) -> Floats:
    """Independent numbers from 0 to below 1, one for each pair of keys: (n,); those of other *streams* are independent.

    *first*: first keys, (m,). *second*: second key of each pair, those of one first key side by side, (n,). *counts*:
    pairs of each first key, (m,).
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
    """Poisson numbers with a mean above 0, by the distribution's inverse, growing with it; *draws* from 0 below 1."""
    mode, reach = int(mean), int(NORMAL_REACH * np.sqrt(mean) + NORMAL_REACH)
    low = max(mode - reach, 0)
    numbers = np.arange(low, mode + reach + 1)
    ratios = np.log(mean) - np.log(np.maximum(numbers, 1))
    logs = np.concatenate([[0.0], np.cumsum(ratios[1:])])
    chances = np.exp(logs - logs.max()).cumsum()
    drawn: Floats = numbers[np.searchsorted(chances, draws * chances[-1], side="right")].astype(np.float64)
    return drawn


BLOCK_MINUTES = 5
BLOCK_SECONDS = BLOCK_MINUTES * SECONDS_PER_MINUTE
MOST_BLOCKS = 4096
"""Two weeks without a gap; of a longer trace every second, fourth, … block is kept."""
PER_SECOND = 10
LEAST_REQUESTS = 100
"""Fewer say nothing of a variance."""
_LEAST_TICK = 1e-3
"""Tenths of a second that times are apart at least where it is not rounding."""
_BLOCK_TENTHS = BLOCK_SECONDS * PER_SECOND


@dataclass(slots=True)
class FineCounts:
    """Requests in each tenth of a second of blocks of five minutes.

    Which blocks are kept follows from the blocks that occur, not from the order they come in.
    """

    is_finer: bool = False
    """Whether the clock shows less than a tenth of a second."""
    anchor: float | None = None
    """Any of the times, in seconds."""
    most_blocks: int = MOST_BLOCKS
    stride: int = 1
    blocks: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)

    def read_clock(self, seconds: Floats) -> None:
        """Note whether any of the times lie between tenths of a second from each other."""
        if self.anchor is None:
            self.anchor = float(seconds[0])
        if not self.is_finer:
            tenths = (seconds - self.anchor) * PER_SECOND
            self.is_finer = bool((np.abs(tenths - np.round(tenths)) > _LEAST_TICK).any())

    def add(self, tenths: Integers, counts: Integers) -> None:
        """Count requests by the tenth of a second since the epoch, ascending, each once."""
        block_of = tenths // _BLOCK_TENTHS
        firsts = np.flatnonzero(np.diff(block_of, prepend=block_of[0] - 1))
        for first, end in pairwise([*firsts.tolist(), len(tenths)]):
            number = int(block_of[first])
            if number % self.stride == 0:
                if number not in self.blocks:
                    self.blocks[number] = np.zeros(_BLOCK_TENTHS, dtype=np.int32)
                self.blocks[number][tenths[first:end] - number * _BLOCK_TENTHS] += counts[first:end].astype(np.int32)
            while len(self.blocks) > self.most_blocks:
                self.stride *= 2
                self.blocks = {number: block for number, block in self.blocks.items() if number % self.stride == 0}

    def dispersion(self, minutes: npt.NDArray[np.bool_], first_minute: int) -> Dispersion:
        """Burstiness over the minutes that were wholly observed, the first so many minutes since the epoch.

        A clock that is coarser than a window, or too few requests, leave it unknown.
        """
        numbers = sorted(self.blocks)
        blocks = np.array([self.blocks[number] for number in numbers])
        tenths = blocks.reshape(-1, BLOCK_MINUTES, SECONDS_PER_MINUTE, PER_SECOND)
        counts = tenths.sum(axis=3, dtype=np.int32)
        of_block = np.array(numbers)[:, None] * BLOCK_MINUTES + np.arange(BLOCK_MINUTES) - first_minute
        inside = (of_block >= 0) & (of_block < len(minutes))
        whole = inside & minutes[np.clip(of_block, 0, len(minutes) - 1)]
        in_use = np.flatnonzero(tenths.any(axis=(0, 1)).ravel())
        # Tick of the clock in tenths of a second, by the tenths of the minute at which any request came.
        tick = 1 if self.is_finer else int(np.gcd.reduce([*(in_use - in_use[:1]), SECONDS_PER_MINUTE * PER_SECOND]))
        tens = counts[whole.all(axis=1)].reshape(-1, BLOCK_SECONDS // 10, 10).sum(axis=2)
        return Dispersion(
            one_second=_variance_to_mean(counts[whole]) if PER_SECOND % tick == 0 else None,
            ten_seconds=_variance_to_mean(tens) if 10 * PER_SECOND % tick == 0 else None,
            tenth_second=_variance_to_mean(tenths[whole].reshape(-1, PER_SECOND)) if tick == 1 else None,
        )


def _variance_to_mean(counts: npt.NDArray[np.int32]) -> float | None:
    """Sum of the rows' variances ÷ sum of their means; of shape ``(rows, windows)``."""
    totals: Floats = counts.sum(axis=1, dtype=np.float64)
    if totals.sum() < LEAST_REQUESTS:
        return None
    windows = counts.shape[1]
    squares: Floats = np.einsum("ij,ij->i", counts, counts, dtype=np.float64, casting="safe")
    variances = (squares - totals**2 / windows) / (windows - 1)
    return float(variances.sum() / (totals.sum() / windows))
