"""Stack distances: hits of a least-recently-used cache of every size, from one pass over its accesses."""

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]
NEVER = np.iinfo(np.int32).max
"""Stack distance of a first access: no cache is large enough."""


def stack_distances(last: Indices) -> Indices:
    """Number of other keys that were accessed since the last access of the same key; :data:`NEVER` for a first access.

    A least-recently-used cache of C entries hits exactly those accesses whose distance is below C (Mattson et al.,
    IBM Systems Journal 9(2), 1970). With p(i) the last access before i of the same key, distance(i) =
    #{j < i: p(j) ≤ p(i)} - (p(i) + 1), where p of a first access is -1.

    Args:
        last: p, as of :func:`last_access`.
    """
    hits = np.flatnonzero(last >= 0).astype(np.int32)
    distances = np.full(last.size, NEVER, np.int32)
    if hits.size:
        rank = np.empty(last.size, np.int32)
        rank[np.sort(last[hits])] = np.arange(hits.size, dtype=np.int32)
        ranks = rank[last[hits]]
        del rank  # the count below takes most of the memory
        earlier = _earlier_and_smaller(ranks)
        first_before = hits - np.arange(hits.size, dtype=np.int32)
        distances[hits] = earlier + first_before - (last[hits] + 1)
    return distances


def by_key(keys: npt.NDArray[np.uint64]) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Accesses by key, each key's in the order of time, and which of them is the first of its key."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    ordered = keys[order]
    return order, np.concatenate([[True], ordered[1:] != ordered[:-1]])


def last_access(order: Indices, is_first: npt.NDArray[np.bool_]) -> Indices:
    """Position of the last access of the same key before each one; -1 for a first access."""
    last = np.full(order.size, -1, np.int32)
    same = ~is_first[1:]
    last[order[1:][same]] = order[:-1][same]
    return last


def _earlier_and_smaller(values: Indices) -> Indices:
    """Number of earlier elements that are smaller, for each element of a permutation of 0 … n - 1.

    From the highest bit down elements stand in groups of equal higher bits, each in the order of time: of a group,
    those with the bit clear that come before one with the bit set are smaller than it. n log n in all.
    """
    count = np.zeros(values.size, np.int32)
    order = at = np.arange(values.size, dtype=np.int32)
    for bit in range(max(int(values.size - 1).bit_length() - 1, 0), -1, -1):
        ordered = values[order]
        is_set = (ordered >> bit) & 1 == 1
        clear_before = np.zeros(values.size + 1, np.int32)
        np.cumsum(~is_set, out=clear_before[1:])
        start = (ordered >> (bit + 1)) << (bit + 1)
        clear_in_group = clear_before[:-1] - clear_before[start]
        count[order[is_set]] += clear_in_group[is_set]
        del ordered, clear_before
        target = np.where(is_set, (1 << bit) + at - clear_in_group, start + clear_in_group)
        moved = np.empty_like(order)
        moved[target] = order
        order = moved
    return count


def peak_held(last: Indices, distances: Indices, entries: int, sizes: npt.NDArray[np.float32]) -> float:
    """Most that a least-recently-used cache ever holds, in the unit of the sizes.

    It evicts entries in the order of their last accesses, from the miss after the one that fills it on: after miss m it
    holds what the first m misses brought, less the first m - C of the accesses that no hit follows.

    Args:
        last: position of the last access of the same key.
        distances: stack distances of the accesses.
        entries: C, most that it holds.
        sizes: size of each access's entry, the same for all accesses of a key.
    """
    is_hit = distances < entries
    is_end = np.ones(last.size, np.bool_)
    is_end[last[is_hit]] = False
    held = np.cumsum(sizes[~is_hit], dtype=np.float64)
    held[entries:] -= np.cumsum(sizes[is_end], dtype=np.float64)[: max(held.size - entries, 0)]
    return float(held.max())


def misses_of_ttl(is_new: npt.NDArray[np.bool_], times_s: npt.NDArray[np.float64], ttl_s: float) -> int:
    """Misses of a cache whose entries count for a time after they were written, and keep their room beyond it.

    Args:
        is_new: whether the cache does not hold the entry of an access, which is written then; accesses stand by key.
        times_s: times of the accesses.
        ttl_s: seconds for which an entry counts.
    """
    misses, written = 0, 0.0
    for absent, now in zip(is_new.tobytes(), times_s.data, strict=True):
        if absent or now - written > ttl_s:
            written = now
            misses += 1
    return misses
