"""Rows of serving engines as the store reads them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from advisor.samples.metrics import ENGINE_METRICS, ROW_SECONDS, Kind
from advisor.samples.need.rows import Rows
from advisor.samples.need.timeline import Who

_US_PER_SECOND = 1_000_000
_Key = tuple[str, str | None, int | None, str | None]
_IDENTITY = ("host", "endpoint", "rank", "model")
_METRICS = tuple(metric.name for metric in ENGINE_METRICS if metric.kind is not Kind.HISTOGRAM)
_GAUGES = tuple(f"{metric.name}_max" for metric in ENGINE_METRICS if metric.kind is Kind.GAUGE)


def rows_of_engines(table: pa.Table) -> Rows:
    """Rows of a table with the columns of an engines' file, each reading of an engine once."""
    end_us = table["timestamp"].cast(pa.int64()).to_numpy()
    keys = _identities(list(zip(*(table[name].to_pylist() for name in _IDENTITY), strict=True)))
    order = {key: number for number, key in enumerate(sorted(set(keys), key=_place))}
    target = np.array([order[key] for key in keys], dtype=np.int64)
    is_gap = np.array([reason is not None for reason in table["gap_reason"].to_pylist()], dtype=np.bool_)
    chosen = np.lexsort((is_gap, end_us, target))
    is_first = np.ones(chosen.size, dtype=np.bool_)
    is_first[1:] = (np.diff(target[chosen]) != 0) | (np.diff(end_us[chosen]) != 0)
    chosen = chosen[is_first]
    return Rows(
        who=tuple(Who(host, rank or 0, None, endpoint, model) for host, endpoint, rank, model in order),
        target=target[chosen],
        timestamp_us=end_us[chosen],
        start_us=end_us[chosen] - ROW_SECONDS * _US_PER_SECOND,
        is_gap=is_gap[chosen],
        columns={
            name: table[name].cast(pa.float64()).to_numpy()[chosen]
            for name in (*_METRICS, *_GAUGES)
            if name in table.column_names
        },
    )  # fmt: skip


def _identities(keys: Sequence[_Key]) -> Sequence[_Key]:
    """Rows from before an engine answered name no model: they are of its only one."""
    models: dict[_Key, set[str]] = {}
    for key in set(keys):
        if key[3] is not None:
            models.setdefault((*key[:3], None), set()).add(key[3])
    only = {place: (*place[:3], next(iter(names))) for place, names in models.items() if len(names) == 1}
    return [only.get(key, key) for key in keys]


def _place(key: _Key) -> tuple[str, str, int, str]:
    host, endpoint, rank, model = key
    return host, endpoint or "", rank or 0, model or ""
