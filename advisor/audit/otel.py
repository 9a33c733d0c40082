"""OpenTelemetry GenAI metrics as the collector's file exporter writes them (OTLP JSON, one batch a line).

Names as of https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ and the counters that replace
``gen_ai.client.token.usage`` in its development version of 2026; both are read, and the newer ones count where both
are there.
"""

import gzip
import json
import math
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from advisor.audit.database import Database
from advisor.errors import InputError

RESOURCE_METRICS = "resourceMetrics"
_REQUESTS = ("gen_ai.server.request.duration", "gen_ai.client.operation.duration")
_TOKENS = "gen_ai.client.token.usage"
_NEWER = {
    "gen_ai.client.inference.usage.input_tokens": "input",
    "gen_ai.client.inference.usage.output_tokens": "output",
}
_TIMES = ("startTimeUnixNano", "timeUnixNano")
_POINT_TIME = re.compile(r'"timeUnixNano"\s*:\s*"?(\d{1,20})')
_NANOSECONDS = 1_000_000_000
_CUMULATIVE = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")
_HOUR_SECONDS = 3600
_LONGEST_LINE = 64 * 1024 * 1024
_MOST_COUNT = 2**62
_MOST_SECONDS = 4_102_444_800
"""The year 2100."""


class _Group(NamedTuple):
    """Grouping of counts."""

    endpoint: str
    model: str | None
    team: str | None
    environment: str | None
    hour: int
    """Begin, seconds since 1970."""


_Series = tuple[str, str]
"""Metric with its measure, and attributes: one stream of data points."""


class _Counter:
    """Counts by group and measure, from points that are deltas or running totals."""

    def __init__(self) -> None:
        self.counts: dict[tuple[_Group, str], float] = defaultdict(float)
        self.has_begun_before = False
        """A running total began more than an hour before its first point."""
        self.has_late = False
        """A point of a running total stands behind a later one."""
        self._last: dict[tuple[_Series, int], tuple[int, float]] = {}

    def add(self, series: _Series, group: _Group, measure: str, point: Mapping[str, Any], *, cumulative: bool) -> None:
        """Count one point; of a running total what it grew by."""
        value = float(point.get("asInt", point.get("asDouble", point.get("sum", 0))))
        if not math.isfinite(value) or not 0 <= value < _MOST_COUNT:
            raise ValueError("no count of requests or tokens")
        self.counts[group, measure] += self._growth(series, point, value) if cumulative else value

    def _growth(self, series: _Series, point: Mapping[str, Any], value: float) -> float:
        """Growth of a running total since its last point.

        Each start is a total of its own: processes that name no instance take turns, and a restart begins at nothing.
        """
        start, now = (int(point.get(name) or 0) for name in _TIMES)
        last, before = self._last.get((series, start), (0, 0.0))
        if now <= last:
            self.has_late |= now < last
            return 0.0
        self._last[series, start] = (now, value)
        if last or (start and now - start <= _HOUR_SECONDS * _NANOSECONDS):
            return value - before if value >= before else value
        self.has_begun_before = True
        return 0.0


def is_otel(path: Path) -> bool:
    """Whether a file's first line is a batch of OTLP metrics."""
    with _reading(path) as stream:
        return f'"{RESOURCE_METRICS}"' in stream.readline(4096)


def read_otel(database: Database, paths: Sequence[Path]) -> list[str]:
    """Sum the GenAI metrics of files, which may be parts of one, into the table ``traffic``.

    Raises InputError if a line is not OTLP JSON, or no GenAI metric is in a file.
    """
    if not paths:
        return []
    counter = _Counter()
    for path in sorted(paths, key=_first_time):
        with _reading(path) as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), ""), start=1):
                if line.strip():
                    _count_line(counter, line, f"{path}:{number}")
        if not counter.counts:
            wanted = ", ".join((*_REQUESTS, _TOKENS))
            raise InputError("no GenAI metrics in this file", where=str(path), hint=f"export {wanted}")
    rows = list(_rows(counter.counts))
    columns = [
        "endpoint", "model", "team", "environment", "hour", "requests", "input_tokens", "output_tokens", "errors",
    ]  # fmt: skip
    import pyarrow as pa  # noqa: PLC0415 - bills and other logs do without

    table = pa.table([list(values) for values in zip(*rows, strict=True)], names=columns)
    database.connection.register("otel", table)
    database.run(
        f"INSERT INTO traffic ({', '.join(columns)}, first_time, last_time) "
        f"SELECT {', '.join(columns)}, hour, hour + INTERVAL 1 HOUR FROM otel"
    )
    database.connection.unregister("otel")
    where = ", ".join(map(str, paths))
    notes = [f"{where}: OpenTelemetry metrics, whose hours are whole: cache hits are not in them"]
    if counter.has_begun_before:
        said = "running totals that began more than an hour before their first point count from that point on"
        notes.append(f"{where}: {said}")
    if counter.has_late:
        notes.append(f"{where}: points of running totals that stand behind a later one are left out")
    return notes


def _first_time(path: Path) -> int:
    """Time of the first point of a file, ns since 1970; 0: none is near its begin."""
    with _reading(path) as stream:
        first = _POINT_TIME.search(stream.readline(_LONGEST_LINE))
    return int(first[1]) if first else 0


@contextmanager
def _reading(path: Path) -> Iterator[TextIO]:
    """Text of a file, which may be compressed."""
    try:
        is_compressed = path.name.casefold().endswith(".gz")
        with (gzip.open if is_compressed else open)(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError("the request log is a damaged gzip file", where=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot read the request log: {error.strerror or error}", where=str(path)) from error


def _count_line(counter: _Counter, line: str, where: str) -> None:
    try:
        for resource in json.loads(line).get(RESOURCE_METRICS, ()):
            shared = _attributes(resource.get("resource", {}))
            for scope in resource.get("scopeMetrics", ()):
                for metric in scope.get("metrics", ()):
                    _count_metric(counter, metric, shared)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        hint = "give what the file exporter wrote"
        raise InputError("this line is not OTLP JSON of metrics", where=where, hint=hint) from error


def _count_metric(counter: _Counter, metric: Mapping[str, Any], shared: Mapping[str, str]) -> None:
    name = str(metric.get("name", ""))
    data = metric.get("histogram") or metric.get("sum") or {}
    cumulative = data.get("aggregationTemporality") in _CUMULATIVE
    for point in data.get("dataPoints", ()):
        attributes = dict(shared) | _attributes(point)
        end = int(point["timeUnixNano"])
        group = _group(attributes, (end - (end > 0)) // _NANOSECONDS)  # the last moment of its interval
        stream = json.dumps(attributes, sort_keys=True)
        for measure, count in _measures(name, attributes, point):
            counter.add((f"{name}/{measure}", stream), group, measure, count, cumulative=cumulative)


def _measures(
    name: str, attributes: Mapping[str, str], point: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Counts of a point: requests and errors by the count of a duration, tokens by the sum."""
    times = {key: point.get(key) for key in _TIMES}
    if name in _REQUESTS:
        count = {**times, "asDouble": point.get("count", 0)}
        yield name, count
        if attributes.get("error.type"):
            yield f"{name}!", count
    elif name == _TOKENS and attributes.get("gen_ai.token.type") in ("input", "output"):
        yield attributes["gen_ai.token.type"], {**times, "asDouble": point.get("sum", 0)}
    elif name in _NEWER:
        yield f"newer {_NEWER[name]}", point


def _attributes(holder: Mapping[str, Any]) -> dict[str, str]:
    return {
        entry["key"]: str(next(iter(entry.get("value", {}).values()), "")).encode(errors="replace").decode()
        for entry in holder.get("attributes", ())
    }


def _group(attributes: Mapping[str, str], seconds: int) -> _Group:
    if not 0 <= seconds < _MOST_SECONDS:
        raise ValueError("no time of a request")
    model = attributes.get("gen_ai.request.model") or attributes.get("gen_ai.response.model")
    return _Group(
        endpoint=attributes.get("service.name") or model or "(unknown)",
        model=model,
        team=attributes.get("team") or attributes.get("service.namespace"),
        environment=attributes.get("deployment.environment.name") or attributes.get("deployment.environment"),
        hour=seconds // _HOUR_SECONDS * _HOUR_SECONDS,
    )


def _rows(counts: Mapping[tuple[_Group, str], float]) -> Iterator[tuple[Any, ...]]:
    """Rows of the table: of two metrics for one thing the first that is there counts."""
    measures = {measure for _, measure in counts}
    duration = next((name for name in _REQUESTS if name in measures), "")
    newer = "newer " if any(measure.startswith("newer ") for measure in measures) else ""

    def count(group: _Group, measure: str) -> int | None:
        return round(counts[group, measure]) if (group, measure) in counts else None

    for group in dict.fromkeys(group for group, _ in counts):
        hour = datetime.fromtimestamp(group.hour, tz=UTC).replace(tzinfo=None)
        tokens = count(group, f"{newer}input"), count(group, f"{newer}output")
        errors = (count(group, f"{duration}!") or 0) if duration else None
        yield (*group[:4], hour, count(group, duration) or 0, *tokens, errors)
