"""The Prometheus text format: scrapes of a metrics endpoint, each with its time."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError

_MARK = re.compile(r"#\s*scrape\s+(\S+)\s*")
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')
_TIME_IN_NAME = re.compile(r"\d{8}T\d{6}Z?|(?<!\d)\d{10}(?!\d)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything that the endpoint said at one time."""

    where: str
    time: dt.datetime
    samples: tuple[Sample, ...]


def read_scrapes(text: str, path: Path) -> Iterator[Scrape]:
    """Scrapes of a file: after each line ``# scrape <RFC 3339 time>``, or one at the time in the file's name.

    Raises:
        InputError: a scrape has no time, or a line is none of the format.
    """
    start, time, samples = 1, None, list[Sample]()
    for line, content in enumerate(text.splitlines(), start=1):
        mark = _MARK.fullmatch(content)
        if mark:
            if samples:
                yield Scrape(f"{path}:{start}", time or _time_in_name(path), tuple(samples))
            start, time, samples = line, _time(mark[1], f"{path}:{line}"), []
        elif content.strip() and not content.startswith("#"):
            samples.append(_sample(content, f"{path}:{line}"))
    if samples:
        yield Scrape(f"{path}:{start}", time or _time_in_name(path), tuple(samples))


def _sample(content: str, where: str) -> Sample:
    match = _SAMPLE.fullmatch(content.strip())
    try:
        value = float(match["value"]) if match else None
    except ValueError:
        value = None
    if match is None or value is None:
        raise InputError(f"this is no line of the Prometheus text format: {content[:80]}", where=where)
    return Sample(match["name"], dict(_LABEL.findall(match["labels"] or "")), value)


def _time(text: str, where: str) -> dt.datetime:
    try:
        return _in_utc(dt.datetime.fromisoformat(text))
    except ValueError:
        raise InputError(f"'{text}' is no time", where=where, hint="write it as 2026-01-31T12:00:00Z") from None


def _time_in_name(path: Path) -> dt.datetime:
    match = _TIME_IN_NAME.search(path.name)
    if match is None:
        raise InputError(
            "the scrape has no time",
            where=str(path),
            hint="put '# scrape 2026-01-31T12:00:00Z' before it, or the time into the file's name (20260131T120000Z)",
        )
    if match[0].isdigit():
        return dt.datetime.fromtimestamp(int(match[0]), tz=dt.UTC)
    return _time(match[0], str(path))


def _in_utc(time: dt.datetime) -> dt.datetime:
    """A time without a zone is taken as UTC."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time
