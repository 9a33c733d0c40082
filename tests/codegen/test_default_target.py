"""What a plan prices is what the code orders that is generated for it without a target."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.cli.generate import _stated_target
from advisor.codegen import Wanted, generate, write_files
from advisor.codegen.generate import _unpinned
from advisor.codegen.model import ScheduledSize
from advisor.codegen.selection import _single, of_fleet
from advisor.codegen.service_costs import _standing
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import target_of
from advisor.cost.standing import Machines
from advisor.deployable import changes_a_week, needs_cluster, speaks_https
from advisor.errors import AdvisorError
from advisor.pipeline import recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.records import replace
from codegen.plans import make_option, make_plan
from codegen.scenarios import SCENARIOS

EXAMPLES = Path(__file__).parents[2] / "examples"
BEFORE_HOSTS = {
    "load_balancer": ("google_compute_forwarding_rule", "azurerm_lb", "aws_lb"),
    "load_balancer_proxy": ("google_compute_region_target_https_proxy",),
    "load_balancer_data": ("google_compute_forwarding_rule", "azurerm_lb"),
    "entrance": ("azurerm_lb_probe",),
}
"""Item of the standing charges → resources that it is the price of."""
NODES = {"gcp": "google_container_node_pool", "azure": "azurerm_kubernetes_cluster_node_pool"}
TREES = (str(EXAMPLES / "trees" / "xgboost.json"), "2000, rows: 10", "latency_p95: 50ms")
TEXTS = ("nomic-ai/nomic-embed-text-v1.5", "15, input_tokens: 400", "latency_p95: 300ms")
SPEECH = ("openai/whisper-large-v3", "0.2, audio_seconds: 45", "real_time_factor: 0.5")
QUESTIONS = {
    "trees at Google": (*TREES, "gcp", "us-central1", "[n4-standard-4, n4-standard-8]"),
    "trees at Azure": (*TREES, "azure", "eastus", "[Standard_D4s_v5, Standard_D8s_v5]"),
    "texts at Google": (*TEXTS, "gcp", "us-central1", "[g2-standard-8]"),
    "texts at Azure": (*TEXTS, "azure", "westeurope", "[Standard_NC4as_T4_v3]"),
    "hosts at Google": (*SPEECH, "gcp", "us-central1", "[g2-standard-8]"),
    "hosts at Azure": (*SPEECH, "azure", "westeurope", "[Standard_NC4as_T4_v3]"),
}
ON_EC2 = (*SPEECH, "aws", "us-east-1", "[g6.xlarge]")
IN_ROOT = {
    "load_balancer": "aws_lb|google_compute_forwarding_rule|azurerm_lb",
    "load_balancer_capacity": "aws_lb",
    "load_balancer_data": "google_compute_forwarding_rule|azurerm_lb",
    "load_balancer_proxy": "google_compute_region_target_https_proxy",
    "entrance": "azurerm_lb_probe",
    "entrance_disk": "azurerm_lb_probe",
    "kms_key": "aws_kms_key",
    "alarm": "aws_cloudwatch_metric_alarm|google_monitoring_alert_policy|azurerm_monitor_metric_alert",
    "log_alarm": "azurerm_monitor_scheduled_query_rules_alert_v2",
}
"""Standing charge → kinds of resources of the root that it is the price of, as a pattern."""
OF_CLUSTER = {"cluster", "gateway", "gateway_capacity", "gateway_data", "gateway_proxy"}
"""Inputs of a cluster that nodes join, which the root takes as it is."""
OF_NETWORK = {"nat_gateway", "public_ip"}
"""Inputs of the network, which every root takes as it is."""
OF_LINES = {"log_ingest", "log_storage"}
SOLD = {
    "aws": {"load_balancer", "load_balancer_capacity", "kms_key", "alarm"},
    "gcp": {"load_balancer", "load_balancer_data", "load_balancer_proxy", "alarm"},
    "azure": {"load_balancer", "load_balancer_data", "entrance", "entrance_disk", "alarm", "log_alarm"},
}
"""Charges of a provider for what roots order."""
"""Model, demand, SLO, and where it is served."""


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Plans by question, each made once."""
    known = {}

    def plan(name):
        if name not in known:
            model, declared, slo, provider, region, machines = QUESTIONS.get(name, ON_EC2)
            path = tmp_path_factory.mktemp("questions") / "workload.yaml"
            path.write_text(
                f"name: a\nmodel: {model}\nslo: {{{slo}}}\ndemand:\n  declared: {{requests_per_second: {declared}}}\n"
                f"providers: [{provider}]\nregions: [{region}]\ninstance_types: {machines}\npurchase: [on_demand]\n"
                "as_of: 2026-11-28\n"
            )
            known[name] = plan_from_json(plan_to_json(recommend(path)))
        return known[name]

    return plan


def entries(text, name):
    """Names of the entries of a map in ``fleet.tf``."""
    body = re.search(rf"^  {name} = {{\n(.*?)^  }}", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"^    [\w\"-]+\s*= {", body[1], re.MULTILINE) if body else []


def ordered(files):
    """Kinds of resources in a root."""
    texts = [text for name, text in files.items() if name.endswith(".tf")]
    return {kind for text in texts for kind in re.findall(r'^resource "(\w+)"', text, re.MULTILINE)}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_stands_before_the_machines_is_priced_where_it_is_ordered(plans, name):
    """Load balancers, proxies and entrances are lines of the total where the root makes them, and nowhere else."""
    plan = plans(name)
    resources = ordered(generate(plan).files)
    (provider,) = {group.provider for group in plan.fleet.groups}
    priced = {charge.item for charge in plan.fleet.standing}

    assert (NODES[provider] in resources) is not name.startswith("hosts")
    for item, kinds in BEFORE_HOSTS.items():
        made = any(kind in resources for kind in kinds)
        is_sold = item != "load_balancer_proxy" or provider == "gcp"
        assert (item in priced) is (made and is_sold), item


@pytest.mark.parametrize("name", [*QUESTIONS, "hosts at AWS"])
def test_the_total_has_each_resource_of_the_root_and_no_other(plans, name):
    """Balancers, entrances, keys and alarms are priced where the root orders them; cluster and network as they are used.

    A network has a NAT gateway with its address, which no root makes: more of them are the user's choice.
    """
    plan = plans(name)
    resources = ordered(generate(plan).files)
    (provider,) = {group.provider for group in plan.fleet.groups}
    priced = {charge.item for charge in plan.fleet.standing}
    made = {item for item in SOLD[provider] if any(re.fullmatch(IN_ROOT[item], kind) for kind in resources)}
    parts = {item for item in OF_CLUSTER if item.replace("gateway", "load_balancer") in {*SOLD[provider], "cluster"}}

    assert not any(kind.startswith(("aws_nat", "google_compute_router", "azurerm_nat")) for kind in resources)
    assert priced - OF_LINES == made | OF_NETWORK | (set() if name.startswith("hosts") else parts)


@pytest.mark.parametrize("name", [name for name in QUESTIONS if not name.startswith("hosts")])
def test_alarms_of_nodes_are_those_of_the_root(plans, name):
    """Conditions of Google's alerts, and Azure's rules on logs, are as many as the plan pays for.

    Text Embeddings Inference does not tell which requests failed: Google's alert on those is missing. It and servers of
    trees do not tell their progress on requests: nothing rings for one that hangs.
    """
    plan = plans(name)
    fleet = generate(plan).files["fleet.tf"]
    (alarms,) = [charge for charge in plan.fleet.standing if charge.item in ("alarm", "log_alarm")]

    untold = {"texts at Google": 2, "trees at Google": 1}.get(name, 0)
    assert alarms.quantity - untold == len(entries(fleet, "queries") or entries(fleet, "alarms"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_root_costs_what_the_plan_says_of_its_machines(plans, name, run_advisor, tmp_path):
    """``advisor price`` of the root gives the lines of the plan's instances, and their disk is the one that is priced."""
    plan = plans(name)
    files = generate(plan)
    write_files(files, tmp_path / "infra")
    priced = run_advisor("price", str(tmp_path / "infra"), "--format", "json")
    (project,) = json.loads(priced.stdout)["projects"]
    of_machines = [
        resource["monthlyCost"]
        for resource in project["breakdown"]["resources"]
        if "Instance" in resource["costComponents"][0]["name"] and "entrance" not in resource["name"]
    ]
    lines = [line for line in plan.fleet.cost_lines if line.item == "instance"]

    assert priced.returncode == 0
    assert [f"{Decimal(usd):.2f}" for usd in of_machines] == [f"{line.usd_per_month:.2f}" for line in lines]
    for group in plan.fleet.groups:
        assert re.search(rf"disk\w*\s*= {group.disk_gib}\b", files.files["fleet.tf"])


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_control_plane_is_counted_as_the_code_needs_it(plans, name):
    """In the total of nodes, beside that of hosts, for which it is there only where a target is asked for."""
    (line,) = [line for line in plans(name).fleet.cost_lines if line.item == "cluster"]

    assert line.usd_per_month == 73.0
    assert line.in_total is not name.startswith("hosts")
    assert ("--target" in line.assumes) is name.startswith("hosts")


def lines_of_total(readme):
    """USD a month of each standing charge that a README's total holds."""
    told = re.findall(r"^\| In the total: (.+?) \| \$([\d.,]+) a month", readme, re.MULTILINE)
    return {title: Decimal(usd.replace(",", "")) for title, usd in told}


@pytest.mark.parametrize(("name", "target"), [("hosts at Google", "gke"), ("hosts at Azure", "aks")])
def test_a_cluster_costs_what_its_lines_differ_by_from_those_of_hosts(plans, name, target):
    """A plan for hosts whose code is asked for a cluster: a Gateway passes on the same bytes, in place of load balancers."""
    plan = plans(name)
    planned = {charge.title: Decimal(f"{charge.usd_per_month:.2f}") for charge in plan.fleet.standing}
    of_balancers = {charge.item: charge for charge in plan.fleet.standing if charge.item.startswith("load_balancer_")}
    region = plan.fleet.standing[0].region
    readme = generate(plan, wanted=Wanted(target=target)).files["README.md"].replace("\\", "")
    own = lines_of_total(readme)
    ((less, word),) = re.findall(
        r"This code costs \$([\d.,]+) a month (less|more) than the plan counts: .*no load balancer", readme
    )
    less = Decimal(less.replace(",", "")) * (1 if word == "less" else -1)

    assert sum(planned.values()) - sum(own.values()) == less != 0
    assert f"| Total | ${Decimal(str(plan.fleet.cost.total_usd_per_month)) - less:,.2f} a month |" in readme
    assert f"Gateway of the cluster in {region}" in own
    assert f"| In the total: load balancer in {region}" not in readme
    assert {own[charge.title] for charge in of_balancers.values()} == {
        Decimal(f"{charge.usd_per_month:.2f}") for charge in of_balancers.values()
    }


def test_code_of_the_planned_target_costs_no_more_or_less(plans):
    """Nodes that the plan counts as such are told of with no difference."""
    assert "no load balancer is ordered" not in generate(plans("texts at Google")).files["README.md"]


def generated_as_planned(plan):
    """Stacks of machines of a fleet, with the target that each has by default; none where that refuses it."""
    if plan.fleet is None or not plan.fleet.groups:
        return []
    try:
        stacks = stacks_of(plan, of_fleet(plan.fleet), Wanted())
        return [
            (stack, target_of(stack))
            for stack in stacks
            if not any(group.is_managed or group.is_serverless for group in stack.groups)
        ]
    except AdvisorError:
        return []


def test_plan_and_code_agree_on_what_needs_a_cluster():
    """Engines speak HTTPS as the table of limits says: the default target follows from that, machines and slices."""
    catalog, targets = load_catalog(), set()
    for name, scenario in SCENARIOS.items():
        plan = scenario().plan
        for stack, target in generated_as_planned(plan):
            needed = set()
            for group in stack.groups:
                planned = next(
                    own
                    for own in plan.fleet.groups
                    if (own.provider, own.region, own.instance_type)
                    == (stack.provider, group.region, group.instance_type)
                )
                https = speaks_https(planned.engine, planned.engine_version, catalog)
                assert https is (stack.backend_of(group).container.tls_options is not None), name
                machine = (stack.provider, group.instance_type, catalog)
                needed.add(needs_cluster(*machine, https=https, partition=planned.partition))
            assert target.is_cluster is (any(needed) or stack.provider not in ("aws", "gcp", "azure")), name
            targets.add(target.name)

    assert targets >= {"ec2", "mig", "vm-scale-set", "gke", "aks", "kubernetes"}


@pytest.mark.parametrize("name", ["texts at Google", "texts at Azure", "trees at Google", "trees at Azure"])
def test_code_of_a_cluster_counts_what_a_plan_of_nodes_does(plans, name):
    """One formula of what regions charge: of hosts that go to a cluster, and of what is planned there."""
    plan = plans(name)
    choice = of_fleet(plan.fleet)
    (stack,) = _unpinned(plan, choice, Wanted())
    has_gpu = any(group.has_gpu for group in stack.groups)
    charges = _standing(stack, plan, choice, Machines.GPU_NODES if has_gpu else Machines.NODES)
    assert {charge.item: charge.usd_per_month for charge in charges} == {
        charge.item: charge.usd_per_month for charge in plan.fleet.standing
    }
    assert stack.budget.difference == ""


def busy_by_day(path, scale, answer):
    """A trace of two weeks whose days all differ in their hours, in a workload for one machine of Azure."""
    rows = ["timestamp,input_tokens,output_tokens"]
    for hour in range(14 * 24):
        day, of_day = divmod(hour, 24)
        count = int(scale * (0.1 + abs((of_day + 3 * (day % 7)) % 24 - 12) / 12))
        rows += [f"{1_764_547_200 + hour * 3600 + at * 3600 // count},600,{answer}" for at in range(count)]
    (path / "trace.csv").write_text("\n".join(rows) + "\n")
    (path / "workload.yaml").write_text(
        "name: a\nmodel: meta-llama/Llama-3.1-8B-Instruct\nslo: {ttft_p95: 2s, tpot_p95: 100ms}\n"
        "demand: {trace: trace.csv}\nproviders: [azure]\nregions: [eastus]\n"
        "instance_types: [Standard_NC24ads_A100_v4]\npurchase: [on_demand]\nas_of: 2026-11-28\n"
    )
    return path / "workload.yaml"


def test_more_changes_than_a_scale_set_takes_make_nodes_of_a_plan_and_of_its_code(tmp_path, monkeypatch):
    """Scale sets that took five changes a week: plan and code come to AKS, and the code costs what is planned."""
    monkeypatch.setattr("advisor.plan.solve.stage.most_changes", lambda *_: 5)
    plan = plan_from_json(plan_to_json(recommend(busy_by_day(tmp_path, 1_000, 6_000))))
    resources = ordered(generate(plan).files)
    priced = {charge.item for charge in plan.fleet.standing}

    assert len({count for group in plan.fleet.groups for count in group.instances}) > 1
    assert "gateway" in priced
    assert "entrance" not in priced
    assert NODES["azure"] in resources
    assert "than the plan counts" not in generate(plan).files["README.md"]


def test_one_machine_at_all_hours_needs_no_cluster(tmp_path):
    """A fleet whose number never changes has no schedule, however many hours of the week differ."""
    plan = plan_from_json(plan_to_json(recommend(busy_by_day(tmp_path, 2_000, 250))))

    assert changes_a_week(plan.fleet.schedule) > 19
    assert {count for group in plan.fleet.groups for count in group.instances} == {1}
    assert "entrance" in {charge.item for charge in plan.fleet.standing}
    assert generate(plan).targets == ("vm-scale-set",)


@pytest.mark.parametrize(("changes", "target"), [(19, "vm-scale-set"), (20, "aks")])
def test_a_schedule_beyond_a_scale_set_goes_to_a_cluster(changes, target):
    """Code of a schedule that scale sets would refuse has nodes by default."""
    plan = SCENARIOS["vm-scale-set-t4-fp16"]().plan
    (stack,) = stacks_of(plan, of_fleet(plan.fleet) if plan.fleet else _single(plan.recommended, None), Wanted())
    schedule = tuple(ScheduledSize(hour % 24, 0, (1 + hour // 24,), 1 + hour % 2) for hour in range(changes))
    (group,) = stack.groups

    assert target_of(replace(stack, groups=(replace(group, schedule=schedule),))).name == target


@pytest.mark.parametrize(
    ("classes", "changes"),
    [((0,) * 168, 0), ((0,) * 9 + (1,) * 8 + (0,) * 151, 2), (((0,) * 9 + (1,) * 8 + (0,) * 7) * 7, 2)],
)
def test_the_same_hour_of_several_days_is_one_change(classes, changes):
    """Autoscale settings and scheduled actions name days of the week."""
    assert changes_a_week(classes) == changes


@pytest.mark.parametrize(
    ("stated", "target"),
    [
        ([], ""),
        (["eks"], "eks"),
        (["gke", "eks-karpenter", "eks"], "eks-karpenter"),
        (["eks", "ec2"], ""),
        (["gke"], ""),
    ],
)
def test_the_target_is_one_of_those_that_the_workload_states(stated, target):
    """The first of the plan's cloud, unless the usual one is stated too."""
    plan = make_plan(make_option())
    plan = replace(plan, workload={**plan.workload, "targets": stated})
    assert _stated_target(plan, 1, {"aws"}) == target
    assert _stated_target(plan, 1, {"aws", "gcp"}) == ""
