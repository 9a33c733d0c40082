"""``python -m advisor.samples.agent [SETTINGS]``: a run of the agent; ``advisor agent run`` turns into it.

One loop over everything that can happen: a source speaks, hangs or ends, a row is complete, somebody says stop. It
loads no vendor's library and waits for nothing but all of them at once.
"""

import importlib
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.compaction import Compaction, can_compact, compaction_command
from advisor.samples.agent.settings import VARIABLE, ClockWatch, Settings, StopSignal, clocks, stop_signals
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.agent.status import BufferedWriter, StatusFile
from advisor.samples.agent.supervised import SupervisedSource
from advisor.samples.metrics import Record

if TYPE_CHECKING:
    from advisor.samples.agent.latest import Latest

_TURN_SECONDS = 1.5
"""Longest wait of the loop: more than the usual interval, so that it is the sources that wake it."""
_ALERT_TURN_SECONDS = 0.25
"""The same while a source ends or is to be started."""
_QUICK_TURN_SECONDS = 0.05
_STARTING_SECONDS = 15.0
"""A source that has not opened its driver by then is begun without it."""
_ENDING_SECONDS = 3.0
"""Time that a source has for its last reading."""
_LATE_US = 5_000_000

Report = Callable[[str], None]


class Supervisor:
    """A run of the agent."""

    def __init__(self, settings: Settings, spool: SpoolWriter, stop: StopSignal, report: Report) -> None:
        """Prepare; nothing is started yet."""
        self._settings = settings
        self._stop = stop
        self._report = report
        self.watcher: Latest | None = None
        """Told of every record and status."""
        self._sources = [
            SupervisedSource(asked, settings.host, settings.interval_us, settings.patience, report)
            for asked in settings.sources
        ]
        self._keeper = BufferedWriter(spool, report)
        self._compaction: Compaction | None = None
        self._status = StatusFile(settings)
        self._watch = ClockWatch(*clocks())
        self._end_us: int | None = None
        """The last tick, where there is one."""

    @property
    def rows(self) -> int:
        """Rows made so far."""
        return sum(source.rows_made for source in self._sources)

    @property
    def missed_ticks(self) -> int:
        """Ticks that were missed so far, over all targets."""
        return sum(ticks for source in self._sources for ticks in source.gap_ticks.values())

    @property
    def unwritten(self) -> int:
        """Records that could not be written to the end."""
        return self._keeper.waiting

    def run(self) -> None:
        """Run until told to stop or the duration is over, then flush. Raises InputError if no source can be read."""
        try:
            if self._start():
                self._go_on()
            self._finish()
        finally:
            for source in self._sources:
                source.stop()
            self._keeper.close()
        self._end()

    def _start(self) -> bool:
        """Open every source; False: told to stop meanwhile."""
        started = time.monotonic()
        while not all(source.description is not None or source.failure for source in self._sources):
            if self._stop.arrived:
                return False
            if time.monotonic() - started > _STARTING_SECONDS:
                break
            self._turn(_QUICK_TURN_SECONDS)
        failures = [source.failure for source in self._sources if source.failure]
        if len(failures) == len(self._sources):
            reasons, hints = ("; ".join(filter(None, texts)) for texts in zip(*failures, strict=True))
            raise InputError(reasons, hint=hints)
        now_us = _now_us()
        for source in self._sources:
            source.begin(now_us)
            for said, hint in [source.failure] if source.failure else []:
                self._report(f"{source.name}: {said}; tried again ({hint})")
        if self._settings.compact:
            self._compaction = self._compaction_here()
        seen = ", ".join(source.description for source in self._sources if source.description)
        self._report(f"sampling {seen or 'nothing yet'} on {self._settings.host} into {self._settings.output}")
        self._write_status("running")
        return True

    def _compaction_here(self) -> Compaction:
        if not can_compact():
            self._report("rows stay in the spool: pyarrow, which turns them into Parquet, is not installed here")
        settings = self._settings
        command = compaction_command(settings.output, settings.host, settings.keep_days, settings.upload)
        at_end = () if settings.upload is None else ("--today",)
        return Compaction(command, self._report, time.monotonic(), at_end)

    def _go_on(self) -> None:
        """Turn until the end."""
        if self._settings.duration_us is None:
            while not self._stop.arrived:
                self._turn(self._longest_wait)
            return
        interval_us = self._settings.interval_us
        self._end_us = end_us = (_now_us() + self._settings.duration_us) // interval_us * interval_us
        for source in self._sources:
            source.until_us = end_us
        while not self._stop.arrived and not self._is_over(end_us):
            left_seconds = (end_us - _now_us()) / 1e6
            self._turn(min(max(left_seconds, _QUICK_TURN_SECONDS), self._longest_wait))

    @property
    def _longest_wait(self) -> float:
        is_steady = all(source.state in {"running", "silent"} for source in self._sources)
        return _TURN_SECONDS if is_steady else _ALERT_TURN_SECONDS

    def _is_over(self, end_us: int) -> bool:
        """True once all sources that can have read the last tick."""
        now_us = _now_us()
        if now_us < end_us:
            return False
        waiting = [source for source in self._sources if source.state == "running" and source.accounted_us < end_us]
        return not waiting or now_us > end_us + _LATE_US

    def _turn(self, seconds: float) -> None:
        """Wait for something to happen, so long at most, and act on it."""
        pipes = {source.pipe: source for source in self._sources if source.pipe is not None}
        signals = [] if self._stop.arrived else [self._stop.pipe]
        heard, _, _ = select.select([*pipes, *signals], [], [], seconds)
        now, now_us = time.monotonic(), _now_us()
        happened = self._watch.look(*clocks())
        if happened:
            self._report(happened)
        records: list[Record] = []
        for source in self._sources:
            if happened:
                source.passing_trouble = happened
            if source.pipe in heard:
                records += source.hear(now, now_us)
            records += source.tend(now, now_us)
        if records:
            self._keep(records)
        if self._compaction is not None:
            self._compaction.tend(now)

    def _keep(self, records: Sequence[Record]) -> None:
        self._keeper.take(records)
        if self.watcher is not None:
            for record in records:
                self.watcher.take(record)
        self._write_status("running")

    def _finish(self) -> None:
        """Finish the reading of every source, then end the open rows."""
        until_us = _now_us() - self._settings.interval_us
        if self._end_us is not None:
            until_us = min(until_us, self._end_us) if self._stop.arrived else self._end_us
        for source in self._sources:
            source.stop()
        started = time.monotonic()
        while time.monotonic() - started < _ENDING_SECONDS and any(
            source.is_running and source.state != "silent" for source in self._sources
        ):
            self._turn(_QUICK_TURN_SECONDS)
        records = [record for source in self._sources for record in source.finish(time.monotonic(), until_us)]
        if records:
            self._keep(records)

    def _end(self) -> None:
        """Compact once more and say goodbye."""
        left = [
            process for source in self._sources for process in (source.process_id, source.left_behind_id) if process
        ]
        if left:
            numbers = ", ".join(map(str, left))
            self._report(f"processes that hang in their driver are left to end by themselves: {numbers}")
        if self._compaction is not None:
            self._stop.clear()
            self._compaction.finish(lambda: self._stop.arrived)
        self._write_status("stopped")

    def _write_status(self, state: str) -> None:
        status = self._status.write(state, self._sources, self._keeper, self._compaction)
        if self.watcher is not None:
            self.watcher.status = status


def _now_us() -> int:
    return time.time_ns() // 1000


_EXIT_MEND = 1
_EXIT_BUG = 3


def main(arguments: Sequence[str]) -> int:
    """Run what the settings say, given as an argument or in the environment; the exit status."""
    settings = Settings.from_argument(arguments[0] if arguments else os.environ.pop(VARIABLE))

    def report(text: str) -> None:
        if not settings.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    if settings.host.partition(".")[0] == "localhost":
        report(f"warning: every machine without a name is {settings.host}, and their rows are mixed: --host NAME")
    try:
        with stop_signals() as stop:
            spool = SpoolWriter(Path(settings.output), settings.host)
            supervisor = Supervisor(settings, spool, stop, report)
            if settings.page is not None:
                _show_page(settings, supervisor, report)
            supervisor.run()
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the one boundary: everything else is our bug
        sys.stderr.write(f"error: this is a bug in advisor ({type(error).__name__}: {error})\n{_trace(error)}")
        return _EXIT_BUG
    if supervisor.unwritten:
        sys.stderr.write(f"error: {supervisor.unwritten:,} rows and gaps could not be written to {settings.output}\n")
        return _EXIT_MEND
    report(f"wrote {supervisor.rows:,} rows and {supervisor.missed_ticks:,} missed readings to {settings.output}")
    return 0


def _trace(error: Exception) -> str:
    """Where it happened, in a line that can be pasted into a report."""
    places, step = [], error.__traceback__
    while step is not None:
        places.append(f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}")
        step = step.tb_next
    return f"  hint: please report it with these places: {' '.join(places)}\n"


def _show_page(settings: Settings, supervisor: Supervisor, report: Callable[[str], None]) -> None:
    """Show what the supervisor keeps; its modules are loaded only where it is asked for."""
    latest = importlib.import_module("advisor.samples.agent.latest").Latest(settings.labels)
    server = importlib.import_module("advisor.samples.agent.page_server")
    address = server.PageAddress.parse(settings.page, settings.page_tls)
    report(f"showing the newest rows at {server.PageServer(address, latest.page).url}")
    supervisor.watcher = latest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
