"""One replica's dynamic batching, batch by batch.

Items wait in the order of their arrival. A free server begins a batch as soon as it is full or its first item has
waited as long as the server waits for others, and takes what has come by then, up to its items and tokens; what does
not fit stays first in line (Triton's dynamic batcher, and Text Embeddings Inference with a wait of 0). Where texts are
padded to the longest of their batch, all count and take as much as that; a server that takes shapes as they are begins
a batch anew at each other length. A request is answered with the batch of its last item. Before, requests come in one
after the other by the machine's network. Those items of a call that come to a replica as
HTTP requests of their own are one request here, of as many transfers.
"""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from advisor.catalog.one_pass_engines import ALIKE, LONGEST
from advisor.performance.one_pass.batches import BatchTimes
from advisor.performance.one_pass.serving import Replica

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

_ENDLESS = 2**62
"""Tokens of a batch that nothing limits."""


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
    waiting = _Waiting(times.replica, sizes.tolist(), _of_items(times, sizes, items).tolist(), items.tolist())
    ends, head, now, count = np.zeros(len(arrivals)), 0, 0.0, len(arrivals)
    while head < count:
        begin = max(now, arrivals[head])
        if wait:
            full = waiting.fills(head)
            begin = max(begin, min(arrivals[head] + wait, arrivals[full] if full < count else np.inf))
        until, work = waiting.take(head, bisect_right(arrivals, begin, head))
        now = begin + fixed + work
        ends[head:until] = now
        head = until
    return ends


class _Waiting:
    """Requests in the order of their arrival, and what is left of each; lists of one length."""

    def __init__(self, replica: Replica, sizes: list[int], own_s: list[float], left: list[int]) -> None:
        """Requests that nothing was taken of yet."""
        self.sizes, self.own_s, self.left = sizes, own_s, left
        self.most_items, self.most_tokens = replica.largest_items, int(min(replica.largest_tokens, _ENDLESS))
        self.is_padded, self.is_alike = replica.padding == LONGEST, replica.padding == ALIKE

    def take(self, head: int, arrived: int) -> tuple[int, float]:
        """Begin a batch with the request at *head* and those up to *arrived*; the first one left, and its work in s."""
        if self.is_padded or self.is_alike:
            return self._take_shaped(head, arrived)
        sizes, own_s, left_of = self.sizes, self.own_s, self.left
        items, tokens, work = self.most_items, self.most_tokens, 0.0
        for at in range(head, arrived):
            size, left = sizes[at], left_of[at]
            if left > items or left * size > tokens:
                taken = max(min(items, tokens // max(size, 1)), int(at == head))
                if taken < left:
                    left_of[at] = left - taken
                    return at, work + taken * own_s[at]
            items, tokens = items - left, tokens - left * size
            work += left * own_s[at]
        return arrived, work

    def _take_shaped(self, head: int, arrived: int) -> tuple[int, float]:
        """The same of texts that are padded to the longest, or all of one length."""
        items, tokens, longest, longest_s, work = 0, 0, 0, 0.0, 0.0
        at = head
        while at < arrived:
            size, left = self.sizes[at], self.left[at]
            taken = min(left, self._room(size, items, tokens, max(longest, size)))
            if taken <= 0 or (self.is_alike and size != self.sizes[head]):
                break
            items, tokens = items + taken, tokens + taken * size
            longest, longest_s = max(longest, size), max(longest_s, self.own_s[at])
            work = items * longest_s if self.is_padded else work + taken * self.own_s[at]
            self.left[at] = left - taken
            if taken < left:
                break
            at += 1
        return at, work

    def fills(self, head: int) -> int:
        """Request whose items fill the batch of those from *head* on; the number of requests where none does."""
        items, tokens, longest = 0, 0, 0
        for at in range(head, len(self.sizes)):
            size, left = self.sizes[at], self.left[at]
            longest = max(longest, size)
            if (self.is_alike and size != self.sizes[head]) or left >= self._room(size, items, tokens, longest):
                return at
            items, tokens = items + left, tokens + left * size
        return len(self.sizes)

    def _room(self, size: int, items: int, tokens: int, longest: int) -> int:
        """Items of a size that still fit a batch of so many items and tokens; one in any case in an empty one."""
        padded = self.most_tokens // max(longest, 1) - items
        within = padded if self.is_padded else (self.most_tokens - tokens) // max(size, 1)
        return max(min(self.most_items - items, within), int(items == 0))


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
    within = np.floor(replica.largest_tokens / np.maximum(sizes, 1))
    batches = np.ceil(items / np.maximum(np.minimum(within, float(replica.largest_items)), 1.0))
    ends: Floats = (
        arrivals_s + replica.transfer_s * _transfers(times, items) + replica.wait_s + batches * replica.fixed_s
    )
    return ends + items * _of_items(times, sizes, items)


def _of_items(times: BatchTimes, sizes: Integers, items: Integers) -> Floats:
    """Seconds that one item of each request adds to its batch."""
    return times.item_seconds(sizes.astype(np.float64), items.astype(np.float64))
