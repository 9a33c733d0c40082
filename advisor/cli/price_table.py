"""Costs of code as a table for people."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from advisor.codegen.pricing import CODE, EDITED, LEFT, REMEDY, Project
from advisor.codegen.pricing.costs import Breakdown, Cost, GroupHours, NoHours, decimal_text, monthly_of
from advisor.report.text_table import GAP, wrap
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK

_HEADS = ("resource", "what", "number", "USD/hour each", "USD/month")
_BY_HOURS = "by its hours"
_INDENT = "  "
_LEAST = 20
"""Characters that what is paid for keeps beside its numbers."""


def price_table(project: Project, width: int | None = None) -> str:
    """The costs of a project as text in lines of a width; None: as wide as they get."""
    hours = _hours_of(project)
    heads = (*_HEADS, _BY_HOURS) if hours else _HEADS
    rows = [heads, *(row[: len(heads)] for cost in project.now.costs for row in _rows(cost, hours))]
    head = wrap(f"{project.name}{LEFT if project.is_left else ''}:", width)
    lines = [line for first, rest, text in _sentences(project) for line in wrap(text, width, first, rest)]
    return "\n".join([*head, "", *_table(rows, width), "", *lines]) + "\n"


def _table(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Rows under their heads; in a narrow width, each resource on a line of its own above what it costs."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width:
        yield from (_line(row, widths) for row in rows)
        return
    widths[1] = max(width - len(_INDENT) - sum(widths[2:]) - len(GAP) * len(widths[2:]), _LEAST)
    for at, (resource, what, *numbers) in enumerate(rows):
        if resource and at:
            yield resource
        first, *rest = wrap(what, widths[1]) or [""]
        yield f"{_INDENT}{_line(['', first, *numbers], [0, *widths[1:]])[len(GAP) :]}"
        yield from (f"{_INDENT}{line}" for line in rest)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Text to the left, numbers to the right."""
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return GAP.join([*words, *numbers]).rstrip()


def _hours_of(project: Project) -> tuple[GroupHours, ...]:
    """Hours of the groups of a project; none where they are not known."""
    return () if isinstance(project.hours, NoHours) else project.hours


def _rows(cost: Cost, hours: Sequence[GroupHours]) -> Iterator[tuple[str, ...]]:
    planned = next((_money(group.monthly) for group in hours if group.is_of(cost.resource.address)), "")
    for at, component in enumerate(cost.components):
        price = "unknown" if component.usd_per_hour is None else f"{component.usd_per_hour:,.4f}"
        address, by_hours = ("", "") if at else (cost.resource.address, planned)
        number = decimal_text(component.number) or "unknown"
        yield address, component.name, number, price, _money(component.monthly), by_hours


_Sentence = tuple[str, str, str]
"""Start of its first line, start of its others, and its text."""


def _sentences(project: Project) -> Iterator[_Sentence]:
    now, before = project.now, project.before
    hours = _hours_of(project)
    by_hours = f"; {_money(_scheduled_monthly(now, hours))} by the hours of its plan" if hours else ""
    total = f"total of what is known{' (without the edits below)' if project.not_read else ''}"
    yield _plain(f"{total}: {_money(now.monthly)} USD a month of {HOURS_PER_MONTH} hours{by_hours}")
    if before.costs and now.monthly is not None and before.monthly is not None:
        yield _plain(f"before: {_money(before.monthly)} USD, a change of {now.monthly - before.monthly:+,.2f} USD")
    if project.is_generated and (project.is_code or hours or project.scaling):
        alone = (
            f'schedules count in "{_BY_HOURS}" alone, commitments count' if hours else "schedules and commitments count"
        )
        yield _plain(
            f"instances of the busiest hours, the fewest nodes of a pool, on demand or spot: {alone} in the plan alone"
        )
    if project.kind == CODE:
        yield _plain(
            "load balancers, keys, logs and whatever else has no accelerator are not counted in code, and not in the "
            "total: `advisor explain PLAN --cost` has every line of the plan's"
        )
    yield from _hour_sentences(project)
    if now.unknown:
        yield _plain(f"not known, and not in the total: {', '.join(now.unknown)}")
    if project.not_read:
        yield _plain(f"{EDITED}, and not in the total: {', '.join(project.not_read)}")
        if project.kind == CODE:
            yield _plain("price what Terraform plans:")
            yield _plain(REMEDY)
    if now.unsupported:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(now.unsupported.items()))
        yield _plain(f"not priced here: {kinds}")


def _plain(text: str) -> _Sentence:
    return "", "", text


def _hour_sentences(project: Project) -> Iterator[_Sentence]:
    """Running hours that the plan of generated code counts, or why they are not known."""
    if isinstance(project.hours, NoHours):
        machines = [component for cost in project.now.costs for component in cost.components]
        if project.is_generated and any(component.number == 0 for component in machines):
            yield _plain(
                "0 is the fewest nodes of a pool: the hours in which they run are in the plan (fleet.cost) alone"
            )
        if project.scaling:
            kinds = ", ".join(f"{number} {kind}" for kind, number in project.scaling.items())
            yield _plain(f"numbers may change ({kinds}), in hours that are not known: {project.hours}")
        return
    yield _plain("hours of the plan, with starts and stops, as its schedules beside the code have them (.advisor):")
    for hours in project.hours:
        yield _INDENT, 2 * _INDENT, f"{hours.group}: {_hour_words(hours)}"


def _hour_words(hours: GroupHours) -> str:
    if hours.edits:
        return f"unknown, since it was edited: {'; '.join(hours.edits)}"
    mean = hours.instance_hours_per_week / HOURS_PER_WEEK
    return (
        f"in use {hours.running_hours_per_week:,.2f} hours a week, "
        f"{hours.instance_hours_per_week:,.2f} instance-hours paid for ({mean:.3g} instances on average), "
        f"{_money(hours.monthly)} USD a month"
    )


def _scheduled_monthly(now: Breakdown, planned: Sequence[GroupHours]) -> Decimal | None:
    """USD a month of groups by planned hours, and of the breakdown's others; None: a price is not known."""
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
