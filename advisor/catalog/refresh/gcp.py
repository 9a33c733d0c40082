"""Google Cloud: the Cloud Billing Catalog, whose prices are of parts; a machine's price is their sum.

Facts: https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list, and the descriptions of SKUs as the
pricing pages show them, read in November 2026. A machine that has a part without exactly one price stays unpriced: a
wrong SKU is worse than none.

Google Cloud without a key: machine prices that the google-cloud-pricing-cost-calculator sums up and publishes.

Google itself answers no list of prices without a key: the Cloud Billing Catalog asks for one, and the JSON behind the
pricing pages (``gcp-compute.json``) was withdrawn in spring 2026. The calculator (Apache-2.0) asks the Billing Catalog
about once a week and keeps the sums in one YAML file, ``compute.instance.<type>.cost.<region>``, read in November 2026:
``hour``, ``hour_spot`` and ``month_1y``, ``month_3y`` in USD, dated by ``about.timestamp``.

Its traps: it prices a type in every region, sold there or not, and says 0 where a part has no price. So a price is
taken for a pair that is known to be sold, and where it is newer than the one that is known.

Zones are listed by machine type for a project:
https://cloud.google.com/compute/docs/reference/rest/v1/machineTypes/aggregatedList and
.../acceleratorTypes/aggregatedList, read in November 2026.
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client, token_pages
from advisor.catalog.refresh.values import CommittedRow, Origin, PriceRow, Row, Sold, Task, Unreachable, ZoneRow
from advisor.catalog.values import InstanceType, Offer, Quality
from advisor.records import dataclass, field
from advisor.units import HOURS_PER_MONTH

URL = "https://cloudbilling.googleapis.com/v1"
_COMPUTE = "services/6F81-5844-456A"
_PAGE = 5000
_REMEDY = "give an API key that may call the Cloud Billing API: --gcp-api-key-file FILE"
_INSTRUMENT = "Committed use discount"
_MARKETS = {"OnDemand": "on_demand", "Preemptible": "spot", "Commit1Yr": "1", "Commit3Yr": "3"}
_OTHER_GOODS = re.compile(
    r"\b(DWS|Calendar|Reserved|Reservation|Sole Tenancy|Custom|Extended|Overcommit|Flex)\b", re.IGNORECASE
)
_PART = re.compile(
    r"(?:(?:Spot )?Preemptible |Commitment v\d+: )?(?P<family>[A-Z]\d\w*)(?: Predefined)?"
    r" (?:Instance )?(?P<part>Core|Cpu|Ram)\b",
    re.IGNORECASE,
)
_GPU = re.compile(
    r"(?:(?:Spot )?Preemptible |Commitment v\d+: )?(?P<name>(?:A4X? )?Nvidia .+?|Tpu.*?)"
    r"\s+(?:GPU\b|\(|running|in\b|attached|for\b)",
    re.IGNORECASE,
)
_FAMILIES = (
    ("a2-", "A2"), ("a3-megagpu", "A3Plus"), ("a3-ultragpu", "A3Ultra"), ("a3-", "A3"), ("a4x-", "A4X"), ("a4-", "A4"),
    ("g2-", "G2"), ("g4-", "G4"), ("n1-", "N1"),
)  # fmt: skip
_GPU_NAMES: Mapping[str, tuple[str, ...]] = {
    "A100-40GB-SXM": ("Nvidia Tesla A100",),
    "A100-80GB-SXM": ("Nvidia Tesla A100 80GB",),
    "H100-SXM": ("Nvidia H100 80GB",),
    "H200": ("Nvidia H200 141GB",),
    "B200": ("A4 Nvidia B200", "Nvidia B200"),
    "GB200": ("A4X Nvidia GB200", "Nvidia GB200"),
    "L4": ("Nvidia L4",),
    "RTX-PRO-6000": ("Nvidia RTX 6000 96GB", "Nvidia RTX PRO 6000"),
    "T4": ("Nvidia Tesla T4",),
    "V100-16GB": ("Nvidia Tesla V100",),
    "P100": ("Nvidia Tesla P100",),
    "P4": ("Nvidia Tesla P4",),
}
_MEGA = ("Nvidia H100 80GB Plus", "Nvidia H100 80GB Mega")
_TPU_NAMES: Mapping[str, tuple[str, ...]] = {
    "ct5lp-": ("TpuV5e", "Tpu-v5e", "Tpu v5e"),
    "ct5p-": ("TpuV5p", "Tpu-v5p", "Tpu v5p"),
    "ct6e-": ("TpuV6e", "Tpu-v6e", "Tpu v6e"),
}
_LOCAL_DISK = "local disk"
_DISK = re.compile(r"(?:(?:Spot )?Preemptible )?SSD backed Local Storage|Commitment v\d+: Local SSD", re.IGNORECASE)
"""Disks that come with a machine are charged like those that are added; 375 GB ones are counted as 375 GiB."""


@dataclass(frozen=True, slots=True)
class Sku:
    """Price of one part for an hour: of a core, a GiB of memory, an accelerator or a GiB of local disk."""

    regions: tuple[str, ...]
    market: str
    """Key of what it is bought as: on_demand, spot, or the years of a commitment."""
    part: str
    """Such as ``A2 core``, ``A2 ram`` or the name of an accelerator."""
    usd: float
    as_of: str


@dataclass(frozen=True, eq=False)
class PartPrices:
    """(region, market, part) → the different prices that were found, with their date."""

    usd_by_part: Mapping[tuple[str, str, str], Mapping[float, str]] = field(default_factory=dict)

    def one(self, region: str, market: str, names: Iterable[str]) -> tuple[float, str] | None:
        """The price of a part under any of its names; None when it has none, or more than one."""
        prices: dict[float, str] = {}
        for name in names:
            prices |= self.usd_by_part.get((region, market, name.lower()), {})
        return next(iter(prices.items())) if len(prices) == 1 else None

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that have any price."""
        return tuple(sorted({region for region, _, _ in self.usd_by_part}))


def tasks(machines: Sequence[InstanceType], client: Client, key: str, url: str = URL) -> Iterator[Task]:
    """One task: the whole price list is one chain of pages."""
    yield Task("all/prices", "", "prices", partial(_read, machines, client, key, url))


def _read(machines: Sequence[InstanceType], client: Client, key: str, url: str) -> Iterator[Row]:
    # Accelerators are sold beside Compute Engine under services of their own.
    listed = _items(client, key, url, "services")
    services = [service["name"] for service in listed if "TPU" in service.get("displayName", "")]
    paths = [f"{service}/skus" for service in dict.fromkeys((_COMPUTE, *services))]
    skus = (sku for path in paths for item in _items(client, key, url, path) for sku in parts_of(item))
    yield from machine_rows(gathered(skus), machines)


def _items(client: Client, key: str, url: str, path: str) -> Iterator[Mapping[str, Any]]:
    """Items of a list, which the last part of its path names."""
    for page in token_pages(client, f"{url}/{path}", {"pageSize": str(_PAGE), "key": key}, _REMEDY):
        yield from page.get(path.rpartition("/")[2], ())


def parts_of(item: Mapping[str, Any]) -> Iterator[Sku]:
    """The part that an item of the price list prices; nothing when it is not a part of an accelerated machine."""
    category, description = item.get("category", {}), str(item.get("description", ""))
    market = _MARKETS.get(category.get("usageType", ""))
    part = _part_name(description, category.get("resourceFamily", ""))
    if market is None or part is None or _OTHER_GOODS.search(description):
        return
    for pricing in item.get("pricingInfo", ())[-1:]:
        expression = pricing.get("pricingExpression", {})
        rates, unit = expression.get("tieredRates", ()), expression.get("usageUnit", "")
        if rates and unit.endswith(("mo", "h")):  # ``h`` and ``GiBy.h`` are an hour, ``GiBy.mo`` is a month
            money, hours = rates[-1]["unitPrice"], 1.0 if unit.endswith("h") else HOURS_PER_MONTH
            usd = (int(money.get("units") or 0) + int(money.get("nanos") or 0) / 1e9) / hours
            date = str(pricing.get("effectiveTime", ""))[:10]
            yield Sku(tuple(item.get("serviceRegions", ())), market, part, usd, date)


def _part_name(description: str, family: str) -> str | None:
    if family not in ("Compute", ""):
        return None
    match = _PART.match(description)
    if match is not None:
        return f"{match['family']} {'ram' if match['part'].lower() == 'ram' else 'core'}".lower()
    if _DISK.match(description):
        return _LOCAL_DISK
    gpu = _GPU.match(description)
    return None if gpu is None else gpu["name"].strip().lower()


def gathered(skus: Iterable[Sku]) -> PartPrices:
    """Prices by region, market and part."""
    prices: dict[tuple[str, str, str], dict[float, str]] = defaultdict(dict)
    for sku in skus:
        for region in sku.regions:
            prices[region, sku.market, sku.part][sku.usd] = sku.as_of
    return PartPrices(prices)


def machine_rows(prices: PartPrices, machines: Sequence[InstanceType]) -> Iterator[Row]:
    """Rows of every machine in every region where each of its parts has exactly one price."""
    for machine in machines:
        for region in prices.regions:
            sums = {market: _sum(prices, machine, region, market) for market in _MARKETS.values()}
            if sums["on_demand"] is not None:
                yield Sold(region, machine.name)
            for market, total in sums.items():
                if total is None:
                    continue
                if market in ("on_demand", "spot"):
                    yield PriceRow(region, machine.name, market, *total)
                else:
                    yield CommittedRow(region, machine.name, _INSTRUMENT, int(market), "no_upfront", *total)


def _sum(prices: PartPrices, machine: InstanceType, region: str, market: str) -> tuple[float, str] | None:
    """Cores + memory + accelerators, and the oldest date of them."""
    needs = _needs(machine)
    prices_of_parts = [(amount, prices.one(region, market, names)) for amount, names in needs]
    priced = [(amount, *price) for amount, price in prices_of_parts if price is not None]
    if not priced or len(priced) < len(needs):
        return None
    return round(sum(amount * usd for amount, usd, _ in priced), 6), min(date for *_, date in priced)


def _needs(machine: InstanceType) -> list[tuple[float, tuple[str, ...]]]:
    """How much of what a machine is made of; empty where its parts are not known."""
    count = machine.accelerator_count
    tpu = next((names for start, names in _TPU_NAMES.items() if machine.name.startswith(start)), None)
    if tpu is not None:
        return [] if count is None else [(count, tpu)]
    family = next((name for start, name in _FAMILIES if machine.name.startswith(start)), None)
    gpus = _MEGA if machine.name.startswith("a3-megagpu") else _GPU_NAMES.get(machine.accelerator)
    if family is None or gpus is None or None in (count, machine.vcpus, machine.memory_gib):
        return []
    disks = [(machine.local_nvme_gb, (_LOCAL_DISK,))] if machine.local_nvme_gb else []
    return [
        (float(machine.vcpus or 0), (f"{family} core",)),
        (float(machine.memory_gib or 0), (f"{family} ram",)),
        (float(count or 0), gpus),
        *disks,
    ]


ZONES_URL = "https://compute.googleapis.com/compute/v1"
_PUBLIC_PAGE = 500
_ATTACHED = "+"
"""Between the machine and the accelerators that are attached to it, as in ``n1-standard-8+1xT4``."""
_ACCELERATORS: Mapping[str, str] = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100-16GB": "nvidia-tesla-v100",
}
"""Accelerators that are attached to a machine → their type at Google."""
_ZONES_REMEDY = (
    "give a project, and a token that may list machine types (compute.viewer): --gcp-project, --gcp-token-file"
)

_AI_ZONE = re.compile(r"-ai\d+[a-z]*$")


@dataclass(frozen=True, slots=True)
class Project:
    """Whom to ask as."""

    name: str
    client: Client
    """With an access token."""
    url: str = ZONES_URL


def zone_tasks(machines: Sequence[InstanceType], project: Project) -> Iterator[Task]:
    """One task: both lists name every zone."""
    yield Task("all/zones", "", "zones", partial(_read_zones, machines, project))


def _read_zones(machines: Sequence[InstanceType], project: Project) -> Iterator[Row]:
    families = sorted({machine.name.partition("-")[0] for machine in machines if ":" not in machine.name})
    types = _zones_by_name(project, "machineTypes", f'name eq "({"|".join(families)})-.*"')
    accelerators = _zones_by_name(project, "acceleratorTypes", "")
    for machine in machines:
        base, is_attached, _ = machine.name.partition(_ATTACHED)
        zones = types.get(base, frozenset())
        if is_attached:
            zones &= accelerators.get(_ACCELERATORS.get(machine.accelerator, ""), frozenset())
        # AI zones depend on an ordinary zone of the region, and are left out where one sells the type.
        ordinary = {zone for zone in zones if not _AI_ZONE.search(zone)}
        regions = {_region_of(zone) for zone in ordinary}
        for zone in sorted(zones):
            if zone in ordinary or _region_of(zone) not in regions:
                yield ZoneRow(_region_of(zone), machine.name, zone)


def _region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def _zones_by_name(project: Project, what: str, wanted: str) -> Mapping[str, frozenset[str]]:
    """Name of a type → zones that have it."""
    zones: dict[str, set[str]] = {}
    parameters = {"maxResults": str(_PUBLIC_PAGE)} | ({"filter": wanted} if wanted else {})
    address = f"{project.url}/projects/{project.name}/aggregated/{what}"
    for page in token_pages(project.client, address, parameters, _ZONES_REMEDY):
        for scope, listed in page.get("items", {}).items():
            for item in listed.get(what, ()):
                zones.setdefault(item["name"], set()).add(scope.rpartition("/")[2])
    return {name: frozenset(names) for name, names in zones.items()}


PUBLIC_URL = "https://raw.githubusercontent.com/Cyclenerd/google-cloud-pricing-cost-calculator/master/pricing.yml"
ORIGIN = Origin(
    "google-cloud-pricing-cost-calculator pricing.yml: sums of the parts in Google's Cloud Billing Catalog",
    Quality.DERIVED,
)

_TERMS = (("month_1y", 1), ("month_3y", 3))
_MOST_BYTES = 48_000_000
_AHEAD = dt.timedelta(days=1)
"""The clock of this machine may be late."""
_LEAST_DISCOUNT_RATIO = 0.01
"""Types without a commitment have the monthly price in its place."""
_PUBLIC_REMEDY = "use a key: --gcp-api-key-file FILE"


def public_tasks(offers: Iterable[Offer], refreshed_on: str, client: Client, url: str = PUBLIC_URL) -> Iterator[Task]:
    """One task, for one file of all that is sold. *refreshed_on*: ISO date of what was read with a key, or ""."""
    yield Task("all/prices", "", "prices", partial(_public_read, tuple(offers), refreshed_on, client, url))


def _public_read(offers: Iterable[Offer], refreshed_on: str, client: Client, url: str) -> Iterator[Row]:
    content = client.download(url, _MOST_BYTES)
    if len(content) > _MOST_BYTES:
        raise Unreachable(f"{url} has more than {_MOST_BYTES:,} bytes", _PUBLIC_REMEDY)
    document = _parsed(content)
    as_of, machines = _date(document), document.get("compute", {}).get("instance")
    if not isinstance(machines, dict) or not machines:
        raise Unreachable("the public list names no machine", _PUBLIC_REMEDY)
    if as_of > f"{dt.datetime.now(dt.UTC) + _AHEAD:%Y-%m-%d}":
        raise Unreachable(f"the public list is of {as_of}, which is in the future", _PUBLIC_REMEDY)
    if as_of <= refreshed_on:
        raise Unreachable(
            f"the public list is of {as_of}, and prices of {refreshed_on} are there already", _PUBLIC_REMEDY
        )
    rows = tuple(rows_of(offers, machines, as_of))
    if not rows:
        raise Unreachable(f"no price of the public list ({as_of}) is newer than what is known", _PUBLIC_REMEDY)
    yield from rows


def _parsed(content: bytes) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - commands that ask nobody stay quick

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(content, loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:200]
        raise Unreachable(f"the public list is not YAML, or is cut off: {words}", _PUBLIC_REMEDY) from error
    if not isinstance(document, dict) or not isinstance(document.get("compute", {}), dict):
        raise Unreachable("the public list is not a price list", _PUBLIC_REMEDY)
    return document


def _date(document: Mapping[str, Any]) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(int(document['about']['timestamp']), dt.UTC):%Y-%m-%d}"
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise Unreachable("the public list does not say of when it is", _PUBLIC_REMEDY) from error


def rows_of(offers: Iterable[Offer], machines: Mapping[str, Any], as_of: str) -> Iterator[Row]:
    """Rows of the pairs of type and region that are sold, where the list is newer than what is known of them."""
    for offer in offers:
        machine = machines.get(offer.instance_type)
        costs = machine.get("cost") if isinstance(machine, dict) else None
        cost = costs.get(offer.region) if isinstance(costs, dict) else None
        usd = _usd(cost, "hour")
        if usd is None or (offer.on_demand is not None and offer.on_demand.provenance.as_of > as_of):
            continue
        spot = _usd(cost, "hour_spot")
        if spot is None and offer.spot is not None:
            continue  # half an answer would lose the other half
        yield Sold(offer.region, offer.instance_type)
        yield PriceRow(offer.region, offer.instance_type, "on_demand", usd, as_of)
        if spot is not None:
            yield PriceRow(offer.region, offer.instance_type, "spot", spot, as_of)
        yield from _committed(offer, cost, usd, as_of)


def _committed(offer: Offer, cost: object, usd: float, as_of: str) -> Iterator[Row]:
    for key, years in _TERMS:
        month = _usd(cost, key)
        if month is not None and month / HOURS_PER_MONTH < usd * (1 - _LEAST_DISCOUNT_RATIO):
            committed = month / HOURS_PER_MONTH
            yield CommittedRow(offer.region, offer.instance_type, _INSTRUMENT, years, "no_upfront", committed, as_of)


def _usd(cost: object, key: str) -> float | None:
    """A price; None where the list has none, or 0 in its place."""
    value = cost.get(key) if isinstance(cost, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < float(value) < float("inf") else None  # type: ignore[arg-type]
