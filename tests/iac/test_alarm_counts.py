"""Alarms of whole programs, as many as the total of a plan counts."""

import json
import re
from collections import Counter

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, generate
from advisor.cost.services import Deployed, region_charges
from advisor.cost.standing import NONE_FURTHER, Further, Machines
from codegen.scenarios import SCENARIOS
from iac import harness, parity
from iac.modules import needs

ALONE = None
"""Services, which no machine serves."""
PRICED = {
    "two-regions": {"us-east-1": (Machines.HOSTS, NONE_FURTHER), "eu-west-1": (Machines.HOSTS, NONE_FURTHER)},
    "mixed-fleet": {"us-east-1": (Machines.HOSTS, Further(groups=2, backends=1))},
    "eks-slices": {"us-east-1": (Machines.GPU_NODES, Further(groups=1, backends=1))},
    "sagemaker-two-regions": {"us-east-1": (ALONE, NONE_FURTHER), "eu-south-2": (ALONE, NONE_FURTHER)},
    "mig-h100": {"europe-west4": (Machines.HOSTS, NONE_FURTHER)},
    "gke-embeddings": {"us-central1": (Machines.GPU_NODES, NONE_FURTHER)},
    "gke-l4-spot": {"us-central1": (Machines.GPU_NODES, NONE_FURTHER)},
    "gke-tpu-embeddings": {"us-east5": (Machines.NODES, NONE_FURTHER)},
    "cloud-run-l4-to-zero": {"us-central1": (ALONE, NONE_FURTHER)},
    "vm-scale-set-mixed": {
        "eastus": (Machines.HOSTS, Further(groups=1, backends=1)),
        "westeurope": (Machines.HOSTS, NONE_FURTHER),
    },
    "aks-pictures": {"eastus": (Machines.NODES, NONE_FURTHER)},
    "aks-two-regions": {"eastus": (Machines.GPU_NODES, NONE_FURTHER), "westeurope": (Machines.GPU_NODES, NONE_FURTHER)},
    "container-apps-t4-replicas": {"eastus": (ALONE, NONE_FURTHER)},
}
"""Scenario of a target → what it deploys in each region, beyond the first of each kind. Google's alerts are one set for all
regions, of which each pays its own: of several regions the plan counts more than there are. TPU machines have one fewer, and
so has what may be empty."""
WITHOUT_IDLE = {"gke-embeddings"}
"""Those whose quietest hours are too quiet for the alarm on idle accelerators, which every plan counts."""
_EVERY_MINUTES = 5
"""How often a rule on logs is evaluated at the price of one."""


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Resources of each program; without the advisor agent, which is not installed by default."""
    needs("pulumi")
    root = tmp_path_factory.mktemp("programs")
    jobs = []
    for name in PRICED:
        scenario = SCENARIOS[name]()
        files = generate(scenario.plan, Language.PYTHON, scenario.wanted).files
        harness.write_module({path: text for path, text in files.items() if not path.startswith("tests/")}, root / name)
        given = {key: value for key, value in scenario.variables.items() if key != "agent_package"}
        jobs.append({"program": str(root / name), "configuration": given, "answers": parity.ANSWERS})
    (root / "jobs.json").write_text(json.dumps(jobs))
    ran = harness.in_environment("pulumi", "run_pulumi.py", str(root / "jobs.json")).ok().json
    return dict(zip(PRICED, ran, strict=True))


def counted(resources):
    """Priced units of alarms by item and region; Google's carry no region."""
    units: Counter[tuple[str, str]] = Counter()
    for resource in resources:
        kind, inputs = resource["type"].rpartition(":")[2], resource["inputs"]
        if resource["type"].startswith("aws:cloudwatch/") and kind == "MetricAlarm":
            queries = inputs.get("metricQueries") or []
            units["alarm", inputs["region"]] += sum("metric" in query for query in queries) or 1
        elif resource["type"].startswith("azure:") and kind == "MetricAlert":
            units["alarm", inputs["resourceGroupName"].removeprefix("support-chat-")] += 1
        elif kind == "ScheduledQueryRulesAlertV2":
            (minutes,) = re.findall(r"PT(\d+)M", inputs["evaluationFrequency"])
            units["log_alarm", inputs["location"]] += _EVERY_MINUTES / int(minutes)
        elif kind == "AlertPolicy":
            units["alarm", ""] += sum("conditionMatchedLog" not in condition for condition in inputs["conditions"])
    return {key: number for key, number in units.items() if number}


def priced(provider, region, machines, further):
    """The same units as the total of a plan counts them."""
    charges = region_charges(load_catalog(), provider, region, 0.0, Deployed(machines=machines or Machines.HOSTS))
    balanced = None if machines is ALONE else 0.0
    return {
        (rule.item, "" if provider == "gcp" else region): quantity
        for rule in charges.rules
        if rule.item in ("alarm", "log_alarm") and (quantity := rule.quantity(0.0, balanced, further=further))
    }


@pytest.mark.parametrize("name", PRICED)
def test_a_plan_pays_for_the_alarms_of_its_code(name, registered):
    """Metrics of CloudWatch, conditions of Google's policies, rules and metric alerts of Azure Monitor."""
    found = registered[name]
    assert found.get("error") is None, found["error"]
    plan = SCENARIOS[name]().plan
    provider = (plan.fleet.groups[0] if plan.fleet else plan.recommended).provider
    expected = {}
    for region, (machines, further) in PRICED[name].items():
        expected |= priced(provider, region, machines, further)
    if name in WITHOUT_IDLE:
        expected = {of: quantity - 1 for of, quantity in expected.items()}
    assert counted(found["resources"]) == expected
