"""Start here: the stages in order, and no logic of their own.

::

    workload file ─▶ demand ─▶ requirements ─▶ candidates ─▶ performance ─▶ cost ─▶ plan
                     rates,     model, SLO,     what can      what keeps     sized   ranked
                     lengths    limits          hold it       the SLO        priced  options

Each stage takes frozen values and returns frozen values; what cannot go on is a Rejection with the two numbers that
were compared, never silence. Reports and generated code read the plan and compute nothing.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from advisor.candidates import match
from advisor.catalog import Catalog, load_catalog
from advisor.demand.declared import declared_demand, demand_from_busy
from advisor.demand.summary import read_summary
from advisor.demand.values import Demand
from advisor.models import Model, find_model
from advisor.performance.model import PerformanceModel, load_model, shipped_model
from advisor.performance.stage import latencies_at_load, requests_per_busy_second, serve
from advisor.plan.build import build_plan
from advisor.plan.fleet.choose import choose_fleet
from advisor.plan.fleet.stage import Setting
from advisor.plan.fleet.standing import running_of, standing_of
from advisor.plan.question import Question, requirements_of
from advisor.plan.sizing import best_of_each_offer, cheapest_first, size_all
from advisor.plan.values import Plan
from advisor.requirements import check_names
from advisor.workload.document import read_workload
from advisor.workload.values import DeclaredDemand, SampleDemand, TraceDemand, Workload

CountProgress = Callable[[int], None]


def recommend(
    path: Path,
    *,
    every_variant: bool = False,
    progress: CountProgress | None = None,
    calibration: Path | None = None,
    previous: Plan | None = None,
) -> Plan:
    """Plan for a workload file.

    Args:
        path: the workload file.
        every_variant: keep every precision and parallelism, not only the best of each offer.
        progress: called with the number of requests read while a trace is counted.
        calibration: directory of a calibration of one's own; the catalog's without.
        previous: what was planned before and runs now; leaving it has to be worth its cost.

    Raises:
        InputError: something in the workload, its demand or its model that the user can mend.
    """
    model = load_model(calibration)
    workload = read_workload(path)
    if previous is not None:
        workload = replace(workload, running=tuple(running_of(previous).items()))
    if workload.commitments and workload.as_of is None:
        workload = replace(workload, as_of=dt.datetime.now(dt.UTC).date())
    return plan_for(workload, load_catalog(), every_variant=every_variant, progress=progress, model=model)


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
    check_names(workload, catalog)
    served_model = find_model(workload.model_reference)
    demand = measure_demand(workload, served_model, catalog, performance, progress)
    question = Question(workload, served_model, demand)
    return plan_question(question, catalog, every_variant=every_variant, model=performance)


def plan_question(
    question: Question, catalog: Catalog, *, every_variant: bool = False, model: PerformanceModel | None = None
) -> Plan:  # fmt: skip
    """Plan for a question whose model and demand are known; see :func:`recommend`."""
    performance = model or shipped_model()
    requirements = requirements_of(question, catalog)
    matches = match(requirements, catalog)
    served, too_slow = serve(matches.candidates, requirements, performance)
    standing, standing_notes = standing_of(requirements, catalog)
    choice = choose_fleet(Setting(requirements, catalog, performance, standing), served, matches.offers)
    sized, unaffordable = size_all(served, matches.offers, requirements, catalog)
    kept = sized if every_variant else best_of_each_offer(sized, question.workload.precisions)
    ranked = cheapest_first(kept, requirements)
    latencies = latencies_at_load(
        [one.served.candidate for one in ranked], [one.replicas for one in ranked], requirements, performance
    )
    rejections = list(dict.fromkeys([*matches.rejections, *too_slow, *unaffordable, *choice.rejections]))
    version = performance.calibration.version
    choice = replace(choice, notes=(*choice.notes, *standing_notes))
    return build_plan(requirements, list(zip(ranked, latencies, strict=True)), choice, rejections, catalog, version)


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
            return declared_demand(
                stated.requests_per_second, stated.peak_requests_per_second, stated.input_tokens, stated.output_tokens
            )
        case TraceDemand(path):
            return _demand_of_trace(path, progress)
        case SampleDemand() as sampled:
            return _demand_of_samples(sampled, workload, model, catalog, performance)


def _demand_of_trace(path: Path, progress: CountProgress | None) -> Demand:
    if path.suffix == ".json":
        return read_summary(path)
    from advisor.demand.trace import read_trace

    return read_trace(path, progress)


def _demand_of_samples(
    sampled: SampleDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.samples.store import read_samples
    from advisor.samples.summary import busy_profile

    profile = busy_profile(read_samples(sampled.path, ("busy_ratio",)))
    lengths = (sampled.input_tokens, sampled.output_tokens)
    capacity = None
    if sampled.requests_per_day is None:
        capacity = requests_per_busy_second(workload, model, catalog, lengths, performance)
    return demand_from_busy(
        profile.busy_accelerators,
        profile.window_seconds,
        sampled.requests_per_day,
        capacity,
        lengths,
        float(profile.window_start_seconds[0]),
    )
