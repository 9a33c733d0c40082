"""Capacity blocks: accelerated machines that are reserved for some days ahead.

Source: the EC2 guide to Capacity Blocks for ML, read in November 2026.
"""

from advisor.codegen.model import ComputeGroup

_FAMILIES = ("p4", "p5", "p6", "trn")


def is_sold_in_blocks(group: ComputeGroup) -> bool:
    """The group may run in a block that its owner buys in the console."""
    return not group.is_spot and group.instance_type.startswith(_FAMILIES)
