"""What kubectl, the API's schemas and scanners say of the generated manifests."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from advisor.codegen import Language, generate
from codegen.forms import FORMS
from codegen.scenarios import SCENARIOS
from iac import harness, kubernetes_tools
from iac.modules import needs

NAMES = [name for name, make in SCENARIOS.items() if (make().wanted.target or "").startswith(("eks", "gke", "aks"))]
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


@pytest.mark.parametrize("root", NAMES, indirect=True)
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
    for name in NAMES:
        scenario = SCENARIOS[name]()
        harness.write_module(generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files, every / name)
    return every


def test_checkov_finds_nothing_in_manifests(roots):
    """What is not waived beside the object, with a reason, is not there."""
    needs("checkov")
    command = [harness.tool("checkov", "checkov"), "--directory", roots, "--framework", "kubernetes"]
    options = ["--skip-download", "--compact", "--quiet", "--output", "json"]
    ran = subprocess.run([*command, *options], text=True, capture_output=True, timeout=600, check=False)
    report = json.loads(ran.stdout)
    assert [(one["check_id"], one["file_path"]) for one in report["results"]["failed_checks"]] == []
    assert report["summary"]["passed"] > 50 * len(NAMES)


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
    for name in NAMES:
        found.setdefault((roots / name / ".trivyignore.yaml").read_text(), []).append(name)
    return found


def _found_by_trivy(roots, *options):
    """Scenario → the rules that its manifests break."""
    quiet = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--quiet"]
    only = ["--misconfig-scanners", "kubernetes"]
    command = [harness.tool("tools", "trivy"), "config", *quiet, *only, *options, "--format", "json", roots]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=600, check=True)
    found = {name: set() for name in NAMES}
    for result in json.loads(ran.stdout).get("Results", []):
        name, inside, *_ = Path(result["Target"]).parts
        if inside == "kubernetes":
            found[name] |= {one["ID"] for one in result.get("Misconfigurations", [])}
    return found
