"""Code with a fault is named with its place and never passes; sound code has no finding."""

import pytest

from advisor.codegen.generate import UnsoundCode, check_files
from codegen.check import findings

VERSIONS = """terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}
"""
SOUND = """variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = length(var.name) > 0
    error_message = "Give a name."
  }
}

locals {
  sizes = { for key, size in { a = 1 } : key => size if size > 0 }
}

data "aws_vpc" "this" {
  id = "vpc-1"
}

resource "aws_security_group" "this" {
  for_each = local.sizes

  name_prefix = "${var.name}-${each.key}"
  vpc_id      = data.aws_vpc.this.id
}

resource "aws_autoscaling_group" "this" {
  name_prefix = var.name
  min_size    = 1
  max_size    = 2

  dynamic "tag" {
    for_each = { Name = var.name }

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

output "groups" {
  description = "Their ids."
  value       = [for group in aws_security_group.this : group.id]
}
"""


def messages(text, **files):
    """What is found in a root whose main.tf is *text*."""
    return [str(one) for one in findings({"versions.tf": VERSIONS, "main.tf": text, **files})]


def test_sound_root_has_no_finding():
    """A root with loops, dynamic blocks, data sources and validations passes."""
    assert messages(SOUND) == []


FAULTS = {
    "unknown argument": ('vpc_id      = data', 'vpc = data', "vpc is no argument there"),
    "read-only": ("min_size    = 1", 'min_size    = 1\n  arn = "x"', "arn is read-only"),
    "missing": ("  max_size    = 2\n", "", "needs the argument max_size"),
    "type": ("min_size    = 1", "min_size    = [1]", "min_size has to be of type number"),
    "argument for block": ("  min_size    = 1", "  min_size    = 1\n  tag = []", "tag is a block there, not an argument"),
    "unknown block": ("  min_size    = 1", "  min_size    = 1\n  rule {}", "rule is no block there"),
    "nested argument": ("key                 = tag.key", "name = tag.key", "name is no argument there"),
    "nested required": ("      value               = tag.value\n", "", "needs the argument value"),
    "two of one": ("  min_size    = 1", "  min_size    = 1\n  launch_template {}\n  launch_template {}", "takes 1 block"),
    "undeclared variable": ("var.name}-", "var.nam}-", "var.nam is not declared"),
    "undeclared local": ("= local.sizes", "= local.size", "local.size is not declared"),
    "unused local": ("= local.sizes", "= { a = 1 }", "local.sizes is never used"),
    "undeclared resource": ("in aws_security_group.this", "in aws_security_group.that", "aws_security_group.that is not declared"),
    "unknown attribute": ("= data.aws_vpc.this.id", "= data.aws_vpc.this.vpc", "data.aws_vpc.this has no attribute vpc"),
    "undescribed output": ('  description = "Their ids."\n', "", "output groups has no description"),
    "untyped variable": ("  type        = string\n", "", "variable name has no type"),
    "name": ('output "groups"', 'output "the-groups"', "'the-groups' is not in snake case"),
    "unknown type": ('"aws_autoscaling_group" "this"', '"aws_autoscaling_groups" "this"', "no schema is recorded for aws_autoscaling_groups"),
    "syntax": ("locals {", "locals {{", "not valid HCL"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_in_its_line(fault):
    """Each planted fault is reported once for what it is, with file and line."""
    sound, unsound, complaint = FAULTS[fault]
    assert SOUND.count(sound) == 1
    found = messages(SOUND.replace(sound, unsound))
    told = [one for one in found if complaint in one]
    assert len(told) == 1, found
    assert told[0].startswith("main.tf:")


def test_unused_variable_is_found_although_its_validation_names_it():
    """A validation is no use of a variable."""
    text = (
        SOUND.replace('"${var.name}-${each.key}"', '"x"')
        .replace("= var.name\n", '= "x"\n')
        .replace("= var.name }", '= "x" }')
    )
    assert [one for one in messages(text) if "variable name is never used" in one]


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("app.py", "def f(:\n", "app.py:1: is not valid Python"),
        ("config.json", "{", "is not valid JSON"),
        ("config.yaml", "a: [\n", "is not valid YAML"),
        ("kubernetes/eu/service.yaml", "apiVersion: v1\nkind: Service\n", "without metadata.name"),
        ("notes.md", "key AKIAABCDEFGHIJKLMNOP\n", "notes.md:1: holds what looks like an AWS access key"),
        ("notes.md", "a\u202eb\n", "notes.md:1: holds the control character U+202E"),
        ("notes.md", "a", "does not end with a line end"),
        ("../notes.md", "a\n", "is outside the directory"),
    ],
)
def test_other_files_are_checked_too(path, text, complaint):
    """Python, YAML, JSON, Kubernetes objects, secrets, odd characters and paths outside are looked at."""
    assert [one for one in findings({path: text}) if complaint in str(one)]


def test_unpinned_provider_and_missing_version_are_found():
    """A root says which Terraform and which provider it needs."""
    found = [str(one) for one in findings({"main.tf": SOUND})]
    assert "main.tf: the root does not say which version of Terraform it needs" in found
    assert any("the provider aws has no pinned version" in one for one in found)


def test_unsound_code_is_refused_with_its_findings():
    """The refusal names the place and says that nothing is written."""
    with pytest.raises(UnsoundCode, match=r"nothing is written:\n  main\.tf:") as refused:
        check_files({"versions.tf": VERSIONS, "main.tf": SOUND.replace("locals {", "locals {{")})
    assert refused.value.exit_code == 3
    check_files({"versions.tf": VERSIONS, "main.tf": SOUND})
