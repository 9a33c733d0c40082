"""Spans of time on the command line."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.units import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1s", 1), ("1.5s", 1.5), ("2m", 120), ("10 m", 600), ("1.5h", 5400), ("14d", 14 * 86_400)],
)
def test_a_number_and_its_unit(text, seconds):
    """Milliseconds to days, whole or with a fraction."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "s", "-1s", "1w", "1e3s", "nan s", "1s2m", "0s", "0.0001ms", "99999999d", "s1"]
)
def test_anything_else_is_refused(text):
    """No unit, no number, a sign, no time at all, or more than ten years: refused with what was written."""
    with pytest.raises(ValueError, match=r"is no|is longer"):
        parse_duration(text)


@given(st.integers(1, 10**10))
def test_what_is_printed_can_be_read_back(milliseconds):
    """A printed span is the same span when it is read."""
    span = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(span)) == span
