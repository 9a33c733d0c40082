"""Fleet problems of real workloads over the shipped catalog."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.forecast import flat_forecast
from advisor.demand.lengths import declared_demand
from advisor.demand.values import Forecast
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import read_workload
from advisor.plan.problem.hours import week_of
from advisor.plan.solve.stage import ExistingFleet, Formulation, PlanningContext, formulate, supply_of
from advisor.requirements import require
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK
from advisor.workload.values import DeclaredDemand, Limits, Slo, Workload

ROOT = Path(__file__).parents[3]
NOTHING = ExistingFleet({}, {})
catalog = cache(load_catalog)
performance = cache(shipped_model)


def example(name: str, **changes) -> Workload:
    """One of the examples, with some fields changed."""
    return replace(read_workload(ROOT / "examples" / name / "workload.yaml"), current=None, **changes)


def made_up(model: str, rate: float, tokens: tuple[float, float], slo: Slo, **changes) -> Workload:
    """A workload of declared demand, everywhere and with every way of paying."""
    return replace(
        Workload(
            name="made-up",
            model=model,
            precisions=("bf16", "fp8"),
            slo=slo,
            demand=DeclaredDemand(rate / 2, rate, *tokens),
            providers=("aws", "gcp", "azure"),
            regions=(),
            purchase=(Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT),
            context_tokens=None,
            current=None,
            limits=Limits(min_replicas=2, zones=2, commit_without_history=True),
            path=Path("workload.yaml"),
        ),
        **changes,
    )


def daily_forecast(peak: float) -> Forecast:
    """Working days with a long peak and short nights, and quieter weekends."""
    at = np.arange(HOURS_PER_WEEK)
    day = np.clip(np.sin(np.pi * ((at % HOURS_PER_DAY) - 6) / 15), 0, 1)
    shape = (0.2 + 0.8 * day) * np.where(at >= 5 * HOURS_PER_DAY, 0.6, 1.0)
    rate = peak * shape / 1.4
    return Forecast(
        mean=rate, low=rate * 0.8, high=rate * 1.2, low_peak=peak * shape * 0.8 / 1.2, peak=peak * shape,
        interval_level=0.8, horizon_days=30.0, method="stated", backtest=(), notes=(),
    )  # fmt: skip


def formulation(
    workload: Workload, scale: float = 1.0, *, weekly: bool = False, standing: ExistingFleet = NOTHING
) -> Formulation:
    """The problem of a workload with so many times its requests."""
    model = find_model(workload.model_reference)
    if isinstance(workload.demand, DeclaredDemand):
        stated = workload.demand
        demand = declared_demand(
            stated.requests_per_second, stated.peak_requests_per_second, stated.input_tokens, stated.output_tokens
        )
    else:
        demand = measure_demand(workload, model, catalog(), performance())
    requirements = require(workload, model, demand, catalog())
    matched = match(requirements, catalog())
    served, _ = serve(matched.candidates, requirements, performance())
    rate = demand.requests_per_second
    expected = (
        daily_forecast(rate.peak * scale)
        if weekly
        else flat_forecast(rate.mean * scale, rate.peak * scale, horizon_days=30.0)
    )
    context = PlanningContext(requirements, catalog(), performance(), standing)
    supply = supply_of(context, served, matched.offers)
    return formulate(context, supply, week_of(expected, scheduled=True))
