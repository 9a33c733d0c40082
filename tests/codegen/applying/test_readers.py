"""Readers of values that `advisor apply-to` edits: named, or the value stays where they would lose it."""

import pytest

from advisor.codegen.applying import apply_to
from codegen.applying.test_apply_to import target, write

POOL = """resource "aws_eks_node_group" "gpu" {
  instance_types = local.types
}
"""
LIST = 'locals {\n  types = ["g5.xlarge", "g5.2xlarge", "g5.4xlarge"]\n  batch = local.types[2]\n%s}\n'
BOX = 'resource "aws_instance" "box" {\n  instance_type = %s\n%s}\n'
GROUP = """resource "aws_autoscaling_group" "gpu" {
  desired_capacity = 2
  launch_template { id = aws_launch_template.gpu.id }
}
resource "aws_launch_template" "gpu" { instance_type = local.gpu_type }
"""


def told(directory, address):
    """The patch, and the notes in one text."""
    application = apply_to(directory, address, target())
    return application.patch, "\n".join(application.notes)


@pytest.mark.parametrize(
    ("expression", "more", "local", "entry"),
    [
        ("local.batch", "", "", "entry 2"),
        ("local.types[1]", "", "", "entry 1"),
        ('local.by["large"]', "", "  by = { small = local.types[0], large = local.types[1] }\n", "entry 1"),
        ("local.types[count.index]", "  count = 3\n", "", "entries by number"),
        ("local.types[var.at]", "", "", "entries by number"),
        ("slice(local.types, 0, 2)[0]", "", "", "entries by number"),
    ],
)
def test_a_list_stays_as_long_as_its_entries_are_taken(expression, more, local, entry, tmp_path):
    """A list that would lose an entry that another resource takes, through locals or by a number, is not changed."""
    write(tmp_path, main=LIST % local + POOL + BOX % (expression, more) + 'variable "at" {}\n')
    patch, notes = told(tmp_path, "aws_eks_node_group.gpu")
    assert patch == ""
    assert "not changed: aws_eks_node_group.gpu: instance_types: the list at main.tf:2 would become" in notes
    assert f"(aws_instance.box) takes {entry} of it" in notes


@pytest.mark.parametrize(
    ("expression", "more"),
    [
        ("local.types[0]", ""),
        ("element(local.types, 1)", ""),
        ("each.value", "  for_each = toset(local.types)\n"),
        ("local.types[count.index]", "  count = 1\n"),
    ],
)
def test_a_list_changes_where_every_entry_that_is_taken_stays(expression, more, tmp_path):
    """Resources that change with the list are named."""
    write(tmp_path, main=LIST % "" + POOL + BOX % (expression, more))
    patch, notes = told(tmp_path, "aws_eks_node_group.gpu")
    assert '+  types = ["g6e.xlarge"]' in patch
    assert "local.types is used elsewhere too: main.tf:" in notes
    assert "(aws_instance.box)" in notes


@pytest.mark.parametrize(
    ("code", "user"),
    [
        ('locals {\n  a = local.gpu_type\n  b = "${local.a}"\n}\n' + BOX % ("local.b", ""), "aws_instance.box"),
        ('locals {\n  a = local.gpu_type\n}\nmodule "x" {\n  source = "./x"\n  type = local.a\n}\n', "module.x"),
        ('module "x" {\n  source = "registry/x"\n  type = { size = local.gpu_type }\n}\n', "module.x"),
        (
            'locals {\n  all = { for k in ["a"] : k => local.gpu_type }\n}\n' + BOX % ('local.all["a"]', ""),
            "aws_instance.box",
        ),
    ],
)
def test_readers_through_other_names_are_listed(code, user, tmp_path):
    """Locals, templates, loops and calls of modules hand an edited value on."""
    write(tmp_path, main='locals {\n  gpu_type = "g5.xlarge"\n}\n' + GROUP + code, x__main='variable "type" {}\n')
    patch, notes = told(tmp_path, "aws_autoscaling_group.gpu")
    assert '+  gpu_type = "g6e.xlarge"' in patch
    assert "local.gpu_type is used elsewhere too: main.tf:" in notes
    assert f"({user})" in notes


def test_readers_inside_the_called_module_and_of_its_output_are_listed(tmp_path):
    """A call hands the edited value to other resources of its module, and an output of it back."""
    write(
        tmp_path,
        main='module "x" {\n  source = "./x"\n  type   = "g5.xlarge"\n}\n' + BOX % ("module.x.again", ""),
        x__main=(
            'variable "type" {}\nlocals {\n  gpu_type = var.type\n  other = local.gpu_type\n}\n'
            + GROUP
            + BOX.replace("box", "inner") % ("local.other", "")
            + 'output "again" {\n  value = local.other\n}\n'
        ),
    )
    _, notes = told(tmp_path, "module.x.aws_autoscaling_group.gpu")
    for user in ("aws_instance.box", "aws_instance.inner"):
        assert f"({user})" in notes


def test_an_entry_of_a_map_is_not_its_neighbours(tmp_path):
    """Only readers of the edited entry are named, and maps that are computed of the whole."""
    write(
        tmp_path,
        main=(
            'locals {\n  types = { a = "g5.xlarge", b = "g5.2xlarge" }\n  gpu_type = local.types.a\n}\n'
            + GROUP
            + BOX % ('local.types["b"]', "")
            + BOX.replace("box", "each") % ("each.key", "  for_each = local.types\n")
            + BOX.replace("box", "every") % ("values(local.types)[0]", "")
        ),
    )
    _, notes = told(tmp_path, "aws_autoscaling_group.gpu")
    assert "(aws_instance.every)" in notes
    assert "(aws_instance.box)" not in notes
    assert "(aws_instance.each)" not in notes
