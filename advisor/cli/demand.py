"""``advisor demand``: a trace of any size reduced to a small file, and a forecast of the weeks to come."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click
import numpy as np

from advisor.cli.options import FILE, PATH, duration_between, wide_option
from advisor.cli.output import (
    Progress,
    deliver,
    output_option,
    report_format_option,
    report_width,
    table_or_json_option,
    tell,
)
from advisor.demand.cache_log import BLOCK_TOKENS, MOST_BLOCK_TOKENS, read_log
from advisor.demand.cache_replay import SCHEMA, CacheCurve, CacheReplay, Vectors, replay_caches
from advisor.demand.forecast import DAYS, forecast
from advisor.demand.spread import LocalClock, zone_of
from advisor.demand.tally import read_summary, summary_json
from advisor.demand.values import (
    KIND_COLUMNS,
    OF_TIMES,
    OF_TOKENS,
    Backtest,
    Demand,
    Forecast,
    SizeColumns,
    Unit,
    is_of_times_alone,
    told_unit,
)
from advisor.errors import InputError
from advisor.models import find_model
from advisor.names import printable
from advisor.report.text_table import Column, Section, bullets, dashed, fold_table, sections_as, wrap
from advisor.units import counted, size_words
from advisor.workload.kinds import UNITS, is_embedder, trace_columns

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_THRESHOLDS = (0.8, 0.85, 0.9, 0.95, 0.98)


@click.command(name="cache")
@click.argument("log", type=FILE)
@click.option(
    "--ttl",
    type=duration_between(timedelta(seconds=1), timedelta(days=365)),
    help="How long an answer counts after it was written; without: for ever.",
)
@click.option(
    "--time-unit",
    type=click.Choice(list(_UNITS)),
    help="Of timestamps that are numbers.  [default: that in which the first is a date, else s]",
)
@click.option(
    "--block-tokens",
    type=click.IntRange(1, MOST_BLOCK_TOKENS),
    help=f"Of a prompt's block.  [default: as input_length and hash_ids say, else {BLOCK_TOKENS}]",
)
@click.option(
    "--threshold",
    "thresholds",
    type=click.FloatRange(0, 1, min_open=True),
    multiple=True,
    default=_THRESHOLDS,
    help="Cosine similarity from which a semantic cache answers. Repeatable.",
)
@click.option(
    "--embedder",
    metavar="MODEL",
    help="The log is that of this embedding model: each answer is a vector, whose size is computed.",
)
@click.option(
    "--dimension",
    type=click.IntRange(1, 65_536),
    help="With --embedder: numbers of a vector; default: the model's width.",
)
@click.option(
    "--number-bytes",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="With --embedder: bytes of each of them as they are stored.",
)
@report_format_option
@output_option
def cache_command(
    log: Path,
    ttl: timedelta | None,
    time_unit: str | None,
    block_tokens: int | None,
    thresholds: tuple[float, ...],
    embedder: str | None,
    dimension: int | None,
    number_bytes: int,
    output_format: str,
    output: Path | None,
) -> None:
    """Replay LOG (JSON lines: prompt, messages, input, hash_ids or key) against exact, prefix and semantic caches.

    Prompts are hashed as they are read; nothing of them is stored or printed. Semantic caches take an embedding on each
    line, and their false hits a response or an answer_id.
    """
    vectors = _vectors(embedder, dimension, number_bytes)
    with Progress("requests read") as progress:
        requests = read_log(log, block_tokens, _UNITS[time_unit] if time_unit else None, progress)
    untimed = f"{requests.untimed:,} of {counted(requests.requests, 'request')} without a timestamp"
    if ttl is not None and not requests.times_s:
        raise InputError(
            f"{untimed} (missing or null), and --ttl needs them",
            where=f"{log}:{requests.first_untimed_line}",
            hint="give each line a timestamp, or leave --ttl out",
        )
    if 0 < requests.untimed < requests.requests:
        tell(f"note: {untimed}, the first on line {requests.first_untimed_line}: the times of the others are not used")
    replay = replay_caches(requests, None if ttl is None else ttl.total_seconds(), thresholds, vectors)
    deliver(_rendered(replay, output_format, report_width(output, wide=False)), output)


def _vectors(embedder: str | None, dimension: int | None, number_bytes: int) -> Vectors | None:
    """Answers of the embedder; None without one."""
    if embedder is None:
        if dimension is not None:
            raise click.UsageError("--dimension says how long the vectors of --embedder are: give both")
        return None
    model = find_model(embedder)
    if not is_embedder(model):
        raise InputError(
            f"{model.name} does not answer a text with a vector",
            where="--embedder",
            hint="leave it out; the size of an answer is that of response or output_tokens of the log",
        )
    return Vectors(model.name, dimension or model.hidden, number_bytes)


def _rendered(replay: CacheReplay, output_format: str, width: int | None) -> str:
    if output_format == "json":
        return json.dumps({"schema": SCHEMA} | asdict(replay), indent=1) + "\n"
    return sections_as(output_format, list(_sections(replay)), width)


def _sections(replay: CacheReplay) -> Iterator[Section]:
    kept = "for ever" if replay.ttl_s is None else f"for {replay.ttl_s:,.0f} s"
    title = f"{replay.requests:,} requests: {replay.exact.unlimited_hit_ratio:.1%} are answered by an exact cache"
    lines = (f"an answer counts {kept}; least recently used ones go first", *replay.notes)
    yield Section(
        title, (*lines, "`advisor levers WORKLOAD --cache FILE` prices caches by this: -o FILE.json writes it")
    )
    yield _curve("exact cache: equal requests", replay.exact, "hit ratio")
    if replay.prefix is not None:
        yield _curve(
            f"prefix cache: blocks of {replay.block_tokens} tokens, one pool", replay.prefix, "share of input tokens"
        )
    if replay.semantic:
        rows = tuple(
            (
                f"{point.threshold:g}",
                f"{point.entries:,}",
                dashed(point.memory_gib, size_words),
                f"{point.hit_ratio:.1%}",
                "-" if point.false_hit_ratio is None else f"{point.false_hit_ratio:.1%}",
            )
            for point in replay.semantic
        )
        yield Section(
            "semantic cache, unlimited", (), ("threshold", "entries", "memory", "hit ratio", "false among hits"), rows
        )


def _curve(title: str, curve: CacheCurve, ratio: str) -> Section:
    rows = tuple(
        (f"{point.entries:,}", dashed(point.memory_gib, size_words), f"{point.hit_ratio:.1%}") for point in curve.points
    )
    line = f"the last row holds every entry: a larger cache hits no more than {curve.unlimited_hit_ratio:.1%}"
    return Section(title, (line,), ("entries", "memory", ratio), rows)


FORECAST_SCHEMA = "advisor.forecast/v1"
_BARS = "▁▂▃▄▅▆▇█"


@click.group(name="demand")
def command() -> None:
    """Summarise a request trace into a small file to plan from, forecast weeks to come, and replay caches."""


command.add_command(cache_command)


@command.command()
@click.argument("trace", type=PATH)
@click.option("--source", default="", help="Where the trace is from, in words; default: its file name.")
@click.option("--attribution", default="", help="What the trace's licence asks to be said.")
@click.option("--model", help="Model that the requests are to; default: its kind is told by the columns of the trace.")
@output_option
def summarise(trace: Path, source: str, attribution: str, model: str | None, output: Path | None) -> None:
    """Count TRACE (CSV) by minute and by length: timestamp, and tokens in and out or the sizes of another kind.

    The result holds no request, only counts; name it in a workload as `demand: {summary: FILE}`.
    """
    from advisor.demand.trace import tally_trace  # noqa: PLC0415 - pyarrow loads only for a trace

    unit, columns = _sizes_of(trace, model)
    with Progress("requests read") as progress:
        tally = tally_trace(trace, progress, columns)
    for note in tally.notes():
        tell(f"note: {note}")
    deliver(summary_json(tally, source or f"trace {trace.name}", attribution, unit), output)


def _sizes_of(trace: Path, name: str | None) -> tuple[Unit, SizeColumns]:
    """Unit of the requests of a trace and its columns, by their model or by the header."""
    from advisor.demand.trace import header_of  # noqa: PLC0415 - as above

    told = None
    if name is not None:
        model = find_model(name)
        unit = UNITS.get(model.task)
        told = None if unit is None else (unit, trace_columns(model, unit))
    header = header_of(trace)
    told = told or told_unit(header)
    if told is None and header and is_of_times_alone(header):
        raise InputError(
            f"the columns do not tell what the requests are to: {printable(', '.join(header))}",
            where=f"{trace}:1",
            hint=f"give the columns of their kind ({KIND_COLUMNS}), or name their model: --model MODEL",
        )
    unit, columns = told or (Unit.TOKENS, OF_TOKENS)
    if unit is Unit.PICTURES:
        raise InputError(
            "no summary is made of pictures: a plan needs their widths and heights together",
            where=str(trace),
            hint=f"name the trace itself in the workload: demand: {{trace: {trace.name}}}",
        )
    return unit, columns


def _local_clock(_context: click.Context, _parameter: click.Parameter, name: str | None) -> LocalClock | None:
    if name is None:
        return None
    if zone_of(name) is None:
        raise click.BadParameter(f"'{name}' is not a time zone: write it as Europe/Berlin")
    return LocalClock(name)


@command.command(name="forecast")
@click.argument("demand", type=PATH)
@click.option(
    "--horizon",
    type=duration_between(timedelta(days=1), timedelta(days=3 * 365)),
    default="30d",
    show_default=True,
    help="How far the forecast has to hold.",
)
@click.option(
    "--growth-per-year", type=float, help="Growth as a share, such as 0.3; default: the trend of three weeks or more."
)
@click.option(
    "--timezone",
    callback=_local_clock,
    help="Time zone whose clocks the requests follow, such as Europe/Berlin.  [default: UTC]",
)
@table_or_json_option
@wide_option
@output_option
def forecast_command(
    demand: Path,
    horizon: timedelta,
    growth_per_year: float | None,
    timezone: LocalClock | None,
    output_format: str,
    wide: bool,
    output: Path | None,
) -> None:
    """Forecast every hour of the week from DEMAND, a trace (CSV) or its summary (JSON).

    Printed with the back-test of every method against the naive baselines. Times are UTC, rates requests per second.
    """
    measured = _read(demand)
    if measured.profile is None:
        raise InputError("the demand says nothing of when requests came", where=str(demand))
    coming = forecast(
        measured.profile if timezone is None else timezone.moved(measured.profile),
        horizon_days=horizon / timedelta(days=1),
        growth_per_year=growth_per_year,
        clock=timezone,
    )
    notes = (*measured.notes, *coming.notes)
    width = report_width(output, wide=wide)
    deliver(_as_json(coming, notes) if output_format == "json" else _as_table(coming, notes, width), output)


def _read(path: Path) -> Demand:
    if path.suffix == ".json":
        return read_summary(path)
    from advisor.demand.trace import header_of, read_trace  # noqa: PLC0415 - as above

    _, columns = told_unit(header_of(path)) or (None, OF_TIMES)
    with Progress("requests read") as progress:
        return read_trace(path, progress, columns)


def _as_json(coming: Forecast, notes: tuple[str, ...]) -> str:
    errors = ("wape", "pinball", "p90_coverage_ratio", "hours_short_ratio")
    document = {
        "schema": FORECAST_SCHEMA,
        "method": coming.method,
        "horizon_days": coming.horizon_days,
        "interval_level": coming.interval_level,
        "requests_per_second_by_hour_of_week": {
            name: getattr(coming, name).tolist() for name in ("mean", "low", "high", "low_peak", "peak")
        },
        "backtest": [
            {"method": row.method, **{name: round(getattr(row, name), 4) for name in errors}, "chosen": row.chosen}
            for row in coming.backtest
        ],
        "notes": list(notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


_DAY_COLUMNS = (
    Column("UTC"), Column("0 h to 23 h"), Column("mean"), Column("quietest hour", 2), Column("busiest hour"),
    Column("at its p90", 1), Column("peak minute"),
)  # fmt: skip
_BACKTEST_COLUMNS = (
    Column("method", prose=20), Column("error (WAPE)"), Column("pinball loss", 1), Column("hours within p90"),
    Column("hours short at peak", 2), Column(""),
)  # fmt: skip


def _as_table(coming: Forecast, notes: tuple[str, ...], width: int | None) -> str:
    title = (
        f"Requests per second, hour by hour of the week, for the coming {coming.horizon_days:g} days: {coming.method}"
    )
    days = [_day_row(coming, day) for day in range(len(DAYS))]
    parts = ["\n".join(wrap(title, width)), *fold_table(_DAY_COLUMNS, days, width)]
    if coming.backtest:
        tables = fold_table(_BACKTEST_COLUMNS, [_backtest_row(row) for row in coming.backtest], width)
        parts += [f"Back-test: each method from the past alone, on what came after\n{tables[0]}", *tables[1:]]
    return "\n\n".join([*parts, "\n".join(bullets(notes, width))]).rstrip() + "\n"


def _day_row(coming: Forecast, day: int) -> tuple[str, ...]:
    hours = slice(day * 24, day * 24 + 24)
    mean = coming.mean[hours]
    quiet, busy = int(mean.argmin()), int(mean.argmax())
    top = float(coming.mean.max())
    steps = np.ceil(mean / top * len(_BARS)) - 1 if top > 0 else np.zeros(len(mean))
    return (
        DAYS[day],
        "".join(_BARS[int(step)] for step in np.clip(steps, 0, len(_BARS) - 1)),
        _rate(mean.mean()),
        f"{_rate(mean[quiet])} at {quiet:02d}:00",
        f"{_rate(mean[busy])} at {busy:02d}:00",
        _rate(coming.high[hours][busy]),
        _rate(coming.peak[hours].max()),
    )


def _backtest_row(row: Backtest) -> tuple[str, ...]:
    return (
        row.method,
        f"{row.wape:.1%}",
        f"{row.pinball:.1%}",
        f"{row.p90_coverage_ratio:.0%}",
        f"{row.hours_short_ratio:.0%}",
        "chosen" if row.chosen else "",
    )


def _rate(rate: float) -> str:
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
