"""AMD accelerators by the package ``amdsmi`` of the installed ROCm, and TPUs by the package ``libtpu``.

``amdsmi`` prints when it does not find its library, and its functions have changed their keys from release to release:
each value is looked up under the names that it has had, and left out when there is none of them.

The monitoring part of ``libtpu`` gives duty cycle and memory of each chip while a program runs on it.
Without one it gives nothing: idle and unknown cannot be told apart, so that it is a gap. Power, temperature, clocks and
throttling are not readable on a TPU VM.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from advisor.errors import InputError
from advisor.samples.metrics import Missed, Reading, Target
from advisor.samples.sources import counted
from advisor.units import BYTES_PER_MIB

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
        """Open the monitoring library. Raises InputError if it is not here."""
        try:
            from libtpu.sdk import tpumonitoring  # noqa: PLC0415 - it loads the vendor's library
        except Exception as error:
            hint = "install libtpu (0.0.16 or newer) beside advisor"
            raise InputError(f"libtpu cannot be loaded: {error}", hint=hint) from error
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


_HINT = "install the amdsmi package of the ROCm that is on this host, and see that amd-smi list works"
_Read = Callable[[Any, object], Mapping[str, Any]]


def _number(answer: Mapping[str, Any], *names: str) -> float | None:
    """The first of the names that holds a number: ``N/A`` and the largest 16-bit number mean that it is not known."""
    values = (answer.get(name) for name in names)
    return next((value for value in values if isinstance(value, int | float) and value != 0xFFFF), None)


def _joules(amd: Any, device: object) -> Mapping[str, float | None]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_energy_count(device)
    steps, microjoules = _number(answer, "energy_accumulator", "power"), _number(answer, "counter_resolution")
    return {"joules": None if steps is None or microjoules is None else steps * (microjoules * 1e-6)}


def _celsius(amd: Any, device: object) -> Mapping[str, Any]:  # noqa: ANN401 - the vendor's module
    sensor, metric = amd.AmdSmiTemperatureType.HOTSPOT, amd.AmdSmiTemperatureMetric.CURRENT
    return {"now": amd.amdsmi_get_temp_metric(device, sensor, metric)}


_AMD_READS: Mapping[str, _Read] = {
    "activity": lambda amd, device: amd.amdsmi_get_gpu_activity(device),
    "memory": lambda amd, device: amd.amdsmi_get_gpu_vram_usage(device),
    "power": lambda amd, device: amd.amdsmi_get_power_info(device),
    "energy": _joules,
    "clock": lambda amd, device: amd.amdsmi_get_clock_info(device, amd.AmdSmiClkType.GFX),
    "temperature": _celsius,
    "errors": lambda amd, device: amd.amdsmi_get_gpu_total_ecc_count(device),
}
_AMD_VALUES = (
    ("busy_ratio", "activity", 0.01, ("gfx_activity",)),
    ("memory_busy_ratio", "activity", 0.01, ("umc_activity",)),
    ("memory_total_bytes", "memory", BYTES_PER_MIB, ("vram_total",)),
    ("memory_used_bytes", "memory", BYTES_PER_MIB, ("vram_used",)),
    ("power_watts", "power", 1, ("socket_power", "current_socket_power", "average_socket_power")),
    ("energy_joules", "energy", 1, ("joules",)),
    ("sm_clock_mhz", "clock", 1, ("clk", "cur_clk")),
    ("temperature_celsius", "temperature", 1, ("now",)),
    ("uncorrected_ecc_errors", "errors", 1, ("uncorrectable_count",)),
)
"""Metric, the read that has it, what one unit is worth, and the names that it has had there."""


class AmdSource:
    """Every accelerator, each of its values by itself."""

    def __init__(self, host: str) -> None:
        """Open the library. Raises InputError if the package or its library is not here, or sees no accelerator."""
        try:
            import amdsmi  # noqa: PLC0415 - it loads the vendor's library, and prints
        except Exception as error:  # it raises a KeyError where it does not find the library
            raise InputError(f"amdsmi cannot be loaded: {error!r}", hint=_HINT) from error
        self._amd: Any = amdsmi
        try:
            self._amd.amdsmi_init()
            handles = self._amd.amdsmi_get_processor_handles()
        except self._amd.AmdSmiException as error:
            raise InputError(f"the AMD driver does not start: {error}", hint=_HINT) from error
        if not handles:
            raise InputError("the AMD driver sees no accelerator", hint=_HINT)
        self._devices = [(handle, self._target(host, index, handle)) for index, handle in enumerate(handles)]

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each accelerator."""
        return [self._read_device(handle, target) for handle, target in self._devices]

    def describe(self) -> str:
        """Devices such as ``8 × AMD Instinct MI300X``."""
        return counted([target.name or "AMD accelerator" for _, target in self._devices])

    def close(self) -> None:
        """Shut the library down."""
        with suppress(self._amd.AmdSmiException):
            self._amd.amdsmi_shut_down()

    def _read_device(self, handle: object, target: Target) -> Reading | Missed:
        answers: dict[str, Mapping[str, Any]] = {}
        errors = []
        for what, read in _AMD_READS.items():
            try:
                answers[what] = dict(read(self._amd, handle))
            except self._amd.AmdSmiException as error:
                errors.append(f"{what}: {error}")
            except (AttributeError, TypeError):
                continue  # a function that this release lacks, or that answers nothing
        numbers = ((metric, _number(answers.get(what, {}), *names), unit) for metric, what, unit, names in _AMD_VALUES)
        values = {metric: value * unit for metric, value, unit in numbers if value is not None}
        if not values:
            return Missed(target, "; ".join(errors) or "it gives no value at all")
        return Reading(target, values)

    def _target(self, host: str, index: int, handle: object) -> Target:
        uuid = self._asked(lambda: str(self._amd.amdsmi_get_gpu_device_uuid(handle)))
        name = self._asked(lambda: str(self._amd.amdsmi_get_gpu_asic_info(handle)["market_name"]))
        return Target(host, "amd", index, uuid=uuid, name=name)

    def _asked(self, call: Callable[[], str]) -> str | None:
        try:
            return call()
        except (self._amd.AmdSmiException, AttributeError, KeyError):
            return None
