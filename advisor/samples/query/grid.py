"""Accelerator was sampled, and the even rows of time in which."""

from dataclasses import dataclass

from advisor.samples.metrics import ROW_SECONDS
from advisor.samples.places import US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of even length, from ``start_us`` on."""

    start_us: int
    row_us: int
    rows: int

    @classmethod
    def over(cls, start_us: int, end_us: int) -> "Grid":
        """Rows of the agent's length over a span of time, at least one."""
        row_us = ROW_SECONDS * US_PER_SECOND
        return cls(start_us, row_us, max(-(-(end_us - start_us) // row_us), 1))

    @property
    def row_seconds(self) -> float:
        """Length of a row."""
        return self.row_us / 1e6

    @property
    def seconds(self) -> float:
        """Length of all of them."""
        return self.rows * self.row_seconds

    @property
    def start_seconds(self) -> float:
        """Begin of the first row, seconds since 1970 UTC."""
        return self.start_us / 1e6
