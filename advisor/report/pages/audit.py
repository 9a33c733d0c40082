"""The page of an audit: what the bill was spent on, what was found, and what each finding lies between."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from advisor.audit.findings.rules import SAVING
from advisor.audit.money import between, in_cents, money, percent
from advisor.audit.values import HOST_PARTS, PARTS, Audit, Finding
from advisor.report.bill.table import audit_sections
from advisor.report.pages.amounts import TOTAL, Amount, side_by_side, waterfall
from advisor.report.pages.sectioned import Chart, Page, render_sections
from advisor.report.sections import Section

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
    findings = (_found(finding, currency) for finding in audit.findings if finding.per_month is not None)
    savings = [amount for finding, amount in findings if finding.basis == SAVING]
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


def _found(finding: Finding, currency: str | None) -> tuple[Finding, Amount]:
    low, high = (None if edge is None else float(edge) for edge in (finding.low, finding.high))
    bounds = between(finding.low, finding.high, currency)
    words = money(finding.per_month, currency) + (f" ({bounds})" if bounds else "")
    return finding, Amount(f"{finding.id} {finding.title}", float(finding.per_month or 0), words, low, high)


def _host_rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    for host in audit.split.hosts:
        parts = (money(host.parts[part], audit.bill.currency) for part in HOST_PARTS)
        use = host.use
        yield (
            host.resource, host.instance_type, money(host.cost, audit.bill.currency), *parts, f"{use.accelerators}",
            f"{use.mean:.1%}", f"{use.p95:.1%}", f"{use.observed_ratio:.1%}", ", ".join(use.verdicts),
        )  # fmt: skip
