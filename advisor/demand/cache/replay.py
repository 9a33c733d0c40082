"""Hit ratios of caches in front of a model, by their size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.cache.log import RequestLog
from advisor.demand.cache.semantic import MOST_REQUESTS, SemanticPoint, semantic_point
from advisor.demand.cache.stack import NEVER, hits_of_lru, stack_distances
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
    """Of answers and their overhead; None: no answer has a size."""
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
    """Of prompts' blocks that follow the same blocks; None: the log holds none."""
    semantic: tuple[SemanticPoint, ...]
    notes: tuple[str, ...]


def replay_caches(
    log: RequestLog, block_tokens: int, ttl_s: float | None = None, thresholds: Sequence[float] = ()
) -> CacheReplay:
    """Replay a log against caches of every size.

    Args:
        log: requests as hashes, with times where *ttl_s* is given.
        block_tokens: tokens of a block.
        ttl_s: seconds for which an answer counts after it was written; None: for ever.
        thresholds: cosine similarities of semantic caches.
    """
    notes = []
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
    return CacheReplay(
        requests=log.requests,
        seconds=seconds,
        ttl_s=ttl_s,
        exact=_exact(log, ttl_s),
        block_tokens=block_tokens,
        prefix=_prefix(log, block_tokens),
        semantic=_semantic(log, thresholds),
        notes=tuple(notes),
    )


def _exact(log: RequestLog, ttl_s: float | None) -> CacheCurve:
    """Hits of equal requests: of every size by stack distance; where entries expire, of each size by itself."""
    keys = np.frombuffer(log.keys, np.uint64)
    distances = stack_distances(keys)
    distinct = int(np.count_nonzero(distances == NEVER))
    sizes = _sizes(distinct)
    if ttl_s is None:
        hits = _hits_below(distances, sizes)
    else:
        hits = [int(hits_of_lru(log.keys, log.times_s, size, ttl_s).sum()) for size in sizes]
    answer_bytes = log.mean_answer_bytes
    entry_gib = None if answer_bytes is None else (answer_bytes + _ENTRY_OVERHEAD_BYTES) / BYTES_PER_GIB
    points = (
        CachePoint(size, None if entry_gib is None else size * entry_gib, count / log.requests)
        for size, count in zip(sizes, hits, strict=True)
    )
    return CacheCurve(distinct, tuple(points))


def _prefix(log: RequestLog, block_tokens: int) -> CacheCurve | None:
    """Hits of blocks: each counts its tokens. Blocks of a prompt are used last to first, so that the last go first."""
    tokens = np.frombuffer(log.tokens, np.float32).astype(np.float64)
    if not log.blocks or not tokens.sum():
        return None
    distances = stack_distances(np.frombuffer(log.blocks, np.uint64))
    ends = np.cumsum(np.array(log.blocks_of, np.int64))
    distinct = int(np.count_nonzero(distances == NEVER))
    points = []
    for size in _sizes(distinct):
        hits_until = np.concatenate([[0], np.cumsum(distances < size)])[ends]
        hit_tokens = np.minimum(np.diff(hits_until, prepend=0) * block_tokens, tokens)
        points.append(CachePoint(size, None, float(hit_tokens.sum() / tokens.sum())))
    return CacheCurve(distinct, tuple(points))


def _sizes(distinct: int) -> list[int]:
    """The working set, and its halves down to an entry."""
    return sorted({max(distinct >> halving, 1) for halving in range(HALVINGS + 1)})


def _hits_below(distances: npt.NDArray[np.int32], sizes: Sequence[int]) -> list[int]:
    """Accesses whose stack distance is below each size."""
    return [int(np.count_nonzero(distances < size)) for size in sizes]


def _semantic(log: RequestLog, thresholds: Sequence[float]) -> tuple[SemanticPoint, ...]:
    if not log.embeddings:
        return ()
    vectors = np.stack(log.embeddings)
    answers = np.frombuffer(log.answers, np.uint64) if log.answers else None
    return tuple(semantic_point(vectors, answers, threshold) for threshold in sorted(thresholds))
