"""Scaling of a fleet, as values: what a plan holds under ``fleet.scaling``, under the same names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

REPLACED_AT_A_TIME = 0.25
"""Share of a group's instances that a rolling replacement may start beside them."""


def while_replaced(instances: int, zones: int = 0) -> int:
    """Instances of a group, and those that a rolling replacement starts before it stops others.

    A quarter of them, or one; no fewer than one in each of *zones*, where groups are replaced in all zones at once.
    """
    return instances + max(1, zones, math.ceil(instances * REPLACED_AT_A_TIME))


def zones_replaced_at_once(provider: str, zone_names: Sequence[str], zones: int) -> int:
    """Zones in which a replacement starts an instance each: those of a regional group of Google's; 0 elsewhere.

    A regional group takes no surge between 0 and the number of its zones (``maxSurge`` of
    https://cloud.google.com/compute/docs/instance-groups/rolling-out-updates-to-managed-instance-groups).

    Args:
        provider: of the group.
        zone_names: zones that sell its type, over which the group is distributed; empty where they are not known.
        zones: fewest zones that its instances are spread over.
    """
    return (len(zone_names) or zones) if provider == "gcp" else 0


class Policy(StrEnum):
    """Scaling policy of a fleet; of two that cost the same the first one is recommended."""

    STATIC = "static"
    """The same number at all times."""
    SCHEDULED = "scheduled"
    """The clock: numbers by hour of the week, ordered ahead."""
    REACTIVE = "reactive"
    """The load as it is seen, with headroom for what rises before new instances serve."""


@dataclass(frozen=True, slots=True)
class Change:
    """Number of instances that serve from this hour of the week on."""

    hour_of_week: int
    """From Monday 00:00 UTC."""
    instances: int


@dataclass(frozen=True, slots=True)
class GroupSchedule:
    """The timetable of equal instances that are paid for in one way."""

    name: str
    """Of the group in the fleet."""
    ordered_minutes_ahead: int
    """How long before its hour an instance has to be ordered."""
    changes: tuple[Change, ...]
    """In the order of the week, which begins anew after the last one; hour 0 alone where the number never changes."""


@dataclass(frozen=True, slots=True)
class ReactivePolicy:
    """Capacity that follows the load as observed."""

    delay_s: float
    """From a rise of the load until capacity ordered because of it serves, at the upper edge."""
    missed_ratio: float
    """Share of the requests that would come before their capacity if there were no headroom."""
    headroom_requests_per_second: float
    """Capacity kept ahead of the load, so that no more come too early than the SLO lets miss."""
    minimum_warm_replicas: int
    """Replicas of the main type that always run."""
    usd_per_month: float
    """Expected; headroom, and instances from their order on, are paid for."""


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """The policies side by side, for the same fleet."""

    recommended: Policy
    reason: str
    schedule: tuple[GroupSchedule, ...]
    scheduled_usd_per_month: float
    """Of the plan."""
    static_usd_per_month: float
    """Of the numbers of the busiest hours at all hours."""
    reactive: ReactivePolicy | None
    warm_pool: ReactivePolicy | None
    """Reactive, with instances that were stopped with their disks, which are paid for."""
    reactive_unknown: str
    """Why there is nothing to say of the two; "" where there is."""
