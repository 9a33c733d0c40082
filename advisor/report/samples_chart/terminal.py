"""Curves as lines of text: two for each accelerator, its peaks above its averages."""

from collections.abc import Callable, Sequence

import numpy as np

from advisor.records import dataclass
from advisor.report.samples_chart.curves import Curve, Floats, name_of, place_of
from advisor.samples.need.assess import AcceleratorNeed

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
    for one in drawn:
        place = place_of(one.need)
        name = f"{_shown(one.need.who.host, marks)[: margin - len(place) - 1]} {place}"
        peak, mean = (spark(values, marks).ljust(points) for values in (one.peak, one.mean))
        lines.append(f"{name:<{margin}}  peak {peak} {_percent(np.max, one.peak)}")
        lines.append(f"{one.signal:>{margin}}  mean {mean} {_percent(np.mean, one.mean)}")
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
    known = values[~np.isnan(values)]
    return f"{float(statistic(known)):4.0%}" if known.size else "   -"


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
