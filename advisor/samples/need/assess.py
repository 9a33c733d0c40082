"""The need and the verdict of every accelerator of some hosts, from rows or from summaries."""

from collections.abc import Iterator, Mapping, Sequence

from advisor.records import dataclass, replace
from advisor.samples.metrics import ENGINE_METRICS
from advisor.samples.need.engines import KV, WAITING, Bounds, Engines, KvUse
from advisor.samples.need.limits import COVERAGE, ENGINE_HOLDS, FULL_TIME, KV_FULL, QUEUE
from advisor.samples.need.memory import Fixed, MemoryNeed, join, memory_need, need_of
from advisor.samples.need.verdict import Evidence, Verdict, advise, gather, judge
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline
from advisor.samples.query.values import Accelerator, Summary

_ENGINE = frozenset(metric.name for metric in ENGINE_METRICS)
METRICS_NEEDED = (
    "memory_used_bytes", "memory_total_bytes", "busy_ratio", "sm_active_ratio", "tensor_active_ratio",
    "dram_active_ratio", "kv_cache_used_ratio", "requests_running", "requests_waiting",
)  # fmt: skip
Metrics = Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class AcceleratorNeed:
    """Needs of one accelerator, and what limits it."""

    who: Accelerator
    verdict: Verdict
    memory: MemoryNeed | None
    """None: it never said how much memory it held."""
    evidence: Evidence
    queue_p95: float | None
    """Requests waiting; the longest queue of the engines that may be on it."""
    engines: int
    """Engines that may be on it."""
    advice: str
    """One plain sentence."""

    def ratio(self, name: str) -> float | None:
        """The p95 of ``busy``, ``sm_active``, ``tensor_active`` or ``dram_active``, over what was observed."""
        bounds = getattr(self.evidence, name)
        return None if bounds is None else bounds.value

    @property
    def used_p95(self) -> float | None:
        """The p95 of the share of time in which it worked: busy, else SM active; None: unknown."""
        activity = self.evidence.busy or self.evidence.sm_active
        return None if activity is None else activity.value

    def besides(self, fixed: Fixed) -> "AcceleratorNeed":
        """The same where it is known what engines hold besides their KV pool."""
        if self.memory is None:
            return self
        memory = need_of(self.memory.held_bytes, self.memory.total_bytes, self.memory.kv, fixed)
        return replace(self, memory=memory, advice=advise(self.verdict, memory))


def assess(
    accelerators: Sequence[Counted], engines: Sequence[Timeline], fixed: Fixed | None = None
) -> Iterator[AcceleratorNeed]:  # fmt: skip
    """Each accelerator with the engines of its host.

    Args:
        accelerators: of any hosts, in the order of host, index and MIG instance.
        engines: of the same hosts.
        fixed: what every engine holds besides its KV pool on each accelerator, where it is known.
    """
    for host in dict.fromkeys(accelerator.who.host for accelerator in accelerators):
        here = [accelerator for accelerator in accelerators if accelerator.who.host == host]
        serving = sorted(
            (engine for engine in engines if engine.who.host == host),
            key=lambda engine: (engine.who.uuid or "", engine.who.index),
        )
        for position, on_it in join(here, serving).items():
            yield _assess_one(here[position], on_it, fixed)


def _assess_one(accelerator: Counted, engines: Engines, fixed: Fixed | None) -> AcceleratorNeed:
    memory = memory_need(accelerator, engines, fixed)
    return need_from(accelerator.who, gather(accelerator, engines), memory, engines.queue_p95, len(engines))


def need_from(
    who: Accelerator, evidence: Evidence, memory: MemoryNeed | None, queue_p95: float | None, engines: int
) -> AcceleratorNeed:
    """The need of an accelerator, judged by its evidence."""
    verdict = judge(evidence)
    return AcceleratorNeed(who, verdict, memory, evidence, queue_p95, engines, advise(verdict, memory))


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
        yield _assess_summaries(who, accelerators[who], on_it)


def _assess_summaries(who: Accelerator, known: Metrics, engines: Sequence[Metrics]) -> AcceleratorNeed:
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
