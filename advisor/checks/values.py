"""Rules that a plan is checked by, whose ids never change their meaning, and findings of a check."""

from collections.abc import Mapping
from enum import StrEnum

from advisor.records import dataclass


class Level(StrEnum):
    """Weight of a finding."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OFF = "off"
    """Not looked at."""

    @property
    def rank(self) -> int:
        """0 for the heaviest."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is no longer as the plan says."""

    id: str
    level: Level
    message: str
    """With the two numbers that were compared."""
    command: str
    """Command that mends it."""
    file: str
    """The plan, or the file of the code that differs."""
    subject: str = ""
    """Group, resource or engine."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of a check."""

    plan: str
    looked_at: tuple[str, ...]
    """Ids of the rules that were applied; the others lacked what they look at, or are off."""
    findings: tuple[Finding, ...]
    """The heaviest first."""
    failed: bool
    """Whether a finding is as heavy as the policy lets no plan pass with."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    id: str
    title: str
    level: Level
    """Unless the policy says another one."""


RULES: Mapping[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule("CHK101", "a price that the plan pays has moved", Level.ERROR),
        Rule("CHK102", "an instance type of the plan is no longer sold there", Level.ERROR),
        Rule("CHK103", "a price of the plan is old", Level.WARNING),
        Rule("CHK104", "the plan costs more than its budget", Level.ERROR),
        Rule("CHK201", "another fleet is cheaper now", Level.WARNING),
        Rule("CHK202", "the fleet misses its latency targets under today's demand", Level.ERROR),
        Rule("CHK203", "today's demand is beyond what the fleet carries", Level.ERROR),
        Rule("CHK204", "nothing serves today's demand within the workload's limits", Level.ERROR),
        Rule("CHK205", "the plan's fleet is refused by its replay", Level.ERROR),
        Rule("CHK301", "the code deploys something else than the plan", Level.ERROR),
        Rule("CHK302", "the code holds groups of an earlier plan", Level.WARNING),
        Rule("CHK303", "the code has another response cache than the plan", Level.ERROR),
        Rule("CHK401", "a commitment ends soon", Level.WARNING),
        Rule("CHK402", "an engine has newer releases", Level.NOTE),
        Rule("CHK403", "spot instances are taken back often", Level.WARNING),
        Rule("CHK501", "the plan was edited after it was made", Level.ERROR),
        Rule("CHK502", "the model's file is another than the plan was made from", Level.WARNING),
    )
}
