"""Costs beside the hours of machines: disks, downloads and containers; and the weight of a token that is put out.

What it takes was measured with HAProxy 3.0 and TLS on both sides (November 2026): 3.1 ms of a processor for each
request on a new connection, and 47 µs for each chunk of a streamed answer, one for each token. Two run in each region,
and one has to carry the whole demand: the region beside it may fail.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import median
from typing import NamedTuple

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.planning import ServicePrice
from advisor.catalog.values import Price
from advisor.deployable import CHECKPOINT_MARGIN
from advisor.records import dataclass, replace
from advisor.units import BYTES_PER_GB, HOURS_PER_MONTH, bytes_to_gib

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
    return root_volume_gib(checkpoint_gib) + (replicas - 1) * replica_disk_gib(
        math.ceil(checkpoint_gib * CHECKPOINT_MARGIN)
    )


def shared_disk_gib(checkpoints_gib: Sequence[float], images: int) -> int:
    """Disk of a node for several workloads: ``system + serving images + what each keeps there``.

    Args:
        checkpoints_gib: of each workload.
        images: different ones, of which each is kept once.
    """
    kept = (replica_disk_gib(math.ceil(checkpoint_gib * CHECKPOINT_MARGIN)) for checkpoint_gib in checkpoints_gib)
    return HOST_GIB + images * SERVING_IMAGE_GIB + sum(kept)


def local_disks_gib(local_gb: float, whole_gib: int) -> int:
    """GiB of a node's local disks as one file system; 0 where they do not hold what its own disk would beside the host.

    Args:
        local_gb: of all of them.
        whole_gib: disk that the node would boot from (see :func:`node_disk_gib`).
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
