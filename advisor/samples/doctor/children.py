"""A look at a vendor's library from a process of its own: one that hangs costs its time limit and nothing else."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.samples.agent.processes import bare_interpreter

LIMIT_SECONDS = 10.0
_LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look gave."""

    answer: Mapping[str, Any] | None
    """None: it did not come to an end."""
    trouble: str = ""
    """Why there is no answer."""


def look(module: str, limit_seconds: float = LIMIT_SECONDS) -> Seen:
    """Run ``main`` of a module, which prints one line of JSON; whatever else it prints does not matter."""
    process = subprocess.Popen(  # noqa: S603 - this interpreter, on a module of this program
        bare_interpreter(module),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    try:
        out, words = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        # It is asked once to end, and not waited for: a process that hangs in a driver does not end at any signal.
        process.terminate()
        _forget(process)
        return Seen(None, f"no answer within {limit_seconds:g} s")
    if process.returncode < 0:
        return Seen(None, f"the look ended by signal {-process.returncode}")
    answer = _last_object(out)
    if answer is None:
        return Seen(None, f"the look failed: {words.strip()[-_LONGEST_WORDS:] or f'exit {process.returncode}'}")
    return Seen(answer)


def _forget(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.returncode = -1  # else this program would wait for it at its end


def _last_object(text: str) -> Mapping[str, Any] | None:
    for line in reversed(text.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    return None
