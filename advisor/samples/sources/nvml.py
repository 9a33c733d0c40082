"""NVIDIA accelerators of this host, read through NVML. Only this module imports ``pynvml``.

Every counter is read by itself: what the driver does not support is left out, what fails this once is left out with a
note, and only an accelerator that is gone is missed, while the others go on. ``nvmlDeviceGetPcieThroughput`` is never
called: it blocks for 20 ms. The library is opened once and kept open, because opening it disturbs the driver.
Counters are one function each: what it reads, the metrics, the equal nvidia-smi query. A function leaves out what it
does not know, and raises :class:`UnsupportedError` where there is no such counter.

Each value is a mean between two samples of the counters. The last sample is kept, so that one new sample a tick covers
the time from tick to tick without a hole.
"""

import ctypes
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import pynvml

from advisor.errors import InputError
from advisor.records import dataclass, field
from advisor.samples.metrics import Missed, Reading, Target
from advisor.samples.sources import counted

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
_PERCENT = 100.0
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


_METRICS = ((2, "sm_active_ratio"), (3, "sm_occupancy_ratio"), (5, "tensor_active_ratio"), (10, "dram_active_ratio"))
"""NVML_GPM_METRIC_SM_UTIL, …_SM_OCCUPANCY, …_ANY_TENSOR_UTIL and …_DRAM_BW_UTIL, all in percent."""


class Profiling:
    """The two samples of one device, and the question put to the driver."""

    def __init__(self, device: Device) -> None:
        """Ask whether there are such counters.

        Raises:
            UnsupportedError: there are none.
            pynvml.NVMLError: it should be there, and failed.
        """
        whole = device.parent or device.handle
        if not supported(lambda: pynvml.nvmlGpmQueryDeviceSupport(whole)).isSupportedDevice:
            raise UnsupportedError
        self._instance: int | None = None
        if device.parent is not None:
            self._instance = supported(lambda: pynvml.nvmlDeviceGetGpuInstanceId(device.handle))
        self._whole = whole
        self._before = supported(pynvml.nvmlGpmSampleAlloc)
        self._now = supported(pynvml.nvmlGpmSampleAlloc)
        self._has_before = False
        self._question: Any = pynvml.c_nvmlGpmMetricsGet_t()
        self._question.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._question.numMetrics = len(_METRICS)
        for place, (number, _) in enumerate(_METRICS):
            self._question.metrics[place].metricId = number

    def read(self) -> Mapping[str, float]:
        """Means since the call before; nothing the first time. Raises pynvml.NVMLError if a call failed."""
        if self._instance is None:
            supported(lambda: pynvml.nvmlGpmSampleGet(self._whole, self._now))
        else:
            supported(lambda: pynvml.nvmlGpmMigSampleGet(self._whole, self._instance, self._now))
        values = self._means() if self._has_before else {}
        self._before, self._now = self._now, self._before
        self._has_before = True
        return values

    def close(self) -> None:
        """Give the samples back."""
        for sample in (self._before, self._now):
            pynvml.nvmlGpmSampleFree(sample)

    def _means(self) -> dict[str, float]:
        question = self._question
        question.sample1, question.sample2 = self._before, self._now
        attempted(lambda: pynvml.nvmlGpmMetricsGet(question))
        answers = ((question.metrics[place], metric) for place, (_, metric) in enumerate(_METRICS))
        return {
            metric: answer.value / _PERCENT
            for answer, metric in answers
            if answer.nvmlReturn == pynvml.NVML_SUCCESS and 0 <= answer.value <= _PERCENT
        }


def profiling(device: Device) -> Mapping[str, float]:
    """Multiprocessors with work, their occupancy, tensor cores and memory bandwidth, as shares.

    Raises:
        UnsupportedError: this accelerator does not have them.
        pynvml.NVMLError: it should be there, and failed.
    """
    if device.profiling is None:
        device.profiling = False  # unless there is more to it: asked once for as long as it answers
        device.profiling = Profiling(device)
    return dict(device.profiling.read()) if device.profiling else {}


_AT_ONCE_MS = 0
_MOST_AT_ONCE = 1000
"""A driver that reports without end is left until the next time."""


class XidErrors:
    """Counts the errors of the accelerators that report them into their ``xid_errors``."""

    def __init__(self) -> None:
        """No accelerator yet."""
        self._events: Any = None
        self._devices: dict[int, Device] = {}

    def watch(self, devices: Iterable[Device]) -> None:
        """Ask for the errors of these accelerators; one that does not report them keeps None."""
        for device in devices:
            if device.handle is None or device.mig_index is not None or _address(device.handle) in self._devices:
                continue
            with suppress(UnsupportedError, pynvml.NVMLError):
                self._register(device)

    def count(self) -> None:
        """Take what was reported since the last time. Raises pynvml.NVMLError if the events cannot be read."""
        for _ in range(_MOST_AT_ONCE if self._devices else 0):
            try:
                event = pynvml.nvmlEventSetWait_v2(self._events, _AT_ONCE_MS)
            except pynvml.NVMLError_Timeout:
                return
            device = self._devices.get(_address(event.device))
            if device is not None and event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                device.xid_errors = (device.xid_errors or 0) + 1

    def close(self) -> None:
        """Give the events back."""
        if self._events is not None:
            pynvml.nvmlEventSetFree(self._events)

    def _register(self, device: Device) -> None:
        if self._events is None:
            self._events = supported(pynvml.nvmlEventSetCreate)
        kinds = pynvml.nvmlEventTypeXidCriticalError
        supported(lambda: pynvml.nvmlDeviceRegisterEvents(device.handle, kinds, self._events))
        self._devices[_address(device.handle)] = device
        device.xid_errors = device.xid_errors or 0


def _address(handle: Any) -> int:  # noqa: ANN401 - an opaque pointer of the binding
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


_OFTEN_SECONDS = 15.0
"""Processes, XID errors, and whether MIG was reconfigured."""
_SELDOM_SECONDS = 60.0
"""Memory errors."""


class NvmlSource:
    """Reads every accelerator; MIG instances stand in for an accelerator that is divided into them."""

    def __init__(self, host: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the library and list what there is; *clock*: seconds, for what is read at a slower pace.

        Raises InputError if there is no driver, it is not usable, or it has no accelerator.
        """
        self._host = host
        self._clock = clock
        try:
            attempted(pynvml.nvmlInit)
            count = attempted(pynvml.nvmlDeviceGetCount)
            self._driver = if_known(pynvml.nvmlSystemGetDriverVersion) or "of unknown version"
        except pynvml.NVMLError as error:
            raise cannot_open(error) from error
        if not count:
            hint = "see that nvidia-smi -L lists one; in a container, check NVIDIA_VISIBLE_DEVICES"
            raise InputError("the NVIDIA driver sees no accelerator", hint=hint)
        self._xid_errors = XidErrors()
        self._often_at = self._seldom_at = clock()
        try:
            self._places = [_Place(index) for index in range(count)]
        except pynvml.NVMLError as error:
            raise cannot_open(error) from error

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each accelerator. Raises InputError if the driver was replaced or unloaded."""
        now = self._clock()
        often, seldom = now >= self._often_at, now >= self._seldom_at
        extra = [processes] * often + [uncorrected_errors] * seldom
        try:
            if often:
                self._often_at = now + _OFTEN_SECONDS
                self._look_around()
            if seldom:
                self._seldom_at = now + _SELDOM_SECONDS
            read = [self._read_device(device, extra) for place in self._places for device in place.devices()]
        except pynvml.NVMLError as error:
            raise cannot_go_on(error) from error
        if any(isinstance(missed, Missed) and missed.target.mig_index is not None for missed in read):
            self._often_at = now  # an accelerator may be divided otherwise by now
        return read

    def describe(self) -> str:
        """Devices such as ``8 × NVIDIA A100-SXM4-40GB, driver 570.133.20``."""
        names = [
            device.name or "accelerator that does not answer" for place in self._places for device in place.devices()
        ]
        return f"{counted(names)}, driver {self._driver}"

    def close(self) -> None:
        """Shut the library down."""
        with suppress(pynvml.NVMLError):
            self._xid_errors.close()
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _look_around(self) -> None:
        """Whether an accelerator is divided otherwise than before, and which errors were reported."""
        for place in self._places:
            place.look_for_instances()
        self._xid_errors.watch(place.whole for place in self._places)
        try:
            self._xid_errors.count()
        except pynvml.NVMLError as error:
            if concerns_driver(error):
                raise

    def _read_device(self, device: Device, extra: Sequence[ReadCounter]) -> Reading | Missed:
        """Reading of one accelerator, or why there is none; only a driver that is gone is raised."""
        try:
            if device.handle is None:
                device.open()
            return self._reading(device, extra)
        except pynvml.NVMLError as error:
            if concerns_driver(error):
                raise
            # NOTE: calls on the handle of a lost accelerator have crashed processes: until it is found again, it is
            # only looked up.
            device.handle = device.profiling = None
            return Missed(device.target(self._host), str(error))

    def _reading(self, device: Device, extra: Sequence[ReadCounter]) -> Reading | Missed:
        """Every counter of an accelerator that answers; a miss when not a single one could be read."""
        values: dict[str, float] = {}
        is_whole = device.mig_index is None
        regular: list[ReadCounter] = [*OF_A_MIG_INSTANCE, profiling]
        if is_whole:
            regular = [*OF_AN_ACCELERATOR, profiling, *extra]
        errors = [error for counter in regular for error in _read_counter(counter, device, values)]
        for name, counter in OTHERWISE.items() if is_whole else ():
            if name not in values:
                errors += _read_counter(counter, device, values)
        target = device.target(self._host)
        if not values:
            return Missed(target, "; ".join(errors) or "it gives no value at all")
        if device.xid_errors is not None:
            values["xid_errors"] = device.xid_errors
        return Reading(target, values, note="; ".join(errors) or None)


class _Place:
    """One accelerator of the host, whole or divided."""

    def __init__(self, index: int) -> None:
        """Look what is there; one that does not answer is tried again at every reading."""
        self.whole = Device(index)
        self._instances: list[Device] = []
        self.look_for_instances()

    def devices(self) -> list[Device]:
        """Devices to read: its MIG instances, else itself."""
        return self._instances or [self.whole]

    def look_for_instances(self) -> None:
        """Take note of a new division, if it answers; instances that are still there keep what they remember."""
        try:
            if self.whole.handle is None:
                self.whole.open()
            devices = self.whole.mig_instances()
        except pynvml.NVMLError as error:
            if concerns_driver(error):
                raise
            return
        by_uuid = {(device.mig_index, device.uuid): device for device in self._instances}
        self._instances = [by_uuid.get((device.mig_index, device.uuid), device) for device in devices]


def _read_counter(counter: ReadCounter, device: Device, values: dict[str, float]) -> list[str]:
    """Add the values of one counter; what went wrong, if anything did."""
    try:
        values.update(counter(device))
    except UnsupportedError:
        return []
    except pynvml.NVMLError as error:
        if concerns_accelerator(error) or concerns_driver(error):
            raise
        return [f"{counter.__name__.replace('_', ' ')}: {error}"]
    return []
