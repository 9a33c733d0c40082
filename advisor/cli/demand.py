"""``advisor demand``: a trace of any size reduced to a small file, and a forecast of the weeks to come."""

import json
from datetime import timedelta
from pathlib import Path

import click
import numpy as np

from advisor.cli.demand_cache import cache_command
from advisor.cli.durations import duration_between
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.cli.progress import Progress
from advisor.cli.quiet import tell
from advisor.demand.forecast import DAYS, forecast
from advisor.demand.summary import read_summary, summary_json
from advisor.demand.values import Backtest, Demand, Floats, Forecast
from advisor.errors import InputError
from advisor.report.text_table import render_table

FORECAST_SCHEMA = "advisor.forecast/v1"
_BARS = "▁▂▃▄▅▆▇█"


@click.group(name="demand")
def command() -> None:
    """Summarise a request trace into a small file to plan from, forecast weeks to come, and replay caches."""


command.add_command(cache_command)


@command.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--source", default="", help="Where the trace is from, in words; default: its file name.")
@click.option("--attribution", default="", help="What the trace's licence asks to be said.")
@output_option
def summarise(trace: Path, source: str, attribution: str, output: Path | None) -> None:
    """Count TRACE (CSV: timestamp, input tokens, output tokens) by minute and by length.

    The result holds no request, only counts; name it in a workload as `demand: {summary: FILE}`.
    """
    from advisor.demand.trace import tally_trace  # noqa: PLC0415 - pyarrow loads only for a trace

    with Progress("requests read") as progress:
        tally = tally_trace(trace, progress)
    for note in tally.notes():
        tell(f"note: {note}")
    deliver(summary_json(tally, source or f"trace {trace.name}", attribution), output)


@command.command(name="forecast")
@click.argument("demand", type=click.Path(path_type=Path))
@click.option(
    "--horizon",
    type=duration_between(timedelta(days=1), timedelta(days=3 * 365)),
    default="30d",
    show_default=True,
    help="How far the forecast has to hold.",
)
@click.option(
    "--growth-per-year",
    type=float,
    help="Growth as a share, such as 0.3; default: the trend of three weeks or more.",
)
@table_or_json_option
@output_option
def forecast_command(
    demand: Path, horizon: timedelta, growth_per_year: float | None, output_format: str, output: Path | None
) -> None:
    """Forecast every hour of the week from DEMAND, a trace (CSV) or its summary (JSON).

    Printed with the back-test of every method against the naive baselines. Times are UTC, rates requests per second.
    """
    measured = _read(demand)
    if measured.profile is None:
        raise InputError("the demand says nothing of when requests came", where=str(demand))
    found = forecast(measured.profile, horizon_days=horizon / timedelta(days=1), growth_per_year=growth_per_year)
    notes = (*measured.notes, *found.notes)
    deliver(_as_json(found, notes) if output_format == "json" else _as_table(found, notes), output)


def _read(path: Path) -> Demand:
    if path.suffix == ".json":
        return read_summary(path)
    from advisor.demand.trace import read_trace  # noqa: PLC0415 - as above

    with Progress("requests read") as progress:
        return read_trace(path, progress)


def _as_json(found: Forecast, notes: tuple[str, ...]) -> str:
    document = {
        "schema": FORECAST_SCHEMA,
        "method": found.method,
        "horizon_days": found.horizon_days,
        "interval_level": found.interval_level,
        "requests_per_second_by_hour_of_week": {
            name: getattr(found, name).tolist() for name in ("mean", "low", "high", "low_peak", "peak")
        },
        "backtest": [
            {
                "method": row.method,
                "wape": round(row.wape, 4),
                "pinball": round(row.pinball, 4),
                "p90_coverage_ratio": round(row.p90_coverage_ratio, 4),
                "hours_short_ratio": round(row.hours_short_ratio, 4),
                "chosen": row.chosen,
            }
            for row in found.backtest
        ],
        "notes": list(notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _as_table(found: Forecast, notes: tuple[str, ...]) -> str:
    headers = ("UTC", "0 h to 23 h", "mean", "quietest hour", "busiest hour", "at its p90", "peak minute")
    parts = [
        f"Requests per second, hour by hour of the week, for the coming {found.horizon_days:g} days: {found.method}",
        render_table(headers, [_day_row(found, day) for day in range(len(DAYS))]),
    ]
    if found.backtest:
        parts.append(
            "Back-test: each method from the past alone, on what came after\n"
            + render_table(
                ("method", "error (WAPE)", "pinball loss", "hours within p90", "hours short at peak", ""),
                [_backtest_row(row) for row in found.backtest],
            )
        )
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]).rstrip() + "\n"


def _day_row(found: Forecast, day: int) -> tuple[str, ...]:
    hours = slice(day * 24, day * 24 + 24)
    mean = found.mean[hours]
    quiet, busy = int(mean.argmin()), int(mean.argmax())
    return (
        DAYS[day],
        _bars(mean, float(found.mean.max())),
        _rate(mean.mean()),
        f"{_rate(mean[quiet])} at {quiet:02d}:00",
        f"{_rate(mean[busy])} at {busy:02d}:00",
        _rate(found.high[hours][busy]),
        _rate(found.peak[hours].max()),
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


def _bars(rates: Floats, top: float) -> str:
    """One bar for each hour; the tallest is the busiest hour of the week."""
    steps = np.ceil(rates / top * len(_BARS)) - 1 if top > 0 else np.zeros(len(rates))
    return "".join(_BARS[int(step)] for step in np.clip(steps, 0, len(_BARS) - 1))


def _rate(rate: float) -> str:
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
