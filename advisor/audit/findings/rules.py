"""Every finding that an audit can have: its stable id, title, work, risk and what acts on it."""

from dataclasses import dataclass

from advisor.audit.values import Effort

SAVING, SPEND = "saving", "spend"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    id: str
    """Stable: it never means another thing, and is never used again."""
    title: str
    effort: Effort
    risk: str
    action: str
    """Command of this program that acts where no provider's does: ``samples``, ``recommend``, ``show``, ``agent``,
    ``cache`` or ``list``."""
    basis: str = SAVING


IDLE = Rule(
    "ADV101", "Idle accelerators", Effort.LOW, "who owns the hosts has to agree that nothing else needs them", "samples"
)
OVERSIZED = Rule(
    "ADV102", "More accelerators than the load needs", Effort.MEDIUM,
    "latency at the peak rises; see that the SLO holds with fewer", "recommend",
)  # fmt: skip
MEMORY = Rule(
    "ADV103", "Over-allocated accelerator memory", Effort.MEDIUM,
    "longer requests, or more at a time, would use the memory", "samples",
)  # fmt: skip
NOT_SATURATED = Rule(
    "ADV104", "Accelerators busy but not saturated", Effort.MEDIUM,
    "larger batches raise the latency of each request", "recommend",
)  # fmt: skip
BANDWIDTH = Rule(
    "ADV105", "Memory-bound decode on a compute-rich accelerator", Effort.MEDIUM,
    "another accelerator has other latencies; check them against the SLO", "recommend",
)  # fmt: skip
SPOT = Rule(
    "ADV106", "Interruptible work on on-demand capacity", Effort.MEDIUM,
    "spot capacity can be reclaimed at short notice", "show",
)  # fmt: skip
COMMIT = Rule(
    "ADV107", "Steady on-demand use without a commitment", Effort.LOW,
    "a commitment is paid whether or not it is used", "show",
)  # fmt: skip
UNUSED = Rule("ADV108", "Unused commitments", Effort.LOW, "selling or exchanging a commitment may be ruled out", "list")
EXPIRING = Rule(
    "ADV109", "Commitments that expire within 60 days", Effort.LOW,
    "renewing what is no longer needed locks the cost in", "list",
)  # fmt: skip
RESERVATION = Rule(
    "ADV110", "Unused capacity reservations", Effort.LOW, "released capacity may be gone when it is needed", "list",
)  # fmt: skip
CROSS_ZONE = Rule(
    "ADV111", "Traffic between zones and regions", Effort.MEDIUM,
    "keeping traffic in a zone weakens what survives the loss of one", "list",
)  # fmt: skip
NAT = Rule(
    "ADV112", "Data through NAT gateways", Effort.LOW,
    "endpoints of object storage have policies of their own", "list",
)  # fmt: skip
LOGS = Rule("ADV113", "Log volume", Effort.LOW, "what is not logged or kept cannot be looked up", "list")
KEPT = Rule(
    "ADV114", "Snapshots and checkpoints kept", Effort.LOW, "a deleted checkpoint cannot be gone back to", "list",
)  # fmt: skip
UNUSED_NETWORK = Rule(
    "ADV115", "Load balancers and addresses without traffic", Effort.LOW, "a name may still point there", "list",
)  # fmt: skip
NO_REQUESTS = Rule(
    "ADV116", "Endpoints without requests", Effort.LOW, "a caller may be missing from the log", "list",
)  # fmt: skip
UNTAGGED_SPEND = Rule(
    "ADV117", "Untagged spend", Effort.MEDIUM, "none: tags change no behaviour", "list", SPEND,
)  # fmt: skip
UNWATCHED = Rule(
    "ADV118", "Accelerators without telemetry", Effort.LOW, "none: the agent only reads", "agent", SPEND,
)  # fmt: skip
FAILURES = Rule(
    "ADV119", "Failed requests that were paid for", Effort.MEDIUM, "none beyond that of the fix", "list",
)  # fmt: skip
REPEATED = Rule(
    "ADV120", "Repeated prompts that no cache answered", Effort.MEDIUM,
    "an answer from a cache is the same for everybody who asks", "cache",
)  # fmt: skip

RULES = (
    IDLE, OVERSIZED, MEMORY, NOT_SATURATED, BANDWIDTH, SPOT, COMMIT, UNUSED, EXPIRING, RESERVATION, CROSS_ZONE, NAT,
    LOGS, KEPT, UNUSED_NETWORK, NO_REQUESTS, UNTAGGED_SPEND, UNWATCHED, FAILURES, REPEATED,
)  # fmt: skip
