"""What Azure calls things: machine images, runtimes and quotas of its accelerated virtual machine sizes.

Sources, read in November 2026: Microsoft's guides to GPU sizes and vCPU quotas, the list of marketplace images in
Azure/azhpc-images, the driver lists in Azure/azhpc-extensions and Azure/aks-gpu, and the family names that
``az vm list-usage`` prints (some of them with spaces).
"""

import re
from dataclasses import dataclass

from advisor.codegen.model import Platform, Quota, Runtime, Serves
from advisor.errors import InputError


@dataclass(frozen=True, slots=True)
class Family:
    """Sizes that boot and are limited alike."""

    pattern: str
    """Of the size without ``Standard_``."""
    quota: str
    """Name of the vCPU quota, as the usage API spells it."""
    runtime: Runtime = Runtime.CUDA


_FAMILIES = (
    Family(r"NC\d+as_T4_v3", "Standard NCASv3_T4 Family"),
    Family(r"NC\d+ads_A100_v4", "StandardNCADSA100v4Family"),
    Family(r"NC\d+adi?s_H100_v5", "StandardNCadsH100v5Family"),
    Family(r"ND\d+asr_v4", "Standard NDASv4_A100 Family"),
    Family(r"ND\d+amsr?_A100_v4", "Standard NDAMSv4_A100Family"),
    Family(r"ND\d+isr?f?(_\w+)?_H100_v5", "standardNDSH100v5Family"),
    Family(r"ND\d+isr_H200_v5", "standardNDISRH200V5Family"),
    Family(r"ND\d+isr?_MI300X_v5", "standardNDISv5MI300XFamily", Runtime.ROCM),
)

_REFUSED = (
    (
        r"NV\d+ad\w*_A10_v5",
        "needs the GRID driver, whose release for Azure (570) is older than what the serving images take (580)",
    ),
    (r"NC\d+\w*_RTXPRO6000BSE_v6", "is a preview whose GPUs need the vGPU driver, which no public image holds"),
    (r"NC\d+r?s_v3", "was retired by Azure on 30 September 2025"),
    (r"ND\d+\w*_GB[23]00_v6", "is sold by the rack, and no public machine image for its Arm processors is known"),
    (r"NG\d+\w*|NV\d+\w*", "has a graphics accelerator that the serving engines do not support"),
)

_SPOT = Quota("lowPriorityCores", "Total Regional Spot vCPUs")
_IMAGES = {
    Runtime.CUDA: "microsoft-dsvm:ubuntu-hpc:2404:latest",
    Runtime.ROCM: "microsoft-dsvm:ubuntu-hpc:2404-rocm:latest",
}
"""Ubuntu-HPC: drivers, Docker and the container toolkit are in it."""
_SIZE = re.compile(r"Standard_(?P<name>N[A-Z]+\d+\w*)", re.ASCII)
_HINT = "generate another option with --option RANK"


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the size is malformed, or no machine image is known that drives its accelerators.
    """
    named = _SIZE.fullmatch(serves.instance_type)
    if named is None:
        raise InputError(
            f"{serves.instance_type!r} is no accelerated Azure size",
            hint="expected something like Standard_NC4as_T4_v3",
        )
    family = _family(named["name"], serves.instance_type)
    return Platform(
        runtime=family.runtime,
        cpu_architecture="x86_64",
        machine_image=_IMAGES[family.runtime],
        quota=_SPOT if serves.purchase == "spot" else Quota(family.quota, f"{family.quota} vCPUs"),
    )


def _family(name: str, instance_type: str) -> Family:
    for pattern, reason in _REFUSED:
        if re.fullmatch(pattern, name):
            raise InputError(f"{instance_type} {reason}", hint=_HINT)
    for family in _FAMILIES:
        if re.fullmatch(family.pattern, name):
            return family
    raise InputError(f"{instance_type}: no machine image is known for this family", hint=_HINT)
