"""Caches of every size in one pass, and the semantic cache: hits by similarity, and which answer another question."""

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass
from advisor.units import BYTES_PER_GIB

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


MOST_REQUESTS = 20_000
"""Requests that are compared with each other, the first of a log: work grows with their square."""
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Expiry:
    """Time for which a stored answer counts."""

    times_s: npt.NDArray[np.float64]
    """Time of each request, in seconds."""
    ttl_s: float

    def of(self, members: npt.NDArray[np.int32]) -> "Expiry":
        """The same for some of the requests."""
        return Expiry(self.times_s[members], self.ttl_s)


@dataclass(frozen=True, slots=True)
class SemanticPoint:
    """Hits of a semantic cache at one threshold, without a limit of size."""

    threshold: float
    """Cosine similarity from which a stored answer is given."""
    hit_ratio: float
    false_hit_ratio: float | None
    """Share of the hits whose stored answer is not that of the request; None: answers are not known, or no hit."""
    entries: int
    """Most requests that are stored at a time, of those that miss."""
    memory_gib: float | None
    """Most memory that answers, embeddings and overhead take at a time; None: no answer has a size."""


def semantic_point(
    vectors: npt.NDArray[np.float32],
    scopes: npt.NDArray[np.uint64],
    answers: npt.NDArray[np.uint64] | None,
    threshold: float,
    entry_bytes: npt.NDArray[np.float32] | None = None,
    expiry: Expiry | None = None,
) -> SemanticPoint:
    """Replay: a request takes the answer of the most similar stored one, and is stored where none is similar enough.

    Only entries of its own model and scope answer a request, as those of an exact cache do.

    Args:
        vectors: embeddings of length 1, shape (requests, dimensions), in the order of the log.
        scopes: hash of each request's model and scope.
        answers: hash of each request's own answer.
        threshold: cosine similarity.
        entry_bytes: size of each request's entry without its embedding; None: no answer has a size.
        expiry: when entries stop counting, and leave; None: never.
    """
    nearest = _nearest_in_scope(vectors, scopes, threshold, expiry)
    hits, stored = np.flatnonzero(nearest >= 0), np.flatnonzero(nearest < 0)
    wrong = None
    if answers is not None and hits.size:
        wrong = float(np.mean(answers[hits] != answers[nearest[hits]]))
    entries = int(_most_at_a_time(np.ones(stored.size), stored, expiry))
    memory = None
    if entry_bytes is not None:
        sizes = entry_bytes[stored].astype(np.float64) + vectors.shape[1] * vectors.itemsize
        memory = _most_at_a_time(sizes, stored, expiry) / BYTES_PER_GIB
    return SemanticPoint(threshold, hits.size / len(vectors), wrong, entries, memory)


def _most_at_a_time(sizes: npt.NDArray[np.float64], stored: npt.NDArray[np.int64], expiry: Expiry | None) -> float:
    """Largest sum of the sizes of stored requests that have not expired, over the times at which one is stored."""
    if expiry is None:
        return float(sizes.sum())
    order = np.argsort(expiry.times_s[stored], kind="stable")
    times_s = expiry.times_s[stored][order]
    held = np.concatenate([[0.0], np.cumsum(sizes[order])])
    return float((held[1:] - held[np.searchsorted(times_s, times_s - expiry.ttl_s)]).max(initial=0.0))


def _nearest_in_scope(
    vectors: npt.NDArray[np.float32], scopes: npt.NDArray[np.uint64], threshold: float, expiry: Expiry | None
) -> npt.NDArray[np.int64]:
    """Stored request of the same scope whose answer each request is given; -1 where it is a miss."""
    nearest = np.full(len(vectors), -1, np.int64)
    order, is_first = by_key(scopes)
    for members in np.split(order, np.flatnonzero(is_first)[1:]):
        within = nearest_stored(vectors[members], threshold, None if expiry is None else expiry.of(members))
        nearest[members] = np.where(within >= 0, members[within], -1)
    return nearest


def nearest_stored(
    vectors: npt.NDArray[np.float32], threshold: float, expiry: Expiry | None = None
) -> npt.NDArray[np.int64]:
    """Stored request whose answer each request is given; -1 where it is a miss, and is stored."""
    nearest = np.full(len(vectors), -1, np.int64)
    stored = np.zeros(0, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        rows = np.arange(start, start + len(block))
        best, score = _best(_similarity(vectors, rows, stored, expiry), stored)
        own = _similarity(vectors, rows, rows, expiry)
        added: list[int] = []
        for at in range(len(block)):
            recent = own[at, added]
            if added and recent.max() > score[at]:
                best[at], score[at] = start + added[int(recent.argmax())], recent.max()
            if score[at] >= threshold:
                nearest[start + at] = best[at]
            else:
                added.append(at)
        stored = np.concatenate([stored, start + np.array(added, np.int64)])
    return nearest


def _similarity(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], stored: npt.NDArray[np.int64], expiry: Expiry | None
) -> npt.NDArray[np.float32]:
    """Cosine similarity of requests to stored ones, shape (rows, stored); -∞ where the stored one has expired."""
    similar = vectors[rows] @ vectors[stored].T
    if expiry is not None:
        similar[expiry.times_s[stored] < expiry.times_s[rows, None] - expiry.ttl_s] = -np.inf
    return similar


def _best(
    similar: npt.NDArray[np.float32], positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Most similar stored request of each of a block, and how similar it is; -1 and -∞ where none is stored."""
    if not positions.size:
        return np.full(len(similar), -1, np.int64), np.full(len(similar), -np.inf, np.float32)
    at = similar.argmax(axis=1)
    return positions[at], similar[np.arange(len(similar)), at]
