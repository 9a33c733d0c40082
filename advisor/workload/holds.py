"""Requirements and exclusions of a workload against the catalog, and what the account holds by the overlay file.

See :mod:`advisor.catalog.layers.overlay` for the prices of the same file.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from advisor.catalog import Catalog
from advisor.catalog.layers.overlay import KEYS, Names
from advisor.catalog.precisions import MOST_CONVERTED_BILLIONS
from advisor.catalog.values import InstanceType, Offer, Purchase
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models.model import Model
from advisor.names import suggestion
from advisor.records import dataclass, replace
from advisor.workload.kinds import LLAMA_CPP
from advisor.workload.planning_fields import read_commitments, read_quotas
from advisor.workload.scope import (
    accelerator_names,
    allows,
    allows_engine,
    engine_names,
    excluded_and_asked,
    in_scope,
    is_open,
    serving_engines,
)
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
    """Holdings of the overlay of a catalog, or None. Raises InputError as of :func:`read_holdings`."""
    path = catalog.overlay_path
    return None if path is None or not path.is_file() else read_holdings(path, catalog)


def read_holdings(path: Path, catalog: Catalog) -> Holdings:
    """Holdings of an overlay file. Raises InputError with place and field, and the nearest names of unknown ones."""
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

    What the workload file says itself counts before the overlay; commitments that have expired count no more. Raises
    InputError if the workload names only regions that may not be used.
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
    """The workload within the regions that the account may use. Raises InputError if the workload names only others."""
    if not any(provider in holdings.regions for provider in workload.providers):
        return workload
    usable = [name for provider in workload.providers for name in _usable(provider, workload, holdings, catalog)]
    regions = [name for name in workload.regions if name in usable] if workload.regions else usable
    if workload.regions and not regions:
        raise InputError(
            f"none of the regions {', '.join(workload.regions)} may be used",
            where=workload.where("regions"),
            hint=f"{holdings.path} allows {', '.join(usable)}",
        )
    return replace(workload, regions=tuple(dict.fromkeys(regions)))


def expired(holdings: Holdings, today: dt.date) -> tuple[str, ...]:
    """Commitments whose term is over, in words."""
    return tuple(
        f"{holdings.path}: the commitment to {commitment.count} × {commitment.instance_type} in "
        f"{commitment.region} expired on {commitment.expires}, so it counts no more"
        for commitment in holdings.commitments
        if commitment.expires < today
    )


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


_PLACES_SHOWN = 6


def check_holds(workload: Workload, catalog: Catalog) -> None:
    """Refuse accelerators, instance types, engines and exclusions that nobody knows, or that leave nothing.

    Raises InputError with the field, the numbers that contradict each other and how to fix it.
    """
    _check_names(workload, catalog)
    ratio = workload.limits.on_demand_base_ratio
    only_spot = set(workload.purchase) == {Purchase.SPOT}
    if ratio > 0 and only_spot and not workload.commitments and not workload.scaling.scale_to_zero:
        raise InputError(
            f"on_demand_base_ratio {ratio:g} contradicts purchase: [spot]: nothing that is bought carries that share",
            where=workload.where("limits.on_demand_base_ratio"),
            hint="add on_demand to purchase, or take limits.on_demand_base_ratio out",
        )
    scope = in_scope(workload, catalog)
    _check_exclusions(scope, workload, catalog)
    for key in ("accelerators", "instance_types"):
        _check_sold(key, scope, workload, catalog)
    if scope.engines or scope.exclude.engines:
        _check_served(scope, workload, catalog)


def check_engine_kind(workload: Workload, model: Model, unit: Unit, catalog: Catalog) -> None:
    """Raise InputError if each engine serves other kinds of models, with those and the engines that serve this one."""
    units = {name: catalog.units_of_engine(name) for name in workload.engines}
    if not units or any(unit in served for served in units.values()):
        return
    fitting = [name for name in catalog.engines if unit in catalog.units_of_engine(name)]
    kinds = "; ".join(f"{name} for {' and '.join(sorted(served))}" for name, served in units.items())
    raise InputError(
        f"plans know {kinds}, and requests to {model.name} are of {unit} (task: {model.task})",
        where=workload.where("engines[0]" if "engines[0]" in workload.lines else "engines"),
        hint=f"name one of {', '.join(fitting)}, or take engines out",
    )


def check_known(workload: Workload, field: str, what: str, value: str, names: Sequence[str]) -> None:
    """Refuse a name that is not known, with the nearest ones."""
    if value not in names:
        raise InputError(f"unknown {what}: '{value}'", where=workload.where(field), hint=suggestion(value, names))


def _check_names(workload: Workload, catalog: Catalog) -> None:
    """Refuse accelerators, instance types and engines to use, and anything to exclude, that nobody knows."""
    types = sorted({name for _, name in catalog.instance_types})
    regions = sorted({region for provider in catalog.providers for region in catalog.regions_of(provider)})
    for prefix, stated in (("", workload), ("exclude.", workload.exclude)):
        for field, name in _each_name(workload, prefix, "accelerators", stated.accelerators):
            if accelerator_names((name,), catalog) == (name,) and catalog.known_accelerator(name) is None:
                check_known(workload, field, "accelerator", name, tuple(catalog.accelerators))
        for field, name in _each_name(workload, prefix, "instance_types", stated.instance_types):
            _check_accelerated(workload, field, name, catalog)
            check_known(workload, field, "instance type", name, types)
        for field, name in _each_name(workload, prefix, "engines", stated.engines):
            check_known(workload, field, "engine", catalog.engine_named(name), catalog.engines)
    for field, name in _each_name(workload, "exclude.", "providers", workload.exclude.providers):
        check_known(workload, field, "provider", name, catalog.providers)
    for field, name in _each_name(workload, "exclude.", "regions", workload.exclude.regions):
        check_known(workload, field, "region", name, regions)


def _check_accelerated(workload: Workload, field: str, name: str, catalog: Catalog) -> None:
    """Refuse a machine without an accelerator that this plan does not hold."""
    machines = [key for key in catalog.cpu_instances if key[1] == name]
    if not machines or any(key[1] == name for key in catalog.instance_types):
        return
    if catalog.cpu_instances.keys().isdisjoint(catalog.instance_types):
        problem = "and the model is not planned on processors"
        remedy = (
            f"such machines are planned for language models below {MOST_CONVERTED_BILLIONS:g} billion parameters, "
            f"without adapters, or with `engines: [{LLAMA_CPP}]`, if one reads the weights of a token within tpot_p95"
        )
    else:
        problem = "and no price of it, or no speed of its processor, is known"
        remedy = "name another; `advisor catalog list --cpu` shows them"
    raise InputError(f"{name} has no accelerator, {problem}", where=workload.where(field), hint=remedy)


def _each_name(workload: Workload, prefix: str, key: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Field and name of each entry of a list."""
    for index, name in enumerate(names):
        field = f"{prefix}{key}[{index}]"
        yield field if field in workload.lines else f"{prefix}{key}", name


def _check_exclusions(scope: Workload, workload: Workload, catalog: Catalog) -> None:
    """Refuse exclusions that leave nothing, or of what is asked for."""
    if not scope.providers:
        _contradict(workload, "exclude.providers", f"0 of {len(workload.providers)} providers are left", "providers")
    both = excluded_and_asked(workload, catalog)
    if both is not None:
        key, name = both
        _contradict(workload, f"exclude.{key}", f"{name} is asked for under {key} and excluded", key)
    if scope.exclude.regions and not scope.regions:
        _contradict(workload, "exclude.regions", "0 regions of the providers are left", "regions")


def _contradict(workload: Workload, field: str, message: str, key: str) -> NoReturn:
    raise InputError(message, where=workload.where(field), hint=f"take a name out of {field}, or change {key}")


def _check_sold(key: str, scope: Workload, workload: Workload, catalog: Catalog) -> None:
    """Refuse a list of which no provider and region in scope sells anything."""
    names = getattr(scope, key)
    if not names:
        return
    if set(names) & _offers_in_scope(key, scope, catalog).keys():
        return
    here = _offers_by_name(key, catalog.offers_in(scope.providers, scope.regions), catalog)
    left = sum(len(here.get(name, ())) for name in names)
    if left:
        raise InputError(
            f"{left} offers of {', '.join(names)} are sold where the plan may run, and the other keys leave 0 of them",
            where=workload.where(key),
            hint="change accelerators, instance_types or exclude so that they have a machine in common",
        )
    sold = _offers_by_name(key, catalog.offers_in(), catalog)
    places = sorted({f"{offer.provider} {offer.region}" for name in names for offer in sold.get(name, ())})
    shown = f"{', '.join(places[:_PLACES_SHOWN])}{' and others' if len(places) > _PLACES_SHOWN else ''}"
    total = sum(len(sold.get(name, ())) for name in names)
    raise InputError(
        f"0 of the {total} offers of {', '.join(names)} are within the providers and regions to plan with",
        where=workload.where(key),
        hint=f"allow one of those that sell it: {shown}" if places else f"name other {key}: nobody sells these",
    )


def _offers_in_scope(key: str, scope: Workload, catalog: Catalog) -> dict[str, list[Offer]]:
    """Offers that a plan may use, by accelerator or by instance type."""
    offers = catalog.offers_in(scope.providers, scope.regions)
    return _offers_by_name(key, offers, catalog, lambda machine: allows(scope, machine))


def _offers_by_name(
    key: str, offers: Iterable[Offer], catalog: Catalog, is_wanted: Callable[[InstanceType], bool] = lambda _: True
) -> dict[str, list[Offer]]:
    """Offers of wanted machines by accelerator or by instance type."""
    offers_of: dict[str, list[Offer]] = {}
    for offer in offers:
        machine = catalog.instance_types.get((offer.provider, offer.instance_type))
        if machine is not None and is_wanted(machine):
            offers_of.setdefault(machine.accelerator if key == "accelerators" else machine.name, []).append(offer)
    return offers_of


def unsold_holds(scope: Workload, catalog: Catalog) -> Iterator[str]:
    """Names to plan with that are not sold in scope, beside others that are; one variant of an accelerator suffices."""
    for key in ("accelerators", "instance_types"):
        if getattr(scope, key):
            here = _offers_in_scope(key, scope, catalog)
            families = {name.split("-")[0] for name in here} if key == "accelerators" else set()
            for name in getattr(scope, key):
                if name not in here and name.split("-")[0] not in families:
                    yield f"{name} is not known to be sold where the plan may run, so it is left out"


def _check_served(scope: Workload, workload: Workload, catalog: Catalog) -> None:
    """Refuse engines of which none serves a precision on an accelerator in scope."""
    used = _offers_in_scope("accelerators", scope, catalog)
    rows = [row for name in used for precision in scope.precisions for row in catalog.engine_support(name, precision)]
    serving = serving_engines(rows)
    is_one_pass = any(server.engine in scope.engines for server in catalog.one_pass_engines)
    if not serving or is_one_pass or any(allows_engine(scope, row.engine) for row in serving):
        return
    key = "engines" if scope.engines else "exclude.engines"
    precisions = " or ".join(scope.precisions)
    raise InputError(
        f"the engines left serve {precisions} on 0 of the {len(used)} accelerators to plan with",
        where=workload.where(key),
        hint=f"these would serve it: {', '.join(engine_names(serving))}",
    )
