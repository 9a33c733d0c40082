"""Machines of one kind and endpoint, how busy they are, and how many of them may go: one rule for amounts and edits."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from advisor.audit.endpoints import EndpointMachines
from advisor.audit.findings.rules import LEAST_DAYS, LEAST_OBSERVED
from advisor.audit.values import HostCost
from advisor.records import dataclass
from advisor.samples.need.fleet import FEWEST, enough_accelerators
from advisor.samples.need.limits import Code
from advisor.units import HOURS_PER_DAY


@dataclass(frozen=True, slots=True)
class MeasuredFleet:
    """Machines of one kind, of which some have telemetry."""

    provider: str
    region: str
    instance_type: str
    hosts: Sequence[HostCost]
    """Those with telemetry, the dearest first."""
    kind: EndpointMachines | None
    """Machines of the bill that they are; None: it does not say their type or their region."""

    @property
    def instances(self) -> int:
        """Machines in the bill, on average over its period."""
        return self.kind.instances if self.kind else len(self.hosts)

    @property
    def idle(self) -> list[HostCost]:
        """Hosts whose accelerators are all idle."""
        return [host for host in self.hosts if is_idle(host)]

    @property
    def working(self) -> list[HostCost]:
        """The other hosts with telemetry."""
        return [host for host in self.hosts if not is_idle(host)]

    @property
    def loaded(self) -> int:
        """Whole machines that carry what the working ones do in the busiest twentieth of the time."""
        working, count = self.working, accelerators_of(self.working)
        return math.ceil(needed_accelerators(working) * len(working) / count) if working else 0

    @property
    def enough(self) -> int:
        """Machines that carry the load. Of those without telemetry nothing is known: they stay."""
        unseen = len(self.kind.billed_seconds) - len(self.hosts) if self.kind else 0
        return self.loaded + unseen

    @property
    def needed(self) -> int:
        """Machines that stay: several where several run, so that any one may fail."""
        return max(self.enough, min(self.instances, FEWEST)) if self.enough else 0

    @property
    def gone(self) -> list[HostCost]:
        """Idle hosts that may go."""
        return self.idle[: max(0, self.instances - self.needed)]

    @property
    def kept(self) -> list[HostCost]:
        """Hosts that do not go for being idle; among them those that stay so that one may fail."""
        gone = {host.resource for host in self.gone}
        return [host for host in self.hosts if host.resource not in gone]

    @property
    def spare(self) -> int:
        """Machines of those kept that may go, for the others carry the load."""
        return max(0, min(self.instances - self.needed - len(self.gone), len(self.kept)))

    @property
    def too_little_known(self) -> str:
        """Reason why what was observed does not decide how many machines there should be; "": it does."""
        if self.kind is None:
            return "the bill does not say the type and the region of the machines"
        billed_seconds = self.kind.billed_seconds
        observed = sum(host.observed_billed_ratio * billed_seconds[host.resource] for host in self.hosts)
        observed_ratio = observed / (sum(billed_seconds.values()) or 1.0)
        if observed_ratio < LEAST_OBSERVED:
            return f"{observed_ratio:.0%} of their billed time was observed, {LEAST_OBSERVED:.0%} is needed"
        if self.kind.spanned_hours < LEAST_DAYS * HOURS_PER_DAY:
            return f"the bill has {self.kind.spanned_hours:,.0f} hours of them, {LEAST_DAYS} days are needed"
        return ""


def is_idle(host: HostCost) -> bool:
    """Whether all accelerators of a host are idle."""
    return bool(host.use.verdicts) and set(host.use.verdicts) == {Code.IDLE.value}


def accelerators_of(hosts: Sequence[HostCost]) -> int:
    """Accelerators of some hosts."""
    return sum(host.use.accelerators for host in hosts)


def needed_accelerators(hosts: Sequence[HostCost], machines: int = 1) -> int:
    """Accelerators that carry the use of some hosts in the busiest twentieth of the time, in so many machines."""
    return enough_accelerators((host.use.p95 * host.use.accelerators for host in hosts), machines)


def fleets_of(kinds: Sequence[EndpointMachines], hosts: Sequence[HostCost]) -> Iterator[MeasuredFleet]:
    """Hosts with telemetry by the machines of the bill that they are, each once, the dearest kind first.

    Args:
        kinds: machines of the bill, the dearest last.
        hosts: those with telemetry.
    """
    left = {host.resource: host for host in sorted(hosts, key=lambda host: -host.cost)}
    for kind in reversed(kinds):
        seen = [left.pop(resource) for resource in list(left) if resource in kind.billed_seconds]
        if seen:
            yield MeasuredFleet(kind.provider, kind.region, kind.instance_type, seen, kind)
    for place, others in groupby(sorted(left.values(), key=_place), _place):
        yield MeasuredFleet(*place, list(others), None)


def _place(host: HostCost) -> tuple[str, str, str]:
    return host.provider, host.region, host.instance_type
