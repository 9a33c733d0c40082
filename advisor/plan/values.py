"""The plan as values: what ``advisor.plan/v1`` JSON holds, under the same names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.candidates import Rejection
from advisor.cost import Cost
from advisor.performance.values import Interval
from advisor.plan.fleet.chosen import Conflict, Fleet
from advisor.plan.token_apis import TokenApi

__all__ = [
    "SCHEMA",
    "Cost",
    "CurrentCost",
    "Interval",
    "MeasureFirst",
    "Option",
    "Plan",
    "PlanProvenance",
    "Predicted",
    "Rejection",
    "Savings",
]

SCHEMA = "advisor.plan/v1"


@dataclass(frozen=True, slots=True)
class Predicted:
    """Latency at the planned load (the busiest minute spread over all replicas), and a replica's capacity."""

    ttft_p95_ms: Interval
    """Time to first token."""
    tpot_p95_ms: Interval
    """Time per output token after the first."""
    e2e_p95_ms: Interval
    """From the request to its last token; for most requests nearly all of it is time per output token."""
    requests_per_second_per_replica: Interval
    """Largest rate that one replica sustains within the SLO."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve the whole demand: a number of equal instances."""

    rank: int
    provider: str
    region: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    """Accelerators of one instance."""
    replicas_per_instance: int
    tensor_parallel: int
    pipeline_parallel: int
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    purchase: str
    instances: int
    replicas: int
    context_tokens: int
    """Longest request served, prompt and answer together."""
    max_concurrency: int
    """Requests that one replica runs at the same time."""
    memory_utilization: float
    """Share of an accelerator's memory that the engine may use."""
    weights_gib: float
    """Weights of one replica as loaded."""
    predicted: Predicted
    evidence: str
    """measured, calibrated or roofline."""
    cost: Cost
    partition: str = ""
    """Slices that every accelerator is cut into, one for each replica: mig-1g.10gb; "" for none."""
    checkpoint_gib: float | None = None
    """What is downloaded and kept on disk; None: the plan is of a version that did not say it."""


@dataclass(frozen=True, slots=True)
class CurrentCost:
    """What runs today, priced the same way."""

    provider: str
    region: str
    instance_type: str
    purchase: str
    instances: int
    usd_per_hour: float
    total_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Savings:
    """Current minus the fleet's compute; negative when the fleet costs more."""

    usd_per_month: float
    ratio: float
    """Share of the current cost that is saved."""


@dataclass(frozen=True, slots=True)
class MeasureFirst:
    """The cheapest measurement that could overturn the recommendation, when a rival is too close to call."""

    rank: int
    """Option to measure: one instance of it under load."""
    rival_rank: int
    """Option that may turn out cheaper than the recommended one."""
    usd: float
    """What the measurement costs."""
    hours: float
    recommended_usd_per_month_high: float
    """The recommended option at the lower end of its replicas' rate."""
    rival_usd_per_month_low: float
    """The rival at the upper end."""


@dataclass(frozen=True, slots=True)
class PlanProvenance:
    """What the plan was made from: the same four give the same plan."""

    advisor_version: str
    catalog_hash: str
    catalog_as_of: str
    calibration_version: str
    input_digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A recommendation with everything that led to it."""

    workload: Mapping[str, Any]
    """The workload as understood: name, model, slo, limits, ..."""
    demand: Mapping[str, Any]
    recommended: Option | None
    """The cheapest single type in the number of the busiest minute; None where nothing serves the workload."""
    options: tuple[Option, ...]
    rejected: tuple[Rejection, ...]
    nearest_misses: tuple[Rejection, ...]
    """When nothing is feasible: the rejections that were closest to being options."""
    current: CurrentCost | None
    savings: Savings | None
    provenance: PlanProvenance
    notes: tuple[str, ...]
    measure_first: MeasureFirst | None = None
    fleet: Fleet | None = None
    """The cheapest fleet over the hours of a week, types and purchases mixed; None where there is none."""
    conflict: Conflict | None = None
    """Why there is no fleet, where limits exclude each other."""
    token_apis: tuple[TokenApi, ...] = ()
    """What services that sell tokens would ask for the same weights, or another model that the workload names, and the
    mean demand: a comparison, no option."""
    question: Mapping[str, Any] | None = None
    """What was asked, to the last bit: workload, model and demand, from which the same plan can be made again."""
    schema: str = SCHEMA
