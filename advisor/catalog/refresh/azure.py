"""Azure: the Retail Prices API, which asks for no login.

Facts: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices, read in November 2026.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client, pages
from advisor.catalog.refresh.values import CommittedRow, PriceRow, Row, Sold, Task

URL = "https://prices.azure.com/api/retail/prices"
_VERSION = "2023-01-01-preview"
_ACCELERATED = "Standard_N"
"""Every accelerated size is of the N series."""
_NOT_LINUX = "Windows"
_NOT_FOR_SALE = ("Low Priority", "Expired")
_SPOT = " Spot"
_HOURS = {"1 Year": (1, 8760), "3 Years": (3, 26280), "5 Years": (5, 43800)}
"""Reservation term → years, and the hours that its price is for."""


def tasks(regions: Sequence[str], client: Client, url: str = URL) -> Iterator[Task]:
    """One task for each region: its prices tell what is sold there too."""
    for region in regions:
        yield Task(f"{region}/prices", region, "prices", partial(_read, region, client, url))


def _read(region: str, client: Client, url: str) -> Iterator[Row]:
    wanted = (
        f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and contains(armSkuName, '{_ACCELERATED}')"
    )
    parameters = {"api-version": _VERSION, "$filter": wanted}
    for page in pages(client, url, parameters, "NextPageLink"):
        for item in page.get("Items") or ():
            yield from rows_of(item, region)


def rows_of(item: Mapping[str, Any], region: str) -> Iterator[Row]:
    """What one item of the list says of Linux machines; nothing when it is of another kind."""
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
