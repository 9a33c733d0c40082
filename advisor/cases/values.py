"""Values of a case study: what its file states, and what is computed of it."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.cost_lines import CostLine
from advisor.records import dataclass, field
from advisor.yaml_fields import Field

SCHEMA = "advisor.case/v1"
SHARE = "share"
"""Unit of assumptions that lie between 0 and 1."""


class PartKind(StrEnum):
    """Kinds of parts, by the key that a part has in the file."""

    WORKLOAD = "workload"
    TOKENS = "tokens"
    CACHE = "cache"
    STATED = "usd_per_month"


@dataclass(frozen=True, slots=True)
class Assumption:
    """Figure that a case rests on."""

    name: str
    value: float
    unit: str
    source: str
    """Origin of the figure, or why it was chosen where it is assumed."""
    assumed: bool
    line: int

    def times(self, factor: float) -> float:
        """The value by a factor; a share ends at 1."""
        value = self.value * factor
        return min(value, 1.0) if self.unit == SHARE else value


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is paid for, with formulas of assumptions in it."""

    name: str
    kind: PartKind
    field: Field = field(compare=False)
    """Its own key of the file."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Parts that run together after one more change; the first stage is before any."""

    name: str
    parts: tuple[str, ...]
    passes: tuple[str, ...]
    """Planned parts that a request which no cache answers goes through one after another; () where that is not said."""
    line: int


@dataclass(frozen=True, slots=True)
class Published:
    """Result that somebody published of such a case."""

    saving_ratio: float
    latency_ms: tuple[float, float] | None
    """Before and after; None: none was published."""
    source: str
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Case study as its file states it."""

    name: str
    path: Path
    published: Published
    assumptions: tuple[Assumption, ...]
    parts: Mapping[str, Part]
    stages: tuple[Stage, ...]
    differs: tuple[str, ...]
    """Sentences on what the published figure leaves open, and what this case takes in its place."""


@dataclass(frozen=True, slots=True)
class PricedPart:
    """Part with its price."""

    part: str
    kind: PartKind
    line: int
    usd_per_month: float
    charges: tuple[CostLine, ...]
    """Charges whose sum it is, each with the source of its price."""
    range_usd_per_month: tuple[float, float]
    """Cost where prices of machines that are not listed or old are at either end of what they may be today."""
    latency_p95_ms: float | None = None
    """Time to the whole answer of mean length in the replay; None: nothing is planned."""
    fleet: Fleet | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PricedStage:
    """Stage with its price."""

    stage: str
    line: int
    parts: tuple[PricedPart, ...]
    usd_per_month: float
    range_usd_per_month: tuple[float, float]
    saving_ratio: float
    """Share of the cost of the first stage that it saves."""
    machine_saving_ratio: float | None
    """The same of hours of machines and nodes and of tokens alone; None: the first stage has none."""
    latency_p95_ms: float | None
    """Sum over the parts that a request goes through; None: not stated or not planned."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Saving of the case with one assumption at another value."""

    value: float
    saving_ratio: float | None
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Swing:
    """Saving of the case with one assumption halved and doubled, all others as stated."""

    assumption: str
    halved: Outcome
    doubled: Outcome

    def range_with(self, base: float) -> tuple[float, float]:
        """Least and largest saving, the case as stated among them."""
        ratios = [outcome.saving_ratio for outcome in (self.halved, self.doubled) if outcome.saving_ratio is not None]
        return min((*ratios, base)), max((*ratios, base))


@dataclass(frozen=True, slots=True)
class CaseReport:
    """Case with its prices."""

    case: Case
    saving_ratio: float
    """Saving of the last stage."""
    stages: tuple[PricedStage, ...]
    tornado: tuple[Swing, ...] = ()
    """The assumption that moves the saving most first; () where it was not asked for."""
