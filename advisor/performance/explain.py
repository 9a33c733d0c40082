"""Origin of the numbers of one question: the physics' terms, the learned factors, and what both rest on."""

from collections.abc import Mapping

import numpy as np

from advisor.performance.calibration import Calibration
from advisor.performance.deployments import Packed, pack
from advisor.performance.evidence import CLASSES, PredictionEvidence
from advisor.performance.model import PerformanceModel, physics_timing
from advisor.performance.physics import Constants, FloatLike, decode_parts, prefill_parts, tokens_per_step
from advisor.performance.predictions import load_of
from advisor.performance.questions import Questions
from advisor.performance.regimes import (
    LOAD_COLUMNS,
    Decoding,
    FirstToken,
    Load,
    LoadRange,
    batch_decoding,
    batch_first_token,
    loop_decoding,
    loop_first_token,
    saturated_decoding,
    setup_key,
)
from advisor.performance.setups import Resolved
from advisor.performance.values import Deployment, Evidence, Scenario
from advisor.records import dataclass, fields
from advisor.units import MS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Terms:
    """One time: what the physics adds up, and the factor learned on top of the sum."""

    terms_ms: Mapping[str, float]
    learned: float

    @property
    def value_ms(self) -> float:
        """The predicted time."""
        return sum(self.terms_ms.values()) * self.learned


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of one replica's numbers."""

    users: float | None
    """Of one replica; None where the queue is never empty."""
    batch: float
    """Requests that run at a time."""
    tokens_per_step: float
    """Above 1 with speculation."""
    tpot: Terms
    ttft: Terms | None
    """None where there is no such time."""
    throughput_learned: float
    """Learned factor of the throughput."""
    evidence: str
    grounds: str
    """What was measured of the set-up."""
    constants: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Question about a deployment, and the class of evidence for it."""

    scenario: Scenario
    evidence: Evidence
    load: Load


def explain(setup: Resolved, scenario: Scenario, question: Questions, model: PerformanceModel) -> Explanation:
    """Take apart the answer to one question about a model that generates tokens, which has an answer."""
    packed = pack([setup.deployment], model.calibration.constants)
    _, load = load_of(scenario, np.array([float(setup.replicas)]), question)
    base = physics_timing(scenario, packed.replicas, packed.constants, load)
    timing = model.timing(scenario, packed, load)
    running, first = _running(scenario, packed, load)
    prompted = first is not None and float(question.input_tokens[0]) > 0
    grounds = PredictionEvidence([setup.deployment], model.calibration)
    evidence = CLASSES[int(grounds.evidence(scenario, np.zeros(1, dtype=np.intp), load)[0])]
    return Explanation(
        users=None if scenario is Scenario.SATURATED else _number(load.concurrency),
        batch=_number(running.batch),
        tokens_per_step=_number(tokens_per_step(packed.replicas)),
        tpot=_terms(_token_terms(packed, load, running), timing.tpot_s / base.tpot_s),
        ttft=_terms(_first_terms(packed, load, first), timing.ttft_s / base.ttft_s) if prompted and first else None,
        throughput_learned=_number(timing.output_tokens_per_second / base.output_tokens_per_second),
        evidence=evidence.value,
        grounds=_grounds(setup.deployment, model.calibration, _Asked(scenario, evidence, load)),
        constants={field.name: _number(getattr(packed.constants, field.name)) for field in fields(Constants)},
    )


def _running(scenario: Scenario, packed: Packed, load: Load) -> tuple[Decoding, FirstToken | None]:
    """The replica at work, and the way to the first token where there is one."""
    r, c = packed.replicas, packed.constants
    if scenario is Scenario.SATURATED:
        return saturated_decoding(r, c, load), None
    if scenario is Scenario.FIXED_CONCURRENCY:
        running = loop_decoding(r, c, load)
        return running, loop_first_token(r, c, load, running)
    running = batch_decoding(r, c, load)
    return running, batch_first_token(r, c, load, running)


def _token_terms(packed: Packed, load: Load, running: Decoding) -> dict[str, FloatLike]:
    """Seconds of each token: its share of a step by what that is spent on, and other users' prompts."""
    context = load.input_tokens + load.output_tokens / 2
    step = decode_parts(packed.replicas, packed.constants, running.batch, context)
    share = running.own_s / running.step_s
    return {**{name: part * share for name, part in step.items()}, "prefill of others": running.stalls_s}


def _first_terms(packed: Packed, load: Load, first: FirstToken) -> dict[str, FloatLike]:
    """Seconds to the first token: the prompt's prefill by what that is spent on, and all waiting."""
    prefill = prefill_parts(packed.replicas, packed.constants, load.input_tokens, load.cached_tokens)
    waits = {
        "steps of others": first.steps_s,
        "prompts before": first.queue_s,
        "request": first.request_s,
        "waiting for a place": first.turn_s,
    }
    return {**prefill, **waits}


def _terms(seconds: Mapping[str, FloatLike], learned: FloatLike) -> Terms:
    """Milliseconds of the terms that are there at all."""
    numbers = {name: _number(part) * MS_PER_SECOND for name, part in seconds.items()}
    return Terms({name: part for name, part in numbers.items() if part}, _number(learned))


def _number(value: FloatLike) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _grounds(deployment: Deployment, calibration: Calibration, asked: _Asked) -> str:
    """Measurements of a deployment, in words."""
    reach = calibration.reach
    held = reach.range_of(deployment, asked.scenario)
    if asked.evidence is Evidence.MEASURED and held is not None:
        architecture, accelerator, stack, shards = setup_key(deployment)
        return f"{architecture} on {shards} × {accelerator}, {stack}, was measured with {_loads(held)}"
    seen = {
        f"accelerator {deployment.accelerator.name}": deployment.accelerator.name in reach.accelerators,
        f"family {deployment.family}": deployment.family in reach.families,
        "this set-up under such a load": False,
    }
    if deployment.draft:
        seen["speculation"] = False
    if _number(asked.load.prefix_cache_hit_ratio) > 0:
        seen["cached prompts"] = False
    words = "; ".join(f"{name}: {'measured' if is_measured else 'not measured'}" for name, is_measured in seen.items())
    return f"{words} (but with {_loads(held)})" if held else words


def _loads(held: LoadRange) -> str:
    """The loads of a set-up's measurements."""
    ends = zip(LOAD_COLUMNS, held.low, held.high, strict=True)
    return ", ".join(f"{name} {low:g} to {high:g}" for name, low, high in ends)
