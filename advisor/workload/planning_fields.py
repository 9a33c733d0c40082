"""Fields of the workload file that only the planner reads: limits, commitments owned, scaling."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from advisor.units import MS_PER_SECOND
from advisor.workload.values import (
    MOST_HITS,
    Exclude,
    Limits,
    MeasuredLatency,
    OwnedCommitment,
    QuotaLimit,
    ResponseCache,
    Scaling,
    Survive,
)
from advisor.yaml_fields import Field

_NOWHERE: Mapping[str, str] = MappingProxyType({})
_USUAL = Limits()
EXCLUDE_KEYS = tuple(field.name for field in dataclasses.fields(Exclude))
LIMIT_KEYS = (
    "min_replicas", "max_replicas", "zones", "max_usd_per_month", "memory_utilization", "survive",
    "fault_tolerant_ratio", "max_regions", "mix_providers", "max_instance_types", "max_changed_instances",
    "switching_usd_per_instance", "commit_beyond_forecast", "quotas", "max_kg_co2e_per_month", "max_kw",
    "on_demand_base_ratio", "simplicity", "commitment_years", "commit_without_history",
)  # fmt: skip
_QUOTA_KEYS = ("provider", "region", "code", "limit")
_COMMITMENT_KEYS = ("provider", "region", "instance_type", "count", "expires")
MEASURED_KEYS = ("requests_per_second", "ttft_p95", "tpot_p95", "e2e_p95")
SCALING_KEYS = ("scheduled", "scale_to_zero")
CACHE_KEYS = ("hit_ratio", "memory_gib", "ttl", "runs_already", "similarity")
_TAG_KEYS = ("project", "team", "environment")
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Values of tags and labels that every cloud takes."""
_MOST_REPLICAS, _MOST_ZONES = 10_000, 100
_MOST_USD, _MOST_SWITCHING_USD = 1e12, 1e6
_MOST_CACHE_GIB = 1e6
_COMMITMENT_YEARS = ("1", "3")
_SURVIVES = tuple(survive.value for survive in Survive)


def read_limits(field: Field | None, elsewhere: Mapping[str, str] = _NOWHERE, usual: Limits = _USUAL) -> Limits:
    """Limits of a plan; the usual ones where nothing is stated.

    Args:
        field: the key ``limits``.
        elsewhere: keys of other levels of the document, with the level that each belongs to.
        usual: values of what is not stated.
    """
    if field is None:
        return usual
    fields = field.mapping(LIMIT_KEYS, elsewhere)
    readers: dict[str, Callable[[Field], Any]] = {
        "min_replicas": lambda field: field.count(1, _MOST_REPLICAS),
        "max_replicas": lambda field: field.count(1),
        "zones": lambda field: field.count(1, _MOST_ZONES),
        "max_usd_per_month": lambda field: field.number(0, exclusive=True, maximum=_MOST_USD),
        "memory_utilization": lambda field: field.number(0, exclusive=True, maximum=1),
        "survive": lambda field: Survive(field.choice(_SURVIVES)),
        "fault_tolerant_ratio": lambda field: field.number(0, maximum=1),
        "max_regions": lambda field: field.count(1),
        "mix_providers": lambda field: field.truth(),
        "max_instance_types": lambda field: field.count(1),
        "max_changed_instances": lambda field: field.count(0),
        "switching_usd_per_instance": lambda field: field.number(0, maximum=_MOST_SWITCHING_USD),
        "commit_beyond_forecast": lambda field: field.truth(),
        "quotas": read_quotas,
        "max_kg_co2e_per_month": lambda field: field.number(0, exclusive=True),
        "max_kw": lambda field: field.number(0, exclusive=True),
        "on_demand_base_ratio": lambda field: field.number(0, maximum=1),
        "simplicity": lambda field: field.number(0, maximum=1),
        "commitment_years": lambda field: tuple(sorted(int(year) for year in field.choices(_COMMITMENT_YEARS))),
        "commit_without_history": lambda field: field.truth(),
    }
    limits = dataclasses.replace(usual, **_read(fields, readers))
    _check_replicas(limits, fields)
    return limits


def _check_replicas(limits: Limits, fields: Mapping[str, Field]) -> None:
    """Refuse limits that contradict each other."""
    if limits.max_replicas is not None and limits.max_replicas < limits.min_replicas:
        fields["max_replicas"].fail(
            f"max_replicas {limits.max_replicas} contradicts min_replicas {limits.min_replicas}",
            "raise max_replicas or lower min_replicas",
        )
    if limits.max_replicas is not None and limits.max_replicas < limits.zones:
        fields["max_replicas"].fail(
            f"max_replicas {limits.max_replicas} contradicts zones {limits.zones}: each zone needs a replica",
            "raise max_replicas or lower zones",
        )
    if limits.survival is Survive.ZONE and limits.zones == 1:
        fields["survive"].fail(
            "survive: zone contradicts zones: 1: with one zone nothing survives its loss",
            "give zones: 2 or more, or survive: instance",
        )
    if limits.survival is not Survive.NOTHING and limits.max_replicas == 1:
        fields["max_replicas"].fail(
            f"max_replicas 1 contradicts survive: {limits.survival}: the loss of one replica has to leave another",
            "raise max_replicas to 2 or more, or set survive: nothing",
        )


def read_commitments(field: Field | None) -> tuple[OwnedCommitment, ...]:
    """Capacity that is already paid for."""
    return () if field is None else tuple(_commitment(item) for item in field.items())


def read_quotas(field: Field | None) -> tuple[QuotaLimit, ...]:
    """Limits that the account has."""
    return () if field is None else tuple(_quota(item) for item in field.items())


def read_exclude(field: Field | None, elsewhere: Mapping[str, str] = _NOWHERE) -> Exclude:
    """Names that a plan must not use."""
    if field is None:
        return Exclude()
    fields = field.mapping(EXCLUDE_KEYS, elsewhere)
    return Exclude(**_read(fields, {key: lambda field: field.texts() for key in EXCLUDE_KEYS}))


def read_tags(field: Field) -> tuple[tuple[str, str], ...]:
    """Tags that name who owns the costs."""
    fields = field.mapping(_TAG_KEYS)
    for tag in fields.values():
        if not _TAG.fullmatch(tag.text()):
            hint = "use up to 63 lower-case letters, digits, _ and -, starting with a letter or digit"
            tag.fail(f"'{tag.text()}' is no value that every cloud takes as a label", hint)
    return tuple((key, fields[key].text()) for key in _TAG_KEYS if key in fields)


def read_measured(field: Field) -> MeasuredLatency:
    """Latency that users get of what runs today, and the rate at which they do."""
    fields = field.all_of(MEASURED_KEYS, optional=MEASURED_KEYS[1:])
    if len(fields) == 1:
        field.fail("a rate without a latency measures nothing", f"add one of {', '.join(MEASURED_KEYS[1:])}")
    latencies = (fields[key].duration_ms() if key in fields else None for key in MEASURED_KEYS[1:])
    return MeasuredLatency(fields[MEASURED_KEYS[0]].number(0, exclusive=True), *latencies)


def read_scaling(field: Field | None, elsewhere: Mapping[str, str] = _NOWHERE) -> Scaling:
    """How the fleet follows its demand."""
    if field is None:
        return Scaling()
    fields = field.mapping(SCALING_KEYS, elsewhere)
    return Scaling(**_read(fields, {key: lambda field: field.truth() for key in SCALING_KEYS}))


def read_response_cache(field: Field, limits: Limits) -> ResponseCache:
    """Cache of answers in front of the fleet.

    Args:
        field: the key ``response_cache``.
        limits: of the same workload; a hit ratio over all requests is that of one cache, so of one region.
    """
    fields = field.all_of(CACHE_KEYS, optional=CACHE_KEYS[2:])
    if (limits.max_regions or 1) > 1:
        field.fail(
            f"one cache answers all requests, so it contradicts limits.max_regions: {limits.max_regions}",
            "take max_regions out, or plan each region as a workload with a cache of its own",
        )
    return ResponseCache(
        hit_ratio=fields["hit_ratio"].number(0, exclusive=True, maximum=MOST_HITS),
        memory_gib=fields["memory_gib"].number(0, exclusive=True, maximum=_MOST_CACHE_GIB),
        ttl_seconds=fields["ttl"].duration_ms() / MS_PER_SECOND if "ttl" in fields else None,
        runs_already=fields["runs_already"].truth() if "runs_already" in fields else False,
        similarity=fields["similarity"].number(0, exclusive=True, maximum=1) if "similarity" in fields else None,
    )


def _read(fields: Mapping[str, Field], readers: Mapping[str, Callable[[Field], Any]]) -> dict[str, Any]:
    """Each field that is there, read in its own way."""
    return {key: readers[key](field) for key, field in fields.items()}


def _quota(field: Field) -> QuotaLimit:
    fields = field.all_of(_QUOTA_KEYS)
    return QuotaLimit(
        provider=fields["provider"].text(),
        region=fields["region"].text(),
        code=fields["code"].text(),
        limit=fields["limit"].number(0),
    )


def _commitment(field: Field) -> OwnedCommitment:
    fields = field.all_of(_COMMITMENT_KEYS)
    return OwnedCommitment(
        provider=fields["provider"].text(),
        region=fields["region"].text(),
        instance_type=fields["instance_type"].text(),
        count=fields["count"].count(1),
        expires=fields["expires"].date(),
    )
