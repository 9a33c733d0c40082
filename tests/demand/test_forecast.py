"""The forecast carries the past on, says how well that would have worked, and invents nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.forecast import (
    LAST,
    MOST_OF_SEEN,
    NAIVE,
    HourlyDemand,
    by_hour,
    calibrated_bands,
    flat_forecast,
    forecast,
    last_value,
    level,
    ridge,
    run_trials,
    seasonal_naive,
    shape_and_level,
    typical_day,
)
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import DemandProfile
from advisor.errors import InputError

MONDAY_2026 = 1_767_571_200.0
"""5 January 2026, 00:00 UTC."""
METHODS = [last_value, level, seasonal_naive, shape_and_level, typical_day, ridge]


def profile_of(rates_per_hour, start_seconds=MONDAY_2026) -> DemandProfile:
    """A profile with this many requests per second all through each hour."""
    return DemandProfile(start_seconds, np.repeat(np.asarray(rates_per_hour, dtype=float), 60) * 60)


def office_week(days: int, growth_per_week: float = 0.0) -> np.ndarray:
    """Hourly rates: nights at 2, office hours at 10, weekends at 3."""
    hours = np.arange(days * 24)
    office = (hours % 24 >= 8) & (hours % 24 < 18)
    return np.where(hours // 24 % 7 >= 5, 3.0, np.where(office, 10.0, 2.0)) * (1 + growth_per_week) ** (hours / 168)


def noisy(rates: np.ndarray, seed: int) -> np.ndarray:
    """The same with a tenth of noise."""
    return rates * np.random.default_rng(seed).lognormal(0, 0.1, len(rates))


def test_four_repeating_weeks_are_forecast_exactly():
    """What has repeated without fail is carried on as it was, from Monday 00:00 UTC, with an interval of no width."""
    found = forecast(profile_of(office_week(28)))

    assert found.mean == pytest.approx(office_week(7))
    assert found.low == pytest.approx(found.high)
    assert found.method == NAIVE
    assert any("no method that can plan a week does 2% better" in note for note in found.notes)


def test_the_week_begins_on_monday_wherever_the_history_begins():
    """A history from a Wednesday noon gives the same week as one from a Monday."""
    later = 2 * 24 + 12
    found = forecast(profile_of(office_week(28)[later:], MONDAY_2026 + later * 3600))

    assert found.mean == pytest.approx(office_week(7))


def test_noise_gives_an_interval_that_covers_what_comes():
    """About nine of ten hours of the following week stay within the upper edge, and about nine of ten above the lower."""
    rates = noisy(office_week(42), seed=3)
    found = forecast(profile_of(rates[: 35 * 24]))
    came = rates[35 * 24 :]

    assert 0.8 <= np.mean(came <= found.high) <= 1
    assert 0.8 <= np.mean(came >= found.low) <= 1
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert (found.high <= found.peak).all()
    assert (found.low <= found.low_peak).all()
    assert (found.low_peak <= found.peak).all()


def test_the_back_test_prints_the_naive_baselines_and_marks_the_choice():
    """With noise a mean over weeks beats last week's value; the note gives its error beside theirs and exactly one method is chosen."""
    found = forecast(profile_of(noisy(office_week(28), seed=1)))
    rows = {row.method: row for row in found.backtest}

    assert {LAST, NAIVE} < set(rows)
    assert [row.method for row in found.backtest if row.chosen] == [found.method]
    assert rows[found.method].wape < rows[NAIVE].wape < rows[LAST].wape
    assert 0.7 <= rows[found.method].p90_coverage_ratio <= 1
    assert 0 <= rows[found.method].hours_short_ratio <= 0.3
    assert rows[found.method].pinball < rows[NAIVE].pinball
    (note,) = (note for note in found.notes if note.startswith(f"the forecast is by {found.method};"))
    errors = [f"{rows[name].wape:.1%}" for name in (found.method, NAIVE, LAST)]
    assert [note.index(error) for error in errors] == sorted(note.index(error) for error in errors)


@pytest.mark.parametrize("method", METHODS)
def test_the_back_test_sees_nothing_after_its_origin(method):
    """Spoiling every hour after an origin changes no prediction made at that origin or before."""
    rates = noisy(office_week(21), seed=5)
    spoiled = rates.copy()
    spoiled[18 * 24 :] = 1e6
    histories = [by_hour(profile_of(series)) for series in (rates, spoiled)]
    trials = [run_trials(one, {"one": method}, calibrated_bands(one))["one"].predicted for one in histories]
    origins = 21 - len(trials[0]) + np.arange(len(trials[0]))

    assert (trials[0][origins <= 18] == trials[1][origins <= 18]).all()
    assert (origins <= 18).any()


@pytest.mark.parametrize("method", METHODS)
@given(
    rates=st.lists(st.floats(0, 1000) | st.just(float("nan")), min_size=24, max_size=400).filter(
        lambda values: not np.isnan(values).all()
    ),
    first_hour=st.integers(0, 167),
    scale=st.floats(0.01, 100),
)
@settings(max_examples=25, deadline=None)
def test_every_method_is_known_never_negative_and_scales(method, rates, first_hour, scale):
    """Whatever is unknown, each method returns known rates that are k times as high where the past was."""
    past = np.array(rates)
    found = method(past, first_hour, 168)

    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert method(past * scale, first_hour, 168) == pytest.approx(found * scale, rel=1e-6, abs=1e-6)


@pytest.mark.sampled(2)
@given(seed=st.integers(0, 1000), days=st.sampled_from([0.02, 0.5, 1.2, 3, 9, 15, 22]), more=st.floats(1.01, 50))
@settings(max_examples=30, deadline=None)
def test_more_demand_never_forecasts_less(seed, days, more):
    """Every minute k times as busy gives a forecast k times as high in every hour, for every length of history."""
    generator = np.random.default_rng(seed)
    minutes = generator.poisson(30 * generator.lognormal(0, 0.5, max(int(days * 1440), 1))).astype(float)
    minutes[generator.random(len(minutes)) < 0.05] = np.nan
    minutes[len(minutes) // 2] = 30.0
    found = forecast(DemandProfile(MONDAY_2026, minutes))
    busier = forecast(DemandProfile(MONDAY_2026, minutes * more))

    for name in ("mean", "low", "high", "low_peak", "peak"):
        assert getattr(busier, name) == pytest.approx(getattr(found, name) * more, rel=1e-5)
        assert (getattr(busier, name) >= getattr(found, name)).all()


def test_three_days_are_forecast_by_the_hour_of_the_day_and_say_what_they_cannot_know():
    """Three weekdays give their day for all seven, and the notes name the unseen days and what else is unknown."""
    found = forecast(profile_of(office_week(3)))

    assert found.mean == pytest.approx(np.tile(office_week(1), 7))
    assert any("no Thursday, Friday, Saturday, Sunday was seen" in note for note in found.notes)
    assert any("less than a week is known" in note for note in found.notes)


def test_one_day_has_no_back_test_and_says_so():
    """With a single day the shape is its own, the interval is that of its minutes, and no test is claimed."""
    found = forecast(profile_of(office_week(1)))

    assert found.backtest == ()
    assert (found.high >= found.mean).all()
    assert any("too little history to test" in note for note in found.notes)


def test_less_than_a_day_is_flat_and_its_peak_is_the_busiest_minute():
    """Three hours say nothing of the day: the level holds all week and the interval is how minutes varied."""
    minutes = np.tile([60.0, 120.0, 180.0], 60)
    found = forecast(DemandProfile(MONDAY_2026, minutes))

    assert found.mean == pytest.approx(np.full(168, 2.0), rel=0.01)
    assert (found.low[0], found.high[0], found.peak[0]) == pytest.approx((1.0, 3.0, 3.0), rel=0.01)
    assert (found.low_peak == found.low).all()
    assert any("less than a day is known" in note for note in found.notes)


def test_a_single_minute_is_a_level_without_width():
    """One minute gives one rate and no spread."""
    found = forecast(DemandProfile(MONDAY_2026, np.array([90.0])))

    assert set(found.mean) | set(found.low) | set(found.high) | set(found.peak) == {1.5}


@pytest.mark.parametrize("minutes", [[], [np.nan], [np.nan] * 5000])
def test_nothing_known_is_refused(minutes):
    """No minute, or only unknown ones, is no demand of zero."""
    with pytest.raises(InputError, match="no minute of the demand is known"):
        forecast(DemandProfile(MONDAY_2026, np.array(minutes, dtype=float)))


def test_idle_hours_are_forecast_as_idle_and_an_idle_history_as_zero():
    """Hours known to be without requests are zero, not unknown."""
    closed_at_night = np.where(office_week(28) > 2, office_week(28), 0.0)

    assert (forecast(profile_of(closed_at_night)).mean[:8] == 0).all()
    assert (forecast(profile_of(np.zeros(28 * 24))).peak == 0).all()


@pytest.mark.parametrize("days", [2, 6, 10, 28])
def test_unknown_hours_are_left_out_never_idle(days):
    """A fifth of the hours unknown moves the level of a steady demand not at all."""
    rates = np.full(days * 24, 5.0)
    rates[np.random.default_rng(2).random(len(rates)) < 0.2] = np.nan
    found = forecast(profile_of(rates))

    assert found.mean == pytest.approx(np.full(168, 5.0))


def test_an_hour_of_the_day_that_nobody_saw_is_as_uncertain_as_the_day():
    """Nights without telemetry lie between the quietest and the busiest hour, and are named."""
    rates = office_week(14)
    rates[np.arange(len(rates)) % 24 < 6] = np.nan
    found = forecast(profile_of(rates))

    assert (found.high[:6] == found.high.max()).all()
    assert (found.low[:6] == found.low.min()).all()
    assert any("nothing is known of 00:00" in note for note in found.notes)


def test_steady_growth_is_measured_said_and_reaches_the_edges():
    """Four weeks of +2 % each lift the mean by half the horizon and the upper edge by nine tenths of it."""
    found = forecast(profile_of(office_week(28, growth_per_week=0.02)), horizon_days=70)
    today = forecast(profile_of(office_week(28, growth_per_week=0.02)), horizon_days=70, growth_per_year=0.0)

    assert found.mean / today.mean == pytest.approx(np.full(168, 1.02**5), rel=1e-3)
    assert found.high / today.high == pytest.approx(np.full(168, 1.02**9), rel=1e-3)
    assert any("growth of +2.0% a week" in note for note in found.notes)


def test_a_steep_trend_is_bounded_and_a_restless_one_is_none():
    """Doubling every week is not carried on for a month, and ups and downs are no growth."""
    steep = forecast(profile_of(office_week(28, growth_per_week=1.0)))
    restless = forecast(profile_of(office_week(28) * np.repeat([1.0, 1.5, 0.8, 1.2], 168)))

    assert any("+5.0% a week" in note and "bounded" in note for note in steep.notes)
    assert any("no steady growth" in note for note in restless.notes)


def test_stated_growth_is_used_and_shrinking_lowers_the_low_edge_most():
    """A stated rate takes the place of the measured one; a demand that falls keeps its upper edge near today's."""
    now = forecast(profile_of(office_week(28)), horizon_days=365)
    grown = forecast(profile_of(office_week(28)), horizon_days=365, growth_per_year=1.0)
    shrunk = forecast(profile_of(office_week(28)), horizon_days=365, growth_per_year=-0.5)

    assert grown.mean / now.mean == pytest.approx(np.full(168, 2**0.5), rel=1e-3)
    assert shrunk.low / now.low == pytest.approx(np.full(168, 0.5**0.9), rel=1e-3)
    assert shrunk.high / now.high == pytest.approx(np.full(168, 0.5**0.1), rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"growth_per_year": -1.0}, "growth per year"),
        ({"growth_per_year": float("nan")}, "growth per year"),
        ({"horizon_days": 0}, "horizon"),
        ({"horizon_days": float("inf")}, "horizon"),
    ],
)
def test_senseless_numbers_are_refused(settings, expected):
    """A horizon of no time and a growth below -100 % are errors, not forecasts."""
    with pytest.raises(InputError, match=expected):
        forecast(profile_of(office_week(7)), **settings)


def test_the_peak_is_the_busiest_minute_of_busy_hours():
    """One minute in each hour twice as busy makes the peak about twice the hour's upper edge."""
    minutes = np.tile(np.where(np.arange(60) == 30, 120.0, 60.0), 28 * 24)
    found = forecast(DemandProfile(MONDAY_2026, minutes))

    assert found.peak / found.high == pytest.approx(np.full(168, 2 / (61 / 60)), rel=1e-3)


def test_the_peak_counts_the_spread_of_hours_and_of_minutes_once():
    """Where hours vary and minutes within them vary too, nine of ten hours to come stay within the peak, not all.

    Upper edge of the hour times upper edge of the ratio of minute to hour would be beyond nearly every hour.
    """
    above, below, planned, products = [], [], [], []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        hours = generator.lognormal(0, 0.5, 28 * 24)
        minutes = 600 * np.repeat(hours, 60) * generator.lognormal(0, 0.3, 28 * 1440)
        found = forecast(DemandProfile(MONDAY_2026, minutes[: 21 * 1440]))
        in_hours = minutes.reshape(-1, 60) / 60
        busiest = in_hours.max(axis=1)
        above.append(np.mean(busiest[21 * 24 :] > found.peak))
        below.append(np.mean(busiest[21 * 24 :] < found.low_peak))
        planned.append(found.peak.mean())
        products.append((found.high * np.quantile(busiest / in_hours.mean(axis=1), 0.95)).mean())

    assert 0.07 <= np.mean(above) <= 0.13
    assert 0.07 <= np.mean(below) <= 0.13
    assert np.mean(planned) < 0.9 * np.mean(products)


@given(seed=st.integers(0, 1000), days=st.sampled_from([0.5, 1.5, 4, 13]))
@settings(max_examples=20, deadline=None)
def test_no_minute_is_planned_for_far_beyond_every_minute_seen(seed, days):
    """However bursty the history, the planned minute is at most a quarter above its busiest, and a note says if it is."""
    generator = np.random.default_rng(seed)
    hours = generator.lognormal(0, 1.5, max(int(days * 24), 1))
    minutes = generator.poisson(np.repeat(hours, 60) * generator.lognormal(0, 1.0, len(hours) * 60) * 10).astype(float)
    minutes[len(minutes) // 2] = 10.0
    found = forecast(DemandProfile(MONDAY_2026, minutes))
    seen = minutes[1:-1].max() / 60

    assert found.peak.max() <= MOST_OF_SEEN * seen * (1 + 1e-5)
    assert any("above the busiest minute ever seen" in note for note in found.notes) == (
        found.peak.max() > seen * (1 + 1e-5)
    )


def test_planned_rates_follow_the_hours_of_a_spiky_fortnight():
    """Bursts of some hours at a time, by day only: nights are planned for nights, and the next day is covered."""
    generator = np.random.default_rng(6)
    hours = np.arange(14 * 24)
    by_day = np.where((hours % 24 >= 8) & (hours % 24 < 20), 4.0, 0.5)
    level = np.exp(np.repeat(generator.normal(0, 0.6, 14 * 4), 6))
    rates = by_day * level * generator.lognormal(0, 0.3, len(hours))
    minutes = generator.poisson(np.repeat(rates, 60) * 60).astype(float)
    found = forecast(DemandProfile(MONDAY_2026, minutes[: 13 * 1440]))
    nights, days = (found.peak[np.isin(np.arange(168) % 24, at)] for at in ((0, 1, 2, 3), (11, 12, 13, 14, 15)))
    came = minutes[13 * 1440 :].reshape(24, 60) / 60

    assert nights.max() < 0.5 * days.min()
    assert found.peak.max() < 1.5 * minutes.max() / 60
    assert np.mean(came <= found.peak[6 * 24 :, None]) >= 0.9


@pytest.mark.parametrize(("factor", "weeks", "is_told"), [(3.0, 8, True), (1.2, 8, False), (3.0, 3, False)])
def test_one_busy_day_that_every_week_is_planned_for_is_told(factor, weeks, is_told):
    """With its date and what the same day of the other weeks had, once there are enough of those."""
    rates = noisy(office_week(7 * weeks), 3)
    day = slice((7 * (weeks - 2) + 2) * 24, (7 * (weeks - 2) + 3) * 24)
    rates[day] *= factor
    busiest = rates.reshape(weeks, 7, 24)[:, 2].max(axis=1)
    usual = np.median(np.delete(busiest, weeks - 2))
    week = forecast(profile_of(rates))
    told = [note for note in week.notes if note.startswith("one week decides what Wednesdays are planned for: ")]

    assert bool(told) is is_told
    if told:
        planned = week.peak[48:72].max()
        assert planned > 2 * usual
        assert f"up to {rates.max():.3g} requests/s in an hour of 2026-02-18, {usual:.3g} in the median" in told[0]
        assert told[0].endswith(f"of the 7 other weeks, and {planned:.3g} planned for every Wednesday")


def test_one_absurd_minute_is_cut_and_named():
    """A counter's slip of a hundred thousand times moves no other hour's forecast, and the note has both numbers."""
    minutes = np.random.default_rng(7).poisson(600, 14 * 1440).astype(float)
    slipped = minutes.copy()
    slipped[5000] *= 1e5
    found, clean = (forecast(DemandProfile(MONDAY_2026, counts)) for counts in (slipped, minutes))

    assert found.peak.max() < 1.5 * clean.peak.max()
    assert found.mean == pytest.approx(clean.mean, rel=0.05)
    assert any(note.startswith("1 of 20,158 minutes have up to 1e+06") and "at 11" in note for note in found.notes)


def test_requests_in_a_few_hours_of_a_fortnight_are_no_demand_of_zero():
    """One busy minute in two weeks is planned for, its time unknown, and the mean keeps its requests."""
    minutes = np.zeros(14 * 1440)
    minutes[7000] = 60.0
    found = forecast(DemandProfile(MONDAY_2026, minutes))

    assert found.mean == pytest.approx(np.full(168, 1 / (14 * 1440 - 2)), rel=1e-4)
    assert set(found.peak) == {1.0}
    assert any("1 of 336 hours only" in note for note in found.notes)


@pytest.mark.parametrize("unknown", [slice(0, 12 * 1440), slice(1440, 13 * 1440), slice(2 * 1440, 14 * 1440)])
def test_long_gaps_leave_a_sound_forecast(unknown):
    """Days without telemetry at the beginning, within or at the end: what is known is carried on."""
    minutes = np.random.default_rng(8).poisson(600, 14 * 1440).astype(float)
    minutes[unknown] = np.nan
    found = forecast(DemandProfile(MONDAY_2026, minutes))

    assert found.mean == pytest.approx(np.full(168, 10.0), rel=0.05)
    assert (found.peak < 15).all()


def test_a_typical_day_leaves_a_surge_out_unless_it_is_most_of_the_demand():
    """One day of a hundredfold leaves the median as it was; where half of the requests are surges it is the mean."""
    week = np.tile(np.where(np.arange(24) < 8, 1.0, 3.0), 7)
    surged = week.copy()
    surged[50] = 30.0
    rare = np.where(np.arange(168) == 50, 100.0, 0.0)

    assert (typical_day(surged, 0, 168) == week).all()
    assert typical_day(rare, 0, 168).sum() == pytest.approx(100.0)


def test_part_of_an_hour_speaks_for_it_from_half_an_hour_on():
    """Thirty known minutes make an hour known, twenty-nine do not."""
    minutes = np.full(180, 60.0)
    minutes[60:90] = np.nan
    minutes[120:151] = np.nan
    history: HourlyDemand = by_hour(DemandProfile(MONDAY_SECONDS, np.concatenate([[0.0], minutes[1:], [0.0]])))

    assert np.isnan(history.mean).tolist() == [False, False, True, True]
    assert history.mean[:2] == pytest.approx([1.0, 1.0])


def test_declared_demand_is_a_flat_forecast_without_an_interval():
    """Stated numbers come back in every hour, with a note that they have no interval."""
    found = flat_forecast(4.0, 9.0)

    assert set(found.mean) == set(found.low) == set(found.high) == {4.0}
    assert set(found.peak) == {9.0}
    assert any("no interval" in note for note in found.notes)
    assert len(found.mean) == len(found.peak) == 168


def test_stated_growth_is_applied_to_declared_demand():
    """A declared demand that doubles in a year is planned for its rate near the end of a horizon of a year."""
    found = flat_forecast(4.0, 9.0, horizon_days=365, growth_per_year=1.0)

    assert found.mean == pytest.approx(np.full(168, 4.0 * 2**0.5), rel=1e-3)
    assert found.peak == pytest.approx(np.full(168, 9.0 * 2**0.9), rel=1e-3)
    assert found.low_peak == pytest.approx(np.full(168, 9.0 * 2**0.1), rel=1e-3)
    assert any("growth of 100% a year, as stated" in note for note in found.notes)


SERVEGEN = Path(__file__).parents[3] / "shared/data/traces/servegen/language"
needs_servegen = pytest.mark.skipif(not SERVEGEN.is_dir(), reason="the ServeGen rates are not here")


def client(path: Path, scale: float = 1.0) -> np.ndarray:
    """Requests in each minute of a client whose rate is known every ten minutes, at random (Poisson) within those."""
    rates = np.loadtxt(path, delimiter=",", usecols=1)
    return np.random.default_rng(0).poisson(np.repeat(rates, 10) * 60 * scale).astype(float)


@needs_servegen
@pytest.mark.parametrize("category", ["m-large", "m-mid", "m-small"])
def test_on_real_rates_the_choice_is_never_worse_than_the_baseline(category):
    """On two weeks of real rates every method is tested, and the one chosen errs no more than seasonal-naive."""
    clients = [np.loadtxt(path, delimiter=",", usecols=1) for path in sorted((SERVEGEN / category).glob("*-trace.csv"))]
    found = forecast(DemandProfile(MONDAY_SECONDS, np.repeat(np.sum(clients, axis=0), 10) * 60))
    errors = {row.method: row.wape for row in found.backtest}

    assert len(errors) == 6
    assert errors[found.method] <= errors[NAIVE]


def share_within(minutes: np.ndarray, first: int) -> float:
    """Share of the hours within the interval, of the days after that many and more, each forecast from the day before."""
    within = []
    for day in range(first, 14):
        found = forecast(DemandProfile(MONDAY_SECONDS, minutes[: day * 1440]))
        hours = (day * 24 + np.arange(24)) % 168
        came = minutes[day * 1440 : (day + 1) * 1440].reshape(24, 60).mean(axis=1) / 60
        within.extend((came >= found.low[hours] * (1 - 1e-5)) & (came <= found.high[hours] * (1 + 1e-5)))
    return float(np.mean(within))


@needs_servegen
def test_on_real_clients_the_interval_holds_what_it_promises():
    """Of each client four fifths of the hours of its second week are within it, of four days most of the time."""
    clients = [client(path) for path in sorted(SERVEGEN.glob("*/*-trace.csv"))]
    week, four_days = ([share_within(minutes, first) for minutes in clients] for first in (7, 10))

    assert len(clients) == 15
    assert all(0.745 <= share <= 0.855 for share in week)
    assert 0.75 <= np.mean(four_days) <= 0.85
    assert all(0.65 <= share <= 0.95 for share in four_days)
    assert sum(0.745 <= share <= 0.855 for share in four_days) >= 10


@needs_servegen
def test_a_spiky_client_is_not_planned_for_what_it_never_had():
    """m-large/chunk-20 at 0.3 of its rate: planned rates near its busiest minute, that differ, and cover the next day."""
    minutes = client(SERVEGEN / "m-large/chunk-20-trace.csv", 0.3)
    found = forecast(DemandProfile(MONDAY_SECONDS, minutes[: 13 * 1440]))
    came = minutes[13 * 1440 :].reshape(24, 60) / 60

    assert found.peak.max() <= MOST_OF_SEEN * minutes[: 13 * 1440].max() / 60
    assert found.peak.min() < 0.95 * found.peak.max()
    assert np.mean(came <= found.peak[6 * 24 :, None]) >= 0.9


def test_absurd_growth_is_told_in_a_few_digits():
    """As a factor, not as 300 digits of percent."""
    assert (
        "growth of 1e+300 times a year, as stated" in forecast(profile_of(office_week(28)), growth_per_year=1e300).notes
    )
    assert "growth of 30% a year, as stated" in forecast(profile_of(office_week(28)), growth_per_year=0.3).notes
