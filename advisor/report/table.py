"""The plan for a terminal and for Markdown."""

from collections.abc import Sequence

from advisor.plan.values import Plan, Rejection
from advisor.report.text_table import escape_markdown, render_markdown_table, render_table
from advisor.report.words import OPTION_HEADERS, advice, heading, option_cells, rejection_counts, remarks

SHOWN_OPTIONS = 10
_MISS_HEADERS = ("instance type", "precision", "why not")


def plan_table(plan: Plan, shown: int = SHOWN_OPTIONS) -> str:
    """The ranked options as aligned text, then one line that says what to do and why.

    Args:
        plan: the plan.
        shown: how many options to list.
    """
    blocks = ["\n".join(heading(plan))]
    if plan.options:
        rows = [option_cells(option) for option in plan.options[:shown]]
        blocks.append(render_table(OPTION_HEADERS, rows) + _more(plan, shown))
    if plan.nearest_misses:
        blocks.append("nearest misses:\n" + render_table(_MISS_HEADERS, _miss_rows(plan.nearest_misses)))
    if plan.rejected:
        blocks.append(f"rejected: {rejection_counts(plan.rejected)}")
    blocks.append(advice(plan))
    blocks.append("\n".join(f"  - {remark}" for remark in remarks(plan)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def plan_markdown(plan: Plan, shown: int = SHOWN_OPTIONS) -> str:
    """The same as Markdown, for a pull request or a wiki page."""
    title, *rest = heading(plan)
    blocks = [f"## {escape_markdown(title)}", f"**{escape_markdown(advice(plan))}**"]
    blocks.append("\n".join(f"- {escape_markdown(line)}" for line in [*rest, *remarks(plan)]))
    if plan.options:
        rows = [option_cells(option) for option in plan.options[:shown]]
        blocks.append(render_markdown_table(OPTION_HEADERS, rows) + _more(plan, shown))
    if plan.nearest_misses:
        blocks.append("Nearest misses:\n\n" + render_markdown_table(_MISS_HEADERS, _miss_rows(plan.nearest_misses)))
    if plan.rejected:
        blocks.append(f"Rejected: {escape_markdown(rejection_counts(plan.rejected))}.")
    return "\n\n".join(blocks) + "\n"


def _more(plan: Plan, shown: int) -> str:
    hidden = len(plan.options) - shown
    return f"\n\n… and {hidden} more, in --format json" if hidden > 0 else ""


def _miss_rows(misses: Sequence[Rejection]) -> list[tuple[str, str, str]]:
    return [(miss.instance_type, miss.precision, miss.message) for miss in misses]
