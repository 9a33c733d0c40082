"""All that is asked of a group of hosts: their accelerators, counted, and the rows of their engines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.samples.metrics import Scope
from advisor.samples.places import ROW_US
from advisor.samples.query.counts import Counted, Counts
from advisor.samples.query.engines import EngineRows, engine_rows
from advisor.samples.query.grid import Grid
from advisor.samples.store.reading import HostReader


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A group of hosts over a window."""

    accelerators: Sequence[Counted]
    """In order of host, index and MIG instance."""
    engines: Sequence[EngineRows]
    grids: Mapping[str, Grid]
    """Of each host, over all that was recorded of it, gaps included."""


def survey(hosts: HostReader, engine_columns: Sequence[str]) -> Survey:
    """Read a group of hosts."""
    engines = engine_rows(hosts.rows_by_day(Scope.ENGINE, engine_columns), engine_columns)
    tables = list(hosts.counts_by_day())
    counts = Counts(tables) if tables else None
    spans: dict[str, tuple[int, int]] = {}
    found = [(engine.key.host, int(engine.end_us[0]) - ROW_US, int(engine.end_us[-1])) for engine in engines]
    for host, first, last in (*found, *(counts.spans() if counts else ())):
        before = spans.get(host, (first, last))
        spans[host] = (min(first, before[0]), max(last, before[1]))
    window = hosts.window
    grids = {
        host: Grid.over(max(first, window.start_us), min(last, window.end_us)) for host, (first, last) in spans.items()
    }
    return Survey(counts.accelerators(grids) if counts else (), engines, grids)
