"""``advisor generate terraform`` as a user runs it: a program with arguments, output and an exit code."""

import dataclasses
import subprocess
import sys

import pytest

from advisor.plan.document import plan_to_json
from codegen.plans import make_option, make_plan

ELSEWHERE = {"provider": "oci", "region": "us-ashburn-1", "instance_type": "VM.GPU.A10.1", "usd_per_hour": 0.7}


@pytest.fixture
def advisor(tmp_path):
    """Runs the program in an empty folder."""

    def run(*arguments: str):
        command = [sys.executable, "-m", "advisor", "generate", "terraform", *arguments]
        return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False)

    return run


@pytest.fixture
def write_plan(tmp_path):
    """Writes a plan to plan.json."""

    def write(*options, **changes):
        (tmp_path / "plan.json").write_text(plan_to_json(make_plan(*options, **changes)), encoding="utf-8")

    return write


def test_module_is_written_and_a_second_run_is_unchanged(advisor, write_plan, tmp_path):
    """The first run names what it created, the second that nothing changed; both end well."""
    write_plan(make_option())
    first = advisor("plan.json", "--out", "infra")
    assert (first.returncode, first.stderr) == (0, "")
    assert "created infra/main.tf\n" in first.stdout
    assert (tmp_path / "infra/tests/unit.tftest.hcl").is_file()
    second = advisor("plan.json", "--out", "infra")
    created = first.stdout.count("created ")
    assert (second.returncode, second.stdout) == (0, f"infra: {created} unchanged\n")


def test_dry_run_names_files_and_writes_none(advisor, write_plan, tmp_path):
    """A dry run says what it would create."""
    write_plan(make_option())
    ran = advisor("plan.json", "--out", "infra", "--dry-run")
    assert "create infra/main.tf\n" in ran.stdout
    assert "dry run, nothing written" in ran.stdout
    assert not (tmp_path / "infra").exists()


def test_recommendation_elsewhere_falls_back_to_aws_loudly(advisor, write_plan, tmp_path):
    """A recommendation elsewhere yields the cheapest AWS option, and stderr gives both with the difference."""
    elsewhere = make_option(**ELSEWHERE)
    dear = make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.006)
    cheap = make_option(rank=3)
    write_plan(elsewhere, dear, cheap)
    ran = advisor("plan.json", "--out", "infra")
    assert ran.returncode == 0
    assert "warning: the recommended option is not what is generated" in ran.stderr
    assert "recommended: 2 × VM.GPU.A10.1 on demand in us-ashburn-1 (oci) at $1,022.00 a month" in ran.stderr
    assert "#3 2 × g6.xlarge on demand in us-east-1 (aws) at $1,175.01 a month of compute ($153.01 more)" in ran.stderr
    assert '"g6.xlarge"' in (tmp_path / "infra/fleet.tf").read_text()
    assert "costs $153.01 a month more" in (tmp_path / "infra/README.md").read_text().replace("\\", "")


def test_option_is_taken_by_rank(advisor, write_plan, tmp_path):
    """--option takes the option that the user names, without a warning."""
    write_plan(make_option(), make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G"))
    ran = advisor("plan.json", "--out", "infra", "--option", "2")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"g5.xlarge"' in (tmp_path / "infra/fleet.tf").read_text()


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ([make_option(**ELSEWHERE)], [], "nothing of the plan can be generated"),
        ([make_option()], ["--option", "7"], "the plan has no option 7"),
        ([make_option(instance_type="dl1.24xlarge")], ["--option", "1"], "Gaudi"),
        ([], [], "the plan has nothing to generate code for"),
    ],
    ids=["elsewhere only", "no such rank", "gaudi", "nothing feasible"],
)
def test_what_cannot_be_generated_is_one_error_with_a_hint(options, arguments, message, advisor, write_plan, tmp_path):
    """Exit code 1, one message, a hint, no traceback and no file."""
    write_plan(*options)
    ran = advisor("plan.json", "--out", "infra", *arguments)
    assert ran.returncode == 1
    assert f"error: {message}" in ran.stderr or message in ran.stderr
    assert "hint: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "infra").exists()


def test_edited_file_stops_the_run_until_it_is_forced(advisor, write_plan, tmp_path):
    """An edit is kept, named, and overwritten with --force only."""
    write_plan(make_option())
    advisor("plan.json", "--out", "infra")
    (tmp_path / "infra/main.tf").write_text("mine\n")
    refused = advisor("plan.json", "--out", "infra")
    assert refused.returncode == 1
    assert "not as they were generated, or not generated at all: main.tf" in refused.stderr
    assert (tmp_path / "infra/main.tf").read_text() == "mine\n"
    assert "replaced infra/main.tf" in advisor("plan.json", "--out", "infra", "--force").stdout


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b'{"schema": "other"}'])
def test_bad_plan_file_is_a_user_error(content, advisor, tmp_path):
    """A missing, empty, binary or foreign plan file ends with exit code 1, its name and no traceback."""
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    ran = advisor("plan.json", "--out", "infra")
    assert ran.returncode == 1
    assert "plan.json" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_readme_says_what_the_plan_says(advisor, write_plan, tmp_path):
    """Price, prediction with its interval, evidence and the quota to ask for stand in the README."""
    option = make_option()
    write_plan(dataclasses.replace(option, evidence="calibrated"))
    advisor("plan.json", "--out", "infra")
    readme = (tmp_path / "infra/README.md").read_text(encoding="utf-8").replace("\\", "")
    for part in ("310 ms (from 210 to 450), target 1,000 ms", "calibrated", "$1,175.01", "L-DB2E81BA", "$32,061.60"):
        assert part in readme
