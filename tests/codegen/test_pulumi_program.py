"""The short Pulumi program around ``advisor.pulumi``: what is written, and when the whole source is."""

import ast
import dataclasses
import re
import subprocess
import sys

import pytest

from advisor.cli.app import main
from advisor.codegen import Language, generate
from advisor.plan.document import plan_from_json, plan_to_json, why_not_as_made
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS

SOURCE = "inference/deployment.py"


def written(plan, **wanted):
    """The files of the short program of a plan, and its roots."""
    wishes = dataclasses.replace(SCENARIOS["l4-spot"]().wanted, rank=None, as_component=True, **wanted)
    return generate(plan, Language.PYTHON, wishes)


def call(text):
    """Named arguments of ``from_plan`` in a program."""
    (found,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("from_plan")
    )
    return {one.arg: ast.unparse(one.value) for one in found.keywords}


def test_program_is_a_call_with_the_plan_beside_it():
    """No resource is written a second time; the plan is as it was made; what it takes of the plan is fixed."""
    scenario = SCENARIOS["l4-spot"]()
    wanted = dataclasses.replace(scenario.wanted, as_component=True)
    files = generate(scenario.plan, Language.PYTHON, wanted).files
    assert sorted(files) == [
        "Pulumi.production.yaml", "Pulumi.yaml", "README.md", "__main__.py", "plan.json", "requirements.txt", "ruff.toml",
        "tests/__init__.py", "tests/cloud.py", "tests/test_program.py",
    ]  # fmt: skip
    assert why_not_as_made(files["plan.json"]) == ""
    assert plan_to_json(plan_from_json(files["plan.json"])) == plan_to_json(scenario.plan)
    assert len(files["__main__.py"].splitlines()) <= 25
    assert call(files["__main__.py"])["target"] == "'ec2'"
    assert "config.require_object('networks')" in call(files["__main__.py"])["args"]


@pytest.mark.parametrize("holds_other", [False, True])
def test_a_program_without_advisor_says_what_to_install(holds_other, tmp_path):
    """Whether nothing has its name or the other project of the public index has: requirements.txt is pointed to."""
    scenario = SCENARIOS["l4-spot"]()
    files = generate(scenario.plan, Language.PYTHON, dataclasses.replace(scenario.wanted, as_component=True)).files
    (tmp_path / "__main__.py").write_text(files["__main__.py"], encoding="utf-8")
    (tmp_path / "pulumi.py").write_text("class RunError(Exception):\n    pass\n", encoding="utf-8")
    if holds_other:
        (tmp_path / "advisor.py").touch()
    command = [sys.executable, "-S", "-E", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert ran.returncode == 1
    assert re.search(r"RunError: No module named 'advisor.*: give advisor's line in requirements\.txt", ran.stderr)
    assert "Give a line for advisor itself" in files["requirements.txt"]


def test_manifests_of_a_cluster_come_with_the_program():
    """Nodes are the component's, what runs on them is the user's to apply."""
    scenario = SCENARIOS["eks-scheduled"]()
    files = generate(scenario.plan, Language.PYTHON, dataclasses.replace(scenario.wanted, as_component=True)).files
    assert any(path.startswith("kubernetes/") for path in files)


def test_each_cloud_has_a_program_of_its_part():
    """Every one has the plan, and names the part that it deploys."""
    groups = [
        make_group(),
        make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8"),
    ]
    generated = written(make_fleet_plan(*groups))
    assert generated.roots == ("aws", "gcp")
    for root in generated.roots:
        assert call(generated.files[f"{root}/__main__.py"])["part"] == repr(root)
        assert f"{root}/plan.json" in generated.files


@pytest.fixture
def advisor(tmp_path, monkeypatch, capsys):
    """Runs ``advisor generate pulumi`` on the plan of a scenario in an empty folder: standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.json").write_text(plan_to_json(SCENARIOS["l4-spot"]().plan), encoding="utf-8")

    def run(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["advisor", "generate", "pulumi", "plan.json", "--into", "infra", "--option", "1", *arguments]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        code, err = stopped.value.code, capsys.readouterr().err
        assert (code == 0) == ("hint" not in err)
        return err

    return run


def test_directory_with_the_whole_source_keeps_it(advisor, tmp_path):
    """The short program is another component, whose resources would all be made anew: --component alone is refused."""
    advisor("--standalone")
    assert (tmp_path / "infra" / SOURCE).exists()
    assert "holds the whole source, which is written again" in advisor()
    assert (tmp_path / "infra" / SOURCE).exists()
    assert "anew" not in advisor("--standalone")
    refused = advisor("--component")
    assert "the code here is the whole source, whose resources have other names" in refused
    assert "to stay, give --standalone; to change, generate into another directory" in refused
    assert (tmp_path / "infra" / SOURCE).exists()
    advisor("--component", "--force")
    assert not (tmp_path / "infra" / SOURCE).exists()
    assert (tmp_path / "infra/plan.json").exists()
    assert "anew" not in advisor("--component")
    assert "the code here is a short program, whose resources have other names" in advisor("--standalone")
    assert not (tmp_path / "infra" / SOURCE).exists()


def test_short_program_is_written_by_default(advisor, tmp_path):
    """And a second run changes nothing."""
    assert "note" not in advisor()
    assert not (tmp_path / "infra" / SOURCE).exists()
    before = (tmp_path / "infra/__main__.py").stat().st_mtime_ns
    advisor()
    assert (tmp_path / "infra/__main__.py").stat().st_mtime_ns == before
