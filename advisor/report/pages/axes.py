"""Axes of a chart: values to percent of its box, and the values that are marked."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_STEPS = (1.0, 2.0, 5.0)
_MARKS = 5
_FEWEST_MARKS = 3
_MARGIN = 1.08


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from *low* to *high*, evenly or by their logarithm."""

    low: float
    high: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Percent of the way from *low* to *high*, held to 0 to 100."""
        low, high, here = (self._scaled(number) for number in (self.low, self.high, value))
        return min(max(100.0 * (here - low) / (high - low), 0.0), 100.0)

    def marks(self) -> Iterator[float]:
        """Round values within the axis."""
        return self._log_marks() if self.is_log else self._even_marks()

    def _scaled(self, value: float) -> float:
        return math.log(max(value, self.low)) if self.is_log else value

    def _even_marks(self) -> Iterator[float]:
        rough = (self.high - self.low) / _MARKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * step for step in _STEPS if power * step >= rough * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return (step * number for number in range(first, last + 1))

    def _log_marks(self) -> Iterator[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        marks = [step * 10.0**power for power in powers for step in _LOG_STEPS]
        within = [mark for mark in marks if self.low <= mark <= self.high]
        if len(within) < _FEWEST_MARKS:
            return self._even_marks()
        thinned = [mark for mark in within if math.isclose(math.log10(mark), round(math.log10(mark)))]
        return iter(thinned if len(within) > 2 * _MARKS and len(thinned) > 1 else within)


def from_zero(values: Iterable[float]) -> Axis:
    """An axis from zero to a little above the largest of several values."""
    largest = max(values, default=0.0)
    return Axis(0.0, largest * _MARGIN if largest > 0 else 1.0)


def log_around(values: Iterable[float]) -> Axis:
    """A logarithmic axis around positive values."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = min(known, default=1.0), max(known, default=10.0)
    return Axis(low / _MARGIN, high * _MARGIN, is_log=True)


def percent(value: float) -> str:
    """``12.34%``, as SVG and CSS take it."""
    return f"{value:.2f}%"
