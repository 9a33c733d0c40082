"""One accelerator as the agent holds it: who it is, its handle, and what its last reading left behind."""

from dataclasses import dataclass, field
from typing import Any

import pynvml

from advisor.samples.nvml.failures import UnsupportedError, supported


@dataclass(slots=True)
class Device:
    """A whole accelerator, or one MIG instance of it."""

    index: int
    mig_index: int | None = None
    uuid: str | None = None
    name: str | None = None
    handle: Any = None
    """None while it does not answer."""
    newest_us: dict[int, int] = field(default_factory=dict)
    """Driver time of the newest utilisation reading taken, by kind."""
    throttled: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Driver time in µs and throttled ns of the reading before, by field."""

    def open(self) -> None:
        """Find the accelerator (again) and ask who it is.

        Raises:
            pynvml.NVMLError: it does not answer.
        """
        if self.uuid is None:
            handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
        self._identify(handle)

    def mig_instances(self) -> list["Device"]:
        """The MIG instances it is divided into; empty for a whole accelerator.

        ``nvidia-smi -L``, ``nvidia-smi --query-gpu=mig.mode.current``
        """
        try:
            current, _ = supported(lambda: pynvml.nvmlDeviceGetMigMode(self.handle))
        except UnsupportedError:
            return []
        if not current:
            return []
        slots = range(pynvml.nvmlDeviceGetMaxMigDeviceCount(self.handle))
        found = (self._mig_instance(slot) for slot in slots)
        return [instance for instance in found if instance is not None]

    def _mig_instance(self, slot: int) -> "Device | None":
        try:
            handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self.handle, slot)
        except pynvml.NVMLError_NotFound:  # slots need not be filled from the first on
            return None
        instance = Device(self.index, mig_index=slot)
        instance._identify(handle)
        return instance

    def _identify(self, handle: Any) -> None:  # noqa: ANN401 - an opaque pointer of the binding
        self.uuid = pynvml.nvmlDeviceGetUUID(handle)
        self.name = pynvml.nvmlDeviceGetName(handle)
        self.handle = handle
