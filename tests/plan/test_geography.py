"""Where users are, where requests may go, and what the network takes from the targets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.plan.geography import (
    ANYWHERE,
    EU,
    LAST_MILE_MS,
    LEVELS_MS,
    check_residency,
    geography,
    level_ms,
    network_shortfall,
    residency_shortfall,
    slo_after_network,
)
from advisor.workload.values import Slo
from builders import catalog_of, workload

CATALOG = load_catalog()
FRANKFURT, VIRGINIA, LONDON = ("aws", "eu-central-1"), ("aws", "us-east-1"), ("aws", "eu-west-2")


@given(st.floats(0, 2000))
def test_levels_are_never_shorter_than_the_network(rtt_ms):
    """A round trip is rounded up, to one of few steps."""
    assert level_ms(rtt_ms) >= rtt_ms
    assert level_ms(rtt_ms) in LEVELS_MS or level_ms(rtt_ms) % 100 == 0


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_levels_keep_the_order_of_distances(one, other):
    """The further of two is never at the lower level."""
    near, far = sorted((one, other))

    assert level_ms(near) <= level_ms(far)


def test_users_who_are_not_named_are_anywhere():
    """Without users no network is counted, in any region."""
    found = geography(workload(), CATALOG, [FRANKFURT, VIRGINIA])

    assert (found.places, found.shares) == ((ANYWHERE,), (1.0,))
    assert found.network_ms == {FRANKFURT: (0.0,), VIRGINIA: (0.0,)}
    assert found.notes == ()


def test_distance_is_in_the_levels():
    """For Germans Frankfurt is nearer than Virginia, for New York it is the other way round; the last mile is in both."""
    users = (("DE", 0.75), ("US-east", 0.25))
    found = geography(workload(users=users), CATALOG, [FRANKFURT, VIRGINIA])
    frankfurt, virginia = found.network_ms[FRANKFURT], found.network_ms[VIRGINIA]

    assert (found.places, found.shares) == (("DE", "US-east"), (0.75, 0.25))
    assert LAST_MILE_MS < frankfurt[0] < virginia[0]
    assert LAST_MILE_MS < virginia[1] < frankfurt[1]
    assert found.levels_ms == tuple(sorted({*frankfurt, *virginia}))
    assert "last mile" in found.notes[0]


def test_two_names_of_one_place_are_one():
    """Shares of a place that is named twice add up, so that all of them still sum to one."""
    found = geography(workload(users=(("US-east", 0.5), ("New York", 0.2), ("FR", 0.3))), CATALOG, [VIRGINIA])

    assert dict(zip(found.places, found.shares, strict=True)) == pytest.approx({"US-east": 0.7, "FR": 0.3})


def test_an_unknown_place_is_refused_at_its_line():
    """A place that no table knows is an error with its line and the nearest names."""
    with pytest.raises(InputError) as caught:
        geography(workload(users=(("US-eats", 1.0),), lines={"users.US-eats": 12}), CATALOG, [VIRGINIA])

    assert caught.value.where == "workload.yaml:12: users.US-eats"
    assert "US-east" in caught.value.hint


def test_the_network_takes_from_the_first_token_and_the_whole_answer():
    """One round trip comes off TTFT and end to end; tokens that follow each other lose nothing."""
    left = slo_after_network(Slo(ttft_p95_ms=500, tpot_p95_ms=40, e2e_p95_ms=9000, within_ratio=0.98), 150)

    assert left == Slo(ttft_p95_ms=350, tpot_p95_ms=40, e2e_p95_ms=8850, within_ratio=0.98)
    assert slo_after_network(Slo(tpot_p95_ms=40), 150) == Slo(tpot_p95_ms=40)


@pytest.mark.parametrize(
    ("slo", "network_ms", "numbers"),
    [
        (Slo(ttft_p95_ms=100), 100.0, (100.0, 100)),
        (Slo(ttft_p95_ms=300, e2e_p95_ms=150), 200.0, (200.0, 150)),
        (Slo(ttft_p95_ms=100), math.inf, ("a known round trip", None)),
        (Slo(tpot_p95_ms=10), 300.0, None),
        (Slo(ttft_p95_ms=101), 100.0, None),
    ],
)
def test_a_target_that_the_network_uses_up_is_told_with_both_numbers(slo, network_ms, numbers):
    """A region is too far when nothing of a target is left, or when its distance is not known."""
    found = network_shortfall("AU", "eu-central-1", slo, network_ms)

    assert (found and (found.needed, found.available)) == numbers
    assert found is None or found.code == "network"


@pytest.mark.parametrize(
    ("residency", "allowed"),
    [
        ((), {FRANKFURT, VIRGINIA, LONDON}),
        (("EU",), {FRANKFURT}),
        (("eea",), {FRANKFURT}),
        (("Europe",), {FRANKFURT, LONDON}),
        (("de", "US"), {FRANKFURT, VIRGINIA}),
        (("UK",), {LONDON}),
        (("North America",), {VIRGINIA}),
    ],
)
def test_requests_stay_where_they_may(residency, allowed):
    """Countries, continents and the European Union select regions; the United Kingdom is in Europe, not in the EU."""
    check_residency(workload(residency=residency), CATALOG)
    found = {
        key for key in (FRANKFURT, VIRGINIA, LONDON) if residency_shortfall(CATALOG.regions[key], residency) is None
    }

    assert found == allowed


def test_na_is_namibia():
    """The code NA selects no region in North America."""
    assert residency_shortfall(CATALOG.regions[VIRGINIA], ("NA",)) is not None


def test_residency_is_rejected_in_words():
    """The rejection names the country and what was allowed."""
    found = residency_shortfall(CATALOG.regions[VIRGINIA], ("EU",))

    assert (found.code, found.needed, found.available) == ("residency", "EU", "US")
    assert "requests stay in EU" in found.reason


def test_every_region_is_near_or_far_from_everywhere_or_known_to_be_nowhere():
    """Each region with a position has a distance to each place, and one without a country is in no residency."""
    users = tuple((name, 1 / len(CATALOG.geography.places)) for name in CATALOG.geography.places)
    found = geography(workload(users=users), catalog_of(), list(CATALOG.regions))

    assert sum(found.shares) == pytest.approx(1)
    for key, region in CATALOG.regions.items():
        assert all(map(math.isfinite, found.network_ms[key])) == (region.latitude_degrees is not None)
        if not region.country_iso2:
            assert residency_shortfall(region, ("EU", "US")) is not None


def test_an_unknown_residency_is_refused():
    """A country or continent that does not exist is an error with the nearest names."""
    with pytest.raises(InputError) as caught:
        check_residency(workload(residency=("EU", "Europa")), CATALOG)

    assert caught.value.where == "workload.yaml: residency[1]"
    assert "Europe" in caught.value.hint
    assert len(EU) == 27
