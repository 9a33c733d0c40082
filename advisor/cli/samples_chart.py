"""Charts of a fleet of samples: into the terminal, or into a file by its suffix."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from advisor.atomic_files import write_output
from advisor.cli.quiet import tell
from advisor.report.samples_chart.curves import Curve, curve
from advisor.report.samples_chart.page import render_page
from advisor.report.samples_chart.png import render_png
from advisor.report.samples_chart.svg import POINTS, render_svg
from advisor.report.samples_chart.terminal import marks_for, render_terminal, room
from advisor.samples.need.fleet import SIGNALS, Fleet
from advisor.samples.query.counts import Counted

CHARTS = (".html", ".svg", ".png")
_MOST_PANELS = 64
"""Accelerators in one chart; those with the highest peaks are kept."""
_TERMINAL_LINES = 16
_PIPE_COLUMNS = 100
"""Width where the output is no terminal."""


def write_chart(fleet: Fleet, output: Path) -> None:
    """Draw into a file and say so on stderr.

    Raises:
        InputError: it cannot be written, or a PNG is asked for without matplotlib.
    """
    curves, notes = _chosen(fleet, POINTS, _MOST_PANELS)
    match output.suffix.lower():
        case ".png":
            content = render_png(curves)
        case ".svg":
            content = render_svg(curves).encode()
        case _:
            content = render_page(curves, notes).encode()
    write_output(output, content)
    for note in notes:
        tell(f"note: {note}")
    tell(f"wrote {output}")


def terminal_chart(fleet: Fleet) -> str:
    """Lines that fit the terminal; bold peaks where it shows them and NO_COLOR is not set."""
    width = shutil.get_terminal_size((_PIPE_COLUMNS, 24)).columns
    curves, notes = _chosen(fleet, room(fleet.needs, width), _TERMINAL_LINES)
    text = render_terminal(curves, width, marks_for(sys.stdout.encoding))
    if text and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        text = "\n".join(click.style(line, bold=True) if "  peak " in line else line for line in text.split("\n"))
    return "\n".join(part for part in (text, *notes) if part)


def _chosen(fleet: Fleet, points: int, most: int) -> tuple[Sequence[Curve], Sequence[str]]:
    """Curves of the accelerators with the highest peaks, in their own order, and what was left out."""
    pairs = list(zip(fleet.accelerators, fleet.needs, strict=True))
    kept = sorted(sorted(range(len(pairs)), key=lambda at: -_peak(pairs[at][0]))[:most])
    drawn = fleet.drawn([pairs[at][0] for at in kept])
    curves = [curve(one.timeline, one.engines, pairs[at][1], points) for at, one in zip(kept, drawn, strict=True)]
    if len(pairs) <= most:
        return curves, ()
    left = len(pairs) - most
    return curves, (f"{left:,} of {len(pairs):,} accelerators are not drawn: those with the lowest peaks",)


def _peak(counted: Counted) -> float:
    """The highest reading of the signal that is drawn; -1 without one."""
    return next((counted.gauges[signal].max for signal in SIGNALS if signal in counted.gauges), -1.0)
