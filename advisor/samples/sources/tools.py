"""Vendors' command-line tools that report line by line for as long as they run.

Intel Gaudi by ``hl-smi``, AWS Neuron by ``neuron-monitor``. A NeuronCore that no report names is idle, because the
hardware is listed beside the running programs; a host without a running program is idle as a whole. So the tool is
documented, and it is the one place where what is not there means 0.
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from advisor.errors import InputError
from advisor.samples.metrics import Missed, Reading, Target
from advisor.samples.sources import counted
from advisor.units import BYTES_PER_GIB, BYTES_PER_MIB

_PIECE = 1 << 16
_LONGEST_LINE = 16 * 1024 * 1024
_FIRST_LINE_SECONDS = 20.0
_REPORT_SECONDS = 0.2
"""What a report of many lines takes to arrive at most."""
_END_SECONDS = 5.0


class ReportingTool:
    """A tool that was started, and the lines it has said so far."""

    def __init__(self, command: Sequence[str], hint: str, take: Callable[[Sequence[str]], None]) -> None:
        """Start it and take its first report.

        *hint*: what to do where it does not work; *take* takes the first lines, an InputError of it ends the tool.
        Raises InputError if it is not installed, cannot be started, ends, says nothing, or shows no accelerator.
        """
        self.name = command[0]
        self._hint = hint
        path = shutil.which(self.name)
        if path is None:
            raise InputError(f"no program {self.name} on this host", hint=hint)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the vendor's own tool, found on the path
                [path, *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise InputError(f"{self.name} cannot be started: {error.strerror}", hint=hint) from error
        self._rest = b""
        os.set_blocking(self._descriptor, False)
        try:
            take(self._first_lines())
        except InputError:
            self.close()
            raise

    def _first_lines(self) -> list[str]:
        """Wait for the first report, which may have several lines."""
        until = time.monotonic() + _FIRST_LINE_SECONDS
        while (left := until - time.monotonic()) > 0:
            select.select([self._descriptor], [], [], left)
            if lines := self.new_lines():
                time.sleep(_REPORT_SECONDS)
                return lines + self.new_lines()
        raise InputError(f"{self.name} reports nothing", hint=self._hint)

    def new_lines(self) -> list[str]:
        """Lines since the last call; never waits. Raises InputError if it ended, or does not speak in lines."""
        said = self._rest
        while piece := self._read():
            said += piece
        *lines, self._rest = said.split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise InputError(f"{self.name} said {len(self._rest)} bytes without a line's end", hint=self._hint)
        return [line.decode(errors="replace") for line in lines if line.strip()]

    def close(self) -> None:
        """End it; one that does not end within some seconds is left to itself."""
        self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)

    @property
    def _descriptor(self) -> int:
        if self._process.stdout is None:
            raise InputError(f"{self.name} has no output", hint=self._hint)
        return self._process.stdout.fileno()

    def _read(self) -> bytes:
        try:
            piece = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return b""
        if not piece:
            raise InputError(f"{self.name} ended with exit {self._process.wait()}", hint=self._hint)
        return piece


_COLUMNS = ("index", "uuid", "name", "memory.total", "memory.used", "power.draw", "temperature.aip", "utilization.aip")
_COMMAND = ("hl-smi", "-Q", ",".join(_COLUMNS), "--format", "csv,noheader", "-l", "1")
_HINT = "see that hl-smi lists the accelerators; in a container, start it with the Habana runtime"
_UNITS = {
    "B": 1, "KiB": 1024, "MiB": BYTES_PER_MIB, "GiB": BYTES_PER_GIB,
    "KB": 1e3, "MB": BYTES_PER_MIB, "GB": BYTES_PER_GIB,
}  # fmt: skip
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
        """Start the tool and await its first report. Raises InputError if it is missing, ends, or sees nothing."""
        self._host = host
        self._clock = clock
        self._seen: dict[Target, tuple[float, Mapping[str, float]]] = {}
        self._tool = ReportingTool(_COMMAND, _HINT, self._take_first)

    def read(self) -> Sequence[Reading | Missed]:
        """One reading of each accelerator, or a miss of one no longer reported. Raises InputError if the tool ended."""
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
                values = {metric: _number(cells[column]) for column, metric in _VALUES.items()}
                stated = {metric: value for metric, value in values.items() if value is not None}
                self._seen[target] = (self._clock(), stated)


def _number(text: str) -> float | None:
    """``672 MiB`` as bytes, ``7 %`` as a ratio, other numbers as they are; None for what says nothing (N/A)."""
    number, _, unit = text.partition(" ")
    try:
        value = float(number)
    except ValueError:
        return None
    return value / 100 if unit == "%" else value * _UNITS.get(unit, 1)


_NEURON_HINT = "install aws-neuronx-tools, and see that neuron-ls lists the devices"
_CONFIG = {
    "period": "1s",
    "neuron_runtimes": [{"tag_filter": ".*", "metrics": [{"type": "neuroncore_counters"}, {"type": "memory_used"}]}],
    "system_metrics": [{"type": "neuron_hw_counters"}],
}
_CORE_MEMORY = ("memory_used", "neuron_runtime_used_bytes", "usage_breakdown", "neuroncore_memory_usage")
_PERCENT = 100.0
Json = Mapping[str, Any]


class NeuronSource:
    """The newest report."""

    def __init__(self, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the tool and await its first report. Raises InputError if it is missing, ends, or sees nothing."""
        self._host = host
        self._clock = clock
        self._report: Json = {}
        self._at = 0.0
        with tempfile.NamedTemporaryFile("w", prefix="advisor-neuron-", suffix=".json") as config:
            json.dump(_CONFIG, config)
            config.flush()  # the tool reads it before its first report
            self._tool = ReportingTool(("neuron-monitor", "-c", config.name), _NEURON_HINT, self._take_first)

    def read(self) -> Sequence[Reading | Missed]:
        """One reading of each device, or a miss when there is no new report. Raises InputError if the tool ended."""
        self._take(self._tool.new_lines())
        if self._clock() - self._at > _STALE_SECONDS:
            return [Missed(target, "neuron-monitor does not report") for target in self._targets()]
        return [Reading(target, device_values(self._report, target.index or 0)) for target in self._targets()]

    def describe(self) -> str:
        """Devices such as ``1 × inferentia2``."""
        return f"{_devices(self._report)} × {_name(self._report)}"

    def close(self) -> None:
        """End the tool."""
        self._tool.close()

    def _targets(self) -> list[Target]:
        name = _name(self._report)
        return [Target(self._host, "neuron", index, name=name) for index in range(_devices(self._report))]

    def _take_first(self, lines: Sequence[str]) -> None:
        self._take(lines)
        if not _devices(self._report):
            raise InputError("neuron-monitor sees no Neuron device", hint=_NEURON_HINT)

    def _take(self, lines: Sequence[str]) -> None:
        for line in reversed(lines):
            try:
                report = json.loads(line)
            except ValueError:
                continue
            if isinstance(report, dict) and _devices(report):
                self._report, self._at = report, self._clock()
                return


def device_values(report: Json, device: int) -> dict[str, float]:
    """Busy share, memory and errors of one device: what its cores do, over all programs that run on them."""
    hardware = report["neuron_hardware_info"]
    per_device = int(hardware.get("neuroncore_per_device_count") or 1)
    cores = range(device * per_device, (device + 1) * per_device)
    programs = [program.get("report", {}) for program in report.get("neuron_runtime_data") or ()]
    in_use = [_at(program, "neuroncore_counters", "neuroncores_in_use") or {} for program in programs]
    percents = (_at(core_use, str(core), "neuroncore_utilization") for core_use in in_use for core in cores)
    values = {"busy_ratio": min(float(sum(percent or 0.0 for percent in percents)) / per_device / _PERCENT, 1.0)}
    if hardware.get("neuron_device_memory_size"):
        values["memory_total_bytes"] = float(hardware["neuron_device_memory_size"])
    if all(_at(program, "memory_used", "error") in (None, "") for program in programs):
        by_core = [_at(program, *_CORE_MEMORY) or {} for program in programs]
        kinds = (memory.get(str(core)) or {} for memory in by_core for core in cores)
        values["memory_used_bytes"] = float(sum(sum(used.values()) for used in kinds))
    for counter in _at(report, "system_data", "neuron_hw_counters", "neuron_devices") or ():
        if counter.get("neuron_device_index") == device:
            names = ("mem_ecc_uncorrected", "sram_ecc_uncorrected")
            values["uncorrected_ecc_errors"] = float(sum(counter.get(name) or 0 for name in names))
    return values


def _devices(report: Json) -> int:
    return int(_at(report, "neuron_hardware_info", "neuron_device_count") or 0)


def _name(report: Json) -> str:
    return str(_at(report, "neuron_hardware_info", "neuron_device_type") or "Neuron device")


def _at(node: Any, *path: str) -> Any:  # noqa: ANN401 - whatever the tool wrote there
    """Value at a path; None where it ends before."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node
