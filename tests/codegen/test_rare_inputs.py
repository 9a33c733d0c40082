"""Inputs that few deployments set are in the code where they are wanted, and stay where code has them."""

import dataclasses
import re
import shutil

import pytest
from click.testing import CliRunner

from advisor.cli.generate import command
from advisor.codegen import ConflictPolicy, Language, Wanted, WriteOptions, generate, read_former, write_files
from advisor.codegen.estate import generate_shared
from advisor.codegen.inputs.table import EVERY, declared_inputs
from advisor.errors import InputError
from advisor.plan.document import plan_to_json
from codegen import estates
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS

RARE = {
    "dns", "wait_for_capacity", "capacity_reservation_ids", "model_ids", "registry_secret_arn", "metrics_namespace",
    "budget_enabled", "budget_margin_ratio", "cost_anomaly_detection",
}  # fmt: skip
DECLARING = {Language.TERRAFORM: "variables.tf", Language.PYTHON: "inference/settings.py"}


def wanting(*inputs, **changes):
    """What is asked of the code for one type of instance."""
    return Wanted(rank=1, inputs=frozenset(inputs), **changes)


def names(files, language):
    """Inputs that code declares."""
    pattern = {Language.TERRAFORM: r'^variable "(\w+)"', Language.PYTHON: r"^    (\w+): .+ = setting\("}[language]
    return set(re.findall(pattern, files[DECLARING[language]], re.MULTILINE))


def two_clouds():
    """A plan whose code is of two roots."""
    return make_fleet_plan(
        make_group(), make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8")
    )


@pytest.mark.parametrize("language", Language)
def test_rare_inputs_are_left_out_and_named_in_the_readme(language):
    """With all that only they need."""
    plan = make_plan(make_option())
    files = generate(plan, language, wanting()).files
    whole = generate(plan, language, wanting(EVERY)).files
    assert names(whole, language) - names(files, language) >= RARE
    assert names(files, language) & RARE == set()
    (told,) = re.findall(r"^Left out, since few deployments set them: (.*)\.$", files["README.md"], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", told)) == RARE
    assert "Left out" not in whole["README.md"]
    code = "".join(text for path, text in files.items() if path.endswith((".tf", ".py")))
    assert [name for name in RARE if re.search(rf"(var|settings)\.{name}\b", code)] == []


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", ["scheduled", "mig-l4-spot"])
def test_no_file_speaks_of_an_input_that_is_left_out(name, language):
    """But for how to add it."""
    plan = SCENARIOS[name]().plan
    files = generate(plan, language, Wanted()).files
    (told,) = re.findall(r"^Left out, since few deployments set them: .*$", files["README.md"], re.MULTILINE)
    left_out = re.findall(r"`(\w+)`", told)
    spoken = re.compile(rf"(?:`|\bof )({'|'.join(left_out)})\b(?!`? \(`--input )")
    assert "dns" in left_out
    assert [match[0] for text in files.values() for match in spoken.finditer(text.replace(told, ""))] == []
    whole = generate(plan, language, Wanted(inputs=frozenset({"dns"}))).files
    assert any("; the record of dns does." in text for text in whole.values())


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", sorted(RARE))
def test_a_rare_input_that_is_wanted_is_used(name, language):
    """It alone is added."""
    files = generate(make_plan(make_option()), language, wanting(name)).files
    assert names(files, language) & RARE == {name}
    assert re.search(rf"(var|settings)\.{name}\b", "".join(files.values()))


@pytest.mark.parametrize("language", Language)
def test_a_later_run_keeps_what_the_code_takes(language, tmp_path):
    """Code of an older version, which had every input, keeps those; one that its owner removed stays away."""
    plan = make_plan(make_option())
    write_files(generate(plan, language, wanting("dns", "budget_enabled")), tmp_path)
    kept = generate(plan, language, wanting("metrics_namespace"), former=read_former(tmp_path))
    assert names(kept.files, language) & RARE == {"dns", "budget_enabled", "metrics_namespace"}
    assert kept.warnings == ()
    assert kept.unused_inputs == set()
    path = tmp_path / DECLARING[language]
    path.write_text(path.read_text().replace("budget_enabled", "own_budget"))
    assert names(generate(plan, language, wanting(), former=read_former(tmp_path)).files, language) & RARE == {"dns"}


@pytest.mark.parametrize("language", Language)
def test_inputs_go_along_from_one_cloud_to_several_and_back(language, tmp_path):
    """The root of a cloud has another folder then; what its owner removed meanwhile stays away."""
    path = DECLARING[language]

    def write(plan, *inputs):
        """Names of the rare inputs in the code of AWS."""
        code = generate(plan, language, Wanted(inputs=frozenset(inputs)), former=read_former(tmp_path))
        write_files(code, tmp_path, WriteOptions(conflicts=ConflictPolicy.THEIRS))
        folder = tmp_path / "aws" if len({group.provider for group in plan.fleet.groups}) > 1 else tmp_path
        return names({path: (folder / path).read_text()}, language) & RARE

    alone = make_fleet_plan(make_group())
    assert write(alone, "dns", "budget_enabled") == {"dns", "budget_enabled"}
    assert write(two_clouds(), "metrics_namespace") >= {"dns", "budget_enabled", "metrics_namespace"}
    of_google = names({path: (tmp_path / "gcp" / path).read_text()}, language) & RARE
    assert "budget_enabled" not in of_google
    declaring = tmp_path / "aws" / path
    declaring.write_text(declaring.read_text().replace("budget_enabled", "own_budget"))
    assert write(two_clouds()) & {"budget_enabled", "metrics_namespace"} == {"metrics_namespace"}
    assert write(alone) == {"dns", "metrics_namespace"}
    assert write(two_clouds()) & {"dns", "metrics_namespace", "budget_enabled"} == {"dns", "metrics_namespace"}


def test_one_name_over_several_regions_is_no_rare_wish():
    """The record of the name spreads the requests over the regions."""
    groups = (make_group(), make_group(region="us-west-2"))
    files = generate(make_fleet_plan(*groups), Language.TERRAFORM, Wanted()).files
    assert names(files, Language.TERRAFORM) & RARE == {"dns"}


def test_a_program_that_takes_its_source_from_the_package_takes_every_setting():
    """Nobody reads that source."""
    files = generate(make_plan(make_option()), Language.PYTHON, wanting(as_component=True)).files
    assert all(f"`{name}`" in files["README.md"] for name in RARE)
    assert "Left out" not in files["README.md"]


def test_unknown_and_unused_inputs_are_named():
    """A name of no target is an error with those that there are; one of another target is told with the code."""
    plan = make_plan(make_option())
    with pytest.raises(InputError, match="no code takes dsn") as refused:
        generate(plan, Language.TERRAFORM, wanting("dsn"))
    assert "dns" in refused.value.hint
    made = generate(plan, Language.TERRAFORM, wanting("karpenter_role_names", "dns"))
    assert made.unused_inputs == {"karpenter_role_names"}


@pytest.mark.parametrize("name", ["mixed-fleet", "eks-scheduled", "sagemaker-mixed-scheduled"])
def test_no_rare_input_changes_the_data_of_a_plan(name):
    """Files that hold it are the same with every input as with none."""
    scenario = SCENARIOS[name]()
    few, every = (
        generate(scenario.plan, Language.TERRAFORM, dataclasses.replace(scenario.wanted, inputs=inputs)).files
        for inputs in (frozenset(), frozenset({EVERY}))
    )
    assert few["fleet.tf"] == every["fleet.tf"]


def test_the_command_takes_several(tmp_path):
    """Each ``--input`` adds one."""
    plan = tmp_path / "plan.json"
    plan.write_text(plan_to_json(make_plan(make_option())))
    asked = ["terraform", str(plan), "--into", str(tmp_path / "code"), "--input", "dns", "--input", "model_ids"]
    assert CliRunner().invoke(command, asked).exit_code == 0
    text = (tmp_path / "code" / "variables.tf").read_text()
    assert names({"variables.tf": text}, Language.TERRAFORM) & RARE == {"dns", "model_ids"}
    told = CliRunner().invoke(command, [*asked, "--input", "karpenter_role_names"]).stderr
    assert "warning: --input karpenter_role_names: the code of this plan has no use for it" in told
    assert told.count("--input") == 1


def test_a_shared_machine_takes_them_too():
    """As a fleet of one workload."""
    place = estates.place("AWS_TURNS")
    for inputs in (frozenset(), frozenset({"budget_enabled"})):
        files = generate_shared(place, Language.TERRAFORM, inputs=inputs).files
        assert names(files, Language.TERRAFORM) & RARE == inputs


@pytest.mark.parametrize("language", Language)
def test_a_root_keeps_its_own_inputs_and_none_of_another(language, tmp_path):
    """An input that is usual on one cloud, and rare on another, stays away there."""
    plan = two_clouds()
    first = generate(plan, language, Wanted(inputs=frozenset({"metrics_namespace"})))
    assert first.roots == ("aws", "gcp")
    write_files(first, tmp_path)
    assert generate(plan, language, Wanted(), former=read_former(tmp_path)).files == first.files


@pytest.mark.parametrize(
    ("old", "new"),
    [("\n", "\r\n"), (' {\n', ' { # of us\n'), ('variable "', 'variable  "'), (" = setting(\n", " = setting(  # of us\n")],
)  # fmt: skip
def test_inputs_are_read_however_their_lines_are_written(old, new):
    """With line ends of Windows, comments and other spaces."""
    for language, path in DECLARING.items():
        text = generate(make_plan(make_option()), language, wanting("dns")).files[path]
        assert declared_inputs([text.replace(old, new)]) == declared_inputs([text]) >= {"dns"}


def test_a_variable_on_a_single_line_is_an_input():
    """Its block may end where it began."""
    assert declared_inputs(['variable "dns" {}\n', '# variable "model_ids" {}\n']) == {"dns"}


def test_the_source_in_place_of_a_short_program_takes_every_setting(tmp_path):
    """Which of the package's settings the program sets is not known."""
    plan = make_plan(make_option())
    write_files(generate(plan, Language.PYTHON, wanting(as_component=True)), tmp_path)
    files = generate(plan, Language.PYTHON, wanting(), former=read_former(tmp_path, force=True)).files
    assert names(files, Language.PYTHON) >= RARE


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("make", [lambda: make_plan(make_option()), two_clouds], ids=["one root", "two roots"])
def test_code_whose_record_is_missing_keeps_its_inputs(make, language, tmp_path):
    """They are read as the code lies in the directory and in its roots."""
    plan = make()
    first = generate(plan, language, Wanted(inputs=frozenset({"metrics_namespace", "dns"})))
    write_files(first, tmp_path)
    shutil.rmtree(tmp_path / ".advisor")
    assert generate(plan, language, Wanted(), former=read_former(tmp_path, force=True)).files == first.files
