"""The quantile by counting is NumPy's, whatever the values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.samples.query.tables.backend import _interpolated
from advisor.samples.query.tables.questions import Tables, summary
from advisor.samples.query.values import Window

ibis = pytest.importorskip("ibis", reason="not installed: ibis (pip install -e '.[test]')")
START_US = 1_764_000_000_000_000


@settings(max_examples=25)
@given(values=st.lists(st.one_of(st.sampled_from([0.0, 0.005, 1.0]), st.floats(-1e12, 1e12)), min_size=1, max_size=120))
def test_quantiles_by_counting_are_those_of_numpy(values):
    """p50, p95, mean, maximum and count of any values are exact, however often each is there."""
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql(
        "CREATE TABLE rows (timestamp TIMESTAMPTZ, host VARCHAR, accelerator_index INT, mig_index INT, accelerator_uuid "
        "VARCHAR, accelerator VARCHAR, missed_ticks INT, gap_reason VARCHAR, power_watts DOUBLE)"
    )
    for number, value in enumerate(values, start=1):
        connection.raw_sql(
            f"INSERT INTO rows VALUES (make_timestamptz({START_US + number * 15_000_000}), 'h', 0, NULL, NULL, NULL, 0, "
            f"NULL, {value!r}::DOUBLE)"
        )
    window = Window(START_US, START_US + len(values) * 15_000_000)
    tables = Tables({"rows": frozenset({"power_watts"})}, 1.0)
    (row,) = connection.to_pyarrow(summary(tables, "power_watts", window)).to_pylist()

    assert row["n"] == len(values)
    expected = np.quantile(values, [0.5, 0.95])
    assert [_interpolated(row, "p50"), _interpolated(row, "p95")] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert row["greatest"] == max(values)
    assert row["mean"] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9 * max(map(abs, values), default=1.0) + 1e-9)
    connection.disconnect()
