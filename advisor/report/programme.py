"""A programme as tables, as Markdown and as issues."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from advisor.plan.document import plain
from advisor.programme.rules import SCHEMA, Item, Programme, Saving
from advisor.report.fitted_table import Column
from advisor.report.sections import Section
from advisor.report.text_table import escape_markdown
from advisor.report.words import payback_words, usd

_WEEKS = {1: "assess and instrument", 2: "quick wins", 3: "quick wins", 4: "strategic"}
_ITEMS = (
    Column("item"),
    Column("owner", importance=1),
    Column("saves, USD a month"),
    Column("work once", importance=2),
    Column("paid back", importance=3),
    Column("what to do, how to check it, what it risks", prose=34),
)
_LEFT_OUT = (Column("item"), Column("why", prose=40))


def programme_sections(programme: Programme) -> list[Section]:
    """The programme, week by week."""
    sections = [Section(_verdict(programme), tuple(_lines(programme)))]
    for week, group in groupby(programme.items, key=lambda item: item.week):
        items = list(group)
        commands = tuple(f"{item.id}: {item.command}" for item in items)
        title = f"week {week}: {_WEEKS.get(week, 'later')}"
        sections.append(Section(title, (), _ITEMS, tuple(_row(item) for item in items), commands))
    if programme.left_out:
        rows = tuple((left.id, left.why) for left in programme.left_out)
        sections.append(Section("left out", (), _LEFT_OUT, rows))
    return sections


def programme_json(programme: Programme) -> str:
    """The programme with an issue for each item."""
    issues = [_issue(programme, item) for item in programme.items]
    document = {"schema": SCHEMA} | plain(programme, "programme") | {"issues": issues}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def saving_words(saving: Saving | None) -> str:
    """``$120.00``, or with its interval ``$120.00 (0 to 240)``; a dash where it is unknown."""
    if saving is None:
        return "-"
    low, high = saving.low_usd_per_month, saving.high_usd_per_month
    told = usd(saving.usd_per_month)
    return told if low == high else f"{told} ({usd(low)} to {usd(high)})"


def _verdict(programme: Programme) -> str:
    work = f"{programme.effort_hours:,.0f} hours ({usd(programme.one_off_usd)})"
    if programme.payback_months is None:
        return f"30 days from {programme.start}: nothing to save; {work} of measuring"
    paid = payback_words(programme.payback_months)
    return f"30 days from {programme.start}: {saving_words(programme.total)} a month for {work}, paid back in {paid}"


def _lines(programme: Programme) -> Iterator[str]:
    for combination in programme.combinations:
        saving, paid = usd(combination.saving.usd_per_month), usd(combination.paid_usd_per_month)
        yield f"{combination.id}: {paid} → {usd(combination.usd_per_month)} a month, {saving} less."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in programme.notes)


def _row(item: Item) -> tuple[str, ...]:
    told = saving_words(item.saving)
    return (
        item.id,
        item.owner,
        f"{told}\nin {item.counted_in}" if item.counted_in else told,
        f"{item.effort_hours:,.0f} h\n{usd(item.one_off_usd)}",
        payback_words(item.payback_months),
        "\n".join(filter(None, (item.title, item.detail, f"check: {item.check}", _risk(item)))),
    )


def _risk(item: Item) -> str:
    return f"risks: {item.risk}" if item.risk else ""


def _issue(programme: Programme, item: Item) -> dict[str, Any]:
    """Title, body and labels of an issue, as issue trackers take them."""
    saves = f"{saving_words(item.saving)} a month" if item.saving is not None else "none by itself"
    if item.counted_in:
        saves += f", counted in {item.counted_in}"
    body = [
        escape_markdown(item.detail),
        f"```\n{item.command}\n```",
        f"- Saving: {saves}",
        f"- Effort: {item.effort_hours:,.0f} hours ({usd(item.one_off_usd)})",
        f"- Paid back: {payback_words(item.payback_months)}",
        f"- Check: {item.check}",
        f"- Risk: {escape_markdown(item.risk)}",
    ]
    return {
        "title": f"Week {item.week}: {item.title}",
        "body": "\n\n".join(part for part in body[:2] if part) + "\n\n" + "\n".join(body[2:]),
        "labels": [f"owner:{item.owner}", f"week:{item.week}", item.id],
        "due_week": item.week,
        "programme": programme.start.isoformat(),
    }
