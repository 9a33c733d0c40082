"""Amounts of bills in words and cents, and bills of several currencies in one, at rates of the bill or given ones."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from advisor.audit.database import Database
from advisor.audit.sql import MONEY, text
from advisor.audit.values import ZERO
from advisor.errors import InputError

_CENT = Decimal("0.01")


def in_cents(parts: Mapping[str, Decimal], total: Decimal | None = None) -> dict[str, Decimal]:
    """Parts rounded to cents so that they sum up to a total: those cut most get the cents that are left.

    Args:
        parts: exact amounts.
        total: their sum as it is shown elsewhere, a cent apart at most; None: their rounded sum.
    """
    down = {name: part.quantize(_CENT, ROUND_FLOOR) for name, part in parts.items()}
    shown = sum(parts.values(), ZERO).quantize(_CENT, ROUND_HALF_UP) if total is None else total
    left = int((shown - sum(down.values(), ZERO)) / _CENT)
    for name in sorted(parts, key=lambda part: (down[part] - parts[part], part))[:left]:
        down[name] += _CENT
    return down


def money(amount: Decimal | None, currency: str | None) -> str:
    """``$1,234.50`` or ``EUR 1,234.50``; small amounts with the digits that they have; a dash where it is unknown."""
    if amount is None:
        return "-"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    digits = f"{size.quantize(_CENT, ROUND_HALF_UP):,.2f}" if size >= _CENT or not size else f"{size:.2g}"
    digits = f"{size:.8f}".rstrip("0") if "e" in digits else digits
    return f"{sign}${digits}" if currency in ("USD", None) else f"{sign}{currency} {digits}"


def monthly(amount: Decimal | None, currency: str | None) -> str:
    """``$1,234.50 a month``, or that it is unknown."""
    return "unknown amount a month" if amount is None else f"{money(amount, currency)} a month"


def between(low: Decimal | None, high: Decimal | None, currency: str | None) -> str:
    """``$1.00 to $2.00``; empty where there are no two bounds."""
    return "" if low == high else f"{money(low, currency)} to {money(high, currency)}"


def percent(part: Decimal, total: Decimal, digits: int = 1) -> str:
    """``12.5%``, without the sign of a zero; a dash where there is no total."""
    return f"{round(100 * part / total, digits) + ZERO:.{digits}f}%" if total else "-"


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
