"""Standing charges of a region, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.cost.standing import region_charges
from advisor.units import HOURS_PER_MONTH

CATALOG = load_catalog()


def standing_charges(provider, region, requests_per_second, gb_per_request, balanced_ratio=1.0):
    """Charges of a region for its mean load, a share of which goes through its load balancer; None: there is none."""
    charges = region_charges(CATALOG, provider, region, gb_per_request)
    balanced = None if balanced_ratio is None else requests_per_second * balanced_ratio
    return () if charges is None else tuple(charges.charges(requests_per_second, balanced))


def test_standing_charges_by_hand():
    """At 50 requests/s of 10 kB: 2 new connections' units beat 1.8 GB an hour; 26.28 GB of logs at 0.50 USD."""
    balancer, capacity, logs = standing_charges("aws", "us-east-1", 50.0, 10e-6)

    assert balancer.usd_per_month == pytest.approx(0.0225 * HOURS_PER_MONTH, abs=0.005)
    assert capacity.quantity == pytest.approx(2.0 * HOURS_PER_MONTH)
    assert capacity.usd_per_month == pytest.approx(2.0 * 0.008 * HOURS_PER_MONTH)
    assert logs.usd_per_month == pytest.approx(13.14)
    assert (logs.title, logs.price_quality) == ("access logs in us-east-1", "recalled")


def test_large_answers_fill_a_load_balancer_by_their_bytes():
    """100 kB each at 50 requests/s are 18 GB an hour: 18 units."""
    capacity = standing_charges("aws", "us-east-1", 50.0, 100e-6)[1]

    assert capacity.quantity == pytest.approx(18.0 * HOURS_PER_MONTH)


def test_azure_charges_the_data():
    """1 request/s of 10 kB: 26.28 GB at 0.005 USD, and 0.5256 GB of logs at 2.30."""
    balancer, data, logs = standing_charges("azure", "eastus", 1.0, 10e-6)

    assert [one.item for one in (balancer, data, logs)] == ["load_balancer", "load_balancer_data", "log_ingest"]
    assert (balancer.usd_per_month, data.usd_per_month, logs.usd_per_month) == (18.25, 0.13, 1.21)


def test_google_charges_three_proxies_at_least():
    """One forwarding rule and three proxies; 600 new connections/s take a fourth, and 100 MB/s take six."""

    def proxies(requests_per_second, gb_per_request):
        found = standing_charges("gcp", "us-central1", requests_per_second, gb_per_request)
        assert [one.item for one in found] == [
            "load_balancer", "load_balancer_proxy", "load_balancer_data", "log_ingest"
        ]  # fmt: skip
        assert found[1].usd_per_month == pytest.approx(found[1].quantity * 0.025)
        return found[1].quantity / HOURS_PER_MONTH

    assert [proxies(1, 10e-6), proxies(600, 10e-6), proxies(100, 1e-3)] == [3, 4, 6]


@pytest.mark.parametrize(("requests_per_second", "proxies"), [(450, 3), (451, 4), (600, 4), (601, 5)])
def test_a_proxy_passes_on_150_requests_a_second(requests_per_second, proxies):
    """Connections decide where answers are small, in whole proxies."""
    charges = standing_charges("gcp", "us-central1", requests_per_second, 1e-9)

    assert next(one.quantity for one in charges if one.item == "load_balancer_proxy") == proxies * HOURS_PER_MONTH


@pytest.mark.parametrize(
    ("provider", "region", "bytes_per_request"), [("aws", "us-east-1", 200), ("gcp", "us-central1", 1200)]
)
def test_each_request_is_logged(provider, region, bytes_per_request):
    """A line of the server, and at Google an entry of the load balancer."""
    charges = standing_charges(provider, region, 2.0, 1e-6)
    gb_per_month = 2.0 * bytes_per_request * 730 * 3600 / 1e9

    assert next(one.quantity for one in charges if one.item == "log_ingest") == pytest.approx(gb_per_month, rel=1e-12)


def test_who_is_reached_through_a_service_pays_for_logs_alone():
    """Containers and endpoints of a service have no load balancer; Google's logs each request that it passes on."""
    (logs,) = standing_charges("gcp", "us-central1", 10.0, 10e-6, balanced_ratio=None)
    *_, half = standing_charges("gcp", "us-central1", 10.0, 10e-6, balanced_ratio=0.5)

    assert logs.quantity == pytest.approx(10 * 2_628_000 * 200 / 1e9)
    assert half.quantity == pytest.approx(logs.quantity * (200 + 500) / 200)


@given(st.floats(0.1, 500), st.floats(0.05, 0.95), st.sampled_from([("aws", "us-east-1"), ("azure", "eastus")]))
def test_what_is_charged_by_use_adds_up(rate, part, where):
    """Two halves of a load pay for their use what the whole pays, to a cent each, and a load balancer each."""
    whole, one, two = (
        {charge.item: charge.usd_per_month for charge in standing_charges(*where, share * rate, 50e-6)}
        for share in (1.0, part, 1 - part)
    )

    assert one["load_balancer"] == two["load_balancer"] == whole["load_balancer"]
    for item in whole.keys() - {"load_balancer"}:
        assert one[item] + two[item] == pytest.approx(whole[item], abs=0.02)


def test_nothing_is_known_of_others():
    """No charge is made up for a provider without such services in the catalog."""
    assert standing_charges("lambda", "global", 1.0, 10e-6) == ()
