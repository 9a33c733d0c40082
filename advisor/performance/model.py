"""The seam for the calibrated model: what a performance model answers, and the physics as the one that exists."""

from dataclasses import dataclass
from typing import Protocol, assert_never

from advisor.performance.constants import CALIBRATION_VERSION, SPREADS, Quantity, Spread
from advisor.performance.deployments import Packed
from advisor.performance.regimes import Load, Timing, closed_loop, saturated, static_batch
from advisor.performance.values import Evidence, Scenario


class PerformanceModel(Protocol):
    """Times of many replicas at once, how sure they are, and what they rest on."""

    @property
    def calibration_version(self) -> str:
        """Version of the constants, as the plan records it."""

    def timing(self, scenario: Scenario, packed: Packed, load: Load) -> Timing:
        """Seconds and throughput of each replica under its load."""

    def spread(self, scenario: Scenario, quantity: Quantity) -> Spread:
        """Factors to the ends of the 80 % interval."""

    def evidence(self, packed: Packed) -> Evidence:
        """What the numbers rest on."""


@dataclass(frozen=True, slots=True)
class RooflineModel:
    """Physics with constants fitted over all measurements."""

    calibration_version: str = CALIBRATION_VERSION

    def timing(self, scenario: Scenario, packed: Packed, load: Load) -> Timing:
        """Seconds and throughput of each replica under its load."""
        match scenario:
            case Scenario.FIXED_CONCURRENCY:
                return closed_loop(packed.replicas, packed.constants, load)
            case Scenario.FIXED_BATCH | Scenario.SINGLE_STREAM:
                return static_batch(packed.replicas, packed.constants, load)
            case Scenario.SATURATED:
                return saturated(packed.replicas, packed.constants, load)
            case _:
                assert_never(scenario)

    def spread(self, scenario: Scenario, quantity: Quantity) -> Spread:
        """Factors to the ends of the 80 % interval."""
        return SPREADS[scenario][quantity]

    def evidence(self, packed: Packed) -> Evidence:  # noqa: ARG002 - the same for every replica
        """Always roofline: nothing of the very set-up was measured."""
        return Evidence.ROOFLINE


ROOFLINE = RooflineModel()
