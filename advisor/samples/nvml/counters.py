"""The counters, one function each: what it reads, into which fields of a sample, and the equal nvidia-smi query.

A function raises :class:`~advisor.samples.nvml.failures.UnsupportedError` where there is no such counter.
"""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, Protocol

import pynvml

from advisor.samples.nvml.device import Device
from advisor.samples.nvml.failures import UnsupportedError, first_supported, supported

Fields = Mapping[str, Any]
"""Fields of an :class:`~advisor.samples.values.AcceleratorSample` by name."""


class ReadCounter(Protocol):
    """One of the functions below."""

    __name__: str

    def __call__(self, device: Device) -> Fields:
        """Read it."""
        ...


_PERCENT = 100.0
_MILLI = 1e-3
_NS_PER_US = 1000
_VALUE_OF_TYPE = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
}


def memory(device: Device) -> Fields:
    """Memory in use. A serving engine reserves its share at start: this is what it took, not what it needs.

    ``nvidia-smi --query-gpu=memory.total,memory.used,memory.reserved``. Drivers before 510 have only the first version
    of the call, which counts what the driver keeps for itself (300-900 MB) as used; the reserved bytes are then None.
    """
    try:
        info = supported(lambda: pynvml.nvmlDeviceGetMemoryInfo(device.handle, version=pynvml.nvmlMemory_v2))
    except UnsupportedError:
        info = supported(lambda: pynvml.nvmlDeviceGetMemoryInfo(device.handle))
        return {"memory_total_bytes": info.total, "memory_used_bytes": info.used}
    return {
        "memory_total_bytes": info.total,
        "memory_used_bytes": info.used,
        "memory_reserved_bytes": info.reserved,
    }


def busy(device: Device) -> Fields:
    """Share of time in which at least one kernel ran, since the reading before.

    ``nvidia-smi --query-gpu=utilization.gpu`` shows the newest of the readings averaged here. The driver keeps the
    last 16 s or so: of a longer interval the average covers the end.
    """
    percents = _utilisation_since(device, pynvml.NVML_GPU_UTILIZATION_SAMPLES)
    if percents:
        return {"busy_ratio": fmean(percents) / _PERCENT, "busy_peak_ratio": max(percents) / _PERCENT}
    rates = supported(lambda: pynvml.nvmlDeviceGetUtilizationRates(device.handle))
    return {"busy_ratio": rates.gpu / _PERCENT}


def memory_busy(device: Device) -> Fields:
    """Share of time in which memory was read or written, since the reading before.

    ``nvidia-smi --query-gpu=utilization.memory``
    """
    percents = _utilisation_since(device, pynvml.NVML_MEMORY_UTILIZATION_SAMPLES)
    if percents:
        return {"memory_busy_ratio": fmean(percents) / _PERCENT}
    rates = supported(lambda: pynvml.nvmlDeviceGetUtilizationRates(device.handle))
    return {"memory_busy_ratio": rates.memory / _PERCENT}


def board(device: Device) -> Fields:
    """Power, energy and throttling, in one call.

    ``nvidia-smi --query-gpu=power.draw.instant,total_energy_consumption``; the throttling counters are those behind
    ``nvidia-smi -q -d PERFORMANCE``.
    """
    fields = _field_values(device)
    power = fields.get(pynvml.NVML_FI_DEV_POWER_INSTANT)
    energy = fields.get(pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION)
    return {
        "power_watts": None if power is None else power[1] * _MILLI,
        "energy_joules": None if energy is None else energy[1] * _MILLI,
        "power_throttled_ratio": _throttled(device, pynvml.NVML_FI_DEV_PERF_POLICY_POWER, fields),
        "thermal_throttled_ratio": _throttled(device, pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL, fields),
    }


def power(device: Device) -> Fields:
    """Power, where the field of :func:`board` does not give it: ``nvidia-smi --query-gpu=power.draw``."""
    return {"power_watts": supported(lambda: pynvml.nvmlDeviceGetPowerUsage(device.handle)) * _MILLI}


def energy(device: Device) -> Fields:
    """Energy since the driver was loaded, where the field of :func:`board` does not give it (Volta and newer)."""
    return {"energy_joules": supported(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device.handle)) * _MILLI}


def sm_clock(device: Device) -> Fields:
    """Clock of the multiprocessors now: ``nvidia-smi --query-gpu=clocks.sm``."""
    return {"sm_clock_mhz": supported(lambda: pynvml.nvmlDeviceGetClockInfo(device.handle, pynvml.NVML_CLOCK_SM))}


def temperature(device: Device) -> Fields:
    """Temperature of the chip now: ``nvidia-smi --query-gpu=temperature.gpu``."""
    degrees = first_supported(
        lambda: pynvml.nvmlDeviceGetTemperatureV(device.handle, pynvml.NVML_TEMPERATURE_GPU),
        lambda: pynvml.nvmlDeviceGetTemperature(device.handle, pynvml.NVML_TEMPERATURE_GPU),
    )
    return {"temperature_celsius": degrees}


OF_AN_ACCELERATOR: tuple[ReadCounter, ...] = (memory, busy, memory_busy, board, sm_clock, temperature)
OF_A_MIG_INSTANCE: tuple[ReadCounter, ...] = (memory,)
"""Utilisation, power and clocks belong to the whole accelerator, which no workload can use while it is divided."""
OTHERWISE: Mapping[str, ReadCounter] = {"power_watts": power, "energy_joules": energy}
"""Asked when the field is still unknown."""


def _utilisation_since(device: Device, kind: int) -> list[int]:
    """The driver's own readings since the last call, in percent; empty when it keeps none or there is no new one."""
    last_us = device.newest_us.get(kind, 0)
    try:
        _, samples = supported(lambda: pynvml.nvmlDeviceGetSamples(device.handle, kind, last_us))
    except (UnsupportedError, pynvml.NVMLError_NotFound):
        return []
    new = [sample for sample in samples if sample.timeStamp > last_us and sample.sampleValue.uiVal <= _PERCENT]
    if not new:
        return []
    newest = max(new, key=lambda sample: sample.timeStamp)
    device.newest_us[kind] = newest.timeStamp
    if not last_us:  # no interval yet: older readings are from before the agent
        new = [newest]
    return [sample.sampleValue.uiVal for sample in new]


def _field_values(device: Device) -> dict[int, tuple[int, float]]:
    """Driver time in µs and value of the fields that the accelerator supports."""
    wanted = [
        pynvml.NVML_FI_DEV_POWER_INSTANT,
        pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
        pynvml.NVML_FI_DEV_PERF_POLICY_POWER,
        pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL,
    ]
    values = supported(lambda: pynvml.nvmlDeviceGetFieldValues(device.handle, wanted))
    return {
        value.fieldId: (value.timestamp, float(getattr(value.value, _VALUE_OF_TYPE[value.valueType])))
        for value in values
        if value.nvmlReturn == pynvml.NVML_SUCCESS and value.valueType in _VALUE_OF_TYPE
    }


def _throttled(device: Device, field_id: int, fields: Mapping[int, tuple[int, float]]) -> float | None:
    """Share of the time since the reading before; None for the first reading and after a reset of the counter."""
    if field_id not in fields:
        return None
    now_us, now_ns = fields[field_id]
    before = device.throttled.get(field_id)
    device.throttled[field_id] = (now_us, now_ns)
    if before is None or now_us <= before[0] or now_ns < before[1]:
        return None
    return min((now_ns - before[1]) / ((now_us - before[0]) * _NS_PER_US), 1.0)
