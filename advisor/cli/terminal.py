"""Terminals, which must not act on what others wrote: names, addresses, error bodies of servers."""

import sys
from typing import Any, TextIO

from advisor.names import printable


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


def guard_terminals() -> None:
    """Guard stdout and stderr where they are terminals; files and pipes get every byte."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream.isatty() and not isinstance(stream, GuardedTerminal):
            setattr(sys, name, GuardedTerminal(stream))
