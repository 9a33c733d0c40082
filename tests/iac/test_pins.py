"""What a user pinned and edited survives another type of machine, on every target and in both languages."""

import base64
import binascii
import gzip
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from advisor.codegen import Language, Stage, generate, read_former, write_files
from iac import harness, parity
from iac.modules import needs, of_today
from iac.test_replans import ANOTHER_TYPE, PLACES, plan_of

_GZIP = b"\x1f\x8b"
FLAG = "--enable-chunked-prefill"
DIGEST = "@sha256:" + "ab" * 32
REVISION = "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"
EDIT = "# Ours: reviewed by operations."
REPOSITORIES = {
    "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/serving",
    "cloud-run": "us-docker.pkg.dev/my-project/copies/vllm-openai",
}
CLUSTERS = ("eks", "gke", "aks")
"""Their pins are edits of manifests."""
PINNED = [target for target in PLACES if target not in CLUSTERS]
PROGRAMS = [target for target in PINNED if target != "ibm-vpc"]
"""There is no package of IBM's provider for Pulumi."""
NO_ARGUMENTS = ("sagemaker",)
"""The image is told what to serve by variables."""


def pins(target: str) -> dict[str, Any]:
    """Variables that name no hardware."""
    image = REPOSITORIES.get(target, "docker.io/vllm/vllm-openai") + DIGEST
    arguments = {} if target in NO_ARGUMENTS else {"extra_serving_arguments": {"*": [FLAG]}}
    return {"container_images": {"vllm": image}, "model_revisions": {"*": REVISION}, **arguments}


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, and what it encodes."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value
        with suppress(binascii.Error, UnicodeDecodeError):
            content = base64.b64decode(value, validate=True)
            yield (gzip.decompress(content) if content.startswith(_GZIP) else content).decode()


def missing(value: Any, target: str) -> list[str]:
    """Pins that nothing in a value holds."""
    wanted = [DIGEST, REVISION, *([] if target in NO_ARGUMENTS else [FLAG])]
    held = list(texts(value))
    return [pin for pin in wanted if not any(pin in text for text in held)]


def run(directory, language, target, shape, stage=None):
    """What ``advisor generate`` does; the regions of the code."""
    place = PLACES[target]
    wanted = place.wanted
    generated = generate(plan_of(place, shape), language, wanted, former=read_former(directory, stage))
    write_files(generated, directory)
    return generated.rollouts[""]


def change_type(directory, language, target):
    """Generate, edit, and go over to another type, through the stages where there are any."""
    run(directory, language, target, "static")
    edited = directory / {Language.TERRAFORM: "main.tf", Language.PYTHON: "inference/deployment.py"}[language]
    edited.write_text(f"{edited.read_text()}\n{EDIT}\n")
    yield
    rollout = run(directory, language, target, ANOTHER_TYPE)
    yield
    for stage in (Stage.SHIFT, Stage.FINISH) if rollout.retiring else ():
        run(directory, language, target, ANOTHER_TYPE, stage)
        yield
    assert edited.read_text().endswith(f"{EDIT}\n")


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", of_today(PINNED))
def test_pins_of_a_root_survive(target, tmp_path, simulated_clouds):
    """The same variables fit each plan, and what starts has them."""
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    region = plan_of(PLACES[target], "static").fleet.groups[0].region
    variables = {**PLACES[target].variables(region), **pins(target)}
    for _ in change_type(tmp_path, Language.TERRAFORM, target):
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps(variables))
        terraform.init()
        terraform.plan()
        terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
        assert missing(terraform("show", "-json").ok().json["values"], target) == []


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", of_today(PROGRAMS))
def test_pins_of_a_program_survive(target, tmp_path):
    """The same, evaluated as a program."""
    needs("pulumi")
    program, jobs = tmp_path / "program", tmp_path / "jobs.json"
    region = plan_of(PLACES[target], "static").fleet.groups[0].region
    configuration = {**PLACES[target].variables(region), **pins(target)}
    for _ in change_type(program, Language.PYTHON, target):
        job = {"program": str(program), "configuration": configuration, "answers": parity.ANSWERS}
        jobs.write_text(json.dumps([job]))
        (evaluated,) = harness.in_environment("pulumi", "run_pulumi.py", str(jobs)).ok().json
        assert evaluated.get("error") is None, evaluated["error"]
        assert missing(evaluated["resources"], target) == []


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("target", CLUSTERS)
def test_edits_of_manifests_survive(target, language, tmp_path):
    """A flag and a digest in the manifest of the backend are in the one of its successor."""
    changes = change_type(tmp_path, language, target)
    next(changes)
    (manifest,) = (tmp_path / "kubernetes").glob("*/*vllm.yaml")
    text = re.sub(r'( +)- "--served-model-name=.+"\n', rf'\1- "{FLAG}"\n\g<0>', manifest.read_text())
    manifest.write_text(re.sub(r"(vllm/vllm-openai):v[\d.]+", rf"\1{DIGEST}", text))
    for _ in changes:
        now = [path for path in (tmp_path / "kubernetes").glob("*/*.yaml") if FLAG in path.read_text()]
        assert now
    assert [path.exists() for path in (manifest, *now)] == [False, True]
    assert DIGEST in now[0].read_text()
