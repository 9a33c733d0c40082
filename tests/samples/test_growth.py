"""Growth of counters over gaps and resets: in an array, and added up from the counts of parts of it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.growth import steps
from advisor.samples.query.counts import Counts, Grid
from advisor.samples.store.hosts import count_rows
from advisor.samples.store.row_tables import tables_of
from samples.records import row, us

GRID = {"host-a": Grid.over(us(0), us(60))}


@pytest.mark.parametrize(
    ("counter", "expected"),
    [
        ([5.0], 0.0),
        ([5.0, 5.0], 0.0),
        ([100.0, 150.0, 10.0, 30.0], 80.0),
        ([100.0, 150.0, 149.0, 160.0], 61.0),
        ([100.0, 0.0, 0.0], 0.0),
    ],
)
def test_resets_and_small_steps_back(counter, expected):
    """A reset counts what came after it; a small step back is no growth; one value says nothing."""
    assert steps(np.array(counter))[0].sum() == expected


def grown(parts):
    """Growth of a counter whose readings were counted in parts."""
    tables = [count_rows(next(iter(tables_of(rows).values()))) for rows in parts if rows]
    (one,) = Counts(tables).accelerators(GRID)
    return one.counters["energy_joules"]


@given(
    counter=st.lists(st.integers(0, 1000), min_size=1, max_size=40),
    lost=st.sets(st.integers(1, 38)),
    cuts=st.sets(st.integers(1, 39), max_size=4),
)
def test_parts_add_up_to_the_whole(counter, lost, cuts):
    """Wherever a day ends, and whatever rows are lost: growth, resets and known rows are those of one piece."""
    rows = [row(number, energy_joules=float(value)) for number, value in enumerate(counter, start=1)]
    read = [one for number, one in enumerate(rows) if number not in lost]
    edges = [0, *sorted(cuts), len(rows)]
    parts = [[one for one in rows[first:last] if one in read] for first, last in pairwise(edges)]
    assert grown(parts) == grown([read])
    values = np.array([one.stats["energy_joules"].last for one in read])
    assert grown(parts).total == steps(values)[0].sum()
    assert grown(parts).resets == steps(values)[1].sum()


@given(
    parts=st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=10), min_size=1, max_size=5),
    lost=st.sets(st.integers(1, 49)),
)
def test_a_reset_never_counts_more_than_there_was(parts, lost):
    """Restarts in any number, seen through any gaps, give at most what was truly counted."""
    counter = np.concatenate([np.cumsum(part) for part in parts]).astype(float)
    read = counter[[number for number in range(counter.size) if number not in lost]]
    assert steps(read)[0].sum() <= sum(map(sum, parts))
