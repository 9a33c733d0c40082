"""Values of the workload file."""

import datetime as dt
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from advisor.catalog.values import Purchase
from advisor.demand.lengths import LengthSpread
from advisor.models.model import ENDINGS, Adapters
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.workload.measured_demand import CloudWatchDemand, OnePassSize, PrometheusDemand, SampleDemand, TraceDemand

if TYPE_CHECKING:
    from advisor.demand.spread import LocalClock

PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
"""Every precision that weights can be served in."""
WIDE_PRECISIONS = ("fp32", "bf16", "fp16")
"""Of 16 bit or more: engines cast one into another while they load, at no loss of quality."""
DEFAULT_PRECISIONS = ("bf16",)
MOST_GROWTH_PER_YEAR = 1000.0
"""Largest growth of the request rate, as a share, that is stated."""
_MADE_UP_MARGIN = 0.75
"""Share of the allowed late requests that made-up ones may use: about two standard errors of 99 % are for others."""

RANGE = "range"
"""Metadata of a field: the numbers that it may be stated as."""


@dataclass(frozen=True, slots=True)
class Slo:
    """Latency targets at the 95th percentile of requests; None means no target."""

    ttft_p95_ms: float | None = None
    """Time to first token."""
    tpot_p95_ms: float | None = None
    """Time per output token after the first."""
    e2e_p95_ms: float | None = None
    """From the request to its last token."""
    within_ratio: float = 0.99
    """Share of all requests that a replay of the plan has to find within every target."""
    latency_ms: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Time to the whole answer of a model that answers in one pass, at :attr:`latency_percentile`."""
    latency_percentile: float = field(default=0.95, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests that the latency and the real-time factor are stated for."""
    real_time_factor: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Time to a transcript ÷ length of its recording; below 1 it is faster than speech."""
    latency_is_deadline: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether the time to a whole answer is the deadline of batch work, from the start of its run."""

    @property
    def rehearsed_ratio(self) -> float:
        """Share of made-up requests that have to be within every target: :attr:`within_ratio` and a margin."""
        return self.rehearsed_ratio_beside(0.0)

    def rehearsed_ratio_beside(self, unavoidable_late_ratio: float) -> float:
        """The same where a share of the requests is late on any number of machines.

        ``1 - (unavoidable + 0.75 · (allowed - unavoidable))``: the margin is for requests unlike the made-up ones, and
        more machines make none of the unavoidable ones be in time.
        """
        allowed = 1 - self.within_ratio
        unavoidable = min(unavoidable_late_ratio, allowed)
        return 1 - (unavoidable + (allowed - unavoidable) * _MADE_UP_MARGIN)

    @staticmethod
    def within_ratio_for(rehearsed_ratio: float, unavoidable_late_ratio: float = 0.0) -> float:
        """Largest :attr:`within_ratio` of whole percents for which so many made-up requests within it are enough."""
        late, unavoidable = 100 - 100 * rehearsed_ratio, 100 * unavoidable_late_ratio
        return math.floor(100 - max((late - unavoidable) / _MADE_UP_MARGIN, 0.0) - unavoidable) / 100

    @property
    def is_of_tokens(self) -> bool:
        """Whether a target is stated that only answers token by token have."""
        return not self.ttft_p95_ms is self.tpot_p95_ms is self.e2e_p95_ms is None

    @property
    def limits_waits(self) -> bool:
        """Whether a target includes the time that a request waits for its turn."""
        return self.is_of_whole_answers or not self.ttft_p95_ms is self.e2e_p95_ms is None

    @property
    def is_of_whole_answers(self) -> bool:
        """Whether a target is stated that only answers in one pass have."""
        return self.latency_ms is not None or self.real_time_factor is not None


class Survive(StrEnum):
    """Failures during which everything else still keeps the SLO."""

    NOTHING = "nothing"
    INSTANCE = "instance"
    """One instance of any type in use (N+1)."""
    ZONE = "zone"
    """One of the availability zones."""


class Routing(StrEnum):
    """How requests find an instance type."""

    WEIGHTED = "weighted"
    """Each type receives a share of all requests."""
    BY_PROMPT_LENGTH = "by_prompt_length"
    """Requests of some prompt lengths may be kept to some types, which the router has to know how to do."""


@dataclass(frozen=True, slots=True)
class QuotaLimit:
    """Quota of the account in a region."""

    provider: str
    region: str
    code: str
    """As the catalog's quota table names it."""
    limit: float
    """In the quota's unit: vCPUs or accelerators."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers that a field may be stated as."""

    least: float
    most: float = math.inf
    is_above: bool = False
    """Whether the least itself may not be stated."""


def _number(default: Any, least: float, most: float = math.inf, *, is_above: bool = False) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field whose numbers are in a range."""
    return field(default=default, metadata={RANGE: Range(least, most, is_above)})


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a plan: each field is a key of the workload file, read by its type and range.

    What a fleet has to keep of them has a row in ``plan/problem/limits.py``.
    """

    min_replicas: int = _number(1, 1, 10_000)
    max_replicas: int | None = _number(None, 1)
    zones: int = _number(1, 1, 100)
    """Availability zones to spread over: at least one instance in each."""
    max_usd_per_month: float | None = _number(None, 0.01, 1e12)
    memory_utilization: float = _number(0.90, 0, 1, is_above=True)
    """Share of an accelerator's memory that the engine may use."""
    survive: Survive | None = None
    """None: follows from the replicas and zones asked for, see :attr:`survival`."""
    fault_tolerant_ratio: float = _number(0.0, 0, 1)
    """Share of the requests that may wait or be sent again when spot capacity is withdrawn."""
    max_regions: int | None = _number(None, 1)
    """Regions that a fleet may spread over; None: one, or as many as users need where they are named."""
    mix_providers: bool = False
    """Whether one fleet may run on several clouds."""
    max_instance_types: int | None = _number(None, 1)
    max_changed_instances: int | None = _number(None, 0)
    """Instances started or stopped at most, against what runs today."""
    switching_usd_per_instance: float | None = _number(None, 0, 1e6)
    """Cost of putting one more instance of another kind into service; None: two hours of its price."""
    commit_beyond_forecast: bool = False
    """Whether commitments may exceed what the low edge of the forecast needs."""
    quotas: tuple[QuotaLimit, ...] = ()
    max_kg_co2e_per_month: float | None = _number(None, 0, is_above=True)
    max_kw: float | None = _number(None, 0, is_above=True)
    """Electrical power of the accelerators in use, at their limit."""
    on_demand_base_ratio: float = _number(0.0, 0, 1)
    """Share of the planned load that is never served on spot."""
    simplicity: float = _number(0.05, 0, 1)
    """Share above the cheapest cost that a fleet may cost and still be recommended, where it has published weights or
    fewer backends."""
    commitment_years: tuple[int, ...] = (1,)
    """Terms of commitments that may be entered, in years."""
    commit_without_history: bool = False
    """Whether commitments may rest on declared demand, or on less than two weeks of history."""

    @property
    def survival(self) -> Survive:
        """Failures to survive: as stated; else one instance where several replicas or zones are asked for; or none."""
        if self.survive is not None:
            return self.survive
        return Survive.INSTANCE if self.min_replicas >= 2 or self.zones >= 2 else Survive.NOTHING


@dataclass(frozen=True, slots=True)
class Exclude:
    """Names that a plan must not use; an empty tuple excludes nothing."""

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    accelerators: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    purchase: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Ways of paying, which no rung of the ladder takes either."""


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """Latency that users got at a rate: 95th percentiles; at least one is stated."""

    requests_per_second: float
    """Rate of all instances together."""
    ttft_p95_ms: float | None = None
    tpot_p95_ms: float | None = None
    e2e_p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Instances that run today."""

    provider: str
    region: str
    instance_type: str
    count: int
    purchase: Purchase
    measured: MeasuredLatency | None = None
    """Latency of them in their busiest hours."""
    precision: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """That a previous plan runs them in; "": not known."""


@dataclass(frozen=True, slots=True)
class OwnedCommitment:
    """Capacity that is paid for whether it is used or not."""

    provider: str
    region: str
    instance_type: str
    count: int
    expires: dt.date


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the fleet follows its demand."""

    scheduled: bool = True
    """Whether instance counts follow the hours of the week; otherwise they are the same at all times."""
    scale_to_zero: bool = False
    """Whether no replica at all may run where no request is expected."""
    take_turns: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether a machine may stop in busier hours, in which another serves alone."""


@dataclass(frozen=True, slots=True)
class BatchWork:
    """Items that are there at the start of each run and have to be done by its deadline."""

    items: int
    """Requests of one run."""
    every_hours: int
    """From the start of a run to that of the next."""
    deadline_hours: float | None
    """From the start of a run to the end of its last item; None: the end of its window."""
    window: tuple[int, int] | None
    """First hour in which a run may be worked on, of the day or from Monday 00:00 on, and the first one of a day in
    which it may not, UTC; None: any hour."""


@dataclass(frozen=True, slots=True)
class DeclaredDemand:
    """Demand given as numbers."""

    requests_per_second: float | None
    """Mean rate; None where it follows from ``concurrent_users`` or ``batch``."""
    peak_requests_per_second: float | None
    """Rate of the busiest minute; None: the mean rate."""
    input_tokens: float | None
    output_tokens: float | None
    """Generated; None where the model answers in one pass."""
    concurrent_users: float | None = None
    """Users with one request each, in place of a rate."""
    think_time_seconds: float | None = None
    """Time from an answer to the user's next request; None: 0."""
    size: OnePassSize = field(default=OnePassSize(), metadata=OMITTED_AT_DEFAULT)
    batch: BatchWork | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """In place of a rate."""
    size_spread: LengthSpread | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """How the lengths of prompts, texts or recordings differ, in the unit of their key; None: all are of one length."""
    output_spread: LengthSpread | None = field(default=None, metadata=OMITTED_AT_DEFAULT)

    @property
    def is_spread(self) -> bool:
        """Whether requests differ in length."""
        return self.size_spread is not None or self.output_spread is not None

    def times_as_long(self, input_factor: float, output_factor: float) -> Self:
        """Requests whose prompts, or recordings, and answers are all so many times as long."""

        def longer(length: float | None, factor: float) -> float | None:
            return None if length is None else length * factor

        return replace(
            self,
            input_tokens=longer(self.input_tokens, input_factor),
            output_tokens=longer(self.output_tokens, output_factor),
            size=replace(self.size, audio_seconds=longer(self.size.audio_seconds, input_factor)),
            size_spread=self.size_spread and self.size_spread.times(input_factor),
            output_spread=self.output_spread and self.output_spread.times(output_factor),
        )

    def of_length(self, length: float) -> Self:
        """Requests of another length, in the unit of the key that states it."""
        if self.input_tokens is not None:
            return replace(self, input_tokens=length)
        if self.size.tokens_per_document is not None:
            return replace(self, size=replace(self.size, tokens_per_document=length))
        return replace(self, size=replace(self.size, audio_seconds=length))


MOST_HITS = 0.999
"""Largest hit ratio of a response cache: a fleet behind one that answers all requests has nothing to serve."""


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """Cache of whole answers in front of the fleet, as it was measured (``advisor demand cache``) or is known to be."""

    hit_ratio: float
    """Share of the clients' requests that it answers."""
    memory_gib: float
    """Memory that its answers take."""
    ttl_seconds: float | None = None
    """How long an answer counts; None: until it is evicted."""
    runs_already: bool = False
    """Whether the demand was measured behind it, and is what it leaves."""
    similarity: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cosine similarity of prompts' embeddings from which a stored answer is given; None: equal requests alone."""

    @property
    def line(self) -> str:
        """Line of a workload file that states it, to the last digit."""
        ttl = "" if self.ttl_seconds is None else f", ttl: {self.ttl_seconds:.9f}".rstrip("0").rstrip(".") + "s"
        similar = "" if self.similarity is None else f", similarity: {self.similarity!r}"
        behind = f"{similar}, runs_already: true" if self.runs_already else similar
        return f"response_cache: {{hit_ratio: {self.hit_ratio!r}, memory_gib: {self.memory_gib!r}{ttl}{behind}}}"


DemandSource = DeclaredDemand | TraceDemand | SampleDemand | PrometheusDemand | CloudWatchDemand


@dataclass(frozen=True, slots=True)
class Workload:
    """One model served to one group of users."""

    name: str
    model: str
    """A catalogued name, or the path of a file or folder that holds the model: see :mod:`advisor.models.files`."""
    precisions: tuple[str, ...]
    """In order of preference: the first of equally cheap ones is chosen."""
    slo: Slo
    demand: DemandSource
    providers: tuple[str, ...]
    regions: tuple[str, ...]
    """Empty: every region of the providers."""
    purchase: tuple[Purchase, ...]
    context_tokens: int | None
    """Longest request to serve, prompt and answer together; None: taken from the demand."""
    current: Deployment | None
    limits: Limits
    path: Path
    lines: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    """Line of each field ("demand.trace" → 9), for error messages."""
    prefix_cache_hit_ratio: float = 0.0
    """Share of the prompts' tokens that a prefix cache holds when they arrive; 0 where nothing is known of it."""
    growth_per_year: float | None = None
    """Stated growth of the request rate; None: as measured, where the history is long enough."""
    horizon_days: float = 30.0
    """How far ahead the plan has to hold."""
    users: tuple[tuple[str, float], ...] = ()
    """Where users are, with their share of the requests; empty: no matter where."""
    residency: tuple[str, ...] = ()
    """Countries (ISO 3166 alpha-2) or continents that may process requests; empty: any."""
    commitments: tuple[OwnedCommitment, ...] = ()
    scaling: Scaling = Scaling()
    routing: Routing = Routing.WEIGHTED
    as_of: dt.date | None = None
    """Day of planning, for what expires; None: today."""
    compare: tuple[str, ...] = ()
    """Models of services that sell tokens, to compare the fleet with: anthropic/claude-haiku-4-5."""
    running: tuple[tuple[tuple[str, str], int], ...] = ()
    """Fleet of a previous plan, which a new one has to pay for leaving: instances by (provider/region/type, way of
    paying)."""
    accelerators: tuple[str, ...] = ()
    """Accelerators to plan with; empty: any."""
    instance_types: tuple[str, ...] = ()
    """Instance types to plan with; empty: any."""
    engines: tuple[str, ...] = ()
    """Serving engines to plan with; empty: any."""
    exclude: Exclude = Exclude()
    listed_only: bool = False
    """Whether only prices that are listed and recent may be used."""
    targets: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Targets of the generated code, of which one has to run what is planned; empty: any."""
    existing_cluster: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether the cluster that code starts nodes of is there, and its control plane paid for by others."""
    tags: tuple[tuple[str, str], ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Owner of the costs, for the tags of the generated code: ``project``, ``team``, ``environment``."""
    response_cache: ResponseCache | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """None: every request reaches the fleet."""
    near_current: bool = False
    """Whether the plan stays within provider and continent of ``current``: the file names no provider and no region."""
    regions_left_open: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether ``regions`` are all that it may use, written out: the file names none."""
    demand_times: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Planned demand ÷ measured or declared demand."""
    prompt_times: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Length of the planned prompts ÷ that of the measured or declared ones."""
    timezone: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Time zone whose clocks the requests follow, such as Europe/Berlin; empty: UTC."""
    batch: DeclaredDemand | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Batch work beside the demand, on the same machines."""
    adapters: Adapters | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """LoRA adapters that are served on the model; None: none that the workload names."""

    @property
    def clock(self) -> "LocalClock | None":
        """Local clock that requests follow; None: UTC."""
        if not self.timezone:
            return None
        from advisor.demand.spread import LocalClock  # noqa: PLC0415 - few workloads name a zone

        return LocalClock(self.timezone, self.as_of)

    @property
    def answered_ratio(self) -> float:
        """Share of the clients' requests that its response cache answers."""
        return 0.0 if self.response_cache is None else self.response_cache.hit_ratio

    @property
    def plans_response_cache(self) -> bool:
        """Whether it has a response cache that does not run yet."""
        return self.response_cache is not None and not self.response_cache.runs_already

    @property
    def model_reference(self) -> str:
        """The model as :func:`advisor.models.find_model` takes it: a path is relative to the workload file."""
        path = self.path.parent / Path(self.model).expanduser()
        is_path = self.model.startswith((".", "/", "~")) or self.model.endswith(".json")
        return str(path) if is_path or (self.model.endswith(ENDINGS) and path.exists()) else self.model

    @property
    def demand_place(self) -> str:
        """Place of the demand for an error message: the file of a trace or summary, else its field."""
        return str(self.demand.path) if isinstance(self.demand, TraceDemand) else self.where("demand")

    def where(self, field_name: str) -> str:
        """Place of a field for an error message: ``workload.yaml:9: demand.trace``."""
        line = self.lines.get(field_name)
        return f"{self.path}:{line}: {field_name}" if line else f"{self.path}: {field_name}"
