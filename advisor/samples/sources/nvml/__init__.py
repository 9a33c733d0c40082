"""NVIDIA accelerators of this host, read through NVML. Only the modules of this package import ``pynvml``.

Every counter is read by itself: what the driver does not support is left out, what fails this once is left out with a
note, and only an accelerator that is gone is missed, while the others go on. ``nvmlDeviceGetPcieThroughput`` is never
called: it blocks for 20 ms. The library is opened once and kept open, because opening it disturbs the driver.

Each value is a mean between two samples of the counters. The last sample is kept, so that one new sample a tick covers
the time from tick to tick without a hole.
"""

import ctypes
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pynvml

from advisor.errors import InputError
from advisor.samples.metrics import Missed, Reading
from advisor.samples.sources import counted
from advisor.samples.sources.nvml import counters
from advisor.samples.sources.nvml.counters import Device, UnsupportedError, attempted, supported

_METRICS = ((2, "sm_active_ratio"), (3, "sm_occupancy_ratio"), (5, "tensor_active_ratio"), (10, "dram_active_ratio"))
"""NVML_GPM_METRIC_SM_UTIL, …_SM_OCCUPANCY, …_ANY_TENSOR_UTIL and …_DRAM_BW_UTIL, all in percent."""
_PERCENT = 100.0


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
            with suppress(counters.UnsupportedError, pynvml.NVMLError):
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
            self._events = counters.supported(pynvml.nvmlEventSetCreate)
        kinds = pynvml.nvmlEventTypeXidCriticalError
        counters.supported(lambda: pynvml.nvmlDeviceRegisterEvents(device.handle, kinds, self._events))
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
            counters.attempted(pynvml.nvmlInit)
            count = counters.attempted(pynvml.nvmlDeviceGetCount)
            self._driver = counters.if_known(pynvml.nvmlSystemGetDriverVersion) or "of unknown version"
        except pynvml.NVMLError as error:
            raise counters.cannot_open(error) from error
        if not count:
            hint = "see that nvidia-smi -L lists one; in a container, check NVIDIA_VISIBLE_DEVICES"
            raise InputError("the NVIDIA driver sees no accelerator", hint=hint)
        self._xid_errors = XidErrors()
        self._often_at = self._seldom_at = clock()
        try:
            self._places = [_Place(index) for index in range(count)]
        except pynvml.NVMLError as error:
            raise counters.cannot_open(error) from error

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each accelerator. Raises InputError if the driver was replaced or unloaded."""
        now = self._clock()
        often, seldom = now >= self._often_at, now >= self._seldom_at
        extra = [counters.processes] * often + [counters.uncorrected_errors] * seldom
        try:
            if often:
                self._often_at = now + _OFTEN_SECONDS
                self._look_around()
            if seldom:
                self._seldom_at = now + _SELDOM_SECONDS
            read = [self._read_device(device, extra) for place in self._places for device in place.devices()]
        except pynvml.NVMLError as error:
            raise counters.cannot_go_on(error) from error
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
            if counters.concerns_driver(error):
                raise

    def _read_device(self, device: Device, extra: Sequence[counters.ReadCounter]) -> Reading | Missed:
        """Reading of one accelerator, or why there is none; only a driver that is gone is raised."""
        try:
            if device.handle is None:
                device.open()
            return self._reading(device, extra)
        except pynvml.NVMLError as error:
            if counters.concerns_driver(error):
                raise
            # NOTE: calls on the handle of a lost accelerator have crashed processes: until it is found again, it is
            # only looked up.
            device.handle = device.profiling = None
            return Missed(device.target(self._host), str(error))

    def _reading(self, device: Device, extra: Sequence[counters.ReadCounter]) -> Reading | Missed:
        """Every counter of an accelerator that answers; a miss when not a single one could be read."""
        values: dict[str, float] = {}
        is_whole = device.mig_index is None
        regular: list[counters.ReadCounter] = [*counters.OF_A_MIG_INSTANCE, profiling]
        if is_whole:
            regular = [*counters.OF_AN_ACCELERATOR, profiling, *extra]
        errors = [error for counter in regular for error in _read_counter(counter, device, values)]
        for name, counter in counters.OTHERWISE.items() if is_whole else ():
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
            if counters.concerns_driver(error):
                raise
            return
        by_uuid = {(device.mig_index, device.uuid): device for device in self._instances}
        self._instances = [by_uuid.get((device.mig_index, device.uuid), device) for device in devices]


def _read_counter(counter: counters.ReadCounter, device: Device, values: dict[str, float]) -> list[str]:
    """Add the values of one counter; what went wrong, if anything did."""
    try:
        values.update(counter(device))
    except counters.UnsupportedError:
        return []
    except pynvml.NVMLError as error:
        if counters.concerns_accelerator(error) or counters.concerns_driver(error):
            raise
        return [f"{counter.__name__.replace('_', ' ')}: {error}"]
    return []
