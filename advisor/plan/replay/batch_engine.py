"""One replica's dynamic batching, batch by batch.

Items wait in the order of their arrival. A free server begins a batch as soon as it is full or its first item has
waited as long as the server waits for others, and takes what has come by then, up to its items and tokens; what does
not fit stays first in line (Triton's dynamic batcher, and Text Embeddings Inference with a wait of 0). A request is
answered with the batch of its last item. Before, requests come in one after the other by the machine's network. Those
items of a call that come to a replica as HTTP requests of their own are one request here, of as many transfers.
"""

import numpy as np
import numpy.typing as npt

from advisor.performance.one_pass.batches import BatchTimes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


def batch_ends(times: BatchTimes, arrivals_s: Floats, sizes: Integers, items: Integers) -> Floats:
    """End of the batch that answers each request, on the clock of the arrivals.

    Args:
        times: of the replica.
        arrivals_s: ascending.
        sizes: of each request's items, in the unit of the model.
        items: of each request, at least 1.
    """
    fixed, wait = times.replica.fixed_s, times.replica.wait_s
    arrivals = _received(arrivals_s, times.replica.transfer_s, _transfers(times, items)).tolist()
    own = _of_items(times, sizes, items).tolist()
    fitting, left = _fitting(times, sizes).tolist(), items.tolist()
    ends, head, now, count = np.zeros(len(arrivals)), 0, 0.0, len(arrivals)
    while head < count:
        begin = max(now, arrivals[head])
        if wait:
            begin = max(begin, min(arrivals[head] + wait, _full_at(arrivals, left, fitting, head)))
        room, at, work = 1.0, head, 0.0
        while at < count and arrivals[at] <= begin:
            taken = min(left[at], max(int(room * fitting[at] + _ROUNDING), int(at == head and room == 1.0)))
            work += taken * own[at]
            room -= taken / fitting[at]
            left[at] -= taken
            if left[at]:
                break
            at += 1
        now = begin + fixed + work
        ends[head:at] = now
        head = at
    return ends


def _transfers(times: BatchTimes, items: Integers) -> Integers:
    """Transfers of each request over the network: one, or one of each of its items."""
    return items if times.replica.is_split else np.ones_like(items)


def _received(arrivals_s: Floats, transfer_s: float, transfers: Integers) -> Floats:
    """End of the transfers of each request over a network that carries one at a time.

    Each begins when it arrives, or when the one before it is through (Lindley).
    """
    if not transfer_s:
        return arrivals_s
    before = transfer_s * (np.cumsum(transfers) - transfers)
    received: Floats = np.maximum.accumulate(arrivals_s - before) + before + transfer_s * transfers
    return received


def alone_ends(times: BatchTimes, arrivals_s: Floats, sizes: Integers, items: Integers) -> Floats:
    """End of each request as if on a replica that serves no other; see :func:`batch_ends`."""
    replica = times.replica
    batches = np.ceil(items / _fitting(times, sizes))
    ends: Floats = (
        arrivals_s + replica.transfer_s * _transfers(times, items) + replica.wait_s + batches * replica.fixed_s
    )
    return ends + items * _of_items(times, sizes, items)


def _of_items(times: BatchTimes, sizes: Integers, items: Integers) -> Floats:
    """Seconds that one item of each request adds to its batch."""
    return times.item_seconds(sizes.astype(np.float64), items.astype(np.float64))


_ROUNDING = 1e-9


def _fitting(times: BatchTimes, sizes: Integers) -> Floats:
    """Items of each size that fill a batch."""
    replica = times.replica
    within = np.floor(replica.largest_tokens / np.maximum(sizes, 1))
    return np.maximum(np.minimum(within, float(replica.largest_items)), 1.0)


def _full_at(arrivals: list[float], left: list[int], fitting: list[float], head: int) -> float:
    """Arrival of the request whose items fill the batch of those from *head* on; infinite where none does."""
    room = 1.0
    for at in range(head, len(arrivals)):
        room -= left[at] / fitting[at]
        if room <= _ROUNDING:
            return arrivals[at]
    return float("inf")
