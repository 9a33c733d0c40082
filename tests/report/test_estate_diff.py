"""Two estates compared by workload, and the page of an estate: every number is one of theirs."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from advisor.cli.diff import command as diff_command
from advisor.cli.report import command as report_command
from advisor.errors import InputError
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.report.pages import estate_page
from advisor.report.plan_diff import estate_diff, estate_diff_json, estate_diff_markdown, estate_headline
from report.pages import bars, read_page, table_rows
from report.test_estate_table import ROWS, estate_of

MIXED, SPOT = ROWS[:2]
NONE = replace(ROWS[2], file="team/none.yaml")
EVERY = (MIXED, SPOT, NONE)


def total(estate, usd):
    """The estate with another total."""
    return replace(estate, totals=replace(estate.totals, total_usd_per_month=usd))


def test_an_estate_is_read_as_it_was_written():
    """To the last field, with the plans that it may hold left out."""
    estate = estate_of(*EVERY)
    text = estate_to_json(estate, {"a.yaml": "{}"})

    assert estate_to_json(estate_from_json(text)) == estate_to_json(estate)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema": "advisor.estate/v0"}',
        '{"schema": "advisor.estate/v1"}',
        '{"schema": "advisor.estate/v1", "workloads": 7}',
        "nonsense",
    ],
)
def test_what_is_no_estate_is_refused_with_its_remedy(text):
    """Other JSON, another schema, missing and wrong fields."""
    with pytest.raises(InputError) as refused:
        estate_from_json(text)
    assert refused.value.hint


def test_only_workloads_that_changed_are_listed():
    """Those that lost their plan first, then by how much the cost changes; new and removed ones count in full."""
    dearer = replace(SPOT, usd_per_month=SPOT.usd_per_month + 10.0)
    failed = replace(MIXED, status="failed", fleet="", usd_per_month=None, message="unknown key")
    before, after = total(estate_of(MIXED, SPOT), 100.0), total(estate_of(failed, dearer, NONE), 150.5)

    diff = estate_diff(before, after)

    assert [one.file for one in diff.changes] == [MIXED.file, NONE.file, SPOT.file]
    assert [one.usd_per_month_more for one in diff.changes] == [None, None, 10.0]
    assert estate_headline(diff) == "estate: $100.00 → $150.50 a month (+$50.50, +50%); 3 workloads changed"
    gone = estate_diff(before, estate_of(MIXED)).changes
    assert [(one.file, one.usd_per_month_more) for one in gone] == [(SPOT.file, -SPOT.usd_per_month)]
    assert estate_diff(before, before).changes == ()
    assert "as before; 0 workloads" in estate_headline(estate_diff(before, before))


def test_a_workload_on_a_shared_machine_has_no_cost_of_its_own():
    """What its own fleet would cost is not what it costs."""
    shared = replace(SPOT, shared_machine=0)

    (change,) = estate_diff(estate_of(SPOT), estate_of(shared)).changes

    assert change.usd_per_month_more is None
    assert "on a shared machine" in estate_diff_markdown(estate_diff(estate_of(SPOT), estate_of(shared)))


def test_a_comment_about_many_workloads_is_short():
    """At most 60 lines; the rest is counted, and the JSON holds all."""
    many = [replace(SPOT, file=f"@team/{at}.yaml", usd_per_month=float(at)) for at in range(200)]
    diff = estate_diff(estate_of(), estate_of(*many))

    text = estate_diff_markdown(diff)

    assert len(text.splitlines()) <= 60
    assert "and 160 more" in text
    assert re.search(r"@\w", text) is None
    assert len(json.loads(estate_diff_json(diff))["workloads"]) == 200


def test_the_page_holds_every_workload():
    """Sums, the dearest as bars, the table with each fleet and cost, and why others have no plan."""
    page = read_page(estate_page(estate_of(*EVERY)))
    rows = {row[0]: row for row in table_rows(page, "workloads")}

    assert list(rows) == [row.file for row in EVERY]
    for row in (MIXED, SPOT):
        assert rows[row.file][1] == row.fleet
        assert rows[row.file][2] == f"{row.usd_per_month:,.2f}"
    dearest = bars(page, "USD a month of the dearest workloads")
    assert dearest == sorted(dearest, key=lambda bar: -float(bar[1].lstrip("$").replace(",", "")))
    assert NONE.message in page.text
    assert "2 of 2 workloads planned: $5,958.66 a month" in page.text


def test_the_page_of_a_large_estate_stays_small():
    """10,000 workloads: the first are listed, and that is said; names of others stay text."""
    rows = [replace(SPOT, file=f"<script>{at}</script>.yaml") for at in range(10_000)]
    text = estate_page(estate_of(*rows))

    assert len(text.encode()) < 3_000_000
    assert "The first 5,000 of 10,000" in text
    assert len(re.findall("<script", text)) == 1


def test_the_commands_take_estates(tmp_path):
    """A file, or the directory that holds it; an estate and a plan are not compared."""
    for name, rows in (("old", EVERY[:1]), ("new", EVERY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "estate.json").write_text(estate_to_json(estate_of(*rows)))
    (tmp_path / "plan.json").write_text('{"schema": "advisor.plan/v1"}')
    old, new = str(tmp_path / "old"), str(tmp_path / "new/estate.json")

    for output_format in ("table", "markdown", "json"):
        done = CliRunner().invoke(diff_command, [old, new, "--format", output_format])
        assert done.exit_code == 0, done.exception
        assert SPOT.file in done.output
    done = CliRunner().invoke(diff_command, [old, str(tmp_path / "plan.json")])
    assert isinstance(done.exception, InputError)
    assert done.exception.hint
    done = CliRunner().invoke(report_command, [new, "-o", str(tmp_path / "report.html")])
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
