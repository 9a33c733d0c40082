"""What AWS calls things: machine images, serving images and quotas of each family of accelerated instances.

Sources: the AWS guides to Deep Learning AMIs, Neuron and EC2 quotas and the public container galleries, read in
November 2026. A tag is only a default: the generated variable takes an image by digest.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from advisor.errors import InputError
from advisor.plan.values import Option


class Stack(StrEnum):
    """Driver and runtime that an accelerator needs."""

    CUDA = "cuda"
    NEURON = "neuron"


@dataclass(frozen=True, slots=True)
class Quota:
    """A Service Quotas code; new accounts have 0 vCPUs of it."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Family:
    """A group of EC2 instance families that boot, serve and are limited alike."""

    pattern: str
    stack: Stack
    cores_per_accelerator: int
    """NeuronCores that a chip shows to software (2 by default on Trainium2: logical cores); 1 for a GPU."""
    on_demand: Quota
    spot: Quota
    serving_image: str


@dataclass(frozen=True, slots=True)
class Platform:
    """How one instance type boots and serves."""

    stack: Stack
    cpu_architecture: str
    cores_per_accelerator: int
    ami_parameter: str
    """Public SSM parameter that holds the newest machine image."""
    serving_image: str
    quota: Quota


_CUDA_REPOSITORY = "vllm/vllm-openai"
_CUDA_VERSION = "0.30.0"
_NEURON_REPOSITORY = "public.ecr.aws/neuron/pytorch-inference-vllm-neuronx"
_NXDI_IMAGE = f"{_NEURON_REPOSITORY}:0.16.0-neuronx-py312-sdk2.30.0-ubuntu24.04"
_PLUGIN_IMAGE = f"{_NEURON_REPOSITORY}:0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04"

_G = Quota("L-DB2E81BA", "Running On-Demand G and VT instances")
_G_SPOT = Quota("L-3819A6DF", "All G and VT Spot Instance Requests")
_P = Quota("L-417A185B", "Running On-Demand P instances")
_P_SPOT = Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests")
_P5_SPOT = Quota("L-C4BD4855", "All P5 Spot Instance Requests")
_INF = Quota("L-1945791B", "Running On-Demand Inf instances")
_INF_SPOT = Quota("L-B5D1601B", "All Inf Spot Instance Requests")
_TRN = Quota("L-2C3B7624", "Running On-Demand Trn instances")
_TRN_SPOT = Quota("L-6B0D517C", "All Trn Spot Instance Requests")

_FAMILIES = (
    Family(r"gr?\d+[a-z]*", Stack.CUDA, 1, _G, _G_SPOT, _CUDA_REPOSITORY),
    Family(r"p5[a-z]*", Stack.CUDA, 1, _P, _P5_SPOT, _CUDA_REPOSITORY),
    Family(r"p\d+[a-z]*(-[a-z0-9]+)?", Stack.CUDA, 1, _P, _P_SPOT, _CUDA_REPOSITORY),
    # The plugin for Trainium2 does not run on the older chips, which keep the image built on NxD Inference.
    Family(r"inf2", Stack.NEURON, 2, _INF, _INF_SPOT, _NXDI_IMAGE),
    Family(r"trn1n?", Stack.NEURON, 2, _TRN, _TRN_SPOT, _NXDI_IMAGE),
    Family(r"trn2u?", Stack.NEURON, 4, _TRN, _TRN_SPOT, _PLUGIN_IMAGE),
)

_REFUSED = {
    "dl1": "Gaudi (first generation) is not supported by the vLLM plugin, which serves Gaudi 2 and 3 only",
    "dl2q": "Qualcomm AI100 needs a vLLM fork of its own, which is not generated",
    "inf1": "Inferentia (first generation) is not supported by vLLM",
    "g4ad": "AMD Radeon Pro is not supported by vLLM",
}

_EXACT_VERSION = re.compile(r"\d+\.\d+\.\d+(\.post\d+)?")
_INSTANCE_TYPE = re.compile(r"(?P<family>[a-z][a-z0-9-]*)\.[a-z0-9-]+")
_ARM_FAMILY = re.compile(r"[a-z]+\d+[a-z]*g[a-z]*|.*-gb\d+")
"""AWS puts a g after the generation for Graviton (g5g), and names Grace machines after the superchip (p6e-gb200)."""


def platform_of(option: Option) -> Platform:
    """How the instances of *option* boot and serve.

    Raises:
        InputError: the type is malformed, or nothing that this program writes runs on it.
    """
    named = _INSTANCE_TYPE.fullmatch(option.instance_type)
    if named is None:
        raise InputError(f"{option.instance_type!r} is no EC2 instance type", hint="expected something like g6.xlarge")
    family = _family(named["family"], option.instance_type)
    arm = _ARM_FAMILY.fullmatch(named["family"]) is not None
    architecture = "arm64" if arm else "x86_64"
    return Platform(
        stack=family.stack,
        cpu_architecture=architecture,
        cores_per_accelerator=family.cores_per_accelerator,
        ami_parameter=_ami_parameter(family.stack, architecture),
        serving_image=_serving_image(family, option),
        quota=family.spot if option.purchase == "spot" else family.on_demand,
    )


def _family(name: str, instance_type: str) -> Family:
    if name in _REFUSED:
        raise InputError(f"{instance_type}: {_REFUSED[name]}", hint="generate another option with --option RANK")
    for family in _FAMILIES:
        if re.fullmatch(family.pattern, name):
            return family
    raise InputError(
        f"{instance_type}: no machine image and serving image are known for this family",
        hint="generate another option with --option RANK",
    )


def _ami_parameter(stack: Stack, architecture: str) -> str:
    if stack is Stack.NEURON:
        return "/aws/service/neuron/dlami/multi-framework/ubuntu-24.04/latest/image_id"
    image = "base-oss-nvidia-driver-gpu-ubuntu-24.04"
    return f"/aws/service/deeplearning/ami/{architecture}/{image}/latest/ami-id"


def _serving_image(family: Family, option: Option) -> str:
    if family.stack is Stack.NEURON:
        return _NXDI_IMAGE if "nxdi" in option.engine.lower() else family.serving_image
    exact = _EXACT_VERSION.search(option.engine_version)
    return f"{family.serving_image}:v{exact[0] if exact else _CUDA_VERSION}"
