"""XID errors, as the driver reports them: counted, and never waited for."""

import ctypes
from collections.abc import Iterable
from typing import Any

import pynvml

from advisor.samples.sources.nvml.device import Device
from advisor.samples.sources.nvml.failures import UnsupportedError, supported

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
            try:
                self._register(device)
            except (UnsupportedError, pynvml.NVMLError):
                continue

    def count(self) -> None:
        """Take what was reported since the last time.

        Raises:
            pynvml.NVMLError: the events cannot be read.
        """
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
