"""The memory that is needed, behind what the engines that may be on an accelerator took when they started."""

from collections.abc import Mapping, Sequence

from advisor.records import dataclass
from advisor.samples.need.engines import Engines, KvUse
from advisor.samples.need.limits import COVERAGE, ENGINE_HOLDS
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Fixed:
    """Memory of an engine beyond its KV pool on one accelerator: weights, workspace, runtime."""

    low_bytes: float
    high_bytes: float


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Memory of one accelerator; bytes."""

    held_bytes: float
    """The most it held."""
    total_bytes: float | None
    need_bytes: float | None
    """For the most KV cache that was in use; None: no engine says, or what it holds besides is not known."""
    low_bytes: float
    """The least the need can be: KV use at p95, and as little besides as is possible."""
    high_bytes: float
    """The most the need can be, but for what queued (``is_exceeded``)."""
    kv: KvUse | None
    """None: no engine's metrics are known, and what is held is an upper bound and no need."""


def memory_need(accelerator: Counted, engines: Sequence[Timeline], fixed: Fixed | None = None) -> MemoryNeed | None:
    """The need of one accelerator; None where it never said how much memory it held.

    An engine preallocates: held = fixed + pool, with fixed = weights, workspace and runtime, and pool = the KV cache.
    With a share u of the pool in use the need is::

        need(u, fixed) = fixed + u × (held - fixed)

    which grows with u and with fixed. The need is need(max u, the middle of fixed), from need(p95 u, least fixed) to
    need(max u, greatest fixed). Without *fixed* it lies anywhere from 0 to held, so that only the interval
    [p95 u × held, held] is known. Below nine tenths of coverage the greatest use is unknown, and the interval ends at
    what is held. It never exceeds what is held: a pool that was full while requests queued needs at least all of it.

    Args:
        accelerator: its ``memory_used_bytes``.
        engines: those that may run on it; an interval spans all of them.
        fixed: held besides the pool, on this accelerator.
    """
    held = _greatest(accelerator, "memory_used_bytes")
    if held is None:
        return None
    total = _greatest(accelerator, "memory_total_bytes")
    return need_of(held, total, Engines.of(engines).kv, fixed)


def need_of(held: float, total: float | None, kv: KvUse | None, fixed: Fixed | None) -> MemoryNeed:
    """:func:`memory_need` of the most that was held, in bytes, and the use of the KV pool."""
    if kv is None:
        return MemoryNeed(held, total, None, 0.0, held, None)
    least, most = (0.0, held) if fixed is None else (min(fixed.low_bytes, held), min(fixed.high_bytes, held))
    is_known = kv.coverage_ratio >= COVERAGE.value
    middle = (least + most) / 2
    return MemoryNeed(
        held_bytes=held,
        total_bytes=total,
        need_bytes=middle + kv.max * (held - middle) if fixed is not None and is_known else None,
        low_bytes=least + kv.p95_low * (held - least),
        high_bytes=most + kv.max * (held - most) if is_known else held,
        kv=kv,
    )


def holds_an_engine(accelerator: Counted) -> bool:
    """Whether so much memory was held that an engine may be on it; so it is where nothing is known of its memory."""
    held = _greatest(accelerator, "memory_used_bytes")
    return held is None or held >= ENGINE_HOLDS.value


def _greatest(accelerator: Counted, metric: str) -> float | None:
    distribution = accelerator.gauges.get(metric)
    return None if distribution is None else distribution.max


def join(accelerators: Sequence[Counted], engines: Sequence[Timeline]) -> Mapping[int, Engines]:
    """Engines that may run on each accelerator of one host, by its position.

    An engine's metrics do not name its accelerators, so the samples decide as far as they can:

    - an accelerator that never held a gibibyte, and one that MIG divides, has no engine;
    - a lone engine runs on all others (tensor or pipeline parallel);
    - data-parallel ranks of one endpoint take equal shares in the order of their numbers, as engines place them;
    - with several engines and no such order each may run on any: what is said then spans all of them.

    Args:
        accelerators: of one host, in the order of index and MIG instance.
        engines: of the same host, in the order of endpoint and rank.
    """
    divided = {accelerator.who.index for accelerator in accelerators if accelerator.who.mig_index is not None}
    able = [
        position
        for position, counted in enumerate(accelerators)
        if holds_an_engine(counted) and not (counted.who.mig_index is None and counted.who.index in divided)
    ]
    by_accelerator = dict.fromkeys(range(len(accelerators)), Engines())
    for position, on_it in zip(able, _in_order(len(able), engines), strict=True):
        by_accelerator[position] = on_it
    return by_accelerator


def _in_order(accelerators: int, engines: Sequence[Timeline]) -> list[Engines]:
    """Engines of each of so many accelerators."""
    ranks = [engine.who.index for engine in engines]
    is_one_endpoint = len({engine.who.uuid for engine in engines}) == 1
    if len(engines) > 1 and is_one_endpoint and ranks == list(range(len(ranks))) and accelerators % len(ranks) == 0:
        alone = [Engines([engine]) for engine in engines]
        return [alone[place * len(ranks) // accelerators] for place in range(accelerators)]
    return [Engines(engines)] * accelerators
