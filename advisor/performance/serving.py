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

Arrivals in bursts (index of dispersion I) multiply the variance of the running requests by I, lengthen the wait and
bring a request together with others (:mod:`advisor.performance.queueing`). Cached prompt tokens need no prefill. With
speculation step(B) counts for as many tokens as it yields. A stated token budget leaves less of a step to prompts the
more requests run, and bounds how long a token waits for them: one chunk.

At a given rate a faster part or a shorter prompt gives a smaller B, T and wait: capacity is monotone in all of them.

Requests that a fully busy accelerator of the current deployment can have served, for demand that samples tell.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import Catalog
from advisor.demand.busy import BusySecond
from advisor.demand.lengths import declared_demand
from advisor.demand.values import TokenHistogram
from advisor.errors import InputError
from advisor.models.model import Model
from advisor.performance.deployments import Packed
from advisor.performance.groups import Groups, deployment_of
from advisor.performance.model import PerformanceModel
from advisor.performance.physics import FloatLike, Floats
from advisor.performance.queueing import (
    RANDOM,
    Bursts,
    Learned,
    RequestTimes,
    Service,
    State,
    offer,
    state_at,
)
from advisor.records import dataclass, fields, replace
from advisor.requirements import require
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo, Workload

LATE_SHARE = 0.05
"""Share of requests that may be slower than the 95th percentile."""
MIN_BATCH = 1e-4
"""Mean running requests at the smallest load."""
BISECTIONS = 24
"""Halvings of a bracket in the logarithm: about 1e-6 of the number sought."""
NEARBY = 0.98
GOLDEN = 0.6180339887498949
SECTIONS = 48
"""Golden sections of a bracket: about 1e-9 of the number sought."""
LOWEST = 1e-4
"""No percentile is smaller than this share of where its search starts."""
MAX_DOUBLINGS = 60
SLOW_WHEN_FULL = 0.25
"""Share of requests that may be slower per token than their target while a replica runs as many as it may."""
LEAST_AT_ONCE = 8
"""Requests at a time below which no target lowers the limit: beyond its plan a replica would serve next to nothing."""


Share = Callable[[Floats], Floats]
"""Share of requests beyond a limit in seconds."""


class Targets(Protocol):
    """Latency targets as an SLO has them: for all deployments, or one for each."""

    @property
    def ttft_p95_ms(self) -> FloatLike | None:
        """Time to first token."""

    @property
    def tpot_p95_ms(self) -> FloatLike | None:
        """Time per output token."""

    @property
    def e2e_p95_ms(self) -> FloatLike | None:
        """Time from the request to its last token."""


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
    """Latency at the smallest load, of those with no capacity; NaN for the others."""


def capacity_at_slo(
    packed: Packed, tokens: TokenHistogram, slo: Slo, learned: Learned | None = None, bursts: Bursts = RANDOM
) -> Capacity:  # fmt: skip
    """Largest request rate that each deployment sustains with every given percentile within the SLO."""
    service = offer(packed, tokens, learned, bursts)
    feasible, low = _largest_batch(service, slo)
    full = state_at(service, _fastest_batch(service, low))
    return Capacity(
        requests_per_second=np.where(feasible, full.rate, 0.0),
        concurrency=np.where(feasible, full.batch, 0.0),
        floor=_floor(service, tokens, feasible, learned),
    )


def rates_at_slo(
    packed: Packed, tokens: TokenHistogram, slo: Targets, learned: Learned | None, bursts: Bursts
) -> Floats:  # fmt: skip
    """The rates of :func:`capacity_at_slo` alone; targets may differ from deployment to deployment.

    Where replicas share the bursts, those of a larger rate are fewer and see more of them: a rate within the SLO is
    one of ``n = peak / rate`` replicas that carry the busiest minute, and the largest is that of the fewest.
    """
    service = offer(packed, tokens, learned, bursts)
    service = replace(service, largest_batch=_fastest_batch(service, service.largest_batch))
    feasible, low = _largest_batch(service, slo)
    return np.where(feasible, state_at(service, low).rate, 0.0)


def full_load(packed: Packed, tokens: TokenHistogram, learned: Learned | None) -> tuple[Floats, Floats]:
    """Requests per second of each deployment while requests always wait, and requests that it runs then.

    It runs as many as KV cache and engine hold, or fewer where these are served faster: nothing has to be left for
    requests that arrive together.
    """
    service = offer(packed, tokens, learned)
    full = state_at(service, np.maximum(_fastest_batch(service, service.largest_batch), MIN_BATCH))
    return full.rate, full.batch


def most_at_once(packed: Packed, tokens: TokenHistogram, tpot_p95_ms: float, learned: Learned | None = None) -> Floats:
    """Requests that each deployment may run at a time: more would keep few of them within the time per token.

    The largest whole number with which no more than a quarter are slower while so many run all the time. Then a burst
    waits for its first token, which it may do for a moment, in place of making every answer slow. Between 4 and what
    the engine runs at most.
    """
    service = offer(packed, tokens, learned)
    high = np.asarray(packed.replicas.max_sequences, dtype=np.float64) + 1
    low, limit = np.minimum(LEAST_AT_ONCE, high - 1), np.full_like(high, tpot_p95_ms / MS_PER_SECOND)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        full = replace(state_at(service, middle), high_batch=middle)
        good = RequestTimes(service, full).slow_share(limit) <= SLOW_WHEN_FULL
        low, high = np.where(good, middle, low), np.where(good, high, np.maximum(middle, low + 1))
    return low


def _largest_batch(service: Service, slo: Targets) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether a lone request is fast enough, and the largest batch within the SLO."""
    low = np.full_like(service.mean_marginal, MIN_BATCH)
    idle = state_at(service, low)
    feasible = np.all(_within(service, idle, slo), axis=0)
    high = np.maximum(service.largest_batch, low)
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        good = np.all(_within(service, state_at(service, middle), slo), axis=0)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return feasible, low


def _fastest_batch(service: Service, largest: Floats) -> Floats:
    """The batch of the largest rate up to one: an engine need not run as many requests as it may.

    Where measurements show that more running requests serve fewer, the peak is found by golden sections of the
    logarithm; a looser target then never gives a smaller rate.
    """
    falling = state_at(service, largest * NEARBY).rate > state_at(service, largest).rate
    if not falling.any():
        return largest
    low, high = np.log(np.full_like(largest, MIN_BATCH)), np.log(largest)
    for _ in range(SECTIONS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        rises = state_at(service, np.exp(left)).rate < state_at(service, np.exp(right)).rate
        low, high = np.where(rises, left, low), np.where(rises, high, right)
    return np.where(falling, np.exp((low + high) / 2), largest)


def _floor(
    whole: Service, tokens: TokenHistogram, feasible: npt.NDArray[np.bool_], learned: Learned | None
) -> Latency:  # fmt: skip
    """Latency at the smallest load where not even that is feasible."""
    slow = np.flatnonzero(~feasible)
    columns = {field.name: np.full(feasible.shape, np.nan) for field in fields(Latency)}
    if slow.size:
        service = offer(whole.packed.take(slow), tokens, learned.take(slow) if learned else None, whole.bursts)
        latency = _latency(service, state_at(service, np.full(slow.shape, MIN_BATCH)))
        for name, column in columns.items():
            column[slow] = getattr(latency, name)
    return Latency(**columns)


def latency_at_rate(
    packed: Packed, tokens: TokenHistogram, rates: Floats, learned: Learned | None = None, bursts: Bursts = RANDOM
) -> Latency:  # fmt: skip
    """Latency of each deployment at a given rate of requests per second; see :func:`capacity_at_slo`.

    Of two batches that serve the same rate, one on each side of the peak of the throughput curve, it is the smaller.
    """
    service = offer(packed, tokens, learned, bursts)
    low = np.full_like(service.mean_marginal, MIN_BATCH)
    _, largest = _largest_batch(service, Slo())
    high = _fastest_batch(service, largest)
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        good = state_at(service, middle).rate < rates
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    state = state_at(service, high)
    held = state.rate >= rates * (1 - 1e-9)
    latency = _latency(service, state)
    percentiles = (latency.ttft_p95_ms, latency.tpot_p95_ms, latency.e2e_p95_ms)
    return Latency(*(np.where(held, value, np.inf) for value in percentiles))


def _within(service: Service, state: State, slo: Targets) -> npt.NDArray[np.bool_]:
    """Whether batch, TPOT, TTFT and end-to-end latency are within their limits: shape (4, n)."""
    always = np.ones(state.batch.shape, dtype=np.bool_)
    fits = state.high_batch <= service.largest_batch
    times = RequestTimes(service, state)
    targets = (
        (slo.tpot_p95_ms, times.slow_share),
        (slo.ttft_p95_ms, times.late_share),
        (slo.e2e_p95_ms, times.overdue_share),
    )
    kept = [
        always if limit is None else share(np.full_like(state.batch, limit / MS_PER_SECOND)) <= LATE_SHARE
        for limit, share in targets
    ]
    return np.stack([fits, *kept])


def _quantile(share: Share, start: Floats) -> Floats:
    """Seconds that 95 % of the requests stay within, found by doubling from ``start`` and halving."""
    high: Floats = start
    for _ in range(MAX_DOUBLINGS):
        above = share(high) > LATE_SHARE
        if not above.any():
            break
        high = np.where(above, high * 2, high)
    low = start * LOWEST
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        good = share(middle) <= LATE_SHARE
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    return high


def _latency(service: Service, state: State) -> Latency:
    times = RequestTimes(service, state)
    own = times.own_s.max(axis=1)
    token = _quantile(times.slow_share, state.token_s)
    first = _quantile(times.late_share, own)
    last = _quantile(times.overdue_share, own + service.points.output_tokens.max() * state.token_s)
    return Latency(first * MS_PER_SECOND, token * MS_PER_SECOND, last * MS_PER_SECOND)


def _busy_second(
    workload: Workload, model: Model, catalog: Catalog, lengths: tuple[float, float], performance: PerformanceModel
) -> BusySecond:  # fmt: skip
    """Requests per second that one fully busy accelerator of the current deployment can have served.

    How the current deployment runs the model is not known, so every precision of the workload and every parallelism
    is taken: at most the capacity of the fastest, at least what the slowest serves while a single request runs.

    *lengths* are prompt tokens and generated tokens of a request.
    """
    current = workload.current
    if current is None:
        raise InputError(
            "the samples give no request rate, and no current deployment says what the accelerators can do",
            where=workload.where("demand"),
            hint="add requests_per_day under the source of the demand, or describe `current`",
        )
    demand = declared_demand(1.0, 1.0, *lengths).with_prefix_cache(workload.prefix_cache_hit_ratio)
    requirements = require(workload, model, demand, catalog)
    instance_type = catalog.instance_type(current.provider, current.instance_type)
    judged = judge_hardware(instance_type, requirements, catalog)
    able = [candidate for candidate in judged if isinstance(candidate, Candidate) and not candidate.partition]
    if not able:
        told = f"{current.instance_type} cannot hold {model.name} in {', '.join(workload.precisions)}"
        hint = "add the precision that it serves today, or add requests_per_day under the source of the demand"
        raise InputError(told, where=workload.where("current.instance_type"), hint=hint)
    groups = Groups.for_each([deployment_of(candidate, model) for candidate in able], performance)
    tokens = requirements.demand.tokens
    capacity = capacity_at_slo(groups.packed, tokens, Slo(), performance.open_loop(groups.packed, tokens))
    split = np.array([candidate.tensor_parallel for candidate in able])
    service = offer(groups.packed, tokens, performance.open_loop(groups.packed, tokens))
    alone = state_at(service, np.full_like(service.mean_marginal, 1.0)).rate
    return BusySecond(
        alone=float((alone / split).min()), saturated=float((capacity.requests_per_second / split).max())
    )  # fmt: skip


def busy_second_or_reason(
    workload: Workload, model: Model, catalog: Catalog, lengths: tuple[float, float], performance: PerformanceModel
) -> BusySecond | InputError:  # fmt: skip
    """Answer of :func:`_busy_second`, or the reason in its place."""
    try:
        return _busy_second(workload, model, catalog, lengths, performance)
    except InputError as reason:
        return reason
