"""Where results go: stdout, or a file that is replaced in one step."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from advisor.atomic_files import write_output
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.codegen.applying import Application

PLAIN_WIDTH = 80
"""Characters of a line where no terminal says how wide it is."""
_WIDEST, _NARROWEST = 120, 40
MODEL_HELP = "A catalogued name, or the path of a model's config.json, weights, ONNX or tree file, or folder."
Command = TypeVar("Command", bound=Callable[..., Any])


_BY_SUFFIX = {".json": "json", ".md": "markdown", ".sarif": "sarif", ".csv": "csv"}
"""Formats that the name of a file asks for where ``--format`` is not given."""


def formats_option(*formats: str, told: str = "How to show the result.") -> Callable[[Command], Command]:
    """``--format``; without it the suffix of ``--output`` decides, where it names one of the formats.

    Args:
        formats: the first one is shown where nothing decides.
        told: help of the option.
    """
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        callback=_of_file,
        help=told,
    )


def _of_file(context: click.Context, option: click.Parameter, stated: str) -> str:
    """The format of a result: as stated, else as the file for it is named. What is given is read before defaults."""
    output = context.params.get("output")
    if output is None or context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
        return stated
    named = _BY_SUFFIX.get(output.suffix.lower(), "")
    return named if isinstance(option.type, click.Choice) and named in option.type.choices else stated


STDOUT = Path("-")
"""Name of standard output, as other programs have it."""
format_option = formats_option("table", "json", "markdown")
table_or_json_option = formats_option("table", "json")
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to this file instead of stdout; its suffix (.json, .md) says how, without --format.",
)


calibration_option = click.option(
    "--calibration",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A calibration of your own, written by `advisor calibrate`.",
)


def options_given(options: Mapping[str, str | None], batch: Path | None, required: Sequence[str]) -> dict[str, str]:
    """The options that were given: the required ones for a single question, none at all beside a table.

    Raises:
        click.UsageError: an option is missing, or stands beside ``--batch``.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if batch is not None and given:
        raise click.UsageError(f"--batch takes everything from the file; leave out {', '.join(sorted(given))}")
    missing = next((name for name in required if batch is None and name not in given), None)
    if missing is not None:
        raise click.UsageError(f"give --{missing}, or --batch with a file")
    return given


def deliver(text: str, output: Path | None) -> None:
    """Print *text*, where *output* is None or ``-``, or write it there and say so on stderr."""
    if output is None or output == STDOUT:
        click.echo(text, nl=False)
        return
    write_output(output, text.encode())
    click.echo(f"wrote {output}", err=True)


def deliver_application(application: "Application", directory: Path, output: Path | None, *, written: bool) -> None:
    """The patch of a directory of Terraform; its notes and edits on stderr."""
    if application.edits:
        deliver(application.patch, output)
    for note in application.notes:
        click.echo(f"note: {note}", err=True)
    if not application.edits:
        click.echo(f"{directory}: everything is as planned already", err=True)
    for edit in application.edits:
        click.echo(f"{'changed' if written else 'would change'} {edit}", err=True)


def report_width(output: Path | None, *, wide: bool) -> int | None:
    """Characters of a line of the result: the terminal's, up to 120; 80 in files and pipes; None: no limit."""
    if wide:
        return None
    if output not in (None, STDOUT) or not sys.stdout.isatty():
        return PLAIN_WIDTH
    columns = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    return min(max(columns, _NARROWEST), _WIDEST)


def check_unedited(text: str, where: str, *, force: bool) -> None:
    """Refuse code from a plan that somebody changed by hand: it is no longer what was found to be the cheapest.

    Raises:
        InputError: the plan is not as it was made, and *force* does not go on with it.
    """
    from advisor.plan.document import why_not_as_made  # noqa: PLC0415 - help shows without it

    reason = why_not_as_made(text, where)
    if reason and not force:
        raise InputError(
            reason, where=where, hint="make the plan again with `advisor recommend`, or go on as it is with --force"
        )
    if reason:
        click.echo(f"warning: {where}: {reason}", err=True)
