"""Readings become rows of fifteen seconds; what was not read becomes gaps with a reason.

Ticks are whole multiples of the interval since 1970 in UTC, rows whole multiples of fifteen seconds; a row holds the
ticks after its start up to and with its end. A gap says when and why ticks were missed; the row around it counts those
of them that fall into its own fifteen seconds, so that the two are never to be added.
"""

from collections.abc import Mapping, Sequence
from math import fsum, nan

from advisor.samples.metrics import METRICS, MOST_VALUE, Kind, Metric, rounded
from advisor.samples.places import ROW_US
from advisor.samples.rows import Buckets, Gap, Missed, Reading, Record, Row, Stats, Target

_LONGEST_NOTE = 400
"""Characters: a driver that fails in ever new words does not fill the disk."""

Place = tuple[object, ...]


class SourceRows:
    """The open row of each target of one source."""

    def __init__(self, nobody: Target, interval_us: int, start_us: int) -> None:
        """Account for every tick after *start_us*; *nobody* is the target until the source has named some."""
        self._interval_us = interval_us
        self.accounted_us = self.tick_at(start_us)
        """The last tick that was read, or is known to be missed."""
        self.row_end_us = row_end(self.accounted_us + interval_us)
        """End of the row that the next tick belongs to."""
        self._open: dict[Place, _OpenRow] = {_place(nobody): _OpenRow(nobody)}
        self._is_anonymous = True
        self._gone: list[_OpenRow] = []

    @property
    def targets(self) -> list[Target]:
        """Whom the last reading spoke of."""
        return [row.target for row in self._open.values()]

    def tick_at(self, moment_us: int) -> int:
        """The last tick at or before a moment."""
        return moment_us - moment_us % self._interval_us

    def take(self, tick_us: int, read: Sequence[Reading | Missed], why_missed: str) -> list[Record]:
        """Take the readings of a tick, and say what they complete; *why_missed* is of the ticks since the last one."""
        records: list[Record] = []
        if tick_us <= self.accounted_us:
            if self.accounted_us - tick_us < ROW_US:
                return []  # its time is accounted for
            records += self.close()  # the clock was set back: go on at the new time
            self.accounted_us, self.row_end_us = tick_us - self._interval_us, row_end(tick_us)
        records += self.miss(tick_us - self._interval_us, why_missed)
        if read:
            self._meet(read)
        for each in read:
            self._open[_place(each.target)].take(tick_us, self._interval_us, each)
        return records + self._advance(tick_us)

    def miss(self, until_us: int, reason: str) -> list[Record]:
        """Nothing was read at the ticks up to a moment."""
        ticks = (until_us - self.accounted_us) // self._interval_us
        if ticks <= 0:
            return []
        before, last = self.accounted_us, self.accounted_us + ticks * self._interval_us
        inside = (min(last, self.row_end_us) - before) // self._interval_us
        gaps: list[Record] = [Gap(target, before, last, ticks, reason) for target in self.targets]
        for row in self._open.values():
            row.missed_ticks += inside
        if self.row_end_us >= last + self._interval_us:
            self.accounted_us = last
            return gaps
        records = self._advance(last)
        inside = (last - max(before, self.tick_at(self.row_end_us - ROW_US))) // self._interval_us
        for row in self._open.values():
            row.missed_ticks = max(inside, 0)
        return records + gaps

    def close(self) -> list[Record]:
        """End the open rows early."""
        records = [record for row in (*self._gone, *self._open.values()) for record in row.records(self.row_end_us)]
        self._gone = []
        self._open = {place: _OpenRow(row.target) for place, row in self._open.items()}
        return records

    def _advance(self, tick_us: int) -> list[Record]:
        """Everything up to a tick is accounted for: end the rows that no later tick belongs to."""
        self.accounted_us = tick_us
        end_us = row_end(tick_us + self._interval_us)
        records = self.close() if end_us != self.row_end_us else []
        self.row_end_us = end_us
        return records

    def _meet(self, read: Sequence[Reading | Missed]) -> None:
        """Open rows for new targets; what is not spoken of any more ends with this row."""
        rows = {}
        for each in read:
            place = _place(each.target)
            row = self._open.pop(place, None) or _OpenRow(each.target)
            before, now = row.target.uuid, each.target.uuid
            if before is not None and now is not None and before != now:
                self._gone.append(row)
                row = _OpenRow(each.target)
            row.target = each.target
            rows[place] = row
        if not self._is_anonymous:
            self._gone += self._open.values()
        self._is_anonymous = False
        self._open = rows


class _OpenRow:
    """Readings of one target since the last row."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.missed_ticks = 0
        self._values: dict[str, list[float]] = {}
        self._buckets: Mapping[str, Buckets] = {}
        self._notes: dict[str, None] = {}
        self._gaps: list[Gap] = []

    def take(self, tick_us: int, interval_us: int, read: Reading | Missed) -> None:
        """Take what was read at a tick; a number that is not a measurement is not known."""
        if isinstance(read, Missed):
            self._miss(tick_us, interval_us, read.reason)
            return
        values = self._values
        for name, value in read.values.items():
            if abs(value) <= MOST_VALUE:
                values.setdefault(name, []).append(value)
        if read.buckets:
            self._buckets = {**self._buckets, **read.buckets}
        if read.note:
            self._notes[read.note] = None

    def records(self, end_us: int) -> list[Record]:
        """The row, if there was a reading, and the gaps."""
        stats = {name: _stats(METRICS[name], values) for name, values in self._values.items() if name in METRICS}
        records: list[Record] = []
        if stats or self._buckets:
            note = "; ".join(self._notes)[:_LONGEST_NOTE] or None
            records.append(Row(self.target, end_us, stats, self._buckets, self.missed_ticks, note))
        return records + self._gaps

    def _miss(self, tick_us: int, interval_us: int, reason: str) -> None:
        """One gap for each run of ticks that were missed for the same reason."""
        self.missed_ticks += 1
        reason = reason[:_LONGEST_NOTE]
        start_us, ticks = tick_us - interval_us, 1
        if self._gaps and (self._gaps[-1].end_us, self._gaps[-1].reason) == (start_us, reason):
            last = self._gaps.pop()
            start_us, ticks = last.start_us, last.missed_ticks + 1
        self._gaps.append(Gap(self.target, start_us, tick_us, ticks, reason))


def row_end(tick_us: int) -> int:
    """End of the row that a tick belongs to."""
    return -(-tick_us // ROW_US) * ROW_US


def _stats(metric: Metric, values: Sequence[float]) -> Stats:
    """Statistics that are kept of the readings of one metric."""
    if metric.kind is Kind.COUNTER:
        return Stats(nan, nan, nan, float(values[-1]), len(values))
    least, greatest = min(values), max(values)
    mean = least if least == greatest else fsum(values) / len(values)
    least, mean, greatest, last = (
        float(rounded(value, metric.resolution)) for value in (least, mean, greatest, values[-1])
    )
    return Stats(least, mean, greatest, last, len(values))


def _place(target: Target) -> Place:
    """Place of a target, whatever is there."""
    return (target.index, target.mig_index, target.endpoint, target.endpoint and target.name)
