"""Request logs (any gateway, LiteLLM's spend logs) summed by hour, endpoint, model, team and environment.

Prompts are hashed while they are read, with a salt that nobody keeps, to count repeated ones; neither a prompt nor its
hash is written or shown.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

from advisor.audit.database import Database
from advisor.audit.files import Table, sample_names, tables_of
from advisor.audit.sql import MONEY, Columns, text
from advisor.audit.values import Bill
from advisor.errors import InputError
from advisor.names import nearest
from advisor.units import counted

COLUMNS = {
    "time": ("timestamp", "startTime", "start_time", "time", "ts", "created_at", "date", "@timestamp"),
    "endpoint": ("endpoint", "service", "service_name", "service.name", "model_group", "deployment", "route"),
    "model": ("model", "model_name", "gen_ai.request.model", "gen_ai.response.model", "model_id"),
    "team": ("team", "team_id", "team_alias", "tenant", "department", "business_unit"),
    "environment": ("environment", "env", "stage", "deployment.environment.name"),
    "input": (
        "input_tokens", "prompt_tokens", "gen_ai.usage.input_tokens", "tokens_in", "num_input_tokens", "ContextTokens",
        "request_tokens", "input_length",
    ),
    "output": (
        "output_tokens", "completion_tokens", "gen_ai.usage.output_tokens", "tokens_out", "num_output_tokens",
        "GeneratedTokens", "generated_tokens", "response_tokens", "output_length",
    ),
    "status": ("status", "status_code", "http_status", "response_code", "error.type", "error", "is_error"),
    "cache": ("cache_hit", "cached", "is_cached", "from_cache"),
    "spend": ("spend", "response_cost", "cost", "cost_usd"),
    "count": ("api_requests", "requests", "request_count"),
    "failed": ("failed_requests", "errors", "error_count"),
    "prompt": ("messages", "prompt", "request_body", "input", "query", "proxy_server_request", "gen_ai.prompt"),
}  # fmt: skip
"""Names of columns that a log may have, by what they mean."""
_FAILURE = r"^(4\d\d|5\d\d|fail.*|error.*|timeout.*|rejected|cancelled|true|1|.*(Error|Exception|Timeout).*)$"
_TRUE = "^(true|1|hit|yes|t)$"
TRAFFIC = (
    "CREATE TABLE IF NOT EXISTS traffic (endpoint VARCHAR, model VARCHAR, team VARCHAR, environment VARCHAR, "
    "hour TIMESTAMP, requests BIGINT, input_tokens BIGINT, output_tokens BIGINT, errors BIGINT, cache_hits BIGINT, "
    f"error_input BIGINT, error_output BIGINT, spend {MONEY}, "
    "first_time TIMESTAMP, last_time TIMESTAMP, bad_lines BIGINT)"
)

PROMPTS = "CREATE TABLE IF NOT EXISTS prompts (endpoint VARCHAR, seen BIGINT, different BIGINT)"
EXACT_PROMPTS = 1_000_000
"""So many prompts of a log are held in memory to count different ones."""


def read_requests(database: Database, paths: Sequence[Path], bill: Bill) -> list[str]:
    """Sum the requests of some logs into the table ``traffic``, and count prompts by hash in ``prompts``.

    Args:
        database: with both tables.
        paths: the logs.
        bill: only prompts of its period are counted.

    Raises:
        InputError: a log has no column that is known here, or cannot be read.
    """
    notes: list[str] = []
    for table in tables_of(database.connection, paths, database.scratch, "request log"):
        notes += _read(database, table, bill)
    return notes


def _read(database: Database, table: Table, bill: Bill) -> list[str]:
    column_of = {meaning: table.columns.find(*names) for meaning, names in COLUMNS.items()}
    _refuse_unknown(table, column_of)
    bad_before = _bad_lines(database)
    database.run(f"INSERT INTO traffic {_sums(table.columns, table.source)}", "percent of the requests read")
    notes = []
    if bad := _bad_lines(database) - bad_before:
        said = "tokens that are no number or negative: unknown, in no sum"
        notes.append(f"{table.where}: {counted(bad, 'line')} with {said}")
    if column_of["prompt"] is not None:
        _count_prompts(database, table, bill)
        notes.append(f"{table.where}: prompts (column {column_of['prompt']}) were hashed while reading and not kept")
    return notes


def _bad_lines(database: Database) -> int:
    """Lines so far with tokens that are no number, or less than none."""
    return int(database.row("SELECT coalesce(sum(bad_lines), 0)::BIGINT FROM traffic")[0])


def _refuse_unknown(table: Table, column_of: dict[str, str | None]) -> None:
    telling = ("time", "input", "output", "count")
    if any(column_of[meaning] for meaning in telling):
        return
    close = [name for meaning in telling for name in nearest(COLUMNS[meaning][0], table.columns.types)[:1]]
    near = f"; nearest: {', '.join(dict.fromkeys(close))}" if close else ""
    raise InputError(
        f"no column of a request log that is known here{near}; its columns: {sample_names(table.columns)}",
        where=table.where,
        hint="name them as in docs/audit.md: timestamp, endpoint, input_tokens, output_tokens, team, status, …",
    )


def _sums(columns: Columns, source: str) -> str:
    """Query of one log by hour."""
    count, failed = _whole(columns, "count"), _whole(columns, "failed")
    status, cache = columns.text(*COLUMNS["status"]), columns.text(*COLUMNS["cache"])
    endpoint = f"coalesce({columns.text(*COLUMNS['endpoint'])}, {columns.text(*COLUMNS['model'])}, '(unknown)')"
    is_error = f"regexp_matches({status}, {text(_FAILURE)}, 'i')"
    error = failed or (
        f"CASE WHEN {status} IS NULL THEN 0 WHEN {is_error} THEN 1 ELSE 0 END" if _has(columns, "status") else "NULL"
    )
    hit = f"CASE WHEN regexp_matches({cache}, '{_TRUE}', 'i') THEN 1 ELSE 0 END" if _has(columns, "cache") else "NULL"
    fields = {
        "endpoint": endpoint,
        "model": columns.text(*COLUMNS["model"]),
        "team": columns.text(*COLUMNS["team"]),
        "environment": columns.text(*COLUMNS["environment"]),
        "moment": columns.time(*COLUMNS["time"]),
        "requests": count or "1",
        "input": _whole(columns, "input") or "NULL",
        "output": _whole(columns, "output") or "NULL",
        "error": error,
        "hit": hit,
        "spend": columns.money(*COLUMNS["spend"]),
        "is_bad": " OR ".join(_is_bad(columns, meaning) for meaning in ("input", "output")),
    }
    inner = ", ".join(f"{expression} AS {name}" for name, expression in fields.items())
    return (
        "SELECT endpoint, model, team, environment, date_trunc('hour', moment) AS hour, sum(requests), "
        "sum(input::BIGINT), sum(output::BIGINT), sum(error::BIGINT), sum(hit::BIGINT), "
        "sum(input::BIGINT) FILTER (WHERE error > 0), sum(output::BIGINT) FILTER (WHERE error > 0), "
        f"sum(spend)::{MONEY}, min(moment), max(moment), count(*) FILTER (WHERE is_bad) "
        f"FROM (SELECT {inner} FROM {source}) GROUP BY ALL"
    )


def _has(columns: Columns, meaning: str) -> bool:
    return columns.find(*COLUMNS[meaning]) is not None


def _whole(columns: Columns, meaning: str) -> str | None:
    """SQL of a whole number, NULL where it is negative or no number; None where no column has it."""
    if not _has(columns, meaning):
        return None
    number = f"TRY_CAST(TRY_CAST({columns.text(*COLUMNS[meaning])} AS DOUBLE) AS BIGINT)"
    return f"CASE WHEN {number} >= 0 THEN {number} END"


def _is_bad(columns: Columns, meaning: str) -> str:
    """SQL: the cell says something that is no whole number from 0 on."""
    number = _whole(columns, meaning)
    return f"({columns.text(*COLUMNS[meaning])} IS NOT NULL AND {number} IS NULL)" if number else "false"


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
