"""Rules that a plan is checked by, whose ids never change their meaning, the policy that sets them, and findings."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from advisor.records import dataclass, field
from advisor.yaml_fields import read_document


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
    """Command that fixes it."""
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
        Rule("CHK304", "the code was edited in what no plan decides", Level.NOTE),
        Rule("CHK401", "a commitment ends soon", Level.WARNING),
        Rule("CHK402", "an engine has newer releases", Level.NOTE),
        Rule("CHK403", "spot instances are taken back often", Level.WARNING),
        Rule("CHK501", "the plan was edited after it was made", Level.ERROR),
        Rule("CHK502", "the model's file is another than the plan was made from", Level.WARNING),
    )
}
_KEYS = (
    "fail_on", "price_tolerance", "max_price_age", "max_spot_price_age", "cheaper_by", "obligation_ends_within",
    "spot_interruptions_per_month", "max_usd_per_month", "levels",
)  # fmt: skip
_NEVER = "never"
_HINT = "see docs/check.md for one"


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds of the rules, and what fails."""

    fail_on: Level | None = Level.ERROR
    """Lightest level that fails; None: none does."""
    price_tolerance_ratio: float = 0.05
    max_price_age_days: float = 90.0
    max_spot_price_age_days: float = 30.0
    cheaper_by_ratio: float = 0.1
    """Saving from which another fleet is told."""
    obligation_ends_within_days: float = 60.0
    spot_interruptions_per_month: float = 1.0
    """Of one instance."""
    max_usd_per_month: float | None = None
    """Budget for the plan's whole total; None: that of the workload alone."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """Rule → level, where it is not the rule's own."""

    def level_of(self, rule: str) -> Level:
        """Level of a rule."""
        return self.levels.get(rule, RULES[rule].level)

    def fails(self, level: Level) -> bool:
        """Whether a finding of a level fails."""
        return self.fail_on is not None and level.rank <= self.fail_on.rank


def read_policy(path: Path) -> Policy:
    """The policy of a file. Raises InputError if it cannot be read, or a key or a value is wrong."""
    fields = read_document(path, "policy", _HINT).mapping(_KEYS)
    policy = Policy()
    failing = policy.fail_on
    if "fail_on" in fields:
        word = fields["fail_on"].choice((*map(str, Level), _NEVER))
        failing = None if word in (_NEVER, Level.OFF) else Level(word)
    stated = fields["levels"].mapping(tuple(RULES)) if "levels" in fields else {}

    def ratio(name: str, default: float) -> float:
        return fields[name].number(0.0) if name in fields else default

    def days(name: str, default: float) -> float:
        return fields[name].days() if name in fields else default

    return Policy(
        fail_on=failing,
        price_tolerance_ratio=ratio("price_tolerance", policy.price_tolerance_ratio),
        max_price_age_days=days("max_price_age", policy.max_price_age_days),
        max_spot_price_age_days=days("max_spot_price_age", policy.max_spot_price_age_days),
        cheaper_by_ratio=ratio("cheaper_by", policy.cheaper_by_ratio),
        obligation_ends_within_days=days("obligation_ends_within", policy.obligation_ends_within_days),
        spot_interruptions_per_month=ratio("spot_interruptions_per_month", policy.spot_interruptions_per_month),
        max_usd_per_month=fields["max_usd_per_month"].number(0.0) if "max_usd_per_month" in fields else None,
        levels={name: Level(level.choice(tuple(map(str, Level)))) for name, level in stated.items()},
    )
