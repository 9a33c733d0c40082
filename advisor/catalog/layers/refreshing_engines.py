"""A refresh of engine releases from beginning to end: ask, guard, write beside, compare, take."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from advisor.catalog.layers.engine_releases import RELEASES, TABLE, ReleaseChange, release_changes, releases_of
from advisor.catalog.layers.refreshing import DRY_RUN, RefreshOptions, why_not_published
from advisor.catalog.layers.snapshot import Snapshot, discard, sole_writer, stage, table_text, take
from advisor.catalog.refresh.engines import HeldReleases, ReleaseGuard, held_releases
from advisor.catalog.refresh.journal import Journal, Progress, run_tasks
from advisor.catalog.refresh.values import Found, RefreshJob, ReleaseRow, SkippedRow
from advisor.catalog.releases import Release, Releases
from advisor.catalog.values import Quality

_COLUMNS = ("engine", "version", "released", "source", "as_of", "quality")
_SOURCE_COLUMNS = ("source_id", "title")
_JOURNAL = "unfinished"


@dataclass(frozen=True, slots=True)
class RefreshedEngines:
    """Result of a refresh of releases."""

    found: Found
    held: tuple[HeldReleases, ...]
    """What keeps it from being published."""
    changes: tuple[ReleaseChange, ...]
    """Against what was known before; empty where it got no further than the guards."""
    snapshot: Snapshot | None
    """None: nothing was published, and what was known before holds."""

    @property
    def skipped(self) -> tuple[SkippedRow, ...]:
        """Releases that are left out."""
        return tuple(row for row in self.found.rows if isinstance(row, SkippedRow))

    @property
    def reason(self) -> str:
        """Why nothing was published; empty when something was."""
        missing = "" if self.found.complete else "no release could be read"
        return why_not_published(self.snapshot, self.found, missing, len(self.held), "finding")

    @property
    def is_sound(self) -> bool:
        """Whether it was published, or would have been."""
        return self.reason in ("", DRY_RUN)


def refresh_engines(
    question: RefreshJob, before: Releases, root: Path, manner: RefreshOptions, progress: Progress | None = None
) -> RefreshedEngines:
    """Ask an index for the releases of every engine, and take the answer if it is whole and sound.

    Raises:
        InputError: the result cannot be written; what was known before still holds.
    """
    journal = Journal(root / RELEASES / _JOURNAL, question.asker)
    found = run_tasks(question, journal, manner.clock, manner.at_once, progress)
    now = manner.clock()
    held = held_releases(found, before, now.date(), manner.confirmed)
    if found.failed or not found.complete or any(one.guard is ReleaseGuard.FUTURE for one in held):
        return RefreshedEngines(found, held, (), None)
    gaps = [f"{gap.part}: {gap.reason}" for gap in found.gaps]
    with sole_writer(root):
        staged = stage(root, RELEASES, _tables(found, before, now.date(), question.asker), f"{now:%Y-%m-%d}", gaps)
        changes = release_changes(before, releases_of(staged))
        if held or manner.dry_run:
            discard(root, staged)
            return RefreshedEngines(found, held, changes, None)
        take(root, staged)
        journal.clear()
        return RefreshedEngines(found, held, changes, staged)


def _tables(found: Found, before: Releases, today: dt.date, asker: str) -> dict[str, str]:
    """The table of releases with its sources: engines that were not read keep what was known."""
    read = [row for row in found.rows if isinstance(row, ReleaseRow)]
    kept = [
        release
        for engine in before.by_engine
        if engine not in {row.engine for row in read}
        for release in before.of(engine)
    ]
    titles = {"index": f"package index {asker}".strip()} | {
        f"kept-{release.engine}": release.provenance.source for release in kept
    }
    index = ("index", today.isoformat(), Quality.LISTED.value)
    rows = [(row.engine, row.version, row.released, *index) for row in read]
    rows += [
        (release.engine, str(release.version), release.released.isoformat(), *_origin(release)) for release in kept
    ]
    sources = [dict(zip(_SOURCE_COLUMNS, item, strict=True)) for item in titles.items()]
    return {
        TABLE: table_text(_COLUMNS, [dict(zip(_COLUMNS, row, strict=True)) for row in rows]),
        "sources.csv": table_text(_SOURCE_COLUMNS, sources),
    }


def _origin(kept: Release) -> tuple[str, str, str]:
    return f"kept-{kept.engine}", kept.provenance.as_of, kept.provenance.quality.value
