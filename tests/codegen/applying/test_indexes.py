"""Indexes that `advisor apply-to` follows to the entry of a map or a list that decides an argument."""

import pytest

from advisor.codegen.applying import apply_to
from codegen.applying.test_apply_to import target, write

BOX = 'resource "aws_instance" "box" {\n%s  instance_type = %s\n}\n'
SIZES = 'variable "sizes" {\n  default = { a = "g5.xlarge", b = "g5.2xlarge" }\n}\nvariable "env" { default = "b" }\n'
TYPES = 'locals {\n  types = ["g5.xlarge", "g5.2xlarge"]\n  at    = { a = 0, b = 1 }\n}\n'


@pytest.mark.parametrize(
    ("code", "address", "line"),
    [
        (SIZES + BOX % ('  for_each = toset(["a", "b"])\n', "var.sizes[each.key]"), 'aws_instance.box["b"]', 2),
        (SIZES + BOX % ('  for_each = toset(["a", "b"])\n', "var.sizes[each.value]"), 'aws_instance.box["b"]', 2),
        (SIZES + BOX % ("", "var.sizes[var.env]"), "aws_instance.box", 2),
        (TYPES + BOX % ("  for_each = { b = 1 }\n", "local.types[local.at[each.key]]"), 'aws_instance.box["b"]', 2),
    ],
)
def test_the_entry_that_an_index_names_is_edited(code, address, line, tmp_path):
    """Keys of the instance, variables, and entries of other maps are indexes."""
    write(tmp_path, main=code)
    application = apply_to(tmp_path, address, target())
    assert any(f'"g5.2xlarge" → "g6e.xlarge" (main.tf:{line})' in edit for edit in application.edits)


def test_an_address_without_its_key_is_told(tmp_path):
    """Which entry an index names is decided by the key, which the note asks for."""
    code = 'resource "aws_autoscaling_group" "x" {\n  for_each = toset(["a"])\n  min_size = 9\n  desired_capacity = var.n[each.key]\n}\n'
    write(tmp_path, main=code + 'variable "n" { default = { a = 7 } }\n')
    notes = "\n".join(apply_to(tmp_path, "aws_autoscaling_group.x", target()).notes)
    assert "has several instances: name one, as in 'aws_autoscaling_group.x[\"key\"]'" in notes


@pytest.mark.parametrize("index", ["local.a[local.a]", "local.b", "var.none", "data.x.y.z"])
def test_an_index_that_no_literal_decides_is_named(index, tmp_path):
    """Indexes of themselves, or of what is known to Terraform alone, end in a note with the line."""
    code = f"locals {{\n  a = local.types[local.a]\n  b = local.c[local.b]\n  c = {{}}\n}}\n{TYPES}"
    write(tmp_path, main=code + BOX % ("  count = 1\n", f"local.types[{index}]") + 'variable "none" {}\n')
    notes = "\n".join(apply_to(tmp_path, "aws_instance.box", target()).notes)
    assert f"local.types[{index}] has an index that no literal decides" in notes
