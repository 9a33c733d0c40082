"""Spans of time as people write them: ``500ms``, ``1s``, ``2m``, ``1.5h``."""

import re
from datetime import timedelta

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)
_MS_OF_UNIT = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """A number with its unit (ms, s, m, h, d) as a span longer than zero.

    Raises:
        ValueError: it is no such thing; the message says what is.
    """
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no span of time: write a number and its unit, such as 500ms, 1s, 2m or 1.5h")
    milliseconds = float(match[1]) * _MS_OF_UNIT[match[2]]
    if milliseconds > LONGEST.total_seconds() * 1_000:
        raise ValueError(f"{text!r} is longer than ten years")
    span = timedelta(milliseconds=milliseconds)
    if not span:
        raise ValueError(f"{text!r} is no time at all")
    return span


def parse_duration_between(text: str, shortest: timedelta, longest: timedelta, why: str = "") -> timedelta:
    """A span within bounds, both included.

    Raises:
        ValueError: it is no span, or outside of them; the message says what is allowed, and *why* where that is given.
    """
    span = parse_duration(text)
    if not shortest <= span <= longest:
        bounds = f"{format_duration(shortest)} and {format_duration(longest)}"
        raise ValueError(f"{text} is not between {bounds}{why and f': {why}'}")
    return span


def format_duration(span: timedelta) -> str:
    """The span in the largest unit that leaves a whole number: ``90s`` is ``90s``, ``120s`` is ``2m``."""
    milliseconds = round(span / timedelta(milliseconds=1))
    for unit, size in reversed(_MS_OF_UNIT.items()):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
