"""The fit of models that answer in one pass: what it learns, what it leaves out, and that the shipped one is its own."""

import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from advisor.calibration.fits import weighted_quantile
from advisor.calibration.observations import Measurement, load_measurements
from advisor.calibration.one_pass import cases_of, document_text, fit_one_pass, fold_of, hold_out
from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.performance import Scenario
from advisor.performance.one_pass import labels_of
from advisor.performance.one_pass.servers import effects_from
from advisor.performance.setups import Setup, resolve
from advisor.tables import read_records
from benchmarks.accuracy.one_pass_held_out import evaluate_one_pass

CATALOG = load_catalog()
PARTS = ("T4", "A30", "L4", "A100-80GB-SXM", "H100-SXM")
TARGETS = {"encoder": 0.15, "vision": 0.15, "speech": 0.15, "diffusion": 0.20}
"""Largest median error of unseen cells by kind, each cell counting alike."""
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
    """Left out by architecture and accelerator: median errors over rows and over cells, and 75 to 85 % in the interval."""
    measurements = load_measurements().measurements
    cases = {case.measurement.where: case for case in cases_of(measurements, CATALOG)}
    cells = {where: case.cell for where, case in cases.items()}
    results = evaluate_one_pass(measurements, CATALOG, lambda measurement: cells[measurement.where], 16)
    assert len({measurement.where for measurement, *_ in results}) == len(cells)
    rated = [(m.samples_per_second, *numbers) for m, *numbers in results if m.samples_per_second]
    measured, predicted, low, high = np.array(rated).T
    assert np.median(np.abs(predicted / measured - 1)) <= 0.15
    assert 0.75 <= np.mean((low <= measured) & (measured <= high)) <= 0.85
    rows_of = Counter(cells.values())
    for kind, target in TARGETS.items():
        of_kind = [(cases[m.where], rate) for m, rate, *_ in results if cases[m.where].labels.kind == kind]
        errors = np.array([abs(rate * case.seconds / (case.used * case.batch) - 1) for case, rate in of_kind])
        weights = np.array([1 / rows_of[case.cell] for case, _ in of_kind])
        assert weighted_quantile(errors, weights, 0.5) <= target, kind


def test_samples_in_flight_follow_from_rate_and_latency():
    """Little's law on rows that print a latency: samples in flight are the rate times at most the P99."""
    path = data_dir("instance_catalog") / "measurements_cc_by_sa.csv"
    shares = {}
    for row in read_records(path):
        printed = re.search(r"P99 ([\d.]+) ms", row.text("note"))
        if printed and row.text("samples_per_second"):
            at_p99 = row.number("samples_per_second") * float(printed[1]) / 1000
            shares[row.text("id")] = row.number("concurrency") / at_p99
    assert len(shares) > 40
    assert {name: share for name, share in shares.items() if not 0.5 <= share <= 1.15} == {}


@pytest.mark.parametrize("accelerator", ["Gaudi1", "Gaudi2", "Gaudi3"])
def test_batches_one_after_another_are_no_saturated_load(accelerator):
    """Sentences that a loop encodes in batches of 32 have 32 in flight, and their lengths are those that are computed."""
    rows = [m for m in load_measurements().measurements if m.source == "optimum_habana" and m.samples_per_second]
    rows = [m for m in rows if m.setup.accelerator == accelerator]
    assert rows
    assert {(m.scenario, m.concurrency) for m in rows} == {(Scenario.FIXED_BATCH, 32)}
    assert {m.input_tokens for m in rows} == ({32} if accelerator == "Gaudi3" else {None})
