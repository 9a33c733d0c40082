"""``advisor.pulumi`` in programs as people write them: outputs as arguments, a provider of the caller, a network made beside."""

import ast
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from advisor.codegen import Form, Language, Stage, Wanted, generate, read_former, write_files
from advisor.codegen.inputs.table import EVERY
from advisor.plan.document import plan_to_json
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS, ec2
from iac import harness, parity
from iac.modules import needs, of_today

PATH = [str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)]
"""Where advisor and what it needs are: the SDKs of Pulumi have an environment of their own."""
VAULT = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x/providers/Microsoft"
KEY = "projects/p/locations/r/keyRings/r/cryptoKeys/k"
OF_AWS = {"tags": {"Team": "search"}}
OF_GOOGLE = {"labels": {"team": "search"}, "billing_account": "012345-567890-ABCDEF"}
MORE = {
    "a10g-on-demand": {
        **OF_AWS,
        "ami_ids": {"GROUP": "ami-0123"},
        "capacity_reservation_ids": {"GROUP": ["cr-0123", "cr-4567"]},
        "container_images": {"BACKEND": "registry.example.com/vllm:1"},
        "dns": {"zone_id": "Z1", "name": "chat.example.internal"},
        "hf_token_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token-AbCdEf",
        "networks": {
            "REGION": {"load_balancer_subnet_ids": ["subnet-1a", "subnet-1b"], "allowed_cidrs": ["10.1.0.0/16"]}
        },
        "registry_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ngc-key-AbCdEf",
    },
    "eks-scheduled": OF_AWS,
    "eks-karpenter-neuron": {**OF_AWS, "karpenter_role_names": ["karpenter"]},
    "sagemaker-sglang": {
        **OF_AWS,
        "container_images": {"BACKEND": "123456789012.dkr.ecr.us-east-1.amazonaws.com/vllm:1"},
        "model_data": {"BACKEND": "s3://bucket/model/"},
        "extra_environment": {"BACKEND": {"A": "b"}},
    },
    "vm-scale-set-reactive": {
        **OF_AWS,
        "allowed_cidrs": ["10.1.0.0/16"],
        "capacity_reservation_group_ids": {"GROUP": f"{VAULT}.Compute/capacityReservationGroups/r"},
        "container_images": {"BACKEND": "registry.example.com/vllm:1"},
        "locations": {"REGION": {"disk_encryption_set_id": f"{VAULT}.Compute/diskEncryptionSets/s"}},
    },
    "aks-scheduled": {
        **OF_AWS,
        "capacity_reservation_group_ids": {"GROUP": f"{VAULT}.Compute/capacityReservationGroups/r"},
        "clusters": {"REGION": {"subnet_id": f"{VAULT}.Network/virtualNetworks/v/subnets/s"}},
    },
    "container-apps-a100-scheduled": {
        **OF_AWS,
        "allowed_cidrs": ["10.1.0.0/16"],
        "container_images": {"BACKEND": "registry.example.com/vllm:1"},
    },
    "cloud-run-two-regions": {
        **OF_GOOGLE,
        "kms_keys": {"REGION": KEY},
        "environment": {"A": "b"},
        "container_images": {"BACKEND": "docker.io/vllm/vllm-openai:1"},
    },
    "gke-scheduled": {**OF_GOOGLE, "reservations": {"GROUP": "reserved"}, "disk_kms_keys": {"REGION": KEY}},
    "mig-a100-tp8": {
        **OF_GOOGLE,
        "reservations": {"GROUP": "reserved"},
        "machine_images": {"GROUP": "projects/p/global/images/i"},
        "container_images": {"BACKEND": "registry.example.com/vllm:1"},
        "dns": {"managed_zone": "internal", "name": "chat.example.internal.", "project_id": "names"},
        "networks": {"REGION": {"disk_kms_key": KEY}},
        "registry_secret": "projects/names/secrets/ngc",
    },
}
"""What a scenario does not give of the settings that take outputs; GROUP, BACKEND and REGION: the plan's first."""
TODAY = of_today(list(MORE))
PROGRAM = """import json
from pathlib import Path
import pulumi
from advisor.pulumi import InferenceFleet

LATER = {later!r}

def output(value):
    if isinstance(value, str):
        return pulumi.Output.from_input(value)
    if isinstance(value, dict):
        return {{key: output(inner) for key, inner in value.items()}}
    return value if isinstance(value, bool | int | float) else [output(inner) for inner in value]

def marked(value):
    if not isinstance(value, dict):
        return value
    return {{key: marked(inner) if key not in LATER else pulumi.Output.from_input(inner) if LATER[key] and isinstance(inner, list) else output(inner) for key, inner in value.items()}}

values = json.loads(Path(__file__).with_name("values.json").read_text())
fleet = InferenceFleet.from_plan("chat", Path(__file__).with_name("plan.json"), marked(values), **{choice!r})
for name, value in fleet.outputs.items():
    pulumi.export(name, value)
"""


def stack(name):
    """Generated files of a scenario, and the keys that its plan has."""
    scenario = SCENARIOS[name]()
    wanted = dataclasses.replace(scenario.wanted, inputs=frozenset({EVERY}))
    files = generate(scenario.plan, Language.PYTHON, wanted).files
    (fleet,) = (node.value for node in ast.parse(files["inference/fleet.py"]).body if isinstance(node, ast.Assign))
    held = {one.arg: one.value for one in fleet.keywords}
    first = {key: held[key].keys[0].value for key in ("groups", "backends", "regions") if key in held}
    keys = {"GROUP": first["groups"], "BACKEND": first.get("backends", ""), "REGION": first["regions"]}
    return scenario, files, keys


def merged(values, more, keys):
    """*values* with *more*, its placeholders filled in."""
    found = dict(values)
    for placeholder, value in more.items():
        key = keys.get(placeholder, placeholder)
        found[key] = merged(found.get(key, {}), value, keys) if isinstance(value, dict) else value
    return found


def taking_outputs(files):
    """Setting → whether its whole list may be an output, of the settings that take outputs."""
    lines = re.findall(r"^    (\w+): (.*pulumi\.Input.*?)(?: = .*)?$", files["inference/settings.py"], re.MULTILINE)
    return {name: "Input[Sequence" in typed for name, typed in lines}


def choice(wanted):
    """The same wishes as arguments of the component."""
    given = {
        "target": wanted.target,
        "option": wanted.rank,
        "engine": wanted.engine and wanted.engine.value,
        "image": wanted.image,
    }
    return {name: value for name, value in given.items() if value}


def write(directory, plan, program, values):
    """A project of one program."""
    harness.write_module(
        {
            "Pulumi.yaml": "name: inference\nruntime: python\n",
            "__main__.py": program,
            "plan.json": plan,
            "values.json": json.dumps(values),
        },
        directory,
    )
    return {
        "program": str(directory),
        "configuration": {},
        "answers": parity.ANSWERS,
    }


def evaluated(jobs, directory):
    """What each registers and exports, or its error."""
    needs("pulumi")
    path = directory / "jobs.json"
    path.write_text(json.dumps(jobs))
    return harness.in_environment("pulumi", "run_pulumi.py", str(path), *PATH).ok().json


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Each scenario of today with its values as texts, and as outputs."""
    directory = tmp_path_factory.mktemp("components")
    jobs = []
    for name in TODAY:
        scenario, files, keys = stack(name)
        values = merged(scenario.variables, MORE[name], keys)
        plan = plan_to_json(scenario.plan)
        for kind, later in (("plain", {}), ("later", taking_outputs(files))):
            program = PROGRAM.format(later=later, choice=choice(scenario.wanted))
            jobs.append(write(directory / f"{name}-{kind}", plan, program, values))
    found = evaluated(jobs, directory)
    return dict(zip(TODAY, zip(found[::2], found[1::2], strict=True), strict=True))


def described(found):
    """Type and inputs of what is registered, in an order of their own."""
    assert "error" not in found, found["error"]
    return sorted(json.dumps([one["type"], one["inputs"]], sort_keys=True) for one in found["resources"])


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", TODAY)
def test_outputs_as_arguments_deploy_what_texts_do(name, pairs):
    """Every setting that takes outputs is given one: the same resources with the same inputs, and the same outputs."""
    plain, later = pairs[name]
    assert described(later) == described(plain)
    assert later["outputs"] == plain["outputs"]


@pytest.mark.parametrize("name", list(MORE))
def test_every_setting_that_takes_outputs_is_tried(name):
    """None is left out of the comparison."""
    scenario, files, keys = stack(name)
    given = json.dumps(merged(scenario.variables, MORE[name], keys))
    assert [setting for setting in taking_outputs(files) if f'"{setting}":' not in given] == []
    assert taking_outputs(files)


PROGRAM_OF_A_USER = """import pulumi
import pulumi_aws as aws
from advisor.pulumi import InferenceFleet

provider = aws.Provider("of-the-caller", region="us-east-1", profile="production")
mine = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=mine)
subnets = [
    aws.ec2.Subnet(f"private-{zone}", vpc_id=vpc.id, availability_zone=zone, opts=mine)
    for zone in ("us-east-1a", "us-east-1b", "us-east-1c")
]
logs = aws.s3.Bucket("logs", opts=mine)
fleet = InferenceFleet.from_plan(
    "chat",
    "PLAN",
    args={
        "networks": {
            "us-east-1": {
                "vpc_id": vpc.id,
                "private_subnet_ids": pulumi.Output.all(*(one.id for one in subnets)),
                "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/x",
                "access_logs_bucket": logs.bucket,
            }
        },
        "tags": {"Team": "search"},
    },
    opts=pulumi.ResourceOptions(providers=[provider]),
)
pulumi.export("endpoint", fleet.endpoint)
"""


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """Programs around one plan: as it is, without a provider, and each with one mistake."""
    directory = tmp_path_factory.mktemp("users")
    plan = plan_to_json(SCENARIOS["l4-spot"]().plan)
    whole = PROGRAM_OF_A_USER
    changed = {
        "provider": whole,
        "ambient": whole.replace("    opts=pulumi.ResourceOptions(providers=[provider]),\n", ""),
        "missing": re.sub(r'        "networks": .*?\n        },\n', "", whole, flags=re.DOTALL),
        "stranger": whole.replace('"tags"', '"tag"'),
        "text": whole.replace("certificate/x", "key/x"),
        "later": whole.replace('vpc.id,\n                "private', 'logs.id,\n                "private'),
        "few": whole.replace("for one in subnets", "for one in subnets[:1]"),
        "number": whole.replace('"tags": {"Team": "search"}', '"log_retention_days": logs.bucket'),
        "taken": whole.replace("Team", "Deployment"),
        "range": whole.replace('"tags": {"Team": "search"}', '"budget_margin_ratio": -1'),
        "no network": whole.replace('"vpc_id": vpc.id', '"vpc_id": vpc.id, "allowed_cidrs": ["10.0.0.0/33"]'),
        "no file": whole.replace("PLAN", "nowhere.json"),
        "edited": whole,
    }
    jobs = []
    for name, program in changed.items():
        path = directory / name
        text = plan.replace("us-east-1", "us-east-2", 1) if name == "edited" else plan
        jobs.append(write(path, text, program.replace("PLAN", str(path / "plan.json")), {}))
    return dict(zip(changed, evaluated(jobs, directory), strict=True))


@pytest.mark.sampled(3)
def test_everything_belongs_to_the_provider_of_the_caller(users):
    """None of its own is made, every resource of the cloud uses it, and what takes tags is tagged."""
    found = users["provider"]
    assert found.get("error") is None
    made = [one for one in found["resources"] if one["type"].startswith("aws:")]
    assert [one["name"] for one in found["resources"] if one["type"].startswith("pulumi:providers")] == [
        "of-the-caller"
    ]
    assert {one["provider"].split("::")[-2] for one in made} == {"of-the-caller"}
    group = next(one for one in made if one["type"].endswith(":SecurityGroup"))
    assert re.fullmatch("vpc-[0-9a-f]+", group["inputs"]["vpcId"])
    assert group["inputs"]["tags"] == {
        "Deployment": "chat",
        "ManagedBy": "advisor",
        "Project": "inference",
        "Team": "search",
    }
    assert found["outputs"]["endpoint"].startswith("https://")


@pytest.mark.sampled(3)
def test_provider_of_the_configuration_is_taken_where_the_caller_gives_none(users):
    """The fleet lies in the account that the stack's configuration names, and is tagged all the same."""
    fleet = [
        one
        for one in users["ambient"]["resources"]
        if one["name"].startswith("chat-") and one["type"].startswith("aws:")
    ]
    assert {one["provider"] for one in fleet} == {""}
    (topic,) = (one for one in fleet if one["type"].endswith(":Topic"))
    assert topic["inputs"]["tags"]["Deployment"] == "chat"


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing", "networks is missing. Network of each region of the plan"),
        ("stranger", "tag is none of name, tags, networks, "),
        ("taken", "tags: Deployment is taken, the budget filters on it"),
        ("range", "budget_margin_ratio: -1.0 is not 0 or more"),
        ("no network", "allowed_cidrs: '10.0.0.0/33' is not a CIDR block such as 10.0.0.0/8"),
        ("text", "is not an ACM certificate"),
        ("later", "vpc_id: 'logs-id' is not an id such as vpc-"),
        ("few", "networks.us-east-1.private_subnet_ids: give 2 different ones"),
        ("number", "log_retention_days: an output of another resource is not of the type int"),
        ("no file", "nowhere.json: no plan can be read"),
        ("edited", "make it again with `advisor recommend`"),
    ],
)
def test_mistakes_are_told_without_a_traceback_of_ours(name, told, users):
    """Texts are refused at once, outputs when they are known; the message says what to give."""
    error = users[name]["error"]
    assert error.strip().splitlines()[-1].startswith(("pulumi.errors.RunError", "  "))
    assert told in error


@pytest.mark.sampled(3)
def test_generated_programs_pass_their_own_tests(tmp_path):
    """The short program of each scenario of today, as it is written, with its example values and with none."""
    jobs = []
    for name in (*TODAY, "kubernetes-spot"):
        scenario = SCENARIOS[name]()
        files = generate(scenario.plan, Language.PYTHON, dataclasses.replace(scenario.wanted, as_component=True)).files
        job = {"program": str(harness.write_module(files, tmp_path / name)), "configuration": dict(scenario.variables)}
        jobs.append({**job, "answers": parity.ANSWERS})
    for found in evaluated(jobs, tmp_path):
        assert "error" not in found, found["error"]
        assert found["tests"] == "passed", found["tests"]
        assert any(one["type"] == "advisor:index:InferenceFleet" for one in found["resources"])


def test_subscription_of_a_provider_that_is_not_made_is_refused(tmp_path):
    """The setting would be read by nobody; the message says where it belongs."""
    scenario = SCENARIOS["aks-scheduled"]()
    values = {**scenario.variables, "subscription_id": "00000000-0000-0000-0000-000000000000"}
    program = PROGRAM.format(later={}, choice=choice(scenario.wanted))
    (found,) = evaluated([write(tmp_path / "aks", plan_to_json(scenario.plan), program, values)], tmp_path)
    assert "give it as azure:subscriptionId, or pass a provider" in found["error"]


@pytest.mark.sampled(3)
def test_component_deploys_the_stage_of_the_cut_over_beside_it(tmp_path):
    """The plan moves to another region: both serve until the end, and what gets no requests is not protected."""
    near, far = (make_fleet_plan(make_group(region=region)) for region in ("us-east-1", "eu-west-1"))
    steps = {
        "before": (near, None, {"us-east-1": 1000}),
        "prepare": (far, None, {"eu-west-1": 0, "us-east-1": 1000}),
        "shift": (far, Stage.SHIFT, {"eu-west-1": 1000, "us-east-1": 0}),
        "finish": (far, Stage.FINISH, {"eu-west-1": 1000}),
    }
    jobs = []
    for name, (plan, stage, weights) in steps.items():
        former = read_former(tmp_path / "work", stage)
        generated = generate(plan, Language.PYTHON, Wanted(target="ec2", as_component=True), former=former)
        write_files(generated, tmp_path / "work")
        program = shutil.copytree(tmp_path / "work", tmp_path / name)
        networks = {"networks": ec2.variables(*weights)["networks"]}
        jobs.append({"program": str(program), "configuration": networks, "answers": parity.ANSWERS})
    for (_, _, weights), found in zip(steps.values(), evaluated(jobs, tmp_path), strict=True):
        assert "error" not in found, found["error"]
        assert found["outputs"]["region_weights"] == weights
        assert sorted(of_type(found, "aws:autoscaling/group:Group", "region")) == sorted(weights)
        assert found["tests"] == "passed", found["tests"]
        protected = of_type(found, "aws:lb/loadBalancer:LoadBalancer", "enableDeletionProtection")
        assert sorted(protected) == sorted(weight > 0 for weight in weights.values())


@pytest.mark.sampled(3)
def test_component_beside_a_terraform_root_takes_the_plan_alone(tmp_path):
    """What that root retires runs in its own state."""
    root, program = tmp_path / "root", tmp_path / "root/program"
    near, far = (make_fleet_plan(make_group(region=region)) for region in ("us-east-1", "eu-west-1"))
    for plan in (near, far):
        write_files(generate(plan, Language.TERRAFORM, Wanted(target="ec2"), former=read_former(root)), root)
    harness.write_module(generate(far, Language.PYTHON, Wanted(target="ec2", as_component=True)).files, program)
    networks = {"networks": ec2.variables("eu-west-1")["networks"]}
    (found,) = evaluated([{"program": str(program), "configuration": networks, "answers": parity.ANSWERS}], tmp_path)
    assert "error" not in found, found["error"]
    assert found["outputs"]["region_weights"] == {"eu-west-1": 1000}


@pytest.mark.sampled(3)
def test_component_keeps_the_form_of_the_folder_it_lies_in(tmp_path):
    """A program that names no form looks for the pods that the folder's objects make."""
    wanted = Wanted(target="eks", form=Form.KSERVE, as_component=True)
    plan = make_fleet_plan(make_group())
    write_files(generate(plan, Language.PYTHON, wanted, former=read_former(tmp_path / "work")), tmp_path / "work")
    program = tmp_path / "work/__main__.py"
    text = program.read_text()
    program.write_text(text.replace('form="kserve",', ""))
    assert program.read_text() != text
    job = {"program": str(tmp_path / "work"), "configuration": SCENARIOS["eks-scheduled"]().variables}
    (found,) = evaluated([job | {"answers": parity.ANSWERS}], tmp_path)
    assert "error" not in found, found["error"]
    assert "-on-demand-kserve" in json.dumps(found["resources"])


def of_type(found, kind, argument):
    """An argument of each resource of a type."""
    return [one["inputs"][argument] for one in found["resources"] if one["type"] == kind]
