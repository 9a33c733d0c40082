"""Intel Gaudi accelerators, through ``hl-smi``, which reports once a second for as long as it runs."""

import time
from collections.abc import Callable, Mapping, Sequence

from advisor.errors import InputError
from advisor.samples.rows import Missed, Reading, Target
from advisor.samples.sources import counted
from advisor.samples.sources.tools import ReportingTool
from advisor.units import BYTES_PER_GIB, BYTES_PER_MIB

_COLUMNS = ("index", "uuid", "name", "memory.total", "memory.used", "power.draw", "temperature.aip", "utilization.aip")
_COMMAND = ("hl-smi", "-Q", ",".join(_COLUMNS), "--format", "csv,noheader", "-l", "1")
_HINT = "see that hl-smi lists the accelerators; in a container, start it with the Habana runtime"
_UNITS = {
    "B": 1,
    "KiB": 1024,
    "MiB": BYTES_PER_MIB,
    "GiB": BYTES_PER_GIB,
    "KB": 1e3,
    "MB": BYTES_PER_MIB,
    "GB": BYTES_PER_GIB,
}
"""What hl-smi calls MB is 2**20 bytes."""
_VALUES = {
    "memory.total": "memory_total_bytes",
    "memory.used": "memory_used_bytes",
    "power.draw": "power_watts",
    "temperature.aip": "temperature_celsius",
    "utilization.aip": "busy_ratio",
}
_STALE_SECONDS = 5.0


class GaudiSource:
    """The newest line of each accelerator."""

    def __init__(self, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the tool and wait for its first report.

        Raises:
            InputError: the tool is missing, ends, or sees no accelerator.
        """
        self._host = host
        self._clock = clock
        self._seen: dict[Target, tuple[float, Mapping[str, float]]] = {}
        self._tool = ReportingTool(_COMMAND, _HINT, self._take_first)

    def read(self) -> Sequence[Reading | Missed]:
        """One reading of each accelerator, or a miss of one that is not reported any more.

        Raises:
            InputError: the tool ended.
        """
        self._take(self._tool.new_lines())
        now = self._clock()
        return [
            Reading(target, values)
            if values and now - at < _STALE_SECONDS
            else Missed(target, "hl-smi does not report it")
            for target, (at, values) in self._seen.items()
        ]

    def describe(self) -> str:
        """Devices such as ``8 × HL-225``."""
        return counted([target.name or "Gaudi" for target in self._seen])

    def close(self) -> None:
        """End the tool."""
        self._tool.close()

    def _take_first(self, lines: Sequence[str]) -> None:
        self._take(lines)
        if not self._seen:
            raise InputError("hl-smi reports no accelerator", hint=_HINT)

    def _take(self, lines: Sequence[str]) -> None:
        for line in lines:
            cells = dict(zip(_COLUMNS, (cell.strip() for cell in line.split(",")), strict=False))
            if cells["index"].isdecimal() and len(cells) == len(_COLUMNS):
                target = Target(self._host, "gaudi", int(cells["index"]), uuid=cells["uuid"], name=cells["name"])
                self._seen[target] = (self._clock(), _values(cells))


def _values(cells: Mapping[str, str]) -> dict[str, float]:
    """Values of the cells, in base units; one that says nothing (N/A) is left out."""
    found = {metric: _number(cells[column]) for column, metric in _VALUES.items()}
    return {metric: value for metric, value in found.items() if value is not None}


def _number(text: str) -> float | None:
    """``672 MiB`` as bytes, ``7 %`` as a ratio, anything else as it is."""
    number, _, unit = text.partition(" ")
    try:
        value = float(number)
    except ValueError:
        return None
    return value / 100 if unit == "%" else value * _UNITS.get(unit, 1)
