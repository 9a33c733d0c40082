"""The questions as Ibis expressions, in nothing but what every engine has.

Engines differ in what they call a quantile, and some only estimate it. So it is counted: how many rows have each value,
then, in their order, at which value the wanted rows are. Rows are whole numbers, so the answer is exact everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from advisor.samples.metrics import METRICS, ROW_SECONDS, Scope
from advisor.samples.query.values import Window

if TYPE_CHECKING:
    import ibis

QUANTILES = {"p50": (1, 2), "p95": (19, 20)}
"""Quantiles as fractions."""
PLACE = ("host", "index", "mig", "uuid", "product")
_COLUMNS = {
    "rows": ("host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator"),
    "ticks": ("host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator"),
    "engines": ("host", "rank", None, "endpoint", "model"),
}
_WHOLE_IN_TICKS = (
    "memory_total_bytes", "memory_used_bytes", "memory_reserved_bytes", "sm_clock_mhz", "temperature_celsius",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tables:
    """What an engine has."""

    columns: dict[str, frozenset[str]]
    """By table; only tables that exist."""
    tick_seconds: float
    """Interval of ``ticks``."""

    def of(self, scope: Scope) -> list[str]:
        """Tables that hold accelerators, or engines."""
        wanted = ("engines",) if scope is Scope.ENGINE else ("rows", "ticks")
        return [table for table in wanted if table in self.columns]


def places(tables: Tables, scope: Scope, window: Window | None) -> "ibis.Table | None":
    """Every place that a row was at, with the ends of its first and last row."""
    found = [_rows(tables, table, None, window) for table in tables.of(scope)]
    if not found:
        return None
    rows = _union(found)
    return rows.group_by(*PLACE, "identity").aggregate(first=rows.end.min(), last=rows.end.max())


def known(tables: Tables, scope: Scope, metrics: Sequence[str], window: Window) -> "ibis.Table | None":
    """How many rows know each metric, as a row of numbers."""
    found = []
    for table in tables.of(scope):
        there = [metric for metric in metrics if metric in tables.columns[table]]
        rows = _in_window(_source(tables, table, there), table, window)
        found.append(rows.aggregate(**{metric: _count(rows, metric, metric in there) for metric in metrics}))
    return _union(found) if found else None


def summary(tables: Tables, metric: str, window: Window) -> "ibis.Table | None":
    """Of each accelerator: rows, seconds, mean, maximum, and the two values around each quantile."""
    import ibis  # noqa: PLC0415 - optional

    scope = METRICS[metric].scope
    found = [_rows(tables, table, metric, window) for table in tables.of(scope) if metric in tables.columns[table]]
    if not found:
        return None
    rows = _union(found)
    rows = rows.filter(rows.value.notnull() & ~rows.value.isnan())
    once = rows.group_by("identity", "end").aggregate(
        value=rows.value.max(), greatest=rows.greatest.max(), seconds=rows.seconds.min()
    )
    counts = once.group_by("identity", "value").aggregate(
        n=once.count(), greatest=once.greatest.max(), seconds=once.seconds.sum()
    )
    ordered = ibis.window(group_by="identity", order_by="value", preceding=None, following=0)
    counts = counts.mutate(
        upto=counts.n.sum().over(ordered), total=counts.n.sum().over(ibis.window(group_by="identity"))
    )
    around = {}
    for name, (numerator, denominator) in QUANTILES.items():
        rank = (counts.total - 1) * numerator
        for part, shift in (("low", 0), ("high", denominator)):
            here = ((counts.upto - counts.n) * denominator <= rank + shift) & (rank + shift < counts.upto * denominator)
            around[f"{name}_{part}"] = here.ifelse(counts.value, None).max()
    return counts.group_by("identity").aggregate(
        n=counts.n.sum(),
        seconds=counts.seconds.sum(),
        greatest=counts.greatest.max(),
        mean=(counts.value * counts.n).sum() / counts.n.sum(),
        **around,
    )


def _rows(tables: Tables, table: str, metric: str | None, window: Window | None) -> "ibis.Table":
    """Rows with identity, place and, where a metric is given, its value, its maximum and the row's length."""
    import ibis  # noqa: PLC0415 - optional

    source = _source(tables, table, [metric] if metric else [])
    rows = source if window is None else _in_window(source, table, window)
    if window is None:
        rows = _readings(rows, table)
    named = {new: rows[old] if old else ibis.null("int32") for new, old in zip(PLACE, _COLUMNS[table], strict=True)}
    values = {}
    if metric is not None:
        value = rows[metric].cast("float64")
        greatest = f"{metric}_max"
        values = {
            "value": value,
            "greatest": rows[greatest].coalesce(value) if greatest in rows.columns else value,
            "seconds": ibis.literal(tables.tick_seconds if table == "ticks" else float(ROW_SECONDS)),
        }
    selected = rows.select(end=rows.timestamp, **named, **values)
    return selected.mutate(identity=_identity(selected, table))


def _identity(rows: "ibis.Table", table: str) -> "ibis.Value":
    """Text that is the same for rows of one accelerator: its UUID, else its place; of an engine its place."""
    index, mig = rows["index"].cast("string").fill_null("-"), rows.mig.cast("string").fill_null("-")
    place = "p" + index + "/" + mig + "/" + rows.host
    if table == "engines":
        return place + " " + rows.uuid.fill_null("") + " " + rows["product"].fill_null("")
    return ("u" + rows.uuid).fill_null(place)


def _source(tables: Tables, table: str, metrics: Sequence[str]) -> "ibis.Table":
    """A table by name, with the columns that are needed and there."""
    import ibis  # noqa: PLC0415 - optional

    schema = {"timestamp": "timestamp('UTC', 6)", "gap_reason": "string", "missed_ticks": "int32"}
    for new, column in zip(PLACE, _COLUMNS[table], strict=True):
        if column is not None:
            schema[column] = "int32" if new in {"index", "mig"} else "string"
    for metric in metrics:
        is_whole = table == "ticks" and metric in _WHOLE_IN_TICKS
        schema[metric] = "int64" if is_whole else "float64"
        if f"{metric}_max" in tables.columns[table]:
            schema[f"{metric}_max"] = "float64"
    return ibis.table(schema, name=table)


def _in_window(rows: "ibis.Table", table: str, window: Window) -> "ibis.Table":
    start, end = (
        datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)
        for us in (window.start_us, window.end_us)
    )
    rows = _readings(rows, table)
    return rows.filter((rows.timestamp > start) & (rows.timestamp <= end))


def _readings(rows: "ibis.Table", table: str) -> "ibis.Table":
    """Without gaps."""
    return rows.filter(rows.missed_ticks == 0) if table == "ticks" else rows.filter(rows.gap_reason.isnull())


def _count(rows: "ibis.Table", metric: str, is_there: bool) -> "ibis.Value":  # noqa: FBT001 - a table of cases
    import ibis  # noqa: PLC0415 - optional

    return rows[metric].count() if is_there else ibis.literal(0, "int64")


def _union(tables: Sequence["ibis.Table"]) -> "ibis.Table":
    whole = tables[0]
    for other in tables[1:]:
        whole = whole.union(other)
    return whole
