"""Latency and throughput of one replica under the ways a load can be offered, in closed form; what was measured near.

Every function takes and gives arrays, one entry per replica; times are seconds.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.models.values import ServingShape
from advisor.performance import Deployment, Evidence, Scenario
from advisor.performance.constants import engine_class
from advisor.performance.physics import (
    Constants,
    FloatLike,
    Floats,
    Replicas,
    decode_step_seconds,
    marginal_prefill_seconds,
    memory_batch,
    prefill_seconds,
    prompt_tokens_per_step,
    tokens_per_step,
)
from advisor.records import dataclass
from advisor.tables import read_records

WITHIN = 2.0
"""A load is within interpolation reach up to this factor beyond the smallest and largest measured one."""
_CORES = " cores of "
"""In the name of a processor, and of no accelerator (:func:`advisor.catalog.processors.name_of`)."""
LOAD_COLUMNS = ("concurrency", "input_tokens", "output_tokens")

SetupKey = tuple[str, str, str, int]
"""Architecture, accelerator, engine and precision, accelerators that share a layer."""


@dataclass(frozen=True, slots=True)
class LoadRange:
    """Smallest and largest measured users, prompt and answer."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def spanning(self, other: "LoadRange") -> "LoadRange":
        """The loads of both."""
        return LoadRange(tuple(map(min, self.low, other.low)), tuple(map(max, self.high, other.high)))

    def holds(self, load: Iterable[float]) -> bool:
        """Whether a load is within reach."""
        ends = zip(load, self.low, self.high, strict=True)
        return all(low / WITHIN <= value <= high * WITHIN for value, low, high in ends)


@dataclass(frozen=True, slots=True)
class MeasuredCoverage:
    """Coverage by measurements: of a prediction's own set-up, or of its kind."""

    measured: Mapping[tuple[SetupKey, Scenario], LoadRange]
    accelerators: frozenset[str]
    families: frozenset[str]

    @classmethod
    def of(cls, entries: Iterable[tuple[SetupKey, str, Scenario, tuple[float, ...]]]) -> "MeasuredCoverage":
        """Gather it from (set-up, family, scenario, load) of every measurement."""
        measured: dict[tuple[SetupKey, Scenario], LoadRange] = {}
        accelerators: set[str] = set()
        families: set[str] = set()
        for setup, family, scenario, load in entries:
            held = LoadRange(load, load)
            measured[setup, scenario] = measured.get((setup, scenario), held).spanning(held)
            accelerators.add(setup[1])
            families.add(family)
        return cls(measured, frozenset(accelerators), frozenset(families))

    @classmethod
    def read(cls, path: Path) -> "MeasuredCoverage":
        """Read it from its table. Raises InputError if the table cannot be read."""
        measured: dict[tuple[SetupKey, Scenario], LoadRange] = {}
        families: set[str] = set()
        for row in read_records(path):
            key = (row.text("architecture"), row.text("accelerator"), row.text("stack"), int(row.number("shards")))
            low, high = (tuple(row.number(f"{name}_{end}") for name in LOAD_COLUMNS) for end in ("low", "high"))
            measured[key, row.choice("scenario", Scenario)] = LoadRange(low, high)
            families.add(row.text("family"))
        return cls(measured, frozenset(key[0][1] for key in measured), frozenset(families))

    def cells(self) -> frozenset[str]:
        """Every measured pair of architecture and accelerator, as :func:`cell_of` names it."""
        return frozenset(f"{setup[0]} | {setup[1]}" for setup, _ in self.measured)

    def engine_kinds(self, architecture: str) -> frozenset[tuple[str, str]]:
        """Accelerators and classes of engines that an architecture was measured on under lasting load."""
        setups = (setup for setup, scenario in self.measured if scenario is Scenario.FIXED_CONCURRENCY)
        return frozenset((setup[1], setup[2].split()[0]) for setup in setups if setup[0] == architecture)

    def joined(self, other: "MeasuredCoverage") -> "MeasuredCoverage":
        """Coverage of either's measurements."""
        measured = dict(self.measured)
        for key, held in other.measured.items():
            measured[key] = measured.get(key, held).spanning(held)
        return MeasuredCoverage(measured, self.accelerators | other.accelerators, self.families | other.families)

    def familiar(self, deployment: Deployment) -> Evidence:
        """Evidence for the numbers of a deployment whose own set-up was not measured."""
        is_measured = deployment.accelerator.name in self.accelerators and deployment.family in self.families
        return Evidence.CALIBRATED if is_measured and deployment.draft is None else Evidence.ROOFLINE

    def range_of(self, deployment: Deployment, scenario: Scenario) -> LoadRange | None:
        """Loads under which a deployment was measured; None when it was not."""
        return None if deployment.draft else self.measured.get((setup_key(deployment), scenario))


def setup_key(deployment: Deployment) -> SetupKey:
    """Key by which two deployments are the same set-up."""
    precision = f"{deployment.compute_precision}/{bits_per_param(deployment):g}"
    engine = engine_class(deployment.engine) or deployment.engine.lower()
    shards = deployment.tensor_parallel * deployment.pipeline_parallel * deployment.attention_data_parallel
    return architecture(deployment), deployment.accelerator.name, f"{engine} {precision}", shards


def architecture(deployment: Deployment) -> str:
    """Family, size and depth: models that differ in nothing else are one."""
    return architecture_of(deployment.family, deployment.shape)


def architecture_of(family: str, shape: ServingShape) -> str:
    """The same of a model's family and shape."""
    return f"{family} {shape.params_total / 1e9:.3g}B {shape.n_layers} layers"


def cell_of(deployment: Deployment) -> str:
    """Architecture and accelerator: the unit that accuracy is judged by."""
    return f"{architecture(deployment)} | {deployment.accelerator.name}"


def of_processors(cells: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Whether each cell is of the cores of a machine: nothing that was learned of accelerators holds there."""
    is_of_cores: npt.NDArray[np.bool_] = np.char.find(cells, _CORES) >= 0
    return is_of_cores


def bits_per_param(deployment: Deployment) -> float:
    """Bits of a stored weight, to the next power of two."""
    bits = 8 * deployment.weight_bytes / max(deployment.shape.params_total, 1.0)
    return 2.0 ** round(math.log2(max(bits, 1.0)))


SMALLEST_S = 1e-30
"""Keeps a quotient of two vanishing times defined."""
RESIDENT_INPUT_SHARE = 0.9
RESIDENT_OUTPUT_SHARE = 0.5
"""Mean share of its tokens that a running request holds in cache, in a closed loop (prompts arrive in chunks)."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Load given to every replica: users (or batch), prompt and answer length."""

    concurrency: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_cache_hit_ratio: FloatLike = 0.0
    """Share of the prompt's tokens whose keys and values a cache already holds. A running request is counted with all
    of its tokens all the same: what is hit is mostly its own earlier turn, which nobody shares."""

    @property
    def cached_tokens(self) -> Floats:
        """Prompt tokens that need no prefill."""
        return self.input_tokens * self.prefix_cache_hit_ratio

    def lengths(self) -> tuple[Floats, Floats, FloatLike]:
        """Everything but the users, in the order of the fields."""
        return self.input_tokens, self.output_tokens, self.prefix_cache_hit_ratio

    def take(self, index: npt.NDArray[np.intp]) -> "Load":
        """The loads at the given positions."""
        size = self.concurrency.shape
        return Load(self.concurrency[index], *(np.broadcast_to(column, size)[index] for column in self.lengths()))


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Seconds to the first token, seconds per token after it, and output tokens per second of one replica."""

    ttft_s: Floats
    tpot_s: Floats
    output_tokens_per_second: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Decoding:
    """A replica at work: seconds per token, by what they are spent on."""

    batch: Floats
    """Requests that run at a time."""
    step_s: Floats
    """One decode step of that batch; several tokens each with speculation."""
    marginal_s: Floats
    """Prefill of one more prompt."""
    own_s: Floats
    """Of the step, for each token."""
    stalls_s: Floats
    """Of other requests' prefill, for each token."""

    @property
    def tpot_s(self) -> Floats:
        """Together."""
        return self.own_s + self.stalls_s


@dataclass(frozen=True, slots=True, eq=False)
class FirstToken:
    """Seconds to the first token, by what they are spent on."""

    prefill_s: Floats
    steps_s: FloatLike = 0.0
    """Decode steps of the others that pass before and during the prefill."""
    queue_s: FloatLike = 0.0
    """Prefill of the prompts that come before."""
    request_s: FloatLike = 0.0
    turn_s: FloatLike = 0.0
    """Until one of the running requests is done, where not all fit."""

    @property
    def ttft_s(self) -> Floats:
        """Together."""
        return self.prefill_s + (self.steps_s + self.queue_s) + self.request_s + self.turn_s


def loop_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """``concurrency`` users, each asking again as soon as it has its answer; continuous batching.

    TPOT = step(B) / tokens a step + mix (B - 1) marginal / out, where B = min(C, sequences that fit).
    """
    resident = RESIDENT_INPUT_SHARE * load.input_tokens + RESIDENT_OUTPUT_SHARE * load.output_tokens
    batch = np.minimum(np.minimum(np.maximum(load.concurrency, 1.0), memory_batch(r, resident)), r.max_sequences)
    step = decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    stalls = c.prefill_mix * (batch - 1) * marginal / np.maximum(load.output_tokens, 1.0)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), stalls)


def loop_first_token(r: Replicas, c: Constants, load: Load, running: Decoding) -> FirstToken:
    """TTFT = prefill + wait × step + burst (B - 1) marginal + queue of B - 1 others + request + (C/B - 1) cycle."""
    batch, marginal = running.batch, running.marginal_s
    alone = prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    cycle = alone + np.maximum(load.output_tokens, 1.0) * running.tpot_s
    return FirstToken(
        prefill_s=alone,
        steps_s=(c.step_wait + _further_chunks(r, load, batch)) * _shared_step_seconds(r, c, load, batch),
        queue_s=closed_queue_seconds(batch, marginal, cycle) + c.burst * (batch - 1) * marginal,
        request_s=c.request_s,
        turn_s=(np.maximum(load.concurrency, 1.0) / batch - 1) * cycle,
    )


def closed_queue_seconds(users: Floats, service_s: Floats, cycle_s: Floats) -> Floats:
    """Mean wait for one server of a fixed service time that a closed population uses once in a cycle.

    An arrival finds what the other users alone would keep there (arrival theorem; Reiser and Lavenberg 1980), whose
    share of the queue is (N - 1) / N (Bard and Schweitzer 1979), and of the service that is under way half is left:
    W = (N - 1) s (W + s/2) / (cycle + W). One user never waits, N users never longer than N - 1 services, and many
    users of a long cycle wait as in M/D/1. *users*: N, at least 1. *service_s*: s, of one service. *cycle_s*: from one
    request of a user to the next without this wait, at least s.
    """
    others = np.maximum(users - 1, 0.0) * service_s
    slack = np.maximum(cycle_s, service_s) - others
    root = np.sqrt(slack**2 + 2 * others * service_s)
    wait: Floats = others * service_s / np.maximum(root + slack, SMALLEST_S)
    return np.where(slack > 0, wait, (root - slack) / 2)


def _shared_step_seconds(r: Replicas, c: Constants, load: Load, batch: Floats) -> Floats:
    """One decode step that a prompt shares: of its sequences all but the prompt's own hold half of an answer."""
    return decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2 * (1 - 1 / batch))


def closed_loop(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`loop_decoding` and :func:`loop_first_token`; users = throughput × cycle (Little's law)."""
    running = loop_decoding(r, c, load)
    ttft, tpot = loop_first_token(r, c, load, running).ttft_s, running.tpot_s
    out = np.maximum(load.output_tokens, 1.0)
    return Timing(ttft, tpot, np.maximum(load.concurrency, 1.0) * out / (ttft + (out - 1) * tpot))


def _further_chunks(r: Replicas, load: Load, batch: Floats) -> Floats:
    """Steps beyond the first that a prompt is spread over by a stated token budget, each shared with decoding."""
    chunks = (load.input_tokens - load.cached_tokens) / prompt_tokens_per_step(r, batch - 1)
    return np.where(r.step_tokens_per_sequence > 0, np.maximum(chunks - 1, 0.0), 0.0)


def batch_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """All requests start together and no other follows: nothing stalls a token."""
    batch = np.minimum(load.concurrency, memory_batch(r, load.input_tokens + load.output_tokens))
    step = decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), np.zeros_like(step))


def batch_first_token(r: Replicas, c: Constants, load: Load, running: Decoding) -> FirstToken:
    """The prompts of a batch are prefilled one after the other: TTFT = prefill + (B - 1) marginal."""
    alone = prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    return FirstToken(alone, queue_s=(running.batch - 1) * running.marginal_s)


def static_batch(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`batch_decoding` and :func:`batch_first_token`; what does not fit runs in further waves."""
    running = batch_decoding(r, c, load)
    ttft = batch_first_token(r, c, load, running).ttft_s
    total = load.concurrency / running.batch * (ttft + load.output_tokens * running.tpot_s)
    return Timing(ttft, running.tpot_s, load.concurrency * load.output_tokens / total)


def saturated_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """The queue is never empty: the batch is as large as memory and engine allow."""
    context = load.input_tokens + load.output_tokens / 2
    batch = np.minimum(r.max_sequences, memory_batch(r, context))
    step = decode_step_seconds(r, c, batch, context)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    stalls = batch * marginal / np.maximum(load.output_tokens, 1.0)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), stalls)


def saturated(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`saturated_decoding`. TTFT has no meaning: NaN."""
    running = saturated_decoding(r, c, load)
    return Timing(np.full_like(running.tpot_s, np.nan), running.tpot_s, running.batch / running.tpot_s)
