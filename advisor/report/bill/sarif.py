"""Findings of an audit as SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""

from pathlib import Path
from typing import Any

from advisor.audit.currency import monthly
from advisor.audit.findings.rules import RULES, SAVING, Rule
from advisor.audit.values import Audit, Finding
from advisor.report.bill.json_report import finding_entry
from advisor.report.sarif import sarif_place, sarif_text


def audit_sarif(audit: Audit, bill: Path) -> str:
    """One run with a result for each finding."""
    return sarif_text([_rule(rule) for rule in RULES], [_result(audit, finding, bill) for finding in audit.findings])


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.title.replace("-", " ").split()),
        "shortDescription": {"text": rule.title},
        "help": {"text": f"Risk: {rule.risk}. See docs/findings.md, {rule.id}."},
        "properties": {"effort": rule.effort.value},
    }


def _commands(finding: Finding) -> str:
    """Commands, each whole on a line of its own."""
    if finding.look == finding.command:
        return f" The command only looks: {finding.why_no_action}.\nRun: {finding.command}"
    return f"\nLook first: {finding.look}\nRun: {finding.command}"


def _result(audit: Audit, finding: Finding, bill: Path) -> dict[str, Any]:
    amount = monthly(finding.per_month, audit.bill.currency)
    return {
        "ruleId": finding.id,
        "ruleIndex": next(at for at, rule in enumerate(RULES) if rule.id == finding.id),
        "level": "warning" if finding.basis == SAVING else "note",
        "message": {"text": f"{finding.title}: {amount}. {finding.evidence}.{_commands(finding)}"},
        "locations": sarif_place(bill.as_posix()),
        "properties": finding_entry(finding, is_in_usd=audit.is_in_usd),
    }
