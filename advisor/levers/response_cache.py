"""Response cache in front of a fleet, sized by a replay of the user's own log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.demand.cache.replay import SCHEMA
from advisor.errors import InputError
from advisor.reading import read_json
from advisor.records import dataclass
from advisor.units import DAYS_PER_YEAR, SECONDS_PER_DAY

NEARLY_ALL = 0.95
"""Share of the hits of an unlimited cache from which a size is large enough."""
_MOST_GIB = 1e9
_MOST_REQUESTS = 1e15
_MOST_SECONDS = float(DAYS_PER_YEAR * SECONDS_PER_DAY)
_HINT = "make it with `advisor demand cache requests.jsonl --format json -o cache.json`"


@dataclass(frozen=True, slots=True)
class MeasuredSemantic:
    """Semantic cache without a limit of size, and what it would have answered of the user's own log."""

    threshold: float
    hit_ratio: float
    false_hit_ratio: float | None
    """Share of the hits that answer another question; None: not known."""
    memory_gib: float | None
    """None: no answer has a size."""


@dataclass(frozen=True, slots=True)
class MeasuredCache:
    """Size of an exact cache, and what it would have answered of the user's own log."""

    hit_ratio: float
    memory_gib: float
    requests: int
    """Requests of the log."""
    ttl_seconds: float | None = None
    """For how long an answer counted; None: for ever."""
    embedder: str | None = None
    """Model whose vectors are the answers; None: they are those of the log."""
    prefix_hit_ratio: float | None = None
    """Share of the prompts' tokens that one pool without a limit would hold; None: the log has no prompts."""
    semantic: tuple[MeasuredSemantic, ...] = ()
    """By threshold, the lowest first."""


def read_measured_cache(path: Path) -> MeasuredCache:
    """The smallest size that hits nearly as much as an unlimited cache, of a document of `advisor demand cache`.

    Raises:
        InputError: it is no such document, or no answer of the log had a size.
    """
    document = read_json(path, "replay of caches", _HINT)
    try:
        return _measured(document, str(path))
    except (KeyError, TypeError, IndexError) as error:
        raise InputError("it is no replay of caches", where=str(path), hint=_HINT) from error


def _measured(document: Mapping[str, Any], where: str) -> MeasuredCache:
    if document["schema"] != SCHEMA:
        raise InputError(
            f"the schema is {str(document['schema'])[:40]!r}, and this version reads {SCHEMA}", where=where, hint=_HINT
        )
    points = document["exact"]["points"]
    ratios = [_number(point, "hit_ratio", 1.0, f"{where}: exact") for point in points]
    index = next(index for index, ratio in enumerate(ratios) if ratio >= NEARLY_ALL * ratios[-1])
    if points[index]["memory_gib"] is None:
        raise InputError(
            "no request of the log says how large its answer is",
            where=where,
            hint="add response or output_tokens to the lines, or say whose vectors they are (--embedder)",
        )
    memory_gib = _number(points[index], "memory_gib", _MOST_GIB, f"{where}: exact")
    prefix, ttl_s = document.get("prefix"), document.get("ttl_s")
    return MeasuredCache(
        hit_ratio=ratios[index],
        memory_gib=memory_gib,
        requests=int(_number(document, "requests", _MOST_REQUESTS, where)),
        ttl_seconds=None if ttl_s is None else _number(document, "ttl_s", _MOST_SECONDS, where),
        embedder=document.get("embedder"),
        prefix_hit_ratio=_number(prefix["points"][-1], "hit_ratio", 1.0, f"{where}: prefix") if prefix else None,
        semantic=tuple(_semantic(point, f"{where}: semantic") for point in document.get("semantic", ())),
    )


def _semantic(point: Mapping[str, Any], where: str) -> MeasuredSemantic:
    def number(name: str, most: float) -> float | None:
        return None if point.get(name) is None else _number(point, name, most, where)

    return MeasuredSemantic(
        threshold=_number(point, "threshold", 1.0, where),
        hit_ratio=_number(point, "hit_ratio", 1.0, where),
        false_hit_ratio=number("false_hit_ratio", 1.0),
        memory_gib=number("memory_gib", _MOST_GIB),
    )


def _number(fields: Mapping[str, Any], name: str, most: float, where: str) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InputError(f"{name} is no number from 0 to {most:,.0f}", where=where, hint=_HINT)
    return float(value)
