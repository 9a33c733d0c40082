"""JSON schemas are laid out in one way; ``--update-golden`` lays them out anew."""

import json
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE = 118


def laid_out(value, indent=0, key=0):
    """JSON with each object and list on one line where it fits, after a key of so many letters."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + key + len(line) <= LINE:
        return line
    inner = indent + 2
    if isinstance(value, dict):
        keys = [f"{json.dumps(name)}: " for name in value]
        rows = [name + laid_out(item, inner, len(name)) for name, item in zip(keys, value.values(), strict=True)]
    elif all(isinstance(item, str) and " " not in item for item in value):
        rows = [row.removesuffix(",") for row in textwrap.wrap(line[1:-1], LINE - inner, break_on_hyphens=False)]
    else:
        rows = [laid_out(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, textwrap.indent(",\n".join(rows), "  "), closing])


@pytest.mark.parametrize("path", sorted((ROOT / "advisor").rglob("*.schema.json")), ids=lambda path: path.name)
def test_a_schema_is_laid_out_compactly(path, golden):
    """Objects and lists stand on one line where they fit."""
    golden(path, laid_out(json.loads(path.read_text(encoding="utf-8"))) + "\n")
