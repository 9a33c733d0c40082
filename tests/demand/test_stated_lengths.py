"""Lengths stated by their quantiles are log-normal, cut at the longest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.lengths import LengthSpread

spreads = st.builds(
    lambda p50, ratio, beyond: LengthSpread(p50, p50 * ratio, None if beyond is None else p50 * ratio * beyond),
    st.floats(1, 1e5),
    st.floats(1, 30),
    st.none() | st.floats(1, 50),
)


def drawn(spread: LengthSpread, count: int = 400_000) -> np.ndarray:
    """Lengths drawn one by one, without any formula of the mean."""
    lengths = np.random.default_rng(5).lognormal(np.log(spread.p50), spread.sigma, count)
    return np.minimum(lengths, spread.most)


@pytest.mark.parametrize("longest", [None, 3000.0, 8000.0])
def test_mean_and_quantiles_are_those_of_drawn_lengths(longest):
    """The stated quantiles come back, and the mean is that of the cut lengths."""
    spread = LengthSpread(700, 3000, longest)
    lengths = drawn(spread)

    told = spread.quantiles(float)
    assert (told.p50, told.p95, told.max) == pytest.approx((700, 3000, spread.most))
    assert told.mean == pytest.approx(lengths.mean(), rel=0.01)
    assert told.p99 == pytest.approx(np.quantile(lengths, 0.99), rel=0.02)


@given(spreads)
def test_cells_hold_all_requests_and_their_mean(spread):
    """Shares sum to one, lengths ascend within the longest, and their mean is the spread's."""
    lengths, shares = spread.points()

    assert shares.sum() == pytest.approx(1)
    assert (np.diff(lengths) >= -1e-9 * spread.most).all()
    assert lengths[0] > 0
    assert lengths[-1] <= spread.most * (1 + 1e-9)
    assert lengths @ shares == pytest.approx(spread.mean)


@given(st.floats(1, 8))
def test_cells_lose_little_of_the_spread(ratio):
    """Their second moment is that of 100,000 quantiles to a twelfth: batches and queues feel it."""
    spread = LengthSpread(500, 500 * ratio)
    lengths, shares = spread.points()
    whole = np.minimum([spread.quantile((step + 0.5) / 1e5) for step in range(100_000)], spread.most)

    assert lengths**2 @ shares == pytest.approx((whole**2).mean(), rel=1 / 12)


def test_equal_quantiles_are_one_length():
    """No spread is no special case."""
    lengths, shares = LengthSpread(512, 512).points()

    assert lengths @ shares == pytest.approx(512)
    assert set(lengths.round(6)) == {512}


def test_a_limit_of_the_model_cuts_what_is_not_stated():
    """Never below the 95th percentile, and a stated longest is left to the checks of the context."""
    assert LengthSpread(100, 400).within(512).most == 512
    assert LengthSpread(100, 400).within(300).most == 400
    assert LengthSpread(100, 400, 900).within(512).most == 900
