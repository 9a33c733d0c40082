"""Availability zones that types are sold in: what the shipped table says, and what is assumed where it says nothing."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.geography import read_zones, supply_of, zone_fault
from advisor.catalog.layers.merging import merge_snapshot
from advisor.catalog.readers import Sources
from advisor.catalog.refresh.values import Found, ZoneRow
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
    """AWS zones are ids of availability zones, Google's and IBM's begin with the region, Azure's are numbers."""
    prefixes = {}
    for row in ROWS:
        zones = row["zones"].split(";")
        assert zones == sorted(set(zones))
        for zone in zones:
            if row["provider"] == "aws":
                prefix, number = zone.rsplit("-az", 1)
                assert number.isdigit()
                prefixes.setdefault(row["region"], set()).add(prefix)
            elif row["provider"] in ("gcp", "ibm"):
                assert zone.startswith(f"{row['region']}-")
            else:
                assert zone in {"1", "2", "3"}
    assert all(len(found) == 1 for found in prefixes.values())
    assert "use1-atl2" not in prefixes["us-east-1"]


def test_no_offer_was_lost():
    """As many offers have their zones listed as were gathered; those of May 2023 say so."""
    verified = dict.fromkeys(("aws", "gcp", "azure", "ibm"), 0)
    old = 0
    for offer in CATALOG.offers_in():
        supply = CATALOG.zones(offer.provider, offer.region, offer.instance_type)
        assert supply.count >= 1
        assert supply.names == () or supply.count == len(supply.names)
        if supply.verified:
            verified[offer.provider] += 1
            old += supply.as_of == "2023-05-02"
    assert verified == {"aws": 1009, "gcp": 626, "azure": 0, "ibm": 4}
    assert old == 158


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
        (("gcp", "us-central1", "ct5l-hightpu-1t"), 4),
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
        "aws,us-east-1,p3.8xlarge,use1-az5,gcp-zones-skypilot,2026-03,listed",
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


NAMES = st.sets(st.sampled_from(["z1", "z2", "z3", "z4"]), min_size=1)
LISTED = st.dictionaries(
    st.tuples(
        st.sampled_from(["aws", "azure", "gcp"]), st.sampled_from(["r1", "r2"]), st.sampled_from(["*", "a", "b"])
    ),
    NAMES,
)


def zones_by_hand(listed, provider, region, name):
    """Zones of a type and whether they are verified, by looking at every listed place in turn; a number without names."""
    for place, zones in listed.items():
        if place == (provider, region, name):
            return zones, True
    for place, zones in listed.items():
        if place == (provider, region, "*"):
            return zones, False
    seen = [zone for place, zones in listed.items() for zone in zones if place[0] == provider and place[1] == region]
    return set(seen) or (1 if provider == "azure" else 3), False


@given(listed=LISTED, provider=st.sampled_from(["aws", "azure", "gcp"]), name=st.sampled_from(["a", "b", "c"]))
def test_zones_are_those_that_a_search_of_all_rows_finds(listed, provider, name):
    """Own row, else the region's, else all that were seen there, else the least that the provider promises."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sources.csv").write_text("source_id,title,licence,note\ns,S,,\n")
        lines = [
            f"{owner},{region},{one},{';'.join(sorted(zones))},s,2026-10,listed"
            for (owner, region, one), zones in listed.items()
        ]
        (Path(folder) / "zones.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        table = read_zones(Path(folder) / "zones.csv", Sources(Path(folder)))
    supply = supply_of(table, provider, "r1", name)
    expected, verified = zones_by_hand(listed, provider, "r1", name)
    assert supply.verified == verified
    assert supply.count == (expected if isinstance(expected, int) else len(expected))
    assert set(supply.names) == (set() if isinstance(expected, int) else expected)
    assert list(supply.names) == sorted(supply.names)


ROWS_READ = st.sets(
    st.builds(
        ZoneRow,
        region=st.sampled_from(["us-east-1", "us-west-2"]),
        instance_type=st.sampled_from(["g5.xlarge", "g6.xlarge", "g6.2xlarge"]),
        zone=st.sampled_from(["z1", "z2", "z3"]),
    )
)


@given(rows=ROWS_READ)
def test_a_snapshot_keeps_every_zone_that_was_read(rows):
    """Written grouped by zones and read back, each type has the zones of its rows, and no other type has any."""
    catalog = Catalog(CATALOG.directory).with_offers(())
    complete = frozenset({("us-east-1", "zones"), ("us-west-2", "zones")})
    tables = merge_snapshot(catalog, Found("aws", tuple(rows), complete, ()), "2026-11-26")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("zones.csv", "sources.csv"):
            (Path(folder) / name).write_text(tables[name])
        table = read_zones(Path(folder) / "zones.csv", Sources(Path(folder)))
    read = {
        (region, name, zone)
        for (_, region), supplies in table.items()
        for name, supply in supplies.items()
        for zone in supply.names
    }
    assert read == {(row.region, row.instance_type, row.zone) for row in rows}


def test_every_listed_zone_has_the_form_of_its_region():
    """AWS's are ids of the region, whatever an account calls them; Google's begin with the region."""
    for row in ROWS:
        for zone in filter(None, row["zones"].split(";")):
            assert zone_fault(row["provider"], row["region"], zone) == ""


@pytest.mark.parametrize(
    ("provider", "region", "zone"),
    [
        ("aws", "us-east-1", "us-east-1a"), ("aws", "us-east-1", "usw2-az1"), ("gcp", "us-central1", "us-east1-b"),
        ("azure", "eastus", "eastus-1"), ("nebius", "eu-north1", "$(x)"), ("lambda", "us-east-1", "a\nb"),
    ],
)  # fmt: skip
def test_what_is_no_zone_of_a_region_is_told(provider, region, zone):
    """The name that an account has for a zone, a zone elsewhere, and what is no name."""
    assert f"{zone!r} is not a zone of {region}" in zone_fault(provider, region, zone)
