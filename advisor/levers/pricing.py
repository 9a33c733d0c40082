"""Price of every lever: the difference of two plans, with and without it, and one plan with all of them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from advisor.catalog import Catalog
from advisor.cost.standing import cache_usd_per_month
from advisor.errors import InputError, NothingFeasible
from advisor.levers import (
    Change,
    Latency,
    LeverReport,
    LeverSettings,
    PricedLever,
    PricedPlan,
    QualityKept,
    Reason,
    ReasonCode,
    UnpricedLever,
    Work,
)
from advisor.levers.changes import Changes, changes_of
from advisor.names import suggestion
from advisor.plan.alternatives import rung_of, saved_ratio
from advisor.plan.cold_start import PUBLISHED_RATIO, Weights, weights_of
from advisor.plan.doubts import price_ends
from advisor.plan.fleet.describe import planning_day
from advisor.plan.market import Market
from advisor.plan.planning import routed_fleet, with_batch
from advisor.plan.problem.charges import standing_charges
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.replay.groups import Confirmed, name_of
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.rung_fleets import is_allowed
from advisor.plan.rungs import RungScope, Step
from advisor.plan.today import judged_current
from advisor.plan.token_apis import TokenApi, carried_mean, compared_with_fleet
from advisor.plan.values import CurrentCost, PriceEnds, Rung, RungGroup
from advisor.plan.words import refused_words, short_share_words
from advisor.processes import Results
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import A_CENT, kept_words, usd

Planner = Callable[[PlanRequest], Market]
"""Poses a question: :func:`advisor.pipeline.market_of_requests` with its catalog and performance model."""
_SCOPE = RungScope(Step.AS_STATED, None)


@dataclass(frozen=True, slots=True, eq=False)
class LeverPlan:
    """Recommended fleet of a question with some levers pulled, confirmed by its replay."""

    requirements: Requirements
    usd_per_month: float
    fleet: Rung
    """The fleet with what it takes beyond today, or beyond the question without any lever."""
    latency: Latency
    cache_usd_per_month: float
    """Share of the cost that is the response cache's."""
    used: frozenset[str]
    """Levers of those pulled without which the fleet is not allowed, or not there."""
    carried_requests_per_second: float
    """On average, where the busiest minute is all that it carries."""
    price_range: PriceEnds | None
    """None: no price is in doubt."""


@dataclass(frozen=True, slots=True, eq=False)
class LeverPlanner:
    """Plans the question of some changes under any of its levers."""

    changes: Changes
    pose: Planner

    def plan(self, levers: frozenset[str]) -> LeverPlan | str:
        """The recommended fleet with some levers pulled, or why there is none."""
        try:
            market = self.pose(self.changes.question(levers))
            fleet = routed_fleet(market)
        except InputError as error:
            return error.message
        if not isinstance(fleet, Confirmed):
            return refused_words(fleet)
        if not fleet.confirmation.reached:
            return f"the best fleet keeps {short_share_words(fleet.confirmation, market.workload.slo)}"
        return self._described(market, fleet, levers)

    def today(self, levers: Collection[str]) -> CurrentCost | None:
        """Today's deployment at all that a plan would count for it, judged by the replay of the question's plans."""
        market = with_batch(self.pose(self.changes.question(levers)))
        return judged_current(market, requirements_of(self.changes.stated, market.context.catalog))

    def _described(self, market: Market, fleet: Confirmed, levers: Collection[str]) -> LeverPlan:
        context, requirements = market.context, market.context.requirements
        beside = replace(context, requirements=replace(requirements, workload=self.changes.without.workload))
        problem, solution, confirmation = fleet.formulation.problem, fleet.solution, fleet.confirmation
        return LeverPlan(
            requirements=requirements,
            usd_per_month=fleet.usd_per_month,
            fleet=rung_of(_SCOPE, fleet, beside, None),
            latency=Latency(confirmation.ttft_p95_ms, confirmation.tpot_p95_ms),
            cache_usd_per_month=cache_usd_per_month(standing_charges(problem, solution.allocations, solution.shares)),
            used=frozenset(lever for lever in levers if self._uses(lever, levers, fleet)),
            carried_requests_per_second=_carried_mean(fleet),
            price_range=price_ends(fleet, planning_day(context)),
        )

    def _uses(self, lever: str, levers: Collection[str], confirmed: Confirmed) -> bool:
        """Whether a fleet needs a lever that was pulled for it."""
        change = self.changes.by_lever[lever]
        if isinstance(change, Change) and change.widens:
            others = self.changes.question([other for other in levers if other != lever])
            return not is_allowed(others.workload, confirmed)
        allocations = confirmed.solution.allocations
        match lever:
            case "schedule":
                return any(len(set(allocation.instances)) > 1 for allocation in allocations)
            case "scale_to_zero":
                hours = zip(*(allocation.instances for allocation in allocations), strict=True)
                is_service = any(allocation.tariff.paid is PurchaseOption.SERVERLESS for allocation in allocations)
                return is_service or any(not any(hour) for hour in hours)
            case "routing":
                return bool(confirmed.formulation.bucket_edges)
        return True


_WIDENED_FIRST = ("accelerator", "region", "precision", "spot", "cloud", "commit")
"""Levers that are pulled one after another where no fleet without any keeps the SLO."""
LEAST_RATIO = 0.001
"""Share of the cost without any lever that a lever beyond the workload file has to save beside the others."""
_TOLD_FLOOR = 0.99
"""Least share of the scores that precisions nobody asked for have to keep for their cost to be told."""
_LADDER = ("region", "commit", "spot", "precision", "accelerator", "cloud")
"""Levers that the rungs of the ladder allow, one after another (:class:`advisor.plan.rungs.Step`)."""
_PUBLISHED = QualityKept(PUBLISHED_RATIO, PUBLISHED_RATIO, PUBLISHED_RATIO, "")
_BATCH_RATIO = 0.5
"""Price of a batch tier ÷ list price, at most services that have one (``lever_facts.csv``, ``token_tiers``)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Combination:
    """Levers pulled together."""

    plan: LeverPlan
    pulled: tuple[str, ...]
    worth: Mapping[str, float | None]
    """Cost without a lever that is used minus cost with it, USD a month; None where no fleet does without."""
    dropped: Mapping[str, str]
    """Reasons by lever."""


def price_levers(
    question: PlanRequest,
    catalog: Catalog,
    planner: Planner,
    settings: LeverSettings | None,
    *,
    at_a_time: int = 1,
) -> LeverReport:
    """Every lever of a question, alone and together.

    *planner* poses a question for the same catalog. *at_a_time*: plans that are made at the same time, in processes of
    their own; 1: in this one. The figures are the same. Raises InputError if a lever that is not known has an effort,
    or the question cannot be posed, and NothingFeasible if no fleet keeps the SLO, whatever is allowed.
    """
    settings = settings or LeverSettings()
    lever_planner = LeverPlanner(changes_of(question, catalog, settings), planner)
    with Results(lever_planner.plan, at_a_time) as plans:
        return _Pricing(lever_planner, plans, catalog, settings).report()


class _Pricing:
    """Plans of one question under its levers."""

    def __init__(
        self,
        planner: LeverPlanner,
        plans: Results[frozenset[str], LeverPlan | str],
        catalog: Catalog,
        settings: LeverSettings,
    ) -> None:
        """Plan without any lever, or with as few as a fleet takes."""
        self._planner, self._plans, self._catalog, self._settings = planner, plans, catalog, settings
        self._changes = planner.changes
        self._entries = {entry.lever: entry for entry in catalog.levers}
        for lever in settings.effort_hours:
            if lever not in self._entries:
                names = tuple(self._entries)
                hint = suggestion(lever, names) or f"known: {', '.join(names)}"
                raise InputError(f"unknown lever '{lever}'", where="--effort", hint=hint)
        self._plan_ahead((), self._open_at_all())
        self._needed, self._without = self._base()
        self._plan_ahead(*((*self._needed, lever) for lever in self._open()))
        self._today = planner.today(self._needed)
        self._begin_with_worths((*self._needed, *self._open()))

    def report(self) -> LeverReport:
        """Every lever, alone and together."""
        alone = {lever: self._plan((*self._needed, lever)) for lever in self._open()}
        reasons = {lever: Reason(ReasonCode.INFEASIBLE, plan) for lever, plan in alone.items() if isinstance(plan, str)}
        priced = {lever: self._alone(lever, plan) for lever, plan in alone.items() if isinstance(plan, LeverPlan)}
        combination = self._combination(priced)
        requirements = self._without.requirements
        together = self._compared(combination.plan, combination.pulled)
        levers = [self._in_combination(lever, combination, _regions(together)) for lever in priced.values()]
        cache_usd, waits = combination.plan.cache_usd_per_month, requirements.demand.batch is not None
        services = self._services(combination.plan, cache_usd)
        return LeverReport(
            workload=requirements.workload.name,
            model=requirements.model.name,
            current=self._today,
            without=self._rung(self._without, ()),
            without_latency=self._without.latency,
            needed=self._needed,
            levers=tuple(sorted(levers, key=_by_worth)),
            together=together,
            work=self._work(tuple(combination.worth), self._saved_of_the_bill(together)),
            unpriced=tuple(
                self._unpriced(
                    {
                        **reasons,
                        **self._of_precisions_unasked(priced),
                        **_of_services(services, cache_usd, all_may_wait=waits),
                    }
                )
            ),
            services=services,
            path=requirements.workload.path.as_posix(),
            unit=requirements.demand.unit,
            carried_requests_per_second=combination.plan.carried_requests_per_second if services else None,
        )

    def _combination(self, priced: Mapping[str, PricedLever]) -> "_Combination":
        """The cheapest combination of levers that are each worth their effort beside the others.

        Several sets of levers are narrowed down, since a lever that is dropped early may be worth its effort once
        others are gone, and a wider search may end higher: all levers, each alone, those that the workload file allows,
        and with these the levers of each rung of the ladder. What was dropped is then tried again.
        """
        best = self._narrowed([*self._needed, *priced], priced)
        if best is None:
            told = self._plan((*self._needed, *priced))
            raise NothingFeasible(f"no fleet with every lever: {told}", where=self._changes.without.workload.name)
        starts = list(self._starts(priced))
        self._plan_ahead(*starts)
        best = self._cheapest(best, starts, priced)
        while (better := self._cheapest(best, self._with_one_more(best, priced), priced)) is not best:
            best = better
        return self._of_used_alone(best, priced)

    def _starts(self, priced: Mapping[str, PricedLever]) -> Iterator[tuple[str, ...]]:
        """Sets of levers to begin with beside all of them."""
        needed, every = self._needed, set(priced)
        yield from ((*needed, lever) for lever in priced)
        stated = {lever for lever in priced if not priced[lever].beyond_stated}
        rungs = [stated | every.intersection(_LADDER[:count]) for count in range(len(_LADDER) + 1)]
        yield from dict.fromkeys((*needed, *(lever for lever in priced if lever in rung)) for rung in rungs)

    def _narrowed(self, pulled: Sequence[str], priced: Mapping[str, PricedLever]) -> "_Combination | None":
        """Levers without those that are not worth their effort beside the others; None where no fleet keeps the SLO."""
        dropped: dict[str, str] = {}
        while True:
            pulled = [lever for lever in pulled if lever not in dropped]
            plan = self._plan(pulled)
            if isinstance(plan, str):
                return None
            used = [lever for lever in pulled if lever in priced and lever in plan.used]
            self._begin_with_worths(pulled)
            worth = {lever: self._worth(lever, pulled, plan) for lever in used}
            late = {lever: why for lever in used if (why := self._why_not_worth(priced[lever], worth[lever]))}
            if not late:
                return _Combination(plan, tuple(pulled), worth, dropped)
            least = min(late, key=lambda lever: (worth[lever] or 0.0, -self._work((lever,), 0.0).effort_hours))
            dropped[least] = late[least]

    def _of_used_alone(self, best: "_Combination", priced: Mapping[str, PricedLever]) -> "_Combination":
        """The combination without levers that its fleet makes no use of, which a worth would be measured against.

        A lever without which another takes its place is worth little as long as that is pulled. The combination stays
        as it is where its levers without the others cost more.
        """
        if len(best.worth) == len(best.pulled) - len(self._needed):
            return best
        pulled = tuple(lever for lever in best.pulled if lever in best.worth or lever not in priced)
        only = self._narrowed(pulled, priced)
        if only is None or not only.worth or _saved(best.plan, only.plan) < 0:
            return best
        return self._of_used_alone(replace(only, dropped={**best.dropped, **only.dropped}), priced)

    def _with_one_more(self, best: "_Combination", priced: Mapping[str, PricedLever]) -> list[tuple[str, ...]]:
        """Sets of levers of a combination and one of those that it is without."""
        sets = [(*best.pulled, lever) for lever in priced if lever not in best.pulled]
        self._plan_ahead(*sets)
        return sets

    def _cheapest(
        self, best: "_Combination", sets: Iterable[Sequence[str]], priced: Mapping[str, PricedLever]
    ) -> "_Combination":
        """The cheapest of a combination and of sets of levers, narrowed down; the first of those that cost the same."""
        for pulled in sets:
            plan = self._plan(pulled)
            if isinstance(plan, str) or _saved(best.plan, plan) < A_CENT:
                continue
            other = self._narrowed(pulled, priced)
            if other is not None and _saved(best.plan, other.plan) >= A_CENT:
                best = _instead(best, other, priced)
        return best

    def _begin_with_worths(self, pulled: Sequence[str]) -> None:
        """Plan ahead without each lever that a combination uses, the last first: without those it takes longest."""
        plan = self._plan(pulled)
        used = () if isinstance(plan, str) else plan.used
        self._plan_ahead(*(_others(pulled, lever) for lever in reversed(pulled) if lever in used))

    def _worth(self, lever: str, pulled: Sequence[str], plan: LeverPlan) -> float | None:
        """Cost of a combination without a lever minus its cost with it; None where no fleet does without."""
        other = self._plan(_others(pulled, lever))
        return _saved(other, plan) if isinstance(other, LeverPlan) else None

    def _why_not_worth(self, priced: PricedLever, worth: float | None) -> str:
        """Why a lever is left out of a combination that uses it; "" where it is worth its effort."""
        if worth is None:
            return ""
        if worth < A_CENT:
            return "costs more than it saves" if worth < -A_CENT else "saves nothing beside the others"
        if priced.beyond_stated and worth < LEAST_RATIO * self._without.usd_per_month:
            return f"saves {usd(worth)} beside the others, less than {LEAST_RATIO:.1%} of the cost without any lever"
        limit, payback = self._settings.max_payback_months, self._work((priced.lever,), worth).payback_months
        is_late = limit is not None and payback is not None and payback > limit
        return (
            f"beside the others paid back after {payback:,.1f} months, {limit:g} at most are allowed" if is_late else ""
        )

    def _in_combination(self, lever: PricedLever, combination: "_Combination", regions: Collection[str]) -> PricedLever:
        """A lever with what it is to the combination, whose fleet is in *regions*."""
        (change,) = self._changes.of((lever.lever,))
        worth = combination.worth.get(lever.lever)
        saving = lever.priced.saving_usd_per_month if worth is None else worth
        return replace(
            lever,
            used=lever.lever in combination.worth,
            worth_usd_per_month=worth,
            dropped=combination.dropped.get(lever.lever, ""),
            work=self._work((lever.lever,), saving),
            line=change.line_for({*_regions(lever.priced), *regions})
            if lever.lever in combination.worth
            else lever.line,
        )

    def _base(self) -> tuple[tuple[str, ...], LeverPlan]:
        """The plan without any lever, or with the fewest of those that allow more."""
        reason = ""
        for count in range(len(_WIDENED_FIRST) + 1):
            needed = tuple(lever for lever in _WIDENED_FIRST[:count] if lever in self._open_at_all())
            plan = self._plan(needed)
            if isinstance(plan, LeverPlan):
                return needed, plan
            reason = reason or plan
        workload = self._changes.without.workload
        raise NothingFeasible(
            f"no fleet keeps the SLO, whatever is allowed: {reason}",
            where=str(workload.path),
            hint="`advisor recommend` of the workload says what to relax",
        )

    def _open_at_all(self) -> list[str]:
        return [lever for lever, change in self._changes.by_lever.items() if isinstance(change, Change)]

    def _open(self) -> list[str]:
        """Levers that change something and are not needed by every plan."""
        return [lever for lever in self._open_at_all() if lever not in self._needed]

    def _plan(self, levers: Collection[str]) -> LeverPlan | str:
        """The recommended fleet with some levers pulled, or why there is none; each set of levers is planned once."""
        return self._plans(frozenset(levers))

    def _plan_ahead(self, *several: Collection[str]) -> None:
        self._plans.ahead(map(frozenset, several))

    def _alone(self, lever: str, plan: LeverPlan) -> PricedLever:
        """A lever by itself."""
        entry, (change,) = self._entries[lever], self._changes.of((lever,))
        priced = self._compared(plan, (*self._needed, lever))
        return PricedLever(
            lever=lever,
            title=entry.title,
            change=change.told,
            basis=change.basis,
            beyond_stated=change.beyond_stated,
            priced=priced,
            risk=entry.risk,
            lock_in=entry.lock_in,
            facts=entry.facts,
            work=self._work((lever,), priced.saving_usd_per_month),
            wrong_answer_ratio=change.wrong_answer_ratio,
            line=change.line_for(_regions(priced)),
            held_line=change.held_line,
        )

    def _compared(self, plan: LeverPlan, levers: Sequence[str]) -> PricedPlan:
        """A plan against the one without any lever."""
        rung = self._rung(plan, levers)
        quality = self._quality(rung, plan, levers)
        return PricedPlan(rung, _saved(self._without, plan), plan.latency, quality, plan.price_range)

    def _work(self, levers: Sequence[str], saving: float) -> Work:
        """Work of some levers: Σ hours, once × USD an hour; payback = work ÷ saving a month."""
        own, rate = self._settings.effort_hours, self._settings.hourly_rate_usd
        hours = sum(own.get(lever, self._entries[lever].effort_hours) for lever in levers)
        usd = None if rate is None else hours * rate
        return Work(hours, usd, None if usd is None or saving < A_CENT else usd / saving)

    def _saved_of_the_bill(self, together: PricedPlan) -> float:
        """Saving of a plan on what is paid: today's cost, where that is less than the plan without any lever."""
        paid = self._without.usd_per_month if self._today is None else self._today.total_usd_per_month
        return together.saving_usd_per_month - max(self._without.usd_per_month - paid, 0.0)

    def _rung(self, plan: LeverPlan, levers: Sequence[str]) -> Rung:
        """The fleet of a plan, against today's."""
        beyond = any(change.beyond_stated for change in self._changes.of(plan.used.intersection(levers)))
        return replace(plan.fleet, beyond_stated=beyond, saving_ratio=saved_ratio(plan.usd_per_month, self._today))

    def _quality(self, rung: Rung, plan: LeverPlan, levers: Sequence[str]) -> QualityKept | None:
        """Share that the least good weights of a fleet keep; None where one is not known."""
        model = plan.requirements.model.name
        kept = [_kept_by(group, model, self._catalog) for group in rung.groups]
        losses = [quality for quality in kept if quality is not None]
        if len(losses) < len(kept) or not losses:
            return None
        quality = min(losses, key=lambda quality: quality.mean_ratio)
        for change in self._changes.of(levers):
            quality = quality if change.quality is None else quality.times(change.quality)
        return quality

    def _unpriced(self, reasons: Mapping[str, Reason]) -> Iterator[UnpricedLever]:
        """Levers without a price, each with why."""
        for entry in self._entries.values():
            reason = reasons.get(entry.lever) or self._changes.by_lever.get(entry.lever)
            if reason is None and entry.why_unpriced:  # no workload has a price of it
                reason = Reason(ReasonCode(entry.code), entry.why_unpriced)
            if isinstance(reason, Reason):
                yield UnpricedLever(entry.lever, entry.title, reason.why, entry.facts, reason.code)

    def _of_precisions_unasked(self, priced: Mapping[str, PricedLever]) -> Mapping[str, Reason]:
        """Reason of the precision lever that nobody asked for, with what it would save of the fleet as stated.

        It is told of the precisions that are known to keep nearly all scores, and pulled only once a floor is stated.
        """
        reason = self._changes.by_lever["precision"]
        if not isinstance(reason, Reason) or self._settings.quality_floor is not None:
            return {}
        settings = replace(self._settings, quality_floor=_TOLD_FLOOR)
        planner = LeverPlanner(changes_of(self._changes.stated, self._catalog, settings), self._planner.pose)
        if not isinstance(planner.changes.by_lever["precision"], Change):
            return {}
        pulled = (*self._needed, *(lever for lever in priced if not priced[lever].beyond_stated))
        before, after = self._plan(pulled), planner.plan(frozenset((*pulled, "precision")))
        if isinstance(before, str) or isinstance(after, str) or _saved(before, after) < A_CENT:
            return {}
        quality = self._quality(after.fleet, after, pulled)
        if quality is None:
            return {}
        names = " and ".join(dict.fromkeys(group.precision for group in after.fleet.groups))
        why = (
            f"{reason.why}. In {names}, which keeps {kept_words(quality.mean_ratio)} of the scores, the fleet as "
            f"stated costs {usd(after.usd_per_month)} a month, {usd(_saved(before, after))} less: --quality-floor "
            f"{_TOLD_FLOOR:g} prices it among the levers"
        )
        return {"precision": Reason(reason.code, why)}

    def _services(self, together: LeverPlan, cache_usd: float) -> tuple[TokenApi, ...]:
        """Services that sell the tokens of what the plan with every lever serves, as that plan compares them."""
        requirements = together.requirements
        return compared_with_fleet(requirements, self._catalog, together.usd_per_month, cache_usd)


def _carried_mean(fleet: Confirmed) -> float:
    """Mean rate at which the busiest minute is all that a fleet carries."""
    rates, allocations = fleet.planned_rates(), fleet.solution.allocations
    return carried_mean(
        (
            hours.hours_per_week,
            hours.mean_rate,
            hours.planned_rate,
            sum(allocation.instances[at] * rates[name_of(allocation)] for allocation in allocations),
        )
        for at, hours in enumerate(fleet.formulation.problem.hours)
    )


def _of_services(services: Sequence[TokenApi], cache_usd: float, *, all_may_wait: bool) -> Mapping[str, Reason]:
    """Reasons of levers that take the place of the fleet: prices of services that sell the same tokens."""
    if not services:
        return {}
    cheapest, cost_usd = services[0].name, services[0].total_usd_per_month
    batch = (cost_usd - cache_usd) * _BATCH_RATIO + cache_usd
    tier = f"a batch tier at half of the list price would ask {usd(batch)} of {usd(cost_usd)}"
    waiting = Reason(ReasonCode.FIGURE_MISSING, f"which requests may wait is not known: if all may, {tier}")
    return {
        "token_service": Reason(
            ReasonCode.BESIDE_THE_FLEET,
            f"it keeps no latency target: {cheapest} asks {usd(cost_usd)} a month for what the plan with all levers "
            "serves",
        ),
        "token_tiers": Reason(ReasonCode.BESIDE_THE_FLEET, f"all of it may wait: {tier}") if all_may_wait else waiting,
    }


def _saved(dearer: LeverPlan, plan: LeverPlan) -> float:
    """USD a month that a plan costs less than another, of the costs as they are printed."""
    return round(round(dearer.usd_per_month, 2) - round(plan.usd_per_month, 2), 2)


def _instead(best: _Combination, other: _Combination, priced: Mapping[str, PricedLever]) -> _Combination:
    """A combination that takes the place of a dearer one, and says of its levers how much less it costs."""
    saved = f"the plan costs {usd(_saved(best.plan, other.plan))} less"
    titles = " and ".join(priced[lever].title for lever in other.worth)
    told = f"with {titles} alone {saved}" if titles else f"without any lever {saved}"
    gone = dict.fromkeys((lever for lever in best.pulled if lever in priced), told)
    dropped = {**best.dropped, **gone, **other.dropped}
    return replace(other, dropped={lever: why for lever, why in dropped.items() if lever not in other.pulled})


def _by_worth(lever: PricedLever) -> tuple[bool, float, float]:
    """Used ones first, by worth; then by what they save alone."""
    return not lever.used, -(lever.worth_usd_per_month or 0.0), -lever.priced.saving_usd_per_month


def _regions(priced: PricedPlan) -> frozenset[str]:
    return frozenset(group.region for group in priced.plan.groups)


def _others(levers: Sequence[str], lever: str) -> list[str]:
    return [name for name in levers if name != lever]


def _kept_by(group: RungGroup, model: str, catalog: Catalog) -> QualityKept | None:
    weights: Weights = weights_of(catalog, model, group.precision, group.engine)
    if weights.is_published:
        return _PUBLISHED
    if weights.loss is None or weights.quality_ratio is None:
        return None
    return QualityKept(
        weights.quality_ratio, weights.loss.low_ratio, weights.loss.high_ratio, weights.loss.provenance.source
    )
