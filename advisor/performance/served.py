"""Candidates that keep the SLO, and how fast they are, whatever kind of model they serve."""

import math

from advisor.candidates import Candidate, Rejection, Shortfall, reject_candidate
from advisor.demand.batch import BatchRun
from advisor.performance.values import Evidence, Interval
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, milliseconds


def late_item(candidate: Candidate, running: float, rate: float, run: BatchRun) -> Rejection | None:
    """Rejection where one item alone takes longer than all of a run may; None where it does not.

    Args:
        candidate: what the replica runs on.
        running: requests that a full one runs.
        rate: requests per second that it serves then; an item takes ``running ÷ rate`` (Little's law).
        run: with its deadline.
    """
    item_s, deadline_s = running / rate, run.deadline_hours * SECONDS_PER_HOUR
    if item_s <= deadline_s:
        return None
    taken, deadline = (milliseconds(seconds * MS_PER_SECOND) for seconds in (item_s, deadline_s))
    reason = f"one item takes {taken} on a full replica, and all of a run may take {deadline}"
    return reject_candidate(candidate, Shortfall("deadline", "s", deadline_s, item_s, reason))


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
