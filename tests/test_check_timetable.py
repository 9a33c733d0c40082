"""``advisor check --infra``: when the machines of the code run, what serves on them, and who gets which share."""

import dataclasses
import re
import shutil

import pytest

from advisor.catalog import load_catalog
from advisor.checks import generated_anew
from advisor.checks.code_facts import differences as places_of
from advisor.checks.code_facts import facts_of, words_of
from advisor.checks.run import look_at_code
from advisor.checks.values import RULES, Level
from advisor.codegen import Language, Wanted, generate, write_files
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS
from codegen.test_cut_over import run, with_larger

STATIC = make_fleet_plan(make_group(instances=(4, 4)), policy=Policy.STATIC)
BY_CLOCK = make_fleet_plan(make_group())
TO_ZERO = make_fleet_plan(make_group(instances=(0, 4)))
TARGETS = ("ec2", "eks", "eks-karpenter")


def told(plan, infra):
    """Messages of CHK301 by their subjects, and notes."""
    notes = []
    findings = look_at_code(plan, infra, load_catalog(), notes)
    return {subject: message for rule, subject, message, _ in findings if rule == "CHK301"}, notes


def written(plan, infra, target="", **wishes):
    """A directory with the code of a plan."""
    write_files(generate(plan, wanted=Wanted(target=target, **wishes)), infra)
    return infra


@pytest.mark.sampled(3)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if "scheduled" in name] + ["two-regions", "reactive"])
def test_code_of_the_plan_is_as_planned(scenario, tmp_path):
    """Whatever its target and its timetable; node pools of clusters that scale were told to start too few."""
    made = SCENARIOS[scenario]()
    write_files(generate(made.plan, wanted=made.wanted), tmp_path)
    notes = []
    assert list(look_at_code(made.plan, tmp_path, load_catalog(), notes)) == []
    assert notes == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("deployed", "planned"), [(BY_CLOCK, STATIC), (STATIC, BY_CLOCK), (TO_ZERO, BY_CLOCK), (BY_CLOCK, TO_ZERO)]
)
def test_another_timetable_is_told(deployed, planned, target, tmp_path):
    """The same machines in the busiest hours, and others in the quiet ones."""
    assert told(deployed, written(deployed, tmp_path, target)) == ({}, [])
    differences, _ = told(planned, tmp_path)
    assert differences
    assert all("in the plan" in message or "in the directory" in message for message in differences.values())


@pytest.mark.parametrize(
    ("name", "pattern", "new", "words"),
    [
        ("fleet.tf", r"min_instances +=.*", "min_instances = 1", "min_instances: 1 in the code, 2 in the plan"),
        (
            "fleet.tf",
            r"(recurrence = \"\d+ \d+ [^\"]+\", instances =) 2",
            r"\1 3",
            "instances: 3 in the code, 2 in the plan",
        ),
        ("fleet.tf", r"( +weight +=) 1000", r"\1 900", "weight: 900 in the code, 1000 in the plan"),
        (
            "compute.tf",
            r"min_size +=.*",
            "min_size = 0",
            "min_size: 0 in the code, each.value.min_instances in the plan",
        ),
        ("fleet.tf", r"max_instances +=.*", "max_instances = 9", ""),
        ("fleet.tf", r"root_volume_gib +=.*", "root_volume_gib = 999", ""),
    ],
)
def test_an_edit_of_the_timetable_is_told(name, pattern, new, words, tmp_path):
    """Both values stand in the message; a greater maximum, and a larger disk, are no other timetable."""
    infra = written(BY_CLOCK, tmp_path, "ec2")
    path = infra / name
    text, edits = re.subn(pattern, new, path.read_text(), count=1)
    assert edits == 1
    path.write_text(text)
    differences, notes = told(BY_CLOCK, infra)
    assert [words in message for message in differences.values()] == ([True] if words else [])
    assert notes == []


NIGHT_AND_DAY = SCENARIOS["night-and-day"]()


def test_an_edit_of_a_hand_over_is_told(tmp_path):
    """Steps by which a backend of EC2 is emptied: without one to 0 it keeps a machine at all hours."""
    write_files(generate(NIGHT_AND_DAY.plan, wanted=NIGHT_AND_DAY.wanted), tmp_path)
    path = tmp_path / "fleet.tf"
    text, edits = re.subn(r"(minute = 1140\s+groups = \{ \S+ =) 0", r"\1 2", path.read_text(), count=1)
    assert edits == 1
    path.write_text(text)
    differences, _ = told(NIGHT_AND_DAY.plan, tmp_path)
    (message,) = differences.values()
    assert message.startswith("steps.")
    assert message.endswith(": 2 in the code, 0 in the plan")


def edited(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value - 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, tuple):
        return (*value[:-1], f"{value[-1]}x")
    if isinstance(value, list):
        return [edited(value[0]), *value[1:]] if value else ["x"]
    return {key: edited(entry) for key, entry in value.items()} if value else {"x": 1}


SILENT = {"description", "former_keys", "metrics", "scraped", "longest_queue", "waiting_limit"}
"""Facts of names and alarms."""
OF_NAMES = {"tags", "labels", "name", "name_prefix", "display_name"}
"""The same of resources."""
ONE_OF_EACH_TARGET = (
    "night-and-day", "eks-scheduled", "sagemaker-mixed-scheduled", "vm-scale-set-mixed", "aks-scheduled",
    "container-apps-mixed", "mig-scheduled", "gke-scheduled", "cloud-run-l4-to-zero", "ibm-h100", "kubernetes-spot",
)  # fmt: skip
RUNNING_KINDS = ("groups", "node_pools", "backends", "regions", "entrance", "module", "file")
RUNNING_RESOURCES = re.compile(
    "autoscal|launch_template|scale_set|instance_(template|group)|node_(pool|group)|_lb_|forwarding|backend_service|"
    "sagemaker_(model|endpoint)|sfn_state|container_app|cloud_run_v2_service.this|instance_group"
)


def runs(subject):
    """Whether an edit of a subject changes what runs, or how."""
    kind, name = subject
    if re.search(r"^kubernetes/(weights/|.*(\.sh|prometheus-rule\.yaml)$)|^requirements\.txt$", name):
        return False
    return kind in RUNNING_KINDS or (kind == "resource" and RUNNING_RESOURCES.search(name))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("scenario", ONE_OF_EACH_TARGET)
def test_an_edit_of_any_fact_that_changes_what_runs_is_told(scenario, language):
    """Data, resources, templates and objects, on every target; alarms, tags and descriptions are the user's."""
    made = SCENARIOS[scenario]()
    if scenario.startswith("ibm") and language is Language.PYTHON:
        return
    files = generate(made.plan, language, made.wanted).files
    facts = generated_anew._facts(generated_anew._of_root(files, ""))
    assert list(generated_anew._told(facts, facts, facts)) == []
    places = [
        (subject, fact)
        for subject, value in facts.items()
        for fact in (value if isinstance(value, dict) else [""])
        if runs(subject) and fact not in SILENT and not fact.endswith("_alarms")
        if subject[0] != "resource" or fact not in OF_NAMES
    ]
    unseen = []
    for subject, fact in places:
        value = facts[subject]
        there = {**facts, subject: {**value, fact: edited(value[fact])} if fact else edited(value)}
        weights = [weight for weight, *_ in generated_anew._told(facts, facts, there)]
        if not weights or min(weights) is generated_anew._Weight.BESIDE:
            unseen.append((subject, fact))
    assert len(places) > 5
    assert unseen == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("scenario", ONE_OF_EACH_TARGET)
def test_code_as_generated_has_no_finding_in_either_language(scenario, language, tmp_path):
    """Whatever its target; comments, layout, inputs and files of the user's own are no difference."""
    made = SCENARIOS[scenario]()
    if scenario.startswith("ibm") and language is Language.PYTHON:
        return
    write_files(generate(made.plan, language, made.wanted), tmp_path)
    assert list(look_at_code(made.plan, tmp_path, load_catalog(), [])) == []
    for path in [path for kind in ("*.tf", "*.py") for path in tmp_path.rglob(kind)]:
        path.write_text(f"# Ours.\n{path.read_text()}\n\n# Reviewed.\n")
    (tmp_path / "own.tf").write_text('resource "aws_s3_bucket" "own" {}\n')
    (tmp_path / "terraform.tfvars").write_text('tags = { team = "search" }\nname = "ours"\n')
    assert list(look_at_code(made.plan, tmp_path, load_catalog(), [])) == []


SPOT = next(name for name in SCENARIOS if "on_demand_base" in "".join(generate(SCENARIOS[name]().plan).files.values()))
EDITS = (
    ("scaling.tf", "= each.value.instances", "= 3", "aws_autoscaling_schedule.this",
     "desired_capacity: 3 in the code, each.value.instances in the plan"),
    ("failover.tf", "= min(backend.weight, 999)", "= 500", "aws_sfn_state_machine.failover",
     "definition: Weight = 500 in the code, Weight = min(backend.weight, 999) in the plan"),
    ("failover.asl.yaml.tftpl", "'Kept': $kept", "'Kept': false", "failover.asl.yaml.tftpl", "'Kept': false"),
    ("network.tf", "lifecycle { ignore_changes = [default_action] }", "", "aws_lb_listener.https",
     "lifecycle.ignore_changes: none in the code, default_action in the plan"),
    ("user_data.sh.tftpl", "systemctl", "echo", "user_data.sh.tftpl", "echo"),
)  # fmt: skip
"""File, text, what takes its place, subject and words of the finding."""


@pytest.mark.parametrize(("name", "text", "new", "subject", "words"), EDITS)
def test_an_edit_of_the_code_beside_the_data_is_told(name, text, new, subject, words, tmp_path):
    """Whatever the file and the argument: of each the first line that differs."""
    write_files(generate(NIGHT_AND_DAY.plan, wanted=NIGHT_AND_DAY.wanted), tmp_path)
    path = tmp_path / name
    assert text in path.read_text()
    path.write_text(path.read_text().replace(text, new, 1))
    differences, _ = told(NIGHT_AND_DAY.plan, tmp_path)
    assert list(differences) == [subject]
    assert words in differences[subject]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("terraform.tfvars", "on_demand_base = {{ {key} = 1 }}\n"),
        ("spot.auto.tfvars.json", '{{"on_demand_base": {{"{key}": 1}}}}'),
        ("Pulumi.production.yaml", 'config:\n  stack:on_demand_base:\n    "{key}": 1\n'),
    ],
)
def test_an_input_that_the_plan_rests_on_is_told(name, text, tmp_path):
    """Spot instances that are bought on demand: the plan is priced with none."""
    plan = make_fleet_plan(make_group(instances=(4, 4), purchase="spot"))
    is_pulumi = name.startswith("Pulumi")
    key = "us-east-1-g6-xlarge-bf16-tp1-spot"
    write_files(generate(plan, Language.PYTHON if is_pulumi else Language.TERRAFORM), tmp_path)
    (tmp_path / name).write_text(text.format(key=key))
    ((rule, subject, message, command),) = look_at_code(plan, tmp_path, load_catalog(), [])
    assert (rule, subject) == ("CHK301", f"{name}:on_demand_base")
    assert message == f"{key}: 1 in the code, none in the plan"
    reset = "pulumi config rm on_demand_base --stack production --cwd DIR/"
    assert command == (reset if is_pulumi else "grep -n on_demand_base DIR/*.tf*")
    (tmp_path / name).write_text(text.format(key=key).replace("1", "0").replace(key.replace("1", "0"), key))
    assert list(look_at_code(plan, tmp_path, load_catalog(), [])) == []


REACTIVE = SCENARIOS["mig-reactive"]()


@pytest.mark.parametrize("as_component", [False, True])
@pytest.mark.parametrize("language", Language)
def test_a_default_that_the_plan_rests_on_is_told_in_either_language(language, as_component, tmp_path):
    """An edited default is an edit of the code; each stack of Pulumi is told by its file, and the default is none."""
    wanted = Wanted(target="mig", as_component=as_component)
    write_files(generate(REACTIVE.plan, language, wanted), tmp_path)
    is_pulumi = language is Language.PYTHON
    for name, value in (("production", 0.8), ("staging", 0.3)):
        file = tmp_path / (f"Pulumi.{name}.yaml" if is_pulumi else f"{name}.auto.tfvars")
        file.write_text(
            f"config:\n  x:target_utilization: {value}\n" if is_pulumi else f"target_utilization = {value}\n"
        )
    differences, _ = told(REACTIVE.plan, tmp_path)
    assert differences == {f"{file.name}:target_utilization": "0.3 in the code, 0.8 in the plan"}
    file.unlink()
    assert told(REACTIVE.plan, tmp_path)[0] == {}
    if is_pulumi and as_component:
        return
    path = tmp_path / ("inference/settings.py" if is_pulumi else "variables.tf")
    text, edits = re.subn(
        r"(target_utilization(?:: float|\").*?default *= *)0\.8", r"\g<1>0.3", path.read_text(), flags=re.DOTALL
    )
    assert edits == 1
    path.write_text(text)
    ((rule, subject, message, command),) = look_at_code(REACTIVE.plan, tmp_path, load_catalog(), [])
    assert (rule, subject) == ("CHK301", "variable.target_utilization")
    assert message == "default: 0.3 in the code, 0.8 in the plan"
    assert command.endswith("--force")


def test_a_program_that_was_edited_is_told(tmp_path):
    """By the module and the function, and by the data of a group as in Terraform."""
    write_files(generate(BY_CLOCK, Language.PYTHON), tmp_path)
    for name, text, new in (
        ("scaling.py", "=entry.instances", "=3"),
        ("fleet.py", "min_instances=2", "min_instances=1"),
    ):
        path = tmp_path / "inference" / name
        assert text in path.read_text()
        path.write_text(path.read_text().replace(text, new, 1))
    differences, _ = told(BY_CLOCK, tmp_path)
    assert "desired_capacity=3" in differences["inference/scaling.py:scale"]
    (group,) = differences.keys() - {"inference/scaling.py:scale"}
    assert differences[group] == "min_instances: 1 in the code, 2 in the plan"


def test_an_edit_that_no_plan_decides_is_a_note(tmp_path):
    """An alarm's threshold, or a policy: told, and no other fleet; the command shows it and writes nothing."""
    infra = written(BY_CLOCK, tmp_path, "ec2")
    path = infra / "iam.tf"
    path.write_text(re.sub(r"(max_session_duration|name_prefix) +=.*", r'\1 = "x"', path.read_text(), count=1))
    ((rule, _, message, command),) = look_at_code(BY_CLOCK, infra, load_catalog(), [])
    assert rule == "CHK304"
    assert message.startswith("edited: ")
    assert command.endswith("--dry-run")
    assert RULES["CHK304"].level is Level.NOTE


SET_UP = (
    ("kustomization.yaml", "# components:\n#   - ../weights/bucket", "components:\n  - ../weights/bucket"),
    ("kustomization.yaml", "  # - route.yaml", "  - route.yaml"),
    ("kustomization.yaml", "MODEL_REVISION=main", "MODEL_REVISION=0e9e39f"),
    ("kustomization.yaml", "# images:\n#   - name: IMAGE\n#     digest:", "images:\n  - name: vllm\n    digest:"),
    ("kustomization.yaml", "# patches:", "commonAnnotations:\n  team: search\nlabels:\n  - pairs: { team: search }\n#"),
    ("../weights/bucket/kustomization.yaml", "s3://bucket/prefix", "s3://ours/models"),
    ("route.yaml", "parentRefs:\n    - name: inference", "hostnames: [chat.example]\n  parentRefs:\n    - name: ours"),
    ("route.yaml", "metadata:\n", "metadata:\n  annotations: { team: search }\n"),
)
"""File of a region's folder, text, and what takes its place: the set-up that generated objects ask for."""


@pytest.mark.parametrize("language", Language)
def test_the_set_up_of_a_cluster_is_the_users(language, tmp_path):
    """Weights, digests, Gateways, names and labels: a note at most, since the plan decides none of them."""
    made = SCENARIOS["eks-scheduled"]()
    write_files(generate(made.plan, language, made.wanted), tmp_path)
    for name, text, new in SET_UP:
        path = tmp_path / "kubernetes" / "us-east-1" / name
        assert text in path.read_text()
        path.write_text(path.read_text().replace(text, new, 1))
    findings = list(look_at_code(made.plan, tmp_path, load_catalog(), []))
    assert {rule for rule, *_ in findings} == {"CHK304"}
    kustomization = tmp_path / "kubernetes" / "us-east-1" / "kustomization.yaml"
    kustomization.write_text(f"{kustomization.read_text()}\nreplicas:\n  - name: vllm\n    count: 9\n")
    assert len(told(made.plan, tmp_path)[0]) == 1


@pytest.mark.parametrize(
    ("name", "language", "rules"),
    [
        ("outputs.tf", Language.TERRAFORM, {"CHK304"}),
        ("user_data.sh.tftpl", Language.TERRAFORM, {"CHK301"}),
        ("inference/scaling.py", Language.PYTHON, {"CHK301"}),
        ("inference/monitoring.py", Language.PYTHON, {"CHK304"}),
    ],
)
def test_a_generated_file_that_was_deleted_is_told(name, language, rules, tmp_path):
    """By what it held; of a module of Python once."""
    write_files(generate(BY_CLOCK, language), tmp_path)
    (tmp_path / name).unlink()
    findings = list(look_at_code(BY_CLOCK, tmp_path, load_catalog(), []))
    assert {rule for rule, *_ in findings} == rules
    assert {message.removeprefix("edited: ") for *_, message, _ in findings} == {
        "was generated and is not in the directory"
    }
    assert language is Language.TERRAFORM or len(findings) == 1


MANIFEST = "kubernetes/us-east-1/us-east-1-1xl4-bf16-tp1-vllm.yaml"


@pytest.mark.parametrize(
    ("target", "name", "own", "old", "new"),
    [
        ("ec2", "compute.tf", "asg.tf", "latest_version", "default_version"),
        ("ec2", "user_data.sh.tftpl", "start.sh.tftpl", "set -", "set +"),
        (
            "eks",
            MANIFEST,
            "kubernetes/us-east-1/engine.yaml",
            "progressDeadlineSeconds: ",
            "progressDeadlineSeconds: 1",
        ),
    ],
)
def test_a_file_of_another_name_is_read_under_it(target, name, own, old, new, tmp_path):
    """It deploys the same, and what is edited in it is told."""
    write_files(generate(BY_CLOCK, wanted=Wanted(target=target)), tmp_path)
    (tmp_path / name).rename(tmp_path / own)
    for file in tmp_path.rglob("kubernetes/*/kustomization.yaml"):
        file.write_text(file.read_text().replace(f'"{name.rpartition("/")[2]}"', own.rpartition("/")[2]))
    assert list(look_at_code(BY_CLOCK, tmp_path, load_catalog(), [])) == []
    text = (tmp_path / own).read_text()
    assert old in text
    (tmp_path / own).write_text(text.replace(old, new))
    assert {rule for rule, *_ in look_at_code(BY_CLOCK, tmp_path, load_catalog(), [])} == {"CHK301"}


@pytest.mark.parametrize(
    ("name", "pattern", "new", "rule"),
    [
        ("fleet.tf", r"    gpu_memory = \{.*?\n    \}\n", "", "CHK304"),
        ("fleet.tf", r"  planned_usd_per_month = [\d.]+\n", "", "CHK304"),
        ("fleet.tf", r"  regions = \{\n", "  regions = {\n    eu-west-1 = { weight = 500 }\n", "CHK301"),
        ("fleet.tf", r"  backends = \{\n", "  backends = {\n    ours = { weight = 500 }\n", "CHK301"),
        ("compute.tf", r'(resource "aws_autoscaling_group" "this" \{\n)', r"\1  default_cooldown = 5\n", "CHK304"),
        ("compute.tf", r'(resource "aws_autoscaling_group" "this" \{\n)', r"\1  provider = aws.other\n", "CHK301"),
        ("compute.tf", r'(resource "aws_autoscaling_group" "this" \{\n)', r"\1  warm_pool {}\n", "CHK301"),
    ],
)
def test_entries_and_arguments_that_were_deleted_or_added_are_told(name, pattern, new, rule, tmp_path):
    """Alarms, the budget and added arguments as a note; shares of requests, places and blocks as another fleet."""
    infra = written(BY_CLOCK, tmp_path, "ec2")
    text, edits = re.subn(pattern, new, (infra / name).read_text(), count=1, flags=re.DOTALL)
    assert edits == 1
    (infra / name).write_text(text)
    assert [each[0] for each in look_at_code(BY_CLOCK, infra, load_catalog(), [])] == [rule]


def test_code_that_keeps_what_a_former_plan_deployed_is_of_its_plan(tmp_path):
    """Node groups keep their types while all of them serve: no other run would write it otherwise."""
    for plan in (with_larger(1.0), with_larger(2.5)):
        run(tmp_path, plan, target="eks")
    assert list(look_at_code(plan, tmp_path, load_catalog(), [])) == []


@pytest.mark.parametrize("name", ["override.tf", "zz_override.tf"])
def test_override_files_are_merged_argument_by_argument(name, tmp_path):
    """As Terraform merges them: what they leave out is as generated."""
    infra = written(BY_CLOCK, tmp_path, "ec2")
    group = 'resource "aws_autoscaling_group" "this" {{\n  {} = 5\n}}\n'
    (infra / name).write_text(group.format("default_cooldown"))
    ((rule, subject, message, _),) = look_at_code(BY_CLOCK, infra, load_catalog(), [])
    assert (rule, subject) == ("CHK304", "aws_autoscaling_group.this")
    assert message == "edited: default_cooldown: 5 in the code, none in the plan"
    (infra / name).write_text(group.format("desired_capacity"))
    (message,) = told(BY_CLOCK, infra)[0].values()
    assert message == "desired_capacity: 5 in the code, each.value.instances in the plan"


@pytest.mark.parametrize("text", ["<<<<<<< ours\n", "\0"])
def test_a_program_that_is_not_valid_is_told_with_its_place(text, tmp_path):
    """Marks of a merge, and what Python does not read."""
    write_files(generate(BY_CLOCK, Language.PYTHON), tmp_path)
    path = tmp_path / "inference" / "scaling.py"
    path.write_text(f"{text}{path.read_text()}")
    with pytest.raises(InputError, match=r"inference/scaling\.py.*not valid Python"):
        list(look_at_code(BY_CLOCK, tmp_path, load_catalog(), []))


@pytest.mark.parametrize("config", ["[a]", "text", "null"])
def test_a_configuration_without_values_gives_none(config, tmp_path):
    """Pulumi tells what is wrong with it."""
    write_files(generate(BY_CLOCK, Language.PYTHON), tmp_path)
    (tmp_path / "Pulumi.staging.yaml").write_text(f"config: {config}\n")
    assert list(look_at_code(BY_CLOCK, tmp_path, load_catalog(), [])) == []


@pytest.mark.parametrize(
    ("subject", "path", "weight"),
    [
        (("resource", "google_compute_instance_template.this"), ("tags",), generated_anew._Weight.RUNS),
        (("resource", "aws_launch_template.this"), ("tags",), generated_anew._Weight.BESIDE),
        (("local", "name"), (), generated_anew._Weight.BESIDE),
        (("local", "namespaces"), (), generated_anew._Weight.RUNS),
    ],
)
def test_what_counts_as_a_name(subject, path, weight):
    """Firewalls and routes of Google go by tags."""
    assert generated_anew._weight(subject, (path, ["a"], ["b"]), is_recorded=True) is weight


def test_objects_of_one_kind_and_name_are_all_compared():
    """The second is not read in place of the first."""
    (objects,) = facts_of("kind: Job\nof: 1\n---\nkind: Job\nof: 2\n", "kubernetes/jobs.yaml").values()
    assert objects == {"Job": {"kind": "Job", "of": 1}, "Job 2": {"kind": "Job", "of": 2}}


def test_a_schedule_that_was_deleted_is_told(tmp_path):
    """Its data alone starts nothing."""
    infra = written(BY_CLOCK, tmp_path, "ec2")
    (infra / "scaling.tf").unlink()
    differences, _ = told(BY_CLOCK, infra)
    assert "aws_autoscaling_schedule.this" in differences


@pytest.mark.parametrize("number", ["minReplicaCount", "desiredReplicas"])
def test_an_edit_of_pods_is_told(number, tmp_path):
    """What KEDA is given to scale by is the timetable of a cluster."""
    infra = written(BY_CLOCK, tmp_path, "eks")
    (path,) = (path for path in infra.rglob("*.yaml") if number in path.read_text())
    path.write_text(re.sub(rf'({number}: "?)\d', r"\g<1>9", path.read_text(), count=1))
    differences, _ = told(BY_CLOCK, infra)
    assert number in differences[str(path.relative_to(infra))]


@pytest.mark.parametrize("target", ["ec2", "eks"])
def test_another_precision_on_the_same_machines_is_told(target, tmp_path):
    """As many machines of the type, and another checkpoint on them."""
    infra = written(STATIC, tmp_path, target)
    (group,) = STATIC.fleet.groups
    groups = (dataclasses.replace(group, precision="fp8", name=group.name.replace("bf16", "fp8")),)
    planned = dataclasses.replace(STATIC, fleet=dataclasses.replace(STATIC.fleet, groups=groups))
    (message,) = (words for subject, words in told(planned, infra)[0].items() if subject.startswith("us-east-1-g6"))
    assert "is in the plan and not in the code, which has us-east-1-g6-xlarge-bf16" in message


def test_another_engine_on_the_same_machines_is_told(tmp_path):
    """The plan's numbers are of its engine."""
    from advisor.codegen import Engine  # noqa: PLC0415 - here alone

    infra = written(STATIC, tmp_path, "ec2", engine=Engine.SGLANG)
    differences, _ = told(STATIC, infra)
    assert any("sglang in the code" in message for message in differences.values())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("target", TARGETS)
def test_without_a_record_the_target_is_told_by_the_resources(target, tmp_path):
    """A directory without .advisor is compared too; where objects of a cluster cannot be, a note says so."""
    infra = written(BY_CLOCK, tmp_path, target)
    shutil.rmtree(infra / ".advisor")
    differences, notes = told(BY_CLOCK, infra)
    assert bool(differences) == (target == "eks-karpenter")
    assert bool(notes) == (target == "eks")
    assert told(STATIC, infra)[0]


@pytest.mark.parametrize(
    ("there", "planned", "words"),
    [
        (
            {"day": {"cron": "0 7", "instances": 4}, "night": {"cron": "0 19", "instances": 2}},
            {"day": {"cron": "0 7", "instances": 4}, "night": {"cron": "0 20", "instances": 2}},
            ".night.cron: 0 19 in the code, 0 20 in the plan",
        ),
        (
            [{"name": "a", "size": 1}, {"name": "c", "size": 3}],
            [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 4}],
            (
                ".b.name: none in the code, b in the plan; schedule.b.size: none in the code, 2 in the plan; "
                "schedule.c.size: 3 in the code, 4 in the plan"
            ),
        ),
        ({"day": {"size": 1}}, {"day": {"size": 1, "heals": True}}, ".day.heals: none in the code, True in the plan"),
        (["a", "b"], ["a", "c"], ": b in the code, c in the plan"),
        ({"b": 1, "a": 2}, None, ": b a in the code, none in the plan"),
        ([{"size": 1}, {"size": 2}], [{"size": 1}], ".2.size: 2 in the code, none in the plan"),
        (("a(", "b", ")"), ("a(", "c", ")"), ": b in the code, c in the plan"),
        (["x"], "x" * 99, f": x in the code, {'x' * 90}… in the plan"),
    ],
)
def test_the_entry_that_differs_is_shown(there, planned, words):
    """By its place and both values, and not by how many entries there are."""
    assert words_of([*places_of({"schedule": planned}, {"schedule": there})]) == f"schedule{words}"
