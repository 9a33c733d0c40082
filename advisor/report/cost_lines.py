"""Lines of a plan's cost, for people and as rows of FOCUS 1.2."""

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from advisor.cost import FLEET_LEAVES_OUT
from advisor.cost.standing import CLOUDS
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.fleet.costs import CostKind, CostLine
from advisor.report.text_table import Column, Section
from advisor.tables import csv_text, read_rows
from advisor.units import A_CENT, HOURS_PER_MONTH, usd

_ROWS = {row["item"]: row for row in read_rows(Path(__file__).with_name("cost_items.csv"))}
"""Items of a plan's cost: in words, and the service category of FOCUS where it is another than that of their kind."""
_ITEMS = {item: row["words"] for item, row in _ROWS.items()}
COST_COLUMNS = (
    Column("kind", importance=1),
    Column("what"),
    Column("of"),
    Column("quantity"),
    Column("unit", importance=2),
    Column("USD/unit"),
    Column("USD/month"),
    Column("price", importance=3),
)
_FOCUS = (
    "BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "BillingCurrency", "BillingAccountId",
    "BillingAccountName", "InvoiceId", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
    "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ConsumedQuantity", "ConsumedUnit",
    "ContractedUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "InvoiceIssuerName", "RegionId", "ResourceName", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceDetails",
    "Tags", "x_Kind", "x_PriceSource", "x_PriceAsOf", "x_PriceQuality",
)  # fmt: skip
_ACCOUNT = "plan"
"""FOCUS wants an account in each row; a plan is billed to none."""
_CATEGORIES = {
    CostKind.COMPUTE: "Compute",
    CostKind.STORAGE: "Storage",
    CostKind.NETWORK: "Networking",
    CostKind.MANAGED: "AI and Machine Learning",
}
_ITEM_CATEGORIES = {item: row["category"] for item, row in _ROWS.items() if row["category"]}
"""Service categories of FOCUS, which `advisor audit` takes for the same kind as the line's."""
_SERVICES = {
    CostKind.COMPUTE: "Virtual machines",
    CostKind.STORAGE: "Block storage",
    CostKind.NETWORK: "Network",
    CostKind.MANAGED: "Managed services",
}
_PRICING = {"spot": "Dynamic", "commitment": "Committed", "on_demand": "Standard", "owned": "Committed"}


def cost_section(fleet: Fleet, beside_total: Sequence[str] = ()) -> Section:
    """Every line of a fleet's cost, the sum by kind, and what no total holds."""
    lines = fleet.cost_lines
    beside = [line for line in lines if not line.in_total]
    by_kind = {kind: [line for line in lines if line.in_total and line.kind == kind] for kind in CostKind}
    told = [f"{kind}: {_kind_words(own, fleet)}" for kind, own in by_kind.items() if own]
    if beside:
        told.append(f"beside the total (*): {usd(_sum(beside))}")
    unpriced = [_ITEMS.get(line.item, line.item) for line in lines if line.usd_per_month is None]
    if unpriced:
        told.append(f"not in the total, since no price is known: {', '.join(unpriced)}")
    told.append(f"without {FLEET_LEAVES_OUT}")
    title = f"{usd(fleet.cost.total_usd_per_month)} a month is the sum of these lines"
    return Section(title, (*told, *_assumed(fleet), *beside_total), COST_COLUMNS, tuple(map(cost_row, lines)))


def _kind_words(lines: Sequence[CostLine], fleet: Fleet) -> str:
    """Sum of the lines of a kind; of compute that of the machines, as everywhere, and what interruptions add to it."""
    total, machines = _sum(lines), fleet.cost.compute_usd_per_month
    more = total - machines
    if lines[0].kind != CostKind.COMPUTE or more < A_CENT / 2:
        return usd(total)
    items = dict.fromkeys(_ITEMS.get(line.item, line.item) for line in lines if line.item != "instance")
    return f"{usd(machines)}, and {usd(more)} of {' and '.join(items)}"


def _assumed(fleet: Fleet) -> Iterator[str]:
    """Meaning of units of lines, and what is assumed of them, once for each item."""
    words = dict.fromkeys((line.item, line.in_total, line.assumes) for line in fleet.cost_lines if line.assumes)
    for item, in_total, assumes in words:
        yield f"{_ITEMS.get(item, item)}{'' if in_total else ' *'}: {assumes}"
    for provider in sorted({group.provider for group in fleet.groups} - set(CLOUDS)):
        yield f"not in the total: what {provider} charges beside machines, of which no price is known"


def focus_of(fleet: Fleet, start: dt.date, name: str, tags: Mapping[str, str]) -> str:
    """The lines of the total as a CSV with the mandatory columns of FOCUS 1.2: an average month of the plan.

    *start*: first day of the month; charges and their billing period are its 730 hours. *name*: of the workload, in
    place of an account's.
    """
    begin = dt.datetime.combine(start, dt.time())
    period = tuple(f"{at.isoformat()}Z" for at in (begin, begin + dt.timedelta(hours=HOURS_PER_MONTH)))
    groups = {group.name: group for group in fleet.groups}
    rows = (
        _focus_row(line, (_ACCOUNT, name, "", *period, *period), groups.get(line.place), json.dumps(dict(tags)))
        for line in fleet.cost_lines
        if line.in_total and line.usd_per_month is not None
    )
    return csv_text((_FOCUS, *rows))


def _sum(lines: Sequence[CostLine]) -> float:
    return math.fsum(line.usd_per_month or 0.0 for line in lines)


def cost_row(line: CostLine) -> tuple[str, ...]:
    """Cells of a line, under :data:`COST_COLUMNS`."""
    _, region, *rest = line.place.split("/")
    # Of a group's name the type as it is sold, and how it is paid for in words.
    short_place = " ".join((rest[0], *(paid.replace("_", " ") for paid in rest[1:][-1:]))) if rest else region
    return (
        str(line.kind),
        _ITEMS.get(line.item, line.item) + ("" if line.in_total else " *"),
        short_place,
        f"{line.quantity:,.6g}" if line.quantity < 1e6 else f"{line.quantity:,.0f}",
        line.unit,
        "?" if line.usd_per_unit is None else f"{line.usd_per_unit:.6g}",
        "?" if line.usd_per_month is None else f"{line.usd_per_month:,.2f}",
        " ".join(filter(None, (line.price_quality, line.price_as_of))) or line.price_source,
    )


def _focus_row(
    line: CostLine, billed: Sequence[str], group: FleetGroup | None, tags: str
) -> tuple[object, ...]:  # fmt: skip
    provider, region, *_ = line.place.split("/")
    kind = CostKind(line.kind)
    # Machines have the price of their market; disks and networks have one price in each.
    purchase = line.place.rpartition("/")[2] if line.item == "instance" else ""
    return (
        *(line.usd_per_month,) * 4, "USD", *billed, "Usage", "", _ITEMS.get(line.item, line.item),
        line.quantity, line.unit, line.usd_per_unit, _PRICING.get(purchase, "Standard"), line.quantity, line.unit,
        *(provider,) * 3, region, line.place, _ITEM_CATEGORIES.get(line.item, _CATEGORIES[kind]), _SERVICES[kind],
        *_sku(line, group), tags, str(kind), line.price_source, line.price_as_of, line.price_quality,
    )  # fmt: skip


def _sku(line: CostLine, group: FleetGroup | None) -> tuple[str, str]:
    """SkuId and SkuPriceDetails of instances; none of what is not a machine."""
    if group is None or line.item != "instance":
        return "", ""
    details = {"InstanceType": group.instance_type, "GpuCount": group.accelerator_count}
    return group.instance_type, json.dumps(details)
