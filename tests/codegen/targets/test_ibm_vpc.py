"""Instance groups of IBM Cloud: what they serve, what they refuse, and what becomes of a plan."""

import re

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.errors import InputError, NotDeployable
from advisor.pipeline import recommend
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.ibm_vpc import gaudi, h100

HERE = Wanted(target="ibm-vpc")
STEADY = {"instances": (2, 2)}
HALF = {"request_shares": (0.5, 0.5)}


def groups_of(files):
    """Groups of the plan, as the code has them."""
    (data,) = read_hcl(files["fleet.tf"], "fleet.tf").body.of("locals")
    return literal(data.attributes["groups"].value.node)


REFUSED = {
    "two regions": ((gaudi(**HALF), gaudi(region="eu-de", **HALF)), Policy.SCHEDULED, "works in one region"),
    "two kinds": ((gaudi(**HALF), h100(**HALF)), Policy.SCHEDULED, "all requests to one group"),
    "by load": ((gaudi(),), Policy.REACTIVE, "none of which is the load of a model"),
    "empty at night": ((gaudi(instances=(0, 2)),), Policy.SCHEDULED, "no scheduled size of 0"),
    "empty in a zone at night": ((gaudi(instances=(1, 2)),), Policy.SCHEDULED, "which the plan has in some zone"),
    "too many": ((gaudi(instances=(2, 51)),), Policy.SCHEDULED, "takes 50 hosts of a group, and the plan has 51"),
    "no room": ((gaudi(disk_gib=308, **STEADY),), Policy.STATIC, "308 GiB, and IBM's have 250 at most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_group_cannot_serve_is_refused_with_the_other_target(case):
    """The reason with its numbers, and clusters as the way out: they run every plan of IBM's machines."""
    groups, policy, why = REFUSED[case]
    plan = make_fleet_plan(*groups, policy=policy)
    with pytest.raises(InputError, match=why) as refused:
        generate(plan, wanted=HERE)
    assert refused.value.hint == "try --target kubernetes"
    assert generate(plan).targets == ("kubernetes",)


def test_spot_is_refused_before_any_target():
    """IBM sells it, to accounts that it approved."""
    with pytest.raises(NotDeployable, match="only accounts that it approved start spot"):
        generate(make_fleet_plan(h100(purchase="spot")), wanted=HERE)


def test_a_program_is_refused_with_the_target_that_has_one():
    """IBM publishes no Python package of its provider."""
    with pytest.raises(InputError, match="not written in python") as refused:
        generate(make_fleet_plan(gaudi()), Language.PYTHON, HERE)
    assert refused.value.hint == "it is in terraform; in python try --target kubernetes"


def test_an_unknown_target_names_both():
    """Its own first."""
    with pytest.raises(InputError, match="'mig' on ibm") as refused:
        generate(make_fleet_plan(gaudi()), wanted=Wanted(target="mig"))
    assert refused.value.hint == "its targets: ibm-vpc, kubernetes"


def test_sizes_of_the_plan_are_actions_at_its_hours():
    """Four by day and two at night, in UTC, and the number of a group that follows the clock is left to them."""
    files = generate(make_fleet_plan(gaudi()), wanted=HERE).files
    (group,) = groups_of(files).values()
    assert sorted(size["instances"] for size in group["schedule"].values()) == [2, 4]
    assert "ignore_changes = [instance_count]" in files["compute.tf"]
    steady = generate(make_fleet_plan(gaudi(**STEADY), policy=Policy.STATIC), wanted=HERE).files
    assert "scaling.tf" not in steady
    assert "ignore_changes" not in steady["compute.tf"]


@pytest.mark.parametrize(
    ("kind", "devices", "needs"), [(gaudi, "--runtime=habana", "habanalabs"), (h100, "--gpus=all", "NVIDIA")]
)
def test_the_container_gets_its_accelerators_and_the_image_is_told_to_have_their_driver(kind, devices, needs):
    """Gaudi and NVIDIA by the same code."""
    files = generate(make_fleet_plan(kind()), wanted=HERE).files
    assert devices in files["fleet.tf"]
    assert needs in files["README.md"]


def test_the_readme_says_what_is_not_made_and_how_hosts_are_replaced():
    """No alarms, no budget, no prices beside the machines; and the commands for another template."""
    readme = " ".join(generate(make_fleet_plan(gaudi()), wanted=HERE).files["README.md"].split())
    for part in ("no alarms and no budget", "no prices are known of boot volumes", "instance-group-membership-delete"):
        assert part in readme


def test_the_readme_says_what_nobody_has_seen_yet():
    """Not tried; no documented time to shut down, with the hour after which others remove a dead host; tokens."""
    readme = " ".join(generate(make_fleet_plan(gaudi()), wanted=HERE).files["README.md"].split())
    for part in (
        "None of this was tried on IBM Cloud yet",
        "No such time is documented",
        "take it out of the pool 3600 seconds later",
        "the metadata service gives it the profile's tokens too",
    ):
        assert part in readme


@pytest.mark.parametrize(
    ("plan", "arrives"),
    [
        (make_fleet_plan(gaudi()), "one more from its next size on"),
        (make_fleet_plan(gaudi(instances=(1, 1)), policy=Policy.STATIC), "starts one more, from the new template"),
    ],
)
def test_hosts_are_replaced_with_one_more_in_its_quota(plan, arrives):
    """The one more comes before the first goes, in groups and schedules alike, and the quota counts it."""
    files = generate(plan, wanted=HERE).files
    (group,) = groups_of(files).values()
    readme = " ".join(files["README.md"].split())
    steps = ["surge_instances = 1", arrives, "until it is healthy", "membership-delete", "surge_instances = 0"]
    places = [readme.index(step) for step in steps]
    assert places == sorted(places)
    more = group["instances"] + 1
    assert f"{8 * more} in us-east ({more} × 8), with those that a replacement starts" in readme
    assert "group.instances + var.surge_instances" in files["compute.tf"]
    assert "size.instances + var.surge_instances" in files.get("scaling.tf", "size.instances + var.surge_instances")


def test_nothing_of_the_hosts_is_open_but_to_the_load_balancer():
    """In from its group alone; out over HTTPS, and to IBM's servers of names and time."""
    network = SCENARIOS["ibm-h100"]()
    text = generate(network.plan, wanted=network.wanted).files["network.tf"]
    rules = re.findall(r'resource "ibm_is_security_group_rule" "(\w+)" \{(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    remotes = {name: re.search(r"remote += (.*)", body)[1] for name, body in rules}
    assert remotes == {
        "clients_in": "each.value",
        "entrance_out": "ibm_is_security_group.hosts.id",
        "entrance_in": "ibm_is_security_group.entrance.id",
        "https_out": '"0.0.0.0/0"',
        "names_and_time_out": '"161.26.0.0/16"',
    }


@pytest.mark.parametrize(
    ("machine", "region"), [("gx3d-160x1792x8gaudi3", "us-east"), ("gx3d-160x1792x8h100", "eu-de")]
)
def test_a_workload_becomes_code(machine, region, tmp_path):
    """From demand to the group, whose weights lie on the machine's own disks."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        "name: chat\nmodel: meta-llama/Llama-3.3-70B-Instruct\nslo: {ttft_p95: 2s, tpot_p95: 60ms}\n"
        "demand:\n  declared: {requests_per_second: 4, input_tokens: 1000, output_tokens: 200}\n"
        f"providers: [ibm]\nregions: [{region}]\ninstance_types: [{machine}]\npurchase: [on_demand]\nas_of: 2026-11-28\n"
    )
    generated = generate(recommend(path), wanted=HERE)
    (group,) = groups_of(generated.files).values()
    assert generated.targets == ("ibm-vpc",)
    assert (group["instance_type"], group["region"], group["disk_gib"]) == (machine, region, 140)
