"""Findings as SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from advisor import __version__

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
