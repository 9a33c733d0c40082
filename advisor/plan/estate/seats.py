"""Seats of workloads on a shared machine, as the estate states them and code is generated from them."""

from advisor.performance.values import Interval
from advisor.plan.estate.turns import Way
from advisor.plan.layout import Layout
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat(Layout):
    """A workload's replica on each copy of a shared machine: beside others on an accelerator, or on a slice of one."""

    workload: str
    """File, told from the directory."""
    planned_requests_per_second_per_instance: float
    """Rate that each copy carries where the others that the limits let fail are gone."""
    requests_per_second_per_replica: Interval
    """Largest rate within the SLO when it has the seat to itself."""
    evidence: str
    busy_ratio: float
    """Planned rate ÷ largest rate within the SLO."""
    memory_gib: float
    """Memory that it takes: weights, workspace, runtime and the KV cache of what runs at the load."""
    usable_gib: float
    """Memory of the slice or the part by MPS that it may take, or of the accelerator for all who take turns there."""
    most_sharers: int | None
    """Tenants of an accelerator among whom it keeps its SLO, and by MPS has memory; None: it has a slice to itself."""
    kv_cache_gib: float | None = None
    """KV cache that it is planned with beside others on an accelerator, to be given to the engine as it starts: what
    is free then depends on how far the others are. None: it has a slice to itself, or keeps no cache."""
    within_slo_ratio: float | None = None
    """Of a replay of its requests on its part of the time; None: none was made."""
    instance_usd_per_hour: float
    price_source: str
    price_as_of: str
    price_quality: str
    server: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Image of a server that may hold the models of others on the accelerator with its own; "": it does not."""
    server_gib: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Part of its memory that such a server takes once."""
    way: Way = field(default=Way.TURNS, metadata=OMITTED_AT_DEFAULT)
    """Way of sharing an accelerator that is not cut."""

    @property
    def image(self) -> str:
        """Image that it runs: engines of one name, or of one server, share it."""
        return self.server or self.engine
