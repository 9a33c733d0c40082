"""Demand that follows local clocks is planned for the offsets from UTC of its horizon."""

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.forecast import forecast
from advisor.demand.spread import LocalClock
from advisor.demand.values import DemandProfile
from advisor.errors import InputError

BERLIN = "Europe/Berlin"
WINTER = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
BEFORE_WINTER = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
"""Clocks change on 25 October."""
SUMMER = dt.datetime(2026, 7, 6, tzinfo=dt.UTC)


def office(start, days, zone_hours, edges=(8, 18)):
    """Ten requests a minute in office hours of a local clock, one otherwise.

    Args:
        start: first moment, a Monday 00:00 UTC.
        days: how many.
        zone_hours: offset from UTC of each hour since 1970.
        edges: first hour of work, and the hour after the last.
    """
    first = round(start.timestamp()) // 3600
    hours = first + np.arange(24 * days)
    local = (hours + zone_hours(hours)) % 24
    rates = np.where((local >= edges[0]) & (local < edges[1]), 10.0, 1.0)
    return DemandProfile(start.timestamp(), np.repeat(rates, 60))


def busy_hours(rates):
    """Hours of Wednesday, UTC, with more than half of the busiest rate."""
    wednesday = np.asarray(rates)[48:72]
    return np.flatnonzero(wednesday > wednesday.max() / 2).tolist()


def week(start, days, offset, horizon_days=30.0, planning_day=None):
    """Forecast of an office by the clocks of Berlin, in which it was seen at one offset."""
    profile = office(start, days, lambda hours: np.full(len(hours), offset))
    return by_clock(profile, LocalClock(BERLIN, planning_day), horizon_days)


def by_clock(profile, clock, horizon_days=30.0):
    """Forecast of a profile that follows a clock."""
    return forecast(clock.moved(profile), horizon_days=horizon_days, clock=clock)


def test_a_horizon_of_one_offset_is_the_history_again():
    """In winter an office from 8 to 18 o'clock is busy from 7 to 17 o'clock UTC; the note says how long that holds."""
    coming = week(WINTER, 14, 1)

    assert busy_hours(coming.peak) == busy_hours(coming.mean) == list(range(7, 17))
    assert any("change on 2027-03-28, after the 30 days planned" in note for note in coming.notes)


def test_both_offsets_of_a_horizon_are_planned_for():
    """Summer time moves the office an hour ahead: it is planned from 6 to 17 o'clock UTC, and expected as it was."""
    coming = week(WINTER, 14, 1, horizon_days=180.0)

    assert busy_hours(coming.peak) == busy_hours(coming.high) == list(range(6, 17))
    assert busy_hours(coming.mean) == list(range(7, 17))
    assert busy_hours(coming.low_peak) == list(range(7, 16))
    assert any("change on 2027-03-28, within the 180 days planned" in note for note in coming.notes)


def test_a_history_of_summer_is_planned_in_winter():
    """An old trace is moved to the offset of the day that the plan is made on."""
    coming = week(SUMMER, 14, 2, planning_day=dt.date(2026, 12, 1))

    assert busy_hours(coming.peak) == busy_hours(coming.mean) == list(range(7, 17))


def test_a_history_across_a_change_is_of_its_last_offset():
    """Three weeks of summer and one of winter time are four weeks of the same office, whose hours are those of winter."""
    clock = LocalClock(BERLIN)
    profile = office(BEFORE_WINTER, 28, clock.offsets_hours)
    local, in_utc = by_clock(profile, clock), forecast(profile)

    assert busy_hours(local.peak) == list(range(7, 17))
    assert len(busy_hours(in_utc.high)) >= len(busy_hours(local.high))
    errors = [min(row.wape for row in coming.backtest if row.chosen) for coming in (local, in_utc)]
    assert errors[0] < 0.02 < errors[1]


@pytest.mark.parametrize(
    ("zone", "expected"), [("Asia/Kolkata", range(7, 17)), ("Etc/UTC", range(7, 17)), ("Australia/Lord_Howe", None)]
)
def test_zones_without_whole_changes(zone, expected):
    """Where clocks never change nothing is added; where they change by half an hour, the whole hour is planned."""
    profile = office(WINTER, 14, lambda hours: np.full(len(hours), 1))
    coming = by_clock(profile, LocalClock(zone), 360.0)

    hours = busy_hours(coming.peak)
    if expected is None:
        assert set(range(7, 17)) < set(hours)
    else:
        assert hours == list(expected)
        assert not any("clocks" in note for note in coming.notes)


def test_edges_stand_about_the_mean():
    """Whatever the offsets: low ≤ mean ≤ high ≤ peak, in every hour."""
    for horizon_days in (1.0, 30.0, 145.0, 400.0):
        coming = week(WINTER, 21, 1, horizon_days=horizon_days)
        assert (coming.low <= coming.mean).all()
        assert (coming.mean <= coming.high).all()
        assert (coming.high <= coming.peak).all()
        assert (coming.low_peak <= coming.peak).all()


@given(
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.sampled_from([dt.datetime(2026, 3, 2, tzinfo=dt.UTC), BEFORE_WINTER]),
    st.integers(0, 24 * 40),
    st.integers(1, 24 * 40),
    st.sampled_from([None, dt.date(2026, 7, 1), dt.date(2026, 12, 1)]),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_hours_are_moved_once(zone, month, first_hour, hours, day, factor):
    """A profile that was moved, and one that grew since, is moved from its measured hours: twice is as once."""
    numbers = np.random.default_rng(hours).poisson(5.0, 60 * hours).astype(float)
    profile = DemandProfile(month.timestamp() + 3600 * first_hour, numbers)
    clock = LocalClock(zone, day)
    once = clock.moved(profile)

    for again in (clock.moved(once), clock.moved(clock.moved(once))):
        assert again.start_seconds == once.start_seconds
        assert np.array_equal(again.requests_per_minute, once.requests_per_minute, equal_nan=True)
    moved, grown = clock.moved(once.times(factor)), clock.moved(profile.times(factor))
    assert np.array_equal(moved.requests_per_minute, grown.requests_per_minute, equal_nan=True)
    elsewhere = LocalClock("Asia/Tokyo", day).moved(once)
    assert np.array_equal(elsewhere.requests_per_minute, numbers)


def test_a_history_that_ends_as_summer_time_begins_is_of_summer():
    """Its last hour is moved to before the change; the horizon begins after it all the same."""
    end = dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC)
    profile = office(end - dt.timedelta(days=13, hours=1), 14, lambda hours: np.ones(len(hours)))
    profile = DemandProfile(profile.start_seconds, profile.requests_per_minute[: 60 * (13 * 24 + 1)])
    coming = by_clock(profile, LocalClock(BERLIN))

    assert busy_hours(coming.peak) == busy_hours(coming.mean) == list(range(6, 16))
    assert any("change on 2026-10-25" in note for note in coming.notes)


def test_times_without_dates_have_no_local_hours():
    """The remedy names the key."""
    profile = DemandProfile(4.0 * 86_400, np.full(3 * 24 * 60, 5.0))

    with pytest.raises(InputError, match="show no date") as caught:
        LocalClock(BERLIN).moved(profile)
    assert "demand.timezone" in caught.value.hint


def test_the_command_takes_a_time_zone(tmp_path, run_advisor):
    """``--timezone`` is checked, and moves the planned hours."""
    times = np.repeat(np.arange(14 * 24 * 60) * 60.0 + WINTER.timestamp(), 1)
    rows = [f"{time:.0f},100,20" for time in times for _ in range(5 if 7 <= time // 3600 % 24 < 17 else 1)]
    (tmp_path / "trace.csv").write_text("\n".join(["timestamp,input_tokens,output_tokens", *rows]) + "\n")
    command = ("demand", "forecast", str(tmp_path / "trace.csv"), "--horizon", "180d", "--format", "json")
    wrong = run_advisor(*command, "--timezone", "Berlin")
    told = json.loads(run_advisor(*command, "--timezone", BERLIN).stdout)

    assert wrong.returncode == 2
    assert "'Berlin' is not a time zone" in wrong.stderr
    assert busy_hours(told["requests_per_second_by_hour_of_week"]["peak"]) == list(range(6, 17))


def planned(folder, run_advisor, **changes):
    """Plan for an office whose trace of two weeks is in a folder."""
    keys = {"as_of": "2026-11-16", "timezone": BERLIN, "horizon": "30d"} | changes
    stated = f", timezone: {keys['timezone']}" if keys["timezone"] else ""
    (folder / "workload.yaml").write_text(
        f"name: office\nmodel: Qwen/Qwen3-4B\nas_of: {keys['as_of']}\n"
        f"demand: {{trace: trace.csv, times: 4, horizon: {keys['horizon']}{stated}}}\n"
        "slo: {ttft_p95: 1s, tpot_p95: 60ms}\n"
        "providers: [aws]\nregions: [eu-central-1]\ninstance_types: [g6.xlarge]\n"
    )
    done = run_advisor("recommend", str(folder / "workload.yaml"), "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def written_trace(folder, start):
    """Requests of two weeks from a Monday on, in the hours of an office in Berlin in winter."""
    generator = np.random.default_rng(3)
    rows = ["timestamp,input_tokens,output_tokens"]
    for hour in range(14 * 24):
        count = generator.poisson(5_400 if 7 <= hour % 24 < 17 else 45)
        times = np.sort(generator.uniform(0, 3600, count)) + start.timestamp() + hour * 3600
        rows += [f"{time:.2f},{generator.integers(200, 900)},{generator.integers(60, 220)}" for time in times]
    (folder / "trace.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("zone", ["", BERLIN])
def test_instances_are_there_in_summer_too(zone, tmp_path, run_advisor):
    """Without the time zone the hosts of the day come an hour late from the end of March on, as a note says."""
    written_trace(tmp_path, WINTER)
    plan = planned(tmp_path, run_advisor, timezone=zone, horizon="180d")

    (group,) = plan["fleet"]["groups"]
    day = [group["instances"][at] for at in plan["fleet"]["schedule"][48:72]]
    assert (day[6] == day[12]) == bool(zone)
    assert day[7] == day[12] > day[2]
    assert plan["workload"].get("timezone", "") == zone
    assert any("demand.timezone" in note for note in plan["notes"]) != bool(zone)


def test_a_plan_for_the_other_season_is_the_same_an_hour_later(tmp_path, run_advisor):
    """The replay and all else that reads the demand follow the same clock as its forecast."""
    written_trace(tmp_path, SUMMER)
    summer, winter = (planned(tmp_path, run_advisor, as_of=day) for day in ("2026-07-21", "2026-12-01"))

    days = [
        [plan["fleet"]["groups"][0]["instances"][at] for at in plan["fleet"]["schedule"][48:72]]
        for plan in (summer, winter)
    ]
    assert days[0] == [*days[1][1:], days[1][0]]
    costs = [plan["fleet"]["cost"]["compute_usd_per_month"] for plan in (summer, winter)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)
