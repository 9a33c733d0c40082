"""Cost of Terraform code: the accelerated resources of a plan, priced from the catalog.

::

    plan JSON, or a directory ─▶ sources ─▶ Resources ─▶ rules of each cloud ─▶ Uses ─▶ costs ─▶ infracost | table

A price or a number that is not known is None all the way, and never 0.

Costs for people, and in the shape of Infracost's JSON output, so that what reads pull requests reads ours.

The shape is that of ``schema/infracost.schema.json`` in infracost/infracost (commit 03047c9): numbers are texts in
decimals, what is not known is null.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from advisor.codegen.pricing.costs import (
    CODE,
    Breakdown,
    Component,
    Cost,
    GroupHours,
    NoHours,
    Project,
    breakdown_of,
    monthly_of,
)
from advisor.codegen.pricing.sources import CACHES, read_projects
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK

_VERSION = "0.2"
LEFT = ", which is no longer a root of the code and costs this until it is destroyed"
"""End of the name of such a project."""
REMEDY = "price what Terraform plans: terraform plan -out=tfplan && terraform show -json tfplan | advisor price -"
"""Command that tells the cost of code that is not read here."""
_HEADS = ("resource", "what", "number", "USD/hour each", "USD/month")
_BY_HOURS = "by its hours"


def price_table(project: Project) -> str:
    """The costs of a project as text."""
    hours = _hours_of(project)
    heads = (*_HEADS, _BY_HOURS) if hours else _HEADS
    rows = [heads, *(row[: len(heads)] for cost in project.now.costs for row in _rows(cost, hours))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [_line(row, widths) for row in rows]
    head = f"{project.name}{LEFT if project.is_left else ''}:"
    return "\n".join([head, "", *lines, "", *_total_lines(project)]) + "\n"


def _hours_of(project: Project) -> tuple[GroupHours, ...]:
    """Hours of the groups of a project; none where they are not known."""
    return () if isinstance(project.hours, NoHours) else project.hours


def _rows(cost: Cost, hours: Sequence[GroupHours]) -> Iterator[tuple[str, ...]]:
    planned = next((_money(group.monthly) for group in hours if group.is_of(cost.resource.address)), "")
    for at, component in enumerate(cost.components):
        price = "unknown" if component.usd_per_hour is None else f"{component.usd_per_hour:,.4f}"
        address, by_hours = ("", "") if at else (cost.resource.address, planned)
        yield address, component.name, _text(component.number) or "unknown", price, _money(component.monthly), by_hours


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Text to the left, numbers to the right."""
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()


def _total_lines(project: Project) -> Iterator[str]:
    now, before = project.now, project.before
    hours = _hours_of(project)
    by_hours = f"; {_money(_scheduled_monthly(now, hours))} by the hours of its plan" if hours else ""
    without = " (without the edits below)" if project.not_read else ""
    yield f"total of what is known{without}: {_money(now.monthly)} USD a month of {HOURS_PER_MONTH} hours{by_hours}"
    if before.costs and now.monthly is not None and before.monthly is not None:
        yield f"before: {_money(before.monthly)} USD, a change of {now.monthly - before.monthly:+,.2f} USD"
    if project.is_generated and (project.kind == CODE or hours or project.scaling):
        yield "instances of the busiest hours, the fewest nodes of a pool, on demand or spot: schedules and commitments"
        yield "count in the plan alone"
    yield from _hour_lines(project)
    if now.unknown:
        yield f"not known, and not in the total: {', '.join(now.unknown)}"
    if project.not_read:
        yield f"edited or added since it was generated, and not in the total: {', '.join(project.not_read)}"
        yield REMEDY
    if now.unsupported:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(now.unsupported.items()))
        yield f"not priced here: {kinds}"


def _hour_lines(project: Project) -> Iterator[str]:
    """Running hours that the plan of generated code counts, or why they are not known."""
    if isinstance(project.hours, NoHours):
        machines = [component for cost in project.now.costs for component in cost.components]
        if project.is_generated and any(component.number == 0 for component in machines):
            yield "0 is the fewest nodes of a pool: the hours in which they run are in the plan (fleet.cost) alone"
        if project.scaling:
            kinds = ", ".join(f"{number} {kind}" for kind, number in project.scaling.items())
            yield f"numbers may change ({kinds}), in hours that are not known:"
            yield project.hours
        return
    yield "hours of the plan, with starts and stops, as its schedules beside the code have them (.advisor):"
    for hours in project.hours:
        if hours.is_edited:
            yield f"  {hours.group}: unknown, since its code is no longer what was generated"
            continue
        mean = hours.instance_hours_per_week / HOURS_PER_WEEK
        yield (
            f"  {hours.group}: in use {hours.running_hours_per_week:,.2f} hours a week, "
            f"{hours.instance_hours_per_week:,.2f} instance-hours paid for ({mean:.3g} instances on average), "
            f"{_money(hours.monthly)} USD a month"
        )


def _scheduled_monthly(now: Breakdown, planned: Sequence[GroupHours]) -> Decimal | None:
    """USD a month of groups by the hours of their plan, and of what the breakdown has beside them.

    None where the price of a group is not known.
    """
    amounts = [hours.monthly for hours in planned]
    beside = [
        monthly_of(cost.hourly)
        for cost in now.costs
        if cost.hourly is not None and not any(group.is_of(cost.resource.address) for group in planned)
    ]
    known_amounts = [amount for amount in (*amounts, *beside) if amount is not None]
    return sum(known_amounts, Decimal(0)) if None not in amounts else None


def _money(value: Decimal | None) -> str:
    # Half a cent goes where the sums of a plan let it go.
    return "unknown" if value is None else f"{round(float(value), 2):,.2f}"


def infracost_document(projects: Sequence[Project], when: datetime) -> dict[str, Any]:
    """The document for some projects; *when* it was made, with its time zone."""
    now = _sum(project.now.hourly for project in projects)
    before = _sum(project.before.hourly for project in projects)
    return {
        "version": _VERSION,
        "currency": "USD",
        "projects": [_project(project) for project in projects],
        **_totals("total", now),
        **_totals("pastTotal", before),
        **_totals("diffTotal", _change(now, before)),
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
    resources = [
        {**_charge(cost, cost.hourly), "costComponents": [_component(component) for component in cost.components]}
        for cost in breakdown.costs
    ]
    return {"resources": resources, **_totals("total", breakdown.hourly)}


def _charge(cost: Cost, hourly: Decimal | None) -> dict[str, Any]:
    return {
        "name": cost.resource.address,
        "tags": dict(cost.resource.tags),
        "metadata": {},
        "hourlyCost": _text(hourly),
        "monthlyCost": _text(monthly_of(hourly)),
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "unit": "hours",
        "hourlyQuantity": _text(component.number),
        "monthlyQuantity": _text(monthly_of(component.number)),
        "price": _text(component.usd_per_hour),
        "hourlyCost": _text(component.hourly),
        "monthlyCost": _text(component.monthly),
    }


def _difference(project: Project) -> dict[str, Any]:
    """The resources whose cost changes, with what is added to it; what is gone is subtracted."""
    now = {cost.resource.address: cost for cost in project.now.costs}
    before = {cost.resource.address: cost for cost in project.before.costs}
    resources = []
    for address, cost in (before | now).items():
        new, former = now.get(address), before.get(address)
        if new is None or former is None or new.components != former.components:
            hourly = [Decimal(0) if each is None else each.hourly for each in (new, former)]
            resources.append(_charge(cost, _change(*hourly)))
    return {"resources": resources, **_totals("total", _change(project.now.hourly, project.before.hourly))}


def _change(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if now is None or before is None else now - before


def _summary(breakdowns: Sequence[Breakdown]) -> dict[str, Any]:
    costs = [cost for breakdown in breakdowns for cost in breakdown.costs]
    supported = Counter(cost.resource.kind for cost in costs)
    free, unsupported = Counter[str](), Counter[str]()
    for breakdown in breakdowns:
        free.update(breakdown.free)
        unsupported.update(breakdown.unsupported)
    return {
        "totalDetectedResources": supported.total() + free.total() + unsupported.total(),
        "totalSupportedResources": supported.total(),
        "totalUnsupportedResources": unsupported.total(),
        "totalUsageBasedResources": sum(any(part.number is None for part in cost.components) for cost in costs),
        "totalNoPriceResources": free.total(),
        "supportedResourceCounts": dict(sorted(supported.items())),
        "unsupportedResourceCounts": dict(sorted(unsupported.items())),
        "noPriceResourceCounts": dict(sorted(free.items())),
    }


def _totals(prefix: str, hourly: Decimal | None) -> dict[str, str | None]:
    return {f"{prefix}HourlyCost": _text(hourly), f"{prefix}MonthlyCost": _text(monthly_of(hourly))}


def _text(value: Decimal | None) -> str | None:
    """Without an exponent and without zeros at the end."""
    return None if value is None else f"{value.normalize() + 0:f}"


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    amounts = [value for value in values if value is not None]
    return sum(amounts, Decimal(0)) if amounts else None


__all__ = [
    "CACHES",
    "CODE",
    "LEFT",
    "REMEDY",
    "Breakdown",
    "Project",
    "breakdown_of",
    "infracost_document",
    "price_table",
    "read_projects",
]
