"""The plan for a terminal and for Markdown."""

from collections.abc import Sequence

from advisor.plan.values import Plan, Rejection
from advisor.report.fleet_words import fleet_lines, fleet_tables
from advisor.report.limits_words import relaxation_words
from advisor.report.plan_words import advice, heading, remarks
from advisor.report.scaling_words import scaling_lines
from advisor.report.sections import Section, markdown_list, sections_markdown, sections_text
from advisor.report.text_table import escape_markdown
from advisor.report.token_words import token_section
from advisor.report.words import OPTION_HEADERS, option_cells, rejection_counts

SHOWN_OPTIONS = 5
_MISS_HEADERS = ("instance type", "precision", "why not")


def plan_table(plan: Plan, shown: int = SHOWN_OPTIONS) -> str:
    """The fleet and the ranked single types as aligned text, then what to do and why.

    Args:
        plan: the plan.
        shown: how many options to list.
    """
    blocks = ["\n".join(heading(plan)), sections_text(_sections(plan, shown)).strip("\n")]
    blocks += [advice(plan), "\n".join(f"  - {remark}" for remark in remarks(plan))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plan_markdown(plan: Plan, shown: int = SHOWN_OPTIONS) -> str:
    """The same as Markdown, for a pull request or a wiki page."""
    title, *rest = heading(plan)
    blocks = [f"## {escape_markdown(title)}", f"**{escape_markdown(advice(plan))}**"]
    blocks += [markdown_list([*rest, *remarks(plan)]), sections_markdown(_sections(plan, shown), level=3)]
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def _sections(plan: Plan, shown: int) -> list[Section]:
    sections: list[Section] = []
    if plan.fleet is not None:
        lines = fleet_lines(plan.fleet, plan.workload["slo"]["within_ratio"])
        sections += [*fleet_tables(plan.fleet), Section("why this fleet", tuple(lines))]
        sections.append(Section("how it scales", tuple(scaling_lines(plan.fleet))))
    if plan.conflict is not None and (helps := tuple(relaxation_words(plan.conflict))):
        sections.append(Section("any one of these alone would help", helps))
    if plan.options:
        rows = tuple(option_cells(option) for option in plan.options[:shown])
        sections.append(Section(*_options_title(plan, len(rows)), headers=OPTION_HEADERS, rows=rows))
    if plan.token_apis:
        sections.append(token_section(plan))
    if plan.nearest_misses:
        sections.append(Section("nearest misses", headers=_MISS_HEADERS, rows=_miss_rows(plan.nearest_misses)))
    if plan.rejected:
        sections.append(Section("rejected", (rejection_counts(plan.rejected),)))
    return sections


def _options_title(plan: Plan, shown: int) -> tuple[str, tuple[str, ...]]:
    """What the single types are, and what they are not."""
    every = len(plan.options)
    of = f"the cheapest {shown} of {every:,} (all: --format json)" if shown < every else f"all {every:,}"
    peak = plan.demand["requests_per_second"]["peak"]
    return f"single types for comparison, {of}", (
        f"each for the busiest minute so far ({peak:.3g} requests/s) around the clock, compute only",
        "they keep to targets, replicas, zones and budget, to no other limit, and on spot nothing takes over",
    )


def _miss_rows(misses: Sequence[Rejection]) -> tuple[tuple[str, str, str], ...]:
    return tuple((miss.instance_type, miss.precision, miss.message) for miss in misses)
