"""Common fields of ``samples``, ``prometheus``, ``cloudwatch`` under demand: which samples count, what is stated."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from advisor.errors import InputError
from advisor.records import replace
from advisor.workload.measured_demand import (
    MOST_TOKENS,
    SIZE_KEYS,
    TOKEN_KEYS,
    PrometheusDemand,
    Recorded,
    SigV4,
    one_length,
    one_pass_size,
)
from advisor.yaml_fields import Field

RECORDED_KEYS = (
    "model", "window", "from", "until", "timezone", "requests_per_day", *TOKEN_KEYS, *SIZE_KEYS,
)  # fmt: skip
_LENGTHS = ("tokens_per_document", "audio_seconds")
_KEYS = ("url", "selector", "token_file", "ca_file", "metrics", "sigv4", *RECORDED_KEYS)
_SIGV4_KEYS = ("region", "profile")


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


def read_prometheus(field: Field, *, cache_is_stated: bool) -> PrometheusDemand:
    """A server to take demand from.

    Raises:
        InputError: with file, line, field, and how to mend it.
    """
    fields = field.all_of(_KEYS, optional=_KEYS[1:])
    return PrometheusDemand(
        url=_address(fields["url"]),
        window_days=fields["window"].window_days() if "window" in fields else PrometheusDemand("").window_days,
        selector=fields["selector"].text() if "selector" in fields else "",
        **read_recorded(fields, cache_is_stated=cache_is_stated),
        token_file=_file(fields.get("token_file")),
        ca_file=_file(fields.get("ca_file")),
        metrics_file=_file(fields.get("metrics")),
        sigv4=_sigv4(fields),
    )


def completed(given: PrometheusDemand, stated: PrometheusDemand) -> PrometheusDemand:
    """A server given on the command line, with what the file states and the command line does not."""
    default = PrometheusDemand("")
    return replace(
        stated,
        url=given.url,
        window_days=stated.window_days if given.window_days == default.window_days else given.window_days,
        selector=given.selector or stated.selector,
        token_file=given.token_file or stated.token_file,
        ca_file=given.ca_file or stated.ca_file,
        metrics_file=given.metrics_file or stated.metrics_file,
        sigv4=given.sigv4 or stated.sigv4,
    )


def _sigv4(fields: Mapping[str, Field]) -> SigV4 | None:
    if "sigv4" not in fields:
        return None
    if "token_file" in fields:
        fields["sigv4"].fail("requests cannot be signed and carry a token too", "keep either sigv4 or token_file")
    stated = {key: field.text() for key, field in fields["sigv4"].mapping(_SIGV4_KEYS).items()}
    return SigV4(stated.get("region"), stated.get("profile"))


def _address(field: Field) -> str:
    from advisor.samples.query.prometheus.endpoint import shown_url  # noqa: PLC0415 - only servers take its time to load

    try:
        return shown_url(field.text())
    except InputError as error:
        field.fail(error.message, error.hint)


def _file(field: Field | None) -> Path | None:
    return field.path.parent / Path(field.text()).expanduser() if field else None
