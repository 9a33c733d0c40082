"""A check as text, Markdown, JSON, SARIF 2.1.0 and JUnit."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as ET

from advisor.checks.values import RULES, Checked, Finding, Level
from advisor.names import printable
from advisor.report.bill.documents import sarif_place, sarif_text
from advisor.report.text_table import escape_markdown, markdown_list, render_markdown_table, wrap

SCHEMA = "advisor.check/v1"
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "note"}
_PAGE = "docs/check.md"
_INDENT = " " * 4


def check_text(checked: Checked, width: int | None = None) -> str:
    """The verdict, then each finding with what fixes it, in lines of a width but for commands."""
    levels = Counter(finding.level for finding in checked.findings)
    counts = [f"{levels[level]} {level}{'s' * (levels[level] > 1)}" for level in Level if levels[level]]
    verdict = "does not pass" if checked.failed else "passes"
    head = f"{checked.plan} {verdict}: {', '.join(counts) or 'nothing found'} ({len(checked.looked_at)} rules)"
    lines = [line for finding in checked.findings for line in _lines(finding, width)]
    notes = [line for note in checked.notes for line in wrap(f"note: {note}", width, rest=_INDENT)]
    return "\n".join([*wrap(head, width, rest=_INDENT), *lines, *notes]) + "\n"


def check_markdown(checked: Checked) -> str:
    """The same for a comment: the verdict, and a table of the findings."""
    verdict, *_ = check_text(checked).splitlines()
    rows = [
        (finding.level.value, finding.id, f"{_subject(finding)}{finding.message}", finding.command)
        for finding in checked.findings
    ]
    table = render_markdown_table(("level", "id", "finding", "run"), rows) if rows else ""
    blocks = [f"### {escape_markdown(verdict)}", table, markdown_list(checked.notes)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def check_json(checked: Checked) -> str:
    """All of it, by ``advisor.check/v1``."""
    return json.dumps({"schema": SCHEMA} | asdict(checked), indent=1, ensure_ascii=False) + "\n"


def check_sarif(checked: Checked) -> str:
    """One run with a result for each finding."""
    rules = list(RULES.values())
    results = [
        {
            "ruleId": finding.id,
            "ruleIndex": next(at for at, rule in enumerate(rules) if rule.id == finding.id),
            "level": _SARIF_LEVELS[finding.level],
            "message": {"text": f"{_subject(finding)}{finding.message}. Run: {finding.command}"},
            "locations": sarif_place(finding.file),
        }
        for finding in checked.findings
    ]
    described: list[dict[str, Any]] = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "help": {"text": f"See {_PAGE}, {rule.id}."},
            "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
        }
        for rule in rules
    ]
    return sarif_text(described, results)


def check_junit(checked: Checked, failing: Level | None) -> str:
    """One test case for each rule that was applied; findings as heavy as *failing* are failures."""
    of_rule = {rule: [finding for finding in checked.findings if finding.id == rule] for rule in checked.looked_at}
    most_rank = -1 if failing is None else failing.rank
    heavy = {
        rule: [finding for finding in findings if finding.level.rank <= most_rank] for rule, findings in of_rule.items()
    }
    suite = ET.Element(
        "testsuite", name="advisor check", tests=str(len(of_rule)), failures=str(sum(map(bool, heavy.values())))
    )
    for rule, findings in of_rule.items():
        name = f"{rule} {RULES[rule].title}"
        case = ET.SubElement(suite, "testcase", classname=printable(checked.plan), name=name)
        words = printable("\n".join(line for finding in findings for line in _lines(finding)))
        if heavy[rule]:
            ET.SubElement(
                case, "failure", message=printable(f"{_subject(heavy[rule][0])}{heavy[rule][0].message}")
            ).text = words
        elif findings:
            ET.SubElement(case, "system-out").text = words
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _subject(finding: Finding) -> str:
    return f"{finding.subject}: " if finding.subject else ""


def _lines(finding: Finding, width: int | None = None) -> list[str]:
    title = RULES[finding.id].title
    return [
        *wrap(f"{finding.level} {finding.id}: {title}", width, rest=_INDENT),
        *wrap(f"{_subject(finding)}{finding.message}", width, _INDENT, _INDENT),
        f"{_INDENT}{finding.command}",
    ]
