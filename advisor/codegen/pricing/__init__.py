"""Cost of Terraform code: the accelerated resources of a plan, priced from the catalog.

::

    plan JSON, or a directory ─▶ sources ─▶ Resources ─▶ rules of each cloud ─▶ Uses ─▶ costs ─▶ infracost | table

A price or a number that is not known is None all the way, and never 0.

Costs for people, and in the shape of Infracost's JSON output, so that what reads pull requests reads ours.

The shape is that of ``schema/infracost.schema.json`` in infracost/infracost (commit 03047c9): numbers are texts in
decimals, what is not known is null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from advisor.codegen.pricing.costs import Breakdown, Component, Cost, Project, breakdown_of, counted
from advisor.codegen.pricing.sources import CACHES, read_projects
from advisor.units import HOURS_PER_MONTH

_HEADS = ("resource", "what", "number", "USD/hour each", "USD/month")


def price_table(project: Project) -> str:
    """The costs of a project as text."""
    now = project.now
    rows = [_HEADS, *(row for cost in now.costs for row in _rows(cost))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([f"{project.name}:", "", *lines, "", *_total_lines(project), *_left_out(now)]) + "\n"


def _rows(cost: Cost) -> Iterator[tuple[str, ...]]:
    for number, component in enumerate(cost.components):
        yield (cost.resource.address if number == 0 else "", *_cells(component))


def _cells(component: Component) -> tuple[str, ...]:
    number = "unknown" if component.number is None else f"{component.number.normalize() + 0:f}"
    price = "unknown" if component.usd_per_hour is None else f"{component.usd_per_hour:,.4f}"
    return component.name, number, price, _money(component.monthly)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Text to the left, numbers to the right."""
    cells = [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _total_lines(project: Project) -> Iterator[str]:
    monthly = _month(project.now)
    yield f"total of what is known: {_money(monthly)} USD a month of {HOURS_PER_MONTH} hours"
    before = _month(project.before)
    if project.before.costs and monthly is not None and before is not None:
        yield f"before: {_money(before)} USD, a change of {monthly - before:+,.2f} USD"


def _left_out(breakdown: Breakdown) -> Iterator[str]:
    if breakdown.unknown:
        yield f"not known, and not in the total: {', '.join(breakdown.unknown)}"
    if breakdown.unsupported:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(breakdown.unsupported.items()))
        yield f"not priced here: {kinds}"


def _month(breakdown: Breakdown) -> Decimal | None:
    return None if breakdown.hourly is None else breakdown.hourly * Decimal(HOURS_PER_MONTH)


def _money(value: Decimal | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


_VERSION = "0.2"
_HOURS = Decimal(HOURS_PER_MONTH)


def infracost_document(projects: Sequence[Project], when: datetime) -> dict[str, Any]:
    """The document for some projects; *when* it was made, with its time zone."""
    now = _sum(project.now.hourly for project in projects)
    before = _sum(project.before.hourly for project in projects)
    difference = None if now is None or before is None else now - before
    return {
        "version": _VERSION,
        "currency": "USD",
        "projects": [_project(project) for project in projects],
        **_totals("total", now),
        **_totals("pastTotal", before),
        **_totals("diffTotal", difference),
        "timeGenerated": when.isoformat(timespec="seconds"),
        "summary": _summary([project.now for project in projects]),
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "metadata": {"path": project.path, "type": project.kind},
        "pastBreakdown": _breakdown(project.before),
        "breakdown": _breakdown(project.now),
        "diff": _difference(project),
        "summary": _summary([project.now]),
    }


def _breakdown(breakdown: Breakdown) -> dict[str, Any]:
    return {"resources": [_resource(cost) for cost in breakdown.costs], **_totals("total", breakdown.hourly)}


def _resource(cost: Cost) -> dict[str, Any]:
    return {
        "name": cost.resource.address,
        "tags": dict(cost.resource.tags),
        "metadata": {},
        "hourlyCost": _text(cost.hourly),
        "monthlyCost": _monthly(cost.hourly),
        "costComponents": [_component(component) for component in cost.components],
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "unit": "hours",
        "hourlyQuantity": _text(component.number),
        "monthlyQuantity": _monthly(component.number),
        "price": _text(component.usd_per_hour),
        "hourlyCost": _text(component.hourly),
        "monthlyCost": _text(component.monthly),
    }


def _difference(project: Project) -> dict[str, Any]:
    """The resources whose cost changes, with what is added to it; what is gone is subtracted."""
    now = {cost.resource.address: cost for cost in project.now.costs}
    before = {cost.resource.address: cost for cost in project.before.costs}
    resources = [
        _changed(shown, _hourly(now.get(address)), _hourly(before.get(address)))
        for address, shown in (before | now).items()
        if address not in now or address not in before or now[address].components != before[address].components
    ]
    sums = (project.now.hourly, project.before.hourly)
    return {
        "resources": resources,
        **_totals("total", None if sums[0] is None or sums[1] is None else sums[0] - sums[1]),
    }


def _hourly(cost: Cost | None) -> Decimal | None:
    """Hourly cost; of a resource that is not there: nothing."""
    return Decimal(0) if cost is None else cost.hourly


def _changed(cost: Cost, now: Decimal | None, before: Decimal | None) -> dict[str, Any]:
    difference = None if now is None or before is None else now - before
    return {
        "name": cost.resource.address,
        "tags": dict(cost.resource.tags),
        "metadata": {},
        "hourlyCost": _text(difference),
        "monthlyCost": _monthly(difference),
    }


def _summary(breakdowns: Sequence[Breakdown]) -> dict[str, Any]:
    supported = counted(cost.resource.kind for breakdown in breakdowns for cost in breakdown.costs)
    free = _added([breakdown.free for breakdown in breakdowns])
    unsupported = _added([breakdown.unsupported for breakdown in breakdowns])
    by_use = sum(
        any(part.number is None for part in cost.components) for breakdown in breakdowns for cost in breakdown.costs
    )
    return {
        "totalDetectedResources": sum((*supported.values(), *free.values(), *unsupported.values())),
        "totalSupportedResources": sum(supported.values()),
        "totalUnsupportedResources": sum(unsupported.values()),
        "totalUsageBasedResources": by_use,
        "totalNoPriceResources": sum(free.values()),
        "supportedResourceCounts": supported,
        "unsupportedResourceCounts": unsupported,
        "noPriceResourceCounts": free,
    }


def _added(counts: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    return counted(kind for count in counts for kind, number in count.items() for _ in range(number))


def _totals(prefix: str, hourly: Decimal | None) -> dict[str, str | None]:
    return {f"{prefix}HourlyCost": _text(hourly), f"{prefix}MonthlyCost": _monthly(hourly)}


def _monthly(hourly: Decimal | None) -> str | None:
    return _text(None if hourly is None else hourly * _HOURS)


def _text(value: Decimal | None) -> str | None:
    """Without an exponent and without zeros at the end."""
    return None if value is None else f"{value.normalize() + 0:f}"


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    amounts = [value for value in values if value is not None]
    return sum(amounts, Decimal(0)) if amounts else None


__all__ = ["CACHES", "Breakdown", "Project", "breakdown_of", "infracost_document", "price_table", "read_projects"]
