"""Releases of serving engines: the JSON of a package index, and what keeps an answer from being published.

Facts: https://docs.pypi.org/api/json/, read in November 2026: ``releases`` has the files of each version, each file its
day of upload and whether it was withdrawn (``yanked``).
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any

from advisor.catalog.one_pass_engines import Release, Releases, version_of
from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import Found, ReleaseRow, Row, SkippedRow, Task, Unreachable
from advisor.records import dataclass

URL = "https://pypi.org/pypi"
ENGINES = "engines"
"""Name that releases are refreshed by."""
PROJECTS = {"vLLM": "vllm", "SGLang": "sglang", "TensorRT-LLM": "tensorrt-llm"}
"""Engines whose releases an index lists, with the name of the project."""
MOST_GONE_RATIO = 0.1
"""Of the known releases: withdrawing some is usual, losing more is an answer cut short."""
MOST_MOVED_DAYS = 3
"""The first file of a release may be replaced by one of the next days."""
_LONGEST_VERSION = 32
_AHEAD = dt.timedelta(days=1)
"""The index may be in a time zone where it is tomorrow."""


class ReleaseGuard(StrEnum):
    """Why releases are held back."""

    FUTURE = "future_release"
    GONE = "releases_gone"
    MOVED = "release_moved"


@dataclass(frozen=True, slots=True)
class HeldReleases:
    """Releases that are held back until a person confirms them."""

    guard: ReleaseGuard
    engine: str
    detail: str
    """The two values that were compared, in words."""

    @property
    def key(self) -> str:
        """Key of the confirmation: the guard and the engine."""
        return f"{self.guard.value}:{self.engine}"

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.engine}: {self.detail}"


def tasks(client: Client, url: str = URL) -> Iterator[Task]:
    """One task for each engine, whose project and ``/json`` are added to the URL of the index."""
    for engine, project in PROJECTS.items():
        read = partial(_read, engine, f"{url.rstrip('/')}/{project}/json", client)
        yield Task(f"{project}/releases", "", f"releases of {engine}", read)


def _read(engine: str, url: str, client: Client) -> Iterator[Row]:
    document = client.get(url, remedy="check whether --endpoint-url is a package index that has this project")
    yield from rows_of(document, engine)


def rows_of(document: Mapping[str, Any], engine: str) -> Iterator[Row]:
    """Releases of a project's JSON, and those that are left out: broken versions, withdrawn ones, ones without a file.

    Raises Unreachable if it lists no releases.
    """
    listed = document.get("releases")
    if not isinstance(listed, dict) or not listed:
        raise Unreachable("the answer lists no releases", "check whether --endpoint-url is a package index")
    for text, files in listed.items():
        version, days = version_of(str(text)), _days(files)
        if version is None:
            yield SkippedRow(engine, str(text), "no version by PEP 440")
        elif len(text) > _LONGEST_VERSION:
            yield SkippedRow(engine, text[:_LONGEST_VERSION], f"longer than {_LONGEST_VERSION} characters")
        elif not days:
            yield SkippedRow(engine, str(text), "withdrawn, or without a dated file")
        else:
            yield ReleaseRow(engine, str(version), min(days).isoformat())


def _days(files: object) -> list[dt.date]:
    """Days on which files that are not withdrawn were uploaded."""
    days = []
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and not file.get("yanked"):
            with suppress(ValueError):
                time = file.get("upload_time_iso_8601") or file.get("upload_time")
                days.append(dt.date.fromisoformat(str(time)[:10]))
    return days


def held_releases(
    answer: Found, before: Releases, today: dt.date, confirmed: Collection[str]
) -> tuple[HeldReleases, ...]:
    """Releases of an answer that must not be published, by guard and engine; one of the future never may.

    *confirmed*: keys that a person accepts: ``releases_gone:vLLM``, or ``releases_gone`` for every engine.
    """
    held: list[HeldReleases] = []
    for engine in PROJECTS:
        if answer.covers("", f"releases of {engine}"):
            days = {
                row.version: dt.date.fromisoformat(row.released)
                for row in answer.rows
                if isinstance(row, ReleaseRow) and row.engine == engine
            }
            held += _held_of(engine, days, before.of(engine), today)
    return tuple(
        release
        for release in held
        if release.guard is ReleaseGuard.FUTURE or not {release.key, release.guard.value} & set(confirmed)
    )  # fmt: skip


def _held_of(
    engine: str, days: Mapping[str, dt.date], releases: Sequence[Release], today: dt.date
) -> Iterator[HeldReleases]:  # fmt: skip
    for version, day in days.items():
        if day > today + _AHEAD:
            yield HeldReleases(ReleaseGuard.FUTURE, engine, f"{version} is of {day}, and today is {today}")
    gone = [release for release in releases if str(release.version) not in days]
    if len(gone) > MOST_GONE_RATIO * len(releases):
        newest = ", ".join(str(release.version) for release in gone[-3:])
        detail = f"{len(gone)} of {len(releases)} known releases are gone, the newest of them {newest}"
        yield HeldReleases(ReleaseGuard.GONE, engine, detail)
    for release in releases:
        day = days.get(str(release.version), release.released)
        if abs((day - release.released).days) > MOST_MOVED_DAYS:
            yield HeldReleases(
                ReleaseGuard.MOVED, engine, f"{release.version} was of {release.released}, and is of {day}"
            )
