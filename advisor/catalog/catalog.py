"""The catalog as one frozen value: machines and offers by name, each table read when it is first asked for."""

import copy
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from advisor.catalog import readers
from advisor.catalog.engine_tables import EngineTables
from advisor.catalog.geography import Zones, ZoneSupply, read_zones, supply_of
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.readers import Sources, table
from advisor.catalog.values import Accelerator, InstanceType, Offer, Price, Provenance, Purchase, Quality
from advisor.errors import InputError
from advisor.names import normalised, suggestion
from advisor.records import dataclass
from advisor.tables import OptionalText, Record

SEPARATOR = ";"
Key = tuple[str, str]
"""Provider and name of a machine."""


@dataclass(frozen=True, slots=True)
class Processor:
    """Processor that runs the virtual processors of a machine. None is unknown."""

    name: str
    """Maker, model and generation, for people."""
    accelerator: OptionalText
    """Key of the accelerator table, which has its peaks; "" where that has none of this processor."""
    socket_cores: int | None
    """Cores of one socket, as sold to customers."""
    flags: tuple[str, ...]
    """Instruction sets for inference, sorted: AMX_BF16, AVX512_BF16, SVE2, VNNI, ..."""
    provenance: Provenance
    """Of name and flags."""


@dataclass(frozen=True, slots=True)
class CpuInstance:
    """A machine without an accelerator that a provider sells. None is unknown."""

    provider: str
    name: str
    vcpus: int
    cores: int | None
    """Physical cores."""
    memory_gib: float
    cpu_architecture: str
    """x86_64 or arm64."""
    network_gbit_per_second: float | None
    processor: Processor
    provenance: Provenance
    """Of the shape."""

    @property
    def sockets(self) -> float | None:
        """Sockets to four digits, a fraction for a part of one; None where cores or those of a socket are unknown."""
        if self.cores is None or self.processor.socket_cores is None:
            return None
        return round(self.cores / self.processor.socket_cores, 4)


def read_cpu_instances(sources: Sources) -> dict[Key, CpuInstance]:
    """Machines by provider and name.

    Facts that may only be passed on under CC-BY-SA-4.0 are in files of their own; without them their machines are
    unknown. Raises InputError if a table cannot be read, or a machine has no processor.
    """
    processors = {key: processor for row in _rows(sources, "cpu_processors") for key, processor in _of(row, sources)}
    networks = dict(_networks(sources))
    machines = (_machine(row, processors, networks, sources) for row in _rows(sources, "cpu_instances"))
    return {(machine.provider, machine.name): machine for machine in machines}


def _rows(sources: Sources, table: str) -> Iterator[Record]:
    for name in (table, f"{table}_cc_by_sa"):
        yield from sources.rows(name)


def _of(row: Record, sources: Sources) -> Iterator[tuple[Key, Processor]]:
    """The processor of a row, by each machine that has it."""
    processor = sources.value(Processor, row, name=row.text("processor"), flags=row.words("cpu_flags"))
    for name in row.text("instance_types").split(SEPARATOR):
        yield (row.text("provider"), name), processor


def _networks(sources: Sources) -> Iterator[tuple[Key, float]]:
    """Network rate of each machine in Gbit/s, of those whose provider states one."""
    for row in sources.rows("cpu_networks"):
        for name in row.text("instance_types").split(SEPARATOR):
            yield (row.text("provider"), name), row.number("network_gbit_per_second")


def _machine(
    row: Record, processors: Mapping[Key, Processor], networks: Mapping[Key, float], sources: Sources
) -> CpuInstance:  # fmt: skip
    key = row.text("provider"), row.text("name")
    if key not in processors:
        row.fail("name", f"'{key[1]}' has no processor in cpu_processors.csv")
    return sources.value(CpuInstance, row, processor=processors[key], network_gbit_per_second=networks.get(key))


@dataclass(frozen=True, eq=False)
class Catalog(EngineTables):
    """Facts of one directory of tables."""

    @cached_property
    def instance_types(self) -> Mapping[tuple[str, str], InstanceType]:
        """Machines by (provider, name)."""
        return readers.read_instance_types(self.sources)

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """Every machine in every region that sells it, priced or not, and those that were withdrawn."""
        return readers.read_offers(self.sources)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Providers that sell an accelerated machine."""
        return tuple(dict.fromkeys(provider for provider, _ in self.instance_types))

    def instance_type(self, provider: str, name: str) -> InstanceType:
        """One machine. Raises InputError if the provider or the type is unknown, with the nearest names."""
        instance_type = self.instance_types.get((provider, name))
        if instance_type is None:
            names = [names for owner, names in self.instance_types if owner == provider]
            if not names:
                raise InputError(f"unknown provider: '{provider}'", hint=suggestion(provider, self.providers))
            raise InputError(f"unknown instance type of {provider}: '{name}'", hint=suggestion(name, names))
        return instance_type

    def offers_in(
        self, providers: Collection[str] = (), regions: Collection[str] = (), *, withdrawn: bool = False
    ) -> tuple[Offer, ...]:
        """Offers of these providers in these regions, empty meaning all; *withdrawn*: those not sold any more too."""
        wanted_providers, wanted_regions = set(providers), set(regions)
        return tuple(
            offer
            for offer in self.offers
            if (not wanted_providers or offer.provider in wanted_providers)
            and (not wanted_regions or offer.region in wanted_regions)
            and (withdrawn or not offer.withdrawn)
        )

    def offer(self, provider: str, region: str, instance_type: str) -> Offer | None:
        """The offer of one place, withdrawn or not; None where the type was never known to be sold there."""
        return self._offer_by_place.get((provider, region, instance_type))

    @cached_property
    def _offer_by_place(self) -> Mapping[tuple[str, str, str], Offer]:
        """The first offer of each place."""
        return {(offer.provider, offer.region, offer.instance_type): offer for offer in reversed(self.offers)}

    cpu_instances = table(read_cpu_instances)
    """Machines without an accelerator by (provider, name): plans of models that answer in one pass may use them."""

    def cpu_offers(self, provider: str, instance_type: str = "") -> tuple[Offer, ...]:
        """Machines of a provider without an accelerator, all or of one type, by region; None: it has no table."""
        path = self.directory / "cpu_prices" / f"{provider}.csv"
        return readers.read_price_table(path, provider, self.sources, {}, instance_type) if path.is_file() else ()

    def price(self, offer: Offer, purchase: Purchase) -> Price | None:
        """Price of an offer when paid for in this way; None when that is unknown."""
        if purchase is not Purchase.COMMITMENT:
            return offer.price(purchase)
        commitment = next(iter(self.current_commitments(offer)), None)
        return None if commitment is None else Price(commitment.usd_per_hour, commitment.provenance)

    def current_commitments(self, offer: Offer) -> tuple[CommitmentPrice, ...]:
        """Commitments that can be bought: discounts that are known to have changed since are not an offer."""
        return tuple(price for price in self.commitments(offer) if price.provenance.quality is not Quality.STALE)

    def zones(self, provider: str, region: str, instance_type: str) -> ZoneSupply:
        """Availability zones that sell a type in a region; those of the region, unverified, where that is unknown."""
        place, supplies = (provider, region, instance_type), self._zone_supplies
        if place not in supplies:
            supplies[place] = supply_of(self._zone_table, *place)
        return supplies[place]

    def with_offers(self, offers: Iterable[Offer]) -> "Catalog":
        """The same facts with other offers."""
        other = copy.copy(self)
        other.__dict__["offers"] = tuple(offers)
        other.__dict__.pop("_price_dates", None)
        return other

    def with_machines(
        self,
        accelerators: Mapping[str, Accelerator],
        instance_types: Mapping[tuple[str, str], InstanceType],
        offers: Iterable[Offer],
    ) -> "Catalog":
        """The same facts with more machines, their accelerators and their offers."""
        other = self.with_offers((*self.offers, *offers))
        names = {normalised(name): name for name in accelerators}
        other.__dict__.update(
            accelerators={**self.accelerators, **accelerators},
            _accelerator_names={**self._accelerator_names, **names},
            instance_types={**self.instance_types, **instance_types},
        )
        other.__dict__.pop("_offer_by_place", None)
        return other

    def as_locked(
        self,
        commitments: Mapping[Offer, tuple[CommitmentPrice, ...]],
        zones: Mapping[readers.Place, ZoneSupply],
        content_hash: str,
        as_of: str,
    ) -> "Catalog":
        """The same facts with these offers alone, at these commitments and in these zones; others as this catalog says.

        *content_hash* and *as_of* are those of the catalog that the offers come from.
        """
        other = self.with_offers(commitments)
        other.__dict__.update(
            cpu_instances={key: cpu for key, cpu in self.cpu_instances.items() if key in self.instance_types},
            _commitment_prices=dict(commitments),
            _zone_supplies=dict(zones),
            content_hash=content_hash,
            _price_dates=frozenset({as_of}),
        )
        return other

    def regions_of(self, provider: str) -> tuple[str, ...]:
        """Names of the provider's regions, sorted."""
        return tuple(sorted(name for owner, name in self.regions if owner == provider))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the names and the bytes of all tables: the same facts give the same hash."""
        digest = hashlib.sha256()
        for path in sorted(self.directory.rglob("*.csv"), key=lambda path: path.relative_to(self.directory).as_posix()):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.directory).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    @property
    def as_of(self) -> str:
        """Date of the newest price."""
        return max(self._price_dates, default="")

    @property
    def overlay_path(self) -> Path | None:
        """Path of the user's own prices and terms, which no price list knows; None where there is none."""
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that the user has to know of."""
        return ()

    @cached_property
    def _price_dates(self) -> frozenset[str]:
        prices = (price for offer in self.offers for price in (offer.on_demand, offer.spot))
        return frozenset(price.provenance.as_of for price in prices if price is not None)

    @cached_property
    def _zone_table(self) -> Zones:
        return read_zones(self.directory / "zones.csv", self.sources)

    @cached_property
    def _zone_supplies(self) -> dict[readers.Place, ZoneSupply]:
        """Supplies asked for so far."""
        return {}
