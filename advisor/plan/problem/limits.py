"""Constraints of a fleet, one row each: what sets it, how it is told and loosened, and where it is kept unasked.

A new limit of a workload is a field of :class:`Limits` and a row here. A cap in proportion to instances says with
:class:`Takes` what one of them takes; any other says with :class:`Rule` how the program writes it and what a fleet has
of it. Every place that asks for limits asks these too.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Flag, StrEnum, auto
from typing import TYPE_CHECKING, Any, Self, TypeVar

from advisor.candidates import Shortfall
from advisor.catalog import Catalog
from advisor.catalog.values import InstanceType, Offer
from advisor.records import dataclass
from advisor.units import GRAMS_PER_KG, WATTS_PER_KW
from advisor.workload.values import Limits

if TYPE_CHECKING:
    from advisor.plan.problem.values import Allocation, Pool
    from advisor.plan.solve.program import FleetProgram

Kind = TypeVar("Kind")
_FINE = 10_000
"""Steps per unit of limits that are not whole numbers."""
UNKNOWN_WORDS = {"power_unknown": "power unknown", "carbon_unknown": "carbon unknown"}
"""Codes of rejections for which it is not known what an instance takes of a cap, in words."""


class Shortcut(Flag):
    """Ways past the program that keep a limit without asking it; where it is stated, others are not taken."""

    NONE = 0
    GRID = auto()
    """Fleets counted out, hour class by hour class."""
    DOMINANCE = auto()
    """Pools that others stand in for."""
    TOGETHER = auto()
    """One fleet for several workloads that each state the same."""
    LIKE_FOR_LIKE = DOMINANCE | TOGETHER
    ALL = GRID | DOMINANCE | TOGETHER


ALL = Shortcut.ALL


@dataclass(frozen=True, slots=True)
class Takes:
    """Amount that each instance takes of a cap."""

    of_instance: Callable[[Catalog, InstanceType, Offer], float | Shortfall]
    """Amount in the unit of the limit, of a monthly cap for each hour; a shortfall where it is not known."""
    is_monthly: bool = False
    """Whether the hours of a month add up; else the busiest ones count."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit that is not in proportion to instances."""

    write: "Callable[[FleetProgram, Constraint, float], None]"
    """Writes the rows of the constraint at a limit."""
    used: "Callable[[Iterable[Allocation]], float]"
    """Amount that a fleet has of it."""


def _at_most_kinds(kind_of: "Callable[[Pool], str]") -> Rule:
    """Cap on the number of kinds of pools that have instances."""

    def write(program: "FleetProgram", constraint: "Constraint", most: float) -> None:
        program.at_most_kinds(constraint, kind_of, most)

    def used(allocations: "Iterable[Allocation]") -> float:
        return len({kind_of(allocation.pool) for allocation in allocations})

    return Rule(write, used)


@dataclass(frozen=True, slots=True)
class Row:
    """Facts of a constraint beside its rows in the program."""

    words: str = ""
    """Words of an option that breaks it alone; "": none does."""
    unit: str = ""
    set_by: str = ""
    """Key of the workload file that decides it; "": its own name under ``limits``."""
    decimals: int = 0
    """Digits after the point with which a needed limit is shown."""
    steps_per_unit: int = 1
    """Steps in which a needed limit is looked for; 1: it is a whole number."""
    code: str = ""
    """Code of a rejection, if it is not called as the constraint."""
    is_negotiable: bool = True
    """Whether a user could give it up."""
    holds_by_default: bool = False
    """Whether it asks for something where no limit states it."""
    give_up: str = ""
    """How to give up what is not a number; "": a number changes."""
    is_floor: bool = False
    """Whether a fleet has to have so much of it; of others it takes too much."""
    loosest: float = math.inf
    """Number with which it asks for nothing; infinite: none at all."""
    kept_by: Shortcut = Shortcut.NONE
    takes: Takes | None = None
    rule: Rule | None = None


def _share(words: str, set_by: str = "", **more: Any) -> Row:  # noqa: ANN401 - fields of a row
    """Row of a share of the requests, which every shortcut keeps."""
    return Row(words, "share of requests", set_by, decimals=4, steps_per_unit=_FINE, kept_by=ALL, **more)


def _cap(words: str, unit: str, decimals: int, takes: Takes) -> Row:
    """Row of a cap in proportion to instances; without decimals it is a whole number."""
    steps = _FINE if decimals else 1
    return Row(words, unit, decimals=decimals, steps_per_unit=steps, kept_by=Shortcut.DOMINANCE, takes=takes)


def _kw(catalog: Catalog, machine: InstanceType, offer: Offer) -> float | Shortfall:  # noqa: ARG001 - as others
    """Power of the accelerators at their limit, in kW."""
    watts = catalog.accelerator(machine.accelerator).tdp_watts
    if watts is None:
        reason = f"the power of {machine.accelerator} is not known, and a cap on power or carbon is set"
        return Shortfall("power_unknown", "W", "a known power", None, reason)
    return watts * (machine.accelerator_count or 0.0) / WATTS_PER_KW


def _carbon(catalog: Catalog, machine: InstanceType, offer: Offer) -> float | Shortfall:
    """Carbon in kg CO2e an hour: ``kW · PUE · g/kWh ÷ 1,000``."""
    kw = _kw(catalog, machine, offer)
    if isinstance(kw, Shortfall):
        return kw
    grid = catalog.grid(offer.provider, offer.region)
    if grid is None:
        reason = f"the carbon of the grid of {offer.region} is not known, and a cap on carbon is set"
        return Shortfall("carbon_unknown", "g/kWh", "a known intensity", None, reason)
    return kw * (grid.pue or 1.0) * grid.carbon_g_per_kwh / GRAMS_PER_KG


class Constraint(StrEnum):
    """Constraint that a fleet must keep to, in the order in which a user would rather give it up."""

    row: Row

    def __new__(cls, name: str, row: Row) -> Self:
        """A member that is its name and has its row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.row = row
        return member

    DEMAND = (
        "demand",
        Row("demand not carried alone", "", "demand", is_negotiable=False, is_floor=True, loosest=0.0, kept_by=ALL),
    )
    """Every request is sent to a pool that serves it within the SLO."""
    CAPACITY = "capacity", Row(set_by="slo", is_negotiable=False, kept_by=ALL)
    """No pool receives more than its instances sustain."""
    BUDGET = (
        "max_usd_per_month",
        Row("over the budget", "USD/month", code="budget", decimals=2, steps_per_unit=100, kept_by=Shortcut.DOMINANCE),
    )
    MAX_REPLICAS = "max_replicas", Row("more replicas than allowed", "replicas", kept_by=Shortcut.DOMINANCE)
    MIN_REPLICAS = "min_replicas", Row("fewer replicas than asked", "replicas", is_floor=True, loosest=1, kept_by=ALL)
    """So many replicas run, and without any one machine the rest carries all but one of so many parts of the load."""
    ZONES = "zones", Row("sold in too few zones", "zones", is_floor=True, loosest=1, kept_by=ALL)
    """As many instances run, and without any one zone the rest carries all but one of so many parts of the load."""
    SURVIVE = (
        "survive",
        _share("no failure survived alone", holds_by_default=True, give_up="set limits.survive to nothing"),
    )
    """Without any one machine, or zone, the rest carries everything."""
    SPOT_REROUTE = (
        "spot_reroute",
        _share(
            "spot not replaceable alone",
            "limits.fault_tolerant_ratio",
            holds_by_default=True,
            is_floor=True,
            loosest=1.0,
        ),
    )
    """Without one spot supply in one zone the rest carries what cannot wait."""
    ON_DEMAND_BASE = (
        "on_demand_base",
        _share("too little on demand", "limits.on_demand_base_ratio", is_floor=True, loosest=0.0),
    )
    """Instances that are not on spot sustain their share of the load."""
    COMMITMENT_LOW_BAND = (
        "commitment_low_band",
        Row(
            "commitment above the forecast's low edge", "instances", "limits.commit_beyond_forecast",
            holds_by_default=True, give_up="set limits.commit_beyond_forecast to true", kept_by=ALL,
        ),
    )  # fmt: skip
    """A commitment is in use for its break-even time even where the demand stays at the forecast's low edge."""
    QUOTA = "quota", Row("over the quota", "units", "limits.quotas", steps_per_unit=_FINE, kept_by=ALL)
    MAX_REGIONS = "max_regions", Row("", "regions", holds_by_default=True, kept_by=ALL)
    """A fleet is in so many regions at most, and on one cloud unless several are allowed."""
    MAX_INSTANCE_TYPES = (
        "max_instance_types",
        Row(
            "too many instance types",
            "types",
            kept_by=Shortcut.LIKE_FOR_LIKE,
            rule=_at_most_kinds(lambda pool: pool.instance_type),
        ),
    )
    MAX_CHANGED_INSTANCES = (
        "max_changed_instances",
        Row("too many instances changed", "instances", kept_by=Shortcut.LIKE_FOR_LIKE),
    )
    CARBON = "max_kg_co2e_per_month", _cap("over the carbon cap", "kg CO2e/month", 1, Takes(_carbon, is_monthly=True))
    POWER = "max_kw", _cap("over the power cap", "kW", 3, Takes(_kw))
    OWNED = "owned", Row("", "instances", "commitments", is_negotiable=False, kept_by=ALL)
    """No more of an owned commitment is used than there is."""

    @property
    def set_by(self) -> str:
        """Key of the workload file that decides it."""
        return self.row.set_by or f"limits.{self.value}"

    @property
    def code(self) -> str:
        """Code of an option that breaks it alone."""
        return self.row.code or self.value

    @property
    def field(self) -> str:
        """Field of the limits that states it."""
        return self.set_by.removeprefix("limits.")

    @property
    def is_whole(self) -> bool:
        """Whether it is stated in whole numbers."""
        return self.row.steps_per_unit == 1

    def stated(self, limits: Limits) -> Any:  # noqa: ANN401 - a field of any type
        """The limit, as it is stated; None where it is the usual one, or no limit sets it."""
        if self not in _FIELDS:
            return None
        field, usual = _FIELDS[self]
        value = getattr(limits, field)
        return None if value == usual else value


CONSTRAINTS: Mapping[str, Constraint] = {constraint.value: constraint for constraint in Constraint}
"""All of them by name."""
_FIELDS: Mapping[Constraint, tuple[str, Any]] = {
    constraint: (constraint.field, getattr(Limits(), constraint.field))
    for constraint in Constraint
    if constraint.set_by.startswith("limits.")
}
"""Field of the limits that states each, with its usual value: asked for with every fleet that is tried."""
IN_PROPORTION: Mapping[Constraint, Takes] = {
    constraint: constraint.row.takes for constraint in Constraint if constraint.row.takes is not None
}
"""Caps in proportion to instances."""
RULED: Mapping[Constraint, Rule] = {
    constraint: constraint.row.rule for constraint in Constraint if constraint.row.rule is not None
}
"""Limits that are not in proportion to instances, and say themselves what a fleet has of them."""
_NOT_KEPT_BY: Mapping[Shortcut, tuple[Constraint, ...]] = {
    shortcut: tuple(constraint for constraint in Constraint if shortcut not in constraint.row.kept_by)
    for shortcut in Shortcut
}


def caps_in_proportion(limits: Limits) -> Mapping[Constraint, float]:
    """The stated caps in proportion to instances, with their numbers."""
    return _stated_of(IN_PROPORTION, limits)


def rules(limits: Limits) -> Mapping[Constraint, float]:
    """The stated limits that have a rule, with their numbers."""
    return _stated_of(RULED, limits)


def _stated_of(constraints: Iterable[Constraint], limits: Limits) -> Mapping[Constraint, float]:
    stated = {constraint: constraint.stated(limits) for constraint in constraints}
    return {constraint: limit for constraint, limit in stated.items() if limit is not None}


def is_kept_by(shortcut: Shortcut, limits: Limits) -> bool:
    """Whether a shortcut keeps all limits that are stated."""
    return all(constraint.stated(limits) is None for constraint in _NOT_KEPT_BY[shortcut])


def changed_instances(planned: Mapping[Kind, Sequence[int]], running: Mapping[Kind, int]) -> int:
    """Instances that a fleet starts and stops against what runs today at all hours.

    ``Σ_k max(most_k - now_k, 0) + max(Σ_k max(now_k - most_k, 0), max_h Σ_k max(now_k - planned_kh, 0))`` with the most
    of each kind over the hours, h being the hours in which anything runs beyond today's. There an instance of today's
    that does not run is replaced; in hours of today's instances alone, fewer of them follow the load. *planned*:
    instances of each kind in each hour class.
    """
    most = {kind: max(counts) for kind, counts in planned.items()}
    beyond = [
        {at for at, count in enumerate(counts) if count > running.get(kind, 0)} for kind, counts in planned.items()
    ]
    stopped = [sum(max(now - most.get(kind, 0), 0) for kind, now in running.items())]
    for at in set().union(*beyond):
        left = {kind: counts[at] for kind, counts in planned.items()}
        stopped.append(sum(max(now - left.get(kind, 0), 0) for kind, now in running.items()))
    return sum(max(count - running.get(kind, 0), 0) for kind, count in most.items()) + max(stopped)
