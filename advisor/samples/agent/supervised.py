"""A source kept going in a process of its own, or in a thread where it has no driver, and the rows of its readings.

- It ends: another one is started, after a pause that doubles from one second to a minute.
- It is silent for too long: it hangs in a driver. Nobody kills it, because a driver that is killed in the middle of
  something has frozen accelerators. It is left behind, and one other is started in its place. As long as one is left
  behind, no further one is: then there are gaps until something ends or answers.
- Whatever was missed meanwhile is a gap with the reason.

Ticks are whole multiples of the interval since 1970 in UTC, rows whole multiples of fifteen seconds; a row holds the
ticks after its start up to and with its end. A gap says when and why ticks were missed; the row around it counts those
of them that fall into its own fifteen seconds, so that the two are never to be added.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from advisor.records import dataclass, field, replace
from advisor.samples.agent.processes import BEAT_SECONDS, Process, ProtocolError, Reader, Word, bare_interpreter
from advisor.samples.metrics import Gap, Missed, Reading, Record, Target
from advisor.samples.sources import WITHOUT_DRIVER

if TYPE_CHECKING:
    from advisor.samples.agent.processes import SourceThread
from collections.abc import Mapping
from math import fsum, nan

from advisor.samples.metrics import METRICS, MOST_VALUE, Buckets, Kind, Metric, Row, Stats, rounded
from advisor.samples.places import ROW_US

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


NOT_RUNNING = "the agent did not run at this time"
_PIECE = 1 << 16
_MOST_REASONS = 50
_OTHER_REASONS = "other reasons"
"""A driver that fails in ever new words does not fill the memory."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_HEALTHY_SECONDS = 60.0
"""After so long without an end the pause is short again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of a source's silence, in seconds."""

    opening: float = 60.0
    """Limit while it opens its driver, which takes seconds for each accelerator that was not in use."""
    reading: float = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A source that is to run."""

    source: str
    addresses: tuple[str, ...] = ()
    """Metrics pages of serving engines."""


@dataclass(slots=True)
class _Running:
    """The process that reads now."""

    process: "Process | SourceThread"
    started_at: float
    heard_at: float
    is_open: bool = False
    failure: str | None = None
    """Last words of a process that gave up."""
    reader: Reader = field(default_factory=Reader)


class SupervisedSource:
    """One source: its process, its open rows, and what became of it.

    Times are ``now`` in seconds of a clock that is never set, and ``now_us`` in µs since 1970 UTC.
    """

    def __init__(
        self, asked: Asked, host: str, interval_us: int, patience: Patience, report: Callable[[str], None]
    ) -> None:
        """Prepare; nothing is started yet. *report* is told when it stops answering, and when it answers again."""
        self.name = name = asked.source
        self._report = report
        self._is_over = False
        self.until_us: int | None = None  # no tick is taken after this one
        self.silent_targets: list[Target] = []  # those that did not answer the last time
        self._told_notes: set[tuple[str | None, str]] = set()  # with the endpoint that they are about
        self._asked = asked
        self._nobody = Target(host, name, None)
        self._interval_us = interval_us
        self._patience = patience
        self._running: _Running | None = None
        self._left_behind: Process | SourceThread | None = None
        self._rows: SourceRows | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._start_at = 0.0
        self.trouble: str | None = None
        """Reason why it does not answer, and of the ticks that are missed now."""
        self.passing_trouble: str | None = None
        """Reason of missed ticks up to the next reading: the machine slept, or the clock was set."""
        self.failure: tuple[str, str] | None = None
        """Reason and remedy of the last failure to open the source; None: it is open."""
        self.state = "waiting"
        self.description: str | None = None  # until it was opened
        self.starts = 0
        self.last_tick_us: int | None = None
        self.cost_us: int | None = None
        self.step_us = interval_us
        self.rows_made = 0
        self.gap_ticks: dict[str, int] = {}

    # ---- what the loop asks

    @property
    def pipe(self) -> int | None:
        """File descriptor to wait for."""
        return None if self._running is None else self._running.process.read_end

    @property
    def is_running(self) -> bool:
        """True while a process or thread reads it, hanging or not."""
        return self._running is not None

    @property
    def process_id(self) -> int | None:
        """Number of its process; None where it has none, or is read in a thread."""
        return None if self._running is None else self._running.process.pid

    @property
    def left_behind_id(self) -> int | None:
        """The process that hangs, and was replaced."""
        return None if self._left_behind is None else self._left_behind.pid

    @property
    def targets(self) -> list[Target]:
        """Targets of the last reading."""
        return [] if self._rows is None else self._rows.targets

    @property
    def accounted_us(self) -> int:
        """The last tick that is read or known to be missed."""
        return 0 if self._rows is None else self._rows.accounted_us

    def begin(self, now_us: int) -> None:
        """Account for every tick from now on, if it was not begun already."""
        if self._rows is None:
            self._rows = SourceRows(self._nobody, self._interval_us, now_us)

    # ---- what happens

    def hear(self, now: float, now_us: int) -> list[Record]:
        """Take what its pipe holds."""
        running = self._running
        if running is None or running.process.read_end is None:
            return []
        try:
            piece = os.read(running.process.read_end, _PIECE)
        except BlockingIOError:
            return []
        if not piece:
            running.process.close()  # it ends: the rest is for tend()
            self.state = "ending"
            return []
        running.heard_at = now
        records: list[Record] = []
        try:
            for word, items in running.reader.feed(piece):
                if word is Word.READY:
                    self.begin(now_us)
                records += self._understand(running, word, items)
        except (ProtocolError, ValueError, TypeError) as error:
            self._says(f"{self.name} cannot be understood: {error}")
            running.process.close()
        return self._counted(records)

    def tend(self, now: float, now_us: int) -> list[Record]:
        """Start, replace or leave behind, and account for what a silent source missed."""
        if self._left_behind is not None and self._left_behind.ended() is not None:
            self._left_behind = None
        running = self._running
        if running is None:
            self._start_when_due(now)
        elif (how := running.process.ended()) is not None:
            self._has_ended(running, how, now)
        elif now - running.heard_at > (self._patience.reading if running.is_open else self._patience.opening):
            self._is_silent(running, now)
        return self._counted(self._account(now, now_us))

    def stop(self) -> None:
        """Tell it that it is over; what it still says counts."""
        self._is_over = True
        if self._running is not None:
            self._running.process.end_input()

    def finish(self, now: float, until_us: int) -> list[Record]:
        """Account for everything up to the end, and end the open rows."""
        if self._rows is None:
            return []
        return self._counted(self._rows.miss(until_us, self._why(now)) + self._rows.close())

    # ---- inside

    def _start_when_due(self, now: float) -> None:
        if now < self._start_at or self._is_over:
            return
        host, name, interval_us, addresses = self._nobody.host, self.name, self._interval_us, self._asked.addresses
        try:
            if name in WITHOUT_DRIVER:  # a driver may hang or crash: only what has none is read in a thread
                from advisor.samples.agent.processes import SourceThread  # noqa: PLC0415 - others need no threads

                self._running = _Running(SourceThread(name, host, interval_us, addresses), now, now)
            else:
                module = "advisor.samples.agent.processes"
                command = bare_interpreter(module, name, host, str(interval_us), *addresses)
                self._running = _Running(Process(command, listens=True, speaks=True), now, now)
        except OSError as error:
            self._says(f"{name} cannot be started: {error.strerror}")
            self._pause(now)
            return
        self.state = "starting"
        self.starts += 1

    def _has_ended(self, running: _Running, how: str, now: float) -> None:
        """Say why, and start another one after a pause."""
        running.process.close()
        self._running = None
        if self._is_over:
            self.state = "ended"
            return
        self._says(running.failure or f"{self.name} {how}")
        if now - running.started_at > _HEALTHY_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._pause(now)

    def _pause(self, now: float) -> None:
        self.state = "waiting"
        self._start_at = now + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _is_silent(self, running: _Running, now: float) -> None:
        """Replace a process that hangs, unless one was left behind already."""
        self._says(f"{self.name} does not answer")
        self.state = "silent"
        if self._left_behind is None:
            running.process.close()
            self._left_behind, self._running = running.process, None
            self._pause(now)

    def _understand(self, running: _Running, word: Word, items: Sequence[Any]) -> list[Record]:
        """Act on one message."""
        if word is Word.READY:
            self.description = str(items[0])
        if word is Word.TICK:
            tick_us, cost_us, step_us, skipped, read = items
            self.cost_us, self.step_us = cost_us, step_us
            return self._tick(tick_us, read, skipped)
        if word is Word.FAILED:
            running.failure = str(items[0])
            self.failure = (str(items[0]), str(items[1]))
            return []
        running.is_open, self.failure = True, None
        self.state = "running"
        return []

    def _tick(self, tick_us: int, read: Sequence[Reading | Missed], skipped: str | None) -> list[Record]:
        """Take the readings of one tick; the rows and gaps that it completes."""
        self.state = "running"
        if self._rows is None or (self.until_us is not None and tick_us > self.until_us):
            return []
        self.last_tick_us = tick_us
        records = self._rows.take(tick_us, read, self.trouble or self.passing_trouble or skipped or NOT_RUNNING)
        if self.trouble:
            self._report(f"{self.name} answers again")
        self.trouble = self.passing_trouble = None
        if self.silent_targets or any(isinstance(each, Missed) for each in read):
            self._announce(read)
        self._tell_notes(read)
        return records

    def _tell_notes(self, read: Sequence[Reading | Missed]) -> None:
        """Say once which values a target does not give; its rows repeat it."""
        for reading in read:
            if isinstance(reading, Missed) or not reading.note or len(self._told_notes) >= _MOST_REASONS:
                continue
            told = reading.target.endpoint, reading.note
            if told not in self._told_notes:
                self._told_notes.add(told)
                self._report(f"{in_words(reading.target)}: {reading.note}; left out of its rows, the others go on")

    def _announce(self, read: Sequence[Reading | Missed]) -> None:
        """Say once that a target stopped answering, and once that it answers again."""
        reasons = {
            replace(missed.target, uuid=None, name=None): missed.reason if isinstance(missed, Missed) else None
            for missed in read
        }
        for place, reason in reasons.items():
            if reason and place not in self.silent_targets:
                self._report(f"{in_words(place)} does not answer ({reason}); recorded as a gap, the others go on")
            elif not reason and place in self.silent_targets:
                self._report(f"{in_words(place)} answers again")
        self.silent_targets = [place for place, reason in reasons.items() if reason]

    def _says(self, trouble: str) -> None:
        """Report a reason once."""
        if trouble != self.trouble and self._rows is not None:
            self._report(f"{trouble}; recorded as a gap until it answers")
        self.trouble = trouble

    def _account(self, now: float, now_us: int) -> list[Record]:
        """Gaps of a silent source at the end of a row."""
        rows = self._rows
        if rows is None or (self.state == "running" and self._is_heard(now)):
            return []
        quiet_us = now_us - int(BEAT_SECONDS * 1e6)
        return rows.miss(rows.row_end_us, self._why(now)) if quiet_us >= rows.row_end_us else []

    def _is_heard(self, now: float) -> bool:
        return self._running is not None and now - self._running.heard_at < BEAT_SECONDS

    def _why(self, now: float) -> str:
        """Reason of the ticks missed up to now."""
        silent = None if self._is_heard(now) or self._running is None else f"{self.name} does not answer"
        return self.trouble or self.passing_trouble or silent or NOT_RUNNING

    def _counted(self, records: list[Record]) -> list[Record]:
        for record in records:
            if isinstance(record, Gap):
                is_known = record.reason in self.gap_ticks or len(self.gap_ticks) < _MOST_REASONS
                reason = record.reason if is_known else _OTHER_REASONS
                self.gap_ticks[reason] = self.gap_ticks.get(reason, 0) + record.missed_ticks
            else:
                self.rows_made += 1
        return records


def in_words(target: Target) -> str:
    """Name such as ``nvml accelerator 3, MIG instance 1``."""
    if target.index is None:
        return target.source
    if target.endpoint is not None:
        return f"{target.source} at {target.endpoint}, rank {target.index}"
    place = f"{target.source} accelerator {target.index}"
    return place if target.mig_index is None else f"{place}, MIG instance {target.mig_index}"
