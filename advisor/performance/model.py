"""Times of many replicas: the physics, and what was learned from measurements on top of it.

TTFT and TPOT never fall with more users, TPOT never rises with more bandwidth, and a lone user's TTFT does not depend
on the length of its answer. The physics keeps all three; the learned factor must not break them. At fixed numbers of
users (nodes) the corrected log times are made monotone, and in between they are interpolated along the physics' own
curve at a stand-in bandwidth: both steps keep order. One user is the first node, which TTFT keeps as it is.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram
from advisor.performance import Deployment, Scenario
from advisor.performance.calibration import (
    FIRST,
    NODES,
    TARGETS,
    Calibration,
    Group,
    along,
    features,
    features_of,
    load_calibration,
    monotone,
    monotone_from,
    shipped,
    without_bandwidth,
)
from advisor.performance.deployments import Packed, pack
from advisor.performance.physics import Constants, Floats, Replicas, memory_batch
from advisor.performance.queueing import Learned, length_points
from advisor.performance.regimes import (
    Load,
    Timing,
    batch_decoding,
    closed_loop,
    loop_decoding,
    saturated,
    static_batch,
)
from advisor.records import dataclass, replace

CHUNK_CURVES = 4096
"""Curves worked on at a time: memory for their arrays is used over and over."""
LIGHT_USERS = 64.0
"""Up to so many users, a closed loop's first token takes what an arrival's does; beyond, users wait for each other."""


LogSeconds = Callable[[Scenario, Replicas, Constants, Load], Floats]
"""Logarithm of one time by the physics."""

_GROUP_OF = {Scenario.FIXED_CONCURRENCY: Group.LOOP, Scenario.FIXED_BATCH: Group.BATCH}
"""Residual of the scenarios that have an axis of users."""


def physics_timing(scenario: Scenario, r: Replicas, c: Constants, load: Load) -> Timing:
    """Seconds and throughput of each replica under its load, by the physics alone."""
    match scenario:
        case Scenario.FIXED_CONCURRENCY:
            return closed_loop(r, c, load)
        case Scenario.FIXED_BATCH | Scenario.SINGLE_STREAM:
            return static_batch(r, c, load)
        case Scenario.SATURATED:
            return saturated(r, c, load)
        case _:
            assert_never(scenario)


@dataclass(frozen=True, slots=True)
class MeasuredFactors:
    """Measured over predicted times of the machines that run today, 1 at most."""

    cell: str
    """Architecture and accelerator that were measured."""
    token: float
    """Factor of a step, and of what prompts add to it."""
    ttft: float
    """Factor of the time to first token."""

    def applied(self, learned: Learned, cells: npt.NDArray[np.str_]) -> Learned:
        """Learned factors, times these where it was measured."""
        token, ttft = (np.where(cells == self.cell, factor, 1.0) for factor in (self.token, self.ttft))
        return Learned(learned.log_token + np.log(token)[:, None], learned.ttft * ttft)


@dataclass(frozen=True, slots=True, eq=False)
class PerformanceModel:
    """Physics × learned factors."""

    calibration: Calibration
    measured: MeasuredFactors | None = None
    """Factors of a workload whose machines were measured."""

    def timing(self, scenario: Scenario, packed: Packed, load: Load) -> Timing:
        """Seconds and throughput of each replica under its load."""
        base = physics_timing(scenario, packed.replicas, packed.constants, load)
        match scenario:
            case Scenario.FIXED_CONCURRENCY:
                return self._loop(packed, load)
            case Scenario.FIXED_BATCH:
                return self._batch(packed, load, base)
            case Scenario.SINGLE_STREAM:
                return _scaled(base, self._factor(Group.STREAM, packed, load))
            case Scenario.SATURATED:
                return _scaled(base, self._factor(Group.SATURATED, packed, load))
            case _:
                assert_never(scenario)

    def planned(self, deployments: Sequence[Deployment], tokens: TokenHistogram) -> list[Deployment]:
        """The deployments, with the usual engine's speed where an estimate alone says that another one is faster.

        An engine counts with its own speed where this set-up was measured with it, or where it is the slower one for
        any number of users that run at a time.
        """
        reach = self.calibration.reach
        at = [
            index
            for index, each in enumerate(deployments)
            if each.usual is not None and reach.range_of(each, Scenario.FIXED_CONCURRENCY) is None
        ]
        planned = list(deployments)
        if at:
            usual = [deployments[index].as_usual for index in at]
            own_s, usual_s = (self._log_seconds(each, tokens) for each in ([deployments[index] for index in at], usual))
            is_faster = np.any(own_s < usual_s, axis=1)
            for index, other, faster in zip(at, usual, is_faster, strict=True):
                planned[index] = other if faster else deployments[index]
        return planned

    def _log_seconds(self, deployments: Sequence[Deployment], tokens: TokenHistogram) -> Floats:
        """Logarithms of times per token and to the first token by users, (n, times); 0 of more than run at a time."""
        packed = pack(deployments, self.calibration.constants)
        learned, wide = self.open_loop(packed, tokens), packed.column()
        lengths = (tokens.mean_input_tokens(), tokens.mean_output_tokens(), tokens.prefix_cache_hit_ratio)
        load = Load(NODES[None, :], *(np.full((1, 1), length) for length in lengths))
        token = _log_tpot(Scenario.FIXED_CONCURRENCY, wide.replicas, wide.constants, load) + learned.log_token
        first = _log_ttft(Scenario.FIXED_CONCURRENCY, wide.replicas, wide.constants, load)[:, NODES <= LIGHT_USERS]
        resident = length_points(tokens).resident_tokens
        most = np.minimum(packed.replicas.max_sequences, memory_batch(packed.replicas, np.float64(resident)))
        running = np.concatenate([[0.0], NODES[:-1]]) < most[:, None]
        return np.concatenate([np.where(running, token, 0.0), first + np.log(learned.ttft)[:, None]], axis=1)

    def open_loop(self, packed: Packed, tokens: TokenHistogram) -> Learned:
        """Learned factors of replicas that requests of these lengths reach at random: those of as many users."""
        shape = packed.origin.shape
        lengths = (tokens.mean_input_tokens(), tokens.mean_output_tokens(), tokens.prefix_cache_hit_ratio)
        load = Load(np.ones(shape), *(np.full(shape, length) for length in lengths))
        nodes = _log_factors(self.calibration, Group.LOOP, packed, load)
        targets = TARGETS[Group.LOOP]
        ttft = nodes[:, targets.index("ttft"), NODES <= LIGHT_USERS].mean(axis=1)
        learned = Learned(nodes[:, targets.index("tpot"), :], np.exp(ttft))
        return learned if self.measured is None else self.measured.applied(learned, packed.cells)

    def _loop(self, packed: Packed, load: Load) -> Timing:
        curves = _Curves.of(Scenario.FIXED_CONCURRENCY, self.calibration, packed, load)
        ttft, tpot = curves.ttft(), curves.tpot()
        users, out = np.maximum(load.concurrency, 1.0), np.maximum(load.output_tokens, 1.0)
        return Timing(ttft, tpot, users * out / (ttft + (out - 1) * tpot))

    def _batch(self, packed: Packed, load: Load, base: Timing) -> Timing:
        curves = _Curves.of(Scenario.FIXED_BATCH, self.calibration, packed, load)
        return Timing(curves.ttft(), curves.tpot(), base.output_tokens_per_second * np.exp(-curves.log_factor()))

    def _factor(self, group: Group, packed: Packed, load: Load) -> Floats:
        nodes = self.calibration.at_nodes(group, features(packed, load), packed.cells)
        factor: Floats = np.exp(nodes[:, 0, 0])
        return factor


def _scaled(base: Timing, factor: Floats) -> Timing:
    """Every time longer by a factor, but the first token's, which these loads say little of."""
    return Timing(base.ttft_s, base.tpot_s * factor, base.output_tokens_per_second / factor)


@dataclass(frozen=True, slots=True, eq=False)
class _Ladder:
    """One time of each curve at the nodes of the users axis, (curves, nodes)."""

    places: Floats
    """Log seconds of the physics at a stand-in bandwidth."""
    logs: Floats
    """Log seconds, corrected by what was learned and made to rise."""


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """Learned factors along the users axis: computed once for each deployment and pair of lengths."""

    scenario: Scenario
    packed: Packed
    """Of each row."""
    load: Load
    curve: npt.NDArray[np.intp]
    """Curve of each row."""
    nodes: Floats
    """Log factors of each curve, (curves, targets, nodes)."""
    first: _Ladder
    """Time to the first token."""
    token: _Ladder
    """Time per token."""

    @classmethod
    def of(cls, scenario: Scenario, calibration: Calibration, packed: Packed, load: Load) -> "_Curves":
        first, curve = _distinct(packed, load)
        chunks = np.split(first, range(CHUNK_CURVES, first.size, CHUNK_CURVES))
        chunk_ladders = [_ladders(scenario, calibration, packed.take(chunk), load.take(chunk)) for chunk in chunks]
        nodes, *ladders = (np.concatenate(parts) for parts in zip(*chunk_ladders, strict=True))
        return cls(scenario, packed, load, curve, nodes, _Ladder(*ladders[:2]), _Ladder(*ladders[2:]))

    def log_factor(self) -> Floats:
        """Log factor of the whole of each row, interpolated in the logarithm of its users."""
        nodes = self.nodes[:, TARGETS[_GROUP_OF[self.scenario]].index("whole"), :]
        at = np.interp(np.log(np.maximum(self.load.concurrency, 1.0)), np.log(NODES), np.arange(NODES.size))
        left = np.minimum(at.astype(np.intp), NODES.size - 2)
        share = at - left
        factor: Floats = nodes[self.curve, left] * (1 - share) + nodes[self.curve, left + 1] * share
        return factor

    def ttft(self) -> Floats:
        """Seconds to the first token of each row; see the module."""
        return self._along(self.first, _log_ttft)

    def tpot(self) -> Floats:
        """Seconds per token of each row; see the module."""
        return self._along(self.token, _log_tpot)

    def _along(self, ladder: _Ladder, log_seconds: LogSeconds) -> Floats:
        at = log_seconds(self.scenario, without_bandwidth(self.packed.replicas), self.packed.constants, self.load)
        seconds: Floats = np.exp(along(at, ladder.places[self.curve], ladder.logs[self.curve]))
        return seconds


def _log_factors(calibration: Calibration, group: Group, packed: Packed, load: Load) -> Floats:
    """Log factors of a group's targets at the nodes of the users axis, (n, targets, nodes)."""
    nodes = calibration.at_nodes(group, features(packed, load), packed.cells)
    lone = replace(load, concurrency=np.ones_like(load.output_tokens))
    first = TARGETS[group].index(FIRST)
    nodes[:, first, 0] = calibration.at_nodes(group, features_of(FIRST, packed, lone), packed.cells)[:, first, 0]
    return nodes


def _ladders(scenario: Scenario, calibration: Calibration, packed: Packed, load: Load) -> tuple[Floats, ...]:
    """Log factors of each entry at each node; places and log seconds of its first token, and of its time per token."""
    targets = TARGETS[_GROUP_OF[scenario]]
    nodes = _log_factors(calibration, _GROUP_OF[scenario], packed, load)
    wide = packed.column()
    ladder = Load(NODES[None, :], *(np.asarray(column)[:, None] for column in load.lengths()))

    def times(log_seconds: LogSeconds, target: str) -> tuple[Floats, Floats]:
        places = log_seconds(scenario, without_bandwidth(wide.replicas), wide.constants, ladder)
        return places, log_seconds(scenario, wide.replicas, wide.constants, ladder) + nodes[:, targets.index(target), :]

    first_places, first = times(_log_ttft, FIRST)
    places, token = times(_log_tpot, "tpot")
    return nodes, first_places, monotone_from(first), places, monotone(token)


def _log_tpot(scenario: Scenario, r: Replicas, c: Constants, load: Load) -> Floats:
    decoding = loop_decoding if scenario is Scenario.FIXED_CONCURRENCY else batch_decoding
    logs: Floats = np.log(decoding(r, c, load).tpot_s)
    return logs


def _log_ttft(scenario: Scenario, r: Replicas, c: Constants, load: Load) -> Floats:
    logs: Floats = np.log(physics_timing(scenario, r, c, load).ttft_s)
    return logs


def _distinct(packed: Packed, load: Load) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First row of each deployment and pair of lengths, and which of them each row is."""
    keys = (packed.origin, *(np.broadcast_to(column, packed.origin.shape) for column in load.lengths()))
    order = np.lexsort(keys)
    fresh = np.ones(order.size, dtype=np.bool_)
    fresh[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    curve = np.empty(order.size, dtype=np.intp)
    curve[order] = np.cumsum(fresh) - 1
    return order[fresh], curve


def load_model(directory: Path | None) -> PerformanceModel:
    """The model with the calibration in a directory, else the catalog's. Raises InputError if it cannot be read."""
    return PerformanceModel(load_calibration(directory)) if directory else shipped_model()


def shipped_model() -> PerformanceModel:
    """The model with the catalog's calibration."""
    return PerformanceModel(shipped())
