"""Values of calibration: one measured set-up under one load, and what was left out with the reason."""

from advisor.performance.setups import Setup
from advisor.performance.values import Scenario
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured set-up under one load; None for what was not measured or not stated.

    Throughputs are for all accelerators of the set-up together.
    """

    where: str
    """File and line, or file and entry, for messages."""
    setup: Setup
    scenario: Scenario
    concurrency: float | None = None
    """Users over all replicas, or the batch."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    """Per token after the first."""
    output_tokens_per_second: float | None = None
    samples_per_second: float | None = None
    source: str = ""
    """Who published it; "" for the user's own."""
    prefix_cache_hit_ratio: float | None = None
    """Share of the prompt's tokens that a cache held; None where nobody stated any, which is taken as none."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not used, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a file held: nothing is dropped without a reason."""

    measurements: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]
