"""One planner: fleet, options, rungs and today's fleet come from one formulation, one set of rates and one replay."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice

from advisor.candidates import Candidate, Rejection
from advisor.catalog.values import Purchase
from advisor.demand.spread import is_dated
from advisor.performance.groups import deployment_for
from advisor.plan.alternatives import options_of, recommended
from advisor.plan.batch_work import Fill, adds_machines, fleets_beside
from advisor.plan.choosing import (
    Asked,
    Chosen,
    chosen_fleet,
    likely_fleet,
    never_at_zero,
    recommended_fleet,
)
from advisor.plan.doubts import price_doubts
from advisor.plan.fleet.choose import Choice, choice_of, no_choice
from advisor.plan.fleet.chosen import Fleet, HoldsUpTo
from advisor.plan.fleet.describe import batch_beside_of, fleet_of, planning_day
from advisor.plan.fleet.spare import judged_spare, without_spare
from advisor.plan.market import (
    Market,
    beside_batch,
    hours_after,
    hours_of,
    hours_to_try,
    in_hours,
    of_demand,
    raised_hours_by_cost,
)
from advisor.plan.options import Ranking, refined
from advisor.plan.problem.formulas import falls
from advisor.plan.problem.hours import HOURS_BESIDE
from advisor.plan.problem.values import Infeasible, PurchaseOption, content
from advisor.plan.relaxing import tried
from advisor.plan.remedies import held_to_limits, purchase_remedies, rung_remedies
from advisor.plan.replay.groups import Confirmed, bounded, unproven, usd_of
from advisor.plan.replay.validator import ReplayValidator, preferred_to
from advisor.plan.rung_fleets import NOT_CLIMBED, Ladder, LowerRungs
from advisor.plan.solve.shares import sends_anywhere
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.today import judged_current, priced_today
from advisor.plan.values import CurrentCost, Option, Rung
from advisor.processes import Items
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import A_CENT, usd
from advisor.workload.values import Routing, Workload

ANYWHERE_NOTE = "routing by prompt length saves nothing here: prompts of every length go anywhere"

MOST_HOURS_TRIED = 6
"""Numbers of hours of a batch run that are planned in, those of the cheapest machines first."""
MORE_HOURS_TRIED = 3
"""Numbers beside requests in which fleets that were found in more hours may be done."""
_PARTS = 16
"""Parts of the idle items of a run that are tried on the fleet of the requests alone."""
FAR = 2.0
"""Machines that cost by the formula more than so many times what some fleet adds are not tried beside requests."""


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


def routed_fleet(market: Market) -> Confirmed | Infeasible | None:
    """The fleet that a plan recommends, with and without telling requests apart by their length, the better one."""
    return _routed(market, _anywhere(market), Asked())[1].fleet


def with_batch(market: Market) -> Market:
    """The question with the batch work beside its requests, which fills the hours that their fleet leaves idle."""
    return with_batch_planned(market)[0]


def with_batch_planned(market: Market) -> tuple[Market, Confirmed | None]:
    """The same, with the fleet that a plan recommends for both; None where there is no such work."""
    if market.context.requirements.demand.beside is None:
        return market, None
    alone = recommended_fleet(market)
    both = _beside(market, alone, Asked()) if isinstance(alone, Confirmed) else None
    if both is None:
        return market, None
    answered, chosen = both
    return answered, chosen.fleet if isinstance(chosen.fleet, Confirmed) else None


def _lower_rungs(market: Market, asked: Asked) -> LowerRungs:
    """Rungs that need no recommendation, with today's fleet; what these show is not known to the search for one.

    Raises:
        InputError: the price of today's fleet is not known.
    """
    context, own = market.context, replace(market, validator=market.validator.apart())
    if asked.judges_today:
        priced_today(context.requirements, context.catalog, context.standing.owned)
    return LowerRungs(market, asked.rungs, partial(judged_current, own) if asked.judges_today else None)


def _compared(market: Market, asked: Asked, chosen: Chosen, lower: LowerRungs) -> Planned:
    """A chosen fleet in full, with its options, today's fleet and the ladder; or a cheaper one that these come to."""
    if not isinstance(chosen.fleet, Confirmed):
        return _without_fleet(market, chosen, lower)
    context, confirmed = market.context, market.validator.in_full(chosen.fleet)
    ranking = _as_shown(chosen.ranking, market.validator)
    ladder = Ladder(market, lower, confirmed)
    is_ahead = context.effort.at_a_time > 1

    def holds_up_to() -> Iterator[HoldsUpTo | None]:
        yield market.validator.holds_up_to(confirmed)

    with (
        Items(ladder.higher, ladder.higher if is_ahead and asked.rungs else None) as higher,
        Items(holds_up_to, holds_up_to if is_ahead else None) as holds,
    ):
        ranking = refined(ranking, chosen.every, market.validator, context)
        instead = _option_instead(confirmed, chosen.ranking, ranking, market)
        if instead is None:
            fleet, planned = _described(market, confirmed, replace(chosen, ranking=ranking), holds)
            _ = context.catalog.content_hash  # the plan names it; other processes work meanwhile
            climbed = ladder.climbed(higher[0], fleet) if asked.rungs else NOT_CLIMBED
            instead = _in_place_of(confirmed, climbed.cheaper, market)
    if instead is not None:
        return _compared(market, asked, replace(chosen, fleet=instead, ranking=ranking.with_fleet(instead)), lower)
    return replace(planned, ladder=climbed.rungs, as_stated=climbed.as_stated, current=lower.current)


def _described(
    market: Market, confirmed: Confirmed, chosen: Chosen, holds: Items[HoldsUpTo | None]
) -> tuple[Fleet, Planned]:
    """A fleet and the options that a budget allows as values of a plan, without ladder and today's fleet."""
    context = market.context
    fleet = fleet_of(confirmed, context, market.expected, market.validator)
    affordable = chosen.ranking.within(market.formulation.problem.limits.max_usd_per_month, chosen.every)
    shown = affordable.first(context.effort.options)
    options = options_of(shown, chosen.every, context, market.expected, fleet)
    fleet = _checked(market, confirmed, fleet, options, holds[0])
    if market.fill is not None:
        fleet = replace(fleet, batch=batch_beside_of(market.fill, confirmed))
    choice = choice_of(fleet, market.formulation, context, market.expected)
    if fleet.batch is None:
        choice = replace(choice, notes=(*choice.notes, *scaling_notes(market, fleet)))
    choice = replace(choice, notes=(*choice.notes, *_clock_notes(market, fleet), *engine_notes(market, confirmed)))
    best = recommended(confirmed, context, fleet, options)
    return fleet, Planned(choice, best, options, (), None, None, (*choice.rejections, *affordable.rejections))


def _checked(
    market: Market, confirmed: Confirmed, fleet: Fleet, options: Sequence[Option], holds: HoldsUpTo | None
) -> Fleet:  # fmt: skip
    """A fleet with how far it holds, what its spare is for, and prices that may decide."""
    doubts = price_doubts(fleet, options, planning_day(market.context), market.context.catalog, _most_usd(market))
    spare = judged_spare(confirmed, fleet.spare, market.validator.replayed)
    return replace(
        fleet,
        doubtful_prices=doubts.prices,
        price_range=doubts.price_range,
        spare=tuple(spare),
        holds_up_to=holds,
    )


def _without_fleet(market: Market, chosen: Chosen, lower: LowerRungs) -> Planned:
    """Limits that exclude each other, or why nothing could serve, with today's fleet."""
    infeasible = None if isinstance(chosen.fleet, Confirmed | None) else tried(market, chosen.fleet)
    choice = no_choice(infeasible, market.formulation, market.context, market.expected)
    if choice.conflict is not None and infeasible is not None:
        bought = [
            *purchase_remedies(infeasible, market.supply, market.week, market.context, market.validator),
            *rung_remedies(market, lower.every),
        ]
        choice = replace(choice, conflict=replace(choice.conflict, remedies=(*choice.conflict.remedies, *bought)))
    return Planned(choice, None, (), (), None, lower.current, (*choice.rejections, *chosen.ranking.rejections))


def _option_instead(confirmed: Confirmed, before: Ranking, ranking: Ranking, market: Market) -> Confirmed | None:
    """Option to recommend in place of a fleet, as the search of its own question has it; None without any.

    One that costs less than every option did before that search, or a simpler one within ``limits.simplicity``.
    """
    option = ranking.cheapest_confirmed
    is_new = usd_of(option) < usd_of(before.cheapest_confirmed) - A_CENT
    cheaper = _in_place_of(confirmed, option, market) if is_new else None
    return cheaper or market.validator.preferred(confirmed, ranking.all_confirmed, _most_usd(market))


def _most_usd(market: Market) -> float:
    """Budget of a question; infinite where there is none."""
    budget = market.formulation.problem.limits.max_usd_per_month
    return math.inf if budget is None else budget


def _in_place_of(confirmed: Confirmed, cheaper: Confirmed | None, market: Market) -> Confirmed | None:
    """Option or fleet of a rung to recommend in place of a dearer one; None where it does not hold in full.

    A search among fewer pools may end at a fleet that one among more of them does not come near.
    """
    whole = None if cheaper is None else market.validator.in_full(cheaper)
    if whole is None or not whole.confirmation.reached:
        return None
    best = market.validator.simplest(unproven(bounded(whole, confirmed)), _most_usd(market))
    best = without_spare(best, market.validator.replayed)
    if best.usd_per_month >= confirmed.usd_per_month - A_CENT:
        return None
    cheapest = min(best.cheapest or best, confirmed.cheapest or best, key=usd_of)
    return best if cheapest in (best, best.cheapest) else preferred_to(best, cheapest)


def plan_routed(market: Market, asked: Asked) -> tuple[Market, Planned]:
    """The fleet to recommend and what it is compared with, and the market that it is from.

    Where prompts are told apart by their length, the same question is answered without that too, which routing by
    length allows: its answer is taken where it costs less.

    Raises:
        InputError: the price of the current deployment is not known.
    """
    plain = _anywhere(market)
    with _lower_rungs(plain, asked) as lower:
        answered, chosen = _routed(market, plain, asked)
        planned = _compared(plain, asked, chosen, lower) if answered is plain else None
    if planned is None:
        with _lower_rungs(answered, asked) as lower:
            planned = _compared(answered, asked, chosen, lower)
    if not market.formulation.bucket_edges or answered.formulation.bucket_edges:
        return answered, planned
    return answered, replace(planned, choice=replace(planned.choice, notes=(*planned.choice.notes, ANYWHERE_NOTE)))


def _routed(market: Market, plain: Market, asked: Asked) -> tuple[Market, Chosen]:
    """The fleet to recommend, with the batch work beside its requests."""
    answered, chosen = _of_requests(market, plain, asked)
    if not isinstance(chosen.fleet, Confirmed):
        return answered, chosen
    return _beside(answered, chosen.fleet, asked) or (answered, chosen)


def _beside(market: Market, alone: Confirmed, asked: Asked) -> tuple[Market, Chosen] | None:
    """The answer with the batch work in the hours of each run in which it costs least; None where there is none.

    All that are open come first, then fewer and fewer, until one needs no machine beyond those of the requests: none
    costs less. Where no number of hours does, others are tried in which some of these fleets may be done too, for less
    than the cheapest costs, and machines in the first hours alone beside what is idle in all, or, where the planned
    rates say that all items fit there and a replay does not, in the most hours in which they say that not all do.
    """
    both = beside_batch(market, alone)
    if both.fill is None:
        return None
    every = len(both.fill.run.open_hours)
    answers: list[tuple[Market, Chosen]] = []
    fewer_and_fewer = (every, *(hours for hours in reversed(HOURS_BESIDE) if hours < every))
    for hours in fewer_and_fewer:
        answers.append(_answer_beside(market, alone, hours, asked))
        if not _adds_machines(answers[-1]):
            return answers[-1]
    tried = {every, *HOURS_BESIDE}
    for _ in range(MORE_HOURS_TRIED):
        most = min(_order(chosen)[1] for _, chosen in answers) - A_CENT
        sooner = sorted(map(_with_less_time, answers))
        hours = next((hours for usd, hours in sooner if usd < most and hours not in tried), 0)
        if not hours:
            break
        answers.append(_answer_beside(market, alone, hours, asked))
        tried.add(hours)
    fills = ((hours, other.fill) for hours, (other, _) in zip(fewer_and_fewer, answers, strict=False))
    most_hours, fill = next(((hours, fill) for hours, fill in fills if fill and fill.takes_more), (every, both.fill))
    answered = {_asked_of(other) for other, _ in answers}
    for raised, cost_usd in raised_hours_by_cost(market, fill).items():
        # where nothing is idle after the first hours, the question is that of these alone
        is_new = _asked_of(beside_batch(market, alone, most_hours, raised)) not in answered
        if is_new and cost_usd < FAR * (min(_order(chosen)[1] for _, chosen in answers) - alone.usd_per_month):
            answers.append(_answer_beside(market, alone, most_hours, asked, raised))
    return _with_idle_items(market, alone, min(answers, key=lambda answer: _order(answer[1])))


def _asked_of(market: Market) -> tuple[object, ...]:
    """Key of a question beside requests: those of one key have one answer."""
    week = market.formulation.week
    return content(market.formulation.problem), tuple(week.schedule), tuple(week.added_rates)


def _answer_beside(
    market: Market, alone: Confirmed, hours: int, asked: Asked, raised: int | None = None
) -> tuple[Market, Chosen]:
    """The answer with the batch work in the first so many open hours of each run, machines added in some or all."""
    other = beside_batch(market, alone, hours, raised)
    chosen = chosen_fleet(other, asked, partial(_with_hours_alone, alone))
    adds = not isinstance(chosen.fleet, Confirmed) or adds_machines(chosen.fleet, alone)
    fill = None if other.fill is None else replace(other.fill, adds_machines=adds)
    return replace(other, fill=fill), chosen


def _with_hours_alone(alone: Confirmed, market: Market, chosen: Chosen) -> Chosen:
    """An answer, or a cheaper one with the fleet of the requests alone in all hours, or in those without items."""
    fleet = chosen.fleet
    if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached or not adds_machines(fleet, alone):
        return chosen
    cheaper = market.validator.cheaper_of([*fleets_beside(market.formulation, alone, fleet)], fleet)
    instead = None if cheaper is None else _in_place_of(fleet, cheaper, market)
    return chosen if instead is None else replace(chosen, fleet=instead, ranking=chosen.ranking.with_fleet(instead))


def _with_idle_items(market: Market, alone: Confirmed, answer: tuple[Market, Chosen]) -> tuple[Market, Chosen]:
    """An answer with the items of a run that the fleet of the requests alone holds.

    As its planned rates say where it cannot be replayed with items, as where requests are told apart by their lengths.
    """
    other, fleet = answer[0], answer[1].fleet
    if other.fill is None or not isinstance(fleet, Confirmed) or not other.fill.costs_machines(fleet.usd_per_month):
        return answer
    if next(fleets_beside(other.formulation, alone, alone), None) is None:
        return answer
    return replace(other, fill=replace(other.fill, idle_items=_held_idle(market, alone, other.fill))), answer[1]


def _held_idle(market: Market, alone: Confirmed, fill: Fill) -> float:
    """Items of a run that the replay of the fleet of the requests alone confirms, of those that its planned rates say.

    To a sixteenth of these: fewer than all where they say that all fit, and machines are added.
    """
    by_rates = fill.idle_items / fill.items

    def holds(parts: int) -> bool:
        return _holds_idle(market, alone, fill, by_rates * parts / _PARTS)

    if not by_rates or (fill.takes_more and holds(_PARTS)):
        return fill.idle_items
    held = bisect_left(range(1, _PARTS), x=True, key=lambda parts: not holds(parts))
    return math.floor(fill.idle_items * held / _PARTS)


def _holds_idle(market: Market, alone: Confirmed, fill: Fill, part: float) -> bool:
    """Whether the fleet of the requests alone holds a part of the items of a run beside them in its replay."""
    demand = market.context.requirements.demand
    some = None if demand.beside is None else demand.beside.times(part)
    fewer = beside_batch(of_demand(market, replace(demand, beside=some)), alone, len(fill.run.open_hours))
    solution = next(fleets_beside(fewer.formulation, alone, alone), None)
    return solution is not None and fewer.validator.replayed(fewer.formulation, solution).reached


def _adds_machines(answer: tuple[Market, Chosen]) -> bool:
    """Whether a fleet has machines beyond those of the requests, or does not hold."""
    fill = answer[0].fill
    return (fill is not None and fill.adds_machines) or _order(answer[1])[0]


def _with_less_time(answer: tuple[Market, Chosen]) -> tuple[float, int]:
    """USD a month of about what a fleet costs in the fewer hours in which it may be done, and their number."""
    fill, fleet = answer[0].fill, answer[1].fleet
    if fill is None or not isinstance(fleet, Confirmed):
        return math.inf, 0
    finished, hours = fill.finished_hours(fleet), len(fill.run.open_hours)
    fewer = min(hours - 1, math.ceil(finished or hours))
    return fill.alone_usd_per_month + (fleet.usd_per_month - fill.alone_usd_per_month) * fewer / hours, fewer


def _of_requests(market: Market, plain: Market, asked: Asked) -> tuple[Market, Chosen]:
    """The fleet to recommend; where length decides the way, it is compared with one of the same question without.

    A fleet that sends prompts of all lengths alike is one of that question (``plain``) too.
    """
    chosen = chosen_fleet(market, asked)
    if market.context.requirements.demand.batch is not None:
        return _in_best_hours(market, chosen, asked)
    if plain is market:
        return market, chosen
    other = chosen_fleet(plain, asked)
    if _order(other) > _order(chosen) and (same := _sent_anywhere(plain, chosen.fleet)) is not None:
        other = replace(other, fleet=same, ranking=other.ranking.with_fleet(same))
    return (market, chosen) if _order(other) > _order(chosen) else (plain, other)


def _sent_anywhere(plain: Market, fleet: Confirmed | Infeasible | None) -> Confirmed | None:
    """A fleet whose router need not know lengths, as one of the question without; None where it has to."""
    if not isinstance(fleet, Confirmed) or not sends_anywhere(fleet.formulation.problem, fleet.solution):
        return None
    own = fleet.formulation.problem
    pools = {pool.key: replace(pool, rates=pool.rates[:, :0]) for pool in own.pools}
    groups = tuple(replace(group, pool=pools[group.pool.key]) for group in fleet.solution.allocations)
    shares = {key: share @ own.parts[:, None] for key, share in fleet.solution.shares.items()}
    problem = replace(own, pools=tuple(pools.values()), bucket_shares=plain.formulation.problem.bucket_shares)
    formulation = replace(fleet.formulation, problem=problem, bucket_edges=(), supply=plain.formulation.supply)
    return replace(fleet, formulation=formulation, solution=replace(fleet.solution, allocations=groups, shares=shares))


def _in_best_hours(market: Market, chosen: Chosen, asked: Asked) -> tuple[Market, Chosen]:
    """The answer for batch work in the hours in which it costs least, of the same cost on the fewest machines.

    Hours are tried that suit machines whose own cost, with what their region charges, is near the least, as long as
    that is below what an answer costs. So are the hours after them: a replay may refuse machines that suit an hour, and
    as few of them hold in the next.
    """
    best = market, chosen
    suited = dict(islice(hours_to_try(market).items(), MOST_HOURS_TRIED))
    for hours, least_usd in chain(suited.items(), hours_after(market, suited).items()):
        other, room_usd = in_hours(market, hours), _order(best[1])[1] - least_usd
        if other is market or room_usd < -A_CENT or (room_usd < A_CENT and hours < hours_of(best[0])):
            continue
        best = min(
            best, (other, chosen_fleet(other, asked)), key=lambda answer: (*_order(answer[1]), _machines(answer[1]))
        )
    return best


def _machines(chosen: Chosen) -> int:
    """Instances of a fleet in its busiest hours; 0 where there is none."""
    fleet = chosen.fleet
    return sum(max(part.instances) for part in fleet.solution.allocations) if isinstance(fleet, Confirmed) else 0


def _anywhere(market: Market) -> Market:
    """The same question with requests of every length sent anywhere; as it is where they are."""
    if not market.formulation.bucket_edges:
        return market
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


def _order(chosen: Chosen) -> tuple[bool, float]:
    """Fleets that hold first, then by cost, to the cent."""
    confirmed = chosen.fleet
    if not isinstance(confirmed, Confirmed):
        return True, math.inf
    return not confirmed.confirmation.reached, round(confirmed.usd_per_month, 2)


def scaling_notes(market: Market, fleet: Fleet) -> Iterator[str]:
    """Whether a fleet uses what ``scaling`` allows, why it does not, and what that takes."""
    yield from _turn_notes(market.formulation, fleet)
    addresses = {(group.provider, group.region, group.purchase == PurchaseOption.SERVERLESS) for group in fleet.groups}
    on_hosts = not all(is_service for _, _, is_service in addresses)
    if len(market.formulation.problem.hours) > 1 and len(addresses) > 1 and on_hosts:
        yield (
            "each region keeps an instance in all hours with requests: callers send requests to regions by the same "
            "weights at all hours"
        )
    if market.formulation.problem.scaling.scale_to_zero:
        yield _zero_note(market, fleet)


def _clock_notes(market: Market, fleet: Fleet) -> Iterator[str]:
    """Whose hours instances follow, where the workload names no time zone."""
    profile = market.context.requirements.demand.profile
    is_known = profile is not None and is_dated(profile.start_seconds)
    if is_known and not market.workload.timezone and any(len(set(group.instances)) > 1 for group in fleet.groups):
        yield (
            "instances follow hours of UTC: once summer time begins or ends, users are an hour off; state "
            "demand.timezone, such as Europe/Berlin, to plan for both"
        )


def _zero_note(market: Market, fleet: Fleet) -> str:
    """Whether a fleet scales to zero, and what it costs otherwise where commitments are allowed too."""
    (is_used, why), workload = _why_zero(market.formulation, fleet), market.workload
    if never_at_zero(market.formulation) is None:
        return why
    committed = _types_paid(fleet, PurchaseOption.COMMITMENT)
    if committed and not _types_paid(fleet, PurchaseOption.SERVERLESS):
        uncommitted = tuple(purchase for purchase in workload.purchase if purchase is not Purchase.COMMITMENT)
        without = _usd_words(market, replace(workload, purchase=uncommitted))
        return f"scale_to_zero is not used: committed instances of {committed} run at all hours; without them {without}"
    if not is_used:
        return why
    at_all_hours = replace(workload, scaling=replace(workload.scaling, scale_to_zero=False))
    return f"{why}; with instances at all hours, and commitments, {_usd_words(market, at_all_hours)}"


def _why_zero(formulation: Formulation, fleet: Fleet) -> tuple[bool, str]:
    """Whether a fleet scales to zero, and why, in words."""
    services = _types_paid(fleet, PurchaseOption.SERVERLESS)
    stopped = sum(
        hour.hours_per_week
        for at, hour in enumerate(fleet.hour_classes)
        if not any(group.instances[at] for group in fleet.groups)
    )
    if services:
        return True, f"scale_to_zero is used: no container of {services} has to run between requests"
    if stopped:
        return True, f"scale_to_zero is used: nothing runs in {stopped} hours a week, in which no request is expected"
    at_all_hours = (
        "instances that run at all hours cost no more"
        if formulation.problem.goes_to_zero
        else "requests are expected in every hour of the week"
    )
    return False, f"scale_to_zero is not used: {at_all_hours}, and {_why_no_service(formulation)}"


def _types_paid(fleet: Fleet, paid: PurchaseOption) -> str:
    """Types of a fleet that are paid for in one way, in words."""
    return " and ".join(dict.fromkeys(group.instance_type for group in fleet.groups if group.purchase == paid))


def _usd_words(market: Market, workload: Workload) -> str:
    """Cost of the fleet that a plan is likely to recommend where a workload allows less, in words."""
    context = replace(market.context, requirements=replace(market.context.requirements, workload=workload))
    formulation = formulate(context, narrowed(market.supply, workload), market.week)
    formulation = held_to_limits(formulation, market.formulation.problem.limits)
    validator = market.validator.within(formulation, context)
    fleet = likely_fleet(replace(market, context=context, formulation=formulation, validator=validator))
    if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached:
        return "no fleet is found to hold"
    return f"it takes {usd(fleet.usd_per_month)} a month"


def _turn_notes(formulation: Formulation, fleet: Fleet) -> Iterator[str]:
    """Whether a fleet uses ``scaling.take_turns``, where that is allowed."""
    if formulation.problem.scaling.take_turns:
        stopping = dict.fromkeys(group.instance_type for group in fleet.groups if falls(group.instances))
        names = " and ".join(stopping)
        yield (
            f"take_turns is used: instances of {names} stop in busier hours, in which others serve; quotas and max_kw "
            "count both, which run together while one takes over"
            if stopping
            else "take_turns is not used: no cheaper fleet with other machines in quieter hours was found"
        )


def _why_no_service(formulation: Formulation) -> str:
    if any(tariff.paid is PurchaseOption.SERVERLESS for pool in formulation.problem.pools for tariff in pool.tariffs):
        return "services that stop between requests cost no less"
    refused = next(
        (rejection.message for rejection in formulation.pool_set.rejections if rejection.code == "cold_start"), ""
    )
    return f"no service that stops between requests can serve this{refused and f' ({refused})'}"


def engine_notes(market: Market, confirmed: Confirmed) -> Iterator[str]:
    """Why a fleet has other engines than the preferred ones, what it costs with those, and whose speed is planned.

    The cost takes a search of its own, which brief plans do without.
    """
    sources = confirmed.formulation.pool_set.sources
    used = [sources[allocation.pool.key].served.candidate for allocation in confirmed.solution.allocations]
    for candidate in used:
        if candidate.usual is not None and _is_paced(candidate, market.context):
            yield (
                f"{candidate.engine} is planned with the speed of {candidate.usual.engine}, the preferred engine on "
                f"{candidate.accelerator.name}: no measurement of the model there says that it is faster"
            )
    beside = dict.fromkeys(
        f"{each.engine} rather than {each.beside} on {each.accelerator.name}: {_why_engine(each, market.context)}"
        for each in used
        if each.beside
    )
    if beside:
        cost = f"; {_usual_cost(market)}" if market.context.effort.every_kind else ""
        yield f"{'; '.join(beside)}{cost}"


def _why_engine(candidate: Candidate, context: PlanningContext) -> str:
    if candidate.usual is None:
        return f"that one cannot be planned there in {candidate.precision}"
    is_measured = (candidate.accelerator.name, candidate.engine) in context.requirements.measured_engines
    if is_measured and not _is_paced(candidate, context):
        return "the model was measured with it there"
    return "the weights that it loads are smaller"


def _is_paced(candidate: Candidate, context: PlanningContext) -> bool:
    """Whether a candidate is planned with the speed of the preferred engine."""
    requirements = context.requirements
    (planned,) = context.model.planned([deployment_for(candidate, requirements)], requirements.demand.tokens)
    return planned.engine != candidate.engine


def _usual_cost(market: Market) -> str:
    """Cost of the cheapest fleet of preferred engines alone, in words."""
    preferred = market.formulation.of(pool for pool in market.formulation.problem.pools if not pool.is_beside)
    fleet = market.validator.within(preferred, market.context).confirmed() if preferred.problem.pools else None
    if not isinstance(fleet, Confirmed) or not fleet.confirmation.reached:
        return "no fleet of preferred engines alone is found to hold"
    return f"with preferred engines alone it takes {usd(fleet.usd_per_month)} a month"


def _as_shown(ranking: Ranking, validator: ReplayValidator) -> Ranking:
    """The options with what is known of their fleets by now."""
    singles = tuple(
        replace(single, confirmed=None if single.confirmed is None else validator.as_shown(single.confirmed))
        for single in ranking.singles
    )
    return replace(ranking, singles=singles)
