"""Numbers as people read them."""

import pytest

from advisor.report.words import milliseconds


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [(0.5, "0.5 ms"), (35.04, "35 ms"), (999.4, "999 ms"), (999.6, "1 s"), (1000.0, "1 s"), (1240.0, "1.24 s")],
)
def test_latencies_have_three_digits_and_no_powers_of_ten(value_ms, words):
    """Just below a second is a second, and never 1e+03 ms."""
    assert milliseconds(value_ms) == words
