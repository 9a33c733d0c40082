"""One planner: fleet, options, rungs and today's fleet come from one formulation, one set of rates and one replay."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from advisor.candidates import Rejection
from advisor.catalog.values import Offer
from advisor.performance.served import Served
from advisor.plan.doubts import doubtful_prices
from advisor.plan.fleet.choose import Choice, choice_of, no_choice
from advisor.plan.fleet.chosen import Fleet, HoldsUpTo
from advisor.plan.fleet.describe import batch_beside_of, fleet_of, planning_day
from advisor.plan.fleet.spare import judged_spare
from advisor.plan.ladder import Ladder
from advisor.plan.market import Market, beside_batch, hours_of, hours_to_try, in_hours, market_of
from advisor.plan.option_values import options_of, recommended
from advisor.plan.options import Ranking, Single, rank, rank_rejections
from advisor.plan.problem.values import Infeasible, Pool, PurchaseOption
from advisor.plan.remedies import held_to_limits, purchase_remedies, rung_remedies, with_confirmed_budget
from advisor.plan.replay.confirmed import Confirmed, bounded, held_to, unproven
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.rung_fleets import LowerRungs
from advisor.plan.rungs import RungScope
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.today import judged_current
from advisor.plan.values import CurrentCost, Option, Rung
from advisor.processes import Items
from advisor.requirements import Requirements
from advisor.units import A_CENT
from advisor.workload.values import Routing

ANYWHERE_NOTE = "routing by prompt length saves nothing here: prompts of every length go anywhere"


NEAR_RATIO = 1.15
"""A mix of accelerators costs about so much less than the cheapest single type of them, seldom more."""
WASTED = 2
"""Instances that a mix may save on a single type of many: one that is not full, and one that is spare."""

MOST_HOURS_TRIED = 6
"""Numbers of hours of a batch run that are planned in, those of the cheapest machines first."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Extent of the answer that is wanted."""

    replayed: int = 5
    """So many of the cheapest options are replayed."""
    every_variant: bool = False
    """Every precision and parallelism, not only the best of each offer and way of paying."""
    rungs: tuple[RungScope, ...] = ()
    """What each rung of the ladder allows; empty: no ladder."""
    judges_today: bool = True
    """Whether what runs today is priced and replayed too."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """The answer in parts."""

    choice: Choice
    recommended: Option | None
    options: tuple[Option, ...]
    ladder: tuple[Rung, ...]
    as_stated: Rung | None
    """The recommendation as a rung; None without a ladder."""
    current: CurrentCost | None
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """The fleet to recommend, and the options that it was chosen beside."""

    found: Confirmed | Infeasible | None
    """None: nothing could serve."""
    every: Formulation
    """What the options are chosen from."""
    ranking: Ranking


def recommended_fleet(market: Market) -> Confirmed | Infeasible | None:
    """The fleet that a plan recommends; None where nothing could serve."""
    return _chosen(market, Asked()).found


def routed_fleet(market: Market) -> Confirmed | Infeasible | None:
    """The same where requests may be told apart by their length: of the fleets with and without that, the better."""
    return _routed(market, Asked())[1].found


def with_batch(market: Market) -> Market:
    """The question with the batch work beside its requests, which fills the hours that their fleet leaves idle."""
    if market.context.requirements.demand.beside is None:
        return market
    alone = recommended_fleet(market)
    return beside_batch(market, alone) if isinstance(alone, Confirmed) else market


def likely_fleet(market: Market) -> Confirmed | Infeasible | None:
    """Fleet that a plan is likely to recommend, in a fraction of the time: for comparisons, never to be run.

    The best of the cheapest fleets of one type, or a mix that is cheaper by 1 % at the headroom which these have shown;
    neighbours of it are not looked at.
    """
    if not market.formulation.problem.pools:
        return None
    ranking = rank(market.formulation, market.validator, market.context, None, Asked().replayed)
    found = market.validator.confirmed(known=ranking.cheapest_confirmed)
    return market.validator.simplest(found) if isinstance(found, Confirmed) else found


def _chosen(market: Market, asked: Asked) -> _Chosen:
    """The simplest of the cheapest fleets that their replays confirm, options among them.

    A budget has no part in the search: what is cheapest without one is within it, or nothing is that was found.
    """
    budget = market.formulation.problem.limits.max_usd_per_month
    if budget is None:
        return _chosen_below(market, asked, math.inf)
    limits = replace(market.formulation.problem.limits, max_usd_per_month=None)
    formulation = held_to_limits(market.formulation, limits)
    validator = market.validator.within(formulation, market.context)
    chosen = _chosen_below(replace(market, formulation=formulation, validator=validator), asked, budget)
    market.validator.learn(validator)
    confirmed = chosen.found
    if (
        isinstance(confirmed, Confirmed)
        and confirmed.confirmation.reached
        and confirmed.usd_per_month <= budget + A_CENT
    ):
        held = replace(confirmed, formulation=held_to_limits(confirmed.formulation, market.formulation.problem.limits))
        return replace(chosen, found=held, ranking=chosen.ranking.within(budget, market.formulation))
    limited = market.validator.confirmed(refined=True) if formulation.problem.pools else None
    if limited is None:
        return chosen
    refused = with_confirmed_budget(limited, confirmed, market.formulation)
    if isinstance(confirmed, Confirmed):
        rejections = chosen.ranking.within(budget, market.formulation).rejections
    else:
        rejections = rank_rejections(market.formulation)
    return _Chosen(refused, market.formulation, Ranking((), tuple(rejections)))


def _chosen_below(market: Market, asked: Asked, most_usd: float) -> _Chosen:
    """The same without a budget, but that a simpler fleet costs no more than an amount."""
    context, formulation, validator = market.context, market.formulation, market.validator
    every = formulation
    if asked.every_variant and formulation.problem.pools:
        every = formulate(context, narrowed(market.supply, market.workload), market.week, every=True)
        every = held_to_limits(every, formulation.problem.limits)

    def ranked(fleet: Confirmed | None) -> Ranking:
        return rank(every, validator, context, fleet, asked.replayed, every_variant=asked.every_variant)

    ranking = ranked(None)
    found = validator.confirmed(known=ranking.cheapest_confirmed, refined=True) if formulation.problem.pools else None
    if not isinstance(found, Confirmed):
        return _Chosen(found, formulation, Ranking((), rank_rejections(formulation)))
    limit_usd = found.usd_per_month - A_CENT
    unknown = any(single.confirmed is None and single.usd_per_month < limit_usd for single in ranking.singles)
    if unknown or validator.is_exact or validator.carried_beyond(found):
        ranking = ranked(found)
    cheapest = _of_other_accelerators(market, _cheaper(market, found, ranking, every), ranking, every)
    best = validator.simplest(cheapest, most_usd=most_usd)
    return _Chosen(best, every, ranking.with_fleet(best))


def _of_other_accelerators(market: Market, found: Confirmed, ranking: Ranking, every: Formulation) -> Confirmed:
    """A fleet, or a cheaper one of other accelerators alone: a search ends near the fleets that it began with.

    It is looked for where a single type of them (``every`` has the ranked types) is near enough for a mix to cost less,
    and not in haste.
    """
    if not market.context.effort.in_full:
        return found
    sources = {**market.formulation.pool_set.sources, **every.pool_set.sources, **found.formulation.pool_set.sources}

    def chip(pool: Pool) -> str:
        return sources[pool.key].served.candidate.accelerator.name

    used = {chip(allocation.pool) for allocation in found.solution.allocations}
    others_singles = (single for single in ranking.singles if chip(single.pool) not in used)
    if not found.confirmation.reached or not any(_is_near(single, found) for single in others_singles):
        return found
    others = market.formulation.of(pool for pool in market.formulation.problem.pools if chip(pool) not in used)
    if not others.problem.pools:
        return found
    validator = market.validator.within(others, market.context)
    single = rank(others, validator, market.context, None, 1).cheapest_confirmed
    other = validator.confirmed(single, refined=True)
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return found
    return other if other.usd_per_month < found.usd_per_month - A_CENT else found


def _is_near(single: Single, found: Confirmed) -> bool:
    """Whether a mix with a single type may cost less than a fleet, if it carries as much beyond the closed form.

    With few instances it costs little less because none of its parts is idle; with many there is little that is.
    """
    saved_ratio = min(1 - 1 / NEAR_RATIO, WASTED / max(single.instances))
    carried = found.confirmation.headroom_factor if single.confirmed is None else 1.0
    return single.usd_per_month * (1 - saved_ratio) * min(carried, 1.0) <= found.usd_per_month


def plan_fleet(market: Market, asked: Asked) -> Planned:
    """The fleet to recommend, and what it is compared with.

    Raises:
        InputError: the price of the current deployment is not known.
    """
    with _lower_rungs(market, asked) as lower:
        return _compared(market, asked, _chosen(market, asked), lower)


def _lower_rungs(market: Market, asked: Asked) -> LowerRungs:
    """Rungs that need no recommendation, with today's fleet; what these show is not known to the search for one."""
    own = replace(market, validator=market.validator.apart())
    return LowerRungs(market, asked.rungs, judged_current(own) if asked.judges_today else None)


def _compared(market: Market, asked: Asked, chosen: _Chosen, lower: LowerRungs) -> Planned:
    """A chosen fleet in full, with its options, today's fleet and the ladder."""
    if not isinstance(chosen.found, Confirmed):
        return _without_fleet(market, chosen, lower)
    context, found = market.context, market.validator.in_full(chosen.found)
    ranking = _as_shown(chosen.ranking, market.validator)
    ladder = Ladder(market, lower, found)
    ahead = int(context.effort.at_a_time > 1)
    with (
        Items(ladder.higher, ahead if asked.rungs else 0) as higher,
        Items(lambda: iter((market.validator.holds_up_to(found),)), ahead) as holds,
    ):
        fleet = fleet_of(found, context, market.expected)
        shown = ranking.first(context.effort.options)
        options = options_of(shown, chosen.every, context, market.expected, fleet)
        fleet = _checked(market, found, fleet, options, holds[0])
        if market.fill is not None:
            fleet = replace(fleet, batch=batch_beside_of(market.fill, found))
        choice = choice_of(fleet, market.formulation, context, market.expected)
        if fleet.batch is None:
            choice = replace(choice, notes=(*choice.notes, *zero_notes(market.formulation, fleet)))
        best = recommended(found, context, fleet, options)
        rejections = (*choice.rejections, *ranking.rejections)
        if not asked.rungs:
            return Planned(choice, best, options, (), None, lower.current, rejections)
        climbed = ladder.climbed(higher[0], fleet)
    if climbed.cheaper is not None and (cheaper := _in_place_of(found, climbed.cheaper, market)) is not None:
        instead = replace(chosen, found=cheaper, ranking=chosen.ranking.with_fleet(cheaper))
        return _compared(market, asked, instead, lower)
    return Planned(choice, best, options, climbed.rungs, climbed.as_stated, lower.current, rejections)


def _checked(
    market: Market, found: Confirmed, fleet: Fleet, options: Sequence[Option], holds: HoldsUpTo | None
) -> Fleet:  # fmt: skip
    """A fleet with how far it holds, what its spare is for, and prices that may decide."""
    doubts = doubtful_prices(fleet, options, planning_day(market.context), market.context.catalog)
    spare = judged_spare(found, fleet.spare, market.validator.replayed)
    return replace(fleet, doubtful_prices=tuple(doubts), spare=tuple(spare), holds_up_to=holds)


def _without_fleet(market: Market, chosen: _Chosen, lower: LowerRungs) -> Planned:
    """Limits that exclude each other, or why nothing could serve, with today's fleet."""
    found = None if isinstance(chosen.found, Confirmed) else chosen.found
    choice = no_choice(found, market.formulation, market.context, market.expected)
    if choice.conflict is not None and found is not None:
        bought = [
            *purchase_remedies(found, market.supply, market.week, market.context, market.validator),
            *rung_remedies(market, lower.every),
        ]
        choice = replace(choice, conflict=replace(choice.conflict, remedies=(*choice.conflict.remedies, *bought)))
    return Planned(choice, None, (), (), None, lower.current, (*choice.rejections, *chosen.ranking.rejections))


def _in_place_of(found: Confirmed, cheaper: Confirmed, market: Market) -> Confirmed | None:
    """Fleet of a rung to recommend in place of a dearer one; None where it does not hold in full.

    A search among fewer pools may end at a fleet that one among more of them does not come near.
    """
    whole = market.validator.in_full(cheaper)
    if not whole.confirmation.reached:
        return None
    best = market.validator.simplest(unproven(bounded(whole, found)))
    return best if best.usd_per_month < found.usd_per_month - A_CENT else None


def plan_routed(
    context: PlanningContext,
    wide: Requirements,
    served: Sequence[Served],
    offers: Mapping[tuple[str, str], tuple[Offer, ...]],
    asked: Asked,
) -> tuple[Market, Planned]:
    """The answer with its market; see :func:`market_of`.

    Where prompts are told apart by their length, the same question is answered without that too, which routing by
    length allows: its answer is taken where it costs less.

    Raises:
        InputError: as :func:`market_of` and :func:`plan_fleet`.
    """
    market = market_of(context, wide, served, offers)
    with _lower_rungs(market, asked) as lower:
        answered, chosen = _routed(market, asked)
        if answered is market:
            return market, _compared(market, asked, chosen, lower)
    with _lower_rungs(answered, asked) as lower:
        planned = _compared(answered, asked, chosen, lower)
    if not market.formulation.bucket_edges or answered.formulation.bucket_edges:
        return answered, planned
    return answered, replace(planned, choice=replace(planned.choice, notes=(*planned.choice.notes, ANYWHERE_NOTE)))


def _routed(market: Market, asked: Asked) -> tuple[Market, _Chosen]:
    """The fleet to recommend, with the batch work beside its requests."""
    answered, chosen = _of_requests(market, asked)
    if not isinstance(chosen.found, Confirmed):
        return answered, chosen
    both = beside_batch(answered, chosen.found)
    return (answered, chosen) if both is answered else (both, _chosen(both, asked))


def _of_requests(market: Market, asked: Asked) -> tuple[Market, _Chosen]:
    """The fleet to recommend; where length decides the way, it is compared with one of the same question without."""
    chosen = _chosen(market, asked)
    if market.context.requirements.demand.batch is not None:
        return _in_best_hours(market, chosen, asked)
    if not market.formulation.bucket_edges:
        return market, chosen
    plain = _anywhere(market)
    other = _chosen(plain, asked)
    return (market, chosen) if _order(other) >= _order(chosen) else (plain, other)


def _in_best_hours(market: Market, chosen: _Chosen, asked: Asked) -> tuple[Market, _Chosen]:
    """The answer for batch work in the hours in which it costs least, of the same cost on the fewest machines.

    Hours are tried that suit machines whose own cost, with what their region charges, is near the least, as long as
    that is below what an answer costs.
    """
    best = market, chosen
    for hours, least_usd in islice(hours_to_try(market).items(), MOST_HOURS_TRIED):
        other, room_usd = in_hours(market, hours), _order(best[1])[1] - least_usd
        if other is market or room_usd < -A_CENT or (room_usd < A_CENT and hours < hours_of(best[0])):
            continue
        best = min(best, (other, _chosen(other, asked)), key=lambda answer: (*_order(answer[1]), _machines(answer[1])))
    return best


def _machines(chosen: _Chosen) -> int:
    """Instances of a fleet in its busiest hours; 0 where there is none."""
    found = chosen.found
    return sum(max(part.instances) for part in found.solution.allocations) if isinstance(found, Confirmed) else 0


def _anywhere(market: Market) -> Market:
    """The same question with requests of every length sent anywhere."""
    own, wide = map(_weighted, (market.context.requirements, market.supply.requirements))
    context = replace(market.context, requirements=own)
    rates = market.supply.rates.of_the_mix()
    supply = replace(market.supply, requirements=wide, buckets=(), rates=rates, made={})
    formulation = formulate(context, narrowed(supply, own.workload), market.week)
    return replace(
        market, context=context, supply=supply, formulation=formulation, validator=ReplayValidator(formulation, context)
    )


def _weighted(requirements: Requirements) -> Requirements:
    return replace(requirements, workload=replace(requirements.workload, routing=Routing.WEIGHTED))


def _order(chosen: _Chosen) -> tuple[bool, float]:
    """Fleets that hold first, then by cost, to the cent."""
    confirmed = chosen.found
    if not isinstance(confirmed, Confirmed):
        return True, math.inf
    return not confirmed.confirmation.reached, round(confirmed.usd_per_month, 2)


def zero_notes(formulation: Formulation, fleet: Fleet) -> Iterator[str]:
    """Whether a fleet uses ``scaling.scale_to_zero``, where that is allowed, and why it does not."""
    if not formulation.problem.scaling.scale_to_zero:
        return
    services = dict.fromkeys(
        group.instance_type for group in fleet.groups if group.purchase == PurchaseOption.SERVERLESS
    )
    stopped = sum(
        hour.hours_per_week
        for at, hour in enumerate(fleet.hour_classes)
        if not any(group.instances[at] for group in fleet.groups)
    )
    if services:
        yield f"scale_to_zero is used: no container of {' and '.join(services)} has to run between requests"
    elif stopped:
        yield f"scale_to_zero is used: nothing runs in {stopped} hours a week, in which no request is expected"
    else:
        why = _why_no_service(formulation)
        yield f"scale_to_zero is not used: requests are expected in every hour of the week, and {why}"


def _why_no_service(formulation: Formulation) -> str:
    if any(tariff.paid is PurchaseOption.SERVERLESS for pool in formulation.problem.pools for tariff in pool.tariffs):
        return "services that stop between requests cost no less"
    refused = next(
        (rejection.message for rejection in formulation.pool_set.rejections if rejection.code == "cold_start"), ""
    )
    return f"no service that stops between requests can serve this{refused and f' ({refused})'}"


def _as_shown(ranking: Ranking, validator: ReplayValidator) -> Ranking:
    """The options with what is known of their fleets by now."""
    singles = tuple(
        replace(single, confirmed=None if single.confirmed is None else validator.as_shown(single.confirmed))
        for single in ranking.singles
    )
    return replace(ranking, singles=singles)


def _cheaper(market: Market, found: Confirmed, ranking: Ranking, every: Formulation) -> Confirmed:
    """The fleet, or an option that its replay confirms at less, or a cheaper fleet of that one's machines.

    A proof is of what the search found, which is then not the cheapest fleet.
    """
    confirmed = [single.confirmed for single in ranking.singles if single.confirmed is not None]
    best = min(confirmed, key=lambda confirmed: confirmed.usd_per_month, default=found)
    if best is found or (found.confirmation.reached and best.usd_per_month >= found.usd_per_month - A_CENT):
        return found
    stand = best.solution.allocations[0].pool.stand
    own = every.of(pool for pool in every.problem.pools if pool.stand == stand)
    again = market.validator.within(own, market.context).confirmed(best, refined=True)
    if (
        isinstance(again, Confirmed)
        and again.confirmation.reached
        and again.usd_per_month < best.usd_per_month - A_CENT
    ):
        best = again
    return unproven(held_to(best, found.solution.bound_usd_per_month))
