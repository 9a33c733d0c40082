"""Rows of a refresh, the parts that it could not read, and guards: prices that no catalog takes unconfirmed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, get_args

from advisor.catalog.price_trust import LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR
from advisor.catalog.values import Offer, Purchase, Quality, family_of
from advisor.records import asdict, dataclass
from advisor.units import price_usd

SAME_MEMORY_RATIO = 0.12
"""Marketed and seen memory of one accelerator differ by so much at most."""


@dataclass(frozen=True, slots=True)
class Sold:
    """A type that is sold in a region, whatever it costs."""

    kind: ClassVar[str] = "sold"
    region: str
    instance_type: str
    offered: bool = True
    """The region offers it; False: a price list names it, as AWS's does long after the region ceased to."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """USD for one instance for one hour."""

    kind: ClassVar[str] = "price"
    region: str
    instance_type: str
    purchase: str
    """on_demand, spot or managed."""
    usd_per_hour: float
    as_of: str
    """ISO date: when the price became effective or, where that is not said, when it was read."""
    zones_usd_per_hour: tuple[float, float] | None = None
    """Spot: in the cheapest and in the dearest zone of the region; None where it is not asked by zone."""

    @property
    def lowest_usd_per_hour(self) -> float:
        """The price, or that of the cheapest zone."""
        return self.usd_per_hour if self.zones_usd_per_hour is None else self.zones_usd_per_hour[0]

    @property
    def highest_usd_per_hour(self) -> float:
        """The price, or that of the dearest zone."""
        return self.usd_per_hour if self.zones_usd_per_hour is None else self.zones_usd_per_hour[1]


@dataclass(frozen=True, slots=True)
class CommittedRow:
    """USD for one instance for each hour of a term."""

    kind: ClassVar[str] = "committed"
    region: str
    instance_type: str
    instrument: str
    """What it is bought as, in the words of ``committed_prices``."""
    term_years: int
    payment: str
    """no_upfront, partial_upfront or all_upfront."""
    usd_per_hour: float
    as_of: str


@dataclass(frozen=True, slots=True)
class ServerlessRow:
    """USD for one container with an accelerator for one hour in which it runs."""

    kind: ClassVar[str] = "serverless"
    region: str
    service: str
    accelerator: str
    """By the catalog's name."""
    usd_per_hour: float
    vcpus: float
    memory_gib: float
    as_of: str


@dataclass(frozen=True, slots=True)
class MachineRow:
    """Hardware of a type as its provider states it. None is unknown."""

    kind: ClassVar[str] = "machine"
    instance_type: str
    accelerator: str
    """As the provider spells it, such as ``NVIDIA L4``."""
    accelerator_count: float | None
    accelerator_memory_gib: float | None
    vcpus: int | None
    memory_gib: float | None
    network_gbit_per_second: float | None
    local_nvme_gb: float | None
    cpu_architecture: str


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A capacity block that can be bought."""

    kind: ClassVar[str] = "block"
    region: str
    instance_type: str
    zone: str
    starts: str
    duration_hours: int
    usd_per_hour: float
    """Of one instance."""
    as_of: str


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """A limit that holds for the account that asked."""

    kind: ClassVar[str] = "quota"
    region: str
    code: str
    limit: float
    as_of: str


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """A type that an availability zone sells."""

    kind: ClassVar[str] = "zone"
    region: str
    instance_type: str
    zone: str
    """As in ``zones.csv``; "" where the region sells the type without a choice of zone."""


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A release of an engine."""

    kind: ClassVar[str] = "release"
    engine: str
    """As ``engine_support.csv`` names it."""
    version: str
    """By PEP 440."""
    released: str
    """ISO date of its first upload."""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A release that is left out."""

    kind: ClassVar[str] = "skipped"
    engine: str
    version: str
    """As the index writes it."""
    reason: str


Row = (
    Sold
    | PriceRow
    | CommittedRow
    | ServerlessRow
    | MachineRow
    | BlockRow
    | QuotaRow
    | ZoneRow
    | ReleaseRow
    | SkippedRow
)
_KINDS: Mapping[str, Callable[..., Row]] = {row.kind: row for row in get_args(Row)}


def row_to_json(row: Row) -> dict[str, Any]:
    """A row as a JSON object."""
    return {"kind": row.kind} | asdict(row)


def row_from_json(document: Mapping[str, Any]) -> Row:
    """The row of a JSON object. Raises ValueError, KeyError, TypeError if it is none."""
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    kind = str(fields.pop("kind"))
    return _KINDS[kind](**fields)


@dataclass(frozen=True, slots=True)
class Task:
    """One part of a refresh: what is asked of one service in one region."""

    name: str
    """Such as ``us-east-1/prices``; unique within a provider."""
    region: str
    """"" where it is asked once for all regions."""
    part: str
    """prices, managed, serverless, sold, zones, machines, spot, savings_plans, capacity_blocks, quotas, or the releases
    of an engine."""
    read: Callable[[], Iterable[Row]]
    """Raises :class:`Denied` or :class:`Unreachable`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who answers where it is not the provider itself, and how well founded that is."""

    title: str
    quality: Quality


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """Everything that is asked of a provider."""

    provider: str
    tasks: tuple[Task, ...]
    tells_absence: bool = True
    """A type that is not in the answer is not sold; False where the answer does not price every type."""
    asker: str = ""
    """Account and address that are asked: what one of them answered is not kept for another."""
    origin: Origin | None = None
    """None: the provider itself, whose prices are listed."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A part that could not be read; what was known of it before stays."""

    region: str
    part: str
    reason: str
    remedy: str
    """Such as the IAM action that would allow it."""
    denied: bool
    """The account may not ask; other parts go on. Otherwise it failed, and may work when run again."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that one provider answered."""

    provider: str
    rows: tuple[Row, ...]
    complete: frozenset[tuple[str, str]]
    """(region, part) that were read to their end."""
    gaps: tuple[Gap, ...]
    tells_absence: bool = True
    """A type that is not in the answer is not sold; False where the answer does not price every type."""
    origin: Origin | None = None
    """None: the provider itself, whose prices are listed."""

    @property
    def failed(self) -> tuple[Gap, ...]:
        """Gaps that another run may close."""
        return tuple(gap for gap in self.gaps if not gap.denied)

    def prices(self, purchase: Purchase) -> Mapping[tuple[str, str], PriceRow]:
        """Price rows by (region, instance type); of several the newest, and of equally new ones the dearest."""
        rows = (row for row in self.rows if isinstance(row, PriceRow) and row.purchase == purchase.value)
        ordered = sorted(rows, key=lambda row: (row.as_of, row.usd_per_hour))
        return {(row.region, row.instance_type): row for row in ordered}

    def covers(self, region: str, part: str) -> bool:
        """A part of a region was read to its end."""
        return (region, part) in self.complete or ("", part) in self.complete


class Denied(Exception):  # noqa: N818 - a part that goes missing is an outcome
    """The account may not ask for this."""

    def __init__(self, reason: str, remedy: str) -> None:
        """Keep both parts."""
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Unreachable(Denied):
    """No answer, or none that can be used, after every retry."""


MOST_MOVED_RATIO = 0.30
"""A price that moves by more is confirmed by a person. The largest cut of a list price in the facts is 44 percent."""
MOST_SPOT_MOVED_RATIO = 5.0
"""Spot moves freely: only a jump to more than six times is held back."""
MOST_LOST_RATIO = 0.10
"""Largest share of a provider's prices that a list may lose: one that has lost more is taken to be cut off."""
MOST_USUAL_FACTOR = 30.0
"""Between a price and the median of its accelerators on demand, either way: 20 is the most in the facts."""
_SPOT_TOLERANCE = 1e-6
_LEAST_SPOT_RATIO = 0.05
"""Least spot price in on-demand prices: 0.09 is the least in the facts; simulated clouds say 0.00001 for everything."""

Place = tuple[str, str]
"""Region and instance type."""


class Guard(StrEnum):
    """Why a row is held back."""

    NO_PRICE = "no_price"
    """Zero or less: nothing is free."""
    MOVED = "moved"
    SPOT_ABOVE_ON_DEMAND = "spot_above_on_demand"
    SPOT_TOO_LOW = "spot_too_low"
    """Less than a twentieth of on demand."""
    COMMITMENT_ABOVE_ON_DEMAND = "commitment_above_on_demand"
    FAMILY_GONE = "family_gone"
    FAR_FROM_OTHERS = "far_from_others"
    """Many times what the same accelerators usually cost, or a small part of it; or beyond what any machine costs."""
    COVERAGE_DROPPED = "coverage_dropped"
    """A tenth fewer offers with a price, where the whole provider was read."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One row that is held back, with the two numbers that were compared."""

    guard: Guard
    provider: str
    region: str
    what: str
    """Instance type and purchase, or the family."""
    now: float | None
    before: float | None

    @property
    def key(self) -> str:
        """Key of the confirmation: the guard and the family."""
        if self.guard is Guard.COVERAGE_DROPPED:
            return self.guard.value
        return f"{self.guard.value}:{family_of(self.provider, self.what.partition(' ')[0])}"

    def __str__(self) -> str:
        """One line for people."""
        what = self.what.replace(" on_demand", " on demand")
        where = f"{what} in {self.region}" if self.region else what
        now, before = self.now or 0.0, self.before or 0.0
        match self.guard:
            case Guard.NO_PRICE:
                said = f"a price of {now:g}"
            case Guard.MOVED:
                said = f"{price_usd(before)} → {price_usd(now)} an hour ({now / before - 1 if before else 0:+.0%})"
            case Guard.FAR_FROM_OTHERS:
                usual = f"its accelerators usually cost {price_usd(before)}" if before else "no machine costs that"
                said = f"{price_usd(now)} an hour, and {usual}"
            case Guard.FAMILY_GONE:
                said = f"sold in {before:g} region{'' if before == 1 else 's'} before, in none now"
            case Guard.COVERAGE_DROPPED:
                said = f"{now:,.0f} now, {before:,.0f} before"
            case _:
                said = _BESIDE_ON_DEMAND[self.guard].format(now=price_usd(now), before=price_usd(before))
        return f"{where}: {said}"


_BESIDE_ON_DEMAND: Mapping[Guard, str] = {
    Guard.SPOT_ABOVE_ON_DEMAND: "spot {now} above on demand {before}",
    Guard.SPOT_TOO_LOW: "spot {now} below a twentieth of on demand {before}",
    Guard.COMMITMENT_ABOVE_ON_DEMAND: "{now} an hour above on demand {before}",
}


def violations(
    answer: Found,
    before: Mapping[Place, Offer],
    confirmed: Collection[str] = (),
    most_moved: float = MOST_MOVED_RATIO,
    usual_usd_per_hour: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Violation, ...]:
    """Rows of an answer that must not be published, by guard and place.

    *before*: the provider's offers as they are known now. *confirmed*: keys that a person accepts: ``moved:g6``, or
    ``moved`` for every family. *most_moved*: largest move of an on-demand price that needs nobody, as a share of it.
    *usual_usd_per_hour*: what the accelerators of a type cost on demand elsewhere, by type.
    """
    every = {
        *_not_positive(answer), *_moved(answer, before, most_moved), *_above(answer), *_too_low(answer, before),
        *_families_gone(answer, before), *_coverage_dropped(answer, before), *_far(answer, usual_usd_per_hour),
    }  # fmt: skip
    confirmed_keys = set(confirmed)
    # A price of zero is never true, whoever confirms it.
    held = [
        violation
        for violation in every
        if violation.guard is Guard.NO_PRICE or confirmed_keys.isdisjoint({violation.key, violation.guard.value})
    ]
    return tuple(sorted(held, key=lambda violation: (violation.guard.value, violation.what, violation.region)))


def _not_positive(answer: Found) -> Iterator[Violation]:
    for row in answer.rows:
        if isinstance(row, PriceRow) and not row.lowest_usd_per_hour > 0:
            what = f"{row.instance_type} {row.purchase}"
            yield Violation(Guard.NO_PRICE, answer.provider, row.region, what, row.lowest_usd_per_hour, None)
        if isinstance(row, ServerlessRow) and not row.usd_per_hour > 0:
            what = f"{row.service} {row.accelerator}"
            yield Violation(Guard.NO_PRICE, answer.provider, row.region, what, row.usd_per_hour, None)
        if isinstance(row, CommittedRow) and not row.usd_per_hour > 0:
            yield Violation(Guard.NO_PRICE, answer.provider, row.region, _commitment_words(row), row.usd_per_hour, None)


def _moved(answer: Found, before: Mapping[Place, Offer], most_moved: float) -> Iterator[Violation]:
    bounds = {Purchase.ON_DEMAND: most_moved, Purchase.SPOT: MOST_SPOT_MOVED_RATIO, Purchase.MANAGED: most_moved}
    for purchase, bound in bounds.items():
        for place, row in answer.prices(purchase).items():
            offer = before.get(place)
            old = None if offer is None else offer.price(purchase)
            if old is not None and row.usd_per_hour > 0 and not _within(row.usd_per_hour, old.usd_per_hour, bound):
                what = f"{row.instance_type} {row.purchase}"
                yield Violation(Guard.MOVED, answer.provider, row.region, what, row.usd_per_hour, old.usd_per_hour)


def _far(answer: Found, usual_usd_per_hour: Mapping[str, float]) -> Iterator[Violation]:
    """Prices beyond those of any machine, or far from what the accelerators of the type usually cost."""
    for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
        for row in answer.prices(purchase).values():
            usual, now = usual_usd_per_hour.get(row.instance_type), row.usd_per_hour
            is_possible = LEAST_USD_PER_HOUR <= now <= MOST_USD_PER_HOUR
            if now > 0 and not (is_possible and (usual is None or _within(now, usual, MOST_USUAL_FACTOR - 1))):
                what = f"{row.instance_type} {row.purchase}"
                yield Violation(Guard.FAR_FROM_OTHERS, answer.provider, row.region, what, now, usual)


def _within(now: float, before: float, bound: float) -> bool:
    """A move of more than *bound* upwards, or of as much the other way round, is too much."""
    return before / (1 + bound) <= now <= before * (1 + bound)


def _above(answer: Found) -> Iterator[Violation]:
    """Spot, in its dearest zone, and commitments that cost more than paying by the hour."""
    by_the_hour = answer.prices(Purchase.ON_DEMAND)
    dearer: list[PriceRow | CommittedRow] = [*answer.prices(Purchase.SPOT).values()]
    dearer += (row for row in answer.rows if isinstance(row, CommittedRow))
    for row in dearer:
        listed = by_the_hour.get((row.region, row.instance_type))
        if isinstance(row, PriceRow):
            guard, what, usd_per_hour = Guard.SPOT_ABOVE_ON_DEMAND, row.instance_type, row.highest_usd_per_hour
        else:
            guard, what, usd_per_hour = Guard.COMMITMENT_ABOVE_ON_DEMAND, _commitment_words(row), row.usd_per_hour
        if listed is not None and 0 < listed.usd_per_hour * (1 + _SPOT_TOLERANCE) < usd_per_hour:
            yield Violation(guard, answer.provider, row.region, what, usd_per_hour, listed.usd_per_hour)


def _too_low(answer: Found, before: Mapping[Place, Offer]) -> Iterator[Violation]:
    """Spot prices, in their cheapest zone, that cannot be, whether one was known before or not."""
    by_the_hour = answer.prices(Purchase.ON_DEMAND)
    for place, row in answer.prices(Purchase.SPOT).items():
        offer, low = before.get(place), row.lowest_usd_per_hour
        listed = by_the_hour.get(place) or (offer.on_demand if offer else None)
        if listed is not None and 0 < low < listed.usd_per_hour * _LEAST_SPOT_RATIO:
            yield Violation(
                Guard.SPOT_TOO_LOW, answer.provider, row.region, row.instance_type, low, listed.usd_per_hour
            )


def _commitment_words(row: CommittedRow) -> str:
    years = f"{row.term_years} year{'' if row.term_years == 1 else 's'}"
    return f"{row.instance_type} {row.instrument}, {years}, {row.payment.replace('_', ' ')}"


def _families_gone(answer: Found, before: Mapping[Place, Offer]) -> Iterator[Violation]:
    """Families that were priced in the regions that were read to their end, and are sold in none of them any more."""
    if not answer.tells_absence:
        return
    read = {region for region, part in answer.complete if part == "prices"}
    everywhere = "" in read
    here = {
        family_of(answer.provider, row.instance_type)
        for row in answer.rows
        if hasattr(row, "instance_type") and not (isinstance(row, PriceRow) and row.purchase == Purchase.MANAGED)
    }
    regions: dict[str, set[str]] = {}
    elsewhere = set()
    for (region, name), offer in before.items():
        family = family_of(answer.provider, name)
        if not everywhere and region not in read:
            elsewhere.add(family)
        elif offer.on_demand is not None:
            regions.setdefault(family, set()).add(region)
    for family, places in regions.items():
        if family not in here and family not in elsewhere:
            yield Violation(Guard.FAMILY_GONE, answer.provider, "", family, None, float(len(places)))


def _coverage_dropped(answer: Found, before: Mapping[Place, Offer]) -> Iterator[Violation]:
    """Fewer prices in all, where every region was read to its end."""
    if not answer.tells_absence or ("", "prices") not in answer.complete:
        return
    for purchase, words in ((Purchase.ON_DEMAND, "on demand"), (Purchase.SPOT, "spot")):
        priced = sum(offer.price(purchase) is not None for offer in before.values())
        now = len(answer.prices(purchase))
        if now < priced * (1 - MOST_LOST_RATIO):
            what = f"offers with a price {words}"
            yield Violation(Guard.COVERAGE_DROPPED, answer.provider, "", what, float(now), float(priced))
