"""The fit of models that answer in one pass: what it learns, what it leaves out, and that the shipped one is its own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from advisor.calibration.one_pass import cases_of, document_text, evaluate_one_pass, fit_one_pass, fold_of, hold_out
from advisor.calibration.shipped import load_measurements
from advisor.calibration.values import Measurement
from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.performance.one_pass.effects import effects_from
from advisor.performance.one_pass.work import labels_of
from advisor.performance.setups import Setup, resolve
from advisor.performance.values import Scenario

CATALOG = load_catalog()
PARTS = ("T4", "A30", "L4", "A100-80GB-SXM", "H100-SXM")
MODELS = ("resnet50-v1.5", "resnet101", "vgg16", "google/vit-base-patch16-224")


def invented(model, part, slowness, **changes):
    """A measurement of a world where an accelerator runs so many times slower than its peak."""
    setup = Setup(model, part, 1, precision="fp16", engine="TensorRT")
    resolved = resolve(setup, CATALOG)
    peak = resolved.deployment.accelerator.fp16_tflops * 1e12
    sample = Measurement(
        f"{model} on {part}",
        setup,
        Scenario.SATURATED,
        samples_per_second=peak / slowness / resolved.model.flop_per_sample,
        source=f"{model} on {part}",
    )
    return replace(sample, **changes)


def world():
    """Every model on every accelerator; T4 runs three times slower than the others."""
    return [invented(model, part, 6.0 if part == "T4" else 2.0) for model in MODELS for part in PARTS]


def test_a_pair_that_was_never_measured_is_put_together_from_its_parts():
    """Slow on T4 whatever the model: learned from other models, it holds for one that was not measured there."""
    held = hold_out(cases_of(world(), CATALOG), lambda case: case.cell, 10)
    assert len(held) == len(MODELS) * len(PARTS)
    assert np.median([abs(entry.log_error) for entry in held]) < 0.1


def test_faster_than_the_peak_is_not_used():
    """A rate that the arithmetic cannot reach teaches nothing, nor does a set-up that nothing can be said of."""
    good = world()
    bad = [
        invented(MODELS[0], "A30", 0.5),
        replace(good[0], setup=replace(good[0].setup, model="no such model")),
        replace(good[0], samples_per_second=None),
        replace(good[0], setup=replace(good[0].setup, model="meta-llama/Meta-Llama-3.1-8B", accelerator="H100-SXM")),
    ]
    assert len(cases_of([*good, *bad], CATALOG)) == len(good)


def test_one_measurement_is_known_again():
    """What was measured is called measured, and the same set-up on another engine is not."""
    effects = effects_from(json.loads(document_text(fit_one_pass(world(), CATALOG))))
    labels = labels_of(resolve(world()[0].setup, CATALOG), Scenario.SATURATED)
    assert effects.novelty(labels) == "measured"
    assert effects.novelty(replace(labels, engine="pytorch")) == "known"
    assert effects.novelty(replace(labels, model="another")) == "new model"


def test_folds_depend_on_the_name_alone():
    """The same name falls into the same fold in every run, and all folds are used."""
    names = [f"cell {number}" for number in range(200)]
    assert {fold_of(name, 16) for name in names} == set(range(16))
    assert fold_of("resnet50|T4", 16) == fold_of("resnet50|T4", 16)


@pytest.mark.sampled(2)
@pytest.mark.slow
def test_the_shipped_calibration_is_rebuilt_bit_for_bit():
    """The fit of the shipped measurements is the shipped file."""
    shipped = data_dir("instance_catalog") / "calibration" / "one_pass.json"
    assert document_text(fit_one_pass(load_measurements().measurements, CATALOG)) == shipped.read_text()


@pytest.mark.sampled(2)
@pytest.mark.slow
def test_unseen_cells_are_predicted_within_the_target():
    """Left out by architecture and accelerator: the median error is within 15 % and 75 to 85 % lie in the interval."""
    measurements = load_measurements().measurements
    cells = {case.measurement.where: case.cell for case in cases_of(measurements, CATALOG)}
    results = evaluate_one_pass(measurements, CATALOG, lambda measurement: cells[measurement.where], 16)
    assert len({measurement.where for measurement, *_ in results}) == len(cells)
    rated = [(m.samples_per_second, *numbers) for m, *numbers in results if m.samples_per_second]
    measured, predicted, low, high = np.array(rated).T
    assert np.median(np.abs(predicted / measured - 1)) <= 0.15
    assert 0.75 <= np.mean((low <= measured) & (measured <= high)) <= 0.85
