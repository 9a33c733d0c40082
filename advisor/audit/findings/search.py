"""All findings of an audit."""

from advisor.audit.findings.charges import charge_findings
from advisor.audit.findings.compute import compute_findings
from advisor.audit.findings.context import Context
from advisor.audit.findings.requests import request_findings
from advisor.audit.findings.rules import SAVING
from advisor.audit.values import Finding

_LEAST_PER_MONTH = 1
"""A finding of less than this a month, in the currency of the bill, is not worth a line."""


def find_all(context: Context, *, least_per_month: float = _LEAST_PER_MONTH) -> list[Finding]:
    """Findings, savings before spend, the greatest first."""
    findings = (*compute_findings(context), *charge_findings(context), *request_findings(context))
    notable = [finding for finding in findings if finding.high is None or finding.high >= least_per_month]
    return sorted(notable, key=lambda finding: (finding.basis != SAVING, -(finding.per_month or 0), finding.id))
