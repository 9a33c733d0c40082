"""``advisor agent status``: what the agents that write to a directory are doing.

The JSON is a list with the status file of each host as its agent wrote it, and beside it::

    file           path of the status file
    trouble        why it could not be read; absent when it could
    age_seconds    since it was written; null when it does not say
    is_running     whether that process runs; null when it is of another machine
    remote_write   list of how far each remote write is: url, sent_samples, parked_samples, failing, ...
"""

import argparse
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.samples.agent.outlets import outlet_name
from advisor.samples.agent.status_files import RUNTIME_PATTERN, STALE_SECONDS, runtime_folder
from advisor.samples.places import SPOOL

_KNOWN = ("name", "state", "describes", "targets", "silent_targets", "last_reading", "restarts", "gap_ticks", "trouble")
_SHOWN = (
    "host",
    "pid",
    "state",
    "started",
    "written",
    "version",
    "interval_seconds",
    "sources",
    "schema",
    "output",
    "outlets",
)


def main(arguments: Sequence[str], program: str) -> int:
    """Print it; the exit status: 1 where one of them is not running, or its state cannot be read.

    Raises:
        InputError: no agent has written its status there.
    """
    given = _parser(program).parse_args(arguments)
    entries = [_entry(path, given.directory) for path in _status_files(given.directory)]
    if not entries:
        raise InputError(
            "no agent has written its status here",
            where=str(given.directory),
            hint="start one: advisor agent run --output DIR",
        )
    if given.format == "json":
        sys.stdout.write(f"{json.dumps(entries, indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for entry in entries for line in _lines(entry))
    return int(any("trouble" in entry or entry["is_running"] is False for entry in entries))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what the agents that write to DIRECTORY are doing: sources, last readings, gaps, restarts. "
        "Exit code 1: one of them is not running, or its state cannot be read.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path("samples"), metavar="DIRECTORY")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: %(default)s")
    return parser


def _status_files(directory: Path) -> list[Path]:
    """Of each host that writes to a directory; the one in memory where this machine has one that is newer."""
    files = {path.parent.name: path for path in directory.glob(f"{SPOOL}/{RUNTIME_PATTERN}")}
    for path in runtime_folder().glob(RUNTIME_PATTERN):
        there, beside = _content(path), files.get(path.parent.name)
        is_newer = beside is None or str(there.get("written")) > str(_content(beside).get("written"))
        if is_newer and there.get("output") == str(directory.absolute()):
            files[path.parent.name] = path
    return [files[name] for name in sorted(files)]


def _entry(path: Path, directory: Path) -> dict[str, Any]:
    """A status file, and what can be seen beside it."""
    cursors = sorted((directory / SPOOL / path.parent.name).glob("*/cursor.json"))
    beside = {"file": str(path), "remote_write": [_content(cursor) for cursor in cursors]}
    content = _content(path)
    if "trouble" in content and len(content) == 1:
        return {**content, **beside, "age_seconds": None, "is_running": None}
    return {**content, **beside, "age_seconds": _age_seconds(content), "is_running": _is_running(content)}


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {"trouble": f"cannot read {path.name}: {error.strerror}"}
    except ValueError:
        return {"trouble": f"{path.name} is damaged"}
    return content if isinstance(content, dict) else {"trouble": f"{path.name} is damaged"}


def _age_seconds(content: Mapping[str, Any]) -> float | None:
    try:
        written = datetime.fromisoformat(str(content.get("written")))
    except ValueError:
        return None
    return (datetime.now(UTC) - (written if written.tzinfo else written.replace(tzinfo=UTC))).total_seconds()


def _is_running(content: Mapping[str, Any]) -> bool | None:
    """Whether the process is there; None for another machine's, whose processes cannot be seen."""
    if content.get("state") == "stopped":
        return False
    pid = content.get("pid")
    if content.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """A host's status for a person; what is not known is said to be unknown, what is not understood is shown."""
    if "trouble" in entry and "sources" not in entry:
        yield f"{entry['file']}: {entry['trouble']}"
        return
    started, pid = _known(entry, "started"), _known(entry, "pid")
    yield f"{_known(entry, 'host')}: {_running_words(entry)}, started {started}, pid {pid}"
    sources = entry.get("sources")
    for source in _sources(sources):
        yield from _source_lines(source)
    if not sources:
        yield "  sources unknown"
    for outlet in _objects(entry.get("outlets")):
        yield f"  outlet {_outlet_words(outlet)}"
    for progress in entry["remote_write"]:
        yield f"  remote write to {_known(progress, 'url')}: {_progress_words(progress)}"
    skipped = (*_SHOWN, "file", "trouble", "age_seconds", "is_running", "remote_write")
    for name, value in entry.items():
        if name not in skipped and value not in (None, {}, []):
            yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"


def _running_words(entry: Mapping[str, Any]) -> str:
    if entry["is_running"] is False:
        return f"not running ({_known(entry, 'state')}, last written {_known(entry, 'written')})"
    age = entry["age_seconds"]
    if age is not None and age > STALE_SECONDS:
        return f"silent: nothing written for {age:,.0f} s"
    return _known(entry, "state")


def _sources(sources: object) -> Sequence[Mapping[str, Any]]:
    """Sources as a list, or as a table by name."""
    if isinstance(sources, dict):
        return [{"name": name, **source} for name, source in sources.items() if isinstance(source, dict)]
    return _objects(sources)


def _objects(value: object) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _source_lines(source: Mapping[str, Any]) -> Iterator[str]:
    targets = source.get("targets")
    count = len(targets) if isinstance(targets, list) else targets
    yield (
        f"  {_known(source, 'name')}: {_known(source, 'state')}, {'unknown' if count is None else count} targets, "
        f"last reading {_known(source, 'last_reading')}, {_known(source, 'restarts')} restarts"
    )
    for name, words in (("describes", "sees"), ("trouble", "trouble"), ("silent_targets", "does not answer")):
        if source.get(name):
            yield f"    {words}: {_plain(source[name])}"
    gaps = source.get("gap_ticks")
    for reason, ticks in gaps.items() if isinstance(gaps, dict) else ():
        yield f"    missed {ticks} ticks: {reason}"
    for name, value in source.items():
        if name not in _KNOWN and value not in (None, [], {}):
            yield f"    {name}: {_plain(value)}"


def _outlet_words(outlet: Mapping[str, Any]) -> str:
    command = outlet.get("command")
    name = outlet_name([str(word) for word in command]) if isinstance(command, list) else "unknown"
    fed, dropped, restarts = (_known(outlet, key) for key in ("fed", "dropped", "restarts"))
    words = f"{_plain(name)}: {fed} records, {dropped} dropped, {restarts} restarts"
    return words if outlet.get("pid") is not None else f"{words}; not running"


def _progress_words(progress: Mapping[str, Any]) -> str:
    words = f"{_known(progress, 'sent_samples')} samples sent, {_known(progress, 'parked_samples')} parked"
    return f"{words}; failing: {progress['failing']}" if progress.get("failing") else words


def _known(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return "unknown" if value is None else _plain(value)


def _plain(value: object) -> str:
    """A value on one line, without anything that a terminal would obey."""
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)
