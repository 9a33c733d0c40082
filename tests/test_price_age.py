"""How old a price is that has only a month or a year."""

import datetime as dt

import pytest

from advisor.catalog.price_trust import first_day, trust
from advisor.catalog.values import Price, Provenance, Purchase, Quality
from advisor.cli.served import tell_age, warn_of_layers
from advisor.errors import InputError
from advisor.report.price_age import (
    PriceUsed,
    age_sentence,
    age_words,
    check_age,
    is_old,
    oldest_of,
    refresh_hint,
)

TODAY = dt.date(2026, 11, 26)


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2026-11-20", "6 days old (2026-11-20)"),
        ("2026-11-25", "1 day old (2026-11-25)"),
        ("2026-11", "up to 25 days old (2026-11)"),
        ("2025", "up to 694 days old (2025)"),
        ("2026-11-27", "0 days old (2026-11-27)"),
        ("2027-01-01", "of 2027-01-01, after today by this machine's clock (2026-11-26): its age is unknown"),
        ("", "of unknown date"),
        ("last year", "of unknown date"),
        ("2026-13", "of unknown date"),
    ],
)
def test_age_is_the_most_that_a_date_may_mean(as_of, words):
    """A month counts from its first day: a price is never called younger than it may be."""
    assert age_words(as_of, TODAY) == words


def test_first_day_of_a_day_is_itself():
    """No rounding where nothing is missing."""
    assert first_day("2026-02-28") == dt.date(2026, 2, 28)


NEW, OLD, UNDATED = (
    PriceUsed("aws", "g6.xlarge", "us-east-1", "2026-11-20"),
    PriceUsed("ibm", "gx3d-gaudi3", "eu-de", "2025"),
    PriceUsed("gcp", "g2-standard-4", "us-central1", ""),
)


def test_oldest_price_is_named_with_its_age_and_what_brings_a_new_one():
    """A price without a date is older than all; of none there is none."""
    assert oldest_of([NEW, OLD]) == OLD
    assert oldest_of([NEW, OLD, UNDATED]) == UNDATED
    assert oldest_of([]) is None
    assert age_sentence(NEW, TODAY) == "the oldest price used, of g6.xlarge in us-east-1, is 6 days old (2026-11-20)"
    assert [is_old(one, TODAY) for one in (NEW, OLD, UNDATED)] == [False, True, True]
    assert refresh_hint("aws") == "`advisor catalog refresh aws` asks for today's"
    assert "import-gpuhunt" in refresh_hint("nebius")
    assert "private_offers" in refresh_hint("ibm")


def test_a_limit_refuses_older_prices_and_those_without_a_date():
    """The message names the price and the limit."""
    check_age([NEW], TODAY, 6)
    with pytest.raises(InputError, match="of gx3d-gaudi3 in eu-de is up to 694 days old"):
        check_age([NEW, OLD], TODAY, 180)
    with pytest.raises(InputError, match="of unknown date"):
        check_age([UNDATED], TODAY, 10_000)


AHEAD = PriceUsed("aws", "g6.xlarge", "us-east-1", "2100-01-01")


def test_a_price_from_the_future_is_never_fresh():
    """It is called by its date, warned of, refused under any limit, and decides nothing by itself."""
    assert is_old(AHEAD, TODAY)
    assert AHEAD.age_days(TODAY) is None
    with pytest.raises(InputError, match="of 2100-01-01, after today by this machine's clock"):
        check_age([AHEAD], TODAY, 10_000)
    provenance = Provenance(source="a", as_of="2100-01-01", quality=Quality.LISTED)
    assert trust(Price(1.0, provenance), Purchase.ON_DEMAND, TODAY).reason == "of 2100-01-01, years after 2026-11-26"


def test_a_price_from_the_future_is_named_before_the_oldest(capsys):
    """Beside old prices, and with a clock of 1970, where every date is yet to come."""
    tell_age([OLD, AHEAD])
    assert (
        "warning: the oldest price used, of g6.xlarge in us-east-1, is of 2100-01-01, after today"
        in capsys.readouterr().err
    )


def test_a_clock_that_is_behind_the_catalog_is_said(monkeypatch, capsys):
    """With both dates: one of them is wrong."""

    class Past(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr("advisor.cli.served.datetime", Past)
    warn_of_layers()
    said = capsys.readouterr().err
    assert "warning: the newest price of the catalog is of 20" in said
    assert "after today by this machine's clock (1970-01-01)" in said
    tell_age([NEW])
    assert "is of 2026-11-20, after today by this machine's clock (1970-01-01)" in capsys.readouterr().err
