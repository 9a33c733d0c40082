"""Calls whose items clients send as HTTP requests of their own: they start together, and the last answers the call."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from advisor.demand.trace_columns import Requests
from advisor.performance.one_pass.batches import BatchTimes
from advisor.plan.replay.engine import Times
from advisor.plan.replay.values import Outcome
from advisor.records import dataclass

Indices = npt.NDArray[np.intp]


def any_split(replicas: Iterable[Times]) -> bool:
    """Whether any replicas are sent the items of calls by themselves; clients then send them so to all."""
    return any(isinstance(times, BatchTimes) and times.replica.is_split for times in replicas)


@dataclass(frozen=True, slots=True, eq=False)
class SplitCalls:
    """HTTP requests of one item each, those of a call side by side."""

    requests: Requests
    call: Indices
    """Position of the call of each."""

    @classmethod
    def of(cls, calls: Requests) -> "SplitCalls":
        """The items of calls, each an HTTP request that arrives with its call."""
        call = np.repeat(np.arange(calls.seconds.size), np.maximum(calls.output_tokens, 1))
        places = None if calls.places is None else calls.places[call]
        requests = Requests(calls.seconds[call], calls.input_tokens[call], np.ones(call.size, dtype=np.int32), places)
        return cls(requests, call)

    def outcome_of(self, items: Outcome) -> Outcome:
        """Outcome of each call by that of its items: its slowest one's time, and refused where one of them is."""
        first = np.flatnonzero(np.diff(self.call, prepend=-1))
        last = np.append(first[1:], self.call.size) - 1
        is_refused = np.minimum.reduceat(items.group, first) < 0
        backlog = items.backlog_ratio
        return Outcome(
            ttft_s=np.maximum.reduceat(items.ttft_s, first),
            decode_s=np.maximum.reduceat(items.decode_s, first),
            group=np.where(is_refused, -1, items.group[last]).astype(np.int32),
            cut=np.logical_or.reduceat(items.cut, first),
            backlog_ratio=None if backlog is None else np.maximum.reduceat(backlog, first),
        )
