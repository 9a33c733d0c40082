"""``advisor agent alive``: whether the agent of this host runs, for the probes of a container.

It looks at the status that a running agent writes with every row. A source that hangs in its driver is not a reason to
restart an agent, which waits for it and reads the others: that shows in ``--ready`` and in the metrics.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError
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
        hint = "an agent does so when RUNTIME_DIRECTORY is set, as systemd and the manifest do"
        raise InputError("no agent has written its status here", where=str(given.directory), hint=hint)
    troubles = [trouble for path in paths if (trouble := why_not(read_object(path), time.time(), ready=given.ready))]
    sys.stderr.writelines(f"{trouble}\n" for trouble in troubles)
    return int(bool(troubles))


def why_not(status: Mapping[str, Any], now: float, *, ready: bool) -> str | None:
    """Why an agent with this status is not alive, or not *ready* (it reads something and can write); None: it is."""
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
