"""The steps of examples/ci that comment on pull requests, run as their hosts run them, against a host on loopback."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from click.testing import CliRunner

from advisor.cli.app import advisor
from pull_requests.recorded import GitHubApi, GitLabApi, serving

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples/ci"
ACTION = (EXAMPLES / "github-plan-comment/action.yml").read_text()
TEMPLATE = (EXAMPLES / "gitlab-plan-comment/plan-comment.gitlab-ci.yml").read_text()
HOOKS = (EXAMPLES / "pre-commit/.pre-commit-config.yaml").read_text()
WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [fp8]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {declared: {requests_per_second: 2, peak_requests_per_second: 4, input_tokens: 500, output_tokens: 200}}
providers: [aws]
regions: [us-east-1]
purchase: [on_demand]
instance_types: [g6.xlarge, g6e.xlarge]
"""


def git(directory, *arguments):
    """Run git with an author of its own."""
    author = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *author, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plan_text(tmp_path_factory):
    """The plan of WORKLOAD."""
    path = tmp_path_factory.mktemp("plan") / "workload.yaml"
    path.write_text(WORKLOAD)
    return CliRunner().invoke(advisor, ["recommend", str(path), "--format", "json"]).stdout


@pytest.fixture
def job(tmp_path, plan_text):
    """A repository with a committed workload, and programs that stand for what a job installs."""
    repository, programs = tmp_path / "repository", tmp_path / "bin"
    repository.mkdir()
    programs.mkdir()
    _program(programs / "advisor", f'exec {shlex.quote(sys.executable)} -m advisor "$@"')
    _program(programs / "python", f'echo "$@" >> {shlex.quote(str(tmp_path / "installed"))}')
    (repository / "workload.yaml").write_text(WORKLOAD)
    git(repository, "init", "--quiet")

    class Job:
        directory, temporary = repository, tmp_path
        environment: ClassVar = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GITLAB_", "CI_"))},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

        def run(self, script, shell, **environment):
            """Exit code and output of one script."""
            done = subprocess.run(
                [*shell, script], cwd=repository, env=self.environment | environment, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            return done.returncode, done.stdout + done.stderr

        def commit(self, *, with_plan):
            """Commit what is there, with its plan or without one."""
            if with_plan:
                (repository / "plan.json").write_text(plan_text)
            git(repository, "add", ".")
            git(repository, "commit", "--quiet", "--allow-empty", "--message", "x")
            return git(repository, "rev-parse", "HEAD")

    return Job()


def _program(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run_action(job, url, **inputs):
    """The steps of the action in order, as GitHub runs them; the exit code of the first that fails, else 0."""
    action = yaml.safe_load(ACTION)
    values = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | inputs
    outputs = job.temporary / "outputs"
    outputs.touch()
    common = {
        "RUNNER_TEMP": str(job.temporary), "GITHUB_STEP_SUMMARY": str(job.temporary / "summary.md"), "GITHUB_OUTPUT": str(outputs),
        "GITHUB_ACTIONS": "true", "GITHUB_API_URL": url, "GITHUB_REPOSITORY": "acme/chat", "GITHUB_REF": "refs/pull/7/merge",
    }  # fmt: skip
    for step in action["runs"]["steps"]:
        found = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        known = {f"inputs.{name}": value for name, value in values.items()}
        known |= {f"steps.plan.outputs.{name}": value for name, value in found.items()}
        environment = {
            name: known[text.strip("${} ")] if text.startswith("${{") else text
            for name, text in step.get("env", {}).items()
        }
        code, said = job.run(
            step["run"], ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"), **common, **environment
        )
        if code:
            return code, said
    return 0, ""


def test_the_action_comments_once_and_keeps_the_comment(job):
    """A pull request that raises the demand: first a comment, then the same one with the numbers of the next push."""
    job.commit(with_plan=True)
    (job.directory / "workload.yaml").write_text(
        WORKLOAD.replace(
            "requests_per_second: 2, peak_requests_per_second: 4",
            "requests_per_second: 20, peak_requests_per_second: 40",
        )
    )
    job.commit(with_plan=False)
    api = GitHubApi({101: "Looks good!"})

    with serving(api) as url:
        assert run_action(job, url, version="1.2.3", token="t") == (0, "")
        first = api.texts[102]
        (job.directory / "workload.yaml").write_text(
            WORKLOAD.replace(
                "requests_per_second: 2, peak_requests_per_second: 4",
                "requests_per_second: 40, peak_requests_per_second: 80",
            )
        )
        assert run_action(job, url, version="1.2.3", token="t") == (0, "")

    assert len(api.texts) == 2
    assert api.texts[102] != first
    old = json.loads((job.directory / "plan.json").read_text())["fleet"]["cost"]["total_usd_per_month"]
    assert f"chat: ${old:,.2f} → $" in first
    assert "requests/s in the busiest minute: 4 → 40" in first
    assert "#### code" in first
    assert (job.temporary / "summary.md").read_text().startswith("### chat: ")
    assert "install --quiet inference-advisor==1.2.3" in (job.temporary / "installed").read_text()


def test_the_action_comments_on_what_nothing_serves_and_ends_red(job):
    """There is no former plan either: the comment is the plan itself."""
    job.commit(with_plan=False)
    (job.directory / "workload.yaml").write_text(WORKLOAD + "limits: {max_usd_per_month: 1}\n")
    job.commit(with_plan=False)
    api = GitHubApi()

    with serving(api) as url:
        code, _ = run_action(job, url, version="1", token="t")

    assert code == 4
    (text,) = api.texts.values()
    assert "max\\_usd\\_per\\_month" in text


def test_the_action_takes_no_expression_into_a_script():
    """Inputs reach scripts as environment variables alone, and each of them is described."""
    action = yaml.safe_load(ACTION)

    assert action["runs"]["using"] == "composite"
    assert not [step for step in action["runs"]["steps"] if "${{" in step["run"]]
    assert all(one["description"] for one in action["inputs"].values())
    assert "pull_request_target" not in ACTION


def test_the_template_comments_on_a_merge_request(job):
    """Each line of the job's script, as a GitLab runner runs it: one shell that ends with the first failure."""
    base = job.commit(with_plan=True)
    (job.directory / "workload.yaml").write_text(WORKLOAD.replace("on_demand", "spot"))
    job.commit(with_plan=False)
    template = yaml.safe_load(TEMPLATE)[".advisor-plan-comment"]
    api = GitLabApi()

    with serving(api) as url:
        code, said = job.run(
            "\n".join(template["script"]), ("sh", "-ec"), GITLAB_CI="true", CI_API_V4_URL=url, CI_PROJECT_ID="55",
            CI_MERGE_REQUEST_IID="7", CI_MERGE_REQUEST_DIFF_BASE_SHA=base, GITLAB_TOKEN="t",
            **(template["variables"] | {"ADVISOR_VERSION": "1.2.3"}),
        )  # fmt: skip

    assert code == 0, said
    (text,) = api.texts.values()
    assert text.startswith("[//]: # (advisor-comment: plan)\n\n### chat: $")
    assert "purchase: on\\_demand → spot" in text
    for path in template["artifacts"]["paths"]:
        assert (job.directory / path).exists()


def test_the_hook_stops_a_commit_whose_plan_is_not_that_of_its_workload(job):
    """It makes the plan again: another workload changes the file, which stops the commit; the same one does not."""
    (hook,) = yaml.safe_load(HOOKS)["repos"][0]["hooks"]
    job.commit(with_plan=True)
    plan = job.directory / "plan.json"
    before = plan.read_bytes()

    assert job.run(hook["entry"], ("sh", "-c"))[0] == 0
    assert plan.read_bytes() == before
    (job.directory / "workload.yaml").write_text(
        WORKLOAD.replace(
            "requests_per_second: 2, peak_requests_per_second: 4",
            "requests_per_second: 20, peak_requests_per_second: 40",
        )
    )
    assert job.run(hook["entry"], ("sh", "-c"))[0] == 0
    assert plan.read_bytes() != before
    for name in ("workload.yaml", "demand.json", "plan.json"):
        assert re.search(hook["files"], name)
    assert hook["pass_filenames"] is False


def test_every_option_of_a_script_is_one_that_the_program_takes():
    """Of `advisor recommend`, `diff` and `comment`."""
    for name, rest in re.findall(r"advisor (recommend|diff|comment) ([^|\n]*)", f"{ACTION}\n{TEMPLATE}\n{HOOKS}"):
        known = CliRunner().invoke(advisor, [name, "--help"]).output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, name
