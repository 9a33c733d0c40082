"""EC2: what hosts and their alarms are made from."""

import json

import pytest

from advisor.codegen import Language, generate
from advisor.codegen.targets.aws_ec2 import _group
from codegen.plans import make_option, make_plan
from codegen.scenarios import SCENARIOS
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


def _definition():
    """The state machine of a fleet with two backends in a region."""
    scenario = SCENARIOS["mixed-fleet"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["failover.asl.json.tftpl"]
    filled = text.replace("${targets}", '[{"TargetGroupArn": "a", "Weight": 700}]')
    return json.loads(filled.replace("${partition}", "aws").replace("${listener_arn}", "listener"))


def test_state_machine_may_do_what_its_role_allows():
    """Each state leads to one that is there or ends, and the calls are the three of the policy."""
    definition = _definition()
    inner = definition["States"]["LookAtBackends"]["ItemProcessor"]
    for machine in (definition, inner):
        states = machine["States"]
        assert machine["StartAt"] in states
        for state in states.values():
            following = [
                *(choice["Next"] for choice in state.get("Choices", ())),
                state.get("Default"),
                state.get("Next"),
            ]
            named = [name for name in following if name]
            assert set(named) <= set(states)
            assert named or state.get("End") or state["Type"] == "Succeed"
    tasks = [*definition["States"].values(), *inner["States"].values()]
    calls = {state["Resource"].rpartition(":")[2] for state in tasks if state["Type"] == "Task"}
    assert calls == {"describeListeners", "describeTargetHealth", "modifyListener"}


@pytest.mark.parametrize(("name", "fails_over"), [("mixed-fleet", True), ("l4-spot", False), ("two-regions", False)])
def test_only_regions_with_several_backends_fail_over(name, fails_over):
    """There is nothing to turn to in a region with one backend."""
    scenario = SCENARIOS[name]()
    for language in Language:
        files = generate(scenario.plan, language, scenario.wanted).files
        assert any("failover" in path for path in files) == fails_over
