"""Result of a refresh and the changes it made, as text and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from advisor.catalog.layers.changes import Change, Kind
from advisor.catalog.layers.refreshing import Refreshed
from advisor.catalog.refresh.values import Found, Gap
from advisor.report.text_table import render_table

_MOST_LISTED = 40
_MOST_REGIONS = 6
_KINDS = {
    "block": ("capacity block", "capacity blocks"),
    "committed": ("price under a commitment", "prices under commitments"),
    "machine": ("machine", "machines"),
    "price": ("price", "prices"),
    "quota": ("limit", "limits"),
    "serverless": ("price of containers", "prices of containers"),
    "sold": ("offer", "offers"),
    "zone": ("zone of an offer", "zones of offers"),
}
"""Singular and plural of each kind of row."""


def refresh_words(result: Refreshed) -> str:
    """Summary of a refresh: rows read, missing or held up, and changes."""
    rows = Counter(row.kind for row in result.found.rows)
    counts = ", ".join(_counted(number, kind) for kind, number in sorted(rows.items())) or "nothing"
    lines = [f"{result.provider}: read {counts}", *_origin(result.found), *_missing(result.found.gaps)]
    lines += [f"  held up: {violation}" for violation in result.held[:_MOST_LISTED]]
    if len(result.held) > _MOST_LISTED:
        lines.append(f"  and {len(result.held) - _MOST_LISTED} more")
    if result.unknown_types:
        lines.append(f"  types of accelerators that the catalog does not know: {', '.join(result.unknown_types)}")
    if result.is_sound:
        lines.append(change_words(result.changes).rstrip("\n"))
    if result.snapshot is not None:
        lines.append(f"{result.provider}: prices of {result.snapshot.read_on} count from now on")
    elif result.is_sound:
        lines.append(f"{result.provider}: this was a dry run, so the old prices hold")
    return "\n".join(lines) + "\n"


def _origin(found: Found) -> Iterator[str]:
    if found.origin is not None:
        yield f"  not from {found.provider} itself, so the prices are {found.origin.quality}: {found.origin.title}"


def _counted(number: int, kind: str) -> str:
    one, several = _KINDS[kind]
    return f"{number:,} {one if number == 1 else several}"


def _missing(gaps: Sequence[Gap]) -> Iterator[str]:
    """One entry for all parts that are missing in the same regions for the same reason."""
    regions: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        regions.setdefault((gap.reason, gap.remedy, gap.part.replace("_", " ")), []).append(gap.region)
    parts: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (reason, remedy, part), places in regions.items():
        parts.setdefault((reason, remedy, tuple(places)), []).append(part)
    for (reason, remedy, everywhere), names in parts.items():
        where = f" in {', '.join(everywhere[:_MOST_REGIONS])}" if any(everywhere) else ""
        more = f" and {len(everywhere) - _MOST_REGIONS} more regions" if len(everywhere) > _MOST_REGIONS else ""
        yield f"  missing: {', '.join(names)}{where}{more}: {reason}\n    to mend it: {remedy}"


def change_words(changes: Sequence[Change]) -> str:
    """A table of changes, the first ones, and how many there are of each kind."""
    if not changes:
        return "nothing changed\n"
    counts = Counter(change.kind for change in changes)
    words = ", ".join(f"{counts[kind]:,} {kind.value.replace('_', ' ')}" for kind in Kind if counts[kind])
    shown = [
        (
            change.kind.value.replace("_", " "), change.instance_type, change.region,
            change.purchase.value.replace("_", " ") if change.purchase else "",
            _usd(change.before_usd_per_hour), _usd(change.now_usd_per_hour),
            "" if change.moved_ratio is None else f"{change.moved_ratio:+.1%}",
        )
        for change in changes[:_MOST_LISTED]
    ]  # fmt: skip
    table = render_table(("change", "type", "region", "paid", "before", "now", ""), shown)
    more = f"\nand {len(changes) - _MOST_LISTED:,} more; --format json has all" if len(changes) > _MOST_LISTED else ""
    return f"{table}{more}\n{words}\n"


def _usd(price: float | None) -> str:
    return "-" if price is None else f"{price:.5g}"


def changes_json(changes: Sequence[Change]) -> str:
    """Every change."""
    return json.dumps([_entry(change) for change in changes], indent=2) + "\n"


def _entry(change: Change) -> dict[str, Any]:
    return asdict(change) | {"moved_ratio": change.moved_ratio}


def refresh_json(results: Sequence[Refreshed]) -> str:
    """Every refresh with all of its rows that were held up, gaps and changes."""
    entries = [
        {
            "provider": result.provider,
            "published": result.snapshot is not None,
            "reason": result.reason,
            "read_on": result.snapshot.read_on if result.snapshot else None,
            "origin": asdict(result.found.origin) if result.found.origin else None,
            "rows": dict(sorted(Counter(row.kind for row in result.found.rows).items())),
            "missing": [asdict(gap) for gap in result.found.gaps],
            "held": [{"confirm": held.key} | asdict(held) for held in result.held],
            "unknown_types": list(result.unknown_types),
            "changes": [_entry(change) for change in result.changes],
        }
        for result in results
    ]  # fmt: skip
    return json.dumps(entries, indent=2) + "\n"
