"""Machines of the nights and others of the days: weights, sizes and targets of groups that take turns."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from advisor.codegen import Wanted
from advisor.codegen.model import fewest_at_once, take_turns
from advisor.codegen.quotas import quotas_needed
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import target_of
from advisor.codegen.targets.gcp_values import google_groups
from advisor.errors import InputError
from codegen.plans import make_fleet, make_fleet_plan, make_group

PLACES = {
    "aws": ({"instance_type": "g6.xlarge"}, {"instance_type": "p5.4xlarge", "accelerator": "H100-SXM"}),
    "azure": (
        {"instance_type": "Standard_NC24ads_A100_v4", "accelerator": "A100-80GB-PCIe"},
        {"instance_type": "Standard_NC40ads_H100_v5", "accelerator": "H100-NVL"},
    ),
    "gcp": (
        {"instance_type": "g2-standard-4"},
        {"instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"},
    ),
}
REGIONS = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}


def turns(provider="aws", night=(1, 0), day=(0, 1), shares=((1.0, 0.0), (0.0, 1.0))):
    """A small machine at night, which carries 1 request per second, and one by day, which carries 4."""
    place = {"provider": provider, "region": REGIONS[provider]}
    small, large = PLACES[provider]
    return (
        make_group(
            **place, **small, instances=night, request_shares=shares[0], planned_requests_per_second_per_instance=1.0
        ),
        make_group(
            **place, **large, instances=day, request_shares=shares[1], planned_requests_per_second_per_instance=4.0
        ),
    )


def stack_of(*groups):
    """The only stack of a plan of these groups."""
    plan = make_fleet_plan(*groups, zones=1)
    (stack,) = stacks_of(plan, choose(plan, Wanted(), lambda _choice: None), Wanted())
    return stack


def weights_of(*groups):
    """Weight of each group for a router, in their order."""
    return list(make_fleet(*groups).router_weights.values())


def test_the_router_weighs_what_runs_at_night_alone_by_what_it_carries():
    """A quarter of what the machine of the days carries; beside one that runs at all hours by its share there."""
    assert weights_of(*turns()) == [0.25, 1.0]
    assert weights_of(*turns(night=(2, 0), day=(1, 1), shares=((0.6, 0.0), (0.4, 1.0)))) == pytest.approx([1.5, 1.0])
    assert weights_of(*turns(night=(1, 1), shares=((1.0, 0.2), (0.0, 0.8)))) == [0.2, 0.8]
    night, day = stack_of(*turns()).groups
    assert (night.weight, day.weight) == (200, 800)


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp"])
def test_one_is_up_before_the_other_goes(provider):
    """Ordered 12 minutes ahead of 07:00 and 19:00, the other goes on the hour, so that in no minute there is none."""
    stack = stack_of(*turns(provider))
    night, day = sorted(stack.groups, key=lambda group: group.weight)

    assert {(size.hour, size.minute, size.instances) for size in night.schedule} == {(7, 0, 0), (18, 48, 1)}
    assert {(size.hour, size.minute, size.instances) for size in day.schedule} == {(6, 48, 1), (19, 0, 0)}
    assert (night.min_instances, day.min_instances, fewest_at_once(stack.groups)) == (0, 0, 1)
    assert take_turns([night], [day])
    assert not take_turns([night], [night])
    assert not take_turns(*([group] for group in stack_of(*turns(provider, night=(1, 1))).groups))


def test_a_quota_has_to_hold_both_while_one_takes_over():
    """Each runs alone at its hours; at the hand-over both do, each with the one that a replacement starts."""
    night, day = turns()
    stack = stack_of(night, replace(day, instance_type="g6e.xlarge", accelerator="L40S"))
    (quota,) = quotas_needed("aws", "ec2", stack.groups)
    assert quota.needed == "16 in us-east-1 (2 × 4 + 2 × 4)"


def test_googles_groups_that_take_turns_keep_no_instance_beside_the_plan():
    """Each falls to the plan's own minimum; hosts that are all empty at once are nodes of a cluster."""
    assert {group.min_instances for group in google_groups(stack_of(*turns("gcp")))} == {0}


@pytest.mark.parametrize(
    ("provider", "target", "is_able"),
    [("aws", "ec2", True), ("azure", "vm-scale-set", True), ("gcp", "mig", True), ("aws", "eks", False),
     ("azure", "aks", False), ("gcp", "gke", False), ("aws", "sagemaker", False)],
)  # fmt: skip
def test_targets_that_send_requests_to_who_is_down_refuse_turns(provider, target, is_able):
    """Routes of clusters keep the weight of a backend without pods; a variant of an endpoint keeps one instance."""
    stack = replace(stack_of(*turns(provider)), target=target)
    with nullcontext() if is_able else pytest.raises(InputError, match=r"take turns|goes down to no instance"):
        target_of(stack)
