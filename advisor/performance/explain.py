"""Origin of the numbers of one question: the physics' terms, the learned factors, and what both rest on.

Many questions at once: each gets its numbers with intervals, or the reason why there are none.

Throughputs are for all replicas of a question together. A question about a model that answers in one pass gets samples
per second, one about a model that generates tokens gets everything else.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.performance import Deployment, Evidence, Scenario, regimes
from advisor.performance.calibration import Calibration
from advisor.performance.constants import Quantity
from advisor.performance.deployments import Packed, pack
from advisor.performance.evidence import CLASSES, PredictionEvidence
from advisor.performance.model import PerformanceModel, physics_timing, shipped_model
from advisor.performance.one_pass import one_pass
from advisor.performance.one_pass.serving import answer_one_pass
from advisor.performance.physics import (
    PICTURE_FACTORS,
    Constants,
    FloatLike,
    Floats,
    decode_parts,
    kv_bytes_per_sequence,
    picture_seconds,
    prefill_parts,
    tokens_per_step,
)
from advisor.performance.setups import SCENARIOS, Abstention, Answers, Indices, Questions, Resolved, Sieve
from advisor.records import dataclass, fields, replace
from advisor.units import MS_PER_SECOND, bytes_to_gib

COUNTED = (SCENARIOS.index(Scenario.FIXED_CONCURRENCY), SCENARIOS.index(Scenario.FIXED_BATCH))
"""Scenarios that need a number of users."""
SINGLE = SCENARIOS.index(Scenario.SINGLE_STREAM)
_WITHOUT_PROMPT = "ttft_ms and total_tokens_per_second need input_tokens"
_SATURATED_TTFT = "ttft_ms: with a saturated engine the first token waits in a queue that grows; state a concurrency"
_CALIBRATED = CLASSES.index(Evidence.CALIBRATED)
"""Code of what may be said at most of requests with pictures: set-ups were measured with text."""


def predict(
    setups: Sequence[Resolved | Abstention], questions: Questions, model: PerformanceModel | None = None
) -> Answers:  # fmt: skip
    """Answer every question that can be answered; with the shipped model unless told otherwise."""
    model = model or shipped_model()
    questions = with_picture_tokens(setups, questions)
    answers = Answers.empty(questions.setup.size)
    sieve = Sieve(questions, answers, np.arange(questions.setup.size))
    unknown = np.array([isinstance(setup, Abstention) for setup in setups], dtype=np.bool_)
    reasons = [setup.reason if isinstance(setup, Abstention) else "" for setup in setups]
    sieve.drop(unknown[questions.setup], lambda at: reasons[questions.setup[at]])
    resolved = [setup if isinstance(setup, Resolved) else None for setup in setups]
    passes = np.array([setup is not None and one_pass(setup.model) for setup in resolved], dtype=np.bool_)
    in_one_pass = passes[questions.setup[sieve.standing]]
    answer_one_pass(resolved, questions, sieve.standing[in_one_pass], answers)
    sieve.standing = sieve.standing[~in_one_pass]
    _drop_incomplete(sieve)
    fleet = _Fleet.of(resolved, sieve, model.calibration)
    _drop_too_long(sieve, fleet)
    _drop_too_large(sieve, fleet)
    for code, scenario in enumerate(SCENARIOS):
        rows = sieve.standing[questions.scenario[sieve.standing] == code]
        if rows.size:
            _answer(scenario, fleet, (questions.take(rows), rows), answers, model)
    factors = np.array([1.0 if setup is None else setup.model.estimate_factor for setup in resolved])[questions.setup]
    if (factors != 1.0).any():  # models that were estimated from tensor shapes
        for quantity in answers.value:
            answers.low[quantity] /= factors
            answers.high[quantity] *= factors
    return answers


def with_picture_tokens(setups: Sequence[Resolved | Abstention], questions: Questions) -> Questions:
    """The questions with the tokens of their images in the prompts."""
    tokens = np.array([setup.picture_tokens if isinstance(setup, Resolved) else 0.0 for setup in setups])
    prompts = questions.input_tokens + tokens[questions.setup] if tokens.any() else questions.input_tokens
    return replace(questions, input_tokens=prompts)


@dataclass(frozen=True, slots=True, eq=False)
class _Fleet:
    """The set-ups that token questions ask about."""

    packed: Packed
    replicas: Floats
    longest: Floats
    """Tokens that the model takes."""
    place: Indices
    """Position here of each set-up."""
    prediction_evidence: PredictionEvidence

    @classmethod
    def of(cls, setups: Sequence[Resolved | None], sieve: Sieve, calibration: Calibration) -> "_Fleet":
        used = np.unique(sieve.questions.setup[sieve.standing])
        named = [setup for setup in (setups[at] for at in used.tolist()) if setup is not None]
        place = np.zeros(len(setups), dtype=np.intp)
        place[used] = np.arange(used.size)
        limits = [setup.deployment.shape.max_context_tokens or np.inf for setup in named]
        replicas = [float(setup.replicas) for setup in named]
        deployments = [setup.deployment for setup in named]
        packed = pack(deployments, calibration.constants)
        return cls(packed, np.array(replicas), np.array(limits), place, PredictionEvidence(deployments, calibration))


def _drop_incomplete(sieve: Sieve) -> None:
    """Token models need both lengths, and a number of users where the scenario has one.

    A single stream may leave its prompt out: the time per token hardly depends on it.
    """
    asked = sieve.questions
    rows = sieve.standing
    promptless = np.isnan(asked.input_tokens[rows]) & (asked.scenario[rows] != SINGLE)
    bad = promptless | ~(asked.output_tokens[rows] >= 1)
    sieve.drop(bad, lambda _: "input_tokens and output_tokens are needed, the latter at least 1")
    rows = sieve.standing
    counted = np.isin(asked.scenario[rows], COUNTED)
    uncounted = counted & ~(asked.concurrency[rows] >= 1)
    sieve.drop(uncounted, lambda _: "this scenario needs a concurrency of at least 1")


def _drop_too_long(sieve: Sieve, fleet: _Fleet) -> None:
    """Prompt and answer must not exceed what the model takes."""
    asked, rows = sieve.questions, sieve.standing
    total = np.fmax(asked.input_tokens, 1.0) + asked.output_tokens
    limit = fleet.longest[fleet.place[asked.setup[rows]]]
    limits = dict(zip(rows.tolist(), limit.tolist(), strict=True))
    sieve.drop(
        total[rows] > limit,
        lambda at: f"prompt and answer are {total[at]:,.0f} tokens, the model takes {limits[at]:,.0f}",
    )


def _drop_too_large(sieve: Sieve, fleet: _Fleet) -> None:
    """A single request must fit the KV cache."""
    asked, rows = sieve.questions, sieve.standing
    replicas = fleet.packed.replicas.take(fleet.place[asked.setup[rows]])
    needed = kv_bytes_per_sequence(replicas, np.fmax(asked.input_tokens[rows], 1.0) + asked.output_tokens[rows])
    bad = needed > replicas.kv_cache_bytes
    sizes = dict(zip(rows[bad].tolist(), zip(needed[bad], replicas.kv_cache_bytes[bad], strict=True), strict=True))
    sieve.drop(
        bad,
        lambda at: (
            f"does not fit: one request needs {bytes_to_gib(sizes[at][0]):.2f} GiB of KV cache, "
            f"{bytes_to_gib(sizes[at][1]):.2f} GiB are left beside the weights"
        ),
    )


def _answer(
    scenario: Scenario, fleet: _Fleet, asked: tuple[Questions, Indices], answers: Answers, model: PerformanceModel
) -> None:  # fmt: skip
    """One scenario: the load is shared by the replicas, the throughput is that of those with work."""
    questions, rows = asked
    place = fleet.place[questions.setup]
    packed = fleet.packed.take(place)
    working, asked_load = load_of(scenario, fleet.replicas[place], questions)
    timing = model.timing(scenario, packed, asked_load)
    evidence = fleet.prediction_evidence.evidence(scenario, place, asked_load)
    pictures_ms = picture_seconds(packed.replicas, packed.constants) * MS_PER_SECOND
    evidence = np.where(pictures_ms > 0, np.maximum(evidence, _CALIBRATED), evidence)
    unprompted = np.where(questions.input_tokens > 0, 0.0, np.nan)
    rate = timing.output_tokens_per_second * working
    ratio = (questions.input_tokens + questions.output_tokens) / questions.output_tokens
    columns = (
        ("ttft_ms", Quantity.TTFT, timing.ttft_s * MS_PER_SECOND + unprompted),
        ("tpot_ms", Quantity.TPOT, timing.tpot_s * MS_PER_SECOND),
        ("output_tokens_per_second", Quantity.THROUGHPUT, rate),
        ("total_tokens_per_second", Quantity.THROUGHPUT, rate * ratio),
    )
    for name, quantity, value in columns:
        low, high = fleet.prediction_evidence.spread(scenario, quantity, evidence)
        less, more = (pictures_ms * (factor - 1) * (name == "ttft_ms") for factor in PICTURE_FACTORS)
        answers.store(name, rows, (value, np.maximum(value * low + less, 0.0), value * high + more))
    names = [evidence.value for evidence in CLASSES]
    answers.mark(rows, [names[code] for code in evidence.tolist()])
    for at, prompt in zip(rows.tolist(), questions.input_tokens.tolist(), strict=True):
        if not prompt > 0:
            answers.missing[at] = _WITHOUT_PROMPT
        elif scenario is Scenario.SATURATED:
            answers.missing[at] = _SATURATED_TTFT


def load_of(scenario: Scenario, replicas: Floats, questions: Questions) -> tuple[Floats, regimes.Load]:
    """Replicas with work, and the load of each, of questions about so many replicas."""
    working, users = replicas, np.ones_like(replicas)
    if scenario is Scenario.SINGLE_STREAM:
        working = np.ones_like(replicas)
    elif scenario is not Scenario.SATURATED:
        working = np.minimum(replicas, questions.concurrency)
        users = questions.concurrency / working
    hits = np.nan_to_num(questions.prefix_cache_hit_ratio)
    return working, regimes.Load(users, np.fmax(questions.input_tokens, 1.0), questions.output_tokens, hits)


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
    measured: str
    """What was measured of the set-up."""
    constants: Mapping[str, float]


def explain(setup: Resolved, scenario: Scenario, question: Questions, model: PerformanceModel) -> Explanation:
    """Take apart the answer to one question about a model that generates tokens, which has an answer."""
    packed = pack([setup.deployment], model.calibration.constants)
    _, load = load_of(scenario, np.array([float(setup.replicas)]), question)
    base = physics_timing(scenario, packed.replicas, packed.constants, load)
    timing = model.timing(scenario, packed, load)
    running, first = _running(scenario, packed, load)
    prompted = first is not None and float(question.input_tokens[0]) > 0
    context = load.input_tokens + load.output_tokens / 2
    step = decode_parts(packed.replicas, packed.constants, running.batch, context)
    share = running.own_s / running.step_s
    token = {name: part * share for name, part in step.items()} | {"prefill of others": running.stalls_s}
    prediction_evidence = PredictionEvidence([setup.deployment], model.calibration)
    evidence = CLASSES[int(prediction_evidence.evidence(scenario, np.zeros(1, dtype=np.intp), load)[0])]
    return Explanation(
        users=None if scenario is Scenario.SATURATED else _number(load.concurrency),
        batch=_number(running.batch),
        tokens_per_step=_number(tokens_per_step(packed.replicas)),
        tpot=_terms(token, timing.tpot_s / base.tpot_s),
        ttft=_terms(_first_terms(packed, load, first), timing.ttft_s / base.ttft_s) if prompted and first else None,
        throughput_learned=_number(timing.output_tokens_per_second / base.output_tokens_per_second),
        evidence=evidence.value,
        measured=_measured_words(setup.deployment, model.calibration, scenario, evidence, load),
        constants={field.name: _number(getattr(packed.constants, field.name)) for field in fields(Constants)},
    )


def _running(
    scenario: Scenario, packed: Packed, load: regimes.Load
) -> tuple[regimes.Decoding, regimes.FirstToken | None]:
    """The replica at work, and the way to the first token where there is one."""
    r, c = packed.replicas, packed.constants
    if scenario is Scenario.SATURATED:
        return regimes.saturated_decoding(r, c, load), None
    if scenario is Scenario.FIXED_CONCURRENCY:
        running = regimes.loop_decoding(r, c, load)
        return running, regimes.loop_first_token(r, c, load, running)
    running = regimes.batch_decoding(r, c, load)
    return running, regimes.batch_first_token(r, c, load, running)


def _first_terms(packed: Packed, load: regimes.Load, first: regimes.FirstToken) -> dict[str, FloatLike]:
    """Seconds to the first token: the prompt's prefill by what that is spent on, and all waiting."""
    return {
        **prefill_parts(packed.replicas, packed.constants, load.input_tokens, load.cached_tokens),
        "steps of others": first.steps_s,
        "prompts before": first.queue_s,
        "request": first.request_s,
        "waiting for a place": first.turn_s,
    }


def _terms(seconds: Mapping[str, FloatLike], learned: FloatLike) -> Terms:
    """Milliseconds of the terms that are there at all."""
    numbers = {name: _number(part) * MS_PER_SECOND for name, part in seconds.items()}
    return Terms({name: part for name, part in numbers.items() if part}, _number(learned))


def _number(value: FloatLike) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _measured_words(
    deployment: Deployment, calibration: Calibration, scenario: Scenario, evidence: Evidence, load: regimes.Load
) -> str:  # fmt: skip
    """Measurements of a deployment, in words."""
    reach = calibration.reach
    held = reach.range_of(deployment, scenario)
    if evidence is Evidence.MEASURED and held is not None:
        architecture, accelerator, stack, shards = regimes.setup_key(deployment)
        return f"{architecture} on {shards} × {accelerator}, {stack}, was measured with {_loads(held)}"
    seen = {
        f"accelerator {deployment.accelerator.name}": deployment.accelerator.name in reach.accelerators,
        f"family {deployment.family}": deployment.family in reach.families,
        "this set-up under such a load": False,
    }
    if deployment.draft:
        seen["speculation"] = False
    if _number(load.prefix_cache_hit_ratio) > 0:
        seen["cached prompts"] = False
    words = "; ".join(f"{name}: {'measured' if is_measured else 'not measured'}" for name, is_measured in seen.items())
    return f"{words} (but with {_loads(held)})" if held else words


def _loads(held: regimes.LoadRange) -> str:
    """The loads of a set-up's measurements."""
    ends = zip(regimes.LOAD_COLUMNS, held.low, held.high, strict=True)
    return ", ".join(f"{name} {low:g} to {high:g}" for name, low, high in ends)
