"""A run of batch work as replicas take it off a queue, by hand."""

import numpy as np
import pytest

from advisor.plan.replay.batch_trials import Stretch, done_after, finished_s

TENS = np.arange(1.0, 1001.0) * 10
"""A replica that is done with an item every ten seconds."""


def test_a_replica_goes_on_at_its_pace():
    """Nothing is done before the first item is; beyond what was simulated it is as many a second as within."""
    assert [done_after(TENS, seconds) for seconds in (-5, 0, 9.9, 10, 25)] == [0, 0, 0, 1, 2]
    assert done_after(TENS, 20_000) == 2_000


def test_replicas_share_a_queue():
    """Three replicas for 100 s and one for 50 s do 35 items; the last is done when all have had time for it."""
    stretches = [Stretch(TENS, 0.0, 100.0, 3), Stretch(TENS, 0.0, 50.0, 1)]

    assert sum(stretch.done_by(1000) for stretch in stretches) == 35
    assert finished_s(stretches, 35, 1000) == pytest.approx(100, abs=1e-3)
    assert finished_s(stretches, 20, 1000) == pytest.approx(50, abs=1e-3)
    assert finished_s(stretches, 36, 1000) is None


def test_an_interruption_costs_a_start_and_what_was_running():
    """Cut at 105 s with the eleventh item half done; the next replica begins anew 30 s later."""
    whole = [Stretch(TENS, 0.0, 1000.0, 1)]
    cut = [Stretch(TENS, 0.0, 105.0, 1), Stretch(TENS, 135.0, 1000.0, 1)]

    assert finished_s(whole, 20, 1000) == pytest.approx(200, abs=1e-3)
    assert finished_s(cut, 20, 1000) == pytest.approx(235, abs=1e-3)


def test_work_goes_on_the_next_night():
    """Ten items fit the first 100 s; two more are done twenty seconds into the second stretch."""
    nights = [Stretch(TENS, 0.0, 100.0, 1), Stretch(TENS, 86_400.0, 86_500.0, 1)]

    assert finished_s(nights, 12, 90_000) == pytest.approx(86_420, abs=1e-2)
