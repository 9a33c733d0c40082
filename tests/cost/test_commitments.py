"""When commitments pay off, and which of the owned ones hold."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cost import ENDING, break_even, owned_commitments
from advisor.errors import InputError
from advisor.workload.values import OwnedCommitment
from builders import catalog_of, offer, workload

TODAY = dt.date(2026, 11, 24)
PRICES = st.floats(0.01, 200)


def owned(expires=dt.date(2027, 1, 1), **changes) -> OwnedCommitment:
    """Two g6.xlarge in us-east-1."""
    fields = {"provider": "aws", "region": "us-east-1", "instance_type": "g6.xlarge", "count": 2, "expires": expires}
    return OwnedCommitment(**(fields | changes))


def test_break_even_by_hand():
    """At 0.60 USD for every hour against 0.80 on demand a commitment pays off from 75 % of the hours: 547.5 a month."""
    found = break_even(0.60, 0.80)

    assert found.utilization == pytest.approx(0.75)
    assert found.hours_per_month == pytest.approx(547.5)


def test_no_break_even_against_an_unknown_price():
    """Where the other price is not known there is no break-even to tell."""
    assert break_even(0.6, None) is None


@given(PRICES, PRICES)
def test_both_sides_cost_the_same_at_the_break_even(committed, alternative):
    """An hour in use costs the alternative's price exactly at the break-even utilization, where that can be reached."""
    found = break_even(committed, alternative)

    if found.utilization <= 1:
        assert committed / found.utilization == pytest.approx(alternative)


def test_expired_commitments_are_left_out_and_named():
    """A commitment holds to the end of the day it expires on; the day after, a note names it."""
    asked = workload(commitments=(owned(TODAY), owned(TODAY - dt.timedelta(days=1), count=3)), horizon_days=1)

    found = owned_commitments(asked, catalog_of(), TODAY)

    assert [one.count for one in found.valid] == [2]
    assert found.notes == (
        "the commitment to 3 × g6.xlarge in us-east-1 expired on 2026-11-23, before 2026-11-24: it is left out",
    )


@pytest.mark.parametrize(("days", "counts"), [(0, False), (28, False), (29, True), (400, True)])
def test_a_commitment_is_free_capacity_only_to_the_end_of_the_horizon(days, counts):
    """Thirty days from the day of planning on; what ends before is named with its date and its worth on demand."""
    asked = workload(commitments=(owned(TODAY + dt.timedelta(days=days)),), horizon_days=30)

    found = owned_commitments(asked, catalog_of(offer("g6.xlarge", on_demand=0.5)), TODAY)

    assert (found.valid, bool(found.notes)) == ((asked.commitments, False) if counts else ((), True))
    if not counts:
        ends, usd = TODAY + dt.timedelta(days=days), 2 * (days + 1) * 24 * 0.5
        assert found.notes[0].startswith(f"{ENDING}2 × g6.xlarge in us-east-1 are paid until {ends.isoformat()} ")
        assert found.notes[0].endswith(f"worth ${usd:,.2f} on demand")


def test_the_day_of_planning_counts_where_the_workload_names_it():
    """``as_of`` of the workload stands above today's date."""
    asked = workload(commitments=(owned(dt.date(2026, 6, 1)),), as_of=dt.date(2026, 5, 1))

    assert owned_commitments(asked, catalog_of(), TODAY).valid == asked.commitments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider": "awz"}, "unknown provider: 'awz'"),
        ({"instance_type": "g6.xlrge"}, "unknown instance type of aws: 'g6.xlrge'"),
        ({"region": "us-esat-1"}, "unknown region of aws: 'us-esat-1'"),
    ],
)
def test_unknown_names_are_refused_at_their_place(change, message):
    """A commitment to something that the catalog does not know is an error with its line and the nearest names."""
    asked = workload(commitments=(owned(), owned(**change)), lines={"commitments[1]": 17})

    with pytest.raises(InputError) as caught:
        owned_commitments(asked, catalog_of(), TODAY)

    assert caught.value.message == message
    assert caught.value.where == "workload.yaml:17: commitments[1]"
    assert caught.value.hint
