"""Options of commands that read bills: the kind of cost, and what one unit of a currency is in USD."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import click


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
                f"{value!r} is no rate: write a currency and what one of it is in USD, such as EUR=1.08"
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
cost_option = click.option(
    "--cost",
    type=click.Choice(["effective", "billed"]),
    default="effective",
    show_default=True,
    help="Prepaid commitments spread over their use, or as invoiced.",
)
"""Whether commitments count when they are used or when they are paid."""
