"""NVIDIA accelerators of this host, read through NVML. The only module that imports ``pynvml``.

Every counter is read by itself: what the driver does not support is None, what fails this once is None with a note,
and only an accelerator that is gone becomes a gap, while the others go on. ``nvmlDeviceGetPcieThroughput`` is never
called: it blocks for 20 ms. The library is opened once and kept open, because opening it disturbs the driver.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import pynvml

from advisor.errors import InputError
from advisor.samples.values import AcceleratorSample, Reading, SampleGap

_T = TypeVar("_T")
_US_PER_SECOND = 1e6
_NS_PER_US = 1000

_UNSUPPORTED = frozenset({
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_DEPRECATED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_NO_DATA,
})  # fmt: skip
"""The counter is not to be had here: no fault, and no value."""
_ACCELERATOR_GONE = frozenset({
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_NOT_FOUND,
    pynvml.NVML_ERROR_GPU_NOT_FOUND,
})  # fmt: skip
_LIBRARY_GONE = frozenset({
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
})  # fmt: skip
"""No call of this process will succeed any more."""

_OPENING = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "no NVIDIA driver library (libnvidia-ml.so.1) on this host",
        "install the NVIDIA driver; in a container, start it with GPU access (docker run --gpus all, "
        "NVIDIA_DRIVER_CAPABILITIES=utility)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        "load it (modprobe nvidia) and see that nvidia-smi works, then start again",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the loaded NVIDIA driver and its library have different versions",
        "the driver was upgraded while it was loaded: reboot, or reload the kernel module, then start again",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no permission to talk to the NVIDIA driver",
        "give this user access to /dev/nvidiactl and /dev/nvidia0 (often the group video or render)",
    ),
}


@dataclass(slots=True)
class _Device:
    """An accelerator and what its last reading left behind."""

    index: int
    mig_index: int | None = None
    uuid: str | None = None
    name: str | None = None
    handle: Any = None
    """None while it does not answer."""
    why_closed: str = ""
    newest_us: dict[int, int] = field(default_factory=dict)
    """Driver time of the newest utilisation reading taken, by kind."""
    throttled: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Driver time in µs and throttled nanoseconds of the last reading, by field."""


class _Busy(NamedTuple):
    mean: float
    peak: float | None


class _Memory(NamedTuple):
    total: int | None = None
    used: int | None = None
    reserved: int | None = None


class NvmlSource:
    """All NVIDIA accelerators of this host; MIG instances stand in for an accelerator that is divided into them."""

    def __init__(self, host: str) -> None:
        """Open the library and list what there is.

        Raises:
            InputError: there is no driver, it is not usable, or it has no accelerator.
        """
        self._host = host
        self._devices: list[_Device] = []
        try:
            pynvml.nvmlInit()
            self._driver = pynvml.nvmlSystemGetDriverVersion()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            message, hint = _OPENING.get(error.value, (f"NVML does not start: {error}", "see that nvidia-smi works"))
            raise InputError(message, hint=hint) from error
        if not count:
            raise InputError(
                "the NVIDIA driver sees no accelerator",
                hint="see that nvidia-smi -L lists one; in a container, check NVIDIA_VISIBLE_DEVICES",
            )
        for index in range(count):
            self._devices.extend(_open_accelerator(index))

    def read(self, timestamp: datetime) -> Sequence[Reading]:
        """One reading or gap of each accelerator.

        Raises:
            InputError: the driver was replaced or unloaded under the program.
        """
        try:
            return [self._read_device(device, timestamp) for device in self._devices]
        except pynvml.NVMLError as error:
            raise InputError(
                f"the NVIDIA driver does not answer this program any more: {error}",
                hint="the driver was upgraded or unloaded; see that nvidia-smi works, then start the agent again",
            ) from error

    def missed(self, timestamp: datetime, missed_ticks: int, reason: str) -> Sequence[SampleGap]:
        """A gap of each accelerator: nothing was read for some ticks up to *timestamp*."""
        return [self._gap(device, timestamp, reason, missed_ticks) for device in self._devices]

    def describe(self) -> str:
        """Such as ``8 × NVIDIA A100-SXM4-40GB, driver 570.133.20``."""
        names = Counter(device.name or f"accelerator {device.index} ({device.why_closed})" for device in self._devices)
        return ", ".join([*(f"{count} × {name}" for name, count in names.items()), f"driver {self._driver}"])

    def close(self) -> None:
        """Let go of the library."""
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _read_device(self, device: _Device, timestamp: datetime) -> Reading:
        """Reading of one accelerator, or why there is none."""
        try:
            if device.handle is None:
                _open_device(device)
            return self._sample(device, timestamp)
        except pynvml.NVMLError as error:
            if error.value in _LIBRARY_GONE:
                raise
            # NOTE: calls on the handle of a lost accelerator have crashed processes; from here on it is only looked up.
            device.handle = None
            return self._gap(device, timestamp, str(error))

    def _sample(self, device: _Device, timestamp: datetime) -> Reading:
        """Read every counter of an accelerator that answers."""
        counters = _Reader()
        memory = counters.read("memory", lambda: _memory(device.handle)) or _Memory()
        busy, memory_busy, board = None, None, _Board()
        if device.mig_index is None:
            busy = counters.read("busy", lambda: _busy(device))
            memory_busy = counters.read("memory busy", lambda: _memory_busy(device))
            board = _read_board(device, counters)
        values = (memory.used, busy, memory_busy, board.power_watts, board.temperature_celsius)
        if counters.errors and all(value is None for value in values):
            return self._gap(device, timestamp, "; ".join(counters.errors))
        return AcceleratorSample(
            timestamp=timestamp,
            host=self._host,
            accelerator_index=device.index,
            mig_index=device.mig_index,
            accelerator_uuid=device.uuid or "",
            accelerator=device.name or "",
            memory_total_bytes=memory.total,
            memory_used_bytes=memory.used,
            memory_reserved_bytes=memory.reserved,
            busy_ratio=busy.mean if busy else None,
            busy_peak_ratio=busy.peak if busy else None,
            memory_busy_ratio=memory_busy,
            power_watts=board.power_watts,
            energy_joules=board.energy_joules,
            sm_clock_mhz=board.sm_clock_mhz,
            temperature_celsius=board.temperature_celsius,
            power_throttled_ratio=board.power_throttled_ratio,
            thermal_throttled_ratio=board.thermal_throttled_ratio,
            read_errors="; ".join(counters.errors) or None,
        )

    def _gap(self, device: _Device, timestamp: datetime, reason: str, missed_ticks: int = 1) -> SampleGap:
        return SampleGap(
            timestamp=timestamp,
            host=self._host,
            accelerator_index=device.index,
            mig_index=device.mig_index,
            accelerator_uuid=device.uuid,
            accelerator=device.name,
            missed_ticks=missed_ticks,
            reason=reason,
        )


