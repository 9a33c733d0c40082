"""Readings as agents kept them before rows of fifteen seconds: one for each tick. Their files stay readable."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AcceleratorSample:
    """One reading of one accelerator. None: the accelerator, or its driver, does not say."""

    timestamp: datetime
    """The tick it belongs to, UTC."""
    host: str
    accelerator_index: int
    """Number on the host, as the driver counts."""
    mig_index: int | None
    """Number of the MIG instance on that accelerator; None for a whole accelerator."""
    accelerator_uuid: str
    accelerator: str
    """Product name, as the driver gives it."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Without what the driver keeps for itself, unless ``memory_reserved_bytes`` is None."""
    memory_reserved_bytes: int | None = None
    busy_ratio: float | None = None
    """Share of the interval up to this tick in which a kernel ran (0..1). Busy is not saturated."""
    busy_peak_ratio: float | None = None
    """The busiest of the driver's readings (about 1/6 s each) in that interval."""
    memory_busy_ratio: float | None = None
    """Share of the interval in which memory was read or written: no measure of how full it is."""
    power_watts: float | None = None
    energy_joules: float | None = None
    """Counter since the driver was loaded: its differences are exact, however long the interval."""
    sm_clock_mhz: int | None = None
    temperature_celsius: int | None = None
    power_throttled_ratio: float | None = None
    """Share of the time since the reading before in which the power limit lowered the clocks."""
    thermal_throttled_ratio: float | None = None
    """Share of the time since the reading before in which heat lowered the clocks."""
    read_errors: str | None = None
    """Counters that failed in this reading alone, with the driver's words."""


@dataclass(frozen=True, slots=True)
class SampleGap:
    """Readings that should have been there and are not."""

    timestamp: datetime
    """The (last) tick that was missed, UTC."""
    host: str
    accelerator_index: int
    mig_index: int | None
    accelerator_uuid: str | None
    """None: the accelerator has not answered since the agent started."""
    accelerator: str | None
    missed_ticks: int
    """At least 1."""
    reason: str


Reading = AcceleratorSample | SampleGap
