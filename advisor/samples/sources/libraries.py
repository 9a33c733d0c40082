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
from advisor.samples.rows import Missed, Reading, Target
from advisor.samples.sources import counted

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


_HINT = "install the amdsmi package of the ROCm that is on this host, and see that amd-smi list works"
_PERCENT = 100.0
_MICRO = 1e-6
_BYTES_PER_MIB = 2**20


class AmdSource:
    """Every accelerator, each of its values by itself."""

    def __init__(self, host: str) -> None:
        """Open the library.

        Raises:
            InputError: the package or its library is not here, or sees no accelerator.
        """
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
        values: dict[str, float] = {}
        errors = []
        for read in (_activity, _memory, _power, _energy, _clock, _temperature, _errors):
            try:
                values.update(read(self._amd, handle))
            except self._amd.AmdSmiException as error:
                errors.append(f"{read.__name__.strip('_')}: {error}")
            except AttributeError:
                continue  # a function that this release lacks
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


def _activity(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_gpu_activity(handle)
    return {
        **_known("busy_ratio", answer, "gfx_activity", unit=1 / _PERCENT),
        **_known("memory_busy_ratio", answer, "umc_activity", unit=1 / _PERCENT),
    }


def _memory(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_gpu_vram_usage(handle)
    return {
        **_known("memory_total_bytes", answer, "vram_total", unit=_BYTES_PER_MIB),
        **_known("memory_used_bytes", answer, "vram_used", unit=_BYTES_PER_MIB),
    }


def _power(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_power_info(handle)
    return _known("power_watts", answer, "socket_power", "current_socket_power", "average_socket_power")


def _energy(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_energy_count(handle)
    resolution = answer.get("counter_resolution")
    if not isinstance(resolution, int | float):
        return {}
    return _known("energy_joules", answer, "energy_accumulator", "power", unit=resolution * _MICRO)


def _clock(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    answer = amd.amdsmi_get_clock_info(handle, amd.AmdSmiClkType.GFX)
    return _known("sm_clock_mhz", answer, "clk", "cur_clk")


def _temperature(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    sensor, metric = amd.AmdSmiTemperatureType.HOTSPOT, amd.AmdSmiTemperatureMetric.CURRENT
    return _known("temperature_celsius", {"now": amd.amdsmi_get_temp_metric(handle, sensor, metric)}, "now")


def _errors(amd: Any, handle: object) -> dict[str, float]:  # noqa: ANN401 - the vendor's module
    return _known("uncorrected_ecc_errors", amd.amdsmi_get_gpu_total_ecc_count(handle), "uncorrectable_count")


def _known(metric: str, answer: Mapping[str, Any], *names: str, unit: float = 1.0) -> dict[str, float]:
    """The first of the names that holds a number: ``N/A`` and the largest 16-bit number mean that it is not known."""
    for name in names:
        value = answer.get(name)
        if isinstance(value, int | float) and value != 0xFFFF:
            return {metric: value * unit}
    return {}
