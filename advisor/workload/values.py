"""What the workload file says, as values."""

from dataclasses import dataclass, field
from pathlib import Path

from advisor.catalog.values import Purchase

PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
"""Every precision that weights can be served in."""


@dataclass(frozen=True, slots=True)
class Slo:
    """Latency targets at the 95th percentile of requests; None means no target."""

    ttft_p95_ms: float | None = None
    """Time to first token."""
    tpot_p95_ms: float | None = None
    """Time per output token after the first."""
    e2e_p95_ms: float | None = None
    """From the request to its last token."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan must keep to."""

    min_replicas: int = 1
    max_replicas: int | None = None
    zones: int = 1
    """Availability zones to spread over: at least one instance in each."""
    max_usd_per_month: float | None = None
    memory_utilization: float = 0.90
    """Share of an accelerator's memory that the engine may use."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Instances that run today."""

    provider: str
    region: str
    instance_type: str
    count: int
    purchase: Purchase


@dataclass(frozen=True, slots=True)
class DeclaredDemand:
    """Demand given as numbers."""

    requests_per_second: float
    peak_requests_per_second: float
    """Rate of the busiest minute."""
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class TraceDemand:
    """Demand from a request trace (CSV) or from a summary made of one (JSON)."""

    path: Path


@dataclass(frozen=True, slots=True)
class SampleDemand:
    """Demand from accelerator samples of the current deployment."""

    path: Path
    requests_per_day: float | None
    """Known volume; None: an upper bound is estimated from how busy the accelerators were."""
    input_tokens: float
    output_tokens: float


DemandSource = DeclaredDemand | TraceDemand | SampleDemand


@dataclass(frozen=True, slots=True)
class Workload:
    """One model served to one group of users."""

    name: str
    model: str
    """A catalogued name, or the path of a config.json."""
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

    @property
    def model_reference(self) -> str:
        """The model as :func:`advisor.models.find_model` takes it: a path is relative to the workload file."""
        is_path = self.model.startswith((".", "/", "~")) or self.model.endswith(".json")
        return str(self.path.parent / Path(self.model).expanduser()) if is_path else self.model

    def where(self, field_name: str) -> str:
        """Place of a field for an error message: ``workload.yaml:9: demand.trace``."""
        line = self.lines.get(field_name)
        return f"{self.path}:{line}: {field_name}" if line else f"{self.path}: {field_name}"
