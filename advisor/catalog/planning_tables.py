"""The tables of the catalog that plans ask for and single recommendations do not.

Levers as the catalog knows them: what each takes and risks, what others measured of it, and scores of models.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean

from advisor.catalog import planning, readers
from advisor.catalog.geography import Geography
from advisor.catalog.precisions import Precisions, weights_key
from advisor.catalog.readers import Sources, table
from advisor.catalog.values import InstanceType, Offer, Price, Provenance, Purchase, Quality, family_of
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.records import dataclass, replace
from advisor.tables import OptionalText

FEWEST_BENCHMARKS = 3
"""Benchmarks that two models have to share before one is said to keep a share of the other's scores."""


@dataclass(frozen=True, slots=True)
class LeverFact:
    """Figure of somebody else; none enters a price, whatever its evidence."""

    metric: str
    setting: str
    value: str
    """Number or range as the source has it."""
    unit: OptionalText
    condition: OptionalText
    evidence: str
    """measured, authors, independent, listed, vendor, simulated, vendor_claim, secondary or illustrative."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class LeverEntry:
    """Lever as the table has it."""

    lever: str
    title: str
    effort_hours: float
    """Work of an engineer, once: an estimate."""
    lock_in: str
    risk: str
    why_unpriced: OptionalText
    """Why the planner prices it for no workload; "" where it does."""
    code: OptionalText
    """Kind of that reason, as of :class:`advisor.levers.ReasonCode`."""
    provenance: Provenance
    facts: tuple[LeverFact, ...]


@dataclass(frozen=True, slots=True)
class CacheNode:
    """Node of a managed in-memory store."""

    provider: str
    node: str
    engine: str
    """valkey or redis."""
    memory_gib: float
    usable_ratio: float
    """Share of the memory that may hold entries, as the service reserves the rest unless told otherwise."""
    provenance: Provenance

    @property
    def usable_gib(self) -> float:
        """Memory for entries: ``memory · usable_ratio``."""
        return self.memory_gib * self.usable_ratio

    @property
    def item(self) -> str:
        """Name of its price in service_prices.csv."""
        return f"{self.node}_{self.engine}"


@dataclass(frozen=True, slots=True)
class ScoresKept:
    """Share of a model's benchmark scores that a smaller one reaches, within one source and setting each."""

    model: str
    """The smaller one, as models.csv names it."""
    mean_ratio: float
    low_ratio: float
    high_ratio: float
    benchmarks: int
    sources: tuple[str, ...]


def read_levers(sources: Sources) -> tuple[LeverEntry, ...]:
    """Every lever with its facts, by name."""
    facts: dict[str, list[LeverFact]] = {}
    for row in sources.rows("lever_facts"):
        facts.setdefault(row.text("lever"), []).append(sources.value(LeverFact, row))
    return tuple(
        sources.value(LeverEntry, row, facts=tuple(facts.get(row.text("lever"), ()))) for row in sources.rows("levers")
    )


_Test = tuple[str, str, str, str]
"""Tuning, benchmark, setting and source: what scores compare within."""


class ModelScores:
    """Benchmark scores of models; those of two models compare within one tuning, source and setting only."""

    def __init__(self, sources: Sources) -> None:
        """Read the table."""
        self._scores: dict[str, dict[_Test, float]] = {}
        for row in sources.rows("model_scores"):
            test = (row.text("kind"), row.text("benchmark"), row.optional_text("setting"), sources.of(row).source)
            self._scores.setdefault(row.text("model"), {})[test] = row.number("score")

    def kept_by_others(self, model: str) -> tuple[ScoresKept, ...]:
        """Models of the same owner with the share of the scores that each reaches, in the order of their names."""
        own = next((scores for name, scores in self._scores.items() if weights_key(name) == weights_key(model)), {})
        owner = model.partition("/")[0].casefold()
        others = (name for name in sorted(self._scores) if name.partition("/")[0].casefold() == owner)
        compared = (_kept(name, own, self._scores[name]) for name in others if weights_key(name) != weights_key(model))
        return tuple(kept for kept in compared if kept is not None)


def _kept(name: str, own: Mapping[_Test, float], other: Mapping[_Test, float]) -> ScoresKept | None:
    """Scores of a model ÷ those of the own one; None where they share too few benchmarks."""
    ratios = {test: other[test] / score for test, score in own.items() if test in other and score > 0}
    if len({benchmark for _, benchmark, _, _ in ratios}) < FEWEST_BENCHMARKS:
        return None
    shares = ratios.values()
    sources = tuple(sorted({source for *_, source in ratios}))
    return ScoresKept(name, fmean(shares), min(shares), max(shares), len(ratios), sources)


_WEAKEST_FIRST = (Quality.STALE, Quality.RECALLED, Quality.COMMUNITY)


def commitment_prices(
    offer: Offer, covering: Iterable[planning.Commitment], listed: Iterable[planning.CommitmentPrice]
) -> tuple[planning.CommitmentPrice, ...]:
    """Price under each commitment that covers the offer, cheapest first; none where the on-demand price is unknown.

    A discount that was read in the offer's own region counts before one that holds anywhere, and a listed price before
    both: on demand may have changed since the discount was read. What saves nothing any more is left out.
    """
    if offer.on_demand is None:
        return ()
    usable = sorted(
        (commitment for commitment in covering if commitment.region in {"", offer.region}),
        key=lambda commitment: commitment.region,
    )
    prices = {
        _sold_as(commitment): _price(offer.on_demand, commitment, commitment.discount_ratio or 0.0)
        for commitment in usable
    }
    prices |= {_sold_as(commitment_price.commitment): commitment_price for commitment_price in listed}
    saving = (price for price in prices.values() if price.usd_per_hour < offer.on_demand.usd_per_hour)
    return tuple(sorted(saving, key=lambda price: (price.usd_per_hour, price.commitment.term_years)))


def _sold_as(commitment: planning.Commitment) -> tuple[str, int, str]:
    return commitment.instrument, commitment.term_years, commitment.payment


def _price(on_demand: Price, commitment: planning.Commitment, discount_ratio: float) -> planning.CommitmentPrice:
    """On-demand price × (1 - discount), founded no better than the weaker of the two."""
    used = {on_demand.provenance.quality, commitment.provenance.quality}
    quality = next((quality for quality in _WEAKEST_FIRST if quality in used), Quality.DERIVED)
    provenance = Provenance(commitment.provenance.source, commitment.provenance.as_of, quality)
    return planning.CommitmentPrice(commitment, on_demand.usd_per_hour * (1 - discount_ratio), provenance)


@dataclass(frozen=True, eq=False)
class PlanningTables:
    """Commitments, risks, limits, distances, carbon, cold starts: each table read when it is first asked for."""

    directory: Path

    regions = table(readers.read_regions)
    """Regions by (provider, name)."""

    def commitments(self, offer: Offer) -> tuple[planning.CommitmentPrice, ...]:
        """Prices of an offer under each commitment that covers it, cheapest first."""
        prices = self._commitment_prices
        if offer not in prices:
            family = family_of(offer.provider, offer.instance_type)
            covering = self._commitments.get((offer.provider, family), ())
            prices[offer] = commitment_prices(offer, covering, self._listed_commitments(offer))
        return prices[offer]

    def reservations(self, offer: Offer) -> tuple[planning.Reservation, ...]:
        """Other terms by which an offer's time is sold; no plan buys them.

        Of an instrument those of the offer's own region hold, and others where it has none.
        """
        family = family_of(offer.provider, offer.instance_type)
        covering = [
            reservation
            for reservation in self._reservations
            if reservation.provider == offer.provider
            and family in reservation.families
            and reservation.region in {"", offer.region}
        ]
        own = {reservation.instrument for reservation in covering if reservation.region}
        return tuple(reservation for reservation in covering if reservation.region or reservation.instrument not in own)

    def _listed_commitments(self, offer: Offer) -> Sequence[planning.CommitmentPrice]:
        """Prices of commitments as they are listed for a type in a region."""
        prices = self._committed_prices
        if offer.provider not in prices:
            prices[offer.provider] = self._read_committed_prices(offer.provider)
        return prices[offer.provider].get((offer.region, offer.instance_type), ())

    def _read_committed_prices(self, provider: str) -> Mapping[readers.Pair, Sequence[planning.CommitmentPrice]]:
        path = self.directory / "committed_prices" / f"{provider}.csv"
        return readers.read_committed_prices(path, provider, self.sources) if path.is_file() else {}

    def spot_risk(self, offer: Offer) -> planning.SpotRisk | None:
        """How often spot instances like this were interrupted; None where nobody publishes it."""
        return self._spot_risks.get((offer.provider, offer.region, offer.instance_type))

    def quota(self, machine: InstanceType, purchase: Purchase) -> planning.Quota | None:
        """The limit that counts a machine, without one for commitments that on demand; None: not known."""
        return self.quota_of_type(machine.provider, machine.name, purchase)

    def quota_of_type(self, provider: str, instance_type: str, purchase: Purchase) -> planning.Quota | None:
        """The same of a type that the catalog need not hold."""
        family = family_of(provider, instance_type)
        markets = (purchase, Purchase.ON_DEMAND) if purchase is Purchase.COMMITMENT else (purchase,)
        keys = [(provider, market, key) for market in markets for key in (family, "*")]
        return next((self._quotas[key] for key in keys if key in self._quotas), None)

    def quota_codes(self, provider: str) -> tuple[str, ...]:
        """Codes of the provider's limits on accelerated machines, sorted."""
        return tuple(sorted({quota.code for (owner, *_), quota in self._quotas.items() if owner == provider}))

    @property
    def account_limits(self) -> Mapping[readers.Triple, planning.AccountLimit]:
        """Limits of the user's account by provider, region and code; nothing where it was never asked."""
        return {}

    def quota_use(self, machine: InstanceType) -> float | None:
        """Use of its limit by one machine: processors or accelerators, as its provider counts; None if unknown."""
        quota = self.quota(machine, Purchase.ON_DEMAND)
        if quota is None:
            return None
        return machine.vcpus if quota.unit == "vcpu" else machine.accelerator_count

    def grid(self, provider: str, region: str) -> planning.Grid | None:
        """Carbon of a region's power by location; None where unknown."""
        return self._grids.get((provider, region))

    def egress_usd_per_gb(self, provider: str, region: str) -> planning.DataPrice:
        """Price of data from a region to the internet.

        Where it is not known, that of the provider's dearest region, and of all providers' where none is known, as a
        derived one.
        """
        data_price = self._egress.get((provider, region, "internet"))
        return data_price or self._dearest_egress.get(provider) or self._dearest_egress[""]

    @cached_property
    def _dearest_egress(self) -> dict[str, planning.DataPrice]:
        dearest: dict[str, planning.DataPrice] = {}
        for (provider, _, target), price in self._egress.items():
            for owner in (provider, "") if target == "internet" else ():
                if owner not in dearest or price.usd_per_gb > dearest[owner].usd_per_gb:
                    derived = replace(price.provenance, quality=Quality.DERIVED)
                    dearest[owner] = replace(price, provenance=derived)
        return dearest

    def service_price(self, provider: str, item: str, region: str) -> planning.ServicePrice | None:
        """Price of something beside the machines in a region; None where it is known nowhere.

        In a region of which it is not known, it is that of the dearest region of the provider, as a derived one.
        """
        own = self.service_prices.get((provider, item, region)) or self.service_prices.get((provider, item, ""))
        return own or self._dearest_services.get((provider, item))

    @cached_property
    def _dearest_services(self) -> dict[tuple[str, str], planning.ServicePrice]:
        dearest: dict[tuple[str, str], planning.ServicePrice] = {}
        for (provider, item, _), price in self.service_prices.items():
            service_price = dearest.get((provider, item))
            if service_price is None or price.usd > service_price.usd:
                derived = replace(price.provenance, quality=Quality.DERIVED)
                dearest[provider, item] = replace(price, provenance=derived)
        return dearest

    @cached_property
    def service_prices(self) -> dict[readers.Triple, planning.ServicePrice]:
        """Prices of what is sold beside machines, by provider, item and region ("" for all others)."""
        return self.sources.by("provider item region?", "service_prices", readers.service_price)

    @cached_property
    def region_resources(self) -> Mapping[str, Sequence[planning.RegionResource]]:
        """Resources that are ordered beside machines, by provider."""
        resources: dict[str, list[planning.RegionResource]] = {}
        for resource in self.sources.values(planning.RegionResource, "region_resources"):
            resources.setdefault(resource.provider, []).append(resource)
        return resources

    cold_start = table(readers.read_cold_start)
    """Parts of a cold start."""

    scale_ins = table(readers.read_scale_ins)
    """Seconds that an instance is billed after its last hour, by target."""

    @cached_property
    def serverless(self) -> tuple[planning.Serverless, ...]:
        """Accelerators that are paid for by the second."""
        return readers.read_serverless(self.sources)

    def token_prices(self, model: str) -> tuple[planning.TokenPrice, ...]:
        """Prices of services for tokens of the weights that the catalog has under this name."""
        return tuple(price for price in self.every_token_price if model and price.model == model)

    def token_price(self, name: str) -> planning.TokenPrice:
        """Price of tokens of a service's model: ``anthropic/claude-haiku-4.5``, in any case, with dots or hyphens.

        Raises InputError if it is unknown, with the nearest names.
        """
        prices = self._token_prices_by_name
        if (key := _token_key(name)) not in prices:
            names = [price.name for price in prices.values()]
            hint = suggestion(name, names) or "`advisor catalog tokens` lists them"
            raise InputError(f"unknown model of a token service: '{name}'", hint=hint)
        return prices[key]

    @cached_property
    def _token_prices_by_name(self) -> Mapping[str, planning.TokenPrice]:
        return {_token_key(price.name): price for price in self.every_token_price}

    every_token_price = table(readers.read_token_prices)
    """Prices of services for tokens of all their models."""

    levers = table(read_levers)
    """Levers by name: effort, risk and lock-in of each, and what others say of it."""

    @cached_property
    def cache_nodes(self) -> tuple[CacheNode, ...]:
        """Nodes of in-memory stores, the smallest first."""
        nodes = self.sources.values(CacheNode, "cache_nodes")
        return tuple(sorted(nodes, key=lambda node: (node.memory_gib, node.node)))

    model_scores = table(ModelScores)
    """Benchmark scores of models."""

    precisions = table(Precisions)
    """Checkpoints, the weights that engines load, and what lower precisions lose."""

    @cached_property
    def sources(self) -> readers.Sources:
        """Tables of the directory."""
        return readers.Sources(self.directory)

    @cached_property
    def geography(self) -> Geography:
        """Regions and places of users, and round trips between them."""
        return Geography(
            self.regions,
            readers.read_places(self.sources),
            self.sources.by("provider region other_region", "region_latency", readers.latency),
        )

    @cached_property
    def _commitments(self) -> dict[tuple[str, str], list[planning.Commitment]]:
        grouped: dict[tuple[str, str], list[planning.Commitment]] = {}
        for commitment in readers.read_commitments(self.sources):
            for family in commitment.families:
                grouped.setdefault((commitment.provider, family), []).append(commitment)
        return grouped

    @cached_property
    def _commitment_prices(self) -> dict[Offer, tuple[planning.CommitmentPrice, ...]]:
        return {}

    @cached_property
    def _committed_prices(self) -> dict[str, Mapping[readers.Pair, Sequence[planning.CommitmentPrice]]]:
        """Listed prices of the providers that were asked for."""
        return {}

    _reservations = table(lambda sources: sources.values(planning.Reservation, "reservations"))
    _spot_risks = table(
        lambda sources: sources.by("provider region instance_type", "spot_interruptions", readers.spot_risk)
    )
    _quotas = table(readers.read_quotas)
    _grids = table(lambda sources: sources.by("provider region", "grid", readers.grid))
    _egress = table(lambda sources: sources.by("provider region destination", "egress", readers.data_price))


def _token_key(name: str) -> str:
    """Versions are written with dots or with hyphens, by the same service."""
    return name.strip().casefold().replace(".", "-").replace("_", "-")
