"""What GKE takes and refuses, and where its pods run."""

import ipaddress

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.errors import InputError
from codegen.plans import make_fleet_plan, make_option, make_plan
from codegen.scenarios.cloud_run import make_serverless

_TPU = {
    "instance_type": "ct6e-standard-4t",
    "accelerator": "TPU-v6e",
    "accelerator_count": 4.0,
    "tensor_parallel": 4,
    "engine": "vLLM-TPU",
    "engine_version": "0.27.0",
}


def files_of(**changes):
    """The code for two machines with one L4 each."""
    fields = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    return generate(
        make_plan(make_option(**(fields | changes))), Language.TERRAFORM, Wanted(target="gke", rank=1)
    ).files


def group_of(files):
    """The only group of ``fleet.tf``."""
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (group,) = literal(values.attributes["groups"].value.node).values()
    return group


def pod_of(files):
    """The specification of the only deployment's pods."""
    texts = [text for path, text in files.items() if path.startswith("kubernetes/us-central1/")]
    objects = [one for text in texts if "kind: Deployment" in text for one in yaml.safe_load_all(text)]
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]


def test_pods_run_on_their_group_only():
    """Pods select the label of the nodes and of the GPU, and tolerate the taint that keeps others away."""
    files = files_of()
    pod = pod_of(files)
    label = group_of(files)["label"]
    assert pod["nodeSelector"] == {"inference/nodes": label, "cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert [taint["key"] for taint in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert group_of(files)["taints"] == {"nvidia.com/gpu": "present"}


def test_spot_is_tolerated_by_name_and_found_in_any_zone():
    """Spot nodes have a taint of their own, and come from wherever they are."""
    files = files_of(purchase="spot")
    assert {taint["key"] for taint in pod_of(files)["tolerations"]} == {"nvidia.com/gpu", "cloud.google.com/gke-spot"}
    group = group_of(files)
    assert (group["spot"], group["location_policy"]) == (True, "ANY")


def test_tpus_are_chosen_by_label_and_not_attached():
    """GKE knows the chips by the machine type; a pod takes all four and names their arrangement."""
    files = files_of(**_TPU)
    group, pod = group_of(files), pod_of(files)
    assert (group["accelerators"], group["taints"]) == ({}, {})
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == "tpu-v6e-slice"
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "2x2"
    assert pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == 4


def test_attached_gpus_leave_the_machine_type_clean():
    """The catalog's name of a machine with attached GPUs is taken apart."""
    group = group_of(
        files_of(instance_type="n1-standard-16+2xT4", accelerator="T4", accelerator_count=2.0, tensor_parallel=2,
                 precision="fp16", kv_precision="fp16", weights_gib=5.9)
    )  # fmt: skip
    assert (group["machine_type"], group["accelerators"]) == ("n1-standard-16", {"nvidia-tesla-t4": 2})


def test_nodes_cover_replacements():
    """Two machines and room for one more while pods or nodes are replaced."""
    group = group_of(files_of())
    assert (group["min_nodes"], group["max_nodes"]) == (2, 3)


def test_replicas_that_share_a_tpu_node_are_refused():
    """A pod takes all chips of its node."""
    with pytest.raises(InputError, match="a pod takes all chips of a TPU node, and 4 share it"):
        files_of(**(_TPU | {"tensor_parallel": 1, "replicas_per_instance": 4}))


def test_serverless_groups_have_no_nodes():
    """A fleet with a serverless group is not for a cluster."""
    generated = generate(make_fleet_plan(make_serverless()), Language.TERRAFORM, Wanted(target="cloud-run"))
    assert generated.targets == ("cloud-run",)
    with pytest.raises(InputError, match="serverless capacity has no nodes"):
        generate(make_fleet_plan(make_serverless()), Language.TERRAFORM, Wanted(target="gke"))


def of_gateway(files, kind):
    """The objects of a kind that a Gateway of Google's own needs, by name."""
    objects = yaml.safe_load_all(files["kubernetes/us-central1/google-gateway.yaml"])
    return {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == kind}


def test_google_s_gateway_probes_the_engines_where_they_answer():
    """Each service has a health check of its own and time for long answers; without them Google asks for / in 30 s."""
    files = files_of()
    texts = [text for path, text in files.items() if path.startswith("kubernetes/us-central1/")]
    services = {
        one["metadata"]["name"]
        for text in texts
        for one in yaml.safe_load_all(text)
        if one and one["kind"] == "Service"
    }
    checks, backends = of_gateway(files, "HealthCheckPolicy"), of_gateway(files, "GCPBackendPolicy")
    assert services
    assert {one["targetRef"]["name"] for one in checks.values()} == services
    assert {one["targetRef"]["name"] for one in backends.values()} == services
    (check,), (backend,) = checks.values(), backends.values()
    probe = pod_of(files)["containers"][0]["readinessProbe"]["httpGet"]
    assert check["default"]["config"]["httpHealthCheck"] == {
        "portSpecification": "USE_SERVING_PORT",
        "requestPath": probe["path"],
    }
    assert backend["default"] == {"timeoutSec": 600, "connectionDraining": {"drainingTimeoutSec": 120}}


def test_google_s_proxies_and_probes_are_let_in():
    """Both published ranges, and a third that the cluster refuses until somebody sets it."""
    (policy,) = of_gateway(files_of(), "NetworkPolicy").values()
    (rule,) = policy["ingress"]
    *published, subnet = [one["ipBlock"]["cidr"] for one in rule["from"]]
    assert published == ["35.191.0.0/16", "130.211.0.0/22"]
    with pytest.raises(ValueError, match="does not appear to be"):
        ipaddress.ip_network(subnet)
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert policy["policyTypes"] == ["Ingress"]


def test_a_route_of_gke_has_no_timeouts():
    """Google's Gateways refuse a route that has some; the policy of the backend holds them."""
    route = yaml.safe_load(files_of()["kubernetes/us-central1/route.yaml"])
    assert all("timeouts" not in rule for rule in route["spec"]["rules"])
