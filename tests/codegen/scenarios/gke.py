"""Node pools of GKE, and what runs on them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Option
from codegen.plans import HOSTILE, Make, Scenario, make_cache, make_fleet_plan, make_group, make_option, make_plan

_GKE = Wanted(target="gke")


def variables(*regions: str) -> Mapping[str, Any]:
    """What a user fills in."""
    return {
        "project_id": "my-project",
        "clusters": {
            region: {"name": "inference", "location": region, "zones": [f"{region}-a", f"{region}-b"]}
            for region in regions
        },
        "alert_emails": ["oncall@example.com"],
        "billing_account": "012345-567890-ABCDEF",
    }


def _google(**changes: Any) -> Mapping[str, Any]:
    """Fields of a machine with one L4 in us-central1."""
    return {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"} | changes


def _alone(option: Option, **changes: Any) -> Scenario:
    wanted = dataclasses.replace(_GKE, rank=option.rank)
    return Scenario(make_plan(option, **changes), wanted, variables(option.region))


def l4_spot() -> Scenario:
    """Spot nodes, in any zone that has capacity; weights from a bucket, images from a registry of one's own."""
    scenario = _alone(make_option(**_google(purchase="spot", precision="fp8", weights_gib=8.1, usd_per_hour=0.28)))
    given = {
        "model_source": "gs://weights/llm",
        "image_repositories": ["projects/images/locations/us/repositories/serving"],
    }
    return dataclasses.replace(scenario, variables={**scenario.variables, **given})


def h100_tp8() -> Scenario:
    """One replica over a whole machine."""
    option = make_option(
        **_google(region="europe-west4", instance_type="a3-highgpu-8g"),
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=376.3,
        max_concurrency=128,
        context_tokens=32768,
        usd_per_hour=88.0,
    )
    return _alone(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct")


def h200_reserved() -> Scenario:
    """Machines that start from a reservation only; four replicas on each."""
    option = make_option(
        **_google(instance_type="a3-ultragpu-8g"),
        accelerator="H200",
        accelerator_count=8.0,
        tensor_parallel=2,
        replicas_per_instance=4,
        weights_gib=131.4,
        usd_per_hour=84.8,
    )
    scenario = _alone(option, model="meta-llama/Llama-3.3-70B-Instruct")
    reserved = {"us-central1-a3-ultragpu-8g-bf16-eee169": "h200"}
    return dataclasses.replace(scenario, variables=dict(scenario.variables) | {"reservations": reserved})


def t4_attached() -> Scenario:
    """GPUs attached to a machine; Turing has no bf16."""
    option = make_option(
        **_google(instance_type="n1-standard-8+1xT4"),
        accelerator="T4",
        precision="fp16",
        kv_precision="fp16",
        weights_gib=5.9,
        usd_per_hour=0.73,
    )
    return _alone(option, model="Qwen/Qwen3-4B")


def tpu_v6e() -> Scenario:
    """A TPU host of four chips: labels and no attached accelerators."""
    option = make_option(
        **_google(region="us-east5", instance_type="ct6e-standard-4t"),
        accelerator="TPU-v6e",
        accelerator_count=4.0,
        tensor_parallel=4,
        engine="vLLM-TPU",
        engine_version="0.27.0",
        usd_per_hour=10.8,
    )
    return _alone(option)


def scheduled() -> Scenario:
    """On demand by the clock and spot beside it, in two regions."""
    groups = (
        make_group(**_google(), request_shares=(0.5, 0.5)),
        make_group(**_google(purchase="spot"), instances=(0, 3), request_shares=(0.2, 0.2)),
        make_group(
            **_google(region="europe-west4", instance_type="a2-ultragpu-1g"),
            accelerator="A100-80GB-SXM",
            request_shares=(0.3, 0.3),
        ),
    )
    return Scenario(make_fleet_plan(*groups), _GKE, variables("europe-west4", "us-central1"))


def reactive() -> Scenario:
    """The number of replicas follows the load."""
    plan = make_fleet_plan(make_group(**_google(instance_type="g2-standard-8")), policy=Policy.REACTIVE)
    return Scenario(plan, _GKE, variables("us-central1"))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(**_google(), engine_version=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    return _alone(dataclasses.replace(option, cost=cost), name=HOSTILE, model=HOSTILE)


def cached() -> Scenario:
    """A response cache of two shards beside the nodes, one node of which may fail."""
    cache = make_cache(
        provider="gcp", region="us-central1", node="highmem-medium", nodes=4, node_memory_gib=12.11, memory_gib=18.0,
        shards=2,
    )  # fmt: skip
    group = make_group(**_google(instance_type="g2-standard-8"), instances=(2, 2))
    plan = make_fleet_plan(group, policy=Policy.STATIC, fleet={"response_cache": cache})
    return Scenario(plan, _GKE, variables("us-central1"))


def sliced() -> Scenario:
    """Seven replicas on the slices of each A100 by the clock, beside whole L4 on spot; of another pool, fewer slices."""
    small = {"precision": "fp8", "weights_gib": 1.4, "checkpoint_gib": 2.5, "disk_gib": 278}
    sevenths = make_group(
        **_google(instance_type="a2-ultragpu-1g"), **small, accelerator="A100-80GB-SXM", replicas_per_instance=7,
        partition="mig-1g.10gb", request_shares=(0.6, 0.6),
    )  # fmt: skip
    halves = make_group(
        **_google(instance_type="a3-highgpu-8g", purchase="spot"), **small, accelerator="H100-SXM",
        accelerator_count=8.0, replicas_per_instance=16, partition="mig-3g.40gb", request_shares=(0.3, 0.3),
    )  # fmt: skip
    whole = make_group(**_google(purchase="spot"), **small, request_shares=(0.1, 0.1))
    plan = make_fleet_plan(sevenths, halves, whole, model="meta-llama/Llama-3.2-1B-Instruct")
    return Scenario(plan, _GKE, variables("us-central1"))


SCENARIOS: Mapping[str, Make] = {
    "gke-l4-spot": l4_spot,
    "gke-h100-tp8": h100_tp8,
    "gke-h200-reserved": h200_reserved,
    "gke-t4-attached": t4_attached,
    "gke-tpu-v6e": tpu_v6e,
    "gke-scheduled": scheduled,
    "gke-reactive": reactive,
    "gke-hostile": hostile,
    "gke-cache": cached,
    "gke-slices": sliced,
}
