"""Names of Azure for things: machine images, runtimes and quotas of its accelerated virtual machine sizes.

Sources, read in November 2026: Microsoft's guides to GPU sizes and vCPU quotas, the list of marketplace images in
Azure/azhpc-images, the driver lists in Azure/azhpc-extensions and Azure/aks-gpu, and the family names that
``az vm list-usage`` prints (some of them with spaces).
"""

import re

from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.quotas import family_of
from advisor.errors import InputError
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Sizes that boot and are limited alike."""

    quota: str
    """Name of the vCPU quota, as the usage API spells it."""
    runtime: Runtime = Runtime.CUDA


FAMILIES = {
    "NCASv3_T4": Family("Standard NCASv3_T4 Family"),
    "NCADSA100v4": Family("StandardNCADSA100v4Family"),
    "NCadsH100v5": Family("StandardNCadsH100v5Family"),
    "NDASv4_A100": Family("Standard NDASv4_A100 Family"),
    "NDAMSv4_A100": Family("Standard NDAMSv4_A100Family"),
    "NDSH100v5": Family("standardNDSH100v5Family"),
    "NDISRH200V5": Family("standardNDISRH200V5Family"),
    "NDISv5MI300X": Family("standardNDISv5MI300XFamily", Runtime.ROCM),
    "cpu": Family("standard{}Family", Runtime.CPU),
}
"""By the family of machine_support.csv."""
_SPOT = Quota("lowPriorityCores", "Total Regional Spot vCPUs")
_IMAGES = {
    Runtime.CUDA: "microsoft-dsvm:ubuntu-hpc:2404:latest",
    Runtime.ROCM: "microsoft-dsvm:ubuntu-hpc:2404-rocm:latest",
}
"""Ubuntu-HPC: drivers, Docker and the container toolkit are in it."""
_PROCESSORS = re.compile(r"Standard_(?P<series>[DE])\d+(?P<letters>[a-z]*)_(?P<version>v\d)", re.ASCII)
"""Sizes without an accelerator; a p among the letters is an Arm processor."""
_SIZE = re.compile(r"Standard_N[A-Z]+\d+\w*", re.ASCII)


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the size is malformed.
        NotDeployable: no machine image is known that drives its accelerators.
    """
    processors = _PROCESSORS.fullmatch(serves.instance_type)
    if processors is not None:
        return _without_accelerators(serves, processors)
    if _SIZE.fullmatch(serves.instance_type) is None:
        raise InputError(
            f"{serves.instance_type!r} is no accelerated Azure size",
            hint="expected something like Standard_NC4as_T4_v3",
        )
    family = FAMILIES[family_of(serves.provider, serves.instance_type)]
    return Platform(
        runtime=family.runtime,
        cpu_architecture="x86_64",
        machine_image=_IMAGES[family.runtime],
        quota=_SPOT if serves.purchase == "spot" else Quota(family.quota, f"{family.quota} vCPUs"),
    )


def _without_accelerators(serves: Serves, named: re.Match[str]) -> Platform:
    """Nodes of clusters, which bring their own image."""
    family = FAMILIES[family_of(serves.provider, serves.instance_type)]
    quota = family.quota.format(f"{named['series']}{named['letters'].upper()}{named['version']}")
    return Platform(
        runtime=family.runtime,
        cpu_architecture="arm64" if "p" in named["letters"] else "x86_64",
        machine_image="",
        quota=_SPOT if serves.purchase == "spot" else Quota(quota, f"{quota} vCPUs"),
    )
