"""What is paid beside the hours of machines, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Quality
from advisor.cost.services import (
    disk_usd_per_month,
    download_usd,
    host_disk_gib,
    root_volume_gib,
    standing_charges,
)
from advisor.units import HOURS_PER_MONTH

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


def test_standing_charges_by_hand():
    """At 50 requests/s of 10 kB: 2 new connections' units beat 1.8 GB an hour; 26.28 GB of logs at 0.50 USD."""
    balancer, capacity, logs = standing_charges(CATALOG, "aws", "us-east-1", 50.0, 10e-6)

    assert balancer.usd_per_month == pytest.approx(0.0225 * HOURS_PER_MONTH, abs=0.005)
    assert capacity.quantity == pytest.approx(2.0 * HOURS_PER_MONTH)
    assert capacity.usd_per_month == pytest.approx(2.0 * 0.008 * HOURS_PER_MONTH)
    assert logs.usd_per_month == pytest.approx(13.14)
    assert (logs.title, logs.price_quality) == ("access logs in us-east-1", "recalled")


def test_large_answers_fill_a_load_balancer_by_their_bytes():
    """100 kB each at 50 requests/s are 18 GB an hour: 18 units."""
    capacity = standing_charges(CATALOG, "aws", "us-east-1", 50.0, 100e-6)[1]

    assert capacity.quantity == pytest.approx(18.0 * HOURS_PER_MONTH)


def test_azure_charges_the_data():
    """1 request/s of 10 kB: 26.28 GB at 0.005 USD, and 0.5256 GB of logs at 2.30."""
    balancer, data, logs = standing_charges(CATALOG, "azure", "eastus", 1.0, 10e-6)

    assert [one.item for one in (balancer, data, logs)] == ["load_balancer", "load_balancer_data", "log_ingest"]
    assert (balancer.usd_per_month, data.usd_per_month, logs.usd_per_month) == (18.25, 0.13, 1.21)


def test_google_charges_three_proxies_at_least():
    """One forwarding rule and three proxies; 600 new connections/s take a fourth, and 100 MB/s take six."""

    def proxies(requests_per_second, gb_per_request):
        found = standing_charges(CATALOG, "gcp", "us-central1", requests_per_second, gb_per_request)
        assert [one.item for one in found] == [
            "load_balancer", "load_balancer_proxy", "load_balancer_data", "log_ingest"
        ]  # fmt: skip
        assert found[1].usd_per_month == pytest.approx(found[1].quantity * 0.025)
        return found[1].quantity / HOURS_PER_MONTH

    assert [proxies(1, 10e-6), proxies(600, 10e-6), proxies(100, 1e-3)] == [3, 4, 6]


@pytest.mark.parametrize(("requests_per_second", "proxies"), [(450, 3), (451, 4), (600, 4), (601, 5)])
def test_a_proxy_passes_on_150_requests_a_second(requests_per_second, proxies):
    """Connections decide where answers are small, in whole proxies."""
    charges = standing_charges(CATALOG, "gcp", "us-central1", requests_per_second, 1e-9)

    assert next(one.quantity for one in charges if one.item == "load_balancer_proxy") == proxies * HOURS_PER_MONTH


@pytest.mark.parametrize(
    ("provider", "region", "bytes_per_request"), [("aws", "us-east-1", 200), ("gcp", "us-central1", 1200)]
)
def test_each_request_is_logged(provider, region, bytes_per_request):
    """A line of the server, and at Google an entry of the load balancer."""
    charges = standing_charges(CATALOG, provider, region, 2.0, 1e-6)
    gb_per_month = 2.0 * bytes_per_request * 730 * 3600 / 1e9

    assert next(one.quantity for one in charges if one.item == "log_ingest") == pytest.approx(gb_per_month, rel=1e-12)


def test_who_is_reached_through_a_service_pays_for_logs_alone():
    """Containers and endpoints of a service have no load balancer; Google's logs each request that it passes on."""
    (logs,) = standing_charges(CATALOG, "gcp", "us-central1", 10.0, 10e-6, balanced_ratio=0.0)
    *_, half = standing_charges(CATALOG, "gcp", "us-central1", 10.0, 10e-6, balanced_ratio=0.5)

    assert logs.quantity == pytest.approx(10 * 2_628_000 * 200 / 1e9)
    assert half.quantity == pytest.approx(logs.quantity * (200 + 500) / 200)


@given(st.floats(0.1, 500), st.floats(0.05, 0.95), st.sampled_from([("aws", "us-east-1"), ("azure", "eastus")]))
def test_what_is_charged_by_use_adds_up(rate, part, where):
    """Two halves of a load pay for their use what the whole pays, to a cent each, and a load balancer each."""
    whole, one, two = (
        {charge.item: charge.usd_per_month for charge in standing_charges(CATALOG, *where, share * rate, 50e-6)}
        for share in (1.0, part, 1 - part)
    )

    assert one["load_balancer"] == two["load_balancer"] == whole["load_balancer"]
    for item in whole.keys() - {"load_balancer"}:
        assert one[item] + two[item] == pytest.approx(whole[item], abs=0.02)


def test_nothing_is_known_of_others():
    """No charge is made up for a provider without such services in the catalog."""
    assert standing_charges(CATALOG, "lambda", "global", 1.0, 10e-6) == ()
