"""Numbers as people read them."""

import re
from pathlib import Path

import pytest

import advisor
from advisor.report.words import CODE_WORDS, paid_words, payback_words, short_words
from advisor.units import milliseconds, unit_usd
from report.plans import COMMITMENT, make_group


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (0.5, "0.5 ms"),
        (35.04, "35 ms"),
        (999.4, "999 ms"),
        (999.6, "1 s"),
        (1000.0, "1 s"),
        (1240.0, "1.24 s"),
        (1_050_000.0, "1050 s"),
    ],
)
def test_latencies_have_three_digits_and_no_powers_of_ten(value_ms, words):
    """Just below a second is a second, and never 1e+03 ms."""
    assert milliseconds(value_ms) == words


def test_every_code_of_a_rejection_has_words_of_its_own():
    """No two codes are told alike."""
    assert len(set(CODE_WORDS.values())) == len(CODE_WORDS)


def test_every_code_that_the_program_gives_has_words():
    """A rejection of any kind can be told, and written into a plan, whose schema has the same codes."""
    texts = [path.read_text() for path in Path(advisor.__file__).parent.rglob("*.py")]
    given = {code for text in texts for code in re.findall(r'(?:Shortfall|Rejection)\(\s*"(\w+)"', text)}

    assert {"memory", "response_cache"} < given <= set(CODE_WORDS)


@pytest.mark.parametrize(
    ("purchase", "commitment", "words"),
    [
        ("on_demand", "", "on demand"),
        ("commitment", COMMITMENT, "committed for 1 year"),
        ("commitment", "CUD, 3 y, monthly", "committed for 3 years"),
        ("commitment", "of some kind", "committed"),
        ("managed", "SageMaker real-time", "by SageMaker real-time"),
        ("serverless", "Cloud Run", "serverless"),
    ],
)
def test_ways_of_paying_are_short(purchase, commitment, words):
    """A commitment is named by its term, a managed endpoint by its service."""
    assert paid_words(make_group(purchase=purchase, commitment=commitment)) == words


def test_a_place_is_said_once():
    """Groups of one region share its name; others carry their own."""
    here, there = make_group((0, 3)), make_group(1, region="us-west-2")

    assert short_words([here, here]) == "0…3 × g6e.xlarge on demand + 0…3 × g6e.xlarge on demand (aws us-east-1)"
    assert short_words([here, there], with_precision=True) == (
        "0…3 × g6e.xlarge on demand fp8 (aws us-east-1) + 1 × g6e.xlarge on demand fp8 (aws us-west-2)"
    )


@pytest.mark.parametrize(
    ("months", "told"), [(None, "-"), (0.01, "1 days"), (0.5, "15 days"), (2.5, "2.5 months"), (400_000.0, "never")]
)
def test_a_payback_of_centuries_is_never(months, told):
    """Days, months, or never; a dash where nothing is saved."""
    assert payback_words(months) == told


@pytest.mark.parametrize(("usd", "said"), [(1234.5, "1,234.50"), (0.25, "0.25"), (0.00213, "0.00213"), (0.0, "0.00")])
def test_a_price_of_items_is_never_rounded_to_nothing(usd, said):
    """Cents, and below ten of them three significant digits."""
    assert unit_usd(usd) == said
