"""All NVIDIA accelerators of a host as a :class:`~advisor.samples.values.SampleSource`."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pynvml

from advisor.errors import InputError
from advisor.samples.nvml import counters
from advisor.samples.nvml.device import Device
from advisor.samples.nvml.failures import (
    UnsupportedError,
    cannot_go_on,
    cannot_open,
    concerns_accelerator,
    concerns_driver,
)
from advisor.samples.values import AcceleratorSample, Reading, SampleGap


class NvmlSource:
    """Reads every accelerator; MIG instances stand in for an accelerator that is divided into them."""

    def __init__(self, host: str) -> None:
        """Open the library and list what there is.

        Raises:
            InputError: there is no driver, it is not usable, or it has no accelerator.
        """
        self._host = host
        try:
            pynvml.nvmlInit()
            self._driver = pynvml.nvmlSystemGetDriverVersion()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            raise cannot_open(error) from error
        if not count:
            raise InputError(
                "the NVIDIA driver sees no accelerator",
                hint="see that nvidia-smi -L lists one; in a container, check NVIDIA_VISIBLE_DEVICES",
            )
        self._devices = [device for index in range(count) for device in _devices_at(index)]

    def read(self, timestamp: datetime) -> Sequence[Reading]:
        """One reading or gap of each accelerator.

        Raises:
            InputError: the driver was replaced or unloaded under the program.
        """
        try:
            return [self._read_device(device, timestamp) for device in self._devices]
        except pynvml.NVMLError as error:
            raise cannot_go_on(error) from error

    def missed(self, timestamp: datetime, missed_ticks: int, reason: str) -> Sequence[SampleGap]:
        """A gap of each accelerator: nothing was read for some ticks up to *timestamp*."""
        return [self._gap(device, timestamp, reason, missed_ticks) for device in self._devices]

    def describe(self) -> str:
        """Such as ``8 × NVIDIA A100-SXM4-40GB, driver 570.133.20``."""
        names = Counter(device.name or "accelerator that does not answer" for device in self._devices)
        return ", ".join([*(f"{count} × {name}" for name, count in names.items()), f"driver {self._driver}"])

    def close(self) -> None:
        """Let go of the library."""
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _read_device(self, device: Device, timestamp: datetime) -> Reading:
        """Reading of one accelerator, or why there is none; only a driver that is gone is raised."""
        try:
            if device.handle is None:
                device.open()
            return self._sample(device, timestamp)
        except pynvml.NVMLError as error:
            if concerns_driver(error):
                raise
            # NOTE: calls on the handle of a lost accelerator have crashed processes: until it is found again, it is
            # only looked up.
            device.handle = None
            return self._gap(device, timestamp, str(error))

    def _sample(self, device: Device, timestamp: datetime) -> Reading:
        """Every counter of an accelerator that answers; a gap when not a single one could be read."""
        values, errors = _read_counters(device)
        if errors and all(value is None for value in values.values()):
            return self._gap(device, timestamp, "; ".join(errors))
        return AcceleratorSample(
            timestamp=timestamp,
            host=self._host,
            accelerator_index=device.index,
            mig_index=device.mig_index,
            accelerator_uuid=device.uuid or "",
            accelerator=device.name or "",
            read_errors="; ".join(errors) or None,
            **values,
        )

    def _gap(self, device: Device, timestamp: datetime, reason: str, missed_ticks: int = 1) -> SampleGap:
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


def _devices_at(index: int) -> list[Device]:
    """The accelerator, or the MIG instances it is divided into; one that does not answer is tried at every reading."""
    device = Device(index)
    try:
        device.open()
        return device.mig_instances() or [device]
    except pynvml.NVMLError as error:
        if concerns_driver(error):
            raise cannot_open(error) from error
        device.handle = None
        return [device]


def _read_counters(device: Device) -> tuple[dict[str, Any], list[str]]:
    """Values by field name, and the counters that should be there and failed this once.

    Raises:
        pynvml.NVMLError: the accelerator or the driver is gone.
    """
    values: dict[str, Any] = {}
    errors = []
    whole = device.mig_index is None
    for counter in counters.OF_AN_ACCELERATOR if whole else counters.OF_A_MIG_INSTANCE:
        errors += _read_counter(counter, device, values)
    for name, counter in counters.OTHERWISE.items() if whole else ():
        if values.get(name) is None:
            errors += _read_counter(counter, device, values)
    return values, errors


def _read_counter(counter: counters.ReadCounter, device: Device, values: dict[str, Any]) -> list[str]:
    """Add the fields of one counter to *values*; what went wrong, if anything did."""
    try:
        values.update(counter(device))
    except UnsupportedError:
        return []
    except pynvml.NVMLError as error:
        if concerns_accelerator(error) or concerns_driver(error):
            raise
        return [f"{counter.__name__.replace('_', ' ')}: {error}"]
    return []
