"""Names of Cloud Run for its GPUs, how large its containers are, and where they run.

Sources: Google's guides to GPUs, CPU and memory limits and health checks of Cloud Run services, and the quotas of the
Cloud Run Admin API, read in November 2026.
"""

import re

from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.errors import InputError
from advisor.records import dataclass

LONGEST_START_SECONDS = 1800
"""A startup probe may fail for so long in a service with a GPU."""
_SERVICE = re.compile(r"Cloud Run(?P<redundant> with zonal redundancy)? [A-Z0-9-]+")
"""As the catalog names it: the GPU stands at the end."""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a container beside its GPU."""

    vcpus: int
    memory_gib: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that Cloud Run has, one to a container."""

    accelerator: str
    """As the node selector takes it."""
    quota: str
    """As the names of its quotas start."""
    sizes: tuple[Size, ...]
    """That a container may have, the smallest first."""
    regions: frozenset[str]
    """Empty: not known."""


GPUS = {
    "L4": Gpu(
        "nvidia-l4",
        "NvidiaL4",
        (Size(4, 16), Size(6, 24), Size(8, 32)),
        frozenset({"asia-south1", "asia-southeast1", "europe-west1", "europe-west4", "us-central1", "us-east4"}),
    ),
    "RTX-PRO-6000": Gpu("nvidia-rtx-pro-6000", "NvidiaRtxPro6000", (Size(20, 80),), frozenset()),
}
"""By the catalog's name."""


def platform_of(serves: Serves) -> Platform:
    """How a container of Cloud Run serves: the driver is there, and there is no machine image.

    Raises:
        InputError: Cloud Run has no such service, or not this GPU.
    """
    if _SERVICE.fullmatch(serves.instance_type) is None:
        raise InputError(
            f"{serves.instance_type!r} is no serverless service of Google Cloud", hint="expected Cloud Run L4"
        )
    if serves.accelerator not in GPUS:
        raise InputError(
            f"Cloud Run has no {serves.accelerator}, only {' and '.join(GPUS)}",
            hint="generate another option with --option RANK",
        )
    quota = quota_of(serves.accelerator, redundant=is_redundant(serves.instance_type))
    return Platform(runtime=Runtime.CUDA, cpu_architecture="x86_64", machine_image="", quota=quota)


def is_redundant(instance_type: str) -> bool:
    """Whether Cloud Run keeps a GPU ready in a second zone for such a service, at a price of its own."""
    named = _SERVICE.fullmatch(instance_type)
    return named is not None and named["redundant"] is not None


def quota_of(accelerator: str, *, redundant: bool) -> Quota:
    """Quota that a region must allow before Cloud Run starts a GPU of :data:`GPUS`."""
    code = f"{GPUS[accelerator].quota}GpuAlloc{'' if redundant else 'NoZonalRedundancy'}PerProjectRegion"
    return Quota(code, f"Cloud Run {accelerator} {'with' if redundant else 'without'} zonal redundancy", "GPUs")
