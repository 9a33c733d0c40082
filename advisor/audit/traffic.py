"""Requests by endpoint, team and environment: tokens, errors, cache hits, peak against average.

Prompts are hashed while they are read, with a salt that nobody keeps, to count repeated ones; neither a prompt nor its
hash is written or shown.

OpenTelemetry GenAI metrics as the collector's file exporter writes them (OTLP JSON, one batch a line).

Names as of https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ and the counters that replace
``gen_ai.client.token.usage`` in its development version of 2026; both are read, and the newer ones count where both
are there.
"""

import gzip
import json
import math
import re
import secrets
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from advisor.audit import Bill, Traffic, Usage, epoch_seconds
from advisor.audit.database import Database, repeated_columns, unreadable_time
from advisor.audit.files import Table, files_of, ignored_files, sample_names, tables_of
from advisor.audit.normalising import identical_files
from advisor.audit.sql import MONEY, NULL, Columns, column_key, text
from advisor.cost.services import output_weight
from advisor.errors import InputError
from advisor.names import nearest, normalised
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, counted

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


COLUMNS = {
    "time": (
        "timestamp", "startTime", "start_time", "time", "ts", "created_at", "created", "date", "day", "@timestamp",
    ),
    "endpoint": ("endpoint", "service", "service_name", "service.name", "model_group", "deployment", "route"),
    "model": ("model", "model_name", "gen_ai.request.model", "gen_ai.response.model", "model_id", "model_permaslug"),
    "team": ("team", "team_id", "team_alias", "tenant", "department", "business_unit"),
    "environment": ("environment", "env", "stage", "deployment.environment.name"),
    "input": (
        "input_tokens", "prompt_tokens", "gen_ai.usage.input_tokens", "tokens_in", "num_input_tokens", "ContextTokens",
        "request_tokens", "input_length", "tokens_prompt", "n_context_tokens_total",
    ),
    "output": (
        "output_tokens", "completion_tokens", "gen_ai.usage.output_tokens", "tokens_out", "num_output_tokens",
        "GeneratedTokens", "generated_tokens", "response_tokens", "output_length", "tokens_completion",
        "n_generated_tokens_total",
    ),
    "status": ("status", "status_code", "http_status", "response_code"),
    "error": ("error.type", "error", "is_error", "cancelled"),
    "cache": ("cache_hit", "cached", "is_cached", "from_cache"),
    "spend": ("spend", "response_cost", "cost", "cost_usd", "cost_total"),
    "count": (
        "api_requests", "requests", "request_count", "num_model_requests", "num_requests", "n_requests",
        "total_requests", "invocations",
    ),
    "failed": ("failed_requests", "errors", "error_count"),
    "prompt": ("messages", "prompt", "request_body", "input", "query", "proxy_server_request", "gen_ai.prompt"),
}  # fmt: skip
"""Names of columns that a log may have, by what they mean."""
NESTED = {
    "input": (("usage", "prompt_tokens"), ("usage", "input_tokens"), ("input", "inputTokenCount")),
    "output": (("usage", "completion_tokens"), ("usage", "output_tokens"), ("output", "outputTokenCount")),
}
"""Tokens inside of a column: answers of OpenAI's and Anthropic's interfaces, and logs of Amazon Bedrock."""
_FAILURE = (
    r"^([45]\d\d(\.0+)?|fail.*|error.*|time.?out.*|rejected|cancell?ed|abort.*|true|1|.*(Error|Exception|Timeout).*)$"
)
_NUMBER_OF_REQUESTS = re.compile("(requests|invocations|calls)(count|total)?$|requestcount|callcount")
_NO_ERROR = r"^(false|0(\.0+)?|no|none|null|nan|ok|success|[23]\d\d(\.0+)?|\{\}|\[\])$"
_TRUE = "^(true|1|hit|yes|t)$"
TRAFFIC = (
    "CREATE TABLE IF NOT EXISTS traffic (endpoint VARCHAR, model VARCHAR, team VARCHAR, environment VARCHAR, "
    "hour TIMESTAMP, requests BIGINT, input_tokens BIGINT, output_tokens BIGINT, errors BIGINT, cache_hits BIGINT, "
    f"error_input BIGINT, error_output BIGINT, spend {MONEY}, "
    "first_time TIMESTAMP, last_time TIMESTAMP, bad_lines BIGINT, unpriced BIGINT)"
)

PROMPTS = "CREATE TABLE IF NOT EXISTS prompts (endpoint VARCHAR, seen BIGINT, different BIGINT)"
EXACT_PROMPTS = 1_000_000
"""So many prompts of a log are held in memory to count different ones."""
_SHORTEST_DAY_HOURS = 23
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")


def read_requests(database: Database, paths: Sequence[Path], bill: Bill) -> list[str]:
    """Sum the requests of logs into the table ``traffic``, and count the period's prompts by hash in ``prompts``.

    Raises InputError if a log has no column that is known here, or cannot be read.
    """
    notes: list[str] = []
    for table in tables_of(database.connection, paths, database.scratch, "request log"):
        notes += _read(database, table, bill)
    return notes


def _read(database: Database, table: Table, bill: Bill) -> list[str]:
    column_of = {meaning: table.columns.find(*names) for meaning, names in COLUMNS.items()}
    _refuse_unknown(table, column_of)
    rows_before = database.row("SELECT count(*) FROM traffic")[0]
    before = _unusable(database)
    sums = _sums(table.columns, table.source)
    notes = repeated_columns(database, table, sums)
    database.run(f"INSERT INTO traffic {sums}", "percent of the requests read")
    notes += _unread(database, table, column_of, rows_before)
    bad, timeless, unpriced = (now - then for now, then in zip(_unusable(database), before, strict=True))
    if bad:
        said = "tokens that are not a number or are negative, or such a number of requests: unknown, in no sum"
        notes.append(f"{table.where}: {counted(bad, 'line')} with {said}")
    moment = column_of["time"]
    if timeless and moment is not None and unreadable_time(database, table, moment) is not None:
        remedy = "they count, in no hour; write ISO 8601 or seconds since 1970"
        said = f"{counted(timeless, 'request')} whose {moment} is not a time that can be read"
        notes.append(f"{table.where}: {said}: {remedy}")
    if column_of["spend"] and unpriced:
        said = f"without {column_of['spend']}: what the log states is not taken as the cost of their endpoints"
        notes.append(f"{table.where}: {counted(unpriced, 'request')} {said}")
    if column_of["prompt"] is not None:
        _count_prompts(database, table, bill)
        notes.append(f"{table.where}: prompts (column {column_of['prompt']}) were hashed while reading and not kept")
    return notes


def _unread(database: Database, table: Table, column_of: dict[str, str | None], rows_before: int) -> list[str]:
    """Notes on tokens and numbers of requests that no column is known to hold."""
    notes = []
    counts = database.row(
        f"SELECT count(*), count(input_tokens), count(output_tokens) FROM traffic WHERE rowid >= {rows_before}"
    )
    sides = zip(("input tokens", "output tokens"), counts[1:], strict=True)
    if lacking := [side for side, count in sides if counts[0] and not count]:
        notes.append(
            f"{table.where}: no column of {' and of '.join(lacking)} that is known here: they are unknown; "
            f"its columns: {sample_names(table.columns, 12)}"
        )
    numbers = [column for column in table.columns.types if _NUMBER_OF_REQUESTS.search(column_key(column))]
    if numbers and not (column_of["count"] or column_of["failed"]):
        notes.append(
            f"{table.where}: {numbers[0]} is not read, and each line counts as one request; "
            f"if it is a number of requests, call it {COLUMNS['count'][0]}"
        )
    return notes


def _unusable(database: Database) -> tuple[int, int, int]:
    """Lines so far with tokens or requests not a number or negative, requests without a time, without a spend."""
    bad, timeless, unpriced = database.row(
        "SELECT coalesce(sum(bad_lines), 0)::BIGINT, coalesce(sum(requests) FILTER (WHERE hour IS NULL), 0)::BIGINT, "
        "coalesce(sum(unpriced), 0)::BIGINT FROM traffic"
    )
    return bad, timeless, unpriced


def _refuse_unknown(table: Table, column_of: dict[str, str | None]) -> None:
    telling = ("time", "input", "output", "count")
    if any(column_of[meaning] for meaning in telling):
        return
    close = [name for meaning in telling for name in nearest(COLUMNS[meaning][0], table.columns.types)[:1]]
    near = f"; nearest: {', '.join(dict.fromkeys(close))}" if close else ""
    message = f"no column of a request log that is known here{near}; its columns: {sample_names(table.columns)}"
    hint = "name them as in docs/audit.md: timestamp, endpoint, input_tokens, output_tokens, team, status, …"
    raise InputError(message, where=table.where, hint=hint)


def _sums(columns: Columns, source: str) -> str:
    """Query of one log by hour."""
    count, failed = _whole(columns, "count"), _whole(columns, "failed")
    cache = columns.text(*COLUMNS["cache"])
    endpoint = f"coalesce({columns.text(*COLUMNS['endpoint'])}, {columns.text(*COLUMNS['model'])}, '(unknown)')"
    tells_failures = _has(columns, "status") or _has(columns, "error")
    error = failed or (f"CASE WHEN {_has_failed(columns)} THEN 1 ELSE 0 END" if tells_failures else "NULL")
    hit = f"CASE WHEN regexp_matches({cache}, '{_TRUE}', 'i') THEN 1 ELSE 0 END" if _has(columns, "cache") else "NULL"
    fields = {
        "endpoint": endpoint,
        "model": columns.text(*COLUMNS["model"]),
        "team": columns.text(*COLUMNS["team"]),
        "environment": columns.text(*COLUMNS["environment"]),
        "moment": columns.time(*COLUMNS["time"]),
        "requests": f"coalesce({count}, 0)" if count else "1",
        "input": _whole(columns, "input") or "NULL",
        "output": _whole(columns, "output") or "NULL",
        "error": error,
        "hit": hit,
        "spend": columns.money(*COLUMNS["spend"]),
        "is_bad": " OR ".join(_is_bad(columns, meaning) for meaning in ("input", "output", "count")),
    }
    inner = ", ".join(f"{expression} AS {name}" for name, expression in fields.items())
    return (
        "SELECT endpoint, model, team, environment, date_trunc('hour', moment) AS hour, sum(requests), "
        "sum(input::BIGINT), sum(output::BIGINT), sum(error::BIGINT), sum(hit::BIGINT), "
        "sum(input::BIGINT) FILTER (WHERE error > 0), sum(output::BIGINT) FILTER (WHERE error > 0), "
        f"sum(spend)::{MONEY}, min(moment), max(moment), count(*) FILTER (WHERE is_bad), "
        "coalesce(sum(requests) FILTER (WHERE spend IS NULL AND coalesce(error, 0) = 0), 0) "
        f"FROM (SELECT {inner} FROM {source}) WHERE requests > 0 OR coalesce(input, output) IS NOT NULL GROUP BY ALL"
    )


def _has_failed(columns: Columns) -> str:
    """SQL: the status is one of a failure, or the error says more than that there is none."""
    status, error = columns.text(*COLUMNS["status"]), columns.text(*COLUMNS["error"])
    return (
        f"coalesce(regexp_matches({status}, {text(_FAILURE)}, 'i'), false) "
        f"OR NOT coalesce(regexp_matches({error}, {text(_NO_ERROR)}, 'i'), true)"
    )


def _has(columns: Columns, meaning: str) -> bool:
    return columns.find(*COLUMNS[meaning]) is not None


def _whole(columns: Columns, meaning: str) -> str | None:
    """SQL of a whole number, NULL where it is negative or no number; None where no column has it."""
    cell = _cell(columns, meaning)
    if cell == NULL:
        return None
    number = f"TRY_CAST(TRY_CAST({cell} AS DOUBLE) AS BIGINT)"
    return f"CASE WHEN {number} >= 0 THEN {number} END"


def _cell(columns: Columns, meaning: str) -> str:
    """SQL of a text: of a column of its own, else from inside of another one."""
    if _has(columns, meaning):
        return columns.text(*COLUMNS[meaning])
    inside = [columns.inner(*path) for path in NESTED.get(meaning, ())]
    return f"coalesce({', '.join(inside)})" if any(part != NULL for part in inside) else NULL


def _is_bad(columns: Columns, meaning: str) -> str:
    """SQL: the cell says something that is not a whole number from 0 on."""
    number = _whole(columns, meaning)
    return f"({_cell(columns, meaning)} IS NOT NULL AND {number} IS NULL)" if number else "false"


def _count_prompts(database: Database, table: Table, bill: Bill) -> None:
    """Count prompts, and different ones by 128 bits of hash: exactly up to :data:`EXACT_PROMPTS`, beyond as estimated.

    The estimate (HyperLogLog; Flajolet et al. 2007) takes no memory and is the same for the same log.
    """
    columns, within = table.columns, "true"
    if bill.start is not None and bill.end is not None:
        moment = columns.time(*COLUMNS["time"])
        within = f"coalesce({moment} >= TIMESTAMP '{bill.start}' AND {moment} < TIMESTAMP '{bill.end}', true)"
    endpoint = f"coalesce({columns.text(*COLUMNS['endpoint'])}, {columns.text(*COLUMNS['model'])}, '(unknown)')"
    prompt = columns.text(*COLUMNS["prompt"])
    prompts = f"{table.source} WHERE {prompt} IS NOT NULL AND length({prompt}) > 2 AND {within}"
    (count,) = database.row(f"SELECT count(*) FROM {prompts}")
    is_exact = count <= EXACT_PROMPTS
    salt = secrets.token_hex(16) if is_exact else ""
    distinct = "count(DISTINCT hashed)" if is_exact else "approx_count_distinct(hashed)"
    database.run(
        f"INSERT INTO prompts SELECT endpoint, count(*), {distinct} FROM (SELECT {endpoint} AS endpoint, "
        f"md5_number(concat({text(salt)}, {prompt})) AS hashed FROM {prompts}) GROUP BY endpoint",
        "percent of the prompts hashed",
    )


def read_traffic(database: Database, places: Sequence[str], bill: Bill) -> Traffic:
    """Traffic recorded in request logs, in the period of the bill if any. Raises InputError if a log cannot be read."""
    paths, notes = identical_files(files_of(places, "request log"))
    database.run(TRAFFIC)
    database.run(PROMPTS)
    metrics = [
        path for path in paths if path.name.casefold().endswith(_JSON_ENDINGS) and path.exists() and is_otel(path)
    ]
    notes += [*ignored_files(places, "request log"), *read_otel(database, metrics)]
    logs = [path for path in paths if path not in metrics]
    notes += read_requests(database, logs, bill) if logs else []
    _unite_spellings(database)
    weight = output_weight()
    step = _step_seconds(database)
    notes += _without_other_times(database, bill, step)
    first, last = database.row("SELECT min(first_time), max(last_time) FROM traffic")
    window = None if first is None else _window(first, last, bill)
    end = None if last is None else last + timedelta(seconds=step)
    if window is not None and end - first < timedelta(days=1) < timedelta(hours=bill.hours):
        lines, taken = (f"{start:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}" for start, until in ((first, end), window))
        notes.append(f"the request log has lines of {lines}: costs per request take the cost of {taken} UTC")
    hours = None if window is None or step > SECONDS_PER_HOUR else (window[1] - window[0]) / timedelta(hours=1)
    return Traffic(
        endpoints=_usages(database, "endpoint", weight, hours),
        teams=_usages(database, "team", weight, hours),
        environments=_usages(database, "environment", weight, hours),
        seconds=None if window is None else (epoch_seconds(window[0]), epoch_seconds(window[1])),
        output_weight=weight,
        notes=notes,
    )


def _unite_spellings(database: Database) -> None:
    """Give endpoints whose names differ in case or punctuation the name that most requests have."""
    names = database.rows("SELECT endpoint FROM traffic GROUP BY endpoint ORDER BY sum(requests) DESC, endpoint")
    usual: dict[str, str] = {}
    for (name,) in names:
        common = usual.setdefault(normalised(name), name)
        if common != name:
            for table in ("traffic", "prompts"):
                database.connection.execute(f"UPDATE {table} SET endpoint = ? WHERE endpoint = ?", [common, name])


def _step_seconds(database: Database) -> int:
    """Time that a line stands for, told by the times alone: a day, an hour, or that of one request (0).

    Days of another time zone begin at another hour of UTC, and one of them has 23 hours.
    """
    is_day, is_hour, hours = database.row(
        "SELECT bool_and(last_time = date_trunc('day', first_time)), bool_and(last_time = hour), "
        "(SELECT min(gap) FROM (SELECT epoch(hour - lag(hour) OVER (ORDER BY hour)) / 3600 AS gap FROM "
        "(SELECT DISTINCT hour FROM traffic))) FROM traffic"
    )
    is_local_day = is_hour and hours is not None and hours >= _SHORTEST_DAY_HOURS
    return SECONDS_PER_DAY if is_day or is_local_day else SECONDS_PER_HOUR if is_hour else 0


def _without_other_times(database: Database, bill: Bill, step: int) -> list[str]:
    """Take out requests from before and after the bill: its cost is not theirs."""
    if bill.start is None or bill.end is None:
        return []
    length = max(step, SECONDS_PER_HOUR)
    is_other = f"hour >= TIMESTAMP '{bill.end}' OR hour + INTERVAL {length} SECOND <= TIMESTAMP '{bill.start}'"
    count = database.row(f"SELECT coalesce(sum(requests), 0)::BIGINT FROM traffic WHERE {is_other}")[0]
    if not count:
        return []
    database.run(f"DELETE FROM traffic WHERE {is_other}")
    left = database.row("SELECT count(*) FROM traffic")[0]
    scope = "outside the bill's period" if left else "of other days than the bill: all"
    return [f"{counted(count, 'request')} of the log {scope} left out"]


def _window(first: datetime, last: datetime, bill: Bill) -> tuple[datetime, datetime]:
    """Whole days (UTC) from the first to the last line of a log, cut to the bill's period."""
    start = datetime.combine(first.date(), datetime.min.time())
    end = datetime.combine(last.date(), datetime.min.time()) + timedelta(days=1)
    if bill.start is None or bill.end is None:
        return start, end
    return max(start, bill.start), min(end, bill.end)


def _usages(database: Database, column: str, weight: float, hours: float | None) -> list[Usage]:
    """Requests by a column, those of the most tokens first; what does not say it is ``(untagged)``.

    *weight*: input tokens that an output token counts for; *hours*: length of the log, None: it tells no hours apart.
    """
    name = f"coalesce({column}, '(untagged)')"
    tokens = f"(coalesce(sum(input_tokens), 0) + {weight} * coalesce(sum(output_tokens), 0))"
    failed = f"(coalesce(sum(error_input), 0) + {weight} * coalesce(sum(error_output), 0))"
    rows = database.rows(
        f"SELECT {name} AS name, sum(requests)::BIGINT, sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT, "
        f"{_if_all_tell('errors')}, {_if_all_tell('cache_hits')}, {tokens}::DOUBLE AS weight, {failed}::DOUBLE, "
        "CASE WHEN sum(coalesce(unpriced, requests)) = 0 THEN sum(spend) END "
        "FROM traffic GROUP BY name ORDER BY weight DESC, name"
    )
    peaks = _peaks(database, name, hours) if hours else {}
    repeated: dict[str, float] = {}
    if column == "endpoint":
        prompts = database.rows("SELECT endpoint, sum(seen), sum(different) FROM prompts GROUP BY endpoint")
        repeated = {name: max(0.0, 1 - float(new) / float(seen)) for name, seen, new in prompts if seen}
    return [_usage(row, peaks.get(row[0]), repeated.get(row[0])) for row in rows]


def _if_all_tell(column: str) -> str:
    """SQL of a sum; NULL where some logs do not tell it: a ratio to all requests would be too low."""
    return f"CASE WHEN count({column}) = count(*) THEN sum({column})::BIGINT END"


def _usage(row: Sequence[Any], peak: float | None, repeated: float | None) -> Usage:
    name, requests, entered, answered, errors, hits, weight, failed, spend = row
    has_tokens = entered is not None or answered is not None
    error_weight = None
    if errors is not None:
        error_weight = failed / weight if has_tokens and weight else errors / requests if requests else 0.0
    return Usage(
        name=name,
        requests=requests,
        input_tokens=entered,
        output_tokens=answered,
        errors=errors,
        cache_hits=hits,
        error_weight=error_weight,
        weight=weight if has_tokens else float(requests),
        peak_ratio=peak,
        repeated_ratio=repeated,
        logged_cost=spend,
    )


def _peaks(database: Database, name: str, hours: float) -> Mapping[str, float]:
    """Requests of the busiest hour over the mean of the hours of the log."""
    rows = database.rows(
        f"WITH by_hour AS (SELECT {name} AS name, hour, sum(requests) AS requests FROM traffic WHERE hour IS NOT NULL "
        "GROUP BY name, hour) "
        f"SELECT name, max(requests) / (sum(requests) / {hours}) FROM by_hour GROUP BY name "
        "HAVING sum(requests) > 0"
    )
    return {row[0]: float(row[1]) for row in rows if row[1] is not None}
