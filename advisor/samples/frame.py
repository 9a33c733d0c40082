"""Many samples as arrays, one row a reading or a gap, sorted by accelerator and time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.samples.parquet_files import TEXT_COLUMNS, FileRows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_US_PER_SECOND = 1_000_000


class AcceleratorKey(NamedTuple):
    """Who an accelerator is, as last seen."""

    host: str
    accelerator_index: int
    mig_index: int | None
    accelerator_uuid: str | None
    """None: it never answered."""
    accelerator: str | None


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file in the directory that holds no samples that can be used."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class SampleFrame:
    """Samples and gaps as arrays of shape ``(rows,)``."""

    accelerators: tuple[AcceleratorKey, ...]
    accelerator: Integers
    """Which of ``accelerators`` a row is of; ascending."""
    timestamp_us: Integers
    """µs since 1970, UTC; ascending for each accelerator, no time twice."""
    interval_seconds: Floats
    """Time from the tick before to this one."""
    missed_ticks: Integers
    """0: a sample; else a gap of that many ticks that ends here."""
    gap_reason: tuple[str | None, ...]
    """Of each distinct reason code."""
    gap_reason_code: Integers
    columns: Mapping[str, Floats]
    """Values by column name; NaN is unknown."""
    skipped: tuple[SkippedFile, ...]

    def rows_of(self, accelerator: int) -> slice:
        """The rows of one accelerator."""
        first, last = np.searchsorted(self.accelerator, [accelerator, accelerator + 1])
        return slice(int(first), int(last))

    @property
    def end_seconds(self) -> Floats:
        """End of the time that each row speaks of, in seconds since 1970."""
        return self.timestamp_us / _US_PER_SECOND

    @property
    def start_seconds(self) -> Floats:
        """Begin of the time that each row speaks of: a tick before it, or as many as were missed."""
        return self.end_seconds - self.interval_seconds * np.maximum(self.missed_ticks, 1)
