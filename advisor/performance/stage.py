"""The stage between candidates and cost: which candidates keep the SLO, at what rate, how fast at the planned load.

The performance stage for models that answer in one pass; candidates that predict alike are predicted once.
"""

from collections.abc import Callable, Sequence

import numpy as np

from advisor.candidates import Candidate, Rejection, Shortfall, reject_candidate
from advisor.catalog.processors import CPU
from advisor.demand.values import TokenHistogram
from advisor.models.model import Model
from advisor.performance import Deployment, Evidence, Interval, serving
from advisor.performance.constants import Quantity
from advisor.performance.deployments import peak_flops
from advisor.performance.evidence import CLASSES, Codes, LoadLatency, Served, late_item
from advisor.performance.groups import (
    LIKE,
    Groups,
    carried_by_each,
    deployment_for,
    deployment_of,
    group_key,
    most_sequences,
    simulated_seconds,
    within_links,
)
from advisor.performance.model import PerformanceModel
from advisor.performance.one_pass.serving import (
    BatchTimes,
    Replica,
    batching_of,
    check_known,
    latencies_of,
    mean_requests,
    rates_of,
    replica_of,
    too_slow,
)
from advisor.performance.physics import PICTURE_FACTORS, Floats
from advisor.performance.queueing import RANDOM, Bursts, bursts_of, length_points
from advisor.performance.regimes import Load
from advisor.performance.steps import StepTimes, step_times
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND, milliseconds, rounded_up
from advisor.workload.values import Slo

Deployed = Callable[[Candidate, Model], Deployment]
"""One replica of a candidate, reduced to what decides its speed."""
_NOTHING = Interval(0.0, 0.0, 0.0)
"""Time per token of an answer that has none after the first."""


@dataclass(frozen=True, slots=True)
class OnePassStage:
    """Answers of the performance stage about one question."""

    requirements: Requirements
    deployed: Deployed

    def serve(self, candidates: Sequence[Candidate]) -> tuple[list[Served], list[Rejection]]:
        """Candidates with a known peak that keep the SLO with the rate each sustains, and rejections of the others.

        Raises InputError if the work of the model's requests is not known.
        """
        check_known(self.requirements)
        if not candidates:
            return [], []
        replicas, index = self._grouped(candidates)
        demand, slo = self.requirements.demand, self.requirements.workload.slo
        slo = slo if demand.batch is None else Slo()
        rates = rates_of(replicas, self.requirements, demand.tokens, slo, bursts_of(demand))
        most = batching_of(replicas, self.requirements, demand.tokens).most_per_second
        running = mean_requests(replicas, rates, self.requirements)
        if demand.batch is not None:
            rates = np.where(rates > 0, most, 0.0)
            running = np.array([replica.largest_items for replica in replicas]) / demand.output_tokens.mean
        served: list[Served] = []
        rejected: list[Rejection] = []
        for candidate, at in zip(candidates, index, strict=True):
            replica, rate = replicas[at], float(rates[at])
            if rate <= 0:
                rejected.append(reject_candidate(candidate, too_slow(replica, self.requirements)))
                continue
            if demand.batch is not None and (late := late_item(candidate, float(running[at]), rate, demand.batch)):
                rejected.append(late)
                continue
            low, high = replica.spread
            interval = Interval(rate, rate * low, rate * high)
            served.append(
                Served(
                    candidate, interval, replica.largest_items, replica.evidence, float(running[at]), float(most[at])
                )
            )
        return served, rejected

    def rates_within(
        self, candidates: Sequence[Candidate], cases: Sequence[tuple[TokenHistogram, Slo]], bursts: Bursts
    ) -> Floats:
        """Requests per second that one replica of each candidate sustains in each case: (cases, candidates)."""
        replicas, index = self._grouped(candidates)
        rates = [rates_of(replicas, self.requirements, tokens, slo, bursts) for tokens, slo in cases]
        return np.array(rates)[:, index]

    def full_rates(self, candidates: Sequence[Candidate], cases: Sequence[TokenHistogram]) -> Floats:
        """Requests per second of one replica of each candidate in full batches: (cases, candidates)."""
        replicas, index = self._grouped(candidates)
        rates = [batching_of(replicas, self.requirements, tokens).most_per_second for tokens in cases]
        return np.array(rates)[:, index]

    def latencies(self, candidates: Sequence[Candidate], rates: Sequence[float]) -> list[LoadLatency]:
        """Latency of each candidate when one replica receives that many requests per second."""
        replicas, index = self._grouped(candidates)
        each, loads = [replicas[at] for at in index], np.array(rates, dtype=np.float64)
        if self.requirements.demand.batch is not None:
            demand = self.requirements.demand
            loads = np.minimum(loads, rates_of(each, self.requirements, demand.tokens, Slo(), bursts_of(demand)))
        latencies_ms = latencies_of(each, loads, self.requirements).tolist()
        whole = [_ranged(ms, replica) for ms, replica in zip(latencies_ms, each, strict=True)]
        return [LoadLatency(latency, _NOTHING, latency) for latency in whole]

    def times(self, candidate: Candidate) -> BatchTimes:
        """Times of one replica's batches."""
        (replica,), _ = self._grouped([candidate])
        return BatchTimes(self.requirements.model, self.requirements.demand.unit, replica)

    def _replica(self, candidate: Candidate, transfer_s: float = 0.0) -> Replica:
        deployment = self.deployed(candidate, self.requirements.model)
        return replica_of(candidate, deployment, self.requirements, transfer_s)

    def _grouped(self, candidates: Sequence[Candidate]) -> tuple[list[Replica], list[int]]:
        """The different replicas, and which of them each candidate has."""
        servers = [(candidate.accelerator.name, candidate.precision, candidate.engine) for candidate in candidates]
        first = dict(zip(reversed(servers), reversed(candidates), strict=True))
        local = {server: self._replica(candidate) for server, candidate in first.items()}
        batching = batching_of(list(local.values()), self.requirements, self.requirements.demand.tokens)
        most = dict(zip(local, batching.most_per_second.tolist(), strict=True))
        keys = [
            (server, simulated_seconds(candidate, self.requirements, most[server]))
            for server, candidate in zip(servers, candidates, strict=True)
        ]
        position = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        replicas = [
            self._replica(first[server], transfer_s) if transfer_s else local[server] for server, transfer_s in position
        ]
        return replicas, [position[key] for key in keys]


def _ranged(latency_ms: float, replica: Replica) -> Interval:
    """A latency with its range: the batches may be faster or slower, the network is as it is stated."""
    transfer_ms = replica.transfer_s * MS_PER_SECOND
    slower, faster = replica.spread
    own_ms = latency_ms - transfer_ms
    return Interval(latency_ms, transfer_ms + own_ms / faster, transfer_ms + own_ms / slower)


_CALIBRATED = CLASSES.index(Evidence.CALIBRATED)
"""Code of what may be said at most of requests with pictures: set-ups were measured with text."""
_RATE_DIGITS = 5
"""Significant digits of a rate: the last bits differ between processors, and must not decide between equals."""
_LEAST_RATE = 1e-9
"""Requests per second below which nothing is served."""


def serve(
    candidates: Sequence[Candidate], requirements: Requirements, model: PerformanceModel
) -> tuple[list[Served], list[Rejection]]:  # fmt: skip
    """Candidates that keep the SLO with the rate each replica sustains, and rejections of layouts that none has.

    A layout is rejected with every engine that was judged in it, or is served by another one.
    """
    served, rejected = _serve(candidates, requirements, model)
    layouts = {_layout(each.candidate, each.candidate.instance_type.name) for each in served}
    lacking = [each for each in rejected if _layout(each, each.instance_type) not in layouts]
    return list(within_links(served, requirements)), lacking


def _layout(judged: Candidate | Rejection, instance_type: str) -> tuple[object, ...]:
    """Layout on a machine, whatever engine runs there."""
    return instance_type, judged.precision, judged.tensor_parallel, judged.partition


def _serve(
    candidates: Sequence[Candidate], requirements: Requirements, model: PerformanceModel
) -> tuple[list[Served], list[Rejection]]:  # fmt: skip
    """:func:`serve` on networks without a limit."""
    served: list[Served] = []
    predictable = [candidate for candidate in candidates if _has_peak(candidate, requirements.model)]
    rejected = []
    if len(predictable) < len(candidates):
        rejected = [_abstained(candidate) for candidate in candidates if not _has_peak(candidate, requirements.model)]
    if requirements.demand.unit.is_one_pass:
        served, too_slow = one_pass_stage(requirements).serve(predictable)
        return served, [*rejected, *too_slow]
    if not predictable:
        return served, rejected
    slo = requirements.workload.slo
    resident_tokens = length_points(requirements.demand.tokens).resident_tokens
    groups = Groups.of(predictable, requirements, model)
    tokens = requirements.demand.tokens
    learned = model.open_loop(groups.packed, tokens)
    run = requirements.demand.batch
    capacity = serving.capacity_at_slo(groups.packed, tokens, slo if run is None else Slo(), learned)
    capacity = (
        capacity if run is None else _of_full_replicas(capacity, *serving.full_load(groups.packed, tokens, learned))
    )
    most = None if slo.tpot_p95_ms is None else serving.most_at_once(groups.packed, tokens, slo.tpot_p95_ms, learned)
    rates = _settled(capacity.requests_per_second)
    evidence = _evidence(groups, tokens, capacity.concurrency)
    low, high = groups.rate_spread(rates, evidence)
    for candidate, group in zip(predictable, groups.index, strict=True):
        rate, mean = float(rates[group]), float(capacity.concurrency[group])
        late = late_item(candidate, mean, rate, run) if run is not None and rate > 0 else None
        if late is not None or rate <= 0:
            rejected.append(late or _too_slow(candidate, capacity, group, slo))
            continue
        running = max_concurrency(candidate, resident_tokens)
        running = running if most is None else min(running, int(most[group]))
        interval = Interval(rate, rate * float(low[group]), rate * float(high[group]))
        served.append(Served(candidate, interval, running, CLASSES[evidence[group]], mean))
    return served, rejected


def _of_full_replicas(capacity: serving.Capacity, rates: Floats, running: Floats) -> serving.Capacity:
    """Capacity of replicas before which requests always wait; 0 where none fits."""
    able = capacity.requests_per_second > 0
    return replace(
        capacity, requests_per_second=np.where(able, rates, 0.0), concurrency=np.where(able, running, 0.0)
    )  # fmt: skip


def rates_within(
    candidates: Sequence[Candidate],
    requirements: Requirements,
    model: PerformanceModel,
    cases: Sequence[tuple[TokenHistogram, Slo]],
    bursts: Bursts = RANDOM,
) -> Floats:
    """Requests per second that one replica of each candidate sustains in each case, 0 where it is too slow.

    Candidates have a known peak, as :func:`serve` returns them. *cases*: lengths of the requests and targets. *bursts*:
    how unevenly requests arrive, at as few replicas as carry the busiest minute so. The result has
    shape (cases, candidates).
    """
    if not candidates or not cases:
        return np.zeros((len(cases), len(candidates)))
    carried = carried_by_each(candidates, requirements)
    if requirements.demand.batch is not None:
        full = full_rates(candidates, requirements, model, [tokens for tokens, _ in cases])
        return _settled(np.minimum(full, carried))
    if requirements.demand.unit.is_one_pass:
        rates = one_pass_stage(requirements).rates_within(candidates, cases, bursts)
        return _settled(np.minimum(rates, carried))
    groups = Groups.of(candidates, requirements, model)
    alike: dict[int, list[int]] = {}
    for at, (tokens, _) in enumerate(cases):
        alike.setdefault(id(tokens), []).append(at)
    rates = np.zeros((len(cases), max(groups.index) + 1))
    for rows in alike.values():
        slos, tokens = [cases[at][1] for at in rows], cases[rows[0]][0]
        rates[rows] = _rates(groups, model, tokens, slos, bursts)
    return _settled(np.minimum(rates[:, groups.index], carried))


def full_rates(
    candidates: Sequence[Candidate],
    requirements: Requirements,
    model: PerformanceModel,
    cases: Sequence[TokenHistogram],
) -> Floats:
    """Requests per second of one replica of each candidate while requests always wait: (cases, candidates)."""
    if requirements.demand.unit.is_one_pass:
        return _settled(one_pass_stage(requirements).full_rates(candidates, cases))
    groups = Groups.of(candidates, requirements, model)
    rates = [serving.full_load(groups.packed, tokens, model.open_loop(groups.packed, tokens))[0] for tokens in cases]
    return _settled(np.array(rates)[:, groups.index])


def _settled(rates: Floats) -> Floats:
    """Rates cut to so many significant digits, never above what they were."""
    per_step = 10.0 ** (_RATE_DIGITS - 1 - np.floor(np.log10(np.maximum(rates, _LEAST_RATE))))
    cut: Floats = np.floor(rates * per_step) / per_step
    return cut


@dataclass(frozen=True, slots=True, eq=False)
class _TargetRows:
    """Targets of each row of a stack of groups."""

    ttft_p95_ms: Floats | None
    tpot_p95_ms: Floats | None
    e2e_p95_ms: Floats | None


def _rates(
    groups: Groups, model: PerformanceModel, tokens: TokenHistogram, slos: Sequence[Slo],
    bursts: Bursts,
) -> Floats:  # fmt: skip
    """Rates of each group under the same targets with other limits, all at once: (slos, groups)."""
    count = max(groups.index) + 1
    rows = np.tile(np.arange(count), len(slos))

    def limits(name: str) -> Floats | None:
        values = [getattr(slo, name) for slo in slos]
        return None if None in values else np.repeat(np.array(values, dtype=np.float64), count)

    targets = _TargetRows(limits("ttft_p95_ms"), limits("tpot_p95_ms"), limits("e2e_p95_ms"))
    packed, learned = groups.packed.take(rows), model.open_loop(groups.packed, tokens).take(rows)
    rates = serving.rates_at_slo(packed, tokens, targets, learned, bursts)
    return rates.reshape(len(slos), count)


def latencies_at_load(
    candidates: Sequence[Candidate], rates: Sequence[float], requirements: Requirements, model: PerformanceModel
) -> list[LoadLatency]:  # fmt: skip
    """Latency of each candidate when one replica receives that many requests per second."""
    if not candidates:
        return []
    if requirements.demand.unit.is_one_pass:
        return one_pass_stage(requirements).latencies(candidates, rates)
    keys = [(group_key(candidate), rate) for candidate, rate in zip(candidates, rates, strict=True)]
    position = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    first = {position[key]: (candidate, key[1]) for candidate, key in zip(candidates, keys, strict=True)}
    ordered = [first[index] for index in range(len(position))]
    tokens = requirements.demand.tokens
    deployments = [deployment_for(candidate, requirements) for candidate, _ in ordered]
    groups = Groups.for_each(model.planned(deployments, tokens), model)
    loads = np.array([rate for _, rate in ordered])
    learned = model.open_loop(groups.packed, tokens)
    if requirements.demand.batch is not None:
        loads = np.minimum(loads, serving.capacity_at_slo(groups.packed, tokens, Slo(), learned).requests_per_second)
    latency = serving.latency_at_rate(groups.packed, tokens, loads, learned)
    evidence = _evidence(groups, tokens, loads * tokens.mean_output_tokens() * latency.tpot_p95_ms / MS_PER_SECOND)
    pictures_ms = groups.pictures_s * MS_PER_SECOND
    quantities = (
        (Quantity.TTFT, latency.ttft_p95_ms, pictures_ms),
        (Quantity.TPOT, latency.tpot_p95_ms, np.zeros_like(pictures_ms)),
        (Quantity.TPOT, latency.e2e_p95_ms, pictures_ms),
    )
    columns = [_intervals(groups, *quantity, evidence) for quantity in quantities]
    return [LoadLatency(*(column[position[key]] for column in columns)) for key in keys]


def _intervals(
    groups: Groups, quantity: Quantity, values: Floats, pictures_ms: Floats, evidence: Codes
) -> list[Interval]:
    """A value of each group, of which pictures take so much, with its range."""
    low, high = groups.prediction_evidence.spread(LIKE, quantity, evidence)
    less, more = (pictures_ms * (factor - 1) for factor in PICTURE_FACTORS)
    ends = (values, np.maximum(values * low + less, 0.0), values * high + more)
    return [Interval(*map(float, numbers)) for numbers in zip(*ends, strict=True)]


def one_pass_stage(requirements: Requirements) -> OnePassStage:
    """The stage for requests that are answered in one pass."""
    return OnePassStage(requirements, deployment_of)


def times_of(
    candidate: Candidate, requirements: Requirements, model: PerformanceModel, layout: tuple[int, int]
) -> StepTimes | BatchTimes:  # fmt: skip
    """Times of one replica's steps or batches, as a replay takes them.

    *layout* is the requests that it runs at a time, and the tokens of the longest one.
    """
    if requirements.demand.unit.is_one_pass:
        return one_pass_stage(requirements).times(candidate)
    max_sequences, context_tokens = layout
    tokens = requirements.demand.tokens
    (deployment,) = model.planned([deployment_for(candidate, requirements)], tokens)
    return step_times(replace(deployment, max_sequences=max_sequences), model, tokens, context_tokens)


def _evidence(groups: Groups, tokens: TokenHistogram, running: Floats) -> Codes:
    """Evidence for the numbers of each group when so many requests run."""
    lengths = (tokens.mean_input_tokens(), tokens.mean_output_tokens(), tokens.prefix_cache_hit_ratio)
    load = Load(np.maximum(running, 1.0), *(np.full(running.shape, length) for length in lengths))
    evidence = groups.prediction_evidence.evidence(LIKE, groups.packed.origin, load)
    return np.where(groups.pictures_s > 0, np.maximum(evidence, _CALIBRATED), evidence).astype(evidence.dtype)


def max_concurrency(candidate: Candidate, resident_tokens: float) -> int:
    """Requests of that mean length that a replica runs at a time: the engine's limit, or what the cache holds.

    Without paging the cache holds as many as have room for the longest length, however short they are.
    """
    tokens = (each.memory.kv_cache_tokens or 0 for each in (candidate, candidate.usual) if each is not None)
    held = int(min(tokens) / resident_tokens)
    return max(min(most_sequences(candidate), held), 1)


def _has_peak(candidate: Candidate, model: Model) -> bool:
    """Whether the peak that a prediction starts from is known.

    Trees go by memory bandwidth alone, language models on processors by measured rates.
    """
    is_cores = candidate.accelerator.vendor == CPU and candidate.batcher is None
    return model.is_forest or is_cores or peak_flops(candidate.accelerator, candidate.compute_precision) is not None


def _abstained(candidate: Candidate) -> Rejection:
    precision = candidate.compute_precision
    reason = f"the {precision} peak of {candidate.accelerator.name} is not known, so nothing is predicted"
    shortfall = Shortfall("prediction_abstained", "TFLOP/s", f"{precision} peak", None, reason)
    return reject_candidate(candidate, shortfall)


def _too_slow(candidate: Candidate, capacity: serving.Capacity, group: int, slo: Slo) -> Rejection:
    """The first target that even a lone request misses; else the memory that no two requests fit into."""
    floors = capacity.floor
    targets = (
        ("slo_ttft", "TTFT", slo.ttft_p95_ms, floors.ttft_p95_ms),
        ("slo_tpot", "TPOT", slo.tpot_p95_ms, floors.tpot_p95_ms),
        ("slo_e2e", "end-to-end", slo.e2e_p95_ms, floors.e2e_p95_ms),
    )
    for code, words, target, floor_ms in targets:
        floor = float(floor_ms[group])
        if target is not None and floor > target:
            told = f"{words} p95 is {milliseconds(rounded_up(floor))} with no other load"
            reason = f"{told}, {milliseconds(target)} wanted"
            shortfall = Shortfall(code, "ms", target, floor, reason)
            return reject_candidate(candidate, shortfall)
    memory = candidate.memory
    reason = "the KV cache cannot hold the requests that arrive together at any rate"
    shortfall = Shortfall("memory", "GiB", None, memory.kv_cache_gib_available, reason)
    return reject_candidate(candidate, shortfall)
