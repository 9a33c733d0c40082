"""Semantic cache: hits by similarity of embeddings, and how many of them answer another question."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.cache.stack import by_key
from advisor.units import BYTES_PER_GIB

MOST_REQUESTS = 20_000
"""Requests that are compared with each other, the first of a log: work grows with their square."""
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class SemanticPoint:
    """Hits of a semantic cache at one threshold, without a limit of size."""

    threshold: float
    """Cosine similarity from which a stored answer is given."""
    hit_ratio: float
    false_hit_ratio: float | None
    """Share of the hits whose stored answer is not that of the request; None: answers are not known, or no hit."""
    entries: int
    """Requests that are stored: those that miss."""
    memory_gib: float | None
    """Memory of their answers, embeddings and overhead; None: no answer has a size."""


def semantic_point(
    vectors: npt.NDArray[np.float32],
    scopes: npt.NDArray[np.uint64],
    answers: npt.NDArray[np.uint64] | None,
    threshold: float,
    entry_bytes: npt.NDArray[np.float32] | None = None,
) -> SemanticPoint:
    """Replay: a request takes the answer of the most similar stored one, and is stored where none is similar enough.

    Only entries of its own model and scope answer a request, as those of an exact cache do.

    Args:
        vectors: embeddings of length 1, shape (requests, dimensions), in the order of the log.
        scopes: hash of each request's model and scope.
        answers: hash of each request's own answer.
        threshold: cosine similarity.
        entry_bytes: size of each request's entry without its embedding; None: no answer has a size.
    """
    nearest = _nearest_in_scope(vectors, scopes, threshold)
    hits, stored = np.flatnonzero(nearest >= 0), nearest < 0
    wrong = None
    if answers is not None and hits.size:
        wrong = float(np.mean(answers[hits] != answers[nearest[hits]]))
    entries = int(np.count_nonzero(stored))
    of_vectors = entries * vectors.shape[1] * vectors.itemsize
    memory = (
        None if entry_bytes is None else (float(entry_bytes[stored].sum(dtype=np.float64)) + of_vectors) / BYTES_PER_GIB
    )
    return SemanticPoint(threshold, hits.size / len(vectors), wrong, entries, memory)


def _nearest_in_scope(
    vectors: npt.NDArray[np.float32], scopes: npt.NDArray[np.uint64], threshold: float
) -> npt.NDArray[np.int64]:
    """Stored request of the same scope whose answer each request is given; -1 where it is a miss."""
    nearest = np.full(len(vectors), -1, np.int64)
    order, is_first = by_key(scopes)
    for members in np.split(order, np.flatnonzero(is_first)[1:]):
        within = nearest_stored(vectors[members], threshold)
        nearest[members] = np.where(within >= 0, members[within], -1)
    return nearest


def nearest_stored(vectors: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.int64]:
    """Stored request whose answer each request is given; -1 where it is a miss, and is stored."""
    nearest = np.full(len(vectors), -1, np.int64)
    stored = np.zeros(0, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        best, score = _best(block, vectors[stored], stored)
        own = block @ block.T
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


def _best(
    block: npt.NDArray[np.float32], known: npt.NDArray[np.float32], positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Most similar stored request of each of a block, and how similar it is; -1 similarity below any where none is."""
    if not len(known):
        return np.full(len(block), -1, np.int64), np.full(len(block), -np.inf, np.float32)
    similar = block @ known.T
    at = similar.argmax(axis=1)
    return positions[at], similar[np.arange(len(block)), at]
