"""``advisor samples summary``: each metric of each accelerator and engine over a window; its JSON: docs/need.md."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.options import FILE, duration_between
from advisor.cli.output import Progress, deliver, output_option, report_format_option, tell
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import picked
from advisor.report.text_table import render_markdown_table, render_table
from advisor.samples.agent.host_facts import INSTANCE_TYPE, PROVIDER
from advisor.samples.metrics import METRICS, Kind, Scope
from advisor.samples.need.fleet import Fleet
from advisor.samples.query.values import Accelerator, QueryBackend, Summary, Window
from advisor.samples.store.bucket import is_store
from advisor.samples.store.reading import Store, no_rows
from advisor.units import LONGEST, bytes_to_gib

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
        return f"{json.dumps([_entry(row) for row in rows], indent=2, ensure_ascii=False)}\n", backend.notes()
    render = render_markdown_table if output_format == "markdown" else render_table
    return f"{render(_HEADERS, [_row(row) for row in rows])}\n", backend.notes()


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


def _entry(row: Summary) -> dict[str, Any]:
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


def _row(row: Summary) -> Sequence[str]:
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
