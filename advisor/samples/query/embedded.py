"""Questions to directories of samples, answered from the counts of their days and the rows of their engines.

An accelerator is its UUID: on its host always, and across hosts that do not have all days of the window (a renamed
host, a machine that was replaced).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.growth import Booleans, Floats, Integers
from advisor.samples.metrics import ACCELERATOR_METRICS, ENGINE_METRICS, METRICS, ROW_SECONDS, Kind, Scope
from advisor.samples.places import ROW_US
from advisor.samples.query import Accelerator, QueryBackend, Summary, Window
from advisor.samples.query.counts import Counted, Counts, Grid, Timeline, timeline
from advisor.samples.store.bucket import SCHEMES, is_store
from advisor.samples.store.reading import HostReader, Store

NEED_COLUMNS = (
    "requests_waiting", "requests_running", "requests_running_max", "kv_cache_used_ratio", "kv_cache_used_ratio_max",
    "preemptions",
)  # fmt: skip
"""What is read of engines for the need of accelerators."""
GAUGE_COLUMNS = tuple(
    name for metric in ENGINE_METRICS if metric.kind is Kind.GAUGE for name in (metric.name, f"{metric.name}_max")
)


class EngineKey(NamedTuple):
    """One model on one rank of an engine, as one host's agent reads it."""

    engine: str
    """Key in exporters.csv."""
    host: str
    endpoint: str
    rank: int | None
    model: str | None
    """None: it does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineRows:
    """Rows and gaps of one engine in order of time; arrays of shape ``(rows,)``."""

    key: EngineKey
    end_us: Integers
    """End of each row, µs since 1970."""
    is_gap: Booleans
    columns: Mapping[str, Floats]
    """Values by column; NaN where unknown."""

    def where(self, is_kept: Booleans) -> "EngineRows":
        """Some of the rows."""
        if is_kept.all():
            return self
        columns = {name: values[is_kept] for name, values in self.columns.items()}
        return EngineRows(self.key, self.end_us[is_kept], self.is_gap[is_kept], columns)

    def on(self, grid: Grid, columns: Sequence[str] = NEED_COLUMNS) -> Timeline:
        """Some of its columns on the rows of its host."""
        key, some = self.key, {name: self.columns[name] for name in columns}
        return timeline(Accelerator(key.host, key.rank or 0, None, key.endpoint, key.model), grid, self.end_us, some)


def engine_rows(tables: Iterable[pa.Table], columns: Sequence[str]) -> list[EngineRows]:
    """Rows by engine, in order of engine, host, endpoint, rank and model, from tables in order of time."""
    parts: dict[EngineKey, list[EngineRows]] = {}
    for table in tables:
        for part in _runs(table, columns):
            parts.setdefault(part.key, []).append(part)
    return _named([_joined(parts[key]) for key in sorted(parts, key=_order)])


def _runs(table: pa.Table, columns: Sequence[str]) -> Iterator[EngineRows]:
    """Rows of one engine after the other, as they lie in a table."""
    table = table.combine_chunks()
    codes = []
    for name in EngineKey._fields:
        column = table[name].combine_chunks()
        numbers = column.indices if pa.types.is_dictionary(column.type) else column
        codes.append(numbers.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False))
    edges = np.flatnonzero(np.append(np.append(True, (np.diff(codes) != 0).any(axis=0)), True))
    end_us = table["timestamp"].cast(pa.int64()).to_numpy()
    is_gap = table["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    values = {name: table[name].cast(pa.float64()).to_numpy() for name in columns}
    for begin, end in pairwise(edges.tolist()):
        key = EngineKey(*(table[name][begin].as_py() for name in EngineKey._fields))
        some = {name: column[begin:end] for name, column in values.items()}
        yield EngineRows(key, end_us[begin:end], is_gap[begin:end], some)


def _order(key: EngineKey) -> tuple[str, str, str, int, str]:
    return key.engine, key.host, key.endpoint or "", -1 if key.rank is None else key.rank, key.model or ""


def _named(engines: Sequence[EngineRows]) -> list[EngineRows]:
    """Engines with what was recorded before they answered, and so named no model, where they have only one."""
    places: dict[EngineKey, list[EngineRows]] = {}
    for engine in engines:
        places.setdefault(engine.key._replace(model=None), []).append(engine)
    joined: list[EngineRows] = []
    for group in places.values():
        named = [rows for rows in group if rows.key.model is not None]
        others = [rows for rows in group if rows.key.model is None]
        joined += [_joined([*named, *others])] if len(named) == 1 else group
    return joined


def _joined(parts: Sequence[EngineRows]) -> EngineRows:
    """All rows of an engine in order of time, under the key of the first part."""
    if len(parts) == 1:
        return parts[0]
    end_us = np.concatenate([part.end_us for part in parts])
    is_gap = np.concatenate([part.is_gap for part in parts])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    if (np.diff(end_us) >= 0).all():
        return EngineRows(parts[0].key, end_us, is_gap, columns)
    order = np.argsort(end_us, kind="stable")
    return EngineRows(parts[0].key, end_us[order], is_gap[order], {name: each[order] for name, each in columns.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A group of hosts over a window."""

    accelerators: Sequence[Counted]
    """In order of host, index and MIG instance."""
    engines: Sequence[EngineRows]
    grids: Mapping[str, Grid]
    """Time grid of each host, over all that was recorded of it, gaps included."""


def survey(hosts: HostReader, engine_columns: Sequence[str]) -> Survey:
    """Read a group of hosts."""
    engines = engine_rows(hosts.rows_by_day(Scope.ENGINE, engine_columns), engine_columns)
    tables = list(hosts.counts_by_day())
    counts = Counts(tables) if tables else None
    spans: dict[str, tuple[int, int]] = {}
    ranges = [(engine.key.host, int(engine.end_us[0]) - ROW_US, int(engine.end_us[-1])) for engine in engines]
    for host, first, last in (*ranges, *(counts.spans() if counts else ())):
        before = spans.get(host, (first, last))
        spans[host] = (min(first, before[0]), max(last, before[1]))
    window = hosts.window
    grids = {
        host: Grid.over(max(first, window.start_us), min(last, window.end_us)) for host, (first, last) in spans.items()
    }
    return Survey(counts.accelerators(grids) if counts else (), engines, grids)


_Answer = tuple[Accelerator, list[Summary]]
_GAUGES = tuple(metric.name for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE)
_ENGINE_GAUGES = tuple(metric.name for metric in ENGINE_METRICS if metric.kind is Kind.GAUGE)


class EmbeddedBackend:
    """Answers from the files of agents; implements :class:`advisor.samples.query.QueryBackend`."""

    def __init__(self, places: Sequence[str]) -> None:
        """Look at the names of the files; none is opened yet. *places*: directories or addresses in object storage.

        Raises InputError if there is no such directory.
        """
        self._store = Store(places)
        self._asked: tuple[Window, list[_Answer]] | None = None

    def window(self) -> Window | None:
        """Window from the first to the last row; None where there is none."""
        return self._store.window()

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """Accelerators with rows in a window, in order of host, index and MIG instance."""
        return [accelerator for accelerator, _ in self._answers(window)]

    def metrics(self, window: Window) -> Sequence[str]:
        """Names of gauges that have values in a window."""
        names = {summary.metric for _, summaries in self._answers(window) for summary in summaries}
        return [name for name in METRICS if name in names]

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """Some metrics of all accelerators, host by host. Raises InputError if there is no metric of that name."""
        for name in metrics:
            if name not in METRICS:
                raise InputError(f"there is no metric {name}", hint=f"one of {', '.join(METRICS)}")
        for _, summaries in self._answers(window):
            yield from (summary for summary in summaries if summary.metric in metrics)

    def notes(self) -> Sequence[str]:
        """Files that were left out so far, and why."""
        return self._store.notes()

    def _answers(self, window: Window) -> list[_Answer]:
        """Everything that there is in a window, read once: a few numbers of each accelerator and metric."""
        if self._asked is None or self._asked[0] != window:
            answers = [answer for group in self._store.answers(window, _of_hosts) for answer in group]
            self._asked = (window, sorted(answers, key=lambda answer: answer[0].place))
        return self._asked[1]


def _of_hosts(hosts: HostReader) -> list[_Answer]:
    surveyed = survey(hosts, GAUGE_COLUMNS)
    answers = [_of_engine(engine, hosts.window) for engine in surveyed.engines if not engine.is_gap.all()]
    return [*(_of_accelerator(counted, hosts.window) for counted in surveyed.accelerators if counted.rows), *answers]


def _of_accelerator(counted: Counted, window: Window) -> _Answer:
    who = counted.who
    gauges = [(name, counted.gauges[name]) for name in _GAUGES if name in counted.gauges]
    return who, [
        Summary(who, name, gauge.p50, gauge.p95, gauge.max, gauge.mean, _coverage(gauge.rows, window), gauge.rows)
        for name, gauge in gauges
    ]


def _of_engine(engine_rows: EngineRows, window: Window) -> _Answer:
    key = engine_rows.key
    who = Accelerator(key.host, -1 if key.rank is None else key.rank, None, key.endpoint, key.model)
    summaries = []
    for name in _ENGINE_GAUGES:
        means, greatest = engine_rows.columns[name], engine_rows.columns[f"{name}_max"]
        observed = means[~np.isnan(means)]
        if observed.size:
            p50, p95 = (float(value) for value in np.quantile(observed, (0.5, 0.95)))
            most = float(np.nanmax(np.fmax(means, greatest)))
            coverage_ratio = _coverage(observed.size, window)
            summaries.append(Summary(who, name, p50, p95, most, float(observed.mean()), coverage_ratio, observed.size))
    return who, summaries


def _coverage(rows: int, window: Window) -> float:
    return min(rows * ROW_SECONDS / window.seconds, 1.0)


_HINT = (
    "give directories that `advisor agent run --output` writes to, or addresses of copies of them "
    f"({'…, '.join(SCHEMES)}…); or else one address of a Prometheus-compatible server (https://…), or cloudwatch://REGION"
)


def open_backend(places: Sequence[str], *, metrics: Path | None = None) -> QueryBackend:
    """The backend for directories or an address; what carries large libraries loads only when it is asked for.

    *metrics*: file that maps further names of metrics, for Prometheus-compatible servers. Raises InputError if nothing
    can answer for it, or what can is not installed.
    """
    if all(map(is_store, places)):
        return EmbeddedBackend(places)
    if len(places) > 1:
        raise InputError("only directories can be read together", where=", ".join(places), hint=_HINT)
    place = places[0]
    if place.startswith(("http://", "https://")):
        from advisor.samples.query.prometheus import PrometheusBackend  # noqa: PLC0415 - one backend of several

        return PrometheusBackend.at(place, metrics=metrics)
    if place.startswith("cloudwatch://"):
        from advisor.samples.query.cloudwatch import CloudWatchBackend  # noqa: PLC0415 - one backend of several

        return CloudWatchBackend.at(place)
    raise InputError("no reader knows this kind of address", where=place, hint=_HINT)
