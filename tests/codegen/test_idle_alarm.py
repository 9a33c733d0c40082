"""When accelerators of generated code are called idle: never in hours that its plan expects."""

import json
import re

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.alarms import idle_left_out, idle_percent
from advisor.plan.fleet.chosen import PlannedHours, Policy
from codegen.plans import PLANNED_RATE, make_fleet_plan, make_group

MACHINES = {
    "ec2": {},
    "eks": {},
    "sagemaker": {"purchase": "managed"},
    "mig": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
    "gke": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
    "vm-scale-set": {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC40ads_H100_v5"},
    "aks": {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC40ads_H100_v5"},
}
IDLE = re.compile(r"GPUs below ([\d.]+) percent")


def plan_of(target, quiet_ratio):
    """Two machines at all hours, which carry such a share of their rate at night and half of it by day."""
    group = make_group(**MACHINES[target], instances=(2, 2))
    sustained = 2 * PLANNED_RATE
    classes = (
        PlannedHours(108, quiet_ratio * sustained, 0.5 * sustained, 0.0),
        PlannedHours(60, 0.5 * sustained, sustained, 0.0),
    )
    return make_fleet_plan(group, fleet={"hour_classes": classes}, policy=Policy.STATIC)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("target", [target for target in MACHINES if target != "aks"])
@pytest.mark.sampled(4)
def test_no_hour_that_the_plan_expects_rings(target, language):
    """A machine that may fail has a spare, and both are little used at night: 5 % of their rate is what was planned."""
    files = generate(plan_of(target, 0.05), language, Wanted(target=target)).files
    thresholds = {float(percent) for text in files.values() for percent in IDLE.findall(text)}
    assert thresholds == {2.5}


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.sampled(4)
def test_without_an_alarm_the_readme_says_why(target, language):
    """At 1 % of their rate nobody tells idleness from a quiet night."""
    files = generate(plan_of(target, 0.01), language, Wanted(target=target)).files
    assert not any(IDLE.search(text) for text in files.values())
    assert "no alarm on idle accelerators" in files["README.md"]
    assert "have 1 percent of the requests" in files["README.md"]


@pytest.mark.parametrize("language", list(Language))
def test_aks_has_no_alarm_that_cannot_ring(language):
    """Container Insights collects no use of GPUs: no query asks it for one, and the README says so."""
    files = generate(plan_of("aks", 0.05), language, Wanted(target="aks")).files
    assert not any(
        "gpu" in query.lower() for text in files.values() for query in re.findall(r"InsightsMetrics.*", text)
    )
    assert not any(IDLE.search(text) for text in files.values())
    assert "no alarms on idle GPUs and their memory: from Kubernetes 1.20 on" in files["README.md"]


@pytest.mark.parametrize(("ratio", "percent"), [(0.0, None), (0.019, None), (0.02, 1.0), (0.1, 5.0), (0.9, 10.0)])
def test_idleness_is_less_than_half_of_the_quietest_hours(ratio, percent):
    """At most a tenth, and told from whole percents on."""
    assert idle_percent(ratio) == percent
    assert bool(idle_left_out(ratio)) == (percent is None)


def test_hours_in_which_nothing_runs_do_not_count():
    """Those have no accelerator that could be idle; a group at rest is not called idle either."""
    group = make_group(instances=(0, 2))
    rate = PLANNED_RATE * 2
    classes = (PlannedHours(108, 0.0, 0.0, 0.0), PlannedHours(60, rate / 10, rate, 0.0))
    files = generate(make_fleet_plan(group, fleet={"hour_classes": classes})).files
    assert IDLE.findall(json.dumps(dict(files)))[0] == "5"
