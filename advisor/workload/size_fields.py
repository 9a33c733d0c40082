"""Fields that state the size of a request, wherever a workload states it."""

from collections.abc import Mapping

from advisor.demand.trace_columns import LONGEST_RECORDING_SECONDS
from advisor.workload.measured_demand import OnePassSize
from advisor.yaml_fields import Field

_IMAGES = "images"
_IMAGE_KEYS = ("count", "width", "height")
SIZE_KEYS = ("documents", "tokens_per_document", "query_tokens", "audio_seconds", _IMAGES, "steps", "rows")
"""Sizes of requests to models that answer in one pass."""
TOKEN_KEYS = ("input_tokens", "output_tokens")
MOST_TOKENS = 1e9
_MOST_ITEMS = 10_000
_MOST_PIXELS = 16_384
_LEAST_TOKENS = 1.0
_LEAST_SECONDS = 0.001


def one_length(field: Field) -> float:
    """One length of all requests, in the unit of its key."""
    if field.name.endswith(TOKEN_KEYS):
        return field.number(_LEAST_TOKENS, maximum=MOST_TOKENS)
    return field.number(0, exclusive=True, maximum=length_bounds(field)[1])


def length_bounds(field: Field) -> tuple[float, float]:
    """Least median and longest length, in its unit; of recordings as of a trace."""
    is_recording = field.name.endswith("audio_seconds")
    return (_LEAST_SECONDS, LONGEST_RECORDING_SECONDS) if is_recording else (_LEAST_TOKENS, MOST_TOKENS)


def one_pass_size(fields: Mapping[str, Field], sizes: Mapping[str, float | None]) -> OnePassSize:
    """Size of a request in the unit of a model that answers in one pass, as far as it is stated."""
    images = fields[_IMAGES].mapping(_IMAGE_KEYS) if _IMAGES in fields else {}

    def count(fields: Mapping[str, Field], key: str, most: int) -> int | None:
        return fields[key].count(1, most) if key in fields else None

    query = fields.get("query_tokens")
    return OnePassSize(
        documents=count(fields, "documents", _MOST_ITEMS),
        tokens_per_document=sizes.get("tokens_per_document"),
        query_tokens=query.number(0, exclusive=True, maximum=MOST_TOKENS) if query else None,
        audio_seconds=sizes.get("audio_seconds"),
        images=count(images, "count", _MOST_ITEMS),
        width=count(images, "width", _MOST_PIXELS),
        height=count(images, "height", _MOST_PIXELS),
        steps=count(fields, "steps", _MOST_ITEMS),
        rows=count(fields, "rows", _MOST_ITEMS),
    )
