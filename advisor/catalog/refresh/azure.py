"""Azure: the Retail Prices API, which asks for no login, and the zones that a subscription may use.

Facts, read in November 2026: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices,
https://learn.microsoft.com/rest/api/compute/resource-skus/list.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client, pages
from advisor.catalog.refresh.values import CommittedRow, PriceRow, Row, ServerlessRow, Sold, Task, ZoneRow
from advisor.records import dataclass
from advisor.units import SECONDS_PER_HOUR

ZONES_URL = "https://management.azure.com"
_ZONES_VERSION = "2021-07-01"
_MACHINES = "virtualMachines"
"""Every accelerated size is of the N series."""
_REMEDY = "give a subscription, and a token that may read it (Reader): --azure-subscription, --azure-token-file"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whom to ask as; zones are numbered anew for each subscription."""

    name: str
    client: Client
    """With an access token."""
    url: str = ZONES_URL


def zone_tasks(regions: Sequence[str], subscription: Subscription) -> Iterator[Task]:
    """One task for each region."""
    for region in regions:
        yield Task(f"{region}/zones", region, "zones", partial(_read_zones, region, subscription))


def _read_zones(region: str, subscription: Subscription) -> Iterator[Row]:
    address = f"{subscription.url}/subscriptions/{subscription.name}/providers/Microsoft.Compute/skus"
    parameters = {"api-version": _ZONES_VERSION, "$filter": f"location eq '{region}'"}
    for page in pages(subscription.client, address, parameters, "nextLink", _REMEDY):
        for item in page.get("value") or ():
            yield from zone_rows_of(item, region)


def zone_rows_of(item: Mapping[str, Any], region: str) -> Iterator[Row]:
    """Zones of a size in a region, without those that the subscription may not use.

    A size that the region sells without a choice of zone has one row without a zone; one that the subscription may not
    have in the whole region has none.
    """
    name = str(item.get("name", ""))
    if item.get("resourceType") != _MACHINES or not name.startswith(_ACCELERATED):
        return
    restrictions = item.get("restrictions") or ()
    if any(restriction.get("type") == "Location" for restriction in restrictions):
        return
    closed = {
        zone
        for restriction in restrictions
        if restriction.get("type") == "Zone"
        for zone in restriction.get("restrictionInfo", {}).get("zones") or ()
    }
    for place in item.get("locationInfo") or ():
        if str(place.get("location", "")).casefold() == region:
            listed = set(place.get("zones") or ())
            open_zones = listed - closed
            if open_zones or not listed:
                yield from (ZoneRow(region, name, zone) for zone in sorted(open_zones) or ("",))


URL = "https://prices.azure.com/api/retail/prices"
_VERSION = "2023-01-01-preview"
_ACCELERATED = "Standard_N"
"""Every accelerated size is of the N series."""
_NOT_LINUX = "Windows"
_NOT_FOR_SALE = ("Low Priority", "Expired")
_SPOT = " Spot"
_HOURS = {"1 Year": (1, 8760), "3 Years": (3, 26280), "5 Years": (5, 43800)}
"""Reservation term → years, and the hours that its price is for."""
_CONTAINERS = "Azure Container Apps"
_PROFILES = (
    ("T4", "Standard NC T4 v3 GPU Usage", 8, 56),
    ("A100-80GB-PCIe", "Standard NC A100 v4 GPU Usage", 24, 220),
)
"""Serverless profiles: accelerator, the meter of its GPU, and what it has in vCPU and GiB, which are metered too."""
_VCPU, _GIB = "Standard vCPU Active Usage", "Standard Memory Active Usage"


def tasks(regions: Sequence[str], client: Client, url: str = URL) -> Iterator[Task]:
    """Two tasks for each region, machines and containers: their prices tell what is sold there too."""
    for region in regions:
        yield Task(f"{region}/prices", region, "prices", partial(_read, region, client, url))
        yield Task(f"{region}/serverless", region, "serverless", partial(_read_containers, region, client, url))


def _read(region: str, client: Client, url: str) -> Iterator[Row]:
    wanted = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}'"
    for item in _items(client, url, f"{wanted} and contains(armSkuName, '{_ACCELERATED}')"):
        yield from rows_of(item, region)


def _read_containers(region: str, client: Client, url: str) -> Iterator[Row]:
    wanted = f"serviceName eq '{_CONTAINERS}' and armRegionName eq '{region}'"
    yield from container_rows(_items(client, url, wanted), region)


def _items(client: Client, url: str, wanted: str) -> Iterator[Mapping[str, Any]]:
    for page in pages(client, url, {"api-version": _VERSION, "$filter": wanted}, "NextPageLink"):
        yield from page.get("Items") or ()


def container_rows(items: Iterable[Mapping[str, Any]], region: str) -> Iterator[Row]:
    """Container Apps with a GPU: what its three meters add up to; nothing where one of them is not there.

    Of several prices of a meter the newest counts, and of those the highest: others are what is granted for free.
    """
    meters: dict[str, tuple[str, float]] = {}
    for item in items:
        by_the_second = str(item.get("unitOfMeasure", "")) in ("1 Second", "1 GiB Second")
        is_sold = item.get("type") == "Consumption" and item.get("currencyCode") == "USD"
        if by_the_second and is_sold and item.get("armRegionName") == region:
            dated = str(item.get("effectiveStartDate", ""))[:10], float(item.get("unitPrice") or 0)
            name = str(item.get("meterName", ""))
            meters[name] = max(meters.get(name, dated), dated)
    for accelerator, meter, vcpus, gib in _PROFILES:
        if all(name in meters for name in (meter, _VCPU, _GIB)):
            (_, gpu), (_, cpu), (_, memory) = (meters[name] for name in (meter, _VCPU, _GIB))
            usd_per_hour = round(SECONDS_PER_HOUR * (gpu + vcpus * cpu + gib * memory), 6) if gpu > 0 else 0.0
            yield ServerlessRow(region, "Container Apps", accelerator, usd_per_hour, vcpus, gib, meters[meter][0])


def rows_of(item: Mapping[str, Any], region: str) -> Iterator[Row]:
    """Rows of one item of the list for Linux machines; none when it is of another kind."""
    size, sku = str(item.get("armSkuName", "")), str(item.get("skuName", ""))
    product, date = str(item.get("productName", "")), str(item.get("effectiveStartDate", ""))[:10]
    if not size.startswith(_ACCELERATED) or item.get("armRegionName") != region or item.get("currencyCode") != "USD":
        return
    if _NOT_LINUX in product or any(word in f"{sku} {item.get('meterName', '')}" for word in _NOT_FOR_SALE):
        return
    price = float(item.get("unitPrice") or item.get("retailPrice") or 0)
    match item.get("type"):
        case "Consumption" if item.get("unitOfMeasure") == "1 Hour":
            yield Sold(region, size)
            purchase = "spot" if sku.endswith(_SPOT) else "on_demand"
            yield PriceRow(region, size, purchase, price, date)
            yield from _savings(item, region, size, date)
        case "Reservation" if item.get("reservationTerm") in _HOURS:
            years, hours = _HOURS[str(item["reservationTerm"])]
            yield CommittedRow(region, size, "Reserved VM Instance", years, "no_upfront", price / hours, date)
        case _:
            return


def _savings(item: Mapping[str, Any], region: str, size: str, date: str) -> Iterator[Row]:
    """Compute savings plans stand beside the hourly price; their prices are by the hour."""
    for plan in item.get("savingsPlan") or ():
        term = plan.get("term")
        if term in _HOURS:
            years, _ = _HOURS[term]
            price = float(plan.get("unitPrice") or 0)
            yield CommittedRow(region, size, "Savings plan for compute", years, "no_upfront", price, date)
