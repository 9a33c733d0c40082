"""Where the parts of a store lie below its directory, and how hosts and dates are written there.

::

    DIR/spool/host=<host>/20261014T08-3f9c…-000000.spool      rows as the agent wrote them, until they are compacted
    DIR/date=2026-10-14/host=<host>/rows-….parquet            accelerators
    DIR/date=2026-10-14/host=<host>/engines-….parquet         serving engines
    DIR/date=2026-10-14/host=<host>/histograms-….parquet      counts of all that accelerators said on a finished day

Standard library only: the agent imports this on inference hosts.
"""

from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

from advisor.errors import InputError
from advisor.samples.metrics import ROW_SECONDS

US_PER_SECOND = 1_000_000
US_PER_DAY = 86_400 * US_PER_SECOND
ROW_US = ROW_SECONDS * US_PER_SECOND
SPOOL = "spool"
SEGMENT_SUFFIX = ".spool"
ROWS = "rows"
ENGINES = "engines"
HISTOGRAMS = "histograms"
"""What names of files begin with, by what is in them."""
_LONGEST_FOLDER = 255
"""Bytes of a name, as file systems allow: enough for every name of a node."""


def checked_host(host: str) -> str:
    """*host* itself. Raises InputError if it is not a name to record."""
    if not host or not host.isprintable() or len(host_folder(host)) > _LONGEST_FOLDER:
        hint = "give letters, digits and signs that can be printed, few enough for the name of a folder"
        raise InputError(f"{host!r} is not the name of a host", where="--host", hint=hint)
    return host


def host_folder(host: str) -> str:
    """Folder of a host: its name with everything escaped that has a meaning in a path."""
    return f"host={quote(host, safe='') if host.strip('.') else quote(host).replace('.', '%2E')}"


def host_of(folder: PurePath) -> str:
    """The host whose folder it is."""
    return unquote(folder.name.removeprefix("host="))


def spool_folder(directory: Path, host: str) -> Path:
    """Folder in which the agents of a host write."""
    return directory / SPOOL / host_folder(host)


def day_folder(directory: Path, day: date, host: str) -> Path:
    """Folder of the files of a host and date (UTC)."""
    return directory / f"date={day}" / host_folder(host)


def day_of(end_us: int) -> date:
    """Date in UTC to which a row belongs that ends then: one that ends at midnight is of the day before."""
    return datetime.fromtimestamp((end_us - 1) // US_PER_SECOND, tz=UTC).date()


def day_of_folder(folder: PurePath) -> date | None:
    """The date that a folder is of; None when it is none of ours."""
    try:
        return date.fromisoformat(folder.name.removeprefix("date="))
    except ValueError:
        return None


def start_us(day: date) -> int:
    """The midnight with which a day begins, µs since 1970."""
    return (day - date(1970, 1, 1)).days * US_PER_DAY
