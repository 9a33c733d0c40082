"""Open loop: requests arrive at random (Poisson) at many deployments at once; what rate keeps within the SLO?

At rate R a replica runs B requests on average, R = B / (out · T(B)), where T is the time per output token with the
prefill of newly arrived prompts spread over it: T(B) = step(B) + B · prefill / out. B grows with R, T with B.

- The number of running requests is negative binomial when the step time is affine in it: its variance is B / (1 - r),
  where r = R / R(infinite batch). TPOT p95 is taken at the batch B + 1.645 sqrt(B / (1 - r)), and that batch has to
  fit the KV cache and the engine's limit.
- Prompts queue for prefill first come first served: M/G/1 with the Pollaczek-Khinchine mean and an exponential tail.
  A prompt's service is its marginal prefill, stretched by the decode steps it shares. TTFT p95 is the quantile of
  wait plus own prefill over all prompt lengths; end-to-end p95 adds out · T.

Every step is monotone: at a given rate, a faster part or a shorter prompt gives a smaller B, T and wait.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram
from advisor.performance.deployments import Packed
from advisor.performance.physics import (
    Floats,
    decode_step_seconds,
    kv_bytes_per_sequence,
    marginal_prefill_seconds,
    prefill_seconds,
)
from advisor.performance.points import LengthPoints, length_points
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo

Z95 = 1.645
"""Standard deviations from the mean to the 95th percentile of a normal distribution."""
LATE_SHARE = 0.05
"""Share of requests that may be slower than the 95th percentile."""
CHUNK_TOKENS = 8192.0
"""Prompt tokens that one step takes in (vLLM's ``max_num_batched_tokens`` for serving on large accelerators)."""
SATURATED_BATCH = 1e7
"""A batch at which every cost that does not grow with it has vanished."""
MIN_BATCH = 1e-6
BISECTIONS = 44
"""Halvings of a bracket: 1e-13 of its width, the precision of the arithmetic."""


@dataclass(frozen=True, slots=True, eq=False)
class Latency:
    """Latency at the 95th percentile of requests, in milliseconds; infinite where the rate cannot be sustained."""

    ttft_p95_ms: Floats
    tpot_p95_ms: Floats
    e2e_p95_ms: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Capacity:
    """The largest rate of each deployment within the SLO; 0 where even a lone request is too slow."""

    requests_per_second: Floats
    concurrency: Floats
    """Requests that run at that rate, on average."""
    floor: Latency
    """Latency at the smallest load, whatever the rate."""
    held_back_by: npt.NDArray[np.str_]
    """ttft, tpot, e2e or batch (KV cache and engine limit): what a larger rate would break first."""


@dataclass(frozen=True, slots=True, eq=False)
class _Service:
    """What a histogram of lengths costs each deployment; arrays of shape (n,) or (n, points)."""

    packed: Packed
    points: LengthPoints
    alone: Floats
    """Prefill seconds of each point on an idle replica, (n, points)."""
    marginal: Floats
    """Prefill seconds of each point in a busy replica, (n, points)."""
    mean_marginal: Floats
    largest_batch: Floats
    """Requests that KV cache and engine can hold."""
    saturated_rate: Floats
    """Requests per second of an infinite batch."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """Deployments at work with ``batch`` requests each on average."""

    batch: Floats
    rate: Floats
    token_s: Floats
    """Mean seconds per output token."""
    step_s: Floats
    high_batch: Floats
    """95th percentile of the running requests."""


def capacity_at_slo(packed: Packed, tokens: TokenHistogram, slo: Slo) -> Capacity:
    """Largest request rate that each deployment sustains with every given percentile within the SLO."""
    service = _service(packed, tokens)
    low = np.full_like(service.mean_marginal, MIN_BATCH)
    idle = _state(service, low)
    feasible = np.all(_within(service, idle, slo), axis=0)
    high = np.maximum(service.largest_batch, low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = np.all(_within(service, _state(service, middle), slo), axis=0)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    full = _state(service, low)
    beyond = _within(service, _state(service, high), slo)
    names = np.array(["batch", "tpot", "ttft", "e2e"])
    return Capacity(
        requests_per_second=np.where(feasible, full.rate, 0.0),
        concurrency=np.where(feasible, full.batch, 0.0),
        floor=_latency(service, idle),
        held_back_by=names[np.argmin(beyond, axis=0)],
    )


def latency_at_rate(packed: Packed, tokens: TokenHistogram, rates: Floats) -> Latency:
    """Latency of each deployment at a given rate of requests per second."""
    service = _service(packed, tokens)
    low = np.full_like(service.mean_marginal, MIN_BATCH)
    high = np.maximum(service.largest_batch, low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = _state(service, middle).rate < rates
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    state = _state(service, high)
    held = (state.high_batch <= service.largest_batch) & (state.rate >= rates * (1 - 1e-9))
    found = _latency(service, state)
    percentiles = (found.ttft_p95_ms, found.tpot_p95_ms, found.e2e_p95_ms)
    return Latency(*(np.where(held, value, np.inf) for value in percentiles))


def _service(packed: Packed, tokens: TokenHistogram) -> _Service:
    points = length_points(tokens)
    wide = packed.column()
    lengths = points.input_tokens[None, :]
    alone = prefill_seconds(wide.replicas, wide.constants, lengths)
    marginal = marginal_prefill_seconds(wide.replicas, wide.constants, lengths)
    mean_marginal: Floats = marginal @ points.probability
    replicas = packed.replicas
    cached = replicas.kv_cache_bytes / np.maximum(kv_bytes_per_sequence(replicas, points.resident_tokens), 1.0)
    top = np.full_like(mean_marginal, SATURATED_BATCH)
    endless = decode_step_seconds(replicas, packed.constants, top, points.resident_tokens)
    return _Service(
        packed=packed,
        points=points,
        alone=alone,
        marginal=marginal,
        mean_marginal=mean_marginal,
        largest_batch=np.minimum(cached, replicas.max_sequences),
        saturated_rate=SATURATED_BATCH / (points.mean_output * endless + SATURATED_BATCH * mean_marginal),
    )


def _state(service: _Service, batch: Floats) -> _State:
    """Rate, time per token and fluctuation at a mean batch."""
    step = _step(service, batch)
    token = step + batch * service.mean_marginal / service.points.mean_output
    rate = batch / (service.points.mean_output * token)
    spare = np.maximum(1.0 - rate / service.saturated_rate, 1e-9)
    return _State(batch, rate, token, step, batch + Z95 * np.sqrt(batch / spare))


def _step(service: _Service, batch: Floats) -> Floats:
    packed = service.packed
    return decode_step_seconds(packed.replicas, packed.constants, batch, service.points.resident_tokens)


def _tpot_p95(service: _Service, state: _State) -> Floats:
    """Seconds per token at the 95th percentile of the running requests."""
    interference = state.high_batch * service.mean_marginal / service.points.mean_output
    slow: Floats = _step(service, state.high_batch) + interference
    return slow


def _within(service: _Service, state: _State, slo: Slo) -> npt.NDArray[np.bool_]:
    """Whether batch, TPOT, TTFT and end-to-end latency are within their limits: shape (4, n)."""
    always = np.ones(state.batch.shape, dtype=np.bool_)
    fits = state.high_batch <= service.largest_batch
    tpot = always if slo.tpot_p95_ms is None else _tpot_p95(service, state) * MS_PER_SECOND <= slo.tpot_p95_ms
    ttft = always if slo.ttft_p95_ms is None else _on_time(service, state, slo.ttft_p95_ms, to_last_token=False)
    e2e = always if slo.e2e_p95_ms is None else _on_time(service, state, slo.e2e_p95_ms, to_last_token=True)
    return np.stack([fits, tpot, ttft, e2e])


def _on_time(service: _Service, state: _State, limit_ms: float, *, to_last_token: bool) -> npt.NDArray[np.bool_]:
    limit = np.full_like(state.batch, limit_ms / MS_PER_SECOND)
    return _late_share(service, state, _own_seconds(service, state, to_last_token=to_last_token), limit) <= LATE_SHARE


def _own_seconds(service: _Service, state: _State, *, to_last_token: bool) -> Floats:
    """Seconds of each point without the queue: prefill with the decode steps it shares, then its answer."""
    constants = service.packed.constants
    shared = state.step_s[:, None] * service.points.input_tokens / CHUNK_TOKENS
    fixed = constants.step_wait * state.step_s + constants.request_s
    own = service.alone + shared + np.asarray(fixed)[:, None]
    if to_last_token:
        own = own + np.maximum(service.points.output_tokens - 1, 0) * state.token_s[:, None]
    return own


def _late_share(service: _Service, state: _State, own: Floats, limit: Floats) -> Floats:
    """Share of requests slower than ``limit`` seconds: P(W > limit - own), W zero or exponential."""
    served = service.marginal + state.step_s[:, None] * service.points.input_tokens / CHUNK_TOKENS
    busy = np.minimum(state.rate * (served @ service.points.probability), 1.0)
    mean_square = served**2 @ service.points.probability
    mean_wait = state.rate * mean_square / (2 * np.maximum(1 - busy, 1e-9))
    decay = busy / np.maximum(mean_wait, 1e-12)
    room = limit[:, None] - own
    waits = busy[:, None] * np.exp(-np.maximum(room, 0.0) * decay[:, None])
    share: Floats = np.where(room < 0, 1.0, waits) @ service.points.probability
    return share


def _quantile(service: _Service, state: _State, own: Floats) -> Floats:
    """Seconds that 95 % of the requests stay within."""
    low = np.zeros_like(state.batch)
    high = own.max(axis=1) + 1.0
    for _ in range(BISECTIONS):
        grown = _late_share(service, state, own, high) > LATE_SHARE
        if not grown.any():
            break
        high = np.where(grown, high * 2, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = _late_share(service, state, own, middle) <= LATE_SHARE
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    return high


def _latency(service: _Service, state: _State) -> Latency:
    first = _quantile(service, state, _own_seconds(service, state, to_last_token=False))
    last = _quantile(service, state, _own_seconds(service, state, to_last_token=True))
    return Latency(first * MS_PER_SECOND, _tpot_p95(service, state) * MS_PER_SECOND, last * MS_PER_SECOND)
