"""Semantic cache: hits by similarity of embeddings, and how many of them answer another question."""

import numpy as np
import numpy.typing as npt

from advisor.demand.cache.stack import by_key
from advisor.records import dataclass
from advisor.units import BYTES_PER_GIB

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
