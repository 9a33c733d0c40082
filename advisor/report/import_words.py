"""Result of an import, as text and as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from advisor.catalog.imports.rows import Reason, counted
from advisor.catalog.layers.importing import Beside, Imported
from advisor.catalog.refresh.values import Sold
from advisor.report.words import purchase_words

_MOST_NAMED = 8
_REASON_WORDS = {
    Reason.PROVIDER: "provider that the catalog does not know",
    Reason.REGION: "region that the catalog does not know",
    Reason.ACCELERATOR: "accelerator that the catalog does not know, or several of that name",
    Reason.TYPE: "type that the catalog does not know",
    Reason.CONTRADICTION: "another number of accelerators than in the catalog",
    Reason.OTHERWISE_PAID: "neither on demand nor spot",
    Reason.NO_ACCELERATOR: "no accelerator",
    Reason.IMPLAUSIBLE: "price that cannot be",
    Reason.UNREADABLE: "not readable",
    Reason.PART: "price of a machine without all that it is charged for",
}
_NOT_NAMED = (Reason.NO_ACCELERATOR,)
"""Reasons whose rows are counted and not named."""


def imports_words(program: str, results: Sequence[Imported], unread: Sequence[str]) -> str:
    """Import summary: rows read, rows that count, where ours stays, what is left out."""
    blocks = ["\n".join(_lines(program, result)) for result in results]
    if unread:
        blocks.append(f"{program} gave nothing of {', '.join(unread)}")
    return "\n".join(blocks) + "\n"


def _lines(program: str, result: Imported) -> Iterator[str]:
    mapped = result.mapped
    yield f"{mapped.provider}: {_rows(mapped.read)} of {mapped.source}"
    theirs = [beside for beside in result.beside if beside.counts]
    if mapped.rows:
        new = sum(their.ours is None for their in theirs)
        when = "from now on" if result.is_kept else "after an import"
        yield f"  prices that count {when}: {len(theirs):,}, {new:,} of them where none was known"
    ours = [beside for beside in result.beside if not beside.counts]
    if ours:
        different = [_beside_words(program, our) for our in ours if our.differs]
        examples = f": {_named(different)}" if different else ""
        yield f"  prices of ours that are better founded, and stay: {len(ours):,}"
        yield f"  of these, other by more than a tenth: {len(different):,}{examples}"
    unpriced = _unpriced(result)
    if unpriced:
        yield f"  sold at a price that is not stated: {_rows(unpriced)}"
    for reason, count, names in counted(result.left_out):
        named = "" if reason in _NOT_NAMED else f": {_named(names)}"
        yield f"  left out: {_rows(count)}, {_REASON_WORDS[reason]}{named}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _unpriced(result: Imported) -> int:
    return sum(isinstance(row, Sold) for row in result.mapped.rows)


def _beside_words(program: str, beside: Beside) -> str:
    ours = beside.ours.usd_per_hour if beside.ours else 0.0
    where = f"{beside.instance_type} {beside.region} {purchase_words(beside.purchase.value)}"
    return f"{where} ${ours:.5g}, {program} ${beside.theirs.usd_per_hour:.5g}"


def _named(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    more = f" and {rest:,} more; --format json has all" if rest > 0 else ""
    return f"{'; '.join(names[:_MOST_NAMED])}{more}"


def imports_json(program: str, results: Sequence[Imported], unread: Sequence[str]) -> str:
    """The same with every name."""
    document = {"imports": [_entry(program, result) for result in results], "not_given": list(unread)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _entry(program: str, result: Imported) -> dict[str, Any]:
    mapped = result.mapped
    return {
        "provider": mapped.provider,
        "source": mapped.source,
        "as_of": mapped.as_of,
        "kept": result.is_kept,
        "rows": mapped.read,
        "counting": sum(beside.counts for beside in result.beside),
        "new": sum(beside.ours is None for beside in result.beside),
        "unpriced": _unpriced(result),
        "left_out": [
            {"reason": reason.value, "rows": count, "names": list(names)}
            for reason, count, names in counted(result.left_out)
        ],
        "differing": [
            {
                "region": beside.region,
                "instance_type": beside.instance_type,
                "purchase": beside.purchase.value,
                "counts": beside.counts,
                "ours_usd_per_hour": beside.ours.usd_per_hour if beside.ours else None,
                f"{program}_usd_per_hour": beside.theirs.usd_per_hour,
            }
            for beside in result.beside
            if beside.differs
        ],
    }
