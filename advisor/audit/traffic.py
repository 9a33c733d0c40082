"""Requests by endpoint, team and environment: tokens, errors, cache hits, peak against average."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from advisor.audit.database import Database
from advisor.audit.files import files_of
from advisor.audit.otel import is_otel, read_otel
from advisor.audit.requests import PROMPTS, TRAFFIC, read_requests
from advisor.audit.values import Bill, Traffic, Usage
from advisor.cost.token_weight import output_weight
from advisor.names import normalised
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, counted

_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")


def read_traffic(database: Database, places: Sequence[str], bill: Bill) -> Traffic:
    """Traffic recorded in request logs, in the period of the bill.

    Args:
        database: where they are summed.
        places: files, folders and patterns.
        bill: whose period it is; without one every line counts.

    Raises:
        InputError: a log cannot be read.
    """
    paths = files_of(places, "request log")
    database.run(TRAFFIC)
    database.run(PROMPTS)
    metrics = [
        path for path in paths if path.name.casefold().endswith(_JSON_ENDINGS) and path.exists() and is_otel(path)
    ]
    notes = [note for path in metrics for note in read_otel(database, path)]
    logs = [path for path in paths if path not in metrics]
    notes += read_requests(database, logs, bill) if logs else []
    _unite_spellings(database)
    weight = output_weight()
    step = _step_seconds(database)
    notes += _without_other_times(database, bill, step)
    first, last = database.row("SELECT min(first_time), max(last_time) FROM traffic")
    window = None if first is None else _window(first, last, bill)
    notes += [] if window is None else _window_notes(first, last + timedelta(seconds=step), window, bill)
    hours = None if window is None or step > SECONDS_PER_HOUR else (window[1] - window[0]) / timedelta(hours=1)
    return Traffic(
        endpoints=_usages(database, "endpoint", weight, hours),
        teams=_usages(database, "team", weight, hours),
        environments=_usages(database, "environment", weight, hours),
        seconds=None if window is None else (_epoch(window[0]), _epoch(window[1])),
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
    """Time that a line stands for, told by the times alone: a day, an hour, or that of one request (0)."""
    is_day, is_hour = database.row(
        "SELECT bool_and(last_time = date_trunc('day', first_time)), bool_and(last_time = hour) FROM traffic"
    )
    return SECONDS_PER_DAY if is_day else SECONDS_PER_HOUR if is_hour else 0


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


def _window_notes(
    first: datetime, last: datetime, window: tuple[datetime, datetime], bill: Bill
) -> list[str]:  # fmt: skip
    """Note on the time taken for a log of less than a day beside a longer bill."""
    if last - first >= timedelta(days=1) or bill.hours <= timedelta(days=1) / timedelta(hours=1):
        return []
    lines, taken = (f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}" for start, end in ((first, last), window))
    return [f"the request log has lines of {lines}: costs per request take the cost of {taken} UTC"]


def _usages(database: Database, column: str, weight: float, hours: float | None) -> list[Usage]:
    """Requests by a column, those of the most tokens first; what does not say it is ``(untagged)``.

    Args:
        database: with the table ``traffic``.
        column: ``endpoint``, ``team`` or ``environment``.
        weight: input tokens that an output token counts for.
        hours: length of the log; None: it does not tell hours apart.
    """
    name = f"coalesce({column}, '(untagged)')"
    tokens = f"(coalesce(sum(input_tokens), 0) + {weight} * coalesce(sum(output_tokens), 0))"
    failed = f"(coalesce(sum(error_input), 0) + {weight} * coalesce(sum(error_output), 0))"
    rows = database.rows(
        f"SELECT {name} AS name, sum(requests)::BIGINT, sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT, "
        f"sum(errors)::BIGINT, sum(cache_hits)::BIGINT, {tokens}::DOUBLE AS weight, {failed}::DOUBLE, sum(spend) "
        "FROM traffic GROUP BY name ORDER BY weight DESC, name"
    )
    peaks = _peaks(database, name, hours) if hours else {}
    repeated = _repeated(database) if column == "endpoint" else {}
    return [_usage(row, peaks.get(row[0]), repeated.get(row[0])) for row in rows]


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
        f"SELECT name, max(requests) / (sum(requests) / {hours}) FROM by_hour GROUP BY name"
    )
    return {row[0]: float(row[1]) for row in rows if row[1] is not None}


def _repeated(database: Database) -> Mapping[str, float]:
    """Share of the prompts that were seen before, by endpoint."""
    rows = database.rows("SELECT endpoint, sum(seen), sum(different) FROM prompts GROUP BY endpoint")
    return {name: max(0.0, 1 - float(different) / float(seen)) for name, seen, different in rows if seen}


def _epoch(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
