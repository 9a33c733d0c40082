"""Difference of two estates: sums, and the workloads whose cost, fleet or outcome changed."""

import json
from collections.abc import Iterator

from advisor.plan.estate.values import PLANNED, Estate, WorkloadRow
from advisor.records import asdict, dataclass
from advisor.report.text_table import Column, Section, dashed, escape_markdown, sections_markdown, sections_text
from advisor.report.words import HALF_A_CENT, change_of_cost
from advisor.units import counted, ratio_words

SCHEMA = "advisor.estate-diff/v1"
_SHOWN = 40
"""Workloads in a table, so that a comment keeps to 60 lines."""
_SUMS = ("workloads", "planned", "infeasible", "failed", "fleets_usd_per_month", "total_usd_per_month")
_SUM_COLUMNS = (Column(""), Column("before"), Column("after"), Column("change"))
_COLUMNS = (
    Column("workload"), Column("before", prose=20), Column("after", prose=20), Column("USD/month"), Column("change"),
    Column("within SLO", importance=1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkloadChange:
    """A workload file whose row differs; None: the file is not in that estate."""

    file: str
    before: WorkloadRow | None
    after: WorkloadRow | None

    @property
    def usd_per_month_more(self) -> float | None:
        """After minus before, a workload that is not there costing nothing; None where a cost is not its own."""
        before, after = _own_usd(self.before), _own_usd(self.after)
        return None if before is None or after is None else round(after - before, 2)


def _own_usd(row: WorkloadRow | None) -> float | None:
    """USD a month of a workload's own fleet; None where it has none, or shares a machine."""
    if row is None:
        return 0.0
    return row.usd_per_month if row.shared_machine is None else None


@dataclass(frozen=True, slots=True)
class EstateDiff:
    """Two estates side by side."""

    before: Estate
    after: Estate
    changes: tuple[WorkloadChange, ...]
    """Those without a plan first, then by how much the cost changes."""


def estate_diff(before: Estate, after: Estate) -> EstateDiff:
    """Compare the later estate with the earlier one, file by file."""
    old, new = ({row.file: row for row in estate.workloads} for estate in (before, after))
    changes = (WorkloadChange(file, old.get(file), new.get(file)) for file in sorted({*old, *new}))
    changed = [change for change in changes if _facts(change.before) != _facts(change.after)]
    return EstateDiff(before, after, tuple(sorted(changed, key=_weight)))


def estate_diff_table(diff: EstateDiff, width: int | None) -> str:
    """Table for a terminal."""
    return f"{headline(diff)}\n\n{sections_text(_sections(diff), width)}"


def estate_diff_markdown(diff: EstateDiff) -> str:
    """Markdown for a comment on a pull request: at most 60 lines, in which nobody is mentioned."""
    return f"### {escape_markdown(headline(diff))}\n\n{sections_markdown(_sections(diff), level=4)}"


def estate_diff_json(diff: EstateDiff) -> str:
    """Sums of both, and each workload that changed."""
    document = {
        "schema": SCHEMA,
        "before": asdict(diff.before.totals),
        "after": asdict(diff.after.totals),
        "workloads": [asdict(change) | {"usd_per_month_more": change.usd_per_month_more} for change in diff.changes],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def headline(diff: EstateDiff) -> str:
    """Total of both, and how many workloads changed."""
    cost = change_of_cost(diff.before.totals.total_usd_per_month, diff.after.totals.total_usd_per_month)
    return f"estate: {cost}; {counted(len(diff.changes), 'workload')} changed"


def _facts(row: WorkloadRow | None) -> tuple[object, ...] | None:
    """Facts whose change a reader would notice."""
    if row is None:
        return None
    return row.status, row.fleet, row.usd_per_month, row.within_slo_ratio, row.shared_machine is None


def _weight(change: WorkloadChange) -> tuple[bool, float, str]:
    lost = change.after is not None and change.after.status != PLANNED
    return not lost, -abs(change.usd_per_month_more or 0.0), change.file


def _sections(diff: EstateDiff) -> list[Section]:
    more = len(diff.changes) - _SHOWN
    lines = (f"and {more:,} more (--format json)",) if more > 0 else ()
    sections = [
        Section("sums", headers=_SUM_COLUMNS, rows=tuple(_sum_rows(diff))),
        Section("workloads", lines, _COLUMNS, tuple(_row(change) for change in diff.changes[:_SHOWN])),
    ]
    return [section for section in sections if section.rows]


def _sum_rows(diff: EstateDiff) -> Iterator[tuple[str, ...]]:
    for name in _SUMS:
        before, after = getattr(diff.before.totals, name), getattr(diff.after.totals, name)
        is_usd = name.endswith("usd_per_month")
        form = ",.2f" if is_usd else ","
        change = "" if abs(after - before) < HALF_A_CENT else f"{after - before:+{form}}"
        words = name.removesuffix("_usd_per_month") + ", USD/month" * is_usd
        yield words, f"{before:{form}}", f"{after:{form}}", change


def _row(change: WorkloadChange) -> tuple[str, ...]:
    more, after = change.usd_per_month_more, change.after
    cost = None if after is None else _own_usd(after)
    kept = None if after is None else after.within_slo_ratio
    return (
        change.file,
        _told(change.before),
        _told(after),
        "-" if cost is None else f"{cost:,.2f}",
        "-" if more is None else f"{more:+,.2f}",
        dashed(kept, ratio_words),
    )


def _told(row: WorkloadRow | None) -> str:
    if row is None:
        return "not there"
    if row.status != PLANNED:
        return row.status
    return row.fleet if row.shared_machine is None else "on a shared machine"
