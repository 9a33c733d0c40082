"""Doubts about a plan: prices that are derived, recalled or old and decide it, and fleets that no replay confirms."""

import datetime as dt
import math
from collections.abc import Callable, Sequence
from functools import partial

from advisor.catalog.catalog import Catalog
from advisor.catalog.price_trust import PriceTrust, is_listed, trust
from advisor.catalog.values import Price, Provenance, Purchase, Quality
from advisor.demand.capped import capped_words
from advisor.demand.values import CappedMinutes
from advisor.plan.fleet.chosen import DoubtfulPrice, Fleet, FleetGroup, PriceRange
from advisor.plan.problem.supply import price_of
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.replay.groups import Confirmed
from advisor.plan.request import read_question
from advisor.plan.solve.objective import allocation_usd_per_month
from advisor.plan.values import Option, OptionCost, Plan, PriceEnds, RungGroup
from advisor.plan.words import group_count_words, least_share_words
from advisor.records import dataclass, replace
from advisor.requirements import left_out_ratio
from advisor.units import A_CENT, ratio_words

LEAST_LEFT_OUT = 0.1
"""Requests that a context leaves out ÷ those that may miss the SLO, from which on they are told."""


def wanted_ratio(plan: Plan) -> float:
    """Share of the requests that has to be within the SLO."""
    return float(plan.workload["slo"]["within_ratio"])


def falls_short(plan: Plan, fleet: Fleet) -> bool:
    """Whether a replay finds fewer within the SLO than that share: of all, of the busiest, or with a machine gone."""
    return fleet.confirmed is not None and fleet.confirmed.least[0] < wanted_ratio(plan)


def is_refused(plan: Plan) -> bool:
    """Whether a plan's fleet is only the closest of fleets that no replay confirms; a run of a batch has no replay."""
    fleet = plan.fleet
    if fleet is None or fleet.is_batch_alone:
        return False
    return falls_short(plan, fleet)


def refusal_words(plan: Plan, fleet_words: str = "") -> str:
    """``no fleet keeps the SLO in its replay: the closest has 98% of the requests within it, 99% are asked``."""
    confirmed = None if plan.fleet is None else plan.fleet.confirmed
    kept = "none of the requests within it" if confirmed is None else least_share_words(confirmed, "it")
    closest = f"{fleet_words}, the closest," if fleet_words else "the closest"
    left_out = left_out_of(plan)
    capped = capped_of(plan)
    longer = f"; {left_out:.1%} of all are longer than context_tokens and miss it anywhere" if left_out else ""
    lone = f"; {capped_words(capped)}" if capped else ""
    asked = f"{ratio_words(wanted_ratio(plan))} are asked{longer}{lone}"
    return f"no fleet keeps the SLO in its replay: {closest} has {kept}, {asked}"


def capped_of(plan: Plan) -> CappedMinutes | None:
    """Minutes of the demand that the plan counts at less than was seen; None: there are none."""
    capped = plan.demand.get("capped")
    return None if capped is None else CappedMinutes(**capped)


def left_out_of(plan: Plan) -> float:
    """Share of the requests that the context of a plan leaves out; 0 where it is too few to matter."""
    if plan.question is None:
        return 0.0
    ratio = left_out_ratio(int(plan.workload["context_tokens"]), read_question(plan.question).demand)
    return ratio if ratio >= LEAST_LEFT_OUT * (1 - wanted_ratio(plan)) else 0.0


_OF_PURCHASE = {
    PurchaseOption.ON_DEMAND: Purchase.ON_DEMAND,
    PurchaseOption.SERVERLESS: Purchase.ON_DEMAND,
    PurchaseOption.SPOT: Purchase.SPOT,
    PurchaseOption.COMMITMENT: Purchase.COMMITMENT,
    PurchaseOption.MANAGED: Purchase.MANAGED,
}


@dataclass(frozen=True, slots=True)
class PriceDoubts:
    """Prices of a fleet that are in doubt, and what that may come to."""

    prices: tuple[DoubtfulPrice, ...]
    price_range: PriceRange | None
    """None: no price is in doubt."""


def price_doubts(
    fleet: Fleet, options: Sequence[Option], today: dt.date, catalog: Catalog, most_usd: float = math.inf
) -> PriceDoubts:
    """Prices of a fleet that are derived, recalled or old, and spot prices that differ from zone to zone.

    They decide where an option, as priced, costs less once they are at the upper end of their ranges, where the fleet
    is beyond the budget then, or where there is no option on listed prices. A price that can only have fallen since
    decides nothing: the fleet is the cheapest all the more. *most_usd*: budget, USD a month.
    """
    doubted = [
        (group, group_trust)
        for group in fleet.groups
        if (group_trust := _trust_of(group, group, today, catalog)) is not None
    ]  # fmt: skip
    if not doubted:
        return PriceDoubts((), None)
    rise = _Rise(fleet, doubted, partial(_reason_of, today=today, catalog=catalog))
    rival = min(options, key=rise.part_until_cheaper, default=None)
    part = math.inf if rival is None else rise.part_until_cheaper(rival)
    budget_part = rise.part_until(most_usd)
    on_list = next((option for option in options if _is_on_list(option, today, catalog)), None)
    recent = next((option for option in options if _is_recent(option, today, catalog)), None)
    listed = recent or on_list
    prices = tuple(
        DoubtfulPrice(
            group=group.name,
            reason=group_trust.reason,
            low_ratio=group_trust.low_ratio,
            high_ratio=group_trust.high_ratio,
            runner_up=() if listed is None else (fleet_of_type_words(listed),),
            runner_up_usd_per_month=None if listed is None else listed.cost.total_usd_per_month,
            decides=(min(part, budget_part) < 1 or on_list is None) and group_trust.high_ratio > 1,
            runner_up_replayed=listed is None or listed.confirmed is not None,
            runner_up_is_old=listed is not None and recent is None,
            break_even_usd_per_hour=_at(part, group, group_trust),
            budget_usd_per_hour=_at(budget_part, group, group_trust),
        )
        for group, group_trust in doubted
    )
    low = math.fsum(group.compute_usd_per_month * (group_trust.low_ratio - 1) for group, group_trust in doubted)
    overtaking = rival if math.isfinite(part) else None
    return PriceDoubts(
        prices,
        PriceRange(
            low_usd_per_month=round(fleet.cost.total_usd_per_month + low, 2),
            high_usd_per_month=round(fleet.cost.total_usd_per_month + rise.usd_per_month, 2),
            rival="" if overtaking is None else fleet_of_type_words(overtaking),
            rival_usd_per_month=None if overtaking is None else rise.usd_per_month_of(overtaking),
            rival_replayed=overtaking is not None and overtaking.confirmed is not None,
            rival_in_doubt=overtaking is not None
            and _trust_of(overtaking, overtaking.cost, today, catalog) is not None,
        ),
    )


def price_ends(confirmed: Confirmed, today: dt.date) -> PriceEnds | None:
    """Totals of a confirmed fleet at both ends of its doubtful prices, as :func:`price_doubts` has them of a plan's."""
    low, high, prices = confirmed.usd_per_month, confirmed.usd_per_month, []
    problem, sources = confirmed.formulation.problem, confirmed.formulation.pool_set.sources
    for allocation in confirmed.solution.allocations:
        purchase = _OF_PURCHASE.get(allocation.tariff.paid)
        if purchase is None:
            continue
        offer = sources[allocation.pool.key].offer
        spot = offer.spot if purchase is Purchase.SPOT else None
        by_zone = None if spot is None else spot.zones_usd_per_hour
        price_trust = trust(replace(price_of(allocation.tariff), zones_usd_per_hour=by_zone), purchase, today)
        if price_trust.certain:
            continue
        compute_usd = allocation_usd_per_month(problem, allocation)
        low += compute_usd * (price_trust.low_ratio - 1)
        high += compute_usd * (price_trust.high_ratio - 1)
        paid = allocation.tariff.paid.value.replace("_", " ")
        prices.append(f"{offer.instance_type} {paid} in {offer.region} ({price_trust.reason})")
    return PriceEnds(round(low, 2), round(high, 2), tuple(dict.fromkeys(prices))) if prices else None


def price_ends_of(fleet: Fleet) -> PriceEnds | None:
    """The same of the fleet of a plan."""
    if fleet.price_range is None:
        return None
    reasons = {doubt.group: doubt.reason for doubt in fleet.doubtful_prices}
    prices = [
        f"{group.instance_type} {group.purchase.replace('_', ' ')} in {group.region} ({reasons[group.name]})"
        for group in fleet.groups
        if group.name in reasons
    ]
    ends = fleet.price_range
    return PriceEnds(ends.low_usd_per_month, ends.high_usd_per_month, tuple(dict.fromkeys(prices)))


class _Rise:
    """Doubtful prices of a fleet, from as planned (0) to the upper ends of their ranges (1), all by the same part.

    Prices of other sizes rise with them where one accelerator is paid for in the same way and region, and they are in
    doubt for the same reason: a list of one day, a memory.
    """

    def __init__(
        self, fleet: Fleet, doubted: Sequence[tuple[FleetGroup, PriceTrust]], reason_of: Callable[[Option], str]
    ) -> None:
        """Keep the total as planned, and by how much each price may rise.

        *reason_of*: why the price of an option is in doubt; "" where it is not.
        """
        self._planned_usd, self._reason_of = fleet.cost.total_usd_per_month, reason_of
        self._ratios_of_sizes = {
            (*_family(group), group_trust.reason): group_trust.high_ratio - 1
            for group, group_trust in doubted
            if group.accelerator
        }
        self._ratios = {
            (group.type_in_region, group.purchase): group_trust.high_ratio - 1 for group, group_trust in doubted
        }
        self.usd_per_month = math.fsum(
            group.compute_usd_per_month * (group_trust.high_ratio - 1) for group, group_trust in doubted
        )

    def usd_per_month_of(self, option: Option) -> float:
        """Total of an option at the upper ends; other prices as planned."""
        return round(option.cost.total_usd_per_month + self._of(option), 2)

    def part_until_cheaper(self, option: Option) -> float:
        """Part of the rise at which an option costs as much as the fleet; infinite where none makes it so."""
        lead_usd, closing_usd = (
            option.cost.total_usd_per_month - self._planned_usd,
            self.usd_per_month - self._of(option),
        )
        return lead_usd / closing_usd if closing_usd > A_CENT and lead_usd >= 0 else math.inf

    def part_until(self, most_usd: float) -> float:
        """Part of the rise at which the fleet costs *most_usd* a month; infinite where it costs less all the way."""
        left_usd = most_usd - self._planned_usd
        is_between = -A_CENT <= left_usd < self.usd_per_month - A_CENT
        return max(left_usd, 0.0) / self.usd_per_month if is_between else math.inf

    def _of(self, option: Option) -> float:
        """USD a month by which an option costs more at the upper ends."""
        ratio = self._ratios.get((option.type_in_region, option.purchase))
        if ratio is None:
            ratio = self._ratios_of_sizes.get((*_family(option), self._reason_of(option)), 0.0)
        return option.cost.compute_usd_per_month * ratio


def _family(bought: FleetGroup | Option) -> tuple[str, str, str, str]:
    """Sizes that have one price per accelerator."""
    return bought.provider, bought.region, bought.accelerator, bought.purchase


def _reason_of(option: Option, *, today: dt.date, catalog: Catalog) -> str:
    """Why the price of an option is in doubt; "" where it is not."""
    price_trust = _trust_of(option, option.cost, today, catalog)
    return "" if price_trust is None else price_trust.reason


def _at(part: float, group: FleetGroup, price_trust: PriceTrust) -> float | None:
    """Price of an instance at a part of its rise, USD an hour; None where it does not rise, or for no part."""
    if price_trust.high_ratio <= 1 or not math.isfinite(part):
        return None
    return group.instance_usd_per_hour * (1 + part * (price_trust.high_ratio - 1))


def _trust_of(
    bought: FleetGroup | Option, paid: FleetGroup | OptionCost, today: dt.date, catalog: Catalog
) -> PriceTrust | None:
    """Reliability of a price; None where it can be relied on, or where nothing is paid."""
    purchase = _OF_PURCHASE.get(PurchaseOption(bought.purchase))
    if purchase is None:
        return None
    price_trust = trust(_price_of(bought, paid, purchase, catalog), purchase, today)
    return None if price_trust.certain else price_trust


def _price_of(
    bought: FleetGroup | Option, paid: FleetGroup | OptionCost, purchase: Purchase, catalog: Catalog
) -> Price:
    origin = Provenance(paid.price_source, paid.price_as_of, Quality(paid.price_quality))
    return Price(paid.instance_usd_per_hour, origin, _by_zone(bought, purchase, catalog))


def _is_on_list(option: Option, today: dt.date, catalog: Catalog) -> bool:
    """Whether the price of an option stands in a source, however old, and can only have fallen since."""
    price_trust = _trust_of(option, option.cost, today, catalog)
    return price_trust is None or price_trust.on_list


def _is_recent(option: Option, today: dt.date, catalog: Catalog) -> bool:
    """Whether ``listed_only`` would plan an option."""
    purchase = _OF_PURCHASE.get(PurchaseOption(option.purchase))
    if purchase is None:
        return True
    offer = catalog.offer(option.provider, option.region, option.instance_type)
    on_demand = None if offer is None else offer.on_demand
    return is_listed(_price_of(option, option.cost, purchase, catalog), purchase, on_demand, today)


def _by_zone(bought: FleetGroup | Option, purchase: Purchase, catalog: Catalog) -> tuple[float, float] | None:
    """Lowest and highest price of the region's zones where known: a plan keeps the median alone."""
    offer = catalog.offer(bought.provider, bought.region, bought.instance_type)
    spot = offer.spot if offer is not None and purchase is Purchase.SPOT else None
    return None if spot is None else spot.zones_usd_per_hour


def fleet_of_type_words(option: Option | RungGroup) -> str:
    """``3 × g6e.xlarge spot in us-east-1 (aws)``."""
    paid = option.purchase.replace("_", " ")
    return f"{group_count_words(option)} × {option.instance_type} {paid} in {option.region} ({option.provider})"
