"""Idle machines: which of them the command stops."""

from dataclasses import replace
from decimal import Decimal

import pytest

from advisor.audit.findings.context import Context
from advisor.audit.findings.stopping import stopping_commands
from advisor.audit.ledger import Question
from advisor.audit.run import Inputs, audited
from advisor.audit.values import ComputeSplit, HostCost, Utilisation
from advisor.catalog import load_catalog
from audit.bills import Charge, focus_row, hours, write_csv
from audit.commands import aws_parsed, parts

WEEK = 24 * 7
GROUP = "aws:autoscaling:groupName"
AZURE = "/subscriptions/5d/resourceGroups/{}/providers/Microsoft.Compute/{}"
NO_DISK, LOCAL_DISK = "p3.2xlarge", "g5.12xlarge"
USE = Utilisation("host", 0.0, 0.0, 1.0, (0.0, WEEK * 3600.0), 1, ("idle",), None)


def idle_host(resource, instance_type=NO_DISK, **changes):
    """A machine that did nothing for a week."""
    host = HostCost(resource, instance_type, "aws", "us-east-1", Decimal(WEEK), {}, USE, 1.0)
    return replace(host, **changes)


def machine(resource, tags=None, count=WEEK, instance_type=NO_DISK, **columns):
    """Rows of a machine's hours."""
    charges = hours(Charge(resource=resource, tags=tags or {}), count)
    meter = {"SkuMeter": f"USE1-BoxUsage:{instance_type}"}
    return [{**focus_row(charge), **meter, **columns} for charge in charges]


def command_of(tmp_path, rows, hosts):
    """Command that acts on idle machines of a bill; AWS's are read by the models of its API."""
    bill = write_csv(tmp_path / "bill.csv", rows)
    with audited(Inputs((str(bill),), question=Question())) as opened:
        context = Context(opened.ledger, load_catalog(), ComputeSplit({}, (), ()), (), None, (), ())
        look, act = stopping_commands(context, hosts)
    for words in parts(f"{look}; {act}" if act else look) if look else ():
        if words[0] == "aws":
            aws_parsed(words)
    return act


def test_a_machine_without_group_and_local_disk_stops(tmp_path):
    """The bill shows the group of another machine, so that it would show that of this one."""
    rows = [*machine("i-0aaa"), *machine("i-0bbb", {GROUP: "pool"})]

    assert command_of(tmp_path, rows, [idle_host("i-0aaa")]) == (
        "aws ec2 stop-instances --region us-east-1 --instance-ids i-0aaa"
    )


@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        ({"PricingCategory": "Dynamic"}, {}),
        ({"PricingCategory": "Committed"}, {}),
        ({"instance_type": LOCAL_DISK}, {"instance_type": LOCAL_DISK}),
        ({"tags": {"eks:cluster-name": "prod"}}, {}),
        ({}, {"observed_billed_ratio": 0.5}),
        ({}, {"use": replace(USE, seconds=(0.0, 24 * 3600.0))}),
    ],
)
def test_what_stopping_would_lose_or_not_save_is_left_alone(tmp_path, columns, changes):
    """Spot, committed, on a local disk, in a cluster, or seen too little."""
    rows = [*machine("i-0aaa", **columns), *machine("i-0bbb", {GROUP: "pool"})]

    assert command_of(tmp_path, rows, [idle_host("i-0aaa", **changes)]) is None


def test_a_bill_that_shows_no_groups_stops_nothing(tmp_path):
    """Tags of AWS's groups are in a bill only where they are activated: without any, every machine may have one."""
    assert command_of(tmp_path, machine("i-0aaa"), [idle_host("i-0aaa")]) is None


@pytest.mark.parametrize("group", ["pool", "my pool", "$(id)"])
def test_members_of_a_group_are_left_alone(tmp_path, group):
    """The group would start another in place of one that stops, and ends one of its own choice when it gets smaller."""
    rows = [row for name in ("i-0a", "i-0b") for row in machine(name, {GROUP: group})]

    assert command_of(tmp_path, rows, [idle_host("i-0a"), idle_host("i-0b")]) is None


@pytest.mark.parametrize(
    ("provider", "resource", "instance_type", "is_stopped"),
    [
        ("gcp", "projects/p/zones/us-central1-a/instances/gpu-one", "g2-standard-8", True),
        ("gcp", "projects/p/zones/us-central1-a/instances/pool-x7f2", "g2-standard-8", False),
        ("gcp", "projects/p/zones/us-central1-a/instances/gpu-one", "a3-highgpu-8g", False),
        ("gcp", "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/8123456789012345678", "g2-standard-8", False),
        ("azure", AZURE.format("ai", "virtualMachines/gpu"), "Standard_NC4as_T4_v3", True),
        ("azure", AZURE.format("ai", "virtualMachines/flexset_3f2a91bc"), "Standard_NC4as_T4_v3", False),
        ("azure", AZURE.format("ai", "virtualMachineScaleSets/chat/virtualMachines/3"), "Standard_NC4as_T4_v3", False),
        ("azure", AZURE.format("MC_a_b_c", "virtualMachineScaleSets/aks/virtualMachines/0"), "Standard_NC4as_T4_v3", False),
    ],
)  # fmt: skip
def test_other_clouds_tell_groups_by_their_names(tmp_path, provider, resource, instance_type, is_stopped):
    """A machine named as a group or a cluster names its own, or with a local disk, runs on."""
    names = {"gcp": "Google Cloud", "azure": "Microsoft"}
    rows = machine(resource, ProviderName=names[provider])
    host = idle_host(resource, instance_type, provider=provider)

    assert (command_of(tmp_path, rows, [host]) is not None) == is_stopped
