"""Edits that requests leave: what a cut-over shifts to lacks what a person wrote inside the entries that retire."""

from collections.abc import Iterator

from advisor.codegen.container import Stage
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.decisions import entries_of
from advisor.codegen.writing.merging import lines_of

_WITH_ENTRIES = ("fleet.tf", "inference/fleet.py")


def paths_of(root: str) -> tuple[str, ...]:
    """Files of a root that may hold entries of groups and backends."""
    return tuple(f"{root}/{name}".removeprefix("/") for name in _WITH_ENTRIES)


def edits_left(path: str, base: bytes | None, mine: bytes | None, rollout: Rollout) -> Iterator[str]:
    """Notes on edits inside entries that retire and that the new entries beside them lack; none but in a shift.

    Args:
        path: of the file.
        base: as it was generated last.
        mine: as it lies on disk.
        rollout: of its root.
    """
    if rollout.stage is not Stage.SHIFT or base is None or mine is None:
        return
    last, own = entries_of(path, base), entries_of(path, mine)
    kept = {key for group in rollout.planned.groups for key in (group.key, group.backend)}
    retiring = {key for group in rollout.retiring for key in (group.key, group.backend)} - kept
    new = {key for group in rollout.new for key in (group.key, group.backend)}
    for kind in sorted({key.partition("/")[0] for key in own}):
        edited = [key for key in own if key in last and last[key] != own[key] and key.partition("/")[0] == kind]
        leaving = [key for key in edited if key.partition("/")[2] in retiring]
        lacking = {
            other: [key for key in leaving if not _has_edit(own[other], last[key], own[key])]
            for other in own
            if other.partition("/")[0] == kind and other.partition("/")[2] in new
        }
        for other, without in lacking.items():
            if without:
                yield (
                    f"{path}: requests shift to {_said(other)}, which lacks your edits of "
                    f"{' and '.join(map(_said, without))}"
                )


def _has_edit(text: bytes, base: bytes, mine: bytes) -> bool:
    """Whether a text has the lines that differ, whatever their spaces."""
    was, now, there = (frozenset(b" ".join(line.split()) for line in lines_of(part)) for part in (base, mine, text))
    return now - was <= there and not (was - now) & there


def _said(key: str) -> str:
    return key.replace("/", ".", 1)
