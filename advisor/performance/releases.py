"""Release dates of engine versions: what the learned residual knows of versions, too many to learn singly.

The dates are those that the residual was fitted with. A release that is newer than what was measured has the date of
the newest measured one: nothing was learned of it.
"""

import re
from datetime import date
from functools import cache

from advisor.data_files import data_dir
from advisor.performance.constants import engine_class
from advisor.tables import read_records

UNNUMBERED = ("nightly", "branch", "main")
"""Words of a version that is newer than every numbered one."""
DAYS_PER_YEAR = 365.25

Version = tuple[int, ...]


@cache
def release_year(engine: str, version: str) -> float | None:
    """Year, with its fraction, in which a version came out; None where the version is not stated or not known.

    A version between two known ones has the date of the older, one after all of them that of the newest.
    """
    known = _releases().get(engine_class(engine), ())
    if not known or not version:
        return None
    if any(word in version.lower() for word in UNNUMBERED):
        return known[-1][1]
    asked = _numbers(version)
    return next((year for numbers, year in reversed(known) if asked and numbers <= asked), None)


def _numbers(version: str) -> Version | None:
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match[1].split(".")) if match else None


@cache
def _releases() -> dict[str, tuple[tuple[Version, float], ...]]:
    """Known versions of each engine class, oldest first."""
    found: dict[str, list[tuple[Version, float]]] = {}
    for row in read_records(data_dir("instance_catalog") / "calibration" / "engine_dates.csv"):
        numbers, day = _numbers(row.text("version")), date.fromisoformat(row.text("released"))
        if numbers is None:
            row.fail("version", "this is no version")
        year = day.year + day.timetuple().tm_yday / DAYS_PER_YEAR
        found.setdefault(row.text("engine"), []).append((numbers, year))
    return {engine: tuple(sorted(rows)) for engine, rows in found.items()}
