"""Verdict on what limits an accelerator, and its words, with the numbers and thresholds that it was judged by.

Each question is answered yes, no or "the samples do not say", over everything that can have happened in the gaps. The
questions are asked in order; the first yes is the verdict. Where a signal is measured and gaps leave its question
open, the verdict is unknown, so that a gap can turn a verdict into unknown and never into another one. A signal that
was never measured leaves its question open and the others are asked.

The memory that is needed, behind what the engines that may be on an accelerator took when they started.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from advisor.records import dataclass, field, replace
from advisor.samples.growth import Floats, steps_by_row
from advisor.samples.need import limits
from advisor.samples.need.limits import COVERAGE, ENGINE_HOLDS, FULL_TIME, KV_FULL, QUEUE, Code, Limit
from advisor.samples.query.counts import Counted, Grid, Growth, Timeline
from advisor.units import bytes_to_gib

Truth = bool | None
"""None: the samples do not say."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """One number about a span of time."""

    value: float | None
    """Figure over the observed rows; None: there are none."""
    low: float
    """Lowest possible figure, whatever happened in the gaps."""
    high: float
    """Highest possible figure."""
    coverage_ratio: float
    """Share of rows with a reading."""
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
    """Negation; None stays open."""
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
    """Lowest p95 of the engines that may be on the accelerator, with gaps taken as unused."""
    p95: float
    """Highest p95 of these engines over the observed rows."""
    max: float
    """Highest reading of these engines; 1 where the pool was full while requests queued."""
    coverage_ratio: float
    """Lowest coverage of these engines."""
    is_exceeded: bool
    """The pool was full while requests queued: more would have been used."""


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
    what is held. It never exceeds what is held: a pool that was full while requests queued needs at least all of it. It
    spans all engines that may run on the accelerator.
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

    *accelerators* are in the order of index and MIG instance, *engines* in that of endpoint and rank.
    """
    divided = {accelerator.who.index for accelerator in accelerators if accelerator.who.mig_index is not None}
    able = []
    for position, counted in enumerate(accelerators):
        held = _greatest(counted, "memory_used_bytes")
        is_divided = counted.who.mig_index is None and counted.who.index in divided
        if not is_divided and (held is None or held >= ENGINE_HOLDS.value):
            able.append(position)
    ranks = [engine.who.index for engine in engines]
    is_one_endpoint = len({engine.who.uuid for engine in engines}) == 1
    each_able = [Engines(engines)] * len(able)
    if len(ranks) > 1 and is_one_endpoint and ranks == list(range(len(ranks))) and len(able) % len(ranks) == 0:
        alone = [Engines([engine]) for engine in engines]
        each_able = [alone[place * len(ranks) // len(able)] for place in range(len(able))]
    return dict.fromkeys(range(len(accelerators)), Engines()) | dict(zip(able, each_able, strict=True))


THROTTLES = ("power_throttled", "thermal_throttled", "hardware_throttled")
RATES = ("nvlink_sent_bytes", "nvlink_received_bytes", "pcie_sent_bytes", "pcie_received_bytes")
Compared = tuple[Limit, Bounds]
_SPARE_KV = 0.5
"""So much of the KV cache has to stay unused for a sentence about it."""
_NAMED = 4
_WHAT_TO_DO = {
    Code.IDLE: "it is idle: what it serves would fit elsewhere, or on nothing",
    Code.MEMORY_BOUND: "requests queue for KV cache: it needs more memory, or fewer tokens at a time",
    Code.THROTTLED: "its clocks are lowered for want of power or cooling: fix that before it is sized",
    Code.MIXED: "tensor cores and memory bandwidth are both used up: it needs more accelerators, or faster ones",
    Code.COMPUTE_BOUND: "tensor cores are used up: it needs more FLOP/s, not more memory",
    Code.BANDWIDTH_BOUND: "memory bandwidth is used up, tensor cores are not: more bandwidth helps, more FLOP/s do not",
    Code.BUSY_NOT_SATURATED: "it is always busy with most of its multiprocessors idle: larger batches would do more",
    Code.WITHIN_LIMITS: "nothing is at its limit: it has room for more load",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence about one accelerator; ratios are 0..1. A number that nothing was measured for is None."""

    busy: Bounds | None
    """p95 of the share of time in which a kernel ran."""
    sm_active: Bounds | None
    """p95."""
    tensor_active: Bounds | None
    """p95."""
    dram_active: Bounds | None
    """p95."""
    running: Bounds | None
    """Share of rows in which a request ran, on any engine that may be on it."""
    throttled: Mapping[str, Bounds]
    """Share of time with lowered clocks, by cause."""
    kv_full_and_queue: tuple[Bounds, ...]
    """Share of rows in which the KV cache was full while requests queued, one for each engine that may be on it."""
    bytes_per_second: Mapping[str, float] = field(default_factory=dict)
    """Mean rates over NVLink and PCIe, where counted."""

    @property
    def activity(self) -> Bounds | None:
        """The best signal of whether it worked at all: busy, else SM active, else whether requests ran."""
        return self.busy or self.sm_active or self.running

    def observed_alone(self) -> "Evidence":
        """Evidence as if what was not observed had been like the rest."""
        names = ("busy", "sm_active", "tensor_active", "dram_active", "running")
        measured = {name: bounds for name in names if (bounds := getattr(self, name)) is not None}
        return replace(
            self,
            **{name: bounds.observed_alone() for name, bounds in measured.items()},
            throttled={cause: bounds.observed_alone() for cause, bounds in self.throttled.items()},
            kv_full_and_queue=tuple(bounds.observed_alone() for bounds in self.kv_full_and_queue),
        )


def gather(accelerator: Counted, engines: Sequence[Timeline]) -> Evidence:
    """The numbers of one accelerator, with those engines of its host that may run on it."""
    on_it, counters, grid = Engines.of(engines), accelerator.counters, accelerator.grid
    return Evidence(
        busy=_p95(accelerator, "busy_ratio"),
        sm_active=_p95(accelerator, "sm_active_ratio"),
        tensor_active=_p95(accelerator, "tensor_active_ratio"),
        dram_active=_p95(accelerator, "dram_active_ratio"),
        running=on_it.running,
        throttled={
            cause: _throttling(grown, grid, f"{cause}_seconds")
            for cause in THROTTLES
            if (grown := counters.get(f"{cause}_seconds")) is not None
        },
        kv_full_and_queue=on_it.full_and_queue,
        bytes_per_second={
            name: grown.total / ((grown.known_rows - 1) * grid.row_seconds)  # the first row only begins the counter
            for name in RATES
            if (grown := counters.get(name)) is not None and grown.known_rows > 1
        },
    )


def _p95(accelerator: Counted, metric: str) -> Bounds | None:
    distribution = accelerator.gauges.get(metric)
    if distribution is None:
        return None
    low, value, high = distribution.share_p95
    return Bounds(value, low, high, min(distribution.rows / accelerator.grid.rows, 1.0), metric)


def _throttling(grown: Growth, grid: Grid, counter: str) -> Bounds:
    """Share of time with lowered clocks, exact from a counter of seconds."""
    observed = min(grown.known_rows / grid.rows, 1.0)
    low = min(grown.total / grid.seconds, 1.0)
    high = min(low + 1.0 - observed, 1.0)
    return Bounds(min(low / observed, 1.0) if observed else None, low, high, observed, counter)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, and what it was made from."""

    code: Code
    likely: Code
    """What it would be if what was not observed had been like the rest."""
    numbers: Mapping[str, Bounds]
    """What was compared, by the name of its limit."""
    limits: Mapping[str, float]
    """What it was compared with."""
    missing: tuple[str, ...]
    """Signals that were never measured, or too rarely, and that a question hung on."""
    coverage_ratio: float
    """The least of the numbers'; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Answer to one question."""

    truth: Truth
    compared: tuple[Compared, ...] = ()
    absent: tuple[str, ...] = ()
    """Signals that were never measured and leave it open."""


def judge(evidence: Evidence) -> Verdict:
    """The verdict on one accelerator."""
    verdict = _walk(evidence)
    if verdict.code is Code.UNKNOWN:
        return replace(verdict, likely=_walk(evidence.observed_alone()).code)
    return verdict


def _walk(evidence: Evidence) -> Verdict:
    """Ask in order until a question is answered with yes, or gaps leave it open."""
    absent: list[str] = []
    asked: list[Compared] = []
    for code, question in _QUESTIONS:
        answer = question(evidence)
        asked += answer.compared
        if answer.truth:
            return _verdict(code, answer.compared, absent)
        if answer.truth is None and not answer.absent:
            left_open = [
                f"{bounds.basis} ({bounds.coverage_ratio:.1%} of the time known)"
                for limit, bounds in answer.compared
                if at_least(bounds, limit) is None
            ]
            return _verdict(Code.UNKNOWN, answer.compared, left_open)
        absent += answer.absent
    needed = [signal for signal in absent if signal not in _OPTIONAL]
    return _verdict(Code.UNKNOWN if needed else Code.WITHIN_LIMITS, asked, needed or absent)


def _verdict(code: Code, compared: Sequence[Compared], missing: Sequence[str]) -> Verdict:
    return Verdict(
        code=code,
        likely=code,
        numbers={limit.name: bounds for limit, bounds in compared},
        limits={limit.name: limit.value for limit, _ in compared},
        missing=tuple(dict.fromkeys(missing)),
        coverage_ratio=min((bounds.coverage_ratio for _, bounds in compared), default=0.0),
    )


def _idle(evidence: Evidence) -> _Answer:
    if evidence.activity is None:
        return _Answer(None, absent=("busy_ratio",))
    return _Answer(negation(at_least(evidence.activity, limits.IDLE)), ((limits.IDLE, evidence.activity),))


def _memory_bound(evidence: Evidence) -> _Answer:
    """Yes where the accelerator works all the time and it holds on every engine that may be on it, no where on none.

    No queue stands before an accelerator that has time to spare; of any other only its engine can say.
    """
    works = _Answer(truth=True) if evidence.busy is None else _of(evidence, limits.WORKING)
    engines = evidence.kv_full_and_queue
    if not engines:
        return _combined(works, _Answer(None, absent=("kv_cache_used_ratio",)))
    truths = {at_least(bounds, limits.FULL_TIME) for bounds in engines}
    over_all = Bounds(
        max((bounds.value for bounds in engines if bounds.value is not None), default=None),
        min(bounds.low for bounds in engines),
        max(bounds.high for bounds in engines),
        min(bounds.coverage_ratio for bounds in engines),
        engines[0].basis,
    )
    return _combined(works, _Answer(truths.pop() if len(truths) == 1 else None, ((limits.FULL_TIME, over_all),)))


def _throttled(evidence: Evidence) -> _Answer:
    """Yes where any cause alone lowered the clocks for long enough."""
    causes = tuple(evidence.throttled.values())
    if not causes:
        return _Answer(None, absent=(_THROTTLE,))
    truths = [at_least(bounds, limits.THROTTLED) for bounds in causes]
    truth = True if True in truths else (None if None in truths else False)
    worst = max(causes, key=lambda bounds: (bounds.low, bounds.high))
    return _Answer(truth, ((limits.THROTTLED, worst),))


def _has_time_to_spare(evidence: Evidence) -> _Answer:
    """Whether time is left in the busiest rows: work needs a running kernel, so nothing can be at its limit then.

    Of a MIG instance nobody says how busy it is: the question is not asked of it.
    """
    if evidence.busy is None:
        return _Answer(truth=False)
    return _not(_of(evidence, limits.WORKING))


def _busy_not_saturated(evidence: Evidence) -> _Answer:
    """A MIG instance is not asked: nobody says how busy it is."""
    if evidence.busy is None and evidence.sm_active is not None:
        return _Answer(truth=False)
    return _combined(_of(evidence, limits.BUSY), _not(_of(evidence, limits.SM_INEFFECTIVE)))


_SIGNALS = {
    limits.TENSOR: "tensor_active",
    limits.DRAM: "dram_active",
    limits.SM_INEFFECTIVE: "sm_active",
    limits.BUSY: "busy",
    limits.WORKING: "busy",
}


def _of(evidence: Evidence, limit: Limit) -> _Answer:
    """Whether one signal reaches its limit."""
    bounds: Bounds | None = getattr(evidence, _SIGNALS[limit])
    if bounds is None:
        return _Answer(None, absent=(f"{_SIGNALS[limit]}_ratio",))
    return _Answer(at_least(bounds, limit), ((limit, bounds),))


def _not(answer: _Answer) -> _Answer:
    return replace(answer, truth=negation(answer.truth))


def _combined(first: _Answer, second: _Answer) -> _Answer:
    """Conjunction of two answers."""
    truth = both(first.truth, second.truth)
    absent = (*first.absent, *second.absent) if truth is None else ()
    return _Answer(truth, (*first.compared, *second.compared), absent)


_THROTTLE = "power_throttled_seconds"
_OPTIONAL = (_THROTTLE,)
"""Signals that not every vendor has, without which a verdict is given all the same."""
_QUESTIONS: tuple[tuple[Code, Callable[[Evidence], _Answer]], ...] = (
    (Code.IDLE, _idle),
    (Code.MEMORY_BOUND, _memory_bound),
    (Code.THROTTLED, _throttled),
    (Code.WITHIN_LIMITS, _has_time_to_spare),
    (Code.MIXED, lambda evidence: _combined(_of(evidence, limits.TENSOR), _of(evidence, limits.DRAM))),
    (Code.COMPUTE_BOUND, lambda evidence: _combined(_of(evidence, limits.TENSOR), _not(_of(evidence, limits.DRAM)))),
    (Code.BANDWIDTH_BOUND, lambda evidence: _combined(_of(evidence, limits.DRAM), _not(_of(evidence, limits.TENSOR)))),
    (Code.BUSY_NOT_SATURATED, _busy_not_saturated),
)


def advise(verdict: Verdict, memory: MemoryNeed | None) -> str:
    """Advice for one accelerator."""
    sentence = _WHAT_TO_DO.get(verdict.code)
    if sentence is None:
        likely = "" if verdict.likely is Code.UNKNOWN else f", though what was seen is {words(verdict.likely)}"
        sentence = f"what limits it is unknown for want of {', '.join(verdict.missing) or 'every signal'}{likely}"
    about_memory = _about_memory(verdict, memory)
    return f"{sentence}; {about_memory}" if about_memory else sentence


def words(code: Code) -> str:
    """A code as people write it."""
    return code.value.replace("_", " ").replace(" bound", "-bound")


def _about_memory(verdict: Verdict, memory: MemoryNeed | None) -> str:
    """Advice on the KV cache that stays unused; nothing where none is, or nothing is known."""
    if memory is None:
        return ""
    if memory.kv is None:
        return "" if verdict.code is Code.IDLE else "the memory it holds is not a need: no engine's metrics are known"
    if memory.kv.is_exceeded or memory.kv.max > _SPARE_KV:
        return ""
    unused = f"{_share(1 - memory.kv.max)} of the KV cache is never used"
    if memory.need_bytes is not None:
        return f"{unused}: {bytes_to_gib(memory.need_bytes):.0f} GiB would do"
    return f"{unused}: state the model, to say how much memory would do"


def grouped(advice: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of what is advised, places of the same advice together."""
    places: dict[str, list[str]] = {}
    for place, sentence in advice:
        places.setdefault(sentence, []).append(place)
    return [f"{_places(where, len(advice))}: {sentence}" for sentence, where in places.items()]


def _places(where: Sequence[str], everywhere: int) -> str:
    """Few places by name, all of them as such, many by number."""
    if len(where) == everywhere > 1:
        return f"all {everywhere:,}"
    if len(where) <= _NAMED:
        return ", ".join(where)
    return f"{', '.join(where[:_NAMED])} and {len(where) - _NAMED:,} more"


def _share(share: float) -> str:
    """A share in words where it is near a simple one."""
    for value, name in ((2 / 3, "two thirds"), (0.75, "three quarters"), (0.5, "half")):
        if abs(share - value) < 0.03:
            return name
    return "nearly all" if share > 0.99 else f"{share:.0%}"
