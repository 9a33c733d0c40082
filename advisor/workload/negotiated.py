"""Resources that an account owns or may use, from the overlay file: they join what the workload file says.

See :mod:`advisor.catalog.layers.overlay` for the prices of the same file.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

from advisor.catalog import Catalog
from advisor.catalog.layers.overlay import KEYS, Names
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.workload.planning_fields import read_commitments, read_quotas
from advisor.workload.scope import is_open
from advisor.workload.values import OwnedCommitment, QuotaLimit, Workload
from advisor.yaml_fields import Field, read_document


@dataclass(frozen=True, slots=True)
class Holdings:
    """Holdings of the account, from the overlay."""

    path: Path
    regions: Mapping[str, tuple[str, ...]]
    """Provider → regions that may be used; a provider that is not named may be used everywhere."""
    commitments: tuple[OwnedCommitment, ...]
    quotas: tuple[QuotaLimit, ...]


def holdings_of(catalog: Catalog) -> Holdings | None:
    """Holdings of the account, from the overlay of a catalog; None where it has no overlay.

    Raises:
        InputError: as of :func:`read_holdings`.
    """
    path = catalog.overlay_path
    return None if path is None or not path.is_file() else read_holdings(path, catalog)


def read_holdings(path: Path, catalog: Catalog) -> Holdings:
    """Holdings of the account, from an overlay file.

    Raises:
        InputError: with file, line and field; unknown names come with the nearest known ones.
    """
    fields = read_document(path, "overlay", "docs/refresh.md shows one").mapping(KEYS)
    names = Names(catalog.instance_types.keys(), catalog.regions.keys())
    commitments = read_commitments(fields.get("commitments"))
    for field, owned in zip(_items(fields, "commitments"), commitments, strict=True):
        named = field.mapping(("provider", "region", "instance_type", "count", "expires"))
        names.provider(named["provider"])
        names.region(owned.provider, named["region"])
        names.instance_type(owned.provider, named["instance_type"])
    quotas = read_quotas(fields.get("quotas"))
    for field, quota in zip(_items(fields, "quotas"), quotas, strict=True):
        named = field.mapping(("provider", "region", "code", "limit"))
        names.provider(named["provider"])
        names.region(quota.provider, named["region"])
    return Holdings(path, _regions(fields.get("regions"), names), commitments, quotas)


def with_holdings(workload: Workload, holdings: Holdings, catalog: Catalog, today: dt.date) -> Workload:
    """The workload with what the account owns, and within the regions that it may use.

    What the workload file says itself counts before the overlay; commitments that have expired count no more.

    Raises:
        InputError: the workload names only regions that may not be used.
    """
    stated = {(quota.provider, quota.region, quota.code) for quota in workload.limits.quotas}
    quotas = [quota for quota in holdings.quotas if (quota.provider, quota.region, quota.code) not in stated]
    day = workload.as_of or today
    owned = [
        commitment
        for commitment in holdings.commitments
        if commitment.expires >= day and commitment.provider in workload.providers
    ]
    return replace(
        within_regions(workload, holdings, catalog),
        commitments=(*workload.commitments, *owned),
        limits=replace(workload.limits, quotas=(*workload.limits.quotas, *quotas)),
    )


def within_regions(workload: Workload, holdings: Holdings, catalog: Catalog) -> Workload:
    """The workload within the regions that the account may use.

    Raises:
        InputError: the workload names only others.
    """
    return replace(workload, regions=_allowed(workload, holdings, catalog))


def expired(holdings: Holdings, today: dt.date) -> tuple[str, ...]:
    """Commitments whose term is over, in words."""
    return tuple(
        f"{holdings.path}: the commitment to {commitment.count} × {commitment.instance_type} in "
        f"{commitment.region} expired on "
        f"{commitment.expires}, so it counts no more"
        for commitment in holdings.commitments
        if commitment.expires < today
    )


def _allowed(workload: Workload, holdings: Holdings, catalog: Catalog) -> tuple[str, ...]:
    if not any(provider in holdings.regions for provider in workload.providers):
        return workload.regions
    usable = [name for provider in workload.providers for name in _usable(provider, workload, holdings, catalog)]
    if not workload.regions:
        return tuple(dict.fromkeys(usable))
    both = tuple(name for name in workload.regions if name in usable)
    if not both:
        raise InputError(
            f"none of the regions {', '.join(workload.regions)} may be used",
            where=workload.where("regions"),
            hint=f"{holdings.path} allows {', '.join(usable)}",
        )
    return both


def _usable(provider: str, workload: Workload, holdings: Holdings, catalog: Catalog) -> Iterable[str]:
    """Regions of a provider that the account lists; where it lists none, those that the workload names or may use."""
    if provider in holdings.regions:
        return holdings.regions[provider]
    return (name for name in catalog.regions_of(provider) if name in workload.regions or is_open(name, workload))


def _regions(field: Field | None, names: Names) -> Mapping[str, tuple[str, ...]]:
    if field is None:
        return {}
    providers = sorted({provider for provider, _ in names.machines})
    named = field.mapping(providers)
    return {
        provider: tuple(names.region(provider, item) for item in regions.items()) for provider, regions in named.items()
    }


def _items(fields: Mapping[str, Field], key: str) -> list[Field]:
    return list(fields[key].items()) if key in fields else []
