"""``advisor init``: workload files of what runs today, found instead of asked for.

The JSON is ``{"schema": "advisor.init/v1", "services": [...], "notes": [...]}``; the keys of a service are those of
:func:`_document`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from advisor.atomic_files import make_directory
from advisor.catalog import Catalog, load_catalog
from advisor.cli.options import FILE, FOLDER, duration_between
from advisor.cli.output import quiet_option, report_width, table_or_json_option, tell
from advisor.demand.values import Demand
from advisor.discovery import Answers, Service, window_text
from advisor.discovery.find import Account, Places, Server, find_services, nothing_found
from advisor.discovery.proposal import DEMAND, LENGTHS, MODEL, Proposal, proposal_of, settled
from advisor.discovery.workload_text import (
    Result,
    Written,
    busy_words,
    file_names,
    is_edited,
    remove_unedited,
    tried,
    workload_text,
    write_workload,
)
from advisor.names import printable
from advisor.reading import asks_a_person
from advisor.records import dataclass, replace
from advisor.report.text_table import Column, fold_table, wrap
from advisor.workload.document import INCOMPLETE

_SCHEMA = "advisor.init/v1"
_COLUMNS = (
    Column("service"),
    Column("model", importance=1),
    Column("engine, replicas × accelerators", importance=2, prose=12),
    Column("machines", prose=24),
    Column("requests/s"),
)


@click.command()
@click.option(
    "--kubernetes", "contexts", multiple=True, is_flag=False, flag_value="", metavar="[CONTEXT]",
    help="Read the deployments of a cluster by the kubeconfig; the current context without a name. Repeatable.",
)  # fmt: skip
@click.option("--kubeconfig", type=FILE, help="In place of KUBECONFIG.")
@click.option("--namespace", default="", help="With --kubernetes: only this namespace.")
@click.option(
    "--prometheus", "urls", multiple=True, metavar="URL", help="Server that scrapes serving engines. Repeatable."
)
@click.option("--selector", default="", help='With --prometheus: label matchers, such as cluster="prod".')
@click.option(
    "--window", type=duration_between(timedelta(hours=1), timedelta(days=3 * 365)), default="14d", show_default=True,
    help="How far back demand and latency count.",
)  # fmt: skip
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"]),
    help="With --prometheus: end of the window, UTC; files then ask for the same time.  [default: the last full hour]",
)  # fmt: skip
@click.option("--token-file", type=FILE, help="With --prometheus: bearer token.")
@click.option("--ca-file", type=FILE, help="With --prometheus: PEM file.")
@click.option("--samples", multiple=True, metavar="DIR", help="Samples of `advisor agent run`. Repeatable.")
@click.option(
    "--aws", "regions", multiple=True, is_flag=False, flag_value="", metavar="[REGION]",
    help="List EC2 instances and SageMaker endpoints (boto3); the default region without a name. Repeatable.",
)  # fmt: skip
@click.option("--profile", help="With --aws: profile of AWS's configuration.")
@click.option(
    "--out", type=FOLDER, default=Path("workloads"), show_default=True,
    help="Folder for the workload files.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Ask nothing: what is unknown stands as a comment in the files.")
@table_or_json_option
@quiet_option
def command(
    urls: tuple[str, ...],
    selector: str,
    window: timedelta,
    until: datetime | None,
    token_file: Path | None,
    ca_file: Path | None,
    regions: tuple[str, ...],
    profile: str | None,
    out: Path,
    yes: bool,
    output_format: str,
    **looked: Any,  # noqa: ANN401 - fields of the places
) -> None:
    """Find the models that are served today, and write a workload file for each.

    Asks only for what cannot be found out; everything is read, nothing is changed. Then: advisor recommend workloads/

    A file that was edited is never overwritten. What cannot be planned yet goes to the folder `incomplete` below, with
    what is missing.
    """
    if not (urls or regions or looked["contexts"] or looked["samples"]):
        raise click.UsageError("name a place to look: --kubernetes, --prometheus URL, --samples DIR or --aws")
    if until is not None and not urls:
        raise click.UsageError("--until is for --prometheus: samples end with the last one")
    days = window / timedelta(days=1)
    places = Places(
        out=out,
        servers=tuple(
            Server(url, days, selector, token_file, ca_file, until and until.replace(tzinfo=UTC)) for url in urls
        ),
        accounts=tuple(Account(region or None, profile, window_text(days)) for region in regions),
        window_days=days,
        **looked,
    )
    catalog = load_catalog()
    inventory = find_services(places, catalog)
    for note in inventory.notes:
        tell(f"note: {printable(note)}")
    if not inventory.services:
        raise nothing_found(places)
    make_directory(out)
    asks, span = not yes and asks_a_person(), f"{days:g} days" if days >= 2 else f"{days * 24:g} h"
    stems = file_names((service.name, service.namespace or service.origin) for service in inventory.services)
    rows = [
        _write(service, stem, _Run(out, catalog, span, asks, watched=bool(urls or places.samples)))
        for service, stem in zip(inventory.services, stems, strict=True)
    ]
    if output_format == "json":
        document = {"schema": _SCHEMA, "services": [_document(row) for row in rows], "notes": list(inventory.notes)}
        click.echo(json.dumps(document, indent=2))
        return
    width = report_width(None, wide=False)
    click.echo("\n\n".join(fold_table(_COLUMNS, [_cells(row) for row in rows], width)))
    unplanned = all(row.reason for row in rows)
    then = "no file can be planned yet: add what is missing" if unplanned else f"next: advisor recommend {out}/"
    for line in (*_file_lines(rows), then):
        click.echo("\n".join(wrap(printable(line), width, rest="    ")))


@dataclass(frozen=True, slots=True)
class _Run:
    """Terms under which files are written."""

    out: Path
    catalog: Catalog
    window: str
    asks: bool
    watched: bool
    """Whether servers or samples were asked for demand."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A service, its file, and what the file gives."""

    proposal: Proposal
    result: Result
    demand: Demand | None
    reason: str
    """Why no plan can be made of the file; "" where one can."""


def _write(service: Service, stem: str, run: _Run) -> _Row:
    proposal = proposal_of(service, run.catalog, watched=run.watched)
    if run.asks and (answers := _ask(proposal)) != Answers():
        proposal = proposal_of(service, run.catalog, answers, watched=run.watched)
    text = workload_text(proposal, run.window)
    demand, reason = None, "; ".join(missing.why for missing in proposal.missing)
    if not reason:
        trial = tried(text, run.out, run.catalog)
        reason = trial.reason
        if trial.question is not None:
            demand = trial.question.demand
            proposal = settled(proposal, trial.question, run.catalog)
            text = workload_text(proposal, run.window)
    if reason and is_edited(path := run.out / f"{stem}.yaml"):
        return _Row(proposal, Result(path, Written.KEPT), None, "")
    unfinished = run.out / INCOMPLETE / f"{stem}.yaml"
    if reason:
        told = "" if proposal.missing else reason
        missing = f"# MISSING: {' '.join(told.split())}\n" if told else ""
        text = f"{missing}# Not planned yet: add what is missing, and move the file one folder up.\n{text}"
        return _Row(proposal, write_workload(unfinished, text), None, reason)
    remove_unedited(unfinished)
    return _Row(proposal, write_workload(run.out / f"{stem}.yaml", text), demand, "")


def _ask(proposal: Proposal) -> Answers:
    """Answers of a person to what nothing shows; an empty one leaves it open."""
    keys = {missing.key for missing in proposal.missing}
    service, answers = proposal.service, Answers()
    needs_targets, needs_current = proposal.slo.is_unknown, proposal.current is None
    if not keys and not needs_targets and not needs_current:
        return answers
    click.echo(f"\n{service.name} ({service.origin})", err=True)
    if MODEL in keys:
        answers = replace(answers, model=_text("model, as OWNER/NAME"))
    if DEMAND in keys:
        answers = replace(answers, requests_per_second=_number("requests per second, on average"))
    if LENGTHS in keys or answers.requests_per_second is not None:
        lengths = _number("prompt tokens of a request"), _number("tokens of an answer")
        answers = replace(answers, input_tokens=lengths[0], output_tokens=lengths[1])
    fields = {}
    if needs_targets and (slo := _text("targets, such as ttft_p95: 1s, tpot_p95: 50ms")):
        fields["slo"] = f"{{{slo.strip('{} ')}}}"
    question = "today's machines, such as provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 2"
    if needs_current and (current := _text(question)):
        fields["current"] = f"{{{current.strip('{} ')}}}"
    return replace(answers, fields=fields) if fields else answers


def _text(question: str) -> str:
    answer: str = click.prompt(f"  {question} (Enter: unknown)", default="", show_default=False, err=True)
    return " ".join(answer.split())


def _number(question: str) -> float | None:
    while answer := _text(question):
        try:
            number = float(answer)
        except ValueError:
            number = 0.0
        if 0 < number < 1e9:
            return number
        click.echo("  a number above 0", err=True)
    return None


def _cells(row: _Row) -> list[str]:
    service = row.proposal.service
    engine = service.launch.engine or (service.observed.engine if service.observed else "") or "?"
    replicas = "?" if service.replicas is None else str(service.replicas)
    cells = [
        row.result.path.stem,
        row.proposal.model.rpartition("/")[2] or "?",
        f"{engine}, {replicas} × {'?' if service.accelerators is None else service.accelerators}",
        _machine_words(row.proposal),
        f"{row.demand.requests_per_second.mean:.3g}" if row.demand else "?",
    ]
    return [" ".join(printable(cell).split()) for cell in cells]


def _machine_words(proposal: Proposal) -> str:
    """Machines such as ``2 × g6e.xlarge us-east-1 spot``."""
    if proposal.current is None:
        return "?"
    machine, count = proposal.current
    paid = {"on_demand": "on demand", "": "on demand?"}.get(machine.purchase, machine.purchase)
    return f"{count} × {machine.instance_type} {machine.region} {paid}"


def _file_lines(rows: Sequence[_Row]) -> Iterator[str]:
    """Files that are incomplete or were left as they are, and why; targets that today's machines miss."""
    for row in rows:
        if row.reason:
            yield f"{row.result.path}: not planned yet: {row.reason}"
        if row.proposal.rises:
            yield f"{row.result.path}: {busy_words(row.proposal)}, and today's machines miss the proposed targets then"
        if row.result.written is Written.KEPT:
            yield f"{row.result.path}: edited by hand, so it is left as it is; remove it to have it written anew"


def _document(row: _Row) -> Mapping[str, Any]:
    proposal, service = row.proposal, row.proposal.service
    machine, count = proposal.current or (None, None)
    return {
        "name": service.name,
        "origin": service.origin,
        "model": proposal.model or None,
        "engine": service.launch.engine or (service.observed.engine if service.observed else "") or None,
        "replicas": service.replicas,
        "accelerators_per_replica": service.accelerators,
        "provider": machine and machine.provider,
        "region": machine and machine.region,
        "instance_type": machine and machine.instance_type,
        "purchase": (machine.purchase or None) if machine else None,
        "instances": count,
        "demand_source": service.observed.source if service.observed else None,
        "requests_per_second": row.demand.requests_per_second.mean if row.demand else None,
        "input_tokens": row.demand.input_tokens.mean if row.demand else None,
        "output_tokens": row.demand.output_tokens.mean if row.demand else None,
        "ttft_p95_ms": proposal.slo.ttft_p95_ms,
        "tpot_p95_ms": proposal.slo.tpot_p95_ms,
        "e2e_p95_ms": proposal.slo.e2e_p95_ms,
        "latency_rises_with_load": proposal.rises,
        "instances_needed": proposal.judged.needed if proposal.judged else None,
        "remarks": list(proposal.remarks),
        "file": str(row.result.path),
        "written": str(row.result.written),
        "missing": row.reason or None,
    }
