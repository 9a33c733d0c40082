"""AWS Trainium and Inferentia, through ``neuron-monitor``, which writes a line of JSON every second.

A core that no report names is idle, because the hardware is listed beside the running programs; a host without a
running program is idle as a whole. So the tool is documented, and it is the one place where what is not there means 0.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from advisor.errors import InputError
from advisor.samples.rows import Missed, Reading, Target
from advisor.samples.sources.tools import ReportingTool

_HINT = "install aws-neuronx-tools, and see that neuron-ls lists the devices"
_CONFIG = {
    "period": "1s",
    "neuron_runtimes": [{"tag_filter": ".*", "metrics": [{"type": "neuroncore_counters"}, {"type": "memory_used"}]}],
    "system_metrics": [{"type": "neuron_hw_counters"}],
}
_STALE_SECONDS = 5.0
_PERCENT = 100.0
Json = Mapping[str, Any]


class NeuronSource:
    """The newest report."""

    def __init__(self, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the tool and wait for its first report.

        Raises:
            InputError: the tool is missing, ends, or sees no device.
        """
        self._host = host
        self._clock = clock
        self._report: Json = {}
        self._at = 0.0
        with tempfile.NamedTemporaryFile("w", prefix="advisor-neuron-", suffix=".json") as config:
            json.dump(_CONFIG, config)
            config.flush()  # the tool reads it before its first report
            self._tool = ReportingTool(("neuron-monitor", "-c", config.name), _HINT, self._take_first)

    def read(self) -> Sequence[Reading | Missed]:
        """One reading of each device, or a miss when there is no new report.

        Raises:
            InputError: the tool ended.
        """
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
            raise InputError("neuron-monitor sees no Neuron device", hint=_HINT)

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
    values = {"busy_ratio": min(_utilisation(programs, cores) / per_device / _PERCENT, 1.0)}
    if hardware.get("neuron_device_memory_size"):
        values["memory_total_bytes"] = float(hardware["neuron_device_memory_size"])
    if all(_at(program, "memory_used", "error") in (None, "") for program in programs):
        values["memory_used_bytes"] = _memory(programs, cores)
    counters = _at(report, "system_data", "neuron_hw_counters", "neuron_devices") or ()
    for counter in counters:
        if counter.get("neuron_device_index") == device:
            names = ("mem_ecc_uncorrected", "sram_ecc_uncorrected")
            values["uncorrected_ecc_errors"] = float(sum(counter.get(name) or 0 for name in names))
    return values


def _utilisation(programs: Iterable[Json], cores: Iterable[int]) -> float:
    """Percent, summed over cores and programs."""
    in_use = [_at(program, "neuroncore_counters", "neuroncores_in_use") or {} for program in programs]
    found = (_at(each, str(core), "neuroncore_utilization") for each in in_use for core in cores)
    return float(sum(percent or 0.0 for percent in found))


def _memory(programs: Iterable[Json], cores: Iterable[int]) -> float:
    """Bytes on the device, summed over cores and programs."""
    path = ("memory_used", "neuron_runtime_used_bytes", "usage_breakdown", "neuroncore_memory_usage")
    by_core = [_at(program, *path) or {} for program in programs]
    found = (each.get(str(core)) or {} for each in by_core for core in cores)
    return float(sum(sum(kinds.values()) for kinds in found))


def _devices(report: Json) -> int:
    return int(_at(report, "neuron_hardware_info", "neuron_device_count") or 0)


def _name(report: Json) -> str:
    return str(_at(report, "neuron_hardware_info", "neuron_device_type") or "Neuron device")


def _at(found: Any, *path: str) -> Any:  # noqa: ANN401 - whatever the tool wrote there
    """Value at a path; None where it ends before."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
