"""Findings on engines that answer, a directory to write to, room in it, and the right time."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from advisor.samples.bounded_http import Limits, parse_address
from advisor.samples.doctor.values import Finding, State, Trouble
from advisor.samples.metrics import ENGINE_METRICS
from advisor.samples.rows import Missed, Reading
from advisor.samples.sources.engines import EngineSource
from advisor.units import BYTES_PER_GIB, bytes_to_gib

LOW_DISK_BYTES = BYTES_PER_GIB
"""A host with eight accelerators writes about 10 MB a day; with less than that something else fills the disk."""
_ENGINE_LIMITS = Limits(connect_seconds=2.0, total_seconds=5.0)
_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than the kernel's structure has; all zero asks and sets nothing."""
_ENGINE_MENDS = {
    "connection refused": "start the engine, or give the port on which it serves metrics (SGLang: --enable-metrics)",
    "no whole answer": "the engine or the network is too slow: look at its own log",
    "HTTP 404": "give the path of its metrics page",
    "HTTP 401": "give the address with its credentials",
    "HTTP 403": "give the address with its credentials",
    "its page has no metrics": "give the address of the engine itself; SGLang needs --enable-metrics",
}


def engine_findings(endpoints: Sequence[str]) -> list[Finding]:
    """One finding for each address of an engine.

    Raises:
        InputError: an address is no URL.
    """
    return [_engine(endpoint) for endpoint in endpoints]


def directory(path: Path, low_bytes: int = LOW_DISK_BYTES) -> Finding:
    """Whether samples can be written, and for how long."""
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    trouble = _why_not_writable(nearest)
    if trouble is not None:
        mend = "give the agent's user a directory that it owns on a file system that is mounted writable"
        return Finding("directory", State.BROKEN, str(path), (Trouble(trouble, mend),))
    free = shutil.disk_usage(nearest).free
    sees = f"{path}, {bytes_to_gib(free):,.1f} GiB free"
    if free < low_bytes:
        mend = "make room; when there is none, rows are lost after those in memory"
        return Finding("directory", State.LIMITED, sees, (Trouble("there is little room for samples", mend),))
    return Finding("directory", State.OK, sees)


def clock() -> Finding:
    """Whether the system's time is kept right: rows of several hosts are joined by it."""
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        answer = -1
    if answer < 0:
        return Finding("clock", State.UNKNOWN, "whether it is synchronised cannot be seen here")
    if answer == _TIME_ERROR:
        mend = "start a time service (systemd-timesyncd, chrony)"
        return Finding("clock", State.LIMITED, "the time", (Trouble("the clock is not synchronised", mend),))
    return Finding("clock", State.OK, "the clock is synchronised")


def _why_not_writable(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"{folder} is no directory"
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"x")
            stream.flush()
            os.fdatasync(stream.fileno())
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror}"
    return None


def _engine(endpoint: str) -> Finding:
    subject = parse_address(endpoint, "/metrics").shown
    source = EngineSource("", [endpoint], _ENGINE_LIMITS)
    try:
        results = source.read()
    finally:
        source.close()
    readings = [result for result in results if isinstance(result, Reading)]
    if not readings:
        reason = next((result.reason for result in results if isinstance(result, Missed)), "no answer")
        mend = next((mend for begin, mend in _ENGINE_MENDS.items() if reason.startswith(begin)), "see that it serves")
        return Finding(subject, State.BROKEN, "nothing", (Trouble(reason, mend),))
    served = ", ".join(f"{r.target.name or 'a model it does not name'} (rank {r.target.index})" for r in readings)
    troubles = tuple(_engine_troubles(readings))
    return Finding(subject, State.LIMITED if troubles else State.OK, f"{readings[0].target.source}: {served}", troubles)


def _engine_troubles(readings: Sequence[Reading]) -> list[Trouble]:
    shown = {name for reading in readings for name in (*reading.values, *reading.buckets)}
    missing = [metric.meaning for metric in ENGINE_METRICS if metric.name not in shown]
    troubles = [Trouble(note, "") for note in dict.fromkeys(reading.note for reading in readings) if note]
    if missing:
        mend = "it may show them after the first requests; else this version of the engine does not have them"
        troubles.append(Trouble(f"not on its page: {', '.join(missing)}", mend))
    return troubles
