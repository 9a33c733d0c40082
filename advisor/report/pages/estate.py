"""The page of an estate: its sums, its dearest workloads, and every table of its report."""

from collections.abc import Iterator, Sequence

from advisor.plan.estate.values import PLANNED, Estate
from advisor.report.estate_table import estate_tables, obstacles, totals
from advisor.report.pages.bars import Bar, from_zero, percent
from advisor.report.pages.rendering import provenance_rows, render_page
from advisor.report.sections import Section
from advisor.report.words import usd

_MOST_WORKLOADS = 5_000
"""Rows of the table, so that the page keeps below 3 MB."""
_MOST_BARS = 20
_MOST_OBSTACLES = 100


def estate_page(estate: Estate) -> str:
    """The page as HTML; every number is one of the estate's."""
    (headers, rows), *shared = estate_tables(estate).values()
    titles = list(estate_tables(estate))
    return render_page(
        "estate.html.j2",
        {
            "kind": "estate",
            "title": f"{estate.totals.workloads} workloads",
            "headline": totals(estate)[0],
            "facts": list(_facts(estate)),
            "totals": totals(estate)[1:],
            "obstacles": _shortened(obstacles(estate)),
            "bars_of": list(_bars(estate)),
            "workloads": _section(titles[0], headers, rows[:_MOST_WORKLOADS]),
            "workloads_total": len(rows),
            "shared": [_section(title, *table) for title, table in zip(titles[1:], shared, strict=True) if table[1]],
            "provenance": provenance_rows(estate.provenance),
        },
    )


def _section(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Section:
    return Section(title, headers=tuple(headers), rows=tuple(tuple(row) for row in rows))


def _facts(estate: Estate) -> Iterator[tuple[str, str]]:
    sums = estate.totals
    yield "a month", usd(sums.total_usd_per_month)
    yield "workloads planned", f"{sums.planned:,} of {sums.workloads:,}"
    saved = [row.saved_usd_per_month for row in estate.workloads if row.saved_usd_per_month is not None]
    if saved:
        yield f"less than today a month, of {len(saved):,} workloads that say what runs", usd(sum(saved))


def _bars(estate: Estate) -> Iterator[Bar]:
    """The dearest of those that have a fleet of their own."""
    own = [row for row in estate.workloads if row.status == PLANNED and row.shared_machine is None]
    costs = sorted(((row.usd_per_month or 0.0, row.file) for row in own), reverse=True)[:_MOST_BARS]
    axis = from_zero(cost for cost, _ in costs)
    for cost, file in costs:
        yield Bar(file, usd(cost), percent(0.0), percent(axis.at(cost)))


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_OBSTACLES
    return [*lines[:_MOST_OBSTACLES], f"and {more:,} more (estate.json)"] if more > 0 else list(lines)
