"""Amounts and counts in words; amounts in cents whose sum is the total in cents."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

_CENT = Decimal("0.01")


def in_cents(parts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Parts rounded to cents so that they sum up to the rounded total: those cut most get the cents that are left."""
    down = {name: part.quantize(_CENT, ROUND_FLOOR) for name, part in parts.items()}
    total = sum(parts.values(), Decimal(0)).quantize(_CENT, ROUND_HALF_EVEN)
    left = int((total - sum(down.values(), Decimal(0))) / _CENT)
    for name in sorted(parts, key=lambda part: (down[part] - parts[part], part))[:left]:
        down[name] += _CENT
    return down


def money(amount: Decimal | None, currency: str | None) -> str:
    """``$1,234.50`` or ``EUR 1,234.50``; small amounts with the digits that they have; a dash where it is unknown."""
    if amount is None:
        return "-"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    digits = f"{size:,.2f}" if size >= _CENT or not size else f"{size:.2g}"
    digits = f"{size:.8f}".rstrip("0") if "e" in digits else digits
    return f"{sign}${digits}" if currency in ("USD", None) else f"{sign}{currency} {digits}"


def counted(count: int, noun: str) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
