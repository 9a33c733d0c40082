"""Rejections of served candidates that become no pool."""

import datetime as dt

from advisor.candidates import Candidate, Rejection, Shortfall, reject, reject_candidate
from advisor.catalog.price_trust import first_day, trust
from advisor.catalog.values import InstanceType, Offer, Purchase
from advisor.plan.geography import network_shortfall
from advisor.plan.problem.supply import Supply
from advisor.plan.problem.tariffs import price_of, tariffs_of
from advisor.plan.problem.values import Tariff

SERVICE = "services"


def no_price(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    """Rejection of an offer without a price that may be paid."""
    workload = supply.requirements.workload
    if tuple(workload.purchase) == (Purchase.MANAGED,) and offer.managed is None:
        return no_service(candidate.instance_type, offer.region)
    unlisted = next(tariffs_of(supply, offer), None)
    kinds = " or ".join(purchase.value.replace("_", " ") for purchase in workload.purchase)
    shortfall = Shortfall(
        "price_unknown", "USD/h", f"{kinds} price", None, f"sold there, but no price for {kinds} is known"
    )
    if unlisted is not None:
        shortfall = _not_listed(unlisted, workload.as_of or first_day(supply.catalog.as_of))
    return reject(candidate.instance_type, shortfall, region=offer.region)


def _not_listed(tariff: Tariff, day: dt.date | None) -> Shortfall:
    """Fault of a price that ``listed_only`` leaves out."""
    paid = tariff.paid.value.replace("_", " ")
    doubt = trust(price_of(tariff), Purchase(tariff.paid.value), day).reason if day else ""
    found = doubt or "derived from a price on demand that is not listed"
    reason = f"its {paid} price of ${tariff.usd_per_hour:,.4g} an hour is left out by listed_only: {found}"
    return Shortfall("not_listed", "price", "listed and recent", found, reason)


def no_service(machine: InstanceType, region: str) -> Rejection:
    """Why a machine cannot be had as a managed endpoint."""
    reason = "no service is known to run endpoints on it"
    return reject(machine, Shortfall("not_sold", SERVICE, "a managed endpoint", 0, reason), region=region)


def too_far(supply: Supply, candidate: Candidate, offer: Offer) -> Rejection:
    """Rejection of a region that is too far from all users."""
    where, slo = supply.geography, supply.requirements.workload.slo
    ms, place = min(zip(where.network_ms[offer.provider, offer.region], where.places, strict=True))
    reason = f"with {ms:g} ms of network no load at all keeps the targets"
    shortfall = network_shortfall(place, offer.region, slo, ms) or Shortfall(
        "network", "ms", ms, slo.ttft_p95_ms, reason
    )
    return reject_candidate(candidate, shortfall, offer.region)
