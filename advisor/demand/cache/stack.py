"""Stack distances: hits of a least-recently-used cache of every size, from one pass over its accesses."""

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]
NEVER = np.iinfo(np.int32).max
"""Stack distance of a first access: no cache is large enough."""


def stack_distances(keys: npt.NDArray[np.uint64]) -> Indices:
    """Number of other keys that were accessed since the last access of the same key; :data:`NEVER` for a first access.

    A least-recently-used cache of C entries hits exactly those accesses whose distance is below C (Mattson et al.,
    IBM Systems Journal 9(2), 1970). With p(i) the last access before i of the same key, distance(i) =
    #{j < i: p(j) ≤ p(i)} - (p(i) + 1), where p of a first access is -1.
    """
    last = _last_access(keys)
    hits = np.flatnonzero(last >= 0).astype(np.int32)
    distances = np.full(keys.size, NEVER, np.int32)
    if hits.size:
        rank = np.empty(keys.size, np.int32)
        rank[np.sort(last[hits])] = np.arange(hits.size, dtype=np.int32)
        earlier = _earlier_and_smaller(rank[last[hits]])
        first_before = hits - np.arange(hits.size, dtype=np.int32)
        distances[hits] = earlier + first_before - (last[hits] + 1)
    return distances


def _last_access(keys: npt.NDArray[np.uint64]) -> Indices:
    """Position of the last access of the same key before each one; -1 for a first access."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    last = np.full(keys.size, -1, np.int32)
    same = keys[order[1:]] == keys[order[:-1]]
    last[order[1:][same]] = order[:-1][same]
    return last


def _earlier_and_smaller(values: Indices) -> Indices:
    """Number of earlier elements that are smaller, for each element of a permutation of 0 … n - 1.

    From the highest bit down elements stand in groups of equal higher bits, each in the order of time: of a group,
    those with the bit clear that come before one with the bit set are smaller than it. n log n in all.
    """
    count = np.zeros(values.size, np.int32)
    order = np.arange(values.size, dtype=np.int32)
    for bit in range(max(int(values.size - 1).bit_length() - 1, 0), -1, -1):
        ordered = values[order]
        is_set = (ordered >> bit) & 1 == 1
        clear_before = np.zeros(values.size + 1, np.int32)
        np.cumsum(~is_set, out=clear_before[1:])
        start = (ordered >> (bit + 1)) << (bit + 1)
        clear_in_group = clear_before[:-1] - clear_before[start]
        count[order[is_set]] += clear_in_group[is_set]
        at = np.arange(values.size, dtype=np.int32)
        target = np.where(is_set, (1 << bit) + at - clear_in_group, start + clear_in_group)
        moved = np.empty_like(order)
        moved[target] = order
        order = moved
    return count


def hits_of_lru(keys: Iterable[int], times_s: Iterable[float], entries: int, ttl_s: float) -> npt.NDArray[np.bool_]:
    """Accesses that a least-recently-used cache of a size hits, when an entry counts for a time after it was written.

    An entry past its time is written anew where it is asked for, and keeps its room until then or until it is evicted.
    """
    cache: OrderedDict[int, float] = OrderedDict()
    hits = []
    for key, now in zip(keys, times_s, strict=True):
        written = cache.get(key)
        is_hit = written is not None and now - written <= ttl_s
        if not is_hit:
            cache[key] = now
        cache.move_to_end(key)
        if len(cache) > entries:
            cache.popitem(last=False)
        hits.append(is_hit)
    return np.array(hits, np.bool_)
