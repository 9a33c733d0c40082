"""Notes of `advisor apply-to` on values that decide for several instances, and on what an apply takes down."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.applying import apply_to, write_application
from advisor.codegen.applying.facts import facts_at
from advisor.codegen.applying.resolving import open_project
from advisor.codegen.applying.rules import RULES, Figure
from codegen.applying.test_apply_to import target, write

POOL = """resource "azurerm_kubernetes_cluster_node_pool" "gpu" {{
{loop}  vm_size    = "Standard_NC4as_T4_v3"
  node_count = {count}
}}
"""
KIND = "azurerm_kubernetes_cluster_node_pool.gpu"
AZURE = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"}
LOOPS = {
    "": [""],
    '  for_each = toset(["a", "b"])\n': ['["a"]', '["b"]'],
    "  count = 3\n": ["[0]", "[1]", "[2]"],
    "  count = local.is_made ? 1 : 0\n": ["[0]"],
    "  for_each = local.pools\n": ['["x"]', '["y"]'],
}
"""Arguments of a block → indexes of its instances."""
DATA = 'locals {\n  is_made = var.is_made\n  pools = { x = 1, y = 2 }\n}\nvariable "is_made" {}\n'


def told_of(notes, line):
    """The note on a line of the pool's file."""
    return next((note for note in notes if note.startswith(f"m/main.tf:{line} ")), "")


@given(st.sampled_from(sorted(LOOPS)), st.sampled_from(sorted(LOOPS)), st.booleans(), st.data())
def test_every_instance_that_changes_is_counted(tmp_path_factory, outer, inner, is_keyed, data):
    """Loops of a module's call and of the block itself multiply, whichever of them the address names a key of."""
    directory = tmp_path_factory.mktemp("looped")
    write(
        directory,
        main=f'{DATA}module "fleet" {{\n  source = "./m"\n{outer}}}\n',
        m__main=DATA + POOL.format(loop=inner, count=1),
    )
    calls, keys = LOOPS[outer], LOOPS[inner]
    call, key = (data.draw(st.sampled_from(names)) if is_keyed else "" for names in (calls, keys))

    application = apply_to(directory, f"module.fleet{call}.{KIND}{key}", target(**AZURE))

    number = len(calls) * len(keys)
    line = (DATA + POOL.format(loop=inner, count=1)).partition("node_count")[0].count("\n") + 1
    note = told_of(application.notes, line)
    assert bool(note) == (number > 1)
    assert note in ("", *application.shared)
    if number > 1:
        assert f"(node_count: {number} × 3 = {number * 3})" in note
        named = re.findall(r"module\.fleet\S*\.gpu(?:\[\S+?\])?", note)
        assert not is_keyed or f"module.fleet{call}.{KIND}{key}" not in named
        others = number - 1 if is_keyed else number
        assert len(named) == min(others, 4)
        assert ("more" in note) == (others > 4)


def test_numbers_as_planned_are_counted_for_a_bare_address(tmp_path):
    """Nothing changes, and yet each instance has the plan's number."""
    write(
        tmp_path,
        main=POOL.format(loop='  for_each = toset(["a", "b"])\n', count=3).replace("NC4as_T4_v3", "NC24ads_A100_v4"),
    )
    application = apply_to(tmp_path, KIND, target(**AZURE))
    assert application.patch == ""
    assert any("(node_count: 2 × 3 = 6): name one" in note for note in application.notes)
    assert not [note for note in apply_to(tmp_path, f'{KIND}["a"]', target(**AZURE)).notes if "decides" in note]


@pytest.mark.parametrize(
    "loop", ["  for_each = var.pools\n", "  count = var.number\n", "  count = length(var.pools)\n"]
)
def test_instances_that_no_literal_counts_are_told(loop, tmp_path):
    """How many there are is not known, and not taken for one."""
    write(tmp_path, main=POOL.format(loop=loop, count=1) + 'variable "pools" {}\nvariable "number" {}\n')
    notes = apply_to(tmp_path, KIND, target(**AZURE)).notes
    assert any(f"decides for each of {KIND}[*] (node_count: 3 each)" in note for note in notes)


def test_a_value_of_each_key_is_its_own(tmp_path):
    """Values in a map by key decide for that key alone."""
    write(
        tmp_path,
        main='locals {\n  pools = { a = { size = "Standard_NC4as_T4_v3", n = 1 }, b = { size = "Standard_NC4as_T4_v3", n = 1 } }\n}\n'
        'module "m" {\n  source   = "./m"\n  for_each = local.pools\n  pool     = each.value\n}\n',
        m__main='variable "pool" {}\n'
        'resource "azurerm_kubernetes_cluster_node_pool" "gpu" {\n  vm_size    = var.pool.size\n  node_count = var.pool.n\n}\n',
    )
    application = apply_to(tmp_path, f'module.m["a"].{KIND}', target(**AZURE))
    assert len(application.edits) == 2
    assert not [note for note in application.notes if "decides" in note]


def test_a_module_that_two_calls_share_is_told(tmp_path):
    """A literal in its files decides for both calls; one that a call passes, for that call alone."""
    write(
        tmp_path,
        main='module "a" {\n  source = "./m"\n  n      = 1\n}\nmodule "b" {\n  source = "./m"\n  n      = 1\n}\n',
        m__main='variable "n" {}\n' + POOL.format(loop="", count="var.n"),
    )
    notes = apply_to(tmp_path, f"module.a.{KIND}", target(**AZURE)).notes
    (note,) = (note for note in notes if "decides" in note)
    assert note == f"m/main.tf:3 decides for module.b.{KIND} too, which change with it"


def test_a_looped_call_of_a_module_from_elsewhere_is_told(tmp_path):
    """Its arguments decide for every key."""
    write(
        tmp_path,
        main='module "asg" {\n  source   = "terraform-aws-modules/autoscaling/aws"\n  for_each = toset(["a", "b"])\n'
        '  instance_type = "p4d.24xlarge"\n  desired_capacity = 1\n}\n',
    )
    shared = apply_to(tmp_path, 'module.asg["a"]', target()).shared
    assert 'main.tf:4 decides for module.asg["b"] too, which change with it' in shared
    assert 'main.tf:5 decides for module.asg["b"] too, which change with it (desired_capacity: 2 × 3 = 6)' in shared


GKE_POOL = """resource "google_container_node_pool" "gpu" {{
  initial_node_count = {initial}
{counts}  node_config {{
    machine_type = "g2-standard-8"
{attached}  }}
}}
"""
GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"}
COUNTS = ("  node_count = 1\n", "  autoscaling {\n    min_node_count = 1\n    max_node_count = 9\n  }\n")


@pytest.mark.parametrize("counts", ["", *COUNTS])
@pytest.mark.parametrize("initial", [1, 3])
def test_the_first_number_of_nodes_stays(counts, initial, tmp_path):
    """Google replaces a pool whose initial_node_count changes; it is told of where nothing else says the number."""
    write(tmp_path, main=GKE_POOL.format(initial=initial, counts=counts, attached=""))
    application = apply_to(tmp_path, "google_container_node_pool.gpu", target(**GOOGLE))
    write_application(application)
    assert f"initial_node_count = {initial}\n" in (tmp_path / "main.tf").read_text()
    is_told = any(
        "initial_node_count (main.tf:2): a change of it replaces the pool" in note for note in application.notes
    )
    assert is_told == (not counts and initial != 3)


@pytest.mark.parametrize(
    ("accelerator", "count", "is_told"),
    [("nvidia-l4", 1, True), ("nvidia-tesla-a100", 2, True), ("nvidia-tesla-a100", 1, False)],
)
def test_accelerators_of_another_type_are_told(accelerator, count, is_told, tmp_path):
    """What is attached has to be what the planned type takes."""
    attached = f'    guest_accelerator {{\n      type  = "{accelerator}"\n      count = {count}\n    }}\n'
    write(tmp_path, main=GKE_POOL.format(initial=1, counts=COUNTS[0], attached=attached))
    notes = apply_to(tmp_path, "google_container_node_pool.gpu", target(**GOOGLE)).notes
    told = [note for note in notes if "guest_accelerator" in note]
    assert bool(told) == is_told
    assert all(
        "(main.tf:7): a2-highgpu-1g takes 1 × nvidia-tesla-a100: change it with the type" in note for note in told
    )


ZONED = """resource "google_container_cluster" "c" {{
  name = "gpu"
{cluster}}}
locals {{
  cluster = google_container_cluster.c.id
}}
variable "zones" {{
  default = ["us-central1-a", "us-central1-b"]
}}
resource "google_container_node_pool" "gpu" {{
  cluster = {refers}
{pool}  node_config {{
    machine_type = "g2-standard-8"
  }}
}}
"""
BOTH = '["us-central1-a", "us-central1-b"]'
SCALED = "  autoscaling {\n    min_node_count = 1\n    max_node_count = 1\n  }\n"
TOTALS = "  autoscaling {\n    total_min_node_count = 1\n    total_max_node_count = 1\n  }\n"
SHARED_OUT = {
    "of the pool": ("", f"  node_locations = {BOTH}\n  node_count = 7\n", "node_count = 2"),
    "by a variable": ("", "  node_locations = var.zones\n  node_count = 7\n", "node_count = 2"),
    "of its cluster": (
        f'  location = "us-central1"\n  node_locations = {BOTH}\n',
        "  node_count = 7\n",
        "node_count = 2",
    ),
    "beside that of a zonal cluster": (
        '  location = "us-central1-a"\n  node_locations = ["us-central1-b"]\n',
        "  node_count = 7\n",
        "node_count = 2",
    ),
    "limits of each zone": ("", f"  node_locations = {BOTH}\n{SCALED}", "min_node_count = 2\n    max_node_count = 3"),
    "limits of all zones": ("", f"  node_locations = {BOTH}\n{TOTALS}", "total_min_node_count = 4\n    total_max_"),
    "one zone": ('  location = "us-central1-a"\n', "  node_count = 7\n", "node_count = 4"),
    "the zone of the provider": ("", "  node_count = 7\n", "node_count = 4"),
}


@pytest.mark.parametrize("refers", ["google_container_cluster.c.name", "local.cluster"])
@pytest.mark.parametrize("name", SHARED_OUT)
def test_nodes_are_shared_out_over_the_zones_of_a_pool(name, refers, tmp_path):
    """Google starts node_count nodes in each zone: four nodes of a plan are two in each of two."""
    cluster, pool, expected = SHARED_OUT[name]
    write(tmp_path, main=ZONED.format(cluster=cluster, pool=pool, refers=refers))
    application = apply_to(tmp_path, "google_container_node_pool.gpu", target(**GOOGLE, instances=4))
    write_application(application)
    assert expected in (tmp_path / "main.tf").read_text()
    told = [note for note in application.notes if "each of 2 zones, us-central1-a and us-central1-b (main.tf:" in note]
    assert bool(told) == ("= 2" in expected)
    assert all("count 2 × 2 = 4" in note for note in told)
    assert ["max_node_count 2 × 3 = 6, the plan has 5" in note for note in told] == ["limits" in name] * len(told)


@pytest.mark.parametrize(
    ("cluster", "pool", "refers", "reason"),
    [
        (
            '  location = "us-central1"\n',
            "",
            "google_container_cluster.c.id",
            "Google chooses the zones of us-central1",
        ),
        ("", '  location = "us-central1"\n', "var.cluster", "Google chooses the zones of us-central1"),
        ("", "  node_locations = data.google_compute_zones.all.names\n", "local.cluster", "no literal says its zones"),
        ("", "", "var.cluster", "its cluster is in none of these files"),
        ("", '  node_locations = ["a", "b", "c"]\n', "local.cluster", "4 nodes cannot be shared out over 3 zones, a "),
        (f"  node_locations = {BOTH}\n", "", "local.cluster", "its cluster has a zone of the provider beside us-cen"),
    ],
)
def test_counts_of_zones_that_are_not_known_stay(cluster, pool, refers, reason, tmp_path):
    """A number of nodes that would start other than planned is not written, and why is told."""
    write(tmp_path, main=ZONED.format(cluster=cluster, pool=f"{pool}  node_count = 7\n", refers=refers))
    application = apply_to(tmp_path, "google_container_node_pool.gpu", target(**GOOGLE, instances=4))
    assert [note for note in application.notes if "node_count: " in note and reason in note] != []
    assert [edit for edit in application.edits if "node_count" in edit] == []
    assert not application.is_as_planned


@pytest.mark.parametrize(
    ("zones", "counts"), [(BOTH, ((Figure.INSTANCES, 14),)), ("data.google_compute_zones.all.names", ())]
)
def test_counts_of_a_pool_are_those_of_all_its_zones(zones, counts, tmp_path):
    """A bill has them so; where no literal says the zones, none is known."""
    pool = f"  node_locations = {zones}\n  node_count = 7\n"
    write(tmp_path, main=ZONED.format(cluster="", pool=pool, refers="local.cluster"))
    assert facts_at(open_project(tmp_path), "google_container_node_pool.gpu", "gcp").counts == counts


FORCE_NEW = Path(__file__).parents[2] / "iac/schemas/force_new.csv"
"""Arguments that the providers' sources mark with ForceNew."""


def test_every_edit_that_replaces_a_resource_is_told():
    """An argument that the provider cannot change in place is edited with a note, or not at all."""
    rows = [(row["resource_type"], row["argument"]) for row in csv.DictReader(FORCE_NEW.read_text().splitlines())]
    forcing = [
        (kind, path)
        for kind, rule in RULES.items()
        for path in rule.arguments
        if any(kind == other and f"{path}.".startswith(f"{argument}.") for other, argument in rows)
    ]
    untold = [
        (kind, path)
        for kind, path in forcing
        if (note := RULES[kind].replacement) is None or not f"{path}.".startswith(f"{note.argument}.")
    ]
    assert untold == []
    assert ("aws_sagemaker_endpoint_configuration", "production_variants.instance_type") in forcing
    edited = {(kind, path) for kind, rule in RULES.items() for path in rule.created_with}
    assert edited <= set(rows)


CREATE_FIRST = "  lifecycle { create_before_destroy = true }\n"
VARIANTS = (
    'resource "aws_sagemaker_endpoint_configuration" "gpu" {{\n{name}  production_variants {{\n'
    '    instance_type          = "ml.g6e.xlarge"\n    initial_instance_count = 1\n  }}\n}}\n'
)


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ('  name = "chat"\n', True),
        (f'  name = "chat"\n{CREATE_FIRST}', True),
        ("", True),
        (f'  name_prefix = "chat"\n{CREATE_FIRST}', False),
    ],
)
def test_an_endpoint_that_keeps_its_configuration_is_told(name, is_told, tmp_path):
    """A new configuration of the same name is not taken up by the endpoint, also where its number alone changes."""
    write(tmp_path, main=VARIANTS.format(name=name))
    notes = apply_to(tmp_path, "aws_sagemaker_endpoint_configuration.gpu", target()).notes
    assert any("the endpoint goes on with the former machines" in note for note in notes) == is_told


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ('resource "aws_instance" "x" {\n  instance_type = "g5.xlarge"\n}\n', {}),
        ('resource "google_compute_instance" "x" {\n  machine_type = "g2-standard-4"\n}\n', GOOGLE),
        ('resource "azurerm_linux_virtual_machine" "x" {\n  size = "Standard_NC4as_T4_v3"\n}\n', AZURE),
    ],
)
def test_machines_that_are_stopped_are_told(text, changes, tmp_path):
    """Their type is changed in place, while they stand still."""
    write(tmp_path, main=text)
    address = ".".join(re.findall(r'"(\w+)"', text)[:2])
    application = apply_to(tmp_path, address, target(**changes))
    assert any("is changed by stopping each" in note for note in application.notes)
    write_application(application)
    assert not [note for note in apply_to(tmp_path, address, target(**changes)).notes if "stopping" in note]


SIZED = 'resource "aws_autoscaling_group" "x" {\n%s  min_size = 1\n  max_size = 12\n  desired_capacity = %s\n}\n'
SCALED = """resource "azurerm_monitor_autoscale_setting" "s" {
  profile {
    capacity {
      default = var.night * 2
      minimum = 4
      maximum = 12
    }
  }
}
variable "night" { default = 3 }
"""


@pytest.mark.parametrize(
    ("code", "address", "words"),
    [
        (SIZED % ("", "var.n * 2") + 'variable "n" { default = 4 }\n', "aws_autoscaling_group.x", "is not known"),
        (
            SIZED % ('  for_each = toset(["a", "b"])\n', "var.n[each.key]")
            + 'variable "n" { default = { a = 7, b = 9 } }\n',
            'aws_autoscaling_group.x["a"]',
            'desired_capacity of aws_autoscaling_group.x["b"] (main.tf:5) stays 9',
        ),
        (SCALED, "azurerm_monitor_autoscale_setting.s", "is not known"),
    ],
)
def test_a_maximum_does_not_fall_below_a_number_that_stays(code, address, words, tmp_path):
    """A desired number that is computed, or that of another instance, keeps the maximum; the note names it."""
    write(tmp_path, main=code)
    wanted = target(**AZURE) if "azurerm" in address else target()
    application = apply_to(tmp_path, address, wanted)
    assert not [edit for edit in application.edits if "max" in edit]
    (note,) = (note for note in application.notes if "it would fall to" in note)
    assert note.startswith("not changed: ")
    assert words in note
    assert not [note for note in application.notes if "max_size: 2 ×" in note]


def test_a_maximum_falls_with_the_numbers_below_it(tmp_path):
    """Numbers that are edited with it, or are null, do not keep it."""
    for desired in ("2", "null"):
        write(tmp_path, main=SIZED % ("", desired))
        assert "-  max_size = 12" in apply_to(tmp_path, "aws_autoscaling_group.x", target()).patch
