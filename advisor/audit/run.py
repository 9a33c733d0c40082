"""One audit: the bill, what telemetry and request logs say of it, and the findings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from advisor.audit.database import Database, Progress, opened
from advisor.audit.endpoints import chargeback, endpoints_of, machines_of
from advisor.audit.files import files_of, ignored_files
from advisor.audit.findings.context import Context
from advisor.audit.ledger import Ledger, Question, read_ledger
from advisor.audit.split import split_compute
from advisor.audit.tags import refuse_unknown_tag, tag_tables, with_names
from advisor.audit.traffic import read_traffic
from advisor.audit.values import KINDS, UNTAGGED, ZERO, Amounts, Audit, Bill, Endpoint, Traffic
from advisor.catalog import Catalog, load_catalog
from advisor.records import dataclass, field, replace
from advisor.spread import Spread

if TYPE_CHECKING:
    from advisor.audit.telemetry import Telemetry
from advisor.audit.findings.charges import charge_findings, request_findings
from advisor.audit.findings.compute import compute_findings
from advisor.audit.findings.rules import SAVING
from advisor.audit.values import Finding

_LEAST_PER_MONTH = 1
"""A finding of less than this a month, in the currency of the bill, is not worth a line."""
_BY = {"provider": "true", "region": "true", "family": "kind = 'compute'", "purchase": "true"}
"""Breakdowns of the bill, and which part of it each is of."""
_DIGITS = 60
"""Digits of every amount: more than the database's 38, so that parts of any bill are exact."""


def find_all(context: Context, *, least_per_month: float = _LEAST_PER_MONTH) -> list[Finding]:
    """Findings, savings before spend, the greatest first."""
    findings = (*compute_findings(context), *charge_findings(context), *request_findings(context))
    notable = [finding for finding in findings if finding.high is None or finding.high >= least_per_month]
    return sorted(notable, key=lambda finding: (finding.basis != SAVING, -(finding.per_month or 0), finding.id))


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of an audit."""

    bill: Sequence[str]
    """Files, folders and patterns."""
    telemetry: Sequence[str] = ()
    """Directories of samples, or one address of a server."""
    requests: Sequence[str] = ()
    question: Question = field(default_factory=Question)
    tags: Sequence[str] = ()
    endpoint_tag: str | None = None
    host_names: Mapping[str, str] = field(default_factory=dict)
    extrapolates: bool = False
    spread: Spread | None = None
    """Processes or machines that the files of the bill are summed on; None: this one."""
    option_words: Sequence[str] = ()
    """Options of a command line that says the same; findings repeat them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An audit with the charges behind it, while they are there."""

    audit: Audit
    ledger: Ledger


@contextmanager
def audited(inputs: Inputs, progress: Progress | None = None) -> Iterator[Opened]:
    """An audit, and its charges until the context ends.

    Args:
        inputs: the bill, and what there is beside it.
        progress: told how far reading is.

    Raises:
        InputError: a file cannot be read, or is not what it is given as.
    """
    with localcontext(prec=_DIGITS), opened(progress) as database:
        yield _audit(database, inputs)


@contextmanager
def charges(inputs: Inputs, progress: Progress | None = None) -> Iterator[Ledger]:
    """Charges of a bill alone, until the context ends; see :func:`audited`."""
    with localcontext(prec=_DIGITS), opened(progress) as database:
        yield _ledger(database, inputs, load_catalog())


def _ledger(database: Database, inputs: Inputs, catalog: Catalog) -> Ledger:
    paths, catalogued = files_of(inputs.bill, "bill"), list(catalog.instance_types)
    ledger = read_ledger(database, paths, inputs.question, catalogued, inputs.spread)
    return replace(ledger, notes=(*ledger.notes, *ignored_files(inputs.bill, "bill")))


def _audit(database: Database, inputs: Inputs) -> Opened:
    catalog = load_catalog()
    ledger = _ledger(database, inputs, catalog)
    telemetry = _telemetry(inputs, ledger.bill) if inputs.telemetry else None
    counts = {
        place: round(machine.accelerator_count)
        for place, machine in catalog.instance_types.items()
        if machine.accelerator_count is not None and machine.accelerator_count >= 1
    }
    split = split_compute(ledger, telemetry, counts, inputs.host_names, extrapolates=inputs.extrapolates)
    tables, tag_notes = tag_tables(ledger, inputs.tags)
    if inputs.endpoint_tag:
        refuse_unknown_tag(ledger, inputs.endpoint_tag, "--endpoint-tag")
    traffic = read_traffic(database, inputs.requests, ledger.bill) if inputs.requests else None
    endpoints, endpoint_notes = endpoints_of(ledger, traffic, inputs.endpoint_tag)
    words = (*inputs.bill, *inputs.option_words)
    machines = machines_of(ledger, inputs.endpoint_tag)
    context = Context(ledger, catalog, split, endpoints, traffic, machines, words, inputs.telemetry)
    audit = Audit(
        bill=ledger.bill,
        kinds=_kinds(ledger),
        by={column: ledger.sums(column, where) for column, where in _BY.items()},
        split=split,
        tags=tables,
        endpoints=endpoints,
        traffic=traffic,
        chargeback=_chargeback(ledger, endpoints, traffic),
        findings=with_names(find_all(context), ledger, tables, inputs.endpoint_tag),
        notes=_distinct(
            ledger.notes,
            _unused_options(inputs, ledger),
            split.notes,
            tag_notes,
            traffic.notes if traffic else (),
            endpoint_notes,
        ),
        is_in_usd=ledger.bill.currency in ("USD", None),
    )
    return Opened(audit, ledger)


def _unused_options(inputs: Inputs, ledger: Ledger) -> list[str]:
    """Notes on options that change nothing here."""
    unused = sorted(set(inputs.question.rates) - set(ledger.rates) - {"USD"})
    notes = [f"--rate {currency}: the bill has no amount in {currency}" for currency in unused]
    if not inputs.telemetry:
        given = {"--hosts": bool(inputs.host_names), "--extrapolate": inputs.extrapolates}
        notes += [f"{name} changes nothing without telemetry" for name, is_given in given.items() if is_given]
    return notes


def _telemetry(inputs: Inputs, bill: Bill) -> "Telemetry":
    from advisor.audit.telemetry import read_telemetry  # noqa: PLC0415 - a bill alone needs no readers of samples

    return read_telemetry(inputs.telemetry, bill, extrapolates=inputs.extrapolates)


def _kinds(ledger: Ledger) -> dict[str, Decimal]:
    """Cost of each kind; one without charges is nothing."""
    sums = ledger.sums("kind")
    return {kind: sums.get(kind, ZERO) for kind in KINDS}


def _chargeback(ledger: Ledger, endpoints: Sequence[Endpoint], traffic: Traffic | None) -> Mapping[str, Amounts]:
    """Cost of the endpoints by team and by environment of their requests."""
    if traffic is None:
        return {}
    shares = {
        column: chargeback(ledger, endpoints, column, traffic.output_weight) for column in ("team", "environment")
    }
    return {column: amounts for column, amounts in shares.items() if any(name != UNTAGGED for name in amounts)}


def _distinct(*notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for some in notes for note in some))
