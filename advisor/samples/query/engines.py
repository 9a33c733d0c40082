"""Rows of serving engines, one engine after the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.samples.metrics import ENGINE_METRICS, Kind
from advisor.samples.query.grid import Grid, Who
from advisor.samples.query.timeline import Timeline, timeline
from advisor.samples.store.row_tables import target_codes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_IDENTITY = ("engine", "host", "endpoint", "rank", "model")
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
        return timeline(Who(key.host, key.rank or 0, None, key.endpoint, key.model), grid, self.end_us, some)


def engine_rows(tables: Iterable[pa.Table], columns: Sequence[str]) -> list[EngineRows]:
    """Rows by engine, in order of engine, host, endpoint, rank and model.

    Args:
        tables: of each host and date in order of time, with the keys of engines' rows and *columns*.
        columns: what is wanted of them.
    """
    parts = list(tables)
    if not parts:
        return []
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    codes = target_codes(table, _IDENTITY)
    end_us = table["timestamp"].cast(pa.int64()).to_numpy()
    order = np.lexsort((end_us, codes))
    edges = np.append(np.flatnonzero(np.diff(codes[order], prepend=-1)), order.size)
    is_gap = table["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    values = {name: table[name].cast(pa.float64()).to_numpy() for name in columns}
    found = []
    for begin, end in pairwise(edges.tolist()):
        rows = order[begin:end]
        key = EngineKey(*(table[name][int(rows[0])].as_py() for name in _IDENTITY))
        found.append(EngineRows(key, end_us[rows], is_gap[rows], {name: each[rows] for name, each in values.items()}))
    return _named(found)


def _named(engines: Sequence[EngineRows]) -> list[EngineRows]:
    """Engines with what was recorded before they answered, and so named no model, where they have only one."""
    models: dict[EngineKey, list[EngineRows]] = {}
    for one in engines:
        if one.key.model is not None:
            models.setdefault(one.key._replace(model=None), []).append(one)
    found = []
    for one in engines:
        same = models.get(one.key._replace(model=None), [])
        if one.key.model is None and len(same) == 1:
            continue
        nameless = [other for other in engines if other.key == one.key._replace(model=None) and other is not one]
        found.append(_joined(one, nameless[0]) if nameless and len(same) == 1 else one)
    return found


def _joined(one: EngineRows, other: EngineRows) -> EngineRows:
    end_us = np.concatenate((one.end_us, other.end_us))
    order = np.argsort(end_us, kind="stable")
    whole = replace(
        one,
        end_us=end_us,
        is_gap=np.concatenate((one.is_gap, other.is_gap)),
        columns={name: np.concatenate((values, other.columns[name])) for name, values in one.columns.items()},
    )
    return EngineRows(
        whole.key, end_us[order], whole.is_gap[order], {name: values[order] for name, values in whole.columns.items()}
    )
