"""Code of one Triton with the models of several workloads on a shared machine."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from advisor.codegen import Language
from advisor.codegen.estate import generate_shared, parts_of, shared_stack
from advisor.errors import InputError
from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.report.estate_table import estate_table
from codegen import estates

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "shared" / "models"
SERVERS = ("MODELS", "AWS_MODELS", "AZURE_MODELS")


def objects(files, kind):
    """Objects of a kind in the manifests of all folders."""
    return [
        document
        for path, text in files.items()
        if path.startswith("kubernetes/") and path.endswith(".yaml") and "/weights/" not in path
        for document in yaml.safe_load_all(text)
        if document and document.get("kind") == kind
    ]


def server_of(files):
    """The pod of the server that holds several models."""
    pods = [one["spec"]["template"]["spec"] for one in objects(files, "Deployment")]
    return next(pod for pod in pods if "initContainers" in pod)


@pytest.mark.parametrize("name", SERVERS)
def test_models_of_one_triton_are_one_deployment(name):
    """It loads each model of its workloads by name, from what an init container of each has put there; one GPU, one pod."""
    place = estates.place(name)
    files = generate_shared(place, Language.TERRAFORM).files
    (server,) = place.machine.servers
    pod = server_of(files)
    (engine,) = pod["containers"]
    loaded = [word.partition("=")[2] for word in engine["args"] if word.startswith("--load-model=")]
    names = [container["args"][2] for container in pod["initContainers"]]

    assert len(objects(files, "Deployment")) == len(place.machine.workloads) - len(server) + 1
    assert engine["command"] == ["tritonserver"]
    assert {"--model-control-mode=explicit", "--model-repository=/tmp/models"} <= set(engine["args"])
    assert "--rate-limit" not in " ".join(engine["args"])
    assert loaded == names
    assert len(set(names)) == len(server)
    assert {container["image"] for container in pod["initContainers"]} == {engine["image"]}
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert all("nvidia.com/gpu" not in container["resources"]["limits"] for container in pod["initContainers"])


@pytest.mark.parametrize("name", SERVERS)
def test_each_workload_is_answered_at_its_own_address_by_its_own_model(name):
    """A route for each with its host name and the path of its model, which leads to no other, nor to the repository."""
    place = estates.place(name)
    files = generate_shared(place, Language.TERRAFORM).files
    pod = server_of(files)
    models = {container["name"].removeprefix("model-"): container["args"][2] for container in pod["initContainers"]}
    routes = {one["metadata"]["name"]: one["spec"] for one in objects(files, "HTTPRoute")}
    services = {one["metadata"]["name"] for one in objects(files, "Service")}

    assert len({host for route in routes.values() for host in route["hostnames"]}) == len(place.machine.workloads)
    for workload, model in models.items():
        (rule,) = routes[workload]["rules"]
        assert routes[workload]["hostnames"] == [f"{workload}.inference.example.com"]
        assert {match["path"]["value"] for match in rule["matches"]} == {f"/v2/models/{model}", "/v2/health"}
        assert {backend["name"] for backend in rule["backendRefs"]} <= services


@pytest.mark.parametrize("name", SERVERS)
def test_each_workload_has_alerts_on_its_own_model(name):
    """Its latency, its queue and its errors, by the label of the server's metrics; the agent of the port may be read."""
    place = estates.place(name)
    files = generate_shared(place, Language.TERRAFORM).files
    pod = server_of(files)
    models = {container["name"].removeprefix("model-"): container["args"][2] for container in pod["initContainers"]}
    rules = [rule for one in objects(files, "PrometheusRule") for rule in one["spec"]["groups"][0]["rules"]]
    policies = [one for one in objects(files, "NetworkPolicy") if one["metadata"]["name"] == "inference"]

    for workload, model in models.items():
        own = {rule["alert"]: rule["expr"] for rule in rules if rule["labels"]["subject"] == workload}
        assert set(own) == {"InferenceLatency", "InferenceWaitingRequests", "InferenceServerErrors"}
        assert all(f'model="{model}"' in expression for expression in own.values())
    assert any({port["port"] for port in one["spec"]["ingress"][0]["ports"]} == {8000, 8002} for one in policies)


@pytest.mark.parametrize("name", SERVERS)
def test_readme_tells_the_alerts_of_each_workload(name):
    """Each model has targets of its own: the README names every one, as the rules of the cluster do."""
    files = generate_shared(estates.place(name), Language.TERRAFORM).files
    (server,) = estates.place(name).servers
    readme = files[f"kubernetes/{server}/README.md"]
    own = {path: text for path, text in files.items() if path.startswith(f"kubernetes/{server}/")}
    rules = [rule for one in objects(own, "PrometheusRule") for rule in one["spec"]["groups"][0]["rules"]]
    workloads = {container["name"].removeprefix("model-") for container in server_of(files)["initContainers"]}
    told = [line for line in readme.replace("\\", "").splitlines() if line.startswith("- `Inference")]

    of_each = [rule for rule in rules if rule["labels"]["subject"] in workloads]
    assert len(of_each) == 3 * len(workloads)
    for rule in of_each:
        assert f"- `{rule['alert']}` of {rule['labels']['subject']}: {rule['annotations']['summary']}" in told
    assert len(told) == len(rules)


def test_a_model_that_is_not_loaded_does_not_restart_the_others():
    """The start and readiness wait for every model; whether the container is restarted hangs on the process alone."""
    files = generate_shared(estates.place("AWS_MODELS"), Language.TERRAFORM).files
    (engine,) = server_of(files)["containers"]
    pods = [one["spec"]["template"]["spec"] for one in objects(files, "Deployment")]
    (other,) = [pod["containers"][0] for pod in pods if "initContainers" not in pod]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")

    assert [engine[probe]["httpGet"]["path"] for probe in probes] == [
        "/v2/health/ready", "/v2/health/ready", "/v2/health/live",
    ]  # fmt: skip
    assert len({other[probe]["httpGet"]["path"] for probe in probes}) == 1


def test_the_route_of_a_workload_that_left_is_removed():
    """By the file of the routes itself, since the kustomization does not name it from the start."""
    files = generate_shared(estates.place("MODELS"), Language.TERRAFORM).files
    (server,) = estates.place("MODELS").servers
    section = files[f"kubernetes/{server}/README.md"].partition("## What a former run left")[2]
    (command,) = [one for one in re.findall(r"`(kubectl [^`]+)`", section) if "HTTPRoute" in one]
    words = command.split()
    (kind,) = [word for before, word in pairwise(words) if before == "--prune-allowlist"]
    path = f"kubernetes/{server}/{words[-1]}"

    assert (words[-2], kind) == ("--filename", "gateway.networking.k8s.io/v1/HTTPRoute")
    assert {one["kind"] for one in yaml.safe_load_all(files[path]) if one} == {"HTTPRoute"}
    for route in objects(files, "HTTPRoute"):
        assert route["metadata"]["labels"]["app.kubernetes.io/part-of"] == server


def test_nobody_loads_a_model_without_the_key_of_the_pod():
    """A model that is loaded may run code: what loads one asks for a key, which the API server tells of each pod."""
    pod = server_of(generate_shared(estates.place("MODELS"), Language.TERRAFORM).files)
    (engine,) = pod["containers"]
    (restricted,) = [word for word in engine["args"] if word.startswith("--http-restricted-api=")]
    apis, _, key = restricted.partition("=")[2].partition(":")
    given = {one["name"]: one.get("valueFrom") for one in engine["env"]}

    assert {"model-repository", "shared-memory"} <= set(apis.split(","))
    assert key == "repository-key=$(REPOSITORY_KEY)"
    assert given["REPOSITORY_KEY"] == {"fieldRef": {"fieldPath": "metadata.uid"}}


def test_alerts_of_google_name_the_workload():
    """One for each workload and target, on the model's series in the namespace of the server."""
    stack = shared_stack(estates.place("MODELS"))
    text = generate_shared(estates.place("MODELS"), Language.TERRAFORM).files["fleet.tf"]

    (server,) = stack.tenants
    for model in server.models:
        assert re.search(rf'latency_{model.workload} = \{{\n\s+description = "{model.workload}: Latency', text)
        assert f'namespace=~\\"{server.name}\\",pod=~\\"(us-central1-models)-.+\\",model=\\"{model.name}\\"' in text


def test_models_are_named_after_their_workloads():
    """Whatever they are called in fleets of their own: no neighbour that comes or goes changes an address."""
    stack = shared_stack(estates.place("MODELS"))
    names = {model.workload: model.name for model in stack.tenants[0].models}

    assert names == {
        "photos": "photos", "fraud": "fraud", "goods": "goods", "products": "products",
    }  # fmt: skip


def test_a_server_that_has_the_accelerator_to_itself_shares_it_with_no_pod():
    """No turns where there is one pod; beside another engine as many as pods, and each copy is a node of its own."""
    whole = generate_shared(estates.place("MODELS"), Language.TERRAFORM).files
    beside = generate_shared(estates.place("AWS_MODELS"), Language.TERRAFORM).files
    copies = generate_shared(estates.place("AZURE_MODELS"), Language.TERRAFORM).files

    assert "gpu_sharing_strategy" not in whole["fleet.tf"]
    assert "no alarms on idle GPUs and their memory, which the models of one server share" in whole["README.md"]
    assert "replicas = 2" in beside["fleet.tf"]
    (deployment,) = objects(copies, "Deployment")
    assert deployment["spec"]["replicas"] == estates.place("AZURE_MODELS").machine.copies == 2
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert ("kubernetes.io/hostname", 2) in {(one["topologyKey"], one.get("minDomains")) for one in spread}


def test_the_programs_fill_one_repository(tmp_path):
    """Each model lies in a folder of its name with its configuration; engines of two models are kept apart."""
    pod = server_of(generate_shared(estates.place("MODELS"), Language.TERRAFORM).files)
    onnx, trees = tmp_path / "onnx", tmp_path / "trees"
    onnx.mkdir()
    trees.mkdir()
    (onnx / "model.onnx").write_text("graph")
    shutil.copy(estates.TREES, trees / "xgboost.json")
    for container in pod["initContainers"]:
        words = [word.replace("$$(", "$(") for word in container["args"][:3]]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        folder = trees if "fil" in given["MODEL_CONFIGURATION"] else onnx
        subprocess.run(
            ["bash", *words, str(folder), "--revision=main"],
            env={"PATH": "/usr/bin:/bin", **given, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
            check=True,
            timeout=30,
        )

    repository = tmp_path / "models"
    assert {path.name for path in repository.iterdir()} == {"photos", "fraud", "goods", "products"}
    assert (repository / "goods/1/model.onnx").read_text() == "graph"
    assert (repository / "fraud/1/xgboost.json").exists()
    for name in ("goods", "products"):
        assert f'value: "/tmp/engines/{name}"' in (repository / name / "config.pbtxt").read_text()
        assert (tmp_path / "engines" / name).is_dir()
    assert "dynamic_batching" in (repository / "fraud/config.pbtxt").read_text()


def test_readme_says_that_faults_are_shared():
    """What ends one model ends all of them, and where each is answered."""
    files = generate_shared(estates.place("MODELS"), Language.TERRAFORM).files

    assert "A crash of one takes all of them with it" in files["README.md"]
    assert "/v2/models/resnet50/infer" not in files["README.md"]
    assert "What ends the process ends all of its models" in files["kubernetes/README.md"]
    assert "`goods.inference.example.com/v2/models/goods/infer`" in files["kubernetes/README.md"]


def test_objects_equal_the_golden_ones(golden, request):
    """Objects of four models on one Triton, as they were read and accepted."""
    files = generate_shared(estates.place("MODELS"), Language.TERRAFORM).files
    kept = {path: text for path, text in files.items() if path.startswith("kubernetes/")}
    if request.config.getoption("--update-golden"):
        shutil.rmtree(GOLDEN, ignore_errors=True)
    for path, text in kept.items():
        golden(GOLDEN / path, text)
    assert sorted(kept) == sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file())


def test_memory_of_the_server_counts_once():
    """Seats of one server take its own memory once; the table and its last line say so."""
    estate = estates.planned("MODELS").estate
    (machine,) = estate.shared_machines
    own = sum(seat.memory_gib - seat.server_gib for seat in machine.seats) + machine.seats[0].server_gib
    text = " ".join(estate_table(estate).split())

    assert machine.servers == (machine.workloads,)
    assert all(0 < seat.server_gib < seat.memory_gib for seat in machine.seats)
    assert own < min(seat.usable_gib for seat in machine.seats)
    assert own < sum(seat.memory_gib for seat in machine.seats)
    assert "1, one server" in text
    assert "are models of one server (nvcr.io/nvidia/tritonserver:26.08), whose own 0.4 GiB count once" in text
    assert all(seat.within_slo_ratio >= 0.99 for seat in machine.seats)


def test_a_plan_on_a_server_says_who_else_is_on_it():
    """Its own plan, and what takes turns beside the server."""
    alone = plan_from_json(estates.planned("MODELS").plans["goods.yaml"]).seated_on
    beside = plan_from_json(estates.planned("AWS_MODELS").plans["photos.yaml"]).seated_on

    assert alone.endswith("(gcp), on one server with 3 others")
    assert beside.endswith("(aws), on one server with 1 other, in turns with 1 other")


EDITS = {
    "another workload": ([["photos.yaml", "nobody.yaml"]], "other workloads than on one of its accelerators"),
    "on two servers": (
        [["photos.yaml", "fraud.yaml"], ["photos.yaml", "goods.yaml"]],
        "workloads on two of them",
    ),
    "one workload": ([["photos.yaml"]], "shared_machines"),
}  # fmt: skip


@pytest.mark.parametrize("edit", list(EDITS))
def test_servers_that_cannot_be_are_refused(edit):
    """Whoever forces an edit gets no code of what cannot be."""
    servers, told = EDITS[edit]
    document = json.loads(estate_to_json(estates.planned("MODELS").estate))
    document["shared_machines"][0]["servers"] = servers

    with pytest.raises(InputError, match=told):
        estate_from_json(json.dumps(document))


def test_workloads_of_different_servers_are_refused():
    """One engine that holds no other's model."""
    document = json.loads(estate_to_json(estates.planned("AWS_MODELS").estate))
    document["shared_machines"][0]["servers"] = [["photos.yaml", "rerank.yaml"]]

    with pytest.raises(InputError, match="workloads of different servers"):
        estate_from_json(json.dumps(document))


def test_a_workload_named_like_the_server_is_refused():
    """Two namespaces of one name would be one."""
    place = estates.place("MODELS")
    (name,) = place.servers
    plan = place.plans["fraud.yaml"]
    plans = {**place.plans, "fraud.yaml": replace(plan, workload={**plan.workload, "name": name})}

    with pytest.raises(InputError, match=f"would both be deployed as {name}"):
        parts_of(estates.planned("MODELS").estate, plans)


def test_the_estate_is_read_back_as_it_was():
    """Servers and what they take once survive the document."""
    for name in SERVERS:
        text = estate_to_json(estates.planned(name).estate)
        again = estate_from_json(text)
        assert again.shared_machines[0].servers == estates.place(name).machine.servers
        assert estate_to_json(again) == text
