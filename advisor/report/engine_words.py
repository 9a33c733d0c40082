"""Result of a refresh of engine releases and the changes it made, as text and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from advisor.catalog.layers.engine_releases import ReleaseChange
from advisor.catalog.layers.refreshing_engines import RefreshedEngines
from advisor.catalog.refresh.values import ReleaseRow
from advisor.report.text_table import render_table

_MOST_LISTED = 40


def engine_refresh_words(result: RefreshedEngines) -> str:
    """Summary of what was read, left out, missing or held up, and what changed."""
    counts = Counter(row.engine for row in result.found.rows if isinstance(row, ReleaseRow))
    read = ", ".join(f"{number:,} of {engine}" for engine, number in sorted(counts.items()))
    lines = [f"engines: read releases: {read or 'none'}"]
    lines += [f"  missing: {gap.part}: {gap.reason}\n    to mend it: {gap.remedy}" for gap in result.found.gaps]
    lines += _skipped(result)
    lines += [f"  held up: {held}" for held in result.held]
    if result.is_sound:
        lines.append(release_change_words(result.changes).rstrip("\n"))
        outcome = f"releases of {result.snapshot.read_on} count from now on" if result.snapshot else ""
        lines.append(f"engines: {outcome or 'this was a dry run, so the old releases hold'}")
    return "\n".join(lines) + "\n"


def _skipped(result: RefreshedEngines) -> Iterator[str]:
    """Releases that are left out, by engine and reason."""
    versions: dict[tuple[str, str], list[str]] = {}
    for row in result.skipped:
        versions.setdefault((row.engine, row.reason), []).append(row.version)
    for (engine, reason), texts in versions.items():
        shown = ", ".join(map(repr, texts[:_MOST_LISTED]))
        more = f" and {len(texts) - _MOST_LISTED} more" if len(texts) > _MOST_LISTED else ""
        yield f"  left out of {engine}: {shown}{more}: {reason}"


def release_change_words(changes: Sequence[ReleaseChange]) -> str:
    """A table of changes, the first ones, and how many there are of each kind."""
    if not changes:
        return "nothing changed\n"
    counts = Counter(change.kind for change in changes)
    words = ", ".join(f"{number:,} {_plain(kind)}" for kind, number in counts.items())
    rows = [
        (_plain(change.kind), change.engine, change.version, change.before or "-", change.now or "-")
        for change in changes[:_MOST_LISTED]
    ]
    table = render_table(("change", "engine", "version", "before", "now"), rows)
    more = f"\nand {len(changes) - _MOST_LISTED:,} more; --format json has all" if len(changes) > _MOST_LISTED else ""
    return f"{table}{more}\n{words}\n"


def _plain(kind: str) -> str:
    return kind.replace("_", " ")


def release_changes_json(changes: Sequence[ReleaseChange]) -> str:
    """Every change."""
    return json.dumps([asdict(change) for change in changes], indent=2) + "\n"


def engine_refresh_json(result: RefreshedEngines) -> str:
    """The refresh with all that was held up or left out, gaps and changes; a list, as of providers."""
    entry: dict[str, Any] = {
        "provider": "engines",
        "published": result.snapshot is not None,
        "reason": result.reason,
        "read_on": result.snapshot.read_on if result.snapshot else None,
        "rows": dict(sorted(Counter(row.kind for row in result.found.rows).items())),
        "missing": [asdict(gap) for gap in result.found.gaps],
        "held": [{"confirm": held.key} | asdict(held) for held in result.held],
        "left_out": [asdict(row) for row in result.skipped],
        "changes": [asdict(change) for change in result.changes],
    }
    return json.dumps([entry], indent=2) + "\n"
