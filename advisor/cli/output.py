"""Where results and progress go: stdout, or a file that is replaced in one step, and stderr."""

import csv
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click
from click.core import ParameterSource

from advisor.atomic_files import write_output
from advisor.cli.options import EXISTING_FOLDER, FILE
from advisor.errors import InputError
from advisor.names import unread_columns
from advisor.reading import RESULT_FILE
from advisor.tables import csv_text
from advisor.units import counted

if TYPE_CHECKING:
    from advisor.codegen.applying import Application
    from advisor.plan.values import Plan


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


def tell(text: str, *, err: bool = True) -> None:
    """Write a line that is neither result nor warning, unless the command is to be quiet: to stderr, or to stdout."""
    if not is_quiet():
        click.echo(text, err=err)


class Progress:
    """A counter line that appears after a second, is redrawn in place, and is wiped at the end.

    Nothing is drawn where stderr is not a terminal: logs stay clean.
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

    def fleets(self) -> AbstractContextManager[None]:
        """Show in a block how many fleets were replayed, while a plan is searched for."""
        from advisor.watched_steps import steps_shown  # noqa: PLC0415 - help shows without it

        if not sys.stderr.isatty() or is_quiet():
            return nullcontext()
        return steps_shown(lambda count: self._draw(f"{counted(count, 'fleet')} replayed"))

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
        """Wipe the line, which forked processes may have drawn."""
        if sys.stderr.isatty() and not is_quiet() and time.monotonic() - self._started >= _QUIET_SECONDS:
            click.echo("\r\033[K", sys.__stderr__, nl=False)


PLAIN_WIDTH = 80
"""Characters of a line where no terminal says how wide it is."""
_WIDEST, _NARROWEST = 120, 40
MODEL_HELP = "A catalogued name, or the path of a model's config.json, weights, ONNX or tree file, or folder."
Command = TypeVar("Command", bound=Callable[..., Any])


_BY_SUFFIX = {
    ".json": "json", ".ndjson": "ndjson", ".csv": "csv", ".md": "markdown", ".html": "html", ".sarif": "sarif",
}  # fmt: skip
"""Formats that the name of a file asks for where ``--format`` is not given."""


def format_named(output: Path) -> str:
    """Format that the name of a file asks for; "": any."""
    return _BY_SUFFIX.get(output.suffix.lower(), "")


def _of_file(context: click.Context, option: click.Parameter, stated: str | None) -> str | None:
    """The format of a result: as stated, else as the file for it is named. What is given is read before defaults."""
    output = context.params.get("output")
    if output is None or context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
        return stated
    named = format_named(output)
    return named if isinstance(option.type, click.Choice) and named in option.type.choices else stated


def format_option(*formats: str, note: str = "") -> Callable[[Command], Command]:
    """``--format`` of a command: names that all commands share, the first by default; others are refused with them.

    Without it the suffix of ``--output`` decides, where it names one of the formats.

    ``table``, ``json``, ``ndjson``, ``csv``, ``markdown``, ``html``, and what other programs read: ``sarif``, ``junit``
    and ``focus``.
    """
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        callback=_of_file,
        help=f"How to show the result; {note}." if note else "How to show the result.",
    )


STDOUT = Path("-")
"""Name of standard output, as other programs have it."""
report_format_option = format_option("table", "json", "markdown")
page_format_option = format_option("table", "json", "markdown", "html", note="html: the page of `advisor report`")
table_or_json_option = format_option("table", "json")
list_format_option = format_option("table", "json", "ndjson", "csv", "markdown")
answers_format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "ndjson", "csv"]),
    callback=_of_file,
    help="How to show the result.  [default: table; csv with --batch]",
)


class ResultOption(click.Option):
    """Option that names the file of the result, which is refused where the run reads it.

    *replaces*: a parameter whose file the result may take the place of.
    """

    def __init__(self, *names: Any, replaces: str = "", **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Take what :class:`click.Option` takes."""
        super().__init__(*names, **settings)
        self._replaces = replaces

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:  # fmt: skip
        """Read the option, and refuse what it names among the files of other parameters, before any of them is read."""
        value, rest = super().handle_parse_result(ctx, opts, args)
        chosen = ctx.params.get(self.name or "")
        path = chosen if isinstance(chosen, Path) else None
        ctx.call_on_close(lambda: RESULT_FILE.guard(None))
        RESULT_FILE.guard(path)
        given = {name: paths for name, paths in _paths_given(ctx.command, opts) if name != self.name}
        if path is not None and os.path.realpath(path) in map(os.path.realpath, given.get(self._replaces, ())):
            RESULT_FILE.guard(None)
        for paths in given.values():
            for each in paths:
                RESULT_FILE.refuse(each)
        return value, rest


def _paths_given(command: click.Command, opts: Mapping[str, Any]) -> Iterator[tuple[str, list[Path]]]:
    """Names and paths of parameters that take paths, as they were given."""
    for parameter in command.params:
        stated = opts.get(parameter.name or "")
        if parameter.name and (isinstance(parameter, click.Argument) or isinstance(parameter.type, click.Path)):
            stated = stated if isinstance(stated, tuple | list) else [stated]
            yield parameter.name, [Path(each) for each in stated if isinstance(each, str | Path)]


_file_option = click.option(
    "-o",
    "--output",
    cls=ResultOption,
    type=FILE,
    help="Write the result to this file instead of stdout; its suffix (.json, .md) says how, without --format.",
)


def output_option(command: Command) -> Command:
    """``--output`` and ``--quiet`` of a command that prints a result."""
    return _file_option(quiet_option(command))


calibration_option = click.option(
    "--calibration", type=EXISTING_FOLDER, help="A calibration of your own, written by `advisor calibrate`."
)


def options_given(options: Mapping[str, str | None], batch: Path | None, required: Sequence[str]) -> dict[str, str]:
    """The options that were given: the required ones for a single question, none at all beside a table.

    Raises click.UsageError if an option is missing, or stands beside ``--batch``.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if batch is not None and given:
        raise click.UsageError(f"--batch takes everything from the file; leave out {', '.join(sorted(given))}")
    missing = next((name for name in required if batch is None and name not in given), None)
    if missing is not None:
        raise click.UsageError(f"give --{missing}, or --batch with a file")
    return given


def answers_format(output_format: str | None, batch: Path | None) -> str:
    """Format of answers: as given, else a table of one and CSV of several. Raises UsageError for a table of several."""
    if batch is not None and output_format == "table":
        raise click.UsageError("--batch gives csv, ndjson or json; a table is of a single question")
    return output_format or ("table" if batch is None else "csv")


def read_cases(
    text: str, where: str, required: Sequence[str], inputs: Sequence[str], results: Collection[str]
) -> tuple[list[str], list[list[str]]]:  # fmt: skip
    """Header and rows of a CSV table of cases, each row as long as the header at least.

    *required*: columns that it has to have. *inputs*: columns that are read. *results*: columns that answers add, and
    that a table of answers has already. Raises InputError if it is empty, or no table with the columns needed.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise InputError(f"not a CSV table: {error}", where=f"{where}:{reader.line_num}") from error
    if not rows:
        raise InputError("the file is empty", where=where, hint=f"columns: {', '.join(inputs)}")
    header = [name.strip() for name in rows[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(
            f"column {', '.join(map(repr, missing))} is missing", where=f"{where}:1", hint=f"the header is {header}"
        )
    for note in unread_columns((name for name in header if name not in results), inputs):
        tell(f"note: {where}: {note}")
    return header, [row + [""] * (len(header) - len(row)) for row in rows[1:]]


def answers_text(rows: Sequence[Mapping[str, object]], output_format: str, columns: Sequence[str] = ()) -> str:
    """Rows as JSON, one to a line (NDJSON), or CSV, which leaves out what has parts; an empty text is null in JSON.

    All rows have the same keys. *columns* are those of CSV; without, those of the first row.
    """
    if output_format != "csv":
        values = [{name: None if value == "" else value for name, value in row.items()} for row in rows]
        if output_format == "json":
            return json.dumps(values, indent=2) + "\n"
        return "".join(json.dumps(row) + "\n" for row in values)
    first: Mapping[str, object] = rows[0] if rows else {}
    names = columns or [name for name in first if not any(isinstance(row[name], Mapping) for row in rows)]
    return csv_text((names, *([_csv_cell(row[name]) for name in names] for row in rows)))


def _csv_cell(value: object) -> object:
    """True and False as other programs read them, lists joined by semicolons."""
    if isinstance(value, list):
        return ";".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value


def json_or_page(text: str, output_format: str) -> str:
    """A document's JSON text, or the page that `advisor report` makes of it."""
    if output_format == "json":
        return text
    from advisor.report.pages import page_of  # noqa: PLC0415 - other formats do without templates

    return page_of(text, "the document")


_DOCUMENTS = ("{", "[", "<")
"""Begins of JSON, HTML and XML, which are UTF-8 whatever the encoding of stdout is."""


def deliver(text: str, output: Path | None) -> None:
    """Print *text*, where *output* is None or ``-``, or write it there in UTF-8 and say so on stderr."""
    if output is None or output == STDOUT:
        is_document = text.startswith(_DOCUMENTS) and not sys.stdout.isatty()
        click.echo(text.encode() if is_document else text, nl=False)
        return
    write_output(output, text.encode())
    tell(f"wrote {output}")


def deliver_application(application: "Application", directory: Path, output: Path | None, *, write: bool) -> None:
    """Write the edits of a directory of Terraform, or show them: the patch, and its notes and edits on stderr.

    Raises InputError if a file cannot be written; the patch was shown then.
    """
    failed = _failed_write(application) if write else None
    if application.edits:
        deliver(application.patch, output)
    if failed is not None:
        raise failed
    for note in application.notes:
        tell(f"note: {note}")
    if application.is_as_planned:
        tell(f"{directory}: everything is as planned already")
    elif not application.edits:
        tell(f"{directory}: nothing was changed: see the notes")
    for edit in application.edits:
        tell(f"{'changed' if write else 'would change'} {edit}")


def _failed_write(application: "Application") -> InputError | None:
    from advisor.codegen.applying import write_application  # noqa: PLC0415 - help shows without it

    try:
        write_application(application)
    except InputError as error:
        return error
    return None


def report_width(output: Path | None, *, wide: bool) -> int | None:
    """Characters of a line of the result: the terminal's, up to 120; 80 in files and pipes; None: no limit."""
    if wide:
        return None
    if output not in (None, STDOUT) or not sys.stdout.isatty():
        return PLAIN_WIDTH
    columns = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    return min(max(columns, _NARROWEST), _WIDEST)


def read_plan(path: Path) -> "Plan":
    """A plan from its file; changes by hand are read and told. Raises InputError if there is none, or it is no plan."""
    from advisor.reading import read_text  # noqa: PLC0415 - help shows without it

    return plan_of_text(read_text(path, "plan"), str(path))


def plan_of_text(text: str, where: str) -> "Plan":
    """A plan from its text; see :func:`read_plan`."""
    from advisor.plan.document import plan_from_json, why_not_as_made  # noqa: PLC0415 - help shows without them

    plan = plan_from_json(text, where=where)
    if reason := why_not_as_made(text, where):
        click.echo(f"warning: {where}: {reason}", err=True)
    return plan


def check_unedited(text: str, where: str, *, force: bool) -> None:
    """Refuse code from a plan that somebody changed by hand: it is no longer what was found to be the cheapest.

    Raises InputError if the plan is not as it was made, and *force* does not go on with it.
    """
    from advisor.plan.document import why_not_as_made  # noqa: PLC0415 - help shows without it

    refuse_edited(why_not_as_made(text, where), where, "plan", force=force)


def refuse_edited(reason: str, where: str, what: str, *, force: bool) -> None:
    """Refuse a document (*what*: its kind) for a *reason*, or warn of it where *force* goes on; "": there is none.

    Raises InputError if there is a reason, and *force* does not go on.
    """
    if reason and not force:
        raise InputError(
            reason, where=where, hint=f"make the {what} again with `advisor recommend`, or go on as it is with --force"
        )
    if reason:
        click.echo(f"warning: {where}: {reason}", err=True)
