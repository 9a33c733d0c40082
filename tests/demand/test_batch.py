"""Runs of batch work by the hour: which hours are open, how long they are worked in, and at what rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.forecast import BATCH, batch_forecast
from advisor.demand.values import BatchRun
from advisor.plan.problem.hours import week_of
from advisor.workload.closed_loop import batch_run
from advisor.workload.values import BatchWork

NIGHTLY = BatchRun(items=36_000, every_hours=24, first_hour=22, open_hours=tuple(range(6)), deadline_hours=5.5)
"""Half an hour of the sixth hour is after the deadline."""
NIGHTS = BatchRun(1000, 168, 20, tuple(hour for hour in range(150) if hour % 24 < 10), 150.0)


def test_a_run_each_night_by_hand():
    """Three hours of each night are 22:00 to 01:00: on Monday the hours 22, 23 and 24 of the week, on Sunday 166, 167, 0."""
    hours = NIGHTLY.hours_of_week(3)

    assert len(hours) == 3 * 7
    assert {0, 22, 23, 24, 166, 167} <= set(hours)
    assert NIGHTLY.runs_per_week == 7
    assert NIGHTLY.items_per_second(3) == pytest.approx(36_000 / (3 * 3600))


def test_the_last_hour_ends_with_the_deadline():
    """Six open hours are five and a half of work."""
    assert NIGHTLY.work_hours(6) == 5.5
    assert list(NIGHTLY.stretches(6)) == [(0.0, 5.5)]
    assert NIGHTLY.work_hours(5) == 5.0


def test_work_over_several_nights_has_a_stretch_in_each():
    """Ten hours each night: 15 of them are one night and a half."""
    assert list(NIGHTS.stretches(15)) == [(0.0, 10.0), (24.0, 29.0)]
    assert NIGHTS.work_hours(15) == 15.0


def test_a_forecast_has_the_items_of_all_runs_and_nothing_beside_them():
    """Requests of the week are seven times the items; the planned rate is done by the deadline."""
    expected = batch_forecast(NIGHTLY, 6)

    assert expected.mean.sum() * 3600 == pytest.approx(7 * 36_000, rel=1e-5)
    assert set(expected.mean.nonzero()[0].tolist()) == set(NIGHTLY.hours_of_week(6))
    assert expected.peak.max() == pytest.approx(36_000 / (5.5 * 3600), rel=1e-5)
    assert expected.method == BATCH


def test_a_week_has_one_class_of_hours_with_work_and_one_without():
    """However the sizes of other classes are cut."""
    week = week_of(batch_forecast(NIGHTLY, 4), scheduled=True)

    assert [hour.hours_per_week for hour in week.classes] == [168 - 28, 28]
    assert [hour.planned_rate for hour in week.classes] == [0.0, pytest.approx(2.5)]


def test_growth_makes_more_items():
    """Ten times as many after a year: the planned rate is that of nine tenths of the horizon."""
    plain, grown = batch_forecast(NIGHTLY, 4), batch_forecast(NIGHTLY, 4, horizon_days=365, growth_per_year=9.0)
    factor = 10**0.9

    assert grown.peak.max() == pytest.approx(plain.peak.max() * factor, rel=1e-4)
    assert NIGHTLY.planned_items(4, float(grown.peak.max())) == pytest.approx(36_000 * factor, rel=1e-4)
    assert NIGHTLY.planned_items(4, float(plain.peak.max())) == 36_000


@given(
    st.sampled_from([24, 168]),
    st.one_of(st.none(), st.floats(0.1, 24)),
    st.tuples(st.integers(0, 23), st.integers(0, 23)),
)
def test_hours_lie_in_the_window_and_before_the_deadline(every, deadline, window):
    """Of every run, wherever it wraps around midnight or Sunday; no hour belongs to two runs."""
    run = batch_run(BatchWork(100, every, deadline, window))
    length = (window[1] - window[0]) % 24 or 24
    hours = run.hours_of_week(len(run.open_hours))

    assert len(set(hours)) == len(hours) == run.runs_per_week * len(run.open_hours)
    assert all((hour - window[0]) % 24 < length for hour in hours)
    assert run.work_hours(len(run.open_hours)) <= (math.inf if deadline is None else deadline) + 1e-9
