"""Names of Google Cloud for things: machine images, accelerators, disks and quotas of its accelerated machine types.

Sources: Google's guides to GPU and TPU machine types, to TPUs in Compute Engine and to allocation quotas, and the image
projects ``deeplearning-platform-release`` and ``ubuntu-os-accelerator-images``, read in November 2026. Image families
are renamed often, so the generated variable takes another.
"""

import re

from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.platforms import gcp_cloud_run
from advisor.codegen.quotas import family_of
from advisor.errors import InputError
from advisor.records import dataclass

_PERSISTENT = "pd-balanced"
_HYPERDISK = "hyperdisk-balanced"
"""Newer machines take no Persistent Disk."""
_GPU_IMAGE = "deeplearning-platform-release/common-cu129-ubuntu-2404-nvidia-580"
_TPU_IMAGE = "ubuntu-os-accelerator-images/ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"


@dataclass(frozen=True, slots=True)
class Family:
    """Machine types that boot, start and are limited alike."""

    accelerator_type: str
    """As Compute Engine and GKE name the accelerator; "" of machines without one."""
    quota: str
    """Metric of the quota in Cloud Quotas, in capitals."""
    disk_type: str = _PERSISTENT
    runtime: Runtime = Runtime.CUDA
    spot_quota: str = ""
    """The same for spot, where it is not the other with ``PREEMPTIBLE_`` before it."""
    starts_on_demand: bool = True
    """Else only as spot or from a reservation."""


FAMILIES = {
    "g2-standard": Family("nvidia-l4", "NVIDIA_L4_GPUS"),
    "g4-standard": Family("nvidia-rtx-pro-6000", "GPUS_PER_GPU_FAMILY", _HYPERDISK),
    "a2-highgpu": Family("nvidia-tesla-a100", "NVIDIA_A100_GPUS"),
    "a2-megagpu": Family("nvidia-tesla-a100", "NVIDIA_A100_GPUS"),
    "a2-ultragpu": Family("nvidia-a100-80gb", "NVIDIA_A100_80GB_GPUS"),
    "a3-highgpu": Family("nvidia-h100-80gb", "NVIDIA_H100_GPUS"),
    "a3-edgegpu": Family("nvidia-h100-80gb", "NVIDIA_H100_GPUS"),
    "a3-megagpu": Family("nvidia-h100-mega-80gb", "NVIDIA_H100_MEGA_GPUS"),
    "a3-ultragpu": Family("nvidia-h200-141gb", "NVIDIA_H200_GPUS", _HYPERDISK, starts_on_demand=False),
    "a4-highgpu": Family("nvidia-b200", "NVIDIA_B200_GPUS", _HYPERDISK, starts_on_demand=False),
    "ct5lp-hightpu": Family("tpu-v5-lite-podslice", "TPU_LITE_PODSLICE_V5", runtime=Runtime.TPU),
    "ct5p-hightpu": Family("tpu-v5p-slice", "TPU_V5P", runtime=Runtime.TPU),
    "ct6e-standard": Family("tpu-v6e-slice", "TPUS_PER_TPU_FAMILY", _HYPERDISK, Runtime.TPU, "PREEMPTIBLE_TPU_V6E"),
    "cpu": Family("", "CPUS", runtime=Runtime.CPU),
    "cpu-hyperdisk": Family("", "CPUS", _HYPERDISK, Runtime.CPU),
    "n1-standard+T4": Family("nvidia-tesla-t4", "NVIDIA_T4_GPUS"),
}
"""By the family of machine_support.csv."""
_WITH_QUOTA = ("c3", "n2")
"""Series of processors that have a quota of their own name."""
_ARM_SERIES = ("c4a", "n4a")
_MACHINE_TYPE = re.compile(
    r"(?P<family>[a-z][a-z0-9]*(?:-[a-z]+)?)-(?P<size>\d+[a-z]?(?:-[a-z]+)*)(?:\+(?P<count>\d+)x(?P<gpu>[A-Z][A-Za-z0-9]*))?"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type of the catalog as Compute Engine takes it."""

    machine_type: str
    """Without what is attached to it."""
    family: Family
    attached: int
    """Accelerators that have to be attached; 0 where the machine type brings them."""


def machine_of(instance_type: str) -> Machine:
    """Machine type of the catalog in its parts, such as ``g2-standard-4`` or ``n1-standard-8+1xT4``.

    Raises:
        InputError: the type is malformed.
        NotDeployable: code cannot be written for it; the message says why.
    """
    named = _MACHINE_TYPE.fullmatch(instance_type)
    if named is None:
        raise InputError(f"{instance_type!r} is no machine type", hint="expected something like g2-standard-4")
    family = FAMILIES[family_of("gcp", instance_type)]
    return Machine(instance_type.partition("+")[0], family, int(named["count"] or 0))


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the type is malformed.
        NotDeployable: no machine image is known for it.
    """
    if serves.purchase == "serverless":
        return gcp_cloud_run.platform_of(serves)
    machine = machine_of(serves.instance_type)
    is_tpu = machine.family.runtime is Runtime.TPU
    if machine.family.runtime is Runtime.CPU:
        return _without_accelerators(machine, serves.purchase)
    return Platform(
        runtime=machine.family.runtime,
        cpu_architecture="x86_64",
        machine_image=_TPU_IMAGE if is_tpu else _GPU_IMAGE,
        quota=_quota(machine, serves.purchase),
    )


def _without_accelerators(machine: Machine, purchase: str) -> Platform:
    """Nodes of clusters, which bring their own image."""
    series = machine.machine_type.partition("-")[0]
    metric = f"{series.upper()}-CPUS" if series in _WITH_QUOTA else "CPUS-PER-VM-FAMILY"
    preemptible = "PREEMPTIBLE-CPUS"
    return Platform(
        runtime=Runtime.CPU,
        cpu_architecture="arm64" if series in _ARM_SERIES else "x86_64",
        machine_image="",
        quota=Quota(
            f"{preemptible if purchase == 'spot' else metric}-per-project-region", f"Virtual CPUs of {series} machines"
        ),
    )


def _quota(machine: Machine, purchase: str) -> Quota:
    family = machine.family
    is_spot = purchase == "spot"
    metric = family.spot_quota or f"PREEMPTIBLE_{family.quota}" if is_spot else family.quota
    words = f"{'Preemptible ' if is_spot else ''}{family.accelerator_type} accelerators"
    return Quota(f"{metric.replace('_', '-')}-per-project-region", words, "accelerators")
