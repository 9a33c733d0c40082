"""Faults that the price tables once had: one test for each class of them, over every row."""

import datetime as dt
import itertools
from collections import Counter, defaultdict

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.price_trust import first_day
from advisor.catalog.values import Purchase, Quality
from advisor.tables import read_rows

CATALOG = load_catalog()
CLOUDS = ("aws", "gcp", "azure")
TODAY = dt.date(2026, 11, 28)
"""When the facts were last taken over; tests do not age."""
RECENT_DAYS = 180
PLACES = {(offer.provider, offer.region, offer.instance_type): offer for offer in CATALOG.offers}


def listed_in_zones(provider, source=""):
    """(region, type) of every row of the zones table that names types."""
    rows = read_rows(CATALOG.directory / "zones.csv")
    return {
        (row["region"], name)
        for row in rows
        if row["provider"] == provider and row["source"].startswith(source)
        for name in row["instance_types"].split(";")
        if name != "*"
    }


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_what_a_zone_sells_has_a_row_of_prices(provider):
    """A type that some availability zone sells is an offer, priced or not: none is `sold nowhere`."""
    for region, name in listed_in_zones(provider):
        offer = PLACES[provider, region, name]
        assert not offer.withdrawn, offer


def test_what_ec2_does_not_list_is_withdrawn():
    """Regions whose offerings were read in October 2026, and that do not name a type: its last price stays, spot goes."""
    sold = listed_in_zones("aws", "aws-zones-ec2")
    read = {region for region, _ in sold}
    withdrawn = [offer for offer in CATALOG.offers if offer.withdrawn]
    assert {offer.provider for offer in withdrawn} == {"aws"}
    assert Counter(offer.instance_type.partition(".")[0] for offer in withdrawn) == {
        "p3": 33, "dl1": 2, "inf1": 5, "p4d": 1,
    }  # fmt: skip
    for offer in withdrawn:
        assert offer.region in read
        assert (offer.region, offer.instance_type) not in sold
        assert offer.spot is None
        assert offer.on_demand is None or offer.on_demand.provenance.quality is Quality.WITHDRAWN
    newer = {"aws-regions-cfn-lint-2026-10"}
    rows = {(row["region"], row["instance_type"]): row for row in read_rows(CATALOG.directory / "prices" / "aws.csv")}
    for place, row in rows.items():
        if place[0] in read and place not in sold and row["on_demand_quality"] != Quality.WITHDRAWN:
            assert row["on_demand_source"] in newer, place


def test_types_of_different_shape_have_prices_of_their_own():
    """No size carries the prices of another one in every region that sells both."""
    prices = defaultdict(dict)
    for offer in CATALOG.offers_in():
        machine = CATALOG.instance_types[offer.provider, offer.instance_type]
        if offer.on_demand and machine.accelerator_count and machine.vcpus:
            prices[machine][offer.region] = offer.on_demand.usd_per_hour
    compared = 0
    for (one, ours), (other, theirs) in itertools.combinations(prices.items(), 2):
        common = ours.keys() & theirs.keys() if one.provider == other.provider else ()
        shapes = [(m.accelerator, m.accelerator_count, m.vcpus, m.memory_gib) for m in (one, other)]
        if len(common) >= 3 and shapes[0] != shapes[1]:
            compared += 1
            assert any(ours[region] != theirs[region] for region in common), (one.name, other.name)
    assert compared > 4000


def test_memory_heavy_sizes_cost_more_than_their_light_twins():
    """RTX PRO 6000 machines of Azure: 1.16 × the price of the same size with less memory, in all 14 regions."""
    for size in ("NC144", "NC288"):
        regions = [region for _, region, name in PLACES if name == f"Standard_{size}ds_xl_RTXPRO6000BSE_v6"]
        assert len(regions) == 14
        for region in regions:
            heavy, light = (
                PLACES["azure", region, f"Standard_{size}{kind}_xl_RTXPRO6000BSE_v6"].on_demand.usd_per_hour
                for kind in ("ds", "lds")
            )
            assert heavy == pytest.approx(1.16 * light, rel=1e-3)


@pytest.mark.parametrize("size", ["NC144", "NC288"])
@pytest.mark.parametrize("region", ["northeurope", "swedencentral", "westeurope"])
def test_memory_heavy_sizes_cost_more_on_spot_and_under_savings_plans_too(size, region):
    """Azure's list prints the price of the light twin for NC288ds in every way of paying."""
    heavy, light = (PLACES["azure", region, f"Standard_{size}{kind}_xl_RTXPRO6000BSE_v6"] for kind in ("ds", "lds"))
    assert heavy.spot.usd_per_hour == pytest.approx(1.16 * light.spot.usd_per_hour, rel=1e-3)
    ours, theirs = (
        next(entry.usd_per_hour for entry in CATALOG.commitments(offer) if "avings" in entry.commitment.instrument)
        for offer in (heavy, light)
    )
    assert ours == pytest.approx(1.16 * theirs, rel=1e-3)


@pytest.mark.parametrize(
    ("region", "usd_per_hour"), [("ap-northeast-1", 4.87752), ("ap-northeast-2", 4.13478), ("eu-south-2", 3.54384)]
)
def test_an_unpriced_row_does_not_hide_an_older_price(region, usd_per_hour):
    """G7e was known to be sold there in August 2026, and is listed with prices of March."""
    price = PLACES["aws", region, "g7e.2xlarge"].on_demand
    assert (price.usd_per_hour, price.provenance.quality) == (usd_per_hour, Quality.LISTED)


def test_few_offers_of_aws_have_a_spot_price_alone():
    """P5e is sold in blocks of capacity, and no list of Osaka has on demand of G6e."""
    alone = [offer for offer in CATALOG.offers_in(["aws"]) if offer.spot and not offer.on_demand]
    assert Counter(offer.instance_type.partition(".")[0] for offer in alone) == {"g6e": 8, "p5e": 5}


def test_no_price_is_a_placeholder():
    """Neither 0 nor 700 stands for what is not known, in any zone either."""
    for offer in CATALOG.offers:
        for price in (offer.on_demand, offer.spot, offer.managed_price):
            if price is not None:
                assert all(0 < usd < 300 for usd in (price.usd_per_hour, *(price.zones_usd_per_hour or ())))


def test_spot_is_the_median_of_its_zones_and_at_most_on_demand():
    """Lowest ≤ median ≤ highest, and no zone asks more than paying by the hour."""
    ranges = [offer for offer in CATALOG.offers if offer.spot and offer.spot.zones_usd_per_hour]
    assert len(ranges) == 391
    assert {offer.provider for offer in ranges} == {"aws"}
    for offer in ranges:
        low, high = offer.spot.zones_usd_per_hour
        assert low <= offer.spot.usd_per_hour <= high
        assert offer.on_demand is None or high <= offer.on_demand.usd_per_hour
    apart = [high / low for low, high in (offer.spot.zones_usd_per_hour for offer in ranges)]
    assert max(apart) > 2


def test_prices_are_recent_or_say_their_age():
    """Of priced pairs at least 95 % have a listed price of the last 180 days, or a day that says how old it is."""
    priced = [offer for offer in CATALOG.offers_in(CLOUDS) if offer.on_demand]
    said = [first_day(offer.on_demand.provenance.as_of) for offer in priced]
    assert None not in said
    recent = [
        offer.on_demand.provenance.quality is Quality.LISTED and (TODAY - day).days <= RECENT_DAYS
        for offer, day in zip(priced, said, strict=True)
    ]
    by_provider = Counter(offer.provider for offer, is_recent in zip(priced, recent, strict=True) if is_recent)
    assert by_provider == {"azure": 1060, "gcp": 384, "aws": 128}


@pytest.mark.parametrize(("provider", "least"), [("aws", 0.90), ("gcp", 0.60)])
def test_zones_are_known_for_most_of_what_is_sold(provider, least):
    """Types are listed by zone for this share of the offers; the rest says that its zones are those of the region."""
    offers = CATALOG.offers_in([provider])
    verified = [CATALOG.zones(offer.provider, offer.region, offer.instance_type).verified for offer in offers]
    assert sum(verified) / len(verified) >= least


def test_no_zone_of_azure_is_said_to_be_known():
    """Azure names zones for a subscription alone: none is verified."""
    assert not any(
        CATALOG.zones("azure", one.region, one.instance_type).verified for one in CATALOG.offers_in(["azure"])
    )


@pytest.mark.parametrize(
    ("provider", "name", "regions"),
    [
        ("aws", "trn2.3xlarge", {"ap-south-2", "ap-southeast-4", "sa-east-1"}),
        ("gcp", "tpu7x-standard-1t", {"europe-west2", "us-central1", "us-east1"}),
        ("gcp", "tpu7x-standard-4t", {"europe-west2", "us-central1", "us-east1"}),
        ("azure", "Standard_NC8ads_A10_v4", {"southcentralus", "westeurope", "westus3"}),
        ("azure", "Standard_NCC40ads_H100_v5", {"centralus", "eastus2", "southcentralus", "westeurope"}),
    ],
)
def test_newer_types_are_sold(provider, name, regions):
    """Types that were once unknown, or known and sold nowhere."""
    assert {one.region for one in CATALOG.offers_in([provider]) if one.instance_type == name} == regions


def test_a_machine_of_one_gpu_costs_what_the_list_says_of_one():
    """Nebius prints one price for each H100, whatever the machine."""
    page = PLACES["nebius", "global", "H100-SXM on-demand 1x"].on_demand.usd_per_hour
    for name, count in (("gpu-h100-sxm_1gpu-16vcpu-200gb", 1), ("gpu-h100-sxm_8gpu-128vcpu-1600gb", 8)):
        assert PLACES["nebius", "eu-north1", name].price(Purchase.ON_DEMAND).usd_per_hour == pytest.approx(count * page)


@pytest.mark.parametrize(
    ("name", "gbit"),
    [("g7.2xlarge", 40), ("g7.4xlarge", 80), ("g7.8xlarge", 100), ("g7.12xlarge", 175), ("g7.48xlarge", 700)],
)
def test_networks_are_sustained_figures(name, gbit):
    """What EC2 calls the baseline, and not what bursts reach."""
    assert CATALOG.instance_type("aws", name).network_gbit_per_second == gbit


def test_fp4_peaks_are_dense():
    """HGX B300: 108 PFLOPS of eight without sparsity; the NVL72 rack: 1,080 of 72."""
    assert CATALOG.accelerator("B300").fp4_tflops == 108_000 / 8
    assert CATALOG.accelerator("GB300").fp4_tflops == 1_080_000 / 72
