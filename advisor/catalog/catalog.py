"""The catalog as one frozen value: everything by name, each table read when it is first asked for."""

import copy
import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path

from packaging.version import Version

from advisor.catalog import readers
from advisor.catalog.cpu import CpuInstance, read_cpu_instances
from advisor.catalog.deployment import DeploymentFacts, read_deployment_facts
from advisor.catalog.one_pass_engines import OnePassEngine, read_engine_gaps, read_one_pass_engines
from advisor.catalog.partitions import Partition, read_partitions
from advisor.catalog.planning import CommitmentPrice, Fact
from advisor.catalog.planning_tables import PlanningTables
from advisor.catalog.releases import Releases, at_version, planned, read_releases, version_of, within
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType, Offer, Price, Purchase, Quality
from advisor.catalog.zones import Zones, ZoneSupply, read_zones, supply_of
from advisor.errors import InputError
from advisor.names import architecture_key, normalised, suggestion
from advisor.records import dataclass, replace

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
class Catalog(PlanningTables):
    """Facts of one directory of tables."""

    @cached_property
    def accelerators(self) -> Mapping[str, Accelerator]:
        """Accelerators by name."""
        return readers.read_accelerators(self.directory, self._sources)

    @cached_property
    def instance_types(self) -> Mapping[tuple[str, str], InstanceType]:
        """Machines by (provider, name)."""
        return readers.read_instance_types(self.directory, self._sources)

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """Every machine in every region that sells it, priced or not, and those that were withdrawn."""
        return readers.read_offers(self.directory, self._sources)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Providers that sell an accelerated machine."""
        return tuple(dict.fromkeys(provider for provider, _ in self.instance_types))

    def accelerator(self, name: str) -> Accelerator:
        """The accelerator of a name or an alias, however it is spelled.

        Raises:
            InputError: there is none, with the nearest names.
        """
        accelerator = self.known_accelerator(name)
        if accelerator is None:
            raise InputError(f"unknown accelerator: '{name}'", hint=suggestion(name, tuple(self.accelerators)))
        return accelerator

    def known_accelerator(self, name: str) -> Accelerator | None:
        """The accelerator of a name or an alias; None where there is none."""
        known = self._accelerator_names.get(normalised(name))
        return None if known is None else self.accelerators[known]

    def accelerator_variants(self, name: str) -> tuple[Accelerator, ...]:
        """The accelerator of that name; for a bare ``A100`` or ``H100-80GB`` every variant of it, or of that memory.

        Raises:
            InputError: there is none, with the nearest names.
        """
        wanted = normalised(name)
        if wanted not in {normalised(known) for known in self.accelerators}:
            family = [part for part in self.accelerators.values() if wanted in _shared_names(part.name)]
            if family:
                return tuple(family)
        accelerator = self.accelerator(name)
        kin = normalised(accelerator.name.split("-")[0])
        if wanted == normalised(accelerator.name) or not re.fullmatch(f"{kin}[0-9]+gb", wanted):
            return (accelerator,)
        return tuple(part for part in self.accelerators.values() if _is_alike(part, accelerator))

    def instance_type(self, provider: str, name: str) -> InstanceType:
        """One machine.

        Raises:
            InputError: the provider or the type is unknown, with the nearest names.
        """
        instance_type = self.instance_types.get((provider, name))
        if instance_type is None:
            known = [known for owner, known in self.instance_types if owner == provider]
            if not known:
                raise InputError(f"unknown provider: '{provider}'", hint=suggestion(provider, self.providers))
            raise InputError(f"unknown instance type of {provider}: '{name}'", hint=suggestion(name, known))
        return instance_type

    def offers_in(
        self, providers: Collection[str] = (), regions: Collection[str] = (), *, withdrawn: bool = False
    ) -> tuple[Offer, ...]:
        """Offers of these providers in these regions; an empty collection means all of them.

        Args:
            providers: names.
            regions: as the providers spell them.
            withdrawn: also what is not sold there any more.
        """
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

    @cached_property
    def cpu_instances(self) -> Mapping[tuple[str, str], CpuInstance]:
        """Machines without an accelerator by (provider, name): plans of models that answer in one pass may use them."""
        return read_cpu_instances(self.directory, self._sources)

    def cpu_offers(self, provider: str, instance_type: str = "") -> tuple[Offer, ...]:
        """Machines of a provider without an accelerator, all or of one type, in each region that sells them.

        None where the provider has no table.
        """
        path = self.directory / "cpu_prices" / f"{provider}.csv"
        return readers.read_price_table(path, provider, self._sources, {}, instance_type) if path.is_file() else ()

    def price(self, offer: Offer, purchase: Purchase) -> Price | None:
        """Price of an offer when paid for in this way; None when that is unknown."""
        if purchase is not Purchase.COMMITMENT:
            return offer.price(purchase)
        commitment = next(iter(self.current_commitments(offer)), None)
        return None if commitment is None else Price(commitment.usd_per_hour, commitment.provenance)

    def current_commitments(self, offer: Offer) -> tuple[CommitmentPrice, ...]:
        """Commitments that can be bought: discounts that are known to have changed since are no offer."""
        return tuple(price for price in self.commitments(offer) if price.provenance.quality is not Quality.STALE)

    def zones(self, provider: str, region: str, instance_type: str) -> ZoneSupply:
        """Availability zones that sell a type in a region; those of the region, unverified, where that is unknown."""
        place, known = (provider, region, instance_type), self._zone_supplies
        if place not in known:
            known[place] = supply_of(self._zone_table, *place)
        return known[place]

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
        """The same facts with these offers alone, at these commitments and in these zones.

        Args:
            commitments: the offers, each with its prices under commitments.
            zones: availability zones of offers; for others, what this catalog says.
            content_hash: of the catalog that they come from.
            as_of: date of the catalog that they come from.
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

    def engine_support(self, accelerator: str, precision: str) -> tuple[EngineSupport, ...]:
        """Support of each engine for a precision on an accelerator, the preferred engine first.

        Each in its newest release that serves it, within :meth:`plannable_releases`.
        """
        key = self.accelerator(accelerator).name, precision
        if key not in self._planned_support:
            rows = self._support_by_engine(*key)
            self._planned_support[key] = tuple(self._planned(engine, key[0], ranges) for engine, ranges in rows.items())
        return self._planned_support[key]

    def preferred_engine(self, accelerator: str, precision: str, engine: str = "") -> EngineSupport | None:
        """The engine that serves a precision on an accelerator where none is stated, in the release that plans take.

        Args:
            accelerator: its name.
            precision: of the weights.
            engine: only this one; "" for any.
        """
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
        """Final releases that a plan may take, oldest first: their options were read, and they have an image.

        Empty for engines whose releases are not listed.
        """
        key = engine, vendor
        if key not in self._plannable:
            limits = (self.deployment.words(engine, limit) for limit in ("oldest_release", f"newest_image_{vendor}"))
            self._plannable[key] = within(self.releases.of(engine), *("".join(words) for words in limits))
        return self._plannable[key]

    @cached_property
    def releases(self) -> Releases:
        """Releases of engines."""
        return read_releases(self.directory / "engine_releases.csv", self._sources)

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
        return dict(sorted(grouped.items(), key=lambda item: _preference(item[0])))

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

    @cached_property
    def one_pass_engines(self) -> tuple[OnePassEngine, ...]:
        """Servers of models that answer in one pass, and of language models in files, the preferred ones first."""
        return tuple(read_one_pass_engines(self.directory, self._sources))

    @cached_property
    def engine_gaps(self) -> Mapping[tuple[str, str], str]:
        """Vendor of accelerators and unit of requests → why no server is known beyond those of the catalog."""
        return read_engine_gaps(self.directory)

    @cached_property
    def generated_units(self) -> frozenset[str]:
        """Units of models that answer in one pass of which code is generated for some server."""
        return frozenset(unit for server in self.one_pass_engines if server.release for unit in server.units)

    def machine_start(self, provider: str, instance_type: str) -> Fact | None:
        """Start of a machine as generated code orders it; None: it starts as others of its kind."""
        return self.cold_start.machine(provider, instance_type, self.deployment.target(provider, instance_type))

    @cached_property
    def deployment(self) -> DeploymentFacts:
        """Facts that decide for what code can be generated."""
        return read_deployment_facts(self.directory, self._sources)

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
        return read_zones(self.directory / "zones.csv", self._sources)

    @cached_property
    def _zone_supplies(self) -> dict[readers.Place, ZoneSupply]:
        """Supplies asked for so far."""
        return {}

    @cached_property
    def _partitions(self) -> Mapping[str, tuple[Partition, ...]]:
        return read_partitions(self.directory, self._sources)

    @cached_property
    def _accelerator_names(self) -> dict[str, str]:
        return readers.read_accelerator_names(self.directory, dict(self.accelerators))

    @cached_property
    def _engine_support(self) -> dict[tuple[str, str], tuple[EngineSupport, ...]]:
        """Rows by hardware and precision, those of one engine together."""
        grouped: dict[tuple[str, str], list[EngineSupport]] = {}
        for row in readers.read_engine_support(self.directory, self._sources):
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
        for engine, accelerator, model, family, status in readers.read_engine_models(self.directory):
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


def _preference(engine: str) -> int:
    return _ENGINE_PREFERENCE.index(engine) if engine in _ENGINE_PREFERENCE else len(_ENGINE_PREFERENCE)
