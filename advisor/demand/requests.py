"""A request trace read whole, as arrays: the checks are those of the trace that is read as a stream."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.demand.arrivals import Requests
from advisor.demand.clock import UNDATED, is_dated, on_the_calendar
from advisor.demand.trace import read_blocks


def read_requests(path: Path) -> Requests:
    """Read a trace whole: headers, times and checks are those of :func:`advisor.demand.trace.tally_trace`.

    Raises:
        InputError: see there.
    """
    blocks = [
        (seconds, inputs.astype(np.int32), outputs.astype(np.int32)) for seconds, inputs, outputs in read_blocks(path)
    ]
    seconds, inputs, outputs = zip(*blocks, strict=True)
    return _in_order(Requests(np.concatenate(seconds), np.concatenate(inputs), np.concatenate(outputs)))


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
