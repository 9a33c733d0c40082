"""Attributes that a value leaves out are decided by the default that the type of its variable gives them."""

import pytest

from advisor.codegen.applying import apply_to, write_application
from codegen.applying.test_apply_to import target, write

POOLS = """variable "pools" {
  type = map(object({
    instance_type = optional(string, "g5.xlarge")
    size = optional(object({
      least = optional(number, 1)
      most  = number
    }), { most = 5 })
    team = optional(string)
  }))
  default = { gpu = {}, other = { instance_type = "g5.2xlarge" } }
}
resource "aws_eks_node_group" "gpu" {
  for_each       = var.pools
  instance_types = [each.value.instance_type]
  scaling_config {
    min_size     = each.value.size.least
    max_size     = each.value.size.most
    desired_size = 2
  }
}
"""
ADDRESS = 'aws_eks_node_group.gpu["gpu"]'


@pytest.mark.parametrize("given", ["", "pools = { gpu = {} }\n", 'pools = { gpu = { team = "chat" } }\n'])
def test_the_default_of_an_attribute_is_edited(given, tmp_path):
    """It stands in the type: of the attribute, or of the object around it."""
    write(tmp_path, main=POOLS, **({"terraform.tfvars": given} if given else {}))
    write_application(apply_to(tmp_path, ADDRESS, target()))
    after = (tmp_path / "main.tf").read_text()
    assert 'instance_type = optional(string, "g6e.xlarge")' in after
    assert "least = optional(number, 3)" in after
    assert "{ most = 4 })" in after
    assert 'other = { instance_type = "g5.2xlarge" }' in after
    assert not given or (tmp_path / "terraform.tfvars").read_text() == given


def test_a_stated_attribute_is_edited_where_it_stands(tmp_path):
    """Its default decides nothing, and stays."""
    given = 'pools = { gpu = { instance_type = "g5.4xlarge", size = { most = 9 } } }\n'
    write(tmp_path, main=POOLS, **{"terraform.tfvars": given})
    write_application(apply_to(tmp_path, ADDRESS, target()))
    expected = given.replace("g5.4xlarge", "g6e.xlarge").replace("9", "4")
    assert (tmp_path / "terraform.tfvars").read_text() == expected
    after = (tmp_path / "main.tf").read_text()
    assert 'optional(string, "g5.xlarge")' in after
    assert "least = optional(number, 3)" in after


def test_keys_that_share_a_default_are_told(tmp_path):
    """The type decides for every key that leaves the attribute out."""
    write(tmp_path, main=POOLS)
    notes = apply_to(tmp_path, ADDRESS, target()).notes
    assert any('decides for aws_eks_node_group.gpu["other"] too' in note and "main.tf:4" not in note for note in notes)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("map(object({ instance_type = optional(string) }))", "has no 'instance_type'"),
        ("map(object({ instance_type = string }))", "has no 'instance_type'"),
        ("any", "has no 'instance_type'"),
        ("map(object({ instance_type = optional(string, var.usual) }))", "has no 'instance_type'"),
    ],
)
def test_an_attribute_without_a_default_stays_unresolved(kind, reason, tmp_path):
    """Nothing says its value."""
    text = (
        f'variable "pools" {{\n  type    = {kind}\n  default = {{ gpu = {{}} }}\n}}\n'
        'resource "aws_eks_node_group" "gpu" {\n  for_each       = var.pools\n'
        "  instance_types = [each.value.instance_type]\n  scaling_config {\n    min_size = 1\n  }\n}\n"
    )
    write(tmp_path, main=text)
    assert any(reason in note for note in apply_to(tmp_path, ADDRESS, target()).notes)
