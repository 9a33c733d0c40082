"""Findings of a check."""

from dataclasses import dataclass
from enum import StrEnum


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
