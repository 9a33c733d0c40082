"""Pages of a programme and of its review: what is to be saved, and what was."""

from collections.abc import Iterator

from advisor.programme.review import Applied, Review
from advisor.programme.values import Programme, Saving
from advisor.report.pages.amounts import TOTAL, Amount, side_by_side
from advisor.report.pages.sectioned import Chart, Page, render_sections
from advisor.report.programme import programme_sections, saving_words
from advisor.report.review import review_sections
from advisor.report.words import payback_words, usd

_INTERVALS = "Thin line: what the amount lies between."


def programme_page(programme: Programme) -> str:
    """The page of a programme as HTML."""
    own = [item for item in programme.items if item.saving is not None and not item.counted_in]
    counted = [_amount(combination.id, combination.saving) for combination in programme.combinations]
    counted += [_amount(item.id, item.saving, item.title) for item in own if item.saving is not None]
    counted.append(_amount("together", programme.total, kind=TOTAL))
    return render_sections(
        Page(
            kind="programme",
            title=f"Programme of {programme.days} days from {programme.start}",
            facts=tuple(_programme_facts(programme)),
            charts=(Chart("What is to be saved, USD a month", side_by_side(counted), _INTERVALS),),
            sections=tuple(programme_sections(programme)),
        )
    )


def _programme_facts(programme: Programme) -> Iterator[tuple[str, str]]:
    yield "to be saved a month", usd(programme.total.usd_per_month)
    yield "hours of work", f"{programme.effort_hours:,.0f}"
    yield "cost of that work", usd(programme.one_off_usd)
    yield "until it is paid back", payback_words(programme.payback_months)


def review_page(review: Review) -> str:
    """The page of a review as HTML."""
    compared = [amount for group in review.applied for amount in _compared(group)]
    return render_sections(
        Page(
            kind="review",
            title=f"Review of {review.since} to {review.until}",
            facts=tuple(_review_facts(review)),
            charts=(
                Chart("Predicted and billed", side_by_side(compared), _INTERVALS, section="predicted against billed"),
            ),
            sections=tuple(review_sections(review)),
        )
    )


def _review_facts(review: Review) -> Iterator[tuple[str, str]]:
    if any(group.billed is not None for group in review.applied):
        yield "saved a month by the bill", usd(review.billed.usd_per_month)
        yield "predicted", usd(review.predicted.usd_per_month)
    yield f"cost a month since {review.now_from}", usd(review.usd_per_month)
    if review.anomalies is not None:
        yield "unusual days", f"{len(review.anomalies)}"


def _compared(group: Applied) -> Iterator[Amount]:
    yield _amount(f"{group.id}: predicted", group.predicted)
    if group.billed is not None:
        yield _amount(f"{group.id}: billed", group.billed)
    else:
        yield Amount(f"{group.id}: billed", 0.0, "not known", note=group.why_unknown)


def _amount(name: str, saving: Saving, note: str = "", kind: str = "") -> Amount:
    low, high = saving.low_usd_per_month, saving.high_usd_per_month
    return Amount(name, saving.usd_per_month, saving_words(saving), low, high, note, kind)
