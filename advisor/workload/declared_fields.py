"""Fields of ``demand.declared``, and the sizes of items of ``demand.batch``.

Common fields of ``samples``, ``prometheus``, ``cloudwatch`` under demand: which samples count, what is stated.
"""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.demand.lengths import LengthSpread
from advisor.errors import InputError
from advisor.records import replace
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, MS_PER_SECOND, SECONDS_PER_HOUR
from advisor.workload.measured_demand import (
    MOST_TOKENS,
    SIZE_KEYS,
    TOKEN_KEYS,
    PrometheusDemand,
    Recorded,
    SigV4,
    length_bounds,
    one_length,
    one_pass_size,
)
from advisor.workload.values import BatchWork, DeclaredDemand
from advisor.yaml_fields import Field

RECORDED_KEYS = (
    "model", "window", "from", "until", "timezone", "requests_per_day", *TOKEN_KEYS, *SIZE_KEYS,
)  # fmt: skip
_LENGTHS = ("tokens_per_document", "audio_seconds")
_KEYS = ("url", "selector", "token_file", "ca_file", "metrics", "sigv4", *RECORDED_KEYS)
_SIGV4_KEYS = ("region", "profile")


def read_recorded(fields: Mapping[str, Field], *, cache_is_stated: bool) -> dict[str, Any]:
    """Values of the fields of both sources, by name. Raises InputError with file, line, field, and how to fix it."""
    zone = read_zone(fields.get("timezone"))
    if "from" in fields and "window" in fields:
        fields["window"].fail("the window is given twice", "keep either from (and until) or window (and until)")
    start, end = (_moment(fields.get(name), zone) for name in ("from", "until"))
    if start is not None and end is not None and start >= end:
        fields["until"].fail("the window ends before it begins", "give a time after `from`")
    return {
        "requests_per_day": fields["requests_per_day"].number(0, exclusive=True)
        if "requests_per_day" in fields
        else None,
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
    from advisor.demand.spread import zone_of  # noqa: PLC0415 - few workloads name a zone

    zone = zone_of(field.text())
    if zone is None:
        field.fail(f"'{field.text()}' is not a time zone", "write it as Europe/Berlin, or leave it out for UTC")
    return zone


def _moment(field: Field | None, zone: dt.tzinfo) -> float | None:
    """Seconds since 1970 of a day or a time, in the time zone unless it names its own."""
    if field is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(field.text())
    except ValueError:
        field.fail(f"'{field.text()}' is not a time", "write it as 2027-03-31, 2027-03-31T08:00 or 2027-03-31T08:00Z")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _tokens(field: Field | None) -> float | None:
    return field.number(1, maximum=MOST_TOKENS) if field else None


def read_prometheus(field: Field, *, cache_is_stated: bool) -> PrometheusDemand:
    """A server to take demand from. Raises InputError with file, line, field, and how to fix it."""
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
    from advisor.samples.query.prometheus.api import shown_url  # noqa: PLC0415 - only servers take its time to load

    try:
        return shown_url(field.text())
    except InputError as error:
        field.fail(error.message, error.hint)


def _file(field: Field | None) -> Path | None:
    return field.path.parent / Path(field.text()).expanduser() if field else None


BATCH_KEYS = ("items", "every", "deadline", "window", "timezone")
_EVERY: Mapping[str, int] = {"day": HOURS_PER_DAY, "week": HOURS_PER_WEEK}
_WINDOW = re.compile(r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)", re.ASCII)
_YEAR = 2026
"""Whose clock changes a time zone is taken to have in every year."""
RATE = "requests_per_second"
_USERS = "concurrent_users"
_SPREAD_SIZES = ("input_tokens", "tokens_per_document", "audio_seconds")
"""Sizes that may be stated by their quantiles; a request has one of them."""
_SPREAD_KEYS = ("p50", "p95", "max")
_SPREAD_REMEDY = "state p50 and p95, and max where there is one; or one number, which all requests then have"
DECLARED_KEYS = (RATE, "peak_requests_per_second", _USERS, "think_time", *TOKEN_KEYS, *SIZE_KEYS)
_BATCH_KEYS = (*BATCH_KEYS, *TOKEN_KEYS, *SIZE_KEYS)


def _every_hours(field: Field) -> int:
    if (named := _EVERY.get(field.text())) is not None:
        return named
    hours = field.hours()
    if hours < 1 or not (HOURS_PER_WEEK / hours).is_integer() or not hours.is_integer():
        whole = [str(each) for each in range(1, HOURS_PER_WEEK) if HOURS_PER_WEEK % each == 0]
        field.fail(
            f"{hours:g} h do not divide the 168 hours of a week",
            f"write day, week, or one of {', '.join(whole)} h",
        )
    return int(hours)


def read_deadline_hours(field: Field, every_hours: int) -> float:
    """Hours from the start of a run to the end of its last item, no more than to the start of the next run."""
    hours = field.hours()
    if hours > every_hours:
        field.fail(
            f"a deadline of {hours:g} h is longer than the {every_hours} h after which the next items come",
            f"give at most {every_hours}h, or a longer `every`",
        )
    return hours


def _window(fields: Mapping[str, Field], every_hours: int) -> tuple[int, int] | None:
    """Hours of the day, UTC, that lie in the window all year round, whatever the clocks of its time zone do.

    The first of a week's is counted from Monday 00:00 UTC: on Mondays of the time zone another day may be there.
    """
    if "window" not in fields:
        if "timezone" in fields:
            fields["timezone"].fail("it needs a window", "add `window`, or take `timezone` out")
        return None
    field = fields["window"]
    if every_hours % HOURS_PER_DAY:
        field.fail(f"a window comes once a day, and runs every {every_hours} h", "take it out, or write every: day")
    start, length = _stated(field)
    offsets = _offsets_hours(fields.get("timezone"))
    if not all(offset.is_integer() for offset in offsets):
        fields["timezone"].fail("its hours are not whole hours of UTC, which machines are ordered by", "state UTC")
    lost = int(max(offsets) - min(offsets))
    if length <= lost:
        field.fail(
            f"its {length} h are {length - lost} h in summer and winter time alike, UTC",
            "give a longer window, or state it in UTC",
        )
    begin = (start - int(min(offsets))) % every_hours
    return begin, (begin + length - lost) % HOURS_PER_DAY


def _stated(field: Field) -> tuple[int, int]:
    """First hour of the day, and length in hours."""
    match = _WINDOW.fullmatch(field.text())
    if match is None:
        field.fail(f"'{field.text()}' is not a window", "write it as 22:00-06:00")
    start, start_minute, end, end_minute = map(int, match.groups())
    if start_minute or end_minute:
        field.fail("machines are ordered by the hour", "give whole hours, such as 22:00-06:00")
    if max(start, end) > HOURS_PER_DAY or start == HOURS_PER_DAY:
        field.fail(f"'{field.text()}' is not a window", "give hours from 00:00 to 24:00")
    if start == end:
        field.fail(f"'{field.text()}' has no hours", "give an end after the start, or leave it out for every hour")
    return start, (end - start) % HOURS_PER_DAY or HOURS_PER_DAY


def _offsets_hours(field: Field | None) -> list[float]:
    """Offsets from UTC of a time zone over a year."""
    zone = read_zone(field)
    moments = (dt.datetime(_YEAR, month, 1, tzinfo=zone) for month in range(1, 13))
    offsets = {(moment.utcoffset() or dt.timedelta()).total_seconds() for moment in moments}
    return [seconds / SECONDS_PER_HOUR for seconds in sorted(offsets)]


def read_declared(field: Field) -> DeclaredDemand:
    """Demand that a workload states in numbers. Raises InputError with file, line, field, and how to fix it."""
    fields = field.mapping(DECLARED_KEYS)
    missing = [key for key in TOKEN_KEYS if key not in fields]
    if missing and not any(key in fields for key in (*SIZE_KEYS, "input_tokens", RATE, _USERS)):
        field.fail(f"missing: {', '.join(missing)}", f"add {missing[0]} under {field.name}")
    if (RATE in fields) == (_USERS in fields):
        field.fail(f"demand.declared needs either {RATE} or {_USERS}", "keep one of them")
    if "think_time" in fields and _USERS not in fields:
        fields["think_time"].fail(f"it needs {_USERS}", f"take it out, or state {_USERS} in place of {RATE}")
    rate = fields[RATE].number(0, exclusive=True) if RATE in fields else None
    peak_field = fields.get("peak_requests_per_second")
    lengths = {key: _length(fields[key]) for key in (*_SPREAD_SIZES, "output_tokens") if key in fields}
    sizes = {key: mean for key, (mean, _) in lengths.items()}
    spreads = {key: spread for key, (_, spread) in lengths.items()}
    return DeclaredDemand(
        requests_per_second=rate,
        peak_requests_per_second=peak_field.number(rate or 0.0) if peak_field else rate,
        input_tokens=sizes.get("input_tokens"),
        output_tokens=sizes.get("output_tokens"),
        concurrent_users=fields[_USERS].number(0, exclusive=True) if _USERS in fields else None,
        think_time_seconds=fields["think_time"].duration_ms() / MS_PER_SECOND if "think_time" in fields else None,
        size=one_pass_size(fields, sizes),
        size_spread=next((spreads[key] for key in _SPREAD_SIZES if key in spreads), None),
        output_spread=spreads.get("output_tokens"),
    )


def read_batch_work(field: Field, elsewhere: Mapping[str, str]) -> DeclaredDemand:
    """Batch work: a run's items of one size, and its open hours. Raises InputError with place and fix."""
    fields = field.mapping(_BATCH_KEYS, elsewhere)
    sizes = {key: one_length(fields[key]) for key in (*_SPREAD_SIZES, "output_tokens") if key in fields}
    size = one_pass_size(fields, sizes)
    missing = [key for key in ("items", "every") if key not in fields]
    if missing:
        field.fail(f"missing: {', '.join(missing)}", f"add {missing[0]} under {field.name}")
    if "deadline" not in fields and "window" not in fields:
        field.fail("nothing says by when the items have to be done", "add deadline: 6h, or window: 22:00-06:00")
    every_hours = _every_hours(fields["every"])
    batch = BatchWork(
        items=fields["items"].count(1),
        every_hours=every_hours,
        deadline_hours=read_deadline_hours(fields["deadline"], every_hours) if "deadline" in fields else None,
        window=_window(fields, every_hours),
    )
    return DeclaredDemand(None, None, sizes.get("input_tokens"), sizes.get("output_tokens"), size=size, batch=batch)


def _length(field: Field) -> tuple[float, LengthSpread | None]:
    """One length of all requests, or the mean of different ones and their quantiles."""
    if field.is_single:
        return one_length(field), None
    fields = field.all_of(_SPREAD_KEYS, optional=("max",), remedy=_SPREAD_REMEDY)
    least, most = length_bounds(field)
    p50 = fields["p50"].number(least, maximum=most)
    p95 = fields["p95"].number(p50, maximum=most)
    spread = LengthSpread(p50, p95, fields["max"].number(p95, maximum=most) if "max" in fields else None)
    if field.name.endswith("audio_seconds") and spread.most > most:
        spread = spread.within(most)
    if spread.most > most:
        shown = f"{spread.most:,.0f}" if spread.most < MOST_TOKENS else f"{spread.most:.3g}"
        field.fail(f"with these quantiles the longest is {shown}", f"add max, of at most {most:.10g}")
    return spread.mean, spread
