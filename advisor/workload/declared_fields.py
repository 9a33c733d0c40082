"""Fields of ``demand.declared``, and the sizes of items of ``demand.batch``."""

from collections.abc import Mapping
from typing import NamedTuple

from advisor.demand.stated_lengths import LengthSpread
from advisor.units import MS_PER_SECOND
from advisor.workload.batch_fields import BATCH_KEYS, read_batch
from advisor.workload.size_fields import MOST_TOKENS, SIZE_KEYS, TOKEN_KEYS, length_bounds, one_length, one_pass_size
from advisor.workload.values import DeclaredDemand
from advisor.yaml_fields import Field

RATE = "requests_per_second"
_USERS = "concurrent_users"
_SPREAD_SIZES = ("input_tokens", "tokens_per_document", "audio_seconds")
"""Sizes that may be stated by their quantiles; a request has one of them."""
_SPREAD_KEYS = ("p50", "p95", "max")
DECLARED_KEYS = (RATE, "peak_requests_per_second", _USERS, "think_time", *TOKEN_KEYS, *SIZE_KEYS)
_BATCH_KEYS = (*BATCH_KEYS, *TOKEN_KEYS, *SIZE_KEYS)


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
    missing = [key for key in TOKEN_KEYS if key not in fields]
    if missing and not any(key in fields for key in (*SIZE_KEYS, "input_tokens", RATE, _USERS)):
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
        size=one_pass_size(fields, sizes),
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
    sizes = {key: one_length(fields[key]) for key in (*_SPREAD_SIZES, "output_tokens") if key in fields}
    return DeclaredDemand(
        requests_per_second=None,
        peak_requests_per_second=None,
        input_tokens=sizes.get("input_tokens"),
        output_tokens=sizes.get("output_tokens"),
        size=one_pass_size(fields, sizes),
        batch=read_batch(field, fields),
    )


def _length(field: Field) -> _Length:
    """One length of all requests, or quantiles of different ones."""
    if field.is_single:
        return _Length(one_length(field))
    fields = field.all_of(_SPREAD_KEYS, optional=("max",))
    least, most = length_bounds(field)
    p50 = fields["p50"].number(least, maximum=most)
    p95 = fields["p95"].number(p50, maximum=most)
    spread = LengthSpread(p50, p95, fields["max"].number(p95, maximum=most) if "max" in fields else None)
    if spread.most > most:
        shown = f"{spread.most:,.0f}" if spread.most < MOST_TOKENS else f"{spread.most:.3g}"
        field.fail(f"with these quantiles the longest is {shown}", f"add max, of at most {most:.10g}")
    return _Length(spread.mean, spread)
