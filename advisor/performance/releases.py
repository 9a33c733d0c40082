"""When a version of an engine came out: what the learned residual knows of versions, too many to learn singly."""

import datetime as dt
import re
from functools import cache

from packaging.version import Version

from advisor.catalog.readers import Sources
from advisor.catalog.releases import read_releases, version_of
from advisor.data_files import data_dir
from advisor.performance.constants import engine_class

UNNUMBERED = ("nightly", "branch", "main")
"""Words of a version that is newer than every numbered one."""
DAYS_PER_YEAR = 365.25
NEWEST_MEASURED = {"vllm": "0.19.0", "sglang": "0.5.9", "trtllm": "1.3.0rc5"}
"""Newest release of each engine class in measurements.csv. Later ones are predicted as this one: nothing was learned of
them."""


@cache
def release_year(engine: str, version: str) -> float | None:
    """Year, with its fraction, in which a version came out; None where the version is not stated or not known.

    A version between two known ones has the date of the older, one after the newest that was measured has its date.
    """
    known = _releases().get(engine_class(engine), ())
    if not known or not version:
        return None
    newest = known[-1][0]
    asked = newest if any(word in version.lower() for word in UNNUMBERED) else _version(version)
    return next((year for release, year in reversed(known) if asked is not None and release <= asked), None)


def _version(text: str) -> Version | None:
    """The version, or the numbers at its beginning, such as 0.5.8 of ``0.5.8+``."""
    numbers = re.match(r"v?\d+(?:\.\d+)*", text)
    return version_of(text) or (version_of(numbers[0]) if numbers else None)


@cache
def _releases() -> dict[str, tuple[tuple[Version, float], ...]]:
    """Known versions of each engine class up to the newest that was measured, oldest first."""
    directory = data_dir("instance_catalog")
    releases = read_releases(directory / "engine_releases.csv", Sources(directory)).by_engine
    return {
        engine_class(engine): tuple(
            (release.version, _year(release.released))
            for release in rows
            if release.version <= Version(NEWEST_MEASURED[engine_class(engine)])
        )
        for engine, rows in releases.items()
    }


def _year(day: dt.date) -> float:
    return day.year + day.timetuple().tm_yday / DAYS_PER_YEAR
