"""One's own measurements: what is learned from them, what is refused, and what stays as it was."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.calibration.build import impossible, learn, overlay, own_files, write_files
from advisor.calibration.fits import predict_rows, reach_of
from advisor.calibration.observations import observe
from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.performance.calibration import load_calibration, shipped
from advisor.performance.constants import Quantity
from fleets import fleet, published_measurements


def observed(measurements):
    """Measurements as rows."""
    return observe(measurements, load_catalog())[0]


@pytest.fixture(scope="module")
def slow_fleet():
    """Every third load of two published cells, 30 % slower than published."""
    return observed(fleet(slower=1.3))


@pytest.fixture(scope="module")
def learned(slow_fleet):
    """What the slow fleet teaches."""
    return learn(slow_fleet, observed(published_measurements()), shipped())


def test_a_slower_fleet_is_learned(learned):
    """Loads that were left out are predicted far better once the others are known."""
    tpot = next(one for one in learned.accuracy if one.quantity == "tpot")
    assert tpot.before > 0.15
    assert tpot.unseen_point < 0.6 * tpot.before


def test_cells_that_others_published_keep_their_predictions(learned, slow_fleet):
    """Published measurements of cells that one has not measured are predicted to the last bit as before."""
    everything = observed(published_measurements())
    others = everything.take(np.flatnonzero(~np.isin(everything.cells(), slow_fleet.cells())))
    before, after = (predict_rows(one, others).predicted for one in (shipped(), learned.calibration))
    for quantity in Quantity:
        np.testing.assert_array_equal(before[quantity], after[quantity])
    assert all(b == a for _, b, a in learned.published)


def test_a_fleet_as_published_changes_little():
    """Measurements that agree with the calibration move its predictions by less than they scatter."""
    same = observed(fleet(slower=1.0))
    before = predict_rows(shipped(), same).predicted[Quantity.TPOT]
    after = predict_rows(shipped().with_own(overlay(same, shipped(), 1.0), reach_of(same)), same)
    assert np.nanmedian(np.abs(after.predicted[Quantity.TPOT] / before - 1)) < 0.1


def test_what_was_learned_reads_back(learned, slow_fleet, tmp_path):
    """A written calibration predicts as the one in memory, and has a version of its own."""
    write_files(own_files(learned.calibration, slow_fleet, data_dir("instance_catalog")), tmp_path)
    again = load_calibration(tmp_path)
    first, second = (predict_rows(one, slow_fleet) for one in (learned.calibration, again))
    np.testing.assert_array_equal(first.predicted[Quantity.TPOT], second.predicted[Quantity.TPOT])
    np.testing.assert_array_equal(first.evidence, second.evidence)
    assert again.version != shipped().version


def test_own_setups_are_measured(learned, slow_fleet):
    """Predictions for what one has measured oneself say so."""
    assert set(predict_rows(learned.calibration, slow_fleet).evidence.tolist()) == {0}


def test_faster_than_the_hardware_is_refused_with_the_bound():
    """A time per token that no bandwidth allows is left out, and the reason has both numbers."""
    (row,) = fleet(slower=1.0)[:1]
    found = impossible(observed([replace(row, tpot_ms=0.01)]))
    assert len(found) == 1
    assert "0.01 ms is below" in found[0][1].reason
    assert impossible(observed([row])) == []


def test_nearly_no_published_row_is_beyond_its_bound():
    """Published rows in use are possible: what is beyond a bound was flagged before, but for a handful."""
    everything = observed(published_measurements())
    assert len(impossible(everything)) < 0.02 * everything.size
