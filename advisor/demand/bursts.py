"""Requests by the second, kept for a bounded sample of the trace, and how bursty they are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Dispersion, Floats
from advisor.units import SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]

BLOCK_MINUTES = 5
BLOCK_SECONDS = BLOCK_MINUTES * SECONDS_PER_MINUTE
MOST_BLOCKS = 4096
"""Two weeks without a gap; of a longer trace every second, fourth, … block is kept."""
LEAST_REQUESTS = 100
"""Fewer say nothing of a variance."""


@dataclass(slots=True)
class SecondCounts:
    """Requests in each second of blocks of five minutes.

    Which blocks are kept follows from the blocks that occur, not from the order they come in.
    """

    most_blocks: int = MOST_BLOCKS
    stride: int = 1
    blocks: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)

    def add(self, seconds: Integers, counts: Integers) -> None:
        """Count requests.

        Args:
            seconds: whole seconds since the epoch, ascending, each once.
            counts: requests in each.
        """
        block_of = seconds // BLOCK_SECONDS
        firsts = np.flatnonzero(np.diff(block_of, prepend=block_of[0] - 1))
        for first, end in pairwise([*firsts.tolist(), len(seconds)]):
            number = int(block_of[first])
            if number % self.stride == 0:
                block = self.blocks.setdefault(number, np.zeros(BLOCK_SECONDS, dtype=np.int32))
                block[seconds[first:end] - number * BLOCK_SECONDS] += counts[first:end].astype(np.int32)
            while len(self.blocks) > self.most_blocks:
                self.stride *= 2
                self.blocks = {number: block for number, block in self.blocks.items() if number % self.stride == 0}

    def dispersion(self, minutes: npt.NDArray[np.bool_], first_minute: int) -> Dispersion:
        """Burstiness over the minutes that were wholly observed.

        A clock that is coarser than a window, or too few requests, leave it unknown.

        Args:
            minutes: whether each minute was wholly observed.
            first_minute: the first of them, in minutes since the epoch.
        """
        numbers = sorted(self.blocks)
        counts = np.array([self.blocks[number] for number in numbers]).reshape(-1, BLOCK_MINUTES, SECONDS_PER_MINUTE)
        of_block = np.array(numbers)[:, None] * BLOCK_MINUTES + np.arange(BLOCK_MINUTES) - first_minute
        inside = (of_block >= 0) & (of_block < len(minutes))
        whole = inside & minutes[np.clip(of_block, 0, len(minutes) - 1)]
        tick_seconds = int(np.gcd.reduce([*_seconds_in_use(counts), SECONDS_PER_MINUTE]))
        tens = counts[whole.all(axis=1)].reshape(-1, BLOCK_SECONDS // 10, 10).sum(axis=2)
        return Dispersion(
            one_second=_variance_to_mean(counts[whole]) if tick_seconds == 1 else None,
            ten_seconds=_variance_to_mean(tens) if 10 % tick_seconds == 0 else None,
        )


def _seconds_in_use(counts: npt.NDArray[np.int32]) -> Iterator[int]:
    """Seconds of the minute at which any request came."""
    yield from np.flatnonzero(counts.any(axis=(0, 1))).tolist()


def _variance_to_mean(counts: npt.NDArray[np.int32]) -> float | None:
    """Sum of the rows' variances ÷ sum of their means; of shape ``(rows, windows)``."""
    values: Floats = counts.astype(np.float64)
    if values.sum() < LEAST_REQUESTS:
        return None
    return float(values.var(axis=1, ddof=1).sum() / values.mean(axis=1).sum())
