"""Options of a plan as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from advisor.demand.values import Unit
from advisor.plan.unit_words import first_name, items_word, unit_of
from advisor.plan.values import Interval, Option, Plan
from advisor.report.fitted_table import Column
from advisor.report.sections import Section
from advisor.report.words import hardware_words, paid_words
from advisor.units import milliseconds, ratio_words, rounded, unit_usd

_TPOT = "TPOT p95"
SHOWN_OPTIONS = 5
"""Rows of the table where nobody says how many."""
_NOT_REPLAYED = (
    "~: by the closed form, not replayed; a replay may ask for more instances or fewer: `advisor explain --why TYPE` "
    "makes it"
)
OPTION_COLUMNS = (
    Column("#"),
    Column("provider", importance=5),
    Column("region", importance=1),
    Column("instance type"),
    Column("accelerator", importance=4),
    Column("purchase"),
    Column("precision", importance=2),
    Column("TP", importance=8),
    Column("count"),
    Column("replicas", importance=9),
    Column("TTFT p95", importance=6),
    Column(_TPOT, importance=6),
    Column("planned req/s", importance=7),
    Column("within SLO", importance=3),
    Column("USD/month"),
    Column("USD/1M out", importance=10),
    Column("why not", prose=26),
)


def option_columns(unit: Unit) -> tuple[Column, ...]:
    """Columns of the table of options: without a time per token, and per million items, where answers come whole."""
    if not unit.is_one_pass:
        return OPTION_COLUMNS
    named = {"TTFT p95": first_name(unit), "USD/1M out": f"USD/1M {items_word(unit)}"}
    return tuple(
        replace(column, header=named.get(column.header, column.header))
        for column in OPTION_COLUMNS
        if column.header != _TPOT
    )


def option_section(plan: Plan, shown: int) -> Section:
    """The cheapest options, and how they were made."""
    unit = unit_of(plan.demand)
    every, rows = len(plan.options), tuple(option_cells(option, unit) for option in plan.options[:shown])
    of = f"the cheapest {len(rows)} of {every:,} (all: --format json)" if len(rows) < every else f"all {every:,}"
    made = "each made by the same planner as the fleet: same limits, rates, replay and parts of the cost"
    lines = (made, *option_legend(plan.options[:shown]))
    return Section(f"options, fleets of one type and way of paying: {of}", lines, option_columns(unit), rows)


def option_legend(options: Sequence[Option]) -> Iterator[str]:
    """Meaning of the mark at options that no replay has judged; nothing where all were replayed."""
    if any(option.confirmed is None for option in options):
        yield _NOT_REPLAYED


def about(option: Option) -> str:
    """Mark before the numbers of an option that no replay has judged; "" for others."""
    return "~" if option.confirmed is None else ""


def _latency(predicted: Interval, replayed_ms: float | None) -> str:
    """Latency as the replay has it; else as predicted, marked."""
    return f"~{milliseconds(predicted.value)}" if replayed_ms is None else milliseconds(replayed_ms)


def option_cells(option: Option, unit: Unit = Unit.TOKENS) -> tuple[str, ...]:
    """The cells of an option under :func:`option_columns`."""
    predicted, planned = option.predicted, option.planned_requests_per_second_per_instance
    mark, replay = about(option), option.confirmed
    return (
        str(option.rank), option.provider, option.region, option.instance_type,
        hardware_words(option), paid_words(option), option.precision,
        str(option.tensor_parallel), f"{mark}{option.instances}", f"{mark}{option.replicas}",
        _latency(predicted.ttft_p95_ms, replay.ttft_p95_ms if replay else None),
        *(() if unit.is_one_pass else (_latency(predicted.tpot_p95_ms, replay.tpot_p95_ms if replay else None),)),
        "-" if planned is None else f"{mark}{rounded(planned)}",
        "-" if option.confirmed is None else ratio_words(option.confirmed.within_slo_ratio),
        f"{mark}{option.cost.total_usd_per_month:,.2f}", f"{mark}{unit_usd(option.cost.usd_per_million_output_tokens)}",
        option.not_recommended,
    )  # fmt: skip
