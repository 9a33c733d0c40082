"""Answers for models that give their whole result in one pass: samples per second."""

from collections.abc import Sequence

import numpy as np

from advisor.performance.constants import stack_class
from advisor.performance.deployments import peak_flops
from advisor.performance.encoders import KINDS, SampleCost, cost, flop_of_sample, samples_per_second
from advisor.performance.physics import Floats
from advisor.performance.questions import SCENARIOS, Answers, Indices, Questions
from advisor.performance.setups import Resolved
from advisor.performance.values import Evidence, Scenario
from advisor.units import BYTES_PER_GB


def answer_one_pass(
    setups: Sequence[Resolved | None], questions: Questions, standing: Indices, answers: Answers
) -> None:  # fmt: skip
    """Samples per second of the standing questions, set-up by set-up: there are few of them."""
    if not standing.size:
        return
    order = standing[np.argsort(questions.setup[standing], kind="stable")]
    edges = np.flatnonzero(np.diff(questions.setup[order])) + 1
    for rows in np.split(order, edges):
        setup = setups[questions.setup[rows[0]]]
        if setup is not None:
            _answer(setup, questions, rows, answers)


def _answer(setup: Resolved, questions: Questions, rows: Indices, answers: Answers) -> None:
    kind = KINDS.get(setup.model.task)
    flop = flop_of_sample(setup.model, setup.deployment.shape, questions.input_tokens[rows])
    known = np.isfinite(flop) & (kind is not None)
    for at in rows[~known].tolist():
        answers.reason[at] = f"the FLOPs of one sample of {setup.model.name} are not known"
    if kind is None or not known.any():
        return
    rows = rows[known]
    batch, used = _batches(questions.take(rows), float(setup.replicas * setup.deployment.tensor_parallel))
    rate = samples_per_second(_cost(setup, flop[known]), batch, used)
    answers.store("samples_per_second", rows, (rate, rate * kind.spread.low, rate * kind.spread.high))
    answers.mark(rows, Evidence.ROOFLINE)


def _cost(setup: Resolved, flop: Floats) -> SampleCost:
    """What a batch costs on one of the set-up's accelerators."""
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    stack = stack_class(accelerator.vendor, accelerator.name, deployment.engine, deployment.engine_version)
    flops = peak_flops(accelerator, deployment.compute_precision) or np.nan
    rates = (flops, accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB)
    return cost(KINDS[setup.model.task], flop, rates, stack, deployment.weight_bytes)


def _batches(questions: Questions, accelerators: float) -> tuple[Floats, Floats]:
    """Batch on each accelerator, and accelerators at work."""
    single = questions.scenario == SCENARIOS.index(Scenario.SINGLE_STREAM)
    saturated = questions.scenario == SCENARIOS.index(Scenario.SATURATED)
    asked = np.where(single | np.isnan(questions.concurrency), 1.0, questions.concurrency)
    used = np.where(saturated, accelerators, np.minimum(accelerators, asked))
    return np.where(saturated, np.inf, asked / used), used
