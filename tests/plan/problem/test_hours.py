"""Hours of the week in classes: all of them, in the order of their load."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.demand.values import Forecast
from advisor.plan.problem.hours import CLASS_HOURS, at_all_hours, week_of
from advisor.units import HOURS_PER_WEEK

few = settings(max_examples=50)
peaks = arrays(np.float64, HOURS_PER_WEEK, elements=st.integers(0, 40).map(float))


def forecast(peak) -> Forecast:
    """Any week with these busiest minutes."""
    return Forecast(
        mean=peak * 0.5, low=peak * 0.4, high=peak * 0.7, low_peak=peak * 0.5, peak=peak, interval_level=0.8, horizon_days=30.0,
        method="stated", backtest=(), notes=(),
    )  # fmt: skip


@few
@given(peaks)
def test_every_hour_has_a_class_that_carries_it(peak):
    """Each hour is in one class, which is planned for at least its busiest minute, and classes rise."""
    week = week_of(forecast(peak), scheduled=True)
    planned = np.array([hour.planned_rate for hour in week.classes])
    assert (planned[list(week.schedule)] >= peak).all()
    assert (np.diff(planned) > 0).all()
    assert [hour.hours_per_week for hour in week.classes] == np.bincount(week.schedule).tolist()
    assert week.transitions.sum() == HOURS_PER_WEEK
    assert np.allclose(week.transitions.sum(axis=0), week.transitions.sum(axis=1))


@few
@given(peaks, st.integers(0, HOURS_PER_WEEK - 1), st.integers(1, 40))
def test_a_busier_hour_makes_no_hour_class_quieter(peak, at, more):
    """Where one hour becomes busier, the k-th busiest hour is planned for no less, whatever k."""
    busier = peak.copy()
    busier[at] += more

    def planned(rates):
        week = week_of(forecast(rates), scheduled=True)
        return np.sort([week.classes[one].planned_rate for one in week.schedule])

    assert (planned(busier) >= planned(peak)).all()


def test_a_fleet_of_one_size_has_one_class():
    """Where counts do not follow the hours, all hours are one class at the week's busiest minute."""
    week = week_of(forecast(np.arange(HOURS_PER_WEEK, dtype=float)), scheduled=False)
    assert [(hour.hours_per_week, hour.planned_rate) for hour in week.classes] == [(HOURS_PER_WEEK, 167.0)]
    assert sum(CLASS_HOURS) == HOURS_PER_WEEK


@few
@given(peaks.filter(np.any))
def test_classes_merge_to_the_one_of_a_fleet_of_one_size(peak):
    """Mean, planned and low rates are those of the week whose hours are planned alike."""
    (merged,) = (week := at_all_hours(week_of(forecast(peak), scheduled=True))).classes
    (hours,) = (same := week_of(forecast(np.maximum(peak, 1e-9)), scheduled=False)).classes

    assert (week.schedule, week.transitions.tolist()) == (same.schedule, same.transitions.tolist())
    assert merged.hours_per_week == hours.hours_per_week
    assert merged.planned_rate == hours.planned_rate
    assert merged.mean_rate == pytest.approx(hours.mean_rate)
    assert merged.low_rate == pytest.approx(hours.low_rate)


def test_the_low_rate_is_the_busiest_minute_at_its_own_low_edge():
    """Commitments are held to what busy minutes are at least, by the hour, and to nothing made of other edges."""
    hours = np.arange(HOURS_PER_WEEK, dtype=float)
    week = week_of(forecast(hours), scheduled=True)
    lows = [hours[np.array(week.schedule) == at].mean() * 0.5 for at in range(len(week.classes))]
    assert [hour.low_rate for hour in week.classes] == pytest.approx(lows)


def test_hours_of_different_loads_are_cut_by_rank():
    """The quietest 36 hours are one class, the busiest two another, however they lie in the week."""
    rng = np.random.default_rng(1)
    week = week_of(forecast(1.018 ** rng.permutation(HOURS_PER_WEEK)), scheduled=True)
    assert tuple(hour.hours_per_week for hour in week.classes) == CLASS_HOURS


@few
@given(peaks)
def test_no_hour_is_planned_for_more_than_a_leap_above_its_own(peak):
    """Four times its own busiest minute at most, or a quarter of the week's where its own is a sixteenth at most."""
    week = week_of(forecast(peak), scheduled=True)
    planned = np.array([hour.planned_rate for hour in week.classes])[list(week.schedule)]
    assert (planned <= 4 * np.maximum(peak, peak.max() / 16) * (1 + 1e-9)).all()


def test_quiet_hours_are_in_no_class_with_office_hours():
    """Neither 45 busy hours a week nor 123 at a sixteenth of them are planned for the others, whatever their numbers."""
    hours = np.arange(HOURS_PER_WEEK)
    is_busy = (hours % 24 >= 9) & (hours % 24 < 18) & (hours < 5 * 24)
    week = week_of(forecast(np.where(is_busy, 8.0, 0.5)), scheduled=True)
    planned = np.array([hour.planned_rate for hour in week.classes])[list(week.schedule)]

    assert (planned[is_busy] == 8.0).all()
    assert planned[~is_busy].max() <= 1.0


@few
@given(peaks, st.integers(0, HOURS_PER_WEEK))
def test_hours_without_requests_are_in_no_class_with_others(peak, idle):
    """Nothing has to run when no request is expected, however many such hours there are."""
    peak[:idle] = 0.0
    week = week_of(forecast(peak), scheduled=True)
    planned = np.array([hour.planned_rate for hour in week.classes])
    assert ((planned[list(week.schedule)] == 0) == (peak == 0)).all()


def test_a_rate_that_is_a_step_is_planned_as_it_is():
    """The next step is 3 % more; a rate between two is planned at the upper one, the busiest at its own."""
    peak = np.full(HOURS_PER_WEEK, 1.03**10)
    peak[-40:] = 1.03**20 * 1.01
    peak[-2:] = 2.5
    assert [hour.planned_rate for hour in week_of(forecast(peak), scheduled=True).classes] == pytest.approx(
        [1.03**10, 1.03**21, 2.5], rel=1e-12
    )


def test_transitions_are_those_of_the_hours_as_they_follow():
    """Load that jumps up every morning and wears off in steps: classes follow one another one way, Sunday on Monday."""
    day = np.repeat([1.0, 40.0, 16.0, 6.0], 6)
    week = week_of(forecast(np.tile(day, 7) * 1.2 ** np.arange(HOURS_PER_WEEK)), scheduled=True)
    following = Counter(zip(week.schedule, (*week.schedule[1:], week.schedule[0]), strict=True))

    counts = {(a, b): count for (a, b), count in np.ndenumerate(week.transitions) if count}
    assert counts == following
    assert any(count != following[b, a] for (a, b), count in following.items())
