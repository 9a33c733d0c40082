"""The page of what is sections already: the verdict, figures, charts, and every table."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate

from advisor.report.pages.bars import Bar
from advisor.report.pages.rendering import render_page
from advisor.report.sections import Section

_MOST_CHARACTERS = 1_200_000
"""Characters of all tables, so that the page keeps below 3 MB."""
_CELL_CHARACTERS = 24
"""Characters of the markup of a cell."""


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
            "sections": [_within(section, share, page.kind) for section in rest if _is_filled(section)],
            "searched": page.searched,
        },
    )


def _is_filled(section: Section) -> bool:
    return bool(section.lines or section.rows or section.commands)


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
