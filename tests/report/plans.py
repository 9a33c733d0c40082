"""Plans that the tests of reports show: builders with defaults, and three shapes that users meet."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from advisor.candidates import Rejection
from advisor.demand.values import HourlyUse, Hours
from advisor.performance.model import shipped_model
from advisor.pipeline import question_for
from advisor.plan.document import plain
from advisor.plan.fleet.chosen import (
    Cheapest,
    Confirmation,
    ConstraintUse,
    DoubtfulPrice,
    Failure,
    Fleet,
    FleetGroup,
    ForecastUsed,
    GroupSchedule,
    HoldsUpTo,
    LatencyDistribution,
    Layout,
    PlannedHours,
    Policy,
    ScalingPlan,
    Spare,
    StaticPeak,
)
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.plain_values import to_plain
from advisor.plan.token_apis import TokenApi
from advisor.plan.values import (
    Conflict,
    CurrentCost,
    Interval,
    MeasureFirst,
    Option,
    OptionCost,
    Plan,
    PlanProvenance,
    Predicted,
    RelaxedLimit,
    Rung,
    RungGroup,
    Savings,
)
from advisor.workload.values import Limits, Slo
from builders import catalog_of, offer, workload

HOURS_PER_MONTH = 730
COMMITMENT = "Compute Savings Plan, 1 y, no upfront"


def make_group(instances: int | tuple[int, ...] = 4, usd_per_hour: float = 1.861, **changes: Any) -> FleetGroup:
    """Four g6e.xlarge on demand; *changes* replace fields."""
    counts = (instances,) if isinstance(instances, int) else instances
    values: dict[str, Any] = {
        "provider": "aws",
        "region": "us-east-1",
        "instance_type": "g6e.xlarge",
        "accelerator": "L40S",
        "accelerator_count": 1.0,
        "replicas_per_instance": 1,
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "precision": "fp8",
        "kv_precision": "auto",
        "engine": "vLLM",
        "engine_version": "0.30.0",
        "context_tokens": 8192,
        "max_concurrency": 32,
        "memory_utilization": 0.9,
        "weights_gib": 8.5,
        "checkpoint_gib": 17.0,
        "disk_gib": 81,
        "loading_gib": 8.5,
        "weights": "Qwen/Qwen2.5-7B-Instruct-FP8",
        "purchase": "on_demand",
        "zones": 2,
        "zones_verified": True,
        "commitment": "",
        "break_even_ratio": None,
        "instances": counts,
        "request_shares": (1.0,) * len(counts),
        "bucket_shares": (),
        "requests_per_second_per_replica": Interval(3.89, 2.6, 5.4),
        "planned_requests_per_second_per_instance": 2.86,
        "cold_start_seconds": None,
        "interruptions_per_instance_hour": 0.0,
        "evidence": "calibrated",
        "instance_usd_per_hour": usd_per_hour,
        "compute_usd_per_month": round(usd_per_hour * max(counts) * HOURS_PER_MONTH, 2),
        "interruptions_usd_per_month": 0.0,
        "price_source": "AWS price list",
        "price_as_of": "2026-11-01",
        "price_quality": "listed",
    }
    values |= changes
    parts = ("provider", "region", "instance_type", "precision", "purchase")
    return FleetGroup(**{"name": "/".join(values[part] for part in parts)} | values)


def pool_of(group: FleetGroup) -> str:
    """What of a group's name says nothing of how it is paid for."""
    return group.name.rpartition("/")[0]


def make_cost(compute: float, **changes: Any) -> FleetCost:
    """So much compute, $24 of disks and $16.43 for a load balancer."""
    total = round(compute + 24.0 + 16.43, 2)
    cost = FleetCost(compute, 0.0, 0.0, 0.0, total, 0.82, 0.21, 24.0, 0.0, 16.43)
    return replace(cost, **changes)


def make_fleet(*groups: FleetGroup, **changes: Any) -> Fleet:
    """A fleet of *groups*, alike at all hours; *changes* replace fields."""
    compute = round(sum(group.compute_usd_per_month for group in groups), 2)
    values: dict[str, Any] = {
        "groups": groups,
        "hour_classes": (PlannedHours(168, 4.2, 9.75, 5.1),),
        "schedule": (0,) * 168,
        "places": ("anywhere",),
        "place_shares": (1.0,),
        "bucket_max_input_tokens": (),
        "cost": make_cost(compute),
        "constraints": (ConstraintUse("min_replicas", "", 2, 4, "replicas", binding=False),),
        "proven": True,
        "gap_ratio": 0.0,
        "bound_usd_per_month": compute + 24.0,
        "pools_considered": 302,
        "static_peak": StaticPeak(groups[0].instance_type, groups[0].region, 4, compute, 0.0),
        "confirmed": Confirmation(
            8819, 58.0, 0.9958, 429.0, 50.9, 1.0, True, "synthetic, modelled on the busiest 58 min", 0.9958  # noqa: FBT003
        ),
        "forecast": ForecastUsed("hour-of-day shape × recent level", 0.8, 30.0, ()),
        "scaling": ScalingPlan(
            Policy.STATIC, "the hours are alike", tuple(GroupSchedule(one.name, 12, ()) for one in groups), 5458.0, 5458.0, None, None, ""
        ),
        "holds_up_to": HoldsUpTo(1.35, 2.0),
        "latencies": (
            LatencyDistribution("ttft", 8819, 0.9994, 41.0, 88.0, 130.0, 201.0, 333.0, 429.0, 801.0, 1450.0),
            LatencyDistribution("tpot", 8800, 0.9961, 21.0, 28.0, 34.0, 41.0, 48.0, 50.9, 57.0, 71.0),
        ),
    }  # fmt: skip
    return Fleet(**(values | changes))


def make_option(group: FleetGroup, rank: int = 1, **changes: Any) -> Option:
    """A group as an option of its own."""
    cost = make_cost(group.compute_usd_per_month)
    values: dict[str, Any] = {field.name: getattr(group, field.name) for field in fields(Layout)}
    values |= {
        "rank": rank,
        "commitment": group.commitment,
        "instances": group.instances[-1],
        "replicas": group.instances[-1] * group.replicas_per_instance,
        "planned_requests_per_second_per_instance": group.planned_requests_per_second_per_instance,
        "predicted": Predicted(
            Interval(429.0, 300.0, 600.0),
            Interval(50.9, 40.0, 60.0),
            Interval(18_700.0, 14_900.0, 23_400.0),
            group.requests_per_second_per_replica,
        ),
        "evidence": group.evidence,
        "cost": OptionCost(
            **{field.name: getattr(cost, field.name) for field in fields(FleetCost)},
            instance_usd_per_hour=group.instance_usd_per_hour,
            price_source=group.price_source,
            price_as_of=group.price_as_of,
            price_quality=group.price_quality,
        ),
        "confirmed": Confirmation(
            8819, 58.0, 0.9958, 429.0, 50.9, 1.0, reached=True, arrivals="synthetic", busiest_within_slo_ratio=0.9958
        ),
    }
    return Option(**(values | changes))


def make_rung(rung: str, *groups: FleetGroup, today: float | None = None, **changes: Any) -> Rung:
    """A rung with a fleet of *groups*."""
    total = make_cost(round(sum(group.compute_usd_per_month for group in groups), 2)).total_usd_per_month
    short = tuple(
        RungGroup(
            one.provider, one.region, one.instance_type, one.accelerator, one.purchase, one.commitment, one.precision,
            one.tensor_parallel, one.engine, max(one.instances),
            instances_by_class=one.instances if len(set(one.instances)) > 1 else (),
        )
        for one in groups
    )  # fmt: skip
    saving = None if today is None else 1 - total / today
    return replace(Rung(rung, total, saving, short, (), (), "calibrated", "", 0.9958), **changes)


def no_rung(rung: str, why: str) -> Rung:
    """A rung without a fleet."""
    return Rung(rung, None, None, (), (), (), "", why)


def make_plan(fleet: Fleet | None, *options: Option, **changes: Any) -> Plan:
    """A plan of a fleet and options; *changes* replace fields (``name``, ``model``: of the workload)."""
    name, model = changes.pop("name", "code-completion"), changes.pop("model", "Qwen/Qwen2.5-7B-Instruct")
    plan = Plan(
        workload={
            "name": name,
            "model": model,
            "regions": ["us-east-1"],
            "users": {},
            "residency": [],
            "slo": plain(Slo(ttft_p95_ms=2000.0, tpot_p95_ms=60.0), "slo"),
            "limits": plain(Limits(min_replicas=2, zones=2), "limits"),
        },
        demand={
            "requests_per_second": {"mean": 2.57, "p50": 2, "p95": 6, "p99": 8, "peak": 9.75, "peak_to_mean": 3.8},
            "input_tokens": {"mean": 2048, "p50": 1500, "p95": 7315, "p99": 7400, "max": 7437},
            "output_tokens": {"mean": 28, "p50": 15, "p95": 90, "p99": 200, "max": 500},
            "longest_request_tokens": 7500.0,
            "source": "Azure LLM inference trace 2023, code",
            "requests": 8819,
            "window_seconds": 3435.0,
        },
        recommended=options[0] if options else None,
        options=options,
        rejected=(),
        nearest_misses=(),
        current=None,
        savings=None,
        provenance=PlanProvenance("1.0", "sha256:0", "2026-11-09", "calibrated-a524308fe2b9", "sha256:1"),
        notes=(),
        fleet=fleet,
    )
    return replace(plan, **changes)


def with_today(plan: Plan, current: CurrentCost) -> Plan:
    """A plan whose fleet replaces what runs today."""
    assert plan.fleet is not None
    saved = current.total_usd_per_month - plan.fleet.cost.total_usd_per_month
    return replace(plan, current=current, savings=Savings(saved, saved / current.total_usd_per_month))


def rejection(code: str, message: str, instance_type: str = "g5.xlarge") -> Rejection:
    """An offer that cannot be an option."""
    return Rejection("aws", "us-east-1", instance_type, "fp8", 1, code, 2.0, 1.0, "unit", message)


def spot_plan() -> Plan:
    """One type on spot, half of what the machines of today cost, on a ladder of eight rungs."""
    on_demand = make_group(4)
    large = make_group(3, 6.88, instance_type="p5.4xlarge", accelerator="H100-SXM")
    spot = make_group(
        4, 0.7442, purchase="spot", interruptions_per_instance_hour=1 / (33 * 24), zones=3, zones_verified=False,
        price_quality="listed",
    )  # fmt: skip
    tpu = make_group(
        2, 0.5442, provider="gcp", region="us-central1", instance_type="ct6e-standard-1t", accelerator="TPU-v6e",
        purchase="spot", precision="int8", evidence="roofline", engine="vLLM-TPU",
    )  # fmt: skip
    current = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.688, 16_562.24, 0.6123, 17)
    today = current.total_usd_per_month
    takes = ("driver and image for L40S (vLLM)",)
    fleet = make_fleet(
        spot,
        spare=(Spare(spot.name, 1, "spot_reroute", 543.27),),
        failures=(
            Failure(f"one instance of {pool_of(spot)}", 0.88, 0),
            Failure("spot of aws/us-east-1/L40S in one zone", 0.59, 0),
        ),
        cost=make_cost(spot.compute_usd_per_month, interruptions_usd_per_month=4.2),
    )
    risky = ("spot g6e.xlarge: over 20% of instances interrupted in a month",)
    ladder = (
        no_rung("as_is", "4 × g5.12xlarge keep 61.23% of the replayed requests within the SLO; 17 are needed with failures covered"),
        make_rung("resize", make_group(17, 5.672, instance_type="g5.12xlarge", accelerator="A10G"), today=today),
        make_rung("same_cloud", on_demand, today=today, requires=takes),
        make_rung("commit", on_demand, today=today, requires=takes),
        make_rung("spot", spot, today=today, requires=takes, risks=risky, recommended=True),
        make_rung("precision", spot, today=today, requires=takes, risks=risky, beyond_stated=True),
        make_rung("any_accelerator", spot, today=today, requires=takes, risks=risky, beyond_stated=True),
        make_rung(
            "any_cloud", tpu, today=today, evidence="roofline", beyond_stated=True, where="in North America",
            requires=("an account on gcp", "driver and image for TPU-v6e (vLLM-TPU)",
                      "int8 weights: quantise them yourself; quality loss not known"),
            risks=("ct6e-standard-1t: predicted from its data sheet alone",),
        ),
    )  # fmt: skip
    as_stated = make_rung("as_stated", spot, today=today, requires=takes, risks=risky, recommended=True)
    options = (make_option(spot), make_option(on_demand, 2), make_option(large, 3))
    plan = make_plan(
        fleet,
        *options,
        ladder=ladder,
        as_stated=as_stated,
        rejected=(rejection("slo_ttft", "TTFT"), rejection("parallelism", "TP"), rejection("memory", "GiB")),
        token_apis=(TokenApi("deepinfra", "Qwen/Qwen2.5-7B-Instruct", 612.4, 0.04, 0.1, "list", "2026-11",
                             break_even_requests_per_second=9.2),),
        measure_first=MeasureFirst(1, 3, 1.86, 1.0, 3409.35, 2190.44),
        notes=(
            "Derived from the Azure LLM Inference Trace 2023 (code), Microsoft, CC-BY 4.0; Patel et al., Splitwise",
            "demand.json covers 1.0 h: busier hours of the day or week are unseen",
            "azure has none of the regions given, so it is left out",
            "less than a day is known (1 whole h): the forecast is its level all week",
        ),
    )  # fmt: skip
    return with_today(plan, current)


def mixed_plan() -> Plan:
    """Committed machines for the base and spot for the busy hours, with a spare, and a cheaper fleet of more backends."""
    base = make_group(
        (2, 2), 1.21, purchase="commitment", commitment=COMMITMENT, break_even_ratio=0.65,
        request_shares=(0.9, 0.5),
    )  # fmt: skip
    busy = make_group(
        (0, 3), 0.9, instance_type="g6e.2xlarge", purchase="spot", interruptions_per_instance_hour=1 / (228 * 24),
        request_shares=(0.1, 0.5), price_quality="derived", price_as_of="2025-06-28",
    )  # fmt: skip
    cost = make_cost(3737.6, obligation_usd=21_199.2, obligation_until="2027-11-09", regret_usd_per_month=412.33)
    fleet = make_fleet(
        base, busy,
        hour_classes=(PlannedHours(108, 1.1, 2.6, 1.8), PlannedHours(60, 6.1, 9.75, 5.7)),
        schedule=((0,) * 12 + (1,) * 12) * 7,
        cost=cost,
        spare=(Spare(busy.name, 1, "survive: instance", 657.0),),
        failures=(Failure(f"one instance of {pool_of(base)}", 1.17, 0),
                  Failure(f"one instance of {pool_of(busy)}", 1.17, 1)),
        cheapest=Cheapest(("2 × g6e.xlarge committed for 1 year", "1 × inf2.8xlarge spot"), 3650.0, 111.6, 2),
        doubtful_prices=(DoubtfulPrice(busy.name, "derived, 499 days old", 0.62, 1.4,
                                       ("5 × g6e.xlarge on demand",), 6817.45),),
    )  # fmt: skip
    options = (
        make_option(busy, 1, not_recommended="within limits.simplicity of the recommended fleet, fewer backends"),
        make_option(make_group(5), 2, confirmed=None),
    )
    main = replace(make_option(busy, 0), groups=2, cost=replace(options[0].cost, total_usd_per_month=3761.6))
    ladder = tuple(no_rung(rung, "no `current` is stated") for rung in ("as_is", "resize", "same_cloud"))
    ladder += (make_rung("commit", make_group(5)), make_rung("spot", base, busy, recommended=True))
    as_stated = make_rung("as_stated", base, busy, recommended=True)
    return make_plan(fleet, *options, recommended=main, ladder=ladder, as_stated=as_stated, name="assistant")


def no_plan() -> Plan:
    """Two limits that exclude each other."""
    conflict = Conflict(
        ("zones", "max_usd_per_month"),
        (
            RelaxedLimit("max_usd_per_month", "", 500.0, 1358.53, "USD/month"),
            RelaxedLimit("zones", "", 3, 1, "zones"),
        ),
    )
    miss = rejection("budget", "g6e.xlarge (us-east-1): alone on on demand it takes 4,074 USD/month, 500 allowed")
    rejected = (miss, rejection("slo_tpot", "slow"), rejection("slo_tpot", "slow"), rejection("preview", "preview"))
    return make_plan(None, conflict=conflict, rejected=rejected, nearest_misses=(miss,))


def sampled_plan() -> Plan:
    """A plan whose demand was sampled over ten days, with a gap of two hours; nothing said how full memory was."""
    question = question_for(workload(), catalog_of(offer("g6e.xlarge", on_demand=1.86)), shipped_model())
    busy = 0.5 + 0.4 * np.sin(np.arange(240) * np.pi / 12)
    busy[30:32] = np.nan
    waiting = np.where(busy > 0.8, 7.0, 0.0)
    signals = {"busy_ratio": Hours(busy, np.minimum(busy + 0.1, 1.0)), "requests_waiting": Hours(waiting, 2 * waiting)}
    use = HourlyUse(1_792_800_000.0, 2, 3, signals)
    document = to_plain(replace(question, demand=replace(question.demand, use=use)))
    return replace(mixed_plan(), question=document)
