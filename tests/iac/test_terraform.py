"""What real Terraform says of the generated roots, against the schemas of today's providers."""

import dataclasses
import json
import re

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS
from iac import harness
from iac.modules import of_today, resources

NAMES = [name for name, make in SCENARIOS.items() if Language.TERRAFORM in make().languages]
QUICK = "l4-spot"
TODAY = of_today(NAMES)
NETWORK = SCENARIOS[QUICK]().variables["networks"]["us-east-1"]


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", NAMES)
def test_root_is_formatted_and_valid(name, start):
    """Each root is as `terraform fmt` lays it out, and valid without a warning."""
    terraform = start(name)
    assert terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""
    validated = terraform("validate", "-json").ok().json
    assert validated["valid"]
    assert validated["diagnostics"] == []


@pytest.mark.parametrize("tags", [{"team": "ranking"}, {"project": "a", "team": "b", "environment": "production"}])
@pytest.mark.parametrize("name", ["l4-spot", "mig-l4-spot", "vm-scale-set-h100-tp8", "ibm-h100"])
def test_tags_of_an_owner_are_formatted(name, tags, simulated_clouds, tmp_path):
    """Roots of each cloud stay as `terraform fmt` lays them out if the workload names team or environment."""
    scenario = SCENARIOS[name]()
    plan = dataclasses.replace(scenario.plan, workload={**scenario.plan.workload, "tags": tags})
    files = generate(plan, Language.TERRAFORM, scenario.wanted).files
    terraform = harness.Terraform(harness.write_module(files, tmp_path), simulated_clouds)
    assert tags["team"] in files["main.tf"]
    assert terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""


@pytest.mark.parametrize("name", TODAY)
def test_root_passes_its_own_tests(name, start):
    """The generated tests pass with no values filled in."""
    tested = start(name)("test", "-no-color").ok()
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.out)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"networks": {}}, "Give networks for exactly the regions of the plan: us-east-1."),
        ({"networks": {"us-east-1": NETWORK | {"certificate_arn": None}}}, "Each network needs certificate_arn"),
        ({"networks": {"us-east-1": NETWORK | {"private_subnet_ids": []}}}, "zones as the plan spreads over: 2 in"),
        ({"networks": {"us-east-1": NETWORK | {"vpc_id": "subnet-1"}}}, "an id such as vpc-0123456789abcdef0"),
        (
            {"networks": {"us-east-1": NETWORK | {"allowed_cidrs": ["10.0.0.0/33"]}}},
            "Each entry of allowed_cidrs must be a CIDR block such as 10.0.0.0/8.",
        ),
        ({"tags": {"Deployment": "mine"}}, "The key Deployment is taken: the budget filters on it."),
        ({"budget_margin_ratio": -1}, "The value of budget_margin_ratio must be 0 or more."),
        ({"ami_ids": {"nowhere": "ami-1"}}, "by one of these keys: us-east-1-g6-xlarge-fp8-tp1-spot, *."),
        (
            {"model_revisions": {"nowhere": "1"}},
            "name of a model such as organisation/model, or one of these: us-east-1-1xl4-fp8-tp1-vllm, vllm,",
        ),
        ({"agent_package": "advisor"}, "Give the https:// address of a wheel with its hash"),
    ],
    ids=[
        "no network",
        "no certificate",
        "no subnet",
        "no vpc",
        "no block",
        "taken",
        "range",
        "no such group",
        "no such pin",
        "no wheel",
    ],
)
def test_what_is_missing_is_named(changes, told, start):
    """A value that is missing or wrong ends the plan with a message that says what to pass."""
    refused = start(QUICK, filled=True, **changes)("plan", "-no-color", "-input=false")
    assert refused.code == 1
    assert told in " ".join(refused.err.replace("│", " ").split())


MODULES = of_today(
    [
        QUICK,
        "eks-scheduled",
        "sagemaker-sglang",
        "aks-scheduled",
        "gke-scheduled",
        "vm-scale-set-reactive",
        "mig-two-regions",
        "ibm-h100",
    ]
)


@pytest.mark.parametrize("name", MODULES)
def test_module_is_called_twice_with_for_each(name, simulated_clouds, tmp_path):
    """A module has no provider of its own, passes its tests, and the example plans as it stands: all of it, two times."""
    scenario = SCENARIOS[name]()
    wanted = dataclasses.replace(scenario.wanted, as_component=True)
    directory = harness.write_module(generate(scenario.plan, Language.TERRAFORM, wanted).files, tmp_path)
    module = harness.Terraform(directory, simulated_clouds)
    module("init", "-no-color", "-input=false", "-backend=false").ok()
    assert module("fmt", "-check", "-recursive", "-diff").ok().out == ""
    assert module("validate", "-json").ok().json["diagnostics"] == []
    assert re.search(r"[1-9]\d* passed, 0 failed", module("test", "-no-color").ok().out)
    example = dataclasses.replace(module, directory=directory / "examples" / "complete")
    example.init()
    assert example("validate", "-json").ok().json["diagnostics"] == []
    changes = example.plan()["resource_changes"]
    addresses = [one["address"] for one in changes]
    calls = {name: [one for one in addresses if f'["{name}"]' in one] for name in ("production", "staging")}
    assert len(calls["production"]) == len(calls["staging"]) > 0
    assert len(addresses) == 2 * len(calls["production"])
    pools = [
        (one["address"], one["change"]["after"][_CLUSTER_OF[one["type"]]])
        for one in changes
        if one["type"] in _CLUSTER_OF
    ]
    assert all(f'["{cluster.rpartition("-")[2]}"]' in address for address, cluster in pools)


_CLUSTER_OF = {
    "aws_eks_node_group": "cluster_name",
    "google_container_node_pool": "cluster",
    "azurerm_kubernetes_cluster_node_pool": "kubernetes_cluster_id",
}
"""Node pools, and what says their cluster: both calls would make the same pods in one."""


_BY_ID = {
    "hf_token_secret_id": "azurerm_role_assignment.hub_token",
    "registry_secret_id": "azurerm_role_assignment.registry_secret",
    "private_dns_zone_id": "azurerm_private_dns_a_record.this",
}
"""What is there where an id is given."""


@pytest.mark.parametrize(
    "name", ["vm-scale-set-reactive", "container-apps-a100-scheduled", "aks-scheduled", "aks-cache"]
)
def test_ids_of_azure_may_be_made_in_the_same_configuration(name, simulated_clouds, tmp_path):
    """How many grants and records there are is known before the ids are, as long as their first words are."""
    scenario = SCENARIOS[name]()
    wanted = dataclasses.replace(scenario.wanted, as_component=True)
    harness.write_module(generate(scenario.plan, Language.TERRAFORM, wanted).files, tmp_path / "module")
    values = {key: value for key, value in scenario.variables.items() if key != "subscription_id"}
    made = re.sub('"/subscriptions/[^/]+/', '"/subscriptions/${terraform_data.made.id}/', json.dumps(values))
    assert made != json.dumps(values)
    caller = {
        "provider": {"azurerm": {"features": {}}},
        "resource": {"terraform_data": {"made": {}}},
        "module": {"inference": {"source": "./module", **json.loads(made)}},
    }
    (tmp_path / "main.tf.json").write_text(json.dumps(caller))
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    planned = {change["address"].split("[")[0] for change in terraform.plan()["resource_changes"]}
    for setting, resource in _BY_ID.items():
        assert (f"module.inference.{resource}" in planned) == (setting in values)


@pytest.mark.parametrize("name", ["scheduled-to-zero", "eks-scheduled", "vm-scale-set-two-regions"])
def test_every_alarm_on_too_few_can_ring(name, start):
    """None compares with fewer than nobody, and what always runs is watched."""
    planned = resources(start(name, filled=True).plan())
    below = [
        alarm["threshold"]
        for alarm in planned.get("aws_cloudwatch_metric_alarm", [])
        if alarm["comparison_operator"] == "LessThanThreshold"
    ] + [
        one["threshold"]
        for alarm in planned.get("azurerm_monitor_scheduled_query_rules_alert_v2", [])
        for one in alarm["criteria"]
        if one["operator"] == "LessThan"
    ]
    assert below
    assert min(below) > 0


def test_slo_alarms_compare_with_the_targets(start):
    """TTFT of the engine over 1 s for 5 % of the requests, a queue of 1.2 a second for 1 s, 5xx for 1 %."""
    planned = {
        alarm["alarm_name"].removeprefix("support-chat-").partition("-us-east-1")[0]: alarm
        for alarm in resources(start(QUICK, filled=True).plan())["aws_cloudwatch_metric_alarm"]
    }
    assert {"ttft", "waiting-requests", "server-errors"} <= set(planned)
    assert (planned["ttft"]["threshold"], planned["waiting-requests"]["threshold"]) == (5, 1.2)
    metrics = {query["metric"][0]["metric_name"] for query in planned["ttft"]["metric_query"] if query["metric"]}
    assert metrics == {"over_target", "target_requests"}


@pytest.mark.parametrize(("name", "asked"), [("mixed-fleet", [False]), ("two-regions", [True, True])])
def test_one_backend_that_starts_does_not_end_its_region(name, asked, start):
    """Route 53 takes a load balancer for unhealthy when one of its target groups is: with several it is not asked."""
    records = resources(start(name, filled=True).plan())["aws_route53_record"]
    assert [record["alias"][0]["evaluate_target_health"] for record in records] == asked


def test_mistakes_do_not_pass(simulated_clouds, tmp_path):
    """The simulated provider is no rubber stamp: a wrong argument, type and instance are three errors."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_launch_template" "a" {\n  instance_typ = "g5.xlarge"\n}\n'
        'resource "aws_launch_template" "b" {\n  ebs_optimized = ["yes"]\n}\n'
    )
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    summaries = {found["summary"] for found in terraform("validate", "-json").json["diagnostics"]}
    assert summaries == {"Unsupported argument", "Incorrect attribute value type"}
    (tmp_path / "main.tf").write_text('resource "aws_launch_template" "a" {\n  instance_type = "g5.3xlarge"\n}\n')
    (complaint,) = terraform("validate", "-json").json["diagnostics"]
    assert complaint["summary"] == "instance_type: AWS sells no g5.3xlarge"
    group = 'cluster_name = "a"\n  node_role_arn = "b"\n  subnet_ids = ["c"]\n  scaling_config {\n'
    group += "    desired_size = 1\n    max_size = 1\n    min_size = 1\n  }\n"
    wrong = 'ami_type = "AL2023_NVIDIA"\n  capacity_type = "CHEAP"\n  instance_types = ["g6.3xlarge"]\n'
    (tmp_path / "main.tf").write_text(f'resource "aws_eks_node_group" "a" {{\n  {group}  {wrong}}}\n')
    complaints = {found["summary"] for found in terraform("validate", "-json").json["diagnostics"]}
    assert complaints == {
        "ami_type: EKS knows no AL2023_NVIDIA",
        "capacity_type: EKS knows no CHEAP",
        "instance_types: AWS sells no g6.3xlarge",
    }


def test_other_logins_on_ibm_make_another_template(start):
    """Though the provider takes no notice of keys and volumes that a template already has; groups go on with the new one."""
    terraform = start("ibm-h100", filled=True)
    terraform("apply", "-no-color", "-auto-approve").ok()
    path = terraform.directory / "terraform.tfvars.json"
    keys = {"ssh_key_ids": ["r014-a6b1a881-2ce8-41a3-80fc-36316a73f803"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    actions = {}
    for change in terraform.plan()["resource_changes"]:
        actions.setdefault(change["type"], set()).add(tuple(change["change"]["actions"]))
    assert actions["ibm_is_instance_template"] == {("create", "delete")}
    assert actions["ibm_is_instance_group"] == {("update",)}


def test_mistakes_on_ibm_do_not_pass(simulated_clouds, tmp_path):
    """What the provider's validators refuse is refused, with the argument."""
    (tmp_path / "main.tf").write_text(
        'terraform {\n  required_providers {\n    ibm = {\n      source = "IBM-Cloud/ibm"\n    }\n  }\n}\n'
        'resource "ibm_is_instance_group" "a" {\n  name = "a--b"\n  instance_template = "t"\n  subnets = ["s"]\n'
        '  application_port = 8443\n  instance_count = 1001\n  tags = ["Team:a"]\n}\n'
        'resource "ibm_is_instance_group_manager_action" "a" {\n  instance_group = "g"\n  instance_group_manager = "m"\n'
        '  cron_spec = "0 7 * * MON"\n  membership_count = 0\n}\n'
        'resource "ibm_is_lb_pool" "a" {\n  name = "p"\n  lb = "l"\n  algorithm = "random"\n  protocol = "https"\n'
        '  health_type = "https"\n  health_delay = 5\n  health_retries = 2\n  health_timeout = 5\n}\n'
    )
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    refused = {
        complaint["summary"].partition(":")[0] for complaint in terraform("validate", "-json").json["diagnostics"]
    }
    expected = {"name", "load_balancer", "instance_count", "tags", "cron_spec", "membership_count", "algorithm"}
    assert refused == expected | {"health_delay"}


def test_name_of_an_entrance_comes_after_its_hosts(start):
    """The record neither points at hosts that are not there yet nor outlasts them."""
    root = start("vm-scale-set-mixed", filled=True).plan()["configuration"]["root_module"]
    (record,) = [one for one in root["resources"] if one["type"] == "azurerm_private_dns_a_record"]
    assert record["depends_on"] == ["azurerm_linux_virtual_machine_scale_set.entrance"]
