"""Held-out predictions: what leaves together, and that a prediction knows nothing of what it is compared with."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.calibration.fits import SPLITS, folds_of, hold_out, log_misses, reach_of, weighted_quantile
from advisor.calibration.observations import QUANTITIES, load_measurements, observe
from advisor.catalog import load_catalog
from advisor.performance import Evidence
from advisor.performance.calibration import Group
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES

FOLDS = 2
GROUPS = (Group.LOOP, Group.SATURATED)
CELLS, EACH = 5, 6
"""Cells of each group, those with most rows first, and rows of each cell: a fit on so few takes a moment."""


@pytest.fixture(scope="module")
def observed():
    """Some rows of the most measured cells of some groups."""
    everything, _ = observe(load_measurements().measurements, load_catalog())
    cells, chosen = everything.cells(), []
    for group in GROUPS:
        rows = everything.of_group(group)
        for cell, _ in Counter(cells[rows].tolist()).most_common(CELLS):
            members = rows[cells[rows] == cell]
            chosen += members[:: max(members.size // EACH, 1)][:EACH].tolist()
    some = everything.take(np.array(sorted(chosen)))
    used, place = np.unique(some.place, return_inverse=True)
    return replace(some, deployments=tuple(some.deployments[at] for at in used.tolist()), place=place)


@pytest.fixture(scope="module")
def by_cell(observed):
    """Predictions without the cell."""
    return hold_out(observed, "cell", FOLDS)


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60).map(np.array)


@given(names, st.integers(1, 6))
def test_what_shares_a_name_shares_a_fold(names, folds):
    """Every row has a fold, and rows of one name have the same."""
    fold = folds_of(names, folds)
    assert fold.min() >= 0
    assert fold.max() < folds
    assert len({*zip(names.tolist(), fold.tolist(), strict=True)}) == len(set(names.tolist()))


@given(names, st.integers(1, 6))
def test_folds_are_filled_evenly(names, folds):
    """Two folds differ by no more rows than the commonest name has."""
    sizes = np.bincount(folds_of(names, folds), minlength=folds)
    assert sizes.max() - sizes.min() <= max(Counter(names.tolist()).values())


@given(names, st.integers(1, 6), st.randoms())
def test_folds_do_not_depend_on_the_order_of_rows(names, folds, random):
    """Shuffled rows keep their folds."""
    order = list(range(names.size))
    random.shuffle(order)
    assert folds_of(names[order], folds).tolist() == folds_of(names, folds)[order].tolist()


values = st.lists(st.floats(-5, 5), min_size=1, max_size=30)


@given(values, st.data(), st.floats(0.01, 0.99))
def test_a_weighted_quantile_has_its_share_of_the_weight_below_it(values, data, share):
    """At least the share lies at or below it, and less than the share lies strictly below it."""
    weights = np.array(data.draw(st.lists(st.floats(0.1, 10), min_size=len(values), max_size=len(values))))
    found, given_values = weighted_quantile(np.array(values), weights, share), np.array(values)
    assert found in given_values
    assert weights[given_values <= found].sum() / weights.sum() >= share - 1e-9
    assert weights[given_values < found].sum() / weights.sum() < share + 1e-9


def test_every_measured_row_is_predicted(observed, by_cell):
    """No row falls between two folds."""
    for quantity in QUANTITIES:
        known = np.isfinite(observed.measured(quantity))
        assert np.isfinite(by_cell.predicted[quantity][known]).all()
        assert np.isfinite(by_cell.physics[quantity][known]).all()


def test_predictions_do_not_know_what_was_left_out(observed, by_cell):
    """With all results of one cell made ten times slower, the cell's own predictions stay as they are, others move."""
    cells = observed.cells()
    changed = cells == cells[0]
    slower = replace(
        observed,
        ttft_s=np.where(changed, 10 * observed.ttft_s, observed.ttft_s),
        tpot_s=np.where(changed, 10 * observed.tpot_s, observed.tpot_s),
        output_tokens_per_second=np.where(changed, 0.1, 1.0) * observed.output_tokens_per_second,
    )
    again = hold_out(slower, "cell", FOLDS).predicted[Quantity.THROUGHPUT]
    before = by_cell.predicted[Quantity.THROUGHPUT]
    assert again[changed] == pytest.approx(before[changed], rel=1e-9)
    assert not np.allclose(again[~changed], before[~changed], rtol=1e-3)


def test_nothing_of_a_cell_that_left_is_called_measured(by_cell):
    """The evidence of a row is the one that it has without its cell."""
    assert CLASSES.index(Evidence.MEASURED) not in by_cell.evidence


def test_an_accelerator_that_left_rests_on_bounds_alone(observed):
    """Without any measurement of the accelerator the evidence is the weakest."""
    accelerators = observed.accelerators()
    left = accelerators == accelerators[0]
    reach = reach_of(observed.take(np.flatnonzero(~left)))
    of_left = {observed.deployments[at] for at in observed.place[left].tolist()}
    assert {reach.familiar(one) for one in of_left} == {Evidence.ROOFLINE}


def test_one_setup_under_one_load_leaves_together(observed):
    """Rows that repeat a set-up and load share a part of the split by point; other loads do not."""
    twice = observed.take(np.array([0, 0, 1]))
    load = replace(twice.load, concurrency=twice.load.concurrency * np.array([1, 1, 7]))
    parts = SPLITS["point"](replace(twice, load=load))
    assert parts[0] == parts[1] != parts[2]


def test_a_row_that_is_faster_than_predicted_has_a_positive_miss_in_throughput(observed, by_cell):
    """Misses are log(measured ÷ predicted), NaN where nothing was measured."""
    misses = log_misses(by_cell, Quantity.THROUGHPUT)
    measured = observed.measured(Quantity.THROUGHPUT)
    assert ((misses > 0) == (measured > by_cell.predicted[Quantity.THROUGHPUT])).all()
    assert np.isnan(misses[np.isnan(measured)]).all()
