"""Names of each cloud for things: machine images, runtimes and quotas of its accelerated instance types.

Families are rows of ``platforms_aws.csv``, ``platforms_gcp.csv`` and ``platforms_azure.csv``, by the family of
machine_support.csv. Sources, read in November 2026: the AWS guides to Deep Learning AMIs, Neuron and EC2 quotas;
Microsoft's guides to GPU sizes and vCPU quotas, the list of marketplace images in Azure/azhpc-images, the driver lists
in Azure/azhpc-extensions and Azure/aks-gpu, and the family names that ``az vm list-usage`` prints (some of them with
spaces); Google's guides to GPU and TPU machine types, to TPUs in Compute Engine, to allocation quotas, to GPUs, CPU and
memory limits and health checks of Cloud Run services, the quotas of the Cloud Run Admin API, and the image projects
``deeplearning-platform-release`` and ``ubuntu-os-accelerator-images``. Image families of Google are renamed often, so
the generated variable takes another.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.quotas import HINT, check_deployable, family_of
from advisor.deployable import without_code
from advisor.errors import InputError, NotDeployable
from advisor.records import dataclass
from advisor.tables import OptionalText, Record, read_records


def _families(cloud: str) -> dict[str, Record]:
    return {row.text("family"): row for row in read_records(Path(__file__).with_name(f"platforms_{cloud}.csv"))}


@dataclass(frozen=True, slots=True)
class AwsFamily:
    """A group of EC2 instance families that boot alike."""

    runtime: Runtime


AWS_FAMILIES = {name: row.value(AwsFamily) for name, row in _families("aws").items()}
_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
"""Canonical's parameter for machines without an accelerator, whose hosts install Docker and the AWS CLI themselves."""
_UBUNTU_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
_INSTANCE_TYPE = re.compile(r"(?P<family>[a-z][a-z0-9-]*)\.[a-z0-9-]+")
_ARM_FAMILY = re.compile(r"[a-z]+\d+[a-z]*g[a-z]*|.*-gb\d+")
"""AWS puts a g after the generation for Graviton (g5g), and names Grace machines after the superchip (p6e-gb200)."""


def _aws_platform(serves: Serves) -> Platform:
    """How the instances of *serves* boot."""
    named = _INSTANCE_TYPE.fullmatch(serves.instance_type)
    if named is None:
        raise InputError(
            f"{serves.instance_type!r} is not an EC2 instance type", hint="expected something like g6.xlarge"
        )
    family = AWS_FAMILIES[family_of(serves.provider, serves.instance_type)]
    arm = _ARM_FAMILY.fullmatch(named["family"]) is not None
    architecture = "arm64" if arm else "x86_64"
    return Platform(
        runtime=family.runtime,
        cpu_architecture=architecture,
        machine_image=_ami_parameter(family.runtime, architecture),
        quota=_aws_quota(serves),
    )


def _aws_quota(serves: Serves) -> Quota:
    """Quota that the catalog knows of such instances as they are bought; without a code where it knows none."""
    purchase = Purchase.SPOT if serves.purchase == "spot" else Purchase.ON_DEMAND
    quota = load_catalog().quota_of_type(serves.provider, serves.instance_type, purchase)
    if quota is None:
        words = purchase.value.replace("_", "-")
        return Quota("", f"whichever holds {words} instances of {serves.instance_type}: its code is not known")
    return Quota(quota.code, quota.name)


def _ami_parameter(runtime: Runtime, architecture: str) -> str:
    if runtime is Runtime.NEURON:
        return "/aws/service/neuron/dlami/multi-framework/ubuntu-24.04/latest/image_id"
    if runtime is Runtime.CPU:
        return _UBUNTU.format(_UBUNTU_ARCHITECTURES[architecture])
    image = "base-oss-nvidia-driver-gpu-ubuntu-24.04"
    return f"/aws/service/deeplearning/ami/{architecture}/{image}/latest/ami-id"


@dataclass(frozen=True, slots=True)
class AzureFamily:
    """Sizes that boot and are limited alike."""

    quota: str
    """Name of the vCPU quota, as the usage API spells it."""
    runtime: Runtime


AZURE_FAMILIES = {name: row.value(AzureFamily) for name, row in _families("azure").items()}
_AZURE_SPOT = Quota("lowPriorityCores", "Total Regional Spot vCPUs")
_AZURE_IMAGES = {
    Runtime.CUDA: "microsoft-dsvm:ubuntu-hpc:2404:latest",
    Runtime.ROCM: "microsoft-dsvm:ubuntu-hpc:2404-rocm:latest",
}
"""Ubuntu-HPC: drivers, Docker and the container toolkit are in it."""
_AZURE_PROCESSORS = re.compile(r"Standard_(?P<series>[DE])\d+(?P<letters>[a-z]*)_(?P<version>v\d)", re.ASCII)
"""Sizes without an accelerator; a p among the letters is an Arm processor."""
_AZURE_SIZE = re.compile(r"Standard_N[A-Z]+\d+\w*", re.ASCII)


def _azure_platform(serves: Serves) -> Platform:
    """How the instances of *serves* boot."""
    processors = _AZURE_PROCESSORS.fullmatch(serves.instance_type)
    if processors is not None:
        return _azure_processors(serves, processors)
    if _AZURE_SIZE.fullmatch(serves.instance_type) is None:
        raise InputError(
            f"{serves.instance_type!r} is not an accelerated Azure size",
            hint="expected something like Standard_NC4as_T4_v3",
        )
    family = AZURE_FAMILIES[family_of(serves.provider, serves.instance_type)]
    return Platform(
        runtime=family.runtime,
        cpu_architecture="x86_64",
        machine_image=_AZURE_IMAGES[family.runtime],
        quota=_AZURE_SPOT if serves.purchase == "spot" else Quota(family.quota, f"{family.quota} vCPUs"),
    )


def _azure_processors(serves: Serves, named: re.Match[str]) -> Platform:
    """Nodes of clusters, which bring their own image."""
    family = AZURE_FAMILIES[family_of(serves.provider, serves.instance_type)]
    quota = family.quota.format(f"{named['series']}{named['letters'].upper()}{named['version']}")
    return Platform(
        runtime=family.runtime,
        cpu_architecture="arm64" if "p" in named["letters"] else "x86_64",
        machine_image="",
        quota=_AZURE_SPOT if serves.purchase == "spot" else Quota(quota, f"{quota} vCPUs"),
    )


LONGEST_START_SECONDS = 1800
"""A startup probe may fail for so long in a service with a GPU."""
_SERVICE = re.compile(r"Cloud Run(?P<redundant> with zonal redundancy)? [A-Z0-9-]+")
"""As the catalog names it: the GPU stands at the end."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that Cloud Run has, one to a container."""

    accelerator: str
    """As the node selector takes it."""
    quota: str
    """As the names of its quotas start."""
    regions: frozenset[str]
    """Empty: not known."""


GPUS = {
    "L4": Gpu(
        "nvidia-l4",
        "NvidiaL4",
        frozenset({"asia-south1", "asia-southeast1", "europe-west1", "europe-west4", "us-central1", "us-east4"}),
    ),
    "RTX-PRO-6000": Gpu("nvidia-rtx-pro-6000", "NvidiaRtxPro6000", frozenset()),
}
"""By the catalog's name."""


def is_redundant(instance_type: str) -> bool:
    """Whether Cloud Run keeps a GPU ready in a second zone for such a service, at a price of its own."""
    named = _SERVICE.fullmatch(instance_type)
    return named is not None and named["redundant"] is not None


def quota_of(accelerator: str, *, redundant: bool) -> Quota:
    """Quota that a region must allow before Cloud Run starts a GPU of :data:`GPUS`."""
    code = f"{GPUS[accelerator].quota}GpuAlloc{'' if redundant else 'NoZonalRedundancy'}PerProjectRegion"
    return Quota(code, f"Cloud Run {accelerator} {'with' if redundant else 'without'} zonal redundancy", "GPUs")


_GPU_IMAGE = "deeplearning-platform-release/common-cu129-ubuntu-2404-nvidia-580"
_TPU_IMAGE = "ubuntu-os-accelerator-images/ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"


@dataclass(frozen=True, slots=True)
class GcpFamily:
    """Machine types that boot, start and are limited alike."""

    accelerator_type: OptionalText
    """As Compute Engine and GKE name the accelerator; "" of machines without one."""
    quota: str
    """Metric of the quota in Cloud Quotas, in capitals."""
    disk_type: str
    """Newer machines take no Persistent Disk."""
    runtime: Runtime
    spot_quota: OptionalText
    """The same for spot, where it is not the other with ``PREEMPTIBLE_`` before it."""
    starts_on_demand: bool
    """Else only as spot or from a reservation."""


GCP_FAMILIES = {name: row.value(GcpFamily) for name, row in _families("gcp").items()}
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
    family: GcpFamily
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
        raise InputError(f"{instance_type!r} is not a machine type", hint="expected something like g2-standard-4")
    family = GCP_FAMILIES[family_of("gcp", instance_type)]
    return Machine(instance_type.partition("+")[0], family, int(named["count"] or 0))


_OF_ALL_FAMILIES = "_PER_"
"""In the name of a quota that each family of accelerators has a share of its own of."""


def _gcp_platform(serves: Serves) -> Platform:
    """How the instances of *serves* boot."""
    if serves.purchase == "serverless":
        if _SERVICE.fullmatch(serves.instance_type) is None:
            raise InputError(
                f"{serves.instance_type!r} is not a serverless service of Google Cloud", hint="expected Cloud Run L4"
            )
        if serves.accelerator not in GPUS:
            raise InputError(
                f"Cloud Run has no {serves.accelerator}, only {' and '.join(GPUS)}",
                hint="generate another option with --option RANK",
            )
        quota = quota_of(serves.accelerator, redundant=is_redundant(serves.instance_type))
        return Platform(runtime=Runtime.CUDA, cpu_architecture="x86_64", machine_image="", quota=quota)
    machine = machine_of(serves.instance_type)
    is_tpu = machine.family.runtime is Runtime.TPU
    if machine.family.runtime is Runtime.CPU:
        series = machine.machine_type.partition("-")[0]
        metric = f"{series.upper()}-CPUS" if series in _WITH_QUOTA else "CPUS-PER-VM-FAMILY"
        preemptible = "PREEMPTIBLE-CPUS"
        return Platform(
            runtime=Runtime.CPU,
            cpu_architecture="arm64" if series in _ARM_SERIES else "x86_64",
            machine_image="",
            quota=Quota(
                f"{preemptible if serves.purchase == 'spot' else metric}-per-project-region",
                f"Virtual CPUs of {series} machines",
            ),
        )
    return Platform(
        runtime=machine.family.runtime,
        cpu_architecture="x86_64",
        machine_image=_TPU_IMAGE if is_tpu else _GPU_IMAGE,
        quota=_gcp_quota(machine, serves.purchase),
    )


def _gcp_quota(machine: Machine, purchase: str) -> Quota:
    """Quota by its name in a plan, and its id in the Cloud Quotas API; one for all families names the accelerator."""
    family = machine.family
    is_spot = purchase == "spot"
    metric = family.spot_quota or f"PREEMPTIBLE_{family.quota}" if is_spot else family.quota
    words = f"{metric} of {family.accelerator_type}" if _OF_ALL_FAMILIES in metric else metric
    return Quota(f"{metric.replace('_', '-')}-per-project-region", words, "accelerators")


_PLATFORMS: Mapping[str, Callable[[Serves], Platform]] = {
    "aws": _aws_platform,
    "gcp": _gcp_platform,
    "azure": _azure_platform,
}
"""Of clouds whose machines code starts; others have nodes in a cluster of the user's."""


def platform_of(serves: Serves) -> Platform:
    """How the instances of a type boot.

    Raises:
        NotDeployable: the cloud or the type is none that code can be written for; the message says why.
        InputError: the type is malformed.
    """
    if why := without_code(serves.provider, load_catalog()):
        raise NotDeployable(why, hint=f"choose an option of {', '.join(load_catalog().deployment.providers)}")
    platform = _PLATFORMS.get(serves.provider, _of_nodes)(serves)
    check_deployable(serves)
    return platform


def _of_nodes(serves: Serves) -> Platform:
    """Nodes of clusters, where code is written for those alone: the family of machine_support.csv is their runtime."""
    runtime = Runtime(family_of(serves.provider, serves.instance_type))
    machine = load_catalog().instance_types.get((serves.provider, serves.instance_type))
    if machine is None:
        raise NotDeployable(f"{serves.instance_type}: the catalog does not know the type", hint=HINT)
    return Platform(
        runtime=runtime,
        cpu_architecture=machine.cpu_architecture,
        machine_image="",
        quota=Quota(serves.instance_type, f"{serves.accelerator} in nodes of a cluster", "accelerators"),
    )
