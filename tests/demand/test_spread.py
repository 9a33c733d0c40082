"""Intervals are quantiles of like hours at proven levels: what they promise is what comes, and no more than was seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.spread import (
    DAY,
    HIGH,
    HOUR,
    LIKENESSES,
    LOW,
    MOST_BEYOND,
    WEEKDAY,
    WIDEST,
    WORKDAY,
    calibrated,
    pinball,
)

FIRST_HOUR = 490_992
"""Monday 5 January 2026, 00:00 UTC, in hours since 1970."""


def ends_of_days(hours: int) -> list[int]:
    """Origins a day apart, from the first day on."""
    return list(range(hours % 24 + 24, hours, 24))


def hazen(values: np.ndarray, level: float) -> float:
    """Quantile by its definition: linear between (k - 0.5) ÷ n."""
    return float(np.quantile(values, level, method="hazen"))


@pytest.mark.parametrize(("likeness", "days"), [(DAY, [range(7)] * 7), (WORKDAY, [range(5)] * 5 + [(5, 6)] * 2)])
@pytest.mark.parametrize("starts", [0, 5, 31])
def test_quantiles_are_those_of_the_like_hours(likeness, days, starts):
    """Every hour of the week has the quantile of the hours of like days about it, each ÷ its hour's mean root."""
    generator = np.random.default_rng(starts)
    past = generator.gamma(2.0, 3.0, 20 * 24 - starts)
    past[generator.random(len(past)) < 0.1] = np.nan
    at = starts + np.arange(len(past))
    ranked = likeness.ranked(past, FIRST_HOUR + starts)
    is_near = (at // 24 > at[-1] // 24 - likeness.days) & ~np.isnan(past)
    usual = np.array([np.sqrt(past[is_near & (at % 24 == hour)]).mean() for hour in range(24)])

    for hour_of_week in (0, 23, 80, 167):
        day, hour = divmod(hour_of_week, 24)
        apart = np.minimum((at - hour) % 24, (hour - at) % 24)
        is_like = np.isin(at // 24 % 7, days[day]) & (apart <= likeness.reach_hours) & is_near
        ratios = past[is_like] / usual[at[is_like] % 24]
        for level in (0.03, LOW, 0.5, HIGH):
            assert ranked.quantile(level)[hour_of_week] == pytest.approx(hazen(ratios, level) * usual[hour])


def test_pinball_loss_is_least_at_the_quantile():
    """No constant forecast loses less than the quantile itself."""
    values = np.random.default_rng(1).gamma(2.0, 3.0, 500)
    losses = {level: pinball(values, np.array(hazen(values, level)), level).sum() for level in (LOW, HIGH)}

    for level, loss in losses.items():
        assert all(loss <= pinball(values, np.array(other), level).sum() + 1e-9 for other in np.linspace(0, 20, 300))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("days", [10, 14, 28])
def test_eight_of_ten_hours_come_within_the_band(days):
    """Over many series of correlated noise, four fifths of the hours of the next day come between the edges."""
    within = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        noise = np.zeros((days + 1) * 24)
        for hour in range(1, len(noise)):
            noise[hour] = 0.8 * noise[hour - 1] + generator.normal(0, 0.2)
        rates = (10 + 5 * np.sin(np.arange(len(noise)) / 24 * 2 * np.pi)) * np.exp(noise)
        past, came = rates[:-24], rates[-24:]
        band = calibrated(past, FIRST_HOUR, ends_of_days(len(past)))
        within.append(((came >= band.low[-1][:24]) & (came <= band.high[-1][:24])).mean())

    assert 0.75 <= np.mean(within) <= 0.85


def test_nothing_after_an_origin_has_a_part_in_its_band():
    """Spoiling every hour after the tenth day changes no edge at that origin or before."""
    rates = np.random.default_rng(2).gamma(2.0, 3.0, 20 * 24)
    spoiled = rates.copy()
    spoiled[10 * 24 :] = 1e6
    origins = ends_of_days(len(rates))
    one, other = (calibrated(series, FIRST_HOUR, origins) for series in (rates, spoiled))
    before = [row for row, origin in enumerate(origins) if origin <= 10 * 24]

    assert len(before) == 10
    assert (one.low[before] == other.low[before]).all()
    assert (one.high[before] == other.high[before]).all()


def test_a_day_outside_the_band_widens_it_and_calm_days_narrow_it_again():
    """After a day well above its edge the edge rises, beyond what would be the quantile; days within lower it."""
    calm = np.random.default_rng(3).uniform(9, 11, 14 * 24)
    surprised = np.concatenate([calm, np.full(24, 14.0)])
    settled = np.concatenate([surprised, calm[:24]])
    highs = [
        calibrated(series, FIRST_HOUR, ends_of_days(len(series))).high[-1].mean()
        for series in (calm, surprised, settled)
    ]

    assert highs[0] < highs[2] < highs[1]
    assert highs[1] > hazen(surprised, HIGH)


def test_a_day_beyond_one_edge_widens_the_other_too():
    """A day well above the band lowers its lower edge: the demand moves more than it did."""
    calm = np.random.default_rng(3).uniform(9, 11, 14 * 24)
    lows = [
        calibrated(series, FIRST_HOUR, ends_of_days(len(series))).low[-1].mean()
        for series in (calm, np.concatenate([calm, np.full(24, 14.0)]))
    ]

    assert lows[1] < lows[0]


def test_later_days_have_the_level_of_a_week_and_the_next_day_that_of_now():
    """After one day well above its edge the next day's edge is above that of the days after it."""
    rates = np.concatenate([np.random.default_rng(3).uniform(9, 11, 14 * 24), np.full(24, 14.0)])
    high = calibrated(rates, FIRST_HOUR, ends_of_days(len(rates))).high[-1]

    assert high[:24].mean() > 1.05 * high[24:].mean()


def test_a_first_day_has_a_wide_band():
    """Of a single day the edges leave out no more than three of a hundred hours: what others are like is unknown."""
    rates = np.random.default_rng(5).uniform(9, 11, 24)
    band = calibrated(rates, FIRST_HOUR, [])

    assert np.mean((rates >= band.low[-1][:24] * 0.99) & (rates <= band.high[-1][:24] * 1.01)) >= 0.95


def test_quiet_hours_beside_busy_ones_have_an_edge_of_their_own():
    """An hour at a ninth of the rate of those about it is allowed for at a third of theirs, not at their own."""
    rates = 9.0 * np.random.default_rng(4).lognormal(0, 0.1, 14 * 24)
    rates[12::24] /= 9
    high = calibrated(rates, FIRST_HOUR, ends_of_days(len(rates))).high[-1]

    assert high[12::24].max() < 0.5 * high[13::24].min()


def restless(seed: int, days: int) -> np.ndarray:
    """Hourly rates with a day, a weekend, correlated noise, shifts of the level and surges, all by chance."""
    generator = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    noise, level = np.zeros(len(hours)), np.zeros(len(hours))
    for hour in range(1, len(hours)):
        noise[hour] = 0.85 * noise[hour - 1] + generator.normal(0, 0.12)
    for shift in np.flatnonzero(generator.random(len(hours)) < generator.choice([0, 1 / 168, 1 / 72])):
        level[shift:] += generator.normal(0, 0.5)
    rates = 10 * (1 + generator.uniform(0, 0.9) * np.sin(2 * np.pi * (hours - generator.uniform(0, 24)) / 24))
    rates *= np.where(hours // 24 % 7 >= 5, generator.uniform(0.2, 1.2), 1.0) * np.exp(noise + level)
    for surge in np.flatnonzero(generator.random(len(hours)) < generator.choice([0, 1 / 48, 1 / 24])):
        rates[surge : surge + generator.integers(1, 7)] *= 1 + generator.gamma(1.0, 1.5)
    return rates


def test_of_each_restless_series_eight_of_ten_hours_of_a_week_come_within_the_band():
    """Forecast day by day over the second of two weeks, four of five series have 75 to 85 % of their hours within."""
    shares = []
    for seed in range(40):
        rates = restless(seed, 14)
        within = []
        for now in range(7 * 24, 14 * 24, 24):
            band, came = calibrated(rates[:now], FIRST_HOUR, ends_of_days(now)), rates[now : now + 24]
            within.extend((came >= band.low[-1][:24]) & (came <= band.high[-1][:24]))
        shares.append(np.mean(within))

    assert 0.77 <= np.mean(shares) <= 0.83
    assert np.mean([0.745 <= share <= 0.855 for share in shares]) >= 0.8
    assert all(0.65 <= share <= 0.95 for share in shares)


def test_one_surge_a_fortnight_is_not_what_a_drift_widens_to():
    """A thousandfold hour leaves the edge where it was, also when the level drifts out of the band every day."""
    rates = 1.0 * 1.02 ** np.repeat(np.arange(14), 24)
    rates[100:103] = 1000.0
    high = calibrated(rates, FIRST_HOUR, ends_of_days(len(rates))).high[-1]

    assert high.max() <= WIDEST * 1.02**14 + rates.mean()


@given(seed=st.integers(0, 10_000), days=st.integers(1, 40), scale=st.floats(0.01, 1000))
@settings(max_examples=25, deadline=None)
def test_a_band_scales_is_ordered_and_stays_near_what_was_seen(seed, days, scale):
    """Rates k times as high give k times the edges; edges are known, in order, and at most a quarter beyond the past."""
    generator = np.random.default_rng(seed)
    rates = generator.gamma(0.5, 2.0, days * 24) * (generator.random(days * 24) < 0.8)
    rates[generator.random(len(rates)) < 0.2] = np.nan
    rates[-1] = 1.0
    origins = [origin for origin in ends_of_days(len(rates)) if not np.isnan(rates[:origin]).all()]
    band = calibrated(rates, FIRST_HOUR, origins)
    scaled = calibrated(rates * scale, FIRST_HOUR, origins)

    assert scaled.low == pytest.approx(band.low * scale, rel=1e-9)
    assert scaled.high == pytest.approx(band.high * scale, rel=1e-9)
    assert (band.low >= 0).all()
    assert (band.low <= band.high).all()
    assert (band.high <= (1 + MOST_BEYOND) * np.nanmax(rates) * (1 + 1e-9)).all()


def test_days_of_the_week_count_only_where_each_was_seen_often_enough():
    """Two weeks feed no day of the week by itself, four do; weekdays against weekends take two weeks."""
    rates = np.ones(28 * 24)

    assert not WEEKDAY.is_fed(rates[: 14 * 24], FIRST_HOUR)
    assert WORKDAY.is_fed(rates[: 14 * 24], FIRST_HOUR)
    assert not WORKDAY.is_fed(rates[: 7 * 24], FIRST_HOUR)
    assert all(likeness.is_fed(rates, FIRST_HOUR) for likeness in LIKENESSES)


def test_hours_that_never_had_a_request_have_no_edge_of_the_busy_ones_beside_them():
    """Five days have requests from 9 to 18 o'clock alone: none is allowed for in any other hour."""
    hours = np.arange(5 * 24)
    is_open = (hours % 24 >= 9) & (hours % 24 < 18)
    rates = np.where(is_open, np.random.default_rng(6).uniform(7.9, 8.1, len(hours)), 0.0)
    band = calibrated(rates, FIRST_HOUR, ends_of_days(len(rates)))

    assert band.likeness == HOUR.name
    assert (band.high[-1][:24] > 0).tolist() == is_open[:24].tolist()
    assert band.low[-1][:24][is_open[:24]].min() > 7
