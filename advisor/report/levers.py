"""Levers in words and tables: the verdict first, then each lever alone and in the combination."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from advisor.levers import SCHEMA, LeverReport, PricedLever, QualityKept, UnpricedLever, Work
from advisor.plan.document import plain
from advisor.plan.values import CurrentCost, PriceEnds
from advisor.plan.words import first_name
from advisor.records import picked
from advisor.report.plan_words import never_words
from advisor.report.text_table import Column, Section, dashed
from advisor.report.words import name_words, payback_words, short_rung_words, today_cost_words
from advisor.units import A_CENT, milliseconds, ratio_words, rounded, usd

_LEVERS = (
    Column("lever"),
    Column("saves alone"),
    Column("worth with the others"),
    Column("plan alone", importance=4),
    Column("work once", importance=1),
    Column("paid back", importance=2),
    Column("evidence", importance=3),
    Column("what changes, and what it risks", prose=34),
)
_SHOWN = (
    Column("lever"),
    Column("evidence", importance=2),
    Column("code", importance=1),
    Column("why it has no price", prose=40),
)
_FACTS = (
    Column("lever"),
    Column("value"),
    Column("evidence"),
    Column("what was measured or is said", prose=30),
    Column("source", importance=1, prose=20),
)
_CACHES = ("response_cache", "semantic_cache", "embedding_cache")
_LONGEST_LINE = 120
"""Characters of lines of a workload file that are written out; names of many regions take more."""


def lever_sections(report: LeverReport, *, verbose: bool = False) -> list[Section]:
    """The report; verbose: with every figure of others."""
    shown = [
        Section(_verdict(report), tuple(_told(report))),
        Section(
            "levers, USD a month: each is the difference of two plans",
            tuple(_table_lines(report)),
            _LEVERS,
            tuple(_row(lever) for lever in report.levers),
        ),
        Section("levers without a price", (), _SHOWN, tuple(_unpriced_row(lever) for lever in report.unpriced)),
    ]
    if verbose:
        lines = ("figures of others; none enters a price",)
        shown.append(Section("what others measured or say", lines, _FACTS, tuple(_fact_rows(report))))
    return shown


def levers_json(report: LeverReport) -> str:
    """The report as JSON."""
    return json.dumps({"schema": SCHEMA} | plain(report, "levers"), indent=1, ensure_ascii=False) + "\n"


def lever_rows(report: LeverReport) -> list[dict[str, object]]:
    """Every lever as a row with the same keys: its numbers, or why it has none."""
    priced = [
        {
            "lever": lever.lever,
            "saving_usd_per_month": lever.priced.saving_usd_per_month,
            **picked(lever, "worth_usd_per_month", "used"),
            **picked(lever.work, "effort_hours", "one_off_usd", "payback_months"),
            "evidence": lever.priced.plan.evidence,
            **picked(lever, "wrong_answer_ratio", "beyond_stated", "line", "change", "risk"),
            "code": "",
            "why": lever.dropped,
        }
        for lever in report.levers
    ]
    unpriced = ({"lever": lever.lever, "code": lever.code or "", "why": lever.why} for lever in report.unpriced)
    names = dict.fromkeys(priced[0] if priced else ("lever", "code", "why"), "")
    return [*plain(priced, "levers"), *({**names, **row} for row in unpriced)]


def _verdict(report: LeverReport) -> str:
    """Levers of the combination, its cost, and that against what is paid."""
    used = [name_words(lever.lever) for lever in report.levers if lever.used]
    if not used:
        return f"No lever saves anything: the cost stays {dashed(report.without.total_usd_per_month, usd)} a month"
    total, paid = report.together.plan.total_usd_per_month, report.paid_usd_per_month
    whose = "without any" if report.current is None else "today"
    change = f"against {dashed(paid, usd)} {whose}"
    if total is not None and paid:
        change = f"{abs(1 - total / paid):.0%} {'less' if total <= paid else 'more'} than {whose} ({usd(paid)})"
    return f"Pull {' + '.join(used)}: {dashed(total, usd)} a month, {change}; {_work_words(report.work)}"


def _told(report: LeverReport) -> Iterator[str]:
    """Sentences under the verdict, what costs more first."""
    for lever in report.levers:
        saving = lever.priced.saving_usd_per_month
        if saving < -A_CENT:
            beside = f", and saves {_worth(lever)} with the others" if lever.used else ""
            yield f"Costs more: {name_words(lever.lever)} alone adds {usd(-saving)} a month{beside}."
    if report.current is not None:
        yield _today_words(report.current)
    needed = f", with {' + '.join(map(name_words, report.needed))}: none does without" if report.needed else ""
    fleet, total = short_rung_words(report.without.groups), report.without.total_usd_per_month
    yield f"Without any lever: {fleet} at {dashed(total, usd)} a month{needed}."
    if any(lever.used for lever in report.levers):
        yield from _combined(report)
    if report.services:
        yield _service_words(report)


def _combined(report: LeverReport) -> Iterator[str]:
    """Fleet of the combination, its quality and latency, what it takes and risks."""
    plan = report.together.plan
    yield f"With them: {short_rung_words(plan.groups)}, {plan.evidence}."
    if report.together.price_range is not None:
        yield _price_words(report.together.price_range, report.paid_usd_per_month)
    yield f"Quality: {_quality_words(report.together.quality)}."
    for lever in report.levers:
        if lever.used and lever.wrong_answer_ratio:
            yield (
                f"Wrong answers: {lever.wrong_answer_ratio:.1%} of the requests get the answer to another "
                f"({name_words(lever.lever)})."
            )
    yield f"Latency: {_latency_words(report)}."
    if plan.requires:
        yield f"Takes: {'; '.join(text.split(';')[0] for text in plan.requires)}."
    if plan.risks:
        yield f"Risks: {'; '.join(plan.risks)}."
    beyond = [
        lever.line if 0 < len(lever.line) <= _LONGEST_LINE else lever.change
        for lever in report.levers
        if lever.used and lever.beyond_stated
    ]
    if beyond:
        yield f"Not in the workload file yet: {'; '.join(beyond)}."


def _price_words(ends: PriceEnds, paid_usd_per_month: float | None) -> str:
    """Prices of the fleet that are in doubt, what it costs at their ends, and what is saved of the cost without it."""
    verb = "is" if len(ends.prices) == 1 else "are"
    low, high = ends.low_usd_per_month, ends.high_usd_per_month
    saved = (
        ""
        if paid_usd_per_month is None
        else f", and saves {usd(paid_usd_per_month - high)} to {usd(paid_usd_per_month - low)} of what is paid"
    )
    return f"Price: {' and '.join(ends.prices)} {verb} in doubt: the fleet costs {usd(low)} to {usd(high)}{saved}."


def _today_words(current: CurrentCost) -> str:
    """Cost of today's deployment, and whether it keeps the SLO."""
    told = f"Today: {today_cost_words(current)}"
    kept, needed = current.within_slo_ratio, current.instances_needed
    if kept is None:
        return f"{told}, {current.not_judged}."
    takes = f"; {needed} are needed" if needed is not None and needed > current.instances else ""
    return f"{told}, {ratio_words(kept)} of the requests within the SLO{takes}."


def _service_words(report: LeverReport) -> str:
    cheapest = report.services[0]
    rate = cheapest.break_even_requests_per_second
    is_cached = any(lever.used and lever.lever in _CACHES for lever in report.levers)
    behind, with_cache = (" behind the cache", ", the same cache in front,") if is_cached else ("", "")
    told = "" if rate is None else f"; the fleet {_even_words(rate, behind, report.carried_requests_per_second)}"
    return (
        f"By the token, for what the fleet with every lever serves: {cheapest.name}{with_cache} asks "
        f"{usd(cheapest.total_usd_per_month)} ({cheapest.price_as_of}), without a latency target{told}."
    )


def _even_words(rate: float, behind: str, carried: float | None) -> str:
    """Mean rate from which the fleet costs less, or that it never does at its size."""
    least = f"{rounded(rate)} requests/s{behind}"
    return f"costs less from {least} on average" if carried is None or rate <= carried else never_words(least, carried)


def _table_lines(report: LeverReport) -> Iterator[str]:
    yield "alone: against the plan without any lever; with the others: what the combination would cost more without it"
    without, paid = report.without.total_usd_per_month or 0.0, report.paid_usd_per_month or 0.0
    if without - paid >= A_CENT:
        more = usd(without - paid)
        yield f"that plan costs {more} more than today: what a lever saves alone less that is what the bill saves"
    if any(lever.used and lever.worth_usd_per_month is None for lever in report.levers):
        yield "needed: no fleet of the combination does without"
    yield "hours are estimates: --effort LEVER=HOURS sets your own"
    if report.work.one_off_usd is None:
        yield "--hourly-rate prices the hours"


def _row(lever: PricedLever) -> tuple[str, ...]:
    hours, cost = f"{lever.work.effort_hours:,.0f} h", lever.work.one_off_usd
    return (
        name_words(lever.lever),
        f"{lever.priced.saving_usd_per_month:,.2f}",
        _worth(lever),
        dashed(lever.priced.plan.total_usd_per_month, usd),
        hours if cost is None else f"{hours}\n{usd(cost)}",
        "-" if cost is None else payback_words(lever.work.payback_months, without="never"),
        lever.priced.plan.evidence,
        "\n".join(_change_words(lever)),
    )


def _worth(lever: PricedLever) -> str:
    if lever.dropped:
        return "left out"
    if not lever.used:
        return "not used"
    return "needed" if lever.worth_usd_per_month is None else f"{lever.worth_usd_per_month:,.2f}"


def _change_words(lever: PricedLever) -> Iterator[str]:
    yield lever.change
    if lever.dropped:
        yield f"left out: {lever.dropped}"
    yield f"risks: {lever.risk}" + ("" if lever.lock_in == "none" else f"; ties to {lever.lock_in}")
    if lever.basis:
        yield f"rests on: {lever.basis}"


def _unpriced_row(lever: UnpricedLever) -> tuple[str, ...]:
    counts = Counter(name_words(fact.evidence) for fact in lever.facts)
    return (
        name_words(lever.lever),
        "\n".join(f"{count} × {kind}" for kind, count in counts.most_common()),
        lever.code or "",
        lever.why,
    )


def _fact_rows(report: LeverReport) -> Iterator[tuple[str, ...]]:
    levers: Sequence[PricedLever | UnpricedLever] = (*report.levers, *report.unpriced)
    for lever in levers:
        for fact in lever.facts:
            told = "; ".join(filter(None, (fact.metric, fact.setting, fact.condition)))
            origin, value = f"{fact.provenance.source}, {fact.provenance.as_of}", f"{fact.value} {fact.unit}".strip()
            yield name_words(lever.lever), value, name_words(fact.evidence), told, origin


def _quality_words(quality: QualityKept | None) -> str:
    if quality is None:
        return "not known for the weights of this fleet"
    if quality.mean_ratio == quality.low_ratio == 1:
        return "that of the published weights"
    if quality.low_ratio == quality.high_ratio:
        return f"keeps {quality.mean_ratio:.1%}, {quality.source}"
    interval = f"{quality.low_ratio:.1%} to {quality.high_ratio:.1%} by benchmark"
    return f"keeps {quality.mean_ratio:.1%} of the benchmark scores ({interval}), {quality.source}"


def _latency_words(report: LeverReport) -> str:
    before, after = report.without_latency, report.together.latency
    told = [f"{first_name(report.unit)} {_ms(before.ttft_p95_ms)} → {_ms(after.ttft_p95_ms)}"]
    if not report.unit.is_one_pass:
        told.append(f"TPOT p95 {_ms(before.tpot_p95_ms)} → {_ms(after.tpot_p95_ms)}")
    return f"{', '.join(told)} in the replays"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else milliseconds(value)


def _work_words(work: Work) -> str:
    hours = f"{work.effort_hours:,.0f} hours of work once"
    if work.one_off_usd is None:
        return hours
    paid = "" if work.payback_months is None else f", paid back in {payback_words(work.payback_months)}"
    return f"{hours} ({usd(work.one_off_usd)}){paid}"
