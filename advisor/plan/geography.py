"""Places of users and of permitted processing, and what the network between takes from the latency targets."""

import bisect
import math
from collections.abc import Iterable, Mapping

from advisor.candidates import Matches, Shortfall, reject
from advisor.catalog import Catalog
from advisor.catalog.planning import Place
from advisor.catalog.values import Region
from advisor.cost.response_cache import copies_of, most_held_gib, priced_cache
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.records import dataclass, replace
from advisor.workload.values import Slo, Workload

LAST_MILE_MS = 20.0
"""Round trip between a user and the backbone, which tables between cities leave out: 10 ms on fibre to 40 ms on
mobile networks; recalled, not measured."""
LEVELS_MS = (0.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0)
"""Round trips are rounded up to these, so that a capacity is computed once for each level and not for each pair."""
_STEP_MS = 100.0
"""Levels above the last one."""
ANYWHERE = "anywhere"
"""The place of users that the workload does not name: no network is counted for them."""

EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
"""Member states of the European Union, ISO 3166 alpha-2."""
_AREAS = {"EU": EU, "EEA": EU | {"IS", "LI", "NO"}, "UK": frozenset({"GB"})}


@dataclass(frozen=True, slots=True)
class Geography:
    """Users by place, and how far each region is from each of them."""

    places: tuple[str, ...]
    shares: tuple[float, ...]
    """Of the requests; they sum to 1."""
    network_ms: Mapping[tuple[str, str], tuple[float, ...]]
    """Round trip with the last mile, rounded up to a level, of each (provider, region) to each place in turn; inf where
    the region's position is not known."""
    notes: tuple[str, ...]

    @property
    def levels_ms(self) -> tuple[float, ...]:
        """The levels that occur."""
        return tuple(sorted({level for row in self.network_ms.values() for level in row if math.isfinite(level)}))


def geography(workload: Workload, catalog: Catalog, regions: Iterable[tuple[str, str]]) -> Geography:
    """Distance of each (provider, region) to the users. Raises InputError for a place that the catalog lacks."""
    if not workload.users:
        return Geography((ANYWHERE,), (1.0,), dict.fromkeys(regions, (0.0,)), ())
    shares = _shares(workload, catalog)
    places = [catalog.geography.place(name) for name in shares]
    network = {key: tuple(_network_ms(place, key, catalog) for place in places) for key in regions}
    note = (
        f"network round trips between places and regions are mostly estimates; {LAST_MILE_MS:g} ms are added for the "
        "last mile"
    )
    return Geography(tuple(shares), tuple(shares.values()), network, (note,))


def _shares(workload: Workload, catalog: Catalog) -> dict[str, float]:
    """Share of each place by the catalog's own name: two names of one place are one."""
    shares: dict[str, float] = {}
    for name, share in workload.users:
        try:
            place = catalog.geography.place(name).name
        except InputError as error:
            raise InputError(error.message, where=workload.where(f"users.{name}"), hint=error.hint) from error
        shares[place] = shares.get(place, 0.0) + share
    return shares


def _network_ms(place: Place, key: tuple[str, str], catalog: Catalog) -> float:
    latency = catalog.geography.from_place(place, *key)
    return math.inf if latency is None else level_ms(latency.rtt_ms + LAST_MILE_MS)


def level_ms(rtt_ms: float) -> float:
    """The lowest level that is no shorter than a round trip; every full 100 ms above the last one listed."""
    if rtt_ms > LEVELS_MS[-1]:
        return math.ceil(rtt_ms / _STEP_MS) * _STEP_MS
    return LEVELS_MS[bisect.bisect_left(LEVELS_MS, rtt_ms)]


def slo_after_network(slo: Slo, network_ms: float) -> Slo:
    """Targets less the network: one round trip less for the first token and for the whole answer.

    The connection is open already. Time per output token is as the server keeps it: tokens follow one another on the
    way. A target that the network alone uses up is left at 0 or below; see :func:`network_shortfall`.
    """

    def left(target_ms: float | None) -> float | None:
        return None if target_ms is None else target_ms - network_ms

    return replace(
        slo, ttft_p95_ms=left(slo.ttft_p95_ms), e2e_p95_ms=left(slo.e2e_p95_ms), latency_ms=left(slo.latency_ms)
    )


def network_shortfall(place: str, region: str, slo: Slo, network_ms: float) -> Shortfall | None:
    """Why a region is too far from a place whatever the hardware; None when some of every target is left."""
    if math.isinf(network_ms):
        reason = f"the network between {place} and {region} is not known, and users were named"
        return Shortfall("network", "ms", "a known round trip", None, reason)
    targets = [target for target in (slo.ttft_p95_ms, slo.e2e_p95_ms, slo.latency_ms) if target is not None]
    if not targets or min(targets) > network_ms:
        return None
    reason = f"the network between {place} and {region} alone takes {network_ms:g} ms of {min(targets):g} ms"
    return Shortfall("network", "ms", network_ms, min(targets), reason)


def check_residency(workload: Workload, catalog: Catalog) -> None:
    """Raise InputError, with the nearest names, unless it is a country, a continent, EU, EEA or UK."""
    continents = {region.continent for region in catalog.regions.values()} - {""}
    countries = {region.country_iso2 for region in catalog.regions.values()} - {""}
    countries |= EU | {place.country_iso2 for place in catalog.geography.places.values()}
    places = {name.casefold() for name in continents | countries | _AREAS.keys()}
    for index, entry in enumerate(workload.residency):
        if entry.casefold() not in places:
            raise InputError(
                f"unknown country or continent: '{entry}'",
                where=workload.where(f"residency[{index}]"),
                hint=suggestion(entry, sorted(continents | _AREAS.keys())) or "give ISO 3166 codes such as DE",
            )


def residency_shortfall(region: Region, residency: tuple[str, ...]) -> Shortfall | None:
    """Why requests may not be processed in a region; None when they may. One of unknown country is in none."""
    if not residency or any(_within(region, entry) for entry in residency):
        return None
    allowed = ", ".join(residency)
    country = region.country_iso2 or None
    reason = f"it is in {region.title or region.name} ({country or 'country unknown'}), and requests stay in {allowed}"
    return Shortfall("residency", "country", allowed, country, reason)


def in_reach(matches: Matches, workload: Workload, catalog: Catalog) -> Matches:
    """Candidates and offers in regions that may process the requests, near enough to some of the users, with a cache.

    Raises InputError for a place or an area that the catalog does not know.
    """
    if not workload.residency and not workload.users and not workload.response_cache:
        return matches
    check_residency(workload, catalog)
    regions = sorted({(offer.provider, offer.region) for offers in matches.offers.values() for offer in offers})
    where = geography(workload, catalog, regions)
    shortfalls = {key: _region_shortfall(key, where, workload, catalog) for key in regions}
    held = {(candidate.instance_type.provider, candidate.instance_type.name) for candidate in matches.candidates}
    offers, rejected = {}, []
    for (provider, name), every in matches.offers.items():
        kept = tuple(offer for offer in every if shortfalls[offer.provider, offer.region] is None)
        machine = catalog.instance_type(provider, name)
        for sold in every if (provider, name) in held else ():
            missing = shortfalls[sold.provider, sold.region]
            if missing is not None:
                rejection = reject(machine, missing, region=sold.region)
                of_cache = missing.code == "response_cache"  # whatever the machine
                rejected.append(replace(rejection, message=missing.reason) if of_cache else rejection)
        if kept:
            offers[provider, name] = kept
    left = [
        candidate
        for candidate in matches.candidates
        if (candidate.instance_type.provider, candidate.instance_type.name) in offers
    ]
    return replace(matches, candidates=tuple(left), rejections=(*matches.rejections, *rejected), offers=offers)


def cache_shortfall(workload: Workload, catalog: Catalog, provider: str, region: str) -> Shortfall | None:
    """Why the response cache of a workload cannot be in a region at a known price; None: it can, or there is none."""
    if workload.response_cache is None:
        return None
    priced = priced_cache(workload, catalog, provider, region)
    if not isinstance(priced, str):
        return None
    held_gib = most_held_gib(catalog, provider, copies_of(workload))
    return Shortfall("response_cache", "GiB", workload.response_cache.memory_gib, held_gib, priced)


def _region_shortfall(
    key: tuple[str, str], where: Geography, workload: Workload, catalog: Catalog
) -> Shortfall | None:  # fmt: skip
    region = catalog.regions.get(key)
    if region is not None and (missing := residency_shortfall(region, workload.residency)) is not None:
        return missing
    if (lacking := cache_shortfall(workload, catalog, *key)) is not None:
        return lacking
    missed: list[Shortfall] = []
    for place, ms in zip(where.places, where.network_ms[key], strict=True):
        shortfall = network_shortfall(place, key[1], workload.slo, ms)
        if shortfall is None:
            return None
        missed.append(shortfall)
    return missed[0]


def _within(region: Region, entry: str) -> bool:
    wanted = entry.casefold()
    if wanted in (region.country_iso2.casefold(), region.continent.casefold()):
        return bool(wanted)
    return region.country_iso2 in _AREAS.get(entry.upper(), ())
