"""``advisor agent status``: what the agents that write to a directory are doing.

The JSON is a list with the status file of each host as its agent wrote it, and beside it::

    file           path of the status file
    trouble        why it could not be read; absent when it could
    age_seconds    since it was written; null when it does not say
    is_running     whether that process runs; null when it is of another machine
    remote_write   list of how far each remote write is: url, sent_samples, parked_samples, failing, ...
"""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from advisor.errors import InputError

STALE_SECONDS = 60.0
"""A running agent writes its status with each row."""
_KNOWN = ("name", "state", "describes", "targets", "silent_targets", "last_reading", "restarts", "gap_ticks", "trouble")
_SHOWN = ("host", "pid", "state", "started", "written", "version", "interval_seconds", "sources", "schema")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("samples"))
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How to show the result.",
)  # fmt: skip
def status(directory: Path, output_format: str) -> None:
    """Say what the agents that write to DIRECTORY are doing: sources, last readings, gaps, restarts.

    Exit code 1: one of them is not running, or its state cannot be read.
    """
    files = sorted((directory / "spool").glob("host=*/status.json"))
    if not files:
        raise InputError(
            "no agent has written its status here",
            where=str(directory),
            hint="start one: advisor agent run --output DIR",
        )
    entries = [_entry(path) for path in files]
    if output_format == "json":
        click.echo(json.dumps(entries, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(line for entry in entries for line in _lines(entry)))
    if any("trouble" in entry or entry["is_running"] is False for entry in entries):
        sys.exit(1)


def _entry(path: Path) -> dict[str, Any]:
    """A status file, and what can be seen beside it."""
    beside = {
        "file": str(path),
        "remote_write": [_content(cursor) for cursor in sorted(path.parent.glob("*/cursor.json"))],
    }
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
    for progress in entry["remote_write"]:
        yield f"  remote write to {_known(progress, 'url')}: {_progress_words(progress)}"
    skipped = (*_SHOWN, "file", "trouble", "age_seconds", "is_running", "remote_write")
    for name, value in entry.items():
        if name not in skipped:
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
    return [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []


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
