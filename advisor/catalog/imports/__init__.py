"""Price lists that other programs keep, read by their own packages: a layer below what a provider answers itself.

Here are these lists in one form, and as rows of ours: under our names, or left out by name.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum

from advisor.catalog.catalog import Catalog
from advisor.catalog.refresh.values import SAME_MEMORY_RATIO, MachineRow, PriceRow, Row, Sold
from advisor.catalog.values import Accelerator, Purchase
from advisor.errors import InputError
from advisor.names import is_type_name, normalised
from advisor.records import dataclass, field

PROVIDERS: Mapping[str, str] = {
    "aws": "aws", "azure": "azure", "gcp": "gcp", "lambdalabs": "lambda", "nebius": "nebius", "oci": "oracle",
    "runpod": "runpod", "verda": "verda",
}  # fmt: skip
"""gpuhunt's name → ours."""

SKYPILOT_PROVIDERS: Mapping[str, str] = {
    "aws": "aws", "azure": "azure", "gcp": "gcp", "do": "digitalocean", "hyperstack": "hyperstack", "ibm": "ibm",
    "lambda": "lambda", "nebius": "nebius", "oci": "oracle", "verda": "verda",
}  # fmt: skip
"""SkyPilot's name → ours."""

_NOWHERE = "global"
"""Region of providers of which the catalog knows no region."""
_OTHERWISE_PAID = ("gcp-dws-calendar-mode", "runpod-cluster")
"""Flags of offers that are neither on demand nor spot: reserved for days to come, or by the cluster."""
_ZONE = re.compile(r"-[a-z]$")
_FORMS = ("sxm", "pcie", "nvl")


class Reason(StrEnum):
    """Why a row is left out."""

    PROVIDER = "provider"
    """The catalog does not know the provider."""
    REGION = "region"
    ACCELERATOR = "accelerator"
    """The catalog does not know it, or several of that name."""
    TYPE = "type"
    """A type that is not made up here, such as one more machine to attach accelerators to."""
    CONTRADICTION = "contradiction"
    """It has another number of accelerators in the catalog."""
    OTHERWISE_PAID = "otherwise_paid"
    NO_ACCELERATOR = "no_accelerator"
    IMPLAUSIBLE = "implausible"
    """Spot above on demand, or of nearly nothing."""
    UNREADABLE = "unreadable"
    """The package could not read it."""
    PART = "part"
    """The price of a machine without its accelerators or disks, or of these alone."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not taken."""

    reason: Reason
    what: str
    """What the catalog does not know, or where it contradicts."""


@dataclass(frozen=True, slots=True)
class Item:
    """A price of a machine in a place, as the program lists it. None is unknown."""

    instance_name: str
    location: str
    usd_per_hour: float
    """Zero, negative or not a number where it is sold at an unknown price."""
    is_spot: bool
    accelerator_name: str | None
    accelerator_count: float
    """0 where it has none."""
    accelerator_memory_gb: float | None
    vcpus: int | None
    is_arm: bool
    flags: tuple[str, ...] = ()
    zones_usd_per_hour: tuple[float, float] | None = None
    """Lowest and highest price of its zones, where these are listed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """List of one provider by a program."""

    provider: str
    """Our name; "" where the catalog does not know it."""
    named: str
    """As the program names it."""
    items: tuple[Item, ...]
    as_of: str
    """ISO date of the list."""
    source: str
    """Title of the source."""
    left_out: tuple[LeftOut, ...] = ()
    """Rows that the reader did not make an item of."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A listing in our words."""

    provider: str
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    """One for each row of the program."""
    read: int
    """Rows of the program in all."""
    as_of: str
    source: str
    spot_zones: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest spot price of the zones by region and type, where the program lists them."""


def mapped(listing: Listing, catalog: Catalog) -> Mapped:
    """The rows of a listing that the catalog can take; each of the others with its reason."""
    count = len(listing.items) + len(listing.left_out)
    if not listing.provider:
        unknown = (LeftOut(Reason.PROVIDER, listing.named),) * count
        return Mapped(listing.named, (), unknown, count, listing.as_of, listing.source)
    mapper = _Mapper(catalog, listing.provider, listing.as_of)
    pairs = [(item, mapper.row_of(item)) for item in listing.items]
    rows = tuple(dict.fromkeys(row for _, rows in pairs if not isinstance(rows, LeftOut) for row in rows))
    left_out = (*listing.left_out, *(left_out for _, left_out in pairs if isinstance(left_out, LeftOut)))
    zones = {
        (row.region, row.instance_type): item.zones_usd_per_hour
        for item, rows in pairs
        if not isinstance(rows, LeftOut) and item.is_spot and item.zones_usd_per_hour is not None
        for row in rows
        if isinstance(row, PriceRow)
    }
    return Mapped(listing.provider, rows, left_out, count, listing.as_of, listing.source, zones)


class _Mapper:
    """Maps the rows of one provider."""

    def __init__(self, catalog: Catalog, provider: str, as_of: str) -> None:
        self._catalog, self._provider, self._as_of = catalog, provider, as_of
        self._regions = frozenset(catalog.regions_of(provider))
        types = [machine for (owner, _), machine in catalog.instance_types.items() if owner == provider]
        self._types = {machine.name: machine for machine in types}
        self._sold = frozenset(machine.accelerator for machine in types)

    def row_of(self, item: Item) -> tuple[Row, ...] | LeftOut:
        """The rows that one row of the program comes to."""
        name, region = self._type_of(item), self._region_of(item.location)
        if set(item.flags) & set(_OTHERWISE_PAID):
            return LeftOut(Reason.OTHERWISE_PAID, f"{name}: {' '.join(item.flags)}")
        if name not in self._types and not item.accelerator_count:
            return LeftOut(Reason.NO_ACCELERATOR, name)
        if region not in self._regions:
            return LeftOut(Reason.REGION, item.location)
        machine = self._machine_of(item, name)
        if isinstance(machine, LeftOut):
            return machine
        machines = () if machine is None else (machine,)
        if not (math.isfinite(item.usd_per_hour) and item.usd_per_hour > 0):
            # Sold, price unknown; where a price is known already this says nothing against it.
            return (*machines, Sold(region, name))
        purchase = Purchase.SPOT if item.is_spot else Purchase.ON_DEMAND
        return (*machines, PriceRow(region, name, purchase.value, item.usd_per_hour, self._as_of))

    def _type_of(self, item: Item) -> str:
        name = item.instance_name
        match self._provider:
            case "nebius":
                return name.replace(" ", "_")
            case "runpod":
                return f"{name} {item.accelerator_count:g}x"
            case "gcp" if name.startswith("n1-") and "+" not in name and item.accelerator_count:
                return f"{name}+{item.accelerator_count:g}x{item.accelerator_name}"
        return name

    def _region_of(self, location: str) -> str:
        if self._regions == {_NOWHERE}:
            return _NOWHERE
        return _ZONE.sub("", location) if self._provider == "gcp" else location

    def _machine_of(self, item: Item, name: str) -> MachineRow | LeftOut | None:
        """None for a type that the catalog knows."""
        instance_type = self._types.get(name)
        if instance_type is not None:
            whole = instance_type.accelerator_count or 0
            if whole >= 1 and item.accelerator_count and item.accelerator_count != whole:
                words = f"{name}: {item.accelerator_count:g} × {item.accelerator_name}, in the catalog {whole:g}"
                return LeftOut(Reason.CONTRADICTION, words)
            return None
        if "+" in name or not is_type_name(name):
            return LeftOut(Reason.TYPE, name)
        accelerator = self._accelerator_of(item)
        if accelerator is None:
            memory = "" if item.accelerator_memory_gb is None else f" of {item.accelerator_memory_gb:g} GB"
            return LeftOut(Reason.ACCELERATOR, f"{item.accelerator_name}{memory} ({name})")
        return MachineRow(
            instance_type=name,
            accelerator=accelerator.name,
            accelerator_count=item.accelerator_count,
            accelerator_memory_gib=item.accelerator_memory_gb,
            vcpus=item.vcpus,
            memory_gib=None,  # gpuhunt has GB of some providers and GiB of others
            network_gbit_per_second=None,
            local_nvme_gb=None,
            cpu_architecture="arm64" if item.is_arm else "x86_64",
        )

    def _accelerator_of(self, item: Item) -> Accelerator | None:
        """The one accelerator that it can be: by its name and memory, the name of the type, what the provider sells."""
        memory = item.accelerator_memory_gb
        if not item.accelerator_name or not memory:
            return None
        stated = self._catalog.known_accelerator(item.instance_name)
        named = [stated] if stated else list(self._named(item.accelerator_name))
        fitting = [
            accelerator
            for accelerator in named
            if math.isclose(accelerator.memory_gib, memory, rel_tol=SAME_MEMORY_RATIO)
        ]
        form = next((form_factor for form_factor in _FORMS if form_factor in normalised(item.instance_name)), None)
        if form is not None and len(fitting) > 1:
            fitting = [accelerator for accelerator in fitting if form in normalised(accelerator.name)]
        if len(fitting) > 1:
            fitting = [accelerator for accelerator in fitting if accelerator.name in self._sold]
        return fitting[0] if len(fitting) == 1 else None

    def _named(self, name: str) -> Iterable[Accelerator]:
        exact = self._catalog.known_accelerator(name)
        accelerators = {} if exact is None else {exact.name: exact}
        with suppress(InputError):
            accelerators |= {variant.name: variant for variant in self._catalog.accelerator_variants(name)}
        return accelerators.values()


def by_reason(left_out: Iterable[LeftOut]) -> Iterator[tuple[Reason, int, tuple[str, ...]]]:
    """Reason, rows, and what they are of, each once and sorted."""
    by_reason: dict[Reason, list[str]] = {}
    for item in left_out:
        by_reason.setdefault(item.reason, []).append(item.what)
    for reason in Reason:
        if reason in by_reason:
            yield reason, len(by_reason[reason]), tuple(sorted(set(by_reason[reason])))
