"""A programme, and the review of one, as tables, Markdown, JSON and issues."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from advisor.plan.document import plain
from advisor.plan.plain_values import Document
from advisor.programme.values import REVIEW_SCHEMA, SCHEMA, Applied, Item, Predicted, Programme, Review, Saving
from advisor.report.text_table import Column, Section, escape_markdown
from advisor.report.words import payback_words
from advisor.units import A_CENT, usd

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


def saving_words(saving: Saving | Predicted | None) -> str:
    """``$120.00``, or with its interval ``$120.00 ($0.00 to $240.00)``, or that alone; a dash where it is unknown."""
    if saving is None:
        return "-"
    between = f"{usd(saving.low_usd_per_month)} to {usd(saving.high_usd_per_month)}"
    if saving.usd_per_month is None:
        return between
    told = usd(saving.usd_per_month)
    return told if saving.low_usd_per_month == saving.high_usd_per_month else f"{told} ({between})"


def _verdict(programme: Programme) -> str:
    work = f"{programme.effort_hours:,.0f} hours ({usd(programme.one_off_usd)})"
    if programme.payback_months is None:
        return f"30 days from {programme.start}: nothing to save; {work} of measuring"
    paid, saved = payback_words(programme.payback_months), saving_words(programme.total)
    return f"30 days from {programme.start}: {saved} a month for {work}, paid back {paid} after the start"


def _lines(programme: Programme) -> Iterator[str]:
    for combination in programme.combinations:
        saving, paid = usd(combination.saving.usd_per_month), usd(combination.paid_usd_per_month)
        yield f"{combination.id}: {paid} → {usd(combination.usd_per_month)} a month, {saving} less."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in programme.notes)


def _row(item: Item) -> tuple[str, ...]:
    told, risk = saving_words(item.saving), f"risks: {item.risk}" if item.risk else ""
    return (
        item.id,
        item.owner,
        f"{told}\nin {item.counted_in}" if item.counted_in else told,
        f"{item.effort_hours:,.0f} h\n{usd(item.one_off_usd)}",
        payback_words(item.payback_months),
        "\n".join(filter(None, (item.title, item.detail, f"check: {item.check}", risk))),
    )


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


REVIEW = Document(Review, "review", REVIEW_SCHEMA, "make it with `advisor review BILL … --format json -o review.json`")
_APPLIED = (
    Column("about"),
    Column("predicted, USD a month"),
    Column("billed, USD a month"),
    Column("at today's requests", importance=1),
    Column("days before, after", importance=2),
    Column("applied, and what is not known", prose=30),
)


def review_sections(review: Review) -> list[Section]:
    """The report: verdict, each item, what is unusual, what changed, what to do next."""
    sections = [
        Section(_review_verdict(review), tuple(_review_lines(review))),
        Section("predicted against billed", (), _APPLIED, tuple(map(_review_row, review.applied))),
    ]
    if review.anomalies:
        rows = tuple(
            (f"{unusual.day}", usd(unusual.cost_usd), usd(unusual.expected_usd), f"{unusual.score:+.1f}")
            for unusual in review.anomalies
        )
        told = "beyond 3.5 robust standard deviations of level, trend and weekday (Iglewicz and Hoaglin, 1993)"
        sections.append(Section("unusual days", (told,), ("day", "cost", "expected", "score"), rows))
    if review.changes and review.before:
        first, last = review.before
        told = f"before: mean of {first} to {last}; now: of {review.now_from} to {review.until}"
        changes = tuple(
            (change.resource, usd(change.before_usd_per_month), usd(change.after_usd_per_month))
            for change in review.changes
        )
        sections.append(Section("what changed most, USD a month", (told,), ("resource", "before", "now"), changes))
    sections.append(Section("what to do next", review.next_steps))
    return sections


def review_json(review: Review) -> str:
    """The review as JSON."""
    return json.dumps({"schema": REVIEW_SCHEMA} | plain(review, "review"), indent=1, ensure_ascii=False) + "\n"


def _review_verdict(review: Review) -> str:
    worse = [group for group in review.applied if group.billed is not None and group.billed.usd_per_month < 0]
    span = f"{review.since} to {review.until}"
    if worse:
        names = ", ".join(item for group in worse for item in group.items)
        more = usd(-sum(group.billed.usd_per_month for group in worse if group.billed is not None))
        return f"Costs more than before: {names}, {more} a month; {_saved(review)} ({span})"
    return f"{_saved(review)} ({span})"


def _saved(review: Review) -> str:
    if all(group.billed is None for group in review.applied):
        return "no saving can be judged yet"
    return f"saved {saving_words(review.billed)} a month by the bill, {saving_words(review.predicted)} predicted"


def _review_lines(review: Review) -> Iterator[str]:
    yield f"Cost now: {usd(review.usd_per_month)} a month ({review.cost} cost, from {review.now_from} on)."
    if review.trend_usd_per_month is not None:
        is_trend = abs(review.trend_usd_per_month) >= A_CENT
        trend = f": {review.trend_usd_per_month:+,.2f} USD a month each month" if is_trend else ""
        yield f"{'Trend' if is_trend else 'No trend'} apart from what was applied{trend}."
    for plan in review.plans:
        billed, planned = usd(plan.billed_usd_per_month), usd(plan.planned_usd_per_month)
        yield f"{plan.plan}: {planned} a month planned in all, {billed} billed for accelerated machines."
    if review.anomalies == ():
        yield "No unusual day."
    yield from map(_note_sentence, review.notes)


def _note_sentence(note: str) -> str:
    """A note as a sentence; one that begins with the name of a file stays as it is."""
    begin = note.split(" ", 1)[0]
    return f"{note}." if {"/", ".", ":"} & set(begin) else f"{note[:1].upper()}{note[1:]}."


def _review_row(group: Applied) -> tuple[str, ...]:
    span = f"{group.first_on}" + ("" if group.first_on == group.last_on else f" to {group.last_on}")
    told = (f"{', '.join(group.items)}: {span}", group.why_unknown)
    return (
        group.id,
        saving_words(group.predicted),
        saving_words(group.billed),
        saving_words(group.served),
        f"{group.days_before}, {group.days_after}",
        "\n".join(filter(None, told)),
    )
