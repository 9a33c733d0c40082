"""Plan A is applied, then plan B: nothing that serves is destroyed before its successor is in service."""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.codegen import Form, Generated, Language, Stage, Wanted, generate, model, read_former, write_files
from advisor.codegen.cut_over import rollout_of, staged
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.kept import joint
from advisor.codegen.model import ComputeGroup
from advisor.codegen.rollout import Former, Rollout
from advisor.codegen.selection import of_fleet
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import target_of
from advisor.plan.fleet.chosen import FleetGroup, Policy
from advisor.plan.values import Option, Plan
from codegen.plans import make_fleet_plan, make_group, make_option
from codegen.scenarios import (
    azure_aks,
    azure_container_apps,
    azure_vm_scale_set,
    cloud_run,
    ec2,
    eks,
    gcp_mig,
    gke,
    ibm_vpc,
    managed_kubernetes,
    sagemaker,
)
from iac import harness, parity
from iac.modules import needs, of_today

SERVING = frozenset(
    {
        "aws_autoscaling_group",
        "aws_eks_node_group",
        "aws_launch_template",
        "aws_lb",
        "aws_lb_listener",
        "aws_lb_target_group",
        "aws_sagemaker_endpoint",
        "azurerm_container_app",
        "azurerm_container_app_environment",
        "azurerm_kubernetes_cluster_node_pool",
        "azurerm_lb",
        "azurerm_lb_backend_address_pool",
        "azurerm_lb_rule",
        "azurerm_linux_virtual_machine_scale_set",
        "google_cloud_run_v2_service",
        "google_compute_forwarding_rule",
        "google_compute_region_backend_service",
        "google_compute_region_instance_group_manager",
        "google_compute_region_url_map",
        "google_container_node_pool",
        "ibm_is_instance_group",
        "ibm_is_lb",
        "ibm_is_lb_listener",
        "ibm_is_lb_pool",
    }
)
"""Types of resources that requests go through, or that hold what answers them."""


@dataclass(frozen=True)
class Place:
    """A target of generated code, with its base group and another type of machine."""

    group: Callable[..., FleetGroup]
    another_type: Mapping[str, Any]
    another_region: str
    variables: Callable[..., Mapping[str, Any]]
    """What a user fills in, by regions."""
    target: str = ""
    without_gpu: Mapping[str, Any] | None = None
    """Machines without an NVIDIA GPU that serve the model too."""
    sliced: Mapping[str, Any] | None = None
    """Machines whose GPUs its nodes cut into slices."""

    @property
    def wanted(self) -> Wanted:
        """Code of the target, with each input that a user fills in."""
        return Wanted(target=self.target, inputs=frozenset(self.variables(self.another_region)))


def google_group(**changes: Any) -> FleetGroup:
    """An instance group or node pool of L4 at Google."""
    where = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
    return make_group(**(where | changes))


PACKAGE = {
    "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
}
A10G = {"instance_type": "g5.xlarge", "accelerator": "A10G"}
RTX = {"instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"}
T4 = {"instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4", "precision": "fp16", "kv_precision": "fp16"}
NEURON = {
    "instance_type": "inf2.8xlarge",
    "accelerator": "Inferentia2",
    "engine": "vLLM-NxDI",
    "engine_version": "0.16",
    "max_concurrency": 8,
    "context_tokens": 4096,
}
TPU = {"region": "us-east5", "instance_type": "ct6e-standard-1t", "accelerator": "TPU-v6e"}
AMD = {
    "instance_type": "Standard_ND96isr_MI300X_v5",
    "accelerator": "MI300X",
    "accelerator_count": 8.0,
    "replicas_per_instance": 8,
}
RTX_HALVES = {**RTX, "replicas_per_instance": 2, "partition": "mig-2g.48gb"}
H200 = {"instance_type": "gpu-h200-sxm_1gpu-16vcpu-200gb", "accelerator": "H200"}
GAUDI = {"instance_type": "gx3d-160x1792x8gaudi3", "accelerator": "Gaudi3", "engine": "vLLM-Gaudi"}
AZURE_GROUP = azure_vm_scale_set.azure_group
PLACES = {
    "aws-ec2": Place(make_group, A10G, "eu-west-1", partial(ec2.variables, **PACKAGE), without_gpu=NEURON),
    "gcp-mig": Place(google_group, RTX, "europe-west4", partial(gcp_mig.variables, **PACKAGE), without_gpu=TPU),
    "azure-vm-scale-set": Place(AZURE_GROUP, T4, "swedencentral", azure_vm_scale_set.variables, without_gpu=AMD),
    "eks": Place(
        make_group,
        A10G,
        "eu-west-1",
        eks.variables,
        target="eks",
        sliced={**RTX_HALVES, "instance_type": "g7e.2xlarge"},
    ),
    "sagemaker": Place(make_group, A10G, "eu-west-1", sagemaker.variables, target="sagemaker"),
    "gke": Place(google_group, RTX, "europe-west4", gke.variables, target="gke", sliced=RTX_HALVES),
    "cloud-run": Place(google_group, RTX, "europe-west4", cloud_run.variables, target="cloud-run"),
    "aks": Place(
        AZURE_GROUP,
        T4,
        "swedencentral",
        azure_aks.variables,
        target="aks",
        sliced={"replicas_per_instance": 2, "partition": "mig-3g.40gb"},
    ),
    "container-apps": Place(AZURE_GROUP, T4, "swedencentral", azure_container_apps.filled, target="container-apps"),
    "ibm-vpc": Place(ibm_vpc.h100, GAUDI, "eu-de", ibm_vpc.variables, target="ibm-vpc"),
}
ENTRANCE = 'azurerm_linux_virtual_machine_scale_set.entrance["eastus"]'
ONE_ADDRESS = ("gcp-mig", "azure-vm-scale-set", "container-apps")
"""Targets whose regions each have an address that outlives whatever stands behind it."""
STEADY = {"instances": (3, 3)}
TWO_KINDS = "two kinds"
MORE_OF_ONE = "two kinds, more of one"
KINDS = (TWO_KINDS, MORE_OF_ONE)
ANOTHER_REGION = "another region"
ANOTHER_TYPE = "another type"
SPOT_BESIDE = "spot beside"
WITHOUT_GPU = "machines without a GPU beside"
NO_GPU = "no GPU"
IN_SLICES = "GPUs in slices"
ONE_REGION_MORE = "one region more"
ANOTHER_MODEL = "another model"
OTHER_ZONES = "other zones"
SCHEDULED_SPOT = "scheduled on spot"
MORE_TYPES = "spot of more types"
DEARER_TYPES = "spot of types that are dear now"
LIKE_TYPES = {MORE_TYPES: 1.0, DEARER_TYPES: 2.5}
"""Shape → USD an hour of a larger type with the same accelerators, where the planned one costs 0.80."""
SHAPES: Mapping[str, tuple[Mapping[str, Any], Policy]] = {
    "static": (STEADY, Policy.STATIC),
    "scheduled": ({}, Policy.SCHEDULED),
    "reactive": ({}, Policy.REACTIVE),
    "more instances": ({"instances": (5, 5)}, Policy.STATIC),
    "spot": ({**STEADY, "purchase": "spot"}, Policy.STATIC),
    "another engine": ({**STEADY, "engine": "SGLang", "engine_version": "0.5.9"}, Policy.STATIC),
    "another engine with TLS": ({**STEADY, "engine": "SGLang", "engine_version": "0.5.12"}, Policy.STATIC),
    ANOTHER_TYPE: (STEADY, Policy.STATIC),
    ANOTHER_REGION: (STEADY, Policy.STATIC),
    TWO_KINDS: (STEADY, Policy.STATIC),
    MORE_OF_ONE: (STEADY, Policy.STATIC),
    SPOT_BESIDE: (STEADY, Policy.STATIC),
    WITHOUT_GPU: (STEADY, Policy.STATIC),
    NO_GPU: (STEADY, Policy.STATIC),
    IN_SLICES: (STEADY, Policy.STATIC),
    ONE_REGION_MORE: (STEADY, Policy.STATIC),
    ANOTHER_MODEL: (STEADY, Policy.STATIC),
    OTHER_ZONES: (STEADY, Policy.STATIC),
    SCHEDULED_SPOT: ({"purchase": "spot"}, Policy.SCHEDULED),
    MORE_TYPES: ({**STEADY, "purchase": "spot"}, Policy.STATIC),
    DEARER_TYPES: ({**STEADY, "purchase": "spot"}, Policy.STATIC),
    "one instance": ({"instances": (1, 1)}, Policy.STATIC),
    "another precision": ({**STEADY, "precision": "fp8", "weights_gib": 8.5}, Policy.STATIC),
    "commitment": ({**STEADY, "purchase": "commitment", "commitment": "1 year"}, Policy.STATIC),
}
IMPOSSIBLE = {
    **{(target, IN_SLICES): "cuts no GPUs" for target, place in PLACES.items() if place.sliced is None},
    **{
        (target, shape): "has no such machine here"
        for target, place in PLACES.items()
        if place.without_gpu is None
        for shape in (WITHOUT_GPU, NO_GPU)
    },
    **{
        (target, shape): "has no spot"
        for target in ("sagemaker", "cloud-run", "container-apps")
        for shape in ("spot", SPOT_BESIDE, SCHEDULED_SPOT)
    },
    **{
        (target, shape): "has no second type with these accelerators"
        for target in PLACES
        if target not in ("aws-ec2", "eks")
        for shape in LIKE_TYPES
    },
    ("gcp-mig", "another engine"): "serves with vLLM alone",
    ("azure-vm-scale-set", "another engine"): "serves with vLLM alone",
    **{
        (target, "another engine with TLS"): "has no load balancer that asks hosts over TLS, or serves with vLLM alone"
        for target in PLACES
        if target != "aws-ec2"
    },
    ("gke", OTHER_ZONES): "has the zones that its cluster is given",
    ("sagemaker", "commitment"): "takes commitments of its own alone",
    ("sagemaker", "another engine"): "has SGLang for newer accelerators alone",
    **{
        ("ibm-vpc", shape): "has one group that requests go to, in one region, and by the clock"
        for shape in ("reactive", "spot", SPOT_BESIDE, SCHEDULED_SPOT, ANOTHER_REGION, ONE_REGION_MORE, *KINDS)
    },
    ("ibm-vpc", "another engine"): "serves with vLLM alone",
    ("ibm-vpc", OTHER_ZONES): "has no zones of its own in the plan",
}


def neighbours() -> Iterator[tuple[str, str, str]]:
    """Target, shape before and shape after, each pair in both directions."""
    pairs = [("static", shape) for shape in SHAPES if shape not in ("static", NO_GPU, *LIKE_TYPES)]
    pairs += [("spot", MORE_TYPES), (MORE_TYPES, DEARER_TYPES)]
    pairs += [("scheduled", "reactive"), (TWO_KINDS, ANOTHER_REGION), (WITHOUT_GPU, NO_GPU)]
    pairs += [(SCHEDULED_SPOT, "scheduled"), (SCHEDULED_SPOT, SPOT_BESIDE), ("one instance", TWO_KINDS)]
    pairs += [
        KINDS,
        (IN_SLICES, ANOTHER_TYPE),
        (ONE_REGION_MORE, ANOTHER_REGION),
        (ONE_REGION_MORE, TWO_KINDS),
        (OTHER_ZONES, ANOTHER_TYPE),
    ]
    for target, (before, after) in itertools.product(PLACES, pairs):
        if not IMPOSSIBLE.keys() & {(target, before), (target, after)}:
            yield target, before, after
            yield target, after, before


LABELS = {
    "aws_eks_node_group": "labels",
    "azurerm_kubernetes_cluster_node_pool": "node_labels",
    "google_container_node_pool": "node_config",
}
"""Nodes of clusters, and the argument that pods are kept to them by: those with others come with `kubectl apply`."""


def destroyed_first(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of what serves and would be gone before what follows it is there."""
    return [
        change["address"]
        for change in planned["resource_changes"]
        if change["type"] in SERVING
        and (change["change"]["actions"] in (["delete"], ["delete", "create"]) or is_stranding(change))
    ]


def is_stranding(change: Mapping[str, Any]) -> bool:
    """Whether nodes go whose pods may not run on those that are made for them."""
    label, (before, after) = LABELS.get(change["type"]), (change["change"]["before"], change["change"]["after"])
    return bool(label) and change["change"]["actions"] == ["create", "delete"] and before.get(label) != after.get(label)


def moved_endpoints(planned: Mapping[str, Any], staying: set[str]) -> set[str]:
    """Regions whose endpoint has another address after than before, of those that stay."""
    if not staying:
        return set()
    change = planned["output_changes"]["endpoints"]
    before, after = change["before"] or {}, change["after"] or {}
    return {region for region in staying & before.keys() if _url(before[region]) != _url(after.get(region))}


def _url(endpoint: Any) -> Any:
    return endpoint.get("url") if isinstance(endpoint, dict) else endpoint


def replaced_nodes(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of nodes that are made anew under their key: whatever runs on them moves in the same apply."""
    return [
        change["address"]
        for change in planned["resource_changes"]
        if change["type"] in LABELS and {"create", "delete"} <= {*change["change"]["actions"]}
    ]


SCRIPTS = {
    "aws-ec2": ("user_data.sh.tftpl", "user_data = ", "aws_launch_template", "user_data"),
    "gcp-mig": ("startup.sh.tftpl", "startup-script = ", "google_compute_region_instance_template", "metadata"),
    "azure-vm-scale-set": (
        "user_data.sh.tftpl",
        "custom_data = ",
        "azurerm_linux_virtual_machine_scale_set",
        "custom_data",
    ),
    "ibm-vpc": ("user_data.sh.tftpl", "user_data = {", "ibm_is_instance_template", "user_data"),
}
"""Target → file of the script that its hosts start with, where it is filled in, and the argument that takes it."""


def kept_alike(before: Rollout, after: Rollout) -> list[ComputeGroup]:
    """Groups of both plans whose hosts run the same container, under the same policy."""
    former, planned = before.planned, after.planned
    containers = {backend.key: backend.container for backend in former.backends}
    kept = {group.key for group in former.groups} if former.scaling is planned.scaling else set()
    answering = {backend.key: backend.container for backend in planned.backends}
    return [
        group
        for group in planned.groups
        if group.key in kept and containers.get(group.backend) == answering[group.backend]
    ]


def files_of(stack: model.Stack, rollout: Rollout) -> Mapping[str, str]:
    """Terraform files of a stage."""
    both = staged(stack, rollout)
    target = target_of(both)
    return target.renderers[Language.TERRAFORM](target.completed(both))


def ingredients(target: str, files: Mapping[str, str], group: ComputeGroup) -> Mapping[str, Any]:
    """Everything that the script of a group's hosts is made of."""
    script, argument, *_ = SCRIPTS[target]
    filled = re.search(rf"{re.escape(argument)}.*?\n +}}\)", files["compute.tf"], re.DOTALL)
    document = read_hcl(files["fleet.tf"], "fleet.tf")
    maps = {name: entry for block in document.body.of("locals") for name, entry in block.attributes.items()}
    facts = literal(maps["groups"].value.node)[group.key]
    backend = literal(maps["backends"].value.node)[group.backend]
    apart = ("weight", "entrance_weight")
    return {
        "script": files[script],
        "filled": filled and filled[0],
        "group": {name: facts.get(name) for name in re.findall(r"each\.value\.(\w+)", filled[0] if filled else "")},
        "backend": {name: fact for name, fact in backend.items() if name not in apart},
        "locals": [
            re.findall(r"^locals {.*?^}", files[path], re.DOTALL | re.MULTILINE) for path in ("compute.tf", "main.tf")
        ],
    }


def rescripted(target: str, planned: Mapping[str, Any], kept: list[ComputeGroup]) -> list[str]:
    """Keys of groups whose hosts an apply would replace for another script."""
    *_, resource_type, argument = SCRIPTS.get(target, ("", ""))
    keys = {group.key for group in kept}
    return [
        change["index"]
        for change in planned["resource_changes"]
        if change["type"] == resource_type
        and change.get("index") in keys
        and (change["change"]["before"] or {}).get(argument) != (change["change"]["after"] or {}).get(argument)
    ]


def reserved(variables, key, capacity_reservation="a", disk_encryption_set="a", zones=("1", "2", "3"), left=()):
    """Variables with a reservation for a group and a disk encryption set in zones of its region."""
    provider = "/subscriptions/0/resourceGroups/shared/providers/Microsoft.Compute"
    ((region, location),) = variables["locations"].items()
    encrypted = f"{provider}/diskEncryptionSets/{disk_encryption_set}"
    return variables | {
        "locations": {
            region: location | {"zones": [*zones], "zones_left": [*left], "disk_encryption_set_id": encrypted}
        },
        "capacity_reservation_group_ids": {key: f"{provider}/capacityReservationGroups/{capacity_reservation}"},
    }


def smaller(before: Rollout, after: Rollout) -> list[str]:
    """Keys of groups that an apply makes smaller while others come or grow."""
    former, now = ({group.key: group.instances for group in joint(rollout).groups} for rollout in (before, after))
    less = [key for key, instances in now.items() if instances < former.get(key, 0)]
    return less if any(instances > former.get(key, 0) for key, instances in now.items()) else []


def colliding(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of what would be made before its namesake goes, in the same place."""
    places = ("name", "resource_group_name", "location", "loadbalancer_id", "region", "target_resource_id")
    return [
        change["address"]
        for change in planned["resource_changes"]
        if change["change"]["actions"] == ["create", "delete"]
        and change["change"]["before"].get("name")
        and all(
            change["change"]["before"].get(place) == change["change"]["after"].get(place)
            and not change["change"]["after_unknown"].get(place)
            for place in places
        )
    ]


def asked_otherwise(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of target groups whose members, which still serve as before, would fail another health check."""
    return [
        change["address"]
        for change in planned["resource_changes"]
        if change["type"] == "aws_lb_target_group"
        and {*change["change"]["actions"]} & {"update", "create"}
        and change["change"]["before"]
        and any(
            change["change"]["before"][probe] != change["change"]["after"][probe]
            for probe in ("protocol", "health_check")
        )
    ]


def protected(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of what is to go and that the provider refuses to delete."""
    changes = planned["resource_changes"]
    going = [change for change in changes if "delete" in change["change"]["actions"]]
    return [change["address"] for change in going if change["change"]["before"].get("deletion_protection")]


def other_zones(provider: str) -> Mapping[str, Any]:
    """Facts of a group that is spread over zones that are not all those which it was in."""
    names = {
        "aws": ("us-east-1-az1", "us-east-1-az2", "us-east-1-az6"),
        "gcp": ("us-central1-b", "us-central1-c"),
        "azure": ("1", "2", "3"),
        "ibm": ("us-east-1", "us-east-2", "us-east-3"),
    }
    return {"zones": len(names[provider]), "zone_names": names[provider]}


def plan_of(place: Place, shape: str) -> Plan:
    """The plan of a shape, whose groups share the requests."""
    changes, policy = SHAPES[shape]
    more = {
        ANOTHER_TYPE: [place.another_type],
        ANOTHER_REGION: [{"region": place.another_region}],
        TWO_KINDS: [{}, place.another_type],
        SPOT_BESIDE: [{}, {"purchase": "spot"}],
        WITHOUT_GPU: [{}, place.without_gpu or {}],
        NO_GPU: [place.without_gpu or {}],
        IN_SLICES: [place.sliced or {}],
        ONE_REGION_MORE: [{}, {"region": place.another_region}],
    }.get(shape, [{}])
    if shape == MORE_OF_ONE:
        few, many = ({"instances": (count, count), "request_shares": (count / 6,) * 2} for count in (1, 5))
        more = [few, {**place.another_type, **many}]
    if shape == OTHER_ZONES:
        more = [other_zones(place.group().provider)]
    model = {"model": "Qwen/Qwen3-8B"} if shape == ANOTHER_MODEL else {}
    share = 1 / len(more)
    groups = [place.group(**{"request_shares": (share, share), **changes, **facts}) for facts in more]
    plan = make_fleet_plan(*groups, policy=policy, **model)
    return plan if shape not in LIKE_TYPES else replace(plan, options=(*plan.options, _larger(LIKE_TYPES[shape])))


def _larger(usd_per_hour: float) -> Option:
    """A larger type with the same accelerators."""
    return make_option(rank=2, instance_type="g6.2xlarge", purchase="spot", usd_per_hour=usd_per_hour)


class Stack:
    """A root directory that is generated and applied again and again."""

    def __init__(self, place: Place, directory, simulated_clouds) -> None:
        """A directory without code."""
        self.place = place
        self.regions: list[str] = []
        self.terraform = harness.Terraform(directory, simulated_clouds)

    def generate(self, shape: str, stage: Stage | None = None) -> Generated:
        """Write the code of a shape over what is there."""
        directory = self.terraform.directory
        wanted = self.place.wanted
        generated = generate(plan_of(self.place, shape), wanted=wanted, former=read_former(directory, stage))
        write_files(generated, directory)
        regions = [region.name for region in joint(generated.rollouts[""]).regions]
        (directory / "terraform.tfvars.json").write_text(json.dumps(self.filled(regions)))
        self.terraform.init()
        return generated

    def filled(self, regions: list[str]) -> Mapping[str, Any]:
        """What a user fills in for *regions*: a region that was there before keeps its network, whichever comes or goes."""
        self.regions += [region for region in regions if region not in self.regions]
        return {
            name: {region: value[region] for region in regions}
            if isinstance(value, dict) and set(regions) <= value.keys() <= set(self.regions)
            else value
            for name, value in self.place.variables(*self.regions).items()
        }

    def move_sizes(self, limit: str) -> None:
        """Node groups of EKS at one of their limits, as the autoscaler of the cluster may leave them."""
        path = self.terraform.directory / "terraform.tfstate"
        state = json.loads(path.read_text())
        groups = [resource for resource in state["resources"] if resource["type"] == "aws_eks_node_group"]
        for instance in (instance for group in groups for instance in group["instances"]):
            for sizes in instance["attributes"]["scaling_config"]:
                sizes["desired_size"] = sizes[limit]
        if groups:
            state["serial"] += 1
            path.write_text(json.dumps(state))

    def apply(self) -> Mapping[str, Any]:
        """Plan and apply; what was planned."""
        planned = self.terraform.plan()
        self.terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
        return planned


@pytest.fixture
def stack_of(tmp_path, simulated_clouds) -> Callable[[str], Stack]:
    """An empty directory for a target."""
    return lambda target: Stack(PLACES[target], tmp_path, simulated_clouds)


@pytest.mark.parametrize("target", list(SCRIPTS))
def test_the_script_of_hosts_is_made_of_their_own_group(target):
    """Whatever comes or goes beside them, in every stage: another script would replace hosts that serve."""
    place, plain = PLACES[target], {}
    pairs = [pair[1:] for pair in neighbours() if pair[0] == target and NO_GPU not in pair]
    if target != "aws-ec2":
        pairs = [pair for pair in pairs if {*pair} & {SPOT_BESIDE, WITHOUT_GPU}]
    for shape in sorted({shape for pair in pairs for shape in pair}):
        plan = plan_of(place, shape)
        (stack,) = stacks_of(plan, of_fleet(plan.fleet), Wanted(target=place.target))
        plain[shape] = replace(stack, target=target_of(stack).name)
    for before, after in pairs:
        rollout = first = rollout_of(plain[before], "", Former())
        expected = files_of(plain[before], first)
        for stage in (None, Stage.SHIFT, Stage.FINISH):
            rollout = rollout_of(plain[after], "", Former({"": rollout}, stage=stage))
            files = files_of(plain[after], rollout)
            for group in kept_alike(first, rollout):
                assert ingredients(target, files, group) == ingredients(target, expected, group), (before, after, stage)
            if not rollout.stage:
                break


def finish(stack: Stack, after: str, rollout: Rollout, kept: list[ComputeGroup], staying: set[str]) -> None:
    """Shift and finish the cut-over of what retires: it alone goes, in the last stage."""
    target = next(name for name, place in PLACES.items() if place is stack.place)
    stack.generate(after, Stage.SHIFT)
    planned = stack.apply()
    assert destroyed_first(planned) == []
    assert moved_endpoints(planned, staying) == set()
    stack.generate(after, Stage.FINISH)
    going = {group.region for group in rollout.retiring} - {region.name for region in rollout.planned.regions}
    names = {part for group in rollout.retiring for part in (group.key, group.backend)}
    names |= {part for region in going for part in (region, f"entrance-{region}")}
    planned = stack.terraform.plan()
    assert moved_endpoints(planned, staying) == set()
    early = [
        address
        for address in destroyed_first(planned)
        if not any(f'["{name}"]' in address or f'["{name} ' in address for name in names)
    ]
    removed = {change.get("index") for change in planned["resource_changes"] if "delete" in change["change"]["actions"]}
    assert early == []
    assert rescripted(target, planned, kept) == []
    assert removed & names
    assert protected(planned) == []


CLUSTERS = {
    "eks": (PLACES["eks"], ""),
    "eks-karpenter": (PLACES["eks"], ""),
    "gke": (PLACES["gke"], ""),
    "aks": (PLACES["aks"], ""),
    "kubernetes": (Place(managed_kubernetes.h100, H200, "us-central1", managed_kubernetes.variables), ""),
    "eks, inference-pool": (PLACES["eks"], "inference-pool"),
    "gke, llm-d": (PLACES["gke"], "llm-d"),
    "eks, kserve": (PLACES["eks"], "kserve"),
    "aks, production-stack": (PLACES["aks"], "production-stack"),
    "eks, dynamo": (PLACES["eks"], "dynamo"),
}
"""Cluster, and form of its objects → the place with its group, and the form."""
ALONE: tuple[tuple[str, Stage | None], ...] = tuple(
    (shape, None) for shape in ("static", "scheduled", "reactive", "scheduled", "static", "reactive", "static")
)
"""Shapes of one kind of machine, in which each way of deciding the number of pods follows each other one."""
WALK: tuple[tuple[str, Stage | None], ...] = (
    *ALONE,
    *itertools.product(("scheduled", TWO_KINDS, "scheduled", "static"), (None, Stage.SHIFT, Stage.FINISH)),
)
"""The same, and cut-overs that fix numbers for as long as they last."""
UNWEIGHTED = (Form.PRODUCTION_STACK, Form.DYNAMO)
"""Forms that refuse a cut-over, since they have no shares."""


def replicas_in(files: Mapping[str, str]) -> Mapping[str, int | None]:
    """Name of what holds pods that serve → the number that a file states of them; None: it leaves that open."""
    documents = [
        document
        for path, text in files.items()
        if path.startswith("kubernetes/") and path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    numbers = {
        document["metadata"]["name"]: document["spec"].get("replicas")
        for document in documents
        if document.get("kind") in ("Deployment", "LLMInferenceService")
        and document["metadata"]["name"] != "route-weights"
    }
    for document in documents:
        numbers |= {model["name"]: model.get("replicaCount") for model in _models(document)}
        numbers |= {worker["name"]: worker.get("replicas") for worker in _workers(document)}
    return numbers


def _models(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Models in the values of production-stack's chart."""
    return list(values.get("servingEngineSpec", {}).get("modelSpec", []))


def _workers(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Workers of Dynamo's graph."""
    components = document["spec"]["components"] if document.get("kind") == "DynamoGraphDeployment" else []
    return [component for component in components if component["type"] == "worker"]


def patched(former: int | None, stated: int | None, live: int, form: Form) -> int:
    """Pods after the three-way patch of what was applied, what is, and what runs; of a Deployment the default is 1."""
    if stated is not None:
        return stated
    # KServe keeps the number of the Deployment where its service names none.
    return live if former is None or form is Form.KSERVE else 1


def fewest_pods(code: Generated) -> int:
    """Pods that the smallest group of the code needs in its quietest hours."""
    return min(group.min_instances * group.replicas_per_instance for group in joint(code.rollouts[""]).groups)


@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_no_apply_stops_pods_that_another_shape_keeps(cluster):
    """Whatever decides the number of pods before and after: an apply leaves no fewer than run, or than the plan needs."""
    place, form = CLUSTERS[cluster]
    wanted = Wanted(target=cluster.partition(",")[0], form=Form(form or "manifests"))
    live: dict[str, int] = {}
    stated: Mapping[str, int | None] = {}
    former = Former()
    for shape, stage in WALK if wanted.form not in UNWEIGHTED else ALONE:
        code = generate(plan_of(place, shape), wanted=wanted, former=replace(former, stage=stage))
        before, stated, least = stated, replicas_in(code.files), fewest_pods(code)
        for name, number in stated.items():
            running = live.get(name, least)
            live[name] = patched(before.get(name), number, running, wanted.form)
            assert live[name] >= min(running, least), (shape, stage, name)
        former = Former(code.rollouts, {"": wanted.target}, code.roots, code.plan_digest)


def scaled_objects(files: Mapping[str, str]) -> set[str]:
    """Names of KEDA's objects, which are those of their groups."""
    documents = [document for path, text in files.items() if path.endswith(".yaml") for document in text.split("---")]
    scaled = [document for document in documents if "kind: ScaledObject" in document and "KedaScaler" not in document]
    return {name for document in scaled for name in re.findall(r"^  name: \"?([\w-]+)", document, re.MULTILINE)[:1]}


@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_objects_that_go_on_scaling_are_told(cluster):
    """Where nothing removes KEDA's object of a group that goes on with a fixed number, a warning has the command."""
    place, form = CLUSTERS[cluster]
    wanted = Wanted(target=cluster.partition(",")[0], form=Form(form or "manifests"))
    is_removed = wanted.target == "kubernetes" or wanted.form is Form.PRODUCTION_STACK
    former, there, seen = Former(), set[str](), 0
    for shape, stage in WALK[:13] if wanted.form not in UNWEIGHTED else ALONE:
        code = generate(plan_of(place, shape), wanted=wanted, former=replace(former, stage=stage))
        objects = scaled_objects(code.files)
        keys = {group.key for group in joint(code.rollouts[""]).groups}
        left = set() if is_removed else (there - objects) & keys
        told = [warning for warning in code.warnings if "delete scaledobjects" in warning]
        named = {key for warning in told for key in warning.partition("delete scaledobjects ")[2].split()}
        assert named == left, (shape, stage)
        assert not told or "kubectl --context CONTEXT --namespace support-chat delete scaledobjects" in told[0]
        seen += bool(left)
        former, there = Former(code.rollouts, {"": wanted.target}, code.roots, code.plan_digest), objects
    assert bool(seen) != is_removed


def node_groups(files: Mapping[str, str]) -> Mapping[str, tuple[int, int, int]]:
    """Node groups of EKS → fewest nodes, those at first, and most."""
    (block,) = read_hcl(files["fleet.tf"], "fleet.tf").body.of("locals")
    groups = literal(block.attributes["groups"].value.node)
    return {key: tuple(group[f"{kind}instances"] for kind in ("min_", "", "max_")) for key, group in groups.items()}


def resized(wanted: Wanted, steps: list[tuple[Plan, Stage | None]]) -> None:
    """Apply one plan after the other, wherever the autoscaler moved the sizes meanwhile: EKS takes each.

    The number of nodes that an apply leaves alone is sent as it is, and has to lie within the limits that are sent.
    """
    former, present = Former(), dict[str, tuple[int, int]]()
    for plan, stage in steps:
        code = generate(plan, wanted=wanted, former=replace(former, stage=stage))
        is_left_alone = "desired_size]" in code.files["compute.tf"]
        sizes = node_groups(code.files)
        for key, (least, size, most) in sizes.items():
            low, high = present.get(key, (size, size)) if is_left_alone else (size, size)
            assert least <= low <= high <= most, (key, stage)
        present = {key: (least, most) for key, (least, _, most) in sizes.items()}
        former = Former(code.rollouts, {"": wanted.target}, code.roots, code.plan_digest)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("pair", [" | ".join(pair[1:]) for pair in neighbours() if pair[0] == "eks"])
def test_eks_takes_the_sizes_of_another_shape(pair):
    """Every pair of shapes, through the stages of their cut-over, at every size that the autoscaler may leave."""
    before, after = (plan_of(PLACES["eks"], shape) for shape in pair.split(" | "))
    rollout = generate(
        after, wanted=Wanted(target="eks"), former=Former(generate(before, wanted=Wanted(target="eks")).rollouts)
    ).rollouts[""]
    stages = (None, Stage.SHIFT, Stage.FINISH) if rollout.stage else (None,)
    resized(Wanted(target="eks"), [(before, None), *((after, stage) for stage in stages)])


def _sized(policy: Policy, sizes: tuple[int, int]) -> Plan:
    instances = (max(sizes), max(sizes)) if policy is Policy.STATIC else (min(sizes), max(sizes))
    return make_fleet_plan(make_group(instances=instances), policy=policy)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Policy)), st.tuples(st.integers(1, 12), st.integers(1, 12))),
        min_size=2,
        max_size=5,
    )
)
@settings(max_examples=25)
def test_eks_takes_any_sizes_after_any_others(steps):
    """Whatever scales the fleet before and after, and however many nodes both plans have."""
    resized(Wanted(target="eks"), [(_sized(*step), None) for step in steps])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("pair", of_today([" | ".join(pair) for pair in neighbours()], shares=40))
def test_another_shape_destroys_nothing_that_serves(stack_of, pair):
    """Policies, counts, engines, types, kinds, regions and ways of paying change while the service goes on."""
    target, before, after = pair.split(" | ")
    stack = stack_of(target)
    former = stack.generate(before)
    stack.apply()
    stack.move_sizes("min_size" if before < after else "max_size")
    generated = stack.generate(after)
    rollout = generated.rollouts[""]
    kept = kept_alike(former.rollouts[""], rollout)
    staying = {region.name for region in rollout.planned.regions} if target in ONE_ADDRESS else set()
    planned = stack.apply()
    assert smaller(former.rollouts[""], rollout) == []
    assert destroyed_first(planned) == []
    assert replaced_nodes(planned) == []
    assert moved_endpoints(planned, staying) == set()
    assert rescripted(target, planned, kept) == []
    assert asked_otherwise(planned) == []
    assert colliding(planned) == []
    if rollout.retiring:
        finish(stack, after, rollout, kept, staying)
    elif rollout.stage:
        for stage in (Stage.SHIFT, Stage.FINISH):
            stack.generate(after, stage)
            assert destroyed_first(stack.apply()) == []


@pytest.mark.slow
def test_no_apply_sets_weights_that_a_state_machine_has_had(stack_of, monkeypatch):
    """One kind, two by the clock, and back at any stage: the listener is left alone, and its state machine goes on."""
    monkeypatch.setitem(SHAPES, TWO_KINDS, ({"instances": (1, 2)}, Policy.SCHEDULED))
    stack = stack_of("aws-ec2")
    stack.generate("static")
    stack.apply()
    walk = [(TWO_KINDS, None), ("static", Stage.FINISH)]
    walk += [(TWO_KINDS, stage) for stage in (None, Stage.SHIFT, Stage.FINISH)]
    walk += [("static", stage) for stage in (None, Stage.SHIFT, Stage.FINISH)]
    for shape, stage in walk:
        stack.generate(shape, stage)
        planned = stack.apply()["resource_changes"]
        actions = {
            kind: {action for change in planned if change["type"] == kind for action in change["change"]["actions"]}
            for kind in ("aws_lb_listener", "aws_sfn_state_machine")
        }
        assert actions["aws_lb_listener"] == {"no-op"}
        assert "delete" not in actions["aws_sfn_state_machine"]
    (stack.terraform.directory / "terraform.tfvars.json").unlink()
    stack.terraform("test", "-no-color").ok()


@pytest.mark.sampled(3)
@pytest.mark.slow
def test_what_azure_makes_anew_has_another_name(stack_of):
    """A scale set with another reservation, disk encryption set or one zone less, none with one more; a load balancer stays whatever zones there are."""
    stack = stack_of("azure-vm-scale-set")
    (group,) = stack.generate("static").rollouts[""].planned.groups
    path = stack.terraform.directory / "terraform.tfvars.json"
    given, hosts = json.loads(path.read_text()), f'azurerm_linux_virtual_machine_scale_set.this["{group.key}"]'
    path.write_text(json.dumps(reserved(given, group.key, zones=("1", "2"))))
    stack.apply()
    path.write_text(json.dumps(reserved(given, group.key)))
    added = {change["address"]: change["change"]["actions"] for change in stack.apply()["resource_changes"]}
    assert added[hosts] == added[ENTRANCE] == ["update"]
    cases = (
        ({"capacity_reservation": "b"}, {hosts}),
        ({"zones": ["1", "2"], "left": ["3"]}, {hosts, ENTRANCE}),
        ({"zones": [], "disk_encryption_set": "b"}, {hosts, ENTRANCE}),
    )
    for changed, replaced in cases:
        path.write_text(json.dumps(reserved(given, group.key, **changed)))
        planned = stack.terraform.plan()
        going = {change["address"] for change in planned["resource_changes"] if "delete" in change["change"]["actions"]}
        assert {
            address for address in going if "virtual_machine_scale_set." in address or "_lb." in address
        } == replaced
        assert destroyed_first(planned) == []
        assert colliding(planned) == []


@pytest.mark.sampled(4)
@pytest.mark.slow
def test_a_google_group_with_other_zones_has_another_name(stack_of):
    """It is made before the former goes, at the size of its busiest hours, and waited for; one of an older name keeps that
    for as long as its zones stay.
    """
    stack = stack_of("gcp-mig")
    (group,) = stack.generate("scheduled").rollouts[""].planned.groups
    directory = stack.terraform.directory
    address = f'google_compute_region_instance_group_manager.this["{group.key}"]'
    compute, path = directory / "compute.tf", directory / "terraform.tfvars.json"
    text, given = compute.read_text(), json.loads(path.read_text())
    fleet = directory / "fleet.tf"
    fleet.write_text(re.sub(r"zones( +)= \[[^]]*\]", r"zones\1= []", fleet.read_text()))
    compute.write_text(re.sub(r"local\.group_names\[each\.key\]", '"${var.name}-${each.key}"', text))
    stack.apply()
    compute.write_text(text)
    kept = {change["address"]: change["change"]["actions"] for change in stack.apply()["resource_changes"]}
    assert kept[address] == ["no-op"]
    for zones in (["us-central1-a", "us-central1-c"], ["us-central1-a", "us-central1-b"]):
        networks = {"us-central1": given["networks"]["us-central1"] | {"zones": zones}}
        path.write_text(json.dumps(given | {"networks": networks, "wait_for_capacity": "60m"}))
        planned = stack.apply()
        (after,) = (change["change"]["after"] for change in planned["resource_changes"] if change["address"] == address)
        assert (after["wait_for_instances"], after["target_size"], after["timeouts"]["create"]) == (True, 4, "60m")
        actions = {change["address"]: change["change"]["actions"] for change in planned["resource_changes"]}
        assert actions[address] == ["create", "delete"]
        assert colliding(planned) == []
        assert destroyed_first(planned) == []


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    "pair",
    of_today(
        [
            *(f"{target} | {ANOTHER_REGION}" for target in PLACES if (target, ANOTHER_REGION) not in IMPOSSIBLE),
            "aws-ec2 | another engine",
        ]
    ),
)
def test_both_languages_describe_the_same_cut_over(pair, stack_of, tmp_path):
    """While groups retire and get no requests, the program has what the root has, and the tests of both pass."""
    needs("pulumi")
    target, after = pair.split(" | ")
    stack, program, jobs = stack_of(target), tmp_path / "program", tmp_path / "jobs.json"
    wanted = stack.place.wanted
    for shape, stage in (("static", None), (after, None), (after, Stage.SHIFT)):
        former = read_former(program, stage)
        generated = generate(plan_of(stack.place, shape), Language.PYTHON, wanted, former=former)
        write_files(generated, program)
        stack.generate(shape, former.stage)
    configuration = json.loads((tmp_path / "terraform.tfvars.json").read_text())
    job = {"program": str(program), "configuration": configuration, "answers": parity.ANSWERS}
    jobs.write_text(json.dumps([job]))
    (evaluated,) = harness.in_environment("pulumi", "run_pulumi.py", str(jobs)).ok().json
    assert evaluated.get("error") is None, evaluated["error"]
    assert evaluated["tests"] == "passed", evaluated["tests"]
    assert parity.differences(stack.terraform.plan(), evaluated) == []
    assert stack.terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""
    (tmp_path / "terraform.tfvars.json").unlink()
    stack.terraform("test", "-no-color").ok()
