"""Pages of plans, estates, levers, audits, programmes and reviews: HTML without a request.

Their numbers are in tables, and their charts follow the width of the page.

Charts are SVG in percent of their box, not drawn by a library: the smallest that would do (Vega-Lite) adds 0.9 MB to a
page, takes seconds to be bundled, and shows nothing without JavaScript.

Pages of every document of this program that has one, by its schema; the page of an estate.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate

from advisor.audit import HOST_PARTS, PARTS, SAVING, Audit, Finding, between, in_cents, money, percent
from advisor.levers import LeverReport
from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json
from advisor.plan.estate.values import PLANNED, Estate
from advisor.programme.build import LEVERS
from advisor.programme.values import PROGRAMME, Applied, Predicted, Programme, Review, Saving
from advisor.reading import json_of
from advisor.records import dataclass, replace
from advisor.report.bill_documents import audit_from_json
from advisor.report.bill_table import audit_sections
from advisor.report.estate_table import estate_tables, obstacles, totals
from advisor.report.levers import lever_sections
from advisor.report.pages.bars import TOTAL, Amount, Bar, css_percent, from_zero, side_by_side, waterfall
from advisor.report.pages.plan import first_page, plan_page
from advisor.report.pages.rendering import provenance_rows, render_page
from advisor.report.programme import REVIEW, programme_sections, review_sections, saving_words
from advisor.report.text_table import Section
from advisor.report.words import name_words, payback_words
from advisor.units import A_CENT, usd

_MOST_WORKLOADS = 5_000
"""Rows of the table, so that the page keeps below 3 MB."""
_MOST_BARS = 20
_MOST_OBSTACLES = 100


def estate_page(estate: Estate) -> str:
    """The page as HTML; every number is one of the estate's."""
    (headers, rows), *shared = estate_tables(estate).values()
    titles = list(estate_tables(estate))
    lines = obstacles(estate)
    more = len(lines) - _MOST_OBSTACLES
    lines = [*lines[:_MOST_OBSTACLES], f"and {more:,} more (estate.json)"] if more > 0 else lines
    return render_page(
        "estate.html.j2",
        {
            "kind": "estate",
            "title": f"{estate.totals.workloads} workloads",
            "headline": totals(estate)[0],
            "facts": list(_estate_facts(estate)),
            "totals": totals(estate)[1:],
            "obstacles": lines,
            "bars_of": list(_bars(estate)),
            "workloads": _section(titles[0], headers, rows[:_MOST_WORKLOADS]),
            "workloads_total": len(rows),
            "shared": [_section(title, *table) for title, table in zip(titles[1:], shared, strict=True) if table[1]],
            "provenance": provenance_rows(estate.provenance),
        },
    )


def _section(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Section:
    return Section(title, headers=tuple(headers), rows=tuple(tuple(row) for row in rows))


def _estate_facts(estate: Estate) -> Iterator[tuple[str, str]]:
    sums = estate.totals
    yield "a month", usd(sums.total_usd_per_month)
    yield "workloads planned", f"{sums.planned:,} of {sums.workloads:,}"
    if sums.saved_usd_per_month is not None:
        stated = sum(row.today_usd_per_month is not None for row in estate.workloads)
        yield f"less than today a month, of {stated:,} workloads that say what runs", usd(sums.saved_usd_per_month)


def _bars(estate: Estate) -> Iterator[Bar]:
    """The dearest of those that have a fleet of their own."""
    own = [row for row in estate.workloads if row.status == PLANNED and row.shared_machine is None]
    costs = sorted(((row.usd_per_month or 0.0, row.file) for row in own), reverse=True)[:_MOST_BARS]
    axis = from_zero(cost for cost, _ in costs)
    for cost, file in costs:
        yield Bar(file, usd(cost), css_percent(0.0), css_percent(axis.at(cost)))


_MOST_CHARACTERS = 1_200_000
"""Characters of all tables, so that the page keeps below 3 MB."""
_CELL_CHARACTERS = 24
"""Characters of the markup of a cell."""
_STEPS = (
    "Each step is what the combination would cost more without that lever. What any of several would save, or what "
    "several save only together and so count alike, is a step of its own."
)


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars under a heading."""

    title: str
    bars: tuple[Bar, ...]
    legend: str = ""
    section: str = ""
    """Title of the section that it stands in; "": it has one of its own."""


@dataclass(frozen=True, slots=True)
class Page:
    """A document as a page shows it."""

    kind: str
    """Noun of the document, such as ``review``."""
    title: str
    facts: tuple[tuple[str, str], ...]
    """Name and words of the figures that are asked first."""
    charts: tuple[Chart, ...]
    sections: tuple[Section, ...]
    """The first holds the verdict and what is told under it."""
    searched: str = ""
    """Title of the section whose rows can be searched; "": none."""


def render_sections(page: Page) -> str:
    """The page as HTML."""
    verdict, *rest = page.sections
    charts = [chart for chart in page.charts if chart.bars]
    share = _MOST_CHARACTERS // max(len(rest), 1)
    return render_page(
        "sections.html.j2",
        {
            "kind": page.kind,
            "title": page.title,
            "headline": verdict.title,
            "told": verdict.lines,
            "facts": page.facts,
            "charts": [chart for chart in charts if not chart.section],
            "within": {chart.section: chart for chart in charts},
            "sections": [
                _within(section, share, page.kind)
                for section in rest
                if section.lines or section.rows or section.commands
            ],
            "searched": page.searched,
        },
    )


def _within(section: Section, most: int, kind: str) -> Section:
    """A section whose rows and commands have at most so many characters; those left out are counted."""
    sizes = (sum(len(cell) + _CELL_CHARACTERS for cell in row) for row in section.rows)
    rows = section.rows[: _count_within(sizes, most // 2)]
    commands = section.commands[: _count_within(map(len, section.commands), most // 2)]
    if len(rows) == len(section.rows) and len(commands) == len(section.commands):
        return section
    line = f"the first {len(rows):,} of {len(section.rows):,}; the JSON of the {kind} holds them all"
    return replace(section, lines=(*section.lines, line), rows=rows, commands=commands)


def _count_within(sizes: Iterable[int], most: int) -> int:
    """How many of the first sizes add up to so much at most."""
    return sum(total <= most for total in accumulate(sizes))


def levers_page(report: LeverReport) -> str:
    """The page as HTML; every number is one of the report's."""
    alone = (Amount(name_words(lever.lever), lever.priced.saving_usd_per_month) for lever in report.levers)
    return render_sections(
        Page(
            kind="report of levers",
            title=f"Levers of {report.workload}",
            facts=tuple(_lever_facts(report)),
            charts=(
                Chart("From no lever to all of them, USD a month", waterfall(_steps(report)), _STEPS),
                Chart("Saved by each lever alone, USD a month", side_by_side(alone), "Red: it costs more."),
            ),
            sections=tuple(lever_sections(report, verbose=True)),
        )
    )


def _lever_facts(report: LeverReport) -> Iterator[tuple[str, str]]:
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
        yield "predicted", saving_words(review.predicted)
    yield f"cost a month since {review.now_from}", usd(review.usd_per_month)
    if review.anomalies is not None:
        yield "unusual days", f"{len(review.anomalies)}"


def _compared(group: Applied) -> Iterator[Amount]:
    yield _amount(f"{group.id}: predicted", group.predicted)
    if group.billed is not None:
        yield _amount(f"{group.id}: billed", group.billed)
    else:
        yield Amount(f"{group.id}: billed", 0.0, "not known", note=group.why_unknown)


def _amount(name: str, saving: Saving | Predicted, note: str = "", kind: str = "") -> Amount:
    low, high = saving.low_usd_per_month, saving.high_usd_per_month
    point = low if saving.usd_per_month is None else saving.usd_per_month
    return Amount(name, point, saving_words(saving), low, high, note, kind)


_FINDINGS = "Thin line: what the amount lies between. Savings of one finding can be part of another's."
_HOSTS = (
    "machine", "type", "cost", *HOST_PARTS, "accelerators", "busy on average", "busy p95", "observed",
    "verdicts",
)  # fmt: skip


def audit_page(audit: Audit) -> str:
    """The page as HTML; every number is one of the audit's."""
    currency = audit.bill.currency
    kinds = in_cents(audit.kinds)
    compute = in_cents({part: audit.split.parts[part] for part in PARTS}, kinds["compute"])
    total = Amount("total", float(sum(kinds.values())), money(audit.bill.cost, currency), kind=TOTAL)
    findings = (finding for finding in audit.findings if finding.per_month is not None and finding.basis == SAVING)
    savings = [_saving(finding, currency) for finding in findings]
    hosts = Section("Machines with telemetry", headers=_HOSTS, rows=tuple(_host_rows(audit)))
    return render_sections(
        Page(
            kind="audit",
            title="Audit of a bill",
            facts=tuple(_facts(audit)),
            charts=(
                Chart("Kinds of cost", waterfall([*_parts(kinds, currency), total]), section="Cost by kind"),
                Chart("Parts of compute", waterfall(_parts(compute, currency)), section="Compute: what it was for"),
                Chart("What findings would save a month", side_by_side(savings), _FINDINGS, "Findings"),
            ),
            sections=(*audit_sections(audit, whole=True, is_page=True), hosts),
            searched="Findings",
        )
    )


def _facts(audit: Audit) -> Iterator[tuple[str, str]]:
    bill = audit.bill
    yield f"{bill.basis} cost of the bill", money(bill.cost, bill.currency)
    savings = [finding for finding in audit.findings if finding.basis == SAVING]
    if savings and savings[0].per_month is not None:
        yield f"a month: the greatest saving, {savings[0].id}", money(savings[0].per_month, bill.currency)
    yield "findings", f"{len(audit.findings)}"
    compute, unattributed = audit.kinds["compute"], audit.split.parts["unattributed"]
    if compute > unattributed:
        blind = f", {percent(unattributed, compute, 0)} without telemetry" if unattributed else ""
        yield f"of compute needed{blind}", percent(audit.split.parts["needed"], compute)


def _parts(cents: Mapping[str, Decimal], currency: str | None) -> Iterator[Amount]:
    """Parts that are not nothing."""
    for name, amount in cents.items():
        if amount:
            yield Amount(name.replace("_", " "), float(amount), money(amount, currency))


def _saving(finding: Finding, currency: str | None) -> Amount:
    low, high = (None if edge is None else float(edge) for edge in (finding.low, finding.high))
    bounds = between(finding.low, finding.high, currency)
    words = money(finding.per_month, currency) + (f" ({bounds})" if bounds else "")
    return Amount(f"{finding.id} {finding.title}", float(finding.per_month or 0), words, low, high)


def _host_rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    for host in audit.split.hosts:
        parts = (money(host.parts[part], audit.bill.currency) for part in HOST_PARTS)
        use = host.use
        yield (
            host.resource, host.instance_type, money(host.cost, audit.bill.currency), *parts, f"{use.accelerators}",
            f"{use.mean:.1%}", f"{use.p95:.1%}", f"{use.observed_ratio:.1%}", ", ".join(use.verdicts),
        )  # fmt: skip


PLAN = "plan"
_PAGES: Mapping[str, Callable[[str, str], str]] = {
    PLAN: lambda text, where: plan_page(plan_from_json(text, where)),
    "estate": lambda text, where: estate_page(estate_from_json(text, where)),
    "levers": lambda text, where: levers_page(LEVERS.parse(text, where)),
    "programme": lambda text, where: programme_page(PROGRAMME.parse(text, where)),
    "audit": lambda text, where: audit_page(audit_from_json(text, where)),
    "review": lambda text, where: review_page(REVIEW.parse(text, where)),
}
"""Page of the text of a document, by its name in the schema (``advisor.levers/v1``)."""


def kind_of(text: str, where: str) -> str:
    """Name of a document in its schema of any version; "plan" if none has a page. Raises InputError for no JSON."""
    document = json_of(text, where, "give a JSON document of this program, such as of `advisor recommend`")
    schema = str(document.get("schema")) if isinstance(document, dict) else ""
    kind = schema.partition("/")[0].removeprefix("advisor.")
    return kind if kind in _PAGES else PLAN


def page_of(text: str, where: str) -> str:
    """HTML page of a document. Raises InputError if it is not a document that has a page, or not of this version."""
    return _PAGES[kind_of(text, where)](text, where)


__all__ = ["estate_page", "first_page", "plan_page"]
