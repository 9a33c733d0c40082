"""Units are what their names say, and numbers are told in the digits that people read."""

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import units

DEFINITIONS = {
    "BYTES_PER_KIB": 2**10, "BYTES_PER_MIB": 2**20, "BYTES_PER_GIB": 2**30, "BYTES_PER_MB": 10**6, "BYTES_PER_GB": 10**9,
    "FLOP_PER_TFLOP": 10**12, "BITS_PER_BYTE": 8, "TOKENS_PER_MILLION": 10**6, "GRAMS_PER_KG": 10**3, "WATTS_PER_KW": 10**3,
    "MS_PER_SECOND": 10**3, "MICROSECONDS_PER_MS": 10**3, "NANOSECONDS_PER_MS": 10**6, "A_CENT": 0.01,
    "SECONDS_PER_MINUTE": dt.timedelta(minutes=1).total_seconds(), "SECONDS_PER_HOUR": dt.timedelta(hours=1).total_seconds(),
    "SECONDS_PER_DAY": dt.timedelta(days=1).total_seconds(), "MINUTES_PER_HOUR": dt.timedelta(hours=1) / dt.timedelta(minutes=1),
    "HOURS_PER_DAY": dt.timedelta(days=1) / dt.timedelta(hours=1), "HOURS_PER_WEEK": dt.timedelta(weeks=1) / dt.timedelta(hours=1),
    "LONGEST_MONTH_HOURS": dt.timedelta(days=31) / dt.timedelta(hours=1), "DAYS_PER_YEAR": 365,
    "HOURS_PER_MONTH": dt.timedelta(days=365) / dt.timedelta(hours=1) / 12, "DAYS_PER_MONTH": float(Fraction(365, 12)),
    "SECONDS_PER_MONTH": dt.timedelta(days=365).total_seconds() / 12,
}  # fmt: skip
WORDS = {
    units.size_words: {
        0.0: "0 B", 9.3e-10: "1 B", 1023 / 2**30: "1,023 B", 1 / 2**20: "1 KiB", 0.99 / 2**10: "1,010 KiB", 1 / 2**10: "1 MiB",
        0.001787: "1.83 MiB", 0.9999: "1,020 MiB", 1.0: "1 GiB", 34.62: "34.6 GiB", 2345.0: "2,340 GiB",
    },
    units.ratio_words: {0.0: "0%", 1e-6: "less than 0.01%", 0.0001: "0.01%", 0.9998: "99.98%", 0.99999: "99.99%", 1.0: "100%", 0.07: "7%"},
    units.kept_words: {0.9977: "99.8%", 0.999575: "99.95%", 0.99999: "99.99%", 1.0: "100.0%"},
    units.rounded: {0.2561: "0.256", 51.23: "51.2", 999.4: "999", 999.5: "1,000", -2000.4: "-2,000", 0: "0",
        5.595: "5.6", 5.595 + 1e-15: "5.6", 5.594: "5.59"},
    units.times_words: {1.179: "1.17", 4.0: "4", 0.999: "0.99"},
    units.span_words: {
        0.4: "0 seconds", 1: "1 second", 59: "59 seconds", 60: "1 minute", 119: "119 seconds", 120: "2 minutes", 3600: "1 hour",
        7199: "119 minutes", 7200: "2 hours", 86_400: "1 day", 172_799: "47 hours", 172_800: "2 days", 259_199: "2 days",
    },
    units.milliseconds: {35: "35 ms", 999.4: "999 ms", 999.5: "1 s", 1234: "1.23 s", 1_050_000: "1050 s"},
    units.usd: {1234.5: "$1,234.50", 100.375: "$100.38", -0.5: "-$0.50", 0.0: "$0.00", -0.004: "$0.00"},
    units.price_usd: {
        1.8: "$1.80", 1.212: "$1.212", 98.32174: "$98.32", 1200: "$1,200.00", 0.526: "$0.526", 0.00481234: "$0.004812",
        0.0: "$0.00", 1e308: "$1e+308",
    },
    units.unit_usd: {
        1234.5: "1,234.50", 0.25: "0.25", 0.1: "0.10", 0.0999: "0.0999", 0.002134: "0.00213", 0: "0.00", -3.0: "-3.00",
        0.010: "0.0100",
    },
    units.to_cents: {100.375: 100.38, 486.865: 486.87, 100.37499999999999: 100.38, -0.125: -0.13, 1e300: 1e300},
    units.rounded_up: {591.01: 592.0, 592.0: 592.0, 0.12341: 0.124, 12_345.0: 12_400.0, 1.0000000000001: 1.0},
    units.whole_minutes: {0.0: 0, 59.0: 1, 60.0: 1, 60.5: 2, 581.4: 10},
    units.three_digits: {0.25: "0.25", 34.62: "34.6", 999.4: "999", 999.5: "1000", 1049: "1050"},
}  # fmt: skip


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_constant_is_what_its_name_says(name):
    """Each is the ratio of two units, from their definitions."""
    assert getattr(units, name) == pytest.approx(DEFINITIONS[name], rel=1e-15)


@pytest.mark.parametrize(
    ("words", "value", "told"),
    [(words, value, told) for words, table in WORDS.items() for value, told in table.items()],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_a_number_is_told_in_the_digits_that_people_read(words, value, told):
    """Three significant digits, no powers of ten, and shares and multiples rounded down."""
    assert words(value) == told


@given(size_gib=st.floats(0, 1e9))
def test_bytes_and_gib_are_each_others_inverse(size_gib):
    """A size there and back is the same."""
    assert units.bytes_to_gib(units.gib_to_bytes(size_gib)) == size_gib


@given(value=st.floats(1e-12, 1e12))
def test_a_figure_keeps_three_significant_digits(value):
    """What is rounded away is less than half of the third digit."""
    assert units.significant(value) == pytest.approx(value, rel=5.01e-3)
