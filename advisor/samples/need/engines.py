"""Metrics of the engines that may be on an accelerator, the same for all of these, and bounds that gaps leave open."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from advisor.records import dataclass
from advisor.samples.growth import Floats, steps_by_row
from advisor.samples.need.limits import COVERAGE, FULL_TIME, KV_FULL, QUEUE, Limit
from advisor.samples.query.counts import Timeline

Truth = bool | None
"""None: the samples do not say."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """One number about a span of time."""

    value: float | None
    """Of what was observed; None: nothing was."""
    low: float
    """The least it can be, whatever happened in the gaps."""
    high: float
    """The greatest it can be."""
    coverage_ratio: float
    """Share of the rows that are known."""
    basis: str
    """Signal that it was computed from."""

    def observed_alone(self) -> "Bounds":
        """Bounds as if what was not observed had been like the rest."""
        return self if self.value is None else Bounds(self.value, self.value, self.value, 1.0, self.basis)


def kv_p95_bounds(values: Floats) -> Bounds:
    """95th percentile of the share of the KV cache in use, of which some rows are unknown (NaN).

    ``low`` and ``high`` are the quantiles with every unknown row at 0 and at 1; one more unknown row can only move them
    apart. Interpolated linearly (type 7 of Hyndman and Fan).
    """
    observed = values[~np.isnan(values)]
    if not values.size or not observed.size:
        return Bounds(None, 0.0, 1.0, 0.0, KV)
    low, high = (float(np.quantile(np.where(np.isnan(values), fill, values), 0.95)) for fill in (0.0, 1.0))
    return Bounds(float(np.quantile(observed, 0.95)), low, high, observed.size / values.size, KV)


def share_bounds(is_true: Floats, basis: str) -> Bounds:
    """Share of rows in which something holds: 1 where it does, 0 where not, NaN where unknown."""
    rows = is_true.size
    observed = is_true[~np.isnan(is_true)]
    if not observed.size:
        return Bounds(None, 0.0, 1.0, 0.0, basis)
    holds = float(observed.sum())
    return Bounds(
        holds / observed.size, holds / rows, (holds + rows - observed.size) / rows, observed.size / rows, basis
    )


def at_least(bounds: Bounds, limit: Limit) -> Truth:
    """Whether a number reaches a limit; None where gaps leave it open or too little is known."""
    if bounds.coverage_ratio < COVERAGE.value:
        return None
    if bounds.low >= limit.value:
        return True
    return False if bounds.high < limit.value else None


def negation(truth: Truth) -> Truth:
    """Not."""
    return None if truth is None else not truth


def both(first: Truth, second: Truth) -> Truth:
    """Conjunction: false when either is false, whatever the other is."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


KV = "kv_cache_used_ratio"
WAITING = "requests_waiting"
RUNNING = "requests_running"


@dataclass(frozen=True, slots=True)
class KvUse:
    """Use of the KV pool, as a share of it."""

    p95_low: float
    """The least of the engines that may be on the accelerator, with gaps taken as unused."""
    p95: float
    """The greatest of them, over what was observed."""
    max: float
    """The same: the highest reading; 1 where it was full while requests queued."""
    coverage_ratio: float
    """The least of them."""
    is_exceeded: bool
    """It was full while requests queued: more would have been used."""


class Engines(tuple[Timeline, ...]):  # noqa: SLOT001 - what is worked out once is kept in its __dict__
    """Engines of a host, with what they say worked out once."""

    @classmethod
    def of(cls, engines: Sequence[Timeline]) -> "Engines":
        """The engines themselves where they are such already."""
        return engines if isinstance(engines, Engines) else cls(engines)

    @cached_property
    def full_and_queue(self) -> tuple[Bounds, ...]:
        """Share of rows in which the KV cache was full while requests queued, of each engine that tells."""
        return tuple(share_bounds(kv_full_and_queue(engine), KV) for engine in self if _tells_kv_use(engine))

    @cached_property
    def running(self) -> Bounds | None:
        """Share of rows in which any of the engines had a request."""
        if not any(engine.knows(RUNNING) for engine in self):
            return None
        ran = np.array([_indicator(engine.greatest(RUNNING), 1.0) for engine in self])
        unknown = np.isnan(ran).any(axis=0) & ~(ran == 1).any(axis=0)
        return share_bounds(np.where(unknown, np.nan, (ran == 1).any(axis=0).astype(np.float64)), RUNNING)

    @cached_property
    def kv(self) -> KvUse | None:
        """Use of the KV pool over the engines; None where none of them says."""
        able = [engine for engine in self if _tells_kv_use(engine)]
        if not any(engine.knows(KV) for engine in able):
            return None
        p95s = [kv_p95_bounds(np.clip(engine.mean(KV), 0.0, 1.0)) for engine in able]
        is_exceeded = any(time.value is not None and time.value >= FULL_TIME.value for time in self.full_and_queue)
        highest = max(min(float(np.nanmax(engine.greatest(KV))), 1.0) for engine in able if engine.knows(KV))
        return KvUse(
            p95_low=min(bounds.low for bounds in p95s),
            p95=max(bounds.value for bounds in p95s if bounds.value is not None),
            max=1.0 if is_exceeded else highest,
            coverage_ratio=min(bounds.coverage_ratio for bounds in p95s),
            is_exceeded=is_exceeded,
        )

    @cached_property
    def queue_p95(self) -> float | None:
        """Requests waiting; the longest queue of them."""
        observed = [waiting[~np.isnan(waiting)] for engine in self for waiting in (engine.mean(WAITING),)]
        return max((float(np.quantile(waiting, 0.95)) for waiting in observed if waiting.size), default=None)


def kv_full_and_queue(engine: Timeline) -> Floats:
    """1 in rows in which the KV cache was full while requests queued or were put back, 0 in others, NaN if unknown.

    Full: its highest reading reaches :data:`~advisor.samples.need.limits.KV_FULL`. Shape ``(rows,)``.
    """
    full = _indicator(engine.greatest(KV), KV_FULL.value)
    queue = _indicator(engine.mean(WAITING), QUEUE.value)
    put_back = _indicator(steps_by_row(engine.mean("preemptions")), 1.0)
    if not engine.knows("preemptions"):
        put_back = np.zeros_like(queue)
    pressed = np.where((queue == 1) | (put_back == 1), 1.0, queue + put_back)
    return np.where((full == 0) | (pressed == 0), 0.0, full * pressed)


def _tells_kv_use(engine: Timeline) -> bool:
    """Whether the engine publishes its KV use; held to do so while nothing at all is known of it."""
    return engine.knows(KV) or not any(engine.knows(metric) for metric in engine.means)


def _indicator(values: Floats, limit: float) -> Floats:
    """1 from the limit on, 0 below, NaN where unknown."""
    return np.where(np.isnan(values), np.nan, (values >= limit).astype(np.float64))
