"""Requests made up after a demand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.lengths import declared_demand
from advisor.demand.spread import hours_of_week
from advisor.demand.synthetic_trace import Calendar, Stress, busiest_rate, rehearse, stressed
from advisor.demand.tally import poisson, uniforms
from advisor.demand.values import BatchBeside, BatchRun, DemandProfile, Dispersion

MONDAY = 1_699_833_600.0


def demand(counts, dispersion=None):
    """Declared demand with a profile of so many requests in each minute."""
    profile = DemandProfile(MONDAY, np.array(counts, dtype=float), dispersion or Dispersion())
    return replace(declared_demand(1.0, 2.0, 500, 100), profile=profile)


def index_of_seconds(seconds):
    """Variance over mean of the requests in each second, about their minute."""
    counts = np.bincount((seconds - MONDAY).astype(int), minlength=6000)[:6000].reshape(-1, 60)
    return float(counts.var(axis=1).mean() / counts.mean())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=30).filter(any))
def test_every_minute_has_its_requests(counts):
    """What was counted in a minute arrives in that minute, in order."""
    seconds = rehearse(demand(counts)).requests.seconds

    assert np.bincount(((seconds - MONDAY) // 60).astype(int), minlength=len(counts)).tolist() == counts
    assert (np.diff(seconds) >= 0).all()


@pytest.mark.parametrize("index", [1.0, 3.0, 8.0])
def test_it_is_as_bursty_as_measured(index):
    """The index of dispersion of the seconds comes out as it went in."""
    seconds = rehearse(demand([600] * 100, Dispersion(one_second=index, ten_seconds=1.0)), 60_000).requests.seconds

    assert index_of_seconds(seconds) == pytest.approx(index, rel=0.15)


@pytest.mark.parametrize(("added_by_night", "busiest"), [(2.0, 10.0), (30.0, 31.0)])
def test_the_busiest_minute_is_that_of_the_stretch(added_by_night, busiest):
    """As many as were observed while batch work adds less elsewhere: fewer are rehearsed of hours that have fewer.

    The planned rate of the busiest hours, which may be below it, made quieter hours beside batch work too busy.
    """
    counts = np.tile(np.repeat([60.0, 300.0], [8 * 60, 16 * 60]), 7)
    counts[12 * 60] = 600.0
    night = np.arange(168) % 24 < 8
    calendar = Calendar(tuple(np.where(night, 0, 1).tolist()), (1.0 + added_by_night, 5.0))
    beside = replace(calendar, added_rates=tuple(np.where(night, added_by_night, 0.0).tolist()))
    asked = demand(counts)

    assert busiest_rate(asked, calendar) == asked.requests_per_second.peak
    assert busiest_rate(asked, beside) == pytest.approx(busiest, rel=0.15)
    assert beside.most_added().tolist() == [added_by_night, 0.0]


def test_a_declared_demand_is_rehearsed_at_its_own_peak_beside_batch_work():
    """Outside of open hours; where all are planned alike, with what batch work adds most."""
    added = tuple(9.0 if hour < 8 else 0.0 for hour in range(168))
    in_two = Calendar(tuple(int(hour < 8) for hour in range(168)), (1.0, 10.0), added)
    in_one = Calendar((0,) * 168, (2.0,), added)
    work = BatchBeside(BatchRun(1_000.0, 168, 0, tuple(range(8)), 8.0), 100.0, 10.0)

    assert busiest_rate(replace(declared_demand(1.0, 2.0, 500, 100), beside=work), in_two) == 2.0
    assert busiest_rate(replace(declared_demand(1.0, 2.0, 500, 100), beside=work), in_one) == 11.0


def test_batch_work_at_other_hours_moves_a_declared_stretch_and_changes_nothing_else():
    """The requests alone are as without it: a fleet that holds them by itself holds them here."""
    work = BatchBeside(BatchRun(1_000.0, 168, 0, tuple(range(8)), 8.0), 100.0, 10.0)
    asked = declared_demand(4.0, 4.0, 500, 100)
    alone, beside = (rehearse(each, filling_minutes=2).requests for each in (asked, replace(asked, beside=work)))

    assert beside.seconds - 8 * 3600 == pytest.approx(alone.seconds, abs=1e-3)
    assert beside.input_tokens.tolist() == alone.input_tokens.tolist()


def test_a_long_demand_is_cut_to_its_busiest_stretch():
    """Of a long demand the minutes around the busiest one are taken, and unknown ones are empty."""
    counts = [10.0] * 500 + [900.0] * 3 + [np.nan] + [10.0] * 500

    found = rehearse(demand(counts), 2_800)

    assert found.minutes < 60
    assert found.requests.seconds[0] >= MONDAY + 440 * 60
    assert 2_700 <= found.requests.seconds.size < 2_900


def test_declared_demand_comes_at_random_at_its_peak():
    """Numbers alone give Poisson arrivals at the stated peak."""
    found = rehearse(declared_demand(3.0, 6.0, 500, 100))

    assert found.requests.seconds.size / found.minutes / 60 == pytest.approx(6.0, rel=0.1)
    assert set(found.requests.input_tokens.tolist()) == {500}
    assert "stated peak" in found.words


@pytest.mark.parametrize("rate", [0.1, 0.5, 2.0, 10.0])
def test_a_declared_demand_is_rehearsed_long_enough_to_tell_a_hundredth_from_more(rate):
    """At a low rate too: of 800 requests the share that is late anyway was from 0.6 % to more than 1 % by chance."""
    assert rehearse(declared_demand(rate, rate, 500, 100)).requests.seconds.size >= 3_700


def three_classes():
    """Nights, days, and one busy hour on Wednesday noon."""
    hours = np.arange(168)
    schedule = np.where((hours % 24 >= 8) & (hours % 24 < 20), 1, 0)
    schedule[60] = 2
    return Calendar(tuple(schedule.tolist()), (0.5, 2.0, 8.0))


def counts_of(calendar, days):
    """As many requests in each minute as the calendar expects, from Monday on."""
    hours = np.arange(24 * days) % 168
    return np.repeat(np.array(calendar.mean_rates)[np.array(calendar.schedule)[hours]] * 60, 60)


def classes_of(calendar, requests):
    """Hour class of each request."""
    hours = hours_of_week(0, 1)[0] + (requests.seconds // 3600).astype(int)
    return np.array(calendar.schedule)[hours % 168]


def test_a_sample_spans_every_class_of_hours():
    """The busiest stretch is about half; each other class comes at its level, with the hour change before it."""
    calendar = three_classes()

    found = rehearse(demand(counts_of(calendar, 7)), 20_000, calendar)

    classes = classes_of(calendar, found.requests)
    busiest = classes[found.busiest]
    assert (busiest == 2).any()
    assert found.busiest.stop >= found.requests.seconds.size / 2
    others = set(classes[found.busiest.stop :].tolist())
    assert others >= {0, 1}
    assert (np.diff(found.requests.seconds) >= 0).all()
    assert found.requests.seconds.size <= 20_500
    assert "2 other kinds of hours" in found.words


def test_hours_that_were_never_observed_come_at_the_rate_that_is_expected():
    """Of one observed hour the other classes are made up, at their own hours of the week."""
    calendar = three_classes()
    hour = demand([480.0] * 60)
    noon = replace(hour, profile=replace(hour.profile, start_seconds=MONDAY + 60 * 3600))

    found = rehearse(noon, 40_000, calendar)

    classes = classes_of(calendar, found.requests)[found.busiest.stop :]
    night = found.requests.seconds[found.busiest.stop :][classes == 0]
    assert set(classes.tolist()) >= {0, 1}
    assert night.size == pytest.approx(0.5 * 3600, rel=0.2)


def test_one_class_of_hours_is_its_busiest_stretch_alone():
    """Where all hours are planned alike there is nothing else to look at."""
    calendar = Calendar((0,) * 168, (3.0,))

    found = rehearse(demand(counts_of(three_classes(), 7)), 5_000, calendar)
    plain = rehearse(demand(counts_of(three_classes(), 7)), 5_000)

    assert (found.requests.seconds == plain.requests.seconds).all()
    assert found.busiest == slice(0, found.requests.seconds.size)


def test_batch_work_comes_beside_what_was_observed_in_its_hours():
    """Half a request a second in every hour of a week, and 4 more from 22:00 to 02:00: the busiest stretch is there."""
    hours = np.arange(168) % 24
    added = np.where((hours >= 22) | (hours < 2), 4.0, 0.0)
    calendar = Calendar((0,) * 168, (0.5 + float(added.mean()),), tuple(added.tolist()))
    steady = demand(np.full(168 * 60, 30.0))

    found = rehearse(steady, 5_000, calendar)

    at = hours_of_week(0, 1)[0] + (found.requests.seconds // 3600).astype(int)
    assert set((at % 24).tolist()) <= {22, 23, 0, 1, 2, 21}
    assert found.requests.seconds.size / found.minutes / 60 == pytest.approx(4.5, rel=0.1)
    stress = stressed(steady, 5_000, 1.0, calendar, stress=Stress(peak_ratio=2.0))
    assert stress.seconds.size == pytest.approx(2 * found.requests.seconds.size, rel=0.1)


@pytest.mark.parametrize("classes", [1, 2])
def test_batch_work_comes_beside_the_declared_peak(classes):
    """In a class of its own an hour change of it is made up; where all hours are one class, it is the stretch itself."""
    hours = np.arange(168) % 24
    added = np.where(hours < 6, 9.0, 0.0)
    schedule = (hours < 6).astype(int) * (classes - 1)
    calendar = Calendar(tuple(schedule.tolist()), (3.0, 12.0)[:classes], tuple(added.tolist()))

    found = rehearse(declared_demand(3.0, 6.0, 500, 100), 20_000, calendar)

    minutes = np.bincount((found.requests.seconds // 60).astype(int) - int(found.requests.seconds[0] // 60))
    assert np.quantile(minutes[minutes > 0], 0.9) / 60 == pytest.approx(15.0, rel=0.15)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 3.0])
def test_a_stressed_stretch_has_so_many_times_the_requests(ratio):
    """The same minutes with more in each."""
    steady = demand([600] * 100)

    requests = stressed(steady, 6_000, 1.0, stress=Stress(peak_ratio=ratio))

    seconds = requests.seconds[-1] - requests.seconds[0]
    assert requests.seconds.size / seconds == pytest.approx(10 * ratio, rel=0.1)
    assert requests.seconds.size == pytest.approx(6_000 * ratio, rel=0.1)


def test_a_stressed_stretch_is_so_many_times_as_bursty():
    """Twice the index of dispersion of the seconds."""
    steady = demand([600] * 100, Dispersion(one_second=2.0, ten_seconds=1.0))

    seconds = stressed(steady, 60_000, 1.0, stress=Stress(dispersion_ratio=2.0)).seconds

    assert index_of_seconds(seconds) == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize("rate", [2e3, 1e4, 1e6])
def test_a_large_demand_is_rehearsed_at_a_scale(rate):
    """A minute of three times the requests asked for; the scale says which share of the demand they are."""
    declared, counted = declared_demand(rate, rate, 500, 100), demand([rate * 60] * 30, Dispersion(5.0, 9.0))

    for large in (declared, counted):
        trace = rehearse(large, 20_000)
        stress = stressed(large, 6_000, trace.scale, stress=Stress(peak_ratio=2.0))
        larger = rehearse(large, 20_000, scale=min(4 * trace.scale, 1.0))

        assert trace.requests.seconds.size == pytest.approx(60_000, rel=0.1)
        assert trace.scale == pytest.approx(60_000 / (rate * 60), rel=0.1)
        assert trace.minutes >= 1
        assert "at a scale of" in trace.words
        assert stress.seconds.size == pytest.approx(2 * 60_000, rel=0.1)
        assert larger.requests.seconds.size == pytest.approx(larger.scale * rate * 60, rel=0.1)


def test_it_is_the_same_every_time():
    """Two rehearsals of one demand are equal to the last bit."""
    one, other = (rehearse(demand([50, 80, 20], Dispersion(3.0, 9.0))).requests for _ in range(2))

    assert (one.seconds == other.seconds).all()
    assert (one.input_tokens == other.input_tokens).all()


def moments(trace):
    """Each request of a trace: when it comes, and how long it is, to the microsecond."""
    requests = trace.requests
    seconds = np.round((requests.seconds - MONDAY) * 1e6).astype(int).tolist()
    return set(zip(seconds, requests.input_tokens.tolist(), requests.output_tokens.tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30).filter(any), st.floats(1.0, 3.0))
def test_more_of_a_demand_is_the_same_requests_and_more(counts, factor):
    """What arrives of a demand arrives of a larger one too, at the same moments and as long."""
    less = demand(counts)

    assert moments(rehearse(less)) <= moments(rehearse(less.times(factor)))


def test_bursts_stay_where_they_are_when_a_demand_grows():
    """Of a bursty demand nearly all requests come at the same moments in one that is a quarter larger."""
    less = demand([200] * 60, Dispersion(one_second=6.0, ten_seconds=30.0))

    fewer, more = (moments(rehearse(each, 20_000)) for each in (less, less.times(1.25)))

    assert len(fewer & more) >= 0.8 * len(fewer)


def test_stated_demand_grows_minute_by_minute():
    """At a higher stated peak no minute has fewer requests, and they are as many as random arrivals are."""
    peaks = [np.bincount((rehearse(declared_demand(1.0, peak, 500, 100), 40_000, scale=1.0).requests.seconds - 345_600)
                         .astype(int) // 60) for peak in (4.0, 5.0)]  # fmt: skip
    size = min(map(len, peaks))

    assert (peaks[0][:size] <= peaks[1][:size]).all()


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 40.0, 900.0, 6e7])
def test_poisson_numbers_have_their_mean_and_variance(mean):
    """By the inverse of the distribution, whatever the mean."""
    numbers = poisson(mean, uniforms(1, np.arange(40_000)))

    assert numbers.mean() == pytest.approx(mean, rel=0.1 if mean < 0.1 else 0.03)
    assert numbers.var() == pytest.approx(mean, rel=0.1 if mean < 0.1 else 0.03)


@given(st.floats(1e-3, 1e4), st.floats(1.0, 2.0), st.floats(0, 1, exclude_max=True))
def test_poisson_numbers_grow_with_their_mean(mean, factor, number):
    """The same draw gives no fewer of a larger mean."""
    draw = np.array([number])

    assert poisson(mean, draw)[0] <= poisson(mean * factor, draw)[0]


def test_draws_are_uniform_and_independent():
    """Numbers of neighbouring keys and of other streams are evenly spread and have nothing to do with each other."""
    keys = np.arange(50_000)
    one, other = uniforms(1, keys), uniforms(2, keys)
    grid = uniforms(1, keys // 200, keys % 200)
    assert (uniforms(1, keys[:250], keys % 200, np.full(250, 200)) == grid).all()

    for numbers in (one, other, grid):
        counts = np.bincount((numbers * 100).astype(int), minlength=100)
        assert ((counts - 500) ** 2 / 500).sum() < 160
    pairs = [(one, other), (one[1:], one[:-1]), (grid[200:], grid[:-200])]
    assert all(abs(np.corrcoef(left, right)[0, 1]) < 0.02 for left, right in pairs)
