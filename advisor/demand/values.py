"""Demand as values: how many requests arrive, and how long they are."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenHistogram:
    """Joint distribution of input and output tokens as weighted points (the mean of each cell).

    All three arrays have shape ``(cells,)``; ``probability`` sums to 1.
    """

    input_tokens: Floats
    output_tokens: Floats
    probability: Floats
    prefix_cache_hit_ratio: float = 0.0
    """Share of the prompts' tokens whose keys and values a cache already holds when they arrive."""

    def mean_input_tokens(self) -> float:
        """Mean prompt length."""
        return float(self.input_tokens @ self.probability)

    def mean_output_tokens(self) -> float:
        """Mean answer length."""
        return float(self.output_tokens @ self.probability)


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """Requests per second, counted in one-minute windows."""

    mean: float
    p50: float
    p95: float
    p99: float
    peak: float
    """The busiest minute."""

    @property
    def peak_to_mean(self) -> float:
        """How uneven the load is; 1 is flat."""
        return self.peak / self.mean


@dataclass(frozen=True, slots=True)
class TokenQuantiles:
    """Tokens of one request."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What has to be served."""

    requests_per_second: ArrivalRate
    input_tokens: TokenQuantiles
    output_tokens: TokenQuantiles
    tokens: TokenHistogram
    longest_request_tokens: float
    """Prompt and answer of the longest request together."""
    source: str
    """Where it was measured, in words."""
    requests: int | None
    """Requests counted; None for declared demand."""
    window_seconds: float | None
    """Observed time; None for declared demand."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting it."""

    def with_prefix_cache(self, hit_ratio: float) -> "Demand":
        """The same requests, with that share of their prompts' tokens in a prefix cache."""
        if hit_ratio == 0:
            return self
        note = f"{hit_ratio:.0%} of the prompts' tokens are taken to be in the replicas' prefix caches, as stated"
        tokens = replace(self.tokens, prefix_cache_hit_ratio=hit_ratio)
        return replace(self, tokens=tokens, notes=(*self.notes, note))
