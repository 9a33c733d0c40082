"""``advisor audit``: a bill by what it was spent on, and what to do about it; its JSON is in docs/audit.md."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from advisor.cli.options import EXISTING_FOLDER, FILE, PATH, cost_option, parallel_options, rate_option
from advisor.cli.output import (
    Progress,
    deliver,
    deliver_application,
    format_option,
    json_or_page,
    output_option,
    report_width,
    tell,
)
from advisor.errors import InputError
from advisor.names import printable
from advisor.processes import BACKENDS, Spread

if TYPE_CHECKING:
    from advisor.audit.run import Inputs, Opened

_FORMATS = ("table", "json", "markdown", "html", "focus", "sarif")
_SHOWING = (
    "tags", "jobs", "backend", "scheduler", "finding", "into", "workloads", "write", "output_format", "wide", "output",
)  # fmt: skip
"""Options that change no finding; those whose value no command sees, such as ``--quiet``, never do."""


def _option_words(context: click.Context) -> tuple[str, ...]:
    """Options as given, but for those that decide only what is shown."""
    given = (
        option
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name in context.params
        and option.name not in _SHOWING
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    )
    return tuple(word for option in given for word in _words(option.opts[0], context.params[option.name or ""]))


def _words(name: str, value: object) -> Iterator[str]:
    """One option with its value: a flag, a text, several texts, or rates by currency."""
    if value is True:
        yield name
        return
    rates = (f"{currency}={rate}" for currency, rate in value.items()) if isinstance(value, dict) else None
    for text in rates or (value if isinstance(value, tuple) else (value,)):
        yield from (name, str(text))


@click.command()
@click.argument("bill", nargs=-1, required=True)
@click.option(
    "--samples", multiple=True, metavar="DIR", help="Use of accelerators, as the agent recorded it. (repeatable)"
)
@click.option(
    "--prometheus",
    metavar="URL",
    help="Use of accelerators, from a server like Prometheus (token: ADVISOR_PROMETHEUS_TOKEN).",
)
@click.option(
    "--requests",
    multiple=True,
    metavar="LOG",
    help="Request log, LiteLLM spend log or OpenTelemetry metrics. (repeatable)",
)
@cost_option
@rate_option
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Divide the bill by the values of this tag.  [default: tags that usually name owners] (repeatable)",
)
@click.option(
    "--endpoint-tag", metavar="TAG", help="Tag that names the endpoint of a charge.  [default: the usual ones]"
)
@click.option(
    "--hosts",
    type=FILE,
    metavar="FILE",
    help="CSV with the columns host and resource, where names in samples and bill differ.",
)
@click.option(
    "--extrapolate",
    "extrapolates",
    is_flag=True,
    help="Take the time of the bill that was not sampled to be like the sampled.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["keep", "once"]),
    default="keep",
    show_default=True,
    help="Rows that are the same in every column. Line items that a format names count once in any case.",
)
@click.option(
    "--bill-format", type=click.Choice(["focus", "cur", "azure", "gcp"]), help="Where the columns fit several formats."
)
@click.option(
    "--jobs", type=int, default=1, show_default=True, help="Files of the bill that are summed at a time; -1: all cores."
)
@parallel_options("Reads the files in parallel.")
@click.option("--finding", metavar="ID", help="One finding with everything that it was found at, such as ADV108.")
@click.option(
    "--into", type=PATH, metavar="DIR", help="Instead of the audit: changes of the Terraform in DIR, as a patch."
)
@click.option(
    "--workloads",
    type=EXISTING_FOLDER,
    metavar="DIR",
    help="With --into: workload files, as `advisor init` writes them, for endpoints of their names.",
)
@click.option("--write", is_flag=True, help="With --into: write the changes too.")
@format_option(*_FORMATS, note="focus: the bill's charges with kind and part of compute")
@click.option("--wide", is_flag=True, help="Every value, endpoint and finding, whatever the terminal's width.")
@output_option
def command(
    bill: tuple[str, ...],
    samples: tuple[str, ...],
    prometheus: str | None,
    cost: str,
    rates: dict[str, Decimal],
    tags: tuple[str, ...],
    hosts: Path | None,
    duplicates: str,
    bill_format: str | None,
    jobs: int,
    backend: str,
    scheduler: str | None,
    finding: str | None,
    into: Path | None,
    workloads: Path | None,
    write: bool,
    output_format: str,
    wide: bool,
    output: Path | None,
    **taken: Any,  # noqa: ANN401 - fields of the inputs
) -> None:
    """Say what a BILL was spent on, how much of it was needed, and what to do first.

    BILL is a file, a folder or a pattern; several are read together. FOCUS 1.0 to 1.4, AWS CUR, Azure and Google Cloud
    exports are told apart by their columns, as CSV or JSON (also .gz and .zst), or Parquet. Nothing is sent anywhere.
    """
    from advisor.audit import Basis  # noqa: PLC0415 - as above
    from advisor.audit.ledger import Question  # noqa: PLC0415 - help shows without the database
    from advisor.audit.run import Inputs, audited  # noqa: PLC0415 - as above
    from advisor.audit.split import read_host_names  # noqa: PLC0415 - as above

    if samples and prometheus:
        raise click.UsageError("give --samples or --prometheus, not both")
    if into is None and (write or workloads is not None):
        raise click.UsageError("--write and --workloads are for --into DIR")
    if into is not None and (finding or tags or wide or output_format != "table"):
        raise click.UsageError("--into prints a patch: leave --finding, --tags, --wide and --format out")
    inputs = Inputs(
        bill=bill,
        telemetry=(prometheus,) if prometheus else samples,
        question=Question(Basis(cost), rates, bill_format, counts_repeated_once=duplicates == "once"),
        tags=tags,
        host_names=read_host_names(hosts),
        spread=None if jobs == 1 and backend == BACKENDS[0] else Spread(jobs, backend, scheduler),
        option_words=_option_words(click.get_current_context()),
        **taken,
    )
    with Progress("percent of the bill read") as progress, audited(inputs, progress.watch) as opened:
        if into is not None:
            _change(opened, inputs, (into, workloads), output, write=write)
            return
        shown = _rendered(opened, inputs, output_format, finding, report_width(output, wide=wide))
        _deliver(shown, output)


def _rendered(
    opened: "Opened", inputs: "Inputs", output_format: str, finding: str | None, width: int | None
) -> Iterable[str]:
    """The audit in the format that was asked for, in pieces."""
    from advisor.report import bill_documents, bill_table  # noqa: PLC0415 - help shows without them

    audit = opened.audit
    if finding is not None:
        return [_one_finding(opened, finding, output_format, width)]
    match output_format:
        case "json" | "html":
            return [json_or_page(bill_documents.audit_json(audit), output_format)]
        case "markdown":
            return [bill_table.audit_markdown(audit)]
        case "sarif":
            return [bill_documents.audit_sarif(audit, Path(inputs.bill[0]))]
        case "focus":
            return bill_documents.focus_rows(audit, opened.ledger)
        case _:
            return [bill_table.audit_table(audit, width, whole=width is None)]


def _change(
    opened: "Opened", inputs: "Inputs", folders: tuple[Path, Path | None], output: Path | None, *, write: bool
) -> None:
    """Print the patch of the user's Terraform, and say on stderr what it is for."""
    from advisor.catalog import load_catalog  # noqa: PLC0415 - as above
    from advisor.discovery.bill_changes import Sources, changes_of, telemetry_of  # noqa: PLC0415 - as above
    from advisor.estate import workload_files  # noqa: PLC0415 - as above

    directory, workloads = folders
    files = workload_files(workloads) if workloads is not None else ()
    sources = Sources(telemetry_of(inputs.telemetry, opened.audit.bill), files, inputs.endpoint_tag)
    changes = changes_of(opened, directory, load_catalog(), sources)
    for wish in changes.wishes:
        click.echo(printable(f"{wish.subject}: {wish.told}"), err=True)
    application = changes.application
    if application is None:
        tell(f"{directory}: nothing to change")
        return
    deliver_application(application, directory, output, write=write)


def _one_finding(opened: "Opened", wanted: str, output_format: str, width: int | None) -> str:
    """Finding with the id *wanted*, as a table or as JSON."""
    from advisor.report import bill_documents, bill_table  # noqa: PLC0415 - as above

    audit = opened.audit
    finding = next((finding for finding in audit.findings if finding.id == wanted.upper()), None)
    if finding is None:
        there = ", ".join(finding.id for finding in audit.findings) or "none"
        raise InputError(f"this bill has no finding {wanted}", where="--finding", hint=f"it has: {there}")
    if output_format == "json":
        return bill_documents.json_text(bill_documents.finding_entry(finding, is_in_usd=audit.is_in_usd))
    return bill_table.finding_table(finding, audit.bill.currency, width)


def _deliver(pieces: Iterable[str], output: Path | None) -> None:
    if output is not None:
        deliver("".join(pieces), output)
        return
    for piece in pieces:
        click.echo(piece, nl=False)
