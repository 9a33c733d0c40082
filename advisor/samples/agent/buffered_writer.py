"""Rows on their way to the spool. A disk that is full loses nothing silently.

What cannot be written waits in memory, as far as a few minutes go; the oldest beyond that become one gap for each
target, written with the reason as soon as there is room again. Sampling goes on all the while.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from advisor.errors import AdvisorError
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.places import ROW_US
from advisor.samples.rows import Gap, Record, Target

MOST_WAITING = 1024
"""Records: four minutes of sixteen accelerators and more."""


class BufferedWriter:
    """Gives records to the spool, now or as soon as it takes them."""

    def __init__(self, spool: SpoolWriter, report: Callable[[str], None], most: int = MOST_WAITING) -> None:
        """Nothing is waiting yet.

        Args:
            spool: where records go.
            report: told when writing fails, and when it goes on.
            most: records that wait at most.
        """
        self._spool = spool
        self._report = report
        self._most = most
        self._waiting: list[Record] = []
        self._given_up: dict[Target, Gap] = {}
        self.trouble: str | None = None
        """Why nothing is written now."""
        self.written = 0
        self.lost_rows = 0

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return len(self._waiting)

    def take(self, records: Sequence[Record]) -> None:
        """Write them, after what waits already."""
        self._waiting += records
        if not self._waiting:
            return
        batch = [*self._given_up.values(), *self._waiting]
        try:
            self._spool.append(batch)
            self._spool.sync()
        except (AdvisorError, OSError) as error:
            self._not_written(error)
            return
        if self.trouble:
            self._report(f"writing goes on, after: {self.trouble}")
        self.trouble = None
        self.written += len(batch)
        self._waiting, self._given_up = [], {}

    def close(self) -> None:
        """Write what can be written, and let go."""
        self.take([])
        with suppress(AdvisorError, OSError):  # said already: nothing was written since
            self._spool.close()

    def _not_written(self, error: Exception) -> None:
        """Say so once, and make room."""
        reason = error.message if isinstance(error, AdvisorError) else str(error)
        if self.trouble is None:
            self._report(f"cannot write: {reason}; sampling goes on, and what does not fit into memory becomes a gap")
        self.trouble = reason
        excess = len(self._waiting) - self._most
        for record in self._waiting[: max(excess, 0)]:
            self._give_up(record)
        del self._waiting[: max(excess, 0)]

    def _give_up(self, record: Record) -> None:
        """Remember the time of a record that is not kept."""
        self.lost_rows += not isinstance(record, Gap)
        start_us, ticks = _extent(record)
        before = self._given_up.get(record.target)
        if before is not None:
            start_us, ticks = min(start_us, before.start_us), ticks + before.missed_ticks
        reason = f"it could not be written: {self.trouble}"
        self._given_up[record.target] = Gap(record.target, start_us, record.end_us, ticks, reason)


def _extent(record: Record) -> tuple[int, int]:
    """Start and ticks of a record."""
    if isinstance(record, Gap):
        return record.start_us, record.missed_ticks
    ticks = max((stats.n for stats in record.stats.values()), default=1)
    return record.end_us - ROW_US, ticks
