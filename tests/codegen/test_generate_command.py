"""``advisor generate`` as a user runs it: arguments, output and an exit code."""

import dataclasses
import io
import json
import sys

import pytest

from advisor import codegen
from advisor.cli.app import main
from advisor.codegen import Engine, Language, generate, targets
from advisor.codegen.targets import Target
from advisor.plan.document import plan_to_json
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan

ELSEWHERE = {"provider": "oci", "region": "us-ashburn-1", "instance_type": "VM.GPU.A10.1", "usd_per_hour": 0.7}


def _render(stack):
    groups = "".join(
        f'{one.key}: "{one.instances} {one.instance_type} {stack.backend_of(one).container.image}"\n'
        for one in stack.groups
    )
    return {"fleet.yaml": f"# The fleet.\n\n{groups}", "README.md": f"# {stack.target}\n\nunder\n\nthe line\n"}


def _render_python(stack):
    return {"__main__.py": f"INSTANCES = {stack.groups[0].instances}\n"}


@pytest.fixture(autouse=True)
def _one_small_target(monkeypatch):
    """A target of three files, so that this is a test of the command."""
    renderers = {Language.TERRAFORM: _render, Language.PYTHON: _render_python}
    monkeypatch.setattr(targets, "TARGETS", (Target("ec2", "aws", "EC2 Auto Scaling", renderers, "true"),))


@pytest.fixture
def advisor(tmp_path, monkeypatch, capsys):
    """Runs the program in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["advisor", "generate", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run


@pytest.fixture
def write_plan(tmp_path):
    """Writes a plan to plan.json."""

    def write(*options, **changes):
        (tmp_path / "plan.json").write_text(plan_to_json(make_plan(*options, **changes)), encoding="utf-8")

    return write


@pytest.mark.parametrize("option", ["--into", "--out"])
def test_code_is_written_and_a_second_run_is_unchanged(option, advisor, write_plan):
    """The first run names what it created, the second that nothing changed; both end well."""
    write_plan(make_option())
    code, out, err = advisor("terraform", "plan.json", option, "infra")
    assert (code, err) == (0, "")
    assert out == "created infra/README.md\ncreated infra/fleet.yaml\ninfra: 2 created\n"
    assert advisor("terraform", "plan.json", option, "infra") == (0, "infra: 2 unchanged\n", "")


def test_quiet_leaves_the_names_of_written_files_out(advisor, write_plan):
    """Nothing is printed of a run without warnings; a patch is the result of a dry run and stays."""
    write_plan(make_option())
    code, out, err = advisor("terraform", "plan.json", "--into", "infra", "--quiet", "--dry-run")
    assert (code, err) == (0, "")
    assert out.startswith("---")
    assert advisor("terraform", "plan.json", "--into", "infra", "--quiet") == (0, "", "")


def test_plan_comes_from_standard_input(advisor, write_plan, tmp_path, monkeypatch):
    """A dash is standard input."""
    write_plan(make_option())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "plan.json").read_bytes())))
    assert advisor("terraform", "-", "--into", "infra")[0] == 0


def test_pulumi_is_a_language(advisor, write_plan, tmp_path):
    """Python unless another language is named; one that nothing is written in is wrong usage, which names those that are."""
    write_plan(make_option())
    assert advisor("pulumi", "plan.json", "--into", "infra")[0] == 0
    assert (tmp_path / "infra/__main__.py").read_text() == "INSTANCES = 2\n"
    code, _, err = advisor("pulumi", "plan.json", "--into", "infra", "--language", "typescript")
    assert code == 2
    assert "'typescript' is not 'python'" in err


def test_dry_run_is_a_patch_and_writes_nothing(advisor, write_plan, tmp_path):
    """The patch alone is on stdout, so that it can be applied; what would happen is on stderr."""
    write_plan(make_option())
    code, out, err = advisor("terraform", "plan.json", "--into", "infra", "--dry-run")
    assert code == 0
    assert out.startswith("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1,5 @@\n+# ec2\n")
    assert err == ("create infra/README.md\ncreate infra/fleet.yaml\ndry run, nothing written: infra: 2 created\n")
    assert not (tmp_path / "infra").exists()


def test_edits_are_merged_and_shown(advisor, write_plan, tmp_path):
    """An edit is shown as a patch against the file as it lies there, and listed."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    readme = tmp_path / "infra/README.md"
    readme.write_text(readme.read_text().replace("the line", "my line"))
    assert advisor("terraform", "plan.json", "--into", "infra")[1] == (
        "kept infra/README.md (with your edits)\ninfra: 1 unchanged, 1 kept\n"
    )
    fleet = tmp_path / "infra/fleet.yaml"
    fleet.write_text(fleet.read_text().replace("# The fleet.", "# My fleet."))
    write_plan(make_option(instances=3))
    code, out, _ = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 0
    assert out.startswith("--- a/fleet.yaml\n")
    assert "merged infra/fleet.yaml (with your edits)\n" in out
    assert fleet.read_text().startswith("# My fleet.\n")
    assert '"3 g6.xlarge' in fleet.read_text()


def test_notes_follow_what_was_written(advisor, write_plan, tmp_path, monkeypatch):
    """Files first, then what to know of them, the next command last; nothing of a write that a conflict stops."""

    def with_notes(*arguments):
        return dataclasses.replace(generate(*arguments), warnings=("of the code",), notes=("cut-over finished: apply",))

    monkeypatch.setattr(codegen, "generate", with_notes)
    write_plan(make_option())
    told = "warning: of the code\ncut-over finished: apply\n"
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--dry-run")
    assert err == (
        f"create infra/README.md\ncreate infra/fleet.yaml\n{told}dry run, nothing written: infra: 2 created\n"
    )
    assert advisor("terraform", "plan.json", "--into", "infra")[2] == told
    fleet = tmp_path / "infra/fleet.yaml"
    fleet.write_text(fleet.read_text().replace('"2 g6', '"9 g6'))
    write_plan(make_option(instances=3))
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 1
    assert "nothing was written" in err
    assert "cut-over" not in err
    assert "warning" not in err


def test_conflict_is_an_error_until_a_side_is_named(advisor, write_plan, tmp_path):
    """Both sides are shown and nothing is written; --conflicts and --force settle it."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    fleet = tmp_path / "infra/fleet.yaml"
    mine = fleet.read_text().replace('"2 g6', '"9 g6')
    fleet.write_text(mine)
    write_plan(make_option(instances=3))
    code, out, err = advisor("terraform", "plan.json", "--into", "infra")
    assert (code, out) == (1, "")
    assert "<<<<<<< yours\n" in err
    assert '"9 g6' in err
    assert '"3 g6' in err
    assert fleet.read_text() == mine
    assert advisor("terraform", "plan.json", "--into", "infra", "--conflicts", "mine")[0] == 0
    assert fleet.read_text() == mine
    assert advisor("terraform", "plan.json", "--into", "infra", "--force")[0] == 0
    assert '"3 g6' in fleet.read_text()


def test_conflicts_are_settled_file_by_file(advisor, write_plan, tmp_path):
    """A side for one file leaves the others alone; a word that is none, or a file that is none, is refused."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    fleet, readme = tmp_path / "infra/fleet.yaml", tmp_path / "infra/README.md"
    fleet.write_text(fleet.read_text().replace('"2 g6', '"9 g6'))
    readme.unlink()
    write_plan(make_option(instances=3))
    run = ("terraform", "plan.json", "--into", "infra")
    assert advisor(*run, "--conflicts", "mine:README.md")[0] == 1
    code, _, err = advisor(*run, "--conflicts", "mine:fleet.yml")
    assert (code, "names fleet.yml, which is no file of the code" in err) == (1, True)
    for wrong in ("ours", "mine:", "ours:fleet.yaml"):
        code, _, err = advisor(*run, "--conflicts", wrong)
        assert (code, "none of write, mine, theirs" in err) == (2, True)
    assert advisor(*run, "--conflicts", "mine:README.md", "--conflicts", "theirs:./fleet.yaml")[0] == 0
    assert '"3 g6' in fleet.read_text()
    assert not readme.exists()


def test_foreign_file_is_refused_by_name(advisor, write_plan, tmp_path):
    """A colliding file stops the run; another one does not."""
    write_plan(make_option())
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/mine.tf").write_text("mine\n")
    (tmp_path / "infra/README.md").write_text("mine\n")
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 1
    assert "README.md was not generated" in err
    assert "mine.tf" not in err


def test_recommendation_without_code_is_refused(advisor, write_plan, tmp_path):
    """Nothing is written: exit code 4, what is refused and why, and the option that takes another one."""
    dear = make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.006)
    write_plan(make_option(**ELSEWHERE), dear, make_option(rank=3))
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 4
    assert "2 × VM.GPU.A10.1 on demand in us-ashburn-1 (oci): no code is generated for oci" in err
    assert "options: 2 to 3" in err
    assert not (tmp_path / "infra").exists()
    code, _, _ = advisor("terraform", "plan.json", "--into", "infra", "--option", "3")
    assert code == 0
    assert '"2 g6.xlarge' in (tmp_path / "infra/fleet.yaml").read_text()


def test_what_is_wanted_reaches_the_code(advisor, write_plan, tmp_path):
    """Rank and image."""
    write_plan(make_option(), make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G"))
    code, _, err = advisor(
        "terraform", "plan.json", "--into", "infra", "--option", "2", "--image", "registry.example.com/x:1"
    )
    assert (code, err) == (0, "")
    assert '"2 g5.xlarge registry.example.com/x:1"' in (tmp_path / "infra/fleet.yaml").read_text()


def test_every_engine_can_be_asked_for(advisor):
    """The command's choices are the model's."""
    out = advisor("terraform", "--help")[1]
    assert f"[{'|'.join(Engine)}]" in out


def test_fleet_is_generated(advisor, tmp_path):
    """Both groups of a fleet."""
    plan = make_fleet_plan(make_group(), make_group(purchase="spot"))
    (tmp_path / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    assert advisor("terraform", "plan.json", "--into", "infra")[0] == 0
    assert (tmp_path / "infra/fleet.yaml").read_text().count("g6.xlarge") == 2


@pytest.mark.parametrize(
    ("options", "arguments", "refusal"),
    [
        ([make_option()], ["--option", "7"], (1, "the plan has no option 7")),
        ([make_option()], ["--target", "moon"], (1, "no code is generated for the target 'moon'")),
        ([make_option()], ["--input", "dsn"], (1, "no code takes dsn")),
        ([], [], (4, "the plan has nothing to generate code for")),
    ],
    ids=["no such rank", "no such target", "no such input", "nothing feasible"],
)
def test_what_cannot_be_generated_is_one_error_with_a_hint(options, arguments, refusal, advisor, write_plan, tmp_path):
    """Exit code 1, or 4 where nothing is feasible; one message, a hint, no traceback and no file."""
    write_plan(*options)
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", *arguments)
    assert code == refusal[0]
    assert refusal[1] in err
    assert "hint: " in err
    assert "Traceback" not in err
    assert not (tmp_path / "infra").exists()


@pytest.mark.parametrize(
    ("option", "arguments", "message"),
    [
        (make_option(**ELSEWHERE), [], "no code is generated for oci"),
        (make_option(instance_type="dl1.24xlarge", accelerator="Gaudi1"), ["--option", "1"], "Gaudi"),
        (
            make_option(instance_type="inf2.xlarge", accelerator="Inferentia2", engine="vLLM-NxDI"),
            [],
            "loading and compiling take 32.9 GiB of host memory",
        ),
        (
            make_option(instance_type="g5g.xlarge", accelerator="T4G", precision="fp16"),
            [],
            "built for compute capability 8 and newer, T4G has 7.5",
        ),
    ],
    ids=["elsewhere", "gaudi", "host memory", "image"],
)
def test_what_cannot_be_deployed_has_an_exit_code_of_its_own(option, arguments, message, advisor, write_plan, tmp_path):
    """Exit code 4 with what is refused, the two numbers and a hint; nothing is written."""
    write_plan(option)
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", *arguments)
    assert code == 4
    assert message in err
    assert "hint: " in err
    assert not (tmp_path / "infra").exists()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b'{"schema": "other"}', b"[]"])
def test_bad_plan_file_is_a_user_error(content, advisor, tmp_path):
    """A missing, empty, binary or foreign plan file ends with exit code 1, its name and no traceback."""
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 1
    assert "plan.json" in err
    assert "Traceback" not in err


def test_manifest_names_plan_and_target(advisor, write_plan, tmp_path):
    """What the code came from stands beside it."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    manifest = json.loads((tmp_path / "infra/.advisor/manifest.json").read_text())
    assert manifest["targets"] == ["ec2"]
    assert manifest["plan"].startswith("sha256:")


def test_edited_plan_is_refused_until_it_is_forced(advisor, write_plan, tmp_path):
    """A plan that was changed by hand stops the run; --force goes on with a warning."""
    write_plan(make_option())
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["options"][0]["instances"] = 5
    plan["recommended"]["instances"] = 5
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 1
    assert "plan.json: the plan was edited after it was made" in err
    assert "--force" in err
    assert not (tmp_path / "infra").exists()
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--force")
    assert code == 0
    assert "warning: plan.json: the plan was edited" in err
    assert '"5 g6.xlarge' in (tmp_path / "infra/fleet.yaml").read_text()


def test_groups_that_vanish_are_cut_over_in_stages(advisor, write_plan, tmp_path):
    """The run says what retires and what comes next; the last stage waits for the one before it."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    write_plan(make_option(region="us-west-2"))
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--dry-run")
    assert (code, "retires: 2 × g6.xlarge in us-east-1" in err) == (0, True)
    advisor("terraform", "plan.json", "--into", "infra")
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--cut-over", "finish")
    assert code == 1
    assert "--cut-over finish: 2 × g6.xlarge in us-east-1: requests still go there, the stage is prepare" in err
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--cut-over", "shift")
    assert code == 0
    assert "2 × g6.xlarge in us-east-1 (us-east-1-g6-xlarge-bf16-tp1-on-demand), 0 % of the requests" in err
    assert "next: apply; when all is well" in err
    code, _, err = advisor("terraform", "plan.json", "--into", "infra", "--cut-over", "finish")
    assert (code, err) == (0, "cut-over finished: the next apply removes 2 × g6.xlarge in us-east-1\n")
    assert (tmp_path / "infra/fleet.yaml").read_text().count("g6.xlarge") == 1


def test_another_workload_is_refused_with_both_names(advisor, write_plan):
    """One directory is one state: nothing is written over it unseen."""
    write_plan(make_option())
    advisor("terraform", "plan.json", "--into", "infra")
    write_plan(make_option(), name="search")
    code, _, err = advisor("terraform", "plan.json", "--into", "infra")
    assert code == 1
    assert "'support-chat'" in err
    assert "'search'" in err
    assert "hint: generate into another directory" in err
