"""Answers for models that give their whole result in one pass: samples per second."""

from collections.abc import Sequence

import numpy as np

from advisor.demand.values import Unit
from advisor.models.model import OF_ROWS_IN_ONNX, ONNX_TREES
from advisor.performance.one_pass import servers
from advisor.performance.one_pass.forests import walks_trees
from advisor.performance.one_pass.work import KINDS, flop_of_sample, samples_of_item
from advisor.performance.physics import Floats
from advisor.performance.questions import SCENARIOS, Answers, Indices, Questions
from advisor.performance.setups import Resolved
from advisor.performance.values import Scenario
from advisor.workload.kinds import UNITS, unplanned_graph

ENDLESS = 1e12
"""Samples of a batch that is never waited for."""


def answer_one_pass(
    setups: Sequence[Resolved | None], questions: Questions, standing: Indices, answers: Answers
) -> None:  # fmt: skip
    """Samples per second of the standing questions, by set-up and scenario: there are few of them."""
    if not standing.size:
        return
    group = questions.setup[standing] * len(SCENARIOS) + questions.scenario[standing]
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order])) + 1
    for rows in np.split(standing[order], edges):
        setup = setups[questions.setup[rows[0]]]
        if setup is not None:
            _answer(setup, questions, rows, answers)


def _answer(setup: Resolved, questions: Questions, rows: Indices, answers: Answers) -> None:
    """Questions that share set-up and scenario: a request for each item, of trees one for all rows of a batch."""
    unit, server = UNITS.get(setup.model.task, Unit.TEXTS), setup.server
    tokens = questions.input_tokens[rows]
    computed = servers.computed_sizes("" if server is None else server.padding, 0.0, unit, tokens)
    flop = flop_of_sample(setup.model, computed)
    limit = setup.model.max_context_tokens or np.inf
    is_known = np.isfinite(flop) & _is_predicted(setup)
    standing = is_known & ~(tokens > limit)
    for at, has_flop in zip(rows[~standing].tolist(), is_known[~standing].tolist(), strict=True):
        answers.reason[at] = _reason(setup, has_flop=has_flop)
    if not standing.any():
        return
    rows, flop = rows[standing], flop[standing]
    scenario = SCENARIOS[questions.scenario[rows[0]]]
    cost, of_item = servers.batch_cost(setup, scenario), samples_of_item(setup.model)
    batch, used = loads(scenario, questions.concurrency[rows], accelerators_of(setup), of_item)
    batch = np.minimum(batch, _most_samples(setup, unit, tokens[standing]) * of_item)
    of_request = batch if unit is Unit.ROWS else of_item
    beside_s, per_flop = servers.padded_cost(server, cost.seconds_per_flop, flop)
    sample_s = servers.item_seconds(flop, per_flop, cost.request_s, of_request)
    rate = used * batch / (cost.fixed_s + beside_s + batch * sample_s)
    low, high = cost.spread
    answers.store("samples_per_second", rows, (rate, rate * low, rate * high))
    for at in rows.tolist():
        answers.evidence[at] = cost.evidence.value


def _most_samples(setup: Resolved, unit: Unit, tokens: Floats) -> Floats:
    """Items of a batch that the server takes at most; endless of an engine that is not a server of the catalog."""
    if setup.server is None:
        return np.full_like(tokens, ENDLESS)
    usual = setup.model.sample_size or 1.0
    sizes = np.where(np.isfinite(tokens) & (unit is Unit.TEXTS), tokens, usual)
    return np.maximum(servers.items_within(setup.server, sizes, servers.most_sizes(setup.server, unit, 1)), 1.0)


def _is_predicted(setup: Resolved) -> bool:
    """Whether a rate is known of the model's kind: of trees on what their server runs on."""
    if setup.model.is_forest:
        return walks_trees(setup)
    return setup.model.task in KINDS or setup.model.sample_size is not None


def accelerators_of(setup: Resolved) -> float:
    """Accelerators that each hold a copy."""
    return float(setup.replicas * setup.deployment.tensor_parallel)


def loads(
    scenario: Scenario, concurrency: Floats, accelerators: float, samples_of_item: float
) -> tuple[Floats, Floats]:  # fmt: skip
    """Samples of the batch on each accelerator, and accelerators at work; users ask for an item each."""
    if scenario is Scenario.SATURATED:
        return np.full_like(concurrency, ENDLESS), np.full_like(concurrency, accelerators)
    single = scenario is Scenario.SINGLE_STREAM
    asked = np.ones_like(concurrency) if single else np.fmax(concurrency, 1.0)
    used = np.minimum(accelerators, asked)
    return asked / used * samples_of_item, used


def _reason(setup: Resolved, *, has_flop: bool) -> str:
    """Why a question has no number."""
    if has_flop:
        return f"the input is longer than the {setup.model.max_context_tokens:,} tokens that the model takes"
    if setup.model.hidden and setup.model.task in KINDS:
        return f"input_tokens is needed: no usual length of {setup.model.name} is known"
    if setup.model.is_forest:
        form = "; give them as a file of XGBoost, LightGBM or treelite" if setup.model.family == ONNX_TREES else ""
        return f"no server of trees in this format is known on {setup.deployment.accelerator.name}{form}"
    if setup.model.family in OF_ROWS_IN_ONNX and UNITS.get(setup.model.task) is Unit.ROWS:
        return unplanned_graph(setup.model)
    if setup.model.flop_per_sample is not None:
        return f"no measurement of {setup.model.task} models is known, such as {setup.model.name}"
    why = setup.model.sample.removeprefix("not known")
    return f"the FLOPs of one sample of {setup.model.name} are not known{why}"
