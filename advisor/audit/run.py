"""One audit: the bill, what telemetry and request logs say of it, and the findings.

Showback: the bill by owner, with what nobody is named for as a line of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, localcontext
from pathlib import Path

from advisor.audit import (
    KINDS,
    RESOURCE,
    SAVING,
    SHOWN_RESOURCES,
    UNTAGGED,
    ZERO,
    Amounts,
    Audit,
    Endpoint,
    Finding,
    TagTable,
    Traffic,
)
from advisor.audit.database import Database, Progress, opened
from advisor.audit.endpoints import chargeback, endpoints_of, machines_of, naming
from advisor.audit.files import files_of, ignored_files
from advisor.audit.findings import Context
from advisor.audit.findings.charges import charge_findings, request_findings
from advisor.audit.findings.compute import compute_findings, unpriced_machines, untold_machines
from advisor.audit.ledger import Ledger, Question, read_ledger
from advisor.audit.split import split_compute
from advisor.audit.sql import text
from advisor.audit.traffic import read_traffic
from advisor.catalog import Catalog, load_catalog
from advisor.errors import InputError
from advisor.names import nearest, normalised
from advisor.processes import Spread
from advisor.records import dataclass, field, replace
from advisor.units import counted

_USUAL = (
    "team", "environment", "env", "project", "owner", "costcenter", "application", "app", "service", "businessunit",
)  # fmt: skip
_MOST_TABLES = 3
_LEAST_SHARE = Decimal("0.01")
"""Share of the bill that a tag has to cover to be shown without being asked for."""


def tag_tables(ledger: Ledger, keys: Sequence[str]) -> tuple[list[TagTable], list[str]]:
    """Cost by each of some tags, and notes on how the tags were used.

    Without *keys*, those that usually name an owner, else the ones that cover most of the cost. Raises InputError if no
    charge has such a tag.
    """
    spellings, costs = _spellings(ledger)
    chosen = [_known(key, spellings, "--tag") for key in keys] if keys else _usual(spellings, costs, ledger.bill.cost)
    notes = [note for key in chosen for note in _notes(ledger, spellings[key])]
    return [_table(ledger, key, spellings[key]) for key in chosen], notes


def _spellings(ledger: Ledger) -> tuple[dict[str, list[str]], dict[str, Decimal]]:
    """Spellings and cost of each tag without case and punctuation, those that cover most of the cost first."""
    rows = ledger.database.rows(
        "SELECT key, sum(cost) FROM charges JOIN tags USING (tags_id) GROUP BY key ORDER BY sum(cost) DESC, key"
    )
    spellings: dict[str, list[str]] = {}
    costs: dict[str, Decimal] = {}
    for key, cost in rows:
        spellings.setdefault(_plain(key), []).append(key)
        costs[_plain(key)] = costs.get(_plain(key), ZERO) + abs(cost)
    return spellings, costs


def _plain(key: str) -> str:
    return normalised(key.rsplit("/", 1)[-1].removeprefix("user:").removeprefix("aws:eks:"))


def _known(key: str, spellings: dict[str, list[str]], where: str) -> str:
    """A tag of the bill without case and punctuation; one that no charge has is refused with those that are nearest."""
    plain = _plain(key)
    if plain in spellings:
        return plain
    names = [spelling[0] for spelling in spellings.values()]
    close = nearest(key, names) or names[:6]
    hint = f"tags of this bill: {', '.join(close)}" if close else "the bill has no tags at all"
    raise InputError(f"no charge has the tag {key!r}", where=where, hint=hint)


def _usual(spellings: dict[str, list[str]], costs: dict[str, Decimal], total: Decimal) -> list[str]:
    """Tags that usually name owners, as far as they cover anything; else those that cover most of the cost."""
    covering = [key for key in spellings if costs[key] >= _LEAST_SHARE * abs(total)]
    usual = [key for key in _USUAL if key in covering]
    return (usual or [key for key in covering if not spellings[key][0].startswith("aws:")])[:_MOST_TABLES]


def _keys(spellings: Sequence[str]) -> str:
    return ", ".join(map(text, spellings))


def _owned(spellings: Sequence[str]) -> str:
    """SQL: value of a tag by set of tags."""
    return f"(SELECT tags_id, min(value) AS value FROM tags WHERE key IN ({_keys(spellings)}) GROUP BY tags_id)"


def with_names(
    findings: Sequence[Finding], ledger: Ledger, tables: Sequence[TagTable], endpoint_tag: str | None
) -> list[Finding]:
    """Findings with what of their resources is billed under the name of a workload.

    Names are the values of *tables*, and the endpoints of :func:`advisor.audit.endpoints.endpoints_of`.
    """
    resources = sorted({resource for finding in findings for resource, _ in finding.resources})
    costs = _named_costs(ledger, resources, [table.key for table in tables], endpoint_tag) if resources else {}
    return [replace(finding, named=_named(finding, costs)) for finding in findings]


def _named(finding: Finding, costs: Mapping[str, Amounts]) -> Amounts:
    """Cost of a finding's resources by name, the dearest first; where it is part of theirs, in proportion."""
    parts: dict[str, Decimal] = {}
    for resource, cost in finding.resources:
        by_name = costs.get(resource, {})
        whole = by_name.get("", ZERO)
        for name, named_cost in by_name.items():
            if name and whole > 0 and named_cost > 0:
                parts[name] = parts.get(name, ZERO) + cost * min(named_cost / whole, Decimal(1))
    dearest = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
    return dict(dearest[:SHOWN_RESOURCES])


def _named_costs(
    ledger: Ledger, resources: Sequence[str], keys: Sequence[str], endpoint_tag: str | None
) -> dict[str, dict[str, Decimal]]:
    """Cost of some resources by name, and in all ("")."""
    spellings = _spellings(ledger)[0]
    sources = [("owned.value", _owned(spellings[_plain(key)])) for key in keys if _plain(key) in spellings]
    endpoint, named = naming(endpoint_tag)
    sources += [(endpoint.replace("named.", "owned."), named), ("''", "(SELECT NULL::BIGINT AS tags_id)")]
    wanted = f"{RESOURCE} IN ({', '.join(map(text, resources))})"
    costs: dict[str, dict[str, Decimal]] = {}
    for name, owned in sources:
        rows = ledger.database.rows(
            f"SELECT {RESOURCE} AS resource_words, {name} AS name, sum(cost) FROM charges "
            f"LEFT JOIN {owned} AS owned USING (tags_id) WHERE {wanted} AND {name} IS NOT NULL GROUP BY 1, 2"
        )
        for resource, value, cost in rows:
            by_name = costs.setdefault(resource, {})
            by_name[value] = max(by_name.get(value, cost), cost)
    return costs


def _table(ledger: Ledger, key: str, spellings: Sequence[str]) -> TagTable:
    owned = _owned(spellings)
    rows = ledger.database.rows(
        f"SELECT owned.value, sum(cost) FROM charges LEFT JOIN {owned} AS owned USING (tags_id) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    values = {value: cost for value, cost in rows if value is not None}
    untagged = next((cost for value, cost in rows if value is None), ledger.cost_of("false"))
    return TagTable(spellings[0] if spellings else key, values, untagged)


def _notes(ledger: Ledger, spellings: Sequence[str]) -> list[str]:
    notes = []
    if len(spellings) > 1:
        ways = f"{len(spellings)} ways ({', '.join(spellings)})"
        notes.append(f"the tag {spellings[0]} is written {ways}: they are one here")
    moved = ledger.database.row(
        "SELECT count(*) FROM (SELECT resource FROM charges JOIN tags USING (tags_id) "
        f"WHERE key IN ({_keys(spellings)}) AND resource IS NOT NULL "
        "GROUP BY resource HAVING count(DISTINCT value) > 1)"
    )[0]
    if moved:
        notes.append(f"{counted(moved, 'resource')} changed their {spellings[0]}: each charge counts for its own value")
    partly = ledger.database.row(
        "SELECT count(*) FROM (SELECT resource FROM charges LEFT JOIN (SELECT DISTINCT tags_id FROM tags "
        f"WHERE key IN ({_keys(spellings)})) AS owned USING (tags_id) WHERE resource IS NOT NULL "
        "GROUP BY resource HAVING count(owned.tags_id) > 0 AND count(owned.tags_id) < count(*))"
    )[0]
    if partly:
        notes.append(f"{counted(partly, 'resource')} with {spellings[0]} on part of the charges: the rest is untagged")
    return notes


_LEAST_PER_MONTH = 1
"""A finding of less than this a month, in the currency of the bill, is not worth a line."""
_BY = {"provider": "true", "region": "true", "family": "kind = 'compute'", "purchase": "true"}
"""Breakdowns of the bill, and which part of it each is of."""
_DIGITS = 60
"""Digits of every amount: more than the database's 38, so that parts of any bill are exact."""


def _find_all(context: Context) -> list[Finding]:
    """Findings, savings before spend, the greatest first."""
    findings = (*compute_findings(context), *charge_findings(context), *request_findings(context))
    notable = [finding for finding in findings if finding.high is None or finding.high >= _LEAST_PER_MONTH]
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
    """An audit, and its charges until the context ends; *progress* is told how far reading is.

    Raises InputError if a file cannot be read, or is not what it is given as.
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
    named_files = {Path(place).resolve() for place in inputs.bill}
    of_folders = [path for path in paths if path.resolve() not in named_files]
    ledger = read_ledger(database, paths, inputs.question, catalogued, inputs.spread, of_folders)
    return replace(ledger, notes=(*ledger.notes, *ignored_files(inputs.bill, "bill")))


def _audit(database: Database, inputs: Inputs) -> Opened:
    catalog = load_catalog()
    ledger = _ledger(database, inputs, catalog)
    telemetry = None
    if inputs.telemetry:
        from advisor.audit.split import read_telemetry  # noqa: PLC0415 - a bill alone needs no readers of samples

        telemetry = read_telemetry(inputs.telemetry, ledger.bill, extrapolates=inputs.extrapolates)
    counts = {
        place: round(machine.accelerator_count)
        for place, machine in catalog.instance_types.items()
        if machine.accelerator_count is not None and machine.accelerator_count >= 1
    }
    split = split_compute(ledger, telemetry, counts, inputs.host_names, extrapolates=inputs.extrapolates)
    tables, tag_notes = tag_tables(ledger, inputs.tags)
    if inputs.endpoint_tag:
        _known(inputs.endpoint_tag, _spellings(ledger)[0], "--endpoint-tag")
    traffic = read_traffic(database, inputs.requests, ledger.bill) if inputs.requests else None
    endpoints, endpoint_notes = endpoints_of(ledger, traffic, inputs.endpoint_tag)
    words = (*inputs.bill, *inputs.option_words)
    machines = machines_of(ledger, inputs.endpoint_tag)
    context = Context(ledger, catalog, split, endpoints, traffic, machines, words, inputs.telemetry)
    sums = ledger.sums("kind")
    of_traffic = traffic.notes if traffic else ()
    of_ledger = (*ledger.notes, *_unused_options(inputs, ledger))
    unpriced = (*untold_machines(context), *unpriced_machines(context))
    notes = (of_ledger, split.notes, tag_notes, of_traffic, endpoint_notes, unpriced)
    audit = Audit(
        bill=ledger.bill,
        kinds={kind: sums.get(kind, ZERO) for kind in KINDS},
        by={column: ledger.sums(column, where) for column, where in _BY.items()},
        split=split,
        tags=tables,
        endpoints=endpoints,
        traffic=traffic,
        chargeback=_chargeback(ledger, endpoints, traffic),
        findings=with_names(_find_all(context), ledger, tables, inputs.endpoint_tag),
        notes=tuple(dict.fromkeys(note for part in notes for note in part)),
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


def _chargeback(ledger: Ledger, endpoints: Sequence[Endpoint], traffic: Traffic | None) -> Mapping[str, Amounts]:
    """Cost of the endpoints by team and by environment of their requests."""
    if traffic is None:
        return {}
    shares = {}
    for column in ("team", "environment"):
        amounts = chargeback(ledger, endpoints, column, traffic.output_weight)
        if any(name != UNTAGGED for name in amounts):
            shares[column] = amounts
    return shares
