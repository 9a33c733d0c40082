"""Token lengths from an engine's histograms: a share of the requests in each bin, and their exact mean."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram, TokenQuantiles
from advisor.records import dataclass, replace

Floats = npt.NDArray[np.float64]

_BEYOND = 2.0
"""The last bucket has no end: it is taken to reach this many times its beginning."""
_FEWEST_REQUESTS = 0.5
_BINS_PER_OCTAVE = 2
_LEAST_SHARE = 1e-9
_ROUND = 0.5
"""Tokens by which a length that is the same for all is written apart from its bin's ends."""
_LEAST_TOKENS = 0.5
"""Of a length, for its logarithm."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class LengthCounts:
    """A cumulative histogram of token lengths, as Prometheus has them; arrays of shape ``(buckets,)``."""

    bounds: Floats
    """Upper bounds, ascending, the last infinite."""
    counts: Floats
    """Requests of at most that length."""
    tokens: float
    """Of all requests together."""

    @property
    def requests(self) -> float:
        """Requests in all buckets."""
        return float(self.counts[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """Tokens of prompts, or of answers."""

    low: Floats
    """Where each bin begins, shape ``(bins,)``."""
    high: Floats
    share: Floats
    """Share of the requests in each bin; sums to 1."""
    mean: float

    @property
    def is_one(self) -> bool:
        """Whether every request is as long."""
        return self.share.size == 1 and float(self.high[0] - self.low[0]) <= 2 * _ROUND

    @property
    def tokens(self) -> Floats:
        """One length for each bin, as far into it everywhere as gives the exact mean."""
        width = self.high - self.low
        into = (self.mean - float(self.low @ self.share)) / float(width @ self.share)
        return np.asarray(self.low + min(max(into, 0.0), 1.0) * width)

    def within(self, most: float) -> Self:
        """The same where no length is longer than the most that is accepted: bins end there."""
        return self if self.low[-1] >= most else replace(self, high=np.minimum(self.high, most))

    def quantiles(self) -> TokenQuantiles:
        """Interpolated within bins as if log-normal; the maximum is the end of the last bucket that holds any.

        Where every request is as long, each of them is that length.
        """
        if self.is_one:
            return TokenQuantiles(*[self.mean] * 5)
        ends = _probit(np.concatenate(([0.0], np.cumsum(self.share))))
        edges = np.log(np.maximum(np.concatenate((self.low[:1], self.high)), _LEAST_TOKENS))
        p50, p95, p99 = np.exp(np.interp(_probit(np.array([0.5, 0.95, 0.99])), ends, edges))
        return TokenQuantiles(self.mean, float(p50), float(p95), float(p99), float(self.high[-1]))


def added(parts: Sequence[LengthCounts]) -> LengthCounts | None:
    """All requests of several histograms, whose bounds may differ; None where there is no request."""
    parts = [part for part in parts if part.requests >= _FEWEST_REQUESTS]
    if not parts:
        return None
    bounds = np.unique(np.concatenate([part.bounds for part in parts]))
    counts = sum((_counts_up_to(part, bounds) for part in parts), np.zeros(bounds.size))
    return LengthCounts(bounds, counts, sum(part.tokens for part in parts))


def _counts_up_to(part: LengthCounts, bounds: Floats) -> Floats:
    if np.array_equal(part.bounds, bounds):
        return part.counts
    ends = np.where(np.isinf(part.bounds), bounds[np.isfinite(bounds)].max(initial=1.0), part.bounds)
    within = np.interp(bounds, np.concatenate(([0.0], ends)), np.concatenate(([0.0], part.counts)))
    return np.where(np.isinf(bounds), part.requests, within)


def lengths_of(counted: LengthCounts) -> Lengths | None:
    """Lengths of a histogram's requests; None where it holds none.

    Buckets are divided at every half octave, as a log-normal distribution through their bounds would: the quantile of
    the normal distribution at each bound is interpolated over the logarithm of the length. Buckets of 1, 2, 5 × 10ⁿ
    alone leave a p95 open by a factor of two. Where the mean shows that lengths are nothing of the kind, the buckets
    stay whole.
    """
    cumulative = np.maximum.accumulate(np.clip(counted.counts, 0.0, None))
    if not cumulative.size or cumulative[-1] < _FEWEST_REQUESTS:
        return None
    low = np.concatenate(([0.0], counted.bounds[:-1]))
    high = np.where(np.isinf(counted.bounds), np.maximum(low * _BEYOND, 1.0), counted.bounds)
    share = np.diff(cumulative, prepend=0.0) / cumulative[-1]
    held = share > _LEAST_SHARE
    mean = counted.tokens / counted.requests
    edges, within = _finer(low[held], high[held], share[held])
    if edges[:-1] @ within <= mean <= edges[1:] @ within:
        return Lengths(edges[:-1], edges[1:], within, mean)
    return Lengths(low[held], high[held], share[held], mean)


def _finer(low: Floats, high: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Edges at every half octave within the buckets, and the share of the requests between two of them."""
    ends = np.cumsum(share)
    anchors, levels = high[:-1], _probit(ends[:-1])
    edges, shares = [low[0]], []
    for start, end, part in zip(low, high, share, strict=True):
        inner = _cuts(start, end)
        weights = np.diff(_between(np.array([start, *inner, end]), anchors, levels))
        spread = (
            weights / weights.sum()
            if weights.sum() > _LEAST_SHARE * part
            else np.full(weights.size, 1.0 / weights.size)
        )
        if start > edges[-1]:  # an empty bucket before it
            edges.append(start)
            shares.append(0.0)
        edges += [*inner, end]
        shares += list(part * spread)
    return np.array(edges), np.array(shares)


def _cuts(start: float, end: float) -> list[float]:
    """Lengths that divide a bucket: none below 1 token, where nothing is."""
    first = np.floor(np.log2(max(start, 1.0)) * _BINS_PER_OCTAVE) + 1
    last = np.ceil(np.log2(max(end, 1.0)) * _BINS_PER_OCTAVE)
    return [float(cut) for cut in 2.0 ** (np.arange(first, last) / _BINS_PER_OCTAVE) if start < cut < end]


def _between(lengths: Floats, anchors: Floats, levels: Floats) -> Floats:
    """Share of the requests below each length, by the normal quantiles at the anchors; linear with fewer than two."""
    if anchors.size < 2:
        return lengths
    at, log_anchors = np.log(np.maximum(lengths, _LEAST_TOKENS)), np.log(anchors)
    inner = np.interp(at, log_anchors, levels)
    first, last = ((levels[k + 1] - levels[k]) / (log_anchors[k + 1] - log_anchors[k]) for k in (0, -2))
    outer = np.where(
        at < log_anchors[0], levels[0] + first * (at - log_anchors[0]), levels[-1] + last * (at - log_anchors[-1])
    )
    is_outside = (at < log_anchors[0]) | (at > log_anchors[-1])
    return np.array([_NORMAL.cdf(level) for level in np.where(is_outside, outer, inner)])


def _probit(shares: Floats) -> Floats:
    return np.array([_NORMAL.inv_cdf(float(share)) for share in np.clip(shares, 1e-12, 1 - 1e-12)])


def one_length(mean: float) -> Lengths:
    """Lengths where only the mean is known: every request is as long."""
    return Lengths(np.array([mean - _ROUND]), np.array([mean + _ROUND]), np.array([1.0]), mean)


def joint(prompts: Lengths, answers: Lengths) -> TokenHistogram:
    """Both together, as if the length of an answer said nothing of the length of its prompt."""
    inputs, outputs = np.meshgrid(prompts.tokens, answers.tokens, indexing="ij")
    shares = np.outer(prompts.share, answers.share)
    held = shares > 0
    return TokenHistogram(inputs[held], outputs[held], shares[held])
