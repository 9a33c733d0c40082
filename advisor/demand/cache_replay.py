"""Hit ratios of caches in front of a model: of every size in one pass, and of semantic caches by similarity."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.cache_log import MOST_REQUESTS, RequestLog
from advisor.records import dataclass
from advisor.units import BYTES_PER_GIB

SCHEMA = "advisor.cache/v1"
HALVINGS = 6
"""Sizes of a curve below the working set, each half of the next."""
_ENTRY_OVERHEAD_BYTES = 100
"""Key, pointers and time of an entry beside its answer, as Redis keeps them."""
Indices = npt.NDArray[np.int32]
NEVER = np.iinfo(np.int32).max
"""Stack distance of a first access: no cache is large enough."""


def stack_distances(last: Indices) -> Indices:
    """Number of other keys that were accessed since the last access of the same key; :data:`NEVER` for a first access.

    A least-recently-used cache of C entries hits exactly those accesses whose distance is below C (Mattson et al., IBM
    Systems Journal 9(2), 1970). With p(i) (*last*, see :func:`last_access`) the last access before i of the same key,
    distance(i) = #{j < i: p(j) ≤ p(i)} - (p(i) + 1), where p of a first access is -1.
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
    """Most that a least-recently-used cache of C *entries* ever holds, in the unit of the sizes.

    It evicts entries in the order of their last accesses, from the miss after the one that fills it on: after miss m it
    holds what the first m misses brought, less the first m - C of the accesses that no hit follows. Of each access:
    position of the last one of its key, stack distance, and the size of its entry, the same for all of a key.
    """
    is_hit = distances < entries
    is_end = np.ones(last.size, np.bool_)
    is_end[last[is_hit]] = False
    held = np.cumsum(sizes[~is_hit], dtype=np.float64)
    held[entries:] -= np.cumsum(sizes[is_end], dtype=np.float64)[: max(held.size - entries, 0)]
    return float(held.max())


def misses_of_ttl(is_new: npt.NDArray[np.bool_], times_s: npt.NDArray[np.float64], ttl_s: float) -> int:
    """Misses of a cache whose entries count for *ttl_s* seconds after they were written, and keep their room beyond it.

    *is_new*: the cache does not hold the entry of an access, which is written then; accesses stand by key.
    """
    misses, written = 0, 0.0
    for absent, now in zip(is_new.tobytes(), times_s.data, strict=True):
        if absent or now - written > ttl_s:
            written = now
            misses += 1
    return misses


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

    Only entries of its own model and scope answer a request, as those of an exact cache do. *vectors*: embeddings of
    length 1, shape (requests, dimensions), in the order of the log. *scopes*, *answers*: hashes of each request's model
    and scope, and of its own answer. *threshold*: cosine similarity. *entry_bytes*: size of each request's entry
    without its embedding; None: no answer has a size. *expiry*: when entries stop counting, and leave; None: never.
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


@dataclass(frozen=True, slots=True)
class CachePoint:
    """Hits of a least-recently-used cache of one size."""

    entries: int
    memory_gib: float | None
    """Most that its answers and their overhead ever take; None: no answer has a size."""
    hit_ratio: float
    """Share of the requests; of a prefix cache share of the prompts' tokens."""


@dataclass(frozen=True, slots=True)
class CacheCurve:
    """Hit ratio by size; the last point holds everything, and no larger cache hits more."""

    distinct: int
    """Entries of the working set."""
    points: tuple[CachePoint, ...]

    @property
    def unlimited_hit_ratio(self) -> float:
        """Hit ratio of a cache without a limit."""
        return self.points[-1].hit_ratio


@dataclass(frozen=True, slots=True)
class CacheReplay:
    """Answers that caches would have given to the requests of a log."""

    requests: int
    seconds: float | None
    """From the earliest request to the latest; None: not every request has a time."""
    ttl_s: float | None
    """For which an answer counts; None: for ever."""
    exact: CacheCurve
    """Of equal requests."""
    block_tokens: int
    prefix: CacheCurve | None
    """Hits of prompts' blocks that follow the same blocks; None: the log holds none, or its model has no such cache."""
    semantic: tuple[SemanticPoint, ...]
    notes: tuple[str, ...]
    embedder: str | None = None
    """Model whose vectors are the answers; None: the answers are those of the log."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Answers of an embedder: each text has one vector, whatever its length."""

    model: str
    dimension: int
    number_bytes: int

    @property
    def answer_bytes(self) -> int:
        """Size of an answer: ``dimension · bytes of a number``."""
        return self.dimension * self.number_bytes


def replay_caches(
    log: RequestLog,
    ttl_s: float | None = None,
    thresholds: Sequence[float] = (),
    vectors: Vectors | None = None,
) -> CacheReplay:
    """Replay a log against caches of every size.

    *ttl_s*: seconds for which an answer counts after it was written, None: for ever; the log has times where it is
    given. *thresholds*: cosine similarities of semantic caches. *vectors*: answers of an embedder; None: those of the
    log.
    """
    notes = []
    answers = np.frombuffer(log.answer_bytes, np.float32)
    if vectors is not None:
        answers = np.full_like(answers, vectors.answer_bytes)
        told = f"{vectors.dimension:,} numbers of {vectors.number_bytes} bytes"
        notes.append(
            f"each answer is a vector of {vectors.model}: {told}, and {_ENTRY_OVERHEAD_BYTES} bytes of its entry"
        )
    if log.embedded > MOST_REQUESTS and thresholds:
        notes.append(f"semantic: the first {MOST_REQUESTS:,} of {log.embedded:,} requests with an embedding")
    if thresholds and log.embedded and not log.answers:
        notes.append("semantic: false hits are unknown, as not every request has a response or an answer_id")
    times_s = np.frombuffer(log.times_s, np.float64)
    seconds = float(np.ptp(times_s)) if times_s.size else None
    if early := int(np.count_nonzero(np.diff(times_s) < 0)):
        notes.append(
            f"{early:,} times a request is earlier than the one before it: they are replayed as the log has them"
        )
    if log.is_size_derived:
        notes.append(f"prefix: {log.block_tokens:,} tokens a block, by input_length and the number of hash_ids")
    if log.sampled_one_in > 1:
        notes.append(f"prefix: one in {log.sampled_one_in:,} of the distinct blocks is replayed, chosen by hash")
    return CacheReplay(
        requests=log.requests,
        seconds=seconds,
        ttl_s=ttl_s,
        exact=_exact(log, answers, ttl_s),
        block_tokens=log.block_tokens,
        prefix=_prefix(log) if vectors is None else None,
        semantic=_semantic(log, answers, thresholds, ttl_s),
        notes=tuple(notes),
        embedder=None if vectors is None else vectors.model,
    )


def _exact(log: RequestLog, answers: npt.NDArray[np.float32], ttl_s: float | None) -> CacheCurve:
    """Hits of equal requests: of every size by stack distance; where answers expire, of each size by itself."""
    order, is_first = by_key(np.frombuffer(log.keys, np.uint64))
    last = last_access(order, is_first)
    distances = stack_distances(last)
    held_bytes = _entry_bytes(answers, order, is_first)
    times_s = np.frombuffer(log.times_s, np.float64)[order] if ttl_s is not None else None

    def point(entries: int) -> CachePoint:
        is_miss = distances >= entries
        if ttl_s is None or times_s is None:
            misses = int(np.count_nonzero(is_miss))
        else:
            misses = misses_of_ttl(is_miss[order], times_s, ttl_s)
        held = None if held_bytes is None else peak_held(last, distances, entries, held_bytes) / BYTES_PER_GIB
        return CachePoint(entries, held, 1 - misses / log.requests)

    distinct = int(np.count_nonzero(is_first))
    return CacheCurve(distinct, tuple(map(point, _sizes(distinct))))


def _entry_bytes(
    answers: npt.NDArray[np.float32], order: Indices, is_first: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32] | None:
    """Bytes of the entry of each access: the largest answer to its request, and its overhead; None: none has a size.

    Entries without any answer's size are as large as the others on average.
    """
    largest = np.fmax.reduceat(answers[order], np.flatnonzero(is_first))
    if np.isnan(largest).all():
        return None
    largest[np.isnan(largest)] = np.nanmean(largest, dtype=np.float64)
    sizes = np.empty_like(answers)
    sizes[order] = largest[np.cumsum(is_first) - 1] + _ENTRY_OVERHEAD_BYTES
    return sizes


def _prefix(log: RequestLog) -> CacheCurve | None:
    """Hits of blocks: each counts its tokens. Blocks of a prompt are used last to first, so that the last go first.

    Of a sample of the blocks, what its accesses are fewer than their expected number counts as hits of every size, for
    the blocks that are used most may be missing (SHARDS-adj; Waldspurger et al., FAST 2015).
    """
    tokens = np.frombuffer(log.tokens, np.float32).astype(np.float64)
    if not log.blocks or not tokens.sum():
        return None
    order, is_first = by_key(np.frombuffer(log.blocks, np.uint64))
    distances = stack_distances(last_access(order, is_first))
    distinct, one_in = int(np.count_nonzero(is_first)), log.sampled_one_in
    ends = np.cumsum(np.frombuffer(log.blocks_of, np.uint32), dtype=np.int64)
    missing = (log.blocks_total - len(log.blocks) * one_in) * log.block_tokens

    def point(entries: int) -> CachePoint:
        hits_until = np.concatenate([[0], np.cumsum(distances < entries)])[ends]
        hit_tokens = np.diff(hits_until, prepend=0) * float(log.block_tokens)
        if one_in == 1:
            hit_tokens = np.minimum(hit_tokens, tokens)
        ratio = (hit_tokens.sum() * one_in + missing) / tokens.sum()
        return CachePoint(entries * one_in, None, float(np.clip(ratio, 0, 1)))

    return CacheCurve(distinct * one_in, tuple(map(point, _sizes(distinct))))


def _sizes(distinct: int) -> list[int]:
    """The working set, and its halves down to an entry."""
    return sorted({max(distinct >> halving, 1) for halving in range(HALVINGS + 1)})


def _semantic(
    log: RequestLog, sizes: npt.NDArray[np.float32], thresholds: Sequence[float], ttl_s: float | None
) -> tuple[SemanticPoint, ...]:
    if not log.embeddings:
        return ()
    vectors = np.stack(log.embeddings)
    answers = np.frombuffer(log.answers, np.uint64) if log.answers else None
    embedded_at = np.frombuffer(log.embedded_at, np.uint32)
    sizes = sizes[embedded_at]
    expiry = None if ttl_s is None else Expiry(np.frombuffer(log.times_s, np.float64)[embedded_at], ttl_s)
    held = None
    if not np.isnan(sizes).all():
        held = np.nan_to_num(sizes, nan=np.nanmean(sizes, dtype=np.float64)) + np.float32(_ENTRY_OVERHEAD_BYTES)
    scopes = np.frombuffer(log.embedded_scopes, np.uint64)
    return tuple(semantic_point(vectors, scopes, answers, threshold, held, expiry) for threshold in sorted(thresholds))
