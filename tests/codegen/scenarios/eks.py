"""EKS: managed node groups, and nodes that Karpenter starts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.codegen.container import Engine
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Plan
from codegen.plans import (
    HOSTILE,
    Make,
    Scenario,
    make_cache,
    make_cost,
    make_fleet_plan,
    make_group,
    make_option,
    make_plan,
)


def variables(*regions: str, is_karpenter: bool = False) -> Mapping[str, Any]:
    """What a user fills in for a root in *regions*."""
    clusters = {}
    for region in regions or ("us-east-1",):
        clusters[region] = {"name": f"inference-{region}"}
        if not is_karpenter:
            clusters[region]["subnet_ids"] = [f"subnet-{number:017x}" for number in (1, 2, 3)]
    filled = {"clusters": clusters, "alert_emails": ["oncall@example.com"], "cost_anomaly_detection": True}
    return filled | ({"karpenter_role_names": ["karpenter"]} if is_karpenter else {})


def _managed(plan: Plan, *regions: str, rank: int | None = None) -> Scenario:
    return Scenario(plan, Wanted(target="eks", rank=rank), variables(*regions))


def _karpenter(plan: Plan, *regions: str) -> Scenario:
    return Scenario(plan, Wanted(target="eks-karpenter"), variables(*regions, is_karpenter=True))


def l4_spot() -> Scenario:
    """Spot with a second, equal type in the plan; weights from a bucket."""
    chosen = make_option(purchase="spot", precision="fp8", weights_gib=8.1, usd_per_hour=0.3117)
    larger = dataclasses.replace(chosen, rank=2, instance_type="g6.2xlarge", cost=make_cost(0.402, 2))
    scenario = _managed(make_plan(chosen, larger), rank=1)
    return dataclasses.replace(scenario, variables={**scenario.variables, "model_source": "s3://weights/llm"})


def h100_tp8() -> Scenario:
    """One replica over a whole machine, over three zones."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        instances=3,
        kv_precision="fp8",
        precision="fp8",
        weights_gib=376.3,
        usd_per_hour=55.04,
        region="us-west-2",
        max_concurrency=128,
        context_tokens=32768,
    )
    plan = make_plan(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct", zones=3)
    return _managed(plan, "us-west-2", rank=1)


def inferentia2() -> Scenario:
    """Neuron: two chips for each replica."""
    option = make_option(
        instance_type="inf2.24xlarge",
        accelerator="Inferentia2",
        accelerator_count=6.0,
        tensor_parallel=2,
        engine="vLLM-NxDI",
        engine_version="0.16",
        usd_per_hour=6.49,
        max_concurrency=8,
        context_tokens=4096,
    )
    return _managed(make_plan(option), rank=1)


def l40s_replicas() -> Scenario:
    """Four pods on each node; nobody knows a 4-bit checkpoint of this model, so the user names it."""
    option = make_option(
        instance_type="g6e.12xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        instances=1,
        usd_per_hour=10.49,
        region="eu-west-1",
    )
    return _managed(make_plan(option, model="organisation/tuned-8b"), "eu-west-1", rank=1)


def scheduled() -> Scenario:
    """Spot beside on-demand nodes that go home at night."""
    spot = make_group(instances=(0, 3), purchase="spot", instance_usd_per_hour=0.31, request_shares=(0.0, 0.4))
    return _managed(make_fleet_plan(make_group(request_shares=(1.0, 0.6)), spot))


def two_regions() -> Scenario:
    """Two regions, two accelerators, scaled by load."""
    near = make_group(request_shares=(0.5, 0.5))
    large = make_group(
        instance_type="g6e.xlarge", accelerator="L40S", instance_usd_per_hour=1.86, request_shares=(0.2, 0.2),
        instances=(1, 1),
    )  # fmt: skip
    far = make_group(region="eu-west-1", instance_usd_per_hour=0.89, request_shares=(0.3, 0.3), instances=(1, 2))
    return _managed(make_fleet_plan(near, large, far, policy=Policy.REACTIVE), "us-east-1", "eu-west-1")


def sglang_replicas() -> Scenario:
    """Another engine than the planned one, two pods on each node."""
    option = make_option(
        instance_type="g6.12xlarge",
        accelerator_count=4.0,
        tensor_parallel=2,
        replicas_per_instance=2,
        usd_per_hour=4.6,
        instances=2,
    )
    scenario = _managed(make_plan(option), rank=1)
    return dataclasses.replace(scenario, wanted=dataclasses.replace(scenario.wanted, engine=Engine.SGLANG))


def graviton() -> Scenario:
    """An Arm node with a T4G, and an image of the user's own, which no public one serves on."""
    option = make_option(
        instance_type="g5g.xlarge", accelerator="T4G", precision="fp16", kv_precision="fp16", usd_per_hour=0.42
    )
    scenario = _managed(make_plan(option), rank=1)
    image = "registry.example.com/vllm-arm64@sha256:" + "c" * 64
    return dataclasses.replace(scenario, wanted=dataclasses.replace(scenario.wanted, image=image))


def gov_cloud() -> Scenario:
    """A partition without AWS Budgets."""
    option = make_option(
        region="us-gov-west-1", instance_type="g4dn.xlarge", accelerator="T4", precision="fp16", kv_precision="fp16",
        usd_per_hour=0.663,
    )  # fmt: skip
    return _managed(make_plan(option), "us-gov-west-1", rank=1)


def hostile_names() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    return _managed(make_plan(dataclasses.replace(option, cost=cost), name=HOSTILE, model=HOSTILE), rank=1)


def karpenter_spot() -> Scenario:
    """Any of two types, as spot, by the clock."""
    spot = make_group(instances=(0, 3), purchase="spot", instance_usd_per_hour=0.31, request_shares=(0.0, 0.4))
    return _karpenter(make_fleet_plan(make_group(request_shares=(1.0, 0.6)), spot))


def karpenter_neuron() -> Scenario:
    """Trainium nodes in two regions, one replica each."""
    fields = {
        "instance_type": "trn1.2xlarge", "accelerator": "Trainium1", "engine": "vLLM-NxDI", "engine_version": "0.16",
        "instance_usd_per_hour": 1.34, "instances": (1, 2), "request_shares": (0.5, 0.5), "weights_gib": 5.98,
    }  # fmt: skip
    plan = make_fleet_plan(make_group(**fields), make_group(**fields, region="us-west-2"), policy=Policy.REACTIVE,
                           model="meta-llama/Llama-3.2-3B-Instruct")  # fmt: skip
    return _karpenter(plan, "us-east-1", "us-west-2")


def cached() -> Scenario:
    """A response cache of three shards beside the nodes that nothing has to survive."""
    cache = make_cache(nodes=3, shards=3, memory_gib=6.0, ttl_seconds=None)
    plan = make_fleet_plan(make_group(instances=(2, 2)), policy=Policy.STATIC, fleet={"response_cache": cache})
    return _managed(plan, "us-east-1")


def sliced() -> Scenario:
    """Eight A100 of a machine in seven slices each, on its local disks; RTX PRO 6000 in halves, on a disk of the node."""
    small = {"weights_gib": 2.8, "checkpoint_gib": 2.5}
    sevenths = make_group(
        **small, instance_type="p4d.24xlarge", accelerator="A100-40GB-SXM", accelerator_count=8.0,
        replicas_per_instance=56, partition="mig-1g.5gb", request_shares=(0.7, 0.7), disk_gib=60,
    )  # fmt: skip
    halves = make_group(
        **small, instance_type="g7e.2xlarge", accelerator="RTX-PRO-6000", replicas_per_instance=2,
        partition="mig-2g.48gb", purchase="spot", request_shares=(0.3, 0.3), disk_gib=120,
    )  # fmt: skip
    plan = make_fleet_plan(sevenths, halves, policy=Policy.REACTIVE, model="meta-llama/Llama-3.2-1B-Instruct")
    return _managed(plan)


SCENARIOS: Mapping[str, Make] = {
    "eks-l4-spot": l4_spot,
    "eks-h100-tp8": h100_tp8,
    "eks-inferentia2": inferentia2,
    "eks-l40s-replicas": l40s_replicas,
    "eks-scheduled": scheduled,
    "eks-two-regions": two_regions,
    "eks-sglang-replicas": sglang_replicas,
    "eks-graviton": graviton,
    "eks-gov-cloud": gov_cloud,
    "eks-hostile-names": hostile_names,
    "eks-karpenter-spot": karpenter_spot,
    "eks-karpenter-neuron": karpenter_neuron,
    "eks-cache": cached,
    "eks-slices": sliced,
}
