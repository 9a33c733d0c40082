"""``advisor explain --cost``: every line of a plan's total, and the same as FOCUS rows."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan(run_advisor, tmp_path_factory):
    """The plan of an example."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    run_advisor("recommend", ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", path)
    return path


def test_every_line_is_shown_and_the_sums_are_those_of_the_plan(plan, run_advisor):
    """Table, JSON and FOCUS show one total."""
    total = json.loads(plan.read_text())["fleet"]["cost"]["total_usd_per_month"]
    table = run_advisor("explain", plan, "--cost").stdout
    assert table.startswith(f"${total:,.2f} a month is the sum of these lines")
    assert all(len(line) <= 80 for line in table.splitlines())
    told = json.loads(run_advisor("explain", plan, "--cost", "--format", "json").stdout)["cost"]
    assert told["total_usd_per_month"] == total
    rows = list(csv.DictReader(io.StringIO(run_advisor("explain", plan, "--format", "focus").stdout)))
    in_total = [float(row["EffectiveCost"]) for row in rows if row["x_InTotal"] == "true"]
    assert round(math.fsum(in_total), 2) == total
    assert len(rows) == len(told["lines"])


def test_the_audit_reads_the_rows(plan, run_advisor, tmp_path):
    """A plan as FOCUS is a bill of its kinds."""
    bill = tmp_path / "plan.csv"
    run_advisor("explain", plan, "--format", "focus", "-o", bill)
    audit = json.loads(run_advisor("audit", bill, "--format", "json").stdout)
    lines = json.loads(plan.read_text())["fleet"]["cost_lines"]
    assert float(audit["bill"]["effective_cost"]) == pytest.approx(
        math.fsum(line["usd_per_month"] or 0 for line in lines), abs=0.005
    )
    for kind in ("compute", "storage", "network"):
        own = math.fsum(line["usd_per_month"] or 0 for line in lines if line["kind"] == kind)
        assert float(audit["kinds"][kind]) == pytest.approx(own, abs=0.005), kind


def test_other_questions_and_plans_without_lines_are_refused(plan, run_advisor, tmp_path):
    """``--cost`` stands alone, and an older plan is to be made again."""
    both = run_advisor("explain", plan, "--cost", "--pareto")
    assert both.returncode == 2
    assert "leave out the other questions" in both.stderr
    document = json.loads(plan.read_text())
    del document["fleet"]["cost_lines"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    refused = run_advisor("explain", old, "--cost")
    assert refused.returncode == 1
    assert "make the plan again" in refused.stderr
