"""``advisor agent doctor``: what can be seen on this machine, what cannot, and how to mend it.

The JSON is an object::

    schema    "advisor.agent.doctor/v1"
    findings  list, one for each thing looked at:
        subject   nvml, amd, neuron, gaudi, tpu, an engine's address, sources, directory, clock
        state     ok, limited (some of it is not to be seen), broken, absent (not on this machine), unknown
        sees      what is there, in a line
        troubles  list of {what, mend}; mend is "" where nothing can be done
"""

import argparse
import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from advisor.samples.bounded_http import Limits, parse_address
from advisor.samples.doctor.accelerators import Finding, Machine, State, Trouble, accelerator_findings
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


SCHEMA = "advisor.agent.doctor/v1"


def main(arguments: Sequence[str], program: str) -> int:
    """Print the findings; the exit status: 1 where something is broken.

    Raises:
        InputError: an address is no URL.
    """
    given = _parser(program).parse_args(arguments)
    sources = [*accelerator_findings(Machine(given.root)), *engine_findings(given.engines)]
    findings = [*sources, *_nothing_to_read(sources), directory(given.directory), clock()]
    sys.stdout.write(f"{_as_json(findings) if given.format == 'json' else _as_text(findings)}\n")
    return int(any(finding.state is State.BROKEN for finding in findings))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what each source can see, what it cannot see, and how to mend it. A driver that hangs does "
        "not hold it up. Exit code 1: something is broken.",
    )
    add = parser.add_argument
    add(
        "--engine", action="append", default=[], dest="engines", metavar="URL",
        help="metrics page of a serving engine, repeatable",
    )  # fmt: skip
    add("--directory", type=Path, default=Path("samples"), metavar="DIR", help="where the agent is to write")
    add("--format", choices=("table", "json"), default="table", help="default: %(default)s")
    add("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    return parser


def _nothing_to_read(sources: Sequence[Finding]) -> list[Finding]:
    """A finding of its own where there is no source at all."""
    if any(finding.state is not State.ABSENT for finding in sources):
        return []
    mend = (
        "install the driver of the accelerators; in a container, start it with access to them; "
        "or name a serving engine: --engine URL"
    )
    return [Finding("sources", State.BROKEN, "nothing to read", (Trouble("no accelerator, no serving engine", mend),))]


def _as_json(findings: Sequence[Finding]) -> str:
    entries = [asdict(finding) for finding in findings]
    return json.dumps({"schema": SCHEMA, "findings": entries}, indent=2, ensure_ascii=False)


def _as_text(findings: Sequence[Finding]) -> str:
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8} {finding.subject:<{width}}  {finding.sees}")
        for trouble in finding.troubles:
            lines.append(f"{'':<8} {'':<{width}}  - {trouble.what}")
            lines += [f"{'':<8} {'':<{width}}    mend: {trouble.mend}"] if trouble.mend else []
    return "\n".join(lines)
