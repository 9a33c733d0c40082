"""What Pulumi's SDK says of the generated programs in Python, and whether they describe what the Terraform roots do."""

import json
import subprocess
import sys

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS
from iac import harness, parity
from iac.modules import needs, of_today

PROGRAMS = [name for name, make in SCENARIOS.items() if Language.PYTHON in make().languages]
TODAY = of_today(PROGRAMS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with the program of each scenario of today."""
    root = tmp_path_factory.mktemp("programs")
    for name in TODAY:
        scenario = SCENARIOS[name]()
        harness.write_module(generate(scenario.plan, Language.PYTHON, scenario.wanted).files, root / name)
    return root


@pytest.fixture(scope="module")
def evaluated(programs, tmp_path_factory):
    """What each program of today registers, reads, exports, and its own tests say; all in one process."""
    needs("pulumi")
    jobs = [
        {"program": str(programs / name), "configuration": dict(SCENARIOS[name]().variables), "answers": parity.ANSWERS}
        for name in TODAY
    ]
    path = tmp_path_factory.mktemp("jobs") / "jobs.json"
    path.write_text(json.dumps(jobs))
    found = harness.in_environment("pulumi", "run_pulumi.py", str(path)).ok().json
    return dict(zip(TODAY, found, strict=True))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", TODAY)
def test_program_evaluates_and_passes_its_own_tests(name, evaluated):
    """Each program registers resources and exports outputs, and the tests that come with it pass."""
    found = evaluated[name]
    assert found.get("error") is None, found["error"]
    assert found["resources"]
    assert found["outputs"]
    assert found["tests"] == "passed", found["tests"]


@pytest.mark.parametrize("name", TODAY)
def test_program_describes_what_the_terraform_root_does(name, evaluated, start):
    """Every resource and data source has its like in the other language, with equal inputs."""
    plan = start(name, filled=True).plan()
    assert parity.differences(plan, evaluated[name]) == []


@pytest.mark.sampled(4)
def test_programs_pass_the_type_checker(programs):
    """The type checker finds nothing in any program: wrong keys and types of arguments would not show when one is evaluated."""
    needs("pulumi")
    checked = TODAY[::2]
    settings = {
        "executionEnvironments": [{"root": name} for name in checked],
        "include": checked,
        "reportMissingModuleSource": False,
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(settings))
    ran = subprocess.run(
        [harness.tool("pulumi", "pyright"), "--project", programs, "--outputjson", "--pythonpath", harness.tool("pulumi", "python")],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    report = json.loads(ran.stdout)
    assert [f"{one['file']}: {one['message']}" for one in report["generalDiagnostics"]] == []
    assert report["summary"]["filesAnalyzed"] >= len(checked)


def test_programs_are_formatted_and_lint_clean(programs):
    """ruff, with the settings that come with each program, changes and finds nothing."""
    for arguments in (["format", "--check", "--diff"], ["check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", *TODAY], cwd=programs, text=True, capture_output=True, check=False
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
