"""Edits that requests leave: what a cut-over shifts to lacks what a person wrote inside the entries that retire."""

from collections.abc import Iterable, Iterator

from advisor.codegen.container import Stage
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.decisions import Versions, entries_of
from advisor.codegen.writing.merging import lines_of


def edits_left(files: Iterable[Versions], rollout: Rollout) -> Iterator[str]:
    """Notes on edits inside entries that retire and that the new entries like them lack; none but in a shift.

    Args:
        files: of the last run; an entry may have its like in another one, as a manifest of a backend has.
        rollout: of their root.
    """
    if rollout.stage is not Stage.SHIFT:
        return
    last: dict[str, bytes] = {}
    own: dict[str, bytes] = {}
    paths: dict[str, str] = {}
    for file in files:
        entries = entries_of(file.path, file.mine or b"")
        own |= entries
        last |= entries_of(file.path, file.base or b"")
        paths |= dict.fromkeys(entries, file.path)
    kept = {key for group in rollout.planned.groups for key in (group.key, group.backend)}
    retiring = {key for group in rollout.retiring for key in (group.key, group.backend)} - kept
    new = {key for group in rollout.new for key in (group.key, group.backend)}
    leaving = [key for key in own if last.get(key, own[key]) != own[key] and key.partition("/")[2] in retiring]
    for other in sorted(own):
        kind, _, name = other.partition("/")
        alike = [key for key in leaving if key.partition("/")[0] == kind] if name in new else []
        without = [key for key in alike if not _has_edit(own[other], last[key], own[key])]
        if without:
            yield (
                f"{paths[other]}: requests shift to {_said(other)}, which lacks your edits of "
                f"{' and '.join(map(_said, without))}"
            )


def _has_edit(text: bytes, base: bytes, mine: bytes) -> bool:
    """Whether a text has the lines that differ, whatever their spaces."""
    was, now, there = (frozenset(b" ".join(line.split()) for line in lines_of(part)) for part in (base, mine, text))
    return now - was <= there and not (was - now) & there


def _said(key: str) -> str:
    return key.replace("/", ".", 1)
