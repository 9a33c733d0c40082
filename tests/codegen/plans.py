"""Plans that the tests generate code from: builders with defaults."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from advisor.codegen import Language, Wanted
from advisor.codegen.selection import Choice, choose, reason_against
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import Target, target_of
from advisor.cost.response_cache import PlannedCache
from advisor.cost.services import root_volume_gib
from advisor.cost.standing import StandingCharge
from advisor.plan.document import plain
from advisor.plan.fleet.chosen import (
    Change,
    Confirmation,
    Fleet,
    FleetGroup,
    ForecastUsed,
    GroupSchedule,
    PlannedHours,
    Policy,
    ScalingPlan,
)
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.values import CurrentCost, Interval, Option, OptionCost, Plan, PlanProvenance, Predicted, Savings
from advisor.workload.values import Exclude, Limits, Scaling, Slo, Survive

HOURS_PER_MONTH = 730
HOSTILE = (
    '"}\nresource "null_resource" "x" {} ${file("/etc/passwd")} %{ if true }`rm -rf /`$(id) | # \\ \'EOF\' \u202e\x00'
)
"""Tries to leave every string that it could be put into."""


PLANNED_RATE = 1.2
"""Requests per second of a replica after bursts: fewer than the 1.35 that it sustains."""


def make_cost(usd_per_hour: float, instances: int) -> OptionCost:
    """What *instances* machines cost; 2 requests per second with 200 answer tokens each."""
    month = round(usd_per_hour * instances * HOURS_PER_MONTH, 2)
    return OptionCost(
        instance_usd_per_hour=usd_per_hour,
        compute_usd_per_month=month,
        interruptions_usd_per_month=0.0,
        transfer_usd_per_month=0.0,
        switching_usd_per_month=0.0,
        total_usd_per_month=month,
        usd_per_million_output_tokens=month / 1051.2,
        usd_per_1000_requests=month / 5256,
        disks_usd_per_month=0.0,
        starts_usd_per_month=0.0,
        standing_usd_per_month=0.0,
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
        "planned_requests_per_second_per_instance": PLANNED_RATE * changes.get("replicas_per_instance", 1),
        "predicted": Predicted(
            ttft_p95_ms=Interval(310.0, 210.0, 450.0),
            tpot_p95_ms=Interval(41.5, 33.0, 52.0),
            e2e_p95_ms=Interval(18_700.0, 14_900.0, 23_400.0),
            requests_per_second_per_replica=Interval(1.35, 1.0, 1.7),
        ),
        "evidence": "roofline",
        "cost": make_cost(usd_per_hour, instances),
    }
    return Option(**_stored(fields | changes))


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with the sizes on disk that follow from the weights: of fp8 the download is in 16 bit."""
    checkpoint_gib = fields.get("checkpoint_gib", fields["weights_gib"] * (2 if fields["precision"] == "fp8" else 1))
    sizes = {
        "checkpoint_gib": checkpoint_gib,
        "disk_gib": root_volume_gib(checkpoint_gib),
        "loading_gib": 1.0,
    }
    return sizes | fields


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
        "limits": plain(Limits(min_replicas=2, zones=zones, survive=Survive.INSTANCE), "limits"),
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
        "accelerators": [],
        "instance_types": [],
        "engines": [],
        "exclude": plain(Exclude(), "exclude"),
        "listed_only": False,
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


@dataclass(frozen=True)
class Scenario:
    """One golden stack: a plan, what is asked of the code, and what a user fills in."""

    plan: Plan
    wanted: Wanted = field(default_factory=Wanted)
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Of the variables without a default: terraform.tfvars.json, and the stack's configuration in Pulumi."""

    def __post_init__(self) -> None:
        """What a user fills in is wanted."""
        inputs = self.wanted.inputs.union(self.variables)
        object.__setattr__(self, "wanted", dataclasses.replace(self.wanted, inputs=inputs))

    @cached_property
    def languages(self) -> tuple[Language, ...]:
        """All that its targets are written in; the checks against real tools take each."""

        def targets(choice: Choice) -> list[Target]:
            return [target_of(stack) for stack in stacks_of(self.plan, choice, self.wanted)]

        chosen = targets(choose(self.plan, self.wanted, reason_against(targets)))
        return tuple(language for language in Language if all(language in one.renderers for one in chosen))


Make = Callable[[], Scenario]

NIGHTS_AND_WEEKENDS = tuple(0 if hour < 7 or hour >= 19 or day >= 5 else 1 for day in range(7) for hour in range(24))
"""Hour classes of a week: 1 from 07:00 to 19:00 UTC from Monday to Friday."""


def make_group(**changes: Any) -> FleetGroup:
    """Four g6.xlarge on demand in the busy hours and two in the quiet ones; *changes* replace fields."""
    option = make_option()
    shared = {name: getattr(option, name) for name in _SHARED if name not in changes}
    fields: dict[str, Any] = shared | {
        "commitment": "",
        "break_even_ratio": None,
        "instances": (2, 4),
        "request_shares": (1.0, 1.0),
        "bucket_shares": (),
        "requests_per_second_per_replica": Interval(1.35, 1.0, 1.7),
        "planned_requests_per_second_per_instance": PLANNED_RATE * changes.get("replicas_per_instance", 1),
        "zones": 2,
        "zone_names": zone_names(changes.get("provider", "aws"), changes.get("region", "us-east-1")),
        "zones_verified": changes.get("provider") != "azure",
        "cold_start_seconds": Interval(420.0, 300.0, 700.0),
        "interruptions_per_instance_hour": 0.0,
        "instance_usd_per_hour": 0.8048,
        "interruptions_usd_per_month": 0.0,
        "price_source": "AWS price list",
        "price_as_of": "2026-08-11",
        "price_quality": "listed",
    } | changes  # fmt: skip
    layout = f"tp{fields['tensor_parallel']}"
    where = (fields["provider"], fields["region"], fields["instance_type"], fields["precision"], layout)
    fields.setdefault("name", "/".join((*where, fields["purchase"])))
    hours = sum(fields["instances"][hour] for hour in NIGHTS_AND_WEEKENDS)
    month = round(fields["instance_usd_per_hour"] * hours * HOURS_PER_MONTH / 168, 2)
    fields.setdefault("compute_usd_per_month", month)
    return FleetGroup(**_stored(fields))


def zone_names(provider: str, region: str) -> tuple[str, ...]:
    """Two zones that sell a type: ids on AWS, letters on Google Cloud, the region's numbers on Azure."""
    return {
        "aws": (f"{region}-az1", f"{region}-az4"),
        "gcp": (f"{region}-a", f"{region}-b"),
        "azure": ("1", "2", "3"),
    }.get(provider, ())


_SHARED = (
    "provider", "region", "instance_type", "accelerator", "accelerator_count", "partition", "replicas_per_instance",
    "tensor_parallel", "pipeline_parallel", "precision", "kv_precision", "engine", "engine_version", "context_tokens",
    "max_concurrency", "memory_utilization", "weights_gib", "purchase", "evidence",
)  # fmt: skip


STANDING = (
    StandingCharge("aws", "us-east-1", "load_balancer", 730, "hour", 0.0225, 16.43, "a list", "2026-11-24", "listed"),
    StandingCharge("aws", "us-east-1", "log_ingest", 1.2, "", None, None, "", "", "unpriced"),
)


def make_cache(**changes: Any) -> PlannedCache:
    """A cache of 2 GiB on two nodes of ElastiCache that answers 30 % of the requests; *changes* replace fields."""
    fields = {
        "provider": "aws",
        "region": "us-east-1",
        "node": "cache.t4g.medium",
        "nodes": 2,
        "node_memory_gib": 3.09,
        "memory_gib": 2.0,
        "hit_ratio": 0.3,
        "ttl_seconds": 3600.0,
    }
    return PlannedCache(**(fields | changes))


def make_fleet(*groups: FleetGroup, policy: Policy = Policy.SCHEDULED, **changes: Any) -> Fleet:
    """A fleet of *groups* over two classes of hours; *changes* replace fields."""
    compute = round(sum(group.compute_usd_per_month for group in groups), 2)
    interruptions = round(sum(group.interruptions_usd_per_month for group in groups), 2)
    fields: dict[str, Any] = {
        "groups": groups,
        "hour_classes": (PlannedHours(108, 1.1, 1.6, 0.8), PlannedHours(60, 3.1, 4.4, 2.7)),
        "schedule": NIGHTS_AND_WEEKENDS,
        "places": ("anywhere",),
        "place_shares": (1.0,),
        "bucket_max_input_tokens": (),
        "cost": _cost(compute, interruptions),
        "standing": STANDING,
        "constraints": (),
        "proven": True,
        "gap_ratio": 0.0,
        "bound_usd_per_month": compute + interruptions,
        "pools_considered": 40,
        "static_peak": None,
        "confirmed": Confirmation(20000, 60.0, 0.998, 310.0, 41.5, 1.0, True, "synthetic", 0.998),  # noqa: FBT003
        "forecast": ForecastUsed("seasonal", 0.8, 30.0, ()),
        "scaling": _scaling(groups, policy),
    }
    return Fleet(**(fields | changes))


def _cost(compute: float, interruptions: float) -> FleetCost:
    disks, starts = 24.0, 5.5
    total = round(compute + interruptions + disks + starts + 16.43, 2)
    return FleetCost(compute, interruptions, 0.0, 0.0, total, 3.2, 0.64, disks, starts, 16.43)


def _scaling(groups: Sequence[FleetGroup], policy: Policy) -> ScalingPlan:
    schedules = tuple(GroupSchedule(group.name, 12, _changes(group.instances)) for group in groups)
    return ScalingPlan(policy, "the hours differ", schedules, 1000.0, 1500.0, None, None, "not measured")


def _changes(instances: Sequence[int]) -> tuple[Change, ...]:
    sizes = [instances[hour] for hour in NIGHTS_AND_WEEKENDS]
    return tuple(Change(hour, size) for hour, size in enumerate(sizes) if hour == 0 or size != sizes[hour - 1])


def make_fleet_plan(*groups: FleetGroup, policy: Policy = Policy.SCHEDULED, **changes: Any) -> Plan:
    """A plan that recommends a fleet of *groups*; *changes* as of :func:`make_plan`."""
    fleet = make_fleet(*groups, policy=policy, **changes.pop("fleet", {}))
    return make_plan(make_option(), fleet=fleet, **changes)
