"""Fleets of which only the accelerators are seen: the interval holds what was really asked of them."""

from dataclasses import dataclass

import numpy as np
import pytest

from advisor.demand.busy import Busy, BusySecond, demand_from_busy
from advisor.errors import InputError

FLEETS = 50
START = 1_772_409_600.0


@dataclass
class Fleet:
    """What was asked, what the accelerators showed, and what they can do."""

    per_minute: np.ndarray
    running: list[tuple[np.ndarray, np.ndarray]]
    """When requests began and ended on each accelerator, in seconds since START."""
    serves: BusySecond

    @property
    def seen(self):
        """What accelerators that are read without a break show of each minute."""
        minutes = self.per_minute.size
        busy = sum(busy_share(*each, minutes) for each in self.running)
        return Busy(busy, busy, np.full(minutes, float(len(self.running))), 60.0, START)

    @property
    def mean(self):
        """Requests per second."""
        return self.per_minute.mean() / 60

    @property
    def peak(self):
        """In the busiest minute."""
        return self.per_minute.max() / 60


def fleet(seed):
    """A day or less of a wave with noise or bursts, on accelerators that serve many requests at once."""
    chance = np.random.default_rng(seed)
    minutes = int(chance.choice([180, 720, 1440]))
    accelerators = int(chance.integers(1, 9))
    seconds_alone = chance.uniform(1.0, 12.0)
    at_once = chance.uniform(10, 60)
    """Requests that a saturated accelerator serves at a time, each as slowly as twice its time alone."""
    load = chance.uniform(0.05, 0.7) * accelerators * at_once / (2 * seconds_alone)
    wave = 1 + chance.uniform(0.1, 0.9) * np.sin(2 * np.pi * np.arange(minutes) / 1440 + chance.uniform(0, 6))
    burst = chance.choice([0.0, 0.3, 0.8])
    noise = chance.gamma(1 / burst**2, burst**2, minutes) if burst else np.ones(minutes)
    per_minute = chance.poisson(load * 60 * wave * noise)
    begins = np.sort(np.repeat(np.arange(minutes) * 60.0, per_minute) + 60 * chance.random(per_minute.sum()))
    running = [
        (begins[mine], begins[mine] + seconds_alone * chance.lognormal(0, 0.5, mine.sum()))
        for accelerator in range(accelerators)
        for mine in [np.arange(begins.size) % accelerators == accelerator]
    ]
    off = chance.lognormal(0, 0.2, 2)
    """Predictions are not exact."""
    return Fleet(per_minute, running, BusySecond(off[0] / seconds_alone / 2, off[1] * at_once / (2 * seconds_alone)))


def busy_share(begins, ends, windows, seconds=60.0):
    """Share of each of some windows of equal length in which at least one request ran."""
    if not begins.size:
        return np.zeros(windows)
    until = np.maximum.accumulate(ends)
    is_new = np.append(True, begins[1:] > until[:-1])
    starts, stops = begins[is_new], np.append(until[np.flatnonzero(is_new)[1:] - 1], until[-1])
    knots = np.column_stack((starts, stops)).ravel()
    grown = np.cumsum(np.column_stack((np.zeros(starts.size), stops - starts)).ravel())
    return np.diff(np.interp(np.arange(windows + 1) * seconds, knots, grown)) / seconds


def holds_mean(interval, fleet):
    """Whether an interval holds what was asked on the mean."""
    return interval.mean_low <= fleet.mean <= interval.mean_high


def holds_peak(interval, fleet):
    """Whether it holds the busiest minute."""
    return interval.peak_low <= fleet.peak <= interval.peak_high


@pytest.fixture(scope="module")
def fleets():
    """Fifty of them."""
    return [fleet(seed) for seed in range(FLEETS)]


def test_the_interval_of_a_stated_volume_holds_the_busiest_minute(fleets):
    """In at least eight of ten fleets, whether or not what runs today is described; the mean is the stated one."""
    held, planned = 0, []
    for each in fleets:
        for serves in (each.serves, InputError("not described")):
            demand = demand_from_busy(each.seen, serves, each.mean * 86_400, (500, 100))
            assert demand.requests_per_second.mean == pytest.approx(each.mean, rel=1e-6)
            assert demand.interval.mean_low == demand.interval.mean_high
        held += holds_peak(demand.interval, each)
        planned.append(demand.requests_per_second.peak / each.peak)
    assert held >= 0.8 * FLEETS
    assert np.median(planned) >= 0.9
    assert np.mean(np.array(planned) >= 0.5) >= 0.75


def test_the_interval_without_a_volume_holds_mean_and_busiest_minute(fleets):
    """Batching leaves the level open by a factor of many, and the interval says so."""
    intervals = [demand_from_busy(each.seen, each.serves, None, (500, 100)).interval for each in fleets]
    held = sum(map(holds_mean, intervals, fleets))
    assert held >= 0.8 * FLEETS
    assert sum(map(holds_peak, intervals, fleets)) >= 0.8 * FLEETS
