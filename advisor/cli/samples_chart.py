"""Charts of a fleet of samples: into the terminal, or into a file by its suffix."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from advisor.atomic_files import write_bytes
from advisor.report.samples_chart.curves import Curve, curve
from advisor.report.samples_chart.page import render_page
from advisor.report.samples_chart.png import render_png
from advisor.report.samples_chart.svg import POINTS, render_svg
from advisor.report.samples_chart.terminal import marks_for, render_terminal, room
from advisor.samples.need.fleet import Fleet
from advisor.samples.need.join import join

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
    write_bytes(output, content)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"wrote {output}", err=True)


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
    curves = []
    for host in dict.fromkeys(one.who.host for one in fleet.accelerators):
        here = [one for one in fleet.accelerators if one.who.host == host]
        engines = join(here, [one for one in fleet.engines if one.who.host == host])
        curves += [(one, engines[position]) for position, one in enumerate(here)]
    drawn = [curve(one, on_it, need, points) for (one, on_it), need in zip(curves, fleet.needs, strict=True)]
    if len(drawn) <= most:
        return drawn, ()
    kept = set(sorted(range(len(drawn)), key=lambda at: -_peak(drawn[at]))[:most])
    note = f"{len(drawn) - most:,} of {len(drawn):,} accelerators are not drawn: those with the lowest peaks"
    return [one for at, one in enumerate(drawn) if at in kept], (note,)


def _peak(one: Curve) -> float:
    return -1.0 if one.is_empty else float(one.peak[one.peak == one.peak].max())
