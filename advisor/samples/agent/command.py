"""The command line of the agent: ``advisor agent COMMAND`` and ``inference-advisor-agent COMMAND`` alike.

Standard library only; a command's module is imported when it is used.

``agent alive`` looks at the status that a running agent writes with every row. A source that hangs in its driver is no
reason to restart an agent, which waits for it and reads the others: that shows in ``--ready`` and in the metrics.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from advisor import __version__
from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.status import (
    RUNTIME_PATTERN,
    STALE_SECONDS,
    read_object,
    runtime_folder,
    written_seconds,
)


def main(arguments: Sequence[str], program: str) -> int:
    """Exit 0: it runs; 1 with the reason on stderr.

    Raises:
        InputError: no agent has written its status.
    """
    parser = argparse.ArgumentParser(prog=program, description="Exit 0 while the agent of this host runs.")
    parser.add_argument(
        "directory", type=Path, nargs="?", default=runtime_folder(), help="of its status; default: %(default)s"
    )
    parser.add_argument("--ready", action="store_true", help="only while it also reads a source and writes its rows")
    given = parser.parse_args(arguments)
    paths = sorted(given.directory.glob(RUNTIME_PATTERN))
    if not paths:
        raise InputError(
            "no agent has written its status here",
            where=str(given.directory),
            hint="an agent does so when RUNTIME_DIRECTORY is set, as systemd and the manifest do",
        )
    troubles = [trouble for path in paths if (trouble := why_not(read_object(path), time.time(), ready=given.ready))]
    sys.stderr.writelines(f"{trouble}\n" for trouble in troubles)
    return int(bool(troubles))


def why_not(status: Mapping[str, Any], now: float, *, ready: bool) -> str | None:
    """Why an agent is not alive, or not ready; None: it is.

    Args:
        status: what it wrote last.
        now: seconds since 1970.
        ready: whether it must also read something and be able to write.
    """
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


PROGRAM = "inference-advisor-agent"
_EXIT_BUG = 3
_EXIT_INTERRUPTED = 130


class Command(NamedTuple):
    """One command."""

    module: str
    """Has ``main(arguments, program)``, which returns the exit status."""
    summary: str


COMMANDS: Mapping[str, Command] = {
    "run": Command("advisor.samples.agent.run_command", "Read accelerators and serving engines until stopped."),
    "status": Command("advisor.samples.agent.status_command", "Say what the agents of a directory are doing."),
    "doctor": Command("advisor.samples.doctor.command", "Say what can be read here, what cannot, and how to mend it."),
    "alive": Command("advisor.samples.agent.alive", "Exit 0 while the agent runs: for probes."),
    "compact": Command(
        "advisor.samples.agent.compact_command", "Turn rows of the spool into Parquet, and upload finished days."
    ),
    "upload-policy": Command("advisor.samples.agent.compaction", "Print the permissions that an upload needs."),
}


def run(name: str, arguments: Sequence[str], program: str) -> int:
    """Run one command; the exit status.

    Raises:
        AdvisorError: something that the user can mend.
    """
    try:
        module = importlib.import_module(COMMANDS[name].module)
        return cast("int", module.main(arguments, f"{program} {name}"))
    except ImportError as error:
        raise AdvisorError(
            f"{name} needs the Python package {error.name}, which is not installed here",
            hint=f"pip install '{PROGRAM}[parquet]'",
        ) from error


def program(arguments: Sequence[str]) -> int:
    """Run the whole command line, errors included; the exit status. No traceback reaches the user."""
    given = _parser().parse_args(arguments)
    try:
        return run(given.command, given.arguments, PROGRAM)
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the one boundary: everything else is our bug
        sys.stderr.write(f"error: this is a bug in {PROGRAM} {__version__} ({type(error).__name__}: {error})\n")
        return _EXIT_BUG


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<13} {command.summary}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s COMMAND [OPTION …]",
        description="Samples of accelerators and serving engines on an inference host.",
        epilog=f"commands:\n{commands}\n\n{PROGRAM} COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
