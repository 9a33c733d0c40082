"""Edits of `advisor apply-to` beside the block at an address: instances that refer to the same one, and no others."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.applying import apply_to, write_application
from advisor.errors import InputError
from codegen.applying.test_apply_to import PLAIN, target, write

KEYS = ("chat", "code", "math")
CLOUDS = {
    "aws": {
        "target": {},
        "types": ("g5.2xlarge", "g6e.xlarge"),
        "template": (
            'resource "aws_launch_template" "t" {{\n  for_each      = local.pools\n  image_id      = "ami-1"\n'
            "  instance_type = each.value.type\n}}\n"
        ),
        "group": (
            'resource "aws_autoscaling_group" "{name}" {{\n{loop}  desired_capacity = {count}\n'
            "  launch_template {{ id = aws_launch_template.t[{index}].id }}\n}}\n"
        ),
        "addresses": ("aws_launch_template.t", "aws_autoscaling_group"),
    },
    "gcp": {
        "target": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
        "types": ("g2-standard-4", "g2-standard-8"),
        "template": (
            'resource "google_compute_region_instance_template" "t" {{\n  for_each     = local.pools\n'
            '  name_prefix  = "t-"\n  machine_type = each.value.type\n}}\n'
        ),
        "group": (
            'resource "google_compute_region_instance_group_manager" "{name}" {{\n{loop}  target_size = {count}\n'
            "  version {{ instance_template = google_compute_region_instance_template.t[{index}].self_link }}\n}}\n"
        ),
        "addresses": ("google_compute_region_instance_template.t", "google_compute_region_instance_group_manager"),
    },
}
INDEXES = ('"{key}"', "local.names.{key}")
"""Ways of writing the key of a template."""


def code_of(cloud, keys, groups, *, with_loop):
    """A template for each key, groups by name with the key that each uses, and one that loops over all keys."""
    facts = CLOUDS[cloud]
    old, _ = facts["types"]
    entries = "".join(f'    {key} = {{ type = "{old}", count = 1{at} }}\n' for at, key in enumerate(keys))
    names = "".join(f'    {key} = "{key}"\n' for key in keys)
    text = f"locals {{\n  pools = {{\n{entries}  }}\n  names = {{\n{names}  }}\n}}\n" + facts["template"].format()
    if with_loop:
        loop = "  for_each = local.pools\n"
        text += facts["group"].format(name="all", loop=loop, count="each.value.count", index="each.key")
    for at, (name, (key, index)) in enumerate(groups.items()):
        text += facts["group"].format(name=name, loop="", count=20 + at, index=index.format(key=key))
    return text


@st.composite
def projects(draw):
    """Cloud, keys, groups, whether one loops, and the address: of a template, of a group, or of one in the loop."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    groups = draw(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.tuples(st.sampled_from(keys), st.sampled_from(INDEXES)), max_size=3
        )
    )
    with_loop = draw(st.booleans())
    key = draw(st.sampled_from(keys))
    choices = [("template", key), *(("group", name) for name in groups), *([("loop", key)] if with_loop else [])]
    return draw(st.sampled_from(sorted(CLOUDS))), keys, groups, with_loop, draw(st.sampled_from(choices))


@given(projects())
def test_nothing_of_another_key_is_touched(tmp_path_factory, project):
    """The type of the addressed key changes, the count of the addressed group, or of the only one on the template."""
    cloud, keys, groups, with_loop, (kind, name) = project
    directory = tmp_path_factory.mktemp("project")
    before = code_of(cloud, keys, groups, with_loop=with_loop)
    write(directory, main=before)
    template, group = CLOUDS[cloud]["addresses"]
    address = {"template": f'{template}["{name}"]', "group": f"{group}.{name}", "loop": f'{group}.all["{name}"]'}[kind]

    application = apply_to(directory, address, target(**CLOUDS[cloud]["target"]))
    write_application(application)

    key = groups[name][0] if kind == "group" else name
    users = [user for user, (of, _) in groups.items() if of == key] + (["all"] if with_loop else [])
    edited = {"group": [name], "loop": ["all"], "template": users if len(users) == 1 else []}[kind]
    old, new = CLOUDS[cloud]["types"]
    expected = re.sub(rf'(\b{key} = {{ type = )"{old}"', rf'\1"{new}"', before)
    if "all" in edited:
        expected = re.sub(rf"(\b{key} = {{.*count = )\d+", r"\g<1>3", expected)
    for at, user in enumerate(groups):
        if user in edited:
            expected = expected.replace(f" = {20 + at}\n", " = 3\n")
    assert (directory / "main.tf").read_text() == expected
    others = sorted({*users} - {*edited})
    assert bool(others) == any(f"{template} changes for" in note for note in application.shared)


@pytest.mark.parametrize(
    ("loop", "first", "second"), [('for_each = toset(["x", "y"])', '"x"', '"y"'), ("count = 2", "0", "1")]
)
def test_literal_of_a_loop_is_told_to_decide_for_every_key(tmp_path, loop, first, second):
    """It stands in the block itself: the other instances, and the groups on them, change with it."""
    group = 'resource "aws_autoscaling_group" "{name}" {{\n  max_size = 3\n  min_size = 1\n  desired_capacity = 2\n'
    group += "  launch_template {{ id = aws_launch_template.t[{key}].id }}\n}}\n"
    template = f'resource "aws_launch_template" "t" {{\n  {loop}\n  instance_type = "g5.xlarge"\n}}\n'
    code = template + group.format(name="a", key=first) + group.format(name="b", key=second)
    write(tmp_path, main=code)

    application = apply_to(tmp_path, "aws_autoscaling_group.a", target(**CLOUDS["aws"]["target"]))

    (note,) = (note for note in application.shared if "decides for" in note)
    assert "main.tf:3" in note
    assert "aws_autoscaling_group.b" in note


def test_groups_on_one_template_are_told_apart(tmp_path):
    """Neither of two groups on a template is taken for the plan's; the one that is named is, and the other is told."""
    both = PLAIN + PLAIN[PLAIN.index('resource "aws_autoscaling_group"') :].replace('" "gpu"', '" "other"')
    write(tmp_path, main=both)
    of_template = apply_to(tmp_path, "aws_launch_template.gpu", target())
    assert [edit for edit in of_template.edits if "autoscaling" in edit] == []
    assert any(
        "for aws_autoscaling_group.gpu and aws_autoscaling_group.other too" in note for note in of_template.notes
    )

    of_group = apply_to(tmp_path, "aws_autoscaling_group.other", target())
    assert len([edit for edit in of_group.edits if "aws_autoscaling_group.other" in edit]) == 3
    assert any("changes for aws_autoscaling_group.gpu too, whose own arguments stay" in note for note in of_group.notes)
    assert not [edit for edit in of_group.edits if "aws_autoscaling_group.gpu" in edit]


@pytest.mark.parametrize(
    "address", ["aws_launch_template.gpu", "aws_launch_template.gpu[0]", "aws_autoscaling_group.gpu"]
)
@pytest.mark.parametrize("count", ["1", "var.create ? 1 : 0"])
@pytest.mark.parametrize("index", ["[0]", "[count.index]", ".0"])
def test_blocks_that_are_there_once_or_not_at_all_belong_together(address, count, index, tmp_path):
    """The usual ``count = var.create ? 1 : 0`` of modules, with and without the index in the address."""
    text = re.sub(r'(resource "\w+" "gpu" {\n)', rf"\1  count = {count}\n", PLAIN).replace("gpu.id", f"gpu{index}.id")
    write(tmp_path, main=text + 'variable "create" { default = true }\n')
    assert len(apply_to(tmp_path, address, target()).edits) == 4


LOOPED = """locals {{
  pools = {{
    chat = {{ type = "g5.2xlarge", spot = false, way = "on-demand" }}
    code = {{ type = "g5.2xlarge", spot = true, way = "spot" }}
  }}
}}
resource "aws_launch_template" "gpu" {{
  for_each      = local.pools
  instance_type = each.value.type
  dynamic "instance_market_options" {{
    for_each = {loop}
    content {{ market_type = "spot" }}
  }}
}}
"""
LOOPS = (
    "each.value.spot ? [1] : []",
    "each.value.spot ? toset([1]) : toset([])",
    "each.value.spot == true ? [1] : []",
    "!each.value.spot ? [] : [1]",
    'each.value.way == "spot" ? [1] : []',
    'each.value.way != "spot" ? {} : { a = 1 }',
    "(each.value.spot) ? [1] : []",
)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("key", "buys_spot"), [("chat", False), ("code", True)])
def test_a_dynamic_block_counts_where_it_is_made(loop, key, buys_spot, tmp_path):
    """Whether an entry buys spot is what the loop of its block comes to for that key."""
    write(tmp_path, main=LOOPED.format(loop=loop))
    address = f'aws_launch_template.gpu["{key}"]'
    ways = ("on_demand", "spot")
    assert apply_to(tmp_path, address, target(purchase=ways[buys_spot])).edits
    with pytest.raises(InputError, match="its numbers would not hold"):
        apply_to(tmp_path, address, target(purchase=ways[not buys_spot]))


@pytest.mark.parametrize("loop", ["var.ways", "try(each.value.spot, true) ? [1] : []", "[for w in each.value : w]"])
def test_a_dynamic_block_that_no_literal_decides_is_asked_about(loop, tmp_path):
    """Spot numbers are refused, and of those on demand a note says that nothing tells how instances are bought."""
    write(tmp_path, main=LOOPED.format(loop=loop) + 'variable "ways" {}\n')
    address = 'aws_launch_template.gpu["code"]'
    with pytest.raises(InputError, match="does not say how instances are bought"):
        apply_to(tmp_path, address, target(purchase="spot"))
    notes = apply_to(tmp_path, address, target()).notes
    assert any("on demand: whether the code does is decided by no literal" in note for note in notes)


@pytest.mark.parametrize(
    ("provider", "own", "region"),
    [
        ('provider "aws" { region = "us-west-2" }', "", "us-west-2"),
        ('provider "aws" { region = var.region }\nvariable "region" { default = "us-west-2" }', "", "us-west-2"),
        ('provider "aws" { region = var.region }\nvariable "region" {}', "", ""),
        ('provider "aws" { region = "eu-west-1" }', '  availability_zones = ["us-west-2a"]\n', "us-west-2"),
        ('provider "aws" {\n  region = "us-west-2"\n}\nprovider "aws" {\n  alias  = "x"\n  region = "us-east-1"\n}', "", "us-west-2"),
        ("", "", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("planned", ["us-east-1", "us-west-2"])
def test_code_of_another_region_is_told(provider, own, region, planned, tmp_path):
    """A region of the block comes before that of its provider; where neither says one, nothing is told."""
    write(tmp_path, main=PLAIN.replace("  min_size ", f"{own}  min_size "), providers=f"{provider}\n")
    notes = apply_to(tmp_path, "aws_launch_template.gpu", target(region=planned)).notes
    told = [note for note in notes if note.startswith("the code is for ")]
    assert bool(told) == (region not in ("", planned))
    assert all(f"the code is for {region}, and the plan buys" in note and f" in {planned}:" in note for note in told)


def test_a_region_in_words_is_the_same(tmp_path):
    """Azure's regions are written with spaces and capitals, too."""
    scale_set = (
        'resource "azurerm_linux_virtual_machine_scale_set" "s" {\n  location = "West Europe"\n'
        '  sku = "Standard_NC4as_T4_v3"\n  instances = 1\n}\n'
    )
    write(tmp_path, main=scale_set)
    facts = {"provider": "azure", "instance_type": "Standard_NC24ads_A100_v4"}
    for region, is_told in (("westeurope", False), ("eastus", True)):
        notes = apply_to(tmp_path, "azurerm_linux_virtual_machine_scale_set.s", target(region=region, **facts)).notes
        assert any("the code is for West Europe" in note for note in notes) == is_told


@pytest.mark.parametrize(
    "names", [("min_size", "desired_capacity"), ("min_size", "max_size"), ("min_size", "desired_capacity", "max_size")]
)
@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_number_that_decides_several_arguments_is_told(names, number, tmp_path):
    """It becomes that of the busiest hours, whatever the order of the arguments and its former value."""
    text = PLAIN + f"locals {{\n  size = {number}\n}}\n"
    for name in names:
        text = re.sub(rf"({name} +=) \S+", r"\1 local.size", text)
    write(tmp_path, main=text)
    application = apply_to(tmp_path, "aws_launch_template.gpu", target())
    write_application(application)
    assert "  size = 3\n" in (tmp_path / "main.tf").read_text()
    is_told = any("decides several arguments, and becomes 3 for all of them" in note for note in application.notes)
    assert is_told == ("max_size" in names)  # the others are the same number in this plan
    assert apply_to(tmp_path, "aws_launch_template.gpu", target()).patch == ""


CREATE_FIRST = "  lifecycle { create_before_destroy = true }\n"
REPLACED = {
    "eks": (
        'resource "aws_eks_node_group" "x" {{\n  instance_types = ["g5.xlarge"]\n{}}}\n', "aws_eks_node_group.x", {},
        {
            '  node_group_name = "gpu"\n': True,
            f'  node_group_name = "gpu"\n{CREATE_FIRST}': True,
            '  node_group_name_prefix = "gpu"\n': True,
            f'  node_group_name_prefix = "gpu"\n{CREATE_FIRST}': False,
        },
    ),
    "gcp": (
        'resource "google_compute_instance_template" "x" {{\n  machine_type = "g2-standard-4"\n{}}}\n',
        "google_compute_instance_template.x",
        CLOUDS["gcp"]["target"],
        {'  name = "t"\n': True, f'  name = "t"\n{CREATE_FIRST}': True, f'  name_prefix = "t"\n{CREATE_FIRST}': False},
    ),
    "gcp, regional": (
        'resource "google_compute_region_instance_template" "x" {{\n  machine_type = "g2-standard-4"\n{}}}\n',
        "google_compute_region_instance_template.x",
        CLOUDS["gcp"]["target"],
        {'  name = "t"\n': True, f"{CREATE_FIRST}": False},
    ),
    "aks": (
        'resource "azurerm_kubernetes_cluster_node_pool" "x" {{\n  name = "gpu"\n  vm_size = "Standard_NC4as_T4_v3"\n{}}}\n',
        "azurerm_kubernetes_cluster_node_pool.x",
        {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"},
        {"": True, '  temporary_name_for_rotation = "tmp"\n': False},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more", "is_told"),
    [(name, more, is_told) for name, (*_, cases) in REPLACED.items() for more, is_told in cases.items()],
)
def test_a_change_that_takes_down_what_runs_is_told(name, more, is_told, tmp_path):
    """Arguments that the provider changes by a new resource: whether the new one can come first."""
    text, address, facts, _ = REPLACED[name]
    write(tmp_path, main=text.format(more))
    application = apply_to(tmp_path, address, target(**facts))
    assert any(" replaces the " in note for note in application.notes) == is_told
    write_application(application)
    assert not any(" replaces the " in note for note in apply_to(tmp_path, address, target(**facts)).notes)
