"""The catalog as one frozen value: machines, offers, accelerators and engines, each table read when first asked for."""

import copy
import hashlib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path

from packaging.version import Version

from advisor.catalog import readers
from advisor.catalog.deployment import read_deployment_facts
from advisor.catalog.geography import Zones, ZoneSupply, read_zones, supply_of
from advisor.catalog.one_pass_engines import (
    OnePassEngine,
    Releases,
    at_version,
    planned,
    read_engine_gaps,
    read_one_pass_engines,
    read_releases,
    version_of,
    within,
)
from advisor.catalog.planning import CommitmentPrice, Fact
from advisor.catalog.planning_tables import PlanningTables
from advisor.catalog.readers import Sources, table
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType, Offer, Price, Provenance, Purchase, Quality
from advisor.errors import InputError
from advisor.names import architecture_key, normalised, suggestion
from advisor.records import dataclass, replace
from advisor.tables import OptionalText, Record


@dataclass(frozen=True, slots=True)
class Partition:
    """One profile that an accelerator can be cut into, all slices alike and isolated from each other."""

    accelerator: str
    profile: str
    """As the vendor names it: 1g.10gb."""
    compute_share: float
    """Multiprocessors of a slice ÷ those of the uncut accelerator, some of which no slice gets."""
    bandwidth_share: float
    """Memory slices ÷ those of the accelerator: bandwidth is cut with the memory."""
    memory_gib: float
    per_accelerator: int
    """Most slices of the profile at a time."""
    providers: tuple[str, ...]
    """Those known to hand the accelerator over uncut, so that a machine's owner can cut it."""
    provenance: Provenance

    @property
    def name(self) -> str:
        """Name in plans: mig-1g.10gb."""
        return f"mig-{self.profile}"


def read_partitions(sources: Sources) -> Mapping[str, tuple[Partition, ...]]:
    """Profiles of each accelerator that can be cut, the least memory first."""
    by_accelerator: dict[str, list[Partition]] = {}
    for row in sources.rows("partitions"):
        partition = sources.value(
            Partition,
            row,
            compute_share=row.number("multiprocessors") / row.number("of_multiprocessors"),
            bandwidth_share=row.number("memory_slices") / row.number("of_memory_slices"),
            providers=tuple(row.text("providers").split()),
        )
        by_accelerator.setdefault(partition.accelerator, []).append(partition)
    return {
        name: tuple(sorted(profiles, key=lambda partition: (partition.memory_gib, partition.compute_share)))
        for name, profiles in by_accelerator.items()
    }


def share_of(accelerator: Accelerator, name: str, share: float) -> Accelerator:
    """Equal share of an accelerator: memory, bandwidth and arithmetic in the same proportion."""
    return _part(accelerator, name, (share, share), accelerator.memory_gib * share)


def slice_of(accelerator: Accelerator, partition: Partition) -> Accelerator:
    """One slice of an accelerator."""
    shares = (partition.compute_share, partition.bandwidth_share)
    return _part(accelerator, partition.name, shares, partition.memory_gib)


def _part(accelerator: Accelerator, name: str, shares: tuple[float, float], memory_gib: float) -> Accelerator:
    """Part under a name of its own: what was measured on the whole accelerator was not measured on a part."""
    compute, bandwidth = shares

    def part(whole: float | None) -> float | None:
        return None if whole is None else whole * compute

    return replace(
        accelerator,
        name=f"{accelerator.name} {name}",
        memory_gib=memory_gib,
        memory_bandwidth_gb_per_second=accelerator.memory_bandwidth_gb_per_second * bandwidth,
        fp32_tflops=part(accelerator.fp32_tflops),
        fp16_tflops=part(accelerator.fp16_tflops),
        fp8_tflops=part(accelerator.fp8_tflops),
        int8_tops=part(accelerator.int8_tops),
        fp4_tflops=part(accelerator.fp4_tflops),
        link_gb_per_second=part(accelerator.link_gb_per_second),
    )


_ENGINE_PREFERENCE = ("vLLM-NxDI", "vLLM-Neuron", "vLLM-Gaudi", "vLLM-TPU", "vLLM", "TensorRT-LLM", "SGLang")
"""The vendor's own vLLM first: it is the one whose deployment we write."""
_SAME_MEMORY_RATIO = 0.02
"""Usable memory of variants that are sold with the same differs by so much at most."""
_UNLISTED = "untested"
_TOKENS = "tokens"
"""Unit of requests that are answered token by token."""
_SERVER = "server"
"""End of an engine's name that may be left out."""


@dataclass(frozen=True, eq=False)
class EngineTables(PlanningTables):
    """Accelerators, releases of engines, and what each engine serves on which."""

    accelerators = table(readers.read_accelerators)
    """Accelerators by name."""

    def accelerator(self, name: str) -> Accelerator:
        """The accelerator of a name or an alias. Raises InputError if there is none, with the nearest names."""
        accelerator = self.known_accelerator(name)
        if accelerator is None:
            raise InputError(f"unknown accelerator: '{name}'", hint=suggestion(name, tuple(self.accelerators)))
        return accelerator

    def known_accelerator(self, name: str) -> Accelerator | None:
        """The accelerator of a name or an alias; None where there is none."""
        canonical = self._accelerator_names.get(normalised(name))
        return None if canonical is None else self.accelerators[canonical]

    def accelerator_variants(self, name: str) -> tuple[Accelerator, ...]:
        """The accelerator of that name; for a bare ``A100`` or ``H100-80GB`` every variant of it, or of that memory.

        Raises InputError if there is none, with the nearest names.
        """
        wanted = normalised(name)
        if wanted not in {normalised(other) for other in self.accelerators}:
            family = [part for part in self.accelerators.values() if wanted in _shared_names(part.name)]
            if family:
                return tuple(family)
        accelerator = self.accelerator(name)
        kin = normalised(accelerator.name.split("-")[0])
        if wanted == normalised(accelerator.name) or not re.fullmatch(f"{kin}[0-9]+gb", wanted):
            return (accelerator,)
        return tuple(part for part in self.accelerators.values() if _is_alike(part, accelerator))

    def engine_support(self, accelerator: str, precision: str) -> tuple[EngineSupport, ...]:
        """Support of each engine for a precision on an accelerator, the preferred engine first.

        Each in its newest release that serves it, within :meth:`plannable_releases`.
        """
        key = accelerator, precision
        if key not in self._planned_support:
            name = self.accelerator(accelerator).name
            rows = self._support_by_engine(name, precision)
            self._planned_support[key] = tuple(self._planned(engine, name, ranges) for engine, ranges in rows.items())
        return self._planned_support[key]

    def preferred_engine(self, accelerator: str, precision: str, engine: str = "") -> EngineSupport | None:
        """The engine that serves a precision on an accelerator where none is stated, in the release that plans take."""
        rows = self.engine_support(accelerator, precision)
        return next((row for row in rows if row.serves and engine.lower() in ("", row.engine.lower())), None)

    def engine_support_at(self, accelerator: str, precision: str, version: str) -> tuple[EngineSupport, ...]:
        """Support of that release of each engine; the planned one where the version is none by PEP 440."""
        asked = version_of(version)
        if asked is None:
            return self.engine_support(accelerator, precision)
        rows = self._support_by_engine(self.accelerator(accelerator).name, precision).values()
        engine_supports = (at_version(ranges, asked) for ranges in rows)
        return tuple(replace(row, engine_version=version) for row in engine_supports if row is not None)

    def plannable_releases(self, engine: str, vendor: str) -> tuple[Version, ...]:
        """Final releases with options read and an image, oldest first; empty for engines that list none."""
        key = engine, vendor
        if key not in self._plannable:
            limits = (self.deployment.words(engine, limit) for limit in ("oldest_release", f"newest_image_{vendor}"))
            self._plannable[key] = within(self.releases.of(engine), *("".join(words) for words in limits))
        return self._plannable[key]

    @cached_property
    def releases(self) -> Releases:
        """Releases of engines."""
        return read_releases(self.directory / "engine_releases.csv", self.sources)

    @property
    def engines(self) -> tuple[str, ...]:
        """Serving engines that the catalog knows, sorted."""
        return tuple(sorted(self.generating_engines | {server.engine for server in self.one_pass_engines}))

    def units_of_engine(self, engine: str) -> frozenset[str]:
        """Units of the requests that an engine serves; empty: it is not known."""
        of_whole_answers = {
            unit for server in self.one_pass_engines if server.engine == engine for unit in server.units
        }
        return frozenset(of_whole_answers | ({_TOKENS} if engine in self.generating_engines else set()))

    def engine_named(self, name: str) -> str:
        """Name of an engine as the catalog has it, with or without ``server`` at its end; *name* of an unknown one."""
        names = {normalised(engine).removesuffix(_SERVER): engine for engine in self.engines}
        return names.get(normalised(name).removesuffix(_SERVER), name)

    @cached_property
    def generating_engines(self) -> frozenset[str]:
        """Serving engines that answer token by token."""
        return frozenset(row.engine for rows in self._engine_support.values() for row in rows)

    def _support_by_engine(self, accelerator: str, precision: str) -> dict[str, tuple[EngineSupport, ...]]:
        """Rows of each engine, the preferred engine first; those of the accelerator, else of its architecture."""
        grouped: dict[str, tuple[EngineSupport, ...]] = {}
        for hardware in (self.accelerators[accelerator].architecture, accelerator):
            rows = self._engine_support.get((hardware, precision), ())
            grouped |= {engine: tuple(ranges) for engine, ranges in groupby(rows, key=lambda row: row.engine)}
        ranks = {engine: rank for rank, engine in enumerate(_ENGINE_PREFERENCE)}
        return dict(sorted(grouped.items(), key=lambda item: ranks.get(item[0], len(ranks))))

    def _planned(self, engine: str, accelerator: str, rows: tuple[EngineSupport, ...]) -> EngineSupport:
        fixed = "".join(self.deployment.words(engine, "release"))
        return planned(rows, self.plannable_releases(engine, self.accelerators[accelerator].vendor), fixed)

    def partitions(self, accelerator: str) -> tuple[Partition, ...]:
        """Profiles that an accelerator can be cut into, the least memory first; none where it cannot."""
        return self._partitions.get(accelerator, ())

    def one_pass_engine(self, engine: str, vendor: str) -> OnePassEngine | None:
        """A server of models that answer in one pass on a vendor's accelerators; None of an engine that generates."""
        return self._servers.get((engine, vendor))

    def token_server(self, engine: str, vendor: str) -> OnePassEngine | None:
        """A server of files of language models on a vendor's accelerators; None of any other engine."""
        return self._token_servers.get((engine, vendor))

    @cached_property
    def _token_servers(self) -> Mapping[tuple[str, str], OnePassEngine]:
        servers = (server for server in reversed(self.one_pass_engines) if server.is_of_tokens)
        return {(server.engine, server.vendor): server for server in servers}

    @cached_property
    def _servers(self) -> Mapping[tuple[str, str], OnePassEngine]:
        servers = (server for server in self.one_pass_engines if not server.is_of_tokens)
        return {(server.engine, server.vendor): server for server in servers}

    one_pass_engines = table(read_one_pass_engines)
    """Servers of models that answer in one pass, and of language models in files, the preferred ones first."""

    engine_gaps = table(read_engine_gaps)
    """Vendor of accelerators and unit of requests → why no server is known beyond those of the catalog."""

    @cached_property
    def generated_units(self) -> frozenset[str]:
        """Units of models that answer in one pass of which code is generated for some server."""
        return frozenset(unit for server in self.one_pass_engines if server.release for unit in server.units)

    def machine_start(self, provider: str, instance_type: str) -> Fact | None:
        """Start of a machine as generated code orders it; None: it starts as others of its kind."""
        return self.cold_start.machine(provider, instance_type, self.deployment.target(provider, instance_type))

    deployment = table(read_deployment_facts)
    """Facts that decide for what code can be generated."""

    def model_status(self, engine: str, accelerator: str, model_name: str, family: str) -> str | None:
        """Status of a model by an engine's maintainers: supported, validated, untested or not_enough_memory.

        The row of the model itself counts first, then that of its architecture under another name, then that
        of its family. None where the engine keeps no list, because it runs whatever vLLM runs.
        """
        engines, rows = self._engine_models
        if engine not in engines:
            return None
        for key in (model_name, architecture_key(model_name), f"family:{family}"):
            if (engine, accelerator, key) in rows:
                return rows[engine, accelerator, key]
        return _UNLISTED

    _partitions = table(read_partitions)

    @cached_property
    def _accelerator_names(self) -> dict[str, str]:
        return readers.read_accelerator_names(self.sources, self.accelerators)

    @cached_property
    def _engine_support(self) -> dict[tuple[str, str], tuple[EngineSupport, ...]]:
        """Rows by hardware and precision, those of one engine together."""
        grouped: dict[tuple[str, str], list[EngineSupport]] = {}
        for row in self.sources.values(EngineSupport, "engine_support"):
            grouped.setdefault((row.hardware, row.precision), []).append(row)
        return {key: tuple(sorted(rows, key=lambda row: row.engine)) for key, rows in grouped.items()}

    @cached_property
    def _plannable(self) -> dict[tuple[str, str], tuple[Version, ...]]:
        """Versions asked for so far, by engine and vendor."""
        return {}

    @cached_property
    def _planned_support(self) -> dict[tuple[str, str], tuple[EngineSupport, ...]]:
        """Support asked for so far, by accelerator and precision."""
        return {}

    @cached_property
    def _engine_models(self) -> tuple[frozenset[str], dict[tuple[str, str, str], str]]:
        """Engines that keep a list, and the status by (engine, accelerator, model, architecture or family)."""
        rows: dict[tuple[str, str, str], str] = {}
        for engine, accelerator, model, family, status in readers.read_engine_models(self.sources):
            if model:
                rows[engine, accelerator, model] = status
                rows.setdefault((engine, accelerator, architecture_key(model)), status)
            else:
                rows[engine, accelerator, f"family:{family}"] = status
        return frozenset(engine for engine, _, _ in rows), rows


def _shared_names(name: str) -> set[str]:
    """Names that a variant shares with its kin, normalised: of ``A100-80GB-SXM`` those of ``A100``, ``A100-80GB``."""
    parts = name.split("-")
    return {normalised("-".join(parts[:length])) for length in range(1, len(parts))}


def _is_alike(part: Accelerator, other: Accelerator) -> bool:
    """Whether two are variants of one family with the same memory."""
    is_kin = part.name.split("-")[0] == other.name.split("-")[0]
    return is_kin and math.isclose(part.memory_gib, other.memory_gib, rel_tol=_SAME_MEMORY_RATIO)


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
