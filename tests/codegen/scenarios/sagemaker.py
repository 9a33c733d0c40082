"""SageMaker real-time endpoints."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Engine, Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Plan
from codegen.plans import HOSTILE, Make, Scenario, make_cost, make_fleet_plan, make_group, make_option, make_plan


def variables(*regions: str, **more: Any) -> Mapping[str, Any]:
    """What a user fills in for roots in *regions*."""
    return {
        "networks": {region: _network(number) for number, region in enumerate(regions, start=1)},
        "alert_emails": ["oncall@example.com"],
        "cost_anomaly_detection": True,
    } | more


def _network(number: int) -> Mapping[str, Any]:
    subnets = [f"subnet-{16 * number + zone:017x}" for zone in (1, 2, 3)]
    return {"vpc_id": f"vpc-{number:017x}", "private_subnet_ids": subnets}


def _root(plan: Plan, *regions: str, rank: int | None = None, **wanted: Any) -> Scenario:
    return Scenario(plan, Wanted(target="sagemaker", rank=rank, **wanted), variables(*regions))


def l40s_static() -> Scenario:
    """One type around the clock: an update rolls over its instances."""
    option = make_option(instance_type="g6e.xlarge", accelerator="L40S", usd_per_hour=1.861)
    return _root(make_plan(option), "us-east-1", rank=1)


def mixed_scheduled() -> Scenario:
    """Two types behind one endpoint, by the clock."""
    l4 = make_group(request_shares=(0.4, 0.4))
    a10g = make_group(
        instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.6, 0.6), instance_usd_per_hour=1.006
    )
    pins = {
        "container_images": {"vllm": "123456789012.dkr.ecr.us-east-1.amazonaws.com/engine@sha256:" + "0" * 64},
        "model_revisions": {"*": "0123abc"},
        "model_source": "s3://weights/production",
        "extra_environment": {"*": {"LEVEL": "1"}, "vllm": {"LEVEL": "2"}},
    }
    root = _root(make_fleet_plan(l4, a10g), "us-east-1")
    return dataclasses.replace(root, variables={**root.variables, **pins})


def two_regions_reactive() -> Scenario:
    """An endpoint in each of two regions, by the load."""
    near = make_group(request_shares=(0.7, 0.7))
    far = make_group(region="eu-south-2", request_shares=(0.3, 0.3), instances=(2, 2))
    return _root(make_fleet_plan(near, far, policy=Policy.REACTIVE), "us-east-1", "eu-south-2")


def managed_fleet() -> Scenario:
    """A plan that is paid at SageMaker's own prices is an endpoint without being asked for one."""
    paid = {"purchase": "managed", "price_source": "Amazon SageMaker AI price list"}
    l4 = make_group(**paid, request_shares=(0.4, 0.4), instance_usd_per_hour=1.1267)
    a10g = make_group(
        **paid,
        instance_type="g5.xlarge",
        accelerator="A10G",
        request_shares=(0.6, 0.6),
        instances=(1, 3),
        instance_usd_per_hour=1.408,
    )
    return Scenario(make_fleet_plan(l4, a10g, fleet={"standing": ()}), variables=variables("us-east-1"))


def int4_weights() -> Scenario:
    """Four replicas on a machine, and weights that only the user can name, in S3."""
    option = make_option(
        instance_type="g6e.24xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        instances=1,
        usd_per_hour=15.07,
        region="eu-west-1",
        engine_version="0.19.0",
    )
    scenario = _root(make_plan(option), "eu-west-1", rank=1)
    weights = {"eu-west-1-4xl40s-int4-tp1x4-vllm": "s3://weights/llama-awq/"}
    return dataclasses.replace(scenario, variables=scenario.variables | {"model_data": weights})


def h100_sglang() -> Scenario:
    """SGLang's own image for SageMaker."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=65.8,
        engine="SGLang",
        engine_version="0.5.9",
        usd_per_hour=55.04,
        region="us-west-2",
    )
    return _root(make_plan(option, model="Qwen/Qwen2.5-72B-Instruct"), "us-west-2", rank=1)


def inferentia2_custom() -> Scenario:
    """An image of the user's own on Neuron, whose instances have no disk of their own and no GPU metrics."""
    option = make_option(
        instance_type="inf2.xlarge", accelerator="Inferentia2", engine="vLLM-NxDI", engine_version="0.5", instances=3
    )
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/neuron-server@sha256:" + "b" * 64
    return _root(make_plan(option), "us-east-1", rank=1, engine=Engine.CUSTOM, image=image)


def hostile_names() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(make_cost(0.8048, 2), price_source=HOSTILE, price_as_of=HOSTILE)
    plan = make_plan(dataclasses.replace(option, cost=cost), name=HOSTILE, model=HOSTILE)
    weights = {"us-east-1-1x-resource-null-reso-8c9bb3": "s3://weights/model/"}
    scenario = _root(plan, "us-east-1", rank=1)
    return dataclasses.replace(scenario, variables=scenario.variables | {"model_data": weights})


SCENARIOS: Mapping[str, Make] = {
    "sagemaker-l40s": l40s_static,
    "sagemaker-mixed-scheduled": mixed_scheduled,
    "sagemaker-managed": managed_fleet,
    "sagemaker-two-regions": two_regions_reactive,
    "sagemaker-int4-weights": int4_weights,
    "sagemaker-sglang": h100_sglang,
    "sagemaker-custom-image": inferentia2_custom,
    "sagemaker-hostile-names": hostile_names,
}
