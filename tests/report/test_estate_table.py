"""The estate for a terminal: within its width, with the span of each fleet and what it saves."""

from dataclasses import replace

from advisor.plan.estate.assemble import workload_row
from advisor.plan.estate.values import Estate, EstateTotals, Together
from advisor.plan.values import ComparedLatency
from advisor.report.estate_table import estate_table
from report.plans import mixed_plan, no_plan, spot_plan


def estate_of(*rows) -> Estate:
    """An estate of workloads that share nothing."""
    provenance = mixed_plan().provenance
    return Estate(rows, EstateTotals(2, 2, 0, 0, 0.0, 0.0, 0.0, 5958.66), (), Together((), 0.0), (), (), (), provenance)


ROWS = tuple(
    workload_row(f"team/{plan.workload['name']}.yaml", plan) for plan in (mixed_plan(), spot_plan(), no_plan())
)


def test_a_fleet_that_follows_the_hours_shows_its_span():
    """Two committed at all hours, and none to three on spot."""
    assert ROWS[0].fleet == "2 × g6e.xlarge us-east-1 commitment + 0…3 × g6e.2xlarge us-east-1 spot"


def test_what_is_saved_stands_in_its_row():
    """Against what runs today; a workload that states nothing has no number."""
    savings = [row.saved_usd_per_month for row in ROWS]
    text = estate_table(estate_of(*ROWS))

    assert savings == [None, spot_plan().savings.usd_per_month, None]
    assert f"{savings[1]:,.2f}" in text
    assert "saves USD/month" in text


def test_a_measured_latency_far_above_its_prediction_is_said_below_the_table():
    """The workload's file, with both numbers; nothing of those whose predictions are near."""
    slower = (ComparedLatency("tpot_p95_ms", 230.0, 38.9),)
    text = estate_table(estate_of(*ROWS, replace(ROWS[0], file="slow.yaml", slower=slower)))

    assert "slow.yaml: users wait far longer than predicted of what runs today (TPOT p95 230 ms measured, " in text
    assert text.count("than predicted of what runs") == 1


def test_the_estate_keeps_to_the_width_of_the_terminal():
    """Fleets and sums wrap, and nothing of a fleet is lost."""
    long = replace(ROWS[0], fleet=" + ".join([ROWS[0].fleet] * 4))
    text = estate_table(estate_of(*ROWS, long), 80)

    assert max(map(len, text.splitlines())) <= 80
    assert text.count("g6e.2xlarge") == 5


def test_plans_in_brief_are_counted_below_the_table():
    """A single one with its file, several with their number; those planned in full are not told."""
    brief = [replace(ROWS[0], file=f"{name}.yaml", is_brief=True) for name in ("chat", "mail")]

    assert "in brief" not in estate_table(estate_of(*ROWS))
    assert "chat.yaml is planned in brief: `advisor recommend` of the file alone" in estate_table(estate_of(brief[0]))
    assert "2 workloads are planned in brief" in estate_table(estate_of(*brief, *ROWS))
