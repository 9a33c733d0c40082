"""The command line: one command, one thin module, and the only error boundary."""

from contextlib import suppress
from signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

_is_ours = getsignal(SIGINT) is default_int_handler
if _is_ours:
    with suppress(ValueError):  # imported by a thread, which gets no signals
        signal(SIGINT, SIG_DFL)  # until main() is there, Ctrl-C ends the process without a traceback

from advisor.cli.app import main, run  # noqa: E402

if _is_ours:
    with suppress(ValueError):
        signal(SIGINT, default_int_handler)

__all__ = ["main", "run"]
