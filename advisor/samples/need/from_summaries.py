"""Needs and verdicts from summaries, where a store answers questions and gives no rows."""

from collections.abc import Iterator, Mapping, Sequence

from advisor.samples.metrics import ENGINE_METRICS
from advisor.samples.need.assess import AcceleratorNeed, need_from
from advisor.samples.need.bounds import Bounds
from advisor.samples.need.engines import KV, WAITING, KvUse
from advisor.samples.need.evidence import Evidence
from advisor.samples.need.limits import COVERAGE, ENGINE_HOLDS, FULL_TIME, KV_FULL, QUEUE
from advisor.samples.need.memory import MemoryNeed, need_of
from advisor.samples.query.values import Accelerator, Summary

_ENGINE = frozenset(metric.name for metric in ENGINE_METRICS)
METRICS_NEEDED = (
    "memory_used_bytes", "memory_total_bytes", "busy_ratio", "sm_active_ratio", "tensor_active_ratio",
    "dram_active_ratio", "kv_cache_used_ratio", "requests_running", "requests_waiting",
)  # fmt: skip
Metrics = Mapping[str, Summary]


def assess_summaries(summaries: Sequence[Summary]) -> Iterator[AcceleratorNeed]:
    """Each accelerator of some summaries, with the engines of its host.

    What gaps leave open cannot be told from a quantile: from nine tenths of coverage on, the rest is taken to be like
    what was observed. Whether KV cache and queue were high at the same time cannot be told either: where both were
    for long enough, memory-bound is left open.
    """
    accelerators: dict[Accelerator, dict[str, Summary]] = {}
    engines: dict[Accelerator, dict[str, Summary]] = {}
    for summary in summaries:
        side = engines if summary.metric in _ENGINE else accelerators
        side.setdefault(summary.accelerator, {})[summary.metric] = summary
    divided = {
        (accelerator.host, accelerator.index) for accelerator in accelerators if accelerator.mig_index is not None
    }
    for who in sorted(accelerators, key=lambda accelerator: accelerator.place):
        is_divided = who.mig_index is None and (who.host, who.index) in divided
        held = accelerators[who].get("memory_used_bytes")
        has_none = is_divided or (held is not None and held.max < ENGINE_HOLDS.value)
        on_it = [] if has_none else [found for engine, found in engines.items() if engine.host == who.host]
        yield _assess_one(who, accelerators[who], on_it)


def _assess_one(who: Accelerator, known: Metrics, engines: Sequence[Metrics]) -> AcceleratorNeed:
    evidence = Evidence(
        busy=_p95(known, "busy_ratio"),
        sm_active=_p95(known, "sm_active_ratio"),
        tensor_active=_p95(known, "tensor_active_ratio"),
        dram_active=_p95(known, "dram_active_ratio"),
        running=None,
        throttled={},
        kv_full_and_queue=tuple(_full_and_queue(engine) for engine in engines if KV in engine),
    )
    serving = [engine for engine in engines if KV in engine]
    return need_from(
        who,
        evidence,
        _memory(known, serving),
        max((engine[WAITING].p95 for engine in engines if WAITING in engine), default=None),
        len(engines),
    )


def _p95(known: Metrics, metric: str) -> Bounds | None:
    summary = known.get(metric)
    return None if summary is None else Bounds(summary.p95, summary.p95, summary.p95, summary.coverage_ratio, metric)


def _full_and_queue(engine: Metrics) -> Bounds:
    """Share of time with a full KV cache and a queue: none, or anything, as far as two quantiles can say."""
    kv, waiting = engine[KV], engine.get(WAITING)
    coverage = min(kv.coverage_ratio, waiting.coverage_ratio if waiting else 1.0)
    is_full = kv.max >= KV_FULL.value
    is_queued = waiting is None or waiting.p95 >= QUEUE.value
    if not (is_full and is_queued):
        return Bounds(0.0, 0.0, 0.0, coverage, KV)
    return Bounds(FULL_TIME.value if kv.p95 >= KV_FULL.value else 0.0, 0.0, 1.0, coverage, KV)


def _memory(known: Metrics, engines: Sequence[Metrics]) -> MemoryNeed | None:
    held, total = known.get("memory_used_bytes"), known.get("memory_total_bytes")
    if held is None:
        return None
    kv = None
    if engines:
        uses = [engine[KV] for engine in engines]
        is_exceeded = any(_full_and_queue(engine).value == FULL_TIME.value for engine in engines)
        coverage = min(use.coverage_ratio for use in uses)
        lowest = min(use.p95 for use in uses) if coverage >= COVERAGE.value else 0.0
        highest = 1.0 if is_exceeded else max(min(use.max, 1.0) for use in uses)
        kv = KvUse(lowest, max(use.p95 for use in uses), highest, coverage, is_exceeded)
    return need_of(held.max, total.max if total else None, kv, None)
