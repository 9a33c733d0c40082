"""Types of options, and options that commands share: paths, numbers, spans of time, cost and rates of currencies."""

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from advisor.processes import BACKENDS
from advisor.units import parse_duration_between

MOST_USD_PER_HOUR = 100_000.0
"""Work that costs more is a slip."""
FILE = click.Path(dir_okay=False, path_type=Path)
FILE_OR_STDIN = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)
wide_option = click.option(
    "--wide", is_flag=True, help="Tables and lines as wide as they get, whatever the terminal's width."
)
cost_option = click.option(
    "--cost",
    type=click.Choice(["effective", "billed"]),
    default="effective",
    show_default=True,
    help="Prepaid commitments spread over their use, or as invoiced.",
)
"""Whether commitments count when they are used or when they are paid."""


def parallel_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options ``--backend`` and ``--scheduler`` of what runs in parallel."""
    backend = click.option(
        "--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True, help=what
    )  # fmt: skip
    scheduler = click.option(
        "--scheduler", help="Address of a running Dask or Ray cluster; a local one is started without."
    )
    return lambda command: backend(scheduler(command))


def _rates(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> dict[str, Decimal]:
    """Rates by currency, such as ``EUR=1.08``."""
    rates = {}
    for value in values:
        currency, _, number = value.partition("=")
        try:
            rate = Decimal(number)
        except InvalidOperation:
            rate = Decimal(0)
        if not currency.isalpha() or not rate.is_finite() or not 0 < rate < 1_000_000:
            raise click.BadParameter(
                f"{value!r} is not a rate: write a currency and what one of it is in USD, such as EUR=1.08"
            )
        rates[currency.upper()] = rate
    return rates


rate_option = click.option(
    "--rate",
    "rates",
    multiple=True,
    callback=_rates,
    metavar="CUR=RATE",
    help="USD for one unit of a currency, such as EUR=1.08. (repeatable)",
)
"""Stated rates by currency; a bill in one that has none stays as it is."""


def duration_between(shortest: timedelta, longest: timedelta, why: str = "") -> Callable[[str], timedelta]:
    """Type of a command-line option that is a span of time; anything else is wrong usage, and *why* is said."""

    def duration(value: str) -> timedelta:
        try:
            return parse_duration_between(value, shortest, longest, why)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return duration


class Above(click.ParamType[float]):
    """Number above 0, and at most a limit where there is one."""

    name = "number"

    def __init__(self, hint: str, most: float = math.inf) -> None:
        """Take what to do instead."""
        self._hint, self._most = hint, most

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Raises click.BadParameter if it is none, or out of range."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"'{value}' is not a number", param, ctx)
        if not 0 < number <= self._most or not math.isfinite(number):
            most = "" if self._most == math.inf else f" and at most {self._most:g}"
            self.fail(f"{value} is not above 0{most}: {self._hint}", param, ctx)
        return number
