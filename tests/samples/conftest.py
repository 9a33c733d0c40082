"""The fake driver, compiled once, and programs started on it."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from advisor.samples.agent.processes import bare_interpreter
from advisor.samples.agent.settings import Settings
from advisor.samples.agent.spool import read_segment, segments
from advisor.samples.agent.status import status_path
from advisor.samples.agent.supervised import Asked, Patience
from advisor.samples.metrics import Gap
from fakenvml.build import build_library, compiler

TESTS = Path(__file__).parents[1]
PLAYING = Path(__file__).with_name("playing.py")
A100 = """
set,*,name,NVIDIA A100-SXM4-40GB
set,*,mem_total,42949672960
set,*,mem_reserved,545259520
set,*,mem_used,38600000000
set,*,util_gpu,50
set,*,util_mem,20
set,*,power_mw,200000
"""
"""Accelerators at a steady load; later lines of a scenario override these."""
IMPATIENT = Patience(opening=2.0, reading=0.7)


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory) -> Callable[..., Path]:
    """Folder of a driver library without the functions named; compiled once for each set of them."""
    if compiler() is None:
        pytest.skip("no C compiler (cc) on this machine to build the fake NVIDIA driver with")
    built: dict[tuple[str, ...], Path] = {}

    def folder(hidden: tuple[str, ...] = ()) -> Path:
        if hidden not in built:
            built[hidden] = build_library(tmp_path_factory.mktemp("driver"), hidden).parent
        return built[hidden]

    return folder


@dataclass
class Played:
    """What a scenario gave, tick by tick."""

    process: subprocess.CompletedProcess

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Readings and misses in order."""
        assert self.process.returncode == 0, self.process.stderr
        return [json.loads(line) for line in self.process.stdout.splitlines()]

    def of(self, index: int = 0, mig_index: int | None = None) -> list[dict[str, Any]]:
        """Those of one accelerator."""
        return [line for line in self.lines if (line["index"], line["mig_index"]) == (index, mig_index)]

    def values(self, metric: str, index: int = 0, mig_index: int | None = None) -> list[float | None]:
        """One metric of one accelerator; None where it is not known."""
        return [line.get("values", {}).get(metric) for line in self.of(index, mig_index)]


@dataclass
class Agent:
    """An agent that was started, and what it has said so far."""

    process: subprocess.Popen
    said_path: Path

    @property
    def said(self) -> str:
        """On its standard error."""
        return self.said_path.read_text()

    @property
    def children(self) -> set[int]:
        """Its own processes."""
        number = self.process.pid
        return {int(each) for each in Path(f"/proc/{number}/task/{number}/children").read_text().split()}

    def wait(self) -> str:
        """Wait for its end; all that it said."""
        self.process.wait(timeout=60)
        assert "Traceback" not in self.said
        return self.said

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End it in order; all that it said."""
        self.process.send_signal(number)
        said = self.wait()
        assert self.process.returncode == 0, said
        return said


@dataclass
class FakeHost:
    """A machine with accelerators: programs started on it meet the fake driver."""

    folder: Path
    library: Callable[..., Path]
    started: list[subprocess.Popen] = field(default_factory=list)

    def environment(self, scenario: str, hidden: tuple[str, ...] = ()) -> dict[str, str]:
        """Environment of a program on this host."""
        path = self.folder / "scenario.csv"
        path.write_text(A100 + scenario)
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.library(hidden)),
            "FAKE_NVML_SCENARIO": str(path),
            "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
        }

    def play(self, scenario: str, *arguments: object, hidden: tuple[str, ...] = ()) -> Played:
        """Play a scenario through the source in virtual time, to its end."""
        command = [sys.executable, str(PLAYING), "--clock", str(self.folder / "clock"), *map(str, arguments)]
        return Played(self._run(command, self.environment(scenario, hidden)))

    def set_time(self, seconds: float) -> Path:
        """What the driver's clock shows from now on, in every process of an agent started with it."""
        path = self.folder / "driver-clock"
        if not path.exists():
            path.write_bytes(struct.pack("<d", 0.0))
        with path.open("r+b") as stream:
            stream.write(struct.pack("<d", seconds))
        return path

    def start_agent(
        self, scenario: str, *, host: str = "host-a", stopped_clock: bool = False, **settings: Any
    ) -> Agent:
        """Start an agent that keeps its records in the spool, ten ticks a second unless something else is said."""
        environment = self.environment(scenario)
        if stopped_clock:
            environment["FAKE_NVML_CLOCK"] = str(self.set_time(0.0))
        given = {
            "sources": (Asked("nvml"),), "interval_us": 100_000, "compact": False, "patience": IMPATIENT,
            **settings,
        }  # fmt: skip
        asked = Settings(output=str(self.samples), host=host, **given)
        before, sys.path[:] = list(sys.path), [*sys.path, str(TESTS)]
        try:
            command = bare_interpreter("advisor.samples.agent.__main__", asked.as_argument())
        finally:
            sys.path[:] = before
        said = self.folder / f"said-{len(self.started)}"
        with said.open("wb") as stream:
            process = subprocess.Popen(command, env=environment, stderr=stream)
        self.started.append(process)
        return Agent(process, said)

    def start_advisor(self, scenario: str, *arguments: object) -> subprocess.Popen:
        """Start the `advisor` program."""
        return self._start([sys.executable, "-m", "advisor", *map(str, arguments)], self.environment(scenario))

    def advisor(self, scenario: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
        """Run the `advisor` program to its end."""
        command = [sys.executable, "-m", "advisor", *map(str, arguments)]
        return self._run(command, {**self.environment(scenario), **environment})

    @property
    def samples(self) -> Path:
        """Where samples go."""
        return self.folder / "samples"

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What agents have kept so far; of one kind, ``row`` or ``gap``."""
        return [record for record in kept_records(self.samples) if kind in (None, record["kind"])]

    def status(self, host: str = "host-a") -> dict[str, Any]:
        """What an agent says about itself; empty before it does."""
        path = status_path(self.samples, host)
        return json.loads(path.read_text()) if path.exists() else {}

    def end(self) -> None:
        """End whatever was started, with the processes that hang in the fake driver."""
        for process in self.started:
            process.kill()
            process.communicate()
        for path in self.samples.glob("spool/*/status.json"):
            for source in json.loads(path.read_text())["sources"]:
                for number in (source["pid"], source["left_behind_pid"]):
                    if number is not None and is_child(number):
                        os.kill(number, signal.SIGKILL)

    def _run(self, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process


def kept_records(directory: Path) -> list[dict[str, Any]]:
    """Rows and gaps in the spool of a directory, each with its kind."""
    records = [record for path in segments(directory) for record in read_segment(path).records]
    return [{"kind": "gap" if isinstance(record, Gap) else "row", **asdict(record)} for record in records]


def is_child(number: int) -> bool:
    """Whether a process is one of an agent's, and alive."""
    try:
        return b"advisor.samples.agent.processes" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def fake_host(tmp_path, fake_library) -> Iterator[FakeHost]:
    """A machine with the fake driver; whatever was started on it is ended."""
    host = FakeHost(tmp_path, fake_library)
    yield host
    host.end()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits for something to become true."""

    def wait(is_so: Callable[[], Any], seconds: float = 60.0) -> Any:
        until = time.monotonic() + seconds
        while not (found := is_so()):
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.02)
        return found

    return wait
