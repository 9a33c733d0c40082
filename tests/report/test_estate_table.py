"""The estate for a terminal: within its width, with the span of each fleet and what it saves."""

from dataclasses import replace

from advisor.plan.estate.assemble import with_today, workload_row
from advisor.plan.estate.packing import SharedMachine
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


def test_an_estate_without_what_runs_today_has_no_columns_for_it():
    """Neither cost nor saving, in the table or below it."""
    text = estate_table(estate_of(ROWS[0], ROWS[2]))

    assert "saves" not in text
    assert "today" not in text


def test_today_is_compared_with_the_part_of_the_estate():
    """A part of a shared machine by the cost of fleets of their own, less than today; who misses the SLO is marked."""
    machine = SharedMachine("aws", "us-east-1", "g6e.xlarge", "", 1, (("a.yaml", "b.yaml"),), 300.0, 900.0, (), (), ())
    own = replace(ROWS[1], file="own.yaml", usd_per_month=500.0, today_usd_per_month=400.0, today_slo_kept=False)
    seated = replace(own, file="a.yaml", shared_machine=0, beside_usd_per_month=10.0, today_slo_kept=None)
    other = replace(ROWS[0], file="b.yaml", usd_per_month=1000.0, shared_machine=0, beside_usd_per_month=20.0)
    estate = with_today(replace(estate_of(own, seated, other), shared_machines=(machine,)))
    text = estate_table(estate)

    assert [row.saved_usd_per_month for row in estate.workloads] == [-100.0, 400.0 - 10.0 - 100.0, None]
    assert (estate.totals.today_usd_per_month, estate.totals.saved_usd_per_month) == (800.0, 190.0)
    assert "the 2 workloads that state `current` cost $800.00 a month, in this estate $610.00: $190.00 less" in text
    assert "400.00, misses the SLO" in text
    assert "400.00, not judged" in text
    assert "predicted to miss the SLO of own.yaml" in text


def test_commitments_of_all_are_divided_by_the_cost_of_each():
    """The parts of all workloads are the total of the estate where each states what runs."""
    rows = [
        replace(ROWS[1], file=f"{usd}.yaml", usd_per_month=usd, today_usd_per_month=1000.0) for usd in (300.0, 900.0)
    ]
    sums = replace(estate_of().totals, commitments_saved_usd_per_month=120.0, total_usd_per_month=1080.0)
    estate = with_today(replace(estate_of(*rows), totals=sums))

    assert [row.saved_usd_per_month for row in estate.workloads] == [1000.0 - 270.0, 1000.0 - 810.0]
    assert estate.totals.saved_usd_per_month == 2000.0 - sums.total_usd_per_month


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
