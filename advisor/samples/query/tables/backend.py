"""Summaries by an engine that reads the agent's Parquet files wherever they are; see the package."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from advisor.samples.metrics import METRICS, ROW_SECONDS, Kind, Scope
from advisor.samples.query.tables.engines import open_engine
from advisor.samples.query.tables.files import Files, find_files
from advisor.samples.query.tables.questions import QUANTILES, Tables, known, places, summary
from advisor.samples.query.values import Accelerator, Summary, Window

_GAUGES = tuple(metric.name for metric in METRICS.values() if metric.kind is Kind.GAUGE)


class TablesBackend:
    """Asks DuckDB, Spark, ClickHouse or BigQuery; see :class:`~advisor.samples.query.values.QueryBackend`."""

    def __init__(self, url: str, files: Callable[[str], Files] = find_files) -> None:
        """Connect, and look which files there are.

        Args:
            url: see :func:`advisor.samples.query.tables.engines.open_engine`.
            files: looks through a place.

        Raises:
            InputError: there is no such engine, it is not installed, or there are no samples.
        """
        self._engine, found = open_engine(url, files)
        columns = {table: self._engine.columns(table) for table in found.patterns}
        self._tables = Tables(columns, found.tick_seconds or float(ROW_SECONDS))
        self._notes = found.notes
        self._places: dict[Window | None, dict[str, tuple[Accelerator, int, int]]] = {}

    def window(self) -> Window | None:
        """From the begin of the first to the end of the last row that there is; None where there is none."""
        seen = self._seen(None).values()
        row_us = round(
            max(self._tables.tick_seconds if "rows" not in self._tables.columns else ROW_SECONDS, 1e-3) * 1e6
        )
        return Window(min(first for _, first, _ in seen) - row_us, max(last for _, _, last in seen)) if seen else None

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """What has rows in a window."""
        return sorted((accelerator for accelerator, _, _ in self._seen(window).values()), key=_order)

    def metrics(self, window: Window) -> Sequence[str]:
        """Gauges that have values in a window."""
        counted: set[str] = set()
        for scope in Scope:
            names = [name for name in _GAUGES if METRICS[name].scope is scope]
            expression = known(self._tables, scope, names, window)
            for row in [] if expression is None else self._engine.run(expression):
                counted |= {name for name in names if row[name]}
        return [name for name in _GAUGES if name in counted]

    def summary(self, accelerator: Accelerator, metric: str, window: Window) -> Summary | None:
        """One metric of one accelerator."""
        return next((one for one in self.summaries([metric], window) if one.accelerator == accelerator), None)

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """All accelerators; the engine holds the rows, and here is one answer of each."""
        seen = self._seen(window)
        found = [one for metric in metrics for one in self._answers(seen, metric, window)]
        yield from sorted(found, key=lambda one: (_order(one.accelerator), metrics.index(one.metric)))

    def notes(self) -> Sequence[str]:
        """What has to be known of the files."""
        return self._notes

    def _answers(
        self, seen: Mapping[str, tuple[Accelerator, int, int]], metric: str, window: Window
    ) -> Iterator[Summary]:
        expression = summary(self._tables, metric, window) if metric in _GAUGES else None
        for row in [] if expression is None else self._engine.run(expression):
            p50, p95 = (_interpolated(row, name) for name in QUANTILES)
            coverage = min(1.0, float(row["seconds"]) / window.seconds)
            accelerator = seen[row["identity"]][0]
            yield Summary(
                accelerator, metric, p50, p95, float(row["greatest"]), float(row["mean"]), coverage, int(row["n"])
            )

    def _seen(self, window: Window | None) -> dict[str, tuple[Accelerator, int, int]]:
        """By identity: where it was last, and the ends of its first and last row."""
        if window not in self._places:
            seen: dict[str, tuple[Accelerator, int, int]] = {}
            for scope in Scope:
                expression = places(self._tables, scope, window)
                for row in [] if expression is None else self._engine.run(expression):
                    first, last = _microseconds(row["first"]), _microseconds(row["last"])
                    before = seen.get(row["identity"])
                    here = _accelerator(row) if before is None or last > before[2] else before[0]
                    low, high = (first, last) if before is None else (min(first, before[1]), max(last, before[2]))
                    seen[row["identity"]] = (here, low, high)
            self._places[window] = seen
        return self._places[window]


def _interpolated(row: Mapping[str, Any], name: str) -> float:
    """Between the two values around a quantile, by how far it is from the one to the other."""
    numerator, denominator = QUANTILES[name]
    part = (int(row["n"]) - 1) * numerator % denominator / denominator
    low = float(row[f"{name}_low"])
    return low + (float(row[f"{name}_high"]) - low) * part if part else low


def _accelerator(row: Mapping[str, Any]) -> Accelerator:
    index, mig = (None if row[name] is None else int(row[name]) for name in ("index", "mig"))
    return Accelerator(row["host"], 0 if index is None else index, mig, row["uuid"], row["product"])


def _microseconds(moment: datetime) -> int:
    """µs since 1970; engines that leave the zone out mean UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _order(accelerator: Accelerator) -> tuple[str, int, int, str]:
    mig = -1 if accelerator.mig_index is None else accelerator.mig_index
    return accelerator.host, accelerator.index, mig, accelerator.uuid or ""
