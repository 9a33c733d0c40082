"""What has to be deployed for an option, as a small cloud-neutral model: every decision and all arithmetic are here.

Generators only read this model, so that two languages can never disagree about a number.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from advisor.codegen.alarms import Alarm, alarms_of
from advisor.codegen.aws_platform import Platform, Stack, platform_of
from advisor.codegen.quoting import slug
from advisor.codegen.serving import Container, container_of
from advisor.codegen.summary import Summary, summary_of
from advisor.errors import InputError
from advisor.plan.document import digest, plan_document, plan_from_json, plan_to_json
from advisor.plan.values import Option, Plan

_LONGEST_NAME = 24
"""A load balancer's name may have 32 characters, and a suffix has to fit."""
_HEADROOM = 0.25
"""Instances above the plan, as a share of it, that a rolling replacement may start."""
_HOST_GIB = 100
"""Machine image with drivers and system, and the logs of a year."""
_SERVING_IMAGE_GIB = 40
"""A serving image unpacked, and its layers while it is pulled."""
_CHECKPOINT_MARGIN = 1.2
_VOLUME_STEP_GIB = 10
_START_SECONDS = 900
"""Boot, image pull and engine start: 90 to 280 s measured for the engine alone (vLLM on 8 × H100, RTX 5090)."""
_COMPILE_SECONDS = 1800
"""Ahead-of-time compilation for Neuron: more than 10 minutes for a 32 B model."""
_DOWNLOAD_GIB_PER_SECOND = 0.1
"""Six times slower than measured from the hub on a p5.48xlarge (0.6 GiB/s): small instances have slower networks."""
_FEWEST_SUBNETS = 2
"""An Application Load Balancer needs two zones."""
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_VERSION = re.compile(r"\d+(\.\d+)*([abc.+-][0-9a-z.+-]*)?")


@dataclass(frozen=True, slots=True)
class ComputeGroup:
    """Equal instances behind one load balancer."""

    instance_type: str
    interchangeable_types: tuple[str, ...]
    """Other types of the plan that serve the same way: a wider choice of spot capacity."""
    instances: int
    max_instances: int
    is_spot: bool
    cpu_architecture: str
    image_parameter: str
    root_volume_gib: int
    start_seconds: int
    """From launch until the model answers, generously."""
    subnets: int
    """Fewest subnets, each in a zone of its own."""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """The internal HTTPS entrance."""

    client_port: int = 443
    host_port: int = 8443
    health_path: str = "/health"
    idle_seconds: int = 600
    """A long answer may pause longer than the usual 60 s."""
    drain_seconds: int = 120


@dataclass(frozen=True, slots=True)
class Agent:
    """The sampler that keeps measuring what was predicted."""

    example_package: str
    """Where its wheel might be; only the user knows where it is."""
    interval: str = "1s"


@dataclass(frozen=True, slots=True)
class Budget:
    """Spending that is expected, and what is added before anyone is told."""

    usd_per_month: float
    margin_ratio: float = 0.25
    """Disks, load balancer and data transfer are not in the plan's total."""


@dataclass(frozen=True, slots=True)
class StackModel:
    """Everything that a generator renders."""

    name: str
    region: str
    advisor_version: str
    plan_digest: str
    compute: ComputeGroup
    container: Container
    load_balancer: LoadBalancer
    has_gpu: bool
    """NVIDIA: GPU metrics and the agent's sampler exist."""
    alarms: tuple[Alarm, ...]
    agent: Agent | None
    budget: Budget
    metrics_namespace: str
    tags: Mapping[str, str]
    summary: Summary


def stack_of(plan: Plan, option: Option) -> StackModel:
    """What has to be deployed to serve *plan* with *option*.

    Raises:
        InputError: nothing that this program writes can serve the option; the message says why.
    """
    check(plan, option)
    interchangeable = _interchangeable(plan, option)
    plan, option = _as_written(plan, option)
    platform = platform_of(option)
    container = container_of(option, str(plan.workload["model"]), platform)
    compute = _compute(plan, option, platform, interchangeable)
    has_gpu = platform.stack is Stack.CUDA
    name = slug(str(plan.workload["name"]), _LONGEST_NAME, "inference")
    return StackModel(
        name=name,
        region=option.region,
        advisor_version=plan.provenance.advisor_version,
        plan_digest=_digest(plan, option, interchangeable),
        compute=compute,
        container=container,
        load_balancer=LoadBalancer(),
        has_gpu=has_gpu,
        alarms=alarms_of(option, compute.start_seconds, has_gpu=has_gpu),
        agent=_agent(plan.provenance.advisor_version) if has_gpu else None,
        budget=Budget(option.cost.total_usd_per_month),
        metrics_namespace="Inference/Hosts",
        tags={"ManagedBy": "terraform", "Project": "inference"},
        summary=summary_of(plan, option, platform.quota),
    )


def _agent(version: str) -> Agent:
    return Agent(example_package=f"https://artifacts.example.com/advisor-{version}-py3-none-any.whl")


def check(plan: Plan, option: Option) -> None:
    """Refuse an option that :func:`stack_of` cannot serve, without computing the rest.

    Raises:
        InputError: the message says why.
    """
    _check_names(plan, option)
    container_of(option, str(plan.workload["model"]), platform_of(option))


def _as_written(plan: Plan, option: Option) -> tuple[Plan, Option]:
    """The plan as its JSON gives it back, so that a plan in memory and a plan from a file give the same bytes."""
    narrow = replace(plan, options=(option,), rejected=(), nearest_misses=())
    written = plan_from_json(plan_to_json(narrow))
    return written, written.options[0]


def _check_names(plan: Plan, option: Option) -> None:
    """Names that are used as they are have to look like names."""
    if option.provider != "aws":
        raise InputError(f"no Terraform is generated for {option.provider} yet", hint="choose an AWS option")
    if option.partition:
        whole = [one for one in plan.options if one.provider == "aws" and not one.partition]
        choice = f"take --option {whole[0].rank}, {whole[0].instance_type}" if whole else "make a plan with --all"
        raise InputError(f"no code is generated yet that cuts accelerators into {option.partition} slices", hint=choice)
    if _REGION.fullmatch(option.region) is None:
        raise InputError(f"{option.region!r} is no AWS region", hint="expected something like us-east-1")
    if _VERSION.fullmatch(plan.provenance.advisor_version) is None:
        raise InputError(f"{plan.provenance.advisor_version!r} is no version", where="provenance.advisor_version")


def _interchangeable(plan: Plan, option: Option) -> tuple[str, ...]:
    """Types of the plan that carry the same accelerators and serve the model the same way in the same place."""

    def serves(one: Option) -> tuple[object, ...]:
        where = (one.provider, one.region, one.purchase, one.accelerator, one.accelerator_count)
        return (*where, one.precision, one.tensor_parallel, one.pipeline_parallel, one.replicas_per_instance)

    same = {one.instance_type for one in plan.options if serves(one) == serves(option)}
    return tuple(sorted(same - {option.instance_type}))


def _compute(plan: Plan, option: Option, platform: Platform, interchangeable: tuple[str, ...]) -> ComputeGroup:
    checkpoint_gib = _checkpoint_gib(option)
    compile_seconds = _COMPILE_SECONDS if platform.stack is Stack.NEURON else 0
    start_seconds = _START_SECONDS + compile_seconds + checkpoint_gib / _DOWNLOAD_GIB_PER_SECOND
    volume_gib = _HOST_GIB + _SERVING_IMAGE_GIB + checkpoint_gib * _CHECKPOINT_MARGIN
    return ComputeGroup(
        instance_type=option.instance_type,
        interchangeable_types=interchangeable,
        instances=option.instances,
        max_instances=option.instances + max(1, math.ceil(option.instances * _HEADROOM)),
        is_spot=option.purchase == "spot",
        cpu_architecture=platform.cpu_architecture,
        image_parameter=platform.ami_parameter,
        root_volume_gib=_round_up(volume_gib, _VOLUME_STEP_GIB),
        start_seconds=_round_up(start_seconds, 60),
        subnets=max(_FEWEST_SUBNETS, int(plan.workload["limits"]["zones"])),
    )


def _checkpoint_gib(option: Option) -> float:
    """Bytes on disk: FP8 is made from a 16-bit checkpoint while it loads, everything else is stored as it is served."""
    return option.weights_gib * (2 if option.precision == "fp8" else 1)


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _digest(plan: Plan, option: Option, interchangeable: tuple[str, ...]) -> str:
    """SHA-256 of the fields of the plan that the code is made from."""
    document = plan_document(replace(plan, options=(option,), rejected=(), nearest_misses=()))
    return digest(document | {"interchangeable_types": list(interchangeable)})
