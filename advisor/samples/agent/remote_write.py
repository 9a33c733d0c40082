"""``--outlet "remote-write …"``: rows to a Prometheus server as they are made. Off unless it is asked for.

It reads the agent's frames from its standard input and sends them by remote write 1.0. What cannot be sent waits on
disk in a backlog of its own, and what the agent's spool has of the time in which this program did not run joins it.
"""

import argparse
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.frames import read_frames
from advisor.samples.agent.labels import parse_labels
from advisor.samples.agent.outbox.backlog import Backlog, MemoryBacklog
from advisor.samples.agent.outbox.courier import Courier
from advisor.samples.agent.outbox.destination import Credentials, Destination
from advisor.samples.agent.signals import Signals, add_signal_options
from advisor.samples.agent.spool import read_segment, segments
from advisor.samples.bounded_http import parse_address
from advisor.samples.places import spool_folder
from advisor.samples.rows import Record

if TYPE_CHECKING:
    import ssl

DEFAULT_PATH = "/api/v1/write"
FOLDER_PREFIX = "remote-write-"
MOST_WAITING = 4000
"""Records in memory while a request is under way; beyond it the oldest are given up: the agent's files have them."""
_GATHER_SECONDS = 0.25
"""Rows of one moment come together: they are sent in one request."""
_LONGEST_LIVE_DELAY_SECONDS = 60.0
"""While the backlog is sent first, so that servers which want samples in order get them so."""
_IDLE_SECONDS = 5.0
_LAST_SECONDS = 5.0
"""For the backlog after the input has ended; what is left waits for the next process."""
_NOTABLE_US = 60_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Send until the standard input ends; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        courier = _prepare(options)
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    inbox = Inbox()
    threading.Thread(target=_feed, args=(inbox,), daemon=True).start()
    try:
        run(courier, inbox)
    except KeyboardInterrupt:
        return 130
    finally:
        courier.close()
    return 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the spool still had."""

    records: int
    first_us: int | None
    """End of the first row, µs since 1970; None without one."""

    def words(self, taken_us: int) -> str:
        """What is sent and what is not, for a person; "" when there was nothing to send."""
        if self.first_us is None:
            return ""
        text = f"{self.records:,} rows and gaps of the time in which this program did not run are sent from the spool"
        if self.first_us - taken_us > _NOTABLE_US:
            text += "; what was compacted before them is not sent, it is in the agent's own files"
        return text


class Inbox:
    """Records that came and were not yet sent; never waits for who fills it."""

    def __init__(self) -> None:
        """Empty and open."""
        self._condition = threading.Condition()
        self._records: list[Record] = []
        self._since = 0.0
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is there and nothing will come."""
        with self._condition:
            return self._is_closed and not self._records

    def put(self, record: Record) -> None:
        """Take a record in; the oldest is given up where there are far too many."""
        with self._condition:
            if not self._records:
                self._since = time.monotonic()
            self._records.append(record)
            if len(self._records) > MOST_WAITING:
                del self._records[0]
            self._condition.notify()

    def close(self) -> None:
        """Nothing more will come."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()

    def wait(self, seconds: float) -> None:
        """Until there is something, it is over, or the time has passed."""
        with self._condition:
            self._condition.wait_for(lambda: self._records or self._is_closed, seconds)

    def waited_seconds(self) -> float:
        """How long the oldest has been there; 0 where there is none."""
        with self._condition:
            return time.monotonic() - self._since if self._records else 0.0

    def take(self) -> list[Record]:
        """All that is there."""
        with self._condition:
            records, self._records = self._records, []
            return records


def run(courier: Courier, inbox: Inbox, gather: Callable[[float], None] = time.sleep) -> None:
    """Send live rows and the backlog, each in requests of its own, until the inbox is over."""
    while not inbox.is_over:
        more = inbox.waited_seconds() < _LONGEST_LIVE_DELAY_SECONDS and courier.send_backlog()
        if more:
            continue
        inbox.wait(_pause(courier))
        gather(_GATHER_SECONDS)
        courier.send_live(inbox.take())
    end = time.monotonic() + _LAST_SECONDS
    while time.monotonic() < end and courier.send_backlog():
        pass


def replay(courier: Courier, directory: Path, host: str, taken_us: int) -> Replayed:
    """Put into the backlog what the spool has of the time after *taken_us*."""
    kept, first_us = 0, None
    for path in segments(directory, host):
        try:
            records = read_segment(path).records
        except OSError:
            continue
        missed = sorted((r for r in records if r.end_us > taken_us), key=lambda record: record.end_us)
        courier.keep(missed)
        kept += len(missed)
        first_us = min([r.end_us for r in missed[:1]] + ([] if first_us is None else [first_us]), default=None)
    return Replayed(kept, first_us)


def _pause(courier: Courier) -> float:
    """How long to wait for live rows before the backlog is tried again."""
    return min(max(courier.wait_seconds, 0.0) or _IDLE_SECONDS, _IDLE_SECONDS)


def _prepare(options: argparse.Namespace) -> Courier:
    address = parse_address(options.url, DEFAULT_PATH)
    destination = Destination(address, Credentials(options.bearer_file, options.basic_file), _tls(options.ca))
    signals = Signals(options.status, parse_labels(options.labels))
    if options.directory is None:
        return Courier(destination, MemoryBacklog(address.shown), _say, signals)
    if not options.host:
        raise InputError("a backlog is of one host", where="--directory", hint="give --host as the agent has it")
    digest = hashlib.sha256(address.shown.encode()).hexdigest()[:12]
    backlog = Backlog(spool_folder(options.directory, options.host) / f"{FOLDER_PREFIX}{digest}", address.shown)
    courier = Courier(destination, backlog, _say, signals)
    if backlog.progress.taken_us:
        taken_us = backlog.progress.taken_us
        words = replay(courier, options.directory, options.host, taken_us).words(taken_us)
        if words:
            _say(words)
    return courier


def _tls(authority: Path | None) -> "ssl.SSLContext | None":
    if authority is None:
        return None
    import ssl  # noqa: PLC0415 - costs memory that a plain connection need not pay

    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise InputError(f"cannot use this authority: {error.strerror or error}", where=str(authority)) from error


def _feed(inbox: Inbox) -> None:
    """Rows from the agent; when they end, so does the program."""
    try:
        with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as stream:
            for record in read_frames(stream):
                inbox.put(record)
    finally:
        inbox.close()


def _say(text: str) -> None:
    sys.stderr.write(f"remote write: {text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="remote-write", description=__doc__)
    parser.add_argument("--url", required=True, help=f"of the server; {DEFAULT_PATH} is added where there is no path")
    secrets = parser.add_mutually_exclusive_group()
    secrets.add_argument("--bearer-file", type=Path, metavar="FILE", help="token to send")
    secrets.add_argument("--basic-file", type=Path, metavar="FILE", help="user:password to send")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="authority of the server, in place of the system's")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where the agent writes: keeps the backlog on disk"
    )
    parser.add_argument("--host", help="name of this host, as the agent has it; the agent gives both")
    add_signal_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
