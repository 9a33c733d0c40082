"""The newest row of each target and the state of the agent, as an OpenMetrics page.

A target with a gap, or without a row for a minute, is not on the page: a monitor that reads it sees the value end, and
not the old one for ever.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.samples.agent.labels import Label, with_labels
from advisor.samples.agent.series import Family, Labels, Point, covers, number_text, points_of
from advisor.samples.agent.signals import signals_of
from advisor.samples.metrics import Kind
from advisor.samples.places import US_PER_SECOND
from advisor.samples.rows import Gap, Record, Row, Target

STALE_SECONDS = 60
"""A row that ended longer ago than that says nothing about now."""
_MOST_ROWS = 2048
"""Rows remembered at most, whatever names targets have while nobody looks at the page."""
_UP = Family("advisor_agent_up", Kind.GAUGE, "", "whether a source has a fresh row of any target")
_AGE = Family(
    "advisor_agent_newest_row_timestamp_seconds", Kind.GAUGE, "seconds", "end of the newest row of a source, since 1970"
)


class Latest:
    """The newest rows; written by one thread, read by another."""

    def __init__(self, labels: tuple[Label, ...] = ()) -> None:
        """Begin without rows. *labels*: static labels of the host."""
        self._static = labels
        self.status: Mapping[str, Any] | None = None
        """Newest status of the agent; None before the first."""
        self._lock = threading.Lock()
        self._rows: dict[Target, Row] = {}
        self._newest_us: dict[tuple[str, str], int] = {}
        """End of the newest row by host and source."""

    def take(self, record: Record) -> None:
        """Remember a row, or forget what a gap covers."""
        with self._lock:
            if isinstance(record, Gap):
                self._take_gap(record)
            else:
                self._take_row(record)

    def page(self, now_us: int | None = None) -> bytes:
        """The OpenMetrics page at a time (µs since 1970; None: now)."""
        with self._lock:
            return _render(self._points(time.time_ns() // 1000 if now_us is None else now_us))

    def _take_row(self, row: Row) -> None:
        self._rows[row.target] = row  # the newest to arrive, also after the clock was set back
        if len(self._rows) > _MOST_ROWS:
            del self._rows[next(iter(self._rows))]
        self._newest_us[row.target.host, row.target.source] = row.end_us

    def _take_gap(self, gap: Gap) -> None:
        self._newest_us.setdefault((gap.target.host, gap.target.source), 0)
        for target in [t for t, row in self._rows.items() if covers(gap.target, t) and row.end_us <= gap.end_us]:
            del self._rows[target]

    def _points(self, now_us: int) -> Iterator[Point]:
        stale_us = STALE_SECONDS * US_PER_SECOND
        for target in [target for target, row in self._rows.items() if abs(now_us - row.end_us) > stale_us]:
            del self._rows[target]
        fresh = {(target.host, target.source) for target in self._rows}
        for source, newest_us in sorted(self._newest_us.items()):
            labels = self._labels(*source)
            yield Point(_UP, _UP.name, labels, float(source in fresh))
            if newest_us:
                yield Point(_AGE, _AGE.name, labels, newest_us / US_PER_SECOND)
        for row in self._rows.values():
            yield from points_of(row, self._static)
        if self.status is not None:
            for point in signals_of(self.status):
                yield Point(point.family, point.name, with_labels(point.labels, self._static), point.value)

    def _labels(self, host: str, source: str) -> Labels:
        return with_labels((("host", host), ("source", source)), self._static)


def _render(points: Iterator[Point]) -> bytes:
    """Families in the order of their names, each with all of its samples."""
    families: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        families[point.family.name].append(point)
    lines = []
    for name in sorted(families):
        lines += _metadata(families[name][0].family)
        lines += [f"{point.name}{label_text(point.labels)} {number_text(point.value)}" for point in families[name]]
    return "\n".join([*lines, "# EOF", ""]).encode()


def _metadata(family: Family) -> list[str]:
    unit = [f"# UNIT {family.name} {family.unit}"] if family.unit else []
    return [f"# TYPE {family.name} {family.kind}", *unit, f"# HELP {family.name} {_escaped(family.meaning)}"]


def label_text(labels: Labels) -> str:
    """Labels in braces, escaped so that no value can end its quotes or its line."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    flat = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return flat.replace("\r", " ").encode("utf-8", "replace").decode()
