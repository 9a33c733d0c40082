"""Rules of the findings that an audit can have, as ``rules.csv`` has them."""

from pathlib import Path

from advisor.audit.values import Effort, Phase
from advisor.records import dataclass
from advisor.tables import OptionalText, read_records

LEAST_OBSERVED = 0.8
"""Share of the billed time of machines that has to be observed before their number changes."""
LEAST_DAYS = 7
"""Days that machines have to be billed before their number changes: nights and weekends are not like other days."""
SAVING, SPEND = "saving", "spend"


@dataclass(frozen=True, slots=True)
class Rule:
    """Kind of finding."""

    id: str
    """Stable: it never means another thing, and is never used again."""
    title: str
    effort: Effort
    risk: str
    look: str
    """Command of this program that shows what it is about where no provider's does: ``samples``, ``cache`` or
    ``list``."""
    action: OptionalText
    """Command of this program that acts where no provider's does: ``into``, ``recommend`` or ``agent``; "": none."""
    why_no_action: OptionalText
    """Reason why nothing acts where there is no such command."""
    basis: str
    """:data:`SAVING` or :data:`SPEND`."""
    owner: str
    """Tag of the team that acts on it."""
    phase: Phase
    is_serving: bool
    """Whether it is about money that levers and plans are about too: the cost of serving."""
    is_at_endpoints: bool
    """Whether its resources are endpoints: what a bill charges for these is at resources of other names."""


RULES = tuple(record.value(Rule) for record in read_records(Path(__file__).with_name("rules.csv")))
(
    IDLE, OVERSIZED, MEMORY, NOT_SATURATED, BANDWIDTH, SPOT, COMMIT, UNUSED, EXPIRING, RESERVATION, CROSS_ZONE, NAT,
    LOGS, KEPT, UNUSED_NETWORK, NO_REQUESTS, UNTAGGED_SPEND, UNWATCHED, FAILURES, REPEATED,
) = RULES  # fmt: skip
