"""``advisor audit BILL --into DIR``: what a bill's dearest endpoints and idle machines change in a user's Terraform."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.audit.run import Inputs, audited
from advisor.catalog import load_catalog
from advisor.codegen.applying.addresses import typed_addresses
from advisor.codegen.applying.resolving import open_project
from advisor.discovery.bill_changes import Sources, changes_of
from advisor.errors import InputError
from audit.machines import ACCELERATED, ROWS_PER_HOUR, billed, day_of, sampled

SPOT = """
resource "aws_eks_node_group" "gpu" {
  instance_types = ["g5.12xlarge", "g6.12xlarge"]
  capacity_type  = "SPOT"
  scaling_config {
    desired_size = 2
    min_size     = 2
    max_size     = 3
  }
}
"""
CODE = """
variable "type" {
  default = "g5.12xlarge" # of chat
}

resource "aws_launch_template" "chat" {
  instance_type = var.type
}

resource "aws_autoscaling_group" "chat" {
  min_size         = 2
  max_size         = 4
  desired_capacity = 2
  launch_template {
    id = aws_launch_template.chat.id
  }
}
"""
WORKLOAD = """
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 60ms}
demand: {declared: {requests_per_second: 1, input_tokens: 700, output_tokens: 180}}
"""


def code(tmp_path, text=CODE):
    """A Terraform root."""
    directory = tmp_path / "infra"
    directory.mkdir(exist_ok=True)
    (directory / "main.tf").write_text(text)
    return directory


def sized(count):
    """Code of some machines."""
    return CODE.replace("min_size         = 2", f"min_size         = {count}").replace(
        "desired_capacity = 2", f"desired_capacity = {count}"
    )


@pytest.fixture(scope="module", name="idle")
def two_idle_machines(tmp_path_factory):
    """An audit of two machines of an endpoint on demand that do nothing."""
    folder = tmp_path_factory.mktemp("idle")
    for host in ("i-0", "i-1"):
        samples = sampled(folder, lambda _: 0.0, host=host)
    with audited(Inputs((str(bill(folder)),), (samples,), extrapolates=True)) as opened:
        yield opened


@pytest.fixture(scope="module", name="catalog")
def catalog_of_all():
    """Machines and prices."""
    return load_catalog()


def bill(tmp_path, hosts=2, tag="chat", billed_hours=24 * 7):
    """A bill of machines of one endpoint, of a week unless stated."""
    charges = [
        charge
        for number in range(hosts)
        for charge in day_of(replace(ACCELERATED, resource=f"i-{number}", tags={"service": tag}), billed_hours)
    ]
    return billed(tmp_path, charges)


def changed(tmp_path, directory, *workloads, telemetry=(), extrapolates=True, **bill_of):
    """Changes of a bill that was sampled for two hours; workload files are given by their texts."""
    paths = []
    for number, text in enumerate(workloads):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    inputs = Inputs((str(bill(tmp_path, **bill_of)),), telemetry, extrapolates=extrapolates)
    with audited(inputs) as opened:
        return changes_of(opened, directory, load_catalog(), Sources(workloads=paths))


def test_a_dear_endpoint_gets_the_machines_of_its_plan(tmp_path, run_advisor):
    """Type and numbers are written where they stand, only with ``--write``; the patch is all of stdout."""
    directory = code(tmp_path)
    before = (directory / "main.tf").read_text()
    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "chat.yaml").write_text(WORKLOAD)
    asked = ("audit", bill(tmp_path), "--into", directory, "--workloads", tmp_path / "workloads")
    shown = run_advisor(*asked)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("--- a/main.tf\n+++ b/main.tf\n")
    assert '-  default = "g5.12xlarge" # of chat' in shown.stdout
    planned = re.search(
        r"endpoint chat: 2 × g5.12xlarge → \d+ × \S+: \$([\d,.]+) a month, \$([\d,.]+) today", shown.stderr
    )
    assert planned
    assert float(planned[1].replace(",", "")) < float(planned[2].replace(",", ""))
    assert (directory / "main.tf").read_text() == before
    written = run_advisor(*asked, "--write")
    assert written.stdout == shown.stdout
    assert "g5.12xlarge" not in (directory / "main.tf").read_text()
    assert "# of chat" in (directory / "main.tf").read_text()
    assert run_advisor("audit", bill(tmp_path), "--write").returncode == 2
    assert run_advisor(*asked, "--format", "json").returncode == 2


def test_an_endpoint_that_nothing_knows_is_left_alone(tmp_path):
    """Why there is no plan is said, with what to give, and no code changes."""
    changes = changed(tmp_path, code(tmp_path), tag="other")
    assert changes.application is None
    assert [wish.target for wish in changes.wishes] == [None]
    assert "--workloads" in changes.wishes[0].told


def test_idle_and_spare_machines_leave_the_numbers(tmp_path):
    """Of three machines that need a quarter of their accelerators together, two stay; the type is not touched."""
    folder = sampled(tmp_path, lambda _: 0.3, host="i-0")
    for host in ("i-1", "i-2"):
        sampled(tmp_path, lambda _: 0.0, host=host)
    changes = changed(tmp_path, code(tmp_path, sized(3)), telemetry=(folder,), hosts=3)
    finding = changes.wishes[-1]
    assert finding.subject == "ADV101 (g5.12xlarge of chat)"
    assert finding.told.startswith("3 → 2 × g5.12xlarge")
    assert "1 would carry the load, 2 stay" in finding.told
    assert changes.application is not None
    assert "+  desired_capacity = 2" in changes.application.patch
    assert "max_size" not in re.sub(r"(?m)^ .*\n?", "", changes.application.patch)
    assert 'default = "' not in changes.application.patch.replace(" default", "")


def test_of_two_machines_none_is_taken_that_the_other_would_have_to_replace(tmp_path):
    """One would carry the load, and two stay, which is told."""
    folder = sampled(tmp_path, lambda _: 0.3, host="i-0")
    sampled(tmp_path, lambda _: 0.0, host="i-1")
    changes = changed(tmp_path, code(tmp_path), telemetry=(folder,))
    assert changes.application is None
    assert "2 stay so that one may fail; nothing is changed" in changes.wishes[-1].told


def test_numbers_of_spot_groups_change_for_spot_machines_alone_and_their_types_stay(tmp_path, idle, catalog):
    """Groups on spot are not those of machines billed on demand; which types serve alike is not the finding's business."""
    directory = code(tmp_path, SPOT)
    changes = changes_of(idle, directory, catalog, Sources())
    assert changes.application is None
    assert "it buys as spot, the bill's machines are bought on demand" in changes.wishes[-1].told
    for host in ("i-0", "i-1"):
        samples = sampled(tmp_path, lambda _: 0.0, host=host)
    spot = bill(tmp_path)
    spot.write_text(spot.read_text().replace("Standard", "Dynamic"))
    with audited(Inputs((str(spot),), (samples,), extrapolates=True)) as opened:
        changes = changes_of(opened, directory, catalog, Sources())
    assert changes.application is not None
    assert "all of them are idle" in changes.wishes[-1].told
    assert "+    desired_size = 0" in changes.application.patch
    assert "+  instance_types" not in changes.application.patch


GROUPS = """
locals {
  groups = {
    chat  = { type = "g5.12xlarge", size = 2, most = 3 }
    other = { type = "p4d.24xlarge", size = 5, most = 5 }
  }
}
"""
NODES = """
resource "aws_eks_node_group" "this" {
  %s
  instance_types = [%s]
  scaling_config {
    min_size     = %s
    desired_size = %s
    max_size     = %s
  }
}
"""
LOOP = NODES % ("for_each = local.groups", "each.value.type", *["each.value.size"] * 2, "each.value.most")
PASSED = NODES % ("", "var.type", *["var.size"] * 2, 4)
INNER = 'variable "type" {}\nvariable "size" {}\n' + PASSED
INSTANCE = """
resource "aws_instance" "%s" {
  count         = %d
  instance_type = "g5.12xlarge"
  %s
}
"""
AUTOSCALED_SPOT = CODE.replace(
    "  launch_template {\n    id = aws_launch_template.chat.id\n  }\n",
    "  mixed_instances_policy {\n    instances_distribution {\n      on_demand_percentage_above_base_capacity = 0\n    }\n"
    "    launch_template {\n      launch_template_specification {\n"
    "        launch_template_id = aws_launch_template.chat.id\n      }\n    }\n  }\n",
)
CALLED = (
    'module "chat" {\n  source = "./pool"\n  type = "g5.12xlarge"\n  size = 2\n'
    "  providers = {\n    aws = aws.abroad\n  }\n}\n"
)
ENTRY = (
    'module "eks" {\n  source = "terraform-aws-modules/eks/aws"\n  eks_managed_node_groups = {\n'
    '    chat = { instance_types = ["g5.12xlarge"], min_size = 2, desired_size = 2, capacity_type = "SPOT" }\n  }\n}\n'
)
ABROAD = 'provider "aws" {\n  alias  = "abroad"\n  region = "eu-west-1"\n}\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (INSTANCE % ("train", 9, 'tags = { service = "training" }'), "it has 9, the bill has 2 on average"),
        (INSTANCE % ("gpu", 2, 'tags = { service = "training" }'), "its tags say training, the bill says chat"),
        (INSTANCE % ("train", 2, ""), "its name says train, the bill says chat"),
        (
            INSTANCE % ("chat", 2, "provider = aws.eu-west-1"),
            "it is in eu-west-1, the bill's machines are in us-east-1",
        ),
        (ABROAD + INSTANCE % ("chat", 2, "provider = aws.abroad"), "it is in eu-west-1, "),
        (ABROAD.replace('alias  = "abroad"', "") + INSTANCE % ("chat", 2, ""), "it is in eu-west-1, "),
        (INSTANCE % ("chat", 2, 'availability_zone = "us-west-2b"'), "it is in us-west-2, "),
        (ABROAD + CALLED, "it is in eu-west-1, "),
        (ABROAD.replace('alias  = "abroad"', "") + ENTRY, "it is in eu-west-1, "),
        (ENTRY, "it buys as spot"),
        (AUTOSCALED_SPOT, "it buys as spot"),
        (
            'variable "n" {\n  default = 2\n}\n'
            + (INSTANCE % ("chat", 2, "") + INSTANCE % ("proxy", 2, "")).replace("count         = 2", "count = var.n"),
            "var.n is used elsewhere too: main.tf:12 (aws_instance.proxy)",
        ),
        (INSTANCE % ("reranker", 2, ""), "its name says reranker, the bill says chat"),
        (
            'provider "aws" {\n  default_tags {\n    tags = { service = "training" }\n  }\n}\n'
            + INSTANCE % ("gpu", 2, ""),
            "its tags say training, the bill says chat",
        ),
        (
            GROUPS + LOOP.replace("each.value.most", "each.value.size + 1"),
            "the most machines of aws_eks_node_group.this follow from the same number",
        ),
        (GROUPS + LOOP.replace("each.value.most", "each.value.size"), "give its maximum a number of its own"),
        (
            'data "external" "type" {}\nresource "aws_launch_template" "x" {\n'
            "  instance_type = data.external.type.result\n}\n" + INSTANCE % ("gpu", 2, ""),
            "not followed: main.tf:3: aws_launch_template.x",
        ),
    ],
)
def test_code_that_disagrees_with_the_bill_is_left_alone(tmp_path, idle, catalog, text, why):
    """Another region, number, owner or purchase, or another place that may be it, is told in place of an edit."""
    directory = code(tmp_path, text)
    (directory / "pool").mkdir()
    (directory / "pool" / "main.tf").write_text(INNER)
    changes = changes_of(idle, directory, catalog, Sources())
    assert changes.application is None
    assert why in changes.wishes[-1].told


def test_machines_without_telemetry_stay(tmp_path):
    """Of six machines five are idle, and nothing is known of one: two stay, and not none."""
    for number in range(5):
        folder = sampled(tmp_path, lambda _: 0.0, host=f"i-{number}")
    changes = changed(tmp_path, code(tmp_path, INSTANCE % ("chat", 6, "")), telemetry=(folder,), hosts=6)
    assert changes.wishes[-1].told.startswith("6 → 2 × g5.12xlarge in us-east-1, 5 of them idle; 1 would carry")
    assert changes.application is not None
    assert "+  count         = 2" in changes.application.patch


def test_little_telemetry_changes_no_code(tmp_path):
    """The share of the billed time that was observed is told, where it is less than four fifths."""
    folder = sampled(tmp_path, lambda _: 0.0, host="i-0", rows=ROWS_PER_HOUR)
    sampled(tmp_path, lambda _: 0.0, host="i-1", rows=ROWS_PER_HOUR)
    changes = changed(tmp_path, code(tmp_path), telemetry=(folder,), extrapolates=False, billed_hours=2)
    assert changes.application is None
    assert "not written: 50% of their billed time was observed, 80% is needed" in changes.wishes[-1].told


def test_idle_hours_of_less_than_a_week_change_no_code(tmp_path):
    """A night says nothing of the days after it: what the bill has of the machines is told."""
    for host in ("i-0", "i-1"):
        folder = sampled(tmp_path, lambda _: 0.0, host=host)
    changes = changed(tmp_path, code(tmp_path), telemetry=(folder,), extrapolates=False, billed_hours=2)
    assert changes.application is None
    assert "all of them are idle; not written: the bill has 2 hours of them, 7 days are" in changes.wishes[-1].told


DEFAULTS = 'provider "aws" {\n  default_tags {\n    tags = { service = "%s" }\n  }\n}\n'
OWN = CODE.replace('"chat"', '"gpu"').replace("aws_launch_template.chat", "aws_launch_template.gpu")
MACHINE_TAGS = '  tag_specifications {\n    resource_type = "instance"\n    tags          = { service = "%s" }\n  }\n'
GROUP_TAG = '  tag {\n    key                 = "service"\n    value               = "%s"\n    propagate_at_launch = true\n  }\n'


def tagged(default, template, group=""):
    """Code of a group of machines with the provider's tags, those of its template, and its own."""
    text = OWN.replace("  instance_type = var.type\n", f"  instance_type = var.type\n{MACHINE_TAGS % template}")
    text = text.replace("  min_size ", f"{GROUP_TAG % group}  min_size ") if group else text
    return DEFAULTS % default + text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (tagged("chat", "search"), "its tags say search, the bill says chat"),
        (tagged("search", "chat"), ""),
        (tagged("chat", "chat", "search"), "its tags say search, the bill says chat"),
        (tagged("search", "search", "chat"), ""),
    ],
)
def test_tags_of_machines_win_over_those_of_the_provider(tmp_path, idle, catalog, text, told):
    """A group's tags are on its machines before those of its template, and the provider's on what has none."""
    changes = changes_of(idle, code(tmp_path, text), catalog, Sources())
    assert (changes.application is None) == bool(told), changes.wishes[-1].told
    assert told in changes.wishes[-1].told


SCALED = """
resource "aws_launch_template" "this" {
  for_each      = local.groups
  instance_type = each.value.type
}
resource "aws_autoscaling_group" "this" {
  for_each         = local.groups
  min_size         = each.value.size
  max_size         = each.value.most
  desired_capacity = each.value.size
  launch_template {
    id = aws_launch_template.this[each.key].id
  }
}
"""


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (GROUPS + LOOP, "size = 2,", "size = 0,"),
        (GROUPS + LOOP + INSTANCE % ("gpu", 2, ""), "size = 2,", "size = 0,"),
        (GROUPS + SCALED, "size = 2,", "size = 0,"),
        ('variable "type" {\n  default = "g5.12xlarge"\n}\n' + NODES % ("", "var.type", 2, 2, 2), "= 2", "= 0"),
        (
            'module "chat" {\n  source = "./pool"\n  type   = "g5.12xlarge"\n  size   = 2\n}\n',
            "size   = 2",
            "size   = 0",
        ),
    ],
)
def test_types_are_followed_into_lists_loops_and_modules(tmp_path, idle, catalog, text, before, after):
    """The number of the endpoint's own group changes, wherever it is written, and no other."""
    directory = code(tmp_path, text)
    (directory / "pool").mkdir()
    (directory / "pool" / "main.tf").write_text(INNER)
    changes = changes_of(idle, directory, catalog, Sources())
    assert changes.application is not None, changes.wishes[-1].told
    removed, added = (
        [line[1:] for line in changes.application.patch.splitlines() if line.startswith(sign) and line[1:2] != sign]
        for sign in "-+"
    )
    assert [line.replace(before, after) for line in removed] == added


def test_a_name_that_begins_that_of_the_endpoint_is_its_own(tmp_path, idle, catalog):
    """Code called after a part of the endpoint's name is taken, and not one of another name."""
    changes = changes_of(idle, code(tmp_path, INSTANCE % ("cha-gpu", 2, "")), catalog, Sources())
    assert changes.application is not None, changes.wishes[-1].told


def test_one_number_for_several_instances_of_a_loop_is_left_alone(tmp_path, idle, catalog):
    """What one literal says of every key is not changed for one of them."""
    text = GROUPS + NODES % ("for_each = local.groups", "each.value.type", 2, 2, 2)
    changes = changes_of(idle, code(tmp_path, text), catalog, Sources())
    assert changes.application is None
    assert "its numbers are those of aws_eks_node_group.this with every other key too" in changes.wishes[-1].told


def test_several_places_of_one_type_are_told_and_not_edited(tmp_path):
    """Which of two instances an endpoint runs on is not guessed, unless its name says so."""
    two = 'resource "aws_instance" "a" {\n  count         = 1\n  instance_type = "g5.12xlarge"\n}\n'
    directory = code(tmp_path, two + two.replace('"a"', '"b"'))
    folder = sampled(tmp_path, lambda _: 0.0, host="i-0")
    changes = changed(tmp_path, directory, telemetry=(folder,), hosts=1)
    assert changes.application is None
    assert "several places say g5.12xlarge: aws_instance.a, aws_instance.b" in changes.wishes[-1].told
    code(tmp_path, two.replace("g5.12xlarge", "g5.2xlarge"))
    assert "no code says g5.12xlarge" in changed(tmp_path, directory, telemetry=(folder,), hosts=1).wishes[-1].told


def test_addresses_are_found_through_modules_and_variables(tmp_path):
    """Local modules are entered; calls of others are searched by their arguments and maps of groups."""
    directory = code(tmp_path)
    (directory / "pool").mkdir()
    (directory / "pool" / "main.tf").write_text(
        'variable "kind" {}\nresource "google_container_node_pool" "gpu" {\n  node_config {\n    machine_type = var.kind\n'
        "  }\n}\n"
    )
    (directory / "more.tf").write_text(
        'module "pool" {\n  source = "./pool"\n  kind   = "a2-highgpu-1g"\n}\n'
        'module "eks" {\n  source = "terraform-aws-modules/eks/aws"\n  eks_managed_node_groups = {\n    gpu = {\n'
        '      instance_types = ["p4d.24xlarge"]\n    }\n  }\n}\n'
    )
    project = open_project(directory)
    assert {typed.address: typed.instance_types for typed in typed_addresses(project)} == {
        "aws_launch_template.chat": ("g5.12xlarge",),
        "module.pool.google_container_node_pool.gpu": ("a2-highgpu-1g",),
        'module.eks.eks_managed_node_groups["gpu"]': ("p4d.24xlarge",),
    }


def test_a_directory_without_code_is_refused(tmp_path):
    """The error says what to give."""
    with pytest.raises(InputError, match=r"no \.tf files"):
        changed(tmp_path, Path(tmp_path))


DYNAMIC = """
locals {
  groups = {
    us-east-1-chat = { types = ["g5.12xlarge", "g6.12xlarge"], count = 4 }
  }
}

resource "aws_launch_template" "this" {
  for_each      = local.groups
  instance_type = each.value.types[0]
}

resource "aws_autoscaling_group" "this" {
  for_each         = local.groups
  min_size         = each.value.count
  max_size         = 8
  desired_capacity = each.value.count
  mixed_instances_policy {
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this[each.key].id
      }
      dynamic "override" {
        for_each = each.value.types
        content {
          instance_type = override.value
        }
      }
    }
  }
}
"""


@pytest.mark.parametrize("name", ["chat", "a10g", "west"])
def test_a_group_whose_types_are_a_loop_is_edited_once(tmp_path, idle, catalog, name):
    """Template and group are one place; a region in the key names no endpoint, unless it is another than the bill's."""
    directory = code(tmp_path, DYNAMIC.replace("us-east-1-chat", f"us-east-1-{name}").replace("count = 4", "count = 2"))

    (wish, *_) = [wish for wish in changes_of(idle, directory, catalog, Sources()).wishes if wish.target]

    assert ("its name says west" in wish.told) == (name == "west")
    assert bool(wish.address) == (name != "west")


def test_each_root_of_a_folder_gets_its_own_changes(tmp_path, idle, catalog):
    """Paths of the patch begin at the folder that was given; a root without such machines is left alone."""
    for name, text in (("chat", CODE), ("search", CODE.replace("g5.12xlarge", "g6.xlarge").replace("chat", "search"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.tf").write_text(text)

    application = changes_of(idle, tmp_path, catalog, Sources()).application

    assert application.patch.startswith("--- a/chat/main.tf\n+++ b/chat/main.tf\n")
    assert list(application.files) == [tmp_path / "chat/main.tf"]
    assert all(edit.startswith("chat: ") for edit in application.edits)


def test_two_roots_that_say_the_same_are_named_and_left_alone(tmp_path, idle, catalog):
    """Nothing tells which of them the bill's machines are of."""
    for name in ("blue", "green"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.tf").write_text(CODE)

    changes = changes_of(idle, tmp_path, catalog, Sources())

    assert changes.application is None
    assert any("blue/" in wish.told and "green/" in wish.told for wish in changes.wishes)
