"""Blocks that keep what runs when an address changes."""

from advisor.codegen import Generated
from advisor.codegen.moved import with_moves
from advisor.codegen.writing import Action, last_generated, write_files

COMPUTE = """resource "aws_autoscaling_group" "this" {
  for_each = local.groups

  name_prefix = "${var.name}-${each.key}-"

  lifecycle {
    ignore_changes = [name_prefix]
  }
}

resource "aws_lb_target_group" "this" {
  for_each = local.backends

  name_prefix = "serve-"
}

resource "aws_cloudwatch_metric_alarm" "idle" {
  for_each = local.gpu_groups

  alarm_name = "x-${each.key}"
}

resource "aws_autoscaling_policy" "load" {
  for_each = local.groups

  name = "load-${each.key}"
}

locals {
  gpu_groups = { for key, group in local.groups : key => group if group.gpu }
}
"""


def fleet(groups, backends=("b",)):
    """The data of a root: key → (region, instance type, spot)."""
    entries = "".join(
        f'    {key} = {{\n      region = "{region}"\n      instance_types = ["{kind}"]\n      spot = {str(spot).lower()}\n      gpu = true\n    }}\n'
        for key, (region, kind, spot) in groups.items()
    )
    behind = "".join(f'    {key} = {{ region = "us-east-1" }}\n' for key in backends)
    return f"locals {{\n  groups = {{\n{entries}  }}\n  backends = {{\n{behind}  }}\n}}\n"


def root(groups, **more):
    """The files of a root."""
    return {"fleet.tf": fleet(groups, **more), "compute.tf": COMPUTE}


def moves(now, former):
    """What moves, as (from, to)."""
    text = with_moves(now, former, ("",)).get("moved.tf", "")
    froms = [line.split("= ")[1] for line in text.splitlines() if line.startswith("  from = ")]
    tos = [line.split("= ")[1] for line in text.splitlines() if line.startswith("  to   = ")]
    return list(zip(froms, tos, strict=True))


OLD = {"one": ("us-east-1", "g6.xlarge", False)}


SEVERAL = """resource "aws_cloudwatch_metric_alarm" "waiting_requests" {
  for_each = { for key, group in local.groups : key => group if group.gpu }

  alarm_name = "${var.name}-${each.key}-waiting-requests"
}

resource "aws_cloudwatch_metric_alarm" "ttft" {
  for_each = local.groups

  alarm_name = "${var.name}-${each.key}-ttft"
}
"""
ONE = """resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.watches

  alarm_name = "${var.name}-${each.key}"
}
"""


def test_alarms_that_became_one_resource_are_moved_where_they_keep_their_names():
    """The name tells which is which; else the removal of the old address would take the new alarm away."""
    data = fleet(OLD)
    assert moves({"fleet.tf": data, "a.tf": ONE}, {"fleet.tf": data, "a.tf": SEVERAL}) == [
        (f'aws_cloudwatch_metric_alarm.{old}["one"]', f'aws_cloudwatch_metric_alarm.this["one-{new}"]')
        for old, new in (("waiting_requests", "waiting-requests"), ("ttft", "ttft"))
    ]
    renamed = ONE.replace("${each.key}", "alarm-${each.key}")
    assert moves({"fleet.tf": data, "a.tf": renamed}, {"fleet.tf": data, "a.tf": SEVERAL}) == []


def test_nothing_moves_on_a_first_or_a_second_run():
    """There is no file of moves then."""
    assert "moved.tf" not in with_moves(root(OLD), {}, ("",))
    assert "moved.tf" not in with_moves(root(OLD), root(OLD), ("",))


def test_a_group_with_another_key_is_moved():
    """The group moves; alarm and policy, whose names hold the key, would be replaced anyway."""
    now = root({"two": ("us-east-1", "g6.2xlarge", False)})
    assert moves(now, root(OLD)) == [('aws_autoscaling_group.this["one"]', 'aws_autoscaling_group.this["two"]')]


def test_a_group_elsewhere_is_another_group():
    """What cannot be changed in place is not moved."""
    assert moves(root({"two": ("eu-west-1", "g6.xlarge", False)}), root(OLD)) == []


def test_a_group_that_is_paid_for_otherwise_is_moved():
    """Spot for on demand, where no other group of the place may be the one."""
    now = root({"two": ("us-east-1", "g6.xlarge", True)})
    assert moves(now, root(OLD)) == [('aws_autoscaling_group.this["one"]', 'aws_autoscaling_group.this["two"]')]


def test_a_name_that_holds_the_key_is_moved_where_the_successor_is_made_first():
    """The cloud then has both for a while."""
    first = COMPUTE.replace(
        'name = "load-${each.key}"\n',
        'name = "load-${each.key}"\n\n  lifecycle {\n    create_before_destroy = true\n  }\n',
    )
    now, former = root({"two": ("us-east-1", "g6.2xlarge", False)}), root(OLD)
    pairs = moves(now | {"compute.tf": first}, former | {"compute.tf": first})
    assert ('aws_autoscaling_policy.load["one"]', 'aws_autoscaling_policy.load["two"]') in pairs


def test_among_several_the_type_decides():
    """Two groups of a place with new keys are told apart by their types; what stays ambiguous does not move."""
    former = root({"a": ("us-east-1", "g6.xlarge", False), "b": ("us-east-1", "g5.xlarge", False)})
    now = root({"c": ("us-east-1", "g5.xlarge", False), "d": ("us-east-1", "g6.xlarge", False)})
    groups = [pair for pair in moves(now, former) if pair[0].startswith("aws_autoscaling_group")]
    assert groups == [
        ('aws_autoscaling_group.this["a"]', 'aws_autoscaling_group.this["d"]'),
        ('aws_autoscaling_group.this["b"]', 'aws_autoscaling_group.this["c"]'),
    ]
    unlike = root({"c": ("us-east-1", "g4dn.xlarge", False), "d": ("us-east-1", "p5.48xlarge", False)})
    assert moves(unlike, former) == []


def test_the_layout_of_version_0_1_becomes_one_for_each():
    """A resource that was alone is the one of the only group; with several groups nobody can know."""
    former = {
        "compute.tf": 'resource "aws_autoscaling_group" "this" {\n  name_prefix = "x"\n}\n\nresource "aws_lb_target_group" "this" {\n}\n'
    }
    assert moves(root(OLD), former) == [
        ("aws_autoscaling_group.this", 'aws_autoscaling_group.this["one"]'),
        ("aws_lb_target_group.this", 'aws_lb_target_group.this["b"]'),
    ]
    two = OLD | {"two": ("us-east-1", "g5.xlarge", False)}
    assert moves(root(two), former) == [("aws_lb_target_group.this", 'aws_lb_target_group.this["b"]')]


def test_moves_are_kept_and_never_go_in_circles(tmp_path):
    """A state that skipped a run still finds its way; a way back takes the place of the way there."""
    first, second, third = (
        root({key: ("us-east-1", kind, False)})
        for key, kind in (("a", "g6.xlarge"), ("b", "g6.2xlarge"), ("c", "g6.4xlarge"))
    )

    def run(files):
        write_files(Generated(files=files, roots=("",), targets=("ec2",), plan_digest="", warnings=()), tmp_path)
        text = last_generated(tmp_path).get("moved.tf", "")
        return [line for line in text.splitlines() if "aws_autoscaling_group" in line]

    assert run(first) == []
    assert len(run(second)) == 2
    assert len(run(third)) == 4
    before = (tmp_path / "moved.tf").read_bytes()
    assert len(run(third)) == 4
    assert (tmp_path / "moved.tf").read_bytes() == before
    assert len(run(first)) == 4
    text = (tmp_path / "moved.tf").read_text()
    pairs = [
        (a.split('"')[1], b.split('"')[1])
        for a, b in zip(
            *(iter([line for line in text.splitlines() if "aws_autoscaling_group" in line]),) * 2, strict=True
        )
    ]
    assert pairs == [("b", "c"), ("c", "a")]


def test_deleted_moves_do_not_come_back_and_new_ones_do(tmp_path):
    """A file that was deleted after an apply, or blocks of it, say nothing of moves that a later plan needs."""

    def run(*keys):
        groups = {
            key: (f"us-{place}-1", "g6.xlarge", False) for key, place in zip(keys, ("east", "west"), strict=False)
        }
        return write_files(Generated(root(groups), ("",), ("ec2",), "sha256:0", ()), tmp_path)

    place = tmp_path / "moved.tf"
    run("a")
    run("b")
    assert '["a"]' in place.read_text()
    place.unlink()
    assert "moved.tf" not in {change.path for change in run("b").changes}
    assert not place.exists()
    run("c")
    text = place.read_text()
    assert '["a"]' not in text
    assert 'from = aws_autoscaling_group.this["b"]' in text
    place.write_text(text.partition("\nmoved {")[0])
    run("d")
    assert place.read_text() == text.replace('"c"', '"d"').replace('"b"', '"c"')
    mine = "# Kept until March.\n" + place.read_text()
    place.write_text(mine)
    assert run("d").paths(Action.KEPT) == ("moved.tf",)
    assert place.read_text() == mine


def test_keys_are_quoted():
    """A key is data, whatever it holds."""
    now = root({'"x$${y}"': ("us-east-1", "g6.2xlarge", False)})
    assert moves(now, root(OLD))[0][1] == 'aws_autoscaling_group.this["x$${y}"]'


def test_each_root_has_its_own():
    """Folders of several clouds do not see each other."""
    former = {f"aws/{path}": text for path, text in root(OLD).items()} | {"gcp/main.tf": ""}
    now = {f"aws/{path}": text for path, text in root({"two": ("us-east-1", "g6.2xlarge", False)}).items()} | {
        "gcp/main.tf": ""
    }
    assert [path for path in with_moves(now, former, ("aws", "gcp")) if path.endswith("moved.tf")] == ["aws/moved.tf"]


RULES = """resource "azurerm_network_security_rule" "{label}" {{
  for_each = local.{of}

  name = {name}
}}
"""


def test_rules_of_each_region_that_became_one_table_are_moved():
    """Their names at Azure stay: a new rule beside the old one would be refused, and the old one's removal cut hosts off."""
    data = "locals {\n  regions = {\n    eastus  = { weight = 1 }\n    westus2 = { weight = 1 }\n  }\n}\n"
    labels = {"clients": '"clients"', "nothing_else_in": '"nothing-else-in"', "own": '"own"'}
    old = "\n".join(RULES.format(label=label, of="regions", name=name) for label, name in labels.items())
    new = RULES.format(label="this", of="rules_of", name="each.value.name")
    kind = "azurerm_network_security_rule"
    assert moves({"fleet.tf": data, "network.tf": new}, {"fleet.tf": data, "network.tf": old}) == [
        (f'{kind}.{label}["{region}"]', f'{kind}.this["{region}-{label.replace("_", "-")}"]')
        for label in ("clients", "nothing_else_in")
        for region in ("eastus", "westus2")
    ]
