"""Levers: what else would cost less. Each is a changed question to the planner, priced alone and with all others.

Here is what is answered, with measured response caches. Read on in ``changes.py`` (how a lever changes the question)
and ``pricing.py`` (the plans).
"""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from advisor.catalog.planning_tables import LeverFact
from advisor.demand.cache_replay import SCHEMA as CACHE_SCHEMA
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.plan.request import PlanRequest
from advisor.plan.token_apis import TokenApi
from advisor.plan.values import CurrentCost, PriceEnds, Rung
from advisor.reading import OMITTED_AT_DEFAULT, read_json
from advisor.records import dataclass, field
from advisor.units import DAYS_PER_YEAR, SECONDS_PER_DAY

NEARLY_ALL = 0.95
"""Share of the hits of an unlimited cache from which a size is large enough."""
_MOST_GIB = 1e9
_MOST_REQUESTS = 1e15
_MOST_SECONDS = float(DAYS_PER_YEAR * SECONDS_PER_DAY)
_HINT = "make it with `advisor demand cache requests.jsonl --format json -o cache.json`"


@dataclass(frozen=True, slots=True)
class MeasuredSemantic:
    """Semantic cache without a limit of size, and what it would have answered of the user's own log."""

    threshold: float
    hit_ratio: float
    false_hit_ratio: float | None
    """Share of the hits that answer another question; None: not known."""
    memory_gib: float | None
    """None: no answer has a size."""


@dataclass(frozen=True, slots=True)
class MeasuredCache:
    """Size of an exact cache, and what it would have answered of the user's own log."""

    hit_ratio: float
    memory_gib: float
    requests: int
    """Requests of the log."""
    ttl_seconds: float | None = None
    """For how long an answer counted; None: for ever."""
    embedder: str | None = None
    """Model whose vectors are the answers; None: they are those of the log."""
    prefix_hit_ratio: float | None = None
    """Share of the prompts' tokens that one pool without a limit would hold; None: the log has no prompts."""
    semantic: tuple[MeasuredSemantic, ...] = ()
    """By threshold, the lowest first."""


def read_measured_cache(path: Path) -> MeasuredCache:
    """The smallest size that hits nearly as much as an unlimited cache, of a document of `advisor demand cache`.

    Raises InputError if it is no such document, or no answer of the log had a size.
    """
    document = read_json(path, "replay of caches", _HINT)
    try:
        return _measured(document, str(path))
    except (KeyError, TypeError, IndexError) as error:
        raise InputError("it is not a replay of caches", where=str(path), hint=_HINT) from error


def _measured(document: Mapping[str, Any], where: str) -> MeasuredCache:
    if document["schema"] != CACHE_SCHEMA:
        raise InputError(
            f"the schema is {str(document['schema'])[:40]!r}, and this version reads {CACHE_SCHEMA}",
            where=where,
            hint=_HINT,
        )
    points = document["exact"]["points"]
    ratios = [_number(point, "hit_ratio", 1.0, f"{where}: exact") for point in points]
    index = next(index for index, ratio in enumerate(ratios) if ratio >= NEARLY_ALL * ratios[-1])
    if points[index]["memory_gib"] is None:
        raise InputError(
            "no request of the log says how large its answer is",
            where=where,
            hint="add response or output_tokens to the lines, or say whose vectors they are (--embedder)",
        )
    memory_gib = _number(points[index], "memory_gib", _MOST_GIB, f"{where}: exact")
    prefix, ttl_s = document.get("prefix"), document.get("ttl_s")
    return MeasuredCache(
        hit_ratio=ratios[index],
        memory_gib=memory_gib,
        requests=int(_number(document, "requests", _MOST_REQUESTS, where)),
        ttl_seconds=None if ttl_s is None else _number(document, "ttl_s", _MOST_SECONDS, where),
        embedder=document.get("embedder"),
        prefix_hit_ratio=_number(prefix["points"][-1], "hit_ratio", 1.0, f"{where}: prefix") if prefix else None,
        semantic=tuple(_semantic(point, f"{where}: semantic") for point in document.get("semantic", ())),
    )


def _semantic(point: Mapping[str, Any], where: str) -> MeasuredSemantic:
    def number(name: str, most: float) -> float | None:
        return None if point.get(name) is None else _number(point, name, most, where)

    return MeasuredSemantic(
        threshold=_number(point, "threshold", 1.0, where),
        hit_ratio=_number(point, "hit_ratio", 1.0, where),
        false_hit_ratio=number("false_hit_ratio", 1.0),
        memory_gib=number("memory_gib", _MOST_GIB),
    )


def _number(fields: Mapping[str, Any], name: str, most: float, where: str) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InputError(f"{name} is not a number from 0 to {most:,.0f}", where=where, hint=_HINT)
    return float(value)


SCHEMA = "advisor.levers/v1"


@dataclass(frozen=True, slots=True)
class LeverSettings:
    """Figures of the user's own."""

    quality_floor: float | None = None
    """Least share of the benchmark scores that weights have to keep, on average; None: nothing below the stated."""
    prompt_shorter: float | None = None
    """Share by which every prompt becomes shorter."""
    hourly_rate_usd: float | None = None
    """Cost of an hour of work; None: effort is told in hours alone."""
    max_payback_months: float | None = None
    """Levers that pay back later are left out."""
    cache: MeasuredCache | None = None
    """Replay of the user's own log."""
    most_false_hits: float | None = None
    """Largest share of a semantic cache's hits that may answer another question."""
    effort_hours: Mapping[str, float] = field(default_factory=dict)
    """Hours of work by lever, in place of the catalog's estimates."""


class ReasonCode(StrEnum):
    """Kind of reason why a lever has no price."""

    FIGURE_MISSING = "figure_missing"
    """A figure or fact of the user's own, measured, stated or decided."""
    NOTHING_TO_CHANGE = "nothing_to_change"
    """The allowed scope has it already, or holds nothing else."""
    NOT_OF_MODEL = "not_of_model"
    """Models of this kind have no such thing."""
    NOT_IN_CATALOG = "not_in_catalog"
    """No price, score or machine that it takes is known."""
    NOT_CACHEABLE = "not_cacheable"
    """Whoever would hold the answers does not hold those of such requests."""
    NOT_PLANNED = "not_planned"
    """The planner has no calibrated figure for it."""
    BESIDE_THE_FLEET = "beside_the_fleet"
    """It takes the place of a fleet, and is compared with it instead."""
    INFEASIBLE = "infeasible"
    """No fleet keeps the SLO with it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Reason why a lever has no price."""

    code: ReasonCode
    why: str


@dataclass(frozen=True, slots=True)
class QualityKept:
    """Share of the benchmark scores of the published weights of today's model that are kept."""

    mean_ratio: float
    low_ratio: float
    """Of the benchmark that loses most."""
    high_ratio: float
    source: str
    """Origin of the scores; "" for published weights."""

    def times(self, other: "QualityKept") -> "QualityKept":
        """Both losses, one after the other."""
        return QualityKept(
            self.mean_ratio * other.mean_ratio,
            self.low_ratio * other.low_ratio,
            self.high_ratio * other.high_ratio,
            "; ".join(dict.fromkeys(filter(None, (self.source, other.source)))),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Change of a question by one lever."""

    told: str
    """Difference in words."""
    to: Callable[[PlanRequest], PlanRequest]
    widens: bool = False
    """Whether it allows more and alters nothing."""
    beyond_stated: bool = False
    basis: str = ""
    line: str = ""
    """Lines of the workload file that state it, by ``; ``; "": none does."""
    scoped_line: Callable[[Collection[str]], str] | None = None
    """The lines where they depend on the regions that fleets with it are in."""
    held_line: str = ""
    """Lines that keep a question to what it is without it, by ``; ``; "": the workload file does so."""
    quality: QualityKept | None = None
    """Share of the scores that it leaves, whatever the plan."""
    wrong_answer_ratio: float = 0.0
    """Share of the requests that get the answer to another."""

    def line_for(self, regions: Collection[str]) -> str:
        """Lines of the workload file that state it for fleets in these regions, by ``; ``; "": none does."""
        return self.line if self.scoped_line is None else self.scoped_line(regions)


@dataclass(frozen=True, slots=True)
class Latency:
    """95th percentiles in the replay of a fleet, in milliseconds; None: there is none."""

    ttft_p95_ms: float | None
    tpot_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Work:
    """Effort of a change, once, and when it is paid back."""

    effort_hours: float
    one_off_usd: float | None
    """None: no hourly rate is given."""
    payback_months: float | None
    """None: no hourly rate is given, or nothing is saved."""


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """Plan under a set of levers, against the plan without any."""

    plan: Rung
    saving_usd_per_month: float
    """Cost of the plan without any lever minus this one's; negative where it costs more."""
    latency: Latency
    quality: QualityKept | None
    """None: not known."""
    price_range: PriceEnds | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """None: no price is in doubt."""


@dataclass(frozen=True, slots=True)
class PricedLever:
    """Lever pulled alone."""

    lever: str
    title: str
    change: str
    """Difference to the question without any lever, in words."""
    basis: str
    """Where its own figure is from; "" where the planner needs none."""
    beyond_stated: bool
    """Whether the workload file does not allow it yet."""
    priced: PricedPlan
    risk: str
    lock_in: str
    facts: tuple[LeverFact, ...]
    work: Work
    """Paid back by what it is worth in the combination; where that does not use it, by what it saves alone."""
    used: bool = False
    """Whether the fleet of the combination makes use of it."""
    worth_usd_per_month: float | None = None
    """Cost of the combination without it minus that of the combination; None: not used, or no fleet without it."""
    dropped: str = ""
    """Why it is not a part of the combination; "" where it is."""
    wrong_answer_ratio: float = 0.0
    """Share of the requests that get the answer to another: no benchmark score shows it."""
    line: str = ""
    """Lines of the workload file that state it, by ``; ``; "": none does."""
    held_line: str = ""
    """Lines that keep a plan to what it is without it, by ``; ``; "": the workload file does so."""


@dataclass(frozen=True, slots=True)
class UnpricedLever:
    """Lever that is shown without a price."""

    lever: str
    title: str
    why: str
    facts: tuple[LeverFact, ...]
    code: ReasonCode | None = None
    """Kind of the reason; None in documents that state none."""


@dataclass(frozen=True, slots=True)
class LeverReport:
    """Every lever of a workload, alone and together."""

    workload: str
    model: str
    current: CurrentCost | None
    """Deployment of today; None where nothing is said to run."""
    without: Rung
    """Plan without any lever."""
    without_latency: Latency
    needed: tuple[str, ...]
    """Levers without which no fleet keeps the SLO: the plan without any has them."""
    levers: tuple[PricedLever, ...]
    """Those that the combination uses first, the one that is worth most before the others."""
    together: PricedPlan
    """Plan with every lever that is not dropped."""
    work: Work
    """Of the levers that it uses."""
    unpriced: tuple[UnpricedLever, ...]
    services: tuple[TokenApi, ...]
    """Services that sell the same tokens, in place of any fleet; none has a latency target."""
    path: str = ""
    """File of the workload as it was named; "": not known."""
    unit: Unit = Unit.TOKENS
    """Unit of the requests: what is answered in one pass has one latency, and no tokens to spare."""
    options: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Options of `advisor levers` beside the hourly rate and the longest payback, as they were given."""
    carried_requests_per_second: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Mean requests per second at which the busiest minute is all that the combination's fleet carries."""

    @property
    def paid_usd_per_month(self) -> float | None:
        """Cost of today's deployment; of the plan without any lever where nothing runs."""
        return self.without.total_usd_per_month if self.current is None else self.current.total_usd_per_month

    def saved_of_what_is_paid(self, lever: PricedLever) -> float | None:
        """Saving of a lever by itself, USD a month: paid - max(plan with it alone, plan with all); None: no cost.

        It is never more than what the combination saves of the bill, and negative where the plan costs more than today.
        """
        paid, plans = self.paid_usd_per_month, (lever.priced.plan, self.together.plan)
        totals = [plan.total_usd_per_month for plan in plans if plan.total_usd_per_month is not None]
        return None if paid is None or len(totals) < len(plans) else paid - max(totals)
