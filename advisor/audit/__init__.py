"""A bill, telemetry and request logs → what each dollar was spent on, and findings with a price.

Read in this order: ``files.py`` (which files), ``formats.py`` (columns of each format in one shape), ``ledger.py`` (the
bill in that shape, aggregated on disk), ``normalising.py`` (kinds of meters, one currency, no charge twice),
``split.py`` (how much of compute was needed), ``traffic.py`` (request logs), ``endpoints.py``, ``findings`` and
``run.py``, which joins them and shows the bill by tag. Money is decimal throughout, never a float.

Here are the results of an audit, its amounts in words, and rules of findings, in the currency of the bill.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from pathlib import Path

from advisor.records import dataclass, field
from advisor.tables import OptionalText, read_records

SCHEMA = "advisor.audit/v1"
SHOWN_RESOURCES = 100
"""Resources of a finding that a document holds at most, the dearest."""
UNTAGGED = "(untagged)"
UNKNOWN = "(unknown)"
KINDS = ("compute", "storage", "network", "managed", "other")
HOST_PARTS = ("needed", "headroom", "idle", "unattributed")
"""Parts of the cost of a machine with telemetry."""
PARTS = ("needed", "headroom", "idle", "unused_commitment", "unattributed")
ZERO = Decimal(0)
RESOURCE = "coalesce(resource, service || ', ' || coalesce(region, 'no region'))"
"""SQL: name of what a charge is for."""


class Basis(StrEnum):
    """Which cost of a bill is split."""

    EFFECTIVE = "effective"
    """Prepaid commitments spread over the use that they cover."""
    BILLED = "billed"
    """As invoiced."""


class Effort(StrEnum):
    """Work that acting on a finding takes."""

    LOW = "low"
    """Hours: a setting or a deletion."""
    MEDIUM = "medium"
    """Days: a deployment changes."""
    HIGH = "high"
    """Weeks: an architecture or a contract changes."""


class Phase(StrEnum):
    """Part of a programme of savings."""

    ASSESS = "assess"
    """Week 1: measure, tag, instrument."""
    QUICK = "quick"
    """Weeks 2 and 3."""
    STRATEGIC = "strategic"
    """Week 4: what binds for months, or changes an architecture."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Totals of a bill and its period."""

    billed_cost: Decimal | None
    """None: no file states it."""
    effective_cost: Decimal | None
    """None: no file states it."""
    currency: str | None
    """None: the bill has no charges."""
    start: datetime | None
    """UTC, of the first charge."""
    end: datetime | None
    """UTC, of the last charge."""
    rows: int
    basis: Basis
    """The cost that the rest of the audit splits."""

    @property
    def cost(self) -> Decimal:
        """Total that kinds, split and tags sum up to."""
        return (self.effective_cost if self.basis is Basis.EFFECTIVE else self.billed_cost) or ZERO

    @property
    def hours(self) -> float:
        """Length of the period."""
        return (self.end - self.start).total_seconds() / 3600 if self.start and self.end else 0.0


Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Measured use of one accelerated host over the part of the bill's period that was sampled."""

    host: str
    mean: float
    """Share of the time in which its accelerators worked, 0..1."""
    p95: float
    """The same in the busiest twentieth of the time."""
    observed_ratio: float
    """Share of the sampled window that is known."""
    seconds: tuple[float, float]
    """Begin and end of the sampled window, since 1970, UTC."""
    accelerators: int
    verdicts: tuple[str, ...]
    """Verdict on each accelerator: ``idle``, ``busy_not_saturated``, ``within_limits``, …"""
    kv_max: float | None
    """Most of the KV cache that was in use, as a share of it; None: no engine says."""


@dataclass(frozen=True, slots=True)
class HostCost:
    """One billed resource that telemetry was found for, with the parts of its cost."""

    resource: str
    instance_type: str
    provider: str
    region: str
    cost: Decimal
    parts: Amounts
    """Cost by part; their sum is the cost."""
    use: Utilisation
    observed_billed_ratio: float
    """Share of its billed time and of its accelerators that was observed, 0..1."""


@dataclass(frozen=True, slots=True)
class ComputeSplit:
    """Cost of compute by what it was for; the parts sum up to it."""

    parts: Amounts
    hosts: Sequence[HostCost]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class TagTable:
    """Showback by one tag: the values, the dearest first, and what has no such tag."""

    key: str
    values: Amounts
    untagged: Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests of a log that share an endpoint, a team or an environment. None: the log does not say."""

    name: str
    requests: int
    input_tokens: int | None
    output_tokens: int | None
    errors: int | None
    cache_hits: int | None
    error_weight: float | None
    """Share of the tokens, outputs weighted, that failed requests took."""
    weight: float
    """Tokens, outputs weighted; requests where tokens are unknown."""
    peak_ratio: float | None
    """Requests of the busiest hour over those of the mean hour."""
    repeated_ratio: float | None
    """Share of the requests whose prompt was seen before."""
    logged_cost: Decimal | None
    """Sum of what the log states as spend."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: what it costs, what it serves."""

    name: str
    cost: Decimal | None
    """Over the bill's period; None: no charge carries its name."""
    cost_source: str
    """``bill`` or ``log``; empty where the cost is unknown."""
    usage: Usage | None
    cost_per_request: Decimal | None
    cost_per_million_tokens: Decimal | None
    cost_per_million_input_tokens: Decimal | None
    cost_per_million_output_tokens: Decimal | None
    error_cost: Decimal | None
    """Share of the cost of the log's time that failed requests took."""
    billed_seconds: tuple[float, float] | None
    """Begin and end of its charges, since 1970, UTC; None: unknown."""
    avoidable_cost: Decimal = ZERO
    """Part of the bill's cost that would end with it: neither sold by the token nor under a commitment."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that costs more than it has to; amounts a month of 730 hours, in the currency of the bill.

    They are None where the bill's period is unknown.
    """

    id: str
    title: str
    per_month: Decimal | None
    """Saving of acting on it, or where ``basis`` is ``spend``, what it is about."""
    low: Decimal | None
    high: Decimal | None
    basis: str
    """``saving`` or ``spend``."""
    effort: Effort
    evidence: str
    risk: str
    command: str
    """Command that acts on it and can be taken back; the one that looks where none does."""
    look: str
    """Command that shows first what it is about, and changes nothing."""
    why_no_action: str
    """Reason why the command only looks; "": it acts."""
    resources: Sequence[tuple[str, Decimal]]
    """Resources it was found at, with the cost over the period, the dearest first."""
    machines: Sequence[str] = ()
    """Types of machines that acting on it ties to."""
    named: Amounts = field(default_factory=dict)
    """Cost over the period of what its resources are billed under a name: a value of a tag shown, or an endpoint."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic recorded in request logs."""

    endpoints: Sequence[Usage]
    teams: Sequence[Usage]
    environments: Sequence[Usage]
    seconds: tuple[float, float] | None
    """Whole days that have lines, cut to the bill's period, since 1970, UTC; None: the log has no times."""
    output_weight: float
    """Input tokens that one output token counts for."""
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Audit:
    """All that is said about a bill."""

    bill: Bill
    kinds: Amounts
    by: Mapping[str, Amounts]
    """Cost by ``provider``, ``region``, ``family`` (of compute) and ``purchase``."""
    split: ComputeSplit
    tags: Sequence[TagTable]
    endpoints: Sequence[Endpoint]
    traffic: Traffic | None
    chargeback: Mapping[str, Amounts]
    """Cost of the endpoints by ``team`` and ``environment`` of their requests, where logs say it."""
    findings: Sequence[Finding]
    notes: Sequence[str]
    is_in_usd: bool


def missing_days(days: Sequence[date]) -> list[date]:
    """Days between the first and the last of some that are none of them: their cost is unknown, not nothing."""
    there = set(days)
    between = range((days[-1] - days[0]).days) if days else ()
    return [day for number in between if (day := days[0] + timedelta(days=number)) not in there]


def day_range(days: Sequence[date]) -> str:
    """First and last of some days, in words."""
    return f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])


_CENT = Decimal("0.01")


def in_cents(parts: Mapping[str, Decimal], total: Decimal | None = None) -> dict[str, Decimal]:
    """Parts rounded to cents so that they sum up to a total: those cut most get the cents that are left.

    *total*: their sum as it is shown elsewhere, a cent apart at most; None: their rounded sum.
    """
    down = {name: part.quantize(_CENT, ROUND_FLOOR) for name, part in parts.items()}
    shown = sum(parts.values(), ZERO).quantize(_CENT, ROUND_HALF_UP) if total is None else total
    left = int((shown - sum(down.values(), ZERO)) / _CENT)
    for name in sorted(parts, key=lambda part: (down[part] - parts[part], part))[:left]:
        down[name] += _CENT
    return down


def money(amount: Decimal | None, currency: str | None) -> str:
    """``$1,234.50`` or ``EUR 1,234.50``; small amounts with the digits that they have; a dash where it is unknown."""
    if amount is None:
        return "-"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    digits = f"{size.quantize(_CENT, ROUND_HALF_UP):,.2f}" if size >= _CENT or not size else f"{size:.2g}"
    digits = f"{size:.8f}".rstrip("0") if "e" in digits else digits
    return f"{sign}${digits}" if currency in ("USD", None) else f"{sign}{currency} {digits}"


def monthly(amount: Decimal | None, currency: str | None) -> str:
    """``$1,234.50 a month``, or that it is unknown."""
    return "unknown amount a month" if amount is None else f"{money(amount, currency)} a month"


def between(low: Decimal | None, high: Decimal | None, currency: str | None) -> str:
    """``$1.00 to $2.00``; empty where there are no two bounds."""
    return "" if low == high else f"{money(low, currency)} to {money(high, currency)}"


def epoch_seconds(moment: datetime) -> float:
    """Seconds since 1970 of a moment in UTC."""
    return moment.replace(tzinfo=UTC).timestamp()


def percent(part: Decimal, total: Decimal, digits: int = 1) -> str:
    """``12.5%``, without the sign of a zero; a dash where there is no total."""
    return f"{round(100 * part / total, digits) + ZERO:.{digits}f}%" if total else "-"


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


RULES = tuple(record.value(Rule) for record in read_records(Path(__file__).with_name("findings") / "rules.csv"))
(
    IDLE, OVERSIZED, MEMORY, NOT_SATURATED, BANDWIDTH, SPOT, COMMIT, UNUSED, EXPIRING, RESERVATION, CROSS_ZONE, NAT,
    LOGS, KEPT, UNUSED_NETWORK, NO_REQUESTS, UNTAGGED_SPEND, UNWATCHED, FAILURES, REPEATED,
) = RULES  # fmt: skip
