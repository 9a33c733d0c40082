"""When requests came: minutes, holes in the telemetry, bursts and lengths by the hour."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.busy import Busy, BusySecond, demand_from_busy
from advisor.demand.spread import UNDATED
from advisor.demand.synthetic_trace import rehearse
from advisor.demand.tally import (
    BLOCK_SECONDS,
    PER_SECOND,
    FineCounts,
    RequestTally,
    read_summary,
    summary_json,
    without_gaps,
)
from advisor.demand.values import DemandProfile
from advisor.errors import InputError

MONDAY_2026 = 1_767_571_200.0


def tally_of(seconds, inputs=None, outputs=None) -> RequestTally:
    """The tally of requests at these times; 100 tokens in and 10 out where nothing else is said."""
    tally = RequestTally()
    size = len(seconds)
    tally.add(
        np.asarray(seconds, dtype=float),
        np.full(size, 100) if inputs is None else np.asarray(inputs),
        np.full(size, 10) if outputs is None else np.asarray(outputs),
    )
    return tally


@pytest.mark.parametrize(
    ("first_hour", "last_hour", "open_hours", "hours"),
    [
        (0, 336, range(24), 336),
        (8, 13 * 24 + 22, range(8, 22), 336 + 10),
        (8, 12 * 24 + 22, range(8, 22), 12 * 24 + 22 - 8 + 20),
        (0, 335, range(24), 335),
    ],
)
def test_quiet_hours_at_the_ends_are_history(first_hour, last_hour, open_hours, hours):
    """Nights before the first and after the last request count where the other nights have none either."""
    per_hour = np.array([hour % 24 in open_hours for hour in range(336)], dtype=float)[first_hour:last_hour]
    assert DemandProfile(first_hour * 3600.0, per_hour.repeat(60)).history_hours() == hours


def test_unknown_minutes_are_not_quiet():
    """An outage a week before the end says nothing of the hours after it."""
    per_minute = np.ones(14 * 1440 - 120)
    per_minute[7 * 1440 - 120 : 7 * 1440] = np.nan
    assert DemandProfile(0.0, per_minute).history_hours() == 334


def arrivals(minutes: int, per_minute: float, seed: int = 1, start: float = MONDAY_2026) -> np.ndarray:
    """Poisson arrivals."""
    generator = np.random.default_rng(seed)
    return start + np.sort(generator.uniform(0, minutes * 60, generator.poisson(minutes * per_minute)))


def read_back(tally: RequestTally, folder, **changes):
    """The demand of its summary file; a change of None removes the key."""
    document = json.loads(summary_json(tally, "test", "")) | changes
    path = folder / "demand.json"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return read_summary(path)


def test_a_hole_in_steady_traffic_is_unknown_and_said():
    """Half an hour of silence in ten requests a minute is no idle time: minutes, mean and note say so."""
    seconds = arrivals(600, 10)
    kept = seconds[(seconds < MONDAY_2026 + 200 * 60) | (seconds >= MONDAY_2026 + 230 * 60)]
    demand = tally_of(kept).demand("test")

    assert np.flatnonzero(np.isnan(demand.profile.requests_per_minute)).tolist() == list(range(200, 230))
    assert demand.requests_per_second.mean == pytest.approx(10 / 60, rel=0.05)
    assert demand.requests_per_second.p50 > 0
    assert any("30 min from 2026-01-05T03:20Z" in note and "unknown, not as idle" in note for note in demand.notes)


def test_a_jump_of_the_clock_is_no_idle_month():
    """When the clock jumps by a month, the month is unknown and the rates are those of what was seen."""
    before, after = arrivals(120, 10), arrivals(120, 10, seed=2, start=MONDAY_2026 + 30 * 86_400)
    demand = tally_of(np.concatenate([before, after])).demand("test")

    assert demand.requests_per_second.mean == pytest.approx(10 / 60, rel=0.1)
    assert np.isnan(demand.profile.requests_per_minute).mean() > 0.99


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([10] * 100 + [0] * 9 + [10] * 100, "nine minutes are too short"),
        ([1, 0, 0, 0, 0] * 12 + [0] * 30 + [1, 0, 0, 0, 0] * 12, "half an hour is nothing rare at one in five minutes"),
        ([0] * 30 + [5] * 5 + [0] * 40 + [5] * 5, "five minutes are no neighbourhood"),
        (([300] + [0] * 19) * 6 + [0] * 40 + ([300] + [0] * 19) * 6, "bursts every twenty minutes explain it"),
        (([20] * 600 + [0] * 840) * 3, "a night that comes back is the shape of the day"),
        ((([20] * 1440) * 5 + [0] * 2880) * 2 + [20] * 1440, "a weekend that comes back is the shape of the week"),
    ],
)  # fmt: skip
def test_silence_that_the_traffic_explains_is_idle(counts, why):
    """Silence is idle where it is short, not rare, or comes back at the same time."""
    assert not np.isnan(without_gaps(np.array(counts))).any(), why


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300))
def test_no_request_is_ever_lost_to_a_hole(counts):
    """Only minutes without a request become unknown, ten or more in a row."""
    known = without_gaps(np.array(counts))

    assert np.nansum(known) == sum(counts)
    assert all(counts[minute] == 0 for minute in np.flatnonzero(np.isnan(known)))
    assert np.isnan(known).sum() == 0 or np.isnan(known).sum() >= 10


def test_poisson_arrivals_have_a_dispersion_of_one_whatever_the_shape_of_the_day():
    """Independent arrivals are no burst, though one hour is three times as busy as the other."""
    seconds = np.concatenate([arrivals(60, 300), arrivals(60, 900, start=MONDAY_2026 + 3600)])
    dispersion = tally_of(seconds).demand("test").profile.dispersion

    assert dispersion.one_second == pytest.approx(1, abs=0.05)
    assert dispersion.ten_seconds == pytest.approx(1, abs=0.1)


def test_requests_in_batches_of_five_have_a_dispersion_of_five():
    """Five requests at once, at independent times, have five times the variance."""
    dispersion = tally_of(np.repeat(arrivals(180, 60), 5)).demand("test").profile.dispersion

    assert dispersion.one_second == pytest.approx(5, rel=0.1)
    assert dispersion.ten_seconds == pytest.approx(5, rel=0.1)
    assert dispersion.tenth_second == pytest.approx(5, rel=0.1)


def test_bursts_within_a_second_are_measured_and_made_up_again():
    """Fifty requests within 50 ms, once in five minutes: so they come in the requests that are made up after them."""
    seconds = np.repeat(MONDAY_2026 + 300 * np.arange(200.0), 50)
    demand = tally_of(np.sort(seconds + np.random.default_rng(3).random(seconds.size) * 0.05)).demand("test")

    made_up = rehearse(demand, 5_000).requests.seconds

    assert demand.profile.dispersion.tenth_second > 40
    _, counts = np.unique(np.floor(made_up * 10), return_counts=True)
    assert np.median(counts) >= 40


def test_a_coarse_clock_or_few_requests_leave_burstiness_unknown():
    """Times in whole minutes, and twenty requests, say nothing of seconds: None, neither 0 nor 1."""
    rounded = tally_of(np.floor(arrivals(120, 60) / 60) * 60).demand("test").profile.dispersion
    tens = tally_of(np.floor(arrivals(120, 60) / 10) * 10).demand("test").profile.dispersion
    few = tally_of(arrivals(120, 0.2)).demand("test").profile.dispersion

    whole = tally_of(np.floor(arrivals(120, 60)) + 0.3).demand("test").profile.dispersion

    assert whole.tenth_second is None
    assert whole.one_second == pytest.approx(1, abs=0.15)
    assert (rounded.one_second, rounded.ten_seconds) == (None, None)
    assert (few.one_second, few.ten_seconds) == (None, None)
    assert tens.one_second is None
    assert tens.ten_seconds == pytest.approx(1, abs=0.15)


@given(order=st.permutations(range(60)))
def test_the_seconds_that_are_kept_do_not_depend_on_the_order(order):
    """A long trace keeps a bounded, even sample of its blocks, the same for any order of its rows."""
    seconds = [MONDAY_2026 + number * 4000 * BLOCK_SECONDS // 60 for number in range(60)]
    kept = []
    for sequence in (range(60), order):
        counts = FineCounts(most_blocks=16)
        for number in sequence:
            counts.add(np.array([int(seconds[number]) * PER_SECOND]), np.array([1]))
        kept.append((counts.stride, sorted(counts.blocks)))

    assert kept[0] == kept[1]
    assert 1 < len(kept[0][1]) <= 16


def test_lengths_by_the_hour_are_those_of_the_hour():
    """Short prompts in the morning and long ones in the evening stay apart, and survive the summary."""
    morning, evening = arrivals(60, 5, start=MONDAY_2026 + 8 * 3600), arrivals(60, 5, start=MONDAY_2026 + 20 * 3600)
    inputs = np.concatenate([np.full(len(morning), 50), np.full(len(evening), 5000)])
    tally = tally_of(np.concatenate([morning, evening]), inputs)
    by_hour = tally.demand("test").profile.tokens_by_hour

    assert set(by_hour) == {8, 20}
    assert by_hour[8].mean_input_tokens() == pytest.approx(50)
    assert by_hour[20].mean_input_tokens() == pytest.approx(5000)


def test_a_short_trace_claims_no_lengths_by_the_hour():
    """An hour of requests says nothing of how lengths change over the day."""
    assert tally_of(arrivals(60, 5)).demand("test").profile.tokens_by_hour == {}


def test_the_profile_survives_the_summary(tmp_path):
    """Start, minutes with their holes, burstiness and lengths by the hour come back from the file."""
    seconds = arrivals(600, 20)
    kept = seconds[(seconds < MONDAY_2026 + 200 * 60) | (seconds >= MONDAY_2026 + 230 * 60)]
    lengths = np.random.default_rng(1).integers(1, 3000, (2, len(kept)))
    tally = tally_of(kept, *lengths)
    written, read = tally.demand("test"), read_back(tally, tmp_path)

    assert read.profile.start_seconds == written.profile.start_seconds
    assert np.array_equal(read.profile.requests_per_minute, written.profile.requests_per_minute, equal_nan=True)
    assert read.profile.dispersion.one_second == pytest.approx(written.profile.dispersion.one_second, abs=1e-4)
    assert read.profile.dispersion.tenth_second == pytest.approx(written.profile.dispersion.tenth_second, abs=1e-4)
    assert set(read.profile.tokens_by_hour) == set(written.profile.tokens_by_hour) == set(range(10))
    for hour, histogram in written.profile.tokens_by_hour.items():
        assert read.profile.tokens_by_hour[hour].probability == pytest.approx(histogram.probability)
    assert read.requests_per_second.p95 == written.requests_per_second.p95


def test_a_summary_without_the_newer_keys_still_reads(tmp_path):
    """Without a start the first minute opens a Monday, burstiness is unknown, and a note says so."""
    read = read_back(tally_of(arrivals(30, 20)), tmp_path, start=None, dispersion=None)

    assert read.profile.dispersion.one_second is None
    assert UNDATED in read.notes


def test_seconds_since_the_start_are_no_date():
    """A trace that counts from zero is put on a Monday 00:00 UTC, and says so; a dated one is not."""
    assert UNDATED in tally_of([0.0, 100.0]).demand("test").notes
    assert UNDATED not in tally_of([MONDAY_2026, MONDAY_2026 + 100]).demand("test").notes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"start": "yesterday"}, "isoformat"),
        ({"start": "2026-01-05T00:00"}, "names no time zone"),
        ({"dispersion": {"weekly": 1}}, "weekly"),
        ({"requests_per_minute": [None, None]}, "does not add up"),
        ({"token_cells_by_hour": {"25": [1]}}, "token_cells_by_hour of 25"),
        ({"token_cells_by_hour": {"3": [1, 2, 3]}}, "token_cells_by_hour of 3"),
    ],
)
def test_a_spoiled_profile_is_refused(tmp_path, changes, expected):
    """A start, burstiness or hour that cannot be is refused by its name."""
    with pytest.raises(InputError, match=expected):
        read_back(tally_of([0.0, 70.0]), tmp_path, **changes)


def test_samples_have_a_profile_with_unknown_minutes_kept_unknown():
    """Busy windows become requests per minute from their own start; a minute nobody observed stays unknown."""
    busy = np.array([1.0, np.nan, 3.0])
    seen = Busy(busy, busy, np.full(3, 4.0), 60.0, MONDAY_2026)
    profile = demand_from_busy(seen, BusySecond(0.5, 4.0), None, (100, 10)).profile

    assert profile.start_seconds == MONDAY_2026
    assert np.array_equal(profile.requests_per_minute, [240.0, np.nan, 720.0], equal_nan=True)
    assert profile.dispersion.one_second is None
