"""How old a price is that has only a month or a year."""

import datetime as dt

import pytest

from advisor.report.price_age import age_words, first_day

TODAY = dt.date(2026, 11, 26)


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2026-11-20", "6 days old (2026-11-20)"),
        ("2026-11", "up to 25 days old (2026-11)"),
        ("2025", "up to 694 days old (2025)"),
        ("2027-01-01", "0 days old (2027-01-01)"),
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
