"""Data of planning beside hardware and on-demand prices: commitments, risk, limits, distance, carbon, cold starts."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum

from advisor.catalog.values import Provenance, Purchase
from advisor.records import dataclass, field
from advisor.tables import OptionalText
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB

_CONVERSIONS = {
    "bf16": ("convert_gguf_bf16",),
    "fp16": ("convert_gguf_fp16",),
    "int8": ("convert_gguf_int8",),
    "int4": ("convert_gguf_bf16", "quantise_gguf_int4"),
}
"""Rates of cold_start.csv at which llama.cpp works through published weights, by precision of the GGUF."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """A discount for paying for every hour of one or three years."""

    provider: str
    families: tuple[str, ...]
    """Families of instance types that it covers, see :func:`advisor.catalog.values.family_of`."""
    region: OptionalText
    """Where this discount was read; "" holds wherever no region has its own."""
    instrument: str
    """What it is bought as; two names where both have one price."""
    term_years: int
    payment: str
    """When it is paid: no_upfront is by the hour."""
    discount_ratio: float | None
    """Share of the on-demand price that is saved; None where the price itself is listed."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class CommitmentPrice:
    """USD for one instance for each hour of the term, used or not."""

    commitment: Commitment
    usd_per_hour: float
    provenance: Provenance
    """Of the listed price, or of the discount: a price computed with it is derived at best."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Capacity or a discount that is sold by other terms than by the hour for one or three years. None is unknown.

    No plan buys one: what it is sold for does not fit a fleet that runs for months, or its price is not known by type.
    """

    provider: str
    families: tuple[str, ...]
    """Families of instance types."""
    region: OptionalText
    """Where the price was read; "" where the terms hold wherever no region has its own."""
    instrument: str
    least_days: int
    most_days: int | None
    """None: without an end."""
    days_ahead: int | None
    """How long before its start it can be bought."""
    payment: str
    """upfront, or hourly."""
    usd_per_hour: float | None
    """Of one instance."""
    terms: str
    """What else a buyer must know."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class SpotRisk:
    """Share of spot instances that were interrupted in a month, over all users: a frequency, no hazard of one."""

    interrupted_low_ratio: float
    interrupted_high_ratio: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit that an account has in each region."""

    provider: str
    name: str
    code: str
    """What its interface knows it by."""
    unit: str
    """What is counted: vcpu or accelerator."""
    market: Purchase
    families: tuple[str, ...]
    """Families that share it; ``*`` is every one."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Latency:
    """Round trip of a packet between two places."""

    rtt_ms: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Place:
    """Where users are."""

    name: str
    """ISO 3166-1 alpha-2 code of the country, with a part of it where one point would be too coarse: US-east."""
    title: str
    """City, or country where the point is its centroid."""
    country: str
    country_iso2: str
    latitude_degrees: float
    longitude_degrees: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Grid:
    """Emissions of an hour of power in a region's data centres."""

    carbon_g_per_kwh: float
    """Average of the local grid over a year: certificates are not counted."""
    provenance: Provenance
    pue: float | None
    """Energy of the whole building over that of its computers."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure with its range; both ends are the figure itself where only one was published."""

    value: float
    low: float
    high: float
    unit: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class DataPrice:
    """USD for a GB that leaves a region; the first paid tier."""

    usd_per_gb: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """A limit as it is set for the account that asked."""

    limit: float
    """In the unit of the :class:`Quota` of that code."""
    as_of: str


@dataclass(frozen=True, slots=True)
class ServicePrice:
    """USD for a unit of something that is sold beside machines."""

    usd: float
    unit: str
    """GiB-month, hour, GB, ...; data is priced by the GB, whatever the provider counts."""
    provenance: Provenance


class Per(StrEnum):
    """Unit that a resource comes with."""

    REGION = "region"
    """A region in use."""
    HOSTS = "hosts"
    """A region with hosts."""
    NODES = "nodes"
    """A region with nodes of a cluster, which code starts in place of hosts."""
    GPU_NODES = "gpu_nodes"
    """A region with nodes that have NVIDIA accelerators, beside what comes with any."""
    SERVICES = "services"
    """A region in which services alone serve."""
    GROUP = "group"
    """A further group of hosts of a region."""
    NODE_GROUP = "node_group"
    """A further group of nodes of a region."""
    BACKEND = "backend"
    """A further backend of hosts of a region."""
    ENDPOINT = "endpoint"
    """A further endpoint, container or app of a service of a region."""
    INSTANCE_HOUR = "instance_hour"
    CACHE = "cache"
    """A response cache."""
    CACHE_NODE = "cache_node"
    """A node of one."""


@dataclass(frozen=True, slots=True)
class RegionResource:
    """Something that is ordered beside machines where a fleet runs: a gateway, a key, alarms."""

    provider: str
    item: str
    """Name of its price among those of services."""
    per: Per
    quantity: float
    """Units; those that are priced by the hour are there at all hours."""
    assumes: str
    """Nature of the units, and assumptions on their number."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Serverless:
    """An accelerator that is paid for by the second while a container runs. None is unknown."""

    provider: str
    service: str
    accelerator: str
    """Key of the accelerator table; the slowest one where the service hands out any of a pool."""
    regions: tuple[str, ...]
    """Where the price holds; empty: the service chooses."""
    usd_per_hour: float | None
    """Of one container with the least processors and memory that it may have, where they are charged apart."""
    vcpus: float | None
    memory_gib: float | None
    idle_seconds: float | None
    """How long an idle container is kept, and paid for."""
    cold_start_seconds: float | None
    """Until software sees the accelerator: image, weights and engine come after it."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Price of a service for the tokens of a model. None is unknown."""

    model: OptionalText
    """Name in the catalog of the weights behind it; "" where it has none, as of all closed models."""
    provider: str
    api_model: str
    """What the service calls the model."""
    input_usd_per_million: float
    cached_usd_per_million: float | None
    """Of input tokens that the service has in its cache."""
    output_usd_per_million: float
    context_tokens: int | None
    """Longest request that costs this."""
    provenance: Provenance

    @property
    def name(self) -> str:
        """The service and its model, as a workload file names them."""
        return f"{self.provider}/{self.api_model}"


@dataclass(frozen=True, slots=True)
class MachineStart:
    """Seconds from the order of machines of a provider until they are there with their driver."""

    provider: str
    service: str
    """Target that orders them; "" for any."""
    pattern: re.Pattern[str]
    """Instance types."""
    seconds: Fact


@dataclass(frozen=True, slots=True)
class StartFacts:
    """Parts of a cold start."""

    parts: Mapping[str, Fact]
    """By name."""
    machines: tuple[MachineStart, ...] = ()
    """Machines that do not start as others of their kind."""
    images: Mapping[tuple[str, str], Fact] = field(default_factory=dict)
    """Compressed images in GB by engine and vendor of the accelerators."""

    def __getitem__(self, name: str) -> Fact:
        """One of the parts."""
        return self.parts[name]

    def conversion_s(self, precision: str, published_gib: float) -> tuple[float, float, float]:
        """Seconds that llama.cpp takes to make a GGUF of published weights: value, lower and upper end.

        The converter writes 16 bit and Q8_0; Q4_K_M is quantised from what it wrote:
        ``published ÷ rate of the converter (+ published ÷ rate of the quantiser)``. *published_gib* is 0 for none.
        """
        if not published_gib:
            return 0.0, 0.0, 0.0
        size = published_gib * BYTES_PER_GIB / BYTES_PER_GB
        rates = [self.parts[name] for name in _CONVERSIONS.get(precision, ())]
        return (
            math.fsum(size / rate.value for rate in rates),
            math.fsum(size / rate.high for rate in rates),
            math.fsum(size / rate.low for rate in rates),
        )

    def compilation(self, vendor: str, checkpoint_gib: float, *, is_cached: bool = False) -> Fact | None:
        """Seconds of what an engine does at its start beside what vLLM does on GPUs; None: nothing.

        Large checkpoints take longer on Neuron. *is_cached*: the result of an earlier start is there.
        """
        name = _COMPILATIONS.get((vendor, is_cached))
        large_from = self.parts.get(f"{name}_large_from")
        is_large = large_from is not None and checkpoint_gib >= large_from.value
        return None if name is None else self.parts[f"{name}_large" if is_large else name]

    def machine(self, provider: str, instance_type: str, service: str) -> Fact | None:
        """Start of a machine that a service orders; None: it starts as others of its kind."""
        for row in self.machines:
            if row.provider == provider and row.service in ("", service) and row.pattern.fullmatch(instance_type):
                return row.seconds
        return None


_COMPILATIONS = {
    ("aws", False): "compile_neuron",
    ("google", False): "compile_tpu",
    ("google", True): "compile_tpu_cached",
    ("intel", False): "warm_up_gaudi",
    ("intel", True): "warm_up_gaudi",
}
"""Rows of cold_start.csv by vendor and whether the cache of the engine is filled."""
_START_SECONDS = 900
"""Boot, image pull and engine start: 90 to 280 s measured for the engine alone (vLLM on 8 × H100, RTX 5090)."""
_BOOT_SECONDS = 180
"""Part of that for a machine to be there, as in cold_start.csv at most."""
_DOWNLOAD_GIB_PER_SECOND = 0.1
"""Six times slower than measured from the hub on a p5.48xlarge (0.6 GiB/s): small instances have slower networks."""


def start_seconds(
    checkpoint_gib: float, *, compiles_s: float = 0.0, boot_s: float | None = None, converts_s: float = 0.0
) -> float:  # fmt: skip
    """Seconds from the order of an instance until the model answers, on the safe side.

    *checkpoint_gib* is downloaded; *boot_s*: longest time until the machine is there, None: as of most; *compiles_s*
    and *converts_s*: longest times by :meth:`StartFacts.compilation` and :meth:`StartFacts.conversion_s`.
    """
    more = max((boot_s or 0.0) - _BOOT_SECONDS, 0.0) + compiles_s + converts_s
    return _START_SECONDS + more + checkpoint_gib / _DOWNLOAD_GIB_PER_SECOND
