"""The questions in DuckDB's SQL: rows of several schemas as one relation, each row once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advisor.samples.metrics import ROW_SECONDS, Scope
from advisor.samples.store.tick_files import VALUE_COLUMNS as TICK_COLUMNS

_ACCELERATOR = "accelerator_index, mig_index, accelerator_uuid, accelerator"
_ENGINE = "rank AS accelerator_index, NULL::INTEGER AS mig_index, endpoint AS accelerator_uuid, model AS accelerator"
_IDENTITY = {
    Scope.ACCELERATOR: (
        "coalesce(accelerator_uuid, "
        "' ' || coalesce(accelerator_index, -1) || '/' || coalesce(mig_index, -1) || '/' || host)"
    ),
    Scope.ENGINE: (
        "coalesce(rank, -1) || '/' || host || ' ' || coalesce(endpoint, '') || ' ' || coalesce(model, '') "
        "|| ' ' || coalesce(engine, '')"
    ),
}
_PLACE = "host, accelerator_index, mig_index, accelerator_uuid, accelerator"
_COUNTS = "read_parquet($histograms, hive_partitioning = false)"
_LABEL = "host := host, index := accelerator_index, mig := mig_index, uuid := accelerator_uuid, product := accelerator"


@dataclass(slots=True)
class Parts:
    """Files that make up a relation of rows, by how they are to be read."""

    scope: Scope
    single: list[Path] = field(default_factory=list)
    """Files of v2, each the only one of its host and date: no row is there twice."""
    several: list[Path] = field(default_factory=list)
    """Files of v2 beside which there are others of the same time."""
    ticks: dict[float, list[Path]] = field(default_factory=dict)
    """Files of v1 by their interval in seconds."""
    has_spool: bool = False
    absent: frozenset[str] = frozenset()
    """Columns that no file of v2 has: an older agent wrote them all."""
    is_mixed: bool = False
    """Whether files of v2 differ in their columns."""

    def paths(self) -> list[Path]:
        """All files."""
        return [*self.single, *self.several, *(path for paths in self.ticks.values() for path in paths)]

    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self.paths() and not self.has_spool


def spool_name(scope: Scope) -> str:
    """Name under which rows of the spool are registered."""
    return f"spool_{scope}"


@dataclass(frozen=True, slots=True)
class Query:
    """SQL and its parameters."""

    text: str
    parameters: Mapping[str, object]


def rows_of(parts: Parts, metrics: Sequence[str]) -> Query:
    """Rows, without gaps, as ``identity, host … accelerator, end_us, seconds``, and of each metric mean and maximum."""
    selections: list[str] = []
    parameters: dict[str, object] = {}
    columns = [(metric, *_columns_of(parts, metric)) for metric in metrics]
    if parts.single:
        parameters["single"] = _texts(parts.single)
        selections.append(_select(parts, _reading(parts, "single"), columns))
    doubtful = []
    if parts.several:
        parameters["several"] = _texts(parts.several)
        doubtful.append(_select(parts, _reading(parts, "several"), columns, "filename, file_row_number"))
    for number, (seconds, paths) in enumerate(sorted(parts.ticks.items())):
        parameters[f"ticks{number}"] = _texts(paths)
        doubtful.append(_select_ticks(f"ticks{number}", seconds, metrics))
    if parts.has_spool:
        doubtful.append(_select(parts, spool_name(parts.scope), columns, "'~' AS filename, file_row_number"))
    if doubtful:
        selections.append(_once(" UNION ALL ".join(doubtful), metrics))
    return Query(" UNION ALL ".join(selections), parameters)


def in_window(rows: Query, start_us: int, end_us: int) -> Query:
    """Those rows that belong to a window."""
    text = f"SELECT * FROM ({rows.text}) WHERE end_us > $start_us AND end_us <= $end_us"  # noqa: S608 - our own text
    return Query(text, {**rows.parameters, "start_us": start_us, "end_us": end_us})


def exact_summaries(rows: Query, metrics: Sequence[str], *, by_place: bool) -> Query:
    """Of each accelerator: place where it was last, and of each metric quantiles, maximum, mean, rows and seconds.

    By place it is quicker, and right where no accelerator was at two places.
    """
    values = ", ".join(
        f"quantile_cont({metric}, [0.5, 0.95]), max(coalesce({metric}_max, {metric})), avg({metric}), count({metric}), "
        f"sum(seconds) FILTER (WHERE {metric} IS NOT NULL)"
        for metric in metrics
    )
    label = f"struct_pack({_LABEL})"
    place, key = (label, _PLACE) if by_place else (f"arg_max({label}, end_us)", "identity")
    return Query(f"SELECT {place}, {values} FROM ({rows.text}) GROUP BY {key}", rows.parameters)  # noqa: S608


def tallies(rows: Query, metrics: Sequence[str]) -> Query:
    """How many rows have each value, in the form in which :func:`histograms` gives it."""
    parts = [
        f"SELECT identity, {_PLACE}, '{metric}' AS metric, max(last_us) AS last_us, sum(n)::BIGINT AS n, "  # noqa: S608
        "sum(seconds) AS seconds, max(maximum) AS maximum, NULL::DOUBLE AS resolution, "
        "sum(value * n)::DOUBLE AS mean_sum, list(value) AS values, list(n::INTEGER) AS counts FROM ("
        f"SELECT identity, {_PLACE}, {metric} AS value, count(*) AS n, sum(seconds) AS seconds, "
        f"max(end_us) AS last_us, max(coalesce({metric}_max, {metric})) AS maximum "
        f"FROM wanted WHERE {metric} IS NOT NULL GROUP BY ALL) GROUP BY ALL"
        for metric in metrics
    ]
    return Query(f"WITH wanted AS ({rows.text}) " + " UNION ALL ".join(parts), rows.parameters)


def histograms(paths: Iterable[Path], metrics: Sequence[str]) -> Query:
    """Counts of whole days from their files."""
    wanted = ", ".join(f"'{metric}'" for metric in metrics)
    text = (
        f"SELECT {_IDENTITY[Scope.ACCELERATOR]} AS identity, {_PLACE}, metric, epoch_us(last) AS last_us, "  # noqa: S608
        f"rows AS n, rows * {float(ROW_SECONDS)}::DOUBLE AS seconds, max AS maximum, resolution, mean_sum, "
        f"steps AS values, counts FROM {_COUNTS} WHERE metric IN ({wanted})"
    )
    return Query(text, {"histograms": _texts(paths)})


def places(rows: Query) -> Query:
    """Place where each accelerator was last."""
    text = f"SELECT arg_max(struct_pack({_LABEL}), end_us), max(end_us) FROM ({rows.text}) GROUP BY identity"  # noqa: S608
    return Query(text, rows.parameters)


def counted_places(paths: Iterable[Path]) -> Query:
    """The same from histograms."""
    text = (
        f"SELECT arg_max(struct_pack({_LABEL}), last), epoch_us(max(last)) FROM {_COUNTS} "  # noqa: S608
        f"GROUP BY {_IDENTITY[Scope.ACCELERATOR]}"
    )
    return Query(text, {"histograms": _texts(paths)})


def known_metrics(rows: Query, metrics: Sequence[str]) -> Query:
    """Of each metric whether any row knows it."""
    counts = ", ".join(f"count({metric}) > 0" for metric in metrics)
    return Query(f"SELECT {counts} FROM ({rows.text})", rows.parameters)  # noqa: S608 - our own text


def counted_metrics(paths: Iterable[Path]) -> Query:
    """Metrics that histograms have."""
    return Query(f"SELECT DISTINCT metric FROM {_COUNTS}", {"histograms": _texts(paths)})  # noqa: S608 - our own text


def _texts(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths]


def _reading(parts: Parts, name: str) -> str:
    by_name = ", union_by_name = true" if parts.is_mixed else ""
    numbered = ", filename = true, file_row_number = true" if name == "several" else ""
    return f"read_parquet(${name}, hive_partitioning = false{by_name}{numbered})"


def _columns_of(parts: Parts, metric: str) -> tuple[str, str]:
    """Expressions of mean and maximum in files of v2."""
    mean, maximum = (
        "NULL::DOUBLE" if name in parts.absent else f"{name}::DOUBLE" for name in (metric, f"{metric}_max")
    )
    return mean, maximum


def _select(parts: Parts, source: str, columns: Iterable[tuple[str, str, str]], extra: str = "") -> str:
    place = _ACCELERATOR if parts.scope is Scope.ACCELERATOR else _ENGINE
    known = "accelerator_index IS NOT NULL" if parts.scope is Scope.ACCELERATOR else "true"
    values = "".join(f", {mean} AS {metric}, {maximum} AS {metric}_max" for metric, mean, maximum in columns)
    return (
        f"SELECT {_IDENTITY[parts.scope]} AS identity, host, {place}, epoch_us(timestamp) AS end_us, "  # noqa: S608
        f"{float(ROW_SECONDS)}::DOUBLE AS seconds{values}{', ' + extra if extra else ''} FROM {source} "
        f"WHERE gap_reason IS NULL AND {known}"
    )


def _select_ticks(name: str, seconds: float, metrics: Sequence[str]) -> str:
    """Readings of v1; each is its own maximum."""
    expressions = {metric: f"{metric}::DOUBLE" if metric in TICK_COLUMNS else "NULL::DOUBLE" for metric in metrics}
    values = "".join(f", {value} AS {metric}, {value} AS {metric}_max" for metric, value in expressions.items())
    return (
        f"SELECT {_IDENTITY[Scope.ACCELERATOR]} AS identity, host, {_ACCELERATOR}, "  # noqa: S608 - our own text
        f"epoch_us(timestamp) AS end_us, {seconds}::DOUBLE AS seconds{values}, filename, file_row_number "
        f"FROM read_parquet(${name}, hive_partitioning = false, filename = true, file_row_number = true) "
        f"WHERE missed_ticks = 0"
    )


def _once(selection: str, metrics: Sequence[str]) -> str:
    """Each row of an accelerator and time once, the one that a frame takes."""
    values = "".join(f", {metric}, {metric}_max" for metric in metrics)
    return (
        f"SELECT identity, {_PLACE}, end_us, seconds{values} FROM (SELECT *, row_number() OVER "  # noqa: S608 - our own
        f"(PARTITION BY identity, end_us ORDER BY seconds, filename, file_row_number) AS times FROM ({selection})) "
        f"WHERE times = 1"
    )
