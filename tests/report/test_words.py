"""Numbers as people read them."""

import re
from pathlib import Path

import pytest

import advisor
from advisor.plan.fleet.chosen import PlannedHours
from advisor.plan.words import count_words, size_words, turn_words
from advisor.report.fleet_words import fleet_words
from advisor.report.verdict import plan_table
from advisor.report.words import CODE_WORDS, paid_words, payback_words, short_words
from advisor.units import milliseconds, unit_usd
from report.plans import COMMITMENT, make_fleet, make_group, make_plan


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


@pytest.mark.parametrize(("mean_ms", "words"), [(7_500.0, "7.5"), (30_000.0, "30"), (1_499_600.0, "1,500")])
def test_recordings_are_told_in_seconds_without_powers_of_ten(mean_ms, words):
    """A recording of 25 minutes has 1,500 s."""
    demand = {"unit": "audio", "input_tokens": {"mean": mean_ms}, "output_tokens": {"mean": 1.0}}

    assert size_words(demand) == f"1 recording of {words} s a request"


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

    assert (
        short_words(make_fleet(here, here)) == "0…3 × g6e.xlarge on demand + 0…3 × g6e.xlarge on demand (aws us-east-1)"
    )
    assert short_words(make_fleet(here, there), with_precision=True) == (
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


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([(1, 1, 0), (0, 0, 1)], ["in the quietest 68 hours a week", "in the busiest 100 hours a week"]),
        ([(1, 0, 0), (0, 1, 0), (0, 0, 2)], ["in the quietest 36 hours a week", "in 32 hours a week", "in the busiest 100 hours a week"]),
        ([(2, 1, 1), (0, 1, 1)], ["", "in the busiest 132 hours a week"]),
        ([(0, 1, 2), (1, 1, 1)], ["", ""]),
    ],
)  # fmt: skip
def test_groups_that_take_turns_have_their_hours(counts, words):
    """Groups that only grow with the load are told as they were."""
    assert turn_words(counts, (36, 32, 100)) == words


def test_groups_that_take_turns_do_not_read_as_if_they_ran_at_once():
    """The small machine serves the nights and the large one the days."""
    hours = (PlannedHours(68, 1.0, 2.0, 1.0), PlannedHours(100, 4.0, 8.0, 4.0))
    fleet = make_fleet(make_group((1, 0)), make_group((0, 2), instance_type="p5.4xlarge"), hour_classes=hours)

    assert short_words(fleet) == (
        "1 × g6e.xlarge on demand in the quietest 68 hours a week + 2 × p5.4xlarge on demand in the busiest 100 hours a "
        "week (aws us-east-1)"
    )
    assert fleet_words(fleet).startswith(
        "1 × g6e.xlarge (1×L40S, on demand, fp8, in the quietest 68 hours a week) + 2 × "
    )
    text = " ".join(plan_table(make_plan(fleet), width=None, verbose=True).split())
    assert "capacity in the busiest hours: B 2 × " in text
    assert "planned; A runs in the quietest 68 hours a week" in text


@pytest.mark.parametrize(("counts", "words"), [((0, 3), "0…3"), ((3, 0), "3…0"), ((1, 3, 2), "1…3"), ((2, 2), "2")])
def test_numbers_that_fall_to_the_busiest_hours_are_told_so(counts, words):
    """From the quietest hours to the busiest."""
    assert count_words(counts) == words
