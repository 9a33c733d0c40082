"""Counters, one function each (what it reads, the metrics, the equal nvidia-smi query); what a failure means.

A function leaves out what it does not know, and raises :class:`UnsupportedError` where there is no such counter.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import pynvml

from advisor.errors import InputError
from advisor.records import dataclass, field
from advisor.samples.metrics import Target

_T = TypeVar("_T")
_UNSUPPORTED = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NO_DATA,
    }
)
_ACCELERATOR_GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
_DRIVER_GONE = frozenset(
    {pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}
)
NO_LIBRARY = "no NVIDIA driver library (libnvidia-ml.so.1) on this host"
_OPENING = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        NO_LIBRARY,
        "install the NVIDIA driver; in a container, start it with GPU access (docker run --gpus all)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        "load it (modprobe nvidia), see that nvidia-smi works",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the loaded NVIDIA driver and its library have different versions",
        "the driver was upgraded while it was loaded: reboot, or reload the kernel module",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no permission to talk to the NVIDIA driver",
        "give this user access to /dev/nvidiactl and /dev/nvidia0 (a group, or DeviceAllow=char-nvidia rw of the unit)",
    ),
}


class UnsupportedError(Exception):
    """The counter is not to be had on this accelerator, driver or binding: no fault, and no value."""


def supported(call: Callable[[], _T]) -> _T:
    """Result of an NVML call.

    Raises:
        UnsupportedError: it is not to be had here, in any of the ways that the binding says so.
        pynvml.NVMLError: it should be there, and failed.
    """
    try:
        return call()
    except pynvml.NVMLLibraryMismatchError as error:  # NOTE: no NVMLError, unlike all others
        raise UnsupportedError from error
    except AttributeError as error:
        if error.obj is not pynvml:
            raise
        raise UnsupportedError from error  # a function that this version of the binding lacks
    except pynvml.NVMLError as error:
        if error.value in _UNSUPPORTED:
            raise UnsupportedError from error
        raise


def attempted(call: Callable[[], _T]) -> _T:
    """Result of an indispensable NVML call. Raises pynvml.NVMLError if it failed, or the driver does not have it."""
    try:
        return call()
    except pynvml.NVMLLibraryMismatchError as error:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from error


def if_known(call: Callable[[], _T]) -> _T | None:
    """Result of an NVML call, if any. Raises pynvml.NVMLError if the accelerator or the driver is gone."""
    try:
        return supported(call)
    except UnsupportedError:
        return None
    except pynvml.NVMLError as error:
        if error.value in _ACCELERATOR_GONE | _DRIVER_GONE:
            raise
        return None


def first_supported(*calls: Callable[[], _T]) -> _T:
    """Result of the first call that is supported here; raises as :func:`supported` for the last."""
    for call in calls[:-1]:
        try:
            return supported(call)
        except UnsupportedError:
            continue
    return supported(calls[-1])


def concerns_accelerator(error: pynvml.NVMLError) -> bool:
    """Whether the accelerator is gone, and not just this counter."""
    return error.value in _ACCELERATOR_GONE


def concerns_driver(error: pynvml.NVMLError) -> bool:
    """Whether no call of this process will succeed any more."""
    return error.value in _DRIVER_GONE


def cannot_open(error: pynvml.NVMLError) -> InputError:
    """Why there is nothing to sample, and what to do about it."""
    unknown = f"the NVIDIA driver does not start: {error}", "see that nvidia-smi works"
    message, hint = _OPENING.get(error.value, unknown)
    return InputError(message, hint=hint)


def cannot_go_on(error: pynvml.NVMLError) -> InputError:
    """The driver went away under the running program; only a new process can open the new one."""
    hint = "it was upgraded or unloaded; see that nvidia-smi works"
    return InputError(f"the NVIDIA driver does not answer this program any more: {error}", hint=hint)


Values = Mapping[str, float]
"""Metrics by name."""


@dataclass(slots=True)
class Device:
    """A whole accelerator, or one MIG instance of it."""

    index: int
    mig_index: int | None = None
    uuid: str | None = None
    name: str | None = None
    handle: Any = None
    """None while it does not answer."""
    parent: Any = None
    """Handle of the accelerator that a MIG instance is part of."""
    newest_us: dict[int, int] = field(default_factory=dict)
    """Driver time of the newest utilisation reading taken, by kind."""
    profiling: Any = None
    """Samples of the profiling counters; False: there are none; None: not asked yet."""
    xid_errors: int | None = None
    """Counted since the agent started; None where the driver does not report them."""

    def open(self) -> None:
        """Find the accelerator (again) and ask who it is. Raises pynvml.NVMLError if it does not answer."""
        uuid = self.uuid
        handle = attempted(
            lambda: (
                pynvml.nvmlDeviceGetHandleByIndex(self.index)
                if uuid is None
                else pynvml.nvmlDeviceGetHandleByUUID(uuid)
            )
        )
        self._identify(handle)

    def mig_instances(self) -> list["Device"]:
        """MIG instances it is divided into; empty: whole. ``nvidia-smi -L``, ``--query-gpu=mig.mode.current``."""
        try:
            current, _ = supported(lambda: pynvml.nvmlDeviceGetMigMode(self.handle))
            slots = supported(lambda: pynvml.nvmlDeviceGetMaxMigDeviceCount(self.handle)) if current else 0
        except UnsupportedError:
            return []
        devices = (self._mig_instance(slot) for slot in range(slots))
        return [instance for instance in devices if instance is not None]

    def target(self, host: str) -> Target:
        """Target, as readings name it."""
        return Target(host, "nvml", self.index, self.mig_index, self.uuid, self.name)

    def _mig_instance(self, slot: int) -> "Device | None":
        try:
            handle = attempted(lambda: pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self.handle, slot))
        except pynvml.NVMLError_NotFound:  # slots need not be filled from the first on
            return None
        instance = Device(self.index, mig_index=slot, parent=self.handle)
        instance._identify(handle)
        return instance

    def _identify(self, handle: Any) -> None:  # noqa: ANN401 - an opaque pointer of the binding
        self.uuid = if_known(lambda: pynvml.nvmlDeviceGetUUID(handle)) or self.uuid
        self.name = if_known(lambda: pynvml.nvmlDeviceGetName(handle)) or self.name
        self.handle = handle


class ReadCounter(Protocol):
    """One of the functions below."""

    __name__: str

    def __call__(self, device: Device) -> Values:
        """Read it."""
        ...


_PERCENT = 100.0
_MILLI = 1e-3
_NANO = 1e-9
_BYTES_PER_KIB = 1024
_ALL_LINKS = 0xFFFFFFFF
_VALUE_OF_TYPE = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
}
_FIELDS = (
    (186, "power_watts", _MILLI),
    (83, "energy_joules", _MILLI),
    (74, "power_throttled_seconds", _NANO),
    (269, "thermal_throttled_seconds", _NANO),
    (75, "thermal_throttled_seconds", _NANO),
    (197, "pcie_sent_bytes", 1),
    (198, "pcie_received_bytes", 1),
    (138, "nvlink_sent_bytes", _BYTES_PER_KIB),
    (139, "nvlink_received_bytes", _BYTES_PER_KIB),
)
"""Number of the field, metric, and what one unit of it is worth; the last that is supported counts.

They are numbers because older bindings lack some of the names: POWER_INSTANT, TOTAL_ENERGY_CONSUMPTION,
PERF_POLICY_POWER, CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN, PERF_POLICY_THERMAL, PCIE_COUNT_TX_BYTES and RX_BYTES,
NVLINK_THROUGHPUT_DATA_TX and _RX (KiB, here over all links).
"""
_HARDWARE_THROTTLE_FIELDS = (270, 271)
"""Heat and power brake, as the board signals them: CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, …_HW_POWER_BRAKE_SLOWDOWN."""
_OF_LINKS = frozenset({138, 139})
_WANTED = [
    (number, _ALL_LINKS if number in _OF_LINKS else 0)
    for number in (*(number for number, _, _ in _FIELDS), *_HARDWARE_THROTTLE_FIELDS)
]


def memory(device: Device) -> Values:
    """Memory in use. A serving engine reserves its share at start: this is what it took, not what it needs.

    ``nvidia-smi --query-gpu=memory.total,memory.used,memory.reserved``. Drivers before 510 have only the first version
    of the call, which counts what the driver keeps for itself (300-900 MB) as used; what that is stays unknown.
    """
    try:
        info = supported(lambda: pynvml.nvmlDeviceGetMemoryInfo(device.handle, version=pynvml.nvmlMemory_v2))
    except UnsupportedError:
        info = supported(lambda: pynvml.nvmlDeviceGetMemoryInfo(device.handle))
        return {"memory_total_bytes": info.total, "memory_used_bytes": info.used}
    return {"memory_total_bytes": info.total, "memory_used_bytes": info.used, "memory_reserved_bytes": info.reserved}


def busy(device: Device) -> Values:
    """Share of time in which at least one kernel ran, since the reading before.

    ``nvidia-smi --query-gpu=utilization.gpu`` shows the newest of the readings averaged here. The driver keeps the
    last 16 s or so: of a longer interval the average covers the end.
    """
    if percents := _utilisation_since(device, pynvml.NVML_GPU_UTILIZATION_SAMPLES):
        return {"busy_ratio": sum(percents) / len(percents) / _PERCENT, "busy_peak_ratio": max(percents) / _PERCENT}
    rates = supported(lambda: pynvml.nvmlDeviceGetUtilizationRates(device.handle))
    return {"busy_ratio": rates.gpu / _PERCENT}


def memory_busy(device: Device) -> Values:
    """Share of time in which memory was read or written: ``nvidia-smi --query-gpu=utilization.memory``."""
    if percents := _utilisation_since(device, pynvml.NVML_MEMORY_UTILIZATION_SAMPLES):
        return {"memory_busy_ratio": sum(percents) / len(percents) / _PERCENT}
    rates = supported(lambda: pynvml.nvmlDeviceGetUtilizationRates(device.handle))
    return {"memory_busy_ratio": rates.memory / _PERCENT}


def board(device: Device) -> Values:
    """Power, and what only grows: energy, throttled time, bytes over PCIe and NVLink. One call for all of them.

    ``nvidia-smi --query-gpu=power.draw.instant,total_energy_consumption``; the throttling counters are those behind
    ``nvidia-smi -q -d PERFORMANCE``.
    """
    answers = supported(lambda: pynvml.nvmlDeviceGetFieldValues(device.handle, _WANTED))
    fields = {
        answer.fieldId: getattr(answer.value, _VALUE_OF_TYPE[answer.valueType])
        for answer in answers
        if answer.nvmlReturn == pynvml.NVML_SUCCESS and answer.valueType in _VALUE_OF_TYPE
    }
    values = {metric: fields[number] * unit for number, metric, unit in _FIELDS if number in fields}
    hardware = [fields[number] for number in _HARDWARE_THROTTLE_FIELDS if number in fields]
    if hardware:
        values["hardware_throttled_seconds"] = sum(hardware) * _NANO
    return values


def power(device: Device) -> Values:
    """Power, where the field of :func:`board` does not give it: ``nvidia-smi --query-gpu=power.draw``."""
    return {"power_watts": supported(lambda: pynvml.nvmlDeviceGetPowerUsage(device.handle)) * _MILLI}


def energy(device: Device) -> Values:
    """Energy since the driver was loaded, where the field of :func:`board` does not give it (Volta and newer)."""
    return {"energy_joules": supported(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device.handle)) * _MILLI}


def sm_clock(device: Device) -> Values:
    """Clock of the multiprocessors now: ``nvidia-smi --query-gpu=clocks.sm``."""
    return {"sm_clock_mhz": supported(lambda: pynvml.nvmlDeviceGetClockInfo(device.handle, pynvml.NVML_CLOCK_SM))}


def temperature(device: Device) -> Values:
    """Temperature of the chip now: ``nvidia-smi --query-gpu=temperature.gpu``."""
    degrees = first_supported(
        lambda: pynvml.nvmlDeviceGetTemperatureV(device.handle, pynvml.NVML_TEMPERATURE_GPU),
        lambda: pynvml.nvmlDeviceGetTemperature(device.handle, pynvml.NVML_TEMPERATURE_GPU),
    )
    return {"temperature_celsius": degrees}


def processes(device: Device) -> Values:
    """Number of processes that compute on it: ``nvidia-smi --query-compute-apps=pid``."""
    running = first_supported(
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(device.handle),
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v2(device.handle),
    )
    return {"processes": len(running)}


def uncorrected_errors(device: Device) -> Values:
    """Uncorrected memory errors over its life, ``nvidia-smi --query-gpu=ecc.errors.uncorrected.aggregate.total``."""
    errors = supported(
        lambda: pynvml.nvmlDeviceGetTotalEccErrors(
            device.handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_AGGREGATE_ECC
        )
    )
    return {"uncorrected_ecc_errors": errors}


OF_AN_ACCELERATOR: tuple[ReadCounter, ...] = (memory, busy, memory_busy, board, sm_clock, temperature)
OF_A_MIG_INSTANCE: tuple[ReadCounter, ...] = (memory,)
"""Utilisation, power and clocks belong to the whole accelerator, which no workload can use while it is divided."""
OTHERWISE: Mapping[str, ReadCounter] = {"power_watts": power, "energy_joules": energy}
"""Asked when the value is still unknown."""


def _utilisation_since(device: Device, kind: int) -> list[int]:
    """The driver's own readings since the last call, in percent; empty when it keeps none or there is no new one."""
    last_us = device.newest_us.get(kind, 0)
    try:
        _, samples = supported(lambda: pynvml.nvmlDeviceGetSamples(device.handle, kind, last_us))
    except (UnsupportedError, pynvml.NVMLError_NotFound):
        return []
    new = [(sample.timeStamp, sample.sampleValue.uiVal) for sample in samples]
    new = [(time_us, percent) for time_us, percent in new if time_us > last_us and percent <= _PERCENT]
    if not new:
        return []
    newest = max(new)
    device.newest_us[kind] = newest[0]
    if not last_us:  # no interval yet: older readings are from before the agent
        new = [newest]
    return [percent for _, percent in new]
