"""Open loop: requests arrive at random (Poisson) at many deployments at once; what rate keeps within the SLO?

At rate R a replica runs B requests on average, R = B / (out · T(B)), where T is the time per output token with the
prefill of newly arrived prompts spread over it: T(B) = step(B) + B · prefill / out. B grows with R, T with B.

- The number of running requests is negative binomial when the step time is affine in it: its variance is B / (1 - r),
  where r = R / R(infinite batch). The batch B + 1.645 sqrt(B / (1 - r)) has to fit the KV cache and the engine's limit.
- A request's time per token fluctuates with that batch, and with the prompts that happen to arrive while it is being
  answered: variance R E[P²] T / (out_k (1 - R E[P])²), that of a busy period begun by its out_k tokens. Both together
  are taken as lognormal around T; TPOT p95 is the quantile over all answer lengths.
- Prompts queue for prefill: M/G/1 with the Pollaczek-Khinchine mean and an exponential tail, longer by the prompts
  that arrive meanwhile and are computed in the same step. A prompt's service is its marginal prefill, stretched by the
  decode steps it shares. TTFT p95 is the quantile of wait plus own prefill over all prompt lengths; end-to-end p95
  adds the answer at its own time per token.

At a given rate a faster part or a shorter prompt gives a smaller B, T and wait: capacity is monotone in all of them.
"""

from collections.abc import Callable
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
MIN_BATCH = 1e-4
"""Mean running requests at the smallest load."""
BISECTIONS = 24
"""Halvings of a bracket in the logarithm: about 1e-6 of the number sought."""
LOWEST = 1e-4
"""No percentile is smaller than this share of where its search starts."""
MAX_DOUBLINGS = 60
MAX_VARIANCE = 1e3
"""Squared relative spread of the time per token above which it makes no difference."""


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
    mean_square_marginal: Floats
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


Share = Callable[[_Service, _State, Floats], Floats]
"""Share of requests beyond a limit in seconds."""


def capacity_at_slo(packed: Packed, tokens: TokenHistogram, slo: Slo) -> Capacity:
    """Largest request rate that each deployment sustains with every given percentile within the SLO."""
    service = _service(packed, tokens)
    low = np.full_like(service.mean_marginal, MIN_BATCH)
    idle = _state(service, low)
    feasible = np.all(_within(service, idle, slo), axis=0)
    high = np.maximum(service.largest_batch, low)
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
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
        middle = np.sqrt(low * high)
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
        mean_square_marginal=marginal**2 @ points.probability,
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


def _within(service: _Service, state: _State, slo: Slo) -> npt.NDArray[np.bool_]:
    """Whether batch, TPOT, TTFT and end-to-end latency are within their limits: shape (4, n)."""
    always = np.ones(state.batch.shape, dtype=np.bool_)
    fits = state.high_batch <= service.largest_batch
    targets = ((slo.tpot_p95_ms, _slow_share), (slo.ttft_p95_ms, _late_share), (slo.e2e_p95_ms, _overdue_share))
    kept = [
        always
        if limit is None
        else share(service, state, np.full_like(state.batch, limit / MS_PER_SECOND)) <= LATE_SHARE
        for limit, share in targets
    ]
    return np.stack([fits, *kept])


def _token_times(service: _Service, state: _State) -> tuple[Floats, Floats]:
    """Mean seconds per token of each point, and the spread of their logarithm: both (n, points)."""
    busy, mean_wait = _queue(service, state)
    idle_share = np.maximum(1 - state.rate * service.mean_marginal, 1e-6)[:, None]
    outputs = service.points.output_tokens
    behind = service.marginal + (busy * mean_wait)[:, None]
    prompt_share = (state.rate * service.mean_marginal)[:, None]
    mean = state.token_s[:, None] + prompt_share * behind / (idle_share * outputs)
    exposed = outputs * state.token_s[:, None] + behind / idle_share
    from_prompts = (state.rate * service.mean_square_marginal)[:, None] * exposed / (idle_share * outputs) ** 2
    high = _step(service, state.high_batch) + state.high_batch * service.mean_marginal / service.points.mean_output
    from_batch = ((high - state.token_s) / Z95)[:, None] ** 2
    return mean, np.sqrt(np.log1p(np.minimum((from_prompts + from_batch) / mean**2, MAX_VARIANCE)))


def _slower_than(service: _Service, state: _State, token_s: Floats) -> Floats:
    """Probability, for each point, that a request takes longer per token than ``token_s`` (n, points)."""
    mean, spread = _token_times(service, state)
    sigma = np.maximum(spread, 1e-9)
    return _upper_tail(np.log(np.maximum(token_s, 1e-12) / mean) / sigma + sigma / 2)


def _upper_tail(z: Floats) -> Floats:
    """P(Z > z) of a standard normal, to 1.4e-4 (Bowling et al. 2009: logistic of 1.5976 z + 0.07056 z³)."""
    bounded = np.clip(z, -8.0, 8.0)
    return 1 / (1 + np.exp(1.5976 * bounded + 0.07056 * bounded**3))


def _slow_share(service: _Service, state: _State, limit: Floats) -> Floats:
    """Share of requests whose time per token is above ``limit`` seconds."""
    share: Floats = _slower_than(service, state, limit[:, None]) @ service.points.probability
    return share


def _own_seconds(service: _Service, state: _State) -> Floats:
    """Seconds to the first token without the queue (n, points): prefill with the decode steps it shares."""
    constants = service.packed.constants
    shared = state.step_s[:, None] * service.points.input_tokens / CHUNK_TOKENS
    fixed = constants.step_wait * state.step_s + constants.request_s
    return service.alone + shared + np.asarray(fixed)[:, None]


def _queue(service: _Service, state: _State) -> tuple[Floats, Floats]:
    """Share of requests that wait for prefill, and the mean seconds that those wait."""
    served = service.marginal + state.step_s[:, None] * service.points.input_tokens / CHUNK_TOKENS
    busy = np.minimum(state.rate * (served @ service.points.probability), 1.0)
    mean_square = served**2 @ service.points.probability
    mean_service = np.maximum(served @ service.points.probability, 1e-12)
    in_same_step = 1 + busy
    return busy, in_same_step * mean_square / mean_service / (2 * np.maximum(1 - busy, 1e-9))


def _late_share(service: _Service, state: _State, limit: Floats) -> Floats:
    """Share of requests whose first token comes after ``limit`` seconds: P(W > limit - own), W zero or exponential."""
    busy, mean_wait = _queue(service, state)
    room = limit[:, None] - _own_seconds(service, state)
    waits = busy[:, None] * np.exp(-np.maximum(room, 0.0) / mean_wait[:, None])
    share: Floats = np.where(room < 0, 1.0, waits) @ service.points.probability
    return share


def _overdue_share(service: _Service, state: _State, limit: Floats) -> Floats:
    """Share of requests whose last token comes after ``limit`` seconds: a slow answer, or a late first token."""
    busy, mean_wait = _queue(service, state)
    first = _own_seconds(service, state) + (busy * mean_wait)[:, None]
    left = (limit[:, None] - first) / np.maximum(service.points.output_tokens - 1, 1e-9)
    slow: Floats = _slower_than(service, state, left) @ service.points.probability
    return np.maximum(slow, _late_share(service, state, limit))


def _quantile(service: _Service, state: _State, share: Share, start: Floats) -> Floats:
    """Seconds that 95 % of the requests stay within, found by doubling from ``start`` and halving."""
    high: Floats = start
    for _ in range(MAX_DOUBLINGS):
        above = share(service, state, high) > LATE_SHARE
        if not above.any():
            break
        high = np.where(above, high * 2, high)
    low = start * LOWEST
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        good = share(service, state, middle) <= LATE_SHARE
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    return high


def _latency(service: _Service, state: _State) -> Latency:
    own = _own_seconds(service, state).max(axis=1)
    token = _quantile(service, state, _slow_share, state.token_s)
    first = _quantile(service, state, _late_share, own)
    last = _quantile(service, state, _overdue_share, own + service.points.output_tokens.max() * state.token_s)
    return Latency(first * MS_PER_SECOND, token * MS_PER_SECOND, last * MS_PER_SECOND)
