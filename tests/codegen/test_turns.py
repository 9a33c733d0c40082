"""Machines of the nights and others of the days: weights, sizes and targets of groups that take turns."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from advisor.codegen import Wanted
from advisor.codegen.cut_over_words import described
from advisor.codegen.model import fewest_at_once, take_turns
from advisor.codegen.quotas import quotas_needed
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import target_of
from advisor.codegen.targets.gcp_values import ABSENT_TITLE, google_groups, metric_alerts
from advisor.codegen.turns import lingering, serving_minutes
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
    (night_type, day_type) = (group.instance_type for group in stack.groups)
    assert night_type != day_type
    assert quota.needed == f"16 in us-east-1 (2 {night_type} × 4 + 2 {day_type} × 4)"


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


def lingering_of(*groups):
    """Times, days and sizes of a plan's groups on Google's managed groups, those of the smaller machine first."""
    stack = stack_of(*groups)
    night, day = sorted(stack.groups, key=lambda group: group.weight)
    return [
        [(*divmod(size.hour * 60 + size.minute, 60), size.instances) for size in lingering(stack, group)]
        for group in (night, day)
    ]


def test_googles_groups_go_once_successors_have_had_twice_the_time_of_a_start():
    """12 minutes after the hour, 24 after the order; two that become one for another machine wait as long."""
    assert lingering_of(*turns("gcp")) == [[(7, 12, 0), (18, 48, 1)], [(6, 48, 1), (19, 12, 0)]]
    shrinks = turns("gcp", night=(2, 1), shares=((1.0, 0.2), (0.0, 0.8)))
    assert lingering_of(*shrinks)[0] == [(7, 12, 1), (18, 48, 2)]
    steady = turns("gcp", night=(1, 2), day=(1, 2), shares=((0.5, 0.5), (0.5, 0.5)))
    assert lingering_of(*steady) == [[(6, 48, 2), (19, 0, 1)]] * 2
    stack = stack_of(*turns("gcp"))
    (window,) = next(group.windows for group in google_groups(stack) if group.group.weight == 800)
    assert (window.cron, window.duration_seconds) == ("48 6 * * 1,2,3,4,5", (12 * 60 + 24) * 60)


def test_a_rest_that_would_be_shorter_than_a_start_is_left_out():
    """Of a night that begins 20 minutes after the day's end nothing is left once the day lingers for 12."""
    stack = stack_of(*turns("gcp"))
    night, day = sorted(stack.groups, key=lambda group: group.weight)
    early = replace(night, schedule=(night.schedule[0], replace(night.schedule[1], hour=7, minute=20)))
    assert [size.instances for size in lingering(replace(stack, groups=(early, day)), early)] == [1]


def test_google_tells_of_a_group_without_a_host_at_its_hours():
    """By the minutes of the week in which the plan has one that has had its start; steady groups have their own alarm."""
    stack = stack_of(*turns("gcp"))
    night, day = sorted(stack.groups, key=lambda group: group.weight)
    assert serving_minutes(day)[0] == (7 * 60, 19 * 60)
    assert [serving_minutes(night)[at] for at in (0, -1)] == [(0, 7 * 60), (4 * 1440 + 19 * 60, 7 * 1440)]
    alerts = {title: alert for title, alert in metric_alerts(stack).items() if title.endswith(ABSENT_TITLE)}
    assert len(alerts) == 2
    assert f">= {7 * 3600} < {19 * 3600}" in alerts[f"{day.key}/{ABSENT_TITLE}"]["query"]
    assert not any(
        title.endswith(ABSENT_TITLE) for title in metric_alerts(stack_of(*turns("gcp", night=(1, 1), day=(1, 1))))
    )


def test_google_tells_of_hosts_outside_the_hours_of_the_plan():
    """Whoever may be empty is watched by its windows, as long as it lingers; a start passes until it is called stray."""
    stack = stack_of(*turns("gcp"))
    _, day = sorted(stack.groups, key=lambda group: group.weight)
    alert = metric_alerts(stack)[f"{day.key}/hosts-outside-hours"]
    assert alert["query"].startswith(
        f'(count(up{{job="inference",deployment="NAME",group="{day.key}"}}) > 0) unless on()'
    )
    assert f">= {(6 * 60 + 48) * 60} < {(19 * 60 + 12) * 60}" in alert["query"]
    assert alert["seconds"] == 1800 + 12 * 60
    alone = stack_of(turns("gcp", night=(0, 0))[1])
    assert {title.partition("/")[2] for title in metric_alerts(alone)} >= {"hosts-outside-hours"}


def test_a_cut_over_names_the_hours_of_a_group_that_rests_at_others():
    """Who looks for its instances outside them would take the rest for a failure."""
    stack = stack_of(*turns())
    night, day = sorted(stack.groups, key=lambda group: group.weight)
    assert described(day, stack).endswith(
        "it runs Mon, Tue, Wed, Thu, Fri 07:00 to 19:00 UTC, and has no instance at other hours"
    )
    assert "Mon 00:00 to 07:00" in described(night, stack)
    assert "Mon, Tue, Wed, Thu 19:00 to 07:00 and Fri 19:00 to Mon 00:00 UTC" in described(night, stack)
    assert "runs" not in described(stack_of(*turns(night=(1, 1))).groups[0], stack_of(*turns(night=(1, 1))))
