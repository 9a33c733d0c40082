"""Progress on stderr for anything that takes over a second, and silence for the rest or with ``--quiet``."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_KEY = "advisor.quiet"
_QUIET_SECONDS = 1.0
_EVERY_SECONDS = 0.2
_BAR_WIDTH = 30


def _keep(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.find_root().meta[_KEY] = value


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_keep,
    help="No notes and no progress; warnings and errors are told all the same.",
)


def is_quiet() -> bool:
    """Whether the command that runs was asked to be quiet."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(_KEY))


def tell(text: str) -> None:
    """Write a line to stderr that is neither result nor warning, unless the command is to be quiet."""
    if not is_quiet():
        click.echo(text, err=True)


class Progress:
    """A counter line that appears after a second, is redrawn in place, and is wiped at the end.

    Nothing is drawn where stderr is no terminal: logs stay clean.
    """

    def __init__(self, what: str) -> None:
        """Count *what*, such as ``requests read``."""
        self._what = what
        self._started = time.monotonic()
        self._drawn = 0.0

    def __call__(self, count: int) -> None:
        """Show *count*."""
        self._draw(f"{count:,} {self._what}")

    def watch(self, what: str, done: int, total: int) -> None:
        """Show how far something is whose end is known, as a bar, with the time that is left at this pace."""
        if done == 1 or what != self._what:
            self._what, self._started = what, time.monotonic()
        filled = _BAR_WIDTH * done // total
        left = (time.monotonic() - self._started) / done * (total - done)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        self._draw(f"[{bar}] {done:,} of {total:,} {what}, {left:,.0f} s left")

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if (
            now - self._started < _QUIET_SECONDS
            or now - self._drawn < _EVERY_SECONDS
            or not sys.stderr.isatty()
            or is_quiet()
        ):
            return
        self._drawn = now
        click.echo(f"\r{text}\033[K", sys.__stderr__, nl=False)

    def __enter__(self) -> Self:
        """Start counting."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        """Wipe the line."""
        if self._drawn:
            click.echo("\r\033[K", sys.__stderr__, nl=False)
