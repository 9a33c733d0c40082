"""``python -m advisor.samples.agent [SETTINGS]``: a run of the agent; ``advisor agent run`` turns into it."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from advisor.errors import AdvisorError
from advisor.samples.agent.settings import VARIABLE, Settings, stop_signals
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.agent.supervisor import Supervisor

_EXIT_MEND = 1
_EXIT_BUG = 3


def main(arguments: Sequence[str]) -> int:
    """Run what the settings say, given as an argument or in the environment; the exit status."""
    settings = Settings.from_argument(arguments[0] if arguments else os.environ.pop(VARIABLE))

    def report(text: str) -> None:
        if not settings.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    if settings.host.partition(".")[0] == "localhost":
        report(f"warning: every machine without a name is {settings.host}, and their rows are mixed: --host NAME")
    try:
        with stop_signals() as stop:
            spool = SpoolWriter(Path(settings.output), settings.host)
            supervisor = Supervisor(settings, spool, stop, report)
            if settings.page is not None:
                _show_page(settings, supervisor, report)
            supervisor.run()
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the one boundary: everything else is our bug
        sys.stderr.write(f"error: this is a bug in advisor ({type(error).__name__}: {error})\n{_trace(error)}")
        return _EXIT_BUG
    if supervisor.unwritten:
        sys.stderr.write(f"error: {supervisor.unwritten:,} rows and gaps could not be written to {settings.output}\n")
        return _EXIT_MEND
    report(f"wrote {supervisor.rows:,} rows and {supervisor.missed_ticks:,} missed readings to {settings.output}")
    return 0


def _trace(error: Exception) -> str:
    """Where it happened, in a line that can be pasted into a report."""
    places, step = [], error.__traceback__
    while step is not None:
        places.append(f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}")
        step = step.tb_next
    return f"  hint: please report it with these places: {' '.join(places)}\n"


def _show_page(settings: Settings, supervisor: Supervisor, report: Callable[[str], None]) -> None:
    """Show what the supervisor keeps; its modules are loaded only where it is asked for."""
    latest = importlib.import_module("advisor.samples.agent.latest").Latest(settings.labels)
    server = importlib.import_module("advisor.samples.agent.page_server")
    address = server.PageAddress.parse(settings.page, settings.page_tls)
    report(f"showing the newest rows at {server.PageServer(address, latest.page).url}")
    supervisor.watcher = latest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
