"""Commands about a plan whose fleet is only the closest of those that no replay confirms: all say so, all exit with 4."""

from dataclasses import replace

import pytest

from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.estate.assemble import workload_row
from advisor.plan.estate.values import INFEASIBLE

WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand:
  declared: {requests_per_second: 2, input_tokens: 800, output_tokens: 200}
providers: [aws]
regions: [us-east-1]
accelerators: [L40S]
"""
SAID = "has 50% of the requests within it, 99% are asked"


@pytest.fixture(scope="module")
def files(tmp_path_factory, run_advisor):
    """A plan, and the same with a fleet of which half of the requests are late."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "workload.yaml").write_text(WORKLOAD)
    made = run_advisor("recommend", folder / "workload.yaml", "--format", "json", "-o", folder / "held.json")
    assert made.returncode == 0, made.stderr
    plan = plan_from_json((folder / "held.json").read_text(), "held.json")
    short = replace(plan.fleet.confirmed, within_slo_ratio=0.5, reached=False)
    refused = replace(plan, fleet=replace(plan.fleet, confirmed=short))
    (folder / "refused.json").write_text(plan_to_json(refused))
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "refused.json"),
        ("explain", "refused.json", "--cost"),
        ("diff", "held.json", "refused.json"),
        ("check", "refused.json"),
    ],
    ids=" ".join,
)
def test_what_is_read_is_printed_and_the_exit_code_is_that_of_recommend(arguments, files, run_advisor):
    """The answer stands on standard output all the same."""
    done = run_advisor(*arguments, cwd=files)

    assert done.returncode == 4, done.stderr
    assert done.stdout
    assert SAID in done.stderr


def test_an_explained_plan_is_not_said_to_be_recommended(files, run_advisor):
    """The words are those of the verdict."""
    told = run_advisor("explain", "refused.json", cwd=files).stdout

    assert told.startswith("No fleet keeps the SLO in its replay; closest: ")
    assert "is recommended" not in told


def test_the_earlier_of_two_plans_may_be_refused(files, run_advisor):
    """What comes after it holds."""
    assert run_advisor("diff", "refused.json", "held.json", cwd=files).returncode == 0


def test_a_change_that_helps_ends_well(files, run_advisor):
    """Where the changed plan, which is made anew, holds, the answer is one."""
    done = run_advisor("explain", "refused.json", "--what-if", "slo.ttft_p95=2s", cwd=files)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("terraform",), ("pulumi",), ("monitoring",)], ids=" ".join)
def test_no_code_is_written_unless_that_is_asked_for(command, files, run_advisor, tmp_path):
    """Neither resources nor rules; the hint names both ways on."""
    done = run_advisor("generate", *command, "refused.json", "--into", tmp_path / "code", cwd=files)

    assert done.returncode == 4
    assert SAID in done.stderr
    assert ("--option RANK" in done.stderr) is (command != ("monitoring",))
    assert "--unconfirmed" in done.stderr
    assert not (tmp_path / "code").exists()
    went_on = run_advisor("generate", *command, "refused.json", "--into", tmp_path / "code", "--unconfirmed", cwd=files)
    assert went_on.returncode == 0, went_on.stderr


@pytest.mark.parametrize("command", [("terraform",), ("pulumi",), ("monitoring",)], ids=" ".join)
def test_no_option_is_offered_where_the_plan_has_none(command, files, run_advisor, tmp_path):
    """Targets to relax and the closest fleet are what is left."""
    plan = plan_from_json((files / "refused.json").read_text(), "refused.json")
    (tmp_path / "none.json").write_text(plan_to_json(replace(plan, options=())))
    done = run_advisor("generate", *command, "none.json", "--into", "code", cwd=tmp_path)

    assert done.returncode == 4
    assert "--option" not in done.stderr
    assert "--unconfirmed takes the closest fleet" in done.stderr


def test_an_option_is_taken_by_its_rank(files, run_advisor, tmp_path):
    """Its own replay holds."""
    into = ("--into", tmp_path / "code", "--option", "1")
    assert run_advisor("generate", "terraform", "refused.json", *into, cwd=files).returncode == 0


def test_a_check_finds_it_once(files, run_advisor):
    """The finding has an id that a policy can name; the plan made anew is another one, and holds."""
    told = run_advisor("check", "refused.json", cwd=files).stdout

    assert "error CHK205" in told
    assert "\n    advisor recommend WORKLOAD --format json -o refused.json\n" in told
    assert "CHK204" not in told


def test_a_policy_may_let_it_pass(files, run_advisor):
    """As every finding."""
    (files / "policy.yaml").write_text("levels: {CHK205: off, CHK103: off, CHK201: off}")
    assert run_advisor("check", "refused.json", "--policy", "policy.yaml", cwd=files).returncode == 0


def test_a_plan_without_a_fleet_ends_alike(files, run_advisor, tmp_path):
    """Nothing is feasible: the same exit code from every command that reads the plan."""
    (tmp_path / "w.yaml").write_text(WORKLOAD.replace("ttft_p95: 1s", "ttft_p95: 1ms"))
    assert run_advisor("recommend", "w.yaml", "--format", "json", "-o", "p.json", cwd=tmp_path).returncode == 4
    for arguments in (
        ("explain", "p.json"),
        ("check", "p.json"),
        ("diff", files / "held.json", "p.json"),
        ("generate", "terraform", "p.json", "--into", "code"),
        ("generate", "monitoring", "p.json", "--into", "rules"),
    ):
        assert run_advisor(*arguments, cwd=tmp_path).returncode == 4, arguments


def test_a_refused_workload_of_an_estate_is_infeasible(files):
    """It counts in no sum; the message has the closest fleet and both shares."""
    row = workload_row("chat.yaml", plan_from_json((files / "refused.json").read_text(), "refused.json"))

    assert row.status == INFEASIBLE
    assert row.usd_per_month is None
    assert "g6e" in row.message
    assert row.message.endswith(SAID)
