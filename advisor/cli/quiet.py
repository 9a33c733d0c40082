"""``--quiet``: results, warnings and errors alone, without notes, progress and names of written files."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_KEY = "advisor.quiet"


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
