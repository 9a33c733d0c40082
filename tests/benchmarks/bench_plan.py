"""What plans keep and save on the published traces: each trace is planned from, and then replayed as it was.

Prints, asserts nothing. The static peak is the type that serves most of the fleet's requests, bought on demand in the
number of the busiest minute around the clock. Needs the Azure traces of 2023 (conversation and code) in a directory
given as the first argument.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.trace import read_requests
from advisor.demand.values import DemandProfile
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_for, plan_question
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.from_plan import planned
from advisor.plan.request import PlanRequest
from advisor.workload.document import read_workload
from advisor.workload.values import Scaling

TRACES = {"conversation": "AzureLLMInferenceTrace_conv.csv", "code": "AzureLLMInferenceTrace_code.csv"}
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct")
SLOS = {"conversation": "{ttft_p95: 1s, tpot_p95: 50ms}", "code": "{ttft_p95: 2s, tpot_p95: 60ms}"}
PURCHASES = (("on_demand",), ("on_demand", "commitment"), ("on_demand", "spot"), ("on_demand", "spot", "commitment"))
WORKLOAD = """\
name: {name}
model: {model}
precisions: [bf16, fp8]
slo: {slo}
demand: {{trace: {trace}}}
purchase: [{purchase}]
limits: {{min_replicas: 2, zones: 2}}
"""
MONDAY_SECONDS = 1_699_833_600.0


def main() -> None:
    """Print one line for each trace, model and choice of purchases, and a week with a day's shape."""
    if len(sys.argv) == 1:
        print("give the directory of the traces")
        return
    traces = Path(sys.argv[1]).resolve()
    print("trace         model  purchase                    USD/month   static   saved  within  TTFT p95  TPOT p95  s")
    for name, file in TRACES.items():
        for model in MODELS:
            for purchase in PURCHASES:
                _planned_and_replayed(name, traces / file, model, purchase)
    for name, file in TRACES.items():
        _week(name, traces / file)


def _workload(name: str, trace: Path, model: str, purchase: tuple[str, ...], folder: str):
    path = Path(folder) / "workload.yaml"
    path.write_text(
        WORKLOAD.format(name=name, model=model, slo=SLOS[name], trace=trace, purchase=", ".join(purchase))
    )  # fmt: skip
    return read_workload(path)


def _planned_and_replayed(name: str, trace: Path, model: str, purchase: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asked = _workload(name, trace, model, purchase, folder)
        started = time.perf_counter()
        plan = plan_for(asked, load_catalog())
        took = time.perf_counter() - started
    short = "8B" if "8B" in model else "70B"
    if plan.fleet is None:
        print(f"{name:13s} {short:6s} {'+'.join(purchase):27s} no fleet: {plan.conflict}")
        return
    found = planned(plan, load_catalog(), shipped_model())
    result = replay(found.groups, read_requests(trace), found.slo, routes=found.routes)
    static = plan.fleet.static_peak
    print(
        f"{name:13s} {short:6s} {'+'.join(purchase):27s} {plan.fleet.cost.total_usd_per_month:9,.0f} "
        f"{static.compute_usd_per_month:8,.0f}  {static.saved_ratio:5.1%}  {result.within_slo_ratio:6.2%}  "
        f"{result.ttft_p95_ms:5.0f} ms  {result.tpot_p95_ms:5.1f} ms  {took:.1f}"
    )


def _week(name: str, trace: Path) -> None:
    """Two weeks with the shape of days and weekends at the trace's lengths and burstiness, on demand alone."""
    with tempfile.TemporaryDirectory() as folder:
        asked = _workload(name, trace, MODELS[0], ("on_demand",), folder)
        model = find_model(asked.model_reference)
        demand = measure_demand(asked, model, load_catalog(), shipped_model())
    hours = np.arange(24 * 14)
    day = 0.25 + 0.75 * np.clip(np.sin(np.pi * (hours % 24 - 6) / 15), 0, 1)
    shape = day * np.where(hours // 24 % 7 >= 5, 0.55, 1.0)
    rate = demand.requests_per_second.mean * 8
    counts = np.random.default_rng(7).poisson(np.repeat(rate * shape * 60, 60)).astype(float)
    profile = DemandProfile(MONDAY_SECONDS, counts, demand.profile.dispersion)
    demand = replace(demand, profile=profile)
    for title, scaling in (("scheduled", Scaling()), ("static", Scaling(scheduled=False))):
        question = PlanRequest(replace(asked, scaling=scaling, purchase=(Purchase.ON_DEMAND,)), model, demand)
        fleet = plan_question(question, load_catalog()).fleet
        print(
            f"{name}, two weeks of days, on demand, {title}: {fleet.cost.total_usd_per_month:,.0f} USD/month, "
            f"static peak {fleet.static_peak.compute_usd_per_month:,.0f}, saved {fleet.static_peak.saved_ratio:.1%}, "
            f"{fleet.confirmed.within_slo_ratio:.2%} within the SLO"
        )


if __name__ == "__main__":
    main()
