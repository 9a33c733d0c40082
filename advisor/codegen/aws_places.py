"""Offers of AWS by place: registries of the AWS Deep Learning Containers, ARNs of partitions, capacity blocks, types.

Source of capacity blocks: the EC2 guide to Capacity Blocks for ML, read in November 2026.
"""

from functools import cache
from pathlib import Path

from advisor.catalog import load_catalog
from advisor.catalog.values import InstanceType
from advisor.codegen.container import Region
from advisor.codegen.model import ComputeGroup, Stack
from advisor.tables import read_rows

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
"""By the start of the region's name (botocore 1.43, partitions.json)."""
_WITHOUT_BUDGETS = ("aws-us-gov", "aws-eusc")
"""Partitions in which AWS Budgets and Cost Explorer have no endpoint (botocore 1.43, endpoints.json)."""
_FAMILIES_IN_BLOCKS = ("p4", "p5", "p6", "trn")


def partition_of(region: Region) -> str:
    """Partition of the region's ARNs."""
    return next((partition for start, partition in _PARTITIONS.items() if region.name.startswith(start)), "aws")


def has_budgets(stack: Stack) -> bool:
    """AWS Budgets can watch the spending of the stack."""
    return not any(partition_of(region) in _WITHOUT_BUDGETS for region in stack.regions)


def is_sold_in_blocks(group: ComputeGroup) -> bool:
    """The group may run in a block that its owner buys in the console."""
    return not group.is_spot and group.instance_type.startswith(_FAMILIES_IN_BLOCKS)


def roomy_types(group: ComputeGroup) -> list[str]:
    """Types that serve like the planned one on no less of processors and memory: autoscalers reckon with the first."""
    types = load_catalog().instance_types
    planned = types.get(("aws", group.instance_type))
    others = [types.get(("aws", name)) for name in group.interchangeable_types]
    return [other.name for other in others if other and planned and _is_no_smaller(other, planned)]


def _is_no_smaller(other: InstanceType, planned: InstanceType) -> bool:
    """Whether *other* is no smaller than planned; unknown is not enough."""
    sizes = ((other.vcpus, planned.vcpus), (other.memory_gib, planned.memory_gib))
    return all(has is not None and needed is not None and has >= needed for has, needed in sizes)


@cache
def _accounts() -> dict[str, str]:
    return {row["region"]: row["account"] for row in read_rows(Path(__file__).with_name("aws_registries.csv"))}


def registry_of(region: str) -> str:
    """Host of the registry in a region; "" where none is known."""
    account = _accounts().get(region)
    suffix = "com.cn" if region.startswith("cn-") else "com"
    return f"{account}.dkr.ecr.{region}.amazonaws.{suffix}" if account else ""
