"""Tags of charges as keys and values, whatever way a provider writes them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.audit.database import Database

_BATCH = 20_000


def write_tags(database: Database) -> list[str]:
    """The table ``tags`` (``tags_id``, ``key``, ``value``) of the sets of tags; a note on those that cannot be read."""
    database.run("CREATE TABLE tags (tags_id BIGINT, key VARCHAR, value VARCHAR)")
    answer = database.connection.cursor().execute("SELECT tags_id, tags FROM tag_sets")
    unreadable = 0
    while rows := answer.fetchmany(_BATCH):
        entries: list[tuple[int, str, str]] = []
        for tags_id, text in rows:
            parsed = parse_tags(text)
            unreadable += parsed is None
            entries += [(tags_id, key, value) for key, value in (parsed or {}).items()]
        database.load("tag_entries", {"tags_id": "BIGINT", "key": "VARCHAR", "value": "VARCHAR"}, entries)
        database.run("INSERT INTO tags FROM tag_entries")
    return [f"{unreadable:,} sets of tags cannot be read: their charges count as untagged"] if unreadable else []


def parse_tags(text: str) -> dict[str, str] | None:
    """Tags of one cell: a JSON object, a list of ``{key, value}``, or the pairs without braces that Azure writes.

    Returns:
        Keys and values, without those that are empty; None where the cell is neither.
    """
    stripped = text.strip()
    for candidate in (stripped, f"{{{stripped}}}"):
        try:
            return dict(_pairs(json.loads(candidate)))
        except (ValueError, RecursionError, TypeError, AttributeError):
            continue
    return None


def _pairs(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    entries = (
        value.items()
        if isinstance(value, Mapping)
        else ((_part(entry, "key"), _part(entry, "value")) for entry in value)
    )
    for key, tag in entries:
        if key and tag not in (None, ""):
            yield _whole(str(key).strip()), _whole(tag if isinstance(tag, str) else json.dumps(tag, ensure_ascii=False))


def _whole(text: str) -> str:
    """Text with "?" for halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _part(entry: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    return entry.get(name, entry.get(name.title()))
