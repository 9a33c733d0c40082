"""Fields of the workload file that only the planner reads: limits, commitments owned, scaling, adapters."""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from advisor.catalog.precisions import is_hub_id
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.models import catalogued_name
from advisor.models.adapters import MODULES
from advisor.models.model import ALL, MOST_ADAPTERS, MOST_RANK, Adapters, Model, NamedAdapter
from advisor.records import replace
from advisor.units import MS_PER_SECOND
from advisor.workload.values import (
    MOST_HITS,
    RANGE,
    Exclude,
    Limits,
    MeasuredLatency,
    OwnedCommitment,
    QuotaLimit,
    Range,
    ResponseCache,
    Scaling,
    Survive,
)
from advisor.yaml_fields import MOST, Field

COUNT_KEYS = ("count", "rank", "target_modules", "active", "named")
NAMED_KEYS = ("id", "path", "rank", "target_modules", "share")
_ALL_LINEAR = "all-linear"
_SHARES_TOLERANCE = 1e-6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def read_adapters(field: Field) -> Adapters:
    """Adapters: a mapping with their number and rank, or a list of them."""
    if field.is_list:
        return _of_list(field, None)
    fields = field.all_of(COUNT_KEYS, optional=COUNT_KEYS)
    active = fields["active"].count(1, MOST_ADAPTERS) if "active" in fields else None
    if "named" in fields:
        doubled = [key for key in ("count", "rank", "target_modules") if key in fields]
        if doubled:
            fields[doubled[0]].fail(f"{doubled[0]} follows from the adapters that are named", f"take {doubled[0]} out")
        return _of_list(fields["named"], fields.get("active"))
    for key, example in (("count", "24"), ("rank", "16")):
        if key not in fields:
            what = "how many adapters there are" if key == "count" else "the rank of the adapters"
            field.fail(f"{what} is not stated", f"add {key}: {example}, or name each adapter with its folder or rank")
    count = fields["count"].count(1, MOST_ADAPTERS)
    _check_active(fields.get("active"), count)
    return Adapters(count, fields["rank"].count(1, MOST_RANK), _targets(fields.get("target_modules")), active)


def check_base(adapters: Adapters, model: Model, where: str) -> None:
    """Refuse an adapter that is the model itself, or was trained on another one. Raises InputError with both names."""
    own = catalogued_name(model.name)
    for adapter in adapters.named:
        is_own = adapter.on_hub and own and catalogued_name(adapter.id) == own
        if is_own or model.name.casefold() in (adapter.id.casefold(), adapter.served_name.casefold()):
            raise InputError(
                f"the adapter {adapter.id} is the model itself, which answers by that name",
                where=where,
                hint="give the adapter's own name, or leave it out",
            )
        base = catalogued_name(adapter.base) if adapter.base else ""
        if own and base and base != own:
            raise InputError(
                f"the adapter {adapter.id} was trained on {base}, and the model is {model.name}",
                where=where,
                hint=f"plan it with model: {adapter.base}, or leave the adapter out",
            )


def adapter_notes(adapters: Adapters | None, prefix_cache_hit_ratio: float) -> tuple[str, ...]:
    """Notes of a plan on its adapters: their slots, and caches that they do not share."""
    if adapters is None:
        return ()
    is_single = adapters.count == 1
    many = "1 LoRA adapter" if is_single else f"{adapters.count:,} LoRA adapters"
    slots = "on the accelerators at all times" if is_single else "all of them on the accelerators"
    if adapters.slots < adapters.count:
        slots = (
            f"{adapters.slots:,} of them on the accelerators at a time: {adapters.miss_ratio:.0%} of the requests wait "
            f"until theirs is there, and at most {adapters.most_sequences:,} run at a time on a replica, so that "
            "theirs have room; with more active, more run"
        )
    verb = "is" if is_single else "are"
    notes = [f"{many} of rank {adapters.rank} {verb} served on one base, {slots}"]
    if prefix_cache_hit_ratio and adapters.count > 1:
        notes.append(
            "prefix caches are not shared between adapters: the same prompt is computed once for each, so the "
            f"{prefix_cache_hit_ratio:.0%} of cached tokens has to be what was measured with all of them"
        )
    return tuple(notes)


def _of_list(field: Field, active: Field | None) -> Adapters:
    named = tuple(_named(item) for item in field.items())
    if not named:
        field.fail("the list is empty", "name an adapter, or take the key out")
    if len(named) > MOST_ADAPTERS:
        field.fail(f"{len(named):,} adapters are more than {MOST_ADAPTERS:,}", "plan them as several workloads")
    names = [adapter.served_name for adapter in named]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        field.fail(f"two adapters would be served as {double}", "rename one of them")
    stated = [adapter.share for adapter in named if adapter.share is not None]
    if sum(stated) > 1 + _SHARES_TOLERANCE:
        field.fail(
            f"the shares sum to {sum(stated):g}, more than 1", "state shares of all requests; the rest is the base's"
        )
    _check_active(active, len(named))
    targets = {target for adapter in named for target in adapter.target_modules}
    return Adapters(
        count=len(named),
        rank=max(adapter.rank for adapter in named),
        target_modules=(ALL,) if ALL in targets else tuple(sorted(targets)),
        active=None if active is None else active.count(1, MOST_ADAPTERS),
        named=named,
    )


def _named(field: Field) -> NamedAdapter:
    fields = field.all_of(NAMED_KEYS, optional=NAMED_KEYS)
    if "id" not in fields and "path" not in fields:
        field.fail("an adapter without a name", "give its id on the hub, its path, or both")
    identifier = _identifier(fields["id"]) if "id" in fields else ""
    share = fields["share"].number(0, exclusive=True, maximum=1) if "share" in fields else None
    if "path" in fields:
        adapter = _of_folder(fields["path"])
        if "rank" in fields and fields["rank"].count(1, MOST_RANK) != adapter.rank:
            fields["rank"].fail(f"its folder says rank {adapter.rank}", "take rank out")
        name = identifier or adapter.id
        return replace(adapter, id=name, share=share, on_hub=bool(identifier) and is_hub_id(identifier))
    if "rank" not in fields:
        field.fail(f"the rank of {identifier} is not stated", "add rank, as its adapter_config.json has it (r)")
    targets = _targets(fields.get("target_modules"))
    return NamedAdapter(identifier, fields["rank"].count(1, MOST_RANK), targets, share, on_hub=is_hub_id(identifier))


def _of_folder(field: Field) -> NamedAdapter:
    from advisor.models.files.adapters import read_adapter  # noqa: PLC0415 - most workloads have no folder to read

    try:
        return read_adapter(field.path.parent / Path(field.text()).expanduser())
    except InputError as error:
        field.fail(error.message, error.hint)


def _identifier(field: Field) -> str:
    """A name on the hub, or of a folder in a bucket."""
    name = field.text()
    if not _NAME.fullmatch(name):
        field.fail(
            f"'{name}' is not the name of an adapter", "write organisation/name as the hub has it, or a folder's name"
        )
    return name


def _targets(field: Field | None) -> tuple[str, ...]:
    if field is None:
        return (ALL,)
    names = field.texts()
    if names in ((ALL,), (_ALL_LINEAR,)):
        return (ALL,)
    return tuple(sorted(field.choices(MODULES)))


def _check_active(field: Field | None, count: int) -> None:
    if field is not None and field.count(1, MOST_ADAPTERS) > count:
        field.fail(
            f"{field.text()} adapters cannot be active, there are {count}", f"give at most {count}, or take it out"
        )


_NOWHERE: Mapping[str, str] = MappingProxyType({})
_USUAL = Limits()
EXCLUDE_KEYS = tuple(field.name for field in dataclasses.fields(Exclude))
LIMIT_KEYS = tuple(field.name for field in dataclasses.fields(Limits))
_QUOTA_KEYS = ("provider", "region", "code", "limit")
_COMMITMENT_KEYS = ("provider", "region", "instance_type", "count", "expires")
MEASURED_KEYS = ("requests_per_second", "ttft_p95", "tpot_p95", "e2e_p95")
SCALING_KEYS = ("scheduled", "scale_to_zero", "take_turns")
CACHE_KEYS = ("hit_ratio", "memory_gib", "ttl", "runs_already", "similarity")
_TAG_KEYS = ("project", "team", "environment")
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Values of tags and labels that every cloud takes."""
_MOST_CACHE_GIB = 1e6
_COMMITMENT_YEARS = ("1", "3")
_SURVIVES = tuple(survive.value for survive in Survive)


@cache
def _limit_readers() -> Mapping[str, Callable[[Field], Any]]:
    """Reader of each limit: by its type and range, or in its own way."""
    hints = typing.get_type_hints(Limits)
    ranges = {field.name: field.metadata[RANGE] for field in dataclasses.fields(Limits) if RANGE in field.metadata}
    return {
        **{key: partial(_read_number, hint=hints[key], within=within) for key, within in ranges.items()},
        **{key: Field.truth for key, hint in hints.items() if hint is bool},
        "survive": lambda field: Survive(field.choice(_SURVIVES)),
        "quotas": read_quotas,
        "commitment_years": lambda field: tuple(sorted(int(year) for year in field.choices(_COMMITMENT_YEARS))),
    }


def _read_number(field: Field, hint: type, within: Range) -> float:
    """A whole number where the type says so, else any."""
    if hint in (int, int | None):
        return field.count(int(within.least), int(min(within.most, MOST)))
    return field.number(within.least, exclusive=within.is_above, maximum=within.most)


def read_limits(field: Field | None, elsewhere: Mapping[str, str] = _NOWHERE, usual: Limits = _USUAL) -> Limits:
    """Limits of a plan; the usual ones where nothing is stated."""
    if field is None:
        return usual
    fields = field.mapping(LIMIT_KEYS, elsewhere)
    limits = dataclasses.replace(usual, **_read(fields, _limit_readers()))
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
        stated = "zones: 1" if "zones" in fields else "zones: 1 (so many where none is stated)"
        fields["survive"].fail(
            f"survive: zone contradicts {stated}: with one zone nothing survives its loss",
            "give zones: 2 or more, or survive: instance",
        )
    if limits.survival is not Survive.NOTHING and limits.max_replicas == 1:
        fields["max_replicas"].fail(
            f"max_replicas 1 contradicts survive: {limits.survival}: the loss of one replica has to leave another",
            "raise max_replicas to 2 or more, or set survive: nothing",
        )
    return limits


def read_commitments(field: Field | None) -> tuple[OwnedCommitment, ...]:
    """Capacity that is already paid for."""
    stated = [] if field is None else [item.all_of(_COMMITMENT_KEYS) for item in field.items()]
    return tuple(
        OwnedCommitment(
            provider=fields["provider"].text(),
            region=fields["region"].text(),
            instance_type=fields["instance_type"].text(),
            count=fields["count"].count(1),
            expires=fields["expires"].date(),
        )
        for fields in stated
    )


def read_quotas(field: Field | None) -> tuple[QuotaLimit, ...]:
    """Limits that the account has. Raises InputError if an entry is wrong, or two say different limits of one quota."""
    stated = [] if field is None else [item.all_of(_QUOTA_KEYS) for item in field.items()]
    quotas = []
    limits: dict[tuple[str, str, str], float] = {}
    for fields in stated:
        place = (fields["provider"].text(), fields["region"].text(), fields["code"].text())
        quota = QuotaLimit(*place, limit=fields["limit"].number(0))
        if (limit := limits.setdefault(place, quota.limit)) != quota.limit:
            fields["limit"].fail(f"another limit of {' '.join(place)} is {limit:g}", "keep one of them")
        quotas.append(quota)
    return tuple(quotas)


def read_exclude(field: Field | None, elsewhere: Mapping[str, str] = _NOWHERE) -> Exclude:
    """Names that a plan must not use."""
    if field is None:
        return Exclude()
    fields = field.mapping(EXCLUDE_KEYS, elsewhere)
    purchases = tuple(purchase.value for purchase in Purchase)
    readers = dict.fromkeys(EXCLUDE_KEYS, Field.texts) | {"purchase": lambda field: field.choices(purchases)}
    return Exclude(**_read(fields, readers))


def read_tags(field: Field) -> tuple[tuple[str, str], ...]:
    """Tags that name who owns the costs."""
    fields = field.mapping(_TAG_KEYS)
    for tag in fields.values():
        if not _TAG.fullmatch(tag.text()):
            hint = "use up to 63 lower-case letters, digits, _ and -, starting with a letter or digit"
            tag.fail(f"'{tag.text()}' is not a value that every cloud takes as a label", hint)
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
    return Scaling(**_read(fields, dict.fromkeys(SCALING_KEYS, Field.truth)))


def read_response_cache(field: Field, limits: Limits) -> ResponseCache:
    """Cache of answers in front of the fleet; a hit ratio over all requests is that of one cache, so of one region."""
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
