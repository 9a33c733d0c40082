"""Questions to a directory of samples, answered by DuckDB: from the daily counts where they say all, else from rows.

Hosts are asked in chunks, so that memory does not grow with the fleet. Whole days inside the window come from
histograms; its ragged ends, days that are not finished, files of schema v1 and what is still in the spool come from
rows. An accelerator is its UUID: on its host always, and across hosts that do not have all days of the window (a
renamed host, a machine that was replaced).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from advisor.errors import InputError
from advisor.samples.metrics import METRICS, Scope
from advisor.samples.query import embedded_sql as sql
from advisor.samples.query.counts import Counts, DamagedError
from advisor.samples.query.embedded_plan import Chunk, FilePlan
from advisor.samples.query.values import Accelerator, Summary, Window
from advisor.samples.store.columns import ENGINE_GAUGES, GAUGES

_THREADS = 2
_MEMORY_MIB = 300
_DAMAGE = (duckdb.Error, pa.ArrowException, DamagedError, FileNotFoundError, UnicodeDecodeError)
"""What is raised over damaged files, and over files that a compaction removed meanwhile."""
_Answer = TypeVar("_Answer")


class EmbeddedBackend:
    """Answers from the files of the agent; implements :class:`advisor.samples.query.values.QueryBackend`."""

    def __init__(self, directory: Path, *, exact: bool = False, memory_mib: int = _MEMORY_MIB) -> None:
        """Look at the names of the files; none is opened yet.

        Args:
            directory: what ``advisor agent run --output`` writes to.
            exact: read all rows, also where daily counts give the same answer sooner.
            memory_mib: what DuckDB may use.

        Raises:
            InputError: there is no such directory.
        """
        self._directory = directory
        self._memory_mib = memory_mib
        self._plan = FilePlan(directory, exact=exact)
        self._engine = _start(memory_mib)
        self._local = threading.local()

    def window(self) -> Window | None:
        """From the first to the last row that there is; None where there is none."""
        return self._plan.window()

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """What has rows in a window, in order of host, index and MIG instance."""
        newest: dict[object, tuple[int, Accelerator]] = {}
        for places in self._asked(window, lambda chunk: self._places(chunk, window)):
            for identity, last_us, found in places:
                newest[identity] = max(newest.get(identity, (0, found)), (last_us, found), key=lambda seen: seen[0])
        return sorted((found for _, found in newest.values()), key=_order)

    def metrics(self, window: Window) -> Sequence[str]:
        """Names of gauges that have values in a window."""
        known: set[str] = set()
        for found in self._asked(window, lambda chunk: self._known_metrics(chunk, window)):
            known |= found
        return [name for name in METRICS if name in known]

    def summary(self, accelerator: Accelerator, metric: str, window: Window) -> Summary | None:
        """One metric of one accelerator; None where nothing is known of it."""
        for found in self._asked(window, lambda chunk: self._summaries(chunk, [metric], window), accelerator.host):
            for one in found:
                if _is_same(one, accelerator):
                    return one
        return None

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """The same for all accelerators, host by host, in bounded memory.

        Raises:
            InputError: there is no metric of that name.
        """
        for name in metrics:
            if name not in METRICS:
                raise InputError(f"there is no metric {name}", hint=f"one of {', '.join(METRICS)}")
        for found in self._asked(window, lambda chunk: self._summaries(chunk, metrics, window)):
            yield from sorted(found, key=lambda one: (_order(one.accelerator), metrics.index(one.metric)))

    def notes(self) -> Sequence[str]:
        """Files that were left out so far, and why."""
        return self._plan.notes()

    def _asked(self, window: Window, ask: Callable[[Chunk], _Answer], only: str | None = None) -> Iterator[_Answer]:
        """Answers of all chunks in order, some asked at once; one that meets damage is asked again without it."""
        groups = [hosts for hosts in self._plan.groups(window) if only is None or only in hosts]
        with ThreadPoolExecutor(_THREADS) as workers:
            asked: deque[tuple[list[str], Future[_Answer]]] = deque()
            for hosts in groups:
                asked.append((hosts, workers.submit(self._answer, self._plan.chunk(hosts, window), ask)))
                if len(asked) > _THREADS:
                    yield self._taken(*asked.popleft(), window, ask)
            while asked:
                yield self._taken(*asked.popleft(), window, ask)

    def _taken(
        self, hosts: Sequence[str], asked: "Future[_Answer]", window: Window, ask: Callable[[Chunk], _Answer]
    ) -> _Answer:
        """An answer when it is there."""
        try:
            return asked.result()
        except duckdb.OutOfMemoryException as error:
            raise self._too_much(hosts) from error
        except _DAMAGE:
            return self._asked_again(hosts, window, ask)

    def _asked_again(self, hosts: Sequence[str], window: Window, ask: Callable[[Chunk], _Answer]) -> _Answer:
        """The answer of a chunk without the files that turn out to be damaged, or to be gone."""
        self._plan.look_again(hosts, window)
        try:
            return self._answer(self._plan.chunk(hosts, window), ask)
        except duckdb.OutOfMemoryException as error:
            raise self._too_much(hosts) from error
        except _DAMAGE as error:
            raise InputError(
                f"the samples of {', '.join(hosts)} cannot be read: {str(error).splitlines()[0]}",
                where=str(self._directory),
                hint="move the files that the notes name out of the directory, and ask again",
            ) from error

    def _too_much(self, hosts: Sequence[str]) -> InputError:
        return InputError(
            f"{self._memory_mib} MiB are not enough for the samples of {', '.join(hosts)}",
            where=str(self._directory),
            hint="ask for a shorter time, or let `python -m advisor.samples.store.compact` count the finished days",
        )

    def _answer(self, chunk: Chunk, ask: Callable[[Chunk], _Answer]) -> _Answer:
        """Ask in a thread, after what the spool has is made known to its connection."""
        for scope, table in chunk.spooled.items():
            numbered = table.append_column("file_row_number", pa.array(np.arange(table.num_rows)))
            self._connection().register(sql.spool_name(scope), numbered)
        return ask(chunk)

    def _places(self, chunk: Chunk, window: Window) -> list[tuple[object, int, Accelerator]]:
        """What each accelerator or engine is known by, its newest time and its place then."""
        queries = [
            (parts.scope, sql.places(_within(parts, [], window)))
            for parts in (chunk.rows, chunk.engines)
            if not parts.is_empty()
        ]
        if chunk.histograms:
            queries.append((Scope.ACCELERATOR, sql.counted_places(chunk.histograms)))
        found: list[tuple[object, int, Accelerator]] = []
        for scope, query in queries:
            for label, last_us in self._ask(query).fetchall():
                place = _accelerator(label)
                has_uuid = scope is Scope.ACCELERATOR and place.uuid is not None
                found.append(((scope, place.uuid) if has_uuid else (scope, place), last_us, place))
        return found

    def _known_metrics(self, chunk: Chunk, window: Window) -> set[str]:
        known: set[str] = set()
        if chunk.histograms:
            known |= {name for (name,) in self._ask(sql.counted_metrics(chunk.histograms)).fetchall()}
        for parts, gauges in ((chunk.rows, GAUGES), (chunk.engines, ENGINE_GAUGES)):
            if not parts.is_empty():
                (answer,) = self._ask(sql.known_metrics(_within(parts, gauges, window), gauges)).fetchall()
                known |= {name for name, is_known in zip(gauges, answer, strict=True) if is_known}
        return known

    def _summaries(self, chunk: Chunk, metrics: Sequence[str], window: Window) -> list[Summary]:
        """Summaries of some hosts, in no order."""
        gauges = [name for name in metrics if name in GAUGES]
        engine_gauges = [name for name in metrics if name in ENGINE_GAUGES]
        found: list[Summary] = []
        if gauges and chunk.histograms:
            found += self._counted(chunk, gauges, window)
        elif gauges:
            found += self._read(chunk.rows, gauges, window)
        if engine_gauges:
            found += self._read(chunk.engines, engine_gauges, window)
        return found

    def _read(self, parts: sql.Parts, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """Summaries from all rows."""
        if parts.is_empty():
            return
        rows = _within(parts, metrics, window)
        answers = self._ask(sql.exact_summaries(rows, metrics, by_place=True)).fetchall()
        uuids = [answer[0]["uuid"] for answer in answers if answer[0]["uuid"] is not None]
        if parts.scope is Scope.ACCELERATOR and len(set(uuids)) < len(uuids):
            answers = self._ask(sql.exact_summaries(rows, metrics, by_place=False)).fetchall()
        for label, *values in answers:
            for number, metric in enumerate(metrics):
                quantiles, greatest, mean, known, seconds = values[5 * number : 5 * number + 5]
                if known:
                    p50, p95 = quantiles
                    coverage_ratio = min(seconds / window.seconds, 1.0)
                    yield Summary(_accelerator(label), metric, p50, p95, greatest, mean, coverage_ratio, known)

    def _counted(self, chunk: Chunk, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """Summaries from the counts of whole days, and those of the rows around them."""
        tables = [self._arrow(sql.histograms(chunk.histograms, metrics))]
        if not chunk.rows.is_empty():
            tables.append(self._arrow(sql.tallies(_within(chunk.rows, metrics, window), metrics)))
        counts = Counts(tables)
        for metric in metrics:
            for found in counts.distributions(metric):
                place = _accelerator(counts.label(found.owner))
                coverage_ratio = min(found.seconds / window.seconds, 1.0)
                yield Summary(place, metric, found.p50, found.p95, found.max, found.mean, coverage_ratio, found.rows)

    def _arrow(self, query: sql.Query) -> pa.Table:
        return self._ask(query).to_arrow_table()

    def _ask(self, query: sql.Query) -> duckdb.DuckDBPyRelation:
        return self._connection().sql(query.text, params=dict(query.parameters))

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """This thread's connection to the engine."""
        connection: duckdb.DuckDBPyConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._engine.cursor()
            self._local.connection = connection
        return connection


def _start(memory_mib: int) -> duckdb.DuckDBPyConnection:
    """An engine with bounds."""
    engine = duckdb.connect()
    engine.execute(f"SET threads = {_THREADS}")
    engine.execute(f"SET memory_limit = '{memory_mib}MiB'")
    engine.execute("SET preserve_insertion_order = false")
    return engine


def _within(parts: sql.Parts, metrics: Sequence[str], window: Window) -> sql.Query:
    return sql.in_window(sql.rows_of(parts, metrics), window.start_us, window.end_us)


def _accelerator(label: Mapping[str, Any]) -> Accelerator:
    index = label["index"]
    return Accelerator(
        host=label["host"],
        index=-1 if index is None else index,
        mig_index=label["mig"],
        uuid=label["uuid"],
        product=label["product"],
    )


def _order(accelerator: Accelerator) -> tuple[str, int, int, str, str]:
    """Sorting key: host, index, MIG instance."""
    mig_index = -1 if accelerator.mig_index is None else accelerator.mig_index
    return accelerator.host, accelerator.index, mig_index, accelerator.uuid or "", accelerator.product or ""


def _is_same(found: Summary, asked: Accelerator) -> bool:
    """Whether a summary is of what was asked for, which may be known by its place alone."""
    one = found.accelerator
    if METRICS[found.metric].scope is Scope.ACCELERATOR and asked.uuid is not None:
        return one.uuid == asked.uuid
    is_place = (one.host, one.index, one.mig_index) == (asked.host, asked.index, asked.mig_index)
    return is_place and asked.uuid in (None, one.uuid) and asked.product in (None, one.product)
