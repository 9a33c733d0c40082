"""The embedded reader: the same answers from daily counts, from all rows, and from NumPy on what was written."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.query.values import Window
from advisor.samples.store import read_samples
from advisor.samples.store.compact import compact
from samples import building
from samples.records import DAY, gap, row, spool, us

METRIC_NAMES = ("busy_ratio", "memory_used_bytes", "power_watts", "sm_active_ratio")
LATER = DAY + timedelta(days=5)
fractions = st.floats(0, 1)
values = st.fixed_dictionaries(
    {
        "busy_ratio": st.none() | st.tuples(fractions, fractions),
        "memory_used_bytes": st.none() | st.tuples(st.floats(0, 1e11), st.floats(0, 1e11)),
        "power_watts": st.none() | st.tuples(st.floats(0, 700), st.floats(0, 700)),
        "sm_active_ratio": st.none() | st.tuples(fractions, fractions),
    }
)
placed = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 5760), values)
windows = st.tuples(st.floats(0, 5760 * 3), st.floats(0, 5760 * 3)).map(sorted)


def numpy_says(directory, window):
    """Summaries of all rows in a window, by accelerator and metric, from the frame that holds them all."""
    frame = read_samples(directory, [column for name in METRIC_NAMES for column in (name, f"{name}_max")])
    inside = (frame.timestamp_us > window.start_us) & (frame.timestamp_us <= window.end_us) & (frame.missed_ticks == 0)
    said = {}
    for number, key in enumerate(frame.accelerators):
        for name in METRIC_NAMES:
            rows = inside & (frame.accelerator == number) & ~np.isnan(frame.columns[name])
            means, maxima = frame.columns[name][rows], frame.columns[f"{name}_max"][rows]
            if len(means):
                p50, p95 = np.quantile(means, (0.5, 0.95))
                seconds = frame.interval_seconds[rows].sum()
                said[key.host, key.accelerator_index, key.mig_index, key.accelerator_uuid, name] = (
                    p50, p95, np.where(np.isnan(maxima), means, maxima).max(), means.mean(),
                    min(seconds / window.seconds, 1), len(means),
                )  # fmt: skip
    return said


def backend_says(directory, window, *, exact=False):
    """The same from the backend."""
    return {
        (
            one.accelerator.host, one.accelerator.index, one.accelerator.mig_index, one.accelerator.uuid, one.metric,
        ): (one.p50, one.p95, one.max, one.mean, one.coverage_ratio, one.rows)
        for one in EmbeddedBackend(directory, exact=exact).summaries(METRIC_NAMES, window)
    }  # fmt: skip


def assert_same(one, other):
    """Both have the same accelerators and metrics, and the same numbers to 1e-9."""
    assert one.keys() == other.keys()
    for key, numbers in one.items():
        assert numbers == pytest.approx(other[key], rel=1e-9, abs=1e-9), key


@settings(
    suppress_health_check=list(HealthCheck), max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate]
)
@given(
    placed=st.lists(placed, min_size=1, max_size=60),
    later=st.lists(placed, max_size=10),
    ticks=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 300_000)), max_size=10, unique=True),
    gaps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000)), max_size=5),
    window=st.just((0, 3 * 5760)) | windows,
)
def test_counts_rows_and_numpy_agree(tmp_path_factory, placed, later, ticks, gaps, window):
    """Whatever was recorded, compacted or not, in either schema, over any window: three ways, one answer."""
    directory = tmp_path_factory.mktemp("store")
    records = [
        row(number, index, day=day, **{name: value for name, value in given.items() if value} or {"processes": 1})
        for index, day, number, given in placed
    ]
    records += [gap(first, first + 40, index) for index, first in gaps]
    spool(directory, records)
    compact(directory, "host-a", now=LATER)
    if ticks:
        building.write(
            directory, [building.sample(second, index, busy_ratio=second / 300_000) for index, second in ticks]
        )
    spool(directory, [row(number, index, day=day, busy_ratio=0.25) for index, day, number, _ in later])
    asked = Window(us(window[0]), us(window[1]) + 1)
    expected = numpy_says(directory, asked)
    assert_same(backend_says(directory, asked), expected)
    assert_same(backend_says(directory, asked, exact=True), expected)
