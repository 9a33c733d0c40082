"""Token lengths from an engine's histograms: a share of the requests in each bucket, and their exact mean."""

from dataclasses import dataclass

import numpy as np

from advisor.demand.monitored.server import Floats, Monitored
from advisor.demand.values import TokenHistogram, TokenQuantiles
from advisor.samples.exporters import Name

_BEYOND = 2.0
"""The last bucket has no end: it is taken to reach this many times its beginning."""
_FEWEST_REQUESTS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """Tokens of prompts, or of answers."""

    low: Floats
    """Where each bucket begins, shape ``(buckets,)``."""
    high: Floats
    share: Floats
    """Share of the requests in each bucket; sums to 1."""
    mean: float

    @property
    def tokens(self) -> Floats:
        """One length for each bucket, as far into it everywhere as gives the exact mean."""
        width = self.high - self.low
        into = (self.mean - float(self.low @ self.share)) / float(width @ self.share)
        return np.asarray(self.low + min(max(into, 0.0), 1.0) * width)

    def quantiles(self) -> TokenQuantiles:
        """Interpolated within buckets; the maximum is the end of the last one that holds any."""
        ends = np.cumsum(self.share)
        p50, p95, p99 = np.interp(
            [0.5, 0.95, 0.99], np.concatenate(([0.0], ends)), np.concatenate((self.low[:1], self.high))
        )
        return TokenQuantiles(self.mean, float(p50), float(p95), float(p99), float(self.high[-1]))


def histogram_lengths(server: Monitored, name: Name) -> Lengths | None:
    """Lengths of a histogram's requests in the window; None where it counted none."""
    window_ms = (server.window.end_us - server.window.start_us) // 1000
    select, end_us = server.questions.select, server.window.end_us
    series = server.questions.api.instant(
        f"sum by (le) (increase({select(name.part('bucket'))}[{window_ms}ms]))", end_us
    )
    whole = {
        part: server.questions.api.instant(f"sum(increase({select(name.part(part))}[{window_ms}ms]))", end_us)
        for part in ("sum", "count")
    }
    bounds = sorted((float(one.labels["le"].replace("Inf", "inf")), one.value) for one in series if "le" in one.labels)
    if not bounds or not all(whole.values()) or whole["count"][0].value < _FEWEST_REQUESTS:
        return None
    mean = whole["sum"][0].value / whole["count"][0].value
    return _lengths(np.array([bound for bound, _ in bounds]), np.array([count for _, count in bounds]), mean)


def _lengths(bounds: Floats, cumulative: Floats, mean: float) -> Lengths | None:
    counts = np.clip(np.diff(np.maximum.accumulate(cumulative), prepend=0.0), 0.0, None)
    low = np.concatenate(([0.0], bounds[:-1]))
    high = np.where(np.isinf(bounds), np.maximum(low * _BEYOND, 1.0), bounds)
    held = counts > 1e-9 * counts.sum()
    if not held.any():
        return None
    return Lengths(low[held], high[held], counts[held] / counts[held].sum(), mean)


def one_length(mean: float) -> Lengths:
    """Where only the mean is known: every request is as long."""
    return Lengths(np.array([mean - 0.5]), np.array([mean + 0.5]), np.array([1.0]), mean)


def joint(prompts: Lengths, answers: Lengths) -> TokenHistogram:
    """Both together, as if the length of an answer said nothing of the length of its prompt."""
    inputs, outputs = np.meshgrid(prompts.tokens, answers.tokens, indexing="ij")
    return TokenHistogram(inputs.ravel(), outputs.ravel(), np.outer(prompts.share, answers.share).ravel())
