"""Curves of a chart: a few hundred points of each accelerator, with gaps kept; in a terminal too."""

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass
from advisor.samples.need.fleet import AcceleratorNeed
from advisor.samples.need.limits import Code
from advisor.samples.need.memory import MemoryNeed
from advisor.samples.need.verdict import Verdict, words
from advisor.samples.query.timeline import Timeline
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


Floats = npt.NDArray[np.float64]
_LEAST_KNOWN = 0.5
"""Of the rows of a point; with less it is drawn as a gap."""
_SIGNALS = (("busy_ratio", "busy"), ("sm_active_ratio", "SM active"))
"""What is drawn of an accelerator: the first that it has."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One signal of one accelerator, as shares; arrays of shape ``(points,)``, NaN in gaps."""

    label: str
    """Host, number and product."""
    signal: str
    """What is drawn, in words; empty where the accelerator has nothing to draw."""
    mean: Floats
    peak: Floats
    """Highest reading of each point."""
    kv_used: Floats | None
    """Mean KV use of its engine; None where there is no one engine that says."""
    start: dt.datetime
    end: dt.datetime
    need: AcceleratorNeed

    @property
    def is_empty(self) -> bool:
        """Nothing is known of it."""
        return bool(np.isnan(self.mean).all())


def curve(accelerator: Timeline, engines: Sequence[Timeline], need: AcceleratorNeed, points: int) -> Curve:
    """One accelerator in at most so many points.

    Args:
        accelerator: what is drawn.
        engines: those that may be on it; the KV use is drawn where it is one.
        need: what was judged of it.
        points: the most, at least 1.
    """
    signal, words = next(((name, words) for name, words in _SIGNALS if accelerator.knows(name)), ("busy_ratio", ""))
    kv_used = _means(engines[0].mean("kv_cache_used_ratio"), points) if len(engines) == 1 else None
    return Curve(
        label=label_of(need),
        signal=words,
        mean=_means(accelerator.mean(signal), points),
        peak=_peaks(accelerator.greatest(signal), points),
        kv_used=None if kv_used is None or np.isnan(kv_used).all() else kv_used,
        start=_time(accelerator.grid.start_seconds),
        end=_time(accelerator.grid.start_seconds + accelerator.grid.seconds),
        need=need,
    )


def label_of(need: AcceleratorNeed) -> str:
    """Host, number and product of an accelerator."""
    return f"{name_of(need)} {need.who.product or 'unknown'}"


def name_of(need: AcceleratorNeed) -> str:
    """Host and number of an accelerator."""
    return f"{need.who.host} {place_of(need)}"


def place_of(need: AcceleratorNeed) -> str:
    """``#0``, or ``#0.1`` for a MIG instance."""
    who = need.who
    return f"#{who.index}" if who.mig_index is None else f"#{who.index}.{who.mig_index}"


def _means(values: Floats, points: int) -> Floats:
    parts = np.array_split(values, min(points, values.size))
    return np.array([np.nanmean(part) if _is_known(part) else np.nan for part in parts])


def _peaks(values: Floats, points: int) -> Floats:
    parts = np.array_split(values, min(points, values.size))
    return np.array([np.nanmax(part) if _is_known(part) else np.nan for part in parts])


def _is_known(part: Floats) -> bool:
    return float((~np.isnan(part)).mean()) >= _LEAST_KNOWN


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


LEAST_POINTS = 10


@dataclass(frozen=True, slots=True)
class Marks:
    """Characters from nothing to all, and the one of a gap."""

    levels: str
    gap: str


BLOCKS = Marks("▁▂▃▄▅▆▇█", "·")
ASCII = Marks("_.:-=+*#", " ")
"""Readable where the terminal knows no more than ASCII."""


def marks_for(encoding: str | None) -> Marks:
    """Marks that a stream of that encoding can show."""
    try:
        BLOCKS.levels.encode(encoding or "ascii")
        BLOCKS.gap.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def room(needs: Sequence[AcceleratorNeed], width: int) -> int:
    """Points that fit into lines of *width* columns beside the names."""
    return max(width - _margin(needs, width) - len("  peak  100%"), LEAST_POINTS)


def render_terminal(curves: Sequence[Curve], width: int, marks: Marks) -> str:
    """Lines of at most *width* columns, for curves of as many points as there is :func:`room` for."""
    drawn = [curve for curve in curves if curve.signal]
    if not drawn:
        return ""
    margin = _margin([curve.need for curve in curves], width)
    points = max(curve.mean.size for curve in drawn)
    lines = []
    for drawn_curve in drawn:
        place = place_of(drawn_curve.need)
        name = f"{_shown(drawn_curve.need.who.host, marks)[: margin - len(place) - 1]} {place}"
        peak, mean = (spark(values, marks).ljust(points) for values in (drawn_curve.peak, drawn_curve.mean))
        lines.append(f"{name:<{margin}}  peak {peak} {_percent(np.max, drawn_curve.peak)}")
        lines.append(f"{drawn_curve.signal:>{margin}}  mean {mean} {_percent(np.mean, drawn_curve.mean)}")
    return "\n".join([*lines, *_legend(drawn, margin, width, marks)])


def spark(values: Floats, marks: Marks) -> str:
    """Shares as one character each; a gap has a mark of its own."""
    top = len(marks.levels) - 1
    return "".join(
        marks.gap if np.isnan(value) else marks.levels[min(round(float(value) * top), top)] for value in values
    )


def _margin(needs: Sequence[AcceleratorNeed], width: int) -> int:
    """Columns for the names: as the longest needs, but no more than a third of the line."""
    return min(max((len(name_of(need)) for need in needs), default=0), max(width // 3, 9))


def _shown(name: str, marks: Marks) -> str:
    """A name in characters that the terminal can show."""
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return printable if marks is BLOCKS else printable.encode("ascii", "replace").decode()


def _percent(statistic: Callable[[Floats], np.float64], values: Floats) -> str:
    stated = values[~np.isnan(values)]
    return f"{float(statistic(stated)):4.0%}" if stated.size else "   -"


def _legend(drawn: Sequence[Curve], margin: int, width: int, marks: Marks) -> list[str]:
    """Time below the curves, or from the left where it would not fit, and what the marks mean."""
    points = max(curve.mean.size for curve in drawn)
    start, end = f"{drawn[0].start:%m-%d %H:%M}", f"{drawn[0].end:%m-%d %H:%M} UTC"
    axis = f"{'':<{margin + len('  peak ')}}{start}{end:>{max(points - len(start), len(end) + 1)}}"
    gap = f"'{marks.gap}' not observed" if marks.gap.strip() else "blank: not observed"
    return [
        axis if len(axis) <= width else f"{start} to {end}",
        f"{marks.levels[0]} 0%  {marks.levels[-1]} 100%  {gap}",
    ]
