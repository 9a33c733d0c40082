"""Demand as it is stated: lengths of prompts and answers, longer or shorter ones, rates."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Self

import numpy as np

from advisor.demand.values import (
    ArrivalRate,
    BatchRun,
    Demand,
    DemandProfile,
    Floats,
    TokenHistogram,
    TokenQuantiles,
    Unit,
)
from advisor.records import asdict, dataclass, replace
from advisor.units import SECONDS_PER_HOUR

_SPREAD_UNITS = frozenset({Unit.TOKENS, Unit.TEXTS, Unit.AUDIO})
"""Units whose lengths can be declared by their quantiles."""


def declared_demand(
    mean: float, peak: float, input_tokens: float, output_tokens: float, unit: Unit = Unit.TOKENS
) -> Demand:
    """Demand as the user states it, every request of the same length: mean and busiest minute in requests per second.

    The tokens of a prompt and an answer, or of another unit the size of a request's items and their number.
    """
    better = "so state p50 and p95, or a trace" if unit in _SPREAD_UNITS else "so a trace is better"
    demand = one_size_demand(
        ArrivalRate(mean=mean, p50=mean, p95=peak, p99=peak, peak=peak),
        (input_tokens, output_tokens),
        "declared in the workload",
        (f"every request is taken to have the stated lengths: lengths that vary need more, {better}",),
        None,
    )
    return replace(demand, unit=unit)


def batch_demand(run: BatchRun, input_tokens: float, output_tokens: float) -> Demand:
    """Demand of batch work, every item of one size; its peak is the rate that takes all of its hours."""
    note = "every item is taken to have the stated size: larger ones take longer"
    source = "batch work declared in the workload"
    demand = one_size_demand(_rate_of_runs(run), (input_tokens, output_tokens), source, (note,), None)
    return replace(demand, batch=run)


def with_run(demand: Demand, run: BatchRun) -> Demand:
    """The same items in other runs of batch work."""
    return replace(demand, batch=run, requests_per_second=_rate_of_runs(run))


def _rate_of_runs(run: BatchRun) -> ArrivalRate:
    mean = run.items / (run.every_hours * SECONDS_PER_HOUR)
    peak = max(mean, run.items_per_second(len(run.open_hours)))
    return ArrivalRate(mean=mean, p50=mean, p95=peak, p99=peak, peak=peak)


def one_size_demand(
    rate: ArrivalRate,
    tokens: tuple[float, float],
    source: str,
    notes: tuple[str, ...],
    window_seconds: float | None,
    profile: DemandProfile | None = None,
) -> Demand:
    """Demand of requests that are all of the same (prompt, generated) tokens."""
    inputs, outputs = (TokenQuantiles(size, size, size, size, size) for size in tokens)
    return Demand(
        requests_per_second=rate,
        input_tokens=inputs,
        output_tokens=outputs,
        tokens=TokenHistogram(np.array([inputs.mean]), np.array([outputs.mean]), np.array([1.0])),
        longest_request_tokens=inputs.mean + outputs.mean,
        source=source,
        requests=None,
        window_seconds=window_seconds,
        notes=notes,
        profile=profile,
    )


_NORMAL = NormalDist()
LONGEST_SHARE = 0.999
"""Share of the requests that are no longer than the longest, where that is not stated."""
_EDGES = (
    0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.91, 0.94, 0.96, 0.97, 0.9775, 0.9825, 0.9865, 0.99,
    0.9925, 0.9945, 0.9965, 0.998, 0.999, 1.0,
)  # fmt: skip
"""Shares of the requests at the edges of the cells, finer where requests are long: a context that holds about as many
as have to be within the SLO is told from one that does not."""


@dataclass(frozen=True, slots=True)
class LengthSpread:
    """Lengths whose logarithm is normal; what is longer than the longest is cut to it, as servers and clients do.

    Prompts and answers of conversations are near such a distribution (Wang et al. 2024, *BurstGPT*; Azure's traces of
    2023), with a tail that the 95th percentile sets.
    """

    p50: float
    p95: float
    longest: float | None = None
    """None: the 99.9th percentile."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the natural logarithm."""
        return math.log(self.p95 / self.p50) / _NORMAL.inv_cdf(0.95)

    @property
    def most(self) -> float:
        """The longest length there is."""
        return self.quantile(LONGEST_SHARE) if self.longest is None else self.longest

    @property
    def mean(self) -> float:
        """Mean length."""
        return self._part_of_mean(1.0)

    def within(self, most: float) -> Self:
        """The same cut to a length, but no shorter than the 95th percentile; as it is where the longest is stated."""
        return self if self.longest is not None else replace(self, longest=max(min(self.most, most), self.p95))

    def times(self, factor: float) -> Self:
        """Lengths that are all so many times as long."""
        longest = None if self.longest is None else self.longest * factor
        return replace(self, p50=self.p50 * factor, p95=self.p95 * factor, longest=longest)

    def quantile(self, share: float) -> float:
        """Length that so large a share of the requests does not exceed, not cut."""
        return self.p50 * math.exp(self.sigma * _NORMAL.inv_cdf(share))

    def quantiles(self, size_of: Callable[[float], float]) -> TokenQuantiles:
        """Quantiles of the lengths in another unit."""
        p50, p95, p99 = (min(self.quantile(share), self.most) for share in (0.50, 0.95, 0.99))
        return TokenQuantiles(*(size_of(length) for length in (self.mean, p50, p95, p99, self.most)))

    def points(self) -> tuple[Floats, Floats]:
        """Mean lengths of cells and their shares of the requests, (cells,) each: their mean is :attr:`mean`."""
        parts = np.array([self._part_of_mean(edge) for edge in _EDGES])
        shares = np.diff(_EDGES)
        return np.diff(parts) / shares, shares

    def _part_of_mean(self, share: float) -> float:
        """Share of the mean that the shortest requests make: ``∫ min(x, most) dF`` over the lowest quantiles.

        ``E[X; X ≤ q] = median · e^(s²/2) · Φ(z - s)`` of a log-normal X with deviation s; z: the normal quantile of
        q.
        """
        if share == 0 or self.sigma == 0:
            return min(self.p50, self.most) * share
        cut = (math.log(self.most / self.p50)) / self.sigma
        reached = math.inf if share == 1 else _NORMAL.inv_cdf(share)
        below = self.p50 * math.exp(self.sigma**2 / 2) * _NORMAL.cdf(min(reached, cut) - self.sigma)
        return below + self.most * max(share - _NORMAL.cdf(cut), 0.0)


def with_token_lengths(demand: Demand, input_factor: float = 1.0, output_factor: float = 1.0) -> Demand:
    """Requests whose prompts and answers are so many times as long; none becomes shorter than a token."""

    def histogram(tokens: TokenHistogram) -> TokenHistogram:
        inputs, outputs = _lengths(tokens.input_tokens, input_factor), _lengths(tokens.output_tokens, output_factor)
        return replace(tokens, input_tokens=inputs, output_tokens=outputs)

    longest = demand.longest_request_tokens
    longest += (input_factor - 1) * min(demand.input_tokens.max, longest)
    longest += (output_factor - 1) * min(demand.output_tokens.max, longest)
    profile = demand.profile
    if profile is not None:
        by_hour = {hour: histogram(tokens) for hour, tokens in profile.tokens_by_hour.items()}
        profile = replace(profile, tokens_by_hour=by_hour)
    return replace(
        demand,
        input_tokens=_quantiles(demand.input_tokens, input_factor),
        output_tokens=_quantiles(demand.output_tokens, output_factor),
        tokens=histogram(demand.tokens),
        longest_request_tokens=max(longest, 1.0),
        profile=profile,
    )


def _lengths(tokens: Floats, factor: float) -> Floats:
    return np.maximum(tokens * factor, np.minimum(tokens, 1.0))


def _quantiles(tokens: TokenQuantiles, factor: float) -> TokenQuantiles:
    return TokenQuantiles(*(factor * length for length in asdict(tokens).values()))


def together(demands: Sequence[Demand]) -> Demand:
    """The sum of declared demands: rates add up, peaks as if they came together, and lengths are mixed by rate."""
    rates = np.array([demand.requests_per_second.mean for demand in demands])
    shares = rates / rates.sum()
    tokens = TokenHistogram(
        np.concatenate([demand.tokens.input_tokens for demand in demands]),
        np.concatenate([demand.tokens.output_tokens for demand in demands]),
        np.concatenate([demand.tokens.probability * share for demand, share in zip(demands, shares, strict=True)]),
    )
    all_rates = zip(*(asdict(demand.requests_per_second).values() for demand in demands), strict=True)
    return replace(
        demands[0],
        requests_per_second=ArrivalRate(*map(sum, all_rates)),
        input_tokens=_weighted_quantiles(tokens.input_tokens, tokens.probability),
        output_tokens=_weighted_quantiles(tokens.output_tokens, tokens.probability),
        tokens=tokens,
        longest_request_tokens=max(demand.longest_request_tokens for demand in demands),
        source=f"the sum of {len(demands)} workloads",
        notes=tuple(dict.fromkeys(note for demand in demands for note in demand.notes)),
    )


def _weighted_quantiles(values: Floats, probability: Floats) -> TokenQuantiles:
    order = np.argsort(values)
    held = probability[order].cumsum()

    def at(level: float) -> float:
        return float(values[order][min(int(np.searchsorted(held, level - 1e-12)), held.size - 1)])

    mean = float(values @ probability)
    return TokenQuantiles(mean=mean, p50=at(0.5), p95=at(0.95), p99=at(0.99), max=float(values.max()))
