"""Findings of a refresh: frozen rows, and the parts that it could not read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, get_args

from advisor.catalog.values import Purchase, Quality
from advisor.records import asdict, dataclass

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
