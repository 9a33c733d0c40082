"""Latency that users get of the machines that run today, beside what a replay predicts of them.

What users get holds all that takes time, so it is the most that the machines themselves take: a prediction above it is
too slow, and is lowered to it, for every replica of the same model on the same accelerator. A prediction below it
stays, since something else (the network, routing, other flags) may take the rest; where both are far apart the plan
says so first, since machines that are needed for an unknown reason look idle to it.

One replica is replayed at its share of the measured rate, requests arriving at random. Two factors are sought: of every
time of its steps, so that the time per token is the measured one; then of the time to first token. Where one latency
was measured, one factor stands for both, but that a time per token says nothing of the first one. No factor makes a
token faster than its weights are read from memory, and requests are replayed at no more than the demand's own peak.
"""

import math
from collections.abc import Iterator

import numpy as np

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import Catalog
from advisor.demand.synthetic_trace import with_lengths
from advisor.performance.deployments import pack, peak_flops
from advisor.performance.groups import deployment_of
from advisor.performance.model import MeasuredFactors, PerformanceModel
from advisor.performance.physics import least_token_seconds
from advisor.performance.queueing import length_points
from advisor.performance.regimes import cell_of
from advisor.performance.serving import capacity_at_slo
from advisor.performance.stage import max_concurrency, times_of
from advisor.performance.steps import StepTimes
from advisor.plan.replay.engine import serve
from advisor.plan.replay.result import p95_ms
from advisor.plan.values import ComparedLatency
from advisor.plan.words import LATENCY_NAMES, compared_words
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND, milliseconds
from advisor.workload.values import Deployment, MeasuredLatency, Slo

_LEAST_FACTOR = 1 / 4
"""A set-up that is faster than a quarter of its predicted times is another one than is known."""
_BELOW_LEAST = "less than a quarter of what is predicted for"
_SAME_RATE = 1.01
"""A measured rate above the peak by less is the peak."""
_HALVINGS = 5
"""Steps of a bisection of the logarithm of the factor: to 4 %."""
_FAR = 1.5
"""Measured over predicted time from which a plan says how far they are apart."""
_REQUESTS = 1500
_SEED = 20261129


@dataclass(frozen=True, slots=True)
class _Latency:
    """95th percentiles of a replay, in ms."""

    ttft_p95_ms: float
    tpot_p95_ms: float
    e2e_p95_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class _Replica:
    """A replica of today's machines under its share of the measured rate."""

    candidate: Candidate
    requirements: Requirements
    model: PerformanceModel
    requests_per_second: float

    @property
    def cell(self) -> str:
        """Architecture and accelerator."""
        return cell_of(deployment_of(self.candidate, self.requirements.model))

    @property
    def least_tpot_ms(self) -> float:
        """Time per token below which its memory is not read."""
        packed = pack([deployment_of(self.candidate, self.requirements.model)], self.model.calibration.constants)
        return float(least_token_seconds(packed.replicas)[0]) * MS_PER_SECOND

    @property
    def least_factor(self) -> float:
        """Factor at which a token of a request that runs alone takes no longer than reading the weights."""
        return min(self.least_tpot_ms / (self._times(1.0, 1.0).base_s[1] * MS_PER_SECOND), 1.0)

    def _times(self, token: float, ttft: float) -> StepTimes:
        """Times with a pair of factors, as the engine runs without a limit of requests at a time."""
        requirements = self.requirements
        most = max_concurrency(self.candidate, length_points(requirements.demand.tokens).resident_tokens)
        model = replace(self.model, measured=MeasuredFactors(self.cell, token, ttft))
        times = times_of(self.candidate, requirements, model, (most, requirements.context_tokens))
        if not isinstance(times, StepTimes):
            raise TypeError("requests are answered token by token")
        return times

    def latency(self, token: float, ttft: float) -> _Latency:
        """Latency with a pair of factors."""
        requirements, times = self.requirements, self._times(token, ttft)
        random = np.random.default_rng(_SEED)
        arrivals_s = random.exponential(1 / self.requests_per_second, _REQUESTS).cumsum()
        requests = with_lengths(requirements.demand, arrivals_s, random.random((3, _REQUESTS)))
        prompts = np.clip(requests.input_tokens, 1, requirements.context_tokens - 1)
        answers = np.clip(requests.output_tokens, 1, requirements.context_tokens - prompts)
        timeline = serve(times, arrivals_s, prompts, answers)
        first_s = times.ttft_factor * (timeline.first_s + timeline.lag_s - arrivals_s)
        decode_s, several = timeline.last_s - timeline.first_s, answers > 1
        per_token_s = decode_s[several] / (answers[several] - 1)
        return _Latency(p95_ms(first_s) or 0.0, p95_ms(per_token_s) or 0.0, p95_ms(first_s + decode_s) or 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Measured latency of today's machines beside its prediction."""

    model: PerformanceModel
    """With the factors of what was measured."""
    notes: tuple[str, ...] = ()
    """Where both are apart."""
    latencies: tuple[ComparedLatency, ...] = ()
    """Each that was measured, with its prediction before any factor."""

    @property
    def slower(self) -> tuple[ComparedLatency, ...]:
        """Latencies that are measured far above their prediction."""
        return tuple(each for each in self.latencies if each.measured_ms >= _FAR * each.predicted_ms > 0)


def compared(model: PerformanceModel, requirements: Requirements, catalog: Catalog) -> Comparison:
    """The model with the factors of a workload's measured machines, and how far measured and predicted are apart.

    How they run the model is not stated: the parallelism of the highest rate is taken, in the first of the workload's
    precisions that it can serve, as for today's cost. *requirements*: with ``current.measured``; without it, or where
    requests are answered in one pass, the model is as it was.
    """
    current = requirements.workload.current
    if current is None or current.measured is None or requirements.demand.unit.is_one_pass:
        return Comparison(model)
    replica = _replica(current, current.measured, requirements, model, catalog)
    if replica is None:
        why = f"{current.instance_type} is not known to hold the model"
        return Comparison(model, (f"current.measured counts for nothing: {why}",))
    predicted = replica.latency(1.0, 1.0)
    latencies, name = _latencies(current.measured, predicted), replica.candidate.accelerator.name
    words, above = compared_words(latencies), tuple(_above_peak(current.measured, requirements))
    comparison = Comparison(model, latencies=latencies)
    factors = _factors(replica, current.measured, predicted)
    if isinstance(factors, str):
        why = f"{factors} {name}: another set-up must run ({words})"
        return replace(comparison, notes=(f"current.measured counts for nothing: {why}", *above))
    if min(factors.token, factors.ttft) < 1:
        told = f"predictions for {name} are lowered to what today's machines take, {factors.token:.2f} × per token"
        note = f"{told} and {factors.ttft:.2f} × to the first token ({words}); others stay as they are"
        return replace(comparison, model=replace(model, measured=factors), notes=(note, *_slower(comparison), *above))
    return replace(comparison, notes=(*_slower(comparison), *above))


def _above_peak(measured: MeasuredLatency, requirements: Requirements) -> Iterator[str]:
    """A note on a measured rate that the workload's demand never reaches."""
    peak = requirements.demand.requests_per_second.peak
    if measured.requests_per_second > peak * _SAME_RATE:
        rates = f"{measured.requests_per_second:.3g} requests/s were measured and {peak:.3g} in the busiest minute"
        yield f"current.measured is taken as of the demand's peak: {rates} are planned for; correct one of them"


def _replica(
    current: Deployment, measured: MeasuredLatency, requirements: Requirements, model: PerformanceModel,
    catalog: Catalog,
) -> _Replica | None:  # fmt: skip
    """The replica of the highest rate; None where the machine is not known to hold the model."""
    machine = catalog.instance_type(current.provider, current.instance_type)
    candidates = [each for each in judge_hardware(machine, requirements, catalog) if isinstance(each, Candidate)]
    named = requirements.workload.precisions
    predictable = [
        each for each in candidates if not each.partition and peak_flops(each.accelerator, each.compute_precision)
    ]
    whole = sorted(predictable, key=lambda each: each.rank_in(named))
    layouts = [each for each in whole if each.precision == whole[0].precision]
    if not layouts:
        return None
    tokens = requirements.demand.tokens
    deployments = model.planned([deployment_of(each, requirements.model) for each in layouts], tokens)
    packed = pack(deployments, model.calibration.constants)
    capacity = capacity_at_slo(packed, tokens, Slo(), model.open_loop(packed, tokens)).requests_per_second
    fastest = layouts[int(np.argmax(capacity * [each.replicas_per_instance for each in layouts]))]
    peak = requirements.demand.requests_per_second.peak
    rate = min(measured.requests_per_second, peak) / (current.count * fastest.replicas_per_instance)
    return _Replica(fastest, requirements, model, rate)


def _factors(replica: _Replica, measured: MeasuredLatency, predicted: _Latency) -> MeasuredFactors | str:
    """Factors up to 1; where no such set-up takes so little, what the measurement is below."""
    if measured.tpot_p95_ms is not None and measured.tpot_p95_ms < replica.least_tpot_ms:
        return f"less than the {milliseconds(replica.least_tpot_ms)} in which the weights are read from memory by"
    name = next(name for name in ("tpot_p95_ms", "e2e_p95_ms", "ttft_p95_ms") if getattr(measured, name) is not None)
    target: float = getattr(measured, name)
    if getattr(predicted, name) <= target:
        token, after = 1.0, predicted
    else:
        if getattr(replica.latency(_LEAST_FACTOR, _with_token(name, _LEAST_FACTOR)), name) > target:
            return _BELOW_LEAST
        token = _token_factor(replica, name, target, max(_LEAST_FACTOR, replica.least_factor))
        after = replica.latency(token, _with_token(name, token))
    if name != "tpot_p95_ms":
        return MeasuredFactors(replica.cell, token, token)
    if measured.ttft_p95_ms is None:
        return MeasuredFactors(replica.cell, token, 1.0)
    ttft = min(measured.ttft_p95_ms / after.ttft_p95_ms, 1.0)
    return MeasuredFactors(replica.cell, token, ttft) if ttft >= _LEAST_FACTOR else _BELOW_LEAST


def _token_factor(replica: _Replica, name: str, target_ms: float, least: float) -> float:
    """The largest factor at which a latency is no more than a target; the least one where none is."""
    low, high = least, 1.0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        is_within = getattr(replica.latency(middle, _with_token(name, middle)), name) <= target_ms
        low, high = (middle, high) if is_within else (low, middle)
    return low


def _with_token(name: str, token: float) -> float:
    """Factor of the first token while that of a step is sought: the same where nothing else is measured per token."""
    return 1.0 if name == "tpot_p95_ms" else token


def _latencies(measured: MeasuredLatency, predicted: _Latency) -> tuple[ComparedLatency, ...]:
    """Each measured latency with its prediction."""
    return tuple(
        ComparedLatency(key, getattr(measured, key), getattr(predicted, key))
        for key in LATENCY_NAMES
        if getattr(measured, key) is not None
    )


def _slower(comparison: Comparison) -> tuple[str, ...]:
    """A note on latencies that are far above their predictions."""
    told = f"users get more than is predicted of today's machines ({compared_words(comparison.slower)})"
    return (f"{told}: what else takes time is in no plan",) if comparison.slower else ()
