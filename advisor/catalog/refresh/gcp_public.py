"""Google Cloud without a key: machine prices that the google-cloud-pricing-cost-calculator sums up and publishes.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client, token_pages
from advisor.catalog.refresh.values import CommittedRow, Origin, PriceRow, Row, Sold, Task, Unreachable, ZoneRow
from advisor.catalog.values import InstanceType, Offer, Price, Quality
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH

ZONES_URL = "https://compute.googleapis.com/compute/v1"
_PAGE = 500
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

_Zones = Mapping[str, frozenset[str]]


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
        yield from _rows(machine.name, zones)


def _rows(name: str, zones: Iterable[str]) -> Iterator[Row]:
    """Zones of a type, without AI zones where an ordinary zone of the region sells it: they depend on that zone."""
    ordinary = {_region_of(zone) for zone in zones if not _AI_ZONE.search(zone)}
    for zone in sorted(zones):
        if not _AI_ZONE.search(zone) or _region_of(zone) not in ordinary:
            yield ZoneRow(_region_of(zone), name, zone)


def _region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def _zones_by_name(project: Project, what: str, wanted: str) -> _Zones:
    """Name of a type → zones that have it."""
    zones: dict[str, set[str]] = {}
    parameters = {"maxResults": str(_PAGE)} | ({"filter": wanted} if wanted else {})
    address = f"{project.url}/projects/{project.name}/aggregated/{what}"
    for page in token_pages(project.client, address, parameters, _ZONES_REMEDY):
        for scope, listed in page.get("items", {}).items():
            for item in listed.get(what, ()):
                zones.setdefault(item["name"], set()).add(scope.rpartition("/")[2])
    return {name: frozenset(names) for name, names in zones.items()}


URL = "https://raw.githubusercontent.com/Cyclenerd/google-cloud-pricing-cost-calculator/master/pricing.yml"
ORIGIN = Origin(
    "google-cloud-pricing-cost-calculator pricing.yml: sums of the parts in Google's Cloud Billing Catalog",
    Quality.DERIVED,
)
_INSTRUMENT = "Committed use discount"
_TERMS = (("month_1y", 1), ("month_3y", 3))
_MOST_BYTES = 48_000_000
_AHEAD = dt.timedelta(days=1)
"""The clock of this machine may be late."""
_LEAST_DISCOUNT_RATIO = 0.01
"""Types without a commitment have the monthly price in its place."""
_REMEDY = "use a key: --gcp-api-key-file FILE"


def tasks(offers: Iterable[Offer], refreshed_on: str, client: Client, url: str = URL) -> Iterator[Task]:
    """One task: the whole list is one file.

    Args:
        offers: what is known to be sold.
        refreshed_on: ISO date of what was read with a key; "" where nothing was.
        client: how the file is asked for.
        url: where it is.
    """
    yield Task("all/prices", "", "prices", partial(_read, tuple(offers), refreshed_on, client, url))


def _read(offers: Iterable[Offer], refreshed_on: str, client: Client, url: str) -> Iterator[Row]:
    content = client.download(url, _MOST_BYTES)
    if len(content) > _MOST_BYTES:
        raise Unreachable(f"{url} has more than {_MOST_BYTES:,} bytes", _REMEDY)
    document = _parsed(content)
    as_of, machines = _date(document), document.get("compute", {}).get("instance")
    if not isinstance(machines, dict) or not machines:
        raise Unreachable("the public list names no machine", _REMEDY)
    if as_of > f"{dt.datetime.now(dt.UTC) + _AHEAD:%Y-%m-%d}":
        raise Unreachable(f"the public list is of {as_of}, a day to come", _REMEDY)
    if as_of <= refreshed_on:
        raise Unreachable(f"the public list is of {as_of}, and prices of {refreshed_on} are there already", _REMEDY)
    rows = tuple(rows_of(offers, machines, as_of))
    if not rows:
        raise Unreachable(f"no price of the public list ({as_of}) is newer than what is known", _REMEDY)
    yield from rows


def _parsed(content: bytes) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - commands that ask nobody stay quick

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(content, loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:200]
        raise Unreachable(f"the public list is no YAML, or is cut off: {words}", _REMEDY) from error
    if not isinstance(document, dict) or not isinstance(document.get("compute", {}), dict):
        raise Unreachable("the public list is no price list", _REMEDY)
    return document


def _date(document: Mapping[str, Any]) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(int(document['about']['timestamp']), dt.UTC):%Y-%m-%d}"
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise Unreachable("the public list does not say of when it is", _REMEDY) from error


def rows_of(offers: Iterable[Offer], machines: Mapping[str, Any], as_of: str) -> Iterator[Row]:
    """Rows of the pairs of type and region that are sold, where the list is newer than what is known of them."""
    for offer in offers:
        machine = machines.get(offer.instance_type)
        costs = machine.get("cost") if isinstance(machine, dict) else None
        cost = costs.get(offer.region) if isinstance(costs, dict) else None
        usd = _usd(cost, "hour")
        if usd is None or _is_newer(offer.on_demand, as_of):
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


def _is_newer(price: Price | None, as_of: str) -> bool:
    return price is not None and price.provenance.as_of > as_of


def _usd(cost: object, key: str) -> float | None:
    """A price; None where the list has none, or 0 in its place."""
    value = cost.get(key) if isinstance(cost, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < float(value) < float("inf") else None  # type: ignore[arg-type]
