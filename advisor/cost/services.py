"""Costs beside the hours of machines: disks, downloads and containers; and the weight of a token that is put out.

What it takes was measured with HAProxy 3.0 and TLS on both sides (November 2026): 3.1 ms of a processor for each
request on a new connection, and 47 µs for each chunk of a streamed answer, one for each token. Two run in each region,
and one has to carry the whole demand: the region beside it may fail.

Charges of a region by the load: rules of its balancer and logs, and of what the generated code orders there.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import median
from typing import NamedTuple
from weakref import WeakKeyDictionary

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.planning import Per, RegionResource, ServicePrice
from advisor.catalog.values import Price
from advisor.cost.standing import BALANCER, CLOUDS, CLUSTER, GATEWAY, ChargeRule, Further, Machines, RegionCharges
from advisor.deployable import CHECKPOINT_MARGIN, files_gib
from advisor.records import dataclass, replace
from advisor.units import BYTES_PER_GB, HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MONTH, bytes_to_gib

FLEET_LEAVES_OUT = "metrics, backups, taxes and support"
"""Costs that the total of a fleet does not hold."""


def hourly_to_monthly(usd_per_hour: float, instances: int) -> float:
    """USD per average month of 730 h for *instances* machines, to the cent."""
    return round(usd_per_hour * instances * HOURS_PER_MONTH, 2)


HOST_GIB = 100
"""Machine image with drivers and system, and the logs of a year."""
SERVING_IMAGE_GIB = 40
"""A serving image unpacked, and its layers while it is pulled."""
CHECKPOINT_STEP_GIB = 20
"""Disks are sized for weights in such steps; downloads cost their bytes."""
GP3_THROUGHPUT_MIB_PER_SECOND = 500
"""As the generated code orders it, which weights are read with."""
GP3_THROUGHPUT_INCLUDED = 125
AZURE_DISKS_GIB = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Sizes that premium disks are charged in, P4 to P60."""
COMPILED_GIB = 8
"""Room for compiled programs and chunks of downloads beside the weights of a replica on a node."""
SCRATCH_GIB = 8
"""Temporary files of a replica on a node."""
_FILE_SYSTEM_SHARE = 0.95
"""Share of local disks that a file system leaves for files."""


def output_weight() -> float:
    """Input tokens that one output token costs as much as: the median over the models that are sold by the token."""
    return median(
        price.output_usd_per_million / price.input_usd_per_million
        for price in load_catalog().every_token_price
        if price.input_usd_per_million > 0 and price.output_usd_per_million > 0
    )


def counted_gib(checkpoint_gib: float) -> int:
    """Weights on disk, in whole steps."""
    return math.ceil(checkpoint_gib / CHECKPOINT_STEP_GIB) * CHECKPOINT_STEP_GIB


def root_volume_gib(checkpoint_gib: float) -> int:
    """Disk of a host: ``system + serving image + weights in whole steps with a margin``."""
    return math.ceil(HOST_GIB + SERVING_IMAGE_GIB + counted_gib(checkpoint_gib) * CHECKPOINT_MARGIN)


def host_disk_gib(checkpoint_gib: float, local_gb: float | None) -> int:
    """Disk that a host boots from: weights lie on local disks (*local_gb*; None: not known) where these hold them."""
    held_gib = 0.0 if local_gb is None else bytes_to_gib(local_gb * BYTES_PER_GB)
    whole, alone = root_volume_gib(checkpoint_gib), root_volume_gib(0)
    return alone if whole - alone <= held_gib else whole


def node_disk_gib(checkpoint_gib: float, replicas: int) -> int:
    """Disk that a node of a cluster boots from: on it, each replica has weights of its own."""
    return root_volume_gib(checkpoint_gib) + (replicas - 1) * replica_disk_gib(files_gib(checkpoint_gib))


def shared_disk_gib(checkpoints_gib: Sequence[float], images: int) -> int:
    """Disk of a node for several workloads: ``system + different serving images + what each keeps there``."""
    kept = (replica_disk_gib(files_gib(checkpoint_gib)) for checkpoint_gib in checkpoints_gib)
    return HOST_GIB + images * SERVING_IMAGE_GIB + sum(kept)


def local_disks_gib(local_gb: float, whole_gib: int) -> int:
    """GiB of a node's local disks as one file system; 0 where they do not hold what its own disk would beside the host.

    *whole_gib*: disk that the node would boot from (see :func:`node_disk_gib`).
    """
    holds = int(bytes_to_gib(local_gb * BYTES_PER_GB) * _FILE_SYSTEM_SHARE)
    return holds if holds >= whole_gib - HOST_GIB else 0


def replica_disk_gib(held_gib: int) -> int:
    """Disk of a replica on a node: ``weights with a margin (held_gib) + what engines compile + scratch``."""
    return held_gib + COMPILED_GIB + SCRATCH_GIB


class DiskPart(NamedTuple):
    """Measure that a disk is charged by, in a month."""

    item: str
    """disk: its size, or itself; disk_throughput: what it reads beyond what comes with its size."""
    units: float
    price: ServicePrice


def disk_parts(catalog: Catalog, provider: str, region: str, volume_gib: int) -> Sequence[DiskPart]:
    """A host's disk, as the generated code orders it; empty where a price of it is not known.

    AWS: gp3, ``GiB × price + (500 - 125) MiB/s × price``. Azure: the smallest premium disk that holds it. Others: by
    the GiB.
    """
    if provider == "azure":
        size = next((gib for gib in AZURE_DISKS_GIB if gib >= volume_gib), None)
        parts = [("disk", 1.0, f"disk_{size}_gib")]
    else:
        parts = [("disk", float(volume_gib), "disk_storage")]
    if provider == "aws":
        parts.append(("disk_throughput", GP3_THROUGHPUT_MIB_PER_SECOND - GP3_THROUGHPUT_INCLUDED, "disk_throughput"))
    priced = [(item, units, catalog.service_price(provider, name, region)) for item, units, name in parts]
    if provider == "azure":
        priced = [(item, units, price and replace(price, unit=f"{size}-GiB-month")) for item, units, price in priced]
    counted = [DiskPart(item, units, price) for item, units, price in priced if price is not None]
    return counted if len(counted) == len(parts) else ()


def disk_usd_per_month(catalog: Catalog, provider: str, region: str, volume_gib: int) -> float | None:
    """A host's disk: the sum of its :func:`disk_parts`; None where its price is not known."""
    parts = disk_parts(catalog, provider, region, volume_gib)
    return math.fsum(part.units * part.price.usd for part in parts) if parts else None


def download_usd(catalog: Catalog, provider: str, region: str, download_gb: float) -> float | None:
    """USD for what a start fetches from outside through the network's NAT gateway; None: its price is not known."""
    price = catalog.service_price(provider, "nat_data", region)
    return None if price is None else price.usd * download_gb


def container_price(catalog: Catalog, provider: str, region: str, vcpus: float, memory_gib: float) -> Price | None:
    """Price of a container on processors alone that is at work: vCPUs and GiB by the hour; None: one is not known."""
    vcpu = catalog.service_price(provider, "container_vcpu", region)
    memory = catalog.service_price(provider, "container_memory", region)
    if vcpu is None or memory is None:
        return None
    return Price(vcpus * vcpu.usd + memory_gib * memory.usd, vcpu.provenance)


_PRICE_DIGITS = 9
"""Decimals that sums of prices by the second have, without what binary fractions add."""


def accelerated_container_price(
    catalog: Catalog, service: tuple[str, str], region: str, accelerator: str, size: tuple[float, float] | None = None
) -> Price | None:
    """Price of an hour of a container with one accelerator: ``that of the least size + further vCPUs and GiB``.

    *service*: provider, and name of its service. *size*: vCPUs and GiB; None: the least that it may have.

    None where a part of it is not known, or no container is so small.
    """
    for offer in catalog.serverless:
        is_meant = (offer.provider, offer.service, offer.accelerator) == (*service, accelerator)
        if not is_meant or region not in offer.regions or offer.usd_per_hour is None:
            continue
        if size in (None, (offer.vcpus, offer.memory_gib)):
            return Price(offer.usd_per_hour, offer.provenance)
        if size is None or offer.vcpus is None or offer.memory_gib is None:
            return None
        further = size[0] - offer.vcpus, size[1] - offer.memory_gib
        parts = container_price(catalog, service[0], region, *further) if min(further) >= 0 else None
        if parts is None:
            return None
        return Price(round(offer.usd_per_hour + parts.usd_per_hour, _PRICE_DIGITS), offer.provenance)
    return None


HOSTS = 2
"""Machines or containers of an entrance."""
_REQUEST_SECONDS, _TOKEN_SECONDS = 0.0031, 0.000047
_ROOM = 2
"""Times the busiest minute that one of the two carries."""


@dataclass(frozen=True, slots=True)
class EntranceSize:
    """Resources of one of the two."""

    name: str
    """Size of a virtual machine; "" for a container."""
    vcpus: float
    """That it may use all the time."""
    memory_gib: float
    connections: int
    """Most at a time: one takes about 100 KiB with its buffers and keys."""


MACHINES = (
    EntranceSize("Standard_B2ats_v2", 0.4, 1, 4_000),
    EntranceSize("Standard_D2s_v5", 2, 8, 20_000),
    EntranceSize("Standard_D4s_v5", 4, 16, 40_000),
    EntranceSize("Standard_D8s_v5", 8, 32, 80_000),
)
"""The first one may use more than a fifth of its two vCPUs by credits alone."""
CONTAINERS = tuple(EntranceSize("", vcpus, 2 * vcpus, round(8_000 * vcpus)) for vcpus in (0.25, 0.5, 1, 2, 4))
"""Processors and memory as the consumption profile has them."""


class EntranceLoad(NamedTuple):
    """Load that an entrance carries."""

    requests_per_second: float
    """In the busiest minute."""
    answer_tokens: float
    """Mean of a request."""

    def carried_by(self, sizes: Sequence[EntranceSize]) -> Sequence[EntranceSize]:
        """Sizes that carry it, smallest first; the largest one where none does.

        Processors that requests keep busy: requests a second in the busiest minute × time of each.
        """
        needed = _ROOM * self.requests_per_second * (_REQUEST_SECONDS + self.answer_tokens * _TOKEN_SECONDS)
        return [size for size in sizes if size.vcpus >= needed] or sizes[-1:]


@lru_cache(maxsize=2 * len(MACHINES))
def machine_prices(catalog: Catalog, size: str) -> Mapping[str, ServicePrice]:
    """USD an hour on demand of a size of machines in each region that sells it."""
    return {
        offer.region: ServicePrice(offer.on_demand.usd_per_hour, f"{size}-hour", offer.on_demand.provenance)
        for offer in catalog.cpu_offers("azure", size)
        if offer.on_demand is not None
    }


def machine_price(catalog: Catalog, region: str, load: EntranceLoad) -> ServicePrice | None:
    """USD an hour of the smallest machine that carries a load and is sold in a region; None: none is."""
    prices = (machine_prices(catalog, size.name).get(region) for size in load.carried_by(MACHINES))
    return next((price for price in prices if price is not None), None)


def container_entrance_price(catalog: Catalog, region: str, load: EntranceLoad) -> ServicePrice | None:
    """USD an hour of the smallest container that carries a load, at work all the time; None: it is not known."""
    size = load.carried_by(CONTAINERS)[0]
    price = container_price(catalog, "azure", region, size.vcpus, size.memory_gib)
    return None if price is None else ServicePrice(price.usd_per_hour, f"{size.vcpus:g}-vCPU-hour", price.provenance)


BYTES_PER_LOG_LINE = 200
"""Length of a server's access log line."""
BYTES_PER_BALANCER_ENTRY = 1000
"""Length of an entry of Google's load balancer, about: JSON, for every request as the code orders it."""
CONNECTIONS_PER_LCU = 25
"""New connections per second in a capacity unit of AWS's application load balancers; a GB in an hour is one as well."""
LEAST_PROXIES = 3
"""Proxies of an internal load balancer at Google, in each region; each is charged by the hour."""
CONNECTIONS_PER_PROXY = 150
"""New HTTPS connections per second, of which there are fewer than the 700 requests that it can also log."""
GB_PER_PROXY_SECOND = 0.018
LOG_MONTHS = 12
"""How long the generated code keeps logs at AWS; elsewhere it asks for no more than what comes with taking them in."""
LOG_COMPRESSION = 0.15
"""Share of its length that a line takes in storage, as AWS reckons in its examples of prices."""
_OF_CACHE = "cache_"
"""Prefix of items that are the same resource as those of the fleet, and come with its response cache."""
NO_LOAD = EntranceLoad(0.0, 0.0)


class Deployed(NamedTuple):
    """Parts of what the generated code orders in a region that decide about the others."""

    entrance: EntranceLoad = NO_LOAD
    """Load that an entrance has to carry."""
    cache_nodes: int = 0
    """Nodes of the response cache that stands there; 0: there is none."""
    machines: Machines = Machines.HOSTS
    """Machines that serve there, beside services."""
    existing_cluster: bool = False
    """Whether the control plane of their cluster is there and paid for."""


def region_charges(
    catalog: Catalog, provider: str, region: str, gb_per_request: float, deployed: Deployed | None = None
) -> RegionCharges | None:
    """Charges of a region of the three clouds, else None. Without *deployed*: hosts, and no response cache."""
    if provider not in CLOUDS:
        return None
    deployed = deployed or Deployed()
    on_hosts = deployed.machines is Machines.HOSTS
    front = BALANCER if on_hosts else GATEWAY

    def rule(
        item: str, each: float = 0.0, each_balanced: float = 0.0, least: float = 0.0, step: float = 0.0
    ) -> ChargeRule:  # fmt: skip
        price = _price(catalog, (provider, region), item, NO_LOAD)
        return ChargeRule(item, price, each, each_balanced, least, step)

    gb_per_month = SECONDS_PER_MONTH / BYTES_PER_GB
    rules = [rule(front, least=HOURS_PER_MONTH)]
    if provider == "aws":
        units = max(1 / CONNECTIONS_PER_LCU, gb_per_request * SECONDS_PER_HOUR)
        rules.append(rule(f"{front}_capacity", each_balanced=units * HOURS_PER_MONTH))
    if provider == "gcp":
        proxies = max(1 / CONNECTIONS_PER_PROXY, gb_per_request / GB_PER_PROXY_SECOND)
        least, hours = LEAST_PROXIES * HOURS_PER_MONTH, float(HOURS_PER_MONTH)
        rules.append(rule(f"{front}_proxy", each_balanced=proxies * hours, least=least, step=hours))
    if provider != "aws":
        rules.append(rule(f"{front}_data", each_balanced=gb_per_request * SECONDS_PER_MONTH))
    entries = BYTES_PER_BALANCER_ENTRY if provider == "gcp" and on_hosts else 0
    lines = BYTES_PER_LOG_LINE * gb_per_month
    rules.append(rule("log_ingest", each=lines, each_balanced=entries * gb_per_month))
    if provider == "aws":
        rules.append(rule("log_storage", each=lines * LOG_MONTHS * LOG_COMPRESSION))
    resources = {rule.item: rule for rule in _resources(catalog, provider, region, deployed)}
    rules = [_with_own(rule, resources.pop(rule.item, None)) for rule in rules]
    return RegionCharges(provider, region, (*rules, *resources.values()))


def split_usd_per_call(
    catalog: Catalog, provider: str, region: str, gb_per_call: float, split: tuple[float, float]
) -> float:
    """USD that a call adds to a region's charges where its items are HTTP requests of their own; 0 where unknown.

    *gb_per_call*: of the call as one HTTP request, with its answer. *split*: HTTP requests of the call, and GB of all
    of them with their answers.
    """
    count, gb = split
    charges = [region_charges(catalog, provider, region, each_gb) for each_gb in (gb_per_call, gb / count)]
    whole_usd, each_usd = (0.0 if charge is None else charge.usd_per_request(balanced=True) for charge in charges)
    return count * each_usd - whole_usd


def _with_own(rule: ChargeRule, own: ChargeRule | None) -> ChargeRule:
    """A rule of the load with the units that the generated code orders of the same."""
    if own is None:
        return rule
    return replace(rule, least=own.least, alone=own.alone, each_further=own.each_further, assumes=own.assumes)


def instance_hour_usd(catalog: Catalog, provider: str, region: str) -> float:
    """USD for an hour of an instance of what a region charges by it; 0 where no price of such is known."""
    hourly = {
        resource.item: resource.quantity
        for resource in catalog.region_resources.get(provider, ())
        if resource.per is Per.INSTANCE_HOUR
    }
    prices = {item: _price(catalog, (provider, region), item, NO_LOAD) for item in hourly}
    return sum((price.usd * hourly[item] for item, price in prices.items() if price is not None), start=0.0)


def cache_node_usd(catalog: Catalog, provider: str, region: str) -> float:
    """USD a month of what comes with each node of a response cache: its alarms; 0 where no price of such is known."""
    single, pair = (
        sum(rule.usd * rule.anyway for rule in _resources(catalog, provider, region, Deployed(cache_nodes=nodes)))
        for nodes in (1, 2)
    )
    return pair - single


_Ordered = tuple[str, str, Deployed]
_known: WeakKeyDictionary[Catalog, dict[_Ordered, tuple[ChargeRule, ...]]] = WeakKeyDictionary()
"""Rules by catalog: each question asks for those of every region more than once."""


def _resources(catalog: Catalog, provider: str, region: str, deployed: Deployed) -> Sequence[ChargeRule]:
    """Rules of what the generated code orders or needs in a region, one for each item."""
    rules, ordered = _known.setdefault(catalog, {}), (provider, region, deployed)
    if ordered not in rules:
        rules[ordered] = tuple(_ordered(catalog, *ordered))
    return rules[ordered]


def _ordered(catalog: Catalog, provider: str, region: str, deployed: Deployed) -> Iterator[ChargeRule]:
    of_cache = {Per.CACHE: min(deployed.cache_nodes, 1), Per.CACHE_NODE: deployed.cache_nodes}
    others = _OF_MACHINES - _ORDERED_WITH[deployed.machines]
    items: dict[str, dict[Per, RegionResource]] = {}
    for resource in catalog.region_resources.get(provider, ()):
        is_there = deployed.existing_cluster and resource.item == CLUSTER
        if resource.per not in others and of_cache.get(resource.per, 1) and not is_there:
            own = _OF_CACHE if resource.per in of_cache else ""
            items.setdefault(f"{own}{resource.item}", {})[resource.per] = resource
    for item, resources in sorted(items.items(), key=lambda entry: entry[0].startswith(_OF_CACHE)):
        price = _price(catalog, (provider, region), item.removeprefix(_OF_CACHE), deployed.entrance)
        hours = HOURS_PER_MONTH if price is not None and price.unit.endswith("hour") else 1
        counts = {per: resource.quantity for per, resource in resources.items()}
        groups = counts.get(Per.GROUP, 0.0) + counts.get(Per.NODE_GROUP, 0.0)
        further = Further(groups * hours, *(counts.get(per, 0.0) * hours for per in (Per.BACKEND, Per.ENDPOINT)))
        assumes = {True: _assumed(resources, _OF_SERVICES), False: _assumed(resources, _OF_MACHINES)}
        yield ChargeRule(
            item,
            price,
            anyway=sum(counts.get(per, 0.0) * count for per, count in {Per.REGION: 1, **of_cache}.items()) * hours,
            least=sum(counts.get(per, 0.0) for per in _WITH_ANY) * hours,
            alone=counts.get(Per.SERVICES, 0.0) * hours,
            each_instance_hour=counts.get(Per.INSTANCE_HOUR, 0.0),
            each_further=further,
            assumes=assumes,
        )


def _price(catalog: Catalog, place: tuple[str, str], item: str, entrance: EntranceLoad) -> ServicePrice | None:
    """Price of a resource: of entrances that of the machine or container which carries the load.

    A cluster's Gateway is made of the same load balancers that stand before hosts.
    """
    provider, region = place
    if item == "entrance":
        return machine_price(catalog, region, entrance)
    if item == "container_entrance":
        return container_entrance_price(catalog, region, entrance)
    if item.startswith(GATEWAY):
        item = BALANCER + item.removeprefix(GATEWAY)
    return catalog.service_price(provider, item, region)


_WITH_ANY = (Per.HOSTS, Per.NODES, Per.GPU_NODES)
"""Units of a region with machines."""
_ORDERED_WITH = {
    Machines.HOSTS: {Per.HOSTS, Per.GROUP, Per.BACKEND},
    Machines.NODES: {Per.NODES, Per.NODE_GROUP},
    Machines.GPU_NODES: {Per.NODES, Per.NODE_GROUP, Per.GPU_NODES},
}
_OF_MACHINES = set().union(*_ORDERED_WITH.values())
_OF_SERVICES = {Per.SERVICES, Per.ENDPOINT}


def _assumed(resources: Mapping[Per, RegionResource], left_out: Collection[Per]) -> str:
    ordered = sorted(resources.items(), key=lambda entry: entry[0] in _BEYOND)
    return "; ".join(resource.assumes for per, resource in ordered if per not in left_out)


_BEYOND = {Per.GROUP, Per.NODE_GROUP, Per.BACKEND, Per.ENDPOINT, Per.GPU_NODES}
