"""Layout of one kind of replica: the same fields wherever a plan names it."""

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.workload.values import WIDE_PRECISIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Place, machine, accelerator, precision, engine and parallelism of equal replicas."""

    provider: str
    region: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    """Accelerators of one instance."""
    partition: str = ""
    """Slices that every accelerator is cut into, one for each replica: mig-1g.10gb; "" for none."""
    replicas_per_instance: int
    tensor_parallel: int
    pipeline_parallel: int
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    context_tokens: int
    """Longest request served, prompt and answer together."""
    max_concurrency: int
    """Requests that one replica runs at the same time."""
    http_requests_per_call: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Mean HTTP requests that clients send for one of the demand: its items, where the server takes one each."""
    memory_utilization: float
    """Share of an accelerator's memory that the engine may use."""
    weights_gib: float
    """Weights of one replica as loaded."""
    checkpoint_gib: float
    """Download, kept on disk."""
    disk_gib: int | None = None
    """Boot disk of an instance, as priced and ordered: without the weights where local disks hold them; None: of a seat
    on a shared machine, which has one for all."""
    loading_gib: float
    """Most that one accelerator holds while weights are loaded."""
    adapters_gib: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Slots for LoRA adapters on the accelerators of one replica."""
    weights: str = ""
    """Repository on the hub that its engine loads; "" where the user has to name one."""
    weights_scheme: str = ""
    """How the weights are quantised; "" for published ones."""
    weights_quality_ratio: float | None = None
    """Share of the benchmark scores of published weights that they keep; None where it is not known."""
    purchase: str
    """How it is paid for: on_demand, spot, commitment, owned, serverless or managed."""
    zones: int = 1
    """Availability zones that the instances spread over."""
    zone_names: tuple[str, ...] = ()
    """Zones of the region in which the type is sold; empty: not known by name."""
    zones_verified: bool = False
    """Whether a source lists the type in these zones; otherwise those of the region are assumed."""

    @property
    def has_unknown_weights(self) -> bool:
        """Whether no repository is known that holds the weights in this precision."""
        return not self.weights and self.precision not in WIDE_PRECISIONS

    @property
    def stand(self) -> str:
        """Provider, region and type."""
        return f"{self.provider}/{self.region}/{self.instance_type}"

    @property
    def backend(self) -> tuple[str, str, str, str]:
        """Backend that an operator has to keep alive: provider, region, accelerator and engine."""
        return self.provider, self.region, f"{self.accelerator} {self.partition}".rstrip(), self.engine
