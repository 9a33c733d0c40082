"""Summaries and the busy profile: hand-computed cases, and equality with numpy on the raw rows."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from advisor.samples.summary import busy_profile, summarise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples.building import MIDNIGHT, gap, sample, write

from advisor.errors import InputError
from advisor.samples.store import read_samples

ratios = st.none() | st.floats(0, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(1, 300)),
        st.tuples(ratios, st.integers(0, 2**40)),
        min_size=1,
        max_size=60,
    )
)
def test_a_summary_equals_numpy_on_the_raw_rows(tmp_path_factory, rows):
    """Quantiles, mean, peak and coverage are what numpy says of the known values, whatever was stored."""
    directory = tmp_path_factory.mktemp("store")
    write(
        directory,
        [
            sample(second, index, busy_ratio=busy, memory_used_bytes=used)
            for (index, second), (busy, used) in rows.items()
        ],
    )
    seconds = [second for _, second in rows]
    expected_ticks = max(seconds) - min(seconds) + 1
    summaries = {summary.key.accelerator_index: summary for summary in summarise(read_samples(directory))}
    for index in {index for index, _ in rows}:
        mine = [value for (other, _), value in rows.items() if other == index]
        assert summaries[index].samples == len(mine)
        assert summaries[index].coverage_ratio == pytest.approx(len(mine) / expected_ticks)
        for name, known in [
            ("busy_ratio", [busy for busy, _ in mine if busy is not None]),
            ("memory_used_bytes", [used for _, used in mine]),
        ]:
            if not known:
                assert name not in summaries[index].metrics
                continue
            metric = summaries[index].metrics[name]
            assert metric.p50 == pytest.approx(np.quantile(known, 0.5))
            assert metric.p95 == pytest.approx(np.quantile(known, 0.95))
            assert metric.max == max(known)
            assert metric.mean == pytest.approx(np.mean(known))
            assert metric.coverage_ratio == pytest.approx(len(known) / expected_ticks)


def test_peak_against_average(tmp_path):
    """Busy 0.1 nine times and 1.0 once: mean 0.19, peak 1.0, 5.3 times the mean."""
    write(tmp_path, [sample(second, busy_ratio=1.0 if second == 5 else 0.1) for second in range(1, 11)])
    busy = summarise(read_samples(tmp_path))[0].metrics["busy_ratio"]
    assert busy.mean == pytest.approx(0.19)
    assert busy.max == 1.0
    assert busy.peak_to_mean == pytest.approx(1 / 0.19)


def test_the_peak_is_the_highest_reading_within_a_row(tmp_path):
    """Rows that know their own greatest reading give the peak; they are no metric of their own, nor are counters."""
    write(tmp_path, [sample(second, busy_ratio=0.2, energy_joules=1.0 * second) for second in range(1, 4)])
    frame = read_samples(tmp_path)
    rows = {**frame.columns, "busy_ratio_max": np.array([0.3, 0.9, np.nan]), "busy_ratio_n": np.full(3, 15.0)}
    (summary,) = summarise(replace(frame, columns=rows))
    assert summary.metrics["busy_ratio"].max == 0.9
    assert summary.metrics["busy_ratio"].p95 == pytest.approx(0.2)
    assert set(summary.metrics) == {"busy_ratio"}


def test_an_idle_accelerator_has_no_peak_to_mean(tmp_path):
    """Where the mean is zero there is no ratio to it."""
    write(tmp_path, [sample(1, busy_ratio=0.0)])
    assert summarise(read_samples(tmp_path))[0].metrics["busy_ratio"].peak_to_mean is None


def test_energy_is_the_growth_of_the_counter(tmp_path):
    """From 100 J to 180 J, then a new driver that counted 5 J to 25 J: 80 + 25 J; one reading alone says nothing."""
    counter = [100.0, None, 180.0, 5.0, 25.0]
    readings = [sample(second, energy_joules=value) for second, value in enumerate(counter, start=1)]
    write(tmp_path, [*readings, sample(1, index=1, energy_joules=7.0)])
    assert [summary.energy_joules for summary in summarise(read_samples(tmp_path))] == [105.0, None]


def test_coverage_counts_gaps_and_silence_of_the_agent(tmp_path):
    """Of 20 s, one accelerator misses 4 s to gaps, and both miss 6 s in which no agent ran."""
    ticks = [*range(1, 8), *range(14, 21)]
    write(tmp_path, [sample(second) for second in ticks])
    write(tmp_path, [sample(second, 1) if second < 17 else gap(second, 1) for second in ticks])
    first, second = summarise(read_samples(tmp_path))
    assert first.coverage_ratio == pytest.approx(14 / 20)
    assert second.coverage_ratio == pytest.approx(10 / 20)
    assert second.samples == 10
    assert second.missed_ticks == 4
    assert second.gap_reasons == {"GPU is lost": 4}


def test_coverage_never_exceeds_one_with_two_agents_of_different_intervals(tmp_path):
    """One agent every second and one every 15 s watch the same accelerator: its time is counted once."""
    write(tmp_path, [sample(second) for second in range(1, 61)])
    write(tmp_path, [sample(second) for second in (15, 30, 45, 60)], interval_seconds=15)
    (summary,) = summarise(read_samples(tmp_path))
    assert summary.coverage_ratio == pytest.approx(1.0)


def minute_of(profile, minute):
    """Value of the window that starts so many minutes after midnight."""
    return profile.busy_accelerators[profile.window_start_seconds == MIDNIGHT.timestamp() + 60 * minute].item()


def test_the_profile_adds_up_accelerators(tmp_path):
    """Two accelerators at 0.25 and 0.5 for a minute and then at 1 and 0 are 0.75 and 1 busy accelerators."""
    write(tmp_path, [sample(second, 0, busy_ratio=0.25 if second <= 60 else 1.0) for second in range(1, 121)])
    write(tmp_path, [sample(second, 1, busy_ratio=0.5 if second <= 60 else 0.0) for second in range(1, 121)])
    profile = busy_profile(read_samples(tmp_path, ("busy_ratio",)))
    assert profile.busy_accelerators.tolist() == pytest.approx([0.75, 1.0])
    assert profile.coverage_ratio.tolist() == pytest.approx([1.0, 1.0])
    assert profile.present_accelerators.tolist() == [2, 2]
    assert profile.window_start_seconds.tolist() == [MIDNIGHT.timestamp(), MIDNIGHT.timestamp() + 60]


@pytest.mark.parametrize("missing", ["gap", "unknown value", "nothing written"])
@pytest.mark.parametrize(("lost_seconds", "is_unknown"), [(1, False), (11, False), (13, True)])
def test_a_window_mostly_observed_counts_and_any_other_is_unknown(tmp_path, missing, lost_seconds, is_unknown):
    """Up to a tenth of a minute of two accelerators may be missing: it is then taken to be as busy as the rest."""
    lost = range(90, 90 + lost_seconds)
    for index in (0, 1):
        rows = [sample(second, index) for second in range(1, 181) if index == 0 or second not in lost]
        if index == 1:
            rows += {
                "gap": [gap(second, 1) for second in lost],
                "unknown value": [sample(second, 1, busy_ratio=None) for second in lost],
                "nothing written": [],
            }[missing]
        write(tmp_path, rows)
    profile = busy_profile(read_samples(tmp_path))

    assert profile.coverage_ratio[1] == pytest.approx(1 - lost_seconds / 120)
    np.testing.assert_array_equal(np.isnan(profile.busy_accelerators), [False, is_unknown, False])
    known = profile.busy_accelerators[~np.isnan(profile.busy_accelerators)]
    np.testing.assert_allclose(known, known[0])


def test_a_long_interval_spreads_over_its_windows(tmp_path):
    """A reading every five minutes speaks of the five minutes before it, in each of which the fleet was that busy."""
    write(tmp_path, [sample(300, busy_ratio=0.2), sample(600, busy_ratio=0.8)], interval_seconds=300)
    profile = busy_profile(read_samples(tmp_path))
    assert profile.busy_accelerators.tolist() == pytest.approx([0.2] * 5 + [0.8] * 5)


def test_a_reading_across_an_edge_is_split(tmp_path):
    """Readings every 40 s: the second speaks of 40 s to 80 s, half of it in each minute."""
    write(tmp_path, [sample(40, busy_ratio=0.0), sample(80, busy_ratio=0.9), sample(120, busy_ratio=0.3)], 40)
    profile = busy_profile(read_samples(tmp_path))
    assert profile.busy_accelerators.tolist() == pytest.approx([0.9 * 20 / 60, (0.9 * 20 + 0.3 * 40) / 60])


def test_minutes_at_the_edges_are_unknown_when_cut(tmp_path):
    """Sampling from 00:00:30 to 00:02:15 knows the minute between whole, and neither of those it cut."""
    write(tmp_path, [sample(second) for second in range(31, 136)])
    profile = busy_profile(read_samples(tmp_path))
    np.testing.assert_array_equal(np.isnan(profile.busy_accelerators), [True, False, True])


def test_a_host_that_came_later_is_not_unknown_before(tmp_path):
    """A second host that is sampled from the third minute on leaves the first two minutes known."""
    write(tmp_path, [sample(second) for second in range(1, 241)])
    write(tmp_path, [sample(second, host="host-b") for second in range(121, 241)], host="host-b")
    profile = busy_profile(read_samples(tmp_path))
    assert profile.busy_accelerators.tolist() == pytest.approx([0.5, 0.5, 1.0, 1.0])
    assert profile.present_accelerators.tolist() == [1, 1, 2, 2]


def test_accelerators_that_never_say_how_busy_they_are_are_named(tmp_path):
    """They are left out of the profile and listed; when there is no other, there is no profile but an error."""
    write(tmp_path, [sample(second, 1, busy_ratio=None) for second in range(1, 61)])
    with pytest.raises(InputError, match="no accelerator in these samples says how busy it is") as caught:
        busy_profile(read_samples(tmp_path))
    assert "request trace" in caught.value.hint
    write(tmp_path, [sample(second) for second in range(1, 61)])
    profile = busy_profile(read_samples(tmp_path))
    assert profile.busy_accelerators.tolist() == pytest.approx([0.5])
    assert [key.accelerator_index for key in profile.without_reading] == [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    interval=st.sampled_from([0.1, 0.5, 1, 7, 15, 60, 90]),
    window=st.sampled_from([30, 60, 300]),
    seed=st.integers(0, 2**31),
)
def test_busy_time_is_conserved(tmp_path_factory, interval, window, seed):
    """The busy accelerator-seconds of all windows are those of all readings, whatever interval and window."""
    directory = tmp_path_factory.mktemp("store")
    generator = np.random.default_rng(seed)
    # Whole windows, so that no edge is cut: readings from midnight on for as many ticks as fill some of them.
    ticks = round(np.lcm(round(interval * 10), window * 10) / (interval * 10))
    busy = generator.random((2, ticks))
    for index in (0, 1):
        rows = [sample((tick + 1) * interval, index, busy_ratio=float(busy[index, tick])) for tick in range(ticks)]
        write(directory, rows, interval)
    profile = busy_profile(read_samples(directory), window)
    assert profile.coverage_ratio.tolist() == pytest.approx([1.0] * len(profile.coverage_ratio))
    assert float(profile.busy_accelerators.sum()) * window == pytest.approx(float(busy.sum()) * interval, rel=1e-6)
    assert np.all(profile.busy_accelerators <= 2 + 1e-6)


def test_the_profile_of_a_sleep_is_unknown_in_between(tmp_path):
    """Three minutes in which the agent did not run are unknown, not idle."""
    write(tmp_path, [sample(second) for second in [*range(1, 61), *range(241, 301)]])
    write(tmp_path, [gap(240, missed_ticks=180)], started=MIDNIGHT + timedelta(seconds=61))
    profile = busy_profile(read_samples(tmp_path))
    np.testing.assert_array_equal(np.isnan(profile.busy_accelerators), [False, True, True, True, False])
    assert minute_of(profile, 4) == pytest.approx(0.5)
