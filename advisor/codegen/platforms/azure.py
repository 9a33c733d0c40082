"""What Azure calls things: machine images, runtimes and quotas of its accelerated virtual machine sizes.

Sources: Microsoft's guides to GPU sizes, the Ubuntu-HPC marketplace images and vCPU quotas, read in November 2026.
"""

import re

from advisor.codegen.model import Platform, Quota, Runtime, Serves
from advisor.errors import InputError

_SIZE = re.compile(r"Standard_(?P<family>N[A-Z]+)\d+\w*")
_ARM = re.compile(r"_GB\d+")
_IMAGE = "microsoft-dsvm:ubuntu-hpc:2404:latest"


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the size is malformed.
    """
    named = _SIZE.fullmatch(serves.instance_type)
    if named is None:
        raise InputError(
            f"{serves.instance_type!r} is no accelerated Azure size",
            hint="expected something like Standard_NC4as_T4_v3",
        )
    is_spot = serves.purchase == "spot"
    code = "lowPriorityCores" if is_spot else f"standard{named['family']}Family"
    return Platform(
        runtime=Runtime.ROCM if serves.accelerator.startswith("MI") else Runtime.CUDA,
        cpu_architecture="arm64" if _ARM.search(serves.instance_type) else "x86_64",
        machine_image=_IMAGE,
        quota=Quota(code, "Total Regional Low-priority vCPUs" if is_spot else f"{named['family']} family vCPUs"),
    )
