"""The comparison of the two languages is no rubber stamp: each planted difference is told, and nothing else."""

import pytest

from iac import parity

GROUP = {
    "region": "us-east-1",
    "max_size": 3,
    "tag": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
    "launch_template": [{"id": None, "name": None}],
    "warm_pool": [],
}
PLAN = {
    "resource_changes": [
        {
            "mode": "managed",
            "type": "aws_autoscaling_group",
            "address": 'aws_autoscaling_group.this["x"]',
            "change": {"after": GROUP, "after_unknown": {"arn": True, "launch_template": [{"id": True}]}},
        }
    ],
    "configuration": {"root_module": {"resources": []}},
}


def program(**changes):
    """What a program registers that describes the same, but for the changes."""
    inputs = {
        "region": "us-east-1",
        "maxSize": 3.0,
        "tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}],
        "launchTemplate": {"id": "made-up"},
    }
    registered = {"type": "aws:autoscaling/group:Group", "name": "x", "inputs": inputs | changes}
    return {"resources": [registered, {"type": "inference:index:Deployment", "name": "x", "inputs": {}}], "calls": []}


def test_same_resource_in_both_spellings_has_no_difference():
    """Case, plurals, single blocks, order, what is empty and what is unknown do not count."""
    assert parity.differences(PLAN, program()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"maxSize": 4.0}, "max_size is 3.0 in Terraform, 4.0 in Pulumi"),
        ({"region": None}, "region is 'us-east-1' in Terraform, None in Pulumi"),
        ({"minSize": 1.0}, "min_size is None in Terraform, 1.0 in Pulumi"),
        ({"tags": [{"key": "a", "value": "1"}]}, "tag is "),
        ({"launchTemplate": {"id": "made-up", "name": "other"}}, "launch_template.name is None in Terraform, 'other'"),
        ({"warmPool": {"poolState": "Stopped"}}, "warm_pool is None in Terraform"),
    ],
)
def test_planted_difference_is_told(change, told):
    """The line names the argument and both values."""
    (line,) = parity.differences(PLAN, program(**change))
    assert told in line


def test_resource_of_one_side_alone_is_told():
    """Counts differ, and the names are given."""
    (line,) = parity.differences(PLAN, {"resources": [], "calls": []})
    assert line.startswith("aws_autoscaling_group: 1 in Terraform, 0 in Pulumi")


def test_type_without_a_like_asks_for_one():
    """A token that the table does not hold is no match for anything."""
    unknown = {"type": "aws:made/up:Up", "name": "x", "inputs": {"a": 1}}
    with pytest.raises(KeyError, match="parity_types"):
        parity.differences(PLAN, {"resources": [unknown], "calls": []})
