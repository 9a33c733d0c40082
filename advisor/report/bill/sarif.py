"""Findings of an audit as SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from advisor import __version__
from advisor.audit.findings.rules import RULES, SAVING, Rule
from advisor.audit.values import Audit, Finding, monthly
from advisor.report.bill.json_report import finding_entry

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_text(rules: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> str:
    """One run of this program: its rules, and what they found."""
    driver = {"name": "advisor", "version": __version__, "rules": list(rules)}
    runs = [{"tool": {"driver": driver}, "results": list(results)}]
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def sarif_place(path: str) -> list[dict[str, Any]]:
    """Locations of a result that is about a file as a whole."""
    return [{"physicalLocation": {"artifactLocation": {"uri": quote(path)}}}]


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
