"""Which prices may decide by themselves, and how wrong the others may be."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.price_trust import first_day, trust
from advisor.catalog.values import Price, Provenance, Purchase, Quality

TODAY = dt.date(2026, 11, 27)


def price(as_of, quality=Quality.LISTED):
    """A price of a date and a quality."""
    return Price(1.0, Provenance("a list", as_of, quality))


@pytest.mark.parametrize(
    ("as_of", "purchase", "listed"),
    [
        ("2026-11-27", Purchase.ON_DEMAND, True),
        ("2026-08-29", Purchase.ON_DEMAND, True),
        ("2026-08-28", Purchase.ON_DEMAND, False),
        ("2026-09", Purchase.MANAGED, True),
        ("2026-08", Purchase.MANAGED, False),
        ("2026-10-28", Purchase.SPOT, True),
        ("2026-10-27", Purchase.SPOT, False),
        ("2026-11", Purchase.SPOT, True),
        ("2026", Purchase.ON_DEMAND, False),
        ("2027-02-01", Purchase.SPOT, True),
        ("", Purchase.ON_DEMAND, False),
        ("2026-03/2026-05", Purchase.ON_DEMAND, False),
        ("2026 (undated)", Purchase.ON_DEMAND, False),
    ],
)
def test_listed_prices_are_trusted_for_ninety_days_and_spot_for_thirty(as_of, purchase, listed):
    """A month or a year counts from its first day; no readable date is no trust."""
    found = trust(price(as_of), purchase, TODAY)
    assert found.listed is listed
    assert (found.reason == "") is listed


@pytest.mark.parametrize(
    ("quality", "listed"),
    [
        (Quality.LISTED, True),
        (Quality.COMMUNITY, True),
        (Quality.DERIVED, False),
        (Quality.RECALLED, False),
        (Quality.STALE, False),
    ],
)
def test_what_no_source_states_is_not_trusted_however_new(quality, listed):
    """Derived, recalled and changed prices never decide by themselves."""
    assert trust(price("2026-11-27", quality), Purchase.ON_DEMAND, TODAY).listed is listed


def test_a_commitment_is_derived_by_its_nature():
    """On demand less a discount is how it is sold; its age and a recalled discount are doubts as of any price."""
    assert trust(price("2026-11-01", Quality.DERIVED), Purchase.COMMITMENT, TODAY).listed
    assert not trust(price("2025-04-04", Quality.DERIVED), Purchase.COMMITMENT, TODAY).listed
    assert not trust(price("2026-11-01", Quality.RECALLED), Purchase.COMMITMENT, TODAY).listed


def test_bounds_are_those_that_were_measured():
    """Spot by AWS's spot, list prices by age, recalled ones by the wider of both sides."""

    def bounds(as_of, purchase=Purchase.ON_DEMAND, quality=Quality.LISTED):
        found = trust(price(as_of, quality), purchase, TODAY)
        return found.low_ratio, found.high_ratio

    assert bounds("2026-11-01") == (1.0, 1.0)
    assert bounds("2026-06-18") == (0.81, 1.0)
    assert bounds("2025-04-04") == (0.69, 1.0)
    assert bounds("2026-11-01", quality=Quality.DERIVED) == (0.81, 1.0)
    assert bounds("2025-04-04", quality=Quality.DERIVED) == (0.69, 1.0)
    assert bounds("2026-11-24", quality=Quality.RECALLED) == (0.69, 1.3)
    assert bounds("2025-06-28", Purchase.SPOT, Quality.DERIVED) == (0.36, 2.04)
    assert bounds("2026-08-06", Purchase.SPOT) == (0.36, 2.04)
    assert bounds("2026-11-24", quality=Quality.WITHDRAWN) == (0.69, 1.3)


def test_bounds_of_spot_hold_what_every_zone_asks():
    """A price of today is listed, and not certain where zones differ; that of last year has the wider of both."""

    def judged(as_of, low, high):
        return trust(Price(1.0, Provenance("a list", as_of, Quality.LISTED), (low, high)), Purchase.SPOT, TODAY)

    new = judged("2026-11-27", 0.8, 3.0)
    assert (new.listed, new.certain, new.low_ratio, new.high_ratio) == (True, False, 0.8, 3.0)
    assert new.reason == "$0.80 to $3.00 by zone"
    alike = judged("2026-11-27", 0.97, 1.04)
    assert (alike.listed, alike.certain, alike.low_ratio, alike.high_ratio) == (True, True, 1.0, 1.0)
    old = judged("2026-03", 0.8, 3.0)
    assert (old.listed, old.low_ratio, old.high_ratio) == (False, 0.36, 3.0)
    assert old.reason == "of 2026-03, older than 30 days; $0.80 to $3.00 by zone"


def test_reasons_are_said_in_words():
    """Every ground, with the date and the limit."""
    found = trust(price("2025-06-28", Quality.DERIVED), Purchase.SPOT, TODAY)
    assert found.reason == "derived from other prices; of 2025-06-28, older than 30 days"
    assert trust(price(""), Purchase.ON_DEMAND, TODAY).reason == "without a date"


@given(
    day=st.dates(dt.date(2020, 1, 1), TODAY),
    quality=st.sampled_from(sorted(set(Quality) - {Quality.UNPRICED})),
    purchase=st.sampled_from(sorted(Purchase)),
    earlier_days=st.integers(0, 900),
)
def test_an_older_price_is_never_trusted_more(day, quality, purchase, earlier_days):
    """Age widens the bounds or leaves them, and they always hold the price itself."""
    newer = trust(price(f"{day}", quality), purchase, TODAY)
    older = trust(price(f"{day - dt.timedelta(earlier_days)}", quality), purchase, TODAY)
    assert newer.listed or not older.listed
    assert older.low_ratio <= newer.low_ratio <= 1 <= newer.high_ratio <= older.high_ratio
    assert newer.listed == (newer.low_ratio == newer.high_ratio == 1)


@given(day=st.dates(dt.date(2020, 1, 1), dt.date(2027, 12, 31)))
def test_a_vague_date_is_never_younger_than_a_day_in_it(day):
    """Of a month or a year the first day counts."""
    assert first_day(f"{day:%Y}") <= first_day(f"{day:%Y-%m}") <= first_day(f"{day:%Y-%m-%d}") == day
