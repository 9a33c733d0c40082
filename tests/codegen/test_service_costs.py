"""Costs and budgets of code for services whose prices are not those of the machines that a plan counts."""

import dataclasses
import re
from decimal import Decimal

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.cli.price_table import price_table
from advisor.codegen import Language, Wanted, beside_total, generate, read_former, write_files
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.pricing import read_projects
from advisor.pipeline import plan_for
from advisor.plan.fleet.chosen import Policy
from advisor.workload.values import DeclaredDemand, Scaling, Slo
from builders import catalog_of, offer, workload
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.azure_vm_scale_set import azure_group
from codegen.scenarios.cloud_run import make_serverless
from plan.fleet.test_choose import plan_of, week_of_days

GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4", "usd_per_hour": 0.7068}
UNPRICED = ("cloud-run-l4-of-machines", "container-apps-a100-scheduled", "sagemaker-l40s")


def on_cloud_run(language=Language.TERRAFORM, **changes):
    """Code for two machines with one L4 each, moved to Cloud Run."""
    return generate(make_plan(make_option(**(GOOGLE | changes))), language, Wanted(target="cloud-run", rank=1))


def planned_usd(generated):
    """The total in the generated code; None: not known."""
    (values,) = read_hcl(generated.files["fleet.tf"], "fleet.tf").body.blocks
    total = values.attributes.get("planned_usd_per_month")
    return None if total is None else literal(total.value.node)


def costs_of(generated):
    """Amounts of the README's table of costs, by their label."""
    table = generated.files["README.md"].partition("| Cost | |")[2].partition("The total does not hold")[0]
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", table.replace("\\", ""), re.MULTILINE))


def usd_of(text):
    """The first amount a month of a cell."""
    return Decimal(re.search(r"\$([\d,.]+) a month", text)[1].replace(",", ""))


def project_of(generated, directory):
    """Costs that ``advisor price`` finds in the code."""
    write_files(generated, directory)
    (project,) = read_projects(directory, None, load_catalog())
    return project


@pytest.mark.parametrize(
    ("weights_gib", "each"),
    [(5.0, "1.04652"), (14.96, "1.23372"), (20.0, "1.42092")],
    ids=["4 vCPUs", "6 vCPUs", "8 vCPUs"],
)
def test_cloud_run_costs_what_price_says_of_it(weights_gib, each, tmp_path):
    """Two containers of the size that weights from the hub take: 0.67212 for the GPU, 0.0648 a vCPU and 0.0072 a GiB."""
    generated = on_cloud_run(weights_gib=weights_gib)
    month = f"{2 * Decimal(each) * 730:.2f}"
    assert f"{project_of(generated, tmp_path).now.monthly:.2f}" == month
    assert usd_of(costs_of(generated)["Compute"]) == Decimal(month)


def test_the_total_holds_what_the_code_orders_and_nothing_of_hosts():
    """The sum of compute and of its lines: no load balancer, proxies or disks."""
    generated = on_cloud_run()
    costs = costs_of(generated)
    lines = {label for label in costs if label.startswith("In the total")}
    assert lines == {
        "In the total: access logs in us-central1",
        "In the total: alarms in us-central1",
        "In the total: NAT gateway in us-central1",
        "In the total: its address in us-central1",
    }
    assert usd_of(costs["Disks"]) == 0
    assert usd_of(costs["Total"]) == sum(usd_of(costs[label]) for label in ("Compute", *lines))
    assert usd_of(costs["Total"]) == Decimal(str(planned_usd(generated)))


def test_replicas_of_container_apps_cost_what_price_says_by_the_hours_of_the_plan(tmp_path):
    """To the cent: the schedule of the plan is in the code, by the same hours; entrances are lines beside it."""
    scenario = SCENARIOS["container-apps-mixed"]()
    generated = generate(scenario.plan, Language.TERRAFORM, scenario.wanted)
    project = project_of(generated, tmp_path)
    costs = costs_of(generated)
    by_hours = f"{sum(hours.monthly for hours in project.hours):.2f}"
    entrance = usd_of(costs["In the total: entrance of containers in eastus"])
    assert usd_of(costs["Compute"]) == Decimal(by_hours)
    assert f"; {Decimal(by_hours) + entrance:,.2f} by the hours of its plan" in price_table(project)
    assert usd_of(costs["Total"]) == Decimal(str(planned_usd(generated)))
    assert "The total leaves out the entrances" not in generated.files["README.md"]


def test_a_machine_with_several_replicas_is_as_many_containers(tmp_path):
    """Two machines with four T4 are eight containers."""
    scenario = SCENARIOS["container-apps-t4-replicas"]()
    generated = generate(scenario.plan, Language.TERRAFORM, scenario.wanted)
    month = f"{8 * Decimal('1.5588') * 730:.2f}"
    assert usd_of(costs_of(generated)["Compute"]) == Decimal(month)
    (apps,) = [cost for cost in project_of(generated, tmp_path).now.costs if ".this[" in cost.resource.address]
    assert f"{apps.hourly * 730:.2f}" == month


@pytest.mark.parametrize("policy", [Policy.STATIC, Policy.SCHEDULED])
def test_the_difference_to_the_plan_is_told(policy):
    """By the command and in the README, with both totals."""
    plan = make_fleet_plan(azure_group(instances=(1, 2)), policy=policy)
    generated = generate(plan, wanted=Wanted(target="container-apps"))
    (told,) = [warning for warning in generated.warnings if "This code costs" in warning]
    total, planned = planned_usd(generated), plan.fleet.cost.total_usd_per_month
    assert f"This code costs ${total:,.2f} a month" in told
    assert f"${total - planned:,.2f} more than the plan counts" in told
    assert told.replace("$", "\\$") in generated.files["README.md"]
    assert f"{planned:,.2f}" in costs_of(generated)["Total of the plan"]


def test_sagemaker_costs_its_own_price(tmp_path):
    """Two ml.g5.xlarge by the hour, as ``advisor price`` has them; EC2's price is lower."""
    option = make_option(instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.006)
    generated = generate(make_plan(option), wanted=Wanted(target="sagemaker", rank=1))
    project = project_of(generated, tmp_path)
    assert project.now.monthly > Decimal("1.006") * 2 * 730
    assert usd_of(costs_of(generated)["Compute"]) == round(project.now.monthly, 2)


@pytest.mark.parametrize("name", UNPRICED)
def test_without_a_price_there_is_no_budget_of_the_prices_of_hosts(name):
    """The code says what is not known; only an amount that the user gives makes a budget."""
    scenario = SCENARIOS[name]()
    generated = generate(scenario.plan, Language.TERRAFORM, scenario.wanted)
    assert planned_usd(generated) is None
    assert "var.budget_usd_per_month == null" in generated.files["budget.tf"]
    assert "margin" not in generated.files["variables.tf"]
    assert 'variable "budget_usd_per_month"' in generated.files["variables.tf"]
    assert costs_of(generated)["Total"].startswith("unknown: no price of ")
    assert any("The catalog has no price of" in warning for warning in generated.warnings)
    program = generate(scenario.plan, Language.PYTHON, dataclasses.replace(scenario.wanted, as_component=False))
    assert "planned_usd_per_month=None" in program.files["inference/fleet.py"]


def test_a_plan_at_the_price_of_the_service_is_left_as_it_is():
    """Cloud Run as it was planned, with weights that fit into its least container."""
    plan = make_fleet_plan(make_serverless(weights_gib=5.0))
    generated = generate(plan)
    assert planned_usd(generated) == plan.fleet.cost.total_usd_per_month
    assert not any("costs" in warning for warning in generated.warnings)


@pytest.mark.parametrize(("precision", "each"), [("int4", "1.04652"), ("fp8", "1.23372")], ids=["4 vCPUs", "6 vCPUs"])
def test_a_container_is_planned_at_what_its_code_costs(precision, each, tmp_path):
    """Weights from the hub take 4 vCPUs or 6: the price of the plan is that of the code, to the cent, and of `price`."""
    asked = workload(
        providers=("gcp",), regions=("us-central1",), purchase=(Purchase.ON_DEMAND,), slo=Slo(tpot_p95_ms=100),
        precisions=(precision,), demand=DeclaredDemand(1 / 3600, 2 / 3600, 800, 200),
        scaling=Scaling(scale_to_zero=True),
    )  # fmt: skip
    plan = plan_for(asked, load_catalog())
    (group,) = plan.fleet.groups
    generated = generate(plan)
    (component,) = [part for cost in project_of(generated, tmp_path).now.costs for part in cost.components]
    assert group.purchase == "serverless"
    assert f"{group.instance_usd_per_hour:g}" == f"{component.usd_per_hour:g}" == each
    assert planned_usd(generated) == plan.fleet.cost.total_usd_per_month
    assert not any("costs" in warning for warning in generated.warnings)


def test_a_target_that_is_asked_for_leaves_planned_containers_at_the_price_of_the_plan():
    """Machines that go to Cloud Run beside its containers cost what it charges; the containers what was planned."""
    hosts = make_group(provider="gcp", region="us-central1", instance_type="g2-standard-4", request_shares=(1.0, 0.5))
    container = make_serverless(weights_gib=20.0, instances=(0, 2), request_shares=(0.0, 0.5))
    plan = make_fleet_plan(hosts, container)
    costs = costs_of(generate(plan, wanted=Wanted(target="cloud-run")))
    of_machines, of_containers = (
        usd_of(costs[f"Cloud Run L4 with {size}, us-central1"]) for size in ("6 vCPUs and 24 GiB", "8 vCPUs and 32 GiB")
    )
    assert of_containers == Decimal(f"{plan.fleet.groups[1].compute_usd_per_month:.2f}")
    assert usd_of(costs["Compute"]) == of_machines + of_containers


def cut_over(directory, *plans, target="cloud-run"):
    """Code for the last of the machines that *plans* say after that for those before it."""
    for changes in plans:
        wanted = Wanted(target=target, rank=1)
        generated = generate(make_plan(make_option(**changes)), wanted=wanted, former=read_former(directory))
        write_files(generated, directory)
    return generated


@pytest.mark.parametrize(
    "regions", [("us-central1", "europe-west4"), ("europe-west4", "us-central1")], ids=["comes", "retires"]
)
def test_a_cut_over_has_no_total_where_a_price_of_either_is_not_known(regions, tmp_path):
    """The price of a machine stands for no container, of what comes (Cloud Run in europe-west4) and what retires."""
    generated = cut_over(tmp_path, *(GOOGLE | {"region": region} for region in regions))
    assert planned_usd(generated) is None
    assert "compute costs what is not known a month beyond the plan, what is not known in all" in " ".join(
        generated.files["README.md"].split()
    )


def test_both_of_a_cut_over_are_in_the_total(tmp_path):
    """Containers that retire and those in their place, at the price of the service: two containers beside two."""
    larger = GOOGLE | {"instance_type": "g2-standard-8", "usd_per_hour": 0.8537}
    generated, alone = cut_over(tmp_path, larger, GOOGLE), on_cloud_run()
    beside = Decimal(str(planned_usd(generated))) - Decimal(str(planned_usd(alone)))
    assert beside == usd_of(costs_of(on_cloud_run(**larger))["Compute"])


@pytest.mark.parametrize(
    ("target", "moves", "told"),
    [
        ("cloud-run", [GOOGLE, GOOGLE | {"region": "us-east4"}], "in GPUs: 6 in us-central1 (2 × 3); 6 in us-east4"),
        (
            "sagemaker",
            [{"region": "us-east-1"}, {"region": "us-west-2"}],
            "SageMaker (`ml.g6.xlarge for endpoint usage`), in instances: 4 in us-east-1 (2 × 2); 4 in us-west-2 (2 × 2)",
        ),
    ],
)
def test_the_section_on_a_cut_over_has_the_quotas_of_the_service(target, moves, told, tmp_path):
    """The same ones as before the first apply, with as much of each: nothing of the machines' quotas."""
    readme = cut_over(tmp_path, *moves, target=target).files["README.md"]
    before, _, section = readme.partition("## Before the first")
    assert told in section.replace("\\", "")
    listed = re.findall(r"^- (.+), replacements included: (.+)$", before, re.MULTILINE)
    assert listed
    for _name, amount in listed:
        assert amount in section
    assert "On-Demand" not in before
    assert "Compute Engine" not in before


@pytest.mark.parametrize("last", ["bf16", "fp8"])
def test_groups_of_one_type_are_each_billed_until_their_own_end(last):
    """Two groups of a type in a region that the plan counts 1 and 30 minutes after their last hour: EKS bills both alike.

    Whichever comes last in the plan: each stop of 5 a week costs the nodes of each group the difference to its own.
    """
    after = {"bf16": 1, "fp8": 30}
    groups = [make_group(instances=(0, 2), precision=precision, request_shares=(0.5, 0.5)) for precision in after]
    groups.sort(key=lambda group: group.precision == last)
    plan = make_fleet_plan(*groups)
    schedules = [
        dataclasses.replace(schedule, stopped_minutes_after=after[group.precision])
        for schedule, group in zip(plan.fleet.scaling.schedule, groups, strict=True)
    ]
    scaling = dataclasses.replace(plan.fleet.scaling, schedule=tuple(schedules))
    plan = dataclasses.replace(plan, fleet=dataclasses.replace(plan.fleet, scaling=scaling))
    generated = generate(plan, wanted=Wanted(target="eks"))
    (told,) = [warning for warning in generated.warnings if "This code costs" in warning]
    stop = load_catalog().scale_ins["eks"].value / 60
    minutes = sum(2 * 5 * (stop - planned) for planned in after.values())
    more = minutes / 60 / 168 * 730 * 0.8048
    compute = plan.fleet.cost.compute_usd_per_month + more
    assert float(usd_of(costs_of(generated)["Compute"])) == pytest.approx(compute, abs=0.011)
    assert f"an instance is paid for until {round(stop):g} min after its last hour" in told


def added_up(costs):
    """Sum of the parts of a total and of its lines."""
    parts = ("Compute", "Disks", "Downloads of started instances", "Expected spot interruptions")
    parts += ("Data transfer to the users", "Putting new types into service")
    lines = [label for label in costs if label.startswith("In the total")]
    return sum(usd_of(costs[label]) for label in (*parts, *lines))


@pytest.mark.parametrize(
    ("target", "machine"),
    [("eks", ("aws", "us-east-1", "g6e.xlarge")), ("gke", ("gcp", "us-central1", "g2-standard-8")),
     ("aks", ("azure", "eastus", "Standard_NC24ads_A100_v4"))],
    ids=["eks", "gke", "aks"],
)  # fmt: skip
def test_a_cluster_costs_no_load_balancers_of_hosts(target, machine):
    """The plan counts those of hosts; this code's total is what it orders, to the cent, and the difference is told."""
    provider, region, kind = machine
    sold = catalog_of(offer(kind, region, on_demand=1.5, provider=provider))
    plan = plan_of(workload(providers=(provider,), regions=(region,)), sold, week_of_days(20.0))
    on_hosts, on_nodes = (generate(plan, wanted=Wanted(target=name, unconfirmed=True)) for name in ("", target))
    assert any("load balancer" in label for label in costs_of(on_hosts))
    costs = costs_of(on_nodes)
    assert not any("load balancer" in label or "entrance" in label for label in costs)
    assert usd_of(costs["Total"]) == added_up(costs) == Decimal(str(planned_usd(on_nodes)))
    (told,) = [warning for warning in on_nodes.warnings if "This code costs" in warning]
    less = Decimal(f"{plan.fleet.cost.total_usd_per_month:.2f}") - usd_of(costs["Total"])
    assert f"This code costs ${abs(less):,.2f} a month {'less' if less > 0 else 'more'} than the plan counts" in told
    assert "no load balancer is ordered" in told


@pytest.mark.parametrize(
    ("is_there", "left_out"),
    [(False, "other nodes of the clusters."), (True, "the fee of the clusters, other nodes of the clusters.")],
)
def test_what_the_total_of_nodes_leaves_out_has_no_row_in_it(is_there, left_out):
    """The fee of a cluster stands in the table of costs or below it, never in both."""
    sold = catalog_of(offer("g6e.xlarge", "us-east-1", on_demand=1.5, provider="aws"))
    asked = workload(providers=("aws",), regions=("us-east-1",), existing_cluster=is_there)
    plan = plan_of(asked, sold, week_of_days(20.0))
    for language in Language:
        generated = generate(plan, language, Wanted(target="eks", unconfirmed=True))
        assert f"Not in the total: {left_out}\n" in generated.files["README.md"]
        assert any("control plane" in label for label in costs_of(generated)) is not is_there
    option = generate(plan, wanted=Wanted(target="eks", rank=1, unconfirmed=True)).files["README.md"]
    assert "Not in the total: the fee of the clusters, the Gateway, other nodes of the clusters.\n" in option


def test_a_part_on_cloud_run_has_the_costs_of_the_plan():
    """Hosts, and containers of another size than the least one: no second price, and no second total."""
    hosts = make_group(provider="gcp", region="us-central1", instance_type="g2-standard-4", request_shares=(1.0, 0.5))
    container = make_serverless(
        weights_gib=20.0, instances=(0, 2), request_shares=(0.0, 0.5), instance_usd_per_hour=1.42092
    )
    plan = make_fleet_plan(hosts, container)
    generated = generate(plan)
    (root,) = [root for root in generated.roots if "cloud-run" in generated.files[f"{root}/README.md"]]
    table = generated.files[f"{root}/README.md"].partition("| Cost | |")[2].partition("The total does not hold")[0]
    costs = dict(re.findall(r"^\| (.+?) \| (.+) \|$", table.replace("\\", ""), re.MULTILINE))
    planned = next(group.compute_usd_per_month for group in plan.fleet.groups if group.purchase == "serverless")
    assert f"$1.4209 an hour each, ${planned:,.2f} a month" in costs["Cloud Run L4, serverless, us-central1"]
    assert usd_of(costs["Total"]) == Decimal(f"{plan.fleet.cost.total_usd_per_month:.2f}")
    assert not any("at the prices of" in warning for warning in generated.warnings)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cloud-run-l4-to-zero", "in GPUs: 6 in us-central1 (2 × 3)"),
        ("container-apps-mixed", "(`Consumption-GPU-NC24-A100`), in GPUs: 10 in eastus (2 × 5)"),
    ],
)
@pytest.mark.parametrize("language", Language)
def test_quotas_hold_two_revisions_at_an_update(name, told, language):
    """As many again as may run: the former revision answers until the new one does."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, language, dataclasses.replace(scenario.wanted, as_component=False)).files
    assert told in files["README.md"]


def test_explain_tells_what_the_code_of_a_service_costs():
    """Words beside the total of a plan of machines that go to a service; none where the plan counts its price."""
    machines = make_plan(make_option(**(GOOGLE | {"weights_gib": 20.0})))
    (told,) = beside_total(machines, Wanted(target="cloud-run", rank=1))
    assert "at the prices of Cloud Run L4 with 8 vCPUs and 32 GiB" in told
    assert beside_total(make_fleet_plan(make_serverless(weights_gib=20.0))) == ()


def test_a_stated_limit_is_the_budget_where_no_price_is_known():
    """The workload's most a month, which the user may change."""
    scenario = SCENARIOS["cloud-run-l4-of-machines"]()
    limits = {**scenario.plan.workload["limits"], "max_usd_per_month": 1500.0}
    plan = dataclasses.replace(scenario.plan, workload={**scenario.plan.workload, "limits": limits})
    text = generate(plan, wanted=scenario.wanted).files["variables.tf"]
    assert re.search(r"default     = 1500(\.0)?$", text.partition('"budget_usd_per_month"')[2], re.MULTILINE)


def test_sizes_that_clusters_raise_are_in_compute_and_in_the_total():
    """Ten by night run as eleven: the table of costs and the budget hold the same more."""
    plan = make_fleet_plan(make_group(instances=(10, 11)))
    as_planned, raised = (generate(plan, wanted=Wanted(target=target)) for target in ("ec2", "eks"))
    more = Decimal("0.8048") * 730 * (168 * 11 - 60 * 11 - 108 * 10) / 168
    costs = costs_of(raised)
    assert f"{usd_of(costs['Compute']):.2f}" == f"{Decimal(plan.fleet.cost.compute_usd_per_month) + more:.2f}"
    assert usd_of(costs["Total"]) == Decimal(str(planned_usd(raised)))
    assert planned_usd(as_planned) == plan.fleet.cost.total_usd_per_month
