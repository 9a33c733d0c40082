"""Inputs and results of a replay."""

import math
from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from advisor.plan.replay.engine import ServeInParts, Times, serve_in_parts
from advisor.records import dataclass, replace
from advisor.workload.values import Slo

Floats = npt.NDArray[np.float64]


class Billing(StrEnum):
    """Billing basis of a group."""

    USED = "used"
    """Each instance by the second that it runs, start-up and draining included."""
    ALWAYS = "always"
    """The largest number of instances in every hour: a commitment, or machines that are owned."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplayGroup:
    """Equal replicas on instances that come and go with the hour of the week."""

    name: str
    steps: Times
    instances_by_hour: tuple[int, ...]
    """168 numbers from Monday 00:00 UTC, or one for every hour."""
    usd_per_hour: float
    """Of one instance."""
    replicas_per_instance: int = 1
    billing: Billing = Billing.USED
    weight: float = 1.0
    """Of one replica against those of other groups: the requests per second that it sustains."""
    lead_seconds: float = 0.0
    """From the start of an instance to its first request: it is started so much before its hour."""
    stop_seconds: float = 0.0
    """From the end of its last hour until an instance is gone, draining included: it is paid for until then."""
    interruptions_per_instance_hour: float = 0.0
    lost_at: float | None = None
    """When one instance is interrupted, beside those that are at random; seconds since 1970."""
    target: str = ""
    """Groups of one target share its requests evenly, replica by replica; empty: a target of its own."""
    network_ms: tuple[float, ...] = ()
    """Round trip to each place of users; empty: none counted."""

    def without_one(self) -> "ReplayGroup":
        """The same with an instance less in each hour that has any."""
        fewer = {count: max(count - 1, 0) for count in set(self.instances_by_hour)}
        return replace(self, instances_by_hour=tuple(map(fewer.__getitem__, self.instances_by_hour)))


@dataclass(frozen=True, slots=True)
class Route:
    """Destination of requests of a place with prompts up to a length."""

    max_input_tokens: float
    """Inclusive; infinite for the rest."""
    shares: Mapping[str, float]
    """By group; groups that are left out get none of these requests."""
    place: int = 0
    """Index of the place; each has routes of the same lengths."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Part of a replay that has to be simulated to know whether a fleet holds."""

    slo: Slo
    most_late_ratio: float = math.inf
    """Share of late requests from which on the rest is left out."""
    most_served: int | None = None
    """About so many requests are simulated at most, on a sample of the replicas of each group: they receive requests in
    turn, so that each shows what all of them would. None: all."""
    busiest: int | None = None
    """So many of the first requests are judged by themselves as well. None: none."""
    is_share_asked: bool = True
    """Whether shares are of interest too: without, a replica's requests are not simulated on once too many are late."""
    serve: ServeInParts = serve_in_parts
    """What simulates a replica."""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Result of one group."""

    name: str
    requests: int
    """Answered here."""
    within_slo_ratio: float | None
    """Of those; None where there are none."""
    preemptions: int
    interruptions: int
    instance_hours: float
    """That are paid for."""
    cost_usd: float


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Result of all; percentiles are of the requests that were answered, None where there are none."""

    requests: int
    within_slo_ratio: float
    """Share of all requests that kept every target; what was refused kept none."""
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    """Of answers of two tokens or more."""
    e2e_p95_ms: float | None
    refused: int
    """Longer than what a replica can hold, or with no replica to come that would take them."""
    preemptions: int
    """Requests taken off a full cache and computed again."""
    interruptions: int
    """Of spot instances; their requests were computed again elsewhere."""
    cost_usd: float
    usd_per_month: float
    """The cost of the window, for 730 hours."""
    window_seconds: float
    hours: float
    by_group: tuple[GroupResult, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Seconds of each request; NaN for those refused."""

    ttft_s: Floats
    decode_s: Floats
    """From the first token to the last."""
    group: npt.NDArray[np.int32]
    """Of its answer; -1 for those refused."""
    cut: npt.NDArray[np.bool_]
    """Whether an interruption made it start again."""
    backlog_ratio: Floats | None = None
    """Wait ÷ the longest before a replica that keeps up, above 1 otherwise; None where nobody asks."""
