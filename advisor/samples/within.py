"""Part of a directory of samples: some hosts, and a span of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa

from advisor.errors import InputError
from advisor.samples.frame import Booleans, SampleFrame
from advisor.units import SECONDS_PER_DAY

_US = 1e6
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Within:
    """Which rows count; without any of these all do."""

    hosts: Sequence[str] = ()
    """Names or patterns such as ``gpu-*``."""
    days: float | None = None
    """Back from the end."""
    from_seconds: float | None = None
    until_seconds: float | None = None
    """Since 1970; None: the last row."""

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.hosts and self.days is None and self.from_seconds is None and self.until_seconds is None

    def frame(self, frame: SampleFrame) -> SampleFrame:
        """Rows of accelerators.

        Raises:
            InputError: no row is left.
        """
        if self.is_all:
            return frame
        on_host = np.array([self._is_meant(key.host) for key in frame.accelerators], dtype=bool)[frame.accelerator]
        is_kept = on_host & self._in_time(frame.end_seconds)
        if not is_kept.any():
            raise self.empty({key.host for key in frame.accelerators})
        return frame.where(is_kept)

    def engines(self, table: pa.Table) -> pa.Table:
        """Rows of engines, maybe none."""
        if self.is_all or not table.num_rows:
            return table
        hosts = table["host"].combine_chunks()
        meant = np.array([self._is_meant(host) for host in hosts.dictionary.to_pylist()], dtype=bool)
        ends = table["timestamp"].cast(pa.int64()).to_numpy() / _US
        return table.filter(pa.array(meant[hosts.indices.to_numpy()] & self._in_time(ends)))

    def empty(self, hosts: set[str]) -> InputError:
        """Why nothing is left."""
        named = ", ".join(sorted(hosts)[:_SHOWN]) + (f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else "")
        return InputError(
            "no sample of those hosts in that time",
            where="demand.samples",
            hint=f"check hosts, window, from and until; hosts there: {named}",
        )

    def _is_meant(self, host: str) -> bool:
        return not self.hosts or any(fnmatchcase(host, pattern) for pattern in self.hosts)

    def _in_time(self, ends: np.ndarray) -> Booleans:
        until = float(ends.max()) if self.until_seconds is None else self.until_seconds
        back = -np.inf if self.days is None else until - self.days * SECONDS_PER_DAY
        start = back if self.from_seconds is None else self.from_seconds
        return np.asarray((ends > start) & (ends <= until))
