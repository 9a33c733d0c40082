"""A review as tables and Markdown: savings that turned out negative are said first."""

import json
from collections.abc import Iterator

from advisor.plan.document import plain
from advisor.programme.reviewed import SCHEMA, Applied, Review
from advisor.programme.rules import Document
from advisor.report.fitted_table import Column
from advisor.report.programme import saving_words
from advisor.report.sections import Section
from advisor.report.words import usd
from advisor.units import A_CENT

REVIEW = Document(Review, "review", SCHEMA, "make it with `advisor review BILL … --format json -o review.json`")
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
        Section(_verdict(review), tuple(_lines(review))),
        Section("predicted against billed", (), _APPLIED, tuple(map(_row, review.applied))),
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
    return json.dumps({"schema": SCHEMA} | plain(review, "review"), indent=1, ensure_ascii=False) + "\n"


def _verdict(review: Review) -> str:
    worse = [group for group in review.applied if _is_negative(group)]
    span = f"{review.since} to {review.until}"
    if worse:
        names = ", ".join(item for group in worse for item in group.items)
        more = usd(-sum(group.billed.usd_per_month for group in worse if group.billed is not None))
        return f"Costs more than before: {names}, {more} a month; {_saved(review)} ({span})"
    return f"{_saved(review)} ({span})"


def _is_negative(group: Applied) -> bool:
    return group.billed is not None and group.billed.usd_per_month < 0


def _saved(review: Review) -> str:
    if all(group.billed is None for group in review.applied):
        return "no saving can be judged yet"
    return f"saved {saving_words(review.billed)} a month by the bill, {saving_words(review.predicted)} predicted"


def _lines(review: Review) -> Iterator[str]:
    """Cost, trend, plans and notes."""
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
    yield from (f"{note[:1].upper()}{note[1:]}." for note in review.notes)


def _row(group: Applied) -> tuple[str, ...]:
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
