"""``advisor agent``: samples of this host's accelerators and serving engines, for as long as it runs."""

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from advisor.cli.agent_doctor import doctor
from advisor.cli.agent_install import install
from advisor.cli.agent_status import status
from advisor.cli.durations import LONGEST, duration_between
from advisor.errors import InputError
from advisor.samples.agent.kept import Asked
from advisor.samples.agent.processes import bare_interpreter
from advisor.samples.agent.settings import Settings
from advisor.samples.sources.detect import detect
from advisor.samples.sources.table import SOURCES

_SHORTEST_INTERVAL = timedelta(milliseconds=100)
"""Drivers renew their counters about six times a second."""
_LONGEST_INTERVAL = timedelta(hours=1)
_AUTO = "auto"


@click.group(name="agent")
def command() -> None:
    """Collect accelerator samples on an inference host."""


for _subcommand in (install, status, doctor):
    command.add_command(_subcommand)


@command.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("samples"),
    show_default=True,
    help="Directory to write to; hosts and runs may share one.",
)
@click.option(
    "--interval",
    type=duration_between(_SHORTEST_INTERVAL, _LONGEST_INTERVAL),
    default="1s",
    show_default=True,
    metavar="SPAN",
    help="Time between two readings, such as 500ms, 1s or 2m.",
)
@click.option(
    "--duration",
    type=duration_between(_SHORTEST_INTERVAL, LONGEST),
    metavar="SPAN",
    help="Stop after this time, such as 10m; default: run until stopped.",
)
@click.option("--host", default=socket.gethostname, show_default="name of this host", help="Name to record.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    default=[_AUTO],
    metavar="NAME[=ADDRESS]",
    help=f"What to read, repeatable: {_AUTO} (default: what this host has), {', '.join(SOURCES)}; engines=URL.",
)
@click.option("--engine", "engines", multiple=True, metavar="URL", help="Metrics page of a serving engine, repeatable.")
@click.option(
    "--outlet", "outlets", multiple=True, metavar="COMMAND", help="Program that gets every record, repeatable."
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def run(
    output: Path,
    interval: timedelta,
    duration: timedelta | None,
    host: str,
    sources: Sequence[str],
    engines: Sequence[str],
    outlets: Sequence[str],
    quiet: bool,
) -> None:
    """Read every accelerator, and every serving engine named, at a steady interval; keep rows of fifteen seconds.

    Stops on Ctrl-C or SIGTERM with everything written. A reading that was missed is recorded as a gap, never as zero.
    """
    settings = Settings(
        output=str(output),
        host=host,
        sources=asked_sources(sources, engines),
        interval_us=_microseconds(interval),
        duration_us=None if duration is None else _microseconds(duration),
        quiet=quiet,
        outlets=tuple(_outlet(text) for text in outlets),
    )
    command = bare_interpreter("advisor.samples.agent.__main__", settings.as_argument())
    sys.stdout.flush()
    sys.stderr.flush()
    # The agent stays for weeks: it goes on without what the command line needed.
    os.execv(command[0], command)  # noqa: S606 - the interpreter that runs this


def asked_sources(sources: Sequence[str], engines: Sequence[str]) -> tuple[Asked, ...]:
    """What ``--source`` and ``--engine`` ask for, each source once.

    Raises:
        InputError: there is no such source, or this host has none.
    """
    addresses: dict[str, list[str]] = {}
    for text in sources:
        name, _, address = text.partition("=")
        for each in detect() if name == _AUTO else [name]:
            addresses.setdefault(each, []).extend([address] if address else [])
    for url in engines:
        addresses.setdefault("engines", []).append(url)
    for name in addresses:
        if name not in SOURCES:
            raise InputError(f"{name!r} is no source", where="--source", hint=f"one of {_AUTO}, {', '.join(SOURCES)}")
    if "engines" in addresses and not addresses["engines"]:
        raise InputError("the source engines needs an address", where="--source", hint="write engines=URL")
    if not addresses:
        raise InputError(
            "no driver of an accelerator on this host (NVIDIA: libnvidia-ml.so.1)",
            hint="install the driver; in a container, start it with GPU access (docker run --gpus all); or name a "
            "serving engine with --engine URL",
        )
    return tuple(Asked(name, tuple(dict.fromkeys(found))) for name, found in addresses.items())


def _outlet(text: str) -> tuple[str, ...]:
    """A command as the system starts it: the program by its path."""
    program, *arguments = shlex.split(text) or [""]
    path = shutil.which(program)
    if path is None:
        raise InputError(
            f"no program {program!r}", where="--outlet", hint="write a command, such as '/usr/bin/tee out'"
        )
    return (path, *arguments)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
