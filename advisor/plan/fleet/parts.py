"""Layout of equal replicas and scaling of a fleet, as values with the names that a plan has for them."""

import math
from collections.abc import Sequence
from enum import StrEnum

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.workload.values import WIDE_PRECISIONS

REPLACED_AT_A_TIME = 0.25
"""Share of a group's instances that a rolling replacement may start beside them."""
FEWEST_SUBNETS = 2
"""A load balancer that survives a zone needs two."""
_SURGE_PER_ZONE = 2
"""Instances that an update of a managed node group of EKS starts in each zone of its subnets, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Place, machine, accelerator, precision, engine and parallelism of equal replicas."""

    provider: str
    region: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    """Accelerators of one instance."""
    partition: str = ""
    """Slices that every accelerator is cut into, one for each replica: mig-1g.10gb; "" for none."""
    replicas_per_instance: int
    tensor_parallel: int
    pipeline_parallel: int
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    context_tokens: int
    """Longest request served, prompt and answer together."""
    max_concurrency: int
    """Requests that one replica runs at the same time."""
    http_requests_per_call: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Mean HTTP requests that clients send for one of the demand: its items, where the server takes one each."""
    memory_utilization: float
    """Share of an accelerator's memory that the engine may use."""
    weights_gib: float
    """Weights of one replica as loaded."""
    checkpoint_gib: float
    """Download, kept on disk."""
    disk_gib: int | None = None
    """Boot disk of an instance, as priced and ordered: without the weights where local disks hold them; None: of a seat
    on a shared machine, which has one for all."""
    loading_gib: float
    """Most that one accelerator holds while weights are loaded."""
    adapters_gib: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Slots for LoRA adapters on the accelerators of one replica."""
    weights: str = ""
    """Repository on the hub that its engine loads; "" where the user has to name one."""
    weights_scheme: str = ""
    """How the weights are quantised; "" for published ones."""
    weights_quality_ratio: float | None = None
    """Share of the benchmark scores of published weights that they keep; None where it is not known."""
    purchase: str
    """How it is paid for: on_demand, spot, commitment, owned, serverless or managed."""
    zones: int = 1
    """Availability zones that the instances spread over."""
    zone_names: tuple[str, ...] = ()
    """Zones of the region in which the type is sold; empty: not known by name."""
    zones_verified: bool = False
    """Whether a source lists the type in these zones; otherwise those of the region are assumed."""

    @property
    def has_unknown_weights(self) -> bool:
        """Whether no repository is known that holds the weights in this precision."""
        return not self.weights and self.precision not in WIDE_PRECISIONS

    @property
    def stand(self) -> str:
        """Provider, region and type."""
        return f"{self.provider}/{self.region}/{self.instance_type}"

    @property
    def backend(self) -> tuple[str, str, str, str]:
        """Backend that an operator has to keep alive: provider, region, accelerator and engine."""
        return self.provider, self.region, f"{self.accelerator} {self.partition}".rstrip(), self.engine


def while_replaced(instances: int, surge: int = 0) -> int:
    """Instances of a group, and those that a rolling replacement starts before it stops others.

    A quarter of them, or one; no fewer than *surge*, see :func:`surge_of_zones`.
    """
    return instances + max(1, surge, math.ceil(instances * REPLACED_AT_A_TIME))


def surge_of_zones(provider: str, zone_names: Sequence[str], zones: int, *, on_nodes: bool) -> int:
    """Instances that a replacement starts because it goes on in all zones at once; 0 where it does not.

    A regional group of Google's takes no surge between 0 and the number of its zones (``maxSurge`` of
    https://cloud.google.com/compute/docs/instance-groups/rolling-out-updates-to-managed-instance-groups). A managed
    node group of EKS starts up to two in each zone of its subnets
    (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html, read in November 2026). A node
    pool of GKE starts one in all, as its code says.

    Args:
        provider: of the group.
        zone_names: zones that sell its type, over which the group is distributed; empty where they are not known.
        zones: fewest zones that its instances are spread over.
        on_nodes: whether its instances are nodes of a cluster whose groups the provider replaces.
    """
    if provider == "gcp" and not on_nodes:
        return len(zone_names) or zones
    if provider == "aws" and on_nodes:
        return _SURGE_PER_ZONE * max(FEWEST_SUBNETS, zones)
    return 0


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
