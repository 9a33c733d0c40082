"""Google Cloud without a key: machine prices that the google-cloud-pricing-cost-calculator sums up and publishes.

Google itself answers no list of prices without a key: the Cloud Billing Catalog asks for one, and the JSON behind the
pricing pages (``gcp-compute.json``) was withdrawn in spring 2026. The calculator (Apache-2.0) asks the Billing Catalog
about once a week and keeps the sums in one YAML file, ``compute.instance.<type>.cost.<region>``, read in November 2026:
``hour``, ``hour_spot`` and ``month_1y``, ``month_3y`` in USD, dated by ``about.timestamp``.

Its traps: it prices a type in every region, sold there or not, and says 0 where a part has no price. So a price is
taken for a pair that is known to be sold, and where it is newer than the one that is known.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import CommittedRow, Origin, PriceRow, Row, Sold, Task, Unreachable
from advisor.catalog.values import Offer, Price, Quality
from advisor.units import HOURS_PER_MONTH

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
