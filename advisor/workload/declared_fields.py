"""Fields of ``demand.declared``, and the sizes of items of ``demand.batch``."""

from collections.abc import Mapping
from typing import NamedTuple

from advisor.demand.stated_lengths import LengthSpread
from advisor.demand.trace_columns import LONGEST_RECORDING_SECONDS
from advisor.units import MS_PER_SECOND
from advisor.workload.batch_fields import BATCH_KEYS, read_batch
from advisor.workload.values import DeclaredDemand, OnePassSize
from advisor.yaml_fields import Field

RATE = "requests_per_second"
_USERS = "concurrent_users"
_IMAGES = "images"
_IMAGE_KEYS = ("count", "width", "height")
_SIZE_KEYS = ("documents", "tokens_per_document", "query_tokens", "audio_seconds", _IMAGES, "steps", "rows")
"""Sizes of requests to models that answer in one pass."""
_SPREAD_SIZES = ("input_tokens", "tokens_per_document", "audio_seconds")
"""Sizes that may be stated by their quantiles; a request has one of them."""
_SPREAD_KEYS = ("p50", "p95", "max")
_TOKEN_KEYS = ("input_tokens", "output_tokens")
DECLARED_KEYS = (RATE, "peak_requests_per_second", _USERS, "think_time", *_TOKEN_KEYS, *_SIZE_KEYS)
_BATCH_KEYS = (*BATCH_KEYS, *_TOKEN_KEYS, *_SIZE_KEYS)
_MOST_TOKENS = 1e9
_MOST_ITEMS = 10_000
_MOST_PIXELS = 16_384
_LEAST_TOKENS = 1.0
_LEAST_SECONDS = 0.001


class _Length(NamedTuple):
    """A size as it is stated."""

    mean: float | None
    spread: LengthSpread | None = None


def read_declared(field: Field) -> DeclaredDemand:
    """Demand that a workload states in numbers.

    Raises:
        InputError: with file, line, field, and how to mend it.
    """
    fields = field.mapping(DECLARED_KEYS)
    missing = [key for key in _TOKEN_KEYS if key not in fields]
    if missing and not any(key in fields for key in (*_SIZE_KEYS, "input_tokens", RATE, _USERS)):
        field.fail(f"missing: {', '.join(missing)}", f"add {missing[0]} under {field.name}")
    if (RATE in fields) == (_USERS in fields):
        field.fail(f"demand.declared needs either {RATE} or {_USERS}", "keep one of them")
    if "think_time" in fields and _USERS not in fields:
        fields["think_time"].fail(f"it goes with {_USERS}", f"take it out, or state {_USERS} in place of {RATE}")
    rate = fields[RATE].number(0, exclusive=True) if RATE in fields else None
    peak_field = fields.get("peak_requests_per_second")
    lengths = {key: _length(fields[key]) for key in (*_SPREAD_SIZES, "output_tokens") if key in fields}
    sizes = {key: length.mean for key, length in lengths.items()}
    return DeclaredDemand(
        requests_per_second=rate,
        peak_requests_per_second=peak_field.number(rate or 0.0) if peak_field else rate,
        input_tokens=sizes.get("input_tokens"),
        output_tokens=sizes.get("output_tokens"),
        concurrent_users=fields[_USERS].number(0, exclusive=True) if _USERS in fields else None,
        think_time_seconds=fields["think_time"].duration_ms() / MS_PER_SECOND if "think_time" in fields else None,
        size=_one_pass_size(fields, sizes),
        size_spread=next((lengths[key].spread for key in _SPREAD_SIZES if key in lengths), None),
        output_spread=lengths["output_tokens"].spread if "output_tokens" in lengths else None,
    )


def read_batch_work(field: Field, elsewhere: Mapping[str, str]) -> DeclaredDemand:
    """Batch work, its items of one size.

    Args:
        field: the key ``batch``.
        elsewhere: keys of other levels of the workload, with the level that each belongs to.

    Raises:
        InputError: with file, line, field, and how to mend it.
    """
    fields = field.mapping(_BATCH_KEYS, elsewhere)
    sizes = {key: _one_length(fields[key]) for key in (*_SPREAD_SIZES, "output_tokens") if key in fields}
    return DeclaredDemand(
        requests_per_second=None,
        peak_requests_per_second=None,
        input_tokens=sizes.get("input_tokens"),
        output_tokens=sizes.get("output_tokens"),
        size=_one_pass_size(fields, sizes),
        batch=read_batch(field, fields),
    )


def _length(field: Field) -> _Length:
    """One length of all requests, or quantiles of different ones."""
    if field.is_single:
        return _Length(_one_length(field))
    fields = field.all_of(_SPREAD_KEYS, optional=("max",))
    least, most = _bounds(field)
    p50 = fields["p50"].number(least, maximum=most)
    p95 = fields["p95"].number(p50, maximum=most)
    spread = LengthSpread(p50, p95, fields["max"].number(p95, maximum=most) if "max" in fields else None)
    if spread.most > most:
        shown = f"{spread.most:,.0f}" if spread.most < _MOST_TOKENS else f"{spread.most:.3g}"
        field.fail(f"with these quantiles the longest is {shown}", f"add max, of at most {most:.10g}")
    return _Length(spread.mean, spread)


def _one_length(field: Field) -> float:
    if field.name.endswith(_TOKEN_KEYS):
        return field.number(_LEAST_TOKENS, maximum=_MOST_TOKENS)
    return field.number(0, exclusive=True, maximum=_bounds(field)[1])


def _bounds(field: Field) -> tuple[float, float]:
    """Least median and longest length, in its unit; of recordings as of a trace."""
    is_recording = field.name.endswith("audio_seconds")
    return (_LEAST_SECONDS, LONGEST_RECORDING_SECONDS) if is_recording else (_LEAST_TOKENS, _MOST_TOKENS)


def _one_pass_size(fields: Mapping[str, Field], sizes: Mapping[str, float | None]) -> OnePassSize:
    """Size of a request in the unit of a model that answers in one pass, as far as it is stated."""
    images = fields[_IMAGES].mapping(_IMAGE_KEYS) if _IMAGES in fields else {}

    def count(fields: Mapping[str, Field], key: str, most: int) -> int | None:
        return fields[key].count(1, most) if key in fields else None

    query = fields.get("query_tokens")
    return OnePassSize(
        documents=count(fields, "documents", _MOST_ITEMS),
        tokens_per_document=sizes.get("tokens_per_document"),
        query_tokens=query.number(0, exclusive=True, maximum=_MOST_TOKENS) if query else None,
        audio_seconds=sizes.get("audio_seconds"),
        images=count(images, "count", _MOST_ITEMS),
        width=count(images, "width", _MOST_PIXELS),
        height=count(images, "height", _MOST_PIXELS),
        steps=count(fields, "steps", _MOST_ITEMS),
        rows=count(fields, "rows", _MOST_ITEMS),
    )
