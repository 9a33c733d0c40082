"""``advisor check --infra`` and ``price`` of directories with several roots: of clouds, of former plans, of workloads."""

import json
import os
import re
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.checks.run import code_directories, look_at_code
from advisor.codegen import Language, generate, write_files
from advisor.codegen.pricing import read_projects
from advisor.codegen.writing import left_roots, read_former
from advisor.errors import InputError
from advisor.models.files import model_at
from codegen.plans import make_fleet_plan, make_group

ON_AWS = make_fleet_plan(make_group(instances=(4, 4)))
GOOGLE = make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8")
ON_BOTH = make_fleet_plan(make_group(instances=(2, 2)), GOOGLE)
NODES = make_group(provider="digitalocean", region="nyc2", instance_type="h100-1x")
OTHER_NODES = make_group(provider="nebius", region="eu-north1", instance_type="gpu-h100-sxm_1gpu-16vcpu-200gb")


def told(plan, infra):
    """Findings as rule, subject and command, and the notes."""
    notes = []
    findings = list(look_at_code(plan, infra, load_catalog(), notes))
    return [(rule, subject, command) for rule, subject, _, command in findings], notes


def written(infra, *plans):
    """A directory that went through some plans."""
    for plan in plans:
        write_files(generate(plan, former=read_former(infra)), infra)
    return infra


def edit(path, pattern, new):
    """Change the first match in a file."""
    text = path.read_text()
    assert re.search(pattern, text)
    path.write_text(re.sub(pattern, new, text, count=1))


@pytest.mark.parametrize(
    ("plans", "left"),
    [((ON_AWS, ON_BOTH, ON_AWS), ["aws", "gcp"]), ((ON_AWS, ON_BOTH), [""]), ((ON_BOTH, ON_AWS, ON_BOTH), [""])],
)
def test_roots_that_the_code_no_longer_has_are_told_and_not_compared(plans, left, tmp_path):
    """As generated nothing differs; an edit of a root of the plan is seen, wherever it lies."""
    infra = written(tmp_path / "infra", *plans)
    places = [f"DIR/{root}".rstrip("/") for root in left]
    former = [
        ("CHK302", root or ".", f"terraform -chdir={place} destroy") for root, place in zip(left, places, strict=True)
    ]
    assert told(plans[-1], infra) == (former, [])
    root = infra if plans[-1] is ON_AWS else infra / "aws"
    edit(root / "fleet.tf", r"(\binstances +=) \d+", r"\1 9")
    rules = [rule for rule, *_ in told(plans[-1], infra)[0]]
    assert rules == ["CHK301", *("CHK302" for _ in left)]


def test_a_root_whose_target_another_cloud_keeps_is_told(tmp_path):
    """Clusters of two clouds have one target: the cloud that the plan leaves is named all the same."""
    plan = make_fleet_plan(NODES, GOOGLE)
    infra = written(tmp_path / "infra", make_fleet_plan(NODES, OTHER_NODES), plan)
    assert told(plan, infra) == ([("CHK302", "nebius", "terraform -chdir=DIR/nebius destroy")], [])


def test_a_record_that_does_not_name_the_live_roots_is_read(tmp_path):
    """The directory itself is a root where it is the only one."""
    for plans, left in (((ON_AWS, ON_BOTH), ("",)), ((ON_AWS, ON_BOTH, ON_AWS), ("aws", "gcp"))):
        infra = written(tmp_path / str(len(plans)), *plans)
        manifest = infra / ".advisor/manifest.json"
        record = json.loads(manifest.read_text())
        assert set(record.pop("live_roots")) == set(record["roots"]) - set(left)
        manifest.write_text(json.dumps(record))
        assert left_roots(infra) == left


def test_money_of_every_root_counts(tmp_path):
    """The directory itself, and roots that were left behind, which are marked."""
    infra = written(tmp_path / "infra", ON_AWS, ON_BOTH, ON_AWS)
    projects = read_projects(infra, None, load_catalog())
    assert [(project.name, project.is_left) for project in projects] == [
        ("infra", False), ("aws", True), ("gcp", True),
    ]  # fmt: skip
    assert all(project.now.monthly for project in projects)


def of_workload(name):
    """A plan of a workload."""
    return replace(ON_AWS, workload={**ON_AWS.workload, "name": name})


def test_the_folder_of_the_workload_is_looked_at(tmp_path):
    """Of a directory with a folder for each workload, its own; where there is none, or several, the error names them."""
    for name in ("helpdesk", "vectors"):
        written(tmp_path / name, of_workload(name))
    assert code_directories("vectors", tmp_path) == [tmp_path / "vectors"]
    assert code_directories("vectors", tmp_path / "helpdesk") == [tmp_path / "helpdesk"]
    with pytest.raises(InputError, match="none of them 'chat': helpdesk, vectors") as refused:
        code_directories("chat", tmp_path)
    assert f"--infra {tmp_path / 'helpdesk'}" in str(refused.value.hint)
    written(tmp_path / "again", of_workload("vectors"))
    with pytest.raises(InputError, match="several of them 'vectors': again, vectors"):
        code_directories("vectors", tmp_path)


def test_code_in_both_languages_is_looked_at_in_both(tmp_path):
    """Of each language the workload has one folder; a second one in a language is not decided between."""
    plan = of_workload("vectors")
    written(tmp_path / "terraform", plan)
    write_files(generate(plan, Language.PYTHON), tmp_path / "pulumi")
    assert code_directories("vectors", tmp_path) == [tmp_path / "pulumi", tmp_path / "terraform"]
    assert told(plan, tmp_path / "terraform")[0] == []
    findings, notes = told(plan, tmp_path / "pulumi")
    assert (findings, notes) == ([], [])
    edit(tmp_path / "pulumi/inference/fleet.py", r"(\bmin_instances=)\d+", r"\g<1>1")
    assert [rule for rule, *_ in told(plan, tmp_path / "pulumi")[0]] == ["CHK301"]
    written(tmp_path / "again", plan)
    with pytest.raises(InputError, match="several of them 'vectors': again, pulumi, terraform"):
        code_directories("vectors", tmp_path)


def test_remedies_are_in_the_language_of_the_code(tmp_path):
    """What a plan left is destroyed by Pulumi where Pulumi made it, and another plan is generated for it."""
    infra = tmp_path / "infra"
    for plan in (ON_AWS, ON_BOTH):
        write_files(generate(plan, Language.PYTHON, former=read_former(infra)), infra)
    assert told(ON_BOTH, infra)[0] == [("CHK302", ".", "pulumi destroy --cwd DIR")]
    larger = make_fleet_plan(make_group(instances=(6, 6)), GOOGLE)
    assert ("CHK301", ".", "advisor generate pulumi PLAN.json --language python --into DIR") in told(larger, infra)[0]


def test_a_pipe_in_the_place_of_code_does_not_hang(tmp_path):
    """Nobody writes into it: it is named, and nothing is read."""
    os.mkfifo(tmp_path / "main.tf")
    for look in (lambda: read_projects(tmp_path, None, load_catalog()), lambda: told(ON_AWS, tmp_path)):
        with pytest.raises(InputError, match="the code is not a regular file"):
            look()
    with pytest.raises(InputError, match="the model is not a regular file"):
        model_at(tmp_path / "main.tf")


def test_the_plan_of_an_estate_is_refused_with_a_check_of_one_workload(run_advisor, tmp_path):
    """Its workloads have plans of their own."""
    (tmp_path / "estate.json").write_text('{"schema": "advisor.estate/v1"}')
    (tmp_path / "vectors.plan.json").write_text("{}")
    refused = run_advisor("check", tmp_path / "estate.json", "--infra", tmp_path / "infra")
    assert refused.returncode == 1
    assert "each has a plan of its own to check" in refused.stderr
    assert f"advisor check {tmp_path / 'vectors.plan.json'} --infra {tmp_path / 'infra/vectors'}" in refused.stderr


def test_a_plan_of_terraform_does_not_stand_for_the_code(tmp_path):
    """Beside generated code, what a plan of Terraform says is not looked at; where it is all there is, a note says so."""
    infra = written(tmp_path / "infra", ON_AWS)
    empty = '{"planned_values": {"root_module": {}}, "format_version": "1.2"}'
    (infra / "tfplan.json").write_text(empty)
    assert told(ON_AWS, infra) == ([], [])
    edit(infra / "fleet.tf", r"(\bmin_instances +=) \d+", r"\1 1")
    assert [rule for rule, *_ in told(ON_AWS, infra)[0]] == ["CHK301"]
    own = tmp_path / "own"
    own.mkdir()
    (own / "plan.json").write_text(empty)
    for named in ("", 'groups = { admins = { rights = "all" } }'):
        (own / "main.tf").write_text(f"locals {{ {named} }}\n")
        findings, (note,) = told(ON_AWS, own)
        assert [(rule, subject) for rule, subject, _ in findings] == [("CHK301", "g6.xlarge")]
        assert "was not compared: the numbers are those of" in note
