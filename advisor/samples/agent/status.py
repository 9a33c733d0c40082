"""``status.json``: what a running agent is doing, for ``advisor agent status``; replaced as a whole with every row.

It stands beside the spool, and in ``$RUNTIME_DIRECTORY`` where systemd or a manifest names one: that is memory, so that
a full disk cannot hide itself. Its keys are in docs/agent-operation.md.

``advisor agent status`` prints a list with the status file of each host as its agent wrote it, and beside it::

    file           path of the status file
    trouble        why it could not be read; absent when it could
    age_seconds    since it was written; null when it could not be read
    is_running     whether that process runs; null when it is of another machine

``alive`` says whether the agent of this host runs.

Rows that cannot be written wait in memory, as far as a few minutes go; the oldest beyond that become one gap for each
target, written with the reason as soon as there is room again. Sampling goes on all the while.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from advisor import __version__
from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.compaction import Compaction
from advisor.samples.agent.settings import Settings
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.agent.supervised import SupervisedSource, in_words
from advisor.samples.metrics import Gap, Record, Target
from advisor.samples.places import ROW_US, SPOOL, host_folder, spool_folder
from advisor.units import counted

MOST_WAITING = 1024
"""Records: four minutes of sixteen accelerators and more."""


class BufferedWriter:
    """Gives records to the spool, now or as soon as it takes them."""

    def __init__(self, spool: SpoolWriter, report: Callable[[str], None], most: int = MOST_WAITING) -> None:
        """Tell *report* when writing fails, and when it goes on; *most* records wait."""
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
            self._not_written(error.message if isinstance(error, AdvisorError) else str(error))
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

    def _not_written(self, reason: str) -> None:
        """Say so once, and make room."""
        if self.trouble is None:
            self._report(f"cannot write: {reason}; sampling goes on, and what does not fit into memory becomes a gap")
        self.trouble = reason
        excess = max(len(self._waiting) - self._most, 0)
        for record in self._waiting[:excess]:
            self._give_up(record)
        del self._waiting[:excess]

    def _give_up(self, record: Record) -> None:
        """Remember the time of a record that is not kept."""
        self.lost_rows += not isinstance(record, Gap)
        if isinstance(record, Gap):
            start_us, ticks = record.start_us, record.missed_ticks
        else:
            start_us = record.end_us - ROW_US
            ticks = max((stats.n for stats in record.stats.values()), default=1)
        before = self._given_up.get(record.target)
        if before is not None:
            start_us, ticks = min(start_us, before.start_us), ticks + before.missed_ticks
        reason = f"it could not be written: {self.trouble}"
        self._given_up[record.target] = Gap(record.target, start_us, record.end_us, ticks, reason)


SCHEMA = "advisor.agent.status/v1"
ISO = "%Y-%m-%dT%H:%M:%SZ"
STALE_SECONDS = 60.0
"""A running agent writes its status with each row, every fifteen seconds."""
STATUS_NAME = "status.json"
RUNTIME_PATTERN = f"host=*/{STATUS_NAME}"
"""Status files in a runtime folder, and below a spool."""
_RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
_USUAL_RUNTIME_FOLDER = Path("/run/advisor-agent")


def status_path(directory: Path, host: str) -> Path:
    """Path of the status of an agent, beside what it writes."""
    return spool_folder(directory, host) / STATUS_NAME


def runtime_folder() -> Path:
    """Folder of the status of this machine's agents in memory, if they have one."""
    named = os.environ.get(_RUNTIME_VARIABLE, "").partition(":")[0]
    return Path(named) if named else _USUAL_RUNTIME_FOLDER


def runtime_status_path(host: str) -> Path | None:
    """Path in memory of the status of an agent that is started here; None: nowhere."""
    return runtime_folder() / host_folder(host) / STATUS_NAME if os.environ.get(_RUNTIME_VARIABLE) else None


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def written_seconds(status: Mapping[str, Any]) -> float:
    """Time at which a status was written, in seconds since 1970; 0 where it does not say."""
    try:
        return datetime.fromisoformat(str(status.get("written"))).timestamp()
    except ValueError:
        return 0.0


_OF_TARGET = ("index", "mig_index", "uuid", "name", "endpoint")


class StatusFile:
    """Writes it, so that a reader sees one state or the next."""

    def __init__(self, settings: Settings) -> None:
        """Started now."""
        in_memory = runtime_status_path(settings.host)
        self._paths = [status_path(Path(settings.output), settings.host), *([in_memory] if in_memory else [])]
        self._fixed = {
            "schema": SCHEMA,
            "pid": os.getpid(),
            "host": settings.host,
            "version": __version__,
            "output": str(Path(settings.output).absolute()),
            "labels": dict(settings.labels),
            "started": iso(time.time()),
            "interval_seconds": settings.interval_us / 1e6,
        }

    def write(
        self, state: str, sources: Sequence[SupervisedSource], writer: BufferedWriter, compaction: Compaction | None
    ) -> dict[str, Any]:
        """Replace it, and return what is in it; a disk that takes nothing leaves the old one there."""
        content = {
            **self._fixed,
            "state": state,
            "written": iso(time.time()),
            "sources": [_of_source(source) for source in sources],
            "spool": {
                "records": writer.written,
                "waiting": writer.waiting,
                "lost_rows": writer.lost_rows,
                "trouble": writer.trouble,
            },
            "compaction": None
            if compaction is None
            else {"pid": compaction.process_id, "runs": compaction.runs, "trouble": compaction.trouble},
        }
        for path in self._paths:
            with suppress(OSError):  # the spool speaks of it, on the same disk
                _replace(path, json.dumps(content))
        return content


def iso(seconds: float) -> str:
    """A moment as ISO 8601 in UTC, to the second."""
    return time.strftime(ISO, time.gmtime(seconds))


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{STATUS_NAME}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    try:
        with beside.open("x", encoding="utf-8") as stream:  # never through a link that somebody put there
            stream.write(text)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _of_source(source: SupervisedSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "state": source.state,
        "pid": source.process_id,
        "left_behind_pid": source.left_behind_id,
        "describes": source.description,
        "targets": [
            {name: getattr(target, name) for name in _OF_TARGET}
            for target in source.targets
            if target.index is not None
        ],
        "silent_targets": [in_words(target) for target in source.silent_targets],
        "last_reading": None if source.last_tick_us is None else iso(source.last_tick_us / 1e6),
        "reading_seconds": None if source.cost_us is None else source.cost_us / 1e6,
        "step_seconds": source.step_us / 1e6,
        "restarts": max(source.starts - 1, 0),
        "trouble": source.trouble,
        "rows": source.rows_made,
        "gap_ticks": dict(source.gap_ticks),
    }


_WORDS = "words"


def main(arguments: Sequence[str], program: str) -> int:
    """Print it; exit status 1 where one is not running or unreadable. Raises InputError if no agent wrote there."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what the agents that write to DIRECTORY are doing: sources, last readings, gaps, restarts. "
        "Exit code 1: one of them is not running, or its state cannot be read.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path("samples"), metavar="DIRECTORY")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: %(default)s")
    given = parser.parse_args(arguments)
    entries = [_entry(path) for path in _status_files(given.directory)]
    if not entries:
        hint = "start one: advisor agent run --output DIR"
        raise InputError("no agent has written its status here", where=str(given.directory), hint=hint)
    words = [line for entry in entries for line in entry.pop(_WORDS)]
    if given.format == "json":
        sys.stdout.write(f"{json.dumps(entries, indent=2, ensure_ascii=False)}\n")
    else:
        for line in words:  # without anything that a terminal would obey
            sys.stdout.write("".join(letter if letter.isprintable() else " " for letter in line) + "\n")
    return int(any("trouble" in entry or entry["is_running"] is False for entry in entries))


def _status_files(directory: Path) -> list[Path]:
    """Status file of each host that writes to a directory: the newer of disk and memory."""
    files = {path.parent.name: path for path in directory.glob(f"{SPOOL}/{RUNTIME_PATTERN}")}
    for path in runtime_folder().glob(RUNTIME_PATTERN):
        status, on_disk = read_object(path), files.get(path.parent.name)
        is_newer = on_disk is None or written_seconds(status) > written_seconds(read_object(on_disk))
        if is_newer and status.get("output") == str(directory.absolute()):
            files[path.parent.name] = path
    return [files[name] for name in sorted(files)]


def _entry(path: Path) -> dict[str, Any]:
    """A status file, and what can be seen beside it."""
    status = read_object(path)
    try:
        if status["schema"] == SCHEMA:
            age_seconds = time.time() - written_seconds(status)
            entry = {**status, "file": str(path), "age_seconds": age_seconds, "is_running": _is_running(status)}
            return {**entry, _WORDS: list(_lines(entry))}
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError):
        """It has the schema and not what belongs to it."""
    trouble = "it cannot be read, is damaged, or is of another version of the agent"
    words = [f"{path}: {trouble}"]
    return {"file": str(path), "trouble": trouble, "age_seconds": None, "is_running": None, _WORDS: words}


def _is_running(status: Mapping[str, Any]) -> bool | None:
    """True while the process runs; None for another machine's, whose processes cannot be seen."""
    if status["state"] == "stopped":
        return False
    if status["host"] != socket.gethostname():
        return None
    try:
        os.kill(status["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """A host's status for a person."""
    state = entry["state"]
    if entry["is_running"] is False:
        state = f"not running ({state}, last written {entry['written']})"
    elif entry["age_seconds"] > STALE_SECONDS:
        state = f"silent: nothing written for {entry['age_seconds']:,.0f} s"
    yield f"{entry['host']}: {state}, started {entry['started']}, pid {entry['pid']}, version {entry['version']}"
    for source in entry["sources"]:
        yield from _source_lines(source)
    spool, compaction = entry["spool"], entry["compaction"] or {}
    yield (
        f"  spool: {counted(spool['records'], 'record')} written, {spool['waiting']} waiting, "
        f"{spool['lost_rows']} rows lost{_trouble(spool)}"
    )
    if compaction.get("trouble"):
        yield f"  compaction{_trouble(compaction)}"
    if entry["labels"]:
        yield f"  labels: {', '.join(f'{name}={value}' for name, value in entry['labels'].items())}"


def _source_lines(source: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"  {source['name']}: {source['state']}, {len(source['targets'])} targets, last reading "
        f"{source['last_reading'] or 'none'}, every {source['step_seconds']:g} s, {source['restarts']} restarts"
        f"{_trouble(source)}"
    )
    if source["describes"]:
        yield f"    sees: {source['describes']}"
    if source["silent_targets"]:
        yield f"    does not answer: {', '.join(source['silent_targets'])}"
    for reason, ticks in source["gap_ticks"].items():
        yield f"    missed {ticks} ticks: {reason}"


def _trouble(part: Mapping[str, Any]) -> str:
    return f"; trouble: {part['trouble']}" if part["trouble"] else ""


def alive(arguments: Sequence[str], program: str) -> int:
    """Exit 0 while the agent of this host runs; 1 with the reason on stderr.

    A source that hangs in its driver is not a reason to restart an agent, which waits for it and reads the others: that
    shows in ``--ready`` and in the metrics. Raises InputError if no agent has written its status.
    """
    parser = argparse.ArgumentParser(prog=program, description="Exit 0 while the agent of this host runs.")
    parser.add_argument(
        "directory", type=Path, nargs="?", default=runtime_folder(), help="of its status; default: %(default)s"
    )
    parser.add_argument("--ready", action="store_true", help="only while it also reads a source and writes its rows")
    given = parser.parse_args(arguments)
    paths = sorted(given.directory.glob(RUNTIME_PATTERN))
    if not paths:
        hint = "an agent does so when RUNTIME_DIRECTORY is set, as systemd and the manifest do"
        raise InputError("no agent has written its status here", where=str(given.directory), hint=hint)
    troubles = [trouble for path in paths if (trouble := why_not(read_object(path), time.time(), ready=given.ready))]
    sys.stderr.writelines(f"{trouble}\n" for trouble in troubles)
    return int(bool(troubles))


def why_not(status: Mapping[str, Any], now: float, *, ready: bool) -> str | None:
    """Why an agent with this status is not alive, or not *ready* (it reads something and can write); None: it is."""
    age_seconds = now - written_seconds(status)
    if status.get("state") != "running" or age_seconds > STALE_SECONDS:
        return f"{status.get('state', 'unknown')}, written {age_seconds:,.0f} s ago"
    if not ready:
        return None
    if trouble := status["spool"]["trouble"]:
        return f"rows cannot be written: {trouble}"
    if not any(source["state"] == "running" for source in status["sources"]):
        return "no source is read"
    return None
