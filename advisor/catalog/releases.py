"""Releases of serving engines, and which of them serves a precision on an accelerator."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from packaging.version import InvalidVersion, Version

from advisor.catalog.readers import Sources
from advisor.catalog.values import EngineSupport, Evidence, Provenance, Support
from advisor.records import dataclass, replace
from advisor.tables import read_records

OLD_DAYS = 60
"""Engines come out every two weeks: a table whose newest release is older misses some."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release of an engine."""

    engine: str
    """As ``engine_support.csv`` names it."""
    version: Version
    released: dt.date
    provenance: Provenance

    @property
    def is_final(self) -> bool:
        """One that a plan may take: no pre-release, and no build of somebody's own (``0.33.0+rocm``)."""
        return not (self.version.is_prerelease or self.version.local or self.version.epoch)


@dataclass(frozen=True, slots=True)
class Releases:
    """Releases by engine, oldest first."""

    by_engine: Mapping[str, tuple[Release, ...]]
    unreadable: tuple[str, ...] = ()
    """Versions that are left out, since they are none by PEP 440, in words."""

    def of(self, engine: str) -> tuple[Release, ...]:
        """Every known release of an engine, pre-releases too, oldest first."""
        return self.by_engine.get(engine, ())

    def newest_day(self, engine: str) -> dt.date | None:
        """Day of the newest known release, pre-releases too; None of an engine whose releases are not listed."""
        return max((release.released for release in self.of(engine)), default=None)

    def read_on(self, engine: str) -> str:
        """ISO date on which the index was read; "" of an engine whose releases are not listed."""
        return max((release.provenance.as_of for release in self.of(engine)), default="")

    def old(self, engines: Iterable[str], today: dt.date) -> tuple[tuple[str, dt.date], ...]:
        """Engines whose newest known release is older than :data:`OLD_DAYS`, each with its day."""
        days = ((engine, self.newest_day(engine)) for engine in dict.fromkeys(engines))
        return tuple((engine, day) for engine, day in days if day is not None and (today - day).days > OLD_DAYS)


@lru_cache(maxsize=4096)
def version_of(text: str) -> Version | None:
    """The version by PEP 440; None where the text is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def read_releases(path: Path, sources: Sources) -> Releases:
    """Releases of a table; those with a broken version are left out and named.

    Raises:
        InputError: the table cannot be read, or a cell other than the version is wrong.
    """
    found: dict[str, list[Release]] = {}
    unreadable: list[str] = []
    for row in read_records(path):
        version = version_of(row.text("version"))
        if version is None:
            unreadable.append(f"'{row.text('version')}' of {row.text('engine')} is no version ({path}:{row.line})")
            continue
        try:
            day = dt.date.fromisoformat(row.text("released"))
        except ValueError:
            row.fail("released", f"'{row.text('released')}' is no date")
        release = Release(row.text("engine"), version, day, sources.of(row))
        found.setdefault(release.engine, []).append(release)
    by_engine = {engine: tuple(sorted(rows, key=lambda row: row.version)) for engine, rows in found.items()}
    return Releases(by_engine, tuple(unreadable))


def within(releases: Iterable[Release], oldest: str, newest: str) -> tuple[Version, ...]:
    """Final releases between two versions, both included and either "" for no bound, oldest first."""
    since, until = version_of(oldest), version_of(newest)
    final = (release.version for release in releases if release.is_final)
    return tuple(one for one in final if (since is None or since <= one) and (until is None or one <= until))


def at_version(rows: Sequence[EngineSupport], version: Version) -> EngineSupport | None:
    """The row that holds for a release; None where no row speaks of it."""
    return next((row for row in rows if _holds(row, version)), None)


def planned(rows: Sequence[EngineSupport], releases: Sequence[Version], otherwise: str) -> EngineSupport:
    """The row of the newest release that serves, with that release; where none does, the row of the newest.

    Args:
        rows: what one engine does with one precision on one accelerator, by release.
        releases: that a plan may take, oldest first.
        otherwise: release of an engine whose releases are not listed.
    """
    if not releases:
        return replace(rows[-1], engine_version=otherwise)
    for version in reversed(releases):
        row = at_version(rows, version)
        if row is not None and row.serves:
            return replace(row, engine_version=str(version))
    newest = at_version(rows, releases[-1]) or _unsaid(rows[-1])
    return replace(newest, engine_version=str(releases[-1]))


def _unsaid(row: EngineSupport) -> EngineSupport:
    """Support of a release that no row speaks of: nothing."""
    detail = "no document speaks of this release"
    return replace(row, support=Support.UNTESTED, evidence=Evidence.UNTESTED, compute_precision="", detail=detail)


def _holds(row: EngineSupport, version: Version) -> bool:
    since, until = version_of(row.from_version), version_of(row.until_version)
    return (since is None or since <= version) and (until is None or version < until)
