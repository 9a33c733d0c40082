"""What a cluster's API server shows of serving deployments."""

import shlex
from dataclasses import replace

import pytest

from advisor.discovery import machine_by_labels, place_of
from advisor.discovery.cluster import services_of_cluster
from advisor.discovery.kubernetes_api import Access, KubernetesApi
from advisor.errors import InputError
from discovery.api_server import Cluster, api_server
from discovery.simulated import EKS, GKE, SERVICES, Machine, objects


def found(lists, namespace="", **options):
    """Services and notes of a cluster that holds these lists."""
    with api_server(Cluster(lists, **options)) as cluster:
        return services_of_cluster(KubernetesApi(Access("prod", cluster.url), namespace))


@pytest.mark.parametrize("context", [EKS, GKE])
def test_every_service_is_found_as_it_is(context):
    """Of five kinds of deployments each service once, with engine, model, replicas, accelerators and nodes."""
    inventory = found(objects(context))
    truths = {truth.name: truth for truth in SERVICES if truth.context == context}

    assert {service.name for service in inventory.services} == set(truths)
    assert inventory.notes == ()
    for service in inventory.services:
        truth = truths[service.name]
        machine = truth.machine
        kinds = {each.kind for each in service.machines}
        assert kinds == {(machine.provider, machine.region, machine.instance_type, machine.purchase)}
        assert len(service.machines) == truth.instances
        assert (service.launch.engine, service.replicas, service.accelerators) == (
            truth.engine, truth.replicas, truth.per_replica,
        )  # fmt: skip
        assert service.launch.model == ("" if truth.engine == "Triton" else truth.model)


def test_without_permission_to_list_nodes_the_rest_is_read():
    """The note names verb and resource, and the commands that grant them; machines stay unknown."""
    inventory = found(objects(EKS), denied=frozenset({"nodes"}), user="system:serviceaccount:ops:reader")

    assert len(inventory.services) == 4
    assert all(not machine.is_known for service in inventory.services for machine in service.machines)
    (note,) = inventory.notes
    assert "may not `list nodes`" in note
    assert "kubectl create clusterrole advisor-init --verb=list --resource=nodes" in note
    assert "--serviceaccount=ops:reader" in note


@pytest.mark.parametrize("user", ["$(rm -rf ~)", "a; rm b", "system:serviceaccount:x:$(id)", "a\nb", "`id`"])
def test_no_user_of_a_server_runs_in_the_shell(user):
    """The command for an administrator gives a user's name to kubectl as one word, whatever the server says it is."""
    (note,) = found(objects(EKS), denied=frozenset({"nodes"}), user=user).notes
    words = shlex.split(note.partition("To grant it: ")[2])
    account = user.removeprefix("system:serviceaccount:")
    named = f"--user={user}" if account == user else f"--serviceaccount={account}"

    assert words[-1] == (named if user.isprintable() else "--user=NAME")
    assert note.endswith(shlex.quote(words[-1]))
    assert "\n" not in note


def test_what_pods_ask_of_their_node_stands_in_for_its_labels():
    """Without nodes, the instance type that a pod selects is known."""
    lists = objects(EKS)
    for pod in lists["pods"]:
        pod["spec"]["nodeSelector"] = {"node.kubernetes.io/instance-type": "g6e.xlarge"}
    lists["deployments"][1]["spec"]["template"]["spec"]["nodeSelector"] = pod["spec"]["nodeSelector"]

    inventory = found(lists, denied=frozenset({"nodes"}))

    chat = next(service for service in inventory.services if service.name == "llama-chat")
    assert {machine.instance_type for machine in chat.machines} == {"g6e.xlarge"}


@pytest.mark.parametrize(
    ("context", "server", "place"),
    [
        ("arn:aws:eks:x", "https://0A1B.gr7.us-east-1.eks.amazonaws.com", ("aws", "us-east-1")),
        ("prod", "https://prod-dns-1a2b.hcp.westeurope.azmk8s.io:443", ("azure", "westeurope")),
        ("gke_project_us-central1-a_prod", "https://34.1.2.3", ("gcp", "us-central1")),
        ("gke_project_europe-west4_prod", "https://34.1.2.3", ("gcp", "europe-west4")),
        ("prod", "https://10.0.0.1:6443", ("", "")),
    ],
)  # fmt: skip
def test_a_managed_cluster_says_where_it_is(context, server, place):
    """Address or context of EKS, AKS and GKE hold the region, which nodes that may not be listed would say."""
    assert place_of(context, server) == place


def test_without_any_deployment_it_is_an_error():
    """Nothing that may be listed is exit 1 with the commands of an administrator."""
    every = frozenset(objects(EKS))

    with pytest.raises(InputError, match="no deployment may be listed") as error:
        found(objects(EKS), denied=every)

    assert (
        "--resource=leaderworkersets.leaderworkerset.x-k8s.io,inferenceservices.serving.kserve.io" in error.value.hint
    )


def test_a_deployment_stands_in_for_what_may_not_be_listed():
    """Where InferenceServices are not installed or refused, the Deployments that they made are read."""
    lists = objects(GKE)
    for changed, denied in (
        (lists, {"inferenceservices"}),
        ({k: v for k, v in lists.items() if k != "inferenceservices"}, set()),
    ):
        names = {service.name for service in found(changed, denied=frozenset(denied)).services}
        assert "mistral-predictor" in names
        assert "mistral" not in names


def test_one_namespace_is_asked_for_alone():
    """With a namespace only its lists are asked for, and nodes, which have none."""
    with api_server(Cluster(objects(EKS))) as cluster:
        inventory = services_of_cluster(KubernetesApi(Access("prod", cluster.url), "chat"))

    assert [service.name for service in inventory.services] == ["llama-chat"]
    assert all("/namespaces/chat/" in path or path.endswith("/nodes") for path in cluster.asked)


def test_services_on_one_machine_say_so():
    """Each that shares its nodes names the others."""
    lists = objects(EKS)
    for pod in lists["pods"]:
        pod["spec"]["nodeName"] = "node-1"

    services = found(lists).services

    assert all("its machines also run" in service.notes[-1] for service in services)


def test_accelerators_of_an_unknown_program_are_named():
    """A deployment that asks for accelerators and runs no known engine is a note, not a service."""
    lists = objects(EKS)
    container = {"image": "acme/secret:1", "resources": {"limits": {"nvidia.com/gpu": 2}}}
    lists["deployments"][1]["spec"]["template"]["spec"] = {"containers": [container]}

    inventory = found(lists)

    assert "Deployment chat/llama-chat of prod asks for 2 accelerators" in inventory.notes[0]
    assert "llama-chat" not in {service.name for service in inventory.services}


def test_a_router_is_no_service():
    """A deployment of an engine's image without accelerators and without a model stands before engines, and is left out."""
    lists = objects(EKS)
    router = {"image": "vllm/vllm-router:1", "args": ["--service-discovery", "k8s"]}
    lists["deployments"][1]["spec"]["template"]["spec"] = {"containers": [router]}

    inventory = found(lists)

    assert "llama-chat" not in {service.name for service in inventory.services}
    assert inventory.notes == ()


def test_models_of_one_ray_service_are_services():
    """Each of several models has its own accelerators; how many replicas each has is not known."""
    lists = objects(GKE)
    serve = lists["rayservices"][0]["spec"]["serveConfigV2"]
    more = "    - model_loading_config: {model_id: big}\n      engine_kwargs: {tensor_parallel_size: 4}\n"
    lists["rayservices"][0]["spec"]["serveConfigV2"] = serve + more

    services = [service for service in found(lists).services if service.origin.startswith("RayService")]

    assert [(each.name, each.accelerators, each.replicas) for each in services] == [
        ("qwen-rag-qwen-rag", 2, None), ("qwen-rag-big", 4, None),
    ]  # fmt: skip
    assert services[0].notes == ("one of 2 models of the same accelerators", services[0].notes[-1])


@pytest.mark.parametrize("rubbish", [None, 7, "x", [], {}, [None], {"a": 1}])
def test_odd_objects_are_no_traceback(rubbish):
    """Objects whose parts are of another kind than they should be are read as far as they go."""
    lists = objects(EKS)
    for kind in ("deployments", "statefulsets", "leaderworkersets", "pods", "nodes"):
        lists[kind] += [{"metadata": rubbish, "spec": rubbish, "status": rubbish}, {"spec": {"template": rubbish}}]
    pod = {**lists["pods"][0]["spec"], "containers": rubbish}
    lists["pods"].append({**lists["pods"][0], "spec": pod})

    assert {"llama-chat", "qwen-coder"} <= {service.name for service in found(lists).services}


@pytest.mark.parametrize(
    ("labels", "provider", "purchase"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, "aws", "spot"),
        ({"karpenter.sh/capacity-type": "on-demand"}, "aws", "on_demand"),
        ({"eks.amazonaws.com/capacityType": "SPOT"}, "aws", "spot"),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, "azure", "spot"),
        ({"cloud.google.com/gke-provisioning": "standard"}, "gcp", "on_demand"),
        ({}, "gcp", "on_demand"),
        ({}, "aws", ""),
    ],
)  # fmt: skip
def test_labels_say_how_a_machine_is_paid_for(labels, provider, purchase):
    """As each cloud marks its spot machines; where nothing is said and silence means nothing, it is unknown."""
    assert machine_by_labels("a", provider, labels).purchase == purchase


def test_a_machine_of_two_kinds_counts_each():
    """A service on nodes of two types keeps both."""
    lists = objects(EKS)
    other = Machine("aws", "us-east-1", "g5.xlarge", "spot", 1)
    node = next(node for node in lists["nodes"] if node["metadata"]["name"] == lists["pods"][0]["spec"]["nodeName"])
    node["metadata"]["labels"] |= other.labels()

    chat = next(service for service in found(lists).services if service.name == "llama-chat")

    assert sorted(machine.instance_type for machine in chat.machines) == ["g5.xlarge", "g6e.xlarge", "g6e.xlarge"]
    assert replace(chat, machines=()).machines == ()


def test_a_group_of_many_hosts_is_counted_and_not_laid_out():
    """The accelerators of a LeaderWorkerSet are those of all its hosts, however many it says it has."""
    lists = objects(EKS)
    template = lists["leaderworkersets"][0]["spec"]["leaderWorkerTemplate"]
    before = next(each for each in found(lists).services if each.origin.startswith("LeaderWorkerSet"))
    hosts, template["size"] = template["size"], 400_000_000

    after = next(each for each in found(lists).services if each.origin.startswith("LeaderWorkerSet"))

    assert after.accelerators == before.accelerators // hosts * 400_000_000


def test_a_large_cluster_names_a_few_of_the_services_on_a_machine():
    """Of 600 deployments whose pods are on one node each is found, with a note that names ten others."""
    lists = objects(EKS)
    deployment, pod = lists["deployments"][1], lists["pods"][0]
    node = {**pod["spec"], "nodeName": "node-1"}
    lists["deployments"], lists["pods"] = [], []
    for number in range(600):
        labels = {"app": f"a{number}"}
        spec = {**deployment["spec"], "selector": {"matchLabels": labels}}
        spec["template"] = {**spec["template"], "metadata": {"labels": labels}}
        metadata = {"name": f"a{number}", "namespace": "chat"}
        lists["deployments"].append({**deployment, "metadata": metadata, "spec": spec})
        lists["pods"].append({**pod, "metadata": {**metadata, "labels": labels}, "spec": node})

    services = [each for each in found(lists, page=250).services if each.origin.startswith("Deployment")]

    assert len(services) == 600
    assert {len(each.machines) for each in services} == {1}
    assert services[-1].notes[-1].count(", ") == 9
    assert "and more" in services[-1].notes[-1]
