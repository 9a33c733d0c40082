"""The fake driver, compiled once, and programs started on it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakenvml.build import build_library, compiler

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
class FakeHost:
    """A machine with accelerators: programs started on it meet the fake driver."""

    folder: Path
    library: Callable[..., Path]
    started: list[subprocess.Popen] = field(default_factory=list)

    def environment(self, scenario: str, hidden: tuple[str, ...] = ()) -> dict[str, str]:
        """Environment of a program on this host."""
        path = self.folder / "scenario.csv"
        path.write_text(A100 + scenario)
        return {**os.environ, "LD_LIBRARY_PATH": str(self.library(hidden)), "FAKE_NVML_SCENARIO": str(path)}

    def play(self, scenario: str, *arguments: object, hidden: tuple[str, ...] = (), output: str = "samples"):
        """Play a scenario through the agent in virtual time, to its end."""
        return subprocess.run(
            self._playing(arguments, output), env=self.environment(scenario, hidden), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def start_playing(self, scenario: str, *arguments: object, output: str = "samples") -> subprocess.Popen:
        """The same without waiting for the end."""
        return self._start(self._playing(arguments, output), self.environment(scenario))

    def start_advisor(self, scenario: str, *arguments: object) -> subprocess.Popen:
        """Start the `advisor` program in real time."""
        return self._start([sys.executable, "-m", "advisor", *map(str, arguments)], self.environment(scenario))

    def advisor(self, scenario: str, *arguments: object) -> subprocess.CompletedProcess:
        """Run the `advisor` program to its end."""
        return subprocess.run(
            [sys.executable, "-m", "advisor", *map(str, arguments)], env=self.environment(scenario),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def samples(self) -> Path:
        """Where samples go unless something else is said."""
        return self.folder / "samples"

    def _playing(self, arguments: tuple[object, ...], output: str) -> list[str]:
        clock = self.folder / f"clock-{output}-{len(self.started)}"
        return [sys.executable, str(PLAYING), str(self.folder / output), "--clock", str(clock), *map(str, arguments)]

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process


@pytest.fixture
def fake_host(tmp_path, fake_library) -> Iterator[FakeHost]:
    """A machine with the fake driver; whatever was started on it is ended."""
    host = FakeHost(tmp_path, fake_library)
    yield host
    for process in host.started:
        process.kill()
        process.communicate()
