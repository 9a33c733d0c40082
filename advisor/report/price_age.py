"""How old the prices are that a plan stands on."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advisor.catalog.imports import PROVIDERS
from advisor.catalog.layers.places import published_dir
from advisor.catalog.layers.snapshot import providers
from advisor.catalog.price_trust import MOST_DAYS, first_day
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.plan.values import Plan


_OWNED = "owned"
"""Way of paying for instances that have no price of their own."""
ZONE_DAYS = 1
"""A date is at most so far ahead where days begin earlier than in UTC."""


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
    from advisor.catalog.refresh.providers import BUILT_IN, plugin_names  # noqa: PLC0415 - most plans need no hint

    if provider in providers(published_dir()):
        return "`advisor catalog update` takes newer ones once they are published"
    if provider in BUILT_IN or provider in plugin_names():
        return f"`advisor catalog refresh {provider}` asks for today's"
    if provider in PROVIDERS.values():
        return "`advisor catalog import-gpuhunt --live` looks for newer ones"
    return f"nothing can ask {provider}: `private_offers` in the overlay file states today's"


def check_age(used: Iterable[PriceUsed], today: dt.date, most_days: int) -> None:
    """Refuse what stands on older prices than its user accepts.

    Raises:
        InputError: a price is older, or has no date.
    """
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
