"""``advisor samples need``: what each accelerator needs, and what limits it.

The JSON is a list with one object for each accelerator::

    host, accelerator, mig_index, uuid, product   which one
    verdict           idle, memory_bound, throttled, compute_and_bandwidth_bound, compute_bound, bandwidth_bound,
                      busy_not_saturated, within_limits or unknown
    likely            what it would be if what was not observed had been like the rest
    missing           signals that the verdict lacks
    compared          by limit: value, low, high, coverage_ratio, basis and the limit itself
    held_gib, total_gib                           the most memory that was held, and what there is
    need_gib          null where no engine says what it used, or --model is not stated
    need_low_gib, need_high_gib                   what the need can be; "at least" where need_is_exceeded
    need_is_exceeded  the KV cache was full while requests queued: more would have been used
    kv_p95, kv_max    use of the KV cache; null where no engine says
    queue_p95         requests waiting
    busy_p95, sm_active_p95, dram_active_p95, tensor_active_p95
    bytes_per_second  mean rates over nvlink_sent_bytes, pcie_received_bytes, ... as far as they were counted
    oversized         accelerators of its product in hosts that have as many, and enough: so many would do at the use
                      from which nothing is to spare (0.8); null where none is to spare, or its use is unknown
    coverage_ratio    the least of the signals that the verdict rests on
    advice            one sentence
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from advisor.cli.output import answers_text, deliver, list_format_option, output_option, tell
from advisor.cli.samples_summary import fleet_at, metrics_option, places_argument, summaries, window_of, window_option
from advisor.entries import picked
from advisor.models import FitRequest, find_model, fit_memory, memory_range, parse_precision
from advisor.report.samples_chart.curves import percent, verdict_words
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.need.engines import Bounds
from advisor.samples.need.fleet import METRICS_NEEDED, AcceleratorNeed, Oversized, assess_summaries, oversized
from advisor.samples.need.limits import WORKING
from advisor.samples.need.memory import Fixed, MemoryNeed
from advisor.samples.need.verdict import grouped
from advisor.samples.query.embedded import open_backend
from advisor.samples.store.files import is_store
from advisor.units import bytes_to_gib, gib_to_bytes

_HEADERS = (
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
    """What each accelerator needs, and what limits it.

    PLACE is a directory of samples, on this machine or in object storage (s3://, gs://, az://); there may be several.
    Or it is the URL of what keeps them, which answers with summaries: what happened at the same time is then unknown.
    With --model the memory that an engine takes besides its KV cache is known, and the need is a number; without, it is
    an interval.
    """
    accelerator_needs = _assess(places, window, metrics_file)
    if model is not None:
        sizes = [
            accelerator_need.memory.total_bytes
            for accelerator_need in accelerator_needs
            if accelerator_need.memory is not None and accelerator_need.memory.total_bytes
        ]
        size = memory_gib or bytes_to_gib(max(sizes, default=gib_to_bytes(80)))
        fixed = fixed_of(model, precision, accelerators, size)
        accelerator_needs = [accelerator_need.besides(fixed) for accelerator_need in accelerator_needs]
    deliver(_rendered(accelerator_needs, output_format), output)


def fixed_of(name: str, precision: str | None, accelerators: int, memory_gib: float) -> Fixed:
    """What an engine holds besides its KV cache on one accelerator, at the edges of the 80 % range.

    Raises:
        InputError: no such model or precision.
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
    accelerator_needs = tuple(assess_summaries(list(summaries(backend, asked, metric_names))))
    for note in backend.notes():
        tell(f"note: {note}")
    return accelerator_needs


def _rendered(accelerator_needs: Sequence[AcceleratorNeed], output_format: str) -> str:
    spare = {host: each for each in oversized(accelerator_needs) for host in each.hosts}
    entries = [
        {**entry(accelerator_need), "oversized": _oversized_entry(spare.get(accelerator_need.who.host))}
        for accelerator_need in accelerator_needs
    ]
    if output_format == "json":
        return f"{json.dumps(entries, indent=2, ensure_ascii=False)}\n"
    if output_format in ("ndjson", "csv"):
        return answers_text(entries, output_format)
    render = render_markdown_table if output_format == "markdown" else render_table
    return "\n".join(
        [
            render(_HEADERS, [_row(accelerator_need) for accelerator_need in accelerator_needs]),
            "",
            *advice_lines(accelerator_needs),
            "",
        ]
    )


def advice_lines(accelerator_needs: Sequence[AcceleratorNeed]) -> list[str]:
    """Advice, each line once for all accelerators that it is given for, and which products are oversized."""
    lines = grouped(
        [
            (f"{accelerator_need.who.host} #{place_of(accelerator_need)}", accelerator_need.advice)
            for accelerator_need in accelerator_needs
        ]
    )
    return [f"- {line}" for line in (*lines, *map(_oversized_line, oversized(accelerator_needs)))]


def _oversized_entry(spare: Oversized | None) -> dict[str, int] | None:
    return None if spare is None else {"accelerators": spare.accelerators, "enough": spare.enough}


def _oversized_line(spare: Oversized) -> str:
    count = len(spare.hosts)
    hosts = spare.hosts[0] if count == 1 else f"{count:,} hosts of {spare.accelerators // count}"
    return (
        f"oversized: {spare.accelerators:,} × {spare.product or 'accelerator'} ({hosts}) busy "
        f"{percent(spare.busy_p95)} at p95; {spare.enough:,} would do at {percent(WORKING.value)} use"
    )


def place_of(accelerator_need: AcceleratorNeed) -> str:
    """Number on the host, and of the MIG instance."""
    return (
        str(accelerator_need.who.index)
        if accelerator_need.who.mig_index is None
        else f"{accelerator_need.who.index}.{accelerator_need.who.mig_index}"
    )


def entry(accelerator_need: AcceleratorNeed) -> dict[str, Any]:
    """One accelerator as an object of the JSON."""
    who, verdict = accelerator_need.who, accelerator_need.verdict
    return {
        "host": who.host,
        "accelerator": who.index,
        **picked(who, "mig_index", "uuid", "product"),
        "verdict": verdict.code.value,
        "likely": verdict.likely.value,
        "missing": list(verdict.missing),
        "compared": {name: _compared(bounds, verdict.limits[name]) for name, bounds in verdict.numbers.items()},
        **_memory_entry(accelerator_need.memory),
        "queue_p95": accelerator_need.queue_p95,
        **{f"{signal}_p95": accelerator_need.ratio(signal) for signal in ("busy", *_PROFILED)},
        "bytes_per_second": dict(accelerator_need.evidence.bytes_per_second),
        "coverage_ratio": verdict.coverage_ratio,
        "advice": accelerator_need.advice,
    }


def _compared(bounds: Bounds, limit: float) -> dict[str, Any]:
    return {**picked(bounds, "value", "low", "high", "coverage_ratio", "basis"), "limit": limit}


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


def _row(accelerator_need: AcceleratorNeed) -> list[str]:
    numbers = _memory_entry(accelerator_need.memory)
    gib = [numbers[name] for name in ("need_gib", "need_low_gib", "need_high_gib", "held_gib")]
    least = "≥" if numbers["need_is_exceeded"] else ""
    return [
        accelerator_need.who.host,
        place_of(accelerator_need),
        verdict_words(accelerator_need.verdict),
        *("-" if value is None else f"{least if not at else ''}{value:.1f}" for at, value in enumerate(gib)),
        percent(numbers["kv_p95"]),
        "-" if accelerator_need.queue_p95 is None else f"{accelerator_need.queue_p95:.1f}",
        *(percent(accelerator_need.ratio(name)) for name in ("busy", *_PROFILED)),
        f"{accelerator_need.verdict.coverage_ratio:.1%}",
    ]
