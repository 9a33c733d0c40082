"""Rows of serving engines, one engine after the other, and all that is asked of a group of hosts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from advisor.records import dataclass
from advisor.samples.growth import Booleans, Floats, Integers
from advisor.samples.metrics import ENGINE_METRICS, Kind, Scope
from advisor.samples.places import ROW_US
from advisor.samples.query.counts import Counted, Counts, Grid, Timeline, timeline
from advisor.samples.query.values import Accelerator
from advisor.samples.store.reading import HostReader

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
    """Of each host, over all that was recorded of it, gaps included."""


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
