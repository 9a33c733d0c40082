"""Workloads made up from a seed, the same at every run: models, demand, places, purchases and limits of every kind."""

import datetime as dt
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.catalog.values import Purchase
from advisor.demand.values import Dispersion
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.plan.request import PlanRequest
from advisor.workload.values import DeclaredDemand, Deployment, Limits, Scaling, Slo, Survive, Workload
from plan.fleet.test_choose import week_of_days

MADE = 200
SAMPLED = 4
"""So many are tried at a run that does not ask for all."""
MODELS = (
    "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "mistralai/Ministral-3-14B-Instruct-2512",
    "Qwen/Qwen3-32B", "meta-llama/Llama-3.3-70B-Instruct",
)  # fmt: skip
PEAK_TO_MEAN = 1.9254783484390736
"""Of the days that demand is seen on."""
PLACES = {
    "aws": ("us-east-1", "us-west-2", "eu-west-1"),
    "gcp": ("us-central1", "europe-west4"),
    "azure": ("eastus", "westeurope"),
}
TODAY = (
    Deployment("aws", "us-east-1", "p4d.24xlarge", 2, Purchase.ON_DEMAND),
    Deployment("aws", "us-east-1", "g6e.12xlarge", 3, Purchase.ON_DEMAND),
    Deployment("gcp", "us-central1", "a2-highgpu-1g", 4, Purchase.ON_DEMAND),
    Deployment("azure", "eastus", "Standard_NC24ads_A100_v4", 2, Purchase.ON_DEMAND),
)
LIMITS = (
    {}, {"min_replicas": 2}, {"min_replicas": 3}, {"zones": 2}, {"min_replicas": 2, "zones": 2}, {"zones": 3},
    {"survive": Survive.INSTANCE}, {"survive": Survive.ZONE, "zones": 3}, {"min_replicas": 2, "survive": Survive.NOTHING},
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A workload with the days that its demand was seen on; None: stated as numbers."""

    workload: Workload
    days: int | None
    dispersion: Dispersion

    @property
    def question(self) -> PlanRequest:
        """What is asked, with demand by the minute where days are known."""
        model = find_model(self.workload.model_reference)
        demand = measure_demand(self.workload, model, None, None)
        if self.days is not None:
            rate = self.workload.demand.peak_requests_per_second
            demand = replace(demand, profile=week_of_days(rate, self.days, self.dispersion))
        return PlanRequest(self.workload, model, demand)


def made(number: int) -> Made:
    """A workload by its number."""
    draw = random.Random(number)
    providers = tuple(sorted(draw.sample(list(PLACES), draw.choice((1, 1, 2, 3)))))
    regions = tuple(region for name in providers for region in draw.sample(PLACES[name], 1))
    if draw.random() < 0.3:
        regions = tuple(dict.fromkeys((*regions, draw.choice(PLACES[providers[0]]))))
    days = draw.choice((None, None, 1, 5, 15))
    peak = round(0.2 * 250 ** draw.random(), 3)
    peak_to_mean = draw.choice((1.0, 1.5, 3.0)) if days is None else PEAK_TO_MEAN
    model = draw.choice(MODELS)
    here = [one for one in TODAY if one.provider in providers and one.region in regions]
    workload = Workload(
        name=f"made-{number}",
        model=model,
        precisions=draw.choice((("bf16",), ("bf16", "fp8"), ("fp8", "bf16"), ("bf16", "fp8", "int4"))),
        slo=draw.choice((Slo(2000, 60), Slo(1000, 50), Slo(3000, None), Slo(None, 80), Slo(1500, 80, 60_000))),
        demand=DeclaredDemand(
            round(peak / peak_to_mean, 3), peak, draw.choice((200, 800, 2000)), draw.choice((50, 200, 400))
        ),
        providers=providers,
        regions=regions,
        purchase=(purchase := _purchases(draw)),
        context_tokens=draw.choice((4096, 8192)),
        current=draw.choice(here) if here and draw.random() < 0.6 else None,
        limits=_limits(draw, purchase),
        path=Path("workload.yaml"),
        scaling=Scaling(scheduled=draw.random() < 0.8),
        growth_per_year=draw.choice((None, None, 0.5)),
        as_of=dt.date(2026, 11, 20),
    )
    return Made(workload, days, draw.choice((Dispersion(), Dispersion(3.0, 10.0), Dispersion(6.0, 30.0))))


def _purchases(draw: random.Random) -> tuple[Purchase, ...]:
    return draw.choice(
        (
            (Purchase.ON_DEMAND,),
            (Purchase.ON_DEMAND, Purchase.SPOT),
            (Purchase.ON_DEMAND, Purchase.COMMITMENT),
            (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT),
            (Purchase.SPOT,),
        )
    )


def _limits(draw: random.Random, purchase: tuple[Purchase, ...]) -> Limits:
    limits = dict(draw.choice(LIMITS))
    for name, values in {
        "fault_tolerant_ratio": (0.3, 1.0),
        "on_demand_base_ratio": (0.3, 0.7),
        "max_regions": (1, 2),
        "max_instance_types": (1, 2),
        "max_replicas": (8, 40),
        "max_kw": (5.0, 30.0),
        "max_usd_per_month": (4_000.0, 40_000.0),
        "simplicity": (0.0, 0.2),
        "mix_providers": (True,),
        "commit_without_history": (True,),
        "commitment_years": ((1, 3),),
        "max_changed_instances": (8,),
    }.items():
        if draw.random() < 0.12:
            limits[name] = draw.choice(values)
    if purchase == (Purchase.SPOT,):
        limits.pop("on_demand_base_ratio", None)  # nothing that is bought would carry it
    return Limits(**limits)


ONCE_FAILED = (0, 26, 44, 100, 113, 134, 187)
"""An option beside the fleet had a cheaper fleet of its own machines; fewer instances than the closed form asks for broke a limit; a rung's fleet came from pools that the next has not; a
bound lay above a fleet in a preferred precision; budgets of what the recommendation costs (100, 134) turned it into another; the second
rung kept to a precision that today's machines do not serve."""


def tried() -> list[int]:
    """The numbers that this run tries: others every day, one that once failed among them; all with ADVISOR_EVERY_WORKLOAD=1."""
    if os.environ.get("ADVISOR_EVERY_WORKLOAD") == "1":
        return list(range(MADE))
    parts = MADE // SAMPLED
    day = dt.datetime.now(dt.UTC).toordinal()
    return sorted({ONCE_FAILED[day % len(ONCE_FAILED)], *range(day % parts, MADE, parts)})
