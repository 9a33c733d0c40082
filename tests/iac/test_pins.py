"""What a user pinned and edited survives another type of machine, on every target and in both languages."""

import base64
import binascii
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from advisor.codegen import ConflictPolicy, Form, Language, Stage, WriteOptions, generate, read_former, write_files
from advisor.codegen.kubernetes import POOLED
from advisor.codegen.writing.decisions import WRITE_THEM
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan
from codegen.scenarios import gcp_mig
from iac import harness, parity
from iac.modules import needs, of_today
from iac.test_replans import (
    ANOTHER_TYPE,
    ONE_REGION_MORE,
    PLACES,
    STEADY,
    TPU,
    UNWEIGHTED,
    Place,
    google_group,
    plan_of,
)
from iac.test_replans import CLUSTERS as REPLANNED_CLUSTERS

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
SPOT = {"purchase": "spot"}
A100 = {"instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"}
FOUR_CHIPS = {"instance_type": "ct6e-standard-4t", "accelerator_count": 4.0, "tensor_parallel": 4}
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


def at_commit(directory, language, target):
    """Write the code of a plan whose models have commits, in a directory of its own."""
    place = PLACES[target]
    plan = plan_of(place, "static")
    models = generate(plan, language, place.wanted).models
    commits = dict.fromkeys(models, REVISION)
    inputs = frozenset({"model_ids"})
    write_files(generate(plan, language, replace(place.wanted, commits=commits, inputs=inputs)), directory)
    return place.variables(plan.fleet.groups[0].region)


def loads_commit(value: Any) -> bool:
    """Whether what starts has the commit."""
    return any(REVISION in text for text in texts(value))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", of_today(PINNED))
def test_a_root_loads_the_planned_model_at_its_commit(target, tmp_path, simulated_clouds):
    """Without a pin; a pin wins, and another model is not asked for a commit that it has not."""
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    variables = at_commit(tmp_path, Language.TERRAFORM, target)
    cases = ({}, {"model_revisions": {"*": "v2"}}, {"model_ids": {"*": "other/model"}})
    for pinned, expected in zip(cases, (True, False, False), strict=True):
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps({**variables, **pinned}))
        terraform.init()
        terraform.plan()
        terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
        assert loads_commit(terraform("show", "-json").ok().json["values"]) is expected


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", of_today(PROGRAMS))
def test_a_program_loads_the_planned_model_at_its_commit(target, tmp_path):
    """The same, evaluated as a program."""
    needs("pulumi")
    program, jobs = tmp_path / "program", tmp_path / "jobs.json"
    variables = at_commit(program, Language.PYTHON, target)
    cases = ({}, {"model_revisions": {"*": "v2"}}, {"model_ids": {"*": "other/model"}})
    rows = [
        {"program": str(program), "configuration": {**variables, **pinned}, "answers": parity.ANSWERS}
        for pinned in cases
    ]
    jobs.write_text(json.dumps(rows))
    results = harness.in_environment("pulumi", "run_pulumi.py", str(jobs)).ok().json
    assert [result.get("error") for result in results] == [None] * len(cases)
    assert [loads_commit(result["resources"]) for result in results] == [True, False, False]


MODEL = "meta-llama/Llama-3.1-8B-Instruct"
TWO_MODELS = ({"*": REVISION}, {"vllm": REVISION}, {MODEL: REVISION, "*": "main"}, {"other/model": REVISION})
"""Pins of a fleet that loads two repositories: a commit for both is refused; a model's own comes first, or is unused."""
OPTIONS = ([], [], [f"--revision={REVISION}", "--revision=main"], [])


def of_two_models(directory, language):
    """Write code of a fleet in two precisions; its variables."""
    place = PLACES["aws-ec2"]
    groups = [{"precision": "bf16"}, {"precision": "fp8", "instance_type": "g6e.xlarge", "accelerator": "L40S"}]
    plan = make_fleet_plan(
        *(place.group(**STEADY, **facts, request_shares=(0.5, 0.5)) for facts in groups), policy=Policy.STATIC
    )
    write_files(generate(plan, language, place.wanted), directory)
    return place.variables(plan.fleet.groups[0].region)


def revisions_in(value: Any) -> list[str]:
    """Options of revisions in what starts, each once."""
    return sorted({option for text in texts(value) for option in re.findall(r"--revision=\w+", text)})


def test_a_root_takes_commits_by_the_name_of_the_model(tmp_path, simulated_clouds):
    """A commit by engine or for all is refused where the fleet loads several repositories."""
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    variables = of_two_models(tmp_path, Language.TERRAFORM)
    for pinned, expected in zip(TWO_MODELS, OPTIONS, strict=True):
        values = json.dumps({**variables, "model_revisions": pinned})
        (tmp_path / "terraform.tfvars.json").write_text(values)
        terraform.init()
        planned = terraform("plan", "-no-color", "-input=false", "-out=plan.bin")
        if REVISION in (pinned.get("*"), pinned.get("vllm")):
            assert f"by the name of its model: {MODEL}" in " ".join(planned.err.replace("│", " ").split())
            continue
        terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
        assert revisions_in(terraform("show", "-json").ok().json["values"]) == expected


def test_a_program_takes_commits_by_the_name_of_the_model(tmp_path):
    """The same, evaluated as a program."""
    needs("pulumi")
    program, jobs = tmp_path / "program", tmp_path / "jobs.json"
    variables = of_two_models(program, Language.PYTHON)
    rows = [
        {"program": str(program), "configuration": {**variables, "model_revisions": pinned}, "answers": parity.ANSWERS}
        for pinned in TWO_MODELS
    ]
    jobs.write_text(json.dumps(rows))
    results = harness.in_environment("pulumi", "run_pulumi.py", str(jobs)).ok().json
    for pinned, result, expected in zip(TWO_MODELS, results, OPTIONS, strict=True):
        if REVISION in (pinned.get("*"), pinned.get("vllm")):
            assert "give each by name: RedHatAI/" in result["error"]
        else:
            assert result.get("error") is None
            assert revisions_in(result["resources"]) == expected


EDITED: Mapping[str, tuple[Place, Form]] = {
    **{target: (place, Form.MANIFESTS) for target, place in PLACES.items()},
    "gcp-mig": (replace(PLACES["gcp-mig"], target="mig"), Form.MANIFESTS),
    "tpu-vm": (
        Place(partial(google_group, **TPU), FOUR_CHIPS, "us-east1", gcp_mig.variables, "tpu-vm"),
        Form.MANIFESTS,
    ),
    **{name: (place, Form(form or "manifests")) for name, (place, form) in REPLANNED_CLUSTERS.items()},
    "kubernetes": (replace(REPLANNED_CLUSTERS["kubernetes"][0], target="kubernetes"), Form.MANIFESTS),
    **{f"gke, {form}": (PLACES["gke"], form) for form in Form},
}
"""Each target, and form of manifests."""
OTHER_ZONES = {"aws": ("us-east-1-az1", "us-east-1-az6"), "gcp": ("us-central1-b", "us-central1-c")}
CHANGES = ("type", "type and region", "types of two groups")
CASES = [
    (backend, language, change)
    for backend, (place, _) in EDITED.items()
    for language in Language
    for change in CHANGES
    if backend != "ibm-vpc"
    if change != CHANGES[2] or place.target in CLUSTERS
]
IMAGE = re.compile(r"(vllm/vllm-openai|vllm-runtime|amazonaws.com/vllm|vllm-tpu|vllm/vllm-tpu|\btag): ?[\w.-]+")
FIGURES = {"context_tokens": 4096, "max_concurrency": 64, "memory_utilization": 0.8}
"""Figures of the other type, whose arguments stand above and below the flag of the user."""
ARGUMENT = re.compile(r"^( +)(- )?([\"']?)--max-model-len=\d+(.*)\n", re.MULTILINE)
VARIABLE = re.compile(r"^( +)(\"?)SM_VLLM_DTYPE(\"?:?)( *=)? *\"bfloat16\"(,?)\n", re.MULTILINE)
SWITCH = "SM_VLLM_ENABLE_CHUNKED_PREFILL"


def pods_of(directory):
    """Path → text of the files that hold what replicas are started with."""
    paths = [directory / name for name in ("fleet.tf", "inference/fleet.py")]
    paths += sorted((directory / "kubernetes").rglob("*.yaml"))
    texts = {path: path.read_text() for path in paths if path.is_file()}
    return {path: text for path, text in texts.items() if ARGUMENT.search(text) or VARIABLE.search(text)}


def add_edits(directory, pin):
    """A flag among the figures of every replica, and another pin of every image."""
    for path, plain in pods_of(directory).items():
        flagged = ARGUMENT.sub(rf"\g<0>\1\2\g<3>{FLAG}\4\n", plain)
        text = VARIABLE.sub(rf'\g<0>\1\g<2>{SWITCH}\3\4 "true"\5\n', flagged)
        path.write_text(IMAGE.sub(lambda image: image[0] + pin if image[1] == "tag" else image[1] + pin, text))


def without_edits(directory, pin):
    """Files of replicas, each with its number of replicas, flags and pins where these are not alike."""
    lacking = {}
    for path, text in pods_of(directory).items():
        replicas = len(ARGUMENT.findall(text)) + len(VARIABLE.findall(text))
        flags = text.count(FLAG) + text.count(SWITCH)
        images = [image[0] for image in IMAGE.finditer(text) if pin not in image[0] + text[image.end() :][: len(pin)]]
        if flags != replicas or images or pin not in text:
            lacking[path.relative_to(directory).as_posix()] = (replicas, flags, images)
    return lacking


def replanned(place, change):
    """Plans before and after a change, of types that are sold in different zones."""
    provider = place.group().provider
    another_type = place.another_type | FIGURES
    other = another_type | ({"zone_names": OTHER_ZONES[provider]} if provider in OTHER_ZONES else {})
    if change == "type and region":
        other = another_type | {"region": place.another_region}
    pairs = [({}, other), (SPOT, other | SPOT)] if change == "types of two groups" else [({}, other)]
    shares = {**STEADY, "request_shares": (1 / len(pairs), 1 / len(pairs))}
    return [
        make_fleet_plan(*(place.group(**shares, **pair[at]) for pair in pairs), policy=Policy.STATIC) for at in (0, 1)
    ]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("backend", "language", "change"), CASES)
def test_edits_of_code_survive(backend, language, change, tmp_path):
    """A flag, and a digest or tag, of what runs are those of its successor, from the first run to the last."""
    place, form = EDITED[backend]
    wanted, pin = replace(place.wanted, form=form), {Language.TERRAFORM: DIGEST, Language.PYTHON: ":v9.9.9"}[language]
    before, after = replanned(place, change)

    def run_plan(plan, stage=None, *, force=False):
        generated = generate(plan, language, wanted, former=read_former(tmp_path, stage, force=force))
        write_files(generated, tmp_path, WriteOptions(ConflictPolicy.THEIRS if force else None, force=force))
        return generated.rollouts[""]

    run_plan(before)
    add_edits(tmp_path, pin)
    assert pods_of(tmp_path)
    assert without_edits(tmp_path, pin) == {}
    if form in UNWEIGHTED and change != "type and region":
        with pytest.raises(InputError, match="spreads requests evenly") as refused:
            run_plan(after)
        assert "--conflicts theirs" in refused.value.hint
        run_plan(after, Stage.FINISH, force=True)
        assert without_edits(tmp_path, pin) == {}
        return
    rollout = run_plan(after)
    assert without_edits(tmp_path, pin) == {}
    for stage in (Stage.SHIFT, Stage.FINISH) if rollout.retiring else ():
        run_plan(after, stage)
        assert without_edits(tmp_path, pin) == {}


def test_edits_that_do_not_fit_are_named(tmp_path):
    """IBM's other machines take another container: the new entry has the flag, and the run says that it lacks the pin."""
    place = PLACES["ibm-vpc"]
    run(tmp_path, Language.TERRAFORM, "ibm-vpc", "static")
    add_edits(tmp_path, DIGEST)
    generated = generate(plan_of(place, ANOTHER_TYPE), wanted=place.wanted, former=read_former(tmp_path))
    (change,) = write_files(generated, tmp_path).edited
    assert "vllm-gaudi too, but for image: write them there too, where they should hold" in change.note
    assert (tmp_path / "fleet.tf").read_text().count(FLAG) == 2


@pytest.mark.parametrize("form", Form)
def test_new_backends_without_edits_are_named(form, tmp_path):
    """Two types in place of one, by no trait its successor: the first run names each that lacks the edits."""
    place = PLACES["gke"]
    wanted = replace(place.wanted, form=form)
    others = [{"instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"}, A100]
    single, two = (
        make_fleet_plan(
            *(place.group(**STEADY, **facts, request_shares=(1 / len(kinds), 1 / len(kinds))) for facts in kinds),
            policy=Policy.STATIC,
        )
        for kinds in ([{}], others)
    )
    write_files(generate(single, wanted=wanted), tmp_path)
    add_edits(tmp_path, DIGEST)
    (edited,) = (path.relative_to(tmp_path).as_posix() for path in pods_of(tmp_path))
    force = form in UNWEIGHTED
    generated = generate(two, wanted=wanted, former=read_former(tmp_path, Stage.FINISH if force else None, force=force))
    write_options = WriteOptions(force=force, conflicts=ConflictPolicy.THEIRS if force else None)
    said = "; ".join(
        f"{change.path}: {change.note}" for change in write_files(generated, tmp_path, write_options).changes
    )
    has_files = form in (*POOLED, Form.MANIFESTS)
    for group in generated.rollouts[""].planned.groups:
        name = group.backend if has_files else group.key
        lacks = f"{name}.yaml: without your edits of {edited}: {WRITE_THEM}"
        assert lacks in said or re.search(rf"those of \S+ are not in [^;:]*{name}[^;:]*: {WRITE_THEM}", said)


def test_a_new_region_without_edits_is_named(tmp_path):
    """A second region beside the first: nothing retires, and its files are as generated."""
    place = PLACES["gke"]
    run(tmp_path, Language.TERRAFORM, "gke", "static")
    add_edits(tmp_path, DIGEST)
    generated = generate(plan_of(place, ONE_REGION_MORE), wanted=place.wanted, former=read_former(tmp_path))
    notes = {change.path: change.note for change in write_files(generated, tmp_path).changes if change.note}
    former = "kubernetes/us-central1/us-central1-1xl4-bf16-tp1-vllm.yaml"
    expected = f"without your edits of {former}: {WRITE_THEM}"
    assert notes["kubernetes/europe-west4/europe-west4-1xl4-bf16-tp1-vllm.yaml"] == expected
