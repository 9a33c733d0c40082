"""Who sends what, and when: live rows and the backlog in requests of their own, the oldest first.

A request that the server refuses is halved until what it does not want is alone; that is parked, the rest is sent.
While the server cannot take anything, rows go to the backlog, and attempts grow rarer, with jitter.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from advisor.samples.agent.outbox.backlog import Backlog, MemoryBacklog
from advisor.samples.agent.outbox.destination import Destination, Later, Rejected
from advisor.samples.agent.outbox.encoding import Sample, end_markers, samples_of
from advisor.samples.agent.series import covers
from advisor.samples.agent.signals import NO_SIGNALS, Signals
from advisor.samples.rows import Gap, Record, Row, Target

SAMPLES_A_REQUEST = 2000
REQUESTS_A_BATCH = 400
"""To find out what is refused of one request; parts that are then refused as a whole are parked as a whole."""
_BACKLOG_RECORDS = 200
_MOST_TARGETS = 4096
_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_SIGNALS_EVERY_SECONDS = 10.0
"""Less often than that: once for the rows that all sources end at the same moment."""

Say = Callable[[str], None]


class _PostponedError(Exception):
    """The server cannot take it now."""

    def __init__(self, later: Later) -> None:
        super().__init__(later.reason)
        self.later = later


class Courier:
    """Sends rows to one destination."""

    def __init__(
        self,
        destination: Destination,
        backlog: Backlog | MemoryBacklog,
        say: Say,
        signals: Signals = NO_SIGNALS,
        seed: int | None = None,
    ) -> None:
        """Nothing is sent yet. *signals* are what the agent says of itself, *seed* is that of the jitter."""
        self._signals = signals
        self._signalled_at = -_SIGNALS_EVERY_SECONDS
        self._destination, self._backlog, self._say = destination, backlog, say
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._failures = 0
        self._not_before = 0.0
        self._seen_us: dict[Target, int] = {}
        """Last end of each target: what the spool and the pipe both had is sent once."""
        self._shown: dict[Target, Row] = {}
        """Last row that was sent live, of targets that have not ended."""

    @property
    def wait_seconds(self) -> float:
        """Until something may be sent again; 0: now."""
        return max(self._not_before - time.monotonic(), 0.0)

    def send_live(self, records: Sequence[Record]) -> None:
        """Send what just came, or keep it for later."""
        rows = self._fresh(records)
        waiting = deque(_requests(rows))
        try:
            while waiting and not self.wait_seconds:
                self._send(waiting[0])
                self._shown |= {row.target: row for row in waiting.popleft()}
            if rows and not self.wait_seconds:
                self._send_signals(time.monotonic())
            if not self.wait_seconds:
                self._end_series([record for record in records if isinstance(record, Gap)])
        except _PostponedError as postponed:
            self._postpone(postponed.later)
        for kept in waiting:
            self._keep(kept)
        self._take(rows)

    def keep(self, records: Sequence[Record]) -> None:
        """Put records into the backlog: what a process before this one did not send."""
        rows = self._fresh(records)
        self._keep(rows)
        self._take(rows)

    def send_backlog(self) -> bool:
        """Send some of what waits; False: there is nothing, or it cannot be sent now."""
        records = () if self.wait_seconds else self._backlog.peek(_BACKLOG_RECORDS)
        rows = next(_requests([record for record in records if isinstance(record, Row)]), [])
        if not rows:
            return False
        try:
            self._send(rows)
        except _PostponedError as postponed:
            self._postpone(postponed.later)
            return False
        with suppress(OSError):
            self._backlog.done(len(rows))
        return True

    def close(self) -> None:
        """Let go of connection and files; what waits stays for the next process."""
        self._destination.close()
        self._backlog.close()

    def _fresh(self, records: Sequence[Record]) -> list[Row]:
        """The rows among them that are newer than what was taken of their targets."""
        if len(self._seen_us) > _MOST_TARGETS:
            self._seen_us.clear()
            self._shown.clear()
        rows = []
        for record in records:
            if isinstance(record, Row) and record.end_us > self._seen_us.get(record.target, 0):
                self._seen_us[record.target] = record.end_us
                rows.append(record)
        return rows

    def _end_series(self, gaps: Sequence[Gap]) -> None:
        """Mark the series of targets that are not read any more as ended; raises :class:`_PostponedError`."""
        ended = [
            (gap, row)
            for gap in gaps
            for target, row in list(self._shown.items())
            if covers(gap.target, target) and self._seen_us.get(target, 0) < gap.end_us
        ]
        samples = [sample for gap, row in ended for sample in end_markers(row, gap.end_us, self._signals.labels)]
        if samples:
            self._deliver(samples)
        for _, row in ended:
            self._shown.pop(row.target, None)

    def _send_signals(self, now: float) -> None:
        """Say how the agent is, beside its rows; raises :class:`_PostponedError`."""
        if now - self._signalled_at < _SIGNALS_EVERY_SECONDS:
            return
        time_ms = time.time_ns() // 1_000_000
        samples = [Sample(point.name, point.labels, time_ms, point.value) for point in self._signals.points()]
        if samples:
            self._deliver(samples)
        self._signalled_at = now

    def _take(self, rows: Sequence[Row]) -> None:
        """Write down until when everything was taken care of."""
        if rows:
            self._note(taken_us=max(self._backlog.progress.taken_us, *(row.end_us for row in rows)))

    def _keep(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            self._backlog.append(rows)
        except OSError as error:
            self._say(f"cannot keep {len(rows)} rows for later ({error.strerror}); they are in the agent's own files")

    def _send(self, rows: Sequence[Row]) -> None:
        """Send rows of one request; raises :class:`_PostponedError` when none of it can be sent now."""
        self._deliver(samples_of(rows, self._signals.labels))
        if self._failures or self._backlog.progress.failing:
            self._say(f"{self._destination.address.shown} takes samples again")
        self._failures, self._not_before = 0, 0.0
        self._note(failing="")

    def _deliver(self, samples: Sequence[Sample]) -> None:
        """Send samples, halving what is refused; what nobody wants is parked.

        Raises:
            _PostponedError: the server cannot take them now.
        """
        parts, requests, parked, reason = [samples], 0, 0, ""
        while parts:
            part = parts.pop()
            outcome = self._destination.send(part)
            requests += 1
            if isinstance(outcome, Later):
                raise _PostponedError(outcome)
            if not isinstance(outcome, Rejected):
                continue
            if len(part) > 1 and requests < REQUESTS_A_BATCH:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            else:
                parked, reason = parked + len(part), outcome.reason
        self._account(len(samples) - parked, parked, reason)

    def _account(self, sent: int, parked: int, reason: str) -> None:
        progress = self._backlog.progress
        self._backlog.progress = replace(
            progress, sent_samples=progress.sent_samples + sent, parked_samples=progress.parked_samples + parked
        )
        if parked:
            self._say(
                f"{parked:,} samples are parked, the server refuses them ({reason}); they are in the agent's own files"
            )

    def _postpone(self, later: Later) -> None:
        """Wait as long as the server asks, else twice as long as before, with jitter."""
        longest = min(_SHORTEST_WAIT_SECONDS * 2.0 ** min(self._failures, 16), _LONGEST_WAIT_SECONDS)
        wait = self._random.uniform(longest / 2, longest)
        if later.wait_seconds is not None:
            wait = max(later.wait_seconds, self._random.uniform(0, longest))
        self._not_before = time.monotonic() + wait
        self._failures += 1
        if self._backlog.progress.failing != later.reason:
            self._say(f"{self._destination.address.shown} takes nothing now ({later.reason}); rows wait in the backlog")
        self._note(failing=later.reason)

    def _note(self, *, taken_us: int | None = None, failing: str | None = None) -> None:
        progress = self._backlog.progress
        self._backlog.progress = replace(
            progress,
            taken_us=progress.taken_us if taken_us is None else taken_us,
            failing=progress.failing if failing is None else failing,
        )
        with suppress(OSError):
            self._backlog.save()


def _requests(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in their order, in groups of about as many samples as a request should have."""
    group: list[Row] = []
    samples = 0
    for row in rows:
        size = 3 * len(row.stats) + sum(len(buckets.bounds) + 2 for buckets in row.buckets.values())
        if group and samples + size > SAMPLES_A_REQUEST:
            yield group
            group, samples = [], 0
        group.append(row)
        samples += size
    if group:
        yield group
