"""EC2: what hosts and their alarms are made from."""

import re

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.targets.aws_ec2 import _alarm
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.test_stack import stack_of


@pytest.mark.parametrize("target", ["ec2", "vm-scale-set", "mig"])
@pytest.mark.parametrize(("priced", "ordered"), [({"disk_gib": 140}, 140), ({}, 164)])
def test_a_host_is_ordered_with_the_disk_that_is_priced(target, priced, ordered):
    """What the plan says, whatever the catalog of the day."""
    options = {
        "ec2": {},
        "vm-scale-set": {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"},
        "mig": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
    }
    plan = make_plan(make_option(**options[target], **priced))
    files = generate(plan, wanted=Wanted(target=target)).files
    assert {int(gib) for gib in re.findall(r"(?:root_volume|os_disk|disk)_gib += (\d+)", files["fleet.tf"])} == {
        ordered
    }


def test_spot_takes_no_type_that_needs_a_larger_disk():
    """Its weights would not fit on the disk that is priced."""
    spot = {"purchase": "spot", "disk_gib": 140}
    others = [make_option(rank=2, instance_type="g6.2xlarge", **spot)]
    larger = make_option(rank=3, instance_type="g6.4xlarge", **{**spot, "disk_gib": 164})
    stack = stack_of(make_plan(make_option(**spot), *others, larger))
    assert stack.groups[0].interchangeable_types == ("g6.2xlarge",)


def test_answers_that_the_load_balancer_makes_itself_are_errors_too():
    """502 to 504 of its own count beside the targets' 5xx, over all requests of the region, whichever is missing."""
    stack = stack_of(make_plan(make_option()))
    (facts,) = (_alarm(alarm) for alarm in stack.slo_alarms if alarm.name == "server_errors")
    assert facts["source"] == "entrance"
    assert set(facts["metrics"].values()) == {"HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "RequestCount"}
    assert set(re.findall(r"FILL\((\w+), 0\)", facts["expression"])) == set(facts["metrics"])


@pytest.mark.parametrize("name", ["l4-spot", "ec2-embeddings", "vm-scale-set-mixed", "vm-scale-set-pictures"])
def test_hosts_report_what_the_alarm_on_the_target_reads(name):
    """Under one name, whether the target is one of TTFT or of whole answers."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, wanted=scenario.wanted).files
    script = files.get("host.py") or files["user_data.sh.tftpl"]
    for metric in ("over_target", "target_requests"):
        assert re.search(rf'MetricName={metric},|"{metric}":', script)
        assert re.search(rf'"{metric}"|report\.{metric}\b', files["fleet.tf"])
    assert not re.search(r"\b(?:ttft|latency)_(?:over_target|requests)\b", script + files["fleet.tf"])


@pytest.mark.parametrize("name", ["gov-cloud", "eks-gov-cloud"])
@pytest.mark.parametrize("language", list(Language))
def test_no_budget_is_made_where_the_service_does_not_exist(name, language):
    """The README says so, and China, where it does, has one."""
    made = "aws_budgets_budget|aws.budgets.Budget"
    for scenario, exists in ((name, False), ("china", True)):
        asked = SCENARIOS[scenario]()
        files = generate(asked.plan, language, asked.wanted).files
        text = "".join(files.values())
        assert bool(re.search(made, text)) == bool(re.search(r"\bbudget_enabled\b", text)) == exists
        assert ("AWS Budgets and Cost Explorer do not exist" in files["README.md"]) != exists


@pytest.mark.parametrize("target", ["ec2", "sagemaker", "eks"])
@pytest.mark.parametrize("language", list(Language))
def test_services_use_a_key_for_this_account_only(target, language):
    """Every service of the key policy has a condition on whom it acts for."""
    files = generate(make_plan(make_option()), language, Wanted(target=target)).files
    text = files.get("kms.tf") or files["inference/encryption.py"]
    statements = re.split(r'"?\bSid"?\s*[=:] ', text)[1:]
    of_services = [statement for statement in statements if re.search(r'\bService"?\s*[=:]', statement)]
    assert len(of_services) == len(statements) - 1 == (1 if target == "eks" else 2)
    assert all(re.search(r"aws:SourceAccount|aws:logs:arn", statement) for statement in of_services)


def _definition():
    """The state machine of a fleet with two backends in a region."""
    scenario = SCENARIOS["mixed-fleet"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["failover.asl.yaml.tftpl"]
    filled = text.replace("${targets}", '[{"TargetGroupArn": "a", "Weight": 700}]')
    return yaml.safe_load(filled.replace("${partition}", "aws").replace("${listener_arn}", "listener"))


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


def test_state_machine_changes_weights_alone():
    """What is set are the target groups that the listener has: one that an apply adds or removes beside a look stays so."""
    assigned = _definition()["States"]["LookAtListener"]["Assign"]
    present = assigned["present"].removeprefix("{% ").removesuffix(" %}")
    assert f"[{present}.(" in assigned["wanted"]
    assert "$exists($planned) ? $planned.Weight : Weight" in assigned["wanted"]


@pytest.mark.parametrize(("name", "fails_over"), [("mixed-fleet", True), ("l4-spot", False), ("two-regions", False)])
def test_only_regions_with_several_backends_fail_over(name, fails_over):
    """There is nothing to turn to in a region with one backend."""
    scenario = SCENARIOS[name]()
    for language in Language:
        files = generate(scenario.plan, language, scenario.wanted).files
        assert any("failover" in path for path in files) == fails_over


@pytest.mark.parametrize(
    ("name", "ports"), [("ec2-embeddings", {"443", "80"}), ("gpu-and-neuron", {"443", "80"}), ("mixed-fleet", {"443"})]
)
def test_hosts_that_install_docker_reach_its_archive(name, ports):
    """Ubuntu's archives answer on port 80; where hosts have an image with Docker, nothing but HTTPS leaves."""
    scenario = SCENARIOS[name]()
    for language, path in ((Language.TERRAFORM, "network.tf"), (Language.PYTHON, "inference/network.py")):
        files = generate(scenario.plan, language, scenario.wanted).files
        text = re.sub(" +", " ", files[path])
        outward = re.findall(r'to_port ?= ?(\d+),?\s+cidr_ipv4 ?= ?"0\.0\.0\.0/0"', text)
        assert set(outward) == ports
        assert ("port 80" in files["README.md"]) == ("80" in ports)


def test_one_silent_host_of_any_number_rings():
    """A host sends five samples a period: without one of them there are fewer than the alarm takes, a late two pass."""
    scenario = SCENARIOS["two-regions"]()
    alarms = _definitions(generate(scenario.plan, wanted=scenario.wanted).files, "alarms")
    silent, samples = alarms["metrics_silent"], 5
    assert (silent["statistic"], silent["below"], silent["per"]) == ("SampleCount", True, "min_instances")
    for hosts in range(1, 200):
        threshold = silent["threshold"] * hosts - silent["tolerated"]
        assert samples * (hosts - 1) < threshold <= samples * hosts - 2


def _definitions(files, name):
    """A map of ``fleet.tf``."""
    (block,) = read_hcl(files["fleet.tf"], "fleet.tf").body.of("locals")
    return literal(block.attributes[name].value.node)


@pytest.mark.parametrize("language", list(Language))
def test_hosts_open_sessions_and_read_no_parameters(language):
    """Session Manager has what AWS names as its minimum; no managed policy gives hosts more than that."""
    files = generate(make_plan(make_option()), language, Wanted(target="ec2")).files
    code = "".join(text for path, text in files.items() if path.endswith((".tf", ".py")))
    assert set(re.findall(r'"((?:ssm|ssmmessages|ec2messages):\w+)"', code)) == {
        "ssm:UpdateInstanceInformation",
        *(f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")),
    }
    assert not re.search("policy_attachment|PolicyAttachment|iam::aws:policy", code)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(("engine", "has_own_source"), [("llama.cpp server", True), ("SGLang", False)])
def test_the_alarm_on_engines_that_hang_watches_those_that_tell_it(language, engine, has_own_source):
    """Beside llama.cpp, which tells no progress, the hosts of vLLM alone have it; with one kind it has all hosts."""
    half = {"instances": (2, 2), "request_shares": (0.5, 0.5)}
    other = make_group(instance_type="g6e.xlarge", accelerator="L40S", engine=engine, engine_version="0.5.9", **half)
    files = generate(make_fleet_plan(make_group(**half), other), language).files
    fleet = files["fleet.tf" if language is Language.TERRAFORM else "inference/fleet.py"]
    alarm = fleet.partition("An engine has requests and has made no progress")[2].partition("}")[0]
    assert re.search(r'source *= *"(\w+)"', alarm)[1] == ("progress" if has_own_source else "engine")
    monitoring = files["monitoring.tf" if language is Language.TERRAFORM else "inference/monitoring.py"]
    assert ("progress" in monitoring) == has_own_source
