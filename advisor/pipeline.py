"""Start here: the stages in order, and no logic of their own.

::

    workload file ─▶ demand ─▶ requirements ─▶ candidates ─▶ performance ─▶ cost ─▶ plan
                     rates,     model, SLO,     what can      what keeps     sized   ranked
                     lengths    limits          hold it       the SLO        priced  options

Each stage takes frozen values and returns frozen values; what cannot go on is a Rejection with the two numbers that
were compared, never silence. Reports and generated code read the plan and compute nothing.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.candidates import Matches, Rejection, match
from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Offer, Purchase
from advisor.demand.values import Demand
from advisor.demand_sources import CountProgress, as_demanded, planned_demand, read_demand
from advisor.models import find_model
from advisor.performance.evidence import Served
from advisor.performance.groups import with_measured_engines
from advisor.performance.model import PerformanceModel, load_model, shipped_model
from advisor.performance.stage import serve
from advisor.plan.batch_work import apart_of, kept_beside, question_apart, question_beside
from advisor.plan.build import build_plan
from advisor.plan.choosing import Asked
from advisor.plan.doubts import is_refused
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.geography import in_reach
from advisor.plan.market import Market, market_of
from advisor.plan.measured import compared
from advisor.plan.planning import Planned, plan_routed, with_batch_planned
from advisor.plan.problem.values import Problem
from advisor.plan.replay.engine import Timelines
from advisor.plan.request import PlanRequest, catalog_for, catalog_of_question, requirements_of
from advisor.plan.rungs import rungs_of, widest
from advisor.plan.solve import stage
from advisor.plan.values import Plan
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements, check_names
from advisor.workload.document import read_workload
from advisor.workload.holds import holdings_of, with_holdings
from advisor.workload.values import Routing, Workload

if TYPE_CHECKING:
    from advisor.plan.explain.why import Judged


@dataclass(frozen=True, slots=True)
class Extent:
    """Effort that goes into a plan, and share of what was looked at that it holds."""

    effort: stage.Effort = field(default_factory=stage.Effort)
    replayed_options: int = 5
    """So many of the cheapest options are replayed."""
    every_variant: bool = False
    """Every precision and parallelism, not only the best of each offer."""
    has_ladder: bool = True
    compares_apart: bool = True
    """Batch work beside requests is compared with both as two workloads."""
    judges_today: bool = True
    rejections_beside_options: bool = True
    """Rejections are told where something is feasible, too."""
    notes: tuple[str, ...] = ()


BEST = Extent()
"""The best of each offer, and why all others are none."""
ALL = Extent(every_variant=True)
"""Every precision and parallelism."""
BRIEF = Extent(
    stage.BRIEF_EFFORT,
    0,
    has_ladder=False, compares_apart=False, rejections_beside_options=False, notes=(stage.BRIEF_NOTE,),
)  # fmt: skip

"""A few options, and rejections only where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A plan, and what it was chosen from."""

    plan: Plan
    requirements: Requirements
    problem: Problem
    """All that the fleet was chosen from, with what its replays have shown of replicas."""
    served: Sequence[Served]
    offers: Mapping[tuple[str, str], tuple[Offer, ...]]


@dataclass(frozen=True, slots=True)
class Basis:
    """Inputs of a plan beside its workload, and processors for it."""

    calibration: Path | None = None
    """Directory of a calibration of one's own; None: the catalog's."""
    catalog: Catalog | None = None
    """What is sold, and at what price; None: the user's catalog with all its layers."""
    compare: tuple[str, ...] = ()
    """Models of token services to compare the fleet with, beside those that the workload names."""
    listed_only: bool = False
    """Use only prices that are listed and recent, whatever the workload says."""
    at_a_time: int = 1
    """Parts of the plan that are worked out at the same time, in processes of their own; 1: in this one."""


def recommend(
    asked: Path | Workload,
    *,
    every_variant: bool = False,
    progress: CountProgress | None = None,
    basis: Basis | None = None,
    previous: Plan | None = None,
) -> Plan:
    """Plan for a workload file.

    *every_variant*: keep every precision and parallelism, not only the best of each offer. *progress*: called with the
    number of requests read while a trace is counted. *previous*: what was planned before and runs now; leaving it has
    to be worth its cost. Raises InputError for something in the workload, its demand or its model that the user can
    fix.
    """
    basis = basis or Basis()
    model = load_model(basis.calibration)
    workload = asked if isinstance(asked, Workload) else read_workload(asked)
    workload = replace(
        workload,
        compare=tuple(dict.fromkeys((*workload.compare, *basis.compare))),
        listed_only=workload.listed_only or basis.listed_only,
    )
    catalog = basis.catalog or load_catalog()
    workload = prepared(workload, catalog, previous=previous)
    question = question_for(workload, catalog, model, progress)
    return plan_question(question, catalog, every_variant=every_variant, model=model, at_a_time=basis.at_a_time)


def prepared(workload: Workload, catalog: Catalog, *, previous: Plan | None = None) -> Workload:
    """The workload with what stands around it: the plan that runs, the account, and the day that terms are bought on.

    Raises InputError if the user's overlay is wrong, or allows none of the workload's regions.
    """
    if previous is not None:
        running, current = stage.running_of(previous), workload.current or stage.deployment_of(previous, catalog)
        workload = replace(workload, running=tuple(running.items()), current=current)
    workload = with_account(workload, catalog)
    is_dated = workload.commitments or Purchase.COMMITMENT in workload.purchase or workload.timezone
    if workload.as_of is None and is_dated:
        return replace(workload, as_of=dt.datetime.now(dt.UTC).date())
    return workload


def with_account(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with what the user's overlay says of the account: regions, commitments and quotas.

    Raises InputError if the overlay is wrong, or allows none of the workload's regions.
    """
    holdings = holdings_of(catalog)
    today = dt.datetime.now(dt.UTC).date()
    return workload if holdings is None else with_holdings(workload, holdings, catalog, today)


def plan_for(workload: Workload, catalog: Catalog, *, every_variant: bool = False) -> Plan:
    """Plan for a workload with the offers of a catalog; see :func:`recommend`."""
    model = shipped_model()
    question = question_for(workload, catalog, model)
    return plan_question(question, catalog, every_variant=every_variant, model=model)


def question_for(
    workload: Workload,
    catalog: Catalog,
    performance: PerformanceModel,
    progress: CountProgress | None = None,
    measured: Demand | None = None,
) -> PlanRequest:
    """Question of a workload: its model, and its demand as *measured* before, measured now, or stated."""
    served_model = find_model(workload.model_reference)
    catalog = catalog_for(workload, served_model, catalog)
    check_names(workload, catalog)
    measured = measured or read_demand(workload, served_model, catalog, performance, progress)
    demand = planned_demand(measured, workload, served_model)
    return PlanRequest(as_demanded(workload, demand), served_model, demand)


def plan_question(
    question: PlanRequest,
    catalog: Catalog,
    *,
    every_variant: bool = False,
    model: PerformanceModel | None = None,
    at_a_time: int = 1,
) -> Plan:
    """Plan for a question whose model and demand are known; see :func:`recommend`."""
    extent = ALL if every_variant else BEST
    extent = replace(extent, effort=replace(extent.effort, at_a_time=at_a_time))
    return answer(question, catalog, model or shipped_model(), extent).plan


def answer(
    question: PlanRequest,
    catalog: Catalog,
    model: PerformanceModel,
    extent: Extent = BEST,
    regions: Collection[str] = (),
) -> Answer:
    """The plan, with what it was chosen from; *regions* are where (provider/region) its fleet is known to be."""
    by_itself = partial(answer, catalog=catalog, model=model, extent=replace(extent, compares_apart=False))
    catalog = catalog_of_question(question, catalog)
    requirements = with_measured_engines(requirements_of(question, catalog), model, catalog)
    standing, standing_notes = stage.standing_of(requirements, catalog)
    comparison = compared(model, requirements, catalog)
    model = comparison.model
    context = stage.PlanningContext(requirements, catalog, model, standing, extent.effort, slower=comparison.slower)
    rungs = rungs_of(requirements, catalog) if extent.has_ladder else ()
    wide = replace(requirements, workload=widest(requirements.workload, rungs, catalog)) if rungs else requirements
    matches = match(wide, catalog)
    every = in_reach(matches, wide.workload, catalog)
    own = in_reach(match(requirements, catalog, matches), requirements.workload, catalog) if rungs else every
    served, too_slow = serve(every.candidates, wide, model)
    offers = stage.offers_in(every.offers, regions) if regions else every.offers
    variants, today = extent.every_variant, extent.judges_today
    asked = Asked(extent.replayed_options, every_variant=variants, rungs=rungs, judges_today=today)
    market, planned = plan_routed(market_of(context, wide, served, offers), asked)
    if extent.compares_apart:
        planned = _with_batch_apart(planned, market, question, by_itself)
    rejections = list(dict.fromkeys([*own.rejections, *_of(own, too_slow), *planned.rejections]))
    if planned.options and not extent.rejections_beside_options:
        rejections = []
    notes = (*planned.choice.notes, *standing_notes, *comparison.notes, *extent.notes)
    planned = replace(planned, choice=replace(planned.choice, notes=notes))
    plan = build_plan(requirements, planned, rejections, catalog, model.calibration.version)
    problem = market.validator.with_known_headroom(market.formulation).problem
    return Answer(plan, requirements, problem, served, own.offers)


def _with_batch_apart(
    planned: Planned, market: Market, question: PlanRequest, by_itself: Callable[[PlanRequest], Answer]
) -> Planned:
    """A plan with the cost of batch work beside its requests as a workload of its own, where that takes machines.

    *by_itself*: answer to a part of the question, whose total is told.
    """
    fleet, fill = planned.choice.fleet, market.fill
    if fleet is None or fleet.batch is None or fill is None or not fill.costs_machines(fleet.cost.total_usd_per_month):
        return planned
    forms = []
    for kept in kept_beside(question, fill):
        batch_alone = question_apart(question, kept)
        requests = _reliable_fleet(by_itself(question_beside(question, kept)).plan)
        alone = None if batch_alone is None else _reliable_fleet(by_itself(batch_alone).plan)
        if requests is not None and alone is not None:
            forms.append(apart_of(requests, alone, kept))
    cheapest = min(forms, key=lambda form: form.total_usd_per_month, default=None)
    batch = replace(fleet.batch, apart=cheapest)
    return replace(planned, choice=replace(planned.choice, fleet=replace(fleet, batch=batch)))


def _reliable_fleet(plan: Plan) -> Fleet | None:
    """The fleet of a plan that its replay confirms; None where there is none."""
    return None if is_refused(plan) else plan.fleet


def market_for(question: PlanRequest, catalog: Catalog, model: PerformanceModel) -> "Judged":
    """A question written down without answering it, with the batch work beside its requests.

    That is what explanations ask again under other targets.
    """
    judged = market_of_requests(question, catalog, model)
    market, fleet = with_batch_planned(judged.market)
    return replace(judged, market=market, fleet=fleet)


def market_of_requests(
    question: PlanRequest, catalog: Catalog, model: PerformanceModel, timelines: Timelines | None = None
) -> "Judged":
    """The same without the batch work beside its requests, which a plan adds to them.

    *timelines* are replicas that were simulated for other questions.
    """
    from advisor.plan.explain.why import Judged

    catalog = catalog_of_question(question, catalog)
    requirements = with_measured_engines(requirements_of(question, catalog), model, catalog)
    standing, _ = stage.standing_of(requirements, catalog)
    comparison = compared(model, requirements, catalog)
    model = comparison.model
    timelines = timelines or Timelines()
    context = stage.PlanningContext(
        requirements, catalog, model, standing, timelines=timelines, slower=comparison.slower
    )
    matches = in_reach(match(requirements, catalog), requirements.workload, catalog)
    served, too_slow = serve(matches.candidates, requirements, model)
    market = market_of(context, requirements, served, matches.offers)
    return Judged(market, matches, tuple(too_slow))


def routed_as(plan: Plan, question: PlanRequest) -> PlanRequest:
    """The question as its plan answers it: without routing by prompt length where that saves nothing."""
    if plan.fleet is None or plan.fleet.bucket_max_input_tokens:
        return question
    return replace(question, workload=replace(question.workload, routing=Routing.WEIGHTED))


def under_targets(question: PlanRequest, targets_ms: Mapping[str, float]) -> PlanRequest:
    """The question with latency targets (``tpot_p95_ms``) set otherwise; see :meth:`PlanRequest.of_workload`."""
    workload = question.workload
    return question.of_workload(replace(workload, slo=replace(workload.slo, **dict[str, Any](targets_ms))))


def _of(matches: Matches, rejections: Sequence[Rejection]) -> list[Rejection]:
    """The rejections of candidates that the question itself has."""
    layout = attrgetter("precision", "tensor_parallel", "partition")
    own = {(each.instance_type.provider, each.instance_type.name, *layout(each)) for each in matches.candidates}
    return [each for each in rejections if (each.provider, each.instance_type, *layout(each)) in own]
