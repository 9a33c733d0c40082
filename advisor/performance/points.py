"""A token histogram thinned to the few points that latency percentiles need."""

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram
from advisor.performance.physics import Floats
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


def length_points(tokens: TokenHistogram) -> LengthPoints:
    """Points of the same means, at most 20; a histogram that small is taken as it is."""
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
    for start in np.unique(group):
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
