"""The command line of the agent: ``advisor agent COMMAND`` and ``inference-advisor-agent COMMAND`` alike.

Standard library only; a command's module is imported when it is used.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from advisor import __version__
from advisor.errors import AdvisorError

PROGRAM = "inference-advisor-agent"
_EXIT_BUG = 3
_EXIT_INTERRUPTED = 130


class Command(NamedTuple):
    """One command."""

    target: str
    """``module:function``; the function takes arguments and program and returns the exit status."""
    summary: str


COMMANDS: Mapping[str, Command] = {
    "run": Command("advisor.samples.agent.run_command:main", "Read accelerators and serving engines until stopped."),
    "status": Command("advisor.samples.agent.status:main", "Say what the agents of a directory are doing."),
    "doctor": Command("advisor.samples.doctor:main", "Say what can be read here, what cannot, and how to fix it."),
    "alive": Command("advisor.samples.agent.status:alive", "Exit 0 while the agent runs: for probes."),
    "compact": Command(
        "advisor.samples.agent.compact_command:main", "Turn rows of the spool into Parquet, and upload finished days."
    ),
    "upload-policy": Command("advisor.samples.agent.compaction:main", "Print the permissions that an upload needs."),
}


def run(name: str, arguments: Sequence[str], program: str) -> int:
    """Run one command; the exit status. Raises AdvisorError for something that the user can fix."""
    try:
        module, _, function = COMMANDS[name].target.partition(":")
        return cast("int", getattr(importlib.import_module(module), function)(arguments, f"{program} {name}"))
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("advisor", "inference_advisor_agent"):
            raise
        message = f"{name} needs the Python package {error.name}, which is not installed here"
        hint = f"pip install '{PROGRAM}[parquet]'"
        raise AdvisorError(message, hint=hint) from error


def program(arguments: Sequence[str]) -> int:
    """Run the whole command line, errors included; the exit status. No traceback reaches the user."""
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
    given = parser.parse_args(arguments)
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
