"""Latency that users get of the machines that run today, beside what is predicted of them.

What users get holds all that takes time, so it is the most that the machines themselves take: a prediction above it is
too slow, and is lowered to it, for every replica of the same model on the same accelerator. A prediction below it
stays, since something else (the network, routing, other flags) may take the rest; where both are far apart a note says
so.

Two factors are sought at the measured rate: of every time of an engine's steps, so that the time per token is the
measured one; then of the time to first token. Where one latency was measured, one factor stands for both.
"""

from dataclasses import dataclass, replace

import numpy as np

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import Catalog
from advisor.demand.values import TokenHistogram
from advisor.performance.deployments import Packed, pack, peak_flops
from advisor.performance.measured_coverage import cell_of
from advisor.performance.model import MeasuredFactors, PerformanceModel
from advisor.performance.physics import Floats
from advisor.performance.queueing import Learned
from advisor.performance.serving import Latency, capacity_at_slo, latency_at_rate
from advisor.performance.stage import deployment_of
from advisor.requirements import Requirements
from advisor.units import milliseconds
from advisor.workload.values import Deployment, MeasuredLatency, Slo

_FACTORS = np.geomspace(1 / 4, 1.0, 49)
"""Factors that are tried, 3 % apart."""
_FAR = 1.5
"""Measured over predicted time from which a note says how far they are apart."""


@dataclass(frozen=True, slots=True, eq=False)
class _Replica:
    """A replica of today's machines under its share of the measured rate."""

    candidate: Candidate
    cell: str
    packed: Packed
    learned: Learned
    tokens: TokenHistogram
    requests_per_second: float

    def latency(self, token: Floats, ttft: Floats) -> Latency:
        """Latency with each pair of factors."""
        rows = np.zeros(token.size, dtype=np.intp)
        learned = self.learned.take(rows)
        scaled = Learned(learned.log_token + np.log(token)[:, None], learned.ttft * ttft)
        rates = np.full(token.size, self.requests_per_second)
        return latency_at_rate(self.packed.take(rows), self.tokens, rates, scaled)


def measured_model(
    model: PerformanceModel, requirements: Requirements, catalog: Catalog
) -> tuple[PerformanceModel, tuple[str, ...]]:  # fmt: skip
    """The model with the factors of a workload's measured machines, and a note where both are apart.

    How they run the model is not stated: the parallelism of the highest rate is taken, in the first of the workload's
    precisions that it can serve, as for today's cost.

    Args:
        model: physics and learned factors.
        requirements: with ``current.measured``; without it, or where requests are answered in one pass, the model is
            as it was.
        catalog: what today's machine is.
    """
    current = requirements.workload.current
    if current is None or current.measured is None or requirements.demand.unit.is_one_pass:
        return model, ()
    replica = _replica(current, current.measured, requirements, model, catalog)
    if replica is None:
        return model, (f"current.measured counts for nothing: {current.instance_type} is not known to hold the model",)
    factors, words = _factors(replica, current.measured), _compared(replica, current.measured)
    name = replica.candidate.accelerator.name
    if factors is None:
        why = f"less than a quarter of what is predicted for {name}: another set-up must run ({words})"
        return model, (f"current.measured counts for nothing: {why}",)
    if min(factors.token, factors.ttft) < 1:
        told = f"predictions for {name} are lowered to what today's machines take, {factors.token:.2f} × per token"
        note = f"{told} and {factors.ttft:.2f} × to the first token ({words}); others stay as they are"
        return replace(model, measured=factors), (note,)
    far = f"users get more than is predicted of today's machines ({words}): what else takes time is in no plan"
    return model, (far,) if _is_far(replica, current.measured) else ()


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
    whole = sorted(predictable, key=lambda each: named.index(each.precision))
    layouts = [each for each in whole if each.precision == whole[0].precision]
    if not layouts:
        return None
    deployments = [deployment_of(each, requirements.model) for each in layouts]
    packed, tokens = pack(deployments, model.calibration.constants), requirements.demand.tokens
    learned = model.open_loop(packed, tokens)
    capacity = capacity_at_slo(packed, tokens, Slo(), learned).requests_per_second
    fastest = int(np.argmax(capacity * [each.replicas_per_instance for each in layouts]))
    rate = measured.requests_per_second / (current.count * layouts[fastest].replicas_per_instance)
    at = np.array([fastest])
    cell = cell_of(deployments[fastest])
    return _Replica(layouts[fastest], cell, packed.take(at), learned.take(at), tokens, rate)


def _factors(replica: _Replica, measured: MeasuredLatency) -> MeasuredFactors | None:
    """Factors up to 1; None where a smaller one than those that are tried is needed."""
    every = replica.latency(_FACTORS, _FACTORS)
    if measured.tpot_p95_ms is None:
        of_all = [
            _factor(predicted, target)
            for predicted, target in (
                (every.e2e_p95_ms, measured.e2e_p95_ms),
                (every.ttft_p95_ms, measured.ttft_p95_ms),
            )
            if target is not None
        ]
        both = min(of_all)
        return MeasuredFactors(replica.cell, both, both) if both > 0 else None
    token = _factor(every.tpot_p95_ms, measured.tpot_p95_ms)
    if token <= 0:
        return None
    if measured.ttft_p95_ms is None:
        return MeasuredFactors(replica.cell, token, token)
    first = replica.latency(np.full_like(_FACTORS, token), _FACTORS)
    ttft = _factor(first.ttft_p95_ms, measured.ttft_p95_ms)
    return MeasuredFactors(replica.cell, token, ttft) if ttft > 0 else None


def _factor(predicted_ms: Floats, measured_ms: float) -> float:
    """The largest factor up to 1 at which a prediction is not above what was measured; 0 where none of them is it.

    Args:
        predicted_ms: at each factor, rising; infinite where the rate cannot be sustained.
        measured_ms: what was measured.
    """
    within = predicted_ms <= measured_ms
    if within.all():
        return 1.0
    if not within[0]:
        return 0.0
    last = int(np.argmin(within))
    if not np.isfinite(predicted_ms[last]):
        return float(_FACTORS[last - 1])
    near = slice(last - 1, last + 1)
    return float(np.exp(np.interp(np.log(measured_ms), np.log(predicted_ms[near]), np.log(_FACTORS[near]))))


def _pairs(replica: _Replica, measured: MeasuredLatency) -> list[tuple[str, float, float]]:
    """Each measured latency with its prediction, in ms."""
    alone = np.ones(1)
    predicted = replica.latency(alone, alone)
    pairs = (
        ("TTFT", measured.ttft_p95_ms, predicted.ttft_p95_ms),
        ("TPOT", measured.tpot_p95_ms, predicted.tpot_p95_ms),
        ("end-to-end", measured.e2e_p95_ms, predicted.e2e_p95_ms),
    )
    return [(name, ours, float(theirs[0])) for name, ours, theirs in pairs if ours is not None]


def _compared(replica: _Replica, measured: MeasuredLatency) -> str:
    """Text such as ``TPOT p95 35 ms measured, 40 ms predicted``."""
    return ", ".join(
        f"{name} p95 {milliseconds(ours)} measured, "
        + (f"{milliseconds(theirs)} predicted" if np.isfinite(theirs) else "a growing queue predicted")
        for name, ours, theirs in _pairs(replica, measured)
    )


def _is_far(replica: _Replica, measured: MeasuredLatency) -> bool:
    return any(ours > _FAR * theirs for _, ours, theirs in _pairs(replica, measured))
