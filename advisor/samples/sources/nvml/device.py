"""One accelerator as the agent holds it: who it is, its handle, and what its last reading left behind."""

from dataclasses import dataclass, field
from typing import Any

import pynvml

from advisor.samples.rows import Target
from advisor.samples.sources.nvml.failures import UnsupportedError, attempted, if_known, supported


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
    """Samples of the profiling counters; see :mod:`advisor.samples.sources.nvml.profiling`."""
    xid_errors: int | None = None
    """Counted since the agent started; None where the driver does not report them."""

    def open(self) -> None:
        """Find the accelerator (again) and ask who it is.

        Raises:
            pynvml.NVMLError: it does not answer.
        """
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
        """The MIG instances it is divided into; empty for a whole accelerator.

        ``nvidia-smi -L``, ``nvidia-smi --query-gpu=mig.mode.current``
        """
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
