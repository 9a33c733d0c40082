"""Whether the prices that a plan was made from still hold."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence

from advisor.catalog.catalog import Catalog
from advisor.catalog.layers.changes import Change, Kind, changes
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.values import Offer, Purchase
from advisor.plan.locks import Lock, with_processors_of
from advisor.records import asdict, dataclass
from advisor.report.price_age import age_words, days_since
from advisor.report.text_table import dashed, render_table

_MATTERS = (Kind.GONE, Kind.UNPRICED, Kind.MOVED)


@dataclass(frozen=True, slots=True)
class Drift:
    """Prices and offers of a plan that have changed since."""

    changes: tuple[Change, ...]
    """Offers that are gone or unpriced, and prices that moved by more than is tolerated."""
    paid_changed: int
    """How many of the offers that the plan pays for are among them; the others were compared with these."""
    same_catalog: bool
    """Every row of the catalog is as it was, not only those that were used."""
    oldest_as_of: str
    age_days: int | None
    """Age of the oldest price used; None when it has no date."""
    is_stale: bool
    """Whether that is older than the user accepts."""

    @property
    def holds(self) -> bool:
        """Whether the plan's prices still hold."""
        return not self.changes and not self.is_stale


def drift_of(lock: Lock, catalog: Catalog, tolerated_ratio: float, today: dt.date, most_days: int | None) -> Drift:
    """Changes between the prices that a plan used and those of today.

    Args:
        lock: offers and prices that the plan used.
        catalog: offers and prices of today.
        tolerated_ratio: a price may move by as much, up or down.
        today: for the age of prices.
        most_days: oldest price that is accepted; None: any.
    """
    catalog = with_processors_of(catalog, lock.offers)
    used = {(offer.provider, offer.region, offer.instance_type) for offer in lock.offers}
    now = [offer for offer in catalog.offers if (offer.provider, offer.region, offer.instance_type) in used]
    moved = tuple(
        change
        for change in (*changes(lock.offers, now), *_commitments(lock, catalog, now))
        if change.kind in _MATTERS and (change.moved_ratio is None or abs(change.moved_ratio) > tolerated_ratio)
    )
    age = days_since(lock.oldest_as_of, today)
    is_stale = most_days is not None and (age is None or age > most_days)
    paid = {(change.provider, change.region, change.instance_type) for change in moved} & lock.chosen
    return Drift(moved, len(paid), catalog.content_hash == lock.catalog_hash, lock.oldest_as_of, age, is_stale)


def _commitments(lock: Lock, catalog: Catalog, now: Sequence[Offer]) -> Iterator[Change]:
    """Changed prices of commitments; those that were not sold then are left out."""
    by_place = {(offer.provider, offer.region, offer.instance_type): offer for offer in now}
    for offer, then in lock.commitments.items():
        place = (offer.provider, offer.region, offer.instance_type)
        today = by_place.get(place)
        if today is None:
            continue
        prices = {_instrument(price): price.usd_per_hour for price in catalog.current_commitments(today)}
        for commitment_price in then:
            now_usd = prices.get(_instrument(commitment_price))
            kind = Kind.UNPRICED if now_usd is None else Kind.MOVED
            if now_usd != commitment_price.usd_per_hour:
                yield Change(kind, *place, Purchase.COMMITMENT, commitment_price.usd_per_hour, now_usd)


def _instrument(price: CommitmentPrice) -> tuple[str, int, str]:
    commitment = price.commitment
    return commitment.instrument, commitment.term_years, commitment.payment


def drift_words(drift: Drift, today: dt.date) -> str:
    """Changes as a table, and what they mean for the plan."""
    age = f"is {age_words(drift.oldest_as_of, today)}"
    headers = ("change", "type", "region", "paid", "then", "now", "")
    lines = [render_table(headers, [_row(change) for change in drift.changes])] if drift.changes else []
    lines.append(f"the oldest price used {age}{', which is older than the limit' if drift.is_stale else ''}")
    if drift.paid_changed:
        lines.append("the plan pays prices that no longer hold: make it again with `advisor recommend`")
    elif drift.changes:
        lines.append(
            "what the plan pays still holds, but not what it was compared with: "
            "`advisor recommend` may find a cheaper one"
        )
    else:
        lines.append(
            "the catalog is the one that the plan was made from"
            if drift.same_catalog
            else "the catalog has changed, the prices that the plan uses have not"
        )
    return "\n".join(lines) + "\n"


def drift_json(drift: Drift) -> str:
    """Changes as JSON."""
    moved = [asdict(change) | {"moved_ratio": change.moved_ratio} for change in drift.changes]
    return json.dumps(asdict(drift) | {"changes": moved, "holds": drift.holds}, indent=2) + "\n"


def _row(change: Change) -> Sequence[str]:
    ratio = change.moved_ratio
    return (
        change.kind.value.replace("_", " "),
        change.instance_type,
        change.region,
        change.purchase.value.replace("_", " ") if change.purchase else "",
        dashed(change.before_usd_per_hour, "{:.5g}".format),
        dashed(change.now_usd_per_hour, "{:.5g}".format),
        "" if ratio is None else f"{ratio:+.1%}",
    )
