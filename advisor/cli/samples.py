"""``advisor samples``: peak against average, what is needed, and what limits it.

The JSON is a list with one object for each accelerator and metric::

    host                string
    accelerator_index   number on the host
    mig_index           number of the MIG instance; null for a whole accelerator
    accelerator_uuid    string; null when it never answered
    accelerator         product name; null when it never answered
    metric              name with its unit: memory_used_bytes, busy_ratio, power_watts, ...
    p50, p95, max, mean over the known values; null when there is none
    peak_to_mean        max ÷ mean; null when the mean is 0 or unknown
    coverage_ratio      share of the host's sampled time in which the value is known (0..1)
    samples             readings of the accelerator
    missed_ticks        readings that should have been there and are not
    energy_joules       used from the first to the last sample; null when there is no counter
    verdict             what limits the accelerator; see `advisor samples need`
    need_gib, need_low_gib, need_high_gib   memory that it needs of what it holds; null where unknown

An accelerator that gave no value at all has one object whose metric is null.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from advisor.atomic_files import write_output
from advisor.cli.output import deliver, output_option, report_format_option, tell
from advisor.cli.samples_need import advice_lines, need, place_of
from advisor.cli.samples_need import entry as need_entry
from advisor.cli.samples_summary import fleet_at, places_argument, render_summary, summary
from advisor.report.samples_chart.curves import (
    Curve,
    curve,
    marks_for,
    need_words,
    render_terminal,
    room,
    verdict_words,
)
from advisor.report.samples_chart.svg import POINTS, render_page, render_png, render_svg
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.need.fleet import SIGNALS, AcceleratorNeed, Fleet
from advisor.samples.query.counts import Counted, Distribution
from advisor.samples.query.embedded import open_backend
from advisor.units import SECONDS_PER_HOUR, bytes_to_gib

CHARTS = (".html", ".svg", ".png")
_MOST_PANELS = 64
"""Accelerators in one chart; those with the highest peaks are kept."""
_TERMINAL_LINES = 16
_PIPE_COLUMNS = 100
"""Width where the output is no terminal."""
_HEADERS = (
    "host", "#", "accelerator", "coverage", "memory mean GiB", "peak GiB", "total GiB",
    "busy mean", "busy p50", "busy p95", "busy peak", "peak ÷ mean", "kWh",
)  # fmt: skip
_NEED_HEADERS = ("host", "#", "verdict", "memory")
_MEANING = (
    "Memory used is what the engine reserved, not what the model needs; busy is the share of time in which any kernel "
    "ran, not how much of the accelerator it used. Peaks are the highest single reading; - is unknown."
)
_JOULES_PER_KWH = SECONDS_PER_HOUR * 1000


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
    curves = [
        curve(accelerator.timeline, accelerator.engines, pairs[at][1], points)
        for at, accelerator in zip(kept, drawn, strict=True)
    ]
    if len(pairs) <= most:
        return curves, ()
    left = len(pairs) - most
    return curves, (f"{left:,} of {len(pairs):,} accelerators are not drawn: those with the lowest peaks",)


def _peak(counted: Counted) -> float:
    """The highest reading of the signal that is drawn; -1 without one."""
    return next((counted.gauges[signal].max for signal in SIGNALS if signal in counted.gauges), -1.0)


@click.command()
@places_argument
@report_format_option
@output_option
def show(places: tuple[str, ...], output_format: str, output: Path | None) -> None:
    """Peak against average, need and chart.

    Of each accelerator, from what `advisor agent run --output PLACE` wrote: directories, or copies of them in object
    storage (s3://, gs://, az://). With -o FILE.html, .svg or .png it is drawn into that file (PNG: pip install
    'inference-advisor[charts]').
    """
    fleet = fleet_at(places)
    if output is not None and output.suffix.lower() in CHARTS:
        write_chart(fleet, output)
        return
    if output_format == "json":
        text = f"{json.dumps(_all_entries(fleet), indent=2, ensure_ascii=False)}\n"
    elif fleet.accelerators:
        text = f"{_tables(fleet, output_format)}\n"
    else:
        text = render_summary(open_backend(places), ", ".join(places), None, output_format)[0]
    deliver(text, output)


def _tables(fleet: Fleet, output_format: str) -> str:
    """Peak against average, what is needed, and how it went over time; Markdown has no room for the last."""
    render = render_markdown_table if output_format == "markdown" else render_table
    rows = [_row(accelerator) for accelerator in fleet.accelerators]
    parts = [
        "\n".join([render(_HEADERS, rows), "", _MEANING, *_gap_lines(fleet.accelerators)]),
        render(_NEED_HEADERS, [_need_row(accelerator_need) for accelerator_need in fleet.needs]),
        "\n".join(advice_lines(fleet.needs)),
        "" if output_format == "markdown" else terminal_chart(fleet),
    ]
    return "\n\n".join(part for part in parts if part)


def _need_row(accelerator_need: AcceleratorNeed) -> list[str]:
    return [
        accelerator_need.who.host,
        place_of(accelerator_need),
        verdict_words(accelerator_need.verdict),
        need_words(accelerator_need.memory),
    ]


def _all_entries(fleet: Fleet) -> list[dict[str, Any]]:
    """Objects of all accelerators."""
    return [
        {**entry, **_need_entry(need)}
        for counted, need in zip(fleet.accelerators, fleet.needs, strict=True)
        for entry in _entries(counted)
    ]


def _need_entry(accelerator_need: AcceleratorNeed) -> dict[str, Any]:
    numbers = need_entry(accelerator_need)
    return {name: numbers[name] for name in ("verdict", "need_gib", "need_low_gib", "need_high_gib")}


def _entries(counted: Counted) -> list[dict[str, Any]]:
    """JSON objects of one accelerator."""
    return [_entry(counted, name, gauge) for name, gauge in counted.gauges.items()] or [_entry(counted, None, None)]


def _entry(counted: Counted, name: str | None, gauge: Distribution | None) -> dict[str, Any]:
    return {
        "host": counted.who.host,
        "accelerator_index": counted.who.index,
        "mig_index": counted.who.mig_index,
        "accelerator_uuid": counted.who.uuid,
        "accelerator": counted.who.product,
        "metric": name,
        "p50": gauge and gauge.p50,
        "p95": gauge and gauge.p95,
        "max": gauge and gauge.max,
        "mean": gauge and gauge.mean,
        "peak_to_mean": gauge and _peak_to_mean(gauge),
        "coverage_ratio": (gauge.rows if gauge else counted.rows) / counted.grid.rows,
        "samples": counted.rows,
        "missed_ticks": sum(counted.missed.values()),
        "energy_joules": _energy_joules(counted),
    }


def _peak_to_mean(gauge: Distribution) -> float | None:
    """How uneven it is; 1 is flat. None where the mean is 0."""
    return gauge.max / gauge.mean if gauge.mean else None


def _energy_joules(counted: Counted) -> float | None:
    """Used between the first and the last sample; None without a counter, or with a single reading of it."""
    counter = counted.counters.get("energy_joules")
    return counter.total if counter is not None and counter.readings > 1 else None


def _row(counted: Counted) -> list[str]:
    who = counted.who
    memory, total, busy = (
        counted.gauges.get(name) for name in ("memory_used_bytes", "memory_total_bytes", "busy_ratio")
    )
    ratio, energy = busy and _peak_to_mean(busy), _energy_joules(counted)
    return [
        who.host,
        str(who.index) if who.mig_index is None else f"{who.index}.{who.mig_index}",
        who.product or "unknown",
        f"{counted.rows / counted.grid.rows:.1%}",
        *((_gib(memory.mean), _gib(memory.max)) if memory else ("-", "-")),
        _gib(total.max) if total else "-",
        *(f"{value:.1%}" for value in ((busy.mean, busy.p50, busy.p95, busy.max) if busy else ())),
        *([] if busy else ["-"] * 4),
        "-" if ratio is None else f"{ratio:.1f}",
        "-" if energy is None else f"{energy / _JOULES_PER_KWH:,.3f}",
    ]


def _gib(size_bytes: float) -> str:
    return f"{bytes_to_gib(size_bytes):.1f}"


def _gap_lines(accelerators: Sequence[Counted]) -> list[str]:
    """Gaps by accelerator and reason."""
    return [
        f"{accelerator.who.host} #{accelerator.who.index}: {missed:,} readings missed ({reason})"
        for accelerator in accelerators
        for reason, missed in accelerator.missed.items()
    ]


@click.group(name="samples")
def command() -> None:
    """Look at collected samples."""


for _subcommand in (show, summary, need):
    command.add_command(_subcommand)
