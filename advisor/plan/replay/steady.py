"""Requests that arrive at one rate for long: what a fleet serves then, and how long it takes to show."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from advisor.demand.synthetic_trace import SETTLING_RATIO, STEADY_MINUTES
from advisor.demand.values import Requests
from advisor.plan.replay.engine import Times
from advisor.plan.replay.fleet import full_replica
from advisor.plan.replay.groups import part_of
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.records import dataclass, replace
from advisor.units import SECONDS_PER_MINUTE

LIFETIMES = 20
"""Times as long as a request is with a full replica for which a steady load is replayed: replicas that start empty take
several of them to fill up."""
MOST_TURNS = 16
"""Times that a trace is served before it, where it is shorter than replicas take to fill up."""


@dataclass(frozen=True, slots=True, eq=False)
class SteadyLoad:
    """Requests that arrive at one rate for long, and what of a fleet is there to serve them."""

    hour_class: int
    groups: Sequence[ReplayGroup]
    """With one number of instances each."""
    routes: tuple[Route, ...]
    rate: float
    """Requests per second."""
    minutes: int
    """Minutes until it shows whether replicas keep up."""

    @property
    def is_long(self) -> bool:
        """Whether requests are with replicas for so long that a short rehearsal from empty ones on hides a queue."""
        return self.minutes > STEADY_MINUTES

    def times(self, ratio: float) -> "SteadyLoad":
        """The same with so many times the requests."""
        return replace(self, rate=ratio * self.rate)

    def overloaded(self, rate_of: Callable[[ReplayGroup], float]) -> tuple[int, ...]:
        """Positions of groups that get more than they serve: all where the fleet does, else those weighted too high.

        Args:
            rate_of: requests per second that one replica of a group serves.
        """
        serving = [(at, group) for at, group in enumerate(self.groups) if group.instances_by_hour[0]]
        rates = [group.instances_by_hour[0] * group.replicas_per_instance * rate_of(group) for _, group in serving]
        if sum(rates) < self.rate or len(self.routes) > 1:
            return tuple(range(len(self.groups))) if sum(rates) < self.rate else ()
        shares = [self.routes[0].shares.get(group.name, 0.0) for _, group in serving]
        return tuple(
            at
            for (at, _), own, share in zip(serving, rates, shares, strict=True)
            if own * sum(shares) < self.rate * share
        )


def settling_minutes(lifetime_s: float) -> int:
    """Minutes until it shows whether replicas keep up: many times as long as a request is with a full one.

    In steps of twice as many, so that fleets are tried with the same requests.
    """
    ratio = LIFETIMES * lifetime_s / (STEADY_MINUTES * SECONDS_PER_MINUTE)
    return STEADY_MINUTES << math.ceil(math.log2(max(ratio, 1.0)))


def filling_minutes(lifetime_s: float) -> int:
    """Minutes in which replicas that were empty become as full as they stay; 0 where a rehearsal's own do not show.

    They are left out of a steady load, and come before the stretches of a rehearsal.
    """
    minutes = settling_minutes(lifetime_s)
    return int(SETTLING_RATIO * minutes) if minutes > STEADY_MINUTES else 0


def filling_of(replicas: Iterable[Times], prompt: float, answer: float) -> int:
    """The same of a fleet's replicas, for requests of such a mean size."""
    return filling_minutes(max(full_replica(times, prompt, answer)[1] for times in replicas))


def with_filling(requests: Requests, groups: Sequence[ReplayGroup]) -> tuple[Requests, int]:
    """A trace after its own first requests once more, with which replicas fill up, and the minutes of these.

    They stand for none. No minutes where requests are with replicas for a minute at most, and before a trace shorter
    than that, which has no rate.
    """
    seconds, sizes = requests.seconds, (requests.input_tokens, requests.output_tokens)
    prompt, answer = (max(float(tokens.mean()), 1.0) for tokens in sizes)
    span, minutes = float(np.ptp(seconds)), filling_of((group.steps for group in groups), prompt, answer)
    if not minutes or span < SECONDS_PER_MINUTE:
        return requests, 0
    again_s = min(span, float(minutes * SECONDS_PER_MINUTE))
    turns = min(math.ceil(minutes * SECONDS_PER_MINUTE / again_s), MOST_TURNS)
    count = int(np.searchsorted(seconds, seconds[0] + again_s))
    after = part_of(requests, np.append(np.tile(np.arange(count), turns), np.arange(seconds.size)))
    before_s = np.repeat(again_s * np.arange(turns, -1, -1.0), [*[count] * turns, seconds.size])
    weights = (before_s == 0).astype(np.float64)
    filled = replace(after, seconds=after.seconds - before_s, weights=weights)
    return filled, round(turns * again_s / SECONDS_PER_MINUTE)
