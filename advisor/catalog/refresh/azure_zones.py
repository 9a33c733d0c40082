"""Azure: availability zones that sell sizes, from the resource SKUs of a subscription.

Facts: https://learn.microsoft.com/rest/api/compute/resource-skus/list, read in November 2026.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client, pages
from advisor.catalog.refresh.values import Row, Task, ZoneRow
from advisor.records import dataclass

URL = "https://management.azure.com"
_VERSION = "2021-07-01"
_MACHINES = "virtualMachines"
_ACCELERATED = "Standard_N"
"""Every accelerated size is of the N series."""
_REMEDY = "give a subscription, and a token that may read it (Reader): --azure-subscription, --azure-token-file"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whom to ask as; zones are numbered anew for each subscription."""

    name: str
    client: Client
    """With an access token."""
    url: str = URL


def tasks(regions: Sequence[str], subscription: Subscription) -> Iterator[Task]:
    """One task for each region."""
    for region in regions:
        yield Task(f"{region}/zones", region, "zones", partial(_read, region, subscription))


def _read(region: str, subscription: Subscription) -> Iterator[Row]:
    address = f"{subscription.url}/subscriptions/{subscription.name}/providers/Microsoft.Compute/skus"
    parameters = {"api-version": _VERSION, "$filter": f"location eq '{region}'"}
    for page in pages(subscription.client, address, parameters, "nextLink", _REMEDY):
        for item in page.get("value") or ():
            yield from rows_of(item, region)


def rows_of(item: Mapping[str, Any], region: str) -> Iterator[Row]:
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
