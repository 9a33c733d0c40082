"""An audit for a terminal or a Markdown page: the verdict, then cost, findings, endpoints and owners."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from advisor.audit import (
    PARTS,
    SAVING,
    UNTAGGED_SPEND,
    ZERO,
    Audit,
    Basis,
    Endpoint,
    Finding,
    Usage,
    between,
    in_cents,
    money,
    monthly,
    percent,
)
from advisor.report.text_table import Column, Section, sections_markdown, sections_text
from advisor.units import HOURS_PER_MONTH, counted

_TOP = 5
_DEAREST = 3
_SAME_MONTH = 0.0005
"""Share by which amounts a month differ from those of the bill, below which nothing is said of it."""
_PART_WORDS = {
    "needed": "accelerators at work",
    "headroom": "kept for the busiest 5% of the time",
    "idle": "not used even then",
    "unused_commitment": "paid for in advance, covering nothing",
    "unattributed": "no telemetry of it (--samples, --prometheus)",
}

_GIVEN_BACK = "credits and refunds that name no machine with telemetry, less what has none"


def audit_table(audit: Audit, width: int | None, *, whole: bool) -> str:
    """Table for a terminal in lines of a width; *whole*: every value, finding and endpoint, not the greatest alone."""
    return sections_text(audit_sections(audit, whole=whole), width, whole=whole)


def audit_markdown(audit: Audit) -> str:
    """Markdown for a pull request or a wiki page."""
    return sections_markdown(audit_sections(audit, whole=True, is_page=True))


def finding_table(finding: Finding, currency: str | None, width: int | None) -> str:
    """One finding with everything that it was found at."""
    lines = (*_finding_lines(finding, currency), f"Risk: {finding.risk}.")
    rows = tuple((name, money(cost, currency)) for name, cost in finding.resources)
    title = f"{finding.id} {finding.title}: {monthly(finding.per_month, currency)}"
    section = Section(title, lines, ("found at", "cost in the bill"), rows, tuple(_commands(finding)))
    return sections_text([section], width, whole=True)


def audit_sections(audit: Audit, *, whole: bool, is_page: bool = False) -> list[Section]:
    """The verdict, then the tables of an audit.

    *whole*: every value, finding and endpoint, not the greatest alone. *is_page*: intervals stand beside their amounts,
    not under them.
    """
    divided = ("cost of the endpoints, divided by the tokens of each one's requests",)
    sections = [_verdict(audit), _amounts("Cost by kind", "kind", audit.kinds, audit), _compute(audit)]
    sections.append(_findings(audit, whole=whole, is_page=is_page))
    sections += [_endpoints(audit, whole=whole)] if audit.endpoints else []
    sections += [_teams(audit.traffic.teams)] if audit.traffic and len(audit.traffic.teams) > 1 else []
    sections += [
        _amounts(f"Chargeback by {column}", column, amounts, audit, divided)
        for column, amounts in audit.chargeback.items()
    ]
    for table in audit.tags:
        amounts = {**_greatest(table.values, whole=whole), "(untagged)": table.untagged}
        told = (f"(untagged): charges without this tag, taxes too; {UNTAGGED_SPEND.id}: without any, taxes aside",)
        sections.append(_amounts(f"Showback by {table.key}", table.key, amounts, audit, told if table.untagged else ()))
    sections += _breakdowns(audit, whole=whole)
    return [*sections, Section("Notes", tuple(audit.notes))] if audit.notes else sections


def _verdict(audit: Audit) -> Section:
    bill, currency = audit.bill, audit.bill.currency
    if not bill.rows:
        return Section(
            "The bill has no charges",
            ("its files hold a header and no rows: nothing was spent, or the export is not done",),
        )
    savings = [finding for finding in audit.findings if finding.basis == SAVING]
    total = f"Bill of {money(bill.cost, currency)} ({bill.basis} cost), {_period(audit)}"
    title = f"{total}: {_saving_words(savings, currency)}"
    return Section(title, tuple(_verdict_lines(audit, savings)))


def _period(audit: Audit) -> str:
    start, end = audit.bill.start, audit.bill.end
    if start is None or end is None:
        return "period unknown"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _saving_words(savings: Sequence[Finding], currency: str | None) -> str:
    if not savings:
        return "no saving found"
    greatest = savings[0]
    count = f"{counted(len(savings), 'finding')} with a saving"
    if greatest.per_month is None:
        return f"{count}, how much a month is unknown"
    bounds = between(greatest.low, greatest.high, currency)
    amount = monthly(greatest.per_month, currency)
    return f"{count}, the greatest {amount} ({', '.join(filter(None, (greatest.id, bounds)))})"


def _verdict_lines(audit: Audit, savings: Sequence[Finding]) -> Iterator[str]:
    bill, currency = audit.bill, audit.bill.currency
    other, amount = (
        ("billed", bill.billed_cost) if bill.basis is Basis.EFFECTIVE else ("effective", bill.effective_cost)
    )
    unstated = f"the bill states no {other} cost" if amount is None else f"{other} cost {money(amount, currency)}"
    yield f"{counted(bill.rows, 'row')}; {unstated}."
    compute = audit.kinds["compute"]
    if compute > 0:
        split = audit.split.parts
        yield f"Compute {money(in_cents(audit.kinds)['compute'], currency)}: {_share_words(split, compute)}."
    if dearest := [endpoint for endpoint in audit.endpoints if endpoint.cost is not None and endpoint.cost > 0][
        :_DEAREST
    ]:
        named = ", ".join(f"{endpoint.name} ({money(endpoint.cost, currency)})" for endpoint in dearest)
        yield f"Dearest endpoints: {named}."
    if savings:
        title = savings[0].title
        yield f"First, {title[0].lower()}{title[1:]} ({savings[0].id}): its command is below the findings."


def _share_words(split: Mapping[str, Decimal], compute: Decimal) -> str:
    named = {part: part.replace("_", " ") for part in PARTS}
    if split["unattributed"] < 0:
        named["unattributed"] = "credits and refunds of none of these"
    return ", ".join(f"{percent(split[part], compute, 0)} {named[part]}" for part in PARTS if split[part])


def _compute(audit: Audit) -> Section:
    cents = in_cents(audit.split.parts, in_cents(audit.kinds)["compute"])
    total = sum(audit.split.parts.values(), ZERO)
    rows = tuple(
        (
            part.replace("_", " "),
            money(cents[part], audit.bill.currency),
            percent(audit.split.parts[part], total),
            _GIVEN_BACK if part == "unattributed" and audit.split.parts[part] < 0 else _PART_WORDS[part],
        )
        for part in PARTS
    )
    return Section("Compute: what it was for", (), ("part", "cost", "share", "meaning"), rows)


def _amounts(
    title: str, column: str, amounts: Mapping[str, Decimal], audit: Audit, lines: tuple[str, ...] = (),
    shown: Decimal | None = None,
) -> Section:  # fmt: skip
    """Names with amounts that sum up to the cent (to the total *shown*, where there is one), and their share."""
    currency, cents, total = audit.bill.currency, in_cents(amounts, shown), sum(amounts.values(), ZERO)
    # A name that begins or ends with a blank is in quotes: nobody would see it.
    names = {name: name if name == name.strip() else f'"{name}"' for name in amounts}
    rows = [(names[name], money(cents[name], currency), percent(amounts[name], total)) for name in amounts]
    rows.append(("total", money(sum(cents.values(), ZERO), currency), percent(total, total)))
    return Section(title, lines, (column, "cost", "share"), tuple(rows))


def _greatest(amounts: Mapping[str, Decimal], *, whole: bool) -> dict[str, Decimal]:
    """The greatest amounts, and the rest as one."""
    ordered = sorted(amounts.items(), key=lambda entry: (-abs(entry[1]), entry[0]))
    if whole or len(ordered) <= _TOP + 1:
        return dict(ordered)
    shown, rest = ordered[:_TOP], ordered[_TOP:]
    return {**dict(shown), f"{len(rest)} more": sum((amount for _, amount in rest), ZERO)}


def _breakdowns(audit: Audit, *, whole: bool) -> Iterator[Section]:
    titles = {
        "provider": "Cost by provider",
        "region": "Cost by region",
        "family": "Compute by machine family",
        "purchase": "Cost by way of paying",
    }
    for column, title in titles.items():
        amounts = audit.by[column]
        if len(amounts) > 1 or whole:
            shown = in_cents(audit.kinds)["compute"] if column == "family" else None
            section = _amounts(title, column, _greatest(amounts, whole=whole), audit, shown=shown)
            yield section if amounts else Section(title, (), section.headers)


def _endpoints(audit: Audit, *, whole: bool) -> Section:
    shown = audit.endpoints if whole else audit.endpoints[:_TOP]
    lines = ["named by a tag (endpoint, service, model, application, …), a SageMaker endpoint or a sold model"]
    if len(shown) < len(audit.endpoints):
        lines.append(f"the {len(shown)} dearest of {len(audit.endpoints):,}; --wide shows all")
    if audit.traffic is not None:
        lines.append(
            f"a million tokens in and out: an output token counts {audit.traffic.output_weight:g} input tokens, the "
            "median of models sold by the token"
        )
    headers = (
        "endpoint", "cost", "requests", Column("per request", 1), Column("per 1M in", 1), Column("per 1M out", 1),
        Column("peak ÷ mean", 2), Column("errors", 2), Column("error cost", 3), Column("cache hits", 3),
    )  # fmt: skip
    return Section(
        "Endpoints", tuple(lines), headers, tuple(_endpoint_row(endpoint, audit.bill.currency) for endpoint in shown)
    )


def _endpoint_row(endpoint: Endpoint, currency: str | None) -> tuple[str, ...]:
    usage = endpoint.usage
    return (
        endpoint.name,
        f"{money(endpoint.cost, currency)}{' (log)' if endpoint.cost_source == 'log' else ''}",
        f"{usage.requests:,}" if usage else "-",
        money(endpoint.cost_per_request, currency),
        money(endpoint.cost_per_million_input_tokens, currency),
        money(endpoint.cost_per_million_output_tokens, currency),
        f"{usage.peak_ratio:.1f}" if usage and usage.peak_ratio is not None else "-",
        _ratio(usage.errors if usage else None, usage),
        money(endpoint.error_cost, currency),
        _ratio(usage.cache_hits if usage else None, usage),
    )


def _ratio(part: int | None, usage: Usage | None) -> str:
    return "-" if part is None or usage is None or not usage.requests else f"{part / usage.requests:.1%}"


def _teams(usages: Sequence[Usage]) -> Section:
    def count(number: int | None) -> str:
        return "-" if number is None else f"{number:,}"

    rows = tuple(
        (
            usage.name,
            f"{usage.requests:,}",
            count(usage.input_tokens),
            count(usage.output_tokens),
            _ratio(usage.errors, usage),
        )
        for usage in usages
    )
    return Section("Use by team", (), ("team", "requests", "tokens in", "tokens out", "errors"), rows)


def _findings(audit: Audit, *, whole: bool, is_page: bool) -> Section:
    if not audit.findings:
        return Section("No findings")
    shown = audit.findings if whole else audit.findings[: 2 * _TOP]
    lines = ["savings of one finding can be part of another's: they do not add up", *_month_words(audit)]
    lines += [f"{len(shown)} of {len(audit.findings)}; --wide shows all"] if len(shown) < len(audit.findings) else []
    rows = tuple(
        (
            finding.id,
            "\n".join(
                filter(
                    None,
                    (
                        f"{finding.title} ({finding.basis}, {finding.effort} effort)",
                        finding.evidence,
                        _no_action_words(finding),
                    ),
                )
            ),
            _interval(finding, audit.bill.currency, is_page=is_page),
        )
        for finding in shown
    )
    headers = ("id", Column("finding, evidence", prose=40), "a month")
    commands = tuple(command for finding in shown for command in _commands(finding))
    return Section("Findings", tuple(lines), headers, rows, commands)


def _month_words(audit: Audit) -> Iterator[str]:
    """How amounts of the bill's period become amounts a month, and what the whole bill is so."""
    bill = audit.bill
    factor = HOURS_PER_MONTH / bill.hours if bill.hours else 1.0
    if abs(factor - 1) >= _SAME_MONTH:
        total = monthly(bill.cost * Decimal(factor), bill.currency)
        yield (
            f"a month has {HOURS_PER_MONTH:g} h: amounts of the {bill.hours:,.4g} h of the bill are times {factor:.4g} "
            f"(the whole bill: {total})"
        )


def _no_action_words(finding: Finding) -> str:
    return f"the command only looks: {finding.why_no_action}" if finding.why_no_action else ""


def _commands(finding: Finding) -> Iterator[str]:
    """The command that looks, where that is another, and the one that acts: each on a line after the finding's id."""
    if finding.look != finding.command:
        yield f"{finding.id}, look first: {finding.look}"
    yield f"{finding.id}: {finding.command}"


def _interval(finding: Finding, currency: str | None, *, is_page: bool) -> str:
    """The amount, and what it lies between where it is not known exactly: under it, on a page beside it."""
    amount, bounds = money(finding.per_month, currency), between(finding.low, finding.high, currency)
    if not bounds:
        return amount
    if is_page:
        return f"{amount} ({bounds})"
    return f"{amount}\n{money(finding.low, currency)}\nto {money(finding.high, currency)}"


def _finding_lines(finding: Finding, currency: str | None) -> tuple[str, ...]:
    bounds = between(finding.low, finding.high, currency)
    amount = f"{bounds} a month" if bounds else monthly(finding.per_month, currency)
    words = f"{finding.basis.title()} of {amount}; {finding.effort} effort."
    told = _no_action_words(finding)
    return f"{finding.evidence}.", words, *([f"{told[0].upper()}{told[1:]}."] if told else [])
