"""Documents that somebody damaged: a value, a key, a line or some bytes changed, the same ones for the same seed."""

import copy
import json
import random

VALUES = (
    None, True, "", "x", "NaN", "-1", -1, 0, 0.5, 1e-300, 1e308, 10**30, 2**63, -(2**63), [], {}, [[]], [None], {"": None},
    "\x1b[2J", "\u202eabc", "x" * 5000, "1970-01-01", "0001-01-01T00:00:00Z", "9999-12-31", "../../etc/passwd",
)  # fmt: skip
PIECES = ("", "-", "0", "1e999", "nan", '"', "'", ",", "\n", "\x00", "{", "[", "#", ": ", "9" * 400, "é", "-1", "null")


def damaged_value(document, chance: random.Random):
    """*document*, any JSON value, with up to three places changed."""
    changed = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(changed))
        if places:
            _change(*chance.choice(places), chance)
    return changed


def damaged_json(text: str, chance: random.Random) -> str:
    """A JSON text with values changed; every eighth time with characters changed too."""
    text = json.dumps(damaged_value(json.loads(text), chance))
    return damaged_text(text, chance) if chance.random() < 1 / 8 else text


def damaged_lines(text: str, chance: random.Random) -> str:
    """JSON lines with the values of one line changed, and that line's characters as in :func:`damaged_json`."""
    lines = text.splitlines()
    at = chance.randrange(len(lines))
    lines[at] = damaged_json(lines[at], chance)
    return "\n".join(lines) + "\n"


def damaged_text(text: str, chance: random.Random) -> str:
    """*text* with up to three stretches replaced, doubled or cut."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 1, 1, 3, 10, 100)))
        piece = chance.choice((*PIECES, text[start:end] * 2))
        text = text[:start] + piece + text[end:]
    return text


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """*content* with up to three stretches replaced, repeated or cut; lengths and counts are hit as often as names."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, min(len(content), chance.choice((16, 400, len(content)))))
        end = min(len(content), start + chance.choice((0, 1, 1, 4, 8, 100)))
        piece = chance.choice(
            (b"", b"\xff", b"\x00" * 8, b"\xff" * 8, b"\x00\x00\x00\x7f", chance.randbytes(8), content[start:end] * 2)
        )
        content = content[:start] + piece + content[end:]
    return content


def damaged_cells(text: str, chance: random.Random) -> str:
    """A table of comma-separated values with a cell, a row or the header changed."""
    rows = [line.split(",") for line in text.splitlines() if line]
    for _ in range(chance.randint(1, 3)):
        row = chance.choice(rows)
        row[chance.randrange(len(row))] = str(chance.choice((*VALUES, *PIECES)))
        if chance.random() < 1 / 4:
            rows.insert(chance.randint(0, len(rows)), list(chance.choice(rows)))
        if len(row) > 1 and chance.random() < 1 / 6:
            row.pop()
    return "\n".join(",".join(row) for row in rows if row) + "\n"


def _places(value):
    """Each container with one of its keys, all the way down."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _change(container, key, chance: random.Random) -> None:
    action = chance.random()
    if action < 1 / 6:
        del container[key]
    elif action < 1 / 5 and isinstance(container, dict):
        container[chance.choice(("", "x", "\x1b]0;x\x07", "__class__"))] = container.pop(key)
    else:
        container[key] = copy.deepcopy(chance.choice(VALUES))
