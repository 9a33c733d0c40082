"""Candidates for a model that answers in one pass: what rate each sustains within the SLO, how fast it is then.

The same questions as :mod:`advisor.performance.stage` answers of token models, with a server that batches
(:mod:`advisor.performance.one_pass.batching`) in place of one that generates.

Times of single batches of a replica, as a simulation takes them: the same as those of the closed form.
"""

import math
from collections.abc import Sequence

import numpy as np

from advisor.candidates import Candidate, Shortfall
from advisor.catalog.one_pass_engines import ALIKE, COMPILED, LONGEST
from advisor.demand.values import TokenHistogram, Unit
from advisor.errors import InputError
from advisor.models import Model
from advisor.models.model import OF_ROWS_IN_ONNX, ONNX_TREES
from advisor.performance.one_pass import servers
from advisor.performance.one_pass.batching import (
    ENDLESS_S,
    LEAST_RATE,
    Batching,
    busy_at,
    largest_batch,
    late_share,
    latency_at,
    rate_within,
)
from advisor.performance.one_pass.forests import walks_trees
from advisor.performance.one_pass.work import KINDS, flop_of_items, flop_of_sample, samples_of_item
from advisor.performance.physics import Floats
from advisor.performance.questions import SCENARIOS, Answers, Indices, Questions
from advisor.performance.queueing import Bursts, bursts_of
from advisor.performance.setups import Resolved
from advisor.performance.values import Deployment, Evidence, Scenario
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND, ROUNDING, milliseconds, rounded_up
from advisor.workload.kinds import UNITS, unplanned_graph
from advisor.workload.values import Slo

P95_LATE = 0.05
_COUNTED = (
    "`advisor catalog models` lists the models that are known by name; of others FLOPs are counted from an ONNX file "
    "whose first axis alone is free"
)


@dataclass(frozen=True, slots=True)
class Replica:
    """A server on one accelerator: a batch takes ``fixed_s + FLOPs of its items × seconds_per_flop``.

    Each of its requests adds ``request_s``.
    """

    fixed_s: float
    seconds_per_flop: float
    largest_items: int
    """Of a batch at most: what the server takes, and the latency leaves."""
    largest_tokens: float
    """Of a batch at most, of texts, or values of rows; infinite where nothing limits them."""
    wait_s: float
    """Time that an item waits for others before a batch is begun."""
    evidence: Evidence
    spread: tuple[float, float]
    """Factors from a rate to the ends of its 80 % interval."""
    request_s: float = 0.0
    """Of a request beside its items."""
    padding: str = ""
    """How texts are batched, see ``OnePassEngine``."""
    padding_ratio: float = 1.0
    """Mean work of an item in a full batch ÷ its own, where all are computed as the longest."""
    context_tokens: float = 0.0
    """Of texts that are compiled for one length."""
    transfer_s: float = 0.0
    """Time that an HTTP request takes of the replica's share of its machine's network, one after the other."""
    is_split: bool = False
    """Each item of a call is an HTTP request of its own, which goes to the next replica in turn."""

    @property
    def workers(self) -> int:
        """Items that are begun each by itself: those of a compiled batch, one on each core; 1 of other servers."""
        return self.largest_items if self.padding == COMPILED else 1

    def computed_sizes(self, unit: Unit, sizes: Floats) -> Floats:
        """Sizes of items with the padding that is computed with them; of texts alone, the others have one size."""
        return servers.computed_sizes(self.padding, self.context_tokens, unit, sizes)


def replica_of(
    candidate: Candidate, deployment: Deployment, requirements: Requirements, transfer_s: float = 0.0
) -> Replica:  # fmt: skip
    """The server of a candidate with a known peak, with the largest batch that the workload's SLO leaves."""
    resolved = Resolved(requirements.model, deployment, 1)
    cost = servers.batch_cost(resolved, Scenario.SATURATED)
    demand, server = requirements.demand, candidate.batcher
    sizes, items = demand.tokens.input_tokens, demand.tokens.output_tokens
    largest_sizes = servers.most_sizes(server, demand.unit, requirements.context_tokens)
    most = servers.most_items(server, demand.tokens, largest_sizes)
    replica = Replica(
        fixed_s=cost.fixed_s,
        seconds_per_flop=cost.seconds_per_flop,
        largest_items=1,
        largest_tokens=largest_sizes,
        wait_s=0.0 if server is None else server.max_wait_ms / MS_PER_SECOND,
        request_s=cost.request_s,
        evidence=cost.evidence,
        spread=cost.spread,
        padding="" if server is None else server.padding,
        context_tokens=requirements.context_tokens,
        transfer_s=transfer_s,
        is_split=server is not None and server.splits(demand.output_tokens.max),
    )
    flop = flop_of_items(requirements.model, demand.unit, replica.computed_sizes(demand.unit, sizes))
    beside_s, per_flop = servers.padded_cost(server, cost.seconds_per_flop, flop.max(keepdims=True))
    replica = replace(replica, fixed_s=cost.fixed_s + float(beside_s[0]), seconds_per_flop=per_flop)
    if replica.padding == COMPILED:
        return replace(replica, largest_items=int(max(most, 1)))
    item_s = servers.item_seconds(flop, replica.seconds_per_flop, cost.request_s, items)
    limit = _limits(demand.tokens, requirements.workload.slo).min(initial=ENDLESS_S) - transfer_s
    weight = demand.tokens.probability * items
    mean_s = float(weight @ item_s / weight.sum())
    left = largest_batch(*(np.array([number]) for number in (cost.fixed_s, mean_s, limit, most)))
    largest = int(max(left[0], min(most, float(items.max())), 1))
    if replica.padding == LONGEST and servers.differ(sizes):
        padded = servers.padded_batch(demand.tokens, item_s, replica.fixed_s, largest, largest_sizes)
        return replace(replica, largest_items=padded.items, padding_ratio=padded.padding)
    return replace(replica, largest_items=largest)


def rates_of(
    replicas: Sequence[Replica], requirements: Requirements, tokens: TokenHistogram, slo: Slo, bursts: Bursts
) -> Floats:
    """Requests per second that each replica sustains within targets, (n,); 0 where a lone request is too slow.

    As many requests are within them as a replay asks for, which deals them to the replicas in turn as well: a margin is
    kept of those alone that are in time at an idle replica.
    """
    batching = batching_of(replicas, requirements, tokens)
    limits = np.broadcast_to(_limits(tokens, slo), batching.item_s.shape)
    unavoidable = late_share(batching, np.full_like(batching.fixed_s, LEAST_RATE), limits, bursts)
    most_late = np.array([1 - slo.rehearsed_ratio_beside(late) for late in unavoidable.tolist()])
    return rate_within(batching, limits, most_late, bursts)


def latencies_of(replicas: Sequence[Replica], rates: Floats, requirements: Requirements) -> Floats:
    """95th percentile of the latency of each replica at a rate of requests per second, in ms, (n,)."""
    batching = batching_of(replicas, requirements, requirements.demand.tokens)
    bursts = bursts_of(requirements.demand)
    return latency_at(batching, np.maximum(rates, LEAST_RATE), P95_LATE, bursts) * MS_PER_SECOND


def mean_requests(replicas: Sequence[Replica], rates: Floats, requirements: Requirements) -> Floats:
    """Requests that each replica has at a time on average, waiting or worked on: Little's law on the median, (n,)."""
    batching = batching_of(replicas, requirements, requirements.demand.tokens)
    state = busy_at(batching, np.maximum(rates, LEAST_RATE), bursts_of(requirements.demand))
    mean: Floats = rates * state.batch_s * (1 + state.busy / 2)
    return mean


def batching_of(replicas: Sequence[Replica], requirements: Requirements, tokens: TokenHistogram) -> Batching:
    """Requests of some sizes on replicas, as the closed form takes them."""

    def column(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    model, unit = requirements.model, requirements.demand.unit
    padded = {replica.padding: replica for replica in replicas}
    flop_by_padding = {
        padding: flop_of_items(model, unit, replica.computed_sizes(unit, tokens.input_tokens))
        for padding, replica in padded.items()
    }
    flop = np.array([flop_by_padding[replica.padding] for replica in replicas])
    per_flop = column([replica.seconds_per_flop for replica in replicas])
    of_request = column([replica.request_s for replica in replicas])
    fixed_s = column([replica.fixed_s for replica in replicas])
    padding = column([replica.padding_ratio for replica in replicas])
    items = tokens.output_tokens[None, :]
    item_s = servers.item_seconds(flop, (per_flop * padding)[:, None], of_request[:, None], items)
    workers = column([float(replica.workers) for replica in replicas])
    # So many servers of one item wait no longer than one that is as many times as quick, which is done sooner.
    sooner_s = (fixed_s + item_s.max(axis=1)) * (1 - 1 / workers)
    return Batching(
        fixed_s=fixed_s / workers,
        item_s=item_s / workers[:, None],
        items=tokens.output_tokens,
        probability=tokens.probability,
        largest=column([float(replica.largest_items) for replica in replicas]) / workers,
        wait_s=column([replica.wait_s for replica in replicas]) + sooner_s,
        transfer_s=column([replica.transfer_s for replica in replicas]),
        split=np.array([replica.is_split for replica in replicas], dtype=np.bool_),
        sizes=tokens.input_tokens,
        largest_sizes=column([_largest_sum(replica, tokens) for replica in replicas]),
    )


def _largest_sum(replica: Replica, tokens: TokenHistogram) -> float:
    """Sum of sizes in a batch at most; infinite where the items alone limit it, as where all have one size."""
    is_summed = replica.padding not in (ALIKE, COMPILED, LONGEST) and servers.differ(tokens.input_tokens)
    return replica.largest_tokens if is_summed else math.inf


def too_slow(replica: Replica, requirements: Requirements) -> Shortfall:
    """Why a replica sustains no rate: too many requests that find it and its network idle take longer than the target.

    Its two numbers are those of the quantile that decides, :attr:`Slo.within_ratio` of the requests by their latency
    over their target.
    """
    demand, slo = requirements.demand, requirements.workload.slo
    alone_ms = batching_of([replica], requirements, _of_a_replica(replica, demand.tokens)).alone_s[0] * MS_PER_SECOND
    limits_ms = _limits(demand.tokens, slo) * MS_PER_SECOND
    order = np.argsort(alone_ms / limits_ms, kind="stable")
    slower = 1 - np.cumsum(demand.tokens.probability[order])
    decisive = order[np.argmax(slower <= 1 - slo.within_ratio + ROUNDING)]
    floor, target = float(alone_ms[decisive]), float(limits_ms[decisive])
    named = f"latency p{100 * slo.within_ratio:.4g} is {milliseconds(rounded_up(floor))}"
    factor = slo.real_time_factor
    of_recording = "" if factor is None or target == slo.latency_ms else _of_recording(factor, target)
    reason = f"{named} with no other load, {milliseconds(target)} wanted{of_recording}"
    return Shortfall("slo_latency", "ms", target, floor, reason)


def _of_recording(factor: float, target_ms: float) -> str:
    """Recording whose factor is the target, in words."""
    return f" ({factor:g} × a recording of {milliseconds(target_ms / factor)})"


def _of_a_replica(replica: Replica, tokens: TokenHistogram) -> TokenHistogram:
    """Least part of calls of some sizes at a replica: one item of each, where they are requests of their own."""
    return replace(tokens, output_tokens=np.ones_like(tokens.output_tokens)) if replica.is_split else tokens


def check_known(requirements: Requirements) -> None:
    """Refuse requests whose FLOPs and usual sample of the model the catalog lacks. Raises InputError."""
    demand, model, workload = requirements.demand, requirements.model, requirements.workload
    if not np.isfinite(flop_of_items(model, demand.unit, demand.tokens.input_tokens)).all():
        why, _, remedy = model.sample.partition("; ")
        told = why.removeprefix("not known") if remedy else ""
        raise InputError(
            f"the FLOPs of one of the {demand.unit} that {model.name} is sent are not known{told}",
            where=workload.where("model"),
            hint=remedy or _COUNTED,
        )


def _limits(tokens: TokenHistogram, slo: Slo) -> Floats:
    """Largest latency of requests of each size in seconds, (p,): the target, or the factor times the recording."""
    latency_s = ENDLESS_S if slo.latency_ms is None else slo.latency_ms / MS_PER_SECOND
    limits: Floats = np.full(tokens.input_tokens.shape, latency_s)
    if slo.real_time_factor is not None:
        recorded_s = tokens.input_tokens * tokens.output_tokens / MS_PER_SECOND
        limits = np.minimum(limits, slo.real_time_factor * recorded_s)
    return limits


_ANY = 2**31 - 1


@dataclass(frozen=True, eq=False)
class BatchTimes:
    """Times of one replica's batches; what a simulation asks of any replica is named as in ``StepTimes``."""

    model: Model
    unit: Unit
    replica: Replica
    ttft_factor: float = 1.0
    """Nothing was learned beyond the batch."""
    context_tokens: int = _ANY
    """Requests of any size are served: their items are spread over batches."""
    kv_tokens: int = _ANY

    def item_seconds(self, sizes: Floats, items: Floats | float = 1.0) -> Floats:
        """Seconds that items of some sizes add to their batch, each with its share of a request of so many items."""
        flop = flop_of_items(self.model, self.unit, self.replica.computed_sizes(self.unit, sizes))
        return servers.item_seconds(flop, self.replica.seconds_per_flop, self.replica.request_s, items)


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
