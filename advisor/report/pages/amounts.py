"""Amounts as bars: side by side with what each lies between, or each from where the one before ends."""

from collections.abc import Iterable, Iterator, Sequence

from advisor.records import dataclass, replace
from advisor.report.pages.bars import Axis, Bar, from_zero, percent
from advisor.report.words import usd

TOTAL = "total"
"""Kind of a bar that begins at zero, wherever the one before ends."""
_NEGATIVE = "late"


@dataclass(frozen=True, slots=True)
class Amount:
    """A named amount of a chart."""

    name: str
    value: float
    told: str = ""
    """The amount in words; "": in USD."""
    low: float | None = None
    high: float | None = None
    """What it lies between; None: it is exact."""
    note: str = ""
    kind: str = ""

    @property
    def words(self) -> str:
        """The amount in words."""
        return self.told or usd(self.value)


def side_by_side(amounts: Iterable[Amount]) -> tuple[Bar, ...]:
    """A bar from zero for each amount, red where it is negative, with the interval that it lies in."""
    rows = list(amounts)
    axis = from_zero(abs(edge) for amount in rows for edge in (amount.value, amount.low, amount.high) if edge)
    return tuple(_beside(amount, axis) for amount in rows)


def waterfall(amounts: Iterable[Amount]) -> tuple[Bar, ...]:
    """Bars each of which begins where the one before ends; totals begin at zero."""
    rows = list(amounts)
    spans = list(_spans(rows))
    axis = from_zero(edge for span in spans for edge in span)
    return tuple(
        Bar(row.name, row.words, percent(axis.at(low)), percent(axis.at(high) - axis.at(low)), row.kind, row.note)
        for row, (low, high) in zip(rows, spans, strict=True)
    )


def _spans(amounts: Sequence[Amount]) -> Iterator[tuple[float, float]]:
    end = 0.0
    for amount in amounts:
        begin = 0.0 if amount.kind == TOTAL else end
        end = begin + amount.value
        yield min(begin, end), max(begin, end)


def _beside(amount: Amount, axis: Axis) -> Bar:
    is_negative = amount.value < 0
    kind = amount.kind or (_NEGATIVE if is_negative else "")
    bar = Bar(amount.name, amount.words, percent(0.0), percent(axis.at(abs(amount.value))), kind, amount.note)
    if amount.low is None or amount.high is None or amount.low == amount.high:
        return bar
    low, high = (-amount.high, -amount.low) if is_negative else (amount.low, amount.high)
    return replace(bar, low=percent(axis.at(low)), reach=percent(axis.at(high) - axis.at(low)))
