"""``advisor agent doctor``: what can be seen on this machine, what cannot, and how to fix it.

The keys of its JSON are in docs/agent-operation.md.
"""

import argparse
import ctypes
import json
import os
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from advisor.records import dataclass
from advisor.samples.agent.processes import Process, Reader, Word, bare_interpreter
from advisor.samples.bounded_http import Limits, parse_address
from advisor.samples.metrics import ENGINE_METRICS, Missed, Reading
from advisor.samples.sources.engines import EngineSource
from advisor.samples.sources.nvml import NO_LIBRARY
from advisor.units import BYTES_PER_GIB, bytes_to_gib

LIMIT_SECONDS = 10.0
_INTERVAL_US = 100_000
_READINGS = 2
"""Some values are means between two readings."""
_PIECE = 1 << 16
_POLL_SECONDS = 0.01


class State(StrEnum):
    """State of one thing."""

    OK = "ok"
    LIMITED = "limited"
    """It works, and some of it is not to be seen."""
    BROKEN = "broken"
    ABSENT = "absent"
    """It is not on this machine: nothing to fix."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that cannot be seen."""

    what: str
    fix: str
    """What to do about it; "" where nothing can be done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """A source, an engine's address, or a part of the machine."""
    state: State
    sees: str
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Root of its files: ``/``, except in tests."""

    root: Path = Path("/")

    def path(self, absolute: str) -> Path:
        """A file of the machine."""
        return self.root / absolute.lstrip("/")

    @property
    def is_container(self) -> bool:
        """Whether this is a container, as far as it shows."""
        marks = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
        return any(self.path(mark).exists() for mark in marks)

    def has_pci(self, vendor: str, classes: tuple[str, ...]) -> bool:
        """Whether there is a PCI device of a vendor (such as ``0x10de``) in a class (begin of its number)."""
        devices = self.path("/sys/bus/pci/devices")
        folders = devices.iterdir() if devices.is_dir() else ()
        return any(
            _read(folder / "vendor") == vendor and _read(folder / "class").startswith(classes) for folder in folders
        )

    def devices(self, pattern: str) -> bool:
        """Whether there are device files of a name."""
        return any(self.path("/dev").glob(pattern))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Result of a look."""

    describes: str = ""
    """Description of what the source sees; "" where it could not be opened."""
    read: Sequence[Reading | Missed] = ()
    trouble: str = ""
    """Reason why the source could not be opened or read; "" where it could."""
    fix: str = ""
    """Remedy that the source gives; "" where it hangs or ended."""


def look(source: str, limit_seconds: float = LIMIT_SECONDS) -> Seen:
    """Open a source in a process of its own and read it."""
    command = bare_interpreter("advisor.samples.agent.processes", source, "", str(_INTERVAL_US))
    process = Process(command, listens=True, speaks=True)
    deadline = time.monotonic() + limit_seconds
    try:
        if (seen := _heard(process, deadline)) is not None:
            return seen
        while (how := process.ended()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return Seen(trouble=f"its process {how}" if how else f"no answer within {limit_seconds:g} s")
    finally:
        process.close()  # it hears that, and ends when it can


def _heard(process: Process, deadline: float) -> Seen | None:
    """Result of the last reading, or the failure; None where the process ends before, or time is over."""
    reader, describes, readings = Reader(), "", 0
    pipe = process.read_end
    while pipe is not None and select.select([pipe], [], [], max(deadline - time.monotonic(), 0.0))[0]:
        if not (piece := os.read(pipe, _PIECE)):
            break
        for word, items in reader.feed(piece):
            match word:
                case Word.READY:
                    describes = str(items[0])
                case Word.FAILED:
                    return Seen(trouble=str(items[0]), fix=str(items[1]))
                case Word.TICK if (readings := readings + 1) == _READINGS:
                    return Seen(describes, items[4])
    return None


_NVIDIA, _AMD, _HABANA, _AMAZON, _GOOGLE = "0x10de", "0x1002", "0x1da3", "0x1d0f", "0x1ae0"
_DISPLAY = ("0x03",)
_PROCESSING = ("0x12",)
_HANGS = "the driver hangs: look for Xid messages in the kernel's log, and reset the accelerator or reboot"
_IN_CONTAINER = "start the container with GPU access (docker run --gpus all; in Kubernetes the runtime class nvidia)"


@dataclass(frozen=True, slots=True)
class _Lack:
    """Something that an accelerator may not show."""

    applies: Callable[[Reading], bool]
    what: str
    fix: str


_LACKS = (
    _Lack(
        lambda reading: reading.target.mig_index is not None,
        "utilisation, power and clocks, which belong to the whole accelerator and not to its MIG instances",
        "turn MIG off where they matter (nvidia-smi -mig 0); memory and GPM are read of each instance",
    ),
    _Lack(
        lambda reading: "sm_active_ratio" not in reading.values,
        "how much of the multiprocessors, tensor cores and memory bandwidth is used (no GPM)",
        "it needs Hopper or newer, and driver 520 or newer; else take it from DCGM through Prometheus",
    ),
    _Lack(
        lambda reading: "memory_reserved_bytes" not in reading.values,
        "memory that the driver keeps for itself, apart from what is used",
        "update the driver to 510 or newer",
    ),
    _Lack(
        lambda reading: reading.target.mig_index is None and "energy_joules" not in reading.values,
        "energy",
        "it needs Volta or newer",
    ),
)


def accelerator_findings(machine: Machine) -> list[Finding]:
    """One finding for each kind of accelerator that there is a source for."""
    programs = [by_program(machine, tool) for tool in TOOLS]
    return [nvidia(machine), amd(machine), *programs, tpu(machine)]


def nvidia(machine: Machine, limit_seconds: float = LIMIT_SECONDS) -> Finding:
    """NVIDIA accelerators, through NVML."""
    seen = look("nvml", limit_seconds)
    if not seen.trouble:
        troubles = tuple(_nvidia_troubles(seen.read))
        return Finding("nvml", State.LIMITED if troubles else State.OK, seen.describes, troubles)
    is_here = machine.has_pci(_NVIDIA, _DISPLAY) or machine.devices("nvidia*")
    if seen.trouble == NO_LIBRARY and not is_here:
        return Finding("nvml", State.ABSENT, "no NVIDIA accelerator and no driver")
    trouble = Trouble(seen.trouble, seen.fix or _HANGS)
    if machine.is_container and not machine.devices("nvidiactl"):
        trouble = Trouble(f"{seen.trouble}; this container has no device /dev/nvidiactl", _IN_CONTAINER)
    return Finding("nvml", State.BROKEN, "nothing", (trouble,))


def _nvidia_troubles(read: Sequence[Reading | Missed]) -> Iterator[Trouble]:
    for missed in read:
        if isinstance(missed, Missed):
            fix = "look for Xid messages in the kernel's log; it may need a reset or a reboot"
            yield Trouble(f"accelerator {missed.target.index} does not answer: {missed.reason}", fix)
    readings = [reading for reading in read if isinstance(reading, Reading)]
    for lack in _LACKS:
        which = dict.fromkeys(str(reading.target.index) for reading in readings if lack.applies(reading))
        if which:
            yield Trouble(f"of accelerator {', '.join(which)}: {lack.what}", lack.fix)


def amd(machine: Machine) -> Finding:
    """AMD accelerators, through the library of ROCm."""
    if not (machine.devices("kfd") or machine.has_pci(_AMD, _PROCESSING)):
        return Finding("amd", State.ABSENT, "no AMD accelerator")
    seen = look("amd")
    if seen.trouble:
        fix = seen.fix or "see that amd-smi list works, and that this user is in the groups video and render"
        return Finding("amd", State.BROKEN, "nothing", (Trouble(seen.trouble, fix),))
    return Finding("amd", State.OK, seen.describes)


def tpu(machine: Machine) -> Finding:
    """Google TPUs: what can be read of them depends on the machine."""
    if not machine.has_pci(_GOOGLE, ("0x",)):
        return Finding("tpu", State.ABSENT, "no TPU")
    trouble = Trouble(
        "use of the TPU from outside its program", "read the metrics page of the serving engine: --engine URL"
    )
    return Finding("tpu", State.LIMITED, "a TPU", (trouble,))


@dataclass(frozen=True, slots=True)
class Tool:
    """A vendor's program that reads accelerators, and how it shows that some are here."""

    subject: str
    program: str
    folder: str
    """Where it may be besides the path."""
    devices: str
    vendor: str
    classes: tuple[str, ...]
    fix: str


TOOLS = (
    Tool(
        "neuron", "neuron-monitor", "/opt/aws/neuron/bin", "neuron*", _AMAZON, ("0x0880", "0x12"),
        "install aws-neuronx-tools, and put /opt/aws/neuron/bin on the path",
    ),
    Tool("gaudi", "hl-smi", "/usr/bin", "hl[0-9]*", _HABANA, ("0x",), "install habanalabs-firmware-tools"),
)  # fmt: skip


def by_program(machine: Machine, tool: Tool) -> Finding:
    """Accelerators that a vendor's program reads."""
    path = shutil.which(tool.program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), tool.folder]))
    if path is not None:
        return Finding(tool.subject, State.OK, f"{tool.program} at {path}")
    if not machine.devices(tool.devices) and not machine.has_pci(tool.vendor, tool.classes):
        return Finding(tool.subject, State.ABSENT, f"no such accelerator, and no {tool.program}")
    trouble = Trouble(f"the program {tool.program} is absent", tool.fix)
    return Finding(tool.subject, State.BROKEN, "an accelerator", (trouble,))


LOW_DISK_BYTES = BYTES_PER_GIB
"""A host with eight accelerators writes about 10 MB a day; with less than that something else fills the disk."""
_ENGINE_LIMITS = Limits(connect_seconds=2.0, total_seconds=5.0)
_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than the kernel's structure has; all zero asks and sets nothing."""
_ENGINE_FIXES = {
    "connection refused": "start the engine, or give the port on which it serves metrics (SGLang: --enable-metrics)",
    "no whole answer": "the engine or the network is too slow: look at its own log",
    "HTTP 404": "give the path of its metrics page",
    "HTTP 401": "give the address with its credentials",
    "HTTP 403": "give the address with its credentials",
    "its page has no metrics": "give the address of the engine itself; SGLang needs --enable-metrics",
}


def engine_findings(endpoints: Sequence[str]) -> list[Finding]:
    """One finding for each address of an engine. Raises InputError if an address is not a URL."""
    return [_engine(endpoint) for endpoint in endpoints]


def directory(path: Path, low_bytes: int = LOW_DISK_BYTES) -> Finding:
    """Whether samples can be written, and for how long."""
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as stream:
            stream.write(b"x")
            stream.flush()
            os.fdatasync(stream.fileno())
    except OSError as error:
        is_folder = nearest.is_dir()
        trouble = f"cannot write to {nearest}: {error.strerror}" if is_folder else f"{nearest} is not a directory"
        fix = "give the agent's user a directory that it owns on a file system that is mounted writable"
        return Finding("directory", State.BROKEN, str(path), (Trouble(trouble, fix),))
    free = shutil.disk_usage(nearest).free
    sees = f"{path}, {bytes_to_gib(free):,.1f} GiB free"
    if free < low_bytes:
        fix = "make room; when there is none, rows are lost after those in memory"
        return Finding("directory", State.LIMITED, sees, (Trouble("there is little room for samples", fix),))
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
        fix = "start a time service (systemd-timesyncd, chrony)"
        return Finding("clock", State.LIMITED, "the time", (Trouble("the clock is not synchronised", fix),))
    return Finding("clock", State.OK, "the clock is synchronised")


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
        fix = next((fix for begin, fix in _ENGINE_FIXES.items() if reason.startswith(begin)), "see that it serves")
        return Finding(subject, State.BROKEN, "nothing", (Trouble(reason, fix),))
    served = ", ".join(f"{r.target.name or 'a model it does not name'} (rank {r.target.index})" for r in readings)
    shown = {name for reading in readings for name in (*reading.values, *reading.buckets)}
    missing = [metric.meaning for metric in ENGINE_METRICS if metric.name not in shown]
    troubles = [Trouble(note, "") for note in dict.fromkeys(reading.note for reading in readings) if note]
    if missing:
        fix = "it may show them after the first requests; else this version of the engine does not have them"
        troubles.append(Trouble(f"not on its page: {', '.join(missing)}", fix))
    state = State.LIMITED if troubles else State.OK
    return Finding(subject, state, f"{readings[0].target.source}: {served}", tuple(troubles))


SCHEMA = "advisor.agent.doctor/v1"


def main(arguments: Sequence[str], program: str) -> int:
    """Print the findings; exit status 1 where something is broken. Raises InputError if an address is not a URL."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what each source can see, what it cannot see, and how to fix it. A driver that hangs does "
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
    given = parser.parse_args(arguments)
    findings = [*accelerator_findings(Machine(given.root)), *engine_findings(given.engines)]
    if all(finding.state is State.ABSENT for finding in findings):
        fix = (
            "install the driver of the accelerators; in a container, start it with access to them; "
            "or name a serving engine: --engine URL"
        )
        trouble = Trouble("no accelerator, no serving engine", fix)
        findings.append(Finding("sources", State.BROKEN, "nothing to read", (trouble,)))
    findings += [directory(given.directory), clock()]
    if given.format == "json":
        document = {"schema": SCHEMA, "findings": [_as_json(finding) for finding in findings]}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{_as_text(findings)}\n")
    return int(any(finding.state is State.BROKEN for finding in findings))


def _as_json(finding: Finding) -> dict[str, Any]:
    troubles = [{"what": trouble.what, "mend": trouble.fix} for trouble in finding.troubles]
    return asdict(finding) | {"troubles": troubles}


def _as_text(findings: Sequence[Finding]) -> str:
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8} {finding.subject:<{width}}  {finding.sees}")
        for trouble in finding.troubles:
            lines.append(f"{'':<8} {'':<{width}}  - {trouble.what}")
            lines += [f"{'':<8} {'':<{width}}    fix: {trouble.fix}"] if trouble.fix else []
    return "\n".join(lines)
