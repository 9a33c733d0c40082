"""80 % intervals hold 80 % of rows that they were not made from, and say so honestly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.calibration.fits import FEWEST, TAIL, Misses, ends, folds_of, spreads_of
from advisor.calibration.observations import QUANTITIES
from advisor.performance import Evidence, Scenario
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES
from benchmarks.accuracy.errors import coverage

LOOP, SINGLE = Scenario.FIXED_CONCURRENCY, Scenario.SINGLE_STREAM
SEED = 7


def misses_of(log_misses, *, evidence=Evidence.CALIBRATED, scenario=LOOP, quantity=Quantity.TPOT, cells=None, split=0):
    """Rows of one class, scenario and quantity."""
    count = len(log_misses)
    return Misses(
        log_miss=np.asarray(log_misses, dtype=float),
        evidence=np.full(count, CLASSES.index(evidence)),
        scenario=np.full(count, list(Scenario).index(scenario)),
        quantity=np.full(count, QUANTITIES.index(quantity)),
        cells=np.array([f"cell {at}" for at in range(count)] if cells is None else cells),
        split=np.full(count, split),
    )


def joined(*parts):
    """Rows of several classes together."""
    return Misses(*(np.concatenate([getattr(part, name) for part in parts]) for name in Misses.__slots__))


def background():
    """A few rows of everything: no scenario and quantity was ever without any."""
    return joined(
        *(
            misses_of(np.linspace(-0.1, 0.1, 5), scenario=scenario, quantity=quantity)
            for scenario in Scenario
            for quantity in QUANTITIES
        )
    )


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=80))
def test_ends_hold_four_rows_of_five_and_the_prediction_itself(log_misses):
    """No more than a tenth lies beyond each end, and a prediction is never outside its own interval."""
    misses = misses_of(log_misses)
    low, high = ends(misses, np.arange(len(log_misses)))
    assert low <= 1 <= high
    factors = np.exp(misses.log_miss)
    assert (factors < low * (1 - 1e-9)).mean() <= TAIL
    assert (factors > high * (1 + 1e-9)).mean() <= TAIL


def test_a_crowded_cell_does_not_set_the_width_alone():
    """A hundred rows of one cell weigh as ten rows of cells of their own."""
    crowd = misses_of(np.zeros(100), cells=["crowd"] * 100)
    others = misses_of(np.linspace(-1, 1, 40))
    together = joined(crowd, others)
    alone, mixed = (ends(some, np.arange(some.log_miss.size)) for some in (others, together))
    assert mixed == pytest.approx(alone, rel=0.25)


def test_each_class_is_as_wide_as_its_own_rows_were_off():
    """Rows that were nearer make a narrower interval, and leave that of other classes alone."""
    near, far = np.linspace(-0.1, 0.1, 60), np.linspace(-1, 1, 60)
    spreads = spreads_of(joined(background(), misses_of(near, evidence=Evidence.MEASURED), misses_of(far)))
    measured, calibrated = (spreads[one, LOOP, Quantity.TPOT] for one in (Evidence.MEASURED, Evidence.CALIBRATED))
    assert calibrated.low < measured.low < 1 < measured.high < calibrated.high


def test_a_class_of_few_rows_borrows_the_others():
    """Below the fewest rows a class has the width of all classes together."""
    few = misses_of(np.full(FEWEST - 1, 5.0), evidence=Evidence.ROOFLINE)
    spreads = spreads_of(joined(background(), few, misses_of(np.linspace(-0.2, 0.2, 800))))
    assert spreads[Evidence.ROOFLINE, LOOP, Quantity.TPOT].high < np.exp(5.0)


def test_a_time_that_was_not_measured_errs_as_the_inverse_of_its_rate():
    """The interval of the single stream's time per token is that of its throughput, turned over."""
    rate = misses_of(np.linspace(-0.5, 1, 90), scenario=SINGLE, quantity=Quantity.THROUGHPUT)
    spreads = spreads_of(joined(rate, background()))
    throughput, token = (spreads[Evidence.CALIBRATED, SINGLE, one] for one in (Quantity.THROUGHPUT, Quantity.TPOT))
    assert (token.low, token.high) == pytest.approx((1 / throughput.high, 1 / throughput.low), rel=1e-3)


def test_coverage_of_rows_alike_is_what_is_promised():
    """Of rows that err alike, intervals from other cells hold four of five."""
    misses = everywhere(np.random.default_rng(SEED).normal(0, 0.3, 6000))
    assert coverage(misses, folds_of(misses.cells, 8).tolist()).mean() == pytest.approx(0.8, abs=0.03)


def test_coverage_does_not_let_a_cell_widen_its_own_interval():
    """A cell that is off like no other is outside, however many rows it has."""
    usual = everywhere(np.random.default_rng(SEED).normal(0, 0.1, 1200))
    odd = misses_of(np.full(400, 2.0), cells=["odd"] * 400)
    together = joined(usual, odd)
    inside = coverage(together, folds_of(together.cells, 4).tolist())
    assert not inside[together.cells == "odd"].any()


def everywhere(log_misses):
    """Rows of every scenario and quantity in turn, so that each has an interval; each row is a cell of its own."""
    misses = misses_of(log_misses)
    at = np.arange(misses.log_miss.size)
    count = len(Scenario)
    return Misses(
        misses.log_miss, misses.evidence, at % count, (at // count) % len(QUANTITIES), misses.cells, misses.split
    )  # fmt: skip


def test_a_large_split_does_not_speak_for_a_small_one():
    """Rows of two splits count alike together, however many rows either has."""
    calm = misses_of(np.full(900, 0.01), split=0)
    wild = misses_of(np.linspace(-1.0, 1.0, 60), split=1)
    both = joined(calm, wild)
    low, high = ends(both, np.arange(both.log_miss.size))
    assert low < np.exp(-0.5)
    assert high > np.exp(0.5)
