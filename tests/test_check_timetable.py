"""``advisor check --infra``: when the machines of the code run, what serves on them, and who gets which share."""

import copy
import dataclasses
import re
import shutil

import pytest

from advisor.catalog import load_catalog
from advisor.checks import generated_anew
from advisor.checks.generated_anew import _words
from advisor.checks.run import look_at_code
from advisor.codegen import Wanted, generate, write_files
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS

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
    assert told(made.plan, tmp_path) == ({}, [])


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
        ("fleet.tf", r"(recurrence = \"\d+ \d+ [^\"]+\", instances =) 2", r"\1 3", "schedule: "),
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
    assert message.startswith("steps: ")


def edited(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value - 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [edited(value[0]), *value[1:]] if value else ["x"]
    return {key: edited(entry) for key, entry in value.items()} if value else {"x": 1}


SILENT = {"description", "former_keys", "metrics", "scraped", "longest_queue", "waiting_limit"}
"""Facts of names and alarms."""
ONE_OF_EACH_TARGET = (
    "night-and-day", "eks-scheduled", "sagemaker-mixed-scheduled", "vm-scale-set-mixed", "aks-scheduled",
    "container-apps-mixed", "mig-scheduled", "gke-scheduled", "cloud-run-l4-to-zero", "ibm-h100", "kubernetes-spot",
)  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("scenario", ONE_OF_EACH_TARGET)
def test_an_edit_of_any_fact_that_changes_what_runs_is_told(scenario, tmp_path, monkeypatch):
    """Of groups, backends, regions and entrances, on every target; alarms and descriptions are the user's to word."""
    made = SCENARIOS[scenario]()
    write_files(generate(made.plan, wanted=made.wanted), tmp_path)
    assert told(made.plan, tmp_path) == ({}, [])
    read = generated_anew._data
    recorded = read(generated_anew._recorded(tmp_path, ""))
    facts = [
        (name, key, fact)
        for name in ("groups", "node_pools", "backends", "regions", "entrance")
        for key, entry in recorded.get(name, {}).items()
        for fact in (entry if isinstance(entry, dict) else [""])
        if fact not in SILENT and not fact.endswith("_alarms")
    ]
    unseen = []
    for name, key, fact in facts:
        there = copy.deepcopy(recorded)
        if fact:
            there[name][key][fact] = edited(there[name][key][fact])
        else:
            there[name][key] = edited(there[name][key])
        monkeypatch.setattr(generated_anew, "local_map", lambda documents, asked, there=there: (
            there if documents == "there" else recorded).get(asked))  # fmt: skip
        monkeypatch.setattr(
            generated_anew, "_data", lambda documents, there=there: there if documents == "there" else recorded
        )
        words = [*generated_anew._of_groups("planned", "there"), *generated_anew._of_other_facts("record", "there")]
        if not words:
            unseen.append((name, key, fact))
    assert len(facts) > 5
    assert unseen == []


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
            "night with cron 0 19 in the code, night with cron 0 20 in the plan",
        ),
        (
            [{"name": "a", "size": 1}, {"name": "c", "size": 3}],
            [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 4}],
            "no entry b in the code, b with name b, size 2 in the plan; 1 more entry differs",
        ),
        (
            {"day": {"size": 1}},
            {"day": {"size": 1, "heals": True}},
            "day with less in the code, day with heals True in the plan",
        ),
        (["a", "b"], ["a", "c"], "2 b in the code, 2 c in the plan"),
        ({"b": 1, "a": 2}, None, "b and a in the code, none in the plan"),
        ([{"size": 1}, {"size": 2}], [{"size": 1}], "2 with size 2 in the code, no entry 2 in the plan"),
    ],
)
def test_the_entry_that_differs_is_shown(there, planned, words):
    """By its key and the attributes that differ, and not by how many entries there are."""
    assert _words({"schedule": planned}, {"schedule": there}) == f"schedule: {words}"
