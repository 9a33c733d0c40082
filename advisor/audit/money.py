"""Amounts and counts in words; amounts in cents whose sum is the total in cents."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from advisor.audit.values import ZERO

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
