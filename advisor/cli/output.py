"""Where results go: stdout, or a file that is replaced in one step."""

from pathlib import Path

import click

from advisor.atomic_files import write_text
from advisor.errors import InputError

format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to show the result.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to this file instead of stdout.",
)


def deliver(text: str, output: Path | None) -> None:
    """Print *text*, or write it to *output* and say so on stderr."""
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    click.echo(f"wrote {output}", err=True)


def read_text(path: Path, what: str) -> str:
    """The text of a file the user named.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} is no UTF-8 text", where=str(path)) from error
