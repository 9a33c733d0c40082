"""Queueing of requests that arrive at random: how many run, how long they wait and how long they take.

The formulas of :mod:`advisor.performance.serving`, all at a given mean number of running requests.
"""

import math
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Demand, TokenHistogram
from advisor.performance.calibration import NODES, along, monotone
from advisor.performance.deployments import Packed
from advisor.performance.physics import (
    FloatLike,
    Floats,
    decode_step_seconds,
    kv_bytes_per_sequence,
    marginal_prefill_seconds,
    prefill_seconds,
    prompt_tokens_per_step,
    tokens_per_step,
)
from advisor.records import dataclass

INPUT_EDGES = (0.0, 0.4, 0.8, 0.93, 0.97, 1.0)
"""Shares of requests at which prompt lengths are cut: finer where the 95th percentile of TTFT lies."""
OUTPUT_EDGES = (0.0, 0.2, 0.6, 0.9, 1.0)
"""The same for answers: the shortest fluctuate most in their time per token, the longest decide the end-to-end time."""


@dataclass(frozen=True, slots=True, eq=False)
class LengthPoints:
    """Weighted (prompt, answer) lengths of requests, and their means."""

    input_tokens: Floats
    cached_tokens: Floats
    """Those of the prompt that need no prefill."""
    output_tokens: Floats
    probability: Floats
    mean_output: float
    resident_tokens: float
    """Mean context of a running request: prompt and half the answer, weighted by the time it runs."""

    @property
    def new_tokens(self) -> Floats:
        """Prompt tokens to prefill."""
        return self.input_tokens - self.cached_tokens


@lru_cache(maxsize=16)
def length_points(tokens: TokenHistogram) -> LengthPoints:
    """Points of the same means, at most 20; a histogram that small is taken as it is.

    Every replica of a question asks for those of the same histogram.
    """
    cells = (len(INPUT_EDGES) - 1) * (len(OUTPUT_EDGES) - 1)
    source = (tokens.input_tokens, np.maximum(tokens.output_tokens, 1.0), tokens.probability)
    thin: tuple[Floats, Floats, Floats] = source if tokens.probability.size <= cells else _thinned(*source)
    inputs, outputs, probability = thin
    mean_output = float(outputs @ probability)
    resident = float((inputs + outputs / 2) * outputs @ probability) / mean_output
    cached = inputs * tokens.prefix_cache_hit_ratio
    return LengthPoints(inputs, cached, outputs, probability, mean_output, resident)


def _thinned(inputs: Floats, outputs: Floats, probability: Floats) -> tuple[Floats, Floats, Floats]:
    """Group by quantile of the prompt, then by quantile of the answer within; each group becomes its mean."""
    order = np.argsort(inputs, kind="stable")
    inputs, outputs, probability = inputs[order], outputs[order], probability[order]
    group = _bin(probability, INPUT_EDGES) * (len(OUTPUT_EDGES) - 1)
    for start in sorted(set(group.tolist())):
        members = np.flatnonzero(group == start)
        inner = members[np.argsort(outputs[members], kind="stable")]
        group[inner] += _bin(probability[inner] / probability[inner].sum(), OUTPUT_EDGES)
    size = (len(INPUT_EDGES) - 1) * (len(OUTPUT_EDGES) - 1)
    weight: Floats = np.bincount(group, probability, size).astype(np.float64)
    kept = weight > 0
    means = [np.bincount(group, probability * values, size)[kept] / weight[kept] for values in (inputs, outputs)]
    return means[0], means[1], weight[kept]


def _bin(probability: Floats, edges: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """Bin of each weighted point in order, by the middle of its share."""
    middle = np.cumsum(probability) - probability / 2
    return np.clip(np.searchsorted(edges, middle, side="right") - 1, 0, len(edges) - 2)


LARGEST_DISPERSION = 10.0
"""Up to this index of dispersion the closed form was compared with the replay."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """Burstiness of arrivals at a replica that is one of n.

    A replica that receives the rate r is one of ``n = peak / r``, as few as carry the busiest minute so.
    """

    dispersion: float = 1.0
    """Variance over mean of all arrivals in short windows, I; 1 at random (Poisson)."""
    peak: float = 0.0
    """Requests per second of the busiest minute; 0: one replica receives all arrivals."""

    def seen_at(self, rate: Floats) -> FloatLike:
        """Index of dispersion at replicas that receive such rates of a random split, ``1 + (I - 1) / n``: (n,)."""
        if self.dispersion == 1 or self.peak <= 0:
            return self.dispersion
        return 1 + (self.dispersion - 1) * np.minimum(rate / self.peak, 1.0)

    def in_turn_at(self, rate: Floats) -> FloatLike:
        """Index of dispersion at replicas that receive such rates in turn, ``I / n``: every n-th request, (n,)."""
        return self.dispersion if self.peak <= 0 else self.dispersion * np.minimum(rate / self.peak, 1.0)


RANDOM = Bursts()


def bursts_of(demand: Demand) -> Bursts:
    """Burstiness at the scale of seconds, as far as the closed form is good for it; the replay finds the rest."""
    measured = demand.profile.dispersion.one_second if demand.profile else None
    dispersion = min(max(measured or 1.0, 1.0), LARGEST_DISPERSION)
    return Bursts(dispersion, demand.requests_per_second.peak)


Z95 = 1.645
"""Standard deviations from the mean to the 95th percentile of a normal distribution."""
SATURATED_BATCH = 1e7
"""A batch at which every cost that does not grow with it has vanished."""
MAX_VARIANCE = math.expm1(Z95**2)
"""Squared relative spread of the time per token above which it makes no difference: with more of it the 95th percentile
of a lognormal of the same mean would fall again."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Learned factors beyond the physics, entry by entry."""

    log_token: Floats
    """Log factor of the time per token at each node of the users axis, (n, nodes)."""
    ttft: Floats
    """Factor of the time to first token, (n,)."""

    def take(self, index: npt.NDArray[np.intp]) -> "Learned":
        """The entries at the given positions."""
        return Learned(self.log_token[index], self.ttft[index])


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """Cost of a histogram of lengths on each deployment; arrays of shape (n,) or (n, points)."""

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
    log_token: tuple[Floats, Floats]
    """Log seconds per token at the nodes of the users axis: by the physics, and as learned and monotone; (n, nodes)."""
    ttft_factor: Floats
    """Learned factor of the time to first token."""
    bursts: Bursts


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Deployments at work with ``batch`` requests each on average."""

    batch: Floats
    rate: Floats
    token_s: Floats
    """Mean seconds per output token."""
    step_s: Floats
    """Seconds of a step without prompts; several tokens each with speculation."""
    high_batch: Floats
    """95th percentile of the running requests."""
    dispersion: FloatLike
    """Variance over mean of the arrivals in a window; 1 at random (Poisson), more in bursts."""


def offer(
    packed: Packed, tokens: TokenHistogram, learned: Learned | None = None, bursts: Bursts = RANDOM
) -> Service:  # fmt: skip
    """Work out what requests of these lengths cost each deployment; by the physics alone where nothing is learned."""
    points = length_points(tokens)
    wide = packed.column()
    lengths, cached = points.input_tokens[None, :], points.cached_tokens[None, :]
    alone = prefill_seconds(wide.replicas, wide.constants, lengths, cached)
    marginal = marginal_prefill_seconds(wide.replicas, wide.constants, lengths, cached)
    mean_marginal: Floats = marginal @ points.probability
    replicas = packed.replicas
    fitting = replicas.kv_cache_bytes / np.maximum(kv_bytes_per_sequence(replicas, points.resident_tokens), 1.0)
    top = np.full_like(mean_marginal, SATURATED_BATCH)
    endless = decode_step_seconds(replicas, packed.constants, top, points.resident_tokens) / tokens_per_step(replicas)
    plain = _log_token_at_nodes(wide, points, mean_marginal)
    corrected = plain if learned is None else monotone(plain + learned.log_token)
    endless_factor = np.exp(corrected[:, -1] - plain[:, -1])
    return Service(
        packed=packed,
        points=points,
        alone=alone,
        marginal=marginal,
        mean_marginal=mean_marginal,
        mean_square_marginal=marginal**2 @ points.probability,
        largest_batch=np.minimum(fitting, replicas.max_sequences),
        saturated_rate=SATURATED_BATCH
        / ((points.mean_output * endless + SATURATED_BATCH * mean_marginal) * endless_factor),
        log_token=(plain, corrected),
        ttft_factor=np.ones_like(mean_marginal) if learned is None else learned.ttft,
        bursts=bursts,
    )


def _log_token_at_nodes(wide: Packed, points: LengthPoints, mean_marginal: Floats) -> Floats:
    """Log seconds per token by the physics at the nodes of the users axis, (n, nodes), of deployments as columns."""
    batch = NODES[None, :]
    step = decode_step_seconds(wide.replicas, wide.constants, batch, points.resident_tokens)
    result: Floats = np.log(step / tokens_per_step(wide.replicas) + batch * mean_marginal[:, None] / points.mean_output)
    return result


def state_at(service: Service, batch: Floats) -> State:
    """Rate, time per token and fluctuation at a mean batch."""
    step = _step(service, batch)
    plain = _plain_token_seconds(service, step, batch)
    token = _learned(service, plain)
    rate = batch / (service.points.mean_output * token)
    spare = np.maximum(1.0 - rate / service.saturated_rate, 1e-9)
    dispersion = service.bursts.seen_at(rate)
    spread = np.sqrt(batch * dispersion / spare)
    return State(batch, rate, token, step * token / plain, batch + Z95 * spread, dispersion)


def _step(service: Service, batch: Floats) -> Floats:
    packed = service.packed
    return decode_step_seconds(packed.replicas, packed.constants, batch, service.points.resident_tokens)


def _token_seconds(service: Service, batch: Floats) -> Floats:
    """Seconds per output token at a batch, as learned."""
    return _learned(service, _plain_token_seconds(service, _step(service, batch), batch))


def _learned(service: Service, plain: Floats) -> Floats:
    """Learned seconds per token for those of the physics: order is kept, so that more load is never faster."""
    physics, corrected = service.log_token
    seconds: Floats = plain if physics is corrected else np.exp(along(np.log(plain), physics, corrected))
    return seconds


def _plain_token_seconds(service: Service, step: Floats, batch: Floats) -> Floats:
    """Time per token by the physics: the step's share, and the prompts of the others spread over the answer."""
    own = step / tokens_per_step(service.packed.replicas)
    return own + batch * service.mean_marginal / service.points.mean_output


def _token_times(service: Service, state: State, queue: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Mean seconds per token of each point, and the spread of their logarithm: both (n, points).

    The work of the prompts that arrive in a second has the variance R (E[P²] + (I - 1) E[P]²) at an index of
    dispersion I.
    """
    busy, mean_wait = queue
    idle_share = np.maximum(1 - state.rate * service.mean_marginal, 1e-6)[:, None]
    outputs = service.points.output_tokens
    token = _met_token_seconds(service, state)[:, None]
    behind = service.marginal + (busy * mean_wait)[:, None]
    prompt_share = (state.rate * service.mean_marginal)[:, None]
    mean = token + prompt_share * behind / (idle_share * outputs)
    exposed = outputs * token + behind / idle_share
    mean_square = service.mean_square_marginal + (state.dispersion - 1.0) * service.mean_marginal**2
    from_prompts = (state.rate * mean_square)[:, None] * exposed / (idle_share * outputs) ** 2
    high = _token_seconds(service, state.high_batch)
    from_batch = ((high - state.token_s) / Z95)[:, None] ** 2
    return mean, np.sqrt(np.log1p(np.minimum((from_prompts + from_batch) / mean**2, MAX_VARIANCE)))


def _met_token_seconds(service: Service, state: State) -> Floats:
    """Mean seconds per token that a request meets: beside those that it came with, I - 1, half of them on average."""
    if np.all(state.dispersion == 1):
        return state.token_s
    return _token_seconds(service, state.batch + (state.dispersion - 1) / 2)


def _slowest_token(service: Service, state: State) -> Floats:
    """Seconds per token when every step takes in all the prompt tokens that a stated budget allows; else infinite."""
    replicas, new_tokens = service.packed.replicas, np.maximum(service.points.new_tokens, 1.0)
    chunk = replicas.step_tokens * (service.marginal / new_tokens).max(axis=1)
    slowest = (_step(service, state.high_batch) + chunk) / tokens_per_step(replicas)
    return np.where(replicas.step_tokens_per_sequence > 0, slowest, np.inf)


def upper_tail(z: Floats) -> Floats:
    """P(Z > z) of a standard normal, to 1.4e-4 (Bowling et al. 2009: logistic of 1.5976 z + 0.07056 z³)."""
    bounded = np.clip(z, -8.0, 8.0)
    return 1 / (1 + np.exp(bounded * (1.5976 + 0.07056 * bounded * bounded)))


def _shared_seconds(service: Service, state: State) -> Floats:
    """Seconds of decoding in the steps that a prompt is spread over, as many as it has chunks (n, points)."""
    per_token = state.step_s / prompt_tokens_per_step(service.packed.replicas, state.batch)
    return per_token[:, None] * service.points.new_tokens


def own_seconds(service: Service, state: State) -> Floats:
    """Seconds to the first token without the queue (n, points): prefill with the decode steps it shares."""
    constants = service.packed.constants
    shared = _shared_seconds(service, state)
    fixed = constants.step_wait * state.step_s + constants.request_s
    return service.alone + shared + np.asarray(fixed)[:, None]


def _queue(service: Service, state: State) -> tuple[Floats, Floats]:
    """Share of requests that wait for prefill, and the mean seconds that those wait.

    M/G/1 with arrivals in clumps of geometric size, (I + 1) / 2 on average at an index of dispersion I (batch arrivals,
    Gaver 1959): W = (R E[S²] + (I - 1) E[S]) / (2 (1 - R E[S])), and all but the first of a clump wait.
    """
    served = service.marginal + _shared_seconds(service, state)
    busy = np.minimum(state.rate * (served @ service.points.probability), 1.0)
    mean_service = np.maximum(served @ service.points.probability, 1e-12)
    excess = state.dispersion - 1.0
    waiting = busy + (1 - busy) * (excess / (excess + 2))
    mean_square = served**2 @ service.points.probability * (busy / waiting) + excess * mean_service**2 / waiting
    in_same_step = 1 + busy
    return waiting, in_same_step * mean_square / mean_service / (2 * np.maximum(1 - busy, 1e-9))


@dataclass(frozen=True, eq=False)
class RequestTimes:
    """Times of the requests of deployments at work; what does not depend on the limit that is asked for is kept."""

    service: Service
    state: State

    @cached_property
    def own_s(self) -> Floats:
        """Seconds to the first token without the queue (n, points)."""
        return own_seconds(self.service, self.state)

    @cached_property
    def _queue(self) -> tuple[Floats, Floats]:
        return _queue(self.service, self.state)

    @cached_property
    def _token(self) -> tuple[Floats, Floats]:
        mean, spread = _token_times(self.service, self.state, self._queue)
        return mean, np.maximum(spread, 1e-9)

    @cached_property
    def _slowest_token(self) -> Floats | None:
        """Where some engine has a budget of prompt tokens; None: none has."""
        budgeted = (self.service.packed.replicas.step_tokens_per_sequence > 0).any()
        return _slowest_token(self.service, self.state)[:, None] if budgeted else None

    def slow_share(self, limit: Floats) -> Floats:
        """Share of requests whose time per token is above ``limit`` seconds."""
        return self._slower_than(limit[:, None])

    def late_share(self, limit: Floats) -> Floats:
        """Share of requests with a first token after ``limit`` s: P(W > limit - own), W zero or exponential."""
        busy, mean_wait = self._queue
        room = (limit / self.service.ttft_factor)[:, None] - self.own_s
        waits = busy[:, None] * np.exp(-np.maximum(room, 0.0) / mean_wait[:, None])
        share: Floats = np.where(room < 0, 1.0, waits) @ self.service.points.probability
        return share

    def overdue_share(self, limit: Floats) -> Floats:
        """Share of requests whose last token comes after ``limit`` seconds: a slow answer, or a late first token."""
        busy, mean_wait = self._queue
        first = (self.own_s + (busy * mean_wait)[:, None]) * self.service.ttft_factor[:, None]
        left = (limit[:, None] - first) / np.maximum(self.service.points.output_tokens - 1, 1e-9)
        return np.maximum(self._slower_than(left), self.late_share(limit))

    def _slower_than(self, token_s: Floats) -> Floats:
        """Share of requests that take longer per token than so many seconds, (n, 1) or (n, points)."""
        mean, sigma = self._token
        above = upper_tail(np.log(np.maximum(token_s, 1e-12) / mean) / sigma + sigma / 2)
        if self._slowest_token is not None:
            above = np.where(token_s >= self._slowest_token, 0.0, above)
        share: Floats = above @ self.service.points.probability
        return share
