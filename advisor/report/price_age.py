"""Prices that a plan stands on: how old they are, how well founded, and whether they still hold."""

import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from advisor.catalog import published_dir
from advisor.catalog.catalog import Catalog
from advisor.catalog.imports import PROVIDERS
from advisor.catalog.layers.snapshot import Change, Kind, changes, providers
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.price_trust import MOST_DAYS, first_day
from advisor.catalog.values import Offer, Purchase
from advisor.errors import InputError
from advisor.plan.doubts import fleet_of_type_words
from advisor.plan.fleet.chosen import DoubtfulPrice, Fleet
from advisor.plan.locks import Lock, with_processors_of
from advisor.records import asdict, dataclass
from advisor.report.option_words import replayed_rung
from advisor.report.text_table import dashed, render_table
from advisor.report.words import paid_words
from advisor.units import price_usd, usd

if TYPE_CHECKING:
    from advisor.plan.values import Plan

_OWNED = "owned"
"""Way of paying for instances that have no price of their own."""
ZONE_DAYS = 1
"""A date is at most so far ahead where days begin earlier than in UTC."""


def price_words(fleet: Fleet, plan: "Plan | None" = None) -> Iterator[str]:
    """Doubtful prices with what they may be today, those that decide first, and what would then be cheaper.

    *plan*: has options and rungs, of which one may have the replay of what is told on listed prices.
    """
    for decides in (True, False):
        doubts = [doubt for doubt in fleet.doubtful_prices if doubt.decides is decides]
        if doubts:
            # Groups that differ by their layout alone have one price.
            told = list(dict.fromkeys(_doubt_words(fleet, doubt) for doubt in doubts))
            verb = "is" if len(told) == 1 else "are"
            is_single = len(told) == 1
            effect = (
                _decided(fleet, doubts, _listed_words(doubts[0], plan), is_single=is_single)
                if decides
                else _undecided(fleet, doubts, is_single=is_single)
            )
            yield f"Price: {' and '.join(told)} {verb} in doubt{effect}."


def _doubt_words(fleet: Fleet, doubt: DoubtfulPrice) -> str:
    """``inf2.xlarge spot at $0.17 an hour, today $0.06 to $0.34 (derived from other prices)``."""
    group = next((group for group in fleet.groups if group.name == doubt.group), None)
    told = doubt.group if group is None else f"{group.instance_type} {paid_words(group)}"
    if group is not None:
        price = group.instance_usd_per_hour
        low, high = price * doubt.low_ratio, price * doubt.high_ratio
        today = f", today {price_usd(low)} to {price_usd(high)}" if math.isfinite(high) else ""
        told += f" at {price_usd(price)} an hour{today}"
    return f"{told} ({doubt.reason})"


def _decided(fleet: Fleet, doubts: Sequence[DoubtfulPrice], listed: str, *, is_single: bool) -> str:
    """Prices up to which the answer holds, the totals at the upper ends, and the cheapest option on listed prices."""
    ends, decide = fleet.price_range, f" and {'decides' if is_single else 'decide'}"
    if ends is None:
        return f"{decide}. {listed}"
    holds, budget = _holds_words(doubts, is_single=is_single), _budget_words(doubts)
    upper = "its upper price" if is_single else "their upper prices"
    at_most = f"At {upper} the fleet costs {usd(ends.high_usd_per_month)}"
    if ends.rival_usd_per_month is None or ends.rival_usd_per_month >= ends.high_usd_per_month:
        return f"{decide}. {f'{holds}{budget}. ' if budget else ''}{listed}. {at_most}, and no option less"
    rival = f"{ends.rival} {_option_usd(ends.rival_usd_per_month, replayed=ends.rival_replayed)}"
    if ends.rival_in_doubt:
        rival += f" by a price that is in doubt too. {listed}"
    return f"{decide}. {holds}{budget}. {at_most} and {rival}"


def _holds_words(doubts: Sequence[DoubtfulPrice], *, is_single: bool) -> str:
    """Prices up to which the fleet is the cheapest and within its budget; of several, which all rise together."""
    prices = [price for doubt in doubts if math.isfinite(price := doubt.holds_below_usd_per_hour)]
    below = f"less than {' and '.join(dict.fromkeys(map(price_usd, prices)))} an hour"
    holds = "The answer holds" if _budget_words(doubts) else "No option is cheaper"
    if is_single:
        return f"{holds} while it costs {below}"
    return f"{holds} while they rise together and cost {below} (one alone: `advisor explain PLAN --why TYPE`)"


def _budget_words(doubts: Sequence[DoubtfulPrice]) -> str:
    """Why the answer no longer holds above these prices, where that is the budget; "" where it is a rival."""
    is_budget = any(doubt.holds_below_usd_per_hour == doubt.budget_usd_per_hour for doubt in doubts)
    return ": above that the fleet is beyond limits.max_usd_per_month" if is_budget else ""


def _undecided(fleet: Fleet, doubts: Sequence[DoubtfulPrice], *, is_single: bool) -> str:
    """How dear the fleet may be, and that nothing is cheaper even so."""
    ends = fleet.price_range
    if ends is None or all(doubt.high_ratio <= 1 for doubt in doubts):
        return "; even so no option on listed prices is cheaper"
    upper = "its upper price" if is_single else "their upper prices"
    return f"; even at {upper}, where the fleet costs {usd(ends.high_usd_per_month)}, no option costs less"


def _listed_words(doubt: DoubtfulPrice, plan: "Plan | None") -> str:
    if not doubt.runner_up or doubt.runner_up_usd_per_month is None:
        return "No option rests on listed prices alone"
    cost = _option_usd(doubt.runner_up_usd_per_month, replayed=doubt.runner_up_replayed)
    option = f"{' + '.join(doubt.runner_up)} at {cost}"
    if plan is not None and not doubt.runner_up_replayed and len(doubt.runner_up) == 1:
        option = _unjudged_words(doubt, plan)
    if doubt.runner_up_is_old:
        return f"No option has only list prices that are recent; at an old list price, at most: {option}"
    return f"On listed prices alone, at most: {option}"


def _unjudged_words(doubt: DoubtfulPrice, plan: "Plan") -> str:
    """An option that is not replayed: as a rung of the ladder has it, or what differs from a rung of its machines."""
    (told,) = doubt.runner_up
    option = next((option for option in plan.options if fleet_of_type_words(option) == told), None)
    cost = _option_usd(doubt.runner_up_usd_per_month or 0.0, replayed=False)
    if option is None:
        return f"{told} at {cost}"
    rung = replayed_rung(option, plan.ladder)
    if rung is not None and rung.total_usd_per_month is not None:
        return f"{fleet_of_type_words(rung.groups[0])} at {usd(rung.total_usd_per_month)}"
    _, _, machines = told.partition(" × ")
    alone = (rung.groups[0] for rung in plan.ladder if len(rung.groups) == 1)
    others = {group.precision for group in alone if fleet_of_type_words(group).partition(" × ")[2] == machines}
    differs = f"; on the ladder in {' or '.join(sorted(others))}" if others else ""
    return f"{told} in {option.precision} at {cost.removesuffix(')')}{differs})"


def _option_usd(usd_per_month: float, *, replayed: bool) -> str:
    return usd(usd_per_month) if replayed else f"~{usd(usd_per_month)} (not replayed)"


@dataclass(frozen=True, slots=True)
class PriceUsed:
    """A price that the plan pays."""

    provider: str
    instance_type: str
    region: str
    as_of: str
    """ISO date, month or year; "" when unknown."""

    def age_days(self, today: dt.date) -> int | None:
        """Days since its date, from the first day that it may mean; None where it has none, or one yet to come."""
        return days_since(self.as_of, today)


def days_since(as_of: str, today: dt.date) -> int | None:
    """Days since the first day that a date may mean; None where there is none, or it lies after today."""
    day = first_day(as_of)
    return None if day is None or is_ahead(as_of, today) else max(0, (today - day).days)


def is_ahead(as_of: str, today: dt.date) -> bool:
    """Whether a date lies after today: a wrong date or a wrong clock, which tells no age."""
    day = first_day(as_of)
    return day is not None and (day - today).days > ZONE_DAYS


def prices_used(plan: "Plan") -> tuple[PriceUsed, ...]:
    """Prices of the recommended fleet, what is owned left out; of the best single type where there is none."""
    if plan.fleet is not None:
        return tuple(
            PriceUsed(group.provider, group.instance_type, group.region, group.price_as_of)
            for group in plan.fleet.groups
            if group.purchase != _OWNED
        )
    best = plan.recommended
    return () if best is None else (PriceUsed(best.provider, best.instance_type, best.region, best.cost.price_as_of),)


def oldest_price(plan: "Plan") -> PriceUsed | None:
    """The oldest price that the plan pays; one without a date is older than all."""
    return oldest_of(prices_used(plan))


def oldest_of(prices: Iterable[PriceUsed]) -> PriceUsed | None:
    """The oldest of several; None of none."""
    return min(prices, key=lambda price: first_day(price.as_of) or dt.date.min, default=None)


def is_old(price: PriceUsed, today: dt.date) -> bool:
    """Whether it is too old to decide by itself, or has no date: its user is warned."""
    age = price.age_days(today)
    return age is None or age > MOST_DAYS


def age_sentence(oldest: PriceUsed, today: dt.date) -> str:
    """How old the oldest price is, and of what."""
    where = f"{oldest.instance_type} in {oldest.region}"
    return f"the oldest price used, of {where}, is {age_words(oldest.as_of, today)}"


def refresh_hint(provider: str) -> str:
    """How to come by today's price of a provider."""
    from advisor.catalog.refresh import BUILT_IN, plugin_names  # noqa: PLC0415 - most plans need no hint

    if provider in providers(published_dir()):
        return "`advisor catalog update` takes newer ones once they are published"
    if provider in BUILT_IN or provider in plugin_names():
        return f"`advisor catalog refresh {provider}` asks for today's"
    if provider in PROVIDERS.values():
        return "`advisor catalog import-gpuhunt --live` looks for newer ones"
    return f"nothing can ask {provider}: `private_offers` in the overlay file states today's"


def check_age(used: Iterable[PriceUsed], today: dt.date, most_days: int) -> None:
    """Refuse older prices than the user accepts. Raises InputError if one is older, or has no date."""
    for price in used:
        age = price.age_days(today)
        if age is None or age > most_days:
            how_old = age_words(price.as_of, today)
            raise InputError(
                f"the price of {price.instance_type} in {price.region} is {how_old}; {most_days} days are the limit",
                where="--max-price-age",
                hint=f"{refresh_hint(price.provider)}; or raise the limit",
            )


def age_words(as_of: str, today: dt.date) -> str:
    """How old a price of this date is."""
    day = first_day(as_of)
    if day is None:
        return "of unknown date"
    if is_ahead(as_of, today):
        return f"of {as_of}, after today by this machine's clock ({today}): its age is unknown"
    bound = "" if as_of.count("-") == 2 else "up to "
    days = max(0, (today - day).days)
    return f"{bound}{days} day{'' if days == 1 else 's'} old ({as_of})"


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

    A price may move by *tolerated_ratio*, up or down. *most_days*: oldest price that is accepted; None: any.
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
