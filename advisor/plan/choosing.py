"""Choosing a fleet: the simplest of the cheapest that their replays confirm, options of one type among them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator

from advisor.plan.fleet.spare import without_spare
from advisor.plan.market import Market
from advisor.plan.options import Ranking, Single, rank, rank_rejections, refined
from advisor.plan.problem.constraints import changed_by
from advisor.plan.problem.values import Infeasible, Pool, Problem, PurchaseOption
from advisor.plan.remedies import held_to_limits, with_confirmed_budget, without_budget
from advisor.plan.replay.groups import Confirmed, clearly_cheaper, closer, held_to, unproven, usd_of
from advisor.plan.rungs import RungScope
from advisor.plan.solve.objective import allocation_usd_per_month, least_usd
from advisor.plan.solve.scopes import scopes, usd_alone
from advisor.plan.solve.stage import Formulation, formulate, narrowed
from advisor.records import dataclass, replace
from advisor.units import A_CENT
from advisor.workload.values import Limits, Survive

NEAR_RATIO = 1.15
"""A mix of accelerators costs about so much less than the cheapest single type of them, seldom more."""
WASTED = 2
"""Instances that a mix may save on a single type of many: one that is not full, and one that is spare."""
OPEN_RATIO = 0.02
"""Share of the cost up to which the search may leave open whether a fleet costs less."""
FEWER_CHANGES = 2
"""Limits on changes of so many instances less are searched too, where the stated one binds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Extent of the answer that is wanted."""

    replayed: int = 5
    """So many of the cheapest options are replayed."""
    every_variant: bool = False
    """Every precision and parallelism, not only the best of each offer and way of paying."""
    rungs: tuple[RungScope, ...] = ()
    """Scope of each rung of the ladder; empty: no ladder."""
    judges_today: bool = True
    """Whether what runs today is priced and replayed too."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The fleet to recommend, and the options that it was chosen beside."""

    fleet: Confirmed | Infeasible | None
    """None: nothing could serve."""
    every: Formulation
    """Formulation that the options are chosen from."""
    ranking: Ranking


Improved = Callable[[Market, Chosen], Chosen]
"""A cheaper answer to a question without a budget, or the same."""


def recommended_fleet(market: Market) -> Confirmed | Infeasible | None:
    """The fleet that a plan recommends; None where nothing could serve."""
    return chosen_fleet(market, Asked()).fleet


def likely_fleet(market: Market) -> Confirmed | Infeasible | None:
    """Fleet that a plan is likely to recommend, in a fraction of the time: for comparisons, never to be run.

    The best of the cheapest fleets of one type, or a mix that is cheaper by 1 % at the headroom which these have shown;
    neighbours of it are not looked at.
    """
    if not market.formulation.problem.pools:
        return None
    ranking = rank(market.formulation, market.validator, market.context, None, Asked().replayed)
    fleet = market.validator.confirmed(start=ranking.cheapest_confirmed)
    return market.validator.simplest(fleet) if isinstance(fleet, Confirmed) else fleet


def _as_chosen(_: Market, chosen: Chosen) -> Chosen:
    return chosen


def chosen_fleet(market: Market, asked: Asked, improved: Improved = _as_chosen) -> Chosen:
    """The simplest of the cheapest fleets that their replays confirm, options among them.

    Where a fleet may scale to zero or be committed, the question is answered without the former too, and the cheaper
    answer is taken.

    Args:
        market: the question.
        asked: extent of the answer.
        improved: makes an answer cheaper before it is held to a budget.
    """
    chosen = _chosen_within_budget(market, asked, improved)
    formulation = never_at_zero(market.formulation)
    if formulation is None:
        return chosen
    requirements, scaling = market.context.requirements, formulation.problem.scaling
    workload = replace(requirements.workload, scaling=scaling)
    context = replace(market.context, requirements=replace(requirements, workload=workload))
    validator = market.validator.within(formulation, context)
    running = replace(market, context=context, formulation=formulation, validator=validator)
    other = _chosen_within_budget(running, asked, improved)
    market.validator.learn(validator)
    fleet, before = other.fleet, chosen.fleet
    if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached:
        return chosen
    scaling = market.formulation.problem.scaling
    problem = replace(fleet.formulation.problem, scaling=scaling)
    fleet = replace(fleet, formulation=replace(fleet.formulation, problem=problem))
    if not isinstance(before, Confirmed):
        return replace(other, fleet=fleet)
    if before.confirmation.reached and before.usd_per_month <= fleet.usd_per_month + A_CENT:
        return chosen
    fleet = unproven(held_to(fleet, before.solution.bound_usd_per_month))
    return replace(chosen, fleet=fleet, ranking=chosen.ranking.with_fleet(fleet))


def never_at_zero(formulation: Formulation) -> Formulation | None:
    """The question without scaling to zero, where a fleet may do so in some hours or be committed; None elsewhere."""
    problem = formulation.problem
    paid = {tariff.paid for pool in problem.pools for tariff in pool.tariffs}
    may_stop = problem.scaling.scale_to_zero and (problem.goes_to_zero or PurchaseOption.SERVERLESS in paid)
    if not may_stop or PurchaseOption.COMMITMENT not in paid:
        return None
    services = {pool.key for pool in problem.pools for each in pool.tariffs if each.paid is PurchaseOption.SERVERLESS}
    own = formulation.of(pool for pool in problem.pools if pool.key not in services)
    return replace(own, problem=replace(own.problem, scaling=replace(problem.scaling, scale_to_zero=False)))


def _chosen_within_budget(market: Market, asked: Asked, improved: Improved) -> Chosen:
    """The same with the scaling that is allowed.

    A budget has no part in the search: what is cheapest without one is within it, or nothing is that was found.
    """
    budget = market.formulation.problem.limits.max_usd_per_month
    if budget is None:
        return improved(market, _chosen_below(market, asked, math.inf))
    formulation = without_budget(market.formulation)
    validator = market.validator.within(formulation, market.context)
    unlimited = replace(market, formulation=formulation, validator=validator)
    chosen = _or_option(unlimited, improved(unlimited, _chosen_below(unlimited, asked, budget)), budget)
    market.validator.learn(validator)
    confirmed = chosen.fleet
    if (
        isinstance(confirmed, Confirmed)
        and confirmed.confirmation.reached
        and confirmed.usd_per_month <= budget + A_CENT
    ):
        held = replace(confirmed, formulation=held_to_limits(confirmed.formulation, market.formulation.problem.limits))
        return replace(chosen, fleet=held)
    limited = market.validator.confirmed(refined=True) if formulation.problem.pools else None
    if limited is None:
        return chosen
    refused = with_confirmed_budget(limited, confirmed, market.formulation)
    if isinstance(confirmed, Confirmed):
        rejections = chosen.ranking.within(budget, chosen.every).rejections
    else:
        rejections = rank_rejections(market.formulation)
    return Chosen(refused, market.formulation, Ranking((), tuple(rejections)))


def _or_option(market: Market, chosen: Chosen, budget: float) -> Chosen:
    """A fleet that is little beyond a budget, or an option that costs less as the search of its own question has it."""
    fleet = chosen.fleet
    if not isinstance(fleet, Confirmed) or not budget + A_CENT < fleet.usd_per_month <= budget * NEAR_RATIO:
        return chosen
    ranking = refined(chosen.ranking, chosen.every, market.validator, market.context)
    option = ranking.cheapest_confirmed
    best = fleet if option is None else _if_cheaper(fleet, market.validator.in_full(option))
    return replace(chosen, fleet=best, ranking=ranking if best is fleet else ranking.with_fleet(best))


def _chosen_below(market: Market, asked: Asked, most_usd: float) -> Chosen:
    """The same without a budget, but that a simpler fleet costs no more than an amount.

    Where nothing holds, layouts that others beat by the closed form are tried too: they may hold.
    """
    chosen = _chosen_of(market, asked, most_usd)
    if _holds(chosen.fleet) or not market.formulation.problem.pools:
        return chosen
    every = in_every_layout(market)
    if len(every.problem.pools) == len(market.formulation.problem.pools):
        return chosen
    wide = replace(market, formulation=every, validator=market.validator.within(every, market.context))
    other = _chosen_of(wide, asked, most_usd)
    return other if _holds(other.fleet) else chosen


def _holds(fleet: Confirmed | Infeasible | None) -> bool:
    return isinstance(fleet, Confirmed) and fleet.confirmation.reached


def in_every_layout(market: Market) -> Formulation:
    """The question with layouts that others beat by the closed form."""
    every = formulate(market.context, narrowed(market.supply, market.workload), market.week, every=True)
    return held_to_limits(every, market.formulation.problem.limits)


def _chosen_of(market: Market, asked: Asked, most_usd: float) -> Chosen:
    """The same of the layouts of a question."""
    context, formulation, validator = market.context, market.formulation, market.validator
    every = formulation
    if asked.every_variant and formulation.problem.pools:
        every = in_every_layout(market)

    def ranked(fleet: Confirmed | None) -> Ranking:
        return rank(every, validator, context, fleet, asked.replayed, every_variant=asked.every_variant)

    ranking = ranked(None)
    few = _with_few_changes(market)
    start = min((ranking.cheapest_confirmed, few), key=usd_of)
    confirmed = validator.confirmed(start=start, refined=True) if formulation.problem.pools else None
    if not isinstance(confirmed, Confirmed):
        return Chosen(confirmed, formulation, Ranking((), rank_rejections(formulation)))
    if not confirmed.confirmation.reached and ranking.closest is not None:
        confirmed = closer(validator.in_full(confirmed), ranking.closest)
    limit_usd = confirmed.usd_per_month - A_CENT
    unknown = any(single.confirmed is None and single.usd_per_month < limit_usd for single in ranking.singles)
    if unknown or validator.carried_beyond(confirmed):
        ranking = ranked(confirmed)
    cheapest = _of_other_accelerators(market, _cheaper(market, confirmed, ranking, every), ranking, every)
    if cheapest.confirmation.reached and not cheapest.solution.proven:
        cheapest = _under_stricter_limits(market, cheapest, changes_bind=few is None)
    cheapest = _of_own_machines(market, _without_main_type(market, cheapest))
    cheapest = without_spare(_in_other_layouts(market, cheapest), validator.replayed)
    simple = validator.simplest(cheapest, most_usd=most_usd)
    best = cheapest if simple is cheapest else without_spare(simple, validator.replayed)
    return Chosen(best, every, ranking.with_fleet(best))


def _with_few_changes(market: Market) -> Confirmed | None:
    """The cheapest fleet that is found without a limit on changes, where it keeps to that too; None otherwise.

    The search goes from fleet to fleet, some of which change more than the one where it ends.
    """
    formulation, limits = market.formulation, market.formulation.problem.limits
    if limits.max_changed_instances is None or not formulation.problem.running or not formulation.problem.pools:
        return None
    unlimited = held_to_limits(formulation, replace(limits, max_changed_instances=None))
    fleet = market.validator.within(unlimited, market.context).confirmed(refined=True)
    if isinstance(fleet, Infeasible) or not fleet.confirmation.reached:
        return None
    if changed_by(formulation.problem, fleet.solution) > limits.max_changed_instances:
        return None
    return replace(fleet, formulation=held_to_limits(fleet.formulation, limits))


def _under_stricter_limits(market: Market, fleet: Confirmed, *, changes_bind: bool) -> Confirmed:
    """A fleet, or a cheaper one that the search for stricter limits comes to: it keeps to the question's own too."""
    for limits in _stricter(market.formulation.problem, changes_bind=changes_bind):
        other = _cheaper_within(market, held_to_limits(market.formulation, limits), fleet)
        if other is not None:
            fleet = unproven(held_to(other, fleet.solution.bound_usd_per_month))
    return fleet


def _stricter(problem: Problem, *, changes_bind: bool) -> Iterator[Limits]:
    """Limits that are a little stricter than those of a question, where a search is known to miss fleets without them.

    With spot a fleet loses an instance in its replay, whether or not it has to survive that in other hours.
    """
    limits, fewest = problem.limits, (problem.limits.max_changed_instances or 0) - FEWER_CHANGES
    paid = {tariff.paid for pool in problem.pools for tariff in pool.tariffs}
    if limits.survival is Survive.NOTHING and PurchaseOption.SPOT in paid:
        yield replace(limits, survive=Survive.INSTANCE)
    if limits.max_changed_instances is not None and changes_bind:
        for changes in range(limits.max_changed_instances - 1, max(fewest, 0) - 1, -1):
            yield replace(limits, max_changed_instances=changes)


def _cheaper_within(market: Market, strict: Formulation, fleet: Confirmed) -> Confirmed | None:
    """A cheaper fleet that keeps to stricter limits than the question's, as one of the question; None without any."""
    limit = fleet.as_if_at(fleet.usd_per_month)
    least_usd = fleet.solution.bound_usd_per_month
    other = market.validator.within(strict, market.context).confirmed(limit, refined=True, least_usd=least_usd)
    if isinstance(other, Infeasible) or other.is_limit or other.usd_per_month >= fleet.usd_per_month - A_CENT:
        return None
    limits = market.formulation.problem.limits
    whole = market.validator.in_full(replace(other, formulation=held_to_limits(other.formulation, limits)))
    return whole if whole.confirmation.reached else None


def _of_other_accelerators(market: Market, fleet: Confirmed, ranking: Ranking, every: Formulation) -> Confirmed:
    """A fleet, or a cheaper one of other accelerators alone: a search ends near the fleets that it began with.

    It is looked for where a single type of them (``every`` has the ranked types) is near enough for a mix to cost less,
    and not in haste.
    """
    if not market.context.effort.in_full:
        return fleet
    sources = {**market.formulation.pool_set.sources, **every.pool_set.sources, **fleet.formulation.pool_set.sources}

    def chip(pool: Pool) -> str:
        return sources[pool.key].served.candidate.accelerator.name

    used = {chip(allocation.pool) for allocation in fleet.solution.allocations}
    others_singles = (single for single in ranking.singles if chip(single.pool) not in used)
    if not fleet.confirmation.reached or not any(_is_near(single, fleet) for single in others_singles):
        return fleet
    others = market.formulation.of(pool for pool in market.formulation.problem.pools if chip(pool) not in used)
    if not others.problem.pools:
        return fleet
    other = market.validator.within(others, market.context).near_in_cost(fleet, NEAR_RATIO)
    return fleet if other is None else _if_cheaper(fleet, other)


def _if_cheaper(fleet: Confirmed, other: Confirmed | Infeasible) -> Confirmed:
    """A fleet, or the fleet of a part of the question where that is clearly cheaper, at the bound of the former."""
    best = clearly_cheaper(fleet, other)
    return fleet if best is fleet else unproven(held_to(best, fleet.solution.bound_usd_per_month))


def _has_room(market: Market, fleet: Confirmed) -> bool:
    """Whether the bound of a fleet that holds leaves room for a cheaper one, where there is no haste."""
    open_ratio = 1 - fleet.solution.bound_usd_per_month / fleet.usd_per_month
    return open_ratio > OPEN_RATIO and fleet.confirmation.reached and market.context.effort.in_full


def _searched_in(market: Market, fleet: Confirmed, part: Formulation) -> Confirmed:
    """A fleet, or a cheaper one that the search of a part of the question comes to, at its bound."""
    least_usd = fleet.solution.bound_usd_per_month
    search = market.validator.within(part, market.context)
    return _if_cheaper(fleet, search.confirmed(refined=True, least_usd=least_usd))


def _without_main_type(market: Market, fleet: Confirmed) -> Confirmed:
    """A fleet on spot, or a cheaper one without the instance type that most of it is spent on.

    What the loss of a supply leaves comes in whole machines, and larger or smaller ones of the same accelerators may
    meet it at less: a search ends near the fleets that it began with. It is looked for where the bound leaves room for
    one, and not in haste.
    """
    groups = fleet.solution.allocations
    if not _has_room(market, fleet) or all(group.tariff.paid is not PurchaseOption.SPOT for group in groups):
        return fleet
    usd = defaultdict[str, float](float)
    for group in groups:
        usd[group.pool.instance_type] += allocation_usd_per_month(fleet.formulation.problem, group)
    main = max(usd, key=usd.__getitem__)
    others = market.formulation.of(pool for pool in market.formulation.problem.pools if pool.instance_type != main)
    if not others.problem.pools or min(map(least_usd, scopes(others.problem))) >= fleet.usd_per_month:
        return fleet
    best = _searched_in(market, fleet, others)
    return fleet if best is fleet else _without_main_type(market, best)


def _of_own_machines(market: Market, fleet: Confirmed) -> Confirmed:
    """A fleet, or a cheaper one of its own instance types alone: with fewer to choose from a search tries more of each.

    It is looked for where the bound leaves room for one, and not in haste.
    """
    pools = market.formulation.problem.pools
    types_in_region = {allocation.pool.type_in_region for allocation in fleet.solution.allocations}
    own = market.formulation.of(pool for pool in pools if pool.type_in_region in types_in_region)
    if not _has_room(market, fleet) or len(types_in_region) == 1 or len(own.problem.pools) == len(pools):
        return fleet
    return _searched_in(market, fleet, own)


def _in_other_layouts(market: Market, fleet: Confirmed) -> Confirmed:
    """A fleet, or a cheaper one of the same machines in layouts that others beat by the closed form alone.

    That is looked for where a replay asks for more than the closed form of the fleet, and not in haste: among layouts
    that cost little more by that form too, of which a replay may ask for less.
    """
    holds_short = not fleet.confirmation.reached or fleet.confirmation.headroom_factor <= 1
    if holds_short or not market.context.effort.in_full:
        return fleet
    types_in_region = {allocation.pool.type_in_region for allocation in fleet.solution.allocations}
    every = in_every_layout(market)
    own = every.of(pool for pool in every.problem.pools if pool.type_in_region in types_in_region)
    planned = {pool.key for pool in market.formulation.problem.pools}
    usd = usd_alone(own.problem)
    if not any(usd[key] < fleet.usd_per_month * NEAR_RATIO for key in usd.keys() - planned):
        return fleet
    least_usd = fleet.solution.bound_usd_per_month
    search = market.validator.within(own, market.context)
    return _if_cheaper(fleet, search.confirmed(fleet, refined=True, least_usd=least_usd))


def _is_near(single: Single, fleet: Confirmed) -> bool:
    """Whether a mix with a single type may cost less than a fleet, if it carries as much beyond the closed form.

    With few instances it costs little less because none of its parts is idle; with many there is little that is.
    """
    saved_ratio = min(1 - 1 / NEAR_RATIO, WASTED / max(single.instances))
    carried = fleet.confirmation.headroom_factor if single.confirmed is None else 1.0
    return single.usd_per_month * (1 - saved_ratio) * min(carried, 1.0) <= fleet.usd_per_month


def _cheaper(market: Market, fleet: Confirmed, ranking: Ranking, every: Formulation) -> Confirmed:
    """The fleet, or an option that its replay confirms at less, or a cheaper fleet of that one's machines.

    A proof is of what the search found, which is then not the cheapest fleet.
    """
    confirmed = [single.confirmed for single in ranking.singles if single.confirmed is not None]
    best = min(confirmed, key=lambda confirmed: confirmed.usd_per_month, default=fleet)
    if best is fleet or (fleet.confirmation.reached and best.usd_per_month >= fleet.usd_per_month - A_CENT):
        return fleet
    type_in_region = best.solution.allocations[0].pool.type_in_region
    own = every.of(pool for pool in every.problem.pools if pool.type_in_region == type_in_region)
    best = clearly_cheaper(best, market.validator.within(own, market.context).confirmed(best, refined=True))
    return unproven(held_to(best, fleet.solution.bound_usd_per_month))
