"""Measurements of models that answer in one pass, as the fit wants them: labels, physics and measured seconds."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from advisor.calibration.values import Measurement
from advisor.catalog import Catalog
from advisor.errors import InputError
from advisor.performance.one_pass.answers import accelerators_of, loads
from advisor.performance.one_pass.samples import samples_of_item
from advisor.performance.one_pass.work import KINDS, Labels, Machine, flop_of_sample, labels_of, machine_of, one_pass
from advisor.performance.setups import Resolved, Setup, resolve


@dataclass(frozen=True, slots=True)
class Case:
    """A measurement that the fit can use."""

    measurement: Measurement
    labels: Labels
    machine: Machine
    flop: float
    batch: float
    """Samples."""
    used: float
    """Accelerators at work."""
    seconds: float
    """Measured, of one batch on one accelerator."""

    @property
    def cell(self) -> str:
        """Architecture and accelerator."""
        return f"{self.labels.model}|{self.labels.accelerator}"


def cases_of(measurements: Iterable[Measurement], catalog: Catalog) -> list[Case]:
    """The measurements of models that answer in one pass, without those that are faster than the peak allows."""
    setups: dict[Setup, Resolved | None] = {}
    cases = []
    for measurement in measurements:
        if measurement.setup not in setups:
            setups[measurement.setup] = _resolve(measurement.setup, catalog)
        setup = setups[measurement.setup]
        case = None if setup is None else _case(measurement, setup)
        if case is not None and case.seconds >= case.batch * case.flop / case.machine.flop_per_second:
            cases.append(case)
    return cases


def _resolve(setup: Setup, catalog: Catalog) -> Resolved | None:
    try:
        resolved = resolve(setup, catalog)
    except InputError:
        return None
    return (
        resolved
        if isinstance(resolved, Resolved) and one_pass(resolved.model) and resolved.model.task in KINDS
        else None
    )


def _case(measurement: Measurement, setup: Resolved) -> Case | None:
    """None where throughput or work are not known."""
    rate = measurement.samples_per_second
    if rate is None and measurement.output_tokens_per_second and measurement.output_tokens:
        rate = measurement.output_tokens_per_second / measurement.output_tokens
    tokens = np.array([measurement.input_tokens or np.nan])
    flop = float(flop_of_sample(setup.model, tokens)[0])
    machine = machine_of(setup)
    if not rate or not np.isfinite(flop / machine.flop_per_second):
        return None
    asked = np.array([measurement.concurrency or np.nan])
    batch, used = loads(measurement.scenario, asked, accelerators_of(setup), samples_of_item(setup.model))
    seconds = float(used[0] * batch[0] / rate)
    labels = labels_of(setup, measurement.scenario)
    return Case(measurement, labels, machine, flop, float(batch[0]), float(used[0]), seconds)
