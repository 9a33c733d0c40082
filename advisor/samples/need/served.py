"""What engines served, minute by minute, from their counters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.samples.need.counters import growth, spread_by_row
from advisor.samples.need.limits import COVERAGE
from advisor.samples.need.timeline import Timeline
from advisor.units import SECONDS_PER_MINUTE

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Requests that all engines together finished, and their tokens."""

    start_seconds: float
    """Start of the first minute, since 1970 UTC."""
    requests_per_minute: Floats
    """Shape ``(minutes,)``; NaN: less than nine tenths of the engines' time in it is known."""
    requests: float
    prompt_tokens: float
    generated_tokens: float
    resets: int
    """Restarts of an engine; what it had counted since its last reading is lost."""

    @property
    def tokens_per_request(self) -> tuple[float, float]:
        """Prompt and generated tokens of a request on average; at least one each."""
        return max(self.prompt_tokens / self.requests, 1.0), max(self.generated_tokens / self.requests, 1.0)


def served(engines: Sequence[Timeline]) -> Served | None:
    """What the engines counted; None where none finished a request.

    The counters are cumulative: what was served during a gap is known once the engine is read again, and laid evenly
    over the gap. An engine takes part from its first to its last reading, so that one that came later is not held to
    be unknown before.
    """
    counting = [engine for engine in engines if engine.knows("requests_finished")]
    totals = {name: _total(counting, name) for name in ("requests_finished", "prompt_tokens", "generated_tokens")}
    if totals["requests_finished"] <= 0:
        return None
    start = min(engine.grid.start_seconds for engine in counting) // SECONDS_PER_MINUTE * SECONDS_PER_MINUTE
    end = max(engine.grid.start_seconds + engine.grid.seconds for engine in counting)
    minutes = int(np.ceil((end - start) / SECONDS_PER_MINUTE))
    counted, known, present = np.zeros((3, minutes))
    for engine in counting:
        _add(engine, start, (counted, known, present))
    coverage = np.divide(known, present, out=np.zeros(minutes), where=present > 0)
    enough = coverage >= COVERAGE.value
    return Served(
        start_seconds=start,
        requests_per_minute=np.where(enough, counted / np.where(enough, coverage, 1.0), np.nan),
        requests=totals["requests_finished"],
        prompt_tokens=totals["prompt_tokens"],
        generated_tokens=totals["generated_tokens"],
        resets=sum(growth(engine.mean("requests_finished")).resets for engine in counting),
    )


def _total(engines: Sequence[Timeline], counter: str) -> float:
    return sum(growth(engine.mean(counter)).total for engine in engines)


def _add(engine: Timeline, start: float, sums: tuple[Floats, Floats, Floats]) -> None:
    """Add requests, known rows and rows of one engine to the minutes that they end in."""
    counter = engine.mean("requests_finished")
    at = np.flatnonzero(~np.isnan(counter))
    rows = np.arange(at[0], at[-1] + 1)
    ends = engine.grid.start_seconds + (rows + 1) * engine.grid.row_seconds - start
    minute = np.ceil(ends / SECONDS_PER_MINUTE).astype(np.int64) - 1
    spread = spread_by_row(counter)[rows]
    for total, values in zip(sums, (np.nan_to_num(spread), ~np.isnan(spread), np.ones(rows.size)), strict=True):
        np.add.at(total, minute, values)
