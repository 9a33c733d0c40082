"""Findings: ``rules.py`` is the table of what is looked for, the other modules look for it."""

from advisor.audit.findings.context import Context
from advisor.audit.findings.search import find_all

__all__ = ["Context", "find_all"]
