"""Refreshed releases of engines as a snapshot, and what differs between two states of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from advisor.catalog.layers.snapshot import Snapshot
from advisor.catalog.readers import Sources
from advisor.catalog.releases import Release, Releases, read_releases

RELEASES = "releases"
"""Name of the snapshots below the directory of refreshed engines."""
TABLE = "engine_releases.csv"


class ReleaseChangeKind(StrEnum):
    """Kind of change of a release."""

    NEW = "new_release"
    GONE = "gone"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """One difference between two states of the releases."""

    kind: ReleaseChangeKind
    engine: str
    version: str
    before: str
    """ISO date; "" for a new one."""
    now: str
    """ISO date; "" for one that is gone."""


def releases_of(snapshot: Snapshot) -> Releases:
    """The releases of a snapshot."""
    return read_releases(snapshot.directory / TABLE, Sources(snapshot.directory))


def release_changes(before: Releases, after: Releases) -> tuple[ReleaseChange, ...]:
    """Differences, by engine and version, the newest version first."""
    changes: list[ReleaseChange] = []
    for engine in sorted({*before.by_engine, *after.by_engine}):
        old, new = ({release.version: release for release in releases.of(engine)} for releases in (before, after))
        for version in sorted({*old, *new}, reverse=True):
            changes += _change(old.get(version), new.get(version))
    return tuple(changes)


def _change(old: Release | None, new: Release | None) -> Iterator[ReleaseChange]:
    one = new or old
    before, now = (release.released.isoformat() if release else "" for release in (old, new))
    if one is None or before == now:
        return
    kind = ReleaseChangeKind.MOVED if before and now else ReleaseChangeKind.NEW if now else ReleaseChangeKind.GONE
    yield ReleaseChange(kind, one.engine, str(one.version), before, now)
