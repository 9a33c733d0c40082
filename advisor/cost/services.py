"""Costs beside the hours of machines: disks, downloads and containers; and the weight of a token that is put out."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.planning import ServicePrice
from advisor.catalog.values import Price
from advisor.deployable import CHECKPOINT_MARGIN
from advisor.records import replace
from advisor.units import BYTES_PER_GB, bytes_to_gib

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
