"""A verdict and a need in one plain sentence."""

from collections.abc import Sequence

from advisor.samples.need.limits import Code
from advisor.samples.need.memory import MemoryNeed
from advisor.samples.need.verdict import Verdict
from advisor.units import bytes_to_gib

_SPARE_KV = 0.5
"""So much of the KV cache has to stay unused for a sentence about it."""
_NAMED = 4
_WHAT_TO_DO = {
    Code.IDLE: "it is idle: what it serves would fit elsewhere, or on nothing",
    Code.MEMORY_BOUND: "requests queue for KV cache: it needs more memory, or fewer tokens at a time",
    Code.THROTTLED: "its clocks are lowered for want of power or cooling: mend that before it is sized",
    Code.MIXED: "tensor cores and memory bandwidth are both used up: it needs more accelerators, or faster ones",
    Code.COMPUTE_BOUND: "tensor cores are used up: it needs more FLOP/s, not more memory",
    Code.BANDWIDTH_BOUND: "memory bandwidth is used up, tensor cores are not: more bandwidth helps, more FLOP/s do not",
    Code.BUSY_NOT_SATURATED: "it is always busy with most of its multiprocessors idle: larger batches would do more",
    Code.WITHIN_LIMITS: "nothing is at its limit: it has room for more load",
}


def advise(verdict: Verdict, memory: MemoryNeed | None) -> str:
    """Advice for one accelerator."""
    if verdict.code is not Code.UNKNOWN:
        return "; ".join(part for part in (_WHAT_TO_DO[verdict.code], _about_memory(verdict, memory)) if part)
    missing = ", ".join(verdict.missing) or "every signal"
    likely = "" if verdict.likely is Code.UNKNOWN else f", though what was seen is {words(verdict.likely)}"
    sentence = f"what limits it is unknown for want of {missing}{likely}"
    return "; ".join(part for part in (sentence, _about_memory(verdict, memory)) if part)


def words(code: Code) -> str:
    """A code as people write it."""
    return code.value.replace("_", " ").replace(" bound", "-bound")


def _about_memory(verdict: Verdict, memory: MemoryNeed | None) -> str:
    """Advice on the KV cache that stays unused; nothing where none is, or nothing is known."""
    if memory is None:
        return ""
    if memory.kv is None:
        return "" if verdict.code is Code.IDLE else "the memory it holds is no need: no engine's metrics are known"
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
