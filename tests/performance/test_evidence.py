"""Classes of evidence, and the intervals that go with them."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.calibration.observations import GROUPS, SCENARIO_OF, load_measurements, observe
from advisor.catalog import load_catalog
from advisor.performance import Evidence, Scenario, head_draft
from advisor.performance.calibration import shipped
from advisor.performance.constants import Quantity
from advisor.performance.evidence import CLASSES, PredictionEvidence
from advisor.performance.regimes import WITHIN, Load, MeasuredCoverage
from performance.deployment_builders import make_accelerator, make_deployment


def evidence_of(deployment, scenario=Scenario.FIXED_CONCURRENCY, users=16.0, lengths=(1024.0, 256.0), hits=0.0):
    """Evidence for one question."""
    load = Load(*np.array([[users], [lengths[0]], [lengths[1]]]), hits)
    prediction_evidence = PredictionEvidence([deployment], shipped())
    return CLASSES[int(prediction_evidence.evidence(scenario, np.zeros(1, dtype=np.intp), load)[0])]


@pytest.fixture(scope="module")
def observations():
    """Every measurement of the catalog that numbers can be predicted for."""
    return observe(load_measurements().measurements, load_catalog())[0]


def test_every_measured_row_is_measured(observations):
    """A question about a measurement of the catalog is answered as measured."""
    prediction_evidence = PredictionEvidence(observations.deployments, shipped())
    for code, group in enumerate(GROUPS):
        rows = np.flatnonzero(observations.group == code)
        assert rows.size
        found = prediction_evidence.evidence(SCENARIO_OF[group], observations.place[rows], observations.load.take(rows))
        assert set(found.tolist()) == {CLASSES.index(Evidence.MEASURED)}


def measured_closed_loop(observations):
    """A deployment that was measured in a closed loop, and one of its loads: users and lengths."""
    row = int(np.flatnonzero(observations.group == GROUPS.index("loop"))[0])
    load = observations.load
    deployment = observations.deployments[observations.place[row]]
    return deployment, load.concurrency[row], (load.input_tokens[row], load.output_tokens[row])


@pytest.mark.parametrize("what", ["cached prompts", "drafts"])
def test_what_was_never_measured_is_never_called_so(observations, what):
    """On a measured set-up, cached prompts and drafted tokens rest on the physics."""
    deployment, users, lengths = measured_closed_loop(observations)
    assert evidence_of(deployment, users=users, lengths=lengths) is Evidence.MEASURED
    if what == "drafts":
        deployment = replace(deployment, draft=head_draft(deployment.shape, 3, 0.7))
    found = evidence_of(deployment, users=users, lengths=lengths, hits=0.5 if what == "cached prompts" else 0.0)
    assert found is Evidence.ROOFLINE


def test_a_load_far_from_the_measured_ones_is_out_of_reach(observations):
    """Prompts of ten times the reach are not measured, though the set-up is."""
    deployment, users, (_, answer) = measured_closed_loop(observations)
    held = shipped().reach.range_of(deployment, Scenario.FIXED_CONCURRENCY)
    beyond = 10 * WITHIN * held.high[1]
    assert evidence_of(deployment, users=users, lengths=(beyond, answer)) is Evidence.CALIBRATED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"family": "llama3"}, Evidence.CALIBRATED),
        ({"family": "never seen"}, Evidence.ROOFLINE),
        ({"family": "llama3", "accelerator": make_accelerator(name="X1")}, Evidence.ROOFLINE),
    ],
    ids=["both seen", "family unseen", "accelerator unseen"],
)
def test_accelerator_and_family_decide_elsewhere(changes, expected):
    """Calibrated where both were measured, roofline where either was not."""
    assert evidence_of(make_deployment(**changes), lengths=(77.0, 7777.0)) is expected


def test_every_class_has_an_interval_that_holds_its_number():
    """Low end below 1, high end above it, for each class, scenario and quantity that there is."""
    spreads = shipped().spreads
    for scenario in Scenario:
        for quantity in Quantity:
            for found in CLASSES:
                spread = spreads[found, scenario, quantity]
                assert 0 < spread.low < 1 < spread.high


def test_less_evidence_never_means_a_narrower_range():
    """From measured over calibrated to roofline, what is said of TPOT in a closed loop gets wider."""
    spreads = [shipped().spreads[found, Scenario.FIXED_CONCURRENCY, Quantity.TPOT] for found in CLASSES]
    widths = [np.log(spread.high / spread.low) for spread in spreads]
    assert widths == sorted(widths)


def test_reach_gathers_the_ends_of_all_loads():
    """Two measurements of a set-up span a range; a load counts as within it up to a factor beyond its ends."""
    key = ("a 1B 2 layers", "L4", "vllm bf16/16", 1)
    loads = ((1.0, 100.0, 10.0), (64.0, 50.0, 20.0))
    reach = MeasuredCoverage.of((key, "a", Scenario.FIXED_BATCH, load) for load in loads)
    held = reach.measured[key, Scenario.FIXED_BATCH]
    assert (held.low, held.high) == ((1.0, 50.0, 10.0), (64.0, 100.0, 20.0))
    assert held.holds((64 * WITHIN, 50 / WITHIN, 15))
    assert not held.holds((64 * WITHIN + 1, 50, 15))
    assert (reach.accelerators, reach.families) == ({"L4"}, {"a"})
