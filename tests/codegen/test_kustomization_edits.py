"""What the comments of a kustomization ask for, and what the next plan changes, in one file."""

import itertools
import re
from types import SimpleNamespace

import pytest
import yaml

from advisor.cli.app import main
from advisor.codegen import (
    ConflictPolicy,
    Engine,
    Form,
    Stage,
    Wanted,
    WriteOptions,
    generate,
    read_former,
    write_files,
)
from advisor.codegen.kubernetes_weights import model_map_name
from advisor.codegen.writing.merging import merge
from advisor.errors import InputError
from advisor.plan.document import plan_to_json
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import azure_vm_scale_set, managed_kubernetes

EDITS = {
    "reads metrics": [("  # - pod-monitor.yaml", "  - pod-monitor.yaml")],
    "alerts": [("  # - prometheus-rule.yaml", "  - prometheus-rule.yaml")],
    "route": [("  # - route.yaml", "  - route.yaml")],
    "google gateway": [("  # - google-gateway.yaml", "  - google-gateway.yaml")],
    "bucket": [("# components:\n#   - ../weights/bucket", "components:\n  - ../weights/bucket")],
    "folder": [("# components:", "components:"), ("#   - ../weights/folder", "  - ../weights/folder")],
    "revision": [('"MODEL_REVISION=main" # pin it by commit', '"MODEL_REVISION=0123abc"')],
    "digest": [
        (
            "# images:\n#   - name: IMAGE\n#     digest: sha256:...",
            "images:\n  - name: vllm/vllm-openai\n    digest: sha256:aa",
        )
    ],
}
"""What a comment asks for → lines, and what a user makes of them."""
STEADY = {"instances": (3, 3)}
SGLANG = {"engine": "SGLang", "engine_version": "0.5.9"}
PLACES = {
    "eks": (make_group, {"instance_type": "g5.xlarge", "accelerator": "A10G"}),
    "gke": (
        lambda **facts: make_group(
            **{"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
            | facts
        ),
        {"instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"},
    ),
    "aks": (
        azure_vm_scale_set.azure_group,
        {"instance_type": "Standard_NC80adis_H100_v5", "accelerator": "H100-NVL", "accelerator_count": 2.0},
    ),
    "kubernetes": (
        managed_kubernetes.h100,
        {"instance_type": "gpu-h200-sxm_1gpu-16vcpu-200gb", "accelerator": "H200"},
    ),
}
"""Target → its group, and another type of machine."""
HALVES = {"request_shares": (0.5, 0.5)}


def plans_of(target):
    """Name → plan: what comes one after the other in a directory."""
    group, other = PLACES[target]
    halves = group(**STEADY, **HALVES)
    return {
        "static": make_fleet_plan(group(**STEADY), policy=Policy.STATIC),
        "by load": make_fleet_plan(group(), policy=Policy.REACTIVE),
        "by the clock": make_fleet_plan(group()),
        "another type": make_fleet_plan(group(**STEADY, **other), policy=Policy.STATIC),
        "two types": make_fleet_plan(halves, group(**STEADY, **HALVES, **other), policy=Policy.STATIC),
        "another engine beside": make_fleet_plan(halves, group(**STEADY, **HALVES, **SGLANG), policy=Policy.STATIC),
    }


def kustomizations_of(target):
    """Name of a plan → its kustomization."""
    return {
        name: next(
            text
            for path, text in generate(plan, wanted=Wanted(target=target)).files.items()
            if path.startswith("kubernetes/") and path.endswith("/kustomization.yaml") and "/weights/" not in path
        )
        for name, plan in plans_of(target).items()
    }


@pytest.mark.parametrize("target", list(PLACES))
def test_edits_that_comments_ask_for_meet_no_later_plan(target):
    """Each edit stands in the merged file once, beside everything that the plan changed."""
    texts = kustomizations_of(target)
    for (before, base), (after, theirs) in itertools.permutations(texts.items(), 2):
        for name, changes in EDITS.items():
            if not all(old in base for old, _ in changes):
                continue
            mine = base
            for old, new in changes:
                mine = mine.replace(old, new)
            pieces = merge(base.encode(), mine.encode(), theirs.encode())
            assert all(isinstance(piece, bytes) for piece in pieces), (target, before, after, name)
            merged = b"".join(pieces).decode()
            assert all(new in merged for _, new in changes), (target, before, after, name)
            files = yaml.safe_load(merged)["resources"]
            assert {*yaml.safe_load(theirs)["resources"]} <= {*files}, (target, before, after, name)


def _kept_out(directory, before, after):
    """A directory whose kustomization the user keeps as it was, while the plan brings another backend."""
    wanted = Wanted(target="eks")
    write_files(generate(before, wanted=wanted), directory)
    path = directory / "kubernetes/us-east-1/kustomization.yaml"
    path.write_text(re.sub(r'(  - "us-.*)', r"\1 # ours", path.read_text()))
    write_options = WriteOptions(ConflictPolicy.MINE)
    write_files(generate(after, wanted=wanted, former=read_former(directory)), directory, write_options)
    return path, write_options


def test_requests_are_not_shifted_to_pods_that_no_apply_makes(tmp_path):
    """A kustomization of the user's that leaves a backend out stops the cut-over, and says which line is missing."""
    plans = plans_of("eks")
    before, after = plans["static"], plans["another type"]
    path, write_options = _kept_out(tmp_path, before, after)
    code = generate(after, wanted=Wanted(target="eks"), former=read_former(tmp_path, Stage.SHIFT))
    with pytest.raises(InputError, match=r"does not list .*a10g.*100 % of the requests") as refusal:
        write_files(code, tmp_path, write_options)
    assert "to its resources, apply" in refusal.value.hint
    (name,) = [file.name for file in path.parent.glob("us-east-1-*a10g*.yaml")]
    path.write_text(path.read_text().replace("  - namespace.yaml", f"  - namespace.yaml\n  - {name}"))
    write_files(
        generate(after, wanted=Wanted(target="eks"), former=read_former(tmp_path, Stage.SHIFT)), tmp_path, write_options
    )


@pytest.mark.parametrize("language", ["terraform", "pulumi"])
@pytest.mark.parametrize(
    ("target", "form"), [("eks", "manifests"), ("eks", "kserve"), ("gke", "llm-d"), ("aks", "production-stack")]
)
def test_a_directory_keeps_its_target_and_form(target, form, language, tmp_path, monkeypatch, capsys):
    """Without --target, the next run writes for the target that is there, --force or not, and in its form."""
    plan, plans = tmp_path / "plan.json", plans_of(target)
    runs = [
        ("static", ["--target", target, "--form", form]),
        ("static", []),
        ("two types", []),
        ("static", ["--force"]),
    ]
    for name, options in runs:
        plan.write_text(plan_to_json(plans[name]))
        command = ["advisor", "generate", language, str(plan), "--into", str(tmp_path / "code"), *options]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr().err
        assert not stopped.value.code, told
        is_asked = "--target" in options
        assert (f"holds code for {target}, which is written again" in told) == (not is_asked)
        assert (f"holds the form {form}" in told) == (form != "manifests" and not is_asked)
        former = read_former(tmp_path / "code")
        assert (former.targets, former.form) == ({"": target}, form)


COMMIT = "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"
FP8 = {"precision": "fp8"}


@pytest.mark.parametrize("form", [Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D])
def test_a_commit_is_of_the_model_that_it_was_given_to(form, tmp_path):
    """Another precision is another repository, whose revision stays the newest; the pin goes with its model at last."""
    group, _ = PLACES["gke"]
    plans = [make_fleet_plan(group(**STEADY, **facts), policy=Policy.STATIC) for facts in ({}, FP8)]
    wanted = Wanted(target="gke", form=form)
    write_files(generate(plans[0], wanted=wanted), tmp_path)
    (path,) = (each for each in tmp_path.glob("kubernetes/*/kustomization.yaml") if "weights" not in str(each))
    path.write_text(path.read_text().replace("MODEL_REVISION=main", f"MODEL_REVISION={COMMIT}"))

    def pinned(plan, stage=None):
        generated = generate(plan, wanted=wanted, former=read_former(tmp_path, stage))
        report = write_files(generated, tmp_path)
        maps = yaml.safe_load(path.read_text())["configMapGenerator"]
        pairs = (dict(line.split("=") for line in each["literals"]) for each in maps if each["name"] != "scaling")
        told = [warning for warning in generated.warnings if "MODEL_REVISION" in warning]
        notes = [change.note for change in report.changes if change.path == path.relative_to(tmp_path).as_posix()]
        return {pair["MODEL_ID"]: pair["MODEL_REVISION"] for pair in pairs}, told, notes[0]

    former, new = "meta-llama/Llama-3.1-8B-Instruct", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"
    both = {former: COMMIT, new: "main"}
    held, told, _ = pinned(plans[1])
    assert held == both
    is_not_its_own = f"MODEL_REVISION of {former} is not its own; pin it under its own name in kustomization.yaml"
    assert told == [f"{new} is loaded now, at its newest: {is_not_its_own}"]
    assert pinned(plans[1], Stage.SHIFT)[:2] == (both, [])
    held, _, note = pinned(plans[1], Stage.FINISH)
    assert held == {new: "main"}
    assert note.endswith(f"your MODEL_REVISION {COMMIT} went with its model, which nothing loads any more")
    kept = [copy for copy in (tmp_path / ".advisor/replaced").rglob("*") if copy.is_file()]
    assert any(COMMIT in copy.read_text() for copy in kept)


def test_models_of_one_name_have_maps_of_their_own():
    """Two repositories of different organisations: neither is loaded in the place of the other."""
    backends = [
        SimpleNamespace(
            container=SimpleNamespace(engine=Engine.VLLM, checkpoint=SimpleNamespace(model_id=name, needed=""))
        )
        for name in ("one/model", "two/model", "two/other", "two/other")
    ]
    names = [model_map_name(backend, beside=backends) for backend in backends]
    assert len({*names}) == 3
    assert all(
        name.startswith(start) for name, start in zip(names, ("vllm-one-model-", "vllm-two-model-"), strict=False)
    )
    assert names[2:] == ["vllm-other", "vllm-other"]
