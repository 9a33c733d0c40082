"""Bills of several currencies in one: rates from the bill itself, or those that are given."""

from collections.abc import Mapping
from decimal import Decimal

from advisor.audit.database import Database
from advisor.audit.sql import MONEY, text
from advisor.errors import InputError

_FACTOR_DIGITS = 14


def one_currency(database: Database, rates: Mapping[str, Decimal]) -> tuple[str | None, Mapping[str, Decimal]]:
    """Bring every amount into one currency; which one, and the rates of those that were converted.

    Raises:
        InputError: there are several, and a rate is missing.
    """
    found: list[tuple[str | None, Decimal]] = database.rows(
        "SELECT currency, coalesce(nullif(sum(filled_effective), 0), sum(filled_billed)) FROM raw "
        "GROUP BY 1 HAVING count(*) FILTER (WHERE filled_effective <> 0 OR filled_billed <> 0) > 0 ORDER BY 2 DESC"
    )
    names = [currency for currency, _ in found]
    if None in names:
        raise InputError("some charges have no currency", hint="see that BillingCurrency is filled in every row")
    currencies = [currency for currency in names if currency is not None]
    if not currencies:
        only: str | None = database.row("SELECT max(currency) FROM raw")[0]
        return only, {}
    lacking = [currency for currency in currencies if currency != "USD" and currency not in rates]
    if len(currencies) == 1 and lacking:
        return currencies[0], {}
    if lacking:
        amounts = ", ".join(f"{currency} {amount:,.2f}" for currency, amount in found)
        raise InputError(
            f"the bill is in several currencies: {amounts}",
            hint=f"state what one {lacking[0]} is in USD, such as --rate {lacking[0]}=1.08",
        )
    used = {currency: rates[currency] for currency in currencies if currency != "USD"}
    for currency, rate in used.items():
        _convert(database, currency, rate)
    return "USD", used


def rate_notes(rates: Mapping[str, Decimal]) -> tuple[str, ...]:
    """Sentences on the rates that amounts are converted at."""
    return tuple(
        f"amounts in {currency} are converted: 1 {currency} = {rate:f} USD" for currency, rate in rates.items()
    )


def converted_amount(amount: str, rate: Decimal) -> str:
    """SQL: an amount times a rate."""
    whole = max(rate.adjusted() + 1, 0)
    factor = f"{rate:f}::DECIMAL({_FACTOR_DIGITS},{_FACTOR_DIGITS - whole})"
    return f"({amount}::DECIMAL(24,10) * {factor})::{MONEY}"


def _convert(database: Database, currency: str, rate: Decimal) -> None:
    exact = ", ".join(
        f"{column} = {converted_amount(column, rate)}"
        for column in ("billed", "effective", "filled_billed", "filled_effective", "list_cost")
    )
    database.run(f"UPDATE raw SET {exact} WHERE currency = {text(currency)}")
