"""Routing of requests to replicas: weighted round robin over the replicas that are up and can hold them."""

from collections.abc import Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from advisor.demand.trace_columns import Requests
from advisor.plan.replay.sessions import Session
from advisor.plan.replay.values import ReplayGroup, Route

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

NOWHERE = -1
LEAST_SHARE = 1e-12
"""Of a replica that a route leaves out: nothing is sent there."""


def interleave(weights: Floats, count: int) -> Indices:
    """Places for *count* requests in turn: the k-th of a place comes at (k + ½) ÷ weight (stride scheduling)."""
    if (weights == weights[0]).all():
        return np.arange(count, dtype=np.intp) % weights.size
    quota = np.ceil(count * weights / weights.sum()).astype(np.intp) + 1
    place = np.repeat(np.arange(weights.size), quota)
    turn = np.arange(place.size) - np.repeat(np.cumsum(quota) - quota, quota)
    order = np.argsort((turn + 0.5) / weights[place], kind="stable")
    return np.asarray(place[order[:count]], dtype=np.intp)


class Router:
    """Sends requests to sessions; what it knows of a request is its length."""

    def __init__(self, groups: Sequence[ReplayGroup], sessions: Sequence[Session], routes: Sequence[Route]) -> None:
        """Know the groups, their sessions, and the routes (none: all groups by their weights)."""
        self._group = np.array([session.group for session in sessions], dtype=np.intp)
        self._start = np.array([session.start for session in sessions])
        self._end = np.array([session.end for session in sessions])
        self._weight = np.array([group.weight for group in groups])
        self._held = np.array([min(group.steps.context_tokens, group.steps.kv_tokens) for group in groups])
        self._limits = np.array(sorted(set(self._held.tolist())))
        targets = {group.target or group.name: None for group in groups}
        self._target = np.array([list(targets).index(group.target or group.name) for group in groups], dtype=np.intp)
        ordered = sorted(routes, key=lambda route: (route.place, route.max_input_tokens))
        self._lengths = sorted({route.max_input_tokens for route in ordered})
        self._shares = np.zeros((len(ordered), len(targets)))
        for at, route in enumerate(ordered):
            np.add.at(self._shares[at], self._target, [route.shares.get(group.name, 0.0) for group in groups])

    def kinds(self, requests: Requests) -> Indices:
        """The kind of each request: its route, and how many groups can hold it; NOWHERE if none can."""
        total = np.maximum(requests.input_tokens, 1) + np.maximum(requests.output_tokens, 1)
        tier = _number_below(self._limits.tolist(), total)
        route = _number_below(self._lengths[:-1], requests.input_tokens)
        if requests.places is not None:
            route += requests.places * len(self._lengths)
        return np.where(tier < self._limits.size, route * self._limits.size + tier, NOWHERE)

    def boundaries(self) -> Floats:
        """Times at which replicas come or go, in order."""
        return np.array(sorted({seconds for seconds in (*self._start.tolist(), *self._end.tolist()) if seconds < inf}))

    def next_start(self, kind: int, now: float) -> float:
        """Start of the first replica after *now* that can hold such requests; infinite if none does."""
        able = self._held[self._group] >= self._limits[kind % self._limits.size]
        later = self._start[able & (self._start > now)]
        return float(later.min()) if later.size else inf

    def place(self, kind: int, now: float, count: int) -> Indices:
        """Sessions for so many requests of one kind in turn; NOWHERE while none is up that can hold them."""
        able = self._held[self._group] >= self._limits[kind % self._limits.size]
        up = np.flatnonzero(able & (self._start <= now) & (self._end > now))
        if not up.size:
            return np.full(count, NOWHERE)
        return np.asarray(up[interleave(self._weights(kind // self._limits.size, up), count)], dtype=np.intp)

    def _weights(self, route: int, up: Indices) -> Floats:
        """Weight of each replica that is up: its part of its target's share, else its group's weight."""
        groups = self._group[up]
        found: Floats = self._weight[groups]
        if self._shares.size:
            targets = self._target[groups]
            shares = self._shares[route] / np.maximum(np.bincount(targets, minlength=self._shares.shape[1]), 1)
            if shares[targets].any():
                found = np.maximum(shares[targets], LEAST_SHARE)
        return found


def _number_below(limits: Sequence[float], numbers: npt.NDArray[np.int32]) -> Indices:
    """Number of limits that are below each of some numbers: of few limits counted sooner than searched."""
    below = np.zeros(numbers.size, dtype=np.intp)
    for limit in limits:
        below += numbers > limit
    return below
