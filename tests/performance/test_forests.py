"""Seconds of trees: what was measured, by hand, and how they move with cores, trees and columns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.processors import with_processors
from advisor.models import find_model
from advisor.performance import Evidence, Scenario
from advisor.performance.one_pass.servers import (
    FIL,
    batch_cost,
    forest_evidence,
    forest_measurements,
    forest_rates,
    forest_seconds,
    rate_of,
)
from advisor.performance.setups import Resolved, Setup, resolve

CATALOG = load_catalog()
TREES = str(Path(__file__).parents[1] / "models" / "files" / "made" / "xgboost.ubj")
MEASURED = [pytest.param(row, id=f"{row.walker} {row.hardware} {row.work:,.0f}") for row in forest_measurements()]


def processor(generation, cores):
    """Cores of a processor of AWS, Azure or Google as an accelerator."""
    catalog = with_processors(CATALOG, ("aws", "gcp", "azure"), 1.0)
    named = (one for name, one in catalog.accelerators.items() if name.startswith(f"{cores} cores of"))
    return next(one for one in named if one.architecture == generation)


def on(accelerator, **changes):
    """The made trees on an accelerator."""
    resolved = resolve(Setup(TREES, "L4", 1), CATALOG)
    assert isinstance(resolved, Resolved)
    model = replace(resolved.model, **changes)
    return replace(resolved, model=model, deployment=replace(resolved.deployment, accelerator=accelerator))


@pytest.mark.parametrize("row", MEASURED)
def test_what_was_left_out_is_met_within_a_factor_of_two(row):
    """Each measurement is predicted from the others of its vendor."""
    others = [
        other
        for other in forest_measurements()
        if (other.walker, other.vendor) == (row.walker, row.vendor) and other != row
    ]
    assert 0.5 < row.per_unit / rate_of(others).per_unit < 2


def test_the_median_error_of_what_was_left_out():
    """Half of the measured rates are met within 30 % from the others."""
    rows = forest_measurements()
    errors = [
        abs(
            rate_of(
                [other for other in rows if (other.walker, other.vendor) == (row.walker, row.vendor) and other != row]
            ).per_unit
            / row.per_unit
            - 1
        )
        for row in rows
    ]
    assert float(np.median(errors)) < 0.3


def test_a_batch_on_cores_by_hand():
    """Eight cores at 2.6 GHz: a row waits for its own core, and what a server receives is added."""
    setup = on(processor("Milan", 8), flop_per_sample=4500.0, sample_size=100)
    seconds = forest_seconds(setup)
    rate = forest_rates()[FIL, "cpu"].per_unit * 2.6
    row_s = 4500 * (1 + 63 / 30_000) ** 0.65 / rate
    assert seconds.row_s == pytest.approx(row_s / 8 + 400 / 2.5e9)
    assert seconds.fixed_s == pytest.approx(1.6e-4 + row_s * 7 / 8)
    assert seconds.request_s == pytest.approx(2e-5)


def test_what_was_measured_has_the_narrower_interval():
    """Milan was measured and Sapphire Rapids was not; no card that is sold for it was."""
    known, known_spread = forest_evidence(processor("Milan", 8))
    other, other_spread = forest_evidence(processor("Sapphire Rapids", 8))
    card, card_spread = forest_evidence(CATALOG.accelerator("L4"))
    assert (known, other, card) == (Evidence.CALIBRATED, Evidence.ROOFLINE, Evidence.ROOFLINE)
    assert other_spread[0] < known_spread[0] < 1 < known_spread[1] < other_spread[1]
    assert card_spread[0] <= 0.5
    assert card_spread[1] >= 2


@given(st.floats(1, 1e6), st.floats(1, 100), st.integers(1, 5000), st.sampled_from(["cpu", "nvidia"]))
def test_more_work_takes_longer(operations, times, columns, vendor):
    """Deeper trees and wider rows take no less time, on processors and on cards."""
    accelerator = CATALOG.accelerator("T4") if vendor == "nvidia" else processor("Milan", 8)
    less, more = (
        batch_cost(on(accelerator, flop_per_sample=each, sample_size=columns * wide), Scenario.SATURATED)
        for each, wide in ((operations, 1), (operations * times, times))
    )
    assert more.fixed_s >= less.fixed_s
    assert more.seconds_per_flop * operations * times >= less.seconds_per_flop * operations * (1 - 1e-9)


def test_trees_are_found_by_their_file():
    """The made trees have the operations and columns that the speed rests on."""
    model = find_model(TREES)
    assert (model.task, model.sample_size) == ("tabular", 6)
    assert model.flop_per_sample == pytest.approx(19.55, rel=0.01)
