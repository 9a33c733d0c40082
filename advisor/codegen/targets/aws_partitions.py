"""Partitions of AWS: which ARNs and services a region has."""

from advisor.codegen.model import Region, Stack

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
"""By the start of the region's name (botocore 1.43, partitions.json)."""
_WITHOUT_BUDGETS = ("aws-us-gov", "aws-eusc")
"""Partitions in which AWS Budgets and Cost Explorer have no endpoint (botocore 1.43, endpoints.json)."""


def partition_of(region: Region) -> str:
    """Partition of the region's ARNs."""
    return next((partition for start, partition in _PARTITIONS.items() if region.name.startswith(start)), "aws")


def has_budgets(stack: Stack) -> bool:
    """AWS Budgets can watch the spending of the stack."""
    return not any(partition_of(region) in _WITHOUT_BUDGETS for region in stack.regions)
