"""Values of the catalog: facts with a unit in their name and a source beside them."""

import re
from enum import StrEnum

from advisor.records import dataclass
from advisor.tables import OptionalText

_FIRST_NUMBER = re.compile(r"(?<=[A-Z])\d+")


def family_of(provider: str, instance_type: str) -> str:
    """The family of an instance type, as its provider groups them.

    ``g6.xlarge`` → ``g6``; ``a2-highgpu-1g`` → ``a2-highgpu``; ``n1-standard-8+1xT4`` → ``n1-standard+T4``;
    ``Standard_NC24ads_A100_v4`` → ``NCads_A100_v4``. Other providers have no families: the type is its own.
    """
    match provider:
        case "aws":
            return instance_type.partition(".")[0]
        case "gcp":
            machine, _, attached = instance_type.partition("+")
            family = "-".join(machine.split("-")[:2])
            return f"{family}+{attached.partition('x')[2]}" if attached else family
        case "azure":
            return _FIRST_NUMBER.sub("", instance_type.removeprefix("Standard_"), count=1)
        case _:
            return instance_type


class Quality(StrEnum):
    """How well a fact is founded."""

    LISTED = "listed"
    """It stands in the named source."""
    DERIVED = "derived"
    """Computed from listed facts, or implied by a listed rule."""
    STALE = "stale"
    """It was listed, and is known to have changed since."""
    RECALLED = "recalled"
    """Known, but no source was read: a prior, not evidence."""
    COMMUNITY = "community"
    """Gathered by volunteers."""
    UNPRICED = "unpriced"
    """Sold there, price unknown."""
    WITHDRAWN = "withdrawn"
    """The last price of what is not sold there any more."""


class Purchase(StrEnum):
    """How an instance is paid for."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    COMMITMENT = "commitment"
    """On demand at a discount for every hour of one or three years."""
    MANAGED = "managed"
    """By the hour from a service that runs the endpoint on it, such as SageMaker, at that service's own price."""


class Support(StrEnum):
    """How an engine serves a precision on an accelerator."""

    NATIVE = "native"
    """The arithmetic runs in this precision."""
    SUPPORTED = "supported"
    """It runs; weights may be widened in the kernel."""
    EMULATED = "emulated"
    """Weights are stored so, the arithmetic runs in 16 bit: saves memory, not FLOPs."""
    UNTESTED = "untested"
    """Nobody says: not planned, and no refusal either."""
    NO = "no"


class Evidence(StrEnum):
    """Evidence that an engine serves a precision on an accelerator, or that it does not."""

    DOCUMENTED = "documented"
    MEASURED = "measured"
    """A published run shows what no document says, or what one denies."""
    UNTESTED = "untested"
    """Neither: known without a source."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Source of a fact."""

    source: str
    """Title of the source."""
    as_of: str
    """Date of the data: ISO date, or a month or year where the source says no more; "" when unknown."""
    quality: Quality


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One chip (or card) as software sees it. Peaks are dense; None is unknown or unsupported."""

    name: str
    vendor: str
    architecture: str
    compute_capability: float | None
    """NVIDIA only, e.g. 8.9."""
    memory_gib: float
    memory_bandwidth_gb_per_second: float
    fp32_tflops: float | None
    fp16_tflops: float | None
    """fp16 and bf16 tensor peak."""
    fp8_tflops: float | None
    int8_tops: float | None
    fp4_tflops: float | None
    """nvfp4, mxfp4 (or int4 where the part has only that)."""
    link_gb_per_second: float | None
    """Accelerator to accelerator, per direction, inside one instance."""
    link_kind: OptionalText
    tdp_watts: float | None
    launch_year: int | None
    provenance: Provenance
    cores: int = 1
    """Cores that serving software counts as ranks, and that share its memory; 1 of a GPU: it is one rank."""

    @property
    def rank_memory_gib(self) -> float:
        """Memory of one rank of tensor parallelism."""
        return self.memory_gib / self.cores

    def ranks(self, accelerators: int) -> int:
        """Degree of tensor parallelism over so many accelerators: ``accelerators × cores``."""
        return accelerators * self.cores


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A machine that a provider sells. None is unknown."""

    provider: str
    name: str
    accelerator: str
    """Key of the accelerator table."""
    accelerator_count: float | None
    """A fraction for a shared accelerator (0.125 of one)."""
    accelerator_memory_gib: float | None
    """Of one accelerator as the provider states it; for a fraction, of the whole accelerator."""
    vcpus: int | None
    memory_gib: float | None
    network_gbit_per_second: float | None
    local_nvme_gb: float | None
    interconnect: OptionalText
    """Between the accelerators: none, pcie, nvlink, neuronlink, ici, ..."""
    cpu_architecture: str
    """x86_64 or arm64."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Region:
    """Where a provider sells machines."""

    provider: str
    name: str
    """As the provider spells it: us-east-1, westeurope, ..."""
    title: str
    """Name for people."""
    city: OptionalText
    country_iso2: OptionalText
    continent: OptionalText
    latitude_degrees: float | None
    longitude_degrees: float | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Price:
    """USD for one instance for one hour."""

    usd_per_hour: float
    provenance: Provenance
    zones_usd_per_hour: tuple[float, float] | None = None
    """Spot: in the cheapest and in the dearest zone of the region, where they are known; the price is their median."""


@dataclass(frozen=True, slots=True)
class Managed:
    """A service that runs endpoints on a machine, and sells it by the hour at a price of its own."""

    service: str
    price: Price | None
    """None: sold, price unknown."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type in a region. A missing price is None and never 0."""

    provider: str
    region: str
    instance_type: str
    on_demand: Price | None
    spot: Price | None
    managed: Managed | None = None
    """None: no such service is known for it."""
    withdrawn: bool = False
    """It was sold there and is not any more: what runs there is priced, nothing new is planned."""

    @property
    def place(self) -> tuple[str, str, str]:
        """Provider, region and instance type."""
        return self.provider, self.region, self.instance_type

    @property
    def managed_price(self) -> Price | None:
        """Price of the machine at the service that runs endpoints on it."""
        return self.managed.price if self.managed else None

    def price(self, purchase: Purchase) -> Price | None:
        """Listed price for a way of paying; None where that is unknown, and for commitments, which follow from it."""
        match purchase:
            case Purchase.ON_DEMAND:
                return self.on_demand
            case Purchase.SPOT:
                return self.spot
            case Purchase.MANAGED:
                return self.managed_price
        return None


@dataclass(frozen=True, slots=True)
class EngineSupport:
    """Whether releases of an engine serve one precision on some hardware, and how."""

    engine: str
    hardware: str
    """An architecture or an accelerator."""
    precision: str
    """One of the model precisions: fp32, bf16, fp16, fp8, int8, int4, nvfp4, mxfp4."""
    support: Support
    compute_precision: OptionalText
    """Precision of the arithmetic: ``bf16`` or ``fp16`` where weights are widened in the kernel."""
    detail: OptionalText
    provenance: Provenance
    evidence: Evidence
    from_version: OptionalText = ""
    """First release it holds for; "": every one before ``until_version``."""
    until_version: OptionalText = ""
    """First release it holds for no more; "": every one since."""
    engine_version: str = ""
    """Release that a plan takes; "" where none is known."""
    stands_for: tuple[str, ...] = ()
    """Precisions that a workload asks for and that are cast to this one; empty: this one alone."""
    usual: "EngineSupport | None" = None
    """Support of the preferred engine that serves the same; None: this is it."""
    beside: str = ""
    """Preferred one of the engines that a workload allows; "": this is it."""

    @property
    def serves(self) -> bool:
        """Whether it is known to run."""
        return self.support in (Support.NATIVE, Support.SUPPORTED, Support.EMULATED)
