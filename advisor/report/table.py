"""The plan for a terminal and for Markdown: the verdict first, then the ladder, then the rest by section."""

from collections.abc import Iterator, Sequence

from advisor.plan.values import Plan, Rejection
from advisor.report.fleet_tables import detail_sections, group_section
from advisor.report.fleet_words import fleet_lines
from advisor.report.option_words import SHOWN_OPTIONS, ladder_section, option_section, scaling_lines, size_lines
from advisor.report.plan_words import evidence_lines, question_lines, question_words
from advisor.report.text_table import (
    Column,
    Section,
    bullets,
    escape_markdown,
    markdown_line,
    markdown_list,
    sections_markdown,
    sections_text,
    wrap,
)
from advisor.report.token_words import token_section
from advisor.report.verdict import headline, verdict_lines
from advisor.report.words import rejection_counts, relaxation_words, savings_words

WIDTH = 80
"""Characters of a line where the terminal does not say."""
_MISS_COLUMNS = (Column("instance type"), Column("precision", importance=1), Column("why not", prose=40))


def plan_table(plan: Plan, shown: int = SHOWN_OPTIONS, *, width: int | None = WIDTH, verbose: bool = False) -> str:
    """The plan as text.

    Args:
        plan: the plan.
        shown: how many options to list.
        width: characters of a line; None: no limit.
        verbose: every section, not only those that a decision needs.
    """
    verdict = [*wrap(headline(plan), width, rest="    "), *bullets(list(verdict_lines(plan, shown)), width)]
    blocks = ["\n".join(verdict), "\n".join(wrap(question_words(plan), width, rest="    "))]
    blocks.append(sections_text(_sections(plan, shown, verbose=verbose), width, whole=verbose).strip("\n"))
    if not verbose:
        blocks.append("\n".join(wrap(_more_words(plan), width, rest="    ")))
    return "\n\n".join(block for block in blocks if block) + "\n"


def plan_markdown(plan: Plan, shown: int = SHOWN_OPTIONS, *, verbose: bool = False) -> str:
    """The same as Markdown, for a pull request or a wiki page; lines are not wrapped."""
    blocks = [f"## {escape_markdown(plan.workload['name'])}", f"**{escape_markdown(headline(plan))}**"]
    blocks += [markdown_list(list(verdict_lines(plan, shown))), markdown_line(question_words(plan))]
    blocks.append(sections_markdown(_sections(plan, shown, verbose=verbose), level=3))
    blocks += [] if verbose else [markdown_line(_more_words(plan))]
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def _sections(plan: Plan, shown: int, *, verbose: bool) -> list[Section]:
    """Sections in reading order; each only where there is something to show."""
    fleet, conflict = plan.fleet, plan.conflict
    with_tokens = verbose or any(token_api.asked for token_api in plan.token_apis)
    rejected = rejection_counts(plan.rejected) if verbose or fleet is None else ""
    sections = [
        Section("what would help by itself", tuple(relaxation_words(conflict)) if conflict else ()),
        ladder_section(plan, verbose=verbose),
        *([group_section(fleet)] if fleet else []),
        *(_details(plan) if verbose else []),
        option_section(plan, shown),
        *([token_section(plan)] if plan.token_apis and with_tokens else []),
        Section("nearest misses", headers=_MISS_COLUMNS, rows=_miss_rows(plan.nearest_misses)),
        Section("rejected", (rejected,) if rejected else ()),
        Section("notes", plan.notes),
    ]
    return [section for section in sections if section.rows or (section.lines and not section.headers)]


def _details(plan: Plan) -> Iterator[Section]:
    """Details behind the verdict."""
    yield Section("question", tuple(question_lines(plan)))
    if plan.fleet is None:
        return
    lines = fleet_lines(plan.fleet, plan.workload["slo"]["within_ratio"])
    if plan.current is not None and plan.savings is not None:
        lines.append(f"saving: {savings_words(plan.current, plan.savings.usd_per_month, plan.savings.ratio)}")
    yield Section("why this fleet", tuple(lines))
    yield from detail_sections(plan.fleet)
    yield Section("how it scales", (*scaling_lines(plan.fleet), *size_lines(plan.fleet, plan.options)))
    yield Section("predictions and prices", tuple(evidence_lines(plan)))


def _more_words(plan: Plan) -> str:
    """Further content that --verbose shows."""
    fleet = plan.fleet is not None
    parts = [
        "cost, proof, replay, limits, failures, scaling, prices" if fleet else "the question",
        f"{len(plan.rejected):,} rejections by reason" if plan.rejected and fleet else "",
        "services by the token"
        if plan.token_apis and not any(token_api.asked for token_api in plan.token_apis)
        else "",
    ]
    return f"--verbose shows {', '.join(part for part in parts if part)}; --format json holds everything."


def _miss_rows(misses: Sequence[Rejection]) -> tuple[tuple[str, str, str], ...]:
    return tuple((miss.instance_type, miss.precision, miss.message) for miss in misses)
