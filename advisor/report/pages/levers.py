"""The page of levers: from the plan without any to that with all, and what each saves alone."""

from collections.abc import Iterator

from advisor.levers.values import LeverReport
from advisor.report.levers import lever_sections, name_words
from advisor.report.pages.amounts import TOTAL, Amount, side_by_side, waterfall
from advisor.report.pages.sectioned import Chart, Page, render_sections
from advisor.report.words import payback_words, usd
from advisor.units import A_CENT

_STEPS = (
    "Each step is what the combination would cost more without that lever. What any of several would save, or what "
    "several save only together and so count alike, is a step of its own."
)


def levers_page(report: LeverReport) -> str:
    """The page as HTML; every number is one of the report's."""
    alone = (Amount(name_words(lever.lever), lever.priced.saving_usd_per_month) for lever in report.levers)
    return render_sections(
        Page(
            kind="report of levers",
            title=f"Levers of {report.workload}",
            facts=tuple(_facts(report)),
            charts=(
                Chart("From no lever to all of them, USD a month", waterfall(_steps(report)), _STEPS),
                Chart("Saved by each lever alone, USD a month", side_by_side(alone), "Red: it costs more."),
            ),
            sections=tuple(lever_sections(report, verbose=True)),
        )
    )


def _facts(report: LeverReport) -> Iterator[tuple[str, str]]:
    total = report.together.plan.total_usd_per_month
    if total is not None:
        yield "a month with all levers", usd(total)
    if report.current is not None:
        yield "a month today", usd(report.current.total_usd_per_month)
    yield "saved a month against no lever", usd(report.together.saving_usd_per_month)
    yield "hours of work, once", f"{report.work.effort_hours:,.0f}"
    if report.work.one_off_usd is not None:
        yield "cost of that work", usd(report.work.one_off_usd)
        yield "until it is paid back", payback_words(report.work.payback_months, without="never")


def _steps(report: LeverReport) -> Iterator[Amount]:
    """The plan without any lever, what each lever of the combination is worth, what they share, the combination."""
    without, together = report.without.total_usd_per_month, report.together.plan.total_usd_per_month
    if without is None or together is None:
        return
    worths = [
        (name_words(lever.lever), lever.worth_usd_per_month)
        for lever in report.levers
        if lever.used and lever.worth_usd_per_month is not None
    ]
    yield Amount("without any lever", without, kind=TOTAL)
    yield from (Amount(name, -worth) for name, worth in worths)
    shared = together - without + sum(worth for _, worth in worths)
    if abs(shared) >= A_CENT:
        yield Amount("saved by any of several" if shared < 0 else "counted in several steps", shared)
    yield Amount("with all levers", together, kind=TOTAL)
