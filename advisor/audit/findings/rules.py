"""Every finding that an audit can have: its stable id, title, work, risk, what shows it and what acts on it."""

from advisor.audit.values import Effort
from advisor.records import dataclass

LEAST_OBSERVED = 0.8
"""Share of the billed time of machines that has to be observed before their number changes."""
LEAST_DAYS = 7
"""Days that machines have to be billed before their number changes: nights and weekends are not like other days."""
SAVING, SPEND = "saving", "spend"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    id: str
    """Stable: it never means another thing, and is never used again."""
    title: str
    effort: Effort
    risk: str
    look: str
    """Command of this program that shows what it is about where no provider's does: ``samples``, ``cache`` or
    ``list``."""
    action: str = ""
    """Command of this program that acts where no provider's does: ``into``, ``recommend`` or ``agent``; "": none."""
    why_no_action: str = ""
    """Reason why nothing acts where there is no such command."""
    basis: str = SAVING


IDLE = Rule(
    "ADV101", "Idle accelerators", Effort.LOW,
    "who owns the hosts has to agree that nothing else needs them; accelerators may not be had again",
    "samples", "into",
)  # fmt: skip
OVERSIZED = Rule(
    "ADV102", "More accelerators than the load needs", Effort.MEDIUM,
    "latency at the peak rises; see that the SLO holds with fewer", "samples", "into",
)  # fmt: skip
MEMORY = Rule(
    "ADV103", "Over-allocated accelerator memory", Effort.MEDIUM,
    "longer requests, or more at a time, would use the memory", "samples", "recommend",
)  # fmt: skip
NOT_SATURATED = Rule(
    "ADV104", "Accelerators busy but not saturated", Effort.MEDIUM,
    "larger batches raise the latency of each request", "samples", "recommend",
)  # fmt: skip
BANDWIDTH = Rule(
    "ADV105", "Memory-bound decode on a compute-rich accelerator", Effort.MEDIUM,
    "another accelerator has other latencies; check them against the SLO", "samples", "recommend",
)  # fmt: skip
SPOT = Rule(
    "ADV106", "Interruptible work on on-demand capacity", Effort.MEDIUM,
    "spot capacity can be reclaimed at short notice", "list",
    why_no_action="a running machine cannot become a spot machine, and a bill does not name the code that starts it",
)  # fmt: skip
COMMIT = Rule(
    "ADV107", "Steady on-demand use without a commitment", Effort.LOW,
    "a commitment is paid whether or not it is used", "list",
    why_no_action="a commitment that was bought cannot be given back",
)  # fmt: skip
UNUSED = Rule(
    "ADV108", "Unused commitments", Effort.LOW, "selling or exchanging a commitment may be ruled out", "list",
    why_no_action="what was sold or exchanged does not come back",
)  # fmt: skip
EXPIRING = Rule(
    "ADV109", "Commitments that expire within 60 days", Effort.LOW,
    "renewing what is no longer needed locks the cost in", "list",
    why_no_action="a renewal cannot be given back",
)  # fmt: skip
RESERVATION = Rule(
    "ADV110", "Unused capacity reservations", Effort.LOW, "released capacity may be gone when it is needed", "list",
    why_no_action="released capacity may not be had again",
)  # fmt: skip
CROSS_ZONE = Rule(
    "ADV111", "Traffic between zones and regions", Effort.MEDIUM,
    "keeping traffic in a zone weakens what survives the loss of one", "list",
    why_no_action="a bill does not say what sends the traffic",
)  # fmt: skip
NAT = Rule(
    "ADV112", "Data through NAT gateways", Effort.LOW,
    "endpoints of object storage have policies of their own", "list",
    why_no_action="an endpoint needs the network and its route tables, which a bill does not name",
)  # fmt: skip
LOGS = Rule(
    "ADV113", "Log volume", Effort.LOW, "what is not logged or kept cannot be looked up", "list",
    why_no_action="a shorter retention deletes events, and what is taken in is set where they are written",
)  # fmt: skip
KEPT = Rule(
    "ADV114", "Snapshots and checkpoints kept", Effort.LOW, "a deleted checkpoint cannot be gone back to", "list",
    why_no_action="what was deleted does not come back, and a bill does not say what is needed",
)  # fmt: skip
UNUSED_NETWORK = Rule(
    "ADV115", "Load balancers and addresses without traffic", Effort.LOW, "a name may still point there", "list",
    why_no_action="a deleted load balancer or address does not come back under its name or number",
)  # fmt: skip
NO_REQUESTS = Rule(
    "ADV116", "Endpoints without requests", Effort.LOW, "a caller may be missing from the log", "list",
    why_no_action="the log may lack a caller, who would get no answer",
)  # fmt: skip
UNTAGGED_SPEND = Rule(
    "ADV117", "Untagged spend", Effort.MEDIUM, "none: tags change no behaviour", "list", basis=SPEND,
    why_no_action="the bill names no resource in a form by which it can be tagged",
)  # fmt: skip
UNWATCHED = Rule(
    "ADV118", "Accelerators without telemetry", Effort.LOW, "none: the agent only reads", "list", "agent", basis=SPEND,
)  # fmt: skip
FAILURES = Rule(
    "ADV119", "Failed requests that were paid for", Effort.MEDIUM, "none beyond that of the fix", "list",
    why_no_action="the log does not say why they failed",
)  # fmt: skip
REPEATED = Rule(
    "ADV120", "Repeated prompts that no cache answered", Effort.MEDIUM,
    "an answer from a cache is the same for everybody who asks", "cache",
    why_no_action="whether answers may be shared is not in the log",
)  # fmt: skip

RULES = (
    IDLE, OVERSIZED, MEMORY, NOT_SATURATED, BANDWIDTH, SPOT, COMMIT, UNUSED, EXPIRING, RESERVATION, CROSS_ZONE, NAT,
    LOGS, KEPT, UNUSED_NETWORK, NO_REQUESTS, UNTAGGED_SPEND, UNWATCHED, FAILURES, REPEATED,
)  # fmt: skip
