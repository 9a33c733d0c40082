"""``advisor samples summary``: each metric of each accelerator and engine over a window.

The JSON is a list with one object for each accelerator and metric::

    host            string
    accelerator     number on the host; of an engine its rank
    metric          name with its unit: busy_ratio, memory_used_bytes, kv_cache_used_ratio, ...
    p50, p95        quantiles of the row means (rows of fifteen seconds; a reader of other stores says what its are)
    max             highest reading
    mean            mean of the row means
    coverage_ratio  share of the window in which the metric is known (0..1)
    mig_index       number of the MIG instance; null for a whole accelerator and for an engine
    uuid            of the accelerator; of an engine its endpoint; null where unknown
    product         name of the accelerator; of an engine its model; null where unknown
    rows            known rows
    unit            of the metric
"""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from advisor.cli.numbers import duration_between
from advisor.cli.output import deliver, output_option, report_format_option
from advisor.cli.progress import Progress, tell
from advisor.cli.samples_read import places_argument
from advisor.entries import picked
from advisor.errors import InputError
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.metrics import METRICS, Kind, Scope
from advisor.samples.query.values import QueryBackend, Summary, Window
from advisor.units import LONGEST, bytes_to_gib

_HEADERS = ("host", "#", "of", "metric", "unit", "p50", "p95", "max", "mean", "max ÷ mean", "coverage")
window_option = click.option(
    "--window",
    type=duration_between(timedelta(seconds=15), LONGEST),
    metavar="SPAN",
    help="Only so long before the newest sample, such as 24h or 14d.  [default: all there is]",
)

metrics_option = click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(dir_okay=False, path_type=Path),
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

    text, notes = render_summary(open_backend(places, metrics=metrics_file), ", ".join(places), window, output_format)
    for note in (*notes, *_fleet_notes(places)):
        tell(f"note: {note}")
    deliver(text, output)


def _fleet_notes(places: Sequence[str]) -> Iterator[str]:
    """Notes on what the hosts of directories or buckets are, as a workload file has it."""
    from advisor.samples.store.hosts import running_fleet  # noqa: PLC0415 - it loads pyarrow

    fleet = running_fleet(places)
    for machines in fleet.machines:
        yield f"these hosts run now: current: {machines}"
    for line in fleet.engines:
        yield f"engine there: {line}"
    if fleet.unknown:
        yield fleet.unknown_words()


def render_summary(
    backend: QueryBackend, place: str, window: timedelta | None, output_format: str
) -> tuple[str, Sequence[str]]:
    """The answer as text, and the notes of the backend."""
    asked = window_of(backend, place, window)
    known = [name for name in backend.metrics(asked) if name in METRICS and METRICS[name].kind is Kind.GAUGE]
    found = list(summaries(backend, asked, known))
    if output_format == "json":
        return f"{json.dumps([_entry(one) for one in found], indent=2, ensure_ascii=False)}\n", backend.notes()
    render = render_markdown_table if output_format == "markdown" else render_table
    return f"{render(_HEADERS, [_row(one) for one in found])}\n", backend.notes()


def window_of(backend: QueryBackend, place: str, span: timedelta | None) -> Window:
    """The newest *span* of what there is, or all of it.

    Raises:
        InputError: there is nothing.
    """
    whole = backend.window()
    if whole is None:
        raise InputError("no samples here", where=place, hint="collect some: `advisor agent run --output DIR`")
    return whole.newest(None if span is None else span.total_seconds())


def summaries(backend: QueryBackend, window: Window, metrics: Sequence[str]) -> Iterator[Summary]:
    """Some metrics of everything in a window, with a bar on stderr while it takes long."""
    total = len(metrics) * len(backend.accelerators(window))
    with Progress("summaries") as progress:
        for done, one in enumerate(backend.summaries(metrics, window), start=1):
            progress.watch("summaries", done, max(total, done))
            yield one


def _entry(one: Summary) -> dict[str, Any]:
    return {
        "host": one.accelerator.host,
        "accelerator": one.accelerator.index,
        **picked(one, "metric", "p50", "p95", "max", "mean", "coverage_ratio"),
        **picked(one.accelerator, "mig_index", "uuid", "product"),
        "rows": one.rows,
        "unit": METRICS[one.metric].unit if one.metric in METRICS else None,
    }


def _of_words(one: Summary) -> str:
    """Name of an accelerator; of an engine its model and address."""
    who = one.accelerator
    if one.metric not in METRICS or METRICS[one.metric].scope is Scope.ACCELERATOR or not who.uuid:
        return who.product or "-"
    return f"{who.product or 'engine'} at {who.uuid.partition('://')[2].removesuffix('/metrics') or who.uuid}"


def _row(one: Summary) -> Sequence[str]:
    """One line of the table; bytes as GiB."""
    who = one.accelerator
    unit = METRICS[one.metric].unit if one.metric in METRICS else "-"
    numbers = [one.p50, one.p95, one.max, one.mean]
    if unit == "bytes":
        unit, numbers = "GiB", [bytes_to_gib(number) for number in numbers]
    return [
        who.host,
        str(who.index) if who.mig_index is None else f"{who.index}.{who.mig_index}",
        _of_words(one),
        one.metric,
        unit,
        *(f"{number:,.4g}" for number in numbers),
        f"{one.max / one.mean:.1f}" if one.mean else "-",
        f"{one.coverage_ratio:.1%}",
    ]
