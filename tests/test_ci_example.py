"""The workflow of examples/ci is one that the program, and a careful reviewer, would take."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from advisor.cli.catalog import command

PATH = Path(__file__).parents[1] / "examples/ci/refresh-catalog.yaml"
TEXT = PATH.read_text()
WORKFLOW = yaml.safe_load(TEXT)
(JOB,) = WORKFLOW["jobs"].values()
RUNS = [step["run"] for step in JOB["steps"] if "run" in step]


def test_every_action_is_pinned_to_a_commit():
    """With the version beside it, since nobody reads hashes."""
    uses = re.findall(r"uses: (.*)", TEXT)
    assert len(uses) >= 5
    for one in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+)*", one), one


def test_it_has_the_least_permissions():
    """None for the workflow; the job reads the repository and asks for identity tokens."""
    assert WORKFLOW["permissions"] == {}
    assert JOB["permissions"] == {"contents": "read", "id-token": "write"}
    (checkout,) = [step for step in JOB["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False
    stored = set(re.findall(r"secrets\.(\w+)", TEXT))
    assert stored == {"GCP_API_KEY", "CATALOG_SIGNING_KEY"}, "clouds are logged in to by identity tokens"


def test_no_expression_can_change_a_script():
    """Values reach scripts as environment variables alone."""
    assert RUNS
    assert not [one for one in RUNS if "${{" in one]


def test_refresh_guards_diff_and_publish_come_in_order_and_the_version_last():
    """Weekly; what is held back ends the run red after the rest was published."""
    (cron,) = WORKFLOW[True]["schedule"]  # YAML 1.1 reads the key `on` as true
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", cron["cron"])
    script = "\n".join(RUNS)
    wanted = (
        "catalog update",
        "catalog refresh all",
        "catalog diff",
        "catalog audit",
        "catalog publish",
        "exclude version",
        "site/version",
    )
    places = [script.index(words) for words in wanted]
    assert places == sorted(places)
    refresh = next(step for step in JOB["steps"] if step.get("id") == "refresh")
    assert refresh["continue-on-error"]
    assert JOB["steps"][-1] == {
        "name": JOB["steps"][-1]["name"], "if": "steps.refresh.outcome == 'failure'", "run": "exit 1",
    }  # fmt: skip


def test_every_command_is_one_that_the_program_takes():
    """The subcommands and long options exist."""
    lines = [line for run in RUNS for line in run.replace("\\\n", " ").splitlines() if "advisor catalog " in line]
    assert len(lines) >= 5
    for line in lines:
        words = line.split("advisor catalog ")[1].split()
        said = CliRunner().invoke(command, [words[0], "--help"])
        assert said.exit_code == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in said.output, line


def test_actionlint_has_nothing_to_say():
    """Where it is installed."""
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run(["actionlint", str(PATH)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
