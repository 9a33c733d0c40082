"""An audit read back from its JSON, whose numbers are floats: to 17 digits those that were written."""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.audit.values import HOST_PARTS, KINDS, PARTS, SCHEMA, Audit
from advisor.errors import InputError
from advisor.plan.plain_values import from_plain
from advisor.reading import json_of, read_text

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
_COUNTS = ("name", "requests", "input_tokens", "output_tokens", "errors", "peak_ratio", "repeated_ratio")
_TOLD = (
    "id", "title", "per_month", "low", "high", "basis", "effort", "evidence", "risk", "command", "look", "machines",
)  # fmt: skip


def audit_from_json(text: str, where: str = "audit") -> Audit:
    """The audit of a JSON text.

    Raises:
        InputError: no JSON, another schema version, or fields that are no audit's.
    """
    document = json_of(text, where, _HINT)
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise InputError(f"the schema is {schema!r}, and this version reads {SCHEMA}", where=where, hint=_HINT)
    try:
        _refuse_beyond(document)
        return typing.cast("Audit", from_plain(Audit, _audit(document)))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"it is no audit of this version ({str(error)[:80]})", where=where, hint=_HINT) from error


def read_audit(path: Path) -> Audit:
    """The audit of a file, with findings in USD a month.

    Raises:
        InputError: the file cannot be read, is no audit, or has amounts in another currency or without a period.
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
    """Refuse numbers that are no amounts of a bill.

    Raises:
        ValueError: one has more than 18 digits before its point.
    """
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            _refuse_beyond(entry)
    elif isinstance(value, float | int) and not abs(value) < _MOST:
        raise ValueError(f"{value:.3g} is no number of a bill")


def _audit(document: _Entry) -> dict[str, Any]:
    """Fields of an audit by those of its document."""
    requests, findings = document["requests"], document["findings"]
    weight = 1.0 if requests is None else float(requests["output_weight"])
    return {
        "bill": _bill(document["bill"]),
        "kinds": _some(document["kinds"], KINDS),
        "by": _some(document["by"], _COLUMNS),
        "split": {
            "parts": _some(document["compute_split"], PARTS),
            "hosts": [_host(entry) for entry in document["hosts"]],
            "notes": [],
        },
        "tags": [{"key": key, **_some(entry, ("values", "untagged"))} for key, entry in document["tags"].items()],
        "endpoints": [_endpoint(entry, weight) for entry in document["endpoints"]],
        "traffic": None if requests is None else _traffic(requests, weight),
        "chargeback": document["chargeback"],
        "findings": [_finding(entry) for entry in findings],
        "notes": document["notes"],
        "is_in_usd": all(entry["usd_per_month"] is not None or entry["per_month"] is None for entry in findings),
    }


def _some(entry: _Entry, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry[name] for name in names}


def _bill(entry: _Entry) -> dict[str, Any]:
    start, end = (None if entry[name] is None else entry[name].removesuffix("Z") for name in ("from", "until"))
    money = _some(entry, ("billed_cost", "effective_cost", "currency", "rows"))
    return money | {"start": start, "end": end, "basis": entry["cost"]}


def _host(entry: _Entry) -> dict[str, Any]:
    use = {ours: entry[theirs] for ours, theirs in _USE.items()}
    return _some(entry, _MACHINE) | {"parts": _some(entry, HOST_PARTS), "use": use}


def _endpoint(entry: _Entry, output_weight: float) -> dict[str, Any]:
    usage = None if entry["requests"] is None else _usage(entry, output_weight)
    return _some(entry, _PRICES) | {"cost_source": entry["cost_source"] or "", "usage": usage, "billed_seconds": None}


def _usage(entry: _Entry, output_weight: float) -> dict[str, Any]:
    requests, prompts, answers = entry["requests"], entry["input_tokens"], entry["output_tokens"]
    hits = entry["cache_hit_ratio"]
    return _some(entry, _COUNTS) | {
        "cache_hits": None if hits is None else round(hits * requests),
        "error_weight": None,
        "weight": requests if prompts is None or answers is None else prompts + output_weight * answers,
        "logged_cost": None,
    }


def _traffic(entry: _Entry, weight: float) -> dict[str, Any]:
    teams, environments = ([_usage(usage, weight) for usage in entry[name]] for name in ("teams", "environments"))
    return {
        "endpoints": [], "teams": teams, "environments": environments, "seconds": None, "output_weight": weight,
        "notes": [],
    }  # fmt: skip


def _finding(entry: _Entry) -> dict[str, Any]:
    resources = [[resource["name"], resource["cost"]] for resource in entry["resources"]]
    return _some(entry, _TOLD) | {"why_no_action": entry["why_no_action"] or "", "resources": resources}
