"""Thresholds of alarms are the user's to edit: they survive plans that change the same alarm elsewhere."""

import re

import pytest

from advisor.codegen import Language, Wanted, WriteOptions, generate, read_former, write_files
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Interval
from codegen.plans import make_fleet_plan, make_group

FILES = {Language.TERRAFORM: "fleet.tf", Language.PYTHON: "inference/fleet.py"}
GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
AZURE = {
    "provider": "azure",
    "region": "eastus",
    "instance_type": "Standard_NC4as_T4_v3",
    "accelerator": "T4",
    "precision": "fp16",
    "kv_precision": "fp16",
}
EDITED = {
    "ec2": ({}, "unhealthy_hosts", "periods"),
    "eks": ({}, "unavailable_replicas", "periods"),
    "sagemaker": ({}, "ttft", "threshold"),
    "mig": (GOOGLE, "unhealthy-hosts", "seconds"),
    "cloud-run": (GOOGLE, "waiting_requests", "threshold"),
    "vm-scale-set": (AZURE, "unhealthy-hosts", "window"),
    "aks": (AZURE, "unavailable-replicas", "window"),
}
"""Target → its machine, an alarm of it, and the value of that alarm that another start time or target changes."""
CASES = [(target, language) for target in EDITED for language in Language]


def plan_of(machine, start_seconds=700.0, ttft_ms=1000.0):
    """Three instances at all hours that start in so long, for a target of TTFT."""
    group = make_group(
        **machine,
        instances=(3, 3),
        cold_start_seconds=Interval(start_seconds * 0.6, start_seconds * 0.4, start_seconds),
    )
    plan = make_fleet_plan(group, policy=Policy.STATIC)
    plan.workload["slo"]["ttft_p95_ms"] = ttft_ms
    return plan


def run(directory, language, plan, target):
    """What ``advisor generate`` does."""
    generated = generate(plan, language, Wanted(target=target), former=read_former(directory))
    return write_files(generated, directory, WriteOptions())


def lines_of(text, alarm):
    """Lines of an alarm in the data of a fleet."""
    return re.search(rf'^( +)"?{alarm}"?(?: = \{{|: \w+\()\n(.*?)^\1[}})]', text, re.DOTALL | re.MULTILINE)[2]


def values_of(text, alarm):
    """Values of an alarm, by name, as they are written."""
    return {name: value.rstrip(",") for name, value in re.findall(r"(\w+) *= *(.+)\n", lines_of(text, alarm))}


def edit(path, alarm, **values):
    """A user's values in an alarm."""
    text = path.read_text()
    before = lines_of(text, alarm)
    after = before
    for name, value in values.items():
        after, count = re.subn(rf"({name} *= *)[^,\n]+", rf"\g<1>{value}", after)
        assert count == 1
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize(("target", "language"), CASES)
def test_each_value_of_an_alarm_has_a_line_of_its_own(target, language):
    """No line of the data holds two of them, whatever their number."""
    machine, alarm, changed = EDITED[target]
    text = generate(plan_of(machine), language, Wanted(target=target)).files[FILES[language]]
    assert {"description", changed} <= set(values_of(text, alarm))
    assert not re.search(r"description *=.*[,{].*(threshold|query|metric) *=", text)


@pytest.mark.parametrize(("target", "language"), CASES)
def test_an_edited_value_survives_a_plan_that_changes_another_one_of_the_alarm(target, language, tmp_path):
    """Machines that start later ring later, at the threshold that the user wrote."""
    machine, alarm, changed = EDITED[target]
    run(tmp_path, language, plan_of(machine), target)
    path = tmp_path / FILES[language]
    before = values_of(path.read_text(), alarm)
    mine = next(
        name for name in ("threshold", "statistic", "function", "aligner") if name in before and name != changed
    )
    edit(path, alarm, **{mine: '"edited"' if before[mine].startswith('"') else 7})
    (change,) = run(tmp_path, language, plan_of(machine, 1700.0, 2000.0), target).edited
    after = values_of(path.read_text(), alarm)
    assert change.path == FILES[language]
    assert after[mine] in ('"edited"', "7")
    assert after[changed] != before[changed]


@pytest.mark.parametrize(("target", "language"), CASES)
def test_a_value_of_an_alarm_that_both_sides_change_is_a_conflict(target, language, tmp_path):
    """Nothing is written, and both values are shown."""
    machine, alarm, changed = EDITED[target]
    run(tmp_path, language, plan_of(machine), target)
    path = tmp_path / FILES[language]
    value = '"PT6H"' if values_of(path.read_text(), alarm)[changed].startswith('"') else 987
    edit(path, alarm, **{changed: value})
    mine = path.read_text()
    with pytest.raises(InputError) as refused:
        run(tmp_path, language, plan_of(machine, 1700.0, 2000.0), target)
    assert f"{value}" in refused.value.message
    assert path.read_text() == mine
