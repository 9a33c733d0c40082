"""EC2: what hosts and their alarms are made from."""

import pytest

from advisor.codegen.targets.aws_ec2 import _group
from codegen.plans import make_option, make_plan
from codegen.test_stack import stack_of


@pytest.mark.parametrize(
    ("changes", "gib"),
    [
        ({}, 140),  # g6.xlarge has 250 GB of NVMe: 100 GiB for the host and 40 for the image
        ({"weights_gib": 200.0, "precision": "int4"}, 380),  # too little: 1.2 × 200 besides
        ({"instance_type": "inf2.8xlarge", "accelerator": "Inferentia2", "engine": "vLLM-NxDI"}, 164),  # it has none
    ],
)
def test_root_volume_holds_what_the_own_disks_do_not(changes, gib):
    """Weights that disks of the machine are known to hold are not paid for twice."""
    stack = stack_of(make_plan(make_option(**changes)))
    assert _group(stack, stack.groups[0])["root_volume_gib"] == gib
