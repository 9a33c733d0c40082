"""Batch work: so many items are there at the start of each run, and all of them have to be done by a deadline.

Runs follow each other at a fixed distance that divides the week. A run is worked on in whole hours of the week, the
first so many of those that are open to it; the hours themselves are chosen with the machines, which are paid for in
them alone.
"""

from collections.abc import Iterator, Sequence

from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_WEEK, SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class BatchRun:
    """Items that have to be done by a deadline, again and again."""

    items: float
    """Requests of one run."""
    every_hours: int
    """From the start of a run to that of the next; divides the hours of a week."""
    first_hour: int
    """Hour of the week, from Monday 00:00 UTC, in which the first run starts."""
    open_hours: tuple[int, ...]
    """Hours from the start of a run in which it may be worked on, ascending; all begin before the deadline."""
    deadline_hours: float
    """From the start of a run to the end of its last item."""

    @property
    def runs_per_week(self) -> int:
        """Runs that start in a week."""
        return HOURS_PER_WEEK // self.every_hours

    def hours_up(self, hours_per_week: int) -> int:
        """Hours of a run in which machines are up, where they are in so many hours of the week."""
        return hours_per_week // self.runs_per_week

    def times(self, factor: float) -> "BatchRun":
        """The same with so many times the items."""
        return replace(self, items=self.items * factor)

    def in_first(self, hours: int) -> "BatchRun":
        """The same in its first so many open hours."""
        return replace(self, open_hours=self.open_hours[:hours])

    def hours_of_week(self, count: int) -> tuple[int, ...]:
        """Hours of the week in which the first so many open hours of any run lie."""
        starts = range(self.first_hour, self.first_hour + HOURS_PER_WEEK, self.every_hours)
        return tuple(sorted((start + hour) % HOURS_PER_WEEK for start in starts for hour in self.open_hours[:count]))

    def runs(self) -> Iterator[Sequence[tuple[int, float]]]:
        """Open hours of each run, as hours of the week, with the share of each that is before the deadline."""
        for start in range(self.first_hour, self.first_hour + HOURS_PER_WEEK, self.every_hours):
            yield [((start + hour) % HOURS_PER_WEEK, min(self.deadline_hours - hour, 1.0)) for hour in self.open_hours]

    def stretches(self, count: int) -> Iterator[tuple[float, float]]:
        """Start and end of each stretch of work in the first so many open hours, in hours from the start of a run.

        The last one ends with the deadline, where that is within its last hour.
        """
        begin, before = None, None
        for hour in self.open_hours[:count]:
            if before is None or hour > before + 1:
                if begin is not None and before is not None:
                    yield float(begin), float(before + 1)
                begin = hour
            before = hour
        if begin is not None and before is not None:
            yield float(begin), min(before + 1.0, self.deadline_hours)

    def work_hours(self, count: int) -> float:
        """Hours of work of a run in its first so many open hours."""
        return sum(end - start for start, end in self.stretches(count))

    def planned_items(self, count: int, rate: float) -> float:
        """Items of a run of which so many a second are planned, as growth makes more of them; rates have six digits."""
        return self.items * round(rate / self.items_per_second(count), 5)

    def items_per_second(self, count: int) -> float:
        """Rate at which a run is done at the end of its first so many open hours: ``items ÷ (work hours · 3600)``."""
        return self.items / (self.work_hours(count) * SECONDS_PER_HOUR)


@dataclass(frozen=True, slots=True)
class BatchBeside:
    """Batch work on the machines that serve other requests, in what these leave idle."""

    run: BatchRun
    input_tokens: float
    """Prompt tokens of an item; or the size of its parts."""
    output_tokens: float
    """Generated tokens of an item; or its parts."""

    def times(self, factor: float) -> "BatchBeside":
        """The same with so many times the items."""
        return replace(self, run=self.run.times(factor))
