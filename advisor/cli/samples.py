"""``advisor samples``: peak against average, each metric over a window, what is needed, and what limits it.

The keys of the JSON are in docs/agent.md (``show``) and docs/need.md (``need``, ``summary``).
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.atomic_files import write_output
from advisor.cli.options import FILE, duration_between
from advisor.cli.output import (
    Progress,
    answers_text,
    deliver,
    list_format_option,
    output_option,
    report_format_option,
    tell,
)
from advisor.errors import InputError
from advisor.models import FitRequest, find_model, fit_memory, memory_range, parse_precision
from advisor.names import first_names
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
from advisor.samples.agent.host_facts import INSTANCE_TYPE, PROVIDER
from advisor.samples.metrics import METRICS, Kind, Scope
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
from advisor.samples.query import Accelerator, QueryBackend, Summary, Window
from advisor.samples.query.counts import Counted, Distribution
from advisor.samples.query.embedded import open_backend
from advisor.samples.store.bucket import is_store
from advisor.samples.store.reading import Store, no_rows
from advisor.units import LONGEST, SECONDS_PER_HOUR, bytes_to_gib, gib_to_bytes

if TYPE_CHECKING:
    from advisor.samples.store.hosts import Host


places_argument = click.argument("places", metavar="PLACE...", nargs=-1, required=True)


def fleet_at(places: Sequence[str], span: timedelta | None = None) -> Fleet:
    """Accelerators of directories and what each needs; files that are left out are named on stderr.

    *places* are directories, or addresses in object storage; *span*: so long before the newest row, None: all there is.
    Raises InputError if one of them is another kind of address, or there are no samples in them.
    """
    if not all(map(is_store, places)):
        raise InputError(
            "rows are needed for this, and a server answers with summaries",
            where=", ".join(places),
            hint="`advisor samples summary` and `advisor samples need` take the address of a server",
        )
    store = Store(places)
    whole = store.days() if span is None else store.window()
    if whole is None:
        raise no_rows(store.where, store.notes())
    with Progress("hosts read") as progress:
        fleet = Fleet.of(store, whole.newest(None if span is None else span.total_seconds()), progress.watch)
    for note in store.notes():
        tell(f"skipped {note}")
    if not fleet.accelerators:
        if not fleet.engines:
            raise no_rows(store.where, store.notes())
        tell("note: serving engines were watched here, and no accelerators")
    return fleet


_SUMMARY_HEADERS = ("host", "#", "of", "metric", "unit", "p50", "p95", "max", "mean", "max ÷ mean", "coverage")
window_option = click.option(
    "--window",
    type=duration_between(timedelta(seconds=15), LONGEST),
    metavar="SPAN",
    help="Only so long before the newest sample, such as 24h or 14d.  [default: all there is]",
)

metrics_option = click.option(
    "--metrics",
    "metrics_file",
    type=FILE,
    help="Of a Prometheus-compatible server: CSV file that maps further names of metrics (docs/metrics.md).",
)


@click.command()
@places_argument
@window_option
@metrics_option
@report_format_option
@output_option
def summary(
    places: tuple[str, ...],
    window: timedelta | None,
    metrics_file: Path | None,
    output_format: str,
    output: Path | None,
) -> None:
    """Quantiles, peak and mean of each metric.

    PLACE is a directory of samples, on this machine or in object storage (s3://, gs://, az://); there may be several.
    Or it is the URL of what keeps them.
    """
    from advisor.samples.query.embedded import open_backend  # noqa: PLC0415 - each reader loads what it needs

    backend, where = open_backend(places, metrics=metrics_file), ", ".join(places)
    text, notes = render_summary(backend, where, window, output_format)
    for note in (*notes, *_fleet_notes(places, backend, window_of(backend, where, window))):
        tell(f"note: {note}")
    deliver(text, output)


def _fleet_notes(places: Sequence[str], backend: QueryBackend, asked: Window) -> Iterator[str]:
    """Notes on what the hosts of directories or buckets are, as a workload file has it, and on what is not sampled."""
    from advisor.samples.store.hosts import running_fleet  # noqa: PLC0415 - it loads pyarrow

    fleet = running_fleet(places)
    for machines in fleet.machines:
        unpaid = "; how they are paid for is not known, a plan takes it for on_demand: agent --label purchase=… tells"
        yield f"these hosts run now: current: {machines}{'' if machines.purchase else unpaid}"
    for line in fleet.engines:
        yield f"engine there: {line}"
    if fleet.unknown:
        yield fleet.unknown_words()
    if stated := [host for host in fleet.hosts if host.facts.get(INSTANCE_TYPE)]:
        yield from _unseen_words(stated, backend.accelerators(asked))


def _unseen_words(hosts: Sequence["Host"], seen: Sequence[Accelerator]) -> Iterator[str]:
    """Hosts with samples of some of the accelerators that their types have, by type and number."""
    from advisor.catalog import load_catalog  # noqa: PLC0415 - few stores say what their hosts are

    types = load_catalog().instance_types
    few: dict[tuple[str, int, float], list[str]] = {}
    for host in hosts:
        name = host.facts[INSTANCE_TYPE]
        machine = types.get((host.facts.get(PROVIDER, ""), name))
        count = len({each.index for each in seen if each.host == host.name and not _is_engine(each)})
        if count and machine is not None and machine.accelerator_count and count < machine.accelerator_count:
            few.setdefault((name, count, machine.accelerator_count), []).append(host.name)
    for (name, count, whole), names in few.items():
        told = f"{first_names(names)}: samples of {count} of the {whole:g} accelerators of {name}"
        yield f"{told}: the others are hidden from the agent (a container's devices), or gone"


def _is_engine(who: Accelerator) -> bool:
    """Whether it is a serving engine, whose ``uuid`` is an address."""
    return "://" in (who.uuid or "")


def render_summary(
    backend: QueryBackend, place: str, window: timedelta | None, output_format: str
) -> tuple[str, Sequence[str]]:
    """The answer as text, and the notes of the backend."""
    asked = window_of(backend, place, window)
    metric_names = [name for name in backend.metrics(asked) if name in METRICS and METRICS[name].kind is Kind.GAUGE]
    rows = list(summaries(backend, asked, metric_names))
    if output_format == "json":
        return f"{json.dumps([_summary_entry(row) for row in rows], indent=2, ensure_ascii=False)}\n", backend.notes()
    render = render_markdown_table if output_format == "markdown" else render_table
    return f"{render(_SUMMARY_HEADERS, [_summary_row(row) for row in rows])}\n", backend.notes()


def window_of(backend: QueryBackend, place: str, span: timedelta | None) -> Window:
    """The newest *span* of what there is, or all of it. Raises InputError if there is nothing."""
    whole = backend.window()
    if whole is None:
        from advisor.samples.query.embedded import EmbeddedBackend  # noqa: PLC0415 - it loads pyarrow

        raise no_rows(place, backend.notes() if isinstance(backend, EmbeddedBackend) else ())
    return whole.newest(None if span is None else span.total_seconds())


def summaries(backend: QueryBackend, window: Window, metrics: Sequence[str]) -> Iterator[Summary]:
    """Some metrics of everything in a window, with a bar on stderr while it takes long."""
    total = len(metrics) * len(backend.accelerators(window))
    with Progress("summaries") as progress:
        for done, summary in enumerate(backend.summaries(metrics, window), start=1):
            progress.watch("summaries", done, max(total, done))
            yield summary


def _summary_entry(row: Summary) -> dict[str, Any]:
    return {
        "host": row.accelerator.host,
        "accelerator": row.accelerator.index,
        **picked(row, "metric", "p50", "p95", "max", "mean", "coverage_ratio"),
        **picked(row.accelerator, "mig_index", "uuid", "product"),
        "rows": row.rows,
        "unit": METRICS[row.metric].unit if row.metric in METRICS else None,
    }


def _of_words(row: Summary) -> str:
    """Name of an accelerator; of an engine its model and address."""
    who = row.accelerator
    if row.metric not in METRICS or METRICS[row.metric].scope is Scope.ACCELERATOR or not who.uuid:
        return who.product or "-"
    return f"{who.product or 'engine'} at {who.uuid.partition('://')[2].removesuffix('/metrics') or who.uuid}"


def _summary_row(row: Summary) -> Sequence[str]:
    """One line of the table; bytes as GiB."""
    who = row.accelerator
    unit = METRICS[row.metric].unit if row.metric in METRICS else "-"
    numbers = [row.p50, row.p95, row.max, row.mean]
    if unit == "bytes":
        unit, numbers = "GiB", [bytes_to_gib(number) for number in numbers]
    return [
        who.host,
        who.number,
        _of_words(row),
        row.metric,
        unit,
        *(f"{number:,.4g}" for number in numbers),
        f"{row.max / row.mean:.1f}" if row.mean else "-",
        f"{row.coverage_ratio:.1%}",
    ]


_LONG_NEED_HEADERS = (
    "host", "#", "verdict", "need GiB", "low", "high", "held", "KV p95", "queue p95", "busy p95", "SM p95", "DRAM p95",
    "tensor p95", "coverage",
)  # fmt: skip
_PROFILED = ("sm_active", "dram_active", "tensor_active")


@click.command()
@places_argument
@window_option
@metrics_option
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
        return fleet_at(places, window).needs
    backend = open_backend(places, metrics=metrics)
    asked = window_of(backend, places[0], window)
    metric_names = [name for name in backend.metrics(asked) if name in METRICS_NEEDED]
    needs = tuple(assess_summaries(list(summaries(backend, asked, metric_names))))
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


for _subcommand in (show, summary, need):
    command.add_command(_subcommand)
