"""Costs beside the hours of machines: disks, downloads, load balancers and logs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.catalog import Catalog
from advisor.catalog.planning import ServicePrice
from advisor.catalog.values import Price
from advisor.deployable import CHECKPOINT_MARGIN
from advisor.units import BYTES_PER_GB, HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MONTH, bytes_to_gib

HOST_GIB = 100
"""Machine image with drivers and system, and the logs of a year."""
SERVING_IMAGE_GIB = 40
"""A serving image unpacked, and its layers while it is pulled."""
CHECKPOINT_STEP_GIB = 20
"""Weights are counted in such steps: precisions that differ by less cost the same, and neither is searched for it."""
GP3_THROUGHPUT_MIB_PER_SECOND = 500
"""As the generated code orders it, which weights are read with."""
GP3_THROUGHPUT_INCLUDED = 125
AZURE_DISKS_GIB = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Sizes that premium disks are charged in, P4 to P60."""
BYTES_PER_LOG_LINE = 200
"""What a server writes of a request into its access log."""
BYTES_PER_BALANCER_ENTRY = 1000
"""What Google's load balancer logs of a request, about: an entry of JSON, of every request as the code orders it."""
CONNECTIONS_PER_LCU = 25
"""New connections per second in a capacity unit of AWS's application load balancers; a GB in an hour is one as well."""
LEAST_PROXIES = 3
"""Of an internal load balancer at Google, in each region; each is charged by the hour."""
CONNECTIONS_PER_PROXY = 150
"""New HTTPS connections per second, of which there are fewer than the 700 requests that it can also log."""
GB_PER_PROXY_SECOND = 0.018

_TITLES = {
    "load_balancer": "load balancer",
    "load_balancer_capacity": "its capacity units",
    "load_balancer_data": "its data",
    "load_balancer_proxy": "its proxies",
    "log_ingest": "access logs",
}


@dataclass(frozen=True, slots=True)
class StandingCharge:
    """Something that is paid for in each region that serves, whatever machines do; None: its price is not known."""

    provider: str
    region: str
    item: str
    """load_balancer, load_balancer_capacity, load_balancer_data, load_balancer_proxy or log_ingest."""
    quantity: float
    """Of an average month."""
    unit: str
    usd_per_unit: float | None
    usd_per_month: float | None
    """To the cent."""
    price_source: str
    price_as_of: str
    price_quality: str

    @property
    def title(self) -> str:
        """``load balancer in us-east-1``."""
        return f"{_TITLES[self.item]} in {self.region}"


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


def disk_usd_per_month(catalog: Catalog, provider: str, region: str, volume_gib: int) -> float | None:
    """A host's disk, as the generated code orders it; None where its price is not known.

    AWS: gp3, ``GiB × price + (500 - 125) MiB/s × price``. Azure: the smallest premium disk that holds it. Others: by
    the GiB.
    """
    if provider == "azure":
        size = next((one for one in AZURE_DISKS_GIB if one >= volume_gib), None)
        price = None if size is None else catalog.service_price(provider, f"disk_{size}_gib", region)
        return None if price is None else price.usd
    storage = catalog.service_price(provider, "disk_storage", region)
    if storage is None or provider != "aws":
        return None if storage is None else storage.usd * volume_gib
    throughput = catalog.service_price(provider, "disk_throughput", region)
    more = GP3_THROUGHPUT_MIB_PER_SECOND - GP3_THROUGHPUT_INCLUDED
    return None if throughput is None else storage.usd * volume_gib + throughput.usd * more


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


def standing_charges(
    catalog: Catalog,
    provider: str,
    region: str,
    requests_per_second: float,
    gb_per_request: float,
    *,
    balanced_ratio: float = 1.0,
) -> tuple[StandingCharge, ...]:
    """Load balancer and logs of a region of the three clouds for its mean load; nothing is known of others.

    Args:
        catalog: prices of services.
        provider: who runs the region.
        region: where.
        requests_per_second: mean.
        gb_per_request: prompt and answer on the wire.
        balanced_ratio: share of the requests that a load balancer passes on; endpoints and containers of a service are
            reached through the service.
    """
    if provider not in ("aws", "gcp", "azure"):
        return ()
    balanced = requests_per_second * balanced_ratio
    found: list[tuple[str, float]] = []
    bytes_logged = requests_per_second * BYTES_PER_LOG_LINE
    if balanced:
        found += _balancer(provider, balanced, gb_per_request)
        bytes_logged += balanced * BYTES_PER_BALANCER_ENTRY if provider == "gcp" else 0.0
    found.append(("log_ingest", bytes_logged * SECONDS_PER_MONTH / BYTES_PER_GB))
    return tuple(
        _charge(provider, region, item, quantity, catalog.service_price(provider, item, region))
        for item, quantity in found
    )


def _balancer(provider: str, requests_per_second: float, gb_per_request: float) -> Iterator[tuple[str, float]]:
    gb_per_second = requests_per_second * gb_per_request
    yield "load_balancer", HOURS_PER_MONTH
    if provider == "aws":
        units = max(requests_per_second / CONNECTIONS_PER_LCU, gb_per_second * SECONDS_PER_HOUR)
        yield "load_balancer_capacity", units * HOURS_PER_MONTH
        return
    if provider == "gcp":
        needed = max(requests_per_second / CONNECTIONS_PER_PROXY, gb_per_second / GB_PER_PROXY_SECOND)
        yield "load_balancer_proxy", max(math.ceil(needed), LEAST_PROXIES) * HOURS_PER_MONTH
    yield "load_balancer_data", gb_per_second * SECONDS_PER_MONTH


def _charge(provider: str, region: str, item: str, quantity: float, price: ServicePrice | None) -> StandingCharge:
    if price is None:
        return StandingCharge(provider, region, item, quantity, "", None, None, "", "", "unpriced")
    provenance, usd = price.provenance, round(quantity * price.usd, 2)
    return StandingCharge(
        provider,
        region,
        item,
        quantity,
        price.unit,
        price.usd,
        usd,
        provenance.source,
        provenance.as_of,
        provenance.quality.value,
    )
