"""Google TPUs, as far as they can be read from outside the program that uses them.

The monitoring part of ``libtpu`` gives duty cycle and memory of each chip while a program runs on it.
Without one it gives nothing: idle and unknown cannot be told apart, so that it is a gap. Power, temperature, clocks and
throttling are not readable on a TPU VM.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from advisor.errors import InputError
from advisor.samples.rows import Missed, Reading, Target

_METRICS: Mapping[str, tuple[str, float]] = {
    "duty_cycle_pct": ("busy_ratio", 0.01),
    "hbm_capacity_total": ("memory_total_bytes", 1),
    "hbm_capacity_usage": ("memory_used_bytes", 1),
}
"""Name in libtpu, metric, and what one unit of it is worth."""
_SILENT = "libtpu gives no value: no program runs on the chip, or it does not report"


class TpuSource:
    """Every chip that reported since the source was opened."""

    def __init__(self, host: str) -> None:
        """Open the monitoring library.

        Raises:
            InputError: it is not here.
        """
        try:
            from libtpu.sdk import tpumonitoring  # noqa: PLC0415 - it loads the vendor's library
        except Exception as error:
            raise InputError(
                f"libtpu cannot be loaded: {error}", hint="install libtpu (0.0.16 or newer) beside advisor"
            ) from error
        self._host = host
        self._monitoring: Any = tpumonitoring
        self._chips = 0

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each chip; before the first chip reports, a miss of them all."""
        columns = {metric: self._column(name, unit) for name, (metric, unit) in _METRICS.items()}
        self._chips = max([self._chips, *(len(column) for column in columns.values())])
        if not self._chips:
            return [Missed(Target(self._host, "tpu", None), _SILENT)]
        return [self._chip(index, columns) for index in range(self._chips)]

    def describe(self) -> str:
        """Devices, in a line."""
        return "TPU chips, as libtpu reports them"

    def close(self) -> None:
        """Nothing is held open."""

    def _column(self, name: str, unit: float) -> list[float]:
        """One value for each chip, in order; empty where libtpu has none."""
        try:
            return [float(text) * unit for text in self._monitoring.get_metric(name).data()]
        except Exception:  # noqa: BLE001 - whatever the vendor's library raises: this value is not known
            return []

    def _chip(self, index: int, columns: Mapping[str, Sequence[float]]) -> Reading | Missed:
        target = Target(self._host, "tpu", index, name="TPU")
        values = {metric: column[index] for metric, column in columns.items() if index < len(column)}
        return Reading(target, values) if values else Missed(target, _SILENT)
