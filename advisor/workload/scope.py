"""Scope of a workload's plan: providers, regions, accelerators, types and engines; whether one lies within another."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, TypeVar

from advisor.catalog import Catalog
from advisor.catalog.values import EngineSupport, InstanceType
from advisor.errors import InputError
from advisor.records import replace
from advisor.workload.values import Workload

_Name = TypeVar("_Name", bound=str)
_WIDENED = ("providers", "regions", "accelerators", "instance_types", "precisions", "purchase")
"""Keys of a workload that differ between rungs."""
_ANY_IF_EMPTY = ("accelerators", "instance_types")
"""Those of which none means any."""
HELD = ("providers", "regions", "accelerators", "instance_types", "engines")
"""Keys that name what a plan may use; ``exclude`` has the same ones."""
_RESTRICTED = {
    "for governments": ("us-gov-", "usgov", "usdod", "uk-gov-", "us-langley-", "us-luke-"),
    "in China": ("cn-", "china"),
    "of the European sovereign cloud": ("eusc-",),
}
"""Starts of the names of regions that take an account of their own (botocore 1.43, partitions.json; Azure's and
Oracle's lists of regions)."""
_RESTRICTED_SHOWN = 6


def is_within(narrow: Workload, wide: Workload) -> bool:
    """Whether a workload allows no more than another."""
    for key in _WIDENED:
        some, others = getattr(narrow, key), getattr(wide, key)
        means_any = key in _ANY_IF_EMPTY
        if means_any and not others:
            continue
        if (means_any and not some) or not set(some) <= set(others):
            return False
    return True


def union(stated: Workload, rung: Workload) -> Workload:
    """Union of what two workloads allow."""
    both: dict[str, Any] = {}
    for key in _WIDENED:
        some, others = getattr(stated, key), getattr(rung, key)
        is_any = key in _ANY_IF_EMPTY and not (some and others)
        both[key] = () if is_any else joined(some, others)
    return replace(stated, **both)


def joined(some: tuple[_Name, ...], others: tuple[_Name, ...]) -> tuple[_Name, ...]:
    """All names, each once, in order."""
    return tuple(dict.fromkeys((*some, *others)))


def in_scope(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with its holds in the catalog's names, and providers and regions without what is excluded.

    Names that the catalog does not know stay as they are: :func:`advisor.requirements.check_names` refuses them. Raises
    InputError if no region of the current one's continent may be used.
    """
    exclude = workload.exclude
    named = replace(
        workload,
        providers=_without(workload.providers, exclude.providers),
        purchase=tuple(purchase for purchase in workload.purchase if purchase not in exclude.purchase),
        accelerators=accelerator_names(workload.accelerators, catalog),
        engines=_engine_names(workload.engines, catalog),
        exclude=replace(
            exclude,
            accelerators=accelerator_names(exclude.accelerators, catalog),
            engines=_engine_names(exclude.engines, catalog),
        ),
    )
    regions = _regions(named, catalog)
    return replace(named, regions=regions, regions_left_open=bool(regions) and is_left_open(named))


def allows(workload: Workload, machine: InstanceType) -> bool:
    """Whether a workload from :func:`in_scope` may be planned with a machine."""
    exclude = workload.exclude
    return (
        machine.provider in workload.providers
        and _may_use(machine.accelerator, workload.accelerators, exclude.accelerators)
        and _may_use(machine.name, workload.instance_types, exclude.instance_types)
    )


def allows_engine(workload: Workload, engine: str) -> bool:
    """Whether a workload from :func:`in_scope` may be served by an engine."""
    return _may_use(engine, workload.engines, workload.exclude.engines)


def scope_notes(workload: Workload, catalog: Catalog) -> tuple[str, ...]:
    """Notes on a scope that the workload does not state."""
    current = workload.current
    notes = []
    if workload.near_current and current is not None:
        continent = _continent(workload, catalog)
        where = f"{current.provider} in {continent}" if continent else current.provider
        notes.append(f"planned within {where}, where `current` runs; name providers or regions to plan with others")
    if closed := _closed_regions(workload, catalog):
        names = ", ".join(closed[:_RESTRICTED_SHOWN]) + (", …" if len(closed) > _RESTRICTED_SHOWN else "")
        kinds = " and ".join(sorted({restriction(name) for name in closed}))
        notes.append(
            f"regions {kinds} take an account of their own and are left out ({len(closed)}: {names}); name them under "
            "regions to plan there"
        )
    return tuple(notes)


def _closed_regions(workload: Workload, catalog: Catalog) -> list[str]:
    """Regions that are left out only because they take an account of their own; none where regions are named."""
    if not is_left_open(workload):
        return []
    area = _continent(workload, catalog) if workload.near_current else ""
    return [
        name
        for provider in _without(workload.providers, workload.exclude.providers)
        for name in catalog.regions_of(provider)
        if not is_open(name, workload)
        and name not in workload.exclude.regions
        and area in ("", catalog.regions[provider, name].continent)
    ]


def accelerator_names(names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """The catalog's names of accelerators; a bare ``H100`` is every variant of it."""
    order: dict[str, None] = {}
    for name in names:
        try:
            order |= dict.fromkeys(part.name for part in catalog.accelerator_variants(name))
        except InputError:
            order[name] = None
    return tuple(order)


def serving_engines(rows: Iterable[EngineSupport]) -> list[EngineSupport]:
    """The engines that serve a precision on an accelerator."""
    return [row for row in rows if row.serves]


def engine_names(rows: Iterable[EngineSupport]) -> tuple[str, ...]:
    """Engines by name, each once."""
    return tuple(dict.fromkeys(row.engine for row in rows))


def excluded_and_asked(workload: Workload, catalog: Catalog) -> tuple[str, str] | None:
    """Key and name, as stated, of what a workload asks for and excludes; of ``H100`` that is all variants."""
    for key in HELD[2:]:
        excluded = set(_in_catalog(key, getattr(workload.exclude, key), catalog))
        for name in getattr(workload, key):
            if excluded.issuperset(_in_catalog(key, (name,), catalog)):
                return key, name
    return None


def _in_catalog(key: str, names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """Names of a list as the catalog has them."""
    if key == "accelerators":
        return accelerator_names(names, catalog)
    return _engine_names(names, catalog) if key == "engines" else tuple(names)


def _engine_names(names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    return tuple(dict.fromkeys(catalog.engine_named(name) for name in names))


def _regions(workload: Workload, catalog: Catalog) -> tuple[str, ...]:
    """Regions to plan in; empty: all of the providers'."""
    near = _near(workload, catalog)
    if near is not None:
        return near
    if workload.regions:
        return _without(workload.regions, workload.exclude.regions)
    placeless = {service.provider for service in catalog.serverless if not service.regions}
    names = ((*catalog.regions_of(name), *([""] if name in placeless else [])) for name in workload.providers)
    every = tuple(dict.fromkeys(chain.from_iterable(names)))
    left = _without(tuple(name for name in every if is_open(name, workload)), workload.exclude.regions)
    if every and not left and not workload.exclude.regions:
        raise InputError(
            f"all {len(every)} regions of {', '.join(workload.providers)} take an account of their own",
            where=workload.where("providers"),
            hint=f"name those that yours is for under regions: {', '.join(every[:_RESTRICTED_SHOWN])}",
        )
    return left if workload.exclude.regions or left != every else ()


def _near(workload: Workload, catalog: Catalog) -> tuple[str, ...] | None:
    """Regions on the continent of what runs today; None where others may be used."""
    current, continent = workload.current, _continent(workload, catalog)
    if not workload.near_current or current is None or not continent:
        return None
    near = tuple(
        name
        for name in catalog.regions_of(current.provider)
        if catalog.regions[current.provider, name].continent == continent
        and restriction(name) == restriction(current.region)
        and _may_use(name, workload.regions, workload.exclude.regions)
    )
    if not near:
        raise InputError(
            f"no region of {current.provider} in {continent} may be used, and the plan stays where `current` runs",
            where=workload.where("current"),
            hint="name the regions to plan in under regions",
        )
    return near


def _continent(workload: Workload, catalog: Catalog) -> str:
    """Continent of what runs today; "" where it is unknown, or users and residency say where to plan."""
    current = workload.current
    if current is None or workload.users or workload.residency:
        return ""
    region = catalog.regions.get((current.provider, current.region))
    return region.continent if region is not None and region.continent else ""


def is_left_open(workload: Workload) -> bool:
    """Whether a workload names no region, be they written out or not."""
    return workload.regions_left_open or not workload.regions


def restriction(region: str) -> str:
    """Regions, in words, among which one takes an account of its own; "" where any account will do."""
    return next((kind for kind, starts in _RESTRICTED.items() if region.startswith(starts)), "")


def is_open(region: str, workload: Workload) -> bool:
    """Whether a workload may be planned in a region that it does not name: any account will do, or that of today."""
    today = "" if workload.current is None else restriction(workload.current.region)
    return restriction(region) in ("", today)


def _may_use(name: str, asked: tuple[str, ...], excluded: tuple[str, ...]) -> bool:
    return (not asked or name in asked) and name not in excluded


def _without(names: tuple[str, ...], excluded: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in excluded)
