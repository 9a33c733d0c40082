"""A server with dynamic batching, request by request: the plainest that there is."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def simulate(arrivals: Floats, request_s: Floats, fixed_s: float, largest: int, wait_s: float = 0.0) -> Floats:
    """Latency of each request, all of one item, on a server that takes what waits whenever it is free.

    Args:
        arrivals: ascending, in seconds.
        request_s: what each adds to its batch.
        fixed_s: of a batch.
        largest: requests of a batch at most.
        wait_s: how long the first of a batch waits for others.
    """
    latency, free, first = np.zeros(arrivals.size), 0.0, 0
    while first < arrivals.size:
        begin = max(free, arrivals[first])
        full = arrivals[first + largest - 1] if first + largest <= arrivals.size else np.inf
        begin = max(begin, min(arrivals[first] + wait_s, full))
        last = min(int(np.searchsorted(arrivals, begin, side="right")), first + largest)
        free = begin + fixed_s + float(request_s[first:last].sum())
        latency[first:last] = free - arrivals[first:last]
        first = last
    return latency
