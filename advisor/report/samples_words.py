"""Needs and verdicts in words, the same in a table, a page and a chart."""

from advisor.samples.need.limits import Code
from advisor.samples.need.memory import MemoryNeed
from advisor.samples.need.verdict import Verdict, words
from advisor.units import bytes_to_gib


def verdict_words(verdict: Verdict) -> str:
    """The verdict, with what is likely where nothing is proven."""
    if verdict.code is Code.UNKNOWN and verdict.likely is not Code.UNKNOWN:
        return f"unknown, likely {words(verdict.likely)}"
    return words(verdict.code)


def need_words(memory: MemoryNeed | None) -> str:
    """Memory needed out of memory held, in GiB."""
    if memory is None:
        return "unknown"
    held = f"{bytes_to_gib(memory.held_bytes):.1f} GiB held"
    if memory.kv is None:
        return f"{held}, need unknown"
    span = f"{bytes_to_gib(memory.low_bytes):.1f} to {bytes_to_gib(memory.high_bytes):.1f} GiB"
    least = "at least " if memory.kv.is_exceeded else ""
    if memory.need_bytes is None:
        return f"{held}, need {span}"
    return f"{held}, need {least}{bytes_to_gib(memory.need_bytes):.1f} ({span})"


def percent(share: float | None) -> str:
    """A share, or a dash where it is unknown."""
    return "-" if share is None else f"{share:.0%}"
