"""``advisor samples show``: peak against average of each accelerator, what limits it, and a chart.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from advisor.cli.output import deliver, format_option, output_option
from advisor.cli.samples_chart import CHARTS, terminal_chart, write_chart
from advisor.cli.samples_need import advice_lines, place_of
from advisor.cli.samples_need import entry as need_entry
from advisor.cli.samples_read import read_directory
from advisor.cli.samples_summary import render_summary
from advisor.report.samples_words import need_words, verdict_words
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.need.assess import AcceleratorNeed
from advisor.samples.need.fleet import Fleet, fleet_of
from advisor.samples.query.open import open_backend
from advisor.samples.store import OnlyEnginesError
from advisor.samples.summary import AcceleratorSummary, MetricSummary, summarise
from advisor.units import SECONDS_PER_HOUR, bytes_to_gib

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


@click.command()
@click.argument("place", metavar="DIRECTORY")
@format_option
@output_option
def show(place: str, output_format: str, output: Path | None) -> None:
    """Peak against average, need and chart.

    Of each accelerator, from what `advisor agent run --output DIRECTORY` wrote. With -o FILE.html, .svg or .png it is
    drawn into that file (PNG: pip install 'advisor[charts]').
    """
    try:
        frame = read_directory(place)
    except OnlyEnginesError as alone:
        if output is not None and output.suffix.lower() in CHARTS:
            raise
        deliver(_engines_alone(place, alone, output_format), output)
        return
    fleet = fleet_of(frame, Path(place))
    if output is not None and output.suffix.lower() in CHARTS:
        write_chart(fleet, output)
        return
    summaries = summarise(frame)
    if output_format == "json":
        text = json.dumps(_all_entries(summaries, fleet.needs), indent=2, ensure_ascii=False)
    else:
        text = _tables(summaries, fleet, output_format)
    deliver(f"{text}\n", output)


def _engines_alone(place: str, alone: OnlyEnginesError, output_format: str) -> str:
    """What there is of engines where no accelerator was watched; in JSON, which is of accelerators, nothing."""
    click.echo(f"note: {alone.message}", err=True)
    return "[]\n" if output_format == "json" else render_summary(open_backend(place), place, None, output_format)[0]


def _tables(summaries: Sequence[AcceleratorSummary], fleet: Fleet, output_format: str) -> str:
    """Peak against average, what is needed, and how it went over time; Markdown has no room for the last."""
    render = render_markdown_table if output_format == "markdown" else render_table
    parts = [
        "\n".join([render(_HEADERS, [_row(one) for one in summaries]), "", _MEANING, *_gap_lines(summaries)]),
        render(_NEED_HEADERS, [_need_row(one) for one in fleet.needs]),
        "\n".join(advice_lines(fleet.needs)),
        "" if output_format == "markdown" else terminal_chart(fleet),
    ]
    return "\n\n".join(part for part in parts if part)


def _need_row(one: AcceleratorNeed) -> list[str]:
    return [one.who.host, place_of(one), verdict_words(one.verdict), need_words(one.memory)]


def _all_entries(summaries: Sequence[AcceleratorSummary], needs: Sequence[AcceleratorNeed]) -> list[dict[str, Any]]:
    """Objects of all accelerators; summaries and needs are of the same accelerators in the same order."""
    return [
        {**entry, **_need_entry(need)}
        for summary, need in zip(summaries, needs, strict=True)
        for entry in _entries(summary)
    ]


def _need_entry(one: AcceleratorNeed) -> dict[str, Any]:
    numbers = need_entry(one)
    return {name: numbers[name] for name in ("verdict", "need_gib", "need_low_gib", "need_high_gib")}


def _entries(summary: AcceleratorSummary) -> list[dict[str, Any]]:
    """JSON objects of one accelerator."""
    return [_entry(summary, name, metric) for name, metric in summary.metrics.items()] or [_entry(summary, None, None)]


def _entry(summary: AcceleratorSummary, name: str | None, metric: MetricSummary | None) -> dict[str, Any]:
    return {
        **summary.key._asdict(),
        "metric": name,
        "p50": metric and metric.p50,
        "p95": metric and metric.p95,
        "max": metric and metric.max,
        "mean": metric and metric.mean,
        "peak_to_mean": metric and metric.peak_to_mean,
        "coverage_ratio": metric.coverage_ratio if metric else summary.coverage_ratio,
        "samples": summary.samples,
        "missed_ticks": summary.missed_ticks,
        "energy_joules": summary.energy_joules,
    }


def _row(summary: AcceleratorSummary) -> list[str]:
    key = summary.key
    place = str(key.accelerator_index) if key.mig_index is None else f"{key.accelerator_index}.{key.mig_index}"
    memory = summary.metrics.get("memory_used_bytes")
    total = summary.metrics.get("memory_total_bytes")
    busy = summary.metrics.get("busy_ratio")
    return [
        key.host,
        place,
        key.accelerator or "unknown",
        f"{summary.coverage_ratio:.1%}",
        *((_gib(memory.mean), _gib(memory.max)) if memory else ("-", "-")),
        _gib(total.max) if total else "-",
        *(f"{value:.1%}" for value in ((busy.mean, busy.p50, busy.p95, busy.max) if busy else ())),
        *([] if busy else ["-"] * 4),
        f"{busy.peak_to_mean:.1f}" if busy and busy.peak_to_mean is not None else "-",
        "-" if summary.energy_joules is None else f"{summary.energy_joules / _JOULES_PER_KWH:,.3f}",
    ]


def _gib(size_bytes: float) -> str:
    return f"{bytes_to_gib(size_bytes):.1f}"


def _gap_lines(summaries: Sequence[AcceleratorSummary]) -> list[str]:
    """What was missed, by accelerator and reason."""
    return [
        f"{summary.key.host} #{summary.key.accelerator_index}: {missed:,} readings missed ({reason})"
        for summary in summaries
        for reason, missed in summary.gap_reasons.items()
    ]
