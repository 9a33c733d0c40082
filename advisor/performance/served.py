"""Candidates that keep the SLO, and how fast they are, whatever kind of model they serve."""

import math

from advisor.candidates import Candidate
from advisor.performance.values import Evidence, Interval
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """A candidate that keeps the SLO, with the largest rate that one replica sustains."""

    candidate: Candidate
    requests_per_second_per_replica: Interval
    max_concurrency: int
    """Requests that one replica runs at a time: as the engine allows, the KV cache holds at their mean length, and the
    target for the time per token leaves. Of a model that answers in one pass, the items of a batch."""
    evidence: Evidence
    mean_concurrency: float = 0.0
    """Requests that it runs on average at that rate."""
    most_requests_per_second: float = math.inf
    """Requests per second of one replica that no latency is asked of; infinite where that is not worked out."""


@dataclass(frozen=True, slots=True)
class LoadLatency:
    """Latency at the planned load.

    Of a model that answers in one pass all of it is time to the first token, which is the whole answer.
    """

    ttft_p95_ms: Interval
    tpot_p95_ms: Interval
    e2e_p95_ms: Interval
