"""The fleet of a plan in tables."""

from collections.abc import Iterator
from string import ascii_uppercase

from advisor.demand.forecast import DAYS
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.report.text_table import Column, Section
from advisor.report.words import count_words, hardware_words, paid_words, whole_percent
from advisor.units import HOURS_PER_DAY, counted, rounded

_GROUP_COLUMNS = (
    Column(""),
    Column("provider", importance=4),
    Column("region", importance=1),
    Column("instance type"),
    Column("accelerator", importance=3),
    Column("purchase"),
    Column("precision"),
    Column("TP", importance=8),
    Column("engine", importance=7),
    Column("replicas each", importance=9),
    Column("zones", importance=11),
    Column("instances"),
    Column("requests", importance=5),
    Column("planned req/s", importance=2),
    Column("USD/hour each", importance=6),
    Column("USD/month"),
)
_MACHINE = "one instance of "
_HOUR_HEADERS = ("hours a week", "requests/s on average", "busiest minute planned")
_BATCH_HEADERS = ("hours a week", "items/s on average", "items/s planned")


def letters(fleet: Fleet) -> list[str]:
    """Names of the groups in tables and sentences: A, B, … and after Z: AA, BB and so on."""
    turns = len(ascii_uppercase)
    return [ascii_uppercase[at % turns] * (at // turns + 1) for at in range(len(fleet.groups))]


def group_section(fleet: Fleet) -> Section:
    """The groups: where, what, how many, at which price."""
    return Section("fleet", headers=_GROUP_COLUMNS, rows=tuple(_group_rows(fleet)))


def detail_sections(fleet: Fleet) -> list[Section]:
    """Instances by hours, prompts by length, and what failures leave; each where there is something to say."""
    tables = [
        Section(
            "instances by hours of the week (which hours: --format json)",
            headers=(*(_BATCH_HEADERS if fleet.is_batch_alone else _HOUR_HEADERS), *letters(fleet)),
            rows=tuple(_hour_rows(fleet)),
        ),
        Section(
            "routing of prompts in the busiest hours",
            headers=("prompts up to", *letters(fleet)),
            rows=tuple(_bucket_rows(fleet)),
        ),
        Section(
            "what a failure leaves of the planned rate, in the hours that it hits hardest"
            + (", of prompts of all lengths alike" if fleet.bucket_max_input_tokens else ""),
            headers=("failure", "left", "when"),
            rows=tuple(
                (
                    part_words(fleet, failure.of),
                    whole_percent(failure.left_ratio),
                    hour_words(fleet, failure.hour_class),
                )
                for failure in fleet.failures
            ),
        ),
    ]
    return [table for table in tables if table.rows]


def names_of(fleet: Fleet) -> dict[str, str]:
    """``g6e.xlarge spot`` for the name of each group."""
    return {group.name: f"{group.instance_type} {paid_words(group)}" for group in fleet.groups}


def part_words(fleet: Fleet, part: str) -> str:
    """A part that fails, an instance by its type: with its region where groups are in several."""
    pool = part.removeprefix(_MACHINE)
    own = next((group for group in fleet.groups if group.name.startswith(f"{pool}/")), None)
    if own is None or pool == part:
        return part
    several = len({group.region for group in fleet.groups}) > 1
    return f"{_MACHINE}{own.instance_type}{f' in {own.region}' if several else ''}"


def hour_words(fleet: Fleet, hour_class: int) -> str:
    """``in 32 hours a week (first: Mon 07:00 UTC)``."""
    if len(fleet.hour_classes) == 1:
        return "at all hours"
    day, hour = divmod(fleet.schedule.index(hour_class), HOURS_PER_DAY)
    hours = fleet.hour_classes[hour_class].hours_per_week
    return f"in {counted(hours, 'hour')} a week (first: {DAYS[day][:3]} {hour:02d}:00 UTC)"


def capacity_requests_per_second(fleet: Fleet, hour_class: int = -1) -> float:
    """Requests/s that the instances of a class of hours are planned to carry, the busiest where none is given."""
    return sum(group.instances[hour_class] * group.planned_requests_per_second_per_instance for group in fleet.groups)


def _group_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    for letter, group in zip(letters(fleet), fleet.groups, strict=True):
        yield (
            letter, group.provider, group.region, group.instance_type, hardware_words(group), paid_words(group),
            group.precision, str(group.tensor_parallel), f"{group.engine} {group.engine_version}".strip(),
            str(group.replicas_per_instance), str(group.zones), count_words(group.instances),
            f"{_request_share(fleet, group):.0%}", rounded(group.planned_requests_per_second_per_instance),
            f"{group.instance_usd_per_hour:,.4f}", f"{group.compute_usd_per_month:,.2f}",
        )  # fmt: skip


def _request_share(fleet: Fleet, group: FleetGroup) -> float:
    """Share of the week's requests."""
    weights = [hour.mean_requests_per_second * hour.hours_per_week for hour in fleet.hour_classes]
    served = [share * weight for share, weight in zip(group.request_shares, weights, strict=True)]
    return sum(served) / sum(weights) if sum(weights) else 0.0


def _hour_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    for at, hour in enumerate(fleet.hour_classes if len(fleet.hour_classes) > 1 else ()):
        rates = (rounded(hour.mean_requests_per_second), rounded(hour.planned_requests_per_second))
        yield (str(hour.hours_per_week), *rates, *(str(group.instances[at]) for group in fleet.groups))


def _bucket_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    for at, longest in enumerate(fleet.bucket_max_input_tokens):
        yield (f"{longest:,.0f} tokens", *(f"{group.bucket_shares[at]:.0%}" for group in fleet.groups))
