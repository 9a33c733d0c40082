"""A look through a source as the agent has it: a process that hangs costs a time limit, and is left alone."""

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.samples.agent.processes import Process, bare_interpreter
from advisor.samples.agent.protocol import Reader, Word
from advisor.samples.rows import Missed, Reading

LIMIT_SECONDS = 10.0
_INTERVAL_US = 100_000
_READINGS = 2
"""Some values are means between two readings."""
_PIECE = 1 << 16
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """Result of a look."""

    describes: str = ""
    """Description of what the source sees; "" where it could not be opened."""
    read: Sequence[Reading | Missed] = ()
    trouble: str = ""
    """Reason why the source could not be opened or read; "" where it could."""
    mend: str = ""
    """Remedy that the source gives; "" where it hangs or ended."""


def look(source: str, limit_seconds: float = LIMIT_SECONDS) -> Seen:
    """Open a source in a process of its own and read it."""
    command = bare_interpreter("advisor.samples.agent.child", source, "", str(_INTERVAL_US))
    process = Process(command, listens=True, speaks=True)
    try:
        deadline = time.monotonic() + limit_seconds
        return _heard(process, deadline) or Seen(
            trouble=_how(process, deadline) or f"no answer within {limit_seconds:g} s"
        )
    finally:
        process.close()  # it hears that, and ends when it can


def _heard(process: Process, deadline: float) -> Seen | None:
    """Result of the last reading, or the failure; None where the process ends before, or time is over."""
    reader, describes, readings = Reader(), "", 0
    while piece := _piece(process, deadline):
        for word, items in reader.feed(piece):
            match word:
                case Word.READY:
                    describes = str(items[0])
                case Word.FAILED:
                    return Seen(trouble=str(items[0]), mend=str(items[1]))
                case Word.TICK if (readings := readings + 1) == _READINGS:
                    return Seen(describes, items[4])
    return None


def _piece(process: Process, deadline: float) -> bytes:
    """Next bytes of the pipe; none where the process ends, or time is over."""
    descriptor, left = process.read_end, deadline - time.monotonic()
    if descriptor is None or left <= 0 or not select.select([descriptor], [], [], left)[0]:
        return b""
    return os.read(descriptor, _PIECE)


def _how(process: Process, deadline: float) -> str | None:
    """End of the process in words; None where it hangs."""
    while (how := process.ended()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return how and f"its process {how}"
