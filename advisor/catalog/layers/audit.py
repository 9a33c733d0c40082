"""The catalog's own faults: what it covers, how old and how well founded it is, what is missing, what contradicts.

A share is of the pairs of type and region that are sold. A price is *current* that is listed and, on the day of the
audit, not older than a number of days, counted from the first day that its date may mean.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from advisor.catalog import readers
from advisor.catalog.layers.layered import LayeredCatalog, program_of
from advisor.catalog.precisions import PRECISIONS
from advisor.catalog.price_trust import first_day
from advisor.catalog.values import InstanceType, Offer, Price, Purchase, Quality, Support
from advisor.records import dataclass, replace

AGES_DAYS = (180, 90, 30)
DISAGREES_RATIO = 0.05
LEAST_CURRENT_RATIO = 0.95
"""Of the pairs of a cloud: fewer with a listed price of the last 180 days are a problem."""
CLOUDS = ("aws", "azure", "gcp")


@dataclass(frozen=True, slots=True)
class ProviderAudit:
    """Figures of one provider; all of them count pairs of type and region unless they say otherwise."""

    provider: str
    types: int
    """Types that are sold anywhere."""
    regions: int
    """Regions that sell any."""
    offers: int
    """Pairs that are sold."""
    on_demand: int
    """Pairs with a price on demand."""
    spot: int
    committed: int
    """Pairs with a price under a commitment that can be bought."""
    zones: int
    """Pairs whose availability zones are listed."""
    current: Mapping[int, int]
    """Days → pairs whose price on demand is listed and not older."""
    current_spot: Mapping[int, int]
    """Days → pairs whose spot price is listed and not older."""
    quality: Mapping[str, int]
    """Quality of the price on demand → pairs; ``unpriced`` where there is none."""
    spot_quality: Mapping[str, int]
    unpriced: Mapping[str, int]
    """Type → pairs that are sold at no known price at all."""
    sold_nowhere: tuple[str, ...]
    """Types whose hardware is known, and no region that sells them."""
    without_code: tuple[str, ...]
    """Types that no table says whether code is generated for."""
    without_engine: tuple[str, ...]
    """Types on whose accelerator no engine is known to serve any precision."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A price of a layer that is another one than the one that counts, by more than a twentieth of it."""

    provider: str
    region: str
    instance_type: str
    purchase: Purchase
    layer: str
    theirs: Price
    counts: Price

    @property
    def ratio(self) -> float:
        """The layer's price ÷ the one that counts, less one."""
        return self.theirs.usd_per_hour / self.counts.usd_per_hour - 1


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A type of which two layers say different hardware."""

    provider: str
    instance_type: str
    layer: str
    theirs: str
    """Number and accelerator."""
    counts: str


@dataclass(frozen=True, slots=True)
class CatalogAudit:
    """Worth of the catalog on a day."""

    today: dt.date
    content_hash: str
    layers: Mapping[str, int]
    """Layer → offers that it lists."""
    providers: tuple[ProviderAudit, ...]
    contradictions: tuple[Contradiction, ...]
    disagreements: tuple[Disagreement, ...]
    warnings: tuple[str, ...]
    """Layers that do not count, what has expired, and engines whose newest known release is old, in words."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems that keep a strict audit from passing, in words."""
        problems = [*self.warnings]
        for figures in self.providers:
            current = figures.current[AGES_DAYS[0]]
            if figures.provider in CLOUDS and current < LEAST_CURRENT_RATIO * figures.offers:
                problems.append(
                    f"{figures.provider}: {current:,} of {figures.offers:,} pairs have a listed price of the last "
                    f"{AGES_DAYS[0]} days; {LEAST_CURRENT_RATIO:.0%} are wanted"
                )
        if self.contradictions:
            problems.append(f"types of which two layers say different hardware: {len(self.contradictions):,}")
        if self.disagreements:
            problems.append(f"prices that a layer disagrees with by more than 5 %: {len(self.disagreements):,}")
        return tuple(problems)


def audit(catalog: LayeredCatalog, today: dt.date) -> CatalogAudit:
    """Figures of a catalog at list prices, whatever was negotiated."""
    listed = replace(catalog, overlay_file=None)
    offers = listed.offers_in()
    owners = dict.fromkeys((*listed.providers, *(offer.provider for offer in offers)))
    return CatalogAudit(
        today=today,
        content_hash=catalog.content_hash,
        layers={name: len(rows) for name, rows in listed.layers.items()},
        providers=tuple(_provider(listed, owner, offers, today) for owner in sorted(owners)),
        contradictions=tuple(_contradictions(listed)),
        disagreements=tuple(_disagreements(listed, offers)),
        warnings=replace(catalog, today=today).warnings,
    )


def _provider(catalog: LayeredCatalog, provider: str, every: Sequence[Offer], today: dt.date) -> ProviderAudit:
    offers = [offer for offer in every if offer.provider == provider]
    machines = [machine for (owner, _), machine in catalog.instance_types.items() if owner == provider]
    sold = {offer.instance_type for offer in offers}
    on_demand = [offer.on_demand for offer in offers if offer.on_demand is not None]
    spot = [offer.spot for offer in offers if offer.spot is not None]
    unpriced = Counter(offer.instance_type for offer in offers if offer.on_demand is None and offer.spot is None)
    has_code = provider in catalog.deployment.providers
    return ProviderAudit(
        provider=provider,
        types=len(sold),
        regions=len({offer.region for offer in offers}),
        offers=len(offers),
        on_demand=len(on_demand),
        spot=len(spot),
        committed=sum(bool(catalog.current_commitments(offer)) for offer in offers),
        zones=sum(catalog.zones(provider, offer.region, offer.instance_type).verified for offer in offers),
        current={days: _current(on_demand, days, today) for days in AGES_DAYS},
        current_spot={days: _current(spot, days, today) for days in AGES_DAYS},
        quality=_qualities(on_demand, len(offers)),
        spot_quality=_qualities(spot, len(offers)),
        unpriced=dict(sorted(unpriced.items())),
        sold_nowhere=tuple(sorted(machine.name for machine in machines if machine.name not in sold)),
        without_code=tuple(
            sorted(name for name in sold if has_code and catalog.deployment.support(provider, name) is None)
        ),
        without_engine=tuple(
            sorted(machine.name for machine in machines if machine.name in sold and not _serves(catalog, machine))
        ),
    )


def _current(prices: Sequence[Price], days: int, today: dt.date) -> int:
    """Prices that are listed and of the last *days*."""
    dates = (first_day(price.provenance.as_of) for price in prices if price.provenance.quality is Quality.LISTED)
    return sum(day is not None and (today - day).days <= days for day in dates)


def _qualities(prices: Sequence[Price], offers: int) -> Mapping[str, int]:
    counts = Counter(price.provenance.quality.value for price in prices)
    counts[Quality.UNPRICED.value] += offers - len(prices)
    return {quality.value: counts[quality.value] for quality in Quality if counts[quality.value]}


def _serves(catalog: LayeredCatalog, machine: InstanceType) -> bool:
    """Any engine is known to serve any precision on its accelerator."""
    support = (row for precision in PRECISIONS for row in catalog.engine_support(machine.accelerator, precision))
    return any(row.support not in (Support.NO, Support.UNTESTED) for row in support)


def _disagreements(catalog: LayeredCatalog, offers: Sequence[Offer]) -> Iterator[Disagreement]:
    """Prices of each layer that differ from the one that counts."""
    counting = {offer.place: offer for offer in offers}
    for layer, listed in catalog.layers.items():
        for other in (offer for offer in listed if offer.place in counting):
            for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
                counts, theirs = counting[other.place].price(purchase), other.price(purchase)
                if counts is not None and theirs is not None:
                    disagreement = Disagreement(*other.place, purchase, layer, theirs, counts)
                    if abs(disagreement.ratio) > DISAGREES_RATIO:
                        yield disagreement


def _contradictions(catalog: LayeredCatalog) -> Iterator[Contradiction]:
    """Types that a layer describes otherwise than the catalog does."""
    layers = [("published", snapshot) for snapshot in catalog.published]
    layers += [("refreshed", snapshot) for snapshot in catalog.snapshots]
    layers += [(program_of(snapshot), snapshot) for snapshot in catalog.imported]
    for layer, snapshot in layers:
        for key, machine in readers.read_instance_types(readers.Sources(snapshot.directory)).items():
            theirs, ours = _hardware(machine), _hardware(catalog.instance_types[key])
            if theirs != ours:
                yield Contradiction(*key, layer, theirs, ours)


def _hardware(machine: InstanceType) -> str:
    count = "?" if machine.accelerator_count is None else f"{machine.accelerator_count:g}"
    return f"{count} × {machine.accelerator}"
