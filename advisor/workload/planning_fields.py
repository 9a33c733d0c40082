"""Fields of the workload file that only the planner reads: limits, commitments owned, scaling."""

from collections.abc import Callable, Mapping
from typing import Any

from advisor.workload.values import Limits, OwnedCommitment, QuotaLimit, Scaling, Survive
from advisor.yaml_fields import Field

_LIMIT_KEYS = (
    "min_replicas", "max_replicas", "zones", "max_usd_per_month", "memory_utilization", "survive",
    "fault_tolerant_ratio", "max_regions", "mix_providers", "max_instance_types", "max_changed_instances",
    "switching_usd_per_instance", "commit_beyond_forecast", "quotas", "max_kg_co2e_per_month", "max_kw",
)  # fmt: skip
_QUOTA_KEYS = ("provider", "region", "code", "limit")
_COMMITMENT_KEYS = ("provider", "region", "instance_type", "count", "expires")
_SCALING_KEYS = ("scheduled", "scale_to_zero")
_SURVIVES = tuple(survive.value for survive in Survive)


def read_limits(field: Field | None) -> Limits:
    """What a plan must keep to; the defaults where nothing is stated."""
    if field is None:
        return Limits()
    fields = field.mapping(_LIMIT_KEYS)
    readers: dict[str, Callable[[Field], Any]] = {
        "min_replicas": lambda one: one.count(1),
        "max_replicas": lambda one: one.count(1),
        "zones": lambda one: one.count(1),
        "max_usd_per_month": lambda one: one.number(0, exclusive=True),
        "memory_utilization": lambda one: one.number(0, exclusive=True, maximum=1),
        "survive": lambda one: Survive(one.choice(_SURVIVES)),
        "fault_tolerant_ratio": lambda one: one.number(0, maximum=1),
        "max_regions": lambda one: one.count(1),
        "mix_providers": lambda one: one.truth(),
        "max_instance_types": lambda one: one.count(1),
        "max_changed_instances": lambda one: one.count(0),
        "switching_usd_per_instance": lambda one: one.number(0),
        "commit_beyond_forecast": lambda one: one.truth(),
        "quotas": read_quotas,
        "max_kg_co2e_per_month": lambda one: one.number(0, exclusive=True),
        "max_kw": lambda one: one.number(0, exclusive=True),
    }
    limits = Limits(**_read(fields, readers))
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
        fields["survive"].fail("with one zone nothing survives its loss", "give zones: 2 or more")


def read_commitments(field: Field | None) -> tuple[OwnedCommitment, ...]:
    """Capacity that is already paid for."""
    return () if field is None else tuple(_commitment(item) for item in field.items())


def read_quotas(field: Field | None) -> tuple[QuotaLimit, ...]:
    """Limits that the account has."""
    return () if field is None else tuple(_quota(item) for item in field.items())


def read_scaling(field: Field | None) -> Scaling:
    """How the fleet follows its demand."""
    if field is None:
        return Scaling()
    fields = field.mapping(_SCALING_KEYS)
    return Scaling(**_read(fields, {key: lambda one: one.truth() for key in _SCALING_KEYS}))


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
