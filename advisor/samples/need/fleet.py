"""Need of accelerators, host by host, of a store of samples as a whole, and the rows of some of them for a chart."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from advisor.records import dataclass, replace
from advisor.samples.metrics import ENGINE_METRICS, Scope
from advisor.samples.need.limits import COVERAGE, ENGINE_HOLDS, FULL_TIME, KV_FULL, QUEUE, WORKING
from advisor.samples.need.verdict import (
    KV,
    WAITING,
    Bounds,
    Evidence,
    Fixed,
    KvUse,
    MemoryNeed,
    Verdict,
    advise,
    gather,
    join,
    judge,
    memory_need,
    need_of,
    words,
)
from advisor.samples.query import Accelerator, Summary, Window
from advisor.samples.query.counts import Counted, Timeline, timeline
from advisor.samples.query.embedded import NEED_COLUMNS, Survey, survey
from advisor.samples.store.reading import HostReader, Progress, Store
from advisor.units import ROUNDING

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
    advice: str

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
    """Each accelerator, in the order of host, index and MIG instance, with the engines of its host.

    *fixed*: what every engine holds besides its KV pool on each accelerator, where it is known.
    """
    for host in dict.fromkeys(accelerator.who.host for accelerator in accelerators):
        here = [accelerator for accelerator in accelerators if accelerator.who.host == host]
        serving = sorted(
            (engine for engine in engines if engine.who.host == host),
            key=lambda engine: (engine.who.uuid or "", engine.who.index),
        )
        for position, on_it in join(here, serving).items():
            accelerator = here[position]
            memory = memory_need(accelerator, on_it, fixed)
            yield _need_from(accelerator.who, gather(accelerator, on_it), memory, on_it.queue_p95, len(on_it))


def _need_from(
    who: Accelerator, evidence: Evidence, memory: MemoryNeed | None, queue_p95: float | None, engines: int
) -> AcceleratorNeed:
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
    divided = {(who.host, who.index) for who in accelerators if who.mig_index is not None}
    for who in sorted(accelerators, key=lambda who: who.place):
        is_divided = who.mig_index is None and (who.host, who.index) in divided
        held = accelerators[who].get("memory_used_bytes")
        has_none = is_divided or (held is not None and held.max < ENGINE_HOLDS.value)
        on_it = [] if has_none else [metrics for engine, metrics in engines.items() if engine.host == who.host]
        yield _assess_summaries(who, accelerators[who], on_it)


def _assess_summaries(who: Accelerator, metrics: Metrics, engines: Sequence[Metrics]) -> AcceleratorNeed:
    serving = [engine for engine in engines if KV in engine]
    evidence = Evidence(
        busy=_p95(metrics, "busy_ratio"),
        sm_active=_p95(metrics, "sm_active_ratio"),
        tensor_active=_p95(metrics, "tensor_active_ratio"),
        dram_active=_p95(metrics, "dram_active_ratio"),
        running=None,
        throttled={},
        kv_full_and_queue=tuple(_full_and_queue(engine) for engine in serving),
    )
    queue_p95 = max((engine[WAITING].p95 for engine in engines if WAITING in engine), default=None)
    return _need_from(who, evidence, _memory(metrics, serving), queue_p95, len(engines))


def _p95(metrics: Metrics, metric: str) -> Bounds | None:
    summary = metrics.get(metric)
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


def _memory(metrics: Metrics, engines: Sequence[Metrics]) -> MemoryNeed | None:
    held, total = metrics.get("memory_used_bytes"), metrics.get("memory_total_bytes")
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


FEWEST = 2
"""Machines that stay where several run, so that any one may fail."""


@dataclass(frozen=True, slots=True)
class Oversized:
    """Accelerators of one product, in hosts that have as many each, that are more than their load needs."""

    product: str
    hosts: Sequence[str]
    accelerators: int
    busy_p95: float
    """Mean over them of the use in the busiest twentieth of the time."""
    enough: int
    """Accelerators that would do."""


def enough_accelerators(uses: Iterable[float], hosts: int) -> int:
    """Accelerators that carry some uses, each busy so much that nothing is to spare: ⌈sum of uses / 0.8⌉.

    A use is the p95 of the time in which an accelerator worked, 0..1, of several their sum. Of several hosts two keep
    one, so that either may fail.
    """
    return max(1, min(hosts, FEWEST), math.ceil(sum(uses) / WORKING.value - ROUNDING))


def oversized(needs: Sequence[AcceleratorNeed]) -> list[Oversized]:
    """Products of which fewer accelerators would do, hosts of one size taken together; idle ones are spare too.

    Those whose use is not known, and those that MIG divides, are in none.
    """
    whole = [(need, use) for need in needs if need.who.mig_index is None and (use := need.used_p95) is not None]
    sizes = Counter(need.who.host for need, _ in whole)

    def size_of(entry: tuple[AcceleratorNeed, float]) -> tuple[str, int]:
        who = entry[0].who
        return who.product or "", sizes[who.host]

    answers = []
    for (product, _), group in groupby(sorted(whole, key=size_of), size_of):
        entries = list(group)
        hosts = list(dict.fromkeys(need.who.host for need, _ in entries))
        uses = [min(use, 1.0) for _, use in entries]
        enough = enough_accelerators(uses, len(hosts))
        if enough < len(uses):
            answers.append(Oversized(product, hosts, len(uses), sum(uses) / len(uses), enough))
    return answers


SIGNALS = ("busy_ratio", "sm_active_ratio")
"""What shows how much of an accelerator was used over time: the first of them that it has."""
_CHART_COLUMNS = tuple(name for signal in SIGNALS for name in (signal, f"{signal}_max"))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows of one accelerator for a chart."""

    timeline: Timeline
    engines: Sequence[Timeline]
    """Those that may be on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """All accelerators of a store over a window, in order of host, index and MIG instance."""

    store: Store
    window: Window
    accelerators: Sequence[Counted]
    needs: Sequence[AcceleratorNeed]
    engines: int

    @classmethod
    def of(cls, store: Store, window: Window, progress: Progress | None = None) -> "Fleet":
        """Read it, in memory that does not grow with the rows."""
        needs: list[tuple[Counted, AcceleratorNeed]] = []
        engines = 0
        for pairs, watched in store.answers(window, _of_hosts, progress=progress):
            needs += pairs
            engines += watched
        needs.sort(key=lambda pair: pair[0].who.place)
        return cls(store, window, [counted for counted, _ in needs], [need for _, need in needs], engines)

    def drawn(self, chosen: Sequence[Counted]) -> Iterator[Drawn]:
        """Rows of some accelerators, in their order."""
        hosts = {counted.who.host for counted in chosen}
        ask = partial(_drawn_of_hosts, chosen={counted.who for counted in chosen})
        answers = self.store.answers(self.window, ask, among=hosts)
        rows = {who: drawn for part in answers for who, drawn in part.items()}
        return (rows[counted.who] for counted in chosen)


def needs_of(surveyed: Survey) -> list[tuple[Counted, AcceleratorNeed]]:
    """Accelerators of a survey, and what each of them needs; its engines have to be read with NEED_COLUMNS."""
    if not surveyed.accelerators:
        return []
    engines = [engine.on(surveyed.grids[engine.key.host]) for engine in surveyed.engines]
    return list(zip(surveyed.accelerators, assess(surveyed.accelerators, engines), strict=True))


def notes_on(needs: Sequence[AcceleratorNeed]) -> tuple[str, ...]:
    """Verdicts and KV use in sentences for the notes of a plan; none without accelerators."""
    if not needs:
        return ()
    counts = Counter(words(need.verdict.code) for need in needs)
    verdicts = ", ".join(f"{count} {code}" for code, count in counts.most_common())
    missing = sorted({signal for need in needs for signal in need.verdict.missing if need.verdict.code == "unknown"})
    unknown = f" (not known: {', '.join(missing)})" if missing else ""
    limited = f"what limits the accelerators now: {verdicts}{unknown}"
    uses = [need.memory.kv for need in needs if need.memory is not None and need.memory.kv is not None]
    if not uses:
        return (limited,)
    is_exceeded, highest = any(use.is_exceeded for use in uses), max(use.max for use in uses)
    most = "all of it while requests queued" if is_exceeded else f"{highest:.0%} at most"
    return limited, f"KV cache in use now: {max(use.p95 for use in uses):.0%} at p95, {most}"


def _of_hosts(hosts: HostReader) -> tuple[list[tuple[Counted, AcceleratorNeed]], int]:
    surveyed = survey(hosts, NEED_COLUMNS)
    return needs_of(surveyed), len(surveyed.engines)


def _drawn_of_hosts(hosts: HostReader, chosen: set[Accelerator]) -> Mapping[Accelerator, Drawn]:
    surveyed = survey(hosts, (KV,))
    engines = [engine.on(surveyed.grids[engine.key.host], (KV,)) for engine in surveyed.engines]
    rows = pa.concat_tables(hosts.rows_by_day(Scope.ACCELERATOR, _CHART_COLUMNS)).unify_dictionaries().combine_chunks()
    drawn = {}
    for host in surveyed.grids:
        here = [accelerator for accelerator in surveyed.accelerators if accelerator.who.host == host]
        joined = join(here, [engine for engine in engines if engine.who.host == host])
        for position, counted in enumerate(here):
            if counted.who in chosen:
                drawn[counted.who] = Drawn(_timeline_of(counted, rows), joined[position])
    return drawn


def _timeline_of(counted: Counted, rows: pa.Table) -> Timeline:
    who = counted.who
    if who.uuid is not None:
        mine = pc.equal(rows["accelerator_uuid"], who.uuid)
    else:
        mine = pc.and_(pc.equal(rows["accelerator_index"], who.index), pc.equal(rows["host"], who.host))
        mig = rows["mig_index"]
        mine = pc.and_(mine, pc.is_null(mig) if who.mig_index is None else pc.equal(mig, who.mig_index))
    table = rows.filter(mine)
    columns = {name: table[name].to_numpy() for name in _CHART_COLUMNS}
    observed = {name: values for name, values in columns.items() if not np.isnan(values).all()}
    return timeline(who, counted.grid, table["timestamp"].cast(pa.int64()).to_numpy(), observed)
