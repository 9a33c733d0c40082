"""Accelerated instance types that SageMaker hosts endpoints on.

Source: ``ProductionVariantInstanceType`` of the SageMaker API (botocore), read in November 2026; a test compares them.
"""

from collections.abc import Mapping

_UP_TO_16 = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
_UP_TO_48 = (*_UP_TO_16, "24xlarge", "48xlarge")
_BLACKWELL = ("2xlarge", "4xlarge", "8xlarge", "12xlarge", "24xlarge", "48xlarge")
SIZES: Mapping[str, tuple[str, ...]] = {
    "g4dn": _UP_TO_16,
    "g5": _UP_TO_48,
    "g6": _UP_TO_48,
    "g6e": _UP_TO_48,
    "g7": _BLACKWELL,
    "g7e": _BLACKWELL,
    "inf2": ("xlarge", "8xlarge", "24xlarge", "48xlarge"),
    "p4d": ("24xlarge",),
    "p4de": ("24xlarge",),
    "p5": ("4xlarge", "48xlarge"),
    "p5e": ("48xlarge",),
    "p5en": ("48xlarge",),
    "p6-b200": ("48xlarge",),
    "p6-b300": ("48xlarge",),
    "trn1": ("2xlarge", "32xlarge"),
    "trn1n": ("32xlarge",),
    "trn2": ("48xlarge",),
}
"""Family → sizes; those that nothing serves on any more are left out."""
_WITHOUT_DISK = ("inf2",)
"""Families whose instances have no disk of their own, so that a volume is attached."""


def ml_type(instance_type: str) -> str:
    """The name of an EC2 type at SageMaker."""
    return f"ml.{instance_type}"


def is_sold(instance_type: str) -> bool:
    """SageMaker hosts endpoints on it."""
    family, _, size = instance_type.partition(".")
    return size in SIZES.get(family, ())


def has_own_disk(instance_type: str) -> bool:
    """Image and weights lie on a disk of the machine, whose size cannot be chosen."""
    return instance_type.partition(".")[0] not in _WITHOUT_DISK
