"""State of the agent as series, from its status: a host whose agent loses rows is seen where the rows are missed.

``advisor agent install alerts`` writes the rules that go with them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from advisor.samples.agent.series import Family, Point
from advisor.samples.agent.spool import segments
from advisor.samples.agent.status_files import written_seconds
from advisor.samples.metrics import Kind

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
        ("missed_ticks", _C, "", "readings that gaps stand for since the agent started, by reason"),
        ("source_failing", _G, "", "whether a source is not read now"),
        ("source_hanging", _G, "", "whether a source hangs in its driver"),
        ("source_restarts", _C, "", "times that a source was started again"),
    )
}


def signals_of(status: Mapping[str, Any]) -> Iterator[Point]:
    """Series of an agent with this status (:mod:`advisor.samples.agent.status`), each with its host."""
    host, spool, compaction = status["host"], status["spool"], status["compaction"] or {}
    yield _point("build_info", 1, host=host, version=status["version"])
    yield _point("status_timestamp_seconds", written_seconds(status), host=host)
    yield _point("lost_rows", spool["lost_rows"], host=host)
    yield _point("waiting_records", spool["waiting"], host=host)
    yield _point("spool_failing", bool(spool["trouble"]), host=host)
    yield _point("spool_bytes", sum(map(_size, segments(Path(status["output"]), host))), host=host)
    yield _point("compaction_failing", bool(compaction.get("trouble")), host=host)
    for source in status["sources"]:
        who = {"host": host, "source": source["name"]}
        for reason, ticks in source["gap_ticks"].items():
            yield _point("missed_ticks", ticks, reason=reason, **who)
        yield _point("source_failing", source["state"] != "running", **who)
        yield _point("source_hanging", source["left_behind_pid"] is not None or source["state"] == "silent", **who)
        yield _point("source_restarts", source["restarts"], **who)


def _point(name: str, value: float, **labels: str) -> Point:
    family = FAMILIES[name]
    suffix = "_total" if family.kind is Kind.COUNTER else ""
    return Point(family, f"{family.name}{suffix}", tuple(labels.items()), float(value))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # compacted meanwhile
