"""Plans that the tests generate code from: builders with defaults, and the scenarios of the golden files."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from advisor.plan.document import plain
from advisor.plan.values import Cost, CurrentCost, Interval, Option, Plan, PlanProvenance, Predicted, Savings
from advisor.workload.values import Limits, Scaling, Slo

HOURS_PER_MONTH = 730
HOSTILE = (
    '"}\nresource "null_resource" "x" {} ${file("/etc/passwd")} %{ if true }`rm -rf /`$(id) | # \\ \'EOF\' \u202e\x00'
)
"""Tries to leave every string that it could be put into."""


def make_cost(usd_per_hour: float, instances: int) -> Cost:
    """What *instances* machines cost; 2 requests per second with 200 answer tokens each."""
    month = round(usd_per_hour * instances * HOURS_PER_MONTH, 2)
    return Cost(
        instance_usd_per_hour=usd_per_hour,
        usd_per_hour=usd_per_hour * instances,
        compute_usd_per_month=month,
        total_usd_per_month=month,
        usd_per_million_output_tokens=month / 1051.2,
        usd_per_1000_requests=month / 5256,
        price_source="AWS price list",
        price_as_of="2026-08-11",
        price_quality="listed",
    )


def make_option(**changes: Any) -> Option:
    """Two g6.xlarge on demand with an 8 B model in bf16; *changes* replace fields, ``usd_per_hour`` the price."""
    instances = changes.get("instances", 2)
    usd_per_hour = changes.pop("usd_per_hour", 0.8048)
    fields: dict[str, Any] = {
        "rank": 1,
        "provider": "aws",
        "region": "us-east-1",
        "instance_type": "g6.xlarge",
        "accelerator": "L4",
        "accelerator_count": 1.0,
        "replicas_per_instance": 1,
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "precision": "bf16",
        "kv_precision": "bf16",
        "engine": "vLLM",
        "engine_version": "0.30.0",
        "purchase": "on_demand",
        "instances": instances,
        "replicas": instances * changes.get("replicas_per_instance", 1),
        "context_tokens": 8192,
        "max_concurrency": 32,
        "memory_utilization": 0.9,
        "weights_gib": 14.96,
        "predicted": Predicted(
            ttft_p95_ms=Interval(310.0, 210.0, 450.0),
            tpot_p95_ms=Interval(41.5, 33.0, 52.0),
            e2e_p95_ms=Interval(18_700.0, 14_900.0, 23_400.0),
            requests_per_second_per_replica=Interval(1.35, 1.0, 1.7),
        ),
        "evidence": "roofline",
        "cost": make_cost(usd_per_hour, instances),
    }
    return Option(**(fields | changes))


def make_plan(*options: Option, **changes: Any) -> Plan:
    """A plan of *options*, the first one recommended; *changes* replace fields (``name``, ``model``: of the workload)."""
    name = changes.pop("name", "support-chat")
    model = changes.pop("model", "meta-llama/Llama-3.1-8B-Instruct")
    current = CurrentCost("aws", "us-east-1", "p4d.24xlarge", "on_demand", 2, 43.92, 32061.6)
    recommended = options[0] if options else None
    spent = recommended.cost.total_usd_per_month if recommended else 0.0
    plan = Plan(
        workload=_workload(name, model, changes.pop("zones", 2)),
        demand=_demand(),
        recommended=recommended,
        options=options,
        rejected=(),
        nearest_misses=(),
        current=current if recommended else None,
        savings=Savings(32061.6 - spent, 1 - spent / 32061.6) if recommended else None,
        provenance=PlanProvenance("0.1.0", "sha256:" + "0" * 64, "2026-11-20", "roofline", "sha256:" + "1" * 64),
        notes=(),
    )
    return dataclasses.replace(plan, **changes)


def _workload(name: str, model: str, zones: int) -> Mapping[str, Any]:
    return {
        "name": name,
        "model": model,
        "precisions": ["bf16", "fp8"],
        "slo": plain(Slo(ttft_p95_ms=1000.0, tpot_p95_ms=50.0), "slo"),
        "providers": ["aws", "gcp", "azure"],
        "regions": ["us-east-1"],
        "purchase": ["on_demand", "spot"],
        "context_tokens": 8192,
        "limits": plain(Limits(min_replicas=2, zones=zones), "limits"),
        "users": {},
        "residency": [],
        "routing": "weighted",
        "scaling": plain(Scaling(), "scaling"),
        "commitments": [],
        "as_of": None,
        "running": {},
        "growth_per_year": None,
        "horizon_days": 30.0,
        "prefix_cache_hit_ratio": 0.0,
    }


def _demand() -> Mapping[str, Any]:
    return {
        "requests_per_second": {"mean": 2.0, "p50": 1.9, "p95": 2.4, "p99": 2.6, "peak": 2.7, "peak_to_mean": 1.35},
        "input_tokens": {"mean": 800.0, "p50": 700.0, "p95": 2100.0, "p99": 4000.0, "max": 6000.0},
        "output_tokens": {"mean": 200.0, "p50": 180.0, "p95": 520.0, "p99": 900.0, "max": 1500.0},
        "longest_request_tokens": 7500.0,
        "source": "declared in the workload file",
        "requests": None,
        "window_seconds": None,
    }


Scenario = tuple[Plan, Option]


def _alone(option: Option, **changes: Any) -> Scenario:
    return make_plan(option, **changes), option


def l4_spot() -> Scenario:
    """Spot with a second, equal type in the plan."""
    chosen = make_option(purchase="spot", precision="fp8", weights_gib=8.1, usd_per_hour=0.3117)
    larger = dataclasses.replace(chosen, rank=2, instance_type="g6.2xlarge", cost=make_cost(0.402, 2))
    return make_plan(chosen, larger), chosen


def a10g_on_demand() -> Scenario:
    """An option that is not the recommended one."""
    best = make_option()
    option = make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.006)
    return make_plan(best, option), option


def h100_tp8() -> Scenario:
    """One replica over a whole machine."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        instances=3,
        kv_precision="fp8",
        precision="fp8",
        weights_gib=376.3,
        usd_per_hour=55.04,
        region="us-west-2",
        max_concurrency=128,
        context_tokens=32768,
    )
    return _alone(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct", zones=3)


def l40s_replicas() -> Scenario:
    """Four replicas share an instance; the 4-bit checkpoint is for the user to name."""
    option = make_option(
        instance_type="g6e.24xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        instances=1,
        usd_per_hour=15.07,
        region="eu-west-1",
    )
    return _alone(option)


def inferentia2() -> Scenario:
    """Neuron: no GPU metrics, no agent."""
    option = make_option(
        instance_type="inf2.xlarge",
        accelerator="Inferentia2",
        engine="vLLM-NxDI",
        engine_version="0.16",
        usd_per_hour=0.7582,
        instances=3,
        max_concurrency=8,
        context_tokens=4096,
    )
    return _alone(option)


def t4_fp16() -> Scenario:
    """Turing has no bf16."""
    option = make_option(
        instance_type="g4dn.xlarge", accelerator="T4", precision="fp16", kv_precision="fp16", usd_per_hour=0.526
    )
    return _alone(option)


def hostile_names() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE, price_quality=HOSTILE)
    return _alone(dataclasses.replace(option, cost=cost), name=HOSTILE, model=HOSTILE)


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "l4-spot": l4_spot,
    "a10g-on-demand": a10g_on_demand,
    "h100-tp8": h100_tp8,
    "l40s-replicas": l40s_replicas,
    "inferentia2": inferentia2,
    "t4-fp16": t4_fp16,
    "hostile-names": hostile_names,
}
