"""``advisor samples``: peak against average, what is needed, and what limits it.

The keys of the JSON are in docs/agent.md (``show``) and docs/need.md (``need``).
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from advisor.atomic_files import write_output
from advisor.cli import samples_summary
from advisor.cli.output import answers_text, deliver, list_format_option, output_option, report_format_option, tell
from advisor.models import FitRequest, find_model, fit_memory, memory_range, parse_precision
from advisor.records import picked
from advisor.report.samples_chart import (
    POINTS,
    Curve,
    curve,
    marks_for,
    need_words,
    percent,
    render_page,
    render_png,
    render_svg,
    render_terminal,
    room,
    verdict_words,
)
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.need.fleet import (
    METRICS_NEEDED,
    SIGNALS,
    AcceleratorNeed,
    Fleet,
    Oversized,
    assess_summaries,
    oversized,
)
from advisor.samples.need.limits import WORKING
from advisor.samples.need.verdict import Fixed, MemoryNeed, grouped
from advisor.samples.query.counts import Counted, Distribution
from advisor.samples.query.embedded import open_backend
from advisor.samples.store.bucket import is_store
from advisor.units import SECONDS_PER_HOUR, bytes_to_gib, gib_to_bytes

_LONG_NEED_HEADERS = (
    "host", "#", "verdict", "need GiB", "low", "high", "held", "KV p95", "queue p95", "busy p95", "SM p95", "DRAM p95",
    "tensor p95", "coverage",
)  # fmt: skip
_PROFILED = ("sm_active", "dram_active", "tensor_active")


@click.command()
@samples_summary.places_argument
@samples_summary.window_option
@samples_summary.metrics_option
@click.option("--model", help="What the engines serve: a catalogued name, or the path of a config.json.")
@click.option("--precision", help="Of its weights.  [default: the checkpoint's own]")
@click.option("--accelerators", type=click.IntRange(1), default=1, show_default=True, help="That share one replica.")
@click.option(
    "--memory", "memory_gib", type=click.FloatRange(1), help="Of one accelerator, GiB.  [default: as sampled]"
)
@list_format_option
@output_option
def need(
    places: tuple[str, ...],
    window: timedelta | None,
    metrics_file: Path | None,
    model: str | None,
    precision: str | None,
    accelerators: int,
    memory_gib: float | None,
    output_format: str,
    output: Path | None,
) -> None:
    """Need of each accelerator, and what limits it.

    PLACE is a directory of samples, on this machine or in object storage (s3://, gs://, az://); there may be several.
    Or it is the URL of what keeps them, which answers with summaries: what happened at the same time is then unknown.
    With --model the memory that an engine takes besides its KV cache is known, and the need is a number; without, it is
    an interval.
    """
    needs = _assess(places, window, metrics_file)
    if model is not None:
        sizes = [need.memory.total_bytes for need in needs if need.memory is not None and need.memory.total_bytes]
        size = memory_gib or bytes_to_gib(max(sizes, default=gib_to_bytes(80)))
        fixed = fixed_of(model, precision, accelerators, size)
        needs = [need.besides(fixed) for need in needs]
    deliver(_rendered(needs, output_format), output)


def fixed_of(name: str, precision: str | None, accelerators: int, memory_gib: float) -> Fixed:
    """Memory that an engine holds besides its KV cache on one accelerator, at the edges of the 80 % range.

    Raises InputError: no such model or precision.
    """
    model = find_model(name)
    request = FitRequest(
        accelerator_memory_gib=memory_gib,
        accelerator_count=accelerators,
        tensor_parallel=accelerators,
        precision=parse_precision(precision) if precision else model.checkpoint.precision,
    )
    fit, span = fit_memory(model, request), memory_range(model, request)
    gib_per_token = fit.kv_cache_gib_available / fit.kv_cache_tokens if fit.kv_cache_tokens else 0.0
    low, high = (
        (fit.usable_gib - tokens * gib_per_token) / accelerators
        for tokens in (span.kv_cache_tokens_high or 0, span.kv_cache_tokens_low or 0)
    )
    return Fixed(gib_to_bytes(low), gib_to_bytes(high))


def _assess(places: Sequence[str], window: timedelta | None, metrics: Path | None) -> Sequence[AcceleratorNeed]:
    """Needs from the rows of directories, or from the summaries of a server."""
    if all(map(is_store, places)):
        return samples_summary.fleet_at(places, window).needs
    backend = open_backend(places, metrics=metrics)
    asked = samples_summary.window_of(backend, places[0], window)
    metric_names = [name for name in backend.metrics(asked) if name in METRICS_NEEDED]
    needs = tuple(assess_summaries(list(samples_summary.summaries(backend, asked, metric_names))))
    for note in backend.notes():
        tell(f"note: {note}")
    return needs


def _rendered(needs: Sequence[AcceleratorNeed], output_format: str) -> str:
    spare = {host: picked(each, "accelerators", "enough") for each in oversized(needs) for host in each.hosts}
    entries = [{**entry(need), "oversized": spare.get(need.who.host)} for need in needs]
    if output_format == "json":
        return f"{json.dumps(entries, indent=2, ensure_ascii=False)}\n"
    if output_format in ("ndjson", "csv"):
        return answers_text(entries, output_format)
    if not needs:
        return "no accelerators have samples here, so there is nothing to judge\n"
    render = render_markdown_table if output_format == "markdown" else render_table
    return "\n".join(
        [
            render(_LONG_NEED_HEADERS, [_long_need_row(need) for need in needs]),
            "",
            *advice_lines(needs),
            "",
        ]
    )


def advice_lines(needs: Sequence[AcceleratorNeed]) -> list[str]:
    """Advice, each line once for all accelerators that it is given for, and which products are oversized."""
    lines = grouped([(f"{need.who.host} #{need.who.number}", need.advice) for need in needs])
    return [f"- {line}" for line in (*lines, *map(_oversized_line, oversized(needs)))]


def _oversized_line(spare: Oversized) -> str:
    count = len(spare.hosts)
    hosts = spare.hosts[0] if count == 1 else f"{count:,} hosts of {spare.accelerators // count}"
    return (
        f"oversized: {spare.accelerators:,} × {spare.product or 'accelerator'} ({hosts}) busy "
        f"{percent(spare.busy_p95)} at p95; {spare.enough:,} would do at {percent(WORKING.value)} use"
    )


def entry(need: AcceleratorNeed) -> dict[str, Any]:
    """One accelerator as an object of the JSON."""
    who, verdict = need.who, need.verdict
    return {
        "host": who.host,
        "accelerator": who.index,
        **picked(who, "mig_index", "uuid", "product"),
        "verdict": verdict.code.value,
        "likely": verdict.likely.value,
        "missing": list(verdict.missing),
        "compared": {
            name: picked(bounds, "value", "low", "high", "coverage_ratio", "basis") | {"limit": verdict.limits[name]}
            for name, bounds in verdict.numbers.items()
        },
        **_memory_entry(need.memory),
        "queue_p95": need.queue_p95,
        **{f"{signal}_p95": need.ratio(signal) for signal in ("busy", *_PROFILED)},
        "bytes_per_second": dict(need.evidence.bytes_per_second),
        "coverage_ratio": verdict.coverage_ratio,
        "advice": need.advice,
    }


def _memory_entry(memory: MemoryNeed | None) -> dict[str, Any]:
    kv = memory.kv if memory else None
    return {
        "held_gib": memory and bytes_to_gib(memory.held_bytes),
        "total_gib": bytes_to_gib(memory.total_bytes) if memory and memory.total_bytes is not None else None,
        "need_gib": bytes_to_gib(memory.need_bytes) if memory and memory.need_bytes is not None else None,
        "need_low_gib": bytes_to_gib(memory.low_bytes) if memory and kv else None,
        "need_high_gib": memory and bytes_to_gib(memory.high_bytes),
        "need_is_exceeded": kv and kv.is_exceeded,
        "kv_p95": kv and kv.p95,
        "kv_max": kv and kv.max,
    }


def _long_need_row(need: AcceleratorNeed) -> list[str]:
    numbers = _memory_entry(need.memory)
    gib = [numbers[name] for name in ("need_gib", "need_low_gib", "need_high_gib", "held_gib")]
    least = "≥" if numbers["need_is_exceeded"] else ""
    return [
        need.who.host,
        need.who.number,
        verdict_words(need.verdict),
        *("-" if value is None else f"{least if not at else ''}{value:.1f}" for at, value in enumerate(gib)),
        percent(numbers["kv_p95"]),
        "-" if need.queue_p95 is None else f"{need.queue_p95:.1f}",
        *(percent(need.ratio(name)) for name in ("busy", *_PROFILED)),
        f"{need.verdict.coverage_ratio:.1%}",
    ]


CHARTS = (".html", ".svg", ".png")
_MOST_PANELS = 64
"""Accelerators in one chart; those with the highest peaks are kept."""
_TERMINAL_LINES = 16
_PIPE_COLUMNS = 100
"""Width where the output is not a terminal."""
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
    """Draw into a file and say so. Raises InputError if it cannot be written, or a PNG lacks matplotlib."""
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
@samples_summary.places_argument
@report_format_option
@output_option
def show(places: tuple[str, ...], output_format: str, output: Path | None) -> None:
    """Peak against average, need and chart.

    Of each accelerator, from what `advisor agent run --output PLACE` wrote: directories, or copies of them in object
    storage (s3://, gs://, az://). With -o FILE.html, .svg or .png it is drawn into that file (PNG: pip install
    'inference-advisor[charts]').
    """
    fleet = samples_summary.fleet_at(places)
    if output is not None and output.suffix.lower() in CHARTS:
        write_chart(fleet, output)
        return
    if output_format == "json":
        text = f"{json.dumps(_all_entries(fleet), indent=2, ensure_ascii=False)}\n"
    elif fleet.accelerators:
        text = f"{_tables(fleet, output_format)}\n"
    else:
        text = samples_summary.render_summary(open_backend(places), ", ".join(places), None, output_format)[0]
    deliver(text, output)


def _tables(fleet: Fleet, output_format: str) -> str:
    """Peak against average, what is needed, and how it went over time; Markdown has no room for the last."""
    render = render_markdown_table if output_format == "markdown" else render_table
    rows = [_row(accelerator) for accelerator in fleet.accelerators]
    needs = [
        (need.who.host, need.who.number, verdict_words(need.verdict), need_words(need.memory)) for need in fleet.needs
    ]
    parts = [
        "\n".join([render(_HEADERS, rows), "", _MEANING, *_gap_lines(fleet.accelerators)]),
        render(_NEED_HEADERS, needs),
        "\n".join(advice_lines(fleet.needs)),
        "" if output_format == "markdown" else terminal_chart(fleet),
    ]
    return "\n\n".join(part for part in parts if part)


def _all_entries(fleet: Fleet) -> list[dict[str, Any]]:
    entries = []
    for counted, need in zip(fleet.accelerators, fleet.needs, strict=True):
        numbers = entry(need)
        judged = {name: numbers[name] for name in ("verdict", "need_gib", "need_low_gib", "need_high_gib")}
        of_metrics = [_entry(counted, name, gauge) for name, gauge in counted.gauges.items()]
        entries += [each | judged for each in of_metrics or [_entry(counted, None, None)]]
    return entries


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
        who.number,
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
    return [
        f"{accelerator.who.host} #{accelerator.who.index}: {missed:,} readings missed ({reason})"
        for accelerator in accelerators
        for reason, missed in accelerator.missed.items()
    ]


@click.group(name="samples")
def command() -> None:
    """Look at collected samples."""


for _subcommand in (show, samples_summary.summary, need):
    command.add_command(_subcommand)
