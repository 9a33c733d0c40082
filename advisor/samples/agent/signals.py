"""What an agent says of itself: the status file, and how far each remote write is, as series.

The listener shows them and remote write sends them, so that an agent that loses rows is seen where the rows are missed.
``advisor agent install alerts`` writes the rules that go with them.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.samples.agent.labels import HELP as LABEL_HELP
from advisor.samples.agent.labels import Label, with_labels
from advisor.samples.agent.series import Family, Point
from advisor.samples.agent.spool import segments
from advisor.samples.agent.status_files import read_object, written_seconds
from advisor.samples.metrics import Kind
from advisor.samples.places import spool_folder

CURSORS = "remote-write-*/cursor.json"
"""Where each remote write says how far it is, below the spool of its host."""
_G, _C = Kind.GAUGE, Kind.COUNTER
FAMILIES: Mapping[str, Family] = {
    name: Family(f"advisor_agent_{name}", kind, unit, meaning)
    for name, kind, unit, meaning in (
        ("build_info", _G, "", "1, with the version that runs"),
        ("status_timestamp_seconds", _G, "seconds", "when the agent last wrote its status, since 1970"),
        ("lost_rows", _C, "", "rows that became gaps because they could not be written"),
        ("waiting_records", _G, "", "rows and gaps in memory that are not written yet"),
        ("spool_failing", _G, "", "whether rows cannot be written now"),
        ("spool_bytes", _G, "bytes", "rows on disk that are not Parquet yet"),
        ("compaction_failing", _G, "", "whether the last compaction failed"),
        ("source_failing", _G, "", "whether a source is not read now"),
        ("source_hanging", _G, "", "whether a process of a source hangs in its driver"),
        ("source_restarts", _C, "", "processes of a source that were started again"),
        ("outlet_dropped_records", _C, "", "records that an outlet was too slow for"),
        ("remote_write_backlog_bytes", _G, "bytes", "rows on disk that wait for the server"),
        ("remote_write_failing", _G, "", "whether the server takes nothing now"),
        ("remote_write_sent_samples", _C, "", "samples that the server took"),
        ("remote_write_parked_samples", _C, "", "samples that the server refused for good"),
        ("remote_write_dropped_files", _C, "", "files of the backlog that were dropped because it was full"),
    )
}


@dataclass(frozen=True, slots=True)
class Signals:
    """The series of one agent."""

    status: Path | None
    """Its status file; None: nothing is known of it."""
    labels: tuple[Label, ...] = ()
    """Static labels of the host."""

    def points(self) -> Iterator[Point]:
        """What is known now; nothing where the status cannot be read, which is how monitors learn that."""
        status = {} if self.status is None else read_object(self.status)
        try:
            points = [*_of_agent(status), *_of_disk(status)]
        except (KeyError, TypeError):
            return  # of another version
        for point in points:
            labels = with_labels((("host", status["host"]), *point.labels), self.labels)
            yield Point(point.family, point.name, labels, point.value)


NO_SIGNALS = Signals(None)


def add_signal_options(parser: argparse.ArgumentParser) -> None:
    """Options of an outlet that shows or sends them; the agent gives them by itself."""
    parser.add_argument("--status", type=Path, metavar="FILE", help="status file of the agent; the agent gives it")
    parser.add_argument("--label", action="append", default=[], dest="labels", metavar="NAME=VALUE", help=LABEL_HELP)


def _of_agent(status: Mapping[str, Any]) -> Iterator[Point]:
    spool, compaction = status["spool"], status["compaction"] or {}
    yield _point("build_info", 1, version=status["version"])
    yield _point("status_timestamp_seconds", written_seconds(status))
    yield _point("lost_rows", spool["lost_rows"])
    yield _point("waiting_records", spool["waiting"])
    yield _point("spool_failing", bool(spool["trouble"]))
    yield _point("compaction_failing", bool(compaction.get("trouble")))
    for source in status["sources"]:
        name = source["name"]
        yield _point("source_failing", source["state"] != "running", source=name)
        yield _point(
            "source_hanging", source["left_behind_pid"] is not None or source["state"] == "silent", source=name
        )
        yield _point("source_restarts", source["restarts"], source=name)
    for number, outlet in enumerate(status["outlets"]):
        yield _point("outlet_dropped_records", outlet["dropped"], outlet=str(number))


def _of_disk(status: Mapping[str, Any]) -> Iterator[Point]:
    output, host = Path(status["output"]), status["host"]
    yield _point("spool_bytes", sum(map(_size, segments(output, host))))
    for path in sorted(spool_folder(output, host).glob(CURSORS)):
        cursor = read_object(path)
        if "url" not in cursor:
            continue
        yield _point("remote_write_failing", bool(cursor["failing"]), url=cursor["url"])
        for name in ("backlog_bytes", "sent_samples", "parked_samples", "dropped_files"):
            yield _point(f"remote_write_{name}", cursor[name], url=cursor["url"])


def _point(name: str, value: float, **labels: str) -> Point:
    family = FAMILIES[name]
    suffix = "_total" if family.kind is Kind.COUNTER else ""
    return Point(family, f"{family.name}{suffix}", tuple(labels.items()), float(value))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # compacted meanwhile
