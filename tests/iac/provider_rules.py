"""Checks that the real provider, or AWS behind it, makes in code and that no schema holds."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from azure_rules import broken_azure_rules
from google_rules import broken_google_rules
from ibm_rules import broken_ibm_rules

_LONGEST_NAMES = {
    ("aws_lb", "name"): 32,
    ("aws_lb_target_group", "name_prefix"): 6,
    ("aws_eks_node_group", "node_group_name_prefix"): 37,
    ("aws_iam_role", "name_prefix"): 38,
    ("aws_security_group", "name_prefix"): 100,
}

_SINGLE_HYPHENS = {
    ("aws_elasticache_replication_group", "replication_group_id"),
    ("aws_elasticache_user", "user_id"),
    ("aws_elasticache_user_group", "user_group_id"),
}
"""Names without two hyphens in a row (API reference of ElastiCache, November 2026)."""

_FORCE_NEW = Path(__file__).parent / "schemas" / "force_new.csv"


def forcing_replacement(resource_type: str, prior: dict[str, Any], planned: dict[str, Any]) -> Iterator[str]:
    """The top-level arguments whose change makes the provider replace a resource that exists."""
    if not prior:
        return
    if resource_type.startswith("aws_") and planned.get("region") != prior.get("region"):
        yield "region"
    if resource_type == "azurerm_linux_virtual_machine_scale_set" and _zones(prior) - _zones(planned):
        yield "zones"
    for argument in _force_new().get(resource_type, ()):
        steps = argument.split(".")
        if _values(prior, steps) != _values(planned, steps):
            yield steps[0]


def _zones(scale_set: dict[str, Any]) -> set[str]:
    """Zones of a scale set: one that is taken away replaces it (azurerm, linux_virtual_machine_scale_set_resource.go)."""
    return set(scale_set.get("zones") or ())


@cache
def _force_new() -> Mapping[str, Sequence[str]]:
    """Arguments that a provider's source marks with ForceNew, of each type of resource."""
    arguments: dict[str, list[str]] = {}
    for row in csv.DictReader(_FORCE_NEW.read_text(encoding="utf-8").splitlines()):
        arguments.setdefault(row["resource_type"], []).append(row["argument"])
    return arguments


def _values(value: Any, steps: Sequence[str]) -> Any:
    """What lies at the end of *steps*; a list for each block on the way that may repeat."""
    if isinstance(value, list | tuple):
        return [_values(block, steps) for block in value]
    if not steps or not isinstance(value, dict):
        return value
    return _values(value.get(steps[0]), steps[1:])


def broken_rules(resource_type: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of attribute and complaint."""
    yield from broken_azure_rules(resource_type, config)
    yield from broken_google_rules(resource_type, config)
    yield from broken_ibm_rules(resource_type, config)
    yield from _policies(config)
    yield from _lengths(resource_type, config)
    if resource_type == "aws_autoscaling_group":
        yield from _group(config)
    if resource_type == "aws_launch_template":
        yield from _launch_template(config)
    if resource_type == "aws_sagemaker_endpoint_configuration":
        yield from _production_variants(config)

    if resource_type == "aws_eks_node_group":
        yield from _node_group(config)


def refused_updates(
    resource_type: str, prior: dict[str, Any] | None, state: dict[str, Any]
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Complaints of AWS on what an apply sends, of which a validation and a plan see nothing."""
    yield from _refused_sizes(resource_type, state)
    if resource_type == "aws_autoscaling_group":
        yield from _refused_spot(prior or {}, state)


def _refused_spot(prior: dict[str, Any], state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A group with a warm pool takes no spot, and the provider takes the pool away last (its issue 42437)."""
    for policy in state.get("mixed_instances_policy") or () if prior.get("warm_pool") else ():
        if any(part["on_demand_percentage_above_base_capacity"] < 100 for part in policy["instances_distribution"]):
            yield "mixed_instances_policy", "the group has a warm pool, which takes no policy that requests spot"


def _refused_sizes(resource_type: str, state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Complaints of EKS on sizes that an apply sends: one that is ignored is that of the state, which EKS moved.

    Its words: "Minimum capacity 9 can't be greater than desired size 5" (terraform-aws-eks 3306, 2508).
    """
    if resource_type != "aws_eks_node_group":
        return
    for sizes in state.get("scaling_config") or ():
        least, size, most = (sizes[name] for name in ("min_size", "desired_size", "max_size"))
        if least > size:
            yield "scaling_config", f"Minimum capacity {least} can't be greater than desired size {size}"
        if most < size:
            yield "scaling_config", f"Maximum capacity {most} can't be less than desired size {size}"


def _policies(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("policy", "assume_role_policy"):
        text = config.get(name)
        if isinstance(text, str):
            try:
                json.loads(text)
            except ValueError as error:
                yield name, f"no JSON policy: {error}"


def _lengths(resource_type: str, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for (typed, name), longest in _LONGEST_NAMES.items():
        text = config.get(name)
        if typed == resource_type and isinstance(text, str) and len(text) > longest:
            yield name, f"longer than {longest} characters"
    for typed, name in _SINGLE_HYPHENS:
        if typed == resource_type and "--" in str(config.get(name)):
            yield name, "two hyphens in a row"


def _group(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    sizes = [config.get(name) for name in ("min_size", "desired_capacity", "max_size")]
    known = [size for size in sizes if isinstance(size, int)]
    if known != sorted(known):
        yield "desired_capacity", "must lie between min_size and max_size"
    ways = [config.get(name) for name in ("mixed_instances_policy", "launch_template")]
    if all(isinstance(blocks, list) and blocks for blocks in ways):
        yield "launch_template", "conflicts with mixed_instances_policy"


def _launch_template(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    instance_type = config.get("instance_type")
    if isinstance(instance_type, str) and instance_type not in _instance_types():
        yield "instance_type", f"AWS sells no {instance_type}"
    image = config.get("image_id")
    if isinstance(image, str) and not image.startswith(("ami-", "resolve:ssm:")):
        yield "image_id", "neither an AMI id nor resolve:ssm:<parameter>"


def _production_variants(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    variants = config.get("production_variants")
    for variant in variants if isinstance(variants, list | tuple) else ():
        for name, shape in _VARIANT_ENUMS.items():
            value = variant.get(name)
            if isinstance(value, str) and value not in _enum("sagemaker", shape):
                yield "production_variants", f"SageMaker knows no {value}"


_VARIANT_ENUMS = {
    "instance_type": "ProductionVariantInstanceType",
    "inference_ami_version": "ProductionVariantInferenceAmiVersion",
}


def _node_group(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, shape in (("ami_type", "AMITypes"), ("capacity_type", "CapacityTypes")):
        value = config.get(name)
        if isinstance(value, str) and value not in _enum("eks", shape):
            yield name, f"EKS knows no {value}"
    types = config.get("instance_types")
    for instance_type in types if isinstance(types, list) else []:
        if isinstance(instance_type, str) and instance_type not in _instance_types():
            yield "instance_types", f"AWS sells no {instance_type}"


def _instance_types() -> frozenset[str]:
    return _enum("ec2", "InstanceType")


@cache
def _enum(service: str, shape: str) -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_service_model(service).shape_for(shape).enum)
