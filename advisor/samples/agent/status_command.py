"""``advisor agent status``: what the agents that write to a directory are doing; ``alive``: whether this host's runs.

The JSON is a list with the status file of each host as its agent wrote it, and beside it::

    file           path of the status file
    trouble        why it could not be read; absent when it could
    age_seconds    since it was written; null when it could not be read
    is_running     whether that process runs; null when it is of another machine
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.samples.agent.status import (
    RUNTIME_PATTERN,
    SCHEMA,
    STALE_SECONDS,
    read_object,
    runtime_folder,
    written_seconds,
)
from advisor.samples.places import SPOOL
from advisor.units import counted

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
