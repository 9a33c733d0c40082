"""Where regions and users are, and how far from each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.geography import great_circle_km
from advisor.catalog.values import Quality
from advisor.errors import InputError
from advisor.tables import read_rows

CATALOG = load_catalog()
NO_POSITION = {key for key in CATALOG.regions if key[1] == "global"}
"""Providers that print no region."""
PLACED = sorted(key for key in CATALOG.regions if key not in NO_POSITION)
SLOWER_THAN_LIGHT_KM_PER_MS = 300
PLACES = st.sampled_from(sorted(CATALOG.geography.places)).map(CATALOG.geography.place)


def point(position):
    """Latitude and longitude of a region or a place."""
    return position.latitude_degrees, position.longitude_degrees


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("US-east", "US-east"), ("us east", "US-east"), ("New York", "US-east"), ("DE", "DE"), ("germany", "DE"),
        ("Frankfurt", "DE"), ("NA", "NA"), ("Namibia", "NA"), ("mumbai", "IN-west"), ("Ashburn", "Ashburn"),
    ],
)  # fmt: skip
def test_a_place_by_any_of_its_names(given_name, name):
    """Name, country, code and city all lead to the place, and a city of a region is one by itself."""
    assert CATALOG.geography.place(given_name).name == name


def test_namibia_is_no_missing_value():
    """The code NA is a country in the south of Africa."""
    place = CATALOG.geography.place("NA")
    assert (place.country_iso2, place.title) == ("NA", "Namibia")
    assert -30 < place.latitude_degrees < -15


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("US", "too large to be one place", "US-central, US-east, US-south, US-west"),
        ("India", "too large to be one place", "IN-north, IN-south, IN-west"),
        ("Brasil", "unknown place: 'Brasil'", "Brazil"),
        ("us-est", "unknown place", "US-east"),
    ],
)
def test_a_place_that_is_none_is_an_error_with_the_nearest(name, message, hint):
    """A country of several places lists them, and a misspelling brings what was meant."""
    with pytest.raises(InputError, match=message) as caught:
        CATALOG.geography.place(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("provider", "one", "other", "rtt_ms", "quality"),
    [
        ("azure", "eastus", "westeurope", 85.0, Quality.LISTED),
        ("aws", "us-east-1", "eu-central-1", 85.6, Quality.LISTED),
        ("aws", "af-south-1", "ap-east-1", 382.9, Quality.LISTED),
        ("aws", "ap-southeast-7", "us-east-1", 251, Quality.DERIVED),
        ("aws", "us-east-1", "us-east-1", 0, Quality.DERIVED),
    ],
)
def test_between_regions(provider, one, other, rtt_ms, quality):
    """Measured regions are listed; the rest is derived."""
    latency = CATALOG.geography.between_regions(provider, one, other)
    assert latency.rtt_ms == pytest.approx(rtt_ms, abs=1)
    assert latency.provenance.quality is quality
    assert CATALOG.geography.between_regions(provider, other, one) == latency


@given(PLACES, st.sampled_from(PLACED))
def test_users_of_every_place_reach_every_region(place, region):
    """From each place to each region there is an estimate, marked as such, slower than light and under half a second."""
    latency = CATALOG.geography.from_place(place, *region)
    there_and_back_km = 2 * great_circle_km(point(place), point(CATALOG.regions[region]))
    assert latency.provenance.quality is Quality.DERIVED
    assert there_and_back_km / SLOWER_THAN_LIGHT_KM_PER_MS <= latency.rtt_ms < 500


@given(st.sampled_from(PLACED), st.sampled_from(PLACED))
def test_every_pair_of_regions_of_a_provider_is_known_both_ways(one, other):
    """Between two regions with a position there is always a round trip, equal in both directions."""
    if one[0] == other[0]:
        latency = CATALOG.geography.between_regions(*one, other[1])
        assert latency.rtt_ms >= 0
        assert CATALOG.geography.between_regions(*other, one[1]) == latency


def test_where_nothing_is_known_nothing_is_guessed():
    """A region without a position has no round trip, to users or to other regions."""
    assert CATALOG.geography.from_place(CATALOG.geography.place("DE"), "nebius", "global") is None
    assert CATALOG.geography.between_regions("nebius", "global", "eu-north1") is None


def test_every_region_that_sells_at_a_known_price_has_a_position():
    """Of all priced offers only those of a provider that prints no region are nowhere."""
    sold = {(offer.provider, offer.region) for offer in CATALOG.offers if offer.on_demand or offer.spot}
    nowhere = {key for key in sold if CATALOG.regions[key].latitude_degrees is None}
    assert nowhere == NO_POSITION


def test_users_are_nearest_to_the_region_of_their_city():
    """From Frankfurt, eu-central-1 is nearer than any other region of AWS, and from Mumbai ap-south-1."""
    for name, nearest in {"Frankfurt": "eu-central-1", "Mumbai": "ap-south-1", "US-west": "us-west-1"}.items():
        rtt = {
            region: CATALOG.geography.from_place(CATALOG.geography.place(name), "aws", region)
            for region in CATALOG.regions_of("aws")
        }
        assert min(rtt, key=lambda region: rtt[region].rtt_ms) == nearest


def test_measured_pairs_are_of_known_regions_and_stand_once():
    """Regions of each pair are in the catalog, the first in alphabetical order, and 58 old pairs are at most suspect."""
    suspect = 0
    for row in read_rows(CATALOG.directory / "region_latency.csv"):
        assert row["region"] < row["other_region"]
        for column in ("region", "other_region"):
            assert (row["provider"], row[column]) in CATALOG.regions
        assert 0 < float(row["rtt_ms"]) < 500
        suspect += row["suspect"] == "yes"
        assert row["suspect"] == "no" or row["as_of"].startswith("2020-")
    assert 0 < suspect <= 58
