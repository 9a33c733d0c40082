"""``status.json``: what a running agent is doing, for ``advisor agent status``; replaced as a whole with every row.

It stands beside the spool, and in ``$RUNTIME_DIRECTORY`` where systemd or a manifest names one: that is memory, so that
a full disk cannot hide itself. Its keys are in docs/agent-operation.md.

Rows that cannot be written wait in memory, as far as a few minutes go; the oldest beyond that become one gap for each
target, written with the reason as soon as there is room again. Sampling goes on all the while.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from advisor import __version__
from advisor.errors import AdvisorError
from advisor.samples.agent.compaction import Compaction
from advisor.samples.agent.settings import Settings
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.agent.supervised import SupervisedSource, in_words
from advisor.samples.metrics import Gap, Record, Target
from advisor.samples.places import ROW_US, host_folder, spool_folder

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
