"""Context of the detectors, and how a finding is put together."""

import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from advisor.audit.endpoints import EndpointMachines
from advisor.audit.findings.provider_commands import Place, acting_command, looking_command
from advisor.audit.findings.rules import Rule
from advisor.audit.ledger import Ledger
from advisor.audit.values import RESOURCE, ZERO, ComputeSplit, Endpoint, Finding, Traffic, money
from advisor.catalog import Catalog
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH

_JSON_LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz")


class Interval(NamedTuple):
    """An amount over the bill's period, and what it lies between."""

    value: Decimal
    low: Decimal
    high: Decimal

    @classmethod
    def between(cls, low: Decimal, high: Decimal) -> "Interval":
        """The middle of two bounds, where nothing is known of what lies between them."""
        return cls((low + high) / 2, low, high)

    @classmethod
    def exactly(cls, value: Decimal) -> "Interval":
        """An amount that is known."""
        return cls(value, value, value)


class Commands(NamedTuple):
    """Commands of a provider, or of this program, for a finding; None: those of its rule."""

    look: str | None = None
    act: str | None = None
    why_no_action: str = ""
    """Reason why nothing acts, whatever the rule says; "": as the rule says."""

    @classmethod
    def of_places(cls, rule: Rule, places: Sequence[Place]) -> "Commands":
        """Commands for the resources of a finding."""
        return cls(looking_command(rule.id, places), acting_command(rule.id, places))


@dataclass(frozen=True, slots=True)
class Context:
    """An audit as far as it is made, and the words of the command line that made it."""

    ledger: Ledger
    catalog: Catalog
    split: ComputeSplit
    endpoints: Sequence[Endpoint]
    traffic: Traffic | None
    machines: Sequence[EndpointMachines]
    """Accelerated machines of the bill, the dearest kind last."""
    audit_words: Sequence[str]
    """Arguments of ``advisor audit`` that repeat this audit."""
    telemetry_words: Sequence[str]
    """Directories of samples, or the server's address; empty: none."""

    def monthly(self, amount: Decimal) -> Decimal | None:
        """An amount of the bill's period as one of a month of 730 hours; None: the period is unknown."""
        hours = self.ledger.bill.hours
        return amount * HOURS_PER_MONTH / Decimal(hours) if hours else None

    def money(self, amount: Decimal) -> str:
        """An amount over the bill's period, with its currency."""
        return money(amount, self.ledger.bill.currency)

    def resources(self, where: str, name: str = RESOURCE, most: int = 1000) -> list[tuple[str, Decimal]]:
        """Resources of some charges with their cost, the dearest first; see :meth:`places`."""
        rows = self.ledger.database.rows(
            f"SELECT coalesce({name}, {RESOURCE}) AS name, sum(cost) AS cost "
            f"FROM charges WHERE {where} GROUP BY 1 HAVING sum(cost) <> 0 ORDER BY cost DESC, name LIMIT {most}"
        )
        return [(str(name), Decimal(cost)) for name, cost in rows]

    def places(self, where: str, name: str = "resource", most: int = 100) -> list[Place]:
        """Resources of some charges with provider and region, the dearest first.

        Args:
            where: SQL of the charges.
            name: column that names them.
            most: so many.
        """
        rows = self.ledger.database.rows(
            f"SELECT provider, region, {name}, service, sum(cost) AS cost FROM charges WHERE ({where}) "
            f"AND {name} IS NOT NULL GROUP BY ALL HAVING sum(cost) > 0 ORDER BY cost DESC, {name} LIMIT {most}"
        )
        return [
            Place(provider or "", region or "", str(resource), service or "")
            for provider, region, resource, service, _ in rows
        ]

    def finding(
        self,
        rule: Rule,
        amount: Interval,
        evidence: str,
        resources: Sequence[tuple[str, Decimal]],
        commands: Commands = Commands(),  # noqa: B008 - frozen
        machines: Sequence[str] = (),
    ) -> Finding:
        """A finding by its rule; amounts are turned into those of a month."""
        look = commands.look or self.command(rule, rule.look)
        act = commands.act or (self.command(rule, rule.action) if rule.action else None)
        act = None if commands.why_no_action else act
        return Finding(
            id=rule.id,
            title=rule.title,
            per_month=self.monthly(amount.value),
            low=self.monthly(amount.low),
            high=self.monthly(amount.high),
            basis=rule.basis,
            effort=rule.effort,
            evidence=evidence,
            risk=rule.risk,
            command=act or look,
            look=look,
            why_no_action="" if act else commands.why_no_action or rule.why_no_action,
            resources=resources,
            machines=machines,
        )

    def command(self, rule: Rule, action: str) -> str:
        """A command of this program for a finding; see :attr:`Rule.action`."""
        audit = f"advisor audit {shlex.join(self.audit_words)} --finding {rule.id}"
        if action == "into":
            return f"advisor audit {shlex.join(self.audit_words)} --into infra/"
        if action == "agent":
            return "advisor agent install systemd"
        if action == "cache":
            logs = [log for log in self._request_logs() if log.endswith(_JSON_LINES)]
            return " && ".join(f"advisor demand cache {shlex.quote(log)}" for log in logs) or audit
        if not self.telemetry_words or action == "list":
            return audit
        places = shlex.join(self.telemetry_words)
        if action == "samples":
            return f"advisor samples need {places}"
        option = "--prometheus" if places.startswith(("http://", "https://")) else "--samples"
        sources = " ".join(f"{option} {shlex.quote(place)}" for place in self.telemetry_words)
        return f"advisor init {sources} --out workloads --yes && advisor recommend workloads/"

    def _request_logs(self) -> list[str]:
        """Logs that the audit was given."""
        pairs = zip(self.audit_words, self.audit_words[1:], strict=False)
        return [log for option, log in pairs if option == "--requests"]


def positive(amount: Decimal) -> Decimal:
    """An amount, not below nothing: credits can make a part of a bill negative."""
    return max(amount, ZERO)
