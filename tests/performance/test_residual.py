"""The learned residual as arrays: chunks, the way back to monotone, and the interpolation between nodes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.performance.calibration import (
    CHUNK_ROWS,
    FEATURES,
    NODES,
    TARGETS,
    Group,
    along,
    matern,
    monotone,
    shipped,
)

rows = arrays(np.float64, st.tuples(st.integers(1, 4), st.just(NODES.size)), elements=st.floats(-5, 5))


@pytest.mark.parametrize("group", list(Group))
def test_many_rows_are_worked_out_as_one_by_one(group):
    """Rows beyond a chunk get the factors that they get in pieces, one for each target and node."""
    residual = shipped().residuals[group]
    rng = np.random.default_rng(3)
    features = rng.normal(residual.mean, residual.deviation, (CHUNK_ROWS + 100, len(FEATURES))).astype(np.float32)
    whole = residual.at_nodes(features)
    pieces = np.concatenate([residual.at_nodes(piece) for piece in np.array_split(features, 7)])
    assert whole.shape == (CHUNK_ROWS + 100, len(TARGETS[group]), residual.nodes.size)
    assert whole == pytest.approx(pieces, abs=1e-5)


@pytest.mark.parametrize("group", list(Group))
def test_nothing_asked_takes_the_factor_far(group):
    """Features beyond everything measured are drawn in: no factor leaves a range that measurements could have."""
    residual = shipped().residuals[group]
    rng = np.random.default_rng(4)
    features = (residual.mean + residual.deviation * rng.normal(0, 50, (200, len(FEATURES)))).astype(np.float32)
    assert np.abs(residual.at_nodes(features)).max() < np.log(50)


def test_the_kernel_is_one_at_its_point_and_falls_with_distance():
    """(1 + q) exp(-q): 1 at no distance, 2 ÷ e at one, by hand."""
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    near = matern(points[:1], points)[0]
    assert near == pytest.approx([1.0, 2 / np.e, 4 / np.e**3])


@given(values=rows)
def test_rows_are_made_to_rise(values):
    """The result never falls, stays within the row's own range, and a row that rises already stays as it is."""
    risen = monotone(values)
    assert np.all(np.diff(risen, axis=1) >= 0)
    assert np.all((risen >= values.min(axis=1, keepdims=True)) & (risen <= values.max(axis=1, keepdims=True)))
    assert monotone(risen) == pytest.approx(risen)


@given(values=rows, raised=arrays(np.float64, NODES.size, elements=st.floats(0, 3)))
def test_of_two_rows_the_larger_stays_larger(values, raised):
    """Raising a row anywhere lowers it nowhere once it is made to rise."""
    assert np.all(monotone(values + raised) >= monotone(values) - 1e-12)


@given(
    values=rows,
    widths=arrays(np.float64, NODES.size, elements=st.floats(0, 2)),
    ends=st.tuples(*[st.floats(-9, 20)] * 2),
)
def test_further_along_is_never_lower(values, widths, ends):
    """The interpolation rises with the place: between nodes, on flat stretches and beyond the ends."""
    places, risen = np.cumsum(widths)[None, :], monotone(values[:1])
    first, last = (along(np.array([at]), places, risen)[0] for at in sorted(ends))
    assert last >= first - 1e-9


def test_nodes_keep_their_values():
    """At a node's own place the interpolation gives the node's value; beyond the ends it goes on with slope 1."""
    places, values = np.array([[0.0, 1.0, 3.0]]), np.array([[5.0, 6.0, 7.0]])
    found = [float(along(np.array([at]), places, values)[0]) for at in (-2.0, 0.0, 1.0, 2.0, 3.0, 4.5)]
    assert found == pytest.approx([3.0, 5.0, 6.0, 6.5, 7.0, 8.5])
