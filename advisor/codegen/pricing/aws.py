"""Charges of Amazon: instances, groups of them, EKS node groups, SageMaker endpoints."""

import math
import re
from collections.abc import Mapping
from typing import Any

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import (
    HELD,
    NOTEBOOK,
    Resource,
    Resources,
    Rules,
    Use,
    cache_node,
    first_known,
    listed,
    purchase_of,
    text,
    whole,
)
from advisor.records import replace

_TEMPLATE = "aws_launch_template"
_ZONES = ("availability_zone", "availability_zones", "preferred_availability_zones", "preferred_cache_cluster_azs")
"""Arguments of resources that name a zone, or zones of one region."""
_MARKETS: Mapping[Any, Purchase | None] = {
    None: Purchase.ON_DEMAND,
    "": Purchase.ON_DEMAND,
    "spot": Purchase.SPOT,
    "capacity-block": None,
}
_CAPACITY: Mapping[Any, Purchase | None] = {
    None: Purchase.ON_DEMAND,
    "ON_DEMAND": Purchase.ON_DEMAND,
    "SPOT": Purchase.SPOT,
    "CAPACITY_BLOCK": None,
}
_DEDICATED = "hardware of one's own has a price of its own"
_WEIGHTED = "its sizes are units of weighted_capacity, of which its types have different numbers"
_TENANCIES = ("dedicated", "host")
_ACCELERATED = re.compile(r"(g|p|inf|trn|dl)\d")
"""How types with an accelerator begin."""


def _instance(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    use = _use(resource, resource.values.get("instance_type"), _market(resource), 1)
    return (replace(use, unpriced=_DEDICATED if resource.values.get("tenancy") in _TENANCIES else ""),)


def _spot_request(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    return tuple(replace(use, purchase=Purchase.SPOT) for use in _instance(resource, everything))


def _notebook(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    kind = _machine(resource.values.get("instance_type"))
    use = replace(_use(resource, kind, Purchase.MANAGED, 1), unpriced=NOTEBOOK)
    return (replace(use, is_accelerated=_ACCELERATED.match(kind or "") is not None),)


def _reservation(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    number = whole(resource.values.get("instance_count"))
    use = _use(resource, resource.values.get("instance_type"), Purchase.ON_DEMAND, number)
    return (replace(use, unpriced=HELD),)


def _group(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    argument = "mixed_instances_policy" if resource.blocks("mixed_instances_policy") else "launch_template"
    template = everything.linked(resource, argument, _TEMPLATE)
    is_dedicated = template is not None and template.first("placement", "tenancy") in _TENANCIES
    uses = _of_group(resource, template)
    return tuple(replace(use, unpriced=_DEDICATED) for use in uses) if is_dedicated else uses


def _of_group(resource: Resource, template: Resource | None) -> tuple[Use, ...]:
    number = first_known(resource.values.get("desired_capacity"), resource.values.get("min_size"))
    of_template = template.values.get("instance_type") if template else None
    if not resource.blocks("mixed_instances_policy"):
        return (_use(resource, of_template, _market(template) if template else Purchase.ON_DEMAND, number),)
    overrides = resource.blocks("mixed_instances_policy", "launch_template", "override")
    kind = next((override["instance_type"] for override in overrides if override.get("instance_type")), of_template)
    path = ("mixed_instances_policy", "instances_distribution")
    weights = {str(override.get("weighted_capacity") or 1) for override in overrides} or {"1"}
    weight = 0 if len(weights) > 1 else int(weights.pop())
    if weight == 0:
        return (replace(_use(resource, kind, None, None), unpriced=_WEIGHTED),)
    number = None if number is None else math.ceil(number / weight)
    base = math.ceil((first_known(resource.first(*path, "on_demand_base_capacity"), 0) or 0) / weight)
    above = first_known(resource.first(*path, "on_demand_percentage_above_base_capacity"), 100) or 0
    if number is None:
        purchase = Purchase.SPOT if base == above == 0 else Purchase.ON_DEMAND if above == 100 else None
        return (_use(resource, kind, purchase, None),)
    return mixed(_use(resource, kind, Purchase.ON_DEMAND, number), number, base, above)


def mixed(use: Use, number: float, base: float, above: float = 0) -> tuple[Use, ...]:
    """Instances of a group on demand and on spot: a base, and a percentage above it, rounded up, on demand."""
    on_demand = min(number, base + math.ceil(max(0.0, number - base) * above / 100))
    parts = ((Purchase.ON_DEMAND, on_demand), (Purchase.SPOT, number - on_demand))
    uses = tuple(replace(use, purchase=purchase, number=count) for purchase, count in parts if count)
    return uses or (replace(use, purchase=Purchase.ON_DEMAND),)


def _node_group(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    kinds = listed(resource.values.get("instance_types"))
    template = everything.linked(resource, "launch_template", _TEMPLATE) if resource.blocks("launch_template") else None
    kind = kinds[0] if kinds else template.values.get("instance_type") if template else None
    number = whole(resource.first("scaling_config", "desired_size"))
    return (_use(resource, kind, purchase_of(_CAPACITY, resource.values.get("capacity_type")), number),)


def _endpoint(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    return tuple(
        _use(
            resource, _machine(block.get("instance_type")), Purchase.MANAGED, whole(block.get("initial_instance_count"))
        )
        for block in resource.blocks("production_variants")
        if block.get("instance_type")
    )


def _machine(kind: object) -> str | None:
    """The EC2 type of an ``ml.`` type, which the catalog has SageMaker's price for."""
    name = text(kind)
    return name.removeprefix("ml.") if name else None


def _market(resource: Resource) -> Purchase | None:
    return purchase_of(_MARKETS, resource.first("instance_market_options", "market_type"))


def _use(resource: Resource, kind: object, purchase: Purchase | None, number: float | None) -> Use:
    return Use("aws", _region(resource), text(kind), purchase, number)


def _cache(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """Nodes of ElastiCache: of a replication group with shards, each shard's with its replicas."""
    shards, replicas = (whole(resource.values.get(name)) for name in ("num_node_groups", "replicas_per_node_group"))
    of_shards = None if shards is None else shards * (1 + (replicas or 0))
    number = first_known(resource.values.get("num_cache_clusters"), resource.values.get("num_cache_nodes"), of_shards)
    engine, node = text(resource.values.get("engine")) or "redis", text(resource.values.get("node_type"))
    return (cache_node("aws", _region(resource), node, engine, number),)


def _region(resource: Resource) -> str | None:
    """Region of the resource itself (provider 6), its zone or zones, or its provider."""
    zones = (text(zone) for key in _ZONES for zone in (resource.values.get(key), *listed(resource.values.get(key))))
    in_zone = next((zone[:-1] for zone in zones if zone), None)
    return text(resource.values.get("region")) or in_zone or resource.provider.get("region")


RULES: Rules = {
    "aws_instance": _instance,
    "aws_autoscaling_group": _group,
    "aws_ec2_capacity_reservation": _reservation,
    "aws_eks_node_group": _node_group,
    "aws_elasticache_cluster": _cache,
    "aws_elasticache_replication_group": _cache,
    "aws_sagemaker_endpoint_configuration": _endpoint,
    "aws_sagemaker_notebook_instance": _notebook,
    "aws_spot_instance_request": _spot_request,
}
