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
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.candidates import Matches, Rejection, match
from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Offer, Purchase
from advisor.demand.busy import Busy, demand_from_busy
from advisor.demand.summary import read_summary
from advisor.demand.values import Demand
from advisor.errors import InputError
from advisor.models import Model, find_model
from advisor.models.catalog import model_names
from advisor.performance.model import PerformanceModel, load_model, shipped_model
from advisor.performance.served import Served
from advisor.performance.stage import busy_second_or_reason, serve
from advisor.plan.build import build_plan
from advisor.plan.estate.brief import BRIEF_EFFORT, BRIEF_NOTE, offers_in
from advisor.plan.geography import in_reach
from advisor.plan.planning import Asked, market_of, plan_routed
from advisor.plan.problem.values import Problem
from advisor.plan.request import PlanRequest, catalog_for, requirements_of
from advisor.plan.rungs import RungScope, rungs_of, widest
from advisor.plan.solve.existing import running_of, standing_of
from advisor.plan.solve.stage import Effort, PlanningContext
from advisor.plan.values import Plan
from advisor.requirements import Requirements, check_names
from advisor.units import SECONDS_PER_MINUTE
from advisor.workload.closed_loop import demand_as_declared
from advisor.workload.document import read_workload
from advisor.workload.negotiated import holdings_of, with_holdings
from advisor.workload.values import (
    CloudWatchDemand,
    DeclaredDemand,
    PrometheusDemand,
    Recorded,
    Routing,
    SampleDemand,
    TraceDemand,
    Workload,
)

if TYPE_CHECKING:
    from advisor.demand.services import Wanted
    from advisor.plan.explain.why import Judged

CountProgress = Callable[[int], None]


class Scope(StrEnum):
    """Share of what was looked at that a plan holds."""

    ALL = "all"
    """Every precision and parallelism."""
    BEST = "best"
    """The best of each offer, and why all others are none."""
    BRIEF = "brief"
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
    """Inputs of a plan beside its workload."""

    calibration: Path | None = None
    """Directory of a calibration of one's own; None: the catalog's."""
    catalog: Catalog | None = None
    """What is sold, and at what price; None: the user's catalog with all its layers."""
    compare: tuple[str, ...] = ()
    """Models of token services to compare the fleet with, beside those that the workload names."""
    listed_only: bool = False
    """Use only prices that are listed and recent, whatever the workload says."""


def recommend(
    path: Path,
    *,
    every_variant: bool = False,
    progress: CountProgress | None = None,
    basis: Basis | None = None,
    previous: Plan | None = None,
    prometheus: PrometheusDemand | None = None,
) -> Plan:
    """Plan for a workload file.

    Args:
        path: the workload file.
        every_variant: keep every precision and parallelism, not only the best of each offer.
        progress: called with the number of requests read while a trace is counted.
        basis: what is known of prices and performance.
        previous: what was planned before and runs now; leaving it has to be worth its cost.
        prometheus: server to take demand from, in place of the source that the file names.

    Raises:
        InputError: something in the workload, its demand or its model that the user can mend.
    """
    basis = basis or Basis()
    model = load_model(basis.calibration)
    workload = read_workload(path, prometheus)
    workload = replace(
        workload,
        compare=tuple(dict.fromkeys((*workload.compare, *basis.compare))),
        listed_only=workload.listed_only or basis.listed_only,
    )
    if previous is not None:
        workload = replace(workload, running=tuple(running_of(previous).items()))
    catalog = basis.catalog or load_catalog()
    workload = with_account(workload, catalog)
    if workload.as_of is None and (workload.commitments or Purchase.COMMITMENT in workload.purchase):
        workload = replace(workload, as_of=dt.datetime.now(dt.UTC).date())
    return plan_for(workload, catalog, every_variant=every_variant, progress=progress, model=model)


def with_account(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with what the user's overlay says of the account: regions, commitments and quotas.

    Raises:
        InputError: the overlay is wrong, or allows none of the workload's regions.
    """
    holdings = holdings_of(catalog)
    today = dt.datetime.now(dt.UTC).date()
    return workload if holdings is None else with_holdings(workload, holdings, catalog, today)


def plan_for(
    workload: Workload,
    catalog: Catalog,
    *,
    every_variant: bool = False,
    progress: CountProgress | None = None,
    model: PerformanceModel | None = None,
) -> Plan:
    """Plan for a workload with the offers of a catalog; see :func:`recommend`."""
    performance = model or shipped_model()
    served_model = find_model(workload.model_reference)
    catalog = catalog_for(workload, served_model, catalog)
    check_names(workload, catalog)
    demand = measure_demand(workload, served_model, catalog, performance, progress)
    question = PlanRequest(with_measured_cache(workload, demand), served_model, demand)
    return plan_question(question, catalog, every_variant=every_variant, model=performance)


def plan_question(
    question: PlanRequest, catalog: Catalog, *, every_variant: bool = False, model: PerformanceModel | None = None
) -> Plan:  # fmt: skip
    """Plan for a question whose model and demand are known; see :func:`recommend`."""
    return answer(question, catalog, model or shipped_model(), Scope.ALL if every_variant else Scope.BEST).plan


def answer(
    question: PlanRequest,
    catalog: Catalog,
    model: PerformanceModel,
    scope: Scope = Scope.BEST,
    regions: Collection[str] = (),
) -> Answer:
    """The plan, with what it was chosen from.

    Args:
        question: what is asked.
        catalog: the offers.
        model: what predicts.
        scope: how much of what was looked at the plan holds.
        regions: provider/region where the cheapest fleet is known to be; anywhere without.
    """
    catalog = catalog_for(question.workload, question.model, catalog)
    requirements = requirements_of(question, catalog)
    standing, standing_notes = standing_of(requirements, catalog)
    brief = scope is Scope.BRIEF
    context = PlanningContext(requirements, catalog, model, standing, BRIEF_EFFORT if brief else Effort())
    asked = _asked(requirements, catalog, scope)
    wide = _widest(requirements, asked.rungs, catalog) if asked.rungs else requirements
    own = in_reach(match(requirements, catalog), requirements.workload, catalog)
    every = in_reach(match(wide, catalog), wide.workload, catalog) if asked.rungs else own
    served, too_slow = serve(every.candidates, wide, model)
    offers = offers_in(every.offers, regions) if regions else every.offers
    market, planned = plan_routed(context, wide, served, offers, asked)
    rejections = list(dict.fromkeys([*own.rejections, *_of(own, too_slow), *planned.rejections]))
    if brief and planned.options:
        rejections = []
    notes = (*planned.choice.notes, *standing_notes, *((BRIEF_NOTE,) if brief else ()))
    planned = replace(planned, choice=replace(planned.choice, notes=notes))
    plan = build_plan(requirements, planned, rejections, catalog, model.calibration.version)
    problem = market.validator.with_known_headroom(market.formulation).problem
    return Answer(plan, requirements, problem, served, own.offers)


def market_for(question: PlanRequest, catalog: Catalog, model: PerformanceModel) -> "Judged":
    """A question written down without answering it: what explanations ask again under other targets."""
    from advisor.plan.explain.why import Judged

    catalog = catalog_for(question.workload, question.model, catalog)
    requirements = requirements_of(question, catalog)
    standing, _ = standing_of(requirements, catalog)
    context = PlanningContext(requirements, catalog, model, standing)
    matches = in_reach(match(requirements, catalog), requirements.workload, catalog)
    served, too_slow = serve(matches.candidates, requirements, model)
    return Judged(market_of(context, requirements, served, matches.offers), matches, tuple(too_slow))


def routed_as(plan: Plan, question: PlanRequest) -> PlanRequest:
    """The question as its plan answers it: without routing by prompt length where that saves nothing."""
    if plan.fleet is None or plan.fleet.bucket_max_input_tokens:
        return question
    return replace(question, workload=replace(question.workload, routing=Routing.WEIGHTED))


def under_targets(question: PlanRequest, targets_ms: Mapping[str, float]) -> PlanRequest:
    """The question with latency targets (``tpot_p95_ms``) set otherwise."""
    workload = question.workload
    return replace(question, workload=replace(workload, slo=replace(workload.slo, **dict(targets_ms))))


def _asked(requirements: Requirements, catalog: Catalog, scope: Scope) -> Asked:
    """Contents of a plan of this scope."""
    if scope is Scope.BRIEF:
        return Asked(replayed=0)
    return Asked(every_variant=scope is Scope.ALL, rungs=rungs_of(requirements, catalog))


def _widest(requirements: Requirements, rungs: Sequence[RungScope], catalog: Catalog) -> Requirements:
    """The requirements with all that any rung allows."""
    return replace(requirements, workload=widest(requirements.workload, rungs, catalog))


def _of(matches: Matches, rejections: Sequence[Rejection]) -> list[Rejection]:
    """The rejections of candidates that the question itself has."""
    own = {
        (
            candidate.instance_type.provider,
            candidate.instance_type.name,
            candidate.precision,
            candidate.tensor_parallel,
            candidate.partition,
        )
        for candidate in matches.candidates
    }
    return [
        rejection
        for rejection in rejections
        if (
            rejection.provider,
            rejection.instance_type,
            rejection.precision,
            rejection.tensor_parallel,
            rejection.partition,
        )
        in own
    ]


def measure_demand(
    workload: Workload,
    model: Model,
    catalog: Catalog,
    performance: PerformanceModel,
    progress: CountProgress | None = None,
) -> Demand:
    """Demand from whichever source the workload names."""
    match workload.demand:
        case DeclaredDemand() as stated:
            return demand_as_declared(stated, workload, model)
        case TraceDemand(path):
            return _demand_of_trace(path, progress)
        case SampleDemand() as sampled:
            measured = _demand_of_samples(sampled, workload, model, catalog, performance)
            return measured.with_notes(*_fleet_notes(sampled, workload))
        case PrometheusDemand() as watched:
            return _demand_of_server(watched, workload, model, catalog, performance)
        case CloudWatchDemand() as watched:
            return _demand_of_cloudwatch(watched, workload, model, catalog, performance)


def with_measured_cache(workload: Workload, demand: Demand) -> Workload:
    """The workload with the prefix-cache hit ratio that was measured with its demand, where none is stated."""
    if isinstance(workload.demand, PrometheusDemand | SampleDemand) and not workload.demand.cache_is_stated:
        return replace(workload, prefix_cache_hit_ratio=demand.tokens.prefix_cache_hit_ratio)
    return workload


def _demand_of_trace(path: Path, progress: CountProgress | None) -> Demand:
    """Demand of a trace, or of its summary.

    Raises:
        InputError: it cannot be read, or no request of it generated a token.
    """
    if path.suffix == ".json":
        demand = read_summary(path)
    else:
        from advisor.demand.trace import read_trace

        demand = read_trace(path, progress)
    if demand.output_tokens.max == 0:
        raise InputError(
            "no request generated a token, and plans are made for models that answer token by token",
            where=str(path),
            hint="check the column output_tokens",
        )
    return demand


def _demand_of_samples(
    sampled: SampleDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.recorded import Within, read_fleet
    from advisor.demand.services import demand_of_views
    from advisor.samples.busy import busy_profile
    from advisor.samples.need.fleet import notes_on
    from advisor.samples.store.reading import Store

    store = Store(sampled.places)
    recorded = sampled.recorded
    within = Within(sampled.hosts, sampled.window_days, recorded.from_seconds, recorded.until_seconds)
    fleet = read_fleet(store, within)
    asked = _asked_of("samples", store.where, sampled, model)
    counted = demand_of_views(fleet.views, asked, "counters of the serving engines")
    notes = (*notes_on(fleet.needs), *(f"samples left out: {note}" for note in store.notes()))
    if counted is not None:
        return counted.with_notes(*notes)
    lengths = _stated_lengths(sampled, "samples", store.where)
    busy = busy_profile(store, fleet.window, fleet.accelerators, sampled.hosts)
    observed = Busy(busy.busy, busy.saturated, busy.present, SECONDS_PER_MINUTE, busy.start_seconds)
    serves = busy_second_or_reason(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, sampled.requests_per_day, lengths)
    return demand.with_notes(*notes, *_idle_name(recorded))


def _idle_name(recorded: Recorded) -> tuple[str, ...]:
    """Note on a served name that selects nothing, because no serving engine was seen."""
    told = "no serving engine was seen, so `model` under demand selects nothing: all that the accelerators did counts"
    return () if recorded.served_as is None else (told,)


def _fleet_notes(sampled: SampleDemand, workload: Workload) -> Sequence[str]:
    """Notes on the hosts of the samples, where the workload says nothing or something else of them."""
    from advisor.samples.store.hosts import running_fleet

    fleet, current = running_fleet(sampled.places, sampled.hosts), workload.current
    if not fleet.machines or fleet.unknown:
        return ()
    words = " and ".join(str(machines) for machines in fleet.machines)
    if current is None:
        return (f"the sampled hosts are {words}: with `current: samples` the plan is compared with them",)
    stated = (current.provider, current.region, current.instance_type, current.count)
    sampled_kinds = [
        (machines.provider, machines.region, machines.instance_type, machines.count) for machines in fleet.machines
    ]
    return () if sampled_kinds == [stated] else (f"`current` is not what the sampled hosts are: {words}",)


def _demand_of_server(
    watched: PrometheusDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.monitored import Monitored, busy_over_time, engine_demand
    from advisor.samples.exporters import near_miss_words
    from advisor.samples.query.prometheus import PrometheusEndpoint

    sigv4 = None if watched.sigv4 is None else (watched.sigv4.region, watched.sigv4.profile)
    access = PrometheusEndpoint.of(watched.url, token_file=watched.token_file, ca_file=watched.ca_file, sigv4=sigv4)
    recorded = watched.recorded
    server = Monitored.between(
        access,
        watched.window_days,
        recorded.from_seconds,
        recorded.until_seconds,
        watched.selector,
        watched.metrics_file,
    )
    counted = engine_demand(server, _asked_of("prometheus", watched.url, watched, model))
    if counted is not None:
        return counted
    alike = near_miss_words(server.questions.table, server.names)
    lengths = _stated_lengths(watched, "prometheus", watched.url, alike)
    observed = busy_over_time(server)
    serves = busy_second_or_reason(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, watched.requests_per_day, lengths)
    demand = replace(demand, source=f"accelerators at {server.source}")
    return demand.with_notes(*server.notes, *server.questions.api.warnings, *_idle_name(recorded))


def _demand_of_cloudwatch(
    watched: CloudWatchDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.monitored.cloudwatch import CloudWatched, busy_in_cloudwatch, endpoint_demand
    from advisor.samples.query.cloudwatch import CloudWatchApi

    where, recorded = f"cloudwatch {watched.region}", watched.recorded
    lengths = _stated_lengths(watched, "cloudwatch", where)
    api = CloudWatchApi.of(watched.region, watched.profile, where)
    whole = CloudWatched.between(api, watched.window_days, recorded.from_seconds, recorded.until_seconds)
    asked = replace(whole, endpoint=watched.endpoint, component=recorded.served_as, hosts=watched.hosts)
    counted = endpoint_demand(asked, lengths)
    if counted is not None:
        return counted
    observed = busy_in_cloudwatch(asked)
    serves = busy_second_or_reason(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, watched.requests_per_day, lengths)
    return replace(demand, source=f"accelerators in {where}").with_notes(*api.messages)


def _asked_of(kind: str, where: str, source: SampleDemand | PrometheusDemand, model: Model) -> "Wanted":
    """Whose demand is asked for, and what the workload states of it."""
    from advisor.demand.services import Wanted

    return Wanted(
        model=model.name,
        where=where,
        field=f"demand.{kind}",
        served_as=source.recorded.served_as,
        known_models=model_names(),
        context_tokens=model.max_context_tokens,
        input_tokens=source.input_tokens,
        output_tokens=source.output_tokens,
        requests_per_day=source.requests_per_day,
    )


def _stated_lengths(
    source: SampleDemand | PrometheusDemand | CloudWatchDemand, kind: str, where: str, alike: str = ""
) -> tuple[float, float]:  # fmt: skip
    """Token lengths of a request, where nothing counts them; names that look alike go into the hint.

    Raises:
        InputError: they are not stated.
    """
    if source.input_tokens is None or source.output_tokens is None:
        add = f"add input_tokens and output_tokens under demand.{kind}, or watch an engine of docs/metrics.md too"
        raise InputError(
            "no serving engine counts requests and tokens there, and the workload states no token lengths",
            where=where,
            hint="; ".join(filter(None, (add, alike))),
        )
    return source.input_tokens, source.output_tokens
