"""Common fields of ``samples``, ``prometheus``, ``cloudwatch`` under demand: which samples count, what is stated."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from advisor.workload.measured_demand import Recorded
from advisor.workload.size_fields import MOST_TOKENS, SIZE_KEYS, TOKEN_KEYS, one_length, one_pass_size
from advisor.yaml_fields import Field

RECORDED_KEYS = (
    "model", "window", "from", "until", "timezone", "requests_per_day", *TOKEN_KEYS, *SIZE_KEYS,
)  # fmt: skip
_LENGTHS = ("tokens_per_document", "audio_seconds")


def read_recorded(fields: Mapping[str, Field], *, cache_is_stated: bool) -> dict[str, Any]:
    """Values of the fields that both sources have, by name.

    Raises:
        InputError: with file, line, field, and how to mend it.
    """
    zone = read_zone(fields.get("timezone"))
    if "from" in fields and "window" in fields:
        fields["window"].fail("the window is given twice", "keep either from (and until) or window (and until)")
    start, end = (_moment(fields.get(name), zone) for name in ("from", "until"))
    if start is not None and end is not None and start >= end:
        fields["until"].fail("the window ends before it begins", "give a time after `from`")
    return {
        "requests_per_day": _positive(fields.get("requests_per_day")),
        "input_tokens": _tokens(fields.get("input_tokens")),
        "output_tokens": _tokens(fields.get("output_tokens")),
        "cache_is_stated": cache_is_stated,
        "recorded": Recorded(
            served_as=fields["model"].text() if "model" in fields else None,
            from_seconds=start,
            until_seconds=end,
            size=one_pass_size(fields, {key: one_length(fields[key]) for key in _LENGTHS if key in fields}),
        ),
    }


def read_zone(field: Field | None) -> dt.tzinfo:
    """Time zone of times that name none; UTC where none is stated."""
    if field is None:
        return dt.UTC
    try:
        return ZoneInfo(field.text())
    except (ZoneInfoNotFoundError, ValueError):
        field.fail(f"'{field.text()}' is no time zone", "write it as Europe/Berlin, or leave it out for UTC")


def _moment(field: Field | None, zone: dt.tzinfo) -> float | None:
    """Seconds since 1970 of a day or a time, in the time zone unless it names its own."""
    if field is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(field.text())
    except ValueError:
        field.fail(f"'{field.text()}' is no time", "write it as 2027-03-31, 2027-03-31T08:00 or 2027-03-31T08:00Z")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _positive(field: Field | None) -> float | None:
    return field.number(0, exclusive=True) if field else None


def _tokens(field: Field | None) -> float | None:
    return field.number(1, maximum=MOST_TOKENS) if field else None
