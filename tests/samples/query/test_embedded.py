"""The embedded reader: the same answers from counts of days, from rows that are not counted yet, and from NumPy."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from advisor.samples.query import Window
from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.store.compact import compact
from samples.records import DAY, gap, row, spool, us
from samples.stores import read_back

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
    """Summaries of all rows in a window, by accelerator and metric, from the rows themselves."""
    rows, _ = read_back(directory, [column for name in METRIC_NAMES for column in (name, f"{name}_max")])
    rows = rows.filter(rows["gap_reason"].is_null())
    end_us = rows["timestamp"].cast("int64").to_numpy()
    index = rows["accelerator_index"].to_numpy()
    said = {}
    for number in set(index.tolist()):
        for name in METRIC_NAMES:
            means, maxima = (rows[column].to_numpy() for column in (name, f"{name}_max"))
            mine = (index == number) & (end_us > window.start_us) & (end_us <= window.end_us) & ~np.isnan(means)
            if mine.any():
                p50, p95 = np.quantile(means[mine], (0.5, 0.95))
                said[number, name] = (
                    p50, p95, np.fmax(maxima, means)[mine].max(), means[mine].mean(),
                    min(15 * mine.sum() / window.seconds, 1), mine.sum(),
                )  # fmt: skip
    return said


def backend_says(directory, window):
    """The same from the backend."""
    return {
        (one.accelerator.index, one.metric): (one.p50, one.p95, one.max, one.mean, one.coverage_ratio, one.rows)
        for one in EmbeddedBackend([str(directory)]).summaries(METRIC_NAMES, window)
    }


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
    gaps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000)), max_size=5),
    window=st.just((0, 3 * 5760)) | windows,
)
def test_counts_rows_and_numpy_agree(tmp_path_factory, placed, later, gaps, window):
    """Whatever was recorded, compacted or not, over any window: three ways, one answer."""
    directory = tmp_path_factory.mktemp("store")
    records = [
        row(number, index, day=day, **{name: value for name, value in given.items() if value} or {"processes": 1})
        for index, day, number, given in placed
    ]
    records += [gap(first, first + 40, index) for index, first in gaps]
    spool(directory, records)
    compact(directory, "host-a", now=LATER)
    spool(directory, [row(number, index, day=day, busy_ratio=0.25) for index, day, number, _ in later])
    asked = Window(us(window[0]), us(window[1]) + 1)
    expected = numpy_says(directory, asked)
    assert_same(backend_says(directory, asked), expected)
    for counts in directory.rglob("histograms-*.parquet"):
        counts.unlink()
    assert_same(backend_says(directory, asked), expected)
