"""LoRA adapters in generated code: options, names, weights from a bucket, and targets that take none."""

import dataclasses
import re
import subprocess

import pytest
import yaml

from advisor.codegen import Form, Language, Wanted, generate
from advisor.errors import InputError, NotDeployable
from codegen.check import findings
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS

NAMED = [
    {"id": "acme/sql-lora", "rank": 16, "on_hub": True},
    {"id": "acme/mail-lora", "rank": 8, "on_hub": True},
    {"id": "support-de", "rank": 16, "on_hub": False},
]
MACHINES = {
    "ec2": {},
    "eks": {},
    "mig": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
    "gke": {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"},
    "vm-scale-set": {
        "provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4", "accelerator": "A100-80GB-PCIe",
    },
    "aks": {
        "provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4", "accelerator": "A100-80GB-PCIe",
    },
}  # fmt: skip


def planned(named=NAMED, count=3, rank=16, slots=2, **changes):
    """A plan of one group with adapters; *changes* replace fields of the group."""
    plan = make_fleet_plan(make_group(**changes))
    adapters = {
        "count": count, "rank": rank, "target_modules": ["q_proj", "v_proj"], "slots": slots, "bytes": 1e8, "named": named,
    }  # fmt: skip
    return dataclasses.replace(plan, workload=plan.workload | {"adapters": adapters})


def written(plan, target, language=Language.TERRAFORM, **wanted):
    """The files of a plan."""
    return generate(plan, language, Wanted(target=target, **wanted)).files


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("target", MACHINES)
def test_every_host_and_cluster_starts_with_the_adapters(target, language):
    """Slots, ranks and names; the README says how to call one, and the code is sound."""
    files = written(planned(**MACHINES[target]), target, language)
    code = "\n".join(text for path, text in files.items() if not path.endswith("plan.json"))

    for argument in ("--enable-lora", "--max-loras=2", "--max-lora-rank=16", "--max-cpu-loras=3", "--lora-modules"):
        assert argument in code, argument
    assert "sql-lora=acme/sql-lora" in code
    assert "support-de=support-de" in code
    readme = files["README.md"].replace("\n", " ")
    assert "sql-lora" in readme
    assert "the hub has no support-de" in readme
    assert not findings(files)


@pytest.mark.parametrize("target", MACHINES)
def test_adapters_that_the_hub_lacks_ask_for_a_source_of_weights(target):
    """The input has no default and takes no hub; with all of them on the hub nothing is asked."""

    def declared(named):
        files = written(planned(named=named, **MACHINES[target]), target)
        text = files.get("variables.tf", "") or files["terraform/variables.tf"]
        return text.partition('variable "model_source"')[2].partition("\nvariable")[0], "\n".join(files.values())

    asked, code = declared(NAMED)
    assert "default" not in asked
    assert 'var.model_source != "hub"' in asked
    assert re.search(r'\n *model_source *= "(s3|gs|az)://', code)
    free, _ = declared(NAMED[:2])
    assert re.search(r'default *= "hub"', free)
    assert "!=" not in free


def test_a_program_asks_for_a_source_of_adapters_that_the_hub_lacks():
    """Its setting has no default, and its check says what to give."""
    code = "\n".join(written(planned(), "ec2", Language.PYTHON).values())

    assert "model_source: adapters of the plan are not on the hub" in code
    declared, _, _ = code.partition("model_source: str = setting(")[2].partition("\n    )")
    assert "Where the weights come from" in declared
    assert "default" not in declared


def test_hosts_on_ibm_copy_them_too():
    """One call of the script for each, before the engine starts."""
    changes = {"provider": "ibm", "region": "eu-de", "instance_type": "gx3d-160x1792x8h100", "accelerator": "H100-SXM"}
    files = written(planned(**changes), "ibm-vpc")
    script = next(text for path, text in files.items() if path.endswith(".tftpl"))

    assert "for adapter in acme/sql-lora acme/mail-lora support-de; do" in script
    assert not findings(files)


@pytest.mark.parametrize("target", ["ec2", "mig", "vm-scale-set"])
def test_hosts_copy_adapters_beside_the_weights(target):
    """Each from the bucket that the model comes from, and the container looks for them there."""
    files = written(planned(**MACHINES[target]), target)
    script = next(text for path, text in files.items() if path.endswith((".tftpl", "host.py")) and "workdir" in text)

    assert "acme/sql-lora" in script
    if target == "vm-scale-set":
        compile(script, "host.py", "exec")
    else:
        rendered = script.replace("$${", "${").encode()
        assert subprocess.run(["bash", "-n"], input=rendered, check=False).returncode == 0


@pytest.mark.parametrize("target", ["eks", "gke", "aks"])
def test_clusters_copy_adapters_beside_the_weights(target):
    """To the bucket as jobs of their own, where the hub has them; from it before the engine starts; nothing streams."""
    files = written(planned(**MACHINES[target]), target)
    jobs = files["kubernetes/weights/copy/jobs.yaml"]
    copy = files["kubernetes/weights/bucket/copy.sh"]
    engine = next(text for path, text in files.items() if path.endswith("vllm.yaml"))

    assert "copy-acme-sql-lora" in jobs
    assert "support-de" not in jobs
    assert '"$remote/support-de/" "/cache/models/support-de"' in copy
    assert "workingDir: /cache/models" in engine
    assert "workingDir: /models" in files["kubernetes/weights/folder/kustomization.yaml"]
    assert not any("weights/stream" in path for path in files)


@pytest.mark.parametrize("target", ["eks", "gke", "aks"])
def test_clusters_copy_adapters_at_their_commits(target):
    """Those that are kept by name: the next copy is the same, and the README says what no option pins."""
    commits = {"acme/sql-lora": "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"}
    generated = generate(planned(**MACHINES[target]), wanted=Wanted(target=target, commits=commits))
    assert {"acme/sql-lora", "acme/mail-lora"} <= {*generated.models}
    assert "support-de" not in generated.models
    revisions = {}
    for job in yaml.safe_load_all(generated.files["kubernetes/weights/copy/jobs.yaml"]):
        if job["kind"] != "Job":
            continue
        (download,) = job["spec"]["template"]["spec"]["initContainers"]
        variables = {variable["name"]: variable.get("value") for variable in download["env"]}
        revisions[variables["MODEL_ID"]] = variables["MODEL_REVISION"]
    assert revisions["acme/sql-lora"] == commits["acme/sql-lora"]
    assert revisions["acme/mail-lora"] == "main"
    readme = " ".join(generated.files["README.md"].split())
    assert "from the hub it is the newest, for no option of the engine takes an adapter's commit" in readme


@pytest.mark.parametrize(("scenario", "is_told"), [("ec2-gguf", True), ("ec2-custom-image", False), ("l4-spot", False)])
def test_what_an_engine_cannot_pin_is_said(scenario, is_told):
    """Once, where model_revisions would be advised in vain."""
    case = SCENARIOS[scenario]()
    readme = " ".join(generate(case.plan, wanted=case.wanted).files["README.md"].split())
    assert readme.count("no option of llama.cpp") == is_told
    assert ("takes a commit: pins of revisions do not hold for it" in readme) == is_told


def test_without_adapters_nothing_is_said_of_them():
    """Neither in hosts nor in clusters."""
    plan = make_fleet_plan(make_group())
    for target in ("ec2", "eks"):
        code = "\n".join(written(plan, target).values())
        assert "lora" not in code.lower().replace("explora", "")
        assert "workingDir" not in code
        assert "workdir" not in code


def test_adapters_without_names_are_told_how_to_be_named():
    """Slots are there, and no adapter in them."""
    files = written(planned(named=[], count=24, slots=24), "ec2")

    assert "--max-loras=24" in files["fleet.tf"]
    assert "--lora-modules" not in files["fleet.tf"]
    assert "the plan counts 24 LoRA adapters and names none" in files["README.md"].replace("\n", " ").replace("  ", " ")


def test_sglang_is_told_its_modules():
    """Its slots hold what the adapters change, at their own rank."""
    files = written(planned(engine="SGLang", engine_version="0.5.23", rank=20), "ec2")
    fleet = files["fleet.tf"]

    for argument in (
        "--enable-lora",
        "--max-loras-per-batch=3",
        "--max-loaded-loras=3",
        "--max-lora-rank=20",
        "--lora-paths",
    ):
        assert argument in fleet, argument
    assert fleet.index("--lora-target-modules") < fleet.index('"q_proj"') < fleet.index('"v_proj"')


@pytest.mark.parametrize(
    ("target", "changes", "words"),
    [
        ("sagemaker", {}, "real-time endpoint"),
        ("ec2", {"engine": "TensorRT-LLM", "engine_version": "1.2.1"}, "trtllm-serve takes LoRA"),
        (
            "ec2",
            {"engine": "llama.cpp server", "engine_version": "", "accelerator_count": 1},
            "llama-server takes each",
        ),
        ("ec2", {"rank": 600}, "up to rank 512, and these have rank 600"),
    ],
)
def test_what_takes_no_adapters_says_so(target, changes, words):
    """A target, an engine, and an engine at that rank."""
    with pytest.raises((InputError, NotDeployable), match=words):
        written(planned(**changes), target)


@pytest.mark.parametrize("form", [Form.DYNAMO, Form.PRODUCTION_STACK])
def test_forms_whose_router_knows_models_refuse_adapters(form):
    """Whether it routes by their names was not found."""
    with pytest.raises(InputError, match="names of LoRA adapters"):
        written(planned(), "eks", form=form)


@pytest.mark.parametrize("form", [Form.KSERVE, Form.INFERENCE_POOL])
def test_other_forms_name_them(form):
    """As the manifests do."""
    code = "\n".join(written(planned(), "eks", form=form).values())

    assert "--lora-modules" in code
    assert "sql-lora=acme/sql-lora" in code
