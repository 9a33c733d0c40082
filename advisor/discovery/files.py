"""Workload files in a folder: what a person edited is never overwritten.

The first line of a written file holds a digest of the rest; a file whose digest does not fit, or that has none, is a
person's. What lacks something goes to the folder ``incomplete``, which `advisor recommend` does not read.
"""

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from itertools import chain, count
from pathlib import Path

from advisor.atomic_files import make_directory, write_text
from advisor.reading import read_text
from advisor.records import dataclass

_FIRST_LINE = "# Written by `advisor init` ({}); a file that was edited is left as it is."
_DIGEST = re.compile(r"# Written by `advisor init` \(([0-9a-f]{16})\)")


class Written(StrEnum):
    """Fate of a file."""

    NEW = "written"
    UPDATED = "updated"
    SAME = "unchanged"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Result:
    """A file, and what became of it."""

    path: Path
    written: Written


def write_workload(path: Path, text: str) -> Result:
    """Write a workload file, unless a person edited the one that is there.

    Raises:
        InputError: it cannot be read or written.
    """
    whole = _with_digest(text)
    if not path.exists():
        make_directory(path.parent)
        write_text(path, whole)
        return Result(path, Written.NEW)
    before = read_text(path, "workload")
    if before == whole:
        return Result(path, Written.SAME)
    if not is_unedited(before):
        return Result(path, Written.KEPT)
    write_text(path, whole)
    return Result(path, Written.UPDATED)


def remove_unedited(path: Path) -> None:
    """Remove a written file that nobody edited, where there is one."""
    if path.is_file() and is_unedited(read_text(path, "workload")):
        path.unlink()


def is_edited(path: Path) -> bool:
    """Whether there is a file that a person wrote or edited."""
    return path.is_file() and not is_unedited(read_text(path, "workload"))


def is_unedited(text: str) -> bool:
    """Whether a file is as it was written."""
    first, _, rest = text.partition("\n")
    match = _DIGEST.match(first)
    return match is not None and match[1] == _digest(rest)


def _with_digest(text: str) -> str:
    return f"{_FIRST_LINE.format(_digest(text))}\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_names(names: Iterable[tuple[str, str]]) -> list[str]:
    """File names without suffix for services, each once.

    Args:
        names: name of each service, and its namespace or the like, which tells those of one name apart.
    """
    taken: set[str] = set()
    given = []
    for name, qualifier in names:
        stem = _slug(name)
        candidates = chain((stem, f"{_slug(qualifier)}-{stem}"), (f"{stem}-{number}" for number in count(2)))
        chosen = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(chosen)
        given.append(chosen)
    return given


def _slug(name: str) -> str:
    """Name of lower-case letters, digits and hyphens; none that means something in a folder of workloads."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"{slug}-service".strip("-") if slug in {"", "estate", "workload"} else slug
