"""Lock file of a plan, small, to keep beside the infrastructure: the catalog rows it used, and their dates.

A plan can be made again from it years later, and :mod:`advisor.report.price_age` compares it with what holds today.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from advisor.atomic_files import write_output
from advisor.catalog import load_catalog
from advisor.catalog.catalog import Catalog
from advisor.catalog.geography import ZoneSupply
from advisor.catalog.planning import Commitment, CommitmentPrice
from advisor.catalog.processors import with_processors
from advisor.catalog.values import Managed, Offer, Price, Provenance, Quality
from advisor.errors import InputError
from advisor.plan.plain_values import digest
from advisor.reading import read_json
from advisor.records import asdict, dataclass, field

SCHEMA = "advisor.catalog-lock/v1"
DEFAULT_NAME = "catalog.lock.json"
_HINT = "write it anew with `advisor catalog lock PLAN.json`"

Place = tuple[str, str, str]
"""Provider, region and instance type."""


class HasPlace(Protocol):
    """An offer, or what was planned with it."""

    @property
    def provider(self) -> str: ...  # noqa: D102 - as in an offer
    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def instance_type(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PlanRows:
    """Rows of the catalog that a plan was made from, and digests."""

    plan_digest: str
    catalog_hash: str
    compared: frozenset[Place]
    chosen: frozenset[Place]


@dataclass(frozen=True, slots=True)
class Lock:
    """Rows of a catalog that a plan was made from."""

    catalog_hash: str
    """Of the whole catalog."""
    catalog_as_of: str
    plan_digest: str
    commitments: Mapping[Offer, tuple[CommitmentPrice, ...]]
    """Each offer with what it costs under each commitment that could be bought."""
    chosen: frozenset[Place] = frozenset()
    """What the plan pays for; the others were compared with it."""
    zones: Mapping[Place, ZoneSupply] = field(default_factory=dict)
    """Availability zones of offers; of others nothing is locked."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The rows, by provider, type and region."""
        return tuple(self.commitments)

    @property
    def oldest_as_of(self) -> str:
        """Date of the oldest price of what was chosen; "" where there is none."""
        return min(self._dates, default="")

    @property
    def newest_as_of(self) -> str:
        """Date of the newest price of what was chosen; "" where there is none."""
        return max(self._dates, default="")

    @property
    def _dates(self) -> list[str]:
        paid = [offer for offer in self.offers if place_of(offer) in self.chosen] or self.offers
        prices = (price for offer in paid for price in (offer.on_demand, offer.spot, offer.managed_price))
        return [price.provenance.as_of for price in prices if price is not None]


def lock_of(catalog: Catalog, plan: PlanRows) -> Lock:
    """Rows of the catalog that a plan used. Raises InputError if it was made from another catalog."""
    if catalog.content_hash != plan.catalog_hash:
        raise InputError(
            "the plan was made from another catalog than the one that is loaded now",
            hint="make the plan again with `advisor recommend`, and lock that",
        )
    used = plan.compared | plan.chosen
    rows = sorted(
        (offer for offer in catalog.offers if place_of(offer) in used), key=lambda offer: place_of(offer)[::-1]
    )
    priced = {row: catalog.current_commitments(row) for row in rows}
    zones = {place_of(row): catalog.zones(*place_of(row)) for row in rows}
    return Lock(plan.catalog_hash, catalog.as_of, plan.plan_digest, priced, plan.chosen, zones)


def lock_text(lock: Lock) -> str:
    """The file, with a digest of its own content."""
    document = {
        "schema": SCHEMA,
        "catalog_hash": lock.catalog_hash,
        "catalog_as_of": lock.catalog_as_of,
        "plan_digest": lock.plan_digest,
        "oldest_price_as_of": lock.oldest_as_of,
        "newest_price_as_of": lock.newest_as_of,
        "offers": [
            {
                "provider": offer.provider,
                "region": offer.region,
                "instance_type": offer.instance_type,
                "chosen": place_of(offer) in lock.chosen,
                "on_demand": _price_cells(offer.on_demand),
                "spot": _price_cells(offer.spot),
                "managed": offer.managed
                and {"service": offer.managed.service, "price": _price_cells(offer.managed.price)},
                "commitments": [_commitment_cells(price) for price in prices],
            }
            | ({"withdrawn": True} if offer.withdrawn else {})
            | ({"zones": asdict(lock.zones[place_of(offer)])} if place_of(offer) in lock.zones else {})
            for offer, prices in lock.commitments.items()
        ],
    }
    return json.dumps(document | {"digest": digest(document)}, indent=1, ensure_ascii=False) + "\n"


def write_lock(lock: Lock, path: Path) -> None:
    """Write the file in one step. Raises InputError if it cannot be written."""
    write_output(path, lock_text(lock).encode())


def read_lock(path: Path) -> Lock:
    """Read the file back. Raises InputError if it cannot be read, is of another version, or was edited."""
    document = read_json(path, "lock", _HINT)
    try:
        if document["schema"] != SCHEMA:
            raise InputError(
                f"the schema is {document['schema']!r}, and this version reads {SCHEMA}", where=str(path), hint=_HINT
            )
        stated = document.pop("digest")
        lock = Lock(
            document["catalog_hash"],
            document["catalog_as_of"],
            document["plan_digest"],
            dict(map(_offer, document["offers"])),
            frozenset(_place(row) for row in document["offers"] if row["chosen"]),
            {_place(row): _zones(row["zones"]) for row in document["offers"] if "zones" in row},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("this is not a lock of the catalog", where=str(path), hint=_HINT) from error
    if stated != digest(document):
        raise InputError("the lock was edited after it was made", where=str(path), hint=_HINT)
    return lock


def locked_catalog(lock: Lock) -> Catalog:
    """The catalog with nothing for sale but the rows of the lock, at their prices."""
    catalog = with_processors_of(load_catalog(), lock.offers)
    return catalog.as_locked(lock.commitments, lock.zones, lock.catalog_hash, lock.catalog_as_of)


def with_processors_of(catalog: Catalog, rows: Iterable[HasPlace]) -> Catalog:
    """The catalog with those machines without an accelerator that some rows are of, whatever their size."""
    named = {(row.provider, row.instance_type) for row in rows} & catalog.cpu_instances.keys()
    providers, types = tuple({provider for provider, _ in named}), frozenset(name for _, name in named)
    return with_processors(catalog, providers, math.inf, types) if named else catalog


def _price_cells(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    origin = price.provenance
    return {
        "usd_per_hour": price.usd_per_hour,
        "source": origin.source,
        "as_of": origin.as_of,
        "quality": origin.quality.value,
    } | ({"zones_usd_per_hour": list(price.zones_usd_per_hour)} if price.zones_usd_per_hour else {})


def _commitment_cells(price: CommitmentPrice) -> dict[str, Any]:
    commitment = price.commitment
    return {
        "families": list(commitment.families),
        "region": commitment.region,
        "instrument": commitment.instrument,
        "term_years": commitment.term_years,
        "payment": commitment.payment,
        "discount_ratio": commitment.discount_ratio,
        "usd_per_hour": price.usd_per_hour,
        "source": price.provenance.source,
        "as_of": price.provenance.as_of,
        "quality": price.provenance.quality.value,
    }


def _offer(cells: Mapping[str, Any]) -> tuple[Offer, tuple[CommitmentPrice, ...]]:
    managed = cells["managed"]
    offer = Offer(
        *_place(cells),
        on_demand=_price(cells["on_demand"]),
        spot=_price(cells["spot"]),
        managed=Managed(managed["service"], _price(managed["price"])) if managed else None,
        withdrawn=bool(cells.get("withdrawn")),
    )
    return offer, tuple(_commitment(row, cells["provider"]) for row in cells["commitments"])


def _commitment(cells: Mapping[str, Any], provider: str) -> CommitmentPrice:
    origin = Provenance(cells["source"], cells["as_of"], Quality(cells["quality"]))
    ratio = cells["discount_ratio"]
    commitment = Commitment(
        provider, tuple(cells["families"]), cells["region"], cells["instrument"], int(cells["term_years"]),
        cells["payment"], None if ratio is None else float(ratio), origin,
    )  # fmt: skip
    return CommitmentPrice(commitment, float(cells["usd_per_hour"]), origin)


def _zones(cells: Mapping[str, Any]) -> ZoneSupply:
    names, count = tuple(map(str, cells["names"])), int(cells["count"])
    if count < 1 or (names and len(names) != count):
        raise ValueError(count)
    return ZoneSupply(names, count, bool(cells["verified"]), cells["source"], cells["as_of"])


def _price(cells: Mapping[str, Any] | None) -> Price | None:
    if cells is None:
        return None
    usd = float(cells["usd_per_hour"])
    if not usd > 0:
        raise ValueError(usd)
    origin = Provenance(cells["source"], cells["as_of"], Quality(cells["quality"]))
    return Price(usd, origin, _range(cells["zones_usd_per_hour"]) if "zones_usd_per_hour" in cells else None)


def _range(cells: Sequence[Any]) -> tuple[float, float]:
    low, high = map(float, cells)
    if not 0 < low <= high:
        raise ValueError(cells)
    return low, high


def _place(cells: Mapping[str, Any]) -> Place:
    return cells["provider"], cells["region"], cells["instance_type"]


def place_of(row: HasPlace) -> Place:
    """Provider, region and type of whatever has the three."""
    return row.provider, row.region, row.instance_type
