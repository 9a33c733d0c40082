"""What kubectl, the API's schemas and scanners say of the generated manifests."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.writing import write_files
from codegen.forms import FORMS
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS
from iac import harness, kubernetes_tools
from iac.modules import needs, of_today

CLUSTERS = ("eks", "gke", "aks", "kubernetes")
NAMES = [name for name, make in SCENARIOS.items() if (make().wanted.target or "").startswith(CLUSTERS)]
SCANNED = of_today(NAMES, shares=8)
VERSIONS = ("1.33.1", "1.37.0")
"""The oldest one that a cloud still supports, and the newest."""


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory):
    """The program."""
    needs("kubernetes")
    return kubernetes_tools.extract_kubectl(tmp_path_factory.mktemp("kubectl"))


@pytest.fixture
def root(tmp_path, request):
    """The generated files of a scenario."""
    scenario = SCENARIOS[request.param]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    return harness.write_module(files, tmp_path / request.param)


@pytest.mark.parametrize("root", of_today(NAMES, shares=6), indirect=True)
def test_kustomizations_build_valid_objects(root, kubectl):
    """Each folder builds, each object of the API itself is valid without an unknown property, and no placeholder stays."""
    kustomizations = list(root.glob("kubernetes/*/kustomization.yaml"))
    assert kustomizations
    for path in kustomizations:
        built = kubernetes_tools.built(kubectl, path.parent).ok().out
        assert "set-in-the-kustomization" not in built
        kinds = [one["kind"] for one in yaml.safe_load_all(built)]
        assert {"Namespace", "ServiceAccount", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"} <= set(
            kinds
        )
        (path.parent / "built.yaml").write_text(built)
        for version in VERSIONS:
            kubernetes_tools.validated(path.parent / "built.yaml", version).ok()


@pytest.mark.parametrize("root", ["gke-scheduled"], indirect=True)
def test_google_s_gateway_builds_with_the_rest(root, kubectl):
    """Taken in as the files say, the route and what Google's Gateway needs build, and are valid once the range is set."""
    for path in root.glob("kubernetes/*/kustomization.yaml"):
        path.write_text(path.read_text().replace("# - route.yaml", "- route.yaml").replace("# - google-", "- google-"))
        gateway = path.with_name("google-gateway.yaml")
        gateway.write_text(gateway.read_text().replace("set-the-range-of-the-proxy-only-subnet", "10.129.0.0/23"))
        built = kubernetes_tools.built(kubectl, path.parent).ok().out
        objects = list(yaml.safe_load_all(built))
        of_kind = {kind: [one for one in objects if one["kind"] == kind] for kind in ("Service", "HealthCheckPolicy")}
        assert len(of_kind["Service"]) == len(of_kind["HealthCheckPolicy"]) > 0
        assert "HTTPRoute" in {one["kind"] for one in objects}
        assert {one["metadata"]["namespace"] for one in of_kind["HealthCheckPolicy"]} == {"support-chat"}
        (path.parent / "built.yaml").write_text(built)
        kubernetes_tools.validated(path.parent / "built.yaml", VERSIONS[-1]).ok()


@pytest.mark.parametrize("name", [name for name in FORMS if name.endswith(("llm-d", "inference-pool", "dynamo"))])
def test_pods_and_objects_of_other_forms_are_valid(name, kubectl, tmp_path):
    """What is Kubernetes' own in a form is valid as such: kustomizations, policies, and the pods of other resources."""
    scenario = FORMS[name]()
    root = harness.write_module(generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files, tmp_path / name)
    for path in root.glob("kubernetes/*/kustomization.yaml"):
        kubernetes_tools.built(kubectl, path.parent).ok()
    objects = [
        one
        for path in root.glob("kubernetes/*/*.yaml")
        if path.name not in ("kustomization.yaml", "values.yaml", "google-gateway.yaml")
        for document in yaml.safe_load_all(path.read_text())
        for one in (document, *_pods_in(document))
    ]
    assert {"Pod", "Deployment"} & {one["kind"] for one in objects}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects))
    kubernetes_tools.validated(tmp_path / "all.yaml", VERSIONS[-1]).ok()


def _pods_in(document):
    """The pods that an object of Dynamo describes in full."""
    for one in document.get("spec", {}).get("components", ()):
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": one["podTemplate"]["spec"]}


def environment_of(container):
    """Variable → its value as Kubernetes makes it of those before it; what comes from a map or secret is its key."""
    values = {}
    for one in container["env"]:
        text = one.get("value", f"<{one.get('valueFrom', {})}>")
        values[one["name"]] = _expanded(text, values)
    return values


def _expanded(text, values):
    return re.sub(r"\$\((\w+)\)", lambda found: values.get(found[1], found[0]), text)


def taken_in(path, component):
    """The kustomization with a component of kubernetes/weights."""
    text = path.read_text()
    assert f"#   - ../weights/{component}\n" in text
    path.write_text(
        text.replace("# components:", "components:").replace(
            f"#   - ../weights/{component}\n", f"  - ../weights/{component}\n"
        )
    )


@pytest.mark.parametrize(
    ("root", "component", "folder"),
    [
        ("eks-two-regions", "bucket", "/cache/models/"),
        ("gke-tpu-v6e", "bucket", "/cache/models/"),
        ("aks-mi300x", "bucket", "/cache/models/"),
        ("eks-graviton", "folder", "/models/"),
        ("eks-sglang-replicas", "stream", "s3://bucket/prefix/"),
    ],
    indirect=["root"],
)
def test_weights_come_from_where_the_component_says(root, component, folder, kubectl):
    """Each engine loads the folder in place of the hub's name, and keeps its name for clients; the objects are valid.

    The jobs that fill the bucket build for themselves, as the service account that may write.
    """
    copying = kubernetes_tools.built(kubectl, root / "kubernetes/weights/copy").ok().out
    built = [copying]
    for path in root.glob("kubernetes/*/kustomization.yaml"):
        taken_in(path, component)
        built.append(kubernetes_tools.built(kubectl, path.parent).ok().out)
    (root / "built.yaml").write_text("---\n".join(built))
    kubernetes_tools.validated(root / "built.yaml", VERSIONS[-1]).ok()
    objects = list(yaml.safe_load_all((root / "built.yaml").read_text()))
    jobs = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Job"]
    assert {one["serviceAccountName"] for one in jobs} <= {"copy-weights"}
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    assert pods
    for pod in pods:
        (engine,) = pod["containers"]
        words = [_expanded(word, environment_of(engine)) for word in engine["args"]]
        assert [word for word in words if folder in word]
        assert ("--load-format=runai_streamer" in words) == (component == "stream")
        assert [word for word in words if word.startswith("--served-model-name=")]
        assert len(pod.get("initContainers", [])) == (1 if component == "bucket" else 0)
    for pod in (*pods, *jobs):
        names = {one["name"] for one in pod["volumes"]}
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert {one["name"] for one in container["volumeMounts"]} <= names


@pytest.mark.parametrize(
    ("root", "source", "remote"),
    [
        ("eks-l4-spot", "s3://weights/llm", ":s3:weights/llm/"),
        ("gke-l4-spot", "gs://weights", ":gcs:weights/"),
        ("aks-a100-spot", "az://account/models/llm", ":azureblob:models/llm/"),
    ],
    indirect=["root"],
)
def test_copy_takes_the_model_below_the_prefix(root, source, remote, tmp_path):
    """What rclone is asked for, with a stand-in of it; the source of another cloud is refused with what to give."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/rclone"
    program.write_text('#!/bin/sh\necho "$@" "${RCLONE_AZUREBLOB_ACCOUNT:-}"\n')
    program.chmod(0o755)
    (tmp_path / "MODEL_ID").write_text("organisation/model")
    script = (root / "kubernetes/weights/bucket/copy.sh").read_text().replace("/model/MODEL_ID", f"{tmp_path}/MODEL_ID")

    def run(model_source):
        settings = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "MODEL_SOURCE": model_source}
        return subprocess.run(["sh", "-c", script], env=settings, text=True, capture_output=True, check=False)

    said = run(source)
    assert said.returncode == 0, said.stderr
    assert f"{remote}organisation/model/ /cache/models/organisation/model" in said.stdout
    assert ("account" in said.stdout) == source.startswith("az")
    refused = run("hub")
    assert refused.returncode == 1
    assert f"give the likes of {source[:5]}" in refused.stderr


def test_a_mistake_does_not_pass(tmp_path):
    """The schemas are no rubber stamp: a misspelt property of a pod is an error."""
    needs("kubernetes")
    pod = {"containers": [{"name": "x", "image": "x", "imagePulPolicy": "Always"}]}
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    (tmp_path / "pod.yaml").write_text(json.dumps(wrong))
    said = kubernetes_tools.validated(tmp_path / "pod.yaml", VERSIONS[-1])
    assert said.code != 0
    assert "imagePulPolicy" in said.out + said.err


@pytest.fixture(scope="session")
def roots(tmp_path_factory):
    """A folder with the generated files of every scenario."""
    every = tmp_path_factory.mktemp("kubernetes")
    for name in SCANNED:
        scenario = SCENARIOS[name]()
        harness.write_module(generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files, every / name)
    return every


@pytest.mark.sampled(3)
def test_checkov_finds_nothing_in_manifests(roots):
    """What is not waived beside the object, with a reason, is not there."""
    needs("checkov")
    command = [harness.tool("checkov", "checkov"), "--directory", roots, "--framework", "kubernetes"]
    options = ["--skip-download", "--compact", "--quiet", "--output", "json"]
    ran = subprocess.run([*command, *options], text=True, capture_output=True, timeout=600, check=False)
    report = json.loads(ran.stdout)
    assert [(one["check_id"], one["file_path"]) for one in report["results"]["failed_checks"]] == []
    assert report["summary"]["passed"] > 50 * len(SCANNED)


@pytest.mark.sampled(3)
def test_trivy_finds_nothing_in_manifests(roots):
    """What the file of reasons does not hold is not there; and every reason is needed."""
    needs("tools")
    everything = _found_by_trivy(roots)
    for reasons, names in _by_reasons(roots).items():
        told = yaml.safe_load(reasons)["misconfigurations"]
        ignored = roots / names[0] / ".trivyignore.yaml"
        left = _found_by_trivy(roots, "--ignorefile", ignored)
        for name in names:
            assert left[name] == set()
            assert {one["id"] for one in told} <= everything[name]
        assert all(len(one["statement"].split()) >= 5 for one in told)


def _by_reasons(roots):
    """Text of a file of reasons → the scenarios that have it."""
    found = {}
    for name in SCANNED:
        found.setdefault((roots / name / ".trivyignore.yaml").read_text(), []).append(name)
    return found


def _found_by_trivy(roots, *options):
    """Scenario → the rules that its manifests break."""
    quiet = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--quiet"]
    only = ["--misconfig-scanners", "kubernetes"]
    command = [harness.tool("tools", "trivy"), "config", *quiet, *only, *options, "--format", "json", roots]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=600, check=True)
    found = {name: set() for name in SCANNED}
    for result in json.loads(ran.stdout).get("Results", []):
        name, inside, *_ = Path(result["Target"]).parts
        if inside == "kubernetes":
            found[name] |= {one["ID"] for one in result.get("Misconfigurations", [])}
    return found


def test_pins_outlive_a_change_of_type(kubectl, tmp_path):
    """Digest, argument, revision and secret that a user set are on every backend after the plan took other accelerators."""
    wanted = Wanted(target="eks")
    write_files(generate(make_fleet_plan(make_group()), Language.TERRAFORM, wanted), tmp_path)
    path = tmp_path / "kubernetes/us-east-1/kustomization.yaml"
    path.write_text(_pinned(path.read_text()))
    other = make_group(instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.5, 0.5))
    third = make_group(instance_type="g6e.xlarge", accelerator="L40S", request_shares=(0.5, 0.5))
    write_files(generate(make_fleet_plan(other, third), Language.TERRAFORM, wanted), tmp_path)
    objects = list(yaml.safe_load_all(kubernetes_tools.built(kubectl, path.parent).ok().out))
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    assert len(pods) == 2
    for pod in pods:
        assert pod["containers"][0]["image"] == "vllm/vllm-openai@sha256:" + "a" * 64
        assert pod["containers"][0]["args"][-1] == "--enable-prefix-caching"
    (models,) = [one for one in objects if one["kind"] == "ConfigMap"]
    assert models["data"]["MODEL_REVISION"] == "0123abc"
    (account,) = [one for one in objects if one["kind"] == "ServiceAccount"]
    assert account["imagePullSecrets"] == [{"name": "registry"}]


def _pinned(text):
    """The kustomization as a user pins it: the section of pins taken in, and filled."""
    before, mark, pins = text.partition("# images:\n")
    section = "".join(f"{line[2:]}\n" for line in (mark + pins).splitlines())
    given = {
        "name: IMAGE": "name: vllm/vllm-openai",
        "sha256:...": "sha256:" + "a" * 64,
        "engine=ENGINE": "engine=vllm",
        "--option=value": "--enable-prefix-caching",
    }
    for old, new in given.items():
        assert old in section
        section = section.replace(old, new)
    return before.replace("MODEL_REVISION=main", "MODEL_REVISION=0123abc") + section
