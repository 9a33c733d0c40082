"""Costs for people: a line for each part of each resource, the total, and what is not in it."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from advisor.codegen.pricing.costs import Breakdown, Component, Cost, Project
from advisor.units import HOURS_PER_MONTH

_HEADS = ("resource", "what", "number", "USD/hour each", "USD/month")


def price_table(project: Project) -> str:
    """The costs of a project as text."""
    now = project.now
    rows = [_HEADS, *(row for cost in now.costs for row in _rows(cost))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([f"{project.name}:", "", *lines, "", *_totals(project), *_left_out(now)]) + "\n"


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


def _totals(project: Project) -> Iterator[str]:
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
