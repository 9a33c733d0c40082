"""Serving engines as the rows of agents hold them, for :func:`advisor.demand.services.demand_of_views`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from advisor.demand.services import EngineView, Grown, LengthCounts, Readings
from advisor.demand.services.readings import Floats, Integers, growth, replicas_at
from advisor.demand.services.views import CLOCK_SKEW_SECONDS
from advisor.samples.exporters import shipped
from advisor.samples.frame import Booleans
from advisor.samples.store.row_tables import target_codes

_IDENTITY = ("engine", "host", "endpoint", "rank", "model")
_COUNTERS = {
    "prompt_tokens": "prompt_tokens",
    "answer_tokens": "generated_tokens",
    "cache_hits": "prefix_cache_hits",
    "cache_queries": "prefix_cache_queries",
}
_US = 1e6


def views_of_rows(table: pa.Table) -> list[EngineView]:
    """Each model on each rank of each endpoint that each host's agent read.

    Args:
        table: rows of engines, as :func:`advisor.samples.store.read_engines` gives them.
    """
    read = table.filter(pc.or_(table["requests_finished"].is_valid(), table["generated_tokens"].is_valid()))
    if not read.num_rows:
        return []
    target = target_codes(read, _IDENTITY)
    seconds = read["timestamp"].cast(pa.int64()).to_numpy() / _US
    order = np.lexsort((seconds, target))
    edges = np.append(np.flatnonzero(np.diff(target[order], prepend=-1)), order.size)
    return [_view(read.take(pa.array(order[begin:end]))) for begin, end in pairwise(edges.tolist())]


def _view(rows: pa.Table) -> EngineView:
    engine, host, endpoint, rank, model = (rows[name][0].as_py() for name in _IDENTITY)
    counts_requests = rows["requests_finished"].null_count < rows.num_rows
    counter = "requests_finished" if counts_requests else "generated_tokens"
    rows = rows.filter(rows[counter].is_valid())
    seconds = rows["timestamp"].cast(pa.int64()).to_numpy() / _US
    is_new = np.append(True, np.diff(seconds) > 0)
    rows = rows.filter(pa.array(is_new))
    requests = _column(rows, counter)
    tokens = _column(rows, "prompt_tokens") + _column(rows, "generated_tokens")
    readings = Readings(seconds[is_new], requests, tokens)
    lives = _lives(readings)
    exporter = shipped().exporters.get(engine)
    grown = {ours: _grown(_column(rows, theirs), lives) for ours, theirs in _COUNTERS.items()}
    return EngineView(
        engine=exporter.name if exporter else engine,
        model=model,
        rank=str(max(rank or 0, 0)),
        host=host,
        address=endpoint,
        observer=f"read on {host}",
        readings=readings,
        grown=Grown(requests=_grown(requests, lives), **grown),
        prompts=_lengths(rows, "prompt_length_tokens", lives),
        answers=_lengths(rows, "answer_length_tokens", lives),
        skew_seconds=CLOCK_SKEW_SECONDS,
        is_gateway=exporter is not None and exporter.is_gateway,
        counts_requests=counts_requests,
    )


def _column(rows: pa.Table, name: str) -> Floats:
    """A counter; NaN where it was not read."""
    values: Floats = rows[name].cast(pa.float64()).to_numpy()
    return values


@dataclass(frozen=True, slots=True)
class _Life:
    """Rows of one process."""

    rows: Integers
    is_first: bool
    """Whether it may have counted before the first of them; else it began at nothing."""

    def with_values(self, is_read: Booleans) -> "_Life":
        """Its rows with a reading."""
        return _Life(self.rows[is_read[self.rows]], self.is_first)


def _lives(readings: Readings) -> list[_Life]:
    """Rows between restarts, for each replica that answers at the address."""
    lives = []
    chains = replicas_at(readings)
    for chain in chains:
        is_start = growth(readings.at(chain), takes_turns=len(chains) > 1)[1]
        parts = np.split(chain, np.flatnonzero(is_start) + 1)
        lives += [_Life(part, is_first=not number) for number, part in enumerate(parts)]
    return lives


def _grown(counter: Floats, lives: Sequence[_Life]) -> float | None:
    """Growth over all lives; None where it was never read."""
    known = [life for each in lives if (life := each.with_values(~np.isnan(counter))).rows.size]
    if not known:
        return None
    return float(sum(counter[life.rows[-1]] - (counter[life.rows[0]] if life.is_first else 0.0) for life in known))


def _lengths(rows: pa.Table, metric: str, lives: Sequence[_Life]) -> LengthCounts | None:
    """What a histogram grew by over all lives; None where it was never read."""
    is_read = rows[f"{metric}_counts"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    known = [life for each in lives if (life := each.with_values(is_read)).rows.size]
    if not known:
        return None
    ends = [(int(life.rows[-1]), 1.0) for life in known]
    ends += [(int(life.rows[0]), -1.0) for life in known if life.is_first]
    columns = rows.select([f"{metric}_{part}" for part in ("bounds", "counts", "sum")])
    read = [(columns.slice(row, 1).to_pylist()[0], sign) for row, sign in ends]
    bounds = np.array(read[0][0][f"{metric}_bounds"])
    same = [(row, sign) for row, sign in read if len(row[f"{metric}_bounds"]) == bounds.size]
    counts = sum((sign * np.array(row[f"{metric}_counts"]) for row, sign in same), np.zeros(bounds.size))
    return LengthCounts(bounds, counts, sum(sign * row[f"{metric}_sum"] for row, sign in same))
