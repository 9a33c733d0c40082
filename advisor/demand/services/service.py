"""Replicas of one model among the engines that were read, each counted once."""

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.demand.services.readings import EngineView
from advisor.demand.services.replicas import (
    Minutes,
    Replica,
    begun,
    by_one_clock,
    clock_shifts,
    minutes_of,
    replicas_of,
)
from advisor.demand.services.twins import distinct
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose demand is asked for, and what the workload states of it."""

    model: str
    """Of the workload."""
    where: str
    """The source, for messages."""
    field: str
    """Where the workload names the source, such as ``demand.samples``."""
    served_as: str | None = None
    """Name under which the engines serve it; None: one of the model's own."""
    known_models: tuple[str, ...] = ()
    """Names of models, by which a name that belongs to another model is told from an alias."""
    context_tokens: int | None = None
    """No request is longer; None: unknown."""
    input_tokens: float | None = None
    """Stated, for engines that do not count them."""
    output_tokens: float | None = None
    requests_per_day: float | None = None
    """Stated volume, which counters make unneeded."""
    is_one_pass: bool = False
    """Whether requests are answered in one pass: lengths are stated as the size of an item and the items of a request,
    and what is not stated is counted in texts and their tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """The replicas of one model, each once."""

    replicas: Sequence[Replica]
    twins: Sequence[tuple[Replica, Replica]]
    minutes: Minutes | None
    """What was counted over long gaps left unknown."""
    level: Minutes | None
    """The same with that laid evenly over the gaps."""
    shifts: Mapping[str, float]
    """Seconds by which clocks of hosts were ahead of most others'."""

    @property
    def views(self) -> list[EngineView]:
        """View of each replica that is counted."""
        return list({id(replica.view): replica.view for replica in self.replicas}.values())

    @property
    def mean(self) -> float | None:
        """Requests per second; None: unknown."""
        for minutes in (self.level, self.minutes):
            if minutes is not None and not np.isnan(minutes.requests).all():
                return float(np.nanmean(minutes.requests)) / minutes.step_seconds
        return None


def service_of(views: Sequence[EngineView]) -> Service:
    """Replicas of one model, each counted once whoever read it."""
    kept, twins = distinct([replica for view in views for replica in replicas_of(view)])
    shifts = clock_shifts(kept)
    replicas = begun(by_one_clock(kept, shifts))
    level = minutes_of(replicas, np.inf)
    if level is not None and np.isnan(level.requests).all():
        level = minutes_of(replicas, np.inf, with_starts=True)
    return Service(replicas, twins, minutes_of(replicas), level, shifts)
