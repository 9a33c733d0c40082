"""The ``advisor`` group, loaded command by command, and the boundary that turns errors into exit codes."""

import atexit
import codecs
import gc
import importlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from advisor import LITTLE_GARBAGE, __version__
from advisor.errors import AdvisorError
from advisor.names import nearest, nearest_ascii, printable, without_credentials


class GuardedTerminal:
    """A terminal that shows "?" for characters that would steer it, whoever prints them."""

    def __init__(self, stream: TextIO) -> None:
        """Guard *stream*."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Show *text*; see :func:`advisor.names.printable`."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        """Everything else is the stream's."""
        return getattr(self._stream, name)


_NEAREST_ASCII = "nearest-ascii"
_DEFAULT_ERRORS = ("strict", "backslashreplace")
"""Python's own handling of characters beyond a stream's encoding: on stdout, on stderr."""


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return nearest_ascii(error.object[error.start : error.end]), error.end


def _whole_writes(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The stream, with a buffer where PYTHONUNBUFFERED leaves none: what a full disk cuts short is an error then."""
    if not isinstance(stream.buffer, io.RawIOBase):
        return stream
    buffer = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115 - the descriptor stays open
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True)


class LossyFile(io.FileIO):
    """Stderr, which drops what it cannot take: a note that nobody can read costs no result."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write *data*, and say that all of it was taken."""
        with suppress(OSError):
            return super().write(data) or len(data)
        return len(data)


def _lossy(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The stream, with a file below it that drops what it cannot take; one in memory as it is."""
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if not isinstance(raw, io.FileIO) or isinstance(raw, LossyFile):
        return stream
    stream.flush()
    buffer = io.BufferedWriter(LossyFile(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True)


def guard_streams() -> None:
    """Make stdout and stderr take any text, and a broken stderr take everything.

    Those that are terminals are guarded, a closed one drops what is written, and characters beyond a stream's encoding
    become their nearest ASCII, unless PYTHONIOENCODING says what becomes of them.
    """
    codecs.register_error(_NEAREST_ASCII, _replaced)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
            continue
        if isinstance(stream, io.TextIOWrapper):
            stream = _lossy(stream) if name == "stderr" else _whole_writes(stream)
            setattr(sys, name, stream)
            if stream.errors in _DEFAULT_ERRORS:
                stream.reconfigure(errors=_NEAREST_ASCII)
        if stream.isatty() and not isinstance(stream, GuardedTerminal):
            setattr(sys, name, GuardedTerminal(stream))


COMMANDS = {
    "init": "Find the models that are served today, and write a workload file for each.",
    "recommend": "The cheapest way to serve a workload, ranked, with reasons.",
    "levers": "What else would cost less: every lever priced by the planner, alone and together.",
    "case": "What a series of changes saves, from stated assumptions, beside a published figure.",
    "replay": "What a trace would have cost on a plan, and how many requests would have met the targets.",
    "generate": "Infrastructure code for a plan.",
    "price": "What the accelerated resources of a Terraform plan cost, in Infracost's format.",
    "apply-to": "The plan's instance types and counts, written into Terraform of your own.",
    "diff": "What changes between two plans, and what their code replaces.",
    "comment": "Post such a comparison on a pull request, in one comment kept up to date.",
    "report": "A plan as one page for people: charts, tables, sources.",
    "serve": "The same page with controls, on loopback: each change is planned anew.",
    "explain": "Why a plan is as it is, what would change it, and what a tighter target costs.",
    "predict": "Latency and throughput of one deployment, or of a table of them.",
    "fit": "Whether a model fits an accelerator, and how many requests at a time.",
    "calibrate": "Fit predictions to your own measurements, and say how much nearer they come.",
    "demand": "Summarise a request trace into a small file to plan from.",
    "catalog": "Accelerators, instances and prices: look into them, refresh them, lock them.",
    "audit": "What a bill was spent on, what of it was needed, and what to do first.",
    "programme": "Thirty days of work from findings, levers and plans, each with command, saving and check.",
    "review": "What was saved, by the bill, against what was predicted.",
    "check": "Whether a committed plan, its code and its prices still hold.",
    "agent": "Collect accelerator samples on an inference host.",
    "samples": "Look at collected samples.",
    "completion": "A script that completes commands in bash, zsh or fish.",
}
"""Each command lives in ``advisor/cli/<name>.py`` (with underscores) as ``command``; help imports none of them."""

EXTRA_OF = {
    "duckdb": "audit",
    "pyarrow": "data",
    "scipy": "calibration",
    "sklearn": "calibration",
    "starlette": "serve",
    "uvicorn": "serve",
}
"""Extra of the distribution that brings a library which only some commands need."""

EXIT_BUG = 3
EXIT_INTERRUPTED = 130


class StdoutUnreadError(Exception):
    """Nobody reads stdout any more, as after ``| head``: no error of a command."""


@contextmanager
def _pipe_closed() -> Iterator[None]:
    """Tell a closed pipe by an exception of its own: click would end with 1."""
    try:
        yield
    except BrokenPipeError as error:
        raise StdoutUnreadError from error


class LazyGroup(click.Group):
    """A group that imports a command when it is used: `advisor --version` stays instant."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:  # noqa: ANN401 - click's own
        """Read the command line, and show help where it asks for it."""
        with _pipe_closed():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever a command returns
        """Run the command."""
        with _pipe_closed():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import ``advisor.cli.<name>`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"advisor.cli.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument; where there is none, the nearest by name is told."""
        name = args[0]
        near = nearest(name, COMMANDS)
        if name not in COMMANDS and not name.startswith("-") and near:
            raise click.UsageError(f"No such command '{name}'. Did you mean '{near[0]}'?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="advisor")
def advisor() -> None:
    """Find the cheapest hardware that serves your measured inference demand, and the code that deploys it.

    Exit codes: 0 done, 1 fixable input error, 2 wrong usage, 3 internal error, 4 nothing feasible, or
    less within the SLO than asked, 130 interrupted.
    """


class _WithoutPandas:
    """A finder that tells pandas as not installed: no command uses it, and pyarrow loads it for its first array."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Leave every other module to the finders behind it."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def run() -> NoReturn:
    """Run the command line as a process of its own, as a rule without pandas, and end that at once.

    The interpreter would take every object apart first, which takes as long as a third of its start.
    """
    if sys.argv[1:2] != ["catalog"]:  # whose refresh loads what packages of others bring, which may take pandas
        sys.meta_path.insert(0, _WithoutPandas)
    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, int) or threading.active_count() > 1:
            raise
        atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter calls as it ends
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                stream.flush()
        os._exit(ended.code)
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)


def main() -> NoReturn:
    """Run the command line and exit with the documented code; no traceback reaches the user."""
    guard_streams()
    gc.set_threshold(LITTLE_GARBAGE)
    atexit.register(gc.freeze)  # else the interpreter looks through all objects for cycles as it ends
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no matrix here is worth the start of a thread for each core
    try:
        advisor(prog_name="advisor", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        object.__setattr__(error, "message", without_credentials(error.message))
        error.show()
        sys.exit(error.exit_code)
    except StdoutUnreadError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in buffers as the interpreter ends
        sys.exit(0)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.exit(EXIT_INTERRUPTED)
    except AdvisorError as error:
        click.echo(without_credentials(f"error: {error}"), err=True)
        sys.exit(error.exit_code)
    except (OSError, MemoryError) as error:
        sys.exit(_of_machine(error))
    except Exception as error:  # noqa: BLE001 - the one boundary: everything else is our bug
        sys.exit(_unexpected(error))
    sys.exit(0)


_NO_ROOM = "failed to map segment from shared object"
"""Words of the loader of libraries where memory lacks."""


def _unexpected(error: Exception) -> int:
    """Exit status after a library is missing, with what to install, or has no room; else after a bug report."""
    if isinstance(error, ImportError) and _NO_ROOM in str(error):
        return _of_machine(MemoryError())
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if library not in EXTRA_OF:
        click.echo(_bug_report(error), err=True)
        return EXIT_BUG
    hint = f"pip install 'inference-advisor[{EXTRA_OF[library]}]'"
    click.echo(f"error: {library} is not installed, which this needs\n  hint: {hint}", err=True)
    return AdvisorError.exit_code


def _of_machine(error: OSError | MemoryError) -> int:
    """Exit status after the machine lacks something, such as room on a disk; a template that is not there is a bug."""
    if isinstance(error, LookupError):
        return _unexpected(error)
    if isinstance(error, MemoryError):
        told = "not enough memory\n  hint: give a smaller input, or run it where there is more"
    else:
        place = f"{error.filename}: " if error.filename else ""
        hint = "see that the disk has room and that the place may be used"
        if "AF_UNIX" in str(error):
            hint = "set TMPDIR to a shorter path: that of a socket has 107 bytes at most"
        told = f"{place}{error.strerror or error}\n  hint: {hint}"
    click.echo(f"error: {told}", err=True)
    return AdvisorError.exit_code


_LONGEST_CAUSE = 400
"""Characters of an error that are shown; the file has all."""


def _bug_report(error: Exception) -> str:
    """Write the traceback to a file that can be pasted into an issue, and say where it is."""
    import platform  # noqa: PLC0415 - only a report needs them
    import tempfile  # noqa: PLC0415
    import traceback  # noqa: PLC0415

    report = (
        f"advisor {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
    )
    with tempfile.NamedTemporaryFile("w", prefix="advisor-bug-", suffix=".txt", delete=False) as stream:
        stream.write(without_credentials(report))
    said = without_credentials(f"{type(error).__name__}: {error}")
    said = said if len(said) <= _LONGEST_CAUSE else f"{said[:_LONGEST_CAUSE]} …"
    return f"error: this is a bug in advisor ({said})\n  hint: please report it with the file {Path(stream.name)}"
