"""An audit as JSON (``advisor.audit/v1``): amounts unrounded, so that parts sum up to their total."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from advisor.audit.values import (
    SCHEMA,
    SHOWN_RESOURCES,
    Audit,
    Bill,
    ComputeSplit,
    Endpoint,
    Finding,
    TagTable,
    Traffic,
    Usage,
)
from advisor.entries import picked

_UNITS = ("request", "million_tokens", "million_input_tokens", "million_output_tokens")
_COUNTS = ("requests", "input_tokens", "output_tokens", "errors")


def audit_json(audit: Audit) -> str:
    """The whole audit."""
    document = {
        "schema": SCHEMA,
        "bill": _bill(audit.bill),
        "kinds": _amounts(audit.kinds),
        "by": {column: _amounts(amounts) for column, amounts in audit.by.items()},
        "compute_split": _amounts(audit.split.parts),
        "hosts": _hosts(audit.split),
        "endpoints": [_endpoint(endpoint) for endpoint in audit.endpoints],
        "requests": _traffic(audit.traffic),
        "tags": {table.key: _tags(table) for table in audit.tags},
        "chargeback": {column: _amounts(amounts) for column, amounts in audit.chargeback.items()},
        "findings": [finding_entry(finding, is_in_usd=audit.is_in_usd) for finding in audit.findings],
        "notes": list(audit.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _amounts(amounts: Mapping[str, Decimal]) -> dict[str, float]:
    return {name: float(amount) for name, amount in amounts.items()}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat(timespec='seconds')}Z"


def _bill(bill: Bill) -> dict[str, Any]:
    return {
        "billed_cost": _number(bill.billed_cost),
        "effective_cost": _number(bill.effective_cost),
        "currency": bill.currency,
        "from": _time(bill.start),
        "until": _time(bill.end),
        "rows": bill.rows,
        "cost": bill.basis.value,
    }


def _hosts(split: ComputeSplit) -> list[dict[str, Any]]:
    return [
        {
            "resource": host.resource,
            "host": host.use.host,
            "instance_type": host.instance_type,
            "cost": float(host.cost),
            **_amounts(host.parts),
            "accelerators": host.use.accelerators,
            "busy_mean": host.use.mean,
            "busy_p95": host.use.p95,
            "observed_ratio": host.use.observed_ratio,
            "verdicts": list(host.use.verdicts),
            **picked(host, "provider", "region", "observed_billed_ratio"),
            "sampled_seconds": list(host.use.seconds),
            "kv_max": host.use.kv_max,
        }
        for host in split.hosts
    ]


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    amounts = picked(endpoint, *(f"cost_per_{unit}" for unit in _UNITS), "error_cost")
    return {
        "name": endpoint.name,
        "cost": _number(endpoint.cost),
        "cost_source": endpoint.cost_source or None,
        **{name: _number(amount) for name, amount in amounts.items()},
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
    return {
        "output_weight": traffic.output_weight,
        "teams": _usages(traffic.teams),
        "environments": _usages(traffic.environments),
    }


def _usages(usages: Sequence[Usage]) -> list[dict[str, Any]]:
    return [{"name": usage.name, **_usage(usage)} for usage in usages]


def _tags(table: TagTable) -> dict[str, Any]:
    return {"values": _amounts(table.values), "untagged": float(table.untagged)}


def finding_entry(finding: Finding, *, is_in_usd: bool) -> dict[str, Any]:
    """One finding; amounts are null where the bill's period is unknown, in USD also where no rate was stated.

    The interval is in the currency of the bill, as ``per_month`` is.
    """
    amounts = picked(finding, "per_month", "low", "high")
    return {
        "id": finding.id,
        "title": finding.title,
        "usd_per_month": _number(finding.per_month) if is_in_usd else None,
        **{name: _number(amount) for name, amount in amounts.items()},
        "basis": finding.basis,
        "effort": finding.effort.value,
        **picked(finding, "evidence", "risk", "command", "look"),
        "why_no_action": finding.why_no_action or None,
        "resources": [{"name": name, "cost": float(cost)} for name, cost in finding.resources[:SHOWN_RESOURCES]],
        "machines": list(finding.machines),
    }
