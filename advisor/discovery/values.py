"""A service as it runs today, with what nobody said left unknown."""

from collections.abc import Mapping
from types import MappingProxyType

from advisor.records import dataclass, field
from advisor.units import HOURS_PER_DAY

RISES = 1.5
"""Latency under load over the usual one from which it rises with load."""
Series = frozenset[tuple[str, str]]
"""Labels with their values."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a serving engine was started."""

    engine: str
    """Such as vLLM; "" where the program is not recognised."""
    model: str = ""
    """As its command line names it: a repository or a path."""
    served_name: str = ""
    """Name under which it answers; "": the model's own."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    context_tokens: int | None = None
    """Longest request that it takes."""
    precision: str = ""
    """Of the weights, in the words of a workload file; "" where no flag says it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One host."""

    name: str
    provider: str = ""
    region: str = ""
    instance_type: str = ""
    purchase: str = ""
    """``on_demand``, ``spot`` or ``managed``; "" where nothing says it."""
    product: str = ""
    """Accelerator, as the node names it."""
    instance_id: str = ""

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """Provider, region, instance type and purchase, by which machines are counted."""
        return self.provider, self.region, self.instance_type, self.purchase

    @property
    def is_known(self) -> bool:
        """Whether ``current`` of a workload file can be made of it."""
        return bool(self.provider and self.region and self.instance_type)


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency that users get today: 95th percentiles over the window, in ms; None where no histogram counts them."""

    ttft_p95_ms: float | None = None
    tpot_p95_ms: float | None = None
    e2e_p95_ms: float | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether nothing was measured."""
        return not any(self.values)

    @property
    def values(self) -> tuple[float | None, float | None, float | None]:
        """To the first token, per token, of the whole request."""
        return self.ttft_p95_ms, self.tpot_p95_ms, self.e2e_p95_ms


@dataclass(frozen=True, slots=True)
class ByLoad:
    """The same where load differs: 95th percentiles of short stretches, at the median of some of them."""

    usual: Latency
    """Median of all stretches with enough requests."""
    busiest: Latency
    """Median of the twentieth with most requests."""
    busiest_requests_per_second: float
    """Rate of those."""

    def rises(self) -> bool:
        """Whether a latency is half as long again in the busiest stretches: the machines do not carry them."""
        pairs = zip(self.usual.values, self.busiest.values, strict=True)
        return any(usual and busiest and busiest > RISES * usual for usual, busiest in pairs)


@dataclass(frozen=True, slots=True)
class Observed:
    """Where the demand of a service is recorded."""

    source: str
    """Key under ``demand`` of a workload file: ``prometheus``, ``samples`` or ``cloudwatch``."""
    fields: Mapping[str, str | float | tuple[str, ...]]
    """Keys and values of that source."""
    counts_tokens: bool = True
    """Whether lengths of requests are recorded too."""
    latency: Latency = Latency()
    by_load: ByLoad | None = None
    """None: not read, or too few requests to tell."""
    model: str = ""
    """As the engine names it."""
    engine: str = ""
    series: frozenset[Series] = frozenset()
    """Series of a server that are the service's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """One model served by one deployment."""

    name: str
    origin: str
    """Where it was found, in words: ``Deployment chat/llama of prod``."""
    launch: Launch
    replicas: int | None = None
    accelerators: int | None = None
    """Of one replica, over all of its hosts."""
    machines: tuple[Machine, ...] = ()
    """Hosts of its replicas, each once."""
    namespace: str = ""
    pods: str = ""
    """Pattern of the names of its pods, past ones too."""
    addresses: frozenset[str] = frozenset()
    """Of its pods now."""
    observed: Observed | None = None
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Model as the command line names it, else as the engine's metrics do."""
        return self.launch.model or (self.observed.model if self.observed else "")


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was found in one place or several."""

    services: tuple[Service, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, and what to do about it."""

    def __add__(self, other: "Inventory") -> "Inventory":
        """Both, in order."""
        return Inventory(self.services + other.services, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a person about a service that nothing shows."""

    model: str = ""
    requests_per_second: float | None = None
    """Where nothing saw its requests."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Text of further keys of the workload file, such as ``slo``."""


def window_text(days: float) -> str:
    """A window as workload files write it."""
    hours = max(round(days * HOURS_PER_DAY), 1)
    return f"{hours // HOURS_PER_DAY}d" if hours % HOURS_PER_DAY == 0 else f"{hours}h"
