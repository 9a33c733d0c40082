"""A request trace read whole, as arrays: the checks are those of the trace that is read as a stream."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.demand.arrivals import Requests
from advisor.demand.clock import UNDATED, is_dated, on_the_calendar
from advisor.demand.trace import read_blocks
from advisor.demand.trace_columns import OF_TOKENS, SizeColumns


def read_requests(path: Path, columns: SizeColumns = OF_TOKENS) -> Requests:
    """Read a trace whole: headers, times and checks are those of :func:`advisor.demand.trace.tally_trace`.

    Args:
        path: of the trace.
        columns: what tells the size of a request.

    Raises:
        InputError: see there.
    """
    blocks = [
        (seconds, sizes.astype(np.int32), items.astype(np.int32))
        for seconds, sizes, items in read_blocks(path, columns)
    ]
    seconds, sizes, items = zip(*blocks, strict=True)
    return _in_order(Requests(np.concatenate(seconds), np.concatenate(sizes), np.concatenate(items)))


def _in_order(requests: Requests) -> Requests:
    """Sorted by arrival, on the calendar, and both said where it was not so."""
    seconds, notes = requests.seconds, []
    early = int(np.count_nonzero(np.diff(seconds) < 0))
    if early:
        order = np.argsort(seconds, kind="stable")
        seconds = seconds[order]
        requests = replace(
            requests, input_tokens=requests.input_tokens[order], output_tokens=requests.output_tokens[order]
        )  # fmt: skip
        notes.append(f"{early:,} rows of the trace are earlier than the row before them: it was sorted by time")
    if not is_dated(float(seconds[0])):
        seconds = seconds + on_the_calendar(0.0)
        notes.append(UNDATED)
    return replace(requests, seconds=seconds, notes=tuple(notes))
