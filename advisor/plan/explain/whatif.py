"""``slo.tpot_p95=30ms,demand=2x``: the question of a plan, asked otherwise.

A value is written as in the workload file and read by the same code; a list is joined by ``+``. Demand, token lengths
and prices also take ``2x``, ``+30%`` and ``-20%`` of what they are.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.plan.doubts import is_refused
from advisor.plan.explain.settings import (
    PRICE,
    PRICED,
    RATE,
    Change,
    changed_by,
    known_prices,
    rate_changed,
    with_price,
)
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import PlanRequest, catalog_of_question
from advisor.plan.values import Conflict, Option, Plan
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.units import price_usd
from advisor.workload.scope import in_scope


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The cheapest option on an instance type that the recommended fleet does not use."""

    option: Option
    usd_per_month_more: float
    price_ratio_to_draw: float | None
    """Of the fleet's compute: at so many times its price both cost the same; None where it has no compute."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan in short."""

    total_usd_per_month: float | None
    """Of the fleet; None: nothing serves the workload."""
    within_ratio: float
    """Share of the requests that the workload wants within the SLO."""
    fleet: Fleet | None
    conflict: Conflict | None
    """Why there is no fleet, where limits exclude each other."""
    recommended: Option | None
    """The fleet in short."""
    options: int
    runner_up: RunnerUp | None
    refused: bool
    """Whether the fleet is only the closest of those that no replay confirms."""
    nearest_misses: tuple[str, ...]
    """Where nothing is feasible: what came closest, in words."""
    seated_on: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Shared machine that an estate seats the workload on instead, in words; "" where there is none."""


def cost_of_plan(plan: Plan) -> float | None:
    """USD a month that is minimised; None where nothing serves the workload."""
    return plan.fleet.cost.total_usd_per_month if plan.fleet and not is_refused(plan) else None


def outcome_of(plan: Plan) -> Outcome:
    """A plan in short."""
    return Outcome(
        total_usd_per_month=cost_of_plan(plan),
        within_ratio=plan.workload["slo"]["within_ratio"],
        fleet=plan.fleet,
        conflict=plan.conflict,
        recommended=plan.recommended,
        options=len(plan.options),
        runner_up=_runner_up(plan, plan.fleet) if plan.fleet else None,
        refused=is_refused(plan),
        nearest_misses=tuple(miss.message for miss in plan.nearest_misses),
        seated_on=plan.seated_on,
    )


def _runner_up(plan: Plan, fleet: Fleet) -> RunnerUp | None:
    used = {(group.provider, group.instance_type) for group in fleet.groups}
    other = next((option for option in plan.options if (option.provider, option.instance_type) not in used), None)
    if other is None:
        return None
    more = other.cost.total_usd_per_month - fleet.cost.total_usd_per_month
    compute = fleet.cost.compute_usd_per_month
    return RunnerUp(other, more, 1 + more / compute if compute > 0 else None)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The plan as it is beside the plan as it would be."""

    changes: tuple[Change, ...]
    before: Outcome
    after: Outcome
    usd_per_month_change: float | None
    """After minus before; None where one of them does not exist."""
    ratio: float | None
    """After ÷ before."""


_OUTSIDE_LISTS = re.compile(r",(?![^\[\]]*\])")
"""Commas between settings."""


def what_if(
    question: PlanRequest, catalog: Catalog, text: str, named: Collection[str] = ()
) -> tuple[PlanRequest, Catalog, tuple[Change, ...]]:
    """The question and the catalog with every ``key=value`` of *text* in force, and what they changed.

    Prices change last: those of the machines that the changed question is answered from, in the regions it asks for.
    The rate changes last but for them: a stated one holds, whatever other changes do to the rate of concurrent users.
    One that only follows from these is told at the end.
    *named*: instance types that are asked about beside those whose prices change. Raises InputError for an unknown key
    or a value that is not one of its values, with the nearest ones.
    """
    stated, settings = question, list(_settings(text))
    changes: dict[int, Change] = {}
    for at, (key, value) in sorted(enumerate(settings), key=lambda setting: setting[1][0] == RATE):
        if not key.startswith(PRICE):
            with _told_where(key, value):
                question, changes[at] = changed_by(question, key, value)
    if (rate := rate_changed(stated, question)) is not None:
        changes[max((at for at, (key, _) in enumerate(settings) if key == RATE), default=len(settings))] = rate
    priced = {at: setting for at, setting in enumerate(settings) if setting[0].startswith(PRICE)}
    types = types_priced(text) | set(named)
    catalog = catalog_of_question(question, catalog, types)
    for at, (key, value) in priced.items():
        with _told_where(key, value):
            catalog, changes[at] = _change_price(question, catalog, key, value)
    return question, catalog, tuple(changes[at] for at in sorted(changes))


def types_priced(text: str) -> set[str]:
    """Instance types whose prices the changes of *text* set; the question before them is answered from these too."""
    return {_priced_type(key)[0] for key, _ in _settings(text) if key.startswith(PRICE)}


@contextmanager
def _told_where(key: str, value: str) -> Iterator[None]:
    """Errors of a setting name it."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, where=f"--what-if {key}={value}", hint=error.hint) from error


def compare(changes: tuple[Change, ...], before: Plan, after: Plan) -> WhatIf:
    """Two plans side by side."""
    old, new = outcome_of(before), outcome_of(after)
    if old.total_usd_per_month is None or new.total_usd_per_month is None:
        return WhatIf(changes, old, new, None, None)
    difference = new.total_usd_per_month - old.total_usd_per_month
    return WhatIf(changes, old, new, difference, new.total_usd_per_month / old.total_usd_per_month)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for setting in _OUTSIDE_LISTS.split(text):
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not (key and equals and value):
            raise InputError(
                f"'{setting.strip()}' is not a key=value",
                where="--what-if",
                hint="write it as slo.tpot_p95=30ms,demand=2x; a list as purchase=spot+on_demand or [spot, on_demand]",
            )
        yield key, value


def _change_price(question: PlanRequest, catalog: Catalog, key: str, value: str) -> tuple[Catalog, Change]:
    """``price.TYPE``: every way of buying it; ``price.TYPE.spot``: that one only."""
    name, kinds = _priced_type(key)
    workload = in_scope(question.workload, catalog)
    scope = catalog.offers_in(workload.providers, workload.regions)
    before = [offer for offer in scope if offer.instance_type == name]
    if not before:
        types = sorted({offer.instance_type for offer in scope})
        raise InputError(f"'{name}' is not sold in the regions asked for", hint=suggestion(name, types))
    after = [with_price(offer, value, kinds) for offer in before]
    if not known_prices(after, kinds):
        raise InputError("its price is not known", hint=f"give it in USD per hour: {key}=2.50")
    exchanged = dict(zip(before, after, strict=True))
    changed = catalog.with_offers(exchanged.get(offer, offer) for offer in catalog.offers)
    return changed, Change(key, _price_range(known_prices(before, kinds)), _price_range(known_prices(after, kinds)))


def _priced_type(key: str) -> tuple[str, tuple[Purchase, ...]]:
    """The instance type of a price, and the ways of buying it."""
    name = key.removeprefix(PRICE)
    kind = next((kind for kind in PRICED if name.endswith(f".{kind}")), None)
    return (name, PRICED) if kind is None else (name.removesuffix(f".{kind}"), (kind,))


def _price_range(prices: list[float]) -> str:
    if not prices:
        return "unknown"
    ends = dict.fromkeys(price_usd(price) for price in (min(prices), max(prices)))
    return f"{' to '.join(ends)} per hour"
