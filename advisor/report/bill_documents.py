"""An audit for programs: JSON (``advisor.audit/v1``) and back, SARIF of its findings, and the bill as FOCUS rows."""

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from advisor import __version__
from advisor.audit import (
    HOST_PARTS,
    KINDS,
    PARTS,
    RULES,
    SAVING,
    SCHEMA,
    SHOWN_RESOURCES,
    Audit,
    ComputeSplit,
    Endpoint,
    Finding,
    HostCost,
    Rule,
    Traffic,
    Usage,
    monthly,
)
from advisor.errors import InputError
from advisor.plan.plain_values import document_of, from_plain
from advisor.reading import read_text
from advisor.records import picked
from advisor.tables import csv_text

if TYPE_CHECKING:
    from advisor.audit.ledger import Ledger

_HINT = "make it again with `advisor audit BILL --format json -o audit.json`"
_COLUMNS = ("provider", "region", "family", "purchase")
_MOST = 1e18
_Entry = Mapping[str, Any]
_USE = {
    "mean": "busy_mean", "p95": "busy_p95", "host": "host", "observed_ratio": "observed_ratio",
    "accelerators": "accelerators", "verdicts": "verdicts", "kv_max": "kv_max", "seconds": "sampled_seconds",
}  # fmt: skip
"""Fields of the use of a host, and the document's names for them."""
_MACHINE = ("resource", "instance_type", "provider", "region", "cost", "observed_billed_ratio")
_PRICES = (
    "name", "cost", "cost_per_request", "cost_per_million_tokens", "cost_per_million_input_tokens",
    "cost_per_million_output_tokens", "error_cost",
)  # fmt: skip
_COUNT_FIELDS = ("name", "requests", "input_tokens", "output_tokens", "errors", "peak_ratio", "repeated_ratio")
_TOLD = (
    "id", "title", "per_month", "low", "high", "basis", "effort", "evidence", "risk", "command", "look", "machines",
)  # fmt: skip


def audit_from_json(text: str, where: str = "audit") -> Audit:
    """The audit of a JSON text. Raises InputError: no JSON, another schema version, or fields not an audit's."""
    document = document_of(text, where, SCHEMA, _HINT)
    try:
        _refuse_beyond(document)
        return typing.cast("Audit", from_plain(Audit, _audit(document)))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"it is not an audit of this version ({str(error)[:80]})", where=where, hint=_HINT) from error


def read_audit(path: Path) -> Audit:
    """The audit of a file, with findings in USD a month.

    Raises InputError if the file cannot be read, is not an audit, or has amounts in another currency or without a
    period.
    """
    audit = audit_from_json(read_text(path, "audit", _HINT), str(path))
    if not audit.is_in_usd or any(finding.per_month is None for finding in audit.findings):
        raise InputError(
            "the audit does not know its amounts in USD a month",
            where=str(path),
            hint="repeat it with --rate, such as --rate EUR=1.08, or of a bill whose rows state begin and end",
        )
    return audit


def _refuse_beyond(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse numbers that are not amounts of a bill."""
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            _refuse_beyond(entry)
    elif isinstance(value, float | int) and not abs(value) < _MOST:
        raise ValueError(f"{value:.3g} is not an amount of a bill")


def _audit(document: _Entry) -> dict[str, Any]:
    requests, findings = document["requests"], document["findings"]
    weight = 1.0 if requests is None else float(requests["output_weight"])
    bill = document["bill"]
    start, end = (None if bill[name] is None else bill[name].removesuffix("Z") for name in ("from", "until"))
    money = _some(bill, ("billed_cost", "effective_cost", "currency", "rows"))
    return {
        "bill": money | {"start": start, "end": end, "basis": bill["cost"]},
        "kinds": _some(document["kinds"], KINDS),
        "by": _some(document["by"], _COLUMNS),
        "split": {
            "parts": _some(document["compute_split"], PARTS),
            "hosts": [_host(entry) for entry in document["hosts"]],
            "notes": [],
        },
        "tags": [{"key": key, **_some(entry, ("values", "untagged"))} for key, entry in document["tags"].items()],
        "endpoints": [_endpoint_fields(entry, weight) for entry in document["endpoints"]],
        "traffic": None if requests is None else _traffic_fields(requests, weight),
        "chargeback": document["chargeback"],
        "findings": [_finding(entry) for entry in findings],
        "notes": document["notes"],
        "is_in_usd": all(entry["usd_per_month"] is not None or entry["per_month"] is None for entry in findings),
    }


def _some(entry: _Entry, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names}


def _host(entry: _Entry) -> dict[str, Any]:
    use = {ours: entry[theirs] for ours, theirs in _USE.items()}
    return _some(entry, _MACHINE) | {"parts": _some(entry, HOST_PARTS), "use": use}


def _endpoint_fields(entry: _Entry, output_weight: float) -> dict[str, Any]:
    usage = None if entry["requests"] is None else _usage_fields(entry, output_weight)
    return _some(entry, _PRICES) | {"cost_source": entry["cost_source"] or "", "usage": usage, "billed_seconds": None}


def _usage_fields(entry: _Entry, output_weight: float) -> dict[str, Any]:
    requests, prompts, answers = entry["requests"], entry["input_tokens"], entry["output_tokens"]
    hits = entry["cache_hit_ratio"]
    return _some(entry, _COUNT_FIELDS) | {
        "cache_hits": None if hits is None else round(hits * requests),
        "error_weight": None,
        "weight": requests if prompts is None or answers is None else prompts + output_weight * answers,
        "logged_cost": None,
    }


def _traffic_fields(entry: _Entry, weight: float) -> dict[str, Any]:
    teams, environments = (
        [_usage_fields(usage, weight) for usage in entry[name]] for name in ("teams", "environments")
    )
    return {
        "endpoints": [], "teams": teams, "environments": environments, "seconds": None, "output_weight": weight,
        "notes": [],
    }  # fmt: skip


def _finding(entry: _Entry) -> dict[str, Any]:
    resources = [[resource["name"], resource["cost"]] for resource in entry["resources"]]
    return (
        _some(entry, _TOLD)
        | {"why_no_action": entry["why_no_action"] or "", "resources": resources}
        | ({"named": entry["named"]} if "named" in entry else {})
    )


_UNITS = ("request", "million_tokens", "million_input_tokens", "million_output_tokens")
_COUNTS = ("requests", "input_tokens", "output_tokens", "errors")


def audit_json(audit: Audit) -> str:
    """The whole audit."""
    document = {
        "schema": SCHEMA,
        "bill": {
            **picked(audit.bill, "billed_cost", "effective_cost", "currency"),
            "from": _time(audit.bill.start),
            "until": _time(audit.bill.end),
            "rows": audit.bill.rows,
            "cost": audit.bill.basis,
        },
        **picked(audit, "kinds", "by"),
        "compute_split": audit.split.parts,
        "hosts": _hosts(audit.split),
        "endpoints": [_endpoint(endpoint) for endpoint in audit.endpoints],
        "requests": _traffic(audit.traffic),
        "tags": {table.key: picked(table, "values", "untagged") for table in audit.tags},
        "chargeback": audit.chargeback,
        "findings": [finding_entry(finding, is_in_usd=audit.is_in_usd) for finding in audit.findings],
        "notes": audit.notes,
    }
    return json_text(document)


def json_text(document: Mapping[str, Any]) -> str:
    """A document as JSON; amounts of money are numbers in it."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=float) + "\n"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat(timespec='seconds')}Z"


def _hosts(split: ComputeSplit) -> list[dict[str, Any]]:
    return [
        {
            "resource": host.resource,
            "host": host.use.host,
            "instance_type": host.instance_type,
            "cost": host.cost,
            **host.parts,
            "accelerators": host.use.accelerators,
            "busy_mean": host.use.mean,
            "busy_p95": host.use.p95,
            "observed_ratio": host.use.observed_ratio,
            "verdicts": host.use.verdicts,
            **picked(host, "provider", "region", "observed_billed_ratio"),
            "sampled_seconds": host.use.seconds,
            "kv_max": host.use.kv_max,
        }
        for host in split.hosts
    ]


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        **picked(endpoint, "name", "cost"),
        "cost_source": endpoint.cost_source or None,
        **picked(endpoint, *(f"cost_per_{unit}" for unit in _UNITS), "error_cost"),
        **_usage(endpoint.usage),
    }


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return dict.fromkeys((*_COUNTS, "error_ratio", "cache_hit_ratio", "peak_ratio", "repeated_ratio"))
    return {
        **picked(usage, *_COUNTS),
        "error_ratio": _ratio(usage.errors, usage.requests),
        "cache_hit_ratio": _ratio(usage.cache_hits, usage.requests),
        **picked(usage, "peak_ratio", "repeated_ratio"),
    }


def _ratio(part: int | None, whole: int) -> float | None:
    return part / whole if part is not None and whole else None


def _traffic(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    groups = {"teams": traffic.teams, "environments": traffic.environments}
    named = {name: [{"name": usage.name, **_usage(usage)} for usage in usages] for name, usages in groups.items()}
    return {"output_weight": traffic.output_weight, **named}


def finding_entry(finding: Finding, *, is_in_usd: bool) -> dict[str, Any]:
    """One finding; amounts are null where the bill's period is unknown, in USD also where no rate was stated.

    The interval is in the currency of the bill, as ``per_month`` is.
    """
    return {
        **picked(finding, "id", "title"),
        "usd_per_month": finding.per_month if is_in_usd else None,
        **picked(finding, "per_month", "low", "high", "basis", "effort", "evidence", "risk", "command", "look"),
        "why_no_action": finding.why_no_action or None,
        "resources": [{"name": name, "cost": cost} for name, cost in finding.resources[:SHOWN_RESOURCES]],
        **picked(finding, "machines", "named"),
    }


_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_text(rules: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> str:
    """One run of this program: its rules, and what they found."""
    driver = {"name": "advisor", "version": __version__, "rules": list(rules)}
    runs = [{"tool": {"driver": driver}, "results": list(results)}]
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": runs})


def sarif_place(path: str) -> list[dict[str, Any]]:
    """Locations of a result that is about a file as a whole."""
    return [{"physicalLocation": {"artifactLocation": {"uri": quote(path)}}}]


def audit_sarif(audit: Audit, bill: Path) -> str:
    """One run with a result for each finding."""
    return sarif_text([_rule(rule) for rule in RULES], [_result(audit, finding, bill) for finding in audit.findings])


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.title.replace("-", " ").split()),
        "shortDescription": {"text": rule.title},
        "help": {"text": f"Risk: {rule.risk}. See docs/findings.md, {rule.id}."},
        "properties": {"effort": rule.effort.value},
    }


def _commands(finding: Finding) -> str:
    """Commands, each whole on a line of its own."""
    if finding.look == finding.command:
        return f" The command only looks: {finding.why_no_action}.\nRun: {finding.command}"
    return f"\nLook first: {finding.look}\nRun: {finding.command}"


def _result(audit: Audit, finding: Finding, bill: Path) -> dict[str, Any]:
    amount = monthly(finding.per_month, audit.bill.currency)
    return {
        "ruleId": finding.id,
        "ruleIndex": next(at for at, rule in enumerate(RULES) if rule.id == finding.id),
        "level": "warning" if finding.basis == SAVING else "note",
        "message": {"text": f"{finding.title}: {amount}. {finding.evidence}.{_commands(finding)}"},
        "locations": sarif_place(bill.as_posix()),
        "properties": finding_entry(finding, is_in_usd=audit.is_in_usd),
    }


HEADER = (
    "BilledCost", "EffectiveCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory",
    "ChargeDescription", "PricingCategory", "CommitmentDiscountId", "CommitmentDiscountStatus", "ConsumedQuantity",
    "ConsumedUnit", "ProviderName", "RegionId", "ResourceId", "ResourceName", "ServiceCategory", "ServiceName",
    "SkuMeter", "SubAccountId", "Tags", "x_Kind", "x_ComputePart", "x_InstanceType",
)  # fmt: skip
_PRICING = {"on_demand": "Standard", "spot": "Dynamic", "committed": "Committed", "other": "Other"}
_CATEGORIES = {"compute": "Compute", "storage": "Storage", "network": "Networking"}
_QUANTUM = Decimal("1e-15")
_BATCH = 10_000
_QUERY = """
SELECT format, billed, effective, start_time, end_time, charge, description, purchase, commitment, unused, quantity,
unit, provider, region, resource, resource_name, category, service, meter, account, tag_sets.tags, kind, machine, cost
FROM charges LEFT JOIN tag_sets USING (tags_id) ORDER BY ALL
"""


def focus_rows(audit: Audit, ledger: "Ledger") -> Iterator[str]:
    """Lines of a CSV; costs of rows that were split sum up to that of the bill.

    Charges are summed over time: one row for each resource, meter, way of paying, set of tags and part of compute.
    """
    hosts = {host.resource: host for host in audit.split.hosts}
    yield csv_text([HEADER])
    answer = ledger.database.connection.cursor().execute(_QUERY)
    names = [column[0] for column in answer.description]
    while rows := answer.fetchmany(_BATCH):
        charges = (dict(zip(names, row, strict=True)) for row in rows)
        yield csv_text([line for charge in charges for line in _split(charge, hosts.get(charge["resource"]), audit)])


def _split(charge: Mapping[str, Any], host: HostCost | None, audit: Audit) -> list[tuple[Any, ...]]:
    """One row of a charge, or one for each part of compute."""
    if charge["kind"] != "compute":
        return [_row(charge, charge["billed"], charge["effective"], "", audit)]
    if charge["unused"] is not None:
        return [_row(charge, charge["billed"], charge["effective"], "unused_commitment", audit)]
    if host is None or not host.cost or charge["charge"] == "tax":
        return [_row(charge, charge["billed"], charge["effective"], "unattributed", audit)]
    shares = {part: amount / host.cost for part, amount in host.parts.items()}
    billed, effective = (_parts(charge[column], shares) for column in ("billed", "effective"))
    return [_row(charge, billed[part], effective[part], part, audit) for part in shares if shares[part]]


def _parts(amount: Decimal | None, shares: Mapping[str, Decimal]) -> dict[str, Decimal | None]:
    """An amount by shares, to the last digit; the last part takes what rounding leaves."""
    if amount is None:
        return dict.fromkeys(shares)
    used = [part for part in shares if shares[part]]
    parts: dict[str, Decimal | None] = {
        part: (amount * shares[part]).quantize(_QUANTUM, ROUND_HALF_EVEN) for part in used[:-1]
    }
    parts[used[-1]] = amount - sum((part for part in parts.values() if part is not None), Decimal(0))
    return parts


def _row(
    charge: Mapping[str, Any], billed: Decimal | None, effective: Decimal | None, part: str, audit: Audit
) -> tuple[Any, ...]:
    status = "Used" if charge["commitment"] and charge["unused"] != "capacity_reservation" else None
    if charge["unused"] == "commitment":
        status = "Unused"
    # The category that the bill states, or that of the kind: other formats than FOCUS have names of their own.
    stated = charge["category"] if charge["format"] == "focus" else None
    category = str(stated or _CATEGORIES.get(charge["kind"], "Other"))
    return (
        _plain(billed), _plain(effective), audit.bill.currency, _time(charge["start_time"]), _time(charge["end_time"]),
        str(charge["charge"] or "").capitalize(), charge["description"], _PRICING.get(charge["purchase"]),
        charge["commitment"], status, _plain(charge["quantity"]), charge["unit"], charge["provider"], charge["region"],
        charge["resource"], charge["resource_name"], category, charge["service"], charge["meter"],
        charge["account"], charge["tags"], charge["kind"], part, charge["machine"],
    )  # fmt: skip


def _plain(amount: Decimal | None) -> str:
    """An amount without an exponent."""
    return "" if amount is None else f"{amount:f}"
