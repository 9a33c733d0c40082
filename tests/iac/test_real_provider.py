"""The real AWS provider (3.39, the newest to be had offline) applies a generated module to a simulated AWS."""

import json

import pytest

from iac import harness
from iac.downlevel import downlevel
from iac.modules import needs, write_root

GROUP = "us-east-1-g6-xlarge-fp8-tp1-spot"

pytestmark = pytest.mark.slow


@pytest.fixture
def cloud():
    """Address of an empty simulated AWS."""
    needs("tools")
    with harness.moto_server() as url:
        yield url


def look(url: str):
    """What exists there now."""
    return harness.in_tools("describe_moto.py", url, "list").ok().json


@pytest.fixture
def start(cloud, tmp_path):
    """Makes a copy of a scenario's module in the words of 3.39, initialised against the simulated AWS."""

    def begin(name: str) -> harness.Terraform:
        module = write_root(name, tmp_path / name)
        for path in module.glob("*.tf"):
            path.write_text(downlevel(path.read_text()))
        (module / "moto_override.tf").write_text(harness.override_for_moto(cloud))
        values = harness.in_tools("describe_moto.py", cloud, "prepare").ok().json
        (module / "terraform.tfvars.json").write_text(json.dumps(values))
        terraform = harness.Terraform(module, harness.real_mirror(tmp_path / "mirror"))
        terraform.init()
        return terraform

    return begin


@pytest.mark.sampled(3)
def test_spot_module_comes_up_and_goes_away(start, cloud):
    """Every resource of the spot module exists as planned, a second plan is empty, and destroy removes all of it."""
    terraform = start("l4-spot")
    terraform("apply", "-no-color", "-auto-approve").ok()
    world = look(cloud)
    (group,) = world["groups"]
    policy = group["MixedInstancesPolicy"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (2, 2, 3)
    assert [one["InstanceType"] for one in policy["LaunchTemplate"]["Overrides"]] == ["g6.xlarge", "g6.2xlarge"]
    assert policy["InstancesDistribution"]["OnDemandBaseCapacity"] == 0
    assert {one["Key"]: one["Value"] for one in group["Tags"]}["Deployment"] == "support-chat"
    assert [one["InstanceType"] for one in world["instances"]] == ["g6.xlarge"] * 2
    (balancer,) = world["balancers"]
    assert balancer["Scheme"] == "internal"
    (budget,) = world["budgets"]
    assert budget["BudgetLimit"]["Amount"] == "568.85"  # 455.08 × 1.25
    assert {alarm["AlarmName"] for alarm in world["alarms"]} >= {
        f"support-chat-gpu-idle-{GROUP}",
        f"support-chat-agent-silent-{GROUP}",
    }
    terraform("plan", "-no-color", "-detailed-exitcode").ok()
    terraform("destroy", "-no-color", "-auto-approve").ok()
    gone = look(cloud)
    assert not any(gone[kind] for kind in ("groups", "templates", "balancers", "alarms", "budgets", "instances"))


def test_on_demand_hosts_require_session_tokens_and_encrypted_disks(start, cloud):
    """The launch template that AWS stores has IMDSv2 only, one hop, an encrypted volume and the public image."""
    terraform = start("a10g-on-demand")
    terraform("apply", "-no-color", "-auto-approve", "-target=aws_autoscaling_group.this").ok()
    world = look(cloud)
    ((template,),) = world["templates"]
    data = template["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (volume,) = data["BlockDeviceMappings"]
    assert volume["Ebs"]["Encrypted"] is True
    assert data["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/")
    assert [one["InstanceType"] for one in world["instances"]] == ["g5.xlarge"] * 2


def test_groups_of_a_scheduled_fleet_scale_as_planned(start, cloud):
    """AWS holds both ways of buying, the schedule of each group, and a warm pool for the one that grows."""
    terraform = start("scheduled")
    terraform("validate", "-no-color").ok()
    terraform("apply", "-no-color", "-auto-approve", "-target=aws_autoscaling_schedule.this").ok()
    world = look(cloud)
    spot, on_demand = sorted(world["groups"], key=lambda group: group["AutoScalingGroupName"])
    assert "MixedInstancesPolicy" in spot
    assert "MixedInstancesPolicy" not in on_demand
    assert on_demand["WarmPoolConfiguration"]["MaxGroupPreparedCapacity"] == 4
    assert "WarmPoolConfiguration" not in spot
    sizes = {one["Recurrence"]: one["DesiredCapacity"] for one in world["schedules"]}
    assert sizes == {"0 0 * * *": 2, "48 6 * * 1,2,3,4,5": 4, "0 19 * * 1,2,3,4,5": 2}
