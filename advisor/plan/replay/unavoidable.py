"""Requests that are late on however many replicas: those that are late on one which serves no other at the time."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.synthetic_trace import SyntheticTrace
from advisor.demand.values import Requests
from advisor.plan.replay.engine import serve_idle
from advisor.plan.replay.fleet import any_split, simulate
from advisor.plan.replay.groups import Key, shares_sent
from advisor.plan.replay.result import within
from advisor.plan.replay.values import Cutoff, ReplayGroup, Route
from advisor.records import replace
from advisor.workload.values import Slo

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
LATE_STEP = 1e-4
"""Shares of requests that are late on idle replicas are rounded down to so much."""


def late_when_alone(group: ReplayGroup, requests: Requests, slo: Slo) -> Flags:
    """Requests that are late on a replica of a group which serves no other at the time."""
    # Items that clients send by themselves meet at none of as many replicas.
    most = int(requests.output_tokens.max()) if any_split([group.steps]) else 1
    idle = replace(group, instances_by_hour=(most,), replicas_per_instance=1, lost_at=None, target="")
    outcome = simulate([idle], requests, cutoff=Cutoff(slo, serve=serve_idle)).outcome
    return ~within(outcome, requests, slo)


class UnavoidableLateness:
    """Shares of a rehearsal's requests that are late on idle replicas; each kind of them is looked at once."""

    def __init__(self, rehearsal: SyntheticTrace, slo: Slo) -> None:
        """Begin with nothing known of any kind."""
        self._rehearsal, self._slo = rehearsal, slo
        self._late: dict[Key, Flags] = {}

    def ratio_on(self, groups: Sequence[ReplayGroup], routes: Sequence[Route]) -> float:
        """Share of the requests that is late on however many of a fleet's replicas."""
        late = [self._late_on(group) for group in groups]
        if not any(map(np.any, late)):
            return 0.0
        expected = np.zeros(self._rehearsal.requests.seconds.size)
        for group, flags in zip(groups, late, strict=True):
            expected += flags * shares_sent(group.name, routes, self._rehearsal.requests)
        return math.floor(min(self._ratios(expected)) / LATE_STEP) * LATE_STEP

    def ratios_of(self, group: ReplayGroup) -> tuple[float, float]:
        """Share that is late on a group's replicas of a week's requests, and of the busiest stretch by itself."""
        return self._ratios(self._late_on(group))

    def _late_on(self, group: ReplayGroup) -> Flags:
        key = id(group.steps), group.network_ms
        if key not in self._late:
            self._late[key] = late_when_alone(group, self._rehearsal.requests, self._slo)
        return self._late[key]

    def _ratios(self, late: Flags | Floats) -> tuple[float, float]:
        """The same by how late each request may be."""
        weights, busiest = self._rehearsal.requests.weights, slice(self._rehearsal.busiest.stop)
        first = None if weights is None else weights[busiest] > 0
        return float(np.average(late, weights=weights)), float(np.average(late[busiest], weights=first))
