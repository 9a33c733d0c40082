"""Pins of an engine hold on the runtime that they were made for, and on no other."""

import re

from advisor.codegen import Language, Wanted, generate, read_former, write_files
from advisor.codegen.hcl import literal, read_hcl
from codegen.plans import make_fleet_plan, make_group
from iac.test_replans import A10G, NEURON

ON_NEURON = {**NEURON, "region": "us-east-1"}
ON_CUDA = {**A10G, "region": "us-east-1"}


def run(directory, *groups, **wanted):
    """Generate code of a plan of these groups; the warnings about pins."""
    share = round(1 / len(groups), 3)
    plan = make_fleet_plan(*(make_group(request_shares=(share, share), **group) for group in groups))
    generated = generate(plan, Language.TERRAFORM, Wanted(**wanted), former=read_former(directory))
    write_files(generated, directory)
    return [warning for warning in generated.warnings if warning.startswith("pins under")]


def engines(directory):
    """The name among pins of each backend of a root on EC2, by the repository of its image."""
    document = read_hcl((directory / "fleet.tf").read_text(), "fleet.tf")
    (block,) = document.body.of("locals")
    backends = literal(block.attributes["backends"].value.node)
    return {entry["image"].partition(":")[0].rpartition("/")[2]: entry["engine"] for entry in backends.values()}


def keys(directory):
    """Keys that pins may have beside backends."""
    (listed,) = re.findall(
        r"pin_keys = concat\(keys\(local.backends\), \[([^]]*)\]", (directory / "variables.tf").read_text()
    )
    return re.findall(r'"([^"]+)"', listed)


def test_two_runtimes_of_an_engine_have_two_names(tmp_path):
    """The suggested pins are of one image each, and the name of the engine alone is refused."""
    assert run(tmp_path, ON_NEURON, ON_CUDA) == []
    assert engines(tmp_path) == {"pytorch-inference-vllm-neuronx": "vllm-neuron", "vllm-openai": "vllm-cuda"}
    assert {"vllm-neuron", "vllm-cuda"} <= set(keys(tmp_path))
    assert "vllm" not in keys(tmp_path)
    example = (tmp_path / "terraform.tfvars.example").read_text()
    assert re.search(r'"?vllm-neuron"?\s*=\s*"public.ecr.aws/neuron/', example)
    assert re.search(r'"?vllm-cuda"?\s*=\s*"vllm/vllm-openai', example)
    assert 'By engine (vllm-cuda, vllm-neuron) or "*" these outlive a changed plan' in example
    readme = " ".join((tmp_path / "README.md").read_text().split())
    assert 'Images by engine (`vllm-cuda`, `vllm-neuron`) or `"*"`, and commits by model, outlive a plan' in readme


def test_one_runtime_goes_by_the_name_of_its_engine(tmp_path):
    """Another type for the same runtime keeps the name, and says nothing."""
    run(tmp_path, ON_CUDA)
    assert engines(tmp_path) == {"vllm-openai": "vllm"}
    assert run(tmp_path, {**ON_CUDA, "instance_type": "g6.xlarge", "accelerator": "L4"}) == []
    assert engines(tmp_path) == {"vllm-openai": "vllm"}


def test_a_pin_of_neuron_does_not_hold_for_gpus(tmp_path):
    """The name stays that of Neuron's image; GPUs have one of their own, which the run names once."""
    run(tmp_path, ON_NEURON)
    assert engines(tmp_path) == {"pytorch-inference-vllm-neuronx": "vllm"}
    (warning,) = run(tmp_path, ON_CUDA, ON_NEURON)
    assert warning == (
        "pins under vllm were made for vllm on neuron and are not carried over to cuda: "
        "name images, models, revisions and arguments for it under vllm-cuda"
    )
    assert engines(tmp_path) == {"pytorch-inference-vllm-neuronx": "vllm", "vllm-openai": "vllm-cuda"}
    assert {"vllm", "vllm-cuda"} <= set(keys(tmp_path))
    assert run(tmp_path, ON_CUDA, ON_NEURON) == []


def test_names_outlive_a_plan_without_the_runtime(tmp_path):
    """Neuron, GPUs alone, and Neuron again: each has its name as before, and both stay keys."""
    run(tmp_path, ON_NEURON)
    run(tmp_path, ON_NEURON, ON_CUDA)
    run(tmp_path, ON_CUDA)
    assert engines(tmp_path)["vllm-openai"] == "vllm-cuda"
    assert run(tmp_path, ON_NEURON, ON_CUDA) == []
    assert engines(tmp_path) == {"pytorch-inference-vllm-neuronx": "vllm", "vllm-openai": "vllm-cuda"}


def test_a_commit_of_the_former_repository_is_told(tmp_path):
    """Another precision is loaded from another repository, which has no commit of the former one: once, by its name."""

    def told(**facts):
        generated = generate(make_fleet_plan(make_group(**facts)), former=read_former(tmp_path))
        write_files(generated, tmp_path)
        return [warning for warning in generated.warnings if "model_revisions" in warning]

    fp8 = {"instance_type": "g6e.xlarge", "accelerator": "L40S", "precision": "fp8"}
    assert told() == []
    assert told(instance_type="g5.xlarge", accelerator="A10G") == []
    (warning,) = told(**fp8)
    assert "by engine (vllm) or for all is one of meta-llama/Llama-3.1-8B-Instruct, and RedHatAI/" in warning
    assert told(**fp8) == []


def test_labels_of_pods_tell_runtimes_apart(tmp_path):
    """Patches of the kustomization select Deployments by the same name."""
    run(tmp_path, ON_NEURON, ON_CUDA, target="eks")
    texts = [path.read_text() for path in (tmp_path / "kubernetes").rglob("*.yaml")]
    labels = {label for text in texts for label in re.findall(r"inference/engine: (\S+)", text)}
    assert {label.strip('"') for label in labels} == {"vllm-neuron", "vllm-cuda"}
    assert any("# - ENGINE: vllm-neuron" in text for text in texts)
