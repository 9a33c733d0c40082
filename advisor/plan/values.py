"""The plan as values: what ``advisor.plan/v1`` JSON holds, under the same names."""

from collections.abc import Mapping
from typing import Any

from advisor.candidates import Rejection
from advisor.models.model import ModelFile
from advisor.performance import Interval
from advisor.plan.fleet.chosen import Confirmation, Fleet, Layout
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.token_apis import TokenApi
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

__all__ = [
    "SCHEMA",
    "ComparedLatency",
    "Conflict",
    "CurrentCost",
    "Interval",
    "MeasureFirst",
    "Option",
    "OptionCost",
    "Plan",
    "PlanProvenance",
    "Predicted",
    "Rejection",
    "RelaxedLimit",
    "Rung",
    "RungGroup",
    "Savings",
]

SCHEMA = "advisor.plan/v1"


@dataclass(frozen=True, slots=True)
class Predicted:
    """Latency at the planned load (that of the busiest hours over all replicas), and a replica's capacity."""

    ttft_p95_ms: Interval
    """Time to first token."""
    tpot_p95_ms: Interval
    """Time per output token after the first."""
    e2e_p95_ms: Interval
    """From the request to its last token; for most requests nearly all of it is time per output token."""
    requests_per_second_per_replica: Interval
    """Largest rate that one replica sustains within the SLO."""


@dataclass(frozen=True, slots=True)
class OptionCost(FleetCost):
    """Cost of an option, with the price of its instances."""

    instance_usd_per_hour: float = 0.0
    price_source: str = ""
    price_as_of: str = ""
    price_quality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Layout):
    """A fleet in short: of one type and way of paying; or the recommended one, by the group that serves most."""

    rank: int
    """By cost, from 1."""
    commitment: str = ""
    """Instrument, term and payment of a commitment; "" for others."""
    instances: int
    """In the busiest hours."""
    replicas: int
    instances_by_class: tuple[int, ...] = ()
    """In each of the fleet's hour classes; empty: the same at all hours."""
    minutes_ahead: int = 0
    """How long before its hour an instance has to be ordered."""
    minutes_after: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """How long it is paid for after its last hour."""
    planned_requests_per_second_per_instance: float
    """What one instance is planned to carry: after bursts, network and what the replay asked for."""
    limited_by: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Limit that keeps a replica below what its accelerators sustain: ``network 2.5 Gbit/s``; "": none."""
    predicted: Predicted
    evidence: str
    """measured, calibrated or roofline."""
    cost: OptionCost
    """Of the whole fleet."""
    confirmed: Confirmation | None = None
    """Replay of this option; None: not replayed."""
    not_recommended: str = ""
    """Why an option that is cheaper than the recommendation is not recommended; "" for others."""
    groups: int = 1
    """Groups of the fleet: more than one for a recommended mix, of which the largest is named."""


@dataclass(frozen=True, slots=True)
class ComparedLatency:
    """A latency that users get of what runs today, beside its prediction."""

    latency: str
    """``ttft_p95_ms``, ``tpot_p95_ms`` or ``e2e_p95_ms``."""
    measured_ms: float
    predicted_ms: float
    """By a replay of one replica at its share of the measured rate."""


@dataclass(frozen=True, slots=True)
class CurrentCost:
    """Cost of what runs today, priced and judged the same way."""

    provider: str
    region: str
    instance_type: str
    purchase: str
    instances: int
    usd_per_hour: float
    total_usd_per_month: float
    within_slo_ratio: float | None = None
    """Share of the requests within every target, by the replay that confirms the fleet; None: cannot be judged."""
    instances_needed: int | None = None
    """Instances of the same type that the demand takes, beyond stated caps too; None: no number of them does."""
    not_judged: str = ""
    """Why there is no judgement, why no number of instances would do, or which caps so many exceed."""
    precision: str = ""
    """That it is judged in: the first of the workload's that it can serve."""
    not_generated: str = ""
    """Why no code is generated for it, so that no fleet of a plan can be made of it; "" where it is."""
    slower: tuple[ComparedLatency, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Latencies that are measured far above their predictions: more machines may be needed than predictions say."""
    measured_factor: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Factor that predictions of its accelerator are lowered by, after what was measured of it."""
    measured_accelerator: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """That accelerator; "": no prediction is lowered."""
    unavoidable_late_ratio: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests that is late on any number of these machines, even where each serves no other request."""
    least_within_slo_ratio: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Least share of its replay, where that is of a part of the week or with a failure; None: that of the week is."""
    least_within_slo_when: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """``in its busiest stretch``, ``with one machine gone``: when that is; "" where it is None."""
    machines_alone: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """The total lacks what stands beside the machines, as they are not known to serve the model."""

    def runs(self, planned: "Option | RungGroup") -> bool:
        """Whether instances of the type of an option or of a rung's group run in its region today."""
        place = planned.provider, planned.region, planned.instance_type
        return self.instances > 0 and place == (self.provider, self.region, self.instance_type)


@dataclass(frozen=True, slots=True)
class RungGroup:
    """Equal instances of a rung, in short."""

    provider: str
    region: str
    instance_type: str
    accelerator: str
    purchase: str
    commitment: str
    precision: str
    tensor_parallel: int
    engine: str
    instances: int
    """In the hours that have most."""
    weights: str = ""
    """Repository on the hub that its engine loads; "" where the user has to name one."""
    running_hours: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """``in the quietest 68 hours a week`` where groups take turns; "": at all hours, or more in busier ones."""
    instances_by_class: tuple[int, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """In each of the fleet's hour classes; (): the same at all hours."""


@dataclass(frozen=True, slots=True)
class Rung:
    """The same question with more allowed than on the rung below."""

    rung: str
    """as_is, resize, same_cloud, commit, spot, precision, any_accelerator or any_cloud; as_stated."""
    total_usd_per_month: float | None
    """None: no fleet; see ``why_none``."""
    saving_ratio: float | None
    """Share of today's cost that is saved; None where nothing runs today."""
    groups: tuple[RungGroup, ...]
    risks: tuple[str, ...]
    requires: tuple[str, ...]
    """What it takes beyond what runs today, or beyond what the workload states: cloud, region, image, weights, ..."""
    evidence: str
    """Weakest evidence class of its groups; "" without a fleet."""
    why_none: str = ""
    within_slo_ratio: float | None = None
    """By replay; None: not replayed."""
    recommended: bool = False
    """Whether the recommendation is this fleet."""
    beyond_stated: bool = False
    """Whether it allows all that the workload states, and more; otherwise no more than that."""
    where: str = ""
    """Regions that it allows, in words; "" where nothing is asked."""


@dataclass(frozen=True, slots=True)
class PriceEnds:
    """Total of a fleet whose prices are in doubt, over the range of these prices."""

    low_usd_per_month: float
    """With each at its lower end."""
    high_usd_per_month: float
    """With each at its upper end."""
    prices: tuple[str, ...]
    """``ct6e-standard-8t spot in us-west1 (of 2026-08-03, older than 30 days)``."""


@dataclass(frozen=True, slots=True)
class Savings:
    """Current minus the fleet's compute; negative when the fleet costs more."""

    usd_per_month: float
    ratio: float
    """Share of the current cost that is saved."""


@dataclass(frozen=True, slots=True)
class MeasureFirst:
    """The cheapest measurement that could overturn the recommendation, when a rival is too close to call."""

    rank: int | None
    """Option to measure, one instance of it under load; 0: the main type of a recommended mix; None, as of what the
    measurement takes: none would tell, since nothing is learned from measurements of models that answer in one pass."""
    rival_rank: int
    """Option that may turn out cheaper than the recommended one."""
    usd: float | None
    """What the measurement costs; 0 where such an instance runs today."""
    hours: float | None
    recommended_usd_per_month_high: float
    """The recommended option at the lower end of its replicas' rate."""
    rival_usd_per_month_low: float
    """The rival at the upper end."""


@dataclass(frozen=True, slots=True)
class PlanProvenance:
    """Provenance of the plan: the same four give the same plan."""

    advisor_version: str
    catalog_hash: str
    catalog_as_of: str
    calibration_version: str
    input_digest: str
    model_file: ModelFile | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """File that the model was read from; None: the catalog's. Part of the input."""


@dataclass(frozen=True, slots=True)
class RelaxedLimit:
    """Value that a limit would need for a fleet to exist."""

    name: str
    detail: str
    limit: float
    needed: float
    unit: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits that no fleet keeps to together."""

    constraints: tuple[str, ...]
    """Leaving out any one of them would help."""
    relaxations: tuple[RelaxedLimit, ...]
    """Of each that is a number: the smallest change that helps by itself, the smallest share first."""
    asked: tuple[str, ...] = ()
    """What the workload asks of each constraint: 2,000, or "1, the default"; "" where that is no one value."""
    remedies: tuple[str, ...] = ()
    """What else would help by itself, in words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A recommendation with everything that led to it."""

    workload: Mapping[str, Any]
    """The workload as understood: name, model, slo, limits, ..."""
    demand: Mapping[str, Any]
    recommended: Option | None
    """The fleet in short; None where there is none."""
    options: tuple[Option, ...]
    """Fleets of one type and way of paying, the cheapest first."""
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
    ladder: tuple[Rung, ...] = ()
    as_stated: Rung | None = None
    """The recommendation as a rung, which stands below those that are ``beyond_stated``; None without a ladder."""
    question: Mapping[str, Any] | None = None
    """What was asked, to the last bit: workload, model and demand, from which the same plan can be made again."""
    seated_on: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Shared machine, or one deployment of several workloads on one base, that an estate seats the workload on in place
    of the fleet, in words; "" where there is none."""
    schema: str = SCHEMA
