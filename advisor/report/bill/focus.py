"""The bill as FOCUS rows with what was found out of it: its kind, and the part of compute that it is."""

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from advisor.audit.ledger import Ledger
from advisor.audit.values import Audit, HostCost
from advisor.tables import csv_text

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


def focus_rows(audit: Audit, ledger: Ledger) -> Iterator[str]:
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


def _time(moment: Any) -> str:  # noqa: ANN401 - a datetime or None
    return "" if moment is None else f"{moment.isoformat(timespec='seconds')}Z"
