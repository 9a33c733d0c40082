"""Cost of Terraform code: the accelerated resources of a plan, priced from the catalog.

::

    plan JSON, or a directory ─▶ sources ─▶ Resources ─▶ rules of each cloud ─▶ Uses ─▶ costs ─▶ infracost

A price or a number that is not known is None all the way, and never 0.

Costs in the shape of Infracost's JSON output, so that what reads pull requests reads ours.

The shape is that of ``schema/infracost.schema.json`` in infracost/infracost (commit 03047c9): numbers are texts in
decimals, what is not known is null.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from advisor.codegen.pricing.code import CACHES
from advisor.codegen.pricing.costs import (
    CODE,
    Breakdown,
    Component,
    Cost,
    Project,
    breakdown_of,
    decimal_text,
    monthly_of,
)
from advisor.codegen.pricing.sources import read_projects

_VERSION = "0.2"
LEFT = ", which is no longer a root of the code and costs this until it is destroyed"
"""End of the name of such a project."""
EDITED = "edited or added since it was generated"
"""Beginning of the words on code that is not read here."""
REMEDY = "terraform plan -out=tfplan && terraform show -json tfplan | advisor price -"
"""Command that tells its cost."""


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
        "hourlyCost": decimal_text(hourly),
        "monthlyCost": decimal_text(monthly_of(hourly)),
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "unit": "hours",
        "hourlyQuantity": decimal_text(component.number),
        "monthlyQuantity": decimal_text(monthly_of(component.number)),
        "price": decimal_text(component.usd_per_hour),
        "hourlyCost": decimal_text(component.hourly),
        "monthlyCost": decimal_text(component.monthly),
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
    return {f"{prefix}HourlyCost": decimal_text(hourly), f"{prefix}MonthlyCost": decimal_text(monthly_of(hourly))}


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    amounts = [value for value in values if value is not None]
    return sum(amounts, Decimal(0)) if amounts else None


__all__ = [
    "CACHES",
    "CODE",
    "EDITED",
    "LEFT",
    "REMEDY",
    "Breakdown",
    "Project",
    "breakdown_of",
    "infracost_document",
    "read_projects",
]
