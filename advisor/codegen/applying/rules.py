"""Which arguments of a resource hold its instance type and its counts."""

from collections.abc import Mapping
from enum import StrEnum

from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.keys import group_keys
from advisor.codegen.selection import Member, choose
from advisor.codegen.stack import interchangeable_types, most_instances
from advisor.codegen.wanted import Wanted
from advisor.plan.values import Plan
from advisor.records import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the plan."""

    key: str
    """As in generated code."""
    provider: str
    region: str
    instance_type: str
    interchangeable_types: tuple[str, ...]
    instances: int
    """In the busiest hours."""
    min_instances: int
    max_instances: int
    is_spot: bool
    serving: str
    """How the containers have to serve for the numbers to hold, in words."""
    keeps_types: bool = False
    """Whether only counts change: types, and how they are bought, stay as the code says."""
    least_maximum: int | None = None
    """Instances that a group has to be able to grow to: a greater maximum in the code stays, and a number that decides
    it falls no further. None: a maximum becomes ``max_instances``."""


def targets_of(plan: Plan, rank: int | None = None, *, unconfirmed: bool = False) -> tuple[Target, ...]:
    """The groups of the plan's fleet, or of the single type with *rank*.

    Raises:
        InputError: there is no such option.
        NotDeployable: the fleet's replay refused it, which *unconfirmed* lets pass.
    """
    members = choose(plan, Wanted(rank=rank, unconfirmed=unconfirmed), lambda _: None).members
    return tuple(_target(plan, member, key) for member, key in zip(members, group_keys(members), strict=True))


def _target(plan: Plan, member: Member, key: str) -> Target:
    serves = member.serves
    sharing = sharing_of(serves.partition, serves.replicas_per_instance, serves.accelerator_count)
    cut = "" if sharing is None else f", {sharing.words} of each {serves.accelerator}"
    return Target(
        key=key,
        provider=serves.provider,
        region=serves.region,
        instance_type=serves.instance_type,
        interchangeable_types=interchangeable_types(plan, member),
        instances=max(member.hours),
        min_instances=min(member.hours),
        max_instances=most_instances(member),
        is_spot=serves.purchase == "spot",
        serving=(
            f"{serves.engine} with {serves.precision} weights, tensor parallel {serves.tensor_parallel}, "
            f"{serves.replicas_per_instance} replica(s) an instance, {serves.max_concurrency} requests at a time, "
            f"{serves.context_tokens} tokens of context{cut}"
        ),
    )


class Figure(StrEnum):
    """Figure of the plan that an argument holds."""

    TYPE = "type"
    TYPES = "types"
    """A list: the planned type, then those that serve alike."""
    EACH_TYPE = "each_type"
    """Of several blocks: the planned type in the first, then those that serve alike."""
    INSTANCES = "instances"
    MIN = "min"
    MAX = "max"


TYPES = (Figure.TYPE, Figure.TYPES, Figure.EACH_TYPE)
"""Figures that say which machines, and not how many."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of resource."""

    arguments: Mapping[str, Figure] = field(hash=False)
    """Path of an argument (blocks by dots) → what it holds."""
    related: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other resources to change with it: type → the argument that refers to the other, of whichever refers."""
    type_prefix: str = ""
    per_zone: bool = False
    """Counts may be for each zone."""
    spot: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Path of an argument → what it says where instances are bought as spot."""


_GROUP_SIZES = {"min_size": Figure.MIN, "max_size": Figure.MAX, "desired_capacity": Figure.INSTANCES}
_DISTRIBUTION = "mixed_instances_policy.instances_distribution"
_GOOGLE_SPOT: Mapping[str, object] = {"scheduling.provisioning_model": "SPOT", "scheduling.preemptible": True}
_AZURE_SPOT: Mapping[str, object] = {"priority": "Spot"}
_OVERRIDE = "mixed_instances_policy.launch_template.override.instance_type"
_TEMPLATES = {"google_compute_instance_template", "google_compute_region_instance_template"}
_MANAGERS = {"google_compute_instance_group_manager", "google_compute_region_instance_group_manager"}
_SCALERS = {"google_compute_autoscaler", "google_compute_region_autoscaler"}
_SCALE_SETS = {
    "azurerm_linux_virtual_machine_scale_set": {"sku": Figure.TYPE, "instances": Figure.INSTANCES},
    "azurerm_orchestrated_virtual_machine_scale_set": {"sku_name": Figure.TYPE, "instances": Figure.INSTANCES},
}

RULES: Mapping[str, Rule] = {
    "aws_launch_template": Rule(
        {"instance_type": Figure.TYPE},
        {"aws_autoscaling_group": "launch_template"},
        spot={"instance_market_options.market_type": "spot"},
    ),
    "aws_autoscaling_group": Rule(
        {**_GROUP_SIZES, _OVERRIDE: Figure.EACH_TYPE},
        {"aws_launch_template": "launch_template"},
        spot={f"{_DISTRIBUTION}.on_demand_percentage_above_base_capacity": 0},
    ),
    "aws_instance": Rule(
        {"instance_type": Figure.TYPE, "count": Figure.INSTANCES}, spot={"instance_market_options.market_type": "spot"}
    ),
    "aws_eks_node_group": Rule(
        {
            "instance_types": Figure.TYPES,
            "scaling_config.desired_size": Figure.INSTANCES,
            "scaling_config.min_size": Figure.MIN,
            "scaling_config.max_size": Figure.MAX,
        },
        spot={"capacity_type": "SPOT"},
    ),
    "aws_sagemaker_endpoint_configuration": Rule(
        {
            "production_variants.instance_type": Figure.TYPE,
            "production_variants.initial_instance_count": Figure.INSTANCES,
        },
        type_prefix="ml.",
    ),
    "google_compute_instance": Rule({"machine_type": Figure.TYPE, "count": Figure.INSTANCES}, spot=_GOOGLE_SPOT),
    **{
        name: Rule({"machine_type": Figure.TYPE}, dict.fromkeys(_MANAGERS, "instance_template"), spot=_GOOGLE_SPOT)
        for name in _TEMPLATES
    },
    **{
        name: Rule(
            {"target_size": Figure.INSTANCES},
            dict.fromkeys(_TEMPLATES, "instance_template") | dict.fromkeys(_SCALERS, "target"),
        )
        for name in _MANAGERS
    },
    **{
        name: Rule(
            {"autoscaling_policy.min_replicas": Figure.MIN, "autoscaling_policy.max_replicas": Figure.MAX},
            dict.fromkeys(_MANAGERS, "target"),
        )
        for name in _SCALERS
    },
    "google_container_node_pool": Rule(
        {
            "node_config.machine_type": Figure.TYPE,
            "node_count": Figure.INSTANCES,
            "initial_node_count": Figure.INSTANCES,
            "autoscaling.min_node_count": Figure.MIN,
            "autoscaling.max_node_count": Figure.MAX,
            "autoscaling.total_min_node_count": Figure.MIN,
            "autoscaling.total_max_node_count": Figure.MAX,
        },
        per_zone=True,
        spot={"node_config.spot": True, "node_config.preemptible": True},
    ),
    **{
        name: Rule(arguments, {"azurerm_monitor_autoscale_setting": "target_resource_id"}, spot=_AZURE_SPOT)
        for name, arguments in _SCALE_SETS.items()
    },
    "azurerm_monitor_autoscale_setting": Rule(
        {
            "profile.capacity.default": Figure.INSTANCES,
            "profile.capacity.minimum": Figure.MIN,
            "profile.capacity.maximum": Figure.MAX,
        },
        dict.fromkeys(_SCALE_SETS, "target_resource_id"),
    ),
    "azurerm_linux_virtual_machine": Rule({"size": Figure.TYPE, "count": Figure.INSTANCES}, spot=_AZURE_SPOT),
    "azurerm_kubernetes_cluster_node_pool": Rule(
        {
            "vm_size": Figure.TYPE,
            "node_count": Figure.INSTANCES,
            "min_count": Figure.MIN,
            "max_count": Figure.MAX,
        },
        spot=_AZURE_SPOT,
    ),
}

CALL_ARGUMENTS: Mapping[str, Figure] = {
    "instance_type": Figure.TYPE,
    "instance_types": Figure.TYPES,
    "machine_type": Figure.TYPE,
    "vm_size": Figure.TYPE,
    "sku": Figure.TYPE,
    "size": Figure.TYPE,
    "desired_capacity": Figure.INSTANCES,
    "desired_size": Figure.INSTANCES,
    "instances": Figure.INSTANCES,
    "target_size": Figure.INSTANCES,
    "node_count": Figure.INSTANCES,
    "min_size": Figure.MIN,
    "min_count": Figure.MIN,
    "min_replicas": Figure.MIN,
    "max_size": Figure.MAX,
    "max_count": Figure.MAX,
    "max_replicas": Figure.MAX,
}
"""Arguments of a module from elsewhere, by the names that public modules give them."""

CALL_SPOT: Mapping[str, object] = {"capacity_type": "SPOT", "priority": "Spot", "spot": True}
"""The same of how instances are bought."""

PROVIDERS = {"aws": "aws", "google": "gcp", "azurerm": "azure"}
"""First word of a resource type → provider of the catalog."""
