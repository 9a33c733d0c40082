"""What is paid beside the hours of machines, by hand."""

import pytest

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Quality
from advisor.cost.services import (
    container_price,
    disk_usd_per_month,
    download_usd,
    host_disk_gib,
    root_volume_gib,
)

CATALOG = load_catalog()


def test_the_disk_of_a_host():
    """140 GiB and 1.2 × the weights, which count in steps of 20."""
    assert root_volume_gib(8) == root_volume_gib(16) == 164
    assert root_volume_gib(140) == 308


@pytest.mark.parametrize(
    ("checkpoint_gib", "local_gb", "gib"),
    [
        (16, 250.0, 140),  # 250 GB hold 24 GiB: the host and the image are left
        (200, 250.0, 380),  # too little for 1.2 × 200
        (16, 0.0, 164),
        (16, None, 164),  # not known to be there
    ],
)
def test_weights_on_local_disks_are_not_paid_for_twice(checkpoint_gib, local_gb, gib):
    """All of them lie there, or none."""
    assert host_disk_gib(checkpoint_gib, local_gb) == gib


def test_disks_by_hand():
    """gp3: 160 × 0.08 + 375 × 0.04. Azure: the 256 GiB disk. Google: 160 × 0.10 in us-central1."""
    assert disk_usd_per_month(CATALOG, "aws", "us-east-1", 160) == pytest.approx(160 * 0.08 + 375 * 0.04)
    assert disk_usd_per_month(CATALOG, "azure", "eastus", 160) == disk_usd_per_month(CATALOG, "azure", "eastus", 256)
    assert disk_usd_per_month(CATALOG, "azure", "eastus", 257) > disk_usd_per_month(CATALOG, "azure", "eastus", 256)
    assert disk_usd_per_month(CATALOG, "gcp", "us-central1", 160) == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("gib", "usd"),
    [(32, 5.28), (33, 10.21), (64, 10.21), (128, 19.71), (256, 38.02), (512, 73.22), (1024, 135.17), (2048, 259.05),
     (4096, 495.57), (8192, 946.08), (8193, None)],
)  # fmt: skip
def test_premium_disks_are_charged_in_their_sizes(gib, usd):
    """A disk that is just filled costs its own price, a GiB more the next size, and beyond the largest nothing known."""
    assert disk_usd_per_month(CATALOG, "azure", "eastus", gib) == usd


def test_an_unknown_disk_costs_nothing_known():
    """A provider without prices of disks, and a disk larger than any, are unknown and not free."""
    assert disk_usd_per_month(CATALOG, "lambda", "global", 160) is None
    assert download_usd(CATALOG, "lambda", "global", 10) is None
    assert disk_usd_per_month(CATALOG, "azure", "eastus", 10_000) is None


def test_downloads_go_through_the_gateway():
    """100 GB at 0.045 USD; Google counts GiB."""
    assert download_usd(CATALOG, "aws", "us-east-1", 100) == pytest.approx(4.5)
    assert download_usd(CATALOG, "gcp", "us-central1", 100) == pytest.approx(4.5 / 1.073741824)


def test_a_region_of_unknown_price_pays_that_of_the_dearest():
    """Nothing is cheaper for not being known, and it is said to be derived."""
    known = CATALOG.service_price("aws", "nat_data", "sa-east-1")
    unknown = CATALOG.service_price("aws", "nat_data", "af-south-1")

    assert known.provenance.quality is Quality.RECALLED
    assert (unknown.usd, unknown.provenance.quality) == (known.usd, Quality.DERIVED)
    assert CATALOG.service_price("aws", "no such thing", "us-east-1") is None


def test_a_container_is_paid_by_processor_and_memory(monkeypatch):
    """Two vCPUs at 0.0864 and four GiB at 0.0108 of Azure's; nothing is known where either price is not."""
    price = container_price(CATALOG, "azure", "eastus", 2, 4)
    assert price.usd_per_hour == pytest.approx(2 * 0.0864 + 4 * 0.0108)
    assert price.provenance == CATALOG.service_price("azure", "container_vcpu", "eastus").provenance

    priced, known = Catalog.service_price, []

    def price_of(catalog, provider, item, region):
        return priced(catalog, provider, item, region) if item in known else None

    monkeypatch.setattr(Catalog, "service_price", price_of)
    for item in ("container_vcpu", "container_memory"):
        known[:] = [item]
        assert container_price(CATALOG, "azure", "eastus", 2, 4) is None
    assert container_price(CATALOG, "lambda", "global", 2, 4) is None
