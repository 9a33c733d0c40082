"""Values that the targets on Google Cloud share: a group and a backend in the words of the provider's arguments.

Sources: Google's guides to GPU machine types, managed instance groups, autoscaling and TPUs in Compute Engine, and the
provider's reference, read in November 2026.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from advisor.codegen.model import ComputeGroup, Region, Scaling, ScheduledSize, Stack
from advisor.codegen.platforms.gcp import machine_of
from advisor.records import dataclass

_SMALLEST_CAPACITY = 0.1
LONGEST_WAIT_SECONDS = 3600
"""Of auto-healing's initial delay and of the autoscaler's initialisation period."""
_MINUTES_PER_DAY = 24 * 60
_MINUTES_PER_WEEK = 7 * _MINUTES_PER_DAY
_TOPOLOGIES: Mapping[str, Mapping[float, str]] = {
    "tpu-v5p-slice": {4: "2x2x1"},
    "tpu-v5-lite-podslice": {1: "1x1", 4: "2x2", 8: "2x4"},
    "tpu-v6e-slice": {1: "1x1", 4: "2x2", 8: "2x4"},
}
"""Arrangement of the chips of one host."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which an autoscaler keeps at least so many instances."""

    name: str
    """Stable and unique within a group."""
    cron: str
    """Start, five fields in UTC."""
    duration_seconds: int
    instances: int


@dataclass(frozen=True, slots=True)
class GoogleGroup:
    """A compute group as Compute Engine and GKE take it."""

    group: ComputeGroup
    machine_type: str
    accelerator_type: str
    """As Compute Engine and GKE name it."""
    accelerator_count: int
    attached: int
    """Accelerators to attach to the machine; 0 where its type brings them."""
    disk_type: str
    boot_disk_gib: int
    """Without the weights where the machine's own disks hold them."""
    provisioning_model: str
    """STANDARD, SPOT, or RESERVATION_BOUND for what starts from a reservation only."""
    interchangeable_types: tuple[str, ...]
    """Empty where accelerators are attached: a choice of types takes no notice of them."""
    tpu_topology: str
    """Of one host; "" for a GPU."""
    windows: tuple[Window, ...]
    """Scheduled scaling; empty where the number of instances follows no clock."""
    image: str
    """Path of the machine image's family."""
    min_instances: int
    """In the quietest hours, and enough for its share of the requests to find someone."""

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones that sell the machine type; empty where they are not known."""
        return self.group.zone_names if self.group.zones_verified else ()

    @property
    def needs_reservation(self) -> bool:
        """Google starts it from a reservation only."""
        return self.provisioning_model == "RESERVATION_BOUND"

    @property
    def warmup_seconds(self) -> int:
        """Time after a start in which an autoscaler does not count an instance."""
        return min(self.group.start_seconds, LONGEST_WAIT_SECONDS)

    @property
    def heals(self) -> bool:
        """Unanswered health checks replace an instance: not where a slow start may take longer than repair can wait."""
        return self.group.start_limit_seconds <= LONGEST_WAIT_SECONDS


def google_groups(stack: Stack, *, share_entrance: bool = False) -> tuple[GoogleGroup, ...]:
    """The groups of *stack* in the words of Google Cloud, in their order.

    Args:
        stack: with the groups.
        share_entrance: the backends of a region share a load balancer that sends the empty ones nothing.
    """
    return tuple(_google_group(group, _fewest(stack, group, share_entrance=share_entrance)) for group in stack.groups)


def _fewest(stack: Stack, group: ComputeGroup, *, share_entrance: bool) -> int:
    """Nobody answers a share of the requests where all are empty, and load does not wake an empty group."""
    if stack.scaling is Scaling.REACTIVE:
        return max(1, group.min_instances)
    place = attrgetter("region" if share_entrance else "backend")
    alike = [compute_group for compute_group in stack.groups if place(compute_group) == place(group)]
    steadiest = min(alike, key=lambda compute_group: (compute_group.is_spot, compute_group.key))
    if group is steadiest and not any(compute_group.min_instances for compute_group in alike):
        return 1
    return group.min_instances


def _google_group(group: ComputeGroup, min_instances: int) -> GoogleGroup:
    machine = machine_of(group.instance_type)
    accelerator_type = machine.family.accelerator_type
    project, _, family = group.platform.machine_image.partition("/")
    return GoogleGroup(
        group=group,
        machine_type=machine.machine_type,
        accelerator_type=accelerator_type,
        accelerator_count=int(group.accelerator_count),
        attached=machine.attached,
        disk_type=machine.family.disk_type,
        boot_disk_gib=group.host_disk_gib,
        provisioning_model=_provisioning_model(group, starts_on_demand=machine.family.starts_on_demand),
        interchangeable_types=() if machine.attached else group.interchangeable_types,
        tpu_topology=_TOPOLOGIES.get(accelerator_type, {}).get(group.accelerator_count, ""),
        windows=windows_of(group.schedule, min_instances),
        image=f"projects/{project}/global/images/family/{family}",
        min_instances=min_instances,
    )


def example_zones(stack: Stack, region: Region) -> list[str]:
    """Zones of a region that sell what its groups run on; letters of the alphabet where they are not known."""
    known = [set(group.zone_names) for group in stack.groups if group.region == region.name and group.zone_names]
    names = sorted(set.union(*known)) if known else []
    return names if len(names) >= region.zones else [f"{region.name}-{letter}" for letter in "abcdef"[: region.zones]]


def _provisioning_model(group: ComputeGroup, *, starts_on_demand: bool) -> str:
    if group.is_spot:
        return "SPOT"
    return "STANDARD" if starts_on_demand else "RESERVATION_BOUND"


def windows_of(schedule: Sequence[ScheduledSize], at_least: int) -> tuple[Window, ...]:
    """The times in which more than *at_least* instances are wanted, from the entries of a weekly schedule.

    Entries of several weekdays become one window where they last equally long.
    """
    starts = sorted((_minute(day, entry), entry) for entry in schedule for day in entry.weekdays)
    days: dict[tuple[int, int, int, int], list[int]] = {}
    for number, (minute, entry) in enumerate(starts):
        following = starts[(number + 1) % len(starts)][0]
        lasts = (following - minute) % _MINUTES_PER_WEEK or _MINUTES_PER_WEEK
        if entry.instances > at_least:
            key = (entry.hour, entry.minute, lasts, entry.instances)
            days.setdefault(key, []).append(minute // _MINUTES_PER_DAY + 1)
    return tuple(_window(*key, weekdays) for key, weekdays in sorted(days.items()))


def _minute(day: int, entry: ScheduledSize) -> int:
    """Minutes from Monday 00:00."""
    return (day - 1) * _MINUTES_PER_DAY + entry.hour * 60 + entry.minute


def _window(hour: int, minute: int, lasts_minutes: int, instances: int, weekdays: Iterable[int]) -> Window:
    start = ScheduledSize(hour, minute, tuple(weekdays), instances)
    return Window(f"from-{start.name}-for-{lasts_minutes}m", start.cron, lasts_minutes * 60, instances)


def capacities(groups: Iterable[ComputeGroup]) -> Mapping[str, float]:
    """Share of each group's rate that makes a load balancer spread the requests by the weights, by key.

    A load balancer spreads them in proportion to ``rate × share × healthy instances``. Google takes 0 for none, and
    0.1 to 1.
    """
    per_rate = {
        group.key: group.weight / (group.requests_per_second_per_instance * max(1, group.instances)) for group in groups
    }
    most = max(per_rate.values())
    if most == 0:
        return dict.fromkeys(per_rate, 1.0)
    return {key: max(_SMALLEST_CAPACITY, round(one / most, 3)) if one else 0.0 for key, one in per_rate.items()}
