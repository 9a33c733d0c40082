"""How a machine is sold beside on demand and spot, for ``advisor catalog show``: commitments and reservations."""

from collections.abc import Iterator, Sequence
from typing import Any

from advisor.catalog import Catalog
from advisor.catalog.planning import CommitmentPrice, Reservation
from advisor.catalog.values import Offer
from advisor.report.text_table import render_table

_HEADERS = ("region", "commitment", "years", "paid", "USD/h", "saves", "as of", "source")


def term_entries(catalog: Catalog, offers: Sequence[Offer]) -> dict[str, list[dict[str, Any]]]:
    """Commitments of each region, and reservations, for programs; prices in USD for an hour of one instance."""
    return {
        "commitments": [_entry(offer, price) for offer in offers for price in catalog.current_commitments(offer)],
        "reservations": [_reservation_entry(reservation) for reservation in _reservations(catalog, offers)],
    }


def term_lines(catalog: Catalog, offers: Sequence[Offer]) -> Iterator[str]:
    """The same for people."""
    cells = [_cells(offer, price) for offer in offers for price in catalog.current_commitments(offer)]
    if cells:
        yield ""
        yield render_table(_HEADERS, cells)
    lines = [_reservation_words(reservation) for reservation in _reservations(catalog, offers)]
    if lines:
        yield "\nalso sold, never taken by a plan:"
        yield from lines


def _entry(offer: Offer, price: CommitmentPrice) -> dict[str, Any]:
    return {
        "region": offer.region,
        "instrument": price.commitment.instrument,
        "term_years": price.commitment.term_years,
        "payment": price.commitment.payment,
        "usd_per_hour": round(price.usd_per_hour, 6),
        "source": price.provenance.source,
        "as_of": price.provenance.as_of,
        "quality": price.provenance.quality.value,
    }


def _cells(offer: Offer, price: CommitmentPrice) -> tuple[str, ...]:
    sold_as, origin = price.commitment, price.provenance
    saves = "-" if offer.on_demand is None else f"{1 - price.usd_per_hour / offer.on_demand.usd_per_hour:.0%}"
    return (
        offer.region,
        sold_as.instrument,
        str(sold_as.term_years),
        sold_as.payment.replace("_", " "),
        f"{price.usd_per_hour:.5g}",
        saves,
        origin.as_of,
        f"{origin.source} ({origin.quality})",
    )


def _reservations(catalog: Catalog, offers: Sequence[Offer]) -> list[Reservation]:
    """Reservations of any of the offers, each once."""
    return list(dict.fromkeys(reservation for offer in offers for reservation in catalog.reservations(offer)))


def _reservation_entry(reservation: Reservation) -> dict[str, Any]:
    return {
        "instrument": reservation.instrument,
        "region": reservation.region,
        "least_days": reservation.least_days,
        "most_days": reservation.most_days,
        "days_ahead": reservation.days_ahead,
        "payment": reservation.payment,
        "usd_per_hour": reservation.usd_per_hour,
        "terms": reservation.terms,
        "source": reservation.provenance.source,
        "as_of": reservation.provenance.as_of,
        "quality": reservation.provenance.quality.value,
    }


def _reservation_words(reservation: Reservation) -> str:
    days = (
        f"{reservation.least_days} days or more"
        if reservation.most_days is None
        else f"{reservation.least_days} to {reservation.most_days} days"
    )
    ahead = f", bought up to {reservation.days_ahead} days ahead" if reservation.days_ahead else ""
    where = f" in {reservation.region}" if reservation.region else ""
    price = "" if reservation.usd_per_hour is None else f", ${reservation.usd_per_hour:g} an hour{where}"
    origin = f"{reservation.provenance.quality}, {reservation.provenance.as_of}"
    return f"{reservation.instrument}: {days}{ahead}, paid {reservation.payment}{price}; {reservation.terms} ({origin})"
