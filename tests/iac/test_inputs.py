"""Both languages give one verdict on what a user may write: Terraform on its variables, a Pulumi program on its settings."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from advisor.codegen import Language, generate
from advisor.codegen.hcl import NOT_LITERAL, literal, read_hcl
from advisor.codegen.inputs.table import EVERY
from codegen.plans import Scenario
from codegen.scenarios import SCENARIOS
from codegen.test_inputs import TARGETS, everything
from iac import harness, parity, verdicts
from iac.modules import needs, of_today

NAMES = (
    "l4-spot", "two-regions", "p5en-capacity-block", "reactive", "ec2-cache", "eks-scheduled", "eks-karpenter-neuron", "eks-cache",
    "sagemaker-sglang", "sagemaker-int4-weights", "sagemaker-two-regions", "vm-scale-set-reactive", "vm-scale-set-two-regions",
    "vm-scale-set-int4-replicas", "vm-scale-set-cache", "aks-scheduled", "aks-cache", "container-apps-a100-scheduled",
    "container-apps-mixed", "cloud-run-two-regions", "cloud-run-nim", "gke-scheduled", "gke-h200-reserved", "gke-cache",
    "mig-two-regions", "mig-reactive", "mig-h200-reserved", "mig-cache", "ibm-gaudi-scheduled", "ibm-h100",
)  # fmt: skip
"""Stacks that between them have every input of every target."""
TODAY = of_today(NAMES, shares=14)
IN_BOTH = [name for name in TODAY if len(SCENARIOS[name]().languages) == len(Language)]
VAULT = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x/providers/Microsoft"
ID = "00000000-0000-0000-0000-000000000000"
KEY = "projects/p/locations/r/keyRings/r/cryptoKeys/k"
CRN = "crn:v1:bluemix:public:{}:us-south:a/0123456789abcdef0123456789abcdef:00000000-0000-0000-0000-000000000000:{}:00000000-0000-0000-0000-000000000000"
GIVEN = {
    "admin_ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE operations",
    "agent_package": "https://artifacts.example.com/agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64,
    "alert_emails": ["oncall@example.com"],
    "allowed_cidrs": ["10.1.0.0/16"],
    "ami_ids": {"GROUP": "ami-0123"},
    "billing_account": "012345-567890-ABCDEF",
    "budget_amount": 100,
    "budget_usd_per_month": 1000,
    "cache_client_object_ids": [ID],
    "cache_private_dns_zone_id": f"{VAULT}.Network/privateDnsZones/privatelink.redis.azure.net",
    "cache_subnet_id": f"{VAULT}.Network/virtualNetworks/v/subnets/s",
    "capacity_block_ids": {"GROUP": "cr-0123"},
    "capacity_reservation_group_ids": {"GROUP": f"{VAULT}.Compute/capacityReservationGroups/r"},
    "capacity_reservation_ids": {"GROUP": ["cr-0123", "cr-4567"]},
    "container_registry_ids": [f"{VAULT}.ContainerRegistry/registries/images"],
    "disk_key_crn": CRN.format("kms", "key"),
    "disk_kms_keys": {"REGION": KEY},
    "dns": {"zone_id": "Z1", "name": "chat.example.internal"},
    "environment": {"A": "b"},
    "extra_environment": {"*": {"A": "b"}},
    "extra_serving_arguments": {"*": ["--enforce-eager"]},
    "hf_token_secret": "projects/p/secrets/s",
    "hf_token_secret_crn": CRN.format("secrets-manager", "secret"),
    "hf_token_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token-AbCdEf",
    "hf_token_secret_id": f"{VAULT}.KeyVault/vaults/v/secrets/s",
    "host_images": {"GROUP": "al2023-ami-sagemaker-inference-gpu-4-1"},
    "image_repositories": ["projects/p/locations/l/repositories/r"],
    "invokers": ["user:a@example.com"],
    "karpenter_role_names": ["karpenter"],
    "kms_keys": {"REGION": KEY},
    "labels": {"team": "search"},
    "machine_images": {"GROUP": "projects/p/global/images/i"},
    "model_data": {"BACKEND": "s3://bucket/model/"},
    "model_ids": {"BACKEND": "organisation/model"},
    "model_revisions": {"BACKEND": "main"},
    "model_storage_account_id": f"{VAULT}.Storage/storageAccounts/myweights",
    "on_demand_base": {"GROUP": 1},
    "private_dns_zone_id": f"{VAULT}.Network/privateDnsZones/example.internal",
    "registry_secret": "projects/p/secrets/s",
    "registry_secret_crn": CRN.format("secrets-manager", "secret"),
    "registry_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ngc-AbCdEf",
    "registry_secret_id": f"{VAULT}.KeyVault/vaults/v/secrets/s",
    "reservations": {"GROUP": "reserved"},
    "resource_group_id": "0123456789abcdef0123456789abcdef",
    "ssh_key_ids": ["r014-a6b1a881-2ce8-41a3-80fc-36316a73f803"],
    "tags": {"Team": "search"},
}
"""Values of the inputs that have no default to start from; GROUP, BACKEND and REGION: the plan's first."""
IMAGES = {
    "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/vllm:1",
    "vm-scale-set": "images.azurecr.io/vllm:1",
    "container-apps": "images.azurecr.io/vllm:1",
}
SOURCES = ("s3://bucket/prefix", "gs://bucket/prefix", "cos://bucket/prefix", "az://myweights/models/v1", "/models/v1")
TAKEN = ("Deployment", "deployment", "PORT", "HF_TOKEN")
CIDRS = (
    "10.0.0.0/255.0.0.0",
    "010.0.0.0/8",
    "10.0.0.0/08",
    "::/0",
    "10.0.0.1/32",
    "10.0.0.0/33",
    "10.0.0.0",
    "::ffff:1.2.3.4/96",
    "10.0.0.0/-1",
    "10.0.0.0/",
)
NUMBERS = (-1, 0, 0.5, 1, 1.5, 14, 15, 29, 30, 31, 100, 365, 366, 730, 731, 3600, 3601, 3653, 10**9)
FRACTIONS = ("budget_margin_ratio", "budget_usd_per_month", "target_utilization")
UNCHECKED = {
    *("attach_cni_policy", "binary_authorization", "budget_enabled", "cost_anomaly_detection"),
    *("create_cache_connection_policy", "deletion_protection", "encryption_at_host", "environment", "global_access"),
    *("log_retention_days", "restrict_egress", "secure_boot", "zone_redundancy"),
}
"""Inputs of which everything of their type is taken."""
TEXTS = ("", "x", "x" * 1024, "x" * 1025, "x" * 70, "X", "1", "*", "a b", "é", "-", "_", "a\nb")


@dataclass(frozen=True)
class Tried:
    """A stack in its languages."""

    root: Mapping[str, str]
    program: Mapping[str, str] | None
    """None: its target is written in Terraform alone."""
    values: Mapping[str, Any]
    candidates: Mapping[str, Sequence[Any]]


def texts(text: str) -> Iterator[str]:
    """Neighbours of a text: with a character more or less at either end, in another case, with another in its middle."""
    yield from TEXTS
    yield from (
        text[1:],
        text[:-1],
        f"{text}x",
        f"x{text}",
        f"{text}\n",
        f"{text} ",
        f" {text}",
        f"{text}/",
        f"/{text}",
    )
    yield from (text.upper(), text.lower(), text.swapcase(), text.replace("/", "//"), text.replace("-", "_"))
    middle = len(text) // 2
    yield f"{text[:middle]}é{text[middle:]}"
    for part in re.split(r"[/:@.#]", text):
        yield text.replace(part, "", 1)
    if re.fullmatch(r"[0-9.]+/[0-9]+", text):
        yield from CIDRS
    if re.search("[a-z]+-[a-z]+-?[0-9]", text):
        yield re.sub("[a-z]+-[a-z]+-?[0-9]", "eu-north-1", text)


def changed(value: Any, keys: Sequence[str], fields: Collection[str] = ()) -> Iterator[Any]:
    """Values like *value*, each with one change.

    Args:
        value: of an input, as JSON has it.
        keys: of the plan, for mappings.
        fields: names in a record, each without which Terraform has no value to look at.
    """
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield from texts(value)
    elif isinstance(value, int | float):
        yield from (number for number in NUMBERS if isinstance(value, float) or isinstance(number, int))
    elif isinstance(value, list):
        yield from ([], value[:1], value[:1] * len(value), value * 2, [*value, None])
        yield from ([other, *value[1:]] for inner in value[:1] for other in changed(inner, keys, fields))
    else:
        yield from _mappings(value, keys, fields)


def _mappings(value: Mapping[str, Any], keys: Sequence[str], fields: Collection[str]) -> Iterator[Any]:
    is_record = bool(fields) and set(value) <= set(fields)
    if not is_record:
        yield {}
    for key, inner in value.items():
        rest = {name: other for name, other in value.items() if name != key}
        yield value | {key: None}
        yield from (value | {key: other} for other in changed(inner, keys, fields))
        if is_record:
            continue
        yield rest
        yield from (rest | {other: inner} for other in (*texts(key), *keys, *TAKEN))
        yield from (value | {other: inner} for other in keys)


def tried(name: str) -> Tried:
    """Code of a scenario in its languages, with candidates for each of its inputs."""
    scenario = SCENARIOS[name]()
    wanted = replace(scenario.wanted, inputs=frozenset({EVERY}))
    code = {language: generate(scenario.plan, language, wanted).files for language in scenario.languages}
    root = code[Language.TERRAFORM]
    keys = _keys(root)
    pool = [key for some in keys.values() for key in some[:3]] + ["vllm", "sglang"]
    candidates = {}
    for block in read_hcl(root["variables.tf"], "variables.tf").body.of("variable"):
        (variable,), attributes = block.labels, block.attributes
        typed = root["variables.tf"][attributes["type"].value.start : attributes["type"].value.end]
        fields = re.findall(r"^ {4}(\w+) +=", typed, re.MULTILINE)
        default = literal(attributes["default"].value.node) if "default" in attributes else None
        value = _start(variable, scenario, default, keys, fields)
        sources = SOURCES if variable == "model_source" else ()
        changes = [other for each in (value, *sources) for other in (each, *changed(each, pool, fields))]
        candidates[variable] = list({json.dumps(other): other for other in changes}.values())
    return Tried(root, code.get(Language.PYTHON), scenario.variables, candidates)


def _keys(root: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """Groups, backends and regions of the plan, as the data of a root has them."""
    (fleet,) = read_hcl(root["fleet.tf"], "fleet.tf").body.of("locals")
    held = {name: literal(attribute.value.node) for name, attribute in fleet.attributes.items()}
    return {kind: [*held[kind]] for kind in ("groups", "backends", "regions") if kind in held}


def _start(
    variable: str, scenario: Scenario, default: Any, keys: Mapping[str, Sequence[str]], fields: Collection[str]
) -> Any:
    """Value of an input that others are made from by one change."""
    if variable in scenario.variables:
        return scenario.variables[variable]
    if default is not NOT_LITERAL and default not in (None, [], {}):
        return float(default) if variable in FRACTIONS else default
    if variable == "container_images":
        return {"*": IMAGES.get(scenario.wanted.target, "docker.io/organisation/engine:1")}
    if variable == "dns" and "managed_zone" in fields:
        return {"managed_zone": "internal", "name": "chat.example.internal.", "project_id": "names"}
    first = {"GROUP": keys["groups"][0], "BACKEND": keys.get("backends", ["*"])[0], "REGION": keys["regions"][0]}
    value = GIVEN[variable]
    return {first.get(key, key): inner for key, inner in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Mapping[str, Sequence[tuple[str, Any, bool, str]]]:
    """Verdicts by scenario: input, candidate, whether Terraform takes it, what the program says against it."""
    needs("tools")
    needs("pulumi")
    directory, jobs, of_terraform, both = tmp_path_factory.mktemp("inputs"), [], {}, {}
    for name in TODAY:
        (directory / f"{name}-root").mkdir()
        both[name] = tried(name)
        of_terraform[name] = verdicts.of_terraform(
            both[name].root, both[name].values, both[name].candidates, directory / f"{name}-root"
        )
        if both[name].program is None:
            continue
        program = harness.write_module(both[name].program, directory / name)
        changes = [{setting: value} for setting, values in both[name].candidates.items() for value in values]
        jobs.append({"program": str(program), "values": dict(both[name].values), "changes": changes})
    (directory / "jobs.json").write_text(json.dumps(jobs))
    said = harness.in_environment("pulumi", "check_settings.py", str(directory / "jobs.json")).ok().json
    answers = {name: iter(lines) for name, lines in zip(IN_BOTH, said, strict=True)}
    return {
        name: [
            (variable, value, taken, next(answers[name]) if name in answers else "")
            for variable, values in both[name].candidates.items()
            for value, taken in zip(values, of_terraform[name][variable], strict=True)
        ]
        for name in TODAY
    }


@pytest.mark.parametrize("name", IN_BOTH)
def test_both_languages_give_one_verdict_on_each_value(name, judged):
    """What a validation refuses, the program refuses, with a message; what one takes, the other takes."""
    unequal = [
        f"{variable} = {json.dumps(value)}: Terraform {'takes' if taken else 'refuses'} it, the program says {said!r}"
        for variable, value, taken, said in judged[name]
        if taken == bool(said) or said.startswith("broken")
    ]
    assert unequal == []


@pytest.mark.parametrize("name", TODAY)
def test_candidates_are_on_both_sides_of_each_limit(name, judged):
    """Some are taken of every input, and some are refused of each that has a check."""
    seen: dict[str, set[bool]] = {}
    for variable, _, taken, _ in judged[name]:
        seen.setdefault(variable, set()).add(taken)
    assert [variable for variable, verdict in seen.items() if verdict == {False}] == []
    assert {variable for variable, verdict in seen.items() if verdict == {True}} <= UNCHECKED


def test_every_input_of_every_target_is_tried():
    """Terraform's variables, those of provider blocks left out."""
    names = {
        variable
        for name in NAMES
        for variable in re.findall('^variable "(.*)"', tried(name).root["variables.tf"], re.MULTILINE)
    }
    rows = {row.name for target in TARGETS for row in everything(target) if not row.is_of_provider}
    assert rows - names == set()


def lowered(value: Any) -> Any:
    """A value whose resource ids are in lower case, as some of Azure's own answers are; names may be in any."""
    if isinstance(value, dict):
        return {key: lowered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [lowered(inner) for inner in value]
    is_id = isinstance(value, str) and value.startswith("/subscriptions/")
    return re.sub("resourceGroups|Microsoft[.][A-Za-z]+", lambda match: match[0].lower(), value) if is_id else value


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "name", ["aks-cache", "aks-a100-spot", "vm-scale-set-int4-replicas", "container-apps-a100-scheduled"]
)
def test_ids_in_lower_case_deploy_what_others_do(name, start, tmp_path):
    """The provider reads fixed words of ids in one case alone, whatever Azure writes: both languages bring them into it."""
    needs("pulumi")
    scenario = SCENARIOS[name]()
    assert lowered(scenario.variables) != scenario.variables
    plan = start(name, filled=True).plan()
    terraform = start(name, filled=True, **lowered(scenario.variables)).plan()
    assert terraform["planned_values"] == plan["planned_values"]
    files = generate(scenario.plan, Language.PYTHON, scenario.wanted).files
    program = harness.write_module(files, tmp_path / "program")
    job = {"program": str(program), "configuration": lowered(dict(scenario.variables)), "answers": parity.ANSWERS}
    (tmp_path / "jobs.json").write_text(json.dumps([job]))
    (evaluated,) = harness.in_environment("pulumi", "run_pulumi.py", str(tmp_path / "jobs.json")).ok().json
    assert "error" not in evaluated, evaluated["error"]
    assert parity.differences(plan, evaluated) == []
