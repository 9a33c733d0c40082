"""Names of AWS for things: machine images, runtimes and quotas of each family of accelerated instances.

Sources: the AWS guides to Deep Learning AMIs, Neuron and EC2 quotas, read in November 2026.
"""

import re

from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.quotas import family_of
from advisor.errors import InputError
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A group of EC2 instance families that boot and are limited alike."""

    runtime: Runtime
    cores_per_accelerator: int
    """NeuronCores that a chip shows to software (2 by default on Trainium2: logical cores); 1 for a GPU."""
    on_demand: Quota
    spot: Quota


_G = Quota("L-DB2E81BA", "Running On-Demand G and VT instances")
_G_SPOT = Quota("L-3819A6DF", "All G and VT Spot Instance Requests")
_P = Quota("L-417A185B", "Running On-Demand P instances")
_P_SPOT = Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests")
_P5_SPOT = Quota("L-C4BD4855", "All P5 Spot Instance Requests")
_INF = Quota("L-1945791B", "Running On-Demand Inf instances")
_INF_SPOT = Quota("L-B5D1601B", "All Inf Spot Instance Requests")
_STANDARD = Quota("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances")
_STANDARD_SPOT = Quota("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests")
_TRN = Quota("L-2C3B7624", "Running On-Demand Trn instances")
_TRN_SPOT = Quota("L-6B0D517C", "All Trn Spot Instance Requests")

FAMILIES = {
    "g": Family(Runtime.CUDA, 1, _G, _G_SPOT),
    "p5": Family(Runtime.CUDA, 1, _P, _P5_SPOT),
    "p": Family(Runtime.CUDA, 1, _P, _P_SPOT),
    "inf2": Family(Runtime.NEURON, 2, _INF, _INF_SPOT),
    "standard": Family(Runtime.CPU, 1, _STANDARD, _STANDARD_SPOT),
    "trn1": Family(Runtime.NEURON, 2, _TRN, _TRN_SPOT),
    "trn2": Family(Runtime.NEURON, 4, _TRN, _TRN_SPOT),
}
"""By the family of machine_support.csv."""

_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
"""Canonical's parameter for machines without an accelerator, whose hosts install Docker and the AWS CLI themselves."""
_UBUNTU_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
_INSTANCE_TYPE = re.compile(r"(?P<family>[a-z][a-z0-9-]*)\.[a-z0-9-]+")
_ARM_FAMILY = re.compile(r"[a-z]+\d+[a-z]*g[a-z]*|.*-gb\d+")
"""AWS puts a g after the generation for Graviton (g5g), and names Grace machines after the superchip (p6e-gb200)."""


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* boot.

    Raises:
        InputError: the type is malformed.
        NotDeployable: no machine image is known for it.
    """
    named = _INSTANCE_TYPE.fullmatch(serves.instance_type)
    if named is None:
        raise InputError(f"{serves.instance_type!r} is no EC2 instance type", hint="expected something like g6.xlarge")
    family = FAMILIES[family_of(serves.provider, serves.instance_type)]
    arm = _ARM_FAMILY.fullmatch(named["family"]) is not None
    architecture = "arm64" if arm else "x86_64"
    return Platform(
        runtime=family.runtime,
        cpu_architecture=architecture,
        machine_image=_ami_parameter(family.runtime, architecture),
        quota=family.spot if serves.purchase == "spot" else family.on_demand,
        cores_per_accelerator=family.cores_per_accelerator,
    )


def _ami_parameter(runtime: Runtime, architecture: str) -> str:
    if runtime is Runtime.NEURON:
        return "/aws/service/neuron/dlami/multi-framework/ubuntu-24.04/latest/image_id"
    if runtime is Runtime.CPU:
        return _UBUNTU.format(_UBUNTU_ARCHITECTURES[architecture])
    image = "base-oss-nvidia-driver-gpu-ubuntu-24.04"
    return f"/aws/service/deeplearning/ami/{architecture}/{image}/latest/ami-id"
