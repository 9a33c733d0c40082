"""Every constant and unit conversion of the product, and spans of time as people write them (``500ms``, ``1.5h``).

A GiB is 2**30 bytes, a GB is 10**9 bytes; bandwidth and FLOP rates are decimal, as vendors print them.
"""

import math
import re
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)
_MS_OF_UNIT = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """Span above zero of a number with its unit (ms, s, m, h, d). Raises ValueError, which says what is one."""
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a span of time: write a number and its unit, such as 500ms, 1s, 2m or 1.5h")
    milliseconds = float(match[1]) * _MS_OF_UNIT[match[2]]
    if milliseconds > LONGEST.total_seconds() * 1_000:
        raise ValueError(f"{text!r} is longer than ten years")
    span = timedelta(milliseconds=milliseconds)
    if not span:
        raise ValueError(f"{text!r} is not a time")
    return span


def parse_duration_between(text: str, shortest: timedelta, longest: timedelta, why: str) -> timedelta:
    """A span within bounds, both included.

    Raises ValueError if it is no span, or outside of them; the message says what is allowed, and *why* where that is
    given.
    """
    span = parse_duration(text)
    if not shortest <= span <= longest:
        bounds = f"{format_duration(shortest)} and {format_duration(longest)}"
        raise ValueError(f"{text} is not between {bounds}{why and f': {why}'}")
    return span


def format_duration(span: timedelta) -> str:
    """The span in the largest unit that leaves a whole number: ``90s`` is ``90s``, ``120s`` is ``2m``."""
    milliseconds = round(span / timedelta(milliseconds=1))
    for unit, size in reversed(_MS_OF_UNIT.items()):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


BYTES_PER_GIB = 1024**3
A_CENT = 0.01
"""USD: less than this apart is the same amount on a bill."""
ROUNDING = 1e-9
"""Shares, rates and amounts that differ by less, relative to one, differ by arithmetic alone."""
BYTES_PER_MIB = 1024**2
BYTES_PER_KIB = 1024
BYTES_PER_GB = 1e9
BYTES_PER_MB = 1e6
BYTES_PER_KB = 1e3
FLOP_PER_TFLOP = 1e12
HOURS_PER_MONTH = 730
"""Average month (8,760 h a year / 12), the convention of cloud price calculators."""
HOURS_PER_YEAR = HOURS_PER_MONTH * 12
REQUESTS_PER_THOUSAND = 1000
LONGEST_MONTH_HOURS = 744
"""Hours of a month of 31 days."""
HOURS_PER_WEEK = 168
HOURS_PER_DAY = 24
DAYS_PER_YEAR = 365
MINUTES_PER_HOUR = 60
MINUTES_PER_DAY = HOURS_PER_DAY * MINUTES_PER_HOUR
MINUTES_PER_WEEK = HOURS_PER_WEEK * MINUTES_PER_HOUR
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400
SECONDS_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR
MS_PER_SECOND = 1000.0
_TEN_CENTS = 0.1
_CENT = Decimal("0.01")
_MOST_IN_CENTS = 1e12
"""From here on a float holds no cents that are worth a word."""
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)
_THREE_DIGITS_UP = Context(prec=3, rounding=ROUND_CEILING)
_FOUR_DIGITS = 999.5
"""From here on three digits of a number would be written as a power of ten."""
MICROSECONDS_PER_MS = 1000.0
NANOSECONDS_PER_MS = 1e6
TOKENS_PER_MILLION = 1_000_000
BITS_PER_BYTE = 8
DAYS_PER_MONTH = HOURS_PER_MONTH / 24
GRAMS_PER_KG = 1000.0
WATTS_PER_KW = 1000.0


def bytes_to_gib(size_bytes: float) -> float:
    """Bytes as GiB."""
    return size_bytes / BYTES_PER_GIB


def size_words(size_gib: float) -> str:
    """``1.83 MiB`` or ``34.6 GiB``: three significant digits in the unit in which they are at least one."""
    for unit, per_gib in (("GiB", 1), ("MiB", BYTES_PER_GIB / BYTES_PER_MIB), ("KiB", BYTES_PER_GIB / BYTES_PER_KIB)):
        if size_gib * per_gib >= 1:
            return f"{float(f'{size_gib * per_gib:.3g}'):,g} {unit}"
    return f"{gib_to_bytes(size_gib):,.0f} B"


def gib_to_bytes(size_gib: float) -> float:
    """GiB as bytes."""
    return size_gib * BYTES_PER_GIB


def ratio_words(ratio: float) -> str:
    """A share in percent, rounded down: ``99.98%`` is never 100 %, and a share above nothing never 0 %."""
    hundredths = math.floor(ratio * 10_000 + 1e-9)
    return "less than 0.01%" if hundredths == 0 < ratio else f"{hundredths / 100:g}%"


def kept_words(ratio: float) -> str:
    """A share that is kept, to a tenth of a percent; rounded down where that would say 100 % of less."""
    words = f"{ratio:.1%}"
    return ratio_words(ratio) if words == "100.0%" and ratio < 1 else words


def rounded(value: float) -> str:
    """Number in three digits, never fewer than those before the point: 0.256, 51.2, 2,000."""
    return f"{value:,.0f}" if abs(value) >= _FOUR_DIGITS else f"{significant(value):.3g}"


def times_words(ratio: float) -> str:
    """A multiple, rounded down: ``1.17``, so that no more is said to hold than does."""
    return f"{math.floor(ratio * 100 + 1e-9) / 100:g}"


def span_words(seconds: float) -> str:
    """``57 minutes``, ``47 hours``, ``3 days``: whole ones, rounded down, of the largest unit with two, or just one."""
    units = ((SECONDS_PER_DAY, "day"), (SECONDS_PER_HOUR, "hour"), (SECONDS_PER_MINUTE, "minute"), (1, "second"))
    size, name = next((unit for unit in units if seconds >= 2 * unit[0] or seconds == unit[0]), units[-1])
    return counted(int(seconds // size), name)


def is_same(value: float, other: float) -> bool:
    """Whether two figures differ by no more than the rounding of conversions between units."""
    return math.isclose(value, other, rel_tol=ROUNDING)


def whole_minutes(seconds: float) -> int:
    """Whole minutes that hold a span, as schedules of generated code count them."""
    return math.ceil(seconds / SECONDS_PER_MINUTE - ROUNDING)


def counted(count: int, noun: str) -> str:
    """A number and its noun: ``1 day``, ``2,000 days``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def unit_words(unit: str, number: float) -> str:
    """Unit of a number: ``accelerator`` of one, ``accelerators`` of others; ``USD/month`` of any."""
    return unit.removesuffix("s") if number == 1 else unit


def milliseconds(value_ms: float) -> str:
    """``35 ms`` or ``1.2 s``: three significant digits."""
    return (
        f"{significant(value_ms):.3g} ms" if value_ms < _FOUR_DIGITS else f"{three_digits(value_ms / MS_PER_SECOND)} s"
    )


def usd(amount: float) -> str:
    """An amount of money: ``$1,234.50``; negative ones keep their sign in front."""
    cents = to_cents(amount)
    return f"-${-cents:,.2f}" if cents < 0 else f"${abs(cents):,.2f}"


def price_usd(amount: float) -> str:
    """A price in four significant digits, and in cents at least: ``$1.80``, ``$1.212``, ``$98.32``, ``$0.004812``."""
    if amount >= _MOST_IN_CENTS:
        return f"${amount:g}"
    decimals = 2 if amount <= 0 else max(3 - math.floor(math.log10(amount)), 2)
    whole, _, part = f"{amount:,.{decimals}f}".partition(".")
    return f"${whole}.{part.rstrip('0'):0<2}"


def unit_usd(amount: float) -> str:
    """``1,234.50``, ``0.25`` or ``0.00213``: an amount in cents, below ten of them in three significant digits."""
    decimals = 2 if amount >= _TEN_CENTS or amount <= 0 else 2 - math.floor(math.log10(amount))
    return f"{amount:,.{decimals}f}"


def three_digits(value: float) -> str:
    """Three significant digits, never as a power of ten: ``0.25``, ``34.6``, ``1050``."""
    return f"{significant(value):.0f}" if value >= _FOUR_DIGITS else f"{significant(value):.3g}"


def significant(value: float) -> float:
    """A figure in three significant digits, of two that are as near the one that is farther from zero.

    What is the same in twelve digits is the same here: 5.595 and the float just below it are both 5.6.
    """
    return float(_THREE_DIGITS.create_decimal(f"{value:.12g}"))


def rounded_up(value: float) -> float:
    """A figure in three significant digits that is no smaller: a target of so much is kept."""
    return float(_THREE_DIGITS_UP.create_decimal(f"{value:.12g}"))


def to_cents(usd: float) -> float:
    """An amount in whole cents, half a cent away from zero, as the bill's exact amounts are: 100.375 is 100.38."""
    return float(Decimal(f"{usd:.15g}").quantize(_CENT, ROUND_HALF_UP)) if abs(usd) < _MOST_IN_CENTS else usd
