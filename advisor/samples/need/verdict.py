"""Verdict on what limits an accelerator, with the numbers and thresholds that it was judged by.

Each question is answered yes, no or "the samples do not say", over everything that can have happened in the gaps. The
questions are asked in order; the first yes is the verdict. Where a signal is measured and gaps leave its question
open, the verdict is unknown, so that a gap can turn a verdict into unknown and never into another one. A signal that
was never measured leaves its question open and the others are asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from advisor.samples.need import limits
from advisor.samples.need.bounds import Bounds, Truth, at_least, both, negation
from advisor.samples.need.evidence import Evidence
from advisor.samples.need.limits import Code, Limit

Compared = tuple[Limit, Bounds]


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
    return verdict if verdict.code is not Code.UNKNOWN else _with_likely(verdict, evidence)


def _with_likely(verdict: Verdict, evidence: Evidence) -> Verdict:
    return replace(verdict, likely=_walk(evidence.observed_alone()).code)


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
            return _verdict(Code.UNKNOWN, answer.compared, _open(answer))
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


def _open(answer: _Answer) -> list[str]:
    """Signals whose gaps leave a question open, with what is known of them."""
    return [
        f"{bounds.basis} ({bounds.coverage_ratio:.1%} of the time known)"
        for limit, bounds in answer.compared
        if at_least(bounds, limit) is None
    ]


def _idle(evidence: Evidence) -> _Answer:
    if evidence.activity is None:
        return _Answer(None, absent=("busy_ratio",))
    return _Answer(negation(at_least(evidence.activity, limits.IDLE)), ((limits.IDLE, evidence.activity),))


def _memory_bound(evidence: Evidence) -> _Answer:
    """Yes where the accelerator works all the time and it holds on every engine that may be on it, no where on none.

    No queue stands before an accelerator that has time to spare; of any other only its engine can say.
    """
    works = _Answer(truth=True) if evidence.busy is None else _of(evidence, limits.WORKING)
    return _combined(works, _full_and_queue(evidence))


def _full_and_queue(evidence: Evidence) -> _Answer:
    engines = evidence.kv_full_and_queue
    if not engines:
        return _Answer(None, absent=("kv_cache_used_ratio",))
    truths = {at_least(bounds, limits.FULL_TIME) for bounds in engines}
    return _Answer(truths.pop() if len(truths) == 1 else None, ((limits.FULL_TIME, _widest(engines)),))


def _widest(bounds: Sequence[Bounds]) -> Bounds:
    """Bounds that contain those of several."""
    return Bounds(
        max((bound.value for bound in bounds if bound.value is not None), default=None),
        min(bound.low for bound in bounds),
        max(bound.high for bound in bounds),
        min(bound.coverage_ratio for bound in bounds),
        bounds[0].basis,
    )


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


def _mixed(evidence: Evidence) -> _Answer:
    return _combined(_of(evidence, limits.TENSOR), _of(evidence, limits.DRAM))


def _compute_bound(evidence: Evidence) -> _Answer:
    return _combined(_of(evidence, limits.TENSOR), _not(_of(evidence, limits.DRAM)))


def _bandwidth_bound(evidence: Evidence) -> _Answer:
    return _combined(_of(evidence, limits.DRAM), _not(_of(evidence, limits.TENSOR)))


def _busy_not_saturated(evidence: Evidence) -> _Answer:
    """A MIG instance is not asked: nobody says how busy it is."""
    if evidence.busy is None and evidence.sm_active is not None:
        return _Answer(truth=False)
    return _combined(_of(evidence, limits.BUSY), _not(_of(evidence, limits.SM_INEFFECTIVE)))


def _of(evidence: Evidence, limit: Limit) -> _Answer:
    """Whether one signal reaches its limit."""
    bounds, name = _signal(evidence, limit)
    if bounds is None:
        return _Answer(None, absent=(name,))
    return _Answer(at_least(bounds, limit), ((limit, bounds),))


def _signal(evidence: Evidence, limit: Limit) -> tuple[Bounds | None, str]:
    return {
        limits.TENSOR.name: (evidence.tensor_active, "tensor_active_ratio"),
        limits.DRAM.name: (evidence.dram_active, "dram_active_ratio"),
        limits.SM_INEFFECTIVE.name: (evidence.sm_active, "sm_active_ratio"),
        limits.BUSY.name: (evidence.busy, "busy_ratio"),
        limits.WORKING.name: (evidence.busy, "busy_ratio"),
    }[limit.name]


def _not(answer: _Answer) -> _Answer:
    return replace(answer, truth=negation(answer.truth))


def _combined(first: _Answer, second: _Answer) -> _Answer:
    """And."""
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
    (Code.MIXED, _mixed),
    (Code.COMPUTE_BOUND, _compute_bound),
    (Code.BANDWIDTH_BOUND, _bandwidth_bound),
    (Code.BUSY_NOT_SATURATED, _busy_not_saturated),
)
