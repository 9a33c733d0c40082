"""A resource of a Terraform template becomes the call of Pulumi's class that makes the same."""

import ast
import subprocess
import sys
from types import SimpleNamespace

import pytest

from advisor.codegen.pulumi_calls import bodies_of, local_value, pulumi_call
from advisor.codegen.python_literals import laid_out

ROOT = """\
locals {
  ports = { clients = { from = "any", port = local.client_port } }
}

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_28:An internal load balancer has no need of WAF
  for_each = local.regions

  region          = each.key
  name            = "lb-${var.name}" # "internal-" may not come first
  security_groups = [aws_security_group.host[each.key].id]
  idle_timeout    = var.slow ? 600 : 60
  tags            = local.tags

  # Where requests are told of.
  access_logs {
    bucket  = var.networks[each.key].bucket
    enabled = true
  }

  lifecycle { create_before_destroy = true }
}

resource "aws_iam_role" "host" {
  name_prefix = "${var.name}-"

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.${data.aws_partition.current.dns_suffix}" } }]
  })
}

resource "aws_lb_listener" "https" {
  for_each = local.regions

  default_action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = { for key, backend in local.backends : key => backend if backend.region == each.key }

        content { weight = min(target_group.value.weight, 999) }
      }
    }
  }
}

resource "aws_autoscaling_group" "this" {
  for_each = local.groups

  dynamic "warm_pool" {
    for_each = each.value.warm_pool ? [each.value.instances] : []

    content {
      count                       = 1
      max_group_prepared_capacity = warm_pool.value
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Name = var.name })

    content {
      key   = tag.key
      value = tag.value
    }
  }
}
"""


def call(address, *names, root=ROOT, **changed):
    """The call, as a statement of a program."""
    bodies = bodies_of({"main.tf": root})
    return laid_out(f"made = {pulumi_call(lambda: bodies, address, 'context.named(region)', *names, **changed)}\n")


def test_resource_becomes_a_call():
    """Arguments keep their order and comments; tags, and what is no argument in Pulumi, are left out."""
    assert call("aws_lb.this", {"aws_security_group.host[]": "inner"}) == (
        "made = aws.lb.LoadBalancer(\n"
        "    context.named(region),\n"
        "    region=region,\n"
        '    name=f"lb-{context.settings.name}",  # "internal-" may not come first\n'
        "    security_groups=[inner.id],\n"
        "    idle_timeout=600 if context.settings.slow else 60,\n"
        "    # Where requests are told of.\n"
        '    access_logs={"bucket": context.settings.networks[region].bucket, "enabled": True},\n'
        "    opts=context.options(),\n"
        ")\n"
    )


def test_policy_waits_for_what_is_known_later():
    """A text with outputs in it is formatted once they are known, a policy is made by the program's own function."""
    assert call("aws_iam_role.host") == (
        "made = aws.iam.Role(\n"
        "    context.named(region),\n"
        '    name_prefix=f"{context.settings.name}-",\n'
        "    assume_role_policy=document(\n"
        '        {"Effect": "Allow", "Principal": {"Service": pulumi.Output.format("ec2.{0}", context.dns_suffix)}},\n'
        "    ),\n"
        "    opts=context.options(),\n"
        ")\n"
    )


def test_text_keeps_its_characters():
    """Escapes of Terraform become those of Python, and no character of a text is code."""
    root = 'resource "aws_lb" "this" {\n  name = "a\\"\\n\\u00e9 $${x} {y} ${var.name}"\n}\n'
    text = call("aws_lb.this", root=root)
    (name,) = (word.value for word in ast.parse(text).body[0].value.keywords if word.arg == "name")
    assert [part.value for part in name.values if isinstance(part, ast.Constant)] == ['a"\né ${x} {y} ']


def test_repeated_block_becomes_a_comprehension():
    """Over the same items, under the same condition."""
    shares = (
        '"target_groups": [\n'
        '                    {"weight": min(backend.weight, 999)}\n'
        "                    for key, backend in context.fleet.backends.items()\n"
        "                    if backend.region == region\n"
        "                ],"
    )
    assert shares in call("aws_lb_listener.https")


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_list_without_what_is_absent_is_laid_out_as_it_is_long(count):
    """As ``ruff format`` does: on the line, with one for each part, or also for each entry."""
    names = [f"{letter * 12}_secret" for letter in "abcde"[:count]]
    root = 'resource "aws_lb" "this" {\n  subnets = compact([' + ", ".join(f"var.{name}" for name in names) + "])\n}\n"
    code = call("aws_lb.this", {f"var.{name}": name for name in names}, root=root)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "--stdin-filename=x.py", "-"]
    assert subprocess.run(command, input=code.encode(), capture_output=True, check=True).stdout.decode() == code


def test_block_that_may_be_absent_becomes_a_condition():
    """None stands for no block; what runs over a mapping knows key and value."""
    text = call("aws_autoscaling_group.this")
    assert (
        'warm_pool={"count": 1, "max_group_prepared_capacity": group.instances} if group.warm_pool else None,' in text
    )
    assert 'for tag_key, tag in {**context.tags, "Name": context.settings.name}.items()' in text
    ast.parse(text)


def test_template_says_what_differs():
    """An argument, one of a nested block, and one that is left out."""
    names = {"aws_security_group.host[]": "inner", ".bucket": "logs"}
    text = call("aws_lb.this", names, idle_timeout="later", security_groups=None, more="1", opts="options")
    assert "    idle_timeout=later,\n" in text
    assert '{"bucket": logs, "enabled": True}' in text
    assert "security_groups" not in text
    assert text.endswith("    more=1,\n    opts=options,\n)\n")


def test_local_becomes_a_literal():
    """With the names of the program in it."""
    bodies = bodies_of({"main.tf": ROOT})
    text = laid_out(f"PORTS = {local_value(lambda: bodies, 'ports')}\n")
    assert text == 'PORTS = {\n    "clients": {"from": "any", "port": CLIENT_PORT},\n}\n'


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("local.other", "no name for local.other"),
        ("cidrsubnet(var.range, 8, 1)", r"cidrsubnet\(\) is not translated"),
        ("substr(var.range, 2, 3)", r"substr\(\) from 2 on is not translated"),
        ('try(var.ranges["a"], "b")', r'try\(\) of context.settings.ranges\["a"\] is not translated'),
    ],
)
def test_what_has_no_translation_is_an_error(value, told):
    """Nothing is guessed: the template has to say it."""
    root = f'resource "aws_lb" "this" {{\n  name = {value}\n}}\n'
    with pytest.raises(ValueError, match=rf"aws_lb.this as Pulumi: {told}; give the argument in the template"):
        call("aws_lb.this", root=root)


_BOTH = [(first, second) for first in (True, False) for second in (True, False)]


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ('!var.a && var.b ? "x" : "y"', lambda a, b: "x" if not a and b else "y"),
        ('!(var.a && var.b) ? "x" : "y"', lambda a, b: "x" if not (a and b) else "y"),
        ("var.a ? var.b ? 1 : 2 : 3", lambda a, b: (1 if b else 2) if a else 3),
        ("var.a ? 1 : var.b ? 2 : 3", lambda a, b: 1 if a else 2 if b else 3),
        ("var.a ? var.a : var.b ? 1 : 2", lambda a, b: a or (1 if b else 2)),
        ("var.a || var.b ? 1 : 2", lambda a, b: 1 if a or b else 2),
        ("!var.a || var.b ? 1 : 2", lambda a, b: 1 if not a or b else 2),
    ],
)
def test_condition_means_the_same(expression, meant):
    """Whatever its parts are, and however they are nested."""
    root = f'resource "aws_lb" "this" {{\n  name = {expression}\n}}\n'
    (name,) = (
        word.value for word in ast.parse(call("aws_lb.this", root=root)).body[0].value.keywords if word.arg == "name"
    )
    code = compile(ast.Expression(name), "name", "eval")
    for a, b in _BOTH:
        settings = SimpleNamespace(settings=SimpleNamespace(a=a, b=b))
        assert eval(code, {"context": settings}) == meant(a, b)


def test_resource_that_the_root_lacks_is_an_error():
    """Both languages make the same resources."""
    with pytest.raises(ValueError, match=r"no template of the root has aws_lb.other"):
        call("aws_lb.other")
