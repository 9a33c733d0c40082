"""`advisor apply-to` edits the literals that decide instance types and counts, and no other byte."""

import dataclasses
import errno
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advisor.cli.app import advisor
from advisor.codegen import generate, write_files
from advisor.codegen.applying import apply_to, targets_of, write_application
from advisor.codegen.hcl import literal, read_hcl
from advisor.errors import InputError
from advisor.plan.document import plan_to_json
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_cost, make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS

PLAIN = """# The fleet of the chat team.
resource "aws_launch_template" "gpu" {
  name_prefix   = "chat-"
  instance_type = "p4d.24xlarge" # two of them since May
  image_id      = "ami-1"
}

resource "aws_autoscaling_group" "gpu" {
  min_size         = 1
  max_size         = 2   /* never more */
  desired_capacity = "2"

  launch_template {
    id      = aws_launch_template.gpu.id
    version = "$Latest"
  }
}
"""


def write(directory: Path, **files: str) -> Path:
    """Files by name (``main`` is ``main.tf``; two underscores are a slash) in *directory*."""
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path = path if path.suffix else path.with_suffix(".tf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return directory


def target(**changes):
    """What the plan wants: by default 3 × g6e.xlarge on demand, 4 at most."""
    fields = {"instance_type": "g6e.xlarge", "accelerator": "L40S", "instances": 3} | changes
    (found,) = targets_of(make_plan(make_option(**fields)))
    return found


def test_template_and_its_group_change_together_and_nothing_else(tmp_path):
    """The type in the template and the sizes in the group that refers to it change; every other byte stays."""
    write(tmp_path, main=PLAIN)
    application = apply_to(tmp_path, "aws_launch_template.gpu", target())
    write_application(application)
    expected = PLAIN.replace('"p4d.24xlarge"', '"g6e.xlarge"').replace("= 1\n", "= 3\n").replace("= 2 ", "= 4 ")
    assert (tmp_path / "main.tf").read_text() == expected.replace('= "2"', '= "3"')
    assert len(application.edits) == 4
    assert apply_to(tmp_path, "aws_autoscaling_group.gpu", target()).patch == ""


def test_value_is_followed_through_module_call_variable_file_and_local(tmp_path):
    """A type set in a .tfvars file, and counts in a map of locals by the key of the module, are edited there."""
    write(
        tmp_path,
        main="""variable "gpu" {
  default = "g5.xlarge"
}
locals {
  sizes = {
    prod = { min = 1, max = 2 } # prod
    test = { min = 1, max = 2 }
  }
}
module "x" {
  source   = "./modules/gpu"
  for_each = local.sizes
  type     = var.gpu
  size     = each.value
}
resource "aws_instance" "other" {
  instance_type = var.gpu
}
""",
        modules__gpu__main="""variable "type" {}
variable "size" {}
resource "aws_launch_template" "gpu" { instance_type = var.type }
resource "aws_autoscaling_group" "gpu" {
  min_size = var.size.min
  max_size = tonumber(var.size["max"])
  launch_template { id = aws_launch_template.gpu.id }
}
""",
    )
    (tmp_path / "terraform.tfvars").write_text('gpu = "g5.xlarge" # all teams\n')
    application = apply_to(tmp_path, 'module.x["prod"].aws_launch_template.gpu', target())
    write_application(application)
    assert (tmp_path / "terraform.tfvars").read_text() == 'gpu = "g6e.xlarge" # all teams\n'
    assert (
        "    prod = { min = 3, max = 4 } # prod\n    test = { min = 1, max = 2 }\n"
        in (tmp_path / "main.tf").read_text()
    )
    assert any("var.gpu is used elsewhere too: main.tf:17 (aws_instance.other)" in note for note in application.notes)


def test_call_of_a_module_from_elsewhere_is_edited_by_its_arguments(tmp_path):
    """The files of a module of a registry are not here, so the arguments of its call are what changes."""
    write(
        tmp_path,
        main="""module "asg" {
  source        = "terraform-aws-modules/autoscaling/aws"
  version       = "9.2.1"
  instance_type = "g5.xlarge"
  min_size      = 1
  max_size      = 9
}
""",
    )
    write_application(apply_to(tmp_path, "module.asg.aws_launch_template.this", target()))
    text = (tmp_path / "main.tf").read_text()
    assert 'instance_type = "g6e.xlarge"\n  min_size      = 3\n  max_size      = 4\n' in text
    assert 'version       = "9.2.1"' in text


NODE_GROUPS = """module "eks" {
  source = "terraform-aws-modules/eks/aws"
  eks_managed_node_groups = {
    system = { instance_types = ["m7i.large"], min_size = 2 }
    gpu = {
      instance_types = ["g5.xlarge"] # one type
      min_size       = 1
      max_size       = 9
      desired_size   = 1
    }
  }
}
"""


def test_an_entry_of_a_map_that_a_module_takes_is_edited(tmp_path):
    """Node groups of the public EKS module are named by their key; the others stay."""
    write(tmp_path, main=NODE_GROUPS)
    with pytest.raises(InputError) as several:
        apply_to(tmp_path, "module.eks", target())
    assert 'eks_managed_node_groups["gpu"]' in str(several.value.hint)
    write_application(apply_to(tmp_path, 'module.eks.eks_managed_node_groups["gpu"]', target()))
    text = (tmp_path / "main.tf").read_text()
    assert 'instance_types = ["g6e.xlarge"] # one type' in text
    assert "min_size       = 3\n      max_size       = 4\n      desired_size   = 3" in text
    assert 'system = { instance_types = ["m7i.large"], min_size = 2 }' in text


MIXED = """resource "aws_autoscaling_group" "gpu" {
  min_size = 1
  mixed_instances_policy {
    instances_distribution {
      on_demand_percentage_above_base_capacity = 0
    }
    launch_template {
      launch_template_specification { launch_template_id = "lt-1" }
      override { instance_type = "g5.xlarge" }
      override { instance_type = "g5.2xlarge" }
      override { instance_type = "g5.4xlarge" }
    }
  }
}
"""


def test_each_override_takes_a_type_that_serves_alike(tmp_path):
    """The planned type first; what the plan has no type for is named, to be removed."""
    chosen = make_option(purchase="spot")
    alike = dataclasses.replace(chosen, rank=2, instance_type="g6.2xlarge", cost=make_cost(0.402, 2))
    (wanted,) = targets_of(make_plan(chosen, alike), 1)
    write(tmp_path, main=MIXED)
    application = apply_to(tmp_path, "aws_autoscaling_group.gpu", wanted)
    write_application(application)
    text = (tmp_path / "main.tf").read_text()
    assert re.findall(r'override \{ instance_type = "([\w.]+)"', text) == ["g6.xlarge", "g6.2xlarge", "g5.4xlarge"]
    assert any("the plan has nothing for it: remove it" in note for note in application.notes)
    assert not any("how instances are bought is not edited" in note for note in application.notes)


SPOT_NODES = """resource "aws_eks_node_group" "gpu" {
  capacity_type  = "SPOT"
  instance_types = ["g5.xlarge"]
  scaling_config {
    min_size = 1
  }
}
"""


@pytest.mark.parametrize(
    ("text", "address", "purchase"),
    [(PLAIN, "aws_launch_template.gpu", "spot"), (SPOT_NODES, "aws_eks_node_group.gpu", "on_demand")],
)
def test_numbers_of_another_way_of_paying_are_refused(text, address, purchase, tmp_path):
    """Spot counts hold a spare for interruptions, and on demand ones do not."""
    write(tmp_path, main=text)
    with pytest.raises(InputError, match="its numbers would not hold"):
        apply_to(tmp_path, address, target(purchase=purchase))
    assert (tmp_path / "main.tf").read_text() == text


GROUPS = 'module "eks" {{\n  source = "terraform-aws-modules/eks/aws"\n  {argument} = {{\n    gpu = {{\n      {facts}\n    }}\n  }}\n}}\n'
COUNTS = 'instance_types = ["g5.xlarge"]\n      min_size = 1\n      max_size = 4\n      desired_size = 2'


@pytest.mark.parametrize(
    ("argument", "facts", "refusal"),
    [
        ("eks_managed_node_groups", COUNTS, "buys instances on demand"),
        (
            "eks_managed_node_groups",
            f"{COUNTS}\n      capacity_type = var.way",
            "does not say how instances are bought",
        ),
        ("node_groups", COUNTS, "does not say how instances are bought"),
        ("eks_managed_node_groups", f'{COUNTS}\n      capacity_type = "SPOT"', ""),
    ],
)
def test_spot_counts_go_only_where_spot_is_bought(argument, facts, refusal, tmp_path):
    """An entry of EKS's module buys on demand by default; of other modules the default is not known."""
    text = GROUPS.format(argument=argument, facts=facts)
    write(tmp_path, main=text)
    address = f'module.eks.{argument}["gpu"]'
    if not refusal:
        assert apply_to(tmp_path, address, target(purchase="spot")).edits
        return
    with pytest.raises(InputError, match=refusal) as refused:
        apply_to(tmp_path, address, target(purchase="spot"))
    assert ('capacity_type = "SPOT"' in refused.value.hint) == ("does not say" in refusal)
    assert (tmp_path / "main.tf").read_text() == text
    if "var.way" not in facts:
        assert apply_to(tmp_path, address, target()).edits


WEIGHTED = """resource "aws_launch_template" "gpu" {
  instance_type = "p4d.24xlarge"
  capacity_reservation_specification {
    capacity_reservation_target { capacity_reservation_id = "cr-1" }
  }
  placement { tenancy = "dedicated" }
}
resource "aws_autoscaling_group" "gpu" {
  min_size         = 4
  max_size         = 32
  desired_capacity = 8
  warm_pool { min_size = 1 }
  mixed_instances_policy {
    instances_distribution { on_demand_percentage_above_base_capacity = 100 }
    launch_template {
      launch_template_specification { launch_template_id = aws_launch_template.gpu.id }
      override {
        instance_type     = "p4d.24xlarge"
        weighted_capacity = "4"
      }
    }
  }
}
resource "aws_autoscaling_schedule" "night" {
  autoscaling_group_name = aws_autoscaling_group.gpu.name
  min_size               = 0
}
resource "aws_autoscaling_policy" "load" { autoscaling_group_name = aws_autoscaling_group.gpu.name }
"""


def test_sizes_count_instances_once_their_weight_is_one(tmp_path):
    """The weight of a former type is 1 afterwards, and what else changes the meaning of the sizes is named."""
    write(tmp_path, main=WEIGHTED)
    application = apply_to(tmp_path, "aws_autoscaling_group.gpu", target())
    assert '+        weighted_capacity = "1"' in application.patch
    notes = "\n".join(application.notes)
    assert "aws_autoscaling_group.gpu: an instance counted for 4 in sizes, and counts for 1 now" in notes
    for named in (
        "warm_pool stays",
        "aws_autoscaling_schedule.night (main.tf:25) stays",
        "aws_autoscaling_policy.load (main.tf:28) stays",
        "capacity_reservation_target stays",
        "placement.tenancy stays",
    ):
        assert named in notes
    write_application(application)
    assert apply_to(tmp_path, "aws_autoscaling_group.gpu", target()).is_as_planned


@pytest.mark.parametrize("purchase", ["on_demand", "spot"])
def test_a_group_of_both_ways_of_paying_is_refused(purchase, tmp_path):
    """The plan's numbers hold for instances of one purchase."""
    write(tmp_path, main=WEIGHTED.replace("= 100", "= 20"))
    with pytest.raises(InputError, match="20% of its instances on demand and the others as spot"):
        apply_to(tmp_path, "aws_autoscaling_group.gpu", target(purchase=purchase))


def test_a_schedule_that_is_not_written_is_told_with_its_price(tmp_path):
    """Hours of the week by number of instances, and what the greatest number costs at all hours."""
    write(tmp_path, main=PLAIN)
    (group,) = targets_of(make_fleet_plan(make_group()))
    (note,) = [note for note in apply_to(tmp_path, "aws_launch_template.gpu", group).notes if "by the clock" in note]
    assert re.search(
        r"hours of the week: 2 in \d+, 4 in \d+\. No schedule is written: 4 at all hours cost \$2,350", note
    )
    planned = make_group().compute_usd_per_month
    assert note.endswith(f"in place of ${planned:,.2f} ({2350.016 / planned - 1:+.0%})")
    (steady,) = targets_of(make_fleet_plan(make_group(instances=(3, 3))))
    assert not [note for note in apply_to(tmp_path, "aws_launch_template.gpu", steady).notes if "by the clock" in note]


def test_a_commitment_that_the_price_needs_is_told_with_both_prices(tmp_path):
    """The instrument, the machines that it is for, and a month with it and on demand, where the plan has that price."""
    write(tmp_path, main=PLAIN)
    bought = make_group(
        instances=(3, 3), purchase="commitment", commitment="Savings Plan, 1 y", instance_usd_per_hour=0.5
    )
    for option, without in ((make_option(usd_per_hour=0.8), "$1,752.00"), (make_option(provider="gcp"), "unknown")):
        plan = dataclasses.replace(make_fleet_plan(bought, policy=Policy.STATIC), options=(option,))
        (group,) = targets_of(plan)
        notes = [note for note in apply_to(tmp_path, "aws_launch_template.gpu", group).notes if "no code makes" in note]
        (note,) = notes
        assert f"$1,095.00 a month with Savings Plan, 1 y for 3 × g6.xlarge, {without} on demand" in note
    for purchase in ("on_demand", "owned"):
        (group,) = targets_of(make_fleet_plan(make_group(instances=(3, 3), purchase=purchase), policy=Policy.STATIC))
        assert group.bought_ahead == ""


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("static", "vLLM with bf16 weights, tensor parallel 1, 1 replica an instance, 32 requests at a time, 8,192 tokens of context"),
        ("mig-speech", " weights, 1 replica an instance"),
    ],
)  # fmt: skip
def test_how_the_numbers_hold_is_told_by_what_the_kind_has(scenario, words):
    """A model that answers in one pass has neither requests at a time nor a context."""
    plan = make_fleet_plan(make_group()) if scenario == "static" else SCENARIOS[scenario]().plan
    assert {group.serving.endswith(words) for group in targets_of(plan)} == {True}
    two = make_plan(make_option(replicas_per_instance=2))
    assert "2 replicas an instance" in targets_of(two)[0].serving


RESOURCES = {
    "eks": (
        (
            'resource "aws_eks_node_group" "g" {\n  instance_types = ["g5.xlarge", "g5.2xlarge"]\n'
            "  scaling_config {\n    desired_size = 1\n    min_size = 1\n    max_size = 1\n  }\n}\n"
        ),
        "aws_eks_node_group.g",
        {},
        ('["g6e.xlarge"]', "desired_size = 3", "min_size = 3", "max_size = 4"),
    ),
    "sagemaker": (
        (
            'resource "aws_sagemaker_endpoint_configuration" "e" {\n  production_variants {\n'
            '    instance_type = "ml.g5.xlarge"\n    initial_instance_count = 1\n  }\n}\n'
        ),
        "aws_sagemaker_endpoint_configuration.e",
        {},
        ('"ml.g6e.xlarge"', "initial_instance_count = 3"),
    ),
    "gcp": (
        (
            'resource "google_compute_region_instance_template" "t" {\n  machine_type = "g2-standard-4"\n}\n'
            'resource "google_compute_region_instance_group_manager" "m" {\n  target_size = 1\n  version {\n'
            "    instance_template = google_compute_region_instance_template.t.self_link\n  }\n}\n"
            'resource "google_compute_region_autoscaler" "a" {\n'
            "  target = google_compute_region_instance_group_manager.m.id\n"
            "  autoscaling_policy {\n    min_replicas = 1\n    max_replicas = 1\n  }\n}\n"
        ),
        "google_compute_region_instance_group_manager.m",
        {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
        ('"g2-standard-8"', "target_size = 3", "min_replicas = 3", "max_replicas = 4"),
    ),
    "gke": (
        (
            'resource "google_container_node_pool" "p" {\n  autoscaling {\n    min_node_count = 0\n    max_node_count = 1\n'
            '  }\n  node_config {\n    machine_type = "g2-standard-4"\n  }\n}\n'
        ),
        "google_container_node_pool.p",
        {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
        ('"g2-standard-8"', "min_node_count = 3", "max_node_count = 4"),
    ),
    "azure": (
        'resource "azurerm_linux_virtual_machine_scale_set" "s" {\n  sku = "Standard_NC4as_T4_v3"\n  instances = 1\n}\n',
        "azurerm_linux_virtual_machine_scale_set.s",
        {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"},
        ('"Standard_NC24ads_A100_v4"', "instances = 3"),
    ),
    "aks": (
        'resource "azurerm_kubernetes_cluster_node_pool" "p" {\n  vm_size = "Standard_NC4as_T4_v3"\n  node_count = 1\n}\n',
        "azurerm_kubernetes_cluster_node_pool.p",
        {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"},
        ('"Standard_NC24ads_A100_v4"', "node_count = 3"),
    ),
}


@pytest.mark.parametrize("name", RESOURCES)
def test_every_kind_of_resource_takes_type_and_counts(name, tmp_path):
    """Node groups, endpoints, instance groups, pools and scale sets of three clouds are edited where they hold both."""
    text, address, changes, expected = RESOURCES[name]
    write(tmp_path, main=text)
    write_application(apply_to(tmp_path, address, target(**changes)))
    after = (tmp_path / "main.tf").read_text()
    assert [one for one in expected if one not in after] == []


UNREACHABLE = {
    'var.kind == "big" ? "p5.48xlarge" : "g5.xlarge"': "main.tf:2: .* is computed",
    '"${var.kind}.xlarge"': "main.tf:2: .* is computed",
    "var.given": r"var.given is given from outside \(-var, TF_VAR_given",
    "var.in_json": "var.in_json is set in terraform.tfvars.json: change it there",
    "var.nowhere": "main.tf:2: var.nowhere is not declared",
    "data.external.x.result": "main.tf:2: data.external.x.result comes from elsewhere",
    "local.loop": "refers to itself",
    'format("%s", "g5.xlarge")': r"is computed by format\(\)",
    'local.map["missing"]': "has no 'missing'",
}


@pytest.mark.parametrize("expression", UNREACHABLE)
def test_what_is_written_nowhere_is_refused_with_its_place(expression, tmp_path):
    """Where no literal decides the value, the reason names the expression, and nothing is written."""
    text = f"""resource "aws_instance" "gpu" {{
  instance_type = {expression}
}}
variable "kind" {{}}
variable "given" {{}}
variable "in_json" {{}}
locals {{
  loop = local.loop
  map  = {{ there = "g5.xlarge" }}
}}
"""
    write(tmp_path, main=text)
    (tmp_path / "terraform.tfvars.json").write_text('{"in_json": "g5.xlarge"}')
    with pytest.raises(InputError, match=UNREACHABLE[expression]):
        apply_to(tmp_path, "aws_instance.gpu", target())
    assert (tmp_path / "main.tf").read_text() == text


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("aws_launch_template.cpu", "there are aws_launch_template.gpu"),
        ("aws_s3_bucket.x", "holds no instance type or count"),
        ("module.x.aws_launch_template.gpu", "there is no module 'x'"),
        ("aws_launch_template", "is not the address|there is no"),
        ("..", "is not an address"),
        ("google_compute_instance.x", "there is no google_compute_instance.x"),
    ],
)
def test_wrong_address_says_what_there_is(address, complaint, tmp_path):
    """A mistaken address is answered with those that exist."""
    write(tmp_path, main=PLAIN)
    with pytest.raises(InputError) as refused:
        apply_to(tmp_path, address, target())
    assert re.search(complaint, str(refused.value))


def test_group_of_another_cloud_is_refused(tmp_path):
    """A group on Google Cloud is not written into an AWS resource."""
    write(tmp_path, main=PLAIN)
    with pytest.raises(InputError, match=r"is of aws, the plan's group .* is on gcp"):
        apply_to(
            tmp_path,
            "aws_launch_template.gpu",
            target(provider="gcp", region="us-central1", instance_type="g2-standard-4"),
        )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkfifo, "the code is not a regular file"),
        (Path.mkdir, "the code is not a regular file"),
        (lambda path: path.write_bytes(b"\xff"), "not UTF-8 text"),
    ],
)
def test_what_is_no_terraform_file_is_named(tmp_path, make, told):
    """A pipe would be waited for without end."""
    write(tmp_path, main=PLAIN)
    make(tmp_path / "other.tf")
    with pytest.raises(InputError, match=told) as caught:
        apply_to(tmp_path, "aws_launch_template.gpu", target())
    assert "other.tf" in caught.value.where
    assert caught.value.hint


def test_windows_line_ends_and_a_missing_last_one_stay(tmp_path):
    """CRLF and a file that does not end with a line end are kept as they are."""
    text = PLAIN.replace("\n", "\r\n").removesuffix("\r\n")
    (tmp_path / "main.tf").write_bytes(text.encode())
    write_application(apply_to(tmp_path, "aws_launch_template.gpu", target()))
    after = (tmp_path / "main.tf").read_bytes().decode()
    assert after.count("\r\n") == text.count("\r\n")
    assert after.count("\n") == text.count("\n")
    assert not after.endswith("\n")


COMMENTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85"), max_size=30
)


@given(COMMENTS, COMMENTS, st.integers(0, 12), st.sampled_from(["#", "//"]))
def test_whatever_stands_around_a_value_stays(tmp_path_factory, first, second, indent, mark):
    """With any comments and layout, the text without the edited literals is the same before and after."""
    directory = tmp_path_factory.mktemp("any")
    space = " " * indent
    text = (
        f'{mark} {first}\nresource "aws_instance" "gpu" {{{space}\n{space}instance_type{space}={space}"g5.xlarge"{space}{mark} {second}\n'
        f"\n{space}count = 1 {mark}{first}\n}}\n"
    )
    write(directory, main=text)
    write_application(apply_to(directory, "aws_instance.gpu", target()))
    after = (directory / "main.tf").read_bytes().decode()
    assert after.replace('"g6e.xlarge"', '"g5.xlarge"', 1).replace("count = 3", "count = 1", 1) == text
    read_hcl(after, "main.tf")


def run(*arguments):
    """The command's result."""
    return CliRunner().invoke(advisor, ["apply-to", *map(str, arguments)], catch_exceptions=True)


def test_command_prints_the_patch_and_writes_unless_it_is_a_dry_run(tmp_path):
    """A dry run prints the same patch as the real run and leaves the file; the second real run has nothing to do."""
    write(tmp_path, main=PLAIN)
    plan = tmp_path / "the-plan.json"
    plan.write_text(plan_to_json(make_plan(make_option(instance_type="g6e.xlarge", accelerator="L40S", instances=3))))
    arguments = (tmp_path, "--address", "aws_launch_template.gpu", "--plan", plan)
    dry = run(*arguments, "--dry-run")
    assert dry.exit_code == 0
    assert '+  instance_type = "g6e.xlarge" # two of them since May' in dry.stdout
    assert (tmp_path / "main.tf").read_text() == PLAIN
    real = run(*arguments)
    assert real.stdout == dry.stdout
    assert "everything is as planned already" in run(*arguments).stderr


def test_command_does_not_call_as_planned_what_it_leaves_to_the_reader(tmp_path):
    """Nothing is edited, and a note says that a value of a data source stays: it may be another one."""
    text = PLAIN.replace('"p4d.24xlarge"', "data.external.fleet.result.type")
    write(tmp_path, main=text.replace("1\n  max", "3\n  max").replace("= 2 ", "= 4 ").replace('"2"', "3"))
    plan = tmp_path / "the-plan.json"
    plan.write_text(plan_to_json(make_plan(make_option(instance_type="g6e.xlarge", accelerator="L40S", instances=3))))
    told = run(tmp_path, "--address", "aws_autoscaling_group.gpu", "--plan", plan).stderr
    assert "not changed: aws_launch_template.gpu: instance_type" in told
    assert "nothing was changed: see the notes" in told
    assert "as planned already" not in told


def test_an_edited_plan_is_refused_and_forced_with_a_warning(tmp_path):
    """A number that was changed by hand is no longer the plan's; nothing is written before --force says so."""
    write(tmp_path, main=PLAIN)
    plan = tmp_path / "plan.json"
    made = plan_to_json(make_plan(make_option(instance_type="g6e.xlarge", accelerator="L40S", instances=3)))
    plan.write_text(made.replace("g6e.xlarge", "g6e.2xlarge"))
    arguments = (tmp_path, "--address", "aws_launch_template.gpu", "--plan", plan)
    refused = run(*arguments)
    assert isinstance(refused.exception, InputError)
    assert "its digest is another" in str(refused.exception)
    assert "--force" in refused.exception.hint
    assert (tmp_path / "main.tf").read_text() == PLAIN
    forced = run(*arguments, "--force")
    assert forced.exit_code == 0
    assert "warning: " in forced.stderr
    assert "g6e.2xlarge" in (tmp_path / "main.tf").read_text()


def test_several_groups_are_named_and_one_is_chosen(tmp_path):
    """With several groups on the cloud of the address the command lists them, and --group takes one."""
    write(tmp_path, main=PLAIN)
    plan = tmp_path / "plan.json"
    plan.write_text(plan_to_json(make_fleet_plan(make_group(), make_group(purchase="spot"))))
    several = run(tmp_path, "--address", "aws_launch_template.gpu", "--plan", plan)
    assert isinstance(several.exception, InputError)
    assert "us-east-1-g6-xlarge-bf16-tp1-spot: 4 × g6.xlarge spot in us-east-1" in str(several.exception)
    one = run(
        tmp_path,
        "--address",
        "aws_launch_template.gpu",
        "--plan",
        plan,
        "--group",
        "us-east-1-g6-xlarge-bf16-tp1-on-demand",
    )
    assert "min_size         = 2" in one.stdout


def test_mistakes_on_the_command_line_are_explained(tmp_path):
    """No plan, no directory, no Terraform and broken Terraform each have a message that helps."""
    plan = tmp_path / "plan.json"
    plan.write_text(plan_to_json(make_plan(make_option())))
    cases = {
        (tmp_path / "missing", plan): "not a directory",
        (tmp_path, plan): "no .tf files",
        (tmp_path, tmp_path / "none.json"): "name the plan with --plan",
    }
    for (directory, path), complaint in cases.items():
        assert complaint in str(run(directory, "--address", "aws_instance.x", "--plan", path).exception)
    (tmp_path / "main.tf").write_text("resource {{")
    broken = run(tmp_path, "--address", "aws_instance.x", "--plan", plan).exception
    assert "main.tf:1" in str(broken)
    assert "not valid HCL" in str(broken)


SETTING = """resource "aws_autoscaling_group" "gpu" {
  desired_capacity = 2

  mixed_instances_policy {
    launch_template {
      dynamic "override" {
        for_each = local.types
        iterator = kind
        content {
          instance_type = kind.value
        }
      }
    }
  }
}

resource "aws_sagemaker_endpoint_configuration" "gpu" {
  dynamic "production_variants" {
    for_each = local.variants
    content {
      instance_type          = production_variants.value.type
      initial_instance_count = production_variants.value.count
    }
  }
}
"""


def test_the_list_of_a_dynamic_block_is_edited(tmp_path):
    """A loop over types gets the planned ones, whatever its iterator is called."""
    write(tmp_path, main=SETTING, data='locals {\n  types = ["g5.xlarge", "g5.2xlarge"]\n  variants = []\n}\n')

    patch = apply_to(tmp_path, "aws_autoscaling_group.gpu", target()).patch

    assert '+  types = ["g6e.xlarge"]' in patch
    assert "+  desired_capacity = 3" in patch


@pytest.mark.parametrize("count", [1, 2])
def test_the_entry_of_a_dynamic_block_is_edited_where_it_is_the_only_one(tmp_path, count):
    """Of several entries nothing says which one the plan is for."""
    entries = ", ".join('{ type = "ml.g5.xlarge", count = 1 }' for _ in range(count))
    write(tmp_path, main=SETTING, data=f"locals {{\n  types    = []\n  variants = [{entries}]\n}}\n")
    address = "aws_sagemaker_endpoint_configuration.gpu"
    if count == 1:
        assert '+  variants = [{ type = "ml.g6e.xlarge", count = 3 }]' in apply_to(tmp_path, address, target()).patch
        return
    with pytest.raises(InputError, match="is one of several"):
        apply_to(tmp_path, address, target())


def test_generated_groups_of_google_hold_their_size_once(tmp_path):
    """A group of a fixed number has no fewest beside it, which an alarm would go on to compare with."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
    former, plan = (
        make_fleet_plan(make_group(**google, instances=(number, number)), policy=Policy.STATIC) for number in (7, 4)
    )
    write_files(generate(former), tmp_path)
    (key,) = groups_of((tmp_path / "fleet.tf").read_text())
    address = f'google_compute_region_instance_group_manager.this["{key}"]'
    write_application(apply_to(tmp_path, address, targets_of(plan)[0]))
    planned = groups_of(generate(plan).files["fleet.tf"])
    assert planned[key]["instances"] == 4
    assert groups_of((tmp_path / "fleet.tf").read_text()) == planned


def groups_of(text: str):
    """Groups of a generated fleet."""
    (block,) = read_hcl(text, "fleet.tf").body.of("locals")
    return literal(block.attributes["groups"].value.node)


def halves(directory):
    """A template and its group in a file each, and the plan for them."""
    template, group = PLAIN.split("\n\n", maxsplit=1)
    write(directory, a=template + "\n", b=group)
    (directory / "plan.json").write_text(plan_to_json(make_fleet_plan(make_group())))
    return directory


def apply_here(directory, *options):
    """The command for the directory, with the plan in it."""
    arguments = ["apply-to", directory, "--address", "aws_launch_template.gpu", "--plan", directory / "plan.json"]
    return CliRunner().invoke(advisor, [*map(str, arguments), *options])


def test_where_a_file_cannot_be_written_none_is_and_the_patch_is_shown(tmp_path, monkeypatch):
    """The error names the file and says that nothing was changed."""
    halves(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.glob("*.tf")}
    patch = apply_here(tmp_path, "--dry-run").stdout

    def full(descriptor):
        if "b.tf" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    failed = apply_here(tmp_path)

    assert isinstance(failed.exception, InputError)
    assert f"{tmp_path / 'b.tf'}: cannot write: No space left on device; none of the files" in str(failed.exception)
    assert failed.stdout == patch != ""
    assert "changed" not in failed.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix != ".json"} == before


def test_a_link_is_written_through_or_refused_where_it_leads_out(tmp_path):
    """Inside of the directory its target is edited and it stays a link; a file elsewhere is left alone."""
    directory = halves(tmp_path / "own")
    inside, outside = directory / "kept" / "a.txt", tmp_path / "b.tf"
    inside.parent.mkdir()
    (directory / "a.tf").rename(inside)
    (directory / "a.tf").symlink_to("kept/a.txt")

    assert apply_here(directory).exception is None
    assert (directory / "a.tf").is_symlink()
    assert "p4d.24xlarge" not in inside.read_text()

    (directory / "b.tf").rename(outside)
    outside.write_text(outside.read_text().replace("min_size         = ", "min_size         = 1"))
    before = outside.read_text()
    (directory / "b.tf").symlink_to(outside)
    done = apply_here(directory)

    assert "b.tf is a link, or in a linked folder, that leads out of the directory" in f"{done.stderr}{done.exception}"
    assert (directory / "b.tf").is_symlink()
    assert outside.read_text() == before
