"""Difference of two plans or of two estates: fleet, cost, SLO margin, risk, evidence, and what was asked; sums."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.demand.values import Unit
from advisor.plan.estate.values import PLANNED, Estate, WorkloadRow
from advisor.plan.fleet.costs import COST_PARTS
from advisor.plan.values import Plan
from advisor.plan.words import first_name, unit_of
from advisor.records import asdict, dataclass
from advisor.report.fleet_words import held_words
from advisor.report.plan_words import risk_words
from advisor.report.price_age import oldest_price
from advisor.report.text_table import (
    Column,
    Section,
    bullets,
    dashed,
    escape_markdown,
    markdown_list,
    sections_markdown,
    sections_text,
)
from advisor.report.words import HALF_A_CENT, PART_WORDS, change_of_cost, short_words
from advisor.units import MS_PER_SECOND, counted, milliseconds, ratio_words, usd

_WEAKEST_FIRST = ("roofline", "calibrated", "measured")
_RATE, _PEAK_RATIO = "requests_per_second", "peak_to_mean"
_DEMAND = (_RATE, "input_tokens", "output_tokens")
_STATED = ("mean", "peak")
"""Figures of a demand that a workload file states; quantiles of a stated demand follow from them."""
_EXACT_DIGITS = 12
_UNASKED = ("as_of", "running")
"""Fields of a workload that say when it was asked and beside which fleet, not what."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """Facts of one plan that a decision needs; None: not known, or no fleet."""

    fleet: str
    """In words; "" without one."""
    usd_per_month: float | None
    parts_usd_per_month: Mapping[str, float | None]
    """Parts whose sum is the total."""
    within_slo_ratio: float | None
    """Share of a week's requests that its replay finds within every target."""
    least_within_slo_ratio: float | None
    """The least of its shares: of the week, of the busiest stretch, and with what may fail gone."""
    least_when: str
    """Share that this is: "" of the week, or ``with one machine gone``."""
    wanted_within_slo_ratio: float
    unit: Unit
    """Unit of an answer: where it comes whole, the first latency is all of it."""
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    ttft_p95_target_ms: float | None
    tpot_p95_target_ms: float | None
    holds_up_to_peak_ratio: float | None
    risk: str
    evidence: str
    """Weakest evidence class of its groups; "" without a fleet."""
    oldest_price: str
    """Date of the oldest price that it pays; "" where none has one."""
    obligation_usd: float | None


@dataclass(frozen=True, slots=True)
class AskedDifferently:
    """A field of the workload or the demand that differs."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Two plans side by side."""

    workload: str
    """Name in the later plan."""
    workload_before: str
    before: PlanFacts
    after: PlanFacts
    asked_differently: tuple[AskedDifferently, ...]

    @property
    def is_same_workload(self) -> bool:
        """The plans carry one name and serve one model; otherwise their costs are of different things."""
        return not {"workload.name", "workload.model"} & {asked.field for asked in self.asked_differently}

    @property
    def usd_per_month_more(self) -> float | None:
        """After minus before, USD a month; None where either has no fleet."""
        before, after = self.before.usd_per_month, self.after.usd_per_month
        return None if before is None or after is None else round(after - before, 2)

    @property
    def ratio_more(self) -> float | None:
        """Change as a share of the cost before; None where that is unknown or zero."""
        more, before = self.usd_per_month_more, self.before.usd_per_month
        return more / before if more is not None and before else None


def plan_diff(before: Plan, after: Plan) -> PlanDiff:
    """Compare the later plan with the earlier one."""
    return PlanDiff(
        workload=str(after.workload["name"]),
        workload_before=str(before.workload["name"]),
        before=_facts(before),
        after=_facts(after),
        asked_differently=tuple(_asked_differently(before, after)),
    )


def diff_document(diff: PlanDiff) -> dict[str, Any]:
    """Plain JSON values of a difference."""
    return {
        **asdict(diff),
        "same_workload": diff.is_same_workload,
        "usd_per_month_more": diff.usd_per_month_more,
        "ratio_more": diff.ratio_more,
    }


def _facts(plan: Plan) -> PlanFacts:
    slo, fleet = plan.workload["slo"], plan.fleet
    replay = fleet.confirmed if fleet else None
    oldest = oldest_price(plan) if fleet else None
    least, when = replay.least if replay else (None, "")
    classes = {group.evidence for group in fleet.groups} if fleet else set[str]()
    return PlanFacts(
        fleet=short_words(fleet, with_precision=True) if fleet else "",
        usd_per_month=fleet.cost.total_usd_per_month if fleet else None,
        parts_usd_per_month=fleet.parts_usd_per_month if fleet else dict.fromkeys(COST_PARTS),
        within_slo_ratio=replay.within_slo_ratio if replay else None,
        least_within_slo_ratio=least,
        least_when=when,
        wanted_within_slo_ratio=float(slo["within_ratio"]),
        unit=unit_of(plan.demand),
        ttft_p95_ms=replay.ttft_p95_ms if replay else None,
        tpot_p95_ms=replay.tpot_p95_ms if replay else None,
        ttft_p95_target_ms=slo["ttft_p95_ms"],
        tpot_p95_target_ms=slo["tpot_p95_ms"],
        holds_up_to_peak_ratio=fleet.holds_up_to.peak_ratio if fleet and fleet.holds_up_to else None,
        risk=risk_words(plan) if fleet else "",
        evidence=next((evidence for evidence in _WEAKEST_FIRST if evidence in classes), ""),
        oldest_price=oldest.as_of if oldest else "",
        obligation_usd=fleet.cost.obligation_usd if fleet else None,
    )


def _asked_differently(before: Plan, after: Plan) -> Iterator[AskedDifferently]:
    asked_before, asked_after = _asked(before), _asked(after)
    for field in dict.fromkeys((*asked_before, *asked_after)):
        was, now = asked_before.get(field), asked_after.get(field)
        if was != now and not all(value is None or value is False for value in (was, now)):
            yield AskedDifferently(field, was, now)


def _asked(plan: Plan) -> dict[str, Any]:
    """Fields of the workload and the demand by their dotted names."""
    workload = {name: value for name, value in plan.workload.items() if name not in _UNASKED}
    demand = {name: _asked_demand(plan, name) for name in _DEMAND if name in plan.demand}
    file = plan.provenance.model_file
    return dict(_leaves({"workload": workload, "demand": demand, "model_file": asdict(file) if file else {}}, ""))


def _asked_demand(plan: Plan, name: str) -> dict[str, float]:
    """Figures of all clients' demand, whether or not a response cache answers some: what was counted or stated."""
    figures, answered = plan.demand[name], plan.demand.get("answered_ratio", 0.0)
    names = [key for key in figures if key in _STATED or plan.demand.get("requests")]
    if name != _RATE or not answered:
        return {key: figures[key] for key in names}
    return {
        key: figures[key] if key == _PEAK_RATIO else float(f"{figures[key] / (1 - answered):.{_EXACT_DIGITS}g}")
        for key in names
    }


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


SCHEMA = "advisor.plan-diff/v1"
_SHOWN = 8
"""Lines of each list; the rest is counted, so that a comment keeps to 60 lines."""
_LONGEST_VALUE = 60
_COLUMNS = (Column(""), Column("before", prose=20), Column("after", prose=20), Column("change"))
_NOTHING = "-"
_MEGA = 1e6
_SENT, _ITEMS = "demand.input_tokens.mean", "demand.output_tokens.mean"
_FIELDS = {
    "workload.slo.ttft_p95_ms": "TTFT p95 target (ms)",
    "workload.slo.tpot_p95_ms": "TPOT p95 target (ms)",
    "workload.slo.within_ratio": "share of requests within the SLO",
    "demand.requests_per_second.mean": "mean requests/s",
    "demand.requests_per_second.peak": "requests/s in the busiest minute",
    _SENT: "mean tokens in",
    _ITEMS: "mean tokens out",
}
_SIZES: Mapping[Unit, Mapping[str, tuple[str, float]]] = {
    Unit.TEXTS: {_SENT: ("mean tokens of a text", 1), _ITEMS: ("mean texts a request", 1)},
    Unit.AUDIO: {_SENT: ("mean seconds of a recording", MS_PER_SECOND), _ITEMS: ("mean recordings a request", 1)},
    Unit.IMAGES: {_SENT: ("mean size of an image", 1), _ITEMS: ("mean images a request", 1)},
    Unit.PICTURES: {_SENT: ("mean M pixels × steps of a picture", _MEGA), _ITEMS: ("mean pictures a request", 1)},
    Unit.ROWS: {_SENT: ("mean columns of a row", 1), _ITEMS: ("mean rows a request", 1)},
}
"""Names of the sizes of requests that are answered in one pass, and what the plan's numbers are divided by."""
_ANY_IF_EMPTY = ("workload.regions", "workload.accelerators", "workload.instance_types")


def diff_table(diff: PlanDiff, code: Sequence[str], width: int | None) -> str:
    """Table for a terminal in lines of a width (None: no limit); *code*: what the plans' code replaces."""
    head = bullets(list(_warnings(diff)), width)
    return "\n".join([headline(diff), *head, "", sections_text(_sections(diff, code), width)])


def diff_markdown(diff: PlanDiff, code: Sequence[str]) -> str:
    """Comment on a pull request: at most 60 lines, in which nobody is mentioned."""
    blocks = [f"### {escape_markdown(headline(diff))}", markdown_list(list(_warnings(diff)))]
    blocks.append(sections_markdown(_sections(diff, code), level=4))
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def diff_json(diff: PlanDiff, code: Mapping[str, Any]) -> str:
    """Every fact of both plans, and what their code replaces, as JSON values."""
    document = {"schema": SCHEMA, **diff_document(diff), "code": code}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def headline(diff: PlanDiff) -> str:
    """``support-chat: $2,895.09 → $4,102.40 a month (+$1,207.31, +42%)``."""
    before, after = diff.before.usd_per_month, diff.after.usd_per_month
    if before is None or after is None:
        told = ("no fleet" if amount is None else f"{usd(amount)} a month" for amount in (before, after))
        return f"{diff.workload}: {' → '.join(told)}"
    return f"{diff.workload}: {change_of_cost(before, after)}"


def _warnings(diff: PlanDiff) -> Iterator[str]:
    if not diff.is_same_workload:
        yield "The plans are of different workloads: their costs are not for the same work."
    least, wanted = diff.after.least_within_slo_ratio, diff.after.wanted_within_slo_ratio
    if diff.after.usd_per_month is not None and least is None:
        yield "The later plan was not replayed: only the closed form says that it keeps the SLO."
    if least is not None and least < wanted:
        when = diff.after.least_when
        yield (
            f"No fleet keeps the SLO in its replay: the closest, of the later plan, has {ratio_words(least)} of the "
            f"requests within it{when and f' {when}'}, {ratio_words(wanted)} are asked."
        )


def _sections(diff: PlanDiff, code: Sequence[str]) -> list[Section]:
    asked = [_asked_words(asked, diff.after.unit) for asked in diff.asked_differently]
    sections = [
        Section("plan", headers=_COLUMNS, rows=tuple(_rows(diff.before, diff.after))),
        Section("asked differently", _shortened(asked)),
        Section("code (Terraform)", _shortened(code)),
    ]
    return [section for section in sections if section.rows or section.lines]


def _shortened(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _SHOWN
    return (*lines[:_SHOWN], f"and {more} more (--format json)") if more > 0 else tuple(lines)


def _rows(before: PlanFacts, after: PlanFacts) -> Iterator[tuple[str, str, str, str]]:
    yield _texts("fleet", before.fleet, after.fleet)
    yield _amounts("USD a month", before.usd_per_month, after.usd_per_month)
    for part in dict.fromkeys((*after.parts_usd_per_month, *before.parts_usd_per_month)):
        amounts = [facts.parts_usd_per_month.get(part, 0.0) for facts in (before, after)]
        if any(amounts):
            yield _amounts(f"  {PART_WORDS[part]}", *amounts)
    yield _texts("requests within the SLO", _kept(before), _kept(after))
    both = (before, after)
    if any(facts.least_when for facts in both):
        yield _texts("  the least of them", *map(_least, both))
    yield _texts(first_name(after.unit), *(_margin(facts.ttft_p95_ms, facts.ttft_p95_target_ms) for facts in both))
    if not all(facts.unit.is_one_pass for facts in both):
        yield _texts("TPOT p95", *(_margin(facts.tpot_p95_ms, facts.tpot_p95_target_ms) for facts in both))
    yield _texts("holds", _holds(before), _holds(after))
    yield _texts("risk", before.risk, after.risk)
    yield _texts("evidence", before.evidence, after.evidence)
    yield _texts("oldest price", before.oldest_price, after.oldest_price)
    if before.obligation_usd or after.obligation_usd:
        yield _amounts("obligation, USD", before.obligation_usd, after.obligation_usd)


def _texts(name: str, before: str, after: str) -> tuple[str, str, str, str]:
    same = "" if before == after else "changed"
    return name, before or _NOTHING, after or _NOTHING, same


def _amounts(name: str, before: float | None, after: float | None) -> tuple[str, str, str, str]:
    told = [_NOTHING if amount is None else f"{amount:,.2f}" for amount in (before, after)]
    if before is None or after is None:
        return name, told[0], told[1], ""
    more = after - before
    return name, told[0], told[1], "" if abs(more) < HALF_A_CENT else f"{more:+,.2f}"


def _kept(facts: PlanFacts) -> str:
    if facts.within_slo_ratio is None:
        return "not replayed" if facts.fleet else ""
    return f"{ratio_words(facts.within_slo_ratio)} ({ratio_words(facts.wanted_within_slo_ratio)} asked)"


def _least(facts: PlanFacts) -> str:
    """The least share with what it is of: ``99.31% with one machine gone``."""
    least = facts.least_within_slo_ratio
    return "" if least is None else f"{ratio_words(least)} {facts.least_when or 'in a week'}"


def _margin(value_ms: float | None, target_ms: float | None) -> str:
    """A latency with its distance from the target."""
    if value_ms is None:
        return ""
    if target_ms is None:
        return milliseconds(value_ms)
    share = abs(1 - value_ms / target_ms)
    return f"{milliseconds(value_ms)}, {share:.0%} {'below' if value_ms <= target_ms else 'above'} the target"


def _holds(facts: PlanFacts) -> str:
    ratio = facts.holds_up_to_peak_ratio
    return "" if ratio is None else f"{held_words(ratio)} the busiest minute"


def _asked_words(asked: AskedDifferently, unit: Unit) -> str:
    name = _FIELDS.get(asked.field, asked.field.removeprefix("workload."))
    name = name.replace(first_name(Unit.TOKENS), first_name(unit))
    empty = "any" if asked.field in _ANY_IF_EMPTY else "none"
    before, after = (_value(value) or empty for value in (asked.before, asked.after))
    if unit in _SIZES and asked.field in _SIZES[unit]:
        name, per_unit = _SIZES[unit][asked.field]
        before, after = (_value(value and value / per_unit) or empty for value in (asked.before, asked.after))
    return f"{name}: {before} → {after}"


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return "not stated"
    if isinstance(value, float):
        return f"{value:,.5g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


ESTATE_SCHEMA = "advisor.estate-diff/v1"
_MOST_WORKLOADS = 40
"""Workloads in a table, so that a comment keeps to 60 lines."""
_SUMS = ("workloads", "planned", "infeasible", "failed", "fleets_usd_per_month", "total_usd_per_month")
_SUM_COLUMNS = (Column(""), Column("before"), Column("after"), Column("change"))
_WORKLOAD_COLUMNS = (
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
    changed = [change for change in changes if _row_facts(change.before) != _row_facts(change.after)]
    return EstateDiff(before, after, tuple(sorted(changed, key=_weight)))


def estate_diff_table(diff: EstateDiff, width: int | None) -> str:
    """Table for a terminal."""
    return f"{estate_headline(diff)}\n\n{sections_text(_estate_sections(diff), width)}"


def estate_diff_markdown(diff: EstateDiff) -> str:
    """Markdown for a comment on a pull request: at most 60 lines, in which nobody is mentioned."""
    return f"### {escape_markdown(estate_headline(diff))}\n\n{sections_markdown(_estate_sections(diff), level=4)}"


def estate_diff_json(diff: EstateDiff) -> str:
    """Sums of both, and each workload that changed."""
    document = {
        "schema": ESTATE_SCHEMA,
        "before": asdict(diff.before.totals),
        "after": asdict(diff.after.totals),
        "workloads": [asdict(change) | {"usd_per_month_more": change.usd_per_month_more} for change in diff.changes],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def estate_headline(diff: EstateDiff) -> str:
    """Total of both, and how many workloads changed."""
    cost = change_of_cost(diff.before.totals.total_usd_per_month, diff.after.totals.total_usd_per_month)
    return f"estate: {cost}; {counted(len(diff.changes), 'workload')} changed"


def _row_facts(row: WorkloadRow | None) -> tuple[object, ...] | None:
    """Facts whose change a reader would notice."""
    if row is None:
        return None
    return row.status, row.fleet, row.usd_per_month, row.within_slo_ratio, row.shared_machine is None


def _weight(change: WorkloadChange) -> tuple[bool, float, str]:
    lost = change.after is not None and change.after.status != PLANNED
    return not lost, -abs(change.usd_per_month_more or 0.0), change.file


def _estate_sections(diff: EstateDiff) -> list[Section]:
    more = len(diff.changes) - _MOST_WORKLOADS
    lines = (f"and {more:,} more (--format json)",) if more > 0 else ()
    sections = [
        Section("sums", headers=_SUM_COLUMNS, rows=tuple(_sum_rows(diff))),
        Section(
            "workloads",
            lines,
            _WORKLOAD_COLUMNS,
            tuple(_workload_row(change) for change in diff.changes[:_MOST_WORKLOADS]),
        ),
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


def _workload_row(change: WorkloadChange) -> tuple[str, ...]:
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
