"""``advisor price`` as a user runs it, and the shape of what it says."""

import dataclasses
import json
import math
import re
import shutil
import sys
from decimal import Decimal

import jsonschema_rs
import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.cli.app import main
from advisor.cli.price_table import price_table
from advisor.codegen import Form, Language, Wanted, generate, read_former, write_files
from advisor.codegen.pricing import CODE, Breakdown, Project
from advisor.codegen.pricing.costs import Component, Cost
from advisor.codegen.pricing.resources import Resource
from advisor.codegen.selection import of_fleet
from advisor.codegen.stack import stacks_of
from advisor.plan.document import plan_to_json
from advisor.plan.fleet.chosen import Policy
from builders import catalog_of, offer, workload
from codegen.plans import make_fleet, make_fleet_plan, make_group, make_option, make_plan
from codegen.pricing.plan_documents import configured, plan, resource
from codegen.scenarios import SCENARIOS
from plan.fleet.test_choose import plan_of, week_of_days

MONEY = {"type": ["string", "null"], "pattern": r"^-?\d+(\.\d+)?$"}
COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
COMPONENT = {
    "type": "object",
    "required": ["name", "unit", "hourlyQuantity", "monthlyQuantity", "price", "hourlyCost", "monthlyCost"],
    "properties": {"name": {"type": "string"}, "unit": {"type": "string"}}
    | dict.fromkeys(("hourlyQuantity", "monthlyQuantity", "price", "hourlyCost", "monthlyCost"), MONEY),
    "additionalProperties": False,
}
RESOURCE = {
    "type": "object",
    "required": ["name", "metadata", "hourlyCost", "monthlyCost"],
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "metadata": {"type": "object"},
        "hourlyCost": MONEY,
        "monthlyCost": MONEY,
        "costComponents": {"type": "array", "items": COMPONENT},
    },
    "additionalProperties": False,
}
BREAKDOWN = {
    "type": "object",
    "required": ["resources", "totalHourlyCost", "totalMonthlyCost"],
    "properties": {
        "resources": {"type": "array", "items": RESOURCE},
        "totalHourlyCost": MONEY,
        "totalMonthlyCost": MONEY,
    },
    "additionalProperties": False,
}
SUMMARY = {
    "type": "object",
    "properties": {
        f"total{kind}Resources": {"type": "integer"}
        for kind in ("Detected", "Supported", "Unsupported", "UsageBased", "NoPrice")
    }
    | dict.fromkeys(("supportedResourceCounts", "unsupportedResourceCounts", "noPriceResourceCounts"), COUNTS),
    "additionalProperties": False,
}
TOTALS = [f"{prefix}{period}Cost" for prefix in ("total", "pastTotal", "diffTotal") for period in ("Hourly", "Monthly")]
SHAPE = {
    "type": "object",
    "required": ["version", "currency", "projects", *TOTALS, "timeGenerated", "summary"],
    "properties": {
        "version": {"type": "string"},
        "currency": {"type": "string"},
        "timeGenerated": {"type": "string", "format": "date-time"},
        "summary": SUMMARY,
        "projects": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "metadata", "pastBreakdown", "breakdown", "diff", "summary"],
                "properties": {
                    "name": {"type": "string"},
                    "metadata": {
                        "type": "object",
                        "required": ["path", "type"],
                        "properties": {"path": {"type": "string"}, "type": {"type": "string"}},
                        "additionalProperties": False,
                    },
                    "pastBreakdown": BREAKDOWN,
                    "breakdown": BREAKDOWN,
                    "diff": BREAKDOWN,
                    "summary": SUMMARY,
                },
                "additionalProperties": False,
            },
        },
    }
    | dict.fromkeys(TOTALS, MONEY),
    "additionalProperties": False,
}
"""What Infracost's own schema asks of each field, written down from its ``schema/infracost.schema.json``."""


def catalog_price(kind, region="us-east-1", provider="aws", purchase="on_demand"):
    """USD an hour in the shipped catalog."""
    (offer,) = [
        one
        for one in load_catalog().offers
        if (one.provider, one.region, one.instance_type) == (provider, region, kind)
    ]
    return getattr(offer, purchase).usd_per_hour


@pytest.fixture
def price(tmp_path, monkeypatch, capsys):
    """Runs the program in an empty folder, lines as wide as they get: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, wide=True):
        monkeypatch.setattr(sys, "argv", ["advisor", "price", *arguments, *(["--wide"] if wide else [])])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def priced(price, tmp_path):
    """Prices a plan; gives the checked JSON."""

    def run(document):
        (tmp_path / "plan.json").write_text(json.dumps(document))
        code, out, _ = price("plan.json", "--format", "json")
        assert code == 0
        found = json.loads(out)
        jsonschema_rs.validator_for(SHAPE).validate(found)
        return found

    return run


def instance(kind, name="this", **values):
    """An EC2 instance in us-east-1."""
    return resource("aws_instance", {"instance_type": kind, "region": "us-east-1"} | values, name)


def test_price_is_quantity_times_unit_price(priced):
    """730 hours a month, in decimals, without a rounding error."""
    found = priced(plan(instance("g6.xlarge", tags={"Team": "a"})))
    unit = Decimal(str(catalog_price("g6.xlarge")))
    (line,) = found["projects"][0]["breakdown"]["resources"]
    assert (line["name"], line["tags"]) == ("aws_instance.this", {"Team": "a"})
    assert line["costComponents"] == [
        {
            "name": "Instance usage (on-demand, g6.xlarge, us-east-1)",
            "unit": "hours",
            "hourlyQuantity": "1",
            "monthlyQuantity": "730",
            "price": str(unit),
            "hourlyCost": str(unit),
            "monthlyCost": f"{(unit * 730).normalize():f}",
        }
    ]
    assert found["totalMonthlyCost"] == line["monthlyCost"]
    assert found["currency"] == "USD"


def test_unknown_is_null_and_never_zero(priced, price):
    """A type without a price is named, is null, and is told to be missing in the total."""
    found = priced(plan(instance("g6.xlarge"), instance("t3.medium", "cpu")))
    (known, unknown) = found["projects"][0]["breakdown"]["resources"]
    assert unknown["monthlyCost"] is None
    assert unknown["costComponents"][0]["price"] is None
    assert unknown["costComponents"][0]["name"] == "Instance usage (on-demand, t3.medium, us-east-1): price not found"
    assert found["totalMonthlyCost"] == known["monthlyCost"]
    _, out, err = price("plan.json", "--format", "json")
    assert "lacks what has no price: aws_instance.cpu" in err
    assert "the oldest price used, of g6.xlarge in us-east-1, is" in err
    json.loads(out)


def test_nothing_known_is_no_total(priced):
    """A total of nothing but unknown parts is unknown; of no parts at all it is zero."""
    assert priced(plan(instance("t3.medium")))["totalMonthlyCost"] is None
    assert priced(plan())["totalMonthlyCost"] == "0"


def test_difference_to_what_is_there(priced):
    """What a pull request costs: a changed type, and a removed one."""
    found = priced(
        plan(
            instance("g6.xlarge"),
            instance("g5.xlarge", "same"),
            before=[instance("g5.xlarge"), instance("g5.xlarge", "gone"), instance("g5.xlarge", "same")],
        )
    )
    new, old = (Decimal(str(catalog_price(kind))) for kind in ("g6.xlarge", "g5.xlarge"))
    assert Decimal(found["diffTotalHourlyCost"]) == new - 2 * old
    assert Decimal(found["pastTotalHourlyCost"]) == 3 * old
    changes = {one["name"]: Decimal(one["hourlyCost"]) for one in found["projects"][0]["diff"]["resources"]}
    assert changes == {"aws_instance.this": new - old, "aws_instance.gone": -old}


def test_what_is_not_priced_is_counted(priced):
    """Free types and types without a rule stand in the summary."""
    found = priced(
        plan(instance("g6.xlarge"), resource("aws_lb", {}), resource("aws_lb", {}, "b"), resource("aws_iam_role", {}))
    )
    summary = found["summary"]
    assert summary["supportedResourceCounts"] == {"aws_instance": 1}
    assert summary["unsupportedResourceCounts"] == {"aws_lb": 2}
    assert summary["noPriceResourceCounts"] == {"aws_iam_role": 1}
    assert summary["totalDetectedResources"] == 4


def test_machines_of_the_system_count_where_they_are_priced(priced):
    """A cluster's own pool has no accelerator: its price is known, or it is none of ours."""

    def cluster(size):
        pool = {"default_node_pool": [{"vm_size": size, "node_count": 3}], "location": "eastus"}
        return priced(plan(resource("azurerm_kubernetes_cluster", pool)))["projects"][0]["breakdown"]["resources"]

    ((system,),) = [cluster("Standard_D4s_v5")]
    assert float(system["hourlyCost"]) > 0
    assert cluster("Standard_X1_v99") == []


def test_containers_of_another_size_are_priced_by_their_parts(priced):
    """Cloud Run's L4 with 4 processors and 16 GiB, and what is beyond by the vCPU and GiB; nothing smaller is sold."""

    def run(cpu, memory, region="us-central1"):
        container = {"resources": [{"limits": {"cpu": cpu, "memory": memory, "nvidia.com/gpu": "1"}}]}
        template = {"containers": [container], "node_selector": [{"accelerator": "nvidia-l4"}],
                    "gpu_zonal_redundancy_disabled": True, "scaling": [{"min_instance_count": 1}]}  # fmt: skip
        values = {"location": region, "template": [template]}
        return priced(plan(resource("google_cloud_run_v2_service", values)))["projects"][0]["breakdown"]["resources"]

    assert run("4", "16Gi")[0]["hourlyCost"] == "1.04652"
    (larger,) = run("8", "32Gi")
    assert Decimal(larger["hourlyCost"]) == Decimal("0.67212") + 8 * Decimal("0.0648") + 32 * Decimal("0.0072")
    assert "8 vCPUs and 32 GiB" in larger["costComponents"][0]["name"]
    for unknown in (run("2", "8Gi"), run("8", "32Gi", "us-east4")):
        assert unknown[0]["hourlyCost"] is None
        assert unknown[0]["costComponents"][0]["name"].endswith(": price not found")


@pytest.mark.parametrize(
    ("file", "text", "size"),
    [
        ("other.tfvars", 'model_source = "gs://weights/models"\n', "8 vCPUs and 32 GiB"),
        ("terraform.tfvars", 'model_source = "hub"\n', "8 vCPUs and 32 GiB"),
        ("terraform.tfvars", 'model_source = "gs://weights/models"\n', "4 vCPUs and 16 GiB"),
        ("mine.auto.tfvars", 'model_source = "/models"\n', "4 vCPUs and 16 GiB"),
        ("terraform.tfvars.json", '{"model_source": "/models"}', "4 vCPUs and 16 GiB"),
        ("mine.auto.tfvars.json", '{"model_source": "/models"}', "4 vCPUs and 16 GiB"),
    ],
)
def test_generated_containers_are_priced_in_the_size_that_is_deployed(file, text, size, price, tmp_path):
    """Weights from the hub lie in memory and take a larger one, unless a file of variables mounts them."""
    option = make_option(**GOOGLE | {"instance_type": "g2-standard-4"}, weights_gib=20.0)
    write_files(generate(make_plan(option), wanted=Wanted(target="cloud-run", rank=1)), tmp_path / "infra")
    (tmp_path / "infra" / file).write_text(text)
    assert size in price("infra")[1]


@pytest.mark.parametrize("last", range(5))
def test_the_last_file_of_variables_counts(last, price, tmp_path):
    """In Terraform's order: JSON after the same name without, and files that it takes by themselves by their names."""
    order = ["terraform.tfvars", "terraform.tfvars.json", "a.auto.tfvars", "a.auto.tfvars.json", "b.auto.tfvars"]
    option = make_option(**GOOGLE | {"instance_type": "g2-standard-4"}, weights_gib=20.0)
    write_files(generate(make_plan(option), wanted=Wanted(target="cloud-run", rank=1)), tmp_path / "infra")
    for at, file in enumerate(order[: last + 1]):
        source = "/models" if at == last else "hub"
        text = f'{{"model_source": "{source}"}}' if file.endswith(".json") else f'model_source = "{source}"\n'
        (tmp_path / "infra" / file).write_text(text)
    assert "4 vCPUs and 16 GiB" in price("infra")[1]


SPOT = "us-east-1-g6-xlarge-bf16-tp1-spot"


@pytest.mark.parametrize("target", ["ec2", "eks"])
def test_the_readme_counts_the_hours_of_its_target(target, price, tmp_path):
    """Compute, total and budget hold how long a target pays for an instance after its last hour, as this command does."""
    usd_per_hour = catalog_price("g6e.xlarge")
    plan = plan_of(workload(), catalog_of(offer("g6e.xlarge", on_demand=usd_per_hour)), week_of_days(20.0))
    write_files(generate(plan, wanted=Wanted(target=target)), tmp_path / "infra")
    readme = (tmp_path / "infra" / "README.md").read_text().replace("\\", "")
    (by_hours,) = re.findall(r"; ([\d,.]+) by the hours of its plan", price("infra")[1])
    assert f"| Compute | ${by_hours} a month" in readme
    more = float(by_hours.replace(",", "")) - plan.fleet.cost.compute_usd_per_month
    amounts = {
        label: float(usd.replace(",", ""))
        for label, usd in re.findall(r"^\| (.+?) \| \$([\d,.]+) a mo", readme, re.MULTILINE)
    }
    total, planned = amounts["Total"], plan.fleet.cost
    lines = sum(usd for label, usd in amounts.items() if label.startswith("In the total"))
    assert total == pytest.approx(
        planned.total_usd_per_month + more + lines - planned.standing_usd_per_month, abs=0.011
    )
    assert (more > 0.005) is (target == "eks")
    assert ("an instance is paid for until" in readme) is (target == "eks")
    assert ("load balancer in" in readme) is (target == "ec2")
    assert f"planned_usd_per_month = {total:g}" in (tmp_path / "infra" / "fleet.tf").read_text() or total > 1e6


@pytest.mark.parametrize(
    ("file", "text", "on_demand"),
    [
        ("terraform.tfvars", "", 0),
        ("terraform.tfvars", f"on_demand_base = {{ {SPOT} = 0 }}\n", 0),
        ("terraform.tfvars", f"on_demand_base = {{ {SPOT} = 1 }}\n", 1),
        ("mine.auto.tfvars", f'on_demand_base = {{ "{SPOT}" = 2 }}\n', 2),
        ("terraform.tfvars.json", json.dumps({"on_demand_base": {SPOT: 5}}), 3),
        ("other.tfvars", f"on_demand_base = {{ {SPOT} = 1 }}\n", 0),
    ],
)
def test_a_base_on_demand_is_paid_for_on_demand(file, text, on_demand, price, tmp_path):
    """Instances of a spot group that a file of variables buys on demand are lines of their own, at their price."""
    write_files(generate(make_fleet_plan(make_group(purchase="spot", instances=(3, 3)))), tmp_path / "infra")
    (tmp_path / "infra" / file).write_text(text)
    (line,) = json.loads(price("infra", "--format", "json")[1])["projects"][0]["breakdown"]["resources"]
    parts = {part["name"].split("(")[1].split(",")[0]: float(part["hourlyQuantity"]) for part in line["costComponents"]}
    assert parts == {kind: count for kind, count in (("on-demand", on_demand), ("spot", 3 - on_demand)) if count}
    prices = [Decimal(str(catalog_price("g6.xlarge", purchase=kind))) for kind in ("on_demand", "spot")]
    assert Decimal(line["hourlyCost"]) == on_demand * prices[0] + (3 - on_demand) * prices[1]


def test_a_computed_base_leaves_the_price_unknown(price, tmp_path):
    """How many are on demand is not known without Terraform."""
    write_files(generate(make_fleet_plan(make_group(purchase="spot"))), tmp_path / "infra")
    (tmp_path / "infra" / "terraform.tfvars").write_text(f'on_demand_base = {{ {SPOT} = "${{1 + 1}}" }}\n')
    assert "on_demand_base is computed" in price("infra")[1]


OBJECTS = "kubernetes/us-east-1/us-east-1-1xl4-bf16-tp1-vllm.yaml"
EDITS = {
    "number": ("ec2", "fleet.tf", r"(\n +instances +=) 2", r"\1 1", "instances is 1, generated as 2 (fleet.tf)"),
    "purchase": ("ec2", "fleet.tf", r"(\n +spot +=) true", r"\1 false", "spot is false, generated as true (fleet.tf)"),
    "machine": ("ec2", "fleet.tf", r'\["g6.xlarge"', '["g6.2xlarge"', "instance_types is g6.2xlarge, generated as g6.xlarge (fleet.tf)"),
    "computed number": ("ec2", "fleet.tf", r"(\n +instances +=) 2", r"\1 1 + 1", "instances (fleet.tf)"),
    "hours": ("ec2", "fleet.tf", "instances = 2 }", "instances = 1 }", "schedule (fleet.tf)"),
    "hours of objects": ("eks", OBJECTS, 'desiredReplicas: "2"', 'desiredReplicas: "1"', f"triggers ({OBJECTS})"),
    "base": (
        "ec2", "terraform.tfvars", "", f"on_demand_base = {{ {SPOT} = 1 }}\n", "on_demand_base is 1 (terraform.tfvars)",
    ),
}  # fmt: skip


def edited(path, old, new):
    """A file of generated code that somebody changed."""
    text = path.read_text() if path.is_file() else ""
    changed = re.sub(old, new, text) if old else text + new
    assert changed != text
    path.write_text(changed)


@pytest.mark.parametrize("edit", EDITS)
def test_hours_of_code_that_was_edited_are_unknown(edit, price, tmp_path):
    """The recorded timetable says nothing of other machines, another purchase or other hours; what was edited is named."""
    target, path, old, new, told = EDITS[edit]
    plan = make_fleet_plan(make_group(purchase="spot", instances=(0, 2)))
    write_files(generate(plan, wanted=Wanted(target=target)), tmp_path / "infra")
    assert "unknown" not in price("infra")[1]
    edited(tmp_path / "infra" / path, old, new)
    out = price("infra")[1]
    assert "unknown by the hours of its plan" in out
    assert "unknown, since it was edited: " in out
    assert told in out


@pytest.mark.parametrize("form", Form)
def test_hours_in_the_objects_of_every_form_are_seen(form, price, tmp_path):
    """Pods of another number by the clock, in manifests, services and values of charts alike."""
    plan = make_fleet_plan(make_group(purchase="spot", instances=(0, 2)))
    write_files(generate(plan, wanted=Wanted(target="eks", form=form)), tmp_path / "infra")
    assert "unknown" not in price("infra")[1]
    (objects,) = [
        path for path in (tmp_path / "infra" / "kubernetes").rglob("*.yaml") if "kind: ScaledObject" in path.read_text()
    ]
    edited(objects, r"(desiredReplicas: ['\"])2", r"\g<1>1")
    assert f"triggers ({objects.relative_to(tmp_path / 'infra')})" in price("infra")[1]


def as_pulumi(directory, *groups, short=False, target=""):
    """A program of Pulumi for groups, whole or short, and the name of its project."""
    wanted = Wanted(target=target, as_component=short)
    write_files(generate(make_fleet_plan(*groups), Language.PYTHON, wanted), directory)
    return re.search("^name: (.+)$", (directory / "Pulumi.yaml").read_text(), re.MULTILINE)[1]


def configure(directory, stack, text):
    """Adds lines to the configuration of a stack."""
    path = directory / f"Pulumi.{stack}.yaml"
    path.write_text((path.read_text() if path.is_file() else "config:\n") + text)


PROGRAMS = [
    "l4-spot", "scheduled", "ec2-cache", "eks-scheduled", "eks-karpenter-spot", "sagemaker-mixed-scheduled",
    "mig-scheduled", "gke-scheduled", "tpu-vm-v6e", "cloud-run-two-regions", "container-apps-mixed",
    "vm-scale-set-cache", "aks-scheduled", "mixed-fleet", "kubernetes-spot",
]  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_pulumi_costs_what_its_root_of_terraform_does(name, price, tmp_path):
    """Groups, entrances and caches, at the same prices and by the same hours, of every cloud."""
    scenario = SCENARIOS[name]()
    for language in Language:
        wanted = dataclasses.replace(scenario.wanted, as_component=False)
        write_files(generate(scenario.plan, language, wanted), tmp_path / language.value / "infra")
    terraform, pulumi = (
        json.loads(price(f"{language.value}/infra", "--format", "json")[1])["projects"]
        for language in (Language.TERRAFORM, Language.PYTHON)
    )
    parts = [
        [line["costComponents"] for project in projects for line in project["breakdown"]["resources"]]
        for projects in (terraform, pulumi)
    ]
    assert sorted(map(str, parts[0])) == sorted(map(str, parts[1])) != []
    assert {project["metadata"]["type"] for project in pulumi} == {"pulumi_dir"}
    hours = [re.findall(r"\S+ by the hours of its plan", price(f"{language.value}/infra")[1]) for language in Language]
    assert hours[0] == hours[1]


@pytest.mark.parametrize("short", [False, True], ids=["whole", "short"])
@pytest.mark.parametrize(
    ("value", "on_demand"),
    [
        (f'"{{\\"{SPOT}\\": 1}}"', 1),
        (f"{{{SPOT}: 2}}", 2),
        (f"{{{SPOT}: 0}}", 0),
    ],
    ids=["text", "mapping", "none"],
)
def test_a_stack_buys_a_base_on_demand(value, on_demand, short, price, tmp_path):
    """As a file of Terraform's variables does: its configuration as `pulumi config set` writes it, or by hand."""
    project = as_pulumi(tmp_path / "infra", make_group(purchase="spot", instances=(0, 3)), short=short)
    if short:
        main = tmp_path / "infra" / "__main__.py"
        edited(main, r"args=\{\n", 'args={\n        "on_demand_base": config.get_object("on_demand_base"),\n')
    configure(tmp_path / "infra", "production", f"  {project}:on_demand_base: {value}\n  other:on_demand_base: 3\n")
    (line,) = json.loads(price("infra", "--format", "json")[1])["projects"][0]["breakdown"]["resources"]
    parts = {part["name"].split("(")[1].split(",")[0]: float(part["hourlyQuantity"]) for part in line["costComponents"]}
    assert parts == {kind: count for kind, count in (("on-demand", on_demand), ("spot", 3 - on_demand)) if count}
    assert ("on_demand_base is" in price("infra")[1]) is (on_demand > 0)


def test_a_secret_base_leaves_the_price_unknown(price, tmp_path):
    """A secret of Pulumi is as good as a computed value."""
    project = as_pulumi(tmp_path / "infra", make_group(purchase="spot"))
    configure(tmp_path / "infra", "production", f"  {project}:on_demand_base:\n    secure: v1:abc\n")
    assert "on_demand_base is computed" in price("infra")[1]


def test_a_short_program_passes_on_what_its_arguments_name(price, tmp_path):
    """Configuration that it does not read changes nothing, a literal counts, and what is computed is unknown."""
    project = as_pulumi(tmp_path / "infra", make_group(purchase="spot", instances=(3, 3)), short=True)
    configure(tmp_path / "infra", "production", f"  {project}:on_demand_base: {{{SPOT}: 2}}\n")
    assert "on-demand, g6" not in price("infra")[1]
    main = tmp_path / "infra" / "__main__.py"
    edited(main, r"args=\{\n", f'args={{\n        "on_demand_base": {{"{SPOT}": 1}},\n')
    assert "on-demand, g6" in price("infra")[1]
    edited(main, rf'\{{"{SPOT}": 1\}}', "base()")
    assert "on_demand_base is computed" in price("infra")[1]


def test_each_stack_of_a_program_is_a_project(price, tmp_path):
    """They deploy a fleet each; weights that project of them mounts make its container a smaller project."""
    container = make_group(**GOOGLE | {"instance_type": "g2-standard-4"}, weights_gib=20.0)
    project = as_pulumi(tmp_path / "infra", container, target="cloud-run")
    configure(tmp_path / "infra", "staging", f"  {project}:model_source: gs://weights/models\n")
    projects = json.loads(price("infra", "--format", "json")[1])["projects"]
    names = {project["name"]: project["breakdown"]["resources"][0]["costComponents"][0]["name"] for project in projects}
    assert "8 vCPUs and 32 GiB" in names["infra (production)"]
    assert "4 vCPUs and 16 GiB" in names["infra (staging)"]


PROGRAM_EDITS = {
    "number": (r"(\n +instances=)2,", r"\g<1>1,", "instances is 1, generated as 2 (inference/fleet.py)"),
    "machine": (
        r'\["g6.xlarge"',
        '["g6.2xlarge"',
        "instance_types is g6.2xlarge, generated as g6.xlarge (inference/fleet.py)",
    ),
    "hours": (r"instances=2\)", "instances=1)", "schedule (inference/fleet.py)"),
    "computed number": (r"(\n +instances=)2,", r"\g<1>1 + 1,", "instances (inference/fleet.py)"),
}


@pytest.mark.parametrize("edit", PROGRAM_EDITS)
def test_edits_of_a_program_are_priced_and_leave_its_hours_unknown(edit, price, tmp_path):
    """Its data is the user's, as that of a root of Terraform is."""
    as_pulumi(tmp_path / "infra", make_group(purchase="spot", instances=(0, 2)))
    before = price("infra")[1]
    assert "unknown" not in before
    old, new, told = PROGRAM_EDITS[edit]
    edited(tmp_path / "infra" / "inference" / "fleet.py", old, new)
    out = price("infra")[1]
    assert told in out
    assert "unknown by the hours of its plan" in out
    total = re.compile("total of what is known: ([^ ]+)")
    assert (total.search(out)[1] == total.search(before)[1]) is (edit == "hours")
    assert (total.search(out)[1] == "unknown") is (edit == "computed number")


def test_machines_of_a_program_whose_code_was_edited_have_no_price(price, tmp_path):
    """Their number is what Pulumi makes of the code; other arguments leave the price."""
    as_pulumi(tmp_path / "infra", make_group(purchase="spot"))
    compute, before = tmp_path / "infra" / "inference" / "compute.py", price("infra")[1]
    edited(compute, r"(default_instance_warmup=)60", r"\g<1>90")
    assert price("infra")[1] == before
    edited(compute, r"(desired_capacity=)group.instances", r"\g<1>9")
    out = price("infra")[1]
    assert ": edited in inference/compute.py" in out
    assert "total of what is known (without the edits below): unknown USD" in out
    assert "and not in the total: aws.autoscaling.Group (inference/compute.py)" in out
    assert "terraform" not in out


def test_another_plan_beside_a_short_program_leaves_its_hours_unknown(price, tmp_path):
    """The machines are those of the new plan, and the record has the hours of the old one."""
    as_pulumi(tmp_path / "infra", make_group(purchase="spot", instances=(0, 2)), short=True)
    assert "unknown" not in price("infra")[1]
    other = make_fleet_plan(make_group(purchase="spot", instances=(0, 3)))
    (tmp_path / "infra" / "plan.json").write_text(plan_to_json(other))
    out = price("infra")[1]
    assert "unknown, since it was edited: its plan (plan.json)" in out


@pytest.mark.parametrize("short", [False, True], ids=["whole", "short"])
def test_a_checkout_with_other_line_ends_is_no_edit(short, price, tmp_path):
    """Git may write CRLF: the hours are those of the plan all the same."""
    as_pulumi(tmp_path / "infra", make_group(purchase="spot", instances=(0, 2)), short=short)
    before = price("infra")[1]
    for path in (tmp_path / "infra").rglob("*"):
        if path.is_file() and ".advisor" not in path.parts:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert price("infra")[1] == before


def test_a_program_that_is_no_python_says_where(price, tmp_path):
    """An input error with file and line, as of Terraform."""
    as_pulumi(tmp_path / "infra", make_group())
    edited(tmp_path / "infra" / "inference" / "fleet.py", "", "FLEET = (\n")
    code, _, err = price("infra")
    assert code == 1
    assert "not valid Python" in err
    assert "fleet.py:" in err


def test_a_configuration_that_is_no_yaml_says_so(price, tmp_path):
    """An input error with the file."""
    as_pulumi(tmp_path / "infra", make_group())
    (tmp_path / "infra" / "Pulumi.production.yaml").write_text("config: [\n")
    code, _, err = price("infra")
    assert code == 1
    assert "not valid YAML" in err


@pytest.mark.parametrize("name", ["vm-scale-set-mixed", "container-apps-mixed", "mixed-fleet", "kubernetes-spot"])
def test_lines_keep_to_80_characters_in_pipes(name, price, tmp_path):
    """Resources stand on lines of their own where the table is wider; --wide has one line for each."""
    scenario = SCENARIOS[name]()
    write_files(generate(scenario.plan, wanted=scenario.wanted), tmp_path / "infra")
    narrow, wide = price("infra", wide=False)[1], price("infra")[1]
    long = [line for line in narrow.splitlines() if len(line) > 80]
    assert all(" " not in line for line in long), "names of resources, which nothing can break"
    assert any(len(line) > 80 for line in wide.splitlines())
    assert sorted("".join(narrow.split())) == sorted(
        "".join(wide.split()).replace("resource", "", narrow.count("  what "))
    )


@pytest.mark.parametrize("path", ["fleet.tf", "variables.tf"])
def test_edits_that_start_no_other_machine_leave_the_hours(path, price, tmp_path):
    """A comment, a default elsewhere."""
    plan = make_fleet_plan(make_group(purchase="spot", instances=(0, 2)))
    write_files(generate(plan), tmp_path / "infra")
    before = price("infra")[1]
    with (tmp_path / "infra" / path).open("a") as file:
        file.write("# a comment\n")
    assert price("infra")[1] == before


def test_half_a_cent_goes_where_a_plan_lets_it_go():
    """The sum of 6,043.743 and 11,126.952 is 17,170.69 in the compute of a plan, and here."""
    parts = (Component("a", Decimal(9), Decimal("0.9199")), Component("b", Decimal(4), Decimal("3.8106")))
    costs = (Cost(Resource("aws_instance.x", "aws_instance", "x", {}), parts),)
    nothing = Breakdown((), {}, {})
    text = price_table(Project("infra", "infra", CODE, Breakdown(costs, {}, {}), nothing))
    assert "total of what is known: 17,170.69 USD" in text
    assert round(math.fsum((9 * 0.9199 * 730, 4 * 3.8106 * 730)), 2) == 17170.69


def test_spot_and_on_demand_have_their_own_prices(priced):
    """A mixed group is two components."""
    policy = {
        "instances_distribution": [{"on_demand_base_capacity": 1, "on_demand_percentage_above_base_capacity": 0}],
        "launch_template": [{"override": [{"instance_type": "g6.xlarge"}]}],
    }
    group = resource(
        "aws_autoscaling_group", {"desired_capacity": 3, "region": "us-east-1", "mixed_instances_policy": [policy]}
    )
    found = priced(plan(group, configured=[configured("aws_autoscaling_group.this")]))
    (line,) = found["projects"][0]["breakdown"]["resources"]
    wanted = Decimal(str(catalog_price("g6.xlarge"))) + 2 * Decimal(str(catalog_price("g6.xlarge", purchase="spot")))
    assert Decimal(line["hourlyCost"]) == wanted


def test_table_names_what_is_left_out(price, tmp_path):
    """Lines, total, what is unknown, what is not priced."""
    (tmp_path / "plan.json").write_text(
        json.dumps(plan(instance("g6.xlarge"), instance("t3.medium", "cpu"), resource("aws_lb", {})))
    )
    code, out, _ = price(".")
    assert code == 0
    month = f"{catalog_price('g6.xlarge') * 730:,.2f}"
    assert f"total of what is known: {month} USD a month of 730 hours" in out
    assert "not known, and not in the total: aws_instance.cpu" in out
    assert "not priced here: 1 aws_lb" in out
    assert out.splitlines()[2].split() == ["resource", "what", "number", "USD/hour", "each", "USD/month"]


def test_generated_directory_costs_what_the_plan_says(price, tmp_path):
    """A static root of a single type, read without Terraform: the plan's compute cost, to the cent."""
    option = make_option(usd_per_hour=catalog_price("g6.xlarge"), instances=3)
    write_files(generate(make_plan(option)), tmp_path / "infra")
    (tmp_path / "infra" / "plan.json").write_text(
        '{"schema": "advisor.plan/v1"}'
    )  # beside its code, it is no Terraform
    code, out, _ = price("infra", "--format", "json")
    assert code == 0
    assert f"{Decimal(json.loads(out)['totalMonthlyCost']):.2f}" == f"{option.cost.compute_usd_per_month:.2f}"


@pytest.mark.parametrize(
    ("changes", "sold_as"),
    [
        ({"purchase": "spot"}, "spot"),
        ({"purchase": "managed"}, "managed"),
        ({"instances_by_class": (1, 3), "minutes_ahead": 12}, "on_demand"),
        ({"purchase": "commitment", "commitment": "Compute Savings Plan, 1 y, no upfront"}, "on_demand"),
    ],
    ids=["spot", "managed", "hours", "commitment"],
)
def test_options_of_each_kind_are_priced_as_planned(changes, sold_as, price, tmp_path):
    """Three instances at the price of their purchase; a commitment is no resource, and its machines run on demand."""
    (offer,) = [
        one
        for one in load_catalog().offers
        if (one.provider, one.region, one.instance_type) == ("aws", "us-east-1", "g6.xlarge")
    ]
    usd_per_hour = load_catalog().price(offer, Purchase(sold_as)).usd_per_hour
    option = make_option(usd_per_hour=usd_per_hour, instances=3, **changes)
    plan = make_plan(option, fleet=make_fleet(make_group()))
    write_files(generate(plan, wanted=Wanted(rank=1)), tmp_path / "infra")
    code, out, _ = price("infra", "--format", "json")
    assert code == 0
    assert Decimal(json.loads(out)["totalHourlyCost"]) == 3 * Decimal(str(usd_per_hour))


def test_generated_fleet_has_a_line_for_each_group(price, tmp_path):
    """Spot and on demand of a fleet, each with its price; the table says which amounts schedules are in."""
    write_files(generate(make_fleet_plan(make_group(), make_group(purchase="spot"))), tmp_path / "infra")
    found = json.loads(price("infra", "--format", "json")[1])
    names = [part["name"] for line in found["projects"][0]["breakdown"]["resources"] for part in line["costComponents"]]
    assert names == ["Instance usage (on-demand, g6.xlarge, us-east-1)", "Instance usage (spot, g6.xlarge, us-east-1)"]
    told = price("infra")[1]
    assert 'schedules count in "by its hours" alone, commitments count in the plan alone' in told
    assert "by the hours of its plan" in told


GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"}


@pytest.mark.parametrize("target", ["mig", "gke"])
def test_the_hours_of_the_plan_stand_beside_the_total(target, price, tmp_path):
    """Two instances in 60 hours a week, each start and stop with its minutes: the same of hosts as of a pool at 0."""
    plan = make_fleet_plan(make_group(**GOOGLE, instances=(0, 2)))
    write_files(generate(plan, wanted=Wanted(target=target)), tmp_path / "infra")
    out = price("infra")[1]
    hourly = catalog_price("g2-standard-8", provider="gcp", region="us-central1")
    (group,) = stacks_of(plan, of_fleet(plan.fleet), Wanted())[0].groups
    ahead = plan.fleet.scaling.schedule[0].ordered_minutes_ahead / 60
    stop = load_catalog().scale_ins[target].value / 3600
    hours = 2 * (60 + 5 * (ahead + stop))
    usd = f"{hours / 168 * 730 * hourly:,.2f}"

    heads, row = (line for line in out.splitlines() if line.startswith(("resource ", "google_")))
    assert heads.endswith("USD/month  by its hours")
    assert row.split()[-1] == usd
    assert f"USD a month of 730 hours; {usd} by the hours of its plan" in out
    paid = f"{hours:,.2f} instance-hours paid for ({hours / 168:.3g} instances on average), {usd} USD"
    assert f"  {group.key}: in use {60 + 5 * ahead:,.2f} hours a week, {paid}" in out


def test_the_hours_of_the_code_cost_what_its_plan_says(price, tmp_path):
    """Instances that start every morning, ordered ahead by whole minutes: the same compute cost, to the cent."""
    usd_per_hour = catalog_price("g6e.xlarge")
    plan = plan_of(workload(), catalog_of(offer("g6e.xlarge", on_demand=usd_per_hour)), week_of_days(20.0))
    (group,) = plan.fleet.groups
    write_files(generate(plan, wanted=Wanted(unconfirmed=True)), tmp_path / "infra")

    assert len(set(group.instances)) > 1
    assert group.cold_start_seconds.high % 60
    assert f"; {plan.fleet.cost.compute_usd_per_month:,.2f} by the hours of its plan" in price("infra")[1]


SCHEDULE = resource("aws_autoscaling_schedule", {"desired_capacity": 0}, index="night")
UNKNOWN = "numbers may change (1 aws_autoscaling_schedule), in hours that are not known:"


def machines_of(region):
    """The resource of a group of two g6.xlarge on demand, under the key that its code gives it."""
    group = resource(
        "aws_autoscaling_group",
        {"desired_capacity": 2, "region": region},
        index=f"{region}-g6-xlarge-bf16-tp1-on-demand",
    )
    launched = {"launch_template": [{"override": [{"instance_type": "g6.xlarge"}]}]}
    group["values"]["mixed_instances_policy"] = [launched]
    return group


def test_a_plan_of_terraform_has_the_hours_of_the_record_beside_it(price, tmp_path):
    """The same figures as of the code; from elsewhere it says what changes by the clock, and that no record is there."""
    plan_of_fleet = make_fleet_plan(make_group(instances=(0, 2)))
    write_files(generate(plan_of_fleet), tmp_path / "infra")
    groups = machines_of("us-east-1")
    document = json.dumps(plan(groups, SCHEDULE))
    by_code = price("infra")[1]
    (tmp_path / "infra/plan.json").write_text(document)
    (tmp_path / "elsewhere.json").write_text(document)
    (end,) = re.findall(r"; \S+ by the hours of its plan", by_code)
    assert "`advisor explain PLAN --cost` has every line of the plan's" in by_code
    hours = by_code[by_code.index("hours of the plan, with starts and stops") :]
    for source in ("infra", "infra/plan.json"):
        out = price(source)[1]
        assert end in out
        assert hours in out
        assert 'schedules count in "by its hours" alone, commitments count in the plan alone' in out
    out = price("elsewhere.json")[1]
    assert end not in out
    assert "count in the plan alone" not in out, "Terraform of others has no plan"
    assert f"{UNKNOWN} no record of generated code (.advisor) lies beside it" in out
    others = plan(groups | {"address": "aws_autoscaling_group.other"}, SCHEDULE)
    (tmp_path / "infra/plan.json").write_text(json.dumps(others))
    out = price("infra")[1]
    assert end not in out
    assert "count in the plan alone" not in out
    assert f"{UNKNOWN} the record of generated code beside it (.advisor) has groups without a resource in it" in out


@pytest.mark.parametrize(
    ("policy", "reason"),
    [(Policy.REACTIVE, "its groups scale by load"), (Policy.STATIC, "its plan has no schedule")],
)
def test_a_plan_of_terraform_says_why_the_record_beside_it_has_no_hours(policy, reason, price, tmp_path):
    """The record is there, and has no schedule: what changes the numbers of this plan is something else."""
    write_files(generate(make_fleet_plan(make_group(instances=(1, 2)), policy=policy)), tmp_path / "infra")
    (tmp_path / "infra/plan.json").write_text(json.dumps(plan(machines_of("us-east-1"), SCHEDULE)))
    out = price("infra")[1]
    assert f"{UNKNOWN} {reason}\n" in out
    assert "count in the plan alone" in out


def test_a_plan_of_terraform_in_a_cut_over_says_so(price, tmp_path):
    """Groups of before run beside those of the plan, whose hours are not those of the code until it is finished."""
    for region in ("us-east-1", "us-west-2"):
        scheduled = make_fleet_plan(make_group(region=region, instances=(0, 2)))
        write_files(generate(scheduled, former=read_former(tmp_path / "infra")), tmp_path / "infra")
    machines = [machines_of(region) for region in ("us-east-1", "us-west-2")]
    (tmp_path / "infra/plan.json").write_text(json.dumps(plan(*machines, SCHEDULE)))
    out = price("infra")[1]
    assert f"{UNKNOWN} a cut-over of its code is under way\n" in out
    assert "by the hours of its plan" not in out


def test_containers_that_requests_start_have_no_hours_of_a_plan(price, tmp_path):
    """Their seconds are counted by use, and no schedule starts them."""
    scenario = SCENARIOS["cloud-run-l4-to-zero"]()
    write_files(generate(scenario.plan, wanted=scenario.wanted), tmp_path / "infra")
    out = price("infra")[1]
    assert "by the hours of its plan" not in out
    assert "hours of the plan, with starts and stops" not in out


def test_a_pool_at_0_without_a_record_says_where_its_hours_are(price, tmp_path):
    """Its total of 0.00 is that of its fewest nodes."""
    plan = make_fleet_plan(make_group(**GOOGLE, instances=(0, 2)))
    write_files(generate(plan, wanted=Wanted(target="gke")), tmp_path / "infra")
    shutil.rmtree(tmp_path / "infra" / ".advisor")
    out = price("infra")[1]
    assert "total of what is known: 0.00 USD" in out
    assert "0 is the fewest nodes of a pool: the hours in which they run are in the plan (fleet.cost) alone" in out


def test_a_generated_node_pool_of_gke_counts_its_fewest(price, tmp_path):
    """As its resource does in a plan of Terraform."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "instances": (3, 3)}
    write_files(generate(make_fleet_plan(make_group(**google)), wanted=Wanted(target="gke")), tmp_path / "infra")
    found = json.loads(price("infra", "--format", "json")[1])
    ((line,),) = [one["breakdown"]["resources"] for one in found["projects"]]
    assert line["costComponents"][0]["hourlyQuantity"] == "3"


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("target", ["gke", "mig"])
def test_generated_machines_with_attached_accelerators_have_the_price_of_both(target, language, price, tmp_path):
    """The code names the machine type and the T4 apart, on nodes of GKE as on hosts; the catalog has them as one."""
    attached = {"provider": "gcp", "region": "us-central1", "instance_type": "n1-standard-4+1xT4", "accelerator": "T4"}
    group = make_group(**attached, precision="fp16", kv_precision="fp16", instances=(3, 3))
    write_files(generate(make_fleet_plan(group), language, Wanted(target=target)), tmp_path / "infra")
    expected = catalog_price("n1-standard-4+1xT4", "us-central1", "gcp") * 3
    total = json.loads(price("infra", "--format", "json")[1])["totalHourlyCost"]
    assert float(total) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "not JSON"),
        (b"\x50\x4b\x03\x04\xff\xfe", "the plan of Terraform is not UTF-8 text"),
        (b"[]", "not a plan of Terraform"),
        (b'{"planned_values": 3}', "not a plan of Terraform"),
        (b'{"schema": "advisor.plan/v1"}', "plan of advisor"),
    ],
)
def test_what_is_no_plan_is_an_error_that_says_how_to_make_one(content, message, price, tmp_path):
    """Exit code 1, the file's name, and the two commands."""
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    code, _, err = price("plan.json")
    assert code == 1
    assert message in err
    assert "terraform show -json" in err


def test_directory_without_anything_to_price(price, tmp_path):
    """Neither a plan nor our code."""
    (tmp_path / "main.tf").write_text('resource "aws_instance" "x" {\n  instance_type = var.x\n}\n')
    code, _, err = price(".")
    assert code == 1
    assert "neither a plan as JSON nor code that advisor generated" in err


GROUPS = {
    "tpu": ('google_tpu_v2_vm', 'zone = "us-east5-b"\n machine_type = "ct6e-standard-4t"\n provisioning_model = "SPOT"\n instances = 2', "spot, ct6e-standard-4t", "2"),
    "attached": ('google_compute_region_instance_group_manager', 'region = "us-central1"\n machine_type = "n1-standard-4"\n attached = { type = "nvidia-tesla-t4", count = 1 }\n instances = 1', "on-demand, n1-standard-4+1xT4", "1"),
    "profiles": ('azurerm_linux_virtual_machine_scale_set', 'region = "eastus"\n size = "Standard_NC4as_T4_v3"\n priority = "Regular"\n profiles = [{ default = 3 }]', "on-demand, Standard_NC4as_T4_v3", "3"),
    "by use": ('google_cloud_run_v2_service', 'region = "us-central1"\n accelerator = "nvidia-l4"\n min_instances = 0\n zonal_redundancy = false', "on-demand, L4", None),
    "nodes of Karpenter": ('aws_iam_role', 'region = "us-east-1"', "(unknown type, us-east-1): Karpenter starts its machines", None),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_groups_of_each_cloud_are_read_from_the_code(name, price, tmp_path):
    """Type, purchase and number as the data of a root says them; what it does not say is unknown."""
    kind, fields, said, number = GROUPS[name]
    for_each = "" if kind == "aws_iam_role" else "  for_each = local.groups\n"
    (tmp_path / "compute.tf").write_text(f'resource "{kind}" "this" {{\n{for_each}}}\n')
    (tmp_path / "fleet.tf").write_text(f"locals {{\n  groups = {{\n    a = {{\n {fields}\n    }}\n  }}\n}}\n")
    found = json.loads(price(".", "--format", "json")[1])
    ((line,),) = [one["breakdown"]["resources"] for one in found["projects"]]
    (component,) = line["costComponents"]
    assert said in component["name"]
    assert component["hourlyQuantity"] == number
    assert (line["monthlyCost"] is None) == (number is None)


def test_nodes_that_somebody_else_makes_are_priced(price, tmp_path):
    """Code of manifests alone orders no machine: the nodes that it names cost what the plan says of them."""
    scenario = SCENARIOS["kubernetes-spot"]()
    write_files(generate(scenario.plan, wanted=scenario.wanted), tmp_path / "infra")
    found = json.loads(price("infra", "--format", "json")[1])
    lines = [line for one in found["projects"] for line in one["breakdown"]["resources"]]
    groups = scenario.plan.fleet.groups
    assert len(lines) == len(groups)
    numbers = {line["costComponents"][0]["hourlyQuantity"] for line in lines}
    assert numbers == {str(max(group.instances)) for group in groups}
    assert all("made outside of this code" in line["costComponents"][0]["name"] for line in lines)
    assert sum(float(line["hourlyCost"]) for line in lines) > 0


def test_each_root_of_a_fleet_over_clouds_is_a_project(price, tmp_path):
    """A directory with a folder for each cloud: a project each, and their sum."""
    google = make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8")
    plan = make_fleet_plan(make_group(), google)
    write_files(generate(plan), tmp_path / "infra")
    found = json.loads(price("infra", "--format", "json")[1])
    assert [project["name"] for project in found["projects"]] == ["aws", "gcp"]
    parts = [Decimal(project["breakdown"]["totalHourlyCost"]) for project in found["projects"]]
    assert Decimal(found["totalHourlyCost"]) == sum(parts)
    assert all(part > 0 for part in parts)


OWN_MACHINE = '\n\nextra = aws.ec2.Instance("batch", instance_type="g6.xlarge", region="us-east-1")\n'


def with_own(directory, file, text, *, imports="import pulumi_aws as aws\n"):
    """Adds code to a module of a program, or makes the module."""
    path = directory / "infra" / file
    before = path.read_text() if path.is_file() else ""
    path.write_text(f"{before}{imports}{text}")


@pytest.mark.parametrize(
    ("short", "file"),
    [
        *((False, name) for name in ("__main__.py", "inference/scaling.py", "inference/compute.py", "own.py")),
        *((True, name) for name in ("__main__.py", "own.py")),
    ],
)
def test_machines_that_are_added_to_a_program_are_priced(short, file, price, tmp_path):
    """In whichever module, whole or short; those that were generated keep their price."""
    as_pulumi(tmp_path / "infra", make_group(instances=(2, 2)), short=short)
    before = price("infra")[1]
    with_own(tmp_path, file, OWN_MACHINE)
    out = price("infra")[1]
    assert "aws.ec2.Instance('batch')" in out
    totals = [
        float(re.search(r"total of what is known: ([\d,.]+)", each)[1].replace(",", "")) for each in (before, out)
    ]
    assert totals[1] - totals[0] == pytest.approx(0.8048 * 730, abs=0.01)
    assert "edited in" not in out


@pytest.mark.parametrize(
    "text",
    [
        OWN_MACHINE.replace('"g6.xlarge"', "settings.kind"),
        OWN_MACHINE.replace(', region="us-east-1"', ""),
        '\n\nfor number in range(3):\n    aws.ec2.Instance(f"batch-{number}", instance_type="g6.xlarge", region="us-east-1")\n',
        '\n\nimport pulumi_aws.ec2\nfrom pulumi_aws import ec2 as machines\nmachines.Instance("batch", instance_type=pick())\n',
        '\n\ndef more():\n    return aws.ec2.Instance("batch", instance_type="g6.xlarge", region="us-east-1")\n',
    ],
    ids=["type", "region", "loop", "imported", "function"],
)
def test_computed_machines_that_are_added_to_a_program_are_named(text, price, tmp_path):
    """Nobody knows how many of them, of which type or where: they are named with their file."""
    as_pulumi(tmp_path / "infra", make_group(instances=(2, 2)))
    before = price("infra")[1]
    with_own(tmp_path, "__main__.py", text)
    out = price("infra")[1]
    told = re.search(r"and not in the total: aws.ec2.Instance\(.+\) \(__main__.py\)", " ".join(out.split()))
    assert told, out
    total = re.compile(r"USD/month.*?total of what is known[^:]*: ([\d,.]+)", re.DOTALL)
    assert total.search(out)[1] == total.search(before)[1]


def test_what_else_is_added_to_a_program_is_counted(price, tmp_path):
    """Unpriced ones are named by their class, free ones are not; a region may be that of the configuration."""
    project = as_pulumi(tmp_path / "infra", make_group(instances=(2, 2)))
    assert project
    configure(tmp_path / "infra", "production", "  aws:region: us-east-1\n")
    more = '\n\naws.ec2.NatGateway("way", subnet_id="subnet-1")\naws.iam.Role("role", assume_role_policy="{}")\n'
    with_own(tmp_path, "own.py", OWN_MACHINE.replace(', region="us-east-1"', "") + more)
    out = " ".join(price("infra")[1].split())
    assert "not priced here: 1 aws.ec2.NatGateway" in out
    assert "aws.iam.Role" not in out
    assert "g6.xlarge, us-east-1) 1 0.8048" in out
