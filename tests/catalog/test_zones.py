"""Availability zones that types are sold in: what the shipped table says, and what is assumed where it says nothing."""

import shutil

import pytest

from advisor.catalog import Catalog, load_catalog
from advisor.tables import read_rows

CATALOG = load_catalog()
ROWS = list(read_rows(CATALOG.directory / "zones.csv"))
HEADER = "provider,region,instance_types,zones,source,as_of,quality"


def types(row):
    """Instance types of a row, `*` for the region's own row."""
    return row["instance_types"].split(";")


@pytest.fixture
def catalog_of(tmp_path):
    """A catalog whose zones are these lines alone."""

    def make(*lines):
        directory = tmp_path / "catalog"
        shutil.copytree(CATALOG.directory, directory)
        (directory / "zones.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        return Catalog(directory)

    return make


def test_every_type_is_listed_once_in_a_region():
    """No two rows speak of the same type of a region, and none is named that the catalog does not have."""
    places = [(row["provider"], row["region"], name) for row in ROWS for name in types(row)]
    assert len(places) == len(set(places))
    for provider, region, name in places:
        assert (provider, region) in CATALOG.regions
        assert name == "*" or (provider, name) in CATALOG.instance_types


def test_zones_belong_to_their_region():
    """AWS zones are ids of availability zones, Google's begin with the region, Azure's are numbers."""
    prefixes = {}
    for row in ROWS:
        zones = row["zones"].split(";")
        assert zones == sorted(set(zones))
        for zone in zones:
            if row["provider"] == "aws":
                prefix, number = zone.rsplit("-az", 1)
                assert number.isdigit()
                prefixes.setdefault(row["region"], set()).add(prefix)
            elif row["provider"] == "gcp":
                assert zone.startswith(f"{row['region']}-")
            else:
                assert zone in {"1", "2", "3"}
    assert all(len(found) == 1 for found in prefixes.values())
    assert "use1-atl2" not in prefixes["us-east-1"]


def test_no_offer_was_lost():
    """As many offers have their zones listed as were gathered; those of May 2023 say so."""
    verified = dict.fromkeys(("aws", "gcp", "azure"), 0)
    old = 0
    for offer in CATALOG.offers:
        supply = CATALOG.zones(offer.provider, offer.region, offer.instance_type)
        assert supply.count >= 1
        assert supply.names == () or supply.count == len(supply.names)
        if supply.verified:
            verified[offer.provider] += 1
            old += supply.as_of == "2023-05-02"
    assert verified == {"aws": 974, "gcp": 391, "azure": 0}
    assert old == 214


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (("aws", "us-east-1", "p6-b200.48xlarge"), ("use1-az6",)),
        (("aws", "us-west-1", "g4dn.xlarge"), ("usw1-az1", "usw1-az3")),
        (("gcp", "us-central1", "ct6e-standard-8t"), ("us-central1-b",)),
        (("gcp", "us-south1", "ct6e-standard-8t"), ("us-south1-ai1b",)),
    ],
)
def test_listed_zones_are_verified(place, names):
    """A listed type has the zones of its row; an AI zone counts only where no ordinary zone sells the type."""
    supply = CATALOG.zones(*place)
    assert supply.names == names
    assert supply.count == len(names)
    assert supply.verified
    assert supply.source
    assert supply.as_of >= "2025"


@pytest.mark.parametrize(
    ("place", "count"),
    [
        (("azure", "eastus", "Standard_NC24ads_A100_v4"), 3),
        (("azure", "westus", "Standard_NC24ads_A100_v4"), 1),
        (("gcp", "us-central1", "g4-standard-48"), 4),
        (("gcp", "europe-north2", "a3-ultragpu-8g"), 3),
        (("aws", "mx-central-1", "g5.xlarge"), 3),
        (("aws", "cn-north-1", "g5.xlarge"), 2),
        (("lambda", "global", "a10-1x"), 1),
        (("nobody", "nowhere", "nothing"), 1),
    ],
)
def test_zones_of_the_region_are_assumed_where_the_type_is_not_listed(place, count):
    """What is not listed has the region's zones, said to be unverified."""
    supply = CATALOG.zones(*place)
    assert supply.count == count
    assert not supply.verified
    assert supply.source


def test_zones_seen_for_other_types_are_assumed(catalog_of):
    """A region without a row of its own has every zone that any type is listed in, as of its newest list."""
    catalog = catalog_of(
        "aws,us-east-1,g5.xlarge;g5.2xlarge,use1-az1;use1-az2,aws-zones-ec2,2026-10-27,listed",
        "aws,us-east-1,p3.8xlarge,use1-az5,aws-zones-skypilot,2026-03,listed",
    )
    supply = catalog.zones("aws", "us-east-1", "g6.xlarge")
    assert supply.names == ("use1-az1", "use1-az2", "use1-az5")
    assert supply.as_of == "2026-10-27"
    assert not supply.verified
    assert catalog.zones("aws", "us-east-1", "p3.8xlarge").names == ("use1-az5",)


def test_the_regions_own_row_counts_before_zones_that_were_seen(catalog_of):
    """The row of the region names zones that no accelerated type is listed in, and leaves out those that only one has."""
    catalog = catalog_of(
        "gcp,us-central1,*,us-central1-a;us-central1-b,gcp-region-zones,2024-11-21,community",
        "gcp,us-central1,ct6e-standard-1t,us-central1-ai1,gcp-zones-tpu,2025,listed",
    )
    assert catalog.zones("gcp", "us-central1", "g2-standard-4").names == ("us-central1-a", "us-central1-b")
    assert catalog.zones("gcp", "us-central1", "ct6e-standard-1t").count == 1


def test_the_content_hash_covers_the_zones(catalog_of):
    """Other zones are another catalog."""
    catalog = catalog_of("aws,us-east-1,g5.xlarge,use1-az1,aws-zones-ec2,2026-10-27,listed")
    assert catalog.content_hash != CATALOG.content_hash
