"""`advisor audit` as a program: every format of its answer, and what it says of wrong usage."""

import csv
import io
import json
import re
import shlex
from decimal import Decimal
from pathlib import Path

import jsonschema_rs
import pytest

from advisor.audit import RULES
from audit.bills import Charge, hours, write_bill, write_focus
from audit.commands import parsed
from audit.machines import ACCELERATED, billed, day_of, sampled

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("focus_1_0_sample.csv.gz")


@pytest.fixture(scope="module")
def rich_bill(tmp_path_factory):
    """A week of a CUR with something of everything."""
    charges = [
        *hours(Charge(cost=Decimal("5.672"), tags={"endpoint": "chat", "env": "dev"}), 168),
        *hours(Charge(cost=Decimal("5.672"), resource="i-0bbb", tags={"endpoint": "search", "env": "prod"}), 168),
        *hours(Charge(cost=Decimal(0), effective=Decimal("1.3333333333"), kind="covered", resource="i-0ccc"), 10),
        Charge(cost=Decimal(0), effective=Decimal(30), kind="unused", resource="sp-1"),
        Charge("nat", Decimal("45.5"), resource="nat-1"),
        Charge("zones", Decimal("12.01")),
        Charge("logs", Decimal("33.3"), resource="log-group"),
        Charge("disk", Decimal("9.99"), resource="vol-checkpoints"),
        Charge("tokens", Decimal("7.77"), resource="claude"),
        Charge("accelerator", Decimal(-20), kind="credit", resource=""),
        Charge("accelerator", Decimal("18.18"), kind="tax", resource=""),
    ]
    return write_bill(tmp_path_factory.mktemp("bill"), "cur", charges)


@pytest.fixture(scope="module")
def rich_audit(rich_bill, run_advisor):
    """Its JSON."""
    done = run_advisor("audit", rich_bill, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_table_says_the_verdict_first_and_fits_80_columns(rich_bill, run_advisor):
    """What a person reads: the total and the greatest saving on top, no line too wide but for commands."""
    done = run_advisor("audit", rich_bill)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Bill of $2,055.88 (effective cost), 2026-10-01 00:00 to 2026-10-08 00:00 UTC: ")
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if not re.match(r"ADV\d+(, look first)?: ", line)) <= 80
    assert done.stdout.index("Findings") < done.stdout.index("Showback")
    text = " ".join(done.stdout.split())
    assert (
        "a month has 730 h: amounts of the 168 h of the bill are times 4.345 (the whole bill: $8,933.27 a month)"
        in text
    )
    assert "charges below zero, -$20.00 together, are taken as credits, refunds or corrections" in text
    assert done.stderr == ""


def test_shown_parts_sum_up_to_the_shown_total(rich_bill, run_advisor):
    """Cents of every table add up to its total."""
    text = run_advisor("audit", rich_bill, "--wide").stdout

    for title in (
        "Cost by kind",
        "Cost by purchase",
        "Cost by way of paying",
        "Compute by machine family",
        "Showback by env",
    ):
        blocks = text.split(f"{title}\n")[1].split("\n\n") if f"{title}\n" in text else [""]
        block = next(block for block in blocks if not block.startswith("  - "))
        amounts = [Decimal(found.replace("$", "").replace(",", "")) for found in re.findall(r"-?\$[\d,]+\.\d\d", block)]
        assert not block or sum(amounts[:-1]) == amounts[-1], title


def test_the_json_is_as_documented(rich_audit):
    """The keys, and sums that hold to the cent."""
    found = rich_audit

    assert found["schema"] == "advisor.audit/v1"
    assert {"billed_cost", "effective_cost", "currency", "from", "until", "rows"} <= set(found["bill"])
    assert list(found["kinds"]) == ["compute", "storage", "network", "managed", "other"]
    assert list(found["compute_split"]) == ["needed", "headroom", "idle", "unused_commitment", "unattributed"]
    assert sum(found["kinds"].values()) == pytest.approx(found["bill"]["effective_cost"], abs=1e-9)
    assert sum(found["compute_split"].values()) == pytest.approx(found["kinds"]["compute"], abs=1e-9)
    assert found["bill"]["until"] == "2026-10-08T00:00:00Z"
    wanted = {"id", "title", "usd_per_month", "low", "high", "effort", "evidence", "command", "look"}
    for finding in found["findings"]:
        assert wanted <= set(finding)
        assert finding["low"] <= finding["usd_per_month"] <= finding["high"]
        assert (finding["why_no_action"] is not None) == (finding["command"] == finding["look"])
    assert {"ADV106", "ADV107", "ADV108", "ADV109", "ADV112", "ADV113", "ADV114", "ADV118"} <= {
        finding["id"] for finding in found["findings"]
    }


def test_every_command_of_a_finding_runs_as_it_stands(rich_audit, run_advisor):
    """One of this program parses, and runs on the bill and the catalog; one of a provider names the resources."""
    commands = {finding["id"]: finding["command"] for finding in rich_audit["findings"]}
    ran = set()
    for command in (each for each in commands.values() if each.startswith("advisor ")):
        words = shlex.split(command)
        parsed(words)
        if words[1] in {"audit", "catalog"} - ran:
            ran.add(words[1])
            done = run_advisor(*words[1:])
            assert done.returncode == 0, (command, done.stderr)
    assert ran == {"audit", "catalog"}
    assert commands["ADV108"] == "aws savingsplans describe-savings-plans --savings-plan-ids sp-1"
    assert commands["ADV113"].endswith("--finding ADV113")  # the bill does not say that it is a log group
    assert "Name=volume-id,Values=vol-checkpoints" in commands["ADV114"]
    assert re.search(r"create-tags --region us-east-1 --resources [\w -]*nat-1[\w -]* --tags", commands["ADV117"])
    assert "i-0aaa" not in commands["ADV117"]  # it has tags on other charges, which the command would overwrite


def test_commands_stand_below_the_table_in_one_piece(rich_bill, rich_audit, run_advisor):
    """Whatever the width, a line of the table's is the finding's id and its command; so it is for one finding alone."""
    commands = {finding["id"]: finding["command"] for finding in rich_audit["findings"]}
    shown = run_advisor("audit", rich_bill).stdout.splitlines()
    alone = run_advisor("audit", rich_bill, "--finding", "ADV117").stdout.splitlines()
    page = run_advisor("audit", rich_bill, "--format", "markdown").stdout.splitlines()

    assert len(commands["ADV117"]) > 80
    for finding, command in commands.items():
        assert f"{finding}: {command}" in shown
        assert f"{finding}: {command}" in page
    assert f"ADV117: {commands['ADV117']}" in alone
    for finding in (each for each in rich_audit["findings"] if each["look"] != each["command"]):
        assert f"{finding['id']}, look first: {finding['look']}" in shown
        assert f"{finding['id']}, look first: {finding['look']}" in page


def test_the_command_of_a_finding_repeats_the_options_it_was_found_with(tmp_path, run_advisor):
    """Failed requests stand in a log, and the cost in euros: without both options the finding is not there."""
    charges = hours(Charge(cost=Decimal(5), currency="EUR", tags={"endpoint": "chat"}), 24)
    bill, log = write_bill(tmp_path, "cur", charges), tmp_path / "request log.csv"
    entries = (f"2026-10-01T{hour:02}:00:00Z,chat,100,10,{'failure' if hour < 6 else 'success'}" for hour in range(24))
    log.write_text("\n".join(["timestamp,endpoint,input_tokens,output_tokens,status", *entries]))
    options = ("--requests", log, "--rate", "EUR=1.08", "--cost", "billed", "--extrapolate")

    audit = json.loads(run_advisor("audit", bill, *options, "--wide", "--format", "json").stdout)
    command = next(finding["command"] for finding in audit["findings"] if finding["id"] == "ADV119")
    shown = run_advisor(*shlex.split(command)[1:])

    assert shown.returncode == 0, (command, shown.stderr)
    assert shown.stdout.startswith("ADV119 Failed requests that were paid for: ")
    assert "--wide" not in command


def test_a_quiet_audit_finds_the_same(rich_bill, rich_audit, run_advisor):
    """`--quiet` only leaves out notes: no printed command repeats it."""
    done = run_advisor("audit", rich_bill, "-q", "--format", "json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["findings"] == rich_audit["findings"]


def test_focus_rows_sum_up_to_the_bill(rich_bill, rich_audit, run_advisor):
    """The exported charges are the bill, by kind and by part of compute, and can be audited again."""
    done = run_advisor("audit", rich_bill, "--format", "focus")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))

    assert sum(Decimal(row["EffectiveCost"]) for row in rows) == Decimal("2055.875333333")
    assert {row["x_ComputePart"] for row in rows if row["x_Kind"] == "compute"} == {"unused_commitment", "unattributed"}
    again = rich_bill.with_name("again.csv")
    again.write_text(done.stdout)
    second = json.loads(run_advisor("audit", again, "--format", "json").stdout)
    assert second["bill"]["effective_cost"] == pytest.approx(2055.875333333)
    assert second["kinds"] == pytest.approx(rich_audit["kinds"])
    assert second["compute_split"] == pytest.approx(rich_audit["compute_split"])
    again.unlink()


def test_focus_rows_of_sampled_machines_are_divided(tmp_path, run_advisor):
    """A machine with telemetry has a row for each part, and their costs are those of the split."""
    samples = sampled(tmp_path, lambda number: 0.6 if number % 2 else 0.2)
    bill = billed(tmp_path, day_of(ACCELERATED))
    rows = list(
        csv.DictReader(io.StringIO(run_advisor("audit", bill, "--samples", samples, "--format", "focus").stdout))
    )

    parts = {row["x_ComputePart"]: Decimal(row["EffectiveCost"]) for row in rows}
    assert sum(parts.values()) == 20
    assert float(parts["needed"]) == pytest.approx(8, abs=0.05)
    assert {"needed", "headroom", "idle"} <= set(parts)


def test_the_sarif_is_valid(rich_bill, run_advisor):
    """Rules, results and their index agree; the shape is that of SARIF 2.1.0 as far as this schema goes."""
    found = json.loads(run_advisor("audit", rich_bill, "--format", "sarif").stdout)
    jsonschema_rs.validate(
        {
            "type": "object",
            "required": ["version", "runs"],
            "properties": {
                "version": {"const": "2.1.0"},
                "runs": {"items": {"required": ["tool", "results"], "properties": {"results": {"items": {
                    "required": ["ruleId", "message", "level"],
                    "properties": {"level": {"enum": ["none", "note", "warning", "error"]}}}}}}},
            },
        },
        found,
    )  # fmt: skip
    (run,) = found["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["results"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


def test_markdown_and_a_file(rich_bill, run_advisor, tmp_path):
    """A page for a pull request, written in one step."""
    done = run_advisor("audit", rich_bill, "--format", "markdown", "-o", tmp_path / "audit.md")

    assert done.returncode == 0
    assert done.stdout == ""
    assert (tmp_path / "audit.md").read_text().startswith("## Bill of $2,055.88")


def test_one_finding_with_everything_it_was_found_at(rich_bill, run_advisor):
    """Resources and their cost; an id that the bill does not have is named with those it has."""
    shown = run_advisor("audit", rich_bill, "--finding", "adv112")
    missing = run_advisor("audit", rich_bill, "--finding", "ADV999")

    assert shown.stdout.startswith("ADV112 Data through NAT gateways: ")
    assert "nat-1" in shown.stdout
    assert missing.returncode == 1
    assert "ADV108" in missing.stderr


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ((), 2, "Missing argument"),
        (("no-such-file.csv",), 1, "no-such-file.csv"),
        ((SAMPLE, "--rate", "EUR"), 2, "EUR=1.08"),
        ((SAMPLE, "--rate", "EUR=-1"), 2, "EUR=1.08"),
        ((SAMPLE, "--samples", "a", "--prometheus", "http://b"), 2, "not both"),
        ((SAMPLE, "--tag", "enviroment"), 1, "environment"),
        ((SAMPLE, "--requests", "nowhere.csv"), 1, "nowhere.csv"),
        ((SAMPLE, "--hosts", "nowhere.csv"), 1, "nowhere.csv"),
        ((SAMPLE, "--bill-format", "cur"), 1, "line_item_unblended_cost"),
        ((SAMPLE, "--prometheus", "http://127.0.0.1:9"), 1, "127.0.0.1:9"),
    ],
)
def test_wrong_usage_is_said_without_a_traceback(run_advisor, arguments, code, expected):
    """Exit codes and words that help."""
    done = run_advisor("audit", *arguments)

    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_nothing_is_left_behind(rich_bill, run_advisor, tmp_path):
    """The database of an audit is gone at its end, also after an error."""
    run_advisor("audit", rich_bill, TMPDIR=str(tmp_path))
    run_advisor("audit", rich_bill, "--tag", "x", TMPDIR=str(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_bill_in_euros_speaks_of_euros(tmp_path, run_advisor):
    """No dollar sign, and no amount in USD, until a rate is stated; the interval is in euros, as the amount is."""
    bill = write_focus(tmp_path / "bill.csv", hours(Charge(cost=Decimal(10), currency="EUR", tags={"env": "dev"}), 168))

    assert "$" not in run_advisor("audit", bill).stdout
    found = json.loads(run_advisor("audit", bill, "--format", "json").stdout)
    assert found["findings"][0]["usd_per_month"] is None
    assert all(finding["low"] <= finding["per_month"] <= finding["high"] for finding in found["findings"])
    assert found["findings"][0]["per_month"] > 0
    converted = json.loads(run_advisor("audit", bill, "--format", "json", "--rate", "eur=1.5").stdout)
    assert converted["bill"]["effective_cost"] == 2520
    assert converted["findings"][0]["usd_per_month"] == pytest.approx(1.5 * found["findings"][0]["per_month"])
    assert converted["findings"][0]["high"] == pytest.approx(1.5 * found["findings"][0]["high"])


def test_every_finding_is_explained():
    """docs/findings.md has a section for each id, with its title, effort and risk."""
    page = (ROOT / "docs/findings.md").read_text()

    assert re.findall(r"^## (ADV\d+)$", page, re.MULTILINE) == [rule.id for rule in RULES]
    for rule in RULES:
        section = page.split(f"## {rule.id}\n")[1].split("\n## ")[0]
        assert f"**{rule.title}.**" in section
        assert f"Effort: {rule.effort}. Risk: {rule.risk}." in section
