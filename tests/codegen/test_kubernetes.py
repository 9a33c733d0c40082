"""Manifests: what runs, where, how many, and that no text of a plan changes their structure."""

import http.server
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.codegen import Engine, Form, generate
from advisor.codegen.container import Wanted
from advisor.codegen.engines.metrics import CLIENT_PATHS
from advisor.codegen.kubernetes import (
    NODE_LABEL,
    ClusterFacts,
    entrance_of,
    kubernetes_files,
    node_volume_gib,
    obstacle_to_kubernetes,
    repository,
    served_in,
)
from advisor.codegen.kubernetes_scaling import scale_of, taken_sizes, windows, with_taken_steps
from advisor.codegen.model import size_at
from advisor.codegen.selection import choose, scheduled_sizes
from advisor.codegen.stack import stacks_of
from advisor.plan.fleet.chosen import Policy
from advisor.units import HOURS_PER_WEEK
from codegen.plans import HOSTILE, make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS

ACCELERATORS = ("nvidia.com/gpu", "amd.com/gpu", "aws.amazon.com/neuron", "google.com/tpu")
PLAIN = ClusterFacts()


def stack_of(plan):
    """The only stack of a plan."""
    (stack,) = stacks_of(plan, choose(plan, Wanted(), lambda _choice: None), Wanted())
    return stack


def objects_of(plan, cluster_facts=PLAIN):
    """All objects by kind and name."""
    found = {}
    for path, text in kubernetes_files(stack_of(plan), cluster_facts).items():
        if path.startswith("kubernetes/") and path.endswith(".yaml"):
            for document in yaml.safe_load_all(text):
                found[document["kind"], document.get("metadata", {}).get("name")] = document
    return found


def of_kind(objects, kind):
    """The objects of a kind."""
    return [one for (found, _), one in objects.items() if found == kind]


def pod_of(objects):
    """The pod of the only deployment, and its container."""
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def accelerators_of(container):
    """Requested accelerators."""
    return {name: count for name, count in container["resources"]["limits"].items() if name in ACCELERATORS}


def test_one_pod_serves_one_replica():
    """Two instances of four replicas are eight pods of one GPU each, and no container shares out requests by itself."""
    option = make_option(
        instance_type="g6.12xlarge", accelerator_count=4.0, replicas_per_instance=4, instances=2, precision="fp8"
    )
    objects = objects_of(make_plan(option))
    (deployment,) = of_kind(objects, "Deployment")
    _, container = pod_of(objects)
    assert deployment["spec"]["replicas"] == 8
    assert accelerators_of(container) == {"nvidia.com/gpu": 1}
    assert not [word for word in container["args"] if "data-parallel" in word]


def test_a_replica_over_several_accelerators_gets_them_all():
    """Tensor parallel 4 × pipeline parallel 2 takes 8 GPUs, and shared memory for each."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=4,
        pipeline_parallel=2,
    )
    pod, container = pod_of(objects_of(make_plan(option)))
    assert accelerators_of(container) == {"nvidia.com/gpu": 8}
    assert container["resources"]["requests"]["cpu"] == 8
    memory = next(one for one in pod["volumes"] if one["name"] == "shared-memory")
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}


def test_neuron_pods_ask_for_chips():
    """Two chips of four cores: the resource counts chips, the engine's option counts cores."""
    option = make_option(
        instance_type="inf2.24xlarge", accelerator="Inferentia2", accelerator_count=6.0, tensor_parallel=2,
        engine="vLLM-NxDI", engine_version="0.16",
    )  # fmt: skip
    pod, container = pod_of(objects_of(make_plan(option)))
    assert accelerators_of(container) == {"aws.amazon.com/neuron": 2}
    assert "--tensor-parallel-size=4" in container["args"]
    assert [one["key"] for one in pod["tolerations"]] == ["aws.amazon.com/neuron"]


def test_pods_keep_what_neuron_compiles_where_they_may_write():
    """The root file system is read-only: the folder is on the volume of the cache."""
    option = make_option(
        instance_type="inf2.24xlarge", accelerator="Inferentia2", accelerator_count=6.0, tensor_parallel=2,
        engine="vLLM-NxDI", engine_version="0.16",
    )  # fmt: skip
    _, container = pod_of(objects_of(make_plan(option)))
    (folder,) = [one["value"] for one in container["env"] if one["name"] == "NEURON_COMPILED_ARTIFACTS"]
    assert folder.startswith("/cache/models/")
    assert "/cache" in {one["mountPath"] for one in container["volumeMounts"]}


def test_pods_ask_for_no_privilege():
    """The pod security standard "restricted" is enforced, and kept to."""
    objects = objects_of(make_plan(make_option()))
    pod, container = pod_of(objects)
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]) == (
        True, {"type": "RuntimeDefault"},
    )  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostPath"} & (set(pod) | {k for v in pod["volumes"] for k in v})


def test_devices_of_root_are_served_by_root_and_it_is_said():
    """An AMD pod runs as root, under a weaker standard, with the reason where a reader looks."""
    option = make_option(
        provider="azure", instance_type="Standard_ND96isr_MI300X_v5", accelerator="MI300X", region="eastus"
    )
    objects = objects_of(make_plan(option))
    (namespace,) = of_kind(objects, "Namespace")
    pod, container = pod_of(objects)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert "runAsUser" not in pod["securityContext"]
    assert accelerators_of(container) == {"amd.com/gpu": 1}
    files = kubernetes_files(stack_of(make_plan(option)), ClusterFacts())
    reasons = {one["id"]: one["statement"] for one in yaml.safe_load(files[".trivyignore.yaml"])["misconfigurations"]}
    assert "render group" in reasons["KSV-0012"]


def test_the_token_is_referred_to_and_never_held():
    """The hub token comes from a secret that may be missing; the model from the map that the user edits."""
    _, container = pod_of(objects_of(make_plan(make_option())))
    environment = {one["name"]: one for one in container["env"]}
    assert environment["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "hub-token",
        "key": "token",
        "optional": True,
    }
    assert container["args"][:3] == ["serve", "$(MODEL_PREFIX)$(CHECKPOINT)", "--revision=$(MODEL_REVISION)"]
    keys = {name: environment[name]["valueFrom"]["configMapKeyRef"]["key"] for name in ("CHECKPOINT", "MODEL_REVISION")}
    assert keys == {"CHECKPOINT": "MODEL_ID", "MODEL_REVISION": "MODEL_REVISION"}
    assert environment["MODEL_PREFIX"]["value"] == ""


def test_a_model_that_only_the_user_can_name_is_asked_for():
    """The map has no model, so that pods wait for one, and the file says which."""
    plan = make_plan(make_option(precision="int4"), model="organisation/tuned-8b")
    files = kubernetes_files(stack_of(plan), ClusterFacts())
    text = files["kubernetes/us-east-1/kustomization.yaml"]
    assert not [
        word for one in yaml.safe_load(text)["configMapGenerator"] for word in one["literals"] if "MODEL_ID" in word
    ]
    assert "4-bit (AWQ, GPTQ" in text


def test_each_checkpoint_is_copied_once():
    """Groups that load the same share a job; one that only the user can name asks for it."""
    spot = make_group(purchase="spot", instance_type="g6.2xlarge")
    jobs = of_kind(objects_of(make_fleet_plan(make_group(), spot)), "Job")
    assert [copied(job) for job in jobs] == ["meta-llama/Llama-3.1-8B-Instruct"]
    plan = make_plan(make_option(precision="int4"), model="organisation/tuned-8b")
    (job,) = of_kind(objects_of(plan), "Job")
    assert copied(job) == "organisation/model"
    assert "# Name it: a 4-bit" in kubernetes_files(stack_of(plan), PLAIN)["kubernetes/weights/copy/jobs.yaml"]


@pytest.mark.parametrize(
    ("names", "copied_names"),
    [
        (
            "config.json model-00001-of-2.safetensors original/consolidated.00.pth original/params.json",
            "config.json model-00001-of-2.safetensors",
        ),
        (
            "model.safetensors metal/model.bin original/model--00001.safetensors tokenizer.json",
            "model.safetensors tokenizer.json",
        ),
        (
            "consolidated-00001-of-2.safetensors model-00001-of-2.safetensors tekken.json",
            "model-00001-of-2.safetensors tekken.json",
        ),
        ("consolidated.safetensors params.json tekken.json", "consolidated.safetensors params.json tekken.json"),
        (
            "model.safetensors pytorch_model.bin tf_model.h5 1_Pooling/config.json onnx/model.onnx",
            "1_Pooling/config.json model.safetensors onnx/model.onnx",
        ),
        ("config.json pytorch_model-00001-of-2.bin", "config.json pytorch_model-00001-of-2.bin"),
    ],
)
def test_weights_are_copied_once(names, copied_names, monkeypatch):
    """Volumes of jobs and pods have room for one checkpoint: a repository may hold it two and three times."""
    (job,) = of_kind(objects_of(make_fleet_plan(make_group())), "Job")
    script = job["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
    got = {}

    def snapshot_download(model, *, revision, local_dir, allow_patterns, ignore_patterns):
        assert (model, revision, local_dir, allow_patterns) == ("a/b", "main", "/download/a/b", None)
        got["names"] = sorted(
            name for name in names.split() if not any(fnmatch(name, pattern) for pattern in ignore_patterns)
        )

    hub = SimpleNamespace(list_repo_files=lambda *_, **__: names.split(), snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setenv("MODEL_ID", "a/b")
    monkeypatch.setenv("MODEL_REVISION", "main")
    exec(script, {})

    assert got["names"] == sorted(copied_names.split())


@pytest.mark.parametrize(
    ("instance_type", "architecture", "image"),
    [("c8g.2xlarge", "arm64", "v0.30.0-arm64"), ("c7i.2xlarge", "amd64", "v0.30.0-x86_64")],
)
def test_a_copy_runs_on_nodes_of_its_image(instance_type, architecture, image):
    """A cluster may have both kinds; a server without a client of the hub has vLLM's image of the catalogued release."""
    plan = SCENARIOS["eks-karpenter-processors"]().plan
    server = replace(
        plan.fleet.groups[0], instance_type=instance_type, engine="Text Embeddings Inference", precision="fp32"
    )
    (job,) = of_kind(objects_of(replace(plan, fleet=replace(plan.fleet, groups=(server,)))), "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/arch": architecture}
    assert pod["initContainers"][0]["image"] == f"vllm/vllm-openai-cpu:{image}"


@pytest.mark.parametrize(
    ("instance_type", "checkpoint_gib", "memory"),
    [
        ("c7a.xlarge", 3e-5, "3Gi"),
        ("c7a.2xlarge", 3e-5, "5Gi"),
        ("c7a.xlarge", 1.06, "4Gi"),
        ("c7a.9xlarge", 1.06, "6Gi"),
    ],
)
def test_a_pod_without_an_accelerator_leaves_room_on_small_nodes(instance_type, checkpoint_gib, memory):
    """A quarter of the node and the weights: 8 GiB are 2 and 1; 4 from 16 GiB on, and where no size is known."""
    plan = SCENARIOS["eks-karpenter-processors"]().plan
    server = replace(plan.fleet.groups[0], instance_type=instance_type, checkpoint_gib=checkpoint_gib)
    _, container = pod_of(objects_of(replace(plan, fleet=replace(plan.fleet, groups=(server,)))))
    assert container["resources"]["requests"]["memory"] == memory


def copied(job):
    """The model that a job downloads."""
    (container,) = job["spec"]["template"]["spec"]["initContainers"]
    return next(one["value"] for one in container["env"] if one["name"] == "MODEL_ID")


def test_every_mount_has_its_volume_and_fits():
    """Volumes are those that are mounted, and the pod's disk is what they may take together."""
    pod, container = pod_of(objects_of(make_plan(make_option())))
    volumes = {one["name"]: one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one}
    assert [one["name"] for one in pod["volumes"] if "configMap" in one] == ["model"]
    assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
    disk = sum(int(one["sizeLimit"].removesuffix("Gi")) for one in volumes.values() if "medium" not in one)
    assert container["resources"]["limits"]["ephemeral-storage"] == f"{disk}Gi"


def test_node_holds_the_weights_of_each_replica():
    """164 GiB hold one copy of 18 GiB; each of three more needs 18 + 8 + 8."""
    option = make_option(instance_type="g6.12xlarge", accelerator_count=4.0, replicas_per_instance=4)
    (group,) = stack_of(make_plan(option)).groups
    assert node_volume_gib(group) == 164 + 3 * (18 + 8 + 8)


def test_groups_of_a_backend_share_its_service_and_keep_to_their_nodes():
    """On-demand and spot pods answer for one service, each on nodes of its own."""
    spot = make_group(purchase="spot", instance_type="g6.2xlarge")
    objects = objects_of(make_fleet_plan(make_group(), spot), ClusterFacts(spot_taint="example.com/spot"))
    (service,) = of_kind(objects, "Service")
    deployments = of_kind(objects, "Deployment")
    assert len(deployments) == 2
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        pod = deployment["spec"]["template"]["spec"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert pod["nodeSelector"] == {NODE_LABEL: f"support-chat-{deployment['metadata']['name']}"}
        taints = {one["key"] for one in pod["tolerations"]}
        assert ("example.com/spot" in taints) == deployment["metadata"]["name"].endswith("spot")


def test_labels_of_a_cloud_are_selected_too():
    """What a cloud wants selected comes on top."""
    stack = stack_of(make_plan(make_option()))
    cluster_facts = ClusterFacts(node_labels={stack.groups[0].key: {"cloud.example.com/topology": "2x4"}})
    pod, _ = pod_of(objects_of(make_plan(make_option()), cluster_facts))
    assert pod["nodeSelector"] == {
        NODE_LABEL: f"support-chat-{stack.groups[0].key}",
        "cloud.example.com/topology": "2x4",
    }


def test_requests_follow_the_weights():
    """The route names each service of the region with its per mille of all requests."""
    busy = make_group(request_shares=(0.75, 0.75))
    other = make_group(instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.25, 0.25))
    objects = objects_of(make_fleet_plan(busy, other))
    (route,) = of_kind(objects, "HTTPRoute")
    weights = {one["name"]: one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]}
    assert sorted(weights.values()) == [250, 750]
    assert {*weights, "inference"} == {one["metadata"]["name"] for one in of_kind(objects, "Service")}
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "600s"}
    assert not of_kind(objects, "HealthCheckPolicy")


@pytest.mark.parametrize(
    ("engine", "paths"),
    [
        (None, {"/v1", "/rerank"}),
        (Engine.VLLM_POOLING, {"/v1", "/v2", "/rerank", "/score", "/pooling", "/classify"}),
    ],
)
def test_the_route_lets_through_what_clients_of_every_engine_call(engine, paths):
    """Rerankers answer outside of /v1 too; of two engines in a region, the route takes what both of them answer."""
    scenario = SCENARIOS["eks-reranker"]()
    files = generate(scenario.plan, wanted=replace(scenario.wanted, engine=engine)).files
    route, *_ = yaml.safe_load_all(files["kubernetes/us-east-1/route.yaml"])
    assert {one["path"]["value"] for one in route["spec"]["rules"][0]["matches"]} == paths
    assert {"rerank", "embed"} <= set(CLIENT_PATHS[Engine.TEXT_EMBEDDINGS_INFERENCE])


def test_like_replicas_share_one_entrance():
    """A replica of either kind takes a quarter of its half: one Service over all pods, which knows those that are ready."""
    kinds = (make_group(request_shares=(0.5, 0.5)), make_group(instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.5, 0.5)))  # fmt: skip
    objects = objects_of(make_fleet_plan(*kinds))
    (route,) = of_kind(objects, "HTTPRoute")
    assert [one["name"] for one in route["spec"]["rules"][0]["backendRefs"]] == ["inference"]
    selector = objects["Service", "inference"]["spec"]["selector"].items()
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(objects, "Deployment")]
    assert len(pods) == 2
    assert all(selector <= labels.items() for labels in pods)


@pytest.mark.parametrize(
    ("weights", "paths", "expected"),
    [
        ((500, 500), ("/health", "/health"), {"inference": 1000}),
        ((550, 450), ("/health", "/health"), {"inference": 1000}),
        ((600, 400), ("/health", "/health"), {"a": 600, "b": 400}),
        ((1000, 0), ("/health", "/health"), {"a": 1000, "b": 0}),
        ((500, 500), ("/health", "/v1/health/ready"), {"a": 500, "b": 500}),
        ((1000,), ("/health",), {"a": 1000}),
    ],
)
def test_an_entrance_is_shared_only_by_what_is_alike(weights, paths, expected):
    """Not where replicas are planned for other shares, where one is to get none yet, or where they are probed elsewhere."""
    stack = stack_of(make_plan(make_option(instances=2)))
    (one,) = served_in(stack, "us-east-1", PLAIN)
    served = [
        replace(one, backend=replace(one.backend, key=key, container=replace(one.backend.container, health_path=path)))
        for key, path in zip("ab", paths, strict=False)
    ]
    entrance = entrance_of(served, dict(zip("ab", weights, strict=False)))
    assert entrance.shares == expected
    assert entrance.is_shared == (len(served) > 1 and len(set(paths)) == 1)


def test_one_replica_is_told():
    """A backend that keeps fewer than two in the quietest hours is named where the objects are explained."""
    text = kubernetes_files(stack_of(make_fleet_plan(make_group(instances=(1, 4)))), PLAIN)["kubernetes/README.md"]
    assert "Fewer than two replicas" in text
    text = kubernetes_files(stack_of(make_fleet_plan(make_group(instances=(2, 4)))), PLAIN)["kubernetes/README.md"]
    assert "Fewer than two replicas" not in text


def test_one_replica_is_told_by_what_else_its_region_has():
    """Others of the same region take over from it; those of another do not, and a second replica does."""
    groups = [{}, {"instance_type": "g5.xlarge", "accelerator": "A10G"}, {"region": "us-west-2"}]
    plan = make_fleet_plan(*(make_group(instances=(1, 1), request_shares=(0.3, 0.3), **facts) for facts in groups))
    text = kubernetes_files(stack_of(plan), PLAIN)["kubernetes/README.md"]
    served, unserved = (part.partition("\n\n")[0] for part in text.split("Fewer than two replicas")[1:])
    assert "until others take it" in served
    assert "`us-east-1-1xa10g-bf16-tp1-vllm`, `us-east-1-1xl4-bf16-tp1-vllm`" in served
    assert "`us-west-2-1xl4-bf16-tp1-vllm`" in unserved
    assert "plan with `min_replicas: 2`" in unserved


def test_a_schedule_becomes_cron_windows():
    """Four from 06:48 (12 minutes ahead) to 19:00 on weekdays, two otherwise."""
    objects = objects_of(make_fleet_plan(make_group()))
    (deployment,), (scaled,) = of_kind(objects, "Deployment"), of_kind(objects, "ScaledObject")
    assert "replicas" not in deployment["spec"]
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 4)
    assert scaled["spec"]["triggers"] == [
        {
            "type": "cron",
            "metadata": {
                "timezone": "Etc/UTC", "start": "48 6 * * 1,2,3,4,5", "end": "0 19 * * 1,2,3,4,5", "desiredReplicas": "4",
            },
        }
    ]  # fmt: skip


def test_a_group_that_never_changes_is_not_scaled():
    """A scaled object without a trigger is none that KEDA takes: the deployment holds the number."""
    objects = objects_of(make_fleet_plan(make_group(instances=(3, 3))))
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert not of_kind(objects, "ScaledObject")


def test_load_scales_between_the_plan_s_numbers():
    """By rate, queue and cache, from the quietest hours to the headroom; and one pod at least, to be measured."""
    objects = objects_of(make_fleet_plan(make_group(instances=(0, 4)), policy=Policy.REACTIVE))
    (scaled,) = of_kind(objects, "ScaledObject")
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 5)
    assert scaled["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 4}
    triggers = [one["metadata"] for one in scaled["spec"]["triggers"]]
    assert [one["threshold"] for one in triggers] == ["1.2", "4", "0.8"]
    assert [one["query"].split("{")[0].rpartition("(")[2] for one in triggers] == [
        "vllm:request_success_total", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
    ]  # fmt: skip
    kustomization = objects["Kustomization", None]
    assert "pod-monitor.yaml" in kustomization["resources"]
    assert kustomization["replacements"][0]["source"]["fieldPath"] == "data.PROMETHEUS"


@pytest.mark.sampled(3)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=HOURS_PER_WEEK, max_size=HOURS_PER_WEEK), st.integers(0, 59))
def test_windows_say_what_the_schedule_says(hours, minutes_ahead):
    """At each quarter of an hour of the week, the windows give the number of instances that the schedule sets."""
    schedule = scheduled_sizes(hours, minutes_ahead)
    found = windows(schedule, min(hours), 1)
    if not schedule:
        assert found == ()
        return
    monday = datetime(2026, 11, 23)  # noqa: DTZ001 - a calendar, not a moment
    for quarter in range(0, HOURS_PER_WEEK * 4, 7):
        moment = monday + timedelta(minutes=15 * quarter)
        held = [window.replicas for window in found if _last(window.start, moment) > _last(window.end, moment)]
        due = max((_last(one.cron, moment), one.instances) for one in schedule)
        assert max(held, default=min(hours)) == due[1]


@pytest.mark.parametrize(
    ("dip", "minutes_ahead", "entries"),
    [
        ((2,), 30, [("0 12", 2), ("30 12", 3)]),
        ((2,), 31, []),
        ((2, 1), 50, [("0 12", 2), ("10 13", 3)]),
        ((2, 1), 70, []),
        ((2, 1, 2), 20, [("0 12", 2), ("0 13", 1), ("40 13", 2), ("40 14", 3)]),
        ((1, 2, 1), 40, [("0 12", 2), ("20 14", 3)]),
    ],
)
def test_no_dip_of_a_schedule_is_shorter_than_a_start(dip, minutes_ahead, entries):
    """An hour off of which 29 minutes are left after a start of 31 saves less than it costs: nothing stops."""
    hours = [3] * HOURS_PER_WEEK
    hours[12 : 12 + len(dip)] = dip
    schedule = scheduled_sizes(hours, minutes_ahead)
    assert [(entry.cron.partition(" * ")[0], entry.instances) for entry in schedule] == entries


def test_no_dip_of_a_schedule_is_shorter_than_a_stop_and_a_start():
    """Nodes go seventeen minutes after their last hour: of one hour off, ordered back after 35 minutes, 18 are left."""
    hours = [3] * HOURS_PER_WEEK
    hours[12] = 2
    assert scheduled_sizes(hours, 25)
    assert scheduled_sizes(hours, 25, 10)
    assert scheduled_sizes(hours, 25, 17) == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=HOURS_PER_WEEK, max_size=HOURS_PER_WEEK), st.integers(1, 150))
def test_schedules_hold_the_planned_number_and_stop_nothing_for_less_than_a_start(hours, minutes_ahead):
    """At each change: no fewer than planned until a start later, and no size between two larger ones for less."""
    changes = sorted(
        (1440 * (day - 1) + 60 * entry.hour + entry.minute, entry.instances)
        for entry in scheduled_sizes(hours, minutes_ahead)
        for day in entry.weekdays
    )
    for before, (minute, size), after in zip(changes[-1:] + changes, changes, changes[1:] + changes[:1], strict=False):
        lasts = (after[0] - minute) % (60 * HOURS_PER_WEEK)
        due = [hours[at // 60 % HOURS_PER_WEEK] for at in range(minute, minute + lasts + minutes_ahead)]
        assert size >= max(due[:lasts])
        assert lasts >= minutes_ahead or size > min(before[1], after[1])


def _last(cron, moment):
    """When a cron expression last fired, up to and with *moment*."""
    minute, hour, _, _, days = cron.split()
    weekdays = set(range(7)) if days == "*" else {int(day) for day in days.split(",")}
    candidates = [moment - timedelta(days=back) for back in range(8)]
    times = [day.replace(hour=int(hour), minute=int(minute)) for day in candidates if day.isoweekday() % 7 in weekdays]
    return max(time for time in times if time <= moment)


def test_hostile_texts_stay_values():
    """Quotes, line ends and variables of a plan change neither the objects nor their keys."""
    plain = objects_of(make_plan(make_option(engine_version="0.30.0"), model="./config.json"))
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    hostile = objects_of(make_plan(option, name=HOSTILE, model=HOSTILE))
    assert sorted(kind for kind, _ in hostile) == sorted(kind for kind, _ in plain)
    (before,), (after,) = of_kind(plain, "Deployment"), of_kind(hostile, "Deployment")
    assert _keys(before["spec"]) == _keys(after["spec"])


def _keys(value):
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    return [_keys(inner) for inner in value] if isinstance(value, list) else None


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("vllm/vllm-openai:v0.30.0", "vllm/vllm-openai"),
        ("registry.example:5000/team/engine@sha256:" + "0" * 64, "registry.example:5000/team/engine"),
        ("registry.example:5000/engine:1", "registry.example:5000/engine"),
        ("engine", "engine"),
    ],
)
def test_repository_is_what_a_kustomization_names(image, expected):
    """The tag goes, the port of the registry stays."""
    assert repository(image) == expected


class Server(http.server.BaseHTTPRequestHandler):
    """An engine that is healthy by its own word, with what it says when it is asked for a token."""

    statuses: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        """Answer, or hang up."""
        if self.path in self.statuses:
            self.send_response(self.statuses[self.path])
            self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("statuses", "lives"),
    [
        ({"/health": 200, "/health_generate": 200}, True),
        ({"/health": 200, "/health_generate": 500}, True),  # no chat template: it answers
        ({"/health": 200}, False),
        ({"/health": 503, "/health_generate": 500}, False),
    ],
)
def test_a_pod_whose_engine_hangs_is_restarted(statuses, lives):
    """TensorRT-LLM answers /health while it hangs: its liveness probe asks for a token, readiness does not."""
    files = generate(make_fleet_plan(make_group()), wanted=Wanted(target="eks", engine=Engine.TENSORRT_LLM)).files
    (key,) = (path for path in files if path.startswith("kubernetes/us-east-1/us-east-1"))
    (pod,) = (
        part["spec"]["template"]["spec"] for part in yaml.safe_load_all(files[key]) if part["kind"] == "Deployment"
    )
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/health"
    probe = container["livenessProbe"]
    _, *words = probe["exec"]["command"]
    assert probe["timeoutSeconds"] > 120
    assert probe["failureThreshold"] >= 3
    server = http.server.HTTPServer(("127.0.0.1", 0), type("Answers", (Server,), {"statuses": statuses}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = [word.replace("8000", str(server.server_port)) for word in words]
    ran = subprocess.run([sys.executable, *asked], capture_output=True, timeout=30, check=False)
    server.shutdown()
    server.server_close()
    assert (ran.returncode == 0) == lives


@pytest.mark.parametrize(
    ("engine", "image", "told"),
    [
        (
            Engine.TENSORRT_LLM,
            "",
            "tensorrt-llm (without return\\_perf\\_metrics and enable\\_iter\\_perf\\_stats in its",
        ),
        (Engine.CUSTOM, "registry.example/engine:1", "replicas of registry.example/engine:1 do not tell"),
    ],
)
def test_replicas_whose_engine_does_not_tell_its_load_run_at_all_hours(engine, image, told):
    """No trigger asks for metrics that nobody publishes; the number is that of the busiest hours, said and counted."""
    plan = make_fleet_plan(make_group(instances=(2, 4)), policy=Policy.REACTIVE)
    scaled, fixed = (
        generate(plan, wanted=Wanted(target="eks", engine=one, image=of_one)).files
        for one, of_one in ((Engine.VLLM, ""), (engine, image))
    )
    (key,) = (path for path in fixed if path.startswith("kubernetes/us-east-1/us-east-1"))
    documents = {one["kind"]: one for one in yaml.safe_load_all(fixed[key])}
    assert "ScaledObject" not in documents
    assert documents["Deployment"]["spec"]["replicas"] == 4
    assert "KEDA scales" not in fixed["kubernetes/README.md"]
    assert told in fixed["README.md"]
    more = _planned_usd(fixed) - _planned_usd(scaled)
    quiet_hours = 168 - 60
    assert more == pytest.approx(2 * quiet_hours * 0.8048 * 730 / 168, abs=0.02)
    assert f"for \\${more:,.2f} a month more" in fixed["README.md"]


def _planned_usd(files):
    return float(re.search(r"planned_usd_per_month = ([\d.]+)", files["fleet.tf"])[1])


def test_serverless_capacity_has_no_nodes():
    """It is refused with the reason."""
    assert "serverless" in obstacle_to_kubernetes(stack_of(make_plan(make_option(purchase="serverless"))))


def run_by_hpa(scaled):
    """Replicas of each minute of a week under a HorizontalPodAutoscaler, which lets a tenth pass, and those asked for."""
    spec = scaled["spec"]
    monday = datetime(2026, 11, 23)  # noqa: DTZ001 - a calendar, not a moment
    held = [window["metadata"] for window in spec["triggers"]]
    asked, run = [], []
    for minute in range(0, 60 * HOURS_PER_WEEK, 15):
        moment = monday + timedelta(minutes=minute)
        now = [int(one["desiredReplicas"]) for one in held if _last(one["start"], moment) > _last(one["end"], moment)]
        asked.append(max([spec["minReplicaCount"], *now]))
    current = asked[-1]
    for due in asked * 2:
        within = 10 * abs(due - current) <= current
        current = max(current if within else due, spec["minReplicaCount"])
        run.append(current)
    return asked, run[len(asked) :]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(8, 40), min_size=HOURS_PER_WEEK, max_size=HOURS_PER_WEEK), st.sampled_from([1, 2, 4]))
def test_an_autoscaler_runs_what_the_windows_ask_for_and_the_plan_needs(hours, each):
    """Steps of a tenth or less are not in the windows, so that none is left out; each planned size runs or a larger."""
    planned = replace(
        stack_of(make_plan(make_option())).groups[0],
        instances=max(hours),
        min_instances=min(hours),
        schedule=scheduled_sizes(hours, 0),
        replicas_per_instance=each,
    )
    stack = replace(stack_of(make_fleet_plan(make_group())), groups=(planned,))
    (group,) = with_taken_steps(stack).groups
    scale = scale_of(stack, group)
    if scale is None:  # one number at all hours
        assert group.instances == max(hours)
        assert 10 * min(hours) >= 9 * max(hours)
        return
    scaled = {
        "spec": {
            "minReplicaCount": scale.least,
            "triggers": [
                {"metadata": {"start": one.start, "end": one.end, "desiredReplicas": str(one.replicas)}}
                for one in scale.windows
            ],
        }
    }
    asked, run = run_by_hpa(scaled)
    due = [size_at(planned.sizes_by_minute, minute) * each for minute in range(0, 60 * HOURS_PER_WEEK, 15)]
    assert run == asked
    assert all(10 * now >= 10 * then >= 9 * now for then, now in zip(due, asked, strict=True))


def test_steps_that_an_autoscaler_leaves_out_are_told_and_counted():
    """Eleven by day, ten by night and on weekends: eleven at all hours, and the more they cost in the budget."""
    plan = make_fleet_plan(make_group(instances=(10, 11)))
    by_pod, at_all_hours = (
        generate(each, wanted=Wanted(target="eks")).files
        for each in (plan, make_fleet_plan(make_group(instances=(11, 11))))
    )
    more = (168 * 11 - 60 * 11 - 108 * 10) * 0.8048 * 730 / 168
    assert _planned_usd(by_pod) == _planned_usd(at_all_hours)
    assert f"those of the others run, for \\${more:,.2f} a month more" in by_pod["README.md"]
    (path,) = (path for path in by_pod if path.startswith("kubernetes/us-east-1/us-east-1"))
    documents = {one["kind"]: one for one in yaml.safe_load_all(by_pod[path])}
    assert documents["Deployment"]["spec"]["replicas"] == 11
    assert "ScaledObject" not in documents
    assert (
        "tenth"
        not in generate(make_fleet_plan(make_group(instances=(10, 12))), wanted=Wanted(target="eks")).files["README.md"]
    )


def test_a_few_more_by_day_are_as_many_by_an_autoscaler():
    """Of 8, 17 and 18, the 17 are raised to 18, and the 8 stay."""
    group = stack_of(make_plan(make_option())).groups[0]
    hours = ([8] * 8 + [17] * 4 + [18] * 6 + [8] * 6) * 7
    planned = replace(group, instances=18, min_instances=8, schedule=scheduled_sizes(hours, 0))
    assert taken_sizes(planned) == {18: 18, 17: 18, 8: 8}
    raised = planned.with_sizes(taken_sizes(planned))
    assert [(entry.hour, entry.instances) for entry in raised.schedule] == [(8, 18), (18, 8)]
    assert raised.usd_per_month - planned.usd_per_month == pytest.approx(
        4 * 7 * group.usd_per_hour * 730 / 168, abs=0.01
    )


FOUR_A_NODE = {
    "instance_type": "g6.12xlarge",
    "accelerator_count": 4.0,
    "replicas_per_instance": 4,
    "instances": (2, 4),
}


def generated(wanted=Wanted(target="eks"), policy=Policy.SCHEDULED, **changes):  # noqa: B008 - frozen
    """README of the code of a plan with four replicas on each node, its pods' GPUs, arguments and ScaledObject."""
    files = generate(make_fleet_plan(make_group(**FOUR_A_NODE | changes), policy=policy), wanted=wanted).files
    (path,) = (path for path in files if path.startswith("kubernetes/us-east-1/us-east-1"))
    documents = {one["kind"]: one for one in yaml.safe_load_all(files[path])}
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    return files, container, documents["ScaledObject"]["spec"]


def test_a_node_is_empty_with_its_pod():
    """Four replicas are one pod with all four GPUs and one copy of the weights: as many pods run as the plan has nodes."""
    files, container, scaled = generated()
    assert accelerators_of(container) == {"nvidia.com/gpu": 4}
    assert "--data-parallel-size=4" in container["args"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 4)
    assert container["resources"]["limits"]["ephemeral-storage"] == "34Gi"
    assert "min_replicas = 2" in re.sub(" +", " ", files["fleet.tf"])
    assert "several pods" not in files["README.md"]
    assert "one pod for all replicas of the model on a node.\n" in files["kubernetes/README.md"]
    assert "| At most | Pods |" in files["README.md"]


def test_pods_of_several_replicas_take_the_load_of_all_of_them():
    """Counts of a pod with several engines are compared with as many times the number for a single engine."""
    _, _, scaled = generated(policy=Policy.REACTIVE)
    alone = generated(policy=Policy.REACTIVE, replicas_per_instance=1)[2]
    thresholds = [[float(one["metadata"]["threshold"]) for one in spec["triggers"]] for spec in (scaled, alone)]
    assert thresholds[0] == pytest.approx([4 * one for one in thresholds[1]])


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (Wanted(target="eks", form=Form.LLM_D), {}),
        (Wanted(target="eks"), {"instance_type": "p4d.24xlarge", "accelerator": "A100-40GB-SXM",
                                "accelerator_count": 8.0, "partition": "mig-3g.20gb", "replicas_per_instance": 16}),
    ],
)  # fmt: skip
def test_nodes_with_several_pods_may_stay_for_longer_and_it_is_told(wanted, changes):
    """Where pickers look at each replica, or each has a slice: with 8 of 16 pods left, all four nodes may have some."""
    files, container, scaled = generated(wanted, **changes)
    each = FOUR_A_NODE | changes
    assert accelerators_of(container) == {"nvidia.com/gpu": 1}
    assert not [word for word in container["args"] if "data-parallel" in word]
    assert scaled["maxReplicaCount"] == 4 * each["replicas_per_instance"]
    off_hours = 168 - 5 * 12
    more = 2 * off_hours * 0.8048 * 730 / 168
    told = re.search(r"for up to \\\$([\d,.]+) a month more", files["README.md"])
    assert float(told[1].replace(",", "")) == pytest.approx(more, abs=0.02)
