"""Hit ratios of caches in front of a model, by their size."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.cache.log import RequestLog
from advisor.demand.cache.semantic import (
    MOST_REQUESTS,
    Expiry,
    Indices,
    SemanticPoint,
    by_key,
    last_access,
    misses_of_ttl,
    peak_held,
    semantic_point,
    stack_distances,
)
from advisor.records import dataclass
from advisor.units import BYTES_PER_GIB

SCHEMA = "advisor.cache/v1"
HALVINGS = 6
"""Sizes of a curve below the working set, each half of the next."""
_ENTRY_OVERHEAD_BYTES = 100
"""Key, pointers and time of an entry beside its answer, as Redis keeps them."""


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

    Args:
        log: requests as hashes, with times where *ttl_s* is given.
        ttl_s: seconds for which an answer counts after it was written; None: for ever.
        thresholds: cosine similarities of semantic caches.
        vectors: answers of an embedder; None: those of the log.
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
